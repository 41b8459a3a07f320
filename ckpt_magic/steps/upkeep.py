"""What a save has to do with the rest of its folder: room on the disk, other kernels, locks, a quota."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ckpt_magic.errors import StepNotFoundError, StoreError
from ckpt_magic.files import format as files
from ckpt_magic.files import usage
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import record
from ckpt_magic.steps.record import size
from ckpt_magic.values import delta


def refuse_without_room(store: Store, found: delta.Delta, saved: Iterable[str]) -> None:
    """Say that the disk has too little room for what a step saves, as far as a look can tell: its large buffers.

    What the step did not change may lie in an earlier file and take no room; the rest of the pickle is known only when
    it is written.

    Raises
    ------
    StoreError
        There is too little.
    """
    names = list(saved)
    places = sorted({place for name in names for place in found.buffers.get(name, ())})
    needed = end = 0
    for address, length in places:  # memory that several arrays share is written once
        needed += max(0, address + length - max(end, address))
        end = max(end, address + length)
    needed -= sum(found.carried.get(name, 0) for name in names)
    if needed > 0:
        store.refuse_without_room(needed)


def replaced(path: Path, keyring: Keyring, kernel: str, began: float) -> list[str]:
    """Say whose checkpoint a save is about to replace, if that is another kernel's that lives at the same time.

    It does if it wrote the file since this kernel began, or if its process still runs. A kernel that was restarted
    finds the files of one that is gone, and there is nothing to say.

    Parameters
    ----------
    kernel
        Identity of this kernel.
    began
        When it began, in seconds since the epoch.
    """
    try:
        stored = files.open_checkpoint(path, keyring)
        owner = path.stat().st_uid
    except (StepNotFoundError, StoreError, OSError):
        return []
    writer = stored.meta.get("writer")
    other = stored.trust == "trusted" and stored.meta.get("kernel") not in (None, "", kernel)
    if not other or not (stored.mtime >= began or _runs(writer)):
        return []
    return [f"replaced the checkpoint of another kernel ({', '.join(_who(stored.meta, writer, owner))})"]


def keep_to_quota(
    store: Store, keyring: Keyring, quota: int, *, coming: Mapping[Path, int], spared: Iterable[Path]
) -> list[str]:
    """Delete the least recently used checkpoints of a folder until the others take `quota` bytes at most.

    Parameters
    ----------
    coming
        What was just saved, with its bytes; it may not be in its place yet.
    spared
        Files that values of this kernel are maps of.

    Returns
    -------
    list of str
        A line for people; empty if nothing had to go.
    """
    try:
        going = usage.over_quota(store, keyring, quota, spared=set(spared), coming=coming)
        if not going:
            return []
        store.delete(one.entry.path for one in going)
    except StoreError as error:  # what was saved is saved
        return [f"the quota of {size(quota)} was not looked after: {error}"]
    names = ", ".join(one.entry.path.name for one in going[:3]) + (" …" if len(going) > 3 else "")
    files_text = f"{len(going)} file{'' if len(going) == 1 else 's'}, {size(sum(one.size for one in going))}"
    return [f"deleted {files_text} to keep to the quota of {size(quota)}: {names}"]


def _who(meta: Mapping[str, Any], writer: Any, owner: int) -> Iterable[str]:
    notebook = meta.get("notebook")
    yield notebook.rpartition("/")[2] if isinstance(notebook, str) else "a script"
    if isinstance(writer, Mapping):
        here = writer.get("host") == platform.node()
        yield f"process {writer.get('pid')}" + ("" if here else f" on {writer.get('host')}")
    if hasattr(os, "geteuid") and owner != os.geteuid():
        yield f"user {_user(owner)}"
    if meta.get("created"):
        yield f"saved {meta['created']}"


def _user(uid: int) -> str:
    with suppress(ImportError, KeyError):
        import pwd  # not on Windows

        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _runs(writer: Any) -> bool:
    """Whether the process that wrote a checkpoint runs on this machine, and is another one than this.

    Numbers of processes are given again, so the time at which it started has to fit; where that cannot be told, it
    counts as gone.
    """
    if not isinstance(writer, Mapping) or writer.get("host") != platform.node():
        return False
    pid, started = writer.get("pid"), writer.get("started")
    return isinstance(pid, int) and pid != os.getpid() and started is not None and record.started(pid) == started
