"""What is kept of values to tell later in what another one differs: bounded, and never more than a hint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ckpt_magic.steps.shapes import FORMS
from ckpt_magic.values import outlines
from ckpt_magic.values.outlines import differences, outline

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")


def told(old: Any, new: Any) -> list[str]:
    """In what two values differ, after the first was kept as JSON."""
    kept = json.loads(json.dumps(outline(old, tell)))
    now = outline(new, tell)
    assert now is not None and FORMS["inputs"]({"old": kept, "new": now})
    return differences(kept, now)


def tell(label: str, value: Any) -> str | None:
    return None if label == "password" else outlines.short(value)


TABLE = {"a": [1, 2, 3], "b": [0.1, 0.2, 0.3], "c": ["x", "y", "z"]}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"b": [0.1, 0.2, 0.4]}, ["first differing column: `b`"]),
        ({"c": ["x", "y", ""], "b": [0.1, 0.2, 0.4]}, ["first differing column: `b` (of 2)"]),
        ({"a": [1.0, 2.0, 3.0]}, ["column `a` was int64, is float64"]),
        ({"d": [1, 2, 3]}, ["the shape was 3 × 3, is 3 × 4", "new: column `d`"]),
    ],
)
def test_frames_differ_by_shape_columns_types_and_the_first_column_that_differs(
    change: dict[str, Any], lines: list[str]
) -> None:
    assert told(pd.DataFrame(TABLE), pd.DataFrame(TABLE | change)) == lines


def test_rows_columns_and_index_of_a_frame() -> None:
    frame = pd.DataFrame(TABLE)
    assert told(frame, frame.head(2)) == ["the shape was 3 × 3, is 2 × 3"]
    assert told(frame, frame.drop(columns="a")) == ["the shape was 3 × 3, is 3 × 2", "gone: column `a`"]
    assert told(frame, frame[["b", "a", "c"]]) == ["the columns are in another order"]
    assert told(frame.set_index("c"), frame.set_index(frame.c.str.upper())[["a", "b"]])[-1:] == [
        "first differing column: `(index)`"
    ]
    assert told(frame.a, frame.b)[0].startswith("the dtype was int64, is float64")


def test_frames_of_other_libraries() -> None:
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    other = TABLE | {"c": ["x", "y", ""]}
    assert told(pl.DataFrame(TABLE), pl.DataFrame(other)) == ["first differing column: `c`"]
    assert told(pa.table(TABLE), pa.table(other)) == ["first differing column: `c`"]
    assert told(pa.table(TABLE), pl.DataFrame(TABLE)) == ["it was pyarrow.Table, 3 × 3, is polars.DataFrame, 3 × 3"]


def test_arrays_and_containers() -> None:
    assert told(np.zeros((2, 3)), np.zeros((2, 4), "f4")) == [
        "the shape was 2 × 3, is 2 × 4",
        "the dtype was float64, is float32",
    ]
    assert told({"depth": 2, "units": [1]}, {"depth": 3, "units": [2]}) == [
        "key `depth` was 2, is 3",
        "first differing key: `units`",
    ]
    assert told([1, 2], [1, 3, 4]) == ["the length was 2, is 3", "item `1` was 2, is 3"]
    assert told({"password": "a", "x": 1}, {"password": "b", "x": 1})[0].startswith("in outline it is the same")
    assert "'a'" not in json.dumps(outline({"password": "a"}, tell))
    assert outline(object()) is None and outlines.outlines({"password": [1], "n": 1}, tell) == {}


def test_one_value_of_many_is_found_where_the_columns_are_looked_at_in_full_and_else_nothing_is_claimed() -> None:
    frame = pd.DataFrame({name: np.arange(50_000.0) for name in "pqrs"})
    other = frame.copy()
    other.loc[1, "r"] = -1
    assert told(frame, other) == ["first differing column: `r`"]
    large = pd.DataFrame({name: np.arange(300_000.0) for name in "pqrs"})
    other = large.copy()
    other.loc[1, "r"] = -1
    assert told(large, other) == ["in outline it is the same: it differs where the record has no samples of it"]
    other["r"] += 1
    assert told(large, other) == ["first differing column: `r`"]
    by_row = pd.DataFrame(large.to_numpy(), columns=list("pqrs"))
    by_row.loc[0, "p"] = -1
    assert not any("`q`" in line or "`s`" in line for line in told(large, by_row)), "the same, laid out otherwise"


def test_an_outline_is_small_whatever_it_is_of() -> None:
    wide = pd.DataFrame(np.zeros((3, 5000)))
    assert len(json.dumps(outline(wide))) < 8000
    assert len(json.dumps(outline(dict.fromkeys(map(str, range(100_000)), 1), tell))) < 8000
    many = outlines.outlines({f"x{number}": [1, 2, 3] for number in range(1000)}, tell)
    assert sum(len(one["parts"]) for one in many.values()) <= 260


def test_an_object_is_asked_only_for_what_its_class_has() -> None:
    """Coordinates of astropy keep what they find out when they are asked for anything else: they would be changed."""

    class Coordinates:
        __module__ = "astropy.coordinates"
        shape = (2,)

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise AttributeError(name)

    asked: list[str] = []
    one = outline(Coordinates())
    assert one is not None
    assert (one["shape"], one["dtype"], asked) == ([2], "", [])


def test_what_cannot_be_looked_at_has_no_outline() -> None:
    class Odd:
        @property
        def shape(self) -> Any:
            raise RuntimeError

    Odd.__module__ = "odd"
    assert outline(Odd()) is None
