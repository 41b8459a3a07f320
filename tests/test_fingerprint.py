"""Looks: the same value twice gives the same digest, another value gives another one, and nothing is changed by it."""

# ruff: noqa: E501  # tables of values and of changes read best one a line

from __future__ import annotations

import collections
import functools
import gc
import importlib
import io
import pickle
import random
import subprocess
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ckpt_magic.values import canonical, looking, sharing
from ckpt_magic.values.fingerprint import Look
from ckpt_magic.values.looking import look, look_at_all
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import pickling, references
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.placeholder import make_placeholder
from ckpt_magic.values.seen import Seen
from tests.work import calls

Values = Callable[[str], dict[str, Any]]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Values:
    """Run notebook code in a fresh `__main__`; gives its namespace."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(code: str) -> dict[str, Any]:
        exec(compile(code, "<cell>", "exec", dont_inherit=True), vars(main))
        return vars(main)

    return run


STABLE = """
1; 0.0; -0.0; float('nan'); 1j; 'text'; 'a\\ud800'; b'x'; True; None; ...; NotImplemented; range(3); 10 ** 5000; range(10 ** 40)
[]; [1, [2]]; {}; {'a': [1]}; set(); {1, 2, 'x'}; frozenset('ab'); (1, [2]); bytearray(b'x'); slice(1, 2)
cyclic(); [1] * 1000; {'k': {'k': {'k': [1]}}}; [[]] * 3; (lambda a: [a, a])([1])
collections.OrderedDict(a=1); collections.defaultdict(list, a=[1]); collections.Counter('hello'); collections.deque([1], 3)
collections.ChainMap({'a': 1}); array.array('d', [1.0]); io.StringIO('x'); io.BytesIO(b'x'); types.SimpleNamespace(a=[1])
datetime.datetime(2020, 1, 1); datetime.timedelta(1); decimal.Decimal('1.1'); fractions.Fraction(1, 3); pathlib.Path('a')
uuid.UUID(int=1); re.compile('a+'); zoneinfo.ZoneInfo('Europe/Rome'); ValueError('x'); random.Random(1); itertools.count(3)
iter([1, 2]); enumerate([1]); zip([1], [2]); map(str, [1]); reversed([1, 2]); {'a': 1}.keys(); types.MappingProxyType({'a': 1})
threading.Lock(); threading.RLock(); threading.Event(); queue.Queue(); logging.getLogger('x'); contextlib.nullcontext(1)
functools.partial(print, 1); [].append; str.upper; operator.itemgetter(1); math.sin; math; print; len; int; dict; ValueError
plain; lam; closed; closed2; gen_function; coro; Plain; Plain(); Plain().method; Slots(); Sub(); Data(1); Frozen(1); Color.RED; Color; Point(1, 2)
Typed(1); Abstract; WithList; WithList(); Meta; WithMeta(); Child(); Patched; Desc(); list[int]; typing.Optional[int]; typing.TypeVar('T')
np.arange(3); np.arange(3.)[::2]; np.array(5); np.zeros((0, 3)); np.array(['a']); np.array([1, 'x', None], dtype=object); np.float64(1)
np.zeros(2, dtype=[('a', 'i4'), ('b', 'f8')]); np.ma.array([1, 2], mask=[0, 1]); np.asfortranarray(np.eye(3)); np.broadcast_to(1, (3, 3))
np.datetime64('2020'); np.dtype('f8'); np.random.default_rng(1); np.random.RandomState(1); np.sin; np.nan
np.array([np.nan, -0.0]); np.zeros(200000); np.zeros(200000)[5:]; np.frombuffer(bytearray(8)); np.rec.array([(1, 2)]); np.poly1d([1, 2])
pd.DataFrame({'a': [1, 2], 'b': ['x', None]}); pd.Series([1, 2], name='n'); pd.Series(['a'], dtype=object); pd.Index([1, 2])
pd.DataFrame(); pd.date_range('2020', periods=3, tz='UTC'); pd.Timestamp('2020'); pd.NaT; pd.NA; pd.Categorical(['a', 'b'])
pd.MultiIndex.from_product([[1, 2], ['a']]); pd.array([1, None], dtype='Int64'); pd.interval_range(0, 3); pd.period_range('2020', periods=2)
pd.arrays.SparseArray([0, 1]); pd.Series(['a'], dtype='category'); pd.Series([pd.Timestamp('2020', tz='Europe/Rome')])
pd.DataFrame({'a': [1, 2]}).groupby('a'); pd.Series([1, 2]).rolling(2); pd.DataFrame({'o': [[1], {'a': 1}]}); pd.offsets.MonthEnd(2)
LinearRegression(); LinearRegression().fit(X, y); LogisticRegression().fit(X, c); RandomForestClassifier(3, random_state=0).fit(X, c)
make_pipeline(StandardScaler(), FunctionTransformer(plain)).fit(X); GradientBoostingClassifier(n_estimators=3).fit(X, c)
KMeans(2, n_init=1, random_state=0).fit(X); KNeighborsClassifier(1).fit(X, c); SVC().fit(X, c); sp.csr_matrix(np.eye(3)); sp.coo_matrix(np.eye(3))
HistGradientBoostingClassifier(max_iter=3).fit(X, c); figure; figure.axes[0]; pa.array([1, None]); pa.table({'a': [1], 's': ['x']})
pl.DataFrame({'a': [1, 2], 's': ['x', None]}); pl.Series([1.5]); pl.DataFrame({'a': [1]}).lazy()
"""

SETUP = """
import abc, array, collections, contextlib, datetime, decimal, enum, fractions, functools, io, itertools, logging, math, operator
import pathlib, queue, random, re, threading, types, typing, uuid, zoneinfo
from dataclasses import dataclass
import numpy as np, pandas as pd
def cyclic():
    a = []; a.append({'a': a}); return a
