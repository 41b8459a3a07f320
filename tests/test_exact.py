"""At any start point, the rest of the notebook cannot tell a restored step from one that ran.

Every scenario is a pipeline for `pipelines.Server`: run in full, then restored and continued at every start point.
"""

# ruff: noqa: E501  # cells are text of a notebook

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipelines import Pipeline, Server

SCENARIOS: dict[str, Pipeline] = {}


def scenario(name: str, text: str, *, runs: dict[int, str] | None = None, differs: str = "") -> None:
    """Add a pipeline to the table."""
    assert name not in SCENARIOS
    SCENARIOS[name] = Pipeline(text, runs or {}, frozenset(differs.split()))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


# --- names ---

scenario(
    "names are created, rebound, deleted and created again",
    """
%%step 1
a = [1]; b = [2]; c = 3
%%step 2
del a
b = [b, 4]
%%step 3
a = ['again']; del c
%%step 4
c = 'c' in globals(), a, b
""",
)
scenario(
    "a function deletes a global",
    """
%%step 1
a, b = [1], [2]
def drop():
    global a
    del a
%%step 2
drop()
b.append('a' in globals())
%%step 3
b.append('a' in globals())
%%step 4
a = b
""",
)
scenario(
    "names are bound by walrus, loops, with, except, match, comprehensions",
    """
%%step 1
import contextlib
total = [last := y for y in range(4)]
for i, (j, k) in enumerate([(1, [2]), (3, [4])]): pass
%%step 2
with contextlib.nullcontext([k]) as w: pass
try: 1 / 0
except ZeroDivisionError as error: message = str(error)
%%step 3
match {'p': [k], 'q': 2}:
    case {'p': found, **rest}: pass
%%step 4
k.append(5)
seen = w, found, rest, last, 'error' in globals()
""",
)
scenario(
    "a function binds globals, exec and globals() do",
    """
%%step 1
def setup():
    global made
    made = [1]
setup()
%%step 2
exec('executed = [made]')
globals()['by_key'] = made
%%step 3
import sys
setattr(sys.modules['__main__'], 'by_attribute', executed)
made.append(2)
%%step 4
all_same = by_key is made and by_attribute[0] is made
""",
)
scenario(
    "names come by a star import and import a.b",
    """
%%step 1
from os.path import *
import xml.dom.minidom
import os.path as osp
%%step 2
where = join('a', 'b')
import xml.etree.ElementTree as ET
tree = ET.fromstring('<a><b/></a>')
%%step 3
dom = xml.dom.minidom.parseString('<a/>').documentElement.tagName
import importlib
name = osp.basename(where)
%%step 4
children = [child.tag for child in tree]
""",
)
scenario(
    "a builtin is shadowed and comes back",
    """
%%step 1
len_before = len([1])
def len(x): return 42
%%step 2
shadowed = len([1])
%%step 3
del len
%%step 4
after = len([1])
""",
)
scenario(
    "annotations of the module",
    """
%%step 1
x: int = 3
%%step 2
y: str
z: list = [x]
%%step 3
seen = dict(__annotations__)
""",
)
scenario(
    "the order of names is the order of their making",
    """
%%step 1
z = [1]; a = [2]; m = [3]
%%step 2
a.append(z)
b = 1
%%step 3
del z
order = [n for n in globals() if len(n) == 1]
%%step 4
z = 0
order2 = [n for n in globals() if len(n) == 1]
%%step 5
m.append(1)
""",
)
scenario(
    "a hundred variables of which one changes",
    """
%%step 1
for i in range(100): globals()[f'v{i}'] = [i]
%%step 2
v57.append(1)
%%step 3
s = sum(len(globals()[f'v{i}']) for i in range(100))
""",
)
scenario(
    "a name is rebound to an equal object",
    """
%%step 1
a = [1, 2]; b = a
%%step 2
a = [1, 2]
%%step 3
b.append(3)
%%step 4
a.append(4)
""",
)
scenario(
    "names are rebound to other atoms of equal value",
    """
%%step 1
a, b, c, d = 1, 0.0, True, 'x'
%%step 2
a, b, c, d = 1.0, -0.0, 1, b'x'
%%step 3
t = type(a), str(b), c is True, d
""",
)

# --- changes in place ---

scenario(
    "every mutator of a list",
    """
%%step 1
a = [3, 1, 2]; b = list(a); c = list(a); d = list(a); e = list(a); f = list(a); g = list(a)
%%step 2
a.append(1); b.extend([1]); c.insert(0, 1); d.pop(); e.remove(3); f.sort(); g.reverse()
%%step 3
a += [5]; b *= 2; c[0] = 'x'; d[:] = []; del e[0]; f.clear(); g[::2] = [0] * 2
""",
)
scenario(
    "every mutator of a dict, order too",
    """
%%step 1
a = dict(x=1, y=2, z=3); b = dict(a); c = dict(a); d = dict(a); e = dict(a); f = dict(a)
%%step 2
a['x'] = a.pop('x'); b.update(x=1, w=2); c.setdefault('q', []); d.popitem(); e |= {'y': 5}; f.clear()
%%step 3
c['q'].append(1); del d['x']; d['x'] = 1
""",
)
scenario(
    "the order of a dict changes and nothing else",
    """
%%step 1
a = dict(x=1, y=2)
%%step 2
x = a.pop('x'); a['x'] = x
%%step 3
keys = list(a)
""",
)
scenario(
    "sets change",
    """
%%step 1
a = {1, 2}; b = {1, 2}; c = {1, 2, 3}; d = frozenset([1]); e = set()
%%step 2
a.add(3); b ^= {2, 5}; c.discard(2); d |= {4}; e.update({1, 2})
%%step 3
c.pop(); e.remove(1); e.add(e is a)
""",
)
scenario(
    "bytearray, array and deque change",
    """
%%step 1
import array, collections
a = bytearray(b'abc'); b = array.array('d', [1, 2]); c = collections.deque([1, 2, 3], maxlen=3)
%%step 2
a[0] = 120; b.append(3.0); c.append(4)
%%step 3
a += b'!'; b[0] = 9; c.rotate(1)
%%step 4
c.appendleft(5)
""",
)
scenario(
    "the dict family changes",
    """
%%step 1
from collections import OrderedDict, defaultdict, Counter, ChainMap
o = OrderedDict(a=1, b=2); d = defaultdict(list); c = Counter('hello'); m = ChainMap({'a': 1}, {'b': 2})
%%step 2
o.move_to_end('a'); d['k'].append(1); c['x'] += 1; m['c'] = 3
%%step 3
d['k'].append(2); c.subtract('h'); m.maps[1]['b'] = 4; o.popitem(last=False)
%%step 4
d['new']; m2 = m.new_child(); m2['z'] = 1
""",
)
scenario(
    "string and bytes buffers with a position",
    """
%%step 1
import io
s = io.StringIO('one\\ntwo\\nthree'); b = io.BytesIO(b'123456')
%%step 2
first = s.readline(); b.seek(2)
%%step 3
second = s.readline(); b.write(b'XX')
%%step 4
rest = s.read(), b.getvalue(), b.tell()
""",
)
scenario(
    "subclasses of containers with attributes",
    """
%%step 1
class L(list): pass
class D(dict): pass
class S(set): pass
l, d, s = L([1]), D(a=1), S([1])
%%step 2
l.note = ['x']; d.note = l.note; s.note = 1
%%step 3
l.note.append('y'); l.append(2); del s.note
%%step 4
same = d.note is l.note
""",
)
scenario(
    "a change five levels deep and a list inside a tuple",
    """
%%step 1
deep = {'a': [{'b': ([{'c': [1]}],)}]}
t = (1, [2], {'k': []})
%%step 2
deep['a'][0]['b'][0][0]['c'].append(2)
%%step 3
t[1].append(3); t[2]['k'].append(t)
%%step 4
inner = deep['a'][0]['b'][0][0]['c']
""",
)
scenario(
    "heapq and bisect work in place",
    """
%%step 1
import heapq, bisect
h = [5, 3, 8]; s = [1, 3]
%%step 2
heapq.heapify(h); bisect.insort(s, 2)
%%step 3
x = heapq.heappop(h); heapq.heappush(h, 1)
""",
)
scenario(
    "a change through a function, a method, an alias and a default",
    """
%%step 1
log = []
def note(x, into=log): into.append(x)
class Box:
    def __init__(self): self.items = log
    def put(self, x): self.items.append(x)
box = Box()
%%step 2
note(1); box.put(2)
%%step 3
alias = box.items; alias.append(3)
%%step 4
note(4); ok = log is alias is box.items is note.__defaults__[0]
""",
)

# --- sharing ---

