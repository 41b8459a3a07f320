"""What compiled code counts: variables of a module and attributes to which it only ever adds 1."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterable
from typing import Literal


def stored(codes: Iterable[types.CodeType]) -> list[str]:
    """The attributes that code sets."""
    storing = dis.opmap["STORE_ATTR"]
    those = (code for code in codes if storing in code.co_code[::2])
    return sorted({one.argval for code in those for one in dis.get_instructions(code) if one.opcode == storing})


def only_counts(codes: Iterable[types.CodeType], name: str, kind: Literal["GLOBAL", "ATTR"]) -> bool:
    """Whether code adds 1 to a variable or attribute of this name, and does nothing else that changes it."""
    counts, todo = False, list(codes)
    storing = {dis.opmap[f"STORE_{kind}"], dis.opmap[f"DELETE_{kind}"]}
    for code in todo:  # it grows
        todo += [const for const in code.co_consts if type(const) is types.CodeType]
        if name not in code.co_names or storing.isdisjoint(code.co_code[::2]):
            continue
        last: list[dis.Instruction] = []
        for one in dis.get_instructions(code):
            if one.opcode in storing and one.argval == name:
                if one.opname.startswith("DELETE") or not _adds_one(last, name):
                    return False
                counts = True
            if one.opname not in ("SWAP", "COPY"):
                last = [*last[-2:], one]
    return counts


def _adds_one(last: list[dis.Instruction], name: str) -> bool:
    return len(last) == 3 and last[0].argval == name and last[1].argval == 1 and last[2].argrepr in ("+=", "+")
