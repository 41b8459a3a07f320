"""What is read of a folder for the sake of other steps: each file once, and again when the folder changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckpt_magic.faces import status
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.steps.neighbours import Neighbours
from ckpt_magic.steps.registry import PipelineKey
from tests.kernels import Kernel


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


def made(folder: Path, steps: int) -> Kernel:
    """A folder of steps, each of which lost a value that a later one does not read."""
    kernel = Kernel(folder)
    for step in range(1, steps + 1):
        kernel.step(step, f"lost{step} = (i for i in range(3)); next(lost{step})\nx{step} = {step}")
    publisher().wait()
    old = os.stat(folder).st_mtime - 10
    os.utime(folder, (old, old))
    return kernel


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened."""
    found: list[str] = []
    native = files.open_checkpoint

    def counting(path: Path, *rest: object) -> files.StoredStep:
        found.append(path.name)
        return native(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "open_checkpoint", counting)
    return found


def test_rows_about_steps_that_lost_values_open_each_file_twice_at_most(tmp_path: Path, opened: list[str]) -> None:
    made(tmp_path, 6)
    session = Kernel(tmp_path, "end").session
    opened.clear()
    rows = status.rows(Store(tmp_path), session.keyring, outlook=session.outlook)
    assert [row["next"] for row in rows] == ["restore"] * 6
    assert max(map(opened.count, opened)) == 2


def test_rows_of_steps_that_the_start_point_does_not_let_open_each_file_once(tmp_path: Path, opened: list[str]) -> None:
    made(tmp_path, 4)
    session = Kernel(tmp_path).session
    opened.clear()
    rows = status.rows(Store(tmp_path), session.keyring, outlook=session.outlook)
    assert [row["next"] for row in rows] == ["run"] * 4
    assert len(opened) == 4


def test_a_folder_is_read_again_when_it_changed_or_might_have(tmp_path: Path, opened: list[str]) -> None:
    kernel = made(tmp_path, 2)
    neighbours, key = Neighbours(kernel.session), PipelineKey(tmp_path, "p", "1")
    opened.clear()
    assert neighbours.of_pipeline(key).keys() == {1, 2}
    neighbours.forget()
    assert neighbours.of_pipeline(key).keys() == {1, 2}
    assert len(opened) == 2
    kernel.step(3, "y = x1")
    publisher().wait()
    assert neighbours.of_pipeline(key).keys() == {1, 2}, "until code runs it is what it was"
    neighbours.forget()
    assert neighbours.of_pipeline(key).keys() == {1, 2, 3}
    opened.clear()
    neighbours.forget()
    assert neighbours.of_pipeline(key).keys() == {1, 2, 3}
    assert len(opened) == 3, "it changed just now: another change might not show"
    assert neighbours.read_elsewhere(PipelineKey(tmp_path, "q", "1")) >= set()
