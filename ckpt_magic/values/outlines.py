"""What of a value is small enough to be kept beside its digest, to tell later in what another one differs.

An outline is plain JSON: `type`; `shape` (or length); `dtype`; `of`, what its parts are called; `parts`, a row each of
label, kind and mark. A mark is the value itself where it is short, else a digest of (samples of) what the part holds;
empty where nothing is known. Nothing is decided by outlines: they only say where to look.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ckpt_magic.values import canonical
from ckpt_magic.values.pages import hash_at_once
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.references import ATOMS

Outline = Mapping[str, Any]
Tell = Callable[[str, Any], str | None]

PARTS: Final = 64  # of one value
_ALL_PARTS: Final = 256  # of all values of a step
_BYTES: Final = 4 << 20  # of a value whose columns are looked at in full; of others, as of columns of objects, only
_SAMPLES: Final = 1 << 10  # values here and there, and of one column at most
_SAMPLES_OF_ONE: Final = 256
_SCATTERED: Final = 8  # times as long it takes to look at bytes that do not lie in one stretch
_SMALL: Final = 1 << 10  # bytes of a part that is told by its fingerprint
_LABEL: Final = 40  # characters
_SHORT: Final = 80
_DIGEST: Final = "#"  # how a mark begins that is a digest
_TOLD: Final = 8  # lines about one value
_MEMBERS: Final[Mapping[type, str]] = {dict: "key", list: "item", tuple: "item", set: "", frozenset: ""}
_PLAIN: Final = frozenset({"numpy", "pandas", "datetime", "decimal", "fractions", "uuid"})  # whose `repr` is the value


def short(value: Any) -> str:
    """A short value as people write it; empty for any other."""
    kind = type(value)
    if kind not in ATOMS or (kind in (str, bytes) and len(value) > _SHORT):
        return ""
    if kind is int and value.bit_length() > 4 * _SHORT:  # Python makes no text of some that are longer
        return ""
    text = repr(value)
    return text if len(text) <= _SHORT else ""


def outlines(values: Mapping[str, Any], tell: Tell = lambda label, value: "") -> dict[str, dict[str, Any]]:
    """Outlines of those values that have one, as far as there is room.

    Parameters
    ----------
    values
        By name.
    tell
        Gives a short value as people write it, under a label; empty for any other, None for what may be a secret.
    """
    found, room = {}, _ALL_PARTS
    for name, value in values.items():
        if type(value) in ATOMS or room <= 0 or tell(name, None) is None:
            continue
        one = outline(value, tell)
        if one is not None:
            room -= 1 + len(one["parts"])
            found[name] = one
    return found


def outline(value: Any, tell: Tell = lambda label, value: "") -> dict[str, Any] | None:
    """The outline of one value; None if it has none."""
    kind = type(value)
    top = references.library_of(kind)
    try:
        if kind in _MEMBERS:
            return _made(kind.__name__, [len(value)], "", _MEMBERS[kind], _members(value, tell))
        if top in ("builtins", "__main__", ""):
            return None
        name = f"{top}.{kind.__qualname__}"
        for module, classes, parts in _FRAMES:
            library = sys.modules.get(module)
            if library is not None and issubclass(kind, tuple(getattr(library, one) for one in classes)):
                return _made(name, _shape(value) or [], _dtype(value), "column", parts(value))
        shape = _shape(value)
        return None if shape is None else _made(name, shape, _dtype(value), "", ())
    except Exception:  # noqa: BLE001  # nothing depends on it, and classes of libraries may be anything
        return None


def _dtype(value: Any) -> str:
    """The type of the elements; not asked where the class has none, as `__getattr__` may keep what it finds out."""
    return str(value.dtype) if hasattr(type(value), "dtype") else ""


def title(one: Outline) -> str:
    """An outline in a few words: `pandas.DataFrame, 100 × 3`."""
    return ", ".join(part for part in (one["type"], _shape_text(one), one["dtype"]) if part)


def differences(old: Outline, new: Outline) -> list[str]:
    """In what a value differs from what it was, a line for each thing, as far as outlines can tell."""
    if old["type"] != new["type"]:
        return [f"it was {title(old)}, is {title(new)}"]
    lines = []
    if old["shape"] != new["shape"]:
        what = "shape" if "." in old["type"] else "length"
        lines.append(f"the {what} was {_shape_text(old)}, is {_shape_text(new)}")
    if old["dtype"] != new["dtype"]:
        lines.append(f"the dtype was {old['dtype']}, is {new['dtype']}")
    lines += _of_parts(old, new)
    lines = lines[:_TOLD] + ([f"and {len(lines) - _TOLD} more"] if len(lines) > _TOLD else [])
    return lines or ["in outline it is the same: it differs where the record has no samples of it"]


def _of_parts(old: Outline, new: Outline) -> Iterator[str]:
    what = old["of"] or "part"
    then, now = ({label: (kind, mark) for label, kind, mark in one["parts"]} for one in (old, new))
    if what != "item":
        for names, word in (([n for n in then if n not in now], "gone"), ([n for n in now if n not in then], "new")):
            if names and len(old["parts"]) < PARTS and len(new["parts"]) < PARTS:
                yield f"{word}: {what}{'s' if len(names) > 1 else ''} {', '.join(f'`{name}`' for name in names)}"
    both = [label for label in then if label in now]
    if both != [label for label in now if label in then]:
        yield f"the {what}s are in another order"
    same_length = old["shape"][:1] == new["shape"][:1]
    differing: list[str] = []
    for label in both:
        (kind, mark), (kind_now, mark_now) = then[label], now[label]
        shown = mark and mark_now and not (mark.startswith(_DIGEST) or mark_now.startswith(_DIGEST))
        if mark == mark_now and kind == kind_now:
            continue
        if shown:
            yield f"{what} `{label}` was {mark}, is {mark_now}"
        elif kind != kind_now:
            yield f"{what} `{label}` was {kind}, is {kind_now}"
        elif mark and mark_now and (what != "column" or (same_length and _step(mark) == _step(mark_now))):
            differing.append(label)
    if differing:
        more = f" (of {len(differing)})" if len(differing) > 1 else ""
        yield f"first differing {what}: `{differing[0]}`{more}"


def _step(mark: str) -> str:
    return mark.partition(":")[0]


def _shape_text(one: Outline) -> str:
    return " × ".join(map(str, one["shape"])) or "()"


def _made(kind: str, shape: list[int], dtype: str, of: str, parts: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    rows = []
    for label, kind_of_part, mark in parts:
        rows.append([label[:_LABEL], kind_of_part[:_LABEL], mark])
        if len(rows) == PARTS:
            break
    return {"type": kind, "shape": shape, "dtype": dtype[:_LABEL], "of": of, "parts": rows}


def _shape(value: Any) -> list[int] | None:
    shape = getattr(value, "shape", None) if hasattr(type(value), "shape") else None
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return [int(length) for length in shape]
    return None


# -- containers -----------------------------------------------------------------------------------------------------


def _members(value: Any, tell: Tell) -> Iterator[tuple[str, str, str]]:
    kind = type(value)
    if kind in (set, frozenset):
        return
    items = value.items() if kind is dict else enumerate(value)
    for key, one in items:
        if type(key) in ATOMS:
            label = key if type(key) is str else repr(key)
            shown = tell(label, one)
            digest = canonical.fingerprint(one, room=_SMALL) if shown == "" else None
            yield label, type(one).__name__, shown or (f"{_DIGEST}:{digest[:12]}" if digest else "")


# -- frames ---------------------------------------------------------------------------------------------------------


def _of_pandas(value: Any) -> Iterator[tuple[str, str, str]]:
    """The index and the columns, from where they lie: to take a column out copies the frame's `attrs`."""
    manager, index = value._mgr, value.index
    is_frame = len(manager.axes) == 2
    labels = list(manager.axes[0][:PARTS]) if is_frame else [value.name]
    count = len(manager.axes[0]) if is_frame else 1
    plain = getattr(index, "_range", None)
    yield (
        "(index)",
        str(index.dtype),
        _digest(repr(plain).encode(), 1) if plain is not None else _mark(index._values, 1),
    )
    places: dict[int, tuple[Any, int]] = {}
    for block in manager.blocks:
        for at, place in enumerate(block.mgr_locs.as_array[:PARTS] if is_frame else [0]):
            places[int(place)] = block.values, at
    for place, label in enumerate(labels):
        if place in places:  # else it lies far down in its block
            values, at = places[place]
            column = values[at] if values.ndim == 2 else values
            yield str(label), str(column.dtype), _mark(column, count)


