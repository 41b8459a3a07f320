"""Places by name: what is there, and how something else is put there.

A place is an attribute of a module or of one of its classes (``math:tau``, ``pandas:DataFrame.total``), or one of
those that are no attributes (``@signal 14``, ``@open figures``).
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # no stubs
import atexit
import contextlib
import functools
import hashlib
import importlib
import io
import logging
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.values import options
from ckpt_magic.values.canonical import fingerprint
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import MAIN, is_found, is_own, known
from ckpt_magic.values.owners import ABSENT, can_change, is_same_package, module_name, module_of
from ckpt_magic.values.pickles.handles import OF_DIALECTS, OF_LOGGERS, is_logger_of_library


def label(place: str) -> str:
    """Call a place by what people know it as."""
    if place.startswith("@option "):
        source, _, name = place.removeprefix("@option ").partition("|")
        return options.label(source, name)
    return place.removeprefix("@") if place[0] == "@" else place.replace(":", ".", 1)


# --- places by name ---


def place_of(owner: str, key: str) -> str:
    """Name the place that is the attribute `key` of an owner."""
    return f"{owner}{key}" if owner.endswith(":") or owner[0] == "@" else f"{owner}.{key}"


def owner_name(place: str) -> str:
    """The name of the owner of a place, see `place_of`."""
    module, _, path = place.partition(":")
    return f"{module}:{path.rpartition('.')[0]}"


def owner_of(place: str) -> tuple[Any, str]:
    """The object that a place is an attribute of, and the name of the attribute."""
    if place[0] == "@":
        return None, place
    module, _, path = place.partition(":")
    *above, key = path.split(".")
    try:
        found: Any = importlib.import_module(module)
        for part in above:
            found = found[int(part)] if part.isdigit() else getattr(found, part)
    except (ImportError, AttributeError, IndexError, TypeError) as error:
        raise CheckpointUnreadableError(
            f"the step set {label(place)}, which is not here ({error})", name=module
        ) from error
    return found, key


def is_unseen(place: str) -> bool:
    """Whether nobody can tell what is in a place."""
    return place.startswith(_UNSEEN)


def read(place: str) -> Any:
    """What is in a place; nothing is imported for it."""
    if place[0] == "@":
        return next((get(place) for start, (get, _) in _SPECIAL.items() if place.startswith(start)), ABSENT)
    module = place.partition(":")[0]
    if module not in sys.modules:
        return ABSENT
    try:
        owner, key = owner_of(place)
    except CheckpointUnreadableError:
        return ABSENT
    if isinstance(owner, (type, types.ModuleType)) and not is_looked_after(owner, key):
        return vars(owner).get(key, ABSENT)
    return getattr(owner, key, ABSENT)


def is_looked_after(owner: Any, key: str) -> bool:
    """Whether the class of a module has a property of this name, or sets all that has none of its own elsewhere.

    So do `torch.backends.mkldnn.enabled` and `torch._dynamo.config.suppress_errors`.
    """
    if type(owner) is types.ModuleType or not isinstance(owner, types.ModuleType):
        return False
    if any(hasattr(type(vars(kind)[key]), "__set__") for kind in type.mro(type(owner)) if key in vars(kind)):
        return True
    sets_itself = type(type(owner).__setattr__) is types.FunctionType
    return sets_itself and key not in vars(owner) and hasattr(owner, key)


def write(place: str, value: Any) -> None:
    """Put something into a place."""
    if place[0] == "@":
        for start, (_, put) in _SPECIAL.items():
            if place.startswith(start):
                put(place, value)
        return
    owner, key = owner_of(place)
    now = read(place)
    if is_looked_after(owner, key) and now is value:
        return  # it may tell what it does not take
    if type(value) is str and type(now) is str and now == value:
        return  # code may ask whether it is this very text, as argparse does with `SUPPRESS`
    setattr(owner, key, value)


def delete(place: str) -> None:
    """Leave nothing in a place."""
    if place[0] == "@":
        write(place, ABSENT)
        return
    owner, key = owner_of(place)
    delattr(owner, key)


# --- places that are no attributes ---


def specials(words: Set[str], compiled: Iterable[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Look at the places that are no attributes: what is compared by identity, and values to be looked at."""
    found: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    if "signal" in words:
        found["@signal "] = {f"{int(one)}": signal.getsignal(one) for one in signal.valid_signals()}
    if words >= {"sys", "modules"}:
        found[MODULE] = _put_by_hand()
    for word, place in _BY_WORDS.items():
        if word in words:
            found[place] = {"": read(place)}
    if "setrlimit" in words and (resource := sys.modules.get("resource")) is not None:
        names = (name for name in vars(resource) if name.startswith("RLIMIT_"))
        found["@limit "] = {name: read(f"@limit {name}") for name in names}
    if not words.isdisjoint(_OF_POOLS):
        found["@threads of "] = {name: lib.num_threads for name, lib in _thread_pools().items()}
    if not words.isdisjoint(_OF_CSV) and (csv := sys.modules.get("csv")) is not None:
        found["@csv dialect "] = {name: read(f"@csv dialect {name}") for name in csv.list_dialects()}
    if (files := read(FILES_IN_MEMORY)) is not ABSENT:
        found[FILES_IN_MEMORY] = {"": files}
    if not words.isdisjoint(("settrace", "setprofile")):
        found["@trace"] = {"": sys.gettrace()}
        found["@profile"] = {"": sys.getprofile()}
    if "atexit" in words:
        # that a function is taken away cannot be seen
        count: Any = object() if "unregister" in words else atexit._ncallbacks()
        found["@functions at exit"] = {"": count}
    if "codecs" in words and not words.isdisjoint(("register", "unregister", "register_error")):
        found["@codecs"] = {"": object()}
    for kind, entry in _trees().items():
        found.setdefault(TREE if _is_of_a_library(kind) else _TREE_BY_CODE, {})[kind.__qualname__] = entry
    patch = getattr(sys.modules.get("unittest.mock"), "_patch", None)  # it may have been made in another cell
    found["@started patches"] = {"": 0 if patch is None else len(patch._active_patches)}
    if not words.isdisjoint(_QUERIES):
        found["@what is in duckdb's own database"] = {"": _database()}
    for name in compiled:
        found[f"@what {name} sets"] = {"": object()}
    moves_handlers = any("andler" in word or "Config" in word for word in words)
    attributes = found[ATTRIBUTE_OF_LOGGER] = {}
    for name, logger in [("root", logging.root), *logging.Logger.manager.loggerDict.items()]:
        if not isinstance(logger, logging.Logger):
            continue
        theirs = {*map(identity, logger.handlers)} <= known().keys() and not (moves_handlers or logger.filters)
        if (logger.handlers or logger.filters) and not theirs and _is_kept_here(name, logger):
            for part in ("handlers", "filters"):
                values[f"@{part} of logger {name}"] = getattr(logger, part)
        has_more = len(vars(logger)) > len(OF_LOGGERS) or logger is logging.root
        if has_more and not is_logger_of_library(name):
            attributes |= {f"{name} {key}": one for key, one in vars(logger).items() if key not in OF_LOGGERS}
    values |= {place_of(ATTRIBUTE_OF_LOGGER, key): one for key, one in attributes.items() if can_change(one)}
    if (figures := _figures("")) is not ABSENT:
        values["@open figures"] = figures
    return found, values


