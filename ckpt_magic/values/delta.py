"""What changed between two looks at a namespace, and what has to be saved because of it.

The rules, each with a test that a laxer rule would fail:

1. Every name is looked at before and after a step; nothing is guessed from the code (but see 10). A name counts as
   changed when it is new, its digest differs, its links to other names differ, or it names another definition. Small
   values are looked at many at a time (`batches`): one stream over all of them is as it was only if each of them, and
   what they share with each other, is; and no other name may hold what can be changed of them. Every part of a figure
   of matplotlib leads to all of it: the figure is looked at once, and a part is told by its place in it. A name for a
   module, or for an importable function or class, is not looked at again while it means that very object, and this is
   still found where it says it is: it is written as its name and has no content.
2. The code only *adds* names: what it binds is saved even if the value is equal.
3. A value that cannot be pickled cannot be compared. It counts as changed when it is another object, or when
   the step could reach it (`reached`).
4. A changed name brings along every name that it shares mutable state with: sharing survives only inside one
   pickle.
5. A definition (class, function) that holds nothing mutable ties no names together: what is of it changes with it.
6. A value that cannot be pickled is tied to all that it holds, weakly too: a generator goes on changing the list it
   walks over, of which a checkpoint could only bring back a copy. What compiled code holds and does not show to the
   collector is found by counting references (`concealed`).
7. What pandas guards by copy-on-write (blocks, the arrays inside, data of an index) ties no frames together: their
   files say that they know of each other (`companions`), and a frame that comes to know of others has changed. It does
   tie a frame to an array or Arrow data that somebody holds apart from pandas, and frames that were each made over one
   array: pandas knows nothing of that. Memory that cannot be shared in a pickle is lost.
8. What libraries own (`logging.root.handlers`) is met by its name: it ties no names, and a change of it is no value
   that can be saved, but a change all the same. Figures that hold the same list of plain values as a setting of
   matplotlib are not tied by it: a restore looks it up there, and it is part of what each of them is.
9. Looking and saving draw no random numbers, whatever a `__getstate__` of the user does.
10. A value of very many objects (`fingerprint.MANY`, `MUCH`) is not looked at again while all of this holds:
   - at its last look nothing but one name led into it: no other name shares with it, Python counts no reference to
     what can be changed in it, or to what its arrays have their memory from, but its own (libraries, threads, closures,
     `Out`), nothing refers to it weakly, and no living function of the notebook mentions the name, in code or in a
     text, or can find things without naming them (`globals`, `gc`);
   - the definitions of the notebook that it reaches, such as the class of its instances, hold nothing that can be
     changed. Others reach them too: they are looked at each time, and it is with them if they are not what they were;
   - the name still means that very object;
   - no cell that ran since, and not the step, reads or binds the name, itself or by what it calls, or has it in a text;
   - they are not dynamic (`exec`, `globals`, magics, …), use nothing that finds objects without a name (`gc`, `ctypes`,
     `sys`, …), and no debugger is at work.
   Nobody can then have changed it, or put any part of it elsewhere.
   The same goes for names that share with each other alone (a figure and its axes): for all of them or for none. What
   they hold of what others hold too, such as the lists of a library's settings, is looked at each time; where another
   name has come to hold some of that, all is looked at. That matplotlib leads weakly from axes to those with the same
   scale does not count where all of them are inside: who asks it for these groups finds things without naming them.
   The same goes for values with large buffers (`pages.LARGE`), if their memory is their own (no view of what others
   hold, no file, nothing of Arrow's) and no code of the notebook ever asked for an address: nobody asks even for their
   pages.
11. A large buffer is not read again where the kernel of the system proves that nobody wrote to it (`pages`). A step
   that reaches it had it read before, so that writing the same bytes is no change; else what was written is changed.
   One that nothing but its name leads into (10) is not read before some code uses that name.
12. A file below an array that writes to it (`numpy.memmap`) is not read again where its times prove that nobody wrote
   to it, by that array or otherwise (`proofs`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from ckpt_magic.values import (
    addresses,
    batches,
    collector,
    ends,
    generators,
    looking,
    owned,
    sets,
    sharing,
    texts,
    trees,
)
from ckpt_magic.values.batches import Batch
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import Content, Pages, new_hash
from ckpt_magic.values.pickles import constants, figures, instances, makers, references, unchanging
from ckpt_magic.values.pickles.arrays import View
from ckpt_magic.values.seen import Seen


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
    batches
        How small values can be looked at again; since `forget` those as well that were looked at one by one.
    made, values
        Batches of these, and the values by name; until `forget`.
    lasting
        Places of large buffers of values that nothing but their name leads into.
    """

    looks: dict[str, Seen]
    links: sharing.Links
    pages: Pages | None = None
    order: Sequence[str] = ()
    batches: list[Batch] = field(default_factory=list)
    made: Sequence[Batch] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    lasting: set[tuple[int, int]] = field(default_factory=set)

    def read(self, names: Iterable[str]) -> None:
        """Read the large buffers of `names`, so that a change of theirs can turn out to be none."""
        for name in self.looks.keys() & set(names):
            for content in self.looks[name].contents:
                content.digest()

    def track(self) -> None:
        """Let writes to large buffers be seen from here on, also to those that are read below."""
        if self.pages is not None:
            self.pages.track(content for seen in self.looks.values() for content in seen.contents)

    def forget(self, later: Groups | None = None) -> None:
        """Let go of the values looked at; what compares them, and the links, stay.

        Parameters
        ----------
        later
            Groups whose digests are asked for when they are saved: what they hold is not read before.
        """
        if self.pages is not None:
            left = set() if later is None else later.unread()
            contents = {one for seen in self.looks.values() for one in seen.contents} - left
            self.pages.keep(contents, lasting=self.lasting)
        for seen in self.looks.values():
            if seen.met:
                seen.forget()
        self.batches += batches.unchanged(self.made, self.values)  # unless a thread changed them while they were met
        self.made, self.values = (), {}


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
    joint
        The saved names by what they share; `groups` tells their digests.
    views
        How arrays over one buffer are written.
    trees
        Values that are trees of which no other name holds a part, and what comes again in each (`trees.repeated`).
    deep
        Values whose objects lead from one to the next further than pickle goes, and the definitions that each reaches.
    carried
        Per saved name the bytes of its large buffers that are as they were before the step.
    buffers
        Per saved name where its large buffers lie: address and bytes.
    owned
        What libraries own of what the saved names reach, and digests of it; empty for what is not compared.
    refused
        What the step did to such objects: a restore cannot do it again.
    settings
        Lists that the figures among the values hold and settings of matplotlib, too, with their keys.
    ways
        Sets that are written in their order, and how (`sets`).
    texts
        The interned ones (`texts`) that the values hold.
    constants
        Where the values hold a nan or infinity of a library, or one that a name means.
    numbers
        Those that names mean.
    named
        Other values that cannot change, which the values hold and names that are not saved mean.
    keeps_addresses
        Whether the values hold numbers that `id` gave.
    """

    values: dict[str, Any]
    changed: set[str]
    deleted: list[str]
    remade: list[str]
    lost: dict[str, str]
    joint: Groups
    views: list[View] = field(default_factory=list)
    trees: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    deep: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    carried: dict[str, int] = field(default_factory=dict)
    buffers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    owned: dict[owned.Path, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    settings: Sequence[tuple[str, list[Any]]] = ()
    ways: Sequence[tuple[Any, sets.Way]] = ()
    texts: Sequence[str] = ()
    constants: Sequence[constants.Held] = ()
    numbers: Sequence[unchanging.Named] = ()
    named: Sequence[unchanging.Named] = ()
    keeps_addresses: bool = False

    @property
    def groups(self) -> dict[str, str]:
        """Per saved name the digest of its sharing group. Best asked for after the save, which reads buffers anyway."""
        return self.joint.digests()

    def lose(self, reasons: Mapping[str, str]) -> None:
        """Take note that these turned out not to be savable: `lost` says why."""
        self.lost |= {name: why for name, why in reasons.items() if self.values.pop(name, self) is not self}

    def settle(self, objects: Iterable[Any]) -> None:
        """Take note that a restore gives these objects of libraries what the step gave them."""
        idents = set(map(identity, objects))
        for path in [path for path in self.owned if identity(owned.at(path)) in idents]:
            self.owned[path] = ""
            for item in owned.items_of(path).values():
                self.owned.pop(item, None)
            self.refused = [text for text in self.refused if not text.startswith(f"`{owned.text(path)}`")]


def look(
    names: Mapping[str, Any],
    namespace: dict[str, Any],
    pages: Pages | None = None,
    makers: makers.Makers | None = None,
    known: Mapping[str, Seen] | None = None,
    last: State | None = None,
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
    last
        An earlier look: small values that are as they were then, and what is written as a name, need no look of their
        own.
    """
    if pages is not None:
        pages.guard()
    with collector.off(), generators.kept(), looking.looking(namespace, pages, makers) as look_at:
        known = {name: seen for name, seen in (known or {}).items() if name in names}
        if last is not None:
            known = {**named(last.looks, names), **known}
        fallen = [one for one in _closed(known) if not one.stands(known, namespace, makers)]
        taken, made = _batches(last or State({}, sharing.Links()), names, known)
        found: dict[str, Seen] = {}
        while True:
            known = {name: seen for name, seen in known.items() if seen.closed not in fallen}
            small = {name: last.looks[name] for batch in taken for name in batch.names} if last is not None else {}
            looks = {**known, **small, **found}
            found |= look_at({name: value for name, value in names.items() if name not in looks})
            fresh = [*found.values(), *(seen for seen in known.values() if not seen.alone)]
            tied = batches.tied_outside(taken, names, fresh, sharing.Ties(namespace)) if taken else []
            taken = [batch for batch in taken if batch not in tied]
            fallen = [one for one in _closed(known) if one.is_met(fresh, taken, names)]
            if not fallen and not tied:
                break
        if awaited := set(ends.awaited(namespace).values()):
            for seen in found.values():
                if seen.among(awaited):
                    seen.refuse("the end of an object in it is awaited by a `weakref.finalize`")
        looks = {**known, **small, **found}
        links = _links(looks, namespace)
        if last is not None:
            links.add(last.links.among(small))
        looks = {name: looks[name] for name in names}
        made = [batch for batch in made if all(looks[name].is_small for name in batch.names)]
        return State(looks, links, pages, list(namespace), taken, made, names)


