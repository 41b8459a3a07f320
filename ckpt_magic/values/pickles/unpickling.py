"""Opcodes back to contents. Knows no file."""

from __future__ import annotations

import functools
import io
import linecache
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError, DamagedError
from ckpt_magic.values import collector
from ckpt_magic.values.memory import is_writeable
from ckpt_magic.values.pickles.forms import Forms, Token
from ckpt_magic.values.pickles.pickling import Contents

_PLAIN_TAIL: Final = b"t\x94K\x03\x86\x94R\x94."

_TAILS: Final = (  # the end of the top form; a frame may begin where the pickler turns to the 3
    _PLAIN_TAIL,
    b"t\x94" + b"\x95" + (7).to_bytes(8, "little") + b"K\x03\x86\x94R\x94.",
)


_MANY = 1 << 16  # bytes of a skeleton that makes so many objects that the next collection would take long


def read(
    skeleton: bytes,
    buffers: Iterable[Any],
    *,
    kind: str,
    globals: dict[str, Any],
    live: Callable[[Token], Any | None] | None = None,
    found: dict[Token, Any] | None = None,
    original: Callable[[str], Any | None] = lambda place: None,
    resizable: Callable[[], bool] = lambda: False,
) -> Contents:
    """Read what `write` wrote.

    Parameters
    ----------
    skeleton
        The pickle, with or without its large payloads.
    buffers
        The payloads that are not in it, in order.
    kind
        What META says: ``cell``, ``method``, or ``foreign`` for a pickle that this package did not write.
    globals
        The globals of all functions that are loaded. Not changed here, but for a method without `live`: there they get
        the values that its functions read.
    live
        Gives the object of this kernel that a token stands for.
    found
        Filled with the object that each token stands for now.
    original
        Gives what a place of a library (`textwrap:dedent`) held before this kernel put something else there.
    resizable
        Tells whether arrays shall own their memory, which costs a copy of it, so that `ndarray.resize` works; asked
        when there is one.

    Raises
    ------
    CheckpointUnreadableError
        Something that the pickle needs is missing here, or raised.
    """
    forms = Forms(globals, live, {} if found is None else found, fill=kind == "method" and live is None)
    try:
        with collector.off():  # up to ten times faster on many small objects
            if kind == "foreign":  # a pickle of another program: all of it is the value
                return Contents("method", _Reader(io.BytesIO(skeleton), buffers, forms, original, resizable).load())
            reader = _Reader(_Parts(skeleton), buffers, forms, original, resizable)
            parts = _as_in_a_cell(reader.load, globals)
            if len(skeleton) > _MANY:
                collector.spare_the_young()
    except (CheckpointUnreadableError, DamagedError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # __setstate__ and the like are the users' code
        missing = error.name if isinstance(error, ImportError) else None
        raise CheckpointUnreadableError(_unreadable(error), name=missing) from error
    finally:
        forms.take_back()
    try:
        (_, sources, *_), ambient, extras, value, *_ = parts
        _keep_sources(sources)
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedError("the pickle does not hold what a checkpoint holds") from error
    return Contents("cell" if kind == "cell" else "method", value, ambient, extras, forms.joined)


def _as_in_a_cell(load: Callable[[], Any], namespace: dict[str, Any] | None) -> Any:
    """Call a function as a cell of the notebook would, for what libraries look up in the frames around.

    A model of statsmodels makes the terms of its formula anew, from the variables that it finds there. It begins two
    frames further up: so there are some, of functions of the notebook as it were.
    """
    if namespace is None or "__builtins__" not in namespace:
        return load()
    return eval(_CELL, namespace, {"ckpt_magic_load": load})  # noqa: S307


_CELL: Final = compile(
    "(lambda f: (lambda f: (lambda f: f())(f))(f))(ckpt_magic_load)", "<restore>", "eval", dont_inherit=True
)


class _Parts(io.BytesIO):
    """The skeleton as a file that ends with its parts, not with the choice of the value among them; not copied."""

    def __init__(self, skeleton: bytes) -> None:
        tail = next(filter(skeleton.endswith, _TAILS), None)
        if tail is None:
            raise DamagedError("the pickle does not end as a checkpoint does")
        super().__init__(skeleton)
        self._end = len(skeleton) - len(tail) + 1

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        at = self._end - start
        # the length stays: frames count it
        return data if not 0 <= at < len(data) else data[:at] + b"." + data[at + 1 :]


class _Reader(pickle.Unpickler):
    """Reads our forms, and says what is missing."""

    def __init__(
        self,
        file: io.BytesIO,
        buffers: Iterable[Any],
        forms: Forms,
        original: Callable[[str], Any | None],
        resizable: Callable[[], bool],
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._forms = forms
        self._original = original
        self._resizable = resizable

    def find_class(self, module: str, name: str) -> Any:
        if name == "call" and module in ("_operator", "operator"):
            return self._forms
        found = self._original(f"{module}:{name}")
        if found is not None:
            return found
        try:
            found = super().find_class(module, name)
            return functools.partial(_own if self._resizable() else _over, found) if name == "_frombuffer" else found
        except ModuleNotFoundError as error:
            missing = error.name or module
            text = f"module {missing} is missing here ({module}.{name} is needed)"
            raise CheckpointUnreadableError(text, name=missing) from error
        except (ImportError, AttributeError) as error:
            raise CheckpointUnreadableError(f"{module}.{name} is missing here: {error}", name=module) from error


def _over(from_buffer: Callable[..., Any], buffer: Any, dtype: Any, *args: Any) -> Any:
    """Make an array as a run would: one over a bytearray is what its user made so, and is written as such."""
    numpy = sys.modules["numpy"]
    if type(buffer) is bytearray:  # what stood in the pickle itself
        buffer = numpy.frombuffer(buffer, "u1").copy()
    return from_buffer(buffer, dtype, *args)


def _own(from_buffer: Callable[..., Any], *args: Any) -> Any:
    """Make an array that owns its memory; of one that is read-only nobody changes the size."""
    array = from_buffer(*args)
    return array.copy("K") if is_writeable(array) else array


def _unreadable(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"module {error.name} is missing here"
    return f"{type(error).__name__}: {error}"


def _keep_sources(sources: Mapping[str, str]) -> None:
    """Let tracebacks and `inspect` show the source of restored functions."""
    for filename, source in sources.items():
        if filename not in linecache.cache and not os.path.exists(filename):
            linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
