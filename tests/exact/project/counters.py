"""A module of a user that keeps state in each way that there is."""

from __future__ import annotations

import functools
import string
import threading
from collections.abc import Callable
from typing import Any

LIMIT = 10
COUNT = 0
REGISTRY: dict[str, Any] = {}
HISTORY: list[Any] = []
LOCK = threading.Lock()
OPEN = (number for number in range(3))
next(OPEN)  # it has begun, so it cannot be saved, and is nobody's business


def count(by: int = 1) -> int:
    """Change a global."""
    global COUNT
    COUNT += by
    HISTORY.append(COUNT)
    return COUNT


def register(name: str) -> Callable[[Any], Any]:
    """Register what is decorated."""

    def add(what: Any) -> Any:
        REGISTRY[name] = what
        return what

    return add


def remember(item: Any, items: list[Any] = []) -> list[Any]:  # noqa: B006
    """Keep items in a default."""
    items.append(item)
    return items


def memo(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """Keep results in a closure."""
    known: dict[int, Any] = {}

    @functools.wraps(function)
    def inner(number: int) -> Any:
        if number not in known:
            known[number] = function(number)
        return known[number]

    return inner


@memo
def slow(number: int) -> tuple[int, int]:
    """Return another value each time it is really called."""
    return number, count()


def patch_strings() -> None:
    """Change a library."""
    string.shout_t = str.upper  # type: ignore[attr-defined]
    string.STATE_T = [*getattr(string, "STATE_T", []), count()]  # type: ignore[attr-defined]


class Model:
    """Counts its instances."""

    made = 0
    names: list[str] = []

    def __init__(self, name: str) -> None:
        type(self).made += 1
        self.names.append(name)
        self.name = name


TABLE: Any = None


def load() -> None:
    """Keep what a library makes."""
    global TABLE
    import pandas

    TABLE = pandas.DataFrame({"a": [1, 2]})
