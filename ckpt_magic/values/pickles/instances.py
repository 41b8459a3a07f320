"""How instances are reduced: attributes that others hold, code that is asked while they are read, errors."""

from __future__ import annotations

import copyreg
import enum
import functools
import operator
import sys
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from ckpt_magic.values.code import hashes
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import dict_of, is_own
from ckpt_magic.values.pickles.forms import PROTOCOL, Form
from ckpt_magic.values.pickles.parts import has_new_of_namedtuple, is_namedtuple
from ckpt_magic.values.pickles.references import ATOMS, importable, is_of_library, refuses_for_now
from ckpt_magic.values.slots import slot_names

_NUMBERS: Final = frozenset({int, float, complex, bool})

_attribute: Final = object.__getattribute__
_references: Final = sys.getrefcount


def instance(obj: Any) -> Any:
    """An object whose attributes somebody else holds as a dict (`vars(args)`, a dict that is its own attributes)."""
    if _references(_attribute(obj, "__dict__")) <= HELD_ONCE:
        return NotImplemented
    attributes = _attribute(obj, "__dict__")
    reduced = obj.__reduce_ex__(PROTOCOL)
    made, args, state, *rest = reduced
    slots = state[1] if type(state) is tuple and len(state) == 2 and state[0] is attributes else {}
    if not slots and state is not attributes and state is not None:
        return reduced
    return made, args, (None, {"__dict__": attributes, **slots}), *rest


def can_share_attributes(kind: Any) -> bool:
    """Whether pickle takes the `__dict__` of the instances as it is and may set it by ``setattr``."""
    return (
        dict_of(kind) is not None
        and not reduces_itself(kind)
        and kind.__setattr__ is object.__setattr__
        and not hasattr(kind, "__setstate__")
        and kind not in copyreg.dispatch_table
    )


def has_attributes_alone(kind: Any) -> bool:
    """Whether an instance is nothing but what is in its `__dict__`, and pickle asks no code of its class for that."""
    return (
        is_made_of_attributes(kind)
        and can_share_attributes(kind)
        and kind.__getattribute__ is object.__getattribute__
        and kind.__getstate__ is object.__getstate__
        and not any(hasattr(kind, name) for name in ("__getattr__", "__getnewargs__", "__getnewargs_ex__"))
        and type(kind) is type
    )


def is_found_in_notebook(reduced: Any) -> bool:
    """Whether a reduction names a variable of the notebook, which is not there yet when a checkpoint is read.

    A function below `@curry` of toolz is `"__main__:add"`: that is whatever has that name then.
    """
    match reduced:
        case (_, tuple() as args, *_):
            texts = [one for part in args for one in (part if type(part) is tuple else (part,)) if type(one) is str]
            return any(text.partition(":")[0] == "__main__" for text in texts)
    return False  # pickle says what is wrong with it


def is_made_of_attributes(kind: Any) -> bool:
    """Whether an instance is nothing but what is in its `__dict__`, and would be read back so."""
    shape = ("__basicsize__", "__itemsize__", "__dictoffset__", "__weakrefoffset__")
    return all(getattr(kind, name) == getattr(_Lone, name) for name in shape) and not hasattr(kind, "__setstate__")


class _Lone:
    """Has attributes that nobody else holds."""


def _references_of_attributes() -> int:
    lone = _Lone()
    return _references(_attribute(lone, "__dict__"))


HELD_ONCE: Final = _references_of_attributes()
"""References to attributes that only their object has, counted as they are read."""


def is_simple_error(kind: Any) -> bool:
    """Whether an exception class keeps nothing but `args` and attributes."""
    if not issubclass(kind, BaseException) or kind.__reduce__ is not BaseException.__reduce__:
        return False
    base = next(cls for cls in kind.__mro__ if cls.__module__ == "builtins")
    return bool(base.__basicsize__ == BaseException.__basicsize__)


def is_made_by(base: Any, kind: Any, made: Any) -> bool:
    """Whether the reduction of an exception of a notebook's class is that of its base, and calls the class."""
    return made is kind and kind is not base and kind.__reduce__ is base.__reduce__


RAISED: Final = """lambda new, init, kind, args: (lambda made: (init(made, *args), made)[-1])(new(kind, *args))"""


