"""The rules that the delta and a restore go by, each with a way to switch it off and scenarios that then fail.

`switch_off` is called in a process that runs a pipeline, and in no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A rule, and what it takes to do without it.

    Attributes
    ----------
    place
        Module and attribute that is replaced, e.g. ``values.sharing:closure``.
    makes
        Called with what is there; returns what is put in its place.
    scenarios
        Module of this folder and name of scenarios of which one at least must fail.
    """

    place: str
    makes: Callable[[Any], Any]
    scenarios: tuple[tuple[str, str], ...]


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _: lambda *args, **options: value


def _without_argument(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda function: lambda *args, **options: function(*args, **{**options, name: value})


def _result(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda function: lambda *args, **options: change(function(*args, **options))


def _no_deletions(found: Any) -> Any:
    found.deleted = []
    return found


TAKEN_OUT = "a step takes arrays out of frames that were made from each other over steps, and writes to these"

RULES: dict[str, Rule] = {
    "what other names hold of a tree is remembered when it is written": Rule(
        "values.sharing:Links.holds",
        _always(False),
        (("test_sharing", "names and iterators that lead to parts of large lists and dicts"),),
    ),
    "a value is compared by its content": Rule(
        "values.seen:Seen.equals",
        _always(True),
        (("test_in_place", "every mutator of a list"), ("test_in_place", "sets change")),
    ),
    "names that come to share something have changed": Rule(
        "values.sharing:Links.differing",
        _always(set()),
        (("test_sharing", "a member is replaced by an equal object held elsewhere"),),
    ),
    "names that the code binds are saved whatever they hold": Rule(
        "values.delta:compare",
        _without_argument("adds", ()),
        (("test_names", "a name is rebound to an equal object"),),
    ),
    "a changed name brings along all that it shares with": Rule(
        "values.sharing:closure",
        lambda _: lambda tied, names: set(names),
        (("test_sharing", "an object of step 1 in a container of step 3, changed through it in step 4"),),
    ),
    "names share objects": Rule(
        "values.sharing:_shared_objects",
        _always({}),
        (("test_sharing", "cycles within and across variables"),),
    ),
    "names share memory": Rule(
        "values.sharing:_shared_memory",
        _always({}),
        (("test_numpy", "views across variables and steps"),),
    ),
    "views are written as views": Rule(
        "values.sharing:views",
        _always(([], {})),
        (("test_numpy", "overlapping views of a base without a name"),),
    ),
    "what cannot be pickled is tied to all that it holds": Rule(
        "values.fingerprint:reachable",
        _always([]),
        (("test_iterators", "a generator holds a list that a later step changes"),),
    ),
    "an array that somebody holds apart from pandas ties": Rule(
        "values.sharing:_guarded_everywhere",
        lambda _: lambda looks, shared: {ident for one in looks.values() for ident in one.guarded & shared},
        (("test_in_place", "the categories of a series are held by a name as well"),),
    ),
    "pandas objects from other files know of each other": Rule(
        "values.pickles.companions:Companions.join",
        _always(None),
        (("test_frames", TAKEN_OUT),),
    ),
    "their memory is one again": Rule(
        "values.pickles.companions:_share",
        _always(None),
        (("test_frames", TAKEN_OUT),),
    ),
    "who pandas counts is looked at": Rule(
        "values.pickles.companions:Companions.serial",
        _always(None),
        (("test_frames", TAKEN_OUT),),
    ),
    "looking and saving draw no random numbers": Rule(
        "values.generators:kept",
        lambda _: contextlib.nullcontext,
        (("test_surroundings", "a __getstate__ that draws random numbers"),),
    ),
    "names that are gone are deleted": Rule(
        "values.delta:compare",
        _result(_no_deletions),
        (("test_names", "names are created, rebound, deleted and created again"),),
    ),
    "what surrounds the names is put back": Rule(
        "values.ambient:put_back",
        _always(None),
        (
            ("test_surroundings", "random numbers, seeded or not"),
            ("test_surroundings", "surroundings that a step changes"),
        ),
    ),
    "functions reach what their code names": Rule(
        "values.code.reaching:reach",
        lambda reach: lambda names, *_, **__: dataclasses.replace(reach((), {}), names=frozenset(names)),
        (("test_names", "an unmarked cell changes a variable through functions"),),
    ),
    "a part of a figure leads to all of it": Rule(
        "values.seen:Seen.add",
        _always(None),
        (("test_iterators", "parts of a figure that has no name"),),
    ),
    "what an unmarked cell may have changed is looked at before a decision": Rule(
        "steps.watch:Watch.settle",
        _always(None),
        (("test_names", "star imports, and what hides them"),),
    ),
    "one live object per definition": Rule(
        "steps.loading:Loader._living",
        _always(None),
        (("test_classes", "instances from several steps are of the one live class"),),
    ),
    "names come in the order of their making": Rule(
        "steps.loading:values_of",
        _result(lambda values: dict(reversed(values.items()))),
        (("test_names", "the order of names is the order of their making"),),
    ),
    "names that were deleted and made again come last": Rule(
        "values.delta:_remade",
        _always([]),
        (("test_names", "a name is deleted and made again in one step, so that it comes last"),),
    ),
    "what calls set inside libraries is looked at": Rule(
        "values.places:called",
        lambda _: lambda *_: importlib.import_module("ckpt_magic.values.setters").Called(),
        (("test_surroundings", "what compiled functions set is named, under other names too"),),
    ),
    "submodules are imported again": Rule(
        "steps.record:meta_of",
        _result(lambda meta: {**meta, "imports": []}),
        (("test_names", "a submodule is imported in a later step"),),
    ),
    "attributes that somebody else holds as a dict stay that dict": Rule(
        "values.pickles.instances:instance",
        _always(NotImplemented),
        (("test_in_place", "a dict that is its own attributes, and objects that have their attributes in common"),),
    ),
    "an exception keeps its cause": Rule(
        "values.pickles.tracebacks:error",
        lambda _: lambda error, reduced: reduced,
        (("test_in_place", "exceptions that were caught, with cause and context"),),
    ),
}


def switch_off(name: str) -> None:
    """Do without a rule in this process, from now on."""
    rule = RULES[name]
    module, _, path = rule.place.partition(":")
    owner: Any = importlib.import_module(f"ckpt_magic.{module}")
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, attribute, rule.makes(getattr(owner, attribute)))
