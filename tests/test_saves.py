"""Saves that go on in the background: what a kernel does meanwhile, and after one of them failed."""

from __future__ import annotations

import errno
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckpt_magic
from ckpt_magic import Checkpoint
from ckpt_magic.errors import CheckpointWarning, StoreError
from ckpt_magic.files.publishing import Publisher, publisher
from ckpt_magic.files.store import Store
from ckpt_magic.steps import saves
from ckpt_magic.steps.neighbours import Neighbours
from ckpt_magic.steps.push import push
from tests.kernels import Kernel
from tests.test_publishing import SlowDisk


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(saves, "_QUICK", 0.0)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    slow = SlowDisk(monkeypatch)
    yield slow
    slow.go.set()
    assert publisher().wait(timeout=20)
    publisher().guard()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ckpt"


def background(folder: Path, start: int | str = "none") -> Kernel:
    kernel = Kernel(folder, start)
    kernel.session.sync = False
    return kernel


def file(folder: Path, step: int) -> Path:
    return Store(folder).path("p", "1", step)


def value(folder: Path, step: int) -> Any:
    return pickle.loads(file(folder, step).read_bytes())


def record(kernel: Kernel, step: int) -> Any:
    (pipeline,) = kernel.session.registry.pipelines().values()
    return pipeline.steps[step]


def later(disk: SlowDisk) -> threading.Timer:
    """Let the disk go on in a moment, from another thread."""
    timer = threading.Timer(0.05, disk.go.set)
    timer.start()
    return timer


def test_a_cell_ends_before_its_checkpoint_is_on_the_disk_and_code_runs_meanwhile(folder: Path, disk: SlowDisk) -> None:
    kernel = background(folder)
    facts = kernel.step(1, "x = [1]")
    assert facts["action"] == "saved" and facts["bytes"] > 0
    kernel.cell("y = x + [2]")
    assert not file(folder, 1).exists()
    (row,) = _rows(kernel)
    assert (row["state"], row["next"], row["bytes"]) == ("saving", None, None)
    disk.go.set()
    kernel.session.wait()
    assert value(folder, 1) == {"x": [1]}
    assert file(folder, 1).stat().st_size == facts["bytes"]


def _rows(kernel: Kernel) -> Any:
    from ckpt_magic.faces import status

    session = kernel.session
    (key,) = session.registry.pipelines()
    return status.rows(
        Store(key.folder), session.keyring, pipelines=session.registry.pipelines(), outlook=session.outlook
    )


def test_the_next_step_runs_meanwhile_and_its_save_waits(folder: Path, disk: SlowDisk) -> None:
    kernel = background(folder)
    kernel.step(1, "x = 1")
    timer = later(disk)
    kernel.step(2, "import threading; y = x + 1")
    timer.join()
    kernel.session.wait()
    assert [value(folder, step) for step in (1, 2)] == [{"x": 1}, {"threading": threading, "y": 2}]


def test_a_step_that_runs_again_does_not_wait_to_begin_and_one_that_is_restored_does(
    folder: Path, disk: SlowDisk
) -> None:
    kernel = background(folder, "auto")
    kernel.step(1, "x = 1")
    began: list[bool] = []

    def note() -> None:
        began.append(file(folder, 1).exists())
        disk.go.set()

    kernel.names["note"] = note
    kernel.step(1, "x = 2; note()")
    assert began == [False]
    kernel.session.wait()
    disk.go.clear()
    kernel.step(2, "y = x")
    timer = later(disk)
    assert kernel.step(2, "y = x")["action"] == "restored"
    timer.join()
    assert value(folder, 1)["x"] == 2 and file(folder, 2).exists()


