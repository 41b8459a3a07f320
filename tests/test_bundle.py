from __future__ import annotations

import io
import json
import os
import random
import resource
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckpt_magic
from ckpt_magic.errors import CheckpointError, FormatError, StoreError
from ckpt_magic.faces.cli import main
from ckpt_magic.files import bundle
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.store import Store, temporary_name
from ckpt_magic.files.trust import load_keyring
from tests import making
from tests.test_cli import notebook
from tests.test_stored import save

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two versions of `m`; of the first, three steps, one with an array."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".ckpt")
    for step, value in ((1, {"a": np.arange(30_000)}), (2, {"n": 2}), (10, {"text": "x" * 1000})):
        variables = [{"name": name, "type": "int", "shape": None, "bytes": None} for name in value]
        save(store.path("m", 1, step), value, load_keyring(), step=step, variables=variables, title=f"number {step}")
    save(store.path("m", 2, 1), {"n": 1}, load_keyring(), version="2")
    return tmp_path


def as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "the key of a colleague")


def left_over(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_a_version_travels_in_one_file_and_is_trusted_by_who_shares_the_key(here: Path, capsys: Capsys) -> None:
    assert main(["export", "m", "-o", "m.zip"]) == 0
    out = capsys.readouterr().out
    assert out.index("step 1 (number 1)") < out.index("step 2 (number 2)") < out.index("step 10") < out.index("wrote")
    assert "a int" in out and "code of its cell" in out
    with zipfile.ZipFile("m.zip") as packed:
        assert packed.namelist() == ["m-v1-step1.pkl", "m-v1-step2.pkl", "m-v1-step10.pkl"]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in packed.infolist())
        for name in packed.namelist():
            assert packed.read(name) == (here / ".ckpt" / name).read_bytes()
    assert stat.S_IMODE((here / "m.zip").stat().st_mode) == 0o600

    assert main(["import", "m.zip", "--folder", "other"]) == 0
    assert "trusted already" in capsys.readouterr().out
    np.testing.assert_array_equal(ckpt_magic.load("m", 1, here / "other")["step_1"]["a"], np.arange(30_000))
    assert left_over(here) == left_over(here / "other") == []


def test_without_an_output_only_the_list_is_shown(here: Path, capsys: Capsys) -> None:
    path = notebook(here / "a.ipynb", "%%step 1 --name m --version 2\nn = 1")
    assert main(["export", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["version"], row["step"]) for row in rows] == [("m", "2", 1)]
    assert sorted(os.listdir(here)) == [".ckpt", "a.ipynb"]
    assert main(["export"]) == 2 and main(["export", "m", "--name", "m"]) == 2
    assert main(["export", "nobody"]) == 1


