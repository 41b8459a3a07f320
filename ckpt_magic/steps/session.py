"""One step from decision to saved checkpoint. Knows values, files and the registry; imports no IPython.

A `Session` holds what one kernel (for the class: one call of `run`) knows. The faces call, per step,
`begin`, then `restore` from inside the cell or nothing, then `finish`.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib
import time
import types
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ckpt_magic.errors import (
    CheckpointError,
    CheckpointUnreadableError,
    CheckpointWarning,
    DamagedError,
    LostValueError,
    NotPicklableError,
    OtherWriterError,
    StepNotFoundError,
    StoreError,
    UsageError,
)
from ckpt_magic.files import format as files
from ckpt_magic.files.payloads import Map
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring, load_keyring
from ckpt_magic.steps import activity, interrupts, needs, record, registry
from ckpt_magic.steps.chance import Chance
from ckpt_magic.steps.plan import Before, Body, Code, Loaded, Outcome, Plan, Restored, contents_of, values_of
from ckpt_magic.steps.registry import Decision, Known, PipelineKey, StepCall, StepRecord
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.watch import Watch
from ckpt_magic.values import (
    ambient,
    definitions,
    delta,
    fingerprint,
    holders,
    pickling,
    places,
    sharing,
    source,
    spots,
)
from ckpt_magic.values.fingerprint import Seen
from ckpt_magic.values.pages import Pages, new_hash

_TRIES = 8
MUCH_CARRIED = 100_000_000  # bytes that a step may save without having changed them, before the banner says so
_SMALL = 1 << 20  # bytes of a checkpoint whose values are cheap to look at before each decision
RESULT = "<result>"  # pseudo name of the last expression's value: no variable can be called so


class Session:
    """What one kernel knows of its steps.

    Parameters
    ----------
    namespace
        Where the notebook's variables live; steps change it.
    settings
        Name, version, folder and start point.
    kind
        `cell` or `method`.
    main
        Globals of the functions that the user wrote; by default `namespace`.
    is_hidden
        Tells which names of the namespace are not the user's.
    lives
        For the class: finds the live definition for a token of a file.
    owner
        For the class: the instance, which no saved value may hold.
    restore_random
        Whether random generators are put back.
    secrets
        Patterns of environment names whose values are never stored; None for the default ones.
    cells_after
        Gives the cells that come after a step, given its number and the text of its cell (None for its number
        alone); None if nobody knows them.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        settings: Settings,
        *,
        kind: Literal["cell", "method"] = "cell",
        main: dict[str, Any] | None = None,
        is_hidden: Callable[[str, Any], bool] = lambda name, value: False,
        lives: Callable[[pickling.Token], Any | None] | None = None,
        owner: object = None,
        restore_random: bool = True,
        secrets: Sequence[str] | None = None,
        cells_after: Callable[[PipelineKey, int, str | None], Sequence[needs.Cell] | None] = lambda *_: None,
    ) -> None:
        self.namespace = namespace
        self.main: dict[str, Any] = main if main is not None else namespace  # type: ignore[assignment]
        self.settings = settings
        self.kind = kind
        self.kernel = uuid.uuid4().hex
        self.registry = registry.Registry()
        self.active: Plan | None = None
        self._mapped: dict[tuple[PipelineKey, int], tuple[Map, set[str]]] = {}
        self._resizing: dict[PipelineKey, bool] = {}
        self.restore_random = restore_random
        self.secrets = secrets
        self.cells_after = cells_after
        self._is_hidden = is_hidden
        self._owner = owner
        self.makers = definitions.Makers(self.main)
        self._lives = lives or self.makers.find
        self._fingerprints: dict[str, str | None] = {}  # of names that no step made, until code runs
        self._keyring: Keyring | None = None
        self.pages = Pages()
        self.watch = Watch(namespace, self.main, self.registry, self.pages, self.makers)
        self._places = places.Places(self.main)
        self.chance = Chance()
        self._cell: ast.Module | None = None
        self.loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None  # where the notebook's tasks run

    # -- places ---------------------------------------------------------------------------------------------

    @property
    def keyring(self) -> Keyring:
        """The keys of this user, read when first needed."""
        if self._keyring is None:
            self._keyring = load_keyring()
        return self._keyring

    def forget_keys(self) -> None:
        """Read the keys anew at the next use (after `%ckpt_trust --key`)."""
        self._keyring = None

    def store(self, folder: Path) -> Store:
        """The store of a checkpoint folder; nothing is made before the first save."""
        return Store(folder)

    def open(self, key: PipelineKey, step: int) -> files.StoredStep | None:
        """FOOTER and META of a stored step; None if it is not there."""
        try:
            stored = files.open_checkpoint(self.store(key.folder).path(key.name, key.version, step), self.keyring)
        except StepNotFoundError:
            return None
        if stored.trust == "trusted":
            stored.meta.update({**record.EMPTY, **stored.meta})
        return stored

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
        digest = source.digest(body.tree) + (";" if source.is_quiet(body.source) else "")
        code = Code(body.source, digest, source.names(body.tree), tree=body.tree, cell=body.cell)
        return self.begin_code(call, code)

    def begin_code(self, call: StepCall, code: Code) -> Plan:
        """Do `begin` for code of any kind."""
        for turn in range(1, _TRIES):
            with suppress(StoreError):  # another process replaced the file between two reads of it
                return self._begin(call, code)
            time.sleep(0.02 * turn)
        return self._begin(call, code)

    def _begin(self, call: StepCall, code: Code) -> Plan:
        plan = Plan(call, self.settings.resolve(call), code)
        self._refuse_unknown_names(plan)
        start = self.settings.start(plan.key.name)
        stored = self.open(plan.key, call.step)
        meta = self._readable_meta(plan, stored, start)
        if meta is not None:
            self._refuse_other_kind(plan, meta)
            plan.history = list(meta["codes"])
        decision = registry.decide(call, self._known(plan.key, code, meta, start))
        if meta is not None:
            self._refuse_other_notebook(plan, meta, decision)
        if decision.action == "restore" and stored is not None:
            decision = self._try_to_load(plan, stored, start, decision)
        plan.action, plan.reason = decision.action, decision.reason
        if decision.note:
            plan.notes.append(decision.note)
        if meta is not None and decision.action == "restore":
            plan.notes += [f"`{row['name']}` could not be saved" for row in meta["lost"]]
            if meta["result"] and meta["result"]["variable"] is None:
                plan.notes.append("the result could not be saved")
        self._note_absent_steps(plan)
        self._note_renamed(plan)
        if plan.action == "run":
            self._stop_auto(plan, meta, start)
            try:
                plan.before = self._look_before(plan)
            except Exception as error:  # noqa: BLE001  # looking runs user code; the cell must run all the same
                plan.unseen = _told(error, "")
        self.active = plan
        return plan

    def restore(self, plan: Plan) -> Restored:
        """Put the values of a loaded checkpoint in place: all or nothing has been read before."""
        loaded = plan.loaded
        if loaded is None:
            raise CheckpointError(f"step {plan.call.step}: nothing was loaded")
        began = time.perf_counter()
        with interrupts.held():
            self.put(plan.key, loaded, ambient_too=True)
        extras, missing = loaded.contents.extras, loaded.meta["result"]
        result = self.namespace.get(extras["result_name"]) if "result_name" in extras else extras.get("result")
        if missing:
            result = pickling.make_placeholder("_", plan.call.step, missing["type"], self._placeholder_used)
        plan.restore_seconds = (plan.restore_seconds or 0.0) + time.perf_counter() - began
        return Restored(loaded.outputs, bool(missing or "result" in extras or "result_name" in extras), result)

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
            if plan.action == "restore":
                return self._finish_restored(plan) if outcome.success else None
            if plan.unseen:
                return self._not_looked_at(plan, outcome, plan.unseen)
            if plan.before is None:
                return None
            self.chance.ran(lambda: source.seeds(plan.code.source, plan.code.names.reads, self.namespace))
            try:
                with released():
                    found, surroundings = self._look_after(plan, outcome)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # looking runs user code; the cell ran
                return self._not_looked_at(plan, outcome, _told(error, "interrupted while looking at what changed"))
            if not outcome.success:
                self._note_failed(plan, found)
                return None
            try:
                facts = self._save(plan, outcome, found, surroundings, released)
            except (Exception, KeyboardInterrupt) as error:  # pickling runs user code; the cell ran
                reason = _told(error, "interrupted while saving")
                self._note_unsaved(plan, found, outcome, reason)
                if isinstance(error, NotPicklableError) and (plan.call.require or self.kind == "method"):
                    raise
                return self._not_saved(plan, outcome, reason)
            if unknown := self._unknown(plan, found):
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
            before.unmade = names - before.producers.keys() - before.seen.keys()
            before.seen = {name: digest for name, digest in before.seen.items() if name in names}
            before.reached = sharing.closure(before.state.links, before.reads)

    def abandon(self, plan: Plan, reason: str) -> None:
        """Give up a step whose end was not seen: nothing is saved, and it counts as failed."""
        self.active = None
        self.watch.lost_track()
        self._remember(plan, "failed", reason)

    def reset(self) -> None:
        """Forget everything that the namespace held (`%reset`)."""
        self.registry.clear()
        self.makers.clear()
        self._fingerprints.clear()
        self._mapped.clear()
        self._places = places.Places(self.main)
        self.watch.clear()
        self.active = None

    # -- unmarked cells -------------------------------------------------------------------------------------

    def cell_begins(self, tree: ast.Module | None = None) -> None:
        """Note what an unmarked cell can reach, so that its changes are not taken for a step's."""
        self._fingerprints.clear()
        self._cell = tree
        self.watch.cell_begins(tree)

    def cell_ends(self) -> None:
        """Attribute what changed to the unmarked cell that just ended."""
        self.watch.cell_ends()
        cell, self._cell = self._cell, None
        self.chance.ran(lambda: cell is None or source.seeds(cell, source.names(cell).reads, self.namespace))

    def outside_ran(self) -> None:
        """Note that code ran outside any cell: the callback of a widget, a silent execution, a debug console."""
        self._fingerprints.clear()
        self.watch.suspect_all()
        self.chance.ran(lambda: True)  # nobody knows whether it seeds them

    def cell_inside(self, tree: ast.Module | None) -> None:
        """Note what a cell uses that runs while another one does."""
        self.watch.touches(tree)

    # -- deciding -------------------------------------------------------------------------------------------

    def outlook(self, key: PipelineKey, step: int) -> Decision:
        """What the next run of a step will do, and why, as far as can be told without its cell."""
        stored = self.open(key, step)
        meta = stored.meta if stored is not None and stored.trust == "trusted" else None
        seen = self.registry.pipeline(key).steps.get(step)
        digest = seen.code if seen is not None and seen.code else (meta["code"] if meta else "")
        code = Code("", digest, _NO_NAMES)
        if stored is not None and stored.problem is not None:
            return Decision("run", str(stored.problem))
        lost = {row["name"] for row in meta["lost"]} if meta else set()
        dropped = tuple(name for name in meta["unsaved"] if name not in lost) if meta else ()
        call = StepCall(step, drop=dropped)  # the cell is taken to ask for what it asked for when it was saved
        return registry.decide(call, self._known(key, code, meta, self.settings.start(key.name)))

    def _known(self, key: PipelineKey, code: Code, meta: Mapping[str, Any] | None, start: registry.StartPoint) -> Known:
        pipeline = self.registry.pipeline(key)
        known = Known(start, meta, code.digest, self.kernel, self.kind, pipeline)
        if meta is None or not registry.lets(start, meta["step"]):
            return known
        if activity.going_on(self.main, self.loop()):
            self.outside_ran()
        unmade = set(self.namespace if "*" in meta["unmade"] else meta["unmade"])
        self.watch.settle({*meta["reads"], *meta["before"], *meta["seen"]} | unmade)
        here = self.namespace.keys() - pipeline.producers.keys()
        return replace(
            known,
            elsewhere={name: self._digest(name) for name in meta["reads"] if name in here},
            values={name: self._fingerprint(name) for name in meta["seen"] if self._is_users(name)},
            definitions={n: digest for n in meta["definitions"] if (digest := self._defined(n)) is not None},
            before={
                name: fingerprint.look(self.namespace[name], self.main, self.makers).digest
                for name in meta["before"]
                if name in here
            },
            generators=self.chance.misfits(meta),
            needed=self._needed(key, code, meta, start) if meta["unsaved"] or meta["result"] else "",
        )

    def _needed(self, key: PipelineKey, code: Code, meta: Mapping[str, Any], start: registry.StartPoint) -> str:
        """Which value that the checkpoint lacks is needed later, and by whom."""
        metas, elsewhere = {}, set()
        for entry in self.store(key.folder).entries():
            other = PipelineKey(key.folder, entry.name, entry.version)
            stored = self.open(other, entry.step)
            if stored is None or stored.trust != "trusted":
                continue
            if other == key:
                metas[entry.step] = stored.meta
            else:
                elsewhere |= {value.removeprefix("group:") for value in stored.meta["seen"].values()}

        def value(name: str) -> str | None:
            return self._fingerprint(name) if self._is_users(name) else record.ABSENT

        later = needs.Later(
            start,
            self.kernel,
            self.registry.pipeline(key),
            {step: one for step, one in sorted(metas.items()) if step > meta["step"] and one["kind"] == self.kind},
            self.cells_after(key, meta["step"], code.cell),
            self.watch.read_by_cells(key),
            frozenset(elsewhere),
            value,
        )
        return needs.needed(meta, later)

    def _digest(self, name: str) -> str | None:
        """Digest of a name's sharing group if nothing shares with it; None if it cannot be pickled."""
        state = delta.look({name: self.namespace[name]}, self.main, makers=self.makers)
        return None if state.looks[name].digest is None else delta.group_digests([name], state)[name]

    def _fingerprint(self, name: str, seen: fingerprint.Seen | None = None) -> str | None:
        """What is known, in every kernel, of a value that no step of this pipeline made; `seen` is a look at it."""
        if name in self._fingerprints:
            return self._fingerprints[name]
        digest = fingerprint.fingerprint(self.namespace[name])
        if digest is None:
            pipelines = self.registry.pipelines().values()
            digest = next((f"group:{one.producers[name][1]}" for one in pipelines if name in one.producers), None)
        if digest is None:
            one = {name: self.namespace[name]}
            looked = (seen or delta.look(one, self.main, self.pages, self.makers).looks[name]).digest
            code = self.watch.code_of(name) if looked is None else None  # e.g. of a connection: to what, the cell says
            digest = f"look:{looked}" if looked is not None else f"code:{code}" if code is not None else None
        self._fingerprints[name] = digest
        return digest

    def _is_users(self, name: str) -> bool:
        return name in self.namespace and not self._is_hidden(name, self.namespace[name])

    def _living(self, token: pickling.Token) -> Any | None:
        """What a token of a file stands for here: a definition of the notebook, or of a library that was set aside."""
        return self._places.original(token[1]) if token[0] == "original" else self._lives(token)

    def _defined(self, qualified: str) -> str | None:
        """Digest of the definition that a qualified name means in the namespace now, if it means one."""
        found = definitions.at(qualified, self.namespace)
        if not issubclass(type(found), (type, types.FunctionType)) or definitions.importable(found):
            return None
        return self.makers.digest(found)

    def _readable_meta(
        self, plan: Plan, stored: files.StoredStep | None, start: registry.StartPoint
    ) -> Mapping[str, Any] | None:
        """META of a file that may be restored or replaced; what may not stay is kept under another name."""
        if stored is None:
            return None
        call, key = plan.call, plan.key
        if stored.trust == "trusted":
            if not files.belongs(stored.meta, key.name, key.version, call.step) and not call.force:
                raise files.other_writer(stored.path, stored.meta)
            return stored.meta
        plan.keep = True
        if call.force or not registry.lets(start, call.step):
            return None
        if stored.trust == "damaged":
            self._set_aside_damaged(plan, stored, stored.problem)
        elif start != "auto" and stored.problem is not None:
            raise stored.problem
        else:
            plan.notes.append(f"the old file ({stored.trust}) is kept")
        return None

    def _set_aside_damaged(self, plan: Plan, stored: files.StoredStep, problem: CheckpointError | None) -> None:
        kept = self.store(plan.key.folder).set_aside(stored.path, "bad")
        plan.keep = False
        _warn(f"step {plan.call.step}: {problem}; the step runs, the old file is kept as {kept.name}")

    def _try_to_load(
        self, plan: Plan, stored: files.StoredStep, start: registry.StartPoint, decision: Decision
    ) -> Decision:
        began = time.perf_counter()
        try:
            plan.loaded = self.load(stored, here=True)
        except DamagedError as problem:
            self._set_aside_damaged(plan, stored, problem)
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
        other = delta.differs_here(rows, self.main)
        if other:
            plan.loaded = None
            return Decision("run", f"`{other}` is not what it was")
        plan.restore_seconds = time.perf_counter() - began
        return decision

    def load(
        self, stored: files.StoredStep, earlier: Mapping[pickling.Token, Any] | None = None, *, here: bool = False
    ) -> Loaded:
        """Read a checkpoint into a scratch place; with `here` also find out whether its surroundings can be had.

        `earlier` are definitions of other checkpoints that are read with it.
        """
        parts = stored.parts()
        found: dict[pickling.Token, Any] = {}
        self.makers.notice()
        lives = self._living
        if earlier:
            lives = lambda token: earlier[token] if token in earlier else self._living(token)
        with self.makers.restored(f"{stored.meta['name']}:{stored.meta['step']}"):
            contents = pickling.read(
                parts.skeleton,
                parts.buffers,
                kind=stored.meta["kind"],
                globals=self.main,
                live=lives,
                found=found,
                original=self._places.original,
                resizable=here and self._resizes(stored),
            )
        for module in stored.meta["imports"]:
            try:
                importlib.import_module(module)
            except ImportError as error:
                text = f"module {module} cannot be imported here ({error})"
                raise CheckpointUnreadableError(text, name=module) from error
        values = values_of(contents, stored.meta["step"])
        if contents.ambient is not None and here:
            ambient.check(contents.ambient, generators_too=self.restore_random, names=values)
            self._places.check(contents.ambient.get("places", ()))
        return Loaded(stored.meta, values, contents, stored.outputs(), found, parts.map, stored.size)

    def _resizes(self, stored: files.StoredStep) -> bool:
        """Whether code that is known resizes arrays in place: an array over the map of a file cannot be."""
        key = PipelineKey(stored.path.parent, stored.meta["name"], stored.meta["version"])
        if key not in self._resizing:
            steps = [self.open(key, entry.step) for entry in self.store(key.folder).entries(key.name, key.version)]
            texts = [step.meta.get("source", "") for step in steps if step is not None]
            with suppress(OSError, UnicodeError):
                texts += [] if self.settings.notebook is None else [self.settings.notebook.read_text("utf-8")]
            self._resizing[key] = any(".resize(" in text for text in texts)
        return self._resizing[key]

    def _stop_auto(self, plan: Plan, meta: Mapping[str, Any] | None, start: registry.StartPoint) -> None:
        if start == "auto" and (meta is None or meta["code"] != plan.code.digest or plan.call.force):
            pipeline = self.registry.pipeline(plan.key)
            pipeline.stopped = min(plan.call.step, pipeline.stopped or plan.call.step)

    def _refuse_unknown_names(self, plan: Plan) -> None:
        names = plan.code.names
        asked = dict.fromkeys([*plan.call.save, *plan.call.drop, *plan.call.require])
        if self.kind != "cell" or names.dynamic or not asked:
            return
        reached = source.reachable(names.reads, self.namespace)
        for name in asked:
            if name not in self.namespace and name not in names.binds and name not in reached:
                raise UsageError(
                    f"step {plan.call.step}: --save, --drop or --require names `{name}`, but the cell does not make "
                    "it and it does not exist; correct the name"
                )

    def _refuse_other_kind(self, plan: Plan, meta: Mapping[str, Any]) -> None:
        kinds = {"cell": "a notebook cell", "method": "a method of a script", "foreign": "another program"}
        other = meta["kind"]
        if other == self.kind or (other == "foreign" and self.kind == "method"):
            return
        if not plan.call.force:
            raise OtherWriterError(
                f"step {plan.call.step} of `{plan.key.name}` version {plan.key.version}: the checkpoint in "
                f"{plan.key.folder} was written by {kinds.get(other, other)}; use another --name or --version, or "
                "--force to run the step and save over it (the old file is kept)"
            )
        plan.keep = True

    def _refuse_other_notebook(self, plan: Plan, meta: Mapping[str, Any], decision: Decision) -> None:
        mine = record.notebook_path(self.settings.notebook, plan.key.folder)
        other = meta["notebook"]
        if mine is None or other is None or mine == other:
            return
        if not (plan.key.folder / other).exists():
            plan.notes.append(f"was written by {other.rpartition('/')[2]}")
            return
        if decision.action == "restore" and meta["code"] == plan.code.digest:
            plan.notes.append(f"was written by {other.rpartition('/')[2]}")
        elif not plan.call.force:
            raise OtherWriterError(
                f"step {plan.call.step} of `{plan.key.name}` version {plan.key.version} belongs to the notebook "
                f"{plan.key.folder / other}; use another --name or --version here, or --force to run the step and "
                "save over it (the old file is kept)"
            )
        else:
            plan.keep = True

    def _note_absent_steps(self, plan: Plan) -> None:
        absent = registry.absent(self.registry.pipeline(plan.key), self._stored_below(plan))
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            plan.notes.append(f"{registry.steps_text(absent)} {verb} not in this kernel · %ckpt_load --push")

    def _stored_below(self, plan: Plan) -> list[int]:
        entries = self.store(plan.key.folder).entries(plan.key.name, plan.key.version)
        return [entry.step for entry in entries if entry.step < plan.call.step]

    def _note_renamed(self, plan: Plan) -> None:
        """Say it when the notebook seems to have been renamed and its checkpoints lie under the old name."""
        if self.kind != "cell" or not self.settings.is_default_name(plan.call):
            return
        if self.registry.pipeline(plan.key).steps:
            return
        store = self.store(plan.key.folder)
        entries = store.entries()
        if any(entry.name == plan.key.name for entry in entries):
            return
        for entry in entries:
            stored = self.open(PipelineKey(plan.key.folder, entry.name, entry.version), entry.step)
            notebook = stored.meta.get("notebook") if stored is not None else None
            if notebook and not (plan.key.folder / notebook).exists():
                plan.notes.append(f"renamed? --name {entry.name}")
                return

    # -- looking --------------------------------------------------------------------------------------------

    def names(self, bound: Iterable[str] = ()) -> dict[str, Any]:
        """The user's names and values, in namespace order; `bound` are names that the code binds for sure."""
        bound = set(bound)
        return {
            name: value
            for name, value in list(self.namespace.items())
            if type(name) is str and (name in bound or not self._is_hidden(name, value))
        }

    def _look(self, names: dict[str, Any], known: Mapping[str, Seen]) -> delta.State:
        state = delta.look(names, self.main, self.pages, self.makers, known)
        if self._owner is not None:
            for seen in state.looks.values():
                if id(self._owner) in seen.met:  # a restore would make a second instance of it
                    seen.refuse("it holds the pipeline object (`self`); keep only what you need of it")
        self.pages.prune({content.place for seen in state.looks.values() for content in seen.contents})
        return state

    def _look_before(self, plan: Plan) -> Before:
        surroundings = ambient.look()
        reached, words = self._reach(plan.code)
        outside = self._look_outside(plan.code, words)
        names = self.names()  # what the code binds and IPython had bound before is IPython's until then
        values = {**names, **outside.values}
        known = self.watch.untouched(names)
        passed = set(known)
        while True:
            state = self._look(values, known)
            reads = self._reads(plan.code.names, state, reached)
            used = None if reads is None else self._used(plan.code.names, reads)
            woken = passed if used is None else passed & used
            if not woken:
                break
            passed = passed - woken
            known = {name: seen for name, seen in state.looks.items() if name not in woken}
        strays = self.watch.looked_before(state) - outside.values.keys()
        self.watch.uses(used)
        reached = None if reads is None else sharing.closure(state.links, reads & names.keys())
        reads = {*names, "*"} if reads is None else reads
        producers = dict(self.registry.pipeline(plan.key).producers)
        unmade = {name for name in reads - producers.keys() if name in names or not hasattr(builtins, name)}
        self._fingerprints.clear()
        seen = dict.fromkeys((reads - {"*"}) - producers.keys() - names.keys(), record.ABSENT)
        for name in unmade & names.keys():
            if (digest := self._fingerprint(name, state.looks[name])) is not None:
                seen[name] = digest
        self._fingerprints.clear()
        # rule 11; if all is reached, what is not written to costs nothing, and what is counts as changed
        state.read([*(reached or ()), *outside.values])
        if used is not None:
            delta.find_alone(state, (self.main, names, values), used)
            delta.find_closed(state, (self.main, names, values), used)
        state.forget()
        unmade -= {name for name, digest in seen.items() if digest != record.ABSENT}
        reads &= names.keys()
        seeded = self.chance.seeded
        return Before(
            state, surroundings, outside, words, producers, reads, reached, seen, unmade, seeded=seeded, strays=strays
        )

    def _look_outside(self, code: Code, words: source.Words) -> places.Look:
        names = code.names if self.kind == "cell" or code.tree is None else source.names(code.tree)
        return self._places.look(words, list(self.main) if names.dynamic else names.reads, names.imports)

    def _reach(self, code: Code) -> tuple[Set[str] | None, source.Words]:
        """Names that the code reads through the functions that it mentions, None for all, and all its identifiers."""
        if code.tree is None:
            return None, source.Words()
        names = code.names if self.kind == "cell" else source.names(code.tree)
        if names.dynamic or self.kind == "method":
            _, codes = source.reach(list(self.main) if names.dynamic else names.reads, self.main)
            return None, source.words(code.tree) | source.words_of(codes)
        start = (names.woken_by(names.awake) | names.deletes) - names.renews
        reached, codes = source.reach(start, self.namespace)
        return reached, source.words(code.tree) | source.words_of(codes)

    def _reads(self, names: source.Names, state: delta.State, reached: Set[str] | None) -> set[str] | None:
        """Add names that are read through what the values hold; None for all."""
        while reached is not None and not source.reaches_all(reached):
            held = {f"\0{id(one)}": one for name in reached & state.looks.keys() for one in state.looks[name].functions}
            more = reached | source.reachable(held, {**self.namespace, **held}) - held.keys()
            more |= source.reachable(names.woken_by(more), self.namespace)
            if more == reached:
                return set(reached)
            reached = more
        return None

    def _used(self, names: source.Names, reads: set[str]) -> set[str] | None:
        """All that a step may use or leave behind, by name; None if there may be more (rule 10 of `delta`)."""
        used = reads | names.reads | names.binds | names.deletes | names.words
        return None if holders.hidden_ways(used | names.imports, self.namespace) else used

    def _look_after(self, plan: Plan, outcome: Outcome) -> tuple[delta.Delta, ambient.Change]:
        before = plan.before
        assert before is not None
        surroundings = ambient.look()
        names = self.names(plan.code.names.binds)
        if outcome.has_result and all(value is not outcome.result for value in names.values()):
            names[RESULT] = outcome.result  # a variable shown by its name is no second value
        outside = self._look_outside(plan.code, before.words)
        options = {} if self.secrets is None else {"secrets": self.secrets}
        change = ambient.compare(before.ambient, surroundings, **options)
        moved = self._places.compare(before.places, outside, before.words, change.values)
        values = {**names, **moved.values}
        after = self._look(values, self.watch.untouched(names))
        after.track()
        delta.find_alone(after, (self.main, names, values))  # before the values are held anywhere else
        pipeline = self.registry.pipeline(plan.key)
        own = {name for name, steps in pipeline.written.items() if any(step >= plan.call.step for step in steps)}
        if before.reached is not None and self.kind == "cell":
            own &= before.reached  # what an earlier text of the cell made is none of its business
        found = delta.compare(
            before.state,
            after,
            values,
            self.main,
            adds=plan.code.names.binds | own | (before.strays & before.reads),
            renewed=plan.code.names.renews,
            reached=names.keys() if before.reached is None else before.reached,
            outside=moved.values.keys(),
        )
        change = self._with_places(change, moved, before, found, after, names)
        after.forget()
        hosts = [name for name, value in names.items() if self._is_hidden(name, value)]  # `for _ in …`: looked at once
        for name in (RESULT, *moved.values, *hosts):
            after.looks.pop(name, None)
        self.watch.looked_after(after)
        going_on = activity.going_on(self.main, self.loop())
        return found, replace(change, refused=(*change.refused, *found.refused, *going_on))

    def _with_places(
        self,
        change: ambient.Change,
        moved: places.Found,
        before: Before,
        found: delta.Delta,
        after: delta.State,
        names: Mapping[str, Any],
    ) -> ambient.Change:
        """Take what changed outside the namespace out of the delta and into the surroundings."""
        here = moved.values.keys()
        changed = places.Changed(
            saved={name: found.values.pop(name) for name in list(found.values) if name in here},
            changed=found.changed & here,
            lost={name: found.lost.pop(name) for name in list(found.lost) if name in here},
            unknown={name for name in here if not after.looks[name].is_comparable},
        )
        found.changed -= here
        found.deleted = [name for name in found.deleted if name not in before.places.values]
        rows, refused = self._places.rows(moved, before.places, changed)
        self._places.follow(found.owned)
        live = {**before.places.live, **moved.live}
        found.settle([live[place] for place, how, _ in rows if how in ("pour", "delete") and place in live])
        state = {**change.state, "places": rows, "sources": self._places.sources(before.places, rows)}
        labels = tuple(dict.fromkeys(spots.label(place) for place, _, _ in rows))
        return replace(change, state=state, names=change.names + labels, refused=(*change.refused, *refused))

    # -- saving ---------------------------------------------------------------------------------------------

    def _save(
        self,
        plan: Plan,
        outcome: Outcome,
        found: delta.Delta,
        surroundings: ambient.Change,
        released: interrupts.Released,
    ) -> dict[str, Any]:
        self._refuse_changed_maps(plan.code.names.binds)
        if plan.used:
            raise LostValueError(f"the step used {', '.join(f'`{name}`' for name in plan.used)}, which was lost")
        for name in sorted(found.changed & found.lost.keys()):
            if found.lost[name] == pickling.LOST_EARLIER and not self._was_here(plan, name):
                raise LostValueError(f"`{name}` holds a value that was lost")
        extras, why = self._result(found, outcome)
        saved, unsaved, lost = self._choose(plan, found)
        if (shown := extras.get("result_name")) in unsaved:
            why = lost.get(shown, _LEFT_OUT)
        result = {"variable": shown, "type": record.type_name(outcome.result), "reason": why} if why else None
        contents = contents_of(self.kind, plan.call.step, saved, surroundings.state, extras)
        marks = registry.marks(
            plan.call,
            sorted(self._used_names(plan, found)),
            self.registry.pipeline(plan.key),
            self._stored_below(plan),
            plan.before.strays if plan.before is not None else frozenset(),
        )
        meta = record.meta_of(
            plan,
            outcome,
            found,
            surroundings,
            kernel=self.kernel,
            notebook=record.notebook_path(self.settings.notebook, plan.key.folder),
            kind=self.kind,
            saved=saved,
            unsaved=unsaved,
            order=[name for name in self.namespace if name in saved or name in unsaved],
            lost=[
                {
                    "name": name,
                    "type": record.type_name(self.namespace[name]),
                    "reason": why,
                    "via": self._ways_to(name),
                }
                for name, why in lost.items()
            ],
            result=result,
            used=self._used_names(plan, found),
            unmarked=self.watch.read_by_cells(plan.key),
            marks=marks,
            chance=self._chance_of(plan, surroundings),
        )

        def dump(file: BinaryIO) -> pickling.Written:
            return pickling.write(
                contents,
                file,
                namespace=self.main,
                makers=self.makers,
                views=found.views,
                owned=found.owned,
                originals=self._places.originals(),
            )

        def complete(written: pickling.Written) -> dict[str, Any]:
            stale = {token[1] for token in written.tokens if self.makers.is_stale(token)}
            marks.extend(f"with `{name}` of an earlier run" for name in sorted(stale))
            return {
                **meta,
                "marks": list(marks),
                "packages": record.packages(written.modules),
                "needs": list(written.needs),
                "definitions": {
                    qualified: digest
                    for (_, qualified, digest, _), defined in written.tokens.items()
                    if self.kind == "cell"
                    and qualified.partition(".")[0] not in plan.code.names.binds | saved.keys()
                    and definitions.at(qualified, self.main) is defined
                },
            }

        def write(file: BinaryIO) -> pickling.Written:
            written: pickling.Written = files.write(
                file,
                dump,
                outputs=outcome.outputs,
                meta=complete,
                keyring=self.keyring,
                new_hash=new_hash,
            )
            return written

        store = self.store(plan.key.folder)
        path = store.path(plan.key.name, plan.key.version, plan.call.step)
        with released():
            store.publish(path, write, keep=plan.keep)
            self._resizing.pop(plan.key, None)
        self._note_written(plan.key, plan.call.step, meta["groups"], found.deleted, size=path.stat().st_size)
        self._remember(plan, "ran", plan.reason, seconds=outcome.seconds)
        notes = plan.notes + self._save_notes(plan, lost, surroundings, marks, outcome) + _carried(found, saved)
        if result is not None and shown is None:
            notes.append(f"the result ({result['type']}) cannot be saved")
        return self._facts(
            plan, "saved", notes, variables=len(meta["variables"]), size=path.stat().st_size, seconds=outcome.seconds
        )

    def _result(self, found: delta.Delta, outcome: Outcome) -> tuple[dict[str, Any], str]:
        """The last expression's value, by name where it is a variable's; and why it cannot be saved, if it cannot."""
        value, reason = found.values.pop(RESULT, None), found.lost.pop(RESULT, None)
        found.groups.pop(RESULT, None)
        found.changed.discard(RESULT)
        if not outcome.has_result or reason is not None:
            return {}, reason or ""
        for name, variable in self.names().items():
            if variable is outcome.result and type(variable) not in fingerprint.ATOMS:
                return {"result_name": name}, ""
        return {"result": outcome.result if value is None else value}, ""

    def _choose(self, plan: Plan, found: delta.Delta) -> tuple[dict[str, Any], list[str], dict[str, str]]:
        """Split what changed into saved, not saved (bound to placeholders later) and lost."""
        call = plan.call
        only = set(call.save) - set(self._unknown(plan, found))
        asked = {name for name in (*found.values, *found.lost) if name not in call.drop and (not only or name in only)}
        saved = {name: value for name, value in found.values.items() if name in asked}
        unsaved = [name for name in (*found.values, *found.lost) if name not in saved]
        lost = {name: why for name, why in found.lost.items() if name in asked}
        for name in call.require:
            if name not in saved and (name in unsaved or name not in self.namespace):
                why = found.lost.get(name, "it is not among what is saved")
                raise NotPicklableError(f"step {call.step}: --require {name}: {why}; nothing was saved")
        if self.kind == "method" and (own := f"step_{call.step}") in found.lost:
            raise NotPicklableError(
                f"step {call.step}: its return value ({record.type_name(self.namespace[own])}) cannot be saved: "
                f"{found.lost[own]}; the earlier checkpoint, if any, stays"
            )
        return saved, unsaved, lost

    def _unknown(self, plan: Plan, found: delta.Delta) -> list[str]:
        """Names of `--save` and `--drop` that do not exist after the cell; one that it drops may come and go in it."""
        here = found.values.keys() | found.lost.keys() | self.namespace.keys()
        dropped = [name for name in plan.call.drop if name not in plan.code.names.binds]
        return [name for name in dict.fromkeys((*plan.call.save, *dropped)) if name not in here]

    def _used_names(self, plan: Plan, found: delta.Delta) -> set[str]:
        """Names that the step read or holds jointly: they existed before it."""
        before = plan.before
        assert before is not None
        held = found.values.keys() | found.lost.keys() | set(found.deleted)
        return before.reads | (held & before.state.looks.keys()) - plan.code.names.renews

    def _chance_of(self, plan: Plan, surroundings: ambient.Change) -> dict[str, Any]:
        before = plan.before
        assert before is not None
        return self.chance.of_step(before.ambient.generators, surroundings.state["generators"], before.seeded)

    def _ways_to(self, lost: str) -> list[str]:
        """Names of functions, classes and objects whose code reads a lost name."""
        return [
            name
            for name, value in self.names().items()
            if name != lost
            and type(value) not in fingerprint.ATOMS
            and not definitions.by_reference(value)
            and lost in source.reachable([name], self.namespace)
        ]

    def _was_here(self, plan: Plan, name: str) -> bool:
        """Whether a name holds the very object that it held before the step."""
        looks = plan.before.state.looks if plan.before is not None else {}
        return name in looks and looks[name].is_same_object(self.namespace.get(name))

    def _save_notes(
        self, plan: Plan, lost: Mapping[str, str], surroundings: ambient.Change, marks: Sequence[str], outcome: Outcome
    ) -> list[str]:
        notes = [
            f"`{name}` ({record.type_name(self.namespace[name])}) cannot be saved"
            for name in lost
            if f"`{name}`" not in plan.reason  # it ran for that
        ]
        notes += [f"{name} cannot be restored" for name in surroundings.refused]
        notes += [mark for mark in marks if not mark.startswith("without")]
        unread = sorted(plan.before.strays - plan.before.reads) if plan.before is not None else []
        notes += [f"`{name}` was changed outside any cell" for name in unread[:3]]
        if outcome.outputs_cut is not None:
            notes.append("displayed more than is recorded")
        return notes

    # -- noting ---------------------------------------------------------------------------------------------

    def _note_written(
        self, key: PipelineKey, step: int, groups: Mapping[str, str], deleted: Iterable[str], *, size: int = _SMALL + 1
    ) -> None:
        """Note that a step gave names their values here, by running or by a restore."""
        for at, (_, names) in list(self._mapped.items()):
            names -= {*groups, *deleted}
            if not names:
                del self._mapped[at]
        pipeline = self.registry.pipeline(key)
        self.watch.wrote(key, (*groups, *deleted), small=size <= _SMALL)
        for name in (*groups, *deleted):
            pipeline.written.setdefault(name, set()).add(step)
            pipeline.failed.pop(name, None)
        pipeline.producers.update({name: (step, digest) for name, digest in groups.items()})
        for name in deleted:
            pipeline.producers.pop(name, None)

    def _note_failed(self, plan: Plan, found: delta.Delta) -> None:
        """What a failed run changed counts as written by its step; the next save contains it."""
        changed = found.changed - {RESULT}
        groups = {name: f"failed:{uuid.uuid4().hex}" for name in changed}
        self._note_written(plan.key, plan.call.step, groups, found.deleted)
        pipeline = self.registry.pipeline(plan.key)
        pipeline.failed.update(dict.fromkeys((*changed, *found.deleted), plan.call.step))
        self._remember(plan, "failed", "the cell failed")

    def _note_unsaved(self, plan: Plan, found: delta.Delta, outcome: Outcome, reason: str) -> None:
        names = (found.values.keys() | found.lost.keys()) - {RESULT}
        groups = {name: f"unsaved:{uuid.uuid4().hex}" for name in names}
        self._note_written(plan.key, plan.call.step, groups, found.deleted)
        self._remember(plan, "not saved", reason, seconds=outcome.seconds)

    def _not_looked_at(self, plan: Plan, outcome: Outcome, reason: str) -> dict[str, Any] | None:
        """Nobody knows what the step changed: from now on no checkpoint of this pipeline fits what is here."""
        self.watch.lost_track()
        for name in self.names(plan.code.names.binds):
            self.registry.pipeline(plan.key).producers[name] = (plan.call.step, f"{record.UNKNOWN}{uuid.uuid4().hex}")
        self._remember(plan, "not saved" if outcome.success else "failed", reason, seconds=outcome.seconds)
        return self._not_saved(plan, outcome, reason) if outcome.success else None

    def _not_saved(self, plan: Plan, outcome: Outcome, reason: str) -> dict[str, Any]:
        _warn(f"step {plan.call.step} of `{plan.key.name}` ran, but its checkpoint was not saved: {reason}")
        return self._facts(plan, "not saved", [reason], variables=0, size=0, seconds=outcome.seconds)

    def _finish_restored(self, plan: Plan) -> dict[str, Any]:
        loaded = plan.loaded
        assert loaded is not None
        self._remember(plan, "restored", plan.reason)
        meta = loaded.meta
        return self._facts(
            plan,
            "restored",
            plan.notes,
            variables=len(meta["variables"]),
            size=loaded.size,
            seconds=meta["seconds"],
        )

    def _facts(
        self, plan: Plan, action: str, notes: list[str], *, variables: int, size: int, seconds: float
    ) -> dict[str, Any]:
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

    def _remember(
        self,
        plan: Plan,
        state: Literal["ran", "restored", "failed", "not saved"],
        reason: str,
        *,
        seconds: float | None = None,
    ) -> None:
        self.registry.pipeline(plan.key).steps[plan.call.step] = StepRecord(
            step=plan.call.step,
            state=state,
            reason=reason,
            code=plan.code.digest,
            title=plan.call.title,
            run_seconds=seconds,
            restore_seconds=plan.restore_seconds,
        )

    # -- restoring ------------------------------------------------------------------------------------------

    def put(self, key: PipelineKey, loaded: Loaded, *, ambient_too: bool) -> None:
        """Put the values of a loaded checkpoint into the namespace, and with `ambient_too` what surrounds them."""
        meta = loaded.meta
        if ambient_too and loaded.contents.ambient is not None:
            self._put_back(meta, loaded.contents.ambient, loaded.values)  # first: if it fails, nothing was touched
        for name in (*meta["deleted"], *meta["remade"]):  # what was made again comes last
            self.namespace.pop(name, None)
        self._fingerprints.clear()
        values = loaded.values | {name: self._placeholder(name, meta) for name in meta["unsaved"]}
        self.namespace.update({name: values[name] for name in meta["order"]} | values)
        same_python = record.is_same_python(meta)
        for token, found in loaded.found.items():
            self.makers.adopt(token, found, same_python=same_python)
        self.watch.restored((*meta["groups"], *meta["deleted"]), small=loaded.size <= _SMALL)
        self._note_written(key, meta["step"], meta["groups"], meta["deleted"], size=loaded.size)
        if loaded.map.mapped:
            self.pages.mapped(loaded.map.memory, loaded.map.contents())
            loaded.map.release()
            held = {
                name
                for name, value in loaded.values.items()
                if not (type(value) in fingerprint.ATOMS or definitions.by_reference(value))
            }
            self._mapped[key, meta["step"]] = loaded.map, held

    def _refuse_changed_maps(self, renewed: Set[str]) -> None:
        """A file that was written to under its map may have changed the values that were restored from it."""
        for (key, step), (mapped, held) in self._mapped.items():
            names = held - renewed
            if names and mapped.changed():
                raise StoreError(
                    f"the checkpoint of step {step} in {key.folder} was written to after it was restored, and "
                    f"{', '.join(f'`{name}`' for name in sorted(names))} may have changed with it; run it again with "
                    f"`%%step {step} --force`"
                )

    def _put_back(self, meta: Mapping[str, Any], state: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        back = self.chance.to_put_back(meta, state["generators"]) if self.restore_random else set()
        states = {name: one for name, one in state["generators"].items() if name in back}
        ambient.put_back({**state, "generators": states}, generators_too=True, names=names)
        if places_too := state.get("places", ()):
            with self.watch.changing_places():
                self._places.put_back(places_too, state.get("sources", {}))
        self._places.follow(tuple(path) for path, _ in meta["owned"])
        self.chance.was_put_back(meta, back)

    def _placeholder(self, name: str, meta: Mapping[str, Any]) -> Any:
        rows = {row["name"]: row for row in meta["lost"]}
        why = rows[name]["type"] if name in rows else _LEFT_OUT
        return pickling.make_placeholder(name, meta["step"], why, self._placeholder_used)

    def _placeholder_used(self, name: str) -> None:
        if self.active is not None and name not in self.active.used:
            self.active.used.append(name)


def _told(error: BaseException, interrupted: str) -> str:
    """One line for people about what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return interrupted
    return str(error) if isinstance(error, CheckpointError) else fingerprint.reason(error)


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


def _warn(text: str) -> None:
    """Warn each time, whatever was said before from the same line."""
    with warnings.catch_warnings(), suppress(CheckpointWarning):
        warnings.simplefilter("always", CheckpointWarning)
        warnings.warn(text, CheckpointWarning, stacklevel=2)


_LEFT_OUT = "left out by --save or --drop"
_NO_NAMES = source.Names(frozenset(), frozenset(), frozenset(), frozenset(), dynamic=False)