def _trees() -> dict[type, Any]:
    """Classes of the user's that jax and torch take apart for what is in them, as lists, and how they do it.

    Only compiled code knows all of that: which keys a class shows, for one.
    """
    found: dict[type, Any] = {}
    for module, name in OF_TREES:
        table = getattr(sys.modules.get(module), name, {})
        homes = [*map(module_of, table)]
        ours = {one for one in {*homes} if _is_ours(one)}  # many are of one module, which is asked for once
        found |= {kind: table[kind] for kind, home in zip(table, homes, strict=True) if home in ours}
    return found


def _is_ours(module: str) -> bool:
    return module in MAIN or is_own(module)


def _is_of_a_library(kind: type) -> bool:
    """Whether a class has a base of a library, which is told of each class that is made."""
    theirs = (home.partition(".")[0] for home in map(module_of, type.mro(kind)) if not _is_ours(home))
    return not sys.stdlib_module_names.issuperset(theirs)


def _put_by_hand() -> dict[str, Any]:
    """What was put among the modules without an import of its name; each is looked at once.

    One may take the place of another, which `owned.new_modules` would not see at once.
    """
    for name, module in list(sys.modules.items()):
        if _met.get(name, ABSENT) is not module:
            _met[name] = module
            _by_hand.pop(name, None)
            if _is_put_by_hand(name, module):
                _by_hand[name] = module
    for name in _met.keys() - sys.modules.keys():
        del _met[name]
        _by_hand.pop(name, None)
    return dict(_by_hand)


