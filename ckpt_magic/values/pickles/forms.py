"""The calls that a checkpoint makes when it is read, and what they mean to our own loader.

A plain reader just executes them, the standard library being enough. Our loader has one object, `Forms`, in place of
`operator.call`, the one callable that they share: it sees the token of a definition before the attributes.
"""

from __future__ import annotations

import collections
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.references import can_be_set

# ("class" | "function", qualified name, digest of the definition, who made it: see `Makers`)
Token = tuple[str, str, str, str]

Reduced = tuple[Any, ...]
PROTOCOL: Final = 5
SAME: Final = "same"  # first part of the token of a value that a name means
VARIABLE: Final = "variable"  # first part of the token of a type variable, or of another name of a type
FROM_KEYS: Final = dict.fromkeys  # one object, so that the pickler remembers it
LENT: Final = dict.update  # puts into globals what the code of classes looks up as soon as objects are read
NO_HOOK: Final[Any] = classmethod(id)


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


class Later:
    """A call that is built when the pickler comes to it.

    `build` is given what stands for the call: if it held that itself, all that it knows would live until a collection.
    """

    __slots__ = ("build",)

    def __init__(self, build: Callable[[Later], Reduced]) -> None:
        self.build = build

    @property
    def reduced(self) -> Reduced:
        """The call, as it is now."""
        return self.build(self)


class Items:
    """A mapping that is made by a call and then filled item by item."""

    __slots__ = ("items", "made")

    def __init__(self, made: Form, items: dict[str, Any]) -> None:
        self.made, self.items = made, items

    @property
    def reduced(self) -> Reduced:
        return (*self.made.reduced, None, None, iter(self.items.items()))


FORMS: Final = (Form, Later, Items)


def hooks(classes: Iterable[type]) -> list[tuple[type, Any]]:
    """The classes that have an ``__init_subclass__`` of their own, and it.

    What it did to a class is among the attributes of that class; only what `typing` does differs between versions.
    """
    return [
        (cls, vars(cls)["__init_subclass__"])
        for cls in classes
        if "__init_subclass__" in vars(cls) and cls.__module__ != "typing" and can_be_set(cls)
    ]


class WithoutHooks:
    """Keep ``__init_subclass__`` from running while a subclass is made again."""

    def __init__(self, classes: Iterable[type]) -> None:
        self._found = hooks(classes)

    def __enter__(self) -> None:
        for cls, _ in self._found:
            type.__setattr__(cls, "__init_subclass__", NO_HOOK)

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
        family = {identity(cls): cls for base in bases for cls in base.__mro__}
        with WithoutHooks(family.values()):
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

    Attributes
    ----------
    joined
        As of `pickling.Contents`.
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
        self.joined: list[tuple[Any, Any, Any]] = []
        self._lent: list[tuple[str, Any, Any]] = []

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Any:
        if function is dict and not args:
            return self._globals
        if function is operator.ior:
            if self._fill:
                self._globals.update(args[1])
            return args[1]
        if function is operator.getitem:
            return self._definition(*args)
        if function == FROM_KEYS:
            return self._set(*args)
        if function == LENT:
            return self._lend(args[1])
        if function is eval:  # what lets blocks and indexes of pandas know of each other
            return functools.partial(_join, self.joined, eval(*args))  # noqa: S307  (an accepted key signed it)
        if function == type.__setattr__:  # a plain reader's way to keep a hook from running; ours is _Deferred
            return None
        return _Deferred(function, args)

    def _lend(self, names: dict[str, Any]) -> None:
        for name, value in names.items():
            if value is not None:
                self._lent.append((name, value, self._globals.get(name, self)))
                self._globals[name] = value

    def take_back(self) -> None:
        """Leave the globals as they were before the pickle was read."""
        while self._lent:  # what is kept here would be alive until the next collection
            name, value, before = self._lent.pop()
            if self._globals.get(name) is not value:
                continue  # code that ran meanwhile has set it
            if before is self:
                del self._globals[name]
            else:
                self._globals[name] = before

    def _definition(self, table: dict[Token | None, Any], token: Token | None) -> Any:
        found = self._live(token) if token is not None and self._live is not None else None
        if found is not None:
            self._kept[identity(found)] = found
        else:
            found = table[token]
            if type(found) is _Deferred:
                found = found.make()
        if token is not None and token[0] not in ("original", SAME):
            self._found[token] = found
        return found

    def _set(self, setting: Iterable[Any], owner: Any) -> None:
        """Set attributes, unless they are those of a live object, which has them."""
        if identity(owner) not in self._kept:
            collections.deque(setting, maxlen=0)


def _join(joined: list[tuple[Any, Any, Any]], made: Callable[..., Any], one: Any, state: Any) -> None:
    made(one, state)
    joined += [(part, *state[:2]) for part in getattr(one, "blocks", (one,))]
