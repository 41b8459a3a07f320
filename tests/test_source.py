"""What code binds and reads, its digest, and what is reachable through functions."""

from __future__ import annotations

import ast
import dis
import functools
import importlib.util
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.values.code import encoding, nested, reaching, source, syntax
from ckpt_magic.values.code.source import Names
from tests.work import calls


def look(code: str) -> Names:
    return source.names(ast.parse(textwrap.dedent(code)))


def same(one: str, other: str) -> bool:
    return encoding.digest(ast.parse(textwrap.dedent(one))) == encoding.digest(ast.parse(textwrap.dedent(other)))


def notebook(code: str, **extra: Any) -> dict[str, Any]:
    """Run code as a notebook would and return its namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__", **extra}
    exec(compile(textwrap.dedent(code), "<cell>", "exec"), namespace)
    return namespace


def transformed(cell: str) -> ast.Module:
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(textwrap.dedent(cell)))


# --- names ---


@pytest.mark.parametrize(
    ("code", "binds"),
    [
        ("a = b, (c, *d) = 1, (2, 3)", "a b c d"),
        ("a += 1", "a"),
        ("a: int = 1", "a"),
        ("a: int", ""),
        ("print(a := 1)", "a"),
        ("[a := i for i in x]", "a"),
        ("[[a := j for j in i] for i in x]", "a"),
        ("for a, b in c: pass", "a b"),
        ("with x as a, y as (b, c): pass", "a b c"),
        (
            "match x:\n case {'k': a, **b}: pass\n case [c, *d] as e: pass\n case K(f=f): pass\n case _: pass",
            "a b c d e f",
        ),
        ("def f(p): q = 1", "f"),
        ("async def f(): pass", "f"),
        ("class C:\n a = 1\n def m(self): pass", "C"),
        ("import a.b, c.d as e, f", "a e f"),
        ("from a.b import c, d as e", "c e"),
        ("try: pass\nexcept E as r: pass", "r"),
        ("def f():\n global g, h\n g = 1\n del h", "f g"),
        ("def f():\n global g\n import g.h\n def k(): pass", "f g"),
        ("def f():\n global C\n class C: pass", "f C"),
        ("class A:\n global x\n x = 1", "A x"),
        ("lambda a: (b := 1)", ""),
        ("[i for i in x]\n{k: v for k, v in y}\n(lambda z: z)(1)", ""),
        ("b.c = 2\nd[0] = 3\ndel n[0], n.x\ne.f: int = 3", ""),
        ("(b.c, a) = 1, 2", "a"),
        ("def f():\n x = 1\n def g():\n  nonlocal x\n  x = 2", "f"),
    ],
)
def test_what_code_binds(code: str, binds: str) -> None:
    assert look(code).binds == set(binds.split())


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("a = b + c.d[e]", "b c e"),
        ("a += b", "a b"),
        ("a.x += b\nc[d] = e", "a b c d e"),
        ("del a, b.c, d[e]", "a b d e"),
        ("a = 1\nb = a", "a"),
        ("print(len(x))", "print len x"),
        ("@deco(d)\ndef f(a: ann = default, *, b=kw) -> ret: pass", "deco d ann default kw ret"),
        ("def f(a):\n b: annotation = a\n return b + c", "c"),
        ("def f():\n x = y\n def g(): return x + z\n return lambda x: x + w", "y z w"),
        ("def f():\n return x\n x = 1", ""),
        ("def f():\n global x\n return x", "x"),
        ("def f():\n global x\n def g(): return x", "x"),
        (
            "@deco\nclass C(Base, metaclass=Meta):\n a: Ann = v\n b = a + w\n def m(self): return a, b, C",
            "deco Base Meta Ann v w a b C",
        ),
        ("class C:\n x = x", "x"),
        ("class C:\n if c: x = 1\n y = x", "c x"),
        ("class C:\n x = 1\n y = [x for x in x]", ""),
        ("class C:\n x = 1\n y = [x for z in w]", "x w"),
        ("class C:\n def m(self): return super().m(__class__)", "super"),
        ("class _C:\n def m(self): return __private", "_C__private"),
        ("def f():\n x = 1\n class C:\n  y = x + __name__", "__name__"),
        ("[i + a for i in b if c for j in d(i)]", "a b c d"),
        ("[(y := i) for i in x]\ny", "x y"),
        ("def f():\n [(y := i) for i in x]\n return y", "x"),
        ("f'{a!r:>{b}}'", "a b"),
        ("match a:\n case K(x=V.y): pass\n case W.z: pass", "a K V W"),
        ("async def f():\n async for a in b:\n  await a", "b"),
        ("try: a\nexcept E as r: r", "a E r"),
        ("with a as b: b", "a b"),
        ("def f(x=x): return x", "x"),
        ("frame.query('a > @limit and b < @ other')", "frame limit other"),
        ("fit('np.log(y) ~ C(g, base=\"a b\") + f(x, n=w):z - 1')", "fit np y C g f x w z"),
        ("fit(f'~ {one} + f(x)')", "fit one f x"),
        ("a = '~/x', 'about ~ 5 items', '~', 'x ~ y ~ z', '#x ~ y', 'a ~ ' * n + 'y'", "n a"),
    ],
)
def test_what_code_reads(code: str, reads: str) -> None:
    assert look(code).reads == set(reads.split())


def test_what_code_deletes_and_imports() -> None:
    assert look("del a, (b, c[0]), d.e").deletes == {"a", "b"}
    assert look("try: pass\nexcept E as r: pass").deletes == {"r"}
    assert look("def f():\n global g\n del g\n x = 1\n del x").deletes == {"g"}
    assert look("import a.b, c as d\nfrom e.f import g\nfrom . import h\ndef f(): import k.l").imports == {
        "a.b",
        "c",
        "e.f",
        "k.l",
    }


@pytest.mark.parametrize(
    "code",
    [
        "from m import *",
        "exec('x = 1')",
        "run = eval",
        "globals()['x'] = 1",
        "def f(): return vars()",
        "__import__('x')",
        "import __main__",
        "setattr(sys.modules['__main__'], 'x', 1)",
        "importlib.import_module('__main__')",
        "f.__globals__['x'] = 1",
        "get_ipython().user_ns['x'] = 1",
        "ip = get_ipython()",
        "get_ipython().run_line_magic(name, '')",
        "frame.eval(text)",
        "frame.eval(f'a + {b}')",
        "frame.eval(expr='a + b')",
        "frame.query(text)",
        "numexpr.evaluate(text)",
        "duckdb.sql(text)",
        "frame.eval('vars()')",
    ],
)
def test_code_that_reaches_names_it_does_not_write_is_dynamic(code: str) -> None:
    assert look(code).dynamic


@pytest.mark.parametrize(
    "code",
    [
        "if __name__ == '__main__': main()",
        "def eval_model(): pass\nmodel.eval_steps()",
        "model.eval()",  # of torch: there is no text
        "model.evaluate(x, y)",  # of keras
        "def f(eval): return eval(1)",
        "config.modules",
        "import importlib\nimportlib.reload(m)",
    ],
)
def test_ordinary_code_is_not_dynamic(code: str) -> None:
    assert not look(code).dynamic


@pytest.mark.parametrize(
    "code",
    ["frame.eval('a + @b')", "duckdb.sql('select a, b from frame')", "numexpr.evaluate('a * b', frame)"],
)
def test_a_text_that_is_evaluated_reads_what_it_names(code: str) -> None:
    found = look(code)
    assert not found.dynamic
    assert found.reads >= {"a", "b", "frame"}


def test_very_deep_expressions_are_no_problem() -> None:
    tree = ast.parse("x = " + "+".join(f"a{i}" for i in range(900)))
    for _ in range(3):  # deeper than the parser allows in one go
        tree.body[0].value = ast.BinOp(tree.body[0].value, ast.Add(), tree.body[0].value.left)  # type: ignore[attr-defined]
    limit = sys.getrecursionlimit()
    assert len(source.names(tree).reads) == 900
    assert len(encoding.digest(tree)) == 32
    assert sys.getrecursionlimit() == limit


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_parameters_and_aliases() -> None:
    found = look("type X[T] = list[T | U]\ndef f[S: B](a: S) -> S: return T2\nclass C[R](Base[R]):\n x: R = d")
    assert found.binds == {"X", "f", "C"}
    assert found.reads == {"list", "U", "B", "T2", "Base", "d"}


# --- magics ---


@pytest.mark.parametrize(
    ("cell", "binds", "reads", "dynamic"),
    [
        ("%time x = f(y)", "x", "f y", False),
        ("%timeit -n 10 -r3 x = f(y)", "", "f y", False),
        ("t = %timeit -o f(y)", "t", "f y", False),
        ("%%time\nx = y\nz = 1", "x z", "y", False),
        ("%%timeit n = len(a)\nx = f(n)", "", "len a f", False),
        ("%%prun -s cumulative -q\nx = f()", "x", "f", False),
        ("%prun -l 10 f(y)", "", "f y", False),
        ("%%capture out --no-stderr\nprint(x)\ny = 1", "out y", "print x", False),
        ("%%time\n%matplotlib inline\nx = 1", "", "", True),
        ("%%capture\n!ls", "", "", True),
        ("%config InlineBackend.figure_format = fmt", "", "InlineBackend fmt", False),
        ("%matplotlib inline\n%cd $folder\n%autoreload 2", "", "folder", False),
        ("!echo {x + y} $z $$PID | awk '{{print}}'", "", "x y z", False),
        ("!awk '{print $1}'", "", "", False),
        ("files = !ls $where", "files", "where", False),
        ("files = %sx ls", "files", "", False),
        ("%%bash -s {x}\necho {y} $z", "", "x", False),
        ("%%bash --out text\necho 1", "", "", True),
        ("%run other.py", "", "", True),
        ("%pylab inline", "", "", True),
        ("%store -r x", "", "", True),
        ("%ckpt_load --push", "", "", True),
        ("%%sql\nselect 1", "", "", True),
        ("x.y?", "", "x", False),
        ("ints = %who_ls int\n%whos", "ints", "locals", True),
    ],
)
def test_magics(cell: str, binds: str, reads: str, dynamic: bool) -> None:
    found = source.names(transformed(cell))
    assert found.binds == set(binds.split())
    assert found.reads - {"get_ipython"} == set(reads.split())
    assert found.dynamic is dynamic


# --- digest ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x=1  # note"),
        ("x = (1)", "x = 1\n\n# end"),
        ("f(a,\n  b,\n)", "f(a, b)"),
        ("if a:\n    b", "if a: b"),
        ("'a' 'b'", '"ab"'),
        ("x = 0x10", "x = 16"),
        ("u'a'", "'a'"),
        ("f'{a}' 'b' f'c{d}'", 'f"{a}bc{d}"'),
        ("f'{a:}'", "f'{a}'"),
        ("x = 1; y = 2", "x = 1\ny = 2"),
    ],
)
def test_formatting_does_not_count(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = True"),
        ("x = 1", "x = 1.0"),
        ("x = 0.0", "x = -0.0"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = 'None'"),
        ("x = 1j", "x = '1j'"),
        ("x = ''", "x = None"),
        ("x: int = 1", "x = 1"),
        ("(x): int = 1", "x: int = 1"),
        ("f(a, b)", "f((a, b))"),
        ("f(*a)", "f(**a)"),
        ("{**a}", "{None: a}"),
        ("a < b < c", "(a < b) < c"),
        ("a = b = c", "a = (b == c)"),
        ("f'{a}'", "'{a}'"),
        ("f'{a!r}'", "f'{a!s}'"),
        ("f'{a:>3}'", "f'{a:>4}'"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(*, a=1, b): pass", "def f(*, a, b=1): pass"),
        ("async def f(): pass", "def f(): pass"),
        ("[x async for x in y]", "[x for x in y]"),
        ("from . import a", "from .. import a"),
        ("import a", "import a as a"),
        ("try: a\nexcept* E: b", "try: a\nexcept E: b"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("x = 'a\\ud800'", "x = 'a\\ud801'"),
        ("f(['x'], 'y')", "f(['x', 'y'])"),
        ("'doc'", "'dog'"),
    ],
)
def test_what_runs_differently_has_another_digest(one: str, other: str) -> None:
    assert not same(one, other)


def test_huge_integers_have_a_digest() -> None:
    assert not same("x = 0x" + "1" * 5000, "x = 0x" + "1" * 4999 + "2")


def test_bodies_of_magics_are_normalised() -> None:
    def digest(cell: str) -> str:
        return encoding.digest(transformed(cell))

    assert digest("%%time\nx = f(1)") == digest("%%time\nx=f( 1 ) # fast")
    assert digest("%%time\nx = 1") != digest("%%time\nx = 2")
    assert digest("%%time\nx = 1") != digest("x = 1")
    assert digest("%%time\nx = 1") != digest("%time x = 1")
    assert digest("%time x = 1") == digest("%time x=1")
    assert digest("%timeit -n 10 f( 1)") == digest("%timeit -n 10 f(1)")
    assert digest("%timeit -n 10 f(1)") != digest("%timeit -n 11 f(1)")
    assert digest("%%capture out\nx=1") == digest("%%capture out\nx = 1")
    assert digest("%%capture out\nx=1") != digest("%%capture err\nx = 1")
    assert digest("%%time\n!ls") == digest("%%time\n!ls")
    assert digest("%%bash\nls  # a") != digest("%%bash\nls  # b")


def test_a_digest_never_changes_between_python_versions() -> None:
    """Written down once; CI runs this on 3.11, 3.12 and 3.13."""
    code = (
        "import a.b as c\n@d(1)\nasync def f(x, /, y: int = 2, *z, k=True, **w) -> None:\n"
        "    '''Doc.'''\n    return [f'{x!r:>{y}}' 'tail' f'{k:}{w=}' async for i in z if (q := -0.0)]\n"
        "class C(B, metaclass=M):\n    v: 'T' = {1: 1j, **w, 'a': b'b', 2: ...}\n"
        "match x:\n    case {'k': [1, *r], **rest} | None as n if n: pass\n"
        "try: pass\nexcept* (E, F) as e: del e\n"
    )
    assert encoding.digest(ast.parse(code)) == "5af8b5c041b29440310ea19711dce456"


def test_looking_at_a_long_cell_is_linear() -> None:
    def look(lines: int) -> int:
        line = "frame['c{0}'] = f(frame.a{0}, [x + {0} for x in rows if x], key=lambda r: r.y)"
        cell = ast.parse("\n".join(line.format(i) for i in range(lines)))
        return calls(lambda: (source.names(cell), encoding.digest(cell)))

    assert look(300) < 11 * look(30)


# --- reachable ---


def reach(namespace: dict[str, Any], *names: str) -> set[str]:
    return set(reaching.reachable(names, namespace)) - set(names)


def test_functions_are_followed_through_nested_code_and_each_other() -> None:
    namespace = notebook(
        """
        a = b = c = d = e = data = 1
        def f(x):
            def inner(): return [a + x.data for _ in range(b)]
            return inner, g
        def g(): return (lambda: c)(), f
        def h(): return d
        """
    )
    assert reach(namespace, "f") == {"a", "b", "c", "g", "range"}
    assert reach(namespace, "e") == set()
    assert reach(namespace, "unknown") == set()


def test_writes_and_deletes_of_globals_count() -> None:
    namespace = notebook("def f():\n global a, b\n a = 1\n del b")
    assert reach(namespace, "f") == {"a", "b"}


def test_classes_are_followed_with_properties_bases_and_metaclass() -> None:
    namespace = notebook(
        """
        import functools
        a = b = c = d = e = f = g = h = 1
        class Meta(type):
            def __call__(cls): return a
        class Base:
            def __del__(self): return b
        class C(Base, metaclass=Meta):
            @property
            def p(self): return c
            @staticmethod
            def s(): return d
            @classmethod
            def k(cls): return e
            @functools.cached_property
            def q(self): return f
            class Inner:
                def m(self): return g
        """
    )
    assert reach(namespace, "C") >= {"a", "b", "c", "d", "e", "f", "g"}
    assert "h" not in reach(namespace, "C")


def test_functions_are_found_inside_what_holds_them() -> None:
    namespace = notebook(
        """
        import functools, types
        a = 1
        def f(): return a
        class K:
            def m(self): return a
        class Slots:
            __slots__ = ("x",)
        def closure(f=f):
            def wrapper(): return f()
            return wrapper
        def generate():
            yield a
        slots = Slots(); slots.x = f
        partial = functools.partial(print, f)
        method = K().m
        instance = K()
        listed = [({"k": (f,)},)]
        wrapped = functools.wraps(f)(types.SimpleNamespace())
        closed = closure()
        cached = functools.lru_cache(f)
        generator = generate()
        callback = types.SimpleNamespace(on_event=f)
        """
    )
    del namespace["closure"]
    for name in [
        "partial",
        "method",
        "instance",
        "listed",
        "wrapped",
        "closed",
        "cached",
        "generator",
        "callback",
        "slots",
    ]:
        assert "a" in reach(namespace, name), name


def test_library_functions_are_not_read_but_what_they_hold_is() -> None:
    namespace = notebook("a = 1\ndef f(): return a\n")

    @functools.wraps(namespace["f"])
    def library(*args: Any) -> Any:
        return pytest, namespace["f"](*args)

    namespace["g"] = library
    assert reach(namespace, "g") == {"a"}


def test_no_code_of_the_notebook_runs() -> None:
    namespace = notebook(
        """
        ran = []
        class Meta(type):
            def __getattribute__(cls, name): ran.append(name); return type.__getattribute__(cls, name)
            def __instancecheck__(cls, o): ran.append("instancecheck"); return True
            def __eq__(cls, o): ran.append("eq"); return True
            __hash__ = type.__hash__
        class C(metaclass=Meta):
            def __getattribute__(self, name): ran.append(name); raise AttributeError(name)
            def __eq__(self, o): ran.append("eq"); return True
            def __len__(self): ran.append("len"); return 0
            def __iter__(self): ran.append("iter"); return iter(())
            def __hash__(self): ran.append("hash"); return 1
            @property
            def __class__(self): ran.append("class"); return int
            def m(self): return found
        class D(dict):
            def __len__(self): ran.append("len"); return 0
            def values(self): ran.append("values"); return []
        c = C()
        d = D(c=c)
        ran.clear()
        """
    )
    assert {"found", "ran"} <= reach(namespace, "d")
    assert namespace["ran"] == []


def test_cycles_end() -> None:
    namespace = notebook(
        "a = []\na.append(a)\ndef f(): return f, a\nf.me = f\nclass C: pass\nC.me = C\nc = C()\nc.c = c"
    )
    assert reach(namespace, "f", "c") == {"a"}


def test_large_data_is_not_walked_to_its_end() -> None:
    namespace = notebook(
        "big = [{'i': i} for i in range(300_000)]\nnested = [[[i] for i in range(900)] for j in range(900)]"
    )
    assert calls(lambda: reaching.reachable(["big", "nested"], namespace)) < 100_000  # for more than a million objects


@pytest.mark.parametrize(
    "value",
    [
        "[C() for _ in range(20_000)]",
        "tuple(C() for _ in range(20_000))",
        "{C() for _ in range(20_000)}",
        "collections.deque(C() for _ in range(20_000))",
        "{i: C() for i in range(20_000)}",
        "{C(): i for i in range(20_000)}",
        "[None] * 20_000 + [C()] + [0] * 20_000",
        "[[[C()] for _ in range(300)] for _ in range(100)]",
        "[{'held': C()} for _ in range(20_000)]",
        "[(i, C()) for i in range(20_000)]",
        "types.SimpleNamespace(items=[C() for _ in range(20_000)])",
        "[print] * 30_000 + [lambda: 1, lambda: C()]",
        "[[0] * 20_000 for _ in range(100)] + [[C()] * 20_000]",
        "numpy.array([C() for _ in range(20_000)], object)",
        "numpy.array([0] * 20_000 + [C()], object)",
        "[0] * 20_000 + [numpy.array([C()], object)]",
    ],
)
def test_what_large_data_holds_is_found(value: str) -> None:
    pytest.importorskip("numpy")
    namespace = notebook(
        "import collections, types, numpy\na = 1\nclass C:\n    def m(self): return a\n"
        f"large = {value}\nsmall = [1, 2]\nnumbers = [*range(20_000)]"
    )
    assert "a" in reach(namespace, "large")
    assert "a" in reach(namespace, "numbers", "large", "small")


def test_strings_of_numpys_own_kind_lead_to_what_stands_for_a_missing_one() -> None:
    if not hasattr(pytest.importorskip("numpy").dtypes, "StringDType"):
        pytest.skip("strings of any length came with numpy 2")
    namespace = notebook(
        "import numpy\na = 1\nclass C:\n    def m(self): return a\n"
        "texts = numpy.array(['long ' * 20] * 1_000, numpy.dtypes.StringDType(na_object=C()))\n"
        "plain = numpy.array(['long ' * 20] * 1_000, numpy.dtypes.StringDType())"
    )
    assert "a" in reach(namespace, "texts")
    assert reach(namespace, "plain") == set()


def test_of_large_data_it_is_known_whether_all_was_walked() -> None:
    namespace = notebook(
        "texts = [*map(str, range(20_000))]\npairs = {i: 0.5 for i in range(20_000)}\n"
        "nested = [[i] for i in range(20_000)]\nfew = [[i] for i in range(100)]"
    )
    assert reaching.reach(["texts", "pairs", "few"], namespace).is_all
    assert not reaching.reach(["nested"], namespace).is_all


def test_modules_and_importable_classes_are_left_alone() -> None:
    namespace = notebook("import collections\nC = collections.OrderedDict\no = C()", extra=types.ModuleType("m"))
    assert reach(namespace, "collections", "C", "o", "extra") == set()


@pytest.mark.parametrize(
    ("code", "renews"),
    [
        ("df = load(); df = df.dropna()", "df"),
        ("x = x + 1", ""),
        ("x = y = z", "x y"),
        ("a, (b, *c) = 1, (2, 3); d[0] = 4; e.f = 5", "a b c"),
        ("import os.path as p, sys; from m import k", "k p sys"),
        ("x: int = 3; y: int", "x"),
        ("x = [x for x in x]", ""),
        ("del q; q = 1", ""),
        ("def fib(n): return fib(n - 1)", "fib"),
        ("def f(): return g()\ndef g(): pass", "f"),
        ("@deco\ndef f(): return f", ""),
        ("class C:\n    n = 1", "C"),
        ("if a: x = 1", ""),
        ("for i in a: x = 1", ""),
        ("with a: x = 1", ""),
        ("exec('a'); x = 1", ""),
        ("x = 1; exec('a')", "x"),
        ("get_ipython().run_cell_magic('time', '', 'x = 1\\ny = x')", "x y"),
        ("get_ipython().run_cell_magic('time', '--no-raise-error', 'x = 1')", ""),
        ("get_ipython().run_cell_magic('timeit', '', 'x = 1')", ""),
    ],
)
def test_what_is_surely_bound_before_it_is_read_is_told(code: str, renews: str) -> None:
    assert source.names(ast.parse(code)).renews == set(renews.split())


def test_what_only_the_body_of_a_defined_function_reads_sleeps_until_the_function_is_used() -> None:
    found = source.names(ast.parse("def f(a: int = start):\n    return g() + later\ndef g(): return other\nx = y"))
    assert found.awake == {"start", "int", "y"}
    assert found.woken_by({"y"}) == {"y"}
    assert found.woken_by({"f"}) == {"f", "g", "later", "other", "start", "int"}
    assert found.reads == {"start", "int", "y", "g", "later", "other"}


@pytest.mark.parametrize(
    ("code", "fetches", "measures"),
    [
        ("for i in x:\n    y = f(i)\n    y.go()", "x f", ""),
        ("for i in x:\n    y.go()\n    y = f(i)", "x y f", ""),
        ("for i in x:\n    y = 1\nelse:\n    y", "x y", ""),
        ("for i in x:\n    y = 1\ni, y", "x i y", ""),
        ("while x:\n    y = 1\n    y\ny", "x y", ""),
        ("if a:\n    y = 1\nelif b:\n    y = 2\nelse:\n    y = 3\ny", "a b", ""),
        ("if a:\n    y = 1\nelif b:\n    pass\nelse:\n    y = 3\ny", "a b y", ""),
        ("try:\n    y = 1\n    y\nexcept E as e:\n    e, z\nelse:\n    y\nfinally:\n    w", "E z w", ""),
        ("try:\n    y = 1\nfinally:\n    y", "y", ""),
        ("try:\n    y = 1\nexcept E:\n    y = 2\ny", "E y", ""),
        ("with a as b:\n    y = b\ny, b", "a y", ""),
        ("y = y + 1", "y", ""),
        ("y = 1\nf = lambda: y\nclass C:\n    def go(self): return y, z", "z", ""),
        ("def f():\n    return y\ny = 1", "", ""),
        ("def f():\n    return y\nf().item()", "f", ""),
        (
            "y.item(), float(y), bool(y), y.tolist(), f'{y} {y:.3f}', y.detach().cpu().item(), y.data.item()",
            "float bool",
            "y",
        ),
        ("y.item()\ny", "y", ""),
        ("for i in x:\n    y = f(i)\n    y.backward()\ny.item()", "x f", "y"),
        ("y.item(0), z.item, f'{w!r}', float(*v), float(a, b), c.T.item(), g().item()", "y z w float v a b c g", ""),
        ("d = {'y': y.item()}\ndel d", "", "y"),
        ("y.item()\ndel y", "y", ""),
        ("print(f'{y=}')", "print y", ""),
    ],
)
def test_what_code_may_find_as_it_was_and_what_of_it_is_but_a_number_is_told(
    code: str, fetches: str, measures: str
) -> None:
    found = source.names(ast.parse(code))
    assert found.fetches == set(fetches.split())
    assert found.measures == set(measures.split())


def test_a_thousand_branches_are_followed() -> None:
    code = "if a == 0:\n    y = 0\n" + "".join(f"elif a == {i}:\n    y = {i}\n" for i in range(1, 1000))
    assert source.names(ast.parse(f"{code}else:\n    y = 1\ny")).fetches == {"a"}


def test_code_is_parsed_again_where_python_stumbles_over_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, calls = ast.parse, list[str]()

    def stumbling(code: str) -> ast.Module:
        calls.append(code)
        if len(calls) < 3:
            raise SystemError("AST constructor recursion depth mismatch (before=39, after=41)")
        return parse(code)

    monkeypatch.setattr(ast, "parse", stumbling)
    tree = syntax.parsed("a = 1")
    assert tree is not None and len(tree.body) == 1
    assert len(calls) == 3


def test_what_a_library_holds_twice_is_entered_once() -> None:
    """Registries of numba lead to each other by hundreds of ways."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): pass", namespace)
    held: Any = namespace["f"]
    for _ in range(60):
        held = [held, (held,)]
    assert list(reaching.ours(held, namespace, 120)) == [namespace["f"]]
    assert list(reaching.ours(held, namespace, 60)) == []


