"""Tokens: a plain definition of the notebook told by what it is, and the digest that says so."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import itertools
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.annotations import (
    KEPT,
    annotated,
    annotating,
    annotation_texts,
    annotations_of,
    annotations_of_class,
    contents,
    name_of,
)
from ckpt_magic.values.pickles.forms import Token
from ckpt_magic.values.pickles.parts import (
    CONSTANTS,
    WRAPPERS,
    attributes_of,
    attributes_of_wrapper,
    code_parts,
    function_in,
)
from ckpt_magic.values.pickles.references import ATOMS, by_reference, importable, module_of


def is_plain_definition(obj: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether `obj` is a notebook function or class that reaches nothing mutable.

    Such a definition is one object per kernel, found by its token, and does not tie names together.

    Parameters
    ----------
    obj
        Anything.
    namespace
        The namespace of the notebook; its functions have it as their globals.
    """
    return is_named(obj, namespace) and _plain(obj, namespace, set(), "")


def is_named(obj: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether `obj` is a function or class of the notebook whose name can tell it.

    A method belongs to its class, and a lambda or a local function is made anew each time its line runs.
    """
    kind = type(obj)
    if kind is types.FunctionType:
        return obj.__globals__ is namespace and obj.__qualname__.isidentifier() and not obj.__closure__
    return issubclass(kind, type) and "<" not in obj.__qualname__ and not by_reference(obj)


def _plain(obj: Any, namespace: Mapping[str, Any], seen: set[int], body: str) -> bool:
    """Whether `obj` reaches nothing that can change in place, what belongs to the machinery of classes aside.

    Nor anything that another name may hold: a lambda, or what a call made. `body` is the class whose own methods are.
    """
    kind = type(obj)
    if kind in ATOMS or identity(obj) in seen:
        return True
    seen.add(identity(obj))
    if kind is types.FunctionType and not is_named(obj, namespace):
        if not (body and obj.__qualname__.startswith(body)) and not importable(obj):
            return False
    elif issubclass(kind, type):
        body = f"{obj.__qualname__}."
    parts = plain_parts(obj, namespace)
    return parts is not None and all(_plain(part, namespace, seen, body) for part in parts)


def telling_parts(obj: Any, namespace: Mapping[str, Any], maker_of: Callable[[Any], str]) -> tuple[Any, ...] | None:
    """What tells a simple definition of the notebook, which is plain; None for all others.

    While these are the same objects (they can be compared by `is`), its digest is the same, too: code, names and atoms,
    which do not change in place, and who made its bases, as `maker_of` says. Neither the definition is among them nor
    any function: who keeps the parts in mind keeps nothing alive that somebody may hold weakly.
    """
    if type(obj) is types.FunctionType:
        return _parts_of_function(obj, namespace, None) if is_named(obj, namespace) else None
    if type(obj) is not type or obj.__module__ != "__main__" or "<" in obj.__qualname__:
        return None
    found: list[Any] = [obj.__qualname__, obj.__name__]
    for base in obj.__bases__:
        if by_reference(base):
            found.append(base)
        elif (inherited := telling_parts(base, namespace, maker_of)) is not None:
            found += (maker_of(base), *inherited)
        else:
            return None
    for name, value in vars(obj).items():
        parts = _parts_of_attribute(name, value, obj, namespace)
        if parts is None:
            return None
        found += (name, type(value), *parts)
    return tuple(found)


def _parts_of_attribute(name: str, value: Any, cls: type, namespace: Mapping[str, Any]) -> Iterable[Any] | None:
    kind = type(value)
    if is_of_atoms(value):
        return (value,)
    if kind in (types.GetSetDescriptorType, types.MemberDescriptorType):  # they hold the class
        return () if value.__objclass__ is cls else None
    if name in ("__annotations__", KEPT):
        return _parts_of_annotations(annotations_of_class(cls) or {})
    if kind in WRAPPERS and attributes_of_wrapper(value):
        return None
    functions = (value.fget, value.fset, value.fdel) if kind is property else (function_in(value),)
    found: list[Any] = []
    for function in functions:
        if function is None:
            found.append(None)
            continue
        if type(function) is not types.FunctionType or not function.__qualname__.startswith(f"{cls.__qualname__}."):
            return None
        parts = _parts_of_function(function, namespace, cls)
        if parts is None:
            return None
        found += parts
    return found


def _parts_of_function(
    function: types.FunctionType, namespace: Mapping[str, Any], cls: type | None
) -> tuple[Any, ...] | None:
    if function.__globals__ is not namespace or function.__module__ != "__main__" or vars(function):
        return None
    if function.__closure__ and any(content is not cls for content in contents(function)):  # `super` holds the class
        return None
    named = (function.__kwdefaults__ or {}).items()
    if not all(map(is_of_atoms, (function.__doc__, function.__defaults__, *(value for _, value in named)))):
        return None
    annotations = _parts_of_annotations(annotations_of(function))
    if annotations is None:
        return None
    names = function.__name__, function.__qualname__, function.__doc__
    code = function.__code__, *annotating(function)
    return *names, *code, function.__defaults__, *itertools.chain.from_iterable(named), *annotations


def _parts_of_annotations(annotations: Any) -> Iterable[Any] | None:
    if type(annotations) is not dict or any(annotated(annotations)):
        return None
    for value in annotations.values():
        kind = type(value)
        if kind is not str and not issubclass(kind, type) and kind.__module__ not in ("typing", "types"):
            return None
    return itertools.chain.from_iterable(annotations.items())


def is_of_atoms(value: Any) -> bool:
    """Whether a value is an atom, or a tuple of these: nobody can change it."""
    kind = type(value)
    return kind in ATOMS or (kind is tuple and ATOMS.issuperset(map(type, value)))


def plain_parts(obj: Any, namespace: Mapping[str, Any]) -> Iterable[Any] | None:
    """What an immutable object consists of; none if it can change in place, or is not known."""
    kind = type(obj)
    if kind in (tuple, frozenset):
        return typing.cast("Iterable[Any]", obj)
    if kind is types.FunctionType:
        if importable(obj):
            return ()
        if obj.__globals__ is not namespace and not module_of(obj.__globals__):
            return None
        named = *(obj.__kwdefaults__ or {}).values(), *vars(obj).values()
        return [obj.__defaults__, *named, *contents(obj), *annotated(annotations_of(obj))]
    if kind in WRAPPERS:
        return [obj.__func__, *attributes_of_wrapper(obj).values()]
    if kind is property:
        return [obj.fget, obj.fset, obj.fdel]
    if kind is functools.cached_property:
        return [obj.func]
    if issubclass(kind, enum.Enum):
        return [kind, *(value for name, value in vars(obj).items() if name != "__objclass__")]
    if issubclass(kind, type):
        if by_reference(obj):
            return []
        own = [value for _, value in attributes_of(obj, for_digest=True)]
        return [*obj.__bases__, kind, *own, *_spoken_of(obj)]
    if by_reference(obj) or kind in _UNCHANGING or kind.__module__ == "typing":
        return ()
    if kind is dataclasses.Field:
        return [obj.default, obj.default_factory, *obj.metadata.values()]
    if kind.__module__ in ("dataclasses", "datetime", "decimal", "fractions", "pathlib", "uuid"):
        return ()
    return None


def definition_token(
    obj: Any, namespace: Mapping[str, Any], maker: str = "", maker_of: Callable[[Any], str] | None = None
) -> Token:
    """Name a notebook function or class by what it is: its qualified name, a digest of its definition, its maker.

    Line numbers and file names do not count; with `maker_of` the makers of the definitions that it uses do. The digest
    holds for one minor version of Python.
    """
    digest = hashlib.blake2b(digest_size=16)
    _digest(obj, namespace, digest.update, [], maker_of)
    return kind_of(obj), obj.__qualname__, digest.hexdigest(), maker


def lean_digest(obj: Any, namespace: Mapping[str, Any], maker_of: Callable[[Any], str] | None) -> str:
    """Digest of a definition of the notebook without what documents it."""
    digest = hashlib.blake2b(digest_size=16)
    _digest(obj, namespace, digest.update, [], maker_of, _lean_parts)
    return digest.hexdigest()


def code_digest(code: types.CodeType) -> bytes:
    """Digest of what code does, whatever file and lines it stands in; for one minor version of Python."""
    digest = hashlib.blake2b(digest_size=16)
    _digest(code, {}, digest.update, [], None)
    return digest.digest()


def _spoken_of(cls: type) -> Iterator[Any]:
    """What the annotations of a class speak of, and its bases as they were written: `G[C]`, or what stood for one."""
    bases = vars(cls).get("__orig_bases__", ())
    yield from annotated(annotations_of_class(cls))
    yield from annotated(dict(enumerate(bases)))
    yield from (base for base in bases if not issubclass(kind := type(base), type) and kind.__module__ not in _ALIASES)


_UNCHANGING: Final = (re.Pattern, types.CodeType, types.GenericAlias)
OF_MEMBERS: Final = frozenset({"_name_", "_value_", "__objclass__", "_sort_order_"})
"""The attributes that each member of an enum has."""
_ALIASES: Final = ("typing", "types")


def names_of(cls: type) -> str:
    """The qualified name of a class, its name if that is another one, and the module that its body may have named."""
    own, name, module = cls.__qualname__, cls.__name__, cls.__module__
    names = own if own.rpartition(".")[2] == name else f"{own} {name}"
    return names if module == "__main__" else f"{names} {module}"


def kind_of(obj: Any) -> str:
    """The first word of a token."""
    return "class" if issubclass(type(obj), type) else "function"


def _digest(
    obj: Any,
    namespace: Mapping[str, Any],
    put: Callable[[bytes], None],
    path: list[Any],
    maker_of: Callable[[Any], str] | None,
    parts_of: Callable[[Any, Mapping[str, Any]], Iterable[Any]] | None = None,
) -> None:
    """Feed what defines `obj` to `put`; `path` are the objects being looked into, to survive cycles."""
    kind = type(obj)
    put(b"(" + kind.__name__.encode())
    if kind in ATOMS:
        put(repr(obj).encode("utf-8", "surrogatepass"))
    elif any(obj is outer for outer in path):
        put(b"^%d" % next(i for i, outer in enumerate(path) if outer is obj))
    else:
        if path and maker_of is not None and is_named(obj, namespace):
            put(maker_of(obj).encode())
        path.append(obj)
        for part in (parts_of or _digest_parts)(obj, namespace):
            _digest(part, namespace, put, path, maker_of, parts_of)
        path.pop()
    put(b")")


def _lean_parts(obj: Any, namespace: Mapping[str, Any]) -> Iterable[Any]:
    """What defines `obj`, its documentation aside."""
    kind, parts = type(obj), _digest_parts(obj, namespace)
    if by_reference(obj):
        return parts
    if kind is types.FunctionType:
        names, where, code, *others = parts
        if obj.__doc__ is not None and code.co_consts[:1] == (obj.__doc__,):
            code = code.replace(co_consts=(None, *code.co_consts[1:]))
        return [names[:3], where, code, *others]
    if issubclass(kind, type):
        return [one for one in parts if type(one) is not tuple or one[:1] != ("__doc__",)]
    return [obj.fget, obj.fset, obj.fdel] if kind is property else parts


def _digest_parts(obj: Any, namespace: Mapping[str, Any]) -> Iterable[Any]:
    """What defines `obj`, as objects that can be digested in turn. What can change in place is not entered."""
    kind = type(obj)
    if by_reference(obj):
        return [name_of(obj)]
    if kind is tuple:
        return typing.cast("Iterable[Any]", obj)
    if kind is types.CodeType:
        others = [part for at, part in enumerate(code_parts(obj)) if at != CONSTANTS]
        return [repr(others if obj.co_consts else [part for part in others if part != ()]), obj.co_consts]
    if kind is types.FunctionType:
        where = "" if obj.__globals__ is namespace else str(obj.__globals__.get("__name__"))
        named = sorted([*(obj.__kwdefaults__ or {}).items(), *vars(obj).items()], key=operator.itemgetter(0))
        names = obj.__name__, obj.__qualname__, obj.__module__, obj.__doc__
        told = annotations_of(obj)
        annotations = annotation_texts(told), *annotated(told), *annotating(obj)
        return [names, where, obj.__code__, obj.__defaults__, *named, *contents(obj), *annotations]
    if issubclass(kind, type):
        attributes = sorted(attributes_of(obj, for_digest=True), key=operator.itemgetter(0))
        return [names_of(obj), kind, obj.__bases__, *attributes, *_spoken_of(obj)]
    if issubclass(kind, enum.Enum):
        shown = repr(obj._value_)
        more = sorted(vars(obj).keys() - OF_MEMBERS)
        return [kind, str(obj._name_), obj._value_ if " at 0x" in shown else shown, *more, *map(vars(obj).get, more)]
    if kind is frozenset:
        return sorted(map(repr, obj))
    if kind is property:
        own = [] if obj.__doc__ == getattr(obj.fget, "__doc__", None) else [obj.__doc__]
        return [obj.fget, obj.fset, obj.fdel, *own]
    if kind in WRAPPERS:
        return [obj.__func__, *itertools.chain.from_iterable(attributes_of_wrapper(obj).items())]
    if kind is functools.cached_property:
        return [obj.func]
    if kind is dataclasses.Field:
        more = [*["kw_only"] * (obj.kw_only is True), *itertools.chain.from_iterable(obj.metadata.items())]
        return [obj.name, obj.default, obj.default_factory, repr((obj.init, obj.repr, obj.hash, obj.compare)), *more]
    text = repr(obj) if plain_parts(obj, namespace) == () else " at 0x"
    return [name_of(obj) if " at 0x" in text else text]
