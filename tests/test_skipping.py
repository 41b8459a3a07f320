"""Large values that are not looked at again (rules 10 and 11 of `delta`): what is skipped, and what must not be.

Each case changes a large value in a step that does not name it. A laxer rule would leave the old value in place.
"""

from __future__ import annotations

import ctypes
import gc
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.files.store import Store
from ckpt_magic.values import canonical, delta, fingerprint, holders, looking, pages, trees
from tests.kernels import Kernel

pytestmark = pytest.mark.long  # as a whole: the last ones to begin are waited for

MADE = "big = [[i] for i in range(300)]"


@pytest.fixture(autouse=True)
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(fingerprint, "MANY", 100)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[types.ModuleType]:
    """A module that keeps what it is given."""
    made = types.ModuleType("a_library")
    made.folder = str(tmp_path)  # type: ignore[attr-defined]
    made.__spec__ = types.SimpleNamespace(name="a_library")  # type: ignore[assignment]
    exec(
        "kept = []\nhooks = []\n"
        "def fire(*args):\n    for hook in list(hooks): hook(*args)\n"
        "def change():\n    for one in kept: one.append('changed')\n"
        "def drop():\n    hooks.clear()\n"
        "def every(f, n):\n    return [f(i) for i in range(n)]\n",
        made.__dict__,
    )
    made.memset = ctypes.memset  # type: ignore[attr-defined]
    sys.modules["a_library"] = made
    yield made
    del sys.modules["a_library"]


@pytest.fixture
def kernel(tmp_path: Path, library: types.ModuleType) -> Kernel:
    made = Kernel(tmp_path)
    made.cell("import a_library")
    return made


def stored(kernel: Kernel, step: int) -> Any:
    assert kernel.plan is not None
    with Store(kernel.plan.key.folder).path("p", "1", step).open("rb") as file:
        return pickle.load(file)


def recorded(kernel: Kernel, step: int) -> list[str]:
    """The names that the checkpoint of a step has, saved or lost."""
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, step)
    assert meta is not None
    return [row["name"] for row in (*meta.meta["variables"], *meta.meta["lost"])]


def is_skipped(kernel: Kernel, name: str = "big") -> bool:
    """Whether the last step did not look at a name at all."""
    assert kernel.plan is not None
    assert kernel.plan.before is not None
    return kernel.plan.before.state.looks[name] is kernel.session.watch._last.looks[name]


# --- what is skipped ------------------------------------------------------------------------------------------------

ALONE = {
    "lists": MADE,
    "dicts": "big = [{'a': i, 'b': [i]} for i in range(300)]",
    "a dict": "big = {str(i): {i, (i, str(i))} for i in range(300)}",
    "texts": "big = [str(i) for i in range(300)]",
    "a frame of objects": "import pandas\nbig = pandas.DataFrame({'a': [f'x{i}' for i in range(300)]}, dtype=object)",
    "a series of lists": "import pandas\nbig = pandas.Series([[i] for i in range(300)])",
    "an array of objects": "import numpy\nbig = numpy.array([{i: [i]} for i in range(300)])",
    "objects of a library": "import fractions\nbig = [fractions.Fraction(i, 7) for i in range(300)]",
    "namespaces": "import types\nbig = [types.SimpleNamespace(a=i, b=[i]) for i in range(300)]",
}


@pytest.mark.parametrize("kind", ALONE)
def test_a_large_value_that_nobody_else_holds_is_looked_at_once(kernel: Kernel, kind: str) -> None:
    kernel.cell(ALONE[kind])
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    kernel.cell("y = x + 1")
    kernel.step(2, "x += y")
    assert is_skipped(kernel)
    assert "big" not in stored(kernel, 2)


@pytest.mark.parametrize("held", ["F() for i in range(300)", "made, *map(weakref.ref, [made] * 300)"])
def test_objects_of_a_class_that_has_no_module_are_looked_at(kernel: Kernel, held: str) -> None:
    kernel.cell(f"import weakref\nF = type('F', (), {{'__module__': None}}); made = F(); made.a = []; big = [{held}]")
    assert kernel.step(1, "x = 1")["action"] == "saved"
    kernel.cell("other = big[0]")
    assert kernel.step(2, "other.a = x")["action"] == "saved"


def test_a_large_text_is_not_hashed_again(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "MUCH", 100)
    size = canonical.SMALL
    kernel.cell(f"big = 'x' * {size}")
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    kernel.step(2, "big += 'y'")
    assert stored(kernel, 2) == {"big": "x" * size + "y"}


def test_what_a_step_made_is_skipped_by_the_next(kernel: Kernel) -> None:
    kernel.step(1, MADE)
    kernel.step(2, "x = 1")
    assert is_skipped(kernel)
    kernel.step(3, "big[0].append(2)")
    assert stored(kernel, 3)["big"][0] == [0, 2]
    kernel.step(4, "x = 2")
    assert is_skipped(kernel)


def test_names_keep_their_order_when_some_are_not_looked_at(kernel: Kernel) -> None:
    kernel.cell(f"a = [1]\n{MADE}\nz = [2]")
    kernel.step(1, "x = 1")
    assert list(kernel.session.watch._last.looks) == ["a_library", "a", "big", "z", "x"]


# --- what is not ----------------------------------------------------------------------------------------------------

