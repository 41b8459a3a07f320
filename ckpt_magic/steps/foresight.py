"""All steps of a notebook judged in advance, from its cells and the stored files, without executing anything.

What a step read of unmarked cells is judged by the code that leads there (`values.origins`): the same code is taken
to give the same value, unless it opens files, asks for the time and the like, which nobody can tell in advance. A
step that is met decides by the values themselves, so it may turn out fresh where this says stale.
"""

from __future__ import annotations

import ast
import builtins
import functools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.steps import altering, freshness, needs, record
from ckpt_magic.steps.around import label
from ckpt_magic.steps.course import Course
from ckpt_magic.steps.freshness import Cause, Fact, Now, Verdict
from ckpt_magic.steps.lent import Lender
from ckpt_magic.steps.modules import FAR, Modules
from ckpt_magic.steps.needs import Cell
from ckpt_magic.steps.plan import Code
from ckpt_magic.steps.registry import StepCall
from ckpt_magic.steps.uses import PLACE, split
from ckpt_magic.values import ambient, canonical, outlines, spots
from ckpt_magic.values.code import effects, essence, varying
from ckpt_magic.values.code.effects import ABOVE, ANY_VARIABLE, CHANCE, FILES, OWN, SURROUNDINGS
from ckpt_magic.values.code.statements import Event, Statement, Step, touching
from ckpt_magic.values.origins import NOTHING, Origin, Past
from ckpt_magic.values.pickles import holding

