"""Step cells in a real IPython shell: what `%%step` adds to a cell that does nothing, and many small variables."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests import shells
from tests.bench.measure import Row, fsync_time, rounds_of


class Shell:
    """One IPython shell whose cells are timed; what they print is thrown away."""

    def __init__(self, folder: Path) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=config)
        self.folder = folder
        self.run("%reset -f")  # before, since it changes aliases of the shell
        self.run("%load_ext ckpt_magic")

    def run(self, cell: str) -> float:
        """Execute a cell and return its seconds; an error in it is an error here."""
        shown = io.StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            start = time.perf_counter()
            result = self.shell.run_cell(cell, store_history=True)
            seconds = time.perf_counter() - start
        if not result.success:
            raise RuntimeError(f"{cell}\n{shown.getvalue()}")
        return seconds

    def reset(self, start: str) -> None:
        """Begin as a new kernel would, with this start point."""
        self.run("%reset -f")
        self.run(f"%ckpt_config --name bench --version 1 --folder {self.folder}")
        self.run(f"%ckpt_start {start}")

    def value(self, name: str) -> Any:
        """A variable of the shell."""
        return self.shell.user_ns[name]

    def close(self) -> None:
        """Take the shell out of the process."""
        self.run("%unload_ext ckpt_magic")
        shells.end(self.shell)


def forget() -> None:
    """Take out of the process a shell that a benchmark left there when it failed."""
    if InteractiveShell.initialized():
        InteractiveShell.instance().run_cell("%unload_ext ckpt_magic", silent=True)
        InteractiveShell.clear_instance()


def empty_step(folder: Path, variables: int, rounds: int) -> Iterator[Row]:
    """What `%%step` adds to a cell that does nothing, alone and beside many small variables."""
    shell = Shell(folder / "empty")
    shell.reset("none")
    yield from _against_pass(shell, "empty step", rounds)
    shell.run(_many(variables))
    yield from _against_pass(shell, f"empty step beside {variables:,} variables", rounds)
    shell.close()


def small_variables(folder: Path, variables: int, rounds: int) -> Iterator[Row]:
    """A step that makes many small variables: run and saved, then restored as in a new kernel."""
    shell = Shell(folder / "small")
    body = f"{_many(variables)}\nimport time\nstamp = time.perf_counter_ns()"
    pickled = folder / "small.pkl"

    def plain() -> float:
        shell.reset("none")
        return shell.run(body)

    def saved() -> float:
        shell.reset("none")
        return shell.run(f"%%step 1\n{body}")

    def restored() -> float:
        stamp = shell.value("stamp")
        shell.reset("end")
        seconds = shell.run(f"%%step 1\n{body}")
        if shell.value("stamp") != stamp:
            raise RuntimeError("the step ran instead of being restored")
        return seconds

    def load() -> float:
        values = {name: value for name, value in shell.shell.user_ns.items() if name.startswith("v_")}
        pickled.write_bytes(pickle.dumps(values, protocol=5))
        start = time.perf_counter()
        with pickled.open("rb") as file:
            pickle.load(file)
        return time.perf_counter() - start

    seconds = rounds_of(rounds, {"plain": plain, "saved": saved, "restored": restored, "pickle": load})
    yield Row(
        f"step with {variables:,} small variables, saved", seconds["saved"], "the cell without %%step", seconds["plain"]
    )
    yield Row("the same step, restored", seconds["restored"], "pickle.load of the dict", seconds["pickle"])
    shell.close()


def _against_pass(shell: Shell, what: str, rounds: int) -> Iterator[Row]:
    fsync: list[float] = []

    def step() -> float:
        with fsync_time() as spent:
            seconds = shell.run("%%step 1\npass")
        fsync.append(sum(spent))
        return seconds - fsync[-1]

    seconds = rounds_of(rounds, {"step": step, "pass": lambda: shell.run("pass")})
    yield Row(f"{what}, without fsync", seconds["step"], "pass", seconds["pass"])
    yield Row(what, [sum(pair) for pair in zip(seconds["step"], fsync[1:], strict=True)], "pass", seconds["pass"])


def _many(variables: int) -> str:
    return f"for k in range({variables}):\n    globals()[f'v_{{k}}'] = [k, str(k), {{'k': k / 7}}]"