def plain(x=1): return x
lam = lambda x: x + 1
def make():
    n = []
    def inner(): n.append(1)
    def other(): return n
    return inner, other
closed, closed2 = make()
def gen_function(): yield 1
async def coro(): return 1
class Plain:
    def __init__(self): self.a = [1]
    def method(self): return self.a
class Slots:
    __slots__ = 'a', 'b'
    def __init__(self): self.a = [1]
class Sub(dict):
    def __init__(self): super().__init__(a=1); self.extra = [self]
@dataclass
class Data: x: int
@dataclass(frozen=True, order=True)
class Frozen: x: int
class Color(enum.Enum): RED = 1; BLUE = [2]
Point = collections.namedtuple('Point', 'x y')
class Typed(typing.NamedTuple): a: int; b: list = []
class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
Abstract.register(int)
class WithList: items = [1]
class Meta(type): registry = {}
class WithMeta(metaclass=Meta): pass
class Child(Plain):
    def __init__(self): super().__init__(); self.b = self.method
class Patched: pass
Patched.f = plain; Patched.me = Patched
class Desc:
    def __get__(self, a, b=None): return 1
"""
LIBRARIES = """
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.ensemble import RandomForestClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, FunctionTransformer
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
import scipy.sparse as sp, pyarrow as pa, polars as pl
from matplotlib.figure import Figure
X = np.arange(20.).reshape(10, 2); y = X.sum(axis=1); c = np.array([0, 1] * 5)
figure = Figure(); figure.subplots().plot([1, 2, 3], label='a')
"""


@pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support:DeprecationWarning")  # of itertools
def test_two_looks_at_the_same_value_are_equal(space: Values) -> None:
    """About 190 kinds of values: one that looks changed each time would be written by every step."""
    main = space(SETUP + LIBRARIES)
    kinds = [text.strip() for line in STABLE.strip().splitlines() for text in line.split("; ")]
    values = {text: eval(text, main) for text in kinds}
    first, second = look_at_all(values, main), look_at_all(values, main)
    alone = {text: look(value, main) for text, value in values.items()}
    assert len(values) > 150
    assert {text: seen.why for text, seen in first.items() if seen.digest is None} == {}
    assert [text for text in values if first[text].digest != second[text].digest] == []
    assert [text for text in values if first[text].digest != alone[text].digest] == []
    assert [
        text
        for text in values
        if list(map(type, first[text].met.values())) != list(map(type, alone[text].met.values()))
    ] == []


CHANGES = [
    ("v = [1]", "v.append(2)"),
    ("v = [1]", "v[0] = True"),
    ("v = [1.0]", "v[0] = 1"),
    ("v = [0.0]", "v[0] = -0.0"),
    ("v = 0.0", "v = -0.0"),
    ("v = 1", "v = True"),
    ("v = 'a'", "v = b'a'"),
    ("v = ('a', 1)", "v = ('a', 1.0)"),
    ("v = {'a': 1, 'b': 2}", "v['a'] = v.pop('a')"),
    ("v = [[1], [1]]", "v[1] = v[0]"),
    ("a = [1]; v = [a, a]", "v[1] = [1]"),
    ("v = {1, 2}", "v.add(3)"),
    ("v = bytearray(b'a')", "v[0] = 0"),
    ("import io; v = io.StringIO('ab')", "v.read(1)"),
    ("v = iter([1, 2])", "next(v)"),
    ("class D(dict): pass\nv = D()", "v.x = 1"),
    ("class L(list): pass\nv = L()", "v.x = 1"),
    ("class S:\n  __slots__ = 'a', 'b'\nv = S()", "v.b = 1"),
    ("class C: pass\nv = C()", "v.x = 1"),
    ("class C: pass\nv = C()\nclass B: pass", "v.__class__ = B"),
    ("class v: a = 1", "v.a = 2"),
    ("class v: a = [1]", "v.a.append(2)"),
    ("class v:\n  def f(self): return 1", "def f(self): return 2\nv.f = f"),
    ("class B: a = 1\nclass v(B): pass", "B.a = 2"),
    ("import abc\nclass v(abc.ABC): pass", "v.register(int)"),
    ("import typing\nclass v(typing.NamedTuple):\n  a: list = []", "v._field_defaults['a'].append(1)"),
    ("import enum\nclass v(enum.Enum): A = [1]", "v.A.value.append(2)"),
    ("def v(x=[]): pass", "v.__defaults__[0].append(1)"),
    ("def v(x=1): pass", "v.__defaults__ = (2,)"),
    ("def v(): return 1", "v.__code__ = (lambda: 2).__code__"),
    ("def v(): return 1", "v.a = 1"),
    ("def v(*, k=1): return 1", "v.__kwdefaults__['k'] = 2"),
    ("def m():\n  n = 0\n  def f():\n    nonlocal n\n    n += 1\n  return f\nv = m()", "v()"),
    ("def m(n):\n  return lambda: n\nv = m([1])", "v.__closure__[0].cell_contents.append(1)"),
    ("def m(n):\n  return lambda: n\nv = m(1)", "v.__closure__[0].cell_contents = 2"),
    ("import functools; v = functools.partial(print, [1])", "v.args[0].append(1)"),
    ("import numpy as np; v = np.zeros(5)", "v[1] = 1"),
    ("import numpy as np; v = np.zeros(500000)", "v[400000] = 1e-300"),
    ("import numpy as np; v = np.zeros(4)", "v.shape = 2, 2"),
    ("import numpy as np; v = np.zeros(4)", "v.flags.writeable = False"),
    ("import numpy as np; v = np.arange(4).reshape(2, 2)", "v = v.T.copy().T"),
    ("import numpy as np; v = np.zeros(4)", "v.dtype = 'i8'"),
    ("import numpy as np; v = np.zeros(3); w = v[1:]", "w[0] = 3"),
    ("import numpy as np; v = np.array([[1], 2], dtype=object)", "v[0].append(1)"),
    ("import numpy as np; v = np.array([np.nan])", "v.view('u8')[0] += 1"),
    ("import numpy as np; v = np.ma.array([1, 2])", "v[0] = np.ma.masked"),
    ("import numpy as np; v = np.random.default_rng(1)", "v.random()"),
    ("import numpy as np; v = np.random.RandomState(1)", "v.rand()"),
    ("import random; v = random.Random(1)", "v.random()"),
    ("import pandas as pd; v = pd.DataFrame({'a': [1]})", "v['b'] = 1"),
    ("import pandas as pd; v = pd.DataFrame({'a': [1]})", "v.loc[0, 'a'] = 2"),
    ("import pandas as pd; v = pd.DataFrame({'a': [1]})", "v.columns.name = 'x'; v.columns = v.columns"),
    ("import pandas as pd; v = pd.DataFrame({'a': [1]})", "v.attrs['x'] = 1"),
    ("import pandas as pd; v = pd.DataFrame({'a': [1]})", "v.flags.allows_duplicate_labels = False"),
    ("import pandas as pd; v = pd.DataFrame({'a': [[1]]})", "v.loc[0, 'a'].append(2)"),
    ("import pandas as pd; v = pd.DataFrame({'a': ['x', 'y']})", "v.loc[0, 'a'] = 'z'"),
    ("import pandas as pd; v = pd.Series(['a'], dtype='category')", "v = v.cat.add_categories('b')"),
    ("import pandas as pd, numpy as np; a = np.zeros((3, 1)); v = pd.DataFrame(a, copy=False)", "a[0, 0] = 1"),
    ("import pyarrow as pa, numpy as np; a = np.zeros(100); v = pa.array(a)", "a[0] = 1"),
    ("import numpy as np; b = bytearray(8); v = np.frombuffer(b)", "b[0] = 1"),
    ("import scipy.sparse as sp; v = sp.csr_matrix([[1.0]])", "v.data[0] = 2"),
    ("v = {'a': {'b': {'c': {'d': {'e': [1]}}}}}", "v['a']['b']['c']['d']['e'].append(1)"),
    ("import collections; v = collections.deque([1], 3)", "v.append(2)"),
    ("import collections; v = collections.OrderedDict(a=1, b=2)", "v.move_to_end('a')"),
    ("import collections; v = collections.defaultdict(list)", "v.default_factory = dict"),
    ("import threading; v = threading.Event()", "v.set()"),
    # as functions of cffi are of what says that it is a module
    ("import types\nclass L(list): __class__ = types.ModuleType; __name__ = 'l'\nl = L(); v = l.append", "l.append(1)"),
    ("v = ValueError(1)", "v.args = (2,)"),
    ("v = ValueError(1)", "v.note = 2"),
    *(
        ("from matplotlib.figure import Figure; f = Figure(); v = f.add_subplot(); l, = v.plot([1])", change)
        for change in (
            "l.set_color('C1')",
            "l.set_marker('o')",
            "l.set_markerfacecolor((0, 0, 1))",
            "import matplotlib.patheffects as p; l.set_path_effects([p.withStroke()])",
            "v.set_facecolor((0, 0, 1))",
            "v.set_prop_cycle(color=['r', 'g'])",
            "v.xaxis.get_major_formatter().set_powerlimits((-2, 2))",
            "v.set_yscale('log')",
            "f.add_axes([0, 0, 1, 1])",
        )
    ),
    ("from matplotlib.figure import Figure; v = Figure(); a, b = v.subplots(2)", "v.sca(a)"),
    *(
        (
            "from matplotlib.figure import Figure; f = Figure(); a = f.subplots(); l, m = a.plot([1], [1], [1], [1])\n"
            f"other = Figure(); n, = other.subplots().plot([1]); k = []; v = {made}",
            change,
        )
        for made, change in [
            ("l", "v = m"),
            ("l", "f.set_figwidth(9)"),
            ("l", "v.remove()"),
            ("f.subfigures(2)", "v[1].set_facecolor('C1')"),
            ("f.subfigures(2)[0].subplots()", "f.set_figwidth(9)"),
            ("[l, m]", "v.reverse()"),
            ("[l, m]", "v[0] = m"),
            ("[l, n]", "n.set_color('C1')"),
            ("[l, n]", "l.set_color('C1')"),
            ("(l, k)", "k.append(1)"),
            ("(l, k)", "f.set_figwidth(9)"),
            ("{'all': [l]}", "v['all'].append(m)"),
            ("{'all': [l]}", "m.set_gid(k)"),
            ("__import__('numpy').array([[a, l]])", "v[0, 1] = m"),
            ("a.bar([1], [2])", "l.set_data([2], [3])"),
        ]
    ),
]


@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype):DeprecationWarning")  # of newer numpy
@pytest.mark.parametrize(
    ("made", "change"), CHANGES, ids=[f"{change} ({number})" for number, (_, change) in enumerate(CHANGES)]
)
def test_a_change_is_seen(space: Values, made: str, change: str) -> None:
    """The worst fault of a look would be to call a changed value unchanged."""
    main = space(made)
    before = look(main["v"], main).digest
    main = space(change)
    after = look(main["v"], main).digest
    assert before is not None
    assert before != after


def test_a_name_for_another_definition_is_seen() -> None:
    seen = look(len, {})
    assert seen.is_name
    assert seen.is_same_object(len)
    assert not seen.is_same_object(print)


@pytest.mark.parametrize("nested", [lambda x: x, lambda x: [x], lambda x: {"a": (x,)}, lambda x: {"k": [1, {2: x}]}])
def test_placeholders_anywhere_are_lost_values_and_not_used(nested: Callable[[Any], Any]) -> None:
    used: list[str] = []
    value = nested(make_placeholder("conn", 1, "sqlite3.Connection", lambda name: used.append(name)))
    seen = look(value, {})
    assert seen.digest is None
    assert "lost when an earlier step was saved" in seen.why
    assert identity(used) not in seen.met  # what notes the uses reaches the whole session
    assert canonical.fingerprint(value) is None
    assert used == []


def test_what_cannot_be_pickled_has_a_reason_and_does_not_disturb_the_next_value() -> None:
    def generator() -> Iterator[int]:
        yield 1

    begun = generator()
    next(begun)
    values = {"a": [1], "g": [1, 2, begun], "b": [1], "m": threading.current_thread(), "c": [1]}
    looks = look_at_all(values, {})
    assert looks["g"].digest is None
    assert "generator" in looks["g"].why
    assert looks["m"].digest is None
    assert looks["a"].digest == looks["b"].digest == looks["c"].digest


def test_a_value_that_holds_what_a_library_owns_and_is_no_pickle_does_not_disturb_the_next_value() -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.held = threading.current_thread()  # type: ignore[attr-defined]
    logging.root.handlers.append(handler)
    try:
        for way in (look_at_all, lambda values, space: {name: look(one, space) for name, one in values.items()}):
            looks = way({"held": [logging.root.handlers], "module": np, "then": ("thread", [threading.Lock()])}, {})
            assert looks["held"].owned
            assert all(seen.is_comparable for seen in looks.values())
    finally:
        logging.root.handlers.remove(handler)


def test_the_home_of_a_function_of_numpy_is_found_once_a_module_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = np.frompyfunc(lambda x: x, 1, 1)
    assert references.home_of(nameless) == references.home_of(nameless) == ""
    module = types.ModuleType("a_home")
    vars(module)[nameless.__name__] = nameless
    monkeypatch.setitem(sys.modules, "a_home", module)
    assert references.home_of(nameless) == references.home_of(nameless) == "a_home"
    monkeypatch.delitem(sys.modules, "a_home")
    assert references.home_of(nameless) == ""


def test_scalars_of_numpy_are_told_by_type_value_and_identity() -> None:
    one = np.float64(1)
    values: list[Any] = [
        [one, np.float64(1), np.float64(1)],
        [one, one, np.float64(1)],
        [one, np.float64(1), one],
        [one, one, one],
        [one, np.float64(1), np.float32(1)],
        [one, np.float64(1), np.int64(1)],
        [one, np.float64(1), np.uint64(1)],
        [one, np.float64(1), 1.0],
        [one, np.float64(1), np.float64(-0.0)],
        [one, np.float64(1), np.float64(0.0)],
        [one, np.float64(1), np.bool_(True)],
        [one, np.float64(1), np.complex64(1)],
        [one, np.float64(1), np.datetime64(1, "s")],
        [one, np.float64(1), np.datetime64(1, "D")],
        [one, np.float64(1), 1],
        [one, np.float64(1), 2],
        [one, np.float64(1), b"float64" + one.tobytes()],
        [one, np.float64(1), "float64"],
    ]
    looks = [look(value, {}) for value in values]
    assert len({seen.digest for seen in looks}) == len(values)
    again = look_at_all(dict(enumerate(values)), {})
    assert [seen.digest for seen in looks] == [seen.digest for seen in again.values()]
    assert identity(one) in looks[0].met


def test_a_pickler_writes_again_after_a_reducer_raised() -> None:
    pickler = Look({})
    assert not pickler.look([threading.current_thread()]).is_comparable
    assert pickler.look([np, threading.Lock()]).is_comparable
    pickler.close()


def test_the_kernel_is_not_entered_on_the_way_through_the_connection_of_a_widget() -> None:
    from ipykernel.comm.comm import BaseComm

    seen = look([BaseComm(primary=False)], {})
    assert seen.why == "a part of the running kernel"
    assert len(seen.met) < 10


def test_what_the_class_of_a_library_holds_does_not_tie_objects_that_cannot_be_pickled() -> None:
    from traitlets import EventHandler
    from traitlets.config import LoggingConfigurable

    one, other = LoggingConfigurable(), LoggingConfigurable()
    one.shared = other.shared = [1]  # type: ignore[attr-defined]
    for each in (one, other):
        each.rows = (row for row in [each])  # type: ignore[attr-defined]
        next(each.rows)  # type: ignore[attr-defined]
    looks = look_at_all({"one": one, "other": other}, {})
    common = looks["one"].met.keys() & looks["other"].met.keys()
    assert identity(one.shared) in common  # type: ignore[attr-defined]
    assert not [ident for ident in common if isinstance(looks["one"].met[ident], EventHandler)]


def test_functions_of_numpy_are_found_without_a_walk_through_all_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    look([np.sin, np.cos], {})
    monkeypatch.setattr(references, "_imported", None)
    assert look(np.sin, {}).digest != look(np.cos, {}).digest


def test_a_function_of_numpy_without_a_name_is_refused_unless_a_library_owns_what_has_it() -> None:
    special = pytest.importorskip("scipy.special")
    if not hasattr(special, "legendre_p"):
        pytest.skip("this scipy has no such functions")
    assert "no module has under its name" in look(vars(special.legendre_p)["_ufunc_or_ufuncs"], {}).why
    assert look_at_all({"p": [special.legendre_p]}, {})["p"].owned[("scipy.special", "legendre_p")]


def test_user_code_that_raises_while_looked_at_makes_the_value_lost(space: Values) -> None:
    main = space(
        "class A:\n  def __getstate__(self): raise KeyError('mine')\n"
        "class B:\n  def __reduce__(self): raise SystemError('boom')\n"
        "class C:\n  def __reduce_ex__(self, p): return 5\n"
        "class E:\n  def __getattr__(self, name): raise RuntimeError(name)\n"
        "values = [A(), B(), C()]; e = E()"
    )
    for value in main["values"]:
        seen = look(value, main)
        assert seen.digest is None
        assert seen.why


def test_deep_nesting_is_lost_with_a_reason() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    seen = look(deep, {})
    assert seen.digest is None
    assert "RecursionError" in seen.why
    while deep:  # freeing it at once would recurse too
        deep = deep.pop()


def test_deep_nesting_does_not_kill_a_kernel_whose_user_raised_the_limit() -> None:
    code = (
        "import sys; sys.setrecursionlimit(10**7)\n"
        "from ckpt_magic.values.looking import look\n"
        "deep = []\nfor _ in range(10**6): deep = [deep]\n"
        "print(look(deep, {}).why, sys.getrecursionlimit(), flush=True)\nimport os; os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert "RecursionError" in done.stdout
    assert "10000000" in done.stdout


def test_a_look_changes_nothing(space: Values) -> None:
    main = space(SETUP)
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", "y"]})
    values: dict[str, Any] = {
        "l": [[1], {2: 3}],
        "f": frame,
        "p": main["Plain"](),
        "a": np.zeros(100_000),
        "b": bytearray(5),
    }
    random_state, numpy_state = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]
    counts = {name: sys.getrefcount(value) for name, value in values.items()}
    for seen in look_at_all(values, main).values():
        seen.forget()
    assert {name: sys.getrefcount(value) for name, value in values.items()} == counts
    assert random.getstate() == random_state
    assert np.random.get_state()[1].tobytes() == numpy_state  # type: ignore[index]
    values["b"].append(1)  # a buffer that is still exported could not grow
    values["a"].resize(10)
    assert vars(values["p"]) == {"a": [1]}


def test_neither_a_look_nor_a_save_asks_objects_for_attributes(space: Values) -> None:
    names = space("""