def named(looks: Mapping[str, Seen], names: Mapping[str, Any]) -> dict[str, Seen]:
    """Looks at the same modules, functions and classes as before, which still have no content of their own."""
    found = {}
    for name in looks.keys() & names.keys():
        seen, value = looks[name], names[name]
        has_no_content = seen.is_name and seen.is_comparable and not seen.owned
        if has_no_content and seen.is_same_object(value) and references.by_reference(value):
            found[name] = seen
    return found


def _batches(last: State, names: Mapping[str, Any], known: Mapping[str, Seen]) -> tuple[list[Batch], list[Batch]]:
    """Small values: those that are as they were in the last look, and those that the next look need not part."""
    earlier = [batch for batch in last.batches if all(map(last.looks.__contains__, batch.names))]
    taken = batches.unchanged(earlier, names)
    rest = names.keys() - known.keys() - {name for batch in taken for name in batch.names}
    made = batches.made(last.looks, last.links, {name: names[name] for name in names if name in rest})
    return taken, list(made)


def _closed(looks: Mapping[str, Seen]) -> list[Any]:
    """The groups of names (`alone.Closed`) that are taken as they were."""
    return list({identity(seen.closed): seen.closed for seen in looks.values() if seen.closed is not None}.values())


def _links(looks: Mapping[str, Seen], namespace: dict[str, Any]) -> sharing.Links:
    """What names share; of those that were not looked at again, what they did."""
    found = sharing.links({name: seen for name, seen in looks.items() if seen.met}, namespace)
    for one in _closed(looks):
        found.add(one.links)
    return found


