"""Restored files are compared with their digests in the background, before what came from them is published."""

from __future__ import annotations

import errno
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import CheckpointWarning
from ckpt_magic.files import comparing
from ckpt_magic.files.comparing import Comparer, Comparison
from ckpt_magic.files.format import StoredStep, open_checkpoint
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.values.pages import new_hash
from tests.kernels import Kernel

ONE = "import numpy as np\na = np.arange(50_000)\nb = np.ones(50_000)\nn = 7"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Kernel(tmp_path / "ckpt").step(1, ONE)
    return tmp_path / "ckpt"


def path(folder: Path, step: int = 1) -> Path:
    return Store(folder).path("p", "1", step)


def stored(folder: Path) -> StoredStep:
    return open_checkpoint(path(folder), load_keyring())


def spoil(folder: Path, payload: int = 0) -> None:
    """Change one bit of a payload, as a disk does: size and time stay."""
    file = path(folder)
    status = file.stat()
    at = stored(folder).meta["buffers"][payload][0] + 1000
    file.chmod(0o600)
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 1]))
    file.chmod(0o400)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def restored(folder: Path, **options: Any) -> Kernel:
    kernel = Kernel(folder, 2)
    for name, value in options.items():
        setattr(kernel.session, name, value)
    assert kernel.step(1, ONE)["action"] == "restored"
    return kernel


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("source", ["c = float(a.sum())", "c = 1", "a = a + 1"])
def test_nothing_is_saved_by_a_kernel_that_holds_what_was_not_saved(folder: Path, sync: bool, source: str) -> None:
    spoil(folder)
    kernel = restored(folder, sync=sync)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kernel.step(2, source)
        publisher().wait()
        kernel.cell("nothing = 1")
    texts = [str(one.message) for one in told]
    assert all("`a`, restored from it by step 1, is not what was saved" in text for text in texts)
    assert any("step 2 of `p` ran, but its checkpoint was not saved" in text for text in texts)
    assert not path(folder, 2).exists()
    states = {
        step: record.state for step, record in next(iter(kernel.session.registry.pipelines().values())).steps.items()
    }
    assert states == {1: "failed", 2: "not saved"}
    with pytest.warns(CheckpointWarning):
        assert kernel.step(2, source)["action"] == "not saved"
    kernel.step(1, ONE, force=True)
    assert kernel.step(2, source)["action"] == "saved"


def test_damage_of_what_the_kernel_no_longer_holds_is_no_obstacle(folder: Path) -> None:
    spoil(folder)
    kernel = restored(folder)
    assert kernel.step(2, "a = 3")["action"] == "saved"
    spoil(folder, 1)
    assert kernel.step(3, "c = a")["action"] == "saved"  # compared once, and `b` was whole then


def test_a_mismatch_is_told_without_a_save_and_no_checkpoint_fits_what_came_from_there(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, ONE)
    first.step(2, "c = float(a.sum())")
    spoil(folder)
    kernel = Kernel(folder, 3)
    kernel.step(1, ONE)
    comparison = only(kernel)
    comparing.comparer().wait(comparison)
    with pytest.warns(CheckpointWarning, match="damaged: `a`, restored from it by step 1"):
        kernel.cell("nothing = 1")
    with pytest.warns(CheckpointWarning, match="not saved"):
        facts = kernel.step(2, "c = float(a.sum())")
    assert facts["reason"] == "`a` of step 1 is not what it was"


def only(kernel: Kernel) -> Comparison:
    (file,) = kernel.session.compared._files.values()
    return file.comparison


def test_it_can_be_turned_off(folder: Path) -> None:
    spoil(folder)
    kernel = restored(folder, check_payloads=False)
    assert kernel.step(2, "c = float(a.sum())")["action"] == "saved"


def test_a_file_that_was_replaced_meanwhile_is_compared_as_it_was_mapped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    kernel = restored(folder)
    path(folder).unlink()
    path(folder).write_bytes(b"other")
    gate.open.set()
    comparing.comparer().wait(only(kernel))
    assert only(kernel).differs == []
    assert only(kernel).problem is None


class Gate:
    """Comparisons advance here only while it is open."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.passed: list[Comparison] = []
        advance = Comparison.advance

        def gated(comparison: Comparison) -> None:
            assert self.open.wait(20)
            self.passed.append(comparison)
            advance(comparison)

        patch.setattr(Comparison, "advance", gated)


def test_a_file_is_read_once_in_slices_and_what_is_wanted_comes_first(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckpt_magic.files.format._COMPARED", 100_000)
    monkeypatch.setattr(comparing, "_HEAD_START", 20.0)
    gate = Gate(monkeypatch)
    other = tmp_path / "other"
    Kernel(other).step(1, ONE)
    comparer = Comparer()
    one, again, two = (comparer.submit(stored(place), mapped(place), new_hash) for place in (folder, folder, other))
    assert one is not two
    gate.open.set()
    told: list[int] = []
    comparer.wait(two, told=lambda: told.append(two.done))
    assert gate.passed == [two] * 9  # twice 400 kB, and the end
    assert (two.done, two.size, two.differs) == (800_000, 800_000, [])
    comparer.wait(one)
    comparer.wait(again)


def mapped(folder: Path) -> Any:
    return stored(folder).parts().map


def test_the_same_file_is_not_compared_again_and_a_changed_one_is(folder: Path) -> None:
    comparer = Comparer()
    first = comparer.submit(stored(folder), held := mapped(folder), new_hash)
    comparer.wait(first)
    assert comparer.submit(stored(folder), mapped(folder), new_hash) is first
    spoil(folder)
    os.utime(path(folder), ns=(1, 1))
    second = comparer.submit(stored(folder), mapped(folder), new_hash)
    comparer.wait(second)
    assert (first.differs, second.differs) == ([], ["a"])
    del held


def test_no_page_of_the_map_comes_in(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps").exists():
        pytest.skip("not run: it takes /proc/self/smaps")
    large = ONE.replace("50_000", "500_000")
    Kernel(tmp_path).step(1, large)
    kernel = Kernel(tmp_path, 2)
    kernel.step(1, large)
    comparing.comparer().wait(only(kernel))

    def resident() -> int:
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        next(line for line in lines if line.endswith(str(path(tmp_path))))
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))

    assert resident() < 400  # kB, of 8,000
    assert kernel.names["b"].sum() == 500_000
    assert resident() > 3000


def test_a_file_that_cannot_be_read_to_its_end_makes_all_of_it_suspect(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    gate = Gate(monkeypatch)
    kernel = restored(folder)
    monkeypatch.setattr("ckpt_magic.files.format.read_into", broken)
    gate.open.set()
    comparing.comparer().wait(only(kernel))
    told = "`a`, `b`, restored from it by step 1, are not what was saved: .*cannot be read"
    with pytest.warns(CheckpointWarning, match=told):
        kernel.cell("nothing = 1")


def test_a_forked_child_waits_for_nothing_of_its_parent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    kernel = restored(folder)
    child = os.fork()
    if child == 0:
        threading.Timer(20, os._exit, (1,)).start()
        os._exit(0 if kernel.step(2, "c = n")["action"] == "saved" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.open.set()


def test_a_child_that_is_forked_in_the_middle_of_comparing_says_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, forked = threading.Event(), threading.Event()

    def hash_slowly(*data: bytes) -> Any:
        began.set()
        assert forked.wait(20)
        return new_hash(*data)

    monkeypatch.setattr("ckpt_magic.steps.loading.new_hash", hash_slowly)
    restored(folder)
    assert began.wait(20)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: os._exit(1))
    child = os.fork()
    if child == 0:
        os._exit(0)
    forked.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
