from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ckpt_magic.values.differences import LIMIT, compare


def texts(old: Any, new: Any) -> list[str]:
    return [one.text() for one in compare("x", old, new)]


class Model:
    __slots__ = ("__dict__", "rate")

    def __init__(self, rate: float, coef: Any) -> None:
        self.rate = rate
        self.coef_ = coef


FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["u", "v", None], "when": pd.Series([1, None, 3], dtype="datetime64[ns]")})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (1, 2, ["x: 1 → 2 (+1)"]),
        (1, 1.0, ["x: 1 → 1.0 (+0)"]),
        (1, True, ["x: type int → bool"]),
        ("abc", "abd", ['x: "abc" → "abd"']),
        (Decimal(1), Decimal("1.1"), ["x: Decimal('1') → Decimal('1.1')"]),
        ({"a": 0.5}, {"a": 0.75}, ['x["a"]: 0.5 → 0.75 (+0.25)']),
        ({"a": 0, "n": 3}, {"a": 0, "m": 4}, ['x["n"] removed: 3', 'x["m"] added: 4']),
        ([1, [2, 3]], [1, [2, 4, 5]], ["x[1]: length 2 → 3", "x[1][1]: 3 → 4 (+1)"]),
        ({1, 2}, {2, 3, 4}, ["x: 1 removed, 2 added"]),
        ([1], (1,), ["x: type list → tuple"]),
        (lambda v: v + 1, lambda v: v + 2, ["x: its code differs"]),
        (Model(0.1, [1]), Model(0.2, [1]), ["x.rate: 0.1 → 0.2 (+0.1)"]),
        (Model(1, [1.0, 1.0]), Model(1, [1.0, 2.0]), ["x.coef_[1]: 1.0 → 2.0 (+1)"]),
        (np.array([1.0, np.nan, 3.0]), np.array([1.0, np.nan, 3.5]), ["x: 1 of 3 values, max 0.5"]),
        (np.arange(3), np.arange(4), ["x: shape (3,) → (4,)"]),
        (np.arange(3), np.arange(3.0), ["x: dtype int64 → float64"]),
        (np.array([1, "a"], object), np.array([1, "b"], object), ['x.flat[1]: "a" → "b"']),
        (np.array([(1, 2.0)], "i4,f8"), np.array([(1, 2.5)], "i4,f8"), ['x["f1"]: 1 of 1 value, max 0.5']),
        (FRAME, FRAME.assign(a=[1, 5, 3]), ['x["a"]: 1 of 3 values, max 3']),
        (FRAME, FRAME.assign(c=0), ["x: shape (3, 3) → (3, 4)", 'x["c"] added']),
        (FRAME, FRAME.assign(b=pd.Series(["u", "w", None])), ['x["b"]: 1 of 3 values']),
        (FRAME, FRAME.astype({"a": "Int64"}), ['x["a"]: dtype int64 → Int64']),
        (FRAME["a"], FRAME["a"].rename("z"), ['x.name: "a" → "z"']),
    ],
)  # fmt: skip
def test_differences_are_told_by_place_and_amount(old: Any, new: Any, said: list[str]) -> None:
    assert texts(old, new) == said


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), [float("nan")], FRAME, pd.Series(["a", None], dtype="category"), np.array([np.nan]), pd.NA,
        Model(1, {"a": [1, 2]}), {"k": {1, 2}}, datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        np.random.default_rng(3),
    ],
)  # fmt: skip
def test_copies_do_not_differ(value: Any) -> None:
    assert texts(value, copy.deepcopy(value)) == []


def test_cycles_end() -> None:
    def ring(number: int) -> list[Any]:
        made: list[Any] = [number]
        made.append(made)
        return made

    assert texts(ring(1), ring(1)) == []
    assert texts(ring(1), ring(2)) == ["x[0]: 1 → 2 (+1)"]


def test_what_cannot_be_compared_is_said() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    (found,) = compare("x", numbers(), numbers())

    assert found.kind == "unknown" and found.text() == "x: values of type generator cannot be compared in full"


def test_a_long_list_of_differences_is_cut_and_says_so() -> None:
    found = compare("x", list(range(100)), list(range(1, 101)))

    assert len(found) == LIMIT + 1
    assert found[-1].text() == "x: there is more that differs, or was not compared"


def test_numbers_of_which_python_makes_no_text_are_told_by_their_length() -> None:
    assert texts(10**5000, 10**6000) == ["x: <an int of 16610 bits> → <an int of 19932 bits>"]


def test_a_repr_that_raises_is_no_error() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    (found,) = compare("x", {}, {"a": Shy()})

    assert found.new.startswith("<") and "its repr raised RuntimeError" in found.new


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_are_compared_by_column(library: str) -> None:
    made = pytest.importorskip(library)
    table = made.DataFrame if library == "polars" else made.table

    assert texts(table({"a": [1, 2, None]}), table({"a": [1, 3, None], "b": [0, 0, 0]})) == [
        "x: shape (3, 1) → (3, 2)", 'x["a"]: 1 of 3 values', 'x["b"] added',
    ]  # fmt: skip