scenario(
    "an object of step 1 in a container of step 3, changed through it in step 4",
    """
%%step 1
a = [1]
%%step 2
other = [0]
%%step 3
box = {'a': a, 'o': [other]}
%%step 4
box['a'].append(2)
%%step 5
a.append(3); box['o'][0].append(a)
""",
)
scenario(
    "a member is replaced by an equal object held elsewhere",
    """
%%step 1
x = [1]; y = [1]; box = [x]
%%step 2
box[0] = y
%%step 3
y.append(2)
%%step 4
x.append(3)
""",
)
scenario(
    "sharing is broken and made without any other change",
    """
%%step 1
a = [[1], [1]]; b = [a[0], a[0]]
%%step 2
b[1] = a[1]
%%step 3
a[1].append(2)
%%step 4
c = b[0] is a[0], b[1] is a[1]
""",
)
scenario(
    "shared objects without a name",
    """
%%step 1
def pair():
    hidden = []
    return {'h': hidden}, [hidden]
p, q = pair()
%%step 2
p['h'].append(1)
%%step 3
r = [q[0]]
del p
%%step 4
r[0].append(2)
""",
)
scenario(
    "cycles within and across variables",
    """
%%step 1
a = []; a.append(a)
n = {'next': None}; m = {'next': n}
%%step 2
n['next'] = m
class Node: pass
p, q = Node(), Node()
p.other, q.other = q, p
%%step 3
p.value = [1]; m['v'] = a
%%step 4
q.other.value.append(q)
""",
)
scenario(
    "bound methods and partials share their object",
    """
%%step 1
import functools
items = [1]
class T:
    def __init__(self): self.got = []
    def take(self, x): self.got.append(x)
t = T()
%%step 2
add = items.append; take = t.take; part = functools.partial(t.take, 'p'); part2 = functools.partial(print, items)
%%step 3
add(2); take(1); part()
%%step 4
part2.args[0].append(3); ok = take.__self__ is t, add.__self__ is items
""",
)
scenario(
    "objects as keys and members by identity",
    """
%%step 1
class K: pass
k1, k2 = K(), K()
d = {k1: 'one'}; s = {k1, k2}
%%step 2
d[k2] = [k1]
%%step 3
k1.x = 5; s.discard(k2)
%%step 4
got = d[k1], d[k2][0] is k1, k1 in s, k2 in s
""",
)
scenario(
    "an alias broken by rebinding, and a deleted alias",
    """
%%step 1
a = b = c = [1]
%%step 2
b = list(b)
%%step 3
del c
a.append(2)
%%step 4
b.append(3)
""",
)
scenario(
    "a name points into a structure that then lets go of it",
    """
%%step 1
tree = {'left': {'v': [1]}, 'right': {'v': [2]}}
left = tree['left']
%%step 2
tree['left'] = tree.pop('right')
%%step 3
left['v'].append(3)
%%step 4
tree['left']['v'].append(4)
""",
)
scenario(
    "tuples that hold mutable objects are shared",
    """
%%step 1
t = ([1], 2); u = [t]
%%step 2
v = (t, t)
%%step 3
t[0].append(5)
%%step 4
ok = v[0] is t and u[0] is t
""",
)
scenario(
    "weak references",
    """
%%step 1
class W: pass
w = W(); w.v = [1]
%%step 2
other = [w]
%%step 3
w.v.append(2)
""",
)

# --- functions ---

scenario(
    "globals of a function are looked up live",
    """
%%step 1
def f(): return k * 2
def g(): return f() + 1
%%step 2
k = 4
first = g()
%%step 3
k = 10
%%step 4
second = g(), f.__globals__ is globals()
""",
)
scenario(
    "mutual recursion across steps",
    """
%%step 1
def even(n): return True if n == 0 else odd(n - 1)
%%step 2
def odd(n): return False if n == 0 else even(n - 1)
%%step 3
r = even(10), odd(7)
%%step 4
def odd(n): return 'redefined'
r2 = even(3)
""",
)
scenario(
    "mutable defaults and attributes of functions",
    """
%%step 1
def f(x, seen=[]):
    seen.append(x); f.calls = getattr(f, 'calls', 0) + 1
    return seen
%%step 2
f(1)
alias = f.__defaults__[0]
%%step 3
f(2); f.tag = {'a': alias}
%%step 4
got = f(3) is alias, f.calls
""",
)
scenario(
    "closures with nonlocal state shared by two functions",
    """
%%step 1
def make():
    n, log = 0, []
    def up():
        nonlocal n
        n += 1; log.append(n)
        return n
    def get(): return n, log
    return up, get
up, get = make()
%%step 2
up()
%%step 3
up(); held = get()[1]
%%step 4
up(); out = get(), held is get()[1]
""",
)
scenario(
    "only one of two closures is touched by name",
    """
%%step 1
def make():
    n = 0
    def up():
        nonlocal n
        n += 1
    def get(): return n
    return up, get
up, get = make()
%%step 2
up()
%%step 3
x = get()
%%step 4
up(); y = get()
""",
)
scenario(
    "decorators with state and registration",
    """
%%step 1
import functools
registry = {}
def register(f):
    registry[f.__name__] = f
    return f
def count(f):
    @functools.wraps(f)
    def inner(*a):
        inner.calls += 1
        return f(*a)
    inner.calls = 0
    return inner
%%step 2
@register
def one(): return 1
@count
def two(x): return x
%%step 3
two(5); two(6); registry['one'].note = []
%%step 4
ok = registry['one'] is one, two.calls, two.__wrapped__.__name__, two.__name__
""",
)
scenario(
    "an old function is held while it is redefined",
    """
%%step 1
def f(): return 'old'
held = [f]
%%step 2
def f(): return 'new'
%%step 3
both = held[0](), f()
%%step 4
held.append(f); same = held[1] is f
""",
)
scenario(
    "lambdas, generator functions and async functions",
    """
%%step 1
lam = lambda x: x + k
def gen(n):
    for i in range(n): yield i * k
async def co(): return k
%%step 2
k = 3
table = {'lam': lam, 'gen': gen}
%%step 3
import asyncio
got = list(table['gen'](3)), lam(1), asyncio.run(co())
%%step 4
same = table['lam'] is lam, table['gen'] is gen
""",
)
scenario(
    "functools: lru_cache that is empty, singledispatch, total_ordering",
    """
%%step 1
import functools
@functools.total_ordering
class V:
    def __init__(self, n): self.n = n
    def __eq__(self, o): return self.n == o.n
    def __lt__(self, o): return self.n < o.n
%%step 2
a, b = V(1), V(2)
%%step 3
less = a < b, a >= b, max(a, b) is b
""",
)
scenario(
    "a function is given new code and defaults",
    """
%%step 1
def f(x=1): return x
def g(x=2): return x * 100
%%step 2
f.__code__ = g.__code__
%%step 3
f.__defaults__ = (7,)
%%step 4
r = f()
""",
)
scenario(
    "getsource works on a restored function",
    """
%%step 1
def f(x):
    return x + 1  # a comment
%%step 2
y = f(1)
%%step 3
import inspect
text = inspect.getsource(f)
""",
)
scenario(
    "a function that holds an object of a later step",
    """
%%step 1
def f(): return f.data
%%step 2
data = [1]
f.data = data
%%step 3
f().append(2)
%%step 4
data.append(3); ok = f() is data
""",
)

# --- classes ---

