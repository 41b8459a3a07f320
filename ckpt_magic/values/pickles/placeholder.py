"""What a lost name is bound to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ckpt_magic.errors import LostValueError

LOST_EARLIER: Final = "its value was lost when an earlier step was saved"
_BEFORE_CELLS: Final = "IPython.core.prefilter"  # looks whether the first word of a cell of one line is a macro


class Placeholder:
    """Stands for a value that could not be saved: raises `LostValueError` on any use.

    Use ``type(value) is Placeholder`` to recognise one; anything else counts as a use. One that stands for a tensor
    that is a number tells that number, in the ways in which the tensor would; `source.Names.measures` knows them.
    """

    __slots__ = ("_message", "_name", "_number", "_step", "_used", "_was")

    def __getattribute__(self, attribute: str) -> Any:
        number = number_of(self)
        if number is not None and attribute in ("item", "tolist"):
            return lambda: number
        if number is not None and attribute in ("detach", "cpu"):
            return lambda: self
        if number is not None and attribute == "data":
            return self
        if attribute == "__class__" and sys._getframe(1).f_globals.get("__name__") == _BEFORE_CELLS:
            return Placeholder  # the cell may bind the name anew
        return _raise_lost(self)

    __hash__ = None  # type: ignore[assignment]  # replaced below, with all the others


def _raise_lost(placeholder: Placeholder, *_: Any, **__: Any) -> NoReturn:
    """Record the use and raise."""
    get = object.__getattribute__
    get(placeholder, "_used")(get(placeholder, "_name"))
    raise LostValueError(get(placeholder, "_message"))


_USES: Final = """repr str bytes format bool int float complex index hash len length_hint iter next reversed contains
getitem setitem delitem missing call enter exit aenter aexit await aiter anext setattr delattr dir sizeof fspath round
trunc floor ceil abs neg pos invert eq ne lt le gt ge copy deepcopy reduce reduce_ex getstate get set delete
instancecheck subclasscheck buffer""".split()

_OPERATORS: Final = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()


def number_of(value: Any) -> float | None:
    """The number that a placeholder tells; None if it tells none, and for any other value."""
    return object.__getattribute__(value, "_number") if type(value) is Placeholder else None


def _by_number(use: Callable[..., Any]) -> Callable[..., Any]:
    """What a placeholder does that may tell its number."""

    def answer(placeholder: Placeholder, *args: Any) -> Any:
        number = number_of(placeholder)
        return _raise_lost(placeholder) if number is None else use(number, *args)

    return answer


for _use in (*_USES, *(prefix + name for name in _OPERATORS for prefix in ("", "r", "i"))):
    setattr(Placeholder, f"__{_use}__", _raise_lost)

for _answer in (float, bool, format):
    setattr(Placeholder, f"__{_answer.__name__}__", _by_number(_answer))

del _use, _answer


def make_placeholder(
    name: str, step: int, reason: str, used: Callable[[str], None], *, number: float | None = None
) -> Placeholder:
    """Make what the lost name `name` is bound to.

    Parameters
    ----------
    name
        The name.
    step
        The step that made the value and could not save it.
    reason
        What the value was, e.g. ``sqlite3.Connection``.
    used
        Called with the name at each use, before the error is raised.
    number
        What it tells, if the value was a tensor that is a number.
    """
    placeholder = object.__new__(Placeholder)
    message = (
        f"step {step}: `{name}` ({reason}) was not saved; run the step again: `%%step {step} --force`, "
        f"or `%ckpt_start {step}` and all from there"
    )
    state = {"_message": message, "_name": name, "_number": number, "_step": step, "_used": used, "_was": reason}
    for attribute, value in state.items():
        object.__setattr__(placeholder, attribute, value)
    return placeholder


def lost_origin(value: Any) -> tuple[str, int] | None:
    """What a placeholder stands for, and the step that made that; None for any other value."""
    if type(value) is not Placeholder:
        return None
    return object.__getattribute__(value, "_was"), object.__getattribute__(value, "_step")
