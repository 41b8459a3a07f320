"""The records of one step on its way from decision to saved checkpoint."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from ckpt_magic.files.format import StoredStep
from ckpt_magic.files.maps import Map
from ckpt_magic.steps.around import Part
from ckpt_magic.steps.opened import Trail
from ckpt_magic.steps.registry import PipelineKey, StepCall
from ckpt_magic.steps.unheard import HeldBack
from ckpt_magic.steps.uses import Use
from ckpt_magic.values import ambient, delta, places
from ckpt_magic.values.code import encoding, source
from ckpt_magic.values.code.source import Names
from ckpt_magic.values.code.vocabulary import Words
from ckpt_magic.values.memory import identity
from ckpt_magic.values.outlines import Outline
from ckpt_magic.values.pickles import forms, pickling


@dataclass(frozen=True, slots=True)
class Body:
    """The code of a step cell: `source` as typed below the `%%step` line, `tree` transformed, without marker."""

    source: str
    tree: ast.Module
    filename: str
    cell: str


@dataclass(frozen=True, slots=True)
class Code:
    """What is known of the code of a step, cell or method, before it runs."""

    source: str
    digest: str
    names: Names = field(default_factory=Names)
    method: str | None = None  # its full name, if it is one
    tree: ast.Module | None = None
    cell: str | None = None  # the whole text of its cell, if it is one
    members: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what a method may use of its class
    home: dict[str, Any] | None = field(default=None, compare=False)  # the globals of a method


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended: its displays as nbformat outputs, the last value, the time it took, the error if it failed."""

    success: bool
    outputs: list[dict[str, Any]] = field(default_factory=list)
    outputs_cut: int | None = None
    has_result: bool = False
    result: Any = None
    seconds: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What the faces show again after a restore.

    `replaced` are values that were shown before and that the step changed, each with what took its place.
    """

    outputs: list[dict[str, Any]]
    has_result: bool
    result: Any
    replaced: Sequence[tuple[Any, Any]] = ()


@dataclass(slots=True)
class Loaded:
    """A checkpoint in a scratch place: read in full, nothing of it in the namespace yet.

    `unheard` is what was printed meanwhile, for a run after all.
    """

    meta: Mapping[str, Any]
    values: dict[str, Any]
    contents: pickling.Contents
    outputs: list[dict[str, Any]]
    found: dict[forms.Token, Any]
    map: Map
    size: int
    stored: StoredStep
    unheard: HeldBack


@dataclass(slots=True)
class Before:
    """The look before a step.

    Attributes
    ----------
    words
        The identifiers of the code, that of the functions it reaches included.
    producers
        Per name the step that made it and the digest of its sharing group.
    reads
        Names, here before the step, that its code can read.
    reached
        Those and all that shares with them; None if the code can reach everything.
    seen
        Fingerprints of names that it reads and that no step made.
    same
        Those of the names it reads that mean one object, in groups.
    unmade
        Names that it reads, here or not, that no step made and that have no fingerprint; `*` stands for all others,
        `self.*` for all other attributes.
    inputs
        Outlines of values that it reads.
    seeded
        Random generators whose state follows from code alone.
    mover
        The step that moved them last, if no other code did since.
    strays
        Names that were changed outside any cell since the last step ran.
    use, around
        What the code uses besides names, and what code of this kernel had set there.
    met
        Names that the code reads through the functions that it mentions.
    imports
        Modules that texts import which the step has run as code.
    measured
        Of lost names that it reads, those of which it asks for no more than the number that they are.
    results
        By name, values that the history of results holds, too.
    shown
        Other results that its code reads, each with its fingerprint.
    touches
        Whether the step may have changed a result of a cell above that has no name, or kept one.
    idents
        `id` of what the names meant that its code perhaps binds anew: the variable of a loop over nothing stays.
    awaited
        What waits for the end of an object.
    asks_for_addresses
        Whether the code may have numbers that `id` gave.
    """

    state: delta.State
    ambient: ambient.Ambient
    places: places.Look
    words: Words
    producers: dict[str, tuple[int, str]]
    reads: set[str]
    reached: set[str] | None
    seen: dict[str, str]
    same: list[list[str]]
    unmade: set[str]
    use: Use
    around: Mapping[str, Part]
    inputs: Mapping[str, Outline]
    seeded: Sequence[str] = ()
    mover: int | None = None
    strays: Set[str] = frozenset()
    met: Set[str] = frozenset()
    imports: Set[str] = frozenset()
    measured: Set[str] = frozenset()
    results: Mapping[str, Any] = field(default_factory=dict)
    shown: Sequence[tuple[Any, str | None]] = ()
    touches: bool = False
    idents: Mapping[str, int] = field(default_factory=dict)
    awaited: Set[object] = frozenset()
    asks_for_addresses: bool = False

    def renewed(self, names: Mapping[str, Any]) -> set[str]:
        """Names that the step has bound to another object, and did not read: what they held before does not matter."""
        idents = {name: ident for name, ident in self.idents.items() if name in names and name not in self.reads}
        return {name for name, ident in idents.items() if identity(names[name]) != ident}


@dataclass(frozen=True, slots=True)
class Look:
    """What the code of a step comes to, as it is before the step; see `evidence`.

    Attributes
    ----------
    functions
        Per function and class of the notebook that no step made: digests of its code and of its values, and its text.
    covered
        Names of the notebook that mean one of them, and which.
    modules
        Modules that the code runs through.
    words
        Identifiers in all of the code.
    texts
        Texts in all of the code, and among the values that it reads.
    keys
        Per `--key` expression the digest of its value.
    settings
        The working directory, which counts where files are opened. For what code sets around a step see `around`.
    bound
        Files that the values go on reading which it reads.
    unclear
        What cannot be told, in words.
    apart
        Names of functions and classes by which the code comes to several objects, since a cell defined one anew: the
        variables that lead to each.
    hashes
        Whether the code asks for the hash of something, which is another number in each process.
    ordered
        Variables whose order functions of the notebook go by, and in which another process has another one.
    told
        Words that stand for readers of libraries which have Python open files, and for nothing else; see `unseen`.
    """

    functions: Mapping[str, Mapping[str, Any]]
    covered: Mapping[str, str]
    modules: Set[str]
    words: Set[str]
    texts: Sequence[str]
    keys: Mapping[str, str]
    settings: Mapping[str, str]
    bound: Sequence[str]
    unclear: Sequence[str]
    apart: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    hashes: bool = False
    ordered: Set[str] = frozenset()
    told: Set[str] = frozenset()

    def __or__(self, other: Look) -> Look:
        """Both; of what is in both as it was here."""
        return Look(
            {**other.functions, **self.functions},
            {**other.covered, **self.covered},
            self.modules | other.modules,
            self.words | other.words,
            [*self.texts, *other.texts],
            {**other.keys, **self.keys},
            self.settings,
            [*self.bound, *other.bound],
            list(dict.fromkeys((*self.unclear, *other.unclear))),
            {**other.apart, **self.apart},
            self.hashes or other.hashes,
            self.ordered | other.ordered,
            (self.told - other.words) | (other.told - self.words) | (self.told & other.told),
        )


@dataclass(frozen=True, slots=True)
class Running:
    """What is noted of a step while it runs.

    Attributes
    ----------
    began
        Nanoseconds since the epoch.
    loaded
        Modules that were loaded before.
    depends
        Rows of what `--depends` names.
    environ
        Environment variables that C code may read, as they were before.
    results
        How often functions that keep their results were called before.
    """

    trail: Trail
    look: Look
    began: int
    loaded: Set[str]
    depends: Sequence[Mapping[str, Any]]
    environ: Mapping[str, str | None]
    results: Mapping[int, tuple[int, int]]


@dataclass(slots=True)
class Plan:
    """One step on its way; made by `Session.begin`, ended by `finish` or `abandon`."""

    call: StepCall
    key: PipelineKey
    code: Code
    action: Literal["run", "restore"] = "run"
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    keep: bool = False
    history: list[str] = field(default_factory=list)
    loaded: Loaded | None = None
    before: Before | None = None
    running: Running | None = None
    unseen: str = ""
    """Why the namespace could not be looked at before the step."""
    used: list[str] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    """Lower steps of the notebook that have a checkpoint, and neither ran nor were restored here."""
    sets: Mapping[str, bool] = field(default_factory=dict)
    """What the step set in its surroundings; False for what only an import may have set."""
    doubtful: list[str] = field(default_factory=list)
    """Marks: what earlier runs of the step had set in its surroundings may have come into this one."""
    restore_seconds: float | None = None


def code_of(body: Body) -> Code:
    """What is known of the code of a step cell before it runs."""
    digest = encoding.digest(body.tree) + (";" if source.is_quiet(body.source) else "")
    return Code(body.source, digest, source.names(body.tree), tree=body.tree, cell=body.cell)


def contents_of(
    kind: Literal["cell", "method"], step: int, values: dict[str, Any], surroundings: Any, extras: dict[str, Any]
) -> pickling.Contents:
    """Arrange values for the file: for a method its return value, all else it changed in the extras."""
    if kind == "cell":
        return pickling.Contents("cell", values, surroundings, extras)
    own = f"step_{step}"
    rest = {name: value for name, value in values.items() if name != own}
    return pickling.Contents("method", values[own], surroundings, {**extras, "names": rest})


def values_of(contents: pickling.Contents, step: int) -> dict[str, Any]:
    """Names and values of a file that was read: the inverse of `contents_of`."""
    if contents.kind == "cell":
        return dict(contents.value)
    return {**(contents.extras or {}).get("names", {}), f"step_{step}": contents.value}


def facts_of(plan: Plan, action: str, notes: list[str], *, variables: int, size: int, seconds: float) -> dict[str, Any]:
    """What the banner tells of a step: `size` in bytes, `seconds` of the run."""
    return {
        "step": plan.call.step,
        "name": plan.key.name,
        "version": plan.key.version,
        "title": plan.call.title,
        "action": action,
        "reason": plan.reason,
        "notes": notes,
        "variables": variables,
        "bytes": size,
        "run_seconds": seconds,
    }
