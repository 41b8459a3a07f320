"""Graphs of objects: saved and restored, against pickle and what people use in its place."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from ckpt_magic import Checkpoint
from ckpt_magic.files.payloads import PayloadWriter
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickling import Contents, write
from tests.bench.measure import Row, fsync_time, peak_of, rounds_of, timed


@dataclass(frozen=True, slots=True)
class Workload:
    """A value to be saved.

    Attributes
    ----------
    what
        What it is; with a place for how many.
    size
        How many of them.
    make
        Makes the value of a size, always the same.
    touch
        Looks at all of it.
    """

    what: str
    size: int
    make: Callable[[int], Any]
    touch: Callable[[Any], object]


def flat_dicts(size: int) -> list[dict[str, Any]]:
    """Dicts of atoms, which the collector does not follow."""
    return [{"id": k, "name": f"name {k}", "score": k / 7} for k in range(size)]


def nested_dicts(size: int) -> list[dict[str, Any]]:
    """Dicts that hold a list, which the collector follows."""
    return [{"id": k, "name": f"name {k}", "tags": [k % 7, k % 11]} for k in range(size)]


POINT = """
class Point:
    def __init__(self, x, y, label):
        self.x, self.y, self.label = x, y, label

    def distance(self):
        return (self.x**2 + self.y**2) ** 0.5
