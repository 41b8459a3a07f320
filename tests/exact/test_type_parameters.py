"""The syntax of type parameters, which Python has since 3.12: pipelines that a restore must not change."""

from __future__ import annotations

import sys

import pytest

from tests.exact.harness import Scenarios, Server

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="not run: Python 3.11 has no type parameters")

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "generic functions, classes and methods, aliases of types",
    """
%%step 1
import dataclasses, inspect
def f[T](x: T) -> list[T]: return [x]
class Stack[T: (int, str)]:
    items: list[T]
    seen = []
    def __init__(self): self.items = []
    def push[U](self, x: T, u: U = None) -> tuple[T, U]: self.items.append(x); return x, u
type Pairs = list[tuple[int, Node]]
type Choice[K] = dict[K, list[K]] | K
class Node: v = 1
def bound[N: Node, *Ts, **P](n: N, *a: *Ts) -> N: return n
@dataclasses.dataclass
class Data[T]:
    x: T = None
class Plain[T]:
    def get(self) -> T: return 1
s = Stack(); s.push(1)
%%step 2
class Sub[V](Stack[V]): pass
t = Sub(); d = Data[int](5); p = Plain()
%%step 3
t.push('x', 2); Stack.seen.append(1); q = Plain[str]()
%%step 4
T = Stack.__type_params__[0]
r = f(1), T.__constraints__, Stack.__parameters__[0] is T, Stack.__init__.__type_params__, isinstance(q, Plain)
r2 = Stack.push.__type_params__[0].__name__, str(Pairs.__value__), Pairs.__value__.__args__[0].__args__[1] is Node
r3 = str(Choice[int]), Choice.__type_params__[0].__name__, bound.__type_params__[0].__bound__ is Node, d.x
r4 = str(inspect.signature(bound)), Sub.__orig_bases__[0].__origin__ is Stack, isinstance(p, Plain)
r5 = f.__annotations__['x'] is f.__type_params__[0], Stack.push.__annotations__['x'] is T
""",
)
scenario(
    "a generic class, its subclass and an alias come from three steps",
    """
%%step 1
def f[T](x: T) -> T: return x
%%step 2
type X = list[int]
y = f(1)
%%step 3
g = f, X
class A[T]: pass
%%step 4
class B[T](A[T]): pass
a = A[int](); b = B()
%%step 5
r = g[0] is f, f.__type_params__[0] is f.__annotations__['x'], g[1] is X, isinstance(b, A), type(a) is A
""",
)
scenario(
    "an alias that speaks of itself",
    """
%%step 1
type Tree = dict[str, Tree]
x = [1]
%%step 2
x.append(2)
%%step 3
x.append(3)
""",
    runs={1: "`Tree` could not be saved"},
)
scenario(
    "a type parameter gets a name of its own",
    """
%%step 1
class A[T]: pass
%%step 2
held = A.__type_params__[0]
%%step 3
r = held is A.__parameters__[0]
""",
    known="a class that reaches nothing mutable is met by its name, what was taken out of it is a copy",
)
scenario(
    "the bound of a type parameter is a class that changes",
    """
%%step 1
class Node: v = 1
def f[N: Node](n: N) -> N: return n
%%step 2
Node.extra = [1]
%%step 3
r = f.__type_params__[0].__bound__ is Node
""",
    known="the bound is not looked at, since looking would evaluate it",
)


if sys.version_info >= (3, 13):
    scenario(
        "what stands for no default of a type variable",
        """
%%
from typing import *
%%step 1
kept = [NoDefault]
%%step 2
r = kept[0] is NoDefault, sorted(name for name in globals() if name == 'kept')
""",
    )


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)
