"""The pickler: which reducer an object gets, chosen once per type."""

from __future__ import annotations

import _thread
import collections
import contextvars
import copyreg
import dataclasses
import decimal
import enum
import functools
import importlib
import io
import logging
import operator
import pickle
import random
import re
import struct
import sys
import threading
import types
from collections.abc import Callable, Container, Generator, Iterable
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.code import hashes
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import is_found
from ckpt_magic.values.pickles import (
    arrays,
    caches,
    containers,
    figures,
    handles,
    instances,
    iterators,
    reducers,
    tensors,
    tracebacks,
    weak,
)
from ckpt_magic.values.pickles.arrays import Arrays, View, is_plain_subarray
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import CALL, FORMS, PROTOCOL, VARIABLE, Form, Owned
from ckpt_magic.values.pickles.gathered import Gathered, arrow_array, arrow_column
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.postponing import Postponed
from ckpt_magic.values.pickles.references import (
    at,
    by_reference,
    can_be_set,
    importable,
    is_of_library,
    marks,
    owner_of_module,
)
from ckpt_magic.values.pickles.soups import Soups
from ckpt_magic.values.proofs import Proofs
from ckpt_magic.values.slots import Unnoted

Reducer = Callable[[Any], Any]


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
    gathered
        As of `pickling.write`.
    proofs
        What is known of files that are written through maps.
    """

    def __init__(
        self,
        file: Any,
        *,
        namespace: dict[str, Any],
        makers: Makers | None = None,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
        views: Iterable[View] = (),
        gathered: Gathered | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=buffer_callback)
        self.namespace = namespace
        self.definitions = Definitions(namespace, makers=makers)
        self._arrays = self._made_arrays(views, gathered, proofs)
        self._soups = Soups()
        self._owned = _owned()
        self._held_weakly: dict[int, Any] = {}
        self._claiming = False
        self.met_builtins = False
        self.met_hashes = False
        self.postponed: Postponed | None = None  # where objects are written that are deeper than pickle goes
        self.renewed: Container[str] = ()  # names that the pickle holds, and that mean another object than before
        self._reducers = self._known_reducers()
        self._shared: set[type] = set()
        self._usual: dict[type, Reducer | None] = {}  # of types of which modules own some objects

    def dump(self, obj: Any) -> None:
        """Write an object, after one that could not be written, too."""
        overriding = _overriding(self._reducers, self._chosen_for, self._shared)
        next(overriding)
        override = overriding.send
        self.reducer_override = override if self.postponed is None else self.postponed.overriding(override)  # type: ignore[method-assign]
        with Unnoted():
            super().dump(obj)

    def _field(self, field: Any) -> Any:
        """Write the default of a field as what the class has: a reader makes the methods of the class from it."""
        made, args, (attributes, slots), *rest = field.__reduce_ex__(PROTOCOL)
        constant = self.definitions.constant
        return made, args, (attributes, {name: constant(value) for name, value in slots.items()}), *rest

    def _made_arrays(self, views: Iterable[View], gathered: Gathered | None, proofs: Proofs | None) -> Arrays:
        return Arrays(self.definitions, views, gathered, proofs)

    def close(self) -> None:
        """Let go of all that was met: the reducers belong to the pickler, so it would stay until a collection."""
        self.clear_memo()
        vars(self.definitions).clear()
        vars(self).clear()

    def _known_reducers(self) -> dict[type, Callable[[Any], Any] | None]:
        known = self.definitions
        chosen: dict[type, Callable[[Any], Any] | None] = {
            types.FunctionType: known.function,
            types.CodeType: known.codes.reduced,
            types.CellType: known.cell,
            types.ModuleType: self._module,
            types.BuiltinFunctionType: self._builtin,
            types.MethodType: reducers.method,
            types.MethodWrapperType: reducers.compiled_method,
            types.MappingProxyType: reducers.proxy,
            types.GetSetDescriptorType: reducers.attribute_of_type,
            super: reducers.of_bases,
            types.TracebackType: lambda traceback: tracebacks.reduced(traceback, known),
            type(CALL): self._call,
            Placeholder: reducers.refuse_placeholder,
            dataclasses.Field: self._field,
            property: reducers.of_class(lambda p: (property, (p.fget, p.fset, p.fdel, p.__doc__))),
            staticmethod: reducers.of_class(reducers.wrapped),
            classmethod: reducers.of_class(reducers.wrapped),
            functools.cached_property: reducers.of_class(reducers.cached_property),
            functools._lru_cache_wrapper: lambda cached: caches.reduced(cached, known.evaluated),
            contextvars.ContextVar: reducers.context_variable,
            collections.Counter: containers.counter(known.evaluated),
            re.Pattern: reducers.pattern,
            struct.Struct: lambda form: (struct.Struct, (form.format,)),
            random.SystemRandom: lambda _: (random.SystemRandom, ()),  # it has no state
            _thread.LockType: self._lock,
            type(threading.RLock()): self._rlock,
            **{
                type(view(kind())): reducers.view_of(view)
                for kind in (dict, collections.OrderedDict)
                for view in (kind.keys, kind.values, kind.items)
            },
            **dict.fromkeys(reducers.FILES, reducers.closed_file),
            **weak.reducers(),
        }
        chosen |= iterators.reducers(known) | handles.reducers(known)
        chosen |= dict.fromkeys(FORMS, self._form)
        chosen |= {kind: self._owned_object for kind, _ in self._owned.values()}
        return chosen

    def _chosen_for(self, kind: type) -> Reducer | None:
        reducer, kept = self._reducer_for(kind), None
        if kind not in copyreg.dispatch_table and by_reference(kind):
            kept = hashes.kept_by(kind)
        return reducer if kept is None else functools.partial(self._without_hash, reducer, kept)

    def _without_hash(self, reducer: Reducer | None, kept: hashes.Kept, obj: Any) -> Any:
        """Leave out the hash that an object keeps; note if that cannot be."""
        reduced = NotImplemented if reducer is None else reducer(obj)
        if reduced is NotImplemented:
            reduced = obj.__reduce_ex__(PROTOCOL)
        reduced, is_kept = instances.without_hash(reduced, kept)
        self.met_hashes = self.met_hashes or is_kept
        return reduced

    def _reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        """Choose once per type what to do with its objects; none leaves them to the pickler."""
        if issubclass(kind, handles.TYPES_OF_C):
            return lambda one: handles.type_of_c(one, self.definitions) or self._class(one)
        if issubclass(kind, type):
            return self._class
        if issubclass(kind, arrays.MEMORY_OF_C):
            return handles.memory_of_c
        if issubclass(kind, types.ModuleType):
            return self._module
        if issubclass(kind, enum.Enum):
            return self.definitions.member
        if issubclass(kind, BaseException):
            return self._error
        if issubclass(kind, threading.Thread):
            return lambda one: handles.thread(one, self.definitions)
        if issubclass(kind, getattr(sys.modules.get("asyncio.events"), "AbstractEventLoop", ())):
            return lambda one: handles.event_loop(one, self.definitions)
        if issubclass(kind, threading.local):
            return handles.local
        if issubclass(kind, random.Random):
            return self._random
        if issubclass(kind, instances.DESCRIPTORS):
            return lambda one: instances.descriptor(one, self.definitions.evaluated)
        if issubclass(kind, logging.Logger):
            return lambda one: handles.logger(one, self.definitions)
        if (of_random := reducers.of_random(kind)) is not None:
            return of_random
        module = str(kind.__module__)
        if not can_be_set(kind) and type(there := vars(sys.modules.get(module, sys)).get(kind.__name__)) is kind:
            return lambda one: self._named_as_its_type(module, there, one)
        if module == "numpy":
            numpy = sys.modules["numpy"]
            if kind is numpy.ndarray:
                return self._arrays.array
            if issubclass(kind, numpy.memmap):
                return self._arrays.mapped
            if kind in (numpy.void, numpy.record):
                return self._arrays.part
            if kind is numpy.ufunc:
                return reducers.ufunc
            if kind in (numpy.str_, numpy.bytes_):
                return arrays.text
        if is_plain_subarray(kind):
            return self._arrays.subarray
        if issubclass(kind, getattr(sys.modules.get("numpy"), "dtype", ())):
            return arrays.dtype
        reducer = tensors.reducer_for(
            kind, lambda address: self._arrays.view_at(address) is not None, self._held_weakly
        )
        if reducer is not None:
            return reducer
        if issubclass(kind, getattr(sys.modules.get("numba.core.serialize"), "ReduceMixin", ())):
            return reducers.compiled_by_numba
        if module == "pyarrow.lib" and issubclass(kind, sys.modules["pyarrow"].Buffer):
            return self._arrays.arrow
        data: Any = getattr(sys.modules.get("pyarrow"), "Array", None)
        if data is not None and issubclass(kind, data) and kind.__reduce__ is data.__reduce__:
            return arrow_array
        columns: Any = getattr(sys.modules.get("pandas.core.arrays.arrow.array"), "ArrowExtensionArray", None)
        if columns is not None and issubclass(kind, columns) and kind.__getstate__ is columns.__getstate__:
            return arrow_column
        if module == "matplotlib.cbook" and kind.__name__ == "CallbackRegistry":
            return reducers.callbacks
        if module.startswith("matplotlib.") and kind.__name__ == "Figure":
            return reducers.figure
        if module.startswith("PIL.") and issubclass(kind, getattr(sys.modules.get("PIL.Image"), "Image", ())):
            return handles.picture
        if module == "PIL.ImageDraw" and kind.__name__ == "ImageDraw":
            return handles.drawing
        plotly: Any = getattr(sys.modules.get("plotly.basedatatypes"), "BasePlotlyType", None)
        if plotly is not None and issubclass(kind, plotly):
            return reducers.part_of_plotly
        charts: Any = getattr(sys.modules.get("plotly.basedatatypes"), "BaseFigure", None)
        if charts is not None and issubclass(kind, charts) and kind.__reduce__ is charts.__reduce__:
            return reducers.figure_of_plotly
        argparse: Any = sys.modules.get("argparse")
        if (
            argparse is not None
            and issubclass(kind, (argparse.Action, argparse._ActionsContainer))
            and instances.can_share_attributes(kind)
            and not instances.is_asked_early(kind)
        ):
            suppress = self.definitions.attribute("argparse", "SUPPRESS")
            return lambda part: reducers.part_of_parser(part, suppress)
        if (reducer := self._soups.reducer_for(kind)) is not None:
            return reducer
        if module.startswith("IPython.core."):
            return reducers.part_of_shell
        if module.partition(".")[0] in ("comm", "ipykernel"):
            return reducers.refuse_kernel
        if reducers.is_observed(kind) and not instances.reduces_itself(kind):
            return lambda one: reducers.observed(one, self.definitions)
        frame: Any = getattr(sys.modules.get("pandas.core.generic"), "NDFrame", None)
        if frame is not None and issubclass(kind, frame) and kind.__getstate__ is frame.__getstate__:
            return reducers.frame
        if module == "pandas" and kind.__name__ == "Flags":
            return reducers.flags
        series: Any = getattr(sys.modules.get("numpy.polynomial._polybase"), "ABCPolyBase", None)
        if series is not None and issubclass(kind, series) and kind.__getstate__ is series.__getstate__:
            return reducers.polynomial
        trees: Any = getattr(sys.modules.get("scipy.spatial._ckdtree"), "cKDTree", None)
        if trees is not None and issubclass(kind, trees) and kind.__getstate__ is trees.__getstate__:
            return reducers.points
        if module == "polars.series.series" and kind.__name__ == "Series":
            return self._arrays.series
        if module == "polars.dataframe.frame" and kind.__name__ == "DataFrame":
            return self._arrays.columns
        if module in ("polars.lazyframe.frame", "polars.expr.expr") and hasattr(kind, "__getstate__"):
            return reducers.query
        if module == "pandas.core.internals.blocks":
            return self._arrays.block
        if module == "pandas.core.internals.managers" and kind.__name__ == "SingleBlockManager":
            return self._arrays.single_block
        if module.partition(".")[0] == "pandas" and hasattr(kind, "_engine"):
            return self._arrays.index
        if module == "pydantic._internal._namespace_utils" and kind.__name__ == "NamespacesTuple":
            return self._spaces
        if module == "pydantic._internal._config" and kind.__name__ == "ConfigWrapper":
            return lambda config: (kind, (config.config_dict,))  # unpickling asks its __getattr__ before it is filled
        if module == "typing":
            usual = reducers.TYPING.get(kind.__name__)
            return functools.partial(self._name_of_type, usual) if usual in reducers.NAMES_OF_TYPES else usual
        bound: Any = getattr(sys.modules.get("asyncio.mixins"), "_LoopBoundMixin", None)
        if bound is not None and issubclass(kind, bound) and instances.can_share_attributes(kind):
            return instances.unbound(self._reducer_for_instances(kind))
        if module == "dataclasses":
            return reducers.DATACLASSES.get(kind.__name__)
        if not by_reference(kind):
            if not instances.is_asked_early(kind) and (base := containers.base_of(kind)) is not None:
                return containers.reducer(base, self.definitions.evaluated)
            if instances.reduces_itself(kind):
                if is_of_library(kind):
                    return self._of_made_class
                return self._own_reduction if instances.says_how(kind) else self._with_attributes
            if instances.tells_its_own(kind):
                return self._with_the_rest
            if instances.makes_itself(kind):
                return instances.made_by_base
        elif instances.wants_arguments(kind):
            return instances.made_by_base
        elif (base := containers.is_pickled_in_part(kind)) is not None and not instances.is_asked_early(kind):
            return containers.reducer(base, self.definitions.evaluated)
        if by_reference(kind) and instances.reduces_itself(kind) and hasattr(kind, "__get__"):
            return self._own_reduction  # of a function of a compiled library
        usual = self._reducer_for_instances(kind)
        if figures.is_shape(kind):
            return functools.partial(reducers.path, usual)
        if (base := instances.made_plainly_of(kind)) is not None:
            return instances.plainly(usual, base)
        if usual is None and instances.takes_nothing_back(kind):
            return self._with_state
        if by_reference(kind) and (sets := instances.weak_sets(kind)):
            return instances.listed(usual, sets)
        if by_reference(kind) and not instances.reduces_itself(kind) and (named := marks(kind)):
            return instances.marked(usual, module, named)
        return instances.asked_before(usual) if instances.is_asked_for_slots(kind) else usual

    def _reducer_for_instances(self, kind: type) -> Callable[[Any], Any] | None:
        if instances.is_asked_early(kind) or instances.is_written_by_attributes(kind):
            return self._early
        return instances.instance if instances.can_share_attributes(kind) else None

    def writes_attributes(self, kind: Any) -> bool:
        """Whether instances of a class are written as their attributes, the class aside; true of what is no class."""
        return type(kind) is not type or self._reducer_for(kind) in (None, instances.instance)

    def set_aside(self, originals: Iterable[Owned]) -> None:
        """Meet these objects by the places that they were in."""
        for one in originals:
            kind = type(one.value)
            self._owned[identity(one.value)] = kind, one.reduced
            self.definitions.set_aside.add(identity(one.value))
            self._reducers[kind] = self._owned_or(self._reducers.get(kind) or self._reducer_for(kind))

    def _owned_or(self, usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        def reduce(obj: Any) -> Any:
            _, reduced = self._owned.get(identity(obj), (None, None))
            return reduced or (NotImplemented if usual is None else usual(obj))

        return reduce

    def _named_as_its_type(self, module: str, there: Any, one: Any) -> Any:
        """An object that stands where its type would, which nobody can make another one of: `sys.version_info`."""
        if one is not there:
            return NotImplemented
        self.definitions.note(module)
        return getattr, (sys.modules[module], type(one).__name__)

    def _name_of_type(self, usual: Reducer, one: Any) -> Any:
        """A type variable that was there before the step is met under its name: what speaks of it speaks of one."""
        reduced, name = usual(one), one.__name__
        if reduced is NotImplemented or name in self.renewed or self.namespace.get(name) is not one:
            return reduced
        made, args, *state = reduced
        token = VARIABLE, name, type(one).__name__, ""
        return CALL, (operator.getitem, {token: Form(made, *args)}, token), *state

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
        spec = getattr(module, "__spec__", None)
        name = getattr(spec, "name", None) or vars(module).get("__name__", "")
        takes_its_place = type(module) is not types.ModuleType  # `torch.backends.mkldnn`, of the module that made it
        is_known = spec is not None or name == "__main__" or (takes_its_place and is_found(name))
        if sys.modules.get(name) is not module or not is_known:
            owner = owner_of_module(module, name)
            if owner is not None:
                return getattr, (owner, name)
            raise NotPicklableError(f"module {name} was not imported and cannot be imported again")
        self.met_builtins = self.met_builtins or name == "builtins"
        self.definitions.note(name)
        return importlib.import_module, (name,)

    def _builtin(self, function: Any) -> Any:
        if function is operator.call:
            return NotImplemented if self._claiming else (getattr, (operator, "call"))
        owner = function.__self__
        is_module = issubclass(type(owner), types.ModuleType)
        self.definitions.note(owner.__name__ if is_module else function.__module__)
        return NotImplemented if is_module else reducers.compiled_method(function)

    def _own_reduction(self, obj: Any) -> Any:
        """Take a class's own ``__reduce__``; a name that it gives may be one that only this kernel knows."""
        reduced = obj.__reduce_ex__(PROTOCOL)
        if isinstance(reduced, str):
            if type(obj).__module__ == "builtins" and getattr(sys.modules.get("typing"), reduced, None) is obj:
                return getattr, (sys.modules["typing"], reduced)  # `NoDefault`, from Python 3.13 on
            if not by_reference(obj) and not _is_named(obj, reduced):
                raise NotPicklableError(f"{type(obj).__qualname__}.__reduce__ gives a name, {reduced!r}, not a value")
            self.definitions.note(obj.__module__)
            return NotImplemented  # a function of a compiled library, or the only object of a class of its own
        kind: Any = type(obj)
        is_made_plainly = instances.is_made_of_attributes(kind) and kind.__new__ is object.__new__
        if is_made_plainly and instances.is_found_in_notebook(reduced):
            return copyreg.__newobj__, (kind,), vars(obj)  # type: ignore[attr-defined]  # no stubs
        return reduced

    def _of_made_class(self, obj: Any) -> Any:
        """Write an object of a class that a library made when it was called, as an object of that class.

        A quantity of pint belongs to the registry that made its class; pickle makes it one of a base, which belongs to
        the registry of the application.
        """
        reduced = self._own_reduction(obj)
        kind: Any = type(obj)
        if not isinstance(reduced, tuple) or not instances.tells_a_base(kind, reduced[:2]):
            return reduced
        state = instances.attributes(obj)
        return object.__new__, (kind,), state, None, None, self.definitions.evaluated(instances.SET_STATE)

    def _with_attributes(self, obj: Any) -> Any:
        """Take the reduction that a notebook's class has of a base, of dates for instance: attributes are left out."""
        reduced = self._own_reduction(obj)
        if isinstance(reduced, tuple) and not instances.says_of(type(obj), reduced[:2]):
            raise NotPicklableError(f"a {type(obj).__qualname__}, which its base pickles as one of its own")
        if isinstance(reduced, tuple) and len(reduced) > 2 and instances.is_filled_when_made(type(obj), reduced[1]):
            return *instances.made_so(self.definitions.evaluated, obj, *reduced[:2]), *reduced[2:]
        if not isinstance(reduced, tuple) or len(reduced) > 2:
            return reduced
        made, args = instances.made_so(self.definitions.evaluated, obj, *reduced)
        if not (state := instances.attributes(obj)):
            return made, args
        return made, args, state, None, None, self.definitions.evaluated(instances.SET_STATE)

    def _with_the_rest(self, obj: Any) -> Any:
        """Write an object with its attributes, where its base, which is compiled, tells of its own state alone."""
        reduced = instances.made_by_base(obj) if instances.makes_itself(type(obj)) else obj.__reduce_ex__(PROTOCOL)
        made, args, state, *items = reduced
        rest = instances.attributes(obj)
        if rest is None or (not rest[1] and instances.tells_all(state, rest[0] or {})):
            return reduced
        return made, args, (state, *rest), *items, self.definitions.evaluated(instances.SET_ALL)

    def _with_state(self, obj: Any) -> Any:
        """Write an object whose class does nothing with the attributes that it is given when it is read."""
        made, args, state, *items = obj.__reduce_ex__(PROTOCOL)
        parts = state if type(state) is tuple and len(state) == 2 else (state, None)
        if state is None or len(items) > 2 or not all(map(instances.are_attributes, parts)):
            return NotImplemented
        return made, args, parts, *items, *[None] * (2 - len(items)), self.definitions.evaluated(instances.SET_STATE)

    def _early(self, obj: Any) -> Any:
        """Write an object whose own code may be asked while it is read, before its attributes are there.

        A set in a cycle asks for the hash of its members, which are then still being read: so an object is made with
        those attributes that lead nowhere. And pickle asks a ``__getattr__`` for ``__setstate__``, a ``__setattr__`` to
        fill slots: so it does not. Nor is a ``__getattribute__`` asked what there is.
        """
        reduced: Any
        if instances.is_written_by_attributes(type(obj)):
            state = instances.attributes(obj)
            reduced = copyreg.__newobj__, (type(obj),), state, None, None  # type: ignore[attr-defined]
        elif not instances.is_asked_to_read(type(obj)) and all(
            map(instances.leads_nowhere, getattr(obj, "__dict__", {}).values())
        ):
            return self._instance_of(obj)
        else:
            reduced = object.__reduce_ex__(obj, PROTOCOL)
        made, (kind, *args), state, *items = reduced
        parts = state if type(state) is tuple and len(state) == 2 else (state, None)
        if made is not copyreg.__newobj__ or not all(map(instances.are_attributes, parts)):  # type: ignore[attr-defined]
            return self._instance_of(obj)
        early = [{name: item for name, item in (part or {}).items() if instances.leads_nowhere(item)} for part in parts]
        known = self.definitions
        return (
            known.evaluated(instances.made(kind)),
            (kind, tuple(args), *early),
            parts,
            *items,
            known.evaluated(instances.SET_STATE),
        )

    def _instance_of(self, obj: Any) -> Any:
        return instances.instance(obj) if instances.can_share_attributes(type(obj)) else NotImplemented

    def _error(self, error: BaseException) -> Any:
        base: Any = next(cls for cls in type(error).__mro__ if cls.__module__ == "builtins")
        if instances.is_simple_error(type(error)):
            # Without its __init__, which as a rule wants other arguments than those that ended up in `args`.
            made: Any = copyreg.__newobj__ if type(error).__new__ is base.__new__ else base.__new__  # type: ignore[attr-defined]
            reduced: Any = made, (type(error), *error.args), vars(error) or None
        else:
            reduced = self._own_reduction(error)
            if isinstance(reduced, tuple) and len(reduced) == 3 and reduced[2] == {}:
                reduced = reduced[:2]  # an exception has a dict once somebody asked for it
            if isinstance(reduced, tuple) and instances.is_made_by(base, type(error), reduced[0]):
                args = base.__new__, base.__init__, *reduced[:2]
                reduced = self.definitions.evaluated(instances.RAISED), args, *reduced[2:]
        if not isinstance(reduced, tuple):
            return NotImplemented
        _, slots = instances.attributes(error) or (None, {})
        is_told = type(error).__setstate__ is not BaseException.__setstate__ or instances.says_how(type(error))
        if slots and not is_told and type(reduced[-1]) in (tuple, dict, type(None)):
            made, args, *state = reduced
            reduced = made, args, {**(state[0] if state and state[0] else {}), **slots}  # each becomes an attribute
        return tracebacks.error(error, reduced)

    def _owned_object(self, obj: Any) -> Any:
        """An object that a module owns is met again by its name, not copied."""
        _, reduced = self._owned.get(identity(obj), (None, None))
        if reduced is not None:
            return reduced
        kind = type(obj)
        if kind not in self._usual:
            self._usual[kind] = reducers.closed_file if kind in reducers.FILES else self._reducer_for(kind)
        usual = self._usual[kind]
        return NotImplemented if usual is None else usual(obj)

    def _random(self, generator: random.Random) -> Any:
        """Write a generator with its attributes, and without its ``__init__``, which may want anything."""
        if type(generator) is random.Random and vars(generator).keys() <= {"gauss_next"}:
            return NotImplemented
        state = Form(random.Random.setstate, generator, random.Random.getstate(generator))
        parts = self.definitions.block(setattr, generator, vars(generator)), state  # in the order of the attributes
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


