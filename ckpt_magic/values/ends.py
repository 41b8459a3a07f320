"""What the notebook waits for: the ends of objects, at which `weakref.finalize` calls something."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Mapping, Set
from typing import Any

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owners import is_host, module_name


def awaited(namespace: Mapping[str, Any]) -> dict[weakref.finalize[Any, Any], int]:
    """Each `weakref.finalize` of the notebook that waits, and the `id` of that for whose end it does.

    Those that libraries make for themselves are theirs.
    """
    registry = getattr(weakref.finalize, "_registry", {})
    waiting = [(one, found[:2]) for one in list(registry) if (found := one.peek()) is not None]
    waiting = [(one, found) for one, found in waiting if not is_host(module_name(found[0]))]
    known = set(map(identity, list(namespace.values()))) if waiting else set[int]()
    return {one: identity(obj) for one, (obj, call) in waiting if _is_end_of(obj, call, namespace, known)}


def _is_end_of(obj: Any, call: Any, namespace: Mapping[str, Any], known: Set[int]) -> bool:
    """Whether what is to be called at an end is the notebook's, or a compiled function that it gave to an object."""
    if is_notebooks(call, namespace):
        return True
    if type(call) is types.FunctionType or type(call) is types.MethodType:
        return False
    mine = module_name(obj) == namespace.get("__name__")
    return mine or not known.isdisjoint((identity(obj), identity(getattr(call, "__self__", call))))


def is_notebooks(work: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether something that can be called is the notebook's code."""
    while True:
        kind = type(work)
        if issubclass(kind, functools.partial):
            work = work.func
        elif kind is types.MethodType:
            work = work.__func__
        elif kind is types.FunctionType:
            return work.__globals__ is namespace
        else:
            return kind.__module__ == namespace.get("__name__")
