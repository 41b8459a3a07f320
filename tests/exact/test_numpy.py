"""numpy: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "types of numbers that spell out the order of bytes, as scipy.io.loadmat makes them",
    """
%%step 1
import numpy as np
f, t, u = (np.dtype(one).newbyteorder("<") for one in ("f8", "M8[s]", "U3"))
a, b, dates, texts = np.arange(6.).astype(f), np.arange(20000.).astype(f), np.zeros(3, t), np.zeros(2, u)
%%step 2
v = a[::2]; a[0] = 9; b[5] = 1; plain = a + b[:6]
%%step 3
r = [repr(one.dtype) for one in (a, b, v, dates, texts, plain, np.zeros((), [("x", f)]))], v[0], f.byteorder
""",
)
scenario(
    "parts of arrays of a foreign order of bytes, and integers that are no `int64` of the same size",
    """
%%step 1
import numpy as np
a = np.arange(30).astype('>i4').reshape(2, 3, 5); part, turned = a[:, 1:].copy()[:, ::2], a.T
days = np.arange(24).reshape(2, 3, 4).astype('>M8[D]').transpose(1, 0, 2).copy('K'); locked = days.copy('K'); locked.flags.writeable = False
fixed = np.frombuffer(bytes(range(40)), '>i4')[::2]; long = np.arange(3, dtype='q')
%%step 2
a[0, 0, 0] = 9
%%step 3
arrays = part, turned, days, locked, fixed, long
r = [(one.dtype.str, one.dtype.char, one.shape, one.tobytes(), one.flags.writeable) for one in arrays], type(long[0])
""",
)
scenario(
    "trees of scikit-learn that an unmarked cell may change have bytes between the fields of their arrays",
    """
%%step 1
import numpy as np
from sklearn.tree import DecisionTreeRegressor
X = np.arange(200.).reshape(-1, 2); trees = [DecisionTreeRegressor() for _ in range(20)]
%%step 2
for n, tree in enumerate(trees): tree.fit(X, X[:, 0] % (n + 2))
%%
for tree in trees: tree.max_depth = 3
%%step 3
r = sum(tree.predict(X).sum() for tree in trees)
""",
)
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
    "arrays with gaps between their elements become read-only",
    """
%%step 1
import numpy as np
g = np.asfortranarray(np.arange(6.).reshape(2, 3)); h = g[1:3]; held = [np.arange(9.)[::2]]
del g
%%step 2
h.setflags(write=False); held[0].setflags(write=False)
%%step 3
k = h.flags.writeable, held[0].flags.writeable
%%step 4
h.setflags(write=True); h[0, 0] = 7
""",
)
scenario(
    "a bytearray under fields with a gap, in which alone something changes",
    """
%%step 1
import numpy as np
b = bytearray(32)
a = np.frombuffer(b, dtype=np.dtype({'names': ['x', 'y'], 'formats': ['i4', 'i4'], 'offsets': [0, 8], 'itemsize': 16}))
%%step 2
b[4] = 1
%%step 3
b[0] = 5; r = int(a['x'][0])
""",
)
scenario(
    "data of Arrow over a bytearray, an `array.array` and a part of one",
    """
%%step 1
import array, numpy as np, pandas as pd, pyarrow as pa
b = bytearray(b'0123456789abcdef'); c = array.array('q', [1, 2, 3])
buf = pa.py_buffer(b); part = pa.py_buffer(memoryview(b)[4:12])
col = pa.Array.from_buffers(pa.int64(), 2, [None, buf]); table = pa.table({'x': np.frombuffer(c, dtype='i8')})
%%step 2
b[5] = 1; c[0] = 10
%%step 3
b[8] = 2; c[1] = 20
r = col.to_pylist(), part.to_pybytes(), table.to_pydict()
%%step 4
b2 = b; r2 = b2 is b, buf.to_pybytes()
""",
    needs="pyarrow",
)
scenario(
    "a bytearray that grows beside libraries that may lie over it",
    """
%%step 1
import pandas as pd, pyarrow as pa
b = bytearray(8); held = [b]
%%step 2
b.extend(b'12')
%%step 3
held[0].append(3); r = bytes(b)
""",
    needs="pyarrow",
)
scenario(
    "a series of polars over a bytearray",
    """