asked = []
class All:
    def __init__(self): self.n = [1]; self.held = self.go
    def __getattribute__(self, name): asked.append(name); return object.__getattribute__(self, name)
    def go(self): pass
class Missing:
    def __init__(self): self.n = [1]; self.go = function.__get__(self)
    def __getattr__(self, name): asked.append(name); raise AttributeError(name)
def function(self): pass
one, other = All(), Missing(); method = one.go
""")
    names["asked"].clear()
    values = {name: names[name] for name in ("one", "other", "method")}
    assert all(seen.digest for seen in look_at_all(values, names).values())
    pickling.write(pickling.Contents("cell", values), io.BytesIO(), namespace=names)
    assert names["asked"] == []


def test_a_mark_of_a_library_is_not_asked_for_attributes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`units` of pyomo imports pint when it is asked for any."""
    code = "def __getattribute__(self, name): asked.append(name); return object.__getattribute__(self, name)"
    (tmp_path / "a_library_of_marks.py").write_text(f"asked = []\nclass Later:\n {code}\nlater = Later()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module, file = importlib.import_module("a_library_of_marks"), io.BytesIO()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert look_at_all({"a": module.later}, {})["a"].digest
    pickling.write(pickling.Contents("cell", {"a": module.later}), file, namespace={})
    assert module.asked == []
    assert pickle.loads(file.getvalue())["a"] is module.later


def test_a_look_keeps_nothing_alive_once_it_forgot(space: Values) -> None:
    main = space("class Big: pass\nclass Bad:\n  def __reduce__(self): raise ValueError\n")
    values = {"big": main["Big"](), "bad": main["Bad"](), "array": np.zeros(10)}
    refs = [weakref.ref(value) for value in values.values()]
    looks = look_at_all(values, main)
    for seen in looks.values():
        seen.forget()
    values.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]


