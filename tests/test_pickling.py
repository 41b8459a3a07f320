"""The top form, what plain pickle cannot write, and placeholders."""

from __future__ import annotations

import asyncio
import collections
import colorsys
import copy
import functools
import gc
import importlib
import io
import itertools
import mmap
import operator
import os
import pickle
import pickletools
import random
import sys
import threading
import traceback
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import CheckpointUnreadableError, DamagedError, LostValueError, NotPicklableError
from ckpt_magic.values.pickles import reducers, unpickling
from ckpt_magic.values.pickles.arrays import View
from ckpt_magic.values.pickles.pickler import ValuePickler
from ckpt_magic.values.pickles.pickling import Contents, write
from ckpt_magic.values.pickles.placeholder import Placeholder, make_placeholder
from ckpt_magic.values.pickles.unpickling import read
from tests.kernels import Kernel

np = pytest.importorskip("numpy")

SPACE: dict[str, Any] = {"__name__": "__main__"}


def written(value: Any, *, kind: Any = "method", **options: Any) -> bytes:
    file = io.BytesIO()
    write(Contents(kind, value), file, namespace=SPACE, **options)
    return file.getvalue()


def again(value: Any, **options: Any) -> Any:
    """The value after a round trip; the same for a plain reader."""
    data = written(value, **options)
    pickle.loads(data)
    return read(data, (), kind="method", globals=SPACE).value


def refusal(value: Any) -> str:
    with pytest.raises(NotPicklableError) as caught:
        written(value)
    return str(caught.value)


# --- the top form ---


def test_names_are_in_order_where_definitions_come_first() -> None:
    """What the code of a class looks up is written ahead of the rest; `self` is a name as any other."""
    kernel = types.ModuleType("__main__")
    space = vars(kernel)
    exec("first = 1\nclass C: pass\nself = C()\ndef f(): pass\nlast = f", space)
    names = {name: space[name] for name in ("first", "C", "self", "f", "last")}
    file = io.BytesIO()
    write(Contents("cell", names), file, namespace=space)
    assert list(pickle.loads(file.getvalue())) == list(names)
    fresh: dict[str, Any] = {"C": 1}
    assert list(read(file.getvalue(), (), kind="cell", globals=fresh).value) == list(names)
    assert fresh == {"C": 1}, "they were lent"


def test_a_plain_reader_gets_the_dict_and_our_loader_all_parts() -> None:
    shared = [1, 2]
    contents = Contents("cell", {"b": shared, "a": 1}, ambient={"cwd": "/", "s": shared}, extras={"result": shared})
    file = io.BytesIO()
    write(contents, file, namespace=SPACE)
    plain = pickle.loads(file.getvalue())
    assert type(plain) is dict and list(plain.items()) == [("b", [1, 2]), ("a", 1)]
    back = read(file.getvalue(), (), kind="cell", globals={})
    assert back == contents
    assert back.value["b"] is back.ambient["s"] is back.extras["result"]


def test_nothing_is_merged_into_the_live_globals() -> None:
    live = {"x": 1}
    read(written({"x": 2, "y": 3}, kind="cell"), (), kind="cell", globals=live)
    read(written([1]), (), kind="method", globals=live)
    assert live == {"x": 1}


def test_the_same_value_gives_the_same_bytes() -> None:
    def make() -> Callable[[int], int]:
        return lambda x: x + 1

    function = make()
    first = written(function)
    function(1)
    assert written(function) == first


