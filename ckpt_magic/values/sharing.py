"""Which names share mutable state, and which arrays lie over one buffer.

Sharing is told by positions, never by addresses, so that two looks can be compared: "the third object of `b`
is the first object of `a`". It knows nothing of files and of steps.
"""

from __future__ import annotations

import ctypes
import decimal
import enum
import gc
import itertools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ckpt_magic.values.collector import TOLD_BY_NAME
from ckpt_magic.values.memory import address, identity, is_writeable
from ckpt_magic.values.pickles import figures, forms, memmaps, references, strided, tokens, unchanging
from ckpt_magic.values.pickles.arrays import View, buffer_under, field_path, is_plain_subarray
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.seen import NEVER_WRITTEN, Seen, Span, are_shared, stretches

Names = tuple[str, ...]
Row = tuple[int, ...]


@dataclass(slots=True)
class Links:
    """What names share.

    Attributes
    ----------
    objects
        Per set of names the objects that exactly these share: a row of positions for each, one per name.
    memory
        Per pair of names where their arrays overlap: size of the first, and how far off the second begins.
    loose
        Names that hold what others hold as well, and what nobody can change (`unchanging`): it ties nothing.
    """

    objects: dict[Names, list[Row]] = field(default_factory=dict)
    memory: dict[Names, list[Row]] = field(default_factory=dict)
    loose: set[str] = field(default_factory=set, compare=False)

    def among(self, names: Iterable[str]) -> Links:
        """The links that are left when only `names` are."""
        alive = set(names)
        memory = {key: rows for key, rows in self.memory.items() if alive >= set(key)}
        return Links(_among(self.objects, alive), memory, self.loose & alive)

    def holds(self, name: str) -> bool:
        """Whether a name shares with any other."""
        return name in self.loose or any(name in key for key in (*self.objects, *self.memory))

    def add(self, other: Links) -> None:
        """Take in the links of names that have none here."""
        self.objects.update(other.objects)
        self.memory.update(other.memory)
        self.loose |= other.loose

    def differing(self, other: Links) -> set[str]:
        """Names whose sharing is not the same in `other`."""
        found: set[str] = set()
        for mine, theirs in ((self.objects, other.objects), (self.memory, other.memory)):
            for key in mine.keys() | theirs.keys():
                if mine.get(key) != theirs.get(key):
                    found.update(key)
        return found

    def text(self) -> bytes:
        """A text that is equal for equal links."""
        return repr((sorted(self.objects.items()), sorted(self.memory.items()))).encode()


def aliases(values: Mapping[str, Any]) -> list[list[str]]:
    """Names that mean one object, or lead to one list, dict, set or array in their containers, in groups.

    Of definitions, and of what cannot be changed, it makes no difference.
    """
    found: dict[int, dict[str, None]] = {}
    for name in sorted(values):
        kind = type(values[name])
        if kind not in ATOMS and kind not in (tuple, frozenset) and not issubclass(kind, TOLD_BY_NAME):
            found.setdefault(identity(values[name]), {})[name] = None
        todo, count = [values[name]], 0
        while todo and count < _ENTERED:
            one = todo.pop()
            count += 1
            inner = (one.values() if type(one) is dict else one) if type(one) in (list, tuple, dict) else ()
            for item in itertools.islice(inner, _ENTERED):
                if type(item) in (list, dict, set, bytearray) or type(item).__name__ == "ndarray":
                    found.setdefault(identity(item), {})[name] = None
                if type(item) in (list, tuple, dict):
                    todo.append(item)
    return sorted({(*names,): [*names] for names in found.values() if len(names) > 1}.values())


_ENTERED: Final = 100  # containers in a value, and items of one


def _among(objects: Mapping[Names, list[Row]], alive: set[str]) -> dict[Names, list[Row]]:
    found: dict[Names, list[Row]] = {}
    merged = set()
    for key, rows in objects.items():
        kept = [at for at, name in enumerate(key) if name in alive]
        if len(kept) == len(key):
            new = rows
        elif len(kept) > 1:
            new = [tuple(row[at] for at in kept) for row in rows]
        else:
            continue
        names = tuple(key[at] for at in kept)
        if names in found:
            merged.add(names)
            new = found[names] + new
        found[names] = new
    return {key: sorted(rows) if key in merged else rows for key, rows in found.items()}


