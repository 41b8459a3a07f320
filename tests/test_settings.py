from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import UsageError
from ckpt_magic.steps.registry import StepCall
from ckpt_magic.steps.settings import Settings, default_name

VARIABLES = {"name": "CKPT_NAME", "version": "CKPT_VERSION", "folder": "CKPT_FOLDER"}
SOURCES = ("handed", "call", "configured", "environ", "traits")  # the first that says something wins


def settings(base: Path, **given: Any) -> Settings:
    return Settings(base, environ=given.pop("environ", {}), **given)


def resolved(base: Path, option: str, said: dict[str, str]) -> str:
    """What holds when each of the sources in `said` says something else of `option`."""
    made = settings(
        base,
        handed={option: said.get("handed")},
        environ={VARIABLES[option]: said.get("environ", "")},
        traits={option: said.get("traits", ""), **({} if option == "name" else {"name": "n"})},
    )
    made.configure(**{option: said.get("configured")})
    key = made.resolve(StepCall(1, **{option: said.get("call")}))  # type: ignore[arg-type]
    return key.folder.name if option == "folder" else str(getattr(key, option))


@pytest.mark.parametrize("option", ["name", "version", "folder"])
@pytest.mark.parametrize("at", range(len(SOURCES)))
def test_the_first_source_that_says_something_wins(tmp_path: Path, option: str, at: int) -> None:
    said = {source: f"by-{source}" for source in SOURCES[at:]}
    assert resolved(tmp_path, option, said) == f"by-{SOURCES[at]}"


def test_the_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    key = settings(tmp_path).resolve(StepCall(1, name="m"))
    assert (key.folder, key.name, key.version) == (tmp_path / ".ckpt", "m", "1")
    assert settings(tmp_path).start("m") == "none"


def test_without_a_name_the_notebook_gives_it(tmp_path: Path) -> None:
    known = settings(tmp_path, notebook=tmp_path / "My analysis (2).ipynb")
    assert known.resolve(StepCall(1)).name == "My-analysis--2"
    assert known.is_default_name(StepCall(1))
    assert not known.is_default_name(StepCall(1, name="m"))


def test_without_a_name_and_a_notebook_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="step 3: the pipeline has no name"):
        settings(tmp_path).resolve(StepCall(3))


@pytest.mark.parametrize(("file", "name"), [("a.ipynb", "a"), ("Übung.ipynb", "bung"), ("..ipynb", "notebook")])
def test_a_notebooks_name_becomes_a_file_name(file: str, name: str) -> None:
    assert default_name(Path(file)) == name


@pytest.mark.parametrize("option", ["name", "version"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("text", ["a/b", "..", "a b", "a\nb"])
def test_what_can_be_no_file_name_is_an_error_from_every_source(
    tmp_path: Path, option: str, source: str, text: str
) -> None:
    with pytest.raises(UsageError, match=option):
        resolved(tmp_path, option, {source: text})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("url", ["s3://bucket/x", "file:///tmp/x", "gs://b"])
def test_a_url_is_no_folder_whoever_says_it(tmp_path: Path, source: str, url: str) -> None:
    with pytest.raises(UsageError, match="only local folders"):
        resolved(tmp_path, "folder", {source: url})


def test_a_relative_folder_is_meant_against_the_base_also_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert made.folder("sub/./x") == tmp_path / "sub" / "x"
    assert made.folder(str(tmp_path / "absolute")) == tmp_path / "absolute"


def test_a_relative_base_is_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = settings(Path())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert made.folder() == tmp_path / ".ckpt"


def test_one_folder_written_in_two_ways_is_one_pipeline(tmp_path: Path) -> None:
    made = settings(tmp_path)
    ways = [".ckpt", "./.ckpt", "sub/../.ckpt", ".ckpt/", str(tmp_path / ".ckpt")]
    assert len({made.resolve(StepCall(1, name="m", folder=way)) for way in ways}) == 1


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings(tmp_path).folder("~/x") == tmp_path / "home" / "x"


# --- the start point --------------------------------------------------------------------------------------------------


def test_the_start_point_has_the_same_order_of_sources(tmp_path: Path) -> None:
    made = settings(tmp_path, traits={"start_from": "2"})
    assert made.start("m") == 2
    made = settings(tmp_path, traits={"start_from": "2"}, environ={"CKPT_START_FROM": "auto"})
    assert made.start("m") == "auto"
    made.set_start(4)
    assert made.start("m") == 4
    handed = settings(tmp_path, environ={"CKPT_START_FROM": "auto"}, handed={"start_from": "end"})
    handed.set_start(4)
    assert handed.start("m") == "end"


def test_a_handed_start_point_of_zero_counts(tmp_path: Path) -> None:
    made = settings(tmp_path, environ={"CKPT_START_FROM": "auto"}, handed={"start_from": 0})
    assert made.start("m") == 0
    assert settings(tmp_path, traits={"start_from": 0}, environ={}).start("m") == 0


def test_a_start_point_without_a_name_holds_for_pipelines_that_have_none_of_their_own(tmp_path: Path) -> None:
    made = settings(tmp_path)
    made.set_start(3, "m")
    made.set_start(5)
    assert (made.start("m"), made.start("other")) == (3, 5)
    made.set_start("none")
    assert (made.start("m"), made.start("other")) == ("none", "none")


@pytest.mark.parametrize("given", [{"environ": {"CKPT_START_FROM": "later"}}, {"handed": {"start_from": "-1"}}])
def test_a_wrong_start_point_is_an_error_when_it_is_used(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="start point"):
        settings(tmp_path, **given).start("m")


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_each_setting_is_shown_with_where_it_comes_from(tmp_path: Path) -> None:
    made = settings(
        tmp_path, environ={"CKPT_VERSION": "7"}, handed={"folder": "f"}, notebook=tmp_path / "n.ipynb", traits={}
    )
    assert made.shown() == {
        "name": ("n", "notebook"),
        "version": ("7", "CKPT_VERSION"),
        "folder": (tmp_path / "f", "ckpt-magic run"),
        "start_from": ("none", "default"),
        "stale": ("restore", "default"),
    }
    made.configure(version="8")
    made.set_start(3)
    assert made.shown()["version"] == ("8", "%ckpt_config")
    assert made.shown()["start_from"] == (3, "%ckpt_start")


def test_a_wrong_configured_name_changes_nothing(tmp_path: Path) -> None:
    made = settings(tmp_path)
    made.configure(name="m")
    with pytest.raises(UsageError):
        made.configure(version="2", name="a/b")
    assert made.shown()["version"] == ("1", "default")
