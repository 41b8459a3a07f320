"""What annotations of functions and classes speak of, asked so that nothing of the notebook runs.

From Python 3.14 on (PEP 649) they are evaluated when somebody asks for them: until then only a function tells them,
`__annotate__`, and what it gave is kept beside it. What is kept counts where it is not what that function gives now.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckpt_magic.values.pickles.references import ATOMS, HEAP_TYPE, by_reference

CLASS_DICT: Final = "__classdict__"
"""The variable by which annotations in the body of a class find its names: its cell holds the dict of the class."""
ANNOTATE: Final = "__annotate_func__"
KEPT: Final = "__annotations_cache__"
_VALUES: Final = 1  # `annotationlib.Format.VALUE`
LAZY: Final = sys.version_info >= (3, 14)
"""Whether this Python evaluates annotations when they are asked for."""


def annotate_of(function: Any) -> types.FunctionType | None:
    """The function that tells the annotations of another one, where nothing else does."""
    annotate: Any = getattr(function, "__annotate__", None) if LAZY else None
    if type(annotate) is not types.FunctionType:
        return None
    known = function.__globals__, function.__builtins__, function.__kwdefaults__, vars(function)
    others = (one for one in gc.get_referents(function) if type(one) is dict)
    kept = next((one for one in others if not any(one is dict_ for dict_ in known)), None)
    return annotate if kept is None or _is_given_by(annotate, kept) else None


def annotations_of(function: types.FunctionType) -> dict[str, Any]:
    """The annotations of a function that were evaluated or set; none where only `__annotate__` tells them."""
    return {} if annotate_of(function) is not None else function.__annotations__


def annotating(function: types.FunctionType) -> list[Any]:
    """The code that tells the annotations of a function, and what its cells hold, where nothing else tells them."""
    annotate = annotate_of(function)
    return [] if annotate is None else [annotate.__code__, *contents(annotate)]


def annotate_of_class(cls: type) -> types.FunctionType | None:
    """The function that tells the annotations of a class, if there is one; `annotations_of_class` may tell others."""
    annotate: Any = vars(cls).get(ANNOTATE)
    return annotate if type(annotate) is types.FunctionType else None


def annotations_of_class(cls: type) -> dict[str, Any] | None:
    """The annotations of a class that were evaluated or set; none where its function would give the same now."""
    own, annotate = vars(cls), annotate_of_class(cls)
    kept = own.get("__annotations__", own.get(KEPT))
    return None if type(kept) is not dict or (annotate is not None and _is_given_by(annotate, kept)) else kept


def dicts_of(cls: type) -> Iterator[dict[str, Any]]:
    """The dict of a class, and of the one in whose place it is (`dataclass(slots=True)`): annotations look there."""
    annotate = annotate_of_class(cls) if LAZY else None
    if LAZY:
        yield from gc.get_referents(vars(cls))
    if annotate is not None:
        cells = zip(annotate.__code__.co_freevars, annotate.__closure__ or (), strict=True)
        yield from (content for name, cell in cells if name == CLASS_DICT for content in contents_of(cell))


def cells_of(function: types.FunctionType) -> tuple[types.CellType, ...] | None:
    """The cells of a closure, but for that of the dict of the class in which the function stands."""
    names, cells = function.__code__.co_freevars, function.__closure__
    if CLASS_DICT not in names or cells is None:
        return cells
    return tuple(cell for name, cell in zip(names, cells, strict=True) if name != CLASS_DICT)


def contents(function: types.FunctionType) -> list[Any]:
    """What these cells hold."""
    return [content for cell in cells_of(function) or () for content in contents_of(cell)]


def contents_of(cell: types.CellType) -> list[Any]:
    """What a cell of a closure holds, if anything yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _is_given_by(annotate: types.FunctionType, kept: Mapping[str, Any]) -> bool:
    """Whether annotations are what they would be if they were evaluated now, as they were before."""
    if annotate.__code__.co_name != "__annotate__":
        return True  # a library gives them: it was asked before, and may do anything when it is asked again
    try:
        now = annotate(_VALUES)
    except Exception:  # noqa: BLE001  # what they speak of is gone
        return False
    same = annotation_texts(now) == annotation_texts(kept)
    return same and all(one is other for one, other in zip(annotated(now), annotated(kept), strict=True))


def annotated(annotations: Any) -> Iterator[type]:
    """The notebook's classes that annotations speak of, also inside ``list[C]`` and the like."""
    todo = list(annotations.values()) if type(annotations) is dict else []
    while todo:
        value = todo.pop()
        kind = type(value)
        if issubclass(kind, type):
            if value.__flags__ & HEAP_TYPE and not by_reference(value):  # `int` and the like are soon told
                yield value
        elif kind.__module__ in ("typing", "types") and type(args := getattr(value, "__args__", ())) is tuple:
            todo += args


def annotation_texts(annotations: Mapping[str, Any]) -> tuple[str, ...]:
    """Annotations as texts: what they mean is seldom asked, and never changes in place."""
    return tuple(f"{name}: {_annotation_text(value)}" for name, value in annotations.items())


def _annotation_text(value: Any) -> str:
    kind = type(value)
    if issubclass(kind, type):
        return name_of(value)
    if kind in ATOMS:
        return repr(value) if kind is str or value is not None else "NoneType"
    if kind in (tuple, list):
        return f"{kind.__qualname__}({', '.join(map(_annotation_text, value))})"
    if kind is dict:
        return f"dict({', '.join(annotation_texts(value))})"
    if kind.__module__ not in ("typing", "types"):
        return kind.__qualname__
    return "".join([str(value), *map(_limits, (value, *getattr(value, "__parameters__", ())))])


def _limits(variable: Any) -> str:
    """What a type variable may stand for, if that is said and was evaluated."""
    if getattr(variable, "__infer_variance__", False):  # `class C[T: int]`: asking runs code
        return ""
    told = [getattr(variable, "__bound__", None), *getattr(variable, "__constraints__", ())]
    return "".join(f" <{_annotation_text(one)}" for one in told if one is not None)


def name_of(obj: Any) -> str:
    """A stable name for what is written as a reference."""

    def told(name: str) -> Any:
        try:
            return getattr(obj, name, None)
        except Exception:  # noqa: BLE001  # a dict with attributes: `__getattr__ = dict.__getitem__`
            return None

    return f"{told('__module__') or told('__objclass__') or ''}.{told('__qualname__') or type(obj).__qualname__}"
