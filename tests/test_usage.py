from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from ckpt_magic.files import format as files
from ckpt_magic.files import signing, usage
from ckpt_magic.files.store import Store, trust
from ckpt_magic.files.trust import Keyring
from tests.making import save, some_keyring


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return some_keyring(tmp_path)


@pytest.fixture
def store(tmp_path: Path, ring: Keyring) -> Store:
    """Five steps, saved one after the other, an hour apart; each takes some thousand bytes."""
    store = Store(tmp_path / "ckpt")
    for step in range(1, 6):
        path = save(store.path("m", 1, step), {"text": b"x" * 5000}, ring, step=step)
        os.utime(path, (0, 1_000_000 + 3600 * step))
    return store


def going(store: Store, ring: Keyring, quota: int, *spared: Path) -> list[int]:
    return [one.entry.step for one in usage.over_quota(store, ring, quota, spared=spared)]


def test_what_was_least_recently_used_goes_first(store: Store, ring: Keyring) -> None:
    one = store.path("m", 1, 1).stat().st_size
    assert going(store, ring, 10 * one) == []
    assert going(store, ring, 5 * one) == []
    assert going(store, ring, 3 * one) == [1, 2]
    assert going(store, ring, 0) == [1, 2, 3, 4, 5]

    usage.note(store.path("m", 1, 1))
    usage.note(store.path("m", 1, 3))
    usage.note(store.path("m", 1, 1))
    assert going(store, ring, 0) == [2, 4, 5, 3, 1]


def test_spared_files_stay_and_others_go_for_them(store: Store, ring: Keyring) -> None:
    one = store.path("m", 1, 1).stat().st_size
    assert going(store, ring, 3 * one, store.path("m", 1, 1)) == [2, 3]
    assert going(store, ring, 0, *(store.path("m", 1, step) for step in range(1, 6))) == []


def test_a_file_that_is_about_to_be_there_counts_with_its_new_size_and_stays(store: Store, ring: Keyring) -> None:
    one = store.path("m", 1, 1).stat().st_size
    for coming, gone in (
        ({store.path("m", 1, 6): 2 * one}, [1, 2]),
        ({store.path("m", 1, 1): 2 * one}, [2]),
        ({store.path("m", 1, 1): 100 * one}, [2, 3, 4, 5]),
    ):
        found = usage.over_quota(store, ring, 5 * one, coming=coming)
        assert [two.entry.step for two in found] == gone


def test_only_what_a_step_of_this_user_wrote_counts_and_goes(store: Store, ring: Keyring, tmp_path: Path) -> None:
    """A pickle of dslib has a name like ours; nobody can make it again by running a step."""
    one = store.path("m", 1, 1).stat().st_size
    save(store.path("m", 1, 6), {"text": b"x" * 50_000}, some_keyring(tmp_path, "somebody"), step=6)
    (store.folder / "m-v1-step7.pkl").write_bytes(pickle.dumps(b"x" * 50_000))
    trusted = store.folder / "m-v1-step8.pkl"
    trusted.write_bytes(pickle.dumps(b"x" * 50_000))
    trust(trusted, ring, signing.show(trusted, ring).digest)
    store.set_aside(save(store.path("m", 1, 9), {"text": b"x" * 50_000}, ring, step=9), "kept")
    assert going(store, ring, 4 * one) == [1]
    assert going(store, ring, 0) == [1, 2, 3, 4, 5]


def test_noting_a_use_leaves_the_checkpoint_as_it_is(store: Store, ring: Keyring) -> None:
    """A mapped file whose modification time changed counts as written to."""
    path = store.path("m", 1, 1)
    parts = files.open_checkpoint(path, ring)
    before = path.stat()
    usage.note(path)
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )
    assert parts.parts().skeleton
    assert [entry.step for entry in store.entries()] == [1, 2, 3, 4, 5] and len(store.pickles()) == 5


def test_notes_stay_short_and_keep_the_last_use(store: Store, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_LONGEST", 500)
    for step in (3, 1, 2, 5):
        for _ in range(40):
            usage.note(store.path("m", 1, step))
    assert (store.folder / ".used").stat().st_size < 600
    assert going(store, ring, 0)[0] == 4
    assert sorted(name for name in os.listdir(store.folder) if name.startswith(".ckpt-")) == []


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe\0", b"x m-v1-step1.pkl\n", b"-5 m-v1-step1.pkl\n", b"9" * 400 + b" m-v1-step1.pkl\n", b"5"]
)
def test_notes_that_make_no_sense_count_as_none(store: Store, ring: Keyring, text: bytes) -> None:
    (store.folder / ".used").write_bytes(text)
    assert going(store, ring, 0) == [1, 2, 3, 4, 5]


def test_a_use_in_time_to_come_counts_as_one_now(store: Store, ring: Keyring) -> None:
    (store.folder / ".used").write_text("999999999999.000000 m-v1-step2.pkl\n")
    found = {one.entry.step: one.last for one in usage.used(store, ring)}
    assert found[2] < 100_000_000_000 and max(found, key=lambda step: found[step]) == 2


def test_notes_that_cannot_be_written_are_no_error(store: Store, ring: Keyring, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for make in (lambda notes: notes.symlink_to(victim), os.mkdir, os.mkfifo):
        make(store.folder / ".used")
        usage.note(store.path("m", 1, 1))
        assert going(store, ring, 0) == [1, 2, 3, 4, 5]
        (os.rmdir if (store.folder / ".used").is_dir() else os.unlink)(store.folder / ".used")
    assert victim.read_text() == "precious"
    usage.note(tmp_path / "nowhere" / "m-v1-step1.pkl")
    assert not (tmp_path / "nowhere").exists()
