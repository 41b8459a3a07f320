"""Values that nothing but their names leads into: they are not looked at again before code uses a name (rule 10).

What `delta` says of the rule is done here: searching for them after a look, which `holders` does a value at a time, and
giving out the looks that still stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ckpt_magic.values import collector, fingerprint, holders, looking, sharing
from ckpt_magic.values.batches import Batch
from ckpt_magic.values.delta import State
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import figures, references
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.seen import Seen


class Entered:
    """Values that something else was found to lead into: they are searched for again after ever longer pauses.

    What held a value may have been garbage. Code that uses one of the names, or the library that the values are of, may
    have taken away what holds it, so they are searched for again at once.
    """

    def __init__(self) -> None:
        self._known: dict[frozenset[tuple[str, int]], _Failure] = {}

    def clear(self) -> None:
        """Search for everything again."""
        self._known.clear()

    def waits(self, idents: Mapping[str, int]) -> bool:
        """Whether it is too early to search again for these names, given with the `id` of what they mean."""
        known = self._known.get(frozenset(idents.items()))
        if known is None or not known.pause:
            return False
        known.pause -= 1
        return True

    def add(self, idents: Mapping[str, int], looks: Iterable[Seen]) -> None:
        """Note that a search failed; the looks still hold what they met."""
        kinds = {kind for seen in looks for kind in set(map(type, seen.met.values()))}
        libraries = frozenset(map(references.library_of, kinds)) - {"builtins"}
        known = self._known.setdefault(frozenset(idents.items()), _Failure(libraries))
        known.pause = known.times
        known.times = min(2 * known.times + 1, _LONGEST)

    def used(self, names: Iterable[str], libraries: Set[str]) -> None:
        """Note names that code uses, and the libraries that what they mean is of."""
        names = set(names)
        for key, known in list(self._known.items()):
            if not (libraries.isdisjoint(known.libraries) and names.isdisjoint(name for name, _ in key)):
                del self._known[key]


@dataclass(slots=True)
class _Failure:
    """Failed searches: libraries of the values, looks that pass before the next, and that passed before the last."""

    libraries: Set[str]
    times: int = 0
    pause: int = 0


_LONGEST = 63
_LONG = fingerprint.MANY // 2  # objects: to meet them takes about as long as to find out who holds them
_MANY = 100  # definitions that one value reaches: to look at them each time has to cost little


@dataclass(eq=False, frozen=True, slots=True)
class Closed:
    """Names that nothing else leads into (rule 10).

    Attributes
    ----------
    idents
        Per name the `id` of its value.
    links
        What they share with each other.
    opening
        Objects that they hold and that others hold too.
    definitions
        Functions and classes of the notebook that they reach; these hold nothing that can be changed.
    content
        A look at what others hold, and at the definitions.
    """

    idents: Mapping[str, int]
    links: sharing.Links
    opening: Sequence[Any]
    definitions: Sequence[Any]
    content: Seen

    def stands(self, known: Mapping[str, Seen], namespace: dict[str, Any], makers: Makers | None) -> bool:
        """Whether no name of the group has to be looked at, and nobody changed what is open to others."""
        if not all(name in known and known[name].closed is self for name in self.idents):
            return False
        return self.content.equals(looking.look([*self.opening, *self.definitions], namespace, makers))

    def is_met(self, looks: Iterable[Seen], batches: Iterable[Batch], values: Mapping[str, Any]) -> bool:
        """Whether other names hold some of what is open, by themselves or in batches."""
        idents = set(map(identity, self.opening))
        others = idents - figures.settings().keys()
        return any(seen.among(others if seen.is_figure else idents) for seen in looks) or any(
            not idents.isdisjoint(map(identity, batch.among(values))) for batch in batches
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides, besides the values, whether anything but names leads into them.

    Attributes
    ----------
    spaces
        The globals of the notebook's functions, and the mappings of names that were made for the look; nothing else
        may hold the values for our sake.
    named
        Gives the names that living functions mention (`holders.named_by_code`).
    addresses
        Whether some code of the notebook may know the address of memory.
    maps
        By `id`, maps of checkpoint files.
    entered
        What need not be searched for; added to.
    makers
        Tells who made the notebook's definitions.
    """

    spaces: Sequence[dict[str, Any]]
    named: Callable[[], Set[str] | None]
    addresses: bool = False
    maps: Set[int] = frozenset()
    entered: Entered = field(default_factory=Entered)
    makers: Makers | None = None

    def closed(
        self, idents: Mapping[str, int], links: sharing.Links, opening: Sequence[Any], definitions: Iterable[Any]
    ) -> Closed | None:
        """Look at what others can get at; None if it cannot be compared, or takes more than what is known of it."""
        definitions = list(definitions)
        content = looking.look([*opening, *definitions], self.spaces[0], self.makers)
        if (
            not content.is_comparable
            or content.owned
            or {*map(identity, content.functions)} - {*map(identity, definitions)}
        ):
            return None
        content.forget()
        return Closed(idents, links, opening, definitions, content)


