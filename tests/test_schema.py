"""What `--json` gives is what `ckpt-magic VERB --help` says: just these keys, of these types."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_magic.faces import schema
from ckpt_magic.faces.cli import main
from ckpt_magic.faces.schema import ALONE, OBJECTS, VERBS
from ckpt_magic.files.trust import Key, Keyring
from tests import making
from tests.conftest import REPOSITORY
from tests.test_runner import save

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CELLS = [
    "%load_ext ckpt_magic\n%ckpt_config --name m",
    "lr = 0.1\ndef twice(x):\n    return 2 * x",
    "%%step 1 --title load\nimport numpy as np, random\ndata = np.arange(5.0)\nguess = random.random()",
    "%%step 2\nimport sqlite3\nresult = {'a': twice(data.sum() * lr)}\ndb = sqlite3.connect(':memory:')",
]


def fits(kind: str, value: Any) -> bool:
    """Whether a value of a JSON text has a type of the schema."""
    if kind.endswith("|null"):
        return value is None or fits(kind.removesuffix("|null"), value)
    if kind.startswith("["):
        return isinstance(value, list) and all(fits(kind[1:-1], one) for one in value)
    if kind.startswith("{"):
        return isinstance(value, dict) and all(fits(kind[1:-1], one) for one in value.values())
    if kind in OBJECTS:
        return is_object(OBJECTS[kind], value)
    types: dict[str, Any] = {"int": int, "number": (int, float), "text": str, "flag": bool, "any": object}
    return isinstance(value, types[kind]) and (kind in ("flag", "any") or not isinstance(value, bool))


def is_object(keys: schema.Keys, value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == keys.keys()
        and all(fits(kind, value[key]) for key, (kind, _) in keys.items())
    )


def asked(*arguments: str) -> Any:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(arguments)
    return json.loads(out.getvalue())


@pytest.fixture
def project(shell: InteractiveShell, tmp_path: Path) -> Path:
    """Two steps of two versions, one of them stale, one failed run, and a file of somebody else."""
    for number, version in enumerate("12"):
        shell.run_cell("%reset -f")
        for cell in CELLS:
            text = cell.replace("--name m", f"--name m --version {version}").replace("5.0", f"{5 + number}.0")
            assert shell.run_cell(text).success
    assert not shell.run_cell("%%step 3\nhalf = 1\nhalf / 0").success
    shell.run_cell("%ckpt_config --version 1")
    shell.run_cell("%ckpt_status")
    foreign = Keyring(Key(bytes(32)), (Key(bytes(32)),))
    making.save(tmp_path / ".ckpt" / "other-v1-step1.pkl", {"x": 1}, foreign, name="other")
    save(tmp_path / "m.ipynb", *(cell.replace("lr = 0.1", "lr = 0.2") for cell in CELLS))
    random.seed(5)
    return tmp_path


def all_forms(project: Path) -> dict[str, Any]:
    """The JSON of each form that runs no notebook."""
    m = ("--name", "m", "--version", "1")
    asked_for = {
        "plan": ("plan", str(project / "m.ipynb"), "--json"),
        "status": ("status", "--json"),
        "status STEP": ("status", "2", *m, "--json"),
        "load": ("load", *m, "--json"),
        "load --failed": ("load", "--failed", "--name", "m", "--version", "2", "--json"),
        "diff": ("diff", "1", "2", "--name", "m", "--json"),
        "clear": ("clear", "--all", "--kept", *m, "--json"),
        "check": ("check", "--json"),
        "export": ("export", *m, "-o", str(project / "m.zip"), "--json"),
        "import": ("import", str(project / "m.zip"), "--folder", str(project / "new"), "--json"),
    }
    return {form: asked(*arguments) for form, arguments in asked_for.items()}


def test_what_is_given_is_what_is_documented(project: Path) -> None:
    found = all_forms(project)
    for form, given in found.items():
        assert isinstance(given, dict) == (form in ALONE), form
        rows = [given] if form in ALONE else given
        assert rows, form
        for row in rows:
            assert row.keys() == VERBS[form].keys(), form
            for key, (kind, _) in VERBS[form].items():
                assert fits(kind, row[key]), (form, key, kind, row[key])
    assert {row["state"] for row in found["plan"]} == {"fresh", "stale"}
    assert found["status STEP"][0]["lost"]
    assert any(value["differences"] for value in found["diff"][0]["values"])
    assert found.keys() | {"verify", "accept"} == VERBS.keys()


@pytest.mark.parametrize("form", ["verify", "accept"])
def test_what_runs_the_notebook_gives_what_is_documented(project: Path, form: str) -> None:
    given = asked(form, str(project / "m.ipynb"), "--step", "2", "--json")
    assert is_object(VERBS[form], given), given
    assert given.get("verdict") == ("differs" if form == "verify" else None)


@pytest.mark.parametrize("verb", sorted({form.partition(" ")[0] for form in VERBS}))
def test_the_help_of_a_verb_has_each_key_with_its_type(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out
    for form, keys in VERBS.items():
        if form.partition(" ")[0] == verb:
            assert f"{form} --json gives" in shown
            for key, (kind, meaning) in keys.items():
                assert re.search(rf"^  {key} +{re.escape(kind)} +{re.escape(meaning)}$", shown, re.MULTILINE), key
                inner = kind.removesuffix("|null").strip("[]{}")
                assert inner not in OBJECTS or f"\n{inner}:\n" in shown


def test_verbs_without_json_have_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "gives" not in capsys.readouterr().out
    assert all(form.partition(" ")[0] in (REPOSITORY / "README.md").read_text() for form in VERBS)


def test_the_receipts_of_a_push_have_the_keys_that_the_magic_names(project: Path, shell: InteractiveShell) -> None:
    shell.run_cell("%reset -f")
    receipts = shell.run_cell("%ckpt_load 1 --name m --push --json").result
    assert [list(row) for row in receipts] == [["step", "variables", "bytes", "seconds", "lost"]]
