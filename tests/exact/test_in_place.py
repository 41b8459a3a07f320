"""Changes in place: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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
    "a list changes by operators, unbound methods, slices and loops",
    """
%%step 1
import operator, random, bisect
a, b, c, d, e, f = [3, 1, 2], [1], [1, 2, 3, 4], [[1], [2]], [5, 6], list('hello'); alias = c; box = [d[0], (e,)]
%%step 2
operator.iadd(a, [7]); list.append(b, a); c[::2] = 'xy'; d[0], d[1] = d[1], d[0]; e *= 3; f.sort(key=str.upper, reverse=True)
%%step 3
operator.setitem(b, 0, 'q'); operator.delitem(c, slice(1, 3)); d[:] = reversed(d); bisect.insort(a, 2, key=lambda v: -v)
for i, x in enumerate(list(e)): e[i] = x if i % 2 else [x]
%%step 4
random.Random(3).shuffle(a); f[1:1] = f[2:4]; del f[-1], e[1::2]; box[1][0].append(box); alias += (9,)
%%step 5
same = box[0] is d[0], box[1][0] is e, alias is c
""",
)
scenario(
    "a dict changes by all that can change it, order too",
    """
%%step 1
a = dict(x=[1], y=2, z=3); b = {1: 'one', 2: 'two'}; c = dict.fromkeys('pqr', []); d = {'k': {'k': {}}}; e = {0.0: 'zero'}
view, items = a.keys(), b.items()
%%step 2
dict.update(a, x=a.pop('x')); b[True] = 'true'; c['p'].append(1); d['k']['k'] = d; a |= {'w': view}
%%step 3
first = next(iter(b)); del b[1]; b[True] = 'again'; c.popitem(); e[-0.0] = 'minus'; e[0] = [e]
%%step 4
d['k'].setdefault('n', []).append(list(view)); a.update([('y', 5), ('new', 6)]); dict.__ior__(b, {3: c})
%%step 5
for k in [k for k in a if k in 'xyz']: a['_' + k] = a.pop(k)
kinds = [type(k).__name__ for k in b], list(items)[-1][1] is c, [str(k) for k in e], 'w' in view
""",
)
scenario(
    "sets change by every method, members by identity too",
    """
%%step 1
class P: pass
p, q = P(), P()
a, b, c, d, e = {1, 2, 3}, {4, 5}, {p}, set(range(6)), {(1, p), frozenset([q])}
%%step 2
a.intersection_update({2, 3, 9}); b.symmetric_difference_update(a); c |= {q}; d.difference_update(b); p.mark = c
%%step 3
a &= {3}; b -= {5}; d.clear(); d.update((7, 8), [9]); c.remove(p); c.add(frozenset(e)); e.discard((1, p))
%%step 4
q.mark = e; d ^= {7, 1}; got = next(m for m in e if q in m); same = q in c, [m for m in c if m is q][0] is q
%%step 5
c.pop() if len(c) == 1 else c.discard(q)
n = len(c), got is next(iter(e))
""",
)
scenario(
    "bytearray and array change, through a memoryview that is let go of too",
    """
%%step 1
import array, struct
a, b, c = bytearray(b'abcdef'), array.array('i', [1, 2, 3]), array.array('d'); both = {'a': a, 'b': [b]}
%%step 2
with memoryview(a) as m: m[1:3] = b'XY'
a.extend(b'gh'); del a[0]; b.frombytes(b.tobytes()); c.extend([1.5, -0.0]); del m
%%step 3
a[1:2] = b'long'; a.reverse(); b.byteswap(); b.insert(0, 7); c.fromlist([2.5]); struct.pack_into('<h', a, 0, 77)
%%step 4
both['a'].pop(); b[:1] = array.array('i', [9, 9]); b *= 2; c.reverse(); both['b'][0].remove(9)
%%step 5
a *= 2; a.insert(1, 65); s = both['a'] is a, both['b'][0] is b, str(c[-1]), a.count(b'X')
""",
)
scenario(
    "a deque changes by every method",
    """
