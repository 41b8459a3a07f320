"""`%ckpt_load --push`: put stored steps into this kernel without replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any

from ckpt_magic.errors import StepNotFoundError, UsageError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.steps import failures
from ckpt_magic.steps.failures import FailedRun
from ckpt_magic.steps.plan import Loaded
from ckpt_magic.steps.registry import PipelineKey, StepRecord
from ckpt_magic.steps.session import Session
from ckpt_magic.values import looking
from ckpt_magic.values.pickles.forms import Token


def push(session: Session, key: PipelineKey, steps: Sequence[int], *, force: bool = False) -> list[dict[str, Any]]:
    """Put stored steps into this kernel without replay.

    Nothing is pushed if a name that it would bind or delete has another value here that did not come from
    this pipeline. Working directory, environment and generators are put back only if the pipeline runs here.

    Parameters
    ----------
    session
        The kernel.
    key
        The pipeline.
    steps
        Numbers of stored steps.
    force
        Push whatever the names hold.

    Returns
    -------
    list of dict
        A receipt per step: `step`, `variables` (names), `bytes`, `seconds`, `lost` (names).

    Raises
    ------
    UsageError
        Names would be overwritten; they are listed.
    StepNotFoundError
        A step is not stored.
    CheckpointError
        A step is damaged, not trusted, or cannot be read here.
    """
    loads: list[tuple[Loaded, float]] = []
    definitions: dict[Token, Any] = {}
    for step in sorted(steps):
        loads.append(_load(session, key, step, definitions))
        definitions.update(loads[-1][0].found)
    if not force:
        _refuse_to_overwrite(session, key, [loaded for loaded, _ in loads])
    runs_here = bool(session.registry.pipeline(key).steps)
    return [_push_one(session, key, loaded, seconds, runs_here) for loaded, seconds in loads]


def push_failed(session: Session, key: PipelineKey, step: int | None, *, force: bool = False) -> FailedRun:
    """Put what a failed run of a step had made into this kernel; of the step that failed last, if `step` is None.

    It counts as written by a failed run of that step here: the next save of the step contains it.

    Raises
    ------
    UsageError
        Names would be overwritten; they are listed.
    StepNotFoundError
        No failed run is kept.
    """
    found = failures.opened(key, step, session.keyring)
    loaded = session.load(found)
    if not force:
        _refuse_to_overwrite(session, key, [loaded])
    session.namespace.update(loaded.values)
    session.note_failed(key, found.meta["step"], loaded.values, code=found.meta["source"])
    return FailedRun(loaded.values, found.meta)


def _load(session: Session, key: PipelineKey, step: int, earlier: Mapping[Token, Any]) -> tuple[Loaded, float]:
    began = perf_counter()
    stored = session.open(key, step)
    if stored is None:
        raise StepNotFoundError(f"step {step} of `{key.name}` version {key.version} is not in {key.folder}")
    if stored.problem is not None:
        raise stored.problem
    if not files.belongs(stored.meta, key.name, key.version, step):
        raise problems.other_writer(stored.path, stored.meta)
    loaded = session.load(stored, earlier)
    if session.kind == "cell" and stored.meta["kind"] == "method":
        loaded.values = {name: value for name, value in loaded.values.items() if name.isidentifier()}  # no `self.x`
    return loaded, perf_counter() - began


def _push_one(session: Session, key: PipelineKey, loaded: Loaded, seconds: float, runs_here: bool) -> dict[str, Any]:
    began = perf_counter()
    session.put(key, loaded, ambient_too=runs_here)
    seconds += perf_counter() - began
    meta = loaded.meta
    session.registry.pipeline(key).steps[meta["step"]] = StepRecord(
        meta["step"], "restored", "pushed", code=meta["code"], title=meta["title"], restore_seconds=seconds
    )
    return {
        "step": meta["step"],
        "variables": [row["name"] for row in meta["variables"]],
        "bytes": loaded.size,
        "seconds": seconds,
        "lost": list(meta["unsaved"]),
    }


def _refuse_to_overwrite(session: Session, key: PipelineKey, loads: Sequence[Loaded]) -> None:
    final: dict[str, Any] = {}
    for loaded in loads:
        gone = [*loaded.meta["deleted"], *loaded.meta["unsaved"]]
        final.update({**loaded.values, **dict.fromkeys(gone, _GONE)})
    session.watch.settle(final)
    mine = session.names()
    producers = session.registry.pipeline(key).producers
    foreign = [
        name
        for name, value in final.items()
        if name in mine and name not in producers and (value is _GONE or not _equal(session, mine[name], value))
    ]
    if foreign:
        raise UsageError(
            f"nothing was pushed: {', '.join(f'`{name}`' for name in foreign)} "
            f"{'exist' if len(foreign) > 1 else 'exists'} here with another value that did not come from `{key.name}`; "
            f"rename, or push with --force"
        )


def _equal(session: Session, mine: Any, other: Any) -> bool:
    if mine is other:
        return True
    digest = looking.look(mine, session.main).digest
    return digest is not None and digest == looking.look(other, session.main).digest


_GONE = object()  # what a push would delete, or bind to a placeholder
