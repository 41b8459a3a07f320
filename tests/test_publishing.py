"""Drafts that are published in the background: who waits for them, and what is left when the process ends first."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import StoreError
from ckpt_magic.files.publishing import Publisher
from ckpt_magic.files.store import Draft, Store


class SlowDisk:
    """`os.fsync` of files waits here until `go` is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.error: OSError | None = None
        self.syncs = threading.Semaphore(0)
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self._wait)

    def _wait(self, descriptor: int) -> None:
        self.syncs.release()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        self._fsync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    slow = SlowDisk(monkeypatch)
    yield slow
    slow.go.set()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    assert made.wait(timeout=20)
    made.guard()
    for publishing in made._failed:
        publishing.is_told = True


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "ckpt")


def draft(store: Store, text: bytes, step: int = 1) -> Draft:
    return store.write(store.path("m", 1, step), lambda file: file.write(text))[0]


def left(store: Store) -> list[str]:
    return [name for name in os.listdir(store.folder) if name.endswith(".tmp") or "kept" in name]


def test_the_earlier_file_stays_until_the_new_one_is_on_the_disk(
    store: Store, publisher: Publisher, disk: SlowDisk
) -> None:
    path = store.path("m", 1, 1)
    disk.go.set()
    store.publish(path, lambda file: file.write(b"old"))
    disk.go.clear()
    publishing = publisher.submit(draft(store, b"new"))
    second = publisher.submit(draft(store, b"second", 2))
    assert publisher.pending(store.folder) == [publishing, second]
    assert publisher.pending(path) == [publishing]
    assert publisher.wait(store.folder.parent)  # nothing is on its way there
    assert not publisher.wait(path, timeout=0.01)
    assert publisher.pending(path) == [publishing]
    assert path.read_bytes() == b"old"
    disk.go.set()
    assert publisher.wait(path)
    assert publishing.is_over
    assert publishing.error is None
    assert path.read_bytes() == b"new"
    assert publisher.wait()
    assert store.path("m", 1, 2).read_bytes() == b"second"
    assert left(store) == []


def test_the_thread_ends_with_the_work_and_comes_back_with_it(store: Store, publisher: Publisher) -> None:
    for text in (b"1", b"2"):
        publisher.submit(draft(store, text))
        publisher.wait()
        for thread in threading.enumerate():
            if thread.name == "ckpt_magic publishing":
                thread.join(5)
        assert "ckpt_magic publishing" not in {thread.name for thread in threading.enumerate()}
    assert store.path("m", 1, 1).read_bytes() == b"2"


def test_a_draft_that_cannot_be_published_is_given_up_and_the_next_one_is_not(
    store: Store, publisher: Publisher, disk: SlowDisk
) -> None:
    disk.error = OSError(errno.ENOSPC, "full")
    failed = publisher.submit(draft(store, b"one"))
    refused = publisher.submit(draft(store, b"two", 2), refuse)
    assert disk.syncs.acquire(timeout=20)
    disk.go.set()
    publisher.wait(failed.path)
    disk.error = None
    third = publisher.submit(draft(store, b"three", 3))
    publisher.wait()
    assert "the disk is full" in str(failed.error)
    assert str(refused.error) == "no"
    assert third.error is None
    assert [entry.step for entry in store.entries()] == [3]
    assert left(store) == []


def refuse() -> None:
    raise StoreError("no")


