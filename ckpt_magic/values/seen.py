"""What one look at one value found (`fingerprint`): objects met, memory, and a digest to compare with a later look."""

from __future__ import annotations

import bisect
import itertools
import types
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from ckpt_magic.values import owned
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import Content, new_hash
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.references import ATOMS

ARROW = 1  # guard of all Arrow data: it cannot be written, so any number of its buffers may share
POLARS = 2  # of all data of polars, likewise


class Objects(Mapping[int, Any]):
    """Very many objects by `id`, all different, in order.

    To put them into a dict takes longer than to meet them, and is needed only where something else holds many of them.

    Parameters
    ----------
    objects
        The objects; not changed later.
    ordered
        Their `id` in ascending order.
    """

    __slots__ = ("_by_ident", "_objects", "_ordered")

    def __init__(self, objects: Sequence[Any], ordered: Sequence[int]) -> None:
        self._objects, self._ordered = objects, ordered
        self._by_ident: dict[int, Any] | None = None

    def _all(self) -> dict[int, Any]:
        if self._by_ident is None:
            self._by_ident = dict(zip(map(identity, self._objects), self._objects, strict=True))
            self._objects = ()  # one reference to each, as `holders` counts them
        return self._by_ident

    def __getitem__(self, ident: int) -> Any:
        return self._all()[ident]

    def __contains__(self, ident: Any) -> bool:
        at = bisect.bisect_left(self._ordered, ident)
        return at < len(self._ordered) and self._ordered[at] == ident

    def __iter__(self) -> Iterator[int]:
        return map(identity, self.values())

    def __len__(self) -> int:
        return len(self._ordered)

    def keys(self) -> Any:
        """As of a dict."""
        return self._all().keys()

    def items(self) -> Any:
        """As of a dict."""
        return self._all().items()

    def values(self) -> Any:
        """As of a dict; without one, a list."""
        return self._objects if self._by_ident is None else self._by_ident.values()

    def among(self, idents: Set[int]) -> Set[int]:
        """Those of the objects with these `id` that are here."""
        if self._by_ident is None and _RARE * len(idents) < len(self):
            return set(filter(self.__contains__, idents))
        return idents & self._all().keys()

    def some(self, idents: Set[int]) -> list[Any]:
        """The objects with these `id`, all of which are here."""
        if self._by_ident is None and _RARE * len(idents) < len(self):
            return list(itertools.compress(self._objects, map(idents.__contains__, self)))
        return list(map(self._all().__getitem__, idents))


_RARE: Final = 32  # times as many objects; fewer are searched for one by one


class Span:
    """The memory of one array.

    Attributes
    ----------
    low, high
        First address and the one past the last.
    array
        The array, which keeps the memory alive.
    guard
        0 for an array that anybody may write; else `id` of the pandas manager that it belongs to, `ARROW` or `POLARS`:
        these never let a write through to another one.
    refs
        `id` of what pandas counts the blocks over one memory by; 0 for what is no block, or cannot be written. It
        knows nothing of a block that was made over the memory by itself (`Series(array, copy=False)`): such two
        write into each other.
    owner
        What has the memory: the array, or the storage of tensors that it was made for.
    """

    __slots__ = ("_storage", "array", "guard", "high", "low", "refs")

    def __init__(self, low: int, high: int, array: Any, guard: int, storage: Any = None, refs: int = 0) -> None:
        self.low, self.high, self.array, self.guard, self.refs = low, high, array, guard, refs
        self._storage = storage  # one reference to the array, as `holders` counts them

    @property
    def owner(self) -> Any:
        return self.array if self._storage is None else self._storage


NEVER_WRITTEN: Final = frozenset({ARROW, POLARS})


def stretches(spans: Sequence[Span]) -> list[list[Span]]:
    """Split spans, sorted by address, into stretches of memory that do not touch each other."""
    found: list[list[Span]] = []
    high = -1
    for span in spans:
        if found and span.low < high:
            found[-1].append(span)
            high = max(high, span.high)
        else:
            found.append([span])
            high = span.high
    return found


