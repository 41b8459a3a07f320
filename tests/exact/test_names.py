"""Names: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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
    "a thousand variables of which one changes",
    """
%%step 1
for i in range(1000): globals()[f'v{i}'] = [i]
tie = {'of': v998}
%%step 2
v57.append(1)
%%step 3
tie['of'].append(2); del v3
%%step 4
s = sum(len(globals()[f'v{i}']) for i in range(1000) if i != 3), 'v3' in globals()
""",
)
scenario(
    "annotations of the module and dunder names",
    """
%%step 1
class K: pass
x: int = 3
k: K
__version__ = '1.0'; __all__ = ['x']
%%
y: 'later' = x
%%step 2
__all__.append('y'); z: list = [x]; (w): int = 5
%%step 3
__annotations__['x'] = float; del __version__
def f():
    local: int = 1
    return __annotations__
%%step 4
seen = list(__annotations__), __all__, '__version__' in globals(), __annotations__['k'] is K, f() is __annotations__
""",
)
scenario(
    "annotations are deleted and made again",
    """
%%step 1
x: int = 3
%%step 2
del __annotations__
%%step 3
y: str = 'a'
%%step 4
seen = dict(__annotations__)
""",
)
scenario(
    "names reached by strings",
    """
%%step 1
import sys, operator
a, b, c, d, e = [1], [2], [3], [4], [5]
key = 'b'
%%step 2
getattr(sys.modules['__main__'], 'a').append(1); globals()[key].append(2); vars()['c'].append(3)
%%step 3
eval('d').append(4); exec('e.append(5); made = [e]'); __import__('__main__').a.append(6)
%%step 4
operator.attrgetter('a')(sys.modules[__name__]).append(7); text = '{0[b][0]}'.format(globals())
%%step 5
locals()['late'] = made; late.append(text)
""",
)
scenario(
    "names are made and deleted through dictionaries",
    """
%%step 1
globals().update(a=[1], b=[2], c=[3]); globals().setdefault('d', a)
%%step 2
del globals()['b']; popped = globals().pop('c'); vars().update({n: [n] for n in ('x1', 'x2', 'x3')})
%%step 3
for n in [n for n in globals() if n[0] == 'x']: del globals()[n]
%%step 4
import __main__
__main__.e = __main__.d; delattr(__main__, 'd'); e.append(len([n for n in vars(__main__) if n[0] == 'x']))
%%step 5
gone = [n in globals() for n in ('b', 'c', 'd', 'x1', 'e')]
""",
)
scenario(
    "names that are no identifiers",
    """
%%step 1
globals()['two words'] = [1]; globals()['class'] = {'k': 1}; ﬁ = 5; globals()[''] = [9]
%%step 2
globals()['two words'].append(globals()['class']); globals()['ﬁ'] = 'other'
%%step 3
globals()['class']['k'] = 2; n = fi, globals()['ﬁ']; del globals()['']
""",
)
scenario(
    "every target that binds",
    """
%%step 1
class Box: pass
box, items = Box(), [0, 0]
(a, [b, *c]), box.x, items[0] = (1, [2, 3, [4]]), [5], [6]
for box.i, items[1] in [(1, [2]), (3, c)]: pass
else: done = [box.x]
%%step 2
import contextlib
with contextlib.nullcontext((a, c)) as (w1, w2), contextlib.nullcontext(c) as box.w: pass
c[1].append(a := 9)
%%step 3
try: raise ExceptionGroup('g', [ValueError(c)])
except* ValueError as group: kept = group.exceptions[0].args[0]
match [box.x, {'k': c, 'r': 1}, Box]:
    case [[5] | [6] as five, {'k': [*star], **others}, type() as cls]: pass
%%step 4
if False: never = 1
while (n := len(star)) < 5: star.append(n)
cells = [(lambda: v)() for v in star if (top := v)]
%%step 5
del a, items[0], box.i
same = kept is c, box.w is c, five is box.x, cls is Box, 'group' in globals(), 'never' in globals(), items
""",
)
scenario(
    "code that may bind and does not",
    """
%%step 1
x, y, z = [1], [2], [3]; flag = False
%%step 2
if flag: x = [10]
for y in []: pass
%%step 3
try: z = 1 // 0
except ZeroDivisionError: pass
x.append(len(y))
%%step 4
def maybe(do):
    global z
    if do: z = []
maybe(False); y.append(z)
%%step 5
maybe(True); y[-1].append(z)
""",
)
scenario(
    "one name is variable, module, function, class and nothing in turn",
    """
%%step 1
t = [1]; held = [t]
%%step 2
import json as t
held.append(t)
%%step 3
def t(): return t
held.append(t)
%%step 4
class t: x = held
held.append(t)
%%step 5
del t
held[2].mark = 1
%%step 6
t = held[3]; t.y = held[2]
kinds = [type(h).__name__ for h in held], held[2]() is t
""",
)
scenario(
    "star imports, and what hides them",
    """
%%step 1
from math import *
from collections import *
pi_before = pi
%%step 2
pi = 3; d = deque([pi]); del sin
%%step 3
from math import *
d.append(pi); c = Counter('aab')
%%step 4
d.append(sin(0)); e = OrderedDict(c)
%%
from cmath import *
%%step 5
root = sqrt(-1), d
""",
)
scenario(
    "submodules are imported in many ways",
    """
%%step 1
import importlib, sys
import email
from xml import dom
%%step 2
import email.mime.text as emt
def later():
    import wsgiref.headers
    return wsgiref.headers
