"""Files that are broken or hostile: each gives a named error, its values, or a difference that the digests tell.

`python -m tests.durability.fuzz [--rounds N] [--seed N] [--first N]`. A round puts one such file in a folder of genuine
ones and reads it in every way there is. Rounds run in forked processes with bounded memory and a watchdog: a crash, a
hang, an error of any other kind, or a pickle that is read without its signature is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import mmap
import os
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckpt_magic import Checkpoint
from ckpt_magic.errors import CheckpointError
from ckpt_magic.faces import bundles, checking, status, trusting
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Entry, Store
from ckpt_magic.files.trust import Keyring, load_keyring
from ckpt_magic.steps import outputs as displays
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.stored import Outputs
from ckpt_magic.values.pages import new_hash
from tests.durability import hostile
from tests.durability.hostile import Genuine, Parts, World
from tests.forked import describe
from tests.kernels import Kernel

MEMORY = 1 << 30  # bytes that a process may take beyond what it has at its start
SECONDS = 60  # that one round may take
AT_ONCE = 500  # rounds in one process
CHANGING = 0.02  # how many files change while they are read
CELLS = {
    1: """
import numpy
class C:
    pass
c = C()
numbers = numpy.arange(9000.0)
view = numbers[10:]
rows = [{'a': c}, c]
""",
    2: """
def total():
    return numbers.sum() + extra
