"""Whether anything but its name leads into a value: only then can code that does not name it not change it.

Python counts the references to every object, and a look meets every reference that a value holds. What is counted
beyond those is held by somebody else: another variable, a library, a thread, a closure, the history of results.
Living functions of the notebook are held by anybody, and name what they change.
"""

from __future__ import annotations

import copyreg
import gc
import itertools
import operator
import sys
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ckpt_magic.values import source
from ckpt_magic.values.fingerprint import Seen


def named_by_code(namespace: dict[str, Any]) -> set[str]:
    """Names that living functions of the notebook mention, wherever those are held, in code or in texts."""
    found: set[str] = set()
    for one in gc.get_referrers(namespace):
        if type(one) is types.FunctionType and one.__globals__ is namespace:
            found |= source.mentioned(one.__code__)
    return found


def is_alone(seen: Seen, ties: Callable[[Any], bool], names: int) -> bool:
    """Tell whether nothing but one name leads into a value.

    Parameters
    ----------
    seen
        A look that still holds what it met, and that found no definitions of the notebook.
    ties
        Tells which objects can be changed, so that it matters who holds them.
    names
        How many mappings hold the value itself: the namespace, and those made for the look.
    """
    objects = seen.met.values()
    if not objects or not all(map(_shows_its_references, set(map(type, objects)))):
        return False
    counted = list(map(sys.getrefcount, objects))
    met = _times_met(seen)
    own = _own_references()
    # as a rule an object is held once, and so met once: `held` is then counted - met - own == met
    unusual = [at for at, n in enumerate(map(operator.sub, map(operator.sub, counted, met), met)) if n != own]
    if unusual:
        every = list(objects)
        spans = Counter(id(span.array) for span in seen.spans)
        held = [n - times - own for n, times in zip(counted, met, strict=True)]
        for at in unusual:
            held[at] -= spans[id(every[at])]
        _discount_what_the_look_made(every, held, unusual)
        met[0] += names - 1  # that the look began with it is no reference
        common = _common_to_all_frames()
        if any(held[at] > met[at] and id(every[at]) not in common and ties(every[at]) for at in unusual):
            return False
    held_weakly = itertools.compress(objects, map(weakref.getweakrefcount, objects))
    return not any(ties(one) for one in held_weakly if not _is_held_weakly_by_itself(one))


def _times_met(seen: Seen) -> list[int]:
    """How often the look met each object."""
    if len(seen.held) == len(seen.met):
        return [1] * len(seen.met)
    times = Counter(map(id, seen.held))
    return list(map(times.__getitem__, seen.met))


def _own_references() -> int:
    """References that the count itself sees to an object that nobody but `met` holds."""
    return next(map(sys.getrefcount, {0: object()}.values()))


def _common_to_all_frames() -> set[int]:
    """The `id` of lists that are attributes of classes of pandas, and come with the state of each frame."""
    pandas = sys.modules.get("pandas")
    kinds: Iterable[Any] = (getattr(pandas, name, None) for name in ("DataFrame", "Series"))
    return {id(kind._metadata) for kind in kinds if hasattr(kind, "_metadata")}


def _is_held_weakly_by_itself(obj: Any) -> bool:
    """Whether a weak reference is the one that pandas keeps of a frame, a block, an index."""
    if type(obj).__module__.partition(".")[0] != "pandas":
        return False
    references = weakref.getweakrefs(obj)
    return len(references) == 1 and sys.getrefcount(references[0]) <= 3  # the list, the argument, and pandas


def _discount_what_the_look_made(objects: list[Any], held: list[int], unusual: list[int]) -> None:
    """Take away references that come from objects which nobody holds: pickling made them."""
    made = [at for at in unusual if held[at] <= 0]
    place = {id(one): at for at, one in enumerate(objects)} if made else {}
    while made:
        parts = itertools.chain.from_iterable(map(gc.get_referents, map(objects.__getitem__, made)))
        made = []
        for ident, times in Counter(map(id, parts)).items():
            at = place.get(ident)
            if at is not None and held[at] > 0:
                held[at] -= times
                if held[at] <= 0:
                    made.append(at)


def _shows_its_references(kind: type) -> bool:
    """Whether pickling an object of this type visits each reference that it holds once."""
    if kind in _PLAIN or kind.__name__ in _WRITTEN_BY_NAME or kind.__module__.partition(".")[0] in _LIBRARIES:
        return True
    if issubclass(kind, (type, types.ModuleType)):
        return True
    own = (getattr(kind, name, None) is getattr(object, name, None) for name in _REDUCTION)
    return kind not in copyreg.dispatch_table and all(own)


_PLAIN: Final = frozenset(
    {list, dict, tuple, set, frozenset, bytearray, slice, types.SimpleNamespace}
    | {types.BuiltinFunctionType, types.FunctionType, types.MethodDescriptorType}
)
_LIBRARIES: Final = frozenset(
    {
        "array",
        "collections",
        "numpy",
        "pandas",
        "pyarrow",
        "polars",
        "datetime",
        "decimal",
        "fractions",
        "uuid",
        "pickle",
    }
)
_WRITTEN_BY_NAME: Final = frozenset({"cython_function_or_method"})
_REDUCTION: Final = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


def hidden_ways(names: Iterable[str], namespace: Mapping[str, Any]) -> bool:
    """Whether code that uses these names may reach objects that no name leads to (`gc`, `ctypes`, `sys`, …)."""
    for name in names:
        value: Any = namespace.get(name)
        kind = type(value)
        origin = name if name not in namespace else ""
        if issubclass(kind, types.ModuleType):
            origin = value.__name__
        elif kind in (types.FunctionType, types.BuiltinFunctionType):
            origin = value.__module__ or ""
        if name in _HIDDEN_WAYS or origin.partition(".")[0] in _HIDDEN_WAYS:
            return True
    return sys.gettrace() is not None  # a debugger: what is typed there is not seen


_HIDDEN_WAYS: Final = frozenset({"gc", "ctypes", "cffi", "inspect", "sys", "__main__", "mmap", "weakref"})
