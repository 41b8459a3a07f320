"""Where values come from, as far as code tells: what is remembered of it while more code runs."""

from __future__ import annotations

import ast
import random
from collections.abc import Set

import pytest

from ckpt_magic.values.code.effects import CHANCE, of_words
from ckpt_magic.values.code.kinds import Kinds
from ckpt_magic.values.code.standins import StandIns
from ckpt_magic.values.code.statements import Event, Lent, Statement, Step, statements
from ckpt_magic.values.origins import Past


class Alone:
    """Lends nothing: there are no modules of the user's."""

    def __init__(self) -> None:
        self.stand_ins = StandIns()

    def __call__(self, words: object, imports: object) -> Lent:
        return Lent()

    def script(self, path: object) -> None:
        return None


def events(*cells: str) -> list[Statement]:
    lender = Alone()
    return [event for cell in cells for event in statements(ast.parse(cell), lender)]


STATEMENTS = (
    *("a = [1]", "b = a", "c = a + [2]", "a.append(b)", "del b", "d = f(a)", "f(d)", "b = e = {}", "g()", "d = b, c"),
    *("def f(x): return x", "def f(x): x.append(a)", "def g(): return f(b)", "def g(): a.clear(); h(c)", "g = f"),
    *("def h(x=a): return g", "h(b).append(1)", "class C:\n    of = a\n    def up(self): b.append(self)", "C().up()"),
    *("import numpy as np", "from json import loads as f", "import json", "json.x = a", "np.random.seed(1)", "a = np"),
    *("a = [z]", "b = {0: z}", "z = []", "z.append(1)", "from os import path as z", "c = z"),
    *(
        "class D:\n    n = 1\n    def up(self): b.append(json)",
        "d = D(); e = [D]",
        "d.n = 1",
        "type(b).n = 1",
        "e.up()",
    ),
    *("a.plot()", "d = a.copy(); d[0] = e", "e.hist(); f = b[b > 1]", "d.style.show()"),
    *(
        "for a in b: c = a.d",
        "for a, c in enumerate(b): d[a] = c",
        "d = a[0] + b",
        "c = {**a}",
        "a, *b = c",
        "a.copy().pop()",
    ),
    *("e = f(*b)", "try: f(a)\nexcept E as e: pass", "a = 3", "d = set(a); d.add(b)", "b += a", "c.append(a[1:])"),
    *("for a in b: c = f(a)", "exec('a = 1')", "b = open('x').read()", "with open('y') as e: c = e", "a[0] = c"),
)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_remembered_is_what_would_be_found_anew(seed: int) -> None:
    chance, lender = random.Random(seed), Alone()
    past, passed = Past(), list[Event]()
    for number in range(chance.randrange(4, 16)):
        left = {name: chance.choice([None, "1", "2"]) for name in chance.sample("abcdefgh", 2)}
        kinds = Kinds(*({name for name in left if chance.random() < 0.3} for _ in range(3)))
        code = list(statements(ast.parse(chance.choice(STATEMENTS)), lender))
        if chance.random() < 0.3:
            past.add([Step(number, left, frozenset(chance.sample("abcd", chance.randrange(2))), kinds)])
            past.learn(len(passed), code)
            passed = past.events[:]
        else:
            past.add(code)
            passed += code
        anew = Past(passed)
        for names in (*"abcdefghzC", ("a", "c"), ("json", "np", "f")):
            if chance.random() < 0.7:
                found, wanted = past.origin(*names), anew.origin(*names)
                assert found == wanted and found.last is wanted.last, names
        bound = {name: anew._binding.get(name, [-1])[-1] for name in "abcdefghzC"}
        touched = {name for name, last in bound.items() if any(at > last for at in anew.origin(name).places)}
        assert past.touched(bound) == touched


