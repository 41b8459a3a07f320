"""Kills at random, system calls that fail, hostile files: nothing is lost, torn or executed."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.durability import calls, fuzz, kernels, kills

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="not run: it takes fork and strace"),
    pytest.mark.long,
]

T = TypeVar("T")


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call it in a small process of its own: this one, with all that other tests left in it, is slow to fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@pytest.mark.parametrize("name", list(kills.SAVES))
def test_a_hundred_kills_leave_the_earlier_or_the_new_checkpoint_whole(tmp_path: Path, name: str) -> None:
    """Ten thousand of them: `python -m tests.durability.kills`."""
    found = apart(kills.rounds, kills.SAVES[name], tmp_path / "ck", 100, 1)
    assert found.total() - found["left a temporary file"] == 100
    assert found["killed, the old one is there"] > 10


@pytest.mark.parametrize(("name", "every"), [("session", 8), ("publish", 2), ("clear", 2), ("trust", 12), ("key", 4)])
def test_what_writes_to_the_disk_survives_the_failure_of_any_system_call(tmp_path: Path, name: str, every: int) -> None:
    """Some calls, with errors in turns; each call with each error: `python -m tests.durability.calls`."""
    if why := calls.available():
        pytest.skip(f"not run: {why}")
    found = apart(calls.try_some, name, tmp_path, ("ENOSPC", "EIO", "EACCES"), every)
    assert len(found) > 10
    assert {fault: text for fault, text in found.items() if text} == {}


def test_every_broken_or_hostile_file_gives_a_named_error_its_values_or_a_difference_that_is_told(
    tmp_path: Path,
) -> None:
    """A hundred thousand of them: `python -m tests.durability.fuzz`."""
    report = apart(fuzz.rounds, tmp_path, 5000, 1)
    assert report.problems == []
    came = {what.split(": ")[1] for what in report.seen if what.startswith("load: ")}
    errors = {"DamagedError", "TamperedError", "OtherKeyError", "OtherWriterError", "ForeignError", "NewerFormatError"}
    assert errors | {"valid", "payload"} <= came


def test_two_processes_that_save_one_step_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """A thousand rounds: `python -m tests.durability.kernels`."""
    found = apart(kernels.rounds, tmp_path / "ck", 20, 3)
    assert found["rounds"] == 20
    assert found["killed one of the two"] > 0