def compare(
    before: State,
    after: State,
    names: Mapping[str, Any],
    *,
    adds: Iterable[str] = (),
    renewed: Iterable[str] = (),
    reached: Iterable[str] | None = None,
    outside: Set[str] = frozenset(),
    shown: str | None = None,
    asks_for_addresses: bool = False,
    namespace: dict[str, Any] | None = None,
) -> Delta:
    """Find what changed between two looks.

    Parameters
    ----------
    before, after
        The looks; `after` still holds what it met.
    names
        The user's names and values now, those of `after`.
    adds
        Names saved whatever the looks say: those that the code binds, and those that this step or a later one
        ever wrote in this kernel (a run again that finds its own work done would save nothing).
    renewed
        Those of `adds` that the code surely bound anew.
    reached
        Names that the code can reach; None if that is unknown and every name counts.
    outside
        Those of the names that are places outside the namespace: digests of groups leave them out.
    shown
        What stands for the value of the last expression among the names: digests leave it out, too, since no step asks
        by them what `data.head()` showed of the data.
    asks_for_addresses
        Whether the code may have numbers that `id` gave.
    namespace
        The globals of the notebook or script: which of what its names mean the saved values hold.
    """
    within = after.looks.keys() if reached is None else set(reached)
    earlier = before.looks
    others = [name for name, seen in after.looks.items() if earlier.get(name) is not seen or not seen.is_comparable]
    changed = {name for name in others if _is_changed(name, before, after, names, within)}
    tied = after.links
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
                if identity(span.array) in refused:
                    lost[name] = refused[identity(span.array)]
    lost |= _torn(after.looks, saved, outside)
    values = {name: names[name] for name in after.looks if name in saved and name not in lost}
    held, refused_paths = _of_libraries(before, after, values)
    looks = list(map(after.looks.__getitem__, values))
    common = _in_common(after.looks, tied.loose, values.keys())
    numbers, meant = unchanging.held({} if namespace is None else namespace, values, looks, common)
    shared = _constants(values.values(), looks, [one.value for one in numbers])
    remembered = set[int]().union(*(one.holders() for one in shared))
    return Delta(
        values=values,
        changed=changed,
        deleted=[name for name in before.looks if name not in after.looks],
        remade=remade,
        lost=lost,
        joint=Groups(values.keys() - outside - {shown}, after, tied),
        views=views,
        trees=[
            (value, again)
            for name, value in values.items()
            if not tied.holds(name)
            and not after.looks[name].among(remembered)
            and (again := repeated(after.looks[name])) is not None
        ],
        deep=[(value, (*seen.functions,)) for name, value in values.items() if (seen := after.looks[name]).is_deep],
        carried=_carried(before, after, values),
        buffers={name: [content.place for content in after.looks[name].contents] for name in values},
        owned=held,
        refused=refused_paths,
        settings=_settings(after.looks[name] for name in values if after.looks[name].is_figure),
        ways=_ways(after.looks[name] for name in values if not after.looks[name].tree),
        texts=_texts(values.values(), looks),
        constants=shared,
        numbers=numbers,
        named=meant,
        keeps_addresses=asks_for_addresses and _keep_addresses(values.values(), looks),
    )


