"""Where to start after an unmarked cell changed what steps read: said once, and only where it helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.test_runner import save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Run = Callable[..., list[str]]

SETUP = "%ckpt_config --name m"
LR = "lr, depth = 0.1, 3\nconfig = {'units': 2}"
TOOLS = "def scale(x):\n    'Scale.'\n    return x * 2"
ONE = "%%step 1\nimport time\ntime.sleep(1.1)\ndata = [1, 2, 3]"
TWO = "%%step 2\nmodel = [lr * value for value in data]"
THREE = "%%step 3\nwide = depth * len(data) + config['units']"
FOUR = "%%step 4\nscore = scale(sum(model)) + lr"
CELLS = [SETUP, LR, TOOLS, ONE, TWO, THREE, FOUR]


@pytest.fixture
def run(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run cells as a kernel does; returns the lines of advice."""

    def cells(*texts: str) -> list[str]:
        capsys.readouterr()
        for text in texts:
            assert shell.run_cell(text, store_history=True).success
        return [line for line in capsys.readouterr().out.splitlines() if "start from" in line]

    return cells


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its checkpoints for the others."""
    return tmp_path_factory.mktemp("once") / "checkpoints"


@pytest.fixture
def stored(run: Run, once: Path, tmp_path: Path) -> Run:
    """All steps stored, and a new kernel that has met none of them."""
    if once.exists():
        shutil.copytree(once, tmp_path / ".ckpt")
    else:
        assert run(*CELLS) == []
        shutil.copytree(tmp_path / ".ckpt", once)
    run("%reset -f", SETUP)
    return run


def test_a_changed_variable_is_told_once_with_the_steps_that_read_it(stored: Run) -> None:
    (line,) = stored(LR.replace("0.1", "0.05"))
    assert line.startswith("`lr` is read by steps 2, 4: start from 2 (saves 1.1 s)")
    assert stored(LR.replace("0.1", "0.05"), "print(lr)") == []
    assert stored(LR.replace("0.1", "0.02")) == [], "what was said still holds"


def test_what_steps_saw_is_no_change(stored: Run) -> None:
    assert stored(LR, TOOLS, "print(lr, scale(1))", "other = 5", "lr = 1e-1") == []


def test_several_variables_are_one_line(stored: Run) -> None:
    (line,) = stored("lr, depth = 1, 2")
    assert line.startswith("`depth` is read by step 3, `lr` is read by steps 2, 4: start from 2 (saves")


def test_an_earlier_step_is_told_and_a_later_one_is_not(stored: Run) -> None:
    (line,) = stored("depth = 4")
    assert line.startswith("`depth` is read by step 3: start from 3 (saves 1.1 s)")
    (line,) = stored("lr = 4")
    assert line.startswith("`lr` is read by steps 2, 4: start from 2")
    assert stored("config = {'units': 9}") == []


def test_a_change_in_place_and_a_helper_count_and_its_documentation_does_not(stored: Run) -> None:
    stored(LR, TOOLS)
    assert stored(TOOLS.replace("Scale.", "Double.")) == []
    (line,) = stored(TOOLS.replace("* 2", "* 3"))
    assert line.startswith("`scale` is read by step 4: start from 4 (saves 1.1 s)")
    (line,) = stored("config['units'] = 7")
    assert line.startswith("`config` is read by step 3: start from 3")
    assert stored(TOOLS, LR) == []
    (line,) = stored(TOOLS.replace("* 2", "* 3"))
    assert line.startswith("`scale`"), "it was as the steps know it in between"


@pytest.mark.parametrize("start", ["auto", "end", "2", "5"])
def test_nothing_is_said_where_the_start_point_runs_no_step_in_vain(stored: Run, start: str) -> None:
    assert stored(f"%ckpt_start {start}", LR.replace("0.1", "0.05")) == []


def test_a_number_below_counts_the_steps_that_would_run_in_vain(stored: Run) -> None:
    (line,) = stored("%ckpt_start 1", "lr = 5")
    assert line.startswith("`lr` is read by steps 2, 4: start from 2 (saves 1.1 s)")
    assert stored("%ckpt_start 2", "depth = 9") == [], "only step 2 would run in vain, and it takes no time"


def test_following_the_advice_gives_what_a_full_run_gives(stored: Run, shell: InteractiveShell) -> None:
    edited = [text.replace("0.1", "0.05") for text in CELLS]
    (line,) = stored(*edited[1:3])
    stored("%ckpt_start 2", *edited[3:])
    steps: Any = shell._ckpt_magic.registry.pipelines()  # type: ignore[attr-defined]
    assert [one.state for one in next(iter(steps.values())).steps.values()] == ["restored", "ran", "ran", "ran"]
    assert shell.user_ns["score"] == (0.05 + 0.05 * 2 + 0.05 * 3) * 2 + 0.05
    assert "start from 2" in line
    assert stored(edited[1]) == [], "the steps have read it now"


def test_a_pipeline_without_a_name_is_asked_for(run: Run, shell: InteractiveShell, capsys: Any) -> None:
    run("%load_ext ckpt_magic")
    shell.run_cell("%ckpt_start --changed lr")
    assert "%ckpt_start: which pipeline? --name NAME" in capsys.readouterr().err


def test_it_can_be_turned_off(stored: Run) -> None:
    assert stored("%config CkptMagics.advice = False", "lr = 7") == []
    assert stored("%config CkptMagics.advice = True", "%config CkptMagics.banner = False", "lr = 8") == []


def test_a_cell_that_fails_gives_no_advice(
    stored: Run, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stored() == []
    assert not shell.run_cell("lr = 7\nraise ValueError").success
    assert "start from" not in capsys.readouterr().out


def test_the_place_of_a_cell_counts_where_the_notebook_is_known(
    shell: InteractiveShell, run: Run, tmp_path: Path
) -> None:
    """A value that another cell replaces before the step, and one below all steps, concern no step."""
    first, second, third, last = "lr = 0", "lr = lr + 0.1\nconfig = {}", "config['units'] = 2", "lr = 99"
    cells = [first, second, third, "depth = 3", TOOLS, ONE, TWO, THREE, FOUR, last]
    shell.run_cell("%unload_ext ckpt_magic")
    del shell._ckpt_magic  # type: ignore[attr-defined]
    shell.user_ns["__session__"] = str(save(tmp_path / "nb.ipynb", *cells))
    shell.run_cell("%load_ext ckpt_magic")

    assert run(*cells) == []
    run("%reset -f")
    assert run(*cells[:5]) == []
    run(*cells[5:9])
    assert run(last, first, second, third) == []
    (line,) = run("lr = 5")
    assert line.startswith("`lr` is read by steps 2, 4: start from 2"), "an edited cell is not in the file"
