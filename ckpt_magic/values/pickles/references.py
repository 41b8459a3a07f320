"""What is written as a name: what can be imported, and how to tell.

Asked of every definition that a value reaches, so nothing here runs code of the user's.
"""

from __future__ import annotations

import _collections_abc
import builtins
import functools
import importlib
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import MAIN, is_own
from ckpt_magic.values.slots import slot_names

ATOMS: Final = frozenset({int, float, complex, str, bytes, bool, range, type(None), type(...), type(NotImplemented)})
HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_CHANGEABLE: Final = HEAP_TYPE | 1 << 8  # and not Py_TPFLAGS_IMMUTABLETYPE


def importable(obj: Any) -> bool:
    """Whether pickle would find this class or function by its module and qualified name, also in another kernel."""
    name = getattr(obj, "__qualname__", None)
    module = getattr(obj, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module) or _loaded_late(module, name, obj)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        return False
    # functools.wraps gives a function of the notebook the name of what it is put in place of
    return found is obj and (type(obj) is not types.FunctionType or obj.__globals__.get("__name__") != "__main__")


def _loaded_late(module: str, name: str, obj: Any) -> types.ModuleType | None:
    """The module of what its package has, too, and which nobody has asked for yet (`np.recarray` of `numpy.rec`).

    To load it is what pickle does.
    """
    package = sys.modules.get(module.rpartition(".")[0])
    if type(package) is not types.ModuleType or vars(package).get(name) is not obj or is_own(module):
        return None
    try:
        return importlib.import_module(module)
    except Exception:  # noqa: BLE001  # whatever a module raises that cannot be loaded
        return None


def can_be_set(cls: type) -> bool:
    """Whether a class has attributes that can be set: those of builtin and of most compiled types cannot."""
    return cls.__flags__ & _CHANGEABLE == HEAP_TYPE


def is_displaced(cls: type) -> bool:
    """Whether something else is now where this class of a library was: a patch keeps it aside.

    What derives from that was made beside it, as the class of a mock is.
    """
    name: object = cls.__module__
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    if module is None:
        return False
    there = at(cls.__qualname__, vars(module))
    return there is not None and not any(there is one for one in cls.__mro__)


def library_of(kind: type) -> str:
    """The top package of a class; none for a class that has no name for its module."""
    module: object = kind.__module__
    return module.partition(".")[0] if isinstance(module, str) else ""


def is_of_library(kind: type) -> bool:
    """Whether the code of a library made a class, perhaps while the notebook called it."""
    module: object = kind.__module__
    return isinstance(module, str) and module != "__main__" and module in sys.modules and not is_own(module)


def without_module(cls: type) -> tuple[Any, ...]:
    """Reduce a class that a library made and that belongs to no module: only sympy's `Function("f")` is had again.

    sympy finds it by name and assumptions; what was set on it since would be missing.
    """
    sympy: Any = sys.modules.get("sympy.core.function")
    if sympy is not None and type(cls) is sympy.UndefinedFunction:
        facts: Any = vars(cls)
        if vars(sympy.UndefinedFunction(facts["name"], **facts["_kwargs"])).keys() == facts.keys():
            return functools.partial(sympy.Function, facts["name"], **facts["_kwargs"]), ()
    raise NotPicklableError(f"the class {cls.__qualname__}, which belongs to no module")


def by_reference(obj: Any) -> bool:
    """Whether `obj`, atoms aside, is written as a name: it has no content of its own to save.

    Modules, importable classes and functions, builtin functions, numpy dtypes and ufuncs.
    """
    kind = type(obj)  # never isinstance: it asks a placeholder for its class
    if issubclass(kind, type):
        return importable(obj) or identity(obj) in unnamed_types() or other_name(obj) is not None
    if kind is types.FunctionType:
        return importable(obj)
    if kind is types.BuiltinFunctionType:
        owner = obj.__self__
        return owner is None or isinstance(owner, types.ModuleType) or (isinstance(owner, type) and importable(owner))
    if kind in _NAMED_KINDS or issubclass(kind, types.ModuleType):
        return True
    if callable(obj) and hasattr(kind, "__get__") and _asks_nobody(kind) and importable(obj):
        return True  # a function of a compiled library, e.g. numpy.linalg.norm
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ufunc:
        return not is_made_of_python(obj)
    return numpy is not None and issubclass(kind, numpy.dtype) and not obj.hasobject and obj.names is None


def is_made_of_python(ufunc: Any) -> bool:
    """Whether a function of numpy was made by `numpy.frompyfunc`."""
    return " (vectorized)" in ufunc.__name__


