"""SIGKILL at a random moment of a save: the checkpoint is then the earlier one or the new one, whole.

`python -m tests.durability.kills [--rounds N] [--seed N]`. Every round is a process of its own, forked from this one,
that saves once, in turns as a script, and as a cell that is published in the background and finished at the
interpreter's exit; the moment is drawn evenly from the time that takes here.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ckpt_magic import Checkpoint
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.values.pages import new_hash
from tests.kernels import Kernel

SIZE = 200_000  # numbers; their bytes are a payload, written apart from the pickle around it
PLACE = ("kills", 1, 1)
CELL = "import numpy\nnumber = {}\ndata = numpy.full({}, number)\ntext = [str(number)] * 1000"


class Saver(Checkpoint):
    """Saves one value that tells whether it is whole."""

    number = 0

    def step_1(self, outputs: Any) -> Any:
        return {"number": self.number, "data": np.full(SIZE, self.number), "text": [str(self.number)] * 1000}


def save_script(folder: Path, number: int) -> None:
    saver = Saver(name=PLACE[0], checkpoint_folder=folder, version=PLACE[1])
    saver.number = number
    saver.run()


def save_cell(folder: Path, number: int) -> None:
    kernel = Kernel(folder, name=PLACE[0])
    kernel.session.sync = False
    kernel.step(1, CELL.format(number, SIZE))
    publisher()._at_exit()


Save = Callable[[Path, int], None]
SAVES: dict[str, Save] = {"script": save_script, "cell": save_cell}


def in_child(save: Save, folder: Path, number: int, kill_after: float | None) -> bool:
    """Save in a forked process, and kill it after some seconds; tell whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            save(folder, number)
        finally:
            os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def number_in(folder: Path) -> int:
    """Which save the checkpoint is of; every byte of it is looked at, by us and by plain pickle."""
    path = Store(folder).path(*PLACE)
    stored = files.open_checkpoint(path, load_keyring())
    assert stored.trust == "trusted", stored.problem
    damage = stored.check(new_hash)
    assert not damage, damage
    with path.open("rb") as file:
        value = pickle.load(file)
    number = value["number"]
    assert isinstance(number, int)
    assert value["text"] == [str(number)] * 1000
    assert (value["data"] == number).all()
    return number


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".ckpt-")]


def rounds(save: Save, folder: Path, count: int, seed: int) -> Counter[str]:
    """Kill `count` saves; AssertionError if a checkpoint is neither the earlier nor the new one."""
    chance = random.Random(seed)
    save(folder, 0)
    took = []
    for _ in range(7):
        began = time.perf_counter()
        assert in_child(save, folder, 0, None)
        took.append(time.perf_counter() - began)
    whole, stored, found = statistics.median(took), 0, Counter[str]()
    for number in range(1, count + 1):
        ended = in_child(save, folder, number, chance.uniform(0, 1.1 * whole))
        now = number_in(folder)
        assert now in (stored, number), f"round {number} left {now}, before it was {stored}"
        assert now == number or not ended, f"round {number} ended and left {now}"
        found[
            "ended" if ended else "killed, the new one is there" if now == number else "killed, the old one is there"
        ] += 1
        found["left a temporary file"] += bool(temporary(folder))
        stored = now
    save(folder, count + 1)
    assert number_in(folder) == count + 1
    left = temporary(folder)
    assert not left, left
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("CKPT_KEY", "the key of the tests")
    for name, save in SAVES.items():
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as top:
            found = rounds(save, Path(top) / "ck", asked.rounds // len(SAVES), asked.seed)
        print(f"{asked.rounds // len(SAVES):7,} of a {name}, {time.perf_counter() - began:.0f} s")
        for what, count in sorted(found.items()):
            print(f"{count:7,}   {what}", flush=True)


if __name__ == "__main__":
    main()
