from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import ckpt_magic
from ckpt_magic.errors import StepNotFoundError
from ckpt_magic.faces.cli import main
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from tests import making
from tests.test_cli import notebook
from tests.test_stored import save

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three steps of `m`, two of them with payloads, in the default folder below the working directory."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".ckpt")
    for step in (1, 2, 10):
        value = {"a": np.arange(20_000) + step, "b": np.ones(30_000), "n": step} if step < 10 else {"n": 10}
        save(store.path("m", 1, step), value, load_keyring(), step=step)
    return store.folder


def change_payload(path: Path, *numbers: int) -> None:
    """Change a byte of these payloads in place, as a bad disk does."""
    data = bytearray(path.read_bytes())
    for number in numbers:
        data[open_checkpoint(path, load_keyring()).meta["buffers"][number][0]] ^= 1
    making.overwrite(path, bytes(data))


def test_whole_files_have_a_line_each_and_status_0(folder: Path, capsys: Capsys) -> None:
    assert main(["check"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["m-v1-step1.pkl", "m-v1-step2.pkl", "m-v1-step10.pkl"]
    assert all(line.endswith(" · whole") for line in lines)
    assert total.startswith("3 files, ") and total.endswith(": all is well")


def test_variables_whose_bytes_changed_are_named(folder: Path, capsys: Capsys) -> None:
    change_payload(folder / "m-v1-step2.pkl", 0, 1)
    assert main(["check", "--name", "m"]) == 1
    *lines, total = capsys.readouterr().out.splitlines()
    assert "damaged · bytes of `a`, `b` are not what was saved" in lines[1]
    assert total.endswith("1 is not well")

    assert main(["check", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["step"], row["state"], row["changed"]) for row in rows] == [
        (1, "whole", []),
        (2, "damaged", ["a", "b"]),
        (10, "whole", []),
    ]
    assert list(ckpt_magic.check("m")) == rows


def test_everything_that_is_wrong_with_a_file_is_told_apart(folder: Path, tmp_path: Path) -> None:
    store, keys = Store(folder), load_keyring()
    others = save(store.path("m", 1, 3), {"n": 3}, making.some_keyring(tmp_path), step=3)
    making.overwrite(store.path("m", 1, 4), b"") if store.path("m", 1, 4).exists() else None
    store.path("m", 1, 4).write_bytes(pickle.dumps(4))
    tampered = save(store.path("m", 1, 5), {"n": 5}, keys, step=5)
    making.overwrite(tampered, tampered.read_bytes().replace(b'"step":5', b'"step":6'))
    copied = store.path("m", 1, 6)
    copied.write_bytes((folder / "m-v1-step1.pkl").read_bytes())
    shown = save(store.path("m", 1, 7), {"n": 7}, keys, step=7)
    stored = open_checkpoint(shown, keys)
    assert stored.footer is not None
    data = bytearray(shown.read_bytes())
    data[stored.footer.pickle] ^= 1
    making.overwrite(shown, bytes(data))
    cut = save(store.path("m", 1, 8), {"n": 8}, keys, step=8)
    making.overwrite(cut, cut.read_bytes()[:-5])
    changed = save(store.path("m", 1, 9), {"n": 9}, keys, step=9)
    making.overwrite(changed, changed.read_bytes().replace(b"n", b"k", 1))

    found = ckpt_magic.check("m", 1, folder)
    states = {row["step"]: row["state"] for row in found}
    assert states == {
        1: "whole",
        2: "whole",
        3: "other key",
        4: "foreign",
        5: "tampered",
        6: "other pipeline",
        7: "damaged",
        8: "damaged",
        9: "damaged",
        10: "whole",
    }
    assert not found.well
    assert all(row["reason"] for row in found if row["state"] != "whole")
    assert others.exists() and not any("\n" in line for line in repr(found).splitlines())


def test_nothing_to_check_is_not_well(folder: Path, capsys: Capsys) -> None:
    """A script that mistypes the folder must not be told that all is well."""
    assert main(["check", "--folder", "nowhere"]) == 1
    assert "nothing is stored in" in capsys.readouterr().err
    assert main(["check", "--name", "m", "--version", "7"]) == 1
    assert "nothing is stored of `m` version 7" in capsys.readouterr().err
    assert main(["check", "3"]) == 2
    with pytest.raises(StepNotFoundError):
        ckpt_magic.check("nobody")


def test_a_notebook_says_which_files_are_checked(folder: Path, capsys: Capsys) -> None:
    path = notebook(folder.parent / "a.ipynb", "%%step 1 --name m --version 2\nx = 1")
    save(Store(folder).path("m", 2, 1), {"n": 1}, load_keyring(), version="2")
    change_payload(folder / "m-v1-step1.pkl", 0)
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("m-v2-step1.pkl · ")


def test_memory_stays_small_whatever_the_size_of_the_file(tmp_path: Path) -> None:
    import tracemalloc

    store = Store(tmp_path)
    value = {"text": [b"x" * 3_000_000 for _ in range(8)], "a": np.zeros(3_000_000)}
    save(store.path("m", 1, 1), value, load_keyring())
    tracemalloc.start()
    try:
        assert ckpt_magic.check("m", 1, tmp_path).well
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