def test_a_function_that_calls_another_has_nothing_to_do_with_where_that_comes_from() -> None:
    chain = [f"def f{n}(x): return f{n - 1}(x) + 1" for n in range(1, 9)]
    before, after = (Past(events("def f0(x): return x", *chain, last)) for last in ("x = 1", "def f9(x): return f8(x)"))
    assert all(before.origin(f"f{n}") == after.origin(f"f{n}") for n in range(9))
    changing = Past(events("def f0(x): return x", "def f1(x): f0.n = 1", "def f2(x): return f1(x)", "f2(1)"))
    assert changing.origin("f0") != Past(events("def f0(x): return x")).origin("f0")


def test_of_a_chain_of_functions_each_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = list[object]()
    usual = Past._origin

    def noted(past: Past, names: frozenset[str]) -> object:
        traced.append(names)
        return usual(past, names)

    monkeypatch.setattr(Past, "_origin", noted)
    past = Past(events("def f0(x): return x"))
    for n in range(1, 40):
        past.add([*events(f"def f{n}(x): return f{n - 1}(x) + 1"), Step(n, {f"y{n}": "1"}, frozenset())])
        for m in range(n):
            past.origin(f"f{m}")
    assert len(traced) < 80


@pytest.mark.parametrize(
    "code", ["x = {}", "def f(a):\n    return {}", "class K:\n    def f(self, a): self.x = {}", "f({})"]
)
def test_a_sum_may_have_more_than_a_thousand_terms(code: str) -> None:
    assert Past(events("a = [1]", code.format(" + ".join(["a"] * 1500)))).origin("x", "f", "K").digest


@pytest.mark.parametrize(
    "code",
    [
        "time = 3\n# %%\na = time * 2",
        "dataset = [1]\n# %%\na = [row for row in dataset]",
        "def load_rows(n): return [n]\n# %%\na = load_rows(1)",
        "class Model:\n    def run(self): return self.time\nmodel = Model()\n# %%\na = model.run()",
        "def wait(time, run=None): return time\n# %%\na = wait(time=3)",
        "def go(x):\n    now = x + 1\n    return now\n# %%\na = go(1)",
        "frame = {}\n# %%\na = frame['time'], frame.dataset * 2",
        "for time in (1, 2): a = time * 2",
    ],
)
def test_what_only_has_the_name_of_something_that_varies_does_not(code: str) -> None:
    assert Past(events(*code.split("# %%\n"))).origin("a").opens == ""


@pytest.mark.parametrize(
    "code",
    [
        "import time\n# %%\na = time.time()",
        "from time import time\n# %%\na = time()",
        "def go():\n    from time import time\n    return time()\n# %%\na = go()",
        "import time\nnow = time.time\n# %%\na = now()",
        "import time\ndef call(owner, name): return getattr(owner, name)()\n# %%\na = call(time, 'time')",
        "time = 3\ndef go(): return time()\nfrom time import time\n# %%\na = go()",
        "try: from time import time\nexcept ImportError: time = None\n# %%\na = time()",
        "from pathlib import Path\nclass Doc:\n    def read_text(self): return self.path.read_text()\n# %%\n"
        "a = Path('x').read_text()",
        "class Doc:\n    def read_text(self): return ''\np = doc()\n# %%\na = p.read_text()",
        "if other: open = other\n# %%\na = open('x')",
        "dataset = 1\nimport os\n# %%\na = [*map(os.stat, files)]",
        "import os\nsystem = os\n# %%\na = system.environ['A']",
    ],
)
def test_what_varies_is_found_by_whatever_way_it_is_called(code: str) -> None:
    assert Past(events(*code.split("# %%\n"))).origin("a").opens


