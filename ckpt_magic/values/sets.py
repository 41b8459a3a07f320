"""Sets in their order: a set is gone through as its elements lie in its table, which tells how it came about.

Pickle writes the elements one after the other, and whoever reads them fills a new table. It may be smaller than the
old one, which elements that were removed once made grow, or that was made for the elements of two sets; and what was
removed has left marks that later elements went past. And `pop` goes on from where it took something last. So such a
set is written as the way to its table: what to add in which order, with numbers that stand for what was removed and are
removed in the end. The way is found by reading the table, and taken only if it leads there.

Only for elements whose hashes run no code of anybody, and are the same where the set is read: numbers, texts as far as
`PYTHONHASHSEED` says so, and tuples of these. Elsewhere a set has the same elements in some order, as in any new run.

How a table grows and where an element goes in it: ``Objects/setobject.c`` of CPython, ``set_add_entry``.
"""

from __future__ import annotations

import ctypes
import itertools
import operator
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.values.memory import identity

_KINDS: Final = frozenset({set, frozenset})
_PLAIN: Final = frozenset({int, float, complex, str, bytes, bool})
_NUMBERS: Final = _PLAIN - {str, bytes}
_MOST: Final = 1 << 17  # places of all tables together to which ways are looked for: that takes 10 µs for each
_SMALLEST: Final = 8  # places of the table of a new set
_REMOVED: Final = -1  # hash that a table has in the place of an element that was removed
_ENTRY: Final = 2 * ctypes.sizeof(ctypes.c_void_p)  # bytes
_AT_ONCE: Final = 1_000  # sets that are made again to be compared
_EMPTY: Final = sys.getsizeof(set())
_STANDS_IN: Final = 1 << 40  # this number and those after it stand for what was removed, each with its place as hash
_PASSES: Final = 1 << 41

_TRIES: Final = 48

WAY: Final = """lambda kind, finger, first, passing, rest, moved, removed: kind(first + rest) if not (
    finger or passing or moved or removed) else (lambda made: ([*map(made.discard, range(finger - 1))],
    finger and made.pop(), made.clear(), made.update(first), made.update(passing), [*map(made.discard, passing)],
    made.update(rest), [(made.discard(number), made.add(one)) for number, one in moved],
    [*map(made.discard, removed)], made if kind is set else kind(made))[-1])(set(range(finger)))"""
"""Code that makes a set by its way, of which it is given the parts."""
_make: Final = eval(WAY)  # noqa: S307  (a constant)


@dataclass(frozen=True, slots=True)
class Way:
    """How the table of a set comes about.

    Attributes
    ----------
    kind
        `set` or `frozenset`.
    finger
        Where in its table `pop` begins to look: after the place of what it took last.
    first
        What a new set is filled with.
    passing
        Numbers that are then added, and removed again: with the next element the table grows.
    rest
        What is then added.
    moved
        Numbers among all this that are removed one by one, and what takes the place of each.
    removed
        Numbers that are removed in the end.
    """

    kind: type
    finger: int
    first: list[Any]
    passing: list[int]
    rest: list[Any]
    moved: list[tuple[int, Any]]
    removed: list[int]

    @property
    def parts(self) -> tuple[Any, ...]:
        """What `WAY` is given."""
        return self.kind, self.finger, self.first, self.passing, self.rest, self.moved, self.removed


class _Set(ctypes.Structure):
    """What follows the head of a `PySetObject`: ``Include/cpython/setobject.h``."""

    _fields_ = (
        ("fill", ctypes.c_ssize_t),
        ("used", ctypes.c_ssize_t),
        ("mask", ctypes.c_ssize_t),
        ("table", ctypes.c_void_p),
        ("hash", ctypes.c_ssize_t),
        ("finger", ctypes.c_ssize_t),
    )


def ways(objects: Iterable[Any]) -> Iterator[tuple[Any, Way]]:
    """Those of the objects that are sets which pickle would not bring back as they are, and the way to each."""
    left = _MOST
    small = [one for one in _sets(objects) if _places(one) <= _MOST]
    for start in range(0, len(small), _AT_ONCE):
        for one in _differing(small[start : start + _AT_ONCE]):
            if _places(one) <= left:
                left -= _places(one)
                if (way := _way(one)) is not None:
                    yield one, way


def _sets(objects: Iterable[Any]) -> Iterable[Any]:
    """The sets among very many objects, each once."""
    all_, again = itertools.tee(objects)
    found = itertools.compress(all_, map(_KINDS.__contains__, map(type, again)))
    return {identity(one): one for one in found}.values()


def _places(one: Any) -> int:
    return (sys.getsizeof(one) - _EMPTY) // _ENTRY or _SMALLEST


