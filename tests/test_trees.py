"""Large trees of plain containers: looked at without a memory, and told from all that is no tree."""

from __future__ import annotations

import abc
import io
import math
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.values import trees
from ckpt_magic.values.delta import repeated
from ckpt_magic.values.looking import look, look_at_all
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.instances import has_attributes_alone
from ckpt_magic.values.pickles.pickling import Contents, write
from ckpt_magic.values.seen import Objects
from ckpt_magic.values.sharing import links
from tests.kernels import Kernel

Rows = list[dict[str, Any]]


def rows() -> Rows:
    return [{"id": k, "name": f"name {k}", "part": [k / 7, (k, None)]} for k in range(trees.LARGE)]


def nan(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | bits))[0])


CHANGES: dict[str, Callable[[Rows], object]] = {
    "an item of an item": lambda some: some[500]["part"].append(1),
    "a number for a flag": lambda some: some[1].update(id=True),
    "a float for a number": lambda some: some[1].update(id=1.0),
    "the sign of zero": lambda some: some[0]["part"].__setitem__(0, -0.0),
    "one nan for another": lambda some: some[0]["part"].__setitem__(0, math.nan),
    "bytes for a string": lambda some: some[3].update(name=b"name 3"),
    "the order of keys": lambda some: some[7].update(id=some[7].pop("id")),
    "a list for a tuple": lambda some: some[9]["part"].__setitem__(1, [9, None]),
    "one row less": lambda some: some.pop(),
    "rows in another order": lambda some: some.reverse(),
    "a string that is cut in two": lambda some: some.__setitem__(4, {**some[4], "name": "nam", "e 4": 1}),
    "a row that is held twice": lambda some: some.__setitem__(4, some[5]),
    "a part that is held twice": lambda some: some[4].update(part=some[5]["part"]),
    "a set": lambda some: some[4].update(part={1}),
    "a row that holds all": lambda some: some[4].update(part=some),
    "a subclass": lambda some: some.__setitem__(4, OrderedDict(some[4])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_large_tree_is_seen(change: Callable[[Rows], object]) -> None:
    value = rows()
    before = look(value, {})
    assert before.equals(look(rows(), {})) and trees.look(value) is not None
    change(value)
    after = look(value, {})
    assert after.is_comparable and not before.equals(after)


class Point:
    def __init__(self, x: object, y: object) -> None:
        self.x, self.y = x, y


class Other(Point):
    def norm(self) -> float:
        return abs(self.x)  # type: ignore[arg-type]


def points() -> list[Any]:
    return [Point(k, Other([k], {"of": (k,)})) for k in range(trees.LARGE)]


CHANGES_OF_POINTS: dict[str, Callable[[list[Any]], object]] = {
    "an attribute": lambda some: setattr(some[500], "x", 1),
    "an attribute more": lambda some: setattr(some[500], "z", 1),
    "an attribute less": lambda some: delattr(some[500], "x"),
    "the order of attributes": lambda some: some[7].__dict__.update(x=some[7].__dict__.pop("x")),
    "what an attribute holds": lambda some: some[500].y.x.append(1),
    "an instance of another class": lambda some: some.__setitem__(3, Other(3, some[3].y)),
    "another class": lambda some: setattr(some[3], "__class__", Other),
    "a dict in its place": lambda some: some.__setitem__(3, vars(some[3])),
    "a dict with its attributes": lambda some: some.__setitem__(3, {**vars(some[3])}),
    "an instance that is held twice": lambda some: some.__setitem__(4, some[5]),
    "attributes that are held twice": lambda some: setattr(some[4], "y", vars(some[5])),
    "attributes of two": lambda some: setattr(some[4], "__dict__", vars(some[5])),
    "attributes that hold themselves": lambda some: setattr(some[4], "y", vars(some[4])),
    "attributes in a dict of a subclass": lambda some: setattr(some[4], "__dict__", OrderedDict(vars(some[4]))),
    "two that change places": lambda some: some.__setitem__(slice(2), [some[1], some[0]]),
    "one less": lambda some: some.pop(),
    "the kind of a container": lambda some: some[4].y.__dict__.update(x=tuple(some[4].y.x)),
}


@pytest.mark.parametrize("change", CHANGES_OF_POINTS.values(), ids=CHANGES_OF_POINTS)
def test_a_change_of_a_large_tree_of_instances_is_seen(change: Callable[[list[Any]], object]) -> None:
    value = points()
    before = look(value, {})
    assert before.equals(look(points(), {})) and trees.look(value, has_attributes_alone) is not None
    change(value)
    after = look(value, {})
    assert after.is_comparable and not before.equals(after)


def test_the_kind_of_the_value_itself_is_seen() -> None:
    value = points()
    assert not look(value, {}).equals(look(tuple(value), {}))


def test_a_look_meets_instances_their_attributes_and_their_classes() -> None:
    value = points()
    seen = look(value, {})
    assert next(iter(seen.met.values())) is value and {Point, Other} <= {*map(type, seen.met.values()), Point}
    assert all(identity(part) in seen.met for one in value for part in (one, vars(one), one.y, vars(one.y), one.y.x))
    assert identity(Point) in seen.met and identity(Other) in seen.met
    assert links(look_at_all({"value": value, "held": vars(value[3].y)}, {}), {}).objects
    assert not links(look_at_all({"value": value, "other": points()}, {}), {}).objects


DEFINED = """
class {name}({base}):
    {body}
    def __init__(self, x):
        self.x = x
value = [{name}(k) for k in range({size})]
"""


def defined(body: str = "pass", name: str = "C", base: str = "") -> tuple[Any, dict[str, Any]]:
    space: dict[str, Any] = {"__name__": "__main__", "abc": abc}
    exec(DEFINED.format(body=body, name=name, base=base, size=trees.LARGE), space)
    return space["value"], space


def test_what_a_class_is_counts_as_content_of_its_instances() -> None:
    looks = [look(*defined(body)) for body in ("pass", "pass", "y = 1", "y = []", "def f(self): return self.x")]
    assert looks[0].digest == looks[1].digest
    assert len({one.digest for one in looks}) == 4
    assert all([one.__name__ for one in seen.functions] == ["C"] for seen in looks[:3])
    assert look(*defined(name="D")).digest != looks[0].digest


@pytest.mark.parametrize(
    ("body", "base"),
    [
        ("def __reduce__(self): return int, ()", ""),
        ("def __getstate__(self): return {'x': 1}", ""),
        ("def __setstate__(self, state): pass", ""),
        ("def __getnewargs__(self): return ()", ""),
        ("def __new__(cls, *args): return object.__new__(cls)", ""),
        ("def __getattr__(self, name): raise AttributeError(name)", ""),
        ("def __getattribute__(self, name): return object.__getattribute__(self, name)", ""),
        ("__slots__ = ('y', '__dict__')", ""),
        ("__slots__ = ('x',)", ""),
        ("__dict__ = property(lambda self: {})", ""),
        ("pass", "dict"),
        ("pass", "list"),
        ("pass", "ValueError"),
        ("pass", "abc.ABC"),
        ("shared = []", ""),
    ],
)
def test_instances_that_may_be_more_than_their_attributes_are_left_to_the_pickler(
    monkeypatch: pytest.MonkeyPatch, body: str, base: str
) -> None:
    value, space = defined(body, base=base)
    found: list[object] = []
    asked = trees.look

    def noted(*args: Any) -> Any:
        found.append(asked(*args))
        return found[-1]

    monkeypatch.setattr(trees, "look", noted)
    assert look(value, space).is_comparable
    assert found[0] is None


def test_nans_are_told_apart() -> None:
    some, others = ([nan(bits)] * trees.LARGE for bits in (1, 2))
    assert look(some, {}).equals(look([nan(1)] * trees.LARGE, {})) and not look(some, {}).equals(look(others, {}))


def test_a_look_meets_the_containers_of_a_tree_and_each_once() -> None:
    value = rows()
    met = look({"rows": value}, {}).met
    assert len(met) == 2 + 3 * len(value) and next(iter(met.values())) == {"rows": value}
    assert all(identity(part) in met for row in value for part in (row, row["part"], row["part"][1]))


@pytest.mark.parametrize("held", [lambda value: value[-1], lambda value: value[3]["part"]], ids=["row", "part"])
def test_who_else_holds_a_part_of_a_tree_changes_nothing_of_its_digest_and_ties(held: Callable[[Rows], Any]) -> None:
    value = rows()
    alone = look(value, {})
    part = held(value)
    looks = look_at_all({"value": value, "part": part}, {})
    assert looks["value"].equals(alone)
    assert links(looks, {}).objects and not links({"value": looks["value"]}, {}).objects


def test_what_holds_itself_or_goes_deep_is_no_tree() -> None:
    deep: list[Any] = [0] * trees.LARGE
    for _ in range(60):
        deep = [deep, [0] * trees.LARGE]
    cycle: list[Any] = [0] * trees.LARGE
    cycle.append(cycle)
    assert trees.look(deep) is None and trees.look(cycle) is None
    assert look(deep, {}).is_comparable and look(cycle, {}).is_comparable


def test_a_long_text_that_comes_again_and_again_is_written_once() -> None:
    text = "x" * (1 << 20)
    value = [text] * trees.LARGE
    assert trees.look(value) is None
    before = look(value, {})
    value[-1] = "y" * (1 << 20)
    assert not before.equals(look(value, {}))


def test_a_value_that_holds_the_whole_namespace_is_refused() -> None:
    namespace: dict[str, Any] = {f"name_{k}": k for k in range(trees.LARGE)}
    assert not look([namespace], namespace).is_comparable
    assert look([dict(namespace)], namespace).is_comparable


EMPTY: list[Any] = []


def test_a_small_tree_is_told_by_its_content_alone() -> None:
    value: list[Any] = [1, "a", {"b": (2.5, [])}]
    assert look(value, {}).digest == look([1, "".join(["a"]), {"b": (2.5, [])}], {}).digest
    assert look(value, {}).digest != look([1, "a", {"b": (2.5, {})}], {}).digest
    assert {identity(value[2]), identity(value[2]["b"]), identity(value[2]["b"][1])} <= look(value, {}).met.keys()


@pytest.mark.parametrize("value", [[EMPTY, EMPTY], [EMPTY, {"a": (EMPTY,)}], [object], [{1}], [["x" * (1 << 20)] * 40]])
def test_what_is_no_small_tree_is_remembered_as_it_is_looked_at(value: Any) -> None:
    assert trees.small(value) is None
    assert look(value, {}).is_comparable


def test_a_small_tree_that_a_thread_changes_meanwhile_is_left_to_the_pickler(monkeypatch: pytest.MonkeyPatch) -> None:
    value: list[Any] = [0]
    small = trees.small

    def asked(value: Any) -> Any:
        found = small(value)
        value.append(lambda: None)
        return found

    monkeypatch.setattr(trees, "small", asked)
    assert look(value, {}).is_comparable


def test_a_small_value_that_holds_itself_is_no_tree() -> None:
    value: list[Any] = [1]
    value.append(value)
    assert trees.small(value) is None and look(value, {}).is_comparable


def test_small_values_are_not_asked() -> None:
    assert (
        trees.look([[k] for k in range(trees.LARGE - 1)]) is None and trees.look({"a": [0] * (trees.LARGE - 1)}) is None
    )
    assert trees.look({"a": [0] * trees.LARGE}) is not None


@pytest.mark.parametrize("item", [0, Point(1, 2)], ids=["numbers", "instances"])
def test_a_tree_that_a_thread_changes_meanwhile_is_left_to_the_pickler(
    monkeypatch: pytest.MonkeyPatch, item: object
) -> None:
    value: list[Any] = [0] * trees.LARGE
    value.append(item)
    walk = trees.Tree._walk

    def walked(tree: trees.Tree, has_attributes_alone: Callable[[type], bool]) -> None:
        walk(tree, has_attributes_alone)
        value.append(lambda: None)

    monkeypatch.setattr(trees.Tree, "_walk", walked)
    assert trees.look(value, has_attributes_alone) is None


@pytest.mark.parametrize("asked", [1, 500])
def test_what_a_tree_consists_of_is_found_with_a_dict_and_without(asked: int) -> None:
    parts: list[list[int]] = [[k] for k in range(1_000)]
    objects = Objects(parts, sorted(map(identity, parts)))
    other: list[int] = []
    some = set(map(identity, parts[:asked]))
    assert list(objects) == list(map(identity, parts)) and len(objects) == 1_000
    assert identity(parts[7]) in objects and identity(other) not in objects
    assert objects.among(some | {identity(other)}) == some
    assert sorted(objects.some(some)) == parts[:asked]
    assert objects[identity(parts[7])] is parts[7] and list(objects.values()) == parts
    assert identity(parts[7]) in objects and identity(other) not in objects.keys()


# --- what is remembered when one is written ---


def again(value: Any) -> Any:
    return repeated(look(value, {}))


def remembered(data: bytes) -> int:
    return [code.name for code, *_ in pickletools.genops(data)].count("MEMOIZE")


@pytest.mark.parametrize("make", [rows, points, lambda: dict(enumerate(rows())), lambda: {"rows": rows()}])
def test_of_a_tree_only_what_comes_again_is_remembered(make: Callable[[], Any]) -> None:
    value = make()
    files = io.BytesIO(), io.BytesIO()
    for file, some in zip(files, ([(value, again(value))], []), strict=True):
        write(Contents("cell", {"value": value, "same": value}), file, namespace={}, trees=some)
    of_tree, usual = (file.getvalue() for file in files)
    loaded = pickle.loads(of_tree)
    assert loaded["value"] is loaded["same"] and look(loaded["value"], {}).equals(look(value, {}))
    assert remembered(of_tree) < 100 and remembered(usual) > trees.LARGE and len(of_tree) < len(usual)


@pytest.mark.parametrize(
    ("beside", "remembers"),
    [
        ("", False),
        ("names = [row['name'] for row in rows[:5]]", False),
        ("first = rows[0]", True),
        ("b = [rows]", True),
    ],
)
def test_a_step_remembers_the_parts_of_a_tree_that_others_hold(tmp_path: Path, beside: str, remembers: bool) -> None:
    kernel = Kernel(tmp_path)
    kernel.step(1, f"rows = [{{'name': f'name {{k}}', 'k': [k]}} for k in range({2 * trees.LARGE})]\n{beside}")
    kernel.session.wait()
    (path,) = tmp_path.rglob("*.pkl")
    with path.open("rb") as file:
        assert (remembered(file.read()) > trees.LARGE) == remembers


def test_texts_that_come_again_are_told_exactly_or_by_a_sample() -> None:
    words = [f"word {k}" for k in range(50)]
    few = [{"k": f"k {k}", "word": words[k % 50]} for k in range(trees.LARGE)]
    assert {*again(few)} == {"k", "word", *words}
    many = [{"k": f"k {k}", "word": words[k % 50]} for k in range(1 << 16)]
    assert {*again(many)} == {"k", "word", *words}
    names = [f"name {k}" for k in range(1 << 16)]
    assert again([{"name": name, "k": k} for k, name in enumerate(names)]) is None  # each may come again, elsewhere


def test_atoms_that_take_a_call_are_remembered() -> None:
    assert again([[1j] for _ in range(trees.LARGE)]) is None
