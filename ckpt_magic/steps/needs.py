"""Whether anybody needs the values that a checkpoint does not hold: lost ones, and those that `--drop` left out.

A step with such values is restored only where no later code that is known reads them. Later code is known when it
left a checkpoint, when it ran here as an unmarked cell, or when somebody handed it over. A later step that is sure to
be restored reads nothing. Pure: all that it needs to know comes in as records.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from ckpt_magic.steps import registry
from ckpt_magic.steps.registry import Pipeline, StartPoint
from ckpt_magic.values.code import effects, source, syntax
from ckpt_magic.values.code.source import Names
from ckpt_magic.values.memory import identity

Meta = Mapping[str, Any]

_RESULT = "the result"  # of the last expression
_RESULTS = ("_", "__", "___", "Out", "_oh")  # where IPython keeps it; by its number a placeholder tells
_OTHER_ORDER = "the set `{}` is in another order in this kernel, and other code goes by it"
_FIXED = frozenset({"module", "function", "bool", "int", "float", "str", "NoneType"})  # what code binds anew or leaves
_SHOWN = re.compile(r"_{1,3}|_\d+|Out|_oh")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell or method further down, whose code is known.

    `step` is its number if it is a step of this pipeline, `texts` are those in its code, `tree` is that; it `writes`
    files, perhaps, or `sets` surroundings.
    """

    names: Names
    step: int | None = None
    code: str = ""
    texts: frozenset[str] = frozenset()
    writes: bool = False
    sets: bool = False
    tree: ast.Module | None = None

    @classmethod
    def of(cls, tree: ast.Module, names: Names, step: int | None = None, code: str = "") -> Cell:
        """What is known of a cell with this code, that uses these names."""
        return cls(names, step, code, frozenset(syntax.texts(tree)), effects.writes(tree), effects.sets(tree), tree)

    def names_file(self, path: str) -> bool:
        """Whether its code names a file, by whatever way to its folder."""
        name = PurePath(path).name
        return any(text.endswith(name) and PurePath(text).name == name for text in self.texts)


@dataclass(frozen=True, slots=True)
class Later:
    """What is known of what comes after a step; from `kernel` on by default that of a kernel in which nothing ran.

    Attributes
    ----------
    start
        The start point.
    metas
        META of the stored steps that come later.
    before
        META of the stored steps that come earlier.
    rewritten
        Files that earlier steps write that will run.
    by_cells
        Files that unmarked cells of this kernel wrote or removed, and earlier steps that ran here.
    cells
        The cells further down, in order; None if nobody knows them.
    only_fresh
        Whether only fresh steps will be restored.
    kernel
        Identity of this kernel.
    pipeline
        What happened here so far.
    here
        Names of the pipeline whose values unmarked cells of this kernel have read.
    elsewhere
        Digests of sharing groups that steps of other pipelines have read.
    gives
        Tells whether a name that no step made is surely what a later step found it to be.
    disturbed
        Tells whether random generators or surroundings are now otherwise than a later step found them.
    fresh
        Tells whether the evidence of a later step, its code aside, is surely as it was.
    numbers
        What tells processes apart in which `hash` and `id` give other numbers: of `registry.NUMBERS`.
    ordered
        Sets by whose order, as it is in this process, another step of the pipeline or an unmarked cell went.
    altered
        Gives the later steps that will find something changed in place by cells below this one, and did not find it
        so; see `altering`.
    is_left
        Tells whether a file is as its row of META says.
    is_unedited
        Whether steps whose cells nobody knows are taken to be what they were.
    vouched
        Whether the user said that the step is to be restored though files are not what they were.
    """

    start: StartPoint
    metas: Mapping[int, Meta]
    cells: Sequence[Cell] | None
    only_fresh: bool
    kernel: str = ""
    pipeline: Pipeline = field(default_factory=Pipeline)
    here: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    gives: Callable[[Meta, str], bool] = lambda meta, name: False
    disturbed: Callable[[Meta], bool] = lambda meta: False
    fresh: Callable[[Meta], bool] = lambda meta: False
    numbers: Mapping[str, str] = field(default_factory=dict)
    ordered: Set[str] = frozenset()
    altered: Callable[[Sequence[Cell]], Set[int]] = lambda cells: frozenset()
    is_left: Callable[[Mapping[str, Any]], bool] = lambda row: True
    is_unedited: bool = False
    vouched: bool = False
    before: Mapping[int, Meta] = field(default_factory=dict)
    rewritten: Set[str] = frozenset()
    by_cells: Set[str] = frozenset()


