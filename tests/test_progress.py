"""Saves and restores that take long say how far they are, and leave no trace of it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ckpt_magic import Checkpoint
from ckpt_magic.faces.progress import progress_in
from ckpt_magic.faces.runner import KernelManager
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps import lines


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that `lines` sees pass, one per look at the clock."""
    looks: list[float] = []

    def look() -> float:
        looks.append(float(len(looks)))
        return looks[-1]

    monkeypatch.setattr("ckpt_magic.steps.lines.monotonic", look)
    return looks


def test_a_line_says_bytes_rate_and_time_left() -> None:
    assert lines.line("saving step 3", 0, None, 2.4) == "saving step 3 · 2 s"
    text = lines.line("saving step 3", 1_500_000_000, 4_500_000_000, 2.0)
    assert text == "saving step 3 · 1.5 GB of 4.5 GB · 750 MB/s · 4 s left"
    assert lines.line("saving step 3", 5_000_000, 4, 2.0) == "saving step 3 · 5.0 MB · 2.5 MB/s"  # it was a guess


def test_nothing_is_said_in_the_first_second_and_then_a_few_times_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.5, 10.9, 11.0, 11.1, 11.2, 11.3])
    monkeypatch.setattr("ckpt_magic.steps.lines.monotonic", lambda: next(now))
    shown: list[str] = []
    with lines.timed("x", 600, shown.append, lambda: shown.append("")) as advance:
        for done in range(100, 700, 100):
            advance(done)
    assert [text[:9] for text in shown] == ["x · 300 b", "x · 600 b", ""]


def test_a_display_that_fails_does_not_disturb_what_it_shows(clock: list[float]) -> None:
    def broken(*_: Any) -> None:
        raise OSError

    with lines.timed("x", None, broken, broken) as advance:
        advance(1)
    assert len(clock) == 2


def test_a_script_in_a_terminal_has_one_line_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    class Large(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            return bytearray(4 << 20)

    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        Large("p", tmp_path).run()
        Large("p", tmp_path).run("end")
        if not stream.isatty():
            assert stream.getvalue() == ""
            continue
        texts = stream.getvalue().split("\r\x1b[K")
        assert any(text.startswith("saving step 1 · ") and " of 4.2 MB · " in text for text in texts)
        assert any(text.startswith("reading step 1 · ") for text in texts)
        assert "\n" not in stream.getvalue()
        assert texts[-1] == ""


# --- in a kernel ---

SLOW = """
import os, time
import numpy as np
from ckpt_magic.steps import lines
lines._FIRST = lines._EACH = 0
fsync = os.fsync
def slow(descriptor):
    time.sleep(1.2)
    fsync(descriptor)
"""
SAVE = "%%step 1 --name p --folder ck\nprint('shown')\nlarge = np.arange(1_000_000)\nlarge[:2]"


class Listening(NotebookClient):
    """Notes what is said of progress, per cell."""

    said: Any = None

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if (text := progress_in(msg)) is not None:
            self.said.setdefault(cell_index, []).append((msg["msg_type"], text))
        return super().process_message(msg, cell, cell_index)


def run(folder: Path, *sources: str, start: str = "none") -> tuple[list[Any], dict[int, Any]]:
    cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext ckpt_magic", SLOW, *sources)]
    client = Listening(
        nbformat.v4.new_notebook(cells=cells),
        kernel_name="python3",
        kernel_manager_class=KernelManager,
        resources={"metadata": {"path": str(folder)}},
    )
    client.said = {}
    client.execute(env={**os.environ, "CKPT_START_FROM": start})
    return cells, client.said


def kinds(cell: Any) -> list[str]:
    return [output.output_type for output in cell.outputs]


@pytest.mark.kernel
def test_a_notebook_has_one_display_until_the_banner_takes_its_place(tmp_path: Path) -> None:
    cells, said = run(tmp_path, SAVE, "os.fsync = slow", SAVE, "os.fsync = fsync", "%ckpt_status")
    assert set(said) == {2, 4, 6}
    assert said[2][0][0] == "display_data"
    assert {kind for kind, _ in said[2][1:]} == {"update_display_data"}
    assert said[2][0][1].startswith("saving step 1 · ")
    assert said[6][0][1].startswith("waiting until p-v1-step1.pkl is on the disk")
    for at in (2, 4):
        assert kinds(cells[at]) == ["stream", "execute_result", "display_data"]
        assert cells[at].outputs[-1].metadata.ckpt_magic.action == "saved"
    stored = open_checkpoint(tmp_path / "ck/p-v1-step1.pkl", load_keyring())
    assert [output["output_type"] for output in stored.outputs()] == ["stream", "execute_result"]


@pytest.mark.kernel
def test_what_a_restore_had_to_wait_for_is_cleared_away(tmp_path: Path) -> None:
    cells, said = run(tmp_path, SAVE, "os.fsync = slow", f"{SAVE}\nagain = 1", SAVE, start="end")
    assert "waiting until p-v1-step1.pkl is on the disk" in said[5][0][1]
    assert kinds(cells[5]) == ["stream", "execute_result", "display_data"]
    assert cells[5].outputs[-1].metadata.ckpt_magic.action in ("saved", "restored")
