"""Texts that are interned: code that compares by `is`, knowingly or not, takes them for its own literals and names.

What pickle reads is another object than the literal of the code that comes later, so that `mode is "train"` would no
longer hold. Interned texts are therefore written as calls of `sys.intern`. Which of others are one object is not kept.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from ckpt_magic.values.collector import referents
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.references import by_reference

_ALL: Final = 1 << 17  # references; of more a sample is taken: what comes in each row is met there as well
_STEP: Final = 97  # from one of the sample to the next
_MANY: Final = 10_000  # texts; of more only those count that something else holds as well, as code does its literals
_ONCE: Final = next(map(sys.getrefcount, [object()])) + 1  # references to what a list and one other thing hold


def interned(values: Iterable[Any], parts: Iterable[Collection[Any]]) -> list[str]:
    """The texts among values that are interned, each once.

    Parameters
    ----------
    values
        The values.
    parts
        Of each what it consists of, atoms aside.
    """
    parts = [*parts]
    if sum(map(len, parts)) <= _ALL:  # one question for thousands of small values
        parts = [list(itertools.chain.from_iterable(parts))]
    held = itertools.chain(values, *map(_held, parts))
    found = [one for one in held if type(one) is str]
    if len(found) > _MANY:
        found = list(itertools.compress(found, map(_ONCE.__lt__, list(map(sys.getrefcount, found)))))
    return list(filter(_is_interned, {identity(text): text for text in found}.values()))


def _held(parts: Collection[Any]) -> Iterable[Any]:
    """What objects refer to; what definitions of the notebook hold, too, but for what Python gave them."""
    some = _some([*parts])
    classes = [one for one in some if issubclass(type(one), type) and not by_reference(one)]
    attributes = [value for one in classes for name, value in vars(one).items() if name[:2] != "__"]
    found, keys = referents(some)
    return itertools.chain(_some(found), _some([*keys]), attributes)


def _some(objects: Sequence[Any]) -> Sequence[Any]:
    return objects if len(objects) <= _ALL else objects[::_STEP]


def _is_interned(text: str) -> bool:
    """Whether the text is what `sys.intern` gives for an equal one, which is made for the question.

    Of most letters there is one text only, but not of those that Python itself has for names: a literal `"x"` is
    another object than what `chr` and pickle give.
    """
    equal = text[:-1] + text[-1:] if len(text) > 1 else chr(ord(text)) if text else text
    return equal is not text and sys.intern(equal) is text