def home_of(ufunc: Any) -> str:
    """The module in which a function of numpy is found by its name; empty if in none.

    It does not know by itself, and pickle goes through all modules each time that it meets one.
    """
    name = ufunc.__name__
    home, count = _homes.get(ufunc, (None, 0))
    if home == "" and count == len(sys.modules):
        return home
    if home is None or vars(sys.modules.get(home, types)).get(name) is not ufunc:
        home = next((home for home, module in _imported() if vars(module).get(name) is ufunc), "")
        _homes[ufunc] = home, len(sys.modules)
    return home


def owner_of_module(module: types.ModuleType, name: str) -> types.ModuleType | None:
    """The imported module that has one in it which a compiled library made there: `trainers` of tokenizers."""
    inside = [value for key, value in vars(module).items() if not key.startswith("__")]
    if not inside or not all(isinstance(value, _COMPILED) for value in inside):
        return None  # made by hand
    found = (one for home, one in _imported() if vars(one).get(name) is module and not is_own(home))
    return next((one for one in found if getattr(one, "__spec__", None) is not None), None)


def _imported() -> Iterator[tuple[str, types.ModuleType]]:
    for name, module in list(sys.modules.items()):
        if name not in MAIN and issubclass(type(module), types.ModuleType):
            yield name, module


_COMPILED: Final = (type, types.BuiltinFunctionType, types.ModuleType)
_homes: dict[Any, tuple[str, int]] = {}  # and how many modules were gone through


def _asks_nobody(kind: Any) -> bool:
    """Whether looking at an attribute of such an object runs nobody's code, as it does with a placeholder."""
    return kind.__getattribute__ is object.__getattribute__ and not hasattr(kind, "__getattr__")


_NAMED_KINDS: Final = frozenset(
    {types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType}
)


@functools.lru_cache(maxsize=1)
def unnamed_types() -> dict[int, tuple[types.ModuleType, str]]:
    """The interpreter's types that only these modules have a name for, e.g. `types.FunctionType`: `id` to place."""
    return {
        identity(kind): (module, name)
        for module in (_collections_abc, types)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == "builtins" and not importable(kind)
    }


def other_name(cls: type) -> str | None:
    """The name that a class of a library has in its module if that is not its own, as `functools._CacheInfo`."""
    where: object = cls.__module__
    module = sys.modules.get(where) if isinstance(where, str) and where != "__main__" and not is_own(where) else None
    if type(module) is not types.ModuleType:
        return None
    return next((name for name, value in list(vars(module).items()) if value is cls), None)


def marks(kind: Any) -> dict[int, str]:
    """Objects without any content that the module of a library's class holds, by `id`: what they mean is who they are.

    A copy of numpy's mark for "not given" would be taken for what was given.
    """
    module = sys.modules.get(str(kind.__module__))
    has_content = kind.__basicsize__ > _Empty.__basicsize__ or kind.__new__ is not object.__new__
    has_content = has_content or slot_names(kind)
    if has_content or type(module) is not types.ModuleType:
        return {}
    return {identity(value): name for name, value in list(vars(module).items()) if type(value) is kind}


class _Empty:
    """Has room for attributes alone."""


def refuse_builtins(function: Any) -> None:
    """Refuse a function that has builtins of its own and uses them: a new one is made before its globals are filled."""
    own, usual = function.__builtins__, vars(builtins)
    if own is usual:
        return
    for code in with_nested([function.__code__]):
        if any(own.get(name) is not usual.get(name) for name in code.co_names if name not in function.__globals__):
            raise NotPicklableError("a function that has builtins of its own")


def module_of(globals_: dict[str, Any]) -> types.ModuleType | None:
    """The importable module whose dict this is."""
    name = globals_.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    return module if module is not None and vars(module) is globals_ else None


def at(qualified: str, namespace: Mapping[str, Any]) -> Any:
    """What a qualified name means in a namespace; None if nothing."""
    first, *rest = qualified.split(".")
    found = namespace.get(first)
    for part in rest:
        found = vars(found).get(part) if issubclass(type(found), type) else None
    return found


def refuses_for_now(way: Any) -> bool:
    """Whether a method that pickle asks leaves out, or refuses, what is plain Python, and could be written.

    It is patsy's: each model of statsmodels that was made with a formula has a description of that, also on the frames
    inside it. When it is read, statsmodels would make it anew, out of the variables of whoever reads. And of a fit
    statsmodels forgets whom it has called, the live one as well.
    """
    module = str(way.__module__) if type(way) is types.FunctionType else ""
    return module.partition(".")[0] == "patsy" or module in _LEAVING_OUT


_LEAVING_OUT: Final = frozenset({"statsmodels.base.data", "statsmodels.discrete.discrete_model"})
