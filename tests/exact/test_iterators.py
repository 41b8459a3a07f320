"""Iterators, handles, results: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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
    "iterators at their end, over each kind",
    """
%%step 1
import array
import numpy as np
ended = [iter(one) for one in ([1], (1,), {1: 2}, {1}, 'a', 'é', b'a', bytearray(b'a'), range(1), array.array('i', [1]))]
ended += [iter(np.array([1])), reversed([1]), iter({1: 2}.items())]
begun = [iter(b'ab'), iter('éa'), iter(array.array('i', [1, 2])), iter(np.array([1, 2]))]
for one in ended: list(one)
firsts = [next(one) for one in begun]
%%step 2
kinds = [type(one).__name__ for one in ended]
%%step 3
rest = [list(one) for one in ended + begun]
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
    "locks, events and queues of asyncio for which something waited",
    """
%%
import asyncio
asyncio.set_event_loop(asyncio.new_event_loop())
def run(*them):
    async def all_of_them(): return await asyncio.gather(*them)
    return asyncio.get_event_loop().run_until_complete(all_of_them())
%%step 1
class Queue(asyncio.Queue): pass
q, own, event, lock, turns, heard = (asyncio.Queue(2), Queue(), asyncio.Event(), asyncio.Lock(), asyncio.Semaphore(2),
                                     asyncio.Condition())
async def use(number):
    async with lock: await asyncio.sleep(0.001)
    async with turns: await asyncio.sleep(0.001)
    return number
async def fill():
    await asyncio.sleep(0.01); await q.put(1); await own.put(2); event.set()
    async with heard: heard.notify_all()
async def hear():
    async with heard: await heard.wait()
got = run(hear(), q.get(), own.get(), event.wait(), fill(), *map(use, range(4)))
%%step 2
event.clear()
async def later(): await asyncio.sleep(0.001); event.set()
waited = run(event.wait(), later(), q.put([3]), own.put(4), *map(use, range(4)))
%%step 3
rest = run(q.get(), own.get()), q.empty(), own.empty(), event.is_set(), lock.locked(), turns.locked()
del q, own, event, lock, turns, heard  # which differ in the loop that the last of them was bound to
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
scenario(
    "generators that have not begun",
    """
%%step 1
def gen(n, acc, *rest, k=1, **kw):
    for i in range(n):
        acc.append((i, rest, k, kw)); yield i
class Walk:
    def __init__(self): self.items, self.n = [1, 2], 0
    def __iter__(self):
        for one in self.items: self.n += 1; yield one, __class__
def make():
    n = [0]
    def up(step): n[0] += step; yield n[0]
    return up, lambda: n
up, told = make(); acc, y, xs, walk = [], 2, [1, 2], Walk()
%%step 2
g = gen(3, acc, 7, k=3, z=4); h = [g]; e = (x * y for x in xs); w = iter(walk); u = [up(1), up(step=2)]
e.__name__ = "mine"; pairs = zip(w, e)
%%step 3
xs.append(5); y = 10; walk.items.append(3); told()[0] = 100
def gen(): yield -1
%%step 4
r = list(g), list(h[0]), h[0] is g, list(pairs), e.__name__, list(u[1]), list(u[0]), walk.n
s = next(w, 0), next(e, 0), list(gen())
""",
)
scenario(
    "a generator that had not begun lets go of what it was called with",
    """
%%step 1
import weakref
class Thing: pass
def use(thing, *, other):
    def show(): return other
    ref = weakref.ref(thing); del thing
    yield ref() is None
    other = show() + 1
    yield show()
things = [use(Thing(), other=1), use(Thing(), other=2)]
%%step 2
x = 1
%%step 3
r = [list(one) for one in things]
assert r == [[True, 2], [True, 3]]
""",
)
scenario(
    "a generator that has begun, of a function that a later step defines anew",
    """
