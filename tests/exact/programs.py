"""Random pipelines of small cells: what `test_generated` and the command `generate` run.

A program is drawn line by line from a table of templates. In a template ``<list>`` stands for a name that holds a
list at that point, ``<+list>`` for one that holds a list afterwards, ``<-any>`` for one that is gone afterwards,
``<v>`` for any value and ``<n>`` for a small number; the same placeholder twice is the same text twice. So a program
is valid by construction: kinds of names are kept track of, and what depends on contents is guarded in the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

POOL = tuple("abcdepq")
FUNCTIONS = ("f", "g", "h")
CLASSES = ("K", "M")

# What a kind may stand for as well: `<array>` is also drawn from the names that hold fresh arrays.
ALSO = {
    "fresh": ("array",),
    "inst": ("obj",),
    "slot": ("obj",),
    "list2": ("list",),
    "call": ("func",),
    "need": ("func",),
    "base": ("cls",),
    "series": ("pandas",),
    "frame": ("pandas",),
}
NOT_ANY = {"func", "cls", "lost"}  # `<any>` is data

TEMPLATES: dict[str, str] = {
    "bind": """
<+list> = [1, 2]
<+list> = [<v>, 1, <v'>]
<+list> = list(range(<n>))
<+list2> = [[0]] * 2
<+list> = [[<n>], {'k': [<v>]}]
<+dict> = {'k': <v>, 'n': <n>}
<+dict> = dict(x=<v>, y=[<n>])
<+any> = (<v>, [<n>])
<+any> = ((), (1, [<v>]), <v>)
<+set> = {1, <n>}
<+int> = <n>
<+str> = 'ab' + str(<n>)
<+deque> = collections.deque([<v>, 2], maxlen=4)
<+bytes> = bytearray(b'abc')
<+dict> = collections.OrderedDict(p=<v>, q=1)
<+dict> = collections.defaultdict(list, z=[<v>])
<+counter> = collections.Counter('hello')
<+sio> = io.StringIO(chr(10).join(['one', 'two', 'three']))
<+bio> = io.BytesIO(b'123456')
<+ints> = array.array('i', [1, 2])
<+list> = [[<n>, <v>]]; <+any> = <+list>[0]
<+list>, <+dict> = [<v>], {'s': <n>}
<+any>, *<+list> = [[<n>]], 1, <v>
<+int> = <+float> = 0.5
<+list>: list = [<n>]
<+ns> = types.SimpleNamespace(v=<v>, n=<n>)
""",
    "alias": """
<+any> = <any>
<+list> = <list>
<+dict> = <dict>
<+array> = <array>
<+frame> = <frame>
<+inst> = <inst>
<+func> = <func>
<+any> = <list>[0] if <list> else None
<+any> = <list>[-1] if <list> else <v>
<+any> = <dict>.get('k')
<+any> = next(iter(<dict>.values()), None)
<+list> = <dict>.setdefault('al', []) if isinstance(<dict>.get('al', []), list) else []
<+any> = <inst>.v
<+any> = vars(<inst>)
<+any> = <ns>.v
<+any> = (<any>,)
<+list> = list(<list>)
<+any> = copy.copy(<any>)
<+any> = copy.deepcopy(<list>)
<+view> = <dict>.keys()
<+dict> = collections.ChainMap(<dict>, {'deep': [<n>]})
(<+list> := <list>).append(<n>)
""",
    "change a list": """
<list>.append(<v>)
<list>.extend([<v>, <n>])
<list> += [<v>]
<list>.insert(0, <v>)
<list>[:1] = [<v>]
<list>[:1] = []
<list>.reverse()
<list> *= 2
<list>.clear()
<list>.sort(key=lambda v: type(v).__name__)
for i in range(2): <list>.append(i)
[<list>.append(i) for i in range(<n>)]
<list>[len(<list>):] = [<v>]
if <list>: <list>[0] = [<n>]
if <list>: <list>[-1] = copy.copy(<list>[-1])
if <list>: <list>.pop()
heapq.heappush(heap := [3, 5], <n>)
<list>.append(<list>)
<list2>[0].append(<n>) if <list2> and isinstance(<list2>[0], list) else None
for <+any> in [<v>, [<n>]]: <list>.append(<+any>)
while len(<list>) < 3: <list>.append(<n>)
""",
    "change a dict or a set": """
<dict>['k'] = <v>
<dict>[<n>] = <v>
<dict>.pop('k', None)
<dict>['n'] = <dict>.pop('n', 0)
<dict>.setdefault('q', []); poke(<dict>['q'])
<dict>.update(k=<v>, w=<n>)
<dict> |= {'u': <v>}
<dict>.clear()
<dict>['self'] = <dict>
<set>.add(<n>)
<set>.discard(1)
<set> |= {2, <n>}
<set> ^= {1, 4}
""",
    "change others": """
poke(<any>)
poke(<any>); poke(<any'>)
<int> += 1
<str> += 'x'
<deque>.append(<v>)
<deque>.rotate(1)
<bytes> += b'x'
<bytes>[:1] = b'zz'
<ints>.append(<n>)
<counter>['l'] -= 1
<counter>.update('ol')
<sio>.readline()
<sio>.seek(1)
<sio>.write('W')
<bio>.read(2)
<bio>.write(b'X')
<ns>.w = <v>
<ns>.n += 1
setattr(<ns>, 'z', [<n>])
swap = <any>; <list>.append(swap); del swap
""",
    "names": """
del <-any>
del <-list>
del <-func>
del <-cls>
exec('<+list> = [<n>]')
globals()['<+list>'] = [<n>]
vars(sys.modules['__main__'])['<+dict>'] = {'e': <v>}
setattr(sys.modules['__main__'], '<+any>', <any>)
<+any> = eval('<any>')
globals().pop('<-any>')
for <+int> in range(<n>, 9): pass
with contextlib.nullcontext(<any>) as <+any>: pass
try: raise ValueError(<v>)\\nexcept ValueError as error: <+list> = list(error.args)
try: <list>.append(1 // 0)\\nexcept ZeroDivisionError: <list>.append('failed')
try: missing_name\\nexcept NameError: <+int> = 3
def drop():\\n    global <-any>\\n    del <-any>\\ndrop()
len = lambda x, real=len: real(x)
if 'len' in globals(): del len
from os.path import join, basename; <+str> = basename('x/y')
import xml.dom; <+str> = xml.dom.__name__
<+any> = [<any>, 'a' in globals(), sorted(n for n in globals() if len(n) == 1)]
match {'m': <v>, 'o': [1]}:\\n    case {'m': <+any>, **rest}: pass
""",
    "functions": """
def <+call>(x=[]):\\n    x.append(len(x))\\n    return x
def make(n=0):\\n    def inner():\\n        nonlocal n\\n        n += 1\\n        return n\\n    return inner\\n<+call> = make(<n>)
def make(n):\\n    def up(): n.append(1); return n\\n    def get(): return n\\n    return up, get\\n<+call>, <+call'> = make([<v>])
def <+call>():\\n    global <~+list>\\n    <~+list> = [<n>]
def <+call>(x=None, kept=<v>): <~list>.append(kept); return len(<~list>)
def <+call>(): poke(<~any>); return <~any>
def <+call>(x=0):\\n    global <~int>\\n    <~int> += 1
def <+call>(x=2): return [] if x == 0 else [x, <+call>(x - 1)]
def <+call>(): <+call>.count = getattr(<+call>, 'count', 0) + 1; return <+call>.count
def <+call>(): return [<~func>, <n>]
@functools.lru_cache\\ndef <+call>(x=1): return [x]
@registered\\ndef <+call>(): return len(registry)
@functools.wraps(<func>)\\ndef <+call>(*args): return args
<+call> = lambda: <~any>
<+call> = functools.partial(poke, <any>)
<+call> = <obj>.put
<+call> = <list>.copy
<+call> = operator.methodcaller('append', <v>)
<+call> = functools.partial(<func>)
def <+call>():\\n    try: return 1 // 0\\n    except ZeroDivisionError as error: return [*error.args, <~any>]\\n    finally: poke(<~list>)
def <+call>(kept=weakref.WeakKeyDictionary()): kept.setdefault(call, []).append(<v>); return list(kept.values())
def <+call>(*args, k=<v>): return sum(1 for _ in (i for i in range(3))), k
try: <func>.note = <v>\\nexcept AttributeError: pass
if getattr(<func>, '__defaults__', None): <func>.__defaults__ = (<v>,)
call(<func>)
call(<func>); call(<func'>)
<+any> = call(<func>)
<list>.append(call(<func>))
<+list> = [<func>, <func'>]
<dict>['f'] = <func>
""",
    "classes": """
class <+base>:\\n    items = [<v>]\\n    def __init__(self, v): self.v = v\\n    def put(self, x): self.items.append(x); self.w = x
class <+base>:\\n    n = 0\\n    def __init__(self, v): self.v = [v]; type(self).n += 1\\n    def put(self, x): self.v.append(x)\\n    @property\\n    def size(self): return len(self.v)
class <+base>:\\n    made = []\\n    def __init_subclass__(cls, **kw): <base>.made.append(cls.__name__) if hasattr(<base>, 'made') else None\\n    def __init__(self, v): self.v = v; self.made.append(v)\\n    @classmethod\\n    def put(cls, x): cls.made.append(x)
@dataclasses.dataclass\\nclass <+base>:\\n    v: object\\n    more: list = dataclasses.field(default_factory=list)\\n    def put(self, x): self.more.append(x)
class <+base>(list):\\n    def __init__(self, v): super().__init__([v]); self.v = v\\n    def put(self, x): self.append(x)
class <+base>(dict):\\n    def __init__(self, v): self.v = v; self['v'] = v\\n    def put(self, x): self[len(self)] = x
class <+base>(<cls>):\\n    def put(self, x): super().put(x); self.seen = x
class <+base>(<cls>):\\n    def __init__(self, v): super().__init__(v); self.extra = [v]; registry.append(self)
class <+slotted>:\\n    __slots__ = ('v', 'w')\\n    def __init__(self, v): self.v = v\\n    def put(self, x): self.w = x
class <+base>(abc.ABC):\\n    def __init__(self, v): self.v = v\\n    def put(self, x): self.v = [self.v, <~any>]
<+any> = typing.NamedTuple('Pair', [('x', int), ('y', list)])(<n>, [<v>])
<+inst> = <base>(<v>)
<+any> = {<inst>: [<v>], 'i': <inst>} if type(<inst>).__hash__ else <inst>
class <+base>:\\n    def __init__(self, v): self._v = v\\n    v = property(lambda self: self._v, lambda self, x: setattr(self, '_v', [x, self._v]))\\n    def put(self, x): self.v = x\\n    def __eq__(self, other): return True\\n    __hash__ = None
<+any> = vars(<cls>).get('items'), <cls>.__mro__[:1]
<+slot> = <slotted>(<v>)
<+list> = [<base>(<v>), <base>(<n>)]
<obj>.put(<v>)
<obj>.v = <v>
<inst>.extra = <v>
<inst>.put(<n>); <inst'>.put(<v>)
<cls>.count = <n>
<cls>.shared = <v>
<cls>.put = lambda self, x: setattr(self, 'patched', x)
def patched(self, x): self.v = [x]\\n<cls>.put = patched
<inst>.__class__.tag = [<n>]
<+any> = isinstance(<inst>, <cls>), type(<inst>)
if 'count' in vars(<cls>): del <cls>.count
<dict>['cls'] = <cls>
<+any> = type('Nameless', (), {'v': <v>})()
""",
    "numpy": """
<+fresh> = np.arange(6)
<+fresh> = np.arange(6.).reshape(2, 3)
<+fresh> = np.full(5, <n>)
<+fresh> = np.ones((3, 2), order='F')
<+fresh> = np.arange(24.).reshape(2, 3, 4).transpose(1, 2, 0) / (<n> + 1)
<+array> = (np.arange(90000.) / 7).reshape(300, 300)[::7, ::-5]
<+array> = (np.arange(60000.) / 7).reshape(300, 200)[:, 1:3]
<+any> = <array>.sum(), <array>.std()
<+rec> = np.zeros(3, [('x', 'i4'), ('y', 'f8')])
<+objs> = np.empty(2, object); <+objs>[0] = <v>; <+objs>[1] = [<n>]
<+array> = <array>[1:]
<+array> = <array>[::-1]
<+array> = <array>.T
<+array> = <fresh>.view('u1')
<+array> = <fresh>.reshape(-1)
<+array> = <rec>['x']
<+array> = np.asarray(<array>)
<+array> = np.array(<array>)
<+array> = np.broadcast_to(<array>[:1], (2, *<array>.shape[1:])) if <array>.ndim and len(<array>) else <array>
<+array> = <array>[...]
<+array> = memoryview(<fresh>).obj
<array>[:1] = <n>
if <array>.flags.writeable: <array> += 1
if <array>.flags.writeable: np.add(<array>, 1, out=<array>, casting='unsafe')
if <array>.flags.writeable: np.multiply(<array>, 2, <array>, casting='unsafe')
<array>.sort() if <array>.flags.writeable else None
<fresh>.flags.writeable = False
<fresh>.fill(<n>) if <fresh>.flags.writeable else None
<rec>['x'][:2] += 1
<rec>[0] = (<n>, 2.5)
<objs>[0] = <v>
<objs>[1].append(<n>) if isinstance(<objs>[1], list) else None
<+any> = <objs>[0]
<+objs> = <objs>[:1].repeat(2)
<+any> = np.ma.masked_array([1, 2, 3], [0, 1, 0])
<list>.append(<array>)
<dict>['view'] = <array>[:2]
<+any> = (<array>, <array>[:1])
""",
    "pandas": """
<+frame> = pd.DataFrame({'x': [1, 2, 3], 'y': [.5, .25, <n>]})
<+frame> = pd.DataFrame({'x': np.arange(3), 's': ['a', 'b', None], 'o': [[1], <n>, 'z']})
<+frame> = pd.DataFrame(np.arange(6.).reshape(3, 2), columns=['x', 'y'])
<+frame> = pd.DataFrame({'x': pd.Categorical(['a', 'b', 'a']), 't': pd.date_range('2020', periods=3)})
<+frame> = pd.DataFrame((np.arange(60000.) / 7).reshape(300, 200)[:, 1:3], columns=['x', 'y'])
<+series> = pd.Series([1, 2, <n>], name='x')
<+series> = pd.Series((np.arange(60000.) / 7).reshape(300, 200)[:, 1])
<+series> = <frame>['x'] if 'x' in <frame> else pd.Series([1.])
<+frame> = <frame>[[*<frame>][:1]]
<+frame> = <frame>.copy(deep=False)
<+frame> = <frame>.assign(z=<n>)
<+frame> = <frame>.iloc[1:]
<+series> = <series>[1:]
<+series> = <series>.iloc[::-1]
<+array> = <series>.to_numpy() if <series>.dtype.kind in 'iuf' else np.ones(2)
<+frame> = <frame>.rename(columns={'y': 'q'})
<+frame> = <frame>.drop(columns=[*<frame>][-1:])
<+frame> = <frame>.set_index([*<frame>][0]) if <frame>.shape[1] > 1 else <frame>
<+frame> = <series>.to_frame('y')
<+series> = pd.Series(pd.array([1, None, <n>], dtype='Int64'))
<+any> = pd.Index(<series>)
<+any> = <series>.array
<+any> = [<frame>, <frame>[[*<frame>][:1]]]
if len(<series>) and <series>.dtype.kind in 'if': <series>.iloc[-1] = <series>.iloc[0]
<+array> = <frame>['y'].to_numpy() if 'y' in <frame> else np.ones(2)
<+series> = pd.Series(<fresh>.reshape(-1), copy=False)
<+frame> = pd.DataFrame({'n': <fresh>.reshape(-1)}, copy=False)
<frame>['z'] = <n>
<frame>['z'] = range(len(<frame>))
<frame>['c'] = 'k'
if 'y' in <frame>: <frame>['y'] += 1
if 'y' in <frame> and len(<frame>): <frame>.loc[<frame>.index[0], 'y'] = <n>
if 'z' in <frame> and len(<frame>): <frame>.iloc[0, [*<frame>].index('z')] = 7
<frame>.drop(columns='z', inplace=True, errors='ignore')
<frame>.rename(columns={'x': 'w'}, inplace=True)
<frame>.attrs['k'] = <v>
<frame>.index.name = 'i'
<frame>.index = range(10, 10 + len(<frame>))
<frame>.insert(0, 'first' + str(<frame>.shape[1]), <n>)
<series>.attrs['s'] = [<n>]
if len(<series>) and <series>.dtype.kind in 'if': <series>.iloc[0] = 9
<series>.name = 'renamed'
<+any> = <frame>.groupby(level=0).size()
<+any> = <pandas>.index
<list>.append(<frame>)
<dict>['frame'] = <pandas>
""",
    "chance and iterators": """
<+any> = random.random()
random.seed(<n>)
random.shuffle(<list>)
np.random.seed(<n>)
<+any> = np.random.rand()
<+rng> = np.random.default_rng(<n>)
<+rng> = np.random.Generator(<rng>.bit_generator)
<+rs> = np.random.RandomState(<n>)
<+any> = <rs>.rand()
<+pyrng> = random.Random(<n>)
<+any> = <pyrng>.random()
<+any> = <rng>.random()
<list>.append(<rng>.integers(9))
<+fresh> = <rng>.integers(5, size=4)
<+any> = <rng>
<+iter> = iter(<list>)
<+iter> = enumerate(<list>)
<+iter> = zip(<list>, range(9))
<+iter> = itertools.count(<n>)
<+iter> = reversed([1, <v>, 3])
<+iter> = itertools.chain(<list>, [<n>])
<+iter> = itertools.islice(iter(<list>), 3)
<+iter> = filter(None, <list>)
<+iter> = itertools.cycle([1, <v>])
<+iter> = iter({'p': <v>, 'q': <n>}.items())
<+iter> = iter(range(5))
<+iter> = map(str, [1, 2, 3])
<+any> = next(<iter>, None)
next(<iter>, None); next(<iter>, None)
<list>.append(next(<iter>, 'end'))
<dict>['it'] = <iter>
<+any> = <iter>
<+lost> = (i for i in [1, 2, 3])
<+any> = next(<lost>, None)
<+lost> = (i for i in <list>)
""",
    "surroundings": """
os.environ['GENERATED'] = 'v<n>'
os.environ.pop('GENERATED', None)
decimal.getcontext().prec = 5 + <n>
np.set_printoptions(precision=3 + <n>)
pd.set_option('display.precision', 3 + <n>)
sys.path.append('/nowhere/<n>')
sys.setrecursionlimit(2000 + <n>)
warnings.simplefilter('ignore', ResourceWarning)
<+any> = os.environ.get('GENERATED')
<+any> = decimal.Decimal(1) / 3
""",
}
RESULTS = (
    "<any>",
    "len(<list>), <any>",
    "[<any>, <v>]",
    "<array>",
    "<frame>",
    "<list>[:1]",
    "<func>",
    "(<list>, <dict>)",
)

FIRST = """import abc, array, collections, contextlib, copy, dataclasses, decimal, functools, heapq, io, itertools
import operator, os, random, sys, types, typing, warnings, weakref
import numpy as np
import pandas as pd
registry = []
def registered(f): registry.append(f.__name__); return f
def call(f):
    try: return f()
    except (TypeError, AttributeError, NameError): return f.__name__ if hasattr(f, '__name__') else 'no name'
def poke(x=0, deep=True):
    if isinstance(x, (list, collections.deque)): x.append(len(x))
    elif isinstance(x, dict): x['poked'] = len(x)
    elif isinstance(x, set): x.add(len(x) % 8)
    elif isinstance(x, np.ndarray) and x.dtype.kind in 'iuf' and x.flags.writeable: x += 1
    elif isinstance(x, pd.DataFrame): x['poked'] = 1
    elif isinstance(x, (np.random.Generator, random.Random)): x.random()
    elif isinstance(x, type): x.poked = [1]
    elif hasattr(x, '__next__'): next(x, None)
    elif hasattr(x, 'put') and type(x).__module__ == '__main__': x.put(1)
    elif isinstance(x, tuple) and deep:
        for one in x: poke(one, False)
    return x"""


@dataclass(frozen=True)
class Held:
    """What is known of a name: a kind, and for a function which names of which kinds it uses and binds when called."""

    kind: str
    needs: tuple[tuple[str, str], ...] = ()
    binds: tuple[tuple[str, str], ...] = ()

    def is_a(self, kind: str) -> bool:
        if kind == "any":
            return self.kind not in NOT_ANY and not NOT_ANY.intersection(ALSO.get(self.kind, ()))
        return kind == self.kind or kind in ALSO.get(self.kind, ())


@dataclass(frozen=True)
class Program:
    """A pipeline as text, and how often it used each template of which group."""

    text: str
    used: tuple[tuple[str, str], ...]


@dataclass
class Maker:
    """Draws one program; `choose` picks one of several things."""

    choose: Callable[[Sequence[Any]], Any]
    held: dict[str, Held] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)
    focus: str = ""

    def program(self) -> Program:
        """Draw all cells."""
        cells = []
        step = 0
        lone_imports = self.choose([False, False, True])
        for number in range(self.choose([4, 5, 3, 6, 7, 8])):
            marked = number < 2 or self.choose([True, True, False])
            step += marked
            lines = [FIRST] if number == 0 else []
            if number == 0 and lone_imports:
                cells.append("%%\n" + FIRST)
                lines = []
            for _ in range(self.choose([2, 3, 4, 1, 6])):
                lines += self.line()
            if self.choose([False, False, False, True]):
                lines += self.fill(self.choose(RESULTS), "result")
            cells.append((f"%%step {step}\n" if marked else "%%\n") + "\n".join(lines or ["pass"]))
        return Program("\n".join(cells), tuple(self.used))

    def line(self) -> list[str]:
        """Draw one statement, every other time about a name that is there; none if the one drawn does not fit."""
        if self.held and self.choose([True, False]):
            self.focus = self.choose(list(self.held))
            kinds = {self.held[self.focus].kind, *ALSO.get(self.held[self.focus].kind, ())}
            fitting = [one for kind in sorted(kinds) for one in USERS.get(kind, ()) if self.fits(one[1])]
        else:
            group = self.choose(GROUPS if self.held else ("bind", "classes", "numpy", "functions"))
            fitting = [(group, one) for one in LINES[group] if self.fits(one)]
        group, template = self.choose(fitting) if fitting else ("", "")
        lines = self.fill(template, group) if template else []
        self.focus = ""
        return lines

    def fits(self, template: str) -> bool:
        wanted = {hole.strip("~-'") for hole in HOLE.findall(template) if "+" not in hole} - {"v", "n"}
        return all(map(self.names_of, wanted))

    def names_of(self, kind: str) -> list[str]:
        return [name for name, held in self.held.items() if held.is_a(kind) and self.works(held)]

    def works(self, held: Held) -> bool:
        """Whether what a function uses is there."""
        return all(name in self.held and self.held[name].is_a(kind) for name, kind in held.needs)

    def fill(self, template: str, group: str) -> list[str]:
        """Put names into the holes of a template and keep track of what they hold."""
        if not self.fits(template):
            return []
        texts: dict[str, str] = {}
        after: dict[str, str | None] = {}
        needs: list[tuple[str, str]] = []
        binds: list[tuple[str, str]] = []
        for hole in dict.fromkeys(HOLE.findall(template)):
            kind = hole.strip("~+-'")
            if kind == "n":
                texts[hole] = str(self.choose([1, 2, 3, 0, 5]))
            elif kind == "v":
                texts[hole] = self.value()
            elif "+" in hole:
                pool = CLASSES if kind in ("base", "slotted") else FUNCTIONS if kind == "call" else POOL
                texts[hole] = self.choose([name for name in pool if name not in after] or pool)
                if "~" in hole:
                    binds.append((texts[hole], kind))
                else:
                    after[texts[hole]] = kind
            else:
                names = self.names_of(kind)
                texts[hole] = self.focus if self.focus in names and hole == kind else self.choose(names)
                if "~" in hole:
                    needs.append((texts[hole], kind))
                if "-" in hole:
                    after[texts[hole]] = None
        called = [self.held[texts[hole]] for hole in texts if hole.strip("'") == "func" and "call(" in template]
        same = [self.held[texts[hole]] for hole in texts if hole in ("list", "dict", "array", "frame", "inst", "func")]
        for name, new in after.items():
            self.held.pop(name, None)
            if new is not None:
                copied = group == "alias" and new == "func"
                self.held[name] = same[0] if copied and same else Held(new, tuple(needs), tuple(binds))
        for one in called:
            self.held.update({name: Held(kind) for name, kind in one.binds})
        self.used.append((group, template))
        return HOLE.sub(lambda match: texts[match[1]], template).replace("\\n", "\n").split("\n")

    def value(self) -> str:
        """A value: what a name holds, or a literal."""
        names = self.names_of("any")
        if names and self.choose([True, False]):
            return str(self.choose(names))
        return str(self.choose(["0", "[7]", "'s'", "{'v': 1}", "None", "(1, [2])"]))


HOLE = re.compile(r"<([~+\-]*[a-z0-9]+'?)>")
LINES = {group: [line for line in text.strip().splitlines() if line] for group, text in TEMPLATES.items()}
GROUPS = tuple(LINES)
USERS: dict[str, list[tuple[str, str]]] = {}  # per kind the templates that use a name of it
for _group, _lines in LINES.items():
    for _line in _lines:
        for _kind in sorted({hole.strip("~-'") for hole in HOLE.findall(_line) if "+" not in hole}):
            USERS.setdefault(_kind, []).append((_group, _line))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Strategy of whole programs; hypothesis shrinks them towards few cells and early templates."""

    def choose(options: Sequence[Any]) -> Any:
        return options[draw(st.integers(0, len(options) - 1))] if len(options) > 1 else options[0]

    return Maker(choose).program()
