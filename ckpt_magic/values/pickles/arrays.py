"""Arrays as calls that rebuild them: what shares memory goes on sharing it, what is read-only stays so."""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import functools
import io
import mmap
import operator
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import address, identity, is_writeable
from ckpt_magic.values.owned import is_own
from ckpt_magic.values.pickles import companions, memmaps, strided
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.gathered import Gathered, as_it_is, contiguous, has_buffer, is_scattered
from ckpt_magic.values.pickles.references import importable, refuses_for_now
from ckpt_magic.values.pickles.strided import OWNS_DATA
from ckpt_magic.values.proofs import Proofs

_COPIED: Final = 1000  # bytes that numpy copies when it reads an array; of more it lets the array lie over the text


@dataclass(frozen=True, slots=True)
class View:
    """A stretch of memory that several arrays lie in, and the array that is written for it.

    Attributes
    ----------
    low, high
        First address and the one past the last.
    owner
        A contiguous array from `low` to `high`.
    """

    low: int
    high: int
    owner: Any


class Arrays:
    """The arrays of one pickle, and what else lies over memory that others may see.

    Parameters
    ----------
    known
        The definitions of the pickle.
    views
        Plan for arrays that share memory.
    gathered
        Who gives the bytes of scattered arrays to the file; None copies them.
    proofs
        What is known of files that are written through maps.
    """

    def __init__(
        self,
        known: Definitions,
        views: Iterable[View],
        gathered: Gathered | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self._known = known
        self._proofs = Proofs() if proofs is None else proofs
        self._gathered = gathered
        self._views = sorted(views, key=lambda view: view.low)
        self._lows = [view.low for view in self._views]
        self.inner: dict[int, Any] = {}  # plain arrays that are written for others

    def clear(self) -> None:
        """Forget what was met: objects are told by `id`."""
        self.inner.clear()

    def array(self, array: Any) -> Any:
        """Write an array as a view of the owner of its memory, if the plan says so."""
        if lies_elsewhere(array):
            if (over := memmaps.root(array)) is not None:
                return memmaps.part(array, over, self._known)
            if (reduced := _over_a_buffer(array)) is not None:
                return reduced
        if self._views and array.size and (reduced := self._view(array)) is not None:
            return reduced
        if array.dtype.hasobject:
            return self._objects(array)
        return self.whole_array(array)

    def mapped(self, array: Any) -> Any:
        """Map a file again, or be a part of a map."""
        over = memmaps.root(array)
        if over is None:  # an array in memory that was computed from one
            return self.subarray(array)
        if over is not array:
            return memmaps.part(array, over, self._known)
        return memmaps.opened(array, self._known, self._proofs)

    def subarray(self, array: Any) -> Any:
        """Write an array of a subclass (matrix, recarray, masked, the notebook's) as a view with attributes.

        What numpy writes of such an array are bytes alone, without what its class keeps on it.
        """
        kind, ndarray = type(array), sys.modules["numpy"].ndarray
        plain = ndarray.view(array, ndarray)
        self.inner[identity(plain)] = plain
        state = vars(array) if hasattr(array, "__dict__") else {}, is_writeable(array)
        view = self._known.evaluated(_UNFINISHED) if _can_be_given(kind) else ndarray.view
        return view, (plain, kind), state, None, None, self._known.evaluated(_SET_SUBARRAY)

    def part(self, part: Any) -> Any:
        """Write an element of a structured array: it lies over the memory of the array."""
        array = array_of(part)
        if array is None:
            return NotImplemented
        self.inner[identity(array)] = array
        return operator.getitem, (array, ())

    def whole_array(self, array: Any) -> Any:
        """Write an array that has its memory for itself, or owns what others are views of."""
        if strided.is_loose(array):
            filled = sys.modules["numpy"].copyto if is_writeable(array) else self._known.evaluated(_FILLED)
            return *strided.apart(array), self._dense(array), None, None, filled
        if strided.is_turned(array):
            again = strided.turned(array)
            return again if is_writeable(array) else (*again, False, None, None, type(array).setflags)
        if not is_writeable(array):
            return self._owner(array) if any(array is view.owner for view in self._views) else self._read_only(array)
        if array.nbytes >= OWNS_DATA or (array.base is not None and not (array.flags.forc and array.size)):
            return self._buffer_of(array)
        if array.base is None and array.nbytes <= _COPIED and array.dtype.isnative:
            return array.__reduce__()
        reduced = contiguous(array)
        if reduced is NotImplemented:
            reduced = array.__reduce_ex__(PROTOCOL) if array.dtype.isnative else as_it_is(array)
        made, args, *_ = reduced
        ndarray, whole = type(array), Form(made, *args)
        if array.base is None:
            return ndarray.copy, (whole, "K")
        # libraries ask how much larger the base of an array is: that of a view is an array of its kind
        return ndarray.view, (Form(ndarray.copy, whole, "K"),)

    def _dense(self, array: Any) -> Any:
        """The elements of an array, side by side."""
        if self._gathered is not None and is_scattered(array):
            reduced = self._gathered.reduce(array)
            if reduced is not NotImplemented:
                return Form(reduced[0], *reduced[1])
        return array.copy()

    def _buffer_of(self, array: Any) -> Any:
        """Let the buffer of an array be written out of the stream, from where it lies; a small one may be copied."""
        if self._gathered is not None and is_scattered(array):
            return self._gathered.reduce(array)
        reduced = contiguous(array) if array.nbytes >= OWNS_DATA else NotImplemented
        if reduced is not NotImplemented or array.dtype.isnative:
            return reduced
        made, args = as_it_is(array)
        return (made, args) if array.nbytes >= OWNS_DATA else (type(array).copy, (Form(made, *args), "K"))

    def _read_only(self, array: Any) -> Any:
        """Write a read-only array so that it can be made writable again, if the array itself can."""
        alias = _writable_alias(array)
        if alias is None:
            is_large = array.nbytes >= OWNS_DATA
            if array.flags.forc and (is_large or has_buffer(array)):
                return contiguous(array) if is_large else NotImplemented  # both come back read-only
            alias = array if self._gathered is not None and is_scattered(array) else array.copy()
        setflags = type(array).setflags
        if (reduced := self._buffer_of(alias)) is not NotImplemented:
            return (*reduced, False, None, None, setflags)
        if array.nbytes >= OWNS_DATA and (array.flags.c_contiguous or array.flags.f_contiguous):
            return (*alias.__reduce_ex__(PROTOCOL), False, None, None, setflags)
        return type(array).copy, (alias, "K"), False, None, None, setflags

    def _objects(self, array: Any) -> Any:
        """Write an array of objects that has views, or is read-only, with all its memory: its objects may hold views.

        Numpy makes it small, and gives it other memory, which is writable, when its objects are there.
        """
        view = self.view_at(address(array)) if self._views and array.size else None
        is_owner = view is not None and array is view.owner and array.dtype.kind != "T"
        writable = is_owner or is_writeable(array)  # the memory that views lie in is writable: each has its own flag
        if writable and not is_owner:
            return self.elements(array)
        args = array.shape, array.dtype, *((None, 0, None, "F") if array.flags.fnc else ())
        filled = sys.modules["numpy"].copyto if writable else self._known.evaluated(_FILLED)
        return type(array), args, array.copy(), None, None, filled

    def elements(self, array: Any) -> Any:
        """Reduce an array of objects as numpy does, with what gets them for numbers of libraries."""
        if array.dtype.kind != "O":
            return NotImplemented
        made, args, (*state, items) = array.__reduce__()
        return made, args, (*state, self._known.with_constants(items))

    def _owner(self, array: Any) -> Any:
        """The memory that views lie in is writable if it can be: each view has its own flag."""
        alias = _writable_alias(array)
        if alias is None:
            return NotImplemented
        reduced = contiguous(alias)
        return alias.__reduce_ex__(PROTOCOL) if reduced is NotImplemented else reduced

    def _view(self, array: Any) -> Any:
        start = address(array)
        view = self.view_at(start)
        if view is None or array is view.owner:
            return None
        if array.dtype.hasobject:  # the constructor of arrays refuses these
            first, offset = divmod(start - view.low, view.owner.itemsize)
            part = view.owner
            for field_ in field_path(view.owner.dtype, array.dtype, offset) or ():
                part = Form(operator.getitem, part, field_)
            if array.dtype.kind == "T":  # its strings are known to this very dtype alone: see sharing
                step = array.strides[0] // view.owner.itemsize
                stop = first + step * array.size
                places = slice(first, stop if stop >= 0 else None, step)
                setting = () if is_writeable(array) else (False, None, None, type(array).setflags)
                return operator.getitem, (view.owner, places), *setting
            part = Form(operator.getitem, part, slice(first, None))
            strided = sys.modules["numpy"].lib.stride_tricks.as_strided
            return strided, (part, array.shape, array.strides, False, is_writeable(array))
        ndarray = type(array)
        args = (array.shape, array.dtype, view.owner, start - view.low, array.strides)
        if is_writeable(array):
            return ndarray, args
        return ndarray, args, False, None, None, ndarray.setflags

    def view_at(self, address: int) -> View | None:
        index = bisect.bisect_right(self._lows, address) - 1
        return self._views[index] if index >= 0 and address < self._views[index].high else None

    def arrow(self, buffer: Any) -> Any:
        """Arrow data over the memory of an array stays over it."""
        view = self.view_at(buffer.address) if self._views and buffer.size else None
        if view is None:
            return NotImplemented
        numpy, pyarrow = sys.modules["numpy"], sys.modules["pyarrow"]
        part = Form(numpy.ndarray, (buffer.size,), numpy.dtype("u1"), view.owner, buffer.address - view.low)
        return pyarrow.py_buffer, (part,)

    def series(self, series: Any) -> Any:
        """Data of polars that is in pieces, or over the memory of an array, stays so.

        What is written to the array changes the series. Of the pieces, polars joins them where it pickles data, and by
        them it adds up: the last digits of a sum depend on that.
        """
        chunks = series.get_chunks() if self._views or series.n_chunks() > 1 else []
        lent = [next(filter(self._is_in_view, lent_by(chunk)), None) if self._views else None for chunk in chunks]
        is_lent = any(piece is not None for piece in lent)
        if not is_lent and (len(chunks) < 2 or series.dtype == sys.modules["polars"].Object):
            return NotImplemented
        kind = type(series)
        if any(piece is not None and kind(piece).dtype != series.dtype for piece in lent):
            raise NotPicklableError(f"a series of polars ({series.dtype}) over the memory of an array")
        both = zip(chunks, lent, strict=True)
        parts = [chunk if piece is None else Form(kind, series.name, piece) for chunk, piece in both]
        order = {name for name, value in series.flags.items() if value} & {"SORTED_ASC", "SORTED_DESC"}
        if len(parts) == 1 and not order:
            return kind, (series.name, lent[0])
        concat = functools.partial(sys.modules["polars"].concat, rechunk=False)
        if not order:
            return concat, (parts,)
        return functools.partial(kind.set_sorted, descending=order == {"SORTED_DESC"}), (Form(concat, parts),)

    def _is_in_view(self, piece: Any) -> bool:
        return self.view_at(address(piece)) is not None

    def columns(self, frame: Any) -> Any:
        """A frame of polars, some of whose columns may be in pieces, or lie over the memory of an array."""
        columns = frame.get_columns()
        if all(self.series(column) is NotImplemented for column in columns):
            return NotImplemented
        return type(frame), (columns,)

    def block(self, block: Any) -> Any:
        made, args, *_ = block.__reduce__()
        return made, args, *self.joining(block, companions.JOIN)

    def single_block(self, manager: Any) -> Any:
        made, args, (axes, values, _, read), *rest = manager.__reduce_ex__(PROTOCOL)
        state = axes, values, axes, read  # the third is the index again, for pandas 0.13: an empty one each time anew
        return made, args, *(self.joining(manager.blocks[0], companions.JOIN, state) or (state, *rest))

    def index(self, index: Any) -> Any:
        made, args, *rest = index.__reduce__()
        return made, args, *(self.joining(index, companions.JOIN_INDEX) or rest)

    def joining(self, one: Any, way: str, *state: Any) -> tuple[Any, ...]:
        """What lets a block or an index know of the others over its memory when it is read; empty if nothing does."""
        refs = companions.count_of(one)
        if refs is None:
            return ()
        count, place = self._known.count(one, refs, lambda address: self.view_at(address) is not None)
        return (count, place, *state), None, None, self._known.told(way)


def lent_by(series: Any) -> list[Any]:
    """The pieces of a series of polars that may lie over the memory of an array, as arrays: numbers without gaps."""
    if not (series.dtype.is_numeric() or series.dtype.is_temporal()):
        return []
    found = []
    for piece in series.get_chunks():
        with contextlib.suppress(RuntimeError):  # it has gaps, or numpy has no such numbers
            found.append(piece.to_numpy(allow_copy=False))
    return [piece for piece in found if piece.size]


ARRAY_PARTS: Final = ("_ndarray", "_data", "_mask", "_codes", "_left", "_right")  # of the arrays of extension types


def copies_on_write() -> bool:
    """Whether pandas copies on write: then no frame sees what is written to another one over the same memory."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "options"):  # absent, or being imported
        return False
    return not pandas.__version__.startswith(("1.", "2.")) or pandas.options.mode.copy_on_write is True


_SET_SUBARRAY: Final = """lambda array, state: (
    state[0] and array.__dict__.update(state[0]), state[1] or array.setflags(write=False))"""

# Its class comes last, so that no `__array_finalize__` runs again: what it set is among the attributes.
_UNFINISHED: Final = """lambda plain, kind: (lambda made: (setattr(made, '__class__', kind), made)[-1])(
    plain.view(type('Unfinished', (__import__('numpy').ndarray,), {})))"""
_unfinished: Final = eval(_UNFINISHED)  # noqa: S307


def _can_be_given(kind: Any) -> bool:
    """Whether arrays of a notebook's class can get it when they are there."""
    numpy = sys.modules["numpy"]
    if importable(kind) or next(filter(importable, kind.__mro__)) is not numpy.ndarray:
        return False
    try:
        _unfinished(numpy.empty(0), kind)
    except TypeError:  # it has slots
        return False
    return True


_FILLED: Final = """lambda array, objects: (
    __import__('numpy').copyto(array, objects), array.setflags(write=False))"""


_ORDER: Final = "<" if sys.byteorder == "little" else ">"


def dtype(one: Any) -> Any:
    """Write a type of numbers as what numpy has once, and one with fields that a library holds as the library's.

    Pickled by numpy, each file would have its own. Their fields lie in a dict, which all that have the type share: two
    forests of scikit-learn would be saved together. One that spells out the order of bytes of this machine, as what
    `scipy.io.loadmat` reads does, would come back without, and be shown otherwise; and of two types of integers of the
    same size one would come back as the other.
    """
    numpy = sys.modules["numpy"]
    if one.kind in "biufcO" and numpy.dtype(one.str) is one:
        return numpy.dtype, (one.str,)
    if one.kind in "iu" and numpy.dtype(one.char) is one:
        return numpy.dtype, (one.char,)
    if one.byteorder == _ORDER and one.kind in "iufcmMU" and not one.metadata:
        return Form(getattr, numpy.dtype(one.str), "newbyteorder"), (_ORDER,)
    holder, form = _holder(one), form_of_fields(one)
    if holder is None or form is None:
        return NotImplemented
    return Form(eval, _LIBRARYS), (Form(numpy.dtype, form, one.isalignedstruct), *holder)


def text(one: Any) -> Any:
    """Write a text of numpy that ends with zeros as what it was made of: numpy takes these for the end of it."""
    kind: Any = str if isinstance(one, str) else bytes
    plain = kind.__getitem__(one, slice(None))
    return (type(one), (plain,)) if plain and ord(plain[-1:]) == 0 else NotImplemented


def form_of_fields(one: Any) -> dict[str, Any] | None:
    """What a type with fields that a library holds is made of; None of others."""
    if one.fields is None or one.metadata or _holder(one) is None or any(len(row) > 2 for row in one.fields.values()):
        return None
    formats, offsets = zip(*(one.fields[name] for name in one.names), strict=True)
    return {"names": list(one.names), "formats": list(formats), "offsets": list(offsets), "itemsize": one.itemsize}


def has_gaps(one: Any) -> bool:
    """Whether a type has bytes that are of no field: they hold whatever was in the memory before."""
    return one.names is not None and without_gaps(one).itemsize < one.itemsize


@functools.lru_cache(maxsize=100)
def without_gaps(one: Any) -> Any:
    """The type with the same fields, one right after the other."""
    dtype = sys.modules["numpy"].dtype
    if one.subdtype is not None:
        inner, shape = one.subdtype
        return dtype((without_gaps(inner), shape))
    return one if one.names is None else dtype([(name, without_gaps(one.fields[name][0])) for name in one.names])


def bytes_of_fields(array: Any) -> bytes:
    """The bytes of an array with fields; those between the fields are 0."""
    mask = _mask(array.dtype)
    elements = sys.modules["numpy"].frombuffer(array.tobytes(), mask.dtype).reshape(-1, mask.size)
    return (elements & mask).tobytes()  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=100)
