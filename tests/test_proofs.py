"""What is known of files that are written through maps: when they are read again, and when not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ckpt_magic.values import pages, proofs
from ckpt_magic.values.pickles import memmaps
from ckpt_magic.values.proofs import Proofs
from tests.kernels import Kernel

SIZE = 1 << 20


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read."""
    done: list[str] = []
    usual = proofs.read

    def counted(file: Any, offset: int, size: int) -> str:
        done.append(file.name)
        return usual(file, offset, size)

    monkeypatch.setattr(proofs, "read", counted)
    return done


@pytest.fixture
def path(tmp_path: Path) -> str:
    if not hasattr(os, "O_TMPFILE") or not proofs._tried_out(str(tmp_path)):
        pytest.skip("the times of files tell nothing here")
    return str(tmp_path / "data")


def digest(known: Proofs, path: str) -> str:
    return known.content(path, 0, SIZE)


def other_map(path: str, mapped: Any) -> Callable[[], object]:
    other = np.memmap(path, "u1", "r+")
    other[9000] = 1  # its page may be written to from now on
    return lambda: other.__setitem__(9000, 7)


def new_map(path: str, mapped: Any) -> Callable[[], object]:
    return lambda: np.memmap(path, "u1", "r+").__setitem__(9000, 7)


def written(path: str, mapped: Any) -> Callable[[], object]:
    def write() -> None:
        with open(path, "r+b") as file:
            file.write(b"7")

    return write


def times_put_back(path: str, mapped: Any) -> Callable[[], object]:
    def write() -> None:
        before = os.stat(path)
        mapped[9000] = 7
        mapped.flush()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return write