def are_shared(stretch: Sequence[Span]) -> bool:
    """Whether what is written by way of one of these is seen by way of another one."""
    free = {identity(span.owner) for span in stretch if not span.guard}
    refs = {span.refs for span in stretch if span.refs}
    guards = {span.guard for span in stretch if span.guard}
    return len(refs) > 1 or bool(refs and guards & NEVER_WRITTEN) or bool(free and len(free) + len(guards) > 1)


class Seen:
    """What one look at one value found.

    Attributes
    ----------
    contents
        What the large buffers hold that the value reaches; they are read when the digest is asked for.
    why
        Reason why it cannot be pickled, else empty.
    met
        Every object that the value reaches, atoms aside, by `id` in the order met; kept alive until `forget`.
    held
        Of a value that takes long to look at, every reference that was met, in order; until `forget`.
    alone
        Of such a value, the `id` of the object that was found to be led into by nothing but its name; else 0.
    closed
        The names together with which it was found to be led into by nothing else (`alone.Closed`); None if by its
        own name, or by others.
    hidden
        Of objects that their class writes as bytes, what they hold, by `id`: no pickle brings back who else has that.
        Until `forget`.
    guarded
        `id` of the objects that pandas holds for itself: it never lets a change of them through to another holder.
    spans
        Memory of the arrays and buffers that the value reaches.
    functions
        The notebook's functions and classes that it reaches.
    made
        Numbers of the definitions that it reaches and that have a token: one made again by equal code has another. Also
        of what pandas counts those by that look at one memory.
    tree
        Of a value that is a tree (`trees`), how many of the objects met it consists of: they come first. Else 0.
    owned
        What libraries own of what the value reaches, and the digest of each: None if it cannot be pickled, empty if
        it is not to be compared. Not met: it is the same object in every checkpoint, and ties no names.
    is_comparable
        Whether the value could be pickled.
    is_name
        Whether the value is written as a name.
    is_deep
        Whether its objects lead from one to the next further than pickle goes.
    is_figure
        Whether the value is a figure of matplotlib or parts of one, and nothing else.
    is_small
        Whether the value is of plain kinds and reaches few objects, all of which nobody else holds: `batches`.
    """

    __slots__ = (
        *(
            "_ref",
            "_rest",
            "alone",
            "closed",
            "contents",
            "functions",
            "guarded",
            "held",
            "hidden",
            "is_comparable",
            "is_deep",
            "is_figure",
            "is_name",
            "is_small",
            "made",
            "met",
            "owned",
        ),
        *("spans", "tree", "why"),
    )

    def __init__(self, value: Any, rest: str | None, why: str = "", contents: tuple[Content, ...] = ()) -> None:
        self._rest, self.why, self.contents = rest, why, contents
        self.met: Mapping[int, Any] = _NO_OBJECTS
        self.held: Sequence[Any] = ()
        self.alone = self.tree = 0
        self.closed: Any = None
        self.hidden: dict[int, Any] = {}
        self.guarded: Set[int] = _NO_IDENTS
        self.spans: Sequence[Span] = ()
        self.functions: Sequence[Any] = ()
        self.made: tuple[int, ...] = ()
        self.owned: Mapping[owned.Path, str | None] = _NO_PATHS
        self.is_small, self.is_figure, self.is_deep, self.is_comparable = False, False, False, rest is not None
        kind = type(value)
        self.is_name = kind not in ATOMS and kind not in _CONTAINERS and references.by_reference(value)
        is_kept = self.is_name or rest is None or kind in _NAMES_OF_TYPES
        self._ref = _reference(value) if is_kept else None

    @property
    def digest(self) -> str | None:
        """Equal digests are equal content, sharing inside the value included; None if it cannot be pickled."""
        if self._rest is None or not self.contents:
            return self._rest
        digest = new_hash(self._rest.encode())
        for content in self.contents:
            digest.update(content.digest())
        return str(digest.hexdigest())

    def among(self, idents: Set[int]) -> Set[int]:
        """Those of the objects with these `id` that were met."""
        return self.met.among(idents) if type(self.met) is Objects else idents & self.met.keys()

    def some(self, idents: Set[int]) -> list[Any]:
        """The objects met with these `id`."""
        return self.met.some(idents) if type(self.met) is Objects else list(map(self.met.__getitem__, idents))

    @property
    def is_large(self) -> bool:
        """Whether the value takes long to look at; until `forget`."""
        return bool(self.held)

    def equals(self, later: Seen) -> bool:
        """Whether `later` found the same content. No buffer is read of which that is known without."""
        if self is later:
            return True
        if self._rest is None or self._rest != later._rest or len(self.contents) != len(later.contents):
            return False
        if self.made != later.made:
            return False
        return all(map(Content.equals, self.contents, later.contents))

    def refuse(self, why: str) -> None:
        """Take the value for one that cannot be pickled."""
        self._rest, self.why, self.contents, self.is_comparable = None, why, (), False

    def extend(self, part: object) -> None:
        """Count something more as content."""
        if self._rest is not None:
            self._rest = new_hash(repr((self._rest, part)).encode()).hexdigest()

    def extend_by_memory(self) -> None:
        """Count as content which arrays of the value lie over each other, and how far off each other they begin."""
        spans = self.spans
        bounds = sorted((span.low, span.high) for span in spans)
        if not any(low < high for (_, high), (low, _) in itertools.pairwise(bounds)):
            return
        order = sorted(range(len(spans)), key=lambda at: (spans[at].low, -spans[at].high))
        places = {identity(spans[at]): at for at in order}
        found = [one for one in stretches([spans[at] for at in order]) if len(one) > 1 and are_shared(one)]
        if found:
            self.extend(
                sorted(sorted((places[identity(span)], span.low - one[0].low) for span in one) for one in found)
            )

    @property
    def rest(self) -> str | None:
        """The digest of all but the contents of large buffers."""
        return self._rest

    def take_in(self, parts: Sequence[Seen], again: Sequence[Any]) -> None:
        """Take in what looks found at objects whose digests are in that of the value, and what else refers to these."""
        if self.held:
            self.held = [*self.held, *(one for part in parts for one in part.held), *again]
        self.met = {**self.met, **{ident: one for part in parts for ident, one in part.met.items()}}
        self.guarded, self.is_small = frozenset(self.guarded).union(*(part.guarded for part in parts)), False
        self.contents = (*self.contents, *(one for part in parts for one in part.contents))
        self.made = (*self.made, *(one for part in parts for one in part.made))
        self.spans = [*self.spans, *(one for part in parts for one in part.spans)]
        self.functions = [*self.functions, *(one for part in parts for one in part.functions)]
        self.owned = {**self.owned, **{path: digest for part in parts for path, digest in part.owned.items()}}

    def add(self, whole: Seen) -> None:
        """Take in what a look found at an object that the value leads into, and that was not entered here."""
        self.extend(whole._rest)
        self.met = whole.met if self.met.keys() <= whole.met.keys() else {**self.met, **whole.met}
        self.contents, self.made = (*whole.contents, *self.contents), (*whole.made, *self.made)
        self.spans, self.functions = [*whole.spans, *self.spans], [*whole.functions, *self.functions]
        self.guarded, self.owned = self.guarded | whole.guarded, {**self.owned, **whole.owned}
        self.is_small, self.tree = False, 0

    def is_same_object(self, value: Any) -> bool:
        """Whether `value` is the very object looked at; known for names, also of types, and what cannot be pickled."""
        return self._ref is not None and self._ref() is value

    def forget(self) -> None:
        """Let go of everything met, so that a look does not keep a rebound gigabyte alive."""
        self.met, self.guarded, self.spans, self.functions, self.held = _NO_OBJECTS, _NO_IDENTS, (), (), ()
        self.tree, self.hidden = 0, {}
        for content in self.contents:
            content.forget()


def _reference(value: Any) -> Callable[[], Any]:
    """Remember which object was met: weakly where that is possible, so that nothing is kept alive."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value


_NO_OBJECTS: Final[Mapping[int, Any]] = types.MappingProxyType({})
_NO_PATHS: Final[Mapping[owned.Path, str | None]] = types.MappingProxyType({})
_NO_IDENTS: Final[frozenset[int]] = frozenset()
_NAMES_OF_TYPES: Final = frozenset(
    getattr(typing, name, None) for name in ("TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "TypeAliasType")
)
_CONTAINERS = frozenset({list, dict, tuple, set, frozenset, bytearray, Placeholder})
