"""What a notebook defines, written as calls that the standard library can make.

Functions, closures, code, classes and enums become reductions that plain ``pickle.load`` executes where nothing is
installed. `Definitions` builds them for one pickle, `Forms` is what our own loader puts in place of the one callable
that they share. Knows no file and no top form (see `pickling`).

A definition is written as ``call(getitem, {token: made}, token)`` followed by blocks of attributes that are set
eagerly, each ``call(dict.fromkeys, map(setattr, repeat(made), names, values), made)``. ``call`` is
`operator.call`: a plain reader just executes it, our loader sees the token before the attributes. Definitions are
written where they are first met; those that a class needs to exist (bases, metaclass) come as bare classes inside it,
and all their attributes after it.
"""

from __future__ import annotations
import __future__

import _abc  # type: ignore[import-not-found]  # no stubs
import abc
import collections
import collections.abc
import contextlib
import dataclasses
import enum
import functools
import hashlib
import importlib.util
import itertools
import linecache
import marshal
import operator
import re
import sys
import types
import typing
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError

# ("class" | "function", qualified name, digest of the definition, who made it: see `Makers`)
Token = tuple[str, str, str, str]
Reduced = tuple[Any, ...]

ATOMS: Final = frozenset({int, float, complex, str, bytes, bool, range, type(None), type(...), type(NotImplemented)})

# --- the expressions that a reader evaluates; builtins only, and text, since any Python version must compile them ---

_SAME: Final = "__import__('importlib.util').util.MAGIC_NUMBER == magic"
# In 3.12 list, set and dict comprehensions lost their own scope: names inside them are compared without it.
_PLAIN: Final = "__import__('re').sub(r'<(?:list|set|dict)comp>[.]', '', {})"

# Every code object of a cell, outermost first; nothing on the Python that wrote the file, which has them marshalled.
_COMPILED: Final = f"""lambda magic, source, filename, flags: (
    lambda walk: [] if {_SAME} else walk(walk, compile(source, filename, 'exec', flags, True)))(
    lambda walk, code: [code] + [
        inner for const in code.co_consts if hasattr(const, 'co_consts') for inner in walk(walk, const)])"""

# The same for an importable module, for functions that its functions made: the code of the module that is there.
_INSTALLED: Final = f"""lambda magic, name: (
    lambda walk: [] if {_SAME} else walk(
        walk, __import__('importlib.util').util.find_spec(name).loader.get_code(name)))(
    lambda walk, code: [code] + [
        inner for const in code.co_consts if hasattr(const, 'co_consts') for inner in walk(walk, const)])"""

# One code object: the marshalled one on the Python that wrote it (on another it would crash the interpreter), else
# the one at its place in the compiled source, else one that says why it is not there.
_LOADED: Final = f"""lambda magic, data, codes, qualname, line, index, free, written_by: (
    __import__('marshal').loads(data) if {_SAME} else ([
        code for code in codes if {_PLAIN.format("code.co_qualname")} == qualname
        and line in (0, code.co_firstlineno) and len(code.co_freevars) == free][index:index + 1] or [
        code for code in compile('def made(' + ', '.join('v%d' % i for i in range(free)) + '):' + chr(10)
            + ' def stub(*args, **kwargs):' + chr(10)
            + '  (' + ''.join('v%d, ' % i for i in range(free)) + ')' + chr(10)
            + '  raise RuntimeError(' + repr('`' + qualname + '` was written by Python ' + written_by
            + ' without its source and cannot run on another version; run the step again') + ')',
            '<ckpt_magic>', 'exec').co_consts[0].co_consts if hasattr(code, 'co_consts')])[0])"""

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
_REPLACE_NAMES: Final = "('__replace__',) if hasattr(__import__('dataclasses'), '_replace') else ()"
_REPLACE_VALUES: Final = "(getattr(__import__('dataclasses'), '_replace', None),)"

# The writer checks its own work with the reader's expressions.
_compiled: Final = eval(_COMPILED)  # noqa: S307
_installed: Final = eval(_INSTALLED)  # noqa: S307

_TOP_LEVEL_AWAIT: Final = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, which IPython's cells are compiled with
_MAGIC: Final = importlib.util.MAGIC_NUMBER
_PYTHON: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"
_FROM_KEYS: Final = dict.fromkeys  # one object, so that the pickler remembers it
_NO_HOOK: Final[Any] = classmethod(id)

_MACHINERY: Final = frozenset(
    {"__dict__", "__weakref__", "__module__", "__qualname__", "_abc_impl", "__dataclass_params__", "__slotnames__"}
)  # copyreg notes __slotnames__ on a class when the first instance is pickled
_GENERATED_NAMES: Final = frozenset(
    "__init__ __repr__ __eq__ __lt__ __le__ __gt__ __ge__ __hash__ __setattr__ __delattr__".split()
)
_ENUM_MACHINERY: Final = frozenset(
    "_member_names_ _member_map_ _value2member_map_ _unhashable_values_ _hashable_values_ _unhashable_values_map_ "
    "_member_type_ _generate_next_value_ _use_args_ _value_repr_ _flag_mask_ _all_bits_ _singles_mask_ _boundary_ "
    "_iter_member_ _inverted_ _order_ _sort_order_ __new__ __dataclass_params__".split()
)


class Call:
    """Stands for `operator.call` in our own forms, so that one which the user holds can be told apart."""

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Any:
        return function(*args)


CALL: Final = Call()


class Form:
    """A call to be made by the reader: ``function(*args)``. Remembered by the pickler like any object."""

    __slots__ = ("reduced",)

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced: Reduced = (function, args)

    def __call__(self, *args: Any) -> Any:  # the pickler asks that what it calls is callable
        raise NotImplementedError


class Owned:
    """An object that a library owns, and where a reader finds it.

    Attributes
    ----------
    value
        The object, held: it is known by its `id`.
    owner, name
        The module or class, and the attribute.
    place
        Given if the attribute holds something else at present: our loader asks for the original of this place.
    """

    __slots__ = ("name", "owner", "place", "value")

    def __init__(self, value: Any, owner: Any, name: str, place: str | None = None) -> None:
        self.value, self.owner, self.name, self.place = value, owner, name, place

    @property
    def reduced(self) -> Reduced:
        """How the object is met again."""
        if self.place is None:
            return getattr, (self.owner, self.name)
        token = "original", self.place, ""
        return CALL, (operator.getitem, {token: Form(getattr, self.owner, self.name)}, token)


# --- questions about definitions ---


