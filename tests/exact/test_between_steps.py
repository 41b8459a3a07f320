"""Between steps: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "unmarked cells between steps",
    """
%%
import collections
%%step 1
a = [1]
%%
a.append('unmarked'); factor = 3
%%step 2
b = [x for x in a]; c = factor
%%
d = {'a': a}
%%step 3
a.append(len(d)); e = d
%%
d['late'] = 1
%%step 4
f = e is d, a
""",
)
scenario(
    "an unmarked cell changes what the next step holds",
    """
%%step 1
import numpy as np
data = np.zeros(5); cfg = {'n': 1}
%%
data[0] = 1
cfg['n'] += 1
%%step 2
data[1] = 2; m = cfg
%%step 3
data[2] = cfg['n']
""",
)
scenario(
    "an unmarked cell defines what steps use",
    """
%%
def f(x): return x * scale
scale = 2
class C: pass
%%step 1
a = f(2); c = C()
%%
scale = 5
%%step 2
b = f(2); d = C()
%%step 3
ok = type(c) is C, type(d) is C, f(1)
""",
)
scenario(
    "a cyclic list in an unmarked cell",
    """
%%
cyc = []; cyc.append(cyc); deep = []
for _ in range(300): deep = [deep]
%%step 1
n = len(cyc)
%%step 2
m = cyc[0] is cyc, len(deep)
%%step 3
k = n + 1
""",
)
scenario(
    "an unmarked cell between uses what a step changed in place",
    """
%%step 1
d = {'n': 0}; hist = []
%%
hist.append(d['n'])
%%step 2
d['n'] += 1
%%
hist.append(d['n'])
%%step 3
d['n'] += len(hist)
%%
hist.append(d['n'])
""",
)
scenario(
    "an unmarked cell defines a class again by identical code",
    """
%%
class C: pass
%%step 1
a = C()
%%
class C: pass
%%step 2
b = C()
%%step 3
r = isinstance(a, C), isinstance(b, C)
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
