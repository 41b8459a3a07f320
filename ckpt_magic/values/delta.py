"""What changed between two looks at a namespace, and what has to be saved because of it.

The rules, each with a test that a laxer rule would fail:

1. Every name is looked at before and after a step; nothing is guessed from the code (but see 10). A name counts as
   changed when it is new, its digest differs, its links to other names differ, or it names another definition.
2. The code only *adds* names: what it binds is saved even if the value is equal.
3. A value that cannot be pickled cannot be compared. It counts as changed when it is another object, or when
   the step could reach it (`reached`).
4. A changed name brings along every name that it shares mutable state with: sharing survives only inside one
   pickle.
5. A definition (class, function) that holds nothing mutable ties no names together, unless the step changed it.
6. A value that cannot be pickled is tied to all that it holds, weakly too: a generator goes on changing the list it
   walks over, of which a checkpoint could only bring back a copy.
7. What pandas guards by copy-on-write (blocks, the arrays inside, data of an index) ties no frames together; it does
   tie a frame to an array that somebody holds apart from pandas. Memory that cannot be shared in a pickle is lost.
8. What libraries own (`logging.root.handlers`) is met by its name: it ties no names, and a change of it is no value
   that can be saved, but a change all the same.
9. Looking and saving draw no random numbers, whatever a `__getstate__` of the user does.
10. A value of very many objects (`fingerprint.MANY`, `MUCH`) is not looked at again while all of this holds:
   - at its last look nothing but one name led into it: no other name shares with it, Python counts no reference to
     what can be changed in it but its own (libraries, threads, closures, `Out`), nothing refers to it weakly, it holds
     no definitions of the notebook, and no living function of the notebook mentions the name, in code or in a text;
   - the name still means that very object;
   - no cell that ran since, and not the step, reads or binds the name, itself or by what it calls, or has it in a text;
   - they are not dynamic (`exec`, `globals`, magics, …), use nothing that finds objects without a name (`gc`, `ctypes`,
     `sys`, …), and no debugger is at work.
   Nobody can then have changed it, or put any part of it elsewhere.
   The same goes for names that share with each other alone (a figure and its axes): for all of them or for none. What
   they hold of what others hold too, such as the lists of a library's settings, is looked at each time; where another
   name has come to hold some of that, all is looked at.
11. A large buffer is not read again where the kernel of the system proves that nobody wrote to it (`pages`). A step
   that reaches it had it read before, so that writing the same bytes is no change; else what was written is changed.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ckpt_magic.values import collector, fingerprint, generators, holders, makers, owned, references, sharing
from ckpt_magic.values.arrays import View
from ckpt_magic.values.fingerprint import Seen
from ckpt_magic.values.pages import Pages, new_hash


@dataclass(slots=True)
class State:
    """One look at a whole namespace.

    Attributes
    ----------
    looks
        A look per name, in namespace order.
    links
        Which names share mutable state.
    order
        All names of the notebook in order, also those that are not the user's.
    """

    looks: dict[str, Seen]
    links: sharing.Links
    pages: Pages | None = None
    order: Sequence[str] = ()

    def read(self, names: Iterable[str]) -> None:
        """Read the large buffers of `names`, so that a change of theirs can turn out to be none."""
        for name in self.looks.keys() & set(names):
            for content in self.looks[name].contents:
                content.digest()

    def track(self) -> None:
        """Let writes to large buffers be seen from here on, also to those that are read below."""
        if self.pages is not None:
            self.pages.track(content for seen in self.looks.values() for content in seen.contents)

    def forget(self) -> None:
        """Let go of the values looked at; what compares them, and the links, stay."""
        if self.pages is not None:
            self.pages.keep(content for seen in self.looks.values() for content in seen.contents)
        for seen in self.looks.values():
            seen.forget()


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
    content
        A look at those.
    """

    idents: Mapping[str, int]
    links: sharing.Links
    opening: list[Any]
    content: Seen

    def stands(self, known: Mapping[str, Seen], namespace: dict[str, Any]) -> bool:
        """Whether no name of the group has to be looked at, and nobody changed what is open to others."""
        if not all(name in known and known[name].closed is self for name in self.idents):
            return False
        return self.content.equals(fingerprint.look(self.opening, namespace))

    def is_met(self, looks: Iterable[Seen]) -> bool:
        """Whether other names hold some of what is open."""
        idents = set(map(id, self.opening))
        return not all(idents.isdisjoint(seen.met) for seen in looks)


