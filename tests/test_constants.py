"""Numbers that libraries have under a name, found by themselves and written as such."""

from __future__ import annotations

import functools
import io
import math
import pickle
import random
import sys
from typing import Any

import numpy as np
import pytest

from ckpt_magic.values.memory import holds
from ckpt_magic.values.pickles import constants
from ckpt_magic.values.pickles.pickling import Contents, write


@pytest.mark.parametrize("size", [0, 1, 99, 100, 131_072, 131_073, 300_000])
@pytest.mark.parametrize("with_numpy", [True, False])
def test_a_list_is_told_to_hold_an_object_if_it_does(
    size: int, with_numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_numpy:
        monkeypatch.delitem(sys.modules, "numpy")
    wanted: list[Any] = [object(), float("nan")]
    items: list[Any] = [at / 7 for at in range(size)]
    assert not holds(items, wanted)
    for at in {0, size - 1, *random.Random(1).choices(range(size or 1), k=5)} if size else ():
        one, items[at] = items[at], wanted[at % 2]
        assert holds(items, wanted)
        assert not holds(items, [object()])
        items[at] = one


def test_a_plain_reader_gets_the_nan_of_numpy() -> None:
    value = {"list": [np.nan, math.nan, float("nan")], "dict": {np.nan: 1}, "array": np.array([np.nan, "x"], object)}
    file = io.BytesIO()
    held = constants.held([[value, *value.values()]], [])
    write(Contents("cell", value), file, namespace={"__name__": "__main__"}, held=held)
    read = pickle.loads(file.getvalue())
    assert [one is np.nan for one in read["list"]] == [True, False, False]
    assert [one is math.nan for one in read["list"]] == [False, True, False]
    assert read["dict"][np.nan] == 1
    assert read["array"][0] is np.nan


class Halved:
    """Is read with other attributes than it was written with."""

    def __init__(self, low: float, high: float = np.inf) -> None:
        self.low, self.high = low, high

    def __reduce__(self) -> Any:
        return Halved, (self.low, 0.0)


class Inside(float):
    """Is read as something that has no attributes."""

    low = high = np.nan

    def __reduce__(self) -> Any:
        return float, (1.0,)


def test_what_a_class_reads_in_its_own_way_gets_no_attributes_of_before() -> None:
    halved, inside = Halved(np.inf), Inside()
    inside.__dict__["other"] = np.nan
    file = io.BytesIO()
    held = constants.held([[halved, inside]], [])
    write(Contents("cell", {"halved": halved, "inside": inside}), file, namespace={"__name__": "__main__"}, held=held)
    read = pickle.loads(file.getvalue())
    assert read["halved"].low is np.inf
    assert read["halved"].high == 0.0
    assert read["inside"] == 1.0


def test_what_makes_a_dict_for_attributes_when_it_is_asked_is_not_asked() -> None:
    one = functools.partial(print, np.nan)
    before = one.__reduce__()
    constants.held([[[np.nan, one], one]], [])
    assert one.__reduce__() == before
