"""A small project on disk, and kernels on it that share this process: what an edit makes run, and what is true.

Cells are `(step, text)` or, unmarked, `(None, text)`; options of a step come third.
"""

from __future__ import annotations

import ast
import importlib
import random
import shlex
import shutil
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ckpt_magic.faces.plan import asked
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.plan import Body
from ckpt_magic.steps.registry import StepCall, parse_start
from ckpt_magic.steps.session import Session
from ckpt_magic.steps.settings import Settings
from tests.kernels import Kernel, Main

Cells = Sequence[tuple[Any, ...]]


class ProjectKernel(Kernel):
    """A kernel whose notebook lies in a folder of its own, the checkpoints below it; `cells` are what its file has."""

    def __init__(self, project: Path, start: int | str, folder: str = ".ckpt", *, cells: Cells = ()) -> None:
        super().__init__(project / folder)
        settings = Settings(project, environ={})
        settings.configure(name="p", folder=folder)
        settings.set_start(parse_start(start))
        hidden = dict(self.names)
        found = {step: (StepCall(step, **(options[0] if options else {})), text) for step, text, *options in cells}
        self.session = Session(
            self.names,
            settings,
            hidden=lambda names: names.keys() & {*hidden, "__builtins__"},
            cell_of=lambda key, step: (
                (found[step][0], Body(found[step][1], ast.parse(found[step][1]), "", found[step][1]))
                if step in found
                else None
            ),
        )


@dataclass(frozen=True)
class Ran:
    """What became of the cells: facts per step, and the variables at the end."""

    facts: Mapping[int, Any]
    names: Mapping[str, Any]

    @property
    def steps(self) -> set[int]:
        """The steps that ran."""
        return {step for step, facts in self.facts.items() if facts["action"] != "restored"}

    def why(self, step: int) -> str:
        """What the banner says of a step."""
        return "; ".join([self.facts[step]["reason"], *self.facts[step]["notes"]])


def play(project: Path, cells: Cells, start: int | str, folder: str = ".ckpt") -> Ran:
    """Run a notebook in a new kernel."""
    forget_modules(project)
    random.seed()  # as in a new process
    kernel, facts = ProjectKernel(project, start, folder), {}
    for step, text, *options in cells:
        if step is None:
            kernel.cell(text)
        else:
            facts[step] = kernel.step(step, text, **(options[0] if options else {}))
    names = {name: value for name, value in kernel.names.items() if not name.startswith("__")}
    return Ran(facts, names)


def foresee(project: Path, cells: Cells, start: str = "auto") -> set[int]:
    """The steps of which it is told, before anything runs, that they will run; with `auto` those not fresh, too."""
    forget_modules(project)
    settings = Settings(project, environ={})
    settings.configure(name="p", folder=".ckpt")
    sources = [text if step is None else f"{_line(step, *options)}\n{text}" for step, text, *options in cells]
    found = asked(sources, project / "nb.ipynb", settings, load_keyring(), pipeline={}, start=start)
    return {
        step
        for (_, step), (verdict, decision) in found.items()
        if decision.action == "run" or (start == "auto" and verdict.state != "fresh")
    }


def _line(step: int, options: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The line of a step cell that asks for these options of `StepCall`."""
    given = (f"--{name} {shlex.join(one)}" if isinstance(one, tuple) else f"--{name}" for name, one in options.items())
    return " ".join([f"%%step {step}", *given])


def truth(project: Path, cells: Cells) -> Mapping[str, Any]:
    """Run a notebook as if this package did not exist."""
    forget_modules(project)
    module = types.ModuleType("__main__")
    with Main(module):
        for _, text, *_options in cells:
            exec(compile(text, "<cell>", "exec", dont_inherit=True), vars(module))
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


def forget_modules(project: Path) -> None:
    """Let the modules of a project be imported anew, from that project."""
    importlib.invalidate_caches()
    top = str(project.parent)
    for name in sys.modules.keys() - _ELSEWHERE:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(top):
            del sys.modules[name]
        else:
            _ELSEWHERE.add(name)


_ELSEWHERE: set[str] = set()  # modules of the process, of no project: there are thousands, and each test asks often


def copy(project: Path, to: Path) -> Path:
    """A copy of a project, its checkpoints included."""
    shutil.copytree(project, to)
    return to


def comparable(names: Mapping[str, Any]) -> dict[str, str]:
    """The data among variables, as text."""
    data = (int, float, str, bytes, bool, list, dict, tuple, set, type(None))
    return {name: repr(value) for name, value in names.items() if isinstance(value, data)}
