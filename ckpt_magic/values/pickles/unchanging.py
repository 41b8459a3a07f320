"""Values that cannot change and that a name means: code asks whether another one is that very object.

A notebook that has a date for "never" asks `due is NEVER`, and of a nan of its own whether a list holds it. Such values
tie no names, since who has one cannot change it for others: each checkpoint writes what it meets. Where that is what a
name means which is not saved with it, the name is written as well. Our loader then takes what the name means at that
time, if it is equal.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import hashlib
import io
import itertools
import json
import math
import operator
import pickle
import struct
import sys
import types
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import is_own
from ckpt_magic.values.pickles import constants, inside
from ckpt_magic.values.pickles.forms import CALL, PROTOCOL, SAME, Form, Token
from ckpt_magic.values.pickles.references import ATOMS, at, library_of
from ckpt_magic.values.pickles.tokens import plain_parts

MODULES: Final = frozenset(
    {"datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local", "ipaddress", "zoneinfo"}
)
IN_PANDAS: Final = frozenset({"Timestamp", "Timedelta", "Period", "Interval"})
_WRITE, _READ = json.JSONEncoder().encode, json.JSONDecoder().decode  # a notebook may have replaced `json.dumps`
_CONTAINERS: Final = frozenset({tuple, frozenset})
_MOST_ITEMS: Final = 10_000
_MOST_NUMBERS: Final = 16  # each is searched for by itself
_MOST: Final = 1_000  # values that are met inside others


class _Looked(Protocol):
    functions: Sequence[Any]

    def among(self, idents: Set[int]) -> Set[int]: ...


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is written under the name by which it is found.

    Attributes
    ----------
    name
        A name that is not saved with what holds the value; None if all are that mean it.
    value
        The value.
    way
        The way to the value from what the name means.
    """

    name: str | None
    value: Any
    way: inside.Way = ()

    @property
    def form(self) -> Form:
        """What gets the value."""
        made: Any = self.value
        if type(made) is float:  # the pickler remembers none, but it does what gets one
            made = Form(operator.getitem, Form(struct.unpack, ">d", struct.pack(">d", made)), 0)
        if self.name is not None:
            token = SAME, self.name, _digest(self.value) or "", _WRITE(self.way)  # without a digest nothing is found
            made = Form(CALL, operator.getitem, {token: made}, token)
        return cast(Form, made)


def held(
    namespace: dict[str, Any],
    saved: Container[str],
    looks: Iterable[_Looked],
    common: Mapping[str, Set[int]] = types.MappingProxyType({}),
) -> tuple[list[Named], list[Named]]:
    """What names mean of that which saved values hold.

    Parameters
    ----------
    namespace
        The globals of the notebook.
    saved
        Names whose values are saved.
    looks
        What the saved values consist of.
    common
        Of names that are not saved, the `id` of what their values have in common with those that are.

    Returns
    -------
    tuple of lists
        Nan and infinity that names mean and no library has, whether or not the values hold them; and of all else what
        names mean that are not saved, or their values hold.
    """
    meanings = _meanings(namespace)
    numbers = [name for name, value in meanings.items() if type(value) is float]
    others = {
        identity(value): name for name, value in meanings.items() if type(value) is not float and name not in saved
    }
    found = _others(namespace, meanings, others, looks) if others else []
    found += itertools.islice(_inside(namespace, common, {identity(one.value) for one in found}), _MOST)
    found.sort(key=lambda one: type(one.value) in _CONTAINERS)  # what they hold comes first
    return _numbers(meanings, numbers, saved), found


def find(token: Token, namespace: Mapping[str, Any]) -> Any | None:
    """What is found by a token, if it is equal to what was there."""
    _, name, digest, way = token
    module, _, name = name.rpartition(":")
    value = at(name, namespace if not module else vars(sys.modules.get(module, _NO_MODULE)))
    value = inside.at(value, _READ(way))
    is_known = type(value) is float or _cannot_change(value)
    return value if is_known and _digest(value) == digest else None


