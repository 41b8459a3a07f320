"""META of all checkpoints of a folder, for the questions that are about other steps than the one at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import time_ns  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any

from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.registry import PipelineKey

_SETTLED = 2_000_000_000  # nanoseconds: a file that appears in the same tick of a clock does not show


class Neighbours:
    """What the folders of one kernel held when they were last read.

    A folder is read again when it changed: files are only ever replaced there. Until code runs it is taken to be what
    it was.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._read: dict[Path, _Folder] = {}

    def forget(self) -> None:
        """Ask again which folders changed, since code ran."""
        self._read = {folder: one for folder, one in self._read.items() if one.stamp and one.stamp == stamp(folder)}

    def of_pipeline(self, key: PipelineKey) -> Mapping[int, Mapping[str, Any]]:
        """META per stored step."""
        return self._folder(key.folder).metas.get(key, {})

    def read_elsewhere(self, key: PipelineKey) -> frozenset[str]:
        """Digests of sharing groups that steps of other pipelines have read."""
        found = self._folder(key.folder)
        if key not in found.elsewhere:
            others = (meta for other, metas in found.metas.items() if other != key for meta in metas.values())
            values = (value for meta in others for value in meta["seen"].values())
            found.elsewhere[key] = frozenset(value.removeprefix("group:") for value in values)
        return found.elsewhere[key]

    def _folder(self, folder: Path) -> _Folder:
        if folder not in self._read:
            self._kernel.wait(folder)
            self._read[folder] = found = _Folder(stamp(folder))
            for entry in self._kernel.store(folder).entries():
                key = PipelineKey(folder, entry.name, entry.version)
                stored = self._kernel.open(key, entry.step)
                if stored is not None and stored.trust == "trusted":
                    found.metas.setdefault(key, {})[entry.step] = stored.meta
        return self._read[folder]


class _Folder:
    """What one folder held; `stamp` is None where a change might not show."""

    def __init__(self, stamp: int | None) -> None:
        self.stamp = stamp
        self.metas: dict[PipelineKey, dict[int, Mapping[str, Any]]] = {}
        self.elsewhere: dict[PipelineKey, frozenset[str]] = {}


def stamp(folder: Path) -> int | None:
    """Another one when a folder has changed; None where a change might not show."""
    with suppress(OSError):
        changed = os.stat(folder).st_mtime_ns
        return changed if time_ns() - changed > _SETTLED else None
    return None
