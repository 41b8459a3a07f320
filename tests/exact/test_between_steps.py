"""Between steps: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "a function with builtins of its own is named",
    """
%%step 1
space = {'__builtins__': {'len': lambda x: 42}}
exec('def f(x): return len(x)', space)
f = space['f']; kept = [1]
%%step 2
kept.append(2)
%%step 3
r = f(kept)
%%step 4
n = r + len(kept)
""",
    runs={1: "could not be saved, and step 3 reads it"},
    starts=(2, 3),
)
scenario(
    "a lost value that a `with` binds anew",
    """
%%step 1
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as ex: res = list(ex.map(abs, range(3)))
%%step 2
with ThreadPoolExecutor(2) as ex: res2 = list(ex.map(abs, range(3)))
%%step 3
with ThreadPoolExecutor(2) as ex, ThreadPoolExecutor(2) as other: res3 = list(ex.map(abs, res2))
""",
    lost="ex other",
)
scenario(
    "a lost value in whose place a function is that is called",
    """
%%step 1
import os
f = open(os.devnull)
%%step 2
def f(): return 1
r = f()
%%step 3
q = f()
""",
)
scenario(
    "an unmarked cell changes a class by an instance of it",
    """
%%step 1
class Counter:
    made = 0
    def hit(self): type(self).made += 1
c = Counter()
def hit(): c.hit()
%%
hit()
%%step 2
hit()
%%step 3
r = Counter.made
""",
)
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
    "a lost value that nothing reads again",
    """
%%step 1
import sqlite3
conn = sqlite3.connect(':memory:'); rows = [r for (r,) in conn.execute('select 1 union select 2')]
%%step 2
total = sum(rows)
%%step 3
rows.append(total)
""",
    lost="conn",
)
scenario(
    "a lost value that holds a method of what a step below changes",
    """
%%step 1
import io
file = io.StringIO(); writing = map(file.write, (text for text in 'abc')); n = next(writing)
%%step 2
n = file.write('x')
%%step 3
n = next(writing); r = file.getvalue()
""",
    runs={1: "writing", 2: "writing"},
    starts=(2, 3),
)
scenario(
    "a lost value that only a step reads which is restored",
    """
%%step 1
import threading
held = threading.Lock(); _ = held.acquire(); n = [1]
%%step 2
n.append(held.locked())
%%step 3
m = n * 2
%%step 4
o = m + n
""",
    lost="held",
    runs={},
    starts=(3, 4, 5),
)
scenario(
    "a lost value that a step above the start point reads",
    """
%%step 1
import threading
held = threading.Lock(); _ = held.acquire(); n = [1]
%%step 2
n.append(2)
%%step 3
n.append(held.locked())
""",
    lost="held",
    runs={1: "`held` could not be saved, and step 3 reads it"},
    starts=(2, 3),
)
scenario(
    "a lost value behind a function of its step and one behind a method of an unmarked cell",
    """
%%step 1
def gen():
    while True: yield 1
g = gen(); h = gen(); k = gen(); next(g), next(h), next(k)
def draw(): return next(g)
class Drawer:
    def draw(self): return next(k)
d = Drawer()
%%step 2
def more(): return next(h)
n = 1
%%step 3
n += 1
%%
x = draw(), more(), d.draw()
%%step 4
n += 1
""",
    lost="g h k",
    runs={1: "could not be saved, and "},
)
scenario(
    "a lost name that a later cell binds anew before it reads it",
    """
%%step 1
g = (i for i in [1]); n = next(g)
%%step 2
n += 1
%%
g = (i for i in [5]); x = next(g)
%%step 3
n += x
""",
    lost="g",
)
scenario(
    "lost values in a chain",
    """
%%step 1
src = iter_ = (i for i in range(100)); a = [next(src)]
%%step 2
a.append(next(src)); b = a
%%step 3
c = [a, b]
%%step 4
c.append(next(src))
%%step 5
d = len(c)
""",
    lost="src iter_",
    runs={1: "`", 2: "`"},
    starts=(2, 3, 4),
)
scenario(
    "a step that reads a lost value, and an unmarked cell above it that the step reads too",
    """
%%step 1
g = (i for i in [1, 1, 2, 3]); n = next(g)
%%
factor = 3
%%step 2
m = next(g) * factor
%%step 3
k = m + n
""",
    lost="g",
    runs={1: "`", 2: "`"},
    starts=(2, 3, 4),
)
scenario(
    "threads, timers and pools that end within the step",
    """
%%step 1
import threading
from concurrent.futures import ThreadPoolExecutor
log = []; total = {'n': 0}
workers = [threading.Thread(target=lambda i=i: log.append(i)) for i in range(3)]
for one in workers: one.start(); one.join()
del one, workers
%%step 2
with ThreadPoolExecutor(2) as pool: squares = list(pool.map(lambda x: x * x, range(4)))
del pool
%%step 3
timer = threading.Timer(0.001, lambda: total.update(n=total['n'] + 1)); timer.start(); timer.join(); del timer
%%step 4
log.append(total['n'] + squares[3])
""",
)
scenario(
    "a pool that waits for work goes on as no code of the notebook",
    """
%%
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
pool.submit(int).result()
import math
math.pool = pool; del pool
%%step 1
a = [1]
%%step 2
a.append(2)
%%step 3
b = len(a)
""",
)
scenario(
    "a thread that goes on after its step",
    """