def _meanings(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values that count, by the names that mean them; last those of the notebook that are not IPython's (`_3`).

    Besides these it is what modules of the user's own have that names mean, and limits and constants of `datetime` and
    `uuid`.
    """
    names = dict(namespace)  # threads may go on to change it
    modules = [one for one in names.values() if type(one) is types.ModuleType]
    own = [one for one in modules if sys.modules.get(name := vars(one).get("__name__", "")) is one and is_own(name)]
    found = dict(_of_python())
    for module in own:
        found |= {f"{module.__name__}:{name}": value for name, value in _counting(dict(vars(module))).items()}
    here = _counting(names)
    return found | dict(sorted(here.items(), key=lambda item: not item[0].startswith("_")))


def _counting(values: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in set(map(type, values.values())) if kind is float or is_kind(kind)]  # of many few
    found = {name: value for name, value in values.items() if type(value) in kinds} if kinds else {}
    return {name: value for name, value in found.items() if type(value) is not float or not math.isfinite(value)}


@functools.cache
def _of_python() -> Mapping[str, Any]:
    classes = {f"datetime:{one.__name__}.{limit}": getattr(one, limit) for one in _LIMITED for limit in ("min", "max")}
    return classes | {f"uuid:{name}": value for name, value in vars(uuid).items() if name.startswith("NAMESPACE_")}


_LIMITED: Final = (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)
_NO_MODULE: Final = types.ModuleType("none")


def _numbers(meanings: Mapping[str, Any], names: list[str], saved: Container[str]) -> list[Named]:
    known = constants.known()
    found = {
        identity(meanings[name]): Named(None if name in saved else name, meanings[name])
        for name in sorted(names, key=lambda name: name not in saved)
        if identity(meanings[name]) not in known
    }
    return [*found.values()][:_MOST_NUMBERS]


def _others(
    namespace: dict[str, Any], meanings: Mapping[str, Any], names: Mapping[int, str], looks: Iterable[_Looked]
) -> list[Named]:
    looks = [*looks]
    met = _in_definitions([one for seen in looks for one in seen.functions], namespace, names.keys())
    met = met.union(*(seen.among(names.keys()) for seen in looks))
    found = [Named(name, meanings[name]) for ident, name in names.items() if ident in met]
    return [one for one in found if _cannot_change(one.value)]


def _inside(namespace: Mapping[str, Any], common: Mapping[str, Set[int]], known: Set[int]) -> Iterator[Named]:
    """What no name means, but is found in a value that has a name."""
    done = set(known)
    for name, idents in common.items():
        for value, way in inside.ways(namespace.get(name), idents - done):
            if _cannot_change(value):
                done.add(identity(value))
                yield Named(name, value, way)


def _in_definitions(definitions: Iterable[Any], namespace: Mapping[str, Any], wanted: Set[int]) -> set[int]:
    """Those of the wanted that definitions of the notebook hold: a look tells these by what they are."""
    todo = [*definitions]
    done, found = set[int](), set[int]()
    while todo:
        one = todo.pop()
        if identity(one) in wanted:
            found.add(identity(one))
        elif identity(one) not in done and type(one) not in ATOMS:
            done.add(identity(one))
            todo += plain_parts(one, namespace) or ()
    return found


def _cannot_change(value: Any) -> bool:
    """Whether a value counts; atoms do not, but for what holds them."""
    if type(value) not in _CONTAINERS:
        return is_kind(type(value))
    return 0 < len(value) <= _MOST_ITEMS and all(type(item) in ATOMS or _cannot_change(item) for item in value)


def is_kind(kind: type) -> bool:
    """Whether values of a type count, which nobody can change; of tuples and sets those that hold such values alone."""
    if kind in _CONTAINERS or kind.__module__ in MODULES:
        return kind is not decimal.Context
    library = library_of(kind)
    if library == "numpy":
        numpy = sys.modules["numpy"]
        return issubclass(kind, numpy.generic) and not issubclass(kind, numpy.flexible)  # which lie over arrays
    return library == "pandas" and kind.__name__ in IN_PANDAS


def _digest(value: Any) -> str | None:
    """Digest that is equal for equal values; None if one cannot be written."""
    with suppress(Exception):  # what is wrong with it the writing tells
        return hashlib.blake2b(_told(value), digest_size=16).hexdigest()
    return None


def _told(value: Any) -> bytes:
    if type(value) in _CONTAINERS:
        parts = [_told(item) for item in value]
        return repr((type(value).__name__, parts if type(value) is tuple else sorted(parts))).encode()
    file = io.BytesIO()
    pickler = pickle.Pickler(file, PROTOCOL)
    pickler.fast = True  # which objects in it are one makes no difference
    pickler.dump(value)
    return file.getvalue()
