"""What the code of this kernel did to the random generators, and whether a checkpoint fits that.

A step that drew numbers fits only the state that it drew from: an edited seed above it gives other numbers. Two
states that nobody seeded differ in every kernel and mean the same: any numbers will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ckpt_magic.values import canonical, generators


class Chance:
    """The random generators of one kernel, from its start on."""

    def __init__(self) -> None:
        self._first = self._as_left = self._last = generators.look()
        self._seeded: set[str] = set()
        self.mover: int | None = None
        """The step that moved them last; None if other code did since."""

    @property
    def seeded(self) -> list[str]:
        """Generators whose state follows from code alone, as far as that can be told."""
        return sorted(self._seeded)

    def ran(self, seeds: Callable[[], bool]) -> None:
        """Note that code ran, which may have moved them; `seeds` tells whether it seems to seed any."""
        now = generators.look()
        moved = generators.moved(self._last, now)
        if moved:
            self.mover = None
            self._seeded |= moved if seeds() else {name for name in moved if generators.seeded(self._last, now, name)}
        self._last = now

    def to_put_back(self, meta: Mapping[str, Any], states: Iterable[str]) -> set[str]:
        """Which generators in `states` a restore puts back.

        An edited seed wins over a step that did not draw, and so does what a step drew that this kernel restored: it
        may have run again since the other one did.
        """
        return _moved_by(meta, states) | (set(states) - generators.moved(self._as_left, generators.look()))

    def was_put_back(self, meta: Mapping[str, Any], names: Iterable[str]) -> None:
        """Note what a restore did."""
        self.mover = meta["step"] if meta["moved"] else self.mover
        self._last = generators.look()
        others = set(names) - _moved_by(meta, names)
        self._as_left = {**self._as_left, **{name: self._last[name] for name in others if name in self._last}}
        self._seeded |= set(meta["seeded"]) & set(names)

    def of_step(self, before: Mapping[str, Any], after: Mapping[str, Any], seeded: Iterable[str]) -> dict[str, Any]:
        """For META: which generators a step moved, the digest of each state that it drew from, and who was seeded."""
        moved = generators.moved(before, after)
        return {
            "moved": sorted(moved),
            "drawn": {name: [_digest(before[name]), name in seeded] for name in sorted(moved & before.keys())},
            "seeded": self.seeded,
        }

    def misfits(self, meta: Mapping[str, Any]) -> list[str]:
        """Generators that are not in the state that a step drew from."""
        if not meta["drawn"]:
            return []
        now = generators.look()
        here = generators.moved(self._first, now)
        return [
            name
            for name, (digest, seeded) in meta["drawn"].items()
            if name in here and (seeded or name in self._seeded) and _digest(now[name]) != digest
        ]


def _moved_by(meta: Mapping[str, Any], states: Iterable[str]) -> set[str]:
    return set(states) if meta["moved"] is True else set(meta["moved"] or ())


def _digest(state: Any) -> str | None:
    return canonical.fingerprint(state)
