"""Proves that a restored step cannot be told from one that ran: the harness of this folder.

A pipeline is text: cells that begin with ``%%step N`` or, unmarked, with ``%%``. It is run in full once; then, for
every start point, a new process restores the steps below and runs the rest, and another one restores all that the
first one saved. The final namespaces are described by `Witness`, which walks values its own way and knows nothing
of pickles, and the descriptions must be equal. Every process is forked from a parent that has imported the libraries
before, so that a start point takes some milliseconds: those that a pipeline names, and all of them for a tenth of the others. A
look goes through all modules that there are, and to fork takes as long as there is memory.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # no stubs
import abc
import ast
import collections
import contextlib
import enum
import functools
import gc
import hashlib
import importlib
import importlib.util
import io
import json
import linecache
import logging
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import types
import typing
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.exact.cells import execute

FRAMES: tuple[str, ...] = ("numpy", "pandas")
MODELS = (
    *FRAMES,
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "scipy.sparse",
)
ALWAYS = ("numpy.random", "numpy.ma", "platformdirs", "ckpt_magic.steps.session")

# who else refers to a thing of matplotlib, by address
BOOKKEEPING = {"_parents", "callbacks", "_callbacks", "_observers", "_cid_gen", "_func_cid_map"}
PLACEHOLDER = "<placeholder>"
UNCHANGING = frozenset({"datetime", "decimal", "fractions", "uuid", "zoneinfo", "pathlib", "pathlib._local"})
# how pydantic validates and writes, which names classes by address, and what it keeps to set attributes faster
ADDRESSES = ("__pydantic_core_schema__", "__pydantic_validator__", "__pydantic_serializer__", "__pydantic_setattr_")


# --- what a test sees ---


@dataclass(frozen=True)
class Pipeline:
    """Cells and what is expected of them.

    Attributes
    ----------
    text
        The cells.
    runs
        Steps that must run although the start point comes after them, and a word of the reason.
    differs
        Names that may differ, each with the reason: what is documented as not restored exactly.
    lost
        Names that nothing reads at the end, so that steps which cannot save them may be restored.
    starts
        Start points to try; none for all.
    """

    text: str
    runs: Mapping[int, str] = field(default_factory=dict)
    differs: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    starts: tuple[int | str, ...] = ()

    def cells(self) -> list[tuple[int | None, str]]:
        """Split the text at its marks."""
        found: list[tuple[int | None, list[str]]] = []
        for line in self.text.strip("\n").splitlines():
            if line.startswith("%%"):
                number = line.removeprefix("%%").removeprefix("step").strip()
                found.append((int(number) if number else None, []))
            else:
                found[-1][1].append(line)
        return [(step, "\n".join(lines)) for step, lines in found]


class Scenarios:
    """The pipelines of one test module, by a sentence that says what is special about each."""

    def __init__(self) -> None:
        self._pipelines: dict[str, Pipeline] = {}
        self._known: dict[str, str] = {}
        self._not_run: dict[str, str] = {}

    def add(
        self,
        name: str,
        text: str,
        *,
        runs: dict[int, str] | None = None,
        differs: str = "",
        lost: str = "",
        starts: tuple[int | str, ...] = (),
        known: str = "",
        needs: str = "",
    ) -> None:
        """Add a pipeline.

        `known` is the reason why it fails today, `needs` a library without which it is not run; see `Pipeline` for the
        rest.
        """
        assert name not in self._pipelines, name
        self._pipelines[name] = Pipeline(
            text, runs or {}, frozenset(differs.split()), frozenset(lost.split()), tuple(starts)
        )
        if known:
            self._known[name] = known
        if needs and importlib.util.find_spec(needs) is None:
            self._not_run[name] = f"not run: {needs} is not installed"

    def parameters(self) -> list[Any]:
        """Return what `pytest.mark.parametrize` wants."""
        import pytest

        marks = {name: pytest.mark.xfail(reason=why) for name, why in self._known.items()}
        marks |= {name: pytest.mark.skip(reason=why) for name, why in self._not_run.items()}
        return [pytest.param(name, marks=marks[name]) if name in marks else name for name in self._pipelines]

    def exact(self) -> dict[str, Pipeline]:
        """Return the pipelines that are restored exactly, nothing left out, where all that they need is there."""
        return {
            name: one
            for name, one in self._pipelines.items()
            if not (name in self._known or name in self._not_run or one.runs or one.differs or one.lost)
        }

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline of that name."""
        return self._pipelines[name]

    def check(self, server: Server, name: str) -> None:
        """Fail with all that differs."""
        problems = server.problems(self._pipelines[name])
        assert not problems, "\n".join(problems)


