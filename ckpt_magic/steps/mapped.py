"""The checkpoint files that values of this kernel are maps of.

They are watched, since such a file must not change, and needed: its bytes stay on the disk when it is deleted.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.errors import StoreError
from ckpt_magic.files.maps import Map
from ckpt_magic.files.store import Store
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import references


@dataclass(frozen=True, slots=True)
class _File:
    """A mapped file, and the `id` of what was restored from it."""

    key: PipelineKey
    step: int
    map: Map
    idents: Mapping[str, int]


class Mapped:
    """The files that some value of the namespace is still a map of, whatever it is called by now.

    Parameters
    ----------
    namespace
        Names and values of the notebook.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._files: list[_File] = []
        self._needed: list[tuple[Path, Map]] = []  # also for values that no step restored

    def add(self, key: PipelineKey, step: int, mapped: Map, values: Mapping[str, Any]) -> None:
        """Note that `values` were restored from the file of a step; its map is not released yet."""
        idents = {
            name: identity(value)
            for name, value in values.items()
            if not (type(value) in references.ATOMS or references.by_reference(value))
        }
        self._files = [*self._in_use(), _File(key, step, mapped, idents)]
        self.need(Store(key.folder).path(key.name, key.version, step), mapped)

    def need(self, path: Path, mapped: Map) -> None:
        """Note that arrays lie over the file at `path`, whoever holds them."""
        self._needed = [one for one in self._needed if one[1].is_used]
        self._needed.append((path, mapped))

    def needed(self) -> set[Path]:
        """The files that arrays lie over, if they were not deleted."""
        return {path for path, mapped in self._needed if mapped.is_used and not mapped.held()}

    def deleted(self) -> dict[Path, int]:
        """Bytes that arrays keep on the disk, by the path of the file that was deleted or replaced."""
        held: dict[Path, int] = {}
        for path, mapped in self._needed:
            if size := mapped.held():
                held[path] = held.get(path, 0) + size
        return held

    def clear(self) -> None:
        """Forget all files."""
        self._files.clear()

    def refuse_cut_short(self) -> None:
        """Nothing may be read of a file that became shorter under its map: the first read ends the kernel."""
        for file in self._in_use():
            if file.map.cut_short():
                raise StoreError(
                    f"the checkpoint of step {file.step} in {file.key.folder} was cut short after it was restored, and "
                    f"to touch {self._names(file)} may end this kernel; restart it, and run the step again with "
                    f"`%%step {file.step} --force`"
                )

    def refuse_changed(self) -> None:
        """A file that was written to under its map may have changed the values that were restored from it."""
        if not any(file.map.changed() for file in self._in_use()):
            return
        gc.collect()  # what nobody can reach any more may still be there
        for file in self._in_use():
            if file.map.changed():
                raise StoreError(
                    f"the checkpoint of step {file.step} in {file.key.folder} was written to after it was restored, "
                    f"and {self._names(file)} may have changed with it; run it again with `%%step {file.step} --force`"
                )

    def _in_use(self) -> list[_File]:
        self._files = [file for file in self._files if file.map.is_used]
        return self._files

    def _names(self, file: _File) -> str:
        """The names that still hold what was restored; all of them if only parts of it are held."""
        names = [name for name, ident in file.idents.items() if identity(self._namespace.get(name)) == ident]
        return ", ".join(f"`{name}`" for name in sorted(names or file.idents))
