"""Links between names: told by positions, so that two looks can be compared; arrays over one buffer."""

from __future__ import annotations

import decimal
import gc
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ckpt_magic.values import looking, owned, sharing
from ckpt_magic.values.sharing import Links
from tests.kernels import Kernel
from tests.work import calls


def linked(names: dict[str, Any]) -> Links:
    """Look at the names and find their links."""
    return sharing.links(looking.look_at_all(names, {}), {})


def groups(names: dict[str, Any]) -> list[list[str]]:
    """The sharing groups of more than one name."""
    return sorted(group for group in sharing.groups(linked(names), names) if len(group) > 1)


def planned(names: dict[str, Any]) -> tuple[list[Any], dict[int, str]]:
    """The plan for arrays over one buffer."""
    return sharing.views(looking.look_at_all(names, {}).values())


def test_names_that_share_nothing_have_no_links() -> None:
    assert linked({"a": [1], "b": [1], "c": 5, "d": 5, "e": (1, 2), "f": (1, 2)}) == Links()


def test_links_are_positions_without_addresses() -> None:
    inner = [1]
    first = linked({"a": inner, "b": [0, inner]})
    other = [1]
    assert first == linked({"a": other, "b": [0, other]})
    assert first.objects == {("a", "b"): [(0, 1)]}


def test_replacing_a_member_by_an_equal_object_changes_the_links() -> None:
    x, y = [1], [1]
    before, after = linked({"x": x, "y": y, "box": [x]}), linked({"x": x, "y": y, "box": [y]})
    assert after.differing(before) == {"x", "y", "box"}


def test_which_of_two_equal_members_is_shared_is_told() -> None:
    a, b = [1], [1]
    assert linked({"p": [a, b], "q": a}) != linked({"p": [a, b], "q": b})


def test_a_name_that_is_gone_ends_links_without_a_change() -> None:
    a, b = [1], [2]
    three = linked({"m": [a, b], "n": a, "o": [b, a]})
    two = linked({"m": [a, b], "o": [b, a]})
    assert two.differing(three.among({"m", "o"})) == set()
    assert linked({"m": [a, b]}).differing(three.among({"m"})) == set()


