"""What compiled code counts: variables of a module and attributes to which it only ever adds 1."""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Iterable
from typing import Final, Literal

from ckpt_magic.values.code.nested import with_nested


def added_to(codes: Iterable[types.CodeType], names: frozenset[str]) -> set[str]:
    """Which of these names are in code that adds anything to what it sets: what it counts is among them.

    The bytes are searched for, since it is asked of most functions of all libraries, and nearly none counts anything.
    """
    found = set[str]()
    for code in with_nested(codes):
        if (here := names.intersection(code.co_names)) and _ADDING.search(code.co_code):
            found |= here
    return found


def only_counts(codes: Iterable[types.CodeType], name: str, kind: Literal["GLOBAL", "ATTR"]) -> bool:
    """Whether code adds 1 to a variable or attribute of this name, and does nothing else that changes it."""
    storing = {dis.opmap[f"STORE_{kind}"], dis.opmap[f"DELETE_{kind}"]}
    some = [one for one in with_nested(codes) if name in one.co_names and not storing.isdisjoint(one.co_code[::2])]
    counts = False
    for code in some:
        last: list[dis.Instruction] = []
        for one in dis.get_instructions(code):
            if one.opcode in storing and one.argval == name:
                if one.opname.startswith("DELETE") or not _adds_one(last, name):
                    return False
                counts = True
            if one.opname not in ("SWAP", "COPY", "EXTENDED_ARG"):
                last = [*last[-2:], one]
    return counts


def _adds_one(last: list[dis.Instruction], name: str) -> bool:
    return len(last) == 3 and last[0].argval == name and last[1].argval == 1 and last[2].argrepr in ("+=", "+")


def _operation(statement: str) -> bytes:
    """The two bytes of the operation in a statement."""
    code = compile(statement, "", "exec")
    offset = next(one.offset for one in dis.get_instructions(code) if one.opname == "BINARY_OP")
    return code.co_code[offset : offset + 2]


_ADDING: Final = re.compile(b"|".join(re.escape(_operation(one)) for one in ("x += 1", "x = x + 1")))
