"""What a notebook defines comes back, in this kernel and for plain `pickle.load` on any supported Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13")

# Runs in a real __main__: the cells of a notebook are executed in its namespace and then written.
WRITER = """
import io, linecache, sys
sys.path.insert(0, {root!r})
from ckpt_magic.values.pickles.pickling import Contents, write
from ckpt_magic.values.pickles.unpickling import read
_namespace = sys.modules["__main__"].__dict__
_before = set(_namespace) | {{"_before"}}
with open({cell!r}) as _opened:
    _source = _opened.read()
linecache.cache["<cell-1>"] = (len(_source), None, _source.splitlines(True), "<cell-1>")
exec(compile(_source, "<cell-1>", "exec"), _namespace)
_values = {{n: v for n, v in _namespace.items() if n not in _before and n[0] != "_"}}
_file = io.BytesIO()
_contents = Contents({kind!r}, _values if {kind!r} == "cell" else _namespace["result"])
_written = write(_contents, _file, namespace=_namespace)
with open({out!r}, "wb") as _opened:
    _opened.write(_file.getvalue())
if {after!r}:
    exec(compile({after!r}, "<after>", "exec"), _namespace)
"""

# Runs where neither this package nor anything else is installed.
READER = """
import json, pickle, sys
sys.path[:0] = filter(None, sys.argv[2:])
with open(sys.argv[1], "rb") as file:
    value = pickle.load(file)
scope = {"value": value, "sys": sys}
if type(value) is dict:
    scope.update(value)
for line in json.load(sys.stdin):
    try:
        good = eval(line, scope)
    except Exception as error:
        good = repr(error)
    if good is not True:
        print(line, "->", good)
assert not any(name.startswith(("ckpt_magic", "cloudpickle")) for name in sys.modules)
assert "Point" not in vars(sys.modules["__main__"])
"""


def interpreter(version: str) -> str | None:
    """A Python of this version, without asking its shims, which may stand for none."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(folder.glob(f"{version}.*/bin/python"))
    candidates = [str(path) for path in found] + [shutil.which(f"python{version}") or ""]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", "import sys"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def write(folder: Path, cell: str, *, python: str = sys.executable, kind: str = "cell", after: str = "") -> Path:
    """Run `cell` as a notebook's cell in a Python of its own and write what it defined."""
    (folder / "cell.py").write_text(textwrap.dedent(cell))
    out = folder / "checkpoint.pkl"
    script = WRITER.format(
        root=str(ROOT), cell=str(folder / "cell.py"), out=str(out), kind=kind, after=textwrap.dedent(after)
    )
    (folder / "writer.py").write_text(script)
    run = subprocess.run(
        [python, "-W", "error", str(folder / "writer.py")], capture_output=True, text=True, check=False, cwd=folder
    )
    assert run.returncode == 0, run.stderr
    return out


def check(path: Path, lines: str, *, python: str = sys.executable, path_entry: str = "") -> None:
    """Load the file with plain pickle in an isolated Python, where each line has to be true."""
    wanted = [line.strip() for line in lines.strip().splitlines()]
    run = subprocess.run(
        [python, "-I", "-S", "-W", "error", "-c", READER, str(path), path_entry],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
    )
    assert (run.stdout, run.stderr, run.returncode) == ("", "", 0)


