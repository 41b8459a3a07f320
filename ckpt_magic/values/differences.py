"""In which places two values differ, told for people: paths such as `model.coef_`, amounts such as `max 3e-9`.

Compares by structure, not by identity: the values of two files have classes that are two objects each.
Imports no library: what was never imported holds nothing to compare.
"""

from __future__ import annotations

import datetime
import math
import numbers
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Literal

from ckpt_magic.values.slots import Unnoted

Kind = Literal["type", "value", "length", "shape", "dtype", "index", "cells", "code", "added", "removed", "unknown"]

LIMIT = 20
_VISITS = 200_000  # pairs of objects that are looked at, so that a huge graph takes seconds and not hours
_BRIEF = 60  # letters of a repr
_LONG_INT = 1000  # bits


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two values differ.

    Attributes
    ----------
    path
        Where, as an expression: `df["price"]`, `model.coef_`.
    kind
        In what; `unknown` where it could not be told.
    old, new
        Short texts; empty where only an amount can be given.
    amount
        How much, e.g. `3 of 1,000 values, max 0.25`.
    """

    path: str
    kind: Kind
    old: str = ""
    new: str = ""
    amount: str = ""

    def text(self) -> str:
        """One line for people."""
        match self.kind:
            case "added" | "removed":
                return f"{self.path} {self.kind}" + (f": {self.new or self.old}" if self.new or self.old else "")
            case "cells" | "unknown" | "code":
                return f"{self.path}: {self.amount}"
            case "value":
                return f"{self.path}: {self.old} → {self.new}" + (f" ({self.amount})" if self.amount else "")
            case _:
                return f"{self.path}: {self.kind} {self.old} → {self.new}"

    def as_row(self) -> dict[str, str]:
        """The difference as JSON."""
        return {**asdict(self), "text": self.text()}


def compare(path: str, old: Any, new: Any, *, limit: int = LIMIT) -> list[Difference]:
    """Find where two values differ.

    Parameters
    ----------
    path
        What to call the values.
    limit
        So many differences at most; the last one then says that there are more.

    Returns
    -------
    list of Difference
        Empty if no difference was found.
    """
    comparison = _Comparison(limit)
    try:
        comparison.values(path, old, new)
    except _EnoughError:
        comparison.found.append(Difference(path, "unknown", amount="there is more that differs, or was not compared"))
    return comparison.found


class _EnoughError(Exception):
    """More would not be read."""


class _Comparison:
    def __init__(self, limit: int) -> None:
        self.found: list[Difference] = []
        self._limit = limit
        self._met: dict[tuple[int, int], tuple[Any, Any]] = {}  # keeps temporary objects alive, so that ids stay theirs

    def values(self, path: str, old: Any, new: Any) -> None:
        if old is new or (id(old), id(new)) in self._met:
            return
        if isinstance(old, _NUMBERS) and isinstance(new, _NUMBERS) and isinstance(old, bool) == isinstance(new, bool):
            self._numbers(path, old, new)
        elif _type(old) != _type(new):
            self._add(path, "type", _type(old), _type(new))
        elif isinstance(old, _PLAIN):
            self._by_equality(path, old, new)
        else:
            if len(self._met) >= _VISITS:
                raise _EnoughError
            self._met[id(old), id(new)] = old, new
            self._handler(old)(path, old, new)

    def _add(self, path: str, kind: Kind, old: str = "", new: str = "", amount: str = "") -> None:
        if len(self.found) >= self._limit:
            raise _EnoughError
        self.found.append(Difference(path, kind, old, new, amount))

    def _handler(self, value: Any) -> Callable[[str, Any, Any], None]:
        libraries: tuple[tuple[str, str, Callable[[str, Any, Any], None]], ...] = (
            ("numpy", "ndarray", self._arrays),
            ("numpy", "generic", self._by_equality),
            ("pandas", "DataFrame", self._frames),
            ("pandas", "Series", self._series),
            ("pandas", "Index", self._indexes),
            ("polars", "DataFrame", self._tables),
            ("pyarrow", "Table", self._tables),
            ("torch", "Tensor", self._tensors),
        )
        for library, name, handler in libraries:
            kind = getattr(sys.modules.get(library), name, None)
            if isinstance(kind, type) and isinstance(value, kind):
                return handler
        for kinds, handler in (
            (Mapping, self._mappings),
            ((list, tuple, deque), self._sequences),
            (Set, self._sets),
            (types.FunctionType, self._functions),
            ((types.ModuleType, types.BuiltinFunctionType), self._by_name),
            (type, self._classes),
        ):
            if isinstance(value, kinds):
                return handler
        return self._objects

    # -- of the language ------------------------------------------------------------------------------------

    def _numbers(self, path: str, old: Any, new: Any) -> None:
        if type(old) is not type(new) or not _same(old, new):
            moved = "" if isinstance(old, bool | complex) or isinstance(new, complex) else _moved(old, new)
            self._add(path, "value", _brief(old), _brief(new), moved)

    def _by_equality(self, path: str, old: Any, new: Any) -> None:
        if not _same(old, new):
            self._add(path, "value", _brief(old), _brief(new))

    def _by_name(self, path: str, old: Any, new: Any) -> None:
        if (named := getattr(old, "__name__", None)) != (other := getattr(new, "__name__", None)):
            self._add(path, "value", str(named), str(other))

    def _mappings(self, path: str, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> None:
        for key in old:
            if key in new:
                self.values(f"{path}[{_brief(key)}]", old[key], new[key])
            else:
                self._add(f"{path}[{_brief(key)}]", "removed", old=_brief(old[key]))
        for key in new:
            if key not in old:
                self._add(f"{path}[{_brief(key)}]", "added", new=_brief(new[key]))
        self._attributes(path, old, new)

    def _sequences(self, path: str, old: Sequence[Any], new: Sequence[Any]) -> None:
        if len(old) != len(new):
            self._add(path, "length", f"{len(old):,}", f"{len(new):,}")
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            self.values(f"{path}[{index}]", one, other)
        self._attributes(path, old, new)

    def _sets(self, path: str, old: Set[Any], new: Set[Any]) -> None:
        gone, come = len(old - new), len(new - old)
        if gone or come:
            self._add(path, "cells", amount=f"{gone:,} removed, {come:,} added")

    def _functions(self, path: str, old: types.FunctionType, new: types.FunctionType) -> None:
        if _code(old.__code__) != _code(new.__code__):
            self._add(path, "code", amount="its code differs")
        self.values(f"{path}.__defaults__", old.__defaults__, new.__defaults__)
        self.values(f"{path}.__kwdefaults__", old.__kwdefaults__, new.__kwdefaults__)
        self.values(f"{path}.__closure__", _cells(old), _cells(new))
        self._attributes(path, old, new)

    def _classes(self, path: str, old: type, new: type) -> None:
        if old.__module__ != "__main__":
            self._by_name(path, old, new)
            return
        self.values(f"{path}.__bases__", [_name(one) for one in old.__bases__], [_name(one) for one in new.__bases__])
        mine, others = ({n: v for n, v in vars(one).items() if n not in _OWN_OF_CLASSES} for one in (old, new))
        self._named(path, mine, others)

    def _objects(self, path: str, old: Any, new: Any) -> None:
        """Compare what two objects say that they are made of, as pickle does."""
        try:
            with Unnoted():
                one, other = old.__reduce_ex__(4), new.__reduce_ex__(4)
        except Exception:  # noqa: BLE001  # a reducer is the user's code
            self._unpicklable(path, old, new)
            return
        if isinstance(one, str) or isinstance(other, str):
            if one != other:
                self._add(path, "value", str(one), str(other))
            return
        self.values(path, tuple(one[1])[_own_arguments(one) :], tuple(other[1])[_own_arguments(other) :])
        self._states(path, *(parts[2] if len(parts) > 2 else None for parts in (one, other)))
        for at in (3, 4):
            items = [list(parts[at]) if len(parts) > at and parts[at] is not None else [] for parts in (one, other)]
            self.values(path, items[0], items[1])

    def _unpicklable(self, path: str, old: Any, new: Any) -> None:
        self._add(path, "unknown", amount=f"values of type {_type(old)} cannot be compared in full")
        self._attributes(path, old, new)

    def _states(self, path: str, old: Any, new: Any) -> None:
        if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new) == 2:
            for one, other in zip(old, new, strict=True):  # `__dict__` and slots
                self._states(path, one, other)
        elif isinstance(old, dict) and isinstance(new, dict):
            self._named(path, old, new)
        else:
            self.values(path, old, new)

    def _attributes(self, path: str, old: Any, new: Any) -> None:
        self._named(path, getattr(old, "__dict__", {}), getattr(new, "__dict__", {}))

    def _named(self, path: str, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> None:
        for name in old:
            if name in new:
                self.values(f"{path}.{name}", old[name], new[name])
            else:
                self._add(f"{path}.{name}", "removed")
        for name in new:
            if name not in old:
                self._add(f"{path}.{name}", "added")

    # -- of libraries ---------------------------------------------------------------------------------------

    def _arrays(self, path: str, old: Any, new: Any) -> None:
        if old.dtype != new.dtype:
            self._add(path, "dtype", str(old.dtype), str(new.dtype))
        if old.shape != new.shape:
            self._add(path, "shape", str(old.shape), str(new.shape))
        elif old.dtype.names and old.dtype == new.dtype:
            for field in old.dtype.names:
                self._arrays(f'{path}["{field}"]', old[field], new[field])
        elif old.dtype == object and new.dtype == object:
            for at, (one, other) in enumerate(zip(old.flat, new.flat, strict=True)):
                self.values(f"{path}.flat[{at}]", one, other)
        else:
            self._cells(path, old, new)

    def _cells(self, path: str, old: Any, new: Any) -> None:
        """Count the values that differ, and find how far apart they are; missing values are equal."""
        numpy = sys.modules["numpy"]
        differs = numpy.asarray(old != new)
        if differs.shape != old.shape:  # numpy could not compare them
            differs = numpy.ones(old.shape, bool)
        if old.dtype.kind in "fcmM" and new.dtype.kind == old.dtype.kind:
            missing = numpy.isnat if old.dtype.kind in "mM" else numpy.isnan
            differs &= ~(missing(old) & missing(new))
        count = int(numpy.count_nonzero(differs))
        if count:
            amount = f"{count:,} of {old.size:,} value{'s' if old.size > 1 else ''}"
            if old.dtype.kind in "iufc" and new.dtype.kind in "iufc":
                kind = complex if "c" in (old.dtype.kind, new.dtype.kind) else float
                apart = numpy.abs(old[differs].astype(kind) - new[differs].astype(kind))
                amount += f", max {numpy.nanmax(apart) if not numpy.isnan(apart).all() else math.nan:.3g}"
            self._add(path, "cells", amount=amount)

    def _frames(self, path: str, old: Any, new: Any) -> None:
        if old.shape != new.shape:
            self._add(path, "shape", str(old.shape), str(new.shape))
        self._indexes(f"{path}.index", old.index, new.index)
        if not (old.columns.is_unique and new.columns.is_unique):
            self.values(f"{path}.columns", list(old.columns), list(new.columns))
            return
        self._by_column(path, list(old.columns), list(new.columns), old, new)

    def _columns(self, path: str, old: Any, new: Any) -> None:
        if old.dtype != new.dtype:
            self._add(path, "dtype", str(old.dtype), str(new.dtype))
        if len(old) != len(new):
            self._add(path, "length", f"{len(old):,}", f"{len(new):,}")
        else:
            self._cells(path, *_plain(old, new))

    def _series(self, path: str, old: Any, new: Any) -> None:
        self.values(f"{path}.name", old.name, new.name)
        self._indexes(f"{path}.index", old.index, new.index)
        self._columns(path, old, new)

    def _indexes(self, path: str, old: Any, new: Any) -> None:
        if not old.equals(new) or list(old.names) != list(new.names):
            self._add(path, "index", f"{_brief(old[:3])}", f"{_brief(new[:3])}")

    def _tables(self, path: str, old: Any, new: Any) -> None:
        names = [list(getattr(one, "column_names", None) or one.columns) for one in (old, new)]
        if old.shape != new.shape:
            self._add(path, "shape", str(old.shape), str(new.shape))
        self._by_column(path, names[0], names[1], old, new)

    def _by_column(self, path: str, mine: Iterable[Any], others: Iterable[Any], old: Any, new: Any) -> None:
        mine, others = list(mine), list(others)
        for name in mine:
            place = f"{path}[{_brief(name)}]"
            if name not in others:
                self._add(place, "removed")
            elif hasattr(old[name], "to_frame") and hasattr(old, "iloc"):
                if len(old) == len(new) or old[name].dtype != new[name].dtype:
                    self._columns(place, old[name], new[name])
            elif (one := _type_of_column(old[name])) != (other := _type_of_column(new[name])):
                self._add(place, "dtype", one, other)
            elif len(old[name]) == len(new[name]):
                pairs = zip(_listed(old[name]), _listed(new[name]), strict=True)
                if count := sum(not _same(one, other) for one, other in pairs):
                    self._add(place, "cells", amount=f"{count:,} of {len(old[name]):,} values")
        for name in others:
            if name not in mine:
                self._add(f"{path}[{_brief(name)}]", "added")

    def _tensors(self, path: str, old: Any, new: Any) -> None:
        if old.dtype != new.dtype:
            self._add(path, "dtype", str(old.dtype), str(new.dtype))
        if old.shape != new.shape:
            self._add(path, "shape", str(tuple(old.shape)), str(tuple(new.shape)))
            return
        differs = (old != new) & ~((old != old) & (new != new))  # noqa: PLR0124  # nan is what is not itself
        if count := int(differs.sum()):
            apart = (old[differs].double() - new[differs].double()).abs().max().item()
            self._add(path, "cells", amount=f"{count:,} of {old.numel():,} values, max {apart:.3g}")


_NUMBERS = (bool, int, float, complex)
_PLAIN = (
    *(str, bytes, bytearray, type(None), type(...), range, numbers.Number, PurePath),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
)
_OWN_OF_CLASSES = frozenset({"__dict__", "__weakref__", "__module__", "__qualname__", "__static_attributes__"} | {
    "__firstlineno__", "__annotate_func__", "__annotations_cache__", "_abc_impl"
})  # fmt: skip


def _type(value: Any) -> str:
    return _name(type(value))


def _name(kind: type) -> str:
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _brief(value: Any) -> str:
    if type(value) is int and value.bit_length() > _LONG_INT:  # Python makes no text of it
        return f"<an int of {value.bit_length()} bits>"
    try:
        text = f'"{value}"' if isinstance(value, str) and '"' not in value else repr(value)
    except Exception as error:  # noqa: BLE001  # a repr is the user's code
        return f"<{_type(value)}, its repr raised {type(error).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= _BRIEF else text[: _BRIEF - 1] + "…"


def _same(old: Any, new: Any) -> bool:
    """Whether two values are equal; what is not equal to itself (nan, missing values) equals its like."""
    try:
        return bool(old == new) or (bool(old != old) and bool(new != new))  # noqa: PLR0124
    except Exception:  # noqa: BLE001  # pandas.NA has no truth value; other comparisons are the user's code
        return old is new


def _moved(old: float, new: float) -> str:
    try:
        return f"{new - old:+.6g}"
    except OverflowError:  # an int beyond the floats
        return ""


def _code(code: types.CodeType) -> tuple[Any, ...]:
    constants = [_code(one) if isinstance(one, types.CodeType) else (type(one), one) for one in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames


def _cells(function: types.FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled yet
            found[name] = None
    return found


def _own_arguments(reduced: tuple[Any, ...]) -> int:
    """How many arguments of a reduction only name the class."""
    return 1 if reduced[1] and isinstance(reduced[1][0], type) else 0


def _plain(old: Any, new: Any) -> tuple[Any, Any]:
    """Two columns as arrays that can be compared; missing values of any kind become None."""
    if all(getattr(one.dtype, "kind", "O") in "biufcmM" and hasattr(one.dtype, "itemsize") for one in (old, new)):
        found = tuple(one.to_numpy() for one in (old, new))
        if all(one.dtype != object for one in found):
            return found[0], found[1]
    one, other = (column.astype(object).where(column.notna(), None).to_numpy() for column in (old, new))
    return one, other


def _type_of_column(column: Any) -> str:
    return str(getattr(column, "dtype", None) or getattr(column, "type", ""))


def _listed(column: Any) -> list[Any]:
    listed: list[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
    return listed
