"""Arrays whose elements lie apart: they come back as far apart, although what lies between is not written.

By the strides of an array numpy decides in which order it adds its elements up, and what the library for linear algebra
is called for: the last digits of a sum depend on them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from ckpt_magic.values.memory import bounds
from ckpt_magic.values.pickles.forms import Form

OWNS_DATA: Final = 1 << 16  # bytes; smaller arrays come back owning their memory, so that they can be resized
_SURE: Final = 1 << 26  # bytes that an array may lie in when it comes back, whatever its size
_TIMES: Final = 4  # and how many times its own
_APART: Final = 3  # where that is too much: times the size of what lies side by side
LEAST: Final = 1 << 16  # bytes: memory up to here, or up to `GAPS` times the array, is written with what lies between
GAPS: Final = 2


def stretch(array: Any) -> int:
    """How many bytes an array lies in."""
    low, high = bounds(array)
    return high - low


def is_loose(array: Any) -> bool:
    """Whether an array lies in more memory than what is written together with what lies between its elements."""
    return not array.flags.forc and stretch(array) > max(GAPS * array.nbytes, LEAST)


def is_turned(array: Any) -> bool:
    """Whether a small array owns its memory and goes through it in an order between those of C and of Fortran."""
    return array.base is None and not array.flags.forc and array.nbytes < OWNS_DATA


def turned(array: Any) -> Any:
    """A call that makes such an array again."""
    numpy = sys.modules["numpy"]
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    plain = array.transpose(order).copy()
    back = Form(numpy.ndarray.transpose, plain, [order.index(axis) for axis in range(array.ndim)])
    return numpy.ndarray.copy, (back, "K")


def apart(array: Any) -> Any:
    """A call that makes an array with these strides, and nothing in it yet."""
    numpy = sys.modules["numpy"]
    strides: Sequence[int] = array.strides
    if stretch(array) > max(_TIMES * array.nbytes, _SURE):
        strides = _narrowed(array)
    steps = [(length - 1) * stride for length, stride in zip(array.shape, strides, strict=True)]
    size = sum(map(abs, steps)) + array.itemsize
    first = -sum(step for step in steps if step < 0)
    memory = Form(numpy.zeros, size, numpy.dtype("u1"))  # pages that nothing is put into cost nothing
    return numpy.ndarray, (array.shape, array.dtype, memory, first, tuple(strides))


def _narrowed(array: Any) -> list[int]:
    """Shorter strides of the same order and signs: what lies side by side does so, and nothing else does."""
    times = max(_APART, GAPS * LEAST // array.nbytes + 1)  # still loose
    found = list(array.strides)
    size = narrow = array.itemsize  # of what lies within one step of an axis
    for axis in sorted(range(array.ndim), key=lambda axis: abs(array.strides[axis])):
        length, stride = array.shape[axis], abs(array.strides[axis])
        if length > 1 and stride:
            step = narrow if stride == size else min(narrow * times, stride)
            found[axis] = step if array.strides[axis] > 0 else -step
            size, narrow = stride * length, step * length
    return found
