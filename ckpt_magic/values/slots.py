"""The slots of a class. `copyreg` notes them in the class as ``__slotnames__`` when the first instance is pickled.

A class of the notebook is not pickled by anybody but us: ``dir(Account)`` would show what no plain run has.
"""

from __future__ import annotations

import copyreg
import threading
import types
import weakref
from typing import Any, ClassVar, Final

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


class Unnoted:
    """Within, objects are reduced without the note in classes of the user's; in those of libraries it is made once.

    Other threads may be within, too. One that an interrupt kept from leaving is gone with its frame.
    """

    _within: ClassVar[weakref.WeakSet[Unnoted]] = weakref.WeakSet()
    _known: ClassVar[dict[int, tuple[Any, list[str]]]] = {}
    _lock: ClassVar = threading.RLock()

    def __enter__(self) -> None:
        with self._lock:
            self._within.add(self)
            copyreg._slotnames = _find  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within.discard(self)
            if not self._within:
                copyreg._slotnames = _NOTING  # type: ignore[attr-defined]
                self._known.clear()


def _find(kind: Any) -> list[str]:
    """Asked once per object of a class without the note."""
    known = Unnoted._known
    found = known.get(identity(kind))
    if found is None:
        module: object = kind.__module__
        is_library = isinstance(module, str) and module != "__main__" and not is_own(module)
        found = known[identity(kind)] = kind, _NOTING(kind) if is_library else slot_names(kind)
    return found[1]


_NOTING: Final[Any] = copyreg._slotnames  # type: ignore[attr-defined]
