"""Ways from a value to what it holds, through lists, tuples, dicts and attributes: as `rows[0]["due"]`, in data."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence, Set
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import attributes_of
from ckpt_magic.values.pickles.references import ATOMS

Turn = tuple[str, Any]
Way = tuple[Turn, ...]

_ITEM, _KEY, _VALUE, _ATTRIBUTE = "item", "key", "value", "attribute"
_BASES: Final = (list, tuple, collections.deque, dict)
_PLACES: Final = frozenset({str, int})
_MOST: Final = 10_000  # objects that are gone through


def ways(value: Any, wanted: Set[int]) -> Iterator[tuple[Any, Way]]:
    """Objects inside a value, and the way to each; the shortest.

    Parameters
    ----------
    value
        Where to begin.
    wanted
        The `id` of the objects.
    """
    left = set(wanted)
    todo: collections.deque[tuple[Any, Way]] = collections.deque([(value, ())])
    met = {identity(value)}
    while todo and left and len(met) < _MOST:
        one, way = todo.popleft()
        for turn, part in _parts(one):
            ident = identity(part)
            if ident in left:
                left.discard(ident)
                yield part, (*way, turn)
            if ident not in met and type(part) not in ATOMS:
                met.add(ident)
                todo.append((part, (*way, turn)))


def at(value: Any, way: Sequence[Turn]) -> Any:
    """What a way leads to; None if nothing. No code of the user's is asked, but by the keys of dicts."""
    for turn, place in way:
        base = _base(type(value))
        if turn == _ATTRIBUTE:
            value = attributes_of(value).get(place)
        elif base is None:
            return None
        elif turn == _ITEM and base is dict:
            value = dict.get(value, place)  # a default dict would make what it has not
        elif turn == _ITEM:
            value = base.__getitem__(value, place) if place in range(base.__len__(value)) else None
        elif base is not dict:
            return None
        else:
            view = dict.keys(value) if turn == _KEY else dict.values(value)
            value = next(itertools.islice(view, place, None), None)
    return value


def _parts(one: Any) -> Iterator[tuple[Turn, Any]]:
    base = _base(type(one))
    if base is dict:
        for at, (key, part) in enumerate([*dict.items(one)]):
            yield (_KEY, at), key
            yield ((_ITEM, key) if type(key) in _PLACES else (_VALUE, at)), part
    elif base is not None:
        yield from (((_ITEM, at), part) for at, part in enumerate([*base.__iter__(one)]))
    yield from (((_ATTRIBUTE, name), part) for name, part in [*attributes_of(one).items()])


def _base(kind: type) -> Any:
    """The type of container that an object is at heart: its own methods tell what it holds, not those of its class."""
    return next((base for base in _BASES if issubclass(kind, base)), None)