# What comes before, in cells: `%%` unmarked, `%%step`; and the step that changes `big` without naming it.
HIDDEN: dict[str, tuple[list[str], str]] = {
    "a library holds it": (["a_library.kept.append(big)"], "a_library.change()"),
    "a library holds a part": (["a_library.kept.append(big[7])"], "a_library.change()"),
    "a library holds it before a step": (["#step a_library.kept.append(big[7])"], "a_library.change()"),
    "a callback names it": (
        ["def f():\n    big.append(1)\na_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a lambda names it": (["a_library.hooks.append(lambda: big.append(1))"], "a_library.fire()"),
    "a callback names it in a text": (
        ["def f():\n    import operator\n    operator.attrgetter('big')(__import__('__main__')).append(1)",
         "a_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a nested function": (
        ["def f():\n    def g():\n        big.append(1)\n    return g\na_library.hooks.append(f())\ndel f"],
        "a_library.fire()",
    ),
    "a closure holds it": (
        ["def make(v):\n    return lambda: v.append(1)\nf = make(big)\na_library.hooks.append(f)\ndel f, make"],
        "a_library.fire()",
    ),
    "a default argument": (["def f(v=big): v.append(1)\na_library.hooks.append(f)\ndel f"], "a_library.fire()"),
    "a partial": (
        ["import functools\na_library.hooks.append(functools.partial(list.append, big, 1))"],
        "a_library.fire()",
    ),
    "a bound method": (["add = big[3].append"], "add(1)"),
    "a bound method of a library": (["a_library.hooks.append(big.clear)"], "a_library.fire()"),
    "an object holds it": (["class Box: pass\nbox = Box()\nbox.inside = big"], "box.inside.append(1)"),
    "a method of another object": (
        ["class Box:\n    def add(self): big.append(1)\nbox = Box()"],
        "box.add()",
    ),
    "a property": (
        ["class Box:\n    @property\n    def size(self):\n        big.append(1)\n        return 1\nbox = Box()"],
        "n = box.size",
    ),
    "a missing attribute": (
        ["class Box:\n    def __getattr__(self, name):\n        big.append(1)\n        return 1\nbox = Box()"],
        "n = box.anything",
    ),
    "an operator": (
        ["class Box:\n    def __add__(self, other):\n        big.append(1)\n        return 1\nbox = Box()"],
        "n = box + 1",
    ),
    "an iterator": (["def walk():\n    while True:\n        yield big.append(1)\nit = walk()\ndel walk"], "next(it)"),
    "an iterator of a library": (
        ["def walk():\n    while True:\n        big.append(1)\n        yield 1\na_library.it = walk()\ndel walk"],
        "next(a_library.it)",
    ),
    "a comparison": (
        ["class Box:\n    def __init__(self, n): self.n = n\n    def __lt__(self, other):\n        big.append(1)\n"
         "        return self.n < other.n\nboxes = [Box(2), Box(1)]"],
        "boxes.sort()",
    ),
    "a key": (["def key(n):\n    big.append(1)\n    return n"], "n = sorted([2, 1], key=key)"),
    "a function that is applied": (
        ["import pandas\nframe = pandas.DataFrame({'a': [1]})\ndef f(row):\n    big.append(1)\n    return row"],
        "n = frame.apply(f, axis=1)",
    ),
    "a context": (
        ["class Box:\n    def __enter__(self): return 1\n    def __exit__(self, *error): big.append(1)\nbox = Box()"],
        "with box: pass",
    ),
    "a decorator": (["def deco(f):\n    big.append(1)\n    return f"], "@deco\ndef g(): pass"),
    "a finalizer": (["class Box:\n    def __del__(self): big.append(1)\nbox = Box()"], "del box"),
    "a finalizer of a library's object": (
        ["class Box:\n    def __del__(self): big.append(1)\na_library.hooks.append(Box())\ndel Box"],
        "a_library.drop()",
    ),
    "a weak reference's callback": (
        ["import weakref\nclass Box: pass\nbox = Box()\na_library.ref = weakref.ref(box, lambda _: big.append(1))"],
        "del box",
    ),
    "a weak reference": (
        ["import weakref as w\nbig[5] = {1}\na_library.ref = w.ref(big[5])\ndel w"],
        "a_library.ref().add(2)",
    ),
    "an alias": (["alias = big"], "alias.append(1)"),
    "an alias of a part": (["part = big[9]"], "part.append(1)"),
    "an alias in a tuple": (["pair = (1, big)"], "pair[1].append(1)"),
    "gc": ([], "import gc\nfor one in gc.get_objects():\n    if type(one) is list and len(one) == 300: one.append(1)"),
    "gc by another name": (
        ["from gc import get_objects as things"],
        "for one in things():\n    if type(one) is list and len(one) == 300: one.append(1)",
    ),
    "sys.modules": ([], "import sys\ngetattr(sys.modules['__ma' + 'in__'], 'b' + 'ig').append(1)"),
    "exec": ([], "exec('bi' + 'g.append(1)')"),
    "globals": ([], "globals()['bi' + 'g'].append(1)"),
    "a text that a library evaluates": ([], "a_library.names = vars\neval('big').append(1)"),
    "a frame": (["import inspect as look"], "look.currentframe().f_globals['b' + 'ig'].append(1)"),
    "an address": (
        ["import ctypes as c"],
        "import operator\n"
        "c.cast(c.py_object.__new__ and PLACE, c.py_object).value.append(1)",
    ),
    "a thread that goes on": (
        ["import threading, time\nstop = threading.Event()\n"
         "def work():\n    stop.wait(10)\n    big.append(1)\nthread = threading.Thread(target=work)\nthread.start()"],
        "stop.set()\nthread.join()",
    ),
    "a thread that holds it": (
        ["import threading\nstop = threading.Event()\n"
         "thread = threading.Thread(target=lambda v: (stop.wait(10), v.append(1)), args=(big,))\nthread.start()"],
        "stop.set()\nthread.join()",
    ),
    "a signal": (
        ["import signal\nold = signal.signal(signal.SIGUSR1, lambda *_: big.append(1))"],
        "import os\nos.kill(os.getpid(), signal.SIGUSR1)\nsignal.signal(signal.SIGUSR1, old)",
    ),
    "a class that counts": (
        ["class Seen:\n    every = big\nitem = Seen()"],
        "item.every.append(1)",
    ),
    "a callback that puts the name together": (
        ["def f():\n    name = 'bi'\n    globals()[name + 'g'].append(1)\na_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a callback that runs a text": (
        ["def f():\n    name = 'bi'\n    exec(name + 'g.append(1)')\na_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a callback that asks the collector": (
        ["def f():\n    import gc\n    for one in gc.get_objects():\n"
         "        if type(one) is list and len(one) == 300: one.append(1)\na_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a callback made by an older function": (
        ["def make(n):\n    def f():\n        big.append(n)\n    return f", "x = 1",
         "a_library.hooks.append(make(5))\ndel make"],
        "a_library.fire()",
    ),
    "memory that a library has, too": (
        ["import numpy\nwhole = numpy.arange(300.0)\na_library.kept.append(whole)\n"
         "big = [whole[i : i + 1] for i in range(300)]\ndel whole"],
        "a_library.kept[0][7] = 1000.0",
    ),
    "memory that a library has, too, of a part": (
        ["import numpy\nwhole = numpy.arange(300.0)\na_library.kept.append(whole)\nbig.append(whole[5:])\ndel whole"],
        "a_library.kept[0][7] = 1000.0",
    ),
    "memory of a row": (
        ["import numpy\nwhole = numpy.zeros(3, dtype='i4,i4')\na_library.kept.append(whole)\nbig.append(whole[1])\n"
         "del whole"],
        "a_library.kept[0][1] = (5, 5)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", HIDDEN)
def test_a_change_through_something_else_is_found(kernel: Kernel, way: str) -> None:
    before, step = HIDDEN[way]
    kernel.cell(MADE)
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    for number, cell in enumerate(before):
        if cell.startswith("#step "):
            kernel.step(10 + number, cell.removeprefix("#step "))
        else:
            kernel.cell(cell)
    kernel.step(20, "x = 2")
    was = pickle.dumps(kernel.names["big"])
    kernel.step(21, step.replace("PLACE", str(id(kernel.names["big"]))))
    assert pickle.dumps(kernel.names["big"]) != was, "the case changes nothing"
    assert "big" in recorded(kernel, 21)


# --- instances of classes of the notebook ---

POINTS = """
class Base:
    unit = 1
class Point(Base):
    def __init__(self, x): self.x = x
    def up(self, by=1): self.x += by
"""
OBJECTS: dict[str, str] = {
    "a list": "big = [Point([i]) for i in range(300)]",
    "a list and an index": "big = [Point([i]) for i in range(300)]\nindex = {point.x[0]: point for point in big}",
    "a tree that knows its parents": "class Node:\n    def __init__(self, *of): self.of, self.x = of, [1]\n"
    "big = [Node()]\nfor i in range(300): big.append(Node(big[i // 2]))\nroot = big[0]",
    "tuples by name": "from collections import namedtuple\nPair = namedtuple('Pair', 'x y')\n"
    "big = [Pair([i], {i}) for i in range(300)]",
    "a dict of parts": "big = {i: (Point({i: i}), [i]) for i in range(300)}",
    "an object": "class Model:\n    def __init__(self): self.parts = [Point([i]) for i in range(300)]\nbig = Model()",
    "an object of a class that is gone": "big = type('Gone', (), {})()\nbig.parts = [[i] for i in range(300)]",
    "dataclasses": "from dataclasses import dataclass\n@dataclass\nclass D:\n    x: int\n    y: object = None\n"
    "big = [D(i, [i]) for i in range(300)]",
}


@pytest.fixture(params=[1_000, 100], ids=["few", "a tree"])
def points(kernel: Kernel, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(trees, "LARGE", request.param)
    kernel.cell(POINTS)
    return kernel


@pytest.mark.parametrize("kind", OBJECTS)
def test_large_values_of_classes_of_the_notebook_are_looked_at_once(points: Kernel, kind: str) -> None:
    points.cell(OBJECTS[kind])
    points.step(1, "x = 1")
    assert is_skipped(points)
    points.step(2, "x += 1")
    assert is_skipped(points) and "big" not in stored(points, 2)


# What comes before, and a step that changes `big` without naming it: of the class, all instances are told by it.
THROUGH_DEFINITIONS: dict[str, tuple[str, str]] = {
    "an attribute of the class": ("", "Point.more = 5"),
    "an attribute of a base": ("", "Base.unit = 2"),
    "a method patched in": ("", "Point.down = lambda self: -self.x[0]"),
    "a default argument": ("", "Point.up.__defaults__ = (2,)"),
    "the code of a method": ("def other(self, by=1): self.x -= by", "Point.up.__code__ = other.__code__"),
    "through another instance": ("one = Point([-1])", "type(one).more = 5"),
    "through a library": ("a_library.kind = Point", "a_library.kind.more = 5"),
    "an instance that is held": ("a_library.kept.append(big[3])", "a_library.kept[0].x.append(1)"),
    "the attributes of one": ("a_library.kept.append(vars(big[3]))", "a_library.kept[0]['x'] = 1"),
    "a method of one": ("a_library.up = big[3].up", "a_library.up([1])"),
    "a weak reference to one": ("import weakref as w\na_library.ref = w.ref(big[3])\ndel w", "a_library.ref().x = 5"),
    "a class that knows its instances": ("Point.every = big", "Point.every[3].x = 5"),
    "a class that knows one": ("Base.one = big[3]", "Base.one.x = 5"),
    "a closure of a method": (
        "def make(it):\n    def down(self): it.x = 5\n    return down\nPoint.down = make(big[3])\ndel make",
        "Point([1]).down()",
    ),
    "a default of a method": ("Point.down = lambda self, it=big[3]: setattr(it, 'x', 5)", "Point([1]).down()"),
    "a property of another class": (
        "class Other:\n    def __init__(self, it): self.it = it\n    @property\n    def of(self): self.it.x = 5\n"
        "other = Other(big[3])",
        "other.of",
    ),
    "a method that names it": ("def down(self): big[3].x = 5\nPoint.down = down\ndel down", "Point([1]).down()"),
}


@pytest.mark.parametrize(
    ("points", "kind"), [(1_000, "a list"), (100, "a list"), (1_000, "a list and an index")], indirect=["points"]
)
@pytest.mark.parametrize("way", THROUGH_DEFINITIONS)
def test_a_change_through_a_class_or_an_instance_is_found(points: Kernel, way: str, kind: str) -> None:
    before, step = THROUGH_DEFINITIONS[way]
    points.cell(OBJECTS[kind])
    points.step(1, "x = 1")
    assert is_skipped(points)
    points.cell(before)
    points.step(2, "x = 2")
    points.step(3, step)
    assert "big" in recorded(points, 3)


def test_what_an_unmarked_cell_changed_is_looked_at(kernel: Kernel) -> None:
    kernel.step(1, MADE)
    kernel.step(2, "x = 1")
    assert is_skipped(kernel)
    kernel.cell("big.append(1)")
    kernel.step(3, "x = 2")
    assert kernel.session.watch._last.looks["big"].digest == looking.look(kernel.names["big"], {}).digest
    assert kernel.plan is not None
    assert "big" not in kernel.session.registry.pipeline(kernel.plan.key).producers


FRAMES: dict[str, tuple[str, str]] = {
    "the frame": ("a_library.kept.append(big)", "a_library.kept[0].loc[3, 'a'] = 'changed'"),
    "its manager": ("a_library.kept.append(big._mgr)", "a_library.kept[0].blocks[0].values[0, 3] = 'changed'"),
    "its block": ("a_library.kept.append(big._mgr.blocks[0])", "a_library.kept[0].values[0, 3] = 'changed'"),
    "its memory": ("a_library.kept.append(big._mgr.blocks[0].values)", "a_library.kept[0][0, 3] = 'changed'"),
    "a view of its memory": (
        "a_library.kept.append(big._mgr.blocks[0].values[:, 1:])",
        "a_library.kept[0][0, 3] = 'changed'",
    ),
    "a part of its content": ("a_library.kept.append(big.loc[5, 'b'])", "a_library.kept[0].append(1)"),
    "a weak reference to it": (
        "import weakref as w\na_library.kept.append(w.ref(big))\ndel w",
        "a_library.kept[0]().loc[3, 'a'] = 'changed'",
    ),
    "a weak reference to its index": (
        "import weakref as w\na_library.kept.append(w.ref(big.columns))\ndel w",
        "a_library.kept[0]().name = 'changed'",
    ),
    "its attributes": ("a_library.kept.append(big.attrs)", "a_library.kept[0]['x'] = 1"),
}


@pytest.mark.parametrize("part", FRAMES)
def test_a_frame_that_is_changed_through_something_else_is_found(kernel: Kernel, part: str) -> None:
    before, step = FRAMES[part]
    columns = "{'a': [f'x{i}' for i in range(300)], 'b': [[i] for i in range(300)]}"
    kernel.cell(f"import pandas\nbig = pandas.DataFrame({columns}, dtype=object)\nbig.attrs['x'] = 0")
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    kernel.cell(before)
    kernel.step(2, "x = 2")
    was = pickle.dumps(kernel.names["big"])
    kernel.step(3, step)
    assert pickle.dumps(kernel.names["big"]) != was, "the case changes nothing"
    assert "big" in stored(kernel, 3)


def test_the_same_cases_are_found_when_the_way_was_laid_in_a_step_before_the_value_was_looked_at(
    kernel: Kernel,
) -> None:
    kernel.step(1, f"{MADE}\na_library.kept.append(big[7])\na_library.hooks.append(lambda: big.append(1))")
    kernel.step(2, "x = 1")
    assert not is_skipped(kernel)
    kernel.step(3, "a_library.change()")
    assert stored(kernel, 3)["big"][7] == [7, "changed"]


def test_another_object_under_the_same_name_is_looked_at(kernel: Kernel) -> None:
    kernel.cell(MADE)
    kernel.step(1, "x = 1")
    kernel.names["big"] = [[1]]  # by something outside of all cells
    kernel.step(2, "x = 2")
    assert not is_skipped(kernel)


@pytest.mark.parametrize(("inside", "skipped"), [("big.append(1)", False), ("x", True)])
def test_code_that_runs_while_a_step_runs_counts(
    kernel: Kernel, library: types.ModuleType, inside: str, skipped: bool
) -> None:
    import ast

    kernel.cell(MADE)
    kernel.step(1, "x = 1")
    library.inside = lambda: kernel.session.cell_inside(ast.parse(inside))  # type: ignore[attr-defined]
    kernel.cell("pass")
    kernel.step(2, "a_library.inside()")
    assert is_skipped(kernel) == skipped


def test_a_debugger_at_work_ends_the_skipping(kernel: Kernel) -> None:
    kernel.cell(MADE)
    kernel.step(1, "x = 1")
    tracing = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        kernel.step(2, "x = 2")
    finally:
        sys.settrace(tracing)
    assert not is_skipped(kernel)


# --- buffers --------------------------------------------------------------------------------------------------------

ARRAYS: dict[str, tuple[str, str]] = {
    "an address": ("import ctypes\nplace = big.ctypes.data", "ctypes.memset(place + 9000, 7, 1)"),
    "a view in a closure": (
        "def make(v):\n    return lambda: v.__setitem__(9999, 7)\na_library.hooks.append(make(big[5:]))\ndel make",
        "a_library.fire()",
    ),
    "a memoryview": ("a_library.view = memoryview(big)", "a_library.view[9999] = 7.0"),
    "a library": ("a_library.view = big[::-1]", "a_library.view[9999] = 7.0"),
    "out=": ("a_library.view = big.view()", "import numpy as np\nnp.add(a_library.view, 1, out=a_library.view)"),
    "a name in a callback": ("a_library.hooks.append(lambda: big.__setitem__(9999, 7))", "a_library.fire()"),
    "a thread": (
        "import threading\nstop = threading.Event()\n"
        "thread = threading.Thread(target=lambda v: (stop.wait(9), v.__setitem__(9, 7)), args=(big,))\nthread.start()",
        "stop.set()\nthread.join()",
    ),
    "reading a file into it": (
        "a_library.view = memoryview(big).cast('B')",
        "with open('/dev/urandom', 'rb', buffering=0) as f: f.readinto(a_library.view[80000:80008])",
    ),
    "its view's memory": ("a_library.kept.append(big)\nbig = big[5:]", "a_library.kept[0][9999] = 7.0"),
    "the memory of a view's view": (
        "a_library.kept.append(big)\nbig = big.reshape(2, -1)[:, 5:].T",
        "a_library.kept[0][9999] = 7.0",
    ),
    "a buffer below it": (
        "a_library.kept.append(bytearray(1 << 21))\nbig = numpy.frombuffer(a_library.kept[0])",
        "a_library.kept[0][9999] = 7",
    ),
    "a file below it": (
        "place = a_library.folder + '/data'\nbig = numpy.memmap(place, shape=1 << 18, dtype='f8', mode='w+')",
        "with open(place, 'r+b') as file: file.write(b'12345678')",
    ),
    "an address that a library has": (
        "import ctypes\na_library.poke = lambda at, f=ctypes.memset: f(at, 7, 1)\nplace = big.ctypes.data + 9000\n"
        "del ctypes",
        "a_library.poke(place)",
    ),
    "an address in what describes it": (
        "place = big.__array_interface__['data'][0] + 9000\na_library.poke = a_library.memset",
        "a_library.poke(place, 7, 1)",
    ),
    "the block of a frame": (
        "import pandas\nframe = pandas.DataFrame(big.reshape(2, -1).T, copy=False)\na_library.kept.append(frame)",
        "a_library.kept[0].iloc[9999, 0] = 7.0",
    ),
}


@pytest.mark.parametrize("way", ARRAYS)
def test_a_write_to_a_large_buffer_is_found(kernel: Kernel, way: str) -> None:
    before, step = ARRAYS[way]
    kernel.cell("import numpy\nbig = numpy.zeros(1 << 18)")
    kernel.step(1, "x = 1")
    kernel.cell(before)
    kernel.step(2, "x = 2")
    was = kernel.names["big"].tobytes()
    kernel.step(3, step)
    if way == "the block of a frame" and kernel.names["big"].tobytes() == was:
        return  # this pandas copies
    assert kernel.names["big"].tobytes() != was
    assert "big" in recorded(kernel, 3)


LARGE = {
    "an array": ("import numpy\nbig = numpy.ones(1 << 18)", "big[5] = 7"),
    "a list of arrays": ("import numpy\nbig = [numpy.ones(1 << 18), numpy.ones((512, 512)).T]", "big[1][5] = 7"),
    "a view of nothing else": ("import numpy\nbig = numpy.ones((512, 512))[3:]", "big[5] = 7"),
    "a frame": ("import numpy, pandas\nbig = pandas.DataFrame(numpy.ones((1 << 17, 3)))", "big.iloc[5, 0] = 7"),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_buffer_that_nobody_else_holds_is_not_asked_after(
    kernel: Kernel, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, change = LARGE[kind]
    kernel.cell(made)
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    asked: list[Any] = []
    monkeypatch.setattr(pages.Pages, "content", lambda self, buffer: asked.append(buffer))
    kernel.cell("y = x + 1")
    kernel.step(2, "x += y")
    assert not asked
    monkeypatch.undo()
    kernel.step(3, "y = 2 if big is None else 3")
    assert stored(kernel, 3) == {"y": 3}
    kernel.step(4, change)
    assert list(stored(kernel, 4)) == ["big"]
    assert kernel.session.watch.last.looks["big"].digest == looking.look(kernel.names["big"], {}).digest
    kernel.cell(change.replace("7", "8"))
    kernel.step(5, "n = len(big)")
    assert kernel.plan is not None
    stray = kernel.session.open(kernel.plan.key, 5)
    assert stray is not None
    assert not [mark for mark in stray.meta["marks"] if "outside" in mark]


def test_a_large_array_that_changes_outside_of_all_cells_is_found_when_it_is_used(kernel: Kernel) -> None:
    kernel.cell("import numpy\nbig = numpy.ones(1 << 18)")
    kernel.step(1, "x = 1")
    assert is_skipped(kernel)
    kernel.names["big"][5] = 2
    kernel.session.outside_ran()
    kernel.step(2, "y = float(big[5])")
    assert stored(kernel, 2).keys() == {"big", "y"}
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, 2)
    assert meta is not None
    assert any("outside" in mark for mark in meta.meta["marks"])


def test_code_outside_of_all_cells_that_leaves_a_large_array_alone_is_no_change(kernel: Kernel) -> None:
    kernel.cell("import numpy\nbig = numpy.ones(1 << 18)")
    kernel.step(1, "x = 1")
    kernel.session.outside_ran()
    kernel.step(2, "y = float(big[5])")
    assert stored(kernel, 2).keys() == {"y"}
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, 2)
    assert meta is not None
    assert not meta.meta["marks"]


def test_what_was_restored_and_written_to_is_saved(tmp_path: Path) -> None:
    Kernel(tmp_path).step(1, "import numpy\nbig = numpy.zeros(1 << 18)\nother = numpy.ones(1 << 18)")
    kernel = Kernel(tmp_path, 2)
    kernel.step(1, "import numpy\nbig = numpy.zeros(1 << 18)\nother = numpy.ones(1 << 18)")
    kernel.step(2, "x = float(other[5])")
    assert stored(kernel, 2) == {"x": 1.0}
    kernel.step(3, "big[5] = 1")
    found = stored(kernel, 3)
    assert list(found) == ["big"]
    assert found["big"][5] == 1
    kernel.step(4, "other[5] = other[5]")
    assert stored(kernel, 4) == {}  # what a step reaches was read before: the same bytes are no change


def test_what_was_restored_has_the_digests_of_what_was_saved(tmp_path: Path) -> None:
    """What the kernel of the system knows of a mapped file must be what a look would find."""
    code = "import numpy\nbig = numpy.arange(1 << 18)"
    Kernel(tmp_path).step(1, code)
    kernel = Kernel(tmp_path, 2)
    kernel.step(1, code)
    kernel.step(2, "n = int(big[0])")
    assert kernel.plan is not None
    assert kernel.plan.before is not None
    look = kernel.plan.before.state.looks["big"]
    assert look.digest == looking.look(kernel.names["big"], {}).digest
    assert all(content.is_read for content in look.contents)


# --- names that share with each other alone -------------------------------------------------------------------------

FIGURE = """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
fig, axes = plt.subplots(2, 1, sharex=True)
fig.colorbar(axes[0].twinx().imshow([[1.0, 2.0], [3.0, 4.0]]))
for ax in axes:
    ax.imshow([[1.0, 2.0], [3.0, 4.0]])
    line, = ax.plot([1, 2], [3, 4], label="x")
    ax.legend()
line.set_gid([1])
fig.canvas.draw()
"""
CLOSED = f"{FIGURE}plt.close(fig)"


def is_found_closed(kernel: Kernel, *names: str) -> bool:
    looks = kernel.session.watch._last.looks
    return all(looks[name].closed is not None and is_skipped(kernel, name) for name in names)


@pytest.fixture
def figures(kernel: Kernel) -> Kernel:
    kernel.cell(CLOSED)
    gc.collect()  # the first import of matplotlib leaves the frame of the cell in a cycle, as code that names all this
    kernel.step(1, "x = 1")
    assert is_found_closed(kernel, "fig", "axes", "ax", "line")
    return kernel


def test_a_closed_figure_and_its_parts_are_looked_at_once(figures: Kernel) -> None:
    last = figures.session.watch._last
    figures.cell("y = x + 1")
    figures.step(2, "x += y")
    assert is_found_closed(figures, "fig", "axes", "ax", "line")
    assert figures.session.watch._last.looks["fig"] is last.looks["fig"]
    assert figures.session.watch._last.links == last.links
    assert stored(figures, 2) == {"x": 3}


def test_a_step_that_uses_one_of_them_has_all_of_them_saved(figures: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    figures.step(2, "line.set_linewidth(7)")
    assert stored(figures, 2).keys() == {"fig", "axes", "ax", "line"}
    figures.step(3, "x = 2")
    assert is_found_closed(figures, "fig", "axes", "ax", "line")
    why: list[Any] = []

    def compared(before: delta.State, after: delta.State, *args: Any, **options: Any) -> delta.Delta:
        names = [name for name in after.looks if after.looks[name].digest != before.looks[name].digest]
        why.append((names, after.links.differing(before.links.among(after.looks)), before.order, after.order, options))
        return compare(before, after, *args, **options)

    compare = delta.compare
    monkeypatch.setattr(delta, "compare", compared)
    figures.step(4, "del line")
    assert "fig" not in stored(figures, 4), why


@pytest.mark.parametrize(("body", "skipped"), [("1", True), ("gc.get_objects()", False), ("len(big)", False)])
def test_a_function_that_calls_another_of_the_notebook_leads_no_further_than_that(
    kernel: Kernel, body: str, skipped: bool
) -> None:
    kernel.cell(f"{MADE}\nimport gc\ndef f(): return {body}\ndef g(): return f()")
    kernel.step(1, "x = 1")
    kernel.step(2, "x = 2")
    assert is_skipped(kernel, "big") == skipped


def test_lists_that_share_are_looked_at_once(kernel: Kernel) -> None:
    kernel.cell(f"{MADE}\nother = [big, big[3]]")
    kernel.step(1, "x = 1")
    assert is_found_closed(kernel, "big", "other")


def test_another_name_for_what_is_open_is_tied_as_ever(figures: Kernel) -> None:
    seen = figures.session.watch._last.looks["fig"]
    figures.names["found"] = next(one for one in seen.closed.opening if type(one) is list)  # a setting of matplotlib's
    figures.step(2, "x = 2")
    assert figures.session.watch._last.looks["fig"] is not seen
    assert any("found" in names and "fig" in names for names in figures.session.watch._last.links.objects)


FIGURES: dict[str, tuple[list[str], str]] = {
    "a library holds it": (["a_library.kept.append(fig)"], "a_library.kept[0].set_size_inches(3, 3)"),
    "a library holds a part": (["a_library.kept.append(line)"], "a_library.kept[0].set_linewidth(7)"),
    "a library holds a small part": (["a_library.kept.append(line.get_gid())"], "a_library.change()"),
    "a library holds the memory of a part": (
        ["a_library.kept.append(line.get_xdata(orig=False))"],
        "a_library.kept[0][0] = 9",
    ),
    "a library holds the memory of an image": (
        ["a_library.kept.append(ax.images[0].get_array().data)"],
        "a_library.kept[0][0, 0] = 9",
    ),
    "a weak reference": (["import weakref as w\na_library.ref = w.ref(line)\ndel w"], "a_library.ref().set_gid([2])"),
    "a weak reference to the canvas": (
        ["import weakref as w\na_library.ref = w.ref(fig.canvas)\ndel w"],
        "a_library.ref().figure.set_size_inches(3, 3)",
    ),
    "its canvas": (["a_library.kept.append(fig.canvas)"], "a_library.kept[0].figure.set_size_inches(3, 3)"),
    "a bound method": (["a_library.hooks.append(line.set_linewidth)"], "a_library.fire(7)"),
    "a function": (
        ["def f(): line.set_linewidth(7)\na_library.hooks.append(f)\ndel f"],
        "a_library.fire()",
    ),
    "a closure": (
        ["def make(v):\n    return lambda: v.set_linewidth(7)\na_library.hooks.append(make(line))\ndel make"],
        "a_library.fire()",
    ),
    "pyplot, where it is opened again": (
        ["manager = plt.new_figure_manager(9)\nmanager.canvas.figure = fig\nfig.canvas = manager.canvas\n"
         "plt._pylab_helpers.Gcf.figs[9] = manager\ndel manager"],
        "plt._pylab_helpers.Gcf.figs.pop(9).canvas.figure.set_size_inches(3, 3)",
    ),
    "axes of another figure that have its scale": (
        ["a_library.kept.append(plt.figure().add_subplot(sharex=axes[0]))\nplt.close('all')"],
        "a_library.kept[0].set_xlim(0, 9)",
    ),
    "the groups of axes with a common scale": (
        [],
        "[one.set_gid([2]) for group in plt.Axes._shared_axes['x'] for one in group]",
    ),
    "a list of the library's settings": (
        [],
        "import matplotlib._cm_listed as c\nc.cmaps['viridis'].colors[0][0] = 0.5",
    ),
    "gc": ([], "import gc\nfor one in gc.get_objects():\n"
               "    if type(one).__name__ == 'Line2D' and one.get_gid() == [1]: one.get_gid().append(2)"),
}  # fmt: skip


@pytest.mark.parametrize("way", FIGURES)
def test_a_change_of_a_figure_through_something_else_is_found(figures: Kernel, way: str) -> None:
    before, step = FIGURES[way]
    for cell in before:
        figures.cell(cell)
    figures.step(2, "x = 2")
    was = looking.look(figures.names["fig"], figures.names).digest
    figures.step(3, step)
    assert looking.look(figures.names["fig"], figures.names).digest != was, "the case changes nothing"
    assert "fig" in stored(figures, 3)


def test_a_figure_that_pyplot_knows_is_looked_at(kernel: Kernel) -> None:
    kernel.cell(FIGURE)
    kernel.step(1, "x = 1")
    kernel.step(2, "plt.title('new')")
    assert "fig" in stored(kernel, 2)
    kernel.step(3, "plt.close('all')")
    kernel.step(4, "x = 2")
    gc.collect()
    kernel.step(5, "x = 2")
    kernel.step(6, "x = 2")
    assert is_found_closed(kernel, "fig", "axes", "ax", "line")


FOREST = (
    "import numpy\nfrom sklearn.ensemble import RandomForestClassifier\nx = numpy.arange(40.0).reshape(20, 2)\n"
    "forest = RandomForestClassifier(60, random_state=0).fit(x, x[:, 0] > 9)"
)
TREES: dict[str, tuple[str, str]] = {
    "a library holds a tree": (
        "a_library.kept.append(forest.estimators_[0])",
        "a_library.kept[0].set_params(max_depth=3)",
    ),
    "a library holds the memory of a tree": (
        "a_library.kept.append(forest.estimators_[0].tree_.value)",
        "a_library.kept[0][:] = 0.5",
    ),
    "a bound method": ("a_library.hooks.append(forest.set_params)", "[hook(max_depth=3) for hook in a_library.hooks]"),
}


def test_a_forest_is_looked_at_once(kernel: Kernel) -> None:
    kernel.cell(FOREST)
    kernel.step(1, "y = 1")
    kernel.step(2, "y = 2")
    assert is_found_closed(kernel, "forest")
    kernel.step(3, "forest.set_params(max_depth=3)")
    assert stored(kernel, 3).keys() == {"forest"}


@pytest.mark.parametrize("way", TREES)
def test_a_change_of_a_forest_through_something_else_is_found(kernel: Kernel, way: str) -> None:
    kernel.cell(FOREST)
    kernel.step(1, "y = 1")
    kernel.cell(TREES[way][0])
    kernel.step(2, "y = 2")
    kernel.step(3, TREES[way][1])
    assert "forest" in stored(kernel, 3)


def test_a_search_that_fails_is_repeated_ever_less_until_something_is_used(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[list[str]] = []
    search = holders.openings

    def openings(looks: Any, ties: Any, spaces: Any, names: list[str]) -> Any:
        searched.append(names)
        return search(looks, ties, spaces, names)

    monkeypatch.setattr(holders, "openings", openings)
    kernel.cell(f"{CLOSED}\nimport threading\nthreading.main_thread().kept = line")
    for number in range(1, 9):
        kernel.step(number, "x = 1")
    assert len(searched) == 4
    kernel.cell("del threading.main_thread().kept\nplt.rcParams")
    kernel.step(9, "x = 2")
    assert is_found_closed(kernel, "fig", "axes", "ax", "line")
    monkeypatch.undo()


def test_living_functions_are_searched_for_only_after_code_that_makes_some(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    search = holders.named_by_code

    def named(namespace: dict[str, Any]) -> Any:
        searched.append(1)
        return search(namespace)

    monkeypatch.setattr(holders, "named_by_code", named)
    kernel.cell(MADE)
    kernel.step(1, "big.append([1])")
    kernel.step(2, "big.append([2])")
    kernel.step(3, "big.append([3])")
    assert len(searched) == 1
    kernel.cell("a_library.hooks.append(lambda: other.append(1))")
    kernel.step(4, "other = [[i] for i in range(300)]")
    assert len(searched) == 2
    assert not kernel.session.watch.last.looks["other"].alone
    kernel.step(5, "a_library.fire()")
    assert stored(kernel, 5).keys() == {"other"}


def test_what_the_user_froze_may_hold_functions_that_nobody_finds(kernel: Kernel) -> None:
    kernel.cell(f"{MADE}\na_library.hooks.append(lambda: big.append(1))")
    gc.freeze()
    try:
        kernel.step(1, "x = 1")
        kernel.step(2, "a_library.fire()")
    finally:
        gc.unfreeze()
    assert stored(kernel, 2).keys() == {"big"}


def test_arrays_over_the_memory_of_others_are_looked_at(kernel: Kernel) -> None:
    kernel.cell("import numpy\nwhole = numpy.arange(300.0)\na_library.kept.append(whole)")
    kernel.cell(f"{MADE}\nother = [big, whole[5:]]\ndel whole")
    kernel.step(1, "x = 1")
    kernel.step(2, "a_library.kept[0][7] = 1000.0")
    assert stored(kernel, 2)["other"][1][2] == 1000.0


# --- several figures ---

DRAW = "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt"


def drawn(name: str) -> str:
    return f"{name}, {name}_ax = plt.subplots()\n{name}_line, = {name}_ax.plot([1, 2])\nplt.close()"


@pytest.fixture
def several(kernel: Kernel) -> Kernel:
    kernel.cell(DRAW)
    gc.collect()
    kernel.step(1, drawn("a"))
    kernel.step(2, drawn("b"))
    return kernel


def test_figures_do_not_tie_each_other(several: Kernel) -> None:
    assert recorded(several, 2) == ["b", "b_ax", "b_line"]
    several.step(3, "a_ax.set_title('x')")
    assert recorded(several, 3) == ["a", "a_ax", "a_line"]
    several.step(4, drawn("c"))
    assert recorded(several, 4) == ["c", "c_ax", "c_line"]
    assert is_found_closed(several, "a", "a_ax", "b", "b_ax", "b_line")


def setting(figure: Any) -> list[Any]:
    found: list[Any] = figure.axes[0].xaxis.get_major_formatter()._powerlimits
    return found


def test_restored_figures_hold_what_settings_hold(several: Kernel, tmp_path: Path) -> None:
    import matplotlib

    limits = matplotlib.rcParams["axes.formatter.limits"]
    assert setting(several.names["a"]) is limits
    again = Kernel(tmp_path, "end")
    again.cell("import a_library")
    again.cell(DRAW)
    again.step(1, drawn("a"))
    again.step(2, drawn("b"))
    assert again.names["a"] is not several.names["a"]
    for name in "ab":
        assert setting(again.names[name]) is limits
    with matplotlib.rc_context({"axes.formatter.limits": (-1, 2)}):
        plain = stored(several, 2)["b"]
    assert setting(plain) == limits
    assert setting(plain) is not limits


SHAPES = {
    "circle": "ax.scatter([1, 2], [1, 2])",
    "other marker": "ax.scatter([1, 2], [1, 2], marker='*')",
    "rectangle": "ax.bar([1, 2], [1, 2])",
    "patch": "ax.add_patch(Circle((0, 0), 1))",
    "polygon": "ax.add_patch(RegularPolygon((0, 0), 5))",
    "shape": "ax.shape = Path.unit_regular_star(7)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_restored_figure_has_the_shapes_that_the_next_one_on_it_has(
    kernel: Kernel, tmp_path: Path, shape: str
) -> None:
    draw = f"{SHAPES[shape]}\nplt.close()"
    importing = "from matplotlib.patches import Circle, RegularPolygon\nfrom matplotlib.path import Path"
    again = Kernel(tmp_path, "end")
    for one in (kernel, again):
        one.cell("import a_library")
        one.cell(f"{DRAW}\n{importing}")
        one.step(1, f"fig, ax = plt.subplots()\n{draw}")
        one.cell(draw)
        banner = one.step(2, "_ = ax.set_title('x')")
    assert banner["action"] == "restored"
    figure = stored(kernel, 2)["fig"]  # by plain pickle
    assert figure.axes[0].get_title() == "x"
    figure.canvas.draw()


COMMON = """
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
shapes = lambda: [
    Path.unit_circle(), Path.unit_circle_righthalf(), Path.unit_rectangle(), Path.unit_regular_star(5),
    Path.unit_regular_polygon(6), Path.unit_regular_asterisk(4),
]
"""


def test_shapes_that_all_figures_have_in_common_are_these_after_a_restore(kernel: Kernel, tmp_path: Path) -> None:
    again = Kernel(tmp_path, "end")
    for one in (kernel, again):
        one.cell("import a_library")
        one.cell(COMMON)
        one.step(1, "common = shapes()\nowns = [(p.deepcopy(), p.transformed(Affine2D().scale(2))) for p in common]")
        banner = one.step(2, "copied = [owns[0][0].vertices]\nlarger = [two.codes for _, two in owns]")
    assert banner["action"] == "restored"
    for names in (again.names, stored(kernel, 1) | stored(kernel, 2)):
        now = kernel.names["shapes"]()
        assert all(one is other for one, other in zip(names["common"], now, strict=True))
        for common, (own, larger), before in zip(now, names["owns"], kernel.names["owns"], strict=True):
            assert larger.codes is common.codes
            assert own.codes is not common.codes
            assert (own.vertices == common.vertices).all()
            assert (larger.vertices == before[1].vertices).all()
            own.vertices[0] = 7.0  # nobody else's
    assert {*recorded(kernel, 2)} == {"copied", "larger", "owns"}


TOGETHER = {
    "a setting": ("", "plt.rcParams['axes.formatter.limits'][0] = -4"),
    "a setting that figures lead to": ("", "a_ax.title.get_path_effects().append(1)"),
    "a name for a setting": ("held = plt.rcParams['axes.formatter.limits']", "held[0] = -4"),
    "a container with one": ("held = [a_ax, plt.rcParams['axes.formatter.limits']]", "held[1][0] = -4"),
    "a former setting": ("plt.rcParams['axes.formatter.limits'] = (-3, 3)", "a_ax.set_title('x')"),
    "another object": ("b_ax.held = []", "a_ax.held = b_ax.held"),
}


@pytest.mark.parametrize("way", TOGETHER)
def test_figures_that_have_something_in_common_are_saved_together(several: Kernel, way: str) -> None:
    import matplotlib

    before, step = TOGETHER[way]
    limits, effects = (matplotlib.rcParams[key] for key in ("axes.formatter.limits", "path.effects"))
    was = [*limits]
    try:
        several.cell(before)
        several.step(3, "x = 1")
        several.step(4, step)
        assert {*recorded(several, 4)} >= {"a", "b"}
    finally:
        limits[:], effects[:] = was, []
        matplotlib.rcParams.update({"axes.formatter.limits": was, "path.effects": []})
