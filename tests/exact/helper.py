"""A module of the user's own, for a pipeline of `test_not_covered`."""

from __future__ import annotations

import functools


@functools.lru_cache
def load(number: int) -> list[int]:
    """Make something that is kept."""
    return [number]
