"""Checkpointed Jupyter notebooks: numbered steps that are restored instead of executed.

In a notebook: `%load_ext ckpt_magic`, then `%%step 1 --name model-training` on top of a cell. In a script: the class
`Checkpoint`. `load`, `status`, `diff`, `check`, `clear`, `export`, `import_`, `trust` are verbs for what is stored.
Importing this imports neither IPython nor the libraries of the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ckpt_magic.errors import (
    CheckpointError,
    CheckpointUnreadableError,
    CheckpointWarning,
    DamagedError,
    ForeignError,
    FormatError,
    LostValueError,
    NewerFormatError,
    NotPicklableError,
    OtherKeyError,
    OtherWriterError,
    StepNotFoundError,
    StoreError,
    TamperedError,
    UntrustedError,
    UsageError,
)

if TYPE_CHECKING:
    from ckpt_magic.faces.functions import check, clear, diff, export, import_, status, trust
    from ckpt_magic.steps.checkpoint import Checkpoint
    from ckpt_magic.steps.stored import Outputs, load

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointUnreadableError",
    "CheckpointWarning",
    "DamagedError",
    "ForeignError",
    "FormatError",
    "LostValueError",
    "NewerFormatError",
    "NotPicklableError",
    "OtherKeyError",
    "OtherWriterError",
    "Outputs",
    "StepNotFoundError",
    "StoreError",
    "TamperedError",
    "UntrustedError",
    "UsageError",
    "check",
    "clear",
    "diff",
    "export",
    "import_",
    "load",
    "status",
    "trust",
]

_LAZY = {
    "Checkpoint": "ckpt_magic.steps.checkpoint",
    "Outputs": "ckpt_magic.steps.stored",
    "load": "ckpt_magic.steps.stored",
    **dict.fromkeys(("check", "clear", "diff", "export", "import_", "status", "trust"), "ckpt_magic.faces.functions"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


def load_ipython_extension(shell: Any) -> None:
    """Install the magics; `%load_ext ckpt_magic` calls this."""
    from ckpt_magic.faces import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics out again; `%unload_ext ckpt_magic` calls this."""
    from ckpt_magic.faces import magics

    magics.unload(shell)
