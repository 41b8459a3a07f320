"""Sets are written by a way to their table, if a new one would be another."""

import pickle
from random import Random
from typing import Any

import pytest

from ckpt_magic.values import sets


def _made(random: Random) -> set[object]:
    """Make a set as notebooks do: filled, merged, copied, and elements removed again."""
    made: set[object] = set()
    for _ in range(random.randint(1, 8)):
        most = random.choice([5, 30, 150])
        some = random.choices([*range(most), *map(float, range(-most, 0)), *map(str, range(most)), (most, "x")], k=most)
        change = random.choice(["update", "difference_update", "union", "difference", "copy", "discard", "pop"])
        match change:
            case "union" | "difference":
                made = getattr(made, change)(some)
            case "copy":
                made = {*made}
            case "discard":
                for one in some:
                    made.discard(one)
            case "pop":
                for _ in range(min(len(made), 3)):
                    made.pop()
            case _:
                getattr(made, change)(some)
    return made


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_way_leads_to_the_very_order(kind: type) -> None:
    random, found, missed = Random(0), 0, 0
    for _ in range(600):
        one: Any = kind(_made(random))
        ways = list(sets.ways([one]))
        if not ways:
            missed += [*pickle.loads(pickle.dumps(one))] != [*one]
            continue
        [(same, way)] = ways
        found += 1
        made: Any = eval(sets.WAY)(*way.parts)
        assert same is one
        assert made == one
        assert [*made] == [*one]
        assert type(made) is kind
    assert found > 100 > 10 * missed  # some tables come about in ways that are too winding


def test_a_set_that_is_made_by_its_way_grows_as_it_would_have() -> None:
    one = set(range(0, 400, 3)) - set(range(0, 400, 9))
    one -= set(range(100, 300))
    [(_, way)] = sets.ways([one])
    made = eval(sets.WAY)(*way.parts)
    for number in range(1000, 9000, 77):
        one.add(number)
        made.add(number)
        assert [*made] == [*one]


def test_marks_of_what_was_removed_count_where_the_order_is_that_of_a_new_set() -> None:
    one = {0, 1, 2, 3}
    one.discard(3)
    [(_, way)] = sets.ways([one])
    made, new = eval(sets.WAY)(*way.parts), pickle.loads(pickle.dumps(one))
    for number in (8, 40, 9):
        for each in (one, made, new):
            each.add(number)
    assert [*made] == [*one] != [*new]


def test_pop_goes_on_where_it_was() -> None:
    one = set(range(8))
    popped = [one.pop(), one.pop()]
    one.add(0)
    [(_, way)] = sets.ways([one])
    made = eval(sets.WAY)(*way.parts)
    assert popped == [0, 1]
    assert [made.pop() for _ in range(7)] == [one.pop() for _ in range(7)] == [2, 3, 4, 5, 6, 7, 0]


def test_code_of_elements_is_never_run() -> None:
    class Key(int):
        def __hash__(self) -> int:
            assert not self.frozen
            return int.__hash__(self)

        frozen = False

    one: set[object] = {Key(3), 5}
    Key.frozen = True
    assert not list(sets.ways([one]))


@pytest.mark.parametrize("one", [set(), {1, 2, 3}, frozenset([5]), {None, 8, 0}, {"one"}, [3], {8: 1}])
def test_what_comes_back_as_it_is_takes_no_way(one: object) -> None:
    assert not list(sets.ways([one]))
