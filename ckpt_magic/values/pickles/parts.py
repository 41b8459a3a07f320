"""What the notebook's functions and classes consist of, without what the machinery of Python made of it."""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import functools
import linecache
import operator
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ckpt_magic.values import shell
from ckpt_magic.values.code.reaching import named
from ckpt_magic.values.pickles.annotations import (
    ANNOTATE,
    KEPT,
    annotate_of_class,
    annotation_texts,
    annotations_of_class,
    contents,
)
from ckpt_magic.values.pickles.forms import WithoutHooks
from ckpt_magic.values.pickles.references import ATOMS, importable

_MACHINERY: Final = frozenset(
    {"__module__", "__qualname__", "_abc_impl", "__dataclass_params__", "__slotnames__", "__classdictcell__"}
)  # copyreg notes __slotnames__ on a class when the first instance is pickled

_GENERATED_NAMES: Final = frozenset(
    "__init__ __repr__ __eq__ __lt__ __le__ __gt__ __ge__ __hash__ __setattr__ __delattr__".split()
)

_ENUM_MACHINERY: Final = frozenset(
    "_member_names_ _member_map_ _value2member_map_ _unhashable_values_ _hashable_values_ _unhashable_values_map_ "
    "_member_type_ _generate_next_value_ _use_args_ _value_repr_ _flag_mask_ _all_bits_ _singles_mask_ _boundary_ "
    "_iter_member_ _inverted_ _order_ _sort_order_ __new__ __dataclass_params__".split()
)


# --- functions and code ---


CONSTANTS: Final = 1  # the place of these among the parts of code: equal tuples may be one


def code_parts(code: types.CodeType) -> list[Any]:
    """What a code object does, without where it stands, stable while it runs (marshalled bytes are not)."""
    return [
        code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        code.co_flags, code.co_qualname, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
        code.co_exceptiontable,
    ]  # fmt: skip


def plain_qualname(code: types.CodeType) -> str:
    """The qualified name without the scopes of comprehensions, which differ between versions."""
    return re.sub(r"<(?:list|set|dict)comp>[.]", "", code.co_qualname)


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """The globals of a function; of a copy of the notebook's, what a text reads that functions were generated from.

    attrs takes such a copy for the methods that it makes: a class of its would hold all variables that were there.
    """
    space, file = function.__globals__, function.__code__.co_filename
    is_generated = file[:1] == "<" and not file.startswith("<ipython-input") and space.get("__name__") == "__main__"
    text = "".join(linecache.getlines(file)) if is_generated else ""
    if not text:
        return shell.without_history(space)
    read = _globals_read(text) | {"__name__"}
    return {name: value for name, value in space.items() if name in read or _tells_types(value)}


@functools.lru_cache(maxsize=256)
def _globals_read(text: str) -> frozenset[str]:
    return frozenset(named(compile(text, "", "exec", dont_inherit=True)))


def _tells_types(value: Any) -> bool:
    """Whether an annotation may speak of this: `typing.get_type_hints` asks the globals of a method."""
    return issubclass(type(value), (type, types.ModuleType)) or type(value).__module__ in ("typing", "types")


def function_in(value: Any) -> Any:
    """The function behind a static or a class method, else the value itself."""
    return value.__func__ if type(value) in WRAPPERS else value


WRAPPERS: Final = (staticmethod, classmethod)
_METHODS: Final = (types.FunctionType, property, *WRAPPERS)


def attributes_of_wrapper(method: Any) -> dict[str, Any]:
    """The attributes of a static or a class method that it did not take from its function."""
    inner = method.__func__
    return {name: value for name, value in vars(method).items() if getattr(inner, name, method) is not value}


# --- classes ---


def is_taken_from(cls: type, value: Any) -> bool:
    """Whether a library reads what it made for an attribute of a class by asking the class, which has it no more then.

    So SQLAlchemy does with the columns of a mapped class.
    """
    kind: Any = type(value)
    if kind.__reduce_ex__ is not object.__reduce_ex__ or type(kind.__reduce__) is not types.FunctionType:
        return False
    reduced: Any = value.__reduce__() if importable(kind) else ""
    return type(reduced) is tuple and type(reduced[0]) is types.FunctionType and any(arg is cls for arg in reduced[1])


