"""`check`: whether checkpoint files still hold what was saved, by signature and digests, at the speed of the disk."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ckpt_magic.errors import DamagedError, StepNotFoundError, StoreError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.files.store import Entry, Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.record import size
from ckpt_magic.steps.stored import nothing_stored, printable
from ckpt_magic.values.pages import new_hash

_AT_ONCE = 4  # files; more would not make a disk faster, and each holds a slice in memory


class Checked(list[dict[str, Any]]):
    """Rows about files that were checked: a list of dicts that shows itself as one line per file.

    Each row has the keys `step`, `name`, `version`, `state`, `reason`, `changed` (variables whose bytes are not what
    was saved), `bytes`, `path`. `state` is `whole`, or what is wrong: `damaged`, `tampered`, `other key`, `foreign`,
    `newer`, `other pipeline`, `unreadable`.

    Attributes
    ----------
    seconds
        How long it took.
    """

    seconds = 0.0

    @property
    def well(self) -> bool:
        """Whether all files are whole."""
        return all(row["state"] == "whole" for row in self)

    def __repr__(self) -> str:
        return "\n".join([*map(_line, self), self._sum()])

    def __reduce__(self) -> tuple[Any, ...]:
        # a variable that holds them is saved as what it is without this package: a list
        return list, (list(self),)

    def _sum(self) -> str:
        total = sum(row["bytes"] or 0 for row in self)
        rate = f", {size(total / self.seconds)} per second" if self.seconds > 0 else ""
        bad = sum(row["state"] != "whole" for row in self)
        count = f"{len(self)} file{'' if len(self) == 1 else 's'}, {size(total)}{rate}"
        return f"{count}: all is well" if not bad else f"{count}: {bad} {'is' if bad == 1 else 'are'} not well"


def check(store: Store, keyring: Keyring, name: str | None = None, version: str | None = None) -> Checked:
    """Compare signature, lengths and every digest of the files of a folder, a pipeline or a version.

    Nothing is unpickled; memory stays small, whatever the size of the files.

    Raises
    ------
    StepNotFoundError
        Nothing is stored there: what is not there cannot be well.
    """
    entries = store.entries(name, version)
    if not entries:
        raise nothing_stored(store, name, version)
    began = time.perf_counter()
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        rows = Checked(pool.map(partial(_check_one, keyring=keyring), entries))
    rows.seconds = time.perf_counter() - began
    return rows


def _check_one(entry: Entry, keyring: Keyring) -> dict[str, Any]:
    row: dict[str, Any] = {"step": entry.step, "name": entry.name, "version": entry.version}
    row |= {"state": "whole", "reason": "", "changed": [], "bytes": None, "path": str(entry.path)}
    try:
        stored = files.open_checkpoint(entry.path, keyring)
        row["bytes"] = stored.size
        if stored.problem is not None:
            return row | {"state": stored.trust, "reason": str(stored.problem)}
        if not files.belongs(stored.meta, entry.name, entry.version, entry.step):
            return row | {"state": "other pipeline", "reason": str(problems.other_writer(entry.path, stored.meta))}
        row["changed"] = stored.check(new_hash)
    except DamagedError as problem:
        return row | {"state": "damaged", "reason": str(problem)}
    except (StepNotFoundError, StoreError) as problem:  # deleted or replaced meanwhile, or the disk fails
        return row | {"state": "unreadable", "reason": str(problem)}
    if row["changed"]:
        names = ", ".join(f"`{one}`" for one in row["changed"])
        row |= {"state": "damaged", "reason": f"bytes of {names} are not what was saved; its step has to run again"}
    return row


def _line(row: dict[str, Any]) -> str:
    name = os.path.basename(row["path"])
    reason = row["reason"].split("\n", 1)[0]
    return printable(" · ".join(part for part in (name, size(row["bytes"]), row["state"], reason) if part))
