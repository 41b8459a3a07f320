"""Small objects of the standard library that pickle refuses although nothing of them is out of reach.

Results of regular expressions, queues, what a `with` statement closed, views of parts of a buffer.
"""

from __future__ import annotations

import array
import copyreg
import ctypes
import functools
import gc
import io
import itertools
import logging
import operator
import queue
import re
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import place_of
from ckpt_magic.values.owned import is_own
from ckpt_magic.values.pickles import instances
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.references import by_reference

Reducer = Callable[[Any], Any]

_FOUND: Final = """lambda pattern, string, pos, endpos, number: next(
    __import__('itertools').islice(pattern.finditer(string, pos, endpos), number, None))"""
_FILLED: Final = "lambda queue, items: [queue.put(item) for item in items]"
_CLOSED_BUFFER: Final = "lambda kind: (lambda made: (made.close(), made)[1])(kind())"
_CLOSED_SOCKET: Final = """lambda timeout, *args: (lambda made: (made.settimeout(timeout), made.close(), made)[-1])(
    __import__('socket').socket(*args))"""
_CLOSED_DATABASE: Final = """lambda attributes: (lambda made: (
    [setattr(made, name, value) for name, value in attributes.items()], made.close(), made)[-1])(
    __import__('sqlite3').connect(':memory:'))"""
_CURSOR: Final = """lambda names: (lambda made: (lambda cursor: (made.close(), cursor)[1])(made.execute(
    'SELECT ' + ', '.join('NULL AS "' + name.replace('"', '""') + '"' for name in names))))(
    __import__('sqlite3').connect(':memory:'))"""  # a row asks it for the names of its columns, and for nothing else
_VIEW: Final = """lambda owner, low, high, format, shape, step, readonly: (
    lambda view: view.toreadonly() if readonly else view)((
    lambda view: view.cast(format)[::step] if shape is None else view.cast(format, shape))(
    memoryview(owner).cast('B')[low:high]))"""
_OF_BYTES: Final = frozenset(map("".join, itertools.product(("", "@"), "cbB?hHiIlLqQnNfdP")))
"""The formats of items that a memoryview makes of bytes."""
_RELEASED: Final = "lambda: (lambda view: (view.release(), view)[1])(memoryview(b''))"
_LOGGER: Final = """lambda kind, name: (lambda made: (setattr(made, '__class__', kind), made)[1])(
    __import__('logging').getLogger(name))"""
OF_LOGGERS: Final = frozenset({*vars(logging.Logger("")), "manager"})  # noqa: LOG001  # of nobody
"""The attributes that each logger has."""
_THREAD: Final = """lambda kind, name, daemon, ended, names: (lambda thread, made: (
    thread.__init__(made, name=name, daemon=daemon),
    ended and (setattr(made, 'run', lambda: None), thread.start(made), thread.join(made)),
    (lambda held, had: (held.clear(), held.update((name, had.get(name)) for name in names)))(
        vars(made), {**vars(made)}),
    made)[-1])(__import__('threading').Thread, object.__new__(kind))"""
_OF_THREADS: Final = vars(threading.Thread(name="")).keys() - {"_target", "_args", "_kwargs", "_ident", "_native_id"}
_READER: Final = """lambda lines, settings, count: (lambda made: ([next(made) for _ in range(count)], made)[-1])(
    __import__('csv').reader(__import__('itertools').chain([''] * count, lines) if count else lines, **settings))"""
_WRITER: Final = "lambda file, settings: __import__('csv').writer(file, **settings)"
OF_DIALECTS: Final = (
    *("delimiter", "doublequote", "escapechar", "lineterminator"),
    *("quotechar", "quoting", "skipinitialspace", "strict"),
)
"""The attributes of a dialect of csv."""
_LOOP: Final = """lambda: (lambda asyncio: asyncio._get_running_loop() or asyncio.new_event_loop())(
    __import__('asyncio'))"""
_OF_MODULE: Final = "lambda kind, module: setattr(kind, '__module__', module)"
_MANY: Final = 1000  # results of one `finditer`: each is found again from the beginning


