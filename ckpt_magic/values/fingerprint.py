"""Digests of values: what a value *is*, in a form that two looks at it can compare.

A `Look` is one pass of the C pickler over one value. It writes nothing: the stream is hashed, and on the way
every object and every array that the value reaches is noted, for `sharing`. `fingerprint` is the other kind of
digest: canonical, equal in every kernel, for small values only. The only user of xxhash.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xxhash

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values import definitions
from ckpt_magic.values.pickling import Placeholder, ValuePickler

ATOMS = frozenset(
    {int, float, complex, str, bytes, bool, range, type(None), type(...), type(NotImplemented)}
)
SMALL = 1 << 16  # bytes; a larger value has no fingerprint
_PACKAGE = str(Path(__file__).parents[1])

new_hash = xxhash.xxh3_128


class Span:
    """The memory that one array covers: `low` and `high` are addresses, `guarded` says a pandas block."""

    __slots__ = ("array", "guarded", "high", "low", "writeable")

    def __init__(self, low: int, high: int, array: Any, *, writeable: bool, guarded: bool) -> None:
        self.low, self.high, self.array = low, high, array
        self.writeable, self.guarded = writeable, guarded


class Seen:
    """What one look at one value found.

    Attributes
    ----------
    digest
        Equal digests are equal content, sharing inside the value included; None if it cannot be pickled.
    why
        Reason why it cannot be pickled, else empty.
    met
        Every object that the value reaches, atoms aside, by `id` in the order met; kept alive until `forget`.
    spans
        Memory of the arrays and buffers that the value reaches.
    classes
        The classes written by value that it reaches.
    functions
        The notebook's functions and classes that it reaches.
    """

    __slots__ = ("classes", "digest", "functions", "is_name", "met", "spans", "why", "_ref")

    def __init__(self, value: Any, digest: str | None, why: str = "") -> None:
        self.digest, self.why = digest, why
        self.met: dict[int, Any] = {}
        self.spans: list[Span] = []
        self.classes: list[type] = []
        self.functions: list[Any] = []
        self.is_name = type(value) is not Placeholder and definitions.by_reference(value)
        self._ref = _reference(value, hold=self.is_name or digest is None)

    def is_same_object(self, value: Any) -> bool:
        """Whether `value` is the very object looked at."""
        return self._ref() is value

    def forget(self) -> None:
        """Let go of everything met, so that a look does not keep a rebound gigabyte alive."""
        self.met, self.spans, self.classes, self.functions = {}, [], [], []


def look(value: Any, namespace: dict[str, Any]) -> Seen:
    """Look once at `value`; nothing is written and nothing is changed.

    Parameters
    ----------
    value
        Any object. What it reaches is read in full, large buffers at the speed of memory.
    namespace
        The globals of the notebook's functions: they are referred to, never entered.
    """
    kind = type(value)
    if kind in ATOMS:
        return Seen(value, _atom_digest(value))
    if kind is Placeholder:
        return Seen(value, None, "its value was lost when an earlier step was saved")
    pickler = Look(namespace)
    try:
        pickler.dump(value)
    except Exception as error:  # user code (__reduce__, __getstate__) may raise anything
        if not isinstance(error, NotPicklableError) and _raised_here(error):
            raise
        seen = Seen(value, None, reason(error))
    else:
        seen = Seen(value, pickler.hash.hexdigest())
    seen.met, seen.spans = pickler.met, pickler.spans
    seen.classes, seen.functions = pickler.classes, pickler.functions
    return seen


class Look(ValuePickler):
    """One hashing pass over one value; see `look`."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.hash = new_hash()
        self.met: dict[int, Any] = {}
        self.spans: list[Span] = []
        self.classes: list[type] = []
        self.functions: list[Any] = []
        self._guarded: set[int] = set()
        super().__init__(self, namespace=namespace, buffer_callback=self._buffer)

    def write(self, data: Any) -> int:
        """Be the file of the pickler."""
        self.hash.update(data)
        return len(data)

    def persistent_id(self, obj: Any) -> None:
        """Note every object; the C pickler asks for each one, also inside containers."""
        if type(obj) not in ATOMS:
            self.met[id(obj)] = obj

    def _known_reducers(self) -> dict[type, Callable[[Any], Any] | None]:
        """Reduce as for a file, but say of definitions and code only what is equal in every kernel."""
        special = {
            types.FunctionType: self._function,
            types.CodeType: self._code,
            types.CellType: self._cell,
        }
        return super()._known_reducers() | special

    def _reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        usual = super()._reducer_for(kind)
        if issubclass(kind, type):
            return self._class
        if kind.__name__ in ("BlockManager", "SingleBlockManager"):
            return self._noting(self._note_blocks, usual)
        if hasattr(kind, "__array_interface__") and hasattr(kind, "dtype"):
            return self._noting(self._note_array, usual)
        return usual

    def _noting(self, note: Callable[[Any], None], usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        def reduce(obj: Any) -> Any:
            note(obj)
            return NotImplemented if usual is None else usual(obj)

        return reduce

    def _class(self, cls: type) -> Any:
        """Write a class as its token, or with all its attributes where it holds mutable state."""
        if definitions.by_reference(cls):
            return self.definitions.klass(cls)
        self.classes.append(cls)
        self.functions.append(cls)
        token = definitions.definition_token(cls, self.namespace)
        if definitions.is_plain_definition(cls, self.namespace):
            return _Form, ("class", token)
        attributes = {
            key: value
            for key, value in vars(cls).items()
            if key not in ("__dict__", "__weakref__", "__doc__", "__module__", "_abc_impl", "__slotnames__")
            and not isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
        }
        # the attributes are state, written after the class is memoized: they may refer back to it
        return _Form, ("class", cls.__qualname__, cls.__bases__), (None, attributes)

    def _function(self, function: types.FunctionType) -> Any:
        if definitions.by_reference(function):
            return self.definitions.function(function)
        self.functions.append(function)
        if definitions.is_plain_definition(function, self.namespace):
            return _Form, ("function", definitions.definition_token(function, self.namespace))
        state = {
            "code": function.__code__,
            "defaults": function.__defaults__,
            "kwdefaults": function.__kwdefaults__,
            "closure": function.__closure__,
            "attributes": vars(function),
        }
        if not self._is_known_globals(function.__globals__):
            state["globals"] = function.__globals__
        return _Form, ("function", function.__qualname__), (None, state)

    def _is_known_globals(self, space: dict[str, Any]) -> bool:
        """Whether `space` belongs to the notebook or to a module, and so is not part of the function."""
        if space is self.namespace:
            return True
        module = sys.modules.get(space.get("__name__", ""))
        return module is not None and vars(module) is space

    def _code(self, code: types.CodeType) -> Any:
        # co_filename and the line say where a cell stood, not what it does
        return _Form, ("code", definitions.code_parts(code))

    def _cell(self, cell: types.CellType) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:
            return _Form, ("empty cell",)
        return _Form, ("cell",), (None, {"content": content})

    def _note_blocks(self, manager: Any) -> None:
        self._guarded.update(_block_addresses(manager))

    def _note_array(self, array: Any) -> None:
        interface = array.__array_interface__
        if array.size and array.dtype.kind != "O":
            low, high = _bounds(interface, array.dtype.itemsize)
            guarded = interface["data"][0] in self._guarded
            self.spans.append(
                Span(low, high, array, writeable=not interface["data"][1], guarded=guarded)
            )

    def _buffer(self, buffer: Any) -> bool:
        """Hash a buffer aside from the stream: large data is read once, at the speed of memory."""
        with buffer.raw() as view:
            part = new_hash(view)
            self.hash.update(part.digest())
            self._note_buffer(view)
        return False

    def _note_buffer(self, view: memoryview) -> None:
        """Note the memory of a buffer that is no array (an Arrow buffer over an array, say)."""
        numpy = sys.modules.get("numpy")
        if numpy is None or not view.nbytes:
            return
        array = numpy.frombuffer(view, dtype="u1")
        low = array.__array_interface__["data"][0]
        if not any(span.low <= low < span.high for span in self.spans):
            # held by address only: a view of the exported buffer must not outlive this call
            self.spans.append(Span(low, low + view.nbytes, None, writeable=not view.readonly, guarded=True))


class _Form:
    """Stands in the hashed stream where a file has a definition; never rebuilt."""


def fingerprint(value: Any) -> str | None:
    """Digest of a small value, equal for equal values in every kernel and on every Python.

    Parameters
    ----------
    value
        Atoms, and lists, tuples, dicts and sets of them, arrays; up to 64 KiB.

    Returns
    -------
    str or None
        None for a value of another kind or a larger one: nothing is known of it.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for part in _canonical(value, [SMALL]):
            digest.update(part)
    except _NotSmall:
        return None
    return digest.hexdigest()


class _NotSmall(Exception):
    """The value has no fingerprint."""


def _canonical(value: Any, room: list[int]) -> list[bytes]:
    """Encode `value` with its types; `room` counts down the bytes that are left."""
    kind = type(value)
    if kind in (bool, int, type(None), type(...), range):
        body = repr(value).encode()
    elif kind is float:
        body = struct.pack("<d", value)
    elif kind is complex:
        body = struct.pack("<dd", value.real, value.imag)
    elif kind is str:
        body = value.encode("utf-8", "surrogatepass")
    elif kind in (bytes, bytearray):
        body = bytes(value)
    elif kind in (list, tuple):
        return [_head(kind, len(value), room), *(part for item in value for part in _canonical(item, room))]
    elif kind in (set, frozenset):
        return [_head(kind, len(value), room), *sorted(b"".join(_canonical(item, room)) for item in value)]
    elif kind is dict:
        return [
            _head(kind, len(value), room),
            *(part for pair in value.items() for item in pair for part in _canonical(item, room)),
        ]
    elif kind.__module__ == "numpy" and hasattr(value, "dtype") and value.dtype.kind in "biufcSUmM":
        body = repr((value.dtype.str, value.shape)).encode() + (value.tobytes() if value.nbytes < SMALL else b"")
        room[0] -= value.nbytes
    else:
        raise _NotSmall
    return [_head(kind, len(body), room), body]


def _head(kind: type, length: int, room: list[int]) -> bytes:
    room[0] -= length + 8
    if room[0] < 0:
        raise _NotSmall
    return f"{kind.__name__}:{length}:".encode()


def reason(error: BaseException) -> str:
    """One line about why a value cannot be pickled."""
    text = " ".join(str(error).split())
    return text if isinstance(error, NotPicklableError) else f"{type(error).__name__}: {text}"


def _atom_digest(value: Any) -> str:
    kind = type(value)
    if kind in (str, bytes):
        data = value.encode("utf-8", "surrogatepass") if kind is str else value
    else:
        data = repr(value).encode()  # tells 1 from True and 1.0, 0.0 from -0.0
    digest = new_hash(kind.__name__.encode())
    digest.update(data)
    return digest.hexdigest()


def _reference(value: Any, *, hold: bool) -> Callable[[], Any]:
    """Remember which object was met: weakly where that is possible, so that nothing is kept alive."""
    if hold and type(value) is not Placeholder:
        return lambda: value
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: _OTHER


_OTHER = object()  # is no value of any user: an object that cannot be followed is never "the same"


def _raised_here(error: BaseException) -> bool:
    """Whether the error comes from a line of this package: then it is our own bug, not the user's value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE) and not isinstance(
        error, RecursionError
    ) and not str(error).startswith(("cannot pickle", "Can't pickle", "can't pickle"))


def _bounds(interface: Mapping[str, Any], itemsize: int) -> tuple[int, int]:
    """Lowest and one past the highest address of an array (as `numpy.lib.array_utils.byte_bounds`)."""
    low = high = interface["data"][0]
    strides = interface["strides"]
    if strides is None:
        size = itemsize
        for length in interface["shape"]:
            size *= length
        return low, low + size
    for length, stride in zip(interface["shape"], strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + itemsize


def _block_addresses(manager: Any) -> list[int]:
    """Addresses of the arrays that a pandas manager guards by copy-on-write."""
    found = []
    for block in getattr(manager, "blocks", ()):
        interface = getattr(block.values, "__array_interface__", None)
        if isinstance(interface, dict):
            found.append(interface["data"][0])
    return found
