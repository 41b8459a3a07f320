"""`%ckpt_accept`: what the user vouched for is fresh, and nothing else is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic import StepNotFoundError
from ckpt_magic.errors import UsageError
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps import record, shapes
from ckpt_magic.steps.registry import StepCall
from tests.fresh import project as projects

Cells = list[tuple[Any, ...]]

CELLS: Cells = [
    (None, "import local_rate\nlr = 0.1\nbase = [1, 2]\ndef scale(v, by=1):\n    return v * by"),
    (1, "data = [1, 2, 3]"),
    (2, "from pathlib import Path\nread = Path('data.txt').read_text()\nmodel = [scale(v) * lr for v in data]"),
    (3, "out = sum(model) + local_rate.RATE"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """All steps stored."""
    path = tmp_path / "project"
    path.mkdir()
    (path / "data.txt").write_text("1")
    (path / "local_rate.py").write_text("RATE = 1\n")
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(path)
    monkeypatch.syspath_prepend(str(path))
    assert projects.play(path, CELLS, "none").steps == {1, 2, 3}
    yield path
    projects.forget_modules(path)


def edited(number: int, old: str, new: str, cells: Cells = CELLS) -> Cells:
    assert old in cells[number][1]
    return [*cells[:number], (cells[number][0], cells[number][1].replace(old, new)), *cells[number + 1 :]]


def accept(project: Path, cells: Cells, step: int, reason: str = "a comment") -> list[str]:
    """Accept a step in a new kernel that has come to it."""
    projects.forget_modules(project)
    kernel = projects.ProjectKernel(project, "auto", cells=cells)
    for number, text, *options in cells:
        if number == step:
            break
        if number is None:
            kernel.cell(text)
        else:
            kernel.step(number, text, **(options[0] if options else {}))
    return kernel.session.accept(kernel.session.settings.resolve(StepCall(step)), step, reason)


def is_foreseen(project: Path, cells: Cells) -> bool:
    return projects.foresee(project, cells) == set()


EDITS: list[tuple[str, Cells, Cells]] = [
    # an edit that makes step 2 stale, and one more
    ("code", edited(2, "data]", "data]\nmodel = list(model)"), edited(2, "data]", "data]\nmodel = tuple(model)")),
    ("function", edited(0, "v * by", "by * v"), edited(0, "v * by", "by + v")),
    ("default", edited(0, "by=1", "by=1.0"), edited(0, "by=1", "by=2")),
    ("value", edited(0, "0.1", "0.10000001"), edited(0, "0.1", "0.2")),
    (
        "another name read",
        edited(2, "data]", "data]\nlen(base)"),
        edited(0, "[1, 2]", "[1, 2, 3]", edited(2, "data]", "data]\nlen(base)")),
    ),
    (
        "another function read",
        edited(2, "data]", "data]\nlog(1)", edited(0, "lr = 0.1", "lr = 0.1\ndef log(x): return x")),
        edited(2, "data]", "data]\nlog(1)", edited(0, "lr = 0.1", "lr = 0.1\ndef log(x): return -x")),
    ),
]


@pytest.mark.parametrize(("edit", "further"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_what_was_accepted_is_fresh_and_a_further_change_is_not(project: Path, edit: Cells, further: Cells) -> None:
    before = projects.play(projects.copy(project, project.parent / "apart"), CELLS, "end").names["model"]
    assert not is_foreseen(project, edit)

    assert accept(project, edit, 2)

    assert is_foreseen(project, edit)
    found = projects.play(project, edit, "auto")
    assert found.steps == set() and found.names["model"] == before
    assert found.facts[2]["notes"] == [note(project)]
    assert is_foreseen(project, CELLS) and projects.play(project, CELLS, "auto").facts[2]["notes"] == []
    assert not is_foreseen(project, further)
    assert 2 in projects.play(project, further, "auto").steps


def note(project: Path) -> str:
    accepted = meta(project)["accepted"]
    return f"accepted {accepted['date'][:10]}: a comment"


def meta(project: Path, step: int = 2) -> dict[str, Any]:
    stored = open_checkpoint(project / ".ckpt" / f"p-v1-step{step}.pkl", load_keyring())
    assert stored.trust == "trusted"
    return stored.meta


def test_a_changed_file_and_module_are_accepted_as_they_are(project: Path) -> None:
    (project / "data.txt").write_text("2")
    (project / "local_rate.py").write_text("RATE = int('1')\n")

    assert accept(project, CELLS, 2) == ["`data.txt` changed"]
    assert projects.play(project, CELLS, 4).why(2).endswith(note(project))
    assert accept(project, CELLS, 3) == ["module `local_rate` changed"]

    assert projects.play(project, CELLS, "auto").steps == set() and is_foreseen(project, CELLS)
    (project / "data.txt").write_text("3")
    assert projects.foresee(project, CELLS) == {2, 3}
    (project / "data.txt").write_text("2")
    (project / "local_rate.py").write_text("RATE = 3\n")
    assert projects.play(project, CELLS, "auto").steps == {3}


def test_half_of_what_was_accepted_is_not_fresh(project: Path) -> None:
    (project / "data.txt").write_text("2")
    both = edited(2, "data]", "data]\nmodel = list(model)")
    assert len(accept(project, both, 2)) == 2

    assert projects.play(project, both, "auto").steps == set()
    assert projects.foresee(project, CELLS) == {2, 3}  # the code of before with the file of now
    assert projects.play(project, CELLS, "auto").steps == {2}


@pytest.mark.parametrize("code", ["len(Path('more.txt').read_text())", "import os\nos.environ.get('FRESH_MORE')"])
def test_files_and_variables_that_new_code_names_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (project / "more.txt").write_text("1")
    monkeypatch.setenv("FRESH_MORE", "1")
    edit = edited(2, "data]", f"data]\n{code}")
    accept(project, edit, 2)
    assert projects.play(project, edit, "auto").steps == set()

    (project / "more.txt").write_text("2")
    monkeypatch.setenv("FRESH_MORE", "2")

    assert not is_foreseen(project, edit)
    assert projects.play(project, edit, "auto").steps == {2}


def test_what_new_code_reads_of_other_steps_counts(project: Path) -> None:
    cells: Cells = [(1, "a = [1]"), (2, "b = [1]"), (3, "c = len(a)")]
    projects.play(project, cells, "none")
    edit = edited(2, "len(a)", "len(a + b)", cells)
    accept(project, edit, 3)
    assert projects.play(project, edit, "auto").steps == set()

    further = edited(1, "[1]", "[1, 2]", edit)

    assert projects.foresee(project, further) == {2, 3}
    found = projects.play(project, further, "auto")
    assert (found.steps, found.names["c"]) == ({2, 3}, 3)


def test_values_and_displays_stay_as_they_are_and_what_was_accepted_is_recorded(project: Path) -> None:
    path = project / ".ckpt" / "p-v1-step2.pkl"
    before, old = path.read_bytes(), meta(project)
    edit = edited(2, "data]", "data]\nmodel = list(model)")

    accept(project, edit, 2, "only a copy")

    stored = open_checkpoint(path, load_keyring())
    assert stored.footer is not None
    length = stored.footer.pickle + stored.footer.outputs
    assert path.read_bytes()[:length] == before[:length]
    assert {**stored.meta, "accepted": None} == {**old, "accepted": None}
    accepted = stored.meta["accepted"]
    assert accepted["reason"] == "only a copy"
    assert [(cause["kind"], cause["new"]) for cause in accepted["causes"]] == [("code", edit[2][1])]
    assert accept(project, edited(2, "data]", "data]\n'again'"), 2)  # another change takes the place of the first
    assert 2 in projects.play(project, edit, "auto").steps


def test_what_was_restored_by_a_number_is_accepted_without_the_notebooks_file(project: Path) -> None:
    edit = edited(2, "data]", "data]\nmodel = list(model)")
    kernel = projects.ProjectKernel(project, 3)
    for number, text in edit[:3]:
        kernel.cell(text) if number is None else kernel.step(number, text)
    key = kernel.session.settings.resolve(StepCall(2))

    assert kernel.session.accept(key, 2, "") == ["code differs from the checkpoint"]

    assert projects.play(project, edit, "auto").steps == set() and is_foreseen(project, edit)
    with pytest.raises(UsageError, match="is fresh, accepted 20"):
        kernel.session.accept(key, 2, "")
    with pytest.raises(UsageError, match="step 3: the code of its cell is not known here"):
        kernel.session.accept(key, 3, "")


def test_a_record_of_what_was_accepted_that_makes_no_sense_is_damage(project: Path) -> None:
    accept(project, edited(2, "data]", "data]\nmodel = list(model)"), 2)
    good = {**record.EMPTY, **meta(project)}
    accepted = good["accepted"]
    assert shapes.misfits(good) == []
    for wrong in (
        1,
        {},
        {**accepted, "date": None},
        {**accepted, "causes": [{}]},
        {**accepted, "meta": {}},
        {**accepted, "meta": {**accepted["meta"], "seen": []}},
        {**accepted, "meta": {**accepted["meta"], "evidence": None}},
    ):
        assert shapes.misfits({**good, "accepted": wrong}) == ["accepted"]


def test_an_accepted_step_is_saved_anew_when_it_runs(project: Path) -> None:
    accept(project, edited(2, "data]", "data]\nmodel = list(model)"), 2)
    projects.play(project, CELLS, 2)
    assert "accepted" not in meta(project)


def test_what_cannot_be_accepted_is_said(project: Path) -> None:
    with pytest.raises(UsageError, match="step 2: its checkpoint is fresh: there is nothing to accept"):
        accept(project, CELLS, 2)
    with pytest.raises(StepNotFoundError, match="step 9"):
        accept(project, [*CELLS, (9, "x = 1")], 9)
    other = edited(1, "[1, 2, 3]", "[1, 2, 4]")
    with pytest.raises(UsageError, match="step 2: `data` of step 1 is not what it was: that cannot be accepted"):
        accept(project, other, 2)


@pytest.mark.parametrize(
    ("cells", "change", "why"),
    [
        ([(None, "import random\nrandom.seed(1)"), (1, "x = random.random()")], ("(1)", "(2)"), "seeded otherwise"),
        (
            [(None, "exec('y = (v for v in [1]); next(y)')"), (1, "x = y is None")],
            ("x = y", "x = 1, y"),
            "cannot be compared",
        ),
        (
            [(None, "exec('y = (v for v in [1]); next(y)')"), (1, "x = 1")],
            ("x = 1", "x = y is None"),
            "which cannot be compared",
        ),
        ([(1, "x = 1", {"always": True})], ("x = 1", "x = 2"), "--always"),
        ([(1, "import os\nx = 1")], ("x = 1", "x = os.environ[str()]"), "environment variables .* cannot be told"),
    ],
)
def test_what_cannot_be_compared_cannot_be_accepted(
    project: Path, cells: Cells, change: tuple[str, str], why: str
) -> None:
    other = [(number, text.replace(*change), *options) for number, text, *options in cells]
    assert projects.play(project, cells, "none").steps == {1}
    with pytest.raises(UsageError, match=f"{why}.*cannot be accepted|cannot be accepted.*{why}"):
        accept(project, other, 1)


def test_a_mark_cannot_be_accepted(project: Path) -> None:
    kernel = projects.ProjectKernel(project, "none")
    kernel.step(2, "y = 1")
    kernel.step(1, "z = y")
    with pytest.raises(UsageError, match=r"step 1: it was made out of order.*that cannot be accepted"):
        accept(project, [(1, "z = y + 1")], 1)


def test_someone_elses_checkpoint_cannot_be_accepted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckpt_magic import OtherKeyError

    monkeypatch.setenv("CKPT_KEY", "another")
    kernel = projects.ProjectKernel(project, "auto", cells=CELLS)
    with pytest.raises(OtherKeyError):
        kernel.session.accept(kernel.session.settings.resolve(StepCall(1)), 1, "")
