"""From which step on a notebook must run again after a name got another value. Pure: reads records only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ckpt_magic.steps.registry import StartPoint, lets


@dataclass(frozen=True, slots=True)
class Advice:
    """Where to start after a name changed.

    Attributes
    ----------
    name
        The name.
    steps
        The stored steps that read it, or hold what it held.
    start
        The first of them; None if no stored step does.
    saves
        Seconds that the steps before it took, which need not run.
    """

    name: str
    steps: tuple[int, ...]
    start: int | None
    saves: float

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "steps": list(self.steps)}


def advise(names: Iterable[str], metas: Mapping[int, Mapping[str, Any]]) -> list[Advice]:
    """Say for each name where to start.

    Parameters
    ----------
    names
        Names that got, or will get, other values.
    metas
        META of the stored steps of a pipeline.
    """
    advice = []
    for name in names:
        readers = tuple(step for step, meta in sorted(metas.items()) if _reads(meta, name))
        start = readers[0] if readers else None
        advice.append(Advice(name, readers, start, 0.0 if start is None else seconds_before(start, metas)))
    return advice


def seconds_before(start: int, metas: Mapping[int, Mapping[str, Any]], point: StartPoint = "none") -> float:
    """How long the stored steps below `start` took, of those that the start point that holds would run."""
    return sum(float(meta["seconds"]) for step, meta in metas.items() if step < start and not lets(point, step))


def _reads(meta: Mapping[str, Any], name: str) -> bool:
    recorded = {*meta["reads"], *meta["seen"], *meta["before"], *meta["unmade"]}
    evidence = meta["evidence"] or {}
    return name in recorded or name in evidence.get("functions", ()) or name in evidence.get("covered", ())
