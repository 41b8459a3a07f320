"""What this kernel and the stored files know of how a checkpoint came about, as `freshness` wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ckpt_magic.files.store import ASIDE
from ckpt_magic.steps import freshness, needs
from ckpt_magic.steps.freshness import Cause, Now
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.plan import Code, Look
from ckpt_magic.steps.registry import PipelineKey, StepCall
from ckpt_magic.values.code import essence

CellsAfter = Callable[[PipelineKey, int, str | None], Sequence[needs.Cell] | None]


class Judge:
    """Asks for the evidence of one kernel.

    Parameters
    ----------
    kernel
        The kernel.
    cells_after
        Gives the cells that come after a step, see `Fitting`.
    """

    def __init__(self, kernel: Kernel, cells_after: CellsAfter) -> None:
        self._kernel = kernel
        self._cells_after = cells_after

    def now(
        self,
        key: PipelineKey,
        meta: Mapping[str, Any],
        *,
        code: Code,
        call: StepCall | None,
        look: Look | None,
        causes: Sequence[Cause] = (),
    ) -> Now:
        """What is known now of what META of a step says.

        Parameters
        ----------
        code, call, look
            Of the cell, see `unknown_code` where it is not known.
        causes
            What was found in another way.
        """
        if meta["evidence"] is None:
            return Now({}, causes)
        facts = self._kernel.evidence.now(
            meta,
            call=call,
            code=code if code.tree is not None else None,
            look=look,
            hidden=hidden(key),
            written=lambda: written(self._kernel.metas(key)),
            metas=lambda: self._kernel.metas(key),
            documentation=lambda: self.reader(key, meta["step"], code),
        )
        return Now(facts, causes)

    def is_fresh(self, key: PipelineKey, meta: Mapping[str, Any]) -> bool:
        """Whether the evidence of a step whose cell is not known is surely as it was, its code aside."""
        now = self.now(key, meta, code=unknown_code(meta), call=None, look=None)
        return self._kernel.evidence.definitions.has_all(meta) and not freshness.causes(meta, now)

    def reader(self, key: PipelineKey, step: int, code: Code) -> str:
        """Who reads documentation or annotations, of the code that is known; empty if nobody does."""
        if essence.reads_documentation(code.source):
            return "the step"
        if reader := self._kernel.evidence.reader_among(self._kernel.metas(key)):
            return reader
        cells = self._cells_after(key, step, code.cell) or ()
        if any(essence.reads_documentation(cell.names.reads | cell.names.imports) for cell in cells):
            return "a later cell"
        return "an unmarked cell" if self._kernel.watch.reads_documentation() else ""


def unknown_code(meta: Mapping[str, Any] | None, digest: str = "") -> Code:
    """What stands for the code of a step whose cell is not known: that of its checkpoint."""
    return Code("", digest or (meta["code"] if meta is not None else ""))


def written(metas: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Per path what steps left there, by their META, and which of them (`step`)."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for meta in metas:
        for row in (meta["evidence"] or {}).get("written", ()):
            found.setdefault(row["path"], []).append({**row, "step": meta["step"]})
    return found


def hidden(key: PipelineKey) -> list[str]:
    """Folders in which files of the store are no evidence."""
    folders = [key.folder]
    if key.folder.name.startswith(ASIDE):  # it stands for the one that it lies in
        folders.append(key.folder.parent)
    return [str(folder) for folder in folders]
