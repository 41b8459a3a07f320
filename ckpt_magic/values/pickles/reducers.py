"""Reducers of the standard library's and of libraries' objects that need to know nothing else of the pickle."""

from __future__ import annotations

import contextvars
import copyreg
import functools
import gc
import inspect
import io
import itertools
import operator
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.pickles import figures
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.parts import attributes_of_wrapper
from ckpt_magic.values.pickles.placeholder import LOST_EARLIER
from ckpt_magic.values.pickles.references import (
    at,
    by_reference,
    home_of,
    importable,
    is_made_of_python,
    is_of_library,
)


def compiled_by_numba(function: Any) -> Any:
    """A function of numba around a function that has the globals of the notebook; numba itself writes copies of these.

    It reads them when it is compiled, at its first call. What was compiled where it was defined, is left to numba.
    """
    if importable(function):
        return function.__qualname__
    states = function._reduce_states()
    compiled = [key for key in ("sigs", "siglist", "typesigs") if states.get(key)]
    if states.keys().isdisjoint(("py_func", "pyfunc", "dispatcher")) or (compiled and states.get("frozen", True)):
        return NotImplemented
    states |= {key: [] for key in compiled}
    return functools.partial(function._reduce_class()._rebuild, **states), ()


def method(method: types.MethodType) -> Any:
    """A bound method is met by its name, unless that name means something else by now, or means the method itself.

    An attribute comes back after what it holds. Nobody's code is asked: it may note each question.
    One that a library keeps under a name is that one: `random.randint` is made once.
    """
    owner, function = method.__self__, method.__func__
    name = getattr(function, "__name__", None)
    kind: Any = type(owner)
    if is_of_library(kind) and isinstance(name, str) and vars(sys.modules[kind.__module__]).get(name) is method:
        return getattr, (sys.modules[kind.__module__], name)
    if isinstance(name, str) and type(kind.__getattribute__) is not types.FunctionType:
        found = inspect.getattr_static(owner, name, None)
        if found is function or (type(found) is classmethod and found.__func__ is function):
            return NotImplemented
    return types.MethodType, (function, owner)


def compiled_method(method: Any) -> Any:
    """A bound method of a compiled class, by its name as above: a class below may mean another one by it.

    That one may well call what `super().append` gave here.
    """
    owner, name = method.__self__, method.__name__
    kind: Any = type(owner)
    is_plain = type(kind.__getattribute__) is not types.FunctionType
    if is_plain and _gives(inspect.getattr_static(owner, name, None), method):
        return NotImplemented
    for cls in (*(owner.__mro__ if issubclass(kind, type) else ()), *kind.__mro__):
        if _gives(vars(cls).get(name), method):
            descriptor = Form(operator.getitem, Form(getattr, cls, "__dict__"), name)
            return Form(getattr, descriptor, "__get__"), _bound_to(vars(cls)[name], owner)
    return NotImplemented


def _gives(descriptor: Any, method: Any) -> bool:
    """Whether this, in a compiled class, gives a bound method."""
    if type(descriptor) not in _OF_COMPILED_CLASSES:
        return False
    try:
        found = descriptor.__get__(*_bound_to(descriptor, method.__self__))
    except TypeError:  # it is that of another kind of objects
        return False
    return bool(found == method)


def _bound_to(descriptor: Any, owner: Any) -> tuple[Any, ...]:
    return (None, owner) if type(descriptor) is types.ClassMethodDescriptorType else (owner,)


