"""What the code of this kernel set in its surroundings, and whether a checkpoint fits that.

An unmarked cell that sets `os.environ`, an option of pandas or an attribute of a module changes what the steps below
it do, although no variable tells. Per part of the surroundings (`uses`) two things count: its value, and the code
that set it.

1. The same value fits, whoever set it.
2. Another value, set by the same code as then, is one that differs by itself: a path of this machine, a random
   name. It matters to a step whose code names the part, or that may read it in a module of the user's own.
3. Another value, set by other code, matters to each step that may read the part.

META holds no values, only digests with the key that signs: they may be secrets.
"""

from __future__ import annotations

import ast
import contextvars
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import operator
import os
import pathlib
import re
import sys
import threading
import types
import typing
import uuid
from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.uses import PLACE, Use, part_of, split, text_of, use_of, use_of_tree
from ckpt_magic.values import ambient, canonical, looking, options, owned, places, spots
from ckpt_magic.values.code import encoding, reaching, syntax
from ckpt_magic.values.code.source import Names
from ckpt_magic.values.code.vocabulary import Words
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owners import ABSENT, CONTAINERS, parts_of, without_machinery
from ckpt_magic.values.pickles.references import ATOMS, importable

_FIGURES: Final = "@open figures"

Rows = dict[str, list[str] | None]  # META: per part the digests of its value and of the code that set it
Own = Callable[[], Container[str]]
"""Gives the names of the user's own modules that code runs through: what others hold does not matter to it."""


