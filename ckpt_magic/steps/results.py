"""Results that functions of the user's own modules keep (`functools.lru_cache`): who gets one reads what is behind it.

A step that calls such a function again opens no file: the code that called it first did. The caches tell how often they
were filled and asked, before and after a step.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Set
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
        self._read: dict[int, dict[str, Any]] = {}
        self._environ: dict[int, dict[str, str | None]] = {}

    def count(self) -> Counts:
        """How often each function has given a result that it kept, and made one."""
        found = {}
        for function in self._found():
            info = function.cache_info()
            found[identity(function)] = info.hits, info.misses
            self._functions[identity(function)] = function
        return found

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

    def _found(self) -> Iterator[Any]:
        """The functions that modules of the user's hold, wherever in them, and that keep their results."""
        for name in owned.own_modules():
            module = sys.modules.get(name)
            if isinstance(module, types.ModuleType) and not self._words(name).isdisjoint(_MAKERS):
                yield from (one for one in owners.defined_in(module) if type(one) is _KEEPING)


_MAKERS: Final = frozenset({"lru_cache", "cache", "functools"})
_KEEPING: Final = functools._lru_cache_wrapper
