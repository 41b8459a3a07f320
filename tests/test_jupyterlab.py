"""`%%step` in JupyterLab, in a real page: what stands in the saved notebook, and where its checkpoints are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests import lab
from tests.lab import Page
from tests.test_hosts import STEPS, actions, banners, page

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install '.[dev]'")
playwright: Any = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install '.[dev]'", exc_type=ImportError
)

CELLS = [
    "%load_ext ckpt_magic\n%ckpt_start none",
    "rows = 4",
    *STEPS,
    'made_by == os.getpid(), total, list(table["y"])',
]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def context(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    browser = lab.chromium()
    with lab.serve(root) as address, playwright.sync_playwright() as driver:
        opened = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")), executable_path=browser, headless=True, args=lab.FLAGS
        )
        yield opened, address
        opened.close()


@pytest.fixture
def open_in_lab(root: Path, context: tuple[Any, str]) -> Iterator[Open]:
    """Return a function that writes a notebook, or takes one that is there, and opens it."""
    pages: list[Page] = []

    def open_page(name: str, cells: list[str] | None = None) -> Page:
        path = root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        if cells is not None:
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, path)
        pages.append(lab.open_notebook(*context, root, path))
        return pages[-1]

    yield open_page
    for opened in pages:
        if not opened.page.is_closed():
            opened.close()


def test_run_all_after_a_restart_saves_the_page_that_the_run_left(open_in_lab: Open) -> None:
    notebook = open_in_lab("project/my flights.ipynb", CELLS)
    assert notebook.run_all()
    notebook.save()
    ran = notebook.cells()
    assert actions(ran) == ["saved"] * 3

    notebook.restart()
    notebook.type_into(0, "%load_ext ckpt_magic\n%ckpt_start end")
    assert notebook.run_all()
    notebook.save()
    restored = notebook.cells()
    assert actions(restored) == ["restored"] * 3
    assert page(restored) == page(ran)
    assert restored[-1].outputs[0].data["text/plain"] == "(False, 14, [0, 1, 4, 9])"

    # In the page itself: the plot, the table, and the quiet line as the last output of its cell.
    steps = notebook.page.locator(".jp-Notebook .jp-Cell")
    assert steps.nth(4).locator("img[src^='data:image/png']").is_visible()
    assert steps.nth(2).locator("table.dataframe").is_visible()
    for number in (1, 2, 3):
        shown = steps.nth(number + 1).locator(".jp-OutputArea-output")
        assert shown.last.inner_text().startswith(f"step {number}")

    # Name and folder are the notebook's own.
    left = sorted(path.name for path in (notebook.path.parent / ".ckpt").glob("*.pkl"))
    assert left == [f"my-flights-v1-step{step}.pkl" for step in (1, 2, 3)]


def test_an_error_in_a_step_stops_run_all_and_nothing_is_saved(open_in_lab: Open) -> None:
    notebook = open_in_lab("errors/error.ipynb", [CELLS[0], "%%step 1\na = 1", "%%step 2\nb = a / 0", "after = 1"])
    assert not notebook.run_all()
    notebook.save()
    cells = notebook.cells()
    assert [output.output_type for output in cells[2].outputs] == ["error"]
    assert cells[2].outputs[0].ename == "ZeroDivisionError"
    assert cells[3].execution_count is None
    assert actions(cells) == ["saved"]
    assert [path.name for path in (notebook.path.parent / ".ckpt").glob("*.pkl")] == ["error-v1-step1.pkl"]


def test_a_renamed_notebook_is_told_the_name_of_its_checkpoints(open_in_lab: Open) -> None:
    cells = ["%load_ext ckpt_magic\n%ckpt_start end", "%%step 1\na = 1"]
    notebook = open_in_lab("renamed/old.ipynb", cells)
    assert notebook.run_all()
    notebook.save()
    notebook.close()
    notebook.path.rename(notebook.path.with_name("new.ipynb"))
    notebook = open_in_lab("renamed/new.ipynb")
    assert notebook.run_all()
    notebook.save()
    (banner,) = banners(notebook.cells())
    assert "· saved ·" in banner and "renamed? --name old" in banner
