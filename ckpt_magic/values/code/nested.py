"""Code objects, and those of the functions and classes that lie in them."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator


def with_nested(codes: Iterable[types.CodeType]) -> Iterator[types.CodeType]:
    """Yield code objects and all that are nested in them."""
    todo = list(codes)
    for code in todo:  # it grows meanwhile
        yield code
        todo += [const for const in code.co_consts if type(const) is types.CodeType]
