"""Which of equal values something holds that cannot change: code asks by `is` for those that names mean."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "names of one value in two steps",
    """
%%step 1
import datetime, decimal, fractions, ipaddress, pathlib, uuid
D = datetime.date(9999, 1, 1); C = decimal.Decimal('1.50'); F = fractions.Fraction(1, 3); U = uuid.UUID(int=5)
T = (1, 'x', D); S = frozenset([1, 'a']); P = pathlib.Path('a/b'); I = ipaddress.ip_address('10.0.0.1'); N = float('nan')
%%step 2
others = [D, C, F, U, T, S, P, I, N]; d, t, n = D, T, N
%%step 3
r = [one is other for one, other in zip(others, [D, C, F, U, T, S, P, I, N])], d is D, t is T, T[2] is D, n is N, N in others
""",
)
scenario(
    "a date for never, that defaults and later steps ask for",
    """
%%step 1
import datetime
NEVER = datetime.datetime(1, 1, 1)
class Task:
    def __init__(self, due=NEVER): self.due = due
    def is_due(self): return self.due is not NEVER
%%step 2
tasks = [Task(), Task(datetime.datetime(1, 1, 1)), Task(NEVER)]
%%step 3
tasks.append(Task())
%%step 4
r = [task.is_due() for task in tasks]
""",
)
scenario(
    "in a class of a later step",
    """
%%step 1
import decimal
ZERO = decimal.Decimal(0); nan = float('nan')
%%step 2
class Money:
    zero = ZERO; none = nan
    def __init__(self, v=ZERO): self.v = v
    def add(self, *, other=ZERO): return self.v if other is ZERO else self.v + other
def f(x=ZERO): return x is ZERO
%%step 3
m = Money(); ms = [Money(), Money(decimal.Decimal(0))]
%%step 4
r = m.v is ZERO, Money.zero is ZERO, [x.v is Money.zero for x in ms], m.add() is ZERO, f(), Money.none is nan
""",
)
scenario(
    "in what holds them in all kinds of ways",
    """
%%step 1
import collections, datetime, zoneinfo
E = datetime.date(3000, 1, 1); K = ('a', 1); nan = float('nan'); nested = ((1, E), frozenset([E])); zone = zoneinfo.ZoneInfo.no_cache('Europe/Paris')
%%step 2
class Slotted:
    __slots__ = ('a', 'b')
P = collections.namedtuple('P', 'a b')
s = Slotted(); s.a = E; s.b = nested; p = P(E, K); q = collections.deque([E, nan, nested]); keys = {E: 1, K: 2}; members = {E, K}; fixed = frozenset([E, K])
rows = [(k, k) for k in range(5000)]; rows.append(K); floats = [k * 1.0 for k in range(100000)]; floats.append(nan)
start = datetime.datetime(2024, 3, 30, 12, tzinfo=zone); is_end = (lambda one: lambda other: other is one)(E)
%%step 3
end = datetime.datetime(2024, 3, 31, 12, tzinfo=zone)
%%step 4
r = s.a is E, s.b is nested, nested[0][1] is E, p.a is E, p.b is K, q[0] is E, q[1] is nan, q[2] is nested, [k is E for k in keys], [k is K for k in keys]
t = sum(k is K for k in members), sum(k is E for k in fixed), rows[-1] is K, rows[0] is K, nan in floats, end - start, start.tzinfo is zone, is_end(E), is_end(datetime.date(3000, 1, 1))
""",
)
scenario(
    "what an unmarked cell names",
    """
%%
import datetime
NEVER = datetime.date(9998, 1, 1); nan = float('nan'); inf = float('inf'); RED = (255, 0, 0)
%%step 1
xs = [NEVER, 3, nan]; cells = {'a': RED, 'b': (255, 0, 0)}
%%step 2
ys = [*xs[:1], NEVER]; best = {'x': inf}; table = {nan: 1, 2: nan}
%%step 3
r = [y is NEVER for y in ys], xs[0] is NEVER, nan in xs, table.get(nan), table[2] is nan, best['x'] is inf, {k: v is RED for k, v in cells.items()}
""",
)
scenario(
    "a nan of the notebook's own, in one step and in several",
    """
%%step 1
nan = float('nan'); other = -nan; xs = [1.0, nan, other]; alias = nan; pair = (nan, 2)
def f(x, missing=nan): return x is missing
class Row: pass
row = Row(); row.best = nan
%%step 2
xs.append(nan); seen = {nan: 'none'}; inside = {nan, 1}
%%step 3
r = [x is nan for x in xs], xs[2] is other, alias is nan, pair[0] is nan, pair == (nan, 2), f(nan), row.best is nan, nan in seen, nan in inside
""",
)
scenario(
    "names that mean something else by then",
    """