%%step 1
import numpy as np, polars as pl
b = bytearray(b'0123456789abcdef')
s = pl.Series('x', np.frombuffer(b, dtype='i8'))
%%step 2
b[0] = 1
%%step 3
b[8] = 2; r = s.to_list()
""",
    needs="polars",
)
scenario(
    "a k-d tree over the array that it was made from",
    """
%%step 1
import numpy as np
from scipy.spatial import KDTree, cKDTree
p = np.random.RandomState(0).rand(20, 2); k, c = KDTree(p), cKDTree(p, leafsize=4)
%%step 2
p[0] = 0.5
%%step 3
r = k.data is p, k.query([0.5, 0.5])[1], c.data[0].tolist()
%%step 4
p[1] = 9.0; r2 = c.query([9.0, 9.0])[1]
""",
    needs="scipy",
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

scenario(
    "memoryviews of arrays: whole, parts, casts, read-only, of records, of an array without a name",
    """
%%step 1
import numpy as np
a = np.arange(6); m = memoryview(a); p = m[2:5]; s = m[::-2]; c = m.cast('B'); d = m.cast('B', (6, 8)); ro = m.toreadonly()
g = np.arange(6.).reshape(2, 3); n = memoryview(g); k = {'v': memoryview(np.arange(3)), 'f': memoryview(g.T)}
r = np.rec.array([(1, 2.5), (3, 4.5)], dtype=[('x', 'i4'), ('y', 'f8')]); b = memoryview(r.view('u1').reshape(-1)); t = memoryview(r)
%%step 2
m[2] = 70; b[0] = 200; g[1, 2] = 8; k['v'][0] = 5
%%step 3
q = p[0], s.tolist(), c[16], d[2, 0], ro[2], n[1, 2], k['v'].tolist(), k['f'].tolist(), r.x.tolist(), t.nbytes, m.obj is a, t.obj is r
%%step 4
p[1] = 4; c[0] = 3; z = a.tolist(), ro.readonly, m.obj is p.obj
""",
)
scenario(
    "fields of structures that hold objects",
    """
%%step 1
import numpy as np
st = np.zeros((2, 3), dtype=[('o', 'O'), ('n', 'i8'), ('q', [('z', 'O'), ('k', 'i4')])]); n = st['n']; o = st['o'][:, 1]; L = [1]; z = st['q']['z'][::-1]; t = st.T
%%step 2
st['o'][0] = L; n[1] = 5; z[0, 0] = L
%%step 3
L.append(2); o[1] = L; r = st.tolist()
%%step 4
t[0, 0]['n'] = 9; r2 = st[0, 0]['n'], st['q']['z'][1, 0] is L
""",
)
scenario(
    "rows of a structured array lie in its memory",
    """
%%step 1
import numpy as np
st = np.zeros(3, dtype=[('a', 'i4'), ('b', 'f8')]); row = st[1]; rec = st.view(np.recarray); rr = rec[2]; lone = np.zeros(2, st.dtype)[0]; cp = st[0].copy()
%%step 2
row['a'] = 5; rr.b = 2.5
%%step 3
st['b'][1] = -1; lone['a'] = 3; r = st['a'][1], row['b'], rec.b[2]
%%step 4
row['b'] = 8; r2 = st['b'][1], lone['a'], cp
""",
)
scenario(
    "an array class that leaves its attributes out of its pickle",
    """
%%step 1
import numpy as np
class Info(np.ndarray):
    def __new__(cls, data, info): obj = np.asarray(data).view(cls); obj.info = info; return obj
    def __array_finalize__(self, obj): self.info = getattr(obj, 'info', None)
shared = ['m']; x = Info([1., 2, 3], shared); y = x[1:]; z = x * 2; ro = Info([1, 2], None); ro.flags.writeable = False
ob = np.array([shared, None], dtype=object).view(Info)
%%step 2
shared.append('s'); x[1] = 50
%%step 3
r = y[0], z.info is shared, y.info, ro.flags.writeable, ob.info; ob[1] = x
%%step 4
y[1] = -3; r2 = x[2], ob[1] is x
""",
)
scenario(
    "masked arrays: views, shared and hard masks, objects, the constant",
    """
%%step 1
import numpy as np
a = np.arange(6.).reshape(2, 3); m = np.ma.masked_greater(a, 3); col = m[:, 1]; h = np.ma.array([1, 2], hard_mask=True, fill_value=-9); s = np.ma.array([(1, 2.)], dtype=[('a', 'i4'), ('b', 'f8')], mask=[(0, 1)]); nm = np.ma.array([1, 2]); cst = np.ma.masked; o = np.ma.array([[1], None], dtype=object, mask=[0, 1])
%%step 2
col[0] = np.ma.masked; a[0, 0] = 77; h[0] = np.ma.masked
%%step 3
h[0] = 5; nm[0] = np.ma.masked; r = m.tolist(), h.tolist(), nm.mask is np.ma.nomask, m.mask.tolist(), cst is np.ma.masked
%%step 4
m.mask[1, 1] = False; col[1] = 3; r2 = m.tolist(), a.tolist(), h.hardmask, s.tolist(), o.tolist(), m.fill_value
""",
)
scenario(
    "a masked array, its data, its mask and a view",
    """
%%step 1
import numpy as np
m = np.ma.array([1., 2., 3.], mask=[0, 1, 0]); d = m.data; k = m.mask; m2 = m[1:]
%%step 2
m[0] = np.ma.masked
%%step 3
d[2] = 99; k2 = m2.mask; m2[1] = 7; r = m.sum(), m.sharedmask, m2.sharedmask, m.hardmask, m2.data.base is m.data
%%step 4
m.harden_mask(); m[0] = 5; m2.mask[0] = False; r2 = m.tolist(), m2.tolist()
""",
)
scenario(
    "views of record arrays, matrices and arrays of strings with methods",
    """
%%step 1
import numpy as np
rec = np.rec.array([(1, 2.), (3, 4.)], dtype=[('x','i4'),('y','f8')]); x = rec.x; mt = np.matrix([[1,2],[3,4]]); row = mt[0]; ch = np.char.array(['a','b']); c1 = ch[:1]
%%step 2
x[0] = 10; row[0, 0] = 7
%%step 3
rec.y[1] = -1; r = rec.x[0], mt[0,0]; mt[0, 1] = 5; c1[0] = 'z'
%%step 4
r2 = row.tolist(), x.tolist(), ch.tolist()
""",
)
scenario(
    "read-only arrays, their views, and views that are read-only alone",
    """
%%step 1
import numpy as np
a = np.arange(6.); a.flags.writeable = False; v = a[2:]; b = np.arange(5); w = b.view(); w.flags.writeable = False; big = np.zeros(100000); big.flags.writeable = False; bv = big[10:20]
br = np.broadcast_to(b, (3, 5)); fb = np.frombuffer(b'12345678', 'u1'); al = np.zeros(3); al.flags.aligned
%%step 2
b[0] = 9
%%step 3
r = w[0], v.flags.writeable, br[1, 0], fb.flags.writeable, w.base is b
%%step 4
a.flags.writeable = True; a[3] = 1; r2 = v[1]; big.flags.writeable = True; big[11] = 5; r3 = bv[1]
""",
)
scenario(
    "overlapping strides, of one array and of none",
    """
%%step 1
import numpy as np
a = np.arange(5.); s = np.lib.stride_tricks.as_strided(a, (3, 3), (8, 8)); z = np.lib.stride_tricks.as_strided(a, (4, 5), (0, 8)); lone = np.broadcast_to(np.float64(3), (4, 4)); ba = np.broadcast_arrays(np.arange(3), np.zeros((2, 1)))
%%step 2
s[0, 1] = 100
%%step 3
a[2] = -1; z[0, 0] = 55; r = s.tolist(), z[3, 0], a[0]
""",
)
scenario(
    "object arrays that hold themselves",
    """
%%step 1
import numpy as np
o = np.empty(3, object); o[0] = o; o[1] = [o]; o[2] = {'o': o}; q = o[1:]; L = o[1]
%%step 2
q[1]['k'] = L
%%step 3
L.append(1); r = o[0] is o, o[1][0] is o, q[0] is L, o[2]['k'] is L
""",
)
scenario(
    "rows, columns and reversed views of object arrays",
    """
%%step 1
import numpy as np
o = np.empty((3, 3), object)
for i in range(9): o.flat[i] = [i]
t = o.T; row = o[1]; col = o[:, 1]; rv = o[::-1, ::2]; nameless = np.array([[1], [2], None], dtype=object)[1:]
%%step 2
row[0] = 'x'; col[2].append(9)
%%step 3
t[2, 2] = None; r = o[1, 0], o[2, 1], rv.tolist(), t[0, 1]
%%step 4
rv[0, 0] = 'rv'; r2 = o[2, 0], nameless.tolist()
""",
)
scenario(
    "seed sequences that spawn, bit generators of several owners",
    """
%%step 1
import numpy as np
ss = np.random.SeedSequence(5); ch = ss.spawn(2); g = np.random.Generator(np.random.PCG64(ch[0])); g2 = g.spawn(1)[0]; bg = g.bit_generator; rs = np.random.RandomState(bg); mt = np.random.MT19937(3); gm = np.random.Generator(mt); ph = np.random.Philox(4); sf = np.random.SFC64(5)
class M: pass
m = M(); m.rng = g; m.seq = bg.seed_seq
%%step 2
x = g.random(), bg.random_raw(), rs.rand(), gm.normal(), ph.random_raw()
%%step 3
y = ss.spawn(1)[0].spawn_key, g.spawn(1)[0].bit_generator.seed_seq.spawn_key, m.rng is g, m.seq is bg.seed_seq, m.rng.bit_generator is bg, rs._bit_generator is bg
%%step 4
z = m.rng.random(), rs.rand(), mt.random_raw(), gm.random(), sf.random_raw(), ch[1].generate_state(2).tolist(), ss.n_children_spawned, g2.random(), g.normal()
""",
)
scenario(
    "views as attributes of keys, found by identity",
    """
%%step 1
import numpy as np
from dataclasses import dataclass
@dataclass(eq=False)
class K: a: np.ndarray
base = np.zeros((4, 4)); k = K(base[1]); d = {k: base[:, 2]}; s = {k}
%%step 2
k.a[2] = 5
%%step 3
r = d[k][1], next(iter(s)) is k; d[k][3] = 8
%%step 4
r2 = base.sum(), list(d)[0].a is k.a
""",
)
scenario(
    "arrays without elements and without dimensions",
    """
%%step 1
import numpy as np
e = np.empty((0, 3)); ev = e[:, 1]; z = np.array(5.); zv = z[...]; zz = z.reshape(1, 1); one = np.arange(5.)[2:3]
%%step 2
zz[0, 0] = 7
%%step 3
r = float(zv), ev.shape, one.tolist(); e.resize((2, 3), refcheck=False)
""",
)
scenario(
    "views of an array class of the notebook, and plain arrays over it",
    """
%%step 1
import numpy as np
class A(np.ndarray): pass
x = np.arange(6.).view(A); y = x[2:]; z = np.arange(3).view(A); plain = np.asarray(x)
%%step 2
y[0] = 50
%%step 3
r = x[2], type(y).__name__, plain[2]; plain[3] = -1
%%step 4
r2 = y[1]
""",
)

scenario(
    "the bit generator behind the functions of numpy.random",
    """
%%step 1
import numpy as np
gb = np.random.mtrand._rand._bit_generator; np.random.seed(3)
%%step 2
a = np.random.rand()
%%step 3
r = gb is np.random.mtrand._rand._bit_generator, gb.random_raw(), np.random.rand()
""",
)

scenario(
    "arrays of all sizes are resized by a later step",
    """
%%step 1
import numpy as np
big = np.arange(100_000.); small = np.arange(4); fixed = np.arange(200_000); fixed.flags.writeable = False
f = np.asfortranarray(np.arange(90_000.).reshape(300, 300)); box = {'b': np.zeros(70_000)}; v = np.arange(80_000.)[5:]
%%step 2
t = big[0]; v[0] = 1
%%step 3
big.resize(200_000, refcheck=False); small.resize(8, refcheck=False); n = big.size; box['b'].resize(10, refcheck=False)
%%step 4
f.resize((200, 300), refcheck=False); big[150_000] = 1; own = big.flags.owndata, fixed.flags.writeable, v[1]
""",
)

scenario(
    "maps of a file, their parts, and plain arrays over them",
    """