class Server:
    """The parent of all processes that run pipelines; one for a whole test session.

    Parameters
    ----------
    also
        Libraries that it imports beside `MODELS`.
    """

    def __init__(self, *also: str) -> None:
        self._also = also
        self._processes: dict[tuple[str, ...], subprocess.Popen[str]] = {}  # by what they import

    def close(self) -> None:
        """End the parents."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _process(self, text: str) -> subprocess.Popen[str]:
        """The parent of the processes for a pipeline; it is started with the first one."""
        libraries = (*MODELS, *self._also) if self._also else libraries_for(text)
        if libraries not in self._processes:
            self._processes[libraries] = subprocess.Popen(
                [sys.executable, __file__, *libraries],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        return self._processes[libraries]

    def problems(self, pipeline: Pipeline, *, without: str = "") -> list[str]:
        """Check a pipeline at every start point; empty if all is exact.

        `without` names a rule of `tests.exact.rules` that is switched off in the processes.
        """
        request = {
            "cells": pipeline.cells(),
            "runs": {str(step): word for step, word in pipeline.runs.items()},
            "differs": sorted(pipeline.differs),
            "lost": sorted(pipeline.lost),
            "starts": list(pipeline.starts),
            "fresh": not without and zlib.crc32(pipeline.text.encode()) % 10 == 0,  # a tenth, the same ones each time
            "without": without,
        }
        found: list[str] = self._ask(pipeline.text, request)["problems"]
        return found

    def report(self, text: str, starts: Sequence[int | str] | None = None) -> dict[str, Any]:
        """Check a pipeline of which nothing is expected: steps may run again, if a reason is named.

        Returns
        -------
        dict
            `problems`, `reruns` (a reason for each step that ran although the start point let it be restored),
            `restored` (how many were), `starts` (start points looked at), `failed` (the full run failed).
        """
        return self._ask(text, {"cells": Pipeline(text).cells(), "runs": None, "starts": starts})

    def _ask(self, text: str, request: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process(text)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the parent of the pipelines has died"
        found: dict[str, Any] = json.loads(answer)
        return found


def libraries_for(text: str) -> tuple[str, ...]:
    """The libraries that a parent of the processes for a pipeline imports."""
    if "sklearn" in text or "scipy" in text or zlib.crc32(text.encode()) % 10 == 1:
        return MODELS
    imported = {*re.findall(r"(?:import|from)\s+(\w+)", text)} - {"numpy"}
    return () if "pandas" not in text and imported <= sys.stdlib_module_names else FRAMES


# --- in the parent ---


@dataclass
class Found:
    """What checking one pipeline found; see `Server.report`."""

    problems: list[str] = field(default_factory=list)
    reruns: list[str] = field(default_factory=list)
    restored: int = 0
    starts: int = 0
    failed: bool = False


def check(
    cells: list[tuple[int | None, str]],
    other: Other,
    *,
    runs: Mapping[str, str] | None,
    differs: Iterable[str] = (),
    lost: Iterable[str] = (),
    starts: Sequence[int | str] | None = None,
    fresh: bool = False,
    without: str = "",
) -> Found:
    """Run in full, then from every start point; say what differs.

    With `fresh` the middle start point is that of a process which shares nothing with the one of the full run, the
    seed of its hashes included.
    """
    steps = sorted({step for step, _ in cells if step is not None})
    found, lost = Found(), set(lost)
    differs = lost.union(differs)
    seen: list[dict[str, int]] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        full = in_child(cells, f"{top}/full", "none", lost, without)
        if "failed" in full:
            return Found([f"the full run failed:\n{full['failed']}"], failed=True)
        starts = starts or [*(step + 1 for step in steps), "auto"]
        for start in starts:
            folder = f"{top}/{start}"
            shutil.copytree(f"{top}/full", folder, copy_function=os.link)
            if fresh and start == starts[len(starts) // 2]:
                with_start = other.run(cells, folder, start, lost)
            else:
                with_start = in_child(cells, folder, start, lost, without)
            found.starts += 1
            if runs is None:  # of random pipelines nobody says which results cannot be saved
                results = with_start.get("results", {})
                differs = differs | {name for name, text in results.items() if text == PLACEHOLDER}
            found.problems += compare(f"start {start}", full, with_start, differs)
            if "failed" in with_start:
                continue
            if runs is not None:
                found.problems += [f"start {start}: {text}" for text in unexpected(with_start, start, runs)]
            below = [one for one in with_start["actions"] if isinstance(start, str) or one[0] < start]
            found.restored += sum(action == "restored" for _, action, _ in below)
            found.reruns += [f"step {step} {reason}" for step, action, reason in below if action != "restored"]
            if runs is None and start != steps[len(steps) // 2] + 1:
                continue  # of random pipelines there are many: one such process for each
            if checkpoints(folder) in seen:
                continue  # all was restored, of files that were restored like that before
            seen.append(checkpoints(folder))
            again = in_child(cells, folder, "end", lost, without)
            found.problems += compare(f"start {start}, then all restored", full, again, differs)
    return found


def checkpoints(folder: str) -> dict[str, int]:
    """The files of the checkpoints of a folder, each with what it is to the disk: one that is replaced is another."""
    return {entry.name: entry.inode() for entry in os.scandir(folder) if entry.name.endswith(".pkl")}


def compare(where: str, full: Mapping[str, Any], other: Mapping[str, Any], differs: set[str]) -> list[str]:
    """Say in what two runs differ."""
    if "failed" in other:
        return [f"{where} failed:\n{other['failed']}"]
    problems = [f"{where}: warned: {text}" for text in other["warned"]]
    for part in ("names", "around", "results"):
        mine, theirs = full[part], other[part]
        problems += [
            f"{where}: {part} {name}\n   full: {mine.get(name)}\n  other: {theirs.get(name)}"
            for name in {**mine, **theirs}
            if name not in differs and mine.get(name) != theirs.get(name)
        ]
    order = [name for name in full["names"] if name in other["names"]]
    if order != [name for name in other["names"] if name in full["names"]]:
        problems.append(f"{where}: order of names {list(full['names'])} and {list(other['names'])}")
    return problems


def unexpected(run: Mapping[str, Any], start: int | str, runs: Mapping[str, str]) -> Iterator[str]:
    """Steps that ran although they could have been restored, or the other way round."""
    for step, action, reason in run["actions"]:
        below = start == "auto" or (isinstance(start, int) and step < start)
        expected = "restored" if below and str(step) not in runs else "saved"
        if start == "auto" and runs:
            continue
        if action != expected or (below and str(step) in runs and runs[str(step)] not in reason):
            yield f"step {step} was {action} ({reason})"


def in_child(
    cells: list[tuple[int | None, str]], folder: str, start: int | str, lost: set[str], without: str = ""
) -> dict[str, Any]:
    """Run the cells in a forked process, perhaps without a rule of the package."""
    text = aside(lambda: in_this_process(cells, folder, start, lost, without))
    found: dict[str, Any] = json.loads(text) if text else {"failed": "the process ended early"}
    return found


def aside(tell: Callable[[], str]) -> str:
    """Call a function in a forked process: what it does here changes nothing; empty if that ended early."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                pipe.write(tell())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def in_this_process(
    cells: list[tuple[int | None, str]], folder: str, start: int | str, lost: set[str], without: str
) -> str:
    """Run the cells here; what goes wrong is told."""
    try:
        if without:
            importlib.import_module("tests.exact.rules").switch_off(without)
        return json.dumps(run(cells, folder, start, lost))
    except BaseException:
        return json.dumps({"failed": traceback.format_exc()})


