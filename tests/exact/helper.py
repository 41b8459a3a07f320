"""A module of the user's own, for a pipeline of `test_not_covered`."""

from __future__ import annotations

import collections
import functools


@functools.lru_cache
def load(number: int) -> list[int]:
    """Make something that is kept."""
    return [number]


class Ratio:
    """Cannot be made without an argument, and does not say how to pickle it."""

    __slots__ = ("of",)
    of: object

    def __new__(cls, of: object) -> Ratio:
        """Make one."""
        made = object.__new__(cls)
        made.of = of
        return made


class Tally(collections.Counter[str]):
    """A count that remembers its total, as those of libraries do."""

    def __init__(self, words: str = "") -> None:
        self.known: int | None = None
        super().__init__(words.split())

    def total_known(self) -> int:
        """Count once."""
        if self.known is None:
            self.known = self.total()
        return self.known
