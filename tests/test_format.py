from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

from ckpt_magic.errors import (
    CheckpointError,
    DamagedError,
    ForeignError,
    FormatError,
    NewerFormatError,
    OtherKeyError,
    StepNotFoundError,
    StoreError,
    TamperedError,
    UntrustedError,
)
from ckpt_magic.files import format as checkpoint_format
from ckpt_magic.files import maps, signing, store
from ckpt_magic.files.format import belongs, claimed, open_checkpoint
from ckpt_magic.files.payloads import PAGE
from ckpt_magic.files.problems import other_writer
from ckpt_magic.files.sections import FOOTER, MAGIC, digest_of
from ckpt_magic.files.signing import show
from ckpt_magic.files.streams import read_exactly
from ckpt_magic.files.trust import Keyring
from tests.making import load, new_hash, overwrite, pickle_to, save, sections, sign_by_hand, some_keyring, write

OUTPUTS = [{"output_type": "stream", "name": "stdout", "text": "hello é \ud800\n"}]


def value() -> dict[str, Any]:
    return {"x": 1, "a": np.arange(20_000.0), "nested": [{"k": np.ones(30_000)}], "text": "é", "b": np.arange(10_000)}


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return some_keyring(tmp_path)


@pytest.fixture
def path(tmp_path: Path, ring: Keyring) -> Path:
    return save(tmp_path / "c" / "m-v1-step1.pkl", value(), ring, OUTPUTS, source="x = 1 # é", seconds=1.5)


class Run:
    """Leaves a trace when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / "ran"),)


def test_what_was_written_comes_back(path: Path, ring: Keyring) -> None:
    stored = open_checkpoint(path, ring)
    assert (stored.trust, stored.problem, stored.meta_unverified) == ("trusted", None, {})
    assert (stored.path, stored.size, stored.mtime) == (path, path.stat().st_size, path.stat().st_mtime)
    assert stored.meta["source"] == "x = 1 # é"
    assert stored.outputs() == OUTPUTS
    assert stored.check(new_hash) == []
    found = load(stored)
    assert list(found) == list(value())
    np.testing.assert_array_equal(found["a"], value()["a"])


def test_the_bytes_are_as_the_design_says(path: Path, ring: Keyring) -> None:
    begin, outputs, meta, footer = sections(path)
    assert pickle.loads(begin)["x"] == 1
    assert begin.endswith(b".")
    assert json.loads(zlib.decompress(outputs)) == OUTPUTS
    assert list(json.loads(meta)) == sorted(json.loads(meta))
    assert "é".encode() in meta
    assert len(footer) == FOOTER.size == 80
    assert footer.endswith((1).to_bytes(4, "little") + MAGIC)
    rows = json.loads(meta)["buffers"]
    assert len(rows) == 3
    assert all(offset % PAGE == 0 for offset, *_ in rows)


def test_a_python_that_never_saw_the_package_reads_the_outputs(path: Path, tmp_path: Path) -> None:
    program = (
        "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))['a'].sum()); "
        "assert 'ckpt_magic' not in sys.modules"
    )
    copy = shutil.copy(path, tmp_path / "copy.pkl")
    result = subprocess.run(
        [sys.executable, "-I", "-c", program, copy], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert float(result.stdout) == value()["a"].sum()


def test_meta_may_depend_on_what_the_pickler_found(tmp_path: Path, ring: Keyring) -> None:
    def dump(file: BinaryIO) -> str:
        pickle_to(file, 1)
        return "found"

    with open(tmp_path / "a.pkl", "w+b") as file:
        result = checkpoint_format.write(
            file,
            dump,
            outputs=[],
            meta=lambda found: {"name": found},
            keyring=ring,
            new_hash=new_hash,
        )
    assert result == "found"
    stored = open_checkpoint(tmp_path / "a.pkl", ring)
    assert stored.meta["name"] == "found"
    assert stored.outputs() == []
    assert stored.parts().buffers == []


def test_opening_reads_the_end_only(tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status authenticates thousands of files; their size must not matter."""
    path = save(tmp_path / "m-v1-step1.pkl", {"a": np.zeros(1 << 20)}, ring)
    read: list[int] = []

    def counting(file: BinaryIO, start: int, length: int) -> bytearray:
        read.append(length)
        return read_exactly(file, start, length)

    monkeypatch.setattr(checkpoint_format, "read_exactly", counting)
    assert open_checkpoint(path, ring).trust == "trusted"
    assert sum(read) <= 16 << 10