scenario(
    "instances from several steps are of the one live class",
    """
%%step 1
class C:
    def __init__(self, v): self.v = v
a = C(1)
%%step 2
b = C(2)
%%step 3
c = C(3)
%%step 4
ok = type(a) is type(b) is type(c) is C, isinstance(a, C)
""",
)
scenario(
    "a class attribute is changed in a later step",
    """
%%step 1
class C:
    kind = 'old'
    def hi(self): return self.kind
a = C()
%%step 2
b = C()
%%step 3
C.kind = 'new'
%%step 4
c = C()
said = a.hi(), b.hi(), c.hi(), type(a) is type(b) is type(c) is C
""",
)
scenario(
    "a mutable class attribute",
    """
%%step 1
class C:
    seen = []
    def __init__(self): self.seen.append(len(self.seen))
a = C()
%%step 2
b = C()
%%step 3
alias = C.seen
c = C()
%%step 4
alias.append('x'); ok = a.seen is alias
""",
)
scenario(
    "a method is patched in",
    """
%%step 1
class C:
    def hi(self): return 'hi'
a = C()
%%step 2
def hello(self): return 'hello'
C.hi = hello
%%step 3
r = a.hi(), C.hi is hello
%%step 4
a.own = lambda: 'own'
r2 = a.own()
""",
)
scenario(
    "a class is redefined while old instances live",
    """
%%step 1
class C:
    v = 1
old = C()
%%step 2
class C:
    v = 2
new = C()
%%step 3
r = old.v, new.v, isinstance(old, C), isinstance(new, C)
%%step 4
Old = type(old); third = Old(); ok = type(third) is type(old)
""",
)
scenario(
    "a class is defined again by identical code",
    """
%%step 1
class C:
    v = 1
a = C()
%%step 2
class C:
    v = 1
b = C()
%%step 3
r = isinstance(a, C), isinstance(b, C), type(a) is type(b)
%%step 4
a.x = 1
""",
)
scenario(
    "a class without a name",
    """
%%step 1
def make():
    class Local:
        items = []
        def add(self, x): self.items.append(x)
    return Local()
a = make()
%%step 2
b = type(a)()
%%step 3
a.add(1)
%%step 4
ok = b.items, type(a) is type(b)
""",
)
scenario(
    "inheritance across steps with super()",
    """
%%step 1
class A:
    def __init__(self): self.log = ['A']
class Mixin:
    def mix(self): return 'mix'
%%step 2
class B(A, Mixin):
    def __init__(self):
        super().__init__(); self.log.append('B')
b = B()
%%step 3
class C(B):
    def __init__(self):
        super().__init__(); self.log.append('C')
c = C()
%%step 4
A.extra = 5
ok = isinstance(c, A), c.log, B.__mro__[1] is A, c.extra, c.mix()
""",
)
scenario(
    "slots, properties, descriptors, class and static methods",
    """
%%step 1
class D:
    def __get__(self, obj, owner=None): return 'got' if obj is not None else self
    def __set__(self, obj, value): obj.hidden = value
class S:
    __slots__ = ('a', 'b', 'hidden')
    d = D()
    @property
    def total(self): return self.a + self.b
    @total.setter
    def total(self, v): self.a = v
    @classmethod
    def make(cls): s = cls(); s.a = s.b = 1; return s
    @staticmethod
    def st(): return 'st'
s = S.make()
%%step 2
s.total = 10
%%step 3
s.d = [s.total]
%%step 4
r = s.d, s.hidden, S.st(), S.make().total, hasattr(s, '__dict__')
""",
)
scenario(
    "dataclasses",
    """
%%step 1
from dataclasses import dataclass, field, replace, fields
@dataclass
class P:
    x: int
    tags: list = field(default_factory=list)
@dataclass(frozen=True, order=True)
class F:
    n: int = 0
p = P(1); f = F(2)
%%step 2
q = replace(p, x=5)
%%step 3
p.tags.append('t')
%%step 4
r = q.tags is p.tags, F(1) < f, {f: 1}[F(2)], [x.name for x in fields(P)], p == P(1, ['t'])
""",
)
scenario(
    "enums and named tuples",
    """
%%step 1
import enum, collections, typing
class Color(enum.Enum):
    RED = 1
    BLUE = 'b'
    def low(self): return self.name.lower()
class Flag(enum.Flag):
    A = enum.auto(); B = enum.auto()
Point = collections.namedtuple('Point', 'x y')
class Typed(typing.NamedTuple):
    a: int
    b: list = []
c = Color.RED; pt = Point(1, [2])
%%step 2
t = Typed(1, [5]); by = {Color.RED: 'r', Flag.A | Flag.B: 'ab'}
%%step 3
pt.y.append(3)
%%step 4
r = c is Color.RED, by[Color('b')] if Color('b') in by else None, by[Color.RED], c.low(), type(pt) is Point, Typed(1).b
""",
)
scenario(
    "abstract classes with virtual subclasses, metaclass registries, __init_subclass__",
    """
%%step 1
import abc
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Base:
    known = []
    def __init_subclass__(cls, **kw): super().__init_subclass__(**kw); Base.known.append(cls.__name__)
%%step 2
class Square(Shape):
    def area(self): return 4
class Circle: pass
Shape.register(Circle)
class One(Base): pass
%%step 3
class Two(Base): pass
sq = Square()
%%step 4
r = isinstance(Circle(), Shape), isinstance(sq, Shape), list(Base.known)
""",
)
scenario(
    "a singleton and a class that counts its instances",
    """
%%step 1
class Single:
    _one = None
    def __new__(cls):
        if cls._one is None: cls._one = super().__new__(cls)
        return cls._one
class Counted:
    n = 0
    def __init__(self): Counted.n += 1
%%step 2
s = Single(); x = Counted()
%%step 3
y = Counted(); t = Single()
%%step 4
r = s is t is Single(), Counted.n
""",
)
scenario(
    "an instance changes its class and its dict",
    """
%%step 1
class A: v = 'a'
class B: v = 'b'
x = A(); y = A()
%%step 2
x.__class__ = B
%%step 3
y.__dict__['k'] = [x]
%%step 4
x.__dict__.update(y=y); r = x.v, type(x) is B
""",
)
scenario(
    "getstate, setstate, reduce of the user",
    """
%%step 1
class G:
    def __init__(self): self.data = [1]; self.cache = {}
    def __getstate__(self): return {'data': self.data}
    def __setstate__(self, s): self.__dict__.update(s); self.cache = {}
class R:
    def __init__(self, v): self.v = v
    def __reduce__(self): return R, (self.v,)
g, r = G(), R([1])
%%step 2
g.data.append(2); alias = r.v
%%step 3
alias.append(3)
%%step 4
out = g.data, r.v is alias
""",
)
scenario(
    "an exception class and its instances",
    """
%%step 1
class Oops(ValueError):
    def __init__(self, code): super().__init__(code); self.code = code
%%step 2
try: raise Oops([5])
except Oops as e: kept = e.code; kind = type(e)
%%step 3
kept.append(kind is Oops)
%%step 4
err = Oops(1); ok = isinstance(err, kind)
""",
)

# --- numpy ---

scenario(
    "arrays change in place, by operator, out=, slices and functions",
    """
%%step 1
import numpy as np
a = np.arange(10.); b = np.zeros(5); c = np.arange(6).reshape(2, 3); d = np.array([3, 1, 2])
%%step 2
a += 1; np.add(b, 2, out=b); c[0, :] = 9; d.sort()
%%step 3
a[2:4] *= 2; np.multiply(c, 2, out=c); d.fill(7); np.put(b, [0], 5)
%%step 4
c.shape = 3, 2; a[a > 5] = 0
""",
)
scenario(
    "views across variables and steps",
    """
%%step 1
import numpy as np
x = np.arange(20000.)
%%step 2
y = x[100:200]
%%step 3
z = y[::2]; y += 1
%%step 4
x[104] = -1; r = y[4], z[2], np.shares_memory(x, z)
""",
)
scenario(
    "views of a base without a name",
    """
%%step 1
import numpy as np
a, b = np.split(np.arange(12.), 2); c = np.arange(12).reshape(3, 4)[1:]
%%step 2
a[0] = 100; d = c[:, 1]
%%step 3
d[:] = -1
%%step 4
r = c.sum(), a, np.shares_memory(c, d)
""",
)
scenario(
    "overlapping views of a base without a name",
    """
%%step 1
import numpy as np
def pair():
    base = np.arange(30000.)
    return base[:20000], base[10000:]
a, b = pair()
%%step 2
a[15000] = -1.0
%%step 3
r = b[5000]
%%step 4
b[0] = 7.0; r2 = a[10000]
""",
)
scenario(
    "negative strides, transposed, dtype views, fields, 0-d, broadcast",
    """
%%step 1
import numpy as np
a = np.arange(12.).reshape(3, 4); rec = np.zeros(3, dtype=[('x', 'i4'), ('y', 'f8')])
%%step 2
back = a[::-1, ::-1]; t = a.T; bits = a.view('u8'); field = rec['y']; zero = a[0, 0, ...]; wide = np.broadcast_to(a[0], (5, 4))
%%step 3
a[0, 0] = 77; field[1] = 5
%%step 4
r = back[-1, -1], t[0, 0], bits[0, 0], zero[()], wide[3, 0], rec['y'][1]
""",
)
scenario(
    "views inside objects and containers",
    """
%%step 1
import numpy as np
class M: pass
m = M(); m.w = np.zeros(10); box = {'v': m.w[2:4]}
%%step 2
box['v'][:] = 5
%%step 3
m.w *= 2; other = [box['v'].reshape(2, 1)]
%%step 4
other[0][0] = -1; r = m.w[2]
""",
)
scenario(
    "flags: read-only, Fortran order",
    """
%%step 1
import numpy as np
f = np.asfortranarray(np.arange(6.).reshape(2, 3)); r = np.arange(3); big = np.arange(100000.)
r.flags.writeable = False
%%step 2
f[0, 1] = 9; big.flags.writeable = False; v = big[5:10]
%%step 3
ok = f.flags.f_contiguous, r.flags.writeable, big.flags.writeable, v.flags.writeable
r = r.copy(); r[0] = 9
%%step 4
big.flags.writeable = True; big[6] = -1; seen = v[1]
""",
)
scenario(
    "object arrays with shared elements",
    """
%%step 1
import numpy as np
inner = [1]
o = np.array([inner, {'a': inner}, None, 2.5], dtype=object)
%%step 2
o[2] = o[0]
%%step 3
inner.append(2)
%%step 4
p = o[:2]; p[0].append(3)
""",
)
scenario(
    "a view of an object array",
    """
%%step 1
import numpy as np
o = np.array([[1], [2], [3]], dtype=object).ravel()
%%step 2
v = o[:2]
%%step 3
v[0] = 'changed'
%%step 4
r = o[0]
""",
)
scenario(
    "masked and structured arrays",
    """
%%step 1
import numpy as np
m = np.ma.array([1., 2., 3.], mask=[0, 1, 0]); s = np.array([(1, 'a')], dtype=[('n', 'i4'), ('s', 'U3')])
%%step 2
m[0] = np.ma.masked; s['n'][0] = 5
%%step 3
m.mask[1] = False; data = m.data
%%step 4
data[2] = 99; r = m.sum()
""",
    runs={
        3: "could not be saved",
        4: "`data`",
    },  # numpy writes a masked array as bytes: it would be cut off from its view
)
scenario(
    "generators and random states shared by several owners",
    """
%%step 1
import numpy as np
g = np.random.default_rng(5); rs = np.random.RandomState(3); owner = {'g': g, 'rs': rs}
%%step 2
x = g.random(); y = owner['rs'].rand()
%%step 3
z = owner['g'].random(), rs.rand()
%%step 4
bits = g.bit_generator; w = g.random(), owner['g'] is g
""",
)
scenario(
    "a large array is written through a view only",
    """
%%step 1
import numpy as np
big = np.zeros(300000); holder = [big[1000:2000]]
def touch(): holder[0][5] += 1
%%step 2
touch()
%%step 3
s = big.sum()
%%step 4
big[1005] = 10; s2 = holder[0][5]
""",
)
scenario(
    "a bytearray under an array",
    """
%%step 1
import numpy as np
b = bytearray(16); a = np.frombuffer(b, dtype='u1')
%%step 2
b[0] = 7
%%step 3
r = a[0]
%%step 4
a[1] = 9; r2 = b[1]
""",
)

