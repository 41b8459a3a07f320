"""The cells of a notebook that are known before they run: from its file, or handed over by `ckpt-magic run`.

The file may be older than the page: a cell that is not in it is found by the number of its step, and if that is not
there either, every cell counts as coming after it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ckpt_magic.errors import CheckpointError, UsageError
from ckpt_magic.faces.marking import split_step
from ckpt_magic.faces.verbs import code_cells, parse_step
from ckpt_magic.steps.needs import Cell
from ckpt_magic.steps.plan import Body, code_of
from ckpt_magic.steps.registry import PipelineKey, StepCall


class Notebook:
    """What is known of the cells of one kernel's notebook.

    Parameters
    ----------
    transform
        Turns the text of a cell into plain Python, as IPython does.
    resolve
        Tells the pipeline of a step.
    sources
        Texts of the code cells, if they were handed over.
    path
        The notebook's file, if it is known.
    """

    def __init__(
        self,
        transform: Callable[[str], str],
        resolve: Callable[[StepCall], PipelineKey],
        *,
        sources: Sequence[str] | None = None,
        path: Path | None = None,
    ) -> None:
        self._transform = transform
        self._resolve = resolve
        self._sources = sources
        self._path = path
        self._read: tuple[Any, Sequence[str] | None] = (None, None)

    def after(self, key: PipelineKey, step: int, text: str | None) -> list[Cell] | None:
        """Return the cells below a step of the pipeline `key`, in order; None if nobody knows them.

        Parameters
        ----------
        key, step
            The step.
        text
            The whole text of its cell; None if only its number is known.
        """
        sources = self.texts()
        if sources is None:
            return None
        cells = [self._cell(one, key) for one in sources]
        places = [place for place, one in enumerate(sources) if text is not None and one.strip() == text.strip()]
        places += [place for place, cell in enumerate(cells) if cell is not None and cell.step == step]
        below = cells[places[0] + 1 :] if places else cells
        return [cell for cell in below if cell is not None]

    def step(self, key: PipelineKey, step: int) -> tuple[StepCall, Body] | None:
        """What the last cell of a step asks for, and what is below that line; None if it is not known."""
        for text in reversed(self.texts() or ()):
            line, body = split_step(text)
            with suppress(CheckpointError, SyntaxError, ValueError, RecursionError, MemoryError):
                call = None if line is None else parse_step(line)
                if call is not None and call.step == step and self._resolve(call) == key:
                    return call, Body(body, ast.parse(self._transform(body)), "", text)
        return None

    def texts(self) -> Sequence[str] | None:
        """Texts of the code cells; None if nobody knows them."""
        return self._sources if self._sources is not None else self._of_file()

    def _cell(self, text: str, key: PipelineKey) -> Cell | None:
        """What a cell reads and binds; None if it is no code that could run."""
        line, body = split_step(text)
        step = None
        if line is not None:
            with suppress(CheckpointError):
                call = parse_step(line)
                step = call.step if self._resolve(call) == key else None
        try:
            tree = ast.parse(self._transform(body))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        code = code_of(Body(body, tree, "", text))
        return Cell.of(tree, code.names, step, code.digest)

    def _of_file(self) -> Sequence[str] | None:
        if self._path is None:
            return None
        try:
            state = self._path.stat()
            stamp = state.st_mtime_ns, state.st_size
            if self._read[0] != stamp:
                self._read = stamp, code_cells(self._path)
        except (OSError, UsageError):  # being written just now, or no notebook
            return None
        return self._read[1]
