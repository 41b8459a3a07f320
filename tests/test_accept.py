"""`%ckpt_accept` and `ckpt-magic accept`, in real kernels; what is accepted, and what is not: `tests/fresh`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_magic.errors import CheckpointError
from ckpt_magic.faces.cli import main
from tests.test_runner import read, save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LOAD = "%load_ext ckpt_magic\n%ckpt_config --name m"
FIRST = "def scale(v):\n    return v * 2"
STEPS = [
    "%%step 1\nx = [1, 2]",
    "%%step 2\nimport os\ny = [scale(v) for v in x if os.listdir('.')]",
    "%%step 3\nz = sum(y)",
]
OTHER = FIRST.replace("v * 2", "2 * v")


def shown_of(shell: InteractiveShell, step: int) -> str:
    shell.run_cell(f"shown = %ckpt_status {step}")
    return repr(shell.user_ns.pop("shown"))


def test_a_notebooks_step_is_accepted_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "nb.ipynb", LOAD, FIRST, *STEPS)
    assert main(["run", str(path)]) == 0
    files = {one.name: one.read_bytes() for one in (tmp_path / ".ckpt").glob("*.pkl")}
    save(path, LOAD, OTHER, *STEPS)
    assert main(["plan", str(path)]) == 10
    capsys.readouterr()

    assert main(["accept", str(path), "--step", "2", "--reason", "it's the same", "--json"]) == 0

    row = json.loads(capsys.readouterr().out)
    assert (row["step"], row["reason"]) == (2, "it's the same")
    (cause,) = row["causes"]
    assert (cause["kind"], cause["thing"], cause["line"]) == ("function", "scale", "`scale` is defined otherwise")
    assert "v * 2" in cause["old"] and "2 * v" in cause["new"]
    after = {one.name: one.read_bytes() for one in (tmp_path / ".ckpt").glob("*.pkl")}
    assert [name for name in files if files[name] != after[name]] == ["m-v1-step2.pkl"]
    assert main(["plan", str(path)]) == 0
    assert f"accepted {row['date'][:10]}: it's the same" in " ".join(capsys.readouterr().out.split())
    assert main(["run", str(path), "--start-from", "auto", "-o", str(path)]) == 0
    banners = [str(cell.outputs) for cell in read(path).cells[2:]]
    assert all("restored" in one for one in banners) and ["accepted" in one for one in banners] == [False, True, False]
    assert main(["accept", str(path), "--step", "2"]) == 2
    assert "step 2: its checkpoint is fresh, accepted" in capsys.readouterr().err


def test_a_notebook_that_fails_above_the_step_accepts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "nb.ipynb", LOAD, FIRST, *STEPS)
    assert main(["run", str(path)]) == 0
    save(path, LOAD, OTHER, "1 / 0", *STEPS)

    assert main(["accept", str(path), "--step", "2"]) == 1

    assert "the notebook failed above the step" in (shown := capsys.readouterr().err) and "ZeroDivisionError" in shown


def test_what_was_restored_is_accepted_where_it_stands(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(first: str, start: str, *lines: str) -> list[Any]:
        shell.run_cell("%reset -f")
        for cell in (LOAD, first, f"%ckpt_start {start}", *STEPS):
            assert shell.run_cell(cell).success
        (pipeline,) = shell._ckpt_magic.registry.pipelines().values()  # type: ignore[attr-defined]
        return [pipeline.steps[step].state for step in (1, 2, 3)]

    run(FIRST, "none")
    vouched = [*STEPS[:1], STEPS[1].replace("step 2", "step 2 --stale restore")]
    for cell in ("%reset -f", LOAD, OTHER, "%ckpt_start 3", *vouched):
        assert shell.run_cell(cell).success
    capsys.readouterr()

    assert shell.run_cell('%ckpt_accept 2 --reason "the order does not matter"').success

    assert capsys.readouterr().out.splitlines() == ["step 2 · accepted", "  `scale` is defined otherwise"]
    assert "the order does not matter · `scale` is defined otherwise" in shown_of(shell, 2)
    assert run(OTHER, "auto") == ["restored", "restored", "restored"]
    assert "accepted 20" in capsys.readouterr().out
    assert not shell.run_cell("%ckpt_accept 7 --name m").success
    Path(".ckpt", "m-v1-step8.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert isinstance(shell.run_cell("%ckpt_accept 8 --name m").error_in_exec, CheckpointError)
    assert run(FIRST.replace("v * 2", "v + v"), "auto") == ["restored", "ran", "restored"]
    assert not shell.run_cell("%ckpt_accept 2 --name m").success
    assert "step 2: its checkpoint is fresh: there is nothing to accept" in capsys.readouterr().err
