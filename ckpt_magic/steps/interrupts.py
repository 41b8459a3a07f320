"""Holds back Ctrl-C while something must not be left half done.

Python raises `KeyboardInterrupt` between any two instructions of the main thread. Where a few lines belong together
(values put into the namespace, hooks taken out), it waits until they are done.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

Released = Callable[[], AbstractContextManager[None]]


@contextlib.contextmanager
def held() -> Iterator[Released]:
    """Hold interrupts back inside; one that came is delivered at the end. May be nested.

    Yields
    ------
    callable
        `with released():` inside lets them through again, at once if one is waiting: for work that takes long and
        that an interrupt may end.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield contextlib.nullcontext  # elsewhere Python raises no KeyboardInterrupt
        return
    if isinstance(handler, _Hold):
        yield handler.released
        return
    hold = _Hold(handler)
    signal.signal(signal.SIGINT, hold)
    try:
        yield hold.released
    finally:
        signal.signal(signal.SIGINT, hold.handler)
        hold.deliver()


class _Hold:
    """The handler that is in place meanwhile; `handler` is the one it stands for."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self._waiting: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append((number, frame))

    def deliver(self) -> None:
        if self._waiting:
            number, frame = self._waiting[0]
            self._waiting.clear()
            if callable(self.handler):
                self.handler(number, frame)
            elif self.handler == signal.SIG_DFL:
                signal.raise_signal(number)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        signal.signal(signal.SIGINT, self.handler)
        try:
            self.deliver()
            yield
        finally:
            # code of the user that ran inside may have set another handler
            self.handler = signal.getsignal(signal.SIGINT) or signal.SIG_DFL
            signal.signal(signal.SIGINT, self)