def makes_itself(kind: Any) -> bool:
    """Whether instances of a notebook class are made by a ``__new__`` of the notebook, without arguments for it."""
    own = [cls for cls in kind.__mro__ if not importable(cls)]
    told = [vars(cls) for cls in own if not is_namedtuple(cls)]
    arguments = any("__getnewargs__" in space or "__getnewargs_ex__" in space for space in told)
    return not arguments and any("__new__" in vars(cls) and not has_new_of_namedtuple(cls) for cls in own)


def made_by_base(obj: Any) -> Any:
    """Make the instance by the ``__new__`` that the notebook's one calls in the end: the other may want anything."""
    reduced = obj.__reduce_ex__(PROTOCOL)
    new = tuple.__new__ if isinstance(obj, tuple) else _compiled_new(type(obj))
    if new is None or reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return reduced
    args = (tuple(tuple.__iter__(obj)),) if isinstance(obj, tuple) else reduced[1][1:]
    return new, (type(obj), *args), *reduced[2:]


def _compiled_new(kind: Any) -> Any:
    """The ``__new__`` of the first base that is no class of the notebook, if it is compiled; else None."""
    base = next(cls for cls in kind.__mro__ if "__new__" in vars(cls) and importable(cls) and not wants_arguments(cls))
    return base.__new__ if type(base.__new__) is types.BuiltinFunctionType else None


def made_plainly_of(kind: Any) -> Any:
    """The base by whose ``__new__`` an object is made, whatever pickle would call; None if that is to be called.

    Pickle minds a class that says that it is another one, as proxies do. A library that made a class for one object
    alone, as `unittest.mock` does, would make another one. And what derives from a tuple may want other arguments than
    those that the tuple tells.
    """
    if reduces_itself(kind) or kind in copyreg.dispatch_table:
        return None
    is_by_code = type(kind.__new__) is types.FunctionType
    told_by = next((base for base in _TELL_THEMSELVES if issubclass(kind, base)), None)
    if told_by is not None:
        tells = kind.__getnewargs__ is told_by.__getnewargs__ and not hasattr(kind, "__getnewargs_ex__")
        return told_by if is_by_code and tells and importable(kind) else None
    if not is_made_of_attributes(kind) or hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__"):
        return None
    if kind.__new__ is object.__new__:
        return object if any("__class__" in vars(cls) for cls in kind.__mro__[:-1]) else None
    return object if is_by_code and not importable(kind) and is_of_library(kind) else None


_TELL_THEMSELVES: Final[tuple[Any, ...]] = (tuple, str, int, float, complex, bytes)


def plainly(usual: Callable[[Any], Any] | None, base: Any) -> Callable[[Any], Any]:
    """Reduce an object so that the ``__new__`` of a base makes it."""

    def reduce(obj: Any) -> Any:
        reduced: Any = NotImplemented if usual is None else usual(obj)
        reduced = object.__reduce_ex__(obj, PROTOCOL) if reduced is NotImplemented else reduced
        made, args, *rest = reduced
        if made is not copyreg.__newobj__:  # type: ignore[attr-defined]  # no stubs
            return made, args, *rest
        return base.__new__, args[:1] if base is object else args, *rest  # a proxy tells what it stands for tells

    return reduce


def wants_arguments(kind: Any) -> bool:
    """Whether the ``__new__`` of a class cannot be called without arguments, and pickle has none for it."""
    new = kind.__new__
    if type(new) is not types.FunctionType or reduces_itself(kind) or kind in copyreg.dispatch_table:
        return False
    count = new.__code__.co_argcount - len(new.__defaults__ or ())
    return count > 1 and not hasattr(kind, "__getnewargs__") and not hasattr(kind, "__getnewargs_ex__")


def is_asked_early(kind: Any) -> bool:
    """Whether reading an instance the usual way may ask code of its class that needs its attributes."""
    if reduces_itself(kind) or kind in copyreg.dispatch_table or hasattr(kind, "__setstate__"):
        return False
    return is_asked_to_read(kind) or type(kind.__hash__) is types.FunctionType


def is_written_by_attributes(kind: Any) -> bool:
    """Whether the attributes are all that there is of an object, and are written without asking its class."""
    return _is_asked_for_all(kind) or _is_not_pickled_yet(kind)


