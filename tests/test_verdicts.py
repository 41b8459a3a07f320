"""The verdict about each step in `%ckpt_status` and `ckpt-magic status`, and its causes in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_magic.faces import causes
from ckpt_magic.faces.cli import main
from tests.test_runner import read, save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LOAD = "%load_ext ckpt_magic\n%ckpt_config --name m"
FIRST = "lr = 0.1\ndef scale(v):\n    return v * 2"
MADE = "frame = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})\noptions = {'depth': 2}"
OTHER = MADE.replace("3, 4", "3, 5").replace("2}", "3}")
STEPS = [
    "%%step 1\nx = [1, 2]",
    "%%step 2\nwith open('data.txt') as file:\n    read = file.read()",
    "%%step 3\ny = [scale(v) * lr for v in x]",
    "%%step 4\nz = sum(y)",
]


@pytest.fixture
def run(shell: InteractiveShell, tmp_path: Path) -> Any:
    """All steps stored by this kernel; gives a function that runs cells and returns the last value."""

    def run(*cells: str) -> Any:
        for cell in cells:
            done = shell.run_cell(cell)
            assert done.success, cell
        return done.result

    (tmp_path / "data.txt").write_text("1")
    run(LOAD, FIRST, *STEPS)
    return run


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["verdict"] for row in rows]


def test_what_has_just_run_is_fresh_also_after_later_steps(run: Any) -> None:
    assert verdicts(run("%ckpt_status")) == ["fresh"] * 4
    run("%%step 5\nx.append(3)\nlr = lr / 2")  # changes what others read, and itself

    rows = run("%ckpt_status")

    assert verdicts(rows) == ["fresh"] * 5
    assert "verdict" in repr(rows) and "verdict" in rows._repr_html_()
    run("alias, inner = x, {'x': x}")  # names that hold what a step above has changed, taken later
    assert verdicts(run("%ckpt_status")) == ["fresh"] * 5


def test_each_change_makes_its_steps_stale_and_is_told_in_full(run: Any, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("22")
    run("lr = 0.05\ndef scale(v):\n    return v + v")

    rows = run("%ckpt_status --json")

    assert verdicts(rows) == ["fresh", "stale", "stale", "fresh"]
    assert [cause["kind"] for cause in rows[2]["reasons"]] == ["function", "value"]
    assert "stale: `scale` is defined otherwise" in run("%ckpt_status")._repr_html_()
    text, page = repr(run("%ckpt_status 3")), run("%ckpt_status 3")._repr_html_()
    for shown in (text, page):
        assert "`lr` was 0.1, is 0.05" in shown and "`scale` is defined otherwise" in shown
        assert "-    return v * 2" in shown and "+    return v + v" in shown
    assert "background:rgba(46,160,67,.18)" in page
    (file,) = rows[1]["reasons"]
    assert file["line"] == "`data.txt` changed (was 1 bytes, is 2 bytes)"
    told = repr(run("%ckpt_status 2"))
    assert "`data.txt` was 1 bytes, 20" in told and "; is 2 bytes, 20" in told and told.count(", digest ") == 2
    assert run("%ckpt_status 3 --json")[0]["reasons"] == rows[2]["reasons"]


def test_an_earlier_step_with_another_result_makes_later_ones_stale(run: Any) -> None:
    run("%%step 1\nx = [1, 3]")
    rows = run("%ckpt_status")
    assert verdicts(rows) == ["fresh", "fresh", "stale", "fresh"]
    assert rows[2]["reasons"][0]["line"] == "`x` of step 1 is not what it was"


@pytest.mark.parametrize("maker", ["", "%%step 5\n"])
def test_in_what_a_frame_differs_is_told_whoever_made_it(run: Any, maker: str) -> None:
    run(
        "import pandas as pd",
        f"{maker}{MADE}",
        "%%step 6\ntotal = frame.sum().sum() + options['depth']",
        f"{maker}{OTHER}",
    )
    found = run("%ckpt_status 6")
    reasons = run("%ckpt_status 6 --json")[0]["reasons"]
    wanted = {"frame": ["first differing column: `b`"], "options": ["key `depth` was 2, is 3"]}
    assert {cause["thing"]: cause["details"] for cause in reasons if cause["details"]} == wanted
    assert {cause["old"] for cause in reasons if cause["thing"] == "frame"} == {"pandas.DataFrame, 2 × 2"}
    for shown in (repr(found), found._repr_html_()):
        assert "first differing column: `b`" in shown and "key `depth` was 2, is 3" in shown
    run("%reset -f", LOAD, "import pandas as pd", "%ckpt_start auto", f"{maker}{OTHER}")
    reasons = run("%ckpt_status 6 --json")[0]["reasons"]
    assert {cause["thing"]: cause["details"] for cause in reasons if cause["details"]} == wanted


def test_a_new_kernel_cannot_tell_without_the_cells(run: Any, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("22")
    run("%reset -f", LOAD, "%ckpt_start auto")

    rows = run("%ckpt_status")

    assert verdicts(rows) == ["could not tell", "stale", "could not tell", "could not tell"]
    assert "the code of its cell is not known here" in repr(run("%ckpt_status 1"))


def test_other_pipelines_are_shown_without_a_verdict(run: Any) -> None:
    run("%%step 1 --name other\nv = 1", "%reset -f", LOAD)
    rows = run("%ckpt_status --name other")
    assert verdicts(rows) == [None] and "verdict" not in repr(rows)


def test_a_failed_and_a_missing_step_are_told(run: Any, shell: InteractiveShell) -> None:
    run("%%step 9\nw = 1", "%ckpt_clear 9 --yes")
    assert not shell.run_cell("%%step 1\n1 / 0").success
    rows = run("%ckpt_status")
    assert (rows[0]["verdict"], rows[-1]["verdict"]) == ("failed", "missing")


def test_the_next_run_has_its_cost(run: Any) -> None:
    row = run("%ckpt_start 1", "%ckpt_status")[0]
    assert (row["next"], row["next_seconds"]) == ("run", row["run_seconds"])
    row = run("%ckpt_start 2", "%ckpt_status")[0]
    assert row["next"] == "restore" and row["next_seconds"] > 0
    run("%reset -f", LOAD, "%ckpt_start auto", STEPS[0])
    row = run("%ckpt_status")[0]
    assert row["next_seconds"] == row["restore_seconds"]


@pytest.mark.kernel
def test_the_notebooks_file_tells_what_no_kernel_has_come_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("1")
    path = save(tmp_path / "nb.ipynb", LOAD, FIRST, *STEPS)
    assert main(["run", str(path)]) == 0
    edit = FIRST.replace("v * 2", "v + v")
    asks = "rows = %ckpt_status --json\nprint([row['verdict'] for row in rows], [row['next'] for row in rows])"
    other = save(path, LOAD, edit, STEPS[0], asks, *STEPS[1:])
    capsys.readouterr()

    assert main(["status", str(other), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert verdicts(rows) == ["fresh", "fresh", "stale", "stale"]
    assert [row["next"] for row in rows] == ["restore", "restore", "run", "run"]
    assert main(["status", str(other), "3"]) == 0
    assert "+    return v + v" in (shown := capsys.readouterr().out), shown

    assert main(["run", str(other), "--start-from", "auto", "-o", str(tmp_path / "out.ipynb")]) == 0
    told = str(read(tmp_path / "out.ipynb").cells[3].outputs)
    assert "['fresh', 'fresh', 'stale', 'stale'] ['restore', 'restore', 'run', 'run']" in told


def test_a_checkpoint_of_a_notebook_without_evidence_is_stale(tmp_path: Path) -> None:
    from ckpt_magic.files.store import Store
    from ckpt_magic.files.trust import load_keyring
    from tests import making

    making.save(Store(tmp_path / ".ckpt").path("m", 1, 1), {"x": 1}, load_keyring(), source="x = 1")
    path = save(tmp_path / "nb.ipynb", LOAD, STEPS[0])
    assert main(["plan", str(path)]) == 10


def test_causes_say_nothing_to_a_page_but_text() -> None:
    hostile = {"kind": "value", "thing": "<b>", "line": "\x1b[2J", "old": "<script>", "new": "\x1b[2J"}
    found = [hostile, {**hostile, "kind": "code"}, {**hostile, "kind": "file"}]
    assert "\x1b" not in causes.as_text(found)
    page = causes.as_html(found)
    assert "<script>" not in page and "<b>" not in page and "\x1b" not in page
    assert "\x1b[32m" in causes.as_text([{**hostile, "kind": "code", "new": "x"}], colours=True)
