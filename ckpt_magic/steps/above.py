"""What META records of the cells above a step: by which code, modules and files what it read came to be what it is."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from ckpt_magic.steps import record
from ckpt_magic.steps.around import Setter
from ckpt_magic.steps.judging import hidden
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values.code import effects
from ckpt_magic.values.code.effects import ABOVE, ANY_VARIABLE, CHANCE, FILES, SURROUNDINGS
from ckpt_magic.values.pickles.references import importable


class Standing:
    """What stands above a step that is about to run or to be restored, or has just run.

    Parameters
    ----------
    kernel, key
        The kernel, and the pipeline of the step.
    secretive
        As `Evidence.secretive` gives them for the step.
    around
        META of what it found around it.
    setters
        Who had set each part of that.

    Attributes
    ----------
    called
        Modules that keep what they were called for, and of which nobody sees it, with the texts in the code that did.
    """

    def __init__(
        self,
        kernel: Kernel,
        key: PipelineKey,
        secretive: dict[str, list[str]],
        around: Mapping[str, Any],
        setters: Mapping[str, Setter],
    ) -> None:
        self._kernel = kernel
        self._key = key
        self._secretive = secretive
        self._around = around
        steps = ((part, setters[part].step) for part, row in around.items() if row is not None and part in setters)
        self._set_by = {part: step[1] for part, step in steps if step is not None and step[0] == key}
        is_told = kernel.around.modules_set()
        found = kernel.history.texts(kernel.evidence.modules.importers(is_told) | secretive)
        is_told |= dict.fromkeys(secretive, False)
        self.called: Mapping[str, Set[str]] = {name: texts for name, texts in found.items() if not is_told.get(name)}
        self._kept = {name: texts for name, texts in found.items() if is_told.get(name)}

    def _made_by_calls(self, names: Set[str], functions: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Classes that the step used and no `class` made: `P = namedtuple(…)` run again makes another one."""
        values = {name: self._kernel.namespace[name] for name in names & self._kernel.namespace.keys()}
        classes = {name: one for name, one in values.items() if issubclass(type(one), type)}
        return {name for name, one in classes.items() if not (functions.get(name, {}).get("text") or importable(one))}

    def of(self, names: Set[str], imports: Set[str], evidence: Mapping[str, Any], mover: int | None) -> dict[str, Any]:
        """The part of the evidence of a step that is about the cells above it.

        Parameters
        ----------
        names
            Names of unmarked cells that it read, and of steps that those cells may have changed in place; `*` may
            stand among them.
        imports
            Modules that its code imports: cells may have set something in them.
        evidence
            The other part, see `Evidence.of_step`.
        mover
            The step that moved the random generators last before it, if no other code did.
        """
        kernel = self._kernel
        names = {*names, CHANCE} - {"*"}
        sets = record.variables_set(evidence, self._around)
        paths = record.paths([*evidence["files"], *evidence["written"]], evidence["modules"])
        others = {*sets, *([ANY_VARIABLE] if evidence["environ"] else ()), *effects.of_files(paths), *evidence["rests"]}
        told, read = kernel.history.read_for(names & kernel.namespace.keys() | others)
        modules = {name: [name] for name in imports} | self._secretive
        groups = {SURROUNDINGS: evidence["rests"], FILES: effects.of_files(paths), ABOVE: record.changers(read)}
        return {
            "course": kernel.history.course,
            "apart_by": {
                name: kernel.history.bindings(record.led_to(name, evidence["apart"].get(name, ())))
                for name in evidence["apart"].keys() | self._made_by_calls(names, evidence["functions"])
            },
            "set_by": self._set_by | ({CHANCE: mover} if mover is not None else {}),
            "acting": kernel.history.acting(evidence["modules"].keys(), evidence["packages"].keys()),
            "origins": kernel.history.origins(names, modules, groups=groups, own=evidence["modules"]),
            **kernel.evidence.of_above(
                evidence["modules"],
                kernel.history.on_the_way(names) if kernel.evidence.modules.names() else (),
                hidden=hidden(self._key),
                called={**self.called, **self._kept},
                kept=self._kept,
                told=told,
                read=read,
            ),
        }
