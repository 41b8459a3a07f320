"""pandas, polars, pyarrow: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "an unmarked cell holds a frame of a step and frames made from it",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'x': range(3), 'y': [1.5, 2.5, 3.5]})
%%
both = [df, df[['y']].copy(), df['x'].to_frame()]
same = both[0]._metadata is both[1]._metadata, df.columns[0] is both[2].columns[0]
%%step 2
total = both[1]['y'].sum() + len(both[0])
%%step 3
r = df._metadata is pd.DataFrame._metadata, df.columns[1] is 'y'
""",
)
scenario(
    "a closure of an unmarked cell looks at the memory of a frame that a step changes",
    """
%%
import collections, numpy as np, pandas as pd
df = pd.DataFrame({'a': np.arange(5.), 'b': np.arange(5.)})
def hold(column): return lambda: float(column.sum())
total, last = hold(df['a']), collections.deque([df['b']])
%%step 1
df['n'] = 1; own = pd.DataFrame({'a': np.arange(3.)})
%%step 2
a, b, o = df['a'].to_numpy(), df['b'].to_numpy(), own['a'].to_numpy()
%%step 3
df.loc[0, 'a'] = 9.; df.loc[0, 'b'] = 8.; own.loc[0, 'a'] = 7.
%%step 4
r = a[0], b[0], o[0], df.iloc[0].tolist(), total(), float(last[0].iloc[0])
""",
    differs="(memory)",  # of `a` and `b` with what the closure holds: it cannot be found, only counted
)
scenario(
    "two frames of one step have the memory of a frame that it replaced",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2, 3], 'b': [1.5, 2.5, 3.5]})
%%step 2
other = df.copy(deep=False); other['b'] *= 2; df['c'] = 1
%%step 3
column = df['a'].to_numpy()
%%step 4
df.loc[0, 'a'] = 9; first = column.tolist()
%%step 5
other.loc[0, 'a'] = 8; last = column.tolist()
""",
)
scenario(
    "columns are added, dropped, renamed in place",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'a': [1, 2, 3], 'b': [1.5, 2.5, 3.5], 'c': ['x', 'y', 'z']})
%%step 2
df['d'] = df.a * 2
%%step 3
df.drop(columns='b', inplace=True); df.rename(columns={'a': 'A'}, inplace=True)
%%step 4
df.loc[0, 'A'] = 100; df.columns.name = 'cols'
%%step 5
df.sort_values('d', ascending=False, inplace=True); df.insert(0, 'first', 0)
""",
)
scenario(
    "a frame under two names and inside objects",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2]}); same = df
class H: pass
h = H(); h.frame = df
%%step 2
same['b'] = [3, 4]
%%step 3
h.frame.loc[0, 'a'] = 9; s = df['a']
%%step 4
df.loc[1, 'a'] = 8; r = list(s), h.frame is df
""",
)
scenario(
    "copy-on-write behaves as before",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2, 3], 'b': [4, 5, 6]}); part = df[['a']]; row = df.iloc[0:2]; s = df['b']
%%step 2
df.loc[0, 'a'] = 100
%%step 3
row.iloc[0, 1] = -1
%%step 4
s.iloc[2] = 77; r = df.values.tolist(), part.values.tolist(), row.values.tolist(), s.tolist()
""",
)
scenario(
    "a frame's attrs hold the frame itself",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2]}); s = pd.Series([1.5, 2.5])
%%step 2
df['b'] = 3; df.attrs['self'] = df; s.attrs['of'] = [df, s]
%%step 3
r = df.attrs['self'] is df, s.attrs['of'][0] is df, s.attrs['of'][1] is s
df.attrs['more'] = 1
%%step 4
del df.attrs['self'], s.attrs['of']
""",
)
scenario(
    "an array over memory that two frames look at until one of them is written to",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'v': [1., 2., 3.], 'w': [4., 5., 6.]})
%%step 2
col = df['w']; arr = df['w'].to_numpy()
%%step 3
col.iloc[0] = -1
%%step 4
df.loc[1, 'w'] = -2; r = arr.tolist(), col.tolist()
""",
)
scenario(
    "all kinds of columns",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'cat': pd.Categorical(['a', 'b', 'a']), 'tz': pd.date_range('2020', periods=3, tz='Europe/Rome'),
    'n': pd.array([1, None, 3], dtype='Int64'), 's': pd.array(['x', None, 'z'], dtype='string'), 'o': [[1], {'a': 1}, None],
    'p': pd.period_range('2020-01', periods=3, freq='M'), 'i': pd.interval_range(0, 3), 'b': pd.array([True, None, False], dtype='boolean')})
%%step 2
df['cat'] = df['cat'].cat.add_categories('c'); df.loc[1, 'n'] = 7
%%step 3
df.loc[0, 'o'].append(2); df.loc[1, 's'] = 'y'; item = df.loc[0, 'o']
%%step 4
item.append(3); df.attrs['note'] = item; df.flags.allows_duplicate_labels = False
""",
)
scenario(
    "MultiIndex, index names, sparse",
    """