def links(looks: Mapping[str, Seen], namespace: dict[str, Any]) -> Links:
    """Find what the names share.

    Parameters
    ----------
    looks
        A look per name, with all that it met still held.
    namespace
        The globals of the notebook.
    """
    objects, loose = _shared_objects(looks, Ties(namespace))
    return Links(objects, _shared_memory(looks), loose)


def closure(tied: Links, names: Iterable[str]) -> set[str]:
    """All names tied to `names`, directly or through others: their sharing groups."""
    reached = set(names)
    todo = [set(key) for key in (*tied.objects, *tied.memory)]
    while True:
        rest = []
        for key in todo:
            if key.isdisjoint(reached):
                rest.append(key)
            else:
                reached |= key
        if len(rest) == len(todo):
            return reached
        todo = rest


def groups(tied: Links, names: Iterable[str]) -> list[list[str]]:
    """Split names into sharing groups, each sorted."""
    leader = {name: name for name in names}
    members = {name: [name] for name in leader}
    for key in (*tied.objects, *tied.memory):
        first = leader[key[0]]
        for name in key[1:]:
            other = leader[name]
            if other != first:
                for moved in members[other]:
                    leader[moved] = first
                members[first] += members.pop(other)
    return [sorted(some) for some in members.values()]


# --- objects ---


def _shared_objects(looks: Mapping[str, Seen], ties: Ties) -> tuple[dict[Names, list[Row]], set[str]]:
    """What ties names, and the names that have in common what does not, and cannot change."""
    # Millions of objects may be shared: what is done for each of them is done by C.
    seen: set[int] = set()
    shared: set[int] = set()
    loose: set[int] = set()
    twins = _twins(looks)
    ordered = sorted((looks[names[0]] for names in twins), key=lambda one: len(one.met))
    for one in ordered:
        shared |= one.among(seen)
        if one is not ordered[-1]:
            seen.update(one.met)  # `seen |= met.keys()` would make a new set each time
    del seen
    shared = shared.union(*(looks[names[0]].met for names in twins if len(names) > 1))
    if shared:
        shared = shared - _guarded_everywhere(looks, shared) - _of_figures_alone(looks, shared)
        shared, loose = _tying([looks[names[0]] for names in twins], shared, ties)
        shared -= _registered([looks[names[0]] for names in twins], shared)
    holding = {name for names in twins if looks[names[0]].among(loose) for name in names} if loose else set[str]()
    if not shared:
        return {}, holding
    places: dict[str, dict[int, int]] = {}
    for names in twins:
        found = {ident: at for at, ident in enumerate(looks[names[0]].met) if ident in shared}
        places |= dict.fromkeys(names, found)
    sharers = _sharers(looks, twins, shared)
    return {key: _rows([places[name] for name in key], ids) for key, ids in sharers.items()}, holding


def _twins(looks: Mapping[str, Seen]) -> list[list[str]]:
    """Put together names whose looks met the very same, as those of all parts of a figure do."""
    found: dict[int, list[str]] = {}
    for name in sorted(looks):
        found.setdefault(identity(looks[name].met), []).append(name)
    return list(found.values())


def _guarded_everywhere(looks: Mapping[str, Seen], shared: set[int]) -> set[int]:
    """Those of the shared objects that only pandas holds."""
    guarded = {ident for one in looks.values() for ident in one.guarded & shared}
    held = (one.met.keys() & guarded - one.guarded for one in looks.values())
    return guarded.difference(*held) if guarded else guarded


def _of_figures_alone(looks: Mapping[str, Seen], shared: set[int]) -> set[int]:
    """Those of the shared objects that settings of matplotlib hold, and of the names only figures."""
    found = shared & figures.settings().keys() if any(one.is_figure for one in looks.values()) else set()
    return found.difference(*(one.among(found) for one in looks.values() if not one.is_figure)) if found else found


def _tying(looks: Iterable[Seen], shared: set[int], ties: Ties) -> tuple[set[int], set[int]]:
    """Those of the shared objects that tie the names that hold them, and those that do not, and cannot change."""
    found, loose = set[int](), set[int]()
    shared.discard(identity(ties.namespace))
    for one in looks:
        ids = one.among(shared)
        if ids:
            shared -= ids
            objects = one.some(ids)
            unsure = {kind for kind in set(map(type, objects)) if not ties.always(kind)}
            if unsure:
                ids = {identity(obj) for obj in objects if type(obj) not in unsure or ties(obj)}
            if kinds := {kind for kind in unsure if unchanging.is_kind(kind)}:
                loose |= {identity(obj) for obj in objects if type(obj) in kinds} - ids
            found |= ids
    return found, loose