def test_a_record_longer_than_the_first_read_is_read_whole(tmp_path: Path, ring: Keyring) -> None:
    path = save(tmp_path / "m-v1-step1.pkl", 1, ring, source="x" * 100_000)
    assert open_checkpoint(path, ring).meta["source"] == "x" * 100_000


def test_a_file_may_be_replaced_while_its_arrays_are_in_use(path: Path, ring: Keyring) -> None:
    parts = open_checkpoint(path, ring).parts()
    found = pickle.loads(parts.skeleton, buffers=parts.buffers)
    save(path, {"a": 2}, ring)
    np.testing.assert_array_equal(found["a"], value()["a"])
    assert not parts.map.changed()


def test_a_file_replaced_between_opening_and_reading_is_not_mixed_up(path: Path, ring: Keyring) -> None:
    stored = open_checkpoint(path, ring)
    save(path, {"a": 2}, ring)
    for read in (stored.parts, stored.outputs, lambda: stored.check(new_hash)):
        with pytest.raises(StoreError, match="replaced"):
            read()


def test_a_step_without_payloads_maps_nothing(tmp_path: Path, ring: Keyring) -> None:
    parts = open_checkpoint(save(tmp_path / "m-v1-step1.pkl", {"x": 1}, ring), ring).parts()
    assert not parts.map.mapped
    assert not parts.map.changed()


# What a file can be.


def test_someone_elses_checkpoint(path: Path, tmp_path: Path, ring: Keyring) -> None:
    stored = open_checkpoint(path, some_keyring(tmp_path, "somebody else"))
    assert (stored.trust, stored.meta) == ("other key", {})
    assert stored.meta_unverified["source"] == "x = 1 # é"
    message = str(stored.problem)
    assert message.startswith(f"{path} is someone else's checkpoint")
    for line in (ring.signing.id.hex(), f"%ckpt_trust {path}", f"ckpt-magic trust {path}", "%ckpt_trust --key FILE"):
        assert line in message
    assert "%ckpt_start none" in message
    assert "--force" in message
    for read in (stored.parts, stored.outputs, lambda: stored.check(new_hash)):
        with pytest.raises(OtherKeyError):
            read()


@pytest.mark.parametrize("where", ["meta", "mac", "length of outputs"])
def test_a_tampered_file(path: Path, ring: Keyring, where: str) -> None:
    begin, outputs, meta, footer = sections(path)
    if where == "meta":
        meta = meta.replace(b"x = 1", b"x = 2")
    elif where == "mac":
        footer = footer[:32] + bytes(32) + footer[64:]
    else:
        footer = FOOTER.pack(len(begin) - 1, len(outputs) + 1, *FOOTER.unpack(footer)[2:])
    overwrite(path, begin + outputs + meta + footer)
    stored = open_checkpoint(path, ring)
    assert (stored.trust, stored.meta) == ("tampered", {})
    assert str(stored.problem).startswith(f"{path} was tampered with")
    assert "Find out who changed it" in str(stored.problem)
    with pytest.raises(TamperedError):
        stored.parts()