def _mask(one: Any) -> Any:
    """All ones where a type has the bytes of its fields, put there by numpy itself."""
    numpy, dense = sys.modules["numpy"], without_gaps(one)
    element = numpy.zeros(1, one)
    element[...] = numpy.frombuffer(b"\xff" * dense.itemsize, dense)
    unit = next(size for size in (8, 4, 2, 1) if one.itemsize % size == 0)
    return numpy.where(element.view("u1"), 0xFF, 0).astype("u1").view(f"u{unit}")


def _holder(one: Any) -> tuple[str, str] | None:
    """The module of a library that holds a type with fields, and the name that it has there."""
    found = _of_libraries(len(sys.modules)).get(identity(one))
    return None if found is None else found[1:]


@functools.lru_cache(maxsize=1)
def _of_libraries(_: int) -> dict[int, tuple[Any, str, str]]:
    """The types with fields that modules of libraries hold; searched for again when there are more modules."""
    found: dict[int, tuple[Any, str, str]] = {}
    kind = type(sys.modules["numpy"].dtype([("x", "f8")]))
    for name, module in list(sys.modules.items()):
        if type(module) is types.ModuleType and name != "__main__" and not is_own(name):
            for key, value in list(vars(module).items()):
                if type(value) is kind and value.fields is not None:
                    found.setdefault(identity(value), (value, name, key))
    return found


