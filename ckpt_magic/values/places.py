"""What a notebook keeps outside its namespace: attributes of modules and of their classes, handlers, open figures.

A *place* is such a spot, by a name that no variable can have: ``math:tau``, ``pandas:DataFrame.total``,
``@signal 14``. The values found there are looked at, compared and saved with the variables, so that what they share
stays shared; here is only where they are, which changes count, and how they come back.

Libraries change their own attributes all the time (lazy imports, counters, caches). Of a library a change counts only

1. where the code that runs mentions the module or class, itself or through functions of the notebook, and
2. if the code sets an attribute of that name, or the value is made by the notebook, or attributes are set by name
   (`setattr`); for what is changed in place, if the code touches an attribute of that name;
3. on a class also if the new attribute is a function of another library (`tqdm.pandas()`).

Modules of the user's own, outside of where packages are installed, are looked at whole: with them each change counts.
"""

from __future__ import annotations

import abc
import collections
import enum
import functools
import itertools
import operator
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.values import counters
from ckpt_magic.values.code.reaching import SETTING_OPS, named, ours, reach, rebound, words_of
from ckpt_magic.values.code.source import leads_to_all, reaches_all
from ckpt_magic.values.code.vocabulary import Words
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import MAIN, Path, dict_of, disown, is_of_the_process, is_own, key_of, known
from ckpt_magic.values.owners import (
    ABSENT,
    CONTAINERS,
    UNKNOWN,
    are_held,
    can_change,
    codes,
    comes_anew,
    content_of,
    dispatched,
    functions_in,
    goes_on,
    has_other_parts,
    holds_instances,
    in_own,
    inside_function,
    inside_of,
    is_dict,
    is_handled,
    is_host,
    is_missed,
    is_named_after,
    is_original,
    is_same_package,
    is_setter,
    module_name,
    module_of,
    parts_of,
    parts_with,
    pour,
    source_digest,
)
from ckpt_magic.values.pickles.forms import Owned
from ckpt_magic.values.pickles.references import ATOMS, by_reference, can_be_set
from ckpt_magic.values.pickles.tokens import OF_MEMBERS, is_of_atoms
from ckpt_magic.values.setters import Called, called
from ckpt_magic.values.spots import (
    CALLBACKS,
    COMPARED,
    OF_TREES,
    THERE_ANYWAY,
    UNWRITABLE,
    delete,
    is_looked_after,
    label,
    owner_name,
    owner_of,
    place_of,
    read,
    register_handlers,
    specials,
    subclasses,
    write,
)

Rows = list[tuple[str, str, Any]]