%%step 1
from collections import deque
a, b, c = deque([1, 2, 3]), deque('abc', maxlen=3), deque(); a.append(b); c.extend([a, c])
%%step 2
a.appendleft(0); a.extendleft([-1, -2]); b.append('d'); b.rotate(-1); c.insert(1, [b])
%%step 3
a.remove(2); a.reverse(); b.extend('ef'); c[0].pop(); del c[2]; b *= 2
%%step 4
a.insert(2, 'i'); a.clear() if len(a) > 9 else a.popleft(); c[1][0][0] = 'set'; b.maxlen
%%step 5
n = a.index(3), c[0] is a, c[1][0] is b, b.maxlen, deque.__len__(c)
""",
)
scenario(
    "ordered, counting and chained dicts change, and dicts with a default",
    """
%%step 1
from collections import OrderedDict, defaultdict, Counter, ChainMap
o = OrderedDict(a=[1], b=2, c=3); c = Counter('hello'); base, top = {'x': [1]}, {}; m = ChainMap(top, base)
d = defaultdict(list); tree = (lambda f: f(f))(lambda f: defaultdict(lambda: f(f))); n = defaultdict(int, o)
%%step 2
o.move_to_end('a', last=False); o.move_to_end('b'); c.update('ll'); c -= Counter('h'); m['y'] = base['x']; d['k'].append(d)
tree['p']['q']['r'] = 1; n['zero'] += 0
%%step 3
o['a'].append(o.popitem(False)); +c; c['neg'] = -3; m.maps.append({'z': o}); m = m.new_child(); d.default_factory = dict
%%step 4
m['y'] = 'hides'; m.parents['y'].append('through'); d['new']['n'] = tree; c = -c; n.default_factory = None; tree['p']['s']
del o['c']; o['c'] = base
%%step 5
try: n['missing']
except KeyError: kept = m['x'] is top['y'], m['z'] is o, list(o), c, d['k'][0] is d, tree['p']['q']['r']
""",
)
scenario(
    "heaps and queues change, of tuples and of objects",
    """
%%step 1
import heapq, queue
class Job:
    def __init__(self, n): self.n = n
    def __lt__(self, other): return self.n < other.n
h, jobs = [(3, 'c'), (1, 'a')], [Job(2), Job(1)]; q, p = queue.Queue(), queue.PriorityQueue(); first = jobs[0]
%%step 2
heapq.heapify(h); heapq.heapify(jobs); heapq.heappush(h, (2, 'b')); q.put(jobs); p.put((5, 'e'))
%%step 3
x = heapq.heappushpop(h, (0, 'z')); y = heapq.heapreplace(jobs, Job(9)); p.put((4, h)); first.n = 0
%%step 4
heapq.heapify(jobs); z = heapq.heappop(jobs); got = q.get(); w = p.get()
%%step 5
same = z is first, got is jobs, w[1] is h, q.empty(), p.qsize(), heapq.nsmallest(1, h)
""",
)
scenario(
    "string and bytes buffers: written, truncated, with attributes, closed",
    """
%%step 1
import io
s, b, t = io.StringIO(), io.BytesIO(b'0123456789'), io.StringIO('a\\r\\nb', newline=''); box = [s, (b,)]
class Log(io.StringIO): pass
log = Log('x'); log.lines = [1]
%%step 2
print('hello', file=s); b.seek(4); b.truncate(); b.write(b'ABC'); s.note = box; t.readline()
%%step 3
s.seek(0, 2); s.write('end'); b.getbuffer()[0:1] = b'z'; log.seek(1); log.write('y'); log.lines.append(log)
%%step 4
s.seek(2); s.truncate(); s.write('!'); b.seek(1); rest = t.read(), log.getvalue(), log.tell()
%%step 5
t.close(); r = box[1][0].read(), s.getvalue(), s.tell(), t.closed, s.note is box
""",
)
scenario(
    "subclasses of every container carry attributes, slots and state",
    """
