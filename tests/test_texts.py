"""Texts that are interned are so where a checkpoint is read."""

import gc
import io
import pickle
import string
import sys
from collections.abc import Iterable
from typing import Any

from ckpt_magic.values import sets, texts
from ckpt_magic.values.pickles import pickling
from ckpt_magic.values.pickles.pickling import Contents


def _other(text: str) -> str:
    return text[:-1] + text[-1:]


def _are_interned(some: Iterable[str]) -> list[bool]:
    return [sys.intern(_other(text)) is text for text in some]


def test_interned_texts_are_found_wherever_they_are_held() -> None:
    one, key, item, value, attribute = map(sys.intern, ("one", "key", "item", "value", "attribute"))
    kind: Any = type("Kind", (), {"name_of_it": attribute})
    parts = [[item, _other(item)], {key: _other(one), 1: value}, kind, gc.collect, gc]
    found = texts.interned([one, _other("none"), "", chr(ord("a"))], [parts[:2], parts[2:]])
    assert sorted(found) == sorted([one, item, value, key, attribute])


def test_a_letter_that_python_has_for_names_is_another_object_than_one_that_is_read() -> None:
    """With columns named `x` and `y`, a result of statsmodels was another one after a restore."""
    letters = [*map(sys.intern, string.ascii_letters)]
    found = texts.interned([*letters, *map(chr, range(256))], [])
    assert set(map(id, found)) == {id(one) for one in letters if one is not chr(ord(one))}
    file = io.BytesIO()
    pickling.write(Contents("cell", {"a": letters, "b": [*"xyz"]}), file, namespace={}, texts=found)
    read = pickle.loads(file.getvalue())
    assert [*map(id, read["a"])] == [*map(id, letters)] and [*map(id, read["b"])] == [*map(id, "xyz")]


def test_of_very_many_texts_those_are_found_that_come_often() -> None:
    often, rows = sys.intern("often"), [[f"row {number}"] for number in range((1 << 17) + 1)]
    for row in rows:
        row.append(often)
    assert texts.interned([], [rows]) == [often]


def test_interned_texts_are_so_where_they_are_read_and_equal_ones_are_not() -> None:
    one, two, other = sys.intern("interned one"), sys.intern("interned two"), _other("interned one")
    held = {*range(400), one}
    held -= {*range(100, 400)}
    value = {"a": [one, two, one], "b": (two, {one: two}), "c": other, "d": [other, "x"], "e": held}
    file = io.BytesIO()
    ways = list(sets.ways([held]))
    pickling.write(Contents("cell", value), file, namespace={}, texts=[one, two], ways=ways)
    read = pickle.loads(file.getvalue())
    assert read == value
    assert all(_are_interned([*read["a"], read["b"][0], *read["b"][1], *read["b"][1].values()]))
    assert not any(_are_interned([read["c"], read["d"][0]]))
    assert read["c"] is read["d"][0]
    assert next(text for text in read["e"] if text == one) is one