# in another version of the library the type may be another one
_LIBRARYS: Final = """lambda made, module, name: (
    lambda held: held if type(held) is type(made) and held == made else made)(
    vars(__import__('sys').modules.get(module, made.__class__)).get(name))"""


def is_plain_subarray(kind: Any) -> bool:
    """Whether a class of arrays leaves it to numpy how it is pickled, and is not the constant `numpy.ma.masked`."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray") or not issubclass(kind, numpy.ndarray) or kind is numpy.ndarray:
        return False
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", numpy.ndarray)
    root = masked if issubclass(kind, masked) else numpy.ndarray
    ways = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    own = [getattr(kind, way) for way in ways if getattr(kind, way) is not getattr(root, way)]
    return all(map(refuses_for_now, own)) and not issubclass(kind, numpy.memmap)


def field_path(whole: Any, part: Any, offset: int) -> tuple[str, ...] | None:
    """Names of the fields that lead from a structured dtype to its part at an offset; none if there are no such."""
    if offset == 0 and whole == part:
        return ()
    for name, (dtype, start, *_) in (whole.fields or {}).items():
        if start <= offset < start + dtype.itemsize:
            rest = field_path(dtype, part, offset - start)
            if rest is not None:
                return (name, *rest)
    return None


def array_of(part: Any) -> Any:
    """An array without dimensions over the memory of an element of a structured array; none if it has its own."""
    base = part.base
    while base is not None and not hasattr(base, "__array_interface__"):
        base = getattr(base, "base", None)
    if base is None or part.dtype.names is None or not part.nbytes:
        return None
    numpy = sys.modules["numpy"]
    if part.dtype.hasobject:
        raise NotPicklableError("an element of a structured array that holds objects")
    start = address(numpy.frombuffer(part, "u1"))
    whole = numpy.asarray(base)
    low = address(whole)
    if not low <= start < low + whole.nbytes or not whole.flags.c_contiguous:
        raise NotPicklableError("an element of a structured array of odd layout")
    plain = whole.reshape(-1).view(numpy.ndarray)
    return numpy.ndarray((), part.dtype, plain.view("u1") if not plain.dtype.hasobject else plain, start - low)


def _writable_alias(array: Any) -> Any | None:
    """Another array over the same memory that is writable; none if the memory is read-only itself."""
    ndarray, root = type(array), array
    while type(root.base) is ndarray:
        root = root.base
    fixed = not is_writeable(root)
    try:
        root.setflags(write=True)
        start = address(array) - address(root)
        return ndarray(array.shape, array.dtype, root, start, array.strides)
    except (ValueError, TypeError):  # read-only memory; or an order that a buffer cannot have
        return None
    finally:
        if fixed:
            root.setflags(write=False)


def buffer_under(array: Any) -> Any | None:
    """The bytearray, `array.array` or object of `ctypes` that an array lies over; None if it is over something else."""
    base = _root(array)
    is_one = type(base) in (bytearray, getattr(sys.modules.get("array"), "array", None))
    return base if is_one or (isinstance(base, MEMORY_OF_C) and base._b_needsfree_) else None


def lies_elsewhere(array: Any) -> bool:
    """Whether an array lies over memory that is known to be somebody's: of a file, of a buffer, of C."""
    if array.base is None:
        return False
    root = _root(array)
    return type(root) in _MEMORIES or isinstance(root, MEMORY_OF_C) or type(root).__module__ == "array"


