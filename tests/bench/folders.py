"""A folder with very many checkpoints: rows about all of them, and a step that is saved beside them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

from ckpt_magic.faces import status
from ckpt_magic.files import format as files
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.values.pages import new_hash
from tests.bench.measure import Row, fsync_time, rounds_of, timed
from tests.kernels import Kernel

_STEPS = 100  # of one version


def crowded(folder: Path, checkpoints: int, rounds: int) -> Iterator[Row]:
    """Rows beside the reading of the files' ends, and a step beside one in a folder of its own."""
    crowd = folder / "crowd"
    few = Kernel(folder / "few")
    few.step(1, "x = [1]")
    publisher().wait()
    _multiply(folder / "few" / "p-v1-step1.pkl", crowd, checkpoints)
    keyring = load_keyring()
    what = f"{checkpoints:,} checkpoints"
    rows = {
        "rows": lambda: timed(lambda: status.rows(Store(crowd), keyring)),
        "text": lambda: timed(lambda: status.rows_text(status.rows(Store(crowd), keyring))),
        "read": lambda: timed(lambda: _read(crowd)),
    }
    seconds = rounds_of(rounds, rows)
    yield Row(f"rows about {what}", seconds["rows"], "the ends of the files, read", seconds["read"])
    yield Row(f"the table of {what}", seconds["text"], "the ends of the files, read", seconds["read"])
    many = Kernel(crowd)
    steps = rounds_of(rounds, {"many": lambda: _step(many), "few": lambda: _step(few)})
    yield Row(f"step beside {what}", steps["many"], "in a folder of its own", steps["few"])


def _multiply(path: Path, folder: Path, checkpoints: int) -> None:
    """Make many small checkpoints out of one."""
    keyring = load_keyring()
    added = ("format", "digests", "buffers", "outputs_length")
    meta = {key: value for key, value in files.open_checkpoint(path, keyring).meta.items() if key not in added}
    folder.mkdir()
    for number in range(checkpoints):
        version, step = str(number // _STEPS), number % _STEPS + 1
        with (folder / f"p-v{version}-step{step}.pkl").open("w+b", buffering=0) as file:
            files.write(
                file,
                lambda out: pickle.dump({}, out, 5),
                outputs=[],
                meta={**meta, "version": version, "step": step},
                keyring=keyring,
                new_hash=new_hash,
            )


def _read(folder: Path) -> None:
    for entry in os.scandir(folder):
        with open(entry.path, "rb", buffering=0) as file:
            file.seek(max(0, entry.stat().st_size - (1 << 14)))
            file.read()


def _step(kernel: Kernel) -> float:
    with fsync_time() as spent:
        seconds = timed(lambda: kernel.step(7, "y = 1"))
        publisher().wait()
    return seconds - min(seconds, sum(spent))
