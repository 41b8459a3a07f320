"""Progress as a line of text: when and how it is said, and the line of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic  # not asked for in its module: a notebook may put a clock of its own there

from ckpt_magic.steps.progress import Advance
from ckpt_magic.steps.record import size

_FIRST = 1.0  # seconds until it is worth saying
_EACH = 0.25  # seconds between two changes
_WIDTH = 100  # characters


@contextmanager
def timed(what: str, total: int | None, show: Callable[[str], None], hide: Callable[[], None]) -> Iterator[Advance]:
    """Progress as a line of text that changes.

    Parameters
    ----------
    what, total
        Of `Progress`.
    show
        Called with the line after the first second, and then a few times per second.
    hide
        Called at the end if anything was shown.
    """
    began = monotonic()
    next_at, is_shown = began + _FIRST, False

    def advance(done: int) -> None:
        nonlocal next_at, is_shown
        now = monotonic()
        if now >= next_at:
            next_at, is_shown = now + _EACH, True
            with suppress(Exception):  # whatever is wrong with a display, the work goes on
                show(line(what, done, total, now - began))

    try:
        yield advance
    finally:
        if is_shown:
            with suppress(Exception):
                hide()


def line(what: str, done: int, total: int | None, seconds: float) -> str:
    """Bytes, rate and time left: `saving step 3 · 1.2 GB of 4.0 GB · 850 MB/s · 4 s left`."""
    if not done:
        return f"{what} · {seconds:.0f} s"
    rate = done / seconds
    parts = [what, size(done), f"{size(rate)}/s"]
    if total is not None and total >= done:
        parts[1] += f" of {size(total)}"
        parts.append(f"{(total - done) / rate:.0f} s left")
    return " · ".join(parts)


@contextmanager
def terminal(what: str, total: int | None) -> Iterator[Advance]:
    """Progress as one line on stderr, if that is a terminal; nothing is left of it."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield lambda done: None
        return

    def write(text: str) -> None:
        stream.write(f"\r\x1b[K{text[:_WIDTH]}")
        stream.flush()

    with timed(what, total, write, lambda: write("")) as advance:
        yield advance