class Other:
    """A parent that was not forked from this one: addresses and hashes are others there, and nothing is frozen.

    It starts with the first request. No global variable may lead to it: those of this module, which is ``__main__``
    here, are the ones of a notebook in each child.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, cells: list[tuple[int | None, str]], folder: str, start: int | str, lost: set[str]) -> dict[str, Any]:
        """Run the cells in a process forked there."""
        if self._process is None:
            command = [sys.executable, __file__, "--other", *sys.argv[1:]]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"cells": cells, "folder": folder, "start": start, "lost": sorted(lost)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(answer) if answer else {"failed": "the other parent has died"}
        return found

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate()


# --- in a child ---


def run(cells: list[tuple[int | None, str]], folder: str, start: int | str, lost: set[str]) -> dict[str, Any]:
    """Be a kernel: run or restore the cells, then describe what they left."""
    from ckpt_magic.steps import plan as plans
    from ckpt_magic.steps import registry, settings
    from ckpt_magic.steps import session as sessions

    os.environ["CKPT_KEY"] = "the key of the tests"
    # other addresses than in the full run, so that nothing is equal by chance
    ballast = [bytearray(random.randrange(1, 4000)) for _ in range(20 * len(str(start)) + random.randrange(300))]
    del ballast[::3]
    random.seed(1)  # what a fork inherits is no state of a new kernel
    sys.modules["numpy"].random.seed(1)
    warned: list[str] = []
    warnings.showwarning = lambda message, category, *_: (
        warned.append(f"{category.__name__}: {message}") if "Checkpoint" in category.__name__ else None
    )
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    hidden = set(namespace) | {"__builtins__", "__warningregistry__"}
    options = settings.Settings(Path(folder), environ={})
    options.configure(name="p")
    options.set_start(registry.parse_start(start))
    session = sessions.Session(
        namespace,
        options,
        hidden=lambda names: names.keys() & hidden,
        cells_after=lambda key, step, cell: cells_after(cells, step, probe=not lost),
    )
    results: dict[str, str] = {}
    actions = []
    for number, (step, source) in enumerate(cells):
        tree = ast.parse(source)
        filename = f"/tmp/ipykernel_{os.getpid()}/{number}.py"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        if step is None:
            session.cell_begins(tree)
            execute(tree, filename, namespace)
            session.cell_ends()
            continue
        plan = session.begin(registry.StepCall(step), plans.Body(source, tree, filename, source))
        if plan.action == "restore":
            restored = session.restore(plan)
            has_result, result = restored.has_result, restored.result
            del restored  # its result may be held by nothing else
        else:
            has_result, result = execute(tree, filename, namespace)
        if has_result and result is not None:
            # drawing a figure, for one, changes it
            text = aside(functools.partial(result_text, namespace, result))
            assert text, "the result could not be described"
            results[f"of step {step}"] = text
        outcome = plans.Outcome(True, has_result=has_result, result=result, seconds=0.5)
        facts = session.finish(plan, outcome)
        assert facts is not None
        actions.append((step, facts["action"], facts["reason"]))
        del plan, result, outcome
    names = {name: value for name, value in namespace.items() if name not in hidden}
    surroundings = around()
    sys.setrecursionlimit(20000)
    return {
        "names": Witness(namespace).describe(names),
        "around": surroundings,
        "results": results,
        "actions": actions,
        "warned": warned,
    }


def result_text(namespace: dict[str, Any], result: Any) -> str:
    return Witness(namespace).describe({"result": result})["result"]


def cells_after(cells: list[tuple[int | None, str]], step: int, *, probe: bool) -> list[Any]:
    """What a notebook's file tells of the cells below a step; the probe at the end reads every name."""
    from ckpt_magic.steps.needs import Cell
    from ckpt_magic.values.code import encoding
    from ckpt_magic.values.code import source as sources

    found, seen = [], False
    for number, text in cells:
        tree = ast.parse(text)
        if seen:
            found.append(Cell(sources.names(tree), number, encoding.digest(tree)))
        seen = seen or number == step
    if probe:
        found.append(Cell(sources.names(ast.parse("vars()"))))
    return found


class _Nothing:
    """Stands for a class of which nothing is."""


_NO_PANDAS = types.SimpleNamespace(
    **dict.fromkeys(("DataFrame", "Series", "Index", "Timestamp", "Timedelta", "Period", "Interval"), _Nothing),
    NaT=_Nothing(),
    NA=_Nothing(),
    StringDtype=_Nothing,
    get_option=lambda name: name,
    api=types.SimpleNamespace(extensions=types.SimpleNamespace(ExtensionDtype=_Nothing, ExtensionArray=_Nothing)),
)


def loaded_pandas() -> Any:
    """The module, or what stands for it where nobody has loaded it."""
    return sys.modules.get("pandas", _NO_PANDAS)