@dataclass(slots=True)
class Delta:
    """What a step did to a namespace.

    Attributes
    ----------
    values
        What has to be saved, in namespace order: the changed names and all they share with.
    changed
        Names created, rebound or changed in place.
    deleted
        Names that are gone.
    remade
        Names that were deleted and made again: they come last in the namespace now.
    lost
        Names that cannot be saved, with the reason.
    groups
        Per saved name the digest of its sharing group.
    views
        How arrays over one buffer are written.
    carried
        Per saved name the bytes of its large buffers that are as they were before the step.
    buffers
        Per saved name where its large buffers lie: address and bytes.
    owned
        What libraries own of what the saved names reach, and digests of it; empty for what is not compared.
    refused
        What the step did to such objects: a restore cannot do it again.
    """

    values: dict[str, Any]
    changed: set[str]
    deleted: list[str]
    remade: list[str]
    lost: dict[str, str]
    groups: dict[str, str]
    views: list[View] = field(default_factory=list)
    carried: dict[str, int] = field(default_factory=dict)
    buffers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    owned: dict[owned.Path, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def settle(self, objects: Iterable[Any]) -> None:
        """Take note that a restore gives these objects of libraries what the step gave them."""
        idents = set(map(id, objects))
        for path in [path for path in self.owned if id(owned.at(path)) in idents]:
            self.owned[path] = ""
            self.refused = [text for text in self.refused if not text.startswith(f"`{owned.text(path)}`")]


def look(
    names: Mapping[str, Any],
    namespace: dict[str, Any],
    pages: Pages | None = None,
    makers: makers.Makers | None = None,
    known: Mapping[str, Seen] | None = None,
) -> State:
    """Look at every name once.

    Parameters
    ----------
    names
        The user's names and values; not changed.
    namespace
        The globals of the notebook's functions.
    pages
        What is known of large buffers: with it those are not read before that is asked for.
    makers
        Tells who made the notebook's definitions.
    known
        Looks that are taken as they are.
    """
    if pages is not None:
        pages.guard()
    with collector.off(), generators.kept():
        known = {name: seen for name, seen in (known or {}).items() if name in names}
        fallen = [one for one in _closed(known) if not one.stands(known, namespace)]
        found: dict[str, Seen] = {}
        while True:
            known = {name: seen for name, seen in known.items() if seen.closed not in fallen}
            rest = {name: value for name, value in names.items() if name not in known and name not in found}
            found |= fingerprint.look_at_all(rest, namespace, pages, makers)
            fresh = [*found.values(), *(seen for seen in known.values() if not seen.alone)]
            fallen = [one for one in _closed(known) if one.is_met(fresh)]
            if not fallen:
                break
        looks = {name: known[name] if name in known else found[name] for name in names}
        return State(looks, _links(looks, namespace), pages, list(namespace))


def _closed(looks: Mapping[str, Seen]) -> list[Closed]:
    return list({id(seen.closed): seen.closed for seen in looks.values() if seen.closed is not None}.values())


def _links(looks: Mapping[str, Seen], namespace: dict[str, Any], tying: frozenset[int] = frozenset()) -> sharing.Links:
    """What names share; of those that were not looked at again, what they did."""
    found = sharing.links(looks, namespace, tying)
    for one in _closed(looks):
        found.add(one.links)
    return found


def find_alone(state: State, spaces: Sequence[dict[str, Any]], touched: Iterable[str] = ()) -> None:
    """Find out of values that are large to walk through whether anything but their name leads into them (rule 10).

    Parameters
    ----------
    state
        A look at the whole namespace that still holds what it met.
    spaces
        The globals of the notebook's functions, and the mappings of names that were made for the look; nothing else
        may hold the values for our sake.
    touched
        Names that are looked at again anyway.
    """
    namespace = spaces[0]
    large = set()
    for name, seen in state.looks.items():
        if seen.is_large:
            large.add(name)
        elif type(namespace.get(name)) in (str, bytes) and len(namespace[name]) > fingerprint.MUCH:
            seen.alone = id(namespace[name])  # nobody can change it
    large -= set(touched).union(*state.links.objects, *state.links.memory)
    if not large:
        return
    large -= holders.named_by_code(namespace)
    ties = sharing.Ties(namespace)
    for name in large & namespace.keys():
        seen, ident = state.looks[name], id(namespace[name])
        ours = sum(id(space.get(name)) == ident for space in spaces)
        if not (seen.functions or seen.owned) and next(iter(seen.met)) == ident and holders.is_alone(seen, ties, ours):
            seen.alone = ident


def find_closed(state: State, spaces: Sequence[dict[str, Any]], touched: Iterable[str]) -> None:
    """Find groups of names that nothing else leads into, for those that `find_alone` did not find.

    That takes about as long as the look. The parameters are those of `find_alone`.
    """
    with collector.off():
        _find_closed(state, spaces, set(touched))


def _find_closed(state: State, spaces: Sequence[dict[str, Any]], used: set[str]) -> None:
    namespace = spaces[0]
    named: set[str] | None = None
    for group in sharing.groups(state.links, state.looks):
        looks = [state.looks[name] for name in group]
        if sum(len(seen.met) for seen in looks) < fingerprint.MANY // 2 or not used.isdisjoint(group):
            continue
        idents = {name: id(namespace.get(name)) for name in group}
        if any(one.alone or not one.is_comparable or one.functions or one.owned or one.guarded for one in looks):
            continue
        if any(next(iter(seen.met), 0) != ident for seen, ident in zip(looks, idents.values(), strict=True)):
            continue
        named = holders.named_by_code(namespace) if named is None else named
        if not named.isdisjoint(group):
            continue
        for seen in looks:
            seen.held = []  # it is not needed any more, and would be gone through
        opening = holders.openings(looks, sharing.Ties(namespace), spaces, group)
        if opening is None:
            continue
        content = fingerprint.look(opening, namespace)
        if not content.is_comparable or content.functions or content.owned:
            continue
        content.forget()
        closed = Closed(idents, state.links.among(group), opening, content)
        for seen, ident in zip(looks, idents.values(), strict=True):
            seen.alone, seen.closed = ident, closed


def untouched(state: State, names: Mapping[str, Any], touched: Iterable[str]) -> dict[str, Seen]:
    """The looks that still stand, since their values are led into by nothing but names that no code used."""
    used = set(touched)
    return {
        name: seen
        for name, seen in state.looks.items()
        if seen.alone and name in names and name not in used and id(names[name]) == seen.alone
    }


def compare(
    before: State,
    after: State,
    names: Mapping[str, Any],
    namespace: dict[str, Any],
    *,
    adds: Iterable[str] = (),
    renewed: Iterable[str] = (),
    reached: Iterable[str] | None = None,
    outside: Set[str] = frozenset(),
) -> Delta:
    """Find what changed between two looks.

    Parameters
    ----------
    before, after
        The looks; `after` still holds what it met.
    names
        The user's names and values now, those of `after`.
    namespace
        The globals of the notebook's functions.
    adds
        Names saved whatever the looks say: those that the code binds, and those that this step or a later one
        ever wrote in this kernel (a run again that finds its own work done would save nothing).
    renewed
        Those of `adds` that the code surely bound anew.
    reached
        Names that the code can reach; None if that is unknown and every name counts.
    outside
        Those of the names that are places outside the namespace: digests of groups leave them out.
    """
    within = after.looks.keys() if reached is None else set(reached)
    changed = {name for name in after.looks if _is_changed(name, before, after, names, within)}
    tied = _links_with_changed_definitions(before, after, changed, names, namespace)
    # a link that only ended because the other name is gone, or surely bound anew, is no change: `del alias` must not
    # save a gigabyte
    rest = after.looks.keys() - set(renewed)
    changed |= tied.among(rest).differing(before.links.among(rest)) & before.looks.keys()
    remade = [name for name in _remade(before.order, after.order) if name in before.looks and name in after.looks]
    changed |= (set(adds) & after.looks.keys()).union(remade)
    saved = sharing.closure(tied, changed)
    lost = {
        name: after.looks[name].why for name in after.looks if name in saved and not after.looks[name].is_comparable
    }
    views, refused = sharing.views(after.looks[name] for name in after.looks if name in saved and name not in lost)
    if refused:
        for name in after.looks.keys() & saved:
            for span in after.looks[name].spans:
                if id(span.array) in refused:
                    lost[name] = refused[id(span.array)]
    values = {name: names[name] for name in after.looks if name in saved and name not in lost}
    held, refused_paths = _of_libraries(before, after, values)
    return Delta(
        values=values,
        changed=changed,
        deleted=[name for name in before.looks if name not in after.looks],
        remade=remade,
        lost=lost,
        groups=group_digests(values.keys() - outside, after, tied),
        views=views,
        carried=_carried(before, after, values),
        buffers={name: [content.place for content in after.looks[name].contents] for name in values},
        owned=held,
        refused=refused_paths,
    )


def _of_libraries(before: State, after: State, saved: Iterable[str]) -> tuple[dict[owned.Path, str], list[str]]:
    """What libraries own of what saved names reach, and what a restore could not do to it."""
    old, new, held = (
        {path: digest for name in names for path, digest in state.looks[name].owned.items()}
        for state, names in ((before, before.looks), (after, after.looks), (after, saved))
    )
    refused = [
        f"`{owned.text(path)}`, which a library owns and the step changed,"
        for path, digest in new.items()
        if (path in old and old[path] != digest) or (path in held and digest is None)
    ]
    return {path: digest or "" for path, digest in held.items()}, refused


def differs_here(rows: Iterable[tuple[owned.Path, str]], namespace: dict[str, Any]) -> str:
    """Which object of a library does not hold what it held when a step was saved (`Delta.owned`); empty if all do."""
    for path, digest in rows:
        obj = owned.at(path)
        if obj is None or (digest and digest != fingerprint.library_digest(path, namespace)):
            return owned.text(path)
    return ""


def _carried(before: State, after: State, names: Iterable[str]) -> dict[str, int]:
    """Bytes of the large buffers that `names` hold and that are as they were; each buffer counts once."""
    earlier = {content.place: content for seen in before.looks.values() for content in seen.contents}
    found: dict[str, int] = {}
    for name in names:
        for content in after.looks[name].contents:
            old = earlier.pop(content.place, None)
            if old is not None and old.equals(content):
                found[name] = found.get(name, 0) + content.place[1]
    return found


def _remade(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Names that no longer stand where they stood: who is deleted and made again comes last, among the new ones.

    All names count: one that was IPython's and is the user's now (`for _ in …`) stands where it stood.
    """
    place = 0
    for name in before:
        place += place < len(now) and now[place] == name
    known = set(before)
    return [name for name in now[place:] if name in known]


def _is_changed(name: str, before: State, after: State, names: Mapping[str, Any], reached: Iterable[str]) -> bool:
    old, new = before.looks.get(name), after.looks[name]
    if old is None:
        return True
    if not (new.is_comparable and old.is_comparable):
        return new.is_comparable or old.is_comparable or not old.is_same_object(names[name]) or name in reached
    if not old.equals(new):
        return True
    return new.is_name and not old.is_same_object(names[name])


def _links_with_changed_definitions(
    before: State, after: State, changed: set[str], names: Mapping[str, Any], namespace: dict[str, Any]
) -> sharing.Links:
    """Links in which definitions that the step changed tie all names that reach them.

    A class whose attribute was set in this step is written anew; an instance left behind in another
    checkpoint would stay an instance of the old one.
    """
    tying = {
        id(names[name])
        for name in changed & before.looks.keys()
        if issubclass(type(names[name]), (type, types.FunctionType))
        and before.looks[name].is_same_object(names[name])
        and not references.by_reference(names[name])
    }
    return _links(after.looks, namespace, frozenset(tying)) if tying else after.links


def group_digests(names: Iterable[str], state: State, tied: sharing.Links | None = None) -> dict[str, str]:
    """Per name the digest of its sharing group among `names`: equal digests are equal content, in every kernel.

    Parameters
    ----------
    names
        Names that were looked at.
    state
        The look.
    tied
        Other links than those of the look.
    """
    names = set(names)
    inside = (tied or state.links).among(names)
    digests: dict[str, str] = {}
    for group in sharing.groups(inside, names):
        digest = new_hash()
        for member in group:
            digest.update(repr((member, state.looks[member].digest)).encode())
        if len(group) > 1:
            digest.update(inside.among(group).text())
        digests.update(dict.fromkeys(group, digest.hexdigest()))
    return digests