%%step 1
import collections
class L(list): __slots__ = ('tag', '__dict__')
class D(dict):
    def __missing__(self, key): self.missed = self.__dict__.get('missed', []) + [key]; return self
class T(tuple): pass
class I(int): pass
class S(str): pass
class F(frozenset): pass
class Dq(collections.deque): pass
class Od(collections.OrderedDict): pass
class By(bytearray): pass
shared = ['s']
l, d, t, i, s, f, q, o, y = L([1]), D(a=1), T([1, shared]), I(5), S('x'), F([1]), Dq([1], 3), Od(a=1), By(b'b')
%%step 2
l.tag = shared; l.other = t; d['nothing']; t.note = shared; i.note = [i]; s.note = shared; f.note = {'f': f}
q.note = o.note = y.note = shared
%%step 3
shared.append('more'); l.append(l); d['b'] = d; q.extend([2, 3, 4]); o.move_to_end('a'); o['z'] = q; y += b'x'
%%step 4
del l.other; t.note = list(t.note); i.note.append(s); o.note.append(type(d['miss']) is D)
%%step 5
same = [x.note is shared for x in (t, s, q, o, y)], l.tag is shared is t[1], i.note[0] is i, f.note['f'] is f, d.missed
""",
)
scenario(
    "user containers, namespaces and records change",
    """
%%step 1
import collections, types, typing, dataclasses
class Point(typing.NamedTuple):
    x: int
    more: list
@dataclasses.dataclass(order=True)
class Rec:
    a: int
    b: list = dataclasses.field(default_factory=list)
u, v, w = collections.UserDict(a=[1]), collections.UserList([1]), collections.UserString('s')
p, r, n = Point(1, [2]), Rec(1), types.SimpleNamespace(p=[1]); cell = types.CellType(r)
%%step 2
u['b'] = v; v.append(u); p.more.append(r); r.b.append(p); n.q = n; n.p.append(w)
%%step 3
u.data['c'] = v.data; v.data[0] = 'changed'; q = p._replace(x=5); r2 = dataclasses.replace(r, a=2)
%%step 4
q.more.append('both'); r2.b.append('two'); del n.p; vars(n)['z'] = vars(r); cell.cell_contents.a = 7
%%step 5
same = p.more is q.more, r.b is r2.b, u['c'] is v.data, n.z is vars(r), cell.cell_contents is r, r.a
""",
)
scenario(
    "a change many levels deep, by way of objects, tuples, closures and defaults",
    """
%%step 1
import collections, functools
class Node:
    __slots__ = ('next', 'data')
    def __init__(self, data, next=None): self.data, self.next = data, next
leaf = [0]
chain = Node(1, Node((2, [leaf]), Node(collections.deque([{'k': (leaf,)}]))))
def outer(x):
    def inner(y=(x, {'x': x})): return y[1]['x']
    return inner
get = outer(leaf); part = functools.partial(get, y=(0, {'x': leaf}))
%%step 2
chain.next.next.data[0]['k'][0].append(1)
%%step 3
chain.next.data[1].append(get()); part().append(2)
%%step 4
chain.next.next.next = chain; chain.next.data[1][0] = list(leaf)
%%step 5
chain.next.data[1][1].append(3); same = get() is part() is leaf, chain.next.data[1][0] is leaf, leaf
""",
)
scenario(
    "what is inside is replaced by an equal object, and the old one goes on elsewhere",
    """
%%step 1
a = [1]; box, d, t = [a], {'k': a}, ([a],)
class O: pass
o = O(); o.x = a
%%step 2
box[0] = [1]
%%step 3
d['k'] = list(a); t[0][0] = a.copy()
%%step 4
o.x = [*a]; a = [1]
%%step 5
a.append('a'); box[0].append('box'); d['k'].append('d'); t[0][0].append('t'); o.x.append('o')
%%step 6
different = len({id(v) for v in (a, box[0], d['k'], t[0][0], o.x)})
""",
)
scenario(
    "equal atoms of other types, keys of other types and the sign of zero",
    """
