"""Values to opcodes and buffers and back: the top form, the reducers, the placeholder for a lost value.

What is written is an ordinary pickle, ``operator.getitem((definitions, ambient, extras, value), 3)``, which any
Python reads without this package. `read` sees all four parts. Knows no file.
"""

from __future__ import annotations

import _thread
import bisect
import collections
import contextlib
import contextvars
import copyreg
import decimal
import enum
import functools
import gc
import importlib
import io
import itertools
import linecache
import operator
import os
import pickle
import random
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal, NoReturn

from ckpt_magic.errors import CheckpointUnreadableError, DamagedError, LostValueError, NotPicklableError
from ckpt_magic.values import definitions, generators, handles, iterators, memmaps, tensors, tracebacks, weak
from ckpt_magic.values.definitions import CALL, Definitions, Form, Forms, Makers, Owned, Token, by_reference, importable
from ckpt_magic.values.owned import Path, at

__all__ = ["Contents", "Placeholder", "Token", "ValuePickler", "View", "Written", "make_placeholder", "read", "write"]

PROTOCOL: Final = 5
LOST_EARLIER: Final = "its value was lost when an earlier step was saved"
_OWNS_DATA: Final = 1 << 16  # bytes; smaller arrays come back owning their memory, so that they can be resized
_SMALL_GLOBAL: Final = 1 << 20  # bytes; a larger value that functions read is not kept for plain readers of a method


