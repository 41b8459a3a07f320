"""Graphs of objects that are deeper than pickle goes: what an instance holds is written after all that leads to it.

Pickle goes into an object as soon as it meets it, and on from what that holds: a thousand linked nodes, or a graph of
as many, are deeper than an interpreter goes. Who reads has no such limit. So instances are written empty where they are
met, and filled one after another later. Knows no pickler.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import functools
import operator
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ckpt_magic.values.owned import is_own
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.instances import is_asked_early, is_written_by_attributes, reduces_itself
from ckpt_magic.values.pickles.references import ATOMS, importable, library_of

Override = Callable[[Any], Any]


class Postponed:
    """What was met and is not filled yet, in the order met.

    Definitions are not to be met on the way: a class is made of objects that are not empty.
    """

    def __init__(self) -> None:
        self._waiting: collections.deque[tuple[Any, Any]] | None = None
        self._kinds: dict[type, bool] = {}

    def overriding(self, usual: Override) -> Override:
        """What a pickler asks to reduce an object, in place of what it asks as a rule."""

        def override(obj: Any) -> Any:
            reduced = usual(obj)
            return reduced if self._waiting is None else self._emptied(obj, reduced)

        return override

    def _emptied(self, obj: Any, reduced: Any) -> Any:
        kind = type(obj)
        if kind not in self._kinds:
            self._kinds[kind] = can_wait(kind)
        if not self._kinds[kind]:
            return reduced
        made, args, *rest = obj.__reduce_ex__(PROTOCOL) if reduced is NotImplemented else reduced
        if made is not copyreg.__newobj__ or len(args) != 1 or not rest:  # type: ignore[attr-defined]  # no stubs
            return reduced
        self._waiting.append((obj, rest[0]))  # type: ignore[union-attr]
        return made, args

    def states(self, write: Callable[[], object]) -> Iterator[Any]:
        """Call `write`, then give the state of each instance that was met, also of those met on the way."""
        self._waiting = collections.deque()
        try:
            write()
            while self._waiting:
                yield self._waiting.popleft()[1]
        finally:
            self._waiting = None

    def items(self, value: Any) -> Iterator[Any]:
        """Give the value, then what fills each instance that was met; for a pickler that writes them as they come.

        It may ask for another one before it has written the last.
        """
        self._waiting = waiting = collections.deque[tuple[Any, Any]]()
        yield value
        while True:
            if not waiting:
                yield None
            if not waiting:
                break
            obj, state = waiting.popleft()
            form = Form(operator.getitem, (obj,), 0)
            form.reduced = *form.reduced, state
            yield form
        self._waiting = None


def can_wait(kind: Any) -> bool:
    """Whether an instance of a class of the user's may be empty until all that leads to it is written.

    Libraries ask their objects when they put together others.
    """
    return (
        (not importable(kind) or is_own(kind.__module__))
        and _is_nothing_but_state(kind)
        and not is_asked_early(kind)
        and not is_written_by_attributes(kind)
    )


def may_meet_empty(kinds: Iterable[type]) -> bool:
    """Whether objects of these types may be made while others that they hold are empty yet."""
    return all(map(_asks_nothing, kinds))


def _is_nothing_but_state(kind: Any) -> bool:
    """Whether an instance is made without anything, and no code of its class runs while it is read."""
    return (
        next(cls for cls in kind.__mro__ if not cls.__flags__ & _HEAP) is object
        and kind not in copyreg.dispatch_table
        and not reduces_itself(kind)
        and kind.__hash__ in (None, object.__hash__)
        and kind.__getstate__ is object.__getstate__
        and not any(hasattr(kind, name) for name in ("__setstate__", "__getnewargs__", "__getnewargs_ex__"))
    )


def _asks_nothing(kind: Any) -> bool:
    if kind in ATOMS or kind in _PLAIN or issubclass(kind, (type, types.ModuleType, enum.Enum)):
        return True
    if _is_nothing_but_state(kind) or kind.__name__ == "cython_function_or_method":
        return True
    return importable(kind) and library_of(kind) in _LIBRARIES


_HEAP: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, as a rule
_PLAIN: Final = frozenset(
    {list, dict, tuple, set, frozenset, bytearray, slice, types.SimpleNamespace, functools.partial}
    | {types.BuiltinFunctionType, types.FunctionType, types.MethodType, types.CodeType, types.CellType}
)
_LIBRARIES: Final = frozenset(
    {"_io", "_thread", "array", "builtins", "ckpt_magic", "collections", "datetime", "decimal", "fractions"}
    | {
        "itertools",
        "numpy",
        "pandas",
        "pathlib",
        "pickle",
        "polars",
        "pyarrow",
        "random",
        "re",
        "scipy",
        "sklearn",
        "torch",
    }
    | {"uuid", "weakref"}
)
