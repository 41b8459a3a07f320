"""The witness tested: what a restore could get wrong, it must see."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.exact.harness import Witness

PAIRS = [
    ("a = [1]", "a = [True]"),
    ("a = [1, 0.0]", "a = [1, -0.0]"),
    ("a = (1, [2])", "a = [1, [2]]"),
    ("x = []; a = [x, x]", "a = [[], []]"),
    ("a = []; b = a", "a = []; b = []"),
    ("a = {1: 2, 3: 4}", "a = {3: 4, 1: 2}"),
    ("a = {1: 2}", "a = {True: 2}"),
    ("class D(dict): pass\na = D(x=1, y=2)", "class D(dict): pass\na = D(y=2, x=1)"),
    ("class I(int): pass\na = I(5)", "class I(int): pass\na = I(6)"),
    ("class S(str): pass\na = S('x')", "class S(str): pass\na = S('y')"),
    ("class T(tuple): pass\na = T([1]); a.x = 1", "class T(tuple): pass\na = T([1]); a.x = 2"),
    ("x = [1]; a = slice(x, x)", "a = slice([1], [1])"),
    ("def a(x, y=1): pass", "def a(x, *, y=1): pass"),
    ("def a(): pass\na.n = 1", "def a(): pass\na.n = 2"),
    ("def a(): pass\na.__doc__ = 'd'", "def a(): pass\na.__doc__ = 'e'"),
    ("def a(): pass\na.__name__ = 'd'", "def a(): pass\na.__name__ = 'e'"),
    ("def f(n): return lambda: n\na = f([1])", "def f(n): return lambda: n\na = f([2])"),
    ("class A:\n    x = 1\n    y = 2", "class A:\n    y = 2\n    x = 1"),
    ("import abc\nclass A(abc.ABC): pass", "import abc\nclass A(abc.ABC): pass\nA.register(int)"),
    ("class M(type): pass\nclass A(metaclass=M): pass", "class M(type): pass\nclass A: pass"),
    ("a = ValueError(1)", "a = ValueError(1); a.__cause__ = KeyError(2)"),
    ("a = iter([1, 2])", "a = iter([1, 2]); next(a)"),
    ("def g(): yield 1; yield 2\na = g()", "def g(): yield 1; yield 2\na = g(); next(a)"),
    (
        "import functools\n@functools.lru_cache\ndef a(): pass",
        "import functools\n@functools.lru_cache\ndef a(): pass\na()",
    ),
    ("import types\na = types.MappingProxyType({1: 2})", "import types\na = types.MappingProxyType({1: 3})"),
    ("a = memoryview(bytearray(b'x'))", "a = memoryview(bytearray(b'y'))"),
    ("import collections as c\na = c.deque([1], 2)", "import collections as c\na = c.deque([1], 3)"),
    ("import io\na = io.StringIO('x')", "import io\na = io.StringIO('x'); a.read()"),
    ("import random\na = random.Random(1)", "import random\na = random.Random(1); a.random()"),
    ("import numpy as np\na = np.arange(3)", "import numpy as np\na = np.arange(3.)"),
    ("import numpy as np\na = np.zeros((2, 2))", "import numpy as np\na = np.zeros((2, 2), order='F')"),
    ("import numpy as np\na = np.zeros(3)", "import numpy as np\na = np.zeros(3); a.flags.writeable = False"),
    ("import numpy as np\na = np.zeros(3); b = a[1:]", "import numpy as np\na = np.zeros(3); b = np.zeros(2)"),
    ("import numpy as np\na = np.zeros(4); b = a[1:3]", "import numpy as np\na = np.zeros(4); b = a[2:]"),
    ("import numpy as np\na = np.zeros(4); b = a[::2]", "import numpy as np\na = np.zeros(4); b = a[:3:2][::-1]"),
    (
        "import numpy as np\na = np.array([[1], [2]] * 2, object); b = a[1:]",
        "import numpy as np\na = np.array([[1], [2]] * 2, object); b = a[1:].copy()",
    ),
    (
        "import numpy as np\nx = []; a = np.empty(2, object); a[0] = a[1] = x",
        "import numpy as np\na = np.empty(2, object); a[0] = []; a[1] = []",
    ),
    (
        "import numpy as np\na = np.random.default_rng(1)",
        "import numpy as np\na = np.random.default_rng(1); a.random()",
    ),
    (
        "import numpy as np\nclass N(np.ndarray): pass\na = np.zeros(2).view(N); a.x = 1",
        "import numpy as np\nclass N(np.ndarray): pass\na = np.zeros(2).view(N); a.x = 2",
    ),
    (
        "import pandas as pd\na = pd.DataFrame({'x': [1]})",
        "import pandas as pd\na = pd.DataFrame({'x': [1]}, dtype='Int64')",
    ),
    (
        "import pandas as pd\na = pd.DataFrame([[1]])",
        "import pandas as pd\na = pd.DataFrame([[1]], columns=pd.Index([0]))",
    ),
    ("import pandas as pd\na = pd.Series([1], name=1)", "import pandas as pd\na = pd.Series([1], name=True)"),
    ("import pandas as pd\na = pd.Series([1])", "import pandas as pd\na = pd.Series([1]); a.attrs['x'] = 1"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_witness_tells_apart(one: str, other: str) -> None:
    assert describe(one) != describe(other)


@pytest.mark.parametrize("source", [source for pair in PAIRS for source in pair if "np.array(" not in source])
def test_the_witness_says_the_same_of_the_same(source: str) -> None:
    assert describe(source) == describe(source)


def describe(source: str) -> dict[str, str]:
    pytest.importorskip("pandas")
    pytest.importorskip("numpy")
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(ast.parse(source), "cell", "exec"), space)
    names = {name: value for name, value in space.items() if name not in ("__name__", "__builtins__", "f", "x")}
    return Witness(space).describe(names)
