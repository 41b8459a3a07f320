"""The tool that makes steps of other people's notebooks, on a notebook of our own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.exact import notebooks

pytestmark = pytest.mark.kernel

CELLS = """\
%load_ext autoreload
---
import random
import time
values = [random.random() for _ in range(5)]
odd = random.getrandbits(99)
held = [odd]
---
%%time
double = [2 * value for value in values]
double is values
---
%%capture told
print("unmarked")
---
import nothing_of_this_name
---
nothing_of_this_name.f()
---
values.append(1 / 0)
---
def mean(of):
    return sum(of) / len(of)
object(), time.time()
---
with open("left", "w") as file:
    print(mean(double), file=file)
---
import os
os.remove("left")
print(f"{mean(values) * 2 - mean(double):.6f}", held[0] is odd)
"""

SHELL = """\
import matplotlib.pyplot as plt
%matplotlib inline
fig, ax = plt.subplots(figsize=(1, 1))
---
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.ast_node_interactivity = "all"
%precision 3
%xmode Minimal
%alias say echo
---
%load_ext autoreload
%autoreload 2
%config InlineBackend.figure_formats = {"retina", "jpeg"}
fig
---
3.14159
fig
%say hello
plt.get_backend()
get_ipython().InteractiveTB.mode
get_ipython().magics_manager.registry["AutoreloadMagics"]._reloader.check_all
---
from matplotlib_inline.backend_inline import set_matplotlib_formats
set_matplotlib_formats("png", facecolor="red")
from IPython.core.magic import register_line_magic
---
@register_line_magic
def twice(line):
    return line * 2
---
class Money:
    pass
get_ipython().display_formatter.formatters["text/html"].for_type(Money, lambda money: "<b>money</b>")
---
get_ipython().events.register("pre_run_cell", lambda info: print("a cell"))
---
%twice abc
Money()
fig
---
latex = get_ipython().display_formatter.formatters["text/latex"]
---
latex.for_type_by_name("numpy.polynomial.polynomial", "Polynomial", lambda polynomial: "$mine$")
---
import numpy as np
---
from numpy.polynomial import Polynomial
Polynomial([1, 2])
np.random.rand()
---
import matplotlib
matplotlib.use("agg")
---
%twice abc
Money()
callbacks = get_ipython().events.callbacks["pre_run_cell"]
[get_ipython().events.unregister("pre_run_cell", one) for one in callbacks[:] if one.__module__ == "__main__"]
del callbacks
---
plt.plot([1, 2])
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cells = [new_code_cell(source.strip("\n")) for source in CELLS.split("---\n")]
    cells[6].outputs = [new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])]
    path = tmp_path / "nb" / "own.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A title"), *cells]), path)
    return path


def test_every_code_cell_becomes_a_step_and_only_what_differs_is_told(notebook: Path, tmp_path: Path) -> None:
    report = notebooks.Trial(notebook, tmp_path / "runs", 0, 60).run(["first", "4", "last", "end"])

    assert (report.cells, report.steps) == (10, 6)
    assert [text.partition(":")[0] for text in report.dropped] == ["NameError", "ModuleNotFoundError"]
    assert "cell 6" in report.noise  # the time
    assert "double" in report.noise
    assert report.again["2"] == {}
    assert list(report.again["end"]) == [3]  # the author's error: never saved, runs again
    differs = [text.partition("\n")[0] for text in report.differs]  # a big number by identity
    assert differs == [f"start {start}: cell 8 (step 6): at 22:" for start in (2, 4, 6)]
    assert report.stored > 0


