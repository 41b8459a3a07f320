"""How far something is that takes long: what is told to whoever shows it, and the display of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with the bytes done so far, often, or each second of a wait."""
Progress = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Called with what is done, in words, and its bytes if they are known; open as long as it goes on."""


@contextmanager
def silent(what: str, total: int | None) -> Iterator[Advance]:
    """Progress that nobody looks at."""
    yield lambda done: None
