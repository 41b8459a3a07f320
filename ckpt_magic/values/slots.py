"""The slots of a class. `copyreg` notes them in the class as ``__slotnames__`` when the first instance is pickled.

A class of the notebook is not pickled by anybody but us: ``dir(Account)`` would show what no plain run has.
"""

from __future__ import annotations

import copyreg
import threading
import types
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import is_own


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


class _Unnoted:
    """Within, objects are reduced without the note in classes of the user's; in those of libraries it is made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._known: dict[int, tuple[Any, list[str]]] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            copyreg._slotnames = self._find  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if not self._depth:  # other threads may be within, too
                copyreg._slotnames = _NOTING  # type: ignore[attr-defined]
                self._known = {}

    def _find(self, kind: Any) -> list[str]:
        """Asked once per object of a class without the note."""
        found = self._known.get(identity(kind))
        if found is None:
            module: object = kind.__module__
            is_library = isinstance(module, str) and module != "__main__" and not is_own(module)
            found = kind, _NOTING(kind) if is_library else slot_names(kind)
            self._known[identity(kind)] = found
        return found[1]


_NOTING: Final[Any] = copyreg._slotnames  # type: ignore[attr-defined]
unnoted: Final = _Unnoted()
