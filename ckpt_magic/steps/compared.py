"""Restored files whose bytes are compared with their digests, and what follows if they are not what was saved."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from ckpt_magic.errors import DamagedError
from ckpt_magic.files.comparing import Comparison, comparer
from ckpt_magic.steps.progress import Progress, silent
from ckpt_magic.steps.registry import PipelineKey, Registry
from ckpt_magic.values.pickles import references


@dataclass(slots=True)
class _File:
    """The file of a step.

    Attributes
    ----------
    restored
        The names that were restored from it.
    suspects
        Those that still hold what came from it, perhaps by way of code.
    """

    comparison: Comparison
    restored: Set[str]
    suspects: Set[str]
    is_told: bool = False

    def damage(self) -> Set[str]:
        """The suspects whose bytes are known to be others than those that were saved."""
        differs = set(self.comparison.differs)
        if self.comparison.problem is not None or differs - self.restored:  # what all of them may share
            return self.suspects
        return self.suspects & differs


class Compared:
    """The files that values of one kernel came from."""

    def __init__(self) -> None:
        self._files: dict[tuple[PipelineKey, int], _File] = {}

    def add(self, key: PipelineKey, step: int, comparison: Comparison, values: Mapping[str, Any]) -> None:
        """Note that `values` were restored from the file of a step, which is being compared."""
        names = frozenset(
            name
            for name, value in values.items()
            if not (type(value) in references.ATOMS or references.by_reference(value))
        )
        self._files[key, step] = _File(comparison, frozenset(values), names)

    def made_anew(self, names: Iterable[str], file: tuple[PipelineKey, int] | None = None) -> None:
        """Note that names have values that do not come from what they held before.

        `file` is the step whose file the names were restored from, if that is all that is meant.
        """
        gone = frozenset(names)
        for at, one in self._files.items():
            if file in (None, at):
                one.suspects -= gone
        self._files = {at: one for at, one in self._files.items() if one.suspects}

    def clear(self) -> None:
        """Forget all files."""
        self._files.clear()

    def refuse_damaged(self) -> None:
        """Nothing is saved from values that are known not to be what was saved before."""
        for (_, step), file in self._files.items():
            if file.damage():
                raise DamagedError(_damaged(step, file))

    def comparing(self) -> Callable[..., None] | None:
        """What must be done before values of this kernel are published, since they may come from any restored file.

        Returns
        -------
        callable or None
            Waits until the files are compared, in any thread; takes a `Progress`, and raises `DamagedError` if one is
            not what was saved. None if there is nothing to wait for.
        """
        waited_for = [(step, replace(file)) for (_, step), file in self._files.items() if not file.comparison.is_over]

        def wait(progress: Progress = silent) -> None:
            for step, file in waited_for:
                _wait(file.comparison, progress)
                if file.damage():
                    raise DamagedError(_damaged(step, file))

        return wait if waited_for else None

    def settle(self, registry: Registry) -> list[str]:
        """Take note of files that turned out not to be what was saved.

        Nothing that was restored from them fits any checkpoint from then on.

        Returns
        -------
        list of str
            A line for people about each since the last time.
        """
        found = []
        for (key, step), file in self._files.items():
            names = file.damage()
            if names and not file.is_told:
                file.is_told = True
                found.append(_damaged(step, file))
                pipeline = registry.pipeline(key)
                for name in names:
                    if pipeline.producers.get(name, (None, ""))[0] == step:
                        pipeline.producers[name] = step, f"damaged:{uuid.uuid4().hex}"
                if (record := pipeline.steps.get(step)) is not None:
                    pipeline.steps[step] = replace(record, state="failed", reason=found[-1])
        return found


def _wait(comparison: Comparison, progress: Progress) -> None:
    with progress(f"comparing {comparison.path.name} with its digests", comparison.size) as advance:
        comparer().wait(comparison, told=lambda: advance(comparison.done))


def _damaged(step: int, file: _File) -> str:
    why = f": {file.comparison.problem}" if file.comparison.problem is not None else ""
    names = ", ".join(f"`{name}`" for name in sorted(file.damage()))
    return (
        f"{file.comparison.path} is damaged: {names}, restored from it by step {step}, "
        f"{'are' if ',' in names else 'is'} not what was saved{why}. Nothing is saved until that step is run again: "
        f"`%%step {step} --force`"
    )
