"""What this kernel holds, put beside what a checkpoint needs: the evidence that `registry.decide` rests on."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from ckpt_magic.steps import activity, altering, freshness, needs, numbers, record, registry, uses
from ckpt_magic.steps.freshness import Cause, Verdict
from ckpt_magic.steps.judging import CellsAfter, Judge, unknown_code
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.neighbours import Neighbours
from ckpt_magic.steps.plan import Code, Look, Plan
from ckpt_magic.steps.registry import Decision, Known, PipelineKey, StepCall
from ckpt_magic.steps.uses import PLACE, split
from ckpt_magic.values import canonical, delta, looking, outlines, owned, sharing, spots
from ckpt_magic.values.code import syntax
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import holding, placeholder, references, tokens, weak
from ckpt_magic.values.seen import Seen

_DEFINITIONS = (type, types.FunctionType)
# How the fingerprint begins of what has none by itself: by its look, or by the digest of what a step left.
_LOOKED, _GROUP = "look:", "group:"


class Fitting:
    """Gathers what is known when a step is decided.

    Parameters
    ----------
    kernel
        The kernel.
    cells_after
        Gives the cells that come after a step, given its number and the text of its cell (None for its number
        alone); None if nobody knows them.
    """

    def __init__(self, kernel: Kernel, cells_after: CellsAfter) -> None:
        self._kernel = kernel
        self._cells_after = cells_after
        self._neighbours = Neighbours(kernel)
        self.judge = Judge(kernel, cells_after)
        self._fingerprints: dict[str, str | None] = {}  # of names that no step made, until code runs
        self._named: dict[str, Seen] = {}  # looks at modules, and at functions and classes of libraries

    def forget(self) -> None:
        """Take the fingerprints anew at the next question, since code ran."""
        self._fingerprints.clear()
        self._neighbours.forget()

    def outside_ran(self) -> None:
        """Note that code ran outside any cell: the callback of a widget, a silent execution, a debug console."""
        self._fingerprints.clear()
        self._kernel.watch.suspect_all()
        self._kernel.chance.ran(lambda: True)  # nobody knows whether it seeds them

    def absent(self, plan: Plan) -> list[int]:
        """Stored lower steps that neither ran nor were restored here, although they are part of the notebook.

        One that this notebook wrote, and whose cell is not in it any more, is missed by nobody.
        """
        kernel = self._kernel
        found = [step for step in kernel.stored_below(plan) if step not in kernel.registry.pipeline(plan.key).steps]
        without = self._without_cell(plan.key, found)
        return [step for step in found if step not in without]

    def _without_cell(self, key: PipelineKey, steps: Collection[int]) -> set[int]:
        """Of steps that this notebook wrote those whose cell is not in it any more."""
        cells = self._cells_after(key, -1, None) if steps else None
        if cells is None:
            return set()
        return {step for step in {*steps} - {cell.step for cell in cells} if self._is_of_this_notebook(key, step)}

    def _is_of_this_notebook(self, key: PipelineKey, step: int) -> bool:
        kernel = self._kernel
        stored = kernel.open(key, step)
        if stored is None:
            return True  # nor does another one have it
        if stored.trust != "trusted" or stored.meta["kind"] != kernel.kind:
            return False
        mine = record.notebook_path(kernel.settings.notebook, key.folder)
        return kernel.kind == "method" or (mine is not None and stored.meta["notebook"] == mine)

    def known(
        self,
        key: PipelineKey,
        code: Code,
        meta: Mapping[str, Any] | None,
        start: registry.StartPoint,
        *,
        call: StepCall | None = None,
        look: Look | None = None,
    ) -> Known:
        """All that the decision about a step rests on; `meta` is None if no checkpoint may be read.

        `call` and `look` are None where the cell is not known.
        """
        kernel = self._kernel
        pipeline = kernel.registry.pipeline(key)
        known = Known(start, meta, code.digest, kernel.id, kernel.kind, pipeline)
        if meta is None or not registry.lets(start, meta["step"]):
            return known
        if activity.going_on(kernel.main, kernel.loop()):
            self.outside_ran()
        unmade = set(kernel.namespace if "*" in meta["unmade"] else meta["unmade"])
        kernel.watch.settle({*meta["reads"], *meta["before"], *meta["seen"]} | unmade)
        here = kernel.namespace.keys() - pipeline.producers.keys()
        evidence = meta["evidence"] or {}
        self._look_at_named(meta["seen"].keys() & here)
        gone = [
            Cause("value", name, f"`{name}` is not there any more")
            for name, digest in meta["seen"].items()
            if look is not None and digest != record.ABSENT and name not in kernel.namespace
        ]
        gone += [Cause("value", name, f"`{name}` was not there") for name in self._new(meta, pipeline)]
        gone += [*self._done_to_modules(meta, look), *self._told_apart(meta, look)]
        causes = freshness.causes(meta, self.judge.now(key, meta, code=code, call=call, look=look, causes=gone))
        made_by_cells = ("function", "name", "key") if kernel.kind == "cell" else ()
        files = {cause.thing for cause in causes if cause.kind == "file"} - needs.written(meta)
        anew = files & self._written_here(key, meta) if files else files
        return replace(
            known,
            elsewhere={name: self._digest(name) for name in meta["reads"] if name in here},
            unmarked={name for name in meta["reads"] if name in here and kernel.watch.code_of(name) is not None},
            gone=self._without_cell(
                key,
                {
                    step
                    for name, (step, _) in meta["reads"].items()
                    if step != meta["step"] and step not in pipeline.steps and name not in kernel.namespace
                },
            ),
            values={
                name: self._now(name, then)
                for name, then in meta["seen"].items()
                if kernel.is_users(name) and not (name in evidence.get("covered", ()) and self._defines(name))
            },
            same=self._same(meta),
            shown={name: (text, kernel.evidence.shown(name)) for name, text in evidence.get("shown", {}).items()},
            changed=freshness.in_one_line(
                one for one in causes if one.kind in made_by_cells or (one.kind == "file" and one.thing in anew)
            ),
            stale=freshness.in_one_line(causes),
            policy=kernel.settings.stale(),
            numbers=numbers.of_this_process(),
            definitions={
                n: now for n, then in meta["definitions"].items() if (now := self._defined(n, then)) is not None
            },
            before={
                name: looking.look(kernel.namespace[name], kernel.main, kernel.makers).digest
                for name, then in meta["before"].items()
                if name in here
                and not (then is None and name in meta["seen"])  # it is told by its code, as what is read
            },
            sharing=self._sharing(meta),
            held=record.held(meta, pipeline.held),
            generators=kernel.chance.misfits(meta),
            around=self._around(key, code, meta),
            needed=self._needed(key, code, meta, start, call) if needs.may_be_needed(meta, self._is_left) else "",
        )

    def _new(self, meta: Mapping[str, Any], pipeline: registry.Pipeline) -> list[str]:
        """Names that an unmarked cell made and that were not there, where the step may read any (`globals()`)."""
        if "*" not in meta["unmade"] or meta["step"] in pipeline.steps:
            return []
        kernel, known = self._kernel, {*meta["reads"], *meta["seen"], *meta["unmade"], *pipeline.producers}
        return [
            name
            for name, value in kernel.names().items()
            if name not in known and type(value) is not types.ModuleType and kernel.watch.code_of(name) is not None
        ]

    def _done_to_modules(self, meta: Mapping[str, Any], look: Look | None) -> list[Cause]:
        """Modules of which nobody sees what they hold, and to which unmarked cells did something else."""
        then = (meta["evidence"] or {}).get("origins") or {}
        modules = self._kernel.evidence.secretive(meta, look)
        now = self._kernel.history.origins((), modules)
        if now is None:
            own = (one for one in modules if one in meta["evidence"]["modules"]) if meta["evidence"] else ()
            return [Cause("module", one, f"cannot tell what changed what module `{one}` holds") for one in own]
        told = [one for one in modules if now.get(f"<{one}>") != then.get(f"<{one}>")]
        return [Cause("module", one, f"other code above it changes what module `{one}` holds") for one in told]

    def _same(self, meta: Mapping[str, Any]) -> list[list[str]]:
        names = record.recorded(meta)
        if names.isdisjoint(meta["seen"]):
            return []
        here = {name: self._kernel.namespace[name] for name in names if name in self._kernel.namespace}
        return record.told_apart(sharing.aliases(here), names, meta["seen"])

    def _sharing(self, meta: Mapping[str, Any]) -> str:
        """Which name shares, or no more, with what the checkpoint puts in place of what is here; empty if none.

        A name that shares and is not in the checkpoint would go on to hold the old value. Only cells whose code is not
        what it was can have brought that about.
        """
        kernel = self._kernel
        replaced = record.replaced(meta)
        if meta["near"] is None or not replaced:
            return ""
        now = kernel.history.near(replaced)
        made = {name for one in kernel.registry.pipelines().values() for name in one.producers}
        if now is None:  # nobody knows what ran
            others = kernel.names().keys() - made
        else:
            others = {name for name in meta["near"].keys() | now if meta["near"].get(name) != now.get(name)}
            modules = {name for name in others if type(kernel.namespace.get(name)) is types.ModuleType}
            modules |= {name for name in sys.modules if holding.in_module(name) in others}
            if modules:
                return f"`{min(modules)}` may hold what the step changes"
            if holding.ANYTHING in others:
                others |= kernel.names().keys() - made
        if gone := sorted(name for name in others & meta["groups"].keys() if name not in kernel.namespace):
            return f"`{gone[0]}` is not there any more"
        values = {name: kernel.namespace[name] for name in others if name in kernel.namespace}
        values = {name: one for name, one in values.items() if type(one) not in (*references.ATOMS, types.ModuleType)}
        if not values:
            return ""
        values |= {name: kernel.namespace[name] for name in replaced & kernel.namespace.keys()}
        places = [name for origin, name in map(split, meta["sets"]) if origin == PLACE and owned.is_own(name)]
        values |= {f"<{name}>": spots.read(name) for name in places}
        replaced |= values.keys() - others
        state = delta.look(values, kernel.main, kernel.pages, kernel.makers)
        links = state.links
        definitions = {identity(values[name]): name for name in sorted(replaced) if self._defines(name)}
        for name in sorted((others & values.keys()) - replaced) if definitions else ():
            if found := self._definitions(state.looks[name]) & definitions.keys():  # an instance, a derived class
                return f"`{name}` uses `{min(map(definitions.__getitem__, found))}`, which the step changes"
        for name in sorted(others & values.keys()):
            tied = (sharing.closure(links, [name]) & replaced) - {name}
            digest = meta["groups"].get(name)
            was = digest is not None and any(meta["groups"].get(one) == digest for one in replaced - {name})
            if bool(tied) != was:
                told = ", ".join(f"`{one}`" for one in sorted(tied))
                return f"`{name}` shares with {told} now" if tied else f"`{name}` shares no more with what it did"
        return ""

    def _definitions(self, seen: Seen) -> Set[int]:
        """By `id`, all functions and classes that a value leads to, what those hold unchangeably included."""
        found, todo = dict[int, Any](), [one for one in seen.met.values() if issubclass(type(one), _DEFINITIONS)]
        while todo:
            one = todo.pop()
            if identity(one) not in found and type(one) not in references.ATOMS:
                found[identity(one)] = one
                todo += tokens.plain_parts(one, self._kernel.main) or ()
        return found.keys()

    def decide(
        self,
        call: StepCall,
        key: PipelineKey,
        code: Code,
        meta: Mapping[str, Any] | None,
        start: registry.StartPoint,
        *,
        look: Look | None = None,
    ) -> Decision:
        """Decide about a step."""
        of_meta = meta is not None and code.tree is None and code.digest == meta["code"]  # nobody knows the cell

        def judge(one: Mapping[str, Any] | None) -> Decision:
            body = unknown_code(one) if of_meta and one is not meta else code
            return registry.decide(call, self.known(key, body, one, start, call=call, look=look))

        return judge(None) if meta is None else record.by_either(meta, judge, Decision("restore"))

    def verdict(
        self,
        key: PipelineKey,
        code: Code | None,
        meta: Mapping[str, Any],
        call: StepCall,
        look: Look | None,
        *,
        met: bool = False,
    ) -> Verdict:
        """Judge a checkpoint; `code` and `look` are None if its cell is unknown, and `met` is as for `causes`."""

        def judge(one: Mapping[str, Any]) -> Verdict:
            return freshness.judged(one, self.causes(key, code, one, call, look, met=met))

        return record.by_either(meta, judge, Verdict("fresh"))

    def causes(
        self,
        key: PipelineKey,
        code: Code | None,
        meta: Mapping[str, Any],
        call: StepCall,
        look: Look | None,
        *,
        met: bool = False,
    ) -> list[Cause]:
        """All that speaks against a checkpoint; if its step was `met` here, what it and later ones left does not."""
        code = code or unknown_code(meta)
        known = self.known(key, code, meta, "end", call=call, look=look)
        later: set[str] = set()
        if met:
            producers = known.pipeline.producers
            later = {name for name, (step, _) in producers.items() if step >= call.step}
            as_then = {name: (step, digest) for name, (step, digest) in meta["reads"].items() if name in later}
            then = replace(known.pipeline, producers={**producers, **as_then})
            known = replace(known, pipeline=then, sharing="", held="", generators=(), around=())
        values = registry.other_values(known, meta)
        found = [Cause("value", name, line, was, now) for name, line, was, now in values if name not in later]
        found += [Cause("input", name, line) for name, line in registry.other_inputs(call, known, meta)]
        causes = [cause.having(meta["inputs"].get(cause.thing), self._outline(cause.thing)) for cause in found]
        # what is not among the evidence; code and marks are
        misfits = registry.misfits(replace(call, stale="restore"), known, meta)
        told = {"code", "mark", *(cause.line for cause in found)}
        causes += [Cause(kind, "", why) for kind, why in misfits if told.isdisjoint((kind, why))]
        causes += [] if met else [*self._done_to_modules(meta, look), *self._told_apart(meta, look)]
        return freshness.causes(meta, self.judge.now(key, meta, code=code, call=call, look=look, causes=causes))

    def _outline(self, name: str) -> outlines.Outline | None:
        kernel = self._kernel
        return (
            outlines.outline(kernel.namespace[name], kernel.evidence.variables.told)
            if name in kernel.namespace
            else None
        )

    def _around(self, key: PipelineKey, code: Code, meta: Mapping[str, Any]) -> Sequence[str]:
        """What of the surroundings is not as the step found it."""
        kernel = self._kernel

        @functools.cache
        def use() -> uses.Use:
            same = code.tree is not None and code.digest == meta["code"]
            tree = code.tree if same else syntax.parsed(meta["source"])
            covered = (meta["evidence"] or {}).get("covered", ())
            return uses.use_of_tree(tree, kernel.namespace, meta["shown"], covered)

        return kernel.around.misfits(meta, key, use, [one.secret for one in kernel.keyring.accepted])

    def _is_left(self, row: Mapping[str, Any]) -> bool:
        """Whether a file is as a step left it, as far as that can be told."""
        return self._kernel.evidence.files.is_same(row) is not False

    def _needed(
        self,
        key: PipelineKey,
        code: Code,
        meta: Mapping[str, Any],
        start: registry.StartPoint,
        call: StepCall | None,
    ) -> str:
        """Which value that the checkpoint lacks is needed later, and by whom."""
        kernel = self._kernel
        metas = self._neighbours.of_pipeline(key)
        after = {step: one for step, one in sorted(metas.items()) if step > meta["step"] and one["kind"] == kernel.kind}

        def gives(other: Mapping[str, Any], name: str) -> bool:
            value = self.fingerprint(name) if kernel.is_users(name) else record.ABSENT
            return bool(value == other["seen"][name])

        def disturbed(other: Mapping[str, Any]) -> bool:
            return bool(kernel.chance.misfits(other) or self._around(key, unknown_code(other), other))

        def altered(below: Sequence[needs.Cell]) -> Set[int]:
            course = kernel.history.onward()
            return altering.altered(course, meta, after, below) if course is not None else frozenset()

        here, ordered = numbers.of_this_process(), set[str]()
        if registry.orders(meta):
            others = [registry.orders(one) for step, one in metas.items() if step != meta["step"]]
            ordered = {name for one in others for name, process in one.items() if process == here[registry.HASH]}
            ordered |= kernel.watch.ordered()
        before = {step: one for step, one in metas.items() if step < meta["step"] and one["kind"] == kernel.kind}
        later = needs.Later(
            start,
            after,
            self._cells_after(key, meta["step"], code.cell),
            only_fresh=start == "auto" or kernel.settings.stale() != "restore",
            kernel=kernel.id,
            pipeline=kernel.registry.pipeline(key),
            here=kernel.watch.read_by_cells(key),
            elsewhere=self._neighbours.read_elsewhere(key),
            gives=gives,
            disturbed=disturbed,
            fresh=lambda other: self.judge.is_fresh(key, other),
            numbers=here,
            ordered=ordered,
            altered=altered,
            is_left=self._is_left,
            by_cells=self._written_here(key, meta),
            vouched=call is not None and call.stale == "restore",
            before=before,
        )
        return needs.needed(meta, later)

    def _written_here(self, key: PipelineKey, meta: Mapping[str, Any]) -> Set[str]:
        """Files that unmarked cells wrote in this kernel, and those steps that ran and come before a step."""
        kernel, metas = self._kernel, self._neighbours.of_pipeline(key)
        steps = kernel.registry.pipeline(key).steps
        ran = (step for step, one in steps.items() if step < meta["step"] and one.state == "ran")
        some = (metas[step] for step in ran if step in metas and metas[step]["kind"] == kernel.kind)
        return kernel.history.written.union(*map(needs.written, some))

    def _digest(self, name: str) -> str | None:
        """Digest of a name's sharing group if nothing shares with it; None if it cannot be pickled."""
        kernel = self._kernel
        state = delta.look({name: kernel.namespace[name]}, kernel.main, makers=kernel.makers)
        return None if state.looks[name].digest is None else delta.Groups([name], state).digests()[name]

    def fingerprint(self, name: str, seen: Seen | None = None) -> str | None:
        """What is known, in every kernel, of a value that no step of this pipeline made; `seen` is a look at it."""
        kernel = self._kernel
        if name in self._fingerprints:
            return self._fingerprints[name]
        digest = canonical.fingerprint(kernel.namespace[name])
        if digest is None:
            pipelines = kernel.registry.pipelines().values()
            digest = next((f"{_GROUP}{one.producers[name][1]}" for one in pipelines if name in one.producers), None)
        if digest is None:
            digest = self._looked(name, seen)
            if digest is None and kernel.watch.code_of(name) is not None:  # e.g. a connection: to what, the cells say
                found = (kernel.history.origins([name]) or {}).get(name)
                digest = None if found is None else f"code:{found}{kernel.history.digest_read_for([name])}"
        if digest is not None and weak.has_end(kernel.namespace[name]):  # which the cells say
            digest = f"{digest} {(kernel.history.origins([name]) or {}).get(name)}"
        self._fingerprints[name] = digest
        return digest

    def _now(self, name: str, then: str) -> str | None:
        """The fingerprint of a name that may have become a step's, its cell having been marked, in the form of then."""
        found = self.fingerprint(name)
        is_made = then.startswith(_LOOKED) and found is not None and found.startswith(_GROUP)
        is_known = is_made and not self._kernel.watch.is_suspect(name)
        return (self._looked(name) or found) if is_known else found

    def _looked(self, name: str, seen: Seen | None = None) -> str | None:
        kernel = self._kernel
        values = {name: kernel.namespace[name]}
        seen = seen or delta.named(self._named, values).get(name)
        if seen is None:
            seen = delta.look(values, kernel.main, kernel.pages, kernel.makers).looks[name]
        return None if seen.digest is None else f"{_LOOKED}{seen.digest}"

    def _look_at_named(self, names: Iterable[str]) -> None:
        """Look at what is written as a name, and at all of it at once: to begin a look takes longer than the rest."""
        kernel = self._kernel
        values = {name: kernel.namespace[name] for name in names}
        values = {name: value for name, value in values.items() if references.by_reference(value)}
        known = delta.named(self._named, values)
        if known.keys() != values.keys():
            self._named |= delta.look(values, kernel.main, kernel.pages, kernel.makers, known).looks

    def _defines(self, name: str) -> bool:
        """Whether a name means a function or class of the notebook: what that is, is compared by its code."""
        value = self._kernel.namespace.get(name)
        return issubclass(type(value), (type, types.FunctionType)) and not references.importable(value)

    def _defined(self, qualified: str, then: str) -> str | None:
        """Digest of what a qualified name means in the namespace now, if that is a definition; see `digest_as`."""
        kernel = self._kernel
        found = references.at(qualified, kernel.namespace)
        if not issubclass(type(found), (type, types.FunctionType)) or references.importable(found):
            return None
        return kernel.makers.digest_as(found, then)

    def _told_apart(self, meta: Mapping[str, Any], look: Look | None) -> Iterator[Cause]:
        """Functions and classes that were several of one name to the variables which the step reads, or are so now.

        What a placeholder stands for is what it was, as its digest tells.
        """
        then = (meta["evidence"] or {}).get("apart", {})
        now: Mapping[str, Sequence[Sequence[str]]] = look.apart if look is not None else then
        lost = {name for name, value in self._kernel.namespace.items() if placeholder.lost_origin(value) is not None}
        for name in sorted(then.keys() | now.keys()):
            before, found = (_without(lost, groups.get(name, ())) for groups in (then, now))
            if before != found:
                variables = sorted({one for names in (*before, *found) for one in names})
                told = ", ".join(f"`{one}`" for one in variables[:3])
                yield Cause("name", name, f"{told} do not lead to the same `{name}` as they did")


def _without(lost: Set[str], groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Groups of names without some; a single one tells nothing apart."""
    left = sorted({tuple(name for name in names if name not in lost) for names in groups} - {()})
    return left if len(left) > 1 else []
