"""pandas objects that look at one memory know of each other, also after a restore.

While they live, pandas counts who looks at a memory (`BlockValuesRefs`): who writes takes a copy first, unless nobody
else is left. An array that somebody took out of one of them shows the difference. So a checkpoint says of each block
which count it belongs to, and where in the memory it lies: one that comes from another file joins the count of this
kernel, and its memory.
"""

from __future__ import annotations

import gc
import itertools
import sys
import types
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Final

from ckpt_magic.values.memory import address, identity
from ckpt_magic.values.pickles.forms import Token

KIND: Final = "companions"
_SWEPT: Final = 100  # counts that are held whether anything of them lives or not
_MANY: Final = 50  # companions that are asked for their memory
# Whether arrays of the same file lie there too; per array, bytes from where the memory of the count begins, and strides
Place = tuple[bool, tuple[tuple[int, tuple[int, ...]], ...]] | tuple[()]

JOIN: Final = """lambda one, state: (state[2:] and one.__setstate__(state[2]), [(setattr(block, 'refs', state[0]),
    state[0].add_reference(block)) for block in getattr(one, 'blocks', (one,))])"""
JOIN_INDEX: Final = """lambda index, state: (setattr(index, '_references', state[0]),
    state[0].add_index_reference(index))"""
_NAMELESS: Final = "?"  # something in an unmarked cell looks at it that has no name: a closure, an object of a library
_ENTERED: Final = 1000  # objects, to find a frame that an unmarked cell made
_COMPARED: Final = 1 << 24  # bytes; larger memory is not read, only to have it once instead of twice


def count_of(one: Any) -> Any:
    """The count that a block or an index belongs to; none if this pandas, or this index, has none."""
    if hasattr(one, "mgr_locs"):
        return getattr(one, "refs", None)
    return vars(one).get("_references")  # a range makes one when asked, of an array that it makes anew


def _living(refs: Any) -> list[Any]:
    return [one for ref in refs.referenced_blocks if (one := ref()) is not None]


class _Nameless:
    """Stands, in the kernel that restores, for what looked at a memory and has no name: who writes goes on to copy."""


class _Count:
    """A count of pandas: which name it has in files, and where its memory begins in this kernel."""

    __slots__ = ("name", "refs", "serial", "starts")

    def __init__(self, refs: Any, name: str, serial: int, starts: tuple[int, ...]) -> None:
        self.refs, self.name, self.serial, self.starts = refs, name, serial, starts


