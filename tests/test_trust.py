from __future__ import annotations

import collections
import errno
import io
import os
import pickle
import random
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import FormatError, StoreError, UntrustedError, UsageError
from ckpt_magic.files.trust import Key, callables, export_key, import_key, load_keyring, read_key

RUNNING_AS_ROOT = os.geteuid() == 0


def test_a_key_is_made_once_and_only_for_this_user(tmp_path: Path) -> None:
    first = load_keyring({}, tmp_path / "data" / "ckpt_magic")
    path = tmp_path / "data" / "ckpt_magic" / "signing.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_keyring({}, path.parent) == first
    assert os.listdir(path.parent) == ["signing.key"]
    assert first.accepted == (first.signing,)
    assert load_keyring({}, tmp_path / "other").signing != first.signing


def test_the_key_lies_in_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("XDG folders are those of Linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("CKPT_KEY", raising=False)
    monkeypatch.delenv("CKPT_KEY_FILE", raising=False)
    load_keyring()
    assert (tmp_path / "ckpt_magic" / "signing.key").exists()


def test_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from ckpt_magic.files.trust import load_keyring
print("ready", flush=True)
sys.stdin.readline()
print(load_keyring({{}}, Path({str(tmp_path / "k")!r})).signing.id.hex())
"""
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert len({process.communicate()[0].strip() for process in running}) == 1
    assert os.listdir(tmp_path / "k") == ["signing.key"]


def test_without_hard_links_a_key_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert load_keyring({}, tmp_path / "k") == load_keyring({}, tmp_path / "k")
    assert os.listdir(tmp_path / "k") == ["signing.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_use_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    load_keyring({}, tmp_path)
    path = tmp_path / "signing.key"
    path.chmod(mode)
    with pytest.raises(UntrustedError, match=f"chmod 600 {path}"):
        load_keyring({}, tmp_path)
    path.chmod(0o600)
    load_keyring({}, tmp_path)


@pytest.mark.skipif(not RUNNING_AS_ROOT, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_keyring({}, tmp_path)
    os.chown(tmp_path / "signing.key", 12345, -1)
    with pytest.raises(UntrustedError, match="another user"):
        load_keyring({}, tmp_path)


def test_the_environment_can_give_the_key(tmp_path: Path) -> None:
    key = Key(bytes(range(32)))
    export_key(key, tmp_path / "team.key")
    by_file = load_keyring({"CKPT_KEY_FILE": str(tmp_path / "team.key"), "CKPT_KEY": "ignored"}, tmp_path / "k")
    by_text = load_keyring({"CKPT_KEY": "a long secret"}, tmp_path / "k")
    assert by_file.signing == key
    assert by_text.signing == load_keyring({"CKPT_KEY": "a long secret"}, tmp_path / "k2").signing
    assert len(by_text.signing.secret) == 32
    assert by_text.signing != load_keyring({"CKPT_KEY": "another"}, tmp_path / "k").signing
    assert not (tmp_path / "k").exists()  # nothing is made where it is not needed


def test_what_a_process_left_that_died_while_making_a_key_is_deleted(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    left, living = (tmp_path / f".signing.key.{pid}-0123abcd.tmp" for pid in (dead.pid, os.getpid()))
    for path in (left, living):
        path.touch()
    load_keyring({}, tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([living.name, "signing.key"])


def test_a_key_that_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="the disk is full; mend that, or set CKPT_KEY or CKPT_KEY_FILE"):
            load_keyring({}, tmp_path)
    assert os.listdir(tmp_path) == []
    load_keyring({}, tmp_path)


def test_an_empty_variable_is_no_key(tmp_path: Path) -> None:
    assert load_keyring({"CKPT_KEY": "", "CKPT_KEY_FILE": ""}, tmp_path).signing == read_key(tmp_path / "signing.key")


def test_the_users_own_key_stays_accepted_beside_one_from_the_environment(tmp_path: Path) -> None:
    own = load_keyring({}, tmp_path).signing
    ring = load_keyring({"CKPT_KEY": "team"}, tmp_path)
    assert ring.signing != own
    assert ring.accepted == (ring.signing, own)


def test_an_imported_key_is_accepted_and_does_not_sign(tmp_path: Path) -> None:
    theirs = load_keyring({}, tmp_path / "theirs").signing
    own = load_keyring({}, tmp_path / "own").signing
    export_key(theirs, tmp_path / "their.key")
    assert stat.S_IMODE((tmp_path / "their.key").stat().st_mode) == 0o600
    for _ in range(2):  # twice is not an error
        assert import_key(tmp_path / "their.key", tmp_path / "own") == theirs
    ring = load_keyring({}, tmp_path / "own")
    assert ring.signing == own
    assert ring.accepted == (own, theirs)
    assert ring.find(theirs.id) == theirs
    assert ring.find(b"unknown!") is None


def test_exporting_never_writes_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="thesis.txt"):
        export_key(Key(bytes(32)), tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert os.listdir(tmp_path) == ["thesis.txt"]


@pytest.mark.parametrize("text", ["hello", "g" * 64, "a" * 63, "a" * 65])
def test_a_file_that_is_no_key_is_a_usage_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        load_keyring({"CKPT_KEY_FILE": str(path)}, tmp_path)


def test_a_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere.key"):
        load_keyring({"CKPT_KEY_FILE": str(tmp_path / "nowhere.key")}, tmp_path)


def test_where_no_key_can_be_made_the_message_names_the_variables(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="CKPT_KEY or CKPT_KEY_FILE"):
        load_keyring({}, tmp_path / "file" / "k")


def test_a_key_does_not_show_its_secret() -> None:
    key = Key(bytes(range(32)))
    assert key.secret.hex() not in repr(key)
    assert key.id.hex() in repr(key)
    assert key.secret[:8] != key.id
    assert len(key.id) == 8


def test_a_signature_fits_its_key_and_its_bytes_only() -> None:
    key, other = Key(bytes(32)), Key(b"x" * 32)
    mac = key.sign(b"footer", b"meta")
    assert key.verify(mac, b"footer", b"meta")
    assert not key.verify(mac, b"footer", b"Meta")
    assert not other.verify(mac, b"footer", b"meta")


class Call:
    """Pickles to a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_callables_are_named_and_never_called(tmp_path: Path, protocol: int) -> None:
    value = [Call(os.mkdir, str(tmp_path / "ran")), Call(os.rmdir, "x"), Call(os.mkdir, "y"), collections.OrderedDict()]
    found = callables(pickle.dumps(value, protocol))
    assert [name for name in found if "dir" in name] == ["posix.mkdir", "posix.rmdir"]  # the second by the memo
    assert any("OrderedDict" in name for name in found)
    assert not (tmp_path / "ran").exists()


def test_callables_reads_a_file_from_where_it_stands() -> None:
    file = io.BytesIO(b"skip" + pickle.dumps(len) + b"what follows is not looked at")
    file.seek(4)
    assert callables(file) == ["builtins.len"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"cos\nsystem\n.", ["os.system"]),
        (b"(ios\nsystem\n.", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", ["os.system"]),
        (b"\x80\x04\x8c\x02osq\x05\x8c\x06systemq\x060h\x05h\x06\x93.", ["os.system"]),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02os\x8c\x06system\x93\x86.", ["os.system"]),
        (b"\x80\x04\x8c\x02os2\x93.", ["os.os"]),
        (b"\x80\x04X\x02\x00\x00\x00os\x8c\x06system\x93.", ["os.system"]),
        (b"\x80\x04U\x02osU\x06system\x93.", ["os.system"]),
        (b"\x80\x04)\x8c\x06system\x93.", ["(a name computed while loading)"]),
        (b"\x80\x04\x8c\x02os(lR\x8c\x06system\x93.", ["(a name computed while loading)"]),
        (b"\x80\x02\x82\x05.", ["(number 5 of the copyreg extensions)"]),
        (b"\x80\x04\x8c\x02os\x8c\x07\x1b[31mxy\x93.", ["'os.\\x1b[31mxy'"]),
    ],
)
def test_callables_of_hand_made_pickles(text: bytes, expected: list[str]) -> None:
    assert callables(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"\x80",
        b"\x80\x05",
        b"\x80\x05N",
        b"\x80\x05\x93.",
        b"\x80\x05h\x07.",
        b"\x80\x05u.",
        b"\x80\x05(u.",
        b"\x80\x05]u.",
        b"\x80\x05\x8e" + b"\xff" * 8 + b".",
        b"\x80\x05\x8e" + (1 << 60).to_bytes(8, "little") + b".",
        b"\x80\x05\x8d" + (1 << 60).to_bytes(8, "little") + b".",
        b"\x80\x05\x8a\xff.",
        b"\x80\x05\x8b\xff\xff\xff\xff.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"c\xff\n\xff\n.",
    ],
)
def test_what_is_no_pickle_is_a_named_error(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a complete pickle"):
        callables(text)
    (tmp_path / "x").write_bytes(text)
    with (tmp_path / "x").open("rb") as file, pytest.raises(FormatError):
        callables(file)


@pytest.mark.parametrize("text", [b"N\x94" * 50_000, b"(" * 100_000, b"]" * 100_000, b"\x88q\x00" * 30_000])
def test_a_pickle_of_millions_of_things_takes_little_memory_to_look_at(text: bytes) -> None:
    """A hostile one must not take down the kernel that shows what is in it."""
    tracemalloc.start()
    try:
        callables(text + b".")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * len(text) + 100_000


def test_any_change_to_a_pickle_gives_callables_or_a_named_error() -> None:
    chance = random.Random(7)
    whole = pickle.dumps(
        [Call(os.mkdir, "x"), {"a": [1, 2.0, "é", b"x", {3}, frozenset([4])]}, collections.Counter("ab")]
    )
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            callables(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
        except FormatError:
            pass
