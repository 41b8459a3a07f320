"""Trees: large values of plain lists, tuples and dicts in which nothing but atoms is held twice.

A parsed file, the rows of a table, a million small dicts. The pickler remembers every object that it writes, for the
case that it comes again, and to find its place in that memory is most of its work. In a tree nothing comes again, so
that a look at one needs no memory. What is a tree is told by its content alone: two looks at it go the same way.
"""

from __future__ import annotations

import itertools
import operator
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ckpt_magic.values.forms import PROTOCOL
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.references import ATOMS

KINDS: Final = frozenset({list, tuple, dict})
LARGE: Final = 1_000  # items of the value or of one of its items; less is not worth asking
_FEW: Final = 30  # items of a value that may hold a large one
_DEEP: Final = 40  # levels; the pickler counts to 50 before it takes a value for one that holds itself
_TEXT: Final = 256, 1 << 25  # bytes per reference, and beside; a longer text may come again many times


class Tree:
    """One look at a tree.

    Attributes
    ----------
    containers
        All that it consists of, atoms aside; the value first.
    ordered
        The `id` of each, in ascending order.
    references
        How many references they hold, keys of dicts aside.
    digest
        Equal for equal content.
    size
        Bytes of what was hashed.
    """

    __slots__ = ("_hash", "_most", "containers", "digest", "ordered", "references", "size")

    def __init__(self, value: Any, containers: list[Any], ordered: list[int], references: int) -> None:
        self.containers, self.ordered, self.references, self.size = containers, ordered, references, 0
        self._most = most_text(references)
        self._hash = new_hash(b"tree")
        pickler = pickle.Pickler(self, PROTOCOL)
        pickler.fast = True
        pickler.dump(value)
        self.digest = str(self._hash.hexdigest())

    def write(self, data: bytes) -> int:
        """Be the file of the pickler."""
        self.size += len(data)
        if self.size > self._most:
            raise _TooLongError
        self._hash.update(data)
        return len(data)


def most_text(references: int) -> int:
    """Bytes that so many references to texts may take where each is written; else some come again many times."""
    return _TEXT[0] * references + _TEXT[1]


class _TooLongError(Exception):
    """The tree is written at more length than it may have."""


def look(value: Any) -> Tree | None:
    """Look at a value if it is a large tree.

    Parameters
    ----------
    value
        A list, tuple or dict, of no subclass.
    """
    try:
        found = _containers(value) if _is_worth_it(value) else None
        return None if found is None else Tree(value, *found)
    except Exception:  # noqa: BLE001  # it is all text, or a thread changes it meanwhile, in whatever way
        return None


def _is_worth_it(value: Any) -> bool:
    """Whether a value is large, or one of few items of it is: asked of every small variable, so it has to be quick."""
    size = len(value)
    if size >= LARGE or size > _FEW:
        return size >= LARGE
    for item in value.values() if type(value) is dict else value:
        if type(item) in KINDS and len(item) >= LARGE:
            return True
    return False


def _containers(value: Any) -> tuple[list[Any], list[int], int] | None:
    """What a tree consists of, level by level, their `id` in order, and how many references; None if it is no tree."""
    found, references = [value], 1
    level: Sequence[Any] = [value]
    ordered = [identity(value)]
    for _ in range(_DEEP):
        kinds = set(map(type, _items(level)))
        if not kinds <= _PARTS:
            return None
        references += sum(map(len, level))
        if kinds <= ATOMS:
            return found, ordered, references
        level = [item for item in _items(level) if type(item) not in ATOMS]
        found += level
        ordered = sorted(itertools.chain(ordered, map(identity, level)))  # they ascend in long runs: quicker than a set
        if any(map(operator.eq, ordered, itertools.islice(ordered, 1, None))):  # one of them was met before
            return None
    return None


_PARTS: Final = ATOMS | KINDS


def _items(level: Sequence[Any]) -> Iterator[Any]:
    """What containers hold; of dicts the keys and the values."""
    dicts = [one for one in level if type(one) is dict]
    others = level if not dicts else [one for one in level if type(one) is not dict]
    parts = (*((dicts, map(dict.values, dicts)) if dicts else ()), others)
    return itertools.chain.from_iterable(map(itertools.chain.from_iterable, parts))