def _differing(some: Sequence[Any]) -> Iterator[Any]:
    """Those of which a new set with the same elements has these in another order, or may have when it grows."""
    if not _are_plain(itertools.chain.from_iterable(some)):
        some = [one for one in some if _are_plain(one)]
    are_few = len(some) < _AT_ONCE
    elements = [*map(list, some)]
    again = [*map(set, elements)]
    in_order = map(operator.eq, elements, map(list, again))
    as_large = map(operator.eq, map(sys.getsizeof, some), map(sys.getsizeof, again))
    for one, made, is_in_order, is_as_large in zip(some, again, in_order, as_large, strict=True):
        is_same = is_in_order and (type(one) is frozenset or is_as_large)
        if is_same and are_few and type(one) is set:  # in whatever order they are, what was removed has left marks
            is_same = not _finger(one) and _memory(one) == _memory(made)
        if not is_same:
            yield one


def is_ordered_by_hashes(value: Any) -> bool:
    """Whether a value is a set that another process goes through in another order."""
    if type(value) not in _KINDS or len(value) < 2:
        return False
    inside = itertools.chain.from_iterable(one if type(one) is tuple else (one,) for one in value)
    return not all(type(one) in _NUMBERS for one in inside)


def _are_plain(elements: Iterable[Any]) -> bool:
    """Whether they are numbers and texts, or tuples of these."""
    kinds, parts = itertools.tee(elements)
    found = set(map(type, kinds))
    if tuple in found:
        inside = itertools.chain.from_iterable(one for one in parts if type(one) is tuple)
        found = (found - {tuple}).union(map(type, inside))
    return found <= _PLAIN


def _way(one: Any) -> Way | None:
    """Find a way to a set and go it; none if there is none, or if it leads elsewhere."""
    table = _table(one)
    for way in () if table is None else _found(one, table):
        made = _make(*way.parts)
        is_same = _table(made) == table and _finger(made) == way.finger
        if [*made] == [*one] and (way.kind is frozenset or is_same):
            return way
    return None


def _found(one: Any, table: list[int | None]) -> Iterator[Way]:
    """Find ways that may lead to a table.

    At first each place is taken by what belongs there: by its element, or by a number for one that lies elsewhere than
    where it is looked for first. In which order they come does not matter then. What lies elsewhere is added when all
    places before its own are taken, and its own has just become free.
    """
    elements, size = iter(one), len(table)
    first, moved, removed = list[Any](), list[tuple[int, Any]](), list[int]()
    for place, hash_ in enumerate(table):
        if hash_ is None:
            continue
        number = _STANDS_IN + place
        if hash_ == _REMOVED:
            removed.append(number)
        else:
            element = next(elements)
            if hash_ % size == place:
                number = element
            else:
                moved.append((number, element))
        first.append(number)
    steps = _growth(size, len(first))
    if steps is None or not one.isdisjoint(removed) or not one.isdisjoint(dict(moved)):
        return
    filled, passing = steps
    for turn in range(_TRIES if passing else 1):  # the next element must not lie where a number passed
        passed = list(range(_PASSES + turn, _PASSES + turn + passing))
        if not one.isdisjoint(passed):
            return
        turned = first[turn:] + first[:turn]
        yield Way(type(one), _finger(one), turned[:filled], passed, turned[filled:], moved, removed)


def _growth(size: int, count: int) -> tuple[int, int] | None:
    """Find how a table gets its size: how many elements come first, and how many numbers pass before the next one."""
    now, filled = _SMALLEST, 0
    most = min(count, size // 4 - 1)  # of more a table would grow beyond
    while now < size and filled + 1 < most:
        filled += 1
        if _is_full(now, filled):
            now = _grown(filled)
    if now == size:
        return filled, 0
    if now > size or most < 1 or _grown(most) != size:
        return None
    passing = next(count for count in itertools.count() if _is_full(now, filled + count + 1))
    return filled, passing


def _is_full(size: int, filled: int) -> bool:
    return filled * 5 >= (size - 1) * 3


def _grown(filled: int) -> int:
    """Places of a table that has grown: a power of two."""
    return max(_SMALLEST, 1 << (filled * 4).bit_length())


def _table(one: Any) -> list[int | None] | None:
    """Read the hashes in the places of a table, none where one is free; none at all if it cannot be read."""
    if _head(one) is None:
        return None
    words = memoryview(_memory(one)).cast("q").tolist()
    table = [hash_ if key else None for key, hash_ in zip(words[::2], words[1::2], strict=True)]
    return table if [one for one in table if one not in (None, _REMOVED)] == [*map(hash, one)] else None


def _memory(one: Any) -> bytes:
    """The table as it lies there: addresses of the elements, each with its hash; empty if it cannot be read."""
    head = _head(one)
    return b"" if head is None else ctypes.string_at(head.table, (head.mask + 1) * _ENTRY)


def _finger(one: Any) -> int:
    head = _head(one)
    return head.finger if head is not None and 0 <= head.finger <= head.mask + 1 and type(one) is set else 0


def _head(one: Any) -> _Set | None:
    """What a set says of its table, if that is where it is looked for."""
    if sys.implementation.name != "cpython":
        return None
    head = _Set.from_address(id(one) + object.__basicsize__)
    is_known = head.used == len(one) and 0 < head.mask < _MOST and _places(one) == head.mask + 1
    return head if is_known else None