%%step 1
import pandas as pd, numpy as np
mi = pd.MultiIndex.from_product([['a', 'b'], [1, 2]], names=['k', 'n'])
df = pd.DataFrame({'v': np.arange(4.)}, index=mi); sp = pd.Series(pd.arrays.SparseArray([0, 0, 1, 0]))
%%step 2
df.loc[('a', 1), 'v'] = 50; df.index.names = ['K', 'N']
%%step 3
u = df.unstack('N'); g = df.groupby('K').sum()
%%step 4
u.iloc[0, 0] = -1; t = df.reset_index()
""",
)
scenario(
    "an array under a frame",
    """
%%step 1
import pandas as pd, numpy as np
a = np.arange(40000.).reshape(20000, 2); df = pd.DataFrame(a, copy=False, columns=['x', 'y'])
%%step 2
a[0, 0] = 99
%%step 3
r = df.iloc[0, 0]
%%step 4
a[1, 1] = 55; r2 = df.iloc[1, 1]
""",
)
scenario(
    "Arrow data over an array",
    """
%%step 1
import pandas as pd, numpy as np, pyarrow as pa
a = np.arange(20000.); t = pa.array(a)
%%step 2
a[0] = 42
%%step 3
r = t[0].as_py()
%%step 4
t2 = t.slice(5); n = len(t2)
""",
    differs="t t2",
)
scenario(
    "groupby, rolling and a series with a function",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'k': list('aabb'), 'v': [1., 2, 3, 4]})
def scale(x): return x * factor
%%step 2
factor = 3
out = df.groupby('k').v.transform(scale)
%%step 3
factor = 5; df['w'] = df.v.map(scale)
%%step 4
roll = df.v.rolling(2).mean()
""",
)
scenario(
    "frames over one memory stay apart, with dates too",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'t': pd.date_range('2020', periods=5), 'n': np.arange(5), 'k': pd.array([1, 2, 3, 4, None], dtype='Int64'),
    'c': pd.Categorical(list('abcab'))})
part = df.iloc[1:4]; frames = [df[['t']], df[['n', 'k']], df['t']]
%%step 2
df.loc[2, 't'] = pd.Timestamp('1999'); part.iloc[0, 1] = 77
%%step 3
frames[0].iloc[1, 0] = pd.Timestamp('1888'); df.loc[1, 'k'] = 9; df.loc[0, 'c'] = 'b'
%%step 4
r = part.values.tolist(), frames[0].values.tolist(), frames[2].tolist(), df.values.tolist()
""",
)
scenario(
    "views of object arrays, two-dimensional and of a frame",
    """
%%step 1
import pandas as pd, numpy as np
o = np.array([[1, [2]], [{'a': 3}, 'x']], dtype=object); row = o[1]; col = o[:, 0]; back = o[::-1, ::-1]; t = o.T
%%step 2
row[1] = 'new'; col[0] = 'c'
%%step 3
o[0, 1].append(5); back[0, 0] = None
%%step 4
t[0, 0] = 'last'; r = o.tolist(), row.tolist(), col.tolist(), back.tolist()
""",
)
scenario(
    "a class attribute refers to an array and a frame column to a list",
    """
%%step 1
import numpy as np, pandas as pd
class M:
    w = np.zeros(4)
m = M()
%%step 2
view = M.w[1:3]; n = M()
%%step 3
view[0] = 5
%%step 4
r = m.w[1], n.w is m.w is M.w
""",
)
scenario(
    "two frames and an array over one memory",
    """
%%step 1
import numpy as np, pandas as pd
a = np.zeros((1000, 2)); d1 = pd.DataFrame(a, copy=False); d2 = pd.DataFrame(a, copy=False)
%%step 2
a[0, 0] = 5
%%step 3
r = d1.iloc[0, 0], d2.iloc[0, 0]; d1.iloc[1, 1] = 7
%%step 4
r2 = a[1, 1], d2.iloc[1, 1]
""",
)
scenario(
    "a view of a frame that cannot be written, and a second frame",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'x': [1., 2., 3.], 'y': [4., 5., 6.]}); v = df['x'].to_numpy(); d2 = df[['x', 'y']]
%%step 2
df.loc[0, 'x'] = 100
%%step 3
r = v.tolist(), d2.x.tolist()
%%step 4
d2.loc[1, 'y'] = 7; s = df.y.tolist()
""",
    differs="(memory)",  # the view and the frame were let go of by `df`: neither can tell
)
scenario(
    "concat, merge, pivot, query over steps",
    """
%%step 1
import pandas as pd, numpy as np
l = pd.DataFrame({'k': [1, 2, 3], 'v': list('abc')}); r = pd.DataFrame({'k': [2, 3, 4], 'w': [1., 2., 3.]})
%%step 2
m = l.merge(r, how='outer'); l['z'] = np.arange(3)
%%step 3
c = pd.concat([l, r]).reset_index(drop=True); l.index = list('xyz'); q = m.query('k > 1')
%%step 4
q = q.assign(n=1); m.iloc[0, 1] = 'changed'; p = c.pivot_table(index='k', values='w', aggfunc='sum')
""",
)
scenario(
    "frames made from each other over steps",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'c': pd.Categorical(list('aba')), 's': list('xyz'), 'k': pd.array([1, None, 3], dtype='Int64'), 'f': [1., 2., 3.]})
