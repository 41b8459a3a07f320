"""What is said during a restore, by modules and extensions that print when they are loaded, or by a ``__setstate__``.

The step has shown what it printed, and shows it again; a run prints nothing more.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final


class HeldBack:
    """Holds back what this thread writes to the two streams within; if an error ends it, that is said after all.

    The streams stay what they are: a module may keep the one that it finds when it is imported.
    """

    def __init__(self) -> None:
        self._said: list[tuple[Callable[[str], Any], str]] = []
        self._undo: list[Callable[[], None]] = []
        self._thread: int | None = None

    def __enter__(self) -> HeldBack:
        self._thread = threading.get_ident()
        for stream in {id(one): one for one in (sys.stdout, sys.stderr) if hasattr(one, "__dict__")}.values():
            self._hold(stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread = None  # who kept the function that stands for `write` now writes through it
        while self._undo:
            self._undo.pop()()
        if kind is not None:
            self.say()

    def say(self) -> None:
        """Write what was held back."""
        while self._said:
            write, text = self._said.pop(0)
            write(text)

    def _hold(self, stream: Any) -> None:
        write, own = stream.write, vars(stream).get("write", _MISSING)

        def held(text: str) -> Any:
            if threading.get_ident() != self._thread:
                return write(text)
            self._said.append((write, text))
            return len(text)

        stream.write = held
        self._undo.append(lambda: _put_back(stream, held, own))


def _put_back(stream: Any, held: Callable[[str], Any], own: Any) -> None:
    if vars(stream).get("write") is not held:
        return  # someone put another function over ours, which then only forwards
    if own is _MISSING:
        del stream.write
    else:
        stream.write = own


_MISSING: Final = object()
