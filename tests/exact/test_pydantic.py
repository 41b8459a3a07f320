"""Classes that pydantic makes: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exact.harness import Scenarios, Server

pytest.importorskip("pydantic", reason="not run: pydantic is not installed")

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "instances of a model from three steps, validated after the restore",
    """
%%step 1
import pydantic
class M(pydantic.BaseModel):
    x: int
    tags: list[str] = []
a = M(x=1)
%%step 2
b = M(x='5', tags=['q'])
%%step 3
a.tags.append('t'); alias = b.tags
%%step 4
try: M(x='no'); err = None
except pydantic.ValidationError as e: err = e.errors()[0]['type']
alias.append('z')
r = type(a) is type(b) is M, b.tags, M(x=2).tags, err, a == M(x=1, tags=['t'])
""",
)
scenario(
    "aliases, factories, validators, private attributes, computed fields, serializers",
    """
%%step 1
from pydantic import BaseModel, Field, PrivateAttr, field_validator, model_validator, computed_field, ConfigDict, field_serializer
calls = []
def fresh(): calls.append('fresh'); return []
class M(BaseModel):
    model_config = ConfigDict(validate_assignment=True, extra='allow')
    x: int = Field(gt=0, alias='X', description='d')
    items: list[int] = Field(default_factory=fresh)
    _secret: dict = PrivateAttr(default_factory=dict)
    @field_validator('x')
    @classmethod
    def odd(cls, v): calls.append(v); return v
    @model_validator(mode='after')
    def whole(self): calls.append('whole'); return self
    @computed_field
    @property
    def double(self) -> int: return self.x * 2
    @field_serializer('items')
    def ser(self, v): return [str(i) for i in v]
a = M(X=1, more=[3])
%%step 2
a._secret['k'] = a.items; b = M(X=2)
%%step 3
a.items.append(7); a.x = 3
%%step 4
r = a.model_dump(), b.model_dump_json(), a._secret['k'] is a.items, list(calls), a.more, M.model_json_schema()
try: a.x = -1
except ValueError as e: r2 = str(e).splitlines()[0]
""",
)
scenario(
    "a generic model that holds itself, made for two types",
    """
%%step 1
from typing import Generic, TypeVar, Optional
from pydantic import BaseModel
T = TypeVar('T')
class Inner(BaseModel): n: int = 0
class Box(BaseModel, Generic[T]):
    item: T
    inner: Inner = Inner()
    nxt: 'Optional[Box[T]]' = None
%%step 2
b = Box[int](item='3'); c = Box[Inner](item=Inner(n=2))
%%step 3
d = Box[int](item=4, nxt=b)
%%step 4
r = type(b) is type(d) is Box[int], c.item.n, d.nxt is b, isinstance(b, Box)
e = Box[int](item=1)
""",
)
scenario(
    "a model gets a subclass in a later step",
    """
%%step 1
from pydantic import BaseModel
class A(BaseModel):
    x: int = 1
a = A()
%%step 2
class B(A):
    y: list = []
b = B()
%%step 3
c = B(x=2); b.y.append(1)
%%step 4
r = isinstance(c, A), B.model_fields.keys(), c.model_dump(), A.__subclasses__() == [B], b.model_copy(deep=True)
""",
    starts=(2, 3, 4, 5),  # which classes there are is no evidence: with `auto` the last step is never fresh
)
scenario(
    "a generic model of a generic model, partly filled in, subclassed, and one made by a call",
    """
%%step 1
from typing import Generic, TypeVar, Optional, Union, Literal, Annotated
from pydantic import BaseModel, create_model, RootModel, TypeAdapter, ConfigDict, Field
T = TypeVar('T'); U = TypeVar('U')
class Box(BaseModel, Generic[T]):
    item: T
class Pair(BaseModel, Generic[T, U]):
    a: T; b: U
IntFirst = Pair[int, U]
%%step 2
b = Box[int](item='3'); p = IntFirst[str](a=1, b='x'); q = Pair[int, str](a=2, b='y')
%%step 3
d = Box[int](item=4); n = Box[Box[int]](item=b)
class Sub(Box[str]): more: int = 0
%%step 4
r = type(b) is type(d) is Box[int], type(p) is type(q), n.item is b, isinstance(b, Box), type(n) is Box[Box[int]], Sub(item='s').more
s = Sub.model_validate({'item': 'k'}); Dyn = create_model('Dyn', x=(int, 5), __base__=Sub)
%%step 5
dy = Dyn(item='a'); r2 = type(dy).__mro__[1] is Sub, dy.model_dump_json(), Dyn.model_json_schema(), n.model_dump()
""",
)
scenario(
    "a forward reference is completed in a later step; unions by a tag, root models, adapters",
    """
%%step 1
from __future__ import annotations
from typing import Literal, Union, Annotated
from pydantic import BaseModel, RootModel, TypeAdapter, Field, ConfigDict
import enum
class Kind(str, enum.Enum): A = 'a'; B = 'b'
class Cat(BaseModel):
    kind: Literal['cat'] = 'cat'; lives: int = 9
class Dog(BaseModel):
    kind: Literal['dog'] = 'dog'; k: Kind = Kind.A