# --- pandas ---

scenario(
    "columns are added, dropped, renamed in place",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'a': [1, 2, 3], 'b': [1.5, 2.5, 3.5], 'c': ['x', 'y', 'z']})
%%step 2
df['d'] = df.a * 2
%%step 3
df.drop(columns='b', inplace=True); df.rename(columns={'a': 'A'}, inplace=True)
%%step 4
df.loc[0, 'A'] = 100; df.columns.name = 'cols'
%%step 5
df.sort_values('d', ascending=False, inplace=True); df.insert(0, 'first', 0)
""",
)
scenario(
    "a frame under two names and inside objects",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2]}); same = df
class H: pass
h = H(); h.frame = df
%%step 2
same['b'] = [3, 4]
%%step 3
h.frame.loc[0, 'a'] = 9; s = df['a']
%%step 4
df.loc[1, 'a'] = 8; r = list(s), h.frame is df
""",
)
scenario(
    "copy-on-write behaves as before",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2, 3], 'b': [4, 5, 6]}); part = df[['a']]; row = df.iloc[0:2]; s = df['b']
%%step 2
df.loc[0, 'a'] = 100
%%step 3
row.iloc[0, 1] = -1
%%step 4
s.iloc[2] = 77; r = df.values.tolist(), part.values.tolist(), row.values.tolist(), s.tolist()
""",
)
scenario(
    "all kinds of columns",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'cat': pd.Categorical(['a', 'b', 'a']), 'tz': pd.date_range('2020', periods=3, tz='Europe/Rome'),
    'n': pd.array([1, None, 3], dtype='Int64'), 's': pd.array(['x', None, 'z'], dtype='string'), 'o': [[1], {'a': 1}, None],
    'p': pd.period_range('2020-01', periods=3, freq='M'), 'i': pd.interval_range(0, 3), 'b': pd.array([True, None, False], dtype='boolean')})
%%step 2
df['cat'] = df['cat'].cat.add_categories('c'); df.loc[1, 'n'] = 7
%%step 3
df.loc[0, 'o'].append(2); df.loc[1, 's'] = 'y'; item = df.loc[0, 'o']
%%step 4
item.append(3); df.attrs['note'] = item; df.flags.allows_duplicate_labels = False
""",
)
scenario(
    "MultiIndex, index names, sparse",
    """
%%step 1
import pandas as pd, numpy as np
mi = pd.MultiIndex.from_product([['a', 'b'], [1, 2]], names=['k', 'n'])
df = pd.DataFrame({'v': np.arange(4.)}, index=mi); sp = pd.Series(pd.arrays.SparseArray([0, 0, 1, 0]))
%%step 2
df.loc[('a', 1), 'v'] = 50; df.index.names = ['K', 'N']
%%step 3
u = df.unstack('N'); g = df.groupby('K').sum()
%%step 4
u.iloc[0, 0] = -1; t = df.reset_index()
""",
)
scenario(
    "an array under a frame",
    """
%%step 1
import pandas as pd, numpy as np
a = np.arange(40000.).reshape(20000, 2); df = pd.DataFrame(a, copy=False, columns=['x', 'y'])
%%step 2
a[0, 0] = 99
%%step 3
r = df.iloc[0, 0]
%%step 4
a[1, 1] = 55; r2 = df.iloc[1, 1]
""",
)
scenario(
    "Arrow data over an array",
    """
%%step 1
import pandas as pd, numpy as np, pyarrow as pa
a = np.arange(20000.); t = pa.array(a)
%%step 2
a[0] = 42
%%step 3
r = t[0].as_py()
%%step 4
t2 = t.slice(5); n = len(t2)
""",
    differs="t t2",
)
scenario(
    "groupby, rolling and a series with a function",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'k': list('aabb'), 'v': [1., 2, 3, 4]})
def scale(x): return x * factor
%%step 2
factor = 3
out = df.groupby('k').v.transform(scale)
%%step 3
factor = 5; df['w'] = df.v.map(scale)
%%step 4
roll = df.v.rolling(2).mean()
""",
)

# --- scikit-learn, scipy ---

scenario(
    "an estimator is refitted through a function",
    """
%%step 1
import numpy as np
from sklearn.linear_model import LinearRegression, SGDClassifier
X = np.arange(20.).reshape(10, 2); y = X.sum(axis=1)
model = LinearRegression()
def fit(m): return m.fit(X, y)
%%step 2
fit(model)
%%step 3
y = -y
fit(model); coefs = model.coef_
%%step 4
p = model.predict(X[:2]); coefs *= 2; q = model.predict(X[:2])
""",
)
scenario(
    "partial_fit, pipelines, a shared random state, a forest",
    """
%%step 1
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, FunctionTransformer
rs = np.random.RandomState(0); X = rs.rand(30, 3); y = (X[:, 0] > .5).astype(int)
def twice(a): return a * 2
sgd = SGDClassifier(random_state=rs)
%%step 2
sgd.partial_fit(X, y, classes=[0, 1]); pipe = make_pipeline(StandardScaler(), FunctionTransformer(twice), sgd)
%%step 3
sgd.partial_fit(X, y); forest = RandomForestClassifier(5, random_state=rs).fit(X, y)
%%step 4
pipe.fit(X, y); r = pipe.predict(X), forest.predict_proba(X), pipe.steps[-1][1] is sgd, sgd.random_state is rs
""",
)
scenario(
    "sparse matrices",
    """
%%step 1
import scipy.sparse as sp, numpy as np
m = sp.csr_matrix(np.eye(4)); data = m.data
%%step 2
data[0] = 5
%%step 3
m[1, 1] = 7; l = m.tolil()
%%step 4
l[0, 3] = 1; s = m.sum()
""",
)

# --- chance and surroundings ---

scenario(
    "random numbers, seeded or not",
    """
%%step 1
import random, numpy as np
random.seed(7); np.random.seed(8); a = random.random(), np.random.rand()
%%step 2
b = random.gauss(0, 1), np.random.randn()
%%step 3
c = 'no draw'
%%step 4
d = random.random(), np.random.rand(), random.gauss(0, 1), np.random.randn()
""",
)
scenario(
    "a random generator of its own",
    """
%%step 1
import random
r = random.Random(1); rr = [r]
%%step 2
a = r.random()
%%step 3
b = rr[0].random(); items = list(range(9)); r.shuffle(items)
""",
)
scenario(
    "surroundings that a step changes",
    """
%%step 1
import os, sys, warnings, decimal, tempfile
import numpy as np, pandas as pd
os.environ['CKPT_TEST_A'] = '1'; sys.path.append('/nowhere'); decimal.getcontext().prec = 5
%%step 2
warnings.filterwarnings('ignore', message='nothing'); np.set_printoptions(precision=3); pd.set_option('display.max_rows', 7)
%%step 3
os.chdir('/'); sys.setrecursionlimit(2000)
%%step 4
seen = os.environ['CKPT_TEST_A'], str(decimal.Decimal(1) / 3), str(np.array([1 / 3])), os.getcwd()
""",
)

# --- unmarked cells ---

scenario(
    "unmarked cells between steps",
    """
%%
import collections
%%step 1
a = [1]
%%
a.append('unmarked'); factor = 3
%%step 2
b = [x for x in a]; c = factor
%%
d = {'a': a}
%%step 3
a.append(len(d)); e = d
%%
d['late'] = 1
%%step 4
f = e is d, a
""",
)
scenario(
    "an unmarked cell changes what the next step holds",
    """
