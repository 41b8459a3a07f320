"""The steps of this kernel, the start points, and the decision whether a step runs or is restored.

`decide` is pure: all that it needs to know comes in as records. The registry knows no file, no value
and no shell; `session` fills it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from ckpt_magic.errors import UsageError

StartPoint = int | Literal["auto", "end", "none"]
Policy = Literal["restore", "run", "error"]  # what a number does with a stale step
POLICIES: tuple[Policy, ...] = ("restore", "run", "error")
HASH = "hash"  # among the settings of a step: what tells processes apart in which `hash` gives other numbers
ADDRESSES = "addresses"  # what tells the process from all others in which `id` gave numbers that the step left
NUMBERS = {
    HASH: "what `hash` gives is another number in this kernel",
    ADDRESSES: "what `id` gives is another number in this kernel",
}
_LAST_START = 10**9  # past the last step that a file name has room for


@dataclass(frozen=True, slots=True)
class StepCall:
    """One `%%step` line, or one method of a `Checkpoint`: what the user asked for."""

    step: int
    name: str | None = None
    version: str | None = None
    folder: str | None = None
    title: str | None = None
    save: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    force: bool = False
    always: bool = False
    key: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    stale: Policy | None = None


@dataclass(frozen=True, slots=True)
class PipelineKey:
    """All state of a kernel is kept per folder, name and version."""

    folder: Path
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What this kernel knows of one step.

    Attributes
    ----------
    state
        `ran`, `restored`, `failed` (the cell), `not saved` (the cell ran, its checkpoint did not come about).
    reason
        Why, in words for people.
    code
        Digest of the cell's code, comments and formatting aside.
    run_seconds, restore_seconds
        How long it took here; None where it did not happen here.
    """

    step: int
    state: Literal["ran", "restored", "failed", "not saved"]
    reason: str = ""
    code: str = ""
    title: str | None = None
    run_seconds: float | None = None
    restore_seconds: float | None = None


