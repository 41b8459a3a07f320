"""Files that arrays of this kernel lie over: what deletes them, and what stays on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_magic.files.store import Store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Capsys = pytest.CaptureFixture[str]
BODY = "%%step {0} --name m\nimport numpy as np\na{0} = np.arange(1_000_000)"


@pytest.fixture
def run(shell: InteractiveShell) -> Any:
    """Run cells; return the value of the last one, or raise its error."""

    def run_cells(*cells: str) -> Any:
        result: Any = None
        for cell in cells:
            result = shell.run_cell(cell, store_history=False)
            result.raise_error()
        return result.result

    return run_cells


def restored(run: Any, *steps: int) -> None:
    run(*(BODY.format(step) for step in steps))
    run("%reset -f", "%ckpt_start end", *(BODY.format(step) for step in steps))


def test_bytes_of_a_deleted_file_are_held_until_its_arrays_are_gone(run: Any, capsys: Capsys, tmp_path: Path) -> None:
    restored(run, 1)
    capsys.readouterr()
    run("%ckpt_clear 1 --name m --yes")
    assert "held: 8.0 MB" in capsys.readouterr().out
    (row,) = run("%ckpt_status")
    assert (row["state"], row["bytes"] > 8_000_000) == ("held", True)
    assert "held: 8.0 MB of files that were deleted or replaced stay on the disk" in repr(run("%ckpt_status"))
    run("part = a1[5:10]", "del a1")
    assert run("%ckpt_status")[0]["state"] == "held", "a view of it is left"
    assert run("part.sum()") == sum(range(5, 10))
    run("del part")
    assert run("%ckpt_status")[0]["state"] == "missing" and "held" not in repr(run("%ckpt_status"))


def test_bytes_of_a_replaced_file_are_held_too(run: Any) -> None:
    restored(run, 1)
    run("old = a1", "%%step 1 --name m --force\nimport numpy as np\na1 = np.arange(10)")
    (row,) = shown = run("%ckpt_status")
    assert row["state"] == "stored" and "held: 8.0 MB" in repr(shown)
    run("del old")
    assert "held" not in repr(run("%ckpt_status"))


def test_what_load_gave_is_held_too(run: Any, capsys: Capsys) -> None:
    run(BODY.format(1), "outputs = %ckpt_load 1 --name m", "a = outputs[1]['a1']")
    capsys.readouterr()
    run("%ckpt_clear --all --name m --yes")
    assert "held: 8.0 MB" in capsys.readouterr().out


def test_a_quota_takes_nothing_that_this_kernel_restored_from(run: Any, tmp_path: Path) -> None:
    restored(run, 1, 2)
    run("%%step 3 --name m\nx = 1", "%ckpt_clear --quota 0 --yes")
    assert [entry.step for entry in Store(tmp_path / ".ckpt").entries()] == [1, 2]
    run("del a1", "%ckpt_clear --quota 0 --yes")
    assert [entry.step for entry in Store(tmp_path / ".ckpt").entries()] == [2]


def test_the_quota_of_the_config_holds_from_the_next_save_on(
    run: Any, capsys: Capsys, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    run("%config CkptMagics.quota = 'much'")
    assert "CkptMagics.quota: 'much' is no size" in caplog.text
    cells = [f"%%step {step} --name m\nt{step} = 'x' * 100_000" for step in (1, 2, 3)]
    run(*cells[:2])
    assert "deleted" not in capsys.readouterr().out
    run("%config CkptMagics.quota = '250 kB'", cells[2])
    assert "kB to keep to the quota of 250 kB: m-v1-step1.pkl" in capsys.readouterr().out
    assert [entry.step for entry in Store(tmp_path / ".ckpt").entries()] == [2, 3]
