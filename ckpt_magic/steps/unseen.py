"""What code reads without Python's knowing: by libraries that open files themselves, by programs, in C."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from typing import Final

from ckpt_magic.steps.modules import Modules
from ckpt_magic.steps.plan import Look
from ckpt_magic.values import owned
from ckpt_magic.values.code import modulecode

PANDAS_READERS: Final = frozenset(
    {"read_parquet", "read_feather", "read_orc", "read_hdf", "HDFStore", "read_html"} | {"read_spss"}
)
_READER_STARTS: Final = ("read_", "scan_")
# Libraries that open files themselves, and what reads files of theirs beside `_OF_ANY`.
_NATIVE: Final[Mapping[str, Set[str]]] = {
    "polars": {"sql", "execute"},
    "pyarrow": {"dataset", "Dataset", "ParquetFile", "ParquetDataset", "memory_map", "OSFile", "open_file"}
    | {"RecordBatchFileReader", "LocalFileSystem"},
    "duckdb": {"sql", "execute", "query", "connect", "from_parquet", "from_csv_auto"},
    "h5py": {"File", "Dataset"},
    "netCDF4": {"Dataset"},
    "tables": {"File", "open_file"},
    "cv2": {"VideoCapture"},
    "lightgbm": {"Dataset", "Booster"},
    "xgboost": {"DMatrix", "Booster", "load_model"},
    "catboost": {"Pool", "load_model"},
    "tensorflow": {"dataset", "Dataset", "load_model"},
    "lance": {"dataset"},
    "lxml": {"parse", "iterparse"},
    **dict.fromkeys(
        ("rasterio", "pyogrio", "fiona", "soundfile", "torchvision", "torchaudio", "vaex", "datatable"), frozenset()
    ),
}
_OF_ANY: Final = frozenset({"imread", "open_dataset", "open_mfdataset", "open_zarr"})
# Libraries whose functions in C are found by ctypes, which keeps each that was ever asked for: by what they are kept,
# and those that open files.
_BY_CTYPES: Final[Mapping[str, tuple[str, str, Set[str]]]] = {
    "lightgbm": ("lightgbm.basic", "_LIB", {"LGBM_DatasetCreateFromFile", "LGBM_BoosterCreateFromModelfile"}),
    "xgboost": (
        "xgboost.core",
        "_LIB",
        {"XGDMatrixCreateFromURI", "XGDMatrixCreateFromFile", "XGBoosterLoadModel"},
    ),
}
# What pandas reads through a connection, which may be of any library, that library opens.
_THROUGH_OTHERS: Final = frozenset({"read_sql", "read_sql_query", "read_sql_table", "read_gbq"})
# Libraries that have Python open files, which is seen; not torch (`jit.load`), scipy (`mmread`), PIL (`truetype`).
SEEN: Final = owned.HOSTS | frozenset(
    {"altair", "bokeh", "joblib", "matplotlib", "networkx", "numpy", "pandas", "plotly", "requests"}
    | {"seaborn", "sklearn", "statsmodels", "sympy", "tqdm", "yaml"}
)
_STARTING: Final = {"asyncio", "concurrent", "importlib", "multiprocessing", "os", "pty", "sqlite3", "subprocess"}
_OPENING_SEEN: Final = (SEEN | sys.stdlib_module_names | {"__main__", "builtins"}) - _STARTING
# What has other processes do something, and what of it may be reading.
_PROCESSES: Final = frozenset({"Pool", "Process", "ProcessPoolExecutor", "Parallel", "fork", "forkserver", "spawn"})
_READING: Final = frozenset(
    {"open", "load", "loadtxt", "genfromtxt", "fromfile", "imread", "memmap", "listdir", "glob"}
)
_PICKLERS: Final = frozenset({"pickle", "dill", "cloudpickle", "joblib", "torch", "shelve", "marshal"})
# Programs that read what no command line names.
_INTERPRETERS: Final = re.compile(
    r"(python|pypy|perl|ruby|node|deno|bun|php|R|Rscript|julia|java|lua|make|cmake|ninja|git|dvc|snakemake|nextflow|"
    r"docker|podman|npm|npx|yarn|cargo|go|gcc|g\+\+|clang|source|jupyter|papermill|dbt|spark-submit|duckdb|sqlite3)[\d.]*"
)
_SCRIPTS: Final = (".py", ".sh", ".bash", ".zsh", ".R", ".r", ".pl", ".rb", ".js", ".ts", ".jl", ".lua", ".mk", ".sql")
# Words of code that rests on environment variables which C code reads.
_TIME_WORDS: Final = frozenset(
    {"localtime", "mktime", "ctime", "strftime", "tzset", "tzname", "timezone", "altzone", "daylight", "astimezone"}
    | {"fromtimestamp", "now", "today", "timestamp", "tzlocal", "get_localzone"}
)
_LOCALE_WORDS: Final = frozenset(
    {"setlocale", "getlocale", "localeconv", "strcoll", "strxfrm", "format_string", "strftime"}
)
_LOCALE: Final = ("LC_ALL", "LANG", "LC_TIME", "LC_NUMERIC", "LC_COLLATE")
_TERMINAL: Final = ("COLUMNS", "LINES")  # `shutil` asks for them
READ_BY_C: Final = ("TZ", *_LOCALE, *_TERMINAL, "PYTHONHASHSEED")


def variables(words: Set[str], behind: Collection[str], modules: Modules) -> set[str]:
    """Environment variables that C code has read for code with these words, and for the modules `behind` it."""
    words = {*words}.union(*map(modules.words, behind))
    found = set() if words.isdisjoint(_TIME_WORDS) else {"TZ"}
    found |= set() if words.isdisjoint(_LOCALE_WORDS) else {*_LOCALE}
    found |= {*_TERMINAL} if "get_terminal_size" in words else set()
    return found | ({"PYTHONHASHSEED"} & os.environ.keys())


def readers(look: Look, behind: Collection[str], modules: Modules) -> list[str]:
    """Words of code, and of what it calls in the modules `behind` it, that may stand for libraries reading files."""
    words, further = {*look.words}, set[str]()
    for _ in behind:  # as many rounds as modules may call each other
        count = len(words)
        further = further.union(*(modulecode.words_reached(modules.text(name), words) for name in behind))
        words |= further
        if len(words) == count:
            break
    tops = _tops(look, behind, modules)
    found = {*(words & PANDAS_READERS)} if "pandas" in tops else set[str]()
    if "sqlite3" in tops and any("attach" in text.lower() for text in look.texts):
        found.add("attach")
    if "torch" in tops:
        found |= words & {"from_file"}
    if any(word in _READING or word.startswith(_READER_STARTS) for word in words):
        found |= words & _PROCESSES
    if natives := {name for name in tops & _NATIVE.keys() if not _has_read_nothing(name)}:
        words -= look.told - further
        found |= words & _readers_of(natives) | {word for word in words if word.startswith(_READER_STARTS)}
    return sorted(found)


def _has_read_nothing(library: str) -> bool:
    """Whether nothing in this process has had a library open a file itself, as far as that can be told."""
    module, name, openers = _BY_CTYPES.get(library, ("", "", frozenset[str]()))
    handle = getattr(sys.modules.get(module), name, None)
    return issubclass(type(handle), ctypes.CDLL) and vars(handle).keys().isdisjoint(openers)


def likely(words: Set[str], modules: Iterable[str]) -> Set[str]:
    """Those of these words that may stand for a library, of those that the code runs through, opening files itself."""
    natives = {name.partition(".")[0] for name in modules} & _NATIVE.keys()
    readers = _readers_of(natives) if natives else frozenset[str]()
    found = {word for word in words if word in readers or word.startswith(_READER_STARTS)} if natives else set[str]()
    return found - PANDAS_READERS - _THROUGH_OTHERS


def strangers(look: Look, behind: Collection[str], modules: Modules) -> set[str]:
    """The libraries on the way of which it is not known that they open files where Python sees it."""
    tops = _tops(look, behind, modules) - sys.stdlib_module_names - SEEN - {"__main__", "ckpt_magic", ""}
    return tops - {name.partition(".")[0] for name in behind}


def _tops(look: Look, behind: Collection[str], modules: Modules) -> set[str]:
    return {name.partition(".")[0] for name in (*look.modules, *set[str]().union(*map(modules.imports, behind)))}


def may_name_files(words: Set[str], modules: Iterable[str]) -> bool:
    """Whether what values hold may name files that a program opens, or a library unseen, for code with these words."""
    tops = {name.partition(".")[0] for name in modules}
    return bool(words & (PANDAS_READERS | {"get_ipython", "__import__"}) or tops - _OPENING_SEEN)


def may_open(words: Set[str]) -> bool:
    """Whether code with these words may have a library, of those that are here, open files itself."""
    natives = _NATIVE.keys() & sys.modules.keys()
    return bool(natives) and not words.isdisjoint(_readers_of(natives) | PANDAS_READERS)


def _readers_of(natives: Iterable[str]) -> Set[str]:
    return _OF_ANY.union(*map(_NATIVE.__getitem__, natives))


def unpickles(modules: Iterable[str], words: Set[str]) -> bool:
    """Whether code may load pickles: they name modules, functions and classes that no code names."""
    tops = {name.partition(".")[0] for name in modules}
    return "read_pickle" in words or bool(tops & _PICKLERS and words & {"load", "loads", "Unpickler"})


# --- programs ---


def arguments(texts: Iterable[str]) -> Iterator[str]:
    """The words of command lines; folders among them end as such."""
    for word in dict.fromkeys(word for text in texts for word in re.split(r"[\s'\"=<>|;&()]+", text)):
        yield f"{word}{os.sep}" if word and os.path.isdir(word) else word


def variables_in(texts: Iterable[str]) -> set[str]:
    """Environment variables that command lines name."""
    return {name for text in texts for name in re.findall(r"\$\{?([A-Za-z_]\w*)", text)}


def starts_interpreter(texts: Iterable[str]) -> bool:
    """Whether a word of command lines means a program that reads what is not named there, or the text of one."""
    return any(map(_is_interpreter, arguments(texts)))


def _is_interpreter(word: str) -> bool:
    name = os.path.basename(word)
    return name.endswith(_SCRIPTS) or bool(_INTERPRETERS.fullmatch(name)) or (os.sep in word and _is_program(word))


def _is_program(path: str) -> bool:
    """Whether a file is a program of the user's own."""
    installed = ("/bin/", "/usr/", "/sbin/", "/opt/", *owned.installed())
    return os.path.isfile(path) and os.access(path, os.X_OK) and not path.startswith(installed)
