"""`export` and `import`: one version of a pipeline in one file, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckpt_magic.errors import StoreError
from ckpt_magic.faces import status
from ckpt_magic.faces.trusting import Shown, trust_files
from ckpt_magic.files import bundle, problems
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.record import size
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.stored import nothing_stored, printable, variables_text


class Contents(list[dict[str, Any]]):
    """Rows about the checkpoints that a zip file holds, or will; shows itself as text.

    Each row has the keys `step`, `name`, `version`, `title`, `variables`, `bytes`, `path`.

    Attributes
    ----------
    target
        The zip file, where it was written.
    written
        Its bytes.
    """

    target: Path | None = None
    written = 0

    def __repr__(self) -> str:
        total = sum(row["bytes"] for row in self)
        first = self[0]
        lines = [f"`{first['name']}` version {first['version']}: {len(self)} of its steps, {size(total)}"]
        lines += [_line(row) for row in self]
        lines.append("  each with the code of its cell, what it displayed, and the notebook's path from the folder")
        return "\n".join([*lines, *([self.receipt()] if self.target is not None else [])])

    def receipt(self) -> str:
        """What was written."""
        return f"wrote {printable(str(self.target))}, {size(self.written)}"

    def __reduce__(self) -> tuple[Any, ...]:
        # a variable that holds them is saved as what it is without this package: a list
        return list, (list(self),)


def contents(key: PipelineKey, keyring: Keyring) -> tuple[Contents, list[files.StoredStep]]:
    """What an export of a version would hold.

    Raises
    ------
    StepNotFoundError
        Nothing is stored under that name and version.
    CheckpointError
        A file is damaged, tampered with, foreign or of another pipeline: it would be of no use to anybody.
    """
    store = Store(key.folder)
    found, steps = Contents(), []
    for entry in store.entries(key.name, key.version):
        stored = files.open_checkpoint(entry.path, keyring)
        if stored.trust not in ("trusted", "other key") and stored.problem is not None:
            raise stored.problem
        meta = stored.meta or stored.meta_unverified
        if not files.belongs(meta, entry.name, entry.version, entry.step):
            raise problems.other_writer(entry.path, meta)
        steps.append(stored)
        row = {"step": entry.step, "name": entry.name, "version": entry.version, "title": meta.get("title")}
        row |= {"variables": status.variables_of(meta), "bytes": stored.size, "path": str(entry.path)}
        found.append(row)
    if not steps:
        raise nothing_stored(store, key.name, key.version)
    return found, steps


def export(key: PipelineKey, target: Path, keyring: Keyring, *, force: bool = False) -> Contents:
    """Write all steps of a version into one zip file; they keep their signatures.

    Parameters
    ----------
    force
        Replace the zip file if it is there.

    Raises
    ------
    StoreError
        It is there already, or cannot be written.
    CheckpointError
        As `contents`.
    """
    found, steps = contents(key, keyring)
    found.written = bundle.pack(steps, target, replace=force)
    found.target = target
    return found


def import_(path: Path, store: Store, keyring: Keyring, *, yes: bool = False, force: bool = False) -> Shown:
    """Put the checkpoints of a zip file into a folder; who does not share the key of their writer has to trust them.

    Parameters
    ----------
    yes
        Sign what was put there, after everything that it would import was listed.
    force
        Also where checkpoints of these names are; those are kept aside.

    Returns
    -------
    Shown
        Rows as `trust` gives them, of all files that were put there.

    Raises
    ------
    FormatError
        It is not a file that `export` wrote.
    StoreError
        It cannot be read, the folder is read-only or full, or checkpoints are in the way; then nothing was written.
    """
    with bundle.opened(path, store) as (packed, members):
        inside = [member.entry.path for member in members]
        there = [one for one in inside if os.path.lexists(one)]
        if there and not force:
            names = ", ".join(one.name for one in there)
            raise StoreError(
                f"{store.folder} has these already: {names}; choose another --folder, or --force to keep the old ones "
                "aside (.kept-)"
            )
        total = sum(member.size for member in members)
        store.refuse_without_room(total)
        bundle.unpack(packed, members, store)
    shown = trust_files(inside, keyring, {}, yes=yes)
    shown.head = printable(f"{path} held {len(inside)} checkpoints, {size(total)}; they are in {store.folder} now")
    if any(row["state"] != "trusted" and not row["signed"] for row in shown):
        remedy = f"`ckpt-magic trust {store.folder} --yes`, or accept the key of their writer"
        shown.tail = printable(f"they are not read before they are trusted: {remedy}")
    return shown


def _line(row: Mapping[str, Any]) -> str:
    title = f" ({row['title']})" if row["title"] else ""
    return printable(
        f"  step {row['step']}{title} · {size(row['bytes'])} · {variables_text(row['variables']) or 'no variables'}"
    )
