"""Runs cells in a bare InteractiveShell and describes the namespace they leave, in a process that is cheap to have.

As a script: `serve` imports the heavy libraries once and forks a child per request; `once` handles a single request
in an interpreter where nothing was imported. Requests and answers are lines of JSON. Used by the fixture `run_in_fork`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import random
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any


def execute(request: dict[str, Any]) -> dict[str, Any]:
    """Run the cells of one request; return per cell success, error and text, and a description per name."""
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from ckpt_magic.files.publishing import publisher

    config = Config()
    config.HistoryManager.enabled = False  # no database thread
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    hidden = set(shell.user_ns)
    cells = []
    for source in ["%load_ext ckpt_magic", *request["cells"]]:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            result = shell.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        cells.append(
            {
                "success": result.success,
                "error": None if error is None else f"{type(error).__name__}: {error}",
                "text": text.getvalue(),
            }
        )
        if error is not None and not request["allow_errors"]:
            break
    publisher().wait()  # a forked process ends without what the interpreter does at its exit
    names = {n: v for n, v in shell.user_ns.items() if n not in hidden and not n.startswith("_")}
    return {"cells": cells, "names": describe(names)}


def describe(namespace: dict[str, Any]) -> dict[str, str]:
    """Return a text per name that is equal for equal values with equal sharing, and holds no addresses.

    An independent witness for tests: it knows nothing of pickles, and walks values its own way. An object that was
    met before is named by where that was: `a#0` is what `a` is bound to, `a#2` the second object found inside.
    """
    return _Describer().run(namespace)


class _Describer:
    def __init__(self) -> None:
        self.places: dict[int, str] = {}
        self.held: list[Any] = []
        self.name = ""
        self.position = 0

    def run(self, namespace: dict[str, Any]) -> dict[str, str]:
        texts = {}
        for self.name in sorted(namespace):
            self.position = 0
            texts[self.name] = self.text(namespace[self.name])
        return texts

    def text(self, value: Any) -> str:
        if value is None or type(value) in (bool, int, float, complex, str, bytes, range):
            return repr(value)
        if isinstance(value, types.ModuleType):
            return f"<module {value.__name__}>"
        if id(value) in self.places:
            return f"<same as {self.places[id(value)]}>"
        if type(value) is tuple and not value:
            return "()"
        self.places[id(value)] = f"{self.name}#{self.position}"
        self.position += 1
        self.held.append(value)
        return f"{type(value).__qualname__}{self.inside(value)}"

    def inside(self, value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return f"({', '.join(self.text(item) for item in value)})"
        if isinstance(value, (set, frozenset)):
            return f"({', '.join(sorted(self.text(item) for item in value))})"
        if isinstance(value, dict):
            return f"({', '.join(f'{self.text(k)}: {self.text(v)}' for k, v in value.items())})"
        if isinstance(value, types.FunctionType):
            cells = [c.cell_contents for c in value.__closure__ or ()]
            return f"({value.__qualname__}, {self.text(value.__defaults__)}, {[self.text(c) for c in cells]})"
        if isinstance(value, type):
            return f"({value.__module__}.{value.__qualname__})"
        if (library := self.of_library(value)) is not None:
            return library
        state = getattr(value, "__dict__", None)
        if isinstance(state, dict):
            return f"({', '.join(f'{n}={self.text(v)}' for n, v in sorted(state.items()))})"
        return f"({value!r})" if " at 0x" not in repr(value) else ""

    def of_library(self, value: Any) -> str | None:
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and isinstance(value, numpy.ndarray):
            if value.dtype.hasobject:
                return f"({value.shape}, {[self.text(item) for item in value.ravel()]})"
            return (
                f"({value.dtype}, {value.shape}, {value.strides}, {value.flags.writeable}, {_short(value.tobytes())})"
            )
        if pandas is not None and isinstance(value, pandas.DataFrame):
            columns = [f"{name!r}: {series.dtype} {_short_series(series)}" for name, series in value.items()]
            return f"({', '.join(columns)}, {_short_series(value.index.to_series())})"
        if pandas is not None and isinstance(value, pandas.Series):
            return f"({value.name!r}: {value.dtype} {_short_series(value)}, {_short_series(value.index.to_series())})"
        return None


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _short_series(series: Any) -> str:
    return _short(repr(series.tolist()).encode())


def answer(line: str) -> str:
    """Handle one request, whatever happens in it."""
    try:
        return json.dumps(execute(json.loads(line)))
    except BaseException:
        return json.dumps({"failed": traceback.format_exc()})


def serve() -> None:
    """Import once, then fork for every line of stdin."""
    for name in (
        "IPython.core.interactiveshell",
        "matplotlib.pyplot",
        "pandas",
        "ckpt_magic.faces.magics",
        "platformdirs",
    ):
        importlib.import_module(name)
    numpy_random = importlib.import_module("numpy.random")
    importlib.import_module("ckpt_magic.values.owned").known()  # once for all children, as are the names of packages
    importlib.import_module("ckpt_magic.values.counters").look()
    importlib.import_module("ckpt_magic.steps.record").packages(["attr"])

    for line in sys.stdin:
        answers.write(_in_child(line, numpy_random) + "\n")
        answers.flush()


def _in_child(line: str, numpy_random: types.ModuleType) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        # Children must not draw the same "random" numbers; the state is as a new import would leave it.
        random.seed()
        numpy_random.set_state(numpy_random.MT19937().state)
        with os.fdopen(writing, "w") as pipe:
            pipe.write(answer(line))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return text or json.dumps({"failed": f"the process ended with {status} and said nothing"})


if __name__ == "__main__":
    # What cells write to descriptor 1 must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    modes: dict[str, Callable[[], object]] = {
        "serve": serve,
        "once": lambda: answers.write(answer(sys.stdin.readline()) + "\n"),
    }
    modes[sys.argv[1]]()
    answers.flush()
