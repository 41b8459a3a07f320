"""What can happen to the folder of a step, before and during it: the values stay, the message tells, nothing is left.

What needs root, a mount or another user runs where that is allowed; else the summary says `not run`.
"""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from ckpt_magic.errors import CheckpointError, CheckpointWarning, StoreError
from ckpt_magic.faces import status, trusting
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.stored import Outputs
from tests.kernels import Kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: it takes fork, mounts and modes")
FILL = """
try:
    for number in range(9):
        with open(f"{disk}/{{number}}", "wb") as file:
            file.write(bytes(200_000))
except OSError:
    pass
del file, number
"""
BODY = "n = {}\nimport numpy\narray = numpy.full(50_000, n)\nshare = [array]"


def saved(folder: Path, number: int, then: str = "") -> Kernel:
    """A kernel that ran the step; `then` is the end of its cell."""
    kernel = Kernel(folder)
    kernel.step(1, f"{BODY.format(number)}\n{then}")
    return kernel


def not_saved(folder: Path, then: str = "") -> str:
    """Run the step, which cannot be saved; return what was said of it. The values are those of the step."""
    with pytest.warns(CheckpointWarning) as warned:
        kernel = saved(folder, 1, then)
    assert kernel.names["n"] == kernel.names["array"][-1] == 1
    assert kernel.names["share"][0] is kernel.names["array"]
    (one,) = warned
    return str(one.message)


def restored(folder: Path) -> int:
    """What a new kernel restores."""
    kernel = Kernel(folder, "end")
    facts = kernel.step(1, "n = 'ran again'")
    assert facts["action"] == "restored", facts
    assert (kernel.names["array"] == kernel.names["n"]).all()
    number = kernel.names["n"]
    assert isinstance(number, int)
    return number


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".ckpt-")]


# -- during the cell ------------------------------------------------------------------------------------------------


def test_a_folder_deleted_during_the_cell_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "ck"
    saved(folder, 0)
    saved(folder, 1, f"import shutil\nshutil.rmtree({str(folder)!r})\ndel shutil")
    assert restored(folder) == 1
    assert (folder / ".gitignore").exists()


def test_a_folder_that_became_a_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "ck"
    saved(folder, 0)
    text = not_saved(
        folder, f"import os\nos.rename({str(folder)!r}, {str(tmp_path / 'away')!r})\nos.mknod({str(folder)!r})"
    )
    assert f"{folder}: " in text
    assert "there is a file where the folder should be; remove it or choose another --folder" in text
    assert restored(tmp_path / "away") == 0
    folder.unlink()
    saved(folder, 2)
    assert restored(folder) == 2


def test_a_folder_may_be_a_link_and_become_one(tmp_path: Path) -> None:
    """Whoever may replace the folder may do all; only in the folder no link is followed."""
    folder, behind = tmp_path / "ck", tmp_path / "behind"
    behind.mkdir()
    (tmp_path / "link").symlink_to(behind)
    saved(tmp_path / "link", 0)
    assert restored(behind) == restored(tmp_path / "link") == 0
    saved(folder, 0)
    saved(
        folder,
        1,
        f"import os\nos.rename({str(folder)!r}, {str(tmp_path / 'away')!r})\nos.symlink('behind', {str(folder)!r})",
    )
    assert (restored(behind), restored(tmp_path / "away")) == (1, 0)
    assert left(behind) == []


@pytest.mark.parametrize("how", ["symlink", "folder", "full folder"])
def test_what_came_to_lie_in_the_place_of_the_file_is_named_and_left_alone(tmp_path: Path, how: str) -> None:
    folder, precious = tmp_path / "ck", tmp_path / "precious"
    precious.write_text("years of work")
    path = folder / "p-v1-step1.pkl"
    then = {
        "symlink": f"os.symlink({str(precious)!r}, {str(path)!r})",
        "folder": f"os.mkdir({str(path)!r})",
        "full folder": f"os.mkdir({str(path)!r})\nos.mkdir({str(path / 'inner')!r})",
    }
    saved(folder, 0, f"import os\nos.makedirs({str(folder)!r}, exist_ok=True)")
    text = not_saved(folder, f"import os\nos.remove({str(path)!r})\n{then[how]}")
    assert f"{path}: " in text or f"{path} is" in text
    assert precious.read_text() == "years of work"
    assert path.is_symlink() or path.is_dir()
    assert left(folder) == []


