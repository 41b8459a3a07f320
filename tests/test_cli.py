from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ckpt_magic.faces.cli import main
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from tests import making
from tests.test_stored import save

VARIABLES = [{"name": "x", "type": "int", "shape": None, "bytes": None}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two steps of `m` in the default folder below the working directory."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".ckpt")
    for step in (1, 2):
        save(store.path("m", 1, step), {"x": step}, load_keyring(), step=step, variables=VARIABLES)
    return store.folder


def notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


Capsys = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("folder")
def test_status_shows_a_table_or_json(capsys: Capsys) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["step", "state"]
    assert main(["status", "--json", "--name", "m"]) == 0
    assert [row["step"] for row in json.loads(capsys.readouterr().out)] == [1, 2]
    assert main(["status", "2"]) == 0
    assert "pipeline  m, version 1" in " ".join(capsys.readouterr().out.split("\n")).replace("   ", " ")
    assert main(["status", "7"]) == 1
    assert "step 7 is not stored" in capsys.readouterr().err


def test_a_notebook_says_where_its_checkpoints_lie(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "nb").mkdir()
    path = notebook(
        tmp_path / "nb/a.ipynb", "%ckpt_config --folder ck", '# first\n%%step 1 --name "m" --version=3\nx = 1'
    )
    save(Store(tmp_path / "nb/ck").path("m", 3, 1), {"x": 1}, load_keyring(), version="3", variables=VARIABLES)

    assert main(["status", str(path), "--json"]) == 0
    assert [row["version"] for row in json.loads(capsys.readouterr().out)] == ["3"]
    assert main(["load", str(path), "1"]) == 0
    assert capsys.readouterr().out == "step_1\n  x = 1\n"
    assert main(["clear", str(path), "--all", "--yes"]) == 0
    assert not Store(tmp_path / "nb/ck").entries()


@pytest.mark.usefixtures("folder")
def test_a_notebook_without_names_is_called_as_its_file(tmp_path: Path, capsys: Capsys) -> None:
    path = notebook(tmp_path / "m.ipynb", "%%step 1\nx = 1")
    assert main(["load", str(path)]) == 0
    assert "outputs of `m`, version 1" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_status_of_a_notebook_shows_no_steps_of_another_one(tmp_path: Path, capsys: Capsys) -> None:
    path = notebook(tmp_path / "other.ipynb", "%%step 1\nx = 1")
    assert main(["status", str(path)]) == 0
    assert capsys.readouterr().out == (
        "no steps: nothing is stored\nstored in .ckpt: m (version 1); --name and --version choose\n"
    )
    path = notebook(tmp_path / "two.ipynb", "%%step 1 --name m\nx = 1", "%%step 1 --name n\nx = 1")
    assert main(["status", str(path), "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["m", "m"]


@pytest.mark.usefixtures("folder")
def test_load_shows_what_is_stored_and_prints_values_of_steps(capsys: Capsys) -> None:
    assert main(["load", "--name", "m"]) == 0
    assert "x int" in capsys.readouterr().out
    assert main(["load", "--name", "m", "1-2"]) == 0
    assert capsys.readouterr().out == "step_1\n  x = 1\nstep_2\n  x = 2\n"
    assert main(["load", "--name", "m", "--json", "2"]) == 0
    assert [row["step"] for row in json.loads(capsys.readouterr().out)] == [2]


@pytest.mark.usefixtures("folder")
def test_errors_are_plain_lines_with_a_status(capsys: Capsys) -> None:
    assert main(["load"]) == 2
    assert (
        capsys.readouterr().err
        == "ckpt-magic: which pipeline? --name NAME, or a notebook's path; stored: m (version 1)\n"
    )
    assert main(["load", "--name", "zz"]) == 1
    assert capsys.readouterr().err.startswith("ckpt-magic: nothing is stored of `zz` version 1")
    assert main(["status", "nowhere.ipynb"]) == 2
    assert main(["status", "a", "b"]) == 2
    assert main(["check", "--folder", ""]) == 2
    with pytest.raises(SystemExit) as left:
        main(["verify", "a.ipynb", "--step", "0"])
    assert left.value.code == 2
    assert main(["clear", "--name", "m"]) == 2
    with pytest.raises(SystemExit) as left:
        main(["status", "--nam", "m"])
    assert left.value.code == 2
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2


def test_clear_deletes_only_with_yes(folder: Path, capsys: Capsys) -> None:
    assert main(["clear", "--name", "m", "1"]) == 0
    assert "would delete 1 file" in capsys.readouterr().out
    assert len(Store(folder).entries()) == 2
    assert main(["clear", "--name", "m", "1", "--yes"]) == 0
    assert [entry.step for entry in Store(folder).entries()] == [2]


def test_trust_shows_and_signs(folder: Path, tmp_path: Path, capsys: Capsys) -> None:
    path = save(Store(folder).path("m", 1, 3), {"x": 3}, making.some_keyring(tmp_path), step=3)

    assert main(["load", "--name", "m", "3"]) == 1
    assert "someone else's checkpoint" in capsys.readouterr().err
    assert main(["trust", str(folder)]) == 0
    out = capsys.readouterr().out
    assert str(path) in out and "not signed" in out and "step1" not in out
    assert main(["trust", str(path), "--yes"]) == 0
    assert main(["load", "--name", "m", "3"]) == 0
    assert main(["trust"]) == 2


def test_keys_are_shown_exported_and_imported(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    mine = load_keyring().signing.id.hex()
    assert main(["key", "show"]) == 0
    assert mine in capsys.readouterr().out
    assert main(["key", "export", str(tmp_path / "k")]) == 0
    assert main(["key", "export", str(tmp_path / "k")]) == 1
    assert "exists" in capsys.readouterr().err

    monkeypatch.setenv("CKPT_KEY", "another")
    assert main(["key", "import", str(tmp_path / "k")]) == 0
    capsys.readouterr()
    assert main(["key", "show"]) == 0
    assert f"accepts      {mine}" in capsys.readouterr().out
    assert main(["key", "export"]) == 2 and main(["key", "show", "x"]) == 2
    assert main(["key", "export", "."]) == 1  # a folder


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ckpt_magic", "status"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("no steps")
    version = subprocess.run(
        [sys.executable, "-m", "ckpt_magic", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert version.stdout.startswith("ckpt-magic 0.")


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(sys.platform != "linux", reason="needs a shell and /dev/full")
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("status >&- 2>&-", 0, ""),
        ("status >/dev/full", 1, "ckpt-magic: the output cannot be written: No space left on device\n"),
        ("status --help | tail -1 | grep -q .", 0, ""),
        ("run a.ipynb <&- >&- 2>&-", 0, ""),
        ("run a.ipynb 2> >(true)", 0, ""),
    ],
)
def test_streams_that_are_closed_full_or_know_few_letters_cost_no_work(
    tmp_path: Path, line: str, status: int, said: str
) -> None:
    notebook(tmp_path / "a.ipynb", "print(1)")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m ckpt_magic {line}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (status, said)
    assert "run" not in line or (tmp_path / "a.out.ipynb").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(os.name == "nt", reason="needs a pipe")
def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m ckpt_magic status --json | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr
