"""Chance and surroundings: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "how exactly mpmath computes",
    """
%%step 1
from mpmath import mp, mpf, pi, iv
mp.dps = 40; third = mpf(1) / 3
%%step 2
held = [pi, +pi]; mp.prec = 150; iv.dps = 20
%%step 3
r = str(+pi), str(held[0] * 2), held[0] is pi is mp.pi, mp.dps, mp.prec, iv.prec, str(mpf(2) / 3), str(third)
""",
)
scenario(
    "a library that draws a number when a call is the first to load it",
    """
%%
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]: del sys.modules[name]
%%step 1
import importlib, random
def show(): return importlib.import_module("rich." + "style").__name__
random.seed(3)
%%step 2
shown = show()
%%step 3
shown += show(); r = random.random()
""",
)
scenario(
    "numbers that threads and executors are named by",
    """
%%step 1
import threading
from concurrent.futures import ThreadPoolExecutor
def work(_): return threading.current_thread().name
%%step 2
first = threading.Thread().name
with ThreadPoolExecutor(1) as pool: names = list(pool.map(work, [0]))
del pool
%%step 3
threading.Thread(); n = len(names)
%%step 4
second = threading.Thread().name
with ThreadPoolExecutor(1) as pool: names += pool.map(work, [0])
del pool
""",
)
scenario(
    "tables in the database that duckdb keeps for its functions",
    """
%%step 1
import duckdb
def total(): return duckdb.sql('select sum(a), string_agg(a, \' \') from t').fetchall()
rows = [3, 1, 2]
%%step 2
for row in rows: duckdb.execute('create table if not exists t (a int)').execute('insert into t values (?)', [row])
%%step 3
first = total()
%%step 4
duckdb.execute('create or replace table t as select * from t order by a'); n = len(rows)
%%step 5
then = total()
""",
    runs={2: "own database cannot be restored", 4: "own database cannot be restored"},
    starts=(5, 6),
)
scenario(
    "a handler of the root logger that a later step gives a name",
    """
%%step 1
import logging, io
buf = io.StringIO()
logging.basicConfig(level=20, stream=buf)
%%step 2
h = logging.getLogger().handlers[0]; same = h in logging.root.handlers
%%step 3
ok = h is logging.root.handlers[0]
%%step 4
h.setLevel(50); logging.info('q'); t = buf.getvalue()
""",
)
scenario(
    "steps that make names leave alone what they cannot save outside the namespace",
    """
%%
import logging, os
logging.getLogger('theirs').addHandler(logging.StreamHandler(open(os.devnull, 'w')))
%%step 1
a = 1
%%step 2
b = [a]
%%step 3
c = b
""",
)
scenario(
    "what the package itself calls is replaced",
    """
%%step 1
import json
orig = json.dumps
json.dumps = lambda o, **k: 'P' + orig(o, **k)
json.loads = len
a = json.dumps(1)
%%step 2
b = json.dumps(2), json.loads('12')
%%step 3
json.dumps = orig
%%step 4
c = json.dumps(3)
""",
)
scenario(
    "random numbers, seeded or not",
    """
%%step 1
import random, numpy as np
random.seed(7); np.random.seed(8); a = random.random(), np.random.rand()
%%step 2
b = random.gauss(0, 1), np.random.randn()
%%step 3
c = 'no draw'
%%step 4
d = random.random(), np.random.rand(), random.gauss(0, 1), np.random.randn()
""",
)
scenario(
    "sympy draws from a generator of its own",
    """
%%step 1
from sympy.core.random import seed, randint
seed(5)
%%step 2
a = randint(0, 1000)
%%step 3
b = randint(0, 1000), a
""",
)
scenario(
    "compiled functions of numba draw from generators of their own",
    """
%%step 1
from numba import njit
import random
import numpy.random as npr
@njit
def seed(n): random.seed(n); npr.seed(n)
@njit
def draw(): return random.random(), npr.normal()
seed(5)
%%step 2
a = draw()
%%step 3
b = draw(), a
%%
del seed, draw, njit
""",
    needs="numba",
)
scenario(
    "a random generator of its own",
    """
%%step 1
import random
r = random.Random(1); rr = [r]
%%step 2
a = r.random()
%%step 3
b = rr[0].random(); items = list(range(9)); r.shuffle(items)
""",
)
scenario(
    "surroundings that a step changes",
    """
%%step 1
import os, sys, warnings, decimal, tempfile
import numpy as np, pandas as pd
os.environ['CKPT_TEST_A'] = '1'; sys.path.append('/nowhere'); decimal.getcontext().prec = 5
%%step 2
warnings.filterwarnings('ignore', message='nothing'); np.set_printoptions(precision=3); pd.set_option('display.max_rows', 7)
%%step 3
os.chdir('/'); sys.setrecursionlimit(2000)
%%step 4
seen = os.environ['CKPT_TEST_A'], str(decimal.Decimal(1) / 3), str(np.array([1 / 3])), os.getcwd()
""",
)
scenario(
    "a __getstate__ that draws random numbers",
    """
%%step 1
import random, numpy as np
random.seed(1); np.random.seed(1)
class G:
    def __init__(self): self.v = 1
    def __getstate__(self): random.random(); np.random.rand(); return self.__dict__
g = G()
%%step 2
a = random.random(), np.random.rand()
%%step 3
g.v = 2; b = random.random(), np.random.rand()
%%step 4
c = random.random(), np.random.rand()
""",
)
scenario(
    "a model with no random state draws from the global generator",
    """
%%step 1
import numpy as np
from sklearn.ensemble import RandomForestClassifier
np.random.seed(3); X = np.random.rand(40, 3); y = (X[:, 0] > .5).astype(int); m = RandomForestClassifier(3)
%%step 2
m.fit(X, y); a = np.random.rand()
%%step 3
m.fit(X, y); p = m.predict_proba(X)
%%step 4
b = np.random.rand()
""",
)
scenario(
    "loggers and their levels",
    """
%%step 1
import logging
log = logging.getLogger('mine'); log.setLevel(logging.DEBUG)
class K: pass
k = K()
%%step 2
child = log.getChild('sub')
%%step 3
r = child.parent is log, logging.getLogger('mine') is log
""",
)
scenario(
    "settings of the interpreter and of libraries, set in one step and taken back in another",
    """
%%step 1
import sys, gc, socket, locale, sklearn, os, time, numpy as np
sys.setswitchinterval(0.01); sys.set_int_max_str_digits(5000); gc.set_threshold(900, 11, 12); gc.disable()
socket.setdefaulttimeout(7.5); sklearn.set_config(transform_output='pandas', working_memory=7)
locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8'); os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); np.seterr(all='ignore')
%%step 2
hour = time.localtime(0).tm_hour; n = len(str(10 ** 4500)); gc.enable(); socket.setdefaulttimeout(None)
%%step 3
from sklearn.preprocessing import StandardScaler
import pandas as pd
kind = type(StandardScaler().fit_transform(pd.DataFrame({'a': [1., 2.]}))).__name__; gc.set_threshold(700)
sklearn.set_config(transform_output='default')
%%step 4
r = socket.getdefaulttimeout(), gc.isenabled(), sklearn.get_config()['working_memory'], locale.setlocale(locale.LC_NUMERIC)
""",
)
scenario(
    "levels, propagation and names of levels in logging, those of libraries too",
    """