%%step 2
part = df[['c', 'k']]; head = df.head(2); s = df['s']; cats = df['c'].cat.categories
%%step 3
df.loc[0, 's'] = 'new'; part.loc[1, 'k'] = 5; head.iloc[0, 3] = -1
%%step 4
s.iloc[1] = 'changed'; df['c'] = df['c'].cat.rename_categories({'a': 'A'}); r = part.c.tolist(), df.s.tolist(), list(cats)
""",
)
scenario(
    "an extension array under a frame and alone",
    """
%%step 1
import pandas as pd
arr = pd.array([1, 2, None], dtype='Int64'); df = pd.DataFrame({'k': arr}, copy=False); cat = pd.Categorical(list('ab'))
%%step 2
arr[0] = 50; s = pd.Series(cat, copy=False)
%%step 3
r = df.k.tolist(); cat[0] = 'b'
%%step 4
q = s.tolist()
""",
)
scenario(
    "names of an index are shared as pandas shares them",
    """
%%step 1
import pandas as pd
i = pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')]); df = pd.DataFrame({'v': [1, 2]}, index=i); d2 = df.copy()
%%step 2
i.names = ['x', 'y']
%%step 3
r = list(df.index.names), list(d2.index.names)
%%step 4
df.index.names = ['p', 'q']; r2 = list(i.names), list(d2.index.names)
""",
)
scenario(
    "polars frames",
    """
%%step 1
import polars as pl, numpy as np
df = pl.DataFrame({'a': [1, 2, 3], 's': ['x', None, 'z']}); same = df
%%step 2
df = df.with_columns(b=pl.col('a') * 2); part = df.slice(1)
%%step 3
same.insert_column(0, pl.Series('first', [7, 8, 9])); s = df['a']
%%step 4
df[0, 'a'] = 100; r = s.to_list(), part.rows(), same.columns, df.rows()
""",
    differs="df same s part",  # the witness does not look into polars; `r` does
)
scenario(
    "pyarrow tables of frames",
    """
%%step 1
import pandas as pd, pyarrow as pa
df = pd.DataFrame({'a': [1.0, 2.0], 's': ['x', 'y']}); t = pa.Table.from_pandas(df)
%%step 2
t2 = t.slice(1); names = t.column_names
%%step 3
back = t.to_pandas(); back.loc[0, 'a'] = 9.0
%%step 4
r = t.to_pydict(), t2.to_pydict()
""",
    differs="t t2",
)
scenario(
    "interval, period and sparse columns, and a frame of frames",
    """
%%step 1
import pandas as pd, numpy as np
cut = pd.cut(pd.Series([1, 5, 9]), 3); per = pd.Series(pd.period_range('2020-01', periods=3, freq='M'))
sp = pd.DataFrame({'s': pd.arrays.SparseArray([0, 0, 1])}); box = pd.Series([pd.DataFrame({'x': [1]}), None], dtype=object)
%%step 2
per.iloc[0] = pd.Period('2019-05'); inner = box.iloc[0]
%%step 3
inner['y'] = 2; sp['t'] = sp.s * 2; counts = cut.value_counts()
%%step 4
r = list(box.iloc[0].columns), str(per.iloc[0]), counts.tolist()
""",
)
scenario(
    "`inplace=` of many kinds, a frame in a container and a column taken out before",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'a': [3., None, 1.], 'b': [1, 1, 2], 'c': list('xyz')}, index=pd.Index(['r', 's', 't'], name='idx')); same = {'k': [df]}; s = df['a']
%%step 2
df.fillna({'a': 0.}, inplace=True); df.set_index('c', inplace=True); df.rename_axis('key', inplace=True)
%%step 3
df.reset_index(inplace=True); df.drop_duplicates('b', inplace=True); df.replace('x', 'X', inplace=True); s.fillna(9, inplace=True)
%%step 4
df.eval('d = a + b', inplace=True); df.sort_index(ascending=False, inplace=True); df.query('a > 0', inplace=True); s.update(pd.Series({'r': 100.}))
%%step 5
same['k'][0].loc['new'] = ['n', 1., 2, 3.]; popped = df.pop('b'); del df['d']; s.drop('s', inplace=True); r = df.to_dict(), s.to_dict(), popped.tolist()
""",
)
scenario(
    "groupby, rolling, resample, indexers and accessors held over steps",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'k': list('abab'), 'v': [1., 2, 3, 4]}, index=pd.date_range('2020', periods=4)); g = df.groupby('k'); roll = df['v'].rolling(2)