%%step 1
def f(n): yield from [n, n]
g = f(5); old = f; a = next(g)
%%step 2
def f(n): yield -n
h = [f]
%%step 3
r = list(g), list(h[0](2)), list(old(3))
""",
    lost="g",
    starts=(4,),
)
scenario(
    "a generator makes its step run again",
    """
%%step 1
def gen():
    yield from [1, 2, 3]
a = [1]
%%step 2
g = gen(); next(g)
%%step 3
a.append(2)
""",
    runs={2: "could not be saved"},
    differs="g",
)
scenario(
    "a generator holds a list that a later step changes",
    """
%%step 1
a = [1]
def gen(items):
    while True: items.append(len(items)); yield len(items)
%%step 2
g = gen(a); m = next(g)
%%step 3
a.append('x')
%%step 4
n = next(g), list(a)
""",
    runs={2: "could not be saved", 3: "`g`", 4: "`g`"},
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
    "functions, methods and objects of the notebook are told what happens to a figure",
    """
%%step 1
import functools
from matplotlib.figure import Figure
fig = Figure(); ax = fig.subplots(); drawn, told = [], []
number = fig.canvas.mpl_connect('draw_event', lambda event: drawn.append(event.name))
%%step 2
class Watch:
    def moved(self, event): told.append(event)
    def __call__(self, event): told.append([event])
watch = Watch()
other = fig.canvas.mpl_connect('resize_event', watch.moved)
fig.canvas.mpl_connect('resize_event', Watch()); fig.canvas.mpl_connect('close_event', functools.partial(watch.moved))
%%step 3
fig.canvas.draw(); fig.canvas.callbacks.process('resize_event', 1); fig.canvas.callbacks.process('close_event', 2)
%%step 4
fig.canvas.mpl_disconnect(number); fig.canvas.mpl_disconnect(other)
fig.canvas.draw(); fig.canvas.callbacks.process('resize_event', 3)
%%step 5
r = drawn, told
""",
    differs="fig ax (memory)",
)
scenario(
    "unmarked cells draw into the figure of a step",
    """
%%step 1
from matplotlib.figure import Figure
fig = Figure(); ax = fig.subplots(); line, = ax.plot([1, 2], label='a')
%%
ax.plot([2, 1], 'o--', label='b'); ax.bar([1, 2], [3, 4], color='red'); ax.scatter([1], [2]); ax.text(0, 0, 'text')
ax.fill_between([1, 2], [1, 2]); ax.set_title('title'); ax.legend(); ax.twinx(); fig.suptitle('all'); fig.add_axes([0, 0, 1, 1])
%%step 2
ax.axhline(1); first = line.get_label(), [type(one).__name__ for one in ax.get_children()]
%%
ax.inset_axes([0.5, 0.5, 0.3, 0.3]); fig.colorbar(ax.imshow([[1, 2]]), ax=ax); ax.set_yscale('log')
%%step 3
second = line.axes is ax, len(fig.axes), fig.gca() is ax, ax.get_yscale()
""",
    starts=(3, "auto"),
    differs="fig ax line (memory)",
)
scenario(
    "parts of a figure that has no name",
    """
%%step 1
from matplotlib.figure import Figure
ax = Figure().subplots(); line, = ax.plot([1, 2]); many = [ax.plot([2, k])[0] for k in range(3)]; held = {'bars': ax.bar([1], [2])}
%%step 2
line.set_linewidth(7)
%%step 3
ax.set_title('title'); many.pop().remove(); other, = ax.plot([3, 4]); held['line'] = other
%%step 4
first = line.axes is ax, ax.lines[0] is line, ax.lines[-1] is other is held['line'], len(ax.lines), line.get_linewidth()
%%step 5
second = ax.get_title(), many[0].figure is line.figure is held['bars'][0].figure, many[1] in ax.lines
""",
    starts=(2, 4, "auto"),
    differs="ax line many held other (memory)",
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
    "the traceback of a kept exception",
    """
