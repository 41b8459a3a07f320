"""One large array: restoring it against `pickle.load`, saving it against raw writes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ckpt_magic import Checkpoint
from tests.bench.measure import Row, fsync_time, rounds_of, timed


class Large(Checkpoint):
    """One step, which returns an array that is there already."""

    array: np.ndarray[Any, Any]

    def step_1(self, outputs: Any) -> Any:
        """Return the array; all the time that this step takes is the saving."""
        return type(self).array


def restore(folder: Path, mebibytes: int, rounds: int) -> Iterator[Row]:
    """Restore an array by mapping it, untouched and with every page read, against reading it."""
    checkpoint = _saved(folder / "restore", mebibytes)
    path = next((folder / "restore").glob("*.pkl"))
    raw = folder / "array.npy"
    np.save(raw, Large.array)

    def plain() -> Any:
        with path.open("rb") as file:
            return pickle.load(file)

    def run() -> Any:
        return checkpoint.run(start_from="end")["step_1"]

    seconds = rounds_of(
        rounds,
        {
            "load": lambda: timed(lambda: checkpoint.load_outputs()["step_1"]),
            "run": lambda: timed(run),
            "load and read": lambda: timed(lambda: _touch(checkpoint.load_outputs()["step_1"])),
            "pickle": lambda: timed(plain),
            "pickle and read": lambda: timed(lambda: _touch(plain())),
            "numpy": lambda: timed(lambda: np.load(raw, mmap_mode="c")),
        },
    )
    size = f"{mebibytes} MiB"
    yield Row(f"load_outputs, {size}", seconds["load"], "pickle.load", seconds["pickle"])
    yield Row(f"run(start_from='end'), {size}", seconds["run"], "pickle.load", seconds["pickle"])
    yield Row(
        f"load_outputs, {size}, then read all",
        seconds["load and read"],
        "pickle.load, read all",
        seconds["pickle and read"],
    )
    yield Row(f"load_outputs, {size}", seconds["load"], "numpy.load, mapped", seconds["numpy"])


def save(folder: Path, mebibytes: int, rounds: int) -> Iterator[Row]:
    """Save an array against writing the same bytes, fsync apart."""
    checkpoint = _saved(folder / "save", mebibytes)
    spent: dict[str, list[float]] = {"ours": [], "raw": [], "dump": []}

    def apart(name: str, act: Callable[[], Any]) -> float:
        with fsync_time() as fsync:
            seconds = timed(act)
        spent[name].append(sum(fsync))
        return seconds - sum(fsync)

    def raw() -> None:
        _publish(folder / "raw.bin", lambda file: file.write(Large.array.data.cast("B")))

    def dump() -> None:
        _publish(folder / "dump.pkl", lambda file: pickle.dump(Large.array, file, protocol=5))

    seconds = rounds_of(
        rounds,
        {
            "ours": lambda: apart("ours", checkpoint.run),
            "raw": lambda: apart("raw", raw),
            "dump": lambda: apart("dump", dump),
        },
    )
    size = f"{mebibytes} MiB"
    yield Row(f"save, {size}, without fsync", seconds["ours"], "raw write", seconds["raw"])
    yield Row(f"save, {size}, without fsync", seconds["ours"], "pickle.dump", seconds["dump"])
    yield Row(
        f"fsync of a save, {size}",
        spent["ours"][1:],
        "fsync of a raw write",
        spent["raw"][1:],
    )


def _saved(folder: Path, mebibytes: int) -> Large:
    Large.array = np.random.default_rng(1).random(mebibytes << 17)
    checkpoint = Large(name="bench", checkpoint_folder=folder, version=1)
    checkpoint.run()
    return checkpoint


def _touch(array: np.ndarray[Any, Any]) -> float:
    return float(array[:: 4096 // array.itemsize].sum())


def _publish(path: Path, write: Callable[[Any], Any]) -> None:
    """What any careful program does with a file: a temporary one, fsync, rename."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
