"""The edit table: what an edit makes stale, and what it does not, with the truth beside the verdict.

A notebook is run once. Then one thing is changed in a copy of its project, and the notebook is run with `auto` in a
new kernel: just the expected steps may run, each for the reason that is named, and in the end all variables must be
those of a kernel that ran everything anew. What is told in advance, without running anything, may never call a step
fresh that runs.
"""

from __future__ import annotations

import decimal
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fresh import project as projects

FILES = {
    "data.csv": "1,2,3",
    "more/one.txt": "one",
    "more/two.txt": "two",
    "config.json": '{"depth": 2}',
    "notes.md": "notes",
    "numbers.csv": "4,5",
    "helpers.py": 'import inner\n\nRATE = 2\n\n\ndef compute(x):\n    "Compute."\n    return inner.double(x) * RATE\n',
    "inner.py": "def double(x):\n    return 2 * x\n",
    "other.py": "def unused():\n    return 1\n",
}

TOP = """
import os, json, random
from pathlib import Path
import helpers, other
lr = 0.1
epochs = 3
name = "model"
config = {"depth": 2, "units": [1, 2]}
spare = 5
"""
TOOLS = """
def scale(x, factor=2):
    "Scale."
    return shift(x) * factor
def shift(x: int) -> int:
    # moves it
    return x + offset
offset = 10
def unused(x):
    return x
class Tool:
    "A tool."
    rate = 3
    def use(self, x):
        return x * self.rate
def make(n):
    def inner(x):
        return x * n
    return inner
times = make(4)
random.seed(1)
"""

ROWS = 'rows = [int(text) for text in Path("data.csv").read_text().split(",")]'
WEIGHT = """
weight = lr * epochs + len(name)
def inside(x):
    'Doc.'
    y: int = x
    return y
weight = inside(weight)
"""
TEXT = """
mode = os.environ.get("FRESH_MODE", "none")
text = "".join(path.read_text() for path in sorted(Path("more").glob("*.txt")))
"""
DEPTH = """
depth = json.loads(Path("config.json").read_text())["depth"] + config["depth"]
with open("out.txt", "w") as file:
    file.write(str(depth))
del file
"""
BACK = """
back = int(Path("out.txt").read_text())
try:
    extra = Path("extra.txt").read_text()
except OSError:
    extra = ""
"""
CELLS: list[tuple[Any, ...]] = [
    (None, TOP),
    (None, TOOLS),
    (1, ROWS),
    (2, "total = scale(sum(rows))"),
    (3, WEIGHT),
    (4, "result = Tool().use(total) + times(1)"),
    (5, "answer = helpers.compute(weight)"),
    (6, TEXT),
    (7, DEPTH),
    (8, BACK),
    (9, "draw = random.random()"),
    (None, "seen = [weight, back]"),
    (11, "import decimal\nthird = str(decimal.Decimal(1) / 3)"),
    (10, "final = [result, answer, back, text, seen]"),
]


@dataclass
class Notebook:
    """What an edit may change."""

    path: Path
    cells: list[tuple[Any, ...]]
    environ: dict[str, str] = field(default_factory=dict)

    def replace(self, old: str, new: str) -> None:
        """Change text in the one cell that has it."""
        at = [number for number, (_, text, *_rest) in enumerate(self.cells) if old in text]
        assert len(at) == 1, (old, at)
        step, text, *rest = self.cells[at[0]]
        self.cells[at[0]] = (step, text.replace(old, new), *rest)


Edit = Callable[[Notebook], None]


def text(old: str, new: str) -> Edit:
    return lambda notebook: notebook.replace(old, new)


def file(name: str, content: str | None) -> Edit:
    def edit(notebook: Notebook) -> None:
        path = notebook.path / name
        if content is None:
            path.unlink()
        else:
            path.write_text(content)

    return edit


def again(name: str) -> Edit:
    """Write the same once more: other times, the same content."""

    def edit(notebook: Notebook) -> None:
        path = notebook.path / name
        path.write_text(path.read_text())
        os.utime(path, ns=(1, 1))

    return edit


def env(**values: str) -> Edit:
    return lambda notebook: notebook.environ.update(values)


def insert(at: int, source: str) -> Edit:
    return lambda notebook: notebook.cells.insert(at, (None, source))


def move(start: int, to: int) -> Edit:
    return lambda notebook: notebook.cells.insert(to, notebook.cells.pop(start))


