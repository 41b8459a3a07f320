"""What all parts of a session share: the namespace, the settings, and what one kernel remembers."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from time import time  # not asked for in its module: a notebook may put a clock of its own there
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ckpt_magic.errors import StepNotFoundError
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring, load_keyring
from ckpt_magic.steps import progress, record, registry, saves
from ckpt_magic.steps.around import Around
from ckpt_magic.steps.chance import Chance
from ckpt_magic.steps.compared import Compared
from ckpt_magic.steps.evidence import Evidence
from ckpt_magic.steps.history import History
from ckpt_magic.steps.mapped import Mapped
from ckpt_magic.steps.plan import Plan
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.watch import Watch
from ckpt_magic.values import ambient, concealed, delta, places
from ckpt_magic.values.code.kinds import NONE, Kinds
from ckpt_magic.values.pages import Pages
from ckpt_magic.values.pickles import pickling, placeholder
from ckpt_magic.values.pickles.gathered import Gathered
from ckpt_magic.values.pickles.makers import Makers

if TYPE_CHECKING:
    import asyncio

FAILED_CAP = 100_000_000  # bytes that are kept of what a failed run had made


class Kernel:
    """What one kernel (for the class: one call of `run`) holds and remembers.

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
    hidden
        Gives, of names and their values, those names that are not the user's.
    remade
        Tells which of those the host binds anew with each cell.
    owner
        For the class: the instance, which no saved value may hold.
    restore_random
        Whether random generators are put back.
    secrets
        Patterns of environment names whose values are never stored.
    quota
        Bytes that the checkpoints of a folder may take; beyond, a save deletes those that were least recently used.
    sync
        Whether a step ends only when its checkpoint is published; else that goes on in the background.
    check_payloads
        Whether the payloads of restored files are compared with their digests.
    advice
        Whether it is said where to start after an unmarked cell changed what steps read.
    progress
        Shows how far something is that takes long.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        settings: Settings,
        *,
        kind: Literal["cell", "method"] = "cell",
        main: dict[str, Any] | None = None,
        hidden: Callable[[Mapping[str, Any]], Set[str]] = lambda names: frozenset(),
        remade: Callable[[str], bool] = lambda name: False,
        owner: object = None,
        restore_random: bool = True,
        secrets: Sequence[str] = ambient.SECRET_NAMES,
        quota: int | None = None,
        sync: bool = True,
        check_payloads: bool = True,
        advice: bool = True,
        progress: progress.Progress = progress.silent,
    ) -> None:
        self.namespace = namespace
        self.main: dict[str, Any] = main if main is not None else namespace  # type: ignore[assignment]
        self.settings = settings
        self.kind = kind
        self.hidden = hidden
        self.remade = remade
        self.owner = owner
        self.restore_random = restore_random
        self.secrets = secrets
        self.quota = quota
        self.sync = sync
        self.check_payloads = check_payloads
        self.advice = advice
        self.progress = progress
        self.id = uuid.uuid4().hex
        self.began = time()
        self.registry = registry.Registry()
        self.saves = saves.Saves(self.registry)
        self.active: Plan | None = None
        self.mapped = Mapped(namespace)
        self.compared = Compared()
        self.makers = Makers(self.main)
        self.pages = Pages(guard=self.mapped.refuse_cut_short)
        self.watch = Watch(namespace, self.main, self.registry, self.pages, self.makers)
        self.places = places.Places(self.main)
        self.concealed = concealed.Concealed(self.main)
        self.chance = Chance()
        self.failed_cap = FAILED_CAP
        self.around = Around(self.main)
        self.loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None  # where the notebook's tasks run
        self.in_cell = False
        self.used: dict[str, tuple[PipelineKey, int]] = {}  # lost names that the unmarked cell has used that runs
        self._keyring: Keyring | None = None
        self.evidence = Evidence(
            settings.base,
            namespace,
            self.main,
            self.makers,
            lambda: self.keyring,
            lambda: self.secrets,
            notebook=settings.notebook,
        )
        self.history = History(self.evidence.modules)

    def clear(self) -> None:
        """Forget everything that the namespace held."""
        self.registry.clear()
        self.makers.clear()
        self.mapped.clear()
        self.compared.clear()
        self.concealed.clear()
        self.history = History(self.evidence.modules)
        self.places = places.Places(self.main)
        self.watch.clear()
        self.active = None

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

    def wait(self, where: Path | None = None, *, timeout: float = float("inf")) -> bool:
        """Wait until nothing is on its way to a folder or file; None for everywhere. False if the time was up."""
        return saves.wait(where, self.progress, timeout=timeout)

    def open(self, key: PipelineKey, step: int, *, ahead: bool = False) -> files.StoredStep | None:
        """FOOTER and META of a stored step, once it is published; None if it is not there.

        With `ahead` those of the one that is on its way there: who needs more of it has to wait for it.
        """
        path = self.store(key.folder).path(key.name, key.version, step)
        if ahead and (pending := publisher().pending(path)):
            with suppress(StepNotFoundError):  # it just came to its end
                return record.completed(pending[-1].draft.opened(self.keyring))
        self.wait(path)
        try:
            stored = files.open_checkpoint(path, self.keyring)
            if stored.trust == "other key" and (keyring := load_keyring()) != self._keyring:
                self._keyring = keyring  # accepted meanwhile, or changed, in a terminal
                stored = files.open_checkpoint(path, keyring)
        except StepNotFoundError:
            return None
        return record.completed(stored)

    def metas(self, key: PipelineKey) -> list[Mapping[str, Any]]:
        """META of the stored steps of a pipeline that are trusted."""
        found = (self.open(key, entry.step) for entry in self.store(key.folder).entries(key.name, key.version))
        return [stored.meta for stored in found if stored is not None and stored.trust == "trusted"]

    def names(self, bound: Iterable[str] = ()) -> dict[str, Any]:
        """The user's names and values, in namespace order; `bound` are names that the code binds for sure.

        What a step made is the user's, whatever it is called: `_` after a loop.
        """
        names = dict(self.namespace)  # at once: threads may add to it
        if not {str}.issuperset(map(type, names)):
            names = {name: value for name, value in names.items() if type(name) is str}
        bound = set(bound).union(*(pipeline.producers for pipeline in self.registry.pipelines().values()))
        for name in self.hidden(names) - bound:
            del names[name]
        return names

    def is_users(self, name: str) -> bool:
        """Whether a name is here and the user's own."""
        return name in self.namespace and not self.hidden({name: self.namespace[name]})

    def stored_below(self, plan: Plan) -> list[int]:
        """Numbers of the stored steps before the one of `plan`."""
        return self.store(plan.key.folder).steps_below(plan.key.name, plan.key.version, plan.call.step)

    def placeholder(self, name: str, key: PipelineKey, step: int, was: str, *, number: float | None = None) -> Any:
        """What stands for a value that a step had lost; see `placeholder.make_placeholder`."""
        return placeholder.make_placeholder(
            name, step, was, functools.partial(self.placeholder_used, key=key, step=step), number=number
        )

    def placeholder_used(self, name: str, key: PipelineKey, step: int) -> None:
        """Note that the running step, or unmarked cell, used the placeholder of a name that `step` had lost.

        What looks at variables outside of cells (a front end) makes nothing of it.
        """
        if self.active is not None:
            if name not in self.active.used:
                self.active.used.append(name)
        elif self.in_cell:
            self.used[name] = key, step

    def pickle(
        self,
        contents: pickling.Contents,
        file: BinaryIO,
        found: delta.Delta,
        gathered: Gathered | None = None,
        kept: Set[str] = frozenset(),
    ) -> pickling.Written:
        """Write what a step changed; see `pickling.write`."""
        return pickling.write(
            contents,
            file,
            namespace=self.main,
            makers=self.makers,
            views=found.views,
            trees=found.trees,
            deep=found.deep,
            owned=found.owned,
            settings=found.settings,
            ways=found.ways,
            texts=found.texts,
            held=found.constants,
            numbers=found.numbers,
            named=found.named,
            originals=self.places.originals(),
            gathered=gathered,
            proofs=self.pages.proofs,
            kept=kept,
        )

    def note_written(
        self,
        key: PipelineKey,
        step: int,
        groups: Mapping[str, str],
        deleted: Iterable[str],
        *,
        code: str,
        kinds: Kinds = NONE,
        outlines: Mapping[str, Mapping[str, Any]] = {},
        size: int = saves.SMALL + 1,
    ) -> None:
        """Note that a step with this code gave names their values here, by running or by a restore."""
        pipeline = self.registry.pipeline(key)
        self.history.step(step, groups, deleted, code, kinds)
        self.watch.wrote(key, (*groups, *deleted), small=size <= saves.SMALL)
        for name in (*groups, *deleted):
            pipeline.written.setdefault(name, set()).add(step)
            pipeline.failed.pop(name, None)
            pipeline.outlines.pop(name, None)
        pipeline.outlines.update(outlines)
        pipeline.producers.update({name: (step, digest) for name, digest in groups.items()})
        for name in deleted:
            pipeline.producers.pop(name, None)

    def note_failed(
        self, key: PipelineKey, step: int, names: Iterable[str], deleted: Iterable[str] = (), *, code: str
    ) -> None:
        """Note what a failed run of a step changed: it counts as written by the step; the next save contains it."""
        names, deleted = list(names), list(deleted)
        self.note_written(key, step, {name: f"failed:{uuid.uuid4().hex}" for name in names}, deleted, code=code)
        self.registry.pipeline(key).failed.update(dict.fromkeys((*names, *deleted), step))

    def remember(
        self,
        plan: Plan,
        state: Literal["ran", "restored", "failed", "not saved"],
        reason: str,
        *,
        seconds: float | None = None,
    ) -> None:
        """Note how a step ended in this kernel."""
        self.registry.pipeline(plan.key).steps[plan.call.step] = registry.StepRecord(
            step=plan.call.step,
            state=state,
            reason=reason,
            code=plan.code.digest,
            title=plan.call.title,
            run_seconds=seconds,
            restore_seconds=plan.restore_seconds,
        )
