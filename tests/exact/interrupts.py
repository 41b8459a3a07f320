"""Ctrl-C at the n-th line that ckpt_magic executes, for any n: in the look before a step, its save, its restore.

`python -m tests.exact.interrupts [--stride N]` sweeps over all lines; the tests do it in larger strides. Each point is
a process of its own, forked from one that has imported everything.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).resolve().parent.parent.parent / "ckpt_magic") + os.sep
CELL = "<ipython-input-"
RUNS_STATEMENTS = "run_code"  # of IPython: it asks the module `__main__` for its names before each statement
NEVER = 10**9

STEPS = {
    1: "%%step 1\nimport os, random\na = [1]; b = {'x': a}; random.seed(3); r = random.random(); os.environ['CK'] = '1'\nr",
    2: "%%step 2\na[1:] = [2]; globals().pop('r', None); c = a; os.environ['CK'] = '2'\nprint(len(a))",
    3: "%%step 3\nd = len(a)",
}
INTERRUPTED = 2


class Trigger:
    """A trace function that sends SIGINT once, at the n-th line executed in the package."""

    def __init__(self, at: int) -> None:
        self.at, self.lines, self.where, self.in_cell = at, 0, "", False

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        return self.line if event == "call" and frame.f_code.co_filename.startswith(PACKAGE) else None

    def line(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.where = f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}"
                codes = [one.f_code for one, _ in traceback.walk_stack(frame)]
                self.in_cell = any(c.co_filename.startswith(CELL) or c.co_name == RUNS_STATEMENTS for c in codes)
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
                return None
        return self.line


@dataclass
class Point:
    """Where a step is interrupted: with start point `start`, at line `at` of ours."""

    folder: str
    start: str
    at: int = NEVER


def interrupted(point: Point) -> dict[str, Any]:
    """Interrupt step 2 at one point, look at what is left, then run it and the rest."""
    from ckpt_magic.files.publishing import publisher

    signal.signal(signal.SIGINT, signal.default_int_handler)
    shell = new_shell(point.folder, point.start)
    for number in range(1, INTERRUPTED):
        shell.run_cell(STEPS[number], store_history=True)
    before, trigger = state(shell), Trigger(point.at)
    sys.settrace(trigger)
    try:
        success = bool(shell.run_cell(STEPS[INTERRUPTED], store_history=True).success)
    except KeyboardInterrupt:  # while the text was transformed, where IPython does not expect one
        success = False
    sys.settrace(None)
    after = state(shell)
    wrong = [] if shell.run_cell("tidy = 1").success else ["the next cell does not work"]
    wrong += leftovers(shell)
    shell.run_line_magic("ckpt_start", "none")
    for number in range(INTERRUPTED, len(STEPS) + 1):
        again = shell.run_cell(STEPS[number])
        if not again.success:
            wrong.append(f"step {number} does not run afterwards: {again.error_in_exec or again.error_before_exec!r}")
    publisher().wait()
    files = [name for name in os.listdir(point.folder) if not name.endswith((".pkl", ".lock", ".gitignore", ".used"))]
    return {
        "before": before,
        "after": after,
        "final": state(shell),
        "success": success,
        "lines": trigger.lines,
        "where": trigger.where,
        "in cell": trigger.in_cell,
        "wrong": wrong + [f"left {name}" for name in files],
    }


def restored(point: Point) -> dict[str, Any]:
    """Restore everything in a new process."""
    shell = new_shell(point.folder, "end")
    ran = [shell.run_cell(source) for source in STEPS.values()]
    return {"final": state(shell), "wrong": [] if all(one.success for one in ran) else ["a restore failed"]}


def leftovers(shell: Any) -> list[str]:
    """What is still in place although no cell runs."""
    from IPython.core.interactiveshell import InteractiveShell

    callbacks = shell.events.callbacks["post_run_cell"]
    (hooks,) = [one.__self__ for one in callbacks if type(getattr(one, "__self__", None)).__name__ == "Hooks"]
    found = {
        "a step is active": hooks._active is not None or hooks.session.active is not None,
        "a cell is open": bool(hooks._cells()),
        "a name of ours is a builtin": any(name.startswith("<ckpt_magic") for name in vars(builtins)),
        "errors are watched": shell._showtraceback.__func__ is not InteractiveShell._showtraceback,
        "interrupts are held": signal.getsignal(signal.SIGINT) is not signal.default_int_handler,
        "the streams are recorded": type(sys.stdout) is not io.StringIO,
    }
    return [text for text, there in found.items() if there]


def new_shell(folder: str, start: str) -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    os.environ.update(CKPT_FOLDER=folder, CKPT_NAME="p", CKPT_START_FROM=start, CKPT_KEY="the key of the tests")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    shell.run_cell("%load_ext ckpt_magic")
    return shell


def state(shell: Any) -> dict[str, str]:
    """What the steps change, sharing included."""
    names = {name: value for name, value in shell.user_ns.items() if name in ("a", "b", "c", "d", "r")}
    same = [[one, two] for one in names for two in names if one < two and names[one] is names[two]]
    inner = "b" in names and "a" in names and names["b"]["x"] is names["a"]
    return {name: repr(value) for name, value in names.items()} | {
        "sharing": f"{same} {inner}",
        "environ": os.environ.get("CK", ""),
    }


def in_fork(function: Callable[[Point], dict[str, Any]], point: Point) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        text = io.StringIO()
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                answer = function(point)
        except BaseException:
            answer = {"wrong": [f"the process failed:\n{traceback.format_exc()}\n{text.getvalue()}"]}
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answered = pipe.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(answered or '{"wrong": ["the process died"]}')
    return found


def sweep(start: str, *, stride: int = 0, points: int = 0) -> Iterator[str]:
    """Interrupt step 2 (run with start point `none`, restored with `9`) at many lines; tell what is wrong.

    Parameters
    ----------
    start
        Start point.
    stride, points
        Try every `stride`-th line, or so many that are spread evenly.

    Yields
    ------
    str
        A problem; and at the end, as `# …`, how many points were tried.
    """
    import ckpt_magic.faces.magics  # noqa: F401  # what the children need
    from ckpt_magic.steps.modules import Modules

    modules = Modules()  # in a run of all tests those are modules of the user's: read once, and not by each child
    modules.notice()
    for name in modules.names():
        modules.acts_on(name, (), frozenset())

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        stored = in_fork(interrupted, Point(f"{top}/stored", "none"))
        if stored["wrong"]:
            yield f"uninterrupted: {stored['wrong']}"
            return

        def fresh() -> str:
            folder = f"{top}/one"
            shutil.rmtree(folder, ignore_errors=True)
            if start != "none":
                shutil.copytree(f"{top}/stored", folder)
            return folder

        whole = in_fork(interrupted, Point(fresh(), start))
        tried, stride = 0, stride or whole["lines"] // points
        for at in range(1 + stride // 2, whole["lines"] + 1, stride):
            folder = fresh()
            one = in_fork(interrupted, Point(folder, start, at))
            where = f"line {at} ({one.get('where')})"
            tried += 1
            yield from (f"{where}: {text}" for text in one["wrong"])
            if "after" not in one:
                continue
            # what watches `os.environ` and `__main__` runs while the cell does, or between two statements of it: then
            # that is left which the cell has done so far
            if one["after"] not in (whole["before"], whole["after"]) and not one["in cell"]:
                yield f"{where}: left half done: {one['after']}"
            if one["success"] and one["after"] != whole["after"]:
                yield f"{where}: succeeded without its values: {one['after']}"
            again = in_fork(restored, Point(folder, "end"))
            yield from (f"{where}, then restored: {text}" for text in again["wrong"])
            if again.get("final") != one["final"]:
                yield f"{where}: restored {again.get('final')} instead of {one['final']}"
        yield f"# {tried} of {whole['lines']} lines"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.exact.interrupts", description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="try every n-th line")
    stride = parser.parse_args().stride
    for start in ("none", "9"):
        for text in sweep(start, stride=stride):
            print(f"start {start}: {text}", flush=True)


if __name__ == "__main__":
    main()
