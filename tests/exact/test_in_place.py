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


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