def test_a_folder_that_is_gone_between_write_and_publish_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "ck")
    for swap in (False, True):
        draft, _ = store.write(store.path("p", 1, 1), lambda file: file.write(b"new"))
        store.folder.rename(tmp_path / f"away{swap}")
        if swap:  # another folder of that name: what lies there is not ours
            store.folder.mkdir()
        with pytest.raises(StoreError, match="the folder or the file is gone; save again"):
            draft.publish()
        assert not swap or os.listdir(store.folder) in ([], [".p.lock"])


def test_a_child_of_a_process_that_is_publishing_touches_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as any process does, and saves a step of its own, which sweeps the folder."""
    folder, go, real = tmp_path / "ck", threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        assert go.wait(20)
        real(descriptor)

    saved(folder, 0)
    kernel = Kernel(folder)
    kernel.session.sync = False
    monkeypatch.setattr(os, "fsync", slow)
    kernel.step(1, BODY.format(1))
    (temporary,) = left(folder)
    os.utime(folder / temporary, (0, 0))  # old enough to be swept, were its writer dead
    child = os.fork()
    if child == 0:
        try:
            monkeypatch.undo()
            publisher()._at_exit()
            Kernel(folder).step(2, "m = 2")
            publisher()._at_exit()
        finally:
            os._exit(0 if left(folder) == [temporary] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with (folder / "p-v1-step1.pkl").open("rb") as file:
        assert pickle.load(file)["n"] == 0
    go.set()
    publisher().wait()
    assert restored(folder) == 1
    assert left(folder) == []


# -- what is no file of ours ------------------------------------------------------------------------------------------


@contextmanager
def in_the_place(path: Path, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "symlink":
        path.symlink_to("/etc/passwd")
    elif what == "symlink to itself":
        path.symlink_to(path.name)
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which has no end
        except PermissionError:
            pytest.skip("not run: only root makes devices")
    yield


@pytest.mark.parametrize("what", ["pipe", "folder", "symlink", "symlink to itself", "device"])
def test_what_is_no_file_is_a_named_error_and_never_waited_for(tmp_path: Path, what: str) -> None:
    folder, ring = tmp_path / "ck", load_keyring()
    path = folder / "p-v1-step1.pkl"
    with in_the_place(path, what):
        assert Store(folder).entries() == [] == Store(folder).pickles()
        assert list(Outputs(folder, "p", 1, keyring=ring)) == []
        assert list(status.rows(Store(folder), ring)) == []
        looks: list[Callable[[], object]] = [
            lambda: Kernel(folder, "end").step(1, "n = 1"),
            lambda: Kernel(folder).step(1, "n = 1"),
        ]
        if what != "folder":
            looks.append(lambda: trusting.trust_path(path, ring, {}, yes=True))
        for look in looks:
            with pytest.raises(StoreError, match=str(path)):
                look()
        assert left(folder) == []


# -- limits -----------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"not run, a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # maps of its files may be alive


@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=6"])
def test_a_full_disk_costs_no_result(tmp_path: Path, options: str) -> None:
    """Full of bytes, or of files."""
    with small_disk(tmp_path / "disk", options) as disk:
        folder = disk / "ck"
        saved(folder, 0)
        text = not_saved(folder, FILL.format(disk=disk))
        assert (
            str(folder) in text and "the disk is full; free some space (%ckpt_clear) or choose another --folder" in text
        )
        assert restored(folder) == 0
        assert left(folder) == []
        for path in disk.glob("?"):
            path.unlink()
        saved(folder, 2)
        assert restored(folder) == 2


def as_nobody(act: Callable[[], object]) -> str:
    """Do something in a forked process of a user without rights; what it said."""
    if os.geteuid() != 0:
        pytest.skip("not run: only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        text = ""
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.environ["XDG_DATA_HOME"] = "/nonexistent"  # the keys of the tests are not for this one
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                act()
            text = "\n".join(str(one.message) for one in warned)
        except CheckpointError as error:
            text = f"{type(error).__name__}: {error}"
        except BaseException:
            text = traceback.format_exc()
        finally:
            os.write(writing, text.encode()[:60_000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (0o555, "the checkpoint cannot be written: permission denied; make the folder writable or choose another"),
        (0o333, "the folder cannot be listed: permission denied; make the folder and the file readable"),
        (0o444, "permission denied; make the folder"),
    ],
)
def test_a_folder_that_may_not_be_written_or_read_is_named(mode: int, what: str) -> None:
    with tempfile.TemporaryDirectory() as top:  # those of pytest are for its user alone
        os.chmod(top, 0o755)
        folder = Path(top) / "ck"
        saved(folder, 0)
        for path in [folder, *folder.iterdir()]:
            os.chown(path, 65534, 65534)
        folder.chmod(mode)
        said = as_nobody(lambda: saved(folder, 1))
        folder.chmod(0o700)
        assert str(folder) in said and what in said, said
        assert "Traceback" not in said
        assert restored(folder) == 0
        assert left(folder) == []


def test_an_immutable_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "ck"
    saved(folder, 0)
    done = subprocess.run(["chattr", "+i", folder], capture_output=True, text=True) if shutil.which("chattr") else None
    if done is None or done.returncode:
        pytest.skip("not run: no folder can be made immutable here")
    try:
        assert "not permitted; make the folder writable or choose another --folder" in not_saved(folder)
        assert restored(folder) == 0
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)
    assert left(folder) == []


def test_a_file_that_may_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        folder = Path(top) / "ck"
        saved(folder, 0)
        folder.chmod(0o755)
        said = as_nobody(lambda: Kernel(folder, "end").step(1, "n = 1"))
        path = folder / "p-v1-step1.pkl"
        assert said == (
            f"StoreError: {path}: the file cannot be opened: permission denied; make the folder and the file readable"
        )


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files set aside repeat, and temporary files come from the future."""
    store, real = Store(tmp_path / "ck"), time.time
    path = store.path("p", 1, 1)
    for number, offset in enumerate((0, -3600, -3600, -7 * 86_400, 86_400)):
        monkeypatch.setattr("ckpt_magic.files.store.time", partial(_moved, real, offset))
        store.publish(path, partial(_write, str(number).encode()), keep=True)
        os.utime(path, (real() + 3 * offset, real() + 3 * offset))
    assert sorted(int(kept.read_bytes()) for kept in store.kept()) == [0, 1, 2, 3]
    assert path.read_bytes() == b"4"
    host = store.folder.joinpath(".ckpt-00000000-1-00000000.tmp")
    mine = host.with_name(f".ckpt-{_host_of(store)}-{os.getpid()}-00000000.tmp")
    for temporary in (host, mine):  # of another machine, and of one that had our number before this one started
        temporary.write_bytes(b"x")
        os.utime(temporary, (real() + 9 * 86_400, real() + 9 * 86_400))
    monkeypatch.setattr("ckpt_magic.files.store.time", lambda: real() - 86_400)
    store.publish(path, lambda file: file.write(b"5"))
    assert left(store.folder) == []


def _moved(real: Callable[[], float], offset: float) -> float:
    return real() + offset


def _write(data: bytes, file: BinaryIO) -> int:
    return file.write(data)


def _host_of(store: Store) -> str:
    draft, _ = store.write(store.path("p", 1, 2), lambda file: file.write(b""))
    (name,) = left(store.folder)
    draft.discard()
    return name.split("-")[1]