_OF_HANDLERS: Final = frozenset(
    {"filters", "_name", "level", "formatter", "_closed", "lock", "stream", "terminator"}
    | {"baseFilename", "mode", "encoding", "errors", "delay", "_builtin_open"}
)
_met: Final[dict[str, Any]] = {}
_by_hand: Final[dict[str, Any]] = {}


def _is_put_by_hand(name: str, module: Any) -> bool:
    """Whether something was put among the modules without an import of this name: no kernel finds it again."""
    if not issubclass(type(module), types.ModuleType):  # libraries put objects of their own there
        return not is_same_package(module_name(module), name)
    made_as = module_of(module)
    if type(module) is not types.ModuleType or made_as in MAIN or _comes_with_others(name, made_as):
        return False
    is_made = getattr(module, "__spec__", None) is None and not hasattr(module, "__file__")
    return is_made or made_as != name or (is_own(name) and not is_found(name.partition(".")[0]))


def _comes_with_others(name: str, made_as: str) -> bool:
    """Whether Python, or compiled code when it is loaded, puts a module there: a part without a file, another name."""
    tops = {name.partition(".")[0], made_as.partition(".")[0]}
    if tops <= sys.stdlib_module_names or name.startswith(("cython_runtime", "_cython_", "_cyutility")):
        return True
    file, is_part = _file_of(name), not _file_of(name)
    while not file and made_as:
        made_as = made_as.rpartition(".")[0]
        file = _file_of(made_as)
    is_library = bool(file) and not file.endswith(".py")
    return is_library and (is_part or "." in name or made_as.endswith(f".{name}"))


def _file_of(module: str) -> str:
    return str(getattr(sys.modules.get(module), "__file__", None) or "")


def _is_kept_here(name: str, logger: logging.Logger) -> bool:
    """Whether handlers of a logger can be the notebook's: importing a library again gives it those of its own."""
    if is_logger_of_library(name):
        return False
    host = getattr(sys.modules.get("traitlets.config"), "Application", None)
    if host is not None and host.initialized() and logger is host.instance().log:
        return False  # the kernel's own, which writes to a stream that no pickle holds
    return all(
        module_name(one) in ("logging", "logging.handlers", "__main__") or is_own(module_name(one))
        for one in logger.handlers
    )


def handlers_as_text(handlers: Any, namespace: Mapping[str, Any]) -> str | None:
    """What handlers of the standard library do, in a text that is equal in each kernel; None if there is any other.

    A text in memory that they write to is told by the names that the notebook has for it: what is in it is theirs.
    """
    told = [_of_handler(one, namespace) for one in handlers] if type(handlers) is list else [None]
    return None if None in told else fingerprint(told)


def _of_handler(handler: Any, namespace: Mapping[str, Any]) -> list[Any] | None:
    kind = type(handler)
    if kind not in (logging.StreamHandler, logging.FileHandler) or not vars(handler).keys() <= _OF_HANDLERS:
        return None
    target = _target(handler, namespace)
    if handler.filters or not target:
        return None
    told, form = [kind.__name__, target, handler.level, handler.name, handler.terminator], handler.formatter
    if form is None:
        return told
    if type(form) is not logging.Formatter or type(form._style).__module__ != "logging":
        return None
    return [*told, type(form._style).__name__, vars(form._style), {**vars(form), "_style": None}]


def _target(handler: Any, namespace: Mapping[str, Any]) -> list[Any]:
    """Where a handler writes; empty if that cannot be told."""
    if type(handler) is logging.FileHandler:
        with contextlib.suppress(OSError, ValueError):  # the folder is gone; on another drive
            place = os.path.relpath(handler.baseFilename)  # a project may be moved
            return [place, handler.mode, handler.encoding, handler.errors]
        return []
    for name in ("stdout", "stderr"):
        if handler.stream is getattr(sys, name):
            return [name]
    if type(handler.stream) is not io.StringIO:
        return []
    return sorted(name for name, value in list(namespace.items()) if value is handler.stream)