def may_be_needed(meta: Meta, is_left: Callable[[Mapping[str, Any]], bool], rewritten: Set[str] = frozenset()) -> bool:
    """Whether `needed` may have something to say; `is_left` and `rewritten` are those of `Later`."""
    if meta["unsaved"] or meta["result"] or meta["touches"] or registry.orders(meta):
        return True
    left = {**_left(meta, "temporary"), **_left(meta, "written")}
    return not (rewritten.isdisjoint(left) and all(map(is_left, left.values())))


def written(meta: Meta) -> Set[str]:
    """The files that a step wrote."""
    return _left(meta, "written").keys()


def needed(meta: Meta, later: Later) -> str:
    """Say which value that the checkpoint lacks is needed, and by whom; empty if none is."""
    later = replace(later, is_left=_asked_once(later.is_left))
    if not _lacks(meta, later, {}):
        return ""  # whatever will run
    sure = _sure(meta, later)
    if lost := _needed(meta, later, sure) or _gone(meta, later, sure):
        return lost
    if later.vouched:
        return ""
    if later.cells is None:  # one that was edited, and finds another file, is marked; a lost value would be an error
        sure = _sure(meta, replace(later, is_unedited=True))
    return _written_over(meta, later, sure)


def _asked_once(is_left: Callable[[Mapping[str, Any]], bool]) -> Callable[[Mapping[str, Any]], bool]:
    """The same, which reads no file twice: rows stay where they are meanwhile."""
    told: dict[int, bool] = {}

    def ask(row: Mapping[str, Any]) -> bool:
        if identity(row) not in told:
            told[identity(row)] = is_left(row)
        return told[identity(row)]

    return ask


