"""Two kernels that save the same step at once: the file is whole and one of the two, and a kill of one holds up none.

`python -m tests.durability.kernels [--rounds N] [--seed N]`. In every round two processes, forked from this one, begin
to save at the same moment; in every fourth one of them is killed at a random moment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.files.store import Store
from tests.durability.kills import number_in, save_script, temporary

PATIENCE = 20.0  # seconds that a round may take; the lock of a dead process would hold it up for longer


@dataclass
class Saver:
    """A process that saves when it is told to."""

    pid: int
    go: int
    answer: int

    def report(self) -> dict[str, Any]:
        """What it says of its save; empty if it was killed."""
        with os.fdopen(self.answer) as pipe:
            text = pipe.read()
        os.waitpid(self.pid, 0)
        os.close(self.go)
        found: dict[str, Any] = json.loads(text or "{}")
        return found


def ready(folder: Path, number: int) -> Saver:
    """Fork a process that waits for a byte and then saves."""
    (waits, go), (answer, answers) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        log = logging.getLogger("ckpt_magic")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        error = ""
        try:
            os.read(waits, 1)
            save_script(folder, number)
        except Exception as problem:
            error = repr(problem)
        finally:
            os.write(answers, json.dumps({"error": error, "said": said}).encode())
            os._exit(0)
    os.close(waits)
    os.close(answers)
    return Saver(child, go, answer)


def rounds(folder: Path, count: int, seed: int) -> Counter[str]:
    """Let two processes save at once, `count` times; AssertionError if anything is not as it should be."""
    chance = random.Random(seed)
    save_script(folder, 0)
    stored, found = 0, Counter[str]()
    for one in range(1, 2 * count, 2):
        savers = {number: ready(folder, number) for number in (one, one + 1)}
        began = time.monotonic()
        for saver in savers.values():
            os.write(saver.go, b"x")
        killed = chance.choice([one, one + 1]) if chance.random() < 0.25 else None
        if killed is not None:
            time.sleep(chance.uniform(0, 0.05))
            os.kill(savers[killed].pid, signal.SIGKILL)
        reports = {number: saver.report() for number, saver in savers.items()}
        assert time.monotonic() - began < PATIENCE, "a dead process held up a living one"
        ended = [number for number, report in reports.items() if report]
        errors = [report["error"] for report in reports.values() if report and report["error"]]
        assert not errors, errors
        stored, before = number_in(folder), stored
        assert stored in savers, f"{before} is still there, though {ended} ended"
        found["rounds"] += 1
        found["killed one of the two"] += len(ended) < 2
        said = [" ".join(report["said"]) for report in reports.values() if report]
        found["one said that it replaced the other's"] += any("of another kernel" in text for text in said)
    save_script(folder, 2 * count + 1)
    assert number_in(folder) == 2 * count + 1
    assert not temporary(folder), temporary(folder)
    assert not Store(folder).kept()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.kernels", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("CKPT_KEY", "the key of the tests")
    with tempfile.TemporaryDirectory() as top:
        for what, count in rounds(Path(top) / "ck", asked.rounds, asked.seed).items():
            print(f"{count:7,} {what}")


if __name__ == "__main__":
    main()
