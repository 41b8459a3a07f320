"""`ckpt-magic accept`: vouch for a stale checkpoint without a page.

What is accepted are values and functions as they are before the step. So the notebook runs up to it, in a process and
a folder of its own as for `verify`; only what it accepts comes back.
"""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

from ckpt_magic.errors import CheckpointError, StoreError, UsageError
from ckpt_magic.faces import runner
from ckpt_magic.faces.verify import aside, stored_step
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Store, sign_again
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.registry import PipelineKey


def accept(notebook: Path, key: PipelineKey, step: int, reason: str, keyring: Keyring) -> dict[str, Any]:
    """Accept a stale checkpoint of a notebook.

    Parameters
    ----------
    notebook
        The notebook's file. Its cells above the step run or are restored, aside.
    key, step
        The step; its checkpoint must be there.
    reason
        Why, in the user's words.
    keyring
        The keys of this user.

    Returns
    -------
    dict
        What is recorded in the checkpoint: `date`, `reason`, `causes`.

    Raises
    ------
    StepNotFoundError
        The step is not stored, or not in the notebook.
    UsageError
        It is fresh, or cannot be accepted.
    CheckpointError
        The notebook failed above the step; or the checkpoint is not trusted.
    """
    stored = stored_step(key, step, keyring)
    store = Store(key.folder)
    paths = [entry.path for entry in store.entries(key.name, key.version) if entry.step <= step]
    with aside(store, paths) as folder:
        told, output = io.StringIO(), folder / "accepted.ipynb"
        line = f"%ckpt_accept {step} --reason {shlex.quote(reason)}"
        options = runner.Options(str(step), key.name, key.version, str(folder), until=step, instead=line)
        if runner.run(notebook, output, options, stream=told):
            raise _failure(output, told.getvalue())
        accepted = files.open_checkpoint(folder / stored.path.name, keyring).meta["accepted"]
    if files.open_checkpoint(stored.path, keyring).meta != stored.meta:
        raise StoreError(f"{stored.path} was saved anew meanwhile; nothing was accepted")
    sign_again(stored.path, keyring, {"accepted": accepted})
    return {name: accepted[name] for name in ("date", "reason", "causes")}


def _failure(output: Path, told: str) -> CheckpointError:
    """What the magic said, or how the cells above it failed."""
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    for one in cells[-1].get("outputs", ()):
        if one["output_type"] == "stream" and one["name"] == "stderr":
            return UsageError("".join(one["text"]).strip().removeprefix("UsageError: "))
    return CheckpointError(f"the notebook failed above the step\n{told}".rstrip())