@dataclass(frozen=True, slots=True)
class Setter:
    """The code that gave a part its value.

    Attributes
    ----------
    code
        A digest, equal for equal code on equal data.
    step
        The step, if it was one.
    is_added
        For an attribute: whether its owner had none of that name.
    """

    code: str
    step: tuple[PipelineKey, int] | None = None
    is_added: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it was before a step: its value as text (None if it has no plain form), and who set it."""

    value: str | None
    setter: Setter


@dataclass(frozen=True, slots=True)
class _Cell:
    """An unmarked cell on its way."""

    use: Use
    words: Words
    reads: Set[str]
    imports: Set[str]
    ambient: ambient.Ambient
    places: places.Look
    prints: Mapping[str, str | None]
    ours: Mapping[str, Set[int]]
    kept: Mapping[str, str | None]  # digests of what modules of the user's keep under names that it says
    draws: bool = False  # it may change open figures
    texts: tuple[str, ...] = ()  # digests of those that it has run as code


class Around:
    """The surroundings of one kernel, as far as code of the notebook set them.

    Parameters
    ----------
    namespace
        The globals of the notebook's functions.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._first = ambient.look()
        self._cells = [text for text in namespace.get("In", ()) if text]
        self._is_known = False  # what these cells have set
        self._set: dict[str, Setter] = {}
        self._olds: dict[str, dict[tuple[PipelineKey, int], Any]] = {}  # what steps had found, by the step
        self._cell: _Cell | None = None

    # -- unmarked cells -------------------------------------------------------------------------------------

    def loaded_by(self, text: str) -> Sequence[str]:
        """Note the code of the cell that loaded us, at its end: hosts that keep no history (nbval) have it not in `In`.

        It may have set more since the first look back.

        Returns
        -------
        sequence of str
            Texts of the cells up to that one, transformed.
        """
        text = text.rstrip("\n")  # as `In` has it
        if self._cells[-1:] != [text]:
            self._cells.append(text)
        self._is_known = False
        return self._cells

    def _look_back(self) -> None:
        """Note what the cells have set that ran before anybody looked, and the rest of the one that loaded us.

        What was there before them is known of libraries alone: what a fresh import has.
        """
        texts = self._cells
        if not texts or self._is_known:
            return
        self._is_known = True
        tree = syntax.parsed("\n".join(texts))
        use = use_of_tree(tree, self._namespace)
        digest = " ".join(texts) if tree is None else encoding.digest(tree)
        for part, is_set in _parts(ambient.as_imported(self._first), ambient.look(), use).items():
            if is_set:
                self._set.setdefault(part, Setter(f"{digest}{self._content(part)}"))

    def cell_begins(
        self,
        tree: ast.Module | None,
        found: tuple[Names, Set[str], Words] | None,
        spots_of: places.Places,
        own: Iterable[Words],
    ) -> Set[str]:
        """Look before an unmarked cell; return the places that it can reach.

        Parameters
        ----------
        tree
            Its code, if it is known.
        found
            Its names, what they lead to, and its words, with those of the code on the way.
        spots_of
            Looks at places.
        own
            The words of modules of the user's own that it may run.
        """
        self._look_back()
        if tree is None or found is None:
            names, words, use = Names(), Words(), Use(Words(), is_open=True)
            reached: Set[str] = frozenset()
        else:
            names, reached, words = found
            use = use_of(names, words, reached, self._namespace)
        reads = names.reads | reached
        said, words = words.read, functools.reduce(operator.or_, own, words)
        look = spots_of.look(words, reads, names.imports)
        self._cell = self._looked(_Cell(use, words, reads, names.imports, ambient.look(), look, {}, {}, {}), look, said)
        return _reached(look)

    def compiled(self, code: str | types.CodeType, spots_of: places.Places) -> Set[str]:
        """Look also at what a text can change that the cell is about to run as code; return the places."""
        cell, tree = self._cell, syntax.parsed(code) if isinstance(code, str) else code
        if cell is None or tree is None:
            return frozenset()
        names, words = reaching.told_by(tree)
        if isinstance(tree, ast.Module):
            cell = replace(cell, texts=(*cell.texts, encoding.digest(tree)))
        look = places.Look()
        if not names.imports <= cell.imports or words.adds_to(cell.words):
            look = spots_of.look(words, names.reads, names.imports)
            use = cell.use | use_of(names, words, names.reads, self._namespace)
            reads, imports = cell.reads | names.reads, cell.imports | names.imports
            cell = replace(cell, use=use, words=cell.words | words, reads=reads, imports=imports)
            cell = self._looked(cell, look, words.read)
            cell.places.add(look)
        self._cell = cell
        return _reached(look)

    def _looked(self, cell: _Cell, look: places.Look, said: Set[str]) -> _Cell:
        """A cell with what a look saw, in whose code these words are."""
        prints = {**self._prints(look), **cell.prints}
        ours = {place: self._ours(look.values[place]) for place in look.values if prints[place] is None}
        draws = cell.use.may_read(part_of(PLACE, _FIGURES))
        draws = draws or (_FIGURES in prints and self._leads_to(cell.reads, "matplotlib"))
        plain = (place for place in look.values if prints[place] is None and owned.is_own(place))
        places_said = [place for place in plain if re.split("[.:]", place)[-1] in said]
        kept = {place: self._kept(look.values[place]) for place in places_said}
        return replace(cell, prints=prints, ours={**ours, **cell.ours}, kept={**kept, **cell.kept}, draws=draws)

    def cell_ends(self, spots_of: places.Places, code: Callable[[], str]) -> None:
        """Note what the cell set; `code` gives a digest of it."""
        cell, self._cell = self._cell, None
        if cell is None:
            return
        parts = _parts(cell.ambient, ambient.look(), cell.use)
        look = spots_of.look(cell.words, cell.reads, cell.imports)
        added = {part: False for part, is_set in parts.items() if is_set}
        moved = spots_of.moved(cell.places, look, cell.words)
        spots_of.keep(cell.places, look, moved.keys(), cell.words)
        for place, is_added in moved.items():
            added[part_of(PLACE, place)] = is_added
        for place, print_ in self._prints(look).items():
            is_handlers = place.startswith("@handlers")  # a logger that had none is not looked at
            before = cell.prints.get(place, "" if is_handlers else None)
            is_changed = print_ != before
            if print_ is None:
                is_changed |= re.split("[.:]", place)[-1] in cell.words.touched
                is_changed |= not self._ours(look.values[place]) <= cell.ours.get(place, frozenset())
                is_changed |= place == _FIGURES and cell.draws
                is_changed |= place in cell.kept and self._kept(look.values[place]) != cell.kept[place]
            if is_changed:
                added.setdefault(part_of(PLACE, place), False)
        gone = cell.prints.keys() - look.values.keys()  # the last handler was taken away, the last figure closed
        added |= {part_of(PLACE, place): False for place in gone if place.startswith(_EMPTIED)}
        for part in (*parts, *added):
            self._olds.pop(part, None)
        if added:
            digest = " ".join((code(), *cell.texts))
            for part, is_new in added.items():
                self._set[part] = Setter(f"{digest}{self._content(part)}", is_added=is_new)

    def _leads_to(self, names: Set[str], library: str) -> bool:
        """Whether names may lead to anything of a library."""
        found = reaching.reach(names, self._namespace)
        return not found.is_all or any(module.partition(".")[0] == library for module in found.modules)

    def _ours(self, value: Any) -> Set[int]:
        """What of the notebook a value holds that has no digest."""
        return frozenset(map(identity, reaching.ours(value, self._namespace)))

    # -- steps ----------------------------------------------------------------------------------------------

    def held(self, use: Use, own: Own) -> tuple[list[Any], Set[str]]:
        """What of the notebook is in the parts that code of this kernel set and that other code may read.

        And the user's own modules of which anything is there.
        """
        self._look_back()
        parts = [part for part, one in self._set.items() if _may_read(part, one, use, own)]
        look = ambient.look() if any(split(part)[0] != PLACE for part in parts) else self._first
        values = [
            spots.read(name) if origin == PLACE else ambient.value(look, origin, name)
            for origin, name in map(split, parts)
        ]
        modules = set[str]()
        found = [*reaching.all_ours(values, self._namespace, modules=modules)]
        return found, {*filter(owned.is_own, modules)}

    def before_step(self, look: ambient.Ambient) -> dict[str, Part]:
        """All parts that code of this kernel set, as they are now."""
        self._look_back()
        return {part: Part(self._value(part, look), setter) for part, setter in self._set.items()}

    def setters(self) -> Mapping[str, Setter]:
        """Who set each part last."""
        return self._set

    def modules_set(self) -> dict[str, bool]:
        """The user's own modules in which code of this kernel put something, and whether that can be compared."""
        parts, found = [*filter(_is_of_own_module, self._set)], dict[str, bool]()
        if not parts:
            return found
        look = ambient.look()
        for part in parts:
            module = split(part)[1].partition(":")[0]
            found[module] = found.get(module, True) and self._value(part, look) is not None
        return found

    def was_set_by(self, key: PipelineKey, step: int) -> bool:
        """Whether an earlier run of a step set anything here."""
        return any((key, step) in by_step for by_step in self._olds.values())

    def again(
        self,
        before: tuple[ambient.Ambient, Set[str]],
        after: ambient.Ambient,
        key: PipelineKey,
        step: int,
        use: Use,
        tree: ast.Module | None,
        *,
        same_code: bool,
    ) -> tuple[ambient.Ambient, dict[str, Any], list[str]]:
        """Make up for what a step that ran a second time had set already: it would set it, and nothing would change.

        Parameters
        ----------
        before, after
            Looks at the surroundings around the step; with the first the places that it changed.
        key, step, use, tree
            Which step, and what its code uses; the code, if it is known.
        same_code
            Whether that is the code that ran here before.

        Returns
        -------
        Ambient, dict, list of str
            The look as if the step had not run yet; places that count as changed, with what was in them before; marks:
            an earlier text of the cell set a part, while nobody knows whether this one does, or the step may have gone
            on from what it had set itself.
        """
        look, moved = before
        olds: dict[tuple[str, str], Any] = {}
        placed: dict[str, Any] = {}
        marks = []
        text = text_of(tree)
        for part, by_step in self._olds.items():
            if (key, step) not in by_step:
                continue
            origin, name = split(part)
            old = next(old for (one, at), old in by_step.items() if one == key and at >= step)
            found = ABSENT if origin == PLACE else ambient.value(look, origin, name)
            now = spots.read(name) if origin == PLACE else ambient.value(after, origin, name)
            is_left = origin == PLACE or not options.equal(old, found)
            is_moved = name in moved if origin == PLACE else not options.equal(found, now)
            if (
                origin == ambient.LIST
                and is_left
                and is_moved
                and ambient.puts_the_same(name, (old, found), (found, now))
            ):
                continue  # it did what it would have done without its earlier run
            if not same_code and not is_moved and not (use.names(part) and text.may_set(part)):
                if is_left and (origin == PLACE or not options.equal(old, now)):
                    marks.append(f"on what an earlier text of it set (`{label(part)}`)")
                continue
            if is_left and part in self._set and (text.asks(part) or (is_moved and not text.says(part, now))):
                marks.append(f"on what an earlier run of it set (`{label(part)}`)")
            if origin == PLACE:
                placed[name] = old
            else:
                olds[origin, name] = old
        return ambient.with_values(look, olds) if olds else look, placed, marks

    def step_ran(
        self,
        key: PipelineKey,
        step: int,
        code: str,
        sets: Mapping[str, bool],
        before: ambient.Ambient,
        parts: Mapping[str, Any],
    ) -> None:
        """Note that a step ran, or was restored, and what it set; `before` and `parts` of places are from before."""
        for part, is_set in sets.items():
            origin, name = split(part)
            if name.startswith("@"):
                old = None  # such as the open figures, which nobody may keep alive
            else:
                old = parts.get(name) if origin == PLACE else ambient.value(before, origin, name)
            self._olds.setdefault(part, {}).setdefault((key, step), old)
            if is_set:
                self._set[part] = Setter(f"step {step} {code}{_extent(part)}{self._content(part)}", (key, step))

    def misfits(
        self, meta: Mapping[str, Any], key: PipelineKey, use: Callable[[], Use], secrets: Iterable[bytes]
    ) -> list[str]:
        """What is not as it was before a step, and matters to it: for people.

        Parameters
        ----------
        meta
            META of its checkpoint.
        key
            Its pipeline.
        use
            Gives what the code that made the checkpoint uses.
        secrets
            Those of the keys that are accepted.
        """
        self._look_back()
        rows: Mapping[str, list[str] | None] = meta["around"]
        if not rows and not self._set:
            return []
        look, secrets = ambient.look(), list(secrets)
        own: Own = lambda: owned.own_modules() if meta["evidence"] is None else meta["evidence"]["modules"]
        found = []
        for part, row in rows.items():
            value, setter = self._value(part, look), self._set.get(part)
            if row is None or (value is not None and _is_one_of(row[0], value, secrets)):
                continue
            if setter is None or not _is_one_of(row[1], setter.code, secrets) or (row[0] and row[2:]):
                found.append(part)
        for part, setter in self._set.items():
            if part not in rows and _matters(part, setter, use(), own, key, meta["step"], meta["sets"]):
                found.append(part)
        return [label(part) for part in found]

    def _value(self, part: str, look: ambient.Ambient) -> str | None:
        """A text that is equal for equal values; None for a value that has no plain form."""
        origin, name = split(part)
        value = spots.read(name) if origin == PLACE else ambient.value(look, origin, name)
        if type(value) in _FUNCTIONS:  # what they use is among the evidence of the steps that may read the part
            return looking.look(value, self._namespace).digest
        setter = self._set.get(part)
        if origin == PLACE and spots.is_unseen(name) and setter:
            return None  # so that the code counts that set it, and what is in the module
        if origin == PLACE:
            return "absent" if value is ABSENT else self._print(name, value)
        first = ambient.value(self._first, origin, name)
        try:
            plain = ambient.plain(origin, name, value)
            if origin == ambient.LIST:  # what an installation begins with is its own
                old = ambient.plain(origin, name, first)
                plain = [item for item in plain if item not in old], [item for item in old if item not in plain]
        except TypeError:
            return None
        if name == "cwd" and plain and first:  # seen from where the kernel began: a project may be moved
            plain = os.path.relpath(plain, first)
        return canonical.fingerprint(plain)

    def _content(self, part: str) -> str:
        """A look at what a module of the user's own keeps without a plain form: it may be a table read from a file."""
        _, name = split(part)
        if name.startswith(spots.MODULE):
            return f" {self._kept(sys.modules.get(name.removeprefix(spots.MODULE)))}"
        if not _is_of_own_module(part):
            return ""
        value = spots.read(name)
        told = type(value) in _FUNCTIONS or self._print(name, value) is not None
        return "" if told else f" {self._kept(value)}"

    def _prints(self, look: places.Look) -> dict[str, str | None]:
        """Digests of what may change in place."""
        return {place: self._print(place, value) for place, value in look.values.items()}

    def _print(self, place: str, value: Any) -> str | None:
        if place.startswith("@handlers") and value:
            return spots.handlers_as_text(value, self._namespace)
        if (found := canonical.fingerprint(value)) is not None:
            return found
        try:
            return canonical.fingerprint(_in_builtins(value, [_MOST]))
        except TypeError:
            return None

    def _kept(self, value: Any) -> str | None:
        if type(value) is types.ModuleType:  # that nobody imports: its name does not tell what is in it
            value = without_machinery(vars(value))
        return looking.look(value, self._namespace).digest