%%step 1
a = [1, 0.0, True, 'x', (1, 2), float('nan')]; d = {1: 'i', 'f': 1.0}; s = {1, 2}; t = ([1.0],)
%%step 2
a[0], a[1], a[2] = True, -0.0, 1; d['f'] = 1; t[0][0] = 1
%%step 3
a[4] = (1.0, 2); s.discard(1); s.add(1.0); d = {**d, True: 'b'}
%%step 4
del d[1]; d[1.0] = 'f'; a[3] = b'x'; t[0][0] = True
%%step 5
kinds = [type(x).__name__ for x in (*a, *a[4], *d, *s, t[0][0])], str(a[1])
""",
)
scenario(
    "the dictionary and the class of an object are replaced",
    """
%%step 1
class A:
    def who(self): return 'a'
class B(A):
    def who(self): return 'b'
x, y, z = A(), A(), A(); x.v, y.v = [1], [2]; state = vars(z)
%%step 2
x.__class__ = B; y.__dict__ = x.__dict__
%%step 3
y.w = 'both'; state['hidden'] = x.v; del x.v
%%step 4
z.hidden.append(z.who()); z.__class__ = type(x); x.late = z.__dict__
%%step 5
r = x.w, 'v' in vars(y), z.who(), x.late is state, vars(x) is vars(y), list(vars(x))
""",
)
scenario(
    "two lists swap what they hold, and names swap their lists",
    """
%%step 1
a, b = [[1]], [[2]]; ra, rb = a[0], b[0]
%%step 2
a[0], b[0] = b[0], a[0]
%%step 3
a, b = b, a
%%step 4
ra.append('ra'); a.append('a')
%%step 5
same = a[0] is ra, b[0] is rb
""",
)
scenario(
    "exceptions, with what they hold",
    """
%%step 1
class Mine(Exception):
    def __init__(self, text, data): super().__init__(text); self.data = data
data = [1]; e = Mine('text', data); f = ValueError(data, 'x'); g = ExceptionGroup('g', [e, f])
%%step 2
e.data.append(2); e.add_note('noted'); f.args[0].append(3)
%%step 3
f.__cause__ = e; e.args = ('other', data); h = f
%%step 4
h.extra = g; data.append(4)
%%step 5
same = f.__cause__ is e, e.data is data is f.args[0], g.exceptions[0] is e, e.__notes__, f.extra is g
""",
)
scenario(
    "weak containers lose and keep their members",
    """
%%step 1
import weakref
class Obj:
    def __init__(self, n): self.n = n
strong = [Obj(1), Obj(2)]; ref = weakref.ref(strong[0])
values, keys, members = weakref.WeakValueDictionary(a=strong[0]), weakref.WeakKeyDictionary({strong[1]: [1]}), weakref.WeakSet(strong)
%%step 2
values['b'] = strong[1]; keys[strong[0]] = ['new']; ref().mark = 'through'
%%step 3
keys[strong[1]].append(2); gone = strong.pop()
%%step 4
del gone
import gc; gc.collect(); n = len(strong)
%%step 5
left = sorted(values), len(keys), len(members), ref() is strong[0], strong[0].mark
""",
)
scenario(
    "a large list of which one item changes, and nesting of hundreds of levels",
    """
%%step 1
big = [[i] for i in range(20000)]; deep = leaf = []
for _ in range(300): deep = [deep]
picked = big[12345]
%%step 2
picked.append('x')
%%step 3
leaf.append(big[0]); big[19999] = deep
%%step 4
big[0].append('deep'); del big[100:19000]
%%step 5
same = leaf[0] is big[0], big[-1] is deep, picked
""",
)
scenario(
    "mapping proxies, views and slices look through",
    """
