"""Files that torch reads behind Python's back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fresh import project

pytest.importorskip("torch", reason="not run: torch is not installed")


def test_a_step_that_maps_a_file_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [(None, "import torch"), (1, "y = torch.from_file('a.bin', size=3).tolist()")]
    found = []
    for value in (1, 2):
        np.full(3, value, np.float32).tofile("a.bin")
        found.append((project.foresee(tmp_path, cells), project.play(tmp_path, cells, "auto").names["y"]))
    assert found == [({1}, [1.0] * 3), ({1}, [2.0] * 3)]
