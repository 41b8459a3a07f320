"""What a notebook defines, written as calls that the standard library can make.

Functions, closures, code, classes and enums become reductions that plain ``pickle.load`` executes where nothing is
installed; here are the classes. `Definitions` builds them for one pickle. Knows no file and no top form (see
`pickling`).

A definition is written as ``call(getitem, {token: made}, token)`` followed by blocks of attributes that are set
eagerly, each ``call(dict.fromkeys, map(setattr, repeat(made), names, values), made)``. ``call`` is
`operator.call`: a plain reader just executes it, our loader sees the token before the attributes. Definitions are
written where they are first met; those that a class needs to exist (bases, metaclass) come as bare classes inside it,
and all their attributes after it.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # no stubs
import abc
import collections
import dataclasses
import enum
import functools
import itertools
import operator
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.annotations import LAZY, annotate_of, annotations_of
from ckpt_magic.values.pickles.forms import CALL, FROM_KEYS, NO_HOOK, Form, Items, Later, Reduced, hooks
from ckpt_magic.values.pickles.functions import Functions
from ckpt_magic.values.pickles.makers import method_of
from ckpt_magic.values.pickles.parts import (
    WRAPPERS,
    EnumWay,
    attributes_of,
    attributes_of_wrapper,
    defaults_of_namedtuple,
    enum_way,
    equal,
    function_in,
    has_new_of_namedtuple,
    is_generated,
    is_masked,
    is_namedtuple,
    is_same_function,
    maker_of,
    params,
    slots,
)
from ckpt_magic.values.pickles.references import (
    by_reference,
    can_be_set,
    importable,
    library_of,
    module_of,
    other_name,
    unnamed_types,
    without_module,
)

# The methods of a dataclass, made again by `dataclasses` itself: its own code differs between versions. They are
# made on a class of its own, so that no hook of the user's runs; what they know of that class becomes the real one.
_GENERATED: Final = """lambda cls, name, fields, options, shown, ready, space: (lambda d, c, over: (lambda made: (
    [(setattr(cell, 'cell_contents', over(cell.cell_contents)), setattr(f, '__wrapped__', cell.cell_contents))
        for f in [made.__dict__.get('__repr__')]
        for cell in getattr(f, '__closure__', None) or () if hasattr(cell.cell_contents, '__code__')],
    [setattr(made.__dataclass_params__, k, v) for k, v in shown.items() if hasattr(made.__dataclass_params__, k)],
    [setattr(cell, 'cell_contents', cls) for f in list(made.__dict__.values())
        for cell in getattr(f, '__closure__', None) or () if cell.cell_contents is made],
    {k: over(v) for k, v in made.__dict__.items()})[-1])(d.make_dataclass(name, [
        (f.name, d.InitVar[object] if f._field_type is d._FIELD_INITVAR else object, c.copy(f)) for f in fields
        if f._field_type is not d._FIELD_CLASSVAR],
        namespace={'__post_init__': None} if ready else {}, **options)))(
    __import__('dataclasses'), __import__('copy'), lambda f: f if getattr(
        getattr(f, '__code__', None), 'co_filename', '') != '<string>' else (lambda g: (
            setattr(g, '__kwdefaults__', f.__kwdefaults__), g)[-1])(type(f)(
                f.__code__, space, f.__name__, f.__defaults__, f.__closure__)))"""

_generated: Final = eval(_GENERATED)  # noqa: S307  (a constant, by which the writer checks what a reader will get)

# Where `type` or another metaclass has a property of that name, which setting the attribute would ask. Python notes
# that a class has changed when something is set the usual way.
_SET_MASKED: Final = """lambda cls, name, value: (
    __import__('gc').get_referents(type.__dict__['__dict__'].__get__(cls))[0].update({name: value}),
    type.__setattr__(cls, ' ', None), type.__delattr__(cls, ' '))"""

_REPLACE_NAMES: Final = "('__replace__',) if hasattr(__import__('dataclasses'), '_replace') else ()"
_REPLACE_VALUES: Final = "(getattr(__import__('dataclasses'), '_replace', None),)"
_OF_GENERIC: Final = ("__type_params__", "__orig_bases__", "__parameters__")
_OF_ENUMS: Final = ("_new_member_", "__new_member__", "_generate_next_value_", "_use_args_")
_OF_MIXED_ENUMS: Final = ("_member_type_", "_value_repr_", "__new__", "__reduce_ex__")
_SINGLETONS: Final = (type(None), type(...), type(NotImplemented))
_BEHAVIOUR: Final = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)


class Definitions(Functions):
    """The definitions of one pickle: classes, and the functions of `Functions`."""

    def klass(self, cls: type) -> Any:
        """Reduce a class: by name if it can be imported, else as a skeleton and blocks of attributes."""
        if identity(cls) in self._pending:  # a base of the class being written, whose blocks come with that class
            self._pending.discard(identity(cls))
            return self._skeleton(cls)
        if importable(cls):
            self.note(cls.__module__)
            return NotImplemented
        if cls in _SINGLETONS:
            return NotImplemented
        if identity(cls) in unnamed_types():
            return getattr, unnamed_types()[identity(cls)]
        if (name := other_name(cls)) is not None:
            self.note(cls.__module__)
            return getattr, (sys.modules[cls.__module__], name)
        if not library_of(cls):
            return without_module(cls)
        if not can_be_set(cls):
            raise NotPicklableError(f"the type {cls.__qualname__} has no name by which it can be imported")
        maker = maker_of(cls)
        if maker is None:
            return self._by_cloudpickle(cls)
        family = [member for member in self._family(cls).values() if identity(member) not in self._written]
        self._written.update(map(identity, family))
        self._pending.update(map(identity, family[:-1]))
        blocks = Later(lambda _: (tuple, (tuple(block for member in family for block in self._all_blocks(member)),)))
        return (*self._skeleton(cls), (blocks,), None, None, operator.is_)

    def _all_blocks(self, cls: type) -> Iterator[Any]:
        yield from self._class_blocks(cls)
        yield Later(lambda _: (tuple, (self._end_of(cls),)))

    def _end_of(self, cls: type) -> tuple[()]:
        """From here on the methods of a class are met where they are: in the class, which may be a live one."""
        for name, value in vars(cls).items():
            function = function_in(value)
            self._methods.pop(identity(function), None)
            if self._generated.get(identity(function), ("", ""))[1] == name:
                self._generated[identity(function)] = Form(vars, cls), name
        return ()

    def _method(self, cls: type, value: Any) -> Any:
        """What is written for an attribute of a class: for a method something that is not the method itself."""
        function = function_in(value)
        if type(function) is not types.FunctionType:
            return value
        generated = self._generated.get(identity(function))
        if generated is None and method_of(function, self.namespace, self._makers) is not cls:
            return value
        method = self._methods.get(identity(function))
        if method is None:
            build = self._by_value if generated is None else self._by_dataclass
            method = self._methods[identity(function)] = Later(functools.partial(build, function))
        if function is value:
            return method
        form, _ = self._forms.setdefault(("method", identity(value)), (Form(type(value), method), value))
        return form

    def _family(self, cls: type) -> dict[int, type]:
        """The classes that the skeleton of `cls` needs and that are written by value, by `id`, `cls` last."""
        family: dict[int, type] = {}
        for parent in (*cls.__bases__, type(cls)):
            if identity(parent) in self.set_aside or by_reference(parent):
                continue
            if maker_of(parent) is not None:
                family |= self._family(parent)
        family[identity(cls)] = cls
        return family

    def _skeleton(self, cls: type) -> Reduced:
        token = self.token(cls)
        if isinstance(cls, enum.EnumType):
            made = self._enum_skeleton(cls)
        elif is_namedtuple(cls):
            made = self._namedtuple_skeleton(cls)
        else:
            own: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
            if "__slots__" in vars(cls):
                own["__slots__"] = slots(cls)
            if LAZY and "__annotations__" in vars(cls):
                own["__annotations__"] = {}  # where nothing stands by this name, Python puts them elsewhere
            # a place for each attribute, so that they stay in order; what Python itself looks at comes when it is whole
            own |= {name: None for name, _ in attributes_of(cls) if not (name[:2] == "__" == name[-2:] or name in own)}
            if typing.Generic in cls.__bases__:
                own["__orig_bases__"] = ()  # else its __init_subclass__ complains; the real ones are set with the rest
            name = self._without_hooks(cls)
            made = Form(CALL, maker_of(cls), type(cls), name, cls.__bases__, own)
        return CALL, (operator.getitem, {token: made}, token)

    def _without_hooks(self, cls: type) -> Any:
        """The name of the class, after the bases' ``__init_subclass__`` are switched off for a plain reader."""
        off: list[Form] = []
        for base, _ in hooks(cls.__mro__[1:]):
            if by_reference(base):
                off.append(self._hook_of(base))  # remembers it
            off.append(Form(CALL, type.__setattr__, base, "__init_subclass__", NO_HOOK))
        return Form(operator.getitem, (cls.__name__, *off), 0) if off else cls.__name__

    def _hook_of(self, base: type) -> Form:
        """The hook of a library's class, as it stands there."""
        key = "hook", identity(base)
        if key not in self._forms:
            self._forms[key] = Form(operator.getitem, Form(vars, base), "__init_subclass__")
        return typing.cast(Form, self._forms[key])

    def _class_blocks(self, cls: type) -> Iterator[Form]:
        """What is set on a class once it exists: methods first, since values may be instances that need them."""
        for base, hook in hooks(cls.__mro__[1:]):
            own = self._hook_of(base) if by_reference(base) else hook
            yield self.block(type.__setattr__, base, {"__init_subclass__": own})
        attributes = dict(attributes_of(cls))
        self.note_dicts(cls)
        if "__dataclass_fields__" in attributes:
            self._note_generated(cls)
        if is_namedtuple(cls):
            attributes["__qualname__"] = cls.__qualname__
            if "__new__" in attributes and has_new_of_namedtuple(cls):  # of which the defaults were set
                defaults = attributes.pop("__new__").__func__.__defaults__
                yield self.block(setattr, Form(getattr, cls, "__new__"), {"__defaults__": defaults}, cls)
            if cls.__bases__ != (tuple,):  # a generic one, which `typing` makes in the same way
                yield self.block(type.__setattr__, cls, {"__bases__": cls.__bases__})
                generic = Form(vars, typing.Generic)
                attributes["__class_getitem__"] = Form(operator.getitem, generic, "__class_getitem__")
        if "__slots__" in attributes and not isinstance(attributes["__slots__"], str | tuple | list | dict):
            del attributes["__slots__"]
        if attributes.get("__replace__") is getattr(dataclasses, "_replace", self):
            del attributes["__replace__"]
        way = enum_way(cls) if isinstance(cls, enum.EnumType) else None
        made = {} if way is None else vars(way.twin)
        if way is not None and way.bases != cls.__bases__:
            yield self.block(type.__setattr__, cls, {"__bases__": cls.__bases__})
        attributes = {name: value for name, value in attributes.items() if made.get(name, self) is not value}
        variables: dict[str, Any] = {name: attributes.pop(name) for name in _OF_GENERIC if name in attributes}
        if variables:  # first: `C[int]` may be in any other attribute
            yield self.block(type.__setattr__, cls, variables)
        masked = {name: attributes.pop(name) for name in [*attributes] if is_masked(cls, name)}
        if masked:
            its = {name: self._method(cls, value) for name, value in masked.items()}
            yield self.block(self.evaluated(_SET_MASKED), cls, its)
        behaviour = {n: self._method(cls, value) for n, value in attributes.items() if isinstance(value, _BEHAVIOUR)}
        rest = {name: value for name, value in attributes.items() if name not in behaviour}
        if behaviour:
            yield self.block(type.__setattr__, cls, behaviour)
        for name in behaviour:
            if type(attributes[name]) in WRAPPERS and (own := attributes_of_wrapper(attributes[name])):
                yield self.block(setattr, Form(operator.getitem, Form(vars, cls), name), own)
        for together in _one_after_another(rest):
            yield self.block(type.__setattr__, cls, together)
        if is_namedtuple(cls):  # where `typing` made it, it tells the types of its arguments
            new: Any = cls.__new__
            told = {"__annotate__": annotate_of(new), "__annotations__": annotations_of(new)}
            if told := {name: value for name, value in told.items() if value}:
                yield self.block(setattr, Form(getattr, cls, "__new__"), told, cls)
        if "__dataclass_fields__" in attributes:
            yield from self._dataclass_blocks(cls)
        if way is not None:
            yield from self._enum_blocks(cls, way)
        if isinstance(cls, type(typing.Protocol)):
            yield from self._protocol_blocks(cls)
        if isinstance(cls, abc.ABCMeta):
            yield from self._registrations(cls)
        if "__pydantic_generic_metadata__" in attributes:
            yield from self._parametrized(cls, **attributes["__pydantic_generic_metadata__"])

    def _parametrized(self, cls: Any, origin: Any, args: tuple[Any, ...], **_: Any) -> Iterator[Form]:
        """Let pydantic find this class again when the notebook writes ``Model[int]``."""
        keep = getattr(sys.modules.get("pydantic._internal._generics"), "set_cached_generic_type", None)
        if args and keep is not None:
            yield Form(CALL, FROM_KEYS, Form(map, keep, (origin,), (args,), (cls,), (origin,), (args,)), cls)

    def _protocol_blocks(self, cls: Any) -> Iterator[Form]:
        """Let `typing` look at the members, now that they are there; what it keeps differs between versions."""
        look = Form(getattr, type(typing.Protocol), "__init__")
        yield Form(CALL, FROM_KEYS, Form(map, look, (cls,), (cls.__name__,), (cls.__bases__,), ({},)), cls)
        if vars(cls).get("_is_runtime_protocol"):
            yield Form(CALL, FROM_KEYS, Form(map, typing.runtime_checkable, (cls,)), cls)

    def _registrations(self, cls: abc.ABCMeta) -> Iterator[Form]:
        registry: set[Any] = _abc._get_dump(cls)[0]
        classes = [sub for ref in registry if (sub := ref()) is not None]
        if classes:
            classes.sort(key=lambda sub: (sub.__module__, sub.__qualname__))
            setting = Form(map, abc.ABCMeta.register, Form(itertools.repeat, cls), tuple(classes))
            yield Form(CALL, FROM_KEYS, setting, None)  # also with a live class: the token says nothing of these

    # dataclasses, named tuples

    def _note_generated(self, cls: type) -> None:
        """Have the generated methods of a dataclass made again by the reader's `dataclasses`."""
        made = {name: value for name, value in vars(cls).items() if is_generated(cls, name, value)}
        shown = {name: getattr(cls.__dataclass_params__, name) for name in params(cls)}  # type: ignore[attr-defined]
        options = {
            "order": not made.keys().isdisjoint(("__lt__", "__le__", "__gt__", "__ge__")),
            "unsafe_hash": "__hash__" in made,
            "frozen": "__setattr__" in made,
            "slots": "__slots__" in vars(cls),
        }
        ready = "__init__" in made and "__post_init__" in made["__init__"].__code__.co_names
        fields = tuple(vars(cls)["__dataclass_fields__"].values())
        space = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else self.namespace
        where = (
            self.shell
            if space is self.namespace or not module_of(space)
            else self.attribute(cls.__module__, "__dict__")
        )
        try:
            again = _generated(cls, cls.__name__, fields, options, shown, ready, space)
        except (TypeError, ValueError, AttributeError):  # fields that were changed into what `dataclasses` refuses
            fields, again = (), {}
        table = Form(self.evaluated(_GENERATED), cls, cls.__name__, fields, options, shown, ready, where)
        self._forms["generated", identity(cls)] = table
        for name, value in made.items():
            if is_same_function(value, again.get(name)):
                self._generated[identity(value)] = table, name

    def _dataclass_blocks(self, cls: type) -> Iterator[Form]:
        table = self._forms["generated", identity(cls)]
        yield self.block(
            type.__setattr__, cls, {"__dataclass_params__": Form(operator.getitem, table, "__dataclass_params__")}
        )
        names, values = self.evaluated(_REPLACE_NAMES), self.evaluated(_REPLACE_VALUES)
        if "__replace__" not in vars(cls) or vars(cls)["__replace__"] is getattr(dataclasses, "_replace", self):
            setting = Form(map, type.__setattr__, Form(itertools.repeat, cls), names, values)
            yield Form(CALL, FROM_KEYS, setting, cls)

    def _namedtuple_skeleton(self, cls: Any) -> Form:
        defaults = defaults_of_namedtuple(cls)
        # An invalid field name was accepted with rename=True, which then changes nothing in the names it gave.
        maker = functools.partial(collections.namedtuple, rename=True, defaults=defaults, module=cls.__module__)
        return Form(CALL, maker, cls.__name__, cls._fields)

    # enums

    def _enum_skeleton(self, cls: Any) -> Form:
        way: Any = enum_way(cls)
        own = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **way.values}
        classdict = Items(Form(enum.EnumType.__prepare__, cls.__name__, way.bases), own)
        maker: Any = enum.EnumType.__new__
        if issubclass(cls, enum.Flag):
            maker = functools.partial(maker, boundary=cls._boundary_)
        return Form(CALL, maker, type(cls), self._without_hooks(cls), way.bases, classdict)

    def _enum_blocks(self, cls: Any, way: EnumWay) -> Iterator[Form]:
        twin = way.twin
        for name in _OF_ENUMS if way.bases == cls.__bases__ else (*_OF_ENUMS, *_OF_MIXED_ENUMS):
            # from Python 3.12 on each class has `_generate_next_value_` in a static method of its own
            if name in vars(cls) and function_in(vars(cls)[name]) is not function_in(vars(twin).get(name)):
                yield self.block(type.__setattr__, cls, {name: self._of_enum(cls, name)})
        for name, member in cls._member_map_.items():
            if name != member._name_:
                continue
            its, other = vars(member), vars(twin._member_map_[name])
            same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(its, other, strict=False)))
            late = [*its][same:] if [*other][same:] else []  # what an ``__init__`` set comes before what enum adds
            if late:
                yield self.block(dict.pop, Form(vars, member), dict.fromkeys([*other][same:]), cls)
            extra = {
                k: v for k, v in its.items() if k in late or (k != "__objclass__" and not equal(other.get(k, cls), v))
            }
            if extra:
                yield self.block(object.__setattr__, member, extra, cls)
        own = {v: m for v, m in cls._value2member_map_.items() if m._name_ in cls._member_map_}
        if list(own) != [v for v, m in twin._value2member_map_.items() if m._name_ in twin._member_map_]:
            yield self.block(type.__setattr__, cls, {"_value2member_map_": own})
        for name in ("_unhashable_values_", "_hashable_values_"):
            if vars(cls).get(name, [])[:] != vars(twin).get(name, []):
                yield self.block(type.__setattr__, cls, {name: vars(cls)[name]})
        if values := vars(cls).get("_unhashable_values_map_"):  # from Python 3.13 on; that of a twin is empty
            yield self.block(type.__setattr__, cls, {"_unhashable_values_map_": values})

    def _of_enum(self, cls: type, name: str) -> Any:
        """What is written for an attribute that `enum` took from a base, or from the body of the class."""
        value = vars(cls)[name]
        base = next((base for base in cls.__mro__[1:] if vars(base).get(name, self) is value), None)
        if base is not None:
            return Form(operator.getitem, Form(vars, base), name)
        return value if identity(function_in(value)) in self._generated else self._method(cls, value)

    def member(self, member: Any) -> Any:
        """Reduce a member of an enum: by name in its class, or a combination of flags by value."""
        cls = type(member)
        if importable(cls):
            return NotImplemented
        name = member._name_
        if name is not None and cls._member_map_.get(name) is member:
            return operator.getitem, (cls, name)
        return cls, (member._value_,)

    # what is left

    def _by_cloudpickle(self, cls: type) -> Any:
        try:
            from cloudpickle import cloudpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise NotPicklableError(
                f"class {cls.__qualname__} has the metaclass {type(cls).__module__}.{type(cls).__qualname__}, "
                "which needs cloudpickle: pip install cloudpickle"
            ) from None
        self.needs.add("cloudpickle")
        reduced = cloudpickle._dynamic_class_reduce(cls)
        token = self.token(cls)
        if token is None:
            return reduced
        maker, args, state, _, _, setter = reduced  # as a skeleton and blocks: a class of this kernel takes its place
        made = Form(CALL, Form(functools.partial, maker, *args))  # whose metaclass meets the hooks of the bases
        setting = Form(map, setter, (cls,), (state,))
        return (
            CALL,
            (operator.getitem, {token: made}, token),
            (Form(CALL, FROM_KEYS, setting, cls),),
            None,
            None,
            operator.is_,
        )


def _one_after_another(attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The attributes of a class in parts: a value that has a ``__setstate__`` may ask the class for those before."""
    part: dict[str, Any] = {}
    for name, value in attributes.items():
        if part and hasattr(type(value), "__setstate__"):
            yield part
            part = {}
        part[name] = value
    if part:
        yield part