%%step 1
import types, itertools
d = {'a': 1}; proxy = types.MappingProxyType(d); k, v, i = d.keys(), d.values(), d.items(); s = slice([1], d)
%%step 2
d['b'] = [proxy]
%%step 3
s.start.append(2); n = len(k), len(v), len(proxy)
%%step 4
d['c'] = s; m = len(i), s.stop is d
""",
)

scenario(
    "a dict that is its own attributes, and objects that have their attributes in common",
    """
%%step 1
class AttrDict(dict):
    def __init__(self, *a, **k):
        super().__init__(*a, **k); self.__dict__ = self
class Borg:
    _shared = {}
    def __init__(self): self.__dict__ = self._shared
c = AttrDict(lr=1, layers=[1]); a = Borg(); a.x = c.layers; empty = AttrDict()
%%step 2
c.seed = 5; empty['now'] = empty.__dict__ is empty; b = Borg(); b.y = 2
%%step 3
c['lr'] = 2; n = c.lr, c['seed']; a.x.append(b.y); b.z = c
%%step 4
c.layers.append(c.__dict__ is c); m = a.z.lr, vars(a) is vars(b) is Borg._shared
""",
)
scenario(
    "the attributes of an object are held as a dict by a list, a closure and the object itself",
    """
%%step 1
class A:
    def __init__(self): self.state = vars(self)
class Slotted(A): __slots__ = ('own',)
a, s = A(), Slotted(); a.x = [1]; s.own = a; box = [vars(a), {'s': s.__dict__}]
get = (lambda d: lambda: d)(vars(a))
def f(): return f.x
f.x = [1]; d = f.__dict__; e = [f.__dict__]
%%step 2
a.y = 2; d['y'] = s; s.new = a
%%step 3
get()['z'] = 3; f.z = 3; box[1]['s']['w'] = 4
%%step 4
n = a.z, a.state['y'], get() is vars(a) is box[0], e[0]['z'], f.y is s, s.w, s.own is a, s.state is box[1]['s']
""",
)
scenario(
    "exceptions that were caught, with cause and context",
    """
%%step 1
class Mine(Exception):
    def __init__(self, text, data): super().__init__(text); self.data = data
data = [1]
try: raise Mine('text', data)
except Mine as error: kept = error.with_traceback(None)
%%step 2
try:
    try: [][1]
    except IndexError as e: raise KeyError(data) from e
except KeyError as e: second = e.with_traceback(None)
try: kept.missing
except AttributeError as e: third = [e.with_traceback(None)]
%%step 3
kept.data.append(2); second.__cause__.note = data; third[0].__context__ = second; n = second.__suppress_context__
%%step 4
m = type(second.__cause__).__name__, second.__cause__ is second.__context__, third[0].__context__.args[0] is kept.data
""",
)
scenario(
    "weak references to what has a name, to what has none any more, and in a registry of a class",
    """
%%step 1
import weakref
class Node:
    alive = weakref.WeakSet()
    def __init__(self, parent=None):
        self.children = []; self.parent = parent and weakref.ref(parent); self.alive.add(self)
        if parent: parent.children.append(self)
root = Node(); Node(root); Node(root.children[0]); last = weakref.ref(root.children[0].children[0]); dead = weakref.ref(Node())
%%step 2
last().mark = [dead()]; up = last().parent()
%%step 3
up.parent().tag = 'root'; n = len(Node.alive)
%%step 4
root.children.clear(); del up
m = last(), len(Node.alive), root.tag
""",
)

scenario(
    "the categories of a series are held by a name as well",
    """
%%step 1
import pandas as pd
s = pd.Series(pd.Categorical(['a', 'b', 'a'])); cats = s.cat.categories
%%step 2
s.iloc[0] = 'b'
%%step 3
cats.name = 'colours'
%%step 4
n = s.cat.categories.name, s.cat.categories is cats
""",
)

scenario(
    "attributes of a class stay in their order",
    """
%%step 1
import abc, typing, dataclasses
class A:
    x = [1]
    def put(self): pass
    y = 2
    @property
    def z(self): return 1
    n = None
class B(abc.ABC):
    kind = 'b'
    @abc.abstractmethod
    def run(self): ...
    other = 1
