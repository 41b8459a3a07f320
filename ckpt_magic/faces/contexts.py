"""Context variables, where a cell with `await` runs as a task of its own: what it sets ends with the task.

Only the input transformers see such a cell outside of its task. What a restore sets in one is therefore set again when
the next cell comes, and what a step is said to have left is what is there outside. Knows no step and no shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Contexts:
    """What the cells of one shell find in context variables."""

    def __init__(self) -> None:
        self._outside: contextvars.Context | None = None
        self._task: Any = None
        self._due: list[tuple[contextvars.ContextVar[Any], Any]] = []

    def cell_comes(self) -> None:
        """Note what there is; called outside of the task, if the cell will be one, and perhaps several times."""
        due, self._due = self._due, []
        self._set(due)
        self._outside, self._task = contextvars.copy_context(), _task()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What is set within holds for the cells below, too."""
        before = contextvars.copy_context()
        try:
            yield
        finally:
            if self._is_task():
                after = contextvars.copy_context()
                self._due += [one for one in after.items() if before.get(one[0], self) is not one[1]]

    def outside(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function that looks at what the cell leaves to those below."""
        if self._outside is None or not self._is_task():
            return function(*args, **options)
        context = self._outside.copy()
        context.run(self._set, self._due)
        return context.run(function, *args, **options)

    @staticmethod
    def _set(values: Iterable[tuple[contextvars.ContextVar[Any], Any]]) -> None:
        for variable, value in values:
            variable.set(value)

    def _is_task(self) -> bool:
        return _task() is not self._task


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