def _registered(looks: Iterable[Seen], shared: Set[int]) -> set[int]:
    """Those of the shared objects that their library gives again, the very same, when they are unpickled; with parts.

    So astropy does with its units. They need not be saved together to be one.
    """
    found: set[int] = set()
    for seen in looks:
        objects = seen.some(seen.among(shared - found))
        kinds = tuple(filter(_tells_itself, set(map(type, objects))))
        todo = [one for one in objects if type(one) in kinds and _is_given_again(one)] if kinds else []
        for one in todo[:]:
            attributes = getattr(one, "__dict__", {})
            todo += [attributes, *attributes.values()]  # from 3.13 on the collector knows the values, and not the dict
        while todo:
            one = todo.pop()
            if identity(one) in shared and identity(one) not in found:
                found.add(identity(one))
                todo += gc.get_referents(one)
    return found


def _tells_itself(kind: Any) -> bool:
    """Whether a class is a library's own, whose objects have a way of their own to be pickled, and to be equal."""
    if kind.__reduce__ is object.__reduce__ or kind.__eq__ is object.__eq__ or not references.by_reference(kind):
        return False
    return references.library_of(kind) not in ("", "builtins", "numpy", "pandas")  # which make new ones


def _is_given_again(obj: Any) -> bool:
    """Whether a function of its library makes of what it is pickled as the same object, and not another one."""
    with suppress(Exception):  # whatever the library raises
        function, args, *_ = obj.__reduce_ex__(2)
        library = references.library_of(type(obj))
        if type(function) is types.FunctionType and str(function.__module__).partition(".")[0] == library:
            return function(*args) is obj
    return False


def _sharers(looks: Mapping[str, Seen], twins: Iterable[list[str]], shared: set[int]) -> dict[Names, list[int]]:
    """Sort objects, given by `id`, by the names that hold them."""
    keys: list[Names] = [()]
    held_by: dict[int, int] = {}  # object to the index of a key
    for names in twins:
        ids = list(looks[names[0]].among(shared))
        if ids:
            before = list(map(held_by.get, ids, itertools.repeat(0)))
            longer = {}
            for index in set(before):
                longer[index] = len(keys)
                keys.append((*keys[index], *names))
            held_by.update(zip(ids, map(longer.__getitem__, before), strict=True))
    keys = [tuple(sorted(key)) for key in keys]
    found: dict[Names, list[int]] = {}
    for ident, index in held_by.items():
        found.setdefault(keys[index], []).append(ident)
    return found


def _rows(places: Sequence[Mapping[int, int]], ids: Iterable[int]) -> list[Row]:
    """The positions of the objects in each of their holders, in the order of the first one."""
    first = sorted(ids, key=places[0].__getitem__)
    columns = {identity(one): list(map(one.__getitem__, first)) for one in places}
    return list(zip(*(columns[identity(one)] for one in places), strict=True))


