"""A few small checkpoints of the format that this version writes, to stay in tests/data and readable for good.

`python -m tests.released tests/data/format-N`, once per format, when it is released.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from ckpt_magic import Checkpoint
from ckpt_magic.files import signing
from ckpt_magic.files.store import Store, trust
from ckpt_magic.files.trust import Keyring, load_keyring
from tests import making
from tests.kernels import Kernel

KEY = "the key of the released files"
CELLS = [
    '''
import math
from dataclasses import dataclass

@dataclass
class Point:
    """A place."""
    x: float
    y: float = 0.0

    def length(self):
        return math.hypot(self.x, self.y)

def scaled(by):
    def scale(point):
        return Point(by * point.x, by * point.y)
    return scale

double = scaled(2)
points = [Point(3.0, 4.0), Point(1.0)]
first = points[0]
''',
    """
import numpy as np
array = np.arange(8192, dtype="<f8")
even = array[::2]
far = double(first)
""",
]
OUTPUTS: list[dict[str, Any]] = [
    {"output_type": "stream", "name": "stdout", "text": "two points\n"},
    {"output_type": "display_data", "data": {"text/html": "<b>two</b>", "text/plain": "two"}, "metadata": {}},
]


class Script(Checkpoint):
    """A pipeline as a script writes it."""

    def step_1(self, outputs: Any) -> Any:
        self.scale = 3
        return {"rows": [1, 2, 3]}

    def step_2_sum(self, outputs: Any) -> Any:
        return self.scale * sum(outputs["step_1"]["rows"])


def keyring() -> Keyring:
    """The key of the files."""
    return load_keyring({"CKPT_KEY": KEY}, Path(os.devnull) / "none")


def write(folder: Path) -> None:
    """Write the files into a new folder."""
    kernel = Kernel(folder, name="cells")
    for step, cell in enumerate(CELLS, 1):
        kernel.step(step, cell, outputs=OUTPUTS if step == 1 else [], title=f"cell {step}")
    Script("script", folder).run()
    store = Store(folder)
    foreign = store.path("dslib", 1, 1)
    foreign.write_bytes(pickle.dumps({"numbers": [1, 2, 3]}))
    trust(foreign, keyring(), signing.show(foreign, keyring()).digest)
    making.save(store.path("other", 1, 1), {"n": 1}, load_keyring({"CKPT_KEY": "another"}), name="other")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.released", description=__doc__)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.folder.exists():
        sys.exit(f"{asked.folder} is there already: what was released is never written again")
    os.environ["CKPT_KEY"] = KEY
    write(asked.folder.absolute())
    for path in sorted(asked.folder.glob(".*")):  # locks and what keeps the files out of git
        path.unlink()


if __name__ == "__main__":
    main()