def test_an_edited_number_is_restored_around_as_the_edited_notebook_runs(tmp_path: Path) -> None:
    cells = [new_code_cell(source) for source in ("rate = 1.5\nrate", "other = [1]", "worked = rate * 2\nworked")]
    path = tmp_path / "nb" / "edited.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(cells=cells), path)
    trial = notebooks.Trial(path, tmp_path / "runs", 0, 60)
    trial.run(["auto"])
    trial.run_edited()

    assert trial.cells[0].source == "rate = 2.5\nrate"
    assert trial.report.again["auto"] == {}
    assert list(trial.report.again["edited 1"]) == [1, 3]
    assert trial.report.differs == []


def test_what_a_notebook_sets_in_ipython_is_as_if_its_steps_had_run(tmp_path: Path) -> None:
    """The picture of a figure needs the inline backend loaded, though no restored step draws anything."""
    path = tmp_path / "nb" / "shell.ipynb"
    path.parent.mkdir()
    cells = [new_code_cell(source.strip("\n")) for source in SHELL.split("---\n")]
    nbformat.write(new_notebook(cells=cells), path)

    report = notebooks.Trial(path, tmp_path / "runs", 0, 60).run(["2", "4", "13", "16"])

    assert (report.steps, report.dropped, report.differs) == (16, [], [])
    assert report.again["4"] == {}
    assert report.again["13"] == {}


def test_what_a_script_sets_that_runs_by_a_magic_is_as_if_it_had_run(tmp_path: Path) -> None:
    path = tmp_path / "nb" / "script.ipynb"
    path.parent.mkdir()
    script = "import fractions, json\njson.rate = 5\nfractions.Fraction.half = lambda self: self / 2\n"
    (path.parent / "script.py").write_text(script)
    reading = "import json\nfrom fractions import Fraction\njson.rate, Fraction(1, 2).half()"
    cells = [new_code_cell(source) for source in ("%run script.py", "x = 1", reading)]
    nbformat.write(new_notebook(cells=cells), path)

    report = notebooks.Trial(path, tmp_path / "runs", 0, 60).run(["2", "3", "end"])

    assert (report.steps, report.dropped, report.differs) == (3, [], [])
    assert report.again == {"2": {}, "3": {}, "end": {}}


def test_a_first_figure_within_a_context_leaves_figures_as_interactive_as_they_were(tmp_path: Path) -> None:
    """Drawing it makes them interactive, and the end of the context takes that back: later cells show no figures."""
    path = tmp_path / "nb" / "context.ipynb"
    path.parent.mkdir()
    drawing = "with plt.style.context('ggplot'):\n    plt.plot([1, 2])"
    reading = "plt.plot([1, 3])\nplt.isinteractive()"
    cells = [new_code_cell(source) for source in ("import matplotlib.pyplot as plt", drawing, reading, reading)]
    nbformat.write(new_notebook(cells=cells), path)

    report = notebooks.Trial(path, tmp_path / "runs", 0, 60).run(["3", "4"])

    assert (report.steps, report.dropped, report.differs) == (4, [], [])
    assert report.again == {"3": {}, "4": {}}


def test_start_points_are_numbers_for_the_steps_that_are_there() -> None:
    assert [notebooks.points(word, 9) for word in ("first", "middle", "last", "end", "4")] == [
        ["2"],
        ["5"],
        ["9"],
        ["end"],
        ["4"],
    ]
    assert notebooks.points("all", 3) == ["2", "3", "end"]


def test_cells_that_only_set_up_or_begin_with_a_cell_magic_are_no_steps() -> None:
    sources = ["%matplotlib inline", "%matplotlib inline\nimport a", "%%html\n<b>", "# only\n%load_ext x", "%timeit 1"]
    assert notebooks.numbered([new_code_cell(source) for source in sources]) == [None, 1, None, None, 2]


def test_addresses_and_times_are_no_difference() -> None:
    texts = ["<f at 0x7f01aa33>\nWall time: 3 ms", "<f at 0x7f01bb44>\nWall time: 12.5 s"]
    cells = [new_code_cell("", outputs=[new_output("stream", text=text)]) for text in texts]
    assert notebooks.page(cells[0]) == notebooks.page(cells[1])