def reducers(known: Definitions) -> dict[type, Reducer]:
    """Reducers by type."""
    found: dict[type, Reducer] = {
        re.Match: lambda match: _match(match, known),
        queue.SimpleQueue: lambda one: _queue(one, known),
        threading.local: lambda local: (threading.local, (), vars(local) or None),
        memoryview: lambda view: _memory(view, known),
        type(functools.cmp_to_key(operator.eq)): _compared,
        **dict.fromkeys((io.StringIO, io.BytesIO), lambda one: _buffer(one, known)),
    }
    socket, sqlite3, csv = map(sys.modules.get, ("socket", "sqlite3", "_csv"))
    if csv is not None:
        found[csv.Reader] = lambda one: _reader(one, known)
        found[csv.Writer] = lambda one: _writer(one, known)
    if socket is not None:
        found[socket.socket] = lambda one: _socket(one, known)
    if sqlite3 is not None:
        found[sqlite3.Connection] = lambda one: _connection(one, known)
        cursors: dict[tuple[str, ...], Form] = {}
        found[sqlite3.Row] = lambda row: _row(row, known, cursors)
    return found


TYPES_OF_C: Final = (type(ctypes.Array), type(ctypes._Pointer), type(ctypes.CFUNCTYPE(None)))


def type_of_c(kind: Any, known: Definitions) -> Any:
    """Let a type of `ctypes` be made anew that has no name: there is one for each length, and for each signature."""
    if hasattr(kind, "_length_") and kind is kind._type_ * kind._length_:
        made: tuple[Any, ...] = operator.mul, (kind._type_, kind._length_)
    elif hasattr(kind, "_type_") and issubclass(kind, ctypes._Pointer) and kind is ctypes.POINTER(kind._type_):
        made = ctypes.POINTER, (kind._type_,)
    elif hasattr(kind, "_argtypes_") and kind is ctypes.CFUNCTYPE(kind._restype_, *kind._argtypes_):
        made = ctypes.CFUNCTYPE, (kind._restype_, *kind._argtypes_)
    else:
        return None
    return *made, kind.__module__, None, None, known.evaluated(_OF_MODULE)  # that of the code which asked for it first


def memory_of_c(one: Any) -> Any:
    """Let what has its memory for itself be written as `ctypes` does it."""
    if not one._b_needsfree_ or one._b_base_ is not None:
        raise NotPicklableError("an object of `ctypes` over the memory of another one")
    return NotImplemented


def picture(image: Any) -> Any:
    """Let an image that has its memory for itself be written as Pillow does it."""
    if image.readonly:
        raise NotPicklableError("an image over the memory of an array or a file; `.copy()` gives one with its own")
    return NotImplemented


def drawing(one: Any) -> Any:
    """What draws in an image is made of it again, while that has the memory that it drew in."""
    image = getattr(one, "_image", None)
    if image is None or image.im is not one.im or one.palette is not None:  # which an image does not bring along
        return NotImplemented
    kept = ("_image", "im", "draw", "palette")
    return type(one), (image, one.mode), {name: value for name, value in vars(one).items() if name not in kept}


def logger(one: logging.Logger, known: Definitions) -> Any:
    """A logger is the one of its name, made if need be; of a class of the notebook, with attributes that were set."""
    reduced: Any = one.__reduce_ex__(PROTOCOL)
    made, args = reduced[:2]
    if not by_reference(type(one)):
        made, args = known.evaluated(_LOGGER), (type(one), *args)
    elif is_logger_of_library(one.name):
        return made, args  # a library sets what it likes when it is imported
    return made, args, {name: value for name, value in vars(one).items() if name not in OF_LOGGERS} or None


def is_logger_of_library(name: str) -> bool:
    """Whether a logger is one of a library that is loaded, by its name."""
    top = name.partition(".")[0]  # that of `getLogger(__name__)` is the notebook itself
    return top not in ("root", "__main__") and top in sys.modules and not is_own(top)