def test_what_a_generator_holds_is_met_although_it_cannot_be_pickled() -> None:
    items = [1]

    def walk(them: list[int]) -> Iterator[int]:
        yield from them

    assert identity(items) in look(walk(items), {}).met


def test_what_is_held_weakly_is_met() -> None:
    class Kept:
        pass

    kept = Kept()
    weak: Any = weakref.WeakValueDictionary(k=kept)
    for value in (weakref.ref(kept), weak, [weakref.ref(kept)], weakref.ref(kept, print)):
        seen = look(value, {})
        assert seen.digest is not None
        assert identity(kept) in seen.met
    finalizer = weakref.finalize(kept, print)
    assert look(finalizer, {}).digest is None
    finalizer.detach()


def test_numpy_scalars_have_no_memory() -> None:
    assert not look([np.float64(1), np.int8(2)], {}).spans


def test_bytes_between_the_fields_of_an_array_are_no_part_of_it() -> None:
    inner = np.dtype([("k", "u1"), ("v", "f8")], align=True)
    kind = np.dtype([("a", "u1"), ("b", "f8"), ("c", inner, (2,))], align=True)
    digests = set()
    for garbage in (7, 8):
        rows = np.empty(30, kind)
        rows.view("u1")[:] = garbage
        rows["a"], rows["b"], rows["c"]["k"], rows["c"]["v"] = 1, 2, 3, 4
        digests.add(look(rows, {}).digest)
    rows["c"]["v"][3] = 5
    assert len(digests) == 1
    assert look(rows, {}).digest not in digests


