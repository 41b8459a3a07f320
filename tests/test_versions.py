from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ckpt_magic
from ckpt_magic import StepNotFoundError
from ckpt_magic.faces import cli, codediff

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CELLS = {
    "1": ("lr = 0.1  # <rate>\nlabels = ['a']", "scores = {'acc': 0.5}\nextra = 1"),
    "2": ("lr = 0.2\nlabels = ['a']", "scores = {'acc': 0.75}", "report = 'fine'"),
}


@pytest.fixture
def run(shell: InteractiveShell) -> Any:
    """Both versions stored by step cells; gives a function that runs one more cell."""

    def run_cell(cell: str) -> Any:
        result = shell.run_cell(cell)
        result.raise_error()
        return result.result

    run_cell("%ckpt_config --name m")
    for version, cells in CELLS.items():
        for step, cell in enumerate(cells, 1):
            run_cell(f"%%step {step} --version {version}\n{cell}")
    return run_cell


def test_versions_are_compared_step_by_step(run: Any) -> None:
    found = run("%ckpt_diff 1 2 --json")

    assert [(row["step"], row["code"]) for row in found] == [(1, "changed"), (2, "changed"), (3, "only in 2")]
    assert found[0]["source"][1:] == ["-lr = 0.1  # <rate>", "+lr = 0.2", " labels = ['a']"]
    states = [{value["name"]: value["state"] for value in row["values"]} for row in found]
    assert states == [{"lr": "changed", "labels": "same"}, {"scores": "changed", "extra": "removed"}, {}]
    assert found[1]["values"][0]["differences"][0]["text"] == 'scores["acc"]: 0.5 → 0.75 (+0.25)'
    json.dumps(found)


def test_a_comparison_shows_itself_as_text_and_html(run: Any) -> None:
    found = run("%ckpt_diff 1 2")

    assert "step 1 · code changed · ran " in repr(found) and "same: labels" in repr(found)
    assert '["acc"]: 0.5 → 0.75 (+0.25)' in repr(found)
    page = found._repr_html_()
    assert "&lt;rate&gt;" in page and "<rate>" not in page
    assert run("%ckpt_diff 1 2 3")[0]["code"] == "only in 2"


@pytest.mark.usefixtures("run")
def test_the_command_line_and_python_compare_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / ".ckpt")

    assert cli.main(["diff", "1", "2", "1-2", "--name", "m", "--folder", folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in rows] == [1, 2]
    assert rows == ckpt_magic.diff("m", 1, "2", steps=[1, 2], folder=folder)
    with pytest.raises(StepNotFoundError, match="nothing is stored of `m` version 7"):
        ckpt_magic.diff("m", 1, 7, folder=folder)


def test_a_file_that_may_not_be_read_is_named_and_the_others_are_compared(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT_KEY", "of somebody else")
    run("%%step 1 --version 3\nlr = 1")
    run("%unload_ext ckpt_magic")
    monkeypatch.setenv("CKPT_KEY", "mine")

    rows = ckpt_magic.diff("m", 1, 3, folder=tmp_path / ".ckpt")

    assert "someone else's" in rows[0]["problem"] and rows[0]["values"] == []
    assert "cannot be compared" in repr(rows)


def test_changed_lines_have_colours_in_a_terminal_and_no_control_characters() -> None:
    changed = codediff.lines("a\nb", "a\n\x1b[2Jc")

    assert codediff.as_text(changed[1:]) == " a\n-b\n+\\x1b[2Jc"
    assert codediff.as_text(["+c"], colours=True) == "\x1b[32m+c\x1b[0m"
    assert codediff.lines("a\nb", "a\nb") == []