%%step 1
import logging
logging.addLevelName(25, 'NOTE'); logging.disable(logging.DEBUG); logging.captureWarnings(True)
logging.getLogger('matplotlib.font_manager').setLevel(logging.ERROR); logging.getLogger().setLevel('INFO')
%%step 2
log = logging.getLogger('app.db'); log.propagate = False; log.disabled = True; logging.getLogger('app').setLevel(25)
%%step 3
r = log.getEffectiveLevel(), logging.getLevelName(25), log.isEnabledFor(10), logging.getLogger('app.db').parent.name
logging.disable(logging.NOTSET); logging.captureWarnings(False); log.disabled = False
%%step 4
s = log.isEnabledFor(10), log.isEnabledFor(30), logging.root.level
""",
)
scenario(
    "settings that calls make: how processes start, stacks of threads, adapters, namespaces, warnings that are logged",
    """
%%step 1
import logging, multiprocessing, sqlite3, threading
import xml.etree.ElementTree as ET
multiprocessing.set_start_method('spawn', force=True); threading.stack_size(1 << 20)
%%step 2
def adapted(value): return f'{value.real}+{value.imag}'
sqlite3.register_adapter(complex, adapted); ET.register_namespace('zz', 'http://zz')
%%step 3
logging.captureWarnings(True)
%%step 4
rows = sqlite3.connect(':memory:').execute('select ?', (1j,)).fetchall()
r = rows, ET.tostring(ET.Element('{http://zz}a')), multiprocessing.get_start_method(), threading.stack_size(0)
""",
)
scenario(
    "a dialect of csv is named",
    """
%%step 1
import csv
%%step 2
csv.register_dialect('pipes', delimiter='|')
%%step 3
r = csv.get_dialect('pipes').delimiter
""",
)
scenario(
    "what the one-letter colors of matplotlib stand for",
    """
%%step 1
import matplotlib as mpl, matplotlib.colors
mpl.colors.colorConverter.colors["b"] = mpl.colors.to_rgb("#4c72b0")
%%step 2
x = mpl.colors.to_rgba("b")
%%step 3
y = mpl.colors.to_rgba("b", 0.5), mpl.colors.to_rgba("g")
""",
)
scenario(
    "colors of matplotlib get names and other values, and lose them",
    """
%%step 1
import matplotlib.colors as mc
mc.get_named_colors_mapping()['brand_t'] = '#123456'
%%step 2
x = mc.to_rgb('brand_t'); mc.get_named_colors_mapping().update(red='#aa0000', other_t='#000000')
%%step 3
y = mc.to_rgb('brand_t'), mc.to_rgb('red'), mc.to_rgb('other_t'), mc.to_rgb('b')
del mc.get_named_colors_mapping()['brand_t']
%%step 4
z = mc.is_color_like('brand_t'), mc.is_color_like('other_t')
""",
)
scenario(
    "fonts are added, and the look of all plots of seaborn is an attribute of an object that a class has",
    """
%%step 1
import matplotlib.font_manager as fm, seaborn.objects as so
%%step 2
fm.fontManager.addfont(fm.fontManager.ttflist[0].fname); so.Plot.config.theme['axes.facecolor'] = 'red'
n = len(fm.fontManager.ttflist)
%%step 3
so.Plot.config.display['scaling'] = 0.5; a = so.Plot.config.theme['axes.facecolor'], len(fm.fontManager.ttflist) - n
%%step 4
r = so.Plot.config.display['scaling'], so.Plot.config.theme['axes.facecolor'], len(fm.fontManager.ttflist) - n
""",
    needs="seaborn",
)
scenario(
    "what an object of a library remembers to have told is asked anew when it is given something",
    """
%%
import logging, matplotlib.font_manager as fm
from pathlib import Path
logging.getLogger('matplotlib').setLevel('ERROR')
missed = fm.findfont('font of the test')
%%step 1
font = fm.ttfFontProperty(fm.get_font(fm.fontManager.ttflist[0].fname))
%%step 2
object.__setattr__(font, 'name', 'font of the test'); fm.fontManager.ttflist.append(font)
fm.fontManager.addfont(font.fname)
%%step 3
r = Path(fm.findfont('font of the test')).name
""",
)
scenario(
    "attributes and defaults of functions of libraries",
    """
%%step 1
import statistics, json
statistics.mean.calls_t = 0; json.dumps.__kwdefaults__['sort_keys'] = True
%%step 2
statistics.mean.calls_t += 1; statistics.mean.kept_t = [1]; a = json.dumps({'b': 1, 'a': 2})
%%step 3
statistics.mean.kept_t.append(2); del statistics.mean.calls_t; json.dumps.__kwdefaults__['indent'] = 1
%%step 4
r = statistics.mean.kept_t, hasattr(statistics.mean, 'calls_t'), json.dumps({'b': 1, 'a': 2})
""",
)
scenario(
    "a class of a library is registered with an abstract class of another",
    """
%%step 1
import numbers
from decimal import Decimal as D
numbers.Real.register(D)
%%step 2
a = isinstance(D(1), numbers.Real)
%%step 3
r = isinstance(D(2), numbers.Real), a
""",
)
scenario(
    "figures of matplotlib and the style they are drawn in",
    """
%%step 1
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt
plt.style.use('ggplot'); plt.rcParams['lines.linewidth'] = 5; plt.rcParams['axes.prop_cycle'] = plt.cycler(color=['k', 'r'])
%%step 2
plt.rc('font', size=7); plt.rcdefaults(); plt.rcParams.update({'axes.grid': True})
%%step 3
r = plt.rcParams['axes.grid'], plt.rcParams['lines.linewidth']
""",
)
scenario(
    "a method is patched into a class of a library",
    """
%%step 1
import pandas as pd
def total(self): return len(self)
pd.DataFrame.total_of_the_test = total
%%step 2
r = pd.DataFrame({'a': [1]}).total_of_the_test()
%%step 3
q = r + 1
""",
)
scenario(
    "an attribute is set on a module",
    """
%%step 1
import math
math.of_the_test = [1]
%%step 2
math.of_the_test.append(2)
%%step 3
r = math.of_the_test
""",
)
scenario(
    "a module of the user's own keeps state in globals, classes, defaults and closures",
    """
%%step 1
from tests.exact.project import counters
counters.count(); counters.LIMIT = 11
%%step 2
@counters.register('f')
def f(): return 1
m = counters.Model('a'); a = counters.remember([1]); s = counters.slow(3)
%%step 3
hist = counters.HISTORY; hist.append('x'); counters.count(5)
%%step 4
r = counters.COUNT, counters.REGISTRY['f'] is f, counters.Model.made, counters.Model.names, counters.remember(2), counters.slow(3), counters.HISTORY is hist, counters.LIMIT
del counters.LIMIT
%%step 5
q = hasattr(counters, 'LIMIT'), counters.slow(4), a
""",
)
scenario(
    "a module of the user's own that is only imported",
    """
%%step 1
from tests.exact.project import counters
x = 1
%%step 2
y = counters.LIMIT
%%step 3
z = counters.COUNT
""",
)
scenario(
    "a module of the user's own is imported and keeps what a library made",
    """
%%step 1
from tests.exact.project import counters
counters.load()
%%step 2
n = counters.TABLE['a'].sum()
""",
)
scenario(
    "what a module of the user's own holds, under names of the notebook",
    """