%%step 1
import traceback
def f(x):
    local = [x]
    return (g(local) +
            1)
def g(x): return [1 / (len(x) - i) for i in range(3)]
try: f([1])
except Exception as e: err = e
%%step 2
text = traceback.format_exception(err)[-3:]
%%step 3
has = err.__traceback__ is not None, [fr.name for fr in traceback.extract_tb(err.__traceback__)]
try: raise err
except ZeroDivisionError as again: twice = again
%%step 4
same = twice is err, len(traceback.extract_tb(err.__traceback__)), err.__traceback__.tb_frame.f_globals is globals()
""",
)
scenario(
    "cause, context, notes and groups of kept exceptions",
    """
%%step 1
import json
class Mine(ValueError):
    def __init__(self, code, *, more): super().__init__(code); self.more = more
errs = []
try:
    try: 1 / 0
    except ZeroDivisionError as z: raise Mine('k', more=errs) from z
except Mine as e: err = e; err.add_note('hello')
try: json.loads('[1,')
except json.JSONDecodeError as e: bad = e
for x in (0, 'a'):
    try: 1 / x
    except Exception as e: errs.append(e)
group = ExceptionGroup('many', errs)
%%step 2
try:
    try: {}['x']
    except KeyError: [][0]
except IndexError as e: inner = e
try:
    try: inner.nope
    except AttributeError as e: raise KeyError(1) from None
except KeyError as e: none = e
%%step 3
errs[0].add_note('n'); r = type(err.__cause__), err.more is errs, type(inner.__context__), none.__context__.obj is inner
%%step 4
try: raise group
except* ZeroDivisionError as part: zero = part.exceptions[0] is errs[0]
except* TypeError: pass
r2 = inner.__context__.__traceback__ is not None, err.__suppress_context__, none.__suppress_context__
""",
)
scenario(
    "errors of libraries, of deep recursions and of functions that are gone",
    """
%%step 1
import numpy as np, pandas as pd, os, traceback
kept = {}
def attempt(name, function):
    try: function()
    except Exception as e: kept[name] = e
def deep(n): return deep(n + 1)
attempt('np', lambda: np.zeros(3) + np.zeros(4)); attempt('pd', lambda: pd.DataFrame({'a': [1]})['b'])
attempt('os', lambda: open('/nowhere/at/all')); attempt('deep', lambda: deep(0)); attempt('uni', lambda: bytes([255]).decode())
exec(compile('def gone(): raise LookupError(1)', '<gone>', 'exec')); attempt('gone', gone); del gone
%%step 2
kept['os'].extra = kept
%%step 3
r = {name: (len(traceback.extract_tb(e.__traceback__)), e.args == () or str(e)[:20]) for name, e in kept.items()}
r2 = kept['os'].errno, kept['os'].filename, kept['uni'].start
""",
)

scenario(
    "iterators over dicts go on seeing what is changed there",
    """
%%step 1
from collections import OrderedDict, defaultdict
d = {i: str(i) for i in range(5)}; od = OrderedDict(d); dd = defaultdict(list, a=[1], b=[2]); di = iter(d); vi = iter(d.values()); ii = iter(d.items()); rd = reversed(d); oi = iter(od.values()); ri = reversed(dd.values()); st = iter('abc'); tp = iter((1,2,3)); done = iter({}); list(done)
for o in (di, vi, ii, rd, oi, ri, st, tp): next(o)
%%step 2
d[3] = 'changed'; x = next(vi), next(oi); od[4] = 'odd'; dd['a'] = 'A'
%%step 3
r = [list(o) for o in (di, vi, ii, rd, oi, ri, st, tp, done)]
%%step 4
again = next(di, None), type(vi).__name__
""",
)
scenario(
    "iterators beyond the end of their list, inside their list, and over callables",
    """
