from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ckpt_magic
from ckpt_magic.errors import UsageError
from ckpt_magic.faces.cli import main
from ckpt_magic.files import usage
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.record import parse_age, parse_size
from tests.test_stored import save

Capsys = pytest.CaptureFixture[str]


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three versions of `m` with two steps each; the labels say nothing of their age."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".ckpt")
    for version, days in (("baseline", 0.5), ("2", 19.5), ("10", 39.5)):
        for step in (1, 2):
            path = store.path("m", version, step)
            save(path, {"x": "x" * 1000}, load_keyring(), version=version, step=step, created=days_ago(days + step))
    return store


def there(store: Store) -> set[str]:
    return {f"{entry.version}/{entry.step}" for entry in store.entries()}


ALL = {"baseline/1", "baseline/2", "2/1", "2/2", "10/1", "10/2"}


def test_old_checkpoints_go(store: Store, capsys: Capsys) -> None:
    assert main(["clear", "--name", "m", "--version", "2", "--older", "3w"]) == 0
    out = capsys.readouterr().out
    assert "would delete 1 file" in out and "m-v2-step2.pkl" in out and there(store) == ALL
    assert main(["clear", "--name", "m", "--version", "2", "--older", "3w", "--yes"]) == 0
    assert there(store) == ALL - {"2/2"}
    assert main(["clear", "1", "--name", "m", "--version", "2", "--older", "2w", "--yes"]) == 0
    assert there(store) == ALL - {"2/2", "2/1"}
    capsys.readouterr()
    assert main(["clear", "--name", "m", "--version", "10", "--older", "9w", "--yes"]) == 0
    assert capsys.readouterr().out == "there is nothing to delete\n"


def test_the_newest_versions_stay_whatever_their_labels(store: Store, capsys: Capsys) -> None:
    assert main(["clear", "--name", "m", "--keep", "2", "--yes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["step"], row["deleted"], row["held"]) for row in rows] == [
        ("10", 1, True, 0),
        ("10", 2, True, 0),
    ]
    assert there(store) == ALL - {"10/1", "10/2"}
    assert main(["clear", "--name", "m", "--keep", "5", "--yes"]) == 0
    assert main(["clear", "2", "--name", "m", "--keep", "1", "--yes"]) == 0
    assert there(store) == {"baseline/1", "baseline/2", "2/1"}


def test_what_is_asked_for_at_once_has_to_fit_at_once(store: Store) -> None:
    found = ckpt_magic.clear("m", keep=1, older="30d")
    assert [(row["version"], row["step"], row["deleted"]) for row in found] == [("10", 1, False), ("10", 2, False)]
    kept = [store.set_aside(store.path("m", version, 1), "kept") for version in ("10", "baseline")]
    found = ckpt_magic.clear("m", keep=1, kept=True, yes=True)
    assert [row["path"] for row in found] == [str(kept[0])] and found[0]["step"] is None
    found = ckpt_magic.clear("m", keep=1, kept=True, all=True, yes=True)
    assert there(store) == {"baseline/2"} and kept[1].exists() and len(found) == 3


def test_the_quota_takes_what_was_least_recently_used(store: Store, capsys: Capsys) -> None:
    size = store.path("m", 2, 1).stat().st_size
    for path in (store.path("m", version, step) for version in ("10", "2", "baseline") for step in (2, 1)):
        usage.note(path)
    assert main(["clear", "--quota", str(4 * size + 100)]) == 0
    assert "would delete 2 files" in capsys.readouterr().out and there(store) == ALL
    assert main(["clear", "--quota", str(4 * size + 100), "--yes"]) == 0
    assert there(store) == ALL - {"10/1", "10/2"}
    found = ckpt_magic.clear(folder=store.folder, quota=3 * size + 100, yes=True)
    assert [row["path"] for row in found] == [str(store.path("m", 2, 2))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "m", "--keep", "0"], "from 1"),
        (["--name", "m", "--keep", "1", "--version", "2"], "leave out --version"),
        (["--name", "m", "--all", "--yes", "--dry-run"], "not both"),
        (["--name", "m", "--quota", "1GB"], "whole folder"),
        (["--quota", "1GB", "--older", "1d"], "whole folder"),
        (["--all", "--quota", "1GB"], "whole folder"),
        (["--older", "1d"], "which pipeline"),
        (["--name", "m"], "say what to delete"),
        (["--name", "m", "1", "--all"], "not both"),
    ],
)
def test_what_contradicts_itself_is_refused(store: Store, capsys: Capsys, words: list[str], message: str) -> None:
    assert main(["clear", *words]) == 2
    assert message in capsys.readouterr().err
    assert there(store) == ALL


@pytest.mark.parametrize(("words", "message"), [(["--older", "14"], "is no age"), (["--quota", "much"], "is no size")])
def test_what_cannot_be_read_is_told_with_an_example(capsys: Capsys, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["clear", *words])
    assert left.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_the_function_refuses_the_same() -> None:
    wrong: list[dict[str, Any]] = [{}, {"name": "m"}, {"name": "m", "keep": 0}, {"name": "m", "quota": "1 GB"}]
    wrong += [{"all": True}, {"name": "m", "keep": 1, "version": 2}, {"name": "m", "older": "x"}, {"name": "m/"}]
    wrong += [{"name": "m", "steps": [1], "all": True}]
    for options in wrong:
        with pytest.raises(UsageError):
            ckpt_magic.clear(**options)


def test_sizes_and_ages_are_read_as_people_write_them() -> None:
    sizes = {"0": 0, "850": 850, "850 bytes": 850, "20GB": 20e9, "20 GB": 20e9, "1.5 TB": 1.5e12, "1 KiB": 1024}
    assert {text: parse_size(text) for text in sizes} == sizes
    assert parse_size("2g".upper()) == 2e9 and parse_size("5kB") == parse_size("5 K") == 5000
    ages = {"30m": 1800, "6h": 21600, "14d": 14 * 86400, "2w": 14 * 86400, "1.5 d": 129600}
    assert {text: parse_age(text) for text in ages} == ages
    for text in ("", "GB", "-1 GB", "1 PB", "1 GB x", "1e9", "٣ GB"):
        with pytest.raises(UsageError, match="no size"):
            parse_size(text)
    for text in ("", "14", "d", "-1d", "1y", "1 d ago"):
        with pytest.raises(UsageError, match="no age"):
            parse_age(text)