def around() -> dict[str, str]:
    """What a process has besides names."""
    import decimal
    import locale
    import signal
    import socket
    import tempfile
    import time

    numpy, pandas = sys.modules["numpy"], loaded_pandas()
    torch = sys.modules.get("torch")
    of_torch = [torch.get_rng_state().numpy().tobytes(), torch.utils.hooks.RemovableHandle.next_id] if torch else []
    umask = os.umask(0o77)
    os.umask(umask)
    loggers = {"root": logging.root, **logging.Logger.manager.loggerDict}
    described = {name: logger_text(one) for name, one in loggers.items() if hasattr(one, "level")}
    untouched = logger_text(logging.getLogger("made by a library that was imported when it was first needed"))
    found = {
        "random": digest(repr(random.getstate())),
        "torch": digest(repr(of_torch)),
        "numpy.random": digest(pickle.dumps(numpy.random.get_state())),
        "cwd": os.getcwd(),
        "environ": repr(sorted(os.environ.items())),
        "path": repr(sys.path),
        "recursion limit": repr(sys.getrecursionlimit()),
        "warning filters": repr(warnings.filters),
        "decimal": repr(decimal.getcontext()),
        "print options": repr({name: callables(value) for name, value in numpy.get_printoptions().items()}),
        "numpy error call": callable_text(numpy.geterrcall()),
        "numpy errors": repr(numpy.geterr()),
        "pandas": repr(
            [callables(pandas.get_option(f"display.{name}")) for name in ("max_rows", "precision", "float_format")]
        ),
        "locale": repr([locale.setlocale(part) for part in (locale.LC_ALL, locale.LC_NUMERIC, locale.LC_TIME)]),
        "time zone": repr(time.tzname),
        "interpreter": repr(
            (sys.getswitchinterval(), sys.get_int_max_str_digits(), gc.isenabled(), gc.get_threshold())
        ),
        "places": repr((umask, socket.getdefaulttimeout())),
        "temporary files": tempfile.gettempdir(),
        "hooks": repr([callable_text(getattr(sys, name)) for name in ("excepthook", "displayhook", "unraisablehook")]),
        "signals": repr({int(one): callable_text(signal.getsignal(one)) for one in signal.valid_signals()}),
        "logging": repr((logging.Logger.manager.disable, warnings.showwarning is vars(logging)["_showwarning"])),
        "levels": repr(sorted(logging._levelToName.items())),
        "loggers": repr(sorted((name, text) for name, text in described.items() if text != untouched)),
    }
    if "matplotlib" in sys.modules:
        parameters = dict.items(sys.modules["matplotlib"].rcParams)
        found["rcParams"] = repr(sorted((name, repr(value)) for name, value in parameters if "backend" not in name))
    if "matplotlib.pyplot" in sys.modules:
        found["figures"] = figures_text(sys.modules["matplotlib.pyplot"])
    if "sklearn" in sys.modules:
        found["sklearn"] = repr(sys.modules["sklearn"].get_config())
    if "polars" in sys.modules:
        found["polars"] = repr(sys.modules["polars"].Config.state())
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        state = torch.get_rng_state().numpy().tobytes()
        options = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
        more = torch.are_deterministic_algorithms_enabled(), torch.get_default_device(), torch._tensor_str.PRINT_OPTS
        found["torch"] = repr((digest(state), options, more))
    return found


def callables(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: callables(item) for key, item in value.items()}
    return callable_text(value) if callable(value) else value


def callable_text(value: Any) -> str:
    return getattr(value, "__qualname__", None) or repr(value)


def logger_text(logger: Any) -> str:
    handlers = [
        (type(one).__qualname__, one.level, one.name, vars(one.formatter) if one.formatter else None, len(one.filters))
        for one in logger.handlers
    ]
    texts = [str(handler).partition(" at 0x")[0].partition("<logging.PercentStyle")[0] for handler in handlers]
    formats = [getattr(one.formatter, "_fmt", None) for one in logger.handlers]
    streams = [getattr(one, "stream", None) for one in logger.handlers]
    names = [
        "stdout" if one is sys.stdout else "stderr" if one is sys.stderr else type(one).__name__ for one in streams
    ]
    return f"{logger.level} {logger.propagate} {logger.disabled} {texts} {formats} {names} {len(logger.filters)}"


def pixels(figure: Any) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="raw", dpi=40)
    return digest(file.getvalue())


def figures_text(pyplot: Any) -> str:
    managers = pyplot._pylab_helpers.Gcf.figs
    figures = {number: manager.canvas.figure for number, manager in managers.items()}
    current = [one.axes.index(one.gca()) if one.axes else None for one in figures.values()]
    return repr([(number, pixels(figure)) for number, figure in figures.items()]) + repr(current)


