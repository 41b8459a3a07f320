"""Which nan a value holds, or infinity: that of numpy, of `math`, or one of its own.

A nan is equal to nothing, itself included. Code therefore asks which object it is: `x is np.nan`, and so do Python's
containers (`np.nan in values`, `table[np.nan]`). Pickle writes a float wherever it meets it and asks nobody about it,
so that each reader has nans of its own. Those of libraries are put back where they were: in what can be changed once it
is there; in what cannot by writing it before anything that holds it, with a call in place of the number. Infinity, too.
"""

from __future__ import annotations

import collections
import gc
import math
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.values import owned
from ckpt_magic.values.memory import holds, identity
from ckpt_magic.values.pickles.forms import Form
from ckpt_magic.values.pickles.references import ATOMS

_HOMES: Final = ("math", "cmath", "numpy")
_NAMES: Final = ("nan", "inf")
_PIECE: Final = 1 << 16  # objects whose parts are asked for at once
_LISTS: Final = frozenset({list, collections.deque})
_DICTS: Final = frozenset({dict, collections.defaultdict, collections.OrderedDict, collections.Counter})
_FIXED: Final = frozenset({tuple, set, frozenset})

PUT_BACK: Final = """lambda one, filled, keyed, named: (
    [holder.__setitem__(place, one) for holder, places in filled for place in places],
    [(lambda items: (holder.clear(), [holder.__setitem__(one if at in keys else key, one if at in values else value)
        for at, (key, value) in enumerate(items)]))([*holder.items()]) for holder, keys, values in keyed],
    [held.__setitem__(name, one) for obj, names in named for held in [getattr(obj, '__dict__', {})] for name in names
        if isinstance(held.get(name), float) and (held[name] == one or one != one != held[name] != held[name])])"""
"""Code that puts a number where it was; whose class writes it in its own way may have other attributes."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where values hold a number that a library has under a name.

    Attributes
    ----------
    constant
        The number.
    filled
        Lists and dicts, and where in them: the index or the key.
    keyed
        Dicts with a nan among the keys; of all items the numbers of those with the number for a key, and for a value.
    named
        Objects, and their attributes.
    fixed
        Tuples and sets of atoms that hold it.
    """

    constant: float
    filled: list[tuple[Any, list[Any]]]
    keyed: list[tuple[Any, list[int], list[int]]]
    named: list[tuple[Any, list[str]]]
    fixed: list[Any]

    def among(self, written: Set[int]) -> Iterator[list[Any]]:
        """What `PUT_BACK` is given for those of the holders that were written, by their `id`."""
        for rows in (self.filled, self.keyed, self.named):
            yield [row for row in rows if identity(row[0]) in written]

    def holders(self) -> set[int]:
        """The `id` of what has to be remembered."""
        return {identity(row[0]) for row in (*self.filled, *self.keyed, *self.named)}


def known() -> dict[int, Form]:
    """What gets each of the numbers, by its `id`."""
    return {identity(one): Form(getattr, module, name) for module, name, one in _constants()}


def numbers() -> list[float]:
    """The numbers."""
    return [one for _, _, one in _constants()]


def _constants() -> Iterator[tuple[Any, str, float]]:
    for module in [sys.modules[name] for name in _HOMES if name in sys.modules]:
        for name in _NAMES:
            if type(one := vars(module).get(name)) is float:
                yield module, name, one


def held(parts: Iterable[Collection[Any]], functions: Iterable[Any], own: Iterable[float] = ()) -> list[Held]:
    """Where values hold the numbers.

    Parameters
    ----------
    parts
        Of each value what it consists of, atoms aside.
    functions
        Definitions of the notebook that the values reach.
    own
        Numbers of the notebook's own that are searched for as well.
    """
    constants = [*numbers(), *own]
    rows = {identity(one): Held(one, [], [], [], []) for one in constants}
    found = [one for objects in parts if _hold_some([*objects], constants) for one in objects]
    found += (one for one in functions if type(one) is types.FunctionType)
    for one in {identity(one): one for one in found}.values():
        _note(one, rows)
    return [row for row in rows.values() if row.filled or row.keyed or row.named or row.fixed]


def _hold_some(objects: list[Any], constants: list[float]) -> bool:
    pieces = (objects[start : start + _PIECE] for start in range(0, len(objects), _PIECE))
    return any(holds(gc.get_referents(*piece), constants) for piece in pieces)


def _note(one: Any, rows: Mapping[int, Held]) -> None:
    kind = type(one)
    if kind in _LISTS:
        _fill(one, enumerate(one), rows)
    elif kind in _DICTS:
        if not any(type(key) is float and math.isnan(key) for key in one):
            _fill(one, dict.items(one), rows)
            return
        keys, values = _places(enumerate(one), rows), _places(enumerate(dict.values(one)), rows)
        for ident in keys.keys() | values.keys():
            rows[ident].keyed.append((one, keys.get(ident, []), values.get(ident, [])))
    elif kind in _FIXED:
        if ATOMS.issuperset(map(type, one)):
            for ident in [*_places(enumerate(one), rows)][:1]:  # it is written once, with all the numbers in it
                rows[ident].fixed.append(one)
    elif kind is types.FunctionType:
        _note(one.__defaults__ or (), rows)
        _note(one.__kwdefaults__ or {}, rows)
        _name(one, vars(one), rows)
    else:
        _name(one, owned.attributes_of(one), rows)


def _fill(one: Any, items: Iterable[tuple[Any, Any]], rows: Mapping[int, Held]) -> None:
    for ident, places in _places(items, rows).items():
        rows[ident].filled.append((one, places))


def _name(one: Any, attributes: Mapping[str, Any], rows: Mapping[int, Held]) -> None:
    for ident, names in _places(attributes.items(), rows).items():
        rows[ident].named.append((one, names))


def _places(items: Iterable[tuple[Any, Any]], rows: Mapping[int, Held]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for place, item in items:
        if identity(item) in rows:
            found.setdefault(identity(item), []).append(place)
    return found