def test_arrays_inside_frames_are_guarded_and_others_are_not() -> None:
    frame = pd.DataFrame(
        {"t": pd.date_range("2020", periods=3), "n": [1, 2, 3], "k": pd.array([1, 2, 3], dtype="Int64")}
    )
    spans = look([frame, np.zeros(3)], {}).spans
    assert [bool(span.guard) for span in spans].count(False) == 1


# --- fingerprints: small values, equal in every kernel ---


def test_fingerprints_tell_types_and_order() -> None:
    values: list[Any] = [
        1, True, 1.0, 1j, "1", b"1", bytearray(b"1"), None, ..., [1], (1,), {1}, frozenset({1}), {1: 1}, [[1]], [1, 1], 0.0, -0.0,
        {"a": 1, "b": 2}, {"b": 2, "a": 1}, range(3), range(0, 3, 1), [], (), {}, "", b"", np.array([1]), np.array([1.0]),
        np.array([[1]]), np.float64(1), np.array(["a"]), 10**5000, ["a", "b"], ["ab"], [["a"], "b"],
    ]  # fmt: skip
    digests = [canonical.fingerprint(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values) - 1  # the two ranges are equal


def test_fingerprints_are_equal_in_every_kernel() -> None:
    value = "{'s': {'x', 'y', 'zz', 1.5}, 'l': [1, None, b'x', -0.0], 'a': __import__('numpy').arange(5)}"
    code = f"from ckpt_magic.values.canonical import fingerprint; print(fingerprint({value}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{canonical.fingerprint(eval(value))}\n"}


