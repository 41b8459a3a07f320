"""Places outside the namespace: which changes count, and how they come back."""

from __future__ import annotations

import ast
import ctypes
import decimal
import fractions
import importlib
import logging
import math
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.values import owned, owners, spots
from ckpt_magic.values.code import source, vocabulary
from ckpt_magic.values.places import Found, Places
from tests.kernels import Kernel

ROOT = Path(__file__).parents[1]
_LASTING: list[Any] = []  # what functions that are made as C makes them read whenever garbage is collected


def changing(code: str, **names: Any) -> Found:
    """Look around code that runs in a namespace with `names`."""
    main = types.ModuleType("__main__")
    space = vars(main)
    space.update(names)
    tree = ast.parse(code)
    found, words = source.names(tree), vocabulary.words(tree)
    places = Places(space)
    before = places.look(words, found.reads, found.imports)
    exec(compile(tree, "<cell>", "exec"), space)
    return places.compare(before, places.look(words, found.reads, found.imports), words)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module that is installed, counts, caches, and finds some of its attributes when they are asked for."""
    (tmp_path / "of_the_test.py").write_text(
        textwrap.dedent(
            """
            calls = 0
            known = {}
            def work(x):
                global calls
                calls += 1
                known[x] = calls
                return x
            mode, options = None, {"a": 1}
            class Sparse:
                def __call__(self, value): return False
            checks, seen = {"a": lambda value: True, "b": (1, 2).__contains__, "c": Sparse(), "d": (Sparse(),)}, {}
            def set_mode(value):
                global mode
                mode = value
                work(value)
            def keep(value):
                global mode
                mode = value
            def mode_set(value):
                put("mode", value)
            def put(name, value):
                globals()[name] = value
            def create(name):
                put(name, 3)
            class Options:
                def __init__(self, **new):
                    self._change(new)
                def _change(self, new):
                    for name in new:
                        if name in checks and checks[name](1):
                            seen[name] = 1
                    options.update(new)
            set_options = Options
            def __getattr__(name):
                if name != "lazy":
                    raise AttributeError(name)
                globals()["lazy"] = work
                return work
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(owned, "installed", lambda: (str(tmp_path), sys.prefix, sys.base_prefix))
    monkeypatch.delitem(sys.modules, "of_the_test", raising=False)
    yield importlib.import_module("of_the_test")
    sys.modules.pop("of_the_test", None)


def test_what_a_library_does_to_itself_does_not_count(library: types.ModuleType) -> None:
    found = changing("library.work(3); library.lazy(4)", library=library)
    assert library.calls == 2
    assert not found.surely
    assert not found.gone


def test_what_the_code_sets_counts(library: types.ModuleType) -> None:
    found = changing("library.calls = 7; library.more = [1]; del library.work", library=library)
    assert found.surely == {"of_the_test:calls", "of_the_test:more"}
    assert found.gone == ["of_the_test:work"]


def test_what_is_set_by_name_counts(library: types.ModuleType) -> None:
    found = changing("for n in 'ab': setattr(library, n, n)", library=library)
    assert found.surely == {"of_the_test:a", "of_the_test:b"}


def test_what_the_code_touches_is_compared(library: types.ModuleType) -> None:
    assert "of_the_test:known" in changing("library.known['x'] = 1", library=library).values
    assert "of_the_test:known" not in changing("1 in library.known", library=library).values


@pytest.mark.parametrize(
    "code",
    [
        *("library.set_mode(3)", "library.keep(3)", "f = library.set_mode\nf(3)", "library.mode_set(3)"),
        "library.create('mode')",
    ],
)
def test_what_a_function_that_is_called_like_a_setter_or_keeps_its_argument_sets_counts(
    library: types.ModuleType, code: str
) -> None:
    found = changing(code, library=library, f=library.set_mode)
    assert library.mode == 3
    assert found.surely - {"of_the_test:calls"} == {"of_the_test:mode"}