def _logger(place: str) -> tuple[logging.Logger, str]:
    part, _, name = place.removeprefix("@").partition(" of logger ")
    return logging.getLogger(None if name == "root" else name), part


def _logger_part(place: str) -> Any:
    logger, part = _logger(place)
    return getattr(logger, part)


def _put_logger_part(place: str, value: Any) -> None:
    logger, part = _logger(place)
    if value is ABSENT:
        getattr(logger, part).clear()
    else:
        setattr(logger, part, value)


def _attribute_of_logger(place: str) -> tuple[dict[str, Any], str]:
    name, _, key = place.removeprefix(ATTRIBUTE_OF_LOGGER).rpartition(" ")
    return vars(logging.getLogger(None if name == "root" else name)), key


def _logger_attribute(place: str) -> Any:
    attributes, key = _attribute_of_logger(place)
    return attributes.get(key, ABSENT)


def _put_logger_attribute(place: str, value: Any) -> None:
    attributes, key = _attribute_of_logger(place)
    if value is ABSENT:
        attributes.pop(key, None)
    else:
        attributes[key] = value


def register_handlers(places: Iterable[str]) -> None:
    """Let `logging` know handlers in these places by their names, as it does when one is given a name."""
    for place in places:
        if place.startswith("@handlers of logger "):
            named = {one.name: one for one in _logger_part(place) if one.name}
            logging._handlers.update(named)  # type: ignore[attr-defined]


def _figures(_: str) -> Any:
    """The figures that pyplot keeps, in its order; the last one is the current one."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    managers = helpers.Gcf.figs if helpers is not None and hasattr(helpers, "Gcf") else {}
    return [(number, one.canvas.figure) for number, one in managers.items()] or ABSENT


def _put_figures(_: str, figures: Any) -> None:
    pyplot = importlib.import_module("matplotlib.pyplot")
    registry = importlib.import_module("matplotlib._pylab_helpers").Gcf
    registry.figs.clear()
    backend = pyplot._get_backend_mod()
    for number, figure in [] if figures is ABSENT else figures:
        registry._set_new_active_manager(backend.new_figure_manager_given_figure(number, figure))


def _option(place: str) -> Any:
    source, _, name = place.removeprefix("@option ").partition("|")
    value = options.read(source, name)
    return ABSENT if value is None else value


def _put_option(place: str, value: Any) -> None:
    source, _, name = place.removeprefix("@option ").partition("|")
    options.write(source, {name: None if value is ABSENT else value})


def subclasses(owner: Any, words: Set[str]) -> dict[str, type]:
    """The classes that were registered with an abstract class of a library, those of libraries if code names them."""
    return {
        name: one
        for name, one in _registered(owner)
        if one.__module__ == "__main__" or is_own(one.__module__) or one.__name__ in words
    }


def _registered(owner: Any) -> Iterator[tuple[str, type]]:
    for ref in _abc._get_dump(owner)[0]:
        if (one := ref()) is not None:
            yield f"{one.__module__}.{one.__qualname__}", one


def _subclass(place: str) -> Any:
    owner, _, name = place.removeprefix("@subclasses of ").partition(" ")
    return next((one for found, one in _registered(_resolved(owner)) if found == name), ABSENT)


def _put_subclass(place: str, value: Any) -> None:
    owner, _, _ = place.removeprefix("@subclasses of ").partition(" ")
    if value is not ABSENT:
        _resolved(owner).register(value)


def _resolved(name: str) -> Any:
    module, _, path = name.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))


def _limit(place: str) -> Any:
    resource = importlib.import_module("resource")
    return _one(resource.getrlimit(getattr(resource, place.removeprefix("@limit "))))


def _put_limit(place: str, value: tuple[int, int]) -> None:
    resource = importlib.import_module("resource")
    number = getattr(resource, place.removeprefix("@limit "))
    resource.setrlimit(number, (value[0], resource.getrlimit(number)[1]))  # a hard limit never rises again


def _thread_pools() -> dict[str, Any]:
    """The libraries in C that count in threads, by the names of their files, as far as `threadpoolctl` knows them."""
    module = sys.modules.get("threadpoolctl")
    found = [] if module is None else module.ThreadpoolController().lib_controllers
    return {os.path.basename(one.filepath): one for one in found}


def _threads(place: str) -> Any:
    pool = _thread_pools().get(place.removeprefix("@threads of "))
    return ABSENT if pool is None else pool.num_threads


def _put_threads(place: str, count: Any) -> None:
    pool = _thread_pools().get(place.removeprefix("@threads of "))
    if pool is not None:
        pool.set_num_threads(count)


def _dialect(place: str) -> Any:
    csv = sys.modules.get("csv")
    try:
        dialect = csv.get_dialect(place.removeprefix("@csv dialect ")) if csv is not None else None
    except csv.Error:  # type: ignore[union-attr]
        return ABSENT
    return ABSENT if dialect is None else _one(tuple((name, getattr(dialect, name)) for name in OF_DIALECTS))


def _put_dialect(place: str, value: Any) -> None:
    csv, name = importlib.import_module("csv"), place.removeprefix("@csv dialect ")
    if value is not ABSENT:
        csv.register_dialect(name, **dict(value))
    elif name in csv.list_dialects():
        csv.unregister_dialect(name)


def _files_in_memory(_: str) -> Any:
    """The files that fsspec keeps in this process, whoever wrote them: their paths, and digests of what is in them."""
    module = sys.modules.get("fsspec.implementations.memory")
    files = getattr(getattr(module, "MemoryFileSystem", None), "store", {})
    found = [(path, hashlib.blake2b(file.getvalue(), digest_size=16).hexdigest()) for path, file in files.items()]
    return _one(tuple(found)) if found else ABSENT


def _history_length(_: str) -> Any:
    module = sys.modules.get("readline")
    return None if module is None else _one(module.get_history_length())


def _umask(_: str) -> int:
    """Read it by setting it, to what lets others do the least meanwhile."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@functools.cache
