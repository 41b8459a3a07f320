"""What `auto` found fresh under other code, a plan calls fresh from then on; and nothing else than before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ckpt_magic.errors import StoreError
from ckpt_magic.files.store import Store
from tests.fresh import project as projects

STEP = (1, "total = sum(values) * rate")
HARMLESS: list[tuple[str, projects.Cells, str, str]] = [
    # what it is, the cells, the text that changes, to what
    ("a value made in another way", [(None, "values = [1, 2, 3]\nrate = 2 * 1"), STEP], "2 * 1", "int('2')"),
    ("a list made by a loop", [(None, "rate = 2\nvalues = list(range(3))"), STEP], "list(", "sorted("),
    ("a function that does the same", [(None, "def f(): return 2\nrate = f()\nvalues = [1]"), STEP], "2", "int('2')"),
    (
        "what holds what a step changes is made otherwise",
        [(None, "rows = [[1], [2]]\nnested = [*rows]"), (1, "rows.append([3])")],
        "[*rows]",
        "list(rows)",
    ),
    (
        "a name of an earlier step is touched otherwise",
        [(1, "values = [1]"), (None, "values.append(2)"), (2, "total = sum(values)")],
        "append(2)",
        "extend([2])",
    ),
    (
        "another file with the same in it",
        [(None, "with open('a.txt') as file: values = file.read().split()[:1]"), (1, "total = len(values)")],
        "a.txt",
        "b.txt",
    ),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    Path("a.txt").write_text("1 2")
    Path("b.txt").write_text("1 3")
    return folder


def changed(cells: projects.Cells, old: str, new: str) -> projects.Cells:
    return [
        (step, text.replace(old, new), *options) if step is None else (step, text, *options)
        for step, text, *options in cells
    ]


@pytest.mark.parametrize(("cells", "old", "new"), [row[1:] for row in HARMLESS], ids=[row[0] for row in HARMLESS])
def test_a_plan_calls_fresh_what_was_restored_under_other_code(
    project: Path, cells: projects.Cells, old: str, new: str
) -> None:
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells) == set()
    edited = changed(cells, old, new)
    assert edited != cells
    told = projects.foresee(project, edited)
    assert told  # by code alone nobody knows
    ran = projects.play(project, edited, "auto")
    assert ran.steps == set(), ran.facts
    assert projects.foresee(project, edited) == set()
    assert projects.foresee(project, cells) == set()  # as it was when the step ran, too
    assert projects.comparable(ran.names) == projects.comparable(projects.truth(project, edited))


def test_what_is_confirmed_is_stale_after_a_further_change(project: Path) -> None:
    cells = [(None, "values = [1, 2]\nrate = 2 * 1"), STEP]
    projects.play(project, cells, "none")
    confirmed = changed(cells, "rate = 2 * 1", "with open('a.txt') as file: rate = len(file.read().split())")
    assert projects.play(project, confirmed, "auto").steps == set()
    assert projects.foresee(project, confirmed) == set()
    Path("a.txt").write_text("1 2 3")
    assert projects.foresee(project, confirmed) == {1}
    assert projects.foresee(project, changed(cells, "2 * 1", "3 * 1")) == {1}
    assert projects.foresee(project, cells) == set()
    assert projects.play(project, confirmed, "auto").steps == {1}
    assert projects.foresee(project, cells) == {1}  # it was about the checkpoint that is gone


@pytest.mark.parametrize("way", ["other step", "other key", "cut", "no JSON of ours"])
def test_a_note_that_is_not_about_this_checkpoint_is_passed_over(
    project: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    cells = [(None, "rate = 2 * 1"), (1, "one = rate"), (2, "two = rate")]
    if way == "other key":
        monkeypatch.setenv("CKPT_KEY", "somebody else")
    projects.play(project, cells, "none")
    edited = changed(cells, "2 * 1", "int('2')")
    assert projects.play(project, edited, "auto").steps == set()
    notes = sorted((project / ".ckpt").glob("*.confirmed"))
    assert len(notes) == 2
    if way == "other step":
        shutil.copy(notes[1], notes[0])
    elif way == "cut":
        notes[0].chmod(0o600)
        os.truncate(notes[0], 40)
    elif way == "other key":
        data = [note.read_bytes() for note in notes]
        monkeypatch.setenv("CKPT_KEY", "the key of the tests")
        projects.play(project, cells, "none")
        for note, one in zip(notes, data, strict=True):
            note.write_bytes(one)
    else:
        notes[0].unlink()
        notes[0].write_text("{}")
    assert projects.foresee(project, edited) == ({1, 2} if way == "other key" else {1})
    assert projects.play(project, edited, "auto").steps == set()
    assert projects.foresee(project, edited) == set()  # it is noted again


def test_a_checkpoint_that_is_deleted_takes_its_note_along(project: Path) -> None:
    cells = [(None, "rate = 2 * 1"), (1, "one = rate")]
    projects.play(project, cells, "none")
    projects.play(project, changed(cells, "2 * 1", "int('2')"), "auto")
    store = Store(project / ".ckpt")
    store.delete([entry.path for entry in store.entries()])
    assert not list((project / ".ckpt").glob("*step*"))


def test_nothing_is_noted_where_nothing_changed_or_the_user_vouches(project: Path) -> None:
    cells = [(None, "values = [1, 2]\nrate = 2 * 1"), STEP]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    assert projects.play(project, changed(cells, "2 * 1", "3 * 1"), 5).steps == {1}
    assert not list((project / ".ckpt").glob("*.confirmed"))
    vouched = [(None, "values = [1, 2]\nrate = 4 * 1"), (*STEP, {"stale": "restore"})]
    assert projects.play(project, vouched, 5).steps == set()
    assert not list((project / ".ckpt").glob("*.confirmed"))


def test_a_folder_that_cannot_be_written_to_is_restored_from_all_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [(None, "rate = 2 * 1"), (1, "one = rate")]
    projects.play(project, cells, "none")

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(Store, "write", refuse)
    ran = projects.play(project, changed(cells, "2 * 1", "int('2')"), "auto")
    assert ran.steps == set() and ran.names["one"] == 2
