"""What a failed run of a step had made up to the error, kept beside the checkpoints for `%ckpt_load --failed`.

A best effort that is never in the way of the error: what is too large or cannot be saved is left out, and the next
success of the step deletes the file. Such a file is no checkpoint and is never restored from.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ckpt_magic.errors import CheckpointError, StepNotFoundError, StoreError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import record, stored
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.looks import RESULT
from ckpt_magic.steps.plan import Outcome, Plan
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values import delta, fingerprint
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles import pickling

KIND = "failed"


class FailedRun(dict[str, Any]):
    """Names and values that a failed run of a step had made or changed.

    Attributes
    ----------
    step
        Its number.
    error
        Type and message, in one line.
    traceback
        The traceback as text, from the step's code on.
    at
        When, UTC.
    left_out
        Per name why it is not here.
    """

    def __init__(self, values: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.step = int(meta["step"])
        self.error: str = meta["error"]
        self.traceback: str = meta["traceback"]
        self.at: str = meta["created"]
        self.left_out: dict[str, str] = {row["name"]: row["reason"] for row in meta["lost"]}

    def __repr__(self) -> str:
        held = ", ".join(f"{name} ({record.type_name(value)})" for name, value in self.items()) or "nothing"
        lines = [f"step {self.step} failed at {self.at}: {self.error}", f"had made or changed: {held}"]
        lines += [f"without {name}: {reason}" for name, reason in self.left_out.items()]
        return stored.printable("\n".join(lines)).replace("\\n", "\n") + f"\n{self.traceback.rstrip()}"

    def as_row(self) -> dict[str, Any]:
        """For JSON: `step`, `error`, `traceback`, `at` (UTC), `variables` (names and types), `left_out`."""
        held = {name: record.type_name(value) for name, value in self.items()}
        row = {"step": self.step, "error": self.error, "traceback": self.traceback, "at": self.at}
        return {**row, "variables": held, "left_out": self.left_out}

    def __reduce__(self) -> tuple[Any, ...]:
        # saved with a step they come back as what they are without this package
        return dict, (dict(self),)


class _Limited:
    """Where a pickler writes, up to so many bytes."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = self._left = limit

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._left -= view.nbytes
        if self._left < 0:
            raise StoreError(f"it takes more than {record.size(self._limit)}")
        return self._file.write(data)


def keep(kernel: Kernel, plan: Plan, outcome: Outcome, found: delta.Delta) -> str:
    """Keep what a failed run had made.

    Returns
    -------
    str
        Why it was not kept; empty if it was, or nothing is to be kept.
    """
    if not kernel.failed_cap or outcome.error is None:
        return ""
    values = {name: value for name, value in found.values.items() if name != RESULT}
    try:
        _write(kernel, plan, outcome.error, values, found)
    except Exception as error:  # noqa: BLE001  # pickling runs the user's code, and the user has an error to read
        reason = error if isinstance(error, CheckpointError) else fingerprint.reason(error)
        return f"what it had made was not kept: {reason}"
    return ""


def _write(kernel: Kernel, plan: Plan, error: BaseException, values: dict[str, Any], found: delta.Delta) -> None:
    """Write the file of a failed run in place of an earlier one."""
    contents = pickling.Contents("cell", values, None, {})
    meta = {
        "name": plan.key.name,
        "version": plan.key.version,
        "step": plan.call.step,
        "kind": KIND,
        "created": record.now(),
        "source": plan.code.source,
        "code": plan.code.digest,
        "error": "".join(traceback.format_exception_only(error)).strip().replace("\n", " "),
        "traceback": _traceback(kernel, error),
        "variables": record.variables(values),
        "imports": [],
        "lost": [
            {"name": name, "type": record.type_name(kernel.namespace.get(name)), "reason": why, "via": []}
            for name, why in found.lost.items()
            if name != RESULT
        ],
    }

    def dump(file: BinaryIO) -> None:
        limited = _Limited(file, kernel.failed_cap)
        kernel.pickle(contents, limited, found)  # type: ignore[arg-type]  # a pickler only writes

    store = kernel.store(plan.key.folder)
    store.publish(
        _path(store, plan.key, plan.call.step),
        lambda file: files.write(file, dump, outputs=[], meta=meta, keyring=kernel.keyring, new_hash=new_hash),
    )


def _traceback(kernel: Kernel, error: BaseException) -> str:
    """The traceback as text, from the first frame of the user's code on."""
    first = error.__traceback__
    while first is not None and first.tb_frame.f_globals is not kernel.main:
        first = first.tb_next
    return "".join(traceback.format_exception(type(error), error, first or error.__traceback__))


def forget(kernel: Kernel, plan: Plan) -> None:
    """Delete what an earlier failed run had left: the step succeeded."""
    with suppress(OSError):  # none is there; else it is told apart by its date
        _path(kernel.store(plan.key.folder), plan.key, plan.call.step).unlink()


def opened(key: PipelineKey, step: int | None, keyring: Keyring) -> files.StoredStep:
    """Open the file about a failed run, authenticated: of one step, or of the one that failed last.

    Raises
    ------
    StepNotFoundError
        No failed run is kept.
    UntrustedError, FormatError
        The file may not be read.
    """
    there = Store(key.folder).failed(key.name, key.version)
    if step is None and there:
        step = max(there, key=lambda one: there[one].stat().st_mtime_ns)
    if step is None or step not in there:
        which = "" if step is None else f"step {step} of "
        raise StepNotFoundError(f"no failed run of {which}`{key.name}` version {key.version} is kept in {key.folder}")
    found = record.completed(files.open_checkpoint(there[step], keyring))
    if found.problem is not None:
        raise found.problem
    if found.meta.get("kind") != KIND or not files.belongs(found.meta, key.name, key.version, step):
        raise problems.other_writer(found.path, found.meta)
    found.meta["kind"] = "cell"  # its pickle is that of one
    return found


def load_failed(key: PipelineKey, step: int | None, keyring: Keyring) -> FailedRun:
    """Read what a failed run of a step had made into a place of its own; errors are those of `opened`."""
    found = opened(key, step, keyring)
    names = stored.new_globals()
    values = stored.unpickle(found, names)
    names.update(values)
    return FailedRun(values, found.meta)


def _path(store: Store, key: PipelineKey, step: int) -> Path:
    return store.failed_path(store.path(key.name, key.version, step))
