"""After an unmarked cell: which steps read what it changed, and where to start so that no more runs than must.

It is said where that saves time: `none`, or a number below the first of these steps. `auto`, `end` and higher numbers
restore what is not concerned, and run what is, by themselves.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ckpt_magic.errors import CheckpointError, UsageError
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.steps import needs, record
from ckpt_magic.steps.advice import Advice, seconds_before
from ckpt_magic.steps.judging import CellsAfter
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.neighbours import stamp
from ckpt_magic.steps.registry import PipelineKey, StepCall
from ckpt_magic.values import canonical
from ckpt_magic.values.pickles.references import ATOMS

Meta = Mapping[str, Any]

_WORTH: Final = 1.0  # seconds: what saves less is not worth a line


@dataclass(frozen=True, slots=True)
class _Told:
    """What was said of a name: its value as a digest, the first step that reads it, and META of that."""

    value: str | None
    step: int
    meta: Meta


class Advising:
    """Gives the advice of one kernel, once for each change.

    Parameters
    ----------
    kernel
        The kernel.
    cells_after
        Gives the cells that come after one, see `Fitting`.
    """

    def __init__(self, kernel: Kernel, cells_after: CellsAfter) -> None:
        self._kernel = kernel
        self._cells_after = cells_after
        self._read: dict[Path, tuple[tuple[int, ...], Meta | None]] = {}  # per file its stamp, and META
        self._folders: dict[PipelineKey, tuple[int | None, dict[int, Meta]]] = {}  # so, too, of the stored steps
        self._told: dict[PipelineKey, dict[str, _Told]] = {}
        self._same: dict[tuple[PipelineKey, int, str], tuple[Meta, str, bool | None]] = {}  # per value of a name

    def forget(self) -> None:
        """Say everything anew."""
        self._told.clear()
        self._same.clear()

    def after_cell(self, names: Set[str], text: str | None) -> list[Advice]:
        """Say where to start after an unmarked cell.

        Parameters
        ----------
        names
            What the cell has bound, or may have changed in place.
        text
            The whole text of the cell, if it is known.
        """
        here = {name for name in names if self._kernel.is_users(name)}
        here = {name for name in here if not issubclass(type(self._kernel.namespace[name]), types.ModuleType)}
        if not here:
            return []
        found = []
        for key in self._pipelines():
            with suppress(CheckpointError):  # a folder that cannot be read is the business of its steps
                if self._kernel.settings.start(key.name) not in ("auto", "end"):
                    found += self._of_pipeline(key, here, text)
        return found

    def _pipelines(self) -> list[PipelineKey]:
        keys = dict.fromkeys(self._kernel.registry.pipelines())
        with suppress(UsageError):  # it has no name yet
            keys.setdefault(self._kernel.settings.resolve(StepCall(0)))
        return list(keys)

    def _of_pipeline(self, key: PipelineKey, names: Set[str], text: str | None) -> list[Advice]:
        metas, told = self._metas(key), self._told.setdefault(key, {})
        if not metas:
            told.clear()
            return []
        # what was said holds until its step ran again, and covers what is below that
        held = min((one.step for one in told.values() if metas.get(one.step) is one.meta), default=None)
        changed: dict[str, Sequence[int]] = {}
        for name in sorted(names - self._kernel.registry.pipeline(key).producers.keys()):
            value = self._value(name)
            steps = self._concerned(key, name, value, metas, text)
            if not steps:
                told.pop(name, None)
            elif name not in told or told[name].value != value:
                changed[name] = steps
                told[name] = _Told(value, steps[0], metas[steps[0]])
        if not changed:
            return []
        start, point = min(steps[0] for steps in changed.values()), self._kernel.settings.start(key.name)
        saves = seconds_before(start, metas, point)
        if saves < _WORTH or (held is not None and held <= start):
            return []
        return [Advice(name, tuple(steps), start, saves) for name, steps in changed.items()]

    def _concerned(
        self, key: PipelineKey, name: str, value: str | None, metas: Mapping[int, Meta], text: str | None
    ) -> list[int]:
        """The steps that used another value of a name than it has now, as far as they will find this one."""
        same = {}
        for step, meta in metas.items():
            then, known, is_same = self._same.get((key, step, name), (None, None, None))
            if then is not meta or known is None or known != value:
                is_same = self._is_same(name, meta)
                if value is not None:
                    self._same[key, step, name] = meta, value, is_same
            same[step] = is_same
        others = [step for step in sorted(same) if same[step] is False]
        below = self._cells_after(key, -1, text) if others and text is not None else None
        if below is not None and self._is_in_notebook(key, below):
            return list(self._reached(name, others, below))
        # Where the cell stands is not known. A value that a step used is one that belongs somewhere.
        return [] if True in same.values() else others

    def _is_in_notebook(self, key: PipelineKey, below: Sequence[needs.Cell]) -> bool:
        """Whether a cell was found in the notebook's file: for an edited one all cells count as below it."""
        every = self._cells_after(key, -1, None)
        return every is not None and len(below) < len(every)

    def _reached(self, name: str, steps: Sequence[int], below: Sequence[needs.Cell]) -> Iterator[int]:
        """Which of `steps` come before another cell gives a name its value, or may change that in place."""
        is_fixed = type(self._kernel.namespace[name]) in ATOMS
        for cell in below:
            yield from (step for step in steps if step == cell.step)
            if name in cell.names.binds | cell.names.deletes:
                return
            if cell.step is None and not is_fixed and name in cell.names.reads and not self._is_definition(name):
                return

    def _is_same(self, name: str, meta: Meta) -> bool | None:
        """Whether a name means what it meant to a step; None if the step did not use it, or nobody can tell soon."""
        covered = (meta["evidence"] or {}).get("covered", {})
        if name in covered:
            return self._kernel.evidence.definitions.is_so(name, meta)
        if name not in meta["seen"]:
            return None
        value = canonical.fingerprint(self._kernel.namespace[name])
        if value is None and (":" in meta["seen"][name] or self._is_definition(name)):
            return None  # large: its step will look
        return bool(value == meta["seen"][name])

    def _value(self, name: str) -> str | None:
        value = self._kernel.namespace[name]
        return self._kernel.makers.digest(value) if self._is_definition(name) else canonical.fingerprint(value)

    def _is_definition(self, name: str) -> bool:
        return issubclass(type(self._kernel.namespace[name]), (type, types.FunctionType))

    def _metas(self, key: PipelineKey) -> dict[int, Meta]:
        """META of the stored steps; none of what is on its way to the disk."""
        now = stamp(key.folder)
        if now is None or self._folders.get(key, (None,))[0] != now:
            self._folders[key] = now, dict(self._read_folder(key))
        store, metas = self._kernel.store(key.folder), self._folders[key][1]
        pending = {one.path for one in publisher().pending(key.folder)}
        if not pending:
            return metas
        return {step: meta for step, meta in metas.items() if store.path(key.name, key.version, step) not in pending}

    def _read_folder(self, key: PipelineKey) -> Iterator[tuple[int, Meta]]:
        """Read META again where a file changed."""
        for entry in self._kernel.store(key.folder).entries(key.name, key.version):
            with suppress(OSError, CheckpointError):
                status = os.stat(entry.path)
                of_file = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                if self._read.get(entry.path, (None,))[0] != of_file:
                    stored = record.completed(files.open_checkpoint(entry.path, self._kernel.keyring))
                    self._read[entry.path] = of_file, stored.meta if stored.trust == "trusted" else None
                meta = self._read[entry.path][1]
                if meta is not None:
                    yield entry.step, meta