%%step 1
from tests.exact.project.counters import REGISTRY, count
d = {'r': REGISTRY}
%%step 2
REGISTRY['a'] = [1]; n = count()
%%step 3
from tests.exact.project import counters
r = counters.REGISTRY is REGISTRY, d['r'] is REGISTRY, counters.COUNT
%%step 4
d['r']['b'] = 2; q = sorted(counters.REGISTRY)
""",
)
scenario(
    "a function of a library is replaced, and put back two steps later",
    """
%%step 1
import textwrap
orig = textwrap.dedent
def mine(o): return 'mine ' + orig(o)
textwrap.dedent = mine
%%step 2
a = textwrap.dedent(' a')
%%step 3
textwrap.dedent = orig; b = textwrap.dedent(' b')
%%step 4
c = textwrap.dedent(' c'), textwrap.dedent is mine, textwrap.dedent is orig
""",
)
scenario(
    "attributes are set on modules by computed names, and deleted",
    """
%%step 1
import math, numpy as np
for i, n in enumerate(['aa_t', 'bb_t']): setattr(math, n, i)
setattr(np, f'cc_{1}', [1])
%%step 2
r = math.aa_t + math.bb_t; np.cc_1.append(r)
%%step 3
delattr(math, 'aa_t'); s = hasattr(math, 'aa_t'), np.cc_1
%%step 4
t = hasattr(math, 'aa_t'), np.cc_1 is s[1]
""",
)
scenario(
    "a function of the notebook patches classes that it is handed or imports itself",
    """
%%step 1
import pandas as pd
def patch(cls, name, f): setattr(cls, name, f)
def patch2():
    import pandas
    pandas.Series.twice_t = lambda self: self * 2
%%step 2
patch(pd.DataFrame, 'nn_t', lambda self: len(self))
%%step 3
patch2()
%%step 4
r = pd.DataFrame({'a': [1, 2]}).nn_t(), pd.Series([1]).twice_t().tolist()
""",
)
scenario(
    "an accessor is registered for frames",
    """
%%step 1
import pandas as pd
@pd.api.extensions.register_dataframe_accessor('geo_t')
class Geo:
    def __init__(self, df): self.df = df
    def n(self): return len(self.df)
%%step 2
r = pd.DataFrame({'a': [1, 2]}).geo_t.n()
%%step 3
q = type(pd.DataFrame({'a': [1]}).geo_t) is Geo
""",
)
scenario(
    "one library patches another",
    """
%%step 1
import pandas as pd
from tqdm.auto import tqdm
tqdm.pandas(disable=True)
%%step 2
r = pd.Series([1, 2]).progress_apply(lambda v: v + 1).tolist()
%%step 3
q = r
""",
)
scenario(
    "builtins are added, used and deleted",
    """
%%step 1
import builtins
builtins.hello_t = lambda: 5
def shout(*a): return None
builtins.print_t = shout
%%step 2
r = hello_t(), print_t(1)
%%step 3
del builtins.print_t
%%step 4
try: print_t
except NameError: q = 'gone'
""",
)
scenario(
    "an object in a container that its library fills in a way of its own",
    """
%%step 1
import matplotlib.colors
color = [0.1, 0.2, 0.3]; matplotlib.colors._colors_full_map['zz'] = color
%%step 2
color[0] = 0.9
%%step 3
r = matplotlib.colors._colors_full_map['zz'] is color
""",
)
scenario(
    "dicts and lists of libraries are changed in place, also through other names",
    """
%%step 1
import html.entities, keyword
%%step 2
html.entities.html5['zz;'] = 'Z'; keyword.kwlist.append('zz')
%%step 3
tm = html.entities.html5; holder = [keyword.softkwlist]; import html; r = html.unescape('&zz;')
%%step 4
tm['yy;'] = 'Y'; q = html.entities.html5 is tm, html.unescape('&yy;'), len(keyword.kwlist)
""",
)
scenario(
    "a function that goes by the name of the library's function that it replaces",
    """
%%step 1
import functools, textwrap
@functools.wraps(textwrap.shorten)
def f(*a, **k): return 'short'
textwrap.shorten = f
%%step 2
g = f; d = {'f': textwrap.shorten}; r = textwrap.shorten('abc', 2)
%%step 3
h = d['f'] is g, g('x')
""",
)
scenario(
    "a patch of unittest.mock that goes on is named",
    """
%%step 1
from unittest import mock
import textwrap
p = mock.patch('textwrap.indent', return_value='mocked'); p.start()
%%step 2
r = textwrap.indent('a', 'b')
%%step 3
p.stop(); q = textwrap.indent('a', 'b')
%%step 4
x = 1
""",
    runs={1: "started patches", 3: "out of reach"},
)
scenario(
    "a patch of unittest.mock that goes on was made by an earlier step",
    """
%%step 1
from unittest import mock
import textwrap
p = mock.patch('textwrap.indent', return_value='mocked')
%%step 2
p.start(); n = 1
%%step 3
r = textwrap.indent('a', 'b')
%%step 4
p.stop(); q = textwrap.indent('a', 'b')
%%step 5
x = 1
""",
    runs={2: "started patches", 4: "out of reach"},
)
scenario(
    "objects of the notebook in classes of libraries, changed under either name",
    """
%%step 1
import queue, collections
queue.Queue.tags_t = []
class P:
    def __init__(self): self.v = 1
queue.Queue.p_t = P()
%%step 2
queue.Queue().tags_t.append(1); queue.Queue.p_t.v = 2
%%step 3
t = queue.Queue.tags_t; p = queue.Queue.p_t
%%step 4
t.append(2); p.v = 3
%%step 5
r = queue.Queue.tags_t is t, queue.Queue.p_t is p, queue.Queue.p_t.v
""",
)
scenario(
    "an object of a library that the notebook puts into another library",
    """
%%step 1
import textwrap, string
textwrap.conf_t = string.Formatter()
%%step 2
textwrap.conf_t.x = [1]
%%step 3
textwrap.conf_t.x.append(2)
%%step 4
r = textwrap.conf_t.x
""",
)
scenario(
    "a handler of a signal",
    """
%%step 1
import signal
hits = []
def h(n, f): hits.append(n)
signal.signal(signal.SIGUSR1, h)
%%step 2
signal.raise_signal(signal.SIGUSR1)
%%step 3
r = signal.getsignal(signal.SIGUSR1) is h, list(hits)
%%step 4
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
%%step 5
x = 1
""",
)
scenario(
    "hooks of the interpreter, the mask of new files, the folder of temporary ones",
    """
%%step 1
import sys, tempfile, os
def eh(*a): pass
sys.excepthook = eh; tempfile.tempdir = '/var/tmp'; os.umask(0o27)
%%step 2
r = sys.excepthook is eh, tempfile.gettempdir()
%%step 3
sys.excepthook = sys.__excepthook__; os.umask(0o22)
%%step 4
y = 1
""",
)
scenario(
    "handlers and filters of loggers",
    """
%%step 1
import logging, sys
logging.basicConfig(level=logging.INFO, format='%(name)s %(message)s')
%%step 2
log = logging.getLogger('app_t'); h = logging.StreamHandler(); h.setLevel(logging.ERROR); log.addHandler(h)
class F(logging.Filter):
    def filter(self, r): return True
log.addFilter(F())
own = logging.getLogger(__name__); own.setLevel(logging.ERROR); own.addHandler(logging.StreamHandler())
%%step 3
h.setFormatter(logging.Formatter('%(message)s!')); r = log.handlers[0] is h, len(logging.root.handlers)
own.handlers[0].setLevel(10)
%%step 4
log.removeHandler(h); n = len(log.handlers)
%%step 5
m = log.handlers, logging.root.handlers[0].formatter._fmt
""",
)
scenario(
    "a handler that writes to a file is named",
    """