@dataclass(slots=True)
class Look:
    """What one look at the places saw.

    Attributes
    ----------
    owners
        Per owner of places (a module or a class) its attributes.
    values
        Per place a value that may change in place, to be looked at with the variables; of an object of a library what
        is in it.
    live
        Those objects of libraries.
    parts
        Per place that holds a list, dict or set what is in it.
    sets
        Per owner the attributes that functions of libraries may set, see `setters`.
    registries, rebound
        Those of them, with their owners, in which nothing but classes may be put, and that may become another object.
    specs
        Of each of the user's own modules what it was loaded by: another one when it is loaded again.
    """

    owners: dict[str, dict[str, Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    sets: Mapping[str, Set[str] | None] = field(default_factory=dict)
    registries: Set[tuple[str, str]] = frozenset()
    rebound: Set[tuple[str, str]] = frozenset()
    specs: dict[str, Any] = field(default_factory=dict)

    def add(self, later: Look) -> None:
        """Take in what a later look saw besides; what both saw was so at first."""
        self.owners = later.owners | self.owners
        self.values = later.values | self.values
        self.live = later.live | self.live
        self.parts = later.parts | self.parts
        self.specs = later.specs | self.specs


@dataclass(slots=True)
class Found:
    """What happened to places in a step.

    Attributes
    ----------
    values
        Values of places now, to be compared with those before and saved with the variables.
    live
        Objects of libraries of which only the content is compared.
    gone
        Places that are no more.
    surely
        Places with another value than before; of the rest the values tell.
    sets
        Places that functions of libraries may have set.
    moved
        Modules that were loaded again, places of what has gone on although nobody can see it: why, for people.
    """

    values: dict[str, Any]
    live: dict[str, Any]
    gone: list[str]
    surely: set[str]
    sets: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a comparison said of the values of places.

    Attributes
    ----------
    saved
        Values that go into the checkpoint.
    changed
        Those that changed themselves; the others only share something with what did.
    lost
        Values that would, and cannot be saved, with the reason.
    unknown
        Places whose value nobody can compare.
    tied
        Places with the content that they had, which is an object of something that changed.
    """

    saved: Mapping[str, Any]
    changed: Set[str]
    lost: Mapping[str, str]
    unknown: Set[str]
    tied: Set[str] = frozenset()


class Places:
    """The places of one kernel.

    Parameters
    ----------
    namespace
        The globals of the notebook's functions.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._kept: set[str] = set()  # set by a step here: notebook state from then on
        self._followed: set[str] = set()  # objects of libraries that variables hold
        self._filled: set[str] = set()  # objects of libraries into which the notebook put others
        self._originals: dict[str, Any] = {}
        self._own: dict[str, _Module] = {}

    # -- looking ----------------------------------------------------------------------------------------------

    def look(self, words: Words, names: Iterable[str], imports: Iterable[str]) -> Look:
        """Look at what the code can change outside the namespace.

        Parameters
        ----------
        words
            The identifiers of the code that runs, functions that it reaches included.
        names
            The names that it reads.
        imports
            The modules that it imports.
        """
        seen = Look()
        self._find_own_modules(words, imports)
        for name, module in self._own.items():
            self._look_at_own(name, module, words, seen)
        for name, owner in self._owners(words, names, imports).items():
            seen.owners[name] = attributes = dict(vars(owner))
            if words.stored or "__kwdefaults__" in words.touched:
                for key in words.read & attributes.keys():
                    if type(function := attributes[key]) is types.FunctionType and by_reference(function):
                        self._look_at_function(place_of(name, key), function, words, seen)
            attributes |= {key: getattr(owner, key) for key in words.stored if is_looked_after(owner, key)}
            if words.stored and isinstance(owner, enum.EnumMeta):
                members = dict(_members(name, owner))
                seen.owners |= {one: members[one] for one in members if one.rpartition(".")[2] in words.read}
            self._look_inside(name, owner, attributes, words, seen)
            if isinstance(owner, abc.ABCMeta) and "register" in words.read:
                seen.owners[f"@subclasses of {name} "] = subclasses(owner, words.read)
        calls = called(words.calls, self._namespace, words.read)
        self._look_at_sets(calls, seen)
        for place in self._kept:
            if place not in seen.values and (value := read(place)) is not ABSENT:
                seen.values[place] = value
        for place in (self._followed | self._filled) - seen.values.keys():
            if (value := read(place)) is ABSENT or not can_change(value):
                continue
            inside = inside_of(value)
            if place in self._followed or not any(map(is_missed, _parts(inside))):
                seen.values[place], seen.live[place] = inside, value
        for owner, key in counters.by_object():
            value = read(place := place_of(owner, key))
            if value is not ABSENT and value:
                seen.values[place], seen.live[place] = inside_of(value), value
        by_own = (one.words.read & COMPARED for one in self._own.values())
        said = (words.read | calls.words).union(*by_own)
        said |= {"sys"} if "modules" in words.touched else set()  # `from sys import modules` above it
        if any(name not in sys.modules for name in imports):  # a module of the user's own that has some of them, too
            said |= COMPARED
        owners, values = specials(said, calls.compiled)
        seen.owners |= owners
        for place, value in values.items():
            if identity(value) in known():
                seen.live[place] = value
            seen.values[place] = inside_of(value) if place in seen.live else value
        seen.parts = {place: parts_of(seen.live.get(place, value)) for place, value in seen.values.items()}
        return seen

    def compare(
        self,
        before: Look,
        after: Look,
        words: Words,
        settings: Mapping[tuple[str, str], Any] | None = None,
        *,
        set_up: bool = False,
    ) -> Found:
        """Tell which places have to be compared, and which have changed for sure.

        Parameters
        ----------
        before, after
            The looks, around a step.
        words
            The identifiers of the code.
        settings
            `ambient.Change.values`, which are looked after here.
        set_up
            Whether the code changed what modules may have asked for when they were loaded, surroundings or chance: what
            those of the user's hold is then not what any import would give them.
        """
        set_up |= bool(words.stored)
        found = Found(dict(after.values), dict(after.live), [], set())
        for (source, key), value in (settings or {}).items():
            found.values[f"@option {source}|{key}"] = value
            found.surely.add(f"@option {source}|{key}")
        for name, attributes in after.owners.items():
            old = before.owners.get(name)
            if old is None and name in THERE_ANYWAY:
                continue
            for key, value in attributes.items():
                was = ABSENT if old is None else old.get(key, ABSENT)
                if was is value:
                    continue
                place = place_of(name, key)
                if (
                    (set_up and old is None and is_own(name) and is_of_atoms(value) and key[:2] != "__")
                    or self._is_set(name, key, value, after, is_new=old is None)
                    or self._counts(name, key, was, value, words, is_new=old is None)
                ):
                    is_another = old is not None or key in words.stored or (name, key) in after.rebound
                    if is_another or not _is_kept_by_library(name, found.live.get(place)):
                        found.values[place] = value
                        found.live.pop(place, None)
                        if old is None:
                            disown((name.partition(":")[0], *filter(None, name.partition(":")[2].split(".")), key))
                    found.surely.add(place)
                    self._remember(place, was if old is not None else UNKNOWN)
                elif place in found.values and (old is not None or (name, key) in after.registries):
                    del found.values[place]
                    found.live.pop(place, None)
            for key in (old or {}).keys() - attributes.keys():
                if is_own(name) or key in words.stored or words.by_name or place_of(name, key) in self._kept:
                    found.gone.append(place_of(name, key))
                    self._remember(place_of(name, key), (old or {})[key])
        others = after.live.keys() - found.live.keys()
        for place in [one for one in found.live if others and owner_name(one) in others]:
            del found.values[place], found.live[place]  # it comes with the object that has it
        found.sets = {
            place
            for name, keys in after.sets.items()
            for key in keys or ()
            if (place := place_of(name, key)) in found.values
        }
        found.gone += [place for place in before.values if place not in found.values and place not in found.gone]
        found.gone = [place for place in found.gone if (now := read(place)) is ABSENT or (place[0] == "@" and not now)]
        found.moved = {**_loaded_again(before, after, self._originals), **self._gone_on(after, words)}
        return found

    def _gone_on(self, after: Look, words: Words) -> dict[str, str]:
        """Generators and the like of the user's modules that the code, or what it calls of theirs, has its hands on."""
        moving = {
            place: value
            for place, value in (after.values.items() if self._own else ())
            if place.partition(":")[0] in self._own and goes_on(value)
        }
        reached = self._reached(words) if moving else set()
        return {
            place: f"{label(place)} (a {type(value).__name__})"
            for place, value in moving.items()
            if place.rpartition(":")[2].rpartition(".")[2] in reached
        }

    def _reached(self, words: Words) -> Set[str]:
        """The identifiers in the code that runs, and in functions of the user's modules that go by one of them."""
        reached = set(words.read)
        left = [code for known in self._own.values() for code in codes(known.module)]
        while found := [code for code in left if not reached.isdisjoint(code.co_qualname.split("."))]:
            reached |= words_of(found).read
            left = [code for code in left if code not in found]
        return reached

    def moved(self, before: Look, after: Look, words: Words) -> dict[str, bool]:
        """Places where something else is now, as far as identity tells, each with whether nothing was there before."""
        found = {}
        for name, attributes in after.owners.items():
            old = before.owners.get(name)
            if old is None and name in THERE_ANYWAY:
                continue
            if (
                old is not None
                and list(old) == list(attributes)
                and all(map(operator.is_, old.values(), attributes.values()))
            ):
                continue
            for key, value in attributes.items():
                was = ABSENT if old is None else old.get(key, ABSENT)
                if was is not value and (
                    self._is_set(name, key, value, after, is_new=old is None)
                    or self._counts(name, key, was, value, words, is_new=old is None)
                ):
                    found[place_of(name, key)] = was is ABSENT and old is not None and not _is_inherited(name, key)
            gone = (old or {}).keys() - attributes.keys()
            found.update({place_of(name, key): False for key in gone if is_own(name) or key in words.stored})
        for place, value in after.values.items():
            if has_other_parts(before.parts.get(place), after.live.get(place, value)):
                found.setdefault(place, False)
        return found

    def rows(self, found: Found, before: Look, delta: Changed) -> tuple[Rows, dict[str, str]]:
        """Describe for `put_back` what changed; what cannot be described is refused.

        Parameters
        ----------
        found
            What `compare` found.
        before
            The look before the step.
        delta
            What the comparison of the values said.
        """
        rows: Rows = [(place, "delete", None) for place in found.gone]
        refused = dict(found.moved)
        # what a library compares by identity (a mark for "no value") is found in other places of it, too
        torn = {place.partition(":")[0] for place in found.sets & delta.tied - self._kept - found.surely}
        for place, value in delta.saved.items():
            module = place.partition(":")[0]
            is_new = place not in before.values and not any(one.startswith(f"{module}:") for one in before.owners)
            is_torn = module in torn or (is_new and holds_instances(value, module))
            if place in found.sets - delta.tied and is_torn:
                refused[place] = f"{label(place)} (it has objects that the library has elsewhere, too)"
            elif place.startswith(UNWRITABLE):
                refused[place] = label(place)
            elif place.startswith(CALLBACKS) and not all(self._leaves_variables_alone(one) for (one,) in value):
                refused[place] = f"{label(place)} (it may change variables)"
            elif is_original(place, value):
                if place in self._kept or not is_own(place):
                    rows.append((place, "original", None))
            elif place in found.live:
                if _is_filled(before.values.get(place), found.values[place]):
                    self._filled.add(place)
                if place in delta.changed or place[0] == "@" or place in self._filled:  # a name shares what is in it
                    rows.append((place, "pour", content_of(found.live[place], value, before.parts.get(place))))
            else:
                rows.append((place, "set", value))
        lost = {place: why for place, why in delta.lost.items() if place not in found.moved}
        for place, why in lost.items():
            mine = place in found.surely or place[0] == "@" or place in before.values
            if mine and (place not in found.live or has_other_parts(before.parts.get(place), found.live[place])):
                refused[place] = f"{label(place)} ({why})"
        for place in delta.unknown - delta.lost.keys() - found.moved.keys():
            value = found.live.get(place, found.values[place])
            if has_other_parts(before.parts.get(place), value):
                refused[place] = f"{label(place)} (a {type(value).__name__})"
        self._kept |= {place for place, how, _ in rows if how == "set"}
        self._kept -= {place for place, how, _ in rows if how in ("delete", "original")}
        return rows, refused

    def _leaves_variables_alone(self, callback: Any) -> bool:
        """Whether what runs beside cells changes nothing of the notebook: nobody would see it after a restored one."""
        if type(callback) is not types.FunctionType or callback.__closure__ is not None:
            return False
        way = reach((), self._namespace, also=[callback])
        met = [*way.definitions, *map(self._namespace.get, way.names & self._namespace.keys())]
        functions = [one for one in met if type(one) is types.FunctionType]
        kept = [part for one in functions for part in (*(one.__defaults__ or ()), one.__kwdefaults__)]
        kept += [part for one in functions for part in vars(one).values()]
        return (
            not reaches_all(way.names)
            and not any(leads_to_all(code) or next(named(code, SETTING_OPS), "") for code in way.codes)
            and all(type(one) in _WITHOUT_DATA for one in met)
            and all(type(one) in ATOMS for one in kept)
        )

    def originals(self) -> list[Owned]:
        """Definitions of libraries in whose places something else is now."""
        return [
            Owned(value, *owner_of(place), place)
            for place, value in self._originals.items()
            if value is not ABSENT and value is not UNKNOWN and read(place) is not value
        ]

    def follow(self, paths: Iterable[Path]) -> None:
        """Look from now on at these objects of libraries, since variables hold them."""
        for path in paths:
            if path[0] in ("logging", "sys", "warnings", "matplotlib") or is_of_the_process(path):
                continue
            if key_of(path[-1]) is None:  # else what holds it is followed
                self._followed.add(f"{path[0]}:{'.'.join(path[1:])}")

    def keep(self, before: Look, after: Look, moved: Set[str], words: Words) -> None:
        """Look from now on at what an unmarked cell put into these places, as at what a step did.

        A step may change it in place by another name, or give that name another object. What a module of the user's
        own holds as its import made it, is none of that.
        """
        for name, attributes in after.owners.items():
            if name[0] == "@" and not name.startswith(_LIKE_ATTRIBUTES):
                continue
            old = before.owners.get(name, {})
            is_loaded = name not in before.owners and is_own(name)
            for key, value in attributes.items():
                if type(value) in ATOMS or issubclass(type(value), types.ModuleType):
                    continue
                if is_loaded and key not in words.stored:
                    continue
                if old.get(key, ABSENT) is not value and (place := place_of(name, key)) in moved:
                    self._kept.add(place)
        places = moved & after.live.keys() - self._kept
        self._filled |= {one for one in places if _is_filled(before.values.get(one), after.values[one])}

    def original(self, place: str) -> Any:
        """What a place held before anybody set it, if it was set here."""
        value = self._originals.get(place, UNKNOWN)
        return None if value is UNKNOWN or value is ABSENT else value

    def sources(self, before: Look, rows: Rows) -> dict[str, str]:
        """Digests of the user's modules that the step was the first to load: what they held before is not known."""
        names = {place.partition(":")[0] for place, _, _ in rows}
        return {
            name: source_digest(sys.modules[name])
            for name in names
            if name in self._own and f"{name}:" not in before.owners and name in sys.modules
        }

    # -- putting back -----------------------------------------------------------------------------------------

    def check(self, rows: Iterable[tuple[str, str, Any]]) -> None:
        """Find out whether `put_back` can do its work; modules that are not loaded are imported.

        Raises
        ------
        CheckpointUnreadableError
            An owner of a place is not here. Nothing was changed.
        """
        for place, how, _ in rows:
            owner_of(place)
            if how == "pour" and place[0] != "@" and ((here := read(place)) is ABSENT or type(here) in ATOMS):
                raise CheckpointUnreadableError(f"the step changed {label(place)}, which is not here")
            if how == "original" and self._originals.get(place, UNKNOWN) is UNKNOWN:
                value = read(place)
                if value is ABSENT or not is_original(place, value):
                    raise CheckpointUnreadableError(
                        f"the step put back what {label(place)} was, which is not known here"
                    )

    def put_back(self, rows: Rows, sources: Mapping[str, str]) -> None:
        """Bring the places into the state that a step left.

        Parameters
        ----------
        rows
            As of `rows`.
        sources
            As of `sources`: of a module whose file is another one now, what it defines wins.
        """
        edited = {
            name
            for name, digest in sources.items()
            if name in sys.modules and source_digest(sys.modules[name]) != digest
        }
        for place, how, value in rows:
            if place.partition(":")[0] in edited:
                continue
            old = read(place)
            self._remember(place, old)
            if how == "delete" or (how == "original" and self._originals.get(place) is ABSENT):
                if old is not ABSENT:
                    delete(place)
                self._kept.discard(place)
            elif how == "original":
                if self._originals.get(place, UNKNOWN) is not UNKNOWN:
                    write(place, self._originals[place])
                self._kept.discard(place)
            elif how == "pour" and old is not ABSENT:
                before = inside_of(old)
                pour(old, value)
                _forget_answers(place)
                if _is_filled(before, inside_of(old)):
                    self._filled.add(place)
            else:
                write(place, value)
                self._kept.add(place)
        register_handlers(place for place, _, _ in rows)

    # -- the user's own modules ---------------------------------------------------------------------------------

    def _find_own_modules(self, words: Words, imports: Iterable[str]) -> None:
        """Note the modules of the user's own that the namespace, or another one of them, has something of."""
        todo = {*imports, *words.read}
        for value in list(self._namespace.values()):
            if type(value) not in _BUILTIN:
                todo.add(module_of(value))
        while todo:
            name = todo.pop()
            module = sys.modules.get(name)
            if name in self._own or not isinstance(module, types.ModuleType) or not is_own(name):
                continue
            if vars(module) is self._namespace:
                continue
            self._own[name] = found = _Module(module)
            parents = {name.rpartition(".")[0]}
            inside = [one for one in vars(module).values() if type(one) not in ATOMS]
            todo |= {*map(module_of, inside)} | parents | found.words.read

    def _look_at_own(self, name: str, known: _Module, words: Words, seen: Look) -> None:
        """Look at all that one of the user's modules holds, its classes and functions included."""
        module = known.module
        if sys.modules.get(name) is not module:
            if not isinstance(again := sys.modules.get(name), types.ModuleType):
                return
            known.module = module = again
        seen.specs[name] = getattr(module, "__spec__", None)

        def is_said(key: str) -> bool:
            here = key in words.read or key in words.stored
            return here if key in _SAID_HERE else here or key in known.words.read or key in known.words.stored

        attributes = in_own(vars(module), is_said)
        attributes |= {key: getattr(module, key) for key in words.stored if is_looked_after(module, key)}
        owners = {f"{name}:": attributes}
        functions: dict[str, Any] = {}
        for key, value in attributes.items():
            if getattr(value, "__module__", None) == name and type(value) not in ATOMS:
                if isinstance(value, type) and by_reference(value):
                    owners[f"{name}:{key}"] = inner = in_own(vars(value), is_said)
                    owners |= _members(f"{name}:{key}", value)
                    functions |= {f"{name}:{key}.{word}": one for word, one in inner.items()}
                else:
                    functions[f"{name}:{key}"] = value
        for place, function in itertools.chain.from_iterable(itertools.starmap(functions_in, functions.items())):
            is_made_around = function.__module__ == name and by_reference(function)  # by a decorator of a library
            if function.__globals__ is not vars(module) and not is_made_around:
                continue
            inner = {key: one for key, one in inside_function(function) if one is not None or key not in _DEFAULTS}
            inner |= {key: getattr(function, key) for key in _SET_ON_FUNCTIONS if key in words.stored}
            if "__annotations__" in words.read:
                inner["__annotations__"] = function.__annotations__
            if inner:
                owners[place] = inner
            seen.values |= {f"{place}{way}": one for way, one in dispatched(function)}
        for owner, inner in owners.items():
            for key, value in inner.items():
                if type(value) not in ATOMS and can_change(value):
                    seen.values[place_of(owner, key)] = value
        seen.owners |= owners

    # -- libraries ----------------------------------------------------------------------------------------------

    def _owners(self, words: Words, names: Iterable[str], imports: Iterable[str]) -> dict[str, Any]:
        """Modules and classes of libraries that the code mentions."""
        found: dict[str, Any] = {}
        reads = words.read
        todo = [self._namespace[name] for name in names if name in self._namespace]
        todo += [sys.modules[name] for name in (*imports, *reads) if name in sys.modules]
        parts = (name.partition(":") for name in _PATCHED_BY_OTHERS)
        kinds = (getattr(sys.modules.get(module), part, None) for module, _, part in parts)
        todo += [kind for kind in kinds if kind is not None]
        if any("register" in word for word in reads):
            todo += [sys.modules[name] for name in _FILLED_BY_OTHERS if name in sys.modules]
        for own in self._own.values():
            reads = reads | own.words.read
            todo += vars(own.module).values()
        while todo and len(found) < _OWNERS:
            owner = todo.pop()
            kind = type(owner)
            if issubclass(kind, types.ModuleType) and vars(owner) is not self._namespace:
                name = f"{module_of(owner)}:"
            elif (
                issubclass(kind, type) and owner.__module__ != "__main__" and can_be_set(owner) and by_reference(owner)
            ):
                name = f"{owner.__module__}:{owner.__qualname__}"
            else:
                continue
            module = name.partition(":")[0]
            if name in found or module not in sys.modules or is_own(module) or is_host(module) or module in MAIN:
                continue
            found[name] = owner
            attributes = vars(owner)
            todo += [attributes[word] for word in reads if word in attributes]
            if "__getattr__" in attributes and issubclass(kind, types.ModuleType):
                todo += parts_with(owner, words.touched - attributes.keys())
        return found

    def _look_inside(self, name: str, owner: Any, attributes: Mapping[str, Any], words: Words, seen: Look) -> None:
        keys = (*words.touched, *_CHANGED_BY_CALLS.get(name, ()))
        self._look_at_parts(name, owner, {key: attributes[key] for key in keys if key in attributes}, seen)

    def _look_at_parts(self, name: str, owner: Any, attributes: Mapping[str, Any], seen: Look) -> None:
        for key, value in attributes.items():
            if value is None or type(value) in ATOMS or place_of(name, key) in _HANDLED or not can_change(value):
                continue
            if type(value) not in CONTAINERS and (is_handled(value) or (isinstance(owner, type) and _is_part(value))):
                continue
            place = place_of(name, key)
            if place in _STREAMS:
                continue  # around each cell IPython gives a stream another `write`, which is no state of the notebook
            if place not in self._kept:
                seen.values[place], seen.live[place] = inside_of(value), value
                if not isinstance(value, _FILLED):
                    self._look_at_containers(place, seen.values[place], seen)

    def _look_at_containers(self, place: str, attributes: Mapping[str, Any], seen: Look) -> None:
        """Look at lists and dicts that no name leads to but that of the object of a library which has them."""
        module, _, path = place.partition(":")
        for key, value in attributes.items():
            if type(value) in CONTAINERS and known().get(identity(value)) == (module, *path.split("."), key):
                seen.values[place_of(place, key)], seen.live[place_of(place, key)] = inside_of(value), value

    def _look_at_function(self, place: str, function: types.FunctionType, words: Words, seen: Look) -> None:
        own = {key: value for key, value in vars(function).items() if key in words.stored}
        seen.owners[place] = {key: getattr(function, key) for key in words.stored & _OF_FUNCTIONS} | own
        named = f"{place}.__kwdefaults__"
        if "__kwdefaults__" in words.touched and function.__kwdefaults__ and named not in self._kept:
            seen.values[named], seen.live[named] = dict(function.__kwdefaults__), function.__kwdefaults__

    def _look_at_sets(self, found: Called, seen: Look) -> None:
        """Look at what functions of libraries may set."""
        seen.sets, seen.registries, seen.rebound = found.sets, found.registries, found.rebound
        for place, value in found.values.items():
            if place not in self._kept and place not in _HANDLED:
                seen.values[place], seen.live[place] = inside_of(value), value
        for name, keys in found.sets.items():
            owner = found.owners[name]
            attributes = vars(owner) if keys is None else {key: vars(owner)[key] for key in keys if key in vars(owner)}
            attributes = {key: value for key, value in attributes.items() if not key.startswith("__")}
            seen.owners.setdefault(name, attributes)
            if keys is not None:
                self._look_at_parts(name, owner, attributes, seen)

    def _is_set(self, name: str, key: str, value: Any, look: Look, *, is_new: bool) -> bool:
        """Whether the function of a library that was called is one that sets this."""
        keys = look.sets.get(name, ())
        if keys is None:
            return not is_new and not is_host(module_name(value))
        if is_new and (name, key) in look.registries and holds_instances(value, name.partition(":")[0]):
            return any(True for _ in ours(value, self._namespace))  # else it is as the import made it
        return key in keys and not is_host(module_name(value))

    def _counts(self, name: str, key: str, was: Any, value: Any, words: Words, *, is_new: bool) -> bool:
        """Whether an attribute that is another one now was set by the notebook."""
        if name[0] == "@":
            return True
        module = name.partition(":")[0]
        place = place_of(name, key)
        if place in _HANDLED or key in _MACHINERY or place in self._kept and not is_new:
            return place in self._kept
        if issubclass(type(value), types.ModuleType):
            found = module_of(value)
            if found == f"{module}.{key}":
                return False  # a part of a package, bound by its import
            if is_new and module not in self._own and is_same_package(found, module) and found.endswith(f".{key}"):
                return False  # `from matplotlib import scale`, although the user's `self.scale = …` says the word
        if module in self._own:
            known = self._own[module].words
            if is_new:  # loaded by the step: what its own code never sets is as its import made it
                if key.startswith("__closure__."):
                    return _variable(read(name), key) in self._own[module].rebound
                if key in words.stored | known.stored:
                    return True
                return words.by_name if type(value) in ATOMS else self._is_ours(value)
            return True
        if key in words.stored or any(key in one.words.stored for one in self._own.values()):
            by_objects = is_new and key not in words.stored and is_setter(value, module)
            return not by_objects and not is_host(module_name(value))
        if self._is_ours(value):
            return True
        if key.startswith("__"):
            return False
        other = type(value) is types.FunctionType and not is_same_package(module_name(value), module)
        if other and name.partition(":")[2] and (not is_new or name in _PATCHED_BY_OTHERS):
            return True
        if is_new:  # as its import made it, as a rule; `setattr(library, "name", 1)` says the name
            return words.by_name and type(value) in ATOMS and key in words.read
        lazy = was is ABSENT and by_reference(value) if type(value) not in ATOMS else False
        return words.by_name and not lazy

    def _remember(self, place: str, value: Any) -> None:
        """Keep what a place held before anybody set it, if that is a definition of the library, or nothing."""
        if place[0] == "@" or place in self._originals:
            return
        if value is ABSENT or place in _STREAMS or (type(value) not in ATOMS and is_named_after(place, value)):
            self._originals[place] = value

    def _is_ours(self, value: Any) -> bool:
        """Whether the notebook, or a module of the user's own, made this value."""
        if type(value) in ATOMS:
            return False
        if type(value) is types.FunctionType and value.__globals__ is self._namespace:
            return True
        kind: Any = type(value)  # no object of a library is asked for an attribute: it may make one, or open a library
        getter = value.fget if issubclass(kind, property) else None
        function = value.__func__ if issubclass(kind, _WITH_FUNCTION) else None
        for one in (value, kind, function, getter):
            if one is not None and module_name(one) == "__main__":
                return True
        inner: Iterable[Any] = ()
        if hasattr(kind, "__get__") and kind.__getattribute__ is object.__getattribute__:
            inner = getattr(value, "__dict__", {}).values()  # an accessor of pandas, polars, xarray
        return any(issubclass(type(one), type) and module_name(one) == "__main__" for one in inner)


def _loaded_again(before: Look, after: Look, remembered: object) -> dict[str, str]:
    """Modules whose code ran once more while somebody holds what it defined the first time."""
    again = [name for name, spec in after.specs.items() if before.specs.get(name, spec) is not spec]
    found = {}
    for name in again:
        old, now = before.owners[f"{name}:"], after.owners[f"{name}:"]
        first = [
            value
            for key, value in old.items()
            if type(value) not in ATOMS and is_named_after(f"{name}:{key}", value) and now.get(key) is not value
        ]
        if are_held(first, [*before.owners.values(), remembered]):
            found[f"{name}:"] = f"{name} (which was loaded again)"
    return found


def _forget_answers(place: str) -> None:
    """Let who holds a place forget what it told of it: `findfont` which font it found, `singledispatch` its choices."""
    dispatching, way, _ = place.partition(".register.__closure__.")
    if way:
        vars(read(dispatching))["_clear_cache"]()
    owner, _ = owner_of(place)
    if owner is not None and not isinstance(owner, (type, types.ModuleType)):
        for cls in type.mro(type(owner)):
            for one in vars(cls).values():
                if type(one) is functools._lru_cache_wrapper:
                    one.cache_clear()


def _is_part(value: Any) -> bool:
    """Whether an object in a class makes attributes of its instances; another one may be what a library goes by."""
    return hasattr(type(value), "__get__") or dict_of(type(value)) is None


def _is_kept_by_library(owner: str, live: Any) -> bool:
    """Whether a library holds an object of its own here: its methods, and others of its modules, have it, too."""
    if live is None or type(live) in CONTAINERS or is_dict(live):
        return False
    return is_same_package(module_name(type(live)), owner.partition(":")[0])


def _is_filled(before: Any, now: Any) -> bool:
    """Whether there are objects in an object of a library that were not in it, and can change."""
    old = {identity(part) for part in _parts(before)}
    return any(identity(part) not in old and comes_anew(part) for part in _parts(now))


def _parts(container: Any) -> Iterator[Any]:
    yield from container or ()
    if isinstance(container, dict):
        yield from container.values()


def _members(place: str, kind: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """The members of an enum, each with its attributes beyond those that every member has."""
    if issubclass(kind, enum.Enum):
        for name, member in vars(kind).get("_member_map_", {}).items():
            yield f"{place}.{name}", {key: one for key, one in vars(member).items() if key not in OF_MEMBERS}


def _is_inherited(owner: str, key: str) -> bool:
    """Whether an attribute of a class stands for one that it had from another class."""
    cls = read(owner)
    return isinstance(cls, type) and any(key in vars(one) for one in type.mro(cls)[1:])


class _Module:
    """One module of the user's own, and the words of its code."""

    __slots__ = ("module", "rebound", "words")

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module
        code = [*codes(module)]  # to find it all of the module is gone through
        self.words, self.rebound = words_of(code), rebound(code)


def _variable(function: Any, key: str) -> str:
    """The name of the variable in a cell of a function."""
    names = function.__code__.co_freevars if type(function) is types.FunctionType else ()
    number = int(key.split(".")[1])
    return names[number] if number < len(names) else ""


_DEFAULTS: Final = ("__defaults__", "__kwdefaults__")
_SAID_HERE: Final = frozenset({"__annotations__", "__path__", "__doc__"})  # of these the module's own code may speak
_SET_ON_FUNCTIONS: Final = ("__code__", "__doc__")
_OF_FUNCTIONS: Final = frozenset({*_DEFAULTS, "__code__"})
_LIKE_ATTRIBUTES: Final = ("@subclasses of ", "@signal ")
_WITH_FUNCTION: Final = (types.MethodType, staticmethod, classmethod)
_WITHOUT_DATA: Final = ATOMS | {types.FunctionType, types.BuiltinFunctionType, types.ModuleType}
_BUILTIN: Final = ATOMS | {list, dict, tuple, set, frozenset}
_FILLED: Final = (dict, list, set, frozenset, bytearray, collections.deque)
_OWNERS: Final = 300
_STREAMS: Final = frozenset({"sys:stdin", "sys:stdout", "sys:stderr"})
_CHANGED_BY_CALLS: Final = {
    "copyreg:": ("dispatch_table",),
    "matplotlib.units:": ("registry",),
    "pandas.plotting._matplotlib.converter:": ("_mpl_units",),
    "sqlite3:": ("adapters", "converters"),
    "xml.etree.ElementTree:": ("_namespace_map",),
}
_FILLED_BY_OTHERS: Final = ("matplotlib.units", "pandas.plotting._matplotlib.converter")  # `pandas.plotting.register_…`
_PATCHED_BY_OTHERS: Final = (
    *("pandas:DataFrame", "pandas:Series", "pandas:Index"),  # before pandas 3 they say where they are written:
    *("pandas.core.frame:DataFrame", "pandas.core.series:Series", "pandas.core.indexes.base:Index"),
    *("polars.dataframe.frame:DataFrame", "polars.lazyframe.frame:LazyFrame"),
    *("polars.series.series:Series", "polars.expr.expr:Expr"),
)
_MACHINERY: Final = frozenset(
    {"__warningregistry__", "__builtins__", "__abstractmethods__", "_abc_impl", "__slotnames__", "__annotations__"}
)
_HANDLED: Final = frozenset(
    {"sys:path", "sys:modules", "os:environ", "random:_inst", "warnings:filters", "matplotlib:rcParams"}
    | {
        "matplotlib.pyplot:rcParams",
        "matplotlib:rcParamsDefault",
        "pandas:options",
        "logging:root",
        "sys:path_importer_cache",
    }
    | {":".join(one) for one in OF_TREES}
    | {"matplotlib._pylab_helpers:Gcf.figs", "warnings:_onceregistry", "linecache:cache", "re:_cache", "sys:last_value"}
)
