"""Comparing restored files with their digests in the background.

A restore maps the payloads without reading them. Here they are read once, by other means than the map, so that no page
of it comes in, and at a low priority. Whoever needs the answer waits for it, and makes it come first.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ckpt_magic.errors import CheckpointError
from ckpt_magic.files.format import StoredStep
from ckpt_magic.files.maps import Map

_BEAT = 1.0  # seconds
_HEAD_START = 0.5  # seconds: what follows a restore is not disturbed at once


class Comparison:
    """One file that is compared; made by `Comparer.submit`.

    Attributes
    ----------
    path, size
        The file, and how many bytes of it are read.
    done
        Bytes read so far.
    is_over
        Whether the answer is known.
    differs
        Names of the variables whose bytes are not those that were saved.
    problem
        Why it cannot be known of any variable.
    is_wanted
        Whether somebody waits for it.
    was_given_up
        Whether it ended without an answer, in a forked child.
    """

    def __init__(self, stored: StoredStep, mapped: Map, new_hash: Callable[[], Any]) -> None:
        self.path = stored.path
        self.size = stored.payload_bytes
        self.done = 0
        self.is_over = False
        self.differs: list[str] = []
        self.problem: CheckpointError | None = None
        self.is_wanted = False
        self.was_given_up = False
        self._is_mapped = False
        self._slices = stored.comparing(new_hash, lambda: self._open(mapped))

    def advance(self) -> None:
        """Read a little more."""
        try:
            self.done = next(self._slices)
        except StopIteration as end:
            self.differs = end.value
            self.is_over = True
        except CheckpointError as problem:
            # What was read instead of mapped does not depend on the file any more. A map that changed, or that nobody
            # uses, is no business of ours, and at the path may be another file by now.
            self.problem = problem.with_traceback(None) if self._is_mapped else None
            self.is_over = True

    def _open(self, mapped: Map) -> int | None:
        descriptor = mapped.reopened()
        self._is_mapped = descriptor is not None
        return descriptor

    def give_up(self) -> None:
        """End it without an answer."""
        with suppress(ValueError):  # a thread was in the middle of it, which this process does not have
            self._slices.close()
        self.is_over = self.was_given_up = True


class Comparer:
    """Compares files one after the other, those that are wanted first; `comparer` gives that of this process."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Comparison] = {}
        self._start_empty()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def _start_empty(self) -> None:
        self._changed = threading.Condition()
        self._going_on: list[Comparison] = []
        self._thread: threading.Thread | None = None

    def submit(self, stored: StoredStep, mapped: Map, new_hash: Callable[[], Any]) -> Comparison:
        """Compare the payloads of a file, unless that very file was compared here before."""
        with self._changed:
            known = self._known.get(mapped.identity)
            if known is not None and not known.was_given_up:
                return known
            comparison = Comparison(stored, mapped, new_hash)
            if mapped.identity:
                self._known[mapped.identity] = comparison
            self._going_on.append(comparison)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ckpt_magic comparing", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there can be no more threads
                    comparison.is_wanted = True
                    self._compare_all()
        return comparison

    def wanted(self) -> Comparison | None:
        """The file that somebody waits for, if there is one."""
        with self._changed:
            return next((one for one in self._going_on if one.is_wanted), None)

    def wait(self, comparison: Comparison, told: Callable[[], None] = lambda: None) -> None:
        """Wait until a file is compared, and let it come first; `told` is called after each second of waiting."""
        with self._changed:
            comparison.is_wanted = True
            self._changed.notify_all()
        while not self._is_over(comparison):
            told()

    def _is_over(self, comparison: Comparison) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: comparison.is_over, _BEAT)

    def _work(self) -> None:
        _be_polite()
        self._compare_all()

    def _compare_all(self) -> None:
        while True:
            with self._changed:
                if not self._going_on:
                    self._thread = None
                    return
                comparison = self.wanted() or self._going_on[0]
                if not comparison.is_wanted and comparison.done == 0:
                    self._changed.wait_for(self.wanted, _HEAD_START)
                    comparison = self.wanted() or comparison
            comparison.advance()
            if comparison.is_over:
                with self._changed:
                    self._going_on.remove(comparison)
                    self._changed.notify_all()

    def _in_child(self) -> None:
        """A forked child compares nothing of its parent."""
        inherited = self._going_on
        self._start_empty()
        for comparison in inherited:
            comparison.give_up()


@functools.cache
def comparer() -> Comparer:
    """The one of this process: a file is compared once, whoever restores it."""
    return Comparer()


_LOWEST = 19
_SET_PRIORITY = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30}  # numbers of ioprio_set
_THREAD, _IDLE_CLASS = 1, 3 << 13


def _be_polite() -> None:
    """Let this thread have what others leave of processor and disk, where a thread can be told apart."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        if (number := _SET_PRIORITY.get(platform.machine())) is not None:
            ctypes.CDLL(None).syscall(number, _THREAD, 0, _IDLE_CLASS)
