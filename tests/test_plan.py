"""`ckpt-magic plan`: its verdicts for edits of a notebook, and that what it calls restorable is restored by `auto`."""

from __future__ import annotations

import contextlib
import decimal
import io
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ckpt_magic
from ckpt_magic.faces.cli import main
from ckpt_magic.files import format as files
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.values import owned
from tests.test_runner import save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CELLS = {
    "setup": "%load_ext ckpt_magic\n%ckpt_config --name m",
    "values": "lr = 0.1\nlabels = {'a': 1}\nbase = 2\nwide = base * 10",
    "paths": "from pathlib import Path\nthere = bool(list(Path('nowhere').glob('*')))\nDATA = Path('data')",
    "tools": "import math, random, os\ndef scale(x, by=1):\n    '''Scale.'''\n    return [v * by for v in x]",
    "seed": "random.seed(3)",
    "one": "%%step 1 --title load\ndata = [1, 2, 3]\nos.environ['MODE'] = 'fast'",
    "look": "print(data[0])",
    "count": "print(data.index(1))",
    "two": "%%step 2\nmodel = [lr * v for v in scale(data)]\nmodel.append(random.random())",
    "three": "%%step 3\nout = sum(model) + labels['a'] + wide + len(DATA.name)",
    "end": "print(out)",
}
NUMBER = f"%ckpt_start 4\n{CELLS['values']}"


def run_all(shell: InteractiveShell, cells: Sequence[str]) -> None:
    """Run cells, and wait until what they save is published."""
    for cell in cells:
        assert shell.run_cell(cell).success
    shell.run_cell("%ckpt_status")


@pytest.fixture
def stored(shell: InteractiveShell, tmp_path: Path) -> Any:
    """All steps stored; gives a function that edits cells, plans, and then runs with `auto` to see what is true."""

    def run(cells: dict[str, str]) -> list[str]:
        shell.run_cell("%reset -f")
        os.environ.pop("MODE", None)
        for cell in cells.values():
            assert shell.run_cell(cell).success
            if "%ckpt_config" in cell:
                shell.run_cell("%ckpt_start auto")
        pipelines: Any = shell._ckpt_magic.registry.pipelines()  # type: ignore[attr-defined]
        (pipeline,) = pipelines.values()
        return [pipeline.steps[step].state for step in sorted(pipeline.steps)]

    assert run(CELLS) == ["ran", "ran", "ran"]
    shell.run_cell("%ckpt_status")  # waits until all is published

    def judge(edits: dict[str, str], *options: str) -> tuple[list[dict[str, Any]], Any]:
        cells = {name: text for name, text in (CELLS | edits).items() if text}
        path = save(tmp_path / "nb.ipynb", *cells.values())
        return json_of(path, *options), lambda: run(cells)

    return judge


def json_of(path: Path, *options: str) -> list[dict[str, Any]]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(["plan", str(path), "--folder", str(path.parent / ".ckpt"), "--json", *options])
    rows: list[dict[str, Any]] = json.loads(out.getvalue())
    assert status == (10 if any(row["next"] == "run" for row in rows) else 0)
    return rows


