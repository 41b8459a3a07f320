"""Save what a step changed: what goes into its checkpoint, what META says of it, what the banner must tell."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, BinaryIO, Final

from ckpt_magic.errors import LostValueError, NotPicklableError
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Draft, Store
from ckpt_magic.steps import above, around, interrupts, record, refusals, registry, saves, upkeep
from ckpt_magic.steps.buffers import Buffers
from ckpt_magic.steps.judging import hidden
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.loading import LEFT_OUT, Loader
from ckpt_magic.steps.looks import RESULT
from ckpt_magic.steps.plan import Outcome, Plan, contents_of, facts_of
from ckpt_magic.values import ambient, delta, owned
from ckpt_magic.values.code import reaching
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles import pickling, placeholder, references, tensors

MUCH_CARRIED = 100_000_000  # bytes that a step may save without having changed them, before the banner says so


class Saver:
    """Saves the checkpoints of one kernel."""

    def __init__(self, kernel: Kernel, loader: Loader) -> None:
        self._kernel = kernel
        self._loader = loader
        self._unlocked: set[Path] = set()

    def save(
        self,
        plan: Plan,
        outcome: Outcome,
        found: delta.Delta,
        surroundings: ambient.Change,
        released: interrupts.Released,
    ) -> dict[str, Any]:
        """Write the checkpoint of a step that ran.

        Returns
        -------
        dict
            The facts of the banner.

        Raises
        ------
        LostValueError
            The step used or holds a value that was lost.
        NotPicklableError
            A name of `--require`, or the return value of a method, cannot be saved.
        StoreError
            The file cannot be written, or a file changed that values were restored from.
        """
        kernel = self._kernel
        if kernel.quota is not None or saves.is_large(publisher().pending()):  # which has parts that this one may share
            self._wait(plan, released)
        kernel.mapped.refuse_changed()
        compare = kernel.compared.comparing()  # first: what is found damaged from here on is found by one of the two
        kernel.compared.refuse_damaged()
        if plan.used:
            raise LostValueError(f"the step used {', '.join(f'`{name}`' for name in plan.used)}, which was lost")
        for name in sorted(found.changed & found.lost.keys()):
            if found.lost[name] == placeholder.LOST_EARLIER and not self._was_here(plan, name):
                origin = placeholder.lost_origin(kernel.namespace.get(name))
                which = "a value that" if origin is None else f"the {origin[0]} of step {origin[1]}, which"
                raise LostValueError(f"`{name}` holds {which} was lost")
        result = self._result(found, outcome)
        try:
            return self._write(plan, outcome, found, surroundings, result, compare, released)
        except NotPicklableError:
            refused = self._refused(found, result[0])
            if not refused:
                raise
            found.lose(refused)
            result = ({}, refused[RESULT]) if RESULT in refused else result
            return self._write(plan, outcome, found, surroundings, result, compare, released)

    def _write(
        self,
        plan: Plan,
        outcome: Outcome,
        found: delta.Delta,
        surroundings: ambient.Change,
        shown_last: tuple[dict[str, Any], str],
        compare: Callable[..., None] | None,
        released: interrupts.Released,
    ) -> dict[str, Any]:
        """Write the checkpoint, without the value of the last expression if there is a reason for that."""
        kernel = self._kernel
        extras, why = shown_last
        saved, unsaved, lost = self._choose(plan, found)
        if (shown := extras.get("result_name")) in unsaved:
            why = lost.get(shown, LEFT_OUT)
        result = {"variable": shown, "type": record.type_name(outcome.result), "reason": why} if why else None
        contents = contents_of(kernel.kind, plan.call.step, saved, surroundings.state, extras)
        used = self._used_names(plan, found)
        marks = registry.marks(
            plan.call,
            sorted(used),
            kernel.registry.pipeline(plan.key),
            plan.absent,
            plan.before.strays if plan.before is not None else frozenset(),
        )
        marks += plan.doubtful[:1]
        surrounded = self._around_of(plan, outcome)
        evidence = self._evidence_of(plan, outcome, used, surrounded["around"])
        marks += self._taken_from_later(plan, evidence)
        meta = record.meta_of(
            plan,
            outcome,
            found,
            surroundings,
            kernel=kernel.id,
            notebook=record.notebook_path(kernel.settings.notebook, plan.key.folder),
            kind=kernel.kind,
            saved=saved,
            unsaved=unsaved,
            order=[name for name in kernel.namespace if name in saved or name in unsaved],
            lost=[self._lost_row(plan, name, why) for name, why in lost.items()],
            result=result,
            used=used,
            renewed=self._renewed(plan),
            unmarked=kernel.watch.read_by_cells(plan.key),
            tell=kernel.evidence.variables.telling(),
            marks=marks,
            chance=self._chance_of(plan, surroundings),
            around=surrounded,
            evidence=evidence,
            loaded=plan.code.names.imports | self._loaded_by(plan),
            near=kernel.history.near,
        )

        buffers = Buffers(kernel.pages)
        before = plan.before.state.looks if plan.before is not None else {}
        kept = {name for name in saved.keys() & before.keys() if before[name].is_same_object(saved[name])}

        def dump(file: BinaryIO) -> pickling.Written:
            return kernel.pickle(contents, file, found, buffers.gathered, kept)

        def complete(written: pickling.Written) -> dict[str, Any]:
            stale = {token[1] for token in written.tokens if kernel.makers.is_stale(token)}
            marks.extend(f"with `{name}` of an earlier run" for name in sorted(stale))
            marks.extend(
                f"with {name}, which no import finds" for name in sorted(filter(owned.is_gone, written.modules))
            )
            buffers.read()
            meta["groups"] = found.groups | meta["groups"]
            left = {registry.HASH} if written.hashes else set[str]()
            left |= {registry.ADDRESSES} if found.keeps_addresses else set()
            return {
                **meta,
                "evidence": kernel.evidence.with_numbers(meta["evidence"], left),
                "marks": list(marks),
                "packages": record.packages(written.modules),
                "needs": list(written.needs),
                "definitions": {
                    qualified: digest
                    for (_, qualified, digest, _), defined in written.tokens.items()
                    if kernel.kind == "cell"
                    and qualified.partition(".")[0] not in plan.code.names.binds | saved.keys()
                    and references.at(qualified, kernel.main) is defined
                },
            }

        def write(file: BinaryIO) -> pickling.Written:
            told = sum(row["bytes"] or 0 for row in meta["variables"])
            with released(), kernel.progress(f"saving step {plan.call.step}", told) as advance:
                written: pickling.Written = files.write(
                    file,
                    dump,
                    outputs=outcome.outputs,
                    meta=complete,
                    keyring=kernel.keyring,
                    new_hash=new_hash,
                    progress=advance,
                    known=buffers.known,
                )
                buffers.written(path, file)
            return written

        store = kernel.store(plan.key.folder)
        path = store.path(plan.key.name, plan.key.version, plan.call.step)
        upkeep.refuse_without_room(store, found, saved)
        draft, _ = store.write(path, write, keep=plan.keep)
        try:
            self._wait(plan, released)  # for the one before it, which the disk worked on meanwhile
            others = upkeep.replaced(path, kernel.keyring, kernel.id, kernel.began) + self._without_locks(draft)
            if kernel.sync:
                with released():
                    if compare is not None:
                        compare(kernel.progress)
                    draft.publish()
            self._loader.published(plan.key)
            kernel.note_written(
                plan.key,
                plan.call.step,
                meta["groups"],
                found.deleted,
                code=plan.code.source,
                kinds=record.kinds_of(meta),
                outlines=meta["outlines"],
                size=draft.size,
            )
            pipeline = kernel.registry.pipeline(plan.key)
            pipeline.held.update(record.held_by(meta))
            for row in evidence["written"]:
                pipeline.files.pop(row["path"], None)
            kernel.chance.mover = plan.call.step if meta["moved"] else kernel.chance.mover
            kernel.remember(plan, "ran", plan.reason, seconds=outcome.seconds)
        except BaseException:  # nobody else knows of it yet
            draft.discard()
            raise
        if not kernel.sync:
            kernel.saves.submit(plan, draft, meta["groups"], compare)
        notes = plan.notes + self._save_notes(plan, lost, surroundings, marks, outcome) + _carried(found, saved)
        notes += others + self._keep_to_quota(store, {path: draft.size})
        if result is not None and shown is None:
            notes.append(f"the result ({result['type']}) cannot be saved")
        return facts_of(
            plan, "saved", notes, variables=len(meta["variables"]), size=draft.size, seconds=outcome.seconds
        )

    def _refused(self, found: delta.Delta, extras: Mapping[str, Any]) -> dict[str, str]:
        """Which values cannot be written though they could be looked at, and why."""
        kernel = self._kernel
        reasons = {}
        values = {**found.values, RESULT: extras["result"]} if "result" in extras else found.values
        with Path(os.devnull).open("wb") as nowhere:
            for name, value in values.items():
                try:
                    kernel.pickle(pickling.Contents(kernel.kind, {name: value}), nowhere, found)
                except NotPicklableError as error:
                    reasons[name] = str(error)
        return reasons

    def _wait(self, plan: Plan, released: interrupts.Released) -> None:
        """Wait for the save before, and take note if it failed."""
        with released():
            self._kernel.wait()
        for text in self._kernel.saves.settle(plan):
            refusals.warn(text)

    def _without_locks(self, draft: Draft) -> list[str]:
        """Say once per folder that its file system has no locks."""
        folder = draft.path.parent
        if draft.is_locked or folder in self._unlocked:
            return []
        self._unlocked.add(folder)
        return [f"file locks do not work in {folder}: save a pipeline from one kernel at a time"]

    def _keep_to_quota(self, store: Store, coming: Mapping[Path, int]) -> list[str]:
        kernel = self._kernel
        if kernel.quota is None:
            return []
        return upkeep.keep_to_quota(store, kernel.keyring, kernel.quota, coming=coming, spared=kernel.mapped.needed())

    def _result(self, found: delta.Delta, outcome: Outcome) -> tuple[dict[str, Any], str]:
        """The last expression's value, by name where it is a variable's; and why it cannot be saved, if it cannot."""
        value, reason = found.values.pop(RESULT, None), found.lost.pop(RESULT, None)
        found.changed.discard(RESULT)
        if not outcome.has_result or reason is not None:
            return {}, reason or ""
        for name, variable in self._kernel.names().items():
            if variable is outcome.result and type(variable) not in references.ATOMS:
                return {"result_name": name}, ""
        return {"result": outcome.result if value is None else value}, ""

    def _choose(self, plan: Plan, found: delta.Delta) -> tuple[dict[str, Any], list[str], dict[str, str]]:
        """Split what changed into saved, not saved (bound to placeholders later) and lost."""
        kernel = self._kernel
        call = plan.call
        only = set(call.save) - set(self.unknown(plan, found))
        asked = {name for name in (*found.values, *found.lost) if name not in call.drop and (not only or name in only)}
        saved = {name: value for name, value in found.values.items() if name in asked}
        unsaved = [name for name in (*found.values, *found.lost) if name not in saved]
        lost = {name: why for name, why in found.lost.items() if name in asked}
        for name in call.require:
            if name not in saved and (name in unsaved or name not in kernel.namespace):
                why = found.lost.get(name, "it is not among what is saved")
                raise NotPicklableError(f"step {call.step}: --require {name}: {why}; nothing was saved")
        if kernel.kind == "method" and (own := f"step_{call.step}") in found.lost:
            raise NotPicklableError(
                f"step {call.step}: its return value ({record.type_name(kernel.namespace[own])}) cannot be saved: "
                f"{found.lost[own]}; the earlier checkpoint, if any, stays"
            )
        return saved, unsaved, lost

    def unknown(self, plan: Plan, found: delta.Delta) -> list[str]:
        """Names of `--save` and `--drop` that do not exist after the cell; one that it drops may come and go in it."""
        here = found.values.keys() | found.lost.keys() | self._kernel.namespace.keys()
        dropped = [name for name in plan.call.drop if name not in plan.code.names.binds]
        return [name for name in dict.fromkeys((*plan.call.save, *dropped)) if name not in here]

    def _used_names(self, plan: Plan, found: delta.Delta) -> set[str]:
        """Names that the step read or holds jointly: they existed before it."""
        before = plan.before
        assert before is not None
        held = found.values.keys() | found.lost.keys() | set(found.deleted)
        return before.reads | (held & before.state.looks.keys()) - self._renewed(plan)

    def _renewed(self, plan: Plan) -> set[str]:
        """Names that it has bound anew, whatever they held before."""
        assert plan.before is not None
        return plan.before.renewed(self._kernel.namespace) | plan.code.names.renews

    def _evidence_of(
        self, plan: Plan, outcome: Outcome, used: Set[str], surroundings: Mapping[str, Any]
    ) -> dict[str, Any]:
        before, running, kernel = plan.before, plan.running, self._kernel
        assert before is not None
        assert running is not None
        setters = {part: one.setter for part, one in before.around.items()}
        secretive = kernel.evidence.secretive(None, running.look)
        standing = above.Standing(kernel, plan.key, secretive, surroundings, setters)
        evidence = kernel.evidence.of_step(
            plan.code,
            running,
            hidden=hidden(plan.key),
            seen=before.seen,
            unmade=before.unmade,
            always=plan.call.always,
            rests=before.use.having_shown(outcome.outputs).rests_on(),
            imported=kernel.history.imported(),
            called=standing.called,
            between=kernel.history.read_between(),
        )
        names = {*before.seen, *before.unmade, *kernel.history.touched(used)}
        return evidence | standing.of(names, plan.code.names.imports, evidence, before.mover)

    def _taken_from_later(self, plan: Plan, evidence: Mapping[str, Any]) -> list[str]:
        """Marks: a file that it read was as it or a later step had left it, and not as the one above that was restored.

        That one was restored since nobody knew that this one would run, whose cell was edited.
        """
        kernel, step = self._kernel, plan.call.step
        files = kernel.registry.pipeline(plan.key).files
        met = [(row, *files[row["path"]]) for row in evidence["files"] if row["path"] in files]
        doubtful = [(row, lower) for row, lower, then in met if lower < step and not record.is_same_file(then, row)]
        for entry in kernel.store(plan.key.folder).entries(plan.key.name, plan.key.version) if doubtful else ():
            stored = kernel.open(plan.key, entry.step) if entry.step >= step else None
            left = (stored.meta["evidence"] or {}).get("written", ()) if stored is not None else ()
            for row, lower in doubtful:
                if any(record.is_same_file(one, row) for one in left):
                    plan.notes.append(f"start at {lower} to have it as that leaves it (`%ckpt_start {lower}`)")
                    return [f"on `{row['path']}` as step {entry.step} had left it, not step {lower}"]
        return []

    def _loaded_by(self, plan: Plan) -> Set[str]:
        """The user's own modules that the step loaded, however it did: what they do where they are loaded goes on."""
        assert plan.running is not None
        return self._kernel.evidence.modules.loaded_by((plan.key, plan.call.step), plan.running.loaded)

    def _chance_of(self, plan: Plan, surroundings: ambient.Change) -> dict[str, Any]:
        before = plan.before
        assert before is not None
        return self._kernel.chance.of_step(before.ambient.generators, surroundings.state["generators"], before.seeded)

    def _around_of(self, plan: Plan, outcome: Outcome) -> dict[str, Any]:
        before, running, kernel = plan.before, plan.running, self._kernel
        assert before is not None
        assert running is not None
        own = functools.cache(lambda: kernel.evidence.modules_behind(plan.code, running, kernel.history.imported()))
        use = before.use.having_shown(outcome.outputs)
        secret = kernel.keyring.signing.secret
        rows = around.rows(before.around, use, own, plan.key, plan.call.step, plan.sets, secret)
        return {"around": rows, "sets": dict(plan.sets), "shown": sorted(use.shown)}

    def _lost_row(self, plan: Plan, name: str, why: str) -> dict[str, Any]:
        """For META; what was lost earlier, and is only passed on, is told as it was then."""
        assert plan.before is not None
        value = self._kernel.namespace[name]
        known = {} if name in self._renewed(plan) else plan.before.producers
        kind, step = placeholder.lost_origin(value) or (record.type_name(value), known.get(name, (plan.call.step,))[0])
        row = {"name": name, "type": kind, "reason": why, "step": step, "via": self._ways_to(name)}
        number = tensors.number_of(value)
        return row if number is None else {**row, "number": number.hex()}

    def _ways_to(self, lost: str) -> list[str]:
        """Names of functions, classes and objects whose code reads a lost name."""
        kernel = self._kernel
        return [
            name
            for name, value in kernel.names().items()
            if name != lost
            and type(value) not in references.ATOMS
            and not references.by_reference(value)
            and lost in reaching.reachable([name], kernel.namespace)
        ]

    def _was_here(self, plan: Plan, name: str) -> bool:
        """Whether a name holds the very object that it held before the step."""
        looks = plan.before.state.looks if plan.before is not None else {}
        return name in looks and looks[name].is_same_object(self._kernel.namespace.get(name))

    def _save_notes(
        self, plan: Plan, lost: Mapping[str, str], surroundings: ambient.Change, marks: Sequence[str], outcome: Outcome
    ) -> list[str]:
        rows = [  # but for those that it ran for
            self._lost_row(plan, name, why) for name, why in lost.items() if f"`{name}`" not in plan.reason
        ]
        mine = [row for row in rows if placeholder.lost_origin(self._kernel.namespace[row["name"]]) is None]
        notes = [f"`{row['name']}` ({row['type']} of step {row['step']}) was lost" for row in rows if row not in mine]
        if len(mine) <= _MANY_LOST:
            notes = [f"`{row['name']}` ({row['type']}) cannot be saved" for row in mine] + notes
        else:  # names that share one value, more often than not
            notes.insert(0, ", ".join(f"`{row['name']}`" for row in mine) + " cannot be saved")
        notes += [f"{name} cannot be restored" for name in surroundings.refused]
        notes += [mark for mark in marks if not mark.startswith("without")]
        unread = sorted(plan.before.strays - plan.before.reads) if plan.before is not None else []
        notes += [f"`{name}` was changed outside any cell" for name in unread[:3]]
        if outcome.outputs_cut is not None:
            notes.append("displayed more than is recorded")
        return notes


_MANY_LOST: Final = 3  # in one step: their types are left to its status


def _carried(found: delta.Delta, saved: Mapping[str, Any]) -> list[str]:
    """Say when sharing makes a step save much that it did not change."""
    carriers = [name for name in found.carried if name in saved]
    total = sum(found.carried[name] for name in carriers)
    if total <= MUCH_CARRIED:
        return []
    others = sorted((found.changed & saved.keys()) - set(carriers))
    shared = f", shared with {', '.join(f'`{name}`' for name in others[:3])}" if others else ""
    return [
        f"carries {record.size(total)} that it did not change ({', '.join(f'`{n}`' for n in carriers[:3])}{shared})"
    ]
