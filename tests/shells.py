"""IPython shells that live in the process of the tests."""

from __future__ import annotations

import atexit
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def end(shell: Any) -> None:
    """Let go of a shell. It would else live until the process ends, and collect garbage then, as each of hundreds."""
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()
