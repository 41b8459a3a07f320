"""Names: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "names are created, rebound, deleted and created again",
    """
%%step 1
a = [1]; b = [2]; c = 3
%%step 2
del a
b = [b, 4]
%%step 3
a = ['again']; del c
%%step 4
c = 'c' in globals(), a, b
""",
)
scenario(
    "a function deletes a global",
    """
%%step 1
a, b = [1], [2]
def drop():
    global a
    del a
%%step 2
drop()
b.append('a' in globals())
%%step 3
b.append('a' in globals())
%%step 4
a = b
""",
)
scenario(
    "names are bound by walrus, loops, with, except, match, comprehensions",
    """
%%step 1
import contextlib
total = [last := y for y in range(4)]
for i, (j, k) in enumerate([(1, [2]), (3, [4])]): pass
%%step 2
with contextlib.nullcontext([k]) as w: pass
try: 1 / 0
except ZeroDivisionError as error: message = str(error)
%%step 3
match {'p': [k], 'q': 2}:
    case {'p': found, **rest}: pass
%%step 4
k.append(5)
seen = w, found, rest, last, 'error' in globals()
""",
)
scenario(
    "a function binds globals, exec and globals() do",
    """
%%step 1
def setup():
    global made
    made = [1]
setup()
%%step 2
exec('executed = [made]')
globals()['by_key'] = made
%%step 3
import sys
setattr(sys.modules['__main__'], 'by_attribute', executed)
made.append(2)
%%step 4
all_same = by_key is made and by_attribute[0] is made
""",
)
scenario(
    "names come by a star import and import a.b",
    """
%%step 1
from os.path import *
import xml.dom.minidom
import os.path as osp
%%step 2
where = join('a', 'b')
import xml.etree.ElementTree as ET
tree = ET.fromstring('<a><b/></a>')
%%step 3
dom = xml.dom.minidom.parseString('<a/>').documentElement.tagName
import importlib
name = osp.basename(where)
%%step 4
children = [child.tag for child in tree]
""",
)
scenario(
    "a builtin is shadowed and comes back",
    """
%%step 1
len_before = len([1])
def len(x): return 42
%%step 2
shadowed = len([1])
%%step 3
del len
%%step 4
after = len([1])
""",
)
scenario(
    "annotations of the module",
    """
%%step 1
x: int = 3
%%step 2
y: str
z: list = [x]
%%step 3
seen = dict(__annotations__)
""",
)
scenario(
    "the order of names is the order of their making",
    """
%%step 1
z = [1]; a = [2]; m = [3]
%%step 2
a.append(z)
b = 1
%%step 3
del z
order = [n for n in globals() if len(n) == 1]
%%step 4
z = 0
order2 = [n for n in globals() if len(n) == 1]
%%step 5
m.append(1)
""",
)
scenario(
    "a hundred variables of which one changes",
    """
%%step 1
for i in range(100): globals()[f'v{i}'] = [i]
%%step 2
v57.append(1)
%%step 3
s = sum(len(globals()[f'v{i}']) for i in range(100))
""",
)
scenario(
    "a name is rebound to an equal object",
    """
%%step 1
a = [1, 2]; b = a
%%step 2
a = [1, 2]
%%step 3
b.append(3)
%%step 4
a.append(4)
""",
)
scenario(
    "names are rebound to other atoms of equal value",
    """
%%step 1
a, b, c, d = 1, 0.0, True, 'x'
%%step 2
a, b, c, d = 1.0, -0.0, 1, b'x'
%%step 3
t = type(a), str(b), c is True, d
""",
)
scenario(
    "a result holds what no name holds",
    """
%%step 1
import numpy as np
a = np.arange(10)
a[2:4]
%%step 2
a[2] = 50
[x := 5, {'n': None}]
%%step 3
a
""",
)
scenario(
    "very large numbers, NaN and surrogates",
    """
%%step 1
big = 10 ** 6000; nan = float('nan'); s = 'a\\ud800'; r = range(10 ** 30); nz = -0.0; l = [big]
%%
cfg = 10 ** 5000
%%step 2
l.append(nan); t = l[1] is nan; u = cfg % 7
%%step 3
big += 1; x = str(nz), len(s)
""",
)
scenario(
    "the step's own result and Out are no names",
    """
%%step 1
a = {'k': [1]}
a['k']
%%step 2
a['k'].append(2)
a
%%step 3
b = a['k']
(b, a)
""",
)
scenario(
    "a submodule is imported in a later step",
    """
%%step 1
import os
import xml
%%step 2
import xml.sax.saxutils
e = xml.sax.saxutils.escape('<')
%%step 3
f = xml.sax.saxutils.escape('>')
""",
)
scenario(
    "a step that fails to change anything, and one that is empty",
    """
%%step 1
a = [1]
%%step 2
pass
%%step 3
try: a.nothing()
except AttributeError: pass
%%step 4
a.append(2)
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
