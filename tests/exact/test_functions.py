"""Functions: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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
    "a function is defined again by exec and put in a container",
    """
%%step 1
def f(): return 1
held = [f, f]
%%step 2
exec("def f(): return 1")
%%step 3
held[0] = f
%%step 4
r = held[0] is f, held[1] is f, held[0] is held[1]
""",
)
scenario(
    "a default and an attribute become another function of equal code",
    """
%%step 1
def g(): return 1
def f(h=g): return h
f.helper = g
%%step 2
def g(): return 1
%%step 3
r = f() is g, f.helper is g, f() is f.helper
%%step 4
f.helper = g
%%step 5
r2 = f() is g, f.helper is g
""",
)
scenario(
    "a loop makes functions of one name",
    """
%%step 1
made = []
for i in range(3):
    def f(x=i): return x
    made.append(f)
%%step 2
also = made[1]
%%step 3
r = also is made[1], f is made[2], also()
same = []
for i in range(3):
    def g(): return 1
    same.append(g)
%%step 4
g2 = same[0]
%%step 5
r2 = [one is g2 for one in same], same[2] is g
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
