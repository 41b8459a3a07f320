"""Arrays whose bytes numpy copies before it pickles them: large ones are written from where they lie.

numpy gives a buffer only of contiguous arrays, and only of dtypes that a buffer can describe (not `datetime64`);
pandas joins the pieces of Arrow data first, even if there is one.
"""

from __future__ import annotations

import copyreg
import mmap
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from ckpt_magic.values.memory import place_of

_GATHERED: Final = 1 << 20  # bytes; a smaller array is copied
_PIECE: Final = 1 << 20
_PROTOCOL: Final = 5  # the first that knows buffers


def contiguous(array: Any) -> Any:
    """Reduce a contiguous array of a dtype that has no buffers as numpy reduces others; else NotImplemented."""
    flags = array.flags
    if not (flags.c_contiguous or flags.f_contiguous) or not array.nbytes or has_buffer(array):
        return NotImplemented
    return _over(array.reshape(-1, order="A").view("u1"), array, "C" if flags.c_contiguous else "F")


def as_it_is(array: Any) -> Any:
    """Reduce an array of a foreign order of bytes: numpy brings one into its own that it does not give a buffer of."""
    reduced = array.__reduce_ex__(_PROTOCOL)
    if len(reduced) == 2:
        return reduced
    return _over(array.copy().reshape(-1).view("u1"), array, "C")


def is_scattered(array: Any) -> bool:
    """Whether an array is large and its bytes do not lie side by side."""
    flags = array.flags
    return array.nbytes >= _GATHERED and not (flags.c_contiguous or flags.f_contiguous or array.dtype.hasobject)


def pieces(array: Any) -> Iterator[memoryview]:
    """The bytes of an array in the order of its elements, a piece at a time; each is overwritten by the next."""
    numpy = sys.modules["numpy"]
    size = max(1, _PIECE // array.dtype.itemsize)
    flags = ["external_loop", "buffered"]
    with numpy.nditer(array, flags=flags, op_flags=["readonly", "contig"], order="C", buffersize=size) as chunks:
        for chunk in chunks:
            yield memoryview(chunk.view("u1"))


def arrow_column(column: Any) -> Any:
    """Reduce a column of pandas over Arrow data; pandas itself copies that first, to join its pieces.

    Arrow adds up piece by piece: the last digits of a sum depend on them.
    """
    state = vars(column)
    data = state.get("_pa_array")
    if not getattr(data, "num_chunks", 0):
        return NotImplemented
    # pandas sets the state itself, with keys that are equal to those of other columns, but not the same objects
    renewed = {"_pa_array": [*map(_whole, data.chunks)], "_cache": {}}
    named = {sys.intern(key): renewed.get(key, part) for key, part in state.items()}
    return copyreg.__newobj__, (type(column),), named  # type: ignore[attr-defined]


def _whole(piece: Any) -> Any:
    """A piece of Arrow data, by itself if it is a part of larger data: the rest is not its own."""
    if piece.get_total_buffer_size() <= piece.nbytes + piece.nbytes // 8 + 1024:
        return piece
    return sys.modules["pyarrow"].concat_arrays([piece])


def arrow_array(array: Any) -> Any:
    """Reduce Arrow data so that a map of what is missing stays where nothing is: it counts as memory of the array.

    Arrow drops it where it is told that nothing is missing; it counts again when that is not known.
    """
    made, (data,) = array.__reduce__()
    return made, (_uncounted(data),)


def _uncounted(data: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, length, missing, offset, buffers, parts, words, *rest = data
    if buffers and buffers[0] is not None:
        missing = -1
    return kind, length, missing, offset, buffers, [*map(_uncounted, parts)], words and _uncounted(words), *rest


class Gathered:
    """Scattered arrays that are written as if their bytes lay side by side.

    The pickler writes a buffer of the right length in memory that nobody ever touches, so that there is none; who
    writes the file asks here for the bytes to write in its place.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, int], Any] = {}
        self._missed: set[tuple[int, int]] = set()

    def reduce(self, array: Any) -> Any:
        """Reduce a scattered array; it comes back in the order of its elements."""
        try:
            memory = _untouched(array.nbytes)
        except OSError:  # as much cannot even be asked for
            return NotImplemented
        place = place_of(memory)
        self._arrays[place] = array
        self._missed.add(place)
        return _over(sys.modules["numpy"].frombuffer(memory, "u1"), array, "C")

    def pieces(self, buffer: Any) -> Iterator[memoryview] | None:
        """The bytes that a buffer stands for; None if it stands for itself."""
        place = place_of(buffer)
        if place not in self._arrays:
            return None
        self._missed.discard(place)
        return pieces(self._arrays[place])

    @property
    def complete(self) -> bool:
        """Whether all buffers were asked for, so that none was written as it is."""
        return not self._missed


class _Memory(mmap.mmap):
    """Our memory: arrays over it are told by its class from those over a map of the user's."""


def _untouched(size: int) -> mmap.mmap:
    if os.name == "nt":
        return _Memory(-1, size)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return _Memory(-1, size, flags=flags)


def has_buffer(array: Any) -> bool:
    """Whether numpy gives a buffer of an array."""
    try:
        memoryview(array).release()
    except ValueError:
        return False
    return True


def _over(part: Any, array: Any, order: str) -> Any:
    """Reduce bytes to an array as numpy does where it gives a buffer."""
    made, (buffer, *_), *_ = part.__reduce_ex__(_PROTOCOL)
    return made, (buffer, array.dtype, array.shape, order)
