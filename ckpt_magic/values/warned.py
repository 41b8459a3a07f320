"""Which warnings were shown already: each place of a module's code shows one once, until the filters change.

Without it a step after a restore shows what a restored step had shown. A module notes what it showed together with a
number that goes up with each change of the filters; notes with another number are out of date.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ckpt_magic.values.owned import MAIN, new_modules

Shown = dict[str, list[tuple[str, str, str, int]]]
"""By module the text, the module and name of the category, and the line."""

_REGISTRY: Final = "__warningregistry__"
_MOST: Final = 200  # of one module


class _Never(Warning):
    """Is never shown."""


def look() -> Shown:
    """Read what every module has shown since the filters changed last; what cells show they show again each time."""
    for name, module in new_modules(_walked):
        _spaces.pop(name, None)
        if _is_plain(name, module):
            _spaces[name] = vars(module)  # held, since thousands of modules would be asked for theirs each time
    noted: dict[str, dict[Any, Any]] = {name: one[_REGISTRY] for name, one in _spaces.items() if _REGISTRY in one}
    now = _number() if noted else None
    found = {name: _readable(notes) for name, notes in noted.items() if notes.get("version") == now}
    return {name: keys for name, keys in found.items() if 0 < len(keys) <= _MOST}


_walked: dict[str, Any] = {}
_spaces: dict[str, dict[str, Any]] = {}


def put_back(shown: Mapping[str, Sequence[tuple[str, str, str, int]]]) -> None:
    """Note in modules that are here what they have shown."""
    here = {name: vars(module) for name in shown if _is_plain(name, module := sys.modules.get(name))}
    now = _number() if here else None
    for name, space in here.items():
        notes = space.setdefault(_REGISTRY, {})
        if notes.get("version") != now:
            notes.clear()
            notes["version"] = now
        for text, home, category, line in shown[name]:
            owner = sys.modules.get(home)
            kind = vars(owner).get(category) if isinstance(owner, types.ModuleType) else None
            if isinstance(kind, type):
                notes[text, kind, line] = True


def _is_plain(name: str, module: Any) -> bool:
    return type(module) is types.ModuleType and name not in MAIN


def _readable(notes: Mapping[Any, Any]) -> list[tuple[str, str, str, int]]:
    keys = (key for key in notes if type(key) is tuple and len(key) == 3)
    found = (
        (text, kind.__module__, kind.__qualname__, line) for text, kind, line in keys if issubclass(type(kind), type)
    )
    return [one for one in found if type(one[0]) is str and type(one[3]) is int and one[1] != "__main__"]


def _number() -> int | None:
    """How often the filters were changed: only a warning that is about to be shown is told."""
    notes: dict[Any, Any] = {}
    ours = ("ignore", None, _Never, None, 0)
    warnings.filters.insert(0, ours)  # type: ignore[attr-defined]  # no change of the filters
    try:
        warnings.warn_explicit("", _Never, "", 0, registry=notes)
    finally:
        warnings.filters.remove(ours)  # type: ignore[attr-defined]
    return notes.get("version")
