"""Whose things are: the notebook's, the user's own modules', a library's, the host's; and what is inside them.

It looks at attributes by their dicts, so that no code of a library or of the user runs.
"""

from __future__ import annotations

import collections
import contextlib
import copyreg
import enum
import functools
import gc
import hashlib
import logging
import operator
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import HOSTS, dict_of
from ckpt_magic.values.pickles.handles import files_of_database
from ckpt_magic.values.pickles.references import ATOMS, by_reference


class _Absent:
    """Stands for what is not there."""


ABSENT: Final[Any] = _Absent()
UNKNOWN: Final[Any] = _Absent()


# --- which modules are whose ---


def is_host(module: str) -> bool:
    """Whether a module belongs to what runs the notebook."""
    return module.partition(".")[0] in _HOSTS


def is_same_package(module: str, other: str) -> bool:
    """Whether two modules are of one package."""
    return module.partition(".")[0] == other.partition(".")[0]


def module_name(obj: Any) -> str:
    """Name of the module that made an object: its own, or that of its class."""
    kind = type(obj)
    if kind is types.FunctionType or issubclass(kind, type):
        name = obj.__module__ if kind is types.FunctionType else type.__dict__["__module__"].__get__(obj)
    else:
        name = type.__dict__["__module__"].__get__(kind)
    return name if isinstance(name, str) else ""


def module_of(obj: Any) -> str:
    """Name of a module, or of that which made an object; empty for one whose name was taken away."""
    if not issubclass(type(obj), types.ModuleType):
        return module_name(obj)
    name = object.__getattribute__(obj, "__dict__").get("__name__")
    return name if isinstance(name, str) else ""


def codes(module: types.ModuleType) -> Iterator[types.CodeType]:
    """The code of the functions and methods that a module defines."""
    for one in defined_in(module):
        if type(one) is types.FunctionType and one.__globals__ is vars(module):
            yield one.__code__


def defined_in(module: types.ModuleType) -> Iterator[Any]:
    """What a module holds, and what lies in functions, classes and objects of its own, and in containers."""
    name, met = module_of(module), set[int]()
    todo = [*object.__getattribute__(module, "__dict__").values()]
    while todo and len(met) < _MOST_DEFINED:
        one = todo.pop()
        if type(one) not in ATOMS and identity(one) not in met:
            met.add(identity(one))
            yield one
            todo += _in_definition(one, name)


def _in_definition(one: Any, module: str) -> Iterable[Any]:
    """What lies in a function, class, object of a module, or in a container; none is asked for what it may make."""
    kind = type(one)
    if kind is types.FunctionType:
        return [value for _, value in inside_function(one)] + [*vars(one).values(), *_closed_over(one)]
    if kind in _AROUND_FUNCTIONS:
        names = ("__func__", "__wrapped__", "fget", "fset", "fdel", "func", "args", "keywords", "dispatcher")
        return [getattr(one, name) for name in names if hasattr(one, name)]
    if kind in CONTAINERS or kind in (tuple, frozenset):
        return () if len(one) > _MANY_PARTS else [*one.values()] if isinstance(one, dict) else [*one]
    if module_of(one) != module or kind is types.ModuleType:
        return ()
    if isinstance(one, type):
        return [*vars(one).values()]
    attributes = dict_of(kind)
    return [*attributes.__get__(one).values()] if attributes is not None else ()