%%step 1
import numpy as np
data = np.zeros(5); cfg = {'n': 1}
%%
data[0] = 1
cfg['n'] += 1
%%step 2
data[1] = 2; m = cfg
%%step 3
data[2] = cfg['n']
""",
)
scenario(
    "an unmarked cell defines what steps use",
    """
%%
def f(x): return x * scale
scale = 2
class C: pass
%%step 1
a = f(2); c = C()
%%
scale = 5
%%step 2
b = f(2); d = C()
%%step 3
ok = type(c) is C, type(d) is C, f(1)
""",
)

# --- iterators ---

scenario(
    "iterators at their position, sharing their container",
    """
%%step 1
import itertools
items = [1, 2, 3, 4]; it = iter(items); done = iter([]); list(done); d = {'a': 1, 'b': 2}
%%step 2
first = next(it); e = enumerate(items); c = itertools.count(5); z = zip(items, 'abcd')
%%step 3
items.append(5); second = next(it), next(e), next(c), next(z)
%%step 4
rest = list(it), list(e), list(z), next(c), list(done)
""",
)
scenario(
    "views of dicts",
    """
%%step 1
d = {'a': 1}; keys = d.keys(); values = d.values()
%%step 2
d['b'] = 2
%%step 3
seen = list(keys), list(values)
%%step 4
d['c'] = 3; n = len(keys)
""",
)
scenario(
    "locks, events and queues that are free",
    """
%%step 1
import threading, queue
lock = threading.Lock(); event = threading.Event(); q = queue.Queue()
class Safe:
    def __init__(self): self.lock = lock; self.n = 0
    def up(self):
        with self.lock: self.n += 1
safe = Safe()
%%step 2
safe.up(); q.put([1]); event.set()
%%step 3
safe.up(); got = q.get_nowait(); same = safe.lock is lock
%%step 4
ok = event.is_set(), q.empty(), lock.acquire(blocking=False); lock.release()
""",
)

# --- what cannot be saved ---

scenario(
    "a generator makes its step run again",
    """
%%step 1
def gen():
    yield from [1, 2, 3]
a = [1]
%%step 2
g = gen()
%%step 3
a.append(2)
""",
    runs={2: "could not be saved"},
    differs="g",
)
scenario(
    "a result is shown, and shares with a variable",
    """
%%step 1
a = [1]
a
%%step 2
b = {'a': a}
[a, b]
%%step 3
a.append(2)
len(a)
%%step 4
a
""",
)
scenario(
    "a result holds what no name holds",
    """
%%step 1
import numpy as np
a = np.arange(10)
a[2:4]
%%step 2
a[2] = 50
[x := 5, {'n': None}]
%%step 3
a
""",
)

scenario(
    "functions of random and numpy.random under names of their own",
    """
%%step 1
from random import random, choice, seed
from numpy.random import rand, randint
import numpy.random as nr, random as rr
seed(3); nr.seed(4); a = random(), rand()
%%step 2
b = choice(range(1000)), randint(1000)
%%step 3
nr.seed(9); rr.seed(9); c = random(), rand()
%%step 4
d = choice(range(1000)), randint(1000), rr.random(), nr.rand()
""",
)
scenario(
    "a generator holds a list that a later step changes",
    """
%%step 1
a = [1]
def gen(items):
    while True: items.append(len(items)); yield len(items)
%%step 2
g = gen(a)
%%step 3
a.append('x')
%%step 4
n = next(g), list(a)
""",
    runs={2: "could not be saved", 3: "`g`", 4: "`g`"},
)
scenario(
    "frames over one memory stay apart, with dates too",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'t': pd.date_range('2020', periods=5), 'n': np.arange(5), 'k': pd.array([1, 2, 3, 4, None], dtype='Int64'),
    'c': pd.Categorical(list('abcab'))})
part = df.iloc[1:4]; frames = [df[['t']], df[['n', 'k']], df['t']]
%%step 2
df.loc[2, 't'] = pd.Timestamp('1999'); part.iloc[0, 1] = 77
%%step 3
frames[0].iloc[1, 0] = pd.Timestamp('1888'); df.loc[1, 'k'] = 9; df.loc[0, 'c'] = 'b'
%%step 4
r = part.values.tolist(), frames[0].values.tolist(), frames[2].tolist(), df.values.tolist()
""",
)
scenario(
    "views of object arrays, two-dimensional and of a frame",
    """
%%step 1
import pandas as pd, numpy as np
o = np.array([[1, [2]], [{'a': 3}, 'x']], dtype=object); row = o[1]; col = o[:, 0]; back = o[::-1, ::-1]; t = o.T
%%step 2
row[1] = 'new'; col[0] = 'c'
%%step 3
o[0, 1].append(5); back[0, 0] = None
%%step 4
t[0, 0] = 'last'; r = o.tolist(), row.tolist(), col.tolist(), back.tolist()
""",
)
scenario(
    "two arrays and an array.array over one buffer",
    """
%%step 1
import numpy as np, array
b = array.array('d', [1, 2, 3, 4]); x = np.frombuffer(b); y = x[1:3]; back = x[::-1]
%%step 2
b[1] = 50
%%step 3
y[1] = -1; r = x[1], b[2], back[1]
%%step 4
back[0] = 9; ok = b[3]
""",
)
scenario(
    "a class attribute refers to an array and a frame column to a list",
    """
%%step 1
import numpy as np, pandas as pd
class M:
    w = np.zeros(4)
m = M()
%%step 2
view = M.w[1:3]; n = M()
%%step 3
view[0] = 5
%%step 4
r = m.w[1], n.w is m.w is M.w
""",
)
scenario(
    "very large numbers, NaN and surrogates",
    """
%%step 1
big = 10 ** 6000; nan = float('nan'); s = 'a\\ud800'; r = range(10 ** 30); nz = -0.0; l = [big]
%%
cfg = 10 ** 5000
%%step 2
l.append(nan); t = l[1] is nan; u = cfg % 7
%%step 3
big += 1; x = str(nz), len(s)
""",
)
scenario(
    "a cyclic list in an unmarked cell",
    """
%%
cyc = []; cyc.append(cyc); deep = []
for _ in range(300): deep = [deep]
%%step 1
n = len(cyc)
%%step 2
m = cyc[0] is cyc, len(deep)
%%step 3
k = n + 1
""",
)
scenario(
    "names that only a function reads or writes",
    """
%%step 1
count = 0; history = []
def tick():
    global count
    count += 1; history.append(count)
    return count
%%step 2
tick(); tick()
%%step 3
ticks = [tick() for _ in range(3)]
%%step 4
r = count, history
""",
)
scenario(
    "an object moves from one container to another",
    """
%%step 1
a = [[1], [2]]; b = []
%%step 2
b.append(a.pop())
%%step 3
a.append(b[0])
%%step 4
b[0].append(3); r = a, b
""",
)
scenario(
    "the same closure cell in functions of several steps",
    """
%%step 1
def outer():
    state = {'n': 0}
    def inc(): state['n'] += 1; return state['n']
    def make():
        def dec(): state['n'] -= 1; return state['n']
        return dec
    return inc, make
inc, make = outer()
%%step 2
dec = make()
%%step 3
inc(); inc()
%%step 4
r = dec(), inc()
""",
)
scenario(
    "a decorator class, a context manager, a callable instance",
    """
%%step 1
class Memo:
    def __init__(self, f): self.f, self.memo = f, {}
    def __call__(self, x):
        if x not in self.memo: self.memo[x] = self.f(x)
        return self.memo[x]
@Memo
def square(x): return x * x
%%step 2
square(3)
%%step 3
table = square.memo; square(4)
%%step 4
table[9] = 'planted'; r = square(9)
""",
)
scenario(
    "properties, class and static methods are patched",
    """
%%step 1
class C:
    def __init__(self): self._v = [1]
    @property
    def v(self): return self._v
c = C()
%%step 2
C.w = property(lambda self: self._v * 2)
%%step 3
C.make = classmethod(lambda cls: cls()); d = C.make()
%%step 4
c.v.append(2); r = c.w, d.w, type(d) is C, isinstance(c, C)
""",
)
scenario(
    "a subclass is patched through its base of another step",
    """
%%step 1
class A:
    tags = ['a']
%%step 2
class B(A): pass
b = B()
%%step 3
A.tags.append('t'); A.new = 5
%%step 4
r = b.tags, b.new, B.tags is A.tags, isinstance(b, A)
""",
)
scenario(
    "enum members, and an attribute set on one",
    """
%%step 1
import enum
class E(enum.Enum):
    A = 1
    B = [2]
x = E.A; boxes = {E.A: [1]}
%%step 2
y = [E.A, E.B]
%%step 3
boxes[E.A].append(2)
%%step 4
r = y[0] is x is E.A, E([2]) is E.B, E.B.value
""",
)
scenario(
    "a method held while its class is replaced",
    """
%%step 1
class C:
    def m(self): return 'old'
c = C(); m = c.m; f = C.m
%%step 2
class C:
    def m(self): return 'new'
%%step 3
r = m(), f(c), C().m()
%%step 4
m.__self__.x = [1]; ok = c.x
""",
)
scenario(
    "time zones, dates, paths and patterns are shared freely",
    """
%%step 1
import datetime, zoneinfo, pathlib, re, decimal, fractions, uuid
tz = zoneinfo.ZoneInfo('Europe/Rome'); now = datetime.datetime(2020, 1, 1, tzinfo=tz); p = pathlib.Path('a') / 'b'
rx = re.compile('a+'); d = decimal.Decimal('1.10'); f = fractions.Fraction(1, 3); u = uuid.UUID(int=5)
%%step 2
later = now + datetime.timedelta(days=1); q = p.parent; all_ = [tz, now, p, rx, d, f, u]
%%step 3
r = later.utcoffset(), q / 'c', rx.findall('aa'), d + 1, f * 2
""",
)
scenario(
    "a loop variable and a comprehension leave a shared object",
    """
%%step 1
rows = [{'n': i} for i in range(3)]
for row in rows: row['sq'] = row['n'] ** 2
%%step 2
row['last'] = True; first, *rest = rows
%%step 3
rest[-1]['x'] = [first]
%%step 4
r = rows[-1]['x'][0] is rows[0], row is rows[2]
""",
)
scenario(
    "defaultdict and Counter with a factory of the notebook",
    """
%%step 1
from collections import defaultdict
def factory(): return {'made': len(groups)}
groups = defaultdict(factory); nested = defaultdict(lambda: defaultdict(list))
%%step 2
groups['a']['x'] = 1; nested['p']['q'].append(1)
%%step 3
g = groups['b']; n = nested['p']['z']
%%step 4
n.append(5); g['y'] = groups['c']
""",
)
scenario(
    "the step's own result and Out are no names",
    """
%%step 1
a = {'k': [1]}
a['k']
%%step 2
a['k'].append(2)
a
%%step 3
b = a['k']
(b, a)
""",
)
scenario(
    "a submodule is imported in a later step",
    """
%%step 1
import os
import xml
%%step 2
import xml.sax.saxutils
e = xml.sax.saxutils.escape('<')
%%step 3
f = xml.sax.saxutils.escape('>')
""",
)
scenario(
    "numpy scalars in containers tie nothing",
    """
%%step 1
import numpy as np
a = [np.float64(1.5), np.int8(2)]; b = [np.float64(2.5)]; m = np.datetime64('2020-01-01')
%%step 2
a.append(np.bool_(True)); c = {np.int64(5): np.str_('x')}
%%step 3
b[0] += 1; t = type(b[0]), type(a[2])
""",
)