def _one(value: Any) -> Any:
    """The same object for equal values: places are compared by identity."""
    return value


def _database() -> Any:
    """What tells the database in memory that the module duckdb keeps for its functions (`duckdb.sql`) from another.

    It is read through another cursor: results that nobody has fetched yet stay where they are. That one does not see
    what is temporary, nor what a transaction has not committed.
    """
    default = getattr(sys.modules.get("duckdb"), "default_connection", None)
    try:
        cursor = None if default is None else (default() if callable(default) else default).cursor()
    except Exception:  # noqa: BLE001  # an error of the library's own: it is closed
        cursor = None
    if cursor is None:
        return _one(())
    rows: list[Any] = []
    try:
        with cursor:
            rows += (tables := cursor.execute(_TABLES).fetchall())
            for question in _BESIDE_TABLES:
                rows += cursor.execute(question).fetchall()
            for schema, table, _ in tables:
                name = ".".join('"{}"'.format(part.replace('"', '""')) for part in ("memory", schema, table))
                question = f"select count(*), sum(hash(one, one.rowid)) from {name} one"  # noqa: S608  # quoted
                rows += cursor.execute(question).fetchall()
    except Exception:  # noqa: BLE001  # what this version cannot tell or compare
        return object()
    return _one(tuple(rows))


_QUERIES: Final = frozenset({"sql", "query", "execute", "executemany", "from_query", "query_df", "create", "append"})
_TABLES: Final = "select schema_name, table_name, sql from duckdb_tables() where database_name = 'memory'"
_BESIDE_TABLES: Final = (
    "select path from duckdb_databases() where path is not null",
    "select schema_name, function_name, macro_definition from duckdb_functions() where not internal",
    "select schema_name, sequence_name, last_value from duckdb_sequences()",
    "select schema_name, view_name, sql from duckdb_views() where not internal",
)


def _stack_size(_: str) -> Any:
    """Read it by setting it."""
    size = threading.stack_size()
    threading.stack_size(size)
    return _one(size)


def _start_method(_: str) -> Any:
    module = sys.modules.get("multiprocessing")
    return None if module is None else _one(module.get_start_method(allow_none=True))


def _put_start_method(_: str, method: Any) -> None:
    importlib.import_module("multiprocessing").set_start_method(method, force=True)


