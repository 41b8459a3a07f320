"""Notebook code that goes on after its cell."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ckpt_magic.steps.activity import going_on


@pytest.fixture
def notebook() -> Iterator[dict[str, Any]]:
    """Globals of a notebook; what waits for `stop` ends with the test."""
    names: dict[str, Any] = {"__name__": "__main__", "stop": threading.Event(), "threading": threading, "time": time}
    yield names
    names["stop"].set()
    for thread in threading.enumerate():
        if thread.name.startswith("of the notebook"):
            thread.join()


def test_a_quiet_process_runs_nothing(notebook: dict[str, Any]) -> None:
    assert going_on(notebook) == []


@pytest.mark.parametrize(
    "work",
    [
        "target = lambda: stop.wait(9)",
        "import functools\ntarget = functools.partial(lambda it: stop.wait(it), 9)",
        "class A:\n    def go(self): stop.wait(9)\ntarget = A().go",
        "class A:\n    def __call__(self): stop.wait(9)\ntarget = A()",
        "target = stop.wait",
    ],
)
def test_a_thread_that_has_its_work_from_the_notebook_goes_on(notebook: dict[str, Any], work: str) -> None:
    exec(work, notebook)
    threading.Thread(target=notebook["target"], name="of the notebook", daemon=True).start()
    assert going_on(notebook) == ["running thread `of the notebook`"]


def test_a_subclass_and_a_timer_go_on(notebook: dict[str, Any]) -> None:
    exec(
        "class T(threading.Thread):\n    def run(self): stop.wait(9)\n"
        "t = T(name='of the notebook 1', daemon=True); t.start()\n"
        "u = threading.Timer(9, lambda: 0); u.daemon = True; u.name = 'of the notebook 2'; u.start()",
        notebook,
    )
    assert len(going_on(notebook)) == 2
    notebook["u"].cancel()


def test_a_name_for_what_the_host_reads_in_a_thread_does_not_count(notebook: dict[str, Any]) -> None:
    """`out = sys.stdout`: in a kernel a thread of that stream reads what other programs write."""

    class Stream:
        __module__ = "ipykernel.iostream"

        def watch(self) -> None:
            notebook["stop"].wait(9)

    notebook["out"] = Stream()
    threading.Thread(target=notebook["out"].watch, name="of the notebook", daemon=True).start()
    assert going_on(notebook) == []


def test_a_thread_of_a_library_does_not_count(notebook: dict[str, Any]) -> None:
    threading.Thread(
        target=functools.partial(notebook["stop"].wait, 9), name="of the notebook: not", daemon=True
    ).start()
    names = {"__name__": "__main__"}
    assert going_on(names) == []


def test_a_pool_counts_while_it_works(notebook: dict[str, Any]) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(int).result()
        time.sleep(0.05)
        assert going_on(notebook) == []
        pool.submit(notebook["stop"].wait, 9)
        time.sleep(0.05)
        assert going_on(notebook) == ["running thread `pool_0`"]
        notebook["stop"].set()


def test_tasks_and_timers_of_the_event_loop_go_on(notebook: dict[str, Any]) -> None:
    exec("import asyncio\nasync def tick():\n    await asyncio.sleep(9)\ndef later(): pass", notebook)

    async def cell() -> list[str]:
        own = asyncio.create_task(asyncio.sleep(9))  # of a library
        first = going_on(notebook)
        task = asyncio.create_task(asyncio.wait_for(notebook["tick"](), 9), name="ticker")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        handle = asyncio.get_running_loop().call_later(9, notebook["later"])
        found = [*first, *going_on(notebook)]
        handle.cancel()
        task.cancel()
        own.cancel()
        return found

    found = asyncio.run(cell())
    assert "running timer of the event loop" in found
    assert any(one.startswith("running task `") for one in found)