def digest(text: str | bytes) -> str:
    """Shorten a text."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return hashlib.blake2b(data, digest_size=8).hexdigest()


LAZY = sys.version_info >= (3, 14)


def annotations_of(one: Any) -> Any:
    """The own annotations of a function or class; from Python 3.14 on why there are none yet, if there are none."""
    if not LAZY:
        return vars(one).get("__annotations__") if isinstance(one, type) else one.__annotations__
    try:
        return one.__annotations__
    except NameError as error:
        return str(error)


class Witness:
    """Describes values without pickle: types, contents, identity, shared memory.

    An object met before is named by where that was: `a#0` is what `a` is bound to, `a#2` the second object met
    below it. Identity of atoms is not described, nor in definitions and frames that of what cannot change.
    """

    def __init__(self, main: dict[str, Any]) -> None:
        self.main = main
        self.places: dict[int, str] = {}
        self.pictures: dict[int, str] = {}
        self.held: list[Any] = []
        self.memory: list[tuple[int, int, str, bool, Any]] = []
        self.name, self.position = "", 0
        self.within = 0  # definitions and frames
        self.is_blind = False

    def describe(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Return a text per name, in order, and one for shared memory."""
        texts = {}
        for self.name, value in names.items():
            self.position = 0
            texts[self.name] = self.text(value)
        return {**texts, "(memory)": self.shared_memory()}

    def text(self, value: Any) -> str:
        kind = type(value)
        if kind.__name__ == "Placeholder":
            return PLACEHOLDER
        if is_one(kind, int, range):  # repr refuses numbers of more than 4300 digits
            parts = [value] if kind is int else [value.start, value.stop, value.step]
            return f"{kind.__name__} {' '.join(map(hex, parts))}"
        if self.is_atom(value):
            return f"{self.of_unchanging(value)}{kind.__name__} {value!r}"
        if isinstance(value, types.ModuleType):
            return f"<module {value.__name__}>"
        if value is self.main:
            return "<globals>"
        form = str(getattr(value, "_name", "")) if kind.__module__ == "typing" else ""
        if form and getattr(typing, form, None) is value:
            return f"<typing.{form}>"  # `typing.Literal`; its caches are its own business
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)) and importable(value):
            return f"<{value.__module__}.{value.__qualname__}>"
        if kind is tuple and self.is_frozen(value):
            return f"tuple {[self.text(part) for part in value]}"  # `typing` makes them anew as it likes; documented
        if id(value) in self.places:
            return f"<same as {self.places[id(value)]}>"
        place = self.places[id(value)] = f"{self.name}#{self.position}"
        self.position += 1
        self.held.append(value)
        return f"{self.type_text(kind)}({self.inside(value, place)})"

    def of_unchanging(self, value: Any) -> str:
        """Where one was met that is no plain atom; empty if nowhere before."""
        kind = type(value)
        is_counted = bool(value) if is_one(kind, tuple, frozenset) else kind.__module__ in UNCHANGING
        if not is_counted or self.within:
            return ""
        if id(value) in self.places:
            return f"<same as {self.places[id(value)]}> "
        self.places[id(value)] = f"{self.name}#{self.position}"
        self.position += 1
        self.held.append(value)
        return ""

    def type_text(self, kind: type) -> str:
        return f"{kind.__module__}.{kind.__qualname__}" if importable(kind) else self.text(kind)

    def is_frozen(self, value: Any) -> bool:
        if type(value) is tuple:
            return all(map(self.is_frozen, value))
        return isinstance(value, (type, types.FunctionType, typing.TypeVar)) or self.is_atom(value)

    def is_atom(self, value: Any) -> bool:
        kind = type(value)
        if is_one(kind, int, float, complex, bool, str, bytes, range, type(None), type(...)):
            return True
        if is_one(kind, tuple, frozenset):
            return all(map(self.is_atom, value))
        if kind is types.UnionType:
            return all(isinstance(part, type) and importable(part) for part in value.__args__)
        if kind is slice:
            return all(map(self.is_atom, (value.start, value.stop, value.step)))
        if kind.__module__ in ("datetime", "decimal", "fractions", "re", "uuid", "zoneinfo"):
            return True
        if str(kind.__module__).startswith("pathlib"):
            return True
        if kind.__module__ == "torch" and kind.__name__ in ("dtype", "device", "Size", "layout", "memory_format"):
            return True
        numpy, pandas = sys.modules["numpy"], loaded_pandas()
        if isinstance(value, numpy.void) and value.dtype.names and value.base is not None:
            return False  # an element of an array, in its memory
        return (
            isinstance(value, (numpy.generic, numpy.dtype, pandas.api.extensions.ExtensionDtype))
            or kind is numpy.ufunc
            or is_one(kind, pandas.Timestamp, pandas.Timedelta, pandas.Period, pandas.Interval, type(pandas.NaT))
            or value is pandas.NA
        )

    def inside(self, value: Any, place: str) -> str:
        if isinstance(value, (type, types.FunctionType)):
            self.within += 1
            told = self.of_class(value) if isinstance(value, type) else self.of_function(value)
            self.within -= 1
            return told
        if isinstance(value, types.CellType):
            try:
                return self.text(value.cell_contents)
            except ValueError:
                return "empty"
        if isinstance(value, types.MethodType):
            return f"{self.text(value.__func__)} of {self.text(value.__self__)}"
        library = self.of_library(value, place)
        if library is not None:
            return library
        return ", ".join([*self.contents(value), *self.attributes(value)])

    def contents(self, value: Any) -> Iterator[str]:
        """What is inside a container, beside its attributes."""
        if isinstance(value, dict):
            if isinstance(value, collections.defaultdict):
                yield f"factory {self.text(value.default_factory)}"
            # an ordered one has its order beside that of the dict below, which nobody sees
            items: Any = collections.OrderedDict.items if isinstance(value, collections.OrderedDict) else dict.items
            yield ", ".join(f"{self.text(key)}: {self.text(item)}" for key, item in items(value))
        elif isinstance(value, (list, tuple)):
            yield ", ".join(map(self.text, list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)))
        elif isinstance(value, (set, frozenset, weakref.WeakSet)):
            yield ", ".join(map(self.text, self.in_order(value)))
        elif isinstance(value, bytearray):
            yield bytes(value).hex()
        elif isinstance(value, collections.deque):
            yield f"{value.maxlen}, {', '.join(map(self.text, list(value)))}"
        elif isinstance(value, (io.StringIO, io.BytesIO)):
            yield f"{value.closed or (value.getvalue(), value.tell())}"
        elif isinstance(value, functools.partial):
            yield f"{self.text(value.func)} {self.text(value.args)} {self.text(value.keywords)}"
        elif isinstance(value, (staticmethod, classmethod)):
            yield self.text(value.__func__)
        elif isinstance(value, property):
            yield f"{self.text(value.fget)} {self.text(value.fset)} {self.text(value.fdel)} {value.__doc__}"
        elif isinstance(value, random.Random):
            yield "" if isinstance(value, random.SystemRandom) else digest(repr(value.getstate()))
        elif isinstance(value, weakref.ref):
            yield self.text(value())
        elif is_one(type(value), weakref.ProxyType, weakref.CallableProxyType):
            yield self.text(value.__dir__.__self__)
        elif issubclass(type(value), (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)):
            yield ", ".join(f"{self.text(key)}: {self.text(item)}" for key, item in value.items())
        elif isinstance(value, BaseException):
            yield f"{self.text(list(value.args))} {self.text(value.__cause__)} {self.text(value.__context__)}"
            yield f"{value.__suppress_context__} {traceback_text(value)}"
        elif isinstance(value, slice):
            yield ", ".join(map(self.text, (value.start, value.stop, value.step)))
        elif isinstance(value, types.MappingProxyType):
            yield ", ".join(f"{self.text(key)}: {self.text(item)}" for key, item in value.items())
        elif isinstance(value, memoryview):
            try:
                yield f"{value.format} {value.shape} {value.readonly} {digest(value.tobytes())} {self.text(value.obj)}"
            except ValueError:
                yield "released"
        elif isinstance(value, types.GeneratorType):
            frame = value.gi_frame
            yield "ended" if frame is None else f"{frame.f_lasti} {self.text(dict(frame.f_locals))}"
        elif isinstance(value, functools._lru_cache_wrapper):
            _, *links, held, _, _, _, _, _ = gc.get_referents(value)
            yield f"{value.cache_info()} {self.text(links or held)}"  # links are in order of use, their dict is in any
        elif type(value).__name__ in ("lock", "RLock"):
            yield repr(value).partition("object")[0]
        elif is_one(type(value), type({}.keys()), type({}.items()), type({}.values())):
            yield self.text(value.mapping)
        elif type(value).__module__ in ("builtins", "itertools", "array", "operator"):
            yield self.reduced(value)
        for base in (int, float, complex, str, bytes):
            if isinstance(value, base):
                yield base.__repr__(value)

    def reduced(self, value: Any) -> str:
        """Return what an iterator, an array or a descriptor says of itself."""
        try:
            _, args, *state = value.__reduce_ex__(4)
        except TypeError:
            return ""
        if args and args[0] in ([], (), "") and type(value).__name__.endswith("iterator"):
            return "exhausted"  # what it went over is forgotten; an empty one is the same to everybody
        return ", ".join(map(self.text, [*args, *state]))

    def in_order(self, members: Iterable[Any]) -> list[Any]:
        """Sort the members of a set: those that were met before first."""
        found = list(members)
        return sorted(found, key=self.known_first) if len(found) > 1 else found

    def known_first(self, item: Any) -> tuple[str, str]:
        """Return what members of a set are sorted by; within a blind text they cannot be told apart."""
        if self.is_blind:
            return "", type(item).__qualname__
        place = self.places.get(id(item))
        return (place, "") if place is not None else ("~", self.blind(item))

    def blind(self, item: Any) -> str:
        """Return a text to sort members of a set by, which does not count as having met them."""
        other = Witness(self.main)
        other.is_blind = True
        return other.text(item)

    def attributes(self, value: Any) -> Iterator[str]:
        own = {} if issubclass(type(value), NO_ATTRIBUTES) else getattr(value, "__dict__", {})
        if importable(type(value)) and hasattr(type(value), "__setstate__"):
            own = dict(sorted(own.items()))  # a library that restores its own objects may set attributes in any order
        for name, item in own.items():
            yield f"{name}={self.text(item)}"
        for cls in type(value).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                slot = vars(cls).get(name)
                if isinstance(slot, types.MemberDescriptorType):
                    with contextlib.suppress(AttributeError):  # it is empty; `hasattr` may fill it
                        yield f".{name}={self.text(slot.__get__(value, cls))}"

    def of_function(self, function: types.FunctionType) -> str:
        space = "" if function.__globals__ is self.main else f" in {function.__globals__.get('__name__')}"
        parts = {
            "defaults": function.__defaults__,
            "kwdefaults": function.__kwdefaults__,
            "closure": function.__closure__,
            "attributes": dict(vars(function)),
            "annotations": annotations_of(function),
            "doc": function.__doc__,
        }
        inside = ", ".join(f"{key} {self.text(part)}" for key, part in parts.items() if part)
        name = f"{function.__module__}.{function.__qualname__}{f' or {function.__name__}'}"
        return f"{name}{space} {digest(code_text(function.__code__))} {inside}"

    def of_class(self, cls: type) -> str:
        annotations = annotations_of(cls)  # first: Python 3.14 keeps there what it evaluates
        skipped = {"__dict__", "__weakref__", "_abc_impl", "__doc__", "__slotnames__", "__static_attributes__"}
        skipped |= {"__annotations__", "__annotate_func__", "__annotations_cache__", "__classdictcell__"}
        if "__dataclass_fields__" in vars(cls):
            skipped |= {"__dataclass_fields__", "__replace__"}
        if "_field_defaults" in vars(cls):
            skipped |= {"__getnewargs__", "__new__", "__repr__", "_asdict", "_make", "_replace", "__replace__"}
        attributes = [
            f"{name}={self.text(item)}"
            for name, item in sorted(vars(cls).items())
            if name not in skipped
            and not isinstance(item, (types.MemberDescriptorType, types.GetSetDescriptorType))
            and type(item).__name__ not in ("_tuplegetter", "_DataclassParams", "Field")
            and not (isinstance(item, types.FunctionType) and item.__code__.co_filename == "<string>")
            and not name.startswith(ADDRESSES)
        ]
        bases = ", ".join(map(self.text, cls.__bases__))
        order = [
            name
            for name, item in vars(cls).items()
            if not (name in skipped or name[:2] == name[-2:] == "__" or isinstance(item, types.MemberDescriptorType))
        ]
        if isinstance(cls, enum.EnumType):
            order = []  # its members have an order of their own
        virtual = ""
        if isinstance(cls, abc.ABCMeta):
            found = [one() for one in _abc._get_dump(cls)[0]]
            virtual = repr(sorted(one.__qualname__ for one in found if one is not None))
        return (
            f"{cls.__module__}.{cls.__qualname__} [{bases}] {virtual} {cls.__doc__!r} {', '.join(attributes)} {order}"
            f" annotations {self.text(annotations)}"
        )

    def of_library(self, value: Any, place: str) -> str | None:
        numpy, pandas = sys.modules["numpy"], loaded_pandas()
        if isinstance(value, logging.Logger):
            return f"{value.name} {value.level}"
        if type(value).__name__ == "PydanticRecursiveRef":
            return re.sub(r":\d+", "", value.type_ref)  # addresses of classes
        if type(value).__name__ == "ContextVar":
            missing = object()
            now = value.get(missing)
            return f"{value.name} {'unset' if now is missing else self.text(now)}"
        if str(type(value).__module__).startswith("matplotlib.") and hasattr(value, "get_figure"):
            figure = value if type(value).__name__ == "Figure" else value.get_figure()
            return f"in {self.picture(figure)}" if figure is not None else ""
        if isinstance(value, numpy.ma.MaskedArray):
            if value is numpy.ma.masked:
                return "the constant"
            kept = f"{value.fill_value} {value.hardmask} {value.sharedmask}"
            return f"{self.text(value.data)} {self.text(value._mask)} {kept}"
        if isinstance(value, numpy.void):
            part = numpy.frombuffer(value, "u1")
            self.note_memory(part, place, guarded=False)
            return f"{value.dtype} {value!r}"
        if isinstance(value, numpy.ndarray):
            return self.of_array(value, place)
        if isinstance(value, numpy.random.Generator):
            return self.text(value.bit_generator)
        if isinstance(value, numpy.random.RandomState):
            return f"{self.text(value._bit_generator)} {digest(repr(value.get_state()))}"
        if isinstance(value, numpy.random.BitGenerator):
            return digest(repr(value.state))
        if isinstance(value, (pandas.DataFrame, pandas.Series)):
            self.within += 1
            told = self.of_frame(value, place)
            self.within -= 1
            return told
        if isinstance(value, pandas.Index):
            return f"{value.dtype} {value.names} {self.items(value)} {getattr(value, 'freq', '')}"
        if isinstance(value, pandas.api.extensions.ExtensionArray):
            return f"{value.dtype!r} {self.items(value)}"
        torch = sys.modules.get("torch")
        if torch is not None:
            if isinstance(value, torch.Tensor):
                return ", ".join([*self.of_tensor(value, place, torch), *self.attributes(value)])
            if isinstance(value, torch.Generator):
                return digest(value.get_state().numpy().tobytes())
            if isinstance(value, torch.UntypedStorage):
                return f"{value.nbytes()} {value.is_shared()}"
        if "scipy.sparse" in str(type(value).__module__):
            return ", ".join(f"{name}={self.text(item)}" for name, item in vars(value).items())
        if str(type(value).__module__).startswith(("matplotlib.", "mpl_toolkits.")):
            return self.of_plot(value)
        return None

    def picture(self, figure: Any) -> str:
        """What a figure looks like; drawn once, however many of its parts are described."""
        if id(figure) not in self.pictures:
            self.pictures[id(figure)] = pixels(figure)
            self.held.append(figure)
        return self.pictures[id(figure)]

    def of_plot(self, value: Any) -> str:
        """What a figure looks like; which part of its figure an artist is; of the rest what is not bookkeeping."""
        figure = value.get_figure(root=True) if hasattr(value, "get_figure") else None
        if figure is not None and figure is value:
            picture = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value.savefig(picture, format="rgba", dpi=40)
            return f"{value.get_label()!r} {value.get_size_inches()} {value.dpi} {digest(picture.getvalue())}"
        if figure is not None:
            at = [number for number, part in enumerate(figure.findobj()) if part is value]
            return f"{at} of {self.text(figure)}"
        kept = {name: item for name, item in getattr(value, "__dict__", {}).items() if name not in BOOKKEEPING}
        return ", ".join([*self.contents(value), *(f"{name}={self.text(item)}" for name, item in sorted(kept.items()))])

    def of_array(self, array: Any, place: str) -> str:
        self.note_memory(array, place, guarded=False)
        flags = array.flags
        form = f"{array.dtype} {array.shape} {bool(flags.num & 0x400)} {layout(array)}"
        own = "" if type(array) is sys.modules["numpy"].ndarray else ", ".join(self.attributes(array))
        if array.dtype.hasobject:
            return f"{form} {[self.text(item) for item in array.ravel()]} {own}"
        return f"{form} {digest(array.tobytes())} {own}"

    def of_tensor(self, tensor: Any, place: str, torch: Any) -> Iterator[str]:
        yield f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device} {tensor.layout} grad={tensor.requires_grad}"
        yield f"{tensor.is_leaf} {tensor.is_inference()} {type(tensor.grad_fn).__name__}"
        for hooks in (tensor._backward_hooks, tensor._post_accumulate_grad_hooks):
            yield self.text(hooks)
        plain = tensor.detach()
        if tensor.is_nested:
            yield ", ".join(map(self.text, plain.unbind()))
        elif tensor.layout is torch.sparse_coo:
            yield f"{self.text(plain._indices())} {self.text(plain._values())} {tensor.is_coalesced()}"
        elif tensor.layout is not torch.strided or tensor.device.type == "meta":
            yield repr(plain)
        else:
            storage = tensor.untyped_storage()
            yield f"{tensor.stride()} {tensor.storage_offset()} {self.text(storage)}"
            raw = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (storage.nbytes(),), (1,)).numpy()
            self.note_memory(raw, f"{place} storage", guarded=False)
            base = tensor._base if tensor._base is not None and tensor._base.layout is torch.strided else None
            flat = plain.resolve_conj().resolve_neg().flatten().contiguous()
            yield repr(plain) if tensor.is_quantized else digest(flat.view(torch.uint8).numpy().tobytes())
            yield f"conj={tensor.is_conj()} neg={tensor.is_neg()} view of {self.text(base)}"
        if tensor.is_leaf:
            yield f"grad {self.text(tensor.grad)}"

    def of_frame(self, frame: Any, place: str) -> str:
        for number, block in enumerate(frame._mgr.blocks):
            if type(block.values).__name__ == "ndarray" and not block.values.dtype.hasobject:
                self.note_memory(block.values, f"{place} block {number}", guarded=True)
        columns = [frame] if frame.ndim == 1 else [frame.iloc[:, at] for at in range(frame.shape[1])]
        columns_kind = type(frame.columns).__name__ if frame.ndim == 2 else ""
        names = f"{columns_kind} {self.inside(frame.columns, place)}" if frame.ndim == 2 else self.text(frame.name)
        inside = [f"{column.dtype!r} {self.items(column.array)}" for column in columns]
        flags = frame.flags.allows_duplicate_labels
        kind = type(frame.index).__name__
        inside += [layout(block.values) for block in frame._mgr.blocks if type(block.values).__name__ == "ndarray"]
        return f"{names} {kind} {self.inside(frame.index, place)} {inside} {self.text(frame.attrs)} {flags}"

    def items(self, values: Any) -> str:
        """The elements of a column or an index; numbers and strings, of which there may be millions, by a digest."""
        numpy, pandas = sys.modules["numpy"], loaded_pandas()
        if isinstance(values.dtype, numpy.dtype) and not values.dtype.hasobject and len(values):
            return digest(numpy.asarray(values).tobytes())
        if isinstance(values.dtype, pandas.StringDtype):
            return digest(repr(list(values)))
        return str([self.text(item) for item in values])

    def note_memory(self, array: Any, place: str, *, guarded: bool) -> None:
        if array.size:
            numpy = sys.modules["numpy"]
            low, high = getattr(numpy.lib, "array_utils", numpy).byte_bounds(array)  # before numpy 2 it is elsewhere
            self.memory.append((low, high, place, guarded, array))

    def shared_memory(self) -> str:
        """Which arrays lie over one buffer, and which bytes they have in common, however far apart these lie.

        The blocks of pandas are guarded from each other.
        """
        found = []
        for number, (low, high, place, guarded, array) in enumerate(self.memory):
            for low2, high2, place2, guarded2, array2 in self.memory[number + 1 :]:
                if low < high2 and low2 < high and not (guarded and guarded2):
                    common = common_bytes(array, array2)
                    found += [f"{place} {place2} {common}"] if common else []
        return "; ".join(found)


