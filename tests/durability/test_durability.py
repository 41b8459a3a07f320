"""Kills at random, system calls that fail: a checkpoint is at every moment the earlier one or the new one, whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.durability import calls, kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: it takes fork and strace")


def test_two_hundred_kills_leave_the_earlier_or_the_new_checkpoint_whole(tmp_path: Path) -> None:
    """Ten thousand of them: `python -m tests.durability.kills`."""
    found = kills.rounds(tmp_path / "ck", 200, seed=1)
    assert found.total() - found["left a temporary file"] == 200
    assert found["killed, the old one is there"] > 20


def test_a_save_survives_the_failure_of_any_of_its_system_calls(tmp_path: Path) -> None:
    """One error for each call, in turns; each call with each error: `python -m tests.durability.calls`."""
    if why := calls.available():
        pytest.skip(f"not run: {why}")
    every = list(calls.faults(calls.calls_of_a_save(tmp_path), ("ENOSPC", "EIO", "EACCES")))
    assert len(every) > 100
    found = {fault: calls.try_one(tmp_path, fault) for fault in every[::4]}
    assert {fault: text for fault, text in found.items() if text} == {}
