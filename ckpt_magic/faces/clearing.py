"""`clear`: which checkpoints to delete, and deleting them."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ckpt_magic.errors import StepNotFoundError, StoreError, UsageError
from ckpt_magic.faces import verbs
from ckpt_magic.files import format as files
from ckpt_magic.files import usage
from ckpt_magic.files.disk import Explained
from ckpt_magic.files.store import Entry, Store, date_text, natural
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.record import parse_age, parse_size, size
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.stored import printable

T = TypeVar("T")
Held = Callable[[], Mapping[Path, int]]
"""Gives the bytes that arrays of this kernel keep on the disk though their file was deleted, by the file's path."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to delete of a pipeline: the steps and files that fit all that is said here.

    Attributes
    ----------
    spans, all_steps
        These steps, or all of them.
    kept
        The files that were set aside.
    older
        Only what was saved more than so many seconds ago.
    keep
        Only versions but the newest so many; then `PipelineKey.version` does not count.
    """

    spans: tuple[verbs.Span, ...] = ()
    all_steps: bool = False
    kept: bool = False
    older: float | None = None
    keep: int | None = None

    def refuse_nonsense(self) -> None:
        """`UsageError` if it is not said what to delete, or two ways at once."""
        if not (self.spans or self.all_steps or self.kept or self.older is not None or self.keep is not None):
            raise UsageError(
                "say what to delete: steps such as 2 or 1-3, --all, --older 14d, --keep 2 (all but the newest 2 "
                "versions), or --kept for files that were set aside"
            )
        if self.spans and self.all_steps:
            raise UsageError("give steps or --all, not both")
        if self.keep is not None and self.keep < 1:
            raise UsageError(f"--keep {self.keep}: how many versions stay, from 1; --all deletes a whole version")


class Cleared(list[dict[str, Any]]):
    """Rows about files that were deleted, or would be; shows itself as text.

    Each row has the keys `name`, `version`, `step` (None for files that were set aside), `bytes`, `saved_at` (UTC),
    `path`, `deleted`, and `held`: bytes that stay on the disk until this kernel lets go of the arrays that were
    restored from the file.
    """

    def __repr__(self) -> str:
        if not self:
            return "there is nothing to delete"
        deleted = all(row["deleted"] for row in self)
        total = sum(row["bytes"] for row in self)
        count = f"{len(self)} file{'' if len(self) == 1 else 's'}, {size(total)}"
        lines = [f"{'deleted' if deleted else 'would delete'} {count}:", *map(_line, self)]
        if not deleted:
            lines.append("nothing was deleted; --yes deletes")
        if held := sum(row["held"] for row in self):
            lines.append(
                f"held: arrays of this kernel still need {size(held)}; the disk has them back when they are gone"
            )
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # a variable that holds them is saved as what it is without this package: a list
        return list, (list(self),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `clear` takes, besides steps and the pipeline."""
    parser.add_argument("--all", action="store_true", help="all steps of the pipeline")
    parser.add_argument("--kept", action="store_true", help="its files that were set aside (.bad-, .kept-)")
    parser.add_argument(
        "--older", type=_argument(parse_age), metavar="AGE", help="only what was saved longer ago: 30m, 6h, 14d, 2w"
    )
    parser.add_argument("--keep", type=int, metavar="N", help="all versions of the pipeline but the newest N")
    parser.add_argument(
        "--quota",
        type=_argument(parse_size),
        metavar="SIZE",
        help="what was least recently used in the folder, until the rest takes SIZE at most, such as 20GB",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted (as without --yes)")
    parser.add_argument("--yes", action="store_true", help="delete; without it only say what would be deleted")
    parser.add_argument("--json", action="store_true", help="a list of objects about the files")


def clear_given(
    given: argparse.Namespace,
    spans: Sequence[verbs.Span],
    *,
    folder: Path,
    key: Callable[[], PipelineKey],
    keyring: Keyring,
    held: Held = dict,
    spared: Callable[[], set[Path]] = set,
) -> Cleared:
    """Do what parsed arguments ask for.

    Parameters
    ----------
    folder
        Where a quota is about.
    key
        Gives the pipeline, or raises if none was said.
    held
        See `Held`.
    spared
        Gives the files that a quota leaves alone.

    Raises
    ------
    UsageError
        The arguments contradict each other, or do not say what to delete.
    """
    if given.yes and given.dry_run:
        raise UsageError("give --yes or --dry-run, not both")
    wanted = Wanted(tuple(spans), given.all, given.kept, given.older, given.keep)
    if given.quota is None:
        wanted.refuse_nonsense()
        if given.keep is not None and given.version is not None:
            raise UsageError("--keep is about all versions of a pipeline: leave out --version")
        return clear(key(), wanted, keyring, yes=given.yes, held=held)
    if wanted != Wanted() or given.name is not None or given.version is not None:
        raise UsageError("--quota is about a whole folder: only --folder, --dry-run, --yes and --json go with it")
    return keep_to_quota(Store(folder), given.quota, keyring, yes=given.yes, spared=spared())


def clear(key: PipelineKey, wanted: Wanted, keyring: Keyring, *, yes: bool, held: Held = dict) -> Cleared:
    """Delete checkpoints of a pipeline, or say which.

    Parameters
    ----------
    yes
        Really.
    held
        See `Held`.

    Raises
    ------
    UsageError
        It is not said what to delete.
    StepNotFoundError
        A step, or the pipeline, is not stored.
    """
    wanted.refuse_nonsense()
    store = Store(key.folder)
    entries = store.entries(key.name, None if wanted.keep is not None else key.version)
    aside = store.kept(key.name, None if wanted.keep is not None else key.version) if wanted.kept else []
    saved = {entry.path: _saved(entry.path, keyring) for entry in entries}
    chosen = list(entries)
    if wanted.keep is not None:
        newest = _newest_versions(entries, saved, wanted.keep)
        chosen = [entry for entry in entries if entry.version not in newest]
        stays = {path for version in newest for path in store.kept(key.name, version)}
        aside = [path for path in aside if path not in stays]
    if wanted.spans:
        steps = verbs.choose(wanted.spans, sorted({entry.step for entry in entries}), verbs.pipeline_text(key))
        chosen = [entry for entry in chosen if entry.step in steps]
    elif wanted.kept and not wanted.all_steps:
        chosen = []
    saved |= {path: _saved(path, keyring) for path in aside}
    limit = time.time() - wanted.older if wanted.older is not None else math.inf
    rows = [_row(key.name, one.version, one.step, one.path, saved) for one in chosen if saved[one.path] < limit]
    rows += [_row(key.name, None, None, path, saved) for path in aside if saved[path] < limit]
    return _delete(store, rows, yes=yes, held=held)


def keep_to_quota(store: Store, quota: int, keyring: Keyring, *, yes: bool, spared: set[Path] | None = None) -> Cleared:
    """Delete, or name, the least recently used checkpoints of a folder until the others take `quota` bytes at most.

    Parameters
    ----------
    spared
        Files that stay in any case.
    """
    going = [one.entry for one in usage.over_quota(store, keyring, quota, spared=spared or set())]
    saved = {one.path: _saved(one.path, keyring) for one in going}
    return _delete(store, [_row(one.name, one.version, one.step, one.path, saved) for one in going], yes=yes)


def _delete(store: Store, rows: list[dict[str, Any]], *, yes: bool, held: Held = dict) -> Cleared:
    if yes:
        before = held()
        store.delete(Path(row["path"]) for row in rows)
        after = held()
        for row in rows:
            path = Path(row["path"])
            row |= {"deleted": True, "held": after.get(path, 0) - before.get(path, 0)}
    return Cleared(rows)


def _newest_versions(entries: Sequence[Entry], saved: Mapping[Path, float], count: int) -> set[str]:
    """The versions of which a step was saved last: labels are the user's own and have no order."""
    last: dict[str, float] = {}
    for entry in entries:
        last[entry.version] = max(saved[entry.path], last.get(entry.version, -math.inf))
    return set(sorted(last, key=lambda version: (last[version], natural(version)))[-count:])


def _saved(path: Path, keyring: Keyring) -> float:
    """When a file was saved, in seconds since the epoch: as status tells it."""
    try:
        stored = files.open_checkpoint(path, keyring)
    except StepNotFoundError:
        return math.inf  # deleted meanwhile
    except StoreError:
        with Explained(path, "the file cannot be looked at", reading=True):
            return path.lstat().st_mtime
    created = stored.meta.get("created")
    try:
        return datetime.fromisoformat(created).timestamp() if isinstance(created, str) else stored.mtime
    except (ValueError, OverflowError):
        return stored.mtime


def _row(name: str, version: str | None, step: int | None, path: Path, saved: Mapping[Path, float]) -> dict[str, Any]:
    when = date_text(saved[path]) if saved[path] < math.inf else None
    with Explained(path, "the file cannot be looked at", reading=True):
        size = path.lstat().st_size if when else 0
    row = {"name": name, "version": version, "step": step, "bytes": size, "saved_at": when}
    return row | {"path": str(path), "deleted": False, "held": 0}


def _line(row: Mapping[str, Any]) -> str:
    held = f" · held: {size(row['held'])}" if row["held"] else ""
    return printable(f"  {row['path']}{held}")


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the message of a parser of ours."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument
