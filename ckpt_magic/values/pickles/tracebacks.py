"""Exceptions with all that they bring along: cause, context, notes, and a traceback that reads the same.

A frame cannot be brought back without running its code. A traceback is written with frames of generators that never
began: they have name, file, line and table of positions of the real ones, and their globals, but no local variables.
So `traceback` says the same, carets included.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.parts import equal

# Per code object its name, qualified name, file, line, table of positions, size, globals; per frame, outermost first,
# the index of its code, the instruction and the line. The table goes by instructions: the code is made as long.
_TRACEBACK: Final = """lambda codes, frames, sources: __import__('functools').reduce(
    lambda inner, frame: __import__('types').TracebackType(inner, (
        lambda made, name, qualname, filename, line, table, size, space: __import__('types').FunctionType(made.replace(
            co_code=made.co_code + bytes(max(0, size - len(made.co_code))), co_name=name, co_qualname=qualname,
            co_filename=filename, co_firstlineno=line, co_linetable=table), space)().gi_frame)(
        (lambda: (yield)).__code__, *codes[frame[0]]), *frame[1:]), reversed(frames), None)"""


def error(error: BaseException, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Add to a reduction of an exception what it leaves out.

    Parameters
    ----------
    error
        Any exception.
    reduced
        What its ``__reduce__`` gives.

    Raises
    ------
    NotPicklableError
        The exception has a ``__setstate__`` that cannot be told of these.
    """
    more: dict[str, Any] = {
        name: value
        for name in ("__traceback__", "__cause__", "__context__")
        if (value := getattr(error, name)) is not None
    }
    more |= _members(error)
    if error.__suppress_context__ or error.__cause__ is not None:
        more["__suppress_context__"] = error.__suppress_context__  # last: setting a cause suppresses the context
    if not more:
        return reduced
    made, args, *rest = reduced
    state = rest[0] if rest else None
    plain = type(error).__setstate__ is BaseException.__setstate__
    if not plain or len(rest) > 1 or not (state is None or type(state) is dict):
        raise NotPicklableError(f"{type(error).__qualname__} with a traceback, which restores itself without one")
    return made, args, {**(state or {}), **more}  # each becomes an attribute


def _members(error: BaseException) -> dict[str, Any]:
    """What errors of Python's own classes keep beside `args`, where it does not follow from these.

    The interpreter notes it for the hints of a traceback, or somebody set it: the line of a `SyntaxError`.
    """
    kind = type(error)
    base: Any = next(cls for cls in kind.__mro__ if cls.__module__ == "builtins")
    parts = {
        name: part
        for cls in base.__mro__
        if not issubclass(BaseExceptionGroup, cls)  # nobody sets what a group keeps
        for name, part in vars(cls).items()
        if type(part) in _MEMBERS and name[:2] != "__" and inspect.getattr_static(kind, name) is part
    }
    if not parts:
        return {}
    try:
        other = base(*base.__reduce__(error)[1])
    except Exception:  # noqa: BLE001  # its arguments were set to what the class refuses
        return {}
    own = ((name, getattr(error, name, None)) for name in parts)
    return {name: value for name, value in own if not equal(value, getattr(other, name, None))}


_MEMBERS: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)


def frames(traceback: types.TracebackType) -> Iterator[types.TracebackType]:
    """A traceback and all that follow it, outermost frame first."""
    rest: types.TracebackType | None = traceback
    while rest is not None:
        yield rest
        rest = rest.tb_next


def reduced(traceback: types.TracebackType, definitions: Definitions) -> tuple[Any, ...]:
    """Reduce a traceback, with all that follow it."""
    codes: dict[tuple[int, int], tuple[int, tuple[Any, ...]]] = {}
    rows = []
    for one in frames(traceback):
        code, space = one.tb_frame.f_code, one.tb_frame.f_globals
        if (identity(code), identity(space)) not in codes:
            names = code.co_name, code.co_qualname, code.co_filename, code.co_firstlineno
            globals_ = definitions.space(space) or {"__name__": space.get("__name__")}
            codes[identity(code), identity(space)] = (
                len(codes),
                (*names, code.co_linetable, len(code.co_code), globals_),
            )
        rows.append((codes[identity(code), identity(space)][0], one.tb_lasti, one.tb_lineno))
    mine = {row[2]: None for _, row in codes.values() if row[-1] is definitions.shell}
    sources = [definitions.codes.source(filename) for filename in mine]
    return definitions.evaluated(_TRACEBACK), ([row for _, row in codes.values()], rows, sources)