%%step 1
import threading
stop = threading.Event(); count = [0]
def work(): stop.wait(5)
threading.Thread(target=work, name='worker', daemon=True).start()
%%step 2
count.append(1)
%%step 3
stop.set()
import time
while any(one.name == 'worker' for one in threading.enumerate()): time.sleep(0.001)
%%step 4
count.append(2)
""",
    lost="one",
    runs={1: "running thread `worker`", 2: "running thread `worker`", 3: "`"},
)
scenario(
    "an unmarked cell adds a row whose keys are texts that a step wrote, too",
    """
%%step 1
rows = [{'name': 'a', 'value': 1}]
%%step 2
n = len(rows)
%%
rows.append({'name': 'c', 'value': 2})
%%step 3
total = [r['name'] for r in rows]
%%step 4
rows.append({'name': 'd', 'value': 3})
%%step 5
more = len(rows)
""",
)
scenario(
    "an unmarked cell adds an instance whose attributes are texts",
    """
%%step 1
class R:
    def __init__(self, name): self.name, self.kind = name, 'kind'
rows = [R('a')]
tags = {'kind'}
%%step 2
n = len(rows)
%%
rows.append(R('b'))
%%step 3
total = [r.name for r in rows]
%%step 4
rows.append(R('c'))
%%step 5
more = len(rows)
""",
)
scenario(
    "an unmarked cell adds to a container texts that a step wrote, too",
    """
%%step 1
import collections
rows = collections.deque([{'name': 'a', 'value': 1}]); held = [rows, 'name']
%%step 2
n = len(rows)
%%
rows.append({'name': 'c', 'value': 2})
%%step 3
total = [r['name'] for r in rows], len(held)
%%step 4
rows.append({'name': 'd', 'value': 3}); held.append('value')
%%step 5
more = len(rows), held
""",
)
scenario(
    "an unmarked cell puts texts of a step beside its own",
    """
%%step 1
names = ['a', 'b', 'c']
%%
opts = {'cols': names + ['a'], 'by': 'a'}
%%step 2
got = opts['cols'], opts['by']
%%step 3
more = names, opts
""",
)
scenario(
    "an unmarked cell compiles expressions that a step compiled, too",
    """
%%step 1
import re
x = re.compile('a+'); y = re.compile('(?i)b', re.M); z = re.compile(b'c'); w = re.compile('d # )', re.X)
%%
same = [x, re.compile('a+'), y, re.compile('(?i)b', re.M), z, re.compile(b'c'), w, re.compile('d # )', re.X)]
%%step 2
r = [one is other for one, other in zip(same[::2], same[1::2])], [one.flags for one in same]
%%step 3
s = x.sub('-', 'baab'), r
""",
)

for error in ("GeneratorExit", "Stop"):
    scenario(
        f"an object whose __reduce_ex__ raises {error} is lost, and nothing else",
        f"""
%%step 1
class Stop(BaseException): pass
class Odd:
    def __reduce_ex__(self, protocol): raise {error}('no')
o = Odd(); keep = [1]
%%step 2
keep.append(2)
%%step 3
r = keep
""",
        lost="o",
    )

scenario(
    "what an unmarked cell puts into modules and classes of libraries is changed by names, and the other way round",
    """
%%step 1
import collections, fractions, functools, numpy as np
calls = []; d = {'c': calls}; a = np.zeros(3)
%%
collections.held = d; fractions.Fraction.calls = calls; functools.part = a[1:]
%%step 2
calls.append('by name'); a[1] = 5
%%
collections.held['u'] = 1; functools.part[0] += 1
%%step 3
fractions.Fraction.calls.append('by class'); functools.part[1] = 7
%%step 4
r = collections.held is d, fractions.Fraction.calls is calls is d['c'], np.shares_memory(functools.part, a), list(a)
""",
)
scenario(
    "unmarked cells call functions of the notebook through libraries",
    """
%%step 1
import logging, string
seen = []
class Handler(logging.Handler):
    count = 0
    def emit(self, record): seen.append(record.getMessage()); self.count += 1
log = logging.getLogger('between'); log.propagate = False; log.setLevel(10)
handler = Handler(); log.addHandler(handler); string.told = lambda text: seen.append(text)
%%
log.info('one'); string.told('two')
%%step 2
log.info('three'); handler.tag = seen
%%
log.info('four')
%%step 3
r = handler.count, list(seen), handler.tag is seen
""",
)

scenario(
    "a step gives the names of functions and classes of unmarked cells to others that lead to them, or deletes them",
    """
%%
import functools
def f(x): return x + 1
def key(x): return -x
class C:
    def __init__(self): self.x = [1]
class D:
    class Inner: pass
held = {'f': f, 'key': key, 'inner': D.Inner}; a = C()
%%step 1
f = functools.lru_cache(f); y = f(1)
def made(k):
    def key(x): return k(x) * 2
    return key
key = made(key); b = C(); d = D.Inner(); del C, D
%%
k = f.__wrapped__ is held['f']; b.x.append(2)
%%step 2
r = f.__wrapped__ is held['f'], key.__closure__[0].cell_contents is held['key'], type(a) is type(b)
c = type(a)(); e = held['inner']()
%%step 3
r2 = type(c) is type(b), isinstance(d, type(e)), c.x
""",
)
scenario(
    "a step makes a class of the name and the code of one of an unmarked cell, of which it makes an instance before",
    """
%%
class C:
    def __init__(self): self.x = [1]
a = C()
%%step 1
b = C()
class C:
    def __init__(self): self.x = [1]
c = C()
%%step 2
r = type(a) is type(b), isinstance(c, type(a)), type(c) is C
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
