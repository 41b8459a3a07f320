"""What is known of a notebook's cells before they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from ckpt_magic.faces.notebook import Notebook
from ckpt_magic.steps.registry import PipelineKey

KEY = PipelineKey(Path("/f"), "p", "1")


def notebook(**options: Any) -> Notebook:
    return Notebook(TransformerManager().transform_cell, lambda call: KEY, **options)


def saved(path: Path, *sources: str) -> Path:
    cells = [{"cell_type": "code", "source": one.splitlines(keepends=True)} for one in sources]
    path.write_text(json.dumps({"cells": [*cells, {"cell_type": "markdown", "source": "text"}]}))
    return path


def test_nothing_is_known_without_a_file() -> None:
    assert notebook().after(KEY, 1, "%%step 1\nx = 1") is None


def test_the_cells_below_a_step_are_those_after_its_text(tmp_path: Path) -> None:
    cells = ["x = 0", "# above\n%%step 1\nx = 1\n", "%time y = x", "%%step 2\nz = y;", "no python at all", "%%bash\nls"]
    for known in (notebook(sources=cells), notebook(path=saved(tmp_path / "n.ipynb", *cells))):
        found = known.after(KEY, 1, "# above\n%%step 1\nx = 1")
        assert found is not None
        assert [cell.step for cell in found] == [None, 2, None]
        assert found[0].names.reads >= {"x"}
        assert found[1].code.endswith(";")
        assert not found[2].names.dynamic


def test_a_step_whose_text_is_not_in_the_file_is_found_by_its_number(tmp_path: Path) -> None:
    path = saved(tmp_path / "n.ipynb", "a = 1", "%%step 1\nx = 1", "b = 1")
    found = notebook(path=path).after(KEY, 1, "%%step 1\nx = 2")
    assert found is not None
    assert [cell.names.binds for cell in found] == [{"b"}]


def test_every_cell_counts_where_the_step_is_not_in_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "n.ipynb", "a = 1", "b = 1")
    assert len(notebook(path=path).after(KEY, 1, "%%step 1\nx = 2") or ()) == 2


def test_a_step_of_another_pipeline_is_a_cell_like_any(tmp_path: Path) -> None:
    path = saved(tmp_path / "n.ipynb", "%%step 1\nx = 1", "%%step 2\nx = 2")
    found = notebook(path=path).after(PipelineKey(Path("/f"), "q", "1"), 1, "%%step 1\nx = 1")
    assert [cell.step for cell in found or ()] == [None]


@pytest.mark.parametrize("text", ["", "{}", '{"cells": 1}', "[1"])
def test_a_file_that_is_being_written_tells_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text)
    assert notebook(path=path).after(KEY, 1, None) is None