def _closed_over(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """The functions among the variables of the function that made this one."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # empty
            if type(cell.cell_contents) is types.FunctionType:
                yield cell.cell_contents


def parts_with(package: types.ModuleType, names: Set[str]) -> list[types.ModuleType]:
    """Loaded modules right inside a package that have one of these names, which it may show as its own when asked."""
    shown = _shown_by(package.__name__, len(sys.modules))
    found = {one for name in names if name in shown for one in shown[name]}
    return [module for one in sorted(found) if isinstance(module := sys.modules.get(one), types.ModuleType)]


@functools.lru_cache(maxsize=32)
def _shown_by(package: str, count: int) -> Mapping[str, Sequence[str]]:
    """The modules right inside a package by the names that they have; asked for anew when there are more modules."""
    found: dict[str, list[str]] = {}
    for one in _parts(count).get(package, ()):
        module = sys.modules.get(one)
        if isinstance(module, types.ModuleType):
            for name in list(object.__getattribute__(module, "__dict__")):
                found.setdefault(name, []).append(one)
    return found


@functools.lru_cache(maxsize=1)
def _parts(_: int) -> Mapping[str, Sequence[str]]:
    """The names of loaded modules by those of their packages."""
    found: dict[str, list[str]] = {}
    for name in list(sys.modules):
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def source_digest(module: types.ModuleType) -> str:
    """What tells one state of a module's file from another."""
    try:
        return hashlib.blake2b(Path(str(module.__file__)).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


# --- what is inside ---


def without_machinery(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that somebody wrote down."""
    return {key: value for key, value in attributes.items() if not (key.startswith("__") and key.endswith("__"))}


def in_own(attributes: Mapping[str, Any], said: Callable[[str], bool]) -> dict[str, Any]:
    """The attributes of a module or class of the user's own: those that somebody wrote down, and that code says.

    Of names such as `__version__` or `__tags__` code says those that it changes; methods are looked at by any name.
    """
    written = without_machinery(attributes)
    others = {key: value for key, value in attributes.items() if key not in written and key not in _NOT_WRITTEN}
    return written | {key: value for key, value in others.items() if type(value) in _METHODS or said(key)}


def functions_in(place: str, value: Any) -> Iterator[tuple[str, types.FunctionType]]:
    """The function that stands in a place, and those that it stands around, each with its own place."""
    todo, met = [(place, value)], set[int]()
    while todo:
        here, one = todo.pop()
        if identity(one) in met:
            continue
        met.add(identity(one))
        kind = type(one)
        if kind is types.FunctionType:
            yield here, one
            if "__wrapped__" in vars(one):
                todo.append((f"{here}.__wrapped__", vars(one)["__wrapped__"]))
            for number, cell in enumerate(one.__closure__ or ()):
                with contextlib.suppress(ValueError):  # empty
                    todo.append((f"{here}.__closure__.{number}.cell_contents", cell.cell_contents))
        elif kind is staticmethod:
            todo.append((here, one.__func__))  # as its class gives it
        else:
            names = _BEHIND.get(kind, ())
            todo += [(f"{here}.{name}", part) for name in names if (part := getattr(one, name)) is not None]


def dispatched(function: types.FunctionType) -> Iterator[tuple[str, dict[Any, Any]]]:
    """The functions among which one of `functools.singledispatch` chooses, and the way to them from it."""
    register = vars(function).get("register")
    for number, cell in enumerate(getattr(register, "__closure__", None) or ()):
        if type(cell.cell_contents) is dict:
            yield f".register.__closure__.{number}.cell_contents", cell.cell_contents


def inside_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function keeps from call to call: defaults, attributes, variables of the function that made it."""
    yield "__defaults__", function.__defaults__
    yield "__kwdefaults__", function.__kwdefaults__
    for key, value in vars(function).items():
        if key != "__wrapped__":
            yield key, value
    for number, cell in enumerate(function.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        if type(content) is not types.FunctionType:
            yield f"__closure__.{number}.cell_contents", content


def can_change(value: Any) -> bool:
    """Whether a value may hold something that changes in place."""
    kind = type(value)
    if kind in ATOMS:
        return False
    if kind in (tuple, frozenset):
        return any(map(can_change, value))
    if kind is types.MethodWrapperType:
        return can_change(value.__self__)
    if kind in _DESCRIPTORS or issubclass(kind, (enum.Enum, types.ModuleType, type, logging.Logger)):
        return False
    return not by_reference(value)


def are_held(definitions: Sequence[Any], ours: Sequence[object]) -> bool:
    """Whether anything holds functions and classes but themselves, their own parts, and what is `ours`.

    Instances hold their class. Everything that the collector knows is gone through.
    """
    given = (*definitions,)  # as the arguments of a call, which Python 3.13 finds among those that hold them
    known = {identity(one) for one in (given, definitions, *given, *ours)}
    for cls in (one for one in definitions if isinstance(one, type)):
        parts = list(vars(cls).values())
        known |= {identity(cls.__mro__), *map(identity, parts)}
        closures = (getattr(part, "__closure__", None) or () for part in parts)
        known |= {identity(cell) for cells in closures for cell in cells}
    holders = gc.get_referrers(*given)
    return any(identity(one) not in known and not isinstance(one, types.FrameType) for one in holders)


def goes_on(value: Any) -> bool:
    """Whether a value is another one after it was used, which nobody can see: a generator, a database in memory."""
    kind = type(value)
    if issubclass(kind, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return True
    sqlite3: Any = sys.modules.get("sqlite3")
    if sqlite3 is None or not issubclass(kind, sqlite3.Connection):
        return False
    try:
        return not files_of_database(value)
    except sqlite3.Error:  # another thread's
        return True


def comes_anew(value: Any) -> bool:
    """Whether a restore may bring a value as another object: what can change, and definitions of the notebook."""
    kind = type(value)
    is_definition = kind is types.FunctionType or issubclass(kind, type)
    return module_name(value) == "__main__" if is_definition else can_change(value)


def is_missed(value: Any) -> bool:
    """Whether something is called when a value goes: who holds it meanwhile, to look at it, would change when."""
    references = () if isinstance(value, type) else weakref.getweakrefs(value)  # sets of classes are told of each
    return hasattr(type(value), "__del__") or any(getattr(one, "__callback__", None) is not None for one in references)


def parts_of(value: Any) -> Any:
    """What is in a container now; None for what is none."""
    if type(value) in CONTAINERS:
        return value.copy()
    return dict.copy(value) if is_dict(value) else None


def is_dict(value: Any) -> bool:
    """Whether an object is a dict, or of a class of it that is filled and emptied as any dict is."""
    kind = type(value)
    return issubclass(kind, dict) and all(getattr(kind, name) is getattr(dict, name) for name in _FILLING)


def has_other_parts(before: Any, now: Any) -> bool:
    """Whether a container has other objects in it than before; a tuple of the same objects is no other one."""
    now = now if type(now) in CONTAINERS else parts_of(now)
    if before is None or type(before) is not type(now) or len(before) != len(now):
        return before is not None
    pairs = (
        zip([*before.items()], [*now.items()], strict=True) if isinstance(now, dict) else zip(before, now, strict=True)
    )
    if isinstance(now, dict):
        return any(key is not other or value is not one for (key, value), (other, one) in pairs)
    return any(one is not other and not _are_of_the_same(one, other) for one, other in pairs)


def _are_of_the_same(one: Any, other: Any) -> bool:
    """Whether two tuples have the same objects in them: places that are put together when asked for have new ones."""
    return type(one) is type(other) is tuple and len(one) == len(other) and all(map(operator.is_, one, other))


def holds_instances(value: Any, module: str, deepest: int = 3) -> bool:
    """Whether there are objects of a library's own classes in its containers: nobody knows where else they are."""
    if not isinstance(value, (dict, list, tuple, set, frozenset)) or not deepest:
        return False
    return any(
        holds_instances(one, module, deepest - 1)
        or (type(one) not in CONTAINERS and is_same_package(module_name(one), module) and not by_reference(one))
        for one in (value.values() if isinstance(value, dict) else value)
    )


def is_handled(value: Any) -> bool:
    """Whether other rooms look after this object."""
    name = module_name(value)
    if name == "matplotlib" and type(value).__name__ == "RcParams":
        return True  # `rcParams`, and what it was at first
    return name.startswith(("pandas._config", "logging", "matplotlib.rcsetup", "mpmath.ctx_")) or is_host(name)


def is_original(place: str, value: Any) -> bool:
    """Whether a value is what the import of the owner puts in this place."""
    if type(value) in ATOMS or type(value) in copyreg.dispatch_table:  # such a class is made again where it is read
        return False
    return is_named_after(place, value) and by_reference(value)


def is_named_after(place: str, value: Any) -> bool:
    """Whether a value has the name of this place, which something else may be in now."""
    if place[0] == "@" or _is_of_notebook(value):
        return False
    module, _, path = place.partition(":")
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    return getattr(value, "__module__", None) == module and name == path


def _is_of_notebook(value: Any) -> bool:
    """Whether the notebook made a function or its class: `functools.wraps` gives it the name of what it wraps."""
    made = type(value) is types.FunctionType and value.__globals__.get("__name__") == "__main__"
    return made or module_name(type(value)) == "__main__"


def is_setter(value: Any, module: str) -> bool:
    """Whether a library has this in a class for what sets attributes of objects: `frame.columns = names` comes here."""
    made = value.fget if isinstance(value, property) else value
    return hasattr(type(value), "__set__") and is_same_package(module_name(made), module)


def inside_of(value: Any) -> Any:
    """What is in an object, in a container of its own."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return set(value)
    if isinstance(value, (list, bytearray, collections.deque)):
        return list(value)
    slots = {
        name: found
        for cls in type(value).__mro__
        if "__slots__" in vars(cls)  # what types in C show of themselves is read-only, as a rule
        for name, slot in vars(cls).items()
        if isinstance(slot, types.MemberDescriptorType) and (found := _own(value, name)) is not ABSENT
    }
    return {**slots, **_attributes(value)}


def _attributes(value: Any) -> dict[str, Any]:
    """The attributes of an object itself: `pint.application_registry` tells those of what it stands for, if asked."""
    found = _own(value, "__dict__")
    return {} if found is ABSENT else found


def _own(value: Any, name: str) -> Any:
    """An attribute as it is found without the `__getattr__` of the class."""
    kind: Any = type(value)
    try:
        return kind.__getattribute__(value, name)
    except AttributeError:
        return ABSENT


def content_of(live: Any, inside: Any, before: Any) -> Any:
    """What `pour` takes: what is in an object; of a dict what is not as before."""
    if not isinstance(live, dict):
        return inside
    old = before if isinstance(before, dict) else {}
    new = {
        key: item
        for key, item in inside.items()
        if old.get(key, ABSENT) is not item or can_change(item) or comes_anew(item) or comes_anew(key)
    }
    return new, [key for key in old if key not in inside]


def pour(live: Any, content: Any) -> None:
    """Give a live object the content of another one.

    Keys of the notebook's that are in a dict are there as an earlier step left them: those of now are in the content.
    """
    if isinstance(live, dict):
        new, gone = content
        older = [key for key in live if module_name(key) == "__main__" and comes_anew(key)]
        for key in (*gone, *older):
            live.pop(key, None)
        live.update(new)
    elif isinstance(live, (list, bytearray)):
        live[:] = content
    elif isinstance(live, set):
        live.clear()
        live.update(content)
    elif isinstance(live, collections.deque):
        live.clear()
        live.extend(content)
    else:
        for name in _attributes(live).keys() - content.keys():
            del vars(live)[name]
        for name, value in content.items():
            if isinstance(live, threading.local):
                vars(live)[name] = value
            else:
                object.__setattr__(live, name, value)


_METHODS: Final = frozenset({types.FunctionType, property, staticmethod, classmethod})
_BEHIND: Final[Mapping[type, Sequence[str]]] = {
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools._lru_cache_wrapper: ("__wrapped__",),
}
_NOT_WRITTEN: Final = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__spec__", "__dict__"}
    | {"__weakref__", "__module__", "__qualname__", "__slots__", "__firstlineno__", "__static_attributes__"}
    | {"__abstractmethods__", "__match_args__", "__dataclass_fields__", "__dataclass_params__", "__orig_bases__"}
    | {"__parameters__", "__type_params__", "__annotate__", "__annotate_func__", "__annotations_cache__"}
    | {"__classdictcell__", "__warningregistry__", "__slotnames__"}
)
_MOST_DEFINED: Final = 10_000
_MANY_PARTS: Final = 1000
_AROUND_FUNCTIONS: Final = frozenset(
    {staticmethod, classmethod, property, types.MethodType, functools.partial, functools.partialmethod}
    | {functools.cached_property, functools.singledispatchmethod, functools._lru_cache_wrapper}
)
_HOSTS: Final = HOSTS | {"asyncio", "traitlets", "_pytest", "ckpt_magic"}
_FILLING: Final = ("__setitem__", "__delitem__", "__getitem__", "__iter__", "items", "keys", "pop", "update", "clear")
CONTAINERS: Final = frozenset(
    {
        dict,
        list,
        set,
        bytearray,
        collections.deque,
        collections.OrderedDict,
        collections.defaultdict,
        collections.Counter,
    }
)
_DESCRIPTORS: Final = frozenset(
    {property, classmethod, staticmethod, types.FunctionType, types.MethodType, types.BuiltinFunctionType}
    | {types.GetSetDescriptorType, types.MemberDescriptorType, types.CodeType}
)