EVERYTHING = """
import abc, asyncio, collections, contextlib, dataclasses, enum, functools, typing
base = 5
def add(x, y=2, *, more=[3]):
    "Adds."
    return x + y + base + more[0]
def make(n):
    def fact(k): return 1 if k <= 1 else k * fact(k - 1)
    def count():
        nonlocal n
        n += 1
        return n
    return fact, count
fact, count = make(3)
one, two = lambda: 1, lambda: 2
several = [lambda i=i: i for i in range(3)]
def nested(): return [lambda: 1 for _ in "ab"] + [lambda: 2]
in_comprehension = [f() for f in nested()]
inner_lambdas = nested()
def squares(n): yield from (i * i for i in range(n))
async def numbers(n):
    for i in range(n): yield i
async def gather(n): return [i async for i in numbers(n)]
def timed(f):
    @functools.wraps(f)
    def wrapper(*args): return "timed", f(*args)
    return wrapper
@timed
def decorated(x: int) -> "str":
    return x
@contextlib.contextmanager
def manager(): yield 1
made = []
class Base:
    def __init_subclass__(cls, **options): made.append(cls.__name__)
    def hello(self): return "base"
class Sub(Base):
    "A subclass."
    def __init__(self, v=1): self.v = v
    def hello(self): return "sub " + super().hello()
    @property
    def double(self): return self.v * 2
    @double.setter
    def double(self, value): self.v = value / 2
    @staticmethod
    def static(): return 1
    @classmethod
    def get(cls): return cls
    @functools.cached_property
    def once(self): return [self.v]
    class Inner:
        def outer(self): return Sub
class Slots:
    __slots__ = ("x", "__y")
    def __init__(self): self.x, self.__y = 1, 2
    def y(self): return self.__y
@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)
    seed: dataclasses.InitVar[int] = 7
    def __post_init__(self, seed): self.seeded = seed
@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    x: int = 1
    name: typing.ClassVar[str] = "n"
@dataclasses.dataclass(frozen=True)
class FixedSub:
    x: int
    z: int = dataclasses.field(default=4, kw_only=True)
class Pair(typing.NamedTuple):
    x: int
    y: int = 2
    def total(self): return self.x + self.y
Pair2 = collections.namedtuple("Pair2", "a b", defaults=[5])
class Color(enum.Enum):
    RED = 1
    BLUE = 2
    ALSO_RED = 1
    def up(self): return self.name + "!"
class Planet(enum.Enum):
    EARTH = (1, 2)
    def __init__(self, mass, radius): self.mass, self.radius = mass, radius
class Coded(int, enum.Enum):
    A = (1, "one"); B = (2, "two")
    def __new__(cls, v, phrase):
        member = int.__new__(cls, v)
        member._value_, member.phrase = v * 10, phrase
        return member
class Word(str, enum.Enum):
    A = "a"
class Bits(enum.Flag):
    A = enum.auto(); B = enum.auto(); AB = 3
class Abstract(abc.ABC):
    @abc.abstractmethod
    def run(self): ...
class Concrete(Abstract):
    def run(self): return 1
class Virtual: pass
Abstract.register(Virtual)
T = typing.TypeVar("T", bound=int)
class Box(typing.Generic[T]):
    def __init__(self, v): self.v = v
@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self) -> int: ...
class Options(typing.TypedDict, total=False):
    a: int
class Meta(type):
    classes = []
    def __new__(meta, name, bases, own):
        meta.classes.append(name)
        return super().__new__(meta, name, bases, own)
    @property
    def label(cls): return "L" + cls.__name__
class WithMeta(metaclass=Meta):
    pass
class Single:
    only = None
    def __setstate__(self, state): self.__dict__.update(state, restored=True)
Single.only = Single()
Single.only.k = 3
class Node:
    pass
Node.me, Node.all = Node, [Node]
sub, slots, point, fixed, pair, red, bits = Sub(3), Slots(), Point(1), Fixed(), Pair(1), Color.RED, Bits.A | Bits.B
mixed = {"get": sub.hello, "p": functools.partial(add, 1), "d": collections.defaultdict(lambda: 7)}
"""