def importable(obj: Any) -> bool:
    """Whether pickle would find this class or function by its module and qualified name, also in another kernel."""
    name = getattr(obj, "__qualname__", None)
    module = getattr(obj, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        return False
    # functools.wraps gives a function of the notebook the name of what it is put in place of
    return found is obj and (type(obj) is not types.FunctionType or obj.__globals__.get("__name__") != "__main__")


def library_of(kind: type) -> str:
    """The top package of a class; none for a class that has no name for its module."""
    module: object = kind.__module__
    return module.partition(".")[0] if isinstance(module, str) else ""


def refuse_without_module(cls: type) -> None:
    """Refuse sympy's `Function("f")` and its like: made by a library, which keeps them in its caches."""
    if not library_of(cls):
        raise NotPicklableError(f"the class {cls.__qualname__}, which belongs to no module")


def by_reference(obj: Any) -> bool:
    """Whether `obj`, atoms aside, is written as a name: it has no content of its own to save.

    Modules, importable classes and functions, builtin functions, numpy dtypes and ufuncs.
    """
    kind = type(obj)  # never isinstance: it asks a placeholder for its class
    if issubclass(kind, type):
        return importable(obj) or id(obj) in _unnamed_types()
    if kind is types.FunctionType:
        return importable(obj)
    if kind is types.BuiltinFunctionType:
        owner = obj.__self__
        return owner is None or isinstance(owner, types.ModuleType) or (isinstance(owner, type) and importable(owner))
    if kind in _NAMED_KINDS or issubclass(kind, types.ModuleType):
        return True
    if callable(obj) and hasattr(kind, "__get__") and _asks_nobody(kind) and importable(obj):
        return True  # a function of a compiled library, e.g. numpy.linalg.norm
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ufunc:
        return "(vectorized)" not in obj.__name__  # made by numpy.frompyfunc
    return numpy is not None and issubclass(kind, numpy.dtype) and not obj.hasobject


def _asks_nobody(kind: Any) -> bool:
    """Whether looking at an attribute of such an object runs nobody's code, as it does with a placeholder."""
    return kind.__getattribute__ is object.__getattribute__ and not hasattr(kind, "__getattr__")


_NAMED_KINDS: Final = frozenset(
    {types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType}
)


@functools.lru_cache(maxsize=1)
def _unnamed_types() -> dict[int, str]:
    """The interpreter's types that only `types` has a name for, e.g. `types.FunctionType`: `id` to name."""
    return {
        id(kind): name
        for name, kind in vars(types).items()
        if isinstance(kind, type) and kind.__module__ == "builtins" and not importable(kind)
    }


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
    return _is_named(obj, namespace) and _plain(obj, namespace, set(), "")


def _is_named(obj: Any, namespace: Mapping[str, Any]) -> bool:
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
    if kind in ATOMS or id(obj) in seen:
        return True
    seen.add(id(obj))
    if kind is types.FunctionType and not _is_named(obj, namespace):
        if not (body and obj.__qualname__.startswith(body)) and not importable(obj):
            return False
    elif issubclass(kind, type):
        body = f"{obj.__qualname__}."
    parts = _plain_parts(obj, namespace)
    return parts is not None and all(_plain(part, namespace, seen, body) for part in parts)


def _plain_parts(obj: Any, namespace: Mapping[str, Any]) -> Iterable[Any] | None:
    """What an immutable object consists of; none if it can change in place, or is not known."""
    kind = type(obj)
    if kind in (tuple, frozenset):
        return typing.cast("Iterable[Any]", obj)
    if kind is types.FunctionType:
        if importable(obj):
            return ()
        if obj.__globals__ is not namespace and not _module_of(obj.__globals__):
            return None
        named = *(obj.__kwdefaults__ or {}).values(), *vars(obj).values()
        return [obj.__defaults__, *named, *_contents(obj), *annotated(obj.__annotations__)]
    if kind in (staticmethod, classmethod):
        return [obj.__func__]
    if kind is property:
        return [obj.fget, obj.fset, obj.fdel]
    if kind is functools.cached_property:
        return [obj.func]
    if issubclass(kind, enum.Enum):
        return [kind, *(value for name, value in vars(obj).items() if name != "__objclass__")]
    if issubclass(kind, type):
        own = [] if by_reference(obj) else [value for _, value in attributes_of(obj, for_digest=True)]
        return [] if by_reference(obj) else [*obj.__bases__, kind, *own, *annotated(vars(obj).get("__annotations__"))]
    if by_reference(obj) or kind is re.Pattern or kind.__module__ == "typing" or kind is types.GenericAlias:
        return ()
    if kind is dataclasses.Field:
        return [obj.default, obj.default_factory]
    if kind.__module__ in ("dataclasses", "datetime", "decimal", "fractions", "pathlib", "uuid"):
        return ()
    return None


def annotated(annotations: Any) -> Iterator[type]:
    """The notebook's classes that annotations speak of, also inside ``list[C]`` and the like."""
    todo = list(annotations.values()) if type(annotations) is dict else []
    while todo:
        value = todo.pop()
        kind = type(value)
        if issubclass(kind, type):
            if value.__flags__ & _HEAP_TYPE and not by_reference(value):  # `int` and the like are soon told
                yield value
        elif kind.__module__ in ("typing", "types") and type(args := getattr(value, "__args__", ())) is tuple:
            todo += args


def _contents(function: types.FunctionType) -> Iterator[Any]:
    """What the cells of a closure hold; empty ones hold nothing yet."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _module_of(globals_: dict[str, Any]) -> types.ModuleType | None:
    """The importable module whose dict this is."""
    name = globals_.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    return module if module is not None and vars(module) is globals_ else None


def at(qualified: str, namespace: Mapping[str, Any]) -> Any:
    """What a qualified name means in a namespace; None if nothing."""
    first, *rest = qualified.split(".")
    found = namespace.get(first)
    for part in rest:
        found = vars(found).get(part) if isinstance(found, type) else None
    return found


def method_of(function: types.FunctionType, namespace: Mapping[str, Any], makers: Makers | None = None) -> type | None:
    """The plain class that has this function as its method, as the name of the function says; none if it has not."""
    owner, _, name = function.__qualname__.rpartition(".")
    if not owner or name == "__init_subclass__":  # which is taken from its class for a while: see `_without_hooks`
        return None
    for cls in (at(owner, namespace), *(makers.classes(owner) if makers is not None else ())):
        if issubclass(type(cls), type) and _function_in(vars(cls).get(name)) is function:
            return cls if _maker(cls) is not None and is_plain_definition(cls, namespace) else None
    return None


def _function_in(value: Any) -> Any:
    return value.__func__ if type(value) in (staticmethod, classmethod) else value


def definition_token(
    obj: Any, namespace: Mapping[str, Any], maker: str = "", maker_of: Callable[[Any], str] | None = None
) -> Token:
    """Name a notebook function or class by what it is: its qualified name, a digest of its definition, its maker.

    Line numbers and file names do not count; with `maker_of` the makers of the definitions that it uses do. The digest
    holds for one minor version of Python.
    """
    digest = hashlib.blake2b(digest_size=16)
    _digest(obj, namespace, digest.update, [], maker_of)
    return _kind(obj), obj.__qualname__, digest.hexdigest(), maker


def _kind(obj: Any) -> str:
    return "class" if issubclass(type(obj), type) else "function"


def _digest(
    obj: Any,
    namespace: Mapping[str, Any],
    put: Callable[[bytes], None],
    path: list[Any],
    maker_of: Callable[[Any], str] | None,
) -> None:
    """Feed what defines `obj` to `put`; `path` are the objects being looked into, to survive cycles."""
    kind = type(obj)
    put(b"(" + kind.__name__.encode())
    if kind in ATOMS:
        put(repr(obj).encode("utf-8", "surrogatepass"))
    elif any(obj is outer for outer in path):
        put(b"^%d" % next(i for i, outer in enumerate(path) if outer is obj))
    else:
        if path and maker_of is not None and _is_named(obj, namespace):
            put(maker_of(obj).encode())
        path.append(obj)
        for part in _digest_parts(obj, namespace):
            _digest(part, namespace, put, path, maker_of)
        path.pop()
    put(b")")


def _digest_parts(obj: Any, namespace: Mapping[str, Any]) -> Iterable[Any]:
    """What defines `obj`, as objects that can be digested in turn. What can change in place is not entered."""
    kind = type(obj)
    if by_reference(obj):
        return [_name(obj)]
    if kind is tuple:
        return typing.cast("Iterable[Any]", obj)
    if kind is types.CodeType:
        return [repr([part for part in code_parts(obj) if part is not obj.co_consts]), obj.co_consts]
    if kind is types.FunctionType:
        where = "" if obj.__globals__ is namespace else str(obj.__globals__.get("__name__"))
        named = sorted([*(obj.__kwdefaults__ or {}).items(), *vars(obj).items()], key=operator.itemgetter(0))
        names = obj.__name__, obj.__qualname__, obj.__module__, obj.__doc__
        annotations = annotation_texts(obj.__annotations__)
        return [names, where, obj.__code__, obj.__defaults__, *named, *_contents(obj), annotations]
    if issubclass(kind, type):
        attributes = sorted(attributes_of(obj, for_digest=True), key=operator.itemgetter(0))
        return [obj.__qualname__, kind, obj.__bases__, *attributes]
    if issubclass(kind, enum.Enum):
        return [kind, str(obj._name_), repr(obj._value_)]
    if kind is frozenset:
        return sorted(map(repr, obj))
    if kind is property:
        return [obj.fget, obj.fset, obj.fdel]
    if kind in (staticmethod, classmethod):
        return [obj.__func__]
    if kind is functools.cached_property:
        return [obj.func]
    if kind is dataclasses.Field:
        return [obj.name, obj.default, obj.default_factory, repr((obj.init, obj.repr, obj.hash, obj.compare))]
    text = repr(obj) if _plain_parts(obj, namespace) == () else " at 0x"
    return [_name(obj) if " at 0x" in text else text]


def annotation_texts(annotations: Mapping[str, Any]) -> tuple[str, ...]:
    """Annotations as texts: what they mean is seldom asked, and never changes in place."""
    texts = []
    for name, value in annotations.items():
        kind = type(value)
        if issubclass(kind, type):
            text = _name(value)
        elif kind is str:
            text = repr(value)
        else:
            text = str(value) if kind.__module__ in ("typing", "types") else kind.__qualname__
        texts.append(f"{name}: {text}")
    return tuple(texts)


def _name(obj: Any) -> str:
    """A stable name for what is written as a reference."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    return f"{module or getattr(obj, '__objclass__', '')}.{name or type(obj).__qualname__}"


def code_parts(code: types.CodeType) -> list[Any]:
    """What a code object does, without where it stands, stable while it runs (marshalled bytes are not)."""
    return [
        code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        code.co_flags, code.co_qualname, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
        code.co_exceptiontable,
    ]  # fmt: skip


class _Made:
    """A definition and who made it."""

    __slots__ = ("digests", "maker", "ref", "serial", "stale")

    def __init__(self, ref: weakref.ref[Any], maker: str, serial: int) -> None:
        self.ref, self.maker, self.serial = ref, maker, serial
        self.stale = ""
        self.digests: tuple[str, str] | None = None  # in a file of another Python, and here when it was read


class Makers:
    """Which step made each plain definition of a kernel: two of equal code are two objects all the same.

    A step's name and a number, in the order in which several of one name are met, say the same of a definition in
    every kernel that runs or restores the step. What no step made is told by its name and its code alone: ``""``
    stands for what the name means, `OLD` for another definition that has the name. Definitions are held weakly.

    Parameters
    ----------
    namespace
        The namespace of the notebook.
    """

    OLD: Final = "-"

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._serials = itertools.count()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._step = self._restored = ""
        self._met: collections.Counter[tuple[str, str]] = collections.Counter()
        self._made: dict[int, _Made] = {}
        self._found: dict[tuple[str, str, str], _Made] = {}
        self._classes: dict[str, list[weakref.ref[type]]] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is met within, and was never met before, was made by a step that has just run: `name` is its name."""
        self._step = name
        self._met.clear()
        try:
            yield
        finally:
            self._step = ""

    @contextlib.contextmanager
    def restored(self, name: str) -> Iterator[None]:
        """What the file of this step says that the step itself made is not to be found among what no step made."""
        self._restored = name
        try:
            yield
        finally:
            self._restored = ""

    def serial(self, obj: Any) -> int:
        """A number that no other definition of this kernel has or will have."""
        return self._of(obj).serial

    def maker(self, obj: Any) -> str:
        """Who made a plain definition, in words that do not change while it lives; empty if no step did."""
        return self._of(obj).maker

    def token(self, obj: Any) -> Token:
        """The token of a plain definition in a file."""
        made = self._of(obj)
        maker = made.stale or made.maker
        if not maker and at(obj.__qualname__, self._namespace) is not obj:
            maker = self.OLD
        return definition_token(obj, self._namespace, maker, self.maker)

    def token_in_look(self, obj: Any) -> Token:
        """What a look says of a plain definition: it does not change while the definition does not."""
        return definition_token(obj, self._namespace, self.maker(obj), self.maker)

    def digest(self, obj: Any) -> str:
        """Digest of a plain definition as it is now."""
        return definition_token(obj, self._namespace, "", self.maker)[2]

    @staticmethod
    def is_stale(token: Token) -> bool:
        """Whether a token stands for a definition that its step has made again since."""
        return "~" in token[3]

    def adopt(self, token: Token, obj: Any, *, same_python: bool = True) -> None:
        """Note that `obj` is what the token of a restored file stands for."""
        maker = "" if token[3] == self.OLD else token[3]
        made = self._made.get(id(obj))
        if made is None or made.ref() is not obj or made.maker != maker:
            made = self._note(obj, maker)
        if not same_python:
            made.digests = token[2], self.digest(obj)

    def classes(self, name: str) -> Iterator[type]:
        """The classes of this qualified name that were met and still live."""
        for ref in self._classes.get(name, ()):
            if (cls := ref()) is not None:
                yield cls

    def notice(self) -> None:
        """Meet the definitions that the names of the notebook mean."""
        for value in list(self._namespace.values()):
            if _is_of(value, self._namespace) and id(value) not in self._made and _is_named(value, self._namespace):
                self._of(value)

    def find(self, token: Token) -> Any | None:
        """The definition of this kernel that a token of a file stands for, if it is what it was."""
        kind, name, _, maker = token
        made = self._found.get((kind, name, maker)) if maker else None
        if made is not None and (found := made.ref()) is not None:
            return found if self._is_still(found, token) else None
        if self._restored and (maker == self._restored or maker.startswith(f"{self._restored}.")):
            return None
        here = at(name, self._namespace)
        if maker != self.OLD and self._is_unmarked(here) and _kind(here) == kind and self._is_still(here, token):
            return here
        if maker and maker != self.OLD:
            return None
        for made in reversed(list(self._made.values())):
            found = None if made.maker else made.ref()
            if found is None or found is here or found.__qualname__ != name or _kind(found) != kind:
                continue
            if self._is_still(found, token):
                return found
        return None

    def _is_unmarked(self, obj: Any) -> bool:
        """Whether this is a definition of the notebook that no step made."""
        if not issubclass(type(obj), (type, types.FunctionType)) or importable(obj):
            return False
        made = self._made.get(id(obj))
        return made is None or not made.maker

    def _is_still(self, obj: Any, token: Token) -> bool:
        now = self.digest(obj)
        made = self._made.get(id(obj))
        return now == token[2] or (made is not None and made.digests == (token[2], now))

    def _of(self, obj: Any) -> _Made:
        made = self._made.get(id(obj))
        if made is not None and made.ref() is obj:
            return made
        maker = ""
        if self._step:
            name = _kind(obj), obj.__qualname__
            number, self._met[name] = self._met[name], self._met[name] + 1
            maker = f"{self._step}.{number}" if number else self._step
        made = self._note(obj, maker)
        for part in _plain_parts(obj, self._namespace) or ():  # a base that has no name is met with its subclass
            if _is_named(part, self._namespace):
                self._of(part)
        return made

    def _note(self, obj: Any, maker: str) -> _Made:
        ident = id(obj)
        made = self._made[ident] = _Made(weakref.ref(obj, lambda _: self._forget(ident)), maker, next(self._serials))
        if issubclass(type(obj), type):
            known = [ref for ref in self._classes.get(obj.__qualname__, ()) if ref() is not None]
            self._classes[obj.__qualname__] = [*known, made.ref]
        if maker:
            name = _kind(obj), obj.__qualname__
            older = self._found.get((*name, maker))
            if older is not None and older.ref() is not None:
                older.stale = f"{maker}~{uuid.uuid4().hex}"
                self._found[*name, older.stale] = older
            self._found[*name, maker] = made
        return made

    def _forget(self, ident: int) -> None:
        made = self._made.get(ident)
        if made is not None and made.ref() is None:
            del self._made[ident]


def _is_of(obj: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether this looks like a definition of the notebook: a quick look, not the last word."""
    kind = type(obj)
    if kind is types.FunctionType:
        return obj.__globals__ is namespace
    return issubclass(kind, type) and obj.__module__ == namespace.get("__name__", "__main__")


# --- reading the parts of a class ---


def attributes_of(cls: type, *, for_digest: bool = False) -> Iterator[tuple[str, Any]]:
    """The attributes of a class that its body or its owner gave it, in order."""
    tuples = _is_namedtuple(cls)
    protocol = isinstance(cls, type(typing.Protocol))
    for name, value in vars(cls).items():
        if name in _MACHINERY or isinstance(value, types.GetSetDescriptorType):
            continue
        if isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls:
            continue  # a slot: the skeleton has it
        if name == "__doc__" and value is None:
            continue
        if protocol and (name in _PROTOCOL_MACHINERY or _made_by_protocol(value)):
            continue
        if tuples and _made_by_namedtuple(cls, name, value):
            continue
        if name == "__pydantic_setattr_handlers__":
            value = {}  # filled whenever an attribute is set for the first time
        if isinstance(cls, enum.EnumType) and (name in _ENUM_MACHINERY or name in cls._member_map_) and not for_digest:
            continue
        if for_digest and (name in _IGNORED_IN_DIGEST or is_generated(cls, name, value)):
            if name == "__dataclass_fields__":
                yield name, tuple(value.values())
            elif name == "__annotations__":
                yield name, annotation_texts(value)
            continue
        yield name, value
    if for_digest and tuples:
        yield "_field_defaults", tuple(part for item in cls._field_defaults.items() for part in item)  # type: ignore[attr-defined]
    if for_digest and isinstance(cls, enum.EnumType):
        yield "_member_map_", tuple(part for name, member in cls._member_map_.items() for part in (name, member))


_IGNORED_IN_DIGEST: Final = _ENUM_MACHINERY | frozenset(
    "__dataclass_fields__ __annotations__ __slots__ __match_args__ __static_attributes__ __firstlineno__ "
    "__orig_bases__ __parameters__ __type_params__ __protocol_attrs__ __abstractmethods__ __replace__".split()
)


_PROTOCOL_MACHINERY: Final = frozenset(
    "__protocol_attrs__ __callable_proto_members_only__ __non_callable_proto_members__".split()
)


def _made_by_protocol(value: Any) -> bool:
    """Whether `typing.Protocol` gave this to its subclass: it does so again for the skeleton."""
    inner = getattr(value, "__func__", value)
    named = getattr(inner, "__qualname__", "").rpartition(".")[2] in ("_proto_hook", "_no_init_or_replace_init")
    return named and getattr(inner, "__module__", "") == "typing"


def is_generated(cls: type, name: str, value: Any) -> bool:
    """Whether `value` is a method that `dataclasses` made for this very class."""
    if name not in _GENERATED_NAMES or "__dataclass_fields__" not in vars(cls) or type(value) is not types.FunctionType:
        return False
    inner = inspected = value
    if name == "__repr__":  # made twice: the inner function is wrapped against recursion
        inner = vars(value).get("__wrapped__", value)
    return bool(inner.__code__.co_filename == "<string>" and inspected.__name__ == name)


def _is_namedtuple(cls: type) -> bool:
    own = vars(cls)
    make = getattr(own.get("_make"), "__func__", None)
    return tuple in cls.__bases__ and getattr(make, "__code__", None) is _namedtuple_code()["_make"]


@functools.lru_cache(maxsize=1)
def _namedtuple_code() -> dict[str, types.CodeType]:
    """The code of the methods that `collections.namedtuple` gives every class."""
    template = collections.namedtuple("template", "x")
    found = {name: getattr(value, "__func__", value) for name, value in vars(template).items()}
    return {name: value.__code__ for name, value in found.items() if hasattr(value, "__code__")}


def _made_by_namedtuple(cls: type, name: str, value: Any) -> bool:
    if name in ("__new__", "__slots__", "_fields", "_field_defaults", "__match_args__"):
        return True
    if name == "__class_getitem__" and typing.Generic in cls.__bases__:
        return True
    if name in cls._fields and type(value).__name__ == "_tuplegetter":  # type: ignore[attr-defined]
        return True
    inner = getattr(value, "__func__", value)
    return getattr(inner, "__code__", None) is _namedtuple_code().get(name, 0)


# --- writing ---


class Definitions:
    """The definitions of one pickle: builds their reductions and knows what is written already.

    Parameters
    ----------
    namespace
        The notebook's namespace. It is never written; functions whose globals it is get the shell.
    makers
        Tells who made plain definitions; without it their tokens say only what they are.
    sources
        Whether code is written with the source of its cell, for other versions of Python.
    """

    def __init__(self, namespace: dict[str, Any], *, makers: Makers | None = None, sources: bool = True) -> None:
        self.namespace = namespace
        self.shell = Form(operator.call, dict)  # the first call of the pickle: see ValuePickler._form
        self.sources = Form(dict)
        self.tokens: dict[Token, Any] = {}
        self.modules: set[str] = set()
        self.needs: set[str] = set()
        self.functions: list[types.FunctionType] = []
        self._makers = makers
        # A script defines its classes and functions anew each time, before it restores: the name tells which it is.
        self.by_name = False
        self._with_sources = sources
        self._cells: set[int] = set()
        self._globals: dict[int, Any] = {}
        self._pending: set[int] = set()  # by id: a metaclass may make its classes unhashable
        self._written: set[int] = set()
        self._generated: dict[int, tuple[Form, str]] = {}
        self._methods: dict[int, _Method] = {}  # of the classes that are being written
        self._interned: dict[Any, Any] = {}
        self._forms: dict[Any, Any] = {}
        self._codes: dict[tuple[str, int], tuple[Any, list[types.CodeType]]] = {}
        self._installed: dict[str, str] = {}  # file to module
        self.code_written = Form(eval, _LOADED, {})

    def intern(self, value: Any) -> Any:
        """The same object for equal values, so that the pickle holds it once."""
        return self._interned.setdefault(value, value)

    def note(self, module: str | None) -> None:
        """Remember that the pickle imports from this module."""
        if module:
            self.modules.add(module.partition(".")[0])

    def attribute(self, module: str, name: str) -> Form:
        """``getattr(module, name)``, for what pickle does not find by itself."""
        key = ("attribute", module, name)
        if key not in self._forms:
            self._forms[key] = Form(getattr, sys.modules[module], name)
        return typing.cast(Form, self._forms[key])

    def evaluated(self, text: str) -> Form:
        if text not in self._forms:
            self._forms[text] = Form(eval, text, Form(dict, (("__name__", "dataclasses"),)))
        return typing.cast(Form, self._forms[text])

    def token(self, obj: Any) -> Token | None:
        """The token of a plain definition; none if it has none, or if another object in this pickle has it."""
        if self.by_name and at(obj.__qualname__, self.namespace) is obj:
            token = _kind(obj), obj.__qualname__, "by name", ""
            self.tokens[token] = obj
            return token
        if not is_plain_definition(obj, self.namespace):
            return None
        token = definition_token(obj, self.namespace) if self._makers is None else self._makers.token(obj)
        return token if self.tokens.setdefault(token, obj) is obj else None

    # functions

    def function(self, function: types.FunctionType) -> Any:
        """Reduce a function: by name if it can be imported, else by value."""
        if id(function) in self._generated:
            table, name = self._generated[id(function)]
            return (
                operator.getitem,
                (table, name),
                self._function_blocks(function, (), function),
                None,
                None,
                operator.is_,
            )
        if importable(function):
            self.note(function.__module__)
            return NotImplemented
        if id(function) in self._methods:
            return operator.getitem, ((self._methods[id(function)],), 0)
        cls = method_of(function, self.namespace, self._makers)
        if cls is None:
            return self._by_value(function, function)
        name = function.__qualname__.rpartition(".")[2]
        found = Form(vars, cls), name
        if vars(cls)[name] is function:
            return operator.getitem, found
        return getattr, (Form(operator.getitem, *found), "__func__")

    def _by_value(self, function: types.FunctionType, written: Any) -> Any:
        """Reduce a function to what it consists of; `written` is what stands for it in the pickle."""
        globals_ = self.space(function.__globals__)
        if globals_ is None:  # a dict of its own, which may hold this function: written first
            self._globals[id(function.__globals__)] = function.__globals__
            return operator.getitem, ((function.__globals__, function), 1)
        self.functions.append(function)
        # A cell may hold the function itself, so it is filled when the function exists already.
        cells = tuple(cell for cell in function.__closure__ or () if id(cell) not in self._cells)
        self._cells.update(map(id, cells))
        args = (function.__code__, globals_, function.__name__, None, function.__closure__)
        blocks = self._function_blocks(function, cells, written)
        token = self.token(function)
        if token is None:
            return types.FunctionType, args, blocks, None, None, operator.is_
        made = Form(types.FunctionType, *args)
        return CALL, (operator.getitem, {token: made}, token), blocks, None, None, operator.is_

    def space(self, globals_: dict[str, Any]) -> Any:
        """Globals as a form; the dict itself if it is written by value already, none if it is not yet."""
        if globals_ is self.namespace:
            return self.shell
        if id(globals_) not in self._globals:
            module = _module_of(globals_)
            if module is None:
                return None
            self._globals[id(globals_)] = Form(getattr, module, "__dict__")
            if isinstance(file := getattr(module, "__file__", None), str):
                self._installed[file] = module.__name__
        return self._globals[id(globals_)]

    def _function_blocks(
        self, function: types.FunctionType, cells: tuple[types.CellType, ...], written: Any
    ) -> tuple[Form, ...]:
        state: dict[str, Any] = {
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        generated = id(function) in self._generated
        optional = () if generated else ("__defaults__", "__kwdefaults__", "__dict__")
        for name in (*optional, "__type_params__"):
            if value := getattr(function, name, None):
                state[name] = value
        if annotations := self._annotations(function):
            state["__annotations__"] = annotations
        blocks = [self.block(setattr, written, state)]
        full = [(cell, value) for cell in cells for value in _contents_of(cell)]
        if full:
            name_ = self._repeat("cell_contents")
            setting = Form(map, setattr, tuple(c for c, _ in full), name_, tuple(v for _, v in full))
            blocks.append(Form(CALL, _FROM_KEYS, setting, written))
        return tuple(blocks)

    def _annotations(self, function: types.FunctionType) -> Any:
        """Annotations; `functools.wraps` lets them be one dict with those of a function that may be a live one."""
        wrapped = vars(function).get("__wrapped__")
        shared = type(wrapped) is types.FunctionType and wrapped.__annotations__ is function.__annotations__
        if shared and (importable(wrapped) or is_plain_definition(wrapped, self.namespace)):
            return Form(getattr, wrapped, "__annotations__")  # any other may lead back to `function`
        return function.__annotations__

    def block(self, setter: Any, obj: Any, attributes: Mapping[str, Any], owner: Any = None) -> Form:
        """Set `attributes` on `obj` at once; our loader leaves it out if `owner` is a live object."""
        names, values = self.intern(tuple(attributes)), tuple(attributes.values())
        setting = Form(map, setter, Form(itertools.repeat, obj), names, values)
        return Form(CALL, _FROM_KEYS, setting, obj if owner is None else owner)

    def _repeat(self, value: str) -> Form:
        if ("repeat", value) not in self._forms:
            self._forms["repeat", value] = Form(itertools.repeat, value)
        return typing.cast(Form, self._forms["repeat", value])

    def cell(self, cell: types.CellType) -> Any:
        """Reduce a closure cell. One that a function brings along is filled by the function's blocks."""
        if id(cell) in self._cells:
            return types.CellType, ()
        self._cells.add(id(cell))
        contents = list(_contents_of(cell))
        return (types.CellType, (), (None, {"cell_contents": contents[0]})) if contents else (types.CellType, ())

    # code

    def code(self, code: types.CodeType) -> Any:
        """Reduce a code object: marshalled for this Python, with its place in the source for others."""
        codes, line, index = self._place(code)
        data = marshal.dumps(code, 2)  # version 2 has no references: the same bytes however often it ran
        free = len(code.co_freevars)
        return self.code_written, (_MAGIC, data, codes, plain_qualname(code), line, index, free, _PYTHON)

    def _place(self, code: types.CodeType) -> tuple[Any, int, int]:
        """Where a reader compiles the same code: a form for a file's code objects, the line, the index among equals."""
        flags = code.co_flags & __future__.annotations.compiler_flag | _TOP_LEVEL_AWAIT
        key = code.co_filename, flags
        if not self._with_sources:
            return (), 0, 0
        if key not in self._codes:
            installed = self._installed.get(code.co_filename)
            self._codes[key] = self._compiled_source(*key) if installed is None else self._installed_code(installed)
        form, codes = self._codes[key]
        # In a module of another version the function stands on another line; there its name has to do.
        line = 0 if code.co_filename in self._installed else code.co_firstlineno
        place = plain_qualname(code), len(code.co_freevars)
        same = [c for c in codes if (plain_qualname(c), len(c.co_freevars)) == place and line in (0, c.co_firstlineno)]
        for index, candidate in enumerate(same):
            if candidate == code:
                return form, line, index
        return (), 0, 0

    def _installed_code(self, module: str) -> tuple[Any, list[types.CodeType]]:
        try:
            codes = _installed(b"", module)
        except (AttributeError, ImportError, ValueError, TypeError):  # a module without a loader, or without code
            return (), []
        return Form(self._forms.setdefault("installed", Form(eval, _INSTALLED, {})), _MAGIC, module), codes

    def source(self, filename: str) -> Form | None:
        """The text of a file, for readers that do not have it; none if it is not known."""
        if ("source", filename) not in self._forms:
            text = "".join(linecache.getlines(filename))
            self._forms["source", filename] = Form(dict.setdefault, self.sources, filename, text) if text else None
        return typing.cast("Form | None", self._forms["source", filename])

    def _compiled_source(self, filename: str, flags: int) -> tuple[Any, list[types.CodeType]]:
        source = "".join(linecache.getlines(filename))
        try:
            codes = _compiled(b"", source, filename, flags) if source else []
        except (SyntaxError, ValueError):  # not Python, or a file that was changed since
            codes = []
        if not codes:
            return (), []
        compiled = self._forms.setdefault("compiled", Form(eval, _COMPILED, {}))
        return Form(compiled, _MAGIC, self.source(filename), filename, flags), codes

    # classes

    def klass(self, cls: type) -> Any:
        """Reduce a class: by name if it can be imported, else as a skeleton and blocks of attributes."""
        if id(cls) in self._pending:  # a base of the class being written, whose blocks come with that class
            self._pending.discard(id(cls))
            return self._skeleton(cls)
        if importable(cls):
            self.note(cls.__module__)
            return NotImplemented
        if cls in _SINGLETONS:
            return NotImplemented
        if id(cls) in _unnamed_types():
            return getattr, (types, _unnamed_types()[id(cls)])
        refuse_without_module(cls)
        if cls.__flags__ & _CHANGEABLE != _HEAP_TYPE:
            raise NotPicklableError(f"the type {cls.__qualname__} has no name by which it can be imported")
        maker = _maker(cls)
        if maker is None:
            return self._by_cloudpickle(cls)
        family = [member for member in self._family(cls).values() if id(member) not in self._written]
        self._written.update(map(id, family))
        self._pending.update(map(id, family[:-1]))
        blocks = _Later(lambda: tuple(block for member in family for block in self._class_blocks(member)))
        end = _Later(lambda: self._end_of(family))
        return (*self._skeleton(cls), (blocks, end), None, None, operator.is_)

    def _end_of(self, family: Iterable[type]) -> tuple[()]:
        """From here on the methods of these classes are met where they are: in the class, which may be a live one."""
        for cls in family:
            for value in vars(cls).values():
                self._methods.pop(id(_function_in(value)), None)
        return ()

    def _method(self, cls: type, value: Any) -> Any:
        """What is written for an attribute of a class: for a method something that is not the method itself."""
        function = _function_in(value)
        if type(function) is not types.FunctionType or id(function) in self._generated:
            return value
        if method_of(function, self.namespace, self._makers) is not cls:
            return value
        method = self._methods[id(function)] = _Method(lambda: self._by_value(function, method))
        return method if function is value else Form(type(value), method)

    def _family(self, cls: type) -> dict[int, type]:
        """The classes that the skeleton of `cls` needs and that are written by value, by `id`, `cls` last."""
        family: dict[int, type] = {}
        for parent in (*cls.__bases__, type(cls)):
            if not by_reference(parent) and _maker(parent) is not None:
                family |= self._family(parent)
        family[id(cls)] = cls
        return family

    def _skeleton(self, cls: type) -> Reduced:
        token = self.token(cls)
        if isinstance(cls, enum.EnumType):
            made = self._enum_skeleton(cls)
        elif _is_namedtuple(cls):
            made = self._namedtuple_skeleton(cls)
        else:
            own: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
            if "__slots__" in vars(cls):
                own["__slots__"] = _slots(cls)
            # a place for each attribute, so that they stay in order; what Python itself looks at comes when it is whole
            own |= {name: None for name, _ in attributes_of(cls) if not (name[:2] == "__" == name[-2:] or name in own)}
            if typing.Generic in cls.__bases__:
                own["__orig_bases__"] = ()  # else its __init_subclass__ complains; the real ones are set with the rest
            name = self._without_hooks(cls)
            made = Form(CALL, _maker(cls), type(cls), name, cls.__bases__, own)
        return CALL, (operator.getitem, {token: made}, token)

    def _without_hooks(self, cls: type) -> Any:
        """The name of the class, after the bases' ``__init_subclass__`` are switched off for a plain reader."""
        off: list[Form] = []
        for base, _ in _hooks(cls.__mro__[1:]):
            if by_reference(base):
                off.append(self._hook_of(base))  # remembers it
            off.append(Form(CALL, type.__setattr__, base, "__init_subclass__", _NO_HOOK))
        return Form(operator.getitem, (cls.__name__, *off), 0) if off else cls.__name__

    def _hook_of(self, base: type) -> Form:
        """The hook of a library's class, as it stands there."""
        key = "hook", id(base)
        if key not in self._forms:
            self._forms[key] = Form(operator.getitem, Form(vars, base), "__init_subclass__")
        return typing.cast(Form, self._forms[key])

    def _class_blocks(self, cls: type) -> Iterator[Form]:
        """What is set on a class once it exists: methods first, since values may be instances that need them."""
        for base, hook in _hooks(cls.__mro__[1:]):
            own = self._hook_of(base) if by_reference(base) else hook
            yield self.block(type.__setattr__, base, {"__init_subclass__": own})
        attributes = dict(attributes_of(cls))
        if "__dataclass_fields__" in attributes:
            self._note_generated(cls)
        if _is_namedtuple(cls):
            attributes["__qualname__"] = cls.__qualname__
            if cls.__bases__ != (tuple,):  # a generic one, which `typing` makes in the same way
                yield self.block(type.__setattr__, cls, {"__bases__": cls.__bases__})
                generic = Form(vars, typing.Generic)
                attributes["__class_getitem__"] = Form(operator.getitem, generic, "__class_getitem__")
        if "__slots__" in attributes and not isinstance(attributes["__slots__"], str | tuple | list | dict):
            del attributes["__slots__"]
        if attributes.get("__replace__") is getattr(dataclasses, "_replace", self):
            del attributes["__replace__"]
        twin = enum_twin(cls) if isinstance(cls, enum.EnumType) else None
        made = {} if twin is None else vars(twin)
        attributes = {name: value for name, value in attributes.items() if made.get(name, self) is not value}
        behaviour = {n: self._method(cls, value) for n, value in attributes.items() if isinstance(value, _BEHAVIOUR)}
        rest = {name: value for name, value in attributes.items() if name not in behaviour}
        if behaviour:
            yield self.block(type.__setattr__, cls, behaviour)
        if rest:
            yield self.block(type.__setattr__, cls, rest)
        if "__dataclass_fields__" in attributes:
            yield from self._dataclass_blocks(cls)
        if isinstance(cls, enum.EnumType):
            yield from self._enum_blocks(cls, twin)
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
            yield Form(CALL, _FROM_KEYS, Form(map, keep, (origin,), (args,), (cls,), (origin,), (args,)), cls)

    def _protocol_blocks(self, cls: Any) -> Iterator[Form]:
        """Let `typing` look at the members, now that they are there; what it keeps differs between versions."""
        look = Form(getattr, type(typing.Protocol), "__init__")
        yield Form(CALL, _FROM_KEYS, Form(map, look, (cls,), (cls.__name__,), (cls.__bases__,), ({},)), cls)
        if vars(cls).get("_is_runtime_protocol"):
            yield Form(CALL, _FROM_KEYS, Form(map, typing.runtime_checkable, (cls,)), cls)

    def _registrations(self, cls: abc.ABCMeta) -> Iterator[Form]:
        registry: set[Any] = _abc._get_dump(cls)[0]
        classes = [sub for ref in registry if (sub := ref()) is not None]
        if classes:
            classes.sort(key=lambda sub: (sub.__module__, sub.__qualname__))
            setting = Form(map, abc.ABCMeta.register, Form(itertools.repeat, cls), tuple(classes))
            yield Form(CALL, _FROM_KEYS, setting, None)  # also with a live class: the token says nothing of these

    # dataclasses, named tuples

    def _note_generated(self, cls: type) -> None:
        """Have the generated methods of a dataclass made again by the reader's `dataclasses`."""
        made = {name: value for name, value in vars(cls).items() if is_generated(cls, name, value)}
        shown = {name: getattr(cls.__dataclass_params__, name) for name in _params(cls)}  # type: ignore[attr-defined]
        options = {
            "order": "__lt__" in made,
            "unsafe_hash": "__hash__" in made,
            "frozen": shown.get("frozen", False),
            "slots": "__slots__" in vars(cls),
        }
        ready = "__init__" in made and "__post_init__" in made["__init__"].__code__.co_names
        fields = tuple(vars(cls)["__dataclass_fields__"].values())
        space = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else self.namespace
        where = (
            self.shell
            if space is self.namespace or not _module_of(space)
            else self.attribute(cls.__module__, "__dict__")
        )
        table = Form(self.evaluated(_GENERATED), cls, cls.__name__, fields, options, shown, ready, where)
        self._forms["generated", id(cls)] = table
        self._generated.update((id(value), (table, name)) for name, value in made.items())

    def _dataclass_blocks(self, cls: type) -> Iterator[Form]:
        table = self._forms["generated", id(cls)]
        yield self.block(
            type.__setattr__, cls, {"__dataclass_params__": Form(operator.getitem, table, "__dataclass_params__")}
        )
        names, values = self.evaluated(_REPLACE_NAMES), self.evaluated(_REPLACE_VALUES)
        if "__replace__" not in vars(cls) or vars(cls)["__replace__"] is getattr(dataclasses, "_replace", self):
            setting = Form(map, type.__setattr__, Form(itertools.repeat, cls), names, values)
            yield Form(CALL, _FROM_KEYS, setting, cls)

    def _namedtuple_skeleton(self, cls: Any) -> Form:
        defaults = cls.__new__.__defaults__ or ()
        # An invalid field name was accepted with rename=True, which then changes nothing in the names it gave.
        maker = functools.partial(collections.namedtuple, rename=True, defaults=defaults, module=cls.__module__)
        return Form(CALL, maker, cls.__name__, cls._fields)

    # enums

    def _enum_skeleton(self, cls: Any) -> Form:
        values = _enum_values(cls)
        own = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **values}
        classdict = _Items(Form(enum.EnumType.__prepare__, cls.__name__, cls.__bases__), own)
        maker: Any = enum.EnumType.__new__
        if issubclass(cls, enum.Flag):
            maker = functools.partial(maker, boundary=cls._boundary_)
        return Form(CALL, maker, type(cls), self._without_hooks(cls), cls.__bases__, classdict)

    def _enum_blocks(self, cls: Any, twin: Any) -> Iterator[Form]:
        for name in ("_new_member_", "__new_member__", "_generate_next_value_", "_use_args_"):
            if name in vars(cls) and vars(cls)[name] is not vars(twin).get(name):
                yield self.block(type.__setattr__, cls, {name: vars(cls)[name]})
        for name, member in cls._member_map_.items():
            if name != member._name_:
                continue
            other = vars(twin._member_map_[name])
            extra = {k: v for k, v in vars(member).items() if k != "__objclass__" and not _equal(other.get(k, cls), v)}
            if extra:
                yield self.block(object.__setattr__, member, extra, cls)
        own = {v: m for v, m in cls._value2member_map_.items() if m._name_ in cls._member_map_}
        if list(own) != [v for v, m in twin._value2member_map_.items() if m._name_ in twin._member_map_]:
            yield self.block(type.__setattr__, cls, {"_value2member_map_": own})

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
        return cloudpickle._dynamic_class_reduce(cls)


class _Later:
    """A part that is built when the pickler comes to it."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build

    @property
    def reduced(self) -> Reduced:
        return tuple, (self.build(),)


class _Method:
    """Stands for a method while its class is written, so that the pickler does not take it for written elsewhere."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build

    @property
    def reduced(self) -> Reduced:
        return typing.cast(Reduced, self.build())


class _Items:
    """A mapping that is made by a call and then filled item by item."""

    __slots__ = ("items", "made")

    def __init__(self, made: Form, items: dict[str, Any]) -> None:
        self.made, self.items = made, items

    @property
    def reduced(self) -> Reduced:
        return (*self.made.reduced, None, None, iter(self.items.items()))


_SINGLETONS: Final = (type(None), type(...), type(NotImplemented))
FORMS: Final = (Form, _Later, _Items, _Method)
_BEHAVIOUR: Final = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)


