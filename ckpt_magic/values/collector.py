"""The cyclic garbage collector: kept from going through what is met in great numbers, and asked what it knows of it."""

from __future__ import annotations

import contextlib
import gc
import itertools
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ckpt_magic.values.memory import identity

COLLECTED: Final = 1 << 14  # Py_TPFLAGS_HAVE_GC, a flag of types whose objects the collector knows
_OF_PYTHON: Final = 1000  # objects that Python 3.12 freezes itself at its start; what a user freezes is all there is


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Leave the collector alone: all that is made or met within is held, so it would find nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def is_blind() -> bool:
    """Whether the user froze something: the collector does not go through that, and tells nobody of it."""
    return gc.get_freeze_count() > _OF_PYTHON


def spare_the_young() -> None:
    """Take all that is alive for old, which costs nothing; else the next collection would go through all of it."""
    if is_blind():  # what is frozen is not to be thawed
        return
    try:
        gc.freeze()
    finally:
        gc.unfreeze()


def referents(objects: Sequence[Any]) -> tuple[Sequence[Any], Iterable[Any]]:
    """What objects refer to, and the keys of those that are dicts.

    Of dicts with texts for keys the collector knows only the values. What is told by its name is passed over.
    """
    ours = list(map(identity, map(type, objects)))  # a metaclass may have a hash of its own
    kinds = dict(zip(ours, map(type, objects), strict=True))
    by_name = {ident for ident, kind in kinds.items() if issubclass(kind, TOLD_BY_NAME)}
    dicts = {ident for ident, kind in kinds.items() if issubclass(kind, dict)}
    asked = [one for one, ident in zip(objects, ours, strict=True) if ident not in by_name] if by_name else objects
    maps = itertools.compress(objects, map(dicts.__contains__, ours)) if dicts else ()
    return gc.get_referents(*asked), itertools.chain.from_iterable(map(dict.keys, maps))


TOLD_BY_NAME: Final = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