%%step 1
import logging, os
fh = logging.FileHandler(os.devnull); logging.getLogger(__name__).addHandler(fh)
%%step 2
x = 1
%%step 3
y = 2; fh.close()
""",
    runs={1: "handlers of logger", 3: ""},
    differs="fh",
)
scenario(
    "open figures are drawn into by later steps",
    """
%%step 1
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt
plt.plot([1, 2]); x = 1
%%step 2
plt.title('t'); ax = plt.gca()
%%step 3
fig2, (a1, a2) = plt.subplots(1, 2); plt.sca(a1); plt.figure(1)
%%step 4
plt.plot([3, 1]); same = plt.gca() is ax, plt.gcf().number, plt.figure(2) is fig2, plt.gca() is a1
%%step 5
plt.close(1); n = plt.get_fignums()
""",
)
scenario(
    "parts of figures follow each other",
    """
%%step 1
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt, numpy as np
fig, (ax, other) = plt.subplots(1, 2); im = ax.imshow(np.arange(4).reshape(2, 2)); seen = []
bar = fig.colorbar(im); norm = plt.Normalize(0, 5); one = other.scatter([1], [2], c=[3], norm=norm)
%%step 2
im.set_clim(0, 10); limits = bar.vmin, bar.vmax
def moved(axes): seen.append(axes.get_xlim())
number = other.callbacks.connect('xlim_changed', moved)
%%step 3
other.set_xlim(0, 7); norm.vmax = 9; one.set_cmap('magma')
%%step 4
other.callbacks.disconnect(number); other.set_xlim(1, 2)
im.norm = norm; result = bar.vmax, bar.cmap.name, im.colorbar is bar, one.norm is norm
""",
)
scenario(
    "context variables with the values that they have",
    """
%%step 1
import contextvars
cv = contextvars.ContextVar('cv', default=[0]); other = contextvars.ContextVar('o')
items = []
_ = other.set(items); del _
%%step 2
_ = cv.set({'a': 1}); del _; holder = [cv]
%%step 3
other.get().append(3); r = cv.get()
%%step 4
s = other.get() is items, holder[0] is cv, cv.get() is r, items
""",
)
scenario(
    "context variables that are set to None",
    """
%%step 1
import contextvars
cv = contextvars.ContextVar('cv', default=1); other = contextvars.ContextVar('o')
_ = cv.set(None), other.set(None); del _
%%step 2
r = cv.get(), other.get('unset')
%%step 3
s = cv.get(), other.get('unset')
""",
)
scenario(
    "a subclass of random.Random with attributes, and a generator of the system",
    """
%%step 1
import random
class R(random.Random):
    def __init__(self, s): self.seeded = [s]; super().__init__(s); self.n = 0
    def random(self): self.n += 1; return super().random()
r = R(3); sr = random.SystemRandom()
%%step 2
a = r.random(), r.gauss(0, 1)
%%step 3
b = r.random(), r.n, r.sample(range(10), 3)
""",
)
scenario(
    "the second number that the legacy generators keep ready",
    """
%%step 1
import numpy as np, random
np.random.seed(1); random.seed(2); a = np.random.randn(), random.gauss(0, 1)
%%step 2
x = 1
%%step 3
b = np.random.randn(), random.gauss(0, 1); np.random.set_state(np.random.RandomState(9).get_state())
%%step 4
c = np.random.rand(), np.random.randn()
""",
)
scenario(
    "contexts of decimal under names, one of them the current one",
    """
%%step 1
import decimal
ctx = decimal.getcontext(); ctx.prec = 7
%%step 2
decimal.setcontext(decimal.Context(prec=4)); same = decimal.getcontext() is ctx
%%step 3
ctx.prec = 9; r = str(decimal.Decimal(1) / 3)
%%step 4
decimal.setcontext(ctx); s = str(decimal.Decimal(1) / 3)
""",
)
scenario(
    "functions, properties and class methods are given to a class of a library, and taken away",
    """
%%step 1
import collections
collections.Counter.top_t = lambda self: self.most_common(1)
def total(self): return sum(self.values())
collections.Counter.total_t = property(total)
collections.Counter.make_t = classmethod(lambda cls, x: cls(x))
%%step 2
c = collections.Counter('aab'); r = c.top_t(), c.total_t, collections.Counter.make_t('zz')
%%step 3
del collections.Counter.top_t, collections.Counter.make_t
%%step 4
s = hasattr(c, 'top_t'), hasattr(c, 'make_t'), collections.Counter.total_t.fget is total
""",
)
scenario(
    "a replaced function of a library shares a list with a variable",
    """
%%step 1
import textwrap
calls = []
def deco(f):
    def inner(*a): calls.append(a); return f(*a)
    return inner
textwrap.fill = deco(textwrap.fill)
%%step 2
r = textwrap.fill('abc')
%%step 3
n = len(calls); q = textwrap.fill('def')
%%step 4
m = list(calls), textwrap.fill.__name__
""",
)
scenario(
    "a class of a library is replaced by a subclass, and put back",
    """
%%step 1
import queue
class Q(queue.Queue):
    def put(self, x): super().put((x, x))
queue.Queue0_t = queue.Queue; queue.Queue = Q
%%step 2
q = queue.Queue()
%%step 3
r = type(q) is Q, queue.Queue is Q, queue.Queue0_t is Q.__mro__[1]
queue.Queue = queue.Queue0_t
%%step 4
s = queue.Queue is Q
""",
)
scenario(
    "an unmarked cell sets an attribute that steps go on with",
    """
%%
import math
math.k_t = 1
%%step 1
math.k_t += 1
%%step 2
a = math.k_t
%%
math.k_t = 10
%%step 3
b = math.k_t; math.l_t = [a]
%%step 4
math.l_t.append(b); c = math.l_t
""",
)
scenario(
    "a class is registered with an abstract class of the standard library",
    """
%%step 1
import collections.abc
class S:
    def __len__(self): return 1
collections.abc.Sequence.register(S)
%%step 2
r = isinstance(S(), collections.abc.Sequence)
%%step 3
x = 1
""",
)
scenario(
    "a function at exit is named",
    """
%%step 1
import atexit
def bye(): pass
atexit.register(bye)
%%step 2
x = 1
%%step 3
atexit.unregister(bye)
""",
    runs={1: "functions at exit", 3: "functions at exit"},
)
scenario(
    "a way to pickle is registered",
    """
%%step 1
import copyreg, copy
class C:
    v = 1
def red(c): return C, ()
copyreg.pickle(C, red)
%%step 2
r = copyreg.dispatch_table[C] is red
%%step 3
x = type(copy.copy(C())) is C
""",
)
scenario(
    "streams and hooks are replaced by objects of the notebook",
    """
%%step 1
import sys, threading
def th(args): pass
threading.excepthook = th; sys.ps9_t = 'x'
class Sink:
    def write(self, t): pass
    def flush(self): pass
out = Sink(); old = sys.stderr; sys.stderr = out
%%step 2
r = sys.stderr is out, threading.excepthook is th
%%step 3
sys.stderr = old
%%step 4
x = 1
""",
)
scenario(
    "options that are functions",
    """
