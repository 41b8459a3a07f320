"""A step that only shows something else runs, and a plan says of the steps below that they will be restored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import RunInFork
from tests.fresh import project as projects

ABOVE = "import random\nimport pandas as pd\nframe = pd.DataFrame({'a': [2, 1]})\nitems = iter([1, 2, 3])\nlog = []"
STEP = "total = frame.a.sum()\nfor n in range(3): total += n"
BELOW = "twice = total * 2, len(log)"
CELLS: projects.Cells = [
    (None, ABOVE + "\ndef show(x): print('shown', x)\ndef note(x): log.append(x)"),
    (1, STEP),
    (2, BELOW),
]
SHOWING = [
    "print(total)",
    "total",
    "frame.head()",
    "print(f'{total:.2f}', frame.shape)",
    "frame['a']",
    "'text'",
    "pass",
]
SHOWING += ["show(total)", "len(frame)", "print(sorted(frame.a))", "assert total > 0", "if total > 5: print('much')"]
ACTING = ["total += 0", "frame.sort_values('a', inplace=True)", "print(next(items))", "note(total)", "log.clear()"]
ACTING += [
    "del frame",
    "import math",
    "print(random.random())",
    "frame['b'] = 1",
    "exec('total = total')",
    "other = total",
]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def with_line(line: str) -> projects.Cells:
    return [(step, f"{text}\n{line}" if step == 1 else text) for step, text in CELLS]


@pytest.mark.parametrize("line", SHOWING)
def test_steps_below_one_that_shows_more_or_less_will_be_restored(project: Path, line: str) -> None:
    for number, (before, after) in enumerate([(CELLS, with_line(line)), (with_line(line), CELLS)]):
        top = project / str(number)
        top.mkdir()
        projects.play(top, before, "none")
        assert projects.foresee(top, before) == set()
        assert projects.foresee(top, after) == {1}
        ran = projects.play(top, after, "auto")
        assert ran.steps == {1}, ran.facts
        assert projects.comparable(ran.names) == projects.comparable(projects.truth(top, after))


@pytest.mark.parametrize("line", ACTING)
def test_steps_below_one_that_does_more_may_run(project: Path, line: str) -> None:
    projects.play(project, CELLS, "none")
    assert projects.foresee(project, with_line(line)) == {1, 2}


@pytest.mark.parametrize(
    "made", ["random.random()", "np.random.default_rng().random()", "time.time()", "uuid.uuid4().hex"]
)
def test_steps_below_one_that_makes_other_values_each_time_may_run(project: Path, made: str) -> None:
    cells: projects.Cells = [
        (None, "import random, time, uuid\nimport numpy as np"),
        (1, f"x = {made}"),
        (2, "y = x, 1"),
    ]
    projects.play(project, cells, "none")
    assert projects.foresee(project, [cells[0], (1, f"x = {made}\nprint(x)"), cells[2]]) >= {2}


def test_steps_below_one_that_reads_the_same_file_and_shows_more_will_be_restored(project: Path) -> None:
    Path("a.csv").write_text("a,b\n1,2\n")
    cells: projects.Cells = [(None, "import pandas as pd"), (1, "df = pd.read_csv('a.csv')"), (2, "n = len(df)")]
    projects.play(project, cells, "none")
    edited: projects.Cells = [cells[0], (1, "df = pd.read_csv('a.csv')\nprint(df.shape)\ndf.head()"), cells[2]]
    assert projects.foresee(project, edited) == {1}
    assert projects.play(project, edited, "auto").steps == {1}
    Path("a.csv").write_text("a,b\n1,3\n")
    assert projects.foresee(project, cells) == {1, 2}


@pytest.mark.parametrize("line", ["a[:6]", "a[:5];", "pass", "a"])
def test_a_part_of_a_value_that_a_step_shows_is_none_of_what_others_read(run_in_fork: RunInFork, line: str) -> None:
    cells = ["import numpy as np", "%%step 1\na = np.arange(9.)", "%%step 2\na[:5]", "%%step 3\ntotal = a.sum()"]
    run_in_fork(["%ckpt_config --name p", *cells])
    edited = [cell.replace("a[:5]", line) for cell in cells]
    ran = run_in_fork(["%ckpt_config --name p", *edited], env={"CKPT_START_FROM": "auto"})
    assert re.findall(r"step \d · (\w+)", ran.text) == ["restored", "saved", "restored"]
