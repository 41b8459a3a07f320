"""Mutable objects that libraries own: a name for `logging.root.handlers` stands for that very list, not for a copy.

They are found by a walk over what modules hold: attributes of the module, of its classes, and of the instances that
these hold. A module is walked once, when it is first seen: what the user puts into it later is the user's. Knows no
pickle.
"""

from __future__ import annotations

import collections
import functools
import inspect
import io
import json
import os
import pathlib
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from ckpt_magic.values.collector import TOLD_BY_NAME
from ckpt_magic.values.memory import identity

Path = tuple[str, ...]  # a module and the attributes that lead from it to the object; `[0]` is an item

MAIN: Final = frozenset({"__main__", "__mp_main__"})
"""Names of the module that the notebook, or the script, is."""
HOSTS: Final = frozenset({"IPython", "comm", "ipykernel", "tornado", "zmq"})
"""Packages that run a notebook."""

_NOT_OWN: Final = MAIN | {"ckpt_magic"}
_CONTAINERS: Final = (list, dict, set, bytearray, collections.deque, collections.UserDict, collections.UserList)
_ITEMS: Final = frozenset({"container", "instance", "whole"})  # see `_kind_of`
_MANY: Final = 10_000
_DEEPEST: Final = 3  # attributes: `logging.Logger.manager.loggerDict`
_SKIPPED: Final = _NOT_OWN | HOSTS

# What they hold belongs to the process and is no step's; what of it steps may change is ambient state.
_OF_THE_PROCESS: Final = (
    *(("sys", name) for name in ("argv", "meta_path", "modules", "orig_argv", "path", "path_hooks", "warnoptions")),
    ("sys", "path_importer_cache"),
    ("warnings", "filters"),
    ("matplotlib", "rcParams"),
    *(("mpmath", name) for name in ("mp", "iv", "fp")),  # and what they keep inside
    ("matplotlib.backends.registry", "backend_registry"),  # what packages offer is looked up when a window is opened
)
_OF_LOCKS: Final = ("acquire", "release", "locked")  # some have a name of their own in each process


def known() -> Mapping[int, Path]:
    """What libraries own: where each object is found, by its `id`. An entry may be out of date: see `at`."""
    for name, module in new_modules(_walked):
        _own.pop(name, None)
        if is_own(name):
            _own[name] = None
        elif type(module) is types.ModuleType and name.partition(".")[0] not in _SKIPPED and "._" not in f".{name}":
            _walk(name, vars(module))
    return _paths


def own_modules() -> list[str]:
    """Names of the modules that are there and of the user's own, in the order in which they came."""
    known()
    return [name for name in _own if name in sys.modules]


def new_modules(walked: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The modules that came, or were loaded again, since `walked` was filled; it is brought up to date meanwhile."""
    if len(sys.modules) == len(walked) and _last(sys.modules) is _last(walked):
        return
    for name, module in list(sys.modules.items()):
        if walked.get(name) is not module:
            walked.pop(name, None)
            yield name, module
            walked[name] = module  # only now: an interrupt on the way shall cost nothing but time
    for name in walked.keys() - sys.modules.keys():
        del walked[name]
    if _last(sys.modules) is not _last(walked):  # one stands where another stood: else all calls would go through all
        for name in filter(walked.__contains__, list(sys.modules)):
            walked[name] = walked.pop(name)


def disown(path: Path) -> None:
    """Take an object, and all below it, for the user's: it was put into a module before anybody looked there."""
    for ident in [ident for ident, one in known().items() if one[: len(path)] == path]:
        del _paths[ident]


OF_PACKAGES: Final = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))


def is_own(name: str) -> bool:
    """Whether a module (or the owner of a place) is of the user's own: a file outside of where packages are."""
    file = file_of(name.partition(":")[0])
    return file is not None and name.partition(".")[0] not in _NOT_OWN and is_own_file(file)


