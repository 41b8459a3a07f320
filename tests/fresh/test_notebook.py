"""Some of the edits of a real notebook, judged by real runs; `python -m tests.fresh` judges all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.fresh.notebook import EDITS

RUNS = {
    "formatting and docstrings": [],
    "a learning rate": [7, 8],
    "a column of the data that nobody uses": [1, 2],  # and no more, since step 2 gives what it gave
    "a constant of the module": [3, 4, 5, 6, 7, 8],
}


@pytest.mark.kernel
def test_just_what_an_edit_changes_runs_and_the_outcome_is_that_of_a_full_run() -> None:
    command = [sys.executable, "-m", "tests.fresh", "--json", *RUNS]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)

    rows = json.loads(done.stdout)
    assert done.returncode == 0, rows
    assert {row["edit"]: row["ran"] for row in rows} == RUNS
    assert rows[0]["told"] == [], "the module beside the notebook is found in advance, too"
    assert all(set(row["should"]) <= set(row["ran"]) <= set(row["told"]) and row["is_right"] for row in rows)


def test_there_are_twenty_edits() -> None:
    assert len(EDITS) == 20