ABOVE = """
import csv, itertools, json, re
from collections import OrderedDict, deque
import numpy as np
from pathlib import Path
from sklearn.metrics import score_of
from sklearn.pipeline import make_pipeline
from scipy import linalg
from scipy.special import fold
path = Path("a")
frame = load()
x = np.array([3, 1])
def check(n):
    if n < 0: raise ValueError(n)
    return n
class Model:
    def __init__(self): self.a = np.zeros(3)
    def fit(self, x): self.a = self.a + x
model = Model()
def take(one): return one.pop()
class Tally:
    made = []
    def __init__(self): self.made.append(self)
"""


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("y = np.append(x, 1)", ""),
        ("y = np.insert(x, 0, 1); np.add(x, 1)", ""),
        ("try: check(-1)\nexcept ValueError as error: print(error)", ""),
        ("show(check(x))", "x"),
        ("for n in (1, 2): show(check(x) * n)", "x"),
        ("x.sort()", "x"),
        ("model.fit(2)", "model"),
        ("made = Model(); made.fit(1); made.a = 2; print(type(made), type(made).__name__)", ""),
        ("model.a = 2", "model"),
        ("type(model).rate = 1", "model Model"),
        ("model.__class__.rate = 1", "model Model"),
        ("def rate(x): type(x).rate = 1\nrate(model)", "model Model"),
        ("Model.rate = 1", "model Model"),
        ("kind = Model; kind.rate = 1", "model Model"),
        ("for kind in [Model]: kind.rate = 1", "model Model"),
        ("kinds = [Model, Model()]; kinds[0].rate = 1", "model Model"),
        ("tally = Tally()", "Tally"),
        ("np.copyto(x, 1)", "x"),
        ("np.rate = 1", "np model Model"),
        ("r = np; r.rate = 1", "np model Model"),
        ("tools = [np]; tools[0].rate = 1", "np model Model"),
        ("setattr(np, 'rate', 1)", "np model Model"),
        ("print.rate = 1", "print"),
        ("check.rate = 1", "check"),
        ("import builtins; builtins.print = check", "print"),
        ("z = list('ab'); z.append(1)", ""),
        ("y = x.max(); y += 1", ""),
        ("y = sum(x); y += 1", ""),
        ("y = sum(x, []); y += [1]", "x"),
        ("Counter(x).most_common(2); list(map(len, x)); list(filter(str.isalpha, x))", ""),
        ("list(map(take, x))", "x take"),
        ("list(map(lambda one: one.pop(), x))", "x"),
        ("[*itertools.chain(x)]; re.sub('a', 'b', x)", ""),
        ("y = x.max(); show(y)", ""),
        ("for name in frame.columns: print(name, frame[name])", ""),
        ("for name in frame.columns: name = frame[name]; name.sort()", "frame"),
        ("names = [one for one in frame.columns if one]; names.append(2)", ""),
        ("names = [frame[one] for one in frame.columns]; names[0].pop()", "frame"),
        ("frame.a.apply(lambda v: v + 1); frame.a.map(str); frame.a.map({1: 2}); frame.apply(np.sum, axis=1)", ""),
        ("frame.apply(lambda v: v.pop())", "frame"),
        ("frame.apply(check)", "frame check"),
        ("frame.to_csv('a'); frame.sample(3)", ""),
        ("score_of(frame, tree.predict(frame))", ""),
        ("fold(check, frame)", "frame check"),
        ("fold(lambda v: v, frame)", "frame"),
        ("linalg.solve(frame, x)", ""),
        ("linalg.solve(frame, x, overwrite_a=True)", "x frame"),
        ("make_pipeline(frame)", "frame"),
        ("OrderedDict.update(frame, a=1)", "frame"),
        ("sorted([2], key=frame.append)", "frame"),
        ("list(itertools.starmap(frame.insert, [(0, 1)]))", "frame"),
        ("deque.append(frame, 1)", "frame"),
        ("guess = tree.predict(x); guess[0] = 1", ""),
        ("show(json.loads('3'), np.ones(2).shape, np.exp)", ""),
        ("show(json)", "json"),
        ("show(np.random)", "np model Model"),
        ("show(x.max())", "x"),
        ("rows = csv.reader(open('a')); rows.line_num", ""),
        ("path.write_text(json.dumps(3))", ""),
        ("def far(v): return np.log1p(np.abs(v))", ""),
        ("def far(v): return np.abs(v).astype(np.dtype, order=json.loads)", ""),
        ("class Dump(json.JSONEncoder): pass", ""),
        ("import tqdm\ndef far(v): return [one for one in tqdm.tqdm(v)]", ""),
        ("frame.eval('a + 1'); frame.pipe(len); frame.pipe(lambda one: one.head())", ""),
        ("frame.pipe(lambda one: one.pop('a')); x.eval()", "frame x"),
        ("r = np.sort(x.ravel())", ""),
        ("check(f'{frame}', frame is x, -1, str(frame))", ""),
        ("with open('a') as z: check(z, x)\nz.mode = 1", "x"),
        ("for one, name in zip([open('a')], frame.columns): np.savetxt(one, frame[name])\none.mode = 1", ""),
        ("with open('a', 'w') as z: z.write('b')", ""),
        (
            "z = vars(); z['print'] = check",
            "np x check ValueError print model Model list open json csv path Path Tally frame take OrderedDict deque",
        ),
        ("list = dict\nz = list()\nz['a'] = 1", "list"),
    ],
)
def test_what_is_called_is_changed_only_if_that_can_change_it(code: str, changed: str) -> None:
    names = (
        "np x check ValueError print model Model list open json csv path Path Tally frame take OrderedDict deque"
    ).split()
    before, after = Past(events(ABOVE)), Past(events(ABOVE, code))
    assert {name for name in names if before.origin(name) != after.origin(name)} == {*changed.split()}


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("t.plot(); t['a'].hist(bins=3); t.a.plot.bar(); t.style.format(precision=2)", ""),
        ("t.set_index('a').b.plot()", ""),
        ("t.plot(ax=ax)", "ax"),
        ("t.plot(x)", ""),
        ("x.plot(); t.plot()", "x"),
        ("t.plot(); t.sort()", "t"),
        ("u = t[t.a > 1]; u['b'] = 1", ""),
        ("u = t[(t.a > 1) & (t.b < 2)].copy(); u.loc[0, 'b'] = 1; u.plot()", ""),
        ("u = t.merge(x); u['b'] = 1", "x"),
        ("u = x.copy(); u['b'] = 1", "x"),
        ("u, v = t.copy(), t; u['b'] = 1", "t"),
        ("u = t.copy(); u = t; u['b'] = 1", "t"),
        ("u = t['a']; u[0] = 1", "t"),
        ("u = t.drop('a', inplace=True)", "t"),
        ("t = x\nt.plot()", "t x"),
    ],
)
@pytest.mark.parametrize("by", ["step", "cell"])
def test_tables_are_not_changed_by_what_shows_or_copies_them(code: str, changed: str, by: str) -> None:
    above = [*events("import pandas as pd\nx = [[1]]\nax = axes()")]
    made = events("import pandas as pd\nt = pd.read_csv(f)")
    left: list[Step | Statement] = [Step(1, {"t": "1"}, kinds=Kinds({"t"}))] if by == "step" else [*made]
    before, after = Past([*above, *left]), Past([*above, *left, *events(code)])
    assert {name for name in ("t", "x", "ax") if before.origin(name) != after.origin(name)} == {*changed.split()}


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("u = list(w); u.append(x)", "x"),
        ("u = w[:]; u[0] = 'q'", ""),
        ("u = [one.upper() for one in w]; u.sort()", ""),
        ("for one in w:\n    if one.starts('t'): one.show()", ""),
        ("for at, one in enumerate(w): x.append(one)", "x"),
        ("u = {one: len(one) for one in w}; u['a'] = 3", ""),
        ("u = {**d}; u['k'] = x", "x"),
        ("u = dict(d, k=1); u.clear()", ""),
        ("u, *more = w; more.append(1)", ""),
        ("u = max(w, key=len); u.show()", ""),
        ("u = w + x; u.append(1)", "x"),
        ("w.copy().reverse()", ""),
        ("w[0].show()", ""),
        ("d.get('k').show()", ""),
        ("u = n; u.show(); show(n); x.show(n)", "x"),
        ("u = w; u.append(1)", "w"),
        ("u = [w]; u[0].append(1)", "w"),
        ("u = list(zip(w, w[1:])); u.append(1)", ""),
        ("u = sorted(d.items()); u.append(1)", ""),
        ("u = list(zip(w, x)); u[0].append(1)", "x"),
        ("w = ['a', 3]\nu = list(w); u.append(1)", "w"),
        ("v = ['a', [3]]; x.append(v)\nu = list(v); u[1].append(1)", "x"),
        ("u = d.setdefault('k', []); u.append(1)", "d"),
        ("u = w.pop(0); u.show()", "w"),
        ("u = w or []; u.append(1)", "w"),
        ("u = reversed(w); show(u)", "w"),
        ("u = d.values(); show(u)", "d"),
        ("u = w; v = list(w); v.append(1)", "w"),  # which may be another list by now
        ("w.append(x); u = w[1]; u.append(1)", "w x"),
        ("w.append(x); u = list(w); u[1].append(1)", "w x"),
        ("v.append(x); u = w[1]; u.append(1)", "w x"),
        ("x.append(w); x[1].append(1); u = w[0]; u.show()", "w x"),
        ("def put(): global n; n = x\nput(); u = n; u.append(1)", "n x"),
        ("exec(a); u = w[0]; u.append(1)", "w x n d"),
        ("class W:\n    def __add__(self, other): return other\nu = W() + w; u.append(1)", "w"),
        ("def list(one): return one\nu = list(w); u.append(1)", "w"),
    ],
)
def test_what_is_taken_out_of_numbers_and_texts_is_none_of_what_held_it(code: str, changed: str) -> None:
    left = {"w": "1", "v": "1", "d": "2", "n": "3"}
    above: list[Event] = [*events("x = [[1]]"), Step(1, left, kinds=Kinds(flat={"w", "v", "d", "n"}, atoms={"n"}))]
    before, after = Past(above), Past([*above, *events(code)])
    assert {name for name in "wxnd" if before.origin(name) != after.origin(name)} == {*changed.split()}