@dataclass(slots=True)
class Pipeline:
    """What happened to one pipeline in this kernel.

    Attributes
    ----------
    steps
        The steps that ran or were restored here.
    producers
        Per name the step that gave it its value here and the digest of its sharing group.
    outlines
        Of these values, as the steps left them.
    written
        Per name every step that ever wrote it here.
    failed
        Per name the step whose failed run wrote it.
    used
        Per name of a lost value that an unmarked cell has used all the same, the step that had made it.
    held
        Per name what a step that ran here has set, that may hold the value, and that no restore brings back.
    files
        Per file the step that had left it, as its checkpoint says, and was restored here.
    """

    steps: dict[int, StepRecord] = field(default_factory=dict)
    producers: dict[str, tuple[int, str]] = field(default_factory=dict)
    outlines: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """All that a decision rests on.

    Attributes
    ----------
    start
        The start point that holds for this step.
    meta
        META of the step's checkpoint; None if there is none that may be read.
    code
        Digest of the code that would run.
    kernel
        Identity of this kernel.
    kind
        `cell` or `method`.
    pipeline
        What happened here so far.
    elsewhere
        Digests, as they are now, of names in META `reads` that are here but come from no step of the pipeline.
    unmarked
        Names that an unmarked cell has bound.
    gone
        Steps that META `reads` names, that did not run here, and whose cell is not in the notebook any more.
    values
        Fingerprints of the names, made by no step, that the checkpoint has seen (META `seen`), as they are now.
    same
        Names in META `reads` and `seen` that mean one object now, in groups.
    definitions
        Digests, as they are now, of the classes and functions in META `definitions`.
    before
        Digests, as they are now, of names that META `before` lists and that come from no step of the pipeline.
    sharing
        Which name holds what the step replaced otherwise than it did then, in one line.
    held
        Which value, that the checkpoint would replace, something outside may hold, in one line; empty if none.
    generators
        Random generators that are not in the state that the step drew from.
    around
        What of the surroundings is not as the step found it, for people.
    needed
        Which value that the checkpoint lacks is needed later, and by whom; empty if none is.
    changed
        How functions, classes and `--key` expressions that the step used differ, in one line; empty if they do not.
    foreseen
        What else will not be as the step found it, in one line, where that is told before anything runs.
    shown
        Small values of names in `values` as people write them: what they were when the checkpoint was made, what they
        are now.
    stale
        Why the checkpoint is not fresh, in one line: what the rules below do not say; empty if it is.
    policy
        What is done with a stale step where the start point is no `auto`.
    numbers
        What tells processes apart in which `hash` and `id` give other numbers: of `NUMBERS`.
    """

    start: StartPoint
    meta: Mapping[str, Any] | None
    code: str
    kernel: str
    kind: str
    pipeline: Pipeline
    elsewhere: Mapping[str, str | None] = field(default_factory=dict)
    unmarked: Set[str] = frozenset()
    gone: Set[int] = frozenset()
    values: Mapping[str, str | None] = field(default_factory=dict)
    same: Sequence[Sequence[str]] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str | None] = field(default_factory=dict)
    sharing: str = ""
    held: str = ""
    generators: Sequence[str] = ()
    around: Sequence[str] = ()
    needed: str = ""
    changed: str = ""
    foreseen: str = ""
    shown: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    stale: str = ""
    policy: Policy = "restore"
    numbers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Run, restore or neither, with the reason a person understands; `note` goes into the banner of a restore."""

    action: Literal["run", "restore", "refuse"]
    reason: str = ""
    note: str = ""


class Registry:
    """Everything that a kernel remembers of its pipelines."""

    def __init__(self) -> None:
        self._pipelines: dict[PipelineKey, Pipeline] = {}
        self._starts: dict[str | None, StartPoint] = {}

    def pipeline(self, key: PipelineKey) -> Pipeline:
        """The state of one pipeline, made when first asked for."""
        return self._pipelines.setdefault(key, Pipeline())

    def pipelines(self) -> Mapping[PipelineKey, Pipeline]:
        """All pipelines seen here."""
        return self._pipelines

    def set_start(self, start: StartPoint, name: str | None = None) -> None:
        """Set the start point of one pipeline, or of all that have none of their own."""
        self._starts[name] = start

    def start(self, name: str | None = None) -> StartPoint | None:
        """The start point set here for `name`, else the one set for all, else None."""
        return self._starts.get(name, self._starts.get(None))

    def clear(self) -> None:
        """Forget all pipelines; start points stay (they are settings)."""
        self._pipelines.clear()


def parse_start(text: object) -> StartPoint:
    """Read a start point.

    Raises
    ------
    UsageError
        It is none of a number from 0, `auto`, `end`, `none`.
    """
    if isinstance(text, str):
        text = text.strip()
        if text in ("auto", "end", "none"):
            return text  # type: ignore[return-value]  # one of the three literals
        start = int(text) if text.isdecimal() and len(text) <= 10 else -1
    else:
        start = operator.index(text) if isinstance(text, SupportsIndex) and not isinstance(text, bool) else -1
    if not 0 <= start <= _LAST_START:
        raise UsageError(f"start point {text!r}: use a step number (0 or more), auto, end or none")
    return start


def parse_policy(text: str) -> Policy:
    """Read what is to be done with a stale step.

    Raises
    ------
    UsageError
        It is none of `restore`, `run`, `error`.
    """
    if text not in POLICIES:
        raise UsageError(f"--stale {text!r}: use restore, run or error")
    return text


def lets(start: StartPoint, step: int) -> bool:
    """Whether the start point alone lets the step be restored."""
    if isinstance(start, int):
        return step < start
    return start in ("auto", "end")


def decide(call: StepCall, known: Known) -> Decision:
    """Decide whether a step runs or is restored.

    The rule: it is restored if and only if the start point lets it, its checkpoint exists, and the
    checkpoint fits what this kernel holds. With `auto` it must be fresh, too; with a number or `end` a stale one is
    restored, and the banner says so.

    Parameters
    ----------
    call
        What the cell asks for.
    known
        The evidence.
    """
    if call.force:
        return Decision("run", "--force")
    if not lets(known.start, call.step):
        return Decision("run", "")
    if call.always:
        return Decision("run", "--always")
    meta = known.meta
    if meta is None:
        return Decision("run", "no checkpoint yet")
    found = misfit(call, known, meta)
    if found:
        return Decision("run", found[1])
    if not known.stale:
        return Decision("restore")
    policy = "run" if known.start == "auto" and call.stale is None else call.stale or known.policy
    if policy == "restore":
        return Decision("restore", note=f"stale: {known.stale}")
    return Decision("run" if policy == "run" else "refuse", known.stale)


def misfit(call: StepCall, known: Known, meta: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first rule by which a checkpoint does not fit this kernel: a kind of `freshness`, and the reason."""
    return next(misfits(call, known, meta), None)


