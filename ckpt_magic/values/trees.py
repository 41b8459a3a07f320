"""Trees: large values of plain lists, tuples, dicts and instances in which nothing but atoms is held twice.

A parsed file, the rows of a table, a million small dicts. The pickler remembers every object that it writes, for the
case that it comes again, and to find its place in that memory is most of its work. In a tree nothing comes again, so
that a look at one needs no memory. Instances, of which it would ask each how to write it, are told level by level, by
their attributes. What is a tree is told by its content alone: two looks at it go the same way.

Most small values of a notebook are trees, too (`small`): to set up the pickler for one of them takes longer than to
look at it.

Nor has it to be remembered when it is written, if nothing else that is written leads to a part of it (`repeated`): that
takes a quarter of the time, and reading it a fifth less.
"""

from __future__ import annotations

import itertools
import operator
import pickle
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles.forms import PROTOCOL
from ckpt_magic.values.pickles.references import ATOMS

KINDS: Final = frozenset({list, tuple, dict})
LARGE: Final = 1_000  # items of the value or of one of its items; less is not worth asking
_SMALL: Final = 100  # containers of a small value
_FEW: Final = 30  # items of a value that may hold a large one
_DEEP: Final = 40  # levels; the pickler counts to 50 before it takes a value for one that holds itself
_TEXT: Final = 256, 1 << 25  # bytes per reference, and beside; a longer text may come again many times
_ALL: Final = 1 << 17  # references; of more a sample is taken
_STEP: Final = 97  # from one of the sample to the next: a prime, so that each column of a table is met
_MANY: Final = 10_000  # texts that come again
_ONCE: Final = next(map(sys.getrefcount, [object()])) + 1  # references to what a list and one other thing hold


class Tree:
    """One look at a tree.

    Attributes
    ----------
    containers
        All that it consists of, atoms aside; the value first.
    ordered
        The `id` of each, in ascending order.
    classes
        Those of the instances, in the order met.
    references
        How many references they hold, keys of dicts aside.
    digest
        Equal for equal content; of the classes it knows only which instances are of one.
    size
        Bytes of what was hashed.
    """

    __slots__ = ("_hash", "_levels", "_most", "classes", "containers", "digest", "ordered", "references", "size")

    def __init__(self, value: Any, has_attributes_alone: Callable[[type], bool]) -> None:
        self.containers, self.ordered, self.references, self.size = [value], array("Q", [identity(value)]), 1, 0
        self.classes: dict[type, None] = {}
        self._levels: list[Sequence[Any]] = []
        self._walk(has_attributes_alone)
        self._most = most_text(self.references)
        self._hash = new_hash(b"tree")
        pickler = pickle.Pickler(self, PROTOCOL)
        pickler.fast = True
        if self.classes:
            self._write_levels(pickler)
        else:
            pickler.dump(value)
        self._levels.clear()
        self.digest = str(self._hash.hexdigest())

    def _walk(self, has_attributes_alone: Callable[[type], bool]) -> None:
        """Find what the tree consists of, level by level."""
        level = self.containers.copy()
        for _ in range(_DEEP):
            self._levels.append(level)
            self.references += sum(map(len, level))
            kinds = set(map(type, _items(level)))
            if kinds <= ATOMS:
                return
            inner = [item for item in _items(level) if type(item) not in ATOMS]
            self.containers += inner
            classes = kinds - _PARTS
            if classes:
                if not all(map(has_attributes_alone, classes)):
                    break
                self.classes |= dict.fromkeys(filter(classes.__contains__, map(type, inner)))
                level = [_attributes(one) if type(one) in classes else one for one in inner]
                attributes = list(itertools.compress(level, map(operator.is_not, level, inner)))
                if set(map(type, attributes)) != {dict}:
                    break
                self.containers += attributes
            else:
                level, attributes = inner, []
            new = map(identity, itertools.chain(inner, attributes))
            ordered = sorted(itertools.chain(self.ordered, new))  # they ascend in long runs: quicker than a set
            if any(map(operator.eq, ordered, itertools.islice(ordered, 1, None))):  # one was met before
                break
            self.ordered = array("Q", ordered)  # a fifth of what as many objects take
            ordered.clear()
        raise _NoTreeError

    def _write_levels(self, pickler: pickle.Pickler) -> None:
        """Write of each level how much its containers hold, of what kinds, and the atoms: together that is all."""
        numbers = {kind: at for at, kind in enumerate((*_SORTED, *self.classes))}
        self.write(bytes([numbers[type(self.containers[0])]]))
        for level in self._levels[:-1]:
            items = list(_items(level))
            pickler.dump(list(map(len, level)))
            self.write(bytes(map(numbers.__getitem__, map(type, items))))
            pickler.dump([item for item in items if type(item) in ATOMS])
        pickler.dump(self._levels[-1])  # which holds atoms alone

    def write(self, data: bytes) -> int:
        """Be the file of the pickler."""
        self.size += len(data)
        if self.size > self._most:
            raise _NoTreeError
        self._hash.update(data)
        return len(data)