extra = 1
numbers[0] = 5
kept = {'names': {'a': numpy.arange(9000)}}
lost = (i for i in rows)
next(lost)
del rows
more = numpy.ones((200, 100), dtype='f4'), 'é' * 1000
""",
    3: "text = 'x' * 3000\ntext",
}
SHOWN: list[dict[str, Any]] = [
    {"output_type": "stream", "name": "stdout", "text": "hello\n" * 50},
    {"output_type": "display_data", "data": {"text/html": "<b>x</b>"}, "metadata": {}},
]
HARMFUL = {"\x1b", "\x00", "\r", "\u202e"}  # what would change what a terminal shows


class Script(Checkpoint):
    """Writes the file of a script."""

    def step_1(self, outputs: Any) -> Any:
        import numpy

        self.seen = [1, 2, 3]
        return {"data": numpy.arange(9000), "text": "é" * 100}


def make_world(top: Path) -> World:
    """Write genuine files of this user and of somebody else."""
    keys = {}
    for who, folder in (("theirs", top / "other"), ("mine", top / "ck")):
        os.environ["CKPT_KEY"] = who
        keys[who] = load_keyring()
        kernel = Kernel(folder, name="p")
        for number, cell in CELLS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                kernel.step(number, cell, outputs=SHOWN)
        Script(name="s", checkpoint_folder=folder, version="a").run()
    mine = [_genuine(entry, keys["mine"]) for entry in Store(top / "ck").entries()]
    other = _genuine(Store(top / "other").entries()[0], keys["theirs"])
    return World(tuple(mine), other, keys["mine"].signing, keys["theirs"].signing, top / "canary")


def _genuine(entry: Entry, ring: Keyring) -> Genuine:
    data = entry.path.read_bytes()
    return Genuine(entry.path, data, Parts.of(data), describe(_values(entry, ring)))


def _values(entry: Entry, ring: Keyring) -> dict[str, Any]:
    value = Outputs(entry.path.parent, entry.name, entry.version, keyring=ring)[entry.step]
    return value if entry.name == "p" else {f"step_{entry.step}": value}


@dataclass
class Round:
    """One file, and what came of reading it in every way."""

    world: World
    ring: Keyring
    file: Genuine
    data: bytes
    chance: random.Random
    steady: bool  # whether nobody changes the file meanwhile
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def run(self, ways: dict[str, Callable[[Round], str]]) -> None:
        """Read the file in several ways."""
        for name, way in ways.items():
            if self.chance.random() > SHARE.get(name, 1):
                continue
            try:
                came = way(self)
            except CheckpointError as error:
                came = type(error).__name__
                if name in TELLING and str(self.path) not in str(error):
                    self.problems.append(f"{name}: the message names no file: {error}")
            except BaseException:
                came = "another error"
                self.problems.append(f"{name}: {traceback.format_exc()}")
            self.seen[f"{name}: {came}"] += 1
        if self.world.canary.exists():
            self.problems.append("code of an untrusted file ran")
            self.world.canary.rmdir()

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def folder(self) -> Path:
        return self.file.path.parent

    def entry(self) -> Entry | None:
        """The file as the folder lists it."""
        return next((entry for entry in Store(self.folder).entries() if entry.path == self.path), None)

    def compare(self, found: dict[str, Any]) -> str:
        """Compare values with those of the genuine file; what differs must be what the digests tell."""
        if not self.steady:
            return "valid"
        told = files.open_checkpoint(self.path, self.ring).check(new_hash)
        texts = describe(found)
        wrong = {name for name in texts.keys() | self.file.held.keys() if texts.get(name) != self.file.held.get(name)}
        assert wrong <= set(told), f"{wrong} differ, and the digests tell {told}"
        return "payload" if told else "valid"


def read(one: Round) -> str:
    """Open the file, get its pickle and its map, and compare the payloads."""
    stored = files.open_checkpoint(one.path, one.ring)
    if stored.problem is not None:
        assert str(one.path) in str(stored.problem)
    elif one.steady:
        assert hostile.signed_by(one.world.mine, one.data)
    skeleton = hashlib.blake2b(stored.parts().skeleton, digest_size=32).hexdigest()
    assert skeleton in {file.skeleton for file in one.world.files}, "a pickle that nobody signed may be read"
    return "payload" if stored.check(new_hash) else "valid"


def show_displays(one: Round) -> str:
    """Read the displays as a notebook would hold them."""
    found = files.open_checkpoint(one.path, one.ring).outputs()
    json.dumps(displays.shown(found))
    return "valid"


def load(one: Round) -> str:
    """Load the values as `%ckpt_load` does, and show what there is."""
    if (entry := one.entry()) is None:
        return "not listed"
    outputs = Outputs(one.folder, entry.name, entry.version, keyring=one.ring)
    assert not HARMFUL & set(repr(outputs))
    assert "<script" not in outputs._repr_html_()
    found = _values(entry, one.ring)
    came = one.compare(found)
    stored = files.open_checkpoint(one.path, one.ring)
    if callable(total := found.get("total")) and stored.meta.get("kind") == "cell":  # what is foreign stands alone
        total()  # its globals are looked up in the files of other steps
    return came


def show_rows(one: Round) -> str:
    """Show the status of the folder."""
    found = status.rows(Store(one.folder), one.ring)
    assert "<script" not in found._repr_html_()
    json.loads(status.rows_json(found))
    if one.chance.random() < 0.1:
        assert not HARMFUL & set(repr(found))
    return next((row["state"] for row in found if row["path"] == str(one.path)), "not listed")


def show_details(one: Round) -> str:
    """Show everything about each step."""
    for row in status.rows(Store(one.folder), one.ring):
        about = status.details(row, one.ring)
        assert not HARMFUL & set(repr(about))
        assert "<script" not in about._repr_html_()
        json.loads(status.rows_json([about.as_json()]))
    return "shown"


def show_trust(one: Round) -> str:
    """Show what signing the file would sign, and now and then all of the folder."""
    text = repr(trusting.trust_path(one.path, one.ring, {}, yes=False))
    if one.chance.random() < 0.1:
        text += repr(trusting.trust_path(one.folder, one.ring, {}, yes=False))
    assert not HARMFUL & set(text)
    return "shown"


def trust(one: Round) -> str:
    """Sign a copy: what is signed is the pickle that was there, and nothing of it runs."""
    place = one.folder.with_name("trusted")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    copy = place / one.path.name
    copy.write_bytes(one.data)
    shown = trusting.trust_path(copy, one.ring, {}, yes=True)
    signed = copy.read_bytes()
    assert hostile.signed_by(one.world.mine, signed), shown
    assert one.data.startswith(Parts.of(signed).pickle)
    return "signed"


def check(one: Round) -> str:
    """Check the folder as the command line does; it must not find well what cannot be read."""
    found = checking.check(Store(one.folder), one.ring)
    assert not HARMFUL & set(repr(found))
    return next((row["state"] for row in found if row["path"] == str(one.path)), "not listed")


def export(one: Round) -> str:
    """Pack the version that the file is of."""
    name, version, _ = one.path.stem.split("-")
    packed = one.folder.with_name("packed.zip")
    assert not HARMFUL & set(
        repr(bundles.export(PipelineKey(one.folder, name, version[1:]), packed, one.ring, force=True))
    )
    return "packed"


def unpack(one: Round) -> str:
    """Unpack a hostile zip file: nothing lands outside of the folder, and only what has the name of a checkpoint."""
    top = one.folder.parent
    place, packed = top / "unpacked", top / "packed.zip"
    shutil.rmtree(place, ignore_errors=True)
    packed.write_bytes(hostile.zipped(one.file, one.data, one.chance))
    there = {path.name for path in top.iterdir()} | {place.name}
    try:
        shown = bundles.import_(packed, Store(place), one.ring)
        assert not HARMFUL & set(repr(shown))
    finally:
        assert {path.name for path in top.iterdir()} <= there
        made = [path for path in place.iterdir() if path.suffix == ".pkl"] if place.exists() else []
        assert all(path.is_file() and not path.is_symlink() and path in Store(place).pickles() for path in made)
    return "unpacked"


def restore(one: Round) -> str:
    """Restore the step as a notebook does, or run it and save."""
    if (entry := one.entry()) is None or entry.name != "p":
        return "not of a cell"
    kernel = Kernel(one.folder, one.chance.choice(("end", "auto", entry.step + 1)), name="p")
    with warnings.catch_warnings(record=True):
        with contextlib.suppress(CheckpointError):
            key = PipelineKey(one.folder, "p", entry.version)
            kernel.session.outlook(key, entry.step, kernel.session.open(key, entry.step))
        for step in range(1, entry.step + 1):
            facts = kernel.step(step, CELLS[step])
    if facts["action"] == "restored" and one.steady and Parts.of(one.data).meta == one.file.parts.meta:
        return one.compare({name: kernel.names[name] for name in one.file.held})
    return str(facts["action"])


WAYS: dict[str, Callable[[Round], str]] = {
    "read": read,
    "displays": show_displays,
    "load": load,
    "rows": show_rows,
    "details": show_details,
    "show": show_trust,
    "trust": trust,
    "check": check,
    "export": export,
    "unpack": unpack,
    "restore": restore,
}
SHARE = {
    "rows": 0.2,
    "details": 0.02,
    "show": 0.1,
    "trust": 0.05,
    "restore": 0.06,
    "check": 0.1,
    "export": 0.03,
    "unpack": 0.05,
}
TELLING = ("read", "displays", "load", "show")
UNMAPPED = ("read", "displays", "rows", "details", "show", "check", "export")
"""Ways that touch no mapped page: a file cut short under a map is a signal, and nothing that Python could catch."""


@contextlib.contextmanager
def changing(one: Round, cut: bool) -> Iterator[None]:
    """Another writer at work on the file: it replaces it, writes into it, and with `cut` cuts it short."""
    over = threading.Event()

    def work() -> None:
        chance = random.Random(len(one.data))
        while not over.is_set():
            data = chance.choice((one.data, one.file.data))
            if chance.random() < 0.3:
                beside = one.path.with_name("new")
                beside.write_bytes(data)
                os.replace(beside, one.path)
            else:
                with contextlib.suppress(OSError), one.path.open("r+b") as file:
                    file.write(data)
                    if cut:
                        file.truncate(len(data))

    writer = threading.Thread(target=work)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def one_round(world: World, ring: Keyring, seed: int, number: int) -> Round:
    """Make one file, read it, and put the genuine one back."""
    chance = random.Random(f"{seed}/{number}")
    file, kind = chance.choice(world.files), chance.choice(hostile.KINDS)
    one = Round(world, ring, file, kind(world, file, chance), chance, chance.random() >= CHANGING)
    _put(file.path, one.data)
    if chance.random() < 0.05:
        with contextlib.suppress(OverflowError, OSError):
            os.utime(file.path, (0, chance.choice((-(1 << 40), 1 << 33, 1 << 40, (1 << 62) // 10**9, 0))))
    if one.steady:
        one.run(WAYS)
    else:
        cut = chance.random() < 0.5
        with changing(one, cut):
            one.run({name: way for name, way in WAYS.items() if name in UNMAPPED or not cut})
    one.seen[f"made: {kind.__name__}{'' if one.steady else ', changing'}"] += 1
    one.problems = [f"round {number}, {kind.__name__} of {file.path.name}: {text}" for text in one.problems]
    genuine = {one.path.name for one in world.files}
    for entry in list(os.scandir(file.path.parent)):
        if entry.name not in genuine and not entry.name.endswith(".lock"):
            os.unlink(entry)
    _put(file.path, file.data)
    return one


def _put(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # never into a file that is mapped
    path.write_bytes(data)


# -- in processes that may die -----------------------------------------------------------------------------------------


@dataclass
class Report:
    """What many rounds came to."""

    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    peak: int = 0  # KiB

    def add(self, other: Report) -> None:
        self.seen += other.seen
        self.problems += other.problems
        self.peak = max(self.peak, other.peak)


def rounds(top: Path, count: int, seed: int, first: int = 0) -> Report:
    """Run rounds in forked processes, and go on after one that died."""
    before = os.environ.get("CKPT_KEY")
    report = Report()
    try:
        world, ring = make_world(top), load_keyring()
        here = mmap.mmap(-1, 8)
        number = first
        while number < first + count:
            number = _in_child(world, ring, seed, number, min(number + AT_ONCE, first + count), here, report)
    finally:
        if before is not None:
            os.environ["CKPT_KEY"] = before
    return report


def _in_child(world: World, ring: Keyring, seed: int, first: int, end: int, here: mmap.mmap, report: Report) -> int:
    """Run some rounds in a forked process; return the number of the next one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            limit = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            mine = Report()
            for number in range(first, end):
                here[:] = number.to_bytes(8, "little")
                faulthandler.dump_traceback_later(SECONDS, exit=True)
                one = one_round(world, ring, seed, number)
                mine.seen += one.seen
                mine.problems += one.problems
            faulthandler.cancel_dump_traceback_later()
            mine.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with os.fdopen(writing, "w") as pipe:
                json.dump(vars(mine), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not text:
        died = int.from_bytes(here[:], "little")
        report.problems.append(f"round {died}: the process ended with {status}")
        return died + 1
    found = json.loads(text)
    report.add(Report(Counter(found["seen"]), found["problems"], found["peak"]))
    return end


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.fuzz", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round, to see one again")
    asked = parser.parse_args()
    began = time.perf_counter()
    report = Report()
    for done in range(0, asked.rounds, 10 * AT_ONCE):
        with tempfile.TemporaryDirectory() as top:
            report.add(rounds(Path(top), min(10 * AT_ONCE, asked.rounds - done), asked.seed, asked.first + done))
        print(f"{done:,} rounds and more, {len(report.problems)} problems", file=sys.stderr, flush=True)
    for what, count in sorted(report.seen.items()):
        print(f"{count:7,} {what}")
    for problem in report.problems[:40]:
        print(problem)
    print(f"{asked.rounds:,} rounds, {len(report.problems)} problems, peak {report.peak >> 10} MiB", end=", ")
    print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(bool(report.problems))


if __name__ == "__main__":
    main()