def test_fingerprints_tell_what_is_met_twice_from_its_equal() -> None:
    one, other = [1], [1]
    cyclic, again, longer = [1], [1], [1]
    for value, inner in [(cyclic, cyclic), (again, again), (longer, [1, longer])]:
        value.append(inner)  # type: ignore[arg-type]
    array, scalar = np.arange(3), np.float64(3)
    pairs = [[one, one], [one, other], [array, array], [array, array.copy()], {"a": one, "b": [one]}, cyclic, longer]
    digests = [canonical.fingerprint(value) for value in pairs]
    assert None not in digests and len({*digests}) == len(digests)
    assert canonical.fingerprint([other, other]) == digests[0]
    assert canonical.fingerprint(again) == digests[5]
    assert canonical.fingerprint([scalar, scalar]) == canonical.fingerprint([scalar, np.float64(3)])


class Lazy:
    """As xarray's datasets are: what it looks in is made when it is asked for an empty slot, as pickle does."""

    __slots__ = ("made", "empty")

    def __init__(self) -> None:
        self.made: Any = None

    def __getattr__(self, name: str) -> Any:
        self.made = {}
        raise AttributeError(name)


def test_the_first_look_sees_what_it_makes() -> None:
    value = Lazy()
    assert looking.look(value, {}).digest == looking.look(value, {}).digest


def test_what_is_large_deep_or_unknown_has_no_fingerprint() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    values: list[Any] = [
        deep,
        "x" * 100_000,
        b"x" * 100_000,
        list(range(100_000)),
        np.zeros(100_000),
        object(),
        len,
        [object()],
        np.finfo(float),
    ]
    assert [canonical.fingerprint(value) for value in values] == [None] * len(values)


# --- the record ---


def test_names_of_seen_are_documented() -> None:
    assert set(Seen.__slots__) == {
        "_ref",
        "_rest",
        "alone",
        "closed",
        "contents",
        "functions",
        "guarded",
        "held",
        "hidden",
        "is_comparable",
        "is_deep",
        "is_figure",
        "is_name",
        "is_small",
        "made",
        "met",
        "owned",
        "spans",
        "tree",
        "why",
    }
    assert isinstance(look(collections.OrderedDict(), {}), Seen)


