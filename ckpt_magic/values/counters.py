"""What libraries number things by: the next thread is `Thread-4`, the next layer of keras `dense_2`.

Without it what a step makes after a restore would have numbers that restored things have already. A *counter* is

1. an `itertools.count` that a module or a class holds, or the method that asks it for the next number;
2. a number in a module, in a class, or in an object that holds nothing but plain values, to which the functions of the
   module and of the class only ever add 1;
3. a count by names that a module keeps for a thread (`defaultdict(int)`).

Where a class keeps one for each of some objects (`by_object`), it is saved with these, as a place.

Read, compare, put back. Only where a module is imported already, and never back to a number that was given before,
unless the step itself began anew.
"""

from __future__ import annotations

import collections
import functools
import importlib
import itertools
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from ckpt_magic.values.code.counting import added_to, only_counts
from ckpt_magic.values.owned import HOSTS, MAIN, dict_of, is_own, new_modules

Place = tuple[str, ...]  # a module and the names that lead from it to the counter
Numbers = dict[Place, int]

_OF_THE_KERNEL: Final = MAIN | HOSTS | {"asyncio", "ckpt_magic", "traitlets"}
"""Packages that count what the kernel itself does."""
_MOST: Final = 1_000_000  # numbers that are gone through one by one


def look() -> Numbers:
    """Read all counters."""
    _find()
    found = {place: number for place in _places if (number := _read(place)) is not None}
    for place in _of_threads:
        for name, counts in list(_kept_for_thread(place).items()):
            if _is_count_by_names(counts):
                found |= {(*place, name, key): number for key, number in counts.items() if type(key) is str}
    return found


def _kept_for_thread(place: Place) -> Any:
    module = sys.modules.get(place[0])  # it may have been taken out, or loaded again
    local = vars(module).get(place[1]) if module is not None else None
    return _inside(local) if type(local) is threading.local else {}


def changes(before: Numbers, after: Numbers) -> dict[Place, tuple[int, int]]:
    """What each counter was and what it is now, where it is another number; 0 for none."""
    found = {place: (before.get(place, 0), number) for place, number in after.items() if number != before.get(place, 0)}
    gone = {place: (number, 0) for place, number in before.items() if place not in after and place[:2] in _of_threads}
    return {**found, **gone}


def put_back(changes: Mapping[Place, tuple[int, int]]) -> None:
    """Go on from where a step left off; of a library that is not imported here there is nothing to go on with.

    Another version of it may count in another way: what is no counter here stays as it is.
    """
    for place, (before, after) in changes.items():
        if _is_here(place[0]):
            if place[:2] in _of_threads:
                _write_for_thread(place, before, after)
            elif place in _places and (now := _read(place)) is not None:
                _write(place, now, before, after)


def by_object() -> list[tuple[str, str]]:
    """Where classes keep a counter for each of some objects: the class, and the name of the mapping there."""
    _find()
    return [(f"{module}:{kind}", name) for module, kind, name in _by_object]


def _write(place: Place, now: int, before: int, after: int) -> None:
    holder, name = _at(place[:-1]), place[-1]
    space = _inside(holder)
    count = _count_of(space[name])
    if count is not None:
        if now < after <= now + _MOST:
            next(itertools.islice(count, after - now - 1, None))
    elif type(space) is types.MappingProxyType:
        setattr(holder, name, _following(now, before, after))
    else:
        space[name] = _following(now, before, after)


def _write_for_thread(place: Place, before: int, after: int) -> None:
    *_, kept, key = place
    counts = _kept_for_thread(place).setdefault(kept, collections.defaultdict(int))
    if not _is_count_by_names(counts):
        return
    if after:
        counts[key] = _following(counts.get(key, 0), before, after)
    else:  # it began anew
        counts.pop(key, None)


def _following(now: int, before: int, after: int) -> int:
    return after if after < before else max(now, after)


def _is_here(module: str) -> bool:
    """Whether a module is imported; one whose package is, or that is Python's own, is imported for it."""
    top = module.partition(".")[0]
    if module not in sys.modules and (top in sys.modules or top in sys.stdlib_module_names):
        with suppress(Exception):
            importlib.import_module(module)
    found = module in sys.modules
    if found:
        _find()
    return found


def _read(place: Place) -> int | None:
    try:
        value = _inside(_at(place[:-1]))[place[-1]]
    except (KeyError, AttributeError):
        return None
    if type(value) is int:
        return value
    count = _count_of(value)
    return None if count is None else _number(count)


def _at(place: Place) -> Any:
    found: Any = sys.modules[place[0]]
    for name in place[1:]:
        found = _inside(found)[name]
    return found


def _inside(holder: Any) -> Any:
    """What an object holds, by name; it is not asked."""
    kind = type(holder)
    if kind is collections.defaultdict:
        return holder
    reading = type if issubclass(kind, type) else threading.local if kind is threading.local else object
    return reading.__getattribute__(holder, "__dict__")


def _count_of(value: Any) -> Any:
    """The `itertools.count` that gives the next number."""
    if type(value) in _BOUND:
        value = value.__self__ if value.__name__ == "__next__" else None
    return value if type(value) is itertools.count else None


