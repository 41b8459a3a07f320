"""Progress in a notebook: one display that changes in place, until the banner takes its place."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckpt_magic.steps.lines import timed
from ckpt_magic.steps.outputs import PRIVATE
from ckpt_magic.steps.progress import Advance
from ckpt_magic.steps.stored import QUIET, html_text


class Display:
    """Shows progress in the running cell of a kernel.

    Parameters
    ----------
    shell
        The IPython shell of the kernel.

    Attributes
    ----------
    is_on
        Whether anything is shown.
    may_clear
        Whether the running cell has shown nothing else yet, so that what is over can be cleared away. Else the display
        is emptied, and `take` gives it to what comes next.
    """

    def __init__(self, shell: Any) -> None:
        self.is_on = True
        self.may_clear = False
        self._shell = shell
        self._id: str | None = None
        self._cell: str | None = None

    @contextmanager
    def __call__(self, what: str, total: int | None) -> Iterator[Advance]:
        """Show how far something is; see `steps.progress`."""
        with timed(what, total, self._show, self._hide) as advance:
            yield advance

    def take(self) -> str | None:
        """The display of the running cell, for somebody else from now on; None if there is none."""
        taken, self._id = self._id if self._cell == self._running() else None, None
        return taken

    def _show(self, text: str) -> None:
        if self.is_on:
            html = f'<div style="{QUIET}">{html_text(text)}</div>'
            is_new = self._id is None or self._cell != self._running()
            if is_new:
                self._id, self._cell = uuid.uuid4().hex, self._running()
            self._publish({"text/plain": text, "text/html": html}, text, update=not is_new)

    def _hide(self) -> None:
        if self._id is None:
            return
        if self.may_clear:
            self._shell.display_pub.clear_output()
            self._id = None
        else:
            self._publish({}, "", update=True)

    def _publish(self, data: dict[str, str], text: str, *, update: bool) -> None:
        transient = {"display_id": self._id}
        self._shell.display_pub.publish(data, {PRIVATE: {"progress": text}}, transient=transient, update=update)

    def _running(self) -> str | None:
        """Which request the kernel answers."""
        return self._shell.get_parent().get("header", {}).get("msg_id") if hasattr(self._shell, "get_parent") else None


def progress_in(message: dict[str, Any]) -> str | None:
    """What a message of a kernel says of progress; None if it is about other things."""
    metadata = message["content"].get("metadata")
    mine = metadata.get(PRIVATE) if isinstance(metadata, dict) else None
    text = mine.get("progress") if isinstance(mine, dict) else None
    return text if isinstance(text, str) else None
