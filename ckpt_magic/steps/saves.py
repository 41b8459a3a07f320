"""What became of the saves of one kernel that go on in the background.

A cell is over when its checkpoint is written; only later is it known whether it could be published. If it could not,
its step counts as not saved from then on. What was written meanwhile names what that step left by its content alone,
and fits where that is made again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ckpt_magic.files.comparing import comparer
from ckpt_magic.files.publishing import Publishing, publisher
from ckpt_magic.files.store import Draft
from ckpt_magic.steps.plan import Plan
from ckpt_magic.steps.progress import Progress
from ckpt_magic.steps.registry import PipelineKey, Registry, StepRecord

_QUICK = 0.002  # seconds; where the disk is quick, a small checkpoint is published before its cell ends
SMALL = 1 << 20  # bytes; the values of such a checkpoint are cheap to look at before each decision, and it is
# waited for unless even the last such one took longer


@dataclass(frozen=True, slots=True)
class _Save:
    key: PipelineKey
    record: StepRecord
    groups: Mapping[str, str]
    publishing: Publishing


class Saves:
    """The saves of one kernel that are not published yet."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._going_on: list[_Save] = []
        self._is_quick = True  # whether the last small checkpoint was published as soon as it was asked for

    def submit(
        self, plan: Plan, draft: Draft, groups: Mapping[str, str], first: Callable[[], None] | None = None
    ) -> None:
        """Publish in the background what a step saved.

        Parameters
        ----------
        plan
            The step; the registry remembers it as one that ran.
        draft
            Its checkpoint.
        groups
            What the checkpoint holds: META `groups`.
        first
            Called before it is published; raises if it may not be after all.

        Raises
        ------
        CheckpointError
            It is known already that it cannot be published.
        """
        publishing = publisher().submit(draft, first)
        is_small = draft.size <= SMALL
        is_over = publisher().wait(draft.path, timeout=_QUICK if self._is_quick or not is_small else 0.0)
        if is_small:
            self._is_quick = is_over
        if is_over and publishing.error is not None:
            publishing.is_told = True
            raise publishing.error
        record = self._registry.pipeline(plan.key).steps[plan.call.step]
        self._going_on.append(_Save(plan.key, record, groups, publishing))

    def settle(self, plan: Plan | None = None) -> list[str]:
        """Take note of the saves that failed since the last time.

        Parameters
        ----------
        plan
            The step on its way now: it took its values from a step that may turn out to be not saved.

        Returns
        -------
        list of str
            A line for people about each.
        """
        over = [save for save in self._going_on if save.publishing.is_over]
        self._going_on = [save for save in self._going_on if not save.publishing.is_over]
        return [self._failed(save, plan) for save in over if save.publishing.error is not None]

    def _failed(self, save: _Save, plan: Plan | None) -> str:
        save.publishing.is_told = True
        step, reason = save.record.step, str(save.publishing.error)
        pipeline = self._registry.pipeline(save.key)
        if pipeline.steps.get(step) is save.record:
            pipeline.steps[step] = replace(save.record, state="not saved", reason=reason)
        known = [pipeline.producers]
        if plan is not None and plan.before is not None and plan.key == save.key:
            known.append(plan.before.producers)
        for name, digest in save.groups.items():
            unsaved = step, f"unsaved:{uuid.uuid4().hex}"
            for producers in known:
                if producers.get(name) == (step, digest):
                    producers[name] = unsaved
        return not_saved(save.key, step, reason)


def wait(where: Path | None, progress: Progress, *, timeout: float = float("inf")) -> bool:
    """Wait until nothing is on its way to a folder or file; None for everywhere. False if the time was up."""
    pending = publisher().pending(where)
    if not pending:
        return True
    comparison = comparer().wanted()  # which the publishing waits for
    what, total = f"waiting until {pending[-1].path.name} is on the disk", None
    if comparison is not None:
        what, total = f"comparing {comparison.path.name} with its digests", comparison.size
    with progress(what, total) as advance:
        told = lambda: advance(0 if comparison is None else comparison.done)
        return publisher().wait(where, timeout=timeout, told=told)


def is_large(pending: Iterable[Publishing]) -> bool:
    """Whether a large checkpoint is on its way."""
    return any(one.size > SMALL for one in pending)


def not_saved(key: PipelineKey, step: int, reason: str) -> str:
    """What people are told of a step that ran and left no checkpoint."""
    return f"step {step} of `{key.name}` ran, but its checkpoint was not saved: {reason}"
