"""Persistent ids for the pickler of a look: what it notes of each object, and what is told by a mark of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import references


def sorter(
    others: list[Any], texts: list[str], scalars: dict[int, int], marks: Mapping[type, bytes | Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    """What a pickler asks for persistent ids: notes texts, which all get one id, apart from other objects.

    Literals of a cell are one object where they are equal, and those that a checkpoint gave back are other ones: texts
    are therefore written beside the pickle, which else would say "the same again" of some. Scalars of numpy have their
    bytes for an id, or the number of the one that was met before: each of them would be asked how to write it. Of other
    kinds a function gives the id. A generator, since it is called for each of a million objects, and goes on in half
    the time that a function takes to start.
    """
    sorting = _sorting(others.append, texts.append, scalars, marks)
    next(sorting)
    return sorting.send


def _sorting(
    note: Callable[[Any], None],
    note_text: Callable[[str], None],
    scalars: dict[int, int],
    marks: Mapping[type, bytes | Callable[[Any], Any]],
) -> Generator[Any, Any, None]:
    text_id, ident = 0, None
    while True:
        obj = yield ident
        kind = type(obj)
        if kind is str:
            note_text(obj)
            ident = text_id
        elif kind in marks:
            note(obj)  # held from here on: no other one gets its `id`
            mark = marks[kind]
            if not isinstance(mark, bytes):
                ident = mark(obj)
            else:
                ident = scalars.get(identity(obj))
                if ident is None:
                    scalars[identity(obj)] = len(scalars) + 1
                    ident = mark + obj.tobytes()
        else:
            note(obj)
            ident = None
        del obj  # it would live as long as the pickler


def marks_of_scalars() -> dict[type, bytes]:
    """The types of scalars of numpy that are told by their bytes, and a mark for each."""
    numpy: Any = sys.modules.get("numpy")
    kinds = {numpy.dtype(code).type for code in "?bhilqBHILQefdFD"} if hasattr(numpy, "dtype") else set[type]()
    return {kind: kind.__name__.encode() for kind in kinds}


def mark_of_times(dtype: Any) -> bytes | None:
    """Tell a dtype of times by its unit: there is not one object for each."""
    return dtype.str.encode() if dtype.metadata is None else None


def of_pandas(module: str, name: str) -> list[type]:
    """The types of pandas by which columns hold text, categories or times, or by which they tell that they do."""
    base = getattr(sys.modules.get(module), name, None)
    found: list[type] = []
    todo = [] if base is None else [base]
    while todo:
        found.append(todo.pop())
        todo += found[-1].__subclasses__()
    return [kind for kind in found if references.library_of(kind) == "pandas" and references.by_reference(kind)]
