"""What a call sets inside a library: `mimetypes.add_type(…)`, `xarray.set_options(…)`, `rich.pretty.install()`.

Nobody sees that in the cell, but in the function: the globals of its module that its code sets, or in which it puts
something. Only functions that are named like setters are read, those that keep an argument in a global, or make one
that an argument names, and those that register something with another library: all libraries fill caches and count.
Functions are found and read without running anything, each once.

What a compiled function sets cannot be looked at: it is named, unless another room looks after it.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import opcode
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import resolve_name
from typing import Any, Final

from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.code.reaching import (
    IMPORTING,
    SETTING_OPS,
    STORING_OPS,
    chains,
    imported,
    keeps_argument,
    looked_up,
    named,
)
from ckpt_magic.values.code.vocabulary import DERIVING
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import is_own
from ckpt_magic.values.owners import ABSENT, CONTAINERS, can_change, dispatched, is_host, is_same_package, module_of
from ckpt_magic.values.pickles.references import ATOMS, by_reference

Chain = tuple[str, ...]  # how code names what it calls: `plt.style.use`
_DEPTH: Final = 3  # calls


@dataclass(slots=True)
class Called:
    """What calls come to.

    Attributes
    ----------
    words
        Names and modules of the functions, whatever the code calls them.
    sets
        Per owner of places (a module or a class of a library) the attributes that they may set or change; None for any.
    owners
        Those modules and classes, by their names.
    values
        Per place what functions keep for themselves: those that `functools.singledispatch` made.
    registries
        Those of the attributes, with their owners, in which nothing but classes that derive from others may be put.
    rebound
        Those of the attributes that are given another object; in that of the others something may be put.
    compiled
        Compiled functions that set something, by their names.
    texts
        Texts on the way that may be names: `globals()[name] = …` sets one that its caller spells out.
    classes, by_name
        Classes on the way, and whether anything is set there by a computed name.
    """

    words: set[str] = field(default_factory=set)
    sets: dict[str, set[str] | None] = field(default_factory=dict)
    owners: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    registries: set[tuple[str, str]] = field(default_factory=set)
    rebound: set[tuple[str, str]] = field(default_factory=set)
    compiled: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    classes: list[type] = field(default_factory=list)
    by_name: bool = False

    def add(self, owner: Any, key: str | None, *, rebinds: bool = False) -> None:
        """Note an attribute of a module or class; None for any of them."""
        if isinstance(owner, type):
            name = f"{owner.__module__}:{owner.__qualname__}"
        else:
            name = f"{module_of(owner)}:"
        module = name.partition(":")[0]
        if is_host(module) or is_own(module) or module not in sys.modules or _is_looked_at(module):
            return
        if key and _CACHES.search(key) and not (rebinds and type(vars(owner).get(key)) in ATOMS):
            return  # `_cache_dir = folder` is set, no cache
        self.owners[name] = owner
        keys = self.sets.setdefault(name, set())
        if key is None or keys is None:
            self.sets[name] = None
            return
        keys.add(key)
        if rebinds:
            self.rebound.add((name, key))


def called(calls: Iterable[Chain], namespace: Mapping[str, Any], words: Iterable[str] = ()) -> Called:
    """Find out what code sets in libraries that has these calls, and these words."""
    found = Called(texts={*words})
    if any(_SETTER.match(chain[-1]) for chain in calls if chain[-1] != DERIVING):
        found.add(builtins, None)  # `gettext.install`
    for chain in sorted(calls, key=lambda chain: chain[-1] == DERIVING):  # which come last
        receiver, function = _resolved(chain, namespace)
        if function is ABSENT or (receiver is ABSENT and len(chain) > 1):
            continue
        if chain[-1] == DERIVING:
            _read_deriving(receiver, found)
            continue
        module = _module(function)
        if not module and isinstance(receiver, types.ModuleType) and _is_compiled(function):  # those of cv2
            _note_compiled(f"{module_of(receiver)}.{function.__name__}", found)
        if not module or is_host(module) or is_own(module) or module in ("__main__", "builtins"):
            continue
        name = _name(function) or chain[-1]
        is_setter = _SETTER.match(chain[-1]) is not None or _SETTER.match(name) is not None
        is_setter |= _is_compiled(function) and _COMPILED_SETTER.match(name) is not None
        if isinstance(receiver, types.FunctionType) and chain[-1] == "register":
            found.values |= _dispatched(receiver)
        if chain[-1] != name or len(chain) == 1:
            found.words |= {name, module, module.removeprefix("_")}
        if is_setter or _keeps_argument(function) or any(_registering(function)):
            _read(function, receiver, found)
    for cls in found.classes if found.by_name else ():
        found.add(cls, None)
    return found


def _dispatched(function: types.FunctionType) -> dict[str, Any]:
    """The functions among which one of `functools.singledispatch` chooses, at their place."""
    if function.__module__ == "__main__" or is_own(str(function.__module__)):
        return {}  # what the user's own functions keep is looked at with them
    return {f"{function.__module__}:{function.__qualname__}{way}": one for way, one in dispatched(function)}


def _resolved(chain: Chain, namespace: Mapping[str, Any]) -> tuple[Any, Any]:
    """The object that a function is an attribute of, if it is one, and the function."""
    owner, found = ABSENT, namespace.get(chain[0], ABSENT)
    if found is ABSENT:
        found = sys.modules.get(chain[0], ABSENT)
    kind = type(found)  # never isinstance: it asks a placeholder, and proxies of the user's, for its class
    if not issubclass(kind, _ROOTS if len(chain) > 1 else _FUNCTIONS) and not kind.__name__.startswith("cython_"):
        return ABSENT, ABSENT  # what variables hold is looked at with them
    for word in chain[1:]:
        owner, found = found, _attribute(found, word)
    return owner, found


def _attribute(owner: Any, name: str) -> Any:
    if owner is ABSENT:
        return ABSENT
    if isinstance(owner, (types.ModuleType, types.FunctionType)):
        return vars(owner).get(name, ABSENT)
    kind: Any = type(owner)
    if not issubclass(kind, type) and kind.__getattribute__ is object.__getattribute__:
        inside: dict[str, Any] = getattr(owner, "__dict__", {})
        if name in inside:
            return inside[name]
    return _of_class(owner if isinstance(owner, type) else type(owner), name)


def _of_class(cls: type, name: str) -> Any:
    return next((vars(one)[name] for one in type.mro(cls) if name in vars(one)), ABSENT)


def _module(function: Any) -> str:
    """The module of a function or class; none for what is neither, and may run code when it is asked (`pl.col`)."""
    function = _plain(function)
    if not isinstance(function, (type, types.FunctionType)) and not _is_compiled(function):
        return ""
    found = function.__module__
    if found in (None, "builtins") and isinstance(function, types.BuiltinFunctionType):
        owner = function.__self__
        found = "" if owner is None else module_of(owner)
    return found if isinstance(found, str) else ""


def _name(function: Any) -> str:
    return str(_plain(function).__name__) if _module(function) else ""


def _plain(function: Any) -> Any:
    """The function in a method or a wrapper."""
    while True:
        if isinstance(function, (staticmethod, classmethod, types.MethodType)):
            function = function.__func__
        elif isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.FunctionType) and "__wrapped__" in vars(function):
            function = vars(function)["__wrapped__"]
        elif (wrapped := _wrapped(function)) is not None:
            function = wrapped
        else:
            return function


def _wrapped(wrapper: Any) -> types.FunctionType | None:
    """The function that an object stands for: `sympy.latex`."""
    kind: Any = type(wrapper)
    if (
        kind.__getattribute__ is not object.__getattribute__
        or type(vars(kind).get("__call__")) is not types.FunctionType
    ):
        return None
    wrapped = getattr(wrapper, "__dict__", {}).get("__wrapped__")
    return wrapped if type(wrapped) is types.FunctionType else None


def _read(function: Any, receiver: Any, found: Called) -> None:
    """Note what a function sets; of a method also what it sets in its class, or in the object that a module holds."""
    receiver = function.__self__ if isinstance(function, types.MethodType) else receiver
    if isinstance(receiver, types.FunctionType) or receiver is ABSENT:
        receiver = None
    if isinstance(function, type):
        for name in ("__init__", "__new__", "__call__"):
            _Reading(found).enter(_of_class(function, name), function)
    else:
        is_module = receiver is None or isinstance(receiver, types.ModuleType)
        cls = None if is_module else receiver if isinstance(receiver, type) else type(receiver)
        _Reading(found).enter(function, cls, is_class=isinstance(receiver, type))


def _read_deriving(base: Any, found: Called) -> None:
    """Note in which containers a library puts classes that derive from one of its own."""
    if not isinstance(base, type) or base.__module__ == "__main__" or is_own(base.__module__):
        return
    hooks = [_of_class(type(base), "__new__"), _of_class(type(base), "__init__"), _of_class(base, DERIVING)]
    inside = Called()
    for hook in hooks:
        if _module(hook).partition(".")[0] not in sys.stdlib_module_names:
            _Reading(inside).enter(hook, base, is_class=True)
    for name, owner in inside.owners.items():
        get = functools.partial(_of_class if isinstance(owner, type) else _attribute, owner)
        for key in inside.sets[name] or ():
            if owner is not base and type(get(key)) in CONTAINERS:
                if key not in (found.sets.get(name, ()) or ()):
                    found.registries.add((name, key))
                found.add(owner, key)


class _Reading:
    """Goes through a function, and what that calls in its package, and notes on `found` what is set there."""

    def __init__(self, found: Called) -> None:
        self._found = found
        self._met: set[tuple[int, int]] = set()

    def enter(self, function: Any, cls: type | None, depth: int = _DEPTH, *, is_class: bool = False) -> None:
        """Read a function, or a method of a class; `is_class` if it is called of the class itself."""
        found, plain = self._found, _plain(function)
        if (identity(plain), identity(cls)) in self._met or not depth:
            return
        self._met.add((identity(plain), identity(cls)))
        if not isinstance(plain, types.FunctionType):
            if _is_compiled(plain):
                _note_compiled(f"{_module(plain)}.{_name(plain)}", found)
            return
        space = plain.__globals__
        module = sys.modules.get(space.get("__name__", ""))
        if module is None or vars(module) is not space or _is_looked_at(module_of(module)):
            return
        code, package = _code(plain.__code__), module_of(module)
        if bound := _bound(plain.__code__, space):
            space = {**space, **bound}
        found.by_name = found.by_name or code.by_name
        if depth == _DEPTH and _LOADING & code.attributes:  # what is loaded may do anything to its package
            found.compiled.add(f"{package}.{plain.__qualname__}")
        found.texts |= code.texts
        for name in code.sets:
            found.add(module, name, rebinds=True)
        for name in found.texts & space.keys() if code.is_by_text else ():
            if not isinstance(space[name], (types.FunctionType, types.ModuleType)):
                found.add(module, name, rebinds=True)
        self._look_at_stores(code, space)
        for name in (code.reads | code.imports) - code.sets:
            value = space.get(name, sys.modules.get(name, ABSENT) if name in code.imports else ABSENT)
            if isinstance(value, types.ModuleType):
                self._look_at_module(name, value, code, package, depth)
            elif type(value).__name__ in _LIBRARIES_IN_C:
                if any(map(_SETTING_IN_C.search, code.attributes)):
                    found.compiled.add(f"{package}.{plain.__name__}")
            elif isinstance(value, type):
                self._look_at_class(name, value, code, package, depth)
            elif callable(value) and is_same_package(_module(value), package):
                self.enter(value, None, depth - 1)
            elif name in code.looked_up and type(value) is dict and not any(map(_holds_something, value.values())):
                continue
            elif value is not ABSENT and (code.changes or _has_methods(value, code)) and can_change(value):
                found.add(module, name)
        for chain in code.dotted:  # `torch._C._set_sdp_use_flash`
            if _is_compiled(inner := _resolved(chain, space)[1]):
                self.enter(inner, None, depth - 1)
        for other in _registering(plain):
            self.enter(other, None, depth - 1)
        for name in code.setters:  # of a class that it is given: any here that has the method may be meant
            for value in [one for one in space.values() if isinstance(one, type)]:
                method = _of_class(value, name) if is_same_package(value.__module__, package) else None
                if isinstance(method, classmethod) and by_reference(value):
                    self.enter(method, value, depth - 1, is_class=True)
        if cls is not None:
            self._look_at_own_class(cls, code, package, depth, is_class=is_class)

    def _look_at_stores(self, code: _Code, space: Mapping[str, Any]) -> None:
        """Note what it sets by a dotted name, also in modules and classes of other libraries."""
        for *path, name in code.stores:
            if path and path[0] in code.reads:
                owner = _resolved(tuple(path), space)[1]
                if isinstance(owner, types.ModuleType) or (isinstance(owner, type) and by_reference(owner)):
                    self._found.add(owner, name, rebinds=True)

    def _look_at_own_class(self, cls: type, code: _Code, package: str, depth: int, *, is_class: bool) -> None:
        above = type.mro(cls)[1:] if "super" in code.reads else []
        for name in code.attributes:
            for base in above:  # of another library, maybe
                self.enter(vars(base).get(name), cls, depth - 1, is_class=is_class)
            value = _of_class(cls, name)
            if isinstance(value, (types.FunctionType, staticmethod, classmethod)):
                if is_same_package(_module(value), package):
                    self.enter(value, cls, depth, is_class=is_class)
            elif is_class and ("cls", name) in code.stores:
                self._found.add(cls, name, rebinds=True)
            elif is_class and code.changes and value is not ABSENT and can_change(value):
                self._found.add(cls, name)

    def _look_at_module(self, called: str, value: Any, code: _Code, package: str, depth: int) -> None:
        is_of_package = is_same_package(module_of(value), package)
        for name in code.attributes:
            inner = vars(value).get(name, ABSENT)
            if (called, name) in code.stores:
                self._found.add(value, name, rebinds=True)
            elif isinstance(inner, type):
                self._look_at_class(name, inner, code, package, depth)
            elif inner is ABSENT or isinstance(inner, types.ModuleType):
                continue
            elif callable(inner) and (_is_compiled(inner) or is_same_package(_module(inner), package)):
                if _is_compiled(inner) and not _module(inner):  # those of polars
                    _note_compiled(f"{package}.{name}", self._found)
                elif is_of_package or _is_compiled(inner):
                    self.enter(inner, None, depth - 1)
            elif is_of_package and code.changes and can_change(inner):
                self._found.add(value, name)
        if {(called, "__dict__"), (called,)} & code.stores:
            self._found.add(value, None)

    def _look_at_class(self, called: str, value: type, code: _Code, package: str, depth: int) -> None:
        if not is_same_package(value.__module__, package) or not by_reference(value):
            return
        self._found.classes.append(value)
        self.enter(_of_class(value, "__init__"), value, depth - 1)  # `_UnitContext()` of astropy
        for name in code.attributes:
            inner = _of_class(value, name)
            if isinstance(inner, (classmethod, staticmethod)):
                self.enter(inner, value, depth - 1, is_class=True)
            elif code.changes and (owner := _owner(value, name, package)) is not None:
                self._found.add(owner, name)


def _owner(cls: type, name: str, package: str) -> type | None:
    """The class of a package, a base or the metaclass of this one, in which it has an attribute that can change."""
    owner = next((one for one in (*type.mro(cls), *type.mro(type(cls))) if name in vars(one)), None)
    is_told = owner is not None and is_same_package(owner.__module__, package) and by_reference(owner)
    return owner if is_told and can_change(vars(owner)[name]) else None


def _bound(code: types.CodeType, space: Mapping[str, Any]) -> dict[str, Any]:
    """What imports in a function bind to its variables, as far as it is loaded."""
    package, found = space.get("__package__") or "", {}
    for name, (path, taken, level) in _code(code).imported.items():
        with contextlib.suppress(ImportError):  # more dots than packages
            module = sys.modules.get(resolve_name("." * level + path, package))
            value = vars(module).get(taken, ABSENT) if taken and type(module) is types.ModuleType else module
            if value is not None and value is not ABSENT:
                found[name] = value
    return found


def _has_methods(value: Any, code: _Code) -> bool:
    """Whether code calls a method, written in Python, of an object that a module holds."""
    return any(isinstance(_of_class(type(value), name), types.FunctionType) for name in code.attributes)


def _holds_something(value: Any) -> bool:
    """Whether something may have been set in a value that a function looked up; in an object that has nothing, not."""
    if type(value) is tuple:
        return any(map(_holds_something, value))
    kind: Any = type(value)
    is_plain = kind.__new__ is object.__new__ and kind.__getattribute__ is object.__getattribute__
    is_plain &= all("__slots__" not in vars(one) for one in type.mro(kind))
    return can_change(value) and not (is_plain and getattr(value, "__dict__", None) == {})


def _is_compiled(function: Any) -> bool:
    kind = type(function)
    return kind.__name__ in _COMPILED or (kind.__name__ == "function" and kind.__module__ == "Boost.Python")


def _note_compiled(function: str, found: Called) -> None:
    module, _, name = function.rpartition(".")
    if _COMPILED_SETTER.match(name) and not _is_looked_at(module) and function not in _LOOKED_AT:
        found.compiled.add(function)


def _is_looked_at(module: str) -> bool:
    if module.startswith(_APART):
        return False
    return module in _LOOKED_AT or module.partition(".")[0] in _PACKAGES


# --- what is in the code of a function ---


@dataclass(frozen=True, slots=True)
class _Code:
    """What a function does with globals.

    Attributes
    ----------
    reads, sets
        Globals.
    attributes
        Attributes that it names.
    stores
        Dotted names that it sets.
    dotted
        Names of three parts and more that it uses, from a global on.
    imports
        Modules that it imports itself.
    imported
        What of modules it binds to which of its variables, see `reaching.imported`.
    changes
        Whether it may put something in a container or an object.
    by_name
        Whether it may set attributes by name.
    setters
        Methods named like setters that it calls of what is no global.
    registering
        Dotted names of functions that are named as those are that register something.
    texts
        Texts in it.
    is_by_text
        Whether it may set globals whose names are given to it.
    looked_up
        Globals in which it does nothing but look something up.
    """

    reads: frozenset[str]
    sets: frozenset[str]
    attributes: frozenset[str]
    stores: frozenset[Chain]
    dotted: frozenset[Chain]
    imports: frozenset[str]
    imported: Mapping[str, tuple[str, str, int]]
    changes: bool
    by_name: bool
    setters: frozenset[str]
    registering: frozenset[Chain]
    texts: frozenset[str]
    is_by_text: bool
    looked_up: frozenset[str]


@functools.cache
def _code(code: types.CodeType) -> _Code:
    inside = list(with_nested([code]))
    attributes = frozenset().union(*(one.co_names for one in inside))
    stores = frozenset(chain for one in inside for chain, is_stored in chains(one) if is_stored)
    by_name = not attributes.isdisjoint(("setattr", "delattr"))
    changes = any(named(code, STORING_OPS)) or by_name or not attributes.isdisjoint(_CHANGING)
    changes = changes or any(not _ITEMS.isdisjoint(one.co_code[::2]) for one in inside)
    sets = frozenset(named(code, {op: 0 for op in SETTING_OPS if op not in STORING_OPS}))
    imports = frozenset(named(code, IMPORTING))
    found = [(chain, chain[0] in one.co_varnames) for one in inside for chain, _ in chains(one)]
    used = {chain for chain, is_local in found if is_local and chain[1:]}
    dotted = frozenset(chain for chain, is_local in found if not is_local and len(chain) > 2) - stores
    registering = frozenset(chain for chain, is_local in found if not is_local and _REGISTERING.match(chain[-1]))
    setters = frozenset(chain[-1] for chain in used if _SETTER.match(chain[-1]))
    texts = frozenset(const for one in inside for const in one.co_consts if type(const) is str)
    is_by_text = changes and "globals" in attributes
    bound = imported(code)
    reads = frozenset(named(code)) | bound.keys()
    asked = frozenset(looked_up(inside))
    return _Code(
        reads=reads,
        sets=sets,
        attributes=attributes,
        stores=stores,
        dotted=dotted,
        imports=imports,
        imported=bound,
        changes=changes,
        by_name=by_name,
        setters=setters,
        registering=registering,
        texts=texts,
        is_by_text=is_by_text,
        looked_up=asked,
    )


def _registering(function: Any) -> Iterator[types.FunctionType]:
    """The functions of other libraries by which one registers something: a class that it is given, mostly."""
    plain = _plain(function)
    if not isinstance(plain, types.FunctionType):
        return
    for chain in _code(plain.__code__).registering:
        other = _plain(_resolved(chain, plain.__globals__)[1])
        if not isinstance(other, types.FunctionType) or is_same_package(_module(other), _module(plain)):
            continue
        if _module(other).partition(".")[0] not in sys.stdlib_module_names:
            yield other


def _keeps_argument(function: Any) -> bool:
    """Whether a function puts an argument of it, as it is, where a global leads, or makes a global that one names."""
    plain = _plain(function)
    if not isinstance(plain, types.FunctionType):
        return False
    code, space = plain.__code__, plain.__globals__
    beside = [one for one in map(space.get, code.co_names) if type(one) is types.FunctionType]
    codes = code, *(one.__code__ for one in beside if one.__globals__ is space)
    return _keeps_one(code) or any(map(_stores_by_name, codes))


@functools.cache
def _stores_by_name(code: types.CodeType) -> bool:
    """Whether code has `globals()[name] = …` in it."""
    return "globals" in code.co_names and not _ITEMS.isdisjoint(code.co_code[::2])


_keeps_one: Final = functools.cache(keeps_argument)


_ROOTS: Final = (type, types.ModuleType, types.FunctionType)
_FUNCTIONS: Final = (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
_SETTER: Final = re.compile(
    r"_*(set|add|(un|de)?register|(un)?install|enable|disable|use|(re)?configure|config|init|reset|(de)?activate"
    r"|addaudithook|extension|start|stop|define|override|switch|remove|unset|push|pop|clear|default)(_|[A-Z]|default|trace|$)"
    r"|_*(monkey_?)?patch(_|[A-Z])"
    r"|.*(^|_|[a-z](?=C))([cC]onfig|options|defaults|set)$|set[a-z]"
)
_REGISTERING: Final = re.compile(r"_*register(_|[A-Z]|$)")
_COMPILED: Final = frozenset({"builtin_function_or_method", "cython_function_or_method", "nb_func"})
_COMPILED_SETTER: Final = re.compile(
    r"_*(set|(un)?register|enable|disable|configure|start|stop|addaudit|(Set|Enable|Disable)(?=[A-Z]))"
)
_SETTING_IN_C: Final = re.compile(r"(^|_)set(_|[A-Z])|[a-z]Set([A-Z]|$)|[A-Z]Set[A-Z]")  # `XGBSetGlobalConfig`
_LOADING: Final = frozenset({"__import__", "import_module"})
_LIBRARIES_IN_C: Final = ("CDLL", "PyDLL")  # of ctypes
_CACHES: Final = re.compile(r"cache|memo(?!ry)|(?<![bc])lock|_seen|logger", re.IGNORECASE)
_CHANGING: Final = frozenset(
    {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear"}
    | {"appendleft", "move_to_end", "register", "__setitem__", "__delitem__"}
)
_ITEMS: Final = frozenset(opcode.opmap[name] for name in ("STORE_SUBSCR", "DELETE_SUBSCR"))
_PACKAGES: Final = frozenset({"numpy", "sklearn", "logging", "matplotlib_inline", "mpmath"})
_APART: Final = "numpy.polynomial"  # how all of them are printed is an attribute of a class
_LOOKED_AT: Final = frozenset(  # by `ambient`, `options`, `generators` and `spots`
    {"_operator", "builtins.setattr", "numpy", "_locale", "signal", "_signal.signal", "_signal.getsignal", "decimal"}
    | {"_decimal", "_codecs", "sqlite3", "_sqlite3", "atexit", "gc", "_csv", "faulthandler", "_tracemalloc"}
    | {"readline.set_history_length", "resource", "warnings"}
    | {"matplotlib", "matplotlib.pyplot", "matplotlib.rcsetup", "matplotlib.cbook", "pandas._config.config"}
    | {"matplotlib._pylab_helpers", "matplotlib.style", "matplotlib.style.core", "polars.config", "torch._tensor_str"}
    | {"sys.setrecursionlimit", "sys.setswitchinterval", "sys.set_int_max_str_digits", "sys.settrace", "sys.setprofile"}
    | {"_socket.setdefaulttimeout", "socket.setdefaulttimeout", "torch.set_num_threads", "torch._C.set_num_threads"}
    | {f"torch._C._set_{name}" for name in ("deterministic_algorithms", "default_dtype", "grad_enabled")}
    | {f"torch._C._set_{name}" for name in ("float32_matmul_precision", "cudnn_benchmark", "cudnn_deterministic")}
)