_EMPTIED: Final = ("@handlers", "@filters", _FIGURES)  # what is not looked at while nothing is there
_MOST: Final = 1000  # parts of a value, at so many levels
_DEEP: Final = 9
_FUNCTIONS: Final = frozenset({types.FunctionType, property, staticmethod, classmethod})
_TYPES: Final = frozenset({types.GenericAlias, types.UnionType})
_VARIABLES: Final = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple, typing.NewType)
_VALUES: Final[frozenset[type]] = frozenset(
    {
        *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
        *(decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, range, slice),
        *(type(pathlib.Path()), type(pathlib.PurePath())),
    }
)


def parts_before(sets: Iterable[str]) -> dict[str, Any]:
    """What is in the places that a restore will set."""
    names = [name for origin, name in map(split, sets) if origin == PLACE]
    return {name: parts_of(spots.read(name)) for name in names}


def rows(
    before: Mapping[str, Part], use: Use, own: Own, key: PipelineKey, step: int, sets: Iterable[str], secret: bytes
) -> Rows:
    """For META: what of the surroundings a step may have read; None for a part that it did not."""
    found: Rows = {}
    for part, one in before.items():
        found[part] = None
        is_tied = part in sets and one.setter.step is None  # it holds an object that the step changed by another name
        if is_tied or _matters(part, one.setter, use, own, key, step, sets):
            value = "" if one.value is None else _signed(one.value, secret)
            is_told = use.names(part) or _may_be_read_from_a_file(part) or _is_behind_modules(part, use)
            named = ["named"] if is_told else []
            found[part] = [value, _signed(one.setter.code, secret), *named]
    return found