def _contents_of(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # empty
        return []


def plain_qualname(code: types.CodeType) -> str:
    """The qualified name without the scopes of comprehensions, which differ between versions."""
    return re.sub(r"<(?:list|set|dict)comp>[.]", "", code.co_qualname)


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls)["__slots__"]
    if isinstance(slots, str):
        return (slots,)
    if isinstance(slots, tuple | list | dict):
        return tuple(slots)
    return tuple(name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType))


def _params(cls: Any) -> tuple[str, ...]:
    return tuple(getattr(type(cls.__dataclass_params__), "__slots__", ()))


def _maker(cls: Any) -> Any:
    """The ``__new__`` that makes the skeleton of a class without running a hook; none if that cannot be done."""
    for meta in type(cls).__mro__:
        if "__new__" in vars(meta) and importable(meta):
            if meta is type or meta.__name__ == "_TypedDictMeta" and meta.__module__ == "typing":
                return type.__new__
            if meta is enum.EnumType:
                return meta.__new__ if enum_twin(cls) is not None else None
            if meta.__name__ == "ModelMetaclass" and meta.__module__ == "pydantic._internal._model_construction":
                return abc.ABCMeta.__new__  # what pydantic makes of a body is among the attributes
            return meta.__new__ if meta in (abc.ABCMeta, type(typing.Protocol)) else None
    return None


