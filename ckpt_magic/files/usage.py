"""When each checkpoint of a folder was last used, and which ones have to go so that a folder keeps to a quota.

Used means saved or restored. A restore is noted in a small file of the folder, not by the access time of the
checkpoint: any backup or search sets that one too, and setting it by hand writes the modification time back as well,
which could hide that somebody wrote to a mapped file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time  # not asked for in its module: a notebook may put a clock of its own there

from ckpt_magic.errors import StepNotFoundError, StoreError
from ckpt_magic.files import format
from ckpt_magic.files.store import Entry, Store, temporary_name
from ckpt_magic.files.trust import Keyring

_NOTES = ".used"  # seconds since the epoch and a file name per line
_LINE = re.compile(r"(\d{1,12}\.\d{6}) (.+)")
_LONGEST = 1 << 20  # bytes; longer notes are written anew, one line per file


@dataclass(frozen=True, slots=True)
class Used:
    """A checkpoint with its size in bytes and the time of its last use, in seconds since the epoch."""

    entry: Entry
    size: int
    last: float


def note(path: Path) -> None:
    """Note that the checkpoint at `path` is used now; where nothing can be written, its saving counts."""
    with contextlib.suppress(OSError):
        descriptor = _open(path.parent, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{time():.6f} {path.name}\n".encode())
            grown = os.fstat(descriptor).st_size > _LONGEST
        finally:
            os.close(descriptor)
        if grown:
            _shorten(path.parent)


def over_quota(
    store: Store,
    keyring: Keyring,
    quota: int,
    *,
    spared: Collection[Path] = (),
    coming: Mapping[Path, int] | None = None,
) -> list[Used]:
    """The checkpoints that have to go, least recently used first, until the others take `quota` bytes at most.

    Only what steps wrote and a key of this user signed counts, and only that goes. What others put into the folder,
    foreign pickles that were trusted and files that were set aside cannot be made again by running a step.

    Parameters
    ----------
    quota
        Bytes that the checkpoints of the folder may take.
    spared
        Files that stay in any case.
    coming
        Files that are about to be there, with their sizes; they stay, too.
    """
    coming = coming or {}
    found = [one for one in used(store, keyring) if one.entry.path not in coming]
    total = sum(one.size for one in found) + sum(coming.values())
    going = []
    for one in sorted(found, key=lambda one: (one.last, one.entry.path)):
        if total <= quota:
            break
        if one.entry.path not in spared:
            going.append(one)
            total -= one.size
    return going


def used(store: Store, keyring: Keyring) -> list[Used]:
    """The checkpoints of this user in a folder, with size and last use."""
    noted = _read(store.folder)
    found = []
    for entry in store.entries():
        with contextlib.suppress(StepNotFoundError, StoreError):  # gone meanwhile, or not ours to read
            stored = format.open_checkpoint(entry.path, keyring)
            mine = stored.trust == "trusted" and stored.meta.get("kind") != "foreign"
            if mine and format.belongs(stored.meta, entry.name, entry.version, entry.step):
                found.append(Used(entry, stored.size, max(stored.mtime, noted.get(entry.path.name, 0.0))))
    return found


def _read(folder: Path) -> dict[str, float]:
    """The last use of each file that the notes speak of.

    Anybody may have written them: what makes no sense counts as not noted, and a time to come as now.
    """
    try:
        descriptor = _open(folder, os.O_RDONLY)
    except OSError:
        return {}
    with open(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - 2 * _LONGEST))
        lines = file.read(2 * _LONGEST).decode(errors="replace").splitlines()
    found = (_LINE.fullmatch(line) for line in lines)
    return {match[2]: min(float(match[1]), time()) for match in found if match}


def _shorten(folder: Path) -> None:
    """Write the notes anew; a use that is noted just now may be lost, which costs a place in the order."""
    names = {entry.path.name for entry in Store(folder).entries()}
    lines = [f"{when:.6f} {name}\n" for name, when in _read(folder).items() if name in names]
    temporary = temporary_name(folder)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660), "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(temporary, folder / _NOTES)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _open(folder: Path, flags: int) -> int:
    """Open the notes; `OSError` if they are no file of this folder."""
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(folder / _NOTES, flags, 0o660)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{folder / _NOTES} is no file")
    return descriptor