def test_what_a_package_shows_of_its_parts_is_looked_at_there(library: types.ModuleType, tmp_path: Path) -> None:
    package = tmp_path / "of_the_test_too"
    package.mkdir()
    (package / "__init__.py").write_text(
        "def __getattr__(name): return getattr(sys.modules[__name__ + '._part'], name)"
    )
    (package / "_part.py").write_text("class Kept: default = None\nkept = Kept()")
    part = importlib.import_module("of_the_test_too._part")
    shown = sys.modules["of_the_test_too"]
    vars(shown)["sys"] = sys

    found = changing("shown.kept.default = 3", shown=shown)

    assert part.kept.default == 3
    assert found.values["of_the_test_too._part:kept"] == {"default": 3}
    for name in ("of_the_test_too", "of_the_test_too._part"):
        sys.modules.pop(name)


def test_what_a_setter_puts_into_a_container_is_compared(library: types.ModuleType) -> None:
    found = changing("library.set_options(b=2)", library=library)
    assert found.values["of_the_test:options"] == {"a": 1, "b": 2}
    assert found.values["of_the_test:seen"] == {"b": 1}
    assert "of_the_test:checks" not in found.values  # there it only looks something up
    assert "of_the_test:options" not in changing("library.work(2)", library=library).values


@pytest.mark.parametrize(
    ("code", "place", "value"),
    [
        ("library.week_starts_at(6)", "of_the_test:Calendar.first", 6),  # as pendulum does
        ("library.register_check('a')", "of_the_test:Registering.checks", {"a": 1}),  # as pandera does
        ("library.register_unit('a')", "of_the_test:Units.units", {"a": 1}),
        ("library.set_enabled('a')", "of_the_test:contexts", ["a"]),  # as astropy does
        ("library.set_cache_folder('a')", "of_the_test:_cache_folder", "a"),  # a setting, no cache
        ("library.set_blocks('a')", "of_the_test:blocks", ["a"]),
    ],
)
def test_what_a_call_sets_by_way_of_a_class_counts(
    library: types.ModuleType, code: str, place: str, value: object
) -> None:
    source = """
class Calendar: first = 0
def week_starts_at(day):
    if day > 7: raise ValueError
    Calendar.first = day
class Registering(type): checks = {}
class Check(metaclass=Registering): pass
def register_check(name): Check.checks[name] = 1
class Units: units = {}
class Registry(Units): pass
def register_unit(name): Registry.units[name] = 1
contexts = []
class Context:
    def __init__(self, one): contexts.append(one)
def set_enabled(one): return Context(one)
_cache_folder, _cache, blocks = None, {}, []
def set_cache_folder(folder):
    global _cache_folder
    _cache_folder, _cache["folder"] = folder, folder
def set_blocks(one): blocks.append(one)
"""
    exec(source, vars(library))
    found = changing(code, library=library)
    assert found.values[place] == value
    assert "of_the_test:_cache" not in found.values
    assert place in found.surely or place in found.live


def test_an_object_that_stands_for_a_function_is_nothing_that_a_setter_changes(library: types.ModuleType) -> None:
    """`sympy.init_printing` calls `latex`, which is such an object, and no later step was restored."""
    source = """
import functools
class Printing:
    def __init__(self, function): functools.update_wrapper(self, function)
    def __call__(self, *args): return self.__wrapped__(*args)
@Printing
def show(value): return keep(value)
shown = {}
def set_up(value): shown[value] = show(value)
"""
    exec(source, vars(library))
    found = changing("library.set_up(3)", library=library)
    assert found.values["of_the_test:shown"] == {3: None}
    assert found.values["of_the_test:mode"] == 3  # what the function sets is followed
    assert "of_the_test:show" not in found.values