def _enum_values(cls: Any) -> dict[str, Any]:
    """The values that make the members again without the user's ``__new__``; aliases have their member's."""
    kind = cls._member_type_
    if kind in (int, str, float, bytes, complex):
        plain = str.__str__ if kind is str else functools.partial(kind.__new__, kind)
        return {name: plain(member) for name, member in cls._member_map_.items()}
    return {name: member._value_ for name, member in cls._member_map_.items()}


def enum_twin(cls: Any) -> Any:
    """Make an enum as a reader will, to see whether that gives the same members; none if it does not."""
    bases = cls.__bases__
    if cls._member_type_ is not object and not importable(cls._member_type_):
        return None  # its constructor is the user's
    try:
        classdict = enum.EnumType.__prepare__(cls.__name__, bases)
        own = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **_enum_values(cls)}
        for name, value in own.items():
            classdict[name] = value
        options = {"boundary": cls._boundary_} if issubclass(cls, enum.Flag) else {}
        with _WithoutHooks(cls.__mro__[1:]):
            twin: Any = enum.EnumType.__new__(type(cls), cls.__name__, bases, classdict, **options)
    except (TypeError, ValueError, AttributeError):  # what enum raises for values that it cannot take
        return None
    if cls._member_type_ is not object and any(
        not cls._member_type_.__eq__(twin._member_map_[name], member) for name, member in cls._member_map_.items()
    ):
        return None
    same_names = twin._member_names_ == cls._member_names_ and list(twin._member_map_) == list(cls._member_map_)
    same = same_names and all(twin._member_map_[n]._name_ == m._name_ for n, m in cls._member_map_.items())
    return twin if same else None