h = later()
%%step 3
message = email.mime.text.MIMEText('x').get_payload(); importlib.import_module('xml.sax.handler')
%%step 4
import xml
n = xml.sax.handler.ContentHandler.__name__, dom.__name__, h.__name__
import concurrent.futures.thread, email.charset as charset
%%step 5
m = concurrent.futures.thread.__name__, charset is email.charset, email.encoders.__name__
""",
)
scenario(
    "builtins are shadowed by all means, and unshadowed",
    """
%%step 1
data = [3, 1, 2]
def sorted(x, real=sorted): return real(x, reverse=True)
max = 7
a = sorted(data)
%%step 2
b = sorted(data), max
class list(list): pass
made = list(data)
%%step 3
del sorted, max
c = sorted(data), max(data); d = list([1])
%%step 4
d.append(type(made) is list); del list
e = list('ab'), type(d).__name__
%%step 5
sum = sum; id = 5
f = sum(data), id
""",
)
scenario(
    "code objects, exec in other globals and functions made by text",
    """
%%step 1
import types
code = compile('counter.append(len(counter)); made = counter', 'text', 'exec'); counter = []
%%step 2
exec(code)
space = {'counter': counter}
exec(code, space); del space['__builtins__']
%%step 3
exec('def written(x=counter): x.append("w"); return globals() is not None')
double = eval('lambda: counter * 2')
alone = types.FunctionType(compile('counter[0]', '', 'eval'), space, 'alone')
%%step 4
written(); r = double(), alone()
space['counter'] = ['mine']
%%step 5
made.append(r); q = alone(), space['made'] is counter, written.__defaults__[0] is made
""",
)
scenario(
    "private names, names in class bodies and nested functions",
    """
%%step 1
_K__hidden = [1]; y = 'global'
class K:
    def get(self): return __hidden
    y = 'class'
    z = [y for _ in range(2)]
    def read(self): return y
%%step 2
K().get().append(2)
def outer():
    y = 'outer'
    class Inner:
        global z
        z = [y]
        def m(self): return y, z
    return Inner
Inner = outer()
%%step 3
y = 'new'; r = K().read(), K.z, Inner().m()
%%step 4
z.append(_K__hidden); s = Inner().m()[1] is z
""",
)
scenario(
    "a name is deleted and made in other cells than its steps",
    """
%%step 1
a, b, c = [1], [2], [3]; keep = [a, b]
%%
del a
%%step 2
b.append(len(keep)); a = keep[0]
%%
del b; d = keep[1]
%%step 3
c.append(d); a.append('x')
%%step 4
b = 'b' in globals(), a is keep[0], c[1] is keep[1]
""",
)
scenario(
    "names bound by a decorator, a class body, a default and an import hook",
    """
%%step 1
def register(f):
    globals()['registered_' + f.__name__] = f
    return f
@register
def one(): return seen
seen = []
%%step 2
class Body:
    global bound_in_class
    bound_in_class = [seen]
    for item in range(2): globals()[f'item{item}'] = [item]
def with_default(x=(walrus := [seen])): return x
%%step 3
registered_one().append(bound_in_class); item1.append(with_default() is walrus)
%%step 4
@register
def one(): return walrus
r = registered_one is one, one()[0] is seen
""",
)

scenario(
    "an unmarked cell draws random numbers between steps that draw none",
    """
%%step 1
import random
import numpy as np
random.seed(5); a = [random.random()]
%%
drawn = random.random(), np.random.rand()
%%step 2
b = [a]
%%step 3
a.append(random.random()); c = np.random.rand()
""",
)
scenario(
    "an unmarked cell changes a variable through functions",
    """
%%step 1
class Data:
    def __init__(self): self.items = [1]
data, other = Data(), Data()
def low(): data.items.append(len(data.items))
def high(f=low): f()
class Box:
    def put(self): other.items.append(len(other.items))
box = Box()
%%
high()
%%step 2
n = [len(data.items)]
%%
box.put()
%%step 3
m = other.items + data.items
%%step 4
total = n, m
""",
)

scenario(
    "a name is deleted and made again in one step, so that it comes last",
    """
%%step 1
z = [1]; a = [2]; m = [3]
%%step 2
del z; z = a
%%step 3
n = 1; del z; z = [n]
order = [n for n in globals() if len(n) == 1]
exec('keep = m; del m; m = keep; del keep')
%%step 4
globals()['a'] = globals().pop('a')
%%
m = globals().pop('m')
%%step 5
last = [n for n in globals() if len(n) == 1]
""",
)

scenario(
    "a step that can reach anything, where modules of the interpreter are imported",
    """
%%
import abc, array, collections, contextlib, copy, dataclasses, decimal, functools, heapq, io, itertools, os
import random, sys, types, typing, warnings
import numpy as np
%%step 1
a = itertools.count(2)
%%step 2
setattr(sys.modules['__main__'], 'b', a)
%%step 3
globals().pop('b'); c = next(a)
""",
)


scenario(
    "functions of Python that the package itself uses are values, too",
    """
%%step 1
import operator
run, table = eval, {'call': operator.call, 'item': operator.getitem, 'keys': dict.fromkeys, 'set': type.__setattr__}
%%step 2
table['run'] = run; pairs = [(eval, dict), (operator.ior, exec)]
%%step 3
r = run is eval, table['run'] is run, pairs[0][0] is eval, list(map(run, ['1 + 1'])), table['call'](len, [1]), table
""",
)


scenario(
    "the notebook imports itself, answers for names that it has not, and has a file that is none",
    """
%%step 1
def __getattr__(name): return "made up", name
%%step 2
import __main__
found = __main__.missing
%%
seen = [found]
%%step 3
__file__ = 3
%%
seen.append(__main__.__file__)
%%step 4
r = seen, __main__.other
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