def file_of(name: str) -> str | None:
    """The file that a loaded module says it came from."""
    module = sys.modules.get(name)
    is_module = issubclass(type(module), types.ModuleType)  # none is asked for an attribute: some raise, or load more
    file = object.__getattribute__(module, "__dict__").get("__file__") if is_module else None
    return file if isinstance(file, str) else None


def is_gone(name: str) -> bool:
    """Whether no import finds a compiled module again: one that a library built in a folder of its own for a while."""
    file = file_of(name)
    if file is None or file.endswith(".py"):
        return False
    folder, base = os.path.split(file)
    return is_own_file(os.path.join(folder, f"{base.partition('.')[0]}.py")) and not is_found(name)


def is_found(name: str) -> bool:
    """Whether an import finds a module; one that was loaded from a path need not lie where modules are looked for."""
    above = sys.modules.get(name.rpartition(".")[0])
    with suppress(Exception):  # finders may be anybody's
        path = None if above is None else above.__path__
        return any(finder.find_spec(name, path) is not None for finder in sys.meta_path)
    return True


@functools.cache
def is_own_file(file: str) -> bool:
    """Whether a file is the text of a module of the user's own."""
    if any(folder in file for folder in OF_PACKAGES):  # also those of another environment, by a .pth file
        return False
    if not os.path.isabs(file):  # made up: `torch.ops` says `_ops.py`
        return False
    return file.endswith(".py") and not file.startswith(installed())


@functools.lru_cache(maxsize=1)
def installed() -> tuple[str, ...]:
    """How the paths of what belongs to Python and to packages begin.

    Who makes a virtual environment in the folder of the project (`python -m venv .`) has own files beside what Python
    has there.
    """
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_path("data")}
    inside = [path for path in sysconfig.get_paths().values() if path not in roots]
    for root in roots:
        is_venv = os.path.exists(os.path.join(root, "pyvenv.cfg"))
        inside += [os.path.join(root, *name.split("/")) for name in (_OF_VENV if is_venv else _OF_PYTHON)]
    folders = (*inside, str(pathlib.Path(__file__).parents[1]), site.getusersitepackages())
    return tuple({f"{folder.rstrip(os.sep)}{os.sep}": None for folder in folders})


_OF_VENV: Final = ("bin", "include", "Scripts", "Lib/site-packages", "share/jupyter", "share/man", "etc/jupyter")
_OF_PYTHON: Final = (
    *("bin", "include", "lib", "lib64", "libexec", "share", "etc", "ssl", "var", "local"),
    *("conda-meta", "pkgs", "Resources", "Lib", "Scripts", "DLLs", "Library", "tcl"),
)


def at(path: Path) -> Any:
    """The object at a path; None if there is none now."""
    found: Any = sys.modules.get(path[0])
    for name in path[1:]:
        try:
            found = getattr(found, name) if (key := key_of(name)) is None else found[key]
        except Exception:  # noqa: BLE001  # a property of a library may raise anything
            return None
    return found


def key_of(name: str) -> int | str | None:
    """The key that a part of a path stands for; None for an attribute."""
    return json.loads(name)[0] if name.startswith("[") else None


def items_of(path: Path) -> dict[int, Path]:
    """The paths of the objects that a list or dict of a library holds, by their `id`, but for those that have others.

    They are objects that a copy cannot stand for.
    """
    obj = at(path)
    if type(obj) not in (list, dict) or len(obj) > _MANY:
        return {}
    items = obj.items() if type(obj) is dict else enumerate(obj)
    some = [(key, one) for key, one in items if type(key) in (int, str) and _kind_of(type(one)) in _ITEMS]
    return {identity(one): (*path, json.dumps([key])) for key, one in some if identity(one) not in _paths}


def is_private(path: Path) -> bool:
    """Whether only the library itself is meant to hold the object, inside objects of its own."""
    return any(name.startswith("_") and name != "__dict__" for name in path)


def is_of_the_process(path: Path) -> bool:
    """Whether what an object holds differs from kernel to kernel, or is ambient state: then it is not compared."""
    around = [at(path[:end]) for end in range(2, len(path) + 1)]
    if path[-1] == "__dict__" or all(hasattr(type(around[-1]), name) for name in _OF_LOCKS):
        return True
    return any(at(one) is obj for one in _OF_THE_PROCESS for obj in around)