@pytest.mark.parametrize(
    ("held", "changing"),
    [
        ("class Reg:\n    def note(self, x): self.all.append(x)\nr = Reg(); r.note(w)", "r.all[0].append('q')"),
        ("def put(x, into): into.append(x)\nr = []\nput(w, r)", "r[0].append('q')"),
        ("def put(): global r; r = w\nput()", "r.append('q')"),
        ("import lib\nwith lib.Reg() as r: r.note(w)", "r.all[0].append('q')"),
        ("for i in [1]:\n    r = []\n    r.append(w)", "r[0].append('q')"),
        ("for r in [[]]:\n    r.extend([w])", "r[0].append('q')"),
        ("if w:\n    r = dict(a=w)\nelse:\n    r = 3", "r['a'].append('q')"),
        ("for s in [w]:\n    r = s", "r.append('q')"),
        ("for i, r in enumerate([w]): pass", "r.append('q')"),
        ("for r in (one for one in [w]): pass", "r.append('q')"),
        ("if any((r := s) for s in [w]): pass", "r.append('q')"),
        ("for i in [1]:\n    r = (lambda: w)", "r().append('q')"),
        ("match {'a': w}:\n    case {'a': r}: pass", "r.append('q')"),
        ("try: raise ValueError(w)\nexcept ValueError as e:\n    r = e", "r.args[0].append('q')"),
        ("try: raise ValueError(w)\nexcept ValueError as e:\n    r = []\n    r.append(e)", "r[0].args[0].append('q')"),
        ("for i in range(2):\n    if i: r = s\n    else: s = w", "r.append('q')"),
        ("r = {**{'a': w}}", "r['a'].append('q')"),
        ("u = w.setdefault('k', [])", "u.append('q')"),
    ],
)
@pytest.mark.parametrize("kinds", [Kinds(flat={"w"}), Kinds()])
def test_what_holds_something_leads_to_it(held: str, changing: str, kinds: Kinds) -> None:
    above: list[Event] = [Step(1, {"w": "1"}, kinds=kinds, code=events("w = made()")), *events(held)]
    assert Past(above).origin("w") != Past([*above, *events(changing)]).origin("w")


