"""Where the values of names come from, by code alone: the statements, and the steps, that lead to a name.

A history is what ran, or will run, above a place: statements of unmarked cells, and steps with what they left. The
*origin* of a name is a digest of the part of a history that can have made its value. It is the same for two
histories only if they have the same code on the way to the name, in the same order.
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final, cast

from ckpt_magic.values.code.effects import BY_TEXT, FIGURES
from ckpt_magic.values.code.statements import Event, Statement, Step
from ckpt_magic.values.leading import Leading, Places, Way, note

_OF_PYTHON: Final = frozenset(dir(builtins))
# Those of kernels too, which plans have not.
_BUILTINS: Final = _OF_PYTHON | {"display", "get_ipython", "execfile", "runfile", "__IPYTHON__"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a name comes from."""

    digest: str
    opens: str = ""
    """A word on the way that makes it depend on more than code; empty if none does."""
    varies: frozenset[str] = frozenset()
    """All of these words."""
    drawn: str = ""
    """A word on the way that draws from a generator that is there for all; empty if none does."""
    places: tuple[int, ...] = ()
    """Places of the statements on the way."""
    imports: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    runs: tuple[int, ...] = ()
    """Steps on the way that will run."""
    last: Statement | None = field(default=None, compare=False)
    """The statement that bound it, if that is all there is."""


@dataclass(slots=True)
class _Told:
    """What statements on the way tell; see `Origin`. Texts that are `spelled` may be words, see `Statement`."""

    opens: str = ""
    drawn: str = ""
    varies: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    spelled: set[str] = field(default_factory=set)

    def add(self, one: Statement, *, is_run: bool) -> None:
        """Go on by a statement that runs, or that defines what is not called."""
        self.imports |= one.imports
        self.words |= one.words
        self.texts |= one.texts
        self.spelled |= one.spelled
        self.drawn = self.drawn or (one.drawn if is_run else "")
        if is_run and one.opens:
            self.varies |= {one.opens, *one.varying}
            self.opens = self.opens or one.opens
        else:
            self.varies |= one.at_once
            self.opens = self.opens or min(one.at_once, default="")