_OF_COMPILED_CLASSES: Final = (
    types.ClassMethodDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


def of_bases(bound: Any) -> Any:
    """What `super()` gave: all that is asked of it, how to pickle it too, it answers for the object behind it."""
    cls, owner = bound.__thisclass__, bound.__self__
    return super, (cls,) if owner is None else (cls, owner)


def proxy(proxy: Any) -> Any:
    """A read-only view of a dict, or of the attributes of a class."""
    owner = _owner_of(proxy)
    return (types.MappingProxyType, (owner,)) if (cls := _class_of(owner)) is None else (getattr, (cls, "__dict__"))


def view_of(way: Any) -> Callable[[Any], Any]:
    """A reducer for views of dicts, which are got in this `way`."""

    def reduce(view: Any) -> Any:
        owner = _owner_of(view)
        if (cls := _class_of(owner)) is None:
            return way, (owner,)
        return getattr(types.MappingProxyType, way.__name__), (Form(getattr, cls, "__dict__"),)

    return reduce


def _owner_of(view: Any) -> Any:
    """The dict behind a view or a proxy of it."""
    return gc.get_referents(view)[0]


def _class_of(attributes: Any) -> type | None:
    """The class whose attributes these are: nobody but the class itself has this dict."""
    if type(attributes) is not dict or not attributes.keys() >= {"__module__", "__doc__"}:
        return None
    holders = (one for one in gc.get_referrers(attributes) if isinstance(one, type))
    return next((cls for cls in holders if _owner_of(vars(cls)) is attributes), None)


def attribute_of_type(descriptor: types.GetSetDescriptorType) -> Any:
    """What makes an attribute of a class that is compiled, as `__dict__` is: `functools.wraps(cls)` copies it."""
    return operator.getitem, (Form(getattr, descriptor.__objclass__, "__dict__"), descriptor.__name__)


FILES: Final = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)

# Opened on nothing and closed at once; the file of that name, if there is one, is not touched.
_CLOSED: Final = """lambda name, mode, options: (lambda file: (file.close(), isinstance(name, int) and setattr(
    getattr(getattr(file, 'buffer', file), 'raw', file), 'name', name), file)[-1])(open(
    'x' if isinstance(name, int) else name, mode,
    opener=lambda *_: __import__('os').open(__import__('os').devnull, 2), **options))"""


def closed_file(file: Any) -> Any:
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


