from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_magic import Checkpoint, OtherWriterError, StepNotFoundError, UntrustedError
from ckpt_magic.faces.cli import main
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.failures import load_failed
from ckpt_magic.steps.registry import PipelineKey

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

FAILING = """%%step 2
y = [v * 2 for v in x]
x.append(4)
live = (v for v in x)
next(live)
def half(v):
    return v / 0
half(y[0])"""


@pytest.fixture
def run(shell: InteractiveShell) -> Any:
    """Run a cell; return its value and its error."""

    def run_cell(cell: str) -> Any:
        found = shell.run_cell(cell)
        return found.result, found.error_in_exec

    run_cell("%ckpt_config --name m")
    run_cell("%%step 1\nx = [1, 2, 3]\nprint('<one>')")
    return run_cell


def key(folder: Path) -> PipelineKey:
    return PipelineKey(folder / ".ckpt", "m", "1")


def test_what_a_failed_step_had_made_is_kept_with_its_traceback(run: Any, tmp_path: Path) -> None:
    _, error = run(FAILING)
    assert isinstance(error, ZeroDivisionError)

    failed = load_failed(key(tmp_path), None, load_keyring())

    assert failed["y"] == [2, 4, 6] and failed["x"] == [1, 2, 3, 4]
    assert failed["half"].__name__ == "half" and list(failed.left_out) == ["live"]
    assert failed.step == 2 and failed.error == "ZeroDivisionError: division by zero"
    assert "half(y[0])" in failed.traceback and "IPython" not in failed.traceback
    assert "division by zero" in repr(failed) and "y (list)" in repr(failed)
    (path,) = (tmp_path / ".ckpt").glob("*.failed")
    assert pickle.loads(path.read_bytes())["y"] == [2, 4, 6]


def test_it_is_put_into_a_kernel_and_belongs_to_the_next_save_of_the_step(run: Any, tmp_path: Path) -> None:
    run(FAILING)
    run("%reset -f")
    run("%load_ext ckpt_magic")

    found, _ = run("%ckpt_load --failed --push --name m")
    assert found.step == 2
    assert run("y, x")[0] == ([2, 4, 6], [1, 2, 3, 4])
    run("%%step 2 --name m\nz = len(y)")

    stored = pickle.loads((tmp_path / ".ckpt" / "m-v1-step2.pkl").read_bytes())
    assert stored["y"] == [2, 4, 6] and stored["z"] == 3
    assert list((tmp_path / ".ckpt").glob("*.failed")) == []  # it succeeded


def test_pushing_over_other_values_needs_force(run: Any) -> None:
    run(FAILING)
    run("%reset -f")
    run("y = 0")

    _, error = run("%ckpt_load --failed --push --name m")
    assert "`y` exists here" in str(error)
    assert run("%ckpt_load --failed 2 --push --force --name m --json")[0]["variables"]["y"] == "list"


@pytest.mark.parametrize(("cap", "why"), [(0, ""), (50_000, "takes more than 50 kB")])
def test_too_much_or_nothing_asked_for_is_not_kept(run: Any, tmp_path: Path, cap: int, why: str) -> None:
    run(f"%config CkptMagics.failed_cap = {cap}")
    run("%%step 2\nbig = bytes(100_000)\n1 / 0")

    assert list((tmp_path / ".ckpt").glob("*.failed")) == []
    (row,) = [row for row in run("%ckpt_status --json")[0] if row["step"] == 2]
    assert row["state"] == "failed" and why in row["reason"]


def test_a_value_that_will_not_be_pickled_is_never_in_the_way_of_the_error(run: Any) -> None:
    _, error = run(
        "%%step 2\nclass Odd:\n    def __reduce__(self):\n        raise SystemError('no')\no = Odd()\nw = 1\n1 / 0"
    )
    assert isinstance(error, ZeroDivisionError)
    assert run("%ckpt_load --failed")[0]["w"] == 1


def test_it_is_no_checkpoint_and_needs_the_same_trust(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(FAILING)
    (path,) = (tmp_path / ".ckpt").glob("*.failed")
    shutil.copy(path, tmp_path / ".ckpt" / "m-v1-step2.pkl")
    run("%ckpt_start 3")

    _, error = run("%%step 2\ny = 1")
    assert isinstance(error, OtherWriterError)
    monkeypatch.setenv("CKPT_KEY", "another")
    with pytest.raises(UntrustedError):
        load_failed(key(tmp_path), 2, load_keyring())


def test_the_command_line_shows_it_and_says_what_is_not_there(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(FAILING)
    capsys.readouterr()
    place = ["--name", "m", "--folder", str(tmp_path / ".ckpt")]

    assert main(["load", "--failed", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["variables"] == {"x": "list", "y": "list", "half": "function"}
    assert main(["load", "1", "--failed", *place]) == 1
    assert "no failed run of step 1" in capsys.readouterr().err
    assert main(["load", "1-2", "--failed", *place]) == 2


def test_methods_that_fail_leave_what_they_had_set(tmp_path: Path) -> None:
    class Work(Checkpoint):
        def step_1(self, outputs: Any) -> None:
            self.scale = [3]
            raise KeyError("lr")

    with pytest.raises(KeyError):
        Work("m", tmp_path / ".ckpt").run()

    failed = load_failed(key(tmp_path), None, load_keyring())
    assert failed["self.scale"] == [3] and failed.error == "KeyError: 'lr'"
    with pytest.raises(StepNotFoundError, match="no failed run of `n`"):
        load_failed(PipelineKey(tmp_path, "n", "1"), None, load_keyring())