def most_text(references: int) -> int:
    """Bytes that so many references to texts may take where each is written; else some come again many times."""
    return _TEXT[0] * references + _TEXT[1]


class _NoTreeError(Exception):
    """The value is no tree, or written at more length than it may have."""


def look(value: Any, has_attributes_alone: Callable[[type], bool] = lambda _: False) -> Tree | None:
    """Look at a value if it is a large tree.

    Parameters
    ----------
    value
        A list, tuple or dict, of no subclass.
    has_attributes_alone
        Tells of which classes the instances are nothing but their attributes.
    """
    try:
        return Tree(value, has_attributes_alone) if _is_worth_it(value) else None
    except Exception:  # noqa: BLE001  # it is all text, or a thread changes it meanwhile, in whatever way
        return None


def small(value: Any) -> tuple[list[Any], list[Any]] | None:
    """What a small value of plain containers consists of, if it is a tree.

    Returns
    -------
    tuple of lists, or None
        The containers, the value first, and all that they hold, keys included. None for any other value.
    """
    containers, items = [value], list[Any]()
    for one in containers:
        kind = type(one)
        if kind not in KINDS or len(one) > LARGE or len(containers) > _SMALL:
            return None
        here = one if kind is not dict else (*one, *one.values())
        items += here
        containers += [item for item in here if type(item) not in ATOMS]
    if len(set(map(identity, containers))) < len(containers):
        return None
    return (containers, items) if sum(len(item) for item in items if type(item) in _TEXTS) <= _TEXT[1] else None


def repeated(objects: Sequence[Any]) -> tuple[Any, ...] | None:
    """What may come again in a tree: who remembers that need not remember the rest to write it.

    Parameters
    ----------
    objects
        All that the tree consists of, atoms aside.

    Returns
    -------
    tuple or None
        All classes, and texts: of a large tree those that a sample tells, so that another one is written each time.
        None if that may be many, or the tree holds atoms that take a call to write.
    """
    dicts = [one for one in objects if type(one) is dict]
    others = [one for one in objects if type(one) in (list, tuple)]
    found: dict[int, str | bytes] = {}
    step = 1 if sum(map(len, dicts)) + sum(map(len, others)) <= _ALL else _STEP
    for parts in (dicts, itertools.chain(map(dict.values, dicts), others)):
        items = list(itertools.islice(itertools.chain.from_iterable(parts), 0, None, step))
        if not _BY_CALLS.isdisjoint(map(type, items)):
            return None
        texts = [item for item in items if type(item) in _TEXTS]
        items.clear()
        held = list(itertools.compress(texts, map(_ONCE.__lt__, list(map(sys.getrefcount, texts)))))
        again = {identity(text): text for text in held}
        if len(again) > (_MANY if step == 1 else max(_FEW, len(held) // 4)):
            return None
        found |= again
    return (*(set(map(type, objects)) - KINDS), *found.values())


def _is_worth_it(value: Any) -> bool:
    """Whether a value is large, or one of few items of it is: asked of every small variable, so it has to be quick."""
    size = len(value)
    if size >= LARGE or size > _FEW:
        return size >= LARGE
    for item in value.values() if type(value) is dict else value:
        if type(item) in KINDS and len(item) >= LARGE:
            return True
    return False


_TEXTS: Final = frozenset({str, bytes})
_BY_CALLS: Final = ATOMS - _TEXTS - {int, float, bool, type(None)}
_PARTS: Final = ATOMS | KINDS
_SORTED: Final = sorted(_PARTS, key=repr)
_attributes: Final = operator.attrgetter("__dict__")


def _items(level: Sequence[Any]) -> Iterator[Any]:
    """What containers hold; of dicts the keys and the values."""
    dicts = [one for one in level if type(one) is dict]
    others = level if not dicts else [one for one in level if type(one) is not dict]
    parts = (*((dicts, map(dict.values, dicts)) if dicts else ()), others)
    return itertools.chain.from_iterable(map(itertools.chain.from_iterable, parts))
