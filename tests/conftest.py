"""Isolation from the person who runs the tests, and ways to run cells: in this process, in a real kernel, in a fork."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # importing IPython and nbformat costs half a second, which most tests need not pay
    from IPython.core.interactiveshell import InteractiveShell

REPOSITORY = Path(__file__).resolve().parent.parent
FORKED = Path(__file__).resolve().parent / "forked.py"


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist would begin with the files of the most tests
        config.option.loadscopereorder = False
    if sys.platform == "linux":  # memory that a kernel of an earlier test tracked can be tracked by no other one:
        with contextlib.suppress(AttributeError):  # the allocator must not give it again (musl has no such call)
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_M_MMAP_THRESHOLD = -3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests of kernels wait a lot."""
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, or one process works on it when the others have nothing left."""
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("long", "venv"))))


@pytest.fixture(scope="session", autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no process that it starts, reads or writes files of the user, or asks their settings."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as shells have it for what they start in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("CKPT_", "JPY_", "PYTEST_ADDOPTS")) or name == "MPLBACKEND":
                patch.delenv(name)
        patch.setenv("CKPT_KEY", "the key of the tests")
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.setenv("JUPYTER_CONFIG_DIR", str(home / "jupyter"))
        patch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        # Kernels and forks test this working tree, not what may be installed.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield


@pytest.fixture(scope="module", autouse=True)
def _swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave no dead kernels behind: the garbage collector seldom comes by, and looks go through all objects.

    Nor modules that tests wrote: kernels of other tests in this process would take them for the user's own.
    """
    yield
    written = f"{tmp_path_factory.getbasetemp()}{os.sep}"
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__dict__", {}).get("__file__")).startswith(written):
            del sys.modules[name]
    gc.collect()


# --- in this process ---


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Return a fresh InteractiveShell in an empty folder, ckpt_magic loaded; `get_ipython()` finds it.

    Its checkpoints are there when a cell ends.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from tests import shells

    monkeypatch.chdir(tmp_path)
    for module, name in [(sys, "excepthook"), (sys, "displayhook"), (sys, "path")]:
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    before = dict(vars(builtins))
    config = Config()
    config.HistoryManager.enabled = False  # no database thread
    config.InteractiveShell.colors = "nocolor"
    config.CkptMagics.sync = True
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=config)
    extensions: Any = made.extension_manager
    failed = extensions.load_extension("ckpt_magic")
    assert failed is None, failed
    yield made
    extensions.unload_extension("ckpt_magic")
    made.reset(new_session=False)
    shells.end(made)
    for name in vars(builtins).keys() - before.keys():
        delattr(builtins, name)


# --- in a real kernel ---

RunCells = Callable[..., Any]
"""Called as `run_cells(cells, **options)`; returns a NotebookNode."""


@pytest.fixture
def run_cells(tmp_path: Path) -> RunCells:
    """Return a function that runs a list of cell sources in a new kernel and returns the executed notebook.

    `run_cells(cells, *, cwd=tmp_path, env={}, allow_errors=False, load=True, timeout=120)`. With `load`, a first cell
    `%load_ext ckpt_magic` runs, too, and is not part of the returned notebook. Raises nbclient's CellExecutionError.
    """

    def run(
        cells: list[str],
        *,
        cwd: Path = tmp_path,
        env: dict[str, str] | None = None,
        allow_errors: bool = False,
        load: bool = True,
        timeout: int = 120,
    ) -> Any:
        import nbformat
        from nbclient import NotebookClient

        from ckpt_magic.faces.runner import KernelManager

        sources = ["%load_ext ckpt_magic", *cells] if load else cells
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            kernel_manager_class=KernelManager,
            allow_errors=allow_errors,
            resources={"metadata": {"path": str(cwd)}},
        )
        client.execute(env={**os.environ, **(env or {})})
        if load:
            del notebook.cells[0]
        return notebook

    return run


# --- in a fork, or in a new interpreter ---


@dataclass(frozen=True, slots=True)
class Ran:
    """What cells did in another process."""

    cells: list[dict[str, Any]]
    """Per cell `success`, `error` ("Type: message" or None) and `text` (stdout and stderr)."""
    names: dict[str, str]
    """Per name of the notebook a description by value and sharing: equal if the namespaces are equal."""
    fresh: bool
    """A new interpreter ran them, not a fork."""

    @property
    def text(self) -> str:
        """What all cells wrote."""
        return "".join(cell["text"] for cell in self.cells)


RunInFork = Callable[..., Ran]


class _Server:
    """The preloaded process; starts with the first request."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: str) -> str:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(FORKED), "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "OPENBLAS_NUM_THREADS": "1",
                    "MPLBACKEND": "agg",
                },  # no threads: they do not survive a fork
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def stop(self) -> None:
        if self.process is not None:
            self.process.communicate()


@pytest.fixture(scope="session")
def _fork_server() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.stop()


@pytest.fixture
def run_in_fork(_fork_server: _Server, request: pytest.FixtureRequest, tmp_path: Path) -> RunInFork:
    """Return a function that runs cells in a bare shell of another process.

    `run_in_fork(cells, *, cwd=tmp_path, env={}, allow_errors=False)` costs a few hundredths of a second, since numpy,
    pandas and matplotlib are loaded in the parent. One test in ten, always the same ones, gets new interpreters
    instead. `%load_ext ckpt_magic` runs first and is not among the cells returned.
    """
    fresh = hashlib.blake2b(request.node.nodeid.encode(), digest_size=1).digest()[0] < 26

    def run(
        cells: list[str], *, cwd: Path = tmp_path, env: dict[str, str] | None = None, allow_errors: bool = False
    ) -> Ran:
        line = json.dumps({"cells": cells, "cwd": str(cwd), "env": env or {}, "allow_errors": allow_errors})
        if fresh:
            done = subprocess.run(
                [sys.executable, str(FORKED), "once"],
                input=line + "\n",
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "MPLBACKEND": "agg"},
            )
            reply = json.loads(done.stdout or '{"failed": "the interpreter said nothing"}')
        else:
            reply = json.loads(_fork_server.ask(line) or '{"failed": "the server said nothing"}')
        if "failed" in reply:
            raise AssertionError(reply["failed"])
        loaded, *rest = reply["cells"]
        assert loaded["success"], loaded
        ran = Ran(rest, reply["names"], fresh)
        if not allow_errors:
            assert all(cell["success"] for cell in ran.cells), ran.text
        return ran

    return run
