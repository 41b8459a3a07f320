"""What compiled code holds and does not show to the garbage collector, as a database connection does functions.

A value that cannot be pickled is told to share what it holds with other names by what the collector sees in it
(`entering`). Code written in C need not show that. But it counts: an object has more references than all that the
collector knows of refer to it, and then somebody hides it. Who that is cannot be told; a value that cannot be pickled
and has parts of compiled kinds is taken for it.
"""

from __future__ import annotations

import builtins
import collections
import functools
import gc
import itertools
import sys
import types
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from ckpt_magic.values import owned, sharing
from ckpt_magic.values.collector import COLLECTED, TOLD_BY_NAME
from ckpt_magic.values.delta import State
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import attributes_of
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.seen import Seen


class Concealed:
    """Which objects of a notebook are held by values of compiled kinds that do not say so.

    Parameters
    ----------
    namespace
        The globals of the notebook's functions.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._ties = sharing.Ties(namespace)
        self._lost = set[int]()  # the `id` of values that cannot be pickled, and of those that they may hold some of
        self._held = set[int]()
        self._asked = set[tuple[int, int]]()  # objects with the references that they had when they were last asked

    def clear(self) -> None:
        """Forget everything."""
        self._lost.clear()
        self._held.clear()
        self._asked.clear()

    def tie(self, state: State) -> None:
        """Tell that values share what one of them hides, as far as that was found."""
        if self._held:
            for name, other in itertools.product(_holders(state, self._lost), _holders(state, self._held)):
                if name != other:
                    state.links.objects.setdefault((min(name, other), max(name, other)), [(0, 0)])

    def find(self, state: State, *spaces: dict[str, Any]) -> None:
        """Search for what values hide that cannot be pickled.

        Parameters
        ----------
        state
            A look that still holds what it met.
        spaces
            Mappings of the values by name that were made for it.
        """
        lost = {identity(state.values[name]) for name, seen in _of_names(state, is_comparable=False) if _may_hide(seen)}
        if not lost:
            self.clear()
            return
        objects, wholes, entered = _open(state, self._ties)
        known = [self._namespace, state.values, objects, entered, *spaces, *entered, *_of_looks(state)]
        lenders = _lenders(state)
        objects = _too_many(objects, known, lenders)  # of most, that is all: to ask the collector takes long
        counted = set(zip(map(identity, objects), map(sys.getrefcount, objects), strict=True))
        if counted != self._asked or not lost <= self._lost:
            hidden = self._unexplained(objects, known, lenders) if objects else ()
            self._held = {wholes[one] for one in hidden}
            self._asked = counted
        self._lost = lost
        self.tie(state)

    def _unexplained(self, objects: list[Any], known: list[Any], lenders: Counter[int]) -> set[int]:
        """The `id` of those of these objects with more references than are known, or with such ones to what holds them.

        A library that was given `self.method` holds that method, and nobody hides who holds `self`.
        """
        found, named = set[int](), {*map(identity, objects), *map(identity, self._namespace.values())}
        level, starts = objects, {identity(one): {identity(one)} for one in objects}
        for step in range(_STEPS_UP):
            holders = gc.get_referrers(*level)
            found.update(*(starts[identity(one)] for one in _too_many(level, [*known, holders, *holders], lenders)))
            holders = [one for one in holders if identity(one) not in named]
            level = [one for one in holders if type(one) in _PASSED_ON]
            if step:  # what holds the objects themselves may be anybody's: the look's, too
                level += [*_given_dicts(holders), *filter(_is_instance, holders)]
            if not level:
                break
            parts = {identity(one): map(identity, gc.get_referents(one)) for one in level}
            starts = {above: set().union(*(starts.get(one, ()) for one in inside)) for above, inside in parts.items()}
        return found


def _too_many(objects: list[Any], known: list[Any], lenders: Counter[int]) -> list[Any]:
    """The objects with more references than are known: `known` are all that hold some of them."""
    asked = [nobody := list[Any](), *objects]  # the first one tells which references come from here
    del nobody
    holders = {identity(one): one for one in (asked, objects, known, *known)}
    times = Counter(map(identity, gc.get_referents(*holders.values())))
    times.update(holders.keys())  # itself
    times.update(lenders)
    counts = list(map(sys.getrefcount, asked))  # before a loop holds one of them
    left = [count - times[identity(one)] for count, one in zip(counts, asked, strict=True)]
    return [one for one, n in zip(objects, left[1:], strict=True) if n > left[0]]


def _given_dicts(holders: list[Any]) -> list[dict[Any, Any]]:
    """Of some objects the dicts that are no attributes: from Python 3.13 on their owner does not show these."""
    found = [one for one in holders if type(one) is dict and not one.keys() & {"__name__", "__module__"}]
    owned = {identity(attributes_of(one)) for one in holders} if found else set()
    return [one for one in found if identity(one) not in owned]


def _is_instance(one: Any) -> bool:
    """Whether this is an instance of a class that Python made, and not of who runs the notebook."""
    kind = type(one)
    return _is_made_of_python(kind) and references.library_of(kind) not in _HOSTS and not issubclass(kind, type)


def _of_looks(state: State) -> list[Any]:
    """What looks hold what they met by, and the dicts and tuples among that.

    The collector does not know of dicts and tuples of what has no parts.
    """
    looks = [seen for seen in state.looks.values() if len(seen.met) < _FAR]
    met = itertools.chain.from_iterable(seen.met.values() for seen in looks)
    found = [
        one for one in itertools.chain(met, map(attributes_of, state.values.values())) if type(one) in (dict, tuple)
    ]
    found += itertools.chain.from_iterable((seen.met, seen.held, *seen.spans) for seen in looks)
    return found


def _lenders(state: State) -> Counter[int]:
    """By `id`, how many arrays have their memory from an object: these do not show it."""
    arrays = {identity(span.array): span.array for seen in state.looks.values() for span in seen.spans}
    arrays |= {identity(one): one for one in state.values.values()}  # small ones need no look of their own
    return Counter(identity(one.base) for one in arrays.values() if type(one).__name__ == "ndarray")


def _holders(state: State, idents: set[int]) -> list[str]:
    """Names whose values are, or were seen to hold, some of these objects."""
    return [name for name, seen in state.looks.items() if identity(state.values[name]) in idents or seen.among(idents)]


def _of_names(state: State, *, is_comparable: bool) -> list[tuple[str, Seen]]:
    """The looks at variables, which are not those at places in modules, that could or could not be pickled."""
    looks = [(name, seen) for name, seen in state.looks.items() if seen.is_comparable is is_comparable]
    return [(name, seen) for name, seen in looks if name.isidentifier()]


def _may_hide(seen: Seen) -> bool:
    """Whether a value consists of something that may hold what the collector is not shown."""
    return any(map(_is_compiled, set(map(type, seen.met.values()))))


@functools.cache
def _is_compiled(kind: type) -> bool:
    """Whether a class comes from a compiled library. What Python itself is made of shows all that it holds."""
    return any(map(_hides, kind.__mro__)) and not issubclass(kind, (type, types.ModuleType, Placeholder))


def _hides(cls: type) -> bool:
    if cls in _SHOWN or references.library_of(cls) in _SHOWING or _is_made_of_python(cls):
        return False
    return cls.__module__ != "builtins" or not cls.__flags__ & COLLECTED


def _is_made_of_python(cls: type) -> bool:
    """Whether a class was made by a `class` statement: Python shows what its objects hold."""
    return cls.__module__ == "__main__" or not vars(cls).keys().isdisjoint(("__dict__", "__weakref__", "__slots__"))


_SHOWN: Final = frozenset(
    [one for space in (vars(builtins), vars(types)) for one in space.values() if isinstance(one, type)]
    + [type(iter(range(0))), type(iter(range(1 << 99)))]
)
# modules of which all that their objects hold is shown, or is memory, which is looked at by itself
_SHOWING: Final = frozenset(
    {"_thread", "threading", "_io", "io", "itertools", "functools", "_functools", "_collections", "collections"}
    | {"operator", "_operator", "socket", "_socket", "_csv", "_asyncio", "_contextvars", "weakref", "select", "array"}
    | {"_struct", "_queue", "_random", "_hashlib", "zlib", "mmap", "_ctypes", "_abc", "typing", "datetime", "decimal"}
    | {"numpy", "pandas", "pyarrow", "matplotlib", "torch", "scipy"}
)


def _open(state: State, ties: Callable[[Any], bool]) -> tuple[list[Any], dict[int, int], list[Any]]:
    """What the values consist of that others may hold and change, as far as containers and attributes lead.

    Returns
    -------
    objects
        Those that can be changed.
    wholes
        By the `id` of each that of a value that it is in.
    entered
        Everything on the way, with attributes.
    """
    objects, wholes, entered = list[Any](), dict[int, int](), list[Any]()
    for name, seen in _of_names(state, is_comparable=True):
        if seen.alone or seen.is_name or seen.owned:
            continue
        value = state.values[name]
        todo, met = [value], set[int]()
        while todo and len(met) < _MANY:
            one = todo.pop()
            if identity(one) in met or type(one) in ATOMS:
                continue
            met.add(identity(one))
            entered += (one, attributes_of(one))
            if ties(one) and (references.library_of(type(one)) not in _MEMORY or _is_counted(one, value)):
                objects.append(one)
                wholes.setdefault(identity(one), identity(value))
            todo += () if seen.is_small else _parts(one)
    return objects, wholes, entered


def _is_counted(one: Any, value: Any) -> bool:
    """Whether of what is over memory all references are known: frames, and arrays that have a name."""
    name = type(one).__name__
    return name in ("DataFrame", "Series") or (one is value and name == "ndarray")


def _parts(one: Any) -> list[Any]:
    """What a container or an instance holds that may be anybody's: an object of a library holds others of its own."""
    kind = type(one)
    if kind in _CONTAINERS:
        return list(one)
    if issubclass(kind, dict):
        return list(dict.values(one))
    if issubclass(kind, TOLD_BY_NAME) or references.library_of(kind) in _MEMORY:
        return []
    parts = list(attributes_of(one).values())
    if references.is_of_library(kind):
        entered = {dict, *_CONTAINERS, *filter(_is_compiled, set(map(type, parts)))}
        return [part for part in parts if type(part) in entered]
    return parts


_CONTAINERS: Final = frozenset({list, tuple, set, frozenset, collections.deque})
_MANY: Final = 100  # objects of one value
_FAR: Final = 10_000  # objects of one value that are asked whether they hold others
_STEPS_UP: Final = 10  # a method in a closure in a wrapper …
_HOSTS: Final = owned.HOSTS | {"ckpt_magic"}
# what a library is given in place of an object, which it holds
_PASSED_ON: Final = frozenset(
    {types.MethodType, types.BuiltinMethodType, types.FunctionType, types.CellType, tuple, functools.partial}
)
# arrays, which do not show who lends them their memory, and what consists of arrays
_MEMORY: Final = frozenset({"numpy", "pandas", "pyarrow", "polars", "torch", "matplotlib", "scipy", "sklearn"})