rs = df['v'].resample('2D'); loc = df.loc; iloc = df.iloc; it = iter(df.to_records().tolist()); next(it); acc = df['k'].str; exp = df.v.expanding(); ew = df.v.ewm(2)
%%step 2
df.loc[:, 'v'] = [10., 20, 30, 40]; first = next(it)
%%step 3
iloc[0, 1] = -5; loc[:, 'w'] = 1; a = g.sum(numeric_only=True)
%%step 4
b = roll.sum().tolist(), rs.sum().tolist(), [tuple(x) for x in it], acc.upper().tolist(), loc.obj is df, g.obj is df, exp.sum().tolist(), ew.mean().tolist(); c = df.to_dict()
""",
)
scenario(
    "attrs shared and nested, flags, names, freq, RangeIndex",
    """
%%step 1
import pandas as pd, numpy as np
meta = {'unit': ['m']}; df = pd.DataFrame({'a': range(3)}); df.attrs['meta'] = meta; d2 = df.copy(); idx = df.index
ts = pd.Series(range(5), index=pd.date_range('2020', periods=5, freq='D', name='when')); ts.attrs = df.attrs
%%step 2
meta['unit'].append('s'); d3 = df[['a']]; part = ts[::2]; df.flags.allows_duplicate_labels = False
%%step 3
ts.index.freq = None; df.attrs['new'] = 1; big = pd.DataFrame(index=pd.RangeIndex(0, 1000)); idx.name = 'n'
%%step 4
r = d2.attrs, d3.attrs, type(df.index).__name__, part.index.freq, df.index.name, d2.index.name, big.shape, d3.flags.allows_duplicate_labels, ts.attrs is df.attrs
""",
)
scenario(
    "a notebook's subclass of DataFrame with _metadata",
    """
%%step 1
import pandas as pd
class Geo(pd.DataFrame):
    _metadata = ['crs', 'tags']
    @property
    def _constructor(self): return Geo
    @property
    def _constructor_sliced(self): return GeoS
    def area(self): return (self.w * self.h * factor).tolist()
class GeoS(pd.Series):
    _metadata = ['unit', '_name']
    @property
    def _constructor(self): return GeoS
