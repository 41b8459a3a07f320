"""Large buffers that are known to be as they were: each proof, and each way in which it must not be believed."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import pickle
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.values import delta, pages
from ckpt_magic.values.pages import Content, Pages

np = pytest.importorskip("numpy")
SIZE = 4 * pages.LARGE


@pytest.fixture
def tracked() -> Pages:
    gc.collect()  # memory that a dead `Pages` still tracks is tracked by no other, and malloc may give it out again
    made = Pages()
    kernel = made._kernel()
    if kernel is None or not kernel.tracks:
        pytest.skip("this kernel tracks no writes")
    return made


def buffer(array: Any) -> pickle.PickleBuffer:
    return pickle.PickleBuffer(array)


def looked_at(known: Pages, array: Any) -> Content:
    """Look at an array and let go of it, as a step does that cannot reach it."""
    content = known.content(buffer(array))
    known.keep([content])
    content.forget()
    return content


def test_what_is_not_written_to_is_the_same_content_and_is_not_read_again(tracked: Pages) -> None:
    array = np.arange(SIZE // 8)
    content = looked_at(tracked, array)
    assert array.sum() > 0
    assert tracked.content(buffer(array)) is content
    assert content.is_read


def test_a_lasting_buffer_is_read_only_where_it_cannot_be_tracked(tracked: Pages) -> None:
    array = np.arange(SIZE // 8)
    for known, is_read in ((tracked, False), (Pages(tracking=False), True)):
        content = known.content(buffer(array))
        known.keep([content], lasting={content.place})
        content.forget()
        assert content.is_read is is_read
        assert content.equals(known.content(buffer(array)))
        array[5] = -1
        assert not content.equals(known.content(buffer(array)))
        array[5] = 5


def test_a_buffer_that_was_made_for_the_look_is_the_same_at_another_place(tracked: Pages) -> None:
    """pandas makes some of its buffers anew each time it is pickled."""
    array = np.arange(SIZE // 8)
    content = looked_at(tracked, array.copy())
    assert content.equals(tracked.content(buffer(array.copy())))


def _by_kernel(array: Any) -> None:
    with Path("/dev/zero").open("rb", buffering=0) as file:
        file.readinto(memoryview(array).cast("B")[pages.LARGE : pages.LARGE + 8])


def _by_thread(array: Any) -> None:
    thread = threading.Thread(target=lambda: array.__setitem__(7, 1))
    thread.start()
    thread.join()


WRITES: dict[str, Callable[[Any], Any]] = {
    "an item": lambda a: a.__setitem__(SIZE // 16, 7),
    "the first byte": lambda a: a.view("u1").__setitem__(0, 7),
    "the last byte": lambda a: a.view("u1").__setitem__(-1, 7),
    "out=": lambda a: np.add(a, 1, out=a),
    "a view of a view": lambda a: a[5:].reshape(-1)[::-1].__setitem__(3, 9),
    "a memoryview": lambda a: memoryview(a).__setitem__(9, -1),
    "an address": lambda a: ctypes.memset(a.ctypes.data + 5000, 7, 1),
    "the kernel": _by_kernel,
    "a thread": _by_thread,
    "an equal value": lambda a: a.__setitem__(9999, a[9999]),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_write_of_any_kind_is_seen(tracked: Pages, how: str) -> None:
    array = np.arange(SIZE // 8)
    content = looked_at(tracked, array)
    WRITES[how](array)
    assert tracked.content(buffer(array)) is not content
    array[:] = np.arange(SIZE // 8)
    again = looked_at(tracked, array)
    WRITES[how](array)
    assert tracked.content(buffer(array)) is not again


def test_a_change_is_found_when_either_side_was_read() -> None:
    known = Pages(tracking=False)
    array = np.zeros(SIZE // 8)
    before = looked_at(known, array)
    same = known.content(buffer(array))
    assert before.equals(same)
    array[5] = 1
    assert not before.equals(known.content(buffer(array)))


def test_a_content_that_nobody_read_equals_only_itself(tracked: Pages) -> None:
    array = np.zeros(SIZE // 8)
    content = tracked.content(buffer(array))
    content.forget()
    later = tracked.content(buffer(array))
    assert not content.equals(later)
    assert content.equals(content)
    assert content.digest() != content.digest()


def test_arming_a_view_does_not_hide_a_write_from_its_base(tracked: Pages) -> None:
    """Protecting pages again wipes out that they were written to."""
    base = np.zeros(SIZE // 8)
    part = base[SIZE // 16 :]
    whole, half = looked_at(tracked, base), looked_at(tracked, part)
    assert tracked.content(buffer(base)) is whole
    part[-1] = 7
    assert tracked.content(buffer(part)) is not half
    looked_at(tracked, part)
    assert tracked.content(buffer(base)) is not whole


def test_memory_that_was_freed_and_is_used_again_is_not_taken_for_the_old(tracked: Pages) -> None:
    places = set()
    for value in range(8):
        array = np.full(SIZE, value, "u1")
        content = tracked.content(buffer(array))
        places.add(content.place)
        assert not content.is_read
        tracked.keep([content])
        assert content.digest() == Content((0, 0), buffer(array)).digest()
        content.forget()
        del array
    assert len(places) < 8, "no address came back, so nothing was tried"


def test_pages_that_were_taken_away_count_as_written(tracked: Pages) -> None:
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"x" * SIZE
    content = looked_at(tracked, memory)
    memory.madvise(mmap.MADV_DONTNEED)
    assert tracked.content(memory) is not content


def test_moved_memory_is_read_again(tracked: Pages) -> None:
    array = np.zeros(SIZE // 8)
    content = looked_at(tracked, array)
    array.resize(SIZE // 4, refcheck=False)
    array.resize(SIZE // 8, refcheck=False)
    found = tracked.content(buffer(array))
    assert found is content or not found.is_read


def test_memory_shared_with_other_processes_is_not_tracked(tracked: Pages) -> None:
    memory = mmap.mmap(-1, SIZE)
    content = looked_at(tracked, memory)
    assert content.is_read
    assert tracked.content(memory) is not content


def test_a_forked_child_believes_nothing_of_its_parent(tracked: Pages) -> None:
    array = np.zeros(SIZE // 8)
    content = looked_at(tracked, array)
    child = os.fork()
    if child == 0:
        os._exit(0 if tracked.content(buffer(array)) is not content else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert tracked.content(buffer(array)) is content
    array[3] = 1
    assert tracked.content(buffer(array)) is not content


def test_what_is_written_again_and_again_is_rather_hashed(tracked: Pages) -> None:
    """The first write to each protected page costs a microsecond."""
    array = np.zeros(SIZE // 8)
    known = []
    for value in range(4):
        array[:] = value
        content = looked_at(tracked, array)
        known.append(tracked.content(buffer(array)) is content)
    assert known == [True, True, False, False]


def test_what_is_tracked_first_and_read_then_is_known_as_well(tracked: Pages) -> None:
    array = np.zeros(SIZE // 8)
    content = tracked.content(buffer(array))
    tracked.track([content])
    digest = content.digest()
    content.forget()
    assert tracked.content(buffer(array)) is content
    assert content.is_read
    array[:] = 1
    written = tracked.content(buffer(array))
    assert written.digest() != digest
    written = tracked.content(buffer(array))
    tracked.track([written])  # it was written to once: the next time it is rather hashed
    assert tracked.content(buffer(array)) is not written


def test_a_map_of_a_file_holds_what_the_file_held_until_it_is_written_to(tmp_path: Path, tracked: Pages) -> None:
    (tmp_path / "file").write_bytes(b"z" * SIZE)
    with (tmp_path / "file").open("rb") as file:
        memory = mmap.mmap(file.fileno(), SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    digest = pages.new_hash(b"z" * SIZE).hexdigest()
    view = memoryview(memory)
    tracked.mapped(memory, [(view, digest, None)])
    content = tracked.content(view)
    assert content.digest().hex() == digest
    assert view[99] == ord("z")
    assert tracked.content(view) is content
    view[SIZE // 2] = 7
    written = looked_at(tracked, view)
    assert written is not content
    assert tracked.content(view) is written  # tracked from here on like any memory of this process
    view[SIZE // 2] = 8
    assert tracked.content(view) is not written


def test_nothing_is_known_of_a_map_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"z" * SIZE)
    known, places = Pages(), []
    for digest in ("00" * 16, None):
        with (tmp_path / "file").open("rb") as file:
            memory = mmap.mmap(file.fileno(), SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        if digest is not None:
            known.mapped(memory, [(memoryview(memory), digest, None)])
        content = known.content(memory)
        places.append(content.place)
        if digest is None and places[0] == places[1]:
            assert content.digest().hex() == pages.new_hash(b"z" * SIZE).hexdigest()
        content.forget()
        del content, memory


def test_without_what_linux_offers_everything_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    known = Pages()
    array = np.zeros(SIZE // 8)
    content = looked_at(known, array)
    assert content.is_read
    assert known.content(buffer(array)) is not content


def test_a_device_that_writes_to_memory_ends_the_tracking(monkeypatch: pytest.MonkeyPatch, tracked: Pages) -> None:
    monkeypatch.setitem(sys.modules, "cupy", pages)
    assert looked_at(tracked, np.zeros(SIZE // 8)).is_read


def test_what_is_gone_is_forgotten(tracked: Pages) -> None:
    array = np.zeros(SIZE // 8)
    content = looked_at(tracked, array)
    tracked.prune({content.place})
    assert tracked.content(buffer(array)) is content
    tracked.prune(set())
    assert tracked.content(buffer(array)) is not content


def test_no_look_begins_where_memory_must_not_be_read() -> None:
    def guard() -> None:
        raise LookupError("the file was cut short")

    class Touched:
        def __reduce__(self) -> Any:
            raise AssertionError

    with pytest.raises(LookupError, match="cut short"):
        delta.look({"a": Touched()}, {}, Pages(guard=guard))
