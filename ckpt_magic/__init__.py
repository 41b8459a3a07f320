"""Checkpointed Jupyter notebooks: numbered steps that are restored instead of executed.

In a notebook: `%load_ext ckpt_magic`, then `%%step 1 --name model-training` on top of a cell. In a script: the class
`Checkpoint`. `load` and `status` look at what is stored. Importing this imports neither IPython nor the libraries of
the values.
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
    from collections.abc import Iterable
    from pathlib import Path

    from ckpt_magic.faces.status import Rows
    from ckpt_magic.faces.versions import VersionRows
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
    "diff",
    "load",
    "status",
]

_LAZY = {
    "Checkpoint": "ckpt_magic.steps.checkpoint",
    "Outputs": "ckpt_magic.steps.stored",
    "load": "ckpt_magic.steps.stored",
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


def status(name: str | None = None, version: str | int | None = None, folder: str | Path = ".ckpt") -> Rows:
    """Look at the stored steps of a folder without loading any.

    Parameters
    ----------
    name, version
        Only these; None for all.
    folder
        Folder of the checkpoints.

    Returns
    -------
    Rows
        A list of dicts, one per step, as `%ckpt_status --json` gives; shows itself as a table. `next` is None: what
        the next run will do is known in a kernel only.
    """
    from pathlib import Path

    from ckpt_magic.faces.status import rows
    from ckpt_magic.files.publishing import publisher
    from ckpt_magic.files.store import Store
    from ckpt_magic.files.trust import load_keyring

    store = Store(Path(folder).expanduser().absolute())
    publisher().wait(store.folder)
    return rows(store, load_keyring(), name=name, version=None if version is None else str(version))


def diff(
    name: str, old: str | int, new: str | int, steps: Iterable[int] = (), folder: str | Path = ".ckpt"
) -> VersionRows:
    """Compare two versions of a pipeline: the code of each step, and the values that it left.

    Parameters
    ----------
    name
        The pipeline.
    old, new
        The versions.
    steps
        Only these; by default all.
    folder
        Folder of the checkpoints.

    Returns
    -------
    VersionRows
        A list of dicts, one per step, as `%ckpt_diff --json` gives; shows itself as text and as HTML.

    Raises
    ------
    StepNotFoundError
        A version, or a step that was asked for, is not stored.
    """
    from pathlib import Path

    from ckpt_magic.faces.versions import differ
    from ckpt_magic.files.store import check_name
    from ckpt_magic.files.trust import load_keyring
    from ckpt_magic.steps.registry import PipelineKey

    place = Path(folder).expanduser().absolute(), check_name(name, "name")
    keys = [PipelineKey(*place, check_name(str(one), "version")) for one in (old, new)]
    return differ(keys[0], keys[1], load_keyring(), list(steps))


def load_ipython_extension(shell: Any) -> None:
    """Install the magics; `%load_ext ckpt_magic` calls this."""
    from ckpt_magic.faces import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics out again; `%unload_ext ckpt_magic` calls this."""
    from ckpt_magic.faces import magics

    magics.unload(shell)