def layout(array: Any) -> str:
    """How the elements of an array lie in its memory: sums depend on it in their last digits."""
    if array.flags.forc or array.dtype.hasobject:
        return "F" * int(array.flags.fnc)
    return str([stride for length, stride in zip(array.shape, array.strides, strict=True) if length > 1])


def is_one(kind: type, *kinds: type) -> bool:
    """Whether a type is one of these; what a metaclass says about equality does not count."""
    return any(kind is one for one in kinds)


NO_ATTRIBUTES = (  # what they have is of their own making
    staticmethod, classmethod, weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary,
    weakref.WeakMethod, weakref.ProxyType, weakref.CallableProxyType,
)  # fmt: skip


def common_bytes(one: Any, other: Any) -> str:
    """Say which bytes of two arrays are the same memory, by their positions; empty if none are."""
    numpy = sys.modules["numpy"]
    if max(one.nbytes, other.nbytes) > LARGE:
        return f"{other.__array_interface__['data'][0] - one.__array_interface__['data'][0]}"
    _, mine, theirs = numpy.intersect1d(addresses(one), addresses(other), return_indices=True)
    order = mine.argsort()
    return digest(numpy.stack([mine[order], theirs[order]]).tobytes()) if mine.size else ""


LARGE = 1 << 20  # bytes