factor = 1; g = Geo({'w': [1, 2], 'h': [3, 4]}); g.crs = 'x'; g.tags = ['t']; col = g['w']; col.unit = 'cm'
%%step 2
g.tags.append('u'); sub = g[g.w > 1]; factor = 10
%%step 3
sub.crs = 'y'; g['d'] = g.area(); col.iloc[0] = 50
%%step 4
r = g.crs, sub.tags, sub.area(), type(g.head(1)).__name__, type(g.w).__name__, col[:1].unit, sub.tags is g.tags, g.w.tolist()
""",
)
scenario(
    "holders of one frame's memory see what they would have seen",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'a': [1, 2, 3], 'b': [4., 5, 6], 'c': list('xyz')}); df2 = df[:]; s = df['b']; arr = df['b'].values; h = df.head(2); cp = df.copy(deep=False)
%%step 2
df.loc[0, 'b'] = 100; a1 = arr.tolist(), s.tolist(), df2.b.tolist(), h.b.tolist()
%%step 3
s.iloc[1] = -1; df2.iloc[2, 1] = 0.5; a2 = arr.tolist(), df.b.tolist(), cp.b.tolist()
%%step 4
arr2 = df.to_numpy(); col = df.loc[:, 'b']; col[0] = 7; df['b'] *= 2; a3 = [x.b.tolist() for x in (df, df2, cp, h)], s.tolist(), arr.tolist(), col.tolist()
""",
    differs="(memory)",  # a view that cannot be written, let go of by its frame: it cannot tell
)
scenario(
    "nullable, string, arrow dtypes, categorical shared, tz, decimal, bytes, float16, complex",
    """
%%step 1
import pandas as pd, numpy as np, decimal, pyarrow as pa
cat = pd.CategoricalDtype(['lo', 'hi'], ordered=True)
df = pd.DataFrame({'c1': pd.Categorical(['lo', 'hi', None], dtype=cat), 'c2': pd.Categorical(['hi'] * 3, dtype=cat), 'st': pd.array(['a', None, 'c'], dtype='string[pyarrow]'), 'sp': pd.array(['a', None, 'c'], dtype='string[python]'),
  'ar': pd.array([[1], [2, 3], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), 'ai': pd.array([1, None, 3], dtype='int32[pyarrow]'), 'td': pd.to_timedelta([1, 2, None], unit='h'), 'cx': np.array([1j, 2, 3]), 'h': np.array([1, 2, 3], 'f2'),
  'de': [decimal.Decimal('1.1')] * 3, 'by': [b'a', b'b', b'c'], 'f': pd.array([1.5, None, 2], dtype='Float32'), 'u8': np.array([1, 2, 3], 'u1'), 'by2': np.array([b'x', b'y', b'z'])})
ser = df['st']; cats = df.c1.cat.categories
%%step 2
df.loc[0, 'st'] = 'Z'; df.loc[1, 'c1'] = 'lo'; df.loc[2, 'ai'] = 33; df['h'] += 1; df.loc[1, 'f'] = 2.5
%%step 3
df['c1'] = df.c1.cat.reorder_categories(['hi', 'lo']); df.loc[1, 'sp'] = 'q'; df['ts'] = pd.date_range('2021', periods=3, tz='UTC').tz_convert('Asia/Tokyo'); ser.iloc[1] = 'w'
%%step 4
r = [str(x) for x in df.dtypes], df.st.tolist(), ser.tolist(), df.c1.tolist(), df.c1.cat.ordered, df.ar.tolist(); df.iloc[:, 0] = 'hi'
""",
)
scenario(
    "MultiIndex on both axes, duplicates, empty frames, object columns with frames",
    """
%%step 1
import pandas as pd, numpy as np
cols = pd.MultiIndex.from_product([['x', 'y'], [1, 2]], names=['o', 'i']); df = pd.DataFrame(np.arange(16.).reshape(4, 4), columns=cols, index=pd.MultiIndex.from_arrays([list('aabb'), [1, 2, 1, 2]])); sub = df['x']
e = pd.DataFrame(columns=['q']).astype({'q': 'category'}); dup = pd.DataFrame([[1, 2, 3]], columns=list('aab')); empty = pd.DataFrame(); es = pd.Series([], dtype='period[M]')
%%step 2
df.loc[('a', 1), ('x', 2)] = -1; lv = df.columns.levels[0]; dup['a'] = 5; e.loc[0] = 'v'
%%step 3
sub.loc[('b', 2)] = 0; df.columns = df.columns.set_names('outer', level=0); dup.columns = ['p', 'p', 'r']; st = df.stack(level='outer')
%%step 4
df.index = df.index.remove_unused_levels(); empty['z'] = [1]; r = df.values.tolist(), sub.values.tolist(), dup.values.tolist(), st.shape, e.q.dtype
""",
)
scenario(
    "blocks keep their layout, fragmented frames, consolidation",
    """
%%step 1
import pandas as pd, numpy as np
df = pd.DataFrame({'a': np.zeros(4)})
for i in range(12): df[f'n{i}'] = i * 1.0
n = df._mgr.nblocks
%%step 2
df.iloc[0, 3] = 50; piece = df[['n1', 'n2']]; arr = df['n5'].to_numpy()
%%step 3
whole = df.to_numpy(); m = df._mgr.nblocks; df.loc[0, 'n5'] = -4
%%step 4
df2 = df.copy(); k = df2._mgr.nblocks, df._mgr.nblocks, arr.tolist(), [b.values.flags.f_contiguous for b in df._mgr.blocks][:3]
""",
)
scenario(
    "a styler with a notebook function, interval and period indexes, a sparse frame",
    """
%%step 1
import pandas as pd, numpy as np
def red(v): return f'color: {colour}'
colour = 'red'; df = pd.DataFrame({'a': [1, 2], 'b': [3, 4]}); st = df.style.map(red).format('{:.1f}').set_table_attributes('class="x"')
bins = pd.interval_range(0, 10, 5); sp = pd.DataFrame({'s': pd.arrays.SparseArray([0., 0, 1.])}); ps = pd.Series(1, pd.period_range('2020', periods=3, freq='Q'))
%%step 2
colour = 'blue'; df.loc[0, 'a'] = 100; c = pd.cut(pd.Series([1, 9]), bins)
%%step 3
h = st.set_uuid('u').to_html(); sp['t'] = sp.s + 1; ps.iloc[0] = 5
%%step 4
r = 'blue' in h, '100' in h, st.data is df, c.cat.categories.tolist(), sp.sparse.density, ps.to_dict()
""",
)
scenario(
    "arrays and codes taken out of series",
    """
%%step 1
import pandas as pd, numpy as np
s = pd.Series(pd.array([1, 2, None], dtype='Int64')); a = s.array; d = pd.Series(pd.date_range('2020', periods=3)); da = d.array; c = pd.Series(list('aba'), dtype='category'); ca = c.array; codes = c.cat.codes; ix = pd.Index([1, 2, 3]); iv = ix.values
%%step 2
a2 = s.array; d.iloc[0] = pd.Timestamp('1999'); c.iloc[0] = 'b'; loc = ix.get_loc(2)
%%step 3
try: a[0] = 7
except Exception as e: err = type(e).__name__
s.iloc[1] = 50; u = ix.is_unique
%%step 4
r = s.tolist(), list(a), list(a2), list(da), list(ca), codes.tolist(), iv.tolist(), d.dt.year.tolist()
""",
)
scenario(
    "a polars query with a function of the notebook is named, one without comes back",
    """
%%step 1
import polars as pl
k = 2; df = pl.DataFrame({'a': [1, 2, 3], 'c': pl.Series(['x', 'y', 'x'], dtype=pl.Categorical)}); e = pl.col('a') + 1
%%step 2
lf = df.lazy().select(pl.col('a').map_elements(lambda x: x * k, return_dtype=pl.Int64)); plain = df.lazy().select(e)
%%step 3
k = 10
%%step 4
r = lf.collect()['a'].to_list(), plain.collect()['a'].to_list(), df.rows()
""",
    runs={2: "could not be saved", 4: "`lf`"},
    differs="df e lf plain",  # the witness does not look into polars; `r` does
)
scenario(
    "attrs under a name of their own",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1, 2]}); notes = df.attrs; s = pd.Series([1]); s.attrs['deep'] = {'k': []}; deep = s.attrs['deep']['k']
