"""Ways from a value to what it holds, through lists, tuples, dicts and attributes: as `rows[0]["due"]`, in data."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

from ckpt_magic.values.collector import TOLD_BY_NAME
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import dict_of
from ckpt_magic.values.pickles.references import ATOMS

Turn = tuple[str, Any]
Way = tuple[Turn, ...]

_ITEM, _KEY, _VALUE, _ATTRIBUTE = "item", "key", "value", "attribute"
_SEQUENCES: Final = frozenset({list, tuple, collections.deque})
_DICTS: Final = frozenset({dict, collections.OrderedDict, collections.defaultdict, collections.Counter})
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
        kind = type(value)
        if turn == _ITEM and kind in _SEQUENCES:
            value = value[place] if place < len(value) else None
        elif turn == _ITEM and kind in _DICTS:
            value = dict.get(value, place)  # a default dict would make what it has not
        elif turn in (_KEY, _VALUE) and kind in _DICTS:
            view = dict.keys(value) if turn == _KEY else dict.values(value)
            value = next(itertools.islice(view, place, None), None)
        elif turn == _ATTRIBUTE:
            value = _attributes(value).get(place)
        else:
            return None
    return value


def _parts(one: Any) -> Iterator[tuple[Turn, Any]]:
    kind = type(one)
    if kind in _SEQUENCES:
        yield from (((_ITEM, at), part) for at, part in enumerate([*one]))
    elif kind in _DICTS:
        for at, (key, part) in enumerate([*dict.items(one)]):
            yield (_KEY, at), key
            yield ((_ITEM, key) if type(key) in _PLACES else (_VALUE, at)), part
    else:
        yield from (((_ATTRIBUTE, name), part) for name, part in [*_attributes(one).items()])


def _attributes(one: Any) -> Mapping[str, Any]:
    kind = type(one)
    gives = None if issubclass(kind, TOLD_BY_NAME) else dict_of(kind)
    return {} if gives is None else gives.__get__(one)