Meta = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of a notebook, transformed; `text` is what `tree` was parsed from, to show how functions differ."""

    tree: ast.Module
    text: str


@dataclass(frozen=True, slots=True)
class PlannedStep(PlannedCell):
    """A step, with what it asks for and its code; `problem` says why that is none that could run."""

    call: StepCall
    code: Code
    problem: str = ""


Opens = Callable[[Iterable[str], Set[str]], str]
Facts = Callable[[Meta, PlannedStep], Mapping[str, Mapping[str, Fact]]]


def foresee(
    cells: Iterable[PlannedCell],
    metas: Mapping[int, Meta],
    facts: Facts,
    *,
    modules: Modules,
    reader: Callable[[], str],
    opens: Opens = lambda modules, words: "",
    will_run: Callable[[PlannedStep, Verdict, Above], bool],
) -> Iterator[tuple[PlannedStep, Verdict, Above]]:
    """Judge the steps of one pipeline.

    Parameters
    ----------
    cells
        The cells of the notebook, in order; steps of other pipelines as plain ones.
    metas
        META of the stored steps.
    facts
        Gives what is known now of files, modules, environment and versions, and of the step's code (`Evidence.now`).
    modules
        The user's own modules.
    reader
        Says who reads documentation or annotations; empty if nobody does.
    opens
        Says by which word of theirs what own modules give to code with certain words may vary; empty if it does not.
    will_run
        Tells whether a step will run, given its verdict and what is above it: later steps are judged by that.

    Yields
    ------
    PlannedStep, Verdict, Above
        Each step, what is to be said of its checkpoint, and what is known of the code above it.
    """
    rewritten: dict[str, int] = {}  # files that will be written anew, and by which step
    placed: dict[str, int] = {}  # parts of libraries that will be set anew
    steps: set[int] = set()  # those so far
    functions: dict[str, essence.Definition] = {}
    course = Course(Lender(modules))
    for cell in cells:
        if not isinstance(cell, PlannedStep):
            course.cell(cell.tree)
            functions.update(essence.definitions(cell.tree, cell.text))
            continue
        step, meta = cell.call.step, metas.get(cell.call.step)
        verdict = Verdict("missing")
        above = Above(course, functions, rewritten, placed, steps, metas, reader, opens)
        if cell.problem:
            verdict = Verdict("could not tell", (Cause("code", "", cell.problem),))
        elif meta is not None:
            verdict = record.by_either(meta, functools.partial(_verdict, above, cell, facts), Verdict("fresh"))
        yield cell, verdict, above
        steps.add(step)
        if meta is not None and not will_run(cell, verdict, above):
            course.step(record.as_step(meta), meta["source"])
        else:
            _will_run(course, cell, meta)
            rows = (meta["evidence"] or {}).get("written", ()) if meta is not None else ()
            rewritten.update({row["path"]: step for row in rows})
            sets = meta["sets"] if meta is not None else ()
            # what a fresh one runs again for, since nothing but the step can set that, is what it was
            again = meta["refused"] if meta is not None and verdict.state == "fresh" else ()
            placed.update({part: step for part in sets if split(part)[0] == PLACE and not _is_among(part, again)})


def _draws_seeded(meta: Meta) -> bool:
    return any(seeded for _, seeded in meta["drawn"].values())


def _is_among(part: str, refused: Iterable[str]) -> bool:
    """Whether a part is one of those that nobody can put back."""
    label = spots.label(split(part)[1])
    return any(text == label or text.startswith(f"{label} (") for text in refused)


def _verdict(above: Above, cell: PlannedStep, facts: Facts, meta: Meta) -> Verdict:
    if meta["evidence"] is not None:  # what the modules give that cells above use is known to a kernel alone
        meta = {**meta, "evidence": _with_above(meta["evidence"])}
    found = above.causes(meta, cell.code.names.imports)
    if cell.call.always:
        found.append(Cause("unclear", "", "--always"))
    return freshness.verdict(meta, Now(above.as_set(meta, facts(meta, cell)), found))


def _will_run(course: Course, cell: PlannedStep, meta: Meta | None) -> None:
    """Go on by a step that will run: nobody knows what it leaves in the names that it gives a value, or may change.

    What it did when it was saved is known, so that of what its code may do only that counts which that code did not
    do, or which its very words say.
    """
    past = course.past
    course.read_steps()
    before = course.read(meta["source"]) if meta is not None else []
    code = course.read(cell.tree)
    names = {*cell.code.names.binds, *(meta["groups"] if meta is not None else ())}
    names |= {name for one in (*before, *code) for name in one.touches if name.startswith("<")}
    names |= {name for one in code if not one.changes for name in one.binds}  # by their texts, too: `exec("a = 1")`
    names |= past.haunted | ({CHANCE} if meta is not None and meta["moved"] else set())
    if meta is not None and meta["code"] == cell.code.digest and not meta["sets"]:
        names = {name for name in names if not name.startswith("<surroundings")}  # it asks, and sets nothing
    past.define(before)
    touched, stored = past.touched_by(before), past.stored_by(before)
    past.define(code)
    more = past.stored_by(code) | past.risked_by(code) | (past.touched_by(code) - touched)
    names |= (past.aliases(more - names - past.modules) | past.led_to(past.stored_by(code))) - past.modules
    left = dict.fromkeys(name for name in names if name in cell.code.names.binds or not _is_builtin(name, past))
    course.step(Step(cell.call.step, left, cell.code.names.deletes), cell.tree)
    modules = (more - stored) & past.modules
    known = {one.digest for one in before}
    anything = any(one.anything and one.digest not in known for one in code)
    if modules or anything:
        past.add([touching(modules, f"step {cell.call.step} will run", anything=anything)])


def _with_above(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence with what modules rest on that cells above use for what a step reads."""
    above = evidence.get("asked", _NOTHING_ASKED)
    return {
        **evidence,
        "itself": evidence,
        "modules": {**evidence.get("above", {}), **evidence["modules"]},
        "files": [*evidence["files"], *above["files"]],
        "environ": {**above["environ"], **evidence["environ"]},
        "unclear": [*evidence["unclear"], *above["unclear"]],
    }


