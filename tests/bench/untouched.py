"""Data that a step does not touch, or reaches and leaves alone: what it adds to a step that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.cells import Shell
from tests.bench.measure import Row, fsync_time, rounds_of

_EACH = 1 << 27  # bytes of one array
_SPARE = 6 << 30  # bytes of memory that are left to others


def beside_arrays(folder: Path, gibibytes: float, rounds: int) -> Iterator[Row]:
    """Arrays made by an unmarked cell, by an earlier step, and restored, beside a step that does nothing."""
    for where in ("made in an unmarked cell", "made in an earlier step", "restored"):
        size = gibibytes if where == "made in an unmarked cell" else min(gibibytes, 1)  # steps write it to the disk
        arrays = int(size * (1 << 30)) // _EACH
        what = f"{size:g} GiB of arrays, {where}"
        if _available() < arrays * _EACH + _SPARE:
            print(f"  {what}: not run, too little memory", file=sys.stderr)
            continue
        made = f"import numpy\ndata = [numpy.full({_EACH >> 3}, k + 0.5) for k in range({arrays})]"
        yield from _beside(folder, what, made, where, "float(data[0][5])", rounds)


def beside_objects(folder: Path, objects: int, rounds: int) -> Iterator[Row]:
    """A list of many dicts, made by an unmarked cell, beside a step that does nothing."""
    what = f"a list of {objects:,} dicts"
    if _available() < 1200 * objects + _SPARE:
        print(f"  {what}: not run, too little memory", file=sys.stderr)
        return
    made = f"data = [{{'k': k}} for k in range({objects})]"
    yield from _beside(folder, what, made, "made in an unmarked cell", None, rounds)


def _beside(folder: Path, what: str, made: str, where: str, reading: str | None, rounds: int) -> Iterator[Row]:
    shell = Shell(folder / "untouched")

    def lone() -> float:
        return _without_fsync(lambda: shell.run("%%step 9\npass"))

    shell.reset("none")
    alone = rounds_of(rounds, {"step": lone})["step"]
    if where == "made in an unmarked cell":
        shell.run(made)
    else:
        shell.run(f"%%step 1\n{made}")
        if where == "restored":
            shell.reset("2")
            shell.run(f"%%step 1\n{made}")
    first = lone()
    yield Row(f"first step beside {what}", [first] * rounds, "no data", alone)
    yield Row(f"step beside {what}", rounds_of(rounds, {"step": lone})["step"], "no data", alone)
    if reading is not None:
        read = rounds_of(rounds, {"step": lambda: _without_fsync(lambda: shell.run(f"%%step 9\nx = {reading}"))})
        yield Row(f"step that reads {what}", read["step"], "no data", alone)
    shell.reset("none")
    shell.close()


def _without_fsync(act: Callable[[], float]) -> float:
    with fsync_time() as spent:
        seconds = act()
    return seconds - sum(spent)


def _available() -> int:
    """Bytes of memory that this machine can give; 0 where that cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")), 0)