scenario(
    "a __getstate__ that draws random numbers",
    """
%%step 1
import random, numpy as np
random.seed(1); np.random.seed(1)
class G:
    def __init__(self): self.v = 1
    def __getstate__(self): random.random(); np.random.rand(); return self.__dict__
g = G()
%%step 2
a = random.random(), np.random.rand()
%%step 3
g.v = 2; b = random.random(), np.random.rand()
%%step 4
c = random.random(), np.random.rand()
""",
)
scenario(
    "two frames and an array over one memory",
    """
%%step 1
import numpy as np, pandas as pd
a = np.zeros((1000, 2)); d1 = pd.DataFrame(a, copy=False); d2 = pd.DataFrame(a, copy=False)
%%step 2
a[0, 0] = 5
%%step 3
r = d1.iloc[0, 0], d2.iloc[0, 0]
""",
    runs={1: "could not be saved", 2: "`a`"},
)
scenario(
    "a view of a frame that cannot be written, and a second frame",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'x': [1., 2., 3.], 'y': [4., 5., 6.]}); v = df['x'].to_numpy(); d2 = df[['x', 'y']]
%%step 2
df.loc[0, 'x'] = 100
%%step 3
r = v.tolist(), d2.x.tolist()
%%step 4
d2.loc[1, 'y'] = 7; s = df.y.tolist()
""",
    differs="(memory)",  # the view and the frame were let go of by `df`: neither can tell
)
scenario(
    "instances of one class do not bring each other along",
    """
%%step 1
class C:
    def __init__(self, v): self.v = v
a = [C(i) for i in range(3)]; b = C(5)
%%step 2
b.v = 6
%%step 3
a[0].v = b.v
%%step 4
r = type(a[0]) is type(b) is C
""",
)
scenario(
    "a string and a tuple of constants are shared by code and data",
    """
%%step 1
def f(): return (1, 2, 'a long constant'), 'text'
t = f()
%%step 2
u = f()
%%step 3
same = t[0] is u[0], t == u
""",
    differs="same",  # whether equal constants are one object is up to Python
)
scenario(
    "a dict subclass with attributes that point back",
    """
%%step 1
class Config(dict):
    def __getattr__(self, name):
        try: return self[name]
        except KeyError: raise AttributeError(name)
    def __setattr__(self, name, value): self[name] = value
cfg = Config(lr=0.1, sub=Config(n=[1]))
%%step 2
cfg.sub.n.append(2); n = cfg.sub.n
%%step 3
cfg.lr = 0.2; cfg['back'] = cfg
%%step 4
n.append(3); r = cfg.back.sub.n
""",
)
scenario(
    "sets of instances and frozen dataclasses",
    """
%%step 1
from dataclasses import dataclass
@dataclass(frozen=True)
class P: x: int; y: tuple = ()
pts = {P(1), P(2)}; d = {P(1): [1]}
%%step 2
pts.add(P(3, (1,))); d[P(2)] = d[P(1)]
%%step 3
d[P(2)].append(2)
%%step 4
r = P(3, (1,)) in pts, d[P(1)]
""",
)
scenario(
    "generic classes, protocols, type variables",
    """
%%step 1
from typing import Generic, TypeVar, Protocol, runtime_checkable
T = TypeVar('T')
class Stack(Generic[T]):
    def __init__(self): self.items: list[T] = []
    def push(self, x: T) -> None: self.items.append(x)
@runtime_checkable
class Sized2(Protocol):
    def push(self, x): ...
s = Stack[int]()
%%step 2
s.push(1)
class Sub(Stack[str]): pass
%%step 3
t = Sub(); t.push('x')
%%step 4
r = isinstance(s, Sized2), isinstance(t, Stack), Stack.__parameters__[0] is T, str(Sub.__orig_bases__)
""",
    differs="Stack Sized2",  # identity of tuples of type variables; `__orig_bases__` of a protocol
)
scenario(
    "cached_property, __getattr__, __eq__ that lies",
    """
%%step 1
import functools
class H:
    def __init__(self): self.data = [1, 2]
    @functools.cached_property
    def total(self): return sum(self.data)
    def __eq__(self, other): return True
    __hash__ = None
h = H()
%%step 2
t = h.total
%%step 3
h.data.append(3); k = [H()]; k[0].data = h.data
%%step 4
r = h.total, h == 5, k[0].total
""",
)
scenario(
    "an exception with a traceback, kept",
    """
%%step 1
errors = []
def fail(x):
    try: raise ValueError(x)
    except ValueError as e: errors.append(e)
fail([1])
%%step 2
errors[0].args[0].append(2)
%%step 3
msg = str(errors[0]); n = len(errors)
""",
)
scenario(
    "global state of a class hierarchy is counted",
    """
%%step 1
class Base:
    count = 0
    registry = {}
    def __init_subclass__(cls): Base.registry[cls.__name__] = cls
    def __init__(self): type(self).count += 1
class A(Base): pass
%%step 2
class B(Base): pass
a = A()
%%step 3
b1, b2 = B(), B()
%%step 4
r = A.count, B.count, Base.count, Base.registry['B'] is B, Base.registry['A'] is A, isinstance(b1, Base)
""",
)
scenario(
    "numpy arrays resized, swapped and sorted by index",
    """
%%step 1
import numpy as np
a = np.arange(6); b = np.arange(6)[::-1].copy()
%%step 2
a.resize((2, 3)); a, b = b, a
%%step 3
a.sort(); b[:, [0, 1]] = b[:, [1, 0]]
%%step 4
c = a[np.argsort(b, axis=None)]; a.partition(2); np.random.default_rng(0).shuffle(b)
""",
)
scenario(
    "large arrays are mapped, and written after a restore",
    """
%%step 1
import numpy as np
big = np.arange(500_000.); other = big.reshape(500, 1000)
%%step 2
small = big[:10].copy(); big[0] = -1
%%step 3
other[1, 0] = -2; total = big.sum()
%%step 4
other *= 2; same = np.shares_memory(big, other); r = big[1000]
""",
)
scenario(
    "concat, merge, pivot, query over steps",
    """
%%step 1
import pandas as pd, numpy as np
l = pd.DataFrame({'k': [1, 2, 3], 'v': list('abc')}); r = pd.DataFrame({'k': [2, 3, 4], 'w': [1., 2., 3.]})
%%step 2
m = l.merge(r, how='outer'); l['z'] = np.arange(3)
%%step 3
c = pd.concat([l, r]).reset_index(drop=True); l.index = list('xyz'); q = m.query('k > 1')
%%step 4
q = q.assign(n=1); m.iloc[0, 1] = 'changed'; p = c.pivot_table(index='k', values='w', aggfunc='sum')
""",
)
scenario(
    "an unmarked cell between uses what a step changed in place",
    """
