"""Record what a cell shows, and show it again.

In a kernel the recorder listens to the messages that leave the process, so that threads, subprocesses and forked
children are seen. Elsewhere (terminal, bare shell, inside `%%capture`) it listens to the two streams, the display
publisher and the displayhook. Nothing stays patched after `stop()`. With `hooks` the only user of IPython and
ipykernel internals; decides nothing.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic, sleep  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any, Protocol

from ckpt_magic.steps.outputs import DEFAULT_CAP, OutputList, json_clean, split

_REDUCE_FROM = 4 * 1024 * 1024
_MISSING = object()


class Recorder(Protocol):
    """Listens from its construction until `stop()`."""

    outputs: OutputList

    @property
    def has_result(self) -> bool:
        """Whether the displayhook got a value."""

    @property
    def result(self) -> Any:
        """The last value that the displayhook got."""

    def stop(self) -> None:
        """End the recording; what the cell printed until now is in `outputs` afterwards. Harmless when repeated."""


def record(shell: Any, cap: int = DEFAULT_CAP) -> Recorder:
    """Start to record what the running cell of `shell` shows.

    Parameters
    ----------
    shell
        The IPython shell, while it runs a cell.
    cap
        Bytes that may be held.
    """
    thread = getattr(getattr(getattr(shell, "display_pub", None), "pub_socket", None), "io_thread", None)
    if thread is not None and hasattr(shell, "get_parent"):
        msg_id = shell.get_parent().get("header", {}).get("msg_id")
        if msg_id:
            return KernelRecorder(shell, thread, msg_id, cap)
    return ShellRecorder(shell, cap)


class Patches:
    """Attributes of instances and entries of tables, set for a while; undone only where nobody patched over ours."""

    def __init__(self) -> None:
        self._set: list[tuple[Any, str, Any, Any]] = []
        self._entries: list[tuple[dict[str, Any], str, Any, Any]] = []

    def set(self, target: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(target, name, None)
        if original is None:
            return
        own = vars(target).get(name, _MISSING)
        replacement = make(original)
        setattr(target, name, replacement)
        self._set.append((target, name, replacement, own))

    def set_entry(self, table: dict[str, Any], key: str, make: Callable[[Any], Any]) -> None:
        if key not in table:
            return
        original = table[key]
        table[key] = replacement = make(original)
        self._entries.append((table, key, replacement, original))

    def undo(self) -> None:
        while self._entries:
            table, key, replacement, original = self._entries.pop()
            if table.get(key) is replacement:
                table[key] = original
        while self._set:
            target, name, replacement, own = self._set.pop()
            if vars(target).get(name) is not replacement:
                continue  # a later patch calls ours, which then only forwards
            if own is _MISSING:
                delattr(target, name)
            else:
                setattr(target, name, own)


class _ResultWatch:
    """Notes the last value that the displayhook put into `Out`.

    `ExecutionResult.result` is no source for it: a nested `run_cell` takes the outer cell's away.
    """

    def __init__(self, shell: Any, patches: Patches) -> None:
        self.has_result = False
        self.result: Any = None
        self._thread = threading.get_ident()
        self.on = True
        patches.set(shell.displayhook, "update_user_ns", self._watch)

    def _watch(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        def update_user_ns(result: Any) -> None:
            # a subshell of ipykernel shares the displayhook, from a thread of its own
            if self.on and threading.get_ident() == self._thread:
                self.has_result, self.result = True, result
            original(result)

        return update_user_ns


class _WithResult:
    """The last value of a recorder that has a watch on it."""

    _watch: _ResultWatch

    @property
    def has_result(self) -> bool:
        return self._watch.has_result

    @property
    def result(self) -> Any:
        return self._watch.result


class KernelRecorder(_WithResult):
    """Keeps the messages on IOPub that belong to one request."""

    def __init__(self, shell: Any, thread: Any, msg_id: str, cap: int) -> None:
        self.outputs = OutputList(cap)
        self._shell = shell
        self._session = shell.display_pub.session
        self._msg_id = msg_id
        self._needle = msg_id.encode()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._frames: list[list[Any]] = []
        self._bytes = 0
        self._captured: set[str] = set()  # comm ids of Output widgets that hold this cell's output now
        self._on = True
        self._streams = [sys.stdout, sys.stderr]
        _flush(self._streams)  # what came before is not part of the step
        self._patches = Patches()
        self._watch = _ResultWatch(shell, self._patches)
        self._patches.set(thread, "send_multipart", self._listen)

    def stop(self) -> None:
        if not self._on:
            return
        _drain(self._streams)
        _flush([*self._streams, sys.stdout, sys.stderr])
        self._on = self._watch.on = False
        self._patches.undo()
        with self._lock:
            self._reduce()

    def _listen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def send_multipart(frames: Any, *args: Any, **kwargs: Any) -> Any:
            if self._on and os.getpid() == self._pid:
                try:
                    self._keep(frames)
                except Exception as error:  # noqa: BLE001  (whatever a message looks like, it must be sent)
                    sys.__stderr__ and sys.__stderr__.write(f"ckpt_magic: an output was not recorded: {error!r}\n")
            return original(frames, *args, **kwargs)

        return send_multipart

    def _keep(self, frames: Any) -> None:
        frames = list(frames)
        _, parts = self._session.feed_identities(frames, copy=True)
        # parts: signature, header, parent header, metadata, content, buffers …
        if self._needle not in bytes(parts[2]):
            return
        with self._lock:
            self._frames.append(parts[1:5])
            self._bytes += len(parts[4])
            if self._bytes > _REDUCE_FROM:
                self._reduce()

    def _reduce(self) -> None:
        frames, self._frames, self._bytes = self._frames, [], 0
        for header, _, _, content in frames:
            msg_type = self._session.unpack(header)["msg_type"]
            if msg_type in ("comm_open", "comm_msg", "comm_close"):
                self._comm(msg_type, self._session.unpack(content))
            elif not self._captured and msg_type not in ("status", "execute_input"):
                self.outputs.add(msg_type, self._session.unpack(content))

    def _comm(self, msg_type: str, content: Mapping[str, Any]) -> None:
        """Follow `ipywidgets.Output`: between its `msg_id` set and reset the front end gives all output to it."""
        comm = str(content.get("comm_id"))
        state = (content.get("data") or {}).get("state") or {}
        if msg_type == "comm_close" or ("msg_id" in state and state["msg_id"] != self._msg_id):
            self._captured.discard(comm)
        elif state.get("msg_id") == self._msg_id:
            self._captured.add(comm)


class ShellRecorder(_WithResult):
    """Keeps what goes through the streams, the display publisher and the displayhook of a shell without a kernel."""

    def __init__(self, shell: Any, cap: int) -> None:
        self.outputs = OutputList(cap)
        self._shell = shell
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._muted = threading.local()
        self._on = True
        self._patches = Patches()
        self._watch = _ResultWatch(shell, self._patches)
        hook, pub = shell.displayhook, shell.display_pub
        for name in ("write_output_prompt", "finish_displayhook"):
            self._patches.set(hook, name, self._silently)
        self._patches.set(hook, "write_format_data", self._results)
        self._patches.set(pub, "publish", self._displays)
        self._patches.set(pub, "clear_output", self._clears)
        self._hook = sys.displayhook
        self._capturing_hook = _CapturedResults(self, sys.displayhook) if sys.displayhook is not hook else None
        if self._capturing_hook is not None:  # %%capture: a hook of its own class, called by its type's __call__
            sys.displayhook = self._capturing_hook
        self._tees = {name: Tee(getattr(sys, name), name, self._write) for name in ("stdout", "stderr")}
        for name, tee in self._tees.items():
            setattr(sys, name, tee)

    def stop(self) -> None:
        if not self._on:
            return
        self._on = self._watch.on = False
        for name, tee in self._tees.items():
            tee.on = None
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.stream)
        if self._capturing_hook is not None and sys.displayhook is self._capturing_hook:
            sys.displayhook = self._hook
        self._patches.undo()

    def add(self, msg_type: str, content: Mapping[str, Any]) -> None:
        if self._on and os.getpid() == self._pid:
            with self._lock:
                self.outputs.add(msg_type, content)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """While IPython writes as text what is recorded as a result or a display."""
        self._muted.depth = getattr(self._muted, "depth", 0) + 1
        try:
            yield
        finally:
            self._muted.depth -= 1

    def _write(self, name: str, text: str) -> None:
        if not getattr(self._muted, "depth", 0):
            self.add("stream", {"name": name, "text": text})

    def _silently(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.muted():
                return original(*args, **kwargs)

        return call

    def _results(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write_format_data(format_dict: Any, md_dict: Any = None, *args: Any, **kwargs: Any) -> Any:
            self.add("execute_result", {"data": json_clean(format_dict), "metadata": json_clean(md_dict or {})})
            with self.muted():
                return original(format_dict, md_dict, *args, **kwargs)

        return write_format_data

    def _displays(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def publish(*args: Any, **kwargs: Any) -> Any:
            data = kwargs.get("data", args[0] if args else {})
            metadata = kwargs.get("metadata", args[1] if len(args) > 1 else None)
            self.add(
                "update_display_data" if kwargs.get("update") else "display_data",
                {
                    "data": json_clean(data),
                    "metadata": json_clean(metadata or {}),
                    "transient": json_clean(kwargs.get("transient") or {}),
                },
            )
            with self.muted():
                return original(*args, **kwargs)

        return publish

    def _clears(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clear_output(wait: bool = False, *args: Any, **kwargs: Any) -> Any:
            self.add("clear_output", {"wait": wait})
            with self.muted():
                return original(wait, *args, **kwargs)

        return clear_output


class _CapturedResults:
    """Stands before the displayhook of `%%capture` and notes what that captured."""

    def __init__(self, recorder: ShellRecorder, hook: Any) -> None:
        self._recorder = recorder
        self._hook = hook

    def __call__(self, value: Any = None) -> None:
        before = len(getattr(self._hook, "outputs", ()))
        self._hook(value)
        for bundle in list(getattr(self._hook, "outputs", ()))[before:]:
            if isinstance(bundle, Mapping):
                content = {"data": json_clean(bundle["data"]), "metadata": json_clean(bundle.get("metadata") or {})}
                self._recorder.add("execute_result", content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)


class Tee(io.TextIOBase):
    """Stands for a stream while a step runs: forwards all, tells the recorder what was written.

    A handler made in the cell (logging, rich) may hold on to it; after the step it only forwards. It is saved as the
    stream of the process that it stood for.
    """

    def __init__(self, stream: Any, label: str, on: Callable[[str, str], None]) -> None:
        self.stream = stream
        self.on: Callable[[str, str], None] | None = on
        self._label = label

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (sys, self._label)

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        if self.on is not None and text:
            self.on(self._label, text)
        return written if isinstance(written, int) else len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return int(self.stream.fileno())

    def isatty(self) -> bool:
        return bool(self.stream.isatty())

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the real stream open: the interpreter closes this object when it is collected."""

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return self.stream.encoding

    @property
    def errors(self) -> Any:  # type: ignore[override]
        return self.stream.errors

    @property
    def newlines(self) -> Any:  # type: ignore[override]
        return self.stream.newlines

    @property
    def closed(self) -> bool:
        return bool(self.stream.closed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def replace_results(shell: Any, replaced: Iterable[tuple[Any, Any]]) -> None:
    """Put values in the place of earlier results: in a full run they are the same objects, and a step changed them."""
    history, hook = shell.user_ns.get("_oh", {}), shell.displayhook
    for old, new in replaced:
        numbers = [number for number, one in history.items() if one is old]
        history.update(dict.fromkeys(numbers, new))
        last = [name for name in ("_", "__", "___") if getattr(hook, name, None) is old]
        vars(hook).update(dict.fromkeys(last, new))
        names = [name for name in (*last, *map("_{}".format, numbers)) if shell.user_ns.get(name) is old]
        shell.push(dict.fromkeys(names, new), interactive=False)  # as IPython does: else they count as the user's own


def replay(shell: Any, outputs: Iterable[Mapping[str, Any]], *, has_result: bool = False, result: Any = None) -> None:
    """Show stored outputs again, as the running cell's own.

    Parameters
    ----------
    shell
        The IPython shell, while it runs a cell.
    outputs
        What `OutputList.result()` gave.
    has_result, result
        The value of the last expression, if there was one: goes to `Out`, `_` and the execution's result. A name
        `_` that the user bound is left alone, as IPython does.
    """
    parts = [split(output) for output in outputs]
    results = [index for index, (output, _, _) in enumerate(parts) if output["output_type"] == "execute_result"]
    for index, (output, display_id, update) in enumerate(parts):
        kind = output["output_type"]
        if kind == "stream":
            stream = sys.stderr if output["name"] == "stderr" else sys.stdout
            stream.write(_text(output["text"]))
            stream.flush()
        elif kind == "display_data":
            transient = {} if display_id is None else {"display_id": display_id}
            shell.display_pub.publish(output["data"], output["metadata"], transient=transient, update=update)
        elif kind == "execute_result":
            last = has_result and index == results[-1]
            _replay_result(shell, output["data"], output["metadata"], [result] if last else [])
        elif kind == "error":
            _replay_error(shell, output)
    if has_result and not results:  # cut off or cleared: `Out` and `_` have it all the same
        _set_result(shell, result)


def _replay_result(shell: Any, data: dict[str, Any], metadata: dict[str, Any], values: list[Any]) -> None:
    hook = shell.displayhook
    captured = getattr(sys.displayhook, "outputs", None)
    if sys.displayhook is not hook and isinstance(captured, list):  # inside %%capture
        captured.append({"data": data, "metadata": metadata})
        return
    hook.start_displayhook()
    hook.write_output_prompt()
    for value in values:
        _set_result(shell, value)
    hook.write_format_data(data, metadata)
    with suppress(Exception):  # the history's note of it; its form differs between versions of IPython
        hook.log_output(data)
    hook.finish_displayhook()


def _set_result(shell: Any, value: Any) -> None:
    shell.displayhook.check_for_underscore()
    shell.displayhook.update_user_ns(value)
    shell.displayhook.fill_exec_result(value)


def _replay_error(shell: Any, output: Mapping[str, Any]) -> None:
    """Show the error of a nested cell that the step survived."""
    kind = type(str(output["ename"]), (Exception,), {})
    shell._showtraceback(kind, output["evalue"], list(output["traceback"]))


def _text(text: Any) -> str:
    return text if isinstance(text, str) else "".join(text)


def _flush(streams: Iterable[Any]) -> None:
    for stream in streams:
        with suppress(Exception):  # a stream that the user put there; not our business
            stream.flush()


def _drain(streams: Iterable[Any]) -> None:
    """Let ipykernel read what subprocesses wrote to file descriptors 1 and 2; a thread of its own does that."""
    deadline = monotonic() + 0.2
    for stream in streams:
        pipe = getattr(stream, "_fid", None)
        if not isinstance(pipe, int):
            continue
        with suppress(OSError, ValueError):
            while select.select([pipe], [], [], 0)[0] and monotonic() < deadline:
                sleep(0.001)
    sleep(0.0005)  # between its read and its write to the stream