def test_what_a_library_patches_in_a_class_of_another_one_counts(
    library: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`seaborn.palettes._patch_colormap_display` gives colormaps of matplotlib another picture."""
    monkeypatch.setattr(fractions.Fraction, "_repr_html_", None, raising=False)
    source = "import fractions as of\ndef _patch_display(): of.Fraction._repr_html_ = lambda self: 'a/b'\n"
    exec(source, vars(library))
    assert changing("of._patch_display()", of=library).surely == {"fractions:Fraction._repr_html_"}


def test_what_a_compiled_setter_sets_is_unknown() -> None:
    import pyarrow

    count = pyarrow.io_thread_count()
    found = changing(f"pa.set_io_thread_count({count})", pa=pyarrow)
    assert "@what pyarrow.lib.set_io_thread_count sets" in found.surely


def test_what_a_module_does_that_a_setter_loads_is_unknown(library: types.ModuleType) -> None:
    """`holoviews.extension("bokeh")` loads what registers itself; that a helper loads something is common."""
    source = "import importlib\ndef extension(name): importlib.import_module(name)\n"
    exec(source + "def set_up(name): extension(name)\n", vars(library))
    assert changing("of.extension('json')", of=library).surely == {"@what of_the_test.extension sets"}
    assert not changing("of.set_up('json')", of=library).surely


def test_what_a_setter_sets_through_ctypes_is_unknown(library: types.ModuleType) -> None:
    source = "import ctypes\nLIB = ctypes.CDLL(None)\ndef set_config(on=False):\n    if on: LIB.TheSetConfig(1)\n"
    exec(source + "def set_other(on=False):\n    if on: LIB.TheGetConfig()\n", vars(library))
    assert changing("of.set_config()", of=library).surely == {"@what of_the_test.set_config sets"}
    assert not changing("of.set_other()", of=library).surely


def test_what_a_compiled_setter_sets_that_names_no_module_is_unknown(library: types.ModuleType) -> None:
    """All functions of cv2 are such; here one is made as C makes them."""

    made = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)

    class Definition(ctypes.Structure):
        _fields_ = (("name", ctypes.c_char_p), ("call", made), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))

    call = made(lambda _, __: 7)
    definition = Definition(b"set_threads", call, 0x0004, None)  # METH_NOARGS
    _LASTING.extend((definition, call))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    vars(library)["set_threads"] = make(ctypes.addressof(definition), None, None)

    assert "@what of_the_test.set_threads sets" in changing("of.set_threads()", of=library).surely
    vars(library)["inner"] = inner = types.ModuleType("inner")
    vars(inner)["set_threads"] = vars(library).pop("set_threads")
    exec("def set_number(): inner.set_threads()", vars(library))  # as `polars.set_random_seed`
    assert changing("of.set_number()", of=library).surely == {"@what of_the_test.set_threads sets"}


def test_what_a_setter_of_boost_sets_is_unknown(library: types.ModuleType) -> None:
    """All functions of rdkit are such: `rdDepictor.SetPreferCoordGen(True)`, `RDLogger.DisableLog("rdApp.*")`."""
    kind = type("function", (), {"__module__": "Boost.Python", "__call__": lambda *_: None})
    for name in ("SetPreferred", "DisableLog", "Settle"):
        vars(library)[name] = made = kind()
        made.__name__, made.__module__ = name, "of_the_test"
    for name in ("SetPreferred", "DisableLog"):
        assert f"@what of_the_test.{name} sets" in changing(f"of.{name}(True)", of=library).surely
    assert not changing("of.Settle(True)", of=library).surely


def test_a_class_that_a_library_makes_when_it_is_called_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deap.creator.create("Row", …)` puts a class into its module; `copyreg` knows how such classes are made again."""
    file = tmp_path / "makers_of_the_test.py"
    file.write_text(
        textwrap.dedent(
            """
            import copyreg
            class Meta(type):
                def __reduce__(cls):
                    return made, (cls.__name__, cls.__bases__, cls.kept)
            copyreg.pickle(Meta, Meta.__reduce__)
            def made(name, bases, kept):
                globals()[name] = one = Meta(name, bases, {**kept, "kept": kept, "__module__": __name__})
                return one
            def create(name, base, **kept):
                made(name, (base,), kept)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(owned, "installed", lambda: (str(tmp_path), sys.prefix, sys.base_prefix))
    cells = (
        "import makers_of_the_test as m\nm.create('Row', list, size=2)",
        "row = m.Row([1]); make = m.Row",
        "r = row.size, type(row) is m.Row, make is m.Row, m.Row([2])",
    )
    for start in (0, 2, 3):
        monkeypatch.delitem(sys.modules, "makers_of_the_test", raising=False)
        kernel = Kernel(tmp_path / "c", start)
        actions = [kernel.step(number, cell)["action"] for number, cell in enumerate(cells, 1)]
        assert kernel.names["r"] == (2, True, True, [2])
        assert actions == ["restored" if number < start else "saved" for number in (1, 2, 3)]


def test_what_a_class_numbers_for_each_object_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents of mesa have numbers of their model's own."""
    (tmp_path / "agents_of_the_test.py").write_text(
        "import collections, functools, itertools\nclass Model: pass\nclass Agent:\n"
        " _ids = collections.defaultdict(functools.partial(itertools.count, 1))\n"
        " def __init__(self, model): self.number = next(self._ids[model])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(owned, "installed", lambda: (str(tmp_path), sys.prefix, sys.base_prefix))
    cells = (
        "import agents_of_the_test as m\nmodel = m.Model()",
        "a = m.Agent(model)",
        "b = m.Agent(model); other = m.Model()",
        "r = [one.number for one in (a, b, m.Agent(model), m.Agent(other))]",
    )
    for start in (0, 3):
        monkeypatch.delitem(sys.modules, "agents_of_the_test", raising=False)
        kernel = Kernel(tmp_path / "c", start)
        actions = [kernel.step(number, cell)["action"] for number, cell in enumerate(cells, 1)]
        assert kernel.names["r"] == [1, 2, 3, 1]
        assert actions == ["restored" if number < start else "saved" for number in (1, 2, 3, 4)]


def test_an_object_that_tells_what_another_one_has_is_put_back_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pint.application_registry` does, and a later step changes the registry that it stands for by a name of it."""
    (tmp_path / "registry_of_the_test.py").write_text(
        textwrap.dedent(
            """
            class Registry:
                def __init__(self): self.units = {}
            class Application:
                __slots__ = ("found", "registry")
                def __init__(self, registry): self.registry = registry
                def __getattr__(self, name): return getattr(self.registry, name)
            application = Application(Registry())
            application.registry.found = 1
            def set_registry(registry): application.registry = registry
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(owned, "installed", lambda: (str(tmp_path), sys.prefix, sys.base_prefix))
    cells = "registry = m.Registry()\nm.set_registry(registry)", "registry.units['s'] = 1"
    for start in ("none", "end"):
        monkeypatch.delitem(sys.modules, "registry_of_the_test", raising=False)
        kernel = Kernel(tmp_path / "c", start)
        kernel.cell("import registry_of_the_test as m")
        actions = {kernel.step(number, cell)["action"] for number, cell in enumerate(cells, 1)}
        kernel.cell("r = m.application.registry is registry, m.application.units, hasattr(m.application, 'found')")
        assert kernel.names["r"] == (True, {"s": 1}, False)
        assert actions == {"restored" if start == "end" else "saved"}


def test_an_edited_module_wins_over_what_its_first_import_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "settings_of_the_test.py"
    cells = "import settings_of_the_test as s\ns.table['used'] = 1", "n = dict(s.table)"

    def run(start: int, text: str) -> dict[str, int]:
        file.write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("settings_of_the_test", None)
        kernel = Kernel(tmp_path / "c", start)
        for number, cell in enumerate(cells, 1):
            kernel.step(number, cell)
        return dict(kernel.names["n"])

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert run(0, "table = {'a': 1}") == {"a": 1, "used": 1}
    assert run(2, "table = {'a': 1}") == {"a": 1, "used": 1}
    assert run(2, "table = {'a': 2, 'b': 3}") == {"a": 2, "b": 3}
    sys.modules.pop("settings_of_the_test", None)


def test_looking_at_libraries_is_cheap() -> None:
    """In a process of its own: what other libraries have loaded is looked at, too."""
    code = """
import ast
import numpy as np, pandas as pd
from ckpt_magic.values.code import source, vocabulary
from ckpt_magic.values.places import Places
from tests.work import calls
tree = ast.parse("df = pd.DataFrame({'a': np.arange(3)}); df.a.mean(); pd.concat([df, df]).groupby('a').sum()")
found, words = source.names(tree), vocabulary.words(tree)
places = Places({"np": np, "pd": pd})
places._find_own_modules = lambda *_: None  # those of the tests
def look_and_compare():
    look = places.look(words, found.reads, found.imports)
    places.compare(look, look, words)
look_and_compare()
print(calls(look_and_compare))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0 < int(told.stdout) < 3000  # for thousands of attributes of both


def test_what_a_module_of_the_users_sets_of_objects_changes_no_class_of_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "made_of_the_test.py").write_text(
        "import fractions, types\n"
        "import numpy as np\n"
        "def made(name):\n"
        "    number, kind = fractions.Fraction(1, 2), np.dtype('f4')\n"
        "    return types.SimpleNamespace(), number, kind\n"
        "def fill(some):\n"
        "    some.numerator = some.name = fractions.Fraction.of_the_test = 1\n"
    )
    try:
        found = changing("from made_of_the_test import made, fill\nfill(made('a')[0])")
    finally:
        del fractions.Fraction.of_the_test  # type: ignore[attr-defined]
        sys.modules.pop("made_of_the_test", None)
    assert found.surely == {"fractions:Fraction.of_the_test"}


@pytest.mark.parametrize(
    ("code", "moved"),
    [
        ("next(m.numbers)", {"m.numbers (a generator)"}),
        ("m.Source().draw()", {"m.Source.ids (a generator)"}),
        ("m.put(3)", {"m.base (a Connection)"}),
        ("m.other(); m.count", set()),
        ("m.file.execute('pragma user_version')", set()),
        ("importlib.reload(m)", set()),
        ("f = m.other; importlib.reload(m)", {"m (which was loaded again)"}),
        ("made = [m.Plain()]; importlib.reload(m)", {"m (which was loaded again)"}),
    ],
)
def test_what_has_gone_on_in_a_module_of_the_users_cannot_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, moved: set[str]
) -> None:
    (tmp_path / "moving_of_the_test.py").write_text(
        "import sqlite3\n"
        "numbers, base, file, count = (i for i in range(9)), sqlite3.connect(':memory:'), sqlite3.connect('f.db'), 3\n"
        "class Source:\n"
        "    ids = (i for i in range(9))\n"
        "    def draw(self): return next(self.ids)\n"
        "class Plain: pass\n"
        "def put(x): table(); base.execute('insert into t values (?)', (x,))\n"
        "def table(): base.execute('create table if not exists t (a)')\n"
        "def other(): return count + 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("moving_of_the_test")
    try:
        found = changing(code, m=module, importlib=importlib)
    finally:
        module.base.close()
        module.file.close()
        sys.modules.pop("moving_of_the_test", None)
    assert {one.replace("moving_of_the_test", "m") for one in found.moved.values()} == moved


@pytest.mark.parametrize("there", ["os.chdir('inner')", "sys.path.append('inner')", "sys.path[:0] = ['inner']"])
def test_modules_are_found_where_their_step_found_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "moved_of_the_test.py").write_text("class Kind: n = 1\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = ["", *sys.path]
    for start in (0, 2):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*before])
        sys.modules.pop("moved_of_the_test", None)
        kernel = Kernel(tmp_path / "c", start)
        kernel.step(1, f"import os, sys\n{there}\nfrom moved_of_the_test import Kind\none = Kind()")
        kernel.step(2, "n = one.n")
        assert kernel.names["n"] == 1
        assert sys.path == (
            before if there.startswith("os") else ["inner", *before] if ":0" in there else [*before, "inner"]
        )
    sys.modules.pop("moved_of_the_test", None)


@pytest.mark.parametrize(
    ("before", "value", "is_restored"),
    [
        ("os.environ['OF_THE_TEST'] = 'set'", "m.VARIABLE", False),
        ("os.environ['OF_THE_TEST'] = 'set'; os.environ['OTHER'] = 'x'", "m.Kind.variable", False),
        ("os.environ['OTHER_OF_THE_TEST'] = 'set'", "m.VARIABLE", True),
        ("decimal.getcontext().prec = 5", "m.PRECISION", True),
        ("random.seed(3)", "m.DRAWN", True),
        ("os.chdir('inner')", "m.FOLDER", True),
        ("math.tau = 7", "m.TAU", True),
    ],
)
def test_modules_hold_what_they_found_when_their_step_imported_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, value: str, is_restored: bool
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "found_of_the_test.py").write_text(
        "import decimal, math, os, random\n"
        "VARIABLE, PRECISION, DRAWN = os.environ.get('OF_THE_TEST'), decimal.getcontext().prec, random.random()\n"
        "FOLDER, TAU = os.path.basename(os.getcwd()), math.tau\n"
        "class Kind: variable = VARIABLE\n"
    )
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for start in (0, 2):
        with monkeypatch.context() as process, decimal.localcontext():
            process.chdir(tmp_path)
            process.setattr(math, "tau", math.tau)
            for name in ("OF_THE_TEST", "OTHER", "OTHER_OF_THE_TEST"):
                process.delenv(name, raising=False)
            sys.modules.pop("found_of_the_test", None)
            kernel = Kernel(tmp_path / "c", start)
            kernel.step(1, f"import decimal, math, os, random\n{before}\nimport found_of_the_test as m")
            assert kernel.plan is not None
            assert (kernel.plan.action == "restore") == (is_restored and start == 2)
            kernel.step(2, f"found = {value}")
            found.append(kernel.names["found"])
            for name in ("OF_THE_TEST", "OTHER", "OTHER_OF_THE_TEST"):
                os.environ.pop(name, None)
    sys.modules.pop("found_of_the_test", None)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "code",
    [
        "importlib.import_module('patching_of_the_test')",
        "for name in ['patching_of_the_test']: __import__(name)",
        "import lazy_of_the_test; lazy_of_the_test.load()",
        "importlib.import_module('patching_of_the_test'); import reading_of_the_test as first",
    ],
)
def test_modules_that_a_step_loads_without_naming_them_are_loaded_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "patching_of_the_test.py").write_text("import math\nmath.tau = 7\n")
    (tmp_path / "reading_of_the_test.py").write_text("from math import tau\n")
    (tmp_path / "lazy_of_the_test.py").write_text("def load(): import patching_of_the_test\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    for start in (0, 2, 2):
        with monkeypatch.context() as process:
            process.setattr(math, "tau", math.tau)
            for name in ("patching", "reading", "lazy"):
                sys.modules.pop(f"{name}_of_the_test", None)
            kernel = Kernel(tmp_path / "c", start)
            kernel.step(1, f"import importlib\n{code}")
            if start == 0:
                kernel.step(1, f"import importlib\n{code}\nagain = 1")  # loads nothing
            kernel.step(2, "import math, reading_of_the_test\nfound = math.tau, reading_of_the_test.tau")
            assert kernel.names["found"] == (7, 7)
    for name in ("patching", "reading", "lazy"):
        sys.modules.pop(f"{name}_of_the_test", None)


def test_before_asyncio_is_loaded_there_is_no_policy_of_its_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio")
    assert spots.read("@policy of event loops") is None


def test_a_property_of_a_module_is_not_given_what_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looked(types.ModuleType):
        @property
        def flag(self) -> object:
            return None

        @flag.setter
        def flag(self, value: object) -> None:
            raise TypeError(value)

    monkeypatch.setitem(sys.modules, "looked_after_of_the_test", Looked("looked_after_of_the_test"))
    spots.write("looked_after_of_the_test:flag", None)  # as one of torch, which takes True or False
    with pytest.raises(TypeError):
        spots.write("looked_after_of_the_test:flag", 1)


def test_a_text_that_is_there_already_stays_the_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("marks_of_the_test")
    module.MARK = mark = "==".join(["a", "b"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "marks_of_the_test", module)
    spots.write("marks_of_the_test:MARK", "==".join(["a", "b"]))
    assert module.MARK is mark
    spots.write("marks_of_the_test:MARK", "c")
    assert module.MARK == "c"


def test_a_module_that_keeps_its_options_elsewhere_is_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do those of torch: `torch._dynamo.config.suppress_errors = True`."""

    class Options(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in vars(self)["_kept"]:
                raise AttributeError(name)
            return vars(self)["_kept"][name]

        def __setattr__(self, name: str, value: object) -> None:
            vars(self)["_kept"][name] = value

    options = Options("options_of_the_test")
    vars(options)["_kept"] = {"flag": 1}
    monkeypatch.setitem(sys.modules, "options_of_the_test", options)
    found = changing("options.flag = 3", options=options)
    assert found.values["options_of_the_test:flag"] == 3
    spots.write("options_of_the_test:flag", 4)
    assert spots.read("options_of_the_test:flag") == 4
    assert "options_of_the_test:flag" not in changing("print(options.flag)", options=options).values


@pytest.mark.parametrize(
    ("library", "call", "asked"),
    [
        ("calendar", "calendar.setfirstweekday(6)", "calendar.firstweekday()"),  # an object of it is changed
        (
            "mimetypes",
            "mimetypes.add_type('a/b', '.zz')",
            "mimetypes.guess_type('x.zz')[0]",
        ),  # another is put there
        ("colorsys", "setattr(colorsys, 'ONE_THIRD', 6)", "colorsys.ONE_THIRD"),
        ("colorsys", "setattr(colorsys, 'TABLE', [6])", "colorsys.TABLE[0]"),
        ("colorsys", "for name in ['ONE_THIRD']: setattr(colorsys, name, 6)", "colorsys.ONE_THIRD"),
        ("numbers", "numbers.Real.register(str)", "int(isinstance('', numbers.Real)) * 6"),
    ],
)
def test_what_a_call_sets_in_a_library_that_the_step_is_the_first_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, call: str, asked: str
) -> None:
    found = []
    for start in ("none", "end"):
        monkeypatch.delitem(sys.modules, library, raising=False)
        kernel = Kernel(tmp_path, start)
        kernel.step(1, f"import {library}\n{call}")
        kernel.cell(f"found = {asked}")
        found.append(kernel.names["found"])
    assert kernel.plan is not None and kernel.plan.action == "restore"
    assert found[0] == found[1] and found[0] in (6, "a/b")


@pytest.mark.parametrize(
    "code",
    [
        "def missing(name): return name.title()\nm.__getattr__ = missing",
        "class Kind(type(m)):\n    @property\n    def other(self): return 'Other'\nm.__class__ = Kind",
    ],
)
def test_what_answers_for_a_module_of_the_users_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "asked_of_the_test.py").write_text("")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    for start in ("none", "end"):
        monkeypatch.delitem(sys.modules, "asked_of_the_test", raising=False)
        kernel = Kernel(tmp_path, start)
        kernel.step(1, f"import asked_of_the_test as m\n{code}")
        kernel.cell("found = m.other")
        assert kernel.names["found"] == "Other"
    assert kernel.plan is not None and kernel.plan.action == "restore"


def test_variables_that_are_set_past_python_are_named(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    facts = kernel.step(1, "import os\nos.putenv('OF_THE_TEST', '1'); os.environ['OTHER_OF_THE_TEST'] = '1'")
    assert "environ:OF_THE_TEST (which was set past `os.environ`) cannot be restored" in str(facts)
    assert "environ:OTHER" not in str(facts)
    os.unsetenv("OF_THE_TEST")
    del os.environ["OTHER_OF_THE_TEST"]


def test_a_logger_of_another_name_than_its_library_is_the_notebooks_where_code_takes_its_handlers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    text = "import logging, time\nlog, handler = logging.getLogger('LogOfTheTest'), logging.StreamHandler()\n"
    (folder / "logging_of_the_test.py").write_text(f"{text}handler.began = time.time_ns()\nlog.addHandler(handler)\n")
    monkeypatch.syspath_prepend(folder)
    left = []
    for start in ("none", "end"):
        sys.modules.pop("logging_of_the_test", None)
        logging.Logger.manager.loggerDict.pop("LogOfTheTest", None)
        kernel = Kernel(tmp_path, start)
        for step, code in enumerate(("import logging_of_the_test as l", "l.log.removeHandler(l.handler)"), 1):
            kernel.step(step, code)
            assert kernel.plan is not None and (kernel.plan.action == "restore") == (start == "end")
            left.append(len(logging.getLogger("LogOfTheTest").handlers))
    logging.Logger.manager.loggerDict.pop("LogOfTheTest", None)
    assert left == [1, 0, 1, 0]


def test_what_matplotlib_had_at_first_is_no_place() -> None:
    mpl = pytest.importorskip("matplotlib")
    for one in (mpl.rcParams, mpl.rcParamsDefault, mpl.rcParamsOrig):
        assert owners.is_handled(one)  # it holds a mark that no other object can stand for
