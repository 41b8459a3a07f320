"""Confirming a checkpoint: the cells above its step have other code by now, which came to the same.

A kernel judges by values, and a plan, which runs nothing, by the code that leads to them. So what a kernel found fresh
under other code is noted beside the checkpoint: a plan takes that code, too, for what the step came from. The note is
a small file of its own, since a checkpoint is never written to; it is signed, and counts for one checkpoint alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ckpt_magic.errors import CheckpointError, StoreError
from ckpt_magic.files import format as files
from ckpt_magic.files import sections
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import record, shapes
from ckpt_magic.steps.above import Standing
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.plan import Look, Plan

KIND = "confirmed"

Meta = Mapping[str, Any]


def confirm(kernel: Kernel, plan: Plan, stored: files.StoredStep, look: Look) -> None:
    """Note by what code a step that is about to be restored, being fresh, came from what is here now.

    Nothing is noted of a step that does not come after all those met here, that only an acceptance makes fresh, or
    where nobody knows what ran; and a folder that cannot be written to does without.
    """
    meta = stored.meta
    met = kernel.registry.pipeline(plan.key).steps
    evidence = meta["evidence"]
    if evidence is None or evidence["origins"] is None or meta["accepted"] is not None or "rests" not in evidence:
        return
    if kernel.kind != "cell" or plan.call.stale == "restore" or any(step >= plan.call.step for step in met):
        return
    course = kernel.history.course
    if evidence.get("course") == course:
        return
    noted = _noted(stored, kernel.keyring) or {}
    if noted.get("course") == course:
        return
    names = {*meta["seen"], *meta["unmade"], *kernel.history.touched(meta["reads"].keys())}
    standing = Standing(
        kernel, plan.key, kernel.evidence.secretive(meta, look), meta["around"], kernel.around.setters()
    )
    near = kernel.history.near(record.replaced(meta)) if meta["near"] is not None else None
    now = {"near": near, **standing.of(names, plan.code.names.imports, evidence, kernel.chance.mover)}
    if now["origins"] is None or _same(now, {"near": meta["near"], **evidence}) or _same(now, noted):
        return
    store = kernel.store(plan.key.folder)
    content = {**_binding(stored), "kind": KIND, "above": now}
    with suppress(StoreError):
        draft, _ = store.write(
            store.confirmed_path(stored.path),
            lambda file: sections.write_end(file, 0, 0, content, kernel.keyring),
        )
        draft.put()


def confirmed(stored: files.StoredStep, keyring: Keyring) -> Meta | None:
    """META of a trusted checkpoint as if the step had come from what a kernel found to come to the same."""
    noted = _noted(stored, keyring)
    if noted is None or stored.meta["evidence"] is None:
        return None
    evidence = {**stored.meta["evidence"], **{key: noted.get(key) for key in _OF_EVIDENCE}}
    found = {**stored.meta, "near": noted.get("near"), "evidence": evidence}
    return None if shapes.misfits(found) else found


_OF_EVIDENCE: Final = ("origins", "above", "asked", "set_by", "apart_by", "acting")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both tell the same of what stands above a step, however that ran."""
    was, now = ([found.get(key) for key in ("near", *_OF_EVIDENCE)] for found in (one, other))
    return sections.encode(was) == sections.encode(now)


def _noted(stored: files.StoredStep, keyring: Keyring) -> Mapping[str, Any] | None:
    """What is noted beside a checkpoint, if it is about this very one."""
    try:
        found = files.open_checkpoint(Store.confirmed_path(stored.path), keyring)
    except CheckpointError:  # as a rule it is not there; else nothing is lost
        return None
    is_ours = found.meta.get("kind") == KIND and _binding(stored).items() <= found.meta.items()
    above = found.meta.get("above") if is_ours else None
    return above if isinstance(above, Mapping) else None


def _binding(stored: files.StoredStep) -> dict[str, Any]:
    assert stored.footer is not None  # a file without one is not trusted
    names = {key: stored.meta[key] for key in ("name", "version", "step")}
    return {**names, "of": stored.footer.mac.hex()}
