"""The functions and classes of the notebook that a step used: what tells one state of them from another."""

from __future__ import annotations

import abc
import functools
import hashlib
import operator
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from ckpt_magic.steps.freshness import Fact, with_values
from ckpt_magic.steps.plan import Look
from ckpt_magic.values import canonical, looking, owners, reducing
from ckpt_magic.values.code import essence
from ckpt_magic.values.code.essence import Definition, Texts
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.annotations import annotate_of
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.parts import telling_attributes


class Definitions:
    """The definitions of one kernel.

    Parameters
    ----------
    namespace, main
        Where the notebook's variables live; globals of the functions that the user wrote.
    makers
        Tells which definitions steps made.

    Attributes
    ----------
    texts
        Their code, as cells wrote it.
    """

    def __init__(self, namespace: MutableMapping[str, Any], main: dict[str, Any], makers: Makers) -> None:
        self._namespace = namespace
        self._main = main
        self._makers = makers
        self.texts = Texts()

    def used(
        self, found: Iterable[Any], *, made_too: bool = False
    ) -> tuple[dict[str, dict[str, Any]], dict[str, str], list[str]]:
        """What tells the state of functions and classes, by their qualified names.

        With it the names of the notebook that mean one of them, each with what it means, and what cannot be told. Those
        that steps made are left out, unless `made_too`.
        """
        met: dict[str, list[tuple[str, str | None, str]]] = {}
        idents = set()
        for one in found:
            if not made_too and self._makers.maker(one):
                continue  # a step made it: the digest of what that step left says it all
            idents.add(identity(one))
            definition = self.texts.of(one)
            text = "" if definition is None else definition.text
            is_lean = definition is not None and definition.plain and not _is_annotated_otherwise(one, definition)
            if definition is not None and is_lean and not definition.is_named:
                digest = definition.digest
            else:
                full = self._makers.digest(one)
                digest = f"{self._makers.lean_digest(one) if is_lean else full}:{full}"
            met.setdefault(one.__qualname__, []).append((digest, self._values(one), text))
        functions = {}
        for name, several in sorted(met.items()):
            several.sort(key=lambda one: (one[0], one[1] or ""))
            values = [one[1] for one in several]
            functions[name] = {
                "digest": " ".join(one[0] for one in several),
                "values": None if None in values else " ".join(str(one) for one in values),
                "text": "\n".join(dict.fromkeys(one[2] for one in several)),
            }
        unclear = [
            f"what `{name}` holds cannot be compared" for name, one in functions.items() if one["values"] is None
        ]
        here = list(self._namespace.items()) if idents else ()
        covered = {name: value.__qualname__ for name, value in here if identity(value) in idents}
        return functions, covered, unclear

    def now(
        self, evidence: Mapping[str, Any], look: Look | None
    ) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """What was used and is here, as it was and as it is; by now a step may have made or changed it.

        What a look does not come to, or comes to anew, does not count: either what leads there differs, and that is
        told, or a value on the way is a placeholder now. See `covered` for the names that lead there.
        """
        then, used = evidence["functions"], look.functions if look is not None else {}
        named = (name for name, meant in evidence["covered"].items() if meant in then and meant not in used)
        others = [self.named(name) for name in dict.fromkeys((*(then.keys() - used.keys()), *named))]
        known = {identity(one): one for one in others if one is not None}
        here, _, _ = self.used(known.values(), made_too=True)
        found = {**then, **here, **used}
        return {name: (one, found[name]) for name, one in then.items()}

    def named(self, name: str) -> Any:
        """The function or class that a qualified name means, if it does."""
        found = references.at(name, self._namespace)
        return found if issubclass(type(found), (type, types.FunctionType)) else None

    def has_all(self, meta: Mapping[str, Any]) -> bool:
        """Whether all functions and classes that a step used are here."""
        names = meta["evidence"]["functions"] if meta["evidence"] is not None else ()
        return all(self.named(name) is not None for name in names)

    def is_so(self, name: str, meta: Mapping[str, Any]) -> bool:
        """Whether a name means the function or class that it meant to a step, documentation aside."""
        evidence = meta["evidence"]
        qualified = evidence["covered"][name]
        if getattr(self._namespace.get(name), "__qualname__", None) != qualified:
            return False
        parts = {one: then for one, then in evidence["functions"].items() if f"{one}.".startswith(f"{qualified}.")}
        of = Codes(str)
        return all(
            with_values(of.fact(one, then["digest"], Fact(now["digest"])), now["values"]).token
            == with_values(Fact(then["digest"]), then["values"]).token
            for one, (then, now) in self.now({"functions": parts, "covered": {}}, None).items()
        )

    def _values(self, one: Any) -> str | None:
        """Digest of default values, closure and attributes; None if they cannot be compared."""
        digest = hashlib.blake2b(digest_size=8)
        for name, value in _parts(one):
            token = self.token(value)
            if token is None:
                return None
            digest.update(f"{name}={token};".encode())
        return digest.hexdigest()

    def token(self, value: Any) -> str | None:
        kind = type(value)
        if kind is types.FunctionType or issubclass(kind, type) or kind is types.ModuleType:
            return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '') or owners.module_of(value)}"
        small = canonical.fingerprint(value)
        if small is not None:
            return small
        return looking.look(value, self._main, self._makers).digest


class Codes:
    """Compares code: what differs in documentation alone is the same where nobody reads that."""

    def __init__(self, reader: Callable[[], str]) -> None:
        self._reader = functools.cache(reader)

    def fact(self, what: str, then: str | None, now: Fact) -> Fact:
        """What is to be said of code that is `now`, and was `then`."""
        if then is None or now.token is None:
            return now
        if _is_as_before(then, now.token):
            return replace(now, token=then)
        if not essence.differ_in_documentation(then, now.token):
            return now
        if reader := self._reader():
            return replace(now, text=f"the documentation of {what} changed, and {reader} reads documentation")
        return replace(now, token=then)


def _is_as_before(then: str, now: str) -> bool:
    """Whether digests of files of before, which had the same one twice, are those of now."""
    pairs = list(zip(then.split(), now.split(), strict=False))
    full = [(was, f"{one.partition(':')[2]}:{one.partition(':')[2]}") for was, one in pairs]
    return len(then.split()) == len(now.split()) and all(was == one for was, one in full)


def _parts(one: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(one, types.FunctionType):
        for number, value in enumerate(one.__defaults__ or ()):
            yield f"default {number}", value
        yield from sorted((one.__kwdefaults__ or {}).items())
        for name, cell in zip(one.__code__.co_freevars, one.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # empty
                continue
        yield from sorted(item for item in vars(one).items() if item[0] != "__wrapped__")
        if one.__name__ != one.__code__.co_name and "__wrapped__" not in vars(one):
            yield "__name__", one.__name__
        if one.__doc__ is not None and one.__code__.co_consts[:1] != (one.__doc__,) and "__wrapped__" not in vars(one):
            yield "__doc__", one.__doc__
        return
    for name, value in sorted(telling_attributes(one), key=operator.itemgetter(0)):
        if not isinstance(value, (types.FunctionType, staticmethod, classmethod, property)) and name != "__doc__":
            yield name, value
    if isinstance(one, abc.ABCMeta) and (registered := reducing.virtual_subclasses(one)):
        yield "registered", tuple(registered)


def _is_annotated_otherwise(one: Any, definition: Definition) -> bool:
    """Whether a function has other annotations than its code gives it: those that were set count."""
    is_told = type(one) is types.FunctionType and annotate_of(one) is None  # else its code tells them
    return is_told and one.__annotations__.keys() != definition.annotated