def _policy(_: str) -> Any:
    module = sys.modules.get("asyncio")
    return None if module is None else module.get_event_loop_policy()


MODULE: Final = "@module "
ATTRIBUTE_OF_LOGGER: Final = "@attribute of logger "
_SPECIAL: Final[dict[str, tuple[Callable[[str], Any], Callable[[str, Any], Any]]]] = {
    "@signal ": (
        lambda place: signal.getsignal(int(place.removeprefix("@signal "))),
        lambda place, value: signal.signal(int(place.removeprefix("@signal ")), value),
    ),
    "@limit ": (_limit, _put_limit),
    "@niceness": (
        lambda _: _one(os.getpriority(os.PRIO_PROCESS, 0)),
        lambda _, value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
    "@processors": (
        lambda _: _one(frozenset(os.sched_getaffinity(0))),
        lambda _, value: os.sched_setaffinity(0, value),
    ),
    "@length of history": (
        _history_length,
        lambda _, value: importlib.import_module("readline").set_history_length(value),
    ),
    "@policy of event loops": (
        _policy,
        lambda _, value: importlib.import_module("asyncio").set_event_loop_policy(value),
    ),
    "@umask": (_umask, lambda _, value: os.umask(value)),
    "@stack size of threads": (_stack_size, lambda _, value: threading.stack_size(value)),
    "@start method of processes": (_start_method, _put_start_method),
    "@csv dialect ": (_dialect, _put_dialect),
    "@threads of ": (_threads, _put_threads),
    "@blocked signals": (
        lambda _: _one(frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        lambda _, value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    "@files in memory": (_files_in_memory, lambda *_: None),
    "@trace": (lambda _: sys.gettrace(), lambda _, value: sys.settrace(value)),
    "@profile": (lambda _: sys.getprofile(), lambda _, value: sys.setprofile(value)),
    "@handlers of logger ": (_logger_part, _put_logger_part),
    "@filters of logger ": (_logger_part, _put_logger_part),
    ATTRIBUTE_OF_LOGGER: (_logger_attribute, _put_logger_attribute),
    "@open figures": (_figures, _put_figures),
    "@functions at exit": (lambda _: 0, lambda *_: None),
    "@started patches": (lambda _: 0, lambda *_: None),
    "@codecs": (lambda _: 0, lambda *_: None),
    "@what ": (lambda _: 0, lambda *_: None),
    MODULE: (lambda _: 0, lambda *_: None),
    "@option ": (_option, _put_option),
    "@subclasses of ": (_subclass, _put_subclass),
}
_OF_POOLS: Final = frozenset({"threadpool_limits", "ThreadpoolController"})
_OF_CSV: Final = frozenset({"register_dialect", "unregister_dialect"})
_BY_WORDS: Final = {
    "umask": "@umask",
    "stack_size": "@stack size of threads",
    "set_start_method": "@start method of processes",
    "nice": "@niceness",
    "setpriority": "@niceness",
    "sched_setaffinity": "@processors",
    "set_history_length": "@length of history",
    "set_event_loop_policy": "@policy of event loops",
    "pthread_sigmask": "@blocked signals",
}
"""What is read only where code has the word that sets it."""
COMPARED: Final = frozenset({"signal", "sys", "modules", "settrace", "setprofile"}) | _OF_CSV
"""Words of code for whose sake `specials` compares what is there, whoever may have set it; to ask changes nothing."""
THERE_ANYWAY: Final = frozenset({"@signal ", MODULE, "@trace", "@profile"})
"""What is there for these words before anybody imports anything."""
FILES_IN_MEMORY: Final = "@files in memory"
TREE: Final = "@what libraries take apart: class "
_TREE_BY_CODE: Final = "@what libraries take apart as told: class "
OF_TREES: Final = (("jax._src.tree_util", "_registry"), ("torch.utils._pytree", "SUPPORTED_NODES"))
"""Where libraries note classes that they take apart, beside what compiled code knows of it."""
_UNSEEN: Final = ("@functions at exit", "@started patches", "@codecs", "@what ", MODULE)
UNWRITABLE: Final = (*_UNSEEN, FILES_IN_MEMORY)
CALLBACKS: Final = "@option shell|callback of "
