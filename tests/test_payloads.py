from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import PickleBuffer
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from ckpt_magic.errors import DamagedError
from ckpt_magic.files import maps, payloads
from ckpt_magic.files.maps import Map, open_map
from ckpt_magic.files.payloads import PAGE, PayloadWriter, Row, Skeleton, read_skeleton, rows_from
from ckpt_magic.filesystems import linux_type
from tests.making import new_hash, pickle_to

KIB = 1024


def values() -> dict[str, Any]:
    """All that ends up as a payload, and all that looks like one and must not."""
    shared = np.arange(50_000.0)
    read_only = np.arange(30_000)
    read_only.flags.writeable = False
    return {
        "shared": shared,
        "again": shared,
        "read_only": read_only,
        "columns": np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
        "small": np.arange(10),
        "empty": np.zeros(0),
        "bytes": b"b" * 200_000,
        "bytearray": bytearray(200_000),
        "text": "t" * 300_000,
        "frame": pd.DataFrame({"a": np.arange(40_000), "b": np.arange(40_000.0), "c": ["x"] * 40_000}),
    }


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    assert list(left) == list(right)
    for name, value in left.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, right[name])
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, right[name])
        else:
            assert value == right[name]
    return True


def write_pickle(path: Path, value: Any) -> Skeleton:
    with open(path, "w+b", buffering=0) as file:
        writer = PayloadWriter(file, new_hash)
        pickle_to(cast(Any, writer), value)
        return writer.finish()


def restore(path: Path, skeleton: Skeleton) -> tuple[Any, Map]:
    with open(path, "rb", buffering=0) as file:
        data, digest = read_skeleton(file, skeleton.end, skeleton.rows)
    assert digest == skeleton.digest
    mapped = open_map(path)
    return pickle.loads(data, buffers=mapped.views(skeleton.rows)), mapped


def load_open(path: Path) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)


READERS: dict[str, Callable[[Path], Any]] = {
    "pickle.load": load_open,
    "pickle.loads": lambda path: pickle.loads(path.read_bytes()),
    "pure Python": lambda path: pickle._Unpickler(io.BytesIO(path.read_bytes())).load(),
    "joblib": lambda path: pytest.importorskip("joblib").load(path),
    "pandas": pd.read_pickle,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_pickles_reads_aligned_payloads(tmp_path: Path, reader: str) -> None:
    write_pickle(tmp_path / "a.pkl", values())
    found = READERS[reader](tmp_path / "a.pkl")
    assert same(found, values())
    assert found["shared"] is found["again"]
    assert found["shared"].flags.writeable


def test_pickletools_finds_nothing_wrong(tmp_path: Path) -> None:
    write_pickle(tmp_path / "a.pkl", values())
    pickletools.dis((tmp_path / "a.pkl").read_bytes(), io.StringIO())


def test_payloads_begin_on_pages_and_their_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    skeleton = write_pickle(tmp_path / "a.pkl", values())
    data = (tmp_path / "a.pkl").read_bytes()
    assert len(skeleton.rows) >= 4
    for row in skeleton.rows:
        assert row.offset % PAGE == 0
        digest = new_hash()
        digest.update(data[row.offset : row.offset + row.length])
        assert row.digest == digest.hexdigest()
        assert data[row.offset - row.header : row.offset] == row.header_bytes()
    assert skeleton.end == len(data)


def test_alignment_counts_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    with open(tmp_path / "a", "w+b", buffering=0) as file:
        file.write(b"x" * 77)
        writer = PayloadWriter(file, new_hash)
        pickle_to(cast(Any, writer), values())
        assert all(row.offset % PAGE == 0 for row in writer.finish().rows)


def test_restoring_by_the_map_keeps_aliasing_order_and_writability(tmp_path: Path) -> None:
    skeleton = write_pickle(tmp_path / "a.pkl", values())
    found, mapped = restore(tmp_path / "a.pkl", skeleton)
    assert mapped.mapped
    assert same(found, values())
    assert found["shared"] is found["again"]
    assert found["columns"].flags.f_contiguous
    assert found["shared"].flags.writeable
    assert not found["read_only"].flags.writeable
    assert found["shared"].ctypes.data % PAGE == 0


def test_writing_to_a_restored_array_never_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    skeleton = write_pickle(path, values())
    before = path.read_bytes()
    found, mapped = restore(path, skeleton)
    found["shared"][:] = -1
    assert path.read_bytes() == before
    assert not mapped.changed()


def test_views_outlive_the_map(tmp_path: Path) -> None:
    skeleton = write_pickle(tmp_path / "a.pkl", values())
    found, mapped = restore(tmp_path / "a.pkl", skeleton)
    del mapped
    (tmp_path / "a.pkl").unlink()
    assert same(found, values())


def test_bytes_bytearrays_and_texts_of_any_size_stay_in_the_skeleton(tmp_path: Path) -> None:
    """A pickle nested in them must not escape the skeleton's digest."""
    path = tmp_path / "a.pkl"
    nested = pickle.dumps(list(range(400_000)))
    value = {"bytes": nested, "bytearray": bytearray(nested), "text": "x" * (1 << 20)}
    skeleton = write_pickle(path, value)
    assert skeleton.rows == ()
    assert restore(path, skeleton)[0] == value


def test_big_bytes_right_before_an_array_are_kept_apart(tmp_path: Path) -> None:
    """What is held back for a header must be neither lost nor taken for one."""
    for size in (0, 1, 8, 9, 10, 65_535, 65_536, 131_071, 131_072, 131_073, 200_000):
        value = [b"\x96" * size, np.arange(10_000), bytearray(b"B" * size), np.arange(20_000)]
        skeleton = write_pickle(tmp_path / "a.pkl", value)
        assert len(skeleton.rows) == 2
        for found in (restore(tmp_path / "a.pkl", skeleton)[0], load_open(tmp_path / "a.pkl")):
            assert found[0] == value[0]
            assert found[2] == value[2]
            np.testing.assert_array_equal(found[3], value[3])


@pytest.mark.parametrize("held", [b"", b"\x96" + bytes(8), b"B" + bytes(4), b"\x8e" + (70_001).to_bytes(8, "little")])
def test_a_buffer_without_its_header_is_ordinary_bytes(held: bytes) -> None:
    file = io.BytesIO()
    writer = PayloadWriter(file, new_hash)
    writer.write(held)
    writer.write(PickleBuffer(b"p" * 70_000))
    assert writer.finish().rows == ()
    assert file.getvalue() == held + b"p" * 70_000


def test_the_kind_of_a_header_must_fit_the_buffer() -> None:
    """A read-only buffer announced as a bytearray would come back as something else."""
    file = io.BytesIO()
    writer = PayloadWriter(file, new_hash)
    writer.write(b"\x96" + (70_000).to_bytes(8, "little"))
    writer.write(PickleBuffer(b"p" * 70_000))
    assert writer.finish().rows == ()


def test_doing_nothing_takes_any_number_of_bytes() -> None:
    for size in range(PAGE):
        padding = payloads._no_operation(size)
        assert len(padding) % PAGE == size
        for load in (pickle.loads, pickle._loads):  # type: ignore[attr-defined]
            assert load(b"\x80\x05K\x07" + padding + b"K\x08\x86.") == (7, 8)


def test_a_file_that_takes_little_at_a_time_gets_all(tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:50_000])

    with Slow(tmp_path / "a.pkl", "w+b") as file:
        writer = PayloadWriter(cast(Any, file), new_hash)
        pickle_to(cast(Any, writer), values())
        skeleton = writer.finish()
    assert same(restore(tmp_path / "a.pkl", skeleton)[0], values())


