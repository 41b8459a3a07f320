"""Run a notebook without a page: `ckpt-magic run`. The only user of nbclient.

The executed notebook is written after every cell, so that a run that is killed leaves what it had. Options are handed
to the kernel at its start in a file that only this user can read, together with the sources of all cells.
"""

from __future__ import annotations

import ast
import asyncio
import json
import keyword
import math
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, TextIO

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import Type

from ckpt_magic.errors import StepNotFoundError, StoreError, UsageError
from ckpt_magic.faces.progress import progress_in
from ckpt_magic.faces.status import duration
from ckpt_magic.faces.verbs import notebook_text
from ckpt_magic.files.store import check_name
from ckpt_magic.steps.outputs import PRIVATE, fold, is_banner
from ckpt_magic.steps.registry import parse_start
from ckpt_magic.steps.stored import printable

_STEP = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%%step[ \t]+(\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DYING_SECONDS = 5
_TRIES = 50  # a tenth of a second apart
_UNSAVED = "__import__('sys').modules['ckpt_magic.faces.magics'].unsaved(get_ipython())"  # an error if it is not loaded
# jupyter_client begins a shutdown with an interrupt, which would hit the end of the message that asked
_DEAF = "__import__('signal').signal(2, __import__('signal').SIG_IGN)"
_LOOKING_SECONDS = 1  # between two looks at a socket that has said nothing
_IDLE_SECONDS = 600  # a kernel that printed much needs a while until its last message is here


@dataclass(frozen=True, slots=True)
class Options:
    """What `ckpt-magic run` was asked for; None where nothing was said.

    `until` is the last step that is executed, `instead` code that is executed in its place.
    """

    start_from: str | None = None
    name: str | None = None
    version: str | None = None
    folder: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    until: int | None = None
    instead: str | None = None


def run(notebook: Path, output: Path, options: Options, *, stream: TextIO | None = None) -> int:
    """Execute a notebook and write it, with its outputs, to another file.

    Parameters
    ----------
    notebook
        The notebook. The kernel's working directory is its folder.
    output
        Where the executed notebook goes; the notebook's own path to change it in place.
    options
        Start point, pipeline, parameters.
    stream
        Where progress and errors go; by default stderr.

    Returns
    -------
    int
        0; 1 if a cell failed, a checkpoint was not saved or the kernel died; 128 plus the number of the signal that
        ended the run.

    Raises
    ------
    UsageError
        An option is wrong, or this is no notebook.
    StoreError
        The executed notebook cannot be written.
    """
    if options.start_from is not None:
        parse_start(options.start_from)
    for option in ("name", "version"):
        if getattr(options, option) is not None:
            check_name(getattr(options, option), option)
    document = _read(notebook)
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name the file to write")
    if options.until is not None:
        document.cells = _until(document, options.until, notebook)
    if options.parameters:
        inject(document, options.parameters)
    sources = [cell.source for cell in document.cells if cell.cell_type == "code"]
    if options.instead is not None:
        document.cells[-1].source = options.instead
    for cell in document.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    progress = _Progress(stream or sys.stderr, _code_cells(document))
    with _handed_over(sources, notebook, options) as handed, progress:
        client = _Client(document, notebook, output, progress, handed)
        return client.run()


class _Channel(AsyncZMQSocketChannel):
    """A socket that is looked at from time to time, however long a message of it is waited for.

    nbclient answers the widgets of a cell on the socket on which it waits for the end of that cell, and pyzmq does not
    always wake who waits while something is sent. On a busy machine a cell with `widgets.interact` then never ended.
    """

    async def get_msg(  # type: ignore[override]  # as in the class above, whose parent is not asynchronous
        self, timeout: float | None = None
    ) -> dict[str, Any]:
        """Get a message; `queue.Empty` if there is none within so many seconds."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while (left := end - time.monotonic()) > _LOOKING_SECONDS:
            with suppress(Empty):
                return await super().get_msg(_LOOKING_SECONDS)
        return await super().get_msg(max(left, 0))


class _KernelClient(AsyncKernelClient):
    shell_channel_class = Type(_Channel)


class KernelManager(AsyncKernelManager):
    """A manager of kernels for nbclient that misses no reply."""

    client_factory = Type(_KernelClient)


class _Client(NotebookClient):
    """Runs the cells, tells about each, and writes the notebook after each."""

    def __init__(self, document: NotebookNode, notebook: Path, output: Path, progress: _Progress, handed: str) -> None:
        super().__init__(
            document,
            kernel_name=_kernel(document, progress),
            resources={"metadata": {"path": str(notebook.absolute().parent)}},
            # Arguments, since no child process of the kernel inherits them. Warnings of the kernel's own log are
            # about its sockets, which jupyter_client chose; warnings of the notebook's code are not among them.
            extra_arguments=[f"--CkptMagics.handed_over={handed}", "--IPKernelApp.log_level=ERROR"],
            kernel_manager_class=KernelManager,
            timeout=None,
            iopub_timeout=_IDLE_SECONDS,
            record_timing=False,
            on_notebook_start=self._take_signals,
        )
        self._output = output
        self._progress = progress
        self._signal: int | None = None
        self._unsaved: list[str] = []

    def run(self) -> int:
        """Run all; return the exit status."""
        try:
            asyncio.run(self.async_execute())
        except CellExecutionError as error:
            self._progress.failed(f"{error.ename}: {error.evalue}".split("\n", 1)[0], self._traceback())
            return 1
        except (Exception, asyncio.CancelledError) as error:  # what nbclient raises when its kernel goes away varies
            if self._signal is not None:
                self._progress.failed("interrupted", "")
                return 128 + self._signal
            if not isinstance(error, DeadKernelError | CellTimeoutError | RuntimeError):
                raise
            self._progress.failed(str(error) or type(error).__name__, "")
            return 1
        finally:
            self.set_widgets_metadata()
            write(self.nb, self._output)
        self._progress.done(self._output)
        return 1 if self._unsaved else 0

    @asynccontextmanager
    async def async_setup_kernel(self, **options: Any) -> AsyncGenerator[None, None]:
        """Start the kernel; before it is shut down, which it survives for some seconds only, all is published."""
        async with super().async_setup_kernel(**options):
            try:
                yield
            finally:
                with suppress(DeadKernelError, RuntimeError, TimeoutError):  # gone already, or it will be killed
                    await (self._publish() if self._signal is None else self._terminate())

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take a message of the kernel; what it says of progress is shown here too."""
        if text := progress_in(msg):
            self._progress.goes_on(text)
        return super().process_message(msg, cell, cell_index)

    async def _publish(self) -> None:
        """Wait until all checkpoints are published; tell what could not be saved."""
        if self.kc is None:
            return
        self._progress.publishes()
        content: Mapping[str, Any] = {"status": "aborted"}
        for _ in range(_TRIES):  # a kernel that has just failed a cell aborts what reaches it before its queue is empty
            reply = await self.async_wait_for_reply(
                self.kc.execute("", silent=True, user_expressions={"unsaved": _UNSAVED, "deaf": _DEAF})
            )
            content = (reply or {"content": {}})["content"]
            if content.get("status") != "aborted":
                break
            await asyncio.sleep(0.1)
        answer = content.get("user_expressions", {}).get("unsaved", {})
        if answer.get("status") == "ok":
            self._unsaved = list(ast.literal_eval(answer["data"]["text/plain"]))
        for text in self._unsaved:
            self._progress.say(text)

    async def _terminate(self) -> None:
        """Let the kernel put in place what it has written, before it is killed."""
        if self.km is not None and self.km.provisioner is not None:
            await self.km.provisioner.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.km.provisioner.wait(), _DYING_SECONDS)

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, execution_count: int | None = None, store_history: bool = True
    ) -> NotebookNode:
        """Execute one cell."""
        if cell.cell_type != "code" or not cell.source.strip():
            return await super().async_execute_cell(cell, cell_index, execution_count, store_history)
        self._progress.begins(cell)
        try:
            executed = await super().async_execute_cell(cell, cell_index, execution_count, store_history)
        finally:
            write(self.nb, self._output)
        self._progress.ended(executed)
        return executed

    def _traceback(self) -> str:
        """The traceback of the failing cell as the notebook shows it; usage errors have none."""
        outputs = [output for cell in self.nb.cells for output in cell.get("outputs", [])]
        return next(("\n".join(one["traceback"]) for one in outputs[::-1] if one["output_type"] == "error"), "")

    def _take_signals(self, **_: Any) -> None:
        """Replace nbclient's handlers, which shut the kernel down and leave the run waiting for it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            self._signal = number
            self.shutdown_kernel = "immediate"
            if task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
                loop.add_signal_handler(number, stop, number)


# -- progress -------------------------------------------------------------------------------------------------------


class _Progress:
    """Lines about the cells: in a terminal with a live last line, else plain."""

    def __init__(self, stream: TextIO, cells: Sequence[NotebookNode]) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(
            file=stream, soft_wrap=True, highlight=False, markup=False, emoji=False, force_jupyter=False
        )
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._live = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task: Any = None
        self._labels = {id(cell): _label(cell, index, len(cells)) for index, cell in enumerate(cells, 1)}
        self._label = "the notebook"
        self._began = time.monotonic()
        self._all_began = self._began

    def __enter__(self) -> _Progress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begins(self, cell: NotebookNode) -> None:
        self._label, self._began = self._labels[id(cell)], time.monotonic()
        if self._console.is_terminal:
            self._task = self._live.add_task(f"{self._label} · running", total=None)
        elif " · step " in self._label:  # in a log: what was running when the run was killed
            self.say(f"{self._label} · running")

    def ended(self, cell: NotebookNode) -> None:
        self._stop_task()
        self.say(f"{self._label} · {_how(cell)} · {duration(time.monotonic() - self._began)}")

    def goes_on(self, text: str) -> None:
        if self._task is not None:
            self._live.update(self._task, description=printable(f"{self._label} · {text}"))

    def publishes(self) -> None:
        self._stop_task()
        if self._console.is_terminal:
            self._task = self._live.add_task("waiting until all checkpoints are on the disk", total=None)

    def failed(self, what: str, traceback: str) -> None:
        self._stop_task()
        text = f"{self._label} · failed after {duration(time.monotonic() - self._began)} · {what}"
        self.say(text)
        if traceback:
            with suppress(OSError):
                self._console.file.write(traceback if self._console.is_terminal else _COLOURS.sub("", traceback))
                self._console.file.write("\n")

    def done(self, output: Path) -> None:
        self.say(f"wrote {output} · {duration(time.monotonic() - self._all_began)}")

    def say(self, text: str) -> None:
        # a terminal that is gone, a log on a full disk, a pipe that nobody reads, at which rich exits: the run goes on
        with suppress(OSError, SystemExit):
            self._console.print(printable(text))

    def _stop_task(self) -> None:
        if self._task is not None:
            self._live.remove_task(self._task)
            self._task = None


def _code_cells(document: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in document.cells if cell.cell_type == "code" and cell.source.strip()]


def _until(document: NotebookNode, step: int, notebook: Path) -> list[NotebookNode]:
    """The cells up to the last one of a step."""
    for index in reversed(range(len(document.cells))):
        match = _STEP.match(document.cells[index].source)
        if match and int(match[1]) == step and document.cells[index].cell_type == "code":
            return list(document.cells[: index + 1])
    raise StepNotFoundError(f"{notebook}: no cell begins with `%%step {step}`")


def _label(cell: NotebookNode, index: int, count: int) -> str:
    match = _STEP.match(cell.source)
    return f"cell {index} of {count}" + (f" · step {match[1]}" if match else "")


def _how(cell: NotebookNode) -> str:
    """Whether a step ran or was restored, by its banner."""
    for output in cell.outputs:
        if is_banner(output.get("metadata")):
            action = output["metadata"][PRIVATE]["action"]
            return f"ran, {action}" if action != "restored" else "restored"
    return "ran"


# -- the notebook as a file -----------------------------------------------------------------------------------------


def _read(path: Path) -> NotebookNode:
    text = notebook_text(path)
    try:
        document: NotebookNode = nbformat.reads(text, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, LookupError, AttributeError, TypeError) as error:
        raise UsageError(f"{path} is not a notebook: {str(error).splitlines()[0][:200]}") from None
    except RecursionError:
        raise UsageError(f"{path} is not a notebook: it is nested too deep") from None
    return document


def write(document: NotebookNode, path: Path) -> None:
    """Write a notebook in place of an earlier file, at once or not at all.

    What cells printed is merged in what is written only: nbclient finds displays by their positions.
    """
    merged = NotebookNode({**document, "cells": [_merged(cell) for cell in document.cells]})
    text = nbformat.writes(merged)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def _merged(cell: NotebookNode) -> NotebookNode:
    if cell.cell_type != "code":
        return cell
    return NotebookNode({**cell, "outputs": merge_streams(cell.outputs)})


def merge_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Merge neighbouring streams of one name and drop what carriage returns overwrite; linear in their length.

    Not nbclient's `coalesce_streams`: it is quadratic in the length of a line, and merges streams that are no
    neighbours.
    """
    merged: list[NotebookNode] = []
    texts: list[str] = []
    for output in outputs:
        stream = output["output_type"] == "stream"
        if not (stream and merged and merged[-1]["output_type"] == "stream" and merged[-1]["name"] == output["name"]):
            _close(merged, texts)
            merged.append(NotebookNode(output) if stream else output)
            texts = []
        if stream:
            texts.append(output["text"])
    _close(merged, texts)
    return merged