%%step 2
notes['unit'] = 'm'; sub = df[['a']]
%%step 3
deep.append(df.attrs['unit']); df.attrs['more'] = deep
%%step 4
notes['last'] = 1; r = dict(df.attrs), df.attrs is notes, s.attrs, sub.attrs
""",
)
scenario(
    "groups go on with the columns that they first selected",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'k': list('aab'), 'v': [1., 2, 3], 'w': [4, 5, 6]}); g = df.groupby('k')[['v']]
%%step 2
first = g.sum().v.tolist()
%%step 3
df.loc[0, 'v'] = 100
%%step 4
second = g.sum().v.tolist()
""",
)
scenario(
    "Arrow tables, slices, batches and scalars over an array that goes on changing",
    """
%%step 1
import pyarrow as pa, pyarrow.compute as pc, numpy as np
a = np.arange(10.); arr = pa.array(a); buf = pa.py_buffer(a); t = pa.table({'x': arr, 'd': pa.array(list('aabbccddee')).dictionary_encode()}).replace_schema_metadata({'k': 'v'}); ch = pa.chunked_array([[1, 2], [3]]); f = pc.add; rb = t.to_batches()[0]
%%step 2
a[0] = 42; t2 = t.slice(3, 4); sc = pa.scalar(5)
%%step 3
a[4] = -1; r0 = t2['x'].to_pylist(); sch = t.schema
%%step 4
r = t['x'].to_pylist(), rb.column(0).to_pylist(), arr.to_pylist(), f(ch, 1).to_pylist(), t.schema.metadata, np.frombuffer(buf).tolist(), t2.to_pydict(), sc.as_py()
""",
    differs="t t2 arr buf ch rb sc sch",  # the witness does not look into Arrow; `r` does
)
scenario(
    "pandas objects that were made over one array, each by itself, write into each other",
    """
%%step 1
import numpy as np, pandas as pd
arr = np.arange(6.)
b = pd.DataFrame({'n': arr}, copy=False); s = pd.Series(arr, copy=False); del arr
%%step 2
s.iloc[0] = 9
%%step 3
r = b.n.tolist(); b.iloc[1, 0] = 5
%%step 4
r2 = s.tolist()
""",
)
scenario(
    "of pandas objects over one array some know of each other",
    """
%%step 1
import numpy as np, pandas as pd
arr = np.arange(6.)
b = pd.DataFrame({'n': arr}, copy=False); s = pd.Series(arr, copy=False); part = s.iloc[1:]; del arr
%%step 2
s.iloc[0] = 9
%%step 3
r = b.n.tolist(), part.tolist()
%%step 4
b.iloc[2, 0] = 1; r2 = s.tolist(), part.tolist()
""",
)
scenario(
    "a step takes arrays out of frames that were made from each other over steps, and writes to these",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'v': [1., 2., 3.], 'w': [4., 5., 6.]}); y = df['w']; s = pd.Series([1, 2, 3]); box = [df[['v']]]
def anew(): box[0] = box[0].copy()
%%step 2
z = df.rename(columns={'v': 'V'}); ix = pd.Index(s); n = pd.Series(pd.array([1, 2, None], dtype='Int64')); last = df['v']
%%step 3
df.loc[0, 'w'] = 4.; k = z.drop(columns='w').assign(k=1); n2 = n[:2]; anew(); del last
%%step 4
arrays = [df['w'].to_numpy(), y.to_numpy(), z['V'].to_numpy(), k['V'].to_numpy(), s.to_numpy(), n.array, box[0].to_numpy()]
%%step 5
df.loc[1, 'w'] = -1; z.loc[0, 'V'] = -2; k.iloc[0, 0] = -3; s.iloc[0] = -4; n.iloc[0] = -5; box[0].iloc[0, 0] = -6
r = [list(one) for one in arrays]
%%step 6
y.iloc[0] = -7; n2.iloc[0] = -8; df.loc[2, 'v'] = -9; r2 = [list(one) for one in arrays]
""",
)
scenario(
    "arrays out of frames that are written to, where a class is told when its instances go",
    """
%%step 1
import pandas as pd
log = []
class Told:
    def __del__(self): log.append('gone')
