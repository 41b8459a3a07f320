"""What an earlier checkpoint holds already is shared with it where the file system can, and is never a wrong byte."""

from __future__ import annotations

import ctypes
import io
import itertools
import mmap
import os
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ckpt_magic.errors import CheckpointWarning, StoreError
from ckpt_magic.files import extents
from ckpt_magic.files.extents import BLOCK, Extent, Known, Published
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.payloads import PayloadWriter
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.plan import Outcome, Plan
from ckpt_magic.steps.saving import Saver
from ckpt_magic.values import delta
from ckpt_magic.values import pages as pages_room
from ckpt_magic.values.pages import LARGE, Pages, Stored
from tests import loops
from tests.kernels import Kernel
from tests.making import new_hash

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: files are shared in part on Linux")
MIB = 1 << 20
_MAP_FIXED = 0x10  # of Linux


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture(params=loops.SHARING)
def sharing_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system in a loop file that shares extents."""
    try:
        with loops.mounted(request.param, tmp_path, 400 * MIB) as root:
            yield root
    except loops.NotHereError as why:
        pytest.skip(f"not run: {why}")


def value(folder: Path, step: int, name: str) -> Any:
    with Store(folder).path("p", "1", step).open("rb") as file:
        return pickle.load(file)[name]


def tracked() -> Pages:
    pages = Pages()
    kernel = pages._kernel()
    if kernel is None or not kernel.tracks:
        pytest.skip("not run: this kernel tracks no writes")
    return pages


# --- through steps ---


def test_steps_that_change_a_hundredth_take_the_room_of_a_hundredth(sharing_folder: Path) -> None:
    """In the kernel that made the array, after a restore, and after a save that followed a restore."""
    tracked()
    folder, size = sharing_folder / "ck", 8 * MIB
    part = size // 100
    kernel = Kernel(folder)
    kernel.step(1, f"import numpy\na = numpy.arange({size}.0)")
    before, changed = loops.used(sharing_folder), 0
    for step in range(2, 6):
        first = step * 1_000_003 % (size - part)
        kernel.step(step, f"a[{first} : {first + part}] += {step}")
        changed += 8 * part
    assert loops.used(sharing_folder) - before < 1.2 * changed
    expected = kernel.names["a"].copy()
    again = Kernel(folder, 6)
    for step in range(1, 6):
        assert again.step(step, "...")["action"] == "restored"
    for step in range(6, 8):
        before = loops.used(sharing_folder)
        again.step(step, f"a[{step * 100_000} : {step * 100_000 + part}] = {step}")
        expected[step * 100_000 : step * 100_000 + part] = step
        assert loops.used(sharing_folder) - before < 1.2 * 8 * part
        assert (value(folder, step, "a") == expected).all()
    before = loops.used(sharing_folder)
    again.step(8, "b = a")
    assert loops.used(sharing_folder) - before < MIB // 2
    assert (value(folder, 8, "b") == expected).all()
    Kernel(folder, 9)


def resident(array: Any) -> int:
    """Bytes of the memory of a map that lies under an array, as far as this process has looked at them."""
    address, found = array.ctypes.data, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split()[0] and not line.split()[0].endswith(":"):
                low, high = (int(bound, 16) for bound in line.split()[0].split("-"))
                found = low <= address < high
            elif found and line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise LookupError("the memory is not mapped")


def test_pages_here_and_there_take_the_room_of_what_changed(sharing_folder: Path) -> None:
    """The pages of memory lie across the blocks of the file; the inodes and extents of the file system count too."""
    tracked()
    folder, blocks = sharing_folder / "ck", 8 * MIB // 512
    kernel = Kernel(folder)
    kernel.step(1, f"import numpy\na = numpy.arange({8 * MIB}.0)")
    before = loops.used(sharing_folder)
    kernel.step(2, f"for k in range(7, {blocks}, 100):\n    a[k * 512 : k * 512 + 512] = k")
    assert loops.used(sharing_folder) - before < 1.5 * blocks // 100 * BLOCK
    assert (value(folder, 2, "a") == kernel.names["a"]).all()


@pytest.mark.parametrize("clones", [True, False])
def test_saving_a_mapped_array_again_does_not_read_it_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    if not clones:
        monkeypatch.setattr(extents, "_CLONE_RANGE", 0)
    Kernel(tmp_path).step(1, f"import numpy\na = numpy.arange({4 * MIB})")
    kernel = Kernel(tmp_path, 2)
    kernel.step(1, "...")
    facts = kernel.step(2, "b = a")
    assert facts["action"] == "saved"
    assert resident(kernel.names["a"]) < 2 * MIB
    assert (value(tmp_path, 2, "b") == np.arange(4 * MIB)).all()
    third = Kernel(tmp_path, 3)
    assert third.step(1, "...")["action"] == third.step(2, "b = a")["action"] == "restored"
    assert third.names["b"] is third.names["a"]


def test_what_a_step_made_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is written; the digests of the look are known then, and are those that another kernel finds."""
    tracked()
    read: list[Any] = []
    plain = pages_room._hash

    def hashed(buffer: Any) -> bytes:
        read.append(buffer)
        return plain(buffer)

    monkeypatch.setattr(pages_room, "_hash", hashed)
    kernel = Kernel(tmp_path)
    kernel.step(1, f"import numpy\na = numpy.arange({MIB}.0)\nb = [a[::-1]]")
    assert read == []
    kernel.step(2, "c = a.sum()")
    assert read == []
    groups = [stored_groups(tmp_path)]
    monkeypatch.setattr(pages_room, "_hash", plain)
    monkeypatch.setattr(pages_room._Kernel, "found", classmethod(lambda cls: None))
    Kernel(tmp_path, "none").step(1, f"import numpy\na = numpy.arange({MIB}.0)\nb = [a[::-1]]")
    groups.append(stored_groups(tmp_path))
    assert groups[0] == groups[1]
    assert groups[0].keys() == {"a", "b", "numpy"}


