"""A small honest session for the tests of `faces.hooks`: pickles what a cell bound, keeps it in a folder.

It knows nothing of the rule; it restores every step below its start point that it has.
"""

from __future__ import annotations

import pickle
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.errors import UsageError
from ckpt_magic.faces.hooks import Hooks
from ckpt_magic.steps import interrupts
from ckpt_magic.steps.plan import Restored
from ckpt_magic.steps.registry import StepCall

IPYTHONS = {"In", "Out", "get_ipython", "exit", "quit", "open"}


@dataclass
class FakePlan:
    call: StepCall
    action: str
    reason: str
    body: Any
    before: dict[str, Any]


class FakeSession:
    def __init__(self, shell: Any, folder: str | Path, start: int = 0) -> None:
        self.shell = shell
        self.folder = Path(folder)
        self.start = start
        self.log: list[Any] = []
        self.loaders: list[str] = []
        self.outcomes: list[Any] = []
        self.plans: list[FakePlan] = []
        self.active: Any = None
        self.before_finish: Any = None

    def file(self, step: int) -> Path:
        return self.folder / f"{step}.pkl"

    def stored(self, step: int) -> dict[str, Any]:
        with self.file(step).open("rb") as file:
            stored: dict[str, Any] = pickle.load(file)
        return stored

    def names(self) -> dict[str, Any]:
        return {k: v for k, v in self.shell.user_ns.items() if not k.startswith("_") and k not in IPYTHONS}

    def begin(self, call: StepCall, body: Any) -> FakePlan:
        self.log.append(("begin", call.step))
        restore = call.step < self.start and self.file(call.step).exists()
        plan = FakePlan(call, "restore" if restore else "run", "because", body, self.names())
        self.plans.append(plan)
        return plan

    def restore(self, plan: FakePlan) -> Restored:
        self.log.append(("restore", plan.call.step))
        stored = self.stored(plan.call.step)
        self.shell.user_ns.update(stored["values"])
        return Restored(stored["outputs"], stored["has_result"], stored["result"])

    def finish(self, plan: FakePlan, outcome: Any) -> dict[str, Any] | None:
        self.log.append(("finish", plan.call.step, outcome.success))
        self.outcomes.append(outcome)
        if self.before_finish is not None:
            with interrupts.held() as released, released():  # a session lets interrupts through where it saves
                self.before_finish()
        if not outcome.success:
            return None
        if plan.action == "run":
            missing = object()
            values = {k: v for k, v in self.names().items() if plan.before.get(k, missing) is not v}
            values = {k: v for k, v in values.items() if type(v).__module__ in ("builtins", "numpy")}
            values = {k: v for k, v in values.items() if not callable(v) and type(v).__name__ != "module"}
            result = outcome.result
            try:
                pickle.dumps(result)
            except Exception:
                result = repr(result)
            record = {
                "values": values,
                "outputs": outcome.outputs,
                "has_result": outcome.has_result,
                "result": result,
            }
            self.folder.mkdir(exist_ok=True)
            self.file(plan.call.step).write_bytes(pickle.dumps(record))
        return {"step": plan.call.step, "action": "ran" if plan.action == "run" else "restored"}

    def abandon(self, plan: FakePlan, reason: str) -> None:
        self.log.append(("abandon", plan.call.step, reason))

    def cell_inside(self, tree: Any = None) -> None:
        """Nothing is skipped here, so nothing is noted."""

    def outside_ran(self) -> None:
        self.log.append("outside")

    def loaded_by(self, text: str) -> None:
        self.loaders.append(text)

    def cell_begins(self, tree: Any = None) -> None:
        self.log.append("cell begins")

    def cell_ends(self, *, failed: bool = False, text: str | None = None) -> list[Any]:
        self.log.append("cell ends")
        return []

    def reset(self) -> None:
        self.log.append("reset")


def parse(line: str) -> StepCall:
    words = shlex.split(line)
    if not words or not words[0].isdigit():
        raise UsageError(f"%%step needs a number first, not {line!r}")
    title = words[2] if len(words) > 2 and words[1] == "--title" else None
    return StepCall(int(words[0]), title=title)


def text(facts: dict[str, Any]) -> str:
    return f"step {facts['step']} · {facts['action']}"


def install(shell: Any, folder: str | Path, start: int = 0, **options: Any) -> Hooks:
    """Install hooks with a fake session; also reachable in the shell as `shell.ckpt_hooks`."""
    session: Any = FakeSession(shell, folder, start)
    hooks = Hooks(shell, session, parse, banner_text=text, banner_html=lambda f: f"<i>{text(f)}</i>", **options)
    hooks.install()
    shell.ckpt_hooks = hooks
    return hooks
