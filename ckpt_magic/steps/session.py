"""One step from decision to saved checkpoint. Knows values, files and the registry; imports no IPython.

A `Session` holds what one kernel (for the class: one call of `run`) knows. The faces call, per step,
`begin`, then `restore` from inside the cell or nothing, then `finish`.
"""

from __future__ import annotations

import ast
import functools
import types
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Set
from contextlib import suppress
from time import perf_counter, sleep, time, time_ns  # a notebook may put a clock of its own into the module
from typing import Any

from ckpt_magic.errors import (
    CheckpointError,
    CheckpointUnreadableError,
    DamagedError,
    NotPicklableError,
    StaleError,
    StoreError,
    UsageError,
)
from ckpt_magic.files import format as files
from ckpt_magic.files import usage
from ckpt_magic.files.publishing import publisher
from ckpt_magic.steps import confirming, failures, interrupts, record, refusals, registry
from ckpt_magic.steps.accepting import Accepting
from ckpt_magic.steps.advice import Advice
from ckpt_magic.steps.advising import Advising
from ckpt_magic.steps.fitting import Fitting
from ckpt_magic.steps.freshness import Cause, Verdict
from ckpt_magic.steps.judging import CellsAfter, hidden, unknown_code
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.loading import Loader
from ckpt_magic.steps.looks import RESULT, Looks
from ckpt_magic.steps.opened import Trail
from ckpt_magic.steps.plan import Body, Code, Loaded, Outcome, Plan, Restored, code_of, facts_of
from ckpt_magic.steps.registry import Decision, PipelineKey, StepCall
from ckpt_magic.steps.saves import not_saved
from ckpt_magic.steps.saving import Saver
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.unheard import HeldBack
from ckpt_magic.values import ambient, delta, fingerprint, owners, sharing
from ckpt_magic.values.code import modulecode, reaching, source, syntax
from ckpt_magic.values.pickles.forms import Token

CellOf = Callable[[PipelineKey, int], tuple[StepCall, Body] | None]

_TRIES = 8