def elsewhere(notebook: Notebook) -> None:
    """Work in another folder, with files of the same names."""
    (notebook.path / "elsewhere" / "more").mkdir(parents=True)
    for name, content in {"data.csv": "1,2,4", "config.json": '{"depth": 2}', "more/one.txt": "one"}.items():
        (notebook.path / "elsewhere" / name).write_text(content)
    notebook.cells.insert(1, (None, 'os.chdir("elsewhere")'))


def to_the_step_below(notebook: Notebook) -> None:
    line = "weight = inside(weight)"
    notebook.replace(f"{line}\n", "")
    notebook.replace("result = Tool", f"{line}\nresult = Tool")


def steps(*numbers: int) -> set[int]:
    return set(numbers)


# (what is edited, how, which steps run, a word of the reason of the first of them)
TABLE: list[tuple[str, Edit, set[int], str]] = [
    ("nothing", lambda notebook: None, steps(), ""),
    # -- the code of steps
    ("a comment in a step", text("total = scale(sum(rows))", "# why\ntotal = scale(sum(rows))"), steps(), ""),
    ("spaces in a step", text("total = scale(sum(rows))", "total   = scale( sum( rows ) )"), steps(), ""),
    ("quotes in a step", text('Path("data.csv")', "Path('data.csv')"), steps(), ""),
    ("brackets around an expression", text("total = scale(sum(rows))", "total = (scale(sum(rows)))"), steps(), ""),
    ("an empty line in a step", text("def inside(x):", "\n\ndef inside(x):"), steps(), ""),
    ("a docstring in a step", text("'Doc.'", "'Another doc.'"), steps(), ""),
    ("a docstring taken out", text("    'Doc.'\n", ""), steps(), ""),
    ("an annotation of a local variable", text("y: int = x", "y: float = x"), steps(), ""),
    ("an annotation of a local variable taken out", text("y: int = x", "y = x"), steps(), ""),
    ("an annotation of a function in a step", text("def inside(x):", "def inside(x: int) -> int:"), steps(), ""),
    ("an annotation at the top of a step", text("draw = random", "draw: float = random"), steps(9), "code"),
    ("a constant in a step", text("lr * epochs + len", "lr * epochs + 1 + len"), steps(3, 5, 10), "code differs"),
    ("an operator in a step", text("lr * epochs", "lr / epochs"), steps(3, 5, 10), "code differs"),
    ("code with the same result", text("lr * epochs", "epochs * lr"), steps(3), "code differs"),
    (
        "the name of a local variable",
        text("y: int = x\n    return y", "z: int = x\n    return z"),
        steps(3),
        "code differs",
    ),
    ("a new statement in a step", text("draw = random.random()", "draw = random.random()\nnew = 1"), steps(9), "code"),
    ("a semicolon at the end", text("draw = random.random()", "draw = random.random();"), steps(9), "code"),
    ("another file in a step", text('Path("data.csv")', 'Path("numbers.csv")'), steps(1, 2, 4, 10), "code"),
    ("the first step", text(".read_text().split", ".read_text().strip().split"), steps(1), "code"),
    ("the last step", text("final = [result,", "final = [0, result,"), steps(10), "code"),
    # -- values of unmarked cells
    ("a number", text("lr = 0.1", "lr = 0.05"), steps(3, 5, 10), "`lr` has another value (was 0.1, is 0.05)"),
    ("a number by its type", text("epochs = 3", "epochs = 3.0"), steps(3), "`epochs`"),
    ("a number written otherwise", text("lr = 0.1", "lr = 1e-1"), steps(), ""),
    ("a number computed otherwise", text("epochs = 3", "epochs = 1 + 2"), steps(), ""),
    ("a text", text('name = "model"', 'name = "models"'), steps(3, 5, 10), "`name`"),
    ("a text of the same length", text('name = "model"', 'name = "modem"'), steps(3), "`name`"),
    ("an entry of a dict", text('"depth": 2, "units"', '"depth": 3, "units"'), steps(7, 8, 10), "`config`"),
    ("an entry of a list in a dict", text("[1, 2]", "[1, 2, 3]"), steps(7), "`config`"),
    (
        "the order of a dict",
        text('{"depth": 2, "units": [1, 2]}', '{"units": [1, 2], "depth": 2}'),
        steps(7),
        "`config`",
    ),
    ("a value that no step reads", text("spare = 5", "spare = 6"), steps(), ""),
    ("a new value that no step reads", text("spare = 5", "spare = 5\nspare2 = 6"), steps(), ""),
    ("a global that a helper reads", text("offset = 10", "offset = 11"), steps(2, 4, 10), "`offset`"),
    ("a value changed further down", insert(5, "lr = 0.2"), steps(), ""),
    ("a value changed above its step", insert(4, "lr = 0.2"), steps(3, 5, 10), "`lr`"),
    ("a value changed in place above its step", insert(2, 'config["depth"] = 9'), steps(7, 8, 10), "`config`"),
    ("a value set to what it was", insert(4, "lr = 0.1"), steps(), ""),
    ("a builtin hidden", insert(2, "def sum(x):\n    return 0"), steps(2, 4, 10), "`sum`"),
    ("a builtin hidden, with the same result", insert(4, "def len(x):\n    return 5"), steps(3), "`len`"),
    ("what an unmarked cell passes on", text("seen = [weight, back]", "seen = [weight, back, 1]"), steps(10), "`seen`"),
    # -- helpers in unmarked cells
    ("a comment in a helper", text("# moves it", "# moves the value"), steps(), ""),
    ("a docstring of a helper", text('"Scale."', '"Scale and shift."'), steps(), ""),
    ("a docstring of a helper taken out", text('    "Scale."\n', ""), steps(), ""),
    ("an annotation of a helper", text("def shift(x: int) -> int:", "def shift(x):"), steps(), ""),
    ("a docstring of a class", text('"A tool."', '"Another tool."'), steps(), ""),
    ("a helper", text("shift(x) * factor", "shift(x) * factor + 1"), steps(2, 4, 10), "`scale` is defined otherwise"),
    ("a helper with the same result", text("shift(x) * factor", "factor * shift(x)"), steps(2), "`scale`"),
    ("a helper of a helper", text("return x + offset", "return x + offset + 1"), steps(2, 4, 10), "`shift`"),
    ("a default value", text("factor=2", "factor=3"), steps(2, 4, 10), "`scale`"),
    ("a default value written otherwise", text("factor=2", "factor=1+1"), steps(2), "`scale`"),
    ("a helper that no step calls", text("def unused(x):\n    return x", "def unused(x):\n    return -x"), steps(), ""),
    ("a helper renamed", text("def unused(x)", "def unused2(x)"), steps(), ""),
    ("a method", text("return x * self.rate", "return x * self.rate + 1"), steps(4, 10), "`Tool"),
    ("an attribute of a class", text("rate = 3", "rate = 5"), steps(4, 10), "`Tool`"),
    ("an attribute of a class set later", insert(2, "Tool.rate = 5"), steps(4, 10), "`Tool`"),
    ("a method set later", insert(2, "Tool.use = lambda self, x: x"), steps(4, 10), "Tool"),
    ("what a closure holds", text("make(4)", "make(5)"), steps(4, 10), "inner"),
    ("the function around a closure", text("def make(n):\n", "def make(n):\n    n = n + 0\n"), steps(), ""),
    ("the code of a closure", text("return x * n", "return x * n + 1"), steps(4, 10), "inner"),
    ("a helper replaced further down", insert(3, "def scale(x, factor=2):\n    return 0"), steps(2, 4, 10), "`scale`"),
    ("a helper replaced after its step", insert(4, "def scale(x, factor=2):\n    return 0"), steps(), ""),
    ("a helper replaced by a number", insert(3, "offset = 3"), steps(2, 4, 10), "`offset`"),
    (
        "a decorator on a helper",
        text("def shift(x: int)", "import functools\n@functools.cache\ndef shift(x: int)"),
        steps(2),
        "shift",
    ),
    (
        "helpers in other order",
        text("offset = 10\ndef unused(x):\n    return x\n", "def unused(x):\n    return x\noffset = 10\n"),
        steps(),
        "",
    ),
    ("helpers moved to another cell", insert(2, "offset = 10"), steps(), ""),
    # -- files
    ("a data file", file("data.csv", "1,2,4"), steps(1, 2, 4, 10), "`data.csv` changed"),
    ("a data file of the same length", file("data.csv", "3,2,1"), steps(1, 2), "`data.csv`"),
    ("a data file by formatting alone", file("data.csv", "1, 2,3"), steps(1), "`data.csv`"),
    ("a data file written again", again("data.csv"), steps(), ""),
    ("a file that no step opens", file("notes.md", "other notes"), steps(), ""),
    ("a file that no step opens deleted", file("notes.md", None), steps(), ""),
    ("a new file elsewhere", file("new.txt", "new"), steps(), ""),
    ("a new file that matches a pattern", file("more/three.txt", "three"), steps(6, 10), "`more`"),
    ("a new file in a folder that was listed", file("more/three.md", "three"), steps(6), "`more`"),
    ("one of several files", file("more/two.txt", "2"), steps(6, 10), "two.txt"),
    ("a file deleted from a folder", file("more/two.txt", None), steps(6, 10), "more"),
    ("one of several files written again", again("more/one.txt"), steps(), ""),
    ("a JSON file", file("config.json", '{"depth": 3}'), steps(7, 8, 10), "`config.json`"),
    ("a JSON file with the same content", file("config.json", '{"depth":2}'), steps(7), "`config.json`"),
    ("a file that was not there", file("extra.txt", "more"), steps(8), "`extra.txt`"),
    ("a file that was not there and is empty", file("extra.txt", ""), steps(8), "`extra.txt`"),
    ("what a step wrote", file("out.txt", "7"), steps(7), "`out.txt`"),
    ("what a step wrote deleted", file("out.txt", None), steps(7), "`out.txt`"),
    ("what a step wrote, written again", again("out.txt"), steps(), ""),
    # -- modules
    (
        "a function of a module",
        file("helpers.py", FILES["helpers.py"].replace("* RATE", "* RATE + 1")),
        steps(5, 10),
        "module `helpers`",
    ),
    (
        "a constant of a module",
        file("helpers.py", FILES["helpers.py"].replace("RATE = 2", "RATE = 3")),
        steps(5, 10),
        "module `helpers`",
    ),
    ("a comment in a module", file("helpers.py", "# a comment\n" + FILES["helpers.py"]), steps(), ""),
    ("a docstring in a module", file("helpers.py", FILES["helpers.py"].replace("Compute.", "Computes.")), steps(), ""),
    ("formatting of a module", file("helpers.py", FILES["helpers.py"].replace("\n\n\n", "\n")), steps(), ""),
    (
        "a module that a module imports",
        file("inner.py", "def double(x):\n    return 3 * x\n"),
        steps(5, 10),
        "module `inner`",
    ),
    ("a comment in a module that a module imports", file("inner.py", "# twice\n" + FILES["inner.py"]), steps(), ""),
    ("a module that no step uses", file("other.py", "def unused():\n    return 2\n"), steps(), ""),
    ("a new module", file("fourth.py", "x = 1\n"), steps(), ""),
    ("a module written again", again("helpers.py"), steps(), ""),
    # -- the environment
    ("a variable that is asked for", env(FRESH_MODE="fast"), steps(6), "`FRESH_MODE`"),
    ("a variable that is asked for, empty", env(FRESH_MODE=""), steps(6), "`FRESH_MODE`"),
    ("a variable that nobody asks for", env(FRESH_OTHER="1"), steps(), ""),
    # -- chance
    ("the seed", text("random.seed(1)", "random.seed(2)"), steps(9), "seeded otherwise"),
    ("a number drawn above", text("random.seed(1)", "random.seed(1)\nrandom.random()"), steps(9), "seeded otherwise"),
    ("the seed set twice", text("random.seed(1)", "random.seed(2)\nrandom.seed(1)"), steps(), ""),
    # -- the cells
    ("an empty cell", insert(0, ""), steps(), ""),
    ("a cell that prints", insert(8, "print(len(str(text)) if 'text' in globals() else '')"), steps(), ""),
    ("a cell moved up", move(8, 3), steps(), ""),
    ("a cell moved down", move(4, 5), steps(), ""),
    (
        "the unmarked cells joined",
        lambda notebook: notebook.cells.__setitem__(slice(0, 2), [(None, TOP + TOOLS)]),
        steps(),
        "",
    ),
    ("a line moved to the step below", to_the_step_below, steps(3, 4), "code differs"),
    (
        "two steps joined",
        lambda notebook: notebook.cells.__setitem__(slice(3, 5), [(2, f"{CELLS[3][1]}\n{CELLS[4][1]}")]),
        steps(2),
        "code differs",
    ),
    ("a step removed that no step reads", lambda notebook: notebook.cells.__delitem__(10), steps(), ""),
]