def local(one: threading.local) -> Any:
    """What this thread has in an object of a class of its own; the others begin anew, by what it was made with."""
    kind = type(one)
    slots = any(isinstance(part, types.MemberDescriptorType) for base in kind.__mro__ for part in vars(base).values())
    if slots or instances.reduces_itself(kind) or hasattr(kind, "__setstate__"):
        return NotImplemented
    parts = gc.get_referents(one)  # what else it has are its class, a dict that nobody reads, and its threads
    args, more, *_ = itertools.dropwhile(lambda part: type(part) is not tuple, parts)
    named = more if type(more) is dict and all(type(name) is str for name in more) else {}
    return copyreg.__newobj_ex__, (kind, args, named), dict(vars(one)) or None  # type: ignore[attr-defined]  # no stubs


def thread(one: threading.Thread, known: Definitions) -> Any:
    """A thread that has not begun, or one that has ended: its like ends as it comes back."""
    kind = type(one)
    if one.is_alive():
        raise NotPicklableError("a running thread")
    if instances.reduces_itself(kind) or hasattr(kind, "__setstate__") or kind.__hash__ is not object.__hash__:
        return NotImplemented
    state = {name: value for name, value in vars(one).items() if name not in _OF_THREADS}
    return known.evaluated(_THREAD), (kind, one.name, one.daemon, one.ident is not None, [*vars(one)]), state


def event_loop(one: Any, known: Definitions) -> Any:
    """The loop in which a kernel runs its cells is the one that runs when it comes back."""
    if one is not sys.modules["asyncio"]._get_running_loop():
        raise NotPicklableError("an event loop that runs no cells")
    return known.evaluated(_LOOP), ()


def _reader(one: Any, known: Definitions) -> Any:
    """What reads rows of csv has no more than a dialect, its lines, and how many it read: that many empty ones."""
    lines, *row = [part for part in gc.get_referents(one) if part is not one.dialect and part is not type(one)]
    if type(lines) is list:
        row, lines = [lines], row[0]
    if any(row):
        return NotImplemented  # it has a part of a row, after which it met what it cannot read
    return known.evaluated(_READER), (lines, _dialect(one), one.line_num)


def _dialect(one: Any) -> dict[str, Any]:
    return {name: getattr(one.dialect, name) for name in OF_DIALECTS}


def _writer(one: Any, known: Definitions) -> Any:
    """What writes rows of csv has no more than a dialect and a method of its file."""
    methods = (types.BuiltinFunctionType, types.MethodType)
    held = [part.__self__ for part in gc.get_referents(one) if type(part) in methods and part.__name__ == "write"]
    if not held:
        return NotImplemented
    return known.evaluated(_WRITER), (held[0], _dialect(one))


def _match(match: re.Match[Any], known: Definitions) -> Any:
    """A match comes back by matching again, in the way that gives it."""
    pattern, string, where = match.re, match.string, (match.pos, match.endpos)
    if type(string) in (str, bytes):
        for way in (re.Pattern.search, re.Pattern.match, re.Pattern.fullmatch):
            again = way(pattern, string, *where)
            if again is not None and again.regs == match.regs:
                return way, (pattern, string, *where)
        for number, again in enumerate(itertools.islice(pattern.finditer(string, *where), _MANY)):
            if again.regs == match.regs:
                return known.evaluated(_FOUND), (pattern, string, *where, number)
    raise NotPicklableError("a match that is not found again by its pattern")


def _compared(key: Any) -> Any:
    """What `functools.cmp_to_key` gives: to make keys, or a key of an object."""
    compare, *held = [part for part in gc.get_referents(key) if part is not type(key)]
    return (Form(functools.cmp_to_key, compare), (*held,)) if held else (functools.cmp_to_key, (compare,))


def _queue(one: Any, known: Definitions) -> Any:
    held, size = [part for part in gc.get_referents(one) if part is not type(one)], one.qsize()
    if sys.version_info < (3, 13) and len(held) == 1 and type(held[0]) is list:
        held = held[0]  # what was taken from it is at its beginning
    items = held[len(held) - size :]
    if len(items) != size:
        raise NotPicklableError("a queue whose items cannot be told")
    return queue.SimpleQueue, (), (items or None), None, None, known.evaluated(_FILLED)


def _buffer(one: Any, known: Definitions) -> Any:
    if not one.closed:
        return NotImplemented
    made = known.evaluated(_CLOSED_BUFFER), (type(one),)
    return (*made, known.block(setattr, one, vars(one)), None, None, operator.is_) if vars(one) else made