class Past:
    """What ran, in order, and where the values that names have after it come from.

    Steps ask for each name that they read, and most of what ran has nothing to do with it: names lead to the events.

    Parameters
    ----------
    events
        Statements and steps, oldest first.

    Attributes
    ----------
    events
        The same.
    imports
        The modules that statements among them import.
    modules
        Names bound by imports.
    haunted
        Names of what functions change that any code may call: a library was given them (`sys.excepthook = note`).
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = []
        self._asleep, self._later, self._changes = Leading(), Leading(), Leading()
        self._called: dict[str, Set[str]] = {}  # what a function changes, if it does, by calling it
        self.modules = set[str]()  # functions change what is in them
        self._libraries = set[str]()
        self._calm = set[str]()
        self._plain = set[str]()  # classes among them
        self._meddled = False
        # names of tables, of what is flat, and of numbers and texts; see `kinds`
        self._tables, self._flat, self._atoms = set[str](), set[str](), set[str]()
        self._copied: dict[int, Set[str]] = {}  # by place, what it reads of which it gets nothing that can change
        self._spared: dict[int, Set[str]] = {}  # by place, what it only seems to touch
        self._foreign = set[str]()
        self._values = set[str]()  # bound by what imports nothing
        self.imports = set[str]()
        self._importing: list[Statement] = []
        self._lending = set[str]()  # functions that may give something of what other names hold
        self._alters: dict[str, Set[str]] = {}  # what a function changes by its very words
        self._giving: dict[str, tuple[Set[str], Set[str]]] = {}  # what functions give away, and what they change
        self._givers: Set[str] = frozenset[str]()  # those that give away something
        self.haunted: Set[str] = frozenset[str]()
        self._shared: dict[str, str] = {}  # by the names that steps left, what stands for all that they share
        self._sharers: dict[str, set[str]] = {}  # all names by that
        self._acts: Past | None = None  # the statements that do more than import
        self._files: dict[str, Set[str]] = {}  # and figures, by the names of what writes into them
        # places in the events
        self._anything: list[int] = []
        self._binding: Places = {}
        self._making: Places = {}  # that bind it to what it holds
        self._using: Places = {}  # that read it to bind others
        self._touching: Places = {}
        self._mentioned = set[str]()  # all names of statements
        self._joining: Places = {}  # that may put what one holds into what others hold
        self._joined: dict[int, Set[str]] = {}  # by place
        self._touched: dict[int, tuple[Set[str], Set[str]]] = {}  # by place; and the names on the way to these
        self._passing: Places = {}  # on the way to what they touch
        self._outdated: dict[int, None] = {}  # places where something else is touched since names lead elsewhere
        self._origins: dict[frozenset[str], tuple[Origin, Set[str]]] = {}  # and all names that had to do with each
        self.add(events)

    @property
    def statements(self) -> Iterator[Statement]:
        """The events that are no steps."""
        return (event for event in self.events if isinstance(event, Statement))

    def add(self, events: Iterable[Event]) -> None:
        """Go on."""
        for event in events:
            at = len(self.events)
            self.events.append(event)
            if isinstance(event, Step):
                names = {*event.left, *event.deleted}
                note(self._binding, names, at)
                for name, made in event.left.items():
                    if made is not None:
                        self._share(name, f"{at} {made}")
                _renew(self._tables, names, event.kinds.tables)
                _renew(self._flat, names, event.kinds.flat)
                _renew(self._atoms, names, event.kinds.atoms)
                self._forget(names)
                if event.code:
                    self.learn(at, event.code)
                continue
            tables = event.copied & self._tables
            if copied := tables | (event.parted & self._flat) | (event.reads & self._atoms):
                self._copied[at] = copied
            if spared := self._spared_by(event):
                self._spared[at] = spared
            _renew(self._tables, event.binds, event.binds if tables or event.is_table else ())
            _renew(self._flat, event.binds, event.binds if event.is_flat else ())
            _renew(self._atoms, event.binds, event.binds if event.is_atom else ())
            changed = self._take_in(event)
            if event.imports:
                self.imports |= event.imports
            if event.anything:
                self._anything.append(at)
            for name in event.binds:
                self._share(name, None)
            lent = self.lent_by(event.holds)
            files = self._files_of(event.holds) | {one for one in event.touches if one.startswith(("<files", FIGURES))}
            if files or not event.binds.isdisjoint(self._files):
                self._files |= dict.fromkeys(event.binds, files)
            self._mentioned |= event.binds | event.reads | lent
            note(self._binding, event.binds, at)
            if not event.asleep:
                note(self._making, event.binds, at)
            held: Set[str] = frozenset()
            if event.binds - event.fleeting and not event.is_literal:
                meant = set[str]().union(*event.later.values()) if not event.changes else set()
                meant -= event.eased & self._plain  # objects of such a class
                calm = self._calm - meant  # what these make holds nothing of them
                calm |= (event.holds & _OF_PYTHON) - self._binding.keys()
                held = (self.held_at(at) - calm) | lent
                note(self._using, held, at)
            touched = self._note_touched(at, event)
            self._haunt(event)
            joined: Set[str] = frozenset()
            stored = self.stored_by([event]) | self.risked_by([event])
            if stored := stored - self.modules - self._spared.get(at, frozenset()):
                got = self.got_at(at)
                by = self._changes.ends(event.called & self._alters.keys() & self._asleep.names)  # not by classes
                joined = stored | ((got | self.read_by(by)) & self._values) - self._asleep.names - self._atoms
                self._joined[at] = joined
                note(self._joining, joined, at)
                changed |= joined
            self._lose_sight(touched, held | joined, anything=event.anything)
            if event.imports or event.anything:
                self._origins.clear()
            self._forget(changed | event.binds | event.reads | event.touches | touched)
            if self._acts is not None:
                self._acts.act(event)

    def _spared_by(self, event: Statement) -> Set[str]:
        """What a statement only seems to touch, by what is known of values now."""
        return (event.shown & self._tables) | (event.spared & self._flat) | (event.touches & self._atoms)

    def _lose_sight(self, touched: Set[str], held: Set[str], *, anything: bool) -> None:
        """Know no more what is in the values of names that were touched, or may be touched by other names now."""
        if anything:
            for names in (self._tables, self._flat, self._atoms):
                names.clear()
        self._atoms -= touched  # by functions that bind them
        if gone := self._flat & (touched | held):
            self._flat -= gone | self._sharing(gone)

    def act(self, event: Statement) -> None:
        """Go on; of a plain import no more counts than what it binds."""
        if event.reads or not event.imports:
            self.add([event])
        else:
            self.define([event])

    def learn(self, at: int, code: Sequence[Statement]) -> None:
        """Take in the code of the step in this place: statements that come after it use what it defines and imports."""
        step = cast("Step", self.events[at])
        self.events[at] = replace(step, code=code)
        self.define(code)
        for one in code:
            self._haunt(one)
        self._values |= step.left.keys() - set[str]().union(*(one.binds for one in code if one.imports))
        self._forget({*step.left})
        if self._acts is not None:
            self._acts.add([Step(step.number, {}, code=code)])

    def define(self, code: Iterable[Statement]) -> None:
        """Take in what code defines and imports, and nothing else of it."""
        for one in code:
            self._forget(self._take_in(one) | one.binds)
            if one.imports:
                self._origins.clear()

    def _take_in(self, event: Statement) -> set[str]:
        """Note what names lead to from here on; returns those that lead elsewhere, or that others touch now."""
        if event.imports:
            self._importing.append(event)
        self._alters.update(dict.fromkeys(event.changes, event.stores))
        changed = _renew(self._libraries, event.binds, event.libraries)
        changed |= _renew(self._lending, event.binds, event.changes.keys() if event.lends else ())
        if event.meddles and not self._meddled:  # from here on no class is what it was for sure
            self._meddled = True
            changed |= _renew(self._calm, self._plain, ())
        _renew(self._plain, event.binds, event.plain)
        changed |= _renew(self._calm, event.binds, event.calm if self._meddled else event.calm | event.plain)
        changed |= _renew(self._foreign, event.binds, event.foreign)
        if not event.imports:
            self._values |= event.binds
        elif not event.reads:
            changed |= _renew(self.modules, (), event.binds)
        changed |= self._later.update(event.later) | self._asleep.update(event.asleep)
        changed |= self._changes.update(event.changes)
        called = dict.fromkeys(event.changes, event.called)
        changed |= {name for name in called if self._called.get(name) != called[name]}
        self._called.update(called)
        return changed | self._outdate(changed)

    def _outdate(self, changed: Set[str]) -> set[str]:
        """Note that these names lead elsewhere; returns what was touched on the way through them."""
        found = set[str]()
        for at in sorted(set[int]().union(*(self._passing.get(name, ()) for name in changed))):
            if at not in self._outdated:
                self._outdated[at] = None
                found |= self._touched[at][0]
        return found

    def _find_touched_anew(self) -> None:
        """Find out what is touched where names lead elsewhere now, once for all functions that are defined in a row."""
        found = set[str]()
        for at in self._outdated:
            touched, way = self._touched[at]
            for name in touched:
                self._touching[name].remove(at)
            for name in way:
                self._passing[name].remove(at)
            found |= self._note_touched(at, self.events[at])
        self._outdated.clear()
        self._forget(found)

    def _note_touched(self, at: int, event: Event) -> Set[str]:
        assert isinstance(event, Statement)
        touched = self._touched_by(event, self._spared.get(at, frozenset()))
        if self.haunted and not (event.imports or event.changes or event.is_literal):
            touched = touched | self.haunted
        way = self._later.ends(event.touches | event.borrowed)
        way = way | self._changes.ends(way) | self._asleep.ends(way)
        self._touched[at] = touched, way
        note(self._passing, way, at)
        note(self._touching, touched, at)
        self._mentioned |= touched
        return touched

    def _haunt(self, event: Statement) -> None:
        """Note what any code may change from here on, by what a statement gives away."""
        if event.changes:
            self._giving.update(dict.fromkeys(event.changes, (event.kept, event.stores | event.risks)))
            self._givers |= event.changes.keys() if event.kept else set()
            return
        self._find_touched_anew()
        givers = self._givers & self._asleep.ends(event.reads) if self._givers else ()
        if given := set(event.kept).union(*(self._giving[name][0] for name in givers)):
            called = self._changes.ends(self._later.ends(given)) & self._giving.keys()
            changed = (given - self._giving.keys()).union(*(self._giving[name][1] for name in called))
            self.haunted |= changed - self._giving.keys() - self.modules

    def _forget(self, names: Set[str]) -> None:
        """Forget the origins that have to do with these names."""
        if names:
            self._origins = {asked: known for asked, known in self._origins.items() if known[1].isdisjoint(names)}

    def of_modules(self, modules: Iterable[str]) -> Origin:
        """Where what modules hold comes from, the modules as they are imported aside."""
        names = self._ways_to(modules, above=False)
        if not names:
            return NOTHING
        if self._acts is None:
            self._acts = Past()
            for event in self.statements:
                self._acts.act(event)
        return self._acts.origin(*names)

    def stores_in(self, modules: Iterable[str]) -> bool:
        """Whether code sets what these modules hold by its very words."""
        return not self._ways_to(modules, above=False).isdisjoint(self.stored_by([*self.statements]))

    def _ways_to(self, modules: Iterable[str], *, above: bool = True) -> set[str]:
        """Names of modules, of what lies below them and, if asked for, of the packages `above`."""
        names = set[str]()
        for event in self._importing:
            for module in modules:
                if any(
                    f"{one}.".startswith(f"{module}.") or (above and module.startswith(f"{one}."))
                    for one in event.imports
                ):
                    names |= event.binds & {module} or event.binds
        return names

    def origin(self, *names: str) -> Origin:
        """Where the value of a name comes from, or the values of several names."""
        self._find_touched_anew()
        asked = frozenset(names)
        if asked not in self._origins:
            self._origins[asked] = self._origin(asked)
        return self._origins[asked][0]

    def _origin(self, names: Set[str]) -> tuple[Origin, Set[str]]:
        """Find it, and all names that have to do with it."""
        needed = self._later.ends(names)
        others, concerned = self._aliases(needed)
        on_the_way: list[Event] = []
        placeless = set[str]()  # an import that comes again is one
        digest = hashlib.blake2b(digest_size=12)
        told = _Told()
        places: list[int] = []
        called: set[str] = set()
        runs: dict[int, None] = {}
        way = Way(backwards=True)
        way.go_to(self._anything)
        way.follow(needed, self._binding)
        way.follow(needed | others, self._touching)
        for at in way:
            event = self.events[at]
            if isinstance(event, Step):
                left = (needed & event.left.keys()) | (needed & event.deleted)
                for one in sorted(left):
                    made = event.left.get(one, "deleted")
                    digest.update(f"step {event.number} {one} {made};".encode())
                    if made is None:
                        runs[event.number] = None
                for defining in event.defining:
                    if not left.isdisjoint(defining.binds):
                        told.add(defining, is_run=True)
                needed -= left
                if left:
                    on_the_way.append(event)
                continue
            if not event.anything and needed.isdisjoint(event.binds):
                touches, _ = self._touched[at]
                if needed.isdisjoint(touches) and others.isdisjoint(touches):
                    continue
            on_the_way.append(event)
            if self._is_placeless(event):
                placeless.add(event.digest)
                concerned |= event.binds
            else:
                digest.update(f"{event.digest};".encode())
            woken = self._later.ends(event.reads)
            concerned |= woken
            if not event.changes:
                called |= woken
            told.add(event, is_run=not event.changes or not called.isdisjoint(event.binds))
            places.append(at)
            if event.imports:  # what was done to the module before is done
                others |= needed & event.sure | self._ways_to(event.imports)
                concerned |= others
                way.follow(others, self._touching)
            needed = (needed - event.sure) | woken
            others |= self._sharing(woken)
            concerned |= others
            way.follow(woken, self._binding)
            way.follow(woken | others, self._touching)
        if told.spelled and not told.words.isdisjoint(BY_TEXT):
            told.varies |= told.spelled
            told.opens = told.opens or min(told.spelled)
        digest.update(";".join(sorted(placeless)).encode())
        single = on_the_way[0] if len(on_the_way) == 1 else None
        origin = Origin(
            digest.hexdigest(),
            told.opens,
            frozenset(told.varies),
            told.drawn,
            tuple(places),
            frozenset(told.imports),
            frozenset(told.words),
            frozenset(told.texts),
            tuple(sorted(runs)),
            single if isinstance(single, Statement) and single.is_literal else None,
        )
        return origin, concerned

    def _is_placeless(self, event: Statement) -> bool:
        """Whether a statement does the same wherever it stands: it gives names their only value.

        That is a function, an import or what is written down; code that is above it does not ask for it.
        """
        is_known = event.is_literal or (event.imports and not event.touches) or (event.changes and event.asleep)
        return (
            bool(is_known)
            and not self._anything
            and not event.anything
            and all(map(self._is_steady, event.reads))
            and all(self._is_bound_once(name) and name not in _BUILTINS for name in event.binds)
        )

    def _is_bound_once(self, name: str) -> bool:
        """Whether a name has had one value only, which an import may have given it again."""
        events = [self.events[at] for at in self._binding.get(name, ())]
        if len(events) == 1:
            return True
        again = {one.digest if isinstance(one, Statement) and one.imports else "" for one in events}
        return len(again) == 1 and "" not in again

    def _is_steady(self, name: str) -> bool:
        """Whether a name means the same wherever it stands: a module in which nothing is set, or what Python means."""
        is_once = name in self.modules and self._is_bound_once(name)
        return self._is_builtin(name) or (is_once and not self._touching.get(name))

    def touched_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code may change in place that runs now, if it does what its words say."""
        run = (replace(one, touches=one.touches & one.reads) if one.changes else one for one in code if not one.imports)
        return set[str]().union(*(self._touched_by(one, self._spared_by(one)) for one in run))

    def stored_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code changes in place by its very words, or by those of the functions that it calls."""
        run = [one for one in code if not one.changes]
        called = self._changes.ends(self._later.ends(set[str]().union(*(one.touches for one in run))))
        return set[str]().union(
            *(one.stores for one in run), *(self._alters[name] for name in called & self._alters.keys())
        )

    def risked_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code may change in place by what it gives to the user's own: in one run, and not in another."""
        return set[str]().union(*(one.risks for one in code if not one.changes))

    def aliases(self, names: Set[str]) -> Set[str]:
        """These names, and others that may hold some of the same objects."""
        return names | self._aliases(names)[0]

    def led_to(self, names: Set[str]) -> Set[str]:
        """Names that lead to these functions and classes: of a class its objects, and the classes below it."""
        defined = names & self._changes.names
        return {one for one in self.bound if not defined.isdisjoint(self._later.ends([one]))} if defined else set()

    def bindings(self, names: Set[str]) -> str:
        """Digest of all that bound these names, in order, whatever became of it."""
        digest = hashlib.blake2b(digest_size=12)
        for at in sorted({at for name in names for at in self._binding.get(name, ())}):
            event = self.events[at]
            told = sorted(names & event.left.keys()) if isinstance(event, Step) else event.digest
            digest.update(f"{told};".encode())
        return digest.hexdigest()

    @property
    def bound(self) -> Set[str]:
        """All names that were ever bound."""
        return self._binding.keys()

    def lent_by(self, names: Set[str]) -> Set[str]:
        """What functions among these names may give of what other names hold."""
        return self._asleep.ends(names & self._lending)

    def read_by(self, names: Set[str]) -> Set[str]:
        """What functions read that these names lead to."""
        return self._asleep.ends(names)

    def held_at(self, place: int) -> Set[str]:
        """What the statement in a place may give something of to the names that it binds."""
        return cast("Statement", self.events[place]).holds - self._copied.get(place, frozenset())

    def got_at(self, place: int) -> Set[str]:
        """What the statement in a place reads, but for what it gets nothing of that can change."""
        return cast("Statement", self.events[place]).reads - self._copied.get(place, frozenset())

    def touched_at(self, place: int) -> Set[str]:
        """What the statement in a place may change in place."""
        self._find_touched_anew()
        return self._touched[place][0]

    def touched(self, names: Iterable[str]) -> set[str]:
        """Those names whose values statements may have changed in place since they were bound."""
        self._find_touched_anew()
        mentioned = {self._shared[name] for name in self._mentioned & self._shared.keys()}
        anything, end = max(self._anything, default=-1), len(self.events) - 1

        def is_touched(name: str) -> bool:
            bound = self._binding.get(name, [-1])[-1]
            if bound == end:
                return False
            if anything > bound:
                return True
            is_met = name in self._mentioned or self._shared.get(name) in mentioned or bool(self._later.next(name))
            return (is_met or anything >= 0) and any(at > bound for at in self.origin(name).places)

        return {name for name in names if is_touched(name)}

    def _files_of(self, names: Set[str]) -> Set[str]:
        """What stands for the files into which values of these names write, and for figures."""
        return frozenset[str]().union(*map(self._files.__getitem__, names & self._files.keys()))

    def _touched_by(self, event: Statement, spared: Set[str]) -> Set[str]:
        """Names whose values a statement may change in place, through functions and modules, too."""
        touched = event.touches - (event.eased & self._libraries) - spared
        touched = touched | self.lent_by(event.borrowed)
        touched = touched | self._files_of(touched)
        behind = self._later.ends(touched) - touched  # what they stand for: that is called, and does what it does
        classes = self._changes.names - self._asleep.names  # `type(x).a = 1`
        classes = behind & (classes | self._plain if self._meddled else classes - self._plain)
        ends = self._changes.ends(touched | classes) | (self._changes.ends(behind) - behind)
        ways = (self._changes.next(name) - self._called.get(name, frozenset()) for name in ends)
        more = set(touched - event.called).union(
            *ways
        )  # by more than calls: a calm function is none the worse for those
        modules = (self._asleep.ends(touched) & self.modules) - self._calm
        found = {name for name in ends if name in more or not self._is_calm(name)} | modules
        if event.gives:  # functions of libraries that are called for what they give change nothing else
            found -= event.called & self._foreign
        if "builtins" in touched:
            return found
        return {name for name in found if name in event.stores or not self._is_builtin(name)}

    def _is_calm(self, name: str) -> bool:
        """Whether a name means what is not changed by being called: `ValueError`, too, if it is Python's."""
        return name in self._calm or self._is_builtin(name)

    def _is_builtin(self, name: str) -> bool:
        return name not in self._binding and name in _BUILTINS

    def _aliases(self, names: Set[str]) -> tuple[set[str], set[str]]:
        """Names that may hold the same objects: what code binds that reads one of them, and reads that binds one.

        Also all names that have to do with it.
        """
        found, values = self._sharing(names) | names, self._values - self._asleep.names
        met = self._spread(found, self._making, lambda at, event: self._made_of(at, event, values), backwards=True)
        for _ in range(2):
            met |= self._spread(found, self._using, lambda _, event: event.binds - event.fleeting)
            met |= self._spread(found, self._joining, lambda at, _: self._joined[at])
        found |= self._sharing(found)
        return found - names, found | met

    def _made_of(self, at: int, event: Statement, values: Set[str]) -> Set[str]:
        """What may hold some of what a statement binds: what it holds, and what a function gave together with it."""
        held = (self.held_at(at) | self.lent_by(event.holds)) & values
        return held if event.holds.isdisjoint(self._asleep.names) else held | event.binds

    def _sharing(self, names: Set[str]) -> set[str]:
        """The other names of what steps left that hold some of the same objects."""
        shared = {self._shared[name] for name in names & self._shared.keys()}
        return set[str]().union(*map(self._sharers.__getitem__, shared)) - names if shared else set()

    def _share(self, name: str, what: str | None) -> None:
        if (before := self._shared.pop(name, None)) is not None:
            self._sharers[before].remove(name)
        if what is not None:
            self._shared[name] = what
            self._sharers.setdefault(what, set()).add(name)

    def _spread(
        self, found: set[str], leading: Places, leads: Callable[[int, Statement], Set[str]], *, backwards: bool = False
    ) -> set[str]:
        """Add to the names those to which the statements lead that these lead to; returns all names of those."""
        met = set[str]()
        way = Way(backwards=backwards)
        way.follow(found, leading)
        for at in way:
            event = self.events[at]
            if isinstance(event, Statement):
                met |= event.reads | event.binds
                more = leads(at, event) - found
                found |= more
                way.follow(more, leading)
        return met


NOTHING: Final = Past().origin("")
"""The origin of a name that nothing leads to."""


def _renew(names: set[str], gone: Iterable[str], new: Iterable[str]) -> set[str]:
    """Take names out of many and put others in; returns those that are in now and were not, or were and are not."""
    touched = {*gone, *new}
    were = names & touched
    names.difference_update(gone)
    names.update(new)
    return were ^ (names & touched)
