"""What names lead to: other names, and places in a row of events."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Set


class Leading:
    """What names lead to, and those to others."""

    def __init__(self) -> None:
        self._next: dict[str, Set[str]] = {}
        self._ends: dict[str, Set[str]] = {}

    @property
    def names(self) -> Set[str]:
        """Those that lead somewhere."""
        return self._next.keys()

    def next(self, name: str) -> Set[str]:
        """What a name leads to at once."""
        return self._next.get(name, frozenset())

    def update(self, more: Mapping[str, Set[str]]) -> set[str]:
        """Let names lead elsewhere; returns those that did not before."""
        changed = {name for name, to in more.items() if self._next.get(name) != to}
        self._next.update(more)
        if changed:
            self._ends = {name: ends for name, ends in self._ends.items() if ends.isdisjoint(changed)}
        return changed

    def ends(self, names: Iterable[str]) -> set[str]:
        """The names, and all that they lead to."""
        return set[str]().union(*map(self._ends_of, names))

    def _ends_of(self, name: str) -> Set[str]:
        if name not in self._ends:
            found, todo = set[str](), [name]
            while todo:
                one = todo.pop()
                if one in self._ends:
                    found |= self._ends[one]
                elif one not in found:
                    found.add(one)
                    todo += self._next.get(one, ())
            self._ends[name] = found
        return self._ends[name]


Places = dict[str, list[int]]
"""Names, and the places of the events that have to do with each."""


def note(places: Places, names: Iterable[str], at: int) -> None:
    """Let names lead to a place."""
    for name in names:
        places.setdefault(name, []).append(at)


class Way:
    """Places that names lead to, one after the other in one direction; more names may come on the way."""

    def __init__(self, *, backwards: bool) -> None:
        self._sign = -1 if backwards else 1
        self._heap: list[int] = []
        self._followed: dict[int, set[str]] = {}

    def go_to(self, places: Iterable[int]) -> None:
        """Come by these places, those aside that lie behind."""
        for place in places:
            heapq.heappush(self._heap, self._sign * place)

    def follow(self, names: Set[str], leading: Places) -> None:
        """Come by the places to which names lead."""
        followed = self._followed.setdefault(id(leading), set())
        for name in names - followed:
            self.go_to(leading.get(name, ()))
        followed |= names

    def __iter__(self) -> Iterator[int]:
        last: int | None = None
        while self._heap:
            place = heapq.heappop(self._heap)
            if last is None or place > last:
                last = place
                yield self._sign * place