def another_process(path: str, mapped: Any) -> Callable[[], object]:
    code = (
        f"import mmap; file = open({path!r}, 'r+b'); memory = mmap.mmap(file.fileno(), 0); memory[9000] = 1\n"
        "print(input(), flush=True); input(); memory[9000] = 7"
    )
    child = subprocess.Popen([sys.executable, "-SEc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("ready\n")
    child.stdin.flush()
    assert child.stdout.readline() == "ready\n"
    return lambda: child.communicate("\n")


def another_file(path: str, mapped: Any) -> Callable[[], object]:
    def write() -> None:
        with open(path + ".new", "wb") as file:
            file.write(b"7" * SIZE)
        before = os.stat(path)
        os.utime(path + ".new", ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(path + ".new", path)

    return write


@pytest.mark.parametrize("way", [other_map, new_map, written, times_put_back, another_process, another_file])
def test_a_file_is_read_again_when_it_was_written_to(path: str, way: Any, reads: list[str]) -> None:
    mapped = np.memmap(path, "u1", "w+", shape=(SIZE,))
    mapped[:] = 3
    known = Proofs()
    write = way(path, mapped)
    first = digest(known, path)
    assert digest(known, path) == first and len(reads) == 1
    write()
    assert digest(known, path) != first
    assert len(reads) == 2
    mapped[9001] = 8
    assert digest(known, path) == digest(Proofs(), path)


def test_a_file_that_was_just_written_to_is_not_known_yet(path: str, reads: list[str]) -> None:
    """What is written next may leave it with the same times."""
    Path(path).write_bytes(bytes(SIZE))
    known = Proofs()
    known._tells[os.stat(path).st_dev] = True
    known.content(path, 0, 100)
    known.content(path, 0, 100)
    assert len(reads) == 2
    time.sleep(proofs.TICK)
    known.content(path, 0, 100)
    known.content(path, 0, 100)
    assert len(reads) == 3


def test_parts_of_a_file_are_told_apart(path: str) -> None:
    Path(path).write_bytes(bytes(SIZE) + b"1" * SIZE)
    known = Proofs()
    parts = [known.content(path, offset, size) for offset, size in ((0, SIZE), (SIZE, SIZE), (0, 2 * SIZE))]
    assert len(set(parts)) == 3
    assert parts == [known.content(path, offset, size) for offset, size in ((0, SIZE), (SIZE, SIZE), (0, 2 * SIZE))]


@pytest.mark.parametrize("told", [{"linux_type": 0}, {"linux_type": 0xEF53, "_tried_out": False}])
def test_a_file_is_always_read_where_its_times_do_not_tell(
    told: dict[str, Any], tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, answer in told.items():
        monkeypatch.setattr(proofs, name, lambda _, answer=answer: answer)
    path, known = str(tmp_path / "data"), Proofs()
    Path(path).write_bytes(bytes(SIZE))
    time.sleep(proofs.TICK)
    assert digest(known, path) == digest(known, path)
    assert len(reads) == 2


def test_memory_does_not_tell() -> None:
    if not (hasattr(os, "O_TMPFILE") and os.path.isdir("/dev/shm")):
        pytest.skip("no file system in memory")
    assert not proofs._tried_out("/dev/shm")


# --- steps ---


def stored(kernel: Kernel, step: int) -> set[str]:
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, step)
    assert meta is not None
    return {row["name"] for row in (*meta.meta["variables"], *meta.meta["lost"])}


def test_a_map_is_read_once_per_change_of_it(tmp_path: Path, path: str, reads: list[str]) -> None:
    kernel = Kernel(tmp_path)
    kernel.cell(f"import numpy\nbig = numpy.memmap({path!r}, 'u1', 'w+', shape=({SIZE},))\nbig[:] = 3")
    kernel.step(1, "z = 1")
    assert len(reads) == 1
    kernel.step(2, "z = 2")
    kernel.step(3, "n = int(big.sum())")
    kernel.cell("m = int(big[0])")
    kernel.step(4, "part = big[10:]")
    assert len(reads) == 1
    kernel.step(5, "big[5] += 1")
    assert len(reads) == 2
    kernel.step(6, "z += 1")
    kernel.cell("big[5] += 1")
    assert len(reads) == 2
    kernel.step(7, "z += 1")
    assert len(reads) == 3
    assert [stored(kernel, step) for step in (2, 3, 5, 6, 7)] == [{"z"}, {"n"}, {"big", "part"}, {"z"}, {"z"}]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("way", ["os.replace(p + '.new', p)", "os.rename(p, p + '.old'); os.rename(p + '.new', p)"])
def test_a_map_of_a_file_that_was_replaced_cannot_be_saved(tmp_path: Path, way: str, mode: str) -> None:
    """The path leads to what another file holds."""
    made = f"import numpy, os\np = {str(tmp_path / 'data')!r}\n"
    (tmp_path / "data").write_bytes(b"1" * SIZE)
    (tmp_path / "data.new").write_bytes(b"2" * SIZE)
    kernel = Kernel(tmp_path)
    kernel.step(1, f"{made}big = numpy.memmap(p, 'u1', {mode!r})")
    kernel.step(2, f"{way}\nz = big[:1]")
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, 2)
    assert meta is not None
    assert {row["name"] for row in meta.meta["lost"]} == {"big", "z"}
    kernel.step(3, f"big = numpy.memmap(p, 'u1', {mode!r})\nz = big[:1]")
    again = Kernel(tmp_path, "end")
    again.step(3, f"big = numpy.memmap(p, 'u1', {mode!r})\nz = big[:1]")
    assert again.names["z"][0] == ord("2")


def test_a_private_map_is_not_read_while_its_pages_come_from_the_file(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if pages._Kernel.found() is None:
        pytest.skip("this kernel does not tell")
    usual = memmaps._content

    def counted(array: Any) -> str:
        reads.append("memory")
        return usual(array)

    monkeypatch.setattr(memmaps, "_content", counted)
    (tmp_path / "data").write_bytes(b"1" * SIZE)
    kernel = Kernel(tmp_path)
    kernel.step(1, f"import numpy\nbig = numpy.memmap({str(tmp_path / 'data')!r}, 'u1', 'c')")
    kernel.step(2, "n = int(big.sum())")
    kernel.step(3, "z = big[10:]")
    assert reads == []
    kernel.step(4, "z[5] = ord('1')")
    assert stored(kernel, 4) == set()
    assert "memory" in reads
    kernel.step(5, "z[5] = 7")
    meta = kernel.session.open(kernel.plan.key, 5) if kernel.plan is not None else None
    assert meta is not None
    assert {row["name"] for row in meta.meta["lost"]} == {"big", "z"}