EVERYTHING_HOLDS = """
add(1) == 11 and add.__doc__ == "Adds." and add.__defaults__ == (2,) and add.__globals__ is value
fact(5) == 120 and [count(), count()] == [4, 5]
(one(), two(), [f() for f in several]) == (1, 2, [0, 1, 2])
[f() for f in nested()] == in_comprehension and [f() for f in inner_lambdas] == in_comprehension
list(squares(3)) == [0, 1, 4]
__import__("asyncio").run(gather(3)) == [0, 1, 2]
decorated(3) == ("timed", 3) and decorated.__wrapped__(3) == 3
decorated.__annotations__ == {"x": int, "return": "str"}
manager().__enter__() == 1
made == ["Sub"] and sub.hello() == "sub base" and Sub.__doc__ == "A subclass."
(sub.double, Sub.static(), Sub.get() is Sub, sub.once, Sub.Inner().outer() is Sub) == (6, 1, True, [3], True)
type("New", (Base,), {}) and made == ["Sub", "New"]
slots.y() == 2 and not hasattr(slots, "__dict__")
repr(point) == "Point(x=1, y=[])" and point == Point(1) and Point(2) > point
point.seeded == 7 and Point(1, seed=8).seeded == 8
Point.__init__.__globals__ is value and Point.__repr__.__wrapped__.__qualname__.endswith("__repr__")
__import__("dataclasses").replace(point, x=5, seed=1).x == 5 and Point.__hash__ is None
repr(fixed) == "Fixed(x=1)" and hash(fixed) == hash(Fixed(1)) and Fixed.name == "n" and not hasattr(fixed, "__dict__")
[type(e).__name__ for e in [None]] and FixedSub(1) == FixedSub(1, z=4) and FixedSub.__dataclass_params__.frozen
(pair, pair.total(), Pair(3), pair._replace(x=9), Pair2(1)) == ((1, 2), 3, (3, 2), (9, 2), (1, 5))
red is Color.RED is Color(1) is Color["ALSO_RED"] and red.up() == "RED!" and list(Color) == [Color.RED, Color.BLUE]
Planet.EARTH.radius == 2 and Planet((1, 2)) is Planet.EARTH
(Coded.A.value, Coded.A + 1, Coded(20) is Coded.B, Coded.B.phrase) == (10, 2, True, "two")
Word("a") is Word.A and Word.A + "b" == "ab"
bits == Bits.AB and Bits.A in bits and (bits & Bits.A) is Bits.A
Concrete().run() == 1 and Abstract.__abstractmethods__ == frozenset({"run"}) and issubclass(Virtual, Abstract)
Box[int](3).v == 3 and Box.__parameters__ == (T,) and T.__bound__ is int
isinstance(Concrete(), Runs) and not isinstance(3, Runs)
Options(a=1) == {"a": 1} and Options.__optional_keys__ == frozenset({"a"})
Meta.classes == ["WithMeta"] and WithMeta.label == "LWithMeta" and type(WithMeta) is Meta
Single.only.restored and Single.only.k == 3
Node.me is Node and Node.all[0] is Node
mixed["get"]() == "sub base" and mixed["p"]() == 11 and mixed["d"][0] == 7
"""


@pytest.mark.parametrize("writes", VERSIONS)
def test_every_python_reads_what_every_python_wrote(tmp_path: Path, writes: str) -> None:
    """Without this package: marshalled code on the same version, compiled source on another."""
    writer = interpreter(writes)
    if writer is None:
        pytest.skip(f"no Python {writes} here")
    path = write(tmp_path, EVERYTHING, python=writer)
    missing = [version for version in VERSIONS if interpreter(version) is None]
    for version in VERSIONS:
        if version not in missing:
            check(path, EVERYTHING_HOLDS, python=interpreter(version) or "")
    if missing:
        pytest.skip(f"read everywhere but on Python {', '.join(missing)}, not here")