def test_what_imports_in_a_function_bind_to_its_variables() -> None:
    space: dict[str, Any] = {}
    exec(
        """
def function():
    from . import part
    from ._inner import One, Two as second
    import a.b, a.c.d as deep, q
    from ..above import z
    part.x = second
""",
        space,
    )
    assert reaching.imported(space["function"].__code__) == {
        "part": ("", "part", 1),
        "One": ("_inner", "One", 1),
        "second": ("_inner", "Two", 1),
        "a": ("a", "", 0),
        "deep": ("a.c.d", "", 0),
        "q": ("q", "", 0),
        "z": ("above", "z", 2),
    }


# --- instructions, which each version of Python has its own of ---

_GLOBAL: Any = {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_SET: Any = {"STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL"}


@pytest.mark.parametrize("module", ["argparse", "dataclasses", "inspect", "typing", "asyncio.base_events", "turtle"])
def test_instructions_are_read_as_dis_reads_them(module: str) -> None:
    file = importlib.util.find_spec(module)
    assert file is not None and file.origin is not None
    codes = list(nested.with_nested([compile(Path(file.origin).read_bytes(), module, "exec")]))
    assert len(codes) > 50
    for whole in codes:
        code = whole.replace(co_consts=tuple(one for one in whole.co_consts if type(one) is not types.CodeType))
        told = [(one.opname, one.argval) for one in dis.get_instructions(whole)]
        for found, kinds in (
            (reaching.named(code), _GLOBAL),
            (reaching.named(code, reaching.SETTING_OPS), _SET),
            (reaching.named(code, reaching.IMPORTING), {"IMPORT_NAME"}),
        ):
            assert sorted(found) == sorted(name for kind, name in told if kind in kinds)
        roots = {chain[0] for chain, _ in reaching.chains(code)}
        assert roots >= {name for kind, name in told if kind in ("LOAD_NAME", "LOAD_GLOBAL")}


def test_globals_that_are_only_looked_up_are_told_by_the_instructions() -> None:
    space = notebook("def f(o, b):\n    return X[o], X['k'], o in Y, Z(1), W[0], o.a.b, b.c(o.d), V[0](V)")
    code = space["f"].__code__
    assert reaching.looked_up([code]) == {"X", "Y", "W"}
    assert {chain for chain, _ in reaching.chains(code)} >= {("o", "a", "b"), ("b", "c"), ("o", "d"), ("Z",)}