def _socket(one: Any, known: Definitions) -> Any:
    if one.fileno() != -1:
        raise NotPicklableError("an open socket")
    return known.evaluated(_CLOSED_SOCKET), (one.gettimeout(), int(one.family), int(one.type), one.proto)


def _row(row: Any, known: Definitions, cursors: dict[tuple[str, ...], Form]) -> Any:
    """Write a row of a database by its values, and the names of its columns once for all rows that have these."""
    names = tuple(row.keys())
    if names not in cursors:
        cursors[names] = Form(known.evaluated(_CURSOR), names)
    return type(row), (cursors[names], tuple(row))


def _connection(one: Any, known: Definitions) -> Any:
    try:
        one.total_changes  # noqa: B018  # the way to ask
    except sys.modules["sqlite3"].ProgrammingError as error:
        if "closed" in str(error):
            names = ("row_factory", "text_factory")  # all that it still tells
            return known.evaluated(_CLOSED_DATABASE), ({name: getattr(one, name) for name in names},)
    raise NotPicklableError("an open sqlite3.Connection")


def _memory(view: memoryview, known: Definitions) -> Any:
    """A memoryview comes back over its object, at its place there."""
    try:
        owner: Any = view.obj
    except ValueError:
        return known.evaluated(_RELEASED), ()
    is_array = issubclass(type(owner), getattr(sys.modules.get("numpy"), "ndarray", ()))
    if not is_array and type(owner) not in (bytes, bytearray, array.array):
        raise NotPicklableError("a memoryview of what is neither bytes nor an array")
    whole = memoryview(owner)
    readonly = view.readonly and not whole.readonly
    if (view.format, view.shape, view.strides) == (whole.format, whole.shape, whole.strides):
        return (memoryview.toreadonly, (whole,)) if readonly else (memoryview, (owner,))
    if not (whole.c_contiguous and view.nbytes and (view.c_contiguous or view.ndim == 1)):
        raise NotPicklableError("a memoryview of a part of an object")
    start, first = (place_of(one)[0] for one in (view if view.c_contiguous else view[:1], owner))
    size, step = view.itemsize, 1
    low, high, shape = start - first, start - first + view.nbytes, list(view.shape or ())
    if view.ndim == 1 and view.strides:
        (step, odd), reach = divmod(view.strides[0], size), (len(view) - 1) * view.strides[0]
        if odd:
            raise NotPicklableError("a memoryview of odd strides")
        low, high = low + min(0, reach), low + max(0, reach) + size
        if whole.ndim == 1 and view.format not in _OF_BYTES:  # then it has that of its object
            return _taken(whole, (start - first) // size, len(view), step, readonly=readonly)
    if view.format not in _OF_BYTES:
        raise NotPicklableError("a memoryview of a part of an object")
    return known.evaluated(_VIEW), (owner, low, high, view.format, None if view.ndim == 1 else shape, step, readonly)


def _taken(whole: memoryview, at: int, count: int, step: int, *, readonly: bool) -> Any:
    """A part of an object of whose bytes nothing but the object itself makes items: fractions of two bytes, records."""
    end = at + count * step
    made, args = operator.getitem, (whole, slice(at, end if end >= 0 else None, step))
    return (memoryview.toreadonly, (Form(made, *args),)) if readonly else (made, args)


def files_of_database(connection: Any) -> list[str]:
    """Paths of the files that a connection of sqlite3 is to; none if it is closed, or to databases in memory.

    One is not asked that calls functions of the user when it is: these stand in it beside the module of sqlite3.
    """
    sqlite3 = sys.modules["sqlite3"]
    if any(type(one) is types.ModuleType for one in gc.get_referents(connection)):
        raise sqlite3.ProgrammingError("functions of the user are told what it is asked")
    asking = sqlite3.Cursor(connection)
    asking.row_factory = None
    try:
        return [path for _, _, path in asking.execute("PRAGMA database_list") if path]
    except sqlite3.ProgrammingError as error:
        if "closed" not in str(error):
            raise
        return []
