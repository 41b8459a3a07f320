"""Figures in the namespace: what they add to a step that does not use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bench.cells import Shell
from tests.bench.measure import Row, fsync_time, rounds_of

_FIGURE = """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
fig, axes = plt.subplots({n}, {n})
for ax in axes.flat:
    ax.plot([1, 2], [3, 4], label="x")
    ax.legend()
fig.canvas.draw()
"""


def beside_figures(folder: Path, rounds: int) -> Iterator[Row]:
    """A closed figure, and one that something else holds, beside a step that does nothing."""
    shell = Shell(folder / "drawn")

    def step() -> float:
        with fsync_time() as spent:
            seconds = shell.run("%%step 9\npass")
        return seconds - min(seconds, sum(spent))

    shell.reset("none")
    shell.run("import matplotlib.pyplot as plt\nkept = plt")
    alone = rounds_of(rounds, {"step": step})["step"]
    for what, more in (("closed", "None"), ("closed, a part of it shown", "ax")):
        shell.run(f"{_FIGURE.format(n=2)}\nplt.close(fig)\n{more}")
        step()
        yield Row(f"step beside a figure, {what}", rounds_of(rounds, {"step": step})["step"], "no figure", alone)
    shell.reset("none")
    shell.close()
