"""Environment variables that a step asked for: concealed on record, and as they are now; and what is never shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final

from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.freshness import Fact
from ckpt_magic.steps.opened import Trail
from ckpt_magic.values import ambient, options, outlines

_ALL: Final = "*"  # stands for the names of all environment variables
# Environment variables that differ from one kernel to the next; they count only where they are asked for by name.
_VOLATILE: Final = (
    *("_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLUMNS", "LINES", "JPY_", "CKPT_", "PYDEVD", "PYTEST", "SSH_", "DBUS"),
    *("XDG_SESSION", "WINDOWID", "VSCODE", "KERNEL_", "TMUX", "INVOCATION_ID", "JOURNAL_STREAM"),
)


class Variables:
    """The environment of one kernel.

    Parameters
    ----------
    keyring
        Gives the keys by which values are concealed.
    secrets
        Gives the patterns of names whose values are never shown.

    Attributes
    ----------
    planned
        Variables that cells will have set, as they will be.
    """

    def __init__(self, keyring: Callable[[], Keyring], secrets: Callable[[], Sequence[str]]) -> None:
        self._keyring = keyring
        self._secrets = secrets
        self.planned: Mapping[str, str] = {}

    def asked(self, trail: Trail) -> dict[str, str | None]:
        """Those that code asked for; of one that asked for all, those that do not differ in each kernel."""
        if not trail.all_of_environ:
            return {name: self.concealed(value) for name, value in sorted(trail.environ.items())}
        asked = {name: value for name, value in sorted(trail.environ.items()) if not name.startswith(_VOLATILE)}
        found = {name: self.concealed(value) for name, value in asked.items()}
        return {**found, _ALL: self.concealed(_variables_set(trail.environ_set))}

    def here(self, names: Iterable[str]) -> dict[str, str | None]:
        """Their values, concealed."""
        return {name: self.concealed(_variables_set() if name == _ALL else os.environ.get(name)) for name in names}

    def concealed(self, value: str | None) -> str | None:
        """What stands on record for a value: who has no key of ours cannot guess it."""
        key = self._keyring().signing
        return None if value is None else f"{key.id.hex()}:{key.conceal(value)}"

    def now(self, name: str, then: str | None) -> Fact:
        """One of them as it is now, to be compared with what is on record."""
        value = _variables_set() if name == _ALL else self.planned.get(name, os.environ.get(name))
        if value is None or then is None:
            return Fact("not set" if value is None else "set")
        key = self._keyring().find(bytes.fromhex(then.partition(":")[0]))
        return Fact(None if key is None else f"{key.id.hex()}:{key.conceal(value)}")

    def told(self, label: str, value: Any) -> str | None:
        """A short value as people write it, under its label; empty for any other, None for what may be a secret."""
        return self.telling()(label, value)

    def telling(self) -> outlines.Tell:
        """Do `told` for many values, with the environment as it is now: reading it takes longer than the rest."""
        patterns, environ = self._secrets(), options.environ()
        secrets = {held for name, held in environ.items() if ambient.is_secret(name, patterns)}

        def told(label: str, value: Any) -> str | None:
            if ambient.is_secret(label, patterns):
                return None
            text = outlines.short(value)
            return None if text and type(value) in (str, bytes) and os.fsdecode(value) in secrets else text

        return told


def all_of(names: Iterable[str]) -> set[str]:
    """What stands for the whole environment where code asked for these variables, and for all."""
    return {_ALL, *(name for name in names if not name.startswith(_VOLATILE))}


def _variables_set(but: Set[str] = frozenset()) -> str:
    """Names of the environment variables that are set."""
    return "\0".join(sorted(name for name in os.environ if not name.startswith(_VOLATILE) and name not in but))