def test_rows_survive_the_way_through_json() -> None:
    rows = (Row(4096, 70_000, 9, False, "aa"), Row(77_824, 70_000, 5, True, "bb"))
    assert rows_from([row.as_list() for row in rows], 200_000) == rows


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        [None],
        [[]],
        [[4096, 10, 9, False]],
        [[4096, 10, 9, 0, "d"]],
        [[4096, 10, 7, False, "d"]],
        [[4096, 10, 9.0, False, "d"]],
        [[4096.0, 10, 9, False, "d"]],
        [[4096, -10, 9, False, "d"]],
        [[4096, 0, 9, False, "d"]],
        [[-4096, 10, 9, False, "d"]],
        [[4, 10, 9, False, "d"]],
        [[4096, 10, 5, False, "d"]],
        [[4096, 1 << 40, 9, False, "d"]],
        [[4096, 10**400, 9, False, "d"]],
        [[4096, 5000, 9, False, "d"], [8192, 10, 9, False, "d"]],
        [[8192, 10, 9, False, "d"], [4096, 10, 9, False, "d"]],
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: Any) -> None:
    with pytest.raises(DamagedError):
        rows_from(rows, 100_000)


def test_a_file_cut_short_is_an_error_and_not_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    skeleton = write_pickle(path, values())
    os.truncate(path, skeleton.end - 10)
    with open(path, "rb", buffering=0) as file, pytest.raises(DamagedError, match="ends at byte"):
        read_skeleton(file, skeleton.end, skeleton.rows)


def test_a_header_that_changed_is_noticed(tmp_path: Path) -> None:
    """Our loader does not read headers, a plain reader does: both must see the same pickle."""
    path = tmp_path / "a.pkl"
    skeleton = write_pickle(path, values())
    data = bytearray(path.read_bytes())
    data[skeleton.rows[0].offset - 1] ^= 1
    path.write_bytes(data)
    with open(path, "rb", buffering=0) as file, pytest.raises(DamagedError, match="header"):
        read_skeleton(file, skeleton.end, skeleton.rows)


