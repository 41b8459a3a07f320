"""Figures of matplotlib: which one a value leads into, what of its parts counts, is the library's, and ties axes.

Every part of a figure leads to all of it. Knows no pickle.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.references import ATOMS


def behind(value: Any) -> Any:
    """The figure that a value is a part of, or that a container holds a part of; None if there is none to be seen."""
    base: Any = getattr(sys.modules.get("matplotlib.artist"), "Artist", None)
    if base is None:
        return None
    level = [value]
    for _ in range(_DEEP):
        for one in level:
            if issubclass(type(one), base):
                return _root(one)
        some = [list(itertools.islice(_items(one), _MANY)) for one in level]  # at once: a thread may change them
        level = [one for one in itertools.chain.from_iterable(some) if type(one) not in ATOMS]
    return None


def _root(artist: Any) -> Any:
    """The figure that an artist belongs to, through subfigures; read as attributes, which run no code."""
    figure: Any = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
    while artist is not None and not issubclass(type(artist), figure):
        attributes = vars(artist)
        artist = next(filter(None, map(attributes.get, _UPWARD)), None)
    return artist


def _items(value: Any) -> Iterable[Any]:
    """What a container of parts holds: the axes of `subplots`, the lines of `plot`, what `boxplot` gives."""
    if issubclass(type(value), (list, tuple)):
        return tuple.__iter__(value) if issubclass(type(value), tuple) else list.__iter__(value)
    if type(value) is dict:
        return value.values()
    array: Any = getattr(sys.modules.get("numpy"), "ndarray", None)
    return value.flat if type(value) is array and value.dtype.hasobject else ()


_DEEP: Final = 3  # levels: the value, its items, and theirs
_MANY: Final = 20  # items of one container
_UPWARD: Final = ("_root_figure", "_parent_figure", "figure")  # of a subfigure; of an artist; before matplotlib 3.10


def settings() -> dict[int, tuple[str, list[Any]]]:
    """By `id`, lists that the settings of matplotlib hold, with their keys: figures hold the very same ones.

    They tie no figures together, since a restored figure finds them again. Lists of other things than plain values
    do: whether a setting still holds the same cannot be told of these in another kernel.
    """
    found: Any = getattr(sys.modules.get("matplotlib"), "rcParams", None)
    items = [*dict.items(found)] if isinstance(found, dict) else ()  # at once: a thread may change them
    return {identity(one): (key, one) for key, one in items if type(one) is list and ATOMS.issuperset(map(type, one))}


def is_shape(kind: type) -> bool:
    """Whether a type is that of the paths of matplotlib."""
    return kind.__module__ == "matplotlib.path" and kind.__name__ == "Path"


def common_shape(path: Any) -> Form | None:
    """What calls matplotlib for a path that it has once for all figures; None for any other path."""
    return _asked_for(path, lambda one: one is path) if vars(path).get("_readonly") else None


def lender_of_codes(path: Any) -> Form | None:
    """What calls matplotlib for the common path that lent its codes to another one, as a circle does to `scatter`."""
    codes = vars(path).get("_codes")
    return None if codes is None else _asked_for(path, lambda one: one is not None and one.codes is codes)


def _asked_for(path: Any, is_meant: Callable[[Any], bool]) -> Form | None:
    cls: Any = type(path)
    for name in _SHAPES:
        if is_meant(getattr(cls, f"_{name}", None)):
            return Form(getattr(cls, name))
    for name in _SHAPES_BY_SIZE:
        for size, one in [*getattr(cls, f"_{name}s", {}).items()]:
            if is_meant(one):
                return Form(getattr(cls, name), *(size if type(size) is tuple else (size,)))
    return None


_SHAPES: Final = ("unit_rectangle", "unit_circle", "unit_circle_righthalf")
_SHAPES_BY_SIZE: Final = ("unit_regular_polygon", "unit_regular_star")


def reducer(kind: type, usual: Callable[[Any], Any] | None, note: Callable[[Any], None]) -> Callable[[Any], Any] | None:
    """How a look reduces what figures consist of; None for other kinds.

    Parameters
    ----------
    kind
        A type.
    usual
        How its objects would be reduced; None if the pickler does that.
    note
        Is called with mutable objects that are met in copies.
    """
    if kind.__name__ == "_AxesStack" and kind.__module__ == "matplotlib.figure":
        return _axes_in_order
    for module, name, left_out in _PARTS:
        if issubclass(kind, getattr(sys.modules.get(module), name, ())):
            return functools.partial(_part, left_out, usual or _as_usual, note)
    return None


def _part(left_out: Set[str], usual: Callable[[Any], Any], note: Callable[[Any], None], obj: Any) -> tuple[Any, ...]:
    """Reduce what figures consist of without attributes that are others after a restore, and with tuples met anew."""
    made, args, *rest = usual(obj)
    if rest and isinstance(rest[0], dict):
        rest[0] = {
            name: _anew(part, note) if type(part) is tuple or name in _SHARED else part
            for name, part in rest[0].items()
            if name not in left_out
        }
    return made, args, *rest


def _anew(part: Any, note: Callable[[Any], None]) -> Any:
    """Copy tuples and, where all figures have the same ones, lists and dicts, which are noted as met."""
    kind = type(part)
    if kind not in _COPIED:
        return part
    if kind is not tuple:
        note(part)
    if kind is dict:
        return {key: _anew(item, note) for key, item in part.items()}
    # colour maps have thousands of numbers
    return kind([_anew(item, note) if type(item) in _COPIED else item for item in part])


def _as_usual(obj: Any) -> Any:
    return obj.__reduce_ex__(PROTOCOL)


def _axes_in_order(stack: Any) -> Any:
    """Reduce the axes of a figure with their order: the numbers that stand for it go on otherwise after a restore."""
    axes = [*getattr(stack, "_axes", ())]
    return type(stack), (), [axes, sorted(axes, key=stack._axes.__getitem__)]


_PARTS: Final[tuple[tuple[str, str, frozenset[str]], ...]] = (
    # how many callbacks there were: a restored figure connects some of its own anew
    ("matplotlib.cbook", "CallbackRegistry", frozenset({"_cid_gen"})),
    # the transforms that are built on one, by address, dead ones too; what it told when it was last asked
    ("matplotlib.transforms", "TransformNode", frozenset({"_parents", "_invalid", "_inverted"})),
    # the paths follow from the other attributes, and are often those of the library
    ("matplotlib.markers", "MarkerStyle", frozenset({"_path", "_alt_path"})),
    # colours are tuples out of a cache
    ("matplotlib.artist", "Artist", frozenset()),
    ("matplotlib.ticker", "Formatter", frozenset()),
    ("matplotlib.axes._base", "_process_plot_var_args", frozenset()),
    ("matplotlib.axes._base", "_PropCycle", frozenset()),
    ("matplotlib.colors", "Colormap", frozenset()),
)
_COPIED: Final = frozenset({dict, list, tuple})
_SHARED: Final = frozenset({"_path_effects", "_powerlimits", "_cycler_items", "colors"})  # with the library


def with_common_scales(inner: Mapping[int, Any]) -> set[int]:
    """By `id`, weak references by which matplotlib goes from axes to those with the same scale, if all are inside.

    Whoever changes the scale of one names it, or has it by another reference; see `hidden_ways` for the groups.
    """
    axes = getattr(sys.modules.get("matplotlib.axes._base"), "_AxesBase", None)
    found = set[int]()
    for grouper in (*getattr(axes, "_shared_axes", {}).values(), getattr(axes, "_twinned_axes", None)):
        sets: Mapping[Any, Any] = getattr(getattr(grouper, "_mapping", None), "data", {})
        places: Mapping[Any, Any] = getattr(getattr(grouper, "_ordering", None), "data", {})
        inside = {ref: all(identity(one) in inner for one in group) for ref, group in list(sets.items())}
        met = {identity(ref()) for ref, is_inside in inside.items() if is_inside}
        refs = itertools.chain(sets, places, *(group.data for group in sets.values()))
        found.update(identity(ref) for ref in refs if identity(ref()) in met)
    return found
