"""Kills at random, system calls that fail, hostile files: nothing is lost, torn or executed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.durability import calls, fuzz, kills

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


def test_every_broken_or_hostile_file_gives_a_named_error_its_values_or_a_difference_that_is_told(
    tmp_path: Path,
) -> None:
    """A hundred thousand of them: `python -m tests.durability.fuzz`."""
    report = fuzz.rounds(tmp_path, 5000, seed=1)
    assert report.problems == []
    came = {what.split(": ")[1] for what in report.seen if what.startswith("load: ")}
    errors = {"DamagedError", "TamperedError", "OtherKeyError", "OtherWriterError", "ForeignError", "NewerFormatError"}
    assert errors | {"valid", "payload"} <= came