@pytest.mark.parametrize("kind", ["cell", "method"])
def test_a_frame_may_begin_anywhere_in_the_tail(kind: str) -> None:
    """The pickler starts a new frame before an object when it has 64 KiB, so also before our last one."""
    tails = set()
    for size in range((1 << 16) - 300, (1 << 16) + 40):
        value = {"v": ["x" * (size // 2), "y" * (size - size // 2)]}
        data = written(value, kind=kind)
        found = [tail for tail in unpickling._TAILS if data.endswith(tail)]
        assert len(found) == 1
        tails.add(found[0])
        assert read(data, (), kind=kind, globals={}).value == value == pickle.loads(data)
    assert tails == set(unpickling._TAILS)


def test_another_ending_is_damage() -> None:
    with pytest.raises(DamagedError):
        read(pickle.dumps([1], 5), (), kind="cell", globals={})


def test_buffers_stay_out_of_the_skeleton() -> None:
    array = np.arange(100_000.0)
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    pickler = ValuePickler(file, namespace=SPACE, buffer_callback=buffers.append)
    pickler.dump(array)
    assert len(file.getvalue()) < 1000 and len(buffers) == 1


def test_the_collector_rests_while_reading_and_only_if_it_ran() -> None:
    seen = []

    class Watch:
        def __setstate__(self, state: object) -> None:
            seen.append(gc.isenabled())

    watch = Watch()
    watch.x = 1  # type: ignore[attr-defined]
    data = written([watch])
    # methods first: the instance of a local class has its __setstate__ when it is read
    function = read(data, (), kind="method", globals={"seen": seen}).value
    assert function and gc.isenabled()
    gc.disable()
    try:
        read(data, (), kind="method", globals={"seen": seen})
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_does_not_go_through_all_that_was_read_at_its_next_turn() -> None:
    data = written([[k] for k in range(50_000)])
    value = read(data, (), kind="method", globals=SPACE).value
    young = {id(one) for generation in (0, 1) for one in gc.get_objects(generation)}
    assert gc.get_freeze_count() == 0 and not any(id(one) in young for one in value)
    assert sum(map(gc.is_tracked, value)) == len(value)


def test_what_the_user_froze_stays_frozen() -> None:
    kept = [[k] for k in range(100)]
    gc.collect()
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        again([[k] for k in range(50_000)])
        assert gc.get_freeze_count() == frozen and kept
    finally:
        gc.unfreeze()


def test_the_collector_is_on_again_after_a_pickle_that_cannot_be_read_or_written() -> None:
    data = written([[1]])
    for broken in (data[:-30] + data[-20:], data[:-1]):
        with pytest.raises((CheckpointUnreadableError, DamagedError)):
            read(broken, (), kind="method", globals=SPACE)
        assert gc.isenabled()
    refusal([threading.current_thread()])
    assert gc.isenabled()


def test_a_users_operator_call_is_not_taken_for_ours() -> None:
    value = {"call": operator.call, "again": [operator.call], "partial": functools.partial(operator.call, len, "abc")}
    for kind in ("cell", "method"):
        back = read(written(value, kind=kind), (), kind=kind, globals={}).value
        assert back["call"] is operator.call is back["again"][0] and back["partial"]() == 3


def test_the_namespace_itself_is_not_written() -> None:
    space: dict[str, Any] = {"secret": "0123456789abcdef"}
    space["g"] = space
    file = io.BytesIO()
    write(Contents("cell", {"g": space, "x": 1}), file, namespace=space)
    assert b"0123456789abcdef" not in file.getvalue()
    assert read(file.getvalue(), (), kind="cell", globals=space).value["g"] is space
    plain = pickle.loads(file.getvalue())
    assert plain["g"] is plain


def test_a_container_that_holds_the_namespace_is_refused() -> None:
    import builtins

    space: dict[str, Any] = {"__builtins__": builtins}
    with pytest.raises(NotPicklableError, match="globals"):
        write(Contents("cell", {"x": [space]}), io.BytesIO(), namespace=space)
    write(Contents("cell", {"x": builtins}), io.BytesIO(), namespace=space)


def test_the_packages_that_a_reader_needs_are_named() -> None:
    file = io.BytesIO()
    done = write(Contents("cell", {"a": np.arange(3), "m": os.path, "f": np.linalg.norm}), file, namespace=SPACE)
    assert done.modules == frozenset({"numpy"}) and done.needs == () and done.tokens == {}


# --- what cannot be read says what is missing ---


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("vanished")
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    exec("class Thing: pass", vars(module))
    monkeypatch.setitem(sys.modules, "vanished", module)
    data, other = written([module.Thing()]), written(module)
    del module.Thing
    with pytest.raises(CheckpointUnreadableError, match=r"vanished\.Thing"):
        read(data, (), kind="method", globals={})
    monkeypatch.delitem(sys.modules, "vanished")
    for one in (data, other):
        with pytest.raises(CheckpointUnreadableError, match="module vanished is missing"):
            read(one, (), kind="method", globals={})


class Stubborn:
    def __setstate__(self, state: object) -> None:
        raise LookupError("not today")


class Greedy:
    def __setstate__(self, state: object) -> None:
        raise MemoryError


def test_errors_of_user_code_are_told_and_memory_errors_pass() -> None:
    for kind, error, text in (
        (Stubborn, CheckpointUnreadableError, "LookupError: not today"),
        (Greedy, MemoryError, ""),
    ):
        thing: Any = kind()
        thing.x = 1
        with pytest.raises(error) as caught:
            read(written(thing), (), kind="method", globals={})
        assert text in str(caught.value)


# --- what plain pickle refuses ---


def test_views_and_proxies_stay_views() -> None:
    owner = {"a": 1}
    whole = [owner, owner.keys(), owner.values(), owner.items(), types.MappingProxyType(owner)]
    back = again(whole)
    back[0]["b"] = 2
    assert [len(view) for view in back] == [2] * 5
    data = bytearray(b"abc")
    kept, view, fixed = again([data, memoryview(data), memoryview(data).toreadonly()])
    view[0] = 0
    assert kept[0] == 0 and fixed.readonly and fixed[0] == 0 and fixed.obj is kept
    assert bytes(again(memoryview(b"abc")[1:])) == b"bc"
    assert "neither bytes" in refusal(memoryview(mmap.mmap(-1, 8)))
    assert "part of an object" in refusal(memoryview(np.zeros((3, 2))[:, 0])[1:])
    assert "part of an object" in refusal(memoryview(np.zeros((3, 2), "f2"))[1:])
    assert again(vars(Stubborn))["__setstate__"] is Stubborn.__setstate__


def test_parts_of_a_memory_come_back_where_nobody_has_imported_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    memory = memoryview(bytearray(range(24)))
    table, backwards = again([memory.cast("B", (4, 6)), memory[20:2:-3]])
    assert table.shape == (4, 6)
    assert table[2, 1] == 13
    assert backwards.tolist() == [20, 17, 14, 11, 8, 5]
    assert backwards.obj is table.obj


@pytest.mark.parametrize("kind", [">i4", "f2", "c16", [("a", "i4"), ("b", "f8")]])
@pytest.mark.parametrize("part", [slice(1, None), slice(None, -1), slice(None, None, -2), slice(3, 1, -1), slice(1, 2)])
def test_parts_of_memory_whose_items_are_not_made_of_bytes_come_back(kind: Any, part: slice) -> None:
    memory = np.arange(6).astype(kind)
    before = memoryview(memory)[part]
    kept, view, fixed = again([memory, before, before.toreadonly()])
    assert view.tobytes() == fixed.tobytes() == before.tobytes()
    assert (view.format, view.strides, view.shape) == (before.format, before.strides, before.shape)
    assert fixed.readonly and not view.readonly
    kept[:] = kept[1]
    assert view.tobytes() == kept[part].tobytes()


@pytest.mark.parametrize("kind", [io.StringIO, io.BytesIO])
def test_a_closed_buffer_keeps_its_attributes(kind: Any) -> None:
    buffer = kind()
    buffer.name, buffer.own = "report.csv", buffer
    buffer.close()
    back = again(buffer)
    assert back.closed and back.name == "report.csv" and back.own is back


def test_an_iterator_over_an_ordered_dict_is_told_by_what_it_gives() -> None:
    same, other = collections.OrderedDict(a="a", b="b"), collections.OrderedDict(a=1, b=2)
    values = iter(other.values())
    next(values)
    kept, back = again([other, values])
    kept["b"] = 5
    assert [*back] == [5]
    assert "keys are its values" in refusal(iter(same.values()))
    assert [*again(iter(collections.OrderedDict(a=1)))] == ["a"]


def test_free_locks_come_back_free_and_held_ones_are_refused() -> None:
    lock, rlock, event = again([threading.Lock(), threading.RLock(), threading.Event()])
    assert lock.acquire(blocking=False) and rlock.acquire(blocking=False) and not event.is_set()
    assert "held" in refusal(lock) and "held" in refusal(rlock)
    held = threading.RLock()
    other = threading.Thread(target=held.acquire)
    other.start()
    other.join()
    assert "held" in refusal(held)


def test_what_a_module_owns_is_met_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "0123456789abcdef")
    value = {"e": os.environ, "o": [sys.stderr], "p": sys.path, "m": {"deep": [sys.modules]}, "again": [sys.path]}
    data = written(value, kind="cell", owned=[("sys", "path"), ("sys", "modules")])
    assert b"0123456789abcdef" not in data and len(data) < 1000
    for back in (read(data, (), kind="cell", globals={}).value, pickle.loads(data)):
        assert back["e"] is os.environ and back["o"][0] is sys.stderr
        assert back["p"] is sys.path is back["again"][0] and back["m"]["deep"][0] is sys.modules


def test_modules_are_imported_and_made_up_ones_refused() -> None:
    assert again(os.path) is os.path
    assert "cannot be imported again" in refusal(types.ModuleType("made_up"))


def test_a_module_that_a_compiled_library_made_is_found_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `trainers` of tokenizers, which cannot be imported under its own name."""
    module = types.ModuleType("inner_t")
    monkeypatch.setattr(colorsys, "inner_t", module, raising=False)
    assert "cannot be imported again" in refusal(module), "nothing is in it"
    vars(module)["kind"] = dict
    assert again([module])[0] is module
    vars(module)["note"] = "by hand"
    assert "cannot be imported again" in refusal(module)


def test_files_and_generators_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file:
        assert "TextIOWrapper" in refusal(file)
    numbers = (x for x in [1])
    next(numbers)
    assert "generator" in refusal(numbers)


@pytest.mark.parametrize("args", [(), (3,), (-2, 5), (10**20, -1), (0.5,), (0.5, 0.25)])
def test_a_count_goes_on(args: tuple[Any, ...]) -> None:
    count = itertools.count(*args)
    next(count)
    other = again(count)
    assert repr(other) == repr(count) and next(other) == next(count)


class Numeral(Decimal):
    """Has the text of a plain number."""

    def __repr__(self) -> str:
        return str(self)


@pytest.mark.parametrize("args", [(Numeral(1),), (0, Numeral(2))])
def test_a_count_gives_numbers_of_the_same_kind(args: tuple[Any, ...]) -> None:
    count = itertools.count(*args)
    other = again(count)
    assert [type(next(other)) for _ in range(3)] == [type(next(count)) for _ in range(3)]


@pytest.mark.filterwarnings("ignore:Pickle, copy:DeprecationWarning")
@pytest.mark.parametrize("items", [[], [1, 2]])
@pytest.mark.parametrize(
    "way", [itertools.combinations, itertools.combinations_with_replacement, itertools.permutations]
)
def test_choices_of_none_are_one(way: Any, items: list[int]) -> None:
    before = way(items, 0)
    assert list(again(before)) == list(before) == [()]
    assert list(again(before)) == list(before) == []


@pytest.mark.filterwarnings("ignore:Pickle, copy:DeprecationWarning")  # of Python 3.12 and 3.13, which still tell
@pytest.mark.parametrize(
    "way",
    [
        *(itertools.accumulate, itertools.chain, itertools.cycle, enumerate, zip),
        *(lambda items, one=one: one(lambda item: item != 2, items) for one in (filter, map, itertools.takewhile)),
        *(lambda items, one=one: one(items, 2) for one in (itertools.combinations, itertools.permutations)),
        *(lambda items, one=one: one(items, items) for one in (itertools.compress, itertools.product)),
        *(lambda items, one=one: one(items, items) for one in (itertools.zip_longest, itertools.chain)),
        *(lambda items: itertools.islice(items, 4), lambda items: itertools.repeat(items, 3)),
    ],
)
def test_an_iterator_over_items_is_at_its_place_or_refused_from_python_3_14_on(way: Callable[[Any], Any]) -> None:
    iterator = way([1, 2, 3, 4, 5])
    next(iterator)
    if sys.version_info >= (3, 14) and type(iterator).__module__ == "itertools":
        assert f"{type(iterator).__name__}' object" in refusal(iterator)
    else:
        assert list(itertools.islice(again(iterator), 9)) == list(itertools.islice(iterator, 9))


@pytest.mark.parametrize("over", [enumerate, zip, functools.partial(filter, None), functools.partial(map, str)])
def test_iterators_over_a_closed_file_are_refused(tmp_path: Path, over: Callable[[Any], Any]) -> None:
    """It would be asked for its lines when the iterator is made again."""
    (tmp_path / "f").write_text("a\nb\n")
    with (tmp_path / "f").open() as file:
        lines = over(file)
        next(lines)
    assert "closed file" in refusal(lines)


def test_what_an_lru_cache_holds_comes_back() -> None:
    asked = []

    @functools.lru_cache(maxsize=3)
    def cached(x: int) -> list[int]:
        asked.append(x)
        return [x]

    assert again(cached).cache_info() == (0, 0, 3, 0)
    for x in (1, 2, 1, 3, 4):  # 2 is gone
        cached(x)
    back = again(cached)
    assert back.cache_info() == cached.cache_info() == (1, 4, 3, 3)
    assert back.__wrapped__.__code__.co_code == cached.__wrapped__.__code__.co_code
    assert back(1) == [1] and back.cache_info().hits == 2
    assert back(5) == [5] and back(1) == [1] and back.cache_info() == (3, 5, 3, 3)  # 3 was the oldest


def test_an_lru_cache_that_no_call_can_fill_is_refused() -> None:
    compiled = functools.lru_cache(abs)
    compiled(-1)
    assert "lru_cache" in refusal(compiled)
    often = functools.lru_cache(lambda: 1)
    for _ in range(1_000_001):
        often()
    assert "lru_cache" in refusal(often)


class Named:
    def __reduce__(self) -> str:
        return "NAMED"


def test_a_reduction_to_a_name_of_this_kernel_is_refused() -> None:
    class Local:
        def __reduce__(self) -> str:
            return "LOCAL"

    assert "LOCAL" in refusal(Local())


def test_bound_methods_whose_name_means_something_else() -> None:
    class Thing:
        def get(self) -> int:
            return 1

    thing = Thing()
    bound = types.MethodType(lambda self: 5, thing)
    back = again([thing, bound, thing.get])
    assert back[1]() == 5 and back[1].__self__ is back[0] and back[2]() == 1


def test_a_bound_method_that_a_library_keeps_is_that_one() -> None:
    assert again([random.randint])[0] is random.randint
    assert again([random.Random(3).randint])[0] is not random.randint


def test_containers_of_the_library_with_functions_inside() -> None:
    assert again([..., NotImplemented, None, type(...), type(None), types.CellType, types.FunctionType]) == [
        ..., NotImplemented, None, type(...), type(None), types.CellType, types.FunctionType
    ]  # fmt: skip
    assert again(type(iter([]))) is type(iter([]))
    assert "odict_iterator" in refusal(type(iter(OrderedDict())))
    back = again([defaultdict(lambda: 3), OrderedDict(a=1), functools.partial(lambda x: x + 1, 2)])
    assert back[0][1] == 3 and back[1] == {"a": 1} and back[2]() == 3


class Failure(ValueError):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def test_an_error_of_the_notebook_comes_back_whatever_its_init_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failure, "__module__", "__main__")
    back = again([Failure(3, "no")])[0]
    assert (back.args, back.code, type(back).__name__) == (("no",), 3, "Failure")


def test_an_instance_is_made_without_the_notebooks_new() -> None:
    class Single:
        one: Any = None

        def __new__(cls) -> Any:
            if cls.one is None:
                cls.one = super().__new__(cls)
            return cls.one

    class Several(tuple[Any, ...]):
        def __new__(cls, *items: Any) -> Any:
            return super().__new__(cls, items)

    single, kind, several = again([Single(), Single, Several(1, 2)])
    assert kind.one is single is kind() and type(single) is kind
    assert several == (1, 2)


def test_running_threads_are_refused() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert "a running thread" in refusal([thread])
    finally:
        end.set()
        thread.join()
    assert not again(thread).is_alive()


# --- numpy ---


def bounds(array: Any) -> tuple[int, int]:
    return getattr(np.lib, "array_utils", np).byte_bounds(array)  # type: ignore[no-any-return]


def plan(owner: Any) -> list[View]:
    return [View(*bounds(owner), owner)]


@pytest.mark.parametrize("size", [100, 100_000])
def test_arrays_over_one_buffer_share_it_again(size: int) -> None:
    base = np.arange(float(size))
    parts = [base, base[::2], base[::-1], base.reshape(2, -1).T, base[3:], base.view("i8"), base[5:5]]
    data = written(parts, views=plan(base))
    for back in (pickle.loads(data), read(data, (), kind="method", globals={}).value):
        for old, new in zip(parts, back, strict=True):
            assert np.array_equal(old, new) and old.strides == new.strides and old.dtype == new.dtype
        back[0][4] = -7
        assert back[1][2] == back[2][-5] == back[4][1] == -7 == back[3].T.reshape(-1)[4]


def test_a_read_only_view_of_a_writable_array() -> None:
    base = np.arange(10)
    fixed = base[2:]
    fixed.flags.writeable = False
    back = again([fixed, base], views=plan(base))
    assert not back[0].flags.writeable and back[1].flags.writeable
    back[1][2] = 9
    assert back[0][0] == 9


def test_the_owner_of_a_buffer_need_not_have_a_name() -> None:
    base = np.arange(10)
    flat = base.view("u1")
    back = again([base[:6], base[4:]], views=plan(flat))
    back[0][5] = 77
    assert back[1][1] == 77


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5),
        np.array(3.5),
        np.empty((0, 4)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
        np.arange(10)[::3],
        np.array([1, "a", None], dtype=object),
        np.array([("x", 1)], dtype=[("a", "U3"), ("b", "i4")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.broadcast_to(np.arange(3), (2, 3)),
    ],
    ids=str,
)
def test_arrays_come_back_as_they_were(array: Any) -> None:
    back = again(array)
    assert np.array_equal(back, array) and back.dtype == array.dtype and back.shape == array.shape
    if array.size > 1 and array.flags.f_contiguous:
        assert back.flags.f_contiguous


@pytest.mark.parametrize("kind", ["i4", ">i4", ">U2", "M8[s]", ">M8[s]", [("a", ">i4")]], ids=str)
@pytest.mark.parametrize("size", [20, 40_000])
def test_arrays_come_back_in_their_order_of_bytes_and_read_only(kind: Any, size: int) -> None:
    whole = np.arange(size).astype(">i4").view(kind) if type(kind) is list else np.arange(size).astype(kind)
    cube = whole.reshape(2, -1, 5)
    fixed = np.frombuffer(whole.tobytes(), whole.dtype)
    made = cube.transpose(1, 0, 2).copy("K")
    locked = made.copy("K")
    locked.flags.writeable = False
    for array in (whole, whole[::2], cube[:, 1:], cube[:, :0], cube.T, made, locked, fixed, fixed[::2], fixed[:0]):
        back = again(array)
        assert back.dtype.str == array.dtype.str and back.shape == array.shape
        assert back.tobytes() == array.tobytes() and back.flags.writeable == array.flags.writeable


@pytest.mark.parametrize("char", "bhilqBHILQ")
def test_integers_of_the_same_size_stay_what_they_are(char: str) -> None:
    dtype, array, number = again([np.dtype(char), np.zeros(3, char), np.zeros((), char)[()]])
    assert dtype.char == array.dtype.char == number.dtype.char == char


@pytest.mark.parametrize("text", ["", "a", "a\0", "\0", "a\0b", b"", b"a", b"a\0", b"\0\0", b"a\0b"])
def test_texts_of_numpy_may_end_with_zeros(text: Any) -> None:
    before = (np.str_ if type(text) is str else np.bytes_)(text)
    back = again(before)
    assert type(back) is type(before) and back == before and len(back) == len(text)


def test_small_arrays_own_their_data_and_flags_are_kept() -> None:
    back = again(np.arange(4))
    assert back.flags.owndata and back.flags.writeable
    back.resize(8)
    fixed = np.arange(4)
    fixed.flags.writeable = False
    assert not again(fixed).flags.writeable
    large = np.arange(100_000)
    assert again(large).flags.writeable
    large.flags.writeable = False
    for array in (fixed, large, large[5:], fixed[::2]):
        back = again(array)
        assert not back.flags.writeable and not array.flags.writeable
        back.flags.writeable = True  # as the array itself can be
        back[0] = 3
    for one in (np.frombuffer(b"abc", "u1"), np.frombuffer(b"a" * 100_000, "u1")):
        assert not again(one).flags.writeable
    part = large[5:10]
    assert not part.flags.writeable
    back, some = again([large, part], views=plan(large.view("u1")))
    assert not back.flags.writeable and not some.flags.writeable
    back.flags.writeable = True
    back[6] = -1
    assert some[1] == -1


def test_large_arrays_own_their_memory_where_they_are_to_be_resized() -> None:
    fixed = np.frombuffer(b"a" * 100_000, "u1")
    large = [np.arange(100_000.0), np.asfortranarray(np.ones((300, 300))), fixed]
    data = written(large)
    back = read(data, (), kind="method", globals={}, resizable=lambda: True).value
    assert [one.flags.owndata for one in back] == [True, True, False] and back[1].flags.f_contiguous
    back[0].resize(5, refcheck=False)
    mapped = read(data, (), kind="method", globals={}).value
    with pytest.raises(ValueError, match="does not own its data"):
        mapped[0].resize(5, refcheck=False)


def test_a_memory_map_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    mapped = np.memmap(path, "f8", "w+", shape=(4,))
    mapped[:] = 1
    mapped.flush()
    data = written([mapped, mapped[1:], np.asarray(mapped)[::-1]])
    back, part, plain = read(data, (), kind="method", globals={}).value
    assert type(back) is type(part) is np.memmap and back.filename == path and type(plain) is np.ndarray
    assert back.mode == part.mode == "w+" and part.filename == path
    back[2] = 5
    back.flush()
    assert mapped[2] == part[1] == plain[1] == 5
    with pytest.raises(CheckpointUnreadableError, match="was changed"):
        read(data, (), kind="method", globals={})
    own = np.memmap(path, "f8", "c", shape=(4,))
    assert again(own).mode == "c"
    own[0] = 9
    assert "changes of its own" in refusal(own)


def test_frames_come_back_writable() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(100_000.0), "b": ["x"] * 100_000})
    data = written({"f": frame, "s": frame["a"]}, kind="cell")
    back = read(data, (), kind="cell", globals={}).value
    pd.testing.assert_frame_equal(back["f"], frame)
    back["f"].loc[0, "a"] = 7
    assert back["s"].iloc[0] == 0


# --- placeholders ---


USES: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda p: p.x,
    "assignment": lambda p: setattr(p, "x", 1),
    "deletion": lambda p: delattr(p, "x"),
    "call": lambda p: p(),
    "item": lambda p: p[0],
    "len": len,
    "bool": bool,
    "repr": repr,
    "str": str,
    "format": lambda p: f"{p}",
    "iter": list,
    "in": lambda p: 1 in p,
    "add": lambda p: p + 1,
    "right add": lambda p: 1 + p,
    "in place": lambda p: operator.iadd(p, 1),  # type: ignore[no-untyped-call]
    "negative": operator.neg,
    "equal": lambda p: p == 1,
    "less": lambda p: p < 1,
    "hash": hash,
    "index": lambda p: [1][p],
    "float": float,
    "with": lambda p: p.__enter__(),
    "isinstance": lambda p: isinstance(p, dict),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "dir": dir,
    "path": os.fspath,
    "array": np.asarray,
    "base class": lambda p: type("X", (p,), {}),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_any_use_of_a_placeholder_raises_and_is_recorded(use: Callable[[Any], Any]) -> None:
    used: list[str] = []
    placeholder = make_placeholder("db", 3, "sqlite3.Connection", used.append)
    with pytest.raises(LostValueError) as caught:
        use(placeholder)
    assert str(caught.value) == (
        "step 3: `db` (sqlite3.Connection) was not saved; run the step again: `%%step 3 --force`, "
        "or `%ckpt_start 3` and all from there"
    )
    assert set(used) == {"db"}


def test_a_placeholder_tells_the_number_that_its_value_was_and_nothing_else() -> None:
    used: list[str] = []
    one: Any = make_placeholder("loss", 3, "torch.Tensor", used.append, number=0.1234)
    assert (one.item(), one.tolist(), float(one), bool(one), f"{one:.2f} {one}") == (
        0.1234,
        0.1234,
        0.1234,
        True,
        "0.12 0.1234",
    )
    assert one.detach().cpu().item() == one.data.item() == 0.1234
    assert used == []
    for use in (
        repr,
        int,
        lambda one: one + 1,
        lambda one: one.backward(),
        lambda one: one.shape,
        lambda one: f"{one!r}",
    ):
        with pytest.raises(LostValueError):
            use(one)
    assert set(used) == {"loss"}


def test_recognising_and_pickling_a_placeholder_is_no_use() -> None:
    from ckpt_magic.values.pickles.references import by_reference
    from ckpt_magic.values.pickles.tokens import is_plain_definition

    used: list[str] = []
    placeholder = make_placeholder("db", 3, "x", used.append)
    assert type(placeholder) is Placeholder and placeholder is not None
    assert "lost" in refusal(placeholder) and "lost" in refusal([{"a": placeholder}])
    assert not by_reference(placeholder) and not is_plain_definition(placeholder, SPACE)
    assert used == []


# --- cost and readability by others ---


def test_other_readers_read_the_pickle() -> None:
    data = written({"a": [1], "f": len}, kind="cell")
    assert pickle._loads(data) == {"a": [1], "f": len}  # type: ignore[attr-defined]
    assert [op.name for op, _, _ in pickletools.genops(data)][-1] == "STOP"


# --- exceptions ---


def test_a_traceback_reads_the_same_for_every_reader() -> None:
    def fail(items: list[int]) -> float:
        return sum(1 / item for item in items)

    try:
        try:
            fail([1, 0])
        except ZeroDivisionError as first:
            raise Failure(3, "no") from first
    except Failure as caught:
        caught.add_note("a note")
        error = caught
    text = traceback.format_exception(error)
    data = written([error])
    for back in (pickle.loads(data)[0], read(data, (), kind="method", globals={}).value[0]):
        assert traceback.format_exception(back) == text
        assert back.__cause__.__traceback__.tb_frame.f_globals is globals()
        assert back.__cause__.__traceback__.tb_frame.f_locals == {}  # a frame is no more than a place


def test_an_error_that_restores_itself_is_refused_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Exception):
        def __setstate__(self, state: object) -> None:
            raise AssertionError

    assert type(again([Odd(1)])[0]).__name__ == "Odd"
    with pytest.raises(Odd) as caught:
        raise Odd(1)
    assert "restores itself" in refusal(caught.value)


FORMULA = """
import sys
class Formula:
    def __init__(self, name): self.name = name
    def __setstate__(self, state):
        self.name = state["name"]
        for depth in (1, 2, 3, 4):
            self.value = sys._getframe(depth).f_globals[self.name]
"""  # as models of statsmodels do: it looks up a variable of the cell that reads it, and of what has called that


NAMED = """
import importlib
class curry:
    def __init__(self, func, *args): self.func, self.args = func, args; self.__name__ = func.__name__
    def __call__(self, *args):
        args = self.args + args
        return self.func(*args) if len(args) > 1 else curry(self.func, *args)
    def __get__(self, obj, cls): return self if obj is None else curry(self.func, obj)
    def __reduce__(self):
        module = importlib.import_module(self.func.__module__)
        if getattr(module, self.__name__, None) is self:
            return again, (f"{self.func.__module__}:{self.__name__}",)
        return curry, (self.func, *self.args)
def again(name):
    module, _, name = name.partition(":")
    return getattr(importlib.import_module(module), name)
"""  # as a function of toolz does that is put in the place of one of the notebook


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a text a module of a library."""
    monkeypatch.setenv("CKPT_KEY", "tests")
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def make(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)

    return make


def test_what_a_library_would_find_by_a_name_of_the_notebook_is_written_itself(
    tmp_path: Path, library: Callable[[str, str], None]
) -> None:
    library("curry_lib", NAMED)
    cells = [(1, "@curry\ndef add(x, y): return x + y"), (2, "inc = add(1); both = [add, inc]")]
    for start in (0, 3):
        kernel = Kernel(tmp_path / "ckpt", start)
        kernel.cell("from curry_lib import curry")
        facts = [kernel.step(*cell) for cell in cells]
    assert [one["action"] for one in facts] == ["restored", "restored"], [one["reason"] for one in facts]
    assert kernel.names["both"][0] is kernel.names["add"] and kernel.names["inc"](2) == 3


@pytest.mark.parametrize(
    ("reduced", "message"),
    [
        ("(Made, ('__main__:x',))", None),
        ("None", "__reduce__ must return a string or tuple"),
        ("(Made, None)", "must be a tuple"),
    ],
)
def test_what_is_made_with_arguments_is_written_as_its_class_says(
    library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, reduced: str, message: str | None
) -> None:
    methods = "def __new__(cls, a): return object.__new__(cls)\n  def __get__(self, obj, cls): return self"
    library("made_lib", f"class Made:\n  {methods}\n  def __reduce__(self): return {reduced}\n")
    monkeypatch.delitem(sys.modules, "made_lib", raising=False)
    made = importlib.import_module("made_lib").Made
    value = made(1)
    if message is None:
        assert type(again(value)) is made
    else:
        assert message in refusal(value)


def test_the_only_object_of_a_class_is_what_its_module_has_by_that_name(
    library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    library("only_lib", "@object.__new__\nclass ONLY:\n  def __reduce__(self): return 'ONLY'\n")
    monkeypatch.delitem(sys.modules, "only_lib", raising=False)
    module = importlib.import_module("only_lib")
    assert again([module.ONLY])[0] is module.ONLY
    assert "gives a name, 'ONLY', not a value" in refusal(type(module.ONLY)())  # another one, which has no name


REFUSING = """
import numpy
def no_pickling(*_): raise NotImplementedError
class Term:
    __slots__ = ("name",)
    def __init__(self, name): self.name = name
    def __eq__(self, other): return self.name == other.name
    def __hash__(self): return hash(self.name)
    __getstate__ = no_pickling
class Info:
    def __init__(self, *terms): self.terms = {term: [term] for term in terms}
    __getstate__ = no_pickling
class Matrix(numpy.ndarray):
    __reduce__ = no_pickling
"""  # as patsy's descriptions of a formula


def test_what_patsy_refuses_for_now_is_written_by_its_attributes(
    library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "patsy", raising=False)
    library("patsy", REFUSING)
    patsy = importlib.import_module("patsy")
    matrix = np.zeros((2, 2)).view(patsy.Matrix)
    matrix.info = info = patsy.Info(term := patsy.Term("x"))
    info.of = matrix
    back = again(matrix)
    sys.modules.pop("patsy")
    assert back.info.of is back
    assert back.tolist() == matrix.tolist()
    assert [[one] for one in back.info.terms] == [back.info.terms[term]] == [[term]]


MODEL = """
class ModelData:
    def __init__(self, terms): self.terms = terms
    def __getstate__(self):
        self.terms[0] = None
        return {"formula": "y ~ x"}
    def __setstate__(self, state): raise NameError("x")
"""  # as that of statsmodels


@pytest.mark.parametrize("name", ["statsmodels.base.data", "statsmodels.discrete.discrete_model"])
def test_a_formula_is_not_made_anew_out_of_the_variables_of_whoever_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    file = tmp_path.joinpath("site-packages", *name.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    for package in (file.parent, file.parents[1]):
        (package / "__init__.py").touch()
    file.write_text(MODEL)
    monkeypatch.syspath_prepend(file.parents[2])
    names = [name, name.rpartition(".")[0], "statsmodels"]
    for one in names:
        monkeypatch.delitem(sys.modules, one, raising=False)
    module = importlib.import_module(name)
    terms, back = again([made := module.ModelData([1]), made.terms])[1], again(made)
    for one in names:
        sys.modules.pop(one)
    assert terms == back.terms == made.terms == [1]
    assert vars(back) == {"terms": [1]}


REGISTRY = """
class Quantity:
    registry = None
    def __new__(cls, value):
        made = object.__new__(cls)
        made.value = value
        return made
    def __reduce__(self): return unpickled, (Quantity, self.value)
def unpickled(_, value): return Quantity(value)
class Registry:
    def __init__(self): self.Quantity = type("Quantity", (Quantity,), {"registry": self, "__module__": __name__})
"""  # as that of pint


def test_an_object_of_a_class_that_a_library_made_is_of_that_class_again(library: Callable[[str, str], None]) -> None:
    library("registry_lib", REGISTRY)
    registry = importlib.import_module("registry_lib").Registry()
    length = registry.Quantity([3])
    back, *lengths = again([registry, length, length])
    assert type(lengths[0]) is back.Quantity
    assert lengths[0].registry is back
    assert lengths[0] is lengths[1]
    assert lengths[0].value == [3]


FACTORY = """
import functools
class Mixin: pass
class Contour:
    def __init__(self): self.value, self.engine = [3], (one for one in ())
    def __getstate__(self): return {"value": self.value, "engine": None}
@functools.cache
def joined(base):
    class Joined(Mixin, base):
        __module__ = __name__
        def __reduce__(self): return unpickled, (Mixin, base), self.__getstate__()
    return Joined
def unpickled(_, base): return object.__new__(joined(base))
"""  # as that of matplotlib


def test_an_object_of_a_class_that_a_library_makes_of_others_is_written_its_way(
    library: Callable[[str, str], None],
) -> None:
    library("factory_lib", FACTORY)
    module = importlib.import_module("factory_lib")
    back = again(module.joined(module.Contour)())
    assert type(back) is module.joined(module.Contour)
    assert vars(back) == {"value": [3], "engine": None}


def test_what_a_library_looks_up_where_it_is_read_is_the_notebooks(
    tmp_path: Path, library: Callable[[str, str], None]
) -> None:
    library("looks_up_lib", FORMULA)
    cells = [(1, "factor = 3"), (2, "made = Formula('factor')")]
    for start in (0, 3):
        kernel = Kernel(tmp_path / "ckpt", start)
        kernel.cell("from looks_up_lib import Formula")
        facts = [kernel.step(*cell) for cell in cells]
    assert [one["action"] for one in facts] == ["restored", "restored"], [one["reason"] for one in facts]
    assert kernel.names["made"].value == 3


def test_what_a_library_looks_up_where_it_is_read_may_be_of_the_same_step(
    tmp_path: Path, library: Callable[[str, str], None]
) -> None:
    library("looks_up_lib", FORMULA)
    for start in (0, 2):
        kernel = Kernel(tmp_path / "ckpt", start)
        kernel.cell("from looks_up_lib import Formula")
        facts = kernel.step(1, "made = Formula('double')\ndef double(x): return 2 * x")
    assert facts["action"] == "restored", facts["reason"]
    assert kernel.names["made"].value is kernel.names["double"]


WATCHED = """
import traitlets
class Watched(traitlets.HasTraits):
    level, other = traitlets.Int(), traitlets.Int()
    @traitlets.observe('level')
    def _own(self, change): told.append(('own', change.new))
told, watched = [], Watched()
watched.observe(lambda change: told.append(('one', change.new)), 'level')
"""


def test_who_is_told_of_changes_by_an_object_of_traitlets_is_told_after_a_restore(tmp_path: Path) -> None:
    pytest.importorskip("cloudpickle")
    more = """
def keep(all_of_them): watched.observe(lambda change: all_of_them.append(change.name), traitlets.All, traitlets.All)
every = []; keep(every); link = traitlets.link((watched, 'level'), (watched, 'other'))
"""
    cells = [(1, WATCHED), (2, "watched.level = 1"), (3, more), (4, "watched.level = 2; link.unlink()")]
    ends = list[Any]()
    for start in (0, 2, 3, 4, 5):
        kernel = Kernel(tmp_path / "ckpt", start)
        facts = [kernel.step(*cell) for cell in cells]
        assert [one["action"] for one in facts].count("restored") == max(0, start - 1)
        kernel.cell("watched.level = 3")
        ends.append((kernel.names["told"], kernel.names["every"], kernel.names["watched"].other))
    assert ends[0][0] == [(who, level) for level in (1, 2, 3) for who in ("own", "one")]
    assert all(end == ends[0] for end in ends)


def test_the_loop_that_runs_is_the_one_that_runs_where_it_is_read() -> None:
    async def again_here(data: bytes | None = None) -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        data = data or written({"x": [loop, loop]})
        first, second = pickle.loads(data)["x"]
        return data, first is second is loop

    data, is_it = asyncio.run(again_here())
    assert is_it
    assert asyncio.run(again_here(data))[1]
    loop = pickle.loads(data)["x"][0]  # nothing runs here: a new one
    assert loop.run_until_complete(asyncio.sleep(0, "slept")) == "slept"
    loop.close()
    assert "event loop" in refusal(loop)


def bound_lock(then: Callable[[asyncio.Lock], Any]) -> Any:
    """What is made of a lock for which something has waited, while its loop runs."""
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            await asyncio.sleep(0.001)

    async def both() -> Any:
        await asyncio.gather(hold(), hold())
        return then(lock)

    return asyncio.run(both())


def test_a_lock_of_asyncio_is_bound_to_the_loop_that_runs_or_to_none() -> None:
    data = bound_lock(lambda lock: written({"x": lock}))
    assert bound_lock(lambda lock: vars(pickle.loads(data)["x"]) == vars(lock))
    assert pickle.loads(data)["x"]._loop is None


def test_a_lock_of_asyncio_that_is_bound_to_a_loop_that_is_closed_stays_so() -> None:
    assert "event loop" in refusal(bound_lock(lambda lock: lock))


def test_a_frame_is_written_without_the_list_that_all_frames_have_in_common() -> None:
    """Before 3.1, pandas gave each frame that was read a list of its own: objects that held such a frame and another
    one were not what they were, and steps that used them ran again in each kernel.
    """
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1]})
    assert "_metadata" not in reducers.frame(frame)[2]
    object.__setattr__(frame, "_metadata", ["title"])
    assert reducers.frame(frame)[2]["_metadata"] == ["title"]