@pytest.mark.parametrize("cells", ["math use", "math math use", "math use math", "math use math math"])
def test_an_import_that_comes_again_changes_nothing_of_what_is_made_by_it(cells: str) -> None:
    texts = {"math": "import math", "use": "class C:\n    def get(self, x): return math.floor(x)\ny = math.pi"}
    once, often = (Past(events(*(texts[one] for one in some.split()))) for some in ("math use", cells))
    assert all(once.origin(name).digest == often.origin(name).digest for name in ("C", "y", "math"))


@pytest.mark.parametrize(
    "magic", ["run_cell_magic('time', '', 'z.append(2)\\nk = z')", "run_line_magic('time', 'k = z')"]
)
def test_what_is_timed_does_what_its_code_does(magic: str) -> None:
    code = "z.append(2)\nk = z" if "cell" in magic else "k = z"
    plain, timed = (Past(events("z = [1]", one)) for one in (code, f"get_ipython().{magic}"))
    for name in "zk":
        assert plain.origin(name) == timed.origin(name)
        assert not timed.origin(name).opens


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import os\n# %%\nos.environ['TZ'] = name", "environ TZ, environ *, rest"),
        ("import os\n# %%\nos.path.join('a', 'b')", ""),
        ("import matplotlib.pyplot as plt\n# %%\nplt.style.use('ggplot')", "drawing, figures"),
        ("import seaborn as sns\n# %%\nsns.set()", "drawing"),
        ("get_ipython().run_line_magic('config', 'IPCompleter.use_jedi = False')", ""),
        ("get_ipython().run_line_magic('config', 'Application.log_level = 10')", "text"),
        ("get_ipython().run_line_magic('env', 'A=1')", "environ A, environ *"),
        ("get_ipython().run_line_magic('env', '$name=1')", "environ ?, environ *"),
        ("for name in ['chdir']: getattr(os, name)('a')", "cwd"),
        ("for name in ['chdir']: print(name)", ""),
        ("chdir = 'a'\n# %%\nfrom os import chdir as go\n# %%\ngo(chdir)", "cwd"),
    ],
)
def test_parts_of_the_surroundings_that_code_sets_are_told(code: str, parts: str) -> None:
    told = {f"<surroundings {part}>" for part in parts.split(", ")} | {"<surroundings>"} if parts else set()
    assert {one for one in events(*code.split("# %%\n"))[-1].touches if one.startswith("<")} == told


