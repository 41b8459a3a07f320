"""Measure ckpt_magic against its peers and print a table of ratios: `python -m tests.bench [--quick] [--json FILE]`.

Every number is the median of several rounds. In each round ours and the peer run one after the other, so that a busy
machine slows both; a ratio is our time divided by the peer's in the same round: below 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import arrays, cells, drawn, evidence, folders, large, objects, peers, starting, untouched
from tests.bench.measure import Row
from tests.bench.workloads import workloads


def main(arguments: list[str] | None = None) -> int:
    """Run all benchmarks; return the exit status: 1 if one of them failed, which leaves the others as they are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of the data, the steps and the variables")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="the benchmarks whose names have one of these in it")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement, at least 5 (default: 5)")
    parser.add_argument("--folder", type=Path, help="where the files are written (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the rows to this file too, after each benchmark")
    parser.add_argument(
        "--peers",
        type=Path,
        help="folder of the environments of Kishu and marimo, made there (default: a temporary one; quick: none)",
    )
    options = parser.parse_args(arguments)
    rounds = max(5, options.rounds or 5)
    results = Results(rounds, options.quick)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ckpt-bench-", dir=options.folder) as folder:
        venvs = options.peers or (None if options.quick else Path(folder) / "peers")
        benchmarks = _benchmarks(Path(folder), rounds, venvs, quick=options.quick)
        for text in options.only or ():
            if not any(text in name for name in benchmarks):
                parser.error(f"--only {text}: no benchmark has that in its name; there are {', '.join(benchmarks)}")
        for name, benchmark in benchmarks.items():
            if options.only is None or any(text in name for text in options.only):
                results.take(name, benchmark)
                if options.json:
                    options.json.write_text(json.dumps(results.as_dict(), indent=1), encoding="utf-8")
    _print(results.rows, rounds)
    for name, figure in results.figures.items():
        print(f"{name:60} {figure if isinstance(figure, str) else format(figure, '.4g')}")
    return 1 if results.failed else 0


@dataclass(slots=True)
class Results:
    """What was found so far.

    Attributes
    ----------
    rows, figures
        What benchmarks gave.
    failed
        Per benchmark that ended early the error.
    seconds
        Per benchmark how long it took.
    """

    rounds: int
    quick: bool
    rows: list[Row] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def take(self, name: str, benchmark: Benchmark) -> None:
        """Run a benchmark and keep what it gives, also if it fails half-way."""
        began = time.perf_counter()
        try:
            for found in benchmark():
                if isinstance(found, Row):
                    print(f"  {found.what}: {found.ratio:.3g}", file=sys.stderr)
                    self.rows.append(found)
                else:
                    self.figures |= found
        except Exception as error:  # whatever it is, the others are measured all the same
            traceback.print_exc()
            self.failed[name] = f"{type(error).__name__}: {error}"
            self.figures[name] = f"failed: {self.failed[name]}"
            cells.forget()
        self.seconds[name] = time.perf_counter() - began
        print(f"{name}: {self.seconds[name]:.1f} s", file=sys.stderr)

    def as_dict(self) -> dict[str, Any]:
        """All of it for a JSON file."""
        return {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "rounds": self.rounds,
            "quick": self.quick,
            "rows": [row.as_dict() for row in self.rows],
            "figures": self.figures,
            "failed": self.failed,
            "seconds": self.seconds,
        }


Benchmark = Callable[[], Iterable[Row | Mapping[str, float | str]]]


def _benchmarks(folder: Path, rounds: int, venvs: Path | None, *, quick: bool) -> dict[str, Benchmark]:
    mebibytes, variables, large_mebibytes = (64, 200, 64) if quick else (512, 1000, 1024)
    found: dict[str, Benchmark] = {
        "machine": lambda: [large.machine(folder, large_mebibytes, rounds)],
        "array restored": lambda: arrays.restore(folder, mebibytes, rounds),
        "array saved": lambda: arrays.save(folder, mebibytes, rounds),
        "array in cells": lambda: [large.array(folder, large_mebibytes, rounds)],
        "steps that change a hundredth": lambda: [large.hundredths(folder, large_mebibytes)],
        "empty step": lambda: cells.empty_step(folder, variables, rounds),
        "small variables": lambda: cells.small_variables(folder, variables, rounds),
        "beside arrays": lambda: untouched.beside_arrays(folder, 0.25 if quick else 8, rounds),
        "beside objects": lambda: untouched.beside_objects(folder, 200_000 if quick else 10_000_000, rounds),
        "beside figures": lambda: drawn.beside_figures(folder, rounds),
        "evidence": lambda: evidence.small_step(folder, rounds),
        "many files": lambda: evidence.many_files(folder, 1_000 if quick else 10_000, rounds),
        "plan": lambda: evidence.planning(folder, 20 if quick else 100, rounds),
        "crowded folder": lambda: folders.crowded(folder, 1_000 if quick else 10_000, rounds),
        "imports": lambda: starting.imports(rounds),
    }
    for workload in workloads(quick=quick):
        what = workload.what.format(workload.size)
        found[what] = partial(objects.rows, folder, workload, rounds, quick=quick)
    for peer in peers.PEERS:
        found[peer] = partial(peers.rows, peer, venvs, folder, rounds, quick=quick)
    return found


def _print(rows: list[Row], rounds: int) -> None:
    table = Table(title=f"ckpt_magic against peers, median of {rounds} rounds", caption="ratio: ours / the peer's")
    table.add_column("what")
    table.add_column("ours", justify="right")
    table.add_column("peer")
    table.add_column("peer's", justify="right")
    table.add_column("ratio", justify="right")
    for row in rows:
        shown = row.as_dict()
        show = _milliseconds if row.unit == "seconds" else _mebibytes
        ours, theirs = show(shown[row.unit]), show(shown[f"peer_{row.unit}"])
        table.add_row(row.what, ours, row.peer, theirs, f"{row.ratio:.3g}")
    console = Console()
    console.width = max(console.width, 110)  # a ratio that is wrapped or cut tells nothing
    console.print(table)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


def _mebibytes(size: float) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


if __name__ == "__main__":
    raise SystemExit(main())
