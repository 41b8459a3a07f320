"""Look at the namespace and at what surrounds it, before a step and after it: what did the step change?"""

from __future__ import annotations

import builtins
import functools
import sys
import types
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Any, Final

from ckpt_magic.steps import activity, around, needs, record, unseen, uses
from ckpt_magic.steps.evidence import Reach
from ckpt_magic.steps.fitting import Fitting
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.plan import Before, Code, Outcome, Plan
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values import addresses, alone, ambient, delta, ends, holders, outlines, owned, places, sharing, spots
from ckpt_magic.values.canonical import fingerprint
from ckpt_magic.values.code import reaching, source, syntax, vocabulary
from ckpt_magic.values.fingerprint import reason
from ckpt_magic.values.looking import look
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.seen import Seen

RESULT = "<result>"  # pseudo name of the last expression's value: no variable can be called so
_ANY: Final = uses.Use(vocabulary.Words(), is_open=True)


class Looks:
    """The looks of one kernel.

    Parameters
    ----------
    kernel
        The kernel.
    fitting
        Gives the fingerprints of what no step made.
    """

    def __init__(self, kernel: Kernel, fitting: Fitting) -> None:
        self._kernel = kernel
        self._fitting = fitting

    def before(self, plan: Plan, reach: Reach) -> Before:
        """Look before a step runs: what there is, and what its code can read and reach of it."""
        kernel = self._kernel
        surroundings = ambient.look()
        reached, words, way = reach
        around = self._with_unpickled(plan.code, words, way)
        outside = self._look_outside(plan.code, *around)
        names = kernel.names()  # what the code binds and IPython had bound before is IPython's until then
        values = {**names, **outside.values}
        known = kernel.watch.untouched(names)
        passed = set(known)
        while True:
            state = self._look(values, known, kernel.watch.last)
            reads = self._reads(plan.code.names, state, reached)
            used = None if reads is None else self._used(plan.code.names, reads, words)
            woken = passed if used is None else passed & used
            if not woken:
                break
            passed = passed - woken
            known = {name: seen for name, seen in state.looks.items() if name not in woken}
        kernel.concealed.find(state, names)
        strays = kernel.watch.looked_before(state) - outside.values.keys()
        kernel.watch.uses(used)
        reached = None if reads is None else sharing.closure(state.links, reads & names.keys())
        reads = {*names, *kernel.history.bound(), "*"} if reads is None else reads
        use = uses.use_of(plan.code.names, words, reads, kernel.namespace, is_open="*" in reads)
        producers = dict(kernel.registry.pipeline(plan.key).producers)
        seen, unmade = self._seen(reads, producers.keys(), names.keys(), state.looks)
        # rule 11; if all is reached, what is not written to costs nothing, and what is counts as changed
        state.read([*(reached or ()), *outside.values])
        if used is not None:
            others = self._around(names, values)
            alone.find_alone(state, others, used)
            alone.find_closed(state, others, used)
        state.forget()
        kernel.watch.living.runs(plan.code.tree, dynamic=used is None)
        kernel.watch.living.used(used or ())
        reads &= names.keys()
        results = self._results(names)
        shown = self._shown(unmade, results)
        seeded = kernel.chance.seeded
        perhaps = plan.code.names.binds - plan.code.names.renews if kernel.kind == "cell" else frozenset()
        return Before(
            state,
            surroundings,
            outside,
            around[0],
            producers,
            reads,
            reached,
            seen,
            sharing.aliases({name: names[name] for name in reads}) if _can_be_shared(seen, names) else [],
            unmade,
            use,
            kernel.around.before_step(surroundings),
            self._inputs(plan.key, reads, seen, names),
            seeded=seeded,
            mover=kernel.chance.mover,
            strays=strays,
            met=around[1],
            measured=self._measured(plan.code.names, producers) & reads,
            results=results,
            shown=shown or (),
            touches=shown is None,
            idents={name: identity(names[name]) for name in perhaps & names.keys()},
            awaited=frozenset(ends.awaited(kernel.main)),
            asks_for_addresses=way is None or not addresses.ASKING.isdisjoint(plan.code.names.reads | way.names),
        )

    def named(self, plan: Plan) -> None:
        """Note what a step that ran has read of the notebook besides what its code names: what bytes do, unpickled."""
        kernel, before, running, home = self._kernel, plan.before, plan.running, self._home(plan.code)
        if before is None or running is None or not running.trail.named:
            return
        if getattr(sys.modules.get("__main__"), "__dict__", None) is not home:
            return
        binds = plan.code.names.binds
        way = reaching.reach(running.trail.named - binds, home, binds)
        words = reaching.words_of(way.codes)
        look = kernel.evidence.look(replace(plan.call, key=()), plan.code, (way.names, words, way), kernel.watch.made())
        plan.running = replace(running, look=running.look | look)
        if kernel.kind == "method":
            return
        earlier = before.state.looks
        more = way.names - before.reads - before.seen.keys() - before.unmade - plan.code.names.renews
        more -= kernel.namespace.keys() - earlier.keys()  # the step made them
        there = {name: kernel.namespace[name] for name in more & kernel.namespace.keys()}
        now = delta.look(there, kernel.main, kernel.pages, kernel.makers).looks
        same = {name: seen for name, seen in now.items() if seen.is_comparable and earlier[name].equals(seen)}
        seen, unmade = self._seen(more, before.producers.keys(), earlier.keys(), same)
        before.seen |= seen
        before.unmade |= unmade
        before.reads |= more & earlier.keys()
        before.inputs = {**before.inputs, **self._inputs(plan.key, more & earlier.keys(), seen, there)}
        before.use |= uses.use_of(source.Names(), words, more, kernel.namespace)
        if before.reached is not None:
            before.reached = sharing.closure(before.state.links, before.reads)

    def compiled(self, plan: Plan, code: str | types.CodeType) -> None:
        """Look at what a text can change outside the namespace that the step is about to run as code."""
        tree = syntax.parsed(code) if isinstance(code, str) else code
        before, kernel = plan.before, self._kernel
        if tree is None or before is None:
            return
        names, words = reaching.told_by(tree)
        imports = names.imports - before.imports
        if not imports and not words.adds_to(before.words):
            return
        try:
            seen = kernel.places.look(words, names.reads, names.imports)
            more = {place: one for place, one in seen.values.items() if place not in before.state.looks}
            state = delta.look(more, kernel.main, kernel.pages, kernel.makers)
            state.read(more)
            state.forget()
        except Exception as error:  # noqa: BLE001  # looking runs user code; the cell must go on all the same
            plan.unseen = f"what `{str(code)[:60]}` changes cannot be known: {reason(error)}"
            return
        before.places.add(seen)
        before.state.looks |= state.looks
        before.state.links.add(state.links)
        before.words |= words
        before.imports |= imports
        before.met |= names.reads
        before.use |= uses.use_of(names, words, names.reads, kernel.namespace)

    def after(self, plan: Plan, outcome: Outcome) -> tuple[delta.Delta, ambient.Change]:
        """Look after a step ran, and find what it changed, in the namespace and around it."""
        kernel = self._kernel
        before = plan.before
        assert before is not None
        surroundings = ambient.look()
        names = kernel.names(plan.code.names.binds)
        if outcome.has_result and all(value is not outcome.result for value in names.values()):
            names[RESULT] = outcome.result  # a variable shown by its name is no second value
        outside = self._look_outside(plan.code, before.words, before.met, before.imports)
        began, put = before.ambient, dict[str, Any]()
        if kernel.around.was_set_by(plan.key, plan.call.step):
            last = kernel.registry.pipeline(plan.key).steps.get(plan.call.step)
            began, put, plan.doubtful = kernel.around.again(
                (before.ambient, self._moved(before, outside)),
                surroundings,
                plan.key,
                plan.call.step,
                before.use,
                plan.code.tree,
                same_code=last is not None and last.code == plan.code.digest,
            )
        change = ambient.compare(began, surroundings, secrets=kernel.secrets)
        parts = dict(before.places.parts)
        before.places.parts.update(put)
        moved = kernel.places.compare(
            before.places, outside, before.words, change.values, set_up=_may_change_imports(change)
        )
        values = {**names, **moved.values}
        after = self._look(values, kernel.watch.untouched(names), before.state)
        after.track()
        alone.find_alone(after, self._around(names, values))  # before the values are held anywhere else
        kernel.concealed.find(after, names)
        pipeline = kernel.registry.pipeline(plan.key)
        own = {name for name, steps in pipeline.written.items() if any(step >= plan.call.step for step in steps)}
        if before.reached is not None and kernel.kind == "cell":
            own &= before.reached  # what an earlier text of the cell made is none of its business
        found = delta.compare(
            before.state,
            after,
            values,
            adds=plan.code.names.binds | own | (before.strays & before.reads) | put.keys(),
            renewed=plan.code.names.renews,
            reached=names.keys() if before.reached is None else before.reached,
            outside=moved.values.keys(),
            shown=RESULT,
            asks_for_addresses=before.asks_for_addresses,
            namespace=kernel.main,
        )
        if outcome.success:  # what it binds and deletes is gone, too, where something else had bound it before
            bound_and_gone = plan.code.names.renews - kernel.namespace.keys()
            found.deleted += sorted(bound_and_gone.difference(found.deleted))
        before.touches |= self._touches(before, found.changed - {RESULT}, after, outcome)
        change, refused = self._with_places(change, moved, before, found, after)
        # what cannot be put back it sets as well, when it runs again; a module that was loaded again is no place
        placed = [*(place for place in refused if place[-1] != ":"), *(row[0] for row in change.state["places"])]
        plan.sets = around.sets(began, surroundings, placed, before.use)
        kernel.around.step_ran(plan.key, plan.call.step, plan.code.digest, plan.sets, before.ambient, parts)
        after.forget(found.joint if outcome.success else None)
        # of `for _ in …` that fails, `_` stays IPython's
        hosts = () if outcome.success else names.keys() - kernel.names().keys()
        for name in (RESULT, *moved.values, *hosts):
            after.looks.pop(name, None)
        kernel.watch.looked_after(after)
        going_on = activity.going_on(kernel.main, kernel.loop())
        if ends.awaited(kernel.main).keys() - before.awaited:
            going_on.append("what a `weakref.finalize` calls at the end of an object")
        under = list[str]()
        if plan.running is not None:
            trail = plan.running.trail
            under += [f"environ:{name} (for which a module asked while it was loaded)" for name in trail.loaded_under]
            under += [f"environ:{name} (which was set past `os.environ`)" for name in trail.put]
        return found, replace(change, refused=(*change.refused, *found.refused, *sorted(under), *going_on))

    def reads(self, code: Code, reach: Reach) -> set[str] | None:
        """Names that the code can read as things are now, those that are not here included; None for all."""
        kernel, names = self._kernel, self._kernel.names()
        reached = reach[0]
        while reached is not None:
            met = {name: names[name] for name in reached & names.keys()}
            more = self._reads(code.names, delta.look(met, kernel.main, kernel.pages, kernel.makers), reached)
            if more is not None and more <= reached:
                return more
            reached = more
        return None

    def _look(self, names: dict[str, Any], known: Mapping[str, Seen], last: delta.State) -> delta.State:
        kernel = self._kernel
        one_by_one = kernel.owner is not None  # whether a value holds it is asked of each
        state = delta.look(names, kernel.main, kernel.pages, kernel.makers, known, None if one_by_one else last)
        if kernel.owner is not None:
            for seen in state.looks.values():
                if identity(kernel.owner) in seen.met:  # a restore would make a second instance of it
                    seen.refuse("it holds the pipeline object (`self`); keep only what you need of it")
        kernel.concealed.tie(state)
        kernel.pages.prune({content.place for seen in state.looks.values() for content in seen.contents})
        return state

    def _around(self, *spaces: dict[str, Any]) -> alone.Surroundings:
        kernel = self._kernel
        living = kernel.watch.living
        return alone.Surroundings(
            (kernel.main, *spaces), living.named, living.addresses, kernel.pages.maps(), living.entered, kernel.makers
        )

    def _results(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """Of these values those that IPython keeps as results of cells, and that can be changed."""
        shown = self._kernel.namespace.get("_oh")
        held = set(map(identity, list(shown.values()))) if type(shown) is dict else ()
        return {name: one for name, one in names.items() if identity(one) in held and type(one) not in ATOMS}

    def _shown(self, unmade: Set[str], results: Mapping[str, Any]) -> list[tuple[Any, str | None]] | None:
        """Results that code reads by IPython's names for them, besides those of variables; None if it may read all."""
        space, named = self._kernel.namespace, set(map(identity, results.values()))
        values = {name: space[name] for name in unmade & space.keys() if needs.reads_shown([name])}
        if any(one is space.get("_oh") for one in values.values()):
            return None
        found = [one for one in values.values() if type(one) not in ATOMS and identity(one) not in named]
        return [(one, self._digest(one)) for one in found]

    def _digest(self, value: Any) -> str | None:
        return look(value, self._kernel.main, self._kernel.makers).digest

    def _touches(self, before: Before, changed: Set[str], after: delta.State, outcome: Outcome) -> bool:
        """Whether a step changed a result of a cell above, or one lies inside of what it changed."""
        history = self._kernel.namespace.get("_oh")
        shown = [one for one in list(history.values()) if type(one) not in ATOMS] if type(history) is dict else []
        held = {identity(one) for one in shown if one is not outcome.result}
        held -= {identity(one) for name, one in before.results.items() if self._kernel.namespace.get(name) is one}
        if any(after.looks[name].among(held) for name in changed & after.looks.keys()):
            return True
        return any(digest is None or self._digest(one) != digest for one, digest in before.shown)

    def _moved(self, before: Before, outside: places.Look) -> set[str]:
        """Places that a step changed, as far as that can be told without a look at what is in them."""
        moved = self._kernel.places.moved(before.places, outside, before.words)
        was = {place: fingerprint(before.places.parts.get(place)) for place in moved}
        return {place for place in moved if was[place] is None or was[place] != fingerprint(spots.read(place))}

    def _look_outside(
        self, code: Code, words: vocabulary.Words, met: Set[str], imports: Set[str] = frozenset()
    ) -> places.Look:
        kernel = self._kernel
        names = code.names if kernel.kind == "cell" or code.tree is None else source.names(code.tree)
        reads = kernel.main if names.dynamic else names.reads | met
        return kernel.places.look(words, reads, names.imports | imports)

    def reach(self, code: Code) -> Reach:
        """Names that the code reads through the functions that it mentions, None for all; its words; what it met."""
        if code.tree is None:
            return None, vocabulary.Words(), None
        kernel = self._kernel
        names = code.names if kernel.kind == "cell" else source.names(code.tree)
        if names.dynamic or kernel.kind == "method":
            home = self._home(code)
            held, modules = ([], frozenset[str]()) if kernel.kind == "method" else kernel.around.held(_ANY, frozenset)
            also = [*code.members.values(), *held]
            found = reaching.reach(list(home) if names.dynamic else names.reads, home, also=also)
            words = vocabulary.words(code.tree) | reaching.words_of(found.codes)
            return None, words, replace(found, modules=found.modules | modules)
        start = _first(names, names.fetches | names.measures)
        held, modules = list[Any](), set[str]()
        while True:
            found = reaching.reach(start | reaching.names_of(held, kernel.namespace), kernel.namespace, also=held)
            words = vocabulary.words(code.tree) | reaching.words_of(found.codes)
            through = found.modules | modules
            behind = functools.partial(kernel.evidence.modules.behind, through | names.imports)
            own = functools.cache(functools.partial(behind, kernel.history.imported()))
            more, others = kernel.around.held(uses.use_of(names, words, found.names, kernel.namespace), own)
            more += self._derived(through)
            if len(more) <= len(held) and others <= modules:
                return found.names, words, replace(found, modules=through)
            held, modules = more, modules | others

    def _measured(self, names: source.Names, producers: Mapping[str, tuple[int, str]]) -> Set[str]:
        """Of lost names that code reads, those of which it asks for no more than a number, as do all that it calls."""
        found = {name for name in names.measures & producers.keys() if producers[name][1].startswith(record.UNKNOWN)}
        if not found or names.dynamic:
            return frozenset()
        others = _first(names, names.fetches | names.measures - found)
        return found - reaching.reachable(others, self._kernel.namespace)

    def _derived(self, modules: Set[str]) -> list[Any]:
        """Classes of the notebook that modules of the user's own find by asking theirs what derives from them."""
        kernel = self._kernel
        text = kernel.evidence.modules.text
        if not any("__subclasses__" in text(name) for name in modules if owned.is_own(name)):
            return []
        found = (kernel.namespace[name] for name in reaching.defined_in(kernel.namespace))
        classes = [one for one in found if issubclass(type(one), type)]
        return [one for one in classes if any(owned.is_own(base.__module__) for base in type.mro(one))]

    def _home(self, code: Code) -> dict[str, Any]:
        """The globals of the code."""
        return self._kernel.main if code.home is None else code.home

    def _with_unpickled(
        self, code: Code, words: vocabulary.Words, way: reaching.Reached | None
    ) -> tuple[vocabulary.Words, Set[str]]:
        """Words and names, with those of all functions and classes that what is unpickled may be of."""
        if way is None or self._kernel.kind == "method" or code.names.dynamic:
            return words, frozenset()
        if not unseen.unpickles(way.modules | code.names.imports, words.read):
            return words, way.names
        found = reaching.reach(way.names | reaching.defined_in(self._kernel.namespace), self._kernel.namespace)
        return words | reaching.words_of(found.codes), found.names

    def _seen(
        self, reads: Set[str], producers: Set[str], names: Set[str], looks: Mapping[str, Seen]
    ) -> tuple[dict[str, str], set[str]]:
        """Fingerprints of what code reads of `names`, or misses there, and no step made; and what of it has none."""
        kernel = self._kernel
        unmade = {name for name in reads - producers if name in names or not hasattr(builtins, name)}
        self._fitting.forget()
        remade = set(filter(kernel.remade, reads & kernel.namespace.keys()))
        seen = dict.fromkeys((reads - {"*"}) - producers - names - remade, record.ABSENT)
        told = set[str]()
        for name in unmade & names & looks.keys():
            if (digest := self._fitting.fingerprint(name, looks[name])) is not None:
                seen[name] = digest
                told.add(name)
        self._fitting.forget()
        return seen, unmade - told

    def _inputs(
        self, key: PipelineKey, reads: Set[str], seen: Mapping[str, str], values: Mapping[str, Any]
    ) -> dict[str, outlines.Outline]:
        """Outlines of what a step reads; of a value that has no digest nothing is known."""
        pipeline = self._kernel.registry.pipeline(key)
        found = {
            name: pipeline.outlines[name]
            for name in sorted(reads & pipeline.producers.keys())
            if name in pipeline.outlines
        }
        others = {name: values[name] for name in sorted(seen.keys() & values.keys())}
        return found | outlines.outlines(others, self._kernel.evidence.variables.telling())

    def _reads(self, names: source.Names, state: delta.State, reached: Set[str] | None) -> set[str] | None:
        """Add names that are read through what the values hold; None for all."""
        kernel = self._kernel
        while reached is not None and not source.reaches_all(reached):
            held = {
                f"\0{identity(one)}": one
                for name in reached & state.looks.keys()
                for one in state.looks[name].functions
            }
            more = reached | reaching.reachable(held, {**kernel.namespace, **held}) - held.keys()
            more |= reaching.reachable(names.woken_by(more), kernel.namespace)
            if more == reached:
                return set(reached)
            reached = more
        return None

    def _used(self, names: source.Names, reads: set[str], words: vocabulary.Words) -> set[str] | None:
        """All that a step may use or leave behind, by name; None if there may be more (rule 10 of `delta`)."""
        used = reads | names.reads | names.binds | names.deletes | names.words
        return None if holders.hidden_ways(used | names.imports, self._kernel.namespace, words.read) else used

    def _with_places(
        self,
        change: ambient.Change,
        moved: places.Found,
        before: Before,
        found: delta.Delta,
        after: delta.State,
    ) -> tuple[ambient.Change, Iterable[str]]:
        """Take what changed outside the namespace out of the delta and into the surroundings.

        With it the places that cannot be put back.
        """
        kernel = self._kernel
        here = moved.values.keys()
        saved = {name: found.values.pop(name) for name in list(found.values) if name in here}
        changed = places.Changed(
            saved=saved,
            changed=found.changed & here,
            lost={name: found.lost.pop(name) for name in list(found.lost) if name in here},
            unknown={name for name in here if not after.looks[name].is_comparable},
            tied={name for name in saved if _is_as_before(before.state, after, name)},
        )
        found.changed -= here
        found.deleted = [name for name in found.deleted if name not in before.places.values]
        rows, refused = kernel.places.rows(moved, before.places, changed)
        kernel.places.follow(found.owned)
        live = {**before.places.live, **moved.live}
        found.settle([live[place] for place, how, _ in rows if how in ("pour", "delete") and place in live])
        state = {**change.state, "places": rows, "sources": kernel.places.sources(before.places, rows)}
        labels = tuple(dict.fromkeys(spots.label(place) for place, _, _ in rows))
        names, others = change.names + labels, change.refused
        told = tuple(dict.fromkeys(refused.values()))
        return replace(change, state=state, names=names, refused=(*others, *told), out_of_reach=told), refused


def _first(names: source.Names, awake: Set[str]) -> set[str]:
    """What code reads of what was there before, by its own names, given those that it does not leave to functions."""
    return (names.woken_by(awake) | names.deletes) - names.renews


def _may_change_imports(change: ambient.Change) -> bool:
    """Whether a module that the step imports may have met other surroundings than one that a restore imports."""
    return change.moved or bool(change.state["settings"] or change.state["options"] or change.values)


def _is_as_before(before: delta.State, after: delta.State, name: str) -> bool:
    return name in before.looks and before.looks[name].digest == after.looks[name].digest is not None


def _can_be_shared(seen: Mapping[str, str], names: Mapping[str, Any]) -> bool:
    return any(name in names and type(names[name]) not in ATOMS for name in seen)