held = [Told()]
%%step 2
df = pd.DataFrame({'v': [1., 2., 3.], 'w': ['a', 'b', 'c']}); n = pd.Series(pd.array([1, 2, None], dtype='Int64')); df['w']
o = pd.Series([1, 'a', None], dtype='object'); box = [df]; x = df['w'].eq('a')
%%step 3
arrays = [df['v'].to_numpy(), n.array, o.array]; held[0] = pd.Series([held[0], 1], dtype='object')
%%step 4
df.loc[1, 'v'] = -1; n.iloc[0] = -5; o.iloc[0] = -2; r = [list(one) for one in arrays], len(log)
%%step 5
held.clear(); r2 = len(log)
""",
)
scenario(
    "series made from those of unmarked cells, and taken out of by arrays",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'v': [1., 2., 3.], 'w': [4., 5., 6.]})
%%
u = pd.Series([1., 2.]); w = df['w']; us = {'k': [pd.Series([5., 6.])]}; a0 = w.to_numpy()
%%step 2
z = u[:1]; zz = w[:2]; zzz = us['k'][0][:]; df['k'] = 1
%%step 3
a = z.to_numpy(); b = zz.to_numpy(); c = zzz.to_numpy()
%%step 4
z.iloc[0] = 9.; zz.iloc[0] = 8; zzz.iloc[0] = 4; df.loc[0, 'w'] = 7; r = a.tolist(), b.tolist(), c.tolist(), a0.tolist()
""",
)
scenario(
    "Arrow data made from a frame sees what is written to it",
    """
%%step 1
import pandas as pd, pyarrow as pa
df = pd.DataFrame({'w': [4., 5., 6.]}); t = pa.Table.from_pandas(df); e = pd.DataFrame({'x': [1, 2]})
%%step 2
df.iloc[0, 0] = 42; u = pa.Table.from_pandas(e)
%%step 3
e.iloc[0, 0] = 7; r = t['w'].to_pylist(), u['x'].to_pylist()
""",
    differs="t u",  # the witness does not look into Arrow; `r` does
)
scenario(
    "frames of texts that unmarked cells make from those of steps",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({('a', 'x'): {('p', 'q'): 1, ('r', 's'): 2}, ('b', 'y'): {('p', 'q'): 'u'}}); data = pd.DataFrame({'u': [1., 2.], 'v': [3., 4.]})
data.columns.name = 'item'
%%
t = df.T; long = data.stack().reset_index().rename(columns={0: 'value'})
%%step 2
r = t.stack()
%%step 3
long['k'] = 1
%%step 4
r2 = t.loc['a'], long.item.str.upper()
""",
)
scenario(
    "data of polars in several pieces, of which some lie over the memory of arrays, and that is known to be sorted",
    """
%%step 1
import polars as pl, numpy as np
n = np.arange(4.); s = pl.Series('a', n); more = s.clone().append(pl.Series('a', [None, 9.0])); up = s.set_sorted()
%%step 2
two = pl.concat([s, pl.Series('a', n[::-1].copy())[:2]], rechunk=False).set_sorted(descending=True)
df = pl.DataFrame({'x': n}).lazy().filter(pl.col('x') < 9).collect()
%%
n[3] = 5.0
%%step 3
r = more.to_list(), more.n_chunks(), up.flags, up[3], two.flags, two.n_chunks(), two.to_list(), df['x'].to_list()
%%step 4
n[1] = 7.0; q = more[1], up[1], two[1], df['x'][1]
""",
)
scenario(
    "the last digits of sums, of data of polars and Arrow that is in pieces",
    """
%%step 1
import numpy as np, pandas as pd, polars as pl
rng = np.random.default_rng(0)
def numbers(): return [rng.normal(size=n) for n in (1000, 37, 2011)]
df = pl.concat([pl.DataFrame({'a': part, 's': ['x'] * len(part)}) for part in numbers()], rechunk=False)
one = pl.concat([pl.Series('q', part) for part in numbers()], rechunk=False)
columns = pd.concat([pd.DataFrame({'a': pd.Series(part, dtype='float64[pyarrow]'), 's': 'x'}) for part in numbers()], ignore_index=True)
some = columns['a'][5:1020]
%%step 2
s = df['a'].sum(), one.std(), columns['a'].sum(), some.std(), df.n_chunks('all'), one.n_chunks(), some.array._pa_array.num_chunks
%%step 3
one = one.append(pl.Series('q', [.1, .2])); df = df.with_columns(b=pl.col('a') / 3); columns.loc[0, 'a'] = 5
%%step 4
r = df['a'].sum(), df['b'].sum(), one.sum(), columns['a'].sum(), some.sum(), df.n_chunks('all'), one.n_chunks()
""",
)
scenario(
    "data of polars in pieces, of each type",
    """
%%step 1
import polars as pl
from datetime import date
def two(a, b, dtype=None): return pl.concat([pl.Series('q', part, dtype=dtype) for part in (a, b)], rechunk=False)
some = [two([1, 2], [3]), two(['a', None], ['b' * 30]), two([True], [None]), two([date(2020, 1, 1)], [date(2021, 1, 1)])]
some += [two([[1], [2, 3]], [[4]]), two([{'a': 1}], [{'a': 2}]), two(['a', 'b'], ['c', 'a'], pl.Categorical), two([None], [None]), two([], [])]
df = pl.DataFrame([two([1, 5, 2], [3, 4]).alias('a'), pl.Series('b', range(5))]); down = two([5, 4], [2, 1]).set_sorted(descending=True)
%%step 2
s = [(one.n_chunks(), one.to_list(), one.dtype) for one in some], df.n_chunks('all'), down.flags
%%step 3
df = df.with_columns(z=pl.col('a') * 1.1); some[0] = some[0].append(pl.Series('q', [3]))
%%step 4
r = [(one.n_chunks(), one.flags['SORTED_ASC']) for one in some], df.n_chunks('all'), df['z'].sum(), down.flags
""",
)
scenario(
    "data of polars over the memory of arrays",
    """
%%step 1
import polars as pl, numpy as np
n = np.arange(4.); s = pl.Series('a', n); part = np.arange(6)[2:]; days = np.array(['2020-01-01', '2021-01-01'], 'M8[ms]')
df = pl.DataFrame({'a': n, 'b': ['x', 'y', None, 'y'], 'c': part, 'e': [True] * 4, 'f': [1, None, 2, 3]})
m = np.asfortranarray(np.arange(6.).reshape(3, 2)); of = pl.DataFrame(m); dates = pl.Series('d', days)
alone = pl.DataFrame({'k': np.arange(1000)}); more = alone.with_columns(l=pl.col('k') * 2)
large = np.arange(100_000.); over = pl.DataFrame({'l': large})
%%step 2
n[0] = 9.0
%%
part[1] = 77; days[0] = '1999-09-09'
%%step 3
m[0, 1] = 5.0; large[7] = -1.0
%%step 4
r = s[0], df.rows(), of.rows(), dates.to_list(), more.shape, over['l'][7], s.to_numpy().base is None, df.schema
view = s.to_numpy(); n[3] = 4.5; last = view[3], df['a'][3]
""",
)
scenario(
    "attributes that were set on frames and series, and a `_metadata` without the name",
    """
%%step 1
import pandas as pd, warnings
warnings.simplefilter('ignore')
df = pd.DataFrame({'a': [1, 2]}); df.title = 'train'; df.notes = ['x']; df._own = df['a']; df.me = df; s = df['a']; s.unit = ['m']
class S(pd.Series):
    _metadata = ['unit']
    @property
    def _constructor(self): return S
t = S([1, 2], name='t'); t.unit = s.unit
class H(pd.DataFrame):
    _metadata = ['hist', 'crs']
    @property
    def _constructor(self): return H
bare = S([3]); h = H({'a': [1]})
%%step 2
df.notes.append('y'); df['b'] = 3; s.unit.append(df); n = t.name
%%step 3
del df.title; r = df.notes, s.unit[1] is df, df._own.tolist(), df.me is df, hasattr(df, 'title'), t.unit is s.unit, t.name
o = hasattr(bare, 'unit'), hasattr(h, 'crs'), 'hist' in vars(h)
""",
)
scenario(
    "how much memory columns and arrays of Arrow take, also where a map of what is missing is not needed",
    """
%%step 1
import pandas as pd, pyarrow as pa
df = pd.DataFrame({"s": ["a", "b", None, "c"] * 5}); t = pa.table({"a": [1, 2, None], "d": [[1, None], None, []]})
%%step 2
u = df[df.s == "a"]; v = u.s.astype("category"); t2 = t.filter(pa.array([True, True, False])); part = t["a"].chunk(0)[:2]
%%step 3
r = u.memory_usage().tolist(), v.memory_usage(), t.nbytes, t2.nbytes, part.nbytes, part.null_count
%%step 4
s = u.dropna().memory_usage().tolist(), [b is None for b in t2["a"].combine_chunks().buffers()]
""",
    starts=(2, 3, 4, "auto"),
)

scenario(
    "attributes that a class of frames of the notebook keeps for itself",
    """
%%step 1
import pandas as pd
class Sub(pd.DataFrame):
    _internal_names = pd.DataFrame._internal_names + ['notes']
    _internal_names_set = set(_internal_names)
    @property
    def _constructor(self): return Sub
sub = Sub({'a': [1, 2], 'b': [3, 4]}); sub.notes = ['one']; held = sub.notes
%%step 2
part = sub[sub.a > 1]; part.notes = held
%%step 3
sub.notes.append('two'); r = part.notes, sub.notes is held, part.b.tolist()
""",
)


scenario(
    "flags of a frame, held by a name",
    """
%%step 1
import pandas as pd
df = pd.DataFrame({'a': [1]}); f = df.flags; s = pd.Series([1]); g = s.flags
%%step 2
f.allows_duplicate_labels = False
%%step 3
g.allows_duplicate_labels = False
%%step 4
r = df.flags.allows_duplicate_labels, f is df.flags, s.flags is g, s.flags.allows_duplicate_labels
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
