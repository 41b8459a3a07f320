"""Where objects and the memory of buffers lie, and whether it may be written to."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

identity: Final = object.__hash__
"""As `id`, and as quick. But `id` is told to every audit hook of the process, of which there is one that notes what a
step opens, and takes ten times as long then. Not for the memory of a pickler, which goes by `id`."""


class _View(ctypes.Structure):
    """A `Py_buffer` of C."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class _List(ctypes.Structure):
    """What a list of CPython has behind the head of every object: ``Include/cpython/listobject.h``."""

    _fields_ = (("size", ctypes.c_ssize_t), ("items", ctypes.c_void_p))


def holds(items: list[Any], some: Sequence[Any]) -> bool:
    """Whether a list, not changed meanwhile, holds one of some objects itself.

    Of millions it is faster to search the memory of the list for their addresses than to ask for the `id` of each.
    """
    if len(items) < _FEW or not _is_list_known():
        return not {*map(identity, some)}.isdisjoint(map(identity, items))
    wanted = list(map(id, some))
    return any(_is_among(address, piece) for piece in _pieces(items) for address in wanted)


def _pieces(items: list[Any]) -> Iterator[bytes]:
    """The addresses of what a list holds, as they lie there."""
    head = _List.from_address(id(items) + object.__basicsize__)
    for start in range(0, head.size, _PIECE):
        yield ctypes.string_at(head.items + start * _POINTER, min(_PIECE, head.size - start) * _POINTER)


def _is_among(address: int, pointers: bytes) -> bool:
    numpy: Any = sys.modules.get("numpy")
    if hasattr(numpy, "frombuffer"):  # in a tenth of the time
        return bool((numpy.frombuffer(pointers, numpy.uintp) == address).any())
    pointer = address.to_bytes(_POINTER, sys.byteorder)
    at = pointers.find(pointer)
    while at >= 0 and at % _POINTER:
        at = pointers.find(pointer, at + 1)
    return at >= 0


@functools.cache
def _is_list_known() -> bool:
    """Whether lists of this Python are laid out as `_List` says."""
    one, other = object(), object()
    head = _List.from_address(id(items := [one, other, one]) + object.__basicsize__)
    return head.size == 3 and b"".join(_pieces(items)) == b"".join(
        id(item).to_bytes(_POINTER, sys.byteorder) for item in items
    )


_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
_FEW: Final = 100
_PIECE: Final = 1 << 17  # pointers


def place_of(buffer: Any) -> tuple[int, int]:
    """Address and length of contiguous memory."""
    view = _View()
    with buffer.raw() if hasattr(buffer, "raw") else memoryview(buffer) as raw:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(raw), ctypes.byref(view), 0)
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    return view.buf or 0, view.len


def address(array: Any) -> int:
    """Where the first element of an array lies; `__array_interface__` tells of all fields of its type besides."""
    return int(array.ctypes.data)


def bounds(array: Any) -> tuple[int, int]:
    """Lowest and one past the highest address of an array (as `numpy.lib.array_utils.byte_bounds`)."""
    low = high = address(array)
    if array.flags.forc:
        return low, low + array.nbytes
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + array.itemsize


def is_writeable(array: Any) -> bool:
    """Whether an array of numpy may be written to.

    Asked by its name, `flags.writeable` of what `numpy.broadcast_arrays` made warns, and then forgets to warn whoever
    writes to it.
    """
    return bool(array.flags.num & _WRITEABLE)


def layout(array: Any) -> int:
    """Whether an array of numpy is contiguous, in which order, and may be written to, in one number."""
    return int(array.flags.num & (_CONTIGUOUS | _WRITEABLE))


_CONTIGUOUS = 0x0003  # NPY_ARRAY_C_CONTIGUOUS and NPY_ARRAY_F_CONTIGUOUS
_WRITEABLE = 0x0400  # NPY_ARRAY_WRITEABLE, https://numpy.org/doc/stable/reference/c-api/array.html