def _number(count: Any) -> int | None:
    """The next number; None of one that does not count by 1."""
    text = repr(count)[len("count(") : -1]
    return int(text) if text.lstrip("-").isdigit() else None


def _is_count_by_names(value: Any) -> bool:
    return type(value) is collections.defaultdict and value.default_factory is int


# --- finding them ---

_BOUND: Final = (types.MethodWrapperType, types.BuiltinMethodType)
_COUNTS: Final = frozenset({itertools.count, *_BOUND})
_PLAIN: Final = frozenset({int, str, bool, float, bytes, type(None)})
_walked: dict[str, Any] = {}
_places: dict[Place, None] = {}
_of_threads: dict[Place, None] = {}
_by_object: dict[tuple[str, str, str], None] = {}
_of_kinds: dict[type, list[types.CodeType] | None] = {}


def _find() -> None:
    for name, module in new_modules(_walked):
        if type(module) is types.ModuleType and name.partition(".")[0] not in _OF_THE_KERNEL and not is_own(name):
            _walk(name, vars(module))


def _walk(module: str, space: dict[str, Any]) -> None:
    if _USUAL.issuperset(map(type, space.values())):  # as most modules are
        return
    numbers: list[Place] = []  # of these only code tells whether they count
    held_by_objects: list[tuple[str, str, list[types.CodeType]]] = []
    for name, value in list(space.items()):
        kind = type(value)
        if kind in _COUNTS and _count_of(value) is not None:
            _places[module, name] = None
        elif kind is int:
            numbers.append((module, name))
        elif kind is threading.local:
            _of_threads[module, name] = None
        elif kind is type:
            if value.__module__ == module:
                numbers += _in_class(module, name, value)
        elif kind not in _USUAL and (methods := _methods(kind)) is not None:
            held_by_objects += [(name, key, methods) for key in _numbers_in(value)]
    numbers = [place for place in numbers if not place[-1].isupper() and not place[-1].startswith("__")]
    codes = [function.__code__ for function in _functions(module, space)] if numbers or held_by_objects else []
    added = added_to(codes, frozenset(place[-1] for place in numbers))
    for place in numbers:
        if place[-1] in added and only_counts(codes, place[-1], "GLOBAL" if len(place) == 2 else "ATTR"):
            _places[place] = None
    for name, key, methods in held_by_objects:
        if only_counts([*methods, *(code for code in codes if name in code.co_names)], key, "ATTR"):
            _places[module, name, key] = None


def _in_class(module: str, name: str, cls: type) -> list[Place]:
    """Note the counters in a class; what else are numbers there."""
    held = list(vars(cls).items())
    if _HELD_BY_CLASSES.isdisjoint(type(value) for _, value in held):
        return []
    _places.update(dict.fromkeys((module, name, key) for key, value in held if _count_of(value) is not None))
    by_object = [key for key, value in held if type(value) is collections.defaultdict and _makes_counts(value)]
    _by_object.update(dict.fromkeys((module, name, key) for key in by_object))
    return [(module, name, key) for key, value in held if type(value) is int]


def _makes_counts(counts: collections.defaultdict[Any, Any]) -> bool:
    factory = counts.default_factory
    return factory is itertools.count or (type(factory) is functools.partial and factory.func is itertools.count)


def _numbers_in(value: Any) -> list[str]:
    """The attributes of an object that are numbers, if it holds nothing but plain values."""
    held = _inside(value)
    return [name for name, one in held.items() if type(one) is int] if set(map(type, held.values())) <= _PLAIN else []


_HELD_BY_CLASSES: Final = frozenset({int, collections.defaultdict, *_COUNTS})
_HEAP: Final = 1 << 9
_USUAL: Final = frozenset(
    {str, bool, float, bytes, type(None), dict, list, tuple, set, frozenset, types.FunctionType, types.ModuleType}
)


def _methods(kind: Any) -> list[types.CodeType] | None:
    """What instances of a class do after they were made; None if that is more than to count."""
    if kind not in _of_kinds:
        found = None
        if kind.__flags__ & _HEAP and kind.__bases__ == (object,) and dict_of(kind) is not None:
            functions = {name: one.__code__ for name, one in vars(kind).items() if type(one) is types.FunctionType}
            if "__init__" in functions and len(functions) <= _FEW:
                found = [code for name, code in functions.items() if name != "__init__"]
        _of_kinds[kind] = found
    return _of_kinds[kind]


_FEW: Final = 5


def _functions(module: str, space: dict[str, Any]) -> Iterator[types.FunctionType]:
    for value in list(space.values()):
        if type(value) is types.FunctionType and value.__module__ == module:
            yield value
        elif type(value) is type and value.__module__ == module:
            inner = (getattr(one, "__func__", one) for one in vars(value).values() if type(one) in _METHODS)
            yield from (one for one in inner if type(one) is types.FunctionType)


_METHODS: Final = frozenset({types.FunctionType, staticmethod, classmethod})