def _in_common(looks: Mapping[str, Seen], loose: Set[str], saved: Set[str]) -> dict[str, set[int]]:
    """Of names that are not saved the `id` of what they have in common with those that are, if nothing ties them."""
    here = [looks[name] for name in sorted(loose & saved)]
    others = [name for name in sorted(loose - saved) if len(looks[name].met) <= _MANY] if here else []
    return {name: set[int]().union(*(one.among(looks[name].met.keys()) for one in here)) for name in others}


_MANY: Final = 100_000  # objects in a value; in a larger one nobody looks for what has no name


def _torn(looks: Mapping[str, Seen], saved: Set[str], outside: Set[str]) -> dict[str, str]:
    """Of the saved names those that have in common with another what one of both is written without.

    Who leads to the object that hides it finds that again, and can miss only what such objects consist of.
    """
    found = {}
    for name in [name for name, seen in looks.items() if seen.hidden and name not in outside]:
        seen = looks[name]
        hiding = {ident for ident, one in seen.met.items() if instances.may_hide(type(one))}
        parts = {ident for ident, one in seen.hidden.items() if instances.may_hide(type(one))}
        for other, one in looks.items() if hiding else ():
            if other in outside:
                continue
            leads_there = bool(one.among(hiding))
            both = set() if leads_there else parts & one.hidden.keys()
            if both or one.among(parts if leads_there else seen.hidden.keys()):
                torn, whole = (name, other) if name in saved else (other, name)
                if torn in saved:
                    found[torn] = f"`{whole}` holds a part of it, too, of which nothing is written"
    return found


def _ways(looks: Iterable[Seen]) -> list[tuple[Any, sets.Way]]:
    """The sets that values consist of, but for those that pickle brings back as they are."""
    with collector.off():
        return list(sets.ways(itertools.chain.from_iterable(seen.met.values() for seen in looks)))


def _texts(values: Iterable[Any], looks: Iterable[Seen]) -> list[str]:
    """The interned texts that values hold."""
    with collector.off():
        return texts.interned(values, [seen.met.values() for seen in looks])


def _constants(values: Iterable[Any], looks: Sequence[Seen], numbers: Iterable[float]) -> list[constants.Held]:
    """Where values hold a nan or infinity of a library, or one of these."""
    with collector.off():
        parts = [seen.met.values() or [one] for one, seen in zip(values, looks, strict=True)]
        return constants.held(parts, itertools.chain.from_iterable(seen.functions for seen in looks), numbers)