def _is_asked_for_all(kind: Any) -> bool:
    """Whether a notebook class has a ``__getattribute__``, which pickle asks for attributes, and which may tell others.

    Only where the attributes are all that there is of an object.
    """
    ways = ("__setstate__", "__getnewargs__", "__getnewargs_ex__")
    return (
        type(kind.__getattribute__) is types.FunctionType
        and next(filter(importable, kind.__mro__)) is object
        and not reduces_itself(kind)
        and kind.__getstate__ is object.__getstate__
        and not any(hasattr(kind, name) for name in ways)
    )


def _is_not_pickled_yet(kind: Any) -> bool:
    """Whether all that an object is are attributes, and its library does not pickle all of them."""
    return refuses_for_now(kind.__getstate__) and not reduces_itself(kind)


def is_asked_to_read(kind: Any) -> bool:
    """Whether unpickling asks a ``__getattr__`` of a class, or its ``__setattr__``, by which it fills slots."""
    return has_getattr(kind) or (type(kind.__setattr__) is types.FunctionType and bool(slot_names(kind)))


def has_getattr(kind: Any) -> bool:
    """Whether a class has a ``__getattr__``."""
    return any("__getattr__" in vars(cls) for cls in kind.__mro__)


def are_attributes(state: Any) -> bool:
    """Whether this is what pickle takes for attributes: a dict by name, or none."""
    return state is None or (type(state) is dict and set(map(type, state)) <= {str})


def leads_nowhere(value: Any) -> bool:
    """Whether a value is an atom, or consists of atoms."""
    kind = type(value)
    return kind in ATOMS or (kind in (tuple, frozenset) and all(map(leads_nowhere, value)))


MADE: Final = """lambda kind, args, attributes, slots: (lambda made: (
    attributes and object.__getattribute__(made, '__dict__').update(attributes),
    [object.__setattr__(made, name, value) for name, value in slots.items()], made)[-1])(kind.__new__(kind, *args))"""


def made(kind: Any) -> str:
    """The text that makes an object with some of its attributes."""
    base = made_plainly_of(kind)
    return MADE if base is None else MADE.replace("kind.__new__", f"{base.__name__}.__new__")


SET_STATE: Final = """lambda made, state: (
    state[0] and object.__setattr__(made, '__dict__', state[0]),
    [object.__setattr__(made, name, value) for name, value in (state[1] or {}).items()])"""


SET_ALL: Final = f"""lambda made, state: (made.__setstate__(state[0]), ({SET_STATE})(made, state[1:]))"""


_SET_DESCRIPTOR: Final = f"""lambda made, state: (state[0](made, *state[1]), ({SET_STATE})(made, state[2:]))"""


def descriptor(one: Any, evaluated: Callable[[str], Any]) -> Any:
    """A property or method of a class that is derived from the usual one, whose constructor may want anything."""
    base: Any = next(kind for kind in DESCRIPTORS if isinstance(one, kind))
    its = (one.fget, one.fset, one.fdel) if base is property else (one.__func__,)
    state = base.__init__, its, *(attributes(one) or (None, {}))
    return base.__new__, (type(one),), state, None, None, evaluated(_SET_DESCRIPTOR)


DESCRIPTORS: Final = (property, staticmethod, classmethod)


def tells_its_own(kind: Any) -> bool:
    """Whether a compiled base of a notebook class tells the state of objects: perhaps without their attributes."""
    getter = kind.__getstate__
    return getter is not object.__getstate__ and type(getter) is types.MethodDescriptorType


def tells_all(state: Any, attributes: dict[str, Any]) -> bool:
    """Whether attributes are part of a state."""
    parts = [part for part in (state if type(state) is tuple else (state,)) if type(part) is dict]
    return any(all(part.get(name, parts) is value for name, value in attributes.items()) for part in parts)


def says_how(kind: Any) -> bool:
    """Whether the notebook says itself how objects of a class of it are pickled."""
    own = [vars(cls) for cls in kind.__mro__ if not importable(cls)]
    return any(name in space for space in own for name in ("__reduce__", "__reduce_ex__"))


def may_leave_out(kind: Any) -> bool:
    """Whether a class of the user's says itself what of the attributes of its objects is pickled."""
    if issubclass(kind, enum.Enum) or not getattr(kind, "__dictoffset__", 0):
        return False
    own = [vars(cls) for cls in kind.__mro__ if not importable(cls) or is_own(cls.__module__)]
    return any(name in space for space in own for name in ("__reduce__", "__reduce_ex__", "__getstate__"))