def test_code_without_source_says_so_on_another_version(tmp_path: Path) -> None:
    other = next((v for v in VERSIONS if v != f"3.{sys.version_info[1]}" and interpreter(v)), None)
    if other is None:
        pytest.skip("no other Python here")
    path = write(tmp_path, "exec('def f(x):\\n return lambda: x')\ng = f(3)")
    check(path, "g() == 3")
    (tmp_path / "read.py").write_text(
        "import pickle\nvalue = pickle.load(open('checkpoint.pkl', 'rb'))\n"
        "try:\n value['g']()\nexcept RuntimeError as error:\n print(error)\n"
    )
    run = subprocess.run(
        [interpreter(other) or "", "read.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "was written by Python" in run.stdout, run.stderr


def test_restored_definitions_use_the_live_namespace_and_keep_their_source(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        import inspect
        level = 1
        def f(): return level
        class C:
            def m(self): return level
        """,
        after="""
        import linecache
        del linecache.cache["<cell-1>"]
        found = {}
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace, found=found).value
        level = 2
        assert back["f"]() == 2 and back["C"]().m() == 2
        assert back["f"].__globals__ is _namespace and "level" not in dir(back)
        assert inspect.getsource(back["f"]) == "def f(): return level\\n"
        assert {token[:2] for token in found} == {("function", "f"), ("class", "C")}
        """,
    )


def test_a_live_definition_takes_the_place_of_the_stored_one(tmp_path: Path) -> None:
    """Also its instances are its own, no hook runs again and nothing is set on it."""
    write(
        tmp_path,
        """
        import enum, abc
        calls = []
        class Base:
            def __init_subclass__(cls): calls.append(cls.__name__)
        class Sub(Base):
            pass
        class Abstract(abc.ABC): pass
        class Color(enum.Enum):
            RED = 1
        def f(): return 1
        things = [Sub(), Color.RED, f]
        """,
        after="""
        from ckpt_magic.values.pickles.tokens import definition_token
        live = {definition_token(x, _namespace): x for x in (Base, Sub, Color, f, Abstract)}
        assert set(live) == set(_written.tokens)
        Sub.mark = "live only"
        hook = vars(Base)["__init_subclass__"]
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace, live=live.get).value
        assert back["Sub"] is Sub and type(back["things"][0]) is Sub and Sub.mark == "live only"
        assert back["things"][1] is Color.RED and back["things"][2] is f
        assert calls == ["Sub"] and vars(Base)["__init_subclass__"] is hook

        # only the base lives on: the subclass is made anew below it, without its hook
        live = {k: v for k, v in live.items() if v is Base}
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace, live=live.get).value
        assert back["Sub"] is not Sub and back["Sub"].__bases__ == (Base,) and calls == ["Sub"]
        assert vars(Base)["__init_subclass__"] is hook
        """,
    )


def test_a_token_names_the_definition_not_its_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        from ckpt_magic.values.pickles.tokens import definition_token, is_plain_definition
        def f(x, y=(1, 2)): return lambda: x + 1
        first, name = definition_token(f, globals()), f
        # another line
        def f(x, y=(1, 2)): return lambda: x + 1
        assert definition_token(f, globals()) == first
        f(1)()
        assert definition_token(f, globals()) == first
        def f(x, y=(1, 3)): return lambda: x + 1
        assert definition_token(f, globals()) != first
        def f(x, y=(1, 2)): return lambda: x + 2
        assert definition_token(f, globals()) != first
        class C:
            x = 1
            def m(self): return super().__init__()
        token = definition_token(C, globals())
        assert is_plain_definition(C, globals())
        import copy
        copy.copy(C())  # keeps __slotnames__ on the class
        assert definition_token(C, globals()) == token and is_plain_definition(C, globals())
        C.x = 2
        assert definition_token(C, globals()) != token
        C.cache = {}
        assert not is_plain_definition(C, globals())
        def g(x=[]): pass
        def h(): pass
        h.calls = []
        import typing
        class N(typing.NamedTuple):
            x: list = []
        assert not is_plain_definition(N, globals())
        assert not is_plain_definition(g, globals()) and not is_plain_definition(h, globals())
        assert not is_plain_definition(lambda: 1, globals()) and not is_plain_definition(f(1), globals())
        assert not is_plain_definition(len, globals()) and not is_plain_definition(dict, globals())
        """,
    )


def test_tokens_survive_a_restore(tmp_path: Path) -> None:
    write(
        tmp_path,
        EVERYTHING,
        after="""
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace).value
        _namespace.update(back)
        again = io.BytesIO()
        tokens = set(write(Contents("cell", back), again, namespace=_namespace).tokens)
        assert tokens == set(_written.tokens), tokens ^ set(_written.tokens)
        assert {"Point", "Color", "Pair", "Coded", "Box", "Runs", "nested"} <= {token[1] for token in tokens}
        """,
    )


