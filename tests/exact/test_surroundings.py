"""Chance and surroundings: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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
    known="what a step does to libraries is not looked at",
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
    known="what a step does to libraries is not looked at",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
