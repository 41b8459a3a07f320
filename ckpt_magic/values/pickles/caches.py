"""Functions with `functools.lru_cache`: the results that they hold, and how often they were asked.

The cache is compiled: nobody may look into it, nor put anything in. But the garbage collector tells what it refers to,
and a call with the same arguments puts a result there: the reader makes these calls while the function, for that
moment, has code that returns the stored results.
"""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.pickles.forms import Form
from ckpt_magic.values.pickles.references import importable

Entry = tuple[tuple[Any, ...], dict[str, Any], Any]  # arguments, by name as well, and the result

_MANY: Final = 1_000_000  # calls that a reader may have to make for the counters alone

_FILL: Final = """
def fill(cached, state):
    function, attributes, entries, misses, hits = state
    function = getattr(function, "__func__", function)  # of a method that an object has for itself
    vars(cached).update(attributes)
    code = function.__code__
    def returns(results):
        stub = (lambda *args, **named: (0.5).__next__()).__code__
        consts = tuple(iter(results) if one == 0.5 else one for one in stub.co_consts)
        function.__code__ = stub.replace(co_consts=consts, co_freevars=code.co_freevars)
    try:
        returns(())  # raises, and is counted
        for _ in range(misses):
            next(map(cached, [object()]), None)
        returns([result for _, _, result in entries])
        for args, named, _ in entries:
            cached(*args, **named)
        for _ in range(hits):
            cached(*args, **named)
    finally:
        function.__code__ = code
"""
_FILLED: Final = f"(lambda space: (exec({_FILL!r}, space), space['fill'])[1])({{}})"


def reduced(cached: Any, evaluated: Callable[[str], Any]) -> Any:
    """Reduce a function with a cache, with all that is in it, the least recently used first.

    Functions are `evaluated` once per pickle.
    """
    if importable(cached):
        return NotImplemented
    parameters, info = cached.cache_parameters(), cached.cache_info()
    made = Form(functools.lru_cache, parameters["maxsize"], parameters["typed"])
    function = _function_in(cached)
    if function is None:
        raise NotPicklableError(f"{cached.__qualname__} is a functools.lru_cache of what nobody can tell")
    attributes = vars(cached)
    told = attributes.get("__annotations__")
    if told is not None and told is getattr(function, "__annotations__", None):  # of a function that may be a live one
        attributes = {**attributes, "__annotations__": Form(getattr, function, "__annotations__")}
    if not info.hits and not info.misses:
        return made, (function,), attributes
    entries = _entries(cached, function, info.currsize, typed=parameters["typed"])
    is_plain = type(getattr(function, "__func__", function)) is types.FunctionType
    if not is_plain or entries is None or info.hits + info.misses > _MANY:
        raise NotPicklableError(f"{cached.__qualname__} is a functools.lru_cache that holds results")
    state = function, attributes, entries, info.misses - len(entries), info.hits
    return made, (function,), state, None, None, evaluated(_FILLED)


def _function_in(cached: Any) -> Any:
    """The function that a cache calls: below ``@wraps(f)`` its `__wrapped__` is `f`, and that is another one."""
    *_, function, mark, _, _, attributes = gc.get_referents(cached)
    return function if type(mark) is object and attributes is vars(cached) else None


def _entries(cached: Any, function: Any, size: int, *, typed: bool) -> list[Entry] | None:
    """The calls whose results a cache holds; None if this Python keeps them in another way."""
    _, *before, found, called, mark, _, _, _ = gc.get_referents(cached)
    if type(found) is not dict or called is not function or type(mark) is not object:
        return None
    pairs = list(found.items())
    if cached.cache_parameters()["maxsize"] is not None:  # by links, in their order: key, result, type of links
        pairs = list(zip(before[::3], before[1::3], strict=False))
    if len(pairs) != size or any(key not in found for key, _ in pairs):
        return None
    return [(*_arguments(key, mark, typed=typed), result) for key, result in pairs]


def _arguments(key: Any, mark: Any, *, typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Take the key of a call apart: the arguments, a mark, names and values; if `typed` the types of all these."""
    if type(key) is not tuple:
        return (key,), {}
    at = next((at for at, one in enumerate(key) if one is mark), None)
    if at is None:
        return key[: len(key) // 2] if typed else key, {}
    rest = key[at + 1 :]
    count = (len(rest) - at) // 3 if typed else len(rest) // 2
    return key[:at], dict(zip(rest[: 2 * count : 2], rest[1 : 2 * count : 2], strict=True))
