"""How far something is that takes long: what those who do it call, and those who show it provide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with the bytes done so far, as often as one likes; each second where one only waits."""
Progress = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Called with what is done, in words, and its bytes if they are known; open as long as it goes on."""


@contextmanager
def silent(what: str, total: int | None) -> Iterator[Advance]:
    """Progress that nobody looks at."""
    yield lambda done: None
