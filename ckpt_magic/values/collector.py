"""The cyclic garbage collector, which is kept from going through what is made or met in great numbers."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

_OF_PYTHON: Final = 1000  # objects that Python 3.12 freezes itself at its start; what a user freezes is all there is


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Leave the collector alone: all that is made or met within is held, so it would find nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def is_blind() -> bool:
    """Whether the user froze something: the collector does not go through that, and tells nobody of it."""
    return gc.get_freeze_count() > _OF_PYTHON


def spare_the_young() -> None:
    """Take all that is alive for old, which costs nothing; else the next collection would go through all of it."""
    if is_blind():  # what is frozen is not to be thawed
        return
    try:
        gc.freeze()
    finally:
        gc.unfreeze()
