"""The notebooks in `notebooks/`: run cold, run with everything restored, and compared with what is stored in them.

nbval compares text and HTML, cell by cell. It skips images and cannot apply `update_display_data` and `clear_output`,
so nbclient looks at those, and at the banners, which tell whether a step was really restored.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ckpt_magic.faces.runner import KernelManager

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
ORDER = ("model-training", "explore-results", "async-and-plots")  # the second reads what the first stored
SANITIZE = NOTEBOOKS / "nbval-sanitize.cfg"
STEPS = {"model-training": 4, "explore-results": 0, "async-and-plots": 6}
TABLES = {"ckpt-status", "ckpt-load"}  # cells that show sizes and ages: not compared
UNFOLLOWED = {"update-display", "clear-output", "interact"}  # updates, Output widgets: nbval cannot, compared here
WIDGET = "application/vnd.jupyter.widget-view+json"  # holds a random model id


pytestmark = pytest.mark.long


def environment(start: str) -> dict[str, str]:
    """The environment of a kernel with this start point and nothing of the caller's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT_", "PYTEST_"))}
    return {**inherited, "CKPT_START_FROM": start, "CKPT_KEY": "key of the notebook tests"}


def copy_to(folder: Path) -> Path:
    """Copy the notebooks, without any checkpoints, to `folder`."""
    folder.mkdir()
    for name in ORDER:
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", folder)
    return folder


def nbval(folder: Path, start: str) -> None:
    """Check all notebooks in `folder` against their stored outputs."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
    command += [
        "--nbval",
        "--nbval-current-env",
        f"--nbval-sanitize-with={SANITIZE}",
        *(f"{name}.ipynb" for name in ORDER),
    ]
    result = subprocess.run(
        command, cwd=folder, env=environment(start), capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


def execute(folder: Path, name: str, start: str) -> list[Any]:
    """Run a notebook with nbclient and return its cells."""
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        kernel_manager_class=KernelManager,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=environment(start))
    return list(notebook.cells)


def banners(cells: list[Any]) -> list[dict[str, Any]]:
    """The facts of the step banners, in the order of the page."""
    outputs = (output for cell in cells for output in cell.get("outputs", ()))
    return [output.metadata["ckpt_magic"] for output in outputs if "ckpt_magic" in output.get("metadata", {})]


def patterns() -> list[tuple[str, str]]:
    """The replacements of the sanitiser file, read as nbval reads them."""
    return re.findall("^regex: (.*)$\n^replace: (.*)$", SANITIZE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def page(cell: Any, *, images: bool, sanitize: bool) -> list[Any]:
    """What a cell shows, banner aside, in a form that can be compared: streams merged as nbval merges them."""
    shown: list[Any] = []
    streams: dict[str, list[str]] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name not in streams:
                streams[output.name] = [""]
                shown.append(streams[output.name])
            streams[output.name][0] += output.text
        elif "ckpt_magic" not in output.metadata:
            skip = {WIDGET} if images else {WIDGET, "image/png"}
            shown.append({kind: data for kind, data in output.data.items() if kind not in skip})
    for text in streams.values():
        text[0] = re.sub(r"[^\n]*\r(?=[^\n])", "", text[0])
    return _sanitized(shown) if sanitize else shown


def _sanitized(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {kind: _sanitized(data) for kind, data in shown.items()}
    if isinstance(shown, list):
        return [_sanitized(part) for part in shown]
    for regex, replace in patterns():
        shown = re.sub(regex, replace, shown)
    return shown


def stored(name: str) -> list[Any]:
    return list(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells)


def compare(shown: list[Any], expected: list[Any], *, images: bool = True, sanitize: bool = False) -> None:
    for cell, other in zip(shown, expected, strict=True):
        if cell.cell_type == "code" and cell.id not in TABLES:
            left = page(cell, images=images, sanitize=sanitize)
            assert left == page(other, images=images, sanitize=sanitize), f"cell {cell.id}"


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks in which all have run once, each as stored."""
    folder = copy_to(tmp_path_factory.mktemp("notebooks") / "cold")
    nbval(folder, "none")
    return folder


def test_a_cold_run_shows_what_is_stored_and_leaves_every_checkpoint(cold: Path) -> None:
    left = sorted(path.name for path in (cold / ".ckpt").glob("*.pkl"))
    assert left == sorted(f"{name}-v1-step{step}.pkl" for name, steps in STEPS.items() for step in range(1, steps + 1))


def test_a_restored_run_shows_what_is_stored(cold: Path) -> None:
    nbval(cold, "end")


@pytest.mark.parametrize("name", [name for name in ORDER if STEPS[name]])
def test_every_step_is_really_restored(cold: Path, name: str) -> None:
    cells = execute(cold, name, "end")
    facts = banners(cells)
    assert [(fact["step"], fact["action"]) for fact in facts] == [
        (step, "restored") for step in range(1, STEPS[name] + 1)
    ]
    compare(cells, stored(name), images=False, sanitize=True)


@pytest.mark.parametrize("name", [name for name in ORDER if STEPS[name]])
def test_the_plan_of_a_notebook_that_has_just_run_is_to_restore_all_of_it(cold: Path, name: str) -> None:
    command = [sys.executable, "-m", "ckpt_magic", "plan", f"{name}.ipynb", "--json"]
    planned = subprocess.run(command, cwd=cold, env=environment(""), capture_output=True, text=True, timeout=120)
    assert [(row["next"], row["state"], row["reason"]) for row in json.loads(planned.stdout)] == [
        ("restore", "fresh", "")
    ] * STEPS[name]
    assert planned.returncode == 0


def test_restored_figures_and_updated_displays_are_those_of_the_run_byte_for_byte(tmp_path: Path) -> None:
    folder = copy_to(tmp_path / "twice")
    ran = execute(folder, "async-and-plots", "none")
    restored = execute(folder, "async-and-plots", "end")
    assert {fact["action"] for fact in banners(ran)} == {"saved"}
    assert {fact["action"] for fact in banners(restored)} == {"restored"}
    steps = [cell.id for cell in ran if cell.source.startswith("%%step")]
    assert len(steps) == STEPS["async-and-plots"]
    compare([cell for cell in restored if cell.id in steps], [cell for cell in ran if cell.id in steps])


@pytest.mark.parametrize("name", ORDER)
def test_notebooks_are_stored_whole_and_without_traces_of_a_machine(name: str) -> None:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    for folder in ("/home/", "/root/", "/tmp/", "/work/", "/Users/", "site-packages"):
        assert folder not in text
    cells = [cell for cell in stored(name) if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    tagged = {cell.id for cell in cells if "nbval-ignore-output" in cell.metadata.get("tags", ())}
    assert tagged <= TABLES | UNFOLLOWED
    assert [fact["action"] for fact in banners(cells)] == ["saved"] * STEPS[name]