"""


def instances(size: int) -> list[Any]:
    """Instances of a class that a notebook defines: `pickle` writes it as a name of ``__main__``."""
    space = vars(sys.modules["__main__"])
    if "Point" not in space:
        exec(POINT, space)
    return [space["Point"](k, k / 3, f"point {k}") for k in range(size)]


def forest(size: int) -> RandomForestClassifier:
    """A trained forest of decision trees."""
    rng = np.random.default_rng(1)
    table = rng.random((2_000, 10))
    return RandomForestClassifier(n_estimators=size, random_state=1).fit(table, table[:, 0] + table[:, 1] > 1)


def frame(size: int) -> pd.DataFrame:
    """A frame of mixed dtypes without objects."""
    rng = np.random.default_rng(1)
    columns = {
        "number": rng.random(size),
        "count": rng.integers(0, 9, size),
        "flag": rng.random(size) > 0.5,
        "at": rng.integers(0, 10**18, size).astype("datetime64[ns]"),
        "kind": pd.Categorical(np.array(list("wxyz"))[rng.integers(0, 4, size)]),
    }
    return pd.DataFrame(columns)


def strings(size: int) -> pd.DataFrame:
    """The same with two columns of strings as objects: one of few that come again, one of all different ones."""
    made = frame(size)
    words = np.array([f"word {k}" for k in range(1_000)], dtype=object)
    made["word"] = pd.Series(words[np.random.default_rng(2).integers(0, 1_000, size)], dtype=object)
    made["label"] = pd.Series([f"label {k}" for k in range(size)], dtype=object)
    return made


def mixed(size: int) -> dict[str, Any]:
    """Objects that share objects, arrays that are views of one memory."""
    memory = np.random.default_rng(1).random(size)
    shared = [{"key": k} for k in range(size // 100)]
    return {
        "memory": memory,
        "halves": [memory[: size // 2], memory[size // 2 :]],
        "turned": memory.reshape(-1, 10).T,
        "one": shared,
        "other": shared[::-1],
        "pairs": [(shared[k], shared[-k]) for k in range(1, size // 100)],
    }


def workloads(*, quick: bool) -> list[Workload]:
    """What is measured; a fiftieth of it in a hurry, since joblib takes forty times as long as pickle."""
    part = 50 if quick else 1
    return [
        Workload("{:,} flat dicts", 1_000_000 // part, flat_dicts, lambda rows: sum(row["id"] for row in rows)),
        Workload(
            "{:,} dicts with a list", 1_000_000 // part, nested_dicts, lambda rows: sum(r["tags"][0] for r in rows)
        ),
        Workload(
            "{:,} instances", 10_000 if quick else 100_000, instances, lambda points: sum(one.x for one in points)
        ),
        Workload("a forest of {:,} trees", 500 // part, forest, lambda trees: trees.predict(np.zeros((1, 10)))),
        Workload("a frame of {:,} rows", 1_000_000 // part, frame, _touch_frame),
        Workload("a frame of {:,} rows with strings", 1_000_000 // part, strings, _touch_frame),
        Workload("sharing and views, {:,}", 1_000_000 // part, mixed, lambda mix: mix["turned"].sum()),
    ]


def _touch_frame(table: pd.DataFrame) -> object:
    return table.nunique()


class Made(Checkpoint):
    """One step, which makes a value: who held it elsewhere would have it looked at there as well."""

    workload: Workload

    def step_1(self, outputs: Any) -> Any:
        """Make the value."""
        return _made(type(self).workload)


def _made(workload: Workload) -> Any:
    """Make a value without the collector, so that it always takes the same time."""
    gc.disable()
    try:
        return workload.make(workload.size)
    finally:
        gc.enable()


Way = tuple[Callable[[Path, Any], object], Callable[[Path], Any]]
PICKLE = "pickle, protocol 5"


def _dump(path: Path, value: Any, **options: Any) -> None:
    with path.open("wb") as file:
        pickle.dump(value, file, **options)


def _dump_by_cloudpickle(path: Path, value: Any) -> None:
    with path.open("wb") as file:
        cloudpickle.dump(value, file, protocol=5)


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


def _load_by_cloudpickle(path: Path) -> Any:
    """Load as another process would: here the class of the notebook would get methods with globals of their own."""
    cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
    return _load(path)


def _save_itself(path: Path, value: Any) -> None:
    """The saving alone, without a look and without a checkpoint around it."""
    with path.open("wb") as file:
        writer = PayloadWriter(file, new_hash)
        write(Contents("method", value), writer, namespace=vars(sys.modules["__main__"]))  # type: ignore[arg-type]
        writer.finish()


PEERS: dict[str, Way] = {
    PICKLE: (partial(_dump, protocol=5), _load),
    "pickle, default protocol": (_dump, _load),
    "cloudpickle": (_dump_by_cloudpickle, _load_by_cloudpickle),
    "joblib, mapped": (lambda path, value: joblib.dump(value, path), lambda path: joblib.load(path, mmap_mode="c")),
}
OURS = "ckpt_magic"


def rows(folder: Path, rounds: int, *, quick: bool) -> Iterator[Row]:
    """Measure all workloads."""
    folder = folder / "objects"
    folder.mkdir()
    for number, workload in enumerate(workloads(quick=quick)):
        yield from _rows_of(workload, folder, rounds)
        if not quick:
            yield from _memory(folder, number)


def _rows_of(workload: Workload, folder: Path, rounds: int) -> Iterator[Row]:
    what = workload.what.format(workload.size)
    value = _made(workload)
    saves, loads, paths = _ways(workload, folder)
    step = _checkpoint(workload, folder).run
    measured: dict[str, Callable[[], float]] = {}
    measured |= {f"save {name}": partial(_without_fsync, partial(save, value)) for name, save in saves.items()}
    measured["save step"] = lambda: _without_fsync(step) - _collected(partial(_made, workload))
    measured |= {f"load {name}": partial(_collected, load) for name, load in loads.items()}
    measured |= {f"read {name}": partial(_collected, partial(_touched, workload, load)) for name, load in loads.items()}
    seconds = rounds_of(rounds, measured)
    others = [name for name in saves if name != PICKLE]
    for way, deed in (("save", "save"), ("load", "restore"), ("read", "restore, read all")):
        for name in others:
            yield Row(f"{what}, {deed}: {name}", seconds[f"{way} {name}"], PICKLE, seconds[f"{way} {PICKLE}"])
    yield Row(f"{what}, look and save: {OURS}", seconds["save step"], PICKLE, seconds[f"save {PICKLE}"])
    sizes = {name: float(path.stat().st_size) for name, path in paths.items()}
    for name in others:
        yield Row(f"{what}, bytes: {name}", [sizes[name]], PICKLE, [sizes[PICKLE]], unit="bytes")


def _ways(
    workload: Workload, folder: Path
) -> tuple[dict[str, Callable[[Any], object]], dict[str, Callable[[], Any]], dict[str, Path]]:
    """How to save and to load, and the files, by what does it."""
    checkpoint = _checkpoint(workload, folder)
    paths = {name: folder / f"{number}.pkl" for number, name in enumerate((OURS, *PEERS))}
    saves: dict[str, Callable[[Any], object]] = {OURS: partial(_save_itself, paths[OURS])}
    saves |= {name: partial(save, paths[name]) for name, (save, _) in PEERS.items()}
    loads: dict[str, Callable[[], Any]] = {OURS: lambda: checkpoint.run(start_from="end")["step_1"]}
    loads |= {name: partial(load, paths[name]) for name, (_, load) in PEERS.items()}
    return saves, loads, paths


def _checkpoint(workload: Workload, folder: Path) -> Made:
    Made.workload = workload
    return Made(name=f"objects-{workload.make.__name__}", checkpoint_folder=folder, version=1)


def _memory(folder: Path, number: int) -> Iterator[Row]:
    """Memory at its peak, each time in a process of its own: an allocator that was used before has some at hand."""
    workload = workloads(quick=False)[number]
    what = workload.what.format(workload.size)
    for deed in ("save", "restore"):
        sizes = {}
        for name in (OURS, *PEERS):
            code = f"from tests.bench import objects; objects.tell_peak({str(folder)!r}, {number}, {deed!r}, {name!r})"
            told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            sizes[name] = float(told.stdout)
        for name in (name for name in sizes if name != PICKLE):
            yield Row(f"{what}, memory to {deed}: {name}", [sizes[name]], PICKLE, [sizes[PICKLE]], unit="bytes")


def tell_peak(folder: str, number: int, deed: str, name: str) -> None:
    """Print how much memory saving or restoring takes at its peak."""
    workload = workloads(quick=False)[number]
    saves, loads, _ = _ways(workload, Path(folder))
    value = _made(workload) if deed == "save" else None
    instances(0)  # defines the class
    print(peak_of(partial(saves[name], value) if deed == "save" else loads[name]))


def _touched(workload: Workload, load: Callable[[], Any]) -> object:
    return workload.touch(load())


def _collected(act: Callable[[], object]) -> float:
    """Seconds after a collection, so that nobody pays for the garbage of another; the collector stays on."""
    gc.collect()
    return timed(act)


def _without_fsync(act: Callable[[], object]) -> float:
    with fsync_time() as spent:
        seconds = _collected(act)
    return seconds - sum(spent)