def says_of(kind: Any, made: Any) -> bool:
    """Whether the call that makes an object tells its class: what a base gives may make one of the base instead."""
    if made is kind or getattr(made, "__self__", None) is kind:
        return True
    if type(made) is functools.partial:
        made = made.func, *made.args
    return type(made) is tuple and any(says_of(kind, part) for part in made)


def tells_a_base(kind: Any, made: Any) -> bool:
    """Whether the call that makes an object, which is nothing but attributes, tells a base of its class instead.

    One that tells all of several bases has the class made of them, as matplotlib does for contours in three dimensions.
    """
    bases = kind.__mro__[1:-1]
    if len(kind.__bases__) > 1 and all(says_of(base, made) for base in kind.__bases__):
        return False
    return is_made_of_attributes(kind) and not says_of(kind, made) and any(says_of(base, made) for base in bases)


def attributes(obj: Any) -> tuple[Any, dict[str, Any]] | None:
    """What an object has in its `__dict__` and in slots of the notebook, for `SET_STATE`; None if nothing."""
    kind: Any = type(obj)
    mro = kind.__mro__ if not _is_not_pickled_yet(kind) else (object,)
    base = next(cls for cls in mro if importable(cls))  # which looks after its own slots
    its = slot_names(base)
    filled = {}
    for name in (one for one in slot_names(kind) if one not in its):
        with suppress(AttributeError):
            filled[name] = _attribute(obj, name)
    inside, is_held = None, False
    with suppress(AttributeError):
        is_held = _references(_attribute(obj, "__dict__")) > HELD_ONCE  # by something else, too, that knows it
        inside = _attribute(obj, "__dict__")
    return (inside, filled) if inside or filled or is_held else None


def without_hash(reduced: Any, kept: hashes.Kept) -> tuple[Any, bool]:
    """A reduction without the hash that the object noted when it was asked, and whether one is left in it.

    In another process it would be found in no dict, and equal nothing. That of numbers is the same in each.
    """
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    parts = [*state] if type(state) is tuple else [state]
    told = [part for part in parts if type(part) is dict]
    names = [name for name in (*kept.noted, *kept.made) if any(type(part.get(name)) is int for part in told)]
    if not names or all(map(_is_of_numbers, (item for part in told for item in part.values()))):
        return reduced, False
    if not all(name in kept.noted for name in names):
        return reduced, True
    parts = [kept.forgotten(part) if type(part) is dict else part for part in parts]
    return (*reduced[:2], tuple(parts) if type(state) is tuple else parts[0], *reduced[3:]), False


def _is_of_numbers(value: Any) -> bool:
    return type(value) in _NUMBERS or (type(value) in (tuple, frozenset) and all(map(_is_of_numbers, value)))


def is_filled_when_made(kind: Any, args: Any) -> bool:
    """Whether the ``__new__`` of the base of a notebook class does it all, so that no ``__init__`` need be called."""
    base = next(cls for cls in kind.__mro__ if importable(cls))
    return not args or base.__init__ is object.__init__


def made_so(evaluated: Callable[[str], Any], obj: Any, made: Any, args: Any) -> tuple[Any, Any]:
    """Make an object as its base does, instead of calling its class, which may do more."""
    if made is not type(obj):
        return made, args
    base: Any = next(cls for cls in made.__mro__ if importable(cls))
    if base.__init__ is object.__init__:
        return base.__new__, (made, *args)
    if not args and (new := _compiled_new(made)) is not None:
        return new, (made,)
    if made.__new__ is base.__new__ and made.__init__ is base.__init__:
        return made, args
    return evaluated(RAISED), (base.__new__, base.__init__, made, args)


def reduces_itself(kind: Any) -> bool:
    """Whether a class has a way of its own to be pickled."""
    return kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__


def may_hide(kind: Any) -> bool:
    """Whether a class of a library has code by which its objects may be written without what they hold."""
    if kind in copyreg.dispatch_table or dict_of(kind) is None:
        return False
    return types.FunctionType in (type(kind.__reduce__), type(kind.__reduce_ex__)) and is_of_library(kind)