def sets(before: ambient.Ambient, after: ambient.Ambient, placed: Iterable[str], use: Use) -> dict[str, bool]:
    """For META: what a step set, `placed` being the places among that; False for what only an import may have set."""
    return {**_parts(before, after, use), **{part_of(PLACE, place): True for place in placed}}


def _parts(before: ambient.Ambient, after: ambient.Ambient, use: Use) -> dict[str, bool]:
    found = {}
    for (origin, name), value in ambient.changes(before, after).items():
        part = part_of(origin, name)
        own = origin in (ambient.SETTING, ambient.LIST) or options.is_worth_saying(origin, name, value)
        found[part] = own and use.may_set(part)
    return found


def _matters(part: str, setter: Setter, use: Use, own: Own, key: PipelineKey, step: int, sets: Iterable[str]) -> bool:
    """Whether a step may rest on a part; on what it or a later step set only if it names that and does not set it."""
    if setter.step is not None and setter.step[0] == key and setter.step[1] >= step:
        return use.names(part) and part not in sets
    return _may_read(part, setter, use, own)


def _may_read(part: str, setter: Setter, use: Use, own: Own) -> bool:
    """Whether code may read a part; of a module of the user's own only code that runs through it, or names the part."""
    if use.is_open or not _is_of_own_module(part):
        return use.may_read(part, is_added=setter.is_added)
    return use.names(part) or split(part)[1].partition(":")[0] in own()