def _equal(a: Any, b: Any) -> bool:
    return a is b or type(a) is type(b) and type(a) in ATOMS and repr(a) == repr(b)


def _hooks(classes: Iterable[type]) -> list[tuple[type, Any]]:
    """The classes that have an ``__init_subclass__`` of their own, and it.

    What it did to a class is among the attributes of that class; only what `typing` does differs between versions.
    """
    return [
        (cls, vars(cls)["__init_subclass__"])
        for cls in classes
        if "__init_subclass__" in vars(cls) and cls.__module__ != "typing" and cls.__flags__ & _CHANGEABLE == _HEAP_TYPE
    ]


_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_CHANGEABLE: Final = _HEAP_TYPE | 1 << 8  # and not Py_TPFLAGS_IMMUTABLETYPE


class _WithoutHooks:
    """Keep ``__init_subclass__`` from running while a subclass is made again."""

    def __init__(self, classes: Iterable[type]) -> None:
        self._found = _hooks(classes)

    def __enter__(self) -> None:
        for cls, _ in self._found:
            type.__setattr__(cls, "__init_subclass__", _NO_HOOK)

    def __exit__(self, *_: object) -> None:
        for cls, hook in self._found:
            type.__setattr__(cls, "__init_subclass__", hook)


# --- reading ---