class Above:
    """What stands above a step."""

    def __init__(
        self,
        course: Course,
        functions: Mapping[str, essence.Definition],
        rewritten: Mapping[str, int],
        placed: Mapping[str, int],
        steps: Set[int],
        metas: Mapping[int, Meta],
        reader: Callable[[], str],
        opens: Opens,
    ) -> None:
        self._course = course
        self._past = course.past
        self._functions = functions
        self._rewritten = rewritten
        self._placed = placed
        self._steps = steps
        self._metas = metas
        self._reader = reader
        self._opens = opens
        self._lender = course.lender

    def causes(self, meta: Meta, imports: Set[str]) -> list[Cause]:
        """What has changed above a step, of all that it used; its code imports these modules."""
        evidence = meta["evidence"]
        if evidence is None:
            return []
        then = evidence["origins"] or {}
        found = [cause for name in sorted(meta["reads"]) if (cause := self._input(name, meta))]
        paths = {row["path"] for row in evidence["files"]}
        found += [
            Cause("file", path, f"`{path}` is written by step {step}, which will run")
            for path, step in self._rewritten.items()
            if path in paths or os.path.dirname(path) in paths
        ]
        found += [
            Cause("setting", "", f"`{label(part)}` is set by step {self._placed[part]}, which will run")
            for part, row in meta["around"].items()
            if row is not None and part in self._placed
        ]
        found += [
            Cause("setting", "", f"{self._label(part)} by step {step}, which is not above it any more")
            for part, step in evidence.get("set_by", {}).items()
            if step not in self._steps and (part != CHANCE or _draws_seeded(meta))
        ]
        if evidence["origins"] is None:
            return [*found, Cause("unclear", "", "what ran above it is not recorded")]
        found += self._documentation(meta)
        names = {*meta["seen"], *meta["unmade"]} - {"*"}
        found += [cause for name in sorted(names) if (cause := self._value(name, meta))]
        if "*" in meta["unmade"]:  # it may read any name, `globals()`
            known = {*meta["reads"], *meta["seen"], *meta["unmade"]}
            found += [Cause("value", name, f"`{name}` was not there") for name in sorted(self._there() - known)]
        apart, bindings = evidence.get("apart", {}), evidence.get("apart_by", {})
        found += [
            Cause("name", name, f"`{name}` may not be the one any more that the step's values are of")
            for name in sorted(apart.keys() | bindings.keys())
            if self._past.bindings(record.led_to(name, apart.get(name, ()))) != bindings.get(name)
        ]
        if meta["near"] is not None:
            near = holding.near(self._past, record.replaced(meta))
            found += [
                Cause("value", name, f"`{name}` may share otherwise what the step changes")
                for name in sorted(near.keys() | meta["near"])
                if near.get(name) != meta["near"].get(name)
            ]
        if _draws_seeded(meta):
            if self._differs(CHANCE, meta):
                found.append(Cause("random", "", "other code above it seeds or draws random numbers"))
            elif opens := self._past.origin(CHANCE).opens:
                found.append(Cause("unclear", "", f"random numbers may be others each time (`{opens}`)"))
        itself = evidence["itself"]
        own, then_acting = itself["modules"], evidence.get("acting") or ()
        acting = self._lender.acting(own.keys(), itself["packages"].keys() | {"builtins"})
        for one in acting:
            if one not in evidence["modules"]:
                found.append(Cause("module", one, f"module `{one}`, which sets something that it uses, was not there"))
        if [one for one in acting if one in then_acting] != [one for one in then_acting if one in acting]:
            told = ", ".join(f"`{one}`" for one in acting)
            found.append(Cause("module", "", f"modules that set something that it uses ({told}) are in another order"))
        if self._changes_modules(meta):
            told = ", ".join(f"`{one}`" for one in sorted(own)[:3])
            found.append(Cause("module", "", f"other code above it may change what modules hold ({told})"))
        labels = {one for one in then if one.startswith("<")} | {f"<{one}>" for one in (*FAR, *imports)}
        for module in sorted(labels - _NO_MODULES - {f"<{one}>" for one in own}):
            if self._past.of_modules([module[1:-1]]).digest != then.get(module, NOTHING.digest):
                line = f"other code above it changes what module `{module[1:-1]}` holds"
                found.append(Cause("module", module[1:-1], line))
        if self._sets_otherwise(meta):
            found.append(Cause("setting", "", "other code above it sets the environment, the folder or options"))
        opens = self._past.origin(ANY_VARIABLE).opens if itself["environ"] else ""
        if opens and ANY_VARIABLE not in evidence.get("asked", _NOTHING_ASKED).get("told", ()):
            told = ", ".join(f"`{name}`" for name in sorted(itself["environ"])[:3])
            found.append(Cause("unclear", "", f"code above it may set {told} otherwise each time (`{opens}`)"))
        rests = evidence.get("asked", _NOTHING_ASKED).get("rests")
        if rests and self._differs(ABOVE, meta, *rests):
            found.append(Cause("unclear", "", "other code above it sets what cells above it read"))
        there = record.paths([*itself["files"], *itself["written"]], own)
        written = effects.of_files(there) if "rests" in evidence else ()
        if written and self._differs(FILES, meta, *written):
            found.append(Cause("unclear", "", _WRITES))
        return found

    def gives(self, meta: Meta, name: str) -> bool:
        """Whether a name of unmarked cells surely is what a step that stands anywhere below found it to be."""
        evidence = meta["evidence"]
        return evidence is not None and evidence["origins"] is not None and self._value(name, meta) is None

    def gives_otherwise(self, cause: Cause, meta: Meta) -> bool:
        """Whether a cause is about a file, module or variable from which cells above take values that the step read.

        Or about a file that the step reads and that code above it will write.
        """
        evidence = meta["evidence"]
        asked = _NOTHING_ASKED if evidence is None else evidence.get("asked", _NOTHING_ASKED)
        if cause.kind == "module" and not cause.thing:
            return self._sets_in_modules(meta)
        if cause.kind == "module":
            above = set() if evidence is None else evidence.get("above", {}).keys() - evidence["modules"].keys()
            return cause.thing in above and not above.isdisjoint(self._past.origin(*meta["seen"]).imports)
        if cause.kind == "environment" and asked.get("told"):
            return cause.thing in asked["environ"].keys() - evidence["environ"].keys()
        if evidence is None or cause.thing in needs.written(meta):
            return False
        if cause.kind != "file":
            return cause.line == _WRITES and bool(evidence["files"])
        of_cells = {row["path"] for row in asked["files"] if asked.get("told")}
        return cause.thing in self._rewritten or cause.thing in of_cells - {row["path"] for row in evidence["files"]}

    def disturbs(self, meta: Meta) -> bool:
        """Whether code above seeds or sets otherwise than a step found it that stands anywhere below."""
        evidence = meta["evidence"]
        if evidence is None or evidence["origins"] is None:
            return False
        is_drawn = _draws_seeded(meta) and self._differs(CHANCE, meta)
        return is_drawn or self._sets_otherwise(meta) or self._sets_in_modules(meta)

    def altered(self, meta: Meta, metas: Mapping[int, Meta], below: Collection[Cell]) -> Set[int]:
        """The later steps that will find something changed in place by cells below; see `altering`."""
        return altering.altered(self._course.onward(), meta, metas, below)

    def leaves_the_same(self, cell: PlannedStep, meta: Meta, verdict: Verdict) -> bool:
        """Whether a step surely leaves what it left when it was saved, though it will run: it only shows other things.

        Its code has a `print(x)` more or less, say, and all else that it rests on is as it was.
        """
        if {cause.kind for cause in verdict.causes} != {"code"} or meta["evidence"] is None:
            return False
        self._course.read_steps()
        before, code = self._course.read(meta["source"]), self._course.read(cell.tree)
        varies = set[str]().union(*({one.opens, *one.varying} for one in code if one.opens))
        texts = set[str]().union(*(one.texts for one in code))
        if meta["drawn"] or any(CHANCE in one.touches for one in code):
            return False  # `default_rng()` begins somewhere else each time
        if not varying.reads_only(varies, meta["evidence"]["packages"].keys() | cell.code.names.imports, texts):
            return False
        self._past.define(code)
        then, now = ([one.digest for one in some if not self._is_idle(one)] for some in (before, code))
        return then == now

    def _is_idle(self, one: Statement) -> bool:
        """Whether a statement changes nothing that the notebook has."""
        acts = one.binds or one.deletes or one.imports or one.changes or one.anything or one.stores or one.kept
        return not (acts or self._past.touched_by([one]))

    def writes(self, path: str) -> bool:
        """Whether an unmarked cell says that it writes or removes a file of this name."""
        return bool(self._past.origin(effects.of_file(path)).places)

    def as_set(self, meta: Meta, facts: Mapping[str, Mapping[str, Fact]]) -> Mapping[str, Mapping[str, Fact]]:
        """The facts, with the variables that code above sets as it set them then: whether that differs is a cause."""
        evidence = meta["evidence"]
        if evidence is None or "environment" not in facts:
            return facts
        asked = evidence.get("asked", _NOTHING_ASKED)
        then, now = freshness.recorded(meta)["environment"], dict(facts["environment"])
        for one, name in record.variables_set(evidence, meta["around"]).items():
            asks = (way for way in (one, ANY_VARIABLE) if self._past.origin(way).opens)
            found = asked["environ"].get(name, _UNASKED)  # by the code that sets it
            is_same = found is _UNASKED or now[name].token == (found or "not set")
            if is_same and {*asks} <= {*asked.get("told", ())}:
                now[name] = then[name]
        return {**facts, "environment": now}

    @staticmethod
    def _label(part: str) -> str:
        return "random numbers were drawn" if part == CHANCE else f"`{label(part)}` was set"

    def _sets_otherwise(self, meta: Meta) -> bool:
        return self._differs(SURROUNDINGS, meta, *meta["evidence"].get("rests", [SURROUNDINGS]))

    def _changes_modules(self, meta: Meta) -> bool:
        """Whether other code than then may change what own modules hold that the step goes through."""
        evidence = meta["evidence"]
        origin = self._past.of_modules(self._lender.ways(_own_modules(evidence)))
        return bool(origin.digest != evidence["origins"].get(OWN, NOTHING.digest))

    def _sets_in_modules(self, meta: Meta) -> bool:
        """Whether it sets attributes there, or did: what functions of these modules are given is for them to judge."""
        if not self._changes_modules(meta):
            return False
        own = _own_modules(meta["evidence"])
        was_set = any(
            row is not None and split(part)[1].partition(":")[0] in own for part, row in meta["around"].items()
        )
        return was_set or self._past.stores_in(self._lender.ways(own))

    def _differs(self, name: str, meta: Meta, *parts: str) -> bool:
        then = meta["evidence"]["origins"].get(name, NOTHING.digest)
        return bool(self._past.origin(*(parts or (name,))).digest != then)

    def _is_seeded(self) -> bool:
        """Whether code above may seed generators."""
        self._course.read_steps()
        return any(
            one.seeds for event in self._past.events for one in (event.code if isinstance(event, Step) else [event])
        )

    def _there(self) -> set[str]:
        """Names that cells will have bound, those of modules and of steps aside."""
        found = set[str]()
        for event in self._past.events:
            if isinstance(event, Statement):
                found = (found | event.binds) - event.modules - (set() if event.asleep else event.deletes)
            else:
                found -= event.left.keys()
        return found

    def _is_module(self, name: str) -> bool:
        """Whether a name is that of a module, and of nothing else."""
        binders = [one for one in self._past.events if name in (one.binds if isinstance(one, Statement) else one.left)]
        return bool(binders) and all(isinstance(one, Statement) and name in one.modules for one in binders)

    def _any_text(self) -> str:
        """How code above runs texts that are not known, and may set something in any module; empty if none does."""
        statements = (one for one in self._past.events if isinstance(one, Statement))
        return next((one.opens for one in statements if one.anything and one.opens), "")

    def _documentation(self, meta: Meta) -> Iterator[Cause]:
        """Functions that differ in documentation alone, if somebody reads that: their origin does not tell.

        Nor may the step hold them, or an instance of them: those of the other ones would be of none that there is.
        """
        held = {name.partition(".")[0] for name in meta["definitions"]}
        for name, then in meta["evidence"]["functions"].items():
            defined = self._functions.get(name)
            if defined is None or not _differ_in_documentation(then, defined):
                continue
            if name.partition(".")[0] in held:
                yield Cause("function", name, f"`{name}` is defined otherwise", then["text"], defined.text)
            elif reader := self._reader():
                line = f"the documentation of `{name}` changed, and {reader} reads documentation"
                yield Cause("function", name, line, then["text"], defined.text)

    def _input(self, name: str, meta: Meta) -> Cause | None:
        """A name that a step made; it has an origin if unmarked cells might have changed it in place."""
        (step, digest), then = meta["reads"][name], (meta["evidence"]["origins"] or {}).get(name)
        maker = next((one for one in reversed(self._past.events) if _makes(one, name)), None)
        is_touched = isinstance(maker, Statement) or bool(self._past.touched([name]))
        if is_touched and then is not None:
            origin = self._past.origin(name)
            if origin.digest == then:  # the same code, which did not change it
                return self._cannot_tell(name, origin, meta)
        if maker is None:
            return Cause("input", name, f"`{name}` comes from no step, was from step {step}")
        if not isinstance(maker, Step) or is_touched:
            return Cause("input", name, f"`{name}` comes from an unmarked cell, was from step {step}")
        left = maker.left.get(name)
        if left == digest:
            return None
        if left is None and name in maker.left:
            return Cause("input", name, f"step {maker.number}, which makes `{name}`, will run")
        if maker.number != step:
            return Cause("input", name, f"`{name}` comes from step {maker.number}, was from step {step}")
        cause = Cause("input", name, f"`{name}` of step {step} is not what it was")
        return cause.having(meta["inputs"].get(name), self._metas[step]["outlines"].get(name))

    def _value(self, name: str, meta: Meta) -> Cause | None:
        """A name of unmarked cells."""
        evidence, origin = meta["evidence"], self._past.origin(name)
        if origin.runs:
            return Cause("input", name, f"`{name}` is made from what step {origin.runs[0]} leaves, which will run")
        if origin.digest == evidence["origins"].get(name, NOTHING.digest):
            return self._cannot_tell(name, origin, meta)
        if origin.last is not None:
            if canonical.fingerprint(origin.last.value) == meta["seen"].get(name):
                others: Sequence[str] = next((names for names in meta["same"] or () if name in names), [])
                told = ", ".join(f"`{one}`" for one in others)
                return Cause("value", name, f"{told} are no more one object") if others else None
            was, now = evidence["shown"].get(name, ""), repr(origin.last.value)
            shown = f" (was {was}, is {now})" if was else ""
            cause = Cause("value", name, f"`{name}` has another value{shown}", was, now if was else "")
            return cause.having(meta["inputs"].get(name), outlines.outline(origin.last.value, _as_written))
        then, defined = evidence["functions"].get(name), self._functions.get(name)
        if then is not None and defined is not None:
            line = f"`{name}`, or what it uses, is defined otherwise"
            return Cause("function", name, line, then["text"], defined.text)
        return Cause("value", name, f"`{name}` is made by other code")

    def _cannot_tell(self, name: str, origin: Origin, meta: Meta) -> Cause | None:
        """The code is the same: may its outcome be another one all the same?"""
        if _is_builtin(name, self._past):
            return None
        if self._is_module(name):  # what is done to it is told of the surroundings, of chance and of modules
            word = self._any_text()
            return Cause("unclear", name, f"`{name}` may hold something else each time (`{word}`)") if word else None
        if name in meta["evidence"].get("asked", _NOTHING_ASKED).get("told", ()):
            return None  # by files and variables, which are compared
        modules = meta["evidence"]["modules"] if origin.imports else ()
        word = origin.opens or (self._opens(modules, origin.words) if modules else "")
        if not word and origin.drawn and not self._is_seeded():
            word = origin.drawn
        return Cause("unclear", name, f"`{name}` may have another value each time (`{word}`)") if word else None


