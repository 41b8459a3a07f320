"""Weak references and what consists of them, written so that they refer to the same objects weakly again.

What is referred to is written with the reference: whoever holds it is in the same sharing group. An object that nobody
holds any more is gone in the file, too.
"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.pickles.forms import Form

Reducer = Callable[[Any], Any]


def reducers() -> dict[type, Reducer]:
    """How to write each kind of weak reference."""
    return {
        weakref.ReferenceType: _reference,
        weakref.WeakMethod: _method,
        weakref.ProxyType: _proxy,
        weakref.CallableProxyType: _proxy,
        weakref.WeakSet: _set,
        weakref.WeakKeyDictionary: _mapping,
        weakref.WeakValueDictionary: _mapping,
        weakref.finalize: _refuse_finalizer,
    }


def _reference(reference: Any) -> Any:
    found = reference()
    if found is None:  # nobody holds a set of no name once the pickle is read
        return weakref.ReferenceType, (Form(set),)
    if reference.__callback__ is None:
        return weakref.ReferenceType, (found,)
    return weakref.ReferenceType, (found, reference.__callback__)


def _method(reference: Any) -> Any:
    found = reference()
    if found is None:  # as above; its object or its function may live on
        function, owner = reference._func_ref(), weakref.ref.__call__(reference)
        parts = Form(functools.partial, int) if function is None else function, Form(set) if owner is None else owner
        return weakref.WeakMethod, (Form(types.MethodType, *parts),)
    inner = reference.__callback__  # by which it learns that its object is gone, and which then calls the user's
    held = dict(zip(inner.__code__.co_freevars, inner.__closure__, strict=True))
    callback = held["callback"].cell_contents
    return weakref.WeakMethod, (found,) if callback is None else (found, callback)


def _proxy(proxy: Any) -> Any:
    called = gc.get_referents(proxy)  # the function that it calls at the end, of which it tells nobody else
    try:
        found = proxy.__dir__.__self__  # a proxy passes on each question for an attribute
    except ReferenceError:  # as above
        return weakref.proxy, (Form(functools.partial, int) if type(proxy) is weakref.CallableProxyType else Form(set),)
    if not any(one is proxy for one in weakref.getweakrefs(found)):
        raise NotPicklableError("a weakref.proxy that does not say what it stands for")
    return weakref.proxy, (found, *called)


def _set(members: weakref.WeakSet[Any]) -> Any:
    return weakref.WeakSet, (), tuple(members), None, None, weakref.WeakSet.update


def _mapping(mapping: Any) -> Any:
    return type(mapping), (), None, None, iter(list(mapping.items()))


def _refuse_finalizer(_: Any) -> NoReturn:
    raise NotPicklableError("a weakref.finalize, which the interpreter keeps")


def has_end(value: Any) -> bool:
    """Whether something is to be called when an object goes."""
    references = (one for one in weakref.getweakrefs(value) if issubclass(type(one), weakref.ref))  # a proxy would ask
    return any(type(one.__callback__) is weakref.finalize for one in references)