# Edits of what lies around all steps: these run at least, each for a reason that has this word.
AROUND: list[tuple[str, Edit, set[int], str]] = [
    ("a variable set by an unmarked cell", insert(1, 'os.environ["FRESH_MODE"] = "slow"'), steps(6), "FRESH_MODE"),
    ("the working directory", elsewhere, steps(1, 2, 4, 6, 7, 8, 10), "cwd"),
    ("the precision of decimals", insert(1, "import decimal\ndecimal.getcontext().prec = 5"), steps(11), "decimal"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    patch = pytest.MonkeyPatch()
    patch.setenv("CKPT_KEY", "tests")
    patch.delenv("FRESH_MODE", raising=False)
    patch.setattr(sys, "dont_write_bytecode", True)
    patch.setattr(sys, "path", list(sys.path))
    path = tmp_path_factory.mktemp("edits") / "base"
    (path / "more").mkdir(parents=True)
    for name, content in FILES.items():
        (path / name).write_text(content)
    patch.chdir(path)
    patch.syspath_prepend(str(path))
    assert projects.play(path, CELLS, "none").steps == set(range(1, 12))
    yield path
    projects.forget_modules(path)
    patch.undo()


@pytest.fixture
def notebook(base: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    path = projects.copy(base, base.parent / f"copy{len(list(base.parent.iterdir()))}")
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [str(path), *(one for one in sys.path if one != str(base))])
    environ = dict(os.environ)
    yield Notebook(path, list(CELLS))
    os.environ.clear()
    os.environ.update(environ)
    decimal.setcontext(decimal.Context())


@pytest.mark.parametrize(
    ("edit", "runs", "why", "at_least"),
    [(*row[1:], False) for row in TABLE] + [(*row[1:], True) for row in AROUND],
    ids=[row[0] for row in (*TABLE, *AROUND)],
)
def test_an_edit_makes_run_what_it_makes_stale(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, edit: Edit, runs: set[int], why: str, at_least: bool
) -> None:
    edit(notebook)
    for name, value in notebook.environ.items():
        monkeypatch.setenv(name, value)
    foreseen = projects.foresee(notebook.path, notebook.cells)
    environ, folder = dict(os.environ), os.getcwd()
    found = projects.play(notebook.path, notebook.cells, "auto")
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    decimal.setcontext(decimal.Context())
    out = notebook.path / "out.txt"
    left = out.read_text() if out.exists() else None
    truth = projects.truth(notebook.path, notebook.cells)
    assert projects.comparable(found.names) == projects.comparable(truth)
    assert left == out.read_text()
    if at_least:
        assert found.steps >= runs, {step: found.why(step) for step in found.facts}
    else:
        assert found.steps == runs, {step: found.why(step) for step in found.steps}
    assert foreseen >= runs, "told as fresh in advance, and stale"
    assert not runs or why in found.why(min(runs)), found.why(min(runs))


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 100
    assert len({row[0] for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("definition", "made"),
    [("class Tool: pass", "Tool()"), ("def tool(): pass\nTool = type(tool)", "tool"), ("class Tool: pass", "Tool")],
)
def test_what_a_step_holds_is_of_the_class_that_another_step_makes_since_its_cell_was_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definition: str, made: str
) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    cells = [(None, definition), (2, f"held = [{made}]"), (None, f"same = type(held[0]) is Tool or held[0] is {made}")]
    assert projects.play(tmp_path, cells, "none").names["same"]

    found = projects.play(tmp_path, [(1, definition), *cells[1:]], "auto")

    assert found.steps == {1} and found.names["same"]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("def f(): return 1", "def f(): return 2", "f()"),
        ("class A: n = 1", "class A: n = 2", "A.n"),
        ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()", "f()"),
        ("def m(k): return lambda: k\nf = m(1)", "def m(k): return lambda: k\nf = m(2)", "f()"),
    ],
)
def test_what_a_cell_defined_is_compared_when_that_is_a_step_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, value: str
) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    step = (2, f"y = {value}")
    projects.play(tmp_path, [(None, old), step], "none")
    assert projects.play(tmp_path, [(1, old), step], "auto").steps == {1}
    found = projects.play(tmp_path, [(1, new), step], "auto")
    assert found.steps == {1, 2} and found.names["y"] == 2


def test_a_plan_knows_that_an_instance_is_of_no_class_any_more_of_which_the_docstring_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    body, step = "def go(self): return 1", (1, "held = Tool()")
    assert projects.play(tmp_path, [(None, f"class Tool:\n    {body}"), step], "none").steps == {1}
    cells = [(None, f"class Tool:\n    'It is used.'\n    {body}"), step]

    foreseen = projects.foresee(tmp_path, cells)

    assert foreseen >= projects.play(tmp_path, cells, "auto").steps