EDITS: list[tuple[dict[str, str], str, str]] = [
    # what is edited, which steps must run, what is said of the first of them
    ({}, "", ""),
    ({"values": "lr = 0.1  # rate\n\nlabels = {'a': 1}\nbase = 2\nwide = (base * 10)"}, "", ""),
    ({"end": "print(out, 'again')"}, "", ""),
    ({"tools": CELLS["tools"].replace("import math, random", "import random, json\nimport math")}, "", ""),
    ({"look": "rows = list(range(3))\nrows.append(4)\nwith open('note.md', 'w') as note: note.write('x')"}, "", ""),
    ({"look": "print(len(data))"}, "", ""),
    ({"look": "data.append(4)"}, "2 3", "`data` comes from an unmarked cell, was from step 1"),
    ({"tools": CELLS["tools"].replace("Scale.", "Multiply.")}, "", ""),
    ({"values": CELLS["values"].replace("0.1", "0.2")}, "2 3", "`lr` has another value (was 0.1, is 0.2)"),
    ({"values": CELLS["values"].replace("'a': 1", "'a': 2")}, "3", "`labels` has another value"),
    ({"values": CELLS["values"].replace("base = 2", "base = 3")}, "3", "`wide` is made by other code"),
    ({"tools": CELLS["tools"].replace("v * by", "v + by")}, "2 3", "`scale`, or what it uses, is defined otherwise"),
    ({"tools": CELLS["tools"].replace("by=1", "by=lr")}, "2 3", "`scale`, or what it uses, is defined otherwise"),
    ({"seed": "random.seed(4)"}, "1 2 3", ""),
    ({"two": CELLS["two"] + "\nmodel.sort()"}, "2 3", "code differs from the checkpoint"),
    ({"two": CELLS["two"] + "  # sorted"}, "", ""),
    ({"one": CELLS["one"].replace("1, 2, 3", "1, 2, 4")}, "1 2 3", "code differs from the checkpoint"),
    ({"one": ""}, "2 3", "`data` comes from no step, was from step 1"),
    ({"two": CELLS["two"].replace("%%step 2", "%%step 2 --force")}, "2 3", "--force"),
    ({"two": CELLS["two"].replace("%%step 2", "%%step 2 --always")}, "2 3", "--always"),
    ({"three": CELLS["three"].replace("%%step 3", "%%step 4")}, "4", "no checkpoint yet"),
    # the same where a number vouches for new code, and for nothing else
    ({"values": NUMBER, "two": CELLS["two"] + "\nmodel.sort()"}, "", ""),
    ({"values": NUMBER, "tools": CELLS["tools"].replace("v * by", "v + by")}, "2 3", "is defined otherwise"),
    ({"values": NUMBER, "tools": CELLS["tools"] + "\nos.environ['SOME'] = '1'"}, "", ""),
    ({"values": NUMBER, "tools": CELLS["tools"] + "\nos.environ['MODE'] = '1'"}, "1 2 3", "sets the environment"),
    ({"tools": CELLS["tools"] + "\nimport warnings\nwarnings.simplefilter('ignore', ImportWarning)"}, "", ""),
    ({"values": CELLS["values"].replace("'a': 1", "'a': 3 - 2 * 1")}, "", ""),
    (
        {"values": NUMBER, "look": "data.append(4)", "two": CELLS["two"].replace("2", "2 --stale restore", 1)},
        "2 3",
        "`data` comes from an unmarked cell",
    ),
]


@pytest.mark.parametrize(("edits", "runs", "why"), EDITS, ids=[f"{n}-{[*e][:1]}" for n, (e, _, _) in enumerate(EDITS)])
def test_edits_are_judged_before_anything_runs(stored: Any, edits: dict[str, str], runs: str, why: str) -> None:
    rows, truth = stored(edits)

    if "seed" not in edits:  # step 1 draws nothing: whether it may be told apart is not what this is about
        assert [str(row["step"]) for row in rows if row["next"] == "run"] == runs.split()
    first = next((row for row in rows if row["next"] == "run"), None)
    assert first is None or why in first["reason"]
    if edits.get("one") != "":  # without it the notebook fails
        for row, state in zip(rows, truth(), strict=True):
            assert row["next"] == "run" or state == "restored", row


def test_a_number_rules_over_code_and_not_over_values(stored: Any) -> None:
    edits = {"two": CELLS["two"] + "\nmodel.sort()", "values": CELLS["values"].replace("'a': 1", "'a': 2")}

    rows, _ = stored(edits, "--start-from", "4")

    assert [(row["next"], row["state"]) for row in rows] == [
        ("restore", "fresh"),
        ("restore", "stale"),
        ("run", "stale"),
    ]
    assert [row["next"] for row in stored(edits, "--start-from", "none")[0]] == ["run", "run", "run"]
    assert [row["next"] for row in stored({"setup": CELLS["setup"] + "\n%ckpt_start 2"})[0]] == [
        "restore",
        "run",
        "run",
    ]