%%step 1
import numpy as np, pandas as pd
def call(k, f): pass
np.seterrcall(call); np.set_printoptions(formatter={'float': lambda v: f'<{v:.1f}>'})
pd.options.display.float_format = lambda v: f'[{v}]'
%%step 2
r = str(np.array([1.25]))
%%step 3
s = r, repr(pd.Series([1.5])), np.geterrcall() is call
%%step 4
pd.reset_option('display.float_format'); t = repr(pd.Series([2.5]))
""",
)
scenario(
    "filters for a class of warnings that the step defines",
    """
%%step 1
import warnings
seen = []
class W(UserWarning): pass
warnings.simplefilter('error', W)
%%step 2
try: warnings.warn('x', W)
except W as e: r = str(e)
%%step 3
warnings.filterwarnings('ignore', category=W); warnings.warn('y', W)
""",
)
scenario(
    "constants of libraries get other values for a while",
    """
%%step 1
import math, numpy as np, string
pi = math.pi; np.inf_t = np.inf; letters = string.ascii_letters; math.pi = 3
%%step 2
area = math.pi * 2
%%step 3
math.pi = pi; del np.inf_t
%%step 4
x = math.pi, hasattr(np, 'inf_t')
""",
)
scenario(
    "options of polars",
    """
%%step 1
import polars as pl
pl.Config.set_tbl_rows(3); pl.Config.set_fmt_float('full'); pl.Config.set_float_precision(2)
%%step 2
r = str(pl.DataFrame({'a': [1.23456] * 5}))
%%step 3
pl.Config.restore_defaults(); s = str(pl.DataFrame({'a': [1.23456] * 2}))
""",
)
scenario(
    "attributes of a module that is imported by name, set through its dict",
    """
%%step 1
import importlib
m = importlib.import_module('colorsys'); m.note_t = {'a': 1}
vars(m)['direct_t'] = 5
%%step 2
m.note_t['b'] = 2; d = m.note_t
%%step 3
d['c'] = 3; import colorsys; r = colorsys.note_t, colorsys.direct_t
%%step 4
q = colorsys.note_t is d
""",
)
scenario(
    "a module of the user's own is loaded again",
    """
%%step 1
import importlib
c = importlib.import_module('tests.exact.project.counters'); n = c.count()
%%step 2
n = c.count(); importlib.reload(c)
%%step 3
m = c.COUNT, c.HISTORY
%%step 4
k = c.count()
""",
    runs={2: "OPEN"},
)
scenario(
    "a module of the user's own changes a library",
    """
%%step 1
from tests.exact.project import counters
counters.patch_strings()
%%step 2
import string
r = string.shout_t('a')
%%step 3
q = string.STATE_T
%%step 4
counters.patch_strings(); s = string.STATE_T
""",
)
scenario(
    "a function of the user's module that chooses by type is told of more types",
    """
%%step 1
from tests.exact.project import keeping
a = keeping.show({}), keeping.show([])
%%step 2
keeping.show.register(dict, lambda _: 'dict')
@keeping.show.register
def _(x: tuple): return 'tuple'
%%step 3
keeping.show_lists()
%%step 4
r = keeping.show({}), keeping.show([]), keeping.show(()), keeping.show(1)
""",
)
scenario(
    "special methods and attributes are set on a class of the user's module",
    """
%%step 1
from tests.exact.project import keeping
p = keeping.Point(1)
%%step 2
keeping.Point.__eq__ = lambda self, other: self.x == other.x
keeping.Point.__len__ = lambda self: 7
def __init__(self, x, y=0): self.x = x; self.y = y
keeping.Point.__init__ = __init__
p.tag('a')
%%step 3
keeping.Point.__tags__.append('b'); keeping.Point.__doc__ = 'mine'
%%step 4
r = keeping.Point(1) == keeping.Point(1), len(p), keeping.Point(2).y, keeping.Point.__tags__, keeping.Point.__doc__
""",
)
scenario(
    "globals with names such as `__all__` of the user's module change",
    """
%%step 1
from tests.exact.project import keeping
@keeping.register('one')
def one(): return 1
%%step 2
keeping.__all__.append('version'); keeping.__version__ = '2'
@keeping.register('two')
def two(): return 2
%%step 3
r = keeping.__all__, keeping.version(), sorted(keeping.__registry__), keeping.__registry__['one']()
""",
)
scenario(
    "defaults below decorators of the user's module keep what was loaded",
    """
%%step 1
from tests.exact.project import keeping
a = keeping.load(1)
with keeping.counting() as n: pass
%%step 2
b = keeping.load(2)
with keeping.counting() as m: pass
p = keeping.Point(1); p.load(3)
%%step 3
r = keeping.load(1) is a, keeping.load(2) is b, keeping.CALLS, p.load(4)
with keeping.counting() as k: pass
""",
)
scenario(
    "defaults of static and class methods of the user's module",
    """
%%step 1
from tests.exact.project import keeping
a = keeping.Point.still(1)
%%step 2
keeping.Point.of(1); keeping.Point.still(2)
%%step 3
r = keeping.Point.still(3), keeping.Point.of(4), a is keeping.Point.still(5)
""",
)
scenario(
    "a variable of a function of the user's module, bound anew by the step that imports it",
    """
%%step 1
from tests.exact.project import keeping
keeping.turn('fast')
%%step 2
b = keeping.tell()
%%step 3
keeping.turn(['slow'])
%%step 4
r = keeping.tell(), b
""",
)
scenario(
    "annotations and docstrings of the user's module are changed",
    """
%%step 1
from tests.exact.project import keeping
x = 1
%%step 2
keeping.Point.__annotations__['b'] = int; keeping.load.__doc__ = 'mine'; keeping.switch.__annotations__['a'] = int; keeping.__annotations__['y'] = str
%%step 3
r = keeping.Point.__annotations__, keeping.load.__doc__, keeping.switch.__annotations__.get('a'), keeping.__annotations__.get('y')
""",
)
scenario(
    "instances of a class of the user's own module, in a list",
    """
%%step 1
from tests.exact.project.counters import Model
models = [Model('a')]
%%step 2
models.append(Model('b')); Model.extra = 1
%%step 3
r = Model.made, Model.names, type(models[1]) is Model
%%step 4
Model.names.append('z'); from tests.exact.project import counters; s = counters.Model.names is models[0].names
""",
)
scenario(
    "variables and a module of the user's own hold the same objects",
    """
%%step 1
from tests.exact.project import counters
counters.CURRENT = {'a': [1]}; x = counters.CURRENT['a']
%%step 2
x.append(2)
%%step 3
counters.CURRENT['b'] = x; y = counters.CURRENT
%%step 4
r = y['a'] is x, y['b'] is x, counters.CURRENT
""",
)
scenario(
    "a plain use of libraries makes no step run again",
    """
%%step 1
import re, logging, pandas as pd, numpy as np, collections, functools, json, datetime as dt
from sklearn.preprocessing import StandardScaler
opts = pd.options.display; utc = dt.timezone.utc; pat = re.compile('a+'); pd.set_option('display.width', 90)
%%step 2
df = pd.DataFrame({'a': np.arange(4.)}); s = StandardScaler().fit_transform(df); g = df.groupby('a').sum(); e = np.errstate(all='ignore')
@functools.lru_cache
def f(x): return x
%%step 3
import scipy.stats; z = scipy.stats.zscore([1., 2., 3.]); inf = np.inf; t = np.float64; j = json.dumps({'a': 1}); m = re.match('a', 'ab').group()
%%step 4
r = df.describe().to_string(), utc, pat.pattern
""",
)
scenario(
    "colour maps, and figures that are closed again",
    """
