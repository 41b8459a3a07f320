"""Which nan or infinity something holds: code asks for that of numpy or `math` by `is`, and containers find it so."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "in containers, attributes, names and defaults",
    """
%%step 1
import math, numpy as np
L = [1.0, np.nan, 'x', float('nan'), math.nan]; D = {'a': np.nan, 'b': 2}; T = (1, np.nan); S = {1, 'a', np.nan}
K = {np.nan: 'none', 1: 'one', float('nan'): np.nan}; F = frozenset([np.nan]); N = np.nan; M = math.nan; best = np.inf; I = [math.inf, -math.inf, np.inf]; C = [D, 1]; C.append(C)
class P: pass
p = P(); p.best = np.nan; p.low = np.inf; p.inner = [np.nan, T]
def f(x, missing=np.nan): return x is missing
%%step 2
L.append(1); D['c'] = 3; K[2] = 'two'; S.add(3); Q = [L, K]
%%step 3
r = [x is np.nan for x in L], [x is math.nan for x in L], D['a'] is np.nan, K.get(np.nan), list(K.values())[2] is np.nan
t = len(K), list(K)[1:2], T[1] is np.nan, np.nan in S, np.nan in F, p.best is np.nan, p.low is np.inf, p.inner[0] is np.nan, p.inner[1] is T
u = N is np.nan, M is math.nan, f(np.nan), best is np.inf, [x is math.inf for x in I], I[2] is np.inf, Q[0] is L, Q[1] is K, np.nan in L, C[0] is D, C[2] is C
""",
)
scenario(
    "in definitions",
    """
%%step 1
import math, numpy as np
from dataclasses import dataclass
class Config:
    missing = np.nan
    table = {'a': np.nan}
@dataclass
class Row:
    x: float = np.nan
    y: float = math.nan
@dataclass(frozen=True)
class Fixed:
    x: float = np.nan
def f(x, *, fill=np.nan, other=1): return x is fill
def outer():
    lost = np.nan; count = [0]
    def inner(x): count[0] += 1; return x is lost
    return inner
g = outer(); row = Row(); fixed = Fixed(np.nan); f.attr = np.nan
%%step 2
a = g(np.nan), f(np.nan), f.attr is np.nan, Row().x is np.nan
%%step 3
r = Config.missing is np.nan, Config.table['a'] is np.nan, Row().x is np.nan, row.x is np.nan, row.y is math.nan
t = f(np.nan), g(np.nan), fixed.x is np.nan, f.attr is np.nan, Fixed().x is np.nan
""",
)
scenario(
    "in arrays of objects and frames",
    """
%%step 1
import numpy as np, pandas as pd
df = pd.DataFrame({'cabin': pd.Series(['C85', np.nan, 'E46', np.nan], dtype=object), 'age': [1.0, np.nan, 2.0, 3.0]})
o = np.array(['a', np.nan, [1]], dtype=object); v = o[1:]; idx = pd.Index(['a', np.nan], dtype=object)
fixed = np.array([np.nan, 1], dtype=object); fixed.flags.writeable = False
s = pd.Series(['a', np.nan]); u = df['cabin'].unique(); rec = df.to_dict('records')
%%step 2
df['has'] = df['cabin'].apply(lambda x: 0 if x is np.nan else 1)
m = {k: 1 for k in u}
%%step 3
r = df['cabin'].apply(lambda x: x is np.nan).tolist(), df['has'].tolist(), [x is np.nan for x in o], v[0] is np.nan
t = [x is np.nan for x in idx], [x is np.nan for x in s], np.nan in u.tolist(), m.get(np.nan), fixed[0] is np.nan
w = [x['cabin'] is np.nan for x in rec]
""",
    needs="pandas",
)
scenario(
    "in large values, which are written as trees where they hold none",
    """
%%step 1
import numpy as np
rows = [{'id': k, 'v': np.nan if k % 3 else k / 2} for k in range(5000)]; pairs = [(k, np.nan) for k in range(3000)]
big = [k * 1.0 for k in range(200000)]; big[77777] = np.nan
%%step 2
rows.append({'id': 1}); big.append(1); pairs.append((1, 2))
%%step 3
r = sum(row.get('v') is np.nan for row in rows), sum(pair[1] is np.nan for pair in pairs), big.index(np.nan)
""",
)
scenario(
    "in what Python and libraries make of dicts and lists",
    """
%%step 1
import numpy as np
from collections import defaultdict, Counter, OrderedDict, deque
from sklearn.impute import SimpleImputer
im = SimpleImputer(missing_values=np.nan).fit([[1.0], [np.nan]])
c = Counter(['a', np.nan, np.nan]); dd = defaultdict(list); dd[np.nan].append(1)
od = OrderedDict([(np.nan, 1), ('b', np.nan)]); dq = deque([np.nan, 1], maxlen=5)
%%step 2
c['b'] += 1; dd['x'].append(2); od['c'] = 3; dq.append(2)
%%step 3
r = im.missing_values is np.nan, c[np.nan], dd[np.nan], od[np.nan], od['b'] is np.nan, list(od)[1:], dq[0] is np.nan
""",
    needs="sklearn",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