def _is_builtin(name: str, past: Past) -> bool:
    """Whether a name is one of Python's, and no code can have given it to something else."""
    return hasattr(builtins, name) and not any(
        event.anything or "builtins" in event.imports or name in event.binds
        if isinstance(event, Statement)
        else name in event.left
        for event in past.events
    )


def _differ_in_documentation(then: Mapping[str, Any], defined: essence.Definition) -> bool:
    """Whether a function or class that was used is another one by documentation alone: by its digest, or its text."""
    digests = then["digest"], essence.digest_of_text(then["text"])
    return any(essence.differ_in_documentation(one, defined.digest) for one in digests if one)


def _own_modules(evidence: Mapping[str, Any]) -> Collection[str]:
    """The user's own modules that a step goes through, those of cells above it aside."""
    found: Collection[str] = evidence.get("itself", evidence)["modules"]
    return found


_NO_MODULES: Final = frozenset({ABOVE, CHANCE, SURROUNDINGS, FILES, OWN})


_UNASKED: Final = "?"
_WRITES: Final = "other code above it writes files, perhaps those that it reads"
_NOTHING_ASKED: Final[Mapping[str, Any]] = {"files": [], "environ": {}, "unclear": []}


def _as_written(label: str, value: Any) -> str | None:
    return None if ambient.is_secret(label, ambient.SECRET_NAMES) else outlines.short(value)


def _makes(event: Event, name: str) -> bool:
    if isinstance(event, Step):
        return name in event.left or name in event.deleted
    return event.anything or name in event.binds