%%
import tempfile, os
path = os.path.join(tempfile.gettempdir(), f'ckpt_magic_{os.getppid()}_read.bin')
%%step 1
import numpy as np
if not os.path.exists(path): np.arange(100.).tofile(path)
ro = np.memmap(path, 'f8', 'r', shape=(10, 10)); cp = np.memmap(path, 'f8', 'c', shape=(10,))
%%step 2
s = float(ro.sum()); part = ro[3:7, ::2]; arr = np.asarray(ro)[:, 1]
%%step 3
r = s, part.sum(), type(part), arr.sum(), np.shares_memory(part, ro), part.filename == ro.filename
%%step 4
cp[0] = 77; r2 = cp[0], ro[0, 0]
""",
    runs={4: "`cp` could not be saved"},
)
scenario(
    "a map that is written through makes its steps run where the file was written to since",
    """
%%
import tempfile, os
path = os.path.join(tempfile.gettempdir(), f'ckpt_magic_{os.getppid()}_written.bin')
%%step 1
import numpy as np
w = np.memmap(path, 'f8', 'w+', shape=(50,)); w[:] = 1
%%step 2
w[0] += 1; v = w[:5]
%%step 3
v[1] += 1; t = w.sum()
""",
    runs=dict.fromkeys((1, 2, 3), "was changed"),
)

scenario(
    "views of strings of any length",
    """
%%step 1
import numpy as np
st = np.array(['a', 'bb', 'c' * 400], dtype=np.dtypes.StringDType(na_object=None)); sv = st[1:]; rv = st[::-1]; pl = np.array(['x', 'y' * 99], dtype=np.dtypes.StringDType()); pv = pl[1:]
%%step 2
sv[0] = 'new' * 100; st[0] = None
%%step 3
r = st.tolist(), rv.tolist(); rv[0] = 'r' * 50; pv[0] = 'z' * 77
%%step 4
r2 = sv.tolist(), pl.tolist()
""",
)
scenario(
    "the memory of an array that was broadcast, and the order of parts, whose bases have no name",
    """
%%step 1
import numpy as np
a = np.broadcast_to(np.arange(3.), (2, 3)); f = np.ones((3, 2), order='F'); f = f[1:]
r = np.arange(6.).reshape(2, 3)[::-1]; big = np.arange(60000.).reshape(200, 300)[::-1]
%%step 2
c = a; d = f.T; s = r.T; r[0] = 7
%%step 3
a = a[1:]; order = [one.copy('K').strides for one in (d, s, r)]; big[0] = -1
%%step 4
e = big.T; g = big.strides
""",
)
scenario(
    "types of numbers exist once, in arrays of every size",
    """
%%step 1
import numpy as np
a = np.arange(5.); b = [np.zeros(3)]; d = a.dtype; big = np.arange(100_000.); t = np.dtype([('a', 'f8'), ('b', 'i4')]); x = np.zeros(3, t)
%%step 2
m = [a, np.ones(2)]; same = a.dtype is np.dtype(float), big.dtype is d, x['a'].dtype is d, x.dtype is t
%%step 3
q = m[0] + m[1][0]; z = {'a': q, 'b': m}
%%step 4
w = np.concatenate([q, a]), d is q.dtype, q.dtype is np.dtype(float)
""",
)
scenario(
    "the other order of bytes",
    """
%%step 1
import numpy as np
b = np.arange(3, dtype='>i4'); t = np.zeros(2, [('a', '>f8'), ('b', 'i2')]); u = np.array(['ab', 'c'], '>U2'); v = b[1:]; d = np.array(['2020'], '>M8[D]'); f = np.asfortranarray(np.arange(6., dtype='>f8').reshape(2, 3)); big = np.arange(50_000, dtype='>f8'); o = np.arange(4, dtype='>i2')[::2]
%%step 2
b[0] = 7; z = b.newbyteorder() if hasattr(b, 'newbyteorder') else b.view(b.dtype.newbyteorder()); sc = t[0]['a'], b[1]
%%step 3
t['a'][1] = 3; b.resize(5, refcheck=False); r = b.tobytes(), t.tobytes(), u.tobytes(), f.tobytes(), big.dtype.str, o.dtype.str, o.strides
""",
)
scenario(
    "small arrays are resized by a way that nobody sees in the code",
    """
%%step 1
import numpy as np
small = {n: np.arange(n) for n in (3, 125, 126, 600, 8000)}
swapped = np.arange(600, dtype='>i4'); cube = np.arange(24.).reshape(2, 3, 4).transpose(1, 0, 2).copy('K')
columns = np.asfortranarray(np.arange(600.).reshape(20, 30)); names = np.array(['a', 'b'] * 300)
%%step 2
owned = [array.flags.owndata for array in (*small.values(), swapped, names)]
for array in (*small.values(), swapped, names): getattr(array, 're' + 'size')(array.size + 2, refcheck=False)
%%step 3
r = [array.sum() for array in small.values()], swapped.tolist(), cube.strides, columns.flags.f_contiguous, names[-3:]
""",
)
scenario(
    "sparse matrices share the memory of their transposes",
    """