def test_files_of_another_key_are_not_read_before_they_are_trusted(
    here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", "m", "-o", "m.zip"]) == 0
    as_somebody_else(monkeypatch)
    assert main(["import", "m.zip", "--folder", "other"]) == 0
    out = capsys.readouterr().out
    assert out.count("someone else's checkpoint") == out.count("its pickle would import: ") == 3
    assert "numpy" in out and "not signed" in out
    outputs = ckpt_magic.load("m", 1, "other")
    with pytest.raises(ckpt_magic.OtherKeyError):
        outputs["step_2"]
    found = ckpt_magic.trust("other")
    assert {row["signed"] for row in found} == {False} and len(found) == 3
    ckpt_magic.trust("other", yes=True)
    assert outputs["step_2"] == {"n": 2}


def test_yes_signs_what_was_listed(here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    ckpt_magic.export("m", "m.zip")
    as_somebody_else(monkeypatch)
    assert main(["import", "m.zip", "--folder", "other", "--yes"]) == 0
    out = capsys.readouterr().out
    assert out.index("its pickle would import") < out.index("signed: it is trusted now")
    assert ckpt_magic.check("m", 1, "other").well
    assert ckpt_magic.load("m", 1, "other")["step_2"] == {"n": 2}


def test_someone_elses_files_can_be_passed_on_and_broken_ones_cannot(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_somebody_else(monkeypatch)
    assert len(ckpt_magic.export("m", "m.zip")) == 3
    path = here / ".ckpt" / "m-v1-step2.pkl"
    whole = path.read_bytes()
    for data in (whole[:-3], whole[:-1] + b"x", b"\x80\x05N.", (here / ".ckpt/m-v1-step1.pkl").read_bytes()):
        making.overwrite(path, data)
        with pytest.raises(CheckpointError, match="m-v1-step2"):
            ckpt_magic.export("m", "m2.zip")
    assert not (here / "m2.zip").exists()


def test_nothing_is_replaced_without_being_asked(here: Path, capsys: Capsys) -> None:
    ckpt_magic.export("m", "m.zip")
    before = (here / "m.zip").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        ckpt_magic.export("m", "m.zip", 2)
    assert (here / "m.zip").read_bytes() == before
    assert len(ckpt_magic.export("m", "m.zip", 2, force=True)) == 1

    with pytest.raises(StoreError, match=r"has these already: m-v2-step1\.pkl"):
        ckpt_magic.import_("m.zip")
    assert Store(here / ".ckpt").kept() == []
    ckpt_magic.import_("m.zip", force=True)
    assert [path.name[:18] for path in Store(here / ".ckpt").kept()] == ["m-v2-step1.pkl.kep"]
    assert ckpt_magic.check("m", 2).well


def test_a_checkpoint_saved_meanwhile_is_kept_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ckpt_magic.export("m", "m.zip", 2)
    store = Store(here / "other")
    original = bundle.unpack

    def save_first(*arguments: Any) -> None:
        save(store.path("m", 2, 1), {"n": "of another kernel"}, load_keyring(), version="2")
        original(*arguments)

    monkeypatch.setattr(bundle, "unpack", save_first)
    ckpt_magic.import_("m.zip", "other")
    assert len(store.kept()) == 1


def test_a_full_disk_leaves_no_half_of_a_zip_file(here: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(StoreError, match=r"m\.zip cannot be written: File too large"):
            ckpt_magic.export("m", "m.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(here)) == [".ckpt"]
    with pytest.raises(StoreError, match="cannot be written"):
        ckpt_magic.export("m", "nowhere/m.zip")


def test_memory_stays_small_whatever_the_size_of_the_files(here: Path) -> None:
    import tracemalloc

    save(Store(here / ".ckpt").path("big", 1, 1), {"a": np.zeros(4_000_000)}, load_keyring(), name="big")
    ckpt_magic.export("m", "warm.zip")
    tracemalloc.start()
    try:
        ckpt_magic.export("big", "big.zip")
        ckpt_magic.import_("big.zip", "other")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


# --- hostile files ---


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", **options) as packed:
        warnings.simplefilter("ignore", UserWarning)  # names that are there twice
        for name, data in members:
            packed.writestr(name, data)
    return file.getvalue()


def link_to(target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("m-v1-step1.pkl")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def claiming(size: int) -> bytes:
    """A member that says that it is larger than all of the file."""
    data = bytearray(zipped(("m-v1-step1.pkl", b"x" * 10)))
    for at in (data.index(b"PK\x03\x04") + 18, data.index(b"PK\x01\x02") + 20):
        data[at : at + 8] = size.to_bytes(4, "little") * 2
    return bytes(data)


def overlapping() -> bytes:
    """Many members over the same bytes."""
    data = bytearray(zipped(*((f"m-v1-step{step}.pkl", b"x" * 1000) for step in range(10, 60))))
    first = data.index(b"PK\x01\x02")
    at = first
    while data[at : at + 4] == b"PK\x01\x02":
        data[at + 42 : at + 46] = (0).to_bytes(4, "little")
        data[at + 20 : at + 28] = (3000).to_bytes(4, "little") * 2
        at += 46 + 14 + 1
    return bytes(data)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "leaves the folder": lambda: zipped(("../m-v1-step1.pkl", b"x")),
    "leaves the folder by its root": lambda: zipped(("/tmp/m-v1-step1.pkl", b"x")),
    "in a folder": lambda: zipped(("m/m-v1-step1.pkl", b"x")),
    "with a backslash": lambda: zipped(("..\\m-v1-step1.pkl", b"x")),
    "with a drive": lambda: zipped(("C:m-v1-step1.pkl", b"x")),
    "hidden": lambda: zipped((".gitignore", b"x")),
    "the notes of use": lambda: zipped((".used", b"x")),
    "a lock": lambda: zipped((".m.lock", b"x")),
    "set aside": lambda: zipped(("m-v1-step1.pkl.kept-20260101T000000Z", b"x")),
    "another kind of file": lambda: zipped(("notes.txt", b"x")),
    "one good, one not": lambda: zipped(("m-v1-step1.pkl", b"x"), ("setup.py", b"x")),
    "a folder": lambda: zipped(("m-v1-step1.pkl/", b"")),
    "a name with an end in it": lambda: zipped(("m-v1-step1.pkl#.txt", b"x")).replace(b"#", b"\0"),
    "twice": lambda: zipped(("m-v1-step1.pkl", b"x"), ("m-v1-step1.pkl", b"y")),
    "a link": lambda: zipped(link_to("/etc/passwd")),
    "a bomb": lambda: zipped(("m-v1-step1.pkl", b"\0" * 50_000_000), compression=zipfile.ZIP_DEFLATED),
    "compressed otherwise": lambda: zipped(("m-v1-step1.pkl", b"\0" * 5000), compression=zipfile.ZIP_LZMA),
    "larger than the file": lambda: claiming(1 << 30),
    "overlapping": overlapping,
    "empty": lambda: zipped(),
    "no checkpoint": lambda: zipped(("m-v1-step1.pkl", b"\x80\x05N.")),
    "no bytes": lambda: b"",
    "no zip": lambda: b"PK\x03\x04 but not really",
    "a checkpoint": lambda: b"\x80\x05N.",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_export_never_writes_is_refused_and_nothing_is_written(here: Path, what: str, capsys: Capsys) -> None:
    (here / "hostile.zip").write_bytes(HOSTILE[what]())
    before = set(here.rglob("*.pkl"))
    assert main(["import", "hostile.zip", "--folder", "other", "--yes"]) == 1
    assert "hostile.zip is no file that `ckpt-magic export` wrote" in capsys.readouterr().err
    assert set(here.rglob("*.pkl")) == before and not list(here.rglob("*.tmp"))


def test_the_next_export_sweeps_what_a_killed_one_left(here: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    left = temporary_name(here)
    left = left.with_name(left.name.replace(f"-{os.getpid()}-", f"-{child}-"))
    left.touch()
    assert main(["export", "m", "-o", "m.zip"]) == 0
    assert not left.exists()


def test_what_is_no_regular_file_is_not_read(here: Path, capsys: Capsys) -> None:
    """A pipe would be waited for; /dev/zero has no end."""
    os.mkfifo(here / "pipe")
    for path in (here / "pipe", here, Path("/dev/zero")):
        assert main(["import", str(path)]) == 1
        assert "cannot be read: it is not a regular file" in capsys.readouterr().err


def test_any_change_to_a_zip_file_is_a_named_error_or_files_that_are_whole_or_untrusted(here: Path) -> None:
    """Its own checksums are no proof against who means it: what counts is the signature of each file."""
    chance = random.Random(5)
    ckpt_magic.export("m", "m.zip")
    whole = (here / "m.zip").read_bytes()
    keys, outcomes = load_keyring(), set()
    directory = len(whole) - 400
    for number in range(200):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data)) if chance.random() < 0.3 else chance.randrange(directory, len(data))
            data[at] = chance.randrange(256)
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data))]
        (here / "changed.zip").write_bytes(data)
        folder = here / f"f{number}"
        try:
            ckpt_magic.import_("changed.zip", folder)
            outcomes.add("imported")
        except (FormatError, StoreError):
            outcomes.add("refused")
        for path in folder.glob("*.pkl") if folder.exists() else ():
            stored = open_checkpoint(path, keys)
            original = here / ".ckpt" / path.name
            assert stored.trust != "trusted" or not original.exists() or path.read_bytes() == original.read_bytes()
        assert not folder.exists() or left_over(folder) == []
    assert outcomes == {"imported", "refused"}