@pytest.mark.parametrize("cut", [1, 79, 80, 500, -1, -40, "half", "all"])
def test_a_checkpoint_cut_short_is_damaged(path: Path, ring: Keyring, cut: int | str) -> None:
    data = path.read_bytes()
    left = {"half": len(data) // 2, "all": 0}.get(str(cut), -int(cut) if str(cut).startswith("-") else len(data))
    left = left if isinstance(cut, str) or cut < 0 else len(data) - cut
    overwrite(path, data[:left])
    stored = open_checkpoint(path, ring)
    assert stored.trust == "damaged"
    assert str(stored.problem).startswith(f"{path} is damaged: ")
    assert "run again" in str(stored.problem)
    with pytest.raises(DamagedError):
        stored.parts()


def test_a_checkpoint_with_something_appended_or_missing_inside_is_damaged(path: Path, ring: Keyring) -> None:
    data = path.read_bytes()
    overwrite(path, data + b"x")
    assert open_checkpoint(path, ring).trust == "damaged"
    overwrite(path, data[:5000] + data[5001:])
    assert open_checkpoint(path, ring).trust == "damaged"


@pytest.mark.parametrize("where", ["first byte", "skeleton", "payload header"])
def test_a_changed_pickle_is_damaged_and_never_unpickled(path: Path, ring: Keyring, where: str) -> None:
    data = bytearray(path.read_bytes())
    first_row = open_checkpoint(path, ring).meta["buffers"][0]
    at = {"first byte": 0, "skeleton": data.index(b"getitem"), "payload header": first_row[0] - 2}[where]
    data[at] ^= 1
    overwrite(path, bytes(data))
    stored = open_checkpoint(path, ring)
    assert stored.trust == "trusted"  # FOOTER and META are whole
    with pytest.raises(DamagedError, match=str(path)):
        stored.parts()
    with pytest.raises(DamagedError):
        stored.check(new_hash)
    assert stored.outputs() == OUTPUTS


def test_changed_displays_are_damaged(path: Path, ring: Keyring) -> None:
    begin, outputs, meta, footer = sections(path)
    overwrite(path, begin + outputs[:-1] + bytes([outputs[-1] ^ 1]) + meta + footer)
    stored = open_checkpoint(path, ring)
    with pytest.raises(DamagedError, match="displays"):
        stored.outputs()
    stored.parts()


def test_a_changed_payload_is_named_by_its_variable(path: Path, ring: Keyring) -> None:
    """It cannot execute anything, so it is compared only when asked for."""
    stored = open_checkpoint(path, ring)
    rows = stored.meta["buffers"]
    whole = path.read_bytes()
    for changed, names in (([0], ["a"]), ([1], ["nested"]), ([2], ["b"]), ([0, 1, 2], ["a", "nested", "b"])):
        data = bytearray(whole)
        for row in changed:
            data[rows[row][0] + 8] ^= 1
        overwrite(path, bytes(data))
        stored = open_checkpoint(path, ring)
        assert stored.check(new_hash) == names
        assert load(stored)["x"] == 1


def test_payloads_outside_the_value_are_named_by_their_position(tmp_path: Path, ring: Keyring) -> None:
    for bad, held in enumerate(([np.zeros(10_000), np.ones(10_000)], {"only": np.ones(10_000)})):
        path = save(tmp_path / f"m-v1-step{bad}.pkl", held, ring)
        row = open_checkpoint(path, ring).meta["buffers"][0]
        data = bytearray(path.read_bytes())
        data[row[0]] ^= 1
        overwrite(path, bytes(data))
        name = "only" if bad else f"the payload at byte {row[0]}"
        assert open_checkpoint(path, ring).check(new_hash) == [name]


def test_payloads_of_many_variables_are_told_apart(tmp_path: Path, ring: Keyring) -> None:
    """The pickler writes a dict in batches of a thousand pairs."""
    many: dict[str, Any] = {f"v{i}": i for i in range(2500)}
    for name in ("v0", "v999", "v1000", "v2001", "v2499"):
        many[name] = (name, [np.full(10_000, 3.0)], {"deep": {name: 1}})
    path = save(tmp_path / "m-v1-step1.pkl", many, ring)
    data = bytearray(path.read_bytes())
    for offset, *_ in open_checkpoint(path, ring).meta["buffers"]:
        data[offset] ^= 1
    overwrite(path, bytes(data))
    assert open_checkpoint(path, ring).check(new_hash) == ["v0", "v999", "v1000", "v2001", "v2499"]


def test_a_tampered_pickle_nested_in_bytes_is_refused(tmp_path: Path, ring: Keyring) -> None:
    """Bytes of a mebibyte look like a payload, but somebody may unpickle them."""
    nested = pickle.dumps(["harmless" * 20_000, list(range(400_000))])
    assert len(nested) > 1 << 20
    path = save(tmp_path / "m-v1-step1.pkl", {"blob": nested, "array": bytearray(nested)}, ring)
    assert open_checkpoint(path, ring).meta["buffers"] == []
    assert pickle.loads(load(open_checkpoint(path, ring))["blob"])[0].startswith("harmless")
    data = path.read_bytes()
    overwrite(path, data.replace(b"harmlessharmless", b"harmlessHarmless", 1))
    with pytest.raises(DamagedError):
        open_checkpoint(path, ring).parts()


@pytest.mark.parametrize("text", [b"hello", b"\x80\x04N.", b"\0" * 5000, b"\x80\x05\x95" + bytes(8) + b"K\x01."])
def test_what_we_did_not_write_is_foreign(tmp_path: Path, ring: Keyring, text: bytes) -> None:
    path = tmp_path / "m-v1-step1.pkl"
    path.write_bytes(text)
    stored = open_checkpoint(path, ring)
    assert (stored.trust, stored.meta, stored.meta_unverified) == ("foreign", {}, {})
    assert "was not written by ckpt_magic" in str(stored.problem)
    assert f"%ckpt_trust {path}" in str(stored.problem)
    with pytest.raises(ForeignError):
        stored.parts()


def test_a_newer_format_is_said(path: Path, ring: Keyring) -> None:
    data = path.read_bytes()
    overwrite(path, data[: -len(MAGIC) - 4] + (2).to_bytes(4, "little") + MAGIC)
    stored = open_checkpoint(path, ring)
    assert stored.trust == "newer"
    assert "format 2" in str(stored.problem)
    assert "pip install --upgrade ckpt-magic" in str(stored.problem)
    with pytest.raises(NewerFormatError):
        stored.parts()
    with pytest.raises(NewerFormatError):
        show(path, ring)


def test_a_file_name_with_blanks_is_quoted_for_the_shell(tmp_path: Path, ring: Keyring) -> None:
    path = tmp_path / "a b.pkl"
    path.write_bytes(b"hello")
    assert f"ckpt-magic trust '{path}'" in str(open_checkpoint(path, ring).problem)


def test_what_cannot_be_opened_raises(tmp_path: Path, ring: Keyring, path: Path) -> None:
    with pytest.raises(StepNotFoundError, match="nothing.pkl"):
        open_checkpoint(tmp_path / "nothing.pkl", ring)
    with pytest.raises(StoreError, match="not a regular file"):
        open_checkpoint(tmp_path, ring)
    (tmp_path / "link.pkl").symlink_to(path)
    with pytest.raises(StoreError, match="symbolic link"):
        open_checkpoint(tmp_path / "link.pkl", ring)
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(StoreError, match="not a regular file"):
        open_checkpoint(tmp_path / "pipe.pkl", ring)


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"not JSON",
        b"[1]",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_record_that_cannot_be_read_is_damaged(path: Path, tmp_path: Path, ring: Keyring, meta: bytes) -> None:
    sign_by_hand(path, ring, meta)
    assert open_checkpoint(path, ring).trust == "damaged"
    elsewhere = open_checkpoint(path, some_keyring(tmp_path, "somebody else"))
    assert (elsewhere.trust, elsewhere.meta_unverified) == ("other key", {})


@pytest.mark.parametrize(
    "change",
    [
        {"buffers": None},
        {"buffers": [[4096, 1 << 50, 9, False, "d"]]},
        {"buffers": [[1000, 900, 9, False, "d"]]},
        {"digests": None},
        {"digests": {}},
        {"outputs_length": None},
        {"outputs_length": -1},
        {"outputs_length": 5},
        {"outputs_length": 10**20},
    ],
)
def test_a_record_that_contradicts_the_file_is_damaged(path: Path, ring: Keyring, change: dict[str, Any]) -> None:
    sign_by_hand(path, ring, json.dumps({**open_checkpoint(path, ring).meta, **change}).encode())
    stored = open_checkpoint(path, ring)
    assert stored.trust == "trusted"
    read = stored.outputs if "outputs_length" in change else stored.parts
    with pytest.raises(DamagedError, match=str(path)):
        read()


@pytest.mark.parametrize(
    "shown",
    [
        [{"output_type": "stream"}],
        [1],
        [{"output_type": []}],
        [{"output_type": "unknown"}],
        [{"output_type": "stream", "name": "stdout", "text": None}],
        [{"output_type": "display_data", "data": [], "metadata": {}}],
        [{"output_type": "error", "ename": "E", "evalue": "", "traceback": "text"}],
    ],
)
def test_what_cannot_be_shown_is_no_display(tmp_path: Path, ring: Keyring, shown: Any) -> None:
    path = save(tmp_path / "m-v1-step1.pkl", 1, ring, shown)
    with pytest.raises(DamagedError, match="not a list of displays"):
        open_checkpoint(path, ring).outputs()


def test_displays_never_grow_beyond_what_the_record_says(tmp_path: Path, ring: Keyring) -> None:
    """A bomb of a gigabyte in a megabyte."""
    path = save(tmp_path / "m-v1-step1.pkl", 1, ring)
    begin, _, meta, _ = sections(path)
    machine = zlib.compressobj(9)
    bomb = b"".join(machine.compress(b"0" * (1 << 20)) for _ in range(300)) + machine.flush()
    facts = {**json.loads(meta), "outputs_length": 100}
    facts["digests"]["outputs"] = digest_of(bomb)
    overwrite(
        path, begin + bomb + meta + FOOTER.pack(len(begin), len(bomb), len(meta), *FOOTER.unpack(sections(path)[3])[3:])
    )
    sign_by_hand(path, ring, json.dumps(facts).encode())
    with pytest.raises(DamagedError, match="another length"):
        open_checkpoint(path, ring).outputs()


def test_a_file_knows_which_step_it_is(path: Path, ring: Keyring) -> None:
    meta = open_checkpoint(path, ring).meta
    assert belongs(meta, "m", "1", 1)
    assert not belongs(meta, "m", "1", 2)
    assert not belongs(meta, "m", "2", 1)
    assert not belongs({}, "m", "1", 1)
    assert claimed(path)["name"] == "m"
    message = str(other_writer(path, meta))
    assert str(path) in message
    assert "step 1 of pipeline 'm', version '1'" in message


# Trusting.


def test_trusting_someone_elses_checkpoint_keeps_its_pickle_and_its_record(
    path: Path, tmp_path: Path, ring: Keyring
) -> None:
    me = some_keyring(tmp_path, "somebody else")
    begin, outputs, meta, _ = sections(path)
    shown = show(path, me)
    assert shown.trust == "other key"
    assert "_operator.getitem" in shown.callables
    assert (shown.size, shown.meta["step"]) == (path.stat().st_size, 1)
    assert shown.owner
    store.trust(path, me, shown.digest)
    assert sections(path)[:3] == (begin, outputs, meta)
    stored = open_checkpoint(path, me)
    assert stored.trust == "trusted"
    assert load(stored)["x"] == 1
    assert stored.outputs() == OUTPUTS
    assert stored.check(new_hash) == []
    assert open_checkpoint(path, ring).trust == "other key"
    assert sorted(os.listdir(path.parent)) == [".gitignore", ".m.lock", path.name]


def test_trusting_a_tampered_record_signs_it_as_it_is(path: Path, ring: Keyring) -> None:
    begin, outputs, meta, footer = sections(path)
    overwrite(path, begin + outputs + meta.replace(b"x = 1", b"x = 2") + footer)
    store.trust(path, ring, show(path, ring).digest)
    assert open_checkpoint(path, ring).meta["source"] == "x = 2 # é"


def test_trusting_a_foreign_pickle_leaves_its_bytes_and_its_readers(tmp_path: Path, ring: Keyring) -> None:
    path = tmp_path / "old-v2-step3.pkl"
    original = pickle.dumps({"a": np.arange(50_000), "run": Run(tmp_path)}, 4)
    path.write_bytes(original)
    shown = show(path, ring)
    assert shown.trust == "foreign"
    assert "posix.mkdir" in shown.callables
    store.trust(path, ring, shown.digest)
    assert not (tmp_path / "ran").exists()
    assert path.read_bytes().startswith(original)
    stored = open_checkpoint(path, ring)
    assert stored.trust == "trusted"
    assert (stored.meta["kind"], stored.meta["name"], stored.meta["version"]) == ("foreign", "old", "2")
    assert belongs(stored.meta, "old", "2", 3)
    assert stored.outputs() == []
    assert load(stored)["a"][-1] == 49_999
    assert stored.check(new_hash) == []


def test_trusting_twice_is_trusting(path: Path, ring: Keyring) -> None:
    store.trust(path, ring, show(path, ring).digest)
    before = path.read_bytes()
    store.trust(path, ring, show(path, ring).digest)
    assert path.read_bytes() == before


def test_only_the_bytes_that_were_shown_are_signed(tmp_path: Path, ring: Keyring) -> None:
    path = tmp_path / "old-v2-step3.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    shown = show(path, ring)
    evil = pickle.dumps(Run(tmp_path))
    path.write_bytes(evil)
    with pytest.raises(UntrustedError, match="changed since it was shown"):
        store.trust(path, ring, shown.digest)
    assert path.read_bytes() == evil
    assert open_checkpoint(path, ring).trust == "foreign"
    assert os.listdir(tmp_path / "keys of" / "me") == ["signing.key"]
    assert [name for name in os.listdir(tmp_path) if "tmp" in name] == []


def test_a_file_that_changes_while_it_is_shown_is_not_signed(
    tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harmless while the callables are read, evil before and after."""
    path = tmp_path / "old-v2-step3.pkl"
    path.write_bytes(pickle.dumps(Run(tmp_path)))
    original = signing._look_inside

    def look_at_something_else(file: Any, size: int) -> Any:
        meta, _ = original(file, size)
        return meta, ["builtins.len"]

    with monkeypatch.context() as patch:
        patch.setattr(signing, "_look_inside", look_at_something_else)
        shown = show(path, ring)
    with pytest.raises(UntrustedError, match="changed since it was shown"):
        store.trust(path, ring, shown.digest)


def test_what_is_damaged_or_no_pickle_cannot_be_trusted(path: Path, tmp_path: Path, ring: Keyring) -> None:
    (tmp_path / "x.pkl").write_bytes(b"hello")
    with pytest.raises(FormatError, match="nothing to trust"):
        show(tmp_path / "x.pkl", ring)
    begin, outputs, meta, footer = sections(path)
    me = some_keyring(tmp_path, "somebody else")
    overwrite(path, begin.replace(b"getitem", b"getItem") + outputs + meta + footer)
    with pytest.raises(DamagedError):
        show(path, me)
    overwrite(path, begin[:-100])
    with pytest.raises(DamagedError):
        show(path, ring)


def test_a_list_of_payloads_that_makes_another_program_of_the_pickle_is_refused(tmp_path: Path, ring: Keyring) -> None:
    """A row inside a constant: plain readers see a constant, our loader would see the opcodes in it."""
    me = some_keyring(tmp_path, "somebody else")
    path = tmp_path / "m-v1-step1.pkl"
    hidden = b"." + b"\x96" + (70_000).to_bytes(8, "little") + bytes(70_000)
    text = b"\x80\x05\x8e" + len(hidden).to_bytes(8, "little") + hidden + b"."
    with open(path, "w+b", buffering=0) as file:
        write(cast(Any, file), 1, ring, [])
    _, outputs, meta, _ = sections(path)
    rows = [[text.index(b"\x96") + 9, 70_000, 9, False, "d"]]
    skeleton = text[: text.index(b"\x96")] + b"\x97."
    facts = {**json.loads(meta), "buffers": rows}
    facts["digests"]["skeleton"] = digest_of(skeleton)
    raw = json.dumps(facts).encode()
    lengths = (len(text), len(outputs), len(raw), ring.signing.id)
    mac = ring.signing.sign(FOOTER.pack(*lengths, b"", 1, MAGIC), raw)
    path.write_bytes(text + outputs + raw + FOOTER.pack(*lengths, mac, 1, MAGIC))
    with pytest.raises(FormatError):
        show(path, me)


# Whatever happens to the bytes.


def outcome(path: Path, ring: Keyring, expected: dict[str, Any]) -> str:
    """Load a file that was changed; return what came of it, and fail if that is not one of the allowed things."""
    try:
        stored = open_checkpoint(path, ring)
        stored.outputs()
        found = load(stored)
    except CheckpointError as error:
        assert str(path) in str(error)  # noqa: PT017  # an error is one of the right outcomes
        return type(error).__name__
    bad = stored.check(new_hash)
    for name, original in expected.items():
        if name not in bad and name != "nested":
            np.testing.assert_array_equal(found[name], original)
    return "payload" if bad else "valid"


def test_every_change_gives_a_named_error_or_is_noticed_by_the_digests(tmp_path: Path, ring: Keyring) -> None:
    chance = random.Random(20)
    path = save(tmp_path / "m-v1-step1.pkl", value(), ring, OUTPUTS, source="y" * 500)
    whole, parts = path.read_bytes(), sections(path)
    seen: dict[str, int] = {}
    starts = (0, len(parts[0]), len(parts[0]) + len(parts[1]), len(whole) - FOOTER.size, len(whole))
    path.chmod(0o600)
    for round_ in range(800):
        data = bytearray(whole)
        kind = chance.choice(["flip", "flip", "flip", "cut", "insert", "swap", "zeros", "length"])
        section = chance.randrange(4)  # a section first: flips anywhere would nearly all hit payloads
        at = chance.randrange(starts[section], starts[section + 1])
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
        elif kind == "swap":
            data = bytearray(b"".join(chance.sample(parts, 4)))
        elif kind == "zeros":
            data[at : at + 4096] = bytes(len(data[at : at + 4096]))
        else:
            field = len(data) - FOOTER.size + 8 * chance.randrange(3)
            data[field : field + 8] = chance.choice([chance.randbytes(8), b"\xff" * 8, bytes(8)])
        path.write_bytes(data)
        result = outcome(path, ring, value())
        seen[result] = seen.get(result, 0) + 1
        assert result != "valid" or bytes(data) == whole, f"round {round_}: {kind} at {at}"
    assert {"DamagedError", "TamperedError", "OtherKeyError", "NewerFormatError", "payload"} <= set(seen), seen


def test_changed_files_can_be_shown_without_a_crash(tmp_path: Path, ring: Keyring) -> None:
    chance = random.Random(21)
    me = some_keyring(tmp_path, "somebody else")
    path = save(tmp_path / "m-v1-step1.pkl", value(), ring)
    whole = path.read_bytes()
    path.chmod(0o600)
    meta_at = len(whole) - FOOTER.size - len(sections(path)[2])
    for _ in range(300):
        data = bytearray(whole)
        data[chance.randrange(meta_at, len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            show(path, me)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017  # an error is one of the right outcomes


def test_writing_needs_no_file_system(ring: Keyring) -> None:
    file = io.BytesIO()
    write(file, value(), ring, OUTPUTS)
    assert pickle.loads(file.getvalue())["x"] == 1


def test_progress_grows_to_the_bytes_of_the_pickle(
    tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written, then read where mapping is unsafe."""
    written: list[int] = []
    path = tmp_path / "a.pkl"
    array = np.zeros(5 << 20, "u1")
    with open(path, "w+b", buffering=0) as file:
        checkpoint_format.write(
            file,
            lambda to: pickle_to(to, {"a": array}),
            outputs=[],
            meta={"variables": []},
            keyring=ring,
            new_hash=new_hash,
            progress=written.append,
        )
    stored = open_checkpoint(path, ring)
    assert written == sorted(written) and len(written) > 5
    assert array.nbytes < written[-1] < stored.size
    mapped: list[int] = []
    stored.parts(mapped.append)
    assert 0 < mapped[-1] < PAGE * 2
    monkeypatch.setattr(maps, "_may_be_mapped", lambda descriptor: False)
    read: list[int] = []
    stored.parts(read.append)
    assert max(read) == stored.size