@pytest.mark.parametrize(("first", "drafts"), [("x = 1", 2), ("x = bytes(3 << 20)", 1)])
def test_a_save_is_written_while_the_disk_works_on_a_small_one(
    folder: Path, disk: SlowDisk, first: str, drafts: int
) -> None:
    kernel = background(folder)
    kernel.step(1, first)
    found: list[int] = []

    def go_on() -> None:
        until = time.monotonic() + (20 if drafts == 2 else 0.3)
        while len(list(folder.glob(".ckpt-*.tmp"))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        found.append(len(list(folder.glob(".ckpt-*.tmp"))))
        disk.go.set()

    other = threading.Thread(target=go_on)
    other.start()
    kernel.step(2, "y = 1")
    other.join()
    assert file(folder, 1).exists() and found == [drafts]


@pytest.mark.parametrize("how", ["step", "status", "load", "outputs", "push", "class", "outlook"])
def test_who_reads_the_folder_waits(folder: Path, disk: SlowDisk, how: str) -> None:
    kernel = background(folder, 2)
    disk.go.set()
    kernel.step(1, "x = 'old'", force=True)
    kernel.session.wait()
    outputs = ckpt_magic.load("p", folder=folder)
    disk.go.clear()
    kernel.step(1, "x = 'new'", force=True)
    timer = later(disk)
    if how == "step":
        kernel.names["x"] = "other"
        assert kernel.step(1, "x = 'new'")["action"] == "restored"
        assert kernel.names["x"] == "new"
    elif how == "status":
        assert [row["state"] for row in ckpt_magic.status(folder=folder)] == ["stored"]
    elif how == "load":
        assert ckpt_magic.load("p", folder=folder)[1] == {"x": "new"}
    elif how == "outputs":
        assert outputs[1] == {"x": "new"}
    elif how == "push":
        (key,) = kernel.session.registry.pipelines()
        push(kernel.session, key, [1])
    elif how == "class":
        assert Checkpoint("p", folder).load_outputs()[1] == {"x": "new"}
    else:
        (key,) = kernel.session.registry.pipelines()
        assert kernel.session.outlook(key, 1, kernel.session.open(key, 1)).action == "restore"
    assert disk.go.is_set()
    assert value(folder, 1) == {"x": "new"}
    timer.join()


def test_a_step_that_is_on_its_way_is_among_the_neighbours_of_others(folder: Path, disk: SlowDisk) -> None:
    kernel = background(folder)
    kernel.step(1, "x = 1")
    timer = later(disk)
    (key,) = kernel.session.registry.pipelines()
    assert [*Neighbours(kernel.session).of_pipeline(key)] == [1]
    timer.join()


def test_a_failed_save_is_told_at_the_next_cell_and_the_step_counts_as_not_saved(folder: Path, disk: SlowDisk) -> None:
    kernel = background(folder)
    disk.error = OSError(errno.ENOSPC, "full")
    facts = kernel.step(1, "x = [1]")
    assert facts["action"] == "saved"  # what the banner says is final
    disk.go.set()
    publisher().wait()
    disk.error = None
    with pytest.warns(CheckpointWarning, match="step 1 of `p` ran, but its checkpoint was not saved: .*disk is full"):
        kernel.cell("y = 2")
    assert record(kernel, 1).state == "not saved"
    assert [(row["state"], "disk is full" in row["reason"]) for row in _rows(kernel)] == [("failed", True)]
    assert kernel.names["x"] == [1]
    kernel.step(1, "x = [1]")
    kernel.session.wait()
    assert value(folder, 1) == {"x": [1]}
    assert record(kernel, 1).state == "ran"


def test_a_step_that_took_values_from_a_failed_save_is_not_restored_on_top_of_the_earlier_checkpoint(
    folder: Path, disk: SlowDisk
) -> None:
    """Step 2 is running while the publishing of step 1 fails; what it read is in no checkpoint."""
    disk.go.set()
    kernel = background(folder)
    kernel.step(1, "x = [1]")
    kernel.session.wait()
    disk.go.clear()
    disk.error = OSError(errno.EIO, "broken")
    kernel.step(1, "x = [2]")
    plan = kernel.session.begin(*_two())
    assert plan.before is not None and plan.before.producers["x"][1].startswith("unsaved") is False
    disk.go.set()
    publisher().wait()
    disk.error = None
    kernel.names["y"] = [*kernel.names["x"], 3]
    with pytest.warns(CheckpointWarning, match="step 1"):
        facts = kernel.session.finish(plan, _done())
    assert facts is not None and facts["action"] == "saved"
    kernel.session.wait()
    assert value(folder, 1) == {"x": [1]}
    assert value(folder, 2) == {"y": [2, 3]}
    again = Kernel(folder, "end")
    assert again.step(1, "x = [2]")["action"] == "restored"
    facts = again.step(2, "y = [*x, 3]")
    assert (facts["action"], again.names["y"]) == ("saved", [1, 3])
    assert "`x` of step 1 is not what it was" in facts["reason"]


def _two() -> Any:
    import ast

    from ckpt_magic.steps.plan import Body
    from ckpt_magic.steps.registry import StepCall

    source = "y = [*x, 3]"
    return StepCall(2), Body(source, ast.parse(source), "", source)


def _done() -> Any:
    from ckpt_magic.steps.plan import Outcome

    return Outcome(True, seconds=1.0)


class Two(Checkpoint):
    """Two steps, the second of which looks at the disk."""

    def step_1(self, outputs: Any) -> Any:
        return [1]

    def step_2(self, outputs: Any) -> Any:
        is_there = file(self.checkpoint_folder, 1).exists()
        disk, error = self.disk
        disk.error = error
        disk.go.set()
        return [*outputs[1], is_there]

    disk: tuple[SlowDisk, OSError | None]


def test_run_goes_on_meanwhile_and_returns_when_all_is_published(folder: Path, disk: SlowDisk) -> None:
    Two.disk = disk, None
    assert Two("p", folder).run()[2] == [1, False]
    assert [entry.step for entry in Store(folder).entries()] == [1, 2]
    assert publisher().pending() == []


def test_run_tells_of_a_checkpoint_that_could_not_be_published(folder: Path, disk: SlowDisk) -> None:
    Two.disk = disk, OSError(errno.ENOSPC, "full")
    with pytest.warns(CheckpointWarning, match="disk is full") as told:
        assert Two("p", folder).run()[2] == [1, False]
    assert len(told) == 2
    assert Store(folder).entries() == []


def test_a_failure_that_is_known_at_once_is_that_of_the_cell(
    folder: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saves, "_QUICK", 20.0)
    disk.error = OSError(errno.ENOSPC, "full")
    disk.go.set()
    kernel = background(folder)
    with pytest.warns(CheckpointWarning, match="disk is full"):
        assert kernel.step(1, "x = 1")["action"] == "not saved"
    kernel.cell("nothing = 'more is told'")


@pytest.mark.parametrize("sync", [True, False])
def test_what_goes_wrong_between_writing_and_publishing_leaves_no_temporary_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("broken")

    monkeypatch.setattr("ckpt_magic.steps.upkeep.replaced", broken)
    kernel = background(folder)
    kernel.session.sync = sync
    with pytest.warns(CheckpointWarning, match="not saved: broken"):
        kernel.step(1, "x = 1")
    assert list(folder.glob("*.pkl")) == list(folder.glob(".ckpt-*.tmp")) == []


def test_code_that_looks_at_signal_handlers_sees_the_programs_own(folder: Path, disk: SlowDisk) -> None:
    kernel = background(folder)
    kernel.step(1, "x = 1")
    timer = later(disk)
    kernel.step(2, "import signal; terminate = signal.getsignal(signal.SIGTERM)")
    assert kernel.names["terminate"] == signal.SIG_DFL
    timer.join()


def test_no_cell_waits_for_a_disk_that_was_slow(folder: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    wait = Publisher.wait

    def noted(self: Publisher, where: Path | None = None, *, timeout: float = float("inf"), **options: Any) -> bool:
        waited.append(timeout)
        return wait(self, where, timeout=timeout, **options)

    monkeypatch.setattr(saves, "_QUICK", 0.001)
    monkeypatch.setattr(Publisher, "wait", noted)
    kernel = background(folder)
    kernel.step(1, "x = 1")
    assert 0.001 in waited
    waited.clear()
    disk.go.set()
    kernel.step(2, "y = 1")
    assert 0.0 in waited
    assert 0.001 not in waited
