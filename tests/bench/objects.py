"""Graphs of objects: saved and restored, against pickle and what people use in its place."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import joblib

from ckpt_magic import Checkpoint
from ckpt_magic.files.payloads import PayloadWriter
from ckpt_magic.values.delta import repeated
from ckpt_magic.values.looking import look
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles.pickling import Contents, write
from tests.bench.measure import Row, fsync_time, peak_of, rounds_of, timed
from tests.bench.workloads import Workload, instances, workloads


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


def _save_itself(path: Path, value: Any, again: tuple[Any, ...] | None = None) -> None:
    """The saving alone, without a checkpoint around it, and without the look, which has told what comes again."""
    some = [] if again is None else [(value, again)]
    with path.open("wb") as file:
        writer: Any = PayloadWriter(file, new_hash)
        write(Contents("method", value), writer, namespace=vars(sys.modules["__main__"]), trees=some)
        writer.finish()


PEERS: dict[str, Way] = {
    PICKLE: (partial(_dump, protocol=5), _load),
    "pickle, default protocol": (_dump, _load),
    "cloudpickle": (_dump_by_cloudpickle, _load_by_cloudpickle),
    "joblib, mapped": (lambda path, value: joblib.dump(value, path), lambda path: joblib.load(path, mmap_mode="c")),
}
OURS = "ckpt_magic"
_SLOW = ("joblib, mapped",)  # goes through objects in Python


def rows(folder: Path, workload: Workload, rounds: int, *, quick: bool) -> Iterator[Row]:
    """Measure a workload; in a hurry what libraries made is kept out of the collector's sight.

    Not where ours is restored: it asks how much is frozen, and to count that takes longer than to restore.
    """
    if quick:
        workload.make(10)  # for the imports
        gc.collect()
        gc.freeze()
    try:
        yield from _rows(folder, workload, rounds, quick=quick)
    finally:
        gc.unfreeze()


def _rows(folder: Path, workload: Workload, rounds: int, *, quick: bool) -> Iterator[Row]:
    slow = [name for name in _SLOW if workload.large > 1]
    part = replace(workload, size=workload.size // workload.large)
    quick_ones = [OURS, *(name for name in PEERS if name not in slow)]
    for some, names in ((workload, quick_ones), (part, [PICKLE, *slow])):
        if len(names) > 1:
            place = folder / f"{some.make.__name__}-{some.size}"
            place.mkdir()
            yield from _rows_of(some, place, rounds, names)
            if not quick:
                yield from _memory(some, place, names)
            shutil.rmtree(place)


def _rows_of(workload: Workload, folder: Path, rounds: int, names: list[str]) -> Iterator[Row]:
    what = workload.what.format(workload.size)
    value = _made(workload)
    saves, loads, paths = _ways(workload, folder)
    saves[OURS] = partial(saves[OURS], again=repeated(look(value, vars(sys.modules["__main__"]))))
    measured: dict[str, Callable[[], float]] = {}
    measured |= {f"save {name}": partial(_without_fsync, partial(saves[name], value)) for name in names}
    if OURS in names:
        step = _checkpoint(workload, folder).run
        measured["save step"] = lambda: _without_fsync(step) - _collected(partial(_made, workload))
    for name in names:
        restored = _thawed if name == OURS else _collected
        measured[f"load {name}"] = partial(restored, loads[name])
        measured[f"read {name}"] = partial(restored, partial(_touched, workload, loads[name]))
    seconds = rounds_of(rounds, measured)
    others = [name for name in names if name != PICKLE]
    for way, deed in (("save", "save"), ("load", "restore"), ("read", "restore, read all")):
        for name in others:
            yield Row(f"{what}, {deed}: {name}", seconds[f"{way} {name}"], PICKLE, seconds[f"{way} {PICKLE}"])
    if OURS in names:
        yield Row(f"{what}, look and save: {OURS}", seconds["save step"], PICKLE, seconds[f"save {PICKLE}"])
        yield _limit(what, paths[PICKLE], seconds[f"load {PICKLE}"])
    sizes = {name: float(paths[name].stat().st_size) for name in names}
    for name in others:
        yield Row(f"{what}, bytes: {name}", [sizes[name]], PICKLE, [sizes[PICKLE]], unit="bytes")


def _limit(what: str, path: Path, loaded: list[float]) -> Row:
    """What restoring takes at least: reading the same pickle from memory without the collector."""
    data = path.read_bytes()
    gc.disable()
    try:
        spent = [timed(lambda: pickle.loads(data)) for _ in loaded]
    finally:
        gc.enable()
    return Row(f"{what}, restore: limit, without the collector", spent, PICKLE, loaded)


def _ways(
    workload: Workload, folder: Path
) -> tuple[dict[str, Callable[..., object]], dict[str, Callable[[], Any]], dict[str, Path]]:
    """How to save and to load, and the files, by what does it."""
    checkpoint = _checkpoint(workload, folder)
    paths = {name: folder / f"{number}.pkl" for number, name in enumerate((OURS, *PEERS))}
    saves: dict[str, Callable[..., object]] = {OURS: partial(_save_itself, paths[OURS])}
    saves |= {name: partial(save, paths[name]) for name, (save, _) in PEERS.items()}
    loads: dict[str, Callable[[], Any]] = {OURS: lambda: checkpoint.run(start_from="end")["step_1"]}
    loads |= {name: partial(load, paths[name]) for name, (_, load) in PEERS.items()}
    return saves, loads, paths


def _checkpoint(workload: Workload, folder: Path) -> Made:
    Made.workload = workload
    return Made(name=f"objects-{workload.make.__name__}", checkpoint_folder=folder, version=1)


def _memory(workload: Workload, folder: Path, names: list[str]) -> Iterator[Row]:
    """Memory at its peak, each time in a process of its own: an allocator that was used before has some at hand."""
    number = [one.make for one in workloads(quick=False)].index(workload.make)
    code = f"from tests.bench import objects; objects.tell_peaks({str(folder)!r}, {number}, {workload.size}, {names!r})"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    sizes: dict[str, float] = json.loads(told.stdout)
    what = workload.what.format(workload.size)
    for deed in ("save", "restore"):
        for name in (name for name in names if name != PICKLE):
            ours, theirs = sizes[f"{deed} {name}"], sizes[f"{deed} {PICKLE}"]
            yield Row(f"{what}, memory to {deed}: {name}", [ours], PICKLE, [theirs], unit="bytes")


def tell_peaks(folder: str, number: int, size: int, names: list[str]) -> None:
    """Print how much memory saving and restoring take at their peak, by deed and name."""
    workload = replace(workloads(quick=False)[number], size=size)
    saves, loads, _ = _ways(workload, Path(folder))
    instances(0)  # defines the class
    found = {}
    for name in names:
        found[f"save {name}"] = _in_child(saves[name], partial(_made, workload))
        found[f"restore {name}"] = _in_child(loads[name])
    print(json.dumps(found))


def _in_child(act: Callable[..., object], make: Callable[[], object] | None = None) -> int:
    """The peak in a forked process, which has imported what it needs; it makes first what is given to `act`."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(peak_of(act if make is None else partial(act, make()))).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    return int(told)


def _touched(workload: Workload, load: Callable[[], Any]) -> object:
    return workload.touch(load())


def _collected(act: Callable[[], object]) -> float:
    """Seconds after a collection, so that nobody pays for the garbage of another; the collector stays on."""
    gc.collect()
    return timed(act)


def _thawed(act: Callable[[], object]) -> float:
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        return _collected(act)
    finally:
        if frozen:
            gc.collect()
            gc.freeze()


def _without_fsync(act: Callable[[], object]) -> float:
    with fsync_time() as spent:
        seconds = _collected(act)
    return seconds - sum(spent)
