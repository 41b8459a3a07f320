"""What unmarked cells that have not run yet will change in place, of what later steps read.

Values tell what ran so far, and code alone what will run: a step that found nothing changed by the cells above it, or
something by other code, will find something else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any

from ckpt_magic.steps import record
from ckpt_magic.steps.course import Course
from ckpt_magic.steps.needs import Cell
from ckpt_magic.values.code.effects import OWN
from ckpt_magic.values.code.statements import Step
from ckpt_magic.values.origins import NOTHING, Past

Meta = Mapping[str, Any]


def altered(course: Course, meta: Meta, metas: Mapping[int, Meta], cells: Collection[Cell]) -> Set[int]:
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
    course.step(record.as_step(meta), meta["source"])
    start = len(course.past.events)
    steps = [(cell.step, cell.names.imports) for cell in cells if cell.step is not None and cell.step in metas]
    at_first = {step: _modules(course, metas[step], imports) for step, imports in steps}
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
        modules, then = _modules(course, other, cell.names.imports), _origins(other)
        of_modules = any(
            modules[one] not in (at_first[cell.step][one], then.get(one, NOTHING.digest)) for one in modules
        )
        if of_modules or _is_met_otherwise(course.past, other, start):
            found.add(cell.step)
        course.step(record.as_step(other), other["source"])
    return found


def _is_met_otherwise(past: Past, meta: Meta, start: int) -> bool:
    """Whether statements from a place on change what a step read, and it did not find it changed by the same code."""
    found = {name: past.origin(name) for name in past.touched({*meta["reads"], *meta["seen"]})}
    then = _origins(meta)
    return any(one.digest != then.get(name) and max(one.places, default=-1) >= start for name, one in found.items())


def _modules(course: Course, meta: Meta, imports: Iterable[str]) -> dict[str, str]:
    """Where what is in the user's own modules that a step used, and in those that it imports, comes from by now."""
    ways = {f"<{name}>": [name] for name in imports}
    ways[OWN] = course.lender.ways((meta["evidence"] or {}).get("modules", ()))
    return {label: course.past.of_modules(names).digest for label, names in ways.items()}


def _origins(meta: Meta) -> Mapping[str, str]:
    return (meta["evidence"] or {}).get("origins") or {}