%%step 1
import numpy as np, scipy.sparse as sp
S = sp.csr_matrix(np.eye(3)); L = sp.random(300, 300, 0.1, 'csr', random_state=0)
whole = np.arange(12.); a, b = whole[:5], whole[3:9]; del whole
sizes = a.base is b.base, S.data.base.size, L.data.base.size
%%
T = S.T; U = L.T; V = S.tocoo().T.tocsr().T
%%step 2
T.data[0] = 7.0; U.data[:] = 2.0
%%step 3
r = S[0, 0], L.sum(), a.base is b.base, S.data.base.size, L.data.base.size, S.T.data is S.data
S.data[1] = 8.0; t = T[1, 1]
""",
)

scenario(
    "functions of numpy, and those made of Python functions",
    """
%%step 1
import numpy as np
class Count:
    n = 0
    def __call__(self, x): self.n += 1; return x + self.n
def clip(x): return x if x > 0 else 0.0
count = Count(); v = np.vectorize(clip, otypes=[float]); a = v([1., -2.])
u, o = np.frompyfunc(count, 1, 1), np.frompyfunc(max, 2, 1, identity=0); b = u([1, 2]); fs = {'sin': np.sin, 'o': o}
%%step 2
c = u([1]), count.n, v([-3., 4.]), v.pyfunc is clip
%%step 3
clip_before = clip
def clip(x): return -x
d = v([5.]), u([1]), count.n, fs['o'] is o, fs['sin'] is np.sin, o.reduce([]), o.__name__
""",
)

scenario(
    "views of an array of objects that its objects hold, and read-only ones",
    """
%%step 1
import numpy as np
o = np.empty(4, object); held = []; o[0] = held; held.append(o[::2]); held.append({'all': o})
s = np.zeros(3, [('a', object), ('b', 'i4'), ('c', [('d', object)])]); s['a'][1] = held; held.append(s['a'])
f = np.empty((2, 3), object, order='F'); f[1, 2] = f.T; f.flags.writeable = False
v = o[1:]; o.flags.writeable = False
%%step 2
held[0][1] = 7; held[2][0] = s[1:]
%%
v[0] = held[1]
%%step 3
v[2] = s['c']; held[0].flags.writeable
%%step 4
r = o[0] is held, o[1]['all'] is o, o.flags.writeable, v.flags.writeable, f.flags.writeable, f[1, 2][2, 1] is f[1, 2]
""",
)

scenario(
    "arrays of one value come to lie over each other, and no more, with the same numbers in them",
    """
%%step 1
import numpy as np
class Net: pass
net = Net(); net.packed = np.zeros(20000); net.weights = np.zeros(20000)
pair = [np.zeros(3), np.zeros(3)]; other = {'a': np.zeros(3)}; other['b'] = other['a'][:]; rows = np.ones((3, 2)); rows = [rows, rows[1]]
%%step 2
net.weights = net.packed[:]; pair[1] = pair[0][:]; other['b'] = other['b'].copy(); rows[1] = rows[0][2]
%%
net.packed[5] = pair[0][0] = other['a'][0] = rows[0][1] = 7
%%step 3
r = net.weights[5], pair[1][0], other['b'][0], rows[1][0]
""",
)

scenario(
    "the last digits of sums, of views without a name for their base, and of what is in another order than C's",
    """
