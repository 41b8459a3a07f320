"""`ckpt-magic plan`: what the next run of a notebook would do with each step, and what it would cost.

Reads the notebook's file and the records of its checkpoints; executes nothing and loads no value.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ckpt_magic.errors import CheckpointError
from ckpt_magic.faces import verbs
from ckpt_magic.faces.marking import split_step
from ckpt_magic.faces.status import duration, grid, restore_estimate
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import confirming, needs, numbers, record, registry
from ckpt_magic.steps.evidence import Evidence
from ckpt_magic.steps.foresight import Above, PlannedCell, PlannedStep, foresee
from ckpt_magic.steps.freshness import Cause, Fact, Now, Verdict, causes, in_one_line
from ckpt_magic.steps.inputs import Files
from ckpt_magic.steps.judging import hidden, written
from ckpt_magic.steps.needs import Cell, Later
from ckpt_magic.steps.plan import Body, code_of
from ckpt_magic.steps.registry import Decision, Known, Pipeline, PipelineKey, Policy, StartPoint, StepCall, parse_start
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.stored import printable
from ckpt_magic.values.code import essence, source, transformed
from ckpt_magic.values.pickles.makers import Makers

Met = Callable[[PipelineKey, int], bool]

# Causes by which a checkpoint fits no kernel, whatever the start point; for the first, `--stale restore` vouches.
_VOUCHED_FOR = frozenset({"function", "name", "value", "key"})
_FORESEEN = frozenset({"input", "random", "setting"})
_START = re.compile(r"^[ \t]*%ckpt_start[ \t]+(\d+|auto|end|none)\b", re.MULTILINE)


class PlanRows(list[dict[str, Any]]):
    """What the next run would do, a row per step: a list of dicts that shows itself as a table.

    Each row has the keys `step`, `name`, `version`, `title`, `next` (`run`, `restore`), `state` (`fresh`, `stale`,
    `missing`, `foreign`), `reasons` (dicts with `kind`, `thing`, `line`, `old`, `new`), `note` (what the user
    accepted), `reason` (why it would run, or is restored all the same, in one line), `run_seconds` (what the run took
    that was saved), `restore_seconds` (an estimate) and `bytes`.

    Parameters
    ----------
    found
        The rows.
    title
        What is planned.
    """

    def __init__(self, found: Iterable[dict[str, Any]], title: str) -> None:
        super().__init__(found)
        self._title = title

    def __repr__(self) -> str:
        lines = [
            [
                str(row["step"]),
                row["title"] or "",
                row["next"],
                row["state"],
                duration(row["run_seconds"]),
                duration(row["restore_seconds"]) if row["next"] == "restore" else "",
                row["reason"] or "; ".join(cause["line"] for cause in row["reasons"]),
            ]
            for row in self
        ]
        headings = ["step", "title", "next", "state", "ran", "restore", "reason"]
        if not any(row["title"] for row in self):
            headings.remove("title")
            lines = [[*line[:1], *line[2:]] for line in lines]
        table = grid(headings, lines) if self else "the notebook has no steps"
        return "\n".join([printable(self._title), table, self._total()])

    def _total(self) -> str:
        restored = [row for row in self if row["next"] == "restore"]
        saved = sum((row["run_seconds"] or 0) - (row["restore_seconds"] or 0) for row in restored)
        again = [row["run_seconds"] for row in self if row["next"] == "run"]
        runs = f"{len(again)} to run"
        if any(again):
            known = "" if None not in again else " and more"
            runs += f" ({duration(sum(seconds or 0 for seconds in again))} last time{known})"
        return f"{len(restored)} to restore (saves {duration(max(saved, 0))}), {runs}"


def plan(
    notebook: Path,
    settings: Settings,
    keyring: Keyring,
    *,
    pipeline: Mapping[str, Any],
    start: str | None = None,
) -> PlanRows:
    """Plan the next run of a notebook.

    Parameters
    ----------
    notebook
        Its file.
    settings
        As they hold in it.
    keyring
        The keys of this user.
    pipeline
        `name`, `version` and `folder` as they were typed, which win over what the cells say; None where they were not.
    start
        The start point; by default that of the notebook's last `%ckpt_start` or of the settings, else `auto`.

    Raises
    ------
    UsageError
        It is no notebook, or a line in it is wrong.
    """
    sources = verbs.code_cells(notebook)
    point = _start(sources, settings, start)
    cells = list(_cells(sources, settings, pipeline))
    judged = ((key, _judged(key, cells, notebook, settings, keyring, point)) for key in _keys(cells))
    rows = [_row(key, *one) for key, found in judged for one in found]
    return PlanRows(rows, f"{notebook.name}, start point {point}: nothing is executed")


def asked(
    sources: Sequence[str],
    notebook: Path,
    settings: Settings,
    keyring: Keyring,
    *,
    pipeline: Mapping[str, Any],
    start: str | None = None,
    met: Met = lambda key, step: False,
) -> dict[tuple[PipelineKey, int], tuple[Verdict, Decision]]:
    """Judge the steps of a notebook for `status`, and say what its next run would do with them.

    The verdicts are those of a run that restores all that is fresh, whatever the start point.

    Parameters
    ----------
    sources
        Texts of its code cells.
    notebook, settings, keyring, pipeline, start
        As for `plan`.
    met
        Tells which steps a kernel has run or restored: they are there, and need not run again.
    """
    point = _start(sources, settings, start)
    cells = list(_cells(sources, settings, pipeline))
    found = {}
    for key in _keys(cells):
        for call, verdict, decision, _ in _judged(key, cells, notebook, settings, keyring, point, met, by="auto"):
            found[key, call.step] = verdict, decision
        if point != "auto":  # where a stale step is restored, those below it do not run for it
            for call, _, decision, _ in _judged(key, cells, notebook, settings, keyring, point, met):
                found[key, call.step] = found[key, call.step][0], decision
    return found


def _start(sources: Sequence[str], settings: Settings, start: str | None) -> StartPoint:
    said = next((match[1] for text in reversed(sources) for match in _START.finditer(text)), None)
    configured = settings.start("")
    return parse_start(start or (configured if configured != "none" else said or "auto"))


def _keys(cells: Iterable[_Cell]) -> list[PipelineKey]:
    return list(dict.fromkeys(key for key, _ in cells if key is not None))


def _judged(
    key: PipelineKey,
    cells: Sequence[_Cell],
    notebook: Path,
    settings: Settings,
    keyring: Keyring,
    start: StartPoint,
    met: Met = lambda key, step: False,
    *,
    by: Literal["start", "auto"] = "start",
) -> Iterator[tuple[StepCall, Verdict, Decision, _Stored]]:
    """Judge the steps of one pipeline and decide about them; later ones are judged `by` what these do with a start."""
    entries = Store(key.folder).entries(key.name, key.version)
    stored = {entry.step: _stored(entry.path, key, entry.step, keyring) for entry in entries}
    metas = {step: one.meta for step, one in stored.items() if one.meta is not None}
    mine = [cell if owner in (None, key) else PlannedCell(cell.tree, cell.text) for owner, cell in cells]
    evidence = Evidence(notebook.absolute().parent, {}, {}, Makers({}), lambda: keyring, is_kernel=False)
    left = written(metas.values())
    texts, environ = dict[str, str](), dict[str, str]()
    evidence.plan(texts, environ)

    fresh = dict[int, bool]()  # steps further down, as long as nothing more is taken to be there

    def in_order() -> Iterator[PlannedCell]:
        """The cells; of those left behind what they will have written and set is taken to be there."""
        for cell in mine:
            yield cell
            for node in cell.tree.body:
                before = environ.copy(), texts.copy()
                environ.update([one] if (one := transformed.variable_set(node)) is not None else ())
                _write(node, evidence.files, texts)
                if (added := transformed.folder_added(node)) is not None:
                    evidence.modules.look_in(evidence.files.path(added[0]), first=added[1])
                if added is not None or before != (environ, texts):
                    fresh.clear()

    @functools.cache
    def reader() -> str:
        if any(essence.reads_documentation(cell.text) for cell in mine):
            return "a cell"
        return evidence.reader_among(metas.values())

    def facts(meta: Mapping[str, Any], cell: PlannedStep) -> dict[str, dict[str, Fact]]:
        if meta["evidence"] is None:
            return {}
        call, code = cell.call, cell.code
        found = evidence.now(
            meta,
            call=call,
            code=code,
            hidden=hidden(key),
            written=lambda: left,
            metas=metas.values,
            documentation=reader,
        )
        if keys := (*call.key, *meta["evidence"]["key"]):
            found["key"] = {
                text: Fact(None, text=f"what `--key {text}` gives is known in the run alone") for text in keys
            }
        return found

    def is_fresh(meta: Mapping[str, Any]) -> bool:
        """Whether what a step rests on besides values is as it was."""
        if (step := meta["step"]) not in fresh:
            cells = [one for one in mine if isinstance(one, PlannedStep) and one.call.step == step]
            fresh[step] = bool(cells) and not causes(meta, Now(facts(meta, cells[-1]), []))
        return fresh[step]

    rewritten = set[str]()
    deciding = _Deciding(
        start, settings.stale(), mine, metas, is_fresh, lambda row: evidence.files.is_same(row) is not False, rewritten
    )
    at_first = replace(deciding, start="auto")
    decision = Decision("run")

    def will_run(cell: PlannedStep, found: Verdict, above: Above) -> bool:
        decided = decision if by == "start" else at_first.decide(cell, found, above)
        will = not met(key, cell.call.step) and decided.action != "restore"
        will = will and not above.leaves_the_same(cell, metas[cell.call.step], found)
        deciding.goes_on(cell, will=will)
        return will

    judged = foresee(
        in_order(), metas, facts, modules=evidence.modules, reader=reader, opens=evidence.opens, will_run=will_run
    )
    for cell, found, above in judged:  # each is decided about before it is asked whether it will run
        one = stored.get(cell.call.step, _Stored())
        verdict = Verdict("foreign", (Cause("evidence", "", one.problem),)) if one.problem else found
        decision = deciding.decide(cell, verdict, above)
        if decision.action != "restore" and one.meta is not None:
            rewritten |= needs.written(one.meta)
        yield cell.call, verdict, decision, one


def _write(node: ast.stmt, there: Files, texts: dict[str, str]) -> None:
    """Put the text of a file that `%%writefile` will have written among those of others; see `Files.planned`."""
    if (one := transformed.file_written(node)) is not None:
        name, text, is_added = one
        path = there.path(os.path.expanduser(name))
        texts[path] = (texts.get(path, _text_of(path)) if is_added else "") + text


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class _Deciding:
    """Gathers what `registry.decide` rests on for a kernel in which nothing has run."""

    start: StartPoint
    policy: Policy
    cells: Sequence[PlannedCell]
    metas: Mapping[int, Mapping[str, Any]]
    is_fresh: Callable[[Mapping[str, Any]], bool]
    is_left: Callable[[Mapping[str, Any]], bool]
    rewritten: set[str]  # files that the steps write that will run, as far as they were decided about
    pipeline: Pipeline = field(default_factory=Pipeline)
    known: list[Cell] = field(default_factory=list[Cell])  # what is known of all cells, once it is asked for

    def goes_on(self, cell: PlannedStep, *, will: bool) -> None:
        """Note which values a step will have given names that is restored, or `will` run."""
        meta, producers = self.metas.get(cell.call.step), self.pipeline.producers
        for name in (*cell.code.names.binds, *((*meta["groups"], *meta["deleted"]) if meta is not None else ())):
            producers.pop(name, None)
        if meta is not None and not will:
            producers.update({name: (cell.call.step, digest) for name, digest in meta["groups"].items()})

    def decide(self, cell: PlannedStep, verdict: Verdict, above: Above) -> Decision:
        """Decide about a step that is judged so, and has this code above it."""
        if verdict.state == "foreign" or cell.problem:
            return Decision("run", verdict.line)

        def judge(meta: Mapping[str, Any] | None) -> Decision:
            known = Known(
                self.start,
                meta,
                cell.code.digest,
                "",
                "cell",
                Pipeline(),
                policy=self.policy,
                numbers=numbers.of_this_process(),
            )
            if meta is not None:
                of_values = (
                    one for one in verdict.causes if one.kind in _VOUCHED_FOR or above.gives_otherwise(one, meta)
                )
                known = replace(
                    known,
                    same=meta["same"] or (),
                    changed=in_one_line(of_values),
                    foreseen=in_one_line(cause for cause in verdict.causes if cause.kind in _FORESEEN),
                    needed=self._needed(cell, meta, above),
                    stale=verdict.line,
                )
            return registry.decide(cell.call, known)

        meta = self.metas.get(cell.call.step)
        return judge(None) if meta is None else record.by_either(meta, judge, Decision("restore"))

    def _needed(self, cell: PlannedStep, meta: Mapping[str, Any], above: Above) -> str:
        """Which value that the checkpoint lacks is needed below, and by whom."""
        rewritten = self.rewritten | {path for path in needs.written(meta) if above.writes(path)}
        if not needs.may_be_needed(meta, self.is_left, rewritten):
            return ""
        if not self.known:
            self.known.extend(map(_as_known, self.cells))
        below = self.known[self.cells.index(cell) + 1 :]
        later = {step: one for step, one in sorted(self.metas.items()) if step > meta["step"]}
        known = Later(
            self.start,
            later,
            below,
            only_fresh=self.start == "auto" or self.policy != "restore",
            pipeline=self.pipeline,
            gives=above.gives,
            disturbed=above.disturbs,
            fresh=self.is_fresh,
            numbers=numbers.of_this_process(),
            altered=functools.partial(above.altered, meta, later),
            is_left=self.is_left,
            vouched=cell.call.stale == "restore",
            before={step: one for step, one in self.metas.items() if step < meta["step"]},
            rewritten=rewritten,
        )
        return needs.needed(meta, known)


def _as_known(cell: PlannedCell) -> Cell:
    if isinstance(cell, PlannedStep):
        return Cell.of(cell.tree, cell.code.names, cell.call.step, cell.code.digest)
    return Cell.of(cell.tree, source.names(cell.tree))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is stored of a step: META, size in bytes; `problem` says why it may not be read."""

    meta: Mapping[str, Any] | None = None
    size: int = 0
    problem: str = ""