def find_alone(state: State, around: Surroundings, touched: Iterable[str] = ()) -> None:
    """Find out of values that take long to look at whether anything but their name leads into them (rule 10).

    Parameters
    ----------
    state
        A look at the whole namespace that still holds what it met.
    around
        What else there is.
    touched
        Names that are looked at again anyway.
    """
    namespace = around.spaces[0]
    large = set()
    for name, seen in state.looks.items():
        if seen.is_small:
            continue
        if seen.is_large and not (around.addresses and seen.spans):
            large.add(name)
        elif type(namespace.get(name)) in (str, bytes) and len(namespace[name]) > fingerprint.MUCH:
            seen.alone = identity(namespace[name])  # nobody can change it
    large -= set(touched).union(*state.links.objects, *state.links.memory)
    ties = sharing.Ties(namespace)
    found = {}
    for name in large & namespace.keys():
        seen, ident = state.looks[name], identity(namespace[name])
        ours = sum(identity(space.get(name)) == ident for space in around.spaces)
        if seen.owned or next(iter(seen.met)) != ident or around.entered.waits({name: ident}):
            continue
        if not _can_be_looked_at_each_time(seen.functions, ties) or not (kinds := holders.kinds_counted(seen)):
            continue
        made = holders.made_for_look(seen, kinds, ties, ours, around.maps)
        if made is None:
            around.entered.add({name: ident}, [seen])
        else:
            found[name] = made
    named = around.named() if found else None
    for name in found.keys() - named if named is not None else ():
        seen = state.looks[name]
        if seen.functions:  # which others may change, who need not name the value
            seen.closed = around.closed({name: identity(namespace[name])}, sharing.Links(), [], seen.functions)
            if seen.closed is None:
                continue
        seen.alone = identity(namespace[name])
        state.lasting |= {
            (span.low, span.high - span.low) for span in seen.spans if identity(span.array) not in found[name]
        }


def _can_be_looked_at_each_time(definitions: Sequence[Any], ties: Callable[[Any], bool]) -> bool:
    """Whether definitions of the notebook are few, and hold nothing that can be changed."""
    return len(definitions) <= _MANY and not any(map(ties, definitions))


def find_closed(state: State, around: Surroundings, touched: Iterable[str]) -> None:
    """Find groups of names that nothing else leads into, for those that `find_alone` did not find.

    That takes about as long as the look. The parameters are those of `find_alone`.
    """
    with collector.off():
        _find_closed(state, around, set(touched))


def _find_closed(state: State, around: Surroundings, used: set[str]) -> None:
    namespace = around.spaces[0]
    ties = sharing.Ties(namespace)
    linked = {name for key in (*state.links.objects, *state.links.memory) for name in key}
    others = {name: seen for name, seen in state.looks.items() if not seen.is_small}
    drawn = {name for name, seen in others.items() if seen.is_figure}  # many take as long as a large value
    drawn = drawn if sum(len(others[name].met) for name in drawn) >= _LONG else set()
    large = {name for name, seen in others.items() if seen.is_large or len(seen.met) >= _LONG}
    for group in sharing.groups(state.links, linked | large | drawn):
        looks = [state.looks[name] for name in group]
        if not (_takes_long(looks) or drawn.issuperset(group)) or not used.isdisjoint(group):
            continue
        idents = {name: identity(namespace.get(name)) for name in group}
        if any(one.alone or not one.is_comparable or one.owned or one.guarded for one in looks):
            continue
        definitions = list({identity(one): one for seen in looks for one in seen.functions}.values())
        if not _can_be_looked_at_each_time(definitions, ties):
            continue
        if around.addresses and any(one.spans for one in looks):
            continue
        if any(identity(state.values.get(name)) != ident for name, ident in idents.items()):
            continue
        named = around.named()
        if named is None or not named.isdisjoint(group) or around.entered.waits(idents):
            continue
        for seen in looks:
            seen.held = []  # it is not needed any more, and would be gone through
        opening = holders.openings(looks, ties, around.spaces, group)
        closed = None if opening is None else around.closed(idents, state.links.among(group), opening, definitions)
        if closed is None:
            around.entered.add(idents, looks)
            continue
        for seen, ident in zip(looks, idents.values(), strict=True):
            seen.alone, seen.closed = ident, closed


def _takes_long(looks: Iterable[Seen]) -> bool:
    """Whether it takes longer to look at values than to find out who holds them."""
    return any(seen.is_large for seen in looks) or sum(len(seen.met) for seen in looks) >= _LONG


def untouched(state: State, names: Mapping[str, Any], touched: Iterable[str]) -> dict[str, Seen]:
    """The looks that still stand, since their values are led into by nothing but names that no code used."""
    used = set(touched)
    return {
        name: seen
        for name, seen in state.looks.items()
        if seen.alone and name in names and name not in used and identity(names[name]) == seen.alone
    }