def dict_of(kind: Any) -> Any:
    """What gives the `__dict__` of the instances of a class; None if they have none, or code of the class makes it."""
    found = next((vars(cls)["__dict__"] for cls in kind.__mro__ if "__dict__" in vars(cls)), None)
    return found if type(found) is types.GetSetDescriptorType else None


def attributes_of(one: Any) -> dict[str, Any]:
    """The attributes of an instance, without asking a class of the notebook, or what a proxy stands for.

    None of what makes a dict for them when it is asked, and is another one for pickle from then on.
    """
    gives = None if issubclass(type(one), _NOT_ASKED) else dict_of(type(one))
    return {} if gives is None else gives.__get__(one)


_NOT_ASKED: Final = (*TOLD_BY_NAME, functools.partial, io.IOBase)


def text(path: Path) -> str:
    """A path as people write it."""
    return ".".join(path).replace(".[", "[")


_paths: dict[int, Path] = {}
_walked: dict[str, Any] = {}  # in the order of sys.modules
_own: dict[str, None] = {}  # as an ordered set
_kinds: dict[type, str] = {}


def _last(modules: Mapping[str, Any]) -> Any:
    return next(reversed(modules.values()), None)  # type: ignore[call-overload]  # a dict


def _walk(module: str, space: dict[str, Any]) -> None:
    _note(space, (module, "__dict__"))
    entered: set[int] = set()
    todo: list[tuple[Path, Mapping[str, Any]]] = [((module,), space)]  # it grows while it is gone through
    for path, attributes in todo:
        for kind in set(map(type, attributes.values())).difference(_kinds):
            _kinds[kind] = _kind_of(kind)
        met = [(name, value, what) for name, value in attributes.items() if (what := _kinds[type(value)])]
        for name, value, what in met:
            if name.startswith("__"):
                continue
            if what == "class":
                enter = len(path) == 1 and value.__module__ == module
            else:
                enter = what not in ("container", "whole") and len(path) < _DEEPEST
                if what != "named":
                    _note(value, (*path, name))
            if enter and identity(value) not in entered:
                entered.add(identity(value))
                todo.append(((*path, name), vars(value)))


def _note(value: Any, path: Path) -> None:
    """Note where an object is found, if nobody knows it: one that is gone may have had its address."""
    known = _paths.setdefault(identity(value), path)
    if known is not path and at(known) is not value:
        _paths[identity(value)] = path


def _kind_of(kind: Any) -> str:
    """What the objects of a type are to the walk; nothing for what cannot change or is not known by its identity."""
    if issubclass(kind, type):
        return "class" if kind.__getattribute__ is type.__getattribute__ else ""
    if issubclass(kind, _CONTAINERS):
        return "container"
    module = kind.__module__
    if not isinstance(module, str) or module.partition(".")[0] in _NO_INSTANCES or issubclass(kind, types.ModuleType):
        return ""
    asks = kind.__getattribute__ is not object.__getattribute__  # it may warn, or import what is lazy
    if hasattr(kind, "__get__") or asks:
        return ""
    has_plain_form = kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
    if dict_of(kind) is None:
        in_slots = kind.__base__ is object and any(map(inspect.ismemberdescriptor, vars(kind).values()))
        return "whole" if in_slots and has_plain_form and not hasattr(kind, "__float__") else ""
    if kind.__eq__ is not object.__eq__:
        # numbers are values, but those whose class only the library can find (mpmath.pi)
        is_value = hasattr(kind, "__float__") and at((module, *kind.__qualname__.split("."))) is kind
        return "whole" if has_plain_form and not is_value else ""
    return "instance" if has_plain_form else "named"  # as loggers are, by a reduction of their own


_NO_INSTANCES: Final = frozenset({"builtins", "types", "functools", "typing", "threading", "_io", *_SKIPPED})
