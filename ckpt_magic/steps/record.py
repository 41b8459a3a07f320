"""META of a checkpoint: the record of how its values came about, as plain JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# what a META without these keys (a foreign pickle that was trusted) says of them
EMPTY: Mapping[str, Any] = {
    "title": None,
    "notebook": None,
    "kernel": "",
    "created": None,
    "seconds": 0.0,
    "source": "",
    "code": "",
    "codes": (),
    "imports": (),
    "variables": (),
    "deleted": (),
    "lost": (),
    "unsaved": (),
    "reads": {},
    "groups": {},
    "seen": {},
    "before": {},
    "marks": (),
    "ambient": (),
    "moved": False,
    "refused": (),
    "outputs_cut": None,
    "packages": {},
    "needs": (),
}


def variables(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per saved variable: name, type, shape (or length) and bytes of its data where it tells them."""
    return [
        {"name": name, "type": type_name(value), "shape": _shape(value), "bytes": _bytes(value)}
        for name, value in values.items()
    ]


def type_name(value: Any) -> str:
    """Name of the type as people write it: `int`, `pandas.DataFrame`, `sqlite3.Connection`."""
    kind = type(value)
    top = kind.__module__.partition(".")[0]
    return kind.__qualname__ if top in ("builtins", "__main__") else f"{top}.{kind.__qualname__}"


def packages(modules: Iterable[str]) -> dict[str, str]:
    """Versions of the installed packages among the top-level modules that a pickle imports from."""
    versions = {}
    for module in sorted(set(modules) - sys.stdlib_module_names):
        version = getattr(sys.modules.get(module), "__version__", None)
        if not isinstance(version, str):
            try:
                version = importlib.metadata.version(module)
            except importlib.metadata.PackageNotFoundError:
                continue
        versions[module] = version
    return versions


def python_version() -> str:
    """Version of the running Python."""
    return platform.python_version()


def now() -> str:
    """The time now, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def notebook_path(notebook: Path | None, folder: Path) -> str | None:
    """Path of a notebook relative to the checkpoint folder, so that moving the project changes nothing."""
    if notebook is None:
        return None
    try:
        return Path(os.path.relpath(notebook, folder)).as_posix()
    except ValueError:  # another drive, on Windows
        return notebook.as_posix()


def _shape(value: Any) -> list[int] | None:
    kind = type(value)
    if kind in (str, bytes, bytearray, list, tuple, dict, set, frozenset):
        return [len(value)]
    if kind.__module__.partition(".")[0] in ("builtins", "__main__"):
        return None
    shape = getattr(value, "shape", None) if hasattr(kind, "shape") else None
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return [int(length) for length in shape]
    return None


def _bytes(value: Any) -> int | None:
    """Bytes of the data, where the value knows them without walking through Python objects."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return len(value)
    top = kind.__module__.partition(".")[0]
    if top == "pandas" and kind.__name__ in ("DataFrame", "Series"):
        usage = value.memory_usage(index=True, deep=False)
        return int(usage.sum()) if kind.__name__ == "DataFrame" else int(usage)
    if top in ("numpy", "pyarrow", "torch"):
        size = getattr(value, "nbytes", None)
        return int(size) if isinstance(size, int) else None
    if top == "polars" and kind.__name__ == "DataFrame":
        return int(value.estimated_size())
    return None
