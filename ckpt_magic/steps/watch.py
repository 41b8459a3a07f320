"""What happens to the names of steps between steps: unmarked cells, widgets, threads, steps of other pipelines.

A name counts as a step's only while it holds what the step left. Cells without `%%step` are not compared when they
end, only noted: what they bind is theirs at once, what they could reach is *suspect* until a decision or a look
asks for it. Knows values and the registry, no file.
"""

from __future__ import annotations

import ast
import contextlib
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Set
from typing import Any

from ckpt_magic.steps import record
from ckpt_magic.steps.living import Living
from ckpt_magic.steps.registry import Pipeline, PipelineKey, Registry
from ckpt_magic.values import alone, delta, holders, sharing, spots
from ckpt_magic.values.code import encoding, essence, reaching, source, vocabulary
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import Pages
from ckpt_magic.values.pickles import figures, makers, tensors
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.seen import Seen

Touched = tuple[source.Names, frozenset[str], vocabulary.Words]


class Watch:
    """Tells which names still hold what a step left in them.

    Parameters
    ----------
    namespace
        Where the notebook's variables live.
    main
        Globals of the functions that the user wrote.
    registry
        Its producers are kept up to date here.
    pages
        What is known of large buffers.
    makers
        Tells who made the definitions.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        main: dict[str, Any],
        registry: Registry,
        pages: Pages,
        makers: makers.Makers | None = None,
    ) -> None:
        self._namespace = namespace
        self._pages = pages
        self._main = main
        self._makers = makers
        self._registry = registry
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._baseline: dict[str, Seen] = {}  # looks at names that steps made, as the last step left them
        self._suspects: set[str] = set()
        self._holds: dict[str, set[str]] = {}  # per other name the names of steps that it may hold objects of
        self._cell: tuple[set[str], set[str], set[str]] | None = None
        self._last = delta.State({}, sharing.Links())  # the last look at the whole namespace
        self._touched: set[str] | None = set()  # names that cells used since; None for all
        self._changeable: set[str] | None = None  # names that cells and restores may have changed since; None for all
        self._trees: dict[str, ast.Module] = {}  # per name the unmarked cell that bound it
        self._strays: set[str] = set()  # names that were seen to be changed outside any cell since the last look
        self._small: set[str] = set()  # names of steps that are cheap enough to be looked at before each decision
        self._read: dict[PipelineKey, dict[str, tuple[int, str]]] = {}  # by unmarked cells, of what was not saved
        self.living = Living(self._main)

    # -- unmarked cells -------------------------------------------------------------------------------------

    def cell_begins(self, tree: ast.Module | None) -> Touched | None:
        """Note what an unmarked cell can reach; None if its code is not known. Returns what `touches` does."""
        made = self.made()
        found = self.touches(tree)
        if found is None:
            self._cell, self._suspects = None, self._suspects | made
            self._note_reads(made)
            self._changeable = None
            return None
        names, reachable, _ = found
        if names.dynamic or source.reaches_all(reachable):
            reached = made
            self._note_reads(made)
            self._changeable = None
        else:
            self._note_reads(reachable)
            held = (self._holds.get(name, set()) for name in reachable)
            reached = self._groups(made & set(reachable).union(*held))
        self._look_once(reached)
        self._suspects |= reached
        self._cell = (set(names.binds | names.deletes), set(names.binds | reachable), reached)
        if tree is not None:
            self._trees.update(dict.fromkeys(names.binds, tree))
        if self._changeable is not None:
            self._changeable |= names.binds | names.deletes | reachable | reached
        return found

    def touches(self, tree: ast.Module | None) -> Touched | None:
        """Note what code uses that runs between two looks; return its names, what they lead to, its words."""
        if tree is None:
            self._touched = None
            self.living.unknown()
            return None
        names = source.names(tree)
        found = reaching.reach(names.reads - {one for one in names.measures if self._is_number(one)}, self._namespace)
        reachable = found.names
        used = names.binds | names.deletes | names.words | reachable
        everything = names.dynamic or source.reaches_all(reachable)
        words = vocabulary.words(tree) | reaching.words_of(found.codes)
        everything = everything or holders.hidden_ways(used | names.imports, self._namespace, words.read)
        if everything:
            self._touched = None
        elif self._touched is not None:
            self._touched |= used
        self.living.runs(tree, dynamic=everything)
        self.living.used(used)
        return names, reachable, words

    def enters(self, places: Iterable[str]) -> None:
        """Note places outside the namespace that the unmarked cell can reach."""
        if self._changeable is not None:
            self._changeable.update(places)

    def _is_number(self, name: str) -> bool:
        """Whether the name means a tensor, or stands for one, that stays as it is when it is asked for its number."""
        return tensors.number_of(self._namespace.get(name)) is not None

    def uses(self, names: set[str] | None) -> None:
        """Note what the step uses that comes next; None for everything."""
        self._touched = None if names is None or self._touched is None else self._touched | names

    @property
    def last(self) -> delta.State:
        """The last look at the whole namespace."""
        return self._last

    def untouched(self, names: Mapping[str, Any]) -> dict[str, Seen]:
        """Looks at large values that still stand (rule 10 of `delta`)."""
        return {} if self._touched is None else alone.untouched(self._last, names, self._touched)

    def cell_ends(self) -> set[str]:
        """Attribute what the unmarked cell that just ended has bound or deleted to it; return what it can have changed.

        That are no names if its code is not known.
        """
        if self._cell is None:
            return set()
        (bound, mentioned, reached), self._cell = self._cell, None
        self.attribute(bound)
        self._strays -= bound
        for name in mentioned - self.made():
            if _can_hold(self._namespace.get(name)):
                self._holds.setdefault(name, set()).update(reached)
        return mentioned

    def _note_reads(self, names: Set[str]) -> None:
        for key, pipeline in self._registry.pipelines().items():
            for name in names & pipeline.producers.keys():
                if pipeline.producers[name][1].startswith(record.UNKNOWN):
                    self._read.setdefault(key, {})[name] = pipeline.producers[name]

    def read_by_cells(self, key: PipelineKey) -> Mapping[str, tuple[int, str]]:
        """Names of a pipeline without a saved value that unmarked cells have read, with their producers."""
        return self._read.get(key, {})

    def ordered(self) -> frozenset[str]:
        """Names by whose order the cells went that bound something here, if they are sets."""
        found = [source.names(tree) for tree in set(self._trees.values())]
        return frozenset[str]().union(*(one.ordered | one.ordered_asleep for one in found))

    def reads_documentation(self) -> bool:
        """Whether an unmarked cell that ran here reads documentation or annotations."""
        return any(essence.reads_documentation(vocabulary.words(tree).read) for tree in set(self._trees.values()))

    def code_of(self, name: str) -> str | None:
        """Digest of the unmarked cell that bound a name; None if none did."""
        return encoding.digest(self._trees[name]) if name in self._trees else None

    def lineage(self, tree: ast.Module | None) -> str:
        """The code of a cell, as digests, and what it rests on: cells that bound what it reads, results of steps."""
        if tree is None:
            return uuid.uuid4().hex
        found, done = [encoding.digest(tree)], set[str]()
        todo = set(reaching.reachable(source.names(tree).reads, self._namespace))
        while todo:
            name = todo.pop()
            done.add(name)
            found += [one.producers[name][1] for one in self._registry.pipelines().values() if name in one.producers]
            if name in self._trees:
                found.append(encoding.digest(self._trees[name]))
                todo |= source.names(self._trees[name]).reads - done
        return " ".join(sorted(set(found)))

    def _look_once(self, names: set[str]) -> None:
        """Look at names before a cell can change them, where that was not done since their step."""
        unknown = {n: self._namespace[n] for n in names - self._baseline.keys() if n in self._namespace}
        if unknown:
            state = delta.look(unknown, self._main, self._pages, self._makers)
            state.forget()
            self._baseline.update(state.looks)

    # -- steps ----------------------------------------------------------------------------------------------

    def is_suspect(self, name: str) -> bool:
        """Whether cells may have changed what a step left in a name, and nobody looked since."""
        return name in self._suspects

    def settle(self, names: Iterable[str]) -> None:
        """Find out whether the suspects among `names` still hold what their step left."""
        names = set(names)
        some = names & (self._suspects | (self._small & self._baseline.keys()))
        if not some:
            return
        wanted = some | self._groups(some - self._baseline.keys())
        here = {name: self._namespace[name] for name in wanted if name in self._namespace}
        state = delta.look(here, self._main, self._pages, self._makers)
        moved = self._moved(some, state)
        self._strays |= self._outside(moved & self._baseline.keys(), state)
        changed = self._compare(moved, state)
        self._suspects -= some
        state.forget()
        if any(issubclass(type(here.get(name)), (type, types.FunctionType)) for name in changed):
            self._suspects |= self.made()  # what a changed class has instances of is changed with it
            self.settle(names - some)

    def looked_before(self, state: delta.State) -> set[str]:
        """Settle everything, also what nobody suspects (threads, widgets), by a look at the whole namespace.

        Returns
        -------
        set of str
            Names that were changed outside any cell since the last such look.
        """
        moved = self._moved(self._baseline.keys() | state.looks.keys(), state)
        outside = self._strays | self._outside(moved, state)
        known = self._suspects | self._baseline.keys()
        self._compare(known & moved, state)
        self._suspects -= known
        self._last, self._touched, self._strays = state, set(), set()
        return outside

    def _outside(self, moved: Set[str], state: delta.State) -> set[str]:
        """Those of the names with another look whose value is another one, although no cell can have changed it."""
        if self._changeable is None:
            return set()
        touched = sharing.closure(self._last.links, sharing.closure(state.links, self._changeable))
        if moved <= touched:
            return set()
        names = touched & self._namespace.keys()
        found = reaching.reach(names, self._namespace, also=map(spots.read, touched - names))
        met = {identity(one) for one in found.definitions}  # the class of an instance, which has no word for it
        classes = {name for name in moved - touched if identity(self._namespace.get(name)) in met}
        touched = sharing.closure(state.links, touched | found.names | classes)
        definitions_touched = met | {identity(self._namespace[name]) for name in touched & self._namespace.keys()}
        return {
            name
            for name in moved - touched
            if name not in self._baseline
            or (self._differs(name, state) and not self._reaches(name, state, definitions_touched))
        }

    def looked_after(self, state: delta.State) -> None:
        """Take a look at the whole namespace as what the last step left."""
        self._last, self._touched = state, set()
        self._baseline = dict(state.looks)
        self._strays.clear()
        self._suspects.clear()
        self._changeable = set()

    def suspect_all(self) -> None:
        """Count on nothing: code ran outside any cell."""
        self._suspects |= self.made()
        self._touched = None
        self.living.unknown()

    def lost_track(self) -> None:
        """Count on nothing: a step ran, and nobody looked."""
        self.suspect_all()
        self._changeable = None

    def wrote(self, key: PipelineKey, names: Iterable[str], *, small: bool) -> None:
        """Note that a step of the pipeline `key` gave these names their values (small ones?), or deleted them."""
        names = set(names)
        for name in names:
            self._holds.pop(name, None)
            self._trees.pop(name, None)
        self._strays -= names
        self._small = self._small | names if small else self._small - names
        self.attribute(names, but=key)

    def restored(self, names: Iterable[str], *, small: bool) -> None:
        """Forget what was known of names: a restore gave them their values, looked at where that is cheap.

        Of small ones it is, but for figures, which are looked at when a cell or a step may reach them: as a rule the
        next one binds their names anew.
        """
        self._touched = None  # it may have brought functions that name anything
        self.living.unknown()
        names = set(names)
        for name in names:
            self._baseline.pop(name, None)
            self._suspects.discard(name)
        if small:
            self._look_once({name for name in names if figures.behind(self._namespace.get(name)) is None})
        if self._changeable is not None:
            self._changeable |= names - self._baseline.keys()

    @contextlib.contextmanager
    def changing_places(self) -> Iterator[None]:
        """Take what a restore does to places outside the namespace, which values may hold, for no change of theirs."""
        names = self._small & self._baseline.keys()
        self.settle(names)
        yield
        for name in names:
            self._baseline.pop(name, None)
        self._look_once(names)

    def attribute(self, names: Iterable[str], but: PipelineKey | None = None) -> None:
        """Take names away from the steps of all pipelines (but one): something else gave them their values."""
        for key, pipeline in self._registry.pipelines().items():
            if key != but:
                for name in names:
                    pipeline.producers.pop(name, None)

    def _compare(self, moved: Set[str], state: delta.State) -> set[str]:
        changed = {name for name in moved if self._is_changed(name, state)}
        self.attribute(changed)
        self._baseline.update({name: state.looks[name] for name in moved if name in state.looks})
        return changed

    def _moved(self, names: Set[str], state: delta.State) -> Set[str]:
        """Names that have another look than they had."""
        looks, known = state.looks, self._baseline
        return {
            name
            for name in names
            if (seen := looks.get(name)) is None or seen is not known.get(name) or not seen.is_comparable
        }

    def _is_changed(self, name: str, state: delta.State) -> bool:
        if name not in state.looks:
            return True
        now, before = state.looks[name], self._baseline.get(name)
        if before is not None and (before.is_comparable or name not in self._suspects):
            return before.is_comparable and not before.equals(now)
        pipelines = [pipeline for pipeline in self._registry.pipelines().values() if name in pipeline.producers]
        return not now.is_comparable or not any(_is_as_made(name, pipeline, state) for pipeline in pipelines)

    def _differs(self, name: str, state: delta.State) -> bool:
        before = self._baseline[name]
        return name not in state.looks or (before.is_comparable and not before.equals(state.looks[name]))

    def _reaches(self, name: str, state: delta.State, touched: Set[int]) -> bool:
        """Whether a name reaches a class or function that a cell may have changed, and with it all that has it."""
        return name in state.looks and any(identity(one) in touched for one in state.looks[name].functions)

    def made(self) -> set[str]:
        """Names that hold what a step left in them, of any pipeline."""
        return {name for pipeline in self._registry.pipelines().values() for name in pipeline.producers}

    def _groups(self, names: set[str]) -> set[str]:
        """The names and all that came from the same step in one sharing group with them."""
        found = set(names)
        for pipeline in self._registry.pipelines().values():
            groups = {pipeline.producers[name] for name in names if name in pipeline.producers}
            found.update(name for name, group in pipeline.producers.items() if group in groups)
        return found


def _is_as_made(name: str, pipeline: Pipeline, state: delta.State) -> bool:
    """Whether a name has the digest of its group in the checkpoint; if not, it may still have the same content."""
    group = [one for one, producer in pipeline.producers.items() if producer == pipeline.producers[name]]
    if not state.looks.keys() >= set(group):
        return False
    return delta.Groups(group, state).digests()[name] == pipeline.producers[name][1]


def _can_hold(value: Any) -> bool:
    return type(value) not in ATOMS and not issubclass(type(value), types.ModuleType)