def addresses(array: Any) -> Any:
    """Where each byte of an array lies, item by item."""
    numpy = sys.modules["numpy"]
    found = numpy.full(array.shape, array.__array_interface__["data"][0], "i8")
    for axis, (length, step) in enumerate(zip(array.shape, array.strides, strict=True)):
        found += (numpy.arange(length) * step).reshape([-1 if axis == at else 1 for at in range(array.ndim)])
    return (found.reshape(-1, 1) + numpy.arange(array.itemsize)).reshape(-1)


def importable(obj: Any) -> bool:
    """Whether an object is what its module and name say, or one of the interpreter's types."""
    if isinstance(obj, type) and obj.__module__ == "builtins":
        return True
    found: Any = sys.modules.get(obj.__module__ or "") if obj.__module__ != "__main__" else None
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def traceback_text(error: BaseException) -> str:
    """What Python prints of an error, without the number of the process in the names of files."""
    return re.sub(r"ipykernel_\d+", "ipykernel", "".join(traceback.format_exception(error)))


def _constant_text(const: object) -> str:
    if isinstance(const, frozenset):  # `x in {'a', 'b'}`: its order follows the hashes of texts
        return f"frozenset {sorted(map(repr, const))}"
    return code_text(const) if isinstance(const, types.CodeType) else repr(const)


