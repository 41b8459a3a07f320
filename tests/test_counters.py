"""Counters of libraries: which they are, and that they go on where a step left off."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing.process
import sys
import threading
import types
from typing import Any

import pytest

from ckpt_magic.values import ambient, counters

LIBRARY = """
import collections, itertools, threading
ids, next_id = itertools.count(), itertools.count(5).__next__
by_twos, version, LIMIT, depth = itertools.count(0, 2), 3, 9, 0
made = 0
def make():
    global made, depth
    made += 1; depth += 1
    def undo():
        global depth
        depth -= 1
    return made
class Pool:
    numbers = itertools.count().__next__
class Thing:
    made, level = 0, 3
    def __init__(self): Thing.made += 1; self.number = Thing.made
    @classmethod
    def lower(cls): cls.level -= 1
class Numbers:
    def __init__(self, text): self.text, self.last = text, 0
    def get(self): self.last += 1; return f"{self.text}-{self.last}"
    def other(self): return self.last
class Held:
    def __init__(self): self.n = self.all = 0
    def enter(self): self.n += 1; self.all += 1
    def leave(self): self.n -= 1
numbers, held, holding = Numbers("a"), Held(), Numbers([])
class Ids:
    def __init__(self): self.count = 1
IDS, OTHER = Ids(), Ids()
def get_id():
    IDS.count += 1
    return IDS.count
def reset(): OTHER.count = 1
class Asked:
    def __init__(self): pass
    @property
    def __dict__(self): raise RuntimeError("nobody asks")
ASKED = Asked()
here = threading.local()
def name(kind):
    names = vars(here).setdefault("names", collections.defaultdict(int))
    names[kind] += 1
    return f"{kind}_{names[kind]}"
def more(): return Thing().number, get_id()
def names(): return next(ids), next_id(), make(), Pool.numbers(), numbers.get(), name("dense"), *more()
"""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of no file, that counts in all the ways there are."""
    module = types.ModuleType("a_library_that_counts")
    exec(LIBRARY, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("_walked", "_places", "_of_threads", "_of_kinds"):
        monkeypatch.setattr(counters, name, {})
    return module


def numbers_of(library: Any) -> dict[str, int]:
    """What a look finds there."""
    return {".".join(place[1:]): number for place, number in counters.look().items() if place[0] == library.__name__}


def test_counters_are_told_from_other_numbers(library: Any) -> None:
    library.name("dense")
    expected = {"ids": 0, "next_id": 5, "made": 0, "Pool.numbers": 0, "numbers.last": 0, "held.all": 0, "Thing.made": 0}
    assert numbers_of(library) == {**expected, "IDS.count": 1, "here.names.dense": 1}


def test_what_python_itself_numbers_is_found() -> None:
    kinds = (threading.Thread, concurrent.futures.ThreadPoolExecutor, multiprocessing.process.BaseProcess)
    assert {kind.__module__ for kind in kinds} <= {module for module, *_ in counters.look()}


def test_what_comes_next_is_what_came_next(library: Any) -> None:
    before = ambient.look()
    library.names(), library.names()
    state = ambient.compare(before, ambient.look()).state
    then = library.names()
    counters._walked.clear()  # another kernel
    exec(LIBRARY, vars(library))
    library.names()  # of what ran here before
    ambient.put_back(state, generators_too=False)
    assert library.names() == then
    ambient.put_back(state, generators_too=False)
    assert library.names() != then  # no number is given twice


def test_what_began_anew_begins_anew(library: Any) -> None:
    library.name("dense"), library.name("dense"), library.name("conv")
    before = ambient.look()
    library.here.names.clear()
    library.name("dense")
    state = ambient.compare(before, ambient.look()).state
    library.name("dense"), library.name("conv")
    ambient.put_back(state, generators_too=False)
    assert library.here.names == {"dense": 1}


def test_a_library_that_is_not_here_is_passed_over(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = counters.look()
    library.names()
    changes = counters.changes(before, counters.look())
    monkeypatch.delitem(sys.modules, library.__name__)
    counters.put_back(changes)
    assert library.make() == 2
    assert numbers_of(library) == {}


def test_what_is_no_counter_in_another_version_stays_as_it_is(library: Any) -> None:
    before = counters.look()
    library.names()
    changes = counters.changes(before, counters.look())
    library.made, library.held, library.here.names = None, library.Thing, ["dense"]
    del library.Pool, library.numbers
    counters.put_back(changes)
    assert (library.made, library.held, library.here.names) == (None, library.Thing, ["dense"])
    assert not {"Pool", "numbers"} & vars(library).keys() and not hasattr(library.Thing, "all")


def test_a_number_that_another_version_does_not_count_with_stays_as_it_is(library: Any) -> None:
    counters.look()
    counters.put_back({(library.__name__, "version"): (3, 4), (library.__name__, "new"): (0, 1)})
    assert library.version == 3 and not hasattr(library, "new")


def test_a_library_that_is_loaded_again_is_looked_at_again(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes last then, by the name that the last one had: how many there are, and their names, tell nothing."""
    counters.look()
    monkeypatch.delitem(sys.modules, library.__name__)
    again = types.ModuleType(library.__name__)
    again.more_ids = itertools.count(3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, library.__name__, again)
    assert numbers_of(again) == {"more_ids": 3}


def test_a_look_counts_nothing() -> None:
    thread, number = threading.Thread(), itertools.count()
    counters.look(), counters.look()
    following, first = threading.Thread(), int(thread.name.removeprefix("Thread-"))
    assert following.name == f"Thread-{first + 1}" and next(number) == 0