def _of_polars(value: Any) -> Iterator[tuple[str, str, str]]:
    columns = value.get_columns() if hasattr(value, "get_columns") else [value]
    for column in columns[:PARTS]:
        start, step = _places(len(column), len(columns))
        yield column.name, str(column.dtype), _mark_of(column.gather_every(step, start).to_list(), step)


def _of_arrow(value: Any) -> Iterator[tuple[str, str, str]]:
    for name in value.column_names[:PARTS]:
        column = value.column(name)
        start, step = _places(len(column), value.num_columns)
        yield name, str(column.type), _mark_of([column[at].as_py() for at in range(start, len(column), step)], step)


def _mark(column: Any, columns: int) -> str:
    """Digest of one of so many columns: of all its bytes if there are few, else of samples."""
    categories = getattr(column.dtype, "categories", None)
    column = getattr(column, "_ndarray", column)
    start, step = _places(len(column), columns)
    if getattr(column.dtype, "kind", "O") in "OV" or not hasattr(column, "flags"):
        return _mark_of(list(column[start::step]), step)
    if columns * column.nbytes * (1 if column.flags.c_contiguous else _SCATTERED) <= _BYTES:
        start, step = 0, 1
    data = column[start::step].tobytes()
    if categories is not None:
        data += _mark_of(list(categories[:_SAMPLES_OF_ONE]), step).encode()
    return _digest(data, step)


def _places(length: int, columns: int) -> tuple[int, int]:
    """First place and step of samples of one of so many columns, evenly spread, the last value among them."""
    step = max(-(-length // min(_SAMPLES_OF_ONE, max(_SAMPLES // columns, 1))), 1)
    return (length - 1) % step if length else 0, step


def _mark_of(values: Sequence[Any], step: int) -> str:
    texts = [
        repr(one) if type(one) in ATOMS or references.library_of(type(one)) in _PLAIN else type(one).__name__
        for one in values
    ]
    return _digest("\0".join(texts).encode("utf-8", "surrogatepass"), step)


def _digest(data: Any, step: int) -> str:
    """A mark of every so many of the values: others cannot be compared with it."""
    return f"{_DIGEST}{step}:{hash_at_once(data)[:12]}"


_FRAMES: Final[Sequence[tuple[str, tuple[str, ...], Callable[[Any], Iterator[tuple[str, str, str]]]]]] = (
    ("pandas", ("DataFrame", "Series"), _of_pandas),
    ("polars", ("DataFrame", "Series"), _of_polars),
    ("pyarrow", ("Table", "RecordBatch"), _of_arrow),
)