class Session(Kernel):
    """What one kernel knows of its steps, and the life of a step in it.

    Parameters
    ----------
    namespace, settings, options
        Of `Kernel`.
    lives
        For the class: finds the live definition for a token of a file.
    cells_after
        Gives the cells that come after a step, given its number and the text of its cell (None for its number
        alone); None if nobody knows them.
    cell_of
        Gives a step of the notebook, as its file has it; None if it is not known.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        settings: Settings,
        *,
        lives: Callable[[Token], Any | None] | None = None,
        cells_after: CellsAfter = lambda *_: None,
        cell_of: CellOf = lambda *_: None,
        **options: Any,
    ) -> None:
        super().__init__(namespace, settings, **options)
        self._fitting = Fitting(self, cells_after)
        self._advising = Advising(self, cells_after)
        self._looks = Looks(self, self._fitting)
        self._loader = Loader(self, lives or self.makers.find)
        self._saver = Saver(self, self._loader)
        self._cell_of = cell_of
        self._accepting = Accepting(self, self._fitting, self._looks)
        self._met: dict[tuple[PipelineKey, int], tuple[StepCall, Code, float]] = {}
        self._cell: ast.Module | None = None
        self._reading: tuple[Trail, int, Set[str] | None] | None = None  # of the unmarked cell that runs

    # -- one step -------------------------------------------------------------------------------------------

    def begin(self, call: StepCall, body: Body) -> Plan:
        """Decide whether a step cell runs or is restored, and prepare it.

        A restore is read into a scratch place here: only then is the choice final. Nothing of the namespace
        is touched.

        Raises
        ------
        UsageError
            An argument is wrong, or a name of `--save`, `--drop`, `--require` is known not to exist.
        CheckpointError
            The checkpoint may not be restored or replaced; the message says what to do.
        """
        return self.begin_code(call, code_of(body))

    def begin_code(self, call: StepCall, code: Code) -> Plan:
        """Do `begin` for code of any kind."""
        news = self._news()
        try:
            plan = self._begin_in_turns(call, code)
            self._met[plan.key, call.step] = call, code, time()
            return plan
        finally:  # not earlier: what was waited for meanwhile is cleared away, with all that the cell showed before
            for text in news:
                refusals.warn(text)

    def _begin_in_turns(self, call: StepCall, code: Code) -> Plan:
        for turn in range(1, _TRIES):
            with suppress(StoreError):  # another process replaced the file between two reads of it
                return self._begin(call, code)
            sleep(0.02 * turn)
        return self._begin(call, code)

    def _begin(self, call: StepCall, code: Code) -> Plan:
        plan = Plan(call, self.settings.resolve(call), code)
        refusals.refuse_unknown_names(self, plan)
        start = self.settings.start(plan.key.name)
        stored = self.open(plan.key, call.step, ahead=True)
        meta = refusals.readable_meta(self, plan, stored, start)
        if meta is not None:
            refusals.refuse_other_kind(self, plan, meta)
            plan.history = list(meta["codes"])
        try:
            reach = self._looks.reach(code)
            look = self.evidence.look(call, code, reach, self.watch.made())
            decision = self._fitting.decide(call, plan.key, code, meta, start, look=look)
        except CheckpointError:
            raise
        except Exception as error:  # noqa: BLE001  # what is looked at is the user's; the cell must run all the same
            plan.unseen, self.active = _told(error, ""), plan
            return plan
        if decision.action == "refuse":
            raise StaleError(
                f"step {call.step}: its checkpoint is stale: {decision.reason}; run the step (`--stale run`), or "
                "restore it all the same (`--stale restore`)"
            )
        if meta is not None:
            refusals.refuse_other_notebook(self, plan, meta, decision)
        if decision.action == "restore" and stored is not None:
            decision = self._try_to_load(plan, stored, start, decision)
        plan.action, plan.reason = "run" if decision.action == "run" else "restore", decision.reason
        if decision.note:
            plan.notes.append(decision.note)
        if meta is not None and decision.action == "restore":
            plan.notes += [f"`{row['name']}` could not be saved" for row in meta["lost"]]
            if meta["result"] and meta["result"]["variable"] is None:
                plan.notes.append("the result could not be saved")
            plan.notes += [line for line in record.other_versions(meta) if line not in decision.note]
            if stored is not None and not decision.note:
                confirming.confirm(self, plan, stored, look)
        self._note_absent_steps(plan)
        refusals.note_renamed(self, plan)
        if plan.action == "run":
            if "signal" in code.source:
                self.wait()  # the handlers that the code sees must be the program's own
            try:
                with publisher().unguarded():
                    plan.before = self._looks.before(plan, reach)
                self.makers.notice()
                plan.running = self.evidence.begins(call, look, hidden=hidden(plan.key))
                plan.running.trail.compiles = functools.partial(self._looks.compiled, plan)
            except Exception as error:  # noqa: BLE001  # looking runs user code; the cell must run all the same
                plan.unseen = _told(error, "")
        self.active = plan
        return plan

    def restore(self, plan: Plan) -> Restored:
        """Put the values of a loaded checkpoint in place: all or nothing has been read before."""
        loaded = plan.loaded
        if loaded is None:
            raise CheckpointError(f"step {plan.call.step}: nothing was loaded")
        began = perf_counter()
        with interrupts.held(), HeldBack():
            replaced = self.put(plan.key, loaded, ambient_too=True)
        extras, missing = loaded.contents.extras, loaded.meta["result"]
        result = self.namespace.get(extras["result_name"]) if "result_name" in extras else extras.get("result")
        if missing:
            result = self.placeholder("_", plan.key, plan.call.step, missing["type"])
        plan.restore_seconds = (plan.restore_seconds or 0.0) + perf_counter() - began
        has_result = bool(missing or "result" in extras or "result_name" in extras)
        return Restored(loaded.outputs, has_result, result, replaced)

    def finish(self, plan: Plan, outcome: Outcome) -> dict[str, Any] | None:
        """Note what a step did and save its checkpoint.

        Returns
        -------
        dict or None
            The facts of the banner; None if the step failed.

        Raises
        ------
        NotPicklableError
            A name of `--require` cannot be saved.
        UsageError
            A name of `--save` or `--drop` turned out not to exist; all else is saved.
        """
        with interrupts.held() as released, self.makers.step(f"{plan.key.name}:{plan.call.step}"):
            self.active = None
            self.evidence.ends(plan.running)
            if plan.action == "restore":
                return self._finish_restored(plan) if outcome.success else None
            if plan.unseen:
                return self._not_looked_at(plan, outcome, plan.unseen)
            if plan.before is None:
                return None
            self.chance.ran(lambda: self._seeds(plan.code.source, plan.code.names))
            try:
                with released(), publisher().unguarded():
                    with self.makers.aside():
                        self._looks.named(plan)
                    found, surroundings = self._looks.after(plan, outcome)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # looking runs user code; the cell ran
                return self._not_looked_at(plan, outcome, _told(error, "interrupted while looking at what changed"))
            if not outcome.success:
                changed = found.changed - {RESULT}
                self.note_failed(plan.key, plan.call.step, changed, found.deleted, code=plan.code.source)
                with released():
                    why = failures.keep(self, plan, outcome, found)
                self.remember(plan, "failed", f"the cell failed; {why}" if why else "the cell failed")
                return None
            self._note_made_anew(plan)
            try:
                facts = self._saver.save(plan, outcome, found, surroundings, released)
            except (Exception, KeyboardInterrupt) as error:  # pickling runs user code; the cell ran
                reason = _told(error, "interrupted while saving")
                self._note_unsaved(plan, found, outcome, reason)
                if isinstance(error, NotPicklableError) and (plan.call.require or self.kind == "method"):
                    raise
                return self._not_saved(plan, outcome, reason)
            failures.forget(self, plan)
            if unknown := self._saver.unknown(plan, found):
                raise UsageError(
                    f"step {plan.call.step}: --save or --drop names {', '.join(f'`{name}`' for name in unknown)}, not "
                    "there after the cell; it ran, and its checkpoint was saved as if that had not been asked for; "
                    "correct the name"
                )
            return facts

    def narrow_reads(self, plan: Plan, names: set[str]) -> None:
        """Tell, after a method ran, which outputs and attributes it can have read."""
        before = plan.before
        if before is not None:
            before.reads &= names
            absent = names - before.state.looks.keys() - before.producers.keys() - {"*"}
            before.seen = {name: digest for name, digest in before.seen.items() if name in names}
            before.unmade = names - before.producers.keys() - before.seen.keys()
            before.seen |= dict.fromkeys(absent, record.ABSENT)
            before.reached = sharing.closure(before.state.links, before.reads)

    def abandon(self, plan: Plan, reason: str) -> None:
        """Give up a step whose end was not seen: nothing is saved, and it counts as failed."""
        self.active = None
        self.evidence.ends(plan.running)
        self.watch.lost_track()
        self.remember(plan, "failed", reason)

    def reset(self) -> None:
        """Forget everything that the namespace held (`%reset`)."""
        self.clear()
        self._met.clear()
        self._fitting.forget()
        self._advising.forget()

    def tell(self) -> None:
        """Warn of saves that failed in the background, and of damage found there, since the last time."""
        for text in self._news():
            refusals.warn(text)

    def _news(self) -> list[str]:
        publisher().guard()
        return [*self.saves.settle(self.active), *self.compared.settle(self.registry)]

    # -- unmarked cells -------------------------------------------------------------------------------------

    def loaded_by(self, text: str) -> None:
        """Note the code of the cell that loaded us, which has just ended, and of those before it."""
        for tree in map(syntax.parsed, self.around.loaded_by(text)):
            if tree is not None:  # what is no Python did not run
                self.history.cell(tree)

    def cell_begins(self, tree: ast.Module | None = None) -> None:
        """Note what an unmarked cell can reach, so that its changes are not taken for a step's."""
        self.tell()
        self._fitting.forget()
        self._cell, self.in_cell = tree, True
        self.history.cell(tree)
        self.evidence.definitions.texts.met(tree)
        found = self.watch.cell_begins(tree)
        own = [] if found is None else [*self._own_code(found[0], found[1]).values()]
        self.watch.enters(self.around.cell_begins(tree, found, self.places, map(modulecode.words, own)))
        self.end_reading()
        words = None if found is None else found[2].read.union(*(modulecode.words(text).read for text in own))
        self._reading = self.evidence.cell_begins(words), time_ns(), words
        self._reading[0].compiles = self._compiled_in_cell

    def _compiled_in_cell(self, code: str | types.CodeType) -> None:
        """Note that an unmarked cell is about to run a text as code."""
        try:
            self.watch.enters(self.around.compiled(code, self.places))
        except Exception as error:  # noqa: BLE001  # what is looked at is the user's; the cell must go on all the same
            refusals.warn(f"what `{str(code)[:60]}` does cannot be seen: {_told(error, '')}")
            self.outside_ran()

    def cell_ends(self, *, failed: bool = False, text: str | None = None) -> list[Advice]:
        """Attribute what changed to the unmarked cell that just ended.

        One that used a lost value and ended well has caught the error and gone on without the value.

        Parameters
        ----------
        failed
            Whether it raised.
        text
            The whole text of the cell, if it is known.

        Returns
        -------
        list of Advice
            Where to start, if what it changed is read by stored steps and that was not said yet.
        """
        if (reading := self.end_reading()) is not None:
            folders = [folder for key in self.registry.pipelines() for folder in hidden(key)]
            texts = syntax.texts(self._cell) if self._cell is not None else ()
            self.history.cell_read(self.evidence.read_by_cell(*reading, texts, hidden=folders))
            self.history.written |= self.evidence.written_by_cell(reading[0], hidden=folders)
        self.tell()
        self.in_cell = False
        if failed:
            self.history.cell_failed()
        used, self.used = {} if failed else self.used, {}
        for name, (key, step) in used.items():
            self.registry.pipeline(key).used[name] = step
        changed = self.watch.cell_ends()
        self.evidence.modules.notice()
        cell, self._cell = self._cell, None
        self.around.cell_ends(self.places, lambda: self._lineage(cell))
        self.chance.ran(lambda: cell is None or self._seeds(cell, source.names(cell)))
        return self._advising.after_cell(changed, text) if self.advice and not failed else []

    def end_reading(self) -> tuple[Trail, int, Set[str] | None] | None:
        """Stop noting what an unmarked cell opens."""
        reading, self._reading = self._reading, None
        if reading is not None:
            self.evidence.cell_ends(reading[0])
        return reading

    def _own_code(self, names: source.Names, reached: Iterable[str]) -> dict[str, str]:
        """The texts of the user's own modules that code imports, or has by these names, and of those behind them."""
        values = (self.namespace[name] for name in reached if name in self.namespace)
        found = {*names.imports, *map(owners.module_of, values)}
        return self.evidence.modules.own(found - {"__main__"})  # whose code is looked at by itself

    def _lineage(self, cell: ast.Module | None) -> str:
        """What a cell did rests on this: its code, that of modules of the user's own, and files read for it."""
        found = self.watch.lineage(cell)
        if cell is None:
            return found
        names = source.names(cell)
        reached = reaching.reachable(names.reads, self.namespace)
        texts = self._own_code(names, reached)
        named = (reached | names.binds) & self.namespace.keys()
        read = self.history.digest_read_for(named, but_variables=True)  # they differ from one machine to the next
        return " ".join([found, *(modulecode.digest(text) for _, text in sorted(texts.items()))]) + read

    def _seeds(self, code: ast.Module | str, names: source.Names) -> bool:
        """Whether code seems to set the state of a random generator, itself or by a module of the user's own."""
        texts = self._own_code(names, reaching.reachable(names.reads, self.namespace)).values()
        return reaching.seeds(code, names.reads, self.namespace) or any(map(reaching.says_seed, texts))

    def outside_ran(self) -> None:
        """Note that code ran outside any cell: the callback of a widget, a silent execution, a debug console."""
        self.history.lost_track()
        self._fitting.outside_ran()

    def cell_inside(self, tree: ast.Module | None) -> None:
        """Note what a cell uses that runs while another one does."""
        self.watch.touches(tree)

    # -- deciding -------------------------------------------------------------------------------------------

    def outlook(self, key: PipelineKey, step: int, stored: files.StoredStep | None) -> Decision:
        """What the next run of a step will do, and why, as far as its file tells, without its cell."""
        start = self.settings.start(key.name)
        if stored is not None and stored.problem is None:
            if not registry.lets(start, step):  # of thousands of rows nothing more is asked
                return registry.decide(StepCall(step), self._fitting.known(key, _NO_CODE, None, start))
            stored = record.completed(stored)
        meta = stored.meta if stored is not None and stored.trust == "trusted" else None
        seen = self.registry.pipeline(key).steps.get(step)
        digest = seen.code if seen is not None and seen.code else (meta["code"] if meta else "")
        code = unknown_code(meta, digest)
        if stored is not None and stored.problem is not None:
            return Decision("run", str(stored.problem))
        call = _as_saved(step, meta) if meta else StepCall(step)
        return self._fitting.decide(call, key, code, meta, start)

    def appraise(self, key: PipelineKey, step: int, stored: files.StoredStep | None) -> Verdict:
        """Judge the file of a step as things are here now, by its cell where that is known: for people to look at."""
        if stored is None:
            return Verdict("missing")
        meta = record.completed(stored).meta if stored.problem is None else {}
        if stored.trust == "foreign" or meta.get("kind") == "foreign":
            return Verdict("foreign")
        if not meta or stored.trust != "trusted":
            return Verdict("could not tell", (Cause("evidence", "", str(stored.problem).splitlines()[0]),))
        here, cell = self.registry.pipeline(key).steps.get(step), self._cell_now(key, step)
        met = here is not None and here.state in ("ran", "restored")
        try:
            if cell is not None:
                look = self.evidence.look(*cell, self._looks.reach(cell[1]), self.watch.made())
                return self._fitting.verdict(key, cell[1], meta, cell[0], look, met=met)
            found = self._fitting.verdict(key, None, meta, _as_saved(step, meta), None, met=met)
        except UsageError as error:  # a `--key` that cannot be evaluated here
            return Verdict("could not tell", (Cause("key", "", str(error)),))
        unknown = Cause("code", "", "the code of its cell is not known here")
        return found if found.state != "fresh" else Verdict("could not tell", (unknown,))

    def is_met(self, key: PipelineKey, step: int) -> bool:
        """Whether a step has run, or was restored, in this kernel."""
        return step in self.registry.pipeline(key).steps

    def accept(self, key: PipelineKey, step: int, reason: str) -> list[str]:
        """Vouch for the stale checkpoint of a step; see `Accepting.accept`."""
        self._accepting.acceptable(key, step)
        cell = self._cell_now(key, step)
        if cell is None:
            raise UsageError(
                f"step {step}: the code of its cell is not known here: restore the step first (with `--stale restore`, "
                f"or `%ckpt_start {step + 1}`), or accept it in a shell: ckpt-magic accept NOTEBOOK --step {step}"
            )
        return self._accepting.accept(key, *cell, reason)

    def _cell_now(self, key: PipelineKey, step: int) -> tuple[StepCall, Code] | None:
        """A step as it was met here last, or as the notebook's file has it, if that was written later."""
        met, written = self._met.get((key, step)), 0.0
        if self.settings.notebook is not None:
            with suppress(OSError):
                written = self.settings.notebook.stat().st_mtime
        if met is not None and met[2] > written:
            return met[:2]
        found = self._cell_of(key, step)
        if found is not None:
            return found[0], code_of(found[1])
        return met[:2] if met is not None else None

    def _try_to_load(
        self, plan: Plan, stored: files.StoredStep, start: registry.StartPoint, decision: Decision
    ) -> Decision:
        self.wait(stored.path)
        began = perf_counter()
        try:
            with self.evidence.restoring():
                plan.loaded = self.load(stored, here=True)
        except DamagedError as problem:
            refusals.set_aside_damaged(self, plan, stored, problem)
            return Decision("run", "its checkpoint was damaged")
        except CheckpointUnreadableError as problem:
            if start != "auto" and (problem.name is not None or not record.is_same_environment(stored.meta)):
                raise CheckpointUnreadableError(
                    f"step {plan.call.step}: {problem}; install what is missing, or run the step and keep the old "
                    f"file: `%%step {plan.call.step} --force`",
                    name=problem.name,
                ) from problem
            plan.keep = True
            return Decision("run", f"its checkpoint cannot be read here: {problem}")
        rows = [(tuple(path), digest) for path, digest in stored.meta["owned"]]
        reason = ""
        if other := delta.differs_here(rows, self.main):
            reason = f"`{other}` is not what it was"
        elif missing := ambient.not_there(plan.loaded.contents.ambient):
            reason = f"{missing} is only there when code of the step registers it"
        if reason:
            plan.loaded.unheard.say()
            plan.loaded = None
            return Decision("run", reason)
        plan.restore_seconds = perf_counter() - began
        return decision

    def _note_absent_steps(self, plan: Plan) -> None:
        plan.absent = self._fitting.absent(plan)
        if plan.absent:
            verb = "is" if len(plan.absent) == 1 else "are"
            plan.notes.append(f"{registry.steps_text(plan.absent)} {verb} not in this kernel · %ckpt_load --push")

    # -- loading --------------------------------------------------------------------------------------------

    def load(
        self, stored: files.StoredStep, earlier: Mapping[Token, Any] | None = None, *, here: bool = False
    ) -> Loaded:
        """Read a checkpoint; see `Loader.load`."""
        return self._loader.load(stored, earlier, here=here)

    def put(self, key: PipelineKey, loaded: Loaded, *, ambient_too: bool) -> list[tuple[Any, Any]]:
        """Put what was loaded in place; see `Loader.put`."""
        self._fitting.forget()
        replaced = self._loader.put(key, loaded, ambient_too=ambient_too)
        usage.note(self.store(key.folder).path(key.name, key.version, loaded.meta["step"]))
        return replaced

    def _note_made_anew(self, plan: Plan) -> None:
        names = plan.code.names
        if self.kind == "method":
            self.compared.made_anew([f"step_{plan.call.step}"])
        else:
            self.compared.made_anew(names.renews)
            self.compared.made_anew(names.binds, (plan.key, plan.call.step))  # run again, what it restored is gone

    # -- what did not go as it should -----------------------------------------------------------------------

    def _note_unsaved(self, plan: Plan, found: delta.Delta, outcome: Outcome, reason: str) -> None:
        found.joint.digests()  # which the save would have asked for: the next look compares with them
        names = (found.values.keys() | found.lost.keys()) - {RESULT}
        groups = {name: f"unsaved:{uuid.uuid4().hex}" for name in names}
        self.note_written(plan.key, plan.call.step, groups, found.deleted, code=plan.code.source)
        self.remember(plan, "not saved", reason, seconds=outcome.seconds)

    def _not_looked_at(self, plan: Plan, outcome: Outcome, reason: str) -> dict[str, Any] | None:
        """Nobody knows what the step changed: from now on no checkpoint of this pipeline fits what is here."""
        self.watch.lost_track()
        for name in self.names(plan.code.names.binds):
            self.registry.pipeline(plan.key).producers[name] = (plan.call.step, f"{record.UNKNOWN}{uuid.uuid4().hex}")
        self.remember(plan, "not saved" if outcome.success else "failed", reason, seconds=outcome.seconds)
        return self._not_saved(plan, outcome, reason) if outcome.success else None

    def _not_saved(self, plan: Plan, outcome: Outcome, reason: str) -> dict[str, Any]:
        refusals.warn(not_saved(plan.key, plan.call.step, reason))
        return facts_of(plan, "not saved", [reason], variables=0, size=0, seconds=outcome.seconds)

    def _finish_restored(self, plan: Plan) -> dict[str, Any]:
        loaded = plan.loaded
        assert loaded is not None
        self.remember(plan, "restored", plan.reason)
        meta = loaded.meta
        return facts_of(
            plan,
            "restored",
            plan.notes,
            variables=len(meta["variables"]),
            size=loaded.size,
            seconds=meta["seconds"],
        )


def _as_saved(step: int, meta: Mapping[str, Any]) -> StepCall:
    """The call of a cell that is not known: it is taken to ask for what it asked for when it was saved."""
    lost = {row["name"] for row in meta["lost"]}
    return StepCall(step, drop=tuple(name for name in meta["unsaved"] if name not in lost))


def _told(error: BaseException, interrupted: str) -> str:
    """One line for people about what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return interrupted
    return str(error) if isinstance(error, CheckpointError) else fingerprint.reason(error)


_NO_CODE = unknown_code(None)