def of_class(usual: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reducer for properties and methods as a class holds them: one of a library's class is met where it is."""

    def reduce(part: Any) -> Any:
        function = next((one for name in _INSIDE if (one := getattr(part, name, None)) is not None), None)
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
        if isinstance(module, str) and module != "__main__" and "." in name:
            home, _, own = name.rpartition(".")
            cls = at(home, vars(sys.modules.get(module, types)))
            if isinstance(cls, type) and vars(cls).get(own) is part and by_reference(cls):
                return operator.getitem, (Form(getattr, cls, "__dict__"), own)
        return usual(part)

    return reduce


_INSIDE: Final = ("fget", "func", "__func__")


def wrapped(method: Any) -> Any:
    """A static or class method, with attributes of its own; those it took from its function it takes again."""
    own = attributes_of_wrapper(method)
    return type(method), (method.__func__,), *([own] if own else [])


def cached_property(prop: Any) -> Any:
    """A cached property with its name; its lock is made anew."""
    state = {key: value for key, value in vars(prop).items() if key not in ("func", "lock")}
    return functools.cached_property, (prop.func,), state


def context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    """Write a context variable with the value that it has here; whoever reads it sets it where that happens."""
    made: Callable[[], contextvars.ContextVar[Any]]
    try:
        made = functools.partial(contextvars.ContextVar, variable.name, default=contextvars.Context().run(variable.get))
    except LookupError:  # it has no default
        made = functools.partial(contextvars.ContextVar, variable.name)
    if variable not in contextvars.copy_context():
        return made, ()
    value = variable.get()
    held = Form(operator.getitem, (None,), 0) if value is None else value  # pickle leaves out a state that is None
    return made, (), held, None, None, contextvars.ContextVar.set


def pattern(pattern: re.Pattern[Any]) -> Any:
    """A regular expression by the flags that were given, as far as can be told: `re` finds what it compiled by them."""
    text = pattern.pattern
    try:
        own = re.compile(text).flags
    except re.error:  # it is one with its flags alone
        own = int(re.UNICODE)
    given = pattern.flags & ~own
    return re.compile, (text, given) if given else (text,)


def ufunc(function: Any) -> Any:
    """A function of numpy, by its name; one that `numpy.frompyfunc` made, as `numpy.vectorize` does, is made again."""
    if not is_made_of_python(function):
        if home := home_of(function):
            return getattr, (sys.modules[home], function.__name__)
        raise NotPicklableError(f"the function {function.__name__}, which no module has under its name")
    python, *rest = gc.get_referents(function)
    if function.__name__ != f"{getattr(python, '__name__', '?')} (vectorized)":
        raise NotPicklableError("a function of numpy that does not tell what it was made of")
    make = sys.modules["numpy"].frompyfunc
    if function.identity is not None or any(one is None for one in rest):
        make = functools.partial(make, identity=function.identity)
    return make, (python, function.nin, function.nout), getattr(function, "__dict__", None) or None


def of_random(kind: type) -> Callable[[Any], Any] | None:
    """How generators of numpy before 2 are written, which pickle them without what they draw from and were seeded by.

    Who else draws from the same bits would have a copy of them, and children that are spawned would be others.
    """
    numpy, module = sys.modules.get("numpy"), str(kind.__module__)
    if not module.startswith("numpy.random.") or int(str(getattr(numpy, "__version__", "2")).partition(".")[0]) > 1:
        return None
    name = kind.__name__
    if name == "Generator":
        return lambda one: (kind, (one.bit_generator,))
    if name == "RandomState":
        return lambda one: (kind, (one._bit_generator,), one.get_state(legacy=False))
    if name == "MT19937":  # one that was seeded as of old has no sequence, and would not get it back
        return lambda one: (kind, (0,), one.state)
    return (lambda one: (kind, (one._seed_seq,), one.state)) if hasattr(kind, "random_raw") else None


def part_of_shell(obj: Any) -> Any:
    """Refuse a part of the shell that runs here (a formatter, the events): a copy would belong to no shell."""
    own = getattr(obj, "__dict__", {})
    if any(held.get(name) is not None for held in (own, own.get("_trait_values", {})) for name in ("shell", "parent")):
        raise NotPicklableError("a part of the running IPython")
    return NotImplemented


def is_observed(kind: Any) -> bool:
    """Whether a class is one of traitlets that is pickled as all of those are."""
    base: Any = getattr(sys.modules.get("traitlets"), "HasTraits", None)
    ways = ("__getstate__", "__setstate__")
    return base is not None and issubclass(kind, base) and all(getattr(kind, way) is getattr(base, way) for way in ways)


def observed(one: Any, known: Definitions) -> Any:
    """An object of traitlets with whom it tells of changes: traitlets makes only those anew that its class names."""
    made, args, state, *_ = one.__reduce_ex__(PROTOCOL)
    handler, every = (getattr(sys.modules["traitlets"], name) for name in ("EventHandler", "All"))
    told = [
        (call, [] if name is every else [name], None if kind is every else kind)
        for name, kinds in vars(one)["_trait_notifiers"].items()
        for kind, calls in kinds.items()
        for call in calls
        if not issubclass(type(call), handler)
    ]
    return (made, args, (state, told), None, None, known.evaluated(_OBSERVED)) if told else (made, args, state)


_OBSERVED: Final = """lambda made, held: (made.__setstate__(held[0]), [made.observe(
    call, names, __import__('traitlets').All if kind is None else kind) for call, names, kind in held[1]])"""


def refuse_kernel(_: Any) -> NoReturn:
    """Refuse a part of the kernel that runs here, as the connection of a widget: all variables hang on it."""
    raise NotPicklableError("a part of the running kernel")


def flags(flags: Any) -> Any:
    """The flags of a frame of pandas are met as its own: they refer to it weakly, and it is written with a copy."""
    frame = flags._obj()
    return NotImplemented if frame is None or frame.flags is not flags else (getattr, (frame, "flags"))


def polynomial(polynomial: Any) -> Any:
    """A polynomial of numpy by its attributes: the class writes copies of its arrays, which others may hold."""
    return copyreg.__newobj__, (type(polynomial),), {**vars(polynomial)}  # type: ignore[attr-defined]


def points(tree: Any) -> Any:
    """A k-d tree of scipy with the very array of its points, which the notebook holds as well: scipy writes a copy."""
    made, args, state, *more = tree.__reduce_ex__(PROTOCOL)
    copies = [at for at, one in enumerate(state) if getattr(one, "shape", None) == tree.data.shape]
    if type(state) is not tuple or len(copies) != 1:
        return NotImplemented
    (at,) = copies
    return made, args, (*state[:at], tree.data, *state[at + 1 :]), *more


def frame(frame: Any) -> Any:
    """A frame or series of pandas with its very own `attrs`: setting these, as pandas does, takes a copy.

    Attributes that the notebook set on it (`frame.title = "train"`) pandas leaves out. The list of their names is that
    of its class, which all frames have in common.
    """
    made, args, state, *rest = frame.__reduce_ex__(PROTOCOL)
    if "_metadata" not in vars(frame):
        state.pop("_metadata", None)
    if "attrs" in state:
        state["_attrs"] = state.pop("attrs")
    for name in state.keys() & {*frame._metadata} - vars(frame).keys():
        if not hasattr(inspect.getattr_static(frame, name, None), "__set__"):  # a property, which keeps it elsewhere
            del state[name]  # pandas writes what the class says, or None: the frame itself has no such attribute
    if not vars(frame).keys() <= state.keys():
        kind: Any = type(frame)
        base: Any = next(filter(by_reference, kind.__mro__))  # a class of the notebook may name more, to be left alone
        unknown = base._internal_names_set - {"_name"}  # which a `_metadata` of the notebook's may lack
        own = {name: value for name, value in vars(frame).items() if name not in unknown and not hasattr(kind, name)}
        state = {**own, **state}
    return made, args, state, *rest


def query(query: Any) -> Any:
    """A query of polars, unless it holds Python functions: polars itself writes these, with frozen globals."""
    reduced = query.__reduce_ex__(PROTOCOL)
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, bytes) and any(mark in state for mark in (b"PLPYFN", b"PLPYUDF", b"cloudpickle")):
        raise NotPicklableError("a polars query with a Python function")
    return reduced