def test_waiting_is_told_each_second(
    store: Store, publisher: Publisher, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckpt_magic.files.publishing._BEAT", 0.01)
    publisher.submit(draft(store, b"x"))
    told: list[int] = []

    def tell() -> None:
        told.append(len(publisher.pending()))
        if len(told) == 3:
            disk.go.set()

    assert publisher.wait(told=tell)
    assert told[:3] == [1, 1, 1]


def test_an_interrupt_of_the_wait_leaves_the_draft_on_its_way(
    store: Store, publisher: Publisher, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckpt_magic.files.publishing._BEAT", 0.01)

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    publishing = publisher.submit(draft(store, b"x"))
    with pytest.raises(KeyboardInterrupt):
        publisher.wait(told=interrupt)
    assert publisher.pending() == [publishing]
    disk.go.set()
    assert publisher.wait()
    assert publishing.path.read_bytes() == b"x"


def test_a_forked_child_has_nothing_to_wait_for_and_lets_go_of_its_parents_lock(
    store: Store, publisher: Publisher, disk: SlowDisk
) -> None:
    """The fork happens while another thread holds the lock of the queue, which the child can never get."""
    import fcntl

    publisher.submit(draft(store, b"x"))
    assert disk.syncs.acquire(timeout=20)
    (temporary,) = store.folder.glob(".ckpt-*.tmp")
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with publisher._changed:
            held.set()
            over.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(20)
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            assert publisher.pending() == [] and publisher.wait()
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            with temporary.open("rb") as mine, pytest.raises(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the parent's
            disk.go.set()
            publisher.submit(draft(store, b"child's", 2))
            assert publisher.wait()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    over.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.path("m", 1, 2).read_bytes() == b"child's"
    assert not store.path("m", 1, 1).exists()
    assert len(publisher.pending()) == 1


# --- the end of the process ---

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
fsync = os.fsync
def slow(descriptor):
    os.write(1, b"syncing\\n")
    time.sleep({seconds})
    {then}
    fsync(descriptor)
os.fsync = slow
store = Store(Path({folder!r}))
for step in (1, 2):
    publisher().submit(store.write(store.path("m", 1, step), lambda file: file.write(b"new"))[0])
os.write(1, b"submitted\\n")
{last}
"""


# in small pieces: a signal that comes right before a sleep is noticed by Python after it
WAITS = "for _ in range(600): time.sleep(0.1)"


def run(store: Store, last: str, *, seconds: float = 0.1, then: str = "") -> subprocess.Popen[str]:
    """A process that publishes steps 1 and 2; it is back when step 1 waits for the disk."""
    for step in (1, 2):
        store.publish(store.path("m", 1, step), lambda file: file.write(b"old"))
    program = PROGRAM.format(folder=str(store.folder), last=last, seconds=seconds, then=then)
    started = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert {started.stdout.readline() for _ in range(2)} == {"syncing\n", "submitted\n"}
    return started


def contents(store: Store) -> list[bytes]:
    return [store.path("m", 1, step).read_bytes() for step in (1, 2)]


@pytest.mark.parametrize("last", ["", "sys.exit(3)", "raise ValueError", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_a_process_that_ends_publishes_first(store: Store, last: str) -> None:
    with run(store, last) as process:
        process.communicate(timeout=30)
    assert process.returncode in (0, 1, 3, -signal.SIGTERM)
    assert contents(store) == [b"new", b"new"]
    assert left(store) == []


def test_a_process_that_is_killed_leaves_the_earlier_files(store: Store) -> None:
    with run(store, WAITS, seconds=60) as process:
        process.kill()
        process.communicate(timeout=30)
    assert contents(store) == [b"old", b"old"]
    store.publish(store.path("m", 1, 3), lambda file: file.write(b"x"))
    assert left(store) == []


def test_a_process_told_to_end_and_then_killed_has_its_files_in_place_and_kept_the_earlier_ones(store: Store) -> None:
    """As kernels are ended: a request, SIGTERM, and soon SIGKILL, however long the disk takes."""
    with run(store, WAITS, seconds=60) as process:
        process.terminate()
        wait_until(lambda: contents(store) == [b"new", b"new"])
        process.kill()
        process.communicate(timeout=30)
    assert contents(store) == [b"new", b"new"]
    assert [path.read_bytes() for path in store.kept()] == [b"old", b"old"]


def test_what_was_put_in_place_in_a_hurry_and_did_not_get_to_the_disk_gives_the_earlier_file_its_place(
    store: Store,
) -> None:
    """After a signal to terminate a failure can only be said on stderr."""
    with run(store, WAITS, seconds=1, then="raise OSError(5, 'broken')") as process:
        process.terminate()
        wait_until(lambda: contents(store)[0] == b"new")
        _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert contents(store) == [b"old", b"old"]
    assert said.count("not saved") == 2 and "the disk reports an error" in said
    assert left(store) == []


def wait_until(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_sigterm_is_as_ever_when_nothing_is_on_its_way_and_where_the_program_has_a_handler(
    store: Store, publisher: Publisher, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        publisher.submit(draft(store, b"x"))
        assert signal.getsignal(signal.SIGTERM) == publisher._terminated
        disk.go.set()
        publisher.wait()
        publisher.guard()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        mine = lambda *_: None
        signal.signal(signal.SIGTERM, mine)
        publisher.submit(draft(store, b"x"))
        publisher.guard()
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_where_no_thread_can_be_had_the_draft_is_published_at_once(
    store: Store, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert publisher.submit(draft(store, b"x")).is_over
    assert store.path("m", 1, 1).read_bytes() == b"x"
