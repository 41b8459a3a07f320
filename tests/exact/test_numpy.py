"""numpy: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