class Node(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    child: Node | None = None
    later: Later | None = None
    pet: Annotated[Union[Cat, Dog], Field(discriminator='kind')] = Cat()
%%step 2
class Later(BaseModel):
    v: int = 1
%%step 3
n = Node(child={'pet': {'kind': 'dog', 'k': 'b'}}, later={'v': '3'})
class Names(RootModel[list[str]]): pass
%%step 4
names = Names(['a']); ad = TypeAdapter(list[Cat]); cats = ad.validate_python([{'lives': '3'}])
%%step 5
m = Node.model_validate(n.model_dump()); r = m == n, type(m.child.pet) is Dog, m.child.pet.k is Kind.B, type(m.later) is Later, Node.__pydantic_complete__, ad.validate_json('[{}]')[0] == Cat(), names.root, type(cats[0]) is Cat
""",
)
scenario(
    "hooks of subclasses run once, frozen models as keys",
    """
%%step 1
from pydantic import BaseModel, PrivateAttr, ConfigDict
log = []
class Base(BaseModel):
    model_config = ConfigDict(frozen=True)
    @classmethod
    def __pydantic_init_subclass__(cls, **kw): log.append(cls.__name__)
    def __init_subclass__(cls, **kw): super().__init_subclass__(**kw); log.append('sub ' + cls.__name__)
    def model_post_init(self, ctx): log.append('post')
class A(Base):
    log.append('body')
    x: int = 1
    _p: list = PrivateAttr(default_factory=list)
%%step 2
class B(A):
    y: tuple = ()
    def hi(self): return super().hi() if hasattr(super(), 'hi') else self.x
a = A()
%%step 3
b = B(x=4); b._p.append(a)
class C(B): pass
%%step 4
r = list(log), hash(A()) == hash(a), {a: 1}[A()], b.hi(), b._p[0] is a, C().hi()
try: a.x = 3
except Exception as e: err = type(e).__name__
""",
)
scenario(
    "a model is defined again while an old instance lives, patched and rebuilt; a dataclass and a checked function",
    """
%%step 1
from pydantic import BaseModel, Field, validate_call
from pydantic.dataclasses import dataclass
shared = []
class M(BaseModel):
    x: int = 1
    f: object = Field(default_factory=lambda: shared)
    def hi(self): return 'old'
old = M()
@dataclass
class D:
    n: int
    tags: list = Field(default_factory=list)
@validate_call
def add(a: int, b: int = 2) -> int: return a + b
%%step 2
class M(BaseModel):
    x: int = 2
    def hi(self): return 'new'
new = M(); d = D(n='4')
%%step 3
M.hi = lambda self: 'patched'; M.extra = [1]; old.f.append(1)
%%step 4
Old = type(old); third = Old()
r = third.f is shared, third.hi(), new.hi(), isinstance(old, M), shared, add('3'), d.n, isinstance(d, D), old == third, old == new
%%step 5
M.model_rebuild(force=True); e = D(n='7', tags=('a',)); r2 = M(x='9').x, e.tags, add('5', b='6')
""",
)
scenario(
    "extra fields, class variables, annotated types, cached and secret values, copies",
    """
%%step 1
import functools, copy, pickle
from pydantic import BaseModel, ConfigDict, computed_field, field_validator, AfterValidator, SecretStr, model_serializer
from typing import Annotated, Any, ClassVar
seen = []
def check(v): seen.append(v); return v
Pos = Annotated[int, AfterValidator(check)]
class M(BaseModel):
    model_config = ConfigDict(extra='allow', arbitrary_types_allowed=True)
    count: ClassVar[list] = []
    p: Pos = 1
    s: SecretStr = SecretStr('q')
    any: Any = None
    @functools.cached_property
    def total(self): seen.append('total'); return [self.p]
    @computed_field
    @functools.cached_property
    def comp(self) -> int: seen.append('comp'); return self.p
a = M(p=3, other=[1], any={1})
%%step 2
t = a.total; c = a.comp
b = a.model_copy(update={'p': 7}); M.count.append('b')
%%step 3
a.other.append(2); a.p = 99
%%step 4
r = a.total is t, a.total, b.other is a.other, list(seen), a.model_fields_set, a.model_extra, M.count, a.__pydantic_extra__['other'] is b.other
d = copy.deepcopy(a); r2 = d == a, d.total, d.s.get_secret_value()
""",
)
scenario(
    "models made by a function and inside a class, used by another model",
    """
%%step 1
from pydantic import BaseModel
import pandas as pd
def make(n):
    class Local(BaseModel):
        v: int = n
        tags: list = []
    return Local
L1 = make(1); L2 = make(2)
class Outer:
    class Inner(BaseModel): z: int = 0
a, b = L1(), L2()
%%step 2
class UsesBoth(BaseModel):
    one: L1; two: L2; inn: Outer.Inner = Outer.Inner()
u = UsesBoth(one=a, two=b)
%%step 3
df = pd.DataFrame([x.model_dump() for x in (a, b)]); rows = [L1(v=i) for i in range(3)]; a.tags.append(1)
%%step 4
r = u.one is a, type(u.one) is L1, type(rows[0]) is L1, isinstance(b, L1), UsesBoth.model_validate({'one': a, 'two': b}).two is b, type(u.inn) is Outer.Inner
""",
)
scenario(
    "functions and methods that check their arguments",
    """
%%step 1
from pydantic import validate_call, BaseModel
@validate_call
def add(a: int, b: int = 2) -> int: return a + b
class M(BaseModel):
    x: int = 0
    @validate_call
    def plus(self, n: int): return self.x + n
@validate_call(validate_return=True)
def later(m: list[int]) -> 'str': return m and 'a'
x = [1]
%%step 2
class N(BaseModel): v: int = 3
y = add('3'); m = M()
%%step 3
z = add(a='4'); x.append(z); add.tag = x
%%step 4
r = m.plus('4'), M().plus(3)
try: add('q')
except ValueError as e: r2 = e.errors()[0]['type']
""",
)


@pytest.fixture(scope="module")
def pydantic_server() -> Iterator[Server]:
    made = Server("pydantic")
    yield made
    made.close()


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(pydantic_server: Server, name: str) -> None:
    scenarios.check(pydantic_server, name)