class Companions:
    """The counts of one kernel, by names that are equal in every kernel that runs or restores the same step.

    They are held, each until none of those lives that it counts; that is asked whenever there are twice as many.

    Parameters
    ----------
    namespace
        The namespace of the notebook.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._serials = itertools.count()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._known: dict[int, _Count] = {}
        self._named: dict[str, _Count] = {}
        self._nameless: list[_Nameless] = []
        self._most = _SWEPT
        self.saving((), all_of_it=False)
        self.begin("")

    def begin(self, step: str) -> None:
        """Name what is met from here on after a step; empty for what no step made."""
        self._step, self._number = step, itertools.count()
        if len(self._known) >= self._most:
            self._sweep()
            self._most = max(2 * len(self._known), _SWEPT)

    def _sweep(self) -> None:
        """Let go of counts of which nothing lives."""
        for ident, one in list(self._known.items()):
            if not _living(one.refs):
                del self._known[ident]
                if self._named.get(one.name) is one:
                    del self._named[one.name]

    def serial(self, one: Any) -> int | None:
        """A number that no other count of this kernel has or will have; none for what belongs to none."""
        refs = count_of(one)
        return None if refs is None else self._of(refs, one).serial

    def _of(self, refs: Any, one: Any) -> _Count:
        found = self._known.get(identity(refs))
        if found is None:
            name = f"{self._step}.{next(self._number)}" if self._step else ""
            found = self._note(refs, name, _addresses(_memory(one)))
        return found

    def _note(self, refs: Any, name: str, starts: tuple[int, ...]) -> _Count:
        found = self._known[identity(refs)] = _Count(refs, name, next(self._serials), starts)
        if name:
            older = self._named.get(name)
            if older is not None:  # its step ran again
                older.name = f"{name}~{uuid.uuid4().hex}"
                self._named[older.name] = older
            self._named[name] = found
        return found

    def saving(self, names: Iterable[str], *, all_of_it: bool) -> None:
        """The next file holds these names, perhaps nothing else: they need not be found in the kernel that reads it."""
        self._saved, self._is_told = frozenset(names), all_of_it

    def written(self, one: Any, fixed: Callable[[int], bool]) -> tuple[Token, Place]:
        """What a file says of the count of a block or an index, and of its place in the memory.

        `fixed` tells whether arrays of the same file lie over an address, too.
        """
        count = self._of(count_of(one), one)
        name, starts = count.name, count.starts
        if not name:  # no step made it: it is found by the name of what holds it, if that is another one
            counted = [row for row in self._blocks_of_names() if count_of(row[2]) is count.refs]
            others = [row for row in counted if row[0] not in self._saved]
            if others:
                key, at, block = others[0]
                name, starts = f"{at} of {key}", _addresses(_memory(block))
            elif self._is_told and hasattr(one, "mgr_locs") and len(_living(count.refs)) > max(len(counted), 1):
                name = _NAMELESS
        memory = _addresses(_memory(one))
        place: Place = ()
        if memory and len(memory) == len(starts):
            strides = (part.strides for part in _memory(one))
            parts = zip((at - start for at, start in zip(memory, starts, strict=True)), strides, strict=True)
            place = any(map(fixed, memory)), tuple(parts)
        return (KIND, name, "", ""), place

    def _blocks_of_names(self) -> Iterator[tuple[str, int, Any]]:
        for key, value in list(self._namespace.items()):
            for at, block in enumerate(_blocks(value)):
                yield key, at, block

    def join(self, found: Mapping[Token, Any], joined: list[tuple[Any, Any, Place]]) -> None:
        """Let what a restore has just put in place belong to the counts of this kernel.

        Parameters
        ----------
        found
            By token, the counts that were made when the file was read.
        joined
            Blocks and indexes with these counts and their places; empty afterwards.
        """
        counts = {identity(refs): self._here(token[1], refs) for token, refs in found.items() if token[0] == KIND}
        for _, refs, _ in joined:
            if (count := counts.get(identity(refs))) is not None and count.refs is not refs:
                for one in _living(refs):  # also what pandas made of what was read: the levels of an index
                    if count_of(one) is refs:
                        _enter(one, count.refs)
        unplaced = {identity(one) for one, _, _ in joined}
        for one, refs, place in joined:
            unplaced.discard(identity(one))
            if (count := counts.get(identity(refs))) is not None:
                _share(one, count, place, unplaced)
        joined.clear()  # a block is counted while it lives

    def _here(self, name: str, refs: Any) -> _Count:
        if name == _NAMELESS:
            self._nameless.append(stands_for_it := _Nameless())
            refs.add_index_reference(stands_for_it)
        if name in ("", _NAMELESS):
            return self._note(refs, "", ())
        at, _, key = name.partition(" of ")
        if key:
            blocks = list(_blocks(self._namespace.get(key)))
            there = blocks[int(at)] if int(at) < len(blocks) else None
            if there is None:
                return self._note(refs, "", ())
            made = self._of(count_of(there), there)
            return _Count(made.refs, "", made.serial, _addresses(_memory(there)))
        return self._named.get(name) or self._note(refs, name, ())


def _blocks(value: Any) -> Iterator[Any]:
    """Blocks and indexes of a frame, or of those in a container or an object, in order."""
    frame = getattr(sys.modules.get("pandas.core.generic"), "NDFrame", ())
    index = getattr(sys.modules.get("pandas"), "Index", ())
    todo, entered = [value], 0
    while todo and entered < _ENTERED:
        one = todo.pop()
        kind, entered = type(one), entered + 1
        if issubclass(kind, frame):
            yield from (*one._mgr.blocks, *one.axes)
        elif issubclass(kind, index):
            yield one
        elif kind in (list, tuple, dict):
            todo += [*(one.values() if kind is dict else one)][::-1]
        elif kind.__module__ == "__main__" and type(getattr(one, "__dict__", None)) is dict:
            todo += [*vars(one).values()][::-1]


def held_by(values: Iterable[Any]) -> list[weakref.ref[Any]]:
    """The blocks in values, or in what they lead to, held weakly.

    Of what leads back to itself they live on when it is not needed any more, and count, until it is collected.
    """
    frame = getattr(sys.modules.get("pandas.core.generic"), "NDFrame", ())
    met, level, found = set[int](), list(values), list[weakref.ref[Any]]()
    while level and len(met) < _ENTERED:
        frames = [one for one in level if issubclass(type(one), frame)]
        found += [weakref.ref(block) for one in frames for block in one._mgr.blocks]
        others = [one for one in level if not issubclass(type(one), (frame, *_NOT_ENTERED))]
        met.update(map(identity, level))
        near = gc.get_referents(*others)[:_ENTERED]
        level = list({identity(one): one for one in near if identity(one) not in met}.values())
    return found


_NOT_ENTERED: Final = (type, types.ModuleType, types.FunctionType)


def _enter(one: Any, refs: Any) -> None:
    if hasattr(one, "mgr_locs"):
        one.refs = refs
        refs.add_reference(one)
    else:
        one._references = refs
        refs.add_index_reference(one)


def _memory(one: Any) -> tuple[Any, ...]:
    """The arrays that a block consists of, if they can be exchanged."""
    plain = sys.modules["numpy"].ndarray
    values = one.values if hasattr(one, "mgr_locs") else None
    names = ("_ndarray",) if hasattr(values, "_ndarray") else ("_data", "_mask")
    parts: list[Any] = [values] if type(values) is plain else [getattr(values, name, None) for name in names]
    is_known = all(type(part) is plain and part.size and not part.dtype.hasobject for part in parts)
    return tuple(parts) if is_known and getattr(values, "_freq", None) is None else ()


def _addresses(arrays: Iterable[Any]) -> tuple[int, ...]:
    return tuple(map(address, arrays))


def _share(one: Any, count: _Count, place: Place, unplaced: Set[int]) -> None:
    """Let a block that was read lie in the memory of the others of its count, or them in its own if that is larger.

    Those that were read with it and that come later (`unplaced`, their `id`) lie nowhere yet: the memory of the count
    may be that of a block which is gone, and of the two none would be found there.
    """
    memory = _memory(one)
    if not memory or not place or len(memory) != len(place[1]):
        return
    fixed, parts = place
    starts = tuple(address(part) - offset for part, (offset, _) in zip(memory, parts, strict=True))
    if starts == count.starts:
        return
    others = [
        other
        for other in _living(count.refs)[:_MANY]
        if other is not one and identity(other) not in unplaced and len(_memory(other)) == len(parts)
    ]
    if not others or len(count.starts) != len(parts):
        count.starts = starts
    elif sum(part.nbytes for part in memory) > _COMPARED:
        return
    elif fixed or not any(_lay(one, parts, count.starts, other) for other in others):
        moved = [_lay(other, _parts(other, count), starts, one) for other in others]
        if fixed or any(moved):
            count.starts = starts


def _parts(one: Any, count: _Count) -> list[tuple[int, tuple[int, ...]]]:
    return [(address(part) - at, part.strides) for part, at in zip(_memory(one), count.starts, strict=True)]


def _lay(block: Any, parts: Iterable[tuple[int, tuple[int, ...]]], starts: Iterable[int], other: Any) -> bool:
    """Let a block lie at this place, if that is memory of the other one and holds the same."""
    memory, near, found = _memory(block), _memory(other), []
    for (offset, strides), start, old, array in zip(parts, starts, memory, near, strict=True):
        new = _at(start + offset, strides, old, array)
        if new is None:
            return False
        found.append(new)
    if _addresses(found) != _addresses(memory):
        values = block.values
        if len(found) == 1:
            block.values = found[0] if values is memory[0] else values._from_backing_data(found[0])
        else:
            block.values = values.view()
            block.values._data, block.values._mask = found
    return True


def _at(start: int, strides: tuple[int, ...], old: Any, near: Any) -> Any:
    """An array like the old one at an start in the memory of another one; none if it would not be like it."""
    numpy = sys.modules["numpy"]
    while type(near.base) is numpy.ndarray:
        near = near.base
    if not 0 <= start - address(near) < near.nbytes or not near.flags.forc or near.dtype.hasobject:
        return None
    whole = (near if near.flags.c_contiguous else near.T).reshape(-1).view("u1")
    try:
        new = numpy.ndarray(old.shape, old.dtype, whole, start - address(whole), strides)
    except (ValueError, TypeError):  # it lies elsewhere
        return None
    return new if new.tobytes() == old.tobytes() else None