@pytest.mark.parametrize(
    "value",
    [
        5, "text", 1.5, (1, (2, "x")), frozenset({1}), decimal.Decimal(1), pd.Timestamp("2020"), pd.NaT, pd.NA,
        np.float64(1), np.dtype("f8"), pd.Int64Dtype(), pd.offsets.Day(), len, np.sin, np, dict, slice(1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_cannot_change_ties_no_names(value: Any) -> None:
    assert groups({"a": [value], "b": [value], "c": value}) == []


@pytest.mark.parametrize(
    "value",
    [[1], {}, set(), bytearray(), (1, [2]), np.zeros(1), pd.DataFrame(), object(), Exception(), iter([1])],
    ids=lambda value: type(value).__name__,
)
def test_what_can_change_ties_names(value: Any) -> None:
    assert groups({"a": [value], "b": (1, value), "c": [1]}) == [["a", "b"]]


def test_a_type_with_fields_ties_unless_a_library_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All trees of scikit-learn have one, whose names nobody changes; those of a type of the user's change for all."""
    fields = np.dtype([("left", "i8"), ("right", "i8")])
    names = {"a": np.zeros(2, fields), "b": np.ones(2, fields)}
    assert groups(names) == [["a", "b"]]
    library = types.ModuleType("a_library_t")
    library.__dict__["NODE"] = fields
    monkeypatch.setitem(sys.modules, "a_library_t", library)
    assert groups(names) == []


def test_what_belongs_to_the_process_ties_nothing() -> None:
    state = np.random.mtrand._rand  # as models keep that were given no state of their own
    assert linked({"a": [state], "b": [state, sys.stdout], "c": [sys.stdout]}) == Links()


def test_what_its_library_gives_again_ties_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As astropy does with its units, each of which holds its names."""
    library = types.ModuleType("units_t")
    code = """
class Unit:
    def __init__(self, name): self.names = [name]
    def __eq__(self, other): return self.names == other.names
    def __hash__(self): return 1
    def __reduce__(self): return again, (self.names[0],), self.__dict__
class Copied(Unit):
    def __reduce__(self): return another, (self.names[0],), self.__dict__
def again(name): return metre if name == 'm' else Unit(name)
def another(name): return Copied(name)
metre, copied = Unit('m'), Copied('m')
"""
    exec(code, vars(library))
    monkeypatch.setitem(sys.modules, "units_t", library)
    monkeypatch.setattr(owned, "known", dict)  # else it is met there
    one, two = library.Unit("s"), library.copied
    assert groups({"a": [library.metre], "b": [library.metre]}) == []
    assert groups({"a": [one], "b": [one]}) == groups({"a": [two], "b": [two]}) == [["a", "b"]]


def test_groups_and_closure_follow_chains() -> None:
    x, y, z = [1], [2], [3]
    names = {"a": x, "b": [x, y], "c": [y, z], "d": z, "e": [4]}
    assert groups(names) == [["a", "b", "c", "d"]]
    assert sharing.closure(linked(names), ["d"]) == {"a", "b", "c", "d"}
    assert sharing.closure(linked(names), ["e"]) == {"e"}


def test_arrays_are_tied_by_memory_not_by_object() -> None:
    base = np.arange(10.0)
    names = {"v": base[2:4], "w": base[3:8], "x": base[8:], "y": np.arange(10.0)}
    assert linked(names).memory == {("v", "w"): [(16, 8)]}
    assert planned(names)[0][0].low == base.__array_interface__["data"][0] + 16


def test_arrays_side_by_side_are_not_tied() -> None:
    base = np.zeros(10)
    assert groups({"a": base[:5], "b": base[5:]}) == []


def test_frames_are_never_tied_to_frames_by_memory() -> None:
    frame = pd.DataFrame(
        {"t": pd.date_range("2020", periods=5), "n": range(5), "k": pd.array([1, 2, 3, 4, None], dtype="Int64")}
    )
    names = {"df": frame, "part": frame.iloc[1:3], "one": frame[["t", "k"]], "s": frame["n"]}
    assert groups(names) == []
    assert planned(names) == ([], {})


def test_what_a_frame_holds_ties_when_somebody_else_holds_it_too() -> None:
    array = pd.array([1, 2, None], dtype="Int64")
    frame = pd.DataFrame({"k": array}, copy=False)
    assert groups({"a": array, "df": frame}) == [["a", "df"]]
    index = pd.Index([1.5, 2.5])
    assert groups({"v": index.values, "i": index, "df": pd.DataFrame(index=index)})[0][0] == "df"


def test_frames_made_from_each_other_are_not_tied() -> None:
    """Else a step that adds a column to one of them would write them all."""
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(list("aba")),
            "s": list("xyz"),
            "o": pd.Series([1, "a", None], dtype=object),
            "f": [1.0, 2.0, 3.0],
        },
        index=pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]),
    )
    names = {
        "df": frame,
        "copy": frame.copy(),
        "part": frame[["c", "s"]],
        "head": frame.head(2),
        "flat": frame.reset_index(),
    }
    assert groups({**names, "s": frame.s}) == []


def test_frames_inside_one_value_never_share_either() -> None:
    frame = pd.DataFrame({"n": np.arange(5)})
    assert planned({"both": [frame, frame.iloc[1:3]]}) == ([], {})


def test_an_array_under_a_frame_is_shared_with_it() -> None:
    array = np.zeros((5, 2))
    names = {"a": array, "df": pd.DataFrame(array, copy=False)}
    assert groups(names) == [["a", "df"]]
    plan, refused = planned(names)
    assert len(plan) == 1
    assert refused == {}


def test_frames_that_were_each_made_over_one_array_are_shared() -> None:
    array = np.zeros((5, 2))
    names = {"a": array, "d": pd.DataFrame(array, copy=False), "e": pd.DataFrame(array, copy=False)}
    for some in (names, {name: names[name] for name in "de"}):
        assert groups(some) == [sorted(some)]
        plan, refused = planned(some)
        assert (len(plan), refused) == (1, {})


def test_frames_of_which_some_know_of_each_other_share_one_array() -> None:
    array = np.zeros((5, 2))
    one, other = (pd.DataFrame(array, copy=False) for _ in range(2))
    for names in ({"d": one, "e": other, "f": one.iloc[1:]}, {"a": array, "d": one, "f": one.iloc[1:]}):
        assert groups(names) == [sorted(names)]
        plan, refused = planned(names)
        assert (len(plan), refused) == (1, {})


def test_arrow_data_over_a_frame_is_shared() -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0]})
    names = {"d": frame, "t": pa.Table.from_pandas(frame)}
    assert groups(names) == [["d", "t"]]
    plan, refused = planned(names)
    assert (len(plan), refused) == (1, {})


def test_a_masked_array_shares_its_memory_with_its_data() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    (view,), refused = planned({"m": masked, "d": masked.data})
    assert refused == {}
    assert type(view.owner) is np.ndarray


def test_a_class_of_arrays_that_reduces_itself_is_refused() -> None:
    class Odd(np.ndarray):
        def __reduce__(self) -> Any:
            return Odd, (0,)

    base = np.zeros(5)
    plan, refused = planned({"a": base, "b": base.view(Odd)})
    assert plan == []
    assert set(refused.values()) == {"a Odd over the memory of another array"}


def test_arrays_of_objects_share_a_flat_owner() -> None:
    array = np.array([[1, None], ["x", [2]]], dtype=object)
    names = {"a": array, "t": array.T, "row": array[1]}
    assert groups(names) == [["a", "row", "t"]]
    (view,), refused = planned(names)
    assert refused == {}
    assert view.owner.tolist() == [1, None, "x", [2]]


def test_an_owner_is_found_for_views_of_a_base_without_a_name() -> None:
    def views() -> tuple[Any, Any]:
        base = np.arange(10.0)
        return base[:6][::-1], base[4:]

    a, b = views()
    (view,), _ = planned({"a": a, "b": b})
    assert view.high - view.low == view.owner.nbytes == 80
    view.owner.view("f8")[4] = -1
    assert a[1] == b[0] == -1


def test_many_shared_objects_cost_a_few_calls_each() -> None:
    items: list[Any] = [[i] for i in range(100_000)]
    looks = looking.look_at_all({"a": items, "b": list(items), "c": [items]}, {})
    assert sum(map(len, sharing.links(looks, {}).objects.values())) == 100_001
    assert calls(lambda: sharing.links(looks, {})) < 3 * 100_000


def test_a_thousand_names_for_one_object_are_not_taken_in_pairs() -> None:
    one = [1]
    names = {f"v{i}": [one] for i in range(1000)}
    looks = looking.look_at_all(names, {})

    def find() -> None:
        found = sharing.links(looks, {})
        assert len(sharing.closure(found, ["v5"])) == 1000
        assert len(sharing.groups(found, names)) == 1

    assert calls(find) < 30_000


@pytest.mark.parametrize(
    "made", ["[pd.Series([1., 2.])]; d.append(d)", "types.SimpleNamespace(d=d); d[0] = pd.Series([1., 2.]); d['d'] = d"]
)
def test_a_restore_leaves_nothing_behind_that_pandas_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """What leads to itself lives on when another step replaces it, and whoever writes to its memory takes a copy."""
    monkeypatch.setenv("CKPT_KEY", "tests")
    gc.disable()
    try:
        for start in (0, 3):
            kernel = Kernel(tmp_path / "ckpt", start)
            kernel.cell("import numpy as np, pandas as pd, types; d = {}")
            kernel.step(1, f"d = {made}" if made[0] == "[" else f"held = {made}")
            facts = kernel.step(2, "m = [np.asarray(d[0])]")
            kernel.cell("d[0].iloc[0] = 77.0")
            assert kernel.names["m"][0][0] == 77.0
    finally:
        gc.enable()
    assert facts["action"] == "restored"
