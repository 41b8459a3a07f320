"""Results that functions of the user's own modules keep (`functools.lru_cache`): who gets one reads what is behind it.

A step that calls such a function again opens no file: the code that called it first did. The caches tell how often they
were filled and asked, before and after a step.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final

from ckpt_magic.steps.inputs import Files
from ckpt_magic.steps.opened import Trail
from ckpt_magic.values import owned, owners
from ckpt_magic.values.memory import identity

Counts = Mapping[int, tuple[int, int]]  # by `id` of the function, how many results it gave again and how many it made


class Results:
    """What is behind the results that functions keep in one kernel.

    Parameters
    ----------
    files
        Tells what files are.
    words
        Gives the words in the text of a module.
    """

    def __init__(self, files: Files, words: Callable[[str], Set[str]]) -> None:
        self._files = files
        self._words = words
        self._functions: dict[int, Any] = {}  # held: their `id` are keys
        self._walked: tuple[int, Mapping[str, Sequence[int]]] | None = None
        self._read: dict[int, dict[str, Any]] = {}
        self._environ: dict[int, dict[str, str | None]] = {}

    def count(self) -> Counts:
        """How often each function has given a result that it kept, and made one."""
        self._find()
        infos = {ident: function.cache_info() for ident, function in self._functions.items()}
        return {ident: (info.hits, info.misses) for ident, info in infos.items()}

    def passed(self, before: Counts, trail: Trail) -> None:
        """Note what code has read that ran since `before`; on its trail what is behind results that it was given."""
        after = self.count()
        asked = [ident for ident, (hits, _) in after.items() if hits > before.get(ident, (0, 0))[0]]
        for ident in asked:
            for path, row in self._read.get(ident, {}).items():
                if path not in trail.written:  # one that has changed since is told as it was when it was read
                    trail.read.setdefault(path, None if self._files.is_same(row) else row)
            for name, value in self._environ.get(ident, {}).items():
                trail.environ.setdefault(name, value)
        filled = [ident for ident, (_, misses) in after.items() if misses > before.get(ident, (0, 0))[1]]
        if filled:
            read = {path: row or self._files.row(path) for path, row in trail.read.items()}
            for ident in filled:
                self._read.setdefault(ident, {}).update(read)
                self._environ.setdefault(ident, {}).update(trail.environ)

    def _find(self) -> None:
        """Find the functions that modules of the user's hold, wherever in them, and that keep their results.

        The modules are gone through again when there are more such functions in the process (each holds its type), or
        when a module holds other objects: to go through them takes half a millisecond each.
        """
        modules = {
            name: module
            for name in owned.own_modules()
            if isinstance(module := sys.modules.get(name), types.ModuleType)
            and not self._words(name).isdisjoint(_MAKERS)
        }
        dicts = {name: object.__getattribute__(module, "__dict__") for name, module in modules.items()}
        walked = sys.getrefcount(_KEEPING), {name: [*map(id, inside.values())] for name, inside in dicts.items()}
        if walked != self._walked:
            for module in modules.values():
                self._functions |= {identity(one): one for one in owners.defined_in(module) if type(one) is _KEEPING}
            self._walked = sys.getrefcount(_KEEPING), walked[1]


_MAKERS: Final = frozenset({"lru_cache", "cache", "functools"})
_KEEPING: Final = functools._lru_cache_wrapper