def _is_named(obj: Any, name: str) -> bool:
    """Whether a module other than the notebook has the object under a name: `os.path.ALLOW_MISSING`."""
    module: object = getattr(obj, "__module__", None)
    return module != "__main__" and at(name, vars(sys.modules.get(str(module), sys))) is obj


def _overriding(
    reducers: dict[type, Reducer | None], choose: Callable[[type], Reducer | None], shared: set[type]
) -> Generator[Any, Any, None]:
    """What reduces an object, or leaves it to the pickler; called for all but atoms and exact builtin containers.

    A generator, since it is called for each of a million objects, and goes on in half the time that a function takes
    to start. It has come to its end once a reducer raised something. `shared` are those types whose objects
    `instances.instance` reduces; mostly there is nothing to do, which is seen here.
    """
    references, once = sys.getrefcount, instances.HELD_ONCE
    reduced: Any = NotImplemented
    while True:
        obj: Any = None  # the last one would live as long as the pickler
        obj = yield reduced
        if type(obj) in shared and references(obj.__dict__) <= once:
            reduced = NotImplemented
            continue
        kind: Any = type(obj)
        if kind not in reducers:
            reducers[kind] = choose(kind)
            if reducers[kind] is instances.instance and kind.__getattribute__ is object.__getattribute__:
                shared.add(kind)
        reducer = reducers[kind]
        reduced = NotImplemented if reducer is None else reducer(obj)


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
                found.setdefault(identity(obj), (type(obj), Owned(obj, module, attribute, place).reduced))
    bits = getattr(getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None), "_bit_generator", None)
    if bits is not None:
        found[identity(bits)] = type(bits), (getattr, (sys.modules["numpy.random.mtrand"]._rand, "_bit_generator"))
    context = decimal.getcontext()
    found[identity(context)] = type(context), (decimal.getcontext, ())
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        found[identity(shell)] = (type(shell), (sys.modules["IPython"].get_ipython, ()))
        display, formatters = shell.display_formatter, Form(getattr, shell.display_formatter, "formatters")
        found[identity(display)] = type(display), (getattr, (shell, "display_formatter"))
        for mime, formatter in display.formatters.items():
            found[identity(formatter)] = type(formatter), (operator.getitem, (formatters, mime))
    return found


_OWNED_BY_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "os": ("environ", "environb"),
    "sys": ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__"),
    "matplotlib": ("rcParams", "rcParamsDefault"),
    "random": ("_inst",),  # the generators behind `from random import choice` and `from numpy.random import rand`
    "numpy.random.mtrand": ("_rand",),
    "torch": ("default_generator",),
}
