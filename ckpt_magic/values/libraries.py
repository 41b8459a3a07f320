"""Libraries that a step used: what a restore needs of them, or an error that names what is missing."""

from __future__ import annotations

import importlib
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError

CURE: Final = "run the step instead: %%step … --force"


def needed(deed: str, name: str) -> Any:
    """Import the module `name`, of which a step did something: `deed`, up to the name."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CheckpointUnreadableError(
            f"{deed} {name}, and {name} cannot be imported here ({error}); install it, or {CURE}", name=name
        ) from error
