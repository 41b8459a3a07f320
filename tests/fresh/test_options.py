"""What a user can say about evidence: `--depends`, `--key`, `--always`, `--stale`; and what a banner says of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import StaleError, UsageError
from ckpt_magic.faces.verbs import parse_step
from ckpt_magic.steps.opened import Trail, watcher
from tests.fresh import project as projects


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "project"
    path.mkdir()
    (path / "data.txt").write_text("1")
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(path)
    monkeypatch.syspath_prepend(str(path))
    yield path
    projects.forget_modules(path)


def test_a_file_that_is_only_named_makes_stale(project: Path) -> None:
    cells = [(1, "x = 1", {"depends": ("data.txt", "more/*.txt")})]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    (project / "data.txt").write_text("2")
    assert projects.play(project, cells, "auto").why(1).startswith("`data.txt` changed")
    (project / "more").mkdir()
    (project / "more" / "new.txt").write_text("2")
    assert "`more/*.txt` changed (was 0 names, is 1 name)" in projects.play(project, cells, "auto").why(1)
    more = [(1, "x = 1", {"depends": ("data.txt", "more/*.txt", "other.txt")})]
    assert "`other.txt` was not among --depends" in projects.play(project, more, "auto").why(1)


@pytest.mark.parametrize("start", ["auto", 2])
def test_a_key_with_another_value_makes_the_step_run(project: Path, start: int | str) -> None:
    cells = [(None, "day = 1"), (1, "x = 1", {"key": ("day + 1",)})]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, start).steps == set()
    assert "the key `day + 1` has another value" in projects.play(project, [(None, "day = 2"), cells[1]], start).why(1)
    with pytest.raises(UsageError, match="--key day \\+ 1 cannot be evaluated"):
        projects.play(project, cells[1:], start)


def test_always_is_never_restored(project: Path) -> None:
    cells = [(1, "x = 1", {"always": True})]
    projects.play(project, cells, "none")
    for start in ("auto", 2, "end"):
        assert projects.play(project, cells, start).steps == {1}


def test_a_number_restores_a_stale_step_and_says_why(project: Path) -> None:
    cells: list[tuple[Any, ...]] = [(1, "from pathlib import Path\nx = Path('data.txt').read_text()")]
    projects.play(project, cells, "none")
    (project / "data.txt").write_text("2")
    found = projects.play(project, cells, 2)
    assert (found.steps, found.names["x"]) == (set(), "1")
    assert "stale: `data.txt` changed" in found.why(1)
    assert projects.play(project, [(*cells[0], {"stale": "restore"})], "auto").steps == set()
    with pytest.raises(StaleError, match=r"data\.txt.*--stale run"):
        projects.play(project, [(*cells[0], {"stale": "error"})], 2)
    assert projects.play(project, [(*cells[0], {"stale": "run"})], 2).names["x"] == "2"


def test_stale_restore_vouches_for_a_changed_value(project: Path) -> None:
    projects.play(project, [(None, "lr = 1"), (1, "x = lr")], "none")
    assert projects.play(project, [(None, "lr = 2"), (1, "x = lr", {"stale": "restore"})], 2).names["x"] == 1


def test_a_module_that_was_edited_and_not_loaded_again_counts_as_it_is_on_disk(project: Path) -> None:
    (project / "local_rate.py").write_text("RATE = 1\n")
    cells = [(None, "import local_rate"), (1, "x = local_rate.RATE")]
    projects.play(project, cells, "none")
    edit = "from pathlib import Path\nPath('local_rate.py').write_text('RATE = 22\\n')"
    found = projects.play(project, [cells[0], (None, edit), cells[1]], "auto")
    assert found.steps == {1}
    assert found.names["x"] == 1  # the kernel has the old one
    assert projects.play(project, cells, "auto").names["x"] == 22


def test_values_of_environment_variables_are_not_in_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESH_SECRET_TOKEN", "hunter2-hunter2")
    cells = [
        (None, "import os\ntoken = os.environ['FRESH_SECRET_TOKEN']"),
        (1, "x = len(os.getenv('FRESH_SECRET_TOKEN'))"),
        (2, "y = len(token)"),
    ]
    projects.play(project, cells, "none")
    for path in (project / ".ckpt").glob("*.pkl"):
        assert b"hunter2" not in path.read_bytes()
    monkeypatch.setenv("FRESH_SECRET_TOKEN", "hunter3-hunter3")
    assert projects.play(project, cells, "auto").steps == {1, 2}


def test_a_file_that_a_library_opens_behind_pythons_back_is_found_by_its_name_or_said(project: Path) -> None:
    pytest.importorskip("polars")
    (project / "table.csv").write_text("a\n1\n")
    named = [(1, "import polars as pl\nx = pl.read_csv('table.csv')['a'].sum()")]
    projects.play(project, named, "none")
    assert projects.play(project, named, "auto").steps == set()
    (project / "table.csv").write_text("a\n2\n")
    assert projects.play(project, named, "auto").names["x"] == 2
    hidden = [(1, "import polars as pl\nx = pl.read_csv('elbat'[::-1] + '.csv')['a'].sum()")]
    projects.play(project, hidden, "none", "hidden")
    assert "name them with --depends" in projects.play(project, hidden, "auto", "hidden").why(1)


def test_a_file_that_a_parser_in_c_opens_is_found_by_its_name(project: Path) -> None:
    pytest.importorskip("lxml")
    (project / "x.xml").write_text("<a/>")
    cells = [(1, "from lxml import etree\nx = etree.parse('x.xml').getroot().tag")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    (project / "x.xml").write_text("<b/>")
    assert projects.play(project, cells, "auto").names["x"] == "b"


def test_the_line_of_a_step_says_all_of_it() -> None:
    call = parse_step("3 --depends a.csv 'b/*.txt' --key 'x + 1' --key y --always --stale run")
    assert (call.depends, call.key, call.always, call.stale) == (("a.csv", "b/*.txt"), ("x + 1", "y"), True, "run")
    for wrong in ("3 --key 'x +'", "3 --stale maybe"):
        with pytest.raises(UsageError):
            parse_step(wrong)


def test_a_verdict_is_json(project: Path) -> None:
    cells = [(1, "x = 1")]
    projects.play(project, cells, "none")
    session = projects.ProjectKernel(project, "auto", cells=cells).session
    key = session.settings.resolve(parse_step("1"))
    row = session.appraise(key, 1, session.open(key, 1)).as_row()
    assert json.loads(json.dumps(row)) == {"state": "fresh", "reasons": [], "note": ""}
    assert session.appraise(key, 7, None).state == "missing"


def test_what_is_put_below_the_environment_is_there_for_the_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OF_THE_STEP", raising=False)
    environ: Any = os.environ
    before, trail = environ._data, Trail(lambda path: {"path": path})

    with watcher().laying(trail):
        os.environ["OF_THE_STEP"] = "1"
        assert type(environ._data) is not dict

    assert environ._data is before and type(before) is dict
    assert os.environ["OF_THE_STEP"] == "1" and trail.environ_set == {"OF_THE_STEP"}
    monkeypatch.delenv("OF_THE_STEP")


def test_a_plan_knows_that_a_step_writes_a_database_which_another_one_reads(project: Path) -> None:
    put = (
        "c = sqlite3.connect('x.db')\nc.execute('drop table if exists t')\nc.execute('create table t as select 1 as a')"
    )
    get = "c = sqlite3.connect('x.db')\ny = c.execute('select a from t').fetchall()"
    cells = [(None, "import sqlite3"), (1, f"{put}\nc.commit()\nc.close()\ndel c"), (2, f"{get}\nc.close()\ndel c")]
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells) == set() == projects.play(project, cells, "auto").steps
    cells[1] = (1, cells[1][1].replace("select 1", "select 2"))
    assert projects.foresee(project, cells) == {1, 2}
    assert projects.play(project, cells, "auto").names["y"] == [(2,)]
