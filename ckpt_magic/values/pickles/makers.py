"""Which step made which definition of the notebook."""

from __future__ import annotations

import collections
import contextlib
import itertools
import operator
import types
import uuid
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import unchanging
from ckpt_magic.values.pickles.companions import KIND, Companions
from ckpt_magic.values.pickles.forms import SAME, VARIABLE, Token
from ckpt_magic.values.pickles.parts import function_in, maker_of
from ckpt_magic.values.pickles.references import at, importable, is_displaced
from ckpt_magic.values.pickles.tokens import (
    definition_token,
    is_named,
    is_plain_definition,
    kind_of,
    lean_digest,
    plain_parts,
    telling_parts,
)


class _Made:
    """A definition and who made it."""

    __slots__ = ("digest", "digests", "maker", "parts", "ref", "serial", "stale")

    def __init__(self, ref: weakref.ref[Any], maker: str, serial: int) -> None:
        self.ref, self.maker, self.serial = ref, maker, serial
        self.stale = ""
        self.digests: tuple[str, str] | None = None  # in a file of another Python, and here when it was read
        self.parts: tuple[Any, ...] = ()  # what tells it, as of `telling_parts`, and the digest while that is the same
        self.digest = ""


class Makers:
    """Which step made each plain definition of a kernel: two of equal code are two objects all the same.

    A step's name and a number, in the order in which several of one name are met, say the same of a definition in
    every kernel that runs or restores the step. What no step made is told by its name and its code alone: ``""``
    stands for what the name means as the step begins, `OLD` for another definition that has the name. Definitions are
    held weakly.

    Parameters
    ----------
    namespace
        The namespace of the notebook.

    Attributes
    ----------
    companions
        Which step made what pandas counts those by that look at one memory.
    """

    OLD: Final = "-"

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._serials = itertools.count()
        self.companions = Companions(namespace)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._step = self._restored = ""
        self._aside = False
        self.companions.clear()
        self._met: collections.Counter[tuple[str, str]] = collections.Counter()
        self._made: dict[int, _Made] = {}
        self._found: dict[tuple[str, str, str], _Made] = {}
        self._classes: dict[str, list[weakref.ref[type]]] = {}
        self._named: dict[str, weakref.ref[Any]] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is met within, and was never met before, was made by a step that has just run: `name` is its name."""
        self._step = name
        self._met.clear()
        self.companions.begin(name)
        try:
            yield
        finally:
            self._step = ""
            self.companions.begin("")

    @contextlib.contextmanager
    def restored(self, name: str) -> Iterator[None]:
        """What the file of this step says that the step itself made is not to be found among what no step made."""
        self._restored = name
        try:
            yield
        finally:
            self._restored = ""

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is met within, and was never met before, counts as made by no step, and is met later."""
        self._aside = True
        try:
            yield
        finally:
            self._aside = False

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
        if not maker:
            meant = self._meant(obj.__qualname__) or at(obj.__qualname__, self._namespace)
            maker = "" if meant is obj else self.OLD
        return definition_token(obj, self._namespace, maker, self.maker)

    def token_in_look(self, obj: Any) -> Token | None:
        """What a look says of a plain definition, which does not change while that does not; None of others."""
        parts = telling_parts(obj, self._namespace, self.maker)
        if parts is None:
            plain = is_plain_definition(obj, self._namespace)
            return definition_token(obj, self._namespace, self.maker(obj), self.maker) if plain else None
        made = self._of(obj)
        return kind_of(obj), obj.__qualname__, self._digest_of(made, obj, parts), made.maker

    def digest(self, obj: Any) -> str:
        """Digest of a plain definition as it is now."""
        made = self._made.get(identity(obj))
        if made is not None and made.ref() is obj:
            parts = telling_parts(obj, self._namespace, self.maker)
            if parts is not None:
                return self._digest_of(made, obj, parts)
        return definition_token(obj, self._namespace, "", self.maker)[2]

    def _digest_of(self, made: _Made, obj: Any, parts: tuple[Any, ...]) -> str:
        """The digest that is known while its parts are the same objects."""
        if len(parts) != len(made.parts) or not all(map(operator.is_, parts, made.parts)):
            made.digest, made.parts = definition_token(obj, self._namespace, "", self.maker)[2], parts
        return made.digest

    def lean_digest(self, obj: Any) -> str:
        """The same without what documents it."""
        return lean_digest(obj, self._namespace, self.maker)

    @staticmethod
    def is_stale(token: Token) -> bool:
        """Whether a token stands for a definition that its step has made again since."""
        return "~" in token[3]

    def adopt(self, token: Token, obj: Any, *, same_python: bool = True) -> None:
        """Note that `obj` is what the token of a restored file stands for."""
        if token[0] in (KIND, SAME, VARIABLE):
            return
        maker = "" if token[3] == self.OLD else token[3]
        made = self._made.get(identity(obj))
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
        """Meet the definitions that the names of the notebook mean, before a step runs or its file is read.

        The step may give their names to others; and while a file is read, those are lent to what it makes.
        """
        values = dict(self._namespace)
        kinds = {kind for kind in set(map(type, values.values())) if issubclass(kind, (type, types.FunctionType))}
        some = {name: value for name, value in values.items() if type(value) in kinds}  # of many names few
        here = {name: value for name, value in some.items() if _is_of(value, self._namespace)}
        self._named = {name: weakref.ref(value) for name, value in here.items()}
        for value in here.values():
            if identity(value) not in self._made and is_named(value, self._namespace):
                self._of(value)

    def _meant(self, qualified: str) -> Any:
        """What a qualified name meant then; None if that was no definition."""
        name = qualified.partition(".")[0]
        ref = self._named.get(name)
        return None if ref is None else at(qualified, {name: ref()})

    def find(self, token: Token) -> Any | None:
        """The definition of this kernel that a token of a file stands for, if it is what it was."""
        kind, name, _, maker = token
        if kind == KIND:  # it joins that of this kernel when all that is read is in place
            return None
        if kind == SAME:
            return unchanging.find(token, self._namespace)
        if kind == VARIABLE:
            here = self._namespace.get(name)
            return here if type(here).__module__ == "typing" and type(here).__name__ == token[2] else None
        made = self._found.get((kind, name, maker)) if maker else None
        if made is not None and (found := made.ref()) is not None:
            return found if self._is_still(found, token) else None
        if self._restored and (maker == self._restored or maker.startswith(f"{self._restored}.")):
            return None
        here = self._meant(name)
        if maker != self.OLD and self._is_unmarked(here) and kind_of(here) == kind and self._is_still(here, token):
            return here
        if maker and maker != self.OLD:
            return None
        for made in reversed(list(self._made.values())):
            found = None if made.maker else made.ref()
            if found is None or found is here or found.__qualname__ != name or kind_of(found) != kind:
                continue
            if self._is_still(found, token):
                return found
        # a step makes it now: its cell was none
        is_here = not maker and _is_definition(here) and kind_of(here) == kind
        return here if is_here and self._is_still(here, token) else None

    def _is_unmarked(self, obj: Any) -> bool:
        """Whether this is a definition of the notebook that no step made."""
        made = self._made.get(identity(obj))
        return _is_definition(obj) and (made is None or not made.maker)

    def _is_still(self, obj: Any, token: Token) -> bool:
        return self.digest_as(obj, token[2]) == token[2]

    def digest_as(self, obj: Any, then: str) -> str:
        """Digest of a plain definition as it is now, but `then` if a file of another Python said that of it."""
        now = self.digest(obj)
        made = self._made.get(identity(obj))
        return then if made is not None and made.digests == (then, now) else now

    def _of(self, obj: Any) -> _Made:
        made = self._made.get(identity(obj))
        if made is not None and made.ref() is obj:
            return made
        if self._aside:
            return _Made(weakref.ref(obj), "", next(self._serials))
        maker = ""
        if self._step and not (issubclass(type(obj), type) and is_displaced(obj)):
            name = kind_of(obj), obj.__qualname__
            number, self._met[name] = self._met[name], self._met[name] + 1
            maker = f"{self._step}.{number}" if number else self._step
        made = self._note(obj, maker)
        for part in plain_parts(obj, self._namespace) or ():  # a base that has no name is met with its subclass
            if is_named(part, self._namespace):
                self._of(part)
        return made

    def _note(self, obj: Any, maker: str) -> _Made:
        ident = identity(obj)
        made = self._made[ident] = _Made(weakref.ref(obj, lambda _: self._forget(ident)), maker, next(self._serials))
        if issubclass(type(obj), type):
            known = [ref for ref in self._classes.get(obj.__qualname__, ()) if ref() is not None]
            self._classes[obj.__qualname__] = [*known, made.ref]
        if maker:
            name = kind_of(obj), obj.__qualname__
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


def _is_definition(obj: Any) -> bool:
    return issubclass(type(obj), (type, types.FunctionType)) and not importable(obj)


def _is_of(obj: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether this looks like a definition of the notebook: a quick look, not the last word."""
    kind = type(obj)
    if kind is types.FunctionType:
        return obj.__globals__ is namespace
    return issubclass(kind, type) and obj.__module__ == namespace.get("__name__", "__main__")


def method_of(function: types.FunctionType, namespace: Mapping[str, Any], makers: Makers | None = None) -> type | None:
    """The plain class that has this function as its method, as the name of the function says; none if it has not."""
    owner, _, name = function.__qualname__.rpartition(".")
    if not owner or name == "__init_subclass__":  # which is taken from its class for a while: see `_without_hooks`
        return None
    for cls in (at(owner, namespace), *(makers.classes(owner) if makers is not None else ())):
        if issubclass(type(cls), type) and function_in(vars(cls).get(name)) is function:
            return cls if maker_of(cls) is not None and is_plain_definition(cls, namespace) else None
    return None
