"""What a stored file forbids or tells before its step is decided: it may be another's, damaged, or renamed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ckpt_magic.errors import CheckpointError, CheckpointWarning, OtherWriterError, UsageError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.steps import record, registry
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.plan import Plan
from ckpt_magic.steps.registry import Decision, PipelineKey
from ckpt_magic.values.code import reaching


def readable_meta(
    kernel: Kernel, plan: Plan, stored: files.StoredStep | None, start: registry.StartPoint
) -> Mapping[str, Any] | None:
    """META of a file that may be restored or replaced; what may not stay is kept under another name."""
    if stored is None:
        return None
    call, key = plan.call, plan.key
    if stored.trust == "trusted":
        if files.belongs(stored.meta, key.name, key.version, call.step):
            return stored.meta
        if not call.force:
            raise problems.other_writer(stored.path, stored.meta)
    plan.keep = True
    if call.force or not registry.lets(start, call.step):
        return None
    if stored.trust == "damaged":
        set_aside_damaged(kernel, plan, stored, stored.problem)
    elif start != "auto" and stored.problem is not None:
        raise stored.problem
    else:
        plan.notes.append(f"the old file ({stored.trust}) is kept")
    return None


def set_aside_damaged(kernel: Kernel, plan: Plan, stored: files.StoredStep, problem: CheckpointError | None) -> None:
    """Keep a damaged file under another name, and say so: its step runs."""
    kept = kernel.store(plan.key.folder).set_aside(stored.path, "bad")
    plan.keep = False
    warn(f"step {plan.call.step}: {problem}; the step runs, the old file is kept as {kept.name}")


def refuse_unknown_names(kernel: Kernel, plan: Plan) -> None:
    """A name of `--save`, `--drop` or `--require` that cannot come to exist is an error before the cell runs."""
    names = plan.code.names
    asked = dict.fromkeys([*plan.call.save, *plan.call.drop, *plan.call.require])
    if kernel.kind != "cell" or names.dynamic or not asked:
        return
    reached = reaching.reachable(names.reads, kernel.namespace)
    for name in asked:
        if name not in kernel.namespace and name not in names.binds and name not in reached:
            raise UsageError(
                f"step {plan.call.step}: --save, --drop or --require names `{name}`, but the cell does not make "
                "it and it does not exist; correct the name"
            )


def refuse_other_kind(kernel: Kernel, plan: Plan, meta: Mapping[str, Any]) -> None:
    """A cell does not replace what a method wrote, nor the other way round."""
    kinds = {"cell": "a notebook cell", "method": "a method of a script", "foreign": "another program"}
    other = meta["kind"]
    if other == kernel.kind or (other == "foreign" and kernel.kind == "method"):
        return
    if not plan.call.force:
        raise OtherWriterError(
            f"step {plan.call.step} of `{plan.key.name}` version {plan.key.version}: the checkpoint in "
            f"{plan.key.folder} was written by {kinds.get(other, other)}; use another --name or --version, or "
            "--force to run the step and save over it (the old file is kept)"
        )
    plan.keep = True


def refuse_other_notebook(kernel: Kernel, plan: Plan, meta: Mapping[str, Any], decision: Decision) -> None:
    """A step does not replace the checkpoint of another notebook that is still there."""
    mine = record.notebook_path(kernel.settings.notebook, plan.key.folder)
    other = meta["notebook"]
    if mine is None or other is None or mine == other:
        return
    if not (plan.key.folder / other).exists():
        plan.notes.append(f"was written by {other.rpartition('/')[2]}")
        return
    if decision.action == "restore" and meta["code"] == plan.code.digest:
        plan.notes.append(f"was written by {other.rpartition('/')[2]}")
    elif not plan.call.force:
        raise OtherWriterError(
            f"step {plan.call.step} of `{plan.key.name}` version {plan.key.version} belongs to the notebook "
            f"{plan.key.folder / other}; use another --name or --version here, or --force to run the step and "
            "save over it (the old file is kept)"
        )
    else:
        plan.keep = True


def note_renamed(kernel: Kernel, plan: Plan) -> None:
    """Say it when the notebook seems to have been renamed and its checkpoints lie under the old name."""
    if kernel.kind != "cell" or not kernel.settings.is_default_name(plan.call):
        return
    if kernel.registry.pipeline(plan.key).steps:
        return
    store = kernel.store(plan.key.folder)
    entries = store.entries()
    if any(entry.name == plan.key.name for entry in entries):
        return
    for entry in {entry.name: entry for entry in entries}.values():
        stored = kernel.open(PipelineKey(plan.key.folder, entry.name, entry.version), entry.step)
        notebook = stored.meta.get("notebook") if stored is not None else None
        if notebook and not (plan.key.folder / notebook).exists():
            plan.notes.append(f"renamed? --name {entry.name}")
            return


def warn(text: str) -> None:
    """Warn each time, whatever was said before from the same line."""
    with warnings.catch_warnings(), suppress(CheckpointWarning):
        warnings.simplefilter("always", CheckpointWarning)
        warnings.warn(text, CheckpointWarning, stacklevel=2)
