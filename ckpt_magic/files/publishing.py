"""Publishing in the background: drafts are brought to the disk and put in place while other code runs.

A process has one queue, with a thread that lives as long as there is something to publish. Whoever reads a folder
waits for what is on its way there. The interpreter's exit waits for all of it, a signal to terminate puts in place
what is written, and a forked child begins with an empty queue. Knows drafts, not what is in them.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic  # not asked for in its module: a notebook may put a clock of its own there
from types import FrameType
from typing import Any

from ckpt_magic.errors import CheckpointError
from ckpt_magic.files.store import Draft

_BEAT = 1.0  # seconds


class Publishing:
    """A draft on its way; made by `Publisher.submit`.

    Attributes
    ----------
    path, size
        Where it will be, and its bytes.
    is_over
        Whether it is published or was given up.
    error
        Why it was given up.
    is_told
        Whether somebody took care of the error; else the interpreter says it at its exit.
    """

    def __init__(self, draft: Draft, first: Callable[[], None] | None) -> None:
        self.path = draft.path
        self.size = draft.size
        self.is_over = False
        self.error: BaseException | None = None
        self.is_told = False
        self.draft = draft
        self._first = first
        self._may_be_placed = first is None

    def run(self) -> None:
        """Publish it, or note why that cannot be."""
        try:
            if self._first is not None:
                self._first()
                self._may_be_placed = True
            self.draft.publish()
        except BaseException as error:  # noqa: BLE001  # the thread has nobody to raise to: whoever asks is told
            self.draft.discard()
            self.error = error.with_traceback(None)

    def hurry(self) -> None:
        """Put it in place now, if only the disk is waited for."""
        if self._may_be_placed:
            with suppress(CheckpointError):  # `run` meets the same and notes it
                self.draft.hurry()


class Publisher:
    """Publishes drafts in the order in which they come; `publisher` gives that of this process."""

    def __init__(self) -> None:
        self._start_empty()
        atexit.register(self._at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def _start_empty(self) -> None:
        # Its lock can be taken again by the thread that holds it, which a signal may have interrupted there.
        self._changed = threading.Condition()
        self._queue: deque[Publishing] = deque()
        self._failed: list[Publishing] = []
        self._thread: threading.Thread | None = None

    def submit(self, draft: Draft, first: Callable[[], None] | None = None) -> Publishing:
        """Publish a draft in the background.

        Parameters
        ----------
        draft
            Belongs to the queue from here on.
        first
            Called before it is published; if it raises, the draft is given up.
        """
        publishing = Publishing(draft, first)
        with self._changed:
            self._queue.append(publishing)
            self.guard()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ckpt_magic publishing", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there can be no more threads, or the interpreter ends
                    self._work()
        return publishing

    def pending(self, where: Path | None = None) -> list[Publishing]:
        """What is on its way to a folder or to a file; None for everywhere."""
        with self._changed:
            return [one for one in self._queue if where in (None, one.path, one.path.parent)]

    def wait(
        self, where: Path | None = None, *, timeout: float = float("inf"), told: Callable[[], None] = lambda: None
    ) -> bool:
        """Wait until nothing is on its way to a folder or to a file; None for everywhere.

        Parameters
        ----------
        timeout
            Seconds.
        told
            Called after each second of waiting.

        Returns
        -------
        bool
            False if the time was up.
        """
        until = monotonic() + timeout
        while not (over := self._is_over(where, min(_BEAT, until - monotonic()))) and monotonic() < until:
            told()
        return over

    def _is_over(self, where: Path | None, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self.pending(where), max(0.0, seconds))

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._thread = None
                    return
                publishing = self._queue[0]
            publishing.run()
            with self._changed:
                self._queue.popleft()
                publishing.is_over = True
                if publishing.error is not None:
                    self._failed.append(publishing)
                self._changed.notify_all()

    # -- the end of the process -----------------------------------------------------------------------------

    def guard(self) -> None:
        """Let SIGTERM end the process only when what is written is in place; as ever when nothing is on its way.

        Does nothing where the program has a handler of its own, and in other threads than the main one.
        """
        if self._queue:
            self._replace_handler(signal.SIG_DFL, self._terminated)
        else:
            self._replace_handler(self._terminated, signal.SIG_DFL)

    @contextmanager
    def unguarded(self) -> Iterator[None]:
        """Without the handler of `guard`, for those who look at the handlers of the program."""
        self._replace_handler(self._terminated, signal.SIG_DFL)
        try:
            yield
        finally:
            self.guard()

    def _replace_handler(self, old: Any, new: Any) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == old:
            signal.signal(signal.SIGTERM, new)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        """Hurry, since SIGKILL may follow; then end the process as if there had been no handler."""
        try:
            for publishing in self.pending():
                publishing.hurry()
            self._at_exit()
        finally:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _at_exit(self) -> None:
        with suppress(KeyboardInterrupt):  # the second Ctrl-C of somebody who wants out: the earlier file stays
            self.wait()
        for publishing in self._failed:
            if not publishing.is_told and sys.__stderr__ is not None:
                with suppress(OSError, ValueError):
                    sys.__stderr__.write(f"ckpt_magic: not saved: {publishing.error}\n")

    def _in_child(self) -> None:
        """A forked child publishes nothing of its parent and waits for nothing; steps of its own begin anew."""
        inherited = self._queue
        self._start_empty()
        self.guard()
        for publishing in inherited:
            publishing.draft.let_go()


@functools.cache
def publisher() -> Publisher:
    """The queue of this process: its exit and its forks concern all sessions alike."""
    return Publisher()
