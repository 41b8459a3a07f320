"""Runs in the environment of a peer, without this package: `python peer_script.py PEER FOLDER ROUNDS QUICK`.

One line of JSON per workload: seconds to save and to restore a value by the peer's own way, and by pickle, per round.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "measured: "
_LONGEST = 60.0  # seconds of a round

Way = Callable[[Path, int, bool], "tuple[float, float]"]  # folder, number, quick: seconds to save and to restore


def main() -> None:
    """Measure all workloads and print what was found."""
    peer, folder, rounds, quick = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), bool(int(sys.argv[4]))
    sys.path.insert(0, str(Path(__file__).parent))
    os.chdir(folder)
    sys.modules["peer_script"] = sys.modules["__main__"]  # marimo puts a module of its own in its place
    for number in range(len(_workloads(quick))):
        workload, size = _workload(number, quick)
        found: dict[str, Any] = {"what": workload.what.format(size)}
        try:
            found["seconds"] = _measured(WAYS[peer], folder, number, rounds, quick=quick)
        except BaseException as error:  # whatever it is, the other workloads are measured all the same
            found["failed"] = f"{type(error).__name__}: {error}"[:200]
        print(f"{MARK}{json.dumps(found)}", flush=True)


def _measured(way: Way, folder: Path, number: int, rounds: int, *, quick: bool) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {"save": [], "restore": [], "pickle save": [], "pickle restore": []}
    began = time.perf_counter()
    for turn in range(rounds + 1):
        place = folder / f"{number}-{turn}"
        place.mkdir()
        found = (*way(place, number, quick), *_by_pickle(place, number, quick))
        if turn:
            for name, spent in zip(seconds, found, strict=True):
                seconds[name].append(spent)
        shutil.rmtree(place)
        if not turn and time.perf_counter() - began > _LONGEST:
            raise TimeoutError(f"a round takes more than {_LONGEST:.0f} seconds")
    return seconds


def made(number: int, quick: bool) -> Any:
    """The value of a workload; made without the collector, so that it always takes the same time."""
    gc.collect()
    gc.disable()
    try:
        workload, size = _workload(number, quick)
        return workload.make(size)
    finally:
        gc.enable()


def _workloads(quick: bool) -> Any:
    return importlib.import_module("workloads").workloads(quick=quick)


def _workload(number: int, quick: bool) -> tuple[Any, int]:
    """A workload, and how many of it there are here."""
    workload = _workloads(quick)[number]
    return workload, workload.size // workload.large


def _by_pickle(folder: Path, number: int, quick: bool) -> tuple[float, float]:
    value, path = made(number, quick), folder / "value.pkl"
    began = time.perf_counter()
    with path.open("wb") as file:
        pickle.dump(value, file, 5)
    saved = time.perf_counter()
    del value
    gc.collect()
    loading = time.perf_counter()
    with path.open("rb") as file:
        pickle.load(file)
    found = saved - began, time.perf_counter() - loading
    path.unlink()
    return found


# --- marimo: a cell below `persistent_cache`, run twice ---

_NOTEBOOK = """
import marimo
app = marimo.App()

@app.cell
def _():
    import sys
    import time
    import marimo as mo
    timing = sys.modules["peer_script"]
    return mo, time, timing

@app.cell
def _(mo, time, timing):
    entered = time.perf_counter()
    ran = []
    with mo.persistent_cache(name="value", save_path={folder!r}):
        ran.append(time.perf_counter())
        value = timing.made({number}, {quick})
        ran.append(time.perf_counter())
    left = time.perf_counter()
    timing.TIMES[:] = [entered, left, *ran]
    return
"""
TIMES: list[float] = []


def _marimo(folder: Path, number: int, quick: bool) -> tuple[float, float]:
    path = folder / "notebook.py"
    path.write_text(_NOTEBOOK.format(folder=str(folder / "cache"), number=number, quick=quick), encoding="utf-8")
    spent = []
    for turn in range(2):
        spec = importlib.util.spec_from_file_location(f"notebook_{folder.name.replace('-', '_')}_{turn}", path)
        assert spec is not None
        assert spec.loader is not None
        notebook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(notebook)
        gc.collect()
        result = notebook.app.run()
        entered, left, *ran = TIMES
        if bool(ran) is bool(turn):
            raise RuntimeError("it ran instead of being restored" if turn else "it was restored instead of run")
        spent.append(left - entered - (ran[1] - ran[0] if ran else 0.0))
        del result, notebook
    return spent[0], spent[1]


# --- Kishu: a checkpoint of a namespace, and a checkout of it ---


_CELL = """
import sys, time
spent = time.perf_counter()
value = sys.modules["peer_script"].made({number}, {quick})
spent = time.perf_counter() - spent
"""


def _kishu(folder: Path, number: int, quick: bool) -> tuple[float, float]:
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell

    os.environ["ENV_KISHU_TEST_MODE"] = "1"  # there is no page to be saved and loaded again
    jupyterint = importlib.import_module("kishu.jupyterint")
    path = folder / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False  # type: ignore[union-attr]
    try:
        ident = jupyterint.NotebookId(key=folder.name, path=path, kernel_id="bench")
        kishu = jupyterint.KishuForJupyter(ident, ip=shell)
        kishu.install_kishu_hooks()

        def run(cell: str) -> float:
            began = time.perf_counter()
            shell.run_cell(cell, store_history=True).raise_error()
            return time.perf_counter() - began

        saving = run(_CELL.format(number=number, quick=quick)) - shell.user_ns["spent"]
        first = kishu._kishu_branch.get_head().commit_id
        run("value = None")
        began = time.perf_counter()
        kishu.checkout(first, skip_notebook=True)
        restoring = time.perf_counter() - began
        if shell.user_ns["value"] is None:
            raise RuntimeError("it was not restored")
        return saving, restoring
    finally:
        InteractiveShell.clear_instance()


WAYS: dict[str, Way] = {"marimo": _marimo, "kishu": _kishu}

if __name__ == "__main__":
    main()