def takes_nothing_back(kind: Any) -> bool:
    """Whether the ``__setstate__`` of a class does nothing: attributes that pickle wrote would be gone."""
    setter = getattr(kind, "__setstate__", None)
    return (
        type(setter) is types.FunctionType
        and kind.__getstate__ is object.__getstate__
        and not reduces_itself(kind)
        and setter.__code__.co_code in _NOTHING
    )


def _nothing(obj: Any, state: Any) -> None:
    """Do nothing, with a docstring."""


_NOTHING: Final = {_nothing.__code__.co_code, (lambda obj, state: None).__code__.co_code}


def is_asked_for_slots(cls: Any) -> bool:
    """Whether pickle asks the ``__getattr__`` of a class for slots that are empty."""
    return bool(slot_names(cls)) and has_getattr(cls) and cls.__reduce_ex__ is object.__reduce_ex__


def asked_before(usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Reduce an object after its ``__getattr__`` was asked what pickle will ask it: it may make what it looks in.

    An xarray dataset makes its `attrs` then, and would not be what it was before it was pickled.
    """

    def reduce(obj: Any) -> Any:
        for name in slot_names(type(obj)):
            try:
                _attribute(obj, name)
            except AttributeError:  # one that is empty; of the others nobody is asked
                with suppress(Exception):
                    getattr(obj, name)
                break
        return NotImplemented if usual is None else usual(obj)

    return reduce


def marked(usual: Callable[[Any], Any] | None, module: str, marks: Mapping[int, str]) -> Callable[[Any], Any]:
    """Reduce an object to the name that its module has for it, if it is a mark; see `references.marks`."""

    def reduce(obj: Any) -> Any:
        name = marks.get(identity(obj))
        if name is not None and not _has_attributes(obj):
            return getattr, (sys.modules[module], name)
        return NotImplemented if usual is None else usual(obj)

    return reduce


def _has_attributes(obj: Any) -> bool:
    """Whether anything is in the `__dict__` of an object, which is not asked: pyomo's `units` imports pint then."""
    try:
        return bool(_attribute(obj, "__dict__"))
    except AttributeError:
        return False


def weak_sets(kind: Any) -> list[tuple[type, str]]:
    """The weak sets that a library's class and its bases keep, in which their ``__new__`` puts what it makes."""
    found = [(cls, name) for cls in kind.__mro__ for name, value in vars(cls).items() if type(value) is weakref.WeakSet]
    can_be_told = not reduces_itself(kind) and kind not in copyreg.dispatch_table and not hasattr(kind, "__setstate__")
    return found if can_be_told else []


def unbound(usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Reduce a queue, lock or event of asyncio so that it is bound to the loop that runs as it comes back, or to none.

    The first that waits for one binds it to its loop; bound to another than the one that runs it would raise. One whose
    loop is closed is of no use any more, and stays so.
    """

    def reduce(obj: Any) -> Any:
        reduced = NotImplemented if usual is None else usual(obj)
        loop = vars(obj).get("_loop")
        if loop is None or loop.is_closed():
            return reduced
        made, args, state, *rest = obj.__reduce_ex__(PROTOCOL) if reduced is NotImplemented else reduced
        if not are_attributes(state):
            return reduced
        running: Any = vars(sys.modules["asyncio"])["_get_running_loop"]
        bound = {"_loop": Form(running)} if loop is running() else {}
        return made, args, {name: value for name, value in state.items() if name != "_loop"} | bound, *rest

    return reduce


def listed(usual: Callable[[Any], Any] | None, sets: Sequence[tuple[type, str]]) -> Callable[[Any], Any]:
    """Reduce an object so that it is in the weak sets of its class again if it was, and else is not.

    A closed progress bar of tqdm would be in the way of the next one.
    """

    def reduce(obj: Any) -> Any:
        reduced = NotImplemented if usual is None else usual(obj)
        made, args, state, *rest = obj.__reduce_ex__(PROTOCOL) if reduced is NotImplemented else reduced
        attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
        if slots or not are_attributes(attributes):
            return reduced
        ways = {True: weakref.WeakSet.add, False: weakref.WeakSet.discard}
        calls = tuple(Form(ways[obj in getattr(cls, name)], Form(getattr, cls, name), obj) for cls, name in sets)
        # where pickle and `SET_STATE` look for slots, when the object is there already: calls, and no slots
        return made, args, (attributes, Form(operator.getitem, (*calls, {}), len(calls))), *rest

    return reduce
