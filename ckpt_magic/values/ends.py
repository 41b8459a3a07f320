"""What the notebook waits for: the ends of objects, at which `weakref.finalize` calls something."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Mapping
from typing import Any

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owners import is_host, module_name


def awaited(namespace: Mapping[str, Any]) -> dict[weakref.finalize[Any, Any], int]:
    """Each `weakref.finalize` of the notebook that waits, and the `id` of that for whose end it does.

    Those that libraries make for themselves are theirs.
    """
    registry = getattr(weakref.finalize, "_registry", {})
    home, known = namespace.get("__name__"), None
    found: dict[weakref.finalize[Any, Any], int] = {}
    for one, row in list(registry.items()):
        obj, call = row.weakref(), row.func
        is_mine = type(obj).__module__ == home or is_notebooks(call, namespace)
        if not is_mine and type(call) is not types.FunctionType and not is_host(module_name(obj)):  # it may be compiled
            known = set(map(identity, list(namespace.values()))) if known is None else known
            owner = getattr(call, "__self__", call)
            is_mine = identity(obj) in known or (type(owner) is not types.ModuleType and identity(owner) in known)
        if is_mine and obj is not None:
            found[one] = identity(obj)
    return found


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
