"""The edit table again: what is accepted of an edit is fresh from then on, and no other edit is fresh by that."""

from __future__ import annotations

import decimal
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_magic.errors import UsageError
from ckpt_magic.steps.registry import StepCall
from tests.fresh import project as projects
from tests.fresh.test_edits import CELLS, TABLE, Notebook, base  # noqa: F401  # a fixture

SHORT = "two steps joined"  # what is stored lacks names that a cell below reads: to vouch for it would be wrong
STALE = [row for row in TABLE if row[2] and row[0] != SHORT]


@pytest.fixture
def workplace(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: F811
    """A copy of the project with all steps stored, and all put back afterwards."""
    path = projects.copy(base, base.parent / f"accepted{len(list(base.parent.iterdir()))}")
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [str(path), *(one for one in sys.path if one != str(base))])
    environ = dict(os.environ)
    yield path
    os.environ.clear()
    os.environ.update(environ)
    decimal.setcontext(decimal.Context())


def play(notebook: Notebook) -> set[int]:
    """The steps that `auto` runs."""
    environ, folder = dict(os.environ), os.getcwd()
    os.environ.update(notebook.environ)
    try:
        return projects.play(notebook.path, notebook.cells, "auto").steps
    finally:
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        decimal.setcontext(decimal.Context())


def accept_all(notebook: Notebook) -> set[int]:
    """Go through the notebook in a new kernel and accept what is stale; returns what could be."""
    projects.forget_modules(notebook.path)
    kernel, accepted = projects.ProjectKernel(notebook.path, "auto", cells=notebook.cells), set()
    key = kernel.session.settings.resolve(StepCall(1))
    environ, folder = dict(os.environ), os.getcwd()
    os.environ.update(notebook.environ)
    try:
        for step, text, *options in notebook.cells:
            if step is None:
                kernel.cell(text)
                continue
            try:
                kernel.session.accept(key, step, "")
                accepted.add(step)
            except UsageError:
                pass
            kernel.step(step, text, **(options[0] if options else {}))
    finally:
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        decimal.setcontext(decimal.Context())
    return accepted


@pytest.mark.parametrize("number", range(len(STALE)), ids=[row[0] for row in STALE])
def test_what_is_accepted_of_an_edit_is_fresh_and_another_edit_is_not(workplace: Path, number: int) -> None:
    _, edit, runs, _ = STALE[number]
    apart = projects.copy(workplace, workplace.parent / f"{workplace.name}-apart")
    edited = Notebook(workplace, list(CELLS))
    edit(edited)

    accepted = accept_all(edited)

    assert play(edited) <= runs - accepted
    if not accepted:
        return
    # the checkpoints as they are now, below the project as it was: by its own evidence each is fresh
    name, other, others, _ = STALE[(number + 1) % len(STALE)]
    for path in (workplace / ".ckpt").glob("*.pkl"):
        target = apart / ".ckpt" / path.name
        if int(path.stem.rpartition("step")[2]) in accepted:
            target.unlink()
            target.write_bytes(path.read_bytes())
    os.chdir(apart)
    sys.path[:] = [str(apart), *(one for one in sys.path if one != str(workplace))]
    again = Notebook(apart, list(CELLS))
    assert play(again) == set()
    other(again)
    assert play(again) >= others, name
