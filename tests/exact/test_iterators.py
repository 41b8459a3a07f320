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
try: 1 / 0
except Exception as e: err = e
%%step 2
has = err.__traceback__ is not None
""",
    known="it is dropped",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