%%step 1
L = [1,2,3,0,5]; src = iter(L); ci = iter(lambda: next(src), 0); ci2 = iter(L.pop, 3)
C = [1, 2, 3]; it = iter(C); next(it); C.append(it); C.append(4); rev = reversed(C); next(rev); C.append(rev)
%%step 2
a = next(ci)
%%step 3
r = list(ci), list(ci2), L; b = next(it)
%%step 4
L += [7, 8, 9]; r2 = list(src); c = next(rev) is it, next(rev), next(it)
""",
)
scenario(
    "generators that came to their end",
    """
%%step 1
def g():
    yield 1
a = g(); b = list(a); c = (i for i in b); d = list(c); closed = g(); closed.close()
%%step 2
x = [a, closed]
%%step 3
r = list(a), next(c, 'none'), a.__name__, x[0] is a
""",
)
scenario(
    "an iterator in the middle of a set",
    """
%%step 1
s = {10, 20, 30}; si = iter(s); next(si); s2 = {1}; fresh = iter(s2); gone = iter(s2); list(gone)
%%step 2
y = list(fresh)
%%step 3
r = list(si)
""",
    runs={1: "`si` could not be saved"},
    starts=(2, 3),  # step 3 reads it, and does not run with a later start point
)

scenario(
    "results of regular expressions",
    r"""
%%step 1
import re
text = 'key=1, other=22'
m = re.search(r'(\w+)=(\d+)', text); all_ = list(re.finditer(r'(?P<k>\w+)=(\d+)', text)); fm = re.fullmatch('a*', 'aaa'); mm = re.compile('b').match('abc', 1); bm = re.search(b'x', b'yx'); no = re.match('z', 'a')
%%step 2
m2 = [m, all_[1]]
%%step 3
r = m.groups(), all_[1].span(), all_[1].pos, all_[1]['k'], fm.endpos, mm.pos, bm.group(), m2[0].span(), no, m.re is m2[0].re, m.string is text
""",
)
scenario(
    "simple queues with content, and what a thread keeps to itself",
    """
%%step 1
import queue, threading
sq = queue.SimpleQueue(); a = [1]; sq.put(a); sq.put(2); sq.get(); sq.put(a); e = queue.SimpleQueue()
loc = threading.local(); loc.x = a
%%step 2
a.append(2)
%%step 3
r = sq.get(), sq.get() is a, sq.empty(), e.empty(), loc.x is a
""",
)
scenario(
    "what writes rows of csv",
    """
%%step 1
import csv, io
file = io.StringIO(); writer = csv.writer(file, 'excel-tab', lineterminator='|', quoting=csv.QUOTE_NONNUMERIC)
n = writer.writerow([1, 'a'])
%%step 2
n = file.write('x'); both = {'writer': writer}; named = csv.DictWriter(file, ['k', 'v'])
%%step 3
writer.writerows([[2, 'b']]); named.writerow({'k': 1, 'v': 'c'})
%%step 4
r = file.getvalue(), both['writer'] is writer, writer.dialect.delimiter, writer.dialect.quoting
""",
)
scenario(
    "what reads rows of csv",
    """
%%step 1
import csv, io
lines = ['k;v', '1;"a', 'b"', '2;c', '3;d', '4;e']; rest = iter(lines)
reader = csv.reader(rest, delimiter=';'); named = csv.DictReader(rest, ['n', 'm'], delimiter=';')
head = next(reader), next(reader); fresh = csv.reader(['x'], 'excel-tab', strict=True)
%%step 2
both = {'reader': reader}; first = next(named), named.line_num, reader.line_num
%%step 3
r = next(reader), reader.line_num, next(named), both['reader'] is reader, list(rest), next(fresh), fresh.line_num
%%step 4
r += next(reader, 'end'), reader.dialect.delimiter, fresh.dialect.strict, next(fresh, 'end')
""",
)
scenario(
    "threads that ended, and some that have not begun",
    """
%%step 1
import threading
from concurrent.futures import ThreadPoolExecutor
class Worker(threading.Thread):
    made = []
    def __init__(self, items):
        super().__init__(name='worker', daemon=True); self.items = items; self.made.append(self)
    def run(self): self.total = sum(self.items)