class _Deferred:
    """A class that need not be made if a live one takes its place."""

    __slots__ = ("args", "maker")

    def __init__(self, maker: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.maker, self.args = maker, args

    def make(self) -> Any:
        """Make the class; its bases may be live, and their hooks are not to run again."""
        bases = [base for arg in self.args if type(arg) is tuple for base in arg if isinstance(base, type)]
        family = {id(cls): cls for base in bases for cls in base.__mro__}
        with _WithoutHooks(family.values()):
            return self.maker(*self.args)


class Forms:
    """What `operator.call` means to our own loader.

    Parameters
    ----------
    globals_
        The globals of the functions that are loaded.
    live
        Gives the object of this kernel that a token stands for, if there is one.
    found
        Filled with the object that each token of the pickle came to stand for.
    fill
        Put the globals that a method's functions read among `globals_`: nobody else gives them any.
    """

    def __init__(
        self,
        globals_: dict[str, Any],
        live: Callable[[Token], Any | None] | None,
        found: dict[Token, Any],
        *,
        fill: bool = False,
    ) -> None:
        self._globals = globals_
        self._fill = fill
        self._live = live
        self._found = found
        self._kept: dict[int, Any] = {}

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Any:
        if function is dict and not args:
            return self._globals
        if function is operator.ior:
            if self._fill:
                self._globals.update(args[1])
            return args[1]
        if function is operator.getitem:
            return self._definition(*args)
        if function == _FROM_KEYS:
            return self._set(*args)
        if function == type.__setattr__:  # a plain reader's way to keep a hook from running; ours is _Deferred
            return None
        return _Deferred(function, args)

    def _definition(self, table: dict[Token | None, Any], token: Token | None) -> Any:
        found = self._live(token) if token is not None and self._live is not None else None
        if found is not None:
            self._kept[id(found)] = found
        else:
            found = table[token]
            if type(found) is _Deferred:
                found = found.make()
        if token is not None and token[0] != "original":
            self._found[token] = found
        return found

    def _set(self, setting: Iterable[Any], owner: Any) -> None:
        """Set attributes, unless they are those of a live object, which has them."""
        if id(owner) not in self._kept:
            collections.deque(setting, maxlen=0)