def attributes_of(cls: type, *, for_digest: bool = False) -> Iterator[tuple[str, Any]]:
    """The attributes of a class that its body or its owner gave it, in order."""
    tuples, enums = is_namedtuple(cls), isinstance(cls, enum.EnumType)
    protocol = isinstance(cls, type(typing.Protocol))
    for name, value in vars(cls).items():
        if name in _MACHINERY or isinstance(value, types.GetSetDescriptorType):
            continue
        if isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls and value.__name__ == name:
            continue  # a slot: the skeleton has it
        if name == "__new__" and getattr(value, "__self__", None) is cls:
            continue  # that of a compiled class, which comes with it
        if name == "__doc__":
            if value is None:
                continue
            value = told_by(cls) if for_digest else value
        if protocol and (name in _PROTOCOL_MACHINERY or _made_by_protocol(value)):
            continue
        if tuples and _made_by_namedtuple(cls, name, value):
            continue
        if tuples and name == "__new__" and for_digest:
            yield name, value.__func__.__defaults__ if has_new_of_namedtuple(cls) else value
            continue
        if name == "__pydantic_setattr_handlers__":
            value = {}  # filled whenever an attribute is set for the first time
        of_enum = enums and name in _ENUM_MACHINERY
        if enums and (of_enum or name in cls._member_map_) and not for_digest:  # type: ignore[attr-defined]
            continue
        if for_digest and (of_enum or name in _IGNORED_IN_DIGEST or is_generated(cls, name, value)):
            if name == "__dataclass_fields__":
                yield name, tuple(value.values())
            elif name == ANNOTATE and (annotate := annotate_of_class(cls)) is not None:
                yield name, (annotate.__code__, *contents(annotate))
            elif name in ("__annotations__", KEPT) and annotations_of_class(cls) is not None:
                yield name, annotation_texts(value)
            elif name == "__match_args__" and value != _usual_match(cls):
                yield name, value
            elif name == "__abstractmethods__" and value != _usual_abstract(cls):
                yield name, tuple(sorted(map(str, value))) if isinstance(value, set | frozenset) else value
            elif name == "__replace__" and value is not getattr(dataclasses, "_replace", cls):
                yield name, value
            continue
        yield name, value
    if for_digest and tuples:
        yield "_field_defaults", tuple(part for item in cls._field_defaults.items() for part in item)  # type: ignore[attr-defined]
    if for_digest and isinstance(cls, enum.EnumType):
        yield "_member_map_", tuple(part for name, member in cls._member_map_.items() for part in (name, member))
        if others := tuple(part for pair in _other_values(cls) for part in pair):
            yield "_value2member_map_", others


def _other_values(cls: Any) -> Iterator[tuple[Any, str]]:
    """Values by which a member of an enum is found, too, beside its own."""
    for value, member in cls._value2member_map_.items():
        own = getattr(member, "_value_", value)
        if not equal(value, own):
            yield value, member._name_


def _usual_abstract(cls: type) -> set[str]:
    """The names of the methods that are still to be defined, as `abc` finds them when it makes a class."""
    inherited = {name for base in cls.__bases__ for name in getattr(base, "__abstractmethods__", ())}
    found = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return {
        name
        for name in vars(cls).keys() | inherited
        if type(found.get(name)) in _METHODS and getattr(found[name], "__isabstractmethod__", False)
    }


def told_by(cls: type) -> Any:
    """The documentation of a class. In one that `dataclasses` wrote addresses of defaults are told, and say nothing."""
    text = vars(cls).get("__doc__")
    if type(text) is str and text.startswith(f"{cls.__name__}(") and "__dataclass_fields__" in vars(cls):
        return _ADDRESS.sub("", text)
    return text


_ADDRESS: Final = re.compile(" at 0x[0-9a-f]+")


def _usual_match(cls: Any) -> tuple[str, ...]:
    """The names by which a class is matched that `dataclasses` or `namedtuple` gave it."""
    fields: Any = vars(cls).get("__dataclass_fields__", {})
    kept = tuple(field.name for field in fields.values() if field.init and not field.kw_only)
    return getattr(cls, "_fields", ()) if is_namedtuple(cls) else kept


def telling_attributes(cls: type) -> Iterator[tuple[str, Any]]:
    """What tells whether a class does the same as before: more than its digest, which stays what it is in files."""
    for name, value in attributes_of(cls, for_digest=True):
        if name not in DERIVED_BY_PYDANTIC:
            yield name, value
    yield from beside_digest(cls)
    if isinstance(cls, enum.EnumType):
        members = cls._member_map_.items()
        given = [(one, *item) for one, member in members for item in vars(member).items() if item[0] not in _OF_MEMBERS]
        if given:
            yield "attributes of members", tuple(given)


