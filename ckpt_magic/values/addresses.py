"""Numbers that `id` gave: addresses, which mean nothing in another process.

Nobody can tell such a number from another one but by what is at that address: it is one if an object is there now.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import time
from collections.abc import Collection, Iterable
from typing import Any, Final

from ckpt_magic.values.collector import referents
from ckpt_magic.values.memory import identity

ASKING: Final = frozenset({"id"})

_LEAST: Final = 1 << 20  # nothing lies at lower addresses
_WIDTH: Final = sys.hash_info.width  # bits
_STARTED: Final = time.time_ns()


def of_this_process() -> str:
    """What tells this process from all others."""
    return f"{_STARTED:x}-{os.getpid()}"


def are_kept(values: Iterable[Any], parts: Iterable[Collection[Any]]) -> bool:
    """Whether values hold the address of an object as a number.

    Parameters
    ----------
    values
        The values.
    parts
        Of each what it consists of, atoms aside.
    """
    met = list(itertools.chain.from_iterable(parts))
    atoms = list(itertools.chain(values, *referents(met)))
    numbers = {_hashed(one) for one in atoms if type(one) is int and one >= _LEAST and one.bit_length() <= _WIDTH}
    if not numbers:
        return False
    objects = itertools.chain(gc.get_objects(), met, atoms)  # the collector does not know all of them
    return not numbers.isdisjoint(map(identity, objects))


def _hashed(address: int) -> int:
    """What `identity` gives for an object at an address, as `_Py_HashPointer` of CPython turns it."""
    turned = (address >> 4 | address << (_WIDTH - 4)) & ((1 << _WIDTH) - 1)
    return turned - (turned >> (_WIDTH - 1) << _WIDTH)
