"""Files that values go on reading: open files, archives and databases, frames that are read when they are computed.

A step that uses such a value never opens the file, so that nobody sees it being read.
"""

from __future__ import annotations

import gc
import os
import stat
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.handles import files_of_database
from ckpt_magic.values.pickles.references import ATOMS

_FAR: Final = 200  # objects that a value leads to
_LONG: Final = 1000  # items of a container, none of which is looked at
_SCAN: Final = "SCAN ["  # how polars shows a file in what it is going to do
_DATA: Final = "DF ["  # and a frame
_CLOSED_TO_US: Final = (type, types.ModuleType, types.FunctionType, types.CodeType, types.BuiltinFunctionType)
_HOLD_NO_FILES: Final = frozenset({"ndarray", "DataFrame", "Series", "Index", "MultiIndex", "Logger"})


def files_behind(value: Any) -> tuple[list[str], list[str]]:
    """Paths of the files that a value reads later, and types of what reads files that cannot be told."""
    paths: list[str] = []
    unknown: list[str] = []
    for one in _reached(value):
        for module, name, told in _READERS:
            library = sys.modules.get(module)
            if library is not None and issubclass(type(one), getattr(library, name, ())):
                try:
                    paths += (os.fsdecode(path) for path in told(one))
                except Exception:  # noqa: BLE001  # what libraries say of their objects may be anything
                    unknown.append(type(one).__qualname__)
    return paths, unknown


def _reached(value: Any) -> Iterator[Any]:
    todo, met = [value], {identity(value)}
    while todo and len(met) < _FAR:
        one = todo.pop()
        kind = type(one)
        if kind in ATOMS or issubclass(kind, _CLOSED_TO_US) or kind.__name__ in _HOLD_NO_FILES:
            continue
        yield one
        if (kind in _SIZED and len(one) > _LONG) or kind.__name__ == "memmap":
            continue
        for inner in gc.get_referents(one):
            if identity(inner) not in met and type(inner) not in ATOMS:
                met.add(identity(inner))
                todo.append(inner)


def _of_file(file: Any) -> Iterable[str]:
    name = getattr(file, "name", None)
    if file.closed or not isinstance(name, (str, bytes)) or not file.readable():
        return []
    return [os.path.abspath(os.fsdecode(name))] if os.path.exists(name) else []


def _of_lazy_frame(frame: Any) -> Iterable[str]:
    text = frame.explain(optimized=False)
    found = [part.partition("]")[0] for part in text.split(_SCAN)[1:]]
    paths = [path.strip() for part in found for path in part.split(",")]
    if not all(map(os.path.exists, paths)):
        raise ValueError(text)  # elided, or elsewhere
    spelled = frame.serialize() if paths and _DATA not in text else b""
    listed = [path for path in paths if path.encode() not in spelled]  # by a pattern, or in a folder
    return map(os.path.abspath, [*paths, *_folders_of(listed)])


def _of_map(array: Any) -> Iterable[str]:
    return [] if array._mmap is None else [array.filename]


def _of_dataset(dataset: Any) -> Iterable[str]:
    return map(os.path.abspath, [*dataset.files, *_folders_of(dataset.files)])


def _folders_of(paths: Iterable[str]) -> Iterator[str]:
    """Folders in which files were found: more may be found there, and beside what stands for a value (`year=2024`)."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    top = os.path.commonpath(folders) if folders else ""
    while "=" in os.path.basename(top):
        top = os.path.dirname(top)
    for folder in sorted(folders):
        yield folder
        while len(folder) > len(top):
            folder = os.path.dirname(folder)
            yield folder


def descriptor_of(value: Any) -> str:
    """The file or folder that a number has been opened as in this process; empty if none."""
    if type(value) is not int or not 2 < value < 1 << 20:  # the first three are everybody's
        return ""
    try:
        mode = os.fstat(value).st_mode
        return os.readlink(f"/proc/self/fd/{value}") if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else ""
    except OSError:
        return ""


def _nobody_knows(value: Any) -> Iterable[str]:
    raise ValueError


_SIZED: Final = frozenset({list, tuple, dict, set, frozenset})
_READERS: Final[tuple[tuple[str, str, Callable[[Any], Iterable[str]]], ...]] = (
    ("io", "IOBase", _of_file),
    ("sqlite3", "Connection", files_of_database),
    ("polars", "LazyFrame", _of_lazy_frame),
    ("pyarrow.dataset", "FileSystemDataset", _of_dataset),
    ("numpy", "memmap", _of_map),
    ("mmap", "mmap", _nobody_knows),
    ("pyarrow.parquet", "ParquetFile", _nobody_knows),
    ("h5py", "File", lambda file: [os.path.abspath(file.filename)]),
    ("h5py", "Dataset", lambda dataset: [os.path.abspath(dataset.file.filename)]),
    ("netCDF4", "Dataset", lambda dataset: [os.path.abspath(dataset.filepath())]),
    ("pandas", "HDFStore", lambda store: [os.path.abspath(store.filename)]),
    ("duckdb", "DuckDBPyConnection", _nobody_knows),
    ("duckdb", "DuckDBPyRelation", _nobody_knows),
)