def part_of_parser(part: Any, suppress: Any) -> Any:
    """A parser of `argparse`, or an action of it: the text that means "no default" is compared by identity."""
    made, args, state, *rest = part.__reduce_ex__(PROTOCOL)
    mark = sys.modules["argparse"].SUPPRESS
    return made, args, {name: suppress if value is mark else value for name, value in state.items()}, *rest


def callbacks(registry: Any) -> Any:
    """Write the callbacks of a figure: each time they are pickled they count one on, which is undone here.

    Matplotlib drops those that let one part follow another: without them a colour bar would not follow its image. It
    drops those of the notebook as well, which are told of each drawing of the canvas, of clicks and keys.
    """
    made, args, state, *rest = registry.__reduce_ex__(PROTOCOL)
    if isinstance(state["_cid_gen"], int):  # old versions pickle the counter itself
        registry._cid_gen = itertools.count(state["_cid_gen"])
    kept = state["callbacks"]
    state["callbacks"] = {
        signal: {
            cid: call
            for cid, proxy in calls.items()
            if (call := proxy()) is not None
            and (signal in _FOLLOWED or cid in kept.get(signal, ()) or _is_of_the_notebook(call))
        }
        for signal, calls in registry.callbacks.items()
    }
    return made, args, state, *rest


_FOLLOWED: Final = frozenset({"changed", "xlim_changed", "ylim_changed", "zlim_changed"})
"""Signals of figures' parts, other than those of the canvas: what libraries connect to those is the front end's."""


def _is_of_the_notebook(call: Any) -> bool:
    """Whether what is called is a function or a method of the notebook, or an object of a class of it."""
    while type(call) in (functools.partial, types.MethodType):
        call = call.func if type(call) is functools.partial else call.__func__
    module = getattr(call if type(call) is types.FunctionType else type(call), "__module__", "")
    return bool(module == "__main__")


def figure(figure: Any) -> Any:
    """Write a figure so that reading it does not open it in pyplot: whether it is open is none of its values."""
    made, args, state, *rest = figure.__reduce_ex__(PROTOCOL)
    if isinstance(state, dict):
        state.pop("_restore_to_pylab", None)
    return made, args, state, *rest