class Ties:
    """Tells whether sharing an object can be observed by changing it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self._by_type: dict[Any, Callable[[Any], bool] | bool] = dict.fromkeys(ATOMS, False)
        self._by_type |= {
            tuple: self._any_item,
            frozenset: self._any_item,
            types.FunctionType: self._definition,
            types.BuiltinFunctionType: lambda one: not references.by_reference(one),
        }

    def __call__(self, obj: Any) -> bool:
        if obj is self.namespace:
            return False
        answer = self._answer(type(obj))
        return answer if isinstance(answer, bool) else answer(obj)

    def always(self, kind: type) -> bool:
        """Whether all objects of a type tie, the namespace aside."""
        return self._answer(kind) is True

    def _answer(self, kind: type) -> Callable[[Any], bool] | bool:
        if kind not in self._by_type:
            self._by_type[kind] = self._for_type(kind)
        return self._by_type[kind]

    def _for_type(self, kind: type) -> Callable[[Any], bool] | bool:
        if kind in _IMMUTABLE or (kind.__module__ in _IMMUTABLE_MODULES and kind is not decimal.Context):
            return False
        if (kind.__module__, kind.__name__) in _IMMUTABLE_NAMES or issubclass(kind, types.ModuleType):
            return False
        if kind.__name__ in _IMMUTABLE_IN_PANDAS and references.library_of(kind) == "pandas":
            return False
        if issubclass(kind, type):
            return self._definition
        if issubclass(kind, enum.Enum):
            return self._definition(kind)  # a member is found in its class
        for module, name in _IMMUTABLE_BASES:
            base = getattr(sys.modules.get(module), name, None)
            if base is not None and issubclass(kind, base):
                return False
        if figures.is_shape(kind):
            return lambda one: figures.common_shape(one) is None
        if hasattr(kind, "__get__"):  # perhaps a function of a compiled library
            return lambda one: not references.by_reference(one)
        return True

    def _any_item(self, items: Iterable[Any]) -> bool:
        return any(map(self, items))

    def _definition(self, obj: Any) -> bool:
        return not references.by_reference(obj) and not tokens.is_plain_definition(obj, self.namespace)


_IMMUTABLE = frozenset({Placeholder, types.CodeType, slice, *forms.FORMS, type(forms.CALL)})
_IMMUTABLE_MODULES = unchanging.MODULES | {"re", "pandas._libs.tslibs.offsets"}
_IMMUTABLE_NAMES = frozenset(
    {("ckpt_magic.values.fingerprint", "_Form")}
    | {("torch", name) for name in ("dtype", "device", "Size", "layout", "memory_format", "qscheme")}
)
_IMMUTABLE_IN_PANDAS = unchanging.IN_PANDAS | {"NaTType", "NAType"}
_IMMUTABLE_BASES = (
    ("numpy", "generic"),
    ("numpy", "dtype"),
    ("numpy", "ufunc"),
    ("pandas.api.extensions", "ExtensionDtype"),
    ("pyarrow", "Buffer"),  # what is under it counts as memory
    ("pyarrow", "DataType"),
    ("pyarrow", "Array"),
    ("pyarrow", "ChunkedArray"),
)


# --- memory ---


def _shared_memory(looks: Mapping[str, Seen]) -> dict[Names, list[Row]]:
    """Where arrays of two names overlap. One array that both hold is a shared object, and need not be told here."""
    holders: dict[tuple[int, int, int, int, int], list[str]] = {}
    with_memory = {name: one for name, one in looks.items() if one.spans}
    for name, one in with_memory.items() if len(with_memory) > 1 else ():
        for span in one.spans:
            holders.setdefault((span.low, span.high, span.guard, span.refs, identity(span.array)), []).append(name)
    spans = sorted(holders)
    found: dict[Names, set[Row]] = {}
    for index, (low, high, guard, refs, array) in enumerate(spans):
        for other in itertools.islice(spans, index + 1, None):
            other_low, _, other_guard, other_refs, other_array = other
            if other_low >= high:
                break
            if guard and other_guard:
                apart = not _write_into(guard, refs, other_guard, other_refs)
            else:
                apart = array == other_array
            if apart:
                continue
            for name, other_name in itertools.product(holders[spans[index]], holders[other]):
                if name != other_name:
                    forward = name < other_name
                    key = (name, other_name) if forward else (other_name, name)
                    found.setdefault(key, set()).add((high - low, other_low - low if forward else low - other_low))
    return {key: sorted(rows) for key, rows in found.items()}


def _write_into(guard: int, refs: int, other_guard: int, other_refs: int) -> bool:
    """Whether of two that guard their memory one sees what is written by way of the other one."""
    if refs and other_refs:
        return refs != other_refs
    return bool(refs or other_refs) and not NEVER_WRITTEN.isdisjoint((guard, other_guard))


def views(looks: Iterable[Seen]) -> tuple[list[View], dict[int, str]]:
    """Plan how arrays over one buffer are written: one owner for each overlapping stretch of memory.

    Blocks of pandas that know of each other need not: who writes takes a copy. Those that were made over an array each
    by itself write into each other, and into what else lies there.

    Returns
    -------
    list of View
        The plan.
    dict
        By `id` of the array, the arrays whose sharing cannot be written, with the reason.
    """
    plan: list[View] = []
    refused: dict[int, str] = {}
    for union in stretches(sorted((span for one in looks for span in one.spans), key=lambda s: (s.low, -s.high))):
        if len(union) == 1 and not _has_a_form_of_its_own(union):  # as of nearly all
            continue
        if all(memmaps.root(span.array) is not None for span in union):
            continue  # each is written as a part of the map of its file
        if not are_shared(union):
            plan += [_owner(union)] if _has_a_form_of_its_own(union) else []
        elif why := _unwritable(union):
            is_free = any(not span.guard for span in union)
            refused.update((identity(span.array), why) for span in union if not (is_free and span.guard))
        else:
            plan.append(_owner(union))
    return plan, refused


def _has_a_form_of_its_own(union: Sequence[Span]) -> bool:
    """Whether an array that nothing shares with lies in its memory as numpy would not write it, at a fair price.

    Reversed, broadcast, part of one in Fortran's order: by its strides code can tell, also from the order of a copy.
    """
    array = union[0].array
    if type(array) is not sys.modules["numpy"].ndarray or array.flags.forc or array.dtype.hasobject:
        return False
    return all(span.array is array for span in union) and not (strided.is_loose(array) or strided.is_turned(array))


def _unwritable(union: Sequence[Span]) -> str:
    """Why arrays over one buffer cannot be written as views of one owner; empty if they can."""
    numpy = sys.modules["numpy"]
    for span in union:
        if type(span.array) is not numpy.ndarray and not span.guard and not is_plain_subarray(type(span.array)):
            return f"a {type(span.array).__name__} over the memory of another array"
    if any(span.array.dtype.hasobject for span in union):
        flat = _flat_owner(union)
        if flat is None or any(_path_from(flat, span.array) is None for span in union):
            return "arrays of objects that share their memory"
        if flat.dtype.kind == "T" and any(span.array.ndim != 1 and span.array is not flat for span in union):
            return "arrays of strings of any length that share their memory"
    return ""


def _owner(union: Sequence[Span]) -> View:
    """Choose the array that is written for the whole stretch: one that covers it, else bytes over it."""
    low, high = union[0].low, max(span.high for span in union)
    if union[0].array.dtype.hasobject:
        flat = _flat_owner(union)
        return View(address(flat), high, flat)
    for span in union:
        buffer = buffer_under(span.array)
        if buffer is not None:  # arrays over it are written over it, so all the others are too
            whole = sys.modules["numpy"].frombuffer(buffer, dtype="u1")
            start = address(whole)
            return View(start, start + whole.nbytes, whole)
    for span in union:
        array = span.array
        if type(array) is not sys.modules["numpy"].ndarray:
            continue
        if (span.low, span.high) == (low, high) and array.flags.c_contiguous and _is_open_buffer(array):
            return View(low, high, array)
    return View(low, high, _bytes_over(low, high, union))


def _is_open_buffer(array: Any) -> bool:
    """Whether other arrays can be made over this one and be written: dates, for one, are no buffers."""
    try:
        with memoryview(array) as view:
            return not view.readonly
    except ValueError:
        return False


def _flat_owner(union: Sequence[Span]) -> Any:
    """The flat array of objects that all of these are views of; None if there is none."""
    numpy = sys.modules["numpy"]
    low, high = union[0].low, max(span.high for span in union)
    for span in union:
        array = span.array
        while array is not None:
            if type(array) is numpy.ndarray and array.dtype.hasobject:
                start = address(array)
                if start <= low and high <= start + array.nbytes and array.flags.forc:
                    array = array if array.flags.c_contiguous else array.T
                    return array if array.ndim == 1 and is_writeable(array) else array.reshape(-1)
            array = getattr(array, "base", None)
    return None


def _path_from(flat: Any, array: Any) -> tuple[str, ...] | None:
    start, low = (address(one) for one in (array, flat))
    return field_path(flat.dtype, array.dtype, (start - low) % flat.itemsize)


def _bytes_over(low: int, high: int, union: Sequence[Span]) -> Any:
    holder = (ctypes.c_ubyte * (high - low)).from_address(low)
    holder.keep = [span.array for span in union]  # type: ignore[attr-defined]  # the memory is theirs
    kinds = {span.array.dtype for span in union}
    kind = kinds.pop()
    # numbers of one kind as such: libraries compare the number of elements of a view with that of its base
    is_of_one = not kinds and kind.kind in "biufc" and all(place % kind.itemsize == 0 for place in _places(low, union))
    return sys.modules["numpy"].frombuffer(holder, dtype=kind if is_of_one else "u1")


def _places(low: int, union: Sequence[Span]) -> Iterator[int]:
    """Where the arrays begin and end in the stretch that begins at `low`."""
    return (at - low for span in union for at in (span.low, span.high))