def test_what_pandas_notes_while_it_is_read_is_no_change() -> None:
    pd = pytest.importorskip("pandas")
    parts = pd.DataFrame({"year": [2013, 2013], "month": [1, 1], "day": [1, 2]})
    frame = pd.DataFrame({"day": pd.to_datetime(parts), "late": [True, False]})
    before = looking.look(frame, {}).digest
    frame.groupby("day")["late"].mean(), frame["day"].dt.year, frame["day"].array.unit
    assert looking.look(frame, {}).digest == before
    frame["day"] += pd.Timedelta("1D")
    assert looking.look(frame, {}).digest != before


def test_an_empty_series_looks_as_it_did() -> None:
    main: dict[str, Any] = {}
    makers = Makers(main)
    series = pd.DataFrame({"a": [1]}, index=pd.Index([5], name="id"))[:0]["a"]
    one, other = (Look(main, None, makers).look(series) for _ in range(2))
    assert one.equals(other)


@pytest.mark.parametrize("more", ["", "names = []"])
def test_addresses_of_defaults_in_the_text_of_a_dataclass_are_no_part_of_it(space: Values, more: str) -> None:
    text = f"import dataclasses\n@dataclasses.dataclass\nclass D:\n    act: object = len\n    {more}"
    main = space(text)

    def digest(told: str) -> str | None:
        main["D"].__doc__ = f"D(act: object = <function {told}>)"
        return look(main["D"], main).digest

    assert digest("f at 0x7f0a") == digest("f at 0x7f0b") != digest("g at 0x7f0b")


def test_bits_that_say_of_each_arrow_element_that_it_is_there_count_only_when_one_is_not() -> None:
    """A restored array has none: Arrow leaves them out."""
    pa, np = pytest.importorskip("pyarrow"), pytest.importorskip("numpy")
    numbers = pa.py_buffer(np.arange(20.0))

    def digest(bits: Any, length: int = 19, offset: int = 0) -> str | None:
        buffers = [None if bits is None else pa.py_buffer(bits), numbers]
        array = pa.Array.from_buffers(pa.float64(), length, buffers, offset=offset)
        assert array.null_count >= 0  # counted now, and never again
        return looking.look(array, {}).digest

    full, other = np.full(3, 255, np.uint8), np.full(3, 255, np.uint8)
    other[2] = 0b1111  # of what comes after the last element nothing is read
    assert digest(full) == digest(other) == digest(None)
    assert digest(full[:2], 7, 5) == digest(None, 7, 5) != digest(None, 7)
    array = pa.Array.from_buffers(pa.float64(), 19, [pa.py_buffer(full), numbers])
    assert array.null_count == 0
    before = looking.look(array, {}).digest
    full[2] = 0b11
    assert looking.look(array, {}).digest not in (before, digest(None))
    other[0] = 254
    assert digest(other) != digest(None)
    nested = pa.array([[1.0], [2.0, 3.0]])
    assert looking.look(pickle.loads(pickle.dumps(nested)), {}).digest == looking.look(nested, {}).digest


def test_the_type_of_restored_texts_is_that_of_others() -> None:
    pd = pytest.importorskip("pandas")
    made = pd.DataFrame({"a": ["x"]}), pd.Series(["y"])
    restored = pickle.loads(pickle.dumps(made[0])), made[1]
    assert looking.look(made, {}).digest == looking.look(restored, {}).digest


