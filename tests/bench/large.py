"""One large array: what the machine can do, what saving and restoring it take of that, and steps that change a part."""

from __future__ import annotations

import os
import pickle
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests import loops
from tests.bench.cells import Shell
from tests.bench.measure import rounds_of, timed

_SLICE = 1 << 20


def machine(folder: Path, mebibytes: int, rounds: int) -> dict[str, float]:
    """The limits: bytes per second into the page cache and from memory to memory, and seconds of an fsync."""
    array = np.ones(mebibytes << 17)
    other = np.empty_like(array)
    path = folder / "raw.bin"

    def fsync() -> float:
        _write(path, array)
        with path.open("r+b") as file:
            return timed(lambda: os.fsync(file.fileno()))

    seconds = rounds_of(
        rounds,
        {
            "write": lambda: timed(lambda: _write(path, array)),
            "memcpy": lambda: timed(lambda: np.copyto(other, array)),
            "fsync": fsync,
        },
    )
    path.unlink()
    return {
        "page_cache_write_bytes_per_second": array.nbytes / statistics.median(seconds["write"]),
        "memcpy_bytes_per_second": array.nbytes / statistics.median(seconds["memcpy"]),
        f"fsync_{mebibytes}_mib_seconds": statistics.median(seconds["fsync"]),
    }


def array(folder: Path, mebibytes: int, rounds: int) -> dict[str, float]:
    """Save and restore an array in step cells, against raw writes of its bytes and `pickle.load` of its checkpoint.

    The disk is left out, here and there: what an fsync takes is told by `machine`.
    """
    shell = Shell(folder / "large")
    path, raw = folder / "large" / "bench-v1-step1.pkl", folder / "raw.bin"
    code = f"%%step 1\nimport numpy, time\na = numpy.ones({mebibytes << 17})\nstamp = time.perf_counter()"

    def saved() -> float:
        path.unlink(missing_ok=True)
        shell.reset("none")
        shell.run(code)
        return time.perf_counter() - float(shell.value("stamp"))

    def restored(use: Callable[[Any], Any]) -> float:
        shell.reset("end")
        began = time.perf_counter()
        shell.run(code)
        if shell.value("stamp") > began:
            raise RuntimeError("the step ran instead of being restored")
        use(shell.value("a"))
        return time.perf_counter() - began

    def loaded(use: Callable[[Any], Any]) -> float:
        shell.reset("none")
        return timed(lambda: use(_load(path)))

    def written() -> float:
        """The raw write of an array just made, as a step makes it: a virtual machine may give fresh memory slowly."""
        raw.unlink(missing_ok=True)
        shell.reset("none")
        shell.run(f"import numpy\na = numpy.ones({mebibytes << 17})")
        return timed(lambda: _write(raw, shell.value("a")))

    with _without_fsync():
        seconds = rounds_of(
            rounds,
            {
                "written": written,
                "saved": saved,
                "restored": lambda: restored(_leave),
                "restored, read": lambda: restored(_read),
                "restored, written": lambda: restored(_change),
                "loaded": lambda: loaded(_leave),
                "loaded, read": lambda: loaded(_read),
                "loaded, written": lambda: loaded(_change),
            },
        )
    shell.close()
    raw.unlink()
    return {
        "save_of_page_cache_bandwidth": _median(seconds["written"], seconds["saved"]),
        "restore_of_pickle_load": _median(seconds["restored"], seconds["loaded"]),
        "restore_and_read_all_of_pickle_load": _median(seconds["restored, read"], seconds["loaded"]),
        "restore_and_write_all_of_pickle_load": _median(seconds["restored, written"], seconds["loaded"]),
        **{f"{what}_seconds": statistics.median(times) for what, times in seconds.items()},
    }


def hundredths(folder: Path, mebibytes: int) -> dict[str, float | str]:
    """Ten steps that each change a hundredth of an array: bytes on disk by bytes changed, and seconds of a step.

    Once where the files are written, and once each on a file system in a loop file that shares extents.
    """
    figures: dict[str, float | str] = {}
    for kind in ("here", *loops.SHARING):
        try:
            with (
                loops.mounted(kind, folder, (mebibytes * 12 << 20) + (400 << 20))
                if kind != "here"
                else _here(folder / "hundredths") as root
            ):
                for name, figure in _hundredths(root, mebibytes).items():
                    figures[f"{kind}_{name}"] = figure
        except loops.NotHereError as why:
            figures[kind] = f"not run: {why}"
    return figures


def _hundredths(root: Path, mebibytes: int) -> dict[str, float]:
    size = mebibytes << 17
    part, seconds = size // 100, []
    shell = Shell(root / "steps")

    def settled() -> int:
        shell.run("%ckpt_status")  # waits until all is published: a file being written may have room it does not need
        return loops.used(root)

    shell.reset("none")
    shell.run(f"%%step 1\nimport numpy\na = numpy.ones({size})")
    before = settled()
    for step in range(2, 12):
        first = step * 7_919_000 % (size - part)
        seconds.append(shell.run(f"%%step {step}\na[{first} : {first + part}] += 1"))
    grown = settled() - before
    shell.close()
    return {"bytes_on_disk_of_bytes_changed": grown / (80 * part), "step_seconds": statistics.median(seconds)}


@contextmanager
def _here(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    yield folder


@contextmanager
def _without_fsync() -> Iterator[None]:
    native = os.fsync
    os.fsync = lambda fd: None
    try:
        yield
    finally:
        os.fsync = native


def _write(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array as fast as the page cache takes it."""
    with path.open("wb", buffering=0) as file, array.data.cast("B") as view:
        for start in range(0, len(view), _SLICE):
            file.write(view[start : start + _SLICE])


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)["a"]


def _leave(array: Any) -> None:
    pass


def _read(array: Any) -> None:
    array.sum()


def _change(array: Any) -> None:
    array += 1


def _median(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