@pytest.mark.parametrize("what", ["a file", "a module", "a variable"])
def test_with_a_number_steps_run_for_which_cells_take_other_values_from_outside(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plan_conf.json").write_text("[1]")
    (tmp_path / "plan_rates.py").write_text("RATE = 1\n")
    monkeypatch.setenv("PLAN_MODE", "1")
    monkeypatch.delitem(sys.modules, "plan_rates", raising=False)
    takes = (
        "import json, os\nwith open('plan_conf.json') as file: conf = json.load(file)\nfrom plan_rates import RATE\n"
    )
    cells = [
        CELLS["setup"],
        f"{takes}mode = os.environ.get('PLAN_MODE')",
        *("%%step 1\na = conf[0]", "%%step 2\nb = RATE", "%%step 3\nc = mode", "%%step 4\nd = 1"),
        "%%step 5\nimport json\nwith open('plan_conf.json') as file: e = json.load(file)",
    ]
    run_all(shell, cells)
    path = save(tmp_path / "nb.ipynb", *cells)

    def runs() -> list[int]:
        return [row["step"] for row in json_of(path, "--start-from", "end") if row["next"] == "run"]

    assert runs() == []
    if what == "a file":
        (tmp_path / "plan_conf.json").write_text("[2]")
        assert runs() == [1], "what the step read itself is for the user to judge"
    elif what == "a module":
        (tmp_path / "plan_rates.py").write_text("RATE = 2\n")
        assert runs() == [2]
    else:
        monkeypatch.setenv("PLAN_MODE", "2")
        assert runs() == [3]


def test_each_step_is_of_the_version_that_holds_where_it_stands(shell: InteractiveShell, tmp_path: Path) -> None:
    cells = [CELLS["setup"], "%%step 1 --version a\na = 1", "%%step 2\nb = 2", "%ckpt_config --version c"]
    cells.append("%%step 3\nc = 3")
    run_all(shell, cells)
    rows = json_of(save(tmp_path / "nb.ipynb", *cells))
    assert [(row["step"], row["version"], row["next"]) for row in rows] == [
        (1, "a", "restore"),
        (2, "1", "restore"),
        (3, "c", "restore"),
    ]


def test_what_writefile_writes_is_taken_to_be_there(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    own, more = "%%writefile plan_own.py\ndef f(): return 1\n", "%%writefile -a plan_own.txt\nand more\n"
    cells = [
        *(CELLS["setup"], own, "%%writefile plan_own.txt\n1\n", more, "import plan_own\nv = plan_own.f()"),
        *("%%step 1\ny = v", "%%step 2\nwith open('plan_own.txt') as file: text = file.read()", "%%step 3\nz = 1"),
    ]
    run_all(shell, cells)

    def runs(old: str, new: str) -> list[int]:
        path = save(tmp_path / "nb.ipynb", *(cell.replace(old, new) for cell in cells))
        return [row["step"] for row in json_of(path) if row["next"] == "run"]

    assert runs("nothing", "") == runs("def f(): return", "def f():  # one\n    return") == []
    assert runs("return 1", "return 2") == [1]
    assert runs("\n1\n", "\n2\n") == runs("and more", "and less") == runs("-a plan_own", "plan_own") == [2]


def test_a_cell_that_reads_the_text_of_code_may_give_another_value(shell: InteractiveShell, tmp_path: Path) -> None:
    cells = [CELLS["setup"], "import inspect\ndef f():\n    return 1  # one", "x = inspect.getsource(f)[:30]"]
    cells += ["%%step 1\ny = len(x)", "%%step 2\nz = 1"]
    run_all(shell, cells)
    for old, new in (("30", "20"), ("# one", "# another")):
        rows = json_of(save(tmp_path / "nb.ipynb", *(cell.replace(old, new) for cell in cells)))
        assert [row["next"] for row in rows] == ["run", "restore"]


@pytest.mark.parametrize("seed", ["", "None", "3"])
@pytest.mark.parametrize("made", ["numpy.random.default_rng", "random.Random"])
def test_a_generator_without_a_seed_begins_anywhere(
    shell: InteractiveShell, tmp_path: Path, made: str, seed: str
) -> None:
    cells = [CELLS["setup"], f"import random, numpy\nrng = {made}({seed})", "%%step 1\nx = rng.random()"]
    cells += ["%%step 2\nz = 1"]
    run_all(shell, cells)

    rows = json_of(save(tmp_path / "nb.ipynb", *cells))

    assert [row["next"] for row in rows] == ["restore" if seed == "3" else "run", "restore"]
    if seed != "3":
        word = made.rpartition(".")[2]
        assert f"`rng` may have another value each time (`{word}`)" in rows[0]["reason"]


@pytest.mark.parametrize(
    ("above", "draws", "runs"),
    [
        ("", "x = numpy.random.rand(3)", "1"),
        ("", "x = random.random()", "1"),
        ("", "def draw(): return numpy.random.normal()\nx = draw()", "1"),
        ("", "x = [1, 2, 3]\nrandom.shuffle(x)", "1"),
        ("", "def draw(): return numpy.random.normal()\nx = 3", ""),
        ("", "rng = numpy.random.RandomState(3)\nx = rng.rand(3)", ""),
        ("numpy.random.seed(3)", "x = numpy.random.rand(3)", ""),
        ("%%step 3\nrandom.seed(3)", "x = random.random()", ""),
        ("def begin(): numpy.random.seed(3)\nbegin()", "x = numpy.random.rand(3)", ""),
    ],
)
def test_what_cells_draw_from_generators_that_nobody_seeds_may_be_another_value(
    shell: InteractiveShell, tmp_path: Path, above: str, draws: str, runs: str
) -> None:
    state = random.getstate()
    cells = [CELLS["setup"], "import random, numpy", above, draws, "%%step 1\ny = x", "%%step 2\nz = 1"]
    cells = list(filter(None, cells))
    run_all(shell, cells)
    random.setstate(state)

    rows = json_of(save(tmp_path / "nb.ipynb", *cells))

    assert [str(row["step"]) for row in rows if row["next"] == "run"] == runs.split()


EXPLORING = [
    "df.a.plot(); df.describe(); df.sample(2, random_state=0)",
    "sub = df[df.a > 1].copy()\nsub['z'] = 1; sub.head()",
    "other = values.copy()\nother[0] = 9",
    "for name in df.columns: print(name, df[name].dtype)",
    "df.a.apply(lambda v: v + 1); largest = df.a.max(); assert largest == 3",
    "from sklearn.metrics import mean_squared_error\nmean_squared_error(df.a, values)",
    "point = Point(1)\npoint.x = 5; print(json.dumps([point.x]), np.mean(values))",
    "mine = sorted(words)\nmine.append('x'); print(*words, sep=', ')",
    "for at, word in enumerate(words):\n    if word.startswith('t'): print(at, word)",
    "found = {word: len(word) for word in words}; found['a'] = 3; x, *rest = words",
    "conf = {**counts, 'k': 5}; conf.clear(); longest = max(words, key=len)",
    "words.copy().reverse(); counts.get('a').bit_length()",
    "try:\n    words.index('zzz')\nexcept ValueError as error:\n    print(error)",
    "title = text; print((lambda t: t.upper())(text))",
]
CHANGING = [
    "df['z'] = 1",
    "view = df['a']\nview[0] = 9",
    "values.sort()",
    "Point.x = 3",
    "df.drop(columns='a', inplace=True)",
    "words.append('x')",
    "for word in [words]: word.append('x')",
    "mine = words or []\nmine.append('x')",
    "counts['a'] += 1",
    "words.append([1])\nfor word in words: last = word\nlast.append(2)",
]


@pytest.mark.parametrize("cell", [*EXPLORING, *CHANGING])
def test_to_look_at_data_makes_nothing_stale(shell: InteractiveShell, tmp_path: Path, cell: str) -> None:
    point = "class Point:\n    def __init__(self, x): self.x = x"
    cells = [CELLS["setup"], f"import json\nimport numpy as np\nimport pandas as pd\n{point}"]
    cells += ["%%step 1\ndf = pd.DataFrame({'a': [3, 1, 2]}); values = np.arange(3.); text = 'a b c'"]
    cells[-1] += "; words = text.split(); counts = dict.fromkeys(words, 1)"
    cells += ["%%step 2\ndf['b'] = df.a * 2 + values; p = Point(3); words.append('d'); counts.update(d=len(text))"]
    run_all(shell, cells)

    rows = json_of(save(tmp_path / "nb.ipynb", *cells[:3], cell, cells[3]))

    assert [row["next"] for row in rows] == ["restore", "run" if cell in CHANGING else "restore"]


OWN = {
    "plan_pack/__init__.py": "from .build import rate\n",
    "plan_pack/build.py": "from . import conf\ndef rate(): return conf.RATE\n",
    "plan_pack/conf.py": "RATE = 1\nclass Tool:\n    def go(self, rate):\n        global RATE\n        RATE = rate\n",
    "plan_lib.py": "import os, random\nfrom plan_pack import conf\n\n"
    "def write(text):\n    with open('lib.txt', 'w') as file: file.write(text)\n\n"
    "def start(folder, seed):\n    os.chdir(folder)\n    random.seed(seed)\n\n"
    "def rated(rate):\n    conf.RATE = rate\n",
    "plan_patch.py": "import plan_pack.conf\nplan_pack.conf.RATE = 3\n",
}
CALLS: dict[str, tuple[str, str]] = {
    # what is done above, and the step that rests on it
    "an attribute of a module inside a package": ("import plan_pack.conf as c\nc.RATE = {}", "y = rate()"),
    "a method of an instance": ("from plan_pack.conf import Tool\ntool = Tool()\ntool.go({})", "y = rate()"),
    "a function of another module": ("import plan_lib\nplan_lib.rated({})", "y = rate()"),
    "a function of the notebook": ("import plan_lib\ndef f(x): plan_lib.rated(x)\nf({})", "y = rate()"),
    "a folder": ("import plan_lib\nplan_lib.start('{}', 1)", "with open('a.txt') as file: y = file.read()"),
    "a seed": ("import plan_lib, random\nplan_lib.start('1', {})", "y = random.random()"),
    "a file": ("import plan_lib\nplan_lib.write('{}')", "with open('lib.txt') as file: y = file.read()"),
}


@pytest.mark.parametrize("what", CALLS)
def test_what_modules_of_the_user_do_for_cells_counts(
    what: str, shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    random.seed()  # as in a new process
    for name in [name for name in sys.modules if name.startswith("plan_")]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in (OWN | {"1/a.txt": "1", "2/a.txt": "2"}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    above, step = CALLS[what]
    cells = [f"{CELLS['setup']} --folder {tmp_path / '.ckpt'}", "from plan_pack import rate", above.format(1)]
    cells += [f"%%step 1\n{step}", "%%step 2\nz = 1"]
    run_all(shell, cells)

    def runs(*changed: str) -> list[int]:
        path = save(tmp_path / "nb.ipynb", *changed)
        return [row["step"] for row in json_of(path) if row["next"] == "run"]

    assert runs(*cells) == runs(*cells[:2], f"{cells[2]}  # a comment", *cells[3:]) == []
    assert runs(*cells[:2], above.format(2), *cells[3:]) == [1]
    if step == "y = rate()":
        assert runs(*cells[:2], "import plan_patch", *cells[2:]) == [1]


def test_an_extension_of_the_user_may_give_any_name_a_value(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "def load_ipython_extension(shell): shell.user_ns['k'] = 1\n"
    (tmp_path / "plan_ext.py").write_text(text)
    cells = [CELLS["setup"], "%load_ext plan_ext", "%%step 1\ny = k"]
    run_all(shell, cells)
    path = save(tmp_path / "nb.ipynb", *cells)

    assert [row["next"] for row in json_of(path)] == ["restore"]
    (tmp_path / "plan_ext.py").write_text(text.replace("1", "2"))
    assert [row["next"] for row in json_of(path)] == ["run"]


def test_what_a_script_binds_is_told_by_its_text(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "k = 1\ndef f(): return k\n"
    (tmp_path / "plan_run.py").write_text(text)
    setup = f"{CELLS['setup']} --folder {tmp_path / '.ckpt'}"
    cells = [setup, "%run plan_run.py", "k = 3", "%%step 1\ny = f()", "%%step 2\nz = k"]
    run_all(shell, cells)
    path = save(tmp_path / "nb.ipynb", *cells)

    def runs(script: str) -> list[int]:
        (tmp_path / "plan_run.py").write_text(script)
        return [row["step"] for row in json_of(path) if row["next"] == "run"]

    assert runs(text) == runs(f"# a comment\n{text}") == []
    assert runs(text.replace("1", "2")) == [1]  # whose function has a `k` of its own


def test_what_a_script_is_given_and_what_a_notebook_binds_is_told(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in owned.own_modules():  # a script may use any module of the user's own, as those of the tests are here
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan_args.py").write_text("import sys\nk = sys.argv[1]\n")
    setup = f"{CELLS['setup']} --folder {tmp_path / '.ckpt'}"
    cells = [
        setup,
        "%run plan_args.py 1",
        "%run plan_other.ipynb",
        "%%step 1\ny = k",
        "%%step 2\nz = f()",
        "%%step 3\nu = v",
    ]
    other = save(tmp_path / "plan_other.ipynb", "v = 1", "def f(): return 1")
    run_all(shell, cells)

    def runs(*cells: str) -> list[int]:
        path = save(tmp_path / "nb.ipynb", *cells)
        return [row["step"] for row in json_of(path) if row["next"] == "run"]

    assert runs(*cells) == []
    assert runs(setup, "%run plan_args.py 2", *cells[2:]) == [1]
    save(other, "# a comment\nv = 1", "def f(): return 2")
    assert runs(*cells) == [2]


def test_names_of_a_star_import_are_known_by_the_module(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plan_star.py").write_text("def f(): return 1\n")
    cells = [CELLS["setup"], "k = 1\nfrom plan_star import *", "%%step 1\ny = f() + k"]
    run_all(shell, cells)
    path = save(tmp_path / "nb.ipynb", *cells)

    assert [row["next"] for row in json_of(path)] == ["restore"]
    (tmp_path / "plan_star.py").write_text("def f(): return 1\nk = 2\n")
    assert [row["next"] for row in json_of(path)] == ["run"]


def test_what_a_step_that_will_run_draws_counts_for_those_below(shell: InteractiveShell, tmp_path: Path) -> None:
    cells = [CELLS["setup"], "import random\nrandom.seed(3)", "%%step 1\nx = random.random()"]
    cells += ["%%step 2\ny = random.random()", "%%step 3\nz = 1"]
    run_all(shell, cells)
    path = save(tmp_path / "nb.ipynb", *cells[:2], cells[2] + " + random.random()", *cells[3:])
    assert [row["next"] for row in json_of(path)] == ["run", "run", "restore"]


def test_a_lost_value_that_only_steps_read_which_are_restored_runs_nothing(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    cells = [CELLS["setup"], "%%step 1\nlost = (n for n in [1, 2, 3]); next(lost); log = []"]
    cells += ["%%step 2\nlog.append(next(lost))", "%%step 3\nprint(log, next(lost))"]
    run_all(shell, cells)
    assert [row["next"] for row in json_of(save(tmp_path / "nb.ipynb", *cells))] == ["restore"] * 3
    path = save(tmp_path / "nb.ipynb", *cells, "print(lost)")
    assert [row["next"] for row in json_of(path)] == ["run"] * 3


def test_a_lost_value_is_not_made_again_for_a_step_that_finds_what_cells_above_it_give(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    cells = [CELLS["setup"], "import math\nk = 2", "%%step 1\nlost = (n for n in [1, 2]); next(lost)"]
    cells += ["%%step 2\nz = next(lost) * math.floor(k)"]
    run_all(shell, cells)
    assert [row["next"] for row in json_of(save(tmp_path / "nb.ipynb", *cells))] == ["restore"] * 2
    for above in ("import math\nk = 3", "import math\nimport random\nk = random.random()"):
        path = save(tmp_path / "nb.ipynb", cells[0], above, *cells[2:])
        assert [row["next"] for row in json_of(path)] == ["run"] * 2


@pytest.mark.parametrize(
    ("sets", "draws"),
    [
        ("import random\nrandom.seed({})", "import random\nr = random.random()"),
        ("import decimal\ndecimal.getcontext().prec = {}", "import decimal\nr = +decimal.Decimal('1.23456789')"),
    ],
)
def test_that_who_reads_a_lost_value_runs_since_a_cell_above_seeds_or_sets_otherwise_is_foreseen(
    shell: InteractiveShell, tmp_path: Path, sets: str, draws: str
) -> None:
    before, after = (
        [
            CELLS["setup"],
            sets.format(number),
            "%%step 1\nlost = (n for n in [1, 2]); next(lost)",
            f"%%step 2\n{draws}; z = next(lost)",
        ]
        for number in (3, 5)
    )
    with decimal.localcontext():
        run_all(shell, before)
    rows = [json_of(save(tmp_path / "nb.ipynb", *cells)) for cells in (before, after)]
    assert [[row["next"] for row in found] for found in rows] == [["restore"] * 2, ["run"] * 2]


def test_what_a_step_binds_itself_does_not_make_it_run_that_reads_a_lost_value(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    cells = [
        CELLS["setup"],
        "%%step 1\nlost = (n for n in [1, 2]); next(lost)",
        "%%step 2\nfor b in lost: pass\nb += 1",
    ]
    run_all(shell, cells)
    assert [row["next"] for row in json_of(save(tmp_path / "nb.ipynb", *cells))] == ["restore"] * 2


@pytest.mark.parametrize("edit", ["x = [5]", "x.append(5)", "del x; x = []"])
def test_a_lost_value_is_made_again_for_a_step_that_reads_what_an_edited_one_changes(
    shell: InteractiveShell, tmp_path: Path, edit: str
) -> None:
    cells = [CELLS["setup"], "%%step 1\nlost = (n for n in [1, 2]); next(lost); x = [1]", "%%step 2\ny = 2"]
    cells += ["%%step 3\nz = next(lost), *x"]
    run_all(shell, cells)
    assert [row["next"] for row in json_of(save(tmp_path / "nb.ipynb", *cells))] == ["restore"] * 3
    path = save(tmp_path / "nb.ipynb", *cells[:2], f"%%step 2\ny = 2; {edit}", cells[3])
    assert [row["next"] for row in json_of(path)] == ["run"] * 3


def test_a_cell_that_sets_a_library_by_a_call_counts_for_the_steps_that_use_it(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    cells = [CELLS["setup"], "%%step 1\nimport asyncio\nx = asyncio.Event.__name__", "%%step 2\ny = 1"]
    cells += ["%%step 3\nimport sklearn\nz = sklearn.__name__"]
    run_all(shell, cells)

    path = save(tmp_path / "nb.ipynb", cells[0], "import nest_asyncio\nnest_asyncio.apply()", *cells[1:])
    assert [row["next"] for row in json_of(path)] == ["run", "restore", "restore"]
    path = save(tmp_path / "nb.ipynb", cells[0], "import json\njson.dumps(('jax_enable_x64', True))", *cells[1:])
    assert [row["next"] for row in json_of(path)] == ["restore", "restore", "run"]


def test_what_only_plans_read_is_recorded_and_described(stored: Any, tmp_path: Path) -> None:
    assert stored({})[0]
    described = (Path(__file__).parents[1] / "README.md").read_text()
    evidence = files.open_checkpoint(tmp_path / ".ckpt" / "m-v1-step1.pkl", load_keyring()).meta["evidence"]
    assert "<surroundings environ MODE>" in evidence["rests"]
    assert evidence["asked"].keys() == {"files", "environ", "unclear", "told", "rests"}
    for key in ("origins", "rests", "above", "asked"):
        assert key in evidence and f"`{key}`" in described


def test_of_two_cells_with_one_number_each_is_decided_by_its_own_line(stored: Any) -> None:
    rows, _ = stored({"again": CELLS["two"].replace("%%step 2", "%%step 2 --force")})

    assert [(row["step"], row["next"]) for row in rows] == [(1, "restore"), (2, "restore"), (3, "restore"), (2, "run")]
    assert rows[-1]["reason"] == "--force"


def test_an_edit_that_is_taken_back_runs_again(stored: Any) -> None:
    _, run = stored({"two": CELLS["two"] + "\nmodel.sort()"})
    run()

    rows, run_again = stored({"values": NUMBER})

    assert [row["next"] for row in rows] == ["restore", "run", "run"]
    assert rows[1]["reason"] == "other code was saved over it"
    assert run_again()[1] == "ran"


def test_the_table_says_what_is_saved(stored: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored({"values": CELLS["values"].replace("0.1", "0.2")})

    assert main(["plan", str(tmp_path / "nb.ipynb"), "--folder", str(tmp_path / ".ckpt")]) == 10

    shown = capsys.readouterr().out
    assert "nb.ipynb, start point auto: nothing is executed" in shown
    assert "(was 0.1, is 0.2)" in " ".join(shown.split()) and "1 to restore (saves " in shown and "2 to run (" in shown


def test_what_a_script_wrote_is_neither_planned_to_be_restored_nor_run_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Script(ckpt_magic.Checkpoint):
        def step_1(self, outputs: Any) -> int:
            return 1

    Script("m", tmp_path / ".ckpt").run()
    path = save(tmp_path / "nb.ipynb", CELLS["setup"], "%%step 1\nx = 1")

    (row,) = json_of(path, "--start-from", "2")

    assert (row["next"], row["state"]) == ("run", "foreign") and "a method of a script" in row["reason"]
    for verb in ("accept", "verify"):
        assert main([verb, str(path), "--step", "1", "--folder", str(tmp_path / ".ckpt")]) == 1
        assert "step 1 of `m` version 1 was written by a method of a script" in capsys.readouterr().err


def test_what_is_no_notebook_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nb.ipynb").write_text("{}")

    assert main(["plan", str(tmp_path / "nb.ipynb")]) == 2
    assert "is not a notebook" in capsys.readouterr().err
    path = save(tmp_path / "wrong.ipynb", "%%step 1 --nmae x\ny = 1")
    assert main(["plan", str(path)]) == 2


@pytest.mark.usefixtures("stored")
def test_the_start_after_a_change_is_advised(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert shell.run_cell("%ckpt_start --changed lr labels scale nothing --name m").success

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("`lr` is read by step 2: start from 2 (saves ")
    assert lines[1].startswith("`labels` is read by step 3: start from 3 (saves ")
    assert lines[2].startswith("`scale` is read by step 2: start from 2")
    assert lines[3] == "`nothing` is read by no stored step"


@pytest.mark.parametrize("start", ["auto", "4"])
def test_a_step_whose_code_cannot_run_is_told(stored: Any, start: str) -> None:
    rows, _ = stored({"two": "%%step 2\nmodel = [lr * for v in data]"}, "--start-from", start)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["next"] for row in rows][:2] == ["restore", "run"]
    assert rows[1]["state"] == "could not tell" and "its code cannot run: SyntaxError" in rows[1]["reason"]