_OF_MEMBERS: Final = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})
"""What `enum` gives to each member."""


def beside_digest(cls: type) -> Iterator[tuple[str, Any]]:
    """What tells of a class, as texts and atoms, that its digest leaves out."""
    if _BESIDE_DIGEST.isdisjoint(vars(cls)):
        return
    for name, value in sorted(vars(cls).items(), key=operator.itemgetter(0)):  # slots come first in a restored one
        if name == "__orig_bases__":
            yield name, annotation_texts({str(at): base for at, base in enumerate(value)})
        elif name == "__slots__":
            yield name, slots(cls)
        elif name == "__match_args__":
            yield name, value
        elif name == "_boundary_" and value is not None:
            yield name, value.value
        elif name == "__pydantic_decorators__":
            yield name, _decorators(value)
        elif is_generated(cls, name, value):
            yield name, ()  # that there is one: the code differs between versions of Python


_BESIDE_DIGEST: Final = frozenset(
    "__orig_bases__ __slots__ __match_args__ _boundary_ __pydantic_decorators__ __dataclass_fields__".split()
)  # the last one has generated methods beside it

DERIVED_BY_PYDANTIC: Final = frozenset(
    "__pydantic_core_schema__ __pydantic_decorators__ __pydantic_serializer__ __pydantic_validator__ "
    "__signature__".split()
)


def _decorators(infos: Any) -> tuple[str, ...]:
    """What the decorators of a model of pydantic were given, without the functions and without addresses."""
    tables = (getattr(infos, field.name) for field in dataclasses.fields(infos))
    found = (f"{name}: {one.info!r}" for table in tables if isinstance(table, dict) for name, one in table.items())
    return tuple(_ADDRESS.sub("", text) for text in found)


_IGNORED_IN_DIGEST: Final = frozenset(
    f"__dataclass_fields__ __annotations__ {ANNOTATE} {KEPT} __slots__ __match_args__ __static_attributes__ "
    "__firstlineno__ __orig_bases__ __parameters__ __type_params__ __protocol_attrs__ __abstractmethods__ "
    "__replace__".split()
)

_PROTOCOL_MACHINERY: Final = frozenset(
    "__protocol_attrs__ __callable_proto_members_only__ __non_callable_proto_members__".split()
)


def _made_by_protocol(value: Any) -> bool:
    """Whether `typing.Protocol` gave this to its subclass: it does so again for the skeleton."""
    inner = function_in(value)
    named = getattr(inner, "__qualname__", "").rpartition(".")[2] in ("_proto_hook", "_no_init_or_replace_init")
    return named and getattr(inner, "__module__", "") == "typing"


def is_generated(cls: type, name: str, value: Any) -> bool:
    """Whether `value` is a method that `dataclasses` made for this very class, as it made it."""
    if name not in _GENERATED_NAMES or "__dataclass_fields__" not in vars(cls) or type(value) is not types.FunctionType:
        return False
    inner, own = value, vars(value)
    if name == "__repr__":  # made twice: the inner function is wrapped against recursion
        inner = own.get("__wrapped__", value)
    return (
        inner.__code__.co_filename == "<string>"  # as is that of what a text defined which the notebook ran
        and value.__name__ == name
        and value.__qualname__ == f"{cls.__qualname__}.{name}"
        and own.keys() <= {"__wrapped__"}
        and (name != "__init__" or _has_defaults_of_fields(cls, value))
    )


def _has_defaults_of_fields(cls: Any, init: types.FunctionType) -> bool:
    fields = [f for f in vars(cls)["__dataclass_fields__"].values() if f.init and f._field_type is not _CLASS_VARIABLE]
    usual = [
        f.default if f.default is not dataclasses.MISSING else _MADE_AT_CALL
        for f in sorted(fields, key=operator.attrgetter("kw_only"))
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    ]
    given = [*(init.__defaults__ or ()), *(init.__kwdefaults__ or {}).values()]
    return _are_the_same(given, usual)


def _are_the_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


_CLASS_VARIABLE: Final = dataclasses._FIELD_CLASSVAR  # type: ignore[attr-defined]
_MADE_AT_CALL: Final = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]