%%step 1
d = {'n': 0}; hist = []
%%
hist.append(d['n'])
%%step 2
d['n'] += 1
%%
hist.append(d['n'])
%%step 3
d['n'] += len(hist)
%%
hist.append(d['n'])
""",
)

scenario(
    "frames made from each other over steps",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'c': pd.Categorical(list('aba')), 's': list('xyz'), 'k': pd.array([1, None, 3], dtype='Int64'), 'f': [1., 2., 3.]})
%%step 2
part = df[['c', 'k']]; head = df.head(2); s = df['s']; cats = df['c'].cat.categories
%%step 3
df.loc[0, 's'] = 'new'; part.loc[1, 'k'] = 5; head.iloc[0, 3] = -1
%%step 4
s.iloc[1] = 'changed'; df['c'] = df['c'].cat.rename_categories({'a': 'A'}); r = part.c.tolist(), df.s.tolist(), list(cats)
""",
)
scenario(
    "an extension array under a frame and alone",
    """
%%step 1
import pandas as pd
arr = pd.array([1, 2, None], dtype='Int64'); df = pd.DataFrame({'k': arr}, copy=False); cat = pd.Categorical(list('ab'))
%%step 2
arr[0] = 50; s = pd.Series(cat, copy=False)
%%step 3
r = df.k.tolist(); cat[0] = 'b'
%%step 4
q = s.tolist()
""",
)
scenario(
    "names of an index are shared as pandas shares them",
    """
%%step 1
import pandas as pd
i = pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')]); df = pd.DataFrame({'v': [1, 2]}, index=i); d2 = df.copy()
%%step 2
i.names = ['x', 'y']
%%step 3
r = list(df.index.names), list(d2.index.names)
%%step 4
df.index.names = ['p', 'q']; r2 = list(i.names), list(d2.index.names)
""",
)
scenario(
    "estimators share data, params and a random state",
    """
%%step 1
import numpy as np
from sklearn.linear_model import SGDRegressor, Ridge
from sklearn.base import clone
rs = np.random.RandomState(1); X = rs.rand(20, 2); y = X @ [1., 2.]
models = {'a': SGDRegressor(random_state=rs), 'b': Ridge()}
%%step 2
for m in models.values(): m.fit(X, y)
best = models['b']
%%step 3
models['a'].partial_fit(X, y); best.set_params(alpha=10.0).fit(X, y); c = clone(best)
%%step 4
coef = best.coef_; coef += 1; r = models['b'].predict(X[:2]), c.alpha, rs.rand()
""",
)
scenario(
    "a model with no random state draws from the global generator",
    """
%%step 1
import numpy as np
from sklearn.ensemble import RandomForestClassifier
np.random.seed(3); X = np.random.rand(40, 3); y = (X[:, 0] > .5).astype(int); m = RandomForestClassifier(3)
%%step 2
m.fit(X, y); a = np.random.rand()
%%step 3
m.fit(X, y); p = m.predict_proba(X)
%%step 4
b = np.random.rand()
""",
)
scenario(
    "polars frames",
    """
%%step 1
import polars as pl, numpy as np
df = pl.DataFrame({'a': [1, 2, 3], 's': ['x', None, 'z']}); same = df
%%step 2
df = df.with_columns(b=pl.col('a') * 2); part = df.slice(1)
%%step 3
same.insert_column(0, pl.Series('first', [7, 8, 9])); s = df['a']
%%step 4
df[0, 'a'] = 100; r = s.to_list(), part.rows(), same.columns, df.rows()
""",
    differs="df same s part",  # the witness does not look into polars; `r` does
)
scenario(
    "pyarrow tables of frames",
    """
%%step 1
import pandas as pd, pyarrow as pa
df = pd.DataFrame({'a': [1.0, 2.0], 's': ['x', 'y']}); t = pa.Table.from_pandas(df)
%%step 2
t2 = t.slice(1); names = t.column_names
%%step 3
back = t.to_pandas(); back.loc[0, 'a'] = 9.0
%%step 4
r = t.to_pydict(), t2.to_pydict()
""",
    differs="t t2",
)
scenario(
    "matplotlib figures and axes",
    """
%%step 1
from matplotlib.figure import Figure
fig = Figure(); ax = fig.subplots(); data = [1, 2, 3]
%%step 2
line, = ax.plot(data)
%%step 3
line.set_ydata([3, 2, 1]); ax.title.set_text('t')
%%step 4
r = ax.get_title(), list(line.get_ydata()), line.axes is ax, ax.figure is fig, len(fig.axes)
""",
    differs="fig ax line (memory)",  # caches of paths are not pickled
)
scenario(
    "a chain of objects twenty links long, cut and joined",
    """
%%step 1
class Node:
    def __init__(self, v, nxt=None): self.v, self.next = v, nxt
head = None
for i in range(20): head = Node(i, head)
middle = head.next.next.next
%%step 2
tail = middle.next; middle.next = None
%%step 3
tail.v = 'cut'; ring = Node('r'); ring.next = ring
%%step 4
middle.next = ring; ring.next = head; n = head.next.next.next.next.v
""",
)
scenario(
    "values of closures in several steps are one object",
    """
%%step 1
def counter(start):
    box = [start]
    return (lambda: box.append(len(box)) or box), box
f, box = counter(5)
%%step 2
g = f
%%step 3
f(); same = g is f
%%step 4
box.append('end'); r = g()
""",
)
scenario(
    "vars, globals and locals as values",
    """
%%step 1
a = [1]
class C: pass
c = C(); d = vars(c)
%%step 2
d['x'] = a
%%step 3
c.y = 2; g = globals()
%%step 4
r = g['a'] is a, c.x is a, d is vars(c); g['late'] = 1
""",
)
scenario(
    "an array inside a dataclass inside a dict is a view of a column",
    """
%%step 1
import numpy as np
from dataclasses import dataclass, field
@dataclass
class Batch:
    rows: np.ndarray
    meta: dict = field(default_factory=dict)
table = np.zeros((50, 4)); batches = {i: Batch(table[i * 10:(i + 1) * 10]) for i in range(5)}
%%step 2
batches[2].rows[:, 1] = 7
%%step 3
table[25, 1] = -1; b = batches[2]; b.meta['n'] = b.rows.sum()
%%step 4
b.rows *= 2; r = table.sum(), batches[2] is b
""",
)
scenario(
    "deleting an alias and making another",
    """
%%step 1
a = [1]; b = a; c = {'k': b}
%%step 2
del a
%%step 3
d = c['k']; del b
%%step 4
d.append(2); a = c['k'] is d
""",
)
scenario(
    "a step that fails to change anything, and one that is empty",
    """
%%step 1
a = [1]
%%step 2
pass
%%step 3
try: a.nothing()
except AttributeError: pass
%%step 4
a.append(2)
""",
)
scenario(
    "strings built and interned, tuples as keys, nested comprehension",
    """
%%step 1
k = ''.join(['na', 'me']); d = {(k, i): {j: [i, j] for j in range(2)} for i in range(2)}
%%step 2
d[(k, 0)][1].append('x'); key = (k, 0)
%%step 3
row = d.pop(key)
%%step 4
d[key] = row; row[1].append('y'); order = list(d)
""",
)