def _is_of_own_module(part: str) -> bool:
    """Whether a part lies in a module of the user's own."""
    origin, name = split(part)
    return origin == PLACE and owned.is_own(name)


def _may_be_read_from_a_file(part: str) -> bool:
    """Whether the same code may put other data into a part, and code that does not name the part may read it."""
    return _is_of_own_module(part) or split(part)[1].startswith(spots.ATTRIBUTE_OF_LOGGER)


def _extent(part: str) -> str:
    """How much is in a container that code changes in place: the same code may put in more the next time."""
    origin, name = split(part)
    value: Any = spots.read(name) if origin == PLACE else None
    return f" {len(value)}" if type(value) in CONTAINERS else ""


def _is_behind_modules(part: str, use: Use) -> bool:
    """Whether a part is an attribute of a library that modules of the user's read for the code."""
    origin, name = split(part)
    return origin == PLACE and name[0] != "@" and use.is_behind_modules(name)


def _reached(look: places.Look) -> Set[str]:
    """Places in which code can put something, or in which it can change something."""
    return {place for place in look.values if place[0] == "@" or spots.owner_name(place) in look.owners}


def _in_builtins(value: Any, room: list[int], depth: int = 0) -> Any:
    """What is in a value, objects of the user's modules and what is found there by its name told as such.

    What these names stand for is among the evidence of the steps that use the modules. TypeError for any other value,
    and for one with more parts than there is `room`.
    """
    kind = type(value)
    room[0] -= 1
    if room[0] < 0 or depth > _DEEP:
        raise TypeError
    if kind in ATOMS:
        return value
    if kind in (list, tuple):
        return [kind.__name__, *(_in_builtins(one, room, depth + 1) for one in value)]
    if kind is dict:
        return {_in_builtins(key, room, depth + 1): _in_builtins(one, room, depth + 1) for key, one in value.items()}
    if kind is types.FunctionType or issubclass(kind, type):
        if not importable(value) or not owned.is_own(value.__module__):
            raise TypeError
        return ["named", value.__module__, value.__qualname__]
    if issubclass(kind, enum.Enum):
        is_known = kind.__module__ != "__main__" and importable(kind)
        if not is_known or vars(kind)["_member_map_"].get(value._name_) is not value:  # `re.I | re.M` is none
            raise TypeError
        return "member", kind.__module__, kind.__qualname__, value._name_
    if kind in _VALUES:
        reduce: Any = copyreg.dispatch_table.get(kind, operator.methodcaller("__reduce_ex__", 2))
        parts = [one for one in tuple(reduce(value))[1:3] if one is not None]
        parts[0] = tuple(one for one in parts[0] if one is not kind)
        return "value", kind.__module__, kind.__qualname__, *(_in_builtins(one, room, depth + 1) for one in parts)
    if kind.__module__ == "typing" or kind in _TYPES:
        text = repr(value)
        if isinstance(value, _VARIABLES) or "__main__" in text:  # what these stand for is in no text
            raise TypeError
        return ["type", text]
    if kind is threading.local:  # what it holds for this thread
        return ["local", _in_builtins(vars(value), room, depth + 1)]
    if kind is contextvars.ContextVar:
        return ["variable", *(_in_builtins(one, room, depth + 1) for one in [value.get(None)] if one is not None)]
    plain = all(one is object or owned.is_own(one.__module__) for one in type.mro(kind))
    if not plain or any("__slots__" in vars(one) for one in type.mro(kind)):
        raise TypeError
    return ["object", kind.__module__, kind.__qualname__, _in_builtins(vars(value), room, depth + 1)]


def _signed(text: str, secret: bytes) -> str:
    return hashlib.blake2b(text.encode(), key=secret, digest_size=8, person=b"ckpt_magic part").hexdigest()


def _is_one_of(signed: str, text: str, secrets: Iterable[bytes]) -> bool:
    return any(_signed(text, secret) == signed for secret in secrets)


def label(part: str) -> str:
    """Call a part by what people know it as."""
    origin, name = split(part)
    return spots.label(name) if origin == PLACE else ambient.label(origin, name)
