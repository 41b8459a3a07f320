"""Rounds, medians and the time that goes into fsync."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: seconds, one per round; or bytes."""

    what: str
    ours: list[float]
    peer: str
    theirs: list[float]
    unit: Literal["seconds", "bytes"] = "seconds"

    @property
    def ratio(self) -> float:
        """Our time divided by the peer's: the median over the rounds, since both of a round met the same machine."""
        return statistics.median(mine / max(other, 1e-9) for mine, other in zip(self.ours, self.theirs, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """The row for a JSON file."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return {
            "what": self.what,
            self.unit: ours,
            "peer": self.peer,
            f"peer_{self.unit}": theirs,
            "ratio": self.ratio,
        }


def rounds_of(rounds: int, measurements: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Take every measurement once per round, in turn, and give its seconds in each round.

    One round more than asked for is run first and thrown away: it fills the file system's memory and imports modules.
    Each begins without garbage.
    """
    times: dict[str, list[float]] = {name: [] for name in measurements}
    for k in range(rounds + 1):
        gc.collect()
        for name, measure in measurements.items():
            seconds = measure()
            if k:
                times[name].append(seconds)
    return times


def timed(act: Callable[[], Any]) -> float:
    """Seconds that `act` takes; what it returns is given up before the next measurement."""
    start = time.perf_counter()
    result = act()
    seconds = time.perf_counter() - start
    del result
    return seconds


@contextmanager
def fsync_time() -> Iterator[list[float]]:
    """Collect the seconds of every `os.fsync` in this process: they tell about the disk, not about the program."""
    spent: list[float] = []
    native = os.fsync

    def measured(fd: Any) -> None:
        start = time.perf_counter()
        native(fd)
        spent.append(time.perf_counter() - start)

    os.fsync = measured
    try:
        yield spent
    finally:
        os.fsync = native


def peak_of(act: Callable[[], object]) -> int:
    """Bytes of memory that `act` takes at its peak beyond what was taken before; what it returns counts too."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is resident now
    before = _status("VmRSS")
    result = act()
    peak = _status("VmHWM") - before
    del result
    return max(0, peak)


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) << 10
