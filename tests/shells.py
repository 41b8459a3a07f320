"""IPython shells that live in the process of the tests."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

_collect = gc.collect


def _collect_for_others(*generation: int) -> int:
    """Collect garbage, but not for IPython, which does so twice at each `%reset`.

    In a process that has imported all tests this takes a third of a second, and hundreds of tests reset shells.
    """
    asking = sys._getframe(1).f_globals.get("__name__", "")
    return 0 if asking.startswith("IPython.") else _collect(*generation)


gc.collect = _collect_for_others  # type: ignore[assignment]


def end(shell: Any) -> None:
    """Let go of a shell. It would else live until the process ends, and collect garbage then, as each of hundreds."""
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()