@dataclass(slots=True)
class Contents:
    """What a checkpoint holds.

    Attributes
    ----------
    kind
        A cell's value is a dict of names, a method's its return value.
    value
        The outputs.
    ambient
        State around the values: generators and the like.
    extras
        What plain readers do not see: the last expression's value, attributes of the instance, …
    """

    kind: Literal["cell", "method"]
    value: Any
    ambient: Any = None
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` found out.

    Attributes
    ----------
    tokens
        The notebook definitions that were written under a token.
    modules
        Top-level packages, standard library aside, that the pickle imports from.
    needs
        Packages that any reader needs although they are not the values' own, e.g. ``cloudpickle``.
    """

    tokens: dict[Token, Any]
    modules: frozenset[str]
    needs: tuple[str, ...]


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


# --- writing ---


def write(
    contents: Contents,
    file: BinaryIO,
    *,
    namespace: dict[str, Any],
    makers: Makers | None = None,
    views: Iterable[View] = (),
    owned: Iterable[Path] = (),
    originals: Iterable[Owned] = (),
) -> Written:
    """Write `contents` as one pickle; buffers go in band, large ones as a `pickle.PickleBuffer` of their own.

    Parameters
    ----------
    contents
        What to write. Nothing in it is changed.
    file
        Open for writing bytes.
    namespace
        The namespace of the notebook or script. It is never written: functions get a dict of their own instead.
    makers
        Tells who made the definitions.
    views
        Plan for arrays that share memory.
    owned
        Where libraries hold what is theirs: it is written as a way to get at it, wherever `contents` hold it.
    originals
        Definitions of libraries in whose places something else is now: they are met by their places.

    Raises
    ------
    NotPicklableError
        Something in `contents` cannot be saved; the file is then of no use.
    """
    with contextlib.closing(ValuePickler(file, namespace=namespace, makers=makers, views=tuple(views))) as pickler:
        pickler.set_aside(originals)
        known = pickler.definitions
        known.by_name = contents.kind == "method"
        try:
            with generators.kept():
                pickler.dump(_top_form(contents, pickler, owned))
        except (NotPicklableError, MemoryError, OSError):
            raise
        except Exception as error:  # reducers of users and libraries raise anything
            raise NotPicklableError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if pickler.met_builtins and id(namespace) in pickler.memo.copy():  # only namespaces hold `builtins`, as a rule
            raise NotPicklableError("a container holds globals(), the whole namespace")
        modules = frozenset(known.modules - sys.stdlib_module_names - {"__main__", "builtins"})
        return Written(dict(known.tokens), modules, tuple(sorted(known.needs)))


def _top_form(contents: Contents, pickler: ValuePickler, owned: Iterable[Path]) -> Form:
    known, namespace, shell = pickler.definitions, pickler.namespace, pickler.definitions.shell
    items: Any = contents.value
    if contents.kind == "cell":
        value: Any = Form(CALL, operator.ior, shell, _outer(items, namespace, shell))
    else:
        rest = _Globals(known)
        value = Form(operator.getitem, (shell if items is namespace else items, rest), 0)
    extras = _outer(contents.extras, namespace, shell)
    first = (shell, known.sources, *_met_by_name(pickler, owned))
    return Form(operator.getitem, (first, contents.ambient, extras, value), 3)


def _met_by_name(pickler: ValuePickler, paths: Iterable[Path]) -> Iterator[Any]:
    """Forms that get objects of libraries, and one that lets the pickler believe it wrote the objects themselves.

    It asks no reducer about an exact dict or list, but all that it finds in its memo is written as "the same again".
    """
    forms = {}
    for path in paths:
        obj = at(path)
        form: Any = sys.modules[path[0]]
        for name in path[1:]:
            form = Form(getattr, form, name)
        forms[id(form)] = form, obj
        yield form
    if forms:
        yield _Exchange(pickler, forms)


class _Exchange:
    """Puts objects in the place of their forms in the memory of the pickler, when it gets there."""

    __slots__ = ("forms", "pickler")

    def __init__(self, pickler: ValuePickler, forms: Mapping[int, tuple[Form, Any]]) -> None:
        self.pickler, self.forms = pickler, forms

    @property
    def reduced(self) -> tuple[Any, ...]:
        memo = self.pickler.memo.copy()
        for ident, (_, obj) in self.forms.items():
            place, _ = memo.pop(ident)
            memo[id(obj)] = place, obj
        self.pickler.memo = memo
        return bool, ()


def _outer(values: Mapping[str, Any], namespace: dict[str, Any], shell: Form) -> dict[str, Any]:
    """The values with the shell for the namespace, and a way to the attributes of an object.

    The pickler asks no reducer about an exact dict or list, so these are met at the top level only.
    """
    attributes = {id(vars(one)): one for one in values.values() if _has_attributes(one)}
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is namespace:
            value = shell
        elif type(value) is dict and id(value) in attributes:  # `config = vars(args)`
            value = Form(getattr, attributes[id(value)], "__dict__")
        result[name] = value
    return result


def _has_attributes(obj: Any) -> bool:
    """Whether `obj` is an instance whose attributes are an ordinary dict."""
    kind = type(obj)
    if kind is Placeholder or issubclass(kind, (type, types.ModuleType, types.FunctionType)):
        return False
    found = (vars(cls)["__dict__"] for cls in kind.__mro__ if "__dict__" in vars(cls))
    return isinstance(next(found, None), types.GetSetDescriptorType)


class _Globals:
    """The globals that the written functions read, for plain readers of a method's value; built after the value."""

    __slots__ = ("known",)

    def __init__(self, known: Definitions) -> None:
        self.known = known

    @property
    def reduced(self) -> tuple[Any, ...]:
        namespace, found = self.known.namespace, dict[str, Any]()
        todo: list[Any] = [f for f in self.known.functions if f.__globals__ is namespace]
        while todo:
            for name in _names_read(todo.pop()):
                if name in found or name not in namespace or not _is_small(namespace[name], namespace):
                    continue
                found[name] = value = namespace[name]
                functions = vars(value).values() if isinstance(value, type) and not by_reference(value) else (value,)
                todo += [f for f in functions if type(f) is types.FunctionType and f.__globals__ is namespace]
        return CALL, (operator.ior, self.known.shell, _outer(found, namespace, self.known.shell))


def _names_read(function: types.FunctionType) -> Iterator[str]:
    todo = [function.__code__]
    while todo:
        code = todo.pop()
        yield from code.co_names
        todo += [const for const in code.co_consts if type(const) is types.CodeType]


def _is_small(value: Any, namespace: dict[str, Any]) -> bool:
    """Whether a global can be written and is not large; what is not, a plain reader has to do without."""
    if value is namespace or by_reference(value):
        return True
    try:
        with contextlib.closing(ValuePickler(_Limit(_SMALL_GLOBAL), namespace=namespace)) as pickler:
            pickler.dump(value)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (too large, or whatever a reducer raises: it only is not written)
        return False
    return True


class _Limit(io.RawIOBase):
    """A file that takes up to a number of bytes, and keeps none."""

    def __init__(self, size: int) -> None:
        self.left = size

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self.left -= size
        if self.left < 0:
            raise OverflowError
        return size


class ValuePickler(pickle.Pickler):
    """Pickles what plain pickle refuses, or would write by a name that only this kernel knows.

    Parameters
    ----------
    file
        Anything with a `write`.
    namespace
        The notebook's namespace; it is referred to, never written.
    makers
        Tells who made the notebook's definitions.
    buffer_callback
        As of `pickle.Pickler`.
    views
        Plan for arrays that share memory.
    """

    def __init__(
        self,
        file: Any,
        *,
        namespace: dict[str, Any],
        makers: Makers | None = None,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
        views: Iterable[View] = (),
    ) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=buffer_callback)
        self.namespace = namespace
        self.definitions = Definitions(namespace, makers=makers)
        self._views = sorted(views, key=lambda view: view.low)
        self._lows = [view.low for view in self._views]
        self._owned = _owned()
        self._blocks: dict[int, Any] = {}
        self._inner: dict[int, Any] = {}  # plain arrays that are written for others
        self._held_weakly: dict[int, Any] = {}
        self._claiming = False
        self.met_builtins = False
        self._reducers = self._known_reducers()

    def reducer_override(self, obj: Any) -> Any:
        """Reduce `obj`, or leave it to the pickler. Called for all but atoms and exact builtin containers."""
        kind = type(obj)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = self._reducer_for(kind)
        return NotImplemented if reducer is None else reducer(obj)

    def close(self) -> None:
        """Let go of all that was met: the reducers belong to the pickler, so it would stay until a collection."""
        self.clear_memo()
        vars(self).clear()

    def _known_reducers(self) -> dict[type, Callable[[Any], Any] | None]:
        known = self.definitions
        reducers: dict[type, Callable[[Any], Any] | None] = {
            types.FunctionType: known.function,
            types.CodeType: known.code,
            types.CellType: known.cell,
            types.ModuleType: self._module,
            types.BuiltinFunctionType: self._builtin,
            types.MethodType: _method,
            types.MappingProxyType: _proxy,
            types.TracebackType: lambda traceback: tracebacks.reduced(traceback, known),
            type(CALL): self._call,
            Placeholder: _refuse_placeholder,
            property: lambda p: (property, (p.fget, p.fset, p.fdel, p.__doc__)),
            staticmethod: lambda s: (staticmethod, (s.__func__,)),
            classmethod: lambda c: (classmethod, (c.__func__,)),
            functools.cached_property: _cached_property,
            functools._lru_cache_wrapper: _lru_cached,
            contextvars.ContextVar: _context_variable,
            random.SystemRandom: lambda _: (random.SystemRandom, ()),  # it has no state
            _thread.LockType: self._lock,
            type(threading.RLock()): self._rlock,
            **{
                type(view(kind())): _view_of(view)
                for kind in (dict, collections.OrderedDict)
                for view in (kind.keys, kind.values, kind.items)
            },
            **dict.fromkeys(_FILES, _closed_file),
            **weak.reducers(),
        }
        reducers |= iterators.reducers(known) | handles.reducers(known)
        reducers |= dict.fromkeys((*definitions.FORMS, _Globals, _Exchange), self._form)
        reducers |= {kind: self._owned_object for kind, _ in self._owned.values()}
        return reducers

    def _reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        """Choose once per type what to do with its objects; none leaves them to the pickler."""
        if issubclass(kind, type):
            return self._class
        if issubclass(kind, types.ModuleType):
            return self._module
        if issubclass(kind, enum.Enum):
            return self.definitions.member
        if issubclass(kind, BaseException):
            return self._error
        if issubclass(kind, threading.Thread):
            return _refuse_thread
        if issubclass(kind, random.Random):
            return self._random
        module = str(kind.__module__)
        if module == "numpy":
            numpy = sys.modules["numpy"]
            if kind is numpy.ndarray:
                return self._array
            if issubclass(kind, numpy.memmap):
                return self._mapped
            if kind in (numpy.void, numpy.record):
                return self._part
        if is_plain_subarray(kind):
            return self._subarray
        reducer = tensors.reducer_for(kind, lambda address: self._view_at(address) is not None, self._held_weakly)
        if reducer is not None:
            return reducer
        if module == "pyarrow.lib" and issubclass(kind, sys.modules["pyarrow"].Buffer):
            return self._arrow
        if module == "matplotlib.cbook" and kind.__name__ == "CallbackRegistry":
            return _callbacks
        if module.startswith("matplotlib.") and kind.__name__ == "Figure":
            return _figure
        if module.startswith("IPython.core."):
            return _part_of_shell
        frame: Any = getattr(sys.modules.get("pandas.core.generic"), "NDFrame", None)
        if frame is not None and issubclass(kind, frame) and kind.__getstate__ is frame.__getstate__:
            return _frame
        if module in ("polars.lazyframe.frame", "polars.expr.expr") and hasattr(kind, "__getstate__"):
            return _query
        if module == "pandas.core.internals.blocks":
            return self._block
        if module == "pandas.core.internals.managers" and kind.__name__ == "SingleBlockManager":
            return self._single_block
        if module.partition(".")[0] == "pandas" and hasattr(kind, "_engine"):
            return self._index
        if module == "pydantic._internal._namespace_utils" and kind.__name__ == "NamespacesTuple":
            return self._spaces
        if module == "pydantic._internal._config" and kind.__name__ == "ConfigWrapper":
            return lambda config: (kind, (config.config_dict,))  # unpickling asks its __getattr__ before it is filled
        if module == "typing":
            return _TYPING.get(kind.__name__)
        if module == "dataclasses":
            return _DATACLASSES.get(kind.__name__)
        if not by_reference(kind):
            if _reduces_itself(kind):
                return self._own_reduction
            if _makes_itself(kind):
                return _made_by_base
        return self._reducer_for_instances(kind)

    def _reducer_for_instances(self, kind: type) -> Callable[[Any], Any] | None:
        if _is_asked_early(kind):
            return self._early
        return _instance if _can_share_attributes(kind) else None

    def set_aside(self, originals: Iterable[Owned]) -> None:
        """Meet these objects by the places that they were in."""
        for one in originals:
            kind = type(one.value)
            self._owned[id(one.value)] = kind, one.reduced
            self._reducers[kind] = self._owned_or(self._reducers.get(kind) or self._reducer_for(kind))

    def _owned_or(self, usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        def reduce(obj: Any) -> Any:
            _, reduced = self._owned.get(id(obj), (None, None))
            return reduced or (NotImplemented if usual is None else usual(obj))

        return reduce

    def _form(self, form: Any) -> Any:
        self._claiming = self._claiming or form is self.definitions.shell
        return form.reduced

    def _spaces(self, spaces: Any) -> Any:
        """Where pydantic looks up the annotations of a function: globals are met as those of functions are."""
        forms = (self.definitions.space(one) if type(one) is dict else None for one in spaces)
        return type(spaces), tuple(one if form is None else form for one, form in zip(spaces, forms, strict=True))

    def _class(self, cls: type) -> Any:
        if self._claiming:
            self._claim_call()
        return self.definitions.klass(cls)

    def _claim_call(self) -> None:
        """Take the `operator.call` that the shell has just brought into the pickle for our own forms alone.

        The pickler is made to believe that it wrote `CALL` there. A user's `operator.call` is then not in its memo
        and comes to `_builtin`, which writes it in another way: our loader must not take it for one of ours.
        """
        self._claiming = False
        memo = self.memo.copy()
        place, _ = memo.pop(id(operator.call))
        memo[id(CALL)] = place, CALL
        self.memo = memo

    def _call(self, _: Any) -> Any:
        """`CALL` without a shell before it: in a look, which nobody reads back."""
        return getattr, (operator, "call")

    def _module(self, module: types.ModuleType) -> Any:
        name = getattr(module.__spec__, "name", module.__name__)
        if sys.modules.get(name) is not module or module.__spec__ is None and name != "__main__":
            raise NotPicklableError(f"module {name} was not imported and cannot be imported again")
        self.met_builtins = self.met_builtins or name == "builtins"
        self.definitions.note(name)
        return importlib.import_module, (name,)

    def _builtin(self, function: Any) -> Any:
        if function is operator.call:
            return NotImplemented if self._claiming else (getattr, (operator, "call"))
        owner = function.__self__
        self.definitions.note(owner.__name__ if isinstance(owner, types.ModuleType) else function.__module__)
        return NotImplemented

    def _own_reduction(self, obj: Any) -> Any:
        """Take a class's own ``__reduce__``; a name that it gives may be one that only this kernel knows."""
        reduced = obj.__reduce_ex__(PROTOCOL)
        if isinstance(reduced, str):
            if not by_reference(obj):
                raise NotPicklableError(f"{type(obj).__qualname__}.__reduce__ gives a name, {reduced!r}, not a value")
            self.definitions.note(obj.__module__)
            return NotImplemented  # a function of a compiled library
        return reduced

    def _early(self, obj: Any) -> Any:
        """Write an object whose own code may be asked while it is read, before its attributes are there.

        A set in a cycle asks for the hash of its members, which are then still being read: so an object is made with
        those attributes that lead nowhere. And pickle asks a ``__getattr__`` for ``__setstate__``: so it does not.
        """
        if not _has_getattr(type(obj)) and all(map(_leads_nowhere, getattr(obj, "__dict__", {}).values())):
            return self._instance_of(obj)
        reduced: Any = object.__reduce_ex__(obj, PROTOCOL)
        made, (kind, *args), state, *items = reduced
        parts = state if type(state) is tuple and len(state) == 2 else (state, None)
        if made is not copyreg.__newobj__ or not all(map(_are_attributes, parts)):  # type: ignore[attr-defined]
            return self._instance_of(obj)
        early = [{name: item for name, item in (part or {}).items() if _leads_nowhere(item)} for part in parts]
        known = self.definitions
        return known.evaluated(_MADE), (kind, tuple(args), *early), parts, *items, known.evaluated(_SET_STATE)

    def _instance_of(self, obj: Any) -> Any:
        return _instance(obj) if _can_share_attributes(type(obj)) else NotImplemented

    def _error(self, error: BaseException) -> Any:
        if _is_simple_error(type(error)):
            # Without its __init__, which as a rule wants other arguments than those that ended up in `args`.
            reduced: Any = copyreg.__newobj__, (type(error), *error.args), vars(error) or None  # type: ignore[attr-defined]
        else:
            reduced = self._own_reduction(error)
            if isinstance(reduced, tuple) and len(reduced) == 3 and reduced[2] == {}:
                reduced = reduced[:2]  # an exception has a dict once somebody asked for it
        return tracebacks.error(error, reduced) if isinstance(reduced, tuple) else NotImplemented

    def _owned_object(self, obj: Any) -> Any:
        """An object that a module owns is met again by its name, not copied."""
        _, reduced = self._owned.get(id(obj), (None, NotImplemented))
        return _closed_file(obj) if reduced is NotImplemented and type(obj) in _FILES else reduced

    def _random(self, generator: random.Random) -> Any:
        """Write a generator with its attributes, and without its ``__init__``, which may want anything."""
        if type(generator) is random.Random and vars(generator).keys() <= {"gauss_next"}:
            return NotImplemented
        state = Form(random.Random.setstate, generator, random.Random.getstate(generator))
        parts = state, self.definitions.block(setattr, generator, vars(generator))
        return copyreg.__newobj__, (type(generator),), parts, None, None, operator.is_  # type: ignore[attr-defined]

    def _lock(self, lock: Any) -> Any:
        if lock.locked():
            raise NotPicklableError("a lock that is held")
        return self.definitions.attribute("threading", "Lock"), ()

    def _rlock(self, lock: Any) -> Any:
        if lock._is_owned() or not lock.acquire(blocking=False):
            raise NotPicklableError("a lock that is held")
        lock.release()
        return self.definitions.attribute("threading", "RLock"), ()

    def _array(self, array: Any) -> Any:
        """Write an array as a view of the owner of its memory, if the plan says so."""
        if array.base is not None and (reduced := _over_a_buffer(array)) is not None:
            return reduced
        if array.base is not None and (over := memmaps.root(array)) is not None:
            return memmaps.part(array, over, self.definitions)
        if self._views and array.size and (reduced := self._view(array)) is not None:
            return reduced
        if array.dtype.hasobject:
            return NotImplemented
        return self._whole_array(array)

    def _mapped(self, array: Any) -> Any:
        """Map a file again, or be a part of a map."""
        over = memmaps.root(array)
        if over is None:  # an array in memory that was computed from one
            return self._subarray(array)
        return memmaps.opened(array, self.definitions) if over is array else memmaps.part(array, over, self.definitions)

    def _subarray(self, array: Any) -> Any:
        """Write an array of a subclass (matrix, recarray, masked, the notebook's) as a view with attributes.

        What numpy writes of such an array are bytes alone, without what its class keeps on it.
        """
        kind, ndarray = type(array), sys.modules["numpy"].ndarray
        plain = ndarray.view(array, ndarray)
        self._inner[id(plain)] = plain
        state = vars(array) if hasattr(array, "__dict__") else {}, array.flags.writeable
        return ndarray.view, (plain, kind), state, None, None, self.definitions.evaluated(_SET_SUBARRAY)

    def _part(self, part: Any) -> Any:
        """Write an element of a structured array: it lies over the memory of the array."""
        array = array_of(part)
        if array is None:
            return NotImplemented
        self._inner[id(array)] = array
        return operator.getitem, (array, ())

    def _whole_array(self, array: Any) -> Any:
        """Write an array that has its memory for itself, or owns what others are views of."""
        if not array.flags.writeable:
            return self._owner(array) if any(array is view.owner for view in self._views) else _read_only(array)
        if array.base is None and array.nbytes < _OWNS_DATA:
            return array.__reduce__()
        return NotImplemented  # protocol 5: its buffer, out of the stream

    def _owner(self, array: Any) -> Any:
        """The memory that views lie in is writable if it can be: each view has its own flag."""
        alias = _writable_alias(array)
        return NotImplemented if alias is None else alias.__reduce_ex__(PROTOCOL)

    def _view(self, array: Any) -> Any:
        start = array.__array_interface__["data"][0]
        view = self._view_at(start)
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
                setting = () if array.flags.writeable else (False, None, None, type(array).setflags)
                return operator.getitem, (view.owner, places), *setting
            part = Form(operator.getitem, part, slice(first, None))
            strided = sys.modules["numpy"].lib.stride_tricks.as_strided
            return strided, (part, array.shape, array.strides, False, array.flags.writeable)
        ndarray = type(array)
        args = (array.shape, array.dtype, view.owner, start - view.low, array.strides)
        if array.flags.writeable:
            return ndarray, args
        return ndarray, args, False, None, None, ndarray.setflags

    def _view_at(self, address: int) -> View | None:
        index = bisect.bisect_right(self._lows, address) - 1
        return self._views[index] if index >= 0 and address < self._views[index].high else None

    def _arrow(self, buffer: Any) -> Any:
        """Arrow data over the memory of an array stays over it."""
        view = self._view_at(buffer.address) if self._views and buffer.size else None
        if view is None:
            return NotImplemented
        numpy, pyarrow = sys.modules["numpy"], sys.modules["pyarrow"]
        part = Form(numpy.ndarray, (buffer.size,), numpy.dtype("u1"), view.owner, buffer.address - view.low)
        return pyarrow.py_buffer, (part,)

    def _block(self, block: Any) -> Any:
        made, (values, *rest) = block.__reduce__()
        return made, (self._apart(values), *rest)

    def _single_block(self, manager: Any) -> Any:
        made, args, (axes, values, items, extra), *rest = manager.__reduce_ex__(PROTOCOL)
        values = [self._apart(one) for one in values]
        for block, one in zip(extra["0.14.1"]["blocks"], values, strict=True):
            block["values"] = one
        return made, args, (axes, values, items, extra), *rest

    def _index(self, index: Any) -> Any:
        made, (kind, state), *rest = index.__reduce__()
        if state.get("data") is not None:
            state["data"] = self._apart(state["data"])
        return made, (kind, state), *rest

    def _apart(self, values: Any) -> Any:
        """Give each frame and index memory of its own.

        While they live, pandas knows who else looks at the same array, and copies it on write. Nobody knows after a
        restore: a write to one frame would leak into the others.
        """
        parts = [part for part in (values, *(getattr(values, name, None) for name in ARRAY_PARTS)) if part is not None]
        if not copies_on_write() or not any(id(part) in self._blocks for part in parts):
            self._blocks.update((id(part), part) for part in parts)
            return values
        return values.copy("K") if type(values) is sys.modules["numpy"].ndarray else values.copy()


ARRAY_PARTS: Final = ("_ndarray", "_data", "_mask", "_codes", "_left", "_right")  # of the arrays of extension types


def copies_on_write() -> bool:
    """Whether pandas copies on write: then no frame sees what is written to another one over the same memory."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "options"):  # absent, or being imported
        return False
    return not pandas.__version__.startswith(("1.", "2.")) or pandas.options.mode.copy_on_write is True


# --- reducers that need no pickler ---


def _instance(obj: Any) -> Any:
    """An object whose attributes somebody else holds as a dict (`vars(args)`, a dict that is its own attributes)."""
    attributes = object.__getattribute__(obj, "__dict__")
    if sys.getrefcount(attributes) <= _HELD_ONCE:
        return NotImplemented
    reduced = obj.__reduce_ex__(PROTOCOL)
    made, args, state, *rest = reduced
    slots = state[1] if type(state) is tuple and len(state) == 2 and state[0] is attributes else {}
    if not slots and state is not attributes and state is not None:
        return reduced
    return made, args, (None, {"__dict__": attributes, **slots}), *rest


def _can_share_attributes(kind: Any) -> bool:
    """Whether pickle takes the `__dict__` of the instances as it is and may set it by ``setattr``."""
    found = (vars(cls)["__dict__"] for cls in kind.__mro__ if "__dict__" in vars(cls))
    return (
        isinstance(next(found, None), types.GetSetDescriptorType)
        and not _reduces_itself(kind)
        and kind.__setattr__ is object.__setattr__
        and not hasattr(kind, "__setstate__")
        and kind not in copyreg.dispatch_table
    )


class _Lone:
    """Has attributes that nobody else holds."""


def _references_of_attributes() -> int:
    attributes = object.__getattribute__(_Lone(), "__dict__")
    return sys.getrefcount(attributes)


_HELD_ONCE: Final = _references_of_attributes() + 1  # there the object was gone; where it lives, it holds them too


def _is_simple_error(kind: Any) -> bool:
    """Whether an exception class keeps nothing but `args` and attributes."""
    if not issubclass(kind, BaseException) or kind.__reduce__ is not BaseException.__reduce__:
        return False
    base = next(cls for cls in kind.__mro__ if cls.__module__ == "builtins")
    return base.__basicsize__ == BaseException.__basicsize__ and kind.__new__ is base.__new__


def _makes_itself(kind: Any) -> bool:
    """Whether instances of a notebook class are made by a ``__new__`` of the notebook, without arguments for it."""
    own = [vars(cls) for cls in kind.__mro__ if not importable(cls)]
    arguments = any("__getnewargs__" in space or "__getnewargs_ex__" in space for space in own)
    return not arguments and any("__new__" in space for space in own)


def _made_by_base(obj: Any) -> Any:
    """Make the instance by the ``__new__`` that the notebook's one calls in the end: the other may want anything."""
    reduced = obj.__reduce_ex__(PROTOCOL)
    base = next(cls for cls in type(obj).__mro__ if "__new__" in vars(cls) and importable(cls))
    if reduced[0] is not copyreg.__newobj__ or type(base.__new__) is not types.BuiltinFunctionType:  # type: ignore[attr-defined]
        return reduced
    return (base.__new__, *reduced[1:])


def _is_asked_early(kind: Any) -> bool:
    """Whether reading an instance the usual way may ask code of its class that needs its attributes."""
    if _reduces_itself(kind) or kind in copyreg.dispatch_table or hasattr(kind, "__setstate__"):
        return False
    return _has_getattr(kind) or type(kind.__hash__) is types.FunctionType


def _has_getattr(kind: Any) -> bool:
    return any("__getattr__" in vars(cls) for cls in kind.__mro__)


def _are_attributes(state: Any) -> bool:
    return state is None or (type(state) is dict and set(map(type, state)) <= {str})


def _leads_nowhere(value: Any) -> bool:
    kind = type(value)
    return kind in definitions.ATOMS or (kind in (tuple, frozenset) and all(map(_leads_nowhere, value)))


_MADE: Final = """lambda kind, args, attributes, slots: (lambda made: (
    attributes and object.__getattribute__(made, '__dict__').update(attributes),
    [object.__setattr__(made, name, value) for name, value in slots.items()], made)[-1])(kind.__new__(kind, *args))"""
_SET_STATE: Final = """lambda made, state: (
    state[0] and object.__setattr__(made, '__dict__', state[0]),
    [object.__setattr__(made, name, value) for name, value in (state[1] or {}).items()])"""


def _reduces_itself(kind: Any) -> bool:
    return kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__


def _method(method: types.MethodType) -> Any:
    """A bound method is met by its name, unless that name means something else by now."""
    owner, function = method.__self__, method.__func__
    name = getattr(function, "__name__", None)
    if isinstance(name, str) and getattr(owner, name, None) == method:
        return NotImplemented
    return types.MethodType, (function, owner)


def _proxy(proxy: Any) -> Any:
    owner = _owner_of(proxy)
    if any(isinstance(value, types.GetSetDescriptorType) for value in dict.values(owner)):
        raise NotPicklableError("a view of the attributes of a class")
    return types.MappingProxyType, (owner,)


def _view_of(way: Any) -> Callable[[Any], Any]:
    return lambda view: (way, (_owner_of(view),))


def _owner_of(view: Any) -> Any:
    """The dict behind a view or a proxy of it."""
    return gc.get_referents(view)[0]


_FILES: Final = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)
# Opened on nothing and closed at once; the file of that name, if there is one, is not touched.
_CLOSED: Final = """lambda name, mode, options: (lambda file: (file.close(), isinstance(name, int) and setattr(
    getattr(getattr(file, 'buffer', file), 'raw', file), 'name', name), file)[-1])(open(
    'x' if isinstance(name, int) else name, mode,
    opener=lambda *_: __import__('os').open(__import__('os').devnull, 2), **options))"""


def _closed_file(file: Any) -> Any:
    """A closed file (`with open(…) as file:` leaves one) comes back closed; an open one cannot."""
    if not file.closed:
        raise NotPicklableError(f"an open file, {type(file).__qualname__}")
    is_text = type(file) is io.TextIOWrapper
    buffered = file.buffer if is_text else file
    raw = buffered if type(buffered) is io.FileIO else getattr(buffered, "raw", None)
    if type(raw) is not io.FileIO or not isinstance(raw.name, str | bytes | int):
        raise NotPicklableError("a closed file that is not one of the file system")
    if is_text:
        mode = getattr(file, "mode", raw.mode.replace("b", ""))
        return Form(eval, _CLOSED), (raw.name, mode, {"encoding": file.encoding, "errors": file.errors})
    return Form(eval, _CLOSED), (raw.name, raw.mode, {"buffering": 0} if buffered is raw else {})


def _cached_property(prop: Any) -> Any:
    state = {key: value for key, value in vars(prop).items() if key not in ("func", "lock")}
    return functools.cached_property, (prop.func,), state


def _lru_cached(wrapper: Any) -> Any:
    if importable(wrapper):
        return NotImplemented
    if wrapper.cache_info()[:2] != (0, 0):
        raise NotPicklableError(f"{wrapper.__qualname__} is a functools.lru_cache that holds results")
    parameters = wrapper.cache_parameters()
    made = Form(functools.lru_cache, parameters["maxsize"], parameters["typed"])
    return made, (wrapper.__wrapped__,), vars(wrapper)


def _context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    """Write a context variable with the value that it has here; whoever reads it sets it where that happens."""
    made: Callable[[], contextvars.ContextVar[Any]]
    try:
        made = functools.partial(contextvars.ContextVar, variable.name, default=contextvars.Context().run(variable.get))
    except LookupError:  # it has no default
        made = functools.partial(contextvars.ContextVar, variable.name)
    if variable not in contextvars.copy_context():
        return made, ()
    return made, (), variable.get(), None, None, contextvars.ContextVar.set


def _refuse_thread(_: Any) -> NoReturn:
    raise NotPicklableError("a thread")


def _part_of_shell(obj: Any) -> Any:
    """Refuse a part of the shell that runs here (a formatter, the events): a copy would belong to no shell."""
    own = getattr(obj, "__dict__", {})
    if any(held.get(name) is not None for held in (own, own.get("_trait_values", {})) for name in ("shell", "parent")):
        raise NotPicklableError("a part of the running IPython")
    return NotImplemented


def _frame(frame: Any) -> Any:
    """A frame or series of pandas with its very own `attrs`: setting these, as pandas does, takes a copy."""
    made, args, state, *rest = frame.__reduce_ex__(PROTOCOL)
    if "attrs" in state:
        state["_attrs"] = state.pop("attrs")
    return made, args, state, *rest


def _query(query: Any) -> Any:
    """A query of polars, unless it holds Python functions: polars itself writes these, with frozen globals."""
    reduced = query.__reduce_ex__(PROTOCOL)
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, bytes) and any(mark in state for mark in (b"PLPYFN", b"PLPYUDF", b"cloudpickle")):
        raise NotPicklableError("a polars query with a Python function")
    return reduced


def _callbacks(registry: Any) -> Any:
    """Write the callbacks of a figure: each time they are pickled they count one on, which is undone here."""
    made, args, state, *rest = registry.__reduce_ex__(PROTOCOL)
    if isinstance(state["_cid_gen"], int):  # old versions pickle the counter itself
        registry._cid_gen = itertools.count(state["_cid_gen"])
    return made, args, state, *rest


def _figure(figure: Any) -> Any:
    """Write a figure so that reading it does not open it in pyplot: whether it is open is none of its values."""
    made, args, state, *rest = figure.__reduce_ex__(PROTOCOL)
    if isinstance(state, dict):
        state.pop("_restore_to_pylab", None)
    return made, args, state, *rest


def _refuse_placeholder(_: Any) -> NoReturn:
    raise NotPicklableError(LOST_EARLIER)


_SET_SUBARRAY: Final = """lambda array, state: (
    state[0] and array.__dict__.update(state[0]), state[1] or array.setflags(write=False))"""


def is_plain_subarray(kind: Any) -> bool:
    """Whether a class of arrays leaves it to numpy how it is pickled, and is not the constant `numpy.ma.masked`."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray") or not issubclass(kind, numpy.ndarray) or kind is numpy.ndarray:
        return False
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", numpy.ndarray)
    root = masked if issubclass(kind, masked) else numpy.ndarray
    ways = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    return all(getattr(kind, way) is getattr(root, way) for way in ways) and not issubclass(kind, numpy.memmap)


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
    start = numpy.frombuffer(part, "u1").__array_interface__["data"][0]
    whole = numpy.asarray(base)
    low = whole.__array_interface__["data"][0]
    if not low <= start < low + whole.nbytes or not whole.flags.c_contiguous:
        raise NotPicklableError("an element of a structured array of odd layout")
    plain = whole.reshape(-1).view(numpy.ndarray)
    return numpy.ndarray((), part.dtype, plain.view("u1") if not plain.dtype.hasobject else plain, start - low)


def _read_only(array: Any) -> Any:
    """Write a read-only array so that it can be made writable again, if the array itself can."""
    alias = _writable_alias(array)
    if alias is None:
        return NotImplemented
    setflags = type(array).setflags
    if array.nbytes >= _OWNS_DATA and (array.flags.c_contiguous or array.flags.f_contiguous):
        return (*alias.__reduce_ex__(PROTOCOL), False, None, None, setflags)
    return type(array).copy, (alias, "K"), False, None, None, setflags


def _writable_alias(array: Any) -> Any | None:
    """Another array over the same memory that is writable; none if the memory is read-only itself."""
    ndarray, root = type(array), array
    while type(root.base) is ndarray:
        root = root.base
    fixed = not root.flags.writeable
    try:
        root.setflags(write=True)
        start = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return ndarray(array.shape, array.dtype, root, start, array.strides)
    except (ValueError, TypeError):  # read-only memory; or an order that a buffer cannot have
        return None
    finally:
        if fixed:
            root.setflags(write=False)


def buffer_under(array: Any) -> Any | None:
    """The bytearray or `array.array` that an array lies over; None for one that is over something else."""
    base = array
    while isinstance(base, sys.modules["numpy"].ndarray):
        base = base.base
    if type(base) is memoryview:
        base = base.obj
    return base if type(base) in (bytearray, getattr(sys.modules.get("array"), "array", None)) else None


def _over_a_buffer(array: Any) -> Any:
    """Write an array over a bytearray or an `array.array` as what it is; None for one that is over something else."""
    numpy, base = sys.modules["numpy"], buffer_under(array)
    if base is None:
        return None
    first = numpy.frombuffer(base, dtype="u1").__array_interface__["data"][0]
    args = (array.shape, array.dtype, base, array.__array_interface__["data"][0] - first, array.strides)
    if array.flags.writeable:
        return numpy.ndarray, args
    return numpy.ndarray, args, False, None, None, numpy.ndarray.setflags


def _type_variable(variable: Any) -> Any:
    kind: Any = type(variable)
    names = ("covariant", "contravariant", "infer_variance")
    options = {name: True for name in names if getattr(variable, f"__{name}__", False)}
    if getattr(variable, "__bound__", None) is not None:
        options["bound"] = variable.__bound__
    if getattr(variable, "has_default", bool)():  # 3.13
        options["default"] = variable.__default__
    if importable_variable(variable):
        return NotImplemented
    made = functools.partial(kind, variable.__name__, *getattr(variable, "__constraints__", ()), **options)
    return made, (), (None, {"__module__": variable.__module__})


def importable_variable(variable: Any) -> bool:
    """Whether a type variable is an attribute of an importable module, under its own name."""
    module = variable.__module__
    return module != "__main__" and getattr(sys.modules.get(module), variable.__name__, None) is variable


def _new_type(new: Any) -> Any:
    if importable(new):
        return NotImplemented
    state = {"__module__": new.__module__, "__qualname__": new.__qualname__}
    return typing.NewType, (new.__name__, new.__supertype__), state


def _type_alias(alias: Any) -> Any:
    if importable_variable(alias):
        return NotImplemented
    kind: Any = type(alias)
    made = functools.partial(kind, alias.__name__, alias.__value__, type_params=alias.__type_params__)
    return made, ()


_TYPING: Final[dict[str, Callable[[Any], Any]]] = {
    "TypeVar": _type_variable,
    "ParamSpec": _type_variable,
    "TypeVarTuple": _type_variable,
    "NewType": _new_type,
    "TypeAliasType": _type_alias,
    # `typing` remembers by equality what it made: it would give an alias with what was equal once
    "_AnnotatedAlias": lambda alias: (type(alias), (alias.__origin__, alias.__metadata__)),
}


def _sentinel(name: str) -> Callable[[Any], Any]:
    return lambda _: (getattr, (sys.modules["dataclasses"], name))


_DATACLASSES: Final[dict[str, Callable[[Any], Any]]] = {
    "_MISSING_TYPE": _sentinel("MISSING"),
    "_HAS_DEFAULT_FACTORY_CLASS": _sentinel("_HAS_DEFAULT_FACTORY"),
    "_KW_ONLY_TYPE": _sentinel("KW_ONLY"),
    "_FIELD_BASE": lambda marker: (getattr, (sys.modules["dataclasses"], marker.name)),
}


def _owned() -> dict[int, tuple[type, tuple[Any, ...]]]:
    """Mutables that a module owns, by `id`: their type and how a reader gets at them.

    A copy would not be the real thing, and that of the environment would carry every secret into the file.
    """
    found: dict[int, tuple[type, tuple[Any, ...]]] = {}
    for name, attributes in _OWNED_BY_MODULES.items():
        module = sys.modules.get(name)
        for attribute in attributes if module is not None else ():
            obj = getattr(module, attribute, None)
            if obj is not None and importable(type(obj)) and type(obj) is not io.StringIO:  # what the user put there
                place = f"sys:{attribute}" if name == "sys" else None  # another stream may be there when it is read
                found.setdefault(id(obj), (type(obj), Owned(obj, module, attribute, place).reduced))
    bits = getattr(getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None), "_bit_generator", None)
    if bits is not None:
        found[id(bits)] = type(bits), (getattr, (sys.modules["numpy.random.mtrand"]._rand, "_bit_generator"))
    context = decimal.getcontext()
    found[id(context)] = type(context), (decimal.getcontext, ())
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        found[id(shell)] = (type(shell), (sys.modules["IPython"].get_ipython, ()))
    return found


_OWNED_BY_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "os": ("environ", "environb"),
    "sys": ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__"),
    "matplotlib": ("rcParams", "rcParamsDefault"),
    "random": ("_inst",),  # the generators behind `from random import choice` and `from numpy.random import rand`
    "numpy.random.mtrand": ("_rand",),
    "torch": ("default_generator",),
}


# --- reading ---

_PLAIN_TAIL: Final = b"t\x94K\x03\x86\x94R\x94."
_TAILS: Final = (  # the end of the top form; a frame may begin where the pickler turns to the 3
    _PLAIN_TAIL,
    b"t\x94" + b"\x95" + (7).to_bytes(8, "little") + b"K\x03\x86\x94R\x94.",
)


def read(
    skeleton: bytes,
    buffers: Iterable[Any],
    *,
    kind: str,
    globals: dict[str, Any],
    live: Callable[[Token], Any | None] | None = None,
    found: dict[Token, Any] | None = None,
    original: Callable[[str], Any | None] = lambda place: None,
    resizable: bool = False,
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
        Whether arrays shall own their memory, which costs a copy of it, so that `ndarray.resize` works.

    Raises
    ------
    CheckpointUnreadableError
        Something that the pickle needs is missing here, or raised.
    """
    forms = Forms(globals, live, {} if found is None else found, fill=kind == "method" and live is None)
    collecting = gc.isenabled()
    gc.disable()  # up to three times faster on many small objects
    try:
        if kind == "foreign":  # a pickle of another program: all of it is the value
            return Contents("method", _Reader(io.BytesIO(skeleton), buffers, forms, original, resizable).load())
        parts = _Reader(_four_parts(skeleton), buffers, forms, original, resizable).load()
    except (CheckpointUnreadableError, DamagedError, MemoryError):
        raise
    except Exception as error:  # __setstate__ and the like are the users' code
        missing = error.name if isinstance(error, ImportError) else None
        raise CheckpointUnreadableError(_unreadable(error), name=missing) from error
    finally:
        if collecting:
            gc.enable()
    (_, sources, *_), ambient, extras, value = parts
    _keep_sources(sources)
    return Contents("cell" if kind == "cell" else "method", value, ambient, extras)


def _four_parts(skeleton: bytes) -> io.BytesIO:
    """The skeleton as a file that ends with the four parts, not with the choice of the last one."""
    data = bytearray(skeleton)
    for tail in _TAILS:
        if data.endswith(tail):
            data[len(data) - len(tail) + 1] = ord(".")  # the length stays: frames count it
            return io.BytesIO(data)
    raise DamagedError("the pickle does not end as a checkpoint does")


class _Reader(pickle.Unpickler):
    """Reads our forms, and says what is missing."""

    def __init__(
        self,
        file: io.BytesIO,
        buffers: Iterable[Any],
        forms: Forms,
        original: Callable[[str], Any | None],
        resizable: bool,
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
            return functools.partial(_own, found) if self._resizable and name == "_frombuffer" else found
        except ModuleNotFoundError as error:
            missing = error.name or module
            text = f"module {missing} is missing here ({module}.{name} is needed)"
            raise CheckpointUnreadableError(text, name=missing) from error
        except (ImportError, AttributeError) as error:
            raise CheckpointUnreadableError(f"{module}.{name} is missing here: {error}", name=module) from error


def _own(from_buffer: Callable[..., Any], *args: Any) -> Any:
    """Make an array that owns its memory; of one that is read-only nobody changes the size."""
    array = from_buffer(*args)
    return array.copy("K") if array.flags.writeable else array


def _unreadable(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"module {error.name} is missing here"
    return f"{type(error).__name__}: {error}"


def _keep_sources(sources: Mapping[str, str]) -> None:
    """Let tracebacks and `inspect` show the source of restored functions."""
    for filename, source in sources.items():
        if filename not in linecache.cache and not os.path.exists(filename):
            linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)


# --- what a lost name is bound to ---


class Placeholder:
    """Stands for a value that could not be saved: raises `LostValueError` on any use.

    Use ``type(value) is Placeholder`` to recognise one; anything else counts as a use.
    """

    __slots__ = ("_message", "_name", "_used")

    def __getattribute__(self, attribute: str) -> NoReturn:
        _raise_lost(self)

    __hash__ = None  # type: ignore[assignment]  # replaced below, with all the others


def _raise_lost(placeholder: Placeholder, *_: Any, **__: Any) -> NoReturn:
    """Record the use and raise."""
    get = object.__getattribute__
    get(placeholder, "_used")(get(placeholder, "_name"))
    raise LostValueError(get(placeholder, "_message"))


_USES: Final = """repr str bytes format bool int float complex index hash len length_hint iter next reversed contains
getitem setitem delitem missing call enter exit aenter aexit await aiter anext setattr delattr dir sizeof fspath round
trunc floor ceil abs neg pos invert eq ne lt le gt ge copy deepcopy reduce reduce_ex getstate get set delete
instancecheck subclasscheck buffer""".split()
_OPERATORS: Final = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()

for _use in (*_USES, *(prefix + name for name in _OPERATORS for prefix in ("", "r", "i"))):
    setattr(Placeholder, f"__{_use}__", _raise_lost)
del _use


def make_placeholder(name: str, step: int, reason: str, used: Callable[[str], None]) -> Placeholder:
    """Make what the lost name `name` is bound to.

    Parameters
    ----------
    name
        The name.
    step
        The step that made the value and could not save it.
    reason
        What the value was, e.g. ``sqlite3.Connection``.
    used
        Called with the name at each use, before the error is raised.
    """
    placeholder = object.__new__(Placeholder)
    message = (
        f"step {step}: `{name}` ({reason}) was not saved; run the step again: `%%step {step} --force`, "
        f"or `%ckpt_start {step}` and all from there"
    )
    for attribute, value in (("_message", message), ("_name", name), ("_used", used)):
        object.__setattr__(placeholder, attribute, value)
    return placeholder