def is_same_function(one: Any, other: Any) -> bool:
    """Whether two functions that were generated do the same: code, defaults, and what their closures hold."""
    if type(one) is not types.FunctionType or type(other) is not types.FunctionType or one.__code__ != other.__code__:
        return False
    named = one.__kwdefaults__ or {}, other.__kwdefaults__ or {}
    held = [*(one.__defaults__ or ()), *named[0].values(), *contents(one)]
    others = [*(other.__defaults__ or ()), *named[1].values(), *contents(other)]
    return [*named[0]] == [*named[1]] and len(held) == len(others) and all(map(_is_as_good, held, others))


def _is_as_good(one: Any, other: Any) -> bool:
    """Whether what generated functions hold is the same, or was made for each of them."""
    if one is other or (type(one) is set and one == other):  # which calls of `repr` are under way
        return True
    if isinstance(one, type) and isinstance(other, type):  # without slots, which the class itself took the place of
        return not importable(one) and not importable(other)
    return is_same_function(one, other)


def is_namedtuple(cls: type) -> bool:
    """Whether `collections.namedtuple` made this class."""
    own = vars(cls)
    make = function_in(own.get("_make"))
    return tuple in cls.__bases__ and getattr(make, "__code__", None) is _namedtuple_code()["_make"]


@functools.lru_cache(maxsize=1)
def _namedtuple_code() -> dict[str, types.CodeType]:
    """The code of the methods that `collections.namedtuple` gives every class."""
    template = collections.namedtuple("template", "x")
    found = {name: function_in(value) for name, value in vars(template).items()}
    return {name: value.__code__ for name, value in found.items() if hasattr(value, "__code__")}


def _made_by_namedtuple(cls: Any, name: str, value: Any) -> bool:
    if name == "__new__":
        if not has_new_of_namedtuple(cls):
            return False
        return _are_the_same(value.__func__.__defaults__ or (), defaults_of_namedtuple(cls))
    if name == "_field_defaults":
        return type(value) is dict and _are_the_same(tuple(value.values()), defaults_of_namedtuple(cls))
    if name in ("__slots__", "_fields"):
        return True
    if name == "__match_args__":
        return bool(value == cls._fields)
    if name == "__class_getitem__" and typing.Generic in cls.__bases__:
        return True
    if name in cls._fields and type(value).__name__ == "_tuplegetter":
        at = cls._fields.index(name)
        return bool(value.__reduce__()[1] == (at, f"Alias for field number {at}"))
    inner = function_in(value)
    return getattr(inner, "__code__", None) is _namedtuple_code().get(name, 0)


def has_new_of_namedtuple(cls: type) -> bool:
    """Whether a class has the ``__new__`` that `collections.namedtuple` gave it; its defaults may be others."""
    new = function_in(vars(cls).get("__new__"))
    return type(new) is types.FunctionType and new.__globals__.get("__name__") == f"namedtuple_{cls.__name__}"


def defaults_of_namedtuple(cls: Any) -> tuple[Any, ...]:
    """The defaults with which a named tuple is made again."""
    defaults = cls._field_defaults
    are_last = type(defaults) is dict and (*defaults,) == cls._fields[len(cls._fields) - len(defaults) :]
    return tuple(defaults.values()) if are_last else ()


def is_masked(cls: Any, name: str) -> bool:
    """Whether the metaclass has a property of the name of an attribute: setting that would ask, or set, another one."""
    if type(cls) is type and not name.startswith("__"):
        return False
    base = next((base for base in type(cls).__mro__ if name in vars(base)), None)
    kind = None if base is None else type(vars(base)[name])
    is_set_as_usual = base is type and name in _SET_AS_USUAL
    return (hasattr(kind, "__set__") or hasattr(kind, "__delete__")) and not is_set_as_usual


_SET_AS_USUAL: Final = frozenset(
    "__doc__ __annotations__ __abstractmethods__ __module__ __qualname__ __type_params__ __annotate__".split()
)


def slots(cls: type) -> tuple[str, ...]:
    """The names that a class made slots of, in order."""
    slots = vars(cls)["__slots__"]
    if isinstance(slots, str):
        return (slots,)
    if isinstance(slots, tuple | list | dict):
        return tuple(slots)
    return tuple(name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType))


def params(cls: Any) -> tuple[str, ...]:
    """The names of the options that a dataclass was made with."""
    return tuple(getattr(type(cls.__dataclass_params__), "__slots__", ()))


