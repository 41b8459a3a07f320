"""The slots of a class. `copyreg` notes them in the class as ``__slotnames__`` when the first instance is pickled.

A class of the notebook is not pickled by anybody but us: ``dir(Account)`` would show what no plain run has.
"""

from __future__ import annotations

import contextlib
import copyreg
import types
from collections.abc import Iterator
from typing import Any, Final


def slot_names(kind: Any) -> list[str]:
    """Find the slots of a class as `copyreg` does, and note them nowhere."""
    known = vars(kind).get("__slotnames__")
    if known is not None:
        return list(known)
    stand_in = types.SimpleNamespace(__mro__=kind.__mro__)  # gets the note
    if hasattr(kind, "__slots__"):
        stand_in.__slots__ = ()
    found: list[str] = _NOTING(stand_in)
    return found


@contextlib.contextmanager
def unnoted() -> Iterator[None]:
    """Within, objects are reduced without the note."""
    known: dict[int, tuple[Any, list[str]]] = {}  # asked once per object

    def find(kind: Any) -> list[str]:
        found = known.get(id(kind))
        if found is None:
            found = known[id(kind)] = kind, slot_names(kind)
        return found[1]

    before = copyreg._slotnames  # type: ignore[attr-defined]
    copyreg._slotnames = find  # type: ignore[attr-defined]
    try:
        yield
    finally:
        copyreg._slotnames = before  # type: ignore[attr-defined]


_NOTING: Final[Any] = copyreg._slotnames  # type: ignore[attr-defined]
