"""What `inspect` tells of restored definitions, in a real shell and a real kernel."""

from __future__ import annotations

import json

import pytest

from tests.conftest import RunCells, RunInFork

STEPS = [
    """%%step 1 --name p
import functools, dataclasses, inspect, enum
def plain(x):
    "doc"
    # a comment
    return x  # the end

def outer(n):
    def inner(m):
        return n + m
    class Local:
        def method(self):
            return n
    return inner, Local

short = lambda x: x + 1; pair = [lambda a: a, lambda b: b * 2]
nested, Local = outer(3)

def deco(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args)
    return wrapper

@deco
def wrapped(a,
            b=2):
    return a, b
""",
    """%%step 2 --name p
class Base:
    v = 1

    @property
    def prop(self):
        return self.v

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def free(): return 0
class Sub(Base):
    def own(self): return super().prop
@dataclasses.dataclass
class Data:
    n: int = 0
    def twice(self): return self.n * 2
class Kind(enum.Enum):
    A = 1
    def low(self): return self.name
@functools.lru_cache
def cached(x): return x
@functools.singledispatch
def single(x): return 'any'
@single.register
def of_int(x: int): return 'int'
def generator():
    yield 1
async def later():
    return 2
""",
    """%%step 3 --name p
%%time
def plain(x): return 'again'
Base.patched = lambda self: 'patched'
bound = Sub().own
part = functools.partial(plain, 1)
made = Local().method
""",
]
PROBE = """
def text(obj):
    try: return inspect.getsource(obj), inspect.getsourcelines(obj)[1]
    except (OSError, TypeError) as error: return type(error).__name__
of = dict(
    plain=plain, outer=outer, nested=nested, Local=Local, short=short, first=pair[0], second=pair[1], deco=deco,
    wrapped=wrapped, inside=wrapped.__wrapped__, wrapper=wrapped.__code__, Base=Base, prop=Base.prop.fget,
    make=Base.make, free=Base.free, Sub=Sub, own=Sub.own, Data=Data, twice=Data.twice, init=Data.__init__, Kind=Kind,
    low=Kind.low, cached=cached.__wrapped__, single=single, of_int=of_int, generator=generator, later=later,
    patched=Base.patched, bound=bound, part=part.func, made=made, method=Local.method)
texts = {name: text(obj) for name, obj in of.items()}
classes = 'Local', 'Base', 'Sub', 'Data', 'Kind'
docs = {name: (inspect.getdoc(obj), name not in classes and inspect.getcomments(obj)) for name, obj in of.items()}
signatures = {name: str(inspect.signature(obj)) for name, obj in of.items() if name not in ('wrapper', 'part')}
"""
READ = "import json; print(json.dumps([texts, docs, signatures]))"


@pytest.mark.parametrize("start", [2, 3, 4])
def test_a_shell_tells_the_same_sources(run_in_fork: RunInFork, start: int) -> None:
    full = run_in_fork(["%ckpt_start none", *STEPS, PROBE, READ]).cells[-1]["text"]
    for again in (start, "end"):
        restored = run_in_fork(["'the cells have other numbers'", f"%ckpt_start {again}", *STEPS, PROBE, READ])
        assert restored.cells[-1]["text"] == full
        assert [cell["text"].count("restored") for cell in restored.cells[2:5]] == [
            int(again == "end" or step < start) for step in (1, 2, 3)
        ]
    known = {name for name, found in json.loads(full)[0].items() if isinstance(found, list)}
    assert {"nested", "short", "wrapped", "inside", "method", "own", "of_int", "later", "bound"} <= known
    assert "plain" not in known  # nobody knows the source of what ran under %%time


def test_a_kernel_tells_the_same_sources(run_cells: RunCells) -> None:
    full, restored = (run_cells([f"%ckpt_start {start}", *STEPS, PROBE, READ]) for start in ("none", "end"))
    told, expected = ("".join(one.text for one in done.cells[-1].outputs) for done in (restored, full))
    assert told == expected  # on a busy machine a text comes in pieces
    assert "def inner(m):" in expected


def test_a_function_that_calls_what_its_cell_imports_has_its_source(run_in_fork: RunInFork) -> None:
    """IPython compiles statement by statement: without the import beside it, the call is compiled in another way."""
    cells = [
        "%%step 1 --name p\nimport json\ndef alone(x): return json.dumps(x)",
        "import inspect; inspect.getsource(alone)",
    ]
    full = run_in_fork(["%ckpt_start none", *cells]).cells[-1]["text"]
    restored = run_in_fork(["'the cells have other numbers'", "%ckpt_start end", *cells]).cells[-1]["text"]
    assert restored.partition("]")[2] == full.partition("]")[2]
    assert "json.dumps" in full