def test_a_figure_is_what_it_shows_whatever_was_built_on_its_transforms_and_is_gone() -> None:
    """matplotlib lists by address what depends on a transform; garbage among it came and went between two looks."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    transforms = pytest.importorskip("matplotlib.transforms")
    figure, axes = pyplot.subplots()
    pyplot.close(figure)
    before = looking.look(figure, {}).digest
    built = [transforms.ScaledTranslation(1, 1, figure.dpi_scale_trans) + axes.transData for _ in range(3)]

    assert looking.look(figure, {}).digest == before
    axes.set_title("other")
    assert looking.look(figure, {}).digest != before
    del built


def test_small_arrays_are_told_apart_by_all_that_a_restore_brings_back() -> None:
    base = np.arange(6)
    fixed = base.copy()
    fixed.flags.writeable = False
    arrays: dict[Any, Any] = dict(enumerate((base, base + 1, base.reshape(2, 3).copy(), base.astype("u8"), fixed)))
    arrays |= {"f": base.astype(">i8"), "F": np.asfortranarray(base.reshape(2, 3)), "view": base[:], "0": np.array(5)}
    arrays |= {"bool": base > 2, "complex": base * 1j, "other 0": np.array(6), "byte": base.astype("i1"), "u": base > 3}
    looks = look_at_all(arrays, {})
    assert len({seen.digest for seen in looks.values()}) == len(arrays)
    assert all(
        seen.digest == look_at_all({0: arrays[name].copy("K")}, {})[0].digest
        for name, seen in looks.items()
        if name not in (4, "view")
    )
    assert [one.array is base for one in looks[0].spans] == [True]
    again = look_at_all({"a": base, "both": [base, base]}, {})
    assert all(any(one is base for one in seen.met.values()) for seen in again.values())


def test_an_array_that_numpy_warns_of_warns_who_writes_to_it_and_nobody_who_looks() -> None:
    array, _ = np.broadcast_arrays(np.arange(3), np.zeros((2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look_at_all({"array": array, "part": array[1:]}, {})
    with pytest.warns(DeprecationWarning, match="broadcast_arrays"):
        array[0, 0] = 7


@pytest.mark.parametrize(
    "made",
    [
        "v = [A, A, {A: A}, (A, [A])]",
        "class C: pass\nv = C(); v.kind = A; v.of = {A, 'other'}; w = [v, A]",
        "import collections; v = collections.deque([A, {'key': A}, A])",
        "v = {1: A * 100, 2: A * 100, 3: [A]}; v = [frozenset([A]), v, A]",
    ],
)
def test_which_of_equal_texts_are_one_object_is_no_difference(space: Values, made: str) -> None:
    def again(text: str) -> str:
        return text[:3] + text[3:]  # another object each time

    digests = []
    for write in ("'textual'", "again('textual')"):
        main = space("pass")
        main["again"] = again
        main = space(made.replace("A", write))
        digests.append(look(main["v"], {}).digest)
    assert digests[0] == digests[1] is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([["a"], "b"], [["a", "b"]]),
        ({"a": "b"}, {"b": "a"}),
        (["a", 0], [0, "a"]),
        (["a"], ["\ud8ff"]),
        (["a", "a"], ["a", "b"]),
    ],
)
def test_texts_are_told_apart(one: Any, other: Any) -> None:
    packs: list[Callable[[Any], Any]] = [lambda value: value, collections.deque, lambda value: (set(), value)]
    for pack in packs:
        assert look(pack(one), {}).digest != look(pack(other), {}).digest


def test_a_long_text_that_is_met_many_times_is_written_once() -> None:
    text = "t" * (1 << 20)
    several, one = [[text[:-1] + "t"] for _ in range(40)], [[text] for _ in range(40)]
    sizes = []
    for value in (several, one):
        seen = Look({})
        assert seen.look([set(), value]).digest == look([set(), several], {}).digest
        sizes.append(seen._written)
    assert sizes[0] == sizes[1] < 2 << 20


def parts_of_a_figure() -> dict[str, Any]:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots(2)
    lines = {f"line{at}": axes[0].plot([1, at])[0] for at in range(10)}
    return {"axes": axes, "figure": figure, **lines, "all": [*lines.values()], "bars": axes[1].bar([1], [2])}


def test_a_figure_is_looked_at_once_for_all_of_its_parts() -> None:
    names = parts_of_a_figure()
    once = calls(lambda: look(names["figure"], {}))
    assert calls(lambda: look_at_all(names, {})) < 2 * once
    assert calls(lambda: look(names["line0"], {})) < 1.5 * once


def test_parts_of_a_figure_share_all_of_it_and_none_is_taken_for_another() -> None:
    names = parts_of_a_figure()
    looks = look_at_all(names, {})
    assert len({seen.digest for seen in looks.values()}) == len(names)
    assert {name: seen.digest for name, seen in look_at_all(names, {}).items()} == {
        name: look(value, {}).digest for name, value in names.items()
    }
    parts = {identity(value) for value in names.values()} - {identity(names[name]) for name in ("axes", "all", "bars")}
    assert all(parts <= seen.met.keys() for seen in looks.values())
    assert all(identity(names[name]) in looks[name].met for name in names)
    links = sharing.links(looks, {})
    assert sharing.groups(links, names) == [sorted(names)]
    two = ("line0", "line1")
    alone = sharing.links({name: looks[name] for name in two}, {})
    assert sorted(alone.objects[two]) == sorted(links.among(two).objects[two])


def test_a_part_of_a_figure_beside_what_cannot_be_pickled_has_the_reason() -> None:
    names = parts_of_a_figure()
    both = names["line0"], (one for one in [1])
    next(both[1])
    seen = look_at_all({"first": names["line0"], "both": both, "then": names["line1"]}, {})
    assert seen["both"].digest is None
    assert "generator" in seen["both"].why
    assert identity(names["figure"]) in seen["both"].met
    assert seen["then"].digest == look(names["line1"], {}).digest


def test_the_callbacks_of_a_restored_figure_are_no_change_of_it(space: Values) -> None:
    main = space("from matplotlib.cbook import CallbackRegistry; v = CallbackRegistry()")
    before = look(main["v"], main).digest
    space("import pickle; v = pickle.loads(pickle.dumps(v))")  # which counts them on
    assert look(main["v"], main).digest == before is not None


def test_a_function_of_numba_is_told_by_what_it_is_made_of() -> None:
    numba = pytest.importorskip("numba")

    def made(more: int) -> Any:
        @numba.njit  # type: ignore[untyped-decorator]
        def add(x: int) -> int:
            return x + more

        return add

    one, other, third = made(1), made(1), made(2)
    assert look(one, {}).digest == look(other, {}).digest != look(third, {}).digest
    before = look(one, {}).digest
    one(1)
    assert look(one, {}).digest == before


def test_a_look_gives_a_partial_no_attributes() -> None:
    inner = functools.partial(max, 1)
    assert looking.look(inner, {}).digest is not None
    assert functools.partial(inner, 2).func is max, "one that has none is made part of another one"


class Column:
    """What a library makes for an attribute of a class, and reads by asking the class for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner

    def __reduce__(self) -> Any:
        return taken, (self.owner, self.name)


def taken(owner: type, name: str) -> Any:
    return getattr(owner, name)


def test_a_class_with_an_attribute_that_is_read_by_asking_it_is_refused(space: Values) -> None:
    made = space(f"from {__name__} import Column\nclass Row:\n    id = Column('id')\nrow = Row()")
    for name in ("Row", "row"):
        assert look(made[name], made).why == "the class Row, of which `id` is read by asking it"
