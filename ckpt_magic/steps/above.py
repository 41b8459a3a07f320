"""What META records of the cells above a step: by which code, modules and files what it read came to be what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from ckpt_magic.steps import record
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.values import origins
from ckpt_magic.values.origins import ABOVE, CHANCE, FILES, SURROUNDINGS


class Standing:
    """What stands above a step that is about to run or to be restored, or has just run.

    Parameters
    ----------
    kernel
        The kernel.
    secretive
        As `Evidence.secretive` gives them for the step.

    Attributes
    ----------
    called
        Modules that keep what they were called for, and of which nobody sees it, with the texts in the code that did.
    """

    def __init__(self, kernel: Kernel, secretive: dict[str, list[str]]) -> None:
        self._kernel = kernel
        self._secretive = secretive
        is_told = kernel.around.modules_set()
        found = kernel.history.texts(kernel.evidence.modules.importers(is_told) | secretive)
        is_told |= dict.fromkeys(secretive, False)
        self.called: Mapping[str, Set[str]] = {name: texts for name, texts in found.items() if not is_told.get(name)}
        self._kept = {name: texts for name, texts in found.items() if is_told.get(name)}

    def of(self, names: Set[str], evidence: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
        """The part of the evidence of a step that is about the cells above it.

        Parameters
        ----------
        names
            Names of unmarked cells that it read, and of steps that those cells may have changed in place; `*` may
            stand among them.
        evidence
            The other part, see `Evidence.of_step`.
        hidden
            Folders whose files are no evidence.
        """
        kernel = self._kernel
        names = {*names, CHANCE} - {"*"}
        told, read = kernel.history.read_for(names & kernel.namespace.keys())
        paths = record.paths([*evidence["files"], *evidence["written"]], evidence["modules"])
        groups = {SURROUNDINGS: evidence["rests"], FILES: origins.of_files(paths), ABOVE: record.changers(read)}
        return {
            "course": kernel.history.course,
            "origins": kernel.history.origins(names, self._secretive, groups=groups, own=evidence["modules"]),
            **kernel.evidence.of_above(
                evidence["modules"],
                kernel.history.on_the_way(names) if kernel.evidence.modules.names() else (),
                hidden=hidden,
                called={**self.called, **self._kept},
                kept=self._kept,
                told=told,
                read=read,
            ),
        }