def _root(array: Any) -> Any:
    """What an array lies over in the end."""
    base = array
    while (under := _under(base)) is not None:
        base = under
    return None if isinstance(base, sys.modules["numpy"].ndarray) else base


def _under(base: Any) -> Any:
    """What has the memory of an array, a view or an object of `ctypes`; None if that has it for itself."""
    if isinstance(base, sys.modules["numpy"].ndarray):
        return base.base
    if type(base) is memoryview:
        return base.obj
    if not isinstance(base, MEMORY_OF_C) or base._b_needsfree_:
        return None
    whole, held = base._b_base_, base._objects
    if isinstance(whole, MEMORY_OF_C):  # not a pointer: what it leads to lies elsewhere
        return whole
    held = [*held.values()] if isinstance(held, dict) else [held]
    return next((one for one in held if type(one) is memoryview), None)


MEMORY_OF_C: Final[Any] = (ctypes.Array, ctypes.Structure, ctypes.Union, *ctypes.c_int.__mro__[1:2])
_BUFFER_OF_BYTES: Final = type(io.BytesIO().getbuffer().obj)
_MEMORIES: Final = frozenset({bytearray, mmap.mmap, _BUFFER_OF_BYTES})  # not our maps, of a class of their own


def _over_a_buffer(array: Any) -> Any:
    """Write an array over such a buffer as what it is; None for one that is over something else."""
    numpy, base = sys.modules["numpy"], buffer_under(array)
    if base is None:
        root = _root(array)
        if type(root) is mmap.mmap:  # not one of ours, which are of a class of their own
            raise NotPicklableError("an array over memory that `mmap` gave")
        if type(root) is _BUFFER_OF_BYTES:
            raise NotPicklableError("an array over the buffer of a BytesIO")
        if isinstance(root, MEMORY_OF_C) and isinstance(root._b_base_, ctypes._Pointer):
            raise NotPicklableError("an array over memory that a pointer leads to")
        return None
    first = address(numpy.frombuffer(base, dtype="u1"))
    args = (array.shape, array.dtype, base, address(array) - first, array.strides)
    if is_writeable(array):
        return numpy.ndarray, args
    return numpy.ndarray, args, False, None, None, numpy.ndarray.setflags