@pytest.mark.parametrize(
    ("code", "files"),
    [
        ("open(os.path.join(folder, 'a.csv'), 'w')", "* a.csv"),
        ("open(f'{folder}a.csv', 'w')", "* ? a.csv"),
        ("get_ipython().system('ls a.csv')", ""),
        ("get_ipython().system('ls > a.csv')", "* ?"),
        ("get_ipython().run_cell_magic('bash', '', 'ls > a.csv')", "* ?"),
        ("get_ipython().run_cell_magic('time', '', 'x = 1')", ""),
    ],
)
def test_files_that_code_writes_are_told(code: str, files: str) -> None:
    touched = set[str]().union(*(one.touches for one in events(code)))
    assert {one for one in touched if one.startswith("<")} == {f"<files {name}>" for name in files.split()}


@pytest.mark.parametrize(
    "code",
    [
        "a = [[1]]\n# %%\ndef get(): return a[0]\n# %%\nget().append(2)",
        "a = 1\n# %%\ndef put(x):\n    global a\n    a = x\n# %%\nmore = put\n# %%\nmore(2)",
    ],
)
def test_what_a_function_gives_or_changes_is_changed_by_whatever_name_it_is_called(code: str) -> None:
    cells = events(*code.split("# %%\n"))
    assert "a" in Past(cells).touched_at(len(cells) - 1)


