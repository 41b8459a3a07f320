"""How a look takes apart what has more or less to it than what is written to a file."""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # no stubs
import abc
import functools
import io
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, Final

from ckpt_magic.values.canonical import fingerprint
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles import instances


def with_all_attributes(obj: Any) -> Any:
    """An object whose ``__getattribute__`` is not asked for anything: it may note each question."""
    return object.__new__, (type(obj),), instances.attributes(obj)


def partial(partial: functools.partial[Any]) -> Any:
    """A partial as it is without a `__dict__`: one that is asked for it is another thing to `functools.partial`."""
    reduced: Any = partial.__reduce__()
    made, args, (*parts, attributes) = reduced
    return made, args, (*parts, attributes or None)


def reduction(usual: Callable[[Any], Any] | None, obj: Any) -> Any:
    """What an object is reduced to, the usual way where there is one, else as pickle does."""
    reduced = NotImplemented if usual is None else usual(obj)
    return obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL) if reduced is NotImplemented else reduced


def with_left_out(usual: Callable[[Any], Any] | None, obj: Any) -> Any:
    """An object whose class says itself what of it is pickled, with its plain attributes: code may read any of them."""
    reduced = reduction(usual, obj)
    if not isinstance(reduced, tuple):
        return reduced
    made, args, *more = reduced
    plain = {name: digest for name, value in vars(obj).items() if (digest := fingerprint(value)) is not None}
    return made, args, (more[0] if more else None, plain), *more[1:]


def is_of_bytes(reduced: Any) -> bool:
    """Whether an object is written as bytes and nothing else, whatever it holds: a model of keras as an archive."""
    if not isinstance(reduced, tuple) or any(part is not None for part in reduced[2:]):
        return False
    args = reduced[1]  # a name alone finds what is there already, as that of a logger does
    has_bytes = any(type(part) in _BYTES for part in args)
    return has_bytes and all(instances.leads_nowhere(part) or type(part) in _BYTES for part in args)


_BYTES: Final = frozenset({bytes, bytearray, io.BytesIO})


def without_times(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tell a zip archive by the parts that it has: it notes when it was written, and so does keras in one of them."""
    made, args, *rest = reduced
    return made, tuple(_parts_of_archive(part) if type(part) is io.BytesIO else part for part in args), *rest


def _parts_of_archive(file: io.BytesIO) -> Any:
    copy = io.BytesIO(file.getbuffer())  # the other may be the object's own, at its position
    if not zipfile.is_zipfile(copy):
        return file
    with zipfile.ZipFile(copy) as archive:
        names = [name for name in archive.namelist() if name != "metadata.json"]
        return [(name, new_hash(archive.read(name)).hexdigest()) for name in names]


def left_to_chance(parts: Iterable[Any]) -> str:
    """Why an object of these parts, made of bytes, would go on with other random numbers; empty if it would not."""
    layer = getattr(sys.modules.get("keras.src.layers.layer"), "Layer", ())
    for one in parts:
        if type(one).__name__ in _GENERATORS:
            return f"it holds a {type(one).__name__}, of which nothing is written"
        if issubclass(type(one), layer) and not vars(one).get("built") and any(map(_draws, vars(one).values())):
            return f"it holds a {type(one).__name__} layer that gets its weights when it is first used"
    return ""


def _draws(value: Any) -> bool:
    return any(kind.__name__ == "RandomInitializer" for kind in type.mro(type(value)))


_GENERATORS: Final = frozenset({"SeedGenerator", "RandomState", "Generator"})


def without_caches(obj: Any) -> Any:
    """Reduce an object of pandas without what it notes on the way: reading `.unit` of dates is no change."""
    reduced = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if not isinstance(reduced, tuple):
        return reduced
    if len(reduced) < 3:
        return reduced
    state = reduced[2]
    if type(state) is tuple:  # an empty dict is as good as none: dates have one once they were read
        state = tuple(part for part in map(_uncached, state) if type(part) is not dict or part)
    return (*reduced[:2], _uncached(state), *reduced[3:])


def _uncached(state: Any) -> Any:
    if type(state) is not dict or state.keys().isdisjoint(("_cache", "_readonly")):
        return state
    # what was made as a view says of itself that it can be written; else the class does
    return {key: value for key, value in state.items() if key != "_cache" and (key, value) != ("_readonly", False)}


def with_no_caches(usual: Callable[[Any], Any] | None, obj: Any) -> Any:
    """Reduce an object of a library without the attributes that it calls caches, or makes when it is first used."""
    reduced = reduction(usual, obj)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or type(reduced[2]) is not dict:
        return reduced
    kept = {name: value for name, value in reduced[2].items() if not _is_cache(name, value)}
    return (*reduced[:2], kept, *reduced[3:])


def _is_cache(name: Any, value: Any) -> bool:
    """Whether an attribute is one; a switch, as `use_cache` is, is a setting."""
    return name in _OF_COLORMAPS or ("cache" in str(name) and type(value) is not bool)


_OF_COLORMAPS: Final = ("_lut", "_isinit")


def keeps_selection(kind: type) -> bool:
    """Whether what an object of pandas notes can be seen later: groups go on with the columns first selected."""
    mixin = getattr(sys.modules.get("pandas.core.base"), "SelectionMixin", ())
    return issubclass(kind, mixin)


def without_full_validity(array: Any) -> Any:
    """Reduce an array of Arrow without the bits that say of every element that it is there: older files have none."""
    made, (data, *rest) = array.__reduce__()
    return made, (_all_there(data), *rest)


def _all_there(data: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, length, nulls, offset, buffers, children, *rest = data
    if nulls == 0 and buffers and buffers[0] is not None:  # counted once: the memory may have been written to since
        first, last = offset // 8, (offset + length + 7) // 8
        bits, every = int.from_bytes(memoryview(buffers[0])[first:last], "little"), (1 << length) - 1
        if bits >> offset % 8 & every == every:
            buffers = [None, *buffers[1:]]
    return kind, length, nulls, offset, buffers, [_all_there(child) for child in children], *rest


def virtual_subclasses(cls: abc.ABCMeta) -> dict[str, type]:
    """Classes that were registered with an abstract class, by name, in order; they are no attributes of it."""
    found = [sub for ref in _abc._get_dump(cls)[0] if (sub := ref()) is not None]
    return dict(sorted((f"{sub.__module__}.{sub.__qualname__}", sub) for sub in found))


def registered(cls: abc.ABCMeta) -> tuple[Any, ...]:
    """The same for a look: one of the notebook that changes comes back as another class."""
    found = virtual_subclasses(cls)
    return *found, *(sub for sub in found.values() if sub.__module__ == "__main__")
