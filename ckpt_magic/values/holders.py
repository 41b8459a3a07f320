"""Whether anything but its name leads into a value: only then can code that does not name it not change it.

Python counts the references to every object, and a look meets every reference that a value holds. What is counted
beyond those is held by somebody else: another variable, a library, a thread, a closure, the history of results.
Living functions of the notebook are held by anybody, and name what they change.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import functools
import gc
import itertools
import operator
import sys
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from ckpt_magic.values import collector
from ckpt_magic.values.code import reaching, source
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import LARGE, Content
from ckpt_magic.values.pickles import figures
from ckpt_magic.values.pickles.forms import Form
from ckpt_magic.values.pickles.parts import is_namedtuple
from ckpt_magic.values.pickles.references import ATOMS, importable, library_of
from ckpt_magic.values.seen import ARROW, Seen, Span


def named_by_code(namespace: dict[str, Any]) -> set[str] | None:
    """Names that living functions of the notebook mention, wherever those are held, in code or in texts.

    None if one of them may find anything without naming it. Takes a look at every object of the process.
    """
    if collector.is_blind():
        return None
    found: set[str] = set()
    for one in gc.get_referrers(namespace):
        if type(one) is types.FunctionType and one.__globals__ is namespace:
            used = reaching.uses(one.__code__)
            if source.reaches_all(used) or hidden_ways(used, namespace, one.__code__.co_names):
                return None
            if reaching.takes_addresses(one.__code__):
                return None
            found |= used | reaching.mentioned(one.__code__)
    return found


def kinds_counted(seen: Seen) -> Set[type]:
    """The types of what a value consists of; none if a look does not visit each of its references once."""
    kinds = set(map(type, itertools.islice(seen.met.values(), seen.tree or None)))
    return kinds if all(map(_shows_its_references, kinds)) else frozenset()


def made_for_look(
    seen: Seen, kinds: Set[type], ties: Callable[[Any], bool], names: int, maps: Set[int] = frozenset()
) -> Set[int] | None:
    """Find out whether nothing but one name leads into a value: None if something else may do.

    Parameters
    ----------
    seen
        A look that still holds what it met; what it met of definitions of the notebook holds nothing that can be
        changed.
    kinds
        What `kinds_counted` tells of it, not none.
    ties
        Tells which objects can be changed, so that it matters who holds them.
    names
        How many mappings hold the value itself: the namespace, and those made for the look.
    maps
        By `id`, maps of checkpoint files, over which only what was restored lies.

    Returns
    -------
    set of int or None
        By `id`, objects met that are no part of the value: pickling made them.
    """

    def objects() -> Iterator[Any]:  # no list: it would hold them, too
        return itertools.islice(seen.met.values(), seen.tree or None)

    if not _is_of_arrow_alone(seen, kinds):
        return None
    lent = _lent(seen, kinds, maps)
    if lent is None:
        return None
    made: Set[int] = frozenset()
    counted = list(map(sys.getrefcount, objects()))
    met = _times_met(seen)
    own = _own_references()
    # as a rule an object is held once, and so met once: `held` is then counted - met - own == met
    unusual = [at for at, n in enumerate(map(operator.sub, map(operator.sub, counted, met), met)) if n != own]
    if unusual:
        every = list(objects())
        spans = Counter(identity(span.array) for span in seen.spans)
        held = [n - times - own for n, times in zip(counted, met, strict=True)]
        for at in unusual:
            held[at] -= spans[identity(every[at])] + lent[identity(every[at])]
        _discount_what_the_look_made(every, held, unusual)
        met[0] += names - 1  # that the look began with it is no reference
        common = _common_to_all_frames()
        if any(held[at] > met[at] and identity(every[at]) not in common and ties(every[at]) for at in unusual):
            return None
        made = {identity(one) for one, n in zip(every, held, strict=True) if n <= 0}
    held_weakly = itertools.compress(objects(), map(weakref.getweakrefcount, objects()))
    others = any(ties(one) for one in held_weakly if not _is_held_weakly_by_itself(one))
    return None if others else made


def _is_of_arrow_alone(seen: Seen, kinds: Iterable[type]) -> bool:
    """Whether data of Arrow lies in memory of its own: numbers may lie over an array, which it does not say.

    Texts are copied into it as a rule; but that is no proof, and where much is at stake it does not do.
    """
    sizes = [span.high - span.low for span in seen.spans if span.guard == ARROW]
    if not sizes:
        return True
    base = getattr(sys.modules.get("pyarrow"), "Array", ())
    arrays = {kind.__name__ for kind in kinds if issubclass(kind, base)}
    return max(sizes) < LARGE and arrays <= {"StringArray", "LargeStringArray"}


def _lent(seen: Seen, kinds: Iterable[type], maps: Set[int]) -> Counter[int] | None:
    """By `id`, to how many arrays of a value an object lends its memory; None if others can get at that memory."""
    array, scalar = _ndarray(), getattr(sys.modules.get("numpy"), "void", memoryview)
    views = tuple(kind for kind in kinds if issubclass(kind, (array, scalar)))
    times: Counter[int] = Counter()
    lenders: dict[int, Any] = {}
    todo = [one for one in seen.met.values() if type(one) in views] if views else []
    for content in seen.contents:
        exporter = content.exporter()  # which the buffer holds; the array itself, or one that was made over it
        if exporter is not None:
            times[identity(exporter)] += identity(exporter) in seen.met
            todo += [exporter] if identity(exporter) not in seen.met and issubclass(type(exporter), array) else []
    exporter = None
    while todo:
        one = todo.pop()
        if issubclass(type(one), array) and one.base is None and not one.flags.owndata:
            return None
        base = one.obj if type(one) is memoryview else one.base
        if base is None or identity(base) in maps:
            continue
        if not issubclass(type(base), (array, memoryview, bytes, bytearray)) or type(one) is memoryview:
            return None
        times[identity(base)] += 1
        if identity(base) not in lenders:
            lenders[identity(base)] = base
            todo += [base] if not issubclass(type(base), (bytes, bytearray)) else []
    outside = {ident: base for ident, base in lenders.items() if ident not in seen.met}
    one = base = None
    del lenders
    own = _own_references()
    counted = dict(zip(outside, map(sys.getrefcount, outside.values()), strict=True))
    return times if all(n == own + times[ident] for ident, n in counted.items()) else None


def openings(
    looks: Sequence[Seen], ties: Callable[[Any], bool], spaces: Sequence[dict[str, Any]], names: Iterable[str]
) -> list[Any] | None:
    """What can be changed in a group of values by others who hold some of it; None if that may be anything.

    It goes as the garbage collector does: along all references that objects own, from the looks on. An object with
    more references than were met on the way, or held weakly by what was not met, is held by others. Whatever cannot
    be gone along makes for references too many, never for too few.

    Parameters
    ----------
    looks
        Looks that still hold what they met, and that found no definitions of the notebook.
    ties
        Tells which objects can be changed, so that it matters who holds them.
    spaces
        The namespace, and the mappings of names that were made for the look.
    names
        The names of the group; what other names hold is held by others.
    """
    stops = {identity(space): space for space in spaces}
    ours = Counter(identity(space[name]) for name in names for space in stops.values() if name in space)
    content = {ident for seen in looks for ident in seen.met}
    if not all(map(_can_be_followed, {type(one) for seen in looks for one in seen.met.values()})):
        return None
    inner: dict[int, Any] = {identity(one): one for one in looks}
    times: Counter[int] = Counter()
    level: list[Any] = list(looks)
    while level:
        near = _referents(level)
        leaves = set(filter(_is_leaf, set(map(type, near))))
        near = [one for one in near if type(one) not in leaves]
        idents = list(map(identity, near))
        times.update(idents)
        found = dict(zip(idents, near, strict=True))
        found = {at: one for at, one in found.items() if at not in inner and at not in stops and _is_entered(one)}
        inner |= found
        level = list(found.values())
        if len(inner) > 4 * len(content) + _FEW:
            return None
    del near, found
    if not {weakref.ProxyType, weakref.CallableProxyType}.isdisjoint(map(type, inner.values())):
        return None
    own = _own_references()
    counted = dict(zip(inner, map(sys.getrefcount, inner.values()), strict=True))
    others = {ident: n - own - times[ident] - ours.get(ident, 0) for ident, n in counted.items()}
    if min(others.values()) < 0:
        return None  # a reference that is not owned
    entries = [one for ident, one in inner.items() if others[ident] and type(one) not in _OURS]
    held_weakly = itertools.compress(inner.values(), map(weakref.getweakrefcount, inner.values()))
    known = dict.fromkeys(figures.with_common_scales(inner), 0)
    entries += [
        one
        for one in held_weakly
        if any(others.get(ident, known.get(ident, 1)) for ident in map(identity, weakref.getweakrefs(one)))
    ]
    reached: dict[int, Any] = {}
    while entries:
        reached.update(zip(map(identity, entries), entries, strict=True))
        if len(reached) > _OPEN:
            return None
        near = _referents(entries)
        near += [one for ref in entries if issubclass(type(ref), weakref.ref) and (one := weakref.ref.__call__(ref))]
        entries = [one for one in near if identity(one) in inner and identity(one) not in reached]
    lenders = _lenders(inner, content)
    if lenders is None or not reached.keys().isdisjoint(lenders):
        return None
    return [one for ident, one in reached.items() if ident in content and ties(one)]


def _referents(objects: list[Any]) -> list[Any]:
    """All that objects own references to, as far as that can be told."""
    found = gc.get_referents(*objects)
    array = _ndarray()
    if array.__flags__ & collector.COLLECTED:
        return found
    for one in objects:
        if issubclass(type(one), array):  # the collector knows nothing of what arrays hold
            base = array.base.__get__(one)
            if base is not None:
                found.append(base)
            if type(one) is array and one.dtype == object and one.flags.owndata:
                found += one.ravel().tolist()
    return found


def _is_leaf(kind: type) -> bool:
    """Whether objects of a type are no part of a value, or lead to nothing that is."""
    return kind in ATOMS or kind in (types.ModuleType, types.CodeType) or issubclass(kind, type)


def _is_entered(obj: Any) -> bool:
    """Whether an object may be part of a value: not a definition, nor the globals of a module."""
    kind = type(obj)
    if kind is types.FunctionType:
        return "<locals>" in obj.__qualname__
    if kind is types.BuiltinFunctionType:
        return obj.__self__ is not None and type(obj.__self__) is not types.ModuleType
    return not (kind is dict and ("__builtins__" in obj or "__spec__" in obj))


def _can_be_followed(kind: type) -> bool:
    """Whether all that an object of this type says of itself is in what it refers to."""
    if kind in _PLAIN or kind in _FOLLOWED or issubclass(kind, (type, types.ModuleType, enum.Enum)):
        return True
    if all(cls is object or not importable(cls) for cls in kind.__mro__) and _is_reduced_by_object(kind):
        return True  # an instance of the notebook's: its attributes and slots
    return library_of(kind) in _OPEN_TO_SEE and kind.__name__ != "memmap"


def _lenders(inner: Mapping[int, Any], content: Set[int]) -> Set[int] | None:
    """By `id`, what arrays of a value have their memory from and is no part of it; None if it is not of this process.

    A file, or what other processes share, can be written to without any reference.
    """
    array = _ndarray()
    found: dict[int, Any] = {}
    level = [one for ident, one in inner.items() if ident in content and issubclass(type(one), (array, memoryview))]
    while level:
        if any(issubclass(type(one), array) and one.base is None and not one.flags.owndata for one in level):
            return None
        around = (one for one in _referents(level) if type(one) is not dict)  # as masked arrays have: it lends nothing
        near = {identity(one): one for one in around if identity(one) in inner and identity(one) not in content}
        level = [one for ident, one in near.items() if ident not in found]
        if not all(issubclass(type(one), (array, *_MEMORY)) for one in level):
            return None
        found.update(zip(map(identity, level), level, strict=True))
    return found.keys()


def _ndarray() -> Any:
    """The class of arrays; another one that arrays are not confused with if numpy is not there."""
    return getattr(sys.modules.get("numpy"), "ndarray", memoryview)


_FEW: Final = 10_000  # objects around a value that are no content
_OPEN: Final = 1_000  # objects that may be open to others
_MEMORY: Final = (memoryview, bytes, bytearray, type(gc.get_referents(memoryview(b""))[0]))
_OPEN_TO_SEE: Final = frozenset({"numpy", "matplotlib", "mpl_toolkits", "pickle", "sklearn"})
_OURS: Final = frozenset({Seen, Span, Content})


def _times_met(seen: Seen) -> list[int]:
    """How often the look met each object."""
    if len(seen.held) == (seen.tree or len(seen.met)):
        return [1] * len(seen.held)
    times = Counter(map(identity, seen.held))
    return list(map(times.__getitem__, seen.met))


def _own_references() -> int:
    """References that the count itself sees to an object that nobody but `met` holds."""
    return next(map(sys.getrefcount, {0: object()}.values()))


def _common_to_all_frames() -> set[int]:
    """The `id` of lists that are attributes of classes of pandas, and come with the state of each frame."""
    pandas = sys.modules.get("pandas")
    kinds: Iterable[Any] = (getattr(pandas, name, None) for name in ("DataFrame", "Series"))
    return {identity(kind._metadata) for kind in kinds if hasattr(kind, "_metadata")}


def _is_held_weakly_by_itself(obj: Any) -> bool:
    """Whether a weak reference is the one that pandas keeps of a frame, a block, an index."""
    if library_of(type(obj)) != "pandas":
        return False
    references = weakref.getweakrefs(obj)
    return len(references) == 1 and sys.getrefcount(references[0]) <= 3  # the list, the argument, and pandas


def _discount_what_the_look_made(objects: list[Any], held: list[int], unusual: list[int]) -> None:
    """Take away references that come from objects which nobody holds: pickling made them."""
    made = [at for at in unusual if held[at] <= 0]
    place = {identity(one): at for at, one in enumerate(objects)} if made else {}
    while made:
        parts = itertools.chain.from_iterable(map(gc.get_referents, map(objects.__getitem__, made)))
        made = []
        for ident, times in Counter(map(identity, parts)).items():
            at = place.get(ident)
            if at is not None and held[at] > 0:
                held[at] -= times
                if held[at] <= 0:
                    made.append(at)


def _shows_its_references(kind: type) -> bool:
    """Whether pickling an object of this type visits each reference that it holds once."""
    if kind in _PLAIN or kind.__name__ in _WRITTEN_BY_NAME or library_of(kind) in _LIBRARIES:
        return True
    if issubclass(kind, (type, types.ModuleType)) or is_namedtuple(kind):
        return True
    return _is_reduced_by_object(kind)


def _is_reduced_by_object(kind: type) -> bool:
    """Whether objects of a type are pickled as Python does it where nobody says how."""
    own = (getattr(kind, name, None) is getattr(object, name, None) for name in _REDUCTION)
    return kind not in copyreg.dispatch_table and all(own)


_PLAIN: Final = frozenset(
    {list, dict, tuple, set, frozenset, bytearray, slice, types.SimpleNamespace}
    | {types.BuiltinFunctionType, types.FunctionType, types.MethodDescriptorType}
)
_FOLLOWED: Final = frozenset(
    {object, collections.OrderedDict, types.MethodType, functools.partial, itertools.count, Form}
    | {types.CodeType, types.CellType, types.MemberDescriptorType, property, staticmethod, classmethod}
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
        "pathlib",
        "pickle",
    }
)
_WRITTEN_BY_NAME: Final = frozenset({"cython_function_or_method"})
_REDUCTION: Final = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


def hidden_ways(names: Iterable[str], namespace: Mapping[str, Any], words: Iterable[str] = ()) -> bool:
    """Whether code that uses these names may reach objects that no name leads to (`gc`, `ctypes`, `sys`, …).

    Of the `words` in it those count that stand for groups of axes of all figures.
    """
    if not _GROUPS_OF_AXES.isdisjoint(words):
        return True
    for name in names:
        value: Any = namespace.get(name)
        kind = type(value)
        origin = name if name not in namespace else ""
        if issubclass(kind, types.ModuleType):
            origin = str(vars(value).get("__name__", ""))
        elif kind is types.BuiltinFunctionType or (kind is types.FunctionType and value.__globals__ is not namespace):
            origin = value.__module__ or ""  # a function of the notebook is asked itself
        if name in _HIDDEN_WAYS or origin.partition(".")[0] in _HIDDEN_WAYS:
            return True
    return sys.gettrace() is not None  # a debugger: what is typed there is not seen


_HIDDEN_WAYS: Final = frozenset({"gc", "ctypes", "cffi", "inspect", "sys", "__main__", "mmap", "weakref"})
_GROUPS_OF_AXES: Final = frozenset({"_shared_axes", "_twinned_axes", "get_shared_x_axes", "get_shared_y_axes"})
