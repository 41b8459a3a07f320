"""A kernel in this process, without IPython: cells run through `Session` as the hooks would run them."""

from __future__ import annotations

import ast
import linecache
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckpt_magic.steps.plan import Body, Outcome, Plan
from ckpt_magic.steps.registry import StepCall, parse_start
from ckpt_magic.steps.session import Session
from ckpt_magic.steps.settings import Settings


class Kernel:
    """One kernel on a folder; its namespace is that of `__main__` while it is used."""

    def __init__(
        self,
        folder: Path,
        start: int | str = "none",
        *,
        name: str | None = "p",
        notebook: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.module = types.ModuleType("__main__")
        self.names: dict[str, Any] = self.module.__dict__
        hidden = dict(self.names)
        settings = Settings(folder, environ=environ or {}, notebook=notebook)
        settings.configure(name=name, folder=str(folder))
        settings.set_start(parse_start(start))
        self.session = Session(self.names, settings, hidden=lambda names: names.keys() & {*hidden, "__builtins__"})
        self.plan: Plan | None = None
        self._count = 0

    def cell(self, source: str) -> None:
        """Run an unmarked cell."""
        tree = ast.parse(source)
        with self._as_main():
            self.session.cell_begins(tree)
            failed = True
            try:
                exec(self._compile(source), self.names)
                failed = False
            finally:
                self.session.cell_ends(failed=failed)

    def step(self, number: int, source: str, *, outputs: list[dict[str, Any]] | None = None, **options: Any) -> Any:
        """Run or restore a step cell; returns the facts of the banner."""
        code = self._compile(source)
        with self._as_main():
            self.plan = self.session.begin(StepCall(number, **options), Body(source, ast.parse(source), "", source))
            if self.plan.action == "restore":
                self.session.restore(self.plan)
                return self.session.finish(self.plan, Outcome(True))
            try:
                exec(code, self.names)
            except BaseException as error:
                error.add_note(f"step {number} ran: {'; '.join([self.plan.reason, *self.plan.notes])}")
                self.session.finish(self.plan, Outcome(False))
                raise
            return self.session.finish(self.plan, Outcome(True, outputs or [], seconds=1.5))

    def _compile(self, source: str) -> Any:
        self._count += 1
        filename = f"<cell {id(self)} {self._count}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        return compile(source, filename, "exec", dont_inherit=True)

    def _as_main(self) -> Main:
        return Main(self.module)


class Main:
    """Within, a module is `__main__`."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module

    def __enter__(self) -> None:
        self.earlier, sys.modules["__main__"] = sys.modules["__main__"], self.module

    def __exit__(self, *error: object) -> None:
        sys.modules["__main__"] = self.earlier