def code_text(code: types.CodeType) -> str:
    """What a code object does."""
    consts = list(map(_constant_text, code.co_consts))
    counts = code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags
    return repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_firstlineno, consts, counts))


def serve() -> None:
    """Import once, then check one pipeline per line; or run one per line, for another parent."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    for name in (*ALWAYS, *(word for word in sys.argv[1:] if not word.startswith("-"))):
        with contextlib.suppress(ModuleNotFoundError):  # other interpreters have fewer libraries
            importlib.import_module(name)
    importlib.import_module("ckpt_magic.values.owned").known()  # once for all children, as are the names of packages
    importlib.import_module("ckpt_magic.values.counters").look()
    importlib.import_module("ckpt_magic.steps.record").packages(["attr"])
    is_other, other = "--other" in sys.argv, Other()
    gc.collect()
    if not is_other:
        gc.freeze()  # a collection in a child must not copy the pages of all that was imported
    for line in sys.stdin:
        request = json.loads(line)
        request["cells"] = [(step, source) for step, source in request["cells"]]
        answers.write(json.dumps(in_child(**request) if is_other else checked(request, other)) + "\n")
        answers.flush()
    other.close()


def checked(request: dict[str, Any], other: Other) -> dict[str, Any]:
    """Check one pipeline, whatever happens."""
    try:
        return asdict(check(other=other, **request))
    except Exception:
        return asdict(Found([f"the harness failed:\n{traceback.format_exc()}"], failed=True))


if __name__ == "__main__":
    serve()