def stored_groups(folder: Path) -> dict[str, str]:
    store = Store(folder)
    return dict(open_checkpoint(store.path("p", "1", 1), load_keyring()).meta["groups"])


def test_what_a_thread_writes_to_between_look_and_save_has_a_digest_that_equals_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked()
    digests, plain = [], Saver.save

    def save(saver: Saver, plan: Plan, outcome: Outcome, found: delta.Delta, *rest: Any) -> dict[str, Any]:
        found.values["a"][7] += 1
        return plain(saver, plan, outcome, found, *rest)

    monkeypatch.setattr(Saver, "save", save)
    for run in range(2):
        kernel = Kernel(tmp_path / str(run))
        kernel.step(1, f"import numpy\na = numpy.arange({MIB}.0)")
        digests.append(stored_groups(tmp_path / str(run))["a"])
        assert value(tmp_path / str(run), 1, "a")[7] == 8
    assert digests[0] != digests[1]


def test_what_could_not_be_saved_is_not_taken_for_changed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is not found by the save; and a buffer that is made for each look lies elsewhere at the next one.

    It is mapped, since memory that the allocator gives again stays with who tracked it first: another test.
    """
    tracked()
    kernel = Kernel(tmp_path)
    kernel.cell(
        "import mmap, numpy\n"
        "class Box:\n"
        "    def __reduce__(self):\n"
        f"        memory = mmap.mmap(-1, {2 * LARGE}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "        return Box, (), {'made': numpy.frombuffer(memory)}"
    )

    def no_room(*arguments: Any, **options: Any) -> None:
        raise StoreError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", no_room)
        with pytest.warns(CheckpointWarning, match="no room"):
            kernel.step(1, "box = Box()")
    kernel.step(2, "one = box")
    store = Store(tmp_path)
    marks = open_checkpoint(store.path("p", "1", 2), load_keyring()).meta["marks"]
    assert marks == []


def test_a_file_that_was_changed_or_replaced_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written in memory is what is saved, whatever became of the earlier file."""
    asked: list[int | None] = []
    reopened = Published.reopened

    def recorded(source: Published) -> int | None:
        asked.append(reopened(source))
        return asked[-1]

    monkeypatch.setattr(Published, "reopened", recorded)
    tracked()
    kernel = Kernel(tmp_path)
    kernel.step(1, f"import numpy\na = numpy.arange({MIB})")
    path = Store(tmp_path).path("p", "1", 1)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"other")
    kernel.step(2, "a[:5] = 1")
    os.replace(Store(tmp_path).path("p", "1", 1), Store(tmp_path).path("p", "1", 2))
    kernel.step(3, "a[:5] = 2")
    Store(tmp_path).path("p", "1", 3).unlink()
    kernel.step(4, "a[:5] = 3")
    assert asked == [None, None, None]
    expected = np.arange(MIB)
    expected[:5] = 3
    assert (value(tmp_path, 4, "a") == expected).all()
    kernel.step(5, "a[:5] = 4")
    assert asked[3] is not None


# --- the parts ---


