"""A module of a user that keeps state where it is not looked for at first, and values that cannot change."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["show"]
__version__ = "1"
__registry__: dict[str, Any] = {}

NEVER = datetime.date(9999, 1, 1)
NAN = float("nan")
PAIR = (1, 2)
CALLS: list[Any] = []


@functools.singledispatch
def show(_: Any) -> str:
    """Tell what it is."""
    return "object"


def show_lists() -> None:
    """Register by itself."""
    show.register(list, lambda _: "list")


def version() -> str:
    """Read what has such a name."""
    return __version__


def register(name: str) -> Callable[[Any], Any]:
    """Register what is decorated."""

    def add(what: Any) -> Any:
        __registry__[name] = what
        __all__.append(name)
        return what

    return add


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Stand around a function."""

    @functools.wraps(function)
    def around(*args: Any) -> Any:
        return function(*args)

    return around


@timed
def load(key: Any, cache: dict[Any, Any] = {}) -> Any:  # noqa: B006
    """Keep in a default what was loaded."""
    if key not in cache:
        CALLS.append(key)
        cache[key] = [key]
    return cache[key]


@contextmanager
def counting(seen: list[int] = []) -> Iterator[int]:  # noqa: B006
    """Count how often it is entered, in a default."""
    seen.append(1)
    yield len(seen)


def switch() -> tuple[Callable[[Any], None], Callable[[], Any]]:
    """Make functions that share a variable."""
    mode = None

    def turn(to: Any) -> None:
        nonlocal mode
        mode = to

    def tell() -> Any:
        return mode

    return turn, tell


turn, tell = switch()


class Point:
    """Has plain methods of all kinds."""

    __tags__: list[str] = []

    def __init__(self, x: int) -> None:
        self.x = x

    @staticmethod
    def still(x: Any, seen: list[Any] = []) -> list[Any]:  # noqa: B006
        """Keep in a default."""
        seen.append(x)
        return seen

    @classmethod
    def of(cls, x: Any, seen: list[Any] = []) -> list[Any]:  # noqa: B006
        """Keep in a default."""
        seen.append(x)
        return seen

    @timed
    def load(self, x: Any, seen: list[Any] = []) -> list[Any]:  # noqa: B006
        """Keep in a default."""
        seen.append(x)
        return seen

    def tag(self, name: str) -> None:
        """Change what the class has."""
        self.__tags__.append(name)
