"""Notebook code that goes on after its cell: threads, timers, work handed to pools, asyncio tasks.

What goes on is no value: a restore would lack it. Threads that wait for work, and those of IPython, ipykernel,
debuggers and libraries, do not count unless notebook code is on their stack.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ckpt_magic.values.ends import is_notebooks
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owners import is_host, module_name

if TYPE_CHECKING:
    import asyncio


def going_on(namespace: Mapping[str, Any], loop: asyncio.AbstractEventLoop | None = None) -> list[str]:
    """Say what notebook code goes on apart from the code that asks; empty if none does.

    Parameters
    ----------
    namespace
        The globals of the notebook's functions.
    loop
        The event loop that runs the notebook's tasks; by default the running one.
    """
    return list(dict.fromkeys([*_threads(namespace), *_tasks(namespace, loop or _running_loop())]))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs this thread; where nobody has imported asyncio, none does."""
    find = getattr(sys.modules.get("asyncio"), "_get_running_loop", lambda: None)
    found: asyncio.AbstractEventLoop | None = find()
    return found


# --- threads ---


def _threads(namespace: Mapping[str, Any]) -> Iterator[str]:
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    if not others:
        return
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)  # of this very code: it would hold itself, and all that called it
    for thread in others:
        frame = frames.get(thread.ident or 0)
        if thread is threading.main_thread() and not _runs_notebook_code(frame, namespace):
            continue
        if _runs_notebook_code(frame, namespace) or _is_busy(thread, frame) or _is_notebooks(thread, namespace):
            yield f"running thread `{thread.name}`"


def _runs_notebook_code(frame: types.FrameType | None, namespace: Mapping[str, Any]) -> bool:
    while frame is not None:
        if frame.f_globals is namespace:
            return True
        frame = frame.f_back
    return False


def _is_busy(thread: threading.Thread, frame: types.FrameType | None) -> bool:
    """Whether a thread of a pool works on something, or waits for a process that does."""
    if getattr(thread, "pending_work_items", None):  # the manager of a ProcessPoolExecutor
        return not str(type(thread).__module__).startswith("joblib")
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run" and code.co_filename.endswith(_WORK_ITEM):
            return not thread.name.startswith("asyncio_")  # `run_in_executor` of whatever library
        frame = frame.f_back
    return False


_WORK_ITEM = ("concurrent/futures/thread.py", "concurrent\\futures\\thread.py")


def _is_notebooks(thread: threading.Thread, namespace: Mapping[str, Any]) -> bool:
    """Whether the notebook gave a thread its work, or knows the thread or what it works on by a name."""
    kind = type(thread)
    if kind.__module__ == namespace.get("__name__"):
        return True
    if kind not in (threading.Thread, threading.Timer):
        return False
    work = [getattr(thread, name, None) for name in ("_target", "function")]
    given = [*work, *(getattr(thread, "_args", None) or ()), *(getattr(thread, "args", None) or ())]
    if any(is_notebooks(one, namespace) for one in given):
        return True
    owners = [getattr(one, "__self__", None) for one in work]
    if any(is_host(module_name(one)) for one in owners):  # what reads the stream that `out = sys.stdout` is a name for
        return False
    known = {identity(value) for value in list(namespace.values())}
    return any(
        identity(one) in known for one in (thread, *owners) if one is not None and type(one) is not types.ModuleType
    )


# --- asyncio ---


def _tasks(namespace: Mapping[str, Any], loop: asyncio.AbstractEventLoop | None) -> Iterator[str]:
    if loop is None:
        return
    import asyncio  # here, for scripts that have no loop: it takes longer than all of ours

    current = asyncio.current_task(loop) if loop.is_running() else None
    known = {identity(value) for value in list(namespace.values())}
    for task in asyncio.all_tasks(loop):
        if task is not current and (identity(task) in known or _awaits(task.get_coro(), namespace)):
            yield f"running task `{task.get_name()}`"
    for handle in [*getattr(loop, "_scheduled", ()), *getattr(loop, "_ready", ())]:
        if not handle.cancelled() and is_notebooks(getattr(handle, "_callback", None), namespace):
            yield "running timer of the event loop"


def _awaits(coroutine: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether notebook code is in a coroutine or in what it waits for."""
    for _ in range(100):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            return False
        if frame.f_globals is namespace:
            return True
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return False