%%step 1
import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt, matplotlib as mpl
cmap = plt.cm.viridis; col = mpl.colormaps['magma']; plt.figure(); plt.plot([1])
%%step 2
plt.close('all'); norm = mpl.colors.Normalize(0, 1)
%%step 3
c = cmap(0.5), col(0.1), norm(0.3)
""",
)
scenario(
    "a patch that ends within the step, and a module that is imported and changed inside functions",
    """
%%step 1
from unittest import mock
with mock.patch('textwrap.indent', return_value='m'):
    import textwrap
    r = textwrap.indent('a', 'b')
def setup():
    import calendar
    calendar.note_t = []
    return calendar
c = setup()
%%step 2
q = textwrap.indent('a', 'b'); c.note_t.append(len(c.note_t)); import calendar as cal
%%step 3
n = cal.note_t
def more(): n.append('z'); cal.flag_t = True
more()
%%step 4
s = c.note_t is n, cal.flag_t, c is cal
""",
)

scenario(
    "tables of the standard library in which calls put something, directly and in functions of the notebook",
    """
%%step 1
import calendar, copyreg, email.charset, gettext, logging.config, mimetypes, shutil, urllib.request, pkgutil
from shutil import register_unpack_format as unpacks
def setup(): mimetypes.add_type('x/y', '.zzz'); email.charset.add_alias('zz', 'utf-8')
%%step 2
setup(); urllib.request.install_opener(urllib.request.OpenerDirector()); gettext.textdomain('zz'); gettext.install('zz')
def pack(*arguments, **options): pass
shutil.register_archive_format('zz', pack); unpacks('zz', ['.zz'], pack); copyreg.add_extension('m', 'n', 77)
%%step 3
calendar.setfirstweekday(6)
class Path: pass
@pkgutil.iter_importer_modules.register(Path)
def modules(path, prefix=''): return [1]
logging.config.dictConfig({'version': 1, 'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['h']}})
logging.lastResort.setLevel(50)
%%
formats = dict(shutil.get_archive_formats()), [one[0] for one in shutil.get_unpack_formats()], calendar.firstweekday()
r = mimetypes.guess_type('a.zzz'), email.charset.ALIASES['zz'], urllib.request._opener is None, gettext.textdomain()
q = _('x'), copyreg._extension_registry['m', 'n'], pkgutil.iter_importer_modules(Path()), list(logging._handlers)
last = logging.lastResort.level
""",
)
scenario(
    "registries of libraries in which calls put something, directly and in functions of the notebook",
    """
%%step 1
import matplotlib as mpl; mpl.use('agg')
import matplotlib.scale as ms, matplotlib.projections as mp, joblib, yaml, cloudpickle, math, polars as pl, fsspec
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from joblib._parallel_backends import ThreadingBackend
def setup(): mpl.colormaps.register(ListedColormap(['r', 'g'], 'zz')); cloudpickle.register_pickle_by_value(math)
%%step 2
setup()
class Scale(ms.LinearScale): name = 'zz'
ms.register_scale(Scale)
class Plane(Axes): name = 'zz'
mp.register_projection(Plane)
%%step 3
class Threads(ThreadingBackend): pass
joblib.register_parallel_backend('zz', Threads)
yaml.SafeLoader.add_constructor('!y', lambda loader, node: 7)
@pl.api.register_dataframe_namespace('zz')
class Space:
    def __init__(self, frame): self.frame = frame
class Tag(yaml.YAMLObject): yaml_tag = '!zz'
yaml.add_representer(Space, lambda dumper, one: dumper.represent_int(1))
%%step 4
joblib.parallel_config(backend='threading', n_jobs=3)
%%
r = mpl.colormaps['zz'].N, cloudpickle.list_registry_pickle_by_value(), ms._scale_mapping['zz'] is Scale, mp.get_projection_class('zz') is Plane
q = joblib.parallel.BACKENDS['zz'] is Threads, joblib.parallel.get_active_backend()[1], yaml.safe_load('!y a')
s = pl.DataFrame({'a': [1]}).zz.frame.shape, yaml.unsafe_load('!zz {a: 1}').a, yaml.dump(Space(1))
""",
    runs={4: "objects that the library has elsewhere"},
)
scenario(
    "an object in a dict of a kind that its library made",
    """
%%step 1
import matplotlib.units
class Mark: pass
class Converter(matplotlib.units.ConversionInterface): pass
converter = Converter(); matplotlib.units.registry[Mark] = converter
%%step 2
converter.tag = [1]
%%step 3
r = matplotlib.units.registry[Mark] is converter
%%step 4
del matplotlib.units.registry[Mark]
%%step 5
q = Mark in matplotlib.units.registry
""",
)
scenario(
    "converters of dates, which pandas puts into matplotlib",
    """
%%step 1
import pandas as pd, matplotlib.units as mu, matplotlib.dates
n = {*mu.registry}
%%step 2
pd.plotting.register_matplotlib_converters()
%%step 3
kinds = type(mu.registry.get(pd.Timestamp)).__name__, len(mu.registry) > len(n)
%%step 4
pd.plotting.deregister_matplotlib_converters()
%%step 5
same = {*mu.registry} == n
""",
)
scenario(
    "what is in an attribute of an object of a library, changed in place",
    """
%%step 1
import networkx as nx
nx.config.warnings_to_ignore.add('cache')
%%step 2
r = set(nx.config.warnings_to_ignore)
%%step 3
nx.config.warnings_to_ignore.clear()
%%step 4
q = set(nx.config.warnings_to_ignore)
""",
)
scenario(
    "loops that run inside running ones",
    """
%%step 1
import asyncio, nest_asyncio
nest_asyncio.apply()
%%step 2
async def number(): return 5
async def twice(): return asyncio.run(number()) + asyncio.get_event_loop().run_until_complete(number())
%%step 3
r = asyncio.run(twice()), asyncio.run.__module__
""",
)
scenario(
    "settings that only calls tell: memory and faults, fields of csv, new contexts, buffers, limits, processors",
    """
%%step 1
import csv, decimal, faulthandler, gc, os, resource, sys, tracemalloc, numpy as np
%%step 2
tracemalloc.start(3); gc.set_debug(gc.DEBUG_UNCOLLECTABLE); csv.field_size_limit(99); np.setbufsize(16000)
decimal.DefaultContext.prec = 7; os.nice(1); os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
%%step 3
faulthandler.enable(open(os.devnull, 'w')) if not faulthandler.is_enabled() else faulthandler.disable()
resource.setrlimit(resource.RLIMIT_NOFILE, (500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
%%
r = tracemalloc.get_traceback_limit() * tracemalloc.is_tracing(), gc.get_debug(), csv.field_size_limit(), np.getbufsize()
q = decimal.Context().prec, os.nice(0), len(os.sched_getaffinity(0)), faulthandler.is_enabled(), resource.getrlimit(7)[0]
tracemalloc.stop(); gc.set_debug(0); csv.field_size_limit(131072); decimal.DefaultContext.prec = 28
""",
)
scenario(
    "which signals are blocked, in how many threads libraries count",
    """
%%step 1
import signal, threadpoolctl, numpy as np
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
%%step 2
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); limits = threadpoolctl.threadpool_limits(1); del limits
with threadpoolctl.threadpool_limits(2): pass
%%step 3
found = signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
threads = [one['num_threads'] for one in threadpoolctl.threadpool_info()]
%%
r = found - blocked, threads, signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
""",
)
scenario(
    "what compiled functions set is named, under other names too",
    """
%%step 1
import pyarrow as pa, scipy.fft, sys
from codecs import register_error as on_error
from signal import signal as handle, getsignal, SIGUSR1
class Backend:
    __ua_domain__ = 'numpy.scipy.fft'
    @staticmethod
    def __ua_function__(method, arguments, options): return 'mine'
def question(error): return '?', error.end
def handler(*_): pass
%%step 2
pa.set_io_thread_count(3)
%%step 3
scipy.fft.set_global_backend(Backend)
%%step 4
on_error('zz', question)
%%step 5
handle(SIGUSR1, handler)
%%
r = pa.io_thread_count(), scipy.fft.fft([1.]), 'a\\xe4'.encode('ascii', 'zz'), getsignal(SIGUSR1) is handler
""",
    runs={2: "pyarrow.lib.set_io_thread_count", 3: "uarray._uarray.set_global_backend", 4: "codecs"},
)
scenario(
    "a plain use of functions that set something makes no step run again",
    """
%%step 1
import matplotlib; matplotlib.use('agg')
import matplotlib.pyplot as plt, pandas as pd, numpy as np, mimetypes, requests, networkx as nx, logging
from sklearn.linear_model import LogisticRegression
def setup(): plt.rc('font', size=8); plt.style.use('default'); plt.set_cmap('magma'); plt.close('all')
df = pd.DataFrame({'a': [1, 2]})
%%step 2
setup(); df = df.set_index('a').reset_index(); fig, ax = plt.subplots(); ax.set_title('t'); plt.xlim(0, 2); plt.ioff(); plt.close(fig)
%%step 3
model = LogisticRegression(); model.set_params(C=2.0); model.fit([[0], [1]], [0, 1]); np.put(np.arange(3), [0], 7)
G = nx.Graph(); G.add_edge(1, 2); nx.set_node_attributes(G, 1, 'w'); guess = mimetypes.guess_type('a.html')
%%step 4
session = requests.Session(); session.headers.update({'a': 'b'}); del session; logging.getLogger('zz').setLevel(30)
pd.plotting.register_matplotlib_converters(); pd.reset_option('display.max_rows')
""",
)

scenario(
    "a module that no import made is named",
    """
%%step 1
import sys, types
sys.modules['of_the_test'] = types.ModuleType('of_the_test'); sys.modules['of_the_test'].values = [1]
%%step 2
x = 1
%%
import of_the_test; r = of_the_test.values
""",
    runs={1: "module of_the_test"},
)

scenario(
    "tables that the first call of a setter makes",
    """
%%
import mimetypes
mimetypes.inited = False; mimetypes._db = None
mimetypes.suffix_map, mimetypes.encodings_map = mimetypes._suffix_map_default, mimetypes._encodings_map_default
mimetypes.types_map, mimetypes.common_types = mimetypes._types_map_default, mimetypes._common_types_default
%%step 1
mimetypes.add_type('x/y', '.zzz')
%%step 2
x = 1
%%
r = mimetypes.guess_type('a.zzz'), mimetypes.inited, mimetypes._db.types_map[True] is mimetypes.types_map
""",
)
scenario(
    "a class that derives from one of a library which asks all its classes what they have",
    """
%%step 1
from matplotlib.lines import Line2D
class Thick(Line2D):
    extra = []
%%step 2
Thick.extra.append(1)
%%step 3
r = Thick.extra, issubclass(Thick, Line2D)
""",
)
scenario(
    "how polynomials are printed, which a function sets in a class that it imports itself",
    """
%%step 1
import numpy as np
def shown(): return str(np.polynomial.Polynomial([1, 2]))
a = shown(); np.polynomial.set_default_printstyle('ascii')
%%step 2
b = shown()
%%step 3
np.polynomial.set_default_printstyle('unicode')
%%step 4
r = a, b, shown()
""",
)
scenario(
    "a class derives from the one of a compiled library in whose place it is put; another folder is told",
    """
%%
import datetime, os
real = os.getcwd
%%step 1
class Day(datetime.date):
    @classmethod
    def today(cls): return cls(2020, 1, 2)
datetime.date = Day; os.getcwd = lambda: 'nowhere'
%%step 2
day = datetime.date.today()
%%step 3
r = str(day), isinstance(day, Day.__base__), Day.__base__.__name__, os.getcwd(), real() != 'nowhere'
%%step 4
datetime.date = Day.__base__; os.getcwd = real
""",
)
scenario(
    "attributes of members of an enum of a library",
    """
%%
import http
%%step 1
http.HTTPStatus.OK.note = [1]
%%step 2
http.HTTPStatus.OK.note.append(2); http.HTTPStatus.GONE.other = 'x'
%%step 3
r = http.HTTPStatus.OK.note, http.HTTPStatus.GONE.other, hasattr(http.HTTPStatus.GONE, 'note')
%%step 4
del http.HTTPStatus.OK.note
%%step 5
r += (hasattr(http.HTTPStatus.OK, 'note'),)
""",
)
scenario(
    "the step that registers a class is the first that imports the library",
    """
%%step 1
import matplotlib.projections as mp
from matplotlib.axes import Axes
class Plane(Axes): name = 'first'
mp.register_projection(Plane)
%%step 2
n = 1
%%step 3
r = mp.get_projection_class('first') is Plane, mp.projection_registry.get_projection_class('first') is Plane
""",
)
scenario(
    "a kind of column is registered with pandas by a decorator",
    """
%%step 1
import pandas as pd
%%step 2
@pd.api.extensions.register_extension_dtype
class Length(pd.api.extensions.ExtensionDtype):
    name = 'length_t'; type = float; kind = 'f'
%%step 3
r = type(pd.api.types.pandas_dtype('length_t')) is Length
%%step 4
x = r
""",
)
scenario(
    "loggers of a class of the notebook",
    """
%%step 1
import logging
class Counting(logging.Logger):
    seen = []
    def __init__(self, name, level=0): super().__init__(name, level); self.count = [0]
    def handle(self, record): Counting.seen.append(record.getMessage()); self.count[0] += 1
logging.setLoggerClass(Counting); log = logging.getLogger('one_of_the_test'); box = {'l': log}
%%step 2
log.warning('hey %s', 1)
%%step 3
other = logging.getLogger('two_of_the_test'); other.warning('x'); log.setLevel(40)
%%step 4
log.warning('not'); r = type(other) is Counting, logging.getLoggerClass() is Counting, box['l'] is log, log.count
""",
)
scenario(
    "attributes and functions that loggers were given",
    """
%%step 1
import logging
log = logging.getLogger(__name__); notes = []
def success(text): notes.append(text); log.log(25, text)
log.success = success; root = logging.getLogger(); root.tag_t = {'a': log}
%%step 2
log.success('hi')
%%step 3
root.tag_t['b'] = 2; log.extra_t = notes
%%step 4
log.success('ho'); r = logging.getLogger('__main__').extra_t is notes, logging.root.tag_t
""",
)
scenario(
    "functions of a library that put something into classes which they are given, or have as defaults",
    """
%%step 1
import yaml
class Point:
    def __init__(self, x): self.x = x
yaml.SafeLoader.add_constructor('!point', lambda loader, node: Point(loader.construct_scalar(node)))
yaml.add_representer(Point, lambda dumper, point: dumper.represent_scalar('!point', point.x))
%%step 2
p = yaml.safe_load('!point 5')
%%step 3
r = p.x, yaml.dump(p)
""",
)
scenario(
    "a namespace is registered for frames of polars",
    """
%%step 1
import polars as pl
@pl.api.register_dataframe_namespace('half_t')
class Half:
    def __init__(self, frame): self.frame = frame
    def first(self): return self.frame[:self.frame.height // 2]
%%step 2
n = pl.DataFrame({'a': [1, 2, 3, 4]}).half_t.first().height
%%step 3
r = type(pl.DataFrame({'a': [1]}).half_t) is Half, n
""",
)
scenario(
    "attributes of loggers that no name holds",
    """
%%step 1
import logging
logging.getLogger('of.the.test').extra = kept = [1]
logging.root.mark = 'a'
%%step 2
logging.getLogger('of.the.test').extra.append(2); logging.root.mark = 'b'
%%step 3
r = logging.getLogger('of.the.test').extra is kept, kept, logging.root.mark
del logging.root.mark
%%step 4
r += (hasattr(logging.root, 'mark'),)
""",
)
scenario(
    "a library keeps objects of the notebook as keys, which go on changing",
    """
%%step 1
import enum, xml.etree.ElementTree as ET
class Kind(enum.Enum): A = 1
ET._namespace_map[Kind.A] = 0
class Model:
    n = 0
    def step(self): self.n += 1; ET._namespace_map[self] = self.n
def known(): return [(key is model, key.n, n) for key, n in ET._namespace_map.items() if type(key) is Model]
%%step 2
model = Model(); model.step()
%%step 3
model.step(); r = known()
%%step 4
model.step(); r += known(); del ET._namespace_map[model]
%%step 5
r += known(), ET._namespace_map.pop(Kind.A)
""",
)
scenario(
    "what is no module is put among the modules, and an import is forbidden",
    """
%%step 1
import sys, types
sys.modules['of_the_test'] = types.SimpleNamespace(value=3)
%%step 2
import of_the_test
r = of_the_test.value
%%step 3
sys.modules['wave'] = None
%%step 4
try:
    import wave
except ImportError:
    r += 1
%%step 5
del sys.modules['wave'], sys.modules['of_the_test']
s = r
""",
    runs={1: "module of_the_test cannot be restored", 3: "module wave cannot be restored"},
)
scenario(
    "modules that no import of their name finds are named",
    """
%%step 1
import sys, colorsys
sys.modules['colors_t'] = colorsys
%%step 2
import importlib.util, pathlib, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'found_by_path_t.py')
    n = path.write_text('STATE = [1]')
    spec = importlib.util.spec_from_file_location('found_by_path_t', path)
    sys.modules['found_by_path_t'] = mine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mine)
%%step 3
import colors_t
r = colors_t is colorsys, len(mine.STATE)
""",
    runs={1: "module colors_t", 2: ""},
    differs="folder path spec",
)

scenario(
    "a compiled function is replaced, and the old one kept",
    """
%%step 1
import math
old = math.floor; seen = []
def floor(x): seen.append(x); return old(x)
math.floor = floor; table = {old: floor}
%%step 2
x = math.floor(2.5)
%%
y = math.floor(3.5)
%%step 3
math.floor = old; z = math.floor(4.5), table[math.floor](5.5)
""",
)

scenario(
    "objects in containers of libraries are changed by a later step",
    """
%%step 1
import mimetypes, signal, sys
class Hook:
    def __call__(self, path): raise ImportError
class Finder:
    def find_spec(self, name, path=None, target=None): return None
class Listener:
    def heard(self, *args): pass
hook = Hook(); finder = Finder(); listener = Listener(); types = [1]
sys.path_hooks.append(hook)
%%
sys.meta_path.append(finder); signal.signal(signal.SIGUSR1, listener.heard); mimetypes.types_map['.mine'] = types
%%step 2
hook.tag = [2]; finder.tag = [3]; listener.tag = [4]; types.append(2)
%%step 3
r = sys.path_hooks[-1] is hook, sys.meta_path[-1] is finder
r2 = signal.getsignal(signal.SIGUSR1).__self__ is listener, mimetypes.types_map['.mine'] is types
""",
)

scenario(
    "what a compiled function was given is changed by a later step",
    """
%%step 1
import scipy.fft
class Backend:
    __ua_domain__ = 'numpy.scipy.fft'
    answer = 'mine'
    @classmethod
    def __ua_function__(cls, method, arguments, options): return cls.answer
scipy.fft.set_global_backend(Backend)
%%step 2
Backend.answer = ['another']
%%step 3
r = scipy.fft.fft([1.]); r.append(1)
%%
s = scipy.fft.fft([1.]) is Backend.answer, Backend.answer
""",
    runs={1: "uarray._uarray.set_global_backend", 2: "`Backend` may be out of reach", 3: "out of reach"},
)

# How a step runs a script in a namespace of its own.
WAYS = {
    "runpy.run_path": "import runpy; found = runpy.run_path(path)['__name__']",
    "runpy.run_module": "import runpy; found = runpy.run_module('tests.exact.script')['__name__']",
    "exec": "text = Path(path).read_text(); space = {}; exec(text, space); del space",
    "exec of what was compiled": "exec(compile(Path(path).read_text(), path, 'exec'), {})",
    "a function that does": "def run(path): exec(Path(path).read_text(), {})\nrun(path)",
    "statements one by one": "for one in ast.parse(Path(path).read_text()).body: exec(ast.unparse(one))",
    "exec of a tree": "exec(compile(ast.parse(Path(path).read_text()), path, 'exec'), {})",
    "exec of what an earlier cell compiled": "exec(compiled, {})",
    "timeit": "import timeit; is_done = timeit.timeit('pass', Path(path).read_text(), number=1) > 0",
    "the loader of a module": "from importlib.util import module_from_spec as make, spec_from_file_location as find\n"
    "found = make(find('mine', path)); found.__spec__.loader.exec_module(found); del found",
}
for way, code in WAYS.items():
    scenario(
        f"what a script sets in libraries that runs by {way}",
        f"""
%%step 1
import ast, calendar, fractions, json
from pathlib import Path
half = fractions.Fraction(1, 2)
path = {str(Path(__file__).with_name("script.py"))!r}
compiled = compile(Path(path).read_text(), path, 'exec')
%%step 2
{code}
%%step 3
r = json.rate, half.nicely(), calendar.firstweekday(), json.decoder.__all__[-1]
%%step 4
json.rate += 1; json.decoder.__all__.append('last')
%%
s = json.rate, half.nicely(), calendar.firstweekday(), json.decoder.__all__[-2:]
""",
    )

scenario(
    "a clock of the notebook's own, which counts who asks for the time",
    """
%%step 1
import time
class Clock:
    asked = 0
    def __init__(self, name): self.name, self.real = name, getattr(time, name)
    def __call__(self): Clock.asked += 1; return self.real()
clocks = [Clock(name) for name in ('time', 'time_ns', 'monotonic', 'perf_counter')]
for one in clocks: setattr(time, one.name, one)
%%step 2
asked = Clock.asked; box = [asked]
%%
box.append(Clock.asked)
%%step 3
time.time(); box.append(Clock.asked)
%%step 4
for one in clocks: setattr(time, one.name, one.real)
box.append(Clock.asked)
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