def path(usual: Callable[[Any], Any] | None, path: Any) -> Any:
    """A path of matplotlib: one that all figures have in common, and codes of such a one, are those again."""
    if (common := figures.common_shape(path)) is not None:
        return common.reduced
    reduced = NotImplemented if usual is None else usual(path)
    if (lender := figures.lender_of_codes(path)) is None:
        return reduced
    made, args, state, *rest = path.__reduce_ex__(PROTOCOL) if reduced is NotImplemented else reduced
    return made, args, {**state, "_codes": Form(getattr, lender, "codes")}, *rest


def part_of_plotly(part: Any) -> Any:
    """A trace, a layout or a part of them is met where its figure holds it: plotly makes these anew with the figure."""
    owner, name = vars(part).get("_parent"), vars(part).get("_plotly_name", "")
    is_figure = hasattr(owner, "data") and hasattr(owner, "layout")
    if is_figure and name != "layout":
        name = "data"
    held = None if owner is None else getattr(owner, name, None)
    if held is part:
        return getattr, (owner, name)
    for place, one in enumerate(held if isinstance(held, tuple) else ()):
        if one is part:
            return operator.getitem, (Form(getattr, owner, name), place)
    return NotImplemented


def figure_of_plotly(figure: Any) -> Any:
    """A figure of plotly with its arrays: its own form has texts for them, which nobody makes arrays of again."""
    props = {"data": figure._data, "layout": figure._layout}
    if figure._frame_objs:
        props["frames"] = [frame._props for frame in figure._frame_objs]
    return type(figure), ({**props, "_grid_str": figure._grid_str, "_grid_ref": figure._grid_ref},)


def refuse_placeholder(_: Any) -> NoReturn:
    """Refuse what is bound to a name that was lost."""
    raise NotPicklableError(LOST_EARLIER)


# --- typing and dataclasses ---


def type_variable(variable: Any) -> Any:
    """A type variable with all that it was made with."""
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
    state = {name: value for name, value in vars(new).items() if name not in ("__name__", "__supertype__")}
    return typing.NewType, (new.__name__, new.__supertype__), state


def _type_alias(alias: Any) -> Any:
    if importable_variable(alias):
        return NotImplemented
    kind: Any = type(alias)
    made = functools.partial(kind, alias.__name__, alias.__value__, type_params=alias.__type_params__)
    return made, ()


def _generic_alias(alias: Any) -> Any:
    """An alias of a class with a ``__class_getitem__`` of its own: that is not called again, but what it called."""
    origin = alias.__origin__
    way = getattr(inspect.getattr_static(origin, "__class_getitem__", None), "__func__", None)
    is_generic = issubclass(type(origin), type) and issubclass(origin, typing.Generic)  # others are `ClassVar`, …
    if not is_generic or type(way) is not types.FunctionType or importable(way):
        return NotImplemented
    return Form(eval, _ALIAS), (origin, alias.__reduce__()[1][1])


_ALIAS: Final = """lambda origin, of: (
    __import__('typing').Generic.__dict__['__class_getitem__'].__get__(None, origin)(of))"""


TYPING: Final[dict[str, Callable[[Any], Any]]] = {
    "TypeVar": type_variable,
    "ParamSpec": type_variable,
    "TypeVarTuple": type_variable,
    "NewType": _new_type,
    "TypeAliasType": _type_alias,
    "_GenericAlias": _generic_alias,
    # `typing` remembers by equality what it made: it would give an alias with what was equal once
    "_AnnotatedAlias": lambda alias: (type(alias), (alias.__origin__, alias.__metadata__)),
}


NAMES_OF_TYPES: Final = (type_variable, _new_type, _type_alias)


def _sentinel(name: str) -> Callable[[Any], Any]:
    return lambda _: (getattr, (sys.modules["dataclasses"], name))


DATACLASSES: Final[dict[str, Callable[[Any], Any]]] = {
    "_MISSING_TYPE": _sentinel("MISSING"),
    "_HAS_DEFAULT_FACTORY_CLASS": _sentinel("_HAS_DEFAULT_FACTORY"),
    "_KW_ONLY_TYPE": _sentinel("KW_ONLY"),
    "_FIELD_BASE": lambda marker: (getattr, (sys.modules["dataclasses"], marker.name)),
}
