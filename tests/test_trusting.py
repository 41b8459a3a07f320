from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import ckpt_magic
from ckpt_magic.errors import StoreError, UsageError
from ckpt_magic.faces import trusting
from ckpt_magic.faces.cli import main
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.sections import FOOTER
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import key_folder, load_keyring, new_key
from tests import making
from tests.kernels import Kernel
from tests.test_stored import save

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of a file of its own, as users have it, and an empty working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("CKPT_KEY")


@pytest.mark.usefixtures("own_key")
def test_a_new_key_signs_and_the_old_one_stays_accepted(capsys: Capsys) -> None:
    old = load_keyring().signing
    save(Store(Path(".ckpt")).path("m", 1, 1), {"n": 1}, load_keyring())
    assert main(["key", "new"]) == 0
    out = capsys.readouterr().out
    ring = load_keyring()
    assert ring.signing != old and ring.accepted == (ring.signing, old)
    assert ring.signing.id.hex() in out and old.id.hex() in out and old.secret.hex() not in out
    own = key_folder() / "signing.key"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert sorted(os.listdir(key_folder())) == ["accepted", "signing.key"]
    assert ckpt_magic.check("m").well
    assert main(["key", "new", "FILE"]) == 2


def test_a_key_of_the_environment_is_changed_there(tmp_path: Path) -> None:
    for name in ("CKPT_KEY", "CKPT_KEY_FILE"):
        with pytest.raises(UsageError, match=f"comes from {name}: change it there"):
            new_key({name: "x"}, tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


def test_a_new_key_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = load_keyring({}, tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(StoreError, match="No space left"):
            new_key({}, tmp_path)
    assert load_keyring({}, tmp_path).signing == ring.signing
    assert sorted(os.listdir(tmp_path)) == ["accepted", "signing.key"]


@pytest.mark.usefixtures("own_key")
def test_all_that_is_trusted_is_signed_again_and_nothing_else(tmp_path: Path, capsys: Capsys) -> None:
    store = Store(Path(".ckpt").absolute())
    old = load_keyring()
    for step in (1, 2):
        save(store.path("m", 1, step), {"a": np.arange(30_000) + step}, old, step=step)
    others = save(store.path("m", 1, 3), {"n": 3}, making.some_keyring(tmp_path), step=3)
    tampered = save(store.path("m", 1, 4), {"n": 4}, old, step=4)
    making.overwrite(tampered, tampered.read_bytes().replace(b'"step":4', b'"step":5'))
    foreign = store.folder / "dslib.pkl"
    foreign.write_bytes(b"\x80\x05N.")
    left = {path: path.read_bytes() for path in (others, tampered, foreign)}
    before = {step: store.path("m", 1, step).read_bytes() for step in (1, 2)}
    new_key()
    save(store.path("m", 1, 5), {"n": 5}, load_keyring(), step=5)
    current = store.path("m", 1, 5).stat()

    assert main(["trust", "--resign"]) == 0
    out = capsys.readouterr().out
    assert out.count("signed again") == 2 and "3 not trusted" in out
    assert "m-v1-step3.pkl is someone else's checkpoint" in out and "dslib.pkl was not written by ckpt_magic" in out
    for step, data in before.items():
        stored = open_checkpoint(store.path("m", 1, step), load_keyring())
        assert stored.footer is not None and stored.footer.key_id == load_keyring().signing.id
        assert stored.path.read_bytes()[: -FOOTER.size] == data[: -FOOTER.size]
    assert left == {path: path.read_bytes() for path in left}
    ring = load_keyring()
    rows = [*trusting.resign(store.folder, ring), *trusting.trust_path(store.folder, ring, {}, yes=False)]
    assert len(rows) == 6 and len({frozenset(row) for row in rows}) == 1
    assert store.path("m", 1, 5).stat().st_ino == current.st_ino
    (key_folder() / "accepted" / f"{old.signing.id.hex()}.key").unlink()
    assert [row["state"] for row in ckpt_magic.check("m")] == ["whole", "whole", "other key", "other key", "whole"]


@pytest.mark.usefixtures("own_key")
def test_arrays_of_a_kernel_live_on_and_it_reads_what_a_new_key_signed(tmp_path: Path) -> None:
    folder = tmp_path / "ck"
    body = "import numpy\na = numpy.arange(50_000)"
    Kernel(folder).step(1, body)
    kernel = Kernel(folder, "end")
    assert kernel.step(1, body)["action"] == "restored"
    new_key()
    assert main(["trust", "--resign", str(folder)]) == 0
    kernel.step(2, "total = int(a.sum())")
    assert kernel.names["total"] == sum(range(50_000))
    assert kernel.step(1, body)["action"] == "restored"


@pytest.mark.parametrize(
    "words", [["--resign", "--yes"], ["--resign", "--key", "k"], [], ["x", "--key", "k"]], ids=" ".join
)
def test_trust_takes_one_thing_at_a_time(words: list[str], capsys: Capsys) -> None:
    assert main(["trust", *words]) == 2
    assert capsys.readouterr().err.startswith("ckpt-magic: trust: ")


def test_a_folder_that_is_not_there_or_empty_is_not_called_trusted(tmp_path: Path, capsys: Capsys) -> None:
    assert main(["trust", "--resign", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == f"ckpt-magic: there is no folder {tmp_path / 'nowhere'}\n"
    assert main(["trust", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there are no checkpoints in {tmp_path}\n"


def test_a_signature_that_changes_between_looking_and_copying_signs_nothing(tmp_path: Path) -> None:
    from ckpt_magic.files.store import sign_again

    ring = making.some_keyring(tmp_path)
    path = save(tmp_path / "m-v1-step1.pkl", {"n": 1}, making.some_keyring(tmp_path, "other"))
    with pytest.raises(ckpt_magic.OtherKeyError):
        sign_again(path, ring)
    whole = path.read_bytes()
    making.overwrite(path, whole[:-1])
    with pytest.raises(ckpt_magic.DamagedError):
        sign_again(path, ring)
    assert path.read_bytes() == whole[:-1]


def test_what_a_file_says_reaches_no_terminal_as_it_is(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control characters, escape sequences, marks that turn the writing direction, markup of rich and HTML."""
    monkeypatch.chdir(tmp_path)
    nasty = "\x1b[31mred\x07\u202egnp.exe\u2066\r\x9b0m[bold]b[/bold]<script>alert(1)</script>\u2028"
    store = Store(tmp_path / ".ckpt")
    variables = [{"name": nasty, "type": nasty, "shape": [1], "bytes": 1}]
    path = save(
        store.path("m", 1, 1),
        {"n": 1},
        making.some_keyring(tmp_path),
        title=nasty,
        variables=variables,
        source=nasty,
        created=nasty,
        notebook=nasty,
        lost=[{"name": nasty, "type": nasty, "reason": nasty}],
    )
    save(
        store.path("mine", 1, 1), {"n": 1}, load_keyring(), name="mine", method=nasty, title=nasty, variables=variables
    )
    weird = store.folder / "x\x1b[31m\u202e.pkl"
    weird.write_bytes(b"\x80\x05c\x1b[31mos\nsys\x1btem\n.")
    assert main(["export", "m", "-o", "m.zip"]) == 0
    for words in (
        ["status"],
        ["status", "1"],
        ["check"],
        ["load", "--name", "m"],
        ["load", "--name", "mine"],
        ["status", "--name", "mine"],
        ["load", "--name", "m", "1"],
        ["trust", str(store.folder)],
        ["trust", str(weird)],
        ["trust", "--resign"],
        ["clear", "--name", "m", "--all"],
        ["export", "m"],
        ["import", "m.zip", "--folder", "o\x1b[31m"],
        ["import", str(weird)],
    ):
        main(words)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert text.replace("\n", "").isprintable(), [char for char in text if not char.isprintable() and char != "\n"]
    assert "[bold]b[/bold]" in shown.out
    rows = ckpt_magic.status("m", folder=store.folder)
    about = rows._repr_html_()
    assert "<script>" not in about and "&lt;script&gt;" in about and "\u202e" not in about
    assert path.exists()


def test_a_file_that_cannot_be_read_has_a_line_among_the_others(tmp_path: Path, capsys: Capsys) -> None:
    ring = load_keyring()
    for step in (1, 2):
        save(Store(tmp_path).path("m", 1, step), {"x": 1}, ring, step=step)
    broken = Store(tmp_path).path("m", 1, 1)
    making.overwrite(broken, broken.read_bytes()[:-200])
    assert main(["trust", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "is damaged: its end is missing" in told