class C(B):
    __slots__ = ('s', 't')
    def run(self): return 1
    tag = 'c'
@dataclasses.dataclass
class D:
    a: int = 1
    b: list = dataclasses.field(default_factory=list)
    CONST: typing.ClassVar = 5
    def m(self): return self.a
%%step 2
A.late = 1; B.w = C(); D.z = D()
%%step 3
orders = [[n for n in vars(c) if n[:1] != '_' and n not in 'st'] for c in (A, B, C, D)]
%%step 4
del A.x; A.x = 5; order = [n for n in vars(A) if n[:1] != '_']
try: B()
except TypeError: abstract = True
""",
)

scenario(
    "iterators of every kind that came to their end",
    """
%%step 1
r, k, v, i, s = reversed([1]), iter({1: 2}), iter({1: 2}.values()), iter({1: 2}.items()), iter({5})
l, t, g = iter([1]), iter('a'), iter(range(1))
ended = [list(one) for one in (r, k, v, i, s, l, t, g)]
%%step 2
again = [next(one, 'end') for one in (r, k, v, i, s, l, t, g)]
%%step 3
del ended
%%step 4
kinds = [type(one).__name__ for one in (r, k, v, i, s, l, t, g)]
""",
)
scenario(
    "a parser of arguments is used, extended and used again",
    """
%%step 1
import argparse
class Twice(argparse.Action):
    def __call__(self, parser, space, value, option=None): setattr(space, self.dest, value * 2)
parser = argparse.ArgumentParser(prog='x'); group = parser.add_argument_group('g')
n = group.add_argument('--n', type=int, default=[1]); parser.add_argument('--t', action=Twice, default=argparse.SUPPRESS)
sub = parser.add_subparsers(dest='c'); one = sub.add_parser('one', argument_default=argparse.SUPPRESS)
%%step 2
one.add_argument('z'); one.add_argument('--y'); space = parser.parse_args(['one', 'q'])
%%step 3
n.default.append(5); r = space.n is n.default, vars(space)
%%step 4
s = parser.parse_args(['--n', '3', '--t', 'a', 'one', 'k']), parser.format_help(), group is parser._action_groups[-1]
""",
)
scenario(
    "a set is popped from, added to and popped from again, in several steps",
    """
%%step 1
s = set(range(8)); t = {'a', 'b', 'c', *range(40)}; first = [s.pop(), s.pop(), s.pop()], [t.pop() for _ in range(20)]
empty = {1, 2, 3}; empty.pop(); empty.pop(); empty.pop()
%%step 2
s.add(0); t |= set(range(20)); empty |= {1, 2, 3}
%%step 3
second = s.pop(), t.pop(), empty.pop()
%%step 4
third = s.pop(), t.pop(), empty.pop(), [*s], [*t]
""",
)
scenario(
    "sets are gone through in their order, whatever was once in them",
    """
%%step 1
s = set(range(100)); s -= set(range(2, 64)) | set(range(65, 100)) | {0}
class Grid:
    def __init__(self): self.seen = set(range(0, 300, 7)); self.cells = frozenset((x, x * y) for x in range(9) for y in range(4))
grid = Grid(); grid.seen -= set(range(0, 200, 14)); alias = grid.seen; both = [grid.seen, grid.cells]
near = {v: set() for v in range(20)}
for u in [set(range(0, 40, 7)), set(range(3, 80, 5)), set(range(0, 81))]:
    for v in near: near[v].update(u - {v})
words = {f"k{i}" for i in range(50)} | {'a'}; words -= {f"k{i}" for i in range(0, 50, 4)}
%%step 2
alias.add(1000); a = [*s], [*alias], [*words]
%%step 3
alias.discard(7); alias.add(64); b = [*grid.seen], [*grid.cells], both[0] is alias, both[1] is grid.cells, [*map(list, near.values())]
%%step 4
alias |= {5, 500, 5000}; words |= {'b', 'c', 'd'}; c = [*grid.seen], [*words], s.pop()
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