def test_a_methods_value_brings_what_its_functions_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        import math, threading
        rate, huge, conn = 2, b"0" * 3_000_000, threading.Thread()
        def twice(x): return rate * x
        class Model:
            def area(self): return twice(math.floor(1.5)) + 0 * len(str(huge and conn))
            def small(self): return twice(math.floor(1.5))
        result = [Model(), twice]
        """,
        kind="method",
    )
    check(path, "value[0].small() == 2\nvalue[1](4) == 8\n'huge' not in value[1].__globals__")


def test_a_recursive_structure_of_definitions_is_written(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        def outer():
            class Local:
                def me(self): return Local, __class__
                @classmethod
                def make(cls): return cls()
            def walk(n, seen=[]): return walk(n - 1) if n else Local
            walk.owner, Local.walk = Local, staticmethod(walk)
            return Local, walk
        Local, walk = outer()
        def f(x: "C" = None) -> None: ...
        class C:
            helper = f
        f.__annotations__["x"] = C
        f.owner = C
        own = {"V": 9}
        exec("def h(): return h, V", own)
        h = own.pop("h") if False else own["h"]
        del own["__builtins__"]
        class A:
            pass
        class B(A):
            pass
        A.child = B
        bs = [B, A]
        """,
    )
    check(
        path,
        """
        walk(2) is Local and Local.walk(1) is Local and Local().me() == (Local, Local) and walk.owner is Local
        f.__annotations__["x"] is C and C.helper is f and f.owner is C
        h() == (h, 9) and h.__globals__ is own
        A.child is B and B.__bases__ == (A,) and bs == [B, A]
        """,
    )


def test_an_odd_metaclass_needs_cloudpickle(tmp_path: Path) -> None:
    pytest.importorskip("cloudpickle")
    pytest.importorskip("traitlets")
    write(
        tmp_path,
        """
        import traitlets
        class Settings(traitlets.HasTraits):
            level = traitlets.Int(3)
        settings = Settings(level=4)
        """,
        after="""
        assert _written.needs == ("cloudpickle",) and "traitlets" in _written.modules
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace).value
        assert back["settings"].level == 4
        """,
    )


def test_an_odd_metaclass_is_refused_without_cloudpickle(tmp_path: Path) -> None:
    pytest.importorskip("traitlets")
    write(
        tmp_path,
        "x = 1",
        after="""
        import traitlets
        sys.modules["cloudpickle"] = None
        class Settings(traitlets.HasTraits): pass
        try:
            write(Contents("cell", {"s": Settings}), io.BytesIO(), namespace=_namespace)
        except TypeError as error:
            assert "cloudpickle" in str(error) and "Settings" in str(error)
        else:
            raise AssertionError
        """,
    )


def test_hooks_of_library_classes_do_not_run_again_either(tmp_path: Path) -> None:
    """They may want arguments that only the class statement had; what they did to the class is stored."""
    (tmp_path / "plugins.py").write_text(
        textwrap.dedent(
            """
            known = []
            def keep(f): return lambda cls, **options: f(cls, **options)
            class Plugin:
                @classmethod
                @keep
                def __init_subclass__(cls, *, key):
                    known.append(cls.__name__)
                    cls.key = key
            """
        )
    )
    path = write(
        tmp_path,
        """
        import plugins
        class Mine(plugins.Plugin, key="k"): pass
        class Below(Mine, key="b"): pass
        mine = Mine()
        """,
        after="""
        hook = vars(plugins.Plugin)["__init_subclass__"]
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace).value
        assert back["mine"].key == "k" and plugins.known == ["Mine", "Below"]
        assert vars(plugins.Plugin)["__init_subclass__"] is hook and _written.modules == {"plugins"}
        """,
    )
    check(
        path,
        """
        mine.key == "k" and plugins.known == [] and Below.key == "b"
        type("New", (Mine,), {}, key=3).key == 3 and plugins.known == ["New"]
        """,
        path_entry=str(tmp_path),
    )


def test_a_scikit_learn_estimator_of_the_notebook(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    write(
        tmp_path,
        """
        import numpy as np
        from sklearn.base import BaseEstimator, TransformerMixin, clone
        class Shift(TransformerMixin, BaseEstimator):
            def __init__(self, by=1): self.by = by
            def fit(self, X, y=None, sample_weight=None): return self
            def transform(self, X): return X + self.by
        shift = Shift(by=3)
        """,
        after="""
        back = read(_file.getvalue(), (), kind="cell", globals=_namespace).value
        shift = clone(back["shift"])
        assert callable(shift.set_fit_request) and "Shift" in repr(shift)
        assert shift.fit_transform(np.zeros((2, 2)))[0, 0] == 3
        """,
    )
