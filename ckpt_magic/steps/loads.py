"""What the user's own modules read when they are loaded: who uses one later opens none of these files himself.

Where nobody saw a module being loaded, its text tells what it asks for then (see `modules`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ckpt_magic.steps import unseen
from ckpt_magic.steps.inputs import Files
from ckpt_magic.steps.modules import Modules
from ckpt_magic.steps.opened import Trail, text_of

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What modules asked for.

    Attributes
    ----------
    files
        Rows of META.
    keys
        Environment variables.
    all_of_environ
        Whether they went through all of those.
    unclear
        What cannot be told, in words.
    """

    files: Rows = ()
    keys: Set[str] = frozenset()
    all_of_environ: bool = False
    unclear: Sequence[str] = ()


@dataclass(slots=True)
class Loads:
    """What was seen in one kernel.

    Parameters
    ----------
    files, modules
        Those of the kernel.
    """

    files: Files
    modules: Modules
    _pending: dict[str, Trail] = field(default_factory=dict)
    _found: dict[str, Asked] = field(default_factory=dict)

    def note(self, trail: Trail) -> None:
        """Note what was loaded on a trail that has come to its end."""
        if not trail.imported:
            return
        texts, own = {text_of(path) for path in trail.imported}, self.modules.files_by_name()
        for name in [name for name, file in own.items() if file in texts]:
            one = self._pending[name] = trail.load(name)
            one.reads({text_of(path) for path in one.imported} - {*own.values()})  # of no module: read as any file is
            paths = self.files.counting(path for path, row in one.read.items() if row is None)
            one.read.update(zip(paths, self.files.rows(paths, asked=one.asked), strict=True))

    def of(self, names: Iterable[str], *, hidden: Sequence[str]) -> Asked:
        """What those of the modules `names` asked for that were seen; `hidden` are folders that do not count."""
        for name, trail in self._pending.items():
            self._found[name] = self._asked(name, trail, hidden)
        self._pending.clear()
        every = [self._found[name] for name in sorted(names) if name in self._found]
        return Asked(
            [row for one in every for row in one.files],
            frozenset[str]().union(*(one.keys for one in every)),
            any(one.all_of_environ for one in every),
            [text for one in every for text in one.unclear],
        )

    def tells(self, name: str) -> bool:
        """Whether all that a module reads when it is loaded was seen."""
        return name in self._found and not unseen.may_open(self.modules.words(name))

    def _asked(self, name: str, trail: Trail, hidden: Sequence[str]) -> Asked:
        counting = functools.partial(self.files.counting, hidden=hidden)
        # what was not there before it wrote it is its own
        rows = [
            row
            for path in counting(trail.read)
            if not ((row := trail.read[path]).get("absent") and path in trail.written)
        ]
        paths, unclear = list[str](), list[str]()
        if trail.programs:
            spoken = [*trail.arguments, *unseen.arguments(trail.arguments)]
            mentioned = self.files.mentioned(spoken)
            paths = [path for path in counting(mentioned.paths) if path not in trail.read]
            is_vague = bool(mentioned.vast) or not any(map(os.path.exists, paths))
            if is_vague or unseen.starts_interpreter(trail.arguments):
                unclear.append(f"which files the programs read that module `{name}` starts cannot be told")
        paths += [path for path in counting(trail.listed) if path not in trail.read]
        rows += self.files.rows(dict.fromkeys(paths), hidden=hidden)
        rows += self.files.there(counting(trail.folders))
        return Asked(rows, frozenset(trail.environ), trail.all_of_environ, unclear)