def maker_of(cls: Any) -> Any:
    """The ``__new__`` that makes the skeleton of a class without running a hook; none if that cannot be done."""
    for meta in type(cls).__mro__:
        if "__new__" in vars(meta) and importable(meta):
            if meta is type or meta.__name__ == "_TypedDictMeta" and meta.__module__ == "typing":
                return type.__new__
            if meta is enum.EnumType:
                return meta.__new__ if enum_way(cls) is not None else None
            if meta.__name__ == "ModelMetaclass" and meta.__module__ == "pydantic._internal._model_construction":
                return abc.ABCMeta.__new__  # what pydantic makes of a body is among the attributes
            return meta.__new__ if meta in (abc.ABCMeta, type(typing.Protocol)) else None
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class EnumWay:
    """How an enum is made again.

    Attributes
    ----------
    bases
        The bases that it is made with; those of the class are set later if they are others.
    values
        The values that make the members without the user's ``__new__``; aliases have their member's.
    twin
        What came of it, to see what is left to be set.
    """

    bases: tuple[type, ...]
    values: dict[str, Any]
    twin: Any


def enum_way(cls: Any) -> EnumWay | None:
    """Make an enum as a reader will, to see whether that gives the same members; none if it does not."""
    kind = cls._member_type_
    if kind is object or importable(kind):
        twin = _enum_twin(cls, cls.__bases__, values := _enum_values(cls))
        if twin is not None:
            return EnumWay(cls.__bases__, values, twin)
    if kind is object or not importable(kind):  # names stand for what would be methods, or made by the user's code
        bases = tuple(base for base in cls.__bases__ if issubclass(base, enum.Enum))
        twin = _enum_twin(cls, bases, values := {name: member._name_ for name, member in cls._member_map_.items()})
        if twin is None:  # a base has a ``__new__`` of the user's
            bases = tuple(dict.fromkeys(next(filter(importable, base.__mro__)) for base in bases))
            twin = _enum_twin(cls, bases, values)
        if twin is not None:
            return EnumWay(bases, values, twin)
    return None


def _enum_values(cls: Any) -> dict[str, Any]:
    kind = cls._member_type_
    if kind in (int, str, float, bytes, complex):
        plain = str.__str__ if kind is str else functools.partial(kind.__new__, kind)
        return {name: plain(member) for name, member in cls._member_map_.items()}
    return {name: member._value_ for name, member in cls._member_map_.items()}


def _enum_twin(cls: Any, bases: tuple[type, ...], values: dict[str, Any]) -> Any:
    try:
        classdict = enum.EnumType.__prepare__(cls.__name__, bases)
        own = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **values}
        for name, value in own.items():
            classdict[name] = value
        options = {"boundary": cls._boundary_} if issubclass(cls, enum.Flag) else {}
        with WithoutHooks(cls.__mro__[1:]):
            twin: Any = enum.EnumType.__new__(type(cls), cls.__name__, bases, classdict, **options)
            if bases != cls.__bases__:
                twin.__bases__ = cls.__bases__
    except (TypeError, ValueError, AttributeError):  # what enum raises for values that it cannot take
        return None
    _leave_family(twin)
    if cls._member_type_ is not object and any(
        not cls._member_type_.__eq__(twin._member_map_[name], member)
        for name, member in cls._member_map_.items()
        if bases == cls.__bases__
    ):
        return None
    same_names = twin._member_names_ == cls._member_names_ and list(twin._member_map_) == list(cls._member_map_)
    same = same_names and all(twin._member_map_[n]._name_ == m._name_ for n, m in cls._member_map_.items())
    return twin if same else None


def _leave_family(twin: type) -> None:
    """Be none of the subclasses that its bases tell of: a class lives until a collection."""
    libraries = [base for base in twin.__mro__ if importable(base)]
    kind: Any = next(base for base in libraries if not issubclass(base, enum.Enum))
    for base in (_base_over(kind), kind, *libraries):
        with contextlib.suppress(TypeError):  # its objects have another layout
            type.__setattr__(twin, "__bases__", (base,))
            return


@functools.lru_cache(maxsize=8)
def _base_over(kind: type) -> type:
    return type("_Base", (kind,), {})


def equal(a: Any, b: Any) -> bool:
    """Whether two values are one, or atoms that nobody can tell apart."""
    return a is b or type(a) is type(b) and type(a) in ATOMS and repr(a) == repr(b)
