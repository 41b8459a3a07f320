"""A save and the rest of its folder: room on the disk, other kernels, a quota."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import OtherWriterError
from ckpt_magic.files import usage
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps import record
from tests.kernels import Kernel

ARRAY = "import numpy as np\na = np.arange({0})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ck"


def notes(facts: dict[str, Any]) -> str:
    return " · ".join(facts["notes"])


def stored(folder: Path) -> list[int]:
    return [entry.step for entry in Store(folder).entries()]


# --- room ---


class Disk:
    """A disk with so many bytes left."""

    f_frsize, f_blocks = 1, 1 << 40

    def __init__(self, free: int) -> None:
        self.f_bavail = free


def test_too_little_room_is_said_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(folder)
    kernel.step(1, ARRAY.format(10))
    inode = Store(folder).path("p", 1, 1).stat().st_ino
    opened: list[Any] = []
    original = os.open

    def noted(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(path)
        return original(path, *rest, **more)

    monkeypatch.setattr(os, "statvfs", lambda path: Disk(7_000_000))
    monkeypatch.setattr(os, "open", noted)
    with pytest.warns(match=r"8,000,000 bytes have to be written at least, and 7,000,000 are free.*ckpt_clear.*--drop"):
        facts = kernel.step(1, ARRAY.format(1_000_000))
    assert facts["action"] == "not saved" and str(folder) in notes(facts)
    assert len(kernel.names["a"]) == 1_000_000
    assert not [path for path in opened if str(path).endswith(".tmp")]
    assert Store(folder).path("p", 1, 1).stat().st_ino == inode
    assert kernel.step(1, ARRAY.format(1_000_000), drop=("a",))["action"] == "saved"


def test_what_shares_memory_or_did_not_change_needs_no_room_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(folder)
    monkeypatch.setattr(os, "statvfs", lambda path: Disk(10_000_000))
    views = "import numpy as np\na = np.arange(1_000_000)\nb = a[:900_000]\nc = a[100_000:]\nd = a.reshape(1000, 1000)"
    assert kernel.step(1, views)["action"] == "saved"
    monkeypatch.setattr(os, "statvfs", lambda path: Disk(1_000_000))
    assert kernel.step(2, "held = [a, b, c, d]")["action"] == "saved"
    monkeypatch.setattr(os, "statvfs", lambda path: Disk(0))
    assert kernel.step(3, "n = 1")["action"] == "saved", "how large it is only the writing tells"


def test_a_file_system_that_tells_no_size_is_no_full_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(0)
    disk.f_blocks = 0
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert Kernel(folder).step(1, ARRAY.format(1_000_000))["action"] == "saved"


def test_where_files_cannot_be_locked_saving_works_and_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    kernel = Kernel(folder)
    assert f"file locks do not work in {folder}" in notes(kernel.step(1, "x = 1"))
    assert notes(kernel.step(2, "y = 1")) == notes(kernel.step(1, "x = 2")) == ""
    assert stored(folder) == [1, 2]


# --- other kernels ---

OTHER = """
import sys
from pathlib import Path
from tests.kernels import Kernel
kernel = Kernel(Path(sys.argv[1]), notebook=Path(sys.argv[1]) / "theirs.ipynb")
print(kernel.step(1, "x = 1")["action"], flush=True)
sys.stdin.readline()
"""


def test_a_save_over_the_checkpoint_of_a_living_kernel_says_whose_it_was(folder: Path) -> None:
    command = [sys.executable, "-c", OTHER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        time.sleep(0.02)  # times of files lag behind the clock by a tick
        said = notes(Kernel(folder).step(1, "x = 2"))
        assert said.startswith("replaced the checkpoint of another kernel (theirs.ipynb, process ")
        assert f"process {other.pid}, saved 20" in said
        other.stdin.write("\n")
    assert "another kernel" not in notes(Kernel(folder).step(1, "x = 3")), "the last one is of this process"


def test_a_kernel_that_was_restarted_finds_its_old_files_and_says_nothing(folder: Path) -> None:
    command = [sys.executable, "-c", OTHER, str(folder)]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    time.sleep(0.02)
    kernel = Kernel(folder)
    for number in range(3):
        assert "another kernel" not in notes(kernel.step(1, f"x = {number}"))


def test_what_another_kernel_saved_while_this_one_lives_is_said_even_if_it_is_gone(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "x = 0")
    time.sleep(0.02)
    command = [sys.executable, "-c", OTHER, str(folder)]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert "replaced the checkpoint of another kernel" in notes(kernel.step(1, "x = 2"))
    assert "another kernel" not in notes(kernel.step(1, "x = 3"))


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    mine = record.process()
    assert mine["pid"] == os.getpid() and mine["started"] is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        began = record.started(process.pid)
        assert began is not None and began >= mine["started"]
        process.kill()
        while process.poll() is None and record.started(process.pid) is not None:
            time.sleep(0.01)  # a dead process that nobody asked for yet counts as gone
        assert record.started(process.pid) is None


@pytest.mark.parametrize("start", ["none", "auto", "end"])
def test_a_file_of_another_step_or_pipeline_is_never_taken_and_never_lost(folder: Path, start: str) -> None:
    """Its signature is right: it was copied there, or the names of two pipelines look the same as files."""
    Kernel(folder).step(1, "x = 1")
    store = Store(folder)
    copied = store.path("p", 1, 2)
    copied.write_bytes(store.path("p", 1, 1).read_bytes())
    whole = copied.read_bytes()
    kernel = Kernel(folder, start)
    with pytest.raises(OtherWriterError, match="holds step 1 of pipeline 'p'"):
        kernel.step(2, "y = 1")
    assert copied.read_bytes() == whole
    assert kernel.step(2, "y = 1", force=True)["action"] == "saved"
    (kept,) = store.kept()
    assert kept.read_bytes() == whole
    assert open_checkpoint(copied, load_keyring()).meta["step"] == 2


# --- quota ---


def test_without_a_quota_nothing_is_deleted_and_with_one_the_least_recently_used(folder: Path) -> None:
    kernel = Kernel(folder)
    for step in (1, 2, 3, 4):
        kernel.step(step, f"t{step} = 'x' * 1_000_000")
        time.sleep(0.02)
    usage.note(Store(folder).path("p", 1, 1))
    kernel.session.quota = 4_500_000
    said = notes(kernel.step(5, "t5 = 'x' * 1_000_000"))
    assert "deleted 1 file, 1.0 MB to keep to the quota of 4.5 MB: p-v1-step2.pkl" in said
    assert stored(folder) == [1, 3, 4, 5]


def test_a_quota_never_takes_what_was_just_saved_or_what_is_mapped(folder: Path) -> None:
    Kernel(folder).step(1, ARRAY.format(100_000))
    kernel = Kernel(folder, "end")
    kernel.session.quota = 1000
    assert kernel.step(1, ARRAY.format(100_000))["action"] == "restored"
    assert "deleted" not in notes(kernel.step(2, "b = np.arange(100_000)"))
    assert stored(folder) == [1, 2]
    kernel.plan = None
    kernel.cell("del a")
    assert "deleted 2 files" in notes(kernel.step(3, "n = 1"))
    assert stored(folder) == [3]