def test_parts_cover_a_buffer_and_leave_out_what_is_stale() -> None:
    chance = random.Random(5)
    for _ in range(300):
        length = chance.randrange(1, 60 * BLOCK)
        edges = sorted(chance.sample(range(length + 1), min(length + 1, 2 * chance.randrange(5))))
        stale = list(zip(edges[::2], edges[1::2], strict=False))
        equal = {block for block in range(0, length, BLOCK) if chance.randrange(3) == 0}
        found = list(extents.parts(length, stale, equal.__contains__))
        assert [low for low, _, _ in found] == [0, *(high for _, high, _ in found[:-1])]
        assert found[-1][1] == length
        for low, high, same in found:
            if same:
                assert low % BLOCK == high % BLOCK == 0
                assert high - low >= 4 * BLOCK
                for first, last in stale:
                    over = range(max(low, first // BLOCK * BLOCK), min(high, last), BLOCK)
                    assert equal.issuperset(over)
                    assert all(first > block or last < block + BLOCK for block in over)
        assert all(one[2] or other[2] for one, other in itertools.pairwise(found))
    assert list(extents.parts(64 * BLOCK, [])) == [(0, 64 * BLOCK, True)]
    told = list(extents.parts(64 * BLOCK + 9, [(64 * BLOCK + 3, 64 * BLOCK + 9)], lambda at: True))
    assert told == [(0, 64 * BLOCK, True), (64 * BLOCK, 64 * BLOCK + 9, False)]
    told = list(extents.parts(64 * BLOCK, [(100, 30 * BLOCK + 7)], lambda at: at == 30 * BLOCK))
    assert told == [(0, 30 * BLOCK, False), (30 * BLOCK, 64 * BLOCK, True)]


def test_a_buffer_that_changes_while_it_is_written_gets_the_digest_of_what_was_written(tmp_path: Path) -> None:
    array = np.arange(MIB)
    known = Known("00", lambda: False)
    with open(tmp_path / "a", "w+b", buffering=0) as file:
        writer = PayloadWriter(file, new_hash, known=lambda buffer: known)
        pickle.Pickler(cast(Any, writer), 5).dump([array, 7])
        skeleton = writer.finish()
        file.seek(0)
        assert pickle.load(file)[1] == 7
    digest = new_hash()
    digest.update(array.data)
    assert skeleton.rows[0].digest == digest.hexdigest()
    assert known.written_at is None


def test_a_file_in_memory_shares_nothing() -> None:
    array, file = np.arange(MIB), io.BytesIO()
    known = Known("ab", lambda: True, Extent(Published(Path("/nowhere"), (), resident=True), 0))
    writer = PayloadWriter(file, new_hash, known=lambda buffer: known)
    pickle.Pickler(cast(Any, writer), 5).dump(array)
    row = writer.finish().rows[0]
    assert (row.digest, known.written_at) == ("ab", row.offset)
    assert (pickle.loads(file.getvalue()) == array).all()


# --- what is stale ---


def test_what_is_not_stale_is_what_was_stored(tmp_path: Path) -> None:
    """Whatever happens between looks: writes, other arrays over the same memory, memory taken away or used anew."""
    pages, chance = tracked(), random.Random(3)
    size, told = 3 * LARGE, 0
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    whole = np.frombuffer(mmap.mmap(-1, size + 64, private), "u1")

    def anew(seed: int, first: int) -> Any:
        """An array in other memory at the one address: how many parts are told as stored depends on where it lies."""
        place, prot, fixed = ctypes.c_void_p(whole.ctypes.data), mmap.PROT_READ | mmap.PROT_WRITE, private | _MAP_FIXED
        assert ctypes.CDLL(None).mmap(place, ctypes.c_size_t(size + 64), prot, fixed, -1, ctypes.c_long(0)) != -1
        whole[:] = np.random.default_rng(seed).integers(0, 255, size + 64, "u1")
        return whole[first:][:size]

    for seed in range(12):
        array = anew(seed, seed % 3)
        stored: bytes | None = None
        for turn in range(8):
            for _ in range(chance.randrange(4)):
                at = chance.randrange(size)
                match chance.randrange(5):
                    case 0:
                        array[at : at + chance.choice([1, 5000, size])] += 1
                    case 1:
                        look(pages, array[at // 2 : at // 2 + 2 * LARGE])
                    case 2:
                        look(pages, np.ones(size, "u1"))
                    case 3:
                        array[at : at + 300_000 : 4096] ^= 1
                    case 4:
                        pages.content(pickle.PickleBuffer(array))
            content = look(pages, array)
            if content.stored is not None:
                assert stored is not None
                fresh = np.ones(size, bool)
                for low, high in content.stored.stale:
                    fresh[low:high] = False
                told += fresh.any()
                assert (array[fresh] == np.frombuffer(stored, "u1")[fresh]).all()
            if stored is None or chance.randrange(2):
                stored = array.tobytes()
                note(content, (seed, turn))
            if chance.randrange(6) == 0:
                place = content.place
                del array, content
                array = anew(turn, seed % 3)
                pages.prune({place})
    assert told > 30


def look(pages: Pages, array: Any) -> Any:
    content = pages.content(pickle.PickleBuffer(array))
    pages.track([content])
    content.digest()
    pages.keep([content])
    content.forget()
    return content


def note(content: Any, where: object) -> None:
    content.stored = Stored(where)


def test_a_few_pages_that_are_written_again_and_again_stay_tracked() -> None:
    pages = tracked()
    array = np.zeros(8 * LARGE, "u1")
    note(look(pages, array), "file")
    for turn in range(6):
        array[turn * LARGE + LARGE // 2] = 1
        content = look(pages, array)
        known: Any = pages.known(pickle.PickleBuffer(array))
        assert known is content
        assert known.stored.where == "file"
        stale = sum(high - low for low, high in known.stored.stale) / BLOCK
        assert turn < stale < turn + 4
