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
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import arrays, cells, drawn, evidence, folders, large, objects, starting, untouched
from tests.bench.measure import Row


def main(arguments: list[str] | None = None) -> int:
    """Run all benchmarks; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="64 MiB instead of 512 MiB, 200 variables instead of 1,000, a fiftieth of the objects",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each measurement, at least 5 (default: 7; quick: 5)")
    parser.add_argument("--folder", type=Path, help="where the files are written (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args(arguments)
    rounds = max(5, options.rounds or (5 if options.quick else 7))
    with tempfile.TemporaryDirectory(prefix="ckpt-bench-", dir=options.folder) as folder:
        rows = list(_rows(Path(folder), rounds, quick=options.quick))
        figures = _figures(Path(folder), rounds, quick=options.quick)
    _print(rows, rounds)
    for name, figure in figures.items():
        print(f"{name:60} {figure if isinstance(figure, str) else format(figure, '.4g')}")
    if options.json:
        about = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "rounds": rounds,
            "quick": options.quick,
        }
        options.json.write_text(
            json.dumps({**about, "rows": [row.as_dict() for row in rows], "figures": figures}, indent=1),
            encoding="utf-8",
        )
    return 0


def _rows(folder: Path, rounds: int, *, quick: bool) -> Iterator[Row]:
    mebibytes, variables = (64, 200) if quick else (512, 1000)
    benchmarks: list[Callable[[], Iterator[Row]]] = [
        lambda: arrays.restore(folder, mebibytes, rounds),
        lambda: arrays.save(folder, mebibytes, rounds),
        lambda: cells.empty_step(folder, variables, rounds),
        lambda: cells.small_variables(folder, variables, rounds),
        lambda: objects.rows(folder, rounds, quick=quick),
        lambda: untouched.beside_arrays(folder, 1 if quick else 8, rounds),
        lambda: untouched.beside_objects(folder, 200_000 if quick else 10_000_000, rounds),
        lambda: drawn.beside_figures(folder, rounds),
        lambda: evidence.small_step(folder, rounds),
        lambda: evidence.many_files(folder, 1_000 if quick else 10_000, rounds),
        lambda: evidence.planning(folder, 20 if quick else 100, rounds),
        lambda: folders.crowded(folder, 1_000 if quick else 10_000, rounds),
        lambda: starting.imports(rounds),
    ]
    for benchmark in benchmarks:
        for row in benchmark():
            print(f"  {row.what}: {row.ratio:.3g}", file=sys.stderr)
            yield row


def _figures(folder: Path, rounds: int, *, quick: bool) -> dict[str, float | str]:
    """What is told beside the limits of the machine, by name."""
    mebibytes = 128 if quick else 1024
    found: dict[str, float | str] = {}
    for benchmark in (
        lambda: large.machine(folder, mebibytes, rounds),
        lambda: large.array(folder, mebibytes, rounds),
        lambda: large.hundredths(folder, mebibytes),
    ):
        found |= benchmark()
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
