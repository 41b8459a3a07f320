"""Which names share mutable state, and which arrays lie over one buffer.

Sharing is told by positions, never by addresses, so that two looks can be compared: "the third object of `b`
is the first object of `a`". It knows nothing of files and of steps.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any

from ckpt_magic.values import definitions
from ckpt_magic.values.fingerprint import ATOMS, Seen, Span
from ckpt_magic.values.pickling import Placeholder, View

Link = tuple[str, int, str, int]  # kind ("object" or "memory"), my position, the other name, its position
Links = dict[str, frozenset[Link]]


def links(looks: Mapping[str, Seen], namespace: dict[str, Any], tying: frozenset[int] = frozenset()) -> Links:
    """Find what the names share.

    Parameters
    ----------
    looks
        A look per name, with all that it met still held.
    namespace
        The globals of the notebook.
    tying
        `id` of definitions that tie names although they hold nothing mutable: those that a step changed.

    Returns
    -------
    dict
        Per name the links to other names; a name that shares nothing has an empty set.
    """
    found: dict[str, set[Link]] = {name: set() for name in looks}
    for places in _shared_objects(looks, namespace, tying):
        first, position = places[0]
        for name, where in places[1:]:
            found[name].add(("object", where, first, position))
            found[first].add(("object", position, name, where))
    for low, high, name, other, other_low in _shared_memory(looks):
        found[name].add(("memory", high - low, other, other_low - low))
        found[other].add(("memory", high - low, name, low - other_low))
    return {name: frozenset(some) for name, some in found.items()}


def closure(tied: Links, names: Iterable[str]) -> set[str]:
    """All names tied to `names`, directly or through others: their sharing groups."""
    done: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in done:
            done.add(name)
            todo += [other for _, _, other, _ in tied.get(name, ())]
    return done


def views(looks: Iterable[Seen]) -> list[View]:
    """Plan how arrays over one buffer are written: one owner for each overlapping stretch of memory.

    The blocks of pandas never share with each other: without pandas' own reference links, writes to
    one frame would leak into the other.
    """
    spans = sorted(
        ((span, which) for which, one in enumerate(looks) for span in one.spans if span.array is not None),
        key=lambda pair: (pair[0].low, -pair[0].high),
    )
    plan = []
    for union in _unions(spans):
        free = {id(span.array): span for span, _ in union if not span.guarded}
        frames = {which for span, which in union if span.guarded}
        if len(free) + len(frames) > 1 and free and len(frames) <= 1:
            plan.append(_owner([span for span, _ in union]))
    return plan


def _shared_objects(
    looks: Mapping[str, Seen], namespace: dict[str, Any], tying: frozenset[int]
) -> list[list[tuple[str, int]]]:
    owner: dict[int, str] = {}
    shared: dict[int, list[str]] = {}
    for name, one in looks.items():
        for ident in one.met.keys() & owner.keys():
            shared.setdefault(ident, [owner[ident]]).append(name)
        for ident in one.met:
            owner.setdefault(ident, name)
    result = []
    positions: dict[str, dict[int, int]] = {}
    for ident, names in shared.items():
        value = looks[names[0]].met[ident]
        if ident in tying or _ties(value, namespace):
            places = []
            for name in names:
                if name not in positions:
                    positions[name] = {key: at for at, key in enumerate(looks[name].met)}
                places.append((name, positions[name][ident]))
            result.append(places)
    return result


def _ties(value: Any, namespace: dict[str, Any]) -> bool:
    """Whether sharing `value` can be observed by changing it."""
    kind = type(value)
    if kind in ATOMS or kind is Placeholder or kind is types.CodeType or value is namespace:
        return False
    if kind in (tuple, frozenset):
        return any(_ties(item, namespace) for item in value)
    if definitions.by_reference(value):
        return False
    if isinstance(value, (type, types.FunctionType)):
        return not definitions.is_plain_definition(value, namespace)
    if kind is types.CellType:
        return True
    return not _is_immutable(kind)


def _is_immutable(kind: type) -> bool:
    """Types whose values cannot change, so that nobody can tell one from two."""
    return (kind.__module__, kind.__name__) in _IMMUTABLE


_IMMUTABLE = {
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    ("re", "Pattern"),
    ("pandas._libs.tslibs.timestamps", "Timestamp"),
    ("pandas._libs.tslibs.timedeltas", "Timedelta"),
    ("builtins", "slice"),
    ("ckpt_magic.values.fingerprint", "_Form"),
}


def _shared_memory(looks: Mapping[str, Seen]) -> list[tuple[int, int, str, str, int]]:
    spans = sorted(
        ((span.low, span.high, name, span.guarded) for name, one in looks.items() for span in one.spans),
        key=lambda row: row[:3],
    )
    found = []
    for index, (low, high, name, guarded) in enumerate(spans):
        for other_low, _, other, other_guarded in spans[index + 1 :]:
            if other_low >= high:
                break
            if name != other and not (guarded and other_guarded):
                found.append((low, high, name, other, other_low))
    return found


def _unions(spans: list[tuple[Span, int]]) -> list[list[tuple[Span, int]]]:
    """Split spans, sorted by address, into stretches of memory that do not touch each other."""
    groups: list[list[tuple[Span, int]]] = []
    high = -1
    for span, which in spans:
        if groups and span.low < high:
            groups[-1].append((span, which))
            high = max(high, span.high)
        else:
            groups.append([(span, which)])
            high = span.high
    return groups


def _owner(union: list[Span]) -> View:
    """Choose the array that is written for the whole stretch: one that covers it, else bytes over it."""
    low, high = union[0].low, max(span.high for span in union)
    for span in union:
        if (span.low, span.high) == (low, high) and span.array.flags.c_contiguous and span.array.flags.writeable:
            return View(low, high, span.array)
    for span in union:
        base = span.array
        while isinstance(getattr(base, "base", None), type(base)):
            base = base.base
        interface = base.__array_interface__
        start = interface["data"][0]
        if start <= low and high <= start + base.nbytes and base.flags.c_contiguous:
            flat = base.reshape(-1).view("u1") if base.dtype.kind != "V" else base.view("u1").reshape(-1)
            return View(low, high, flat[low - start : high - start])
    return View(low, high, _bytes_over(low, high, union))


def _bytes_over(low: int, high: int, union: list[Span]) -> Any:
    import ctypes
    import sys

    numpy = sys.modules["numpy"]
    holder = (ctypes.c_ubyte * (high - low)).from_address(low)
    holder.keep = [span.array for span in union]  # type: ignore[attr-defined]  # the memory is theirs
    return numpy.frombuffer(holder, dtype="u1")
