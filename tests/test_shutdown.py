"""Kernels that are shut down while a checkpoint is on its way to a slow disk: it is there afterwards."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ckpt_magic.faces import runner
from ckpt_magic.faces.cli import main

pytestmark = pytest.mark.kernel

# Unmarked, before the step. The disk takes longer than kernels are given to end: SIGTERM comes after 2.5 s.
DISK = """
import os, time
fsync = os.fsync
def slow(descriptor):
    time.sleep({seconds})
    {then}
    fsync(descriptor)
os.fsync = slow
"""
STEP = "%%step 1 --name p --folder ck\nx = [1]"


def notebook(folder: Path, seconds: float, then: str = "pass", *more: str) -> Path:
    sources = ["%load_ext ckpt_magic", DISK.format(seconds=seconds, then=then), STEP, *more]
    path = folder / "slow.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in sources]), path)
    return path


def value(folder: Path) -> Any:
    return pickle.loads((folder / "ck/p-v1-step1.pkl").read_bytes())


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ckpt_magic", "run", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("host", ["nbclient", "papermill"])
def test_a_kernel_that_is_given_some_seconds_to_end_leaves_the_checkpoint(tmp_path: Path, host: str) -> None:
    path = notebook(tmp_path, 3)
    if host == "nbclient":
        from nbclient import NotebookClient

        document = nbformat.read(path, as_version=4)
        NotebookClient(document, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute(
            env=dict(os.environ)
        )
        assert document.cells[-1].outputs[-1].metadata.ckpt_magic.action == "saved"
    else:
        pytest.importorskip("papermill")
        command = [sys.executable, "-m", "papermill", path.name, "out.ipynb", "-k", "python3", "--no-progress-bar"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert value(tmp_path) == {"x": [1]}


def test_run_waits_for_what_is_being_published(tmp_path: Path) -> None:
    notebook(tmp_path, 3)
    done = run(tmp_path, "slow.ipynb")
    assert done.returncode == 0, done.stderr
    assert value(tmp_path) == {"x": [1]}
    assert sorted(path.name for path in (tmp_path / "ck").iterdir()) == [".gitignore", ".p.lock", "p-v1-step1.pkl"]


def test_run_fails_if_a_checkpoint_could_not_be_published(tmp_path: Path) -> None:
    """Whether or not the notebook comes to its end."""
    full = "raise OSError(28, 'full')"
    for more, last in (("after = 1",), "wrote "), (("1 / 0",), "failed after"):
        notebook(tmp_path, 0.3, full, *more)
        done = run(tmp_path, "slow.ipynb")
        assert done.returncode == 1
        assert "step 1 of `p` ran, but its checkpoint was not saved: " in done.stderr
        assert "the disk is full" in done.stderr and last in done.stderr
        assert not (tmp_path / "ck/p-v1-step1.pkl").exists()


def test_a_kernel_that_aborts_the_question_what_was_not_saved_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As an old one does with what reaches it right after a cell that failed."""
    notebook(tmp_path, 0.3, "raise OSError(28, 'full')")
    asked, plain = [], runner._Client.async_wait_for_reply

    async def wait(client: Any, msg_id: str, cell: Any = None) -> Any:
        reply = await plain(client, msg_id, cell) or {"content": {}}
        is_asked = "unsaved" in reply["content"].get("user_expressions", {})
        asked.extend([msg_id] if is_asked else [])
        return {"content": {"status": "aborted"}} if is_asked and len(asked) == 1 else reply

    monkeypatch.setattr(runner._Client, "async_wait_for_reply", wait)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "slow.ipynb"]) == 1
    assert len(asked) == 2
    assert "step 1 of `p` ran, but its checkpoint was not saved: " in capfd.readouterr().err


def test_an_interrupted_run_leaves_the_checkpoints_of_the_steps_that_ended(tmp_path: Path) -> None:
    notebook(tmp_path, 4, "pass", "print('here', flush=True)\nfor _ in range(600): time.sleep(0.1)")
    command = [sys.executable, "-m", "ckpt_magic", "run", "slow.ipynb"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "step 1 · ran" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert value(tmp_path) == {"x": [1]}