def _stored(path: Path, key: PipelineKey, step: int, keyring: Keyring) -> _Stored:
    try:
        found = record.completed(files.open_checkpoint(path, keyring))
    except CheckpointError as error:
        return _Stored(None, problem=str(error).splitlines()[0])
    if found.problem is not None:
        return _Stored(None, found.size, str(found.problem).splitlines()[0])
    if not files.belongs(found.meta, key.name, key.version, step):
        return _Stored(None, found.size, "the file belongs to another pipeline")
    if found.meta["kind"] == "method":
        return _Stored(None, found.size, "the file was written by a method of a script")
    return _Stored({**found.meta, "confirmed": confirming.confirmed(found, keyring)}, found.size)


def _row(key: PipelineKey, call: StepCall, verdict: Verdict, decision: Decision, stored: _Stored) -> dict[str, Any]:
    meta = stored.meta or {}
    restored = decision.action == "restore"
    return {
        "step": call.step,
        "name": key.name,
        "version": key.version,
        "title": call.title,
        "next": "restore" if restored else "run",
        **verdict.as_row(),
        "reason": verdict.note or verdict.line if restored else decision.reason,
        "run_seconds": meta.get("seconds"),
        "restore_seconds": restore_estimate(meta, stored.size) if meta else None,
        "bytes": stored.size or None,
    }


# -- the notebook's cells -------------------------------------------------------------------------------------------


_Cell = tuple[PipelineKey | None, PlannedCell]  # the pipeline if it is a step


def _cells(sources: Sequence[str], settings: Settings, pipeline: Mapping[str, Any]) -> Iterator[_Cell]:
    """The cells of a notebook; unmarked ones that are no code that could run are left out."""
    from IPython.core.inputtransformer2 import TransformerManager  # as `!ls` and `%time` are

    transform = TransformerManager().transform_cell
    given = {option: value for option, value in pipeline.items() if value is not None}
    for text, (_, place) in zip(sources, verbs.places(sources), strict=True):
        line, body = split_step(text)
        plain, tree, problem = body, ast.Module([], []), ""
        try:
            plain = transform(body)
            tree = ast.parse(plain)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = f"its code cannot run: {type(error).__name__}: {error}"
        if line is not None:
            call = verbs.parse_step(line)
            code = code_of(Body(body, tree, "", text))
            yield settings.resolve(replace(call, **(place | given))), PlannedStep(tree, plain, call, code, problem)
        elif not problem:
            yield None, PlannedCell(tree, plain)