def _close(merged: list[NotebookNode], texts: Sequence[str]) -> None:
    if texts:
        merged[-1]["text"] = fold("".join(texts))


# -- what the kernel gets -------------------------------------------------------------------------------------------


def inject(document: NotebookNode, parameters: Mapping[str, str]) -> None:
    """Put a cell that sets parameters after the one tagged `parameters`, else on top; an earlier such cell goes.

    Values are Python literals where they look like one, else text.
    """
    lines = []
    for name, text in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"-p {name}: not the name of a variable")
        lines.append(f"{name} = {_literal(text)}")
    cell = nbformat.v4.new_code_cell("\n".join(["# Parameters", *lines]), metadata={"tags": ["injected-parameters"]})
    if (document.nbformat, document.nbformat_minor) < (4, 5):
        del cell["id"]  # which older notebooks may not have
    cells = [one for one in document.cells if "injected-parameters" not in one.metadata.get("tags", [])]
    tagged = (index for index, one in enumerate(cells, 1) if "parameters" in one.metadata.get("tags", []))
    cells.insert(next(tagged, 0), cell)
    document.cells = cells


def _literal(text: str) -> str:
    """Python source for a value as it was typed in a shell."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return repr(text)
    return text.strip()


@contextmanager
def _handed_over(sources: Sequence[str], notebook: Path, options: Options) -> Iterator[str]:
    """A file for the kernel, which nobody else can read."""
    content = {
        "start_from": options.start_from,
        "name": options.name,
        "version": options.version,
        "folder": options.folder,
        "notebook": str(notebook.absolute()),
        "sources": list(sources),
    }
    descriptor, path = tempfile.mkstemp(prefix="ckpt-magic-", suffix=".json")  # 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _kernel(document: NotebookNode, progress: _Progress) -> str:
    """Name of the kernel: the notebook's, or this Python's if that one is not installed here."""
    specification = document.metadata.get("kernelspec", {})
    name = str(specification.get("name") or "python3")
    try:
        KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        language = specification.get("language") or document.metadata.get("language_info", {}).get("name") or "python"
        if language != "python":
            raise UsageError(f"the kernel {name!r} ({language}) is not installed here") from None
        if name != "python3":
            progress.say(f"the kernel {name!r} is not installed here; using that of {sys.executable}")
        return "python3"  # which jupyter_client makes up from this interpreter where it is not installed
    return name