%%step 1
import numpy as np
rng = np.random.default_rng(0)
wide, back = (rng.normal(size=(2000, 300)) for _ in range(2)); wide = wide[:, ::3]; back = back[::-1, 4::-7]; back.setflags(write=False)
held = {'few': [rng.normal(size=(300, 90))[::4, ::4], rng.normal(size=(200, 300))[::2, ::3]]}
huge = np.zeros((3000, 5000)); huge[:, 7:10] = rng.normal(size=(3000, 3)); huge = huge[::-1, 7:10]
image = rng.normal(size=(3, 40, 50)).transpose(1, 2, 0) * 3.3; large = rng.normal(size=(3, 400, 500)).transpose(1, 2, 0) * 3.3
%%step 2
def told(*arrays): return [(a.sum(), a.std(), a.mean(axis=0).sum(), (a @ np.ones(a.shape[-1]) / 3).sum()) for a in arrays]
s = told(wide, back, *held['few'], huge, image, large), wide.strides, back.strides, held['few'][0].strides, image.strides
%%step 3
wide[0] = 1; held['few'][1][0] = 2; huge[0] = .1; image[0] = 3
back.setflags(write=True); back[1] = .3
%%step 4
r = told(wide, back, *held['few'], huge, image, large), wide.strides, back.strides, image.strides, image.base is None, huge.flags.forc
huge = None  # its strides are smaller ones
""",
)
scenario(
    "views without a name for their base, of numbers that are no buffers, and of other classes",
    """
%%step 1
import numpy as np
dates = np.tile(np.arange('2020-01-01', '2020-05-01', dtype='M8[h]'), 10).reshape(-1, 8)[:, ::3]; texts = np.array(['ab', 'c'] * 20000).reshape(-1, 8)[:, ::3]
rows = np.zeros((5000, 8), [('x', 'i4'), ('y', 'f8')])[:, ::3]; rows['y'] = np.arange(15000).reshape(5000, 3)
big, short = np.arange(80000, dtype='>f8').reshape(-1, 8)[:, ::4], np.arange(80000, dtype='f4').reshape(-1, 8).T[::4]
masked, matrix = np.ma.masked_greater(np.arange(80000.).reshape(-1, 8), 30)[:, ::4], np.matrix(np.arange(80000.).reshape(-1, 8))[:, ::4]
turned = np.arange(24, dtype='>i4').reshape(2, 3, 4).transpose(1, 2, 0).copy('K'); turned.setflags(write=False)
%%step 2
s = [(one.strides, one.flags.owndata) for one in (dates, texts, rows, big, short, masked, matrix, turned)]
%%step 3
rows['y'] += 1; big[1] = 4; short[0] = 3; masked[2] = 3; matrix[1] = 3; dates[0] = dates[1]; turned.setflags(write=True); turned[0] = 5
%%step 4
r = rows['y'].sum(), big.sum(), short.sum(), masked.sum(), matrix.sum(), big.dtype.str, dates[0], texts[1, 2], turned.ravel('K')
""",
)

scenario(
    "a type with fields that a name stands for: who has it, and what its fields are called later",
    """
%%step 1
import numpy as np
kind = np.dtype([('a', int), ('b', float)]); alone = np.dtype([('c', int)]); rows = np.zeros(3, kind)
%%step 2
more = np.ones(2, kind); alone.names = ('d',)
%%step 3
rows.dtype.names = 'q', 'r'
%%step 4
r = kind.names, more.dtype.names, alone.names, rows.dtype is kind, more.dtype is kind
""",
)
scenario(
    "iterators of numpy cannot be saved: what they go over is changed by a later step",
    """
%%step 1
import numpy as np
a = np.arange(5); b = np.arange(4); c = np.arange(3)
with np.nditer(a) as over: pass
%%step 2
it = a.flat; first = next(it); every = np.nditer(b, op_flags=['readwrite'])
both = np.broadcast(c, np.ones((2, 1))); pair = next(both); at = np.ndenumerate(a); next(at)
%%step 3
a[1:] = 50; b[1:] = 50; c[:] = 9
%%step 4
r = next(it), next(both), next(at)
for value in every: value[...] = value + 1
%%step 5
s = b.tolist()
""",
    runs={1: "`over` could not be saved", 2: "", 3: "", 4: "", 5: "`every` of step 4"},
)


scenario(
    "polynomials, and who else holds their arrays",
    """
%%step 1
import numpy as np
p = np.polynomial.Polynomial([1., 2, 3]); c = p.coef; q = np.polynomial.Chebyshev.fit([1., 2, 3], [2., 4, 9], 2); d = q.domain
class Mine(np.polynomial.Polynomial): pass
m = Mine([1, 2]); m.note = [1]
%%step 2
c[0] = 9; d[0] = 0; m.note.append(2)
%%step 3
r = p(0.0), p.coef is c, q.domain is d, q(1.0), sorted(vars(p)), m.note, m(2), (p + 1).coef, str(p), p.symbol
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