items = [1, 2]; worker = Worker(items); worker.start(); worker.join(); later = Worker(items)
done = [threading.Thread(target=items.append, args=(k,)) for k in (3, 4)]
for one in done: one.start()
for one in done: one.join()
timer = threading.Timer(60, print); timer.start(); timer.cancel(); timer.join()
with ThreadPoolExecutor(2, 'pool') as pool: future = pool.submit(pow, 2, 3)
waiting = threading.Thread(target=items.append, args=(5,), name='waiting')
%%step 2
alive = [one.is_alive() for one in (worker, later, timer, *done)]; worker.items.append(9); worker.join()
%%step 3
later.start(); later.join(); waiting.start(); waiting.join(); one = done[0].is_alive()
try: worker.start()
except RuntimeError as error: why = str(error)
try: pool.submit(print)
except RuntimeError as error: shut = str(error)
%%step 4
r = [worker.total, later.total, items, Worker.made[0] is worker, Worker.made[1] is later, later.items is items]
names = [one.name for one in (worker, later, waiting)], worker.daemon, done[0].daemon, worker.ident is None
ended = timer.finished.is_set(), timer.is_alive(), future.result(), hasattr(done[0], '_target'), [*vars(worker)]
del later, waiting, Worker.made[1:]  # numbers of threads are others each time
""",
)
scenario(
    "what threads keep to themselves in objects of classes of the notebook",
    """
%%step 1
import threading
class Own(threading.local):
    kept = []
    def __init__(self, first, *, more): self.here = [first, more]; self.kept.append(first)
class Plain(threading.local):
    rate = 2
items = [1]; own = Own(items, more='x'); plain = Plain(); plain.items = items
%%step 2
own.here.append(plain); own.late = items; items.append(2)
%%step 3
def go():
    plain.items = ['there']; seen.append((own.here, hasattr(own, 'late'), own.here[0] is items))
seen = []; thread = threading.Thread(target=go); thread.start(); thread.join(); del thread
%%step 4
own.here[0].append(Own.kept); r = own.here, plain.items is items, len(Own.kept), Plain.rate
""",
)
scenario(
    "closed sockets, databases, buffers and temporary files",
    """
%%
import tempfile
tempfile.gettempdir()
%%step 1
import socket, sqlite3, io, contextlib
s = socket.socket(); s.close()
c = sqlite3.connect(':memory:'); c.execute('select 1'); c.close()
with tempfile.TemporaryFile() as tf: tf.write(b'x')
with tempfile.TemporaryFile('w') as tt: tt.write('x')
with io.StringIO('abc') as si: pass
with io.BytesIO() as bb: pass
st = contextlib.ExitStack()
%%step 2
x = 1
%%step 3
r = tf.closed, tt.closed, s.fileno(), si.closed, bb.closed, type(tf.name)
try: c.execute('x')
except sqlite3.ProgrammingError as e: msg = str(e)
""",
)
scenario(
    "errors whose attributes somebody set: they do not follow from the arguments any more",
    """
%%step 1
try: compile('a b', 'f', 'exec')
except SyntaxError as e: syntax = e; e.lineno += 10; e.filename = 'notebook'
try: b'\\xff'.decode('utf-8')
except UnicodeDecodeError as e: text = e; e.reason += ' in a file'
done = StopIteration(1); done.value = [done]; blocked = BlockingIOError(11, 'm'); blocked.characters_written = 4
class Lost(OSError): pass
lost = Lost(2, 'gone', 'a'); lost.filename = 'b'; group = ExceptionGroup('many', [lost])
%%step 2
syntax.offset = 7
%%step 3
r = str(syntax), syntax.lineno, syntax.offset, str(text), done.value[0] is done, blocked.characters_written, str(lost)
r += group.exceptions[0] is lost, lost.filename, lost.errno, syntax.args, text.args
""",
)
scenario(
    "memoryviews: parts, steps, casts, shapes, read-only, released",
    """