def test_a_map_notices_that_its_file_was_written_to(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10_000)
    mapped = open_map(path)
    assert not mapped.changed()
    with path.open("r+b") as file:
        file.write(b"y")
    os.utime(path, ns=(1, 1))
    assert mapped.changed()
    mapped = open_map(path)
    os.truncate(path, 9_000)
    assert mapped.changed()


def test_a_map_does_not_mind_that_its_path_is_replaced_or_its_mode_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10_000)
    mapped = open_map(path)
    path.chmod(0o400)
    (tmp_path / "b").write_bytes(b"y" * 5)
    os.replace(tmp_path / "b", path)
    assert not mapped.changed()
    assert bytes(mapped.view(0, 10_000, True)) == b"x" * 10_000


def test_an_empty_file_gives_an_empty_map(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert len(open_map(tmp_path / "a")) == 0


def test_a_file_larger_than_memory_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.touch()
    try:
        os.truncate(path, 1 << 42)
    except OSError as error:
        pytest.skip(f"no sparse file of 4 TiB here: {error}")
    mapped = open_map(path)
    if not mapped.mapped:
        pytest.skip("files are not mapped on this file system")
    view = mapped.view((1 << 42) - 10, 10, False)
    view[0] = 7
    assert bytes(view) == b"\x07" + bytes(9)


def test_where_mapping_is_unsafe_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pkl"
    skeleton = write_pickle(path, values())
    monkeypatch.setattr(maps, "_may_be_mapped", lambda descriptor: False)
    found, mapped = restore(path, skeleton)
    assert not mapped.mapped
    overwritten = bytearray(path.stat().st_size)
    path.write_bytes(overwritten)
    assert same(found, values())
    found["shared"][0] = 5
    assert found["shared"].ctypes.data % PAGE == 0
    assert not mapped.changed()


@pytest.mark.skipif(sys.platform != "linux", reason="statfs of Linux")
@pytest.mark.parametrize("place", ["here", "/proc/self/status", "/sys/kernel", "/dev/shm"])
def test_the_type_of_a_file_system_is_what_stat_says(tmp_path: Path, place: str) -> None:
    path = tmp_path if place == "here" else Path(place)
    if not path.exists():
        pytest.skip(f"there is no {path}")
    said = subprocess.run(["stat", "-f", "-c", "%t", path], capture_output=True, text=True, check=True).stdout
    with descriptor_of(path) as descriptor:
        assert linux_type(descriptor) == int(said, 16)


@contextlib.contextmanager
def descriptor_of(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("kind", [0x6969, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0])
def test_network_file_systems_are_not_mapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: int) -> None:
    monkeypatch.setattr(maps, "linux_type", lambda descriptor: kind)
    (tmp_path / "a").write_bytes(b"xyz")
    mapped = open_map(tmp_path / "a")
    assert not mapped.mapped
    assert bytes(mapped.view(0, 3, False)) == b"xyz"


def test_maps_give_their_descriptors_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    open_map(tmp_path / "a")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else pytest.skip("no /proc")
    for _ in range(50):
        open_map(tmp_path / "a").view(0, 5, False)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.name == "nt", reason="not run: no limits there")
def test_maps_leave_half_of_the_open_files_to_the_notebook(tmp_path: Path) -> None:
    import resource

    (tmp_path / "x").write_bytes(bytes(range(200)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * len(os.listdir("/dev/fd")) + 60, before[1]))
    try:
        made = [open_map(tmp_path / "x") for _ in range(100)]
        assert made[0].mapped and not made[-1].mapped
        assert bytes(made[-1].view(0, 200, False)) == bytes(range(200))
        with contextlib.ExitStack() as opened:
            for _ in range(20):
                opened.enter_context(open(os.devnull))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_writing_makes_no_second_copy_of_a_payload(tmp_path: Path) -> None:
    program = f"""
import resource, sys, hashlib, pickle
import numpy as np
from ckpt_magic.files.payloads import PayloadWriter
array = np.ones(32 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open({str(tmp_path / "a")!r}, "w+b", buffering=0) as file:
    writer = PayloadWriter(file, hashlib.blake2b)
    pickle.Pickler(writer, 5).dump(array)
    assert len(writer.finish().rows) == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 32 * KIB  # KiB, against 256 MiB of the array


def test_a_file_that_is_cut_short_while_it_is_mapped_is_damaged(tmp_path: Path) -> None:
    """Its length was asked for a moment before."""
    (tmp_path / "short").write_bytes(b"x" * 100)
    with (tmp_path / "short").open("rb") as file, pytest.raises(DamagedError, match="cut short"):
        maps._private_map(file.fileno(), 100_000)
