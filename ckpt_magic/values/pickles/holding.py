"""Which names may hold something of what others hold, by code alone, and what put it there.

A step that is restored gives names new objects. Who else held the old ones would go on to hold those: so what names of
cells hold has to be what it was when the step ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from typing import Final

from ckpt_magic.values.code.statements import Step
from ckpt_magic.values.origins import Past

ANYTHING: Final = "*"
"""Stands for code that may bind and change any name."""


def of_module(name: str) -> str:
    """What stands for all that a module of the user's own holds."""
    return f"<{name}>"


def in_module(name: str) -> str:
    """What stands for what a module of the user's own was given, and may keep."""
    return f"<in {name}>"


def near(past: Past, names: Set[str]) -> dict[str, str]:
    """Names that may hold some of what these names hold.

    Returns
    -------
    dict
        For those of which unmarked cells made or changed something, the digest of all statements that can have put
        something into them: these hold the same in two histories that give the same digest. That of `ANYTHING` is of
        the statements that can have done so to any name.
    """
    if not names:
        return {}
    holding = _Holding(past)
    found = [*sorted(holding.around(names)), ANYTHING]
    return {name: digest for name in found if (digest := holding.digest(name))}


class _Holding:
    """Events are bits of a number, in order; of a step each name that it left."""

    def __init__(self, past: Past) -> None:
        self._held: dict[str, set[str]] = {}
        self._made: dict[str, int] = {ANYTHING: 0}
        self._tokens: list[str] = []
        self._cells = 0  # the bits of statements
        values = {name for name in past.bound - past.modules if not name.startswith("<")}
        for at, event in enumerate(past.events):
            if isinstance(event, Step):
                shared: dict[str | None, set[str]] = {}
                for name, made in event.left.items():  # who shares a group has its digest
                    shared.setdefault(made, set()).add(name)
                for name, made in sorted(event.left.items()):
                    self._put(name, shared[made] if made is not None else set(), f"{event.number} {name} {made}")
                if kept := {module for one in event.code for module in one.keepers}:
                    self._keep(kept, event.left.keys() & values)
                    self._tokens.append(f"{event.number} keeps")
            else:
                self._cells |= 1 << len(self._tokens)
                touched = past.touched_at(at)
                got = past.got_at(at)
                given = (got | past.read_by(got)) & values
                modules = set(map(of_module, event.taken))
                lent = past.lent_by(event.holds)
                for name in (bound := event.binds - event.fleeting):  # together, as by `a = b = []`
                    self._put(name, ((past.held_at(at) | bound | lent) & values) | modules)
                for name in touched & values:
                    self._put(name, (touched & values) | given)
                for name in event.stores & past.modules:
                    self._put(name, given)
                self._keep(event.keepers, given)
                if event.anything:
                    self._put(ANYTHING, modules)
                self._tokens.append(event.digest)
                for module, text in event.taken.items():
                    self._put(of_module(module), set(), text)
        self._spread()

    def _put(self, name: str, held: Set[str], token: str = "") -> None:
        self._held.setdefault(name, set()).update(held)
        self._made[name] = self._made.get(name, 0) | 1 << len(self._tokens)
        if token:
            self._tokens.append(token)

    def _keep(self, modules: Iterable[str], given: Set[str]) -> None:
        for module in modules:
            self._put(in_module(module), {*given, of_module(module)})
            self._put(of_module(module), {in_module(module)})

    def _spread(self) -> None:
        """Let what put something into a name count for all that may hold it."""
        self._holders: dict[str, set[str]] = {}
        for name, held in self._held.items():
            for one in held:
                self._holders.setdefault(one, set()).add(name)
        todo = [*self._made]
        while todo:
            one = todo.pop()
            made = self._made.get(one, 0)
            for name in self._holders.get(one, ()):
                if made & ~self._made[name]:
                    self._made[name] |= made
                    todo.append(name)

    def around(self, names: Set[str]) -> set[str]:
        """These names, those that may hold something of theirs, those of which these hold something, and so on."""
        found, todo = {*names}, [*names]
        while todo:
            one = todo.pop()
            more = (self._held.get(one, set()) | self._holders.get(one, set())) - found
            found |= more
            todo += more
        return found

    def digest(self, name: str) -> str:
        """Digest of what can have put something into a name; empty if that is nothing, but steps."""
        made = self._made.get(name, 0)
        if not made & self._cells:
            return ""
        tokens = (token for at, token in enumerate(self._tokens) if made >> at & 1)
        return hashlib.blake2b(";".join(tokens).encode(), digest_size=12).hexdigest()