%%step 1
import array
b = bytearray(range(24)); m = memoryview(b); p = m[4:8]; q = p[::-1]; c = m.cast('i'); d = m.cast('B', (4, 6)); a = array.array('d', [1, 2, 3]); am = memoryview(a); ap = am[1:]; ro = p.toreadonly(); im = memoryview(b'abcdef')[2:4]; rel = memoryview(b'x'); rel.release()
%%step 2
b[4] = 200; a[1] = 50
%%step 3
r = p[0], q[-1], c[1], d[0, 4], ap[0], ro[0], bytes(im); p[1] = 9
%%step 4
r2 = b[5], q[2], ro.readonly
""",
)

scenario(
    "memoryviews of the bytes of an array, as many as it has items",
    """
%%step 1
import array
a = array.array('d', [1, 2, 3]); v = memoryview(a).cast('B')[:3]; w = memoryview(a).cast('B')[8:16]
%%step 2
a[0] = 1.1; a[1] = 9
%%step 3
r = v.tolist(), w.tolist(), v.format
""",
)
scenario(
    "groups, in the middle of one",
    """
%%step 1
import itertools
groups = itertools.groupby([1, 2, 11, 12, 21], lambda n: n // 10); key, group = next(groups); first = next(group)
left = [g for _, g in itertools.groupby([1, 2])]; ended = itertools.groupby([1]); list(ended); nones = itertools.groupby([None, None, 1]); next(next(nones)[1])
%%step 2
second = next(group)
%%step 3
key2, group2 = next(groups); third = next(group2), list(group), list(ended)
%%step 4
r = key2, list(group2), [(k, list(g)) for k, g in groups], [(k, list(g)) for k, g in nones]
s = list(map(list, left)), type(left[0]) is type(group)
del group, group2
""",
)


scenario(
    "pairs of neighbours, and keys that compare by a function",
    """
%%step 1
import itertools as it, functools
l = [1, 2, 3, 4]; src = iter(l); pw = it.pairwise(src); next(pw)
new = it.pairwise(l); end = it.pairwise([1]); list(end)
k = functools.cmp_to_key(lambda a, b: b - a); items = [k(3), k(1)]; same = k(l)
%%step 2
l.append(5); items.append(k(2))
%%step 3
r = next(pw), list(src), list(pw), list(new), list(end)
s = [i.obj for i in sorted(items)], same.obj is l, type(items[0]) is type(k), k(9) < k(8)
""",
)
scenario(
    "objects of classes that libraries make while they are called",
    """
%%step 1
import email.message
m = email.message.EmailMessage(); m['Subject'] = 'hé'; m['To'] = 'A <a@b.c>'; m.set_content('text ä')
%%step 2
del m['Subject']; m['Subject'] = 'new'; h = m['to']
%%step 3
r = m.as_string(), h.addresses[0].display_name, m['subject']
""",
)


scenario(
    "rows of a database that is closed, by the names of their columns",
    """
%%step 1
import sqlite3
con = sqlite3.connect(':memory:'); con.row_factory = sqlite3.Row
con.execute('create table t (a, "b c", a2)'); con.executemany('insert into t values (?, ?, ?)', [(k, str(k), k / 2) for k in range(5)])
rows = con.execute('select a, "b c", a2 as "x""y" from t').fetchall(); one = rows[2]; n = con.execute('select count(*), 1, 1 from t').fetchone(); con.close()
%%step 2
rows.append(one); total = sum(row['a'] for row in rows); kept = {row['a']: row for row in rows}
%%step 3
r = [tuple(row) for row in rows], one.keys(), rows[2] is one, one == rows[2], n.keys(), tuple(n), one['B C'], kept[1] is rows[1], [dict(row) for row in rows], rows[0] == rows[1]
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