def _lacks(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    return _needed(meta, later, sure) or _written_over(meta, later, sure) or _gone(meta, later, sure)


def _written_over(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    """Say who needs a file that the step wrote and that is not, or no more, as the step left it.

    Another step or cell has written over it, so the step is fresh all the same. Who reads it before the next one
    writes it needs it. If it was an earlier step, which has run again, the file is to be left as it was in the end,
    too, but for lines that steps add to a log. With a number files that no step left so, and no cell writes, are the
    user's to judge, who may have edited one to go on from there.
    """
    step, metas = meta["step"], {**later.before, meta["step"]: meta, **later.metas}
    for path, row in _left(meta, "written").items():
        if path not in later.rewritten and later.is_left(row):
            continue
        left = {number: again for number, one in metas.items() if (again := _left(one, "written").get(path))}
        by_earlier = path in later.rewritten | later.by_cells
        by_earlier |= any(later.is_left(left[number]) for number in left if number < step)
        by_later = any(later.is_left(left[number]) for number in left if number > step)
        by_later |= any(cell.step is None and cell.writes and cell.names_file(path) for cell in _below(meta, later))
        if not (by_earlier or by_later or later.start == "auto"):
            continue
        if who := next(_readers(path, meta, later, sure), ""):
            return f"`{path}` is not as it left it, and {who} reads it"
        last = max((number for number in left if not _adds_to(metas[number], path)), default=None)
        if by_earlier and (last == step or later.cells is None):
            return f"`{path}` is as an earlier step or cell left it"
    return ""


def _readers(path: str, meta: Meta, later: Later, sure: Mapping[int, Meta]) -> Iterator[str]:
    """Those that will read a file after a step, until another step writes it."""
    if later.cells is not None:
        below = _below(meta, later)
    else:
        below = [Cell(Names(), number, other["code"]) for number, other in sorted(later.metas.items())]
    for cell in below:
        if cell.step is not None and cell.step <= meta["step"]:
            continue
        other = later.metas.get(cell.step) if cell.step is not None else None
        if other is None:
            if cell.names_file(path):
                yield "an unmarked cell" if cell.step is None else f"step {cell.step}"
            continue
        evidence = other["evidence"] or {}
        if path in evidence.get("between", ()):
            yield "an unmarked cell"
        is_new = cell.code != other["code"] and cell.names_file(path) and path not in written(other)
        if cell.step not in sure and (is_new or _reads_file(other, path)):
            yield f"step {cell.step}"
        if path in written(other) and (cell.step in sure or not _adds_to(other, path)):
            break


def _below(meta: Meta, later: Later) -> Sequence[Cell]:
    """The cells after that of a step, as far as they are known."""
    cells = later.cells or ()
    own = [position for position, cell in enumerate(cells) if cell.step == meta["step"]]
    return cells[own[-1] + 1 if own else 0 :]


def _adds_to(meta: Meta, path: str) -> bool:
    """Whether a step adds to a file that it wrote and that was there."""
    row = _left(meta, "written").get(path, {"absent": True})
    return not row.get("absent") and path in meta["evidence"].get("kept", ())


def _gone(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    """Say who will read a temporary file that the step wrote and that is gone, as they go with their process."""
    for path, row in _left(meta, "temporary").items():
        readers = (step for step, other in sorted(later.metas.items()) if step not in sure and _reads_file(other, path))
        if not later.is_left(row) and (reader := next(readers, None)) is not None:
            return f"`{path}` is gone, and step {reader} reads it"
    return ""


def _left(meta: Meta, kind: str) -> dict[str, Meta]:
    """The files that a step wrote, and how it left them: the `written` ones, or `temporary` ones, which only go."""
    return {row["path"]: row for row in (meta["evidence"] or {}).get(kind, ())}


def _reads_file(meta: Meta, path: str) -> bool:
    """Whether a step read a file, took it away, or ran through it as a module."""
    evidence = meta["evidence"] or {}
    if path in evidence.get("kept", ()) and not _adds_to(meta, path):
        return True  # it takes it away, or gives it another name
    module = PurePath(path).with_suffix("").as_posix().removesuffix("/__init__")
    names = (name.replace(".", "/") for name in evidence.get("modules", {}))
    return any(row["path"] == path for row in evidence.get("files", ())) or any(
        f"/{module}".endswith(f"/{name}") for name in names
    )


def _needed(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    step, missing = meta["step"], dict.fromkeys(meta["unsaved"])
    for name in missing:
        if name in later.here and later.here[name][0] == step:
            return f"`{name}` could not be saved, and an unmarked cell reads it"
        if meta["groups"].get(name) in later.elsewhere:
            return f"`{name}` could not be saved, and a step of another pipeline reads it"
    numbers = _numbers(meta)
    holders = {name: {step} for name in missing}  # steps that hold it; those that only change what it is tied to do too
    made_anew: set[str] = set()
    for number, other in sorted(later.metas.items()):
        if number <= step:
            continue
        for name in missing:
            is_read = other["reads"].get(name, (None,))[0] in holders[name]
            is_read &= not (name in numbers and name in other["measured"])
            if later.cells is None and name not in made_anew:
                is_read |= name in other["unmade"]  # what was changed outside any cell came from no step then
            if number not in sure and is_read:
                if name not in other["joint"]:
                    return f"`{name}` could not be saved, and step {number} reads it"
                holders[name].add(number)
            if later.cells is None and other["unmarked"].get(name, (None,))[0] == step:
                return f"`{name}` could not be saved, and an unmarked cell reads it"
        if meta["result"] and number not in sure and not set(_RESULTS).isdisjoint(other["unmade"]):
            return f"{_RESULT} could not be saved, and step {number} reads it"
        if meta["touches"] and number not in sure and reads_shown(other["unmade"]):
            return _touched(f"step {number}")
        made_anew |= {*other["groups"], *other["deleted"]}
    return _read_by_cells(meta, later, sure) or _gone_through(meta, later, sure)


def _gone_through(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    """Say who may go through a set in another order than the step did: numbers that both give it would not agree."""
    names = {name for name, process in registry.orders(meta).items() if process != later.numbers.get(registry.HASH)}
    for name in sorted(names & later.ordered):
        return _OTHER_ORDER.format(name)
    if later.cells is None:
        for number, other in sorted(later.metas.items()):
            for name in sorted(names & registry.orders(other).keys()) if number not in sure else ():
                return _OTHER_ORDER.format(name)
            names -= {*other["groups"], *other["deleted"]}
        return ""
    asleep = {name: body for cell in later.cells for name, body in cell.names.asleep.items()}
    by_functions = frozenset[str]().union(*(cell.names.ordered_asleep for cell in later.cells))
    for cell in _below(meta, later) if names else ():
        if cell.step is None or cell.step not in sure:
            reads = replace(cell.names, asleep=asleep).woken_by(cell.names.awake)
            for name in sorted(names & (cell.names.ordered | (by_functions & reads))):
                return _OTHER_ORDER.format(name)
        names -= cell.names.renews
    return ""


def _touched(who: str) -> str:
    return f"it may have changed what a cell above had shown, and {who} reads such a result"


def reads_shown(names: Iterable[str]) -> bool:
    """Whether any of these names is one under which IPython keeps results."""
    return any(map(_SHOWN.fullmatch, names))


def _read_by_cells(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> str:
    """Follow the names that lead to a missing value through the cells further down, until all are bound anew."""
    ways = {name: f"`{name}`" for name in meta["unsaved"]}
    for row in meta["lost"]:
        ways.update(dict.fromkeys(row.get("via", ()), f"`{row['name']}`"))
    if meta["result"]:
        ways.update(dict.fromkeys(_RESULTS, _RESULT))
    numbers = _numbers(meta)
    asleep = {name: body for cell in later.cells or () for name, body in cell.names.asleep.items()}
    renewed = set[str]()
    for cell in _below(meta, later):
        if cell.step is not None and cell.step in sure:
            other = sure[cell.step]
            for name in (*other["groups"], *other["deleted"]):
                ways.pop(name, None)
            continue
        who = "an unmarked cell" if cell.step is None else f"step {cell.step}"
        if meta["touches"] and reads_shown(cell.names.reads - renewed):
            return _touched(who)
        reads = replace(cell.names, asleep=asleep).woken_by(cell.names.fetches | cell.names.measures - numbers)
        named = [way for way in ways.values() if way != _RESULT]
        if named and (cell.names.dynamic or source.reaches_all(reads)):
            return f"{named[0]} could not be saved, and {who} may read it"
        for name in sorted(ways.keys() & reads - cell.names.renews):
            return f"{ways[name]} could not be saved, and {who} reads it"
        renewed |= cell.names.renews
        for name in cell.names.renews:
            ways.pop(name, None)
    return ""


def _numbers(meta: Meta) -> set[str]:
    """The lost names whose placeholders tell a number, see `Names.measures`."""
    return {row["name"] for row in meta["lost"] if row.get("number") is not None}


def _sure(meta: Meta, later: Later) -> dict[int, Meta]:
    """The later steps that will be restored, as far as that can be told: what is not sure is left out."""
    sure = {number: other for number, other in later.metas.items() if number > meta["step"] and _may(other, later)}
    sure = _left_alone(sure, later, meta)
    while True:
        all_of_them = {meta["step"]: meta, **sure}
        met = _met_by_other_code(sure, later, all_of_them)
        kept = {
            number: other
            for number, other in sure.items()
            if _reads_are_sure(other, later, all_of_them)
            and number not in met
            and not _comes_from_a_step(other, later, all_of_them)
            and not (may_be_needed(other, later.is_left, later.rewritten) and _lacks(other, later, sure))
        }
        if len(kept) == len(sure):
            return sure
        sure = kept


def _may(meta: Meta, later: Later) -> bool:
    """Whether the step, taken alone, will be restored."""
    step = meta["step"]
    cells = [cell for cell in later.cells or () if cell.step == step]
    codes = {cell.code for cell in cells}
    earlier = later.pipeline.steps.get(step)
    if not registry.lets(later.start, step) or meta["refused"] or (meta["marks"] and meta["kernel"] != later.kernel):
        return False
    if registry.other_numbers(meta, later.numbers):
        return False
    if later.cells is None and later.is_unedited:
        codes = {meta["code"]}
    if later.only_fresh and (codes != {meta["code"]} or not later.fresh(meta)):
        return False
    if earlier is not None and earlier.code and (codes or {meta["code"]}) != {earlier.code}:
        return False
    return later.cells is None or bool(cells)  # else it is not in the notebook any more


def _where_they_stand(steps: Mapping[int, Meta], cells: Iterable[Cell]) -> Iterator[tuple[Cell | None, Meta | None]]:
    """The cells in order, each with the step whose first cell it is; then the steps that have none."""
    todo = dict(steps)
    for cell in cells:
        yield cell, todo.pop(cell.step, None) if cell.step is not None else None
    for other in todo.values():
        yield None, other


def _left_alone(steps: Mapping[int, Meta], later: Later, meta: Meta) -> dict[int, Meta]:
    """Those for which what they read of unmarked cells, or hold of steps, will be what it was.

    The surroundings are what they are now for those between which and this step nobody sets any.
    """
    rebound, found, is_settled = set[str](), dict[int, Meta](), not _sets(meta)
    below = _below(meta, later)
    is_asked = steps and (meta["unsaved"] or meta["result"]) and any(cell.step is None for cell in below)
    altered = later.altered(below) if is_asked else frozenset[int]()  # goes through all cells: not for files alone
    for cell, other in _where_they_stand(steps, later.cells or ()):
        if cell is not None and cell.step is None:
            rebound |= cell.names.binds | cell.names.deletes
            is_settled &= not cell.sets
        elif (
            other is not None
            and other["step"] not in altered
            and rebound.isdisjoint({*other["reads"], *other["seen"]})
            and all(later.gives(other, name) for name in other["seen"])
            and not (is_settled and cell is not None and later.disturbed(other))
        ):
            found[other["step"]] = other
        is_settled &= cell is None or cell.step is None or (other is not None and not _sets(other))
    return found


def _sets(meta: Meta) -> bool:
    """Whether a step draws random numbers or sets surroundings."""
    return bool(meta["moved"] or meta["sets"])


def _reads_are_sure(meta: Meta, later: Later, sure: Mapping[int, Meta]) -> bool:
    """Whether all that the step reads of other steps is, or will be, what it was."""
    for name, (step, digest) in meta["reads"].items():
        if step in sure:
            if sure[step]["groups"].get(name) != digest:
                return False
        elif later.pipeline.producers.get(name) != (step, digest):
            return False
    return True


def _met_by_other_code(sure: Mapping[int, Meta], later: Later, steps: Mapping[int, Meta]) -> set[int]:
    """Those above which a step will run, with other code than is stored of it, that may change what they read."""
    fixed = {row["name"] for one in steps.values() for row in one["variables"] if row["type"] in _FIXED}
    touched, found = set[str](), set[int]()
    for cell, other in _where_they_stand(sure, later.cells or ()):
        if other is not None and not touched.isdisjoint({*other["reads"], *other["seen"]}):
            found.add(other["step"])
        if cell is None or cell.step is None or cell.step in steps:
            continue
        stored = later.metas.get(cell.step)
        if stored is None or stored["code"] != cell.code:
            touched |= cell.names.binds | cell.names.deletes | (cell.names.reads - fixed)
    return found


def _comes_from_a_step(meta: Meta, later: Later, steps: Mapping[int, Meta]) -> bool:
    """Whether a name that the step found made by none of the steps will be what one of them made."""
    unmade = set(meta["unmade"])
    if not unmade:
        return False
    made = {name for name, (step, _) in later.pipeline.producers.items() if step < meta["step"]}
    made |= steps[min(steps)]["groups"].keys()
    cells = [Cell(Names(), step) for step in sorted(steps)] if later.cells is None else later.cells
    for cell in cells:
        if cell.step == meta["step"]:
            break
        if cell.step is None:
            made -= cell.names.binds | cell.names.deletes
        elif cell.step in steps:
            made = (made | steps[cell.step]["groups"].keys()) - set(steps[cell.step]["deleted"])
    made -= meta["reads"].keys() | {name for name, value in meta["seen"].items() if value}
    return bool(made if "*" in unmade else made & unmade)
