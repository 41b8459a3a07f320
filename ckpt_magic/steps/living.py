"""Who may lead into values besides their names, as far as searches have told.

The functions of a notebook, wherever they are held, are found by a search through all objects of the process, which
takes longer than a small step. Its result stays good as long as no code ran that can make other functions than those
found, or inner ones of theirs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Set
from typing import Any

from ckpt_magic.values import alone, holders
from ckpt_magic.values.code import reaching, source
from ckpt_magic.values.owners import module_of


class Living:
    """What is known of the living functions of one kernel.

    Parameters
    ----------
    main
        Their globals.

    Attributes
    ----------
    addresses
        Whether code of a cell may have taken the address of memory, by which it can be written to without a name.
    entered
        Values into which something else was found to lead.
    """

    def __init__(self, main: dict[str, Any]) -> None:
        self._main = main
        self.addresses = False
        self.entered = alone.Entered()
        self.unknown()

    def unknown(self) -> None:
        """Count on nothing: code ran that nobody has seen."""
        self._named: Set[str] | None = None
        self._searched = False
        self.entered.clear()

    def runs(self, tree: ast.Module | None, *, dynamic: bool) -> None:
        """Note that code runs; None if it is not known."""
        if tree is None or dynamic or source.makes_functions(tree):
            self.unknown()
        if tree is not None and reaching.takes_addresses(tree):
            self.addresses = True

    def used(self, names: Iterable[str]) -> None:
        """Note names that code uses."""
        values = {name: self._main.get(name) for name in names}
        self.entered.used(values, set(map(_library, values.values())))

    def named(self) -> Set[str] | None:
        """The names that living functions mention; None if one of them may find anything without naming it."""
        if not self._searched:
            self._named = holders.named_by_code(self._main)
            self._searched = True
        return self._named


def _library(value: Any) -> str:
    return module_of(value).partition(".")[0]
