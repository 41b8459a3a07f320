"""Containers of classes that a notebook derives from those of Python: made and filled by the methods of these.

Unpickling would call what the notebook's class has in their place, a constructor, `append` or ``__setitem__``: it may
want what is not there yet, and do a second time what it did when the object was made.
"""

from __future__ import annotations

import collections
import copyreg
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

from ckpt_magic.values.pickles.instances import attributes

_Call = tuple[Any, tuple[Any, ...]]  # a method of a base, and what it gets beside the object

_SET: Final = """lambda made, state: (
    [method(made, *given) for method, given in state[0]],
    state[1] is not None and object.__setattr__(made, '__dict__', state[1]),
    [object.__setattr__(made, name, value) for name, value in state[2].items()])"""


def base_of(kind: Any) -> type | None:
    """The container of Python that a class is derived from; none for one with a way of its own to be pickled."""
    base = next((base for base in _CALLS if issubclass(kind, base)), None)
    if base is None or kind in copyreg.dispatch_table:
        return None
    if any(getattr(kind, name, None) is not getattr(base, name, None) for name in _WAYS):
        return None
    return base


def is_pickled_in_part(kind: Any) -> type | None:
    """The container of Python that a library's class is derived from, if pickle would not do for its objects.

    Either a method of its own would fill them (that of matplotlib's colors clears a cache, which an object has only
    when its attributes are there), or their attributes would be left out (the total of a `FreqDist` of nltk).
    """
    base = None if kind in _CALLS else base_of(kind)
    if base is None or base in _WITHOUT_ATTRIBUTES:
        return base
    return base if any(type(getattr(kind, name)) is types.FunctionType for name in _FILLED.get(base, ())) else None


def reducer(base: Any, evaluated: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Reduce objects of classes that are derived from this container; functions are `evaluated` once per pickle."""

    def reduce(obj: Any) -> Any:
        kind = type(obj)
        given = (kind, list(frozenset.__iter__(obj))) if base is frozenset else (kind,)
        state = (list(_CALLS[base](obj)), *(attributes(obj) or (None, {})))
        return base.__new__, given, state, None, None, evaluated(_SET)

    return reduce


def counter(evaluated: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Reduce counters themselves: Python leaves out the attributes that one was given."""
    reduce = reducer(collections.Counter, evaluated)
    return lambda obj: reduce(obj) if vars(obj) else NotImplemented


def _of_dict(obj: Any) -> Iterator[_Call]:
    yield dict.update, (dict(dict.items(obj)),)


def _of_ordered_dict(obj: Any) -> Iterator[_Call]:
    for item in collections.OrderedDict.items(obj):
        yield collections.OrderedDict.__setitem__, item


def _of_defaultdict(obj: Any) -> Iterator[_Call]:
    yield collections.defaultdict.__init__, (obj.default_factory,)
    yield from _of_dict(obj)


def _of_deque(obj: Any) -> Iterator[_Call]:
    yield collections.deque.__init__, (list(collections.deque.__iter__(obj)), obj.maxlen)


_CALLS: Final[dict[type, Callable[[Any], Iterator[_Call]]]] = {  # the derived before what they are derived from
    collections.OrderedDict: _of_ordered_dict,
    collections.defaultdict: _of_defaultdict,
    collections.Counter: _of_dict,
    dict: _of_dict,
    list: lambda obj: iter([(list.extend, (list(list.__iter__(obj)),))]),
    set: lambda obj: iter([(set.update, (list(set.__iter__(obj)),))]),
    frozenset: lambda obj: iter(()),
    collections.deque: _of_deque,
    bytearray: lambda obj: iter([(bytearray.__init__, (bytes(obj),))]),
}
_FILLED: Final[dict[type, tuple[str, ...]]] = {dict: ("__setitem__",), list: ("append", "extend")}  # by unpickling
_WITHOUT_ATTRIBUTES: Final = (collections.Counter, collections.defaultdict)  # as they are pickled
_WAYS: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