scenario(
    "views of dates, of half floats, of strings, of structures with objects",
    """
%%step 1
import numpy as np
d = np.array(['2020-01-01', '2021-01-01', '2022-01-01'], dtype='M8[D]'); e = d[1:]; h = np.zeros(5, 'f2'); g = h[::2]
u = np.array(['ab', 'cd', 'ef']); v = u[::-1]; st = np.zeros(2, dtype=[('o', 'O'), ('n', 'i8')]); n = st['n']
%%step 2
d[1] = np.datetime64('1999-01-01'); g[1] = 2; v[0] = 'zz'
%%step 3
h[0] = 5; e[1] = 'NaT'
%%step 4
r = str(d), g.tolist(), u.tolist()
""",
    runs={1: "could not be saved"},
)
scenario(
    "views of dates and of half floats",
    """
%%step 1
import numpy as np
d = np.array(['2020-01-01', '2021-01-01', '2022-01-01'], dtype='M8[D]'); e = d[1:]; h = np.zeros(5, 'f2'); g = h[::2]
u = np.array(['ab', 'cd', 'ef']); v = u[::-1]; td = np.arange(50000).astype('m8[s]'); tv = td[100:]
%%step 2
d[1] = np.datetime64('1999-01-01'); g[1] = 2; v[0] = 'zz'; tv[0] = 7
%%step 3
h[0] = 5; e[1] = 'NaT'
%%step 4
r = str(d), g.tolist(), u.tolist(), td[100]
""",
)
scenario(
    "an array class of the notebook",
    """
%%step 1
import numpy as np
class Unit(np.ndarray):
    def __new__(cls, data, unit): obj = np.asarray(data, float).view(cls); obj.unit = unit; return obj
    def __array_finalize__(self, obj): self.unit = getattr(obj, 'unit', None)
    def __reduce__(self):
        made, args, state = super().__reduce__()
        return made, args, (state, self.unit)
    def __setstate__(self, state): super().__setstate__(state[0]); self.unit = state[1]
a = Unit([1, 2, 3], 'm')
%%step 2
a[0] = 10; b = a * 2
%%step 3
b[1] = -1; r = b.unit, type(b) is Unit
""",
)
scenario(
    "strings of numpy's own kind",
    """
%%step 1
import numpy as np
s = np.array(['a', 'a much longer string than fits'], dtype=np.dtypes.StringDType())
%%step 2
s[0] = 'b'
%%step 3
t = s.copy(); t[1] = 'c'
""",
)
scenario(
    "functions made by exec with a dict of their own",
    """
%%step 1
space = {'k': 2}
exec('def f(x): return x * k', space); f = space['f']
%%step 2
space['k'] = 5
%%step 3
r = f(10), f.__globals__ is space
""",
)
scenario(
    "a class is deleted while its instances live",
    """
%%step 1
class C:
    def __init__(self): self.x = [1]
a = C()
%%step 2
b = C(); del C
%%step 3
c = type(a)(); c.x.append(2)
%%step 4
r = type(a) is type(b) is type(c)
""",
)
scenario(
    "UserDict, UserList and subclasses with __missing__",
    """
%%step 1
from collections import UserDict, UserList
class M(dict):
    def __missing__(self, key): self[key] = [key]; return self[key]
u = UserDict(a=[1]); l = UserList([1]); m = M()
%%step 2
u['b'] = u['a']; l.append(u); m['new'].append(1)
%%step 3
u.data['a'].append(2); x = m['other']
%%step 4
x.append(3); r = l[1]['b'] is u['a'], m
""",
)
scenario(
    "frozen dataclasses with slots, ordered and inherited",
    """
%%step 1
from dataclasses import dataclass, field
@dataclass(frozen=True, slots=True, order=True)
class P: x: int = 0; tags: list = field(default_factory=list, compare=False)
@dataclass
class Q: p: P; n: int = 1
@dataclass
class R(Q): extra: str = 'e'
p = P(1); r = R(p)
%%step 2
p.tags.append('t'); s = R(P(2), 5)
%%step 3
r.n = 9; best = max(p, s.p)
%%step 4
ok = best is s.p, r.p is p, r == R(p, 9), repr(s)
""",
)
scenario(
    "methods bound to an instance by hand, and a function that refers to itself",
    """
%%step 1
import types
class C: pass
c = C(); c.hi = types.MethodType(lambda self: self.v, c); c.v = [1]
def fact(n): return 1 if n < 2 else n * fact(n - 1)
fact.memo = {0: fact}
%%step 2
c.v.append(fact(3))
%%step 3
r = c.hi() is c.v, fact.memo[0] is fact
%%step 4
fact.memo[1] = c.hi
""",
)
scenario(
    "sliding windows and memoryviews",
    """
%%step 1
import numpy as np
a = np.arange(10.); w = np.lib.stride_tricks.sliding_window_view(a, 3); b = bytearray(b'abc'); m = memoryview(b)
%%step 2
a[2] = 50; m[0] = 65
%%step 3
r = w[2].tolist(), bytes(b)
%%step 4
b[1] = 66; q = m[1], w[1, 1]
""",
)
scenario(
    "a cache of results makes its step run again",
    """
%%step 1
import functools
@functools.lru_cache(maxsize=None)
def slow(x): return [x]
%%step 2
first = slow(1)
%%step 3
first.append('changed')
%%step 4
again = slow(1) is first
""",
    runs={2: "could not be saved", 3: "`", 4: "`"},
)
scenario(
    "an argparse namespace and its dict",
    """
%%step 1
import argparse
args = argparse.Namespace(lr=0.1, layers=[1, 2]); config = vars(args)
%%step 2
config['seed'] = 5
%%step 3
args.lr = 0.2; args.layers.append(3)
%%step 4
r = config['lr'], args.seed, config is vars(args)
""",
)
scenario(
    "loggers and their levels",
    """
%%step 1
import logging
log = logging.getLogger('mine'); log.setLevel(logging.DEBUG)
class K: pass
k = K()
%%step 2
child = log.getChild('sub')
%%step 3
r = child.parent is log, logging.getLogger('mine') is log
""",
)
scenario(
    "two names swapped, rotated, and rebound through each other",
    """
%%step 1
a, b, c = [1], [2], [3]
%%step 2
a, b = b, a
%%step 3
a, b, c = b, c, a; a += [9]
%%step 4
b = a; a = a + [1]; c.append(b)
""",
)
scenario(
    "interval, period and sparse columns, and a frame of frames",
    """
%%step 1
import pandas as pd, numpy as np
cut = pd.cut(pd.Series([1, 5, 9]), 3); per = pd.Series(pd.period_range('2020-01', periods=3, freq='M'))
sp = pd.DataFrame({'s': pd.arrays.SparseArray([0, 0, 1])}); box = pd.Series([pd.DataFrame({'x': [1]}), None], dtype=object)
%%step 2
per.iloc[0] = pd.Period('2019-05'); inner = box.iloc[0]
%%step 3
inner['y'] = 2; sp['t'] = sp.s * 2; counts = cut.value_counts()
%%step 4
r = list(box.iloc[0].columns), str(per.iloc[0]), counts.tolist()
""",
)


scenario(
    "objects held weakly belong to who holds them",
    """
%%step 1
import weakref
class K: pass
k = K(); w = weakref.ref(k); wd = weakref.WeakValueDictionary(k=k)
%%step 2
k.x = [1]
%%step 3
r = w() is k, wd['k'] is k
""",
    runs={1: "could not be saved", 2: "`", 3: "`"},
    differs="w wd",
)
scenario(
    "a counter in a class, shared by its instances",
    """
%%step 1
import itertools
class T:
    ids = itertools.count()
    def __init__(self): self.id = next(self.ids)
a = T()
%%step 2
b = T()
%%step 3
c = T(); r = a.id, b.id, c.id
""",
)
scenario(
    "an unmarked cell defines a class again by identical code",
    """
%%
class C: pass
%%step 1
a = C()
%%
class C: pass
%%step 2
b = C()
%%step 3
r = isinstance(a, C), isinstance(b, C)
""",
)
scenario(
    "bound methods of generators",
    """
%%step 1
import numpy as np
rng = np.random.default_rng(0); draw = rng.normal; integers = rng.integers; rs = np.random.mtrand._rand; np.random.seed(1)
%%step 2
a = draw(), rs.rand()
%%step 3
b = integers(100), rng.random(), draw(), np.random.rand(), rs.rand()
""",
)
scenario(
    "a function is defined again by identical code",
    """
%%step 1
def f(): return 1
held = [f]
%%step 2
def f(): return 1
%%step 3
r = held[0] is f
""",
)
scenario(
    "a method is patched into a class of a library",
    """
%%step 1
import pandas as pd
def total(self): return len(self)
pd.DataFrame.total_of_the_test = total
%%step 2
r = pd.DataFrame({'a': [1]}).total_of_the_test()
%%step 3
q = r + 1
""",
)
scenario(
    "an attribute is set on a module",
    """
%%step 1
import math
math.of_the_test = [1]
%%step 2
math.of_the_test.append(2)
%%step 3
r = math.of_the_test
""",
)
scenario(
    "a name for a list that a library owns",
    """
%%step 1
import logging
h = logging.root.handlers
%%step 2
h.append(logging.NullHandler())
%%step 3
r = logging.root.handlers is h
""",
)
scenario(
    "the traceback of a kept exception",
    """
%%step 1
try: 1 / 0
except Exception as e: err = e
%%step 2
has = err.__traceback__ is not None
""",
)
scenario(
    "a key whose hash needs what the key holds",
    """
%%step 1
class H:
    def __init__(self, v): self.v = v
    def __hash__(self): return hash(self.v)
    def __eq__(self, o): return self.v == o.v
h = H(1); d = {h: [1]}; h.mine = d
%%step 2
d[H(2)] = h
%%step 3
r = d[H(1)], d[H(2)] is h
""",
    runs={1: "cannot be read here", 2: "cannot be read here", 3: "cannot be read here"},
)


KNOWN = {
    "a function is defined again by identical code": "as for classes",
    "a method is patched into a class of a library": "what a step does to libraries is not looked at",
    "an attribute is set on a module": "what a step does to libraries is not looked at",
    "a name for a list that a library owns": "it comes back as a copy",
    "the traceback of a kept exception": "it is dropped",
    "loggers and their levels": "levels that a step sets are not put back",
    "a class is defined again by identical code": "both classes have one token: what it stands for depends on the kernel",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xfail(reason=KNOWN[name])) if name in KNOWN else name for name in SCENARIOS],
)
def test_restoring_is_exact(server: Server, name: str) -> None:
    problems = server.problems(SCENARIOS[name])
    assert not problems, "\n".join(problems)
