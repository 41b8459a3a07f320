"""The checkpoint files that values of this kernel are maps of: watched, since such a file must not change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from ckpt_magic.errors import StoreError
from ckpt_magic.files.maps import Map
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values import references


class Mapped:
    """Which names still hold what was restored from which file."""

    def __init__(self) -> None:
        self._held: dict[tuple[PipelineKey, int], tuple[Map, set[str]]] = {}

    def add(self, key: PipelineKey, step: int, mapped: Map, values: Mapping[str, Any]) -> None:
        """Note that `values` were restored from the file of a step."""
        held = {
            name
            for name, value in values.items()
            if not (type(value) in references.ATOMS or references.by_reference(value))
        }
        self._held[key, step] = mapped, held

    def renewed(self, names: Iterable[str]) -> None:
        """Note that names got other values."""
        gone = set(names)
        for at, (_, held) in list(self._held.items()):
            held -= gone
            if not held:
                del self._held[at]

    def clear(self) -> None:
        """Forget all files."""
        self._held.clear()

    def refuse_cut_short(self) -> None:
        """Nothing may be read of a file that became shorter under its map: the first read ends the kernel."""
        for (key, step), (mapped, names) in self._held.items():
            if mapped.cut_short():
                raise StoreError(
                    f"the checkpoint of step {step} in {key.folder} was cut short after it was restored, and to touch "
                    f"{', '.join(f'`{name}`' for name in sorted(names))} may end this kernel; restart it, and run the "
                    f"step again with `%%step {step} --force`"
                )

    def refuse_changed(self, renewed: Set[str]) -> None:
        """A file that was written to under its map may have changed the values that were restored from it."""
        for (key, step), (mapped, held) in self._held.items():
            names = held - renewed
            if names and mapped.changed():
                raise StoreError(
                    f"the checkpoint of step {step} in {key.folder} was written to after it was restored, and "
                    f"{', '.join(f'`{name}`' for name in sorted(names))} may have changed with it; run it again with "
                    f"`%%step {step} --force`"
                )