def test_a_function_of_the_name_of_a_file_writes_nothing_into_it() -> None:
    file, function, call = events("f = open('a.csv', 'w')", "def f(x): return x", "f(1)")
    assert "<files a.csv>" in Past([file, call]).touched_at(1)
    assert not Past([file, function, call]).touched_at(2)


def test_a_random_state_that_is_given_is_no_chance() -> None:
    given, not_given = (events(f"a = split(x, {word}=1)")[-1].touches for word in ("random_state", "random"))
    assert CHANCE not in given and CHANCE in not_given


def test_a_generator_of_its_own_leaves_those_of_libraries_alone() -> None:
    *_, made, drawn = events("import numpy as np", "rng = np.random.RandomState(1)", "x = rng.normal()")
    assert CHANCE not in made.touches and CHANCE not in drawn.touches


@pytest.mark.parametrize("seed", ["", "np.random.randint(3)", "seed=np.random.rand()"])
def test_a_generator_without_a_seed_or_with_one_that_is_drawn_does_not_leave_them_alone(seed: str) -> None:
    *_, made = events("import numpy as np", f"rng = np.random.default_rng({seed})")
    assert CHANCE in made.touches


def test_of_modules_words_tell_what_they_do() -> None:
    assert of_words({"os", "path", "join"}) == set()
    assert of_words({"sys", "path"}) == {"<surroundings>", "<surroundings path>"}
    assert of_words({"environ", "setdefault"}) == {
        "<surroundings>",
        "<surroundings environ *>",
        "<surroundings environ ?>",
    }


def test_functions_in_a_row_are_told_once_what_they_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that is defined tells those above it, which call it, something new."""
    asked, touched_by = list[Event](), Past._touched_by

    def counted(past: Past, event: Statement, spared: Set[str]) -> Set[str]:
        asked.append(event)
        return touched_by(past, event, spared)

    monkeypatch.setattr(Past, "_touched_by", counted)
    count = 40
    defined = "\n".join(f"def f{number}(x): f{number + 1}(x)" for number in range(count))
    past = Past(events("a = []", f"{defined}\ndef f{count}(x): x.append(1)", "f0(a)"))
    assert past.touched(["a"]) == {"a"}
    assert len(asked) <= 3 * count


@pytest.mark.parametrize(
    ("read", "is_read_later"),
    [
        ("u = (one.upper() for one in w)", True),
        ("u = zip(w, w)", True),
        ("u = enumerate(w)", True),
        ("u = iter(w)", True),
        ("u = w.elements()", True),
        ("u = w.items()", True),
        ("u = map(str, w)", True),
        ("u = lambda: w[0]", True),
        ("u = [one.upper() for one in w]", False),
    ],
)
def test_what_goes_on_to_read_something_depends_on_what_becomes_of_it(read: str, is_read_later: bool) -> None:
    above: list[Event] = [Step(1, {"w": "1"}, kinds=Kinds(flat={"w"}), code=events("w = made()")), *events(read)]
    assert (Past(above).origin("u") != Past([*above, *events("w.append('q')")]).origin("u")) is is_read_later


@pytest.mark.parametrize(
    ("loop", "use", "name", "is_changed"),
    [
        ("for at, one in enumerate(w): show(one)", "u = [one.upper() for one in w]", "w", False),
        ("for key, some in groupby(w): pass", "list(some)", "some", True),
    ],
)
def test_a_loop_over_an_iterator_binds_what_that_gives(loop: str, use: str, name: str, is_changed: bool) -> None:
    above = ["from itertools import groupby\nw = made()", loop]
    assert (Past(events(*above)).origin(name) != Past(events(*above, use)).origin(name)) is is_changed


def test_a_list_of_numbers_and_texts_that_a_cell_writes_down_is_flat() -> None:
    for written, is_flat in [("['a', 3]", True), ("{'a': 3}", True), ("['a', [3]]", False), ("{'a': [3]}", False)]:
        above = events(f"w = {written}")
        after = Past([*above, *events("u = list(w); u.append(1)\nfor one in w: show(one)")])
        assert (Past(above).origin("w") == after.origin("w")) is is_flat