def _keep_addresses(values: Iterable[Any], looks: Iterable[Seen]) -> bool:
    """Whether values hold numbers that `id` gave."""
    with collector.off():
        return addresses.are_kept(values, [seen.met.values() for seen in looks])


def _settings(looks: Iterable[Seen]) -> list[tuple[str, list[Any]]]:
    """What settings of matplotlib hold of what figures consist of."""
    known = figures.settings()
    met = {ident for seen in looks for ident in seen.among(known.keys())}
    return [setting for ident, setting in known.items() if ident in met]


def repeated(seen: Seen) -> tuple[Any, ...] | None:
    """What comes again in a tree that was just looked at; None if it is none."""
    return trees.repeated([*itertools.islice(seen.met.values(), seen.tree)]) if seen.tree else None


def _of_libraries(before: State, after: State, saved: Collection[str]) -> tuple[dict[owned.Path, str], list[str]]:
    """What libraries own of what saved names reach, and what a restore could not do to it."""
    old, new, held = (
        {path: digest for seen in looks if seen.owned for path, digest in seen.owned.items()}
        for looks in (before.looks.values(), after.looks.values(), map(after.looks.__getitem__, saved))
    )
    refused = [
        f"`{owned.text(path)}`, which a library owns and {'the step changed' if digest else 'nobody can compare'},"
        for path, digest in new.items()
        if (path in old and old[path] != digest) or (path in held and digest is None)
    ]
    items = dict.fromkeys(_items_held([path for path, digest in held.items() if digest], after, saved), "")
    return {path: digest or "" for path, digest in held.items()} | items, refused


def _items_held(paths: Iterable[owned.Path], after: State, saved: Iterable[str]) -> Iterator[owned.Path]:
    """Where lists and dicts of libraries hold what saved names hold not only through them: `[*STRATEGY]` beside it."""
    items = {ident: path for one in paths for ident, path in owned.items_of(one).items()}
    for name in saved if items else ():
        yield from map(items.__getitem__, after.looks[name].among(items.keys()))


def differs_here(rows: Iterable[tuple[owned.Path, str]], namespace: dict[str, Any]) -> str:
    """Which object of a library does not hold what it held when a step was saved (`Delta.owned`); empty if all do."""
    for path, digest in rows:
        obj = owned.at(path)
        if obj is None or (digest and digest != looking.library_digest(path, namespace)):
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
    place = len(before) if now[: len(before)] == before else 0
    for name in before if not place else ():
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


class Groups:
    """Sharing groups of names that were looked at; what they hold is read when their digests are first asked for.

    Until then it holds the large buffers that nobody has read yet, also after the look let go of them.

    Parameters
    ----------
    names
        Names that were looked at; a group is what shares among these.
    state
        The look.
    tied
        Other links than those of the look.
    """

    def __init__(self, names: Iterable[str], state: State, tied: sharing.Links | None = None) -> None:
        names = set(names)
        inside = (tied or state.links).among(names)
        self._groups = [
            ([(member, state.looks[member]) for member in group], inside.among(group).text() if len(group) > 1 else b"")
            for group in sharing.groups(inside, names)
        ]
        contents = (one for group, _ in self._groups for _, seen in group for one in seen.contents)
        self._unread = [(one, one.buffer) for one in contents if not one.is_read]
        self._pages = state.pages
        self._digests: dict[str, str] | None = None

    def unread(self) -> set[Content]:
        """What is held because nobody has read it yet, as far as writes to it are tracked."""
        return {one for one, buffer in self._unread if self._pages is not None and self._pages.known(buffer) is one}

    def digests(self) -> dict[str, str]:
        """Per name the digest of its group: equal digests are equal content, in every kernel."""
        if self._digests is None:
            self._digests = {}
            here = self.unread()  # what a thread wrote to since the look counts as a content that equals no other
            for content, buffer in self._unread:
                if content in here:
                    content.hold(buffer)
            for group, text in self._groups:
                digest = new_hash()
                for member, seen in group:
                    digest.update(repr((member, seen.digest)).encode())
                digest.update(text)
                self._digests.update(dict.fromkeys((member for member, _ in group), digest.hexdigest()))
            for content, _ in self._unread:
                content.forget()
            self._unread.clear()
        return self._digests