%%step 1
import datetime
a = datetime.date(9999, 1, 1); b = a; c = datetime.date(9999, 1, 1); nan = float('nan')
%%step 2
held = [a, c, nan]
%%step 3
a = datetime.date(9999, 1, 1); del c; nan = float('nan')
%%step 4
more = [a, held[0]]
%%step 5
r = [x is a for x in held], [x is b for x in held], [x is a for x in more], more[1] is held[0], nan in held
""",
)
scenario(
    "one that is another value after an edit of an unmarked cell is not taken",
    """
%%
import datetime
limit = datetime.date(2024, 1, 1)
%%step 1
held = [limit]
%%step 2
r = held[0] is limit, held[0]
%%
limit = datetime.date(2025, 1, 1)
%%step 3
s = held[0] is limit, held[0] == limit
""",
)
scenario(
    "what modules of the user's own, `datetime` and `uuid` have",
    """
%%
from tests.exact.project import keeping
%%step 1
import datetime, uuid
due = [keeping.NEVER, keeping.NAN, keeping.PAIR]; n = keeping.NEVER; last = datetime.date.max; space = uuid.NAMESPACE_DNS
%%step 2
more = due[:2] + [n, last]; soon = datetime.datetime.min
%%step 3
r = [x is keeping.NEVER for x in due], [x is keeping.NEVER for x in more], n is keeping.NEVER, keeping.NAN in due, more[1] is keeping.NAN
t = due[2] is keeping.PAIR, last is datetime.date.max, more[3] is last, soon is datetime.datetime.min, space is uuid.NAMESPACE_DNS
""",
)
scenario(
    "tuples that large values have in common, with a name and without",
    """
%%step 1
RED = (255, 0, 0); rows = [(k, k) for k in range(5000)]; rows.append(RED); table = {k: [k] for k in range(3000)}; table['r'] = RED
pairs = [(k, -k) for k in range(2000)]; some = pairs[::2]; by_key = {k: pair for k, pair in enumerate(pairs[:1500])}
%%step 2
r = rows[-1] is RED, table['r'] is RED, some[3] is pairs[6], by_key[5] is pairs[5], by_key[4] is some[2]
""",
)
scenario(
    "what no name means, found in the value of one",
    """
%%step 1
import collections, datetime, decimal
class Task: pass
task = Task(); task.due = datetime.date(2024, 1, 1); task.prices = collections.OrderedDict(a=decimal.Decimal('1.5')); task.log = collections.deque([(1, 2), (1, 2)])
rows = [{'due': datetime.date(2020, 1, k + 1), 'at': (k, k)} for k in range(5)]; grid = {(x, y): [(x, y)] for x in range(9) for y in range(9)}
class Log(list):
    def __len__(self): return 99
log = Log([('seen', 1)]); log.note = ('a', 'b'); P = collections.namedtuple('P', 'at'); p = P([(1, 1)])
%%step 2
seen = [*log][0], log.note, p.at[0]
first = rows[0]['due']; ats = [row['at'] for row in rows]; key = [*grid][11]; inner = grid[4, 4][0]; old = task.due, task.prices['a'], task.log[1]
%%step 3
rows[0]['again'] = first; picked = ats[::2]; d = old[0]
%%step 4
r = first is rows[0]['due'], [a is row['at'] for a, row in zip(ats, rows)], [*grid][11] is key, inner is grid[4, 4][0], inner is [*grid][40]
t = [one is other for one, other in zip(old, (task.due, task.prices['a'], task.log[1]))], [a is b for a, b in zip(seen, ([*log][0], log.note, p.at[0]))], rows[0]['again'] is first, [one is other for one, other in zip(picked, ats[::2])], d is task.due
""",
)
scenario(
    "scalars of numpy and pandas",
    """
%%step 1
import numpy as np, pandas as pd
LOW = np.float64('nan'); ONE = np.int64(3); DAY = np.datetime64('2024-01-01'); STAMP = pd.Timestamp('2024-01-01', tz='UTC'); GAP = pd.Timedelta(days=1)
%%step 2
held = [LOW, ONE, DAY, STAMP, GAP, np.float64('nan')]; s = pd.Series([STAMP, 1], dtype=object)
%%step 3
r = [x is y for x, y in zip(held, [LOW, ONE, DAY, STAMP, GAP, LOW])], LOW in held[:1], s[0] is STAMP
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