def misfits(call: StepCall, known: Known, meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All of them."""
    for kind, rule in _RULES:
        if found := rule(call, known, meta):
            yield kind, found


def _other_content_upstream(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return next((line for _, line in other_inputs(call, known, meta)), "")


def other_inputs(call: StepCall, known: Known, meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of earlier steps that have other content than the checkpoint was made from: name and reason."""
    for name, (step, digest) in meta["reads"].items():
        producer = known.pipeline.producers.get(name)
        if producer == (step, digest):
            continue
        if producer is not None and producer[1] == digest and producer[0] < call.step:
            continue  # the same, from another step: its code moved there
        if producer is not None and producer[0] == call.step and name in meta["groups"]:
            continue  # its own earlier work: the step is met a second time in this kernel
        if producer is not None and producer[0] != step:
            yield name, f"`{name}` comes from step {producer[0]}, was from step {step}"
        elif producer is not None:
            yield name, f"`{name}` of step {step} is not what it was"
        elif name in known.elsewhere:
            if known.elsewhere[name] != digest:
                if name in known.unmarked:
                    yield name, f"`{name}` comes from an unmarked cell, was from step {step}"
                else:
                    yield name, f"`{name}` is not what step {step} left"
        elif step == call.step:
            if meta["groups"].get(name) != digest:
                yield name, f"it was run on its own earlier work (`{name}`)"
        elif step in known.pipeline.steps or step in known.gone:
            yield name, f"`{name}` of step {step} is not here"


def _made_by_a_step_now(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    recorded = meta["reads"].keys() | {name for name, value in meta["seen"].items() if value}
    for name, (step, _) in known.pipeline.producers.items():
        patterns = {name, "*", "self.*"} if name.startswith("self.") else {name, "*"}
        if step < call.step and name not in recorded and not patterns.isdisjoint(meta["unmade"]):
            return f"`{name}` comes from step {step}, was from no step"
    return ""


def _other_value_seen(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    if call.stale == "restore":
        return ""  # the user vouches for it
    return next((line for _, line, _, _ in other_values(known, meta)), "")


def other_values(known: Known, meta: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The names with other values than the checkpoint has seen: name, reason, and as people write them old and new."""
    for name, fingerprint in meta["seen"].items():
        now = known.values.get(name)
        if now is not None and now != fingerprint:
            was, is_now = known.shown.get(name, ("", ""))
            shown = f" (was {was}, is {is_now})" if was and is_now else ""
            yield name, f"`{name}` has another value{shown}" if fingerprint else f"`{name}` was not there", was, is_now


def _other_aliases(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    if call.stale == "restore" or meta["same"] is None:
        return ""
    mine = {name for name, (step, _) in known.pipeline.producers.items() if step == call.step}  # its own earlier work
    was, now = ({tuple(names) for names in groups if mine.isdisjoint(names)} for groups in (meta["same"], known.same))
    for names in sorted(was ^ now):
        told = ", ".join(f"`{name}`" for name in names)
        return f"{told} are no more one object" if names in was else f"{told} are one object now"
    return ""


def _other_sharing(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return known.sharing


def _held_outside(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return known.held


def _other_definition(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    for name, digest in meta["definitions"].items():
        if known.definitions.get(name, digest) != digest:
            return f"`{name}` is defined otherwise"
    return ""


def _changed(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return "" if call.stale == "restore" else known.changed


def _foreseen(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return known.foreseen


def _other_random_state(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return f"`{known.generators[0]}` was seeded otherwise" if known.generators else ""


def _other_surroundings(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return f"`{known.around[0]}` was set otherwise" if known.around else ""


def _unmarked_cell_wrote(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    for name, digest in known.before.items():
        if digest is None or digest != meta["before"].get(name):
            return f"an unmarked cell gave `{name}` another value"
    return ""


def _edited_here(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    record = known.pipeline.steps.get(call.step)
    if known.kind == "cell" and record is not None and record.code and record.code != known.code:
        return "the cell was edited"
    return ""


def _saved_over(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    if known.kind == "cell" and meta["code"] != known.code and known.code in meta["codes"]:
        return "other code was saved over it"
    return ""


def _marked_elsewhere(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    if meta["marks"] and meta["kernel"] != known.kernel:
        return f"its checkpoint was made {', '.join(meta['marks'])}"
    return ""


def _other_numbers(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    return other_numbers(meta, known.numbers)


def _leftovers(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    for name, step in known.pipeline.failed.items():
        if step == call.step and name not in meta["groups"]:
            return f"its failed run left `{name}`"
    return ""


def _lost_values(call: StepCall, known: Known, meta: Mapping[str, Any]) -> str:
    lost = {row["name"] for row in meta["lost"]}
    for name in meta["unsaved"]:
        if name in call.require or (
            name not in lost and name not in call.drop and (not call.save or name in call.save)
        ):
            return f"`{name}` was left out by --save or --drop"
    return f"{meta['refused'][0]} cannot be restored" if meta["refused"] else known.needed


_RULES: Sequence[tuple[str, Callable[[StepCall, Known, Mapping[str, Any]], str]]] = (
    ("code", _edited_here),
    ("code", _saved_over),
    ("mark", _marked_elsewhere),
    ("setting", _other_numbers),
    ("input", _other_content_upstream),
    ("input", _made_by_a_step_now),
    ("input", _foreseen),
    ("function", _other_definition),
    ("function", _changed),
    ("value", _other_value_seen),
    ("value", _other_aliases),
    ("value", _other_sharing),
    ("value", _held_outside),
    ("random", _other_random_state),
    ("setting", _other_surroundings),
    ("value", _unmarked_cell_wrote),
    ("input", _leftovers),
    ("unclear", _lost_values),
)


def other_numbers(meta: Mapping[str, Any], numbers: Mapping[str, str]) -> str:
    """Say which numbers that a step took or left are others in this process, whose own are given."""
    settings = meta["evidence"]["settings"] if meta["evidence"] is not None else {}
    return next((text for name, text in NUMBERS.items() if settings.get(name) not in (None, numbers.get(name))), "")


def orders(meta: Mapping[str, Any]) -> dict[str, str]:
    """Sets whose order a step went by, which differs from process to process; and what tells that process."""
    return dict(meta["evidence"].get("orders", {})) if meta["evidence"] is not None else {}


def marks(
    call: StepCall,
    reads: Sequence[str],
    pipeline: Pipeline,
    absent: Sequence[int],
    outside: Set[str] = frozenset(),
) -> list[str]:
    """Why the checkpoint of a step that just ran holds for this kernel only; empty if it does not.

    Parameters
    ----------
    reads
        Names that the step read or held jointly.
    absent
        Lower steps that have a checkpoint, and neither ran nor were restored here.
    outside
        Names that were changed outside any cell.
    """
    found = []
    later = [pipeline.producers[name][0] for name in reads if name in pipeline.producers]
    if any(step > call.step for step in later):
        found.append("out of order")
    if any(name in pipeline.failed for name in reads):
        found.append("after a failed run")
    if changed := [name for name in reads if name in outside]:
        found.append(f"after a change outside any cell (`{changed[0]}`)")
    if used := [name for name, step in pipeline.used.items() if step < call.step]:
        found.append(f"after an unmarked cell used `{used[0]}`, which was lost")
    if absent:
        found.append(f"without {steps_text(absent)}")
    return found


def steps_text(steps: Sequence[int]) -> str:
    """`step 3`, `steps 1–3`, `steps 1, 3`."""
    if len(steps) == 1:
        return f"step {steps[0]}"
    if len(steps) > 2 and (isinstance(steps, range) or list(steps) == list(range(steps[0], steps[-1] + 1))):
        return f"steps {steps[0]}–{steps[-1]}"  # a range is written with an en dash
    return f"steps {', '.join(map(str, steps))}"


def saved_codes(history: Sequence[str], code: str) -> list[str]:
    """The bodies saved under a number since the last identical one, `code` being saved now."""
    if code in history:
        last = len(history) - 1 - list(reversed(history)).index(code)
        history = history[last + 1 :]
    return [*history, code]
