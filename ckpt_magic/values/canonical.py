"""Digests of small values, equal for equal values in every kernel and on every Python."""

from __future__ import annotations

import hashlib
import itertools
import struct
from typing import Any, Final

from ckpt_magic.values.memory import bounds, identity, is_writeable
from ckpt_magic.values.pickles.references import ATOMS

SMALL = 1 << 16  # bytes; a larger value has no fingerprint
_DEEP = 50
_NUMBERS: Final = frozenset({int, float, bool, complex})
"""Types whose hashes are the same in every kernel: so is the order of a set of them that was made in the same way."""


def fingerprint(value: Any, *, room: int = SMALL) -> str | None:
    """Digest of a small value, equal for equal values in every kernel and on every Python.

    Parameters
    ----------
    value
        Atoms, and lists, tuples, dicts and sets of them, arrays.
    room
        Bytes; a larger value has none.

    Returns
    -------
    str or None
        None for a value of another kind or a larger one: nothing is known of it. Nor of arrays over each other.
    """
    digest = hashlib.blake2b(digest_size=16)
    arrays: list[Any] = []
    try:
        for part in _canonical(value, [room], 0, {}, arrays):
            digest.update(part)
    except _NotSmall:
        return None
    return None if len(arrays) > 1 and _lie_over_each_other(arrays) else digest.hexdigest()


class _NotSmall(Exception):  # noqa: N818  # it is no error
    """The value has no fingerprint."""


def _canonical(value: Any, room: list[int], depth: int, met: dict[int, int], arrays: list[Any]) -> list[bytes]:
    """Encode `value` with its types; `room` counts down the bytes that are left, `arrays` takes in those of numpy.

    What can be changed in place and was `met` before is told by its number: it matters whether it is met twice, or its
    equal.
    """
    kind = type(value)
    if kind in (list, dict, set, bytearray) or kind.__name__ == "ndarray":
        if identity(value) in met:
            return [_head(kind, met[identity(value)], room), b"again"]
        met[identity(value)] = len(met)
    if kind in (str, bytes, bytearray) and len(value) > SMALL:
        raise _NotSmall
    if kind in ATOMS:
        body = atom_bytes(value)
    elif kind is bytearray:
        body = bytes(value)
    elif kind in (list, tuple, set, frozenset, dict):
        if depth > _DEEP or len(value) > SMALL:
            raise _NotSmall
        items = (item for pair in value.items() for item in pair) if kind is dict else value
        head = _head(kind, len(value), room)
        parts = [b"".join(_canonical(item, room, depth + 1, met, arrays)) for item in items]
        is_sorted = kind in (set, frozenset) and not _NUMBERS.issuperset(map(type, value))  # hashes of texts are random
        return [head, *(sorted(parts) if is_sorted else parts)]
    elif kind.__module__ == "numpy" and hasattr(kind, "tobytes") and value.dtype.kind in "biufcSUmM":
        room[0] -= value.nbytes
        told = value.dtype.str, value.shape, *([repr(value.dtype.metadata)] if value.dtype.metadata else ())
        body = repr(told).encode() + (value.tobytes() if room[0] >= 0 else b"")
        body += b"" if is_writeable(value) or not value.shape else b"read-only"
        flags = getattr(value, "flags", None)
        if flags is not None and not flags.c_contiguous:
            body += b"columns" if flags.f_contiguous else b"scattered"
        if hasattr(kind, "__array_finalize__"):  # a number of numpy has no place of its own
            arrays.append(value)
    else:
        raise _NotSmall
    return [_head(kind, len(body), room), body]


def _lie_over_each_other(arrays: list[Any]) -> bool:
    places = sorted(bounds(one) for one in arrays if one.size)
    return any(low < high for (_, high), (low, _) in itertools.pairwise(places))


def _head(kind: type, length: int, room: list[int]) -> bytes:
    room[0] -= length + 8
    if room[0] < 0:
        raise _NotSmall
    return f"{kind.__name__}:{length}:".encode()


def atom_bytes(value: Any) -> bytes:
    """Encode an atom so that 0.0 is told from -0.0, and each NaN from the others."""
    kind = type(value)
    if kind is int:
        return b"%x" % value  # repr refuses more than 4300 digits
    if kind is str:
        return value.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]
    if kind is bytes:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return struct.pack("<d", value)
    if kind is complex:
        return struct.pack("<dd", value.real, value.imag)
    if kind is range:
        return b"%x %x %x" % (value.start, value.stop, value.step)
    return repr(value).encode()
