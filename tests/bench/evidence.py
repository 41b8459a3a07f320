"""What the evidence costs: in a small step, in one that opens many files, and where a long notebook is planned."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

import ckpt_magic
from ckpt_magic.steps.evidence import Evidence
from ckpt_magic.steps.opened import Trail, watcher
from tests.bench.cells import Shell
from tests.bench.measure import Row, rounds_of, timed

_HELPERS = """
import json, os
scale = 3
def twice(x):
    'Twice.'
    return once(x) * 2
def once(x):
    return x * scale
"""
_SMALL = "%%step 1\nvalue = twice(4)\nmode = os.environ.get('MODE')"
_LOAD = """
import json
for number in range({count}):
    with open(f"{place}/{{number}}.json") as file:
        json.load(file)
"""
_PARTS = ("look", "begins", "ends", "of_step", "of_above", "now")


def small_step(folder: Path, rounds: int) -> Iterator[Row]:
    """The seconds that go into evidence while a small step runs and is saved, and while it is restored."""
    shell = Shell(folder / "evidence")
    spent: list[float] = []

    def step(start: str) -> float:
        shell.reset(start)
        shell.run(_HELPERS)
        with _time_of_evidence() as parts:
            seconds = shell.run(_SMALL)
        spent.append(sum(parts))
        return seconds

    for what, start in (("runs", "none"), ("is restored", "auto")):
        spent.clear()
        seconds = rounds_of(rounds, {"step": lambda start=start: step(start)})["step"]  # type: ignore[misc]
        yield Row(f"evidence, a small step {what}", spent[1:], "the whole step", seconds)
    shell.close()


def many_files(folder: Path, count: int, rounds: int) -> Iterator[Row]:
    """Many files read, noted by the hook and not; then a step that loads them, and the same cell without `%%step`."""
    place = folder / "many"
    place.mkdir()
    for number in range(count):
        (place / f"{number}.json").write_text(json.dumps({"number": number, "name": "a"}))
    paths = [os.fspath(path) for path in sorted(place.iterdir())]

    def read() -> None:
        for path in paths:
            with open(path) as file:
                file.read()

    def noted() -> float:
        with watcher().laying(Trail(lambda path: None)):
            return timed(read)

    seconds = rounds_of(rounds, {"noted": noted, "plain": lambda: timed(read)})
    yield Row(f"{count:,} files read, noted by the hook", seconds["noted"], "not noted", seconds["plain"])
    body = _LOAD.format(count=count, place=place)
    shell = Shell(folder / "opens")
    shell.reset("none")
    seconds = rounds_of(rounds, {"step": lambda: shell.run(f"%%step 1{body}"), "plain": lambda: shell.run(body)})
    yield Row(f"a step that loads {count:,} JSON files", seconds["step"], "without %%step", seconds["plain"])
    shell.close()


def planning(folder: Path, steps: int, rounds: int) -> Iterator[Row]:
    """`ckpt-magic plan` on a long notebook: seconds beyond starting Python."""
    compileall.compile_dir(os.path.dirname(ckpt_magic.__file__), quiet=2)
    place = folder / "long"
    place.mkdir()
    shell = Shell(place / ".ckpt")
    shell.reset("none")
    cells = [
        _HELPERS,
        *(f"%%step {n}\nvalue{n} = twice({n}) + {f'value{n - 1}' if n > 1 else 0}" for n in range(1, steps + 1)),
    ]
    for cell in cells:
        shell.run(cell)
    shell.run("%ckpt_status")
    shell.close()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, place / "long.ipynb")
    command = [sys.executable, "-m", "ckpt_magic", "plan", str(place / "long.ipynb"), "--name", "bench"]

    def run(command: list[str], expected: int) -> float:
        done = []
        seconds = timed(lambda: done.append(subprocess.run(command, stdout=subprocess.DEVNULL, check=False)))
        if done[0].returncode != expected:
            raise RuntimeError(f"{command} ended with {done[0].returncode}")
        return seconds

    seconds = rounds_of(
        rounds, {"plan": lambda: run(command, 0), "python": lambda: run([sys.executable, "-c", "pass"], 0)}
    )
    beyond = [one - other for one, other in zip(seconds["plan"], seconds["python"], strict=True)]
    yield Row(f"plan of {steps} steps, beyond python", beyond, "python alone", seconds["python"])


@contextmanager
def _time_of_evidence() -> Iterator[list[float]]:
    """Collect the seconds of all that `Evidence` is asked."""
    spent: list[float] = []
    natives = {name: getattr(Evidence, name) for name in _PARTS}

    def measured(native: Callable[..., Any]) -> Callable[..., Any]:
        def part(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return native(*arguments, **options)
            finally:
                spent.append(time.perf_counter() - start)

        return part

    for name, native in natives.items():
        setattr(Evidence, name, measured(native))
    try:
        yield spent
    finally:
        for name, native in natives.items():
            setattr(Evidence, name, native)
