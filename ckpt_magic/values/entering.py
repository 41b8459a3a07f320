"""What a value holds that the pickler cannot enter, as far as the garbage collector sees it."""

from __future__ import annotations

import gc
import itertools
import sys
import types
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import HOSTS
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.references import ATOMS

_HOSTS = HOSTS | {"asyncio"}
_FAR = 100_000  # objects; what lies beyond is found by other ways or not at all


def reachable(value: Any, namespace: dict[str, Any]) -> list[Any]:
    """Objects that a value holds which the pickler cannot enter, as far as the garbage collector sees them.

    A generator goes on changing the list that it walks over: they belong together. What the class of a library holds
    (the handlers of traitlets) is that of all its objects.
    """
    held: dict[int, Any] = {}
    kinds: set[type] = set()
    of_classes: set[int] = set()
    todo = [value] if type(value) is not Placeholder else []  # which reaches the whole session, as what notes its uses
    while todo and len(held) < _FAR:
        held_weakly = [one() for one in todo if issubclass(type(one), weakref.ref)]
        for one in todo:
            if type(one) is weakref.finalize:  # which has in a registry what it will call
                held_weakly += one.peek() or ()
        near = itertools.chain(gc.get_referents(*todo), held_weakly, *map(_gone_over, todo))
        new = set(map(type, todo)) - kinds
        kinds |= new
        of_classes.update(map(identity, itertools.chain.from_iterable(map(_of_libraries, new))))
        found = {
            ident: one
            for one in near
            if (ident := identity(one)) not in of_classes and _is_to_be_entered(one, namespace)
        }
        todo = [one for ident, one in found.items() if ident not in held]
        held.update(found)
    return list(held.values())


def _gone_over(one: Any) -> tuple[Any, ...]:
    """The arrays that an iterator of numpy goes over: it does not show them to the collector."""
    numpy, kind = sys.modules.get("numpy"), type(one)
    for name, part in (("flatiter", "base"), ("broadcast", "iters"), ("nditer", "operands")):
        if kind is getattr(numpy, name, None):
            with suppress(ValueError):  # it was closed
                inside = getattr(one, part)
                return inside if type(inside) is tuple else (inside,)
    return ()


def _of_libraries(kind: type) -> Iterator[Any]:
    """What the classes of a library that a class comes from have for attributes."""
    for cls in kind.__mro__:
        if references.by_reference(cls):
            yield from vars(cls).values()


def _is_to_be_entered(obj: Any, namespace: dict[str, Any]) -> bool:
    kind = type(obj)  # never isinstance: it asks a placeholder for its class
    if kind in ATOMS or kind in (Placeholder, types.CodeType) or obj is namespace:
        return False
    if kind is types.BuiltinFunctionType and issubclass(type(obj.__self__), (types.ModuleType, type(None), type)):
        return False  # not a method of an object: the writer of a csv file holds that of its file
    if kind is dict and "__spec__" in obj and "__loader__" in obj:
        return False  # the globals of a module
    if references.library_of(kind) in _HOSTS:
        return False  # from the shell and its kernel every variable can be reached
    if issubclass(kind, type) and getattr(obj, "__module__", "") != "__main__":
        return False  # a class of a library, also one that cannot be met by its name
    return not references.by_reference(obj)
