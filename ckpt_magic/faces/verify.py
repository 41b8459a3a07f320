"""Run a step again, aside, on the restored state before it, and compare what it leaves with its checkpoint.

The notebook runs up to that step in a second process and in a folder of its own, which holds the checkpoints before the
step under second names: nothing of the first kernel and none of its checkpoints changes. Unmarked cells run, as always.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.errors import OtherWriterError, StepNotFoundError, StoreError
from ckpt_magic.faces import runner
from ckpt_magic.faces.status import duration
from ckpt_magic.files import format as files
from ckpt_magic.files.store import ASIDE, Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.stored import Outputs, printable
from ckpt_magic.values.differences import Difference, compare

_STALE = 86400.0  # seconds after which the folder of a verification that was killed is swept
_CLOCK = re.compile(
    r"\b(?:time|perf_counter|monotonic)(?:_ns)?\(\)|\b(?:utc)?now\(|\btoday\(|\buuid[14]\(|\burandom\(|\bsecrets\.\w|"
    r"[\"'](?:now|today)[\"']"
)
_UNSEEDED = re.compile(r"\b(?:default_rng|RandomState|Random|SystemRandom|SeedSequence)\(\)")


@dataclass(frozen=True, slots=True)
class Report:
    """What came of running a step again.

    Attributes
    ----------
    verdict
        `reproduces`, `differs` or `failed`.
    differences
        Where the values differ.
    reasons
        What in the step makes a difference likely: random numbers that nobody seeded, the clock.
    seconds
        What the run took when it was saved, and now.
    problem
        Why it failed, with its traceback; empty if it did not.
    """

    step: int
    name: str
    version: str
    verdict: str
    differences: list[Difference]
    reasons: list[str]
    seconds: tuple[float | None, float | None]
    problem: str = ""

    def as_row(self) -> dict[str, Any]:
        """For JSON: the attributes, each difference with its `text`."""
        return {**asdict(self), "differences": [one.as_row() for one in self.differences]}

    def text(self) -> str:
        """What people read."""
        if self.verdict == "failed":
            return f"step {self.step} failed when it was run again\n{self.problem}".rstrip()
        told = [f"step {self.step} {self.verdict}"]
        if self.differences:
            first = self.differences[0]
            told[0] += f" in `{first.path}`" + (f" ({first.amount})" if first.amount else "")
        if None not in self.seconds:
            told.append(f"ran {duration(self.seconds[0])}, again {duration(self.seconds[1])}")
        lines = [" · ".join(told), *(f"  {one.text()}" for one in self.differences)]
        return "\n".join(printable(line) for line in [*lines, *(f"  it {reason}" for reason in self.reasons)])


def verify(notebook: Path, key: PipelineKey, step: int, keyring: Keyring) -> Report:
    """Run a step of a notebook again and compare.

    Parameters
    ----------
    notebook
        The notebook's file.
    key, step
        The step; its checkpoint must be there.
    keyring
        The keys of this user.

    Raises
    ------
    StepNotFoundError
        The step is not stored, or not in the notebook.
    CheckpointError
        Its checkpoint cannot be read here.
    """
    stored, store = stored_step(key, step, keyring), Store(key.folder)
    below = [entry.path for entry in store.entries(key.name, key.version) if entry.step < step]
    with aside(store, below) as folder:
        told = io.StringIO()
        options = runner.Options(str(step), key.name, key.version, str(folder), until=step)
        ended = runner.run(notebook, folder / "verified.ipynb", options, stream=told)
        again = Store(folder).path(key.name, key.version, step)
        if ended or not again.exists():
            return _report(key, step, "failed", stored.meta, problem=told.getvalue())
        fresh = files.open_checkpoint(again, keyring).meta
        places = key.folder, folder
        old, new = (Outputs(place, key.name, key.version, keyring=keyring)[step] for place in places)
        found = _differences(old, new, stored.meta, fresh)
    verdict = "differs" if found else "reproduces"
    return _report(key, step, verdict, stored.meta, found=found, again=fresh)


def stored_step(key: PipelineKey, step: int, keyring: Keyring) -> files.StoredStep:
    """The checkpoint of a step of a notebook, if it is there and trusted."""
    path = Store(key.folder).path(key.name, key.version, step)
    try:
        stored = files.open_checkpoint(path, keyring)
    except StepNotFoundError:
        raise StepNotFoundError(
            f"step {step} of `{key.name}` version {key.version} is not stored in {key.folder}"
        ) from None
    if stored.problem is not None:
        raise stored.problem
    if stored.meta["kind"] == "method":
        raise OtherWriterError(
            f"step {step} of `{key.name}` version {key.version} was written by a method of a script, and only steps of "
            f"notebooks are run aside; in the script, `run(start_from={step})` runs it again"
        )
    return stored


def _differences(old: Any, new: Any, meta: Mapping[str, Any], fresh: Mapping[str, Any]) -> list[Difference]:
    found = []
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            found += compare(name, old[name], new[name])
        else:
            found.append(Difference(name, "added" if name in new else "removed"))
    for name in {*meta["deleted"]} ^ {*fresh["deleted"]}:
        found.append(Difference(name, "added" if name in meta["deleted"] else "removed"))
    return found


def _report(
    key: PipelineKey,
    step: int,
    verdict: str,
    meta: Mapping[str, Any],
    *,
    found: list[Difference] | None = None,
    again: Mapping[str, Any] | None = None,
    problem: str = "",
) -> Report:
    again = again or {}
    reasons = _reasons(meta)
    if again.get("code", meta.get("code")) != meta.get("code"):
        reasons.insert(0, "has other code in the notebook's file than in its checkpoint")
    seconds = meta.get("seconds"), again.get("seconds")
    return Report(step, key.name, key.version, verdict, found or [], reasons, seconds, problem)


def _reasons(meta: Mapping[str, Any]) -> list[str]:
    """What makes it likely that two runs differ, as far as record and code tell."""
    source = str(meta.get("source", ""))
    by_itself = meta.get("seeded", ())
    drawn = [name for name, (_, seeded) in meta.get("drawn", {}).items() if not seeded and name not in by_itself]
    reasons = [f"draws random numbers that nothing seeded ({', '.join(drawn)})"] if drawn else []
    if not drawn and _UNSEEDED.search(source):
        reasons.append(f"makes a generator without a seed (`{_UNSEEDED.search(source)[0]}`)")  # type: ignore[index]
    if match := _CLOCK.search(source):
        reasons.append(f"reads the clock, or what is new each time (`{match[0]}`)")
    return reasons


@contextmanager
def aside(store: Store, paths: list[Path]) -> Iterator[Path]:
    """A folder inside that of the checkpoints, with some of them in it; gone afterwards."""
    _sweep(store.folder)
    folder = store.folder / f"{ASIDE}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        for path in paths:
            try:
                os.link(path, folder / path.name)  # no bytes are copied
            except OSError:  # a file system without hard links
                shutil.copy2(path, folder / path.name)
        yield folder
    except OSError as error:
        raise StoreError(f"{folder} cannot be made, to run the step aside: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{ASIDE}*"):
        with suppress(OSError):  # another process sweeps as well
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)
