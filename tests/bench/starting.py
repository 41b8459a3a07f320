"""What it takes to begin: imports in a script, and `%load_ext` in a shell, beside the same without them."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Iterator

import ckpt_magic
from tests.bench.measure import Row, rounds_of, timed

_SHELL = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"


def imports(rounds: int) -> Iterator[Row]:
    """The class in a script, and the extension in a bare shell: seconds beyond Python's and IPython's own."""
    compileall.compile_dir(os.path.dirname(ckpt_magic.__file__), quiet=2)  # else it is compiled in each round
    yield _beyond("from ckpt_magic import Checkpoint", "from ckpt_magic import Checkpoint", "pass", "python", rounds)
    extension = f"{_SHELL}shell.run_line_magic('load_ext', 'ckpt_magic')"
    yield _beyond("%load_ext ckpt_magic", extension, _SHELL, "IPython", rounds)


def _beyond(what: str, code: str, without: str, peer: str, rounds: int) -> Row:
    def run(text: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", text], check=True))

    seconds = rounds_of(rounds, {"with": lambda: run(code), "without": lambda: run(without)})
    beyond = [one - other for one, other in zip(seconds["with"], seconds["without"], strict=True)]
    return Row(f"{what}, beyond {peer}", beyond, f"{peer} alone", seconds["without"])
