"""What unmarked cells that have not run yet will change in place, of what later steps read.

Values tell what ran so far, and code alone what will run: a step that found nothing changed by the cells above it, or
something by other code, will find something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from ckpt_magic.steps.course import Course
from ckpt_magic.steps.needs import Cell
from ckpt_magic.values.code.statements import Step
from ckpt_magic.values.origins import Past

Meta = Mapping[str, Any]


def altered(course: Course, meta: Meta, metas: Mapping[int, Meta], cells: Iterable[Cell]) -> Set[int]:
    """The steps that will find something changed in place by cells below a step that they did not find so.

    Parameters
    ----------
    course
        The cells above the step; it goes on by those below.
    meta
        META of the step.
    metas
        META of the later ones.
    cells
        The cells below the step, in order.
    """
    found = set[int]()
    course.step(_restored(meta), meta["source"])
    start = len(course.past.events)
    for cell in cells:
        if cell.tree is None:
            continue
        if cell.step is None:
            course.cell(cell.tree)
            continue
        other = metas.get(cell.step)
        if other is None:  # it will run
            course.step(Step(cell.step, dict.fromkeys(cell.names.binds), cell.names.deletes), cell.tree)
            continue
        if _is_met_otherwise(course.past, other, start):
            found.add(cell.step)
        course.step(_restored(other), other["source"])
    return found


def _restored(meta: Meta) -> Step:
    return Step(meta["step"], meta["groups"], frozenset(meta["deleted"]))


def _is_met_otherwise(past: Past, meta: Meta, start: int) -> bool:
    """Whether statements from a place on change what a step read, and it did not find it changed by the same code."""
    then = (meta["evidence"] or {}).get("origins") or {}
    names = {*meta["reads"], *meta["seen"]}
    for name in sorted(past.touched(names)):
        origin = past.origin(name)
        if any(at >= start for at in origin.places) and origin.digest != then.get(name):
            return True
    return False
