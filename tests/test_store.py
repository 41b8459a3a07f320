from __future__ import annotations

import errno
import io
import os
import pickle
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from ckpt_magic.errors import StoreError, UsageError
from ckpt_magic.files import store as store_module
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.store import Store, check_name
from tests.making import load, new_hash, save, some_keyring, write
from tests.work import calls

RUNNING_AS_ROOT = os.geteuid() == 0


def put(data: bytes) -> Callable[[BinaryIO], int]:
    return lambda file: file.write(data)


def raises(error: BaseException) -> Callable[[BinaryIO], int]:
    def write_a_little(file: BinaryIO) -> int:
        file.write(b"half of it")
        raise error

    return write_a_little


class StoreTests:
    """What every store must do. After each test no temporary file may be left."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = Store(tmp_path / "data" / "ckpt")
        yield store
        if store.folder.is_dir():
            assert [name for name in os.listdir(store.folder) if name.endswith(".tmp")] == []

    def test_nothing_is_made_before_the_first_save(self, store: Store) -> None:
        assert store.entries() == []
        assert store.kept() == []
        assert store.pickles() == []
        store.delete([])
        assert not store.folder.parent.exists()

    def test_publishing_returns_what_the_writer_returned(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        assert store.publish(path, put(b"four")) == 4
        assert path.read_bytes() == b"four"
        assert stat.S_IMODE(path.stat().st_mode) == 0o400

    def test_publishing_replaces_the_file_and_does_not_write_to_it(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        store.publish(path, put(b"old"))
        with path.open("rb") as old:
            store.publish(path, put(b"new"))
            assert old.read() == b"old"
        assert path.read_bytes() == b"new"
        assert [entry.path for entry in store.entries()] == [path]

    @pytest.mark.parametrize(
        "error",
        [ValueError("a value"), KeyboardInterrupt(), MemoryError(), SystemExit(3), FileNotFoundError(2, "a file")],
    )
    def test_an_error_while_writing_leaves_the_earlier_file_whole(self, store: Store, error: BaseException) -> None:
        """What a value's own reducer raises passes as it is: it says nothing about the folder."""
        path = store.path("m", 1, 1)
        store.publish(path, put(b"old"))
        with pytest.raises(type(error)) as caught:
            store.publish(path, raises(error), keep=True)
        assert caught.value is error
        assert path.read_bytes() == b"old"
        assert store.kept() == []

    def test_the_earlier_file_can_be_kept(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        store.publish(path, put(b"0"), keep=True)
        assert store.kept() == []
        for number in range(1, 13):
            store.publish(path, put(str(number).encode()), keep=True)
        assert sorted(int(kept.read_bytes()) for kept in store.kept()) == list(range(12))
        assert path.read_bytes() == b"12"
        assert [entry.path for entry in store.entries()] == [path]

    def test_keeping_works_without_hard_links(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOTSUP, "no hard links")

        monkeypatch.setattr(os, "link", refuse)
        path = store.path("m", 1, 1)
        for text in (b"0", b"1", b"2"):
            store.publish(path, put(text), keep=True)
        assert sorted(kept.read_bytes() for kept in store.kept()) == [b"0", b"1"]
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            with pytest.raises(StoreError):
                store.publish(path, put(b"3"), keep=True)
        assert path.read_bytes() == b"2"
        assert len(store.kept()) == 2
        store.set_aside(path, "bad")
        assert len(store.kept()) == 3

    def test_setting_aside_takes_the_file_out_of_the_listing(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        found = []
        for suffix in ("bad", "kept", "bad"):
            store.publish(path, put(suffix.encode()))
            found.append(store.set_aside(path, suffix))
        assert not path.exists()
        assert store.entries() == []
        assert store.pickles() == []
        assert sorted(store.kept()) == sorted(found)
        assert [name.read_bytes() for name in found] == [b"bad", b"kept", b"bad"]
        assert found[0].name.startswith("m-v1-step1.pkl.bad-2")
        with pytest.raises(StoreError, match="gone"):
            store.set_aside(path, "bad")

    def test_listing_is_in_the_order_of_the_steps(self, store: Store) -> None:
        for name, version, step in [("m", 10, 2), ("m", 9, 10), ("m", 9, 9), ("m", 9, 0), ("a", "base.line", 3)]:
            store.publish(store.path(name, version, step), put(b""))
        found = [(entry.name, entry.version, entry.step) for entry in store.entries()]
        assert found == [("a", "base.line", 3), ("m", "9", 0), ("m", "9", 9), ("m", "9", 10), ("m", "10", 2)]
        assert [entry.step for entry in store.entries("m", 9)] == [0, 9, 10]
        assert [entry.version for entry in store.entries("m")] == ["9", "9", "9", "10"]
        assert store.entries("nobody") == []

    def test_what_is_no_checkpoint_is_not_listed(self, store: Store) -> None:
        store.publish(store.path("m", 1, 1), put(b""))
        for name in [
            "m-v1-step01.pkl",
            "m-v1-step.pkl",
            "m-step1.pkl",
            "-v1-step1.pkl",
            "notes.txt",
            "m-v1-step1.pkl~",
        ]:
            (store.folder / name).touch()
        (store.folder / "m-v1-step2.pkl").mkdir()
        (store.folder / "m-v1-step3.pkl").symlink_to("m-v1-step1.pkl")
        assert [entry.step for entry in store.entries()] == [1]

    def test_deleting_what_is_gone_is_no_error(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        store.publish(path, put(b""))
        store.delete([path, path, store.path("m", 1, 2)])
        assert store.entries() == []

    def test_nothing_outside_the_folder_is_touched(self, store: Store, tmp_path: Path) -> None:
        outside = tmp_path / "m-v1-step1.pkl"
        outside.write_bytes(b"precious")
        store.create()
        with pytest.raises(UsageError):
            store.publish(outside, put(b"x"))
        with pytest.raises(UsageError):
            store.set_aside(outside, "bad")
        with pytest.raises(UsageError):
            store.delete([outside])
        link = store.path("m", 1, 1)
        link.symlink_to(outside)
        with pytest.raises(StoreError, match="symbolic link"):
            store.publish(link, put(b"x"))
        with pytest.raises(StoreError, match="symbolic link"):
            store.set_aside(link, "bad")
        assert outside.read_bytes() == b"precious"
        store.delete([link])
        assert outside.read_bytes() == b"precious"

    def test_threads_that_publish_at_once_leave_one_whole_file(self, store: Store) -> None:
        path = store.path("m", 1, 1)
        texts = [bytes([65 + number]) * 300_000 for number in range(6)]

        def publish(text: bytes) -> None:
            for _ in range(5):
                store.publish(path, put(text), keep=True)

        threads = [threading.Thread(target=publish, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_bytes() in texts
        kept = store.kept()
        assert len(kept) == 29  # each file was kept before it was replaced: none lost, none twice
        assert all(file.read_bytes() in texts for file in kept)


class TestLocalStore(StoreTests):
    """The store of a local folder."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "ckpt")


def left_over(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


@pytest.mark.parametrize("text", ["m", "model-training", "a.b_c-d", "_x", "9", "x" * 100, "my-validation"])
def test_names_that_are_names(text: str) -> None:
    assert check_name(text, "name") == text
    assert check_name(12, "version") == "12"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".x",
        "-x",
        "a/b",
        "a\\b",
        "a b",
        "a\n",
        "é",
        "a\0",
        "x" * 101,
        None,
        True,
        1.5,
        b"m",
        -1,
        "~",
        "a:b",
    ],
)
def test_names_that_are_none(text: Any) -> None:
    with pytest.raises(UsageError, match="version"):
        check_name(text, "version")
    with pytest.raises(ValueError, match="name"):
        Store("x").path(text, 1, 1)


@pytest.mark.parametrize("step", [-1, True, "1", 1.0, 10**9])
def test_a_step_is_a_whole_number(step: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        Store("x").path("m", 1, step)


def test_the_longest_names_fit_the_file_system(store: Store) -> None:
    path = store.path("n" * 100, "v" * 100, 999_999_999)
    store.publish(path, put(b"a"))
    store.publish(path, put(b"b"), keep=True)
    store.publish(path, put(b"c"), keep=True)
    assert [entry.name for entry in store.entries()] == ["n" * 100]


def test_every_time_of_a_file_has_a_date() -> None:
    assert store_module.date_text(0) == "1970-01-01T00:00:00Z"
    assert store_module.date_text(1 << 62) == "9999-12-31T23:59:59Z"
    assert store_module.date_text(-(1 << 62)).endswith("1-01-01T00:00:00Z")


def test_a_url_is_refused() -> None:
    with pytest.raises(UsageError, match="URL"):
        Store("s3://bucket/folder")


def test_folders_that_we_make_are_private_and_ignored_by_git(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir(mode=0o755)
    store = Store(old / "a" / "b")
    store.create()
    store.create()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, old / "a", old / "a" / "b")] == [0o755, 0o700, 0o700]
    assert (old / "a" / "b" / ".gitignore").read_text() == "*\n"
    assert os.listdir(old / "a") == ["b"]


def test_a_folder_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = Store(tmp_path)
    store.publish(store.path("m", 1, 1), put(b""))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert not (tmp_path / ".gitignore").exists()


def test_a_relative_folder_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("a/b"))
    store.publish(store.path("m", 1, 1), put(b"x"))
    assert (tmp_path / "a" / "b" / "m-v1-step1.pkl").read_bytes() == b"x"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "ckpt").touch()
    for folder in (tmp_path / "ckpt", tmp_path / "ckpt" / "below"):
        store = Store(folder)
        with pytest.raises(StoreError, match=str(folder)) as caught:
            store.publish(store.path("m", 1, 1), put(b""))
        assert "there is a file where the folder should be" in str(caught.value)


def test_names_that_look_the_same_are_told_apart_by_their_record(store: Store, tmp_path: Path) -> None:
    """``m-v1``, ``2`` and ``m``, ``1-v2`` have one file name."""
    ring = some_keyring(tmp_path)
    for step, (name, version) in enumerate([("m-v1", "2"), ("m", "1-v2"), ("m-v1", "2")]):
        save(store.path(name, version, step), 1, ring, name=name, version=version, step=step)
    (store.folder / "m-v1-v2-step7.pkl").write_bytes(b"no record")
    found = [(entry.name, entry.version, entry.step) for entry in store.entries()]
    assert found == [("m", "1-v2", 1), ("m-v1", "2", 0), ("m-v1", "2", 2), ("m-v1", "2", 7)]
    assert [entry.step for entry in store.entries("m")] == [1]
    assert [entry.step for entry in store.entries("m", "1-v2")] == [1]
    assert [entry.step for entry in store.entries("m-v1", 2)] == [0, 2, 7]


def test_listing_grows_linearly(store: Store) -> None:
    store.create()

    def work(count: int) -> int:
        for number in range(count):
            (store.folder / f"m-v1-step{number}.pkl").touch()
        assert len(store.entries()) == count
        return calls(store.entries)

    few, many = work(200), work(2_000)
    assert many < 11 * few


def test_a_mapped_array_survives_the_replacing_and_the_deleting_of_its_file(store: Store, tmp_path: Path) -> None:
    ring = some_keyring(tmp_path)
    path = save(store.path("m", 1, 1), {"a": np.arange(500_000)}, ring)
    stored = open_checkpoint(path, ring)
    array = load(stored)["a"]
    save(path, {"a": 2}, ring)
    store.delete([path])
    np.testing.assert_array_equal(array, np.arange(500_000))


def test_a_full_disk_is_said_and_leaves_the_earlier_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.path("m", 1, 1)
    store.publish(path, put(b"old"))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(StoreError) as caught:
                store.publish(path, put(b"new"), keep=True)
        assert str(caught.value).startswith(f"{path}: ")
        assert "the disk is full; free some space (%ckpt_clear) or choose another --folder" in str(caught.value)
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == b"old"
        assert store.kept() == []
        assert left_over(store.folder) == []


def test_a_small_real_disk_that_fills_up(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"not run, a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        ring = some_keyring(tmp_path)
        store = Store(folder / "ckpt")
        path = save(store.path("m", 1, 1), {"a": np.arange(50_000)}, ring)
        for value in ({"a": np.zeros(1 << 18)}, {"a": b"x" * (2 << 20)}, {"a": list(range(600_000))}):
            with pytest.raises(StoreError, match="the disk is full"):
                save(path, value, ring)
            assert load(open_checkpoint(path, ring))["a"][-1] == 49_999
            assert left_over(store.folder) == []
        save(path, {"a": 3}, ring)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_larger_than_the_limit_is_said(store: Store, tmp_path: Path) -> None:
    ring = some_keyring(tmp_path)
    path = save(store.path("m", 1, 1), {"a": 1}, ring)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(StoreError, match="ulimit -f"):
            save(path, {"a": np.zeros(1 << 16)}, ring)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load(open_checkpoint(path, ring)) == {"a": 1}
    assert left_over(store.folder) == []


@pytest.mark.skipif(RUNNING_AS_ROOT, reason="not run: root may write everywhere")
def test_a_read_only_folder_is_said(store: Store) -> None:
    store.publish(store.path("m", 1, 1), put(b"old"))
    store.folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="make the folder writable or choose another --folder"):
            store.publish(store.path("m", 1, 1), put(b"new"))
    finally:
        store.folder.chmod(0o700)


def test_a_read_only_file_system_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"not run, a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        ring = some_keyring(tmp_path)
        path = save(folder / "m-v1-step1.pkl", {"a": np.arange(20_000)}, ring)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(StoreError, match="the file system is read-only"):
            save(path, 1, ring)
        assert load(open_checkpoint(path, ring))["a"][-1] == 19_999
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_folder_deleted_while_writing_is_said(store: Store) -> None:
    def delete_it(file: BinaryIO) -> int:
        shutil.rmtree(store.folder)
        return file.write(b"x")

    with pytest.raises(StoreError, match="is gone"):
        store.publish(store.path("m", 1, 1), delete_it)
    store.publish(store.path("m", 1, 1), put(b"x"))


def test_an_interrupt_at_the_last_moment_leaves_the_earlier_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.path("m", 1, 1)
    store.publish(path, put(b"old"))

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("fsync", "fchmod", "replace", "link"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.publish(path, put(b"new"), keep=True)
        assert path.read_bytes() == b"old"
        assert store.kept() == []
        assert left_over(store.folder) == []


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    original = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    store.publish(store.path("m", 1, 1), put(b"x"))


def test_a_folder_that_fails_to_sync_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with pytest.raises(StoreError, match="may not survive a power failure"):
        store.publish(store.path("m", 1, 1), put(b"x"))
    assert store.path("m", 1, 1).read_bytes() == b"x"


# Locks and dead processes.


def test_a_second_process_waits_for_the_lock_and_gets_it_when_the_first_dies(store: Store, tmp_path: Path) -> None:
    store.publish(store.path("m", 1, 1), put(b"old"))
    program = f"""
import time
from pathlib import Path
from ckpt_magic.files.store import Store
store = Store(Path({str(store.folder)!r}))
with store._locked(store.path("m", 1, 1)):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        store.publish(store.path("other", 1, 1), put(b"x"))  # another pipeline does not wait
        assert holder.poll() is None
        threading.Timer(0.2, holder.kill).start()
        store.publish(store.path("m", 1, 1), put(b"new"))
        holder.wait(10)
        assert holder.returncode == -signal.SIGKILL
    assert store.path("m", 1, 1).read_bytes() == b"new"


def test_a_lock_that_is_never_let_go_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_LOCK_SECONDS", 0.05)
    path = store.path("m", 1, 1)
    store.publish(path, put(b"old"))
    with store._locked(path), pytest.raises(StoreError, match="another process holds the lock"):
        store.publish(path, put(b"new"))
    assert path.read_bytes() == b"old"
    assert left_over(store.folder) == []
    store.publish(path, put(b"new"))


def test_publishing_works_where_there_are_no_locks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "is_alive", lambda pid: False)
        (dead := temporary_of(store, 123)).write_bytes(b"x")
        store.publish(store.path("m", 1, 1), put(b"x"))
    assert not dead.exists()
    store.publish(store.path("m", 1, 1), put(b"y"), keep=True)
    assert store.path("m", 1, 1).read_bytes() == b"y"


def test_publishing_works_where_there_is_no_fcntl(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "fcntl", None)
    store.publish(store.path("m", 1, 1), put(b"x"))
    store.publish(store.path("m", 1, 1), put(b"y"), keep=True)
    assert len(store.kept()) == 1


def temporary_of(store: Store, pid: int, host: str | None = None) -> Path:
    store.create()
    return store.folder / f".ckpt-{host or store_module._host()}-{pid}-{random.randrange(1 << 32):08x}.tmp"


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_temporary_files_of_dead_processes_are_swept(store: Store) -> None:
    long_ago = (time.time() - 2 * 86_400,) * 2
    cases = {
        "dead": (temporary_of(store, dead_pid()), None, True),
        "living": (temporary_of(store, os.getpid()), None, False),
        "a restarted container's, with our number": (temporary_of(store, os.getpid()), (time.time() - 100,) * 2, True),
        "another machine's": (temporary_of(store, dead_pid(), "0" * 8), None, False),
        "another machine's, old": (temporary_of(store, os.getpid(), "0" * 8), long_ago, True),
        "not ours": (store.folder / "my.tmp", long_ago, False),
    }
    for path, times, _ in cases.values():
        path.write_bytes(b"x")
        if times:
            os.utime(path, times)
    store.publish(store.path("m", 1, 1), put(b""))
    for what, (path, _, swept) in cases.items():
        assert path.exists() != swept, what


def test_a_temporary_file_being_written_is_never_swept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if its process looks dead from here, as one in another container does, or the clock jumped."""
    monkeypatch.setattr(store_module, "is_alive", lambda pid: False)

    def publish_another(file: BinaryIO) -> int:
        (mine,) = (store.folder / name for name in left_over(store.folder))
        os.utime(mine, (1, 1))
        store.publish(store.path("m", 1, 2), put(b"second"))
        return file.write(b"first")

    store.publish(store.path("m", 1, 1), publish_another)
    assert store.path("m", 1, 1).read_bytes() == b"first"


KILLED = """
import sys
from pathlib import Path
import numpy as np
from ckpt_magic.files.store import Store
from tests.making import save, some_keyring
folder, keys = map(Path, sys.argv[1:])
ring = some_keyring(keys)
store = Store(folder)
print("ready", flush=True)
number = 0
while True:
    number += 1
    save(store.path("m", 1, 1), {"number": number, "a": np.full(200_000, number), "list": [number] * 50_000}, ring)
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(store: Store, tmp_path: Path) -> None:
    chance = random.Random(3)
    ring = some_keyring(tmp_path)
    path = save(store.path("m", 1, 1), {"number": 0, "a": np.zeros(10), "list": [0]}, ring)
    left = 0
    for _ in range(24):
        command: list[Any] = [sys.executable, "-c", KILLED, store.folder, tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        left += bool(left_over(store.folder))
        stored = open_checkpoint(path, ring)
        found = load(stored)
        assert set(found["list"]) == {found["number"]}
        assert set(found["a"]) == {found["number"]}
        assert stored.check(new_hash) == []
    assert left  # else no kill hit a save, and nothing was shown
    save(path, 1, ring)
    assert left_over(store.folder) == []


def test_two_processes_that_save_one_step_never_tear_a_file(store: Store, tmp_path: Path) -> None:
    ring = some_keyring(tmp_path)
    path = save(store.path("m", 1, 1), {"number": 0, "a": np.zeros(10), "list": [0]}, ring)
    command: list[Any] = [sys.executable, "-c", KILLED, store.folder, tmp_path]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) for _ in range(2)]
    try:
        for process in writers:
            assert process.stdout is not None
            process.stdout.readline()
        for _ in range(200):
            try:
                found = load(open_checkpoint(path, ring))
            except StoreError as error:
                assert "replaced" in str(error)  # noqa: PT017  # both outcomes are right
                continue
            assert set(found["list"]) == set(found["a"]) == {found["number"]}
    finally:
        for process in writers:
            process.kill()
            process.communicate()


def test_the_file_given_out_is_unbuffered_and_can_be_read_back(store: Store) -> None:
    def write_and_read(file: BinaryIO) -> bytes:
        assert isinstance(file, io.RawIOBase)
        file.write(b"hello")
        file.seek(0)
        return file.read()

    assert store.publish(store.path("m", 1, 1), write_and_read) == b"hello"


def test_a_checkpoint_is_published_whole_by_way_of_the_store(store: Store, tmp_path: Path) -> None:
    ring = some_keyring(tmp_path)
    path = store.path("m", 1, 1)
    store.publish(path, lambda file: write(file, {"x": 1}, ring, []))
    with path.open("rb") as file:
        assert pickle.load(file) == {"x": 1}


def test_steps_below_are_those_that_a_listing_gives(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("p-v1-step1", "p-v1-step4", "p-v1-step9", "p-v1-step400", "p-v2-step2", "q-v1-step2", "p-v1-x-step3"):
        (tmp_path / f"{name}.pkl").write_bytes(b"")
    (tmp_path / "p-v1-step5.pkl").mkdir()
    (tmp_path / "p-v1-step6.pkl").symlink_to(tmp_path / "p-v1-step1.pkl")
    assert store.steps_below("p", "1", 9) == [1, 4]
    assert store.steps_below("p", "1", 10**8) == [1, 4, 9, 400]
    assert store.steps_below("p", "1", 0) == []
    assert Store(tmp_path / "none").steps_below("p", "1", 5) == []
    (tmp_path / "m-v1-v2-step1.pkl").write_bytes(b"")
    assert store.steps_below("m-v1", "2", 5) == [1]
    assert store.steps_below("m", "1-v2", 5) == []
