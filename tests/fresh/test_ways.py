"""Ways by which a change reaches a step that nobody sees coming: each makes it stale, and nothing else does.

Each row is a project of its own: cells above the step, its code, the files, and an edit. The step is run once; it is
restored while nothing has changed, and runs after the edit, so that its result is the one of a full run. Cells above it
that begin with `%%step` are steps, too, and run if it is they that are edited. Those of the second table can never be
told, and always run.
"""

from __future__ import annotations

import builtins
import colorsys
import csv
import decimal
import gc
import importlib
import json
import logging
import os
import shutil
import signal
import sqlite3
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from ckpt_magic.steps.inputs import Files
from ckpt_magic.steps.results import Results
from ckpt_magic.values import owned
from tests.fresh import project as projects

Edit = Callable[[list[tuple[Any, ...]]], None]


WAY_FORMULA = {
    "site-packages/way_formula.py": """
import sys
def fit(text): return eval(text.replace("~", ""), sys._getframe(1).f_globals)
"""
}


def text(old: str, new: str) -> Edit:
    """Change text in the one cell that has it."""

    def edit(cells: list[tuple[Any, ...]]) -> None:
        (at,) = [number for number, (_, source) in enumerate(cells) if old in source]
        cells[at] = cells[at][0], cells[at][1].replace(old, new)

    return edit


def cell(source: str) -> Edit:
    """Insert an unmarked cell above the step."""
    return lambda cells: cells.insert(-1, (None, source))


def file(name: str, content: str) -> Edit:
    """Change a file; its size and time stay, if its length does."""

    def edit(cells: list[tuple[Any, ...]]) -> None:
        path = Path(name)
        before = path.stat() if path.exists() else None
        path.write_text(content)
        if before is not None:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return edit


def inner(name: str, content: str) -> Edit:
    """Make a file, and its folder."""
    return lambda cells: write({name: content})


def link(target: str) -> Edit:
    def edit(cells: list[tuple[Any, ...]]) -> None:
        Path("link").unlink(missing_ok=True)
        Path("link").symlink_to(target)

    return edit


def env(name: str, value: str) -> Edit:
    return lambda cells: os.environ.__setitem__(name, value)


def program(name: str) -> Edit:
    """Let a file be a program, and be found."""

    def edit(cells: list[tuple[Any, ...]]) -> None:
        Path(name).chmod(0o755)
        os.environ["PATH"] = os.path.dirname(name)

    return edit


def in_new_process(edit: Edit) -> Edit:
    """Forget the module that has no file, and what finds it."""

    def forget(cells: list[tuple[Any, ...]]) -> None:
        edit(cells)
        sys.modules.pop("way_made", None)

    return forget


def archive(content: str) -> Edit:
    def edit(cells: list[tuple[Any, ...]]) -> None:
        with zipfile.ZipFile("x.zip", "w") as packed:
            packed.writestr("a", content)

    return edit


def database(value: int) -> Edit:
    def edit(cells: list[tuple[Any, ...]]) -> None:
        Path("x.db").unlink(missing_ok=True)
        connection = sqlite3.connect("x.db")
        connection.execute("create table t (a)")
        connection.execute(f"insert into t values ({value})")
        connection.commit()
        connection.close()

    return edit


def array(value: int) -> Edit:
    return lambda cells: np.save("x.npy", [value, 2])


CONFIG = {"way_mod.py": "import json\nCONFIG = json.load(open('x.json'))\ndef get(): return CONFIG\n", "x.json": "1"}
LIBRARY = {
    "site-packages/way_lib.py": """
class Loader:
    makers = {}
    @classmethod
    def add_maker(cls, name, make):
        if 'makers' not in cls.__dict__: cls.makers = dict(cls.makers)
        cls.makers[name] = make

class Derived(type):
    def __init__(cls, name, bases, space):
        super().__init__(name, bases, space)
        for loader in cls.loaders: loader.add_maker(name, cls)

class Base(metaclass=Derived):
    loaders = [Loader]
"""
}
RATE = {"way_mod.py": "class Tool: pass\ntool = Tool()\ntool.rate = 0\ndef get(): return tool.rate\n"}
KEEPING = {
    "way_mod.py": "def get(n=0): return n, getattr(get, 'way', 0)\nclass Tool:\n    def get(self, n=0): return n\n"
}
PATCHES = {
    "way_mod.py": "RATE = 0\ndef get(): return RATE\n",
    **{f"way_{one}.py": f"import way_mod\nway_mod.RATE = '{one}'\n" for one in "ab"},
}
FINDER = """
import importlib.abc, importlib.util, sys
class Loader(importlib.abc.Loader):
    def create_module(self, spec): return None
    def exec_module(self, module): module.X = V
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, Loader()) if name == 'way_made' else None
V = 1
# %%
sys.meta_path.insert(0, Finder())
"""
SPEC = """
import importlib.util as tools
spec = tools.spec_from_file_location('way_spec', 'x.py')
module = tools.module_from_spec(spec)
spec.loader.exec_module(module)
y = module.X
del tools, spec, module
"""

# what it is, the cells above, the step, the files (a function makes one), the edit
FIXED = {
    "way_mod.py": """
import enum, re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable
class Level(enum.Enum):
    LOW = 1
    HIGH = 2
Go = Callable[[int], int]
@dataclass
class Config:
    level: Level = Level.LOW
    root: Path = Path("a")
    word: re.Pattern = re.compile("a")
def get() -> Go: return f"{Config.root} {Config.level.value} {Config.word}"
"""
}

TABLE: list[tuple[str, str, str, dict[str, str] | Edit, Edit]] = [
    # -- what goes by another name
    ("a seed by another name", "from random import seed as s0\n# %%\ns0(1)", "import random\ny = random.random()", {},
     text("s0(1)", "s0(2)")),
    ("a seed in what is given to a generator", "import random\nrandom.seed(1)\n# %%\nr = random.Random(1)",
     "y = random.random()", {}, text("Random(1)", "Random(random.random())")),
    ("an option that a file tells", "import json, decimal\ncfg = json.load(open('x.json'))\n# %%\n"
     "decimal.getcontext().prec = cfg", "import decimal\ny = str(1 / decimal.Decimal(3))", {"x.json": "5"},
     file("x.json", "7")),
    ("the text of a file that is executed", "from pathlib import Path\nexec(Path('code.py').read_text())", "y = f()",
     {"code.py": "k = 1\ndef f(): return k\n"}, file("code.py", "k = 2\ndef f(): return k\n")),
    ("a seed that a container holds", "import random\ntools = {'a': random.seed}\n# %%\ntools['a'](1)",
     "y = random.random()", {}, text("(1)", "(2)")),
    ("a seed that a function gives", "import random\ndef make():\n    def go(n): random.seed(n)\n    return go\n"
     "go = make()\n# %%\ngo(1)", "y = random.random()", {}, text("go(1)", "go(2)")),
    ("a seed that an object sets", "import random\nclass Tool:\n    def go(self, n): random.seed(n)\ntool = Tool()\n"
     "# %%\ntool.go(1)", "y = random.random()", {}, text("go(1)", "go(2)")),
    ("a seed that a function of a module sets, by another name", "from way_mod import go as g\n# %%\ng(1)",
     "import random\ny = random.random()", {"way_mod.py": "import random\ndef go(n): random.seed(n)\n"},
     text("g(1)", "g(2)")),
    ("a folder, by another name", "from os import chdir as go\n# %%\ngo('a')",
     "with open('x.txt') as file: y = file.read()\ndel file\nimport os\nos.chdir('..')",
     {"a/x.txt": "1", "b/x.txt": "2"}, text("'a'", "'b'")),
    ("a file that is written by another name", "from shutil import copy as put\n# %%\nput('a.txt', 'x.txt')",
     "y = open('x.txt').read()", {"a.txt": "1", "b.txt": "2"}, text("'a.txt'", "'b.txt'")),
    ("a function of a module that is imported by name afterwards",
     "import colorsys as c\nc.rgb_to_hsv = lambda one: 'a'\n# %%\nfrom colorsys import rgb_to_hsv\n"
     "a = rgb_to_hsv('x')", "y = a", {}, text("'a'", "'b'")),
    ("a global that is bound after the object whose class reads it", "class Tool:\n    def go(self): return k\n"
     "tool = Tool()\n# %%\nk = 1\n# %%\na = tool.go()", "y = a", {}, text("k = 1", "k = 2")),
    ("a function that is bound after another one that calls it, in a container",
     "tools = {'go': lambda: get()}\n# %%\ndef get(): return 1\n# %%\na = tools['go']()", "y = a", {},
     text("return 1", "return 2")),
    ("a function by which another one dispatches", "import functools\n@functools.singledispatch\ndef f(x): return 0\n"
     "# %%\n@f.register(int)\ndef _(x): return get()\n# %%\ndef get(): return 1\n# %%\na = f(1)", "y = a", {},
     text("return 1", "return 2")),
    ("what is referred to weakly", "import weakref\nclass Tool:\n    def go(self): return 1\ntool = Tool()\n"
     "tools = weakref.WeakValueDictionary(a=tool)", "y = tools['a'].go()", {}, text("return 1", "return 2")),
    ("what a variable of the context holds", "import contextvars\nc = contextvars.ContextVar('c')\n"
     "def get(): return 1\n_ = c.set(lambda: get())\ndel _", "y = c.get()()", {}, text("return 1", "return 2")),
    ("a module that a cell runs", "import runpy\na = runpy.run_module('way_run')['X']", "y = a",
     {"way_run.py": "X = 1\n"}, file("way_run.py", "X = 2\n")),
    # -- what nobody calls
    ("what is called when an object goes", "import weakref\nout = []\nclass Tool: pass\ntool = Tool()\n# %%\n"
     "def note(): out.append(1)\n# %%\nend = weakref.finalize(tool, note)\ndel end", "del tool\ny = out[-1]", {},
     text("append(1)", "append(2)")),
    ("a class of the context of decimal numbers", "import decimal\nclass Tool(decimal.Context):\n"
     "    def go(self): return 1\ndecimal.setcontext(Tool())", "y = decimal.getcontext().go()", {},
     text("return 1", "return 2")),
    # -- what is one object, and what only its equal
    ("two names for one list", "a = [1]\nb = a", "a.append(2)\ny = list(b)", {}, text("b = a", "b = [1]")),
    ("equal lists", "a = [1]\nb = [1]", "a.append(2)\ny = list(b)", {}, text("b = [1]", "b = a")),
    ("a list in a list", "a = [1]\nb = [a]", "a.append(2)\ny = repr(b)", {}, text("b = [a]", "b = [[1]]")),
    ("one list twice in a value", "x = [1]\npair = [x, x]", "pair[0].append(2)\ny = repr(pair)", {},
     text("[x, x]", "[x, [1]]")),
    # -- what cells read
    ("a file that a cell reads", "import json\ncfg = json.load(open('x.json'))", "y = cfg", {"x.json": "1"},
     file("x.json", "2")),
    ("a file that was not there when a cell looked for it",
     "try:\n    with open('x.txt') as h: cfg = h.read()\nexcept OSError:\n    cfg = ''", "y = cfg", {},
     file("x.txt", "2")),
    ("a variable that a cell asks for", "import os\nmode = os.environ.get('WAY_MODE', '')", "y = mode", {},
     env("WAY_MODE", "2")),
    ("a file that a cell reads and another one writes",
     "from pathlib import Path\n# %%\nPath('x.txt').write_text('1')\n# %%\ncfg = Path('x.txt').read_text()",
     "y = cfg", {}, text("'1'", "'2'")),
    ("a variable that a cell asks for and another one sets", "import os\n# %%\nos.environ['WAY_MODE'] = '1'\n# %%\n"
     "mode = os.environ['WAY_MODE']", "y = mode", {}, text("'1'", "'2'")),
    ("the folder of a file that a cell reads", "import os\n# %%\nos.chdir('a')\n# %%\ncfg = open('x.txt').read()\n"
     "os.chdir('..')", "y = cfg", {"a/x.txt": "1", "b/x.txt": "2"}, text("'a'", "'b'")),
    ("a variable that a module asks for, given a file that a cell opens",
     "import way_mod\nwith open('x.txt') as h: cfg = way_mod.get(h)", "y = cfg",
     {"way_mod.py": "import os\ndef get(h): return h.read() + os.environ.get('WAY_MODE', '')\n", "x.txt": "1"},
     env("WAY_MODE", "2")),
    ("a file that a cell reads, and no word of it says so",
     "import xml.etree.ElementTree as tree\ncfg = tree.parse('x.xml').getroot().tag", "y = cfg", {"x.xml": "<a/>"},
     file("x.xml", "<b/>")),
    ("whether a file is there", "import os\nthere = os.path.exists('x.txt')", "y = there", {}, file("x.txt", "")),
    ("a file beside one that words tell of", "import xml.etree.ElementTree as tree\na = open('x.txt').read()\n"
     "cfg = tree.parse('x.xml').getroot().tag", "y = cfg", {"x.txt": "1", "x.xml": "<a/>"}, file("x.xml", "<b/>")),
    ("a file that the body of a class reads", "class Tool:\n    with open('x.txt') as h: text = h.read()",
     "y = Tool.text", {"x.txt": "1"}, file("x.txt", "2")),
    ("a file that a default value comes from", "def get(text=open('x.txt').read()): return text", "y = get()",
     {"x.txt": "1"}, file("x.txt", "2")),
    ("names of files that a cell looks for", "import glob\nnames = sorted(glob.glob('d/**/*.txt', recursive=True))",
     "y = names", {"d/e/a.txt": ""}, file("d/e/b.txt", "")),
    ("names of files in a folder into which a cell writes", "from pathlib import Path\nPath('d/b.txt').write_text('1')",
     "y = sorted(one.name for one in Path('d').iterdir())", {"d/a.txt": ""}, text("b.txt", "c.txt")),
    ("the time of a file that a cell asks for", "import os\ntime = os.path.getmtime('x.txt')", "y = time",
     {"x.txt": ""}, lambda cells: os.utime("x.txt", (5, 5))),
    ("whether a folder is there, asked by a cell", "import os\nthere = os.path.isdir('d')", "y = there", {"d/x": ""},
     lambda cells: shutil.rmtree("d")),
    ("whether a folder is there", "import os", "y = os.path.isdir('d')", {"d/x": ""}, lambda cells: shutil.rmtree("d")),
    ("a variable that was set and put back", "import os\nfrom unittest import mock",
     "with mock.patch.dict(os.environ, {'WAY_MODE': '9'}): x = os.environ['WAY_MODE']\ny = x + os.environ.get('WAY_MODE', '')",
     {}, env("WAY_MODE", "2")),
    ("a variable whose name is put together", "import os\nk = 'MODE'\nmode = os.environ.get(f'WAY_{k}', '')",
     "y = mode", {}, env("WAY_MODE", "2")),
    ("the home folder that a cell asks for", "from pathlib import Path\nhome = str(Path.home())", "y = home", {},
     env("HOME", "/nowhere")),
    ("where a program lies", "import shutil", "y = shutil.which('way')", {"b/way": ""},
     program("b/way")),
    # -- how modules are found
    ("what a finder of the notebook makes", FINDER + "\n# %%\nimport way_made\nvalue = way_made.X", "y = value", {},
     in_new_process(text("V = 1", "V = 2"))),
    # -- what modules ask for when they are imported
    ("a file", "import way_mod", "y = way_mod.CONFIG", CONFIG, file("x.json", "2")),
    ("a file, through a function", "from way_mod import get", "y = get()", CONFIG, file("x.json", "2")),
    (
        "a file below the folder of the module",
        "from way_pack import get",
        "y = get()",
        {
            "way_pack/__init__.py": "from pathlib import Path\ndef _load():\n"
            "    return (Path(__file__).parent / 'data' / 'x.txt').read_text()\n"
            "TEXT = _load()\ndef get(): return TEXT\n",
            "way_pack/data/x.txt": "1",
        },
        file("way_pack/data/x.txt", "2"),
    ),
    (
        "an environment variable",
        "import way_mod",
        "y = way_mod.get()",
        {"way_mod.py": "import os\nMODE = os.environ.get('WAY_MODE', '')\ndef get(): return MODE\n"},
        env("WAY_MODE", "2"),
    ),
    ("an environment variable, by an object", "from way_mod import tool", "y = tool.mode",
     {"way_mod.py": "import os\nclass Tool:\n    def __init__(self): self.mode = os.environ.get('WAY_MODE', '')\ntool = Tool()\n"},
     env("WAY_MODE", "2")),
    # -- what modules give that cells above use
    ("a value of a module", "import way_mod\nv = way_mod.get()", "y = v", {"way_mod.py": "def get(): return 1\n"},
     file("way_mod.py", "def get(): return 2\n")),
    ("a value of a function of a module, changed", "from way_mod import get\nv = [0]\nv[0] = get()", "y = v[0]",
     {"way_mod.py": "def get(): return 1\n"}, file("way_mod.py", "def get(): return 2\n")),
    ("a value of a module behind one", "import way_mod as m\nv = m.get()", "y = v",
     {"way_mod.py": "from way_low import get\n", "way_low.py": "def get(): return 1\n"},
     file("way_low.py", "def get(): return 2\n")),
    ("what a function of a module reads for a cell", "from way_mod import get\nv = get()", "y = v",
     {"way_mod.py": "import json\ndef get():\n    with open('x.json') as h: return json.load(h)\n", "x.json": "1"},
     file("x.json", "2")),
    ("what a module has read that a cell imports from", "from way_mod import CONFIG", "y = CONFIG", CONFIG,
     file("x.json", "2")),
    ("what a module has asked for that a cell imports from", "from way_mod import MODE", "y = MODE",
     {"way_mod.py": "import os\nMODE = os.environ.get('WAY_MODE', '')\n"}, env("WAY_MODE", "2")),
    # -- what functions do that cells call
    ("a file that a function reads", "from pathlib import Path\ndef get(): return Path('x.txt').read_text()\nv = get()",
     "y = v", {"x.txt": "1"}, file("x.txt", "2")),
    ("a folder that a function goes to", "import os\ndef go(to): os.chdir(to)\ngo('a')",
     "with open('x.txt') as file: y = file.read()\ndel file\nos.chdir('..')", {"a/x.txt": "1", "b/x.txt": "2"},
     text("go('a')", "go('b')")),
    ("a seed that a function sets", "import random\ndef seed(n): random.seed(n)\nseed(1)", "y = random.random()", {},
     text("seed(1)", "seed(2)")),
    ("a file that a cell writes", "import pandas\nd = pandas.DataFrame({'a': [1]})\nd.to_csv('x.csv')",
     "with open('x.csv') as file: y = file.read()\ndel file", {}, text("[1]", "[2]")),
    ("a file that a function writes", "from pathlib import Path\nOUT = Path('x.txt')\ndef put(v): OUT.write_text(v)\n"
     "put('1')", "with open('x.txt') as file: y = file.read()\ndel file", {}, text("put('1')", "put('2')")),
    # -- what cells do to modules
    ("an attribute of an object of a module", "import way_mod\nway_mod.tool.rate = 1", "y = way_mod.get()", RATE,
     text("rate = 1", "rate = 2")),
    ("a function in a module, set by the cell that imports it", "import way_mod\nway_mod.get = lambda: 1",
     "y = way_mod.call()", {"way_mod.py": "def get(): return 0\ndef call(): return get()\n"},
     text("lambda: 1", "lambda: 2")),
    ("an attribute set by name", "import way_mod\ndef patch(v):\n    setattr(way_mod, 'RATE', v)\npatch(1)",
     "y = way_mod.get()", {"way_mod.py": "RATE = 0\ndef get(): return RATE\n"}, text("patch(1)", "patch(2)")),
    ("what a closure of a module holds", "import way_mod\nway_mod.put(1)", "y = way_mod.get()",
     {"way_mod.py": "def make():\n    n = 0\n    def put(x):\n        nonlocal n\n        n = x\n"
                    "    return put, lambda: n\nput, get = make()\n"}, text("put(1)", "put(2)")),
    ("the same, by way of another module", "import way_other, way_mod\nway_other.go(1)", "y = way_mod.get()",
     {"way_mod.py": "from itertools import count\nC = count()\ndef get(): return next(C)\n",
      "way_other.py": "import way_mod\ndef go(n):\n    for _ in range(n): way_mod.get()\n"}, text("go(1)", "go(2)")),
    ("what a library in C holds", "import csv\ncsv.register_dialect('way', delimiter=';')",
     "y = list(csv.reader(['a;b,c'], 'way'))", {}, text("';'", "','")),
    ("what a library in C holds, for another library", "import csv\ncsv.register_dialect('way', delimiter=';')",
     "import pandas\ny = list(pandas.read_csv('x.csv', dialect='way'))", {"x.csv": "a;b,c\n1;2,3\n"},
     text("';'", "','")),
    ("a file in memory", "import fsspec\n# %%\nwith fsspec.open('memory://way.txt', 'w') as f: f.write('1')\ndel f",
     "y = fsspec.filesystem('memory').cat('/way.txt')", {}, text("'1'", "'2'")),
    ("an option of a library, set by a call that gives something", "from way_set import configure, get\nok = configure(n=1)",
     "y = get()", {"site-packages/way_set.py": "KEPT = {}\ndef configure(**k):\n    KEPT.update(k)\n    return True\n"
                                               "def get(): return KEPT['n']\n"}, text("n=1", "n=2")),
    ("a method that a library gives to another one", "import pandas, way_patch\nway_patch.initialize(1)",
     "y = pandas.DataFrame({'a': [1]}).way()",
     {"site-packages/way_patch.py": "import pandas\ndef initialize(n):\n    def way(self): return n\n"
                                    "    pandas.DataFrame.way = way\n"}, text("initialize(1)", "initialize(2)")),
    ("a method of a library, set in a loop", "import pandas\nd = pandas.DataFrame({'a': [1]})\n# %%\n"
     "for one in (pandas.DataFrame,): one.way = lambda self: 1", "y = d.way()", {}, text("self: 1", "self: 2")),
    ("a method of a library, by another name", "import pandas\nD = pandas.DataFrame\nd = D({'a': [1]})\n# %%\n"
     "setattr(D, 'way', lambda self: 1)", "y = d.way()", {}, text("self: 1", "self: 2")),
    ("a function of a module that a text names", "import way_mod\nfrom unittest import mock\n# %%\n"
     "_ = mock.patch('way_mod.get', lambda: 1).start()", "y = way_mod.call()",
     {"way_mod.py": "def get(): return 0\ndef call(): return get()\n"}, text("lambda: 1", "lambda: 2")),
    ("a value of a module that is found by a text", "import importlib, way_mod\n"
     "importlib.import_module('way_mod').RATE = 1", "y = way_mod.get()",
     {"way_mod.py": "RATE = 0\ndef get(): return RATE\n"}, text("RATE = 1", "RATE = 2")),
    *((f"{what} of a function of a module", f"import way_mod\nway_mod.get.{name} = {value}", "y = way_mod.get()", KEEPING,
       text(value, value.replace("1", "2")))
      for what, name, value in (("an attribute", "way", "1"), ("a default value", "__defaults__", "(1,)"),
                                ("the code", "__code__", "(lambda n=0: 1).__code__"))),
    ("a default value of a method of a module", "import way_mod\nway_mod.Tool.get.__defaults__ = (1,)",
     "y = way_mod.Tool().get()", KEEPING, text("1,", "2,")),
    ("a default value of a function of a library", "import textwrap\ntextwrap.wrap.__defaults__ = (1,)",
     "import textwrap\ny = textwrap.wrap('aa bb')", {}, text("1,", "2,")),
    ("the order of modules that set something in one", "import way_mod, way_a, way_b", "y = way_mod.get()", PATCHES,
     text("way_a, way_b", "way_b, way_a")),
    ("the same in a module", "import way_mod, way_all", "y = way_mod.get()", {**PATCHES, "way_all.py": "import way_a, way_b\n"},
     file("way_all.py", "import way_b, way_a\n")),
    ("what another module sets in one", "import way_mod, way_other", "y = way_mod.get()",
     {"way_mod.py": "RATE = 0\ndef get(): return RATE\n", "way_other.py": "import way_mod\nway_mod.RATE = 1\n"},
     file("way_other.py", "import way_mod\nway_mod.RATE = 2\n")),
    ("what another module adds to one", "import way_mod, way_other", "y = way_mod.get()",
     {"way_mod.py": "ALL = []\ndef add(v): ALL.append(v)\ndef get(): return list(ALL)\n",
      "way_other.py": "from way_mod import add\nadd(1)\n"}, file("way_other.py", "from way_mod import add\nadd(2)\n")),
    ("what a function of another module sets in one", "import way_mod, way_other\nway_other.go()", "y = way_mod.get()",
     {"way_mod.py": "RATE = 0\ndef get(): return RATE\n",
      "way_other.py": "import way_mod\ndef go(): way_mod.RATE = 1\n"},
     file("way_other.py", "import way_mod\ndef go(): way_mod.RATE = 2\n")),
    ("what a module keeps of a file, by its name", "import way_mod\nway_mod.get('x.txt')", "y = way_mod.get('x.txt')",
     {"way_mod.py": "KEPT = {}\ndef get(name):\n    if name not in KEPT: KEPT[name] = open(name).read()\n"
                    "    return KEPT[name]\n", "x.txt": "1"}, file("x.txt", "2")),
    ("what a module keeps of a file in a cache", "import way_mod\nway_mod.get()", "y = way_mod.get()",
     {"way_mod.py": "import functools\n@functools.cache\ndef get():\n    with open('x.txt') as h: return h.read()\n",
      "x.txt": "1"}, file("x.txt", "2")),
    ("the same of a file that a cell names", "import way_mod\nNAME = 'x.txt'\nway_mod.get(NAME)",
     "y = way_mod.get(NAME)",
     {"way_mod.py": "import functools\n@functools.cache\ndef get(n):\n    with open(n) as h: return h.read()\n",
      "x.txt": "1"}, file("x.txt", "2")),
    ("an object that a module made of a file", "from way_mod import Tool\ntool = Tool.get()", "y = Tool.get().value",
     {"way_mod.py": "class Tool:\n    one = None\n    @classmethod\n    def get(cls):\n"
                    "        cls.one = cls.one or cls()\n        return cls.one\n"
                    "    def __init__(self): self.value = open('x.txt').read()\n", "x.txt": "1"}, file("x.txt", "2")),
    ("a large value that a module keeps", "import way_mod\nway_mod.init()", "y = int(way_mod.data.sum())",
     {"way_mod.py": "import numpy as np\ndata = None\ndef init():\n    global data\n"
                    "    data = np.full(100_000, int(np.loadtxt('x.txt')))\n", "x.txt": "1"}, file("x.txt", "2")),
    ("names of files that a module keeps in a cache", "import way_mod\nway_mod.get()", "y = way_mod.get()",
     {"way_mod.py": "import functools, glob\n@functools.cache\ndef get(): return sorted(glob.glob('d/*.txt'))\n",
      "d/a.txt": "1"}, file("d/b.txt", "2")),
    ("what a module keeps of the environment in a cache", "import way_mod\nway_mod.get()", "y = way_mod.get()",
     {"way_mod.py": "import functools, os\n@functools.cache\ndef get(): return os.getenv('WAY_MODE', '')\n"},
     env("WAY_MODE", "2")),
    # -- what modules do that no step uses
    ("a seed set by a module", "import way_mod, random", "y = random.random()",
     {"way_mod.py": "import random\nrandom.seed(1)\n"}, file("way_mod.py", "import random\nrandom.seed(2)\n")),
    ("an option set by a module", "import way_mod, decimal", "y = str(decimal.Decimal(1) / 3)",
     {"way_mod.py": "import decimal\ndecimal.getcontext().prec = 5\n"},
     file("way_mod.py", "import decimal\ndecimal.getcontext().prec = 6\n")),
    ("an option set by a function of a module", "import way_mod, decimal\nway_mod.go(5)",
     "y = str(decimal.Decimal(1) / 3)",
     {"way_mod.py": "import decimal\ndef go(n): decimal.getcontext().prec = n\n"},
     file("way_mod.py", "import decimal\ndef go(n): decimal.getcontext().prec = n + 1\n")),
    ("a method that a module gives to a library", "import way_mod, textwrap", "y = textwrap.TextWrapper().way()",
     {"way_mod.py": "import textwrap\ntextwrap.TextWrapper.way = lambda self: 1\n"},
     file("way_mod.py", "import textwrap\ntextwrap.TextWrapper.way = lambda self: 2\n")),
    ("a method that a function of a module gives to a library", "import way_mod, textwrap\nway_mod.go(1)",
     "y = textwrap.TextWrapper().way()",
     {"way_mod.py": "import textwrap\ndef go(n): textwrap.TextWrapper.way = lambda self: n\n"},
     text("go(1)", "go(2)")),
    # -- modules that are not named, or not there
    ("a module of a package without a file", "import way_space.a", "y = way_space.a.X", {"way_space/a.py": "X = 1\n"},
     file("way_space/a.py", "X = 2\n")),
    ("a module that was not there", "", "try:\n    import way_mod\n    y = way_mod.X\nexcept ImportError:\n    y = 0",
     {}, file("way_mod.py", "X = 2\n")),
    ("one that a module would rather have", "import way_mod", "y = way_mod.X",
     {"way_mod.py": "try:\n    from way_fast import X\nexcept ImportError:\n    X = 1\n"},
     file("way_fast.py", "X = 2\n")),
    ("modules that are found in a folder", "import way_pack", "y = way_pack.X",
     {"way_pack/__init__.py": "import pkgutil\nX = [one.name for one in pkgutil.iter_modules(__path__)]\n"},
     file("way_pack/b.py", "")),
    ("a module whose function is pickled", "import pickle, way_mod\nb = pickle.dumps(way_mod.get)",
     "y = pickle.loads(b)()", {"way_mod.py": "def get(): return 1\n"},
     file("way_mod.py", "def get(): return 2\n")),
    # -- what cells set in the environment
    ("a variable that is set where it is not", "import os\nos.environ.setdefault('WAY_MODE', '1')", "y = os.environ['WAY_MODE']",
     {}, env("WAY_MODE", "2")),
    ("a variable that is set from a file", "import os\ndef load():\n    for line in open('x.env'):\n"
     "        k, _, v = line.strip().partition('=')\n        os.environ[k] = v\nload()", "y = os.environ['WAY_MODE']",
     {"x.env": "WAY_MODE=1\n"}, file("x.env", "WAY_MODE=2\n")),
    ("a variable that was not set from a file", "import os\ndef load():\n    for line in open('x.env'):\n"
     "        k, _, v = line.strip().partition('=')\n        os.environ[k] = v\nload()", "y = os.environ.get('WAY_MORE', '')",
     {"x.env": "WAY_MODE=1\n"}, file("x.env", "WAY_MODE=1\nWAY_MORE=2\n")),
    # -- what only bytes and texts name
    ("a class that a file of an array names",
     "import numpy as np\nclass Tool:\n    def go(self): return 1\nnp.save('x.npy', np.array([Tool()], dtype=object))",
     "y = np.load('x.npy', allow_pickle=True)[0].go()", {}, text("return 1", "return 2")),
    ("a class that bytes name, read by a module", "import pickle, way_mod\nclass Tool:\n    def go(self): return 1\n"
     "b = pickle.dumps(Tool())", "y = way_mod.get(b).go()",
     {"way_mod.py": "import pickle\ndef get(b): return pickle.loads(b)\n"}, text("return 1", "return 2")),
    ("a global of a class that bytes name", "import pandas\nk = 1\nclass Tool:\n    def go(self): return k\n"
     "pandas.to_pickle(Tool(), 'x.pkl')", "y = pandas.read_pickle('x.pkl').go()", {}, text("k = 1", "k = 2")),
    ("a class that bytes name and that was not there",
     "import pickle\nclass Tool: pass\nb = pickle.dumps(Tool())\ndel Tool",
     "try:\n    y = type(pickle.loads(b)).__name__\nexcept AttributeError: y = 0", {}, text("del Tool", "pass")),
    ("a class that a text names", "import yaml\nclass Tool:\n    def go(self): return 1\ns = yaml.dump(Tool())",
     "y = yaml.unsafe_load(s).go()", {}, text("return 1", "return 2")),
    # -- what libraries and modules hold of the notebook
    ("a function that a formula names", "import way_formula\nk = 1\n# %%\ndef f(): return k",
     "y = way_formula.fit('~ f() + 1')", WAY_FORMULA, text("k = 1", "k = 2")),
    ("a function that a formula names, in a variable", "import way_formula\ndef f(): return 1\nformula = '~ f()'",
     "y = way_formula.fit(formula)", WAY_FORMULA, text("return 1", "return 2")),
    ("a variable that a formula names, in a function", "import way_formula\nw = 1\n# %%\n"
     "def g(): return way_formula.fit('~ w')", "y = g()", WAY_FORMULA, text("w = 1", "w = 2")),
    ("a helper of a function in a library", "import textwrap\ndef f(*a): return h()\ntextwrap.wrap = f\n# %%\n"
     "def h(): return 1", "y = textwrap.wrap('a')", {}, text("return 1", "return 2")),
    ("a global of a function in an object of a library",
     "import webbrowser\nclass Tool:\n    def open(self): return k\n# %%\nwebbrowser.register('way', None, Tool())\n"
     "# %%\nk = 1", "y = webbrowser.get('way').open()", {}, text("k = 1", "k = 2")),
    ("how errors of a codec are handled", "import codecs\n# %%\ncodecs.register_error('way', lambda e: ('1', e.end))",
     "y = 'é'.encode('ascii', 'way')", {}, text("'1'", "'2'")),
    ("a handler of a logger", "import logging\nout = []\n# %%\nclass Tool(logging.Handler):\n"
     "    def emit(self, record): out.append(1)\n# %%\nlogging.getLogger('way').handlers = [Tool()]",
     "logging.getLogger('way').warning('x')\ny = out[-1]", {}, text("append(1)", "append(2)")),
    ("how a handler of a logger writes", "import io, logging\nbuf = io.StringIO()\nlog = logging.getLogger('way')\n"
     "log.handlers[:] = [logging.StreamHandler(buf)]\nlog.handlers[0].setFormatter(logging.Formatter('1 %(message)s'))",
     "import logging\nlogging.getLogger('way').warning('x')\ny = buf.getvalue()", {}, text("'1 %", "'2 %")),
    ("how a handler without a name writes", "import io, logging\nbuf = io.StringIO()\n"
     "logging.getLogger('way').handlers[:] = [logging.StreamHandler(buf)]",
     "import logging\nlogging.getLogger('way').warning('x')\ny = buf.getvalue()", {},
     cell("logging.getLogger('way').handlers[0].setFormatter(logging.Formatter('2 %(message)s'))")),
    ("that a logger has no handler any more", "import io, logging\nbuf = io.StringIO()\n"
     "handler = logging.StreamHandler(buf)\nlogging.getLogger('way').handlers[:] = [handler]",
     "import logging\nlogging.getLogger('way').warning('x')\ny = buf.getvalue()", {},
     cell("logging.getLogger('way').removeHandler(handler)")),
    ("that no figure is open any more", "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
     "# %%\nplt.figure()", "y = len(plt.get_fignums())", {}, cell("plt.close('all')")),
    ("what is done when a signal comes", "import signal\ncaught = []\ndef take(number, frame): caught.append(1)\n"
     "signal.signal(signal.SIGUSR2, take)", "import signal\nsignal.raise_signal(signal.SIGUSR2)\ny = len(caught)", {},
     text("signal.SIGUSR2, take", "signal.SIGUSR2, signal.SIG_IGN")),
    ("what an open figure shows", "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
     "ax = plt.figure().subplots()", "y = plt.gca().get_title()", {}, cell("ax.set_title('later')")),
    ("a function that a class of a library calls", "import yaml\n# %%\ndef make(loader, node): return 1\n# %%\n"
     "yaml.SafeLoader.add_constructor('!way', make)", "y = yaml.safe_load('!way a')", {}, text("return 1", "return 2")),
    ("a function that one of a library is given for a class", "import yaml\nclass Tool: pass\ntool = Tool()\n# %%\n"
     "def show(dumper, one): return dumper.represent_str('1')\n# %%\nyaml.add_representer(Tool, show)",
     "y = yaml.dump(tool)", {}, text("'1'", "'2'")),
    ("a class that a library makes known to itself", "import way_lib\n# %%\nclass Tool(way_lib.Base):\n"
     "    def go(self): return 1", "y = way_lib.Loader.makers['Tool']().go()", LIBRARY, text("return 1", "return 2")),
    ("a class in an object of a library",
     "import matplotlib.projections as mp, matplotlib.axes\nclass Tool(matplotlib.axes.Axes):\n    name = 'way'\n"
     "    def go(self): return 1\nmp.register_projection(Tool)",
     "import matplotlib.figure\ny = matplotlib.figure.Figure().add_subplot(projection='way').go()", {},
     text("return 1", "return 2")),
    ("a function in a module that its cell imports", "import way_mod\n@way_mod.add\ndef f(): return 1",
     "y = way_mod.run()",
     {"way_mod.py": "ALL = []\ndef add(f):\n    ALL.append(f)\n    return f\ndef run(): return [f() for f in ALL]\n"},
     text("return 1", "return 2")),
    ("a class that a module asks for", "import way_mod\nclass Tool(way_mod.Base):\n    def go(self): return 1",
     "y = way_mod.run()",
     {"way_mod.py": "class Base: pass\ndef run(): return [one().go() for one in Base.__subclasses__()][-1]\n"},
     text("return 1", "return 2")),
    # -- code that is read, and not imported
    ("a module made from its file", "", SPEC, {"x.py": "X = 1\n"}, file("x.py", "X = 2\n")),
    ("runpy", "", "import runpy\ny = runpy.run_module('way_mod')['X']", {"way_mod.py": "X = 1\n"},
     file("way_mod.py", "X = 2\n")),
    ("linecache", "", "import linecache\nlinecache.clearcache()\ny = linecache.getline('x.py', 1)", {"x.py": "1"},
     file("x.py", "2")),
    ("tokenize", "", "import tokenize\nwith tokenize.open('x.py') as file: y = file.read()\ndel file", {"x.py": "1"},
     file("x.py", "2")),
    ("a module that is found by a name put together", "import way_mod",
     "import importlib\ny = importlib.import_module('way_' + 'mod').X", {"way_mod.py": "X = 1\n"},
     file("way_mod.py", "X = 2\n")),
    ("documentation that a module reads", "import way_mod\ndef h(x: int):\n    'one'", "y = way_mod.get(h)",
     {"way_mod.py": "def get(f): return f.__doc__\n"}, text("'one'", "'two'")),
    ("annotations that a module reads", "import way_mod\ndef h(x: int): pass", "y = way_mod.get(h)",
     {"way_mod.py": "def get(f): return str(f.__annotations__)\n"}, text("x: int", "x: str")),
    # -- what is looked for and not opened
    ("names in a list", "import os\nnames = ['a.txt', 'b.txt']", "y = [os.path.exists(name) for name in names]",
     {"a.txt": ""}, file("b.txt", "")),
    ("names put together", "import os", "y = [os.path.exists(f'f{n}') for n in range(3)]", {"f0": ""}, file("f1", "")),
    ("the size of a file", "from pathlib import Path", "y = [Path(f'f{n}').stat().st_size for n in range(2)]",
     {"f0": "", "f1": "1"}, file("f1", "22")),
    ("what a module looks for", "import way_mod", "y = way_mod.has('b' + '.txt')",
     {"way_mod.py": "import os\ndef has(name): return os.path.isfile(name)\n"}, file("b.txt", "")),
    ("the time of a file", "import os", "y = os.stat('x.txt').st_mtime", {"x.txt": "1"},
     lambda cells: os.utime("x.txt", (5, 5))),
    ("the times of entries", "import os", "y = [entry.stat().st_mtime for entry in os.scandir('d')]", {"d/x.txt": "1"},
     lambda cells: os.utime("d/x.txt", (5, 5))),
    ("the rights on a file", "import os", "y = os.access('x.txt', os.X_OK)", {"x.txt": "1"},
     lambda cells: Path("x.txt").chmod(0o755)),
    ("where a link leads", "from pathlib import Path", "y = Path('link').resolve().name",
     {"a.txt": "1", "b.txt": "1", "link": "->a.txt"}, link("b.txt")),
    ("what threads look for", "import os\nfrom concurrent.futures import ThreadPoolExecutor",
     "with ThreadPoolExecutor(1) as pool: y = list(pool.map(os.path.exists, [f'f{n}' for n in range(2)]))\ndel pool",
     {"f0": ""}, file("f1", "")),
    # -- what values read later
    ("an open file", "h = open('x.txt')", "y = h.read()", {"x.txt": "1"}, file("x.txt", "2")),
    ("rows of an open file", "import csv\nh = open('x.txt')\nrows = csv.reader(h)", "y = list(rows)",
     {"x.txt": "1"}, file("x.txt", "2")),
    ("an archive", "import zipfile\nz = zipfile.ZipFile('x.zip')", "y = z.read('a')", archive("1"),
     archive("2")),
    ("a database", "import sqlite3\nc = sqlite3.connect('x.db')", "y = c.execute('select a from t').fetchall()",
     database(1), database(2)),
    ("a database by its address", "",
     "import sqlite3\nc = sqlite3.connect('file:x.db?mode=ro', uri=True)\ny = c.execute('select a from t').fetchall()\n"
     "c.close()\ndel c", database(1), database(2)),
    ("a database attached to another", "import sqlite3",
     "c = sqlite3.connect(':memory:')\nc.execute(\"attach 'x.db' as o\")\n"
     "y = c.execute('select a from o.t').fetchall()\nc.close()\ndel c", database(1), database(2)),
    ("files of a dataset", "import pyarrow.dataset\nd = pyarrow.dataset.dataset('d', format='csv')",
     "y = d.count_rows()", {"d/a.csv": "x\n1\n"}, file("d/b.csv", "x\n2\n")),
    ("files of a dataset in a folder that stands for a value",
     "import pyarrow.dataset\nd = pyarrow.dataset.dataset('d', format='csv', partitioning='hive')",
     "y = d.count_rows()", {"d/k=1/a.csv": "x\n1\n"}, inner("d/k=2/a.csv", "x\n2\n")),
    ("files that a pattern of a lazy frame finds", "import polars\nd = polars.scan_csv('d/*.csv')",
     "y = d.collect().height", {"d/a.csv": "x\n1\n"}, file("d/b.csv", "x\n2\n")),
    # -- other programs
    ("a pattern for a program", "import subprocess", "y = subprocess.check_output('cat *.txt', shell=True)",
     {"a.txt": "1"}, file("b.txt", "2")),
    ("a program that reads a file", "import subprocess",
     "y = subprocess.run(['cat', 'x.txt'], capture_output=True).stdout", {"x.txt": "1"}, file("x.txt", "2")),
    ("a line of the shell", "import os", "with os.popen('cat x.txt') as file: y = file.read()\ndel file",
     {"x.txt": "1"}, file("x.txt", "2")),
    # -- the environment and the interpreter
    ("which variables are set", "import os", "y = sorted(n for n in os.environ if n.startswith('WAY_'))", {},
     env("WAY_MODE", "2")),
    ("the time zone", "import time", "time.tzset()\ny = time.localtime(0).tm_hour", {}, env("TZ", "Asia/Tokyo")),
    ("the width of the terminal", "import shutil", "y = shutil.get_terminal_size().columns", {}, env("COLUMNS", "33")),
    ("the home folder", "from pathlib import Path", "y = str(Path.home())", {}, env("HOME", "/nowhere")),
    ("a limit of the interpreter", "import sys\nsys.setrecursionlimit(2000)", "y = sys.getrecursionlimit()", {},
     text("(2000)", "(2100)")),
    ("a limit of the interpreter that nobody asks for",
     "import sys\nsys.setrecursionlimit(3000)\ndef f(n): return n and f(n - 1)",
     "try:\n    y = f(2000)\nexcept RecursionError:\n    y = -1", {}, text("(3000)", "(1000)")),
    ("arguments of the command line",
     "import argparse, sys\nsys.argv = ['nb', '--n', '1']\nparser = argparse.ArgumentParser()\n"
     "parser.add_argument('--n')", "given = parser.parse_args()\ny = given.n\ndel given", {}, text("'1'", "'2'")),
    ("a frame that leads to the notebook", "import sys\nk = 1\ndef f(): return sys._getframe(1).f_globals['k']",
     "y = f()", {}, text("k = 1", "k = 2")),
    ("a map of a file", "import numpy as np\nm = np.load('x.npy', mmap_mode='r')", "y = float(m.sum())", array(1),
     array(2)),
    ("the order of an array in memory", "import numpy as np\na = np.ones((2, 3), order='C')",
     "y = bool(a.flags.c_contiguous)", {}, text("'C'", "'F'")),
    # -- values
    ("what another name of a value changes", "a = [1]\nb = [a]", "y = repr(b)", {}, cell("a.append(2)")),
    ("a decorator that notes functions", "tools = {}\ndef tool(f): tools[f.__name__] = f\n@tool\ndef one(): return 1",
     "y = tools['one']()", {}, text("return 1", "return 2")),
    ("a generator that was drawn from", "numbers = (n for n in range(5))", "y = next(numbers)", {},
     cell("next(numbers)")),
    ("a name that is not there any more", "lr = 1", "try:\n    y = lr\nexcept NameError:\n    y = 0", {},
     text("lr = 1", "pass")),
    ("a new name, where any may be told", "k = 1", "y = sorted(n for n in dir() if n[:1] == 'k')", {}, cell("k2 = 2")),
    ("a class that is registered with an abstract one",
     "import abc\nclass Base(abc.ABC): pass\nclass Tool: pass", "y = issubclass(Tool, Base)", {},
     cell("Base.register(Tool)")),
    ("an option of a dataclass",
     "from dataclasses import dataclass\n@dataclass(order=True)\nclass Tool:\n    a: int",
     "try:\n    y = Tool(1) < Tool(2)\nexcept TypeError: y = 0", {}, text("order=True", "order=False")),
    ("the names that instances have room for", "class Base: __slots__ = ()\nclass Tool(Base): __slots__ = ('a',)",
     "tool = Tool()\ntry:\n    tool.b = 1\n    y = 1\nexcept AttributeError: y = 0\ndel tool", {},
     text("('a',)", "('a', 'b')")),
    ("the order in which a class is matched",
     "from dataclasses import dataclass\n@dataclass\nclass Tool:\n    a: int = 1\n    b: int = 2\n"
     "    __match_args__ = 'a', 'b'", "match Tool():\n    case Tool(y, _): pass", {}, text("'a', 'b'", "'b', 'a'")),
    ("what a generic class is made of",
     "import typing\nT = typing.TypeVar('T')\nclass Base(typing.Generic[T]): pass\nclass Tool(Base[int]): pass",
     "y = typing.get_args(Tool.__orig_bases__[0])[0].__name__", {}, text("Base[int]", "Base[str]")),
    ("what an enumeration does with other values",
     "import enum\nclass Mode(enum.Flag, boundary=enum.KEEP): A = 1", "y = Mode(8).value", {}, text("KEEP", "CONFORM")),
    ("what an enumeration does with other values, by a member that a step holds",
     "import enum\nclass Mode(enum.Flag, boundary=enum.KEEP): A = 1\n# %%\n%%step 1\nmode = Mode.A",
     "y = type(mode)(8).value", {}, text("KEEP", "CONFORM")),
    ("what the field of a dataclass is said to be, by an instance that a step made",
     "import dataclasses\n@dataclasses.dataclass\nclass Tool:\n    a: int = dataclasses.field(default=1, metadata={'u': 1})\n"
     "# %%\n%%step 1\ntool = Tool()", "y = dataclasses.fields(tool)[0].metadata['u']", {}, text("'u': 1", "'u': 2")),
    ("the limits of a field of a model, by an instance that a step made",
     "from pydantic import BaseModel, Field\nclass Tool(BaseModel):\n    a: int = Field(1, ge=0)\n# %%\n%%step 1\n"
     "tool = Tool()", "try: y = type(tool)(a=3).a\nexcept ValueError: y = 0", {}, text("ge=0", "ge=5")),
    ("annotations that are values", "class Tool: a: 1 = 0\ndef f(b: ('cm', {'k': 1})): pass",
     "y = Tool.__annotations__['a'], f.__annotations__['b'][1]['k']", {}, text("{'k': 1}", "{'k': 2}")),
    ("an option of a dataclass, by an instance that a step made",
     "from dataclasses import dataclass\n@dataclass(order=True)\nclass Tool:\n    a: int = 1\n# %%\n%%step 1\ntool = Tool()",
     "try: y = tool <= tool\nexcept TypeError: y = 0", {}, text("order=True", "order=False")),
    ("the names that instances have room for, by one that a step made",
     "class Tool: __slots__ = ('a',)\n# %%\n%%step 1\ntool = Tool()", "y = hasattr(type(tool), 'b')", {},
     text("('a',)", "('a', 'b')")),
    ("the order in which a class is matched, by an instance that a step made",
     "class Tool: __match_args__ = 'a', 'b'\n# %%\n%%step 1\ntool = Tool()", "y = type(tool).__match_args__", {},
     text("'a', 'b'", "'b', 'a'")),
    ("what a property is documented to be, by an instance that a step made",
     "class Tool: a = property(lambda self: 1, doc='one')\n# %%\n%%step 1\ntool = Tool()", "y = type(tool).a.__doc__", {},
     text("'one'", "'two'")),
    ("when a model is validated",
     "from pydantic import BaseModel, field_validator\nclass Tool(BaseModel):\n    a: int\n"
     "    @field_validator('a', mode='after')\n    @classmethod\n    def check(cls, value): return repr(value)",
     "y = Tool(a='1').a", {}, text("'after'", "'plain'")),
    ("what a function in an array reads",
     "import numpy as np\nk = 1\ndef f(): return k\na = np.array([f], dtype=object)", "y = a[0]()", {},
     text("k = 1", "k = 2")),
    ("what the text of an annotation means",
     "import typing\nclass A: pass\nclass B: pass\nk = A\ndef f(a: 'k'): pass",
     "y = typing.get_type_hints(f)['a'].__name__", {}, text("k = A", "k = B")),
    ("a new name, where any may be read", "k = 1", "y = sorted(n for n in globals() if n[:1] == 'k')", {},
     cell("k2 = 2")),
    ("a name that a call takes away, where any may be read",
     "k = 1\ndef drop():\n    global k\n    del k\ndrop()", "y = sorted(n for n in globals() if n == 'k')", {},
     text("\ndrop()", "\npass")),
    # -- what does something by being used
    ("what begins and ends a block",
     "log = []\nclass A:\n    def __enter__(self): log.append(1)\n    def __exit__(self, *_): pass\na = A()\n"
     "with a: pass", "y = len(log)", {}, text("with a: pass", "pass")),
    ("a generator that is asked",
     "log = []\ndef count():\n    while True:\n        log.append(1)\n        yield\nit = count()\n"
     "for _ in range(3): next(it)", "y = len(log)", {}, text("range(3)", "range(4)")),
    ("a dict that gets what it lacks",
     "import collections\nd = collections.defaultdict(int)\nd['a']", "y = len(d)", {}, text("d['a']", "d['a'], d['b']")),
    ("what makes what a dict lacks",
     "from collections import defaultdict\nlog = []\ndef make(): log.append(1); return 0\nd = defaultdict(make)\n"
     "d['a']", "y = len(log)", {}, text("d['a']", "d['a'], d['b']")),
    ("where a text is printed to", "import io\nbuffer = io.StringIO()\nprint(1, file=buffer)", "y = buffer.getvalue()", {},
     text("print(1,", "print(2,")),
    ("a buffer that is read", "import io, json\nbuffer = io.StringIO('[1]\\n[2]')\njson.loads(next(buffer))\nlist(buffer)",
     "y = buffer.read()", {}, text("\nlist(buffer)", "")),
    ("an iterator of a module", "import itertools\nc = itertools.count()\nk = dict(zip('ab', c))", "y = next(c)", {},
     text("'ab'", "'abc'")),
    ("an iterator in a dict", "d = {'i': iter(range(9))}\nfor _ in d['i']: break", "y = next(d['i'])", {},
     text("break", "pass; d['i'] = iter([7])")),
    ("a method of numpy's functions", "import numpy as np\nx = np.zeros(3)\nnp.add.at(x, [0], 1)", "y = float(x.sum())", {},
     text("[0], 1", "[0], 2")),
    ("a method, called by its class", "import pandas as pd\nf = pd.DataFrame({'a': [1], 'b': 2})\npd.DataFrame.pop(f, 'a')",
     "y = list(f)", {}, text("f, 'a')", "f, 'b')")),
    ("a name that is bound on the way", "log = []\n(q := log).append(1)", "y = log[0]", {}, text("append(1)", "append(2)")),
    ("one of two", "log, k = [], 1\n(log if k else []).append(1)", "y = log[0]", {}, text("append(1)", "append(2)")),
    ("the end of an object",
     "log = []\nclass A:\n    def __del__(self): log.append(1)\na = A()\ndel a", "y = len(log)", {}, text("del a", "")),
    ("an object that is given up",
     "log = []\nclass A:\n    def __del__(self): log.append(1)\na = A()\na = 1", "y = len(log)", {}, text("a = 1", "b = 1")),
    ("a variable of a comprehension", "A = 1\n# %%\n%%step 1\nrows = [[1]]\n# %%\n_ = [row.append(0) for row in rows]",
     "y = len(rows[0])", {}, text("append(0)", "extend([0, 0])")),
    ("a method that puts its outcome into what it is of", "import numpy as np\n# %%\n%%step 1\nx = np.array([5.0])\n# %%\nA = 1",
     "y = float(x[0])", {}, text("A = 1", "x.clip(0, 2, x)")),
    ("a function that is told to copy nothing", "import numpy as np\n# %%\n%%step 1\nx = np.array([np.nan])\n# %%\nA = 1",
     "y = float(x[0])", {}, text("A = 1", "np.nan_to_num(x, copy=False)")),
    ("axes that are drawn on", "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n# %%\n%%step 1\n"
     "from matplotlib.figure import Figure\nax = Figure().add_subplot()\n# %%\nA = 1", "y = ax.get_title()", {},
     text("A = 1", "plt.setp(ax, title='q')")),
    ("a property that is kept", "import functools\nclass Fit:\n    x = 1\n    @functools.cached_property\n"
     "    def c(self): return self.x\n# %%\n%%step 1\nm = Fit()\n# %%\nA = m.c", "m.x = 2\ny = m.c", {}, text("A = m.c", "A = 1")),
    ("an iterator in an attribute", "class S:\n    def __init__(self): self.g = iter('abc')\n# %%\n%%step 1\ns = S()\n# %%\n"
     "A = min(s.g)", "y = list(s.g)", {}, text("min(s.g)", "1")),
    ("a dict in an attribute that gets what it lacks", "import collections\nclass H:\n"
     "    def __init__(self): self.d = collections.defaultdict(list)\n# %%\n%%step 1\nh = H()\n# %%\nA = h.d['q']",
     "y = len(h.d)", {}, text("h.d['q']", "1")),
    # -- what values tell only if they are asked
    ("the order of numbers in a set", "s = frozenset([0, 8])", "y = list(s)", {}, text("[0, 8]", "[8, 0]")),
    ("what an object leaves out when it is pickled", "class A:\n    def __init__(self, k): self.k = k\n"
     "    def __getstate__(self): return {}\na = A(1)", "y = a.k", {}, text("A(1)", "A(2)")),
    ("documentation that a function is given", "def f(): pass\nf.__doc__ = 'a'", "y = f.__doc__", {}, text("'a'", "'b'")),
    ("what an error leaves out when it is pickled", "class E(Exception):\n    def __init__(self, a): self.a = a\n"
     "    def __reduce__(self): return E, (0,)\ne = E(1)", "y = e.a", {}, text("E(1)", "E(2)")),
    ("the name of a function", "def f(): pass\nf.__name__ = 'a'", "y = f.__name__", {}, text("'a'", "'b'")),
    ("what a type variable stands for", "from typing import TypeVar\nT = TypeVar('T', bound=int)\ndef f(x: T): pass\n# %%\n"
     "%%step 1\ng = [f]", "y = g[0].__annotations__['x'].__bound__.__name__", {}, text("bound=int", "bound=str")),
    ("what a type of numbers is said to be", "import numpy as np\na = np.zeros(1, np.dtype('f8', metadata={'u': 1}))",
     "y = a.dtype.metadata['u']", {}, text("'u': 1", "'u': 2")),
    ("a variable in a text that a function has evaluated", "import pandas as pd\nk = 1\ndef go(d): return d.eval('a * @k').sum()\n"
     "d = pd.DataFrame({'a': [1, 2]})", "y = int(go(d))", {}, text("k = 1", "k = 2")),
    ("a file by which an object was made that cannot be compared",
     "import hashlib\nwith open('x.txt', 'rb') as f: h = hashlib.md5(f.read())\ndel f", "y = h.hexdigest()", {"x.txt": "1"},
     file("x.txt", "2")),
    # -- what cells write
    ("a file that a cell copies", "from shutil import copy\ncopy('a.txt', 'x.txt')",
     "with open('x.txt') as file: y = file.read()\ndel file", {"a.txt": "1"}, file("a.txt", "2")),
    ("what a function puts into an archive", "import zipfile\ndef put(v):\n    with zipfile.ZipFile('z.zip', 'w') as z:\n"
     "        z.writestr(zipfile.ZipInfo('a'), v)\nput('1')", "with zipfile.ZipFile('z.zip') as z: y = z.read('a')\ndel z", {},
     text("put('1')", "put('2')")),
    ("a map of a file that is written to", "import numpy as np\nm = np.memmap('m.bin', 'i4', 'w+', shape=2)\n# %%\nm[:] = 1\n"
     "m.flush()", "y = np.fromfile('m.bin', 'i4').tolist()", {}, text("m[:] = 1", "m[:] = 2")),
    ("documentation of a class without functions", "class A: 'one'\ndef label(c): return c.__doc__", "y = label(A)", {},
     text("'one'", "'two'")),
    ("documentation of a dataclass", "import dataclasses\n@dataclasses.dataclass\nclass A:\n    'one'\n    k: int = 1\n"
     "def label(c): return c.__doc__", "y = label(A)", {}, text("'one'", "'two'")),
    ("what the end of an object is given", "import weakref\nclass A: pass\na, log = A(), []\nweakref.finalize(a, log.append, 1)",
     "del a\ny = list(log)", {}, text("append, 1", "append, 2")),
    # -- definitions that are made anew
    ("a class that is made anew after its object", "class A: pass\n# %%\n%%step 1\na = A()\n# %%\nz = 1",
     "y = isinstance(a, A)", {}, text("z = 1", "class A: pass")),
    ("a class that is made anew no more", "class A: pass\n# %%\n%%step 1\na = A()\n# %%\nclass A: pass",
     "y = isinstance(a, A)", {}, lambda cells: cells.__delitem__(2)),
    ("a function that is made anew after a list holds it", "def f(): pass\n# %%\na = [f]\n# %%\nz = 1", "y = a[0] is f",
     {}, text("z = 1", "def f(): pass")),
    # -- what was right before
    ("an argument of a decorator",
     "def times(k):\n    def deco(f):\n        def inner(x): return f(x) * k\n        return inner\n    return deco\n"
     "@times(2)\ndef g(x): return x", "y = g(3)", {}, text("@times(2)", "@times(3)")),
    ("what a partial holds", "from functools import partial\ndef g(x, k): return x * k\nh = partial(g, k=2)",
     "y = h(3)", {}, text("k=2", "k=3")),
    ("an attribute of a base class", "class Base: rate = 1\nclass Tool(Base): pass", "y = Tool().rate", {},
     text("rate = 1", "rate = 2")),
    ("a metaclass", "class Meta(type):\n    def size(cls): return 1\nclass Tool(metaclass=Meta): pass",
     "y = Tool.size()", {}, text("return 1", "return 2")),
    ("a default value that was changed in place", "def g(x, seen=[]):\n    seen.append(x)\n    return len(seen)",
     "y = g(1)", {}, cell("g(0)")),
    ("what a closure counts",
     "def make():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n"
     "    return count\ncount = make()", "y = count()", {}, cell("count()")),
    ("the annotation that a function is dispatched by",
     "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1",
     "y = g(1)", {}, text("x: int", "x: str")),
    ("the order of fields", "from typing import NamedTuple\nclass Pair(NamedTuple):\n    a: int\n    b: int",
     "y = Pair(1, 2).a", {}, text("    a: int\n    b: int", "    b: int\n    a: int")),
    ("a lambda in a dict", "ops = {'a': lambda x: x + 1}", "y = ops['a'](1)", {}, text("x + 1", "x + 2")),
    ("a format in a helper", "def show(x): return f'{x:.2f}'", "y = show(1 / 3)", {}, text(".2f", ".3f")),
    ("a variable that is asked for by another name", "from os import getenv as get\nmode = get('WAY_MODE')", "y = mode",
     {}, env("WAY_MODE", "2")),
    ("a variable that is asked for by another name, beside one that is not", "import os\nfrom os import getenv as get\n"
     "mode = get('WAY_MODE'), os.getenv('HOME')", "y = mode", {}, env("WAY_MODE", "2")),
    ("a variable in a path", "import os.path\nplace = os.path.expandvars('$WAY_MODE')", "y = place", {},
     env("WAY_MODE", "2")),
    ("a function of a module that is imported again",
     "import colorsys\ncolorsys.rgb_to_hsv = lambda one: 'a'\n# %%\nimport colorsys\na = colorsys.rgb_to_hsv('x')",
     "y = a", {},
     text("'a'", "'b'")),
    ("a function of a module that is imported again, by which a cell reads a file",
     "import plistlib\nplistlib.load = lambda one: 'a'\n# %%\nimport plistlib\na = plistlib.load(open('x'))", "y = a",
     {"x": "1"}, text("'a'", "'b'")),
    ("a link to another file", "", "y = open('link').read()", {"a.txt": "1", "b.txt": "2", "link": "->a.txt"},
     link("b.txt")),
    ("a link to another folder", "", "y = open('link/x.txt').read()",
     {"a/x.txt": "1", "b/x.txt": "2", "link": "->a"}, link("b")),
    ("a folder deep down", "import os", "y = [names for _, _, names in os.walk('d')]", {"d/e/a.txt": ""},
     file("d/e/b.txt", "")),
    ("what a library's function was replaced by", "import textwrap\ntextwrap.wrap = lambda one: 'a'",
     "y = textwrap.wrap('x')", {},
     text("'a'", "'b'")),
    ("another value in a builtin name", "import builtins\nbuiltins.way_value = 1", "y = way_value", {},
     text("way_value = 1", "way_value = 2")),
    # -- what a step defines, by cells below it
    ("a function of a step that seeds", "import random\n# %%\n%%step 1\ndef reseed(n):\n    random.seed(n)\n# %%\nreseed(1)",
     "y = random.random()", {}, text("reseed(1)", "reseed(2)")),
    ("a function of a step, by a function", "import random\n# %%\n%%step 1\ndef reseed(n):\n    random.seed(n)\n# %%\n"
     "def again():\n    reseed(4)\nagain()", "y = random.random()", {}, text("reseed(4)", "reseed(5)")),
    ("another name that a step gives", "import random\n# %%\n%%step 1\ns0 = random.seed\n# %%\ns0(1)",
     "y = random.random()", {}, text("s0(1)", "s0(2)")),
    ("a class of a step that seeds", "import random\n# %%\n%%step 1\nclass T:\n    def __init__(self, n):\n"
     "        random.seed(n)\n# %%\nt = T(1)", "y = random.random()", {}, text("T(1)", "T(2)")),
    ("a partial of a step", "acc = []\ndef add(x):\n    acc.append(x)\n# %%\n%%step 1\nimport functools\n"
     "p = functools.partial(add, 3)\n# %%\np()", "y = list(acc)", {}, cell("p()")),
    ("a function of a step that writes a file", "A = 1\n# %%\n%%step 1\ndef put(x):\n    with open('o.txt', 'w') as f:\n"
     "        f.write(x)\n# %%\nput('1')", "y = open('o.txt').read()", {}, text("put('1')", "put('2')")),
    ("a function of a step that changes another value", "A = 1\n# %%\n%%step 1\nL = [1]\ndef put(x):\n    L.append(x)\n# %%\n"
     "put(1)", "y = sum(L)", {}, text("put(1)", "put(2)")),
    ("the same, no more called", "A = 1\n# %%\n%%step 1\nL = [1]\ndef put(x):\n    L.append(x)\n# %%\nput(1)",
     "y = sum(L)", {}, text("put(1)", "pass")),
    ("a method of an object of a step", "state = {}\n# %%\n%%step 1\nclass W:\n    def go(self, k):\n        state['k'] = k\n"
     "w = W()\n# %%\nw.go(1)", "y = dict(state)", {}, text("w.go(1)", "w.go(2)")),
    ("a function of a step that sets an option", "import pandas as pd\n# %%\n%%step 1\ndef wide(n):\n"
     "    pd.set_option('display.max_colwidth', n)\n# %%\nwide(10)", "y = repr(pd.DataFrame({'a': ['x' * 30]}))", {},
     text("wide(10)", "wide(20)")),
    ("a function of a step that sets an attribute of a module", "import colorsys\n# %%\n%%step 1\ndef put(x):\n"
     "    colorsys.way = x\n# %%\nput(1)", "y = colorsys.way", {}, text("put(1)", "put(2)")),
    ("what a function of a step reads", "rate = 2\n# %%\n%%step 1\ndef f(x):\n    return x * rate\n# %%\nz = f(3)", "y = z", {},
     text("rate = 2", "rate = 3")),
    ("a registry of a step", "A = 1\n# %%\n%%step 1\nREG = {}\ndef register(name):\n    def deco(f):\n"
     "        REG[name] = f.__name__\n        return f\n    return deco\n# %%\n@register('a')\ndef one(): pass", "y = dict(REG)", {},
     text("register('a')", "register('b')")),
    ("a module that a step imports", "import random\n# %%\n%%step 1\nfrom way_mod import setup\n# %%\nsetup(1)",
     "y = random.random()", {"way_mod.py": "import random\ndef setup(n):\n    random.seed(n)\n"}, text("setup(1)", "setup(2)")),
    ("another name of a step's value", "A = 1\n# %%\n%%step 1\nL = [1]\nM = {'l': L}\n# %%\nA = 2", "y = sum(L)", {},
     cell("M['l'].append(4)")),
    ("a view of another step", "import numpy as np\n# %%\n%%step 1\nA = np.zeros(4)\n# %%\n%%step 2\nB = A[:2]\n# %%\nB[0] = 1",
     "y = float(A.sum())", {}, text("B[0] = 1", "B[0] = 2")),
    ("a method of a step's object by its own name", "A = 1\n# %%\n%%step 1\nL = [1]\nput = L.append\n# %%\nput(1)",
     "y = sum(L)", {}, text("put(1)", "put(2)")),
    ("a step's value kept by a function", "kept = []\ndef keep(x):\n    kept.append(x)\n# %%\n%%step 1\nA = [1]\n# %%\nkeep(A)\n"
     "kept[0].append(1)", "y = sum(A)", {}, text("append(1)", "append(2)")),
    ("an iterator of a step, used up", "A = 1\n# %%\n%%step 1\nit = iter([1, 2, 3])\n# %%\nprint(A)", "y = next(it, None)", {},
     text("print(A)", "print(sum(it))")),
    # -- what an edited step does beside giving names a value
    ("an unmarked value changed by a step", "cfg = {'a': 1}\n# %%\n%%step 1\nx = 1", "y = dict(cfg)", {},
     text("x = 1", "x = 1; cfg['a'] = 2")),
    ("the value of a step changed by another", "A = 1\n# %%\n%%step 1\nL = [1]\n# %%\n%%step 2\nx = 1", "y = sum(L)", {},
     text("x = 1", "x = 1; L.append(2)")),
    ("the same, by a function", "A = 1\n# %%\n%%step 1\nL = [1]\ndef put(x):\n    L.append(x)\n# %%\n%%step 2\nx = 1",
     "y = sum(L)", {}, text("x = 1", "x = 1; put(2)")),
    ("the same, by what a function is given", "def put(l, x):\n    l.append(x)\n# %%\n%%step 1\nL = [1]\n# %%\n%%step 2\nx = 1",
     "y = sum(L)", {}, text("x = 1", "x = 1; put(L, 2)")),
    ("a file written by a step's function", "A = 1\n# %%\n%%step 1\ndef f(t):\n    with open('d.txt', 'w') as h:\n"
     "        h.write(t)\n# %%\n%%step 2\nx = 1", "y = open('d.txt').read()", {"d.txt": "1"}, text("x = 1", "x = 1; f('9')")),
    ("a variable set by a step's function", "import os\n# %%\n%%step 1\ndef f(t):\n    os.environ['WAY_MODE'] = t\n# %%\n"
     "%%step 2\nx = 1", "y = os.environ.get('WAY_MODE', 'none')", {}, text("x = 1", "x = 1; f('9')")),
    ("a module changed by a step's function", "import colorsys\n# %%\n%%step 1\ndef f(t):\n    colorsys.way = t\n# %%\n%%step 2\n"
     "x = 1", "y = getattr(colorsys, 'way', 0)", {}, text("x = 1", "x = 1; f(9)")),
    ("what a function of the notebook may do, by a value", "flag = False\ndef maybe(l):\n    if flag:\n        l.append(2)\n# %%\n"
     "%%step 1\nL = [1]\n# %%\n%%step 2\nmaybe(L)", "y = sum(L)", {}, text("flag = False", "flag = True")),
    ("a function that changes what it is given now", "def prep(l):\n    return len(l)\n# %%\n%%step 1\nL = [3, 1]\n# %%\n%%step 2\n"
     "x = prep(L)", "y = list(L)", {}, text("return len(l)", "l.sort(); return len(l)")),
    ("a method that changes what it is given now", "class M:\n    def fit(self, l):\n        return self\n# %%\n%%step 1\nL = [3, 1]\n"
     "# %%\n%%step 2\nm = M().fit(L)", "y = list(L)", {}, text("return self", "l.sort(); return self")),
    ("a module's function that changes what it is given now", "import way_mod\n# %%\n%%step 1\nL = [3, 1]\n# %%\n%%step 2\n"
     "x = way_mod.prep(L)", "y = list(L)", {"way_mod.py": "def prep(l):\n    return len(l)\n"},
     inner("way_mod.py", "def prep(l):\n    l.sort()\n    return len(l)\n")),
    ("code in a text of an edited step", "A = 1\n# %%\n%%step 1\nD = 1\n# %%\n%%step 2\nx = 1", "y = D", {},
     text("x = 1", "exec('D = 5')")),
    ("a name that an edited step sets by a function", "A = 1\ndef setd(v):\n    global D\n    D = v\n# %%\n%%step 1\nD = 1\n# %%\n"
     "%%step 2\nx = 1", "y = D", {}, text("x = 1", "setd(5)")),
    ("a name that a step's function sets", "A = 1\n# %%\n%%step 1\nD = 1\ndef setd(v):\n    global D\n    D = v\n# %%\nprint(A)",
     "y = D", {}, text("print(A)", "setd(7)")),
    ("a class, by its object", "A = 1\n# %%\n%%step 1\nclass K:\n    a = 1\nk = K()\n# %%\nprint(A)", "y = K.a", {},
     text("print(A)", "type(k).a = 5")),
    ("an array that a function puts its outcome in", "import numpy as np\n# %%\n%%step 1\nX = np.ones(3)\nZ = X\n# %%\nA = 1",
     "y = float(X.sum())", {}, text("A = 1", "np.multiply(Z, 4, Z)")),
    ("a keyword among others", "import numpy as np\n# %%\n%%step 1\nX = np.array([1.4])\n# %%\nA = 1", "y = float(X[0])", {},
     text("A = 1", "X.round(**{'out': X})")),
    ("an operator that changes", "class Acc:\n    def __init__(self): self.v = []\n    def __lshift__(self, o):\n        self.v.append(o)\n"
     "        return self\n# %%\n%%step 1\nA = Acc()\n# %%\nb = 1", "y = list(A.v)", {}, text("b = 1", "A << 3")),
    ("a property that changes", "class Acc:\n    def __init__(self): self.v = []\n    @property\n    def go(self):\n        self.v.append(1)\n"
     "        return self\n# %%\n%%step 1\nA = Acc()\n# %%\nb = 1", "y = list(A.v)", {}, text("b = 1", "A.go")),
    ("a length that changes", "class Acc:\n    def __init__(self): self.v = []\n    def __len__(self):\n        self.v.append(1)\n"
     "        return 1\n# %%\n%%step 1\nA = Acc()\n# %%\nb = 1", "y = list(A.v)", {}, text("b = 1", "print(len(A))")),
    ("an operator that changes something else", "L = []\nclass K:\n    def __add__(self, o):\n        L.append(o)\n        return 1\n# %%\n"
     "%%step 1\nk = K()\n# %%\nz = 1", "y = list(L)", {}, text("z = 1", "z = k + 1")),
    ("a property that changes something else", "L = []\nclass K:\n    @property\n    def go(self):\n        L.append(1)\n"
     "k, j = K(), 1\n# %%\nz = 1", "y = list(L)", {}, text("z = 1", "k.go")),
    ("a function of the name of one of Python's", "L = []\ndef sum(v):\n    L.append(v)\n# %%\n%%step 1\nk = 1\n# %%\nz = 1",
     "y = list(L)", {}, text("z = 1", "sum(k)")),
    ("what a function gives, changed", "def get(): return b\n# %%\n%%step 1\nb = [1]\n# %%\nx = 1", "y = sum(b)", {},
     text("x = 1", "get().append(5)")),
    ("what a function gave, changed", "def get(): return b\n# %%\n%%step 1\nb = [1]\n# %%\nx = 1", "y = sum(b)", {},
     text("x = 1", "d = get(); d.append(5)")),
    ("a draw by another word", "import numpy as np, pandas as pd\nnp.random.seed(1)\nd = pd.DataFrame({'a': range(9)})",
     "y = float(np.random.rand())", {}, cell("d.sample(3)")),
    ("a draw of a library", "import networkx as nx, random\nrandom.seed(1)", "y = random.random()", {},
     cell("g = nx.gnp_random_graph(5, 0.5)")),
    # -- what any code may call, which a library was given
    ("what a handler is told", "import logging\nout = []\nclass Tool(logging.Handler):\n"
     "    def emit(self, record): out.append(record.getMessage())\nlogging.getLogger('way').addHandler(Tool())\n# %%\n"
     "logging.getLogger('way').error('a')", "y = list(out)", {}, text("error('a')", "error('b')")),
    ("what is called in place of a library's function", "import textwrap\nout = []\ndef note(one): out.append(one)\n"
     "textwrap.wrap = note\n# %%\nimport way_mod\nway_mod.go('a')", "y = list(out)",
     {"way_mod.py": "import textwrap\ndef go(x): textwrap.wrap(x)\n"}, text("go('a')", "go('b')")),
    ("what an operator calls", "import numpy as np\nout = []\ndef note(kind, flag): out.append(kind)\n"
     "np.seterrcall(note)\nnp.seterr(all='call')\n# %%\nz = np.ones(1) / 2", "y = list(out)", {}, text("/ 2", "/ 0")),
    ("the same, by a lambda that a function hands over", "import sys\nout = []\ndef hand(): sys.excepthook = lambda *a: out.append(a)"
     "\nhand()\n# %%\nimport way_mod\nway_mod.go(1)", "y = len(out)",
     {"way_mod.py": "import sys\ndef go(n):\n    for _ in range(n): sys.excepthook(1, 2, 3)\n"}, text("go(1)", "go(2)")),
    # -- what libraries hold for all
    ("an open figure, by a function", "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
     "def name(t): plt.title(t)\n# %%\n%%step 1\nfig = plt.figure()\nplt.plot([1])\n# %%\nname('a')",
     "y = fig.axes[0].get_title()\nplt.close('all')", {}, text("name('a')", "name('b')")),
    ("an option that a theme sets", "import seaborn as sns\n# %%\nsns.set_theme(style='dark')",
     "import matplotlib.pyplot as plt\ny = plt.rcParams['axes.grid']\nplt.rcdefaults()",
     {"site-packages/seaborn.py": "import matplotlib\ndef set_theme(style): matplotlib.rcParams['axes.grid'] = style == 'grid'\n"},
     text("'dark'", "'grid'")),
    ("an attribute of a module that the step imports itself", "import colorsys\n# %%\ncolorsys.way = 1",
     "import colorsys\ny = getattr(colorsys, 'way', 0)", {}, text("= 1", "= 2")),
    ("the same, set no more", "import colorsys\nvars(colorsys).pop('way', None)\n# %%\ncolorsys.way = 1",
     "import colorsys\ny = getattr(colorsys, 'way', 0)", {}, text("colorsys.way = 1", "pass")),
    ("what a level is called", "import logging\n# %%\nlogging.addLevelName(10, 'a')",
     "import logging\ny = logging.getLevelName(10)\nlogging.addLevelName(10, 'DEBUG')", {}, text("'a'", "'b'")),
    # -- what a call makes
    ("a class that a call made, made again", "from collections import namedtuple\nP = namedtuple('P', 'a b')\n# %%\n%%step 1\n"
     "p = P(1, 2)\n# %%\nx = 1", "y = isinstance(p, P)", {}, text("x = 1", "P = namedtuple('P', 'a b')")),
    ("the same of a class that has no name in its module", "import dataclasses\nP = dataclasses.make_dataclass('P', ['a'])\n# %%\n"
     "%%step 1\np = P(1)\n# %%\nx = 1", "y = isinstance(p, P)", {}, text("x = 1", "P = dataclasses.make_dataclass('P', ['a'])")),
    ("annotations that were set", "def f(x): return x\nf.__annotations__ = {'x': int}", "y = str(f.__annotations__)", {},
     text("int", "str")),
    ("a module that the body of a class names", "class A:\n    __module__ = 'way_a'", "y = A.__module__", {},
     text("way_a", "way_b")),
    # -- names that are set by their texts
    ("code in a text", "exec('a = 1')\nexec('b = 2')", "y = b", {}, text("b = 2", "b = 3")),
    ("a variable set by its name", "globals()['a'] = 1\nglobals().update(b=2, **{})\nvars().update({'c': 3})", "y = c", {},
     text("3}", "4}")),
    ("variables set by names that are not written down", "d = {'a': 1}\n# %%\nfor k in d: globals()[k] = d[k]", "y = a", {},
     text("'a': 1", "'a': 2")),
    ("a variable asked for by its name", "a = 1\nk = 'a'\n# %%\nb = globals()[k]", "y = b", {}, text("a = 1", "a = 2")),
    ("a generator that the step uses up", "g = (k * k for k in range(3))", "y = list(g)", {}, text("range(3)", "range(4)")),
    ("a function of a module, by its key", "import random\nfrom way_mod import TOOLS\n# %%\nTOOLS['seed'](1)", "y = random.random()",
     {"way_mod.py": "import random\nTOOLS = {'seed': random.seed}\n"}, text("'](1)", "'](2)")),
    ("a name that stands for a seed", "import random\nfor seed in [random.seed]: pass\n# %%\nseed(1)", "y = random.random()", {},
     text("seed(1)", "seed(2)")),
    # -- where statements stand
    ("two functions of one name, swapped", "def f(): return 1\n# %%\na = f()\n# %%\ndef f(): return 2", "y = a * 10 + f()", {},
     lambda cells: cells.insert(0, cells.pop(2))),
    ("a number that a default value takes, given below it", "k = 1\n# %%\ndef f(a=k): return a\n# %%\nk = 2", "y = f()", {},
     lambda cells: cells.insert(1, cells.pop(2))),
    ("a function below code that does without", "def f(): return 1\n# %%\ntry: a = f()\nexcept NameError: a = 0", "y = a", {},
     lambda cells: cells.insert(1, cells.pop(0))),
    ("a default value of a module in which something is set, set below it", "import colorsys\ncolorsys.way = 1\n# %%\n"
     "colorsys.way = 2\n# %%\ndef f(x=colorsys.way): return x", "y = f()", {}, lambda cells: cells.insert(1, cells.pop(2))),
    ("a limit of the standard library, set for what it was", "import csv\nold = csv.field_size_limit(1000)",
     "import csv\ny = csv.field_size_limit()", {}, text("1000", "2000")),
    ("a path in a class of a module", "import way_mod\nfrom pathlib import Path\nway_mod.Config.root = Path('b')", "y = way_mod.get()",
     FIXED, text("Path('b')", "Path('c')")),
    ("a member of an enum in a class of a module", "import way_mod\nway_mod.Config.level = way_mod.Level.HIGH", "y = way_mod.get()",
     FIXED, text("HIGH", "LOW")),
    ("a number that a member of an enum in a class of a module stands for", "import way_mod", "y = way_mod.get()", FIXED,
     file("way_mod.py", FIXED["way_mod.py"].replace("LOW = 1", "LOW = 3"))),
    ("what the variable of a loop over nothing was", "%%step 1\ny = 1\n# %%\nd = []", "for y in d: pass", {},
     text("y = 1", "y = 2")),
    ("what a name was that the step does not bind after all", "y = [1]\nd = 0", "if d: y = [3]", {}, text("[1]", "[2]")),
]  # fmt: skip

# never stale: what the code might have come to, as it is written, and has not
NOTHING: list[tuple[str, str, str, dict[str, str] | Edit, Edit]] = [
    ("documentation of a dataclass and of its methods that nobody reads",
     "import dataclasses\n@dataclasses.dataclass\nclass A:\n    'one'\n    k: int = 1\n    def go(self):\n        'one'\n"
     "        return self.k", "y = A(2).go()", {}, text("'one'", "'two'")),
    ("a value beside a logger that gets a handler", "import io, logging\nk = 1\nbuf = io.StringIO()\n"
     "logging.getLogger('way').handlers[:] = [logging.StreamHandler(buf)]",
     "import logging\nlogging.getLogger('way').warning('x')\ny = buf.getvalue()", {}, text("k = 1", "k = 2")),
    ("a value beside a logger that writes to a file", "import logging\nk = 1\n"
     "logging.getLogger('way').handlers[:] = [logging.FileHandler('way.log', 'w')]",
     "import logging\nlogging.getLogger('way').warning('x')\ny = 1", {}, text("k = 1", "k = 2")),
    ("a number beside a module with what cannot be changed", "import way_mod\nk = 1", "y = way_mod.get()", FIXED,
     text("k = 1", "k = 2")),
    ("what the variable of a loop was before", "%%step 1\nx = 5\n# %%\nd = [1, 2]", "for x in d: y = x", {},
     text("x = 5", "x = 6")),
    ("what a name was that the step binds anew", "x = [5]\nd = [1, 2]", "if d: x = d\ny = 1", {}, text("[5]", "[6]")),
    ("a class that bytes might name", "import pickle\nclass Tool:\n    def go(self): return 1\nb = pickle.dumps([1])",
     "y = pickle.loads(b)", {}, text("return 1", "return 2")),
    ("a class that bytes might name, beside one that they do",
     "import pickle\nclass Tool:\n    def go(self): return 1\nclass Other:\n    def go(self): return 3\n"
     "b = pickle.dumps(Other())", "y = pickle.loads(b).go()", {}, text("return 1", "return 2")),
    ("a file beside one that a cell reads", "import json\ncfg = json.load(open('x.json'))", "y = cfg",
     {"x.json": "1", "other.json": "1"}, file("other.json", "2")),
    ("a file beside one that a function reads", "import json\ndef get(name):\n    with open(name) as h:\n"
     "        return json.load(h)\n# %%\ncfg = get('x.json')\nrate = cfg * 2", "y = rate",
     {"x.json": "1", "other.json": "1"}, file("other.json", "2")),
    ("a table that is as it was", "import pandas as pd\nd = pd.read_csv('x.csv')", "y = int(d.a.sum())",
     {"x.csv": "a\n1\n"}, file("x.csv", "a\n1\n")),
    ("a variable that is set while others are put back", "import os\nfrom unittest import mock",
     "with mock.patch.dict(os.environ, {'WAY_MODE': '9'}): y = os.environ['WAY_MODE']", {}, env("WAY_MODE", "2")),
    ("a variable beside one that a cell asks for", "import os\nmode = os.environ.get('WAY_MODE', '')", "y = mode", {},
     env("WAY_OTHER", "2")),
    ("a variable beside a file that a cell reads", "import os\nmode = os.environ.get('WAY_MODE', '')\n"
     "with open('x.txt') as h: cfg = h.read()", "y = cfg", {"x.txt": "1"}, env("WAY_MODE", "2")),
    ("a file beside a variable that a cell asks for", "import os\nmode = os.environ.get('WAY_MODE', '')\n"
     "with open('x.txt') as h: cfg = h.read()", "y = mode", {"x.txt": "1"}, file("x.txt", "2")),
    ("a file that a cell reads for something else", "cfg = open('x.txt').read()\nrate = 1", "y = rate", {"x.txt": "1"},
     file("x.txt", "2")),
    ("what a library gives to another cell", "import numpy as np\n# %%\na = np.zeros(3)\n# %%\nimport numpy as np",
     "y = float(np.ones(2).sum())", {}, text("zeros(3)", "zeros(4)")),
    ("what a function gives to another cell", "def get(n): return n\na = get(3)", "y = get(1)", {},
     text("get(3)", "get(4)")),
    ("another generator than that of a seed", "import random\nimport numpy as np\nrandom.seed(1)\n"
     "own = np.random.default_rng(0)\na = own.normal(size=3)", "y = random.random()", {}, text("size=3", "size=4")),
    ("names of files beside those that a cell looks for", "import glob, os\nif os.path.isdir('d'):\n"
     "    names = sorted(glob.glob('d/*.txt'))", "y = names", {"d/a.txt": "", "e/a.txt": ""}, inner("e/b.txt", "")),
    ("a file in a folder that is only asked for", "import os\nthere = os.path.isdir('d')",
     "y = there, os.path.isdir('d')", {"d/a.txt": ""}, inner("d/b.txt", "")),
    ("a folder that a cell makes", "import os\nos.makedirs('d', exist_ok=True)\nrate = 1",
     "os.makedirs('d', exist_ok=True)\ny = rate", {}, lambda cells: os.rmdir("d")),
    ("a file beside one that a function of a module reads", "import way_mod\ncfg = way_mod.load_config()", "y = cfg",
     {"way_mod.py": "import json\ndef load_config():\n    with open('x.json') as h: return json.load(h)\n",
      "x.json": "1", "other.json": "1"}, file("other.json", "2")),
    ("a variable beside one whose name is put together", "import os\nk = 'MODE'\n"
     "mode = os.environ.get(f'WAY_{k}', '')", "y = mode", {}, env("WAY_OTHER", "2")),
    ("a module beside one in a folder where a cell has modules looked for", "import sys\nsys.path.append('a')\n# %%\n"
     "import way_mod", "y = way_mod.X\nsys.path.remove('a')", {"a/way_mod.py": "X = 1\n", "b/way_mod.py": "X = 2\n"},
     inner("b/way_mod.py", "X = 3\n")),
    ("a function in a library that the step does not use", "import json, textwrap\ndef f(*a): return 1\n"
     "textwrap.wrap = f", "y = json.dumps([1])", {}, text("return 1", "return 2")),
    ("kinds of types, imported by a cell", "from typing import Any, Callable, List\nn = 1",
     "def f(x: List[int], g: Callable[..., Any] = len): return g(x)\ny = f([1])", {}, text("n = 1", "n = 2")),
    ("kinds that a function of a cell asks for", "import typing\nfrom collections.abc import Sequence\n"
     "def f(x): return isinstance(x, (typing.Generator, Sequence))\nn = 1", "y = f([1])\nt = typing.Generator", {},
     text("n = 1", "n = 2")),
    ("a cell beside an open figure", "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n# %%\n%%step 1\n"
     "fig, ax = plt.subplots()\nn = 2\n# %%\nm = n + 1", "ax.set_title('x')\ny = ax.get_title()\nplt.close('all')", {},
     text("n + 1", "n + 2")),
    ("frames of several steps in a container of a cell", "import pandas as pd\n# %%\n%%step 1\ndf = pd.DataFrame({'a': [1, 2, 3], "
     "'t': list('xyz'), 'k': pd.Categorical(list('xyx')), 'n': pd.array([1, None, 2], dtype='Int64'), "
     "'w': pd.date_range('2020', periods=3, tz='UTC')})\n# %%\n%%step 2\nsub = df[df.a > 1]\nX = df[['a', 't', 'k', 'w']]\n"
     "last = df.n.iloc[::-1]\nby_t = df.set_index('t')\n# %%\nframes = {'all': df, 'sub': sub, 'rest': [X, last, by_t]}\nm = 1",
     "y = len(frames)", {}, text("m = 1", "m = 2")),
    ("a function that opens a file, beside one that writes another", "def put(k):\n    with open('o.txt', 'w') as f: f.write(k)\n"
     "def get():\n    with open('i.txt') as f: return f.read()\nput('1')", "y = get()", {"i.txt": "1"}, cell("z = 1")),
    ("a variable that a function sets, with the seeds", "import os, random\ndef seed(s):\n    random.seed(s)\n"
     "    os.environ['PYTHONHASHSEED'] = str(s)\nseed(1)", "y = random.random()", {}, cell("z = 1")),
    ("a variable that is set from a file", "import os\nfor line in open('x.env'):\n    k, _, v = line.strip().partition('=')\n"
     "    os.environ[k] = v", "y = os.environ['WAY_MODE']", {"x.env": "WAY_MODE=1\n"}, cell("z = 1")),
    ("a variable that is looked at", "import os, pandas as pd", "y = pd.DataFrame().shape", {},
     cell("print(os.environ.get('HOME'))")),
    ("what a model says", "import numpy as np\nfrom sklearn.linear_model import LinearRegression\n# %%\n%%step 1\n"
     "x = np.ones((2, 1))\nm = LinearRegression().fit(x, x)", "y = float(m.coef_[0, 0])", {},
     cell("print(m.predict(x), LinearRegression().fit(x, x).score(x, x))")),
    ("documentation of a class without functions, which nobody reads", "class A:\n    'one'\n    v = 1", "y = A().v", {},
     text("'one'", "'two'")),
    ("what an own coroutine gives", "import asyncio\nasync def get(): return 1\nk = asyncio.run(get())", "y = k", {}, cell("z = 1")),
    # -- cells that only look
    ("a plot", "import matplotlib, pandas as pd\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n# %%\n%%step 1\n"
     "df = pd.DataFrame({'a': [1, 2, 3]})", "y = int(df.a.sum())", {}, cell("plt.plot(df.a)\nplt.close()")),
    ("a look at a frame", "import pandas as pd\n# %%\n%%step 1\ndf = pd.DataFrame({'a': [1, 2, 3]})", "y = int(df.a.sum())", {},
     cell("df.head()\nprint(df.groupby('a').size(), df.describe())\nm = df.isna().sum().sort_values().head(3)")),
    ("functions of libraries that only ask", "import numpy as np, pandas as pd\n# %%\n%%step 1\n"
     "df = pd.DataFrame({'a': [1, 2, 3]})\nd2 = df * 2", "y = int(df.a.sum() + d2.a.sum())", {},
     cell("m = np.mean(df.a)\nboth = pd.concat([df, d2])\nj = df.merge(d2, on='a')")),
    ("a function that only asks", "def show(d, k):\n    part = d.head(k)\n    print(part)\n# %%\n%%step 1\nimport pandas as pd\n"
     "df = pd.DataFrame({'a': [1, 2, 3]})\n# %%\nshow(df, 2)", "y = int(df.a.sum())", {}, text("show(df, 2)", "show(df, 1)")),
    ("a library that a function uses", "import numpy as np\ndef prep(d):\n    return np.log(d)\n# %%\n%%step 1\nx = np.ones(3)",
     "y = float(np.sum(x))", {}, cell("z = prep(3.0)")),
    ("a step that looks more closely", "import pandas as pd\n# %%\n%%step 1\ndf = pd.DataFrame({'a': [1, 2, 3]})\n# %%\n%%step 2\n"
     "k = 1", "y = int(df.a.sum())", {}, text("k = 1", "k = 2; print(df.head()); m = df.a.mean()")),
    ("another parameter of a model", "import numpy as np\nclass Model:\n    def fit(self, x, lr):\n        self.w = float(x.sum()) * lr\n"
     "        return self\n# %%\n%%step 1\nx = np.ones(3)\n# %%\n%%step 2\nm = Model().fit(x, lr=0.1)", "y = float(x.mean())", {},
     text("lr=0.1", "lr=0.2")),
    ("an object that only tells", "class K:\n    def __init__(self, v): self.v = list(v)\n    def __iter__(self): return iter(self.v)\n"
     "    def __len__(self): return len(self.v)\n    def __repr__(self): return f'K({self.v})'\n    @property\n"
     "    def total(self): return sum(self.v)\n# %%\n%%step 1\nk = K([1, 2])\n# %%\nz = 1", "y = k.total", {},
     text("z = 1", "print(k, len(k), k.total, list(k))")),
    ("what a function gives, looked at", "def get(): return b\n# %%\n%%step 1\nb = [1]\n# %%\nx = 1", "y = sum(b)", {},
     text("x = 1", "print(get(), len(get()))")),
    ("what a library gives that nobody knows", "import networkx as nx\n# %%\ng = nx.path_graph(3)",
     "y = nx.number_of_nodes(nx.path_graph(4))", {}, text("path_graph(3)", "path_graph(5)")),
    ("a library that the step imports itself", "import pandas as pd\n# %%\nd = pd.DataFrame({'a': [1]})\npd.to_datetime('2020')",
     "import pandas as pd\ny = len(pd.Series([1]))", {}, text("'2020'", "'2021'")),
    ("what a function has a name for that others have, too", "b = [1]\ndef f(b): b.append(2); return len(b)\n# %%\nx = f([3])",
     "y = sum(b)", {}, text("f([3])", "f([4])")),
    ("code in a text, and variables set by their names", "exec('a = 1\\nb = a')\nglobals()['c'] = b\nvars().update(d=c)\n"
     "for k in ('e', 'f'): globals()[k] = d", "y = e", {}, cell("z = 1")),
    ("data that come with a library", "from sklearn import datasets\nX, t = datasets.load_iris(return_X_y=True)",
     "y = float(X.sum())", {}, cell("z = 1")),
    ("the text of a file that is executed, by a comment", "exec(open('code.py').read())", "y = f()",
     {"code.py": "def f(): return 1\n"}, file("code.py", "# one\ndef f(): return 1\n")),
    ("the text of a file that is executed, elsewhere", "exec(compile(open('code.py').read(), 'code.py', 'exec'))", "y = f()",
     {"code.py": "k = 1\ndef f(): return 1\n"}, file("code.py", "k = 2\ndef f(): return 1\n")),
    ("a generator that has a seed of its own", "import random\nrandom.seed(1)\n# %%\nr = random.Random(1)",
     "y = random.random()", {}, text("Random(1)", "Random(2)")),
    ("a generator of numpy that has a seed of its own", "import random, numpy as np\nrandom.seed(1)\n# %%\n"
     "r = np.random.default_rng(seed=1)", "y = random.random()", {}, text("seed=1", "seed=2")),
    ("an object that may read, and has read nothing", "class K:\n    def read(self): return open('x.txt').read()\n# %%\nk = K()",
     "y = k.read()", {"x.txt": "1"}, cell("z = 1")),
    ("an object of a module that may read, and has read nothing", "import way_mod\n# %%\nk = way_mod.K()", "y = k.read()",
     {"way_mod.py": "class K:\n    def read(self): return open('x.txt').read()\n", "x.txt": "1"}, cell("z = 1")),
    ("a generator that the step uses up", "g = (k * k for k in range(3))", "y = list(g)", {}, cell("z = 1")),
    # -- words of libraries that are the notebook's own
    ("a class called as one that sets options", "class Config: a = 1\nconfig = Config()\noptions = {'a': 1}",
     "import pandas as pd\ny = pd.Series([1]).sum()", {}, text("a = 1", "a = 2")),
    ("keys and arguments called as what seeds", "import random\nrandom.seed(1)\ndef f(seed, k): return seed + k\n# %%\n"
     "d = {'seed': f(1, 2)}\nn = d['seed'] + len(d)", "y = random.random()", {}, text("f(1, 2)", "f(1, 3)")),
    ("functions that a module keeps", "import way_mod, way_reg\nz = 1", "y = way_reg.run()",
     {"way_reg.py": "ALL = {}\ndef add(f):\n    ALL[f.__name__] = f\n    return f\ndef run(): return ALL['one']()\n",
      "way_mod.py": "from way_reg import add\n@add\ndef one(): return 1\n"}, text("z = 1", "z = 2")),
    ("a package that looks for others", "import importlib_metadata", "y = len(importlib_metadata.names('.')) > 0",
     {"site-packages/importlib_metadata.py": "import os\ndef names(path): return os.listdir(path)\n"}, file("x.txt", "1")),
    ("a decorator of the standard library on another function", "import functools\n@functools.singledispatch\n"
     "def f(x): return 1\n@f.register\ndef _(x: int): return 2\n@functools.lru_cache\ndef g(x): return x",
     "y = g(1)", {}, text("return 2", "return 3")),
    ("an option that is a function", "import pandas as pd\npd.options.display.float_format = lambda v: f'{v:.2f}'\nz = 1",
     "y = str(pd.DataFrame({'a': [1.0]}))", {}, text("z = 1", "z = 2")),
    # -- where statements stand
    ("a function further up", "x = 1\n# %%\ndef f(a, b=2): return a + b + x", "y = f(1)", {},
     lambda cells: cells.insert(0, cells.pop(1))),
    ("an import and a number further up", "x = [1]\n# %%\nimport math\nk = 2\nz = math.fsum(x) * k", "y = z", {},
     lambda cells: cells.__setitem__(slice(2), [(None, "import math\nk = 2\nx = [1]"), (None, "z = math.fsum(x) * k")])),
]  # fmt: skip

# always stale, with a word of the reason
NEVER_TOLD: list[tuple[str, str, str, str]] = [
    ("the text of a function", "import inspect\ndef h():\n    return 1  # a", "y = inspect.getsource is None",
     "getsource"),
    ("which classes are derived", "class Base: pass\nclass One(Base): pass", "y = len(Base.__subclasses__())",
     "__subclasses__"),
    ("a program that names no file", "import subprocess", "y = subprocess.run(['true']).returncode", "programs"),
    ("a program that runs the user's code", "import subprocess, sys",
     "y = subprocess.check_output([sys.executable, '-c', 'print(1)'])", "programs"),
    ("a module that reads the notebook",
     "import pathlib\npathlib.Path('way_main.py').write_text('import __main__')\nimport way_main",
     "y = way_main.__main__ is None", "way_main"),
    ("a database by a name that another file has",
     "import json, pathlib, sqlite3\npathlib.Path('x.json').write_text('1')",
     "c = sqlite3.connect(':memory:')\nname = json.loads(pathlib.Path('x.json').read_text())\n"
     "c.execute(f\"attach 'x{name}.db' as o\")\nc.close()\ndel c\ny = 1", "attach"),
    ("a file that was opened as a number",
     "import os, pathlib\npathlib.Path('x.txt').write_text('1')\nf = os.dup2(os.open('x.txt', os.O_RDONLY), 200)",
     "y = os.read(f, 9)", "an open file"),
    ("a folder that was opened as a number", "import os\nf = os.dup2(os.open('.', os.O_RDONLY), 200)",
     "try:\n    y = os.stat('x.txt', dir_fd=f)\nexcept OSError: y = 0", "an open file"),
    ("a module that a finder of the notebook makes", FINDER, "import way_made\ny = way_made.X", "has no file"),
    ("objects that no name leads to", "import gc", "y = any(type(one) is dict for one in gc.get_objects())", "get_objects"),
    ("objects that a module finds",
     "import pathlib\npathlib.Path('way_mod.py').write_text('import gc\\ndef find(): return gc.get_referrers(1)')",
     "import way_mod\ny = len(way_mod.find()) > 0", "get_referrers"),
    ("an object by its address", "import ctypes\nx = [1]",
     "y = ctypes.cast(id(x), ctypes.py_object).value[0]", "py_object"),
    ("a database in memory that has a name", "import sqlite3",
     "c = sqlite3.connect('file:way?mode=memory&cache=shared', uri=True)\nc.close()\ndel c\ny = 1", "in memory"),
    ("memory that processes share", "from multiprocessing import shared_memory",
     "y = shared_memory.SharedMemory is None", "SharedMemory"),
    ("a module that has no file", "import sys, types\nsys.modules['way_made'] = types.ModuleType('way_made')",
     "import way_made\ny = way_made.__name__", "has no file"),
]  # fmt: skip

# Ways by which another name comes to hold what a step changes in place: cells above, what the line `x = 1` becomes, and
# an expression that shows it. The list `b` is of the first step, the second appends to what is in it.
HOLDERS: list[tuple[str, str, str, str]] = [
    ("another name", "", "d = b", "d"),
    ("a part", "", "d = b[0]", "d"),
    ("a copy of the outer list", "", "d = [*b]", "d"),
    ("a container", "d = {}", "d['b'] = b", "d"),
    ("a container of a step", "%%step 2\nd = {}", "d['b'] = b", "d"),
    ("an attribute", "class H: pass\nd = H()", "d.b = b", "d.b"),
    ("an attribute of a class", "class H: pass", "H.b = b", "H.b"),
    ("an attribute of a module", "import colorsys", "colorsys.way = b", "colorsys.way"),
    ("a module of the user's", "import way_mod", "way_mod.keep(b)", "way_mod.kept"),
    ("a default value", "", "def f(v=b): return v", "f()"),
    ("a closure", "def make(v):\n    return lambda: v", "d = make(b)", "d()"),
    ("a list that a function keeps", "def f(x, kept=[]):\n    kept.append(x)\n    return kept", "f(b)", "f(0)"),
    ("a name that a function sets", "def f():\n    global d\n    d = b", "f()", "d"),
    ("a name in a text", "", "exec('d = b')", "d"),
    ("the last of a loop", "", "for d in b: pass", "d"),
    ("a queue", "import queue\nd = queue.Queue()", "d.put_nowait(b)", "list(d.queue)"),
    ("the largest", "import heapq", "d = heapq.nlargest(1, b)", "d"),
    (
        "a frame of objects",
        "import pandas as pd\nf = pd.DataFrame({'a': [0]})",
        "f['a'] = b; d = f.sort_index()",
        "d.a[0]",
    ),
    ("an operator", "class H:\n    def __rshift__(self, x): return x", "d = H() >> b", "d"),
    ("a sign", "class H:\n    def __pos__(self): return b", "d = +H()", "d"),
    ("what a function gives", "def f(): return b", "d = f()", "d"),
    ("what a function picks", "def f(i): return b[i]", "d = [f(i) for i in range(1)]", "d"),
    ("what a generator gives", "def f():\n    yield b", "d = list(f())", "d"),
    ("a cache", "import functools\n@functools.lru_cache\ndef f(n): return b", "f(0)", "f(0)"),
]
# Ways by which another name comes to use a class `C` whose `v` a step sets to 2, and an expression that gives that.
USERS_OF_CLASSES: list[tuple[str, str, str]] = [
    ("another name", "d = C", "d.v"),
    ("an instance", "d = C()", "d.v"),
    ("a container", "d = [C()]", "d[0].v"),
    ("a derived class", "class d(C): pass", "d.v"),
    ("an instance of a derived class", "class D(C): pass\nd = D()\ndel D", "d.v"),
    ("a method", "class C(C):\n    def get(self): return self.v\nd = C().get", "d()"),
    ("a default value", "def f(k=C): return k.v", "f()"),
    ("a closure", "def make(k):\n    return lambda: k.v\nd = make(C)", "d()"),
    ("an attribute of another class", "class D: k = C", "D.k.v"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "project"
    path.mkdir()
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(path)
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.syspath_prepend(str(path / "site-packages"))
    monkeypatch.setattr(textwrap, "wrap", textwrap.wrap)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    # modules of the tests count as the user's own; the project has none of those that other files loaded
    own_modules = owned.own_modules
    others = {*own_modules()}
    monkeypatch.setattr(owned, "own_modules", lambda: [name for name in own_modules() if name not in others])
    rgb_to_hsv = colorsys.rgb_to_hsv
    finders = sys.meta_path[:]
    environ, limit = dict(os.environ), sys.getrecursionlimit()
    errors, files = np.geterr(), len(os.listdir("/dev/fd"))
    yield path
    csv.field_size_limit(131072)
    mock.patch.stopall()
    textwrap.wrap.__defaults__ = (70,)
    if (memory := sys.modules.get("fsspec.implementations.memory")) is not None:
        memory.MemoryFileSystem.store.clear()
    if (pandas := sys.modules.get("pandas")) is not None:
        pandas.reset_option("display.float_format")
        if hasattr(pandas.DataFrame, "way"):
            del pandas.DataFrame.way
    np.seterr(**errors)
    np.seterrcall(None)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.setrecursionlimit(limit)
    decimal.setcontext(decimal.Context())
    colorsys.rgb_to_hsv = rgb_to_hsv
    vars(colorsys).pop("way", None)
    logging.getLogger("way").handlers.clear()
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
    if hasattr(textwrap.TextWrapper, "way"):
        del textwrap.TextWrapper.way
    vars(builtins).pop("way_value", None)
    sys.modules.pop("way_made", None)
    sys.meta_path[:] = finders
    projects.forget_modules(path)
    if len(os.listdir("/dev/fd")) > files:
        gc.collect()  # what cells left open is told of here, where it is ignored


def write(files: dict[str, str] | Edit) -> None:
    if callable(files):
        files([])
        return
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("->"):
            path.symlink_to(content.removeprefix("->"))
        else:
            path.write_text(content)


LAST = 9  # the step that a row is about


def cells_of(above: str, step: str) -> list[tuple[Any, ...]]:
    return [*(cell_of(one) for one in above.split("\n# %%\n") if one), (LAST, step)]


def cell_of(source: str) -> tuple[Any, ...]:
    if not source.startswith("%%step"):
        return None, source
    line, _, code = source.partition("\n")
    return int(line.split()[1]), code


def edited(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> set[int]:
    """The steps whose code differs."""
    return {number for number, _ in {*after} - {*before} if number is not None}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("above", "step", "files", "edit"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_reaches_a_step_makes_it_stale(
    project: Path, above: str, step: str, files: dict[str, str] | Edit, edit: Edit
) -> None:
    write(files)
    cells = cells_of(above, step)
    first = projects.play(project, cells, "none")
    again = projects.play(project, cells, "auto")
    assert again.steps == set(), [again.why(step) for step in again.steps]
    before = list(cells)
    edit(cells)
    foreseen = projects.foresee(project, cells)
    found = projects.play(project, cells, "auto")
    assert found.steps == foreseen >= {LAST, *edited(before, cells)}
    truth = projects.truth(project, cells)["y"]
    assert found.names["y"] == truth != first.names["y"], "the edit changes the result"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("above", "step", "files", "edit"), [row[1:] for row in NOTHING], ids=[row[0] for row in NOTHING]
)
def test_what_does_not_reach_a_step_leaves_it_fresh(
    project: Path, above: str, step: str, files: dict[str, str] | Edit, edit: Edit
) -> None:
    write(files)
    cells = cells_of(above, step)
    projects.play(project, cells, "none")
    before = list(cells)
    edit(cells)
    assert projects.foresee(project, cells) == edited(before, cells)
    assert projects.play(project, cells, "auto").steps == edited(before, cells)


@pytest.mark.parametrize("change", ["plt.title('a')", "d['a'].set_title('a')", "put(d)"])
def test_a_step_runs_that_reads_an_open_figure_which_a_cell_changes_otherwise(project: Path, change: str) -> None:
    setup = (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\ndef put(d): d['a'].set_title('a')"
    )
    cells = [
        (None, setup),
        (1, "d = {}\nd['f'], d['a'] = plt.subplots()"),
        (None, change),
        (2, "y = plt.gca().get_title()"),
    ]
    cells += [(None, "plt.close('all')")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    for at in (0, 2):
        cells[at] = (None, cells[at][1].replace("'a')", "'b')"))
    assert projects.play(project, cells, "auto").names["y"] == "b"


def test_that_a_step_runs_since_a_lost_value_is_read_is_foreseen_with_what_it_makes_of_others(project: Path) -> None:
    cells = [(1, "a = (i for i in [0, 1, 2, 3]); next(a)"), (2, "b = next(a)"), (3, "c = b + 1"), (4, "d = 1")]
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells) == set()  # who reads it is restored
    cells[1] = 2, "b = next(a) + 0"
    assert projects.foresee(project, cells) == {1, 2, 3}
    assert projects.play(project, cells, "auto").steps == {1, 2}  # which gives what it gave


def test_a_step_that_will_run_leaves_what_is_pythons_as_it_is(project: Path) -> None:
    counting = "class C:\n    n = 0\n    def hit(self): type(self).n += 1\nc = C()"
    cells = [(1, counting), (2, "c.hit(); type(c).n += 1"), (3, "kind = type(1).__name__")]
    projects.play(project, cells, "none")
    cells[1] = 2, "c.hit(); type(c).n += 2"
    assert projects.foresee(project, cells) == {2} == projects.play(project, cells, "auto").steps


@pytest.mark.parametrize(
    "act", ["get.way = 1", "get.__defaults__ = (1,)", "get.__kwdefaults__ = {'k': 1}", "Tool.get.__defaults__ = (1,)"]
)
def test_what_a_step_sets_of_functions_of_a_module_is_set_again(project: Path, act: str) -> None:
    text = "def get(n=0, *, k=0): return n, k, vars(get)\nclass Tool:\n    def get(self, n=0): return n\n"
    write({"way_mod.py": text})
    cells = [*cells_of("import way_mod", f"way_mod.{act}"), (None, "y = repr((way_mod.get(), way_mod.Tool().get()))")]
    first = projects.play(project, cells, "none")
    found = projects.play(project, cells, "end")
    assert found.steps == set()
    assert found.names["y"] == first.names["y"] != "((0, 0, {}), 0)"


def test_a_step_runs_that_reads_an_object_which_another_one_now_makes_a_module_keep_otherwise(project: Path) -> None:
    module = "import json\nclass Settings: pass\nkept = None\ndef get():\n    global kept\n    if kept is None:\n"
    module += "        kept = Settings()\n        with open('x.json') as h: vars(kept).update(json.load(h))\n    return kept\n"
    write({"way_mod.py": module, "x.json": '{"a": 1, "b": 1}'})
    cells = cells_of("import way_mod\n# %%\n%%step 1\na = way_mod.get().a", "y = way_mod.get().b")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.json": '{"a": 1, "b": 2}'})
    assert projects.play(project, cells, "auto").names["y"] == 2


@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
def test_a_step_runs_that_reads_a_table_which_a_module_now_keeps_otherwise(project: Path, mark: str) -> None:
    module = "import pandas as pd\nTABLE, MORE = None, {}\ndef load():\n    global TABLE\n"
    module += "    TABLE = pd.read_csv('x.csv'); MORE['x'] = TABLE * 2\n"
    module += "def total(): return int(TABLE.a.sum())\ndef more(): return int(MORE['x'].a.sum())\n"
    write({"way_mod.py": module, "x.csv": "a\n1\n2\n"})
    cells = cells_of(f"{mark}import way_mod\nway_mod.load()", "y = way_mod.total(), way_mod.more()")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.csv": "a\n1\n5\n"})
    assert projects.play(project, cells, "auto").names["y"] == (6, 12)


@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
def test_a_step_runs_that_is_given_a_result_which_was_made_of_what_has_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    module = "import functools, os\n@functools.lru_cache\ndef text(name):\n    with open(name) as h: return h.read()\n"
    module += (
        "class Other:\n    @staticmethod\n    @functools.cache\n    def mode(): return os.environ.get('WAY_MODE')\n"
    )
    write({"way_mod.py": module, "x.txt": "1", "z.txt": "9"})
    first = f"{mark}import way_mod\na = len(way_mod.text('x.txt')), way_mod.Other.mode()"
    cells = [*cells_of(first, "y = way_mod.text('x.txt')"), (10, "z = way_mod.Other.mode()"), (11, "w = 1")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"z.txt": "8"})
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.txt": "2"})
    assert projects.play(project, cells, "auto").names["y"] == "2"
    monkeypatch.setenv("WAY_MODE", "on")
    assert projects.play(project, cells, "auto").names["z"] == "on"


def test_a_function_that_keeps_results_is_found_when_a_module_makes_it_later(project: Path) -> None:
    module = "import functools\nMADE = {}\ndef get():\n    if not MADE: MADE[1] = functools.cache(read)\n"
    write({"way_mod.py": f"{module}    return MADE[1]()\ndef read(): return 1\n"})
    way_mod = importlib.import_module("way_mod")
    results = Results(Files(project), lambda name: {"functools"} if name == "way_mod" else set())
    assert results.count() == results.count() == {}
    way_mod.get()
    assert [*results.count().values()] == [(0, 1)]


# How a module reads something when it is imported, and the edit by which that is something else.
READ_AT_IMPORT = [
    ("os.path.getsize('x.txt')", file("x.txt", "22")),
    ("subprocess.check_output(['cat', 'x.txt'])", file("x.txt", "2")),
    ("os.path.exists('new.txt')", file("new.txt", "1")),
    ("sorted(name for name in os.environ if name.startswith('WAY_'))", env("WAY_MODE", "1")),
    ("importlib.metadata.version('way-dist')", file("way_dist-1.dist-info/METADATA", "Name: way-dist\nVersion: 2\n")),
    ("runpy.run_path('script.py')['V']", file("script.py", "V = 2")),
    ("[*ThreadPoolExecutor(1).map(lambda name: open(name).read(), ['x.' + 'txt'])]", file("x.txt", "2")),
    ("sqlite3.connect('x.db').execute('select a from t').fetchone()", database(2)),
]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
@pytest.mark.parametrize(("value", "edit"), READ_AT_IMPORT, ids=[row[0].partition("(")[0] for row in READ_AT_IMPORT])
def test_a_step_runs_that_uses_a_module_which_reads_something_else_when_it_is_imported(
    project: Path, mark: str, value: str, edit: Edit
) -> None:
    imports = "import importlib.metadata, os, runpy, sqlite3, subprocess\n"
    imports += "from concurrent.futures import ThreadPoolExecutor\n"
    write({"way_mod.py": f"{imports}V = {value}\n", "x.txt": "1", "script.py": "V = 1"})
    write({"way_dist-1.dist-info/METADATA": "Name: way-dist\nVersion: 1\n"})
    database(1)([])
    cells = cells_of(f"{mark}import way_mod\na = 1", "y = way_mod.V")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == projects.foresee(project, cells) == set()
    edit(cells)
    assert LAST in projects.foresee(project, cells)
    found = projects.play(project, cells, "auto")
    assert LAST in found.steps
    assert found.names["y"] == projects.truth(project, cells)["y"]


RUNNING = [
    "import runpy\nfound = runpy.run_path('script.py')['__name__']",
    "text = Path('script.py').read_text()\nspace = {}\nexec(text, space)\ndel space",
    "exec(compile(Path('script.py').read_text(), 'script.py', 'exec'), {})",
    "def run(path): exec(Path(path).read_text(), {})\nrun('script.py')",
]


@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
@pytest.mark.parametrize("way", RUNNING)
def test_steps_run_that_read_what_a_script_sets_otherwise(project: Path, mark: str, way: str) -> None:
    script = "import json, fractions\njson.rate = 1\nfractions.limit = 1"
    write({"script.py": script})
    cells = [
        (None, "import fractions, json\nfrom pathlib import Path"),
        cell_of(f"{mark}{way}"),
        (3, "x = json.rate"),
        (4, "y = 1"),
    ]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"script.py": script.replace("rate = 1", "rate = 2")})
    above = {1} if mark else set()
    assert projects.foresee(project, cells) >= {*above, 3}
    found = projects.play(project, cells, "auto")
    assert found.steps == {*above, 3}
    assert found.names["x"] == 2
    write({"script.py": script.replace("rate = 1", "rate = 2").replace("limit = 1", "limit = 2")})
    assert projects.play(project, cells, "auto").steps == above


def test_what_a_program_made_and_the_step_took_away_is_its_own(project: Path) -> None:
    """As solvers do, which are called with a file of the problem and leave one of the solution."""
    write({"x.txt": "1"})
    step = "subprocess.run(['cp', 'x.txt', 'made'])\nwith open('made') as file: y = file.read()\nos.remove('made')"
    cells = cells_of("import os, subprocess", f"{step}\ndel file")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == projects.foresee(project, cells) == set()
    file("x.txt", "2")(cells)
    assert projects.play(project, cells, "auto").steps == {LAST}


KEEPING_RESULTS = {
    "a method of an abstract class": "class K(abc.ABC):\n    @cache\n    def get(self): return read()\nget = K().get",
    "a method of a class in a class": "class K:\n    class L:\n        @staticmethod\n        @cache\n"
    "        def get(): return read()\nget = lambda: K.L.get()",
    "a function in a dict": "D = {'get': cache(read)}\ndef get(): return D['get']()",
    "a function behind another": "def make():\n    kept = cache(read)\n    def get(): return kept()\n    return get\n"
    "get = make()",
    "an object's own": "class K:\n    def __init__(self): self.get = cache(read)\nk = K()\ndef get(): return k.get()",
    "a partial of one": "get = functools.partial(cache(read), 'x.txt')",
    "a closure": "def make():\n    kept = {}\n    def get():\n        if 1 not in kept: kept[1] = read()\n"
    "        return kept[1]\n    return get\nget = make()",
    "a closure that is bound anew": "def make():\n    kept = None\n    def get():\n        nonlocal kept\n"
    "        if kept is None: kept = read()\n        return kept\n    return get\nget = make()",
}


@pytest.mark.parametrize("module", KEEPING_RESULTS.values(), ids=KEEPING_RESULTS.keys())
def test_a_step_runs_that_is_given_a_result_wherever_the_function_is_that_keeps_it(project: Path, module: str) -> None:
    read = "def read(name='x.txt'):\n    with open(name) as file: return file.read()\n"
    write({"way_mod.py": f"import abc, functools\nfrom functools import cache\n{read}{module}\n", "x.txt": "1"})
    cells = cells_of("import way_mod\n# %%\n%%step 1\na = len(way_mod.get())", "y = way_mod.get()")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.txt": "2"})
    assert LAST in projects.foresee(project, cells)
    assert projects.play(project, cells, "auto").names["y"] == "2"


# Where a module of the user's keeps something that is no attribute of an object of its own; is it restored?
KEPT_ELSEWHERE = {
    "a logger": ("LOG = logging.getLogger('way')\ndef put(v): LOG.kept = v\ndef get(): return LOG.kept", True),
    "a logger without a name": (
        "def put(v): logging.getLogger('way').kept = v\ndef get(): return logging.getLogger('way').kept",
        True,
    ),
    "a member of an enum": (
        "class Color(enum.Enum): RED = 1\ndef put(v): Color.RED.kept = v\ndef get(): return Color.RED.kept",
        True,
    ),
    "a variable of a thread": ("LOC = threading.local()\ndef put(v): LOC.kept = v\ndef get(): return LOC.kept", True),
    "a variable of a context": ("V = ContextVar('V')\ndef put(v): V.set(v)\ndef get(): return V.get()", True),
    "an object among the modules": (
        "def put(v): sys.modules['way_kept'] = SimpleNamespace(kept=v)\n"
        "def get():\n    import way_kept\n    return way_kept.kept",
        False,
    ),
    "a module made by hand": (
        "def put(v):\n    m = sys.modules['way_kept'] = ModuleType('way_kept')\n    m.kept = v\n"
        "def get():\n    import way_kept\n    return way_kept.kept",
        False,
    ),
    "a module that is no other one's": (
        "def put(v):\n    global KEPT\n    KEPT = ModuleType('kept')\n    KEPT.kept = v\nKEPT = None\n"
        "def get(): return KEPT.kept",
        False,
    ),
}


def test_what_a_module_of_its_step_sets_of_signals_and_dialects_comes_back(project: Path) -> None:
    module = "import csv, signal, sys\ndef handle(*_): pass\ndef me(): return sys.modules[__name__]\n"
    module += "def put():\n    signal.signal(signal.SIGUSR2, handle); csv.register_dialect('way', delimiter=';')\n"
    write({"way_mod.py": module})
    read = (
        "import csv, signal\ny = signal.getsignal(signal.SIGUSR2) is way_mod.handle, csv.get_dialect('way').delimiter"
    )
    cells = [(1, "import way_mod\nway_mod.put()"), (2, read)]
    old = signal.getsignal(signal.SIGUSR2)
    try:
        for start in ("none", "end", "2"):
            found = projects.play(project, cells, start)
            assert found.names["y"] == (True, ";")
            assert found.steps == {"none": {1, 2}, "2": {2}}.get(start, set())
            signal.signal(signal.SIGUSR2, old)
            csv.unregister_dialect("way")
    finally:
        signal.signal(signal.SIGUSR2, old)


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Forgets what is kept outside the modules of the project, as a new process would."""

    def forgotten() -> None:
        vars(logging.getLogger("way")).pop("kept", None)
        sys.modules.pop("way_kept", None)

    yield forgotten
    forgotten()


@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
@pytest.mark.parametrize(("module", "is_restored"), KEPT_ELSEWHERE.values(), ids=KEPT_ELSEWHERE.keys())
def test_what_a_module_keeps_elsewhere_comes_back_and_is_told(
    project: Path, forget: Callable[[], None], mark: str, module: str, is_restored: bool
) -> None:
    imports = "import enum, json, logging, sys, threading\nfrom contextvars import ContextVar\n"
    imports += "from types import ModuleType, SimpleNamespace\n"
    load = "def load():\n    with open('x.json') as h: put(json.load(h))\n"
    write({"way_mod.py": f"{imports}{load}{module}\n", "x.json": '{"a": 1}'})
    cells = cells_of(f"import way_mod\n# %%\n{mark}way_mod.load()", "y = way_mod.get()['a']")

    def play(start: str) -> projects.Ran:
        forget()
        return projects.play(project, cells, start)

    play("none")
    runs = {1} if mark and not is_restored else set()
    assert play("auto").steps == runs
    assert play(str(LAST)).names["y"] == 1
    write({"x.json": '{"a": 2}'})
    assert LAST in projects.foresee(project, cells)
    assert play("auto").names["y"] == 2
    assert play("auto").steps == runs


TREES = {
    "site-packages/jax/__init__.py": "from jax import tree_util\nclass Tree:\n    def __init_subclass__(cls):\n"
    "        tree_util.register_pytree_node(cls, lambda one: [one.n])\n",
    "site-packages/jax/tree_util.py": "from jax._src.tree_util import leaves, register_pytree_node\n",
    "site-packages/jax/_src/__init__.py": "",
    "site-packages/jax/_src/tree_util.py": "def make():\n    table = {}\n"  # compiled code has it, for jax
    "    return table.__setitem__, lambda one: table[type(one)](one) if type(one) in table else [one]\n"
    "_keep, leaves = make()\n_registry = {}\n"
    "def register_pytree_node(cls, parts): _keep(cls, parts); _registry[cls] = (parts,)\n",
}


@pytest.fixture
def trees(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library as jax is, which `projects.play` imports anew."""
    write(TREES)
    monkeypatch.syspath_prepend(project / "site-packages")
    for name in ("jax", "jax.tree_util", "jax._src", "jax._src.tree_util"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("trees")
@pytest.mark.parametrize("base", ["", "(jax.Tree)"])
def test_a_step_runs_that_tells_a_library_how_to_take_a_class_apart(project: Path, base: str) -> None:
    told = "" if base else "jax.tree_util.register_pytree_node(Own, lambda one: [one.n])"
    cells = [
        (None, "import jax"),
        (1, f"class Own{base}:\n    def __init__(self, n): self.n = n\n{told}"),
        (2, "own = Own(3)"),
        (3, "y = jax.tree_util.leaves(own)"),
    ]
    projects.play(project, cells, "none")
    for start in ("auto", "3"):
        found = projects.play(project, cells, start)
        assert found.names["y"] == [3]
        assert found.steps == {"auto": {1}, "3": {1, 3}}[start]
        assert "cannot be restored" in found.why(1) and "take apart" in found.why(1)


@pytest.mark.usefixtures("trees")
def test_a_step_runs_where_a_cell_tells_a_library_otherwise_how_to_take_a_class_apart(project: Path) -> None:
    own = "class Own:\n    def __init__(self, n): self.n = n\njax.tree_util.register_pytree_node(Own, lambda one: [one.n])"
    cells = cells_of(f"import jax\n# %%\n{own}\n# %%\nown = Own(3)", "y = jax.tree_util.leaves(own)")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    more = [*cells[:-1], (None, "class More(jax.Tree): pass"), cells[-1]]  # it tells nothing of others
    assert projects.play(project, more, "auto").steps == set()
    text("[one.n]", "[one.n, 0]")(cells)
    found = projects.play(project, cells, "auto")
    assert found.steps == {LAST} and found.names["y"] == [3, 0]


def test_a_step_runs_that_is_given_what_an_object_of_a_module_keeps_since_a_cell_called_it(project: Path) -> None:
    module = "class Memo:\n    def __init__(self, f): self.f = f; self.kept = {}\n"
    module += "    def __call__(self, *args):\n        if args not in self.kept: self.kept[args] = self.f(*args)\n"
    module += (
        "        return self.kept[args]\n@Memo\ndef text(name):\n    with open(name) as file: return file.read()\n"
    )
    write({"way_mod.py": module, "x.txt": "1"})
    cells = cells_of("import way_mod\n# %%\na = len(way_mod.text('x.txt'))", "y = way_mod.text('x.txt')")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.txt": "2"})
    assert LAST in projects.foresee(project, cells)
    assert projects.play(project, cells, "auto").names["y"] == "2"


def test_a_step_runs_that_uses_a_module_which_another_one_imports_by_a_name_it_makes(project: Path) -> None:
    write({"way_mod.py": "import importlib\ndef get(): return importlib.import_module('way_' + 'late').V\n"})
    write({"way_late.py": "V = 1\n"})
    cells = cells_of("import way_mod\n# %%\n%%step 1\na = way_mod.get() * 0", "y = way_mod.get()")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"way_late.py": "V = 2\n"})
    assert LAST in projects.foresee(project, cells)
    assert projects.play(project, cells, "auto").names["y"] == 2


def test_a_step_runs_that_reads_what_a_module_now_sets_otherwise_in_a_library(project: Path) -> None:
    module = "import json as j\ndef load():\n    with open('x.txt') as h: j.way_total = int(h.read())\n"
    write({"way_mod.py": module + "def total(): return j.way_total\n", "x.txt": "1"})
    cells = cells_of("%%step 1\nimport way_mod\nway_mod.load()", "y = way_mod.total()")
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    write({"x.txt": "2"})
    assert projects.play(project, cells, "auto").names["y"] == 2


def test_a_step_runs_that_reads_what_another_one_now_writes_otherwise_in_memory(project: Path) -> None:
    put = "with fsspec.open('memory://way.txt', 'w') as f: f.write('1')\ndel f"
    cells = cells_of(f"import fsspec\n# %%\n%%step 1\n{put}", "y = fsspec.filesystem('memory').cat('/way.txt')")
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells) == {1}  # its file cannot be put back
    text("'1'", "'2'")(cells)
    assert projects.foresee(project, cells) == {1, LAST}
    sys.modules["fsspec.implementations.memory"].MemoryFileSystem.store.clear()  # as in a new process
    assert projects.play(project, cells, "auto").names["y"] == b"2"


@pytest.mark.parametrize(("above", "step", "why"), [row[1:] for row in NEVER_TOLD], ids=[row[0] for row in NEVER_TOLD])
def test_what_cannot_be_told_is_stale(project: Path, above: str, step: str, why: str) -> None:
    cells = cells_of(above, step)
    projects.play(project, cells, "none")
    found = projects.play(project, cells, "auto")
    assert found.steps == {LAST} and why in found.why(LAST)


@pytest.mark.parametrize(("above", "edit", "shown"), [row[1:] for row in HOLDERS], ids=[row[0] for row in HOLDERS])
def test_a_step_runs_whose_changes_another_name_would_not_see(project: Path, above: str, edit: str, shown: str) -> None:
    write({"way_mod.py": "kept = []\ndef keep(x):\n    kept.append(x)\n"})
    first = f"{above}\n# %%\n" if above else ""
    cells = [*cells_of(f"{first}%%step 1\nb = [[1]]\n# %%\nx = 1", "b[0].append(2)"), (None, "r = 0")]
    projects.play(project, cells, "none")
    text("x = 1", edit)(cells)
    text("r = 0", f"r = repr({shown})")(cells)
    assert LAST in projects.foresee(project, cells)
    stored = projects.copy(project / ".ckpt", project.parent / "stored")
    for start in ("auto", "end"):
        shutil.rmtree(project / ".ckpt")
        projects.copy(stored, project / ".ckpt")
        found = projects.play(project, cells, start)
        assert LAST in found.steps
        assert "[1, 2]" in found.names["r"]
    assert projects.play(project, cells, "auto").steps == set()


@pytest.mark.parametrize(
    ("above", "step", "edit"),
    [
        ("from way_mod import kept", "kept.append(2)", "import way_mod; d = way_mod.kept"),
        ("import way_mod", "way_mod.kept.append(2)", "d = way_mod.kept"),
        ("import way_mod", "way_mod.kept.append(2)", "d = way_mod.get()"),
        ("from way_mod import get, put\n# %%\n%%step 1\nb = [1]\nput(b)\n# %%", "b.append(2)", "d = get()[-1]"),
    ],
)
def test_a_step_runs_whose_changes_to_a_module_another_name_would_not_see(
    project: Path, above: str, step: str, edit: str
) -> None:
    write({"way_mod.py": "kept = [1]\ndef get(): return kept\ndef put(x): kept.append(x)\n"})
    cells = [*cells_of(f"{above}\nx = 1", step), (None, "r = 0")]
    projects.play(project, cells, "none")
    text("x = 1", edit)(cells)
    text("r = 0", "r = repr(d)")(cells)
    assert LAST in projects.foresee(project, cells)
    assert projects.play(project, cells, "auto").names["r"] == "[1, 2]"


def test_names_of_a_module_that_are_one_object_now_see_what_a_step_changes(project: Path) -> None:
    write({"way_mod.py": "A = [1]\nB = [1]\n"})
    cells = [*cells_of("from way_mod import *", "A.append(2)"), (None, "r = repr(B)")]
    projects.play(project, cells, "none")
    write({"way_mod.py": "A = [1]\nB = A\n"})
    assert projects.play(project, cells, "auto").names["r"] == "[1, 2]"


@pytest.mark.parametrize("edit", ["d = [[1]]", "d = [list(b[0])]", "pass"])
def test_a_step_runs_whose_changes_another_name_would_see(project: Path, edit: str) -> None:
    cells = [*cells_of("d = [[1]]\n# %%\n%%step 1\nb = [[1]]\n# %%\nd = b", "b[0].append(2)"), (None, "r = repr(d)")]
    projects.play(project, cells, "none")
    text("d = b", edit)(cells)
    found = projects.play(project, cells, "auto")
    assert LAST in found.steps
    assert found.names["r"] == "[[1]]"


def test_names_that_hold_nothing_of_what_a_step_changes_leave_it_fresh(project: Path) -> None:
    cells = cells_of("%%step 1\nb = [[1]]\n# %%\nx = 1", "b[0].append(2)")
    projects.play(project, cells, "none")
    text("x = 1", "n = len(b); d = [list(one) for one in b]; t = str(b)")(cells)
    assert projects.play(project, cells, "auto").steps == set()


@pytest.mark.parametrize(
    ("edit", "shown"), [row[1:] for row in USERS_OF_CLASSES], ids=[row[0] for row in USERS_OF_CLASSES]
)
def test_a_step_runs_that_changes_a_class_which_another_name_uses(project: Path, edit: str, shown: str) -> None:
    cells = [*cells_of("class C:\n    v = 1\n# %%\nx = 1", "C.v = 2"), (None, "r = 0")]
    projects.play(project, cells, "none")
    text("x = 1", edit)(cells)
    text("r = 0", f"r = {shown}")(cells)
    assert LAST in projects.foresee(project, cells)
    found = projects.play(project, cells, "auto")
    assert LAST in found.steps
    assert found.names["r"] == 2


def test_a_step_runs_whose_changes_a_name_bound_with_it_would_not_see(project: Path) -> None:
    cells = [*cells_of("a = []; b = []", "a.append(1)"), (None, "r = repr(b)")]
    projects.play(project, cells, "none")
    text("a = []; b = []", "a = b = []")(cells)
    assert LAST in projects.foresee(project, cells)
    found = projects.play(project, cells, "auto")
    assert LAST in found.steps
    assert found.names["r"] == "[1]"


@pytest.mark.parametrize(
    "draws", ["torch.rand(1)", "nn.Linear(2, 1)", "stats.norm.rvs()", "[one for one in DataLoader(x, shuffle=True)]"]
)
def test_what_draws_without_a_word_of_chance_is_told_to_draw(project: Path, draws: str) -> None:
    cells = cells_of("import random\nrandom.seed(1)\n# %%\nx = 1", "y = random.random()")
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells) == set()
    text("x = 1", draws)(cells)
    assert LAST in projects.foresee(project, cells)


def test_a_function_given_as_a_key_is_called(project: Path) -> None:
    cells = cells_of("kept = [5]\ndef f(v):\n    kept.append(v)\n    return v\n# %%\nx = 1", "y = list(kept)")
    projects.play(project, cells, "none")
    text("x = 1", "x = max([1, 2], key=f)")(cells)
    assert LAST in projects.foresee(project, cells)
    assert projects.play(project, cells, "auto").steps == {LAST}


COUNTER = (
    "def make():\n    n = [0]\n    def up(): n[0] += 1; return n[0]\n    def get(): return n[0]\n    return up, get\n"
)
CHANGED_BY_A_STEP = [
    # what it is, the cell above, what the step does after the edit, and the step that reads it
    ("a closure", f"{COUNTER}up = make()[0]", "up()", "up()"),
    ("a closure, by a function", f"{COUNTER}up = make()[0]\ndef h(): return up()", "h()", "h()"),
    ("the closure of two functions", f"{COUNTER}up, get = make()", "up()", "get()"),
    ("a member of an enum", "import enum\nclass E(enum.Enum):\n    A = 1\nE.A.note = 0", "E.A.note = 1", "E.A.note"),
    ("a class that counts those below it",
     "class B:\n    seen = []\n    def __init_subclass__(cls): B.seen.append(1)", "class C(B): pass", "len(B.seen)"),
    ("a class that counts those of its kind",
     "class M(type):\n    seen = []\n    def __new__(meta, *args): M.seen.append(1); return super().__new__(meta, *args)",
     "class C(metaclass=M): pass", "len(M.seen)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("above", "act", "value"), [row[1:] for row in CHANGED_BY_A_STEP], ids=[row[0] for row in CHANGED_BY_A_STEP]
)
@pytest.mark.parametrize("by_step", [True, False])
def test_what_a_definition_holds_is_another_value_when_the_step_or_cell_before_changes_it(
    project: Path, above: str, act: str, value: str, by_step: bool
) -> None:
    first = 1 if by_step else None
    cells = [(None, above), (first, "z = 1"), (2, f"y = {value}")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    cells[1] = first, f"z = 1\n{act}"
    wanted = {1, 2} if by_step else {2}
    assert projects.foresee(project, cells) == wanted
    found = projects.play(project, cells, "auto")
    assert found.steps == wanted
    assert found.names["y"] == projects.truth(project, cells)["y"]


@pytest.mark.parametrize(
    ("above", "act"),
    [
        ("class A:\n    n = 1\nk = A()", "A.n = 2"),
        ("class A:\n    n = 1\nclass B(A): pass\nk = B", "A.n = 2"),
        ("class A:\n    n = 1\nk = A()", "def put(): setattr(A, 'n', 2)\nput()"),
    ],
)
def test_a_step_that_is_put_in_and_changes_a_class_changes_its_objects(project: Path, above: str, act: str) -> None:
    cells = [(1, above), (3, "y = k.n")]
    projects.play(project, cells, "none")
    cells.insert(1, (2, act))
    assert projects.foresee(project, cells) == {2, 3}
    assert projects.play(project, cells, "auto").names["y"] == 2


@pytest.mark.parametrize(
    ("above", "value"),
    [
        ("import pandas as pd\nk = pd.DataFrame({'a': [1]})", "int(k.a[0])"),
        ("import functools\nk = functools.partial(max, 1, 0)", "k()"),
        ("k = [{1: 'a'}, (2,)]", "k[0][1]"),
    ],
)
def test_a_cell_that_is_marked_as_a_step_runs_those_below_only_if_it_gives_something_else(
    project: Path, above: str, value: str
) -> None:
    step = (2, f"y = {value}")
    projects.play(project, [(None, above), step], "none")
    assert projects.play(project, [(1, above), step], "auto").steps == {1}
    cells = [(1, above.replace("1", "3")), (2, step[1].replace("[1]", "[3]"))]
    assert projects.play(project, cells, "auto").names["y"] == projects.truth(project, cells)["y"]


@pytest.mark.parametrize(("act", "value"), [("colorsys.zz = 1", "colorsys.zz"), ("random.random()", "random.random()")])
def test_a_plan_misses_a_step_that_set_or_drew_what_another_one_finds(project: Path, act: str, value: str) -> None:
    setup = (1, "import colorsys, random\nrandom.seed(1)\ncolorsys.zz = 0")
    cells = [setup, (2, act), (3, f"y = {value}")]
    try:
        projects.play(project, cells, "none")
        assert projects.foresee(project, cells) == projects.play(project, cells, "auto").steps == set()
    finally:
        vars(colorsys).pop("zz", None)
    assert projects.foresee(project, [cells[0], cells[2]]) == {3}
    assert projects.foresee(project, [cells[0], cells[2], cells[1]]) >= {3}


def test_a_step_runs_that_reads_a_name_which_means_another_module_since_the_step_above(project: Path) -> None:
    """Modules are looked at once, for all steps that read them."""
    cells = [(None, "import math as m"), (1, "a = m.sqrt(4)"), (None, "import math as m"), (2, "b = m.sqrt(9)")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "end").steps == set()
    cells[2] = None, "import cmath as m"
    assert projects.play(project, cells, "end").steps == {2}


REGISTERS = {
    "an accessor": "@pd.api.extensions.register_dataframe_accessor('way_of')\nclass Way:\n"
    "    def __init__(self, frame): self.frame = frame\n    def total(self): return int(self.frame.a.sum()) * factor\n",
    "a method": "def way_of(self): return int(self.a.sum()) * factor\npd.DataFrame.way_of = way_of\n",
}


@pytest.mark.parametrize("registers", REGISTERS.values(), ids=REGISTERS.keys())
@pytest.mark.parametrize("start", ["auto", "end"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("ways_of_frames.factor = 2", "ways_of_frames.factor = 3"),
        ("ways_of_frames.factor = 2", "pass"),
        ("pass", "ways_of_frames.factor = 3"),
    ],
)
def test_a_step_runs_that_calls_what_a_module_put_into_a_library_since_that_reads_another_value(
    project: Path, registers: str, start: str, first: str, then: str
) -> None:
    pandas: Any = importlib.import_module("pandas")
    (project / "ways_of_frames.py").write_text(f"import pandas as pd\nfactor = 1\n{registers}")
    call = "frame.way_of.total()" if "total" in registers else "frame.way_of()"
    above = "import pandas as pd, ways_of_frames\nframe = pd.DataFrame({'a': [1, 2]})"
    cells = [(None, above), (None, first), (1, f"y = {call}")]

    def anew() -> None:
        if "way_of" in vars(pandas.DataFrame):
            del pandas.DataFrame.way_of
        pandas.DataFrame._accessors.discard("way_of")

    try:
        projects.play(project, cells, "none")
        anew()
        assert projects.foresee(project, cells, start) == projects.play(project, cells, start).steps == set()
        cells[1] = None, then
        anew()
        assert projects.foresee(project, cells, start) == {1}
        found = projects.play(project, cells, start)
        assert found.steps == {1}
        anew()
        assert found.names["y"] == projects.truth(project, cells)["y"]
    finally:
        anew()


@pytest.mark.parametrize("start", ["auto", "end"])
@pytest.mark.parametrize("act", ["way_one.x = 3", "pass"])
def test_a_step_runs_only_if_it_goes_through_the_module_in_which_a_cell_sets_something(
    project: Path, start: str, act: str
) -> None:
    (project / "way_one.py").write_text("x = 1\n")
    (project / "way_two.py").write_text("def f(): return 5\n")
    (project / "way_three.py").write_text("import way_one\ndef g(): return way_one.x\n")
    above = (None, "import way_one, way_two, way_three")
    steps = [(1, "a = way_two.f()"), (2, "b = way_three.g()"), (3, "c = [way_three.g, 1]"), (4, "d = len('d')")]
    cells = [above, (None, "way_one.x = 2"), *steps]
    projects.play(project, cells, "none")
    assert projects.foresee(project, cells, start) == projects.play(project, cells, start).steps == set()
    cells[1] = None, act
    assert projects.foresee(project, cells, start) == {2, 3}
    found = projects.play(project, cells, start)
    assert found.steps == {2, 3}
    assert found.names["b"] == projects.truth(project, cells)["b"]


LARGE = {
    "a list": ("[C() for _ in range(20_000)]", "[-1]"),
    "a dict": ("{i: C() for i in range(20_000)}", "[5]"),
    "a list of lists": ("[[C()] for _ in range(20_000)]", "[-1][0]"),
    "one of many": ("[0] * 20_000 + [C()]", "[-1]"),
    "an array": ("np.array([0] * 20_000 + [C()], object)", "[-1]"),
}


@pytest.mark.parametrize(("value", "item"), LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("is_own", [True, False], ids=["of a module", "of the notebook"])
def test_a_step_runs_whose_large_data_are_of_a_class_that_was_edited(
    project: Path, value: str, item: str, is_own: bool
) -> None:
    def notebook(number: int) -> projects.Cells:
        definition = f"class C:\n    def m(self): return {number}\n"
        if is_own:
            (project / "way_large.py").write_text(definition)
            definition = "from way_large import C\n"
        return [(None, f"import numpy as np\n{definition}"), (1, f"large = {value}"), (2, f"y = large{item}.m()")]

    projects.play(project, cells := notebook(1), "none")
    assert projects.play(project, cells, "auto").steps == set()
    cells = notebook(22)
    assert projects.foresee(project, cells) == {1, 2}
    found = projects.play(project, cells, "auto")
    assert found.steps == {1, 2}
    assert found.names["y"] == 22


def test_steps_below_one_that_is_restored_with_a_number_are_not_said_to_run(project: Path) -> None:
    (project / "way_kept.py").write_text("def f(): return [1]\n")
    cells = [(None, "import way_kept"), (1, "a = way_kept.f()"), (2, "b = len(a)")]
    projects.play(project, cells, "none")
    (project / "way_kept.py").write_text("def f(): return [1, 2]\n")
    assert projects.foresee(project, cells) == {1, 2}
    assert projects.foresee(project, cells, "end") == projects.play(project, cells, "end").steps == set()


GIVEN = {
    "a function that another module keeps": ("way_keeps.add(way_given.f)", "way_keeps.run()"),
    "an attribute of a class of another module": ("way_keeps.Base.hook = way_given.f", "way_keeps.Base().hook()"),
    "an object in another module": ("way_keeps.impl = way_given.C()", "way_keeps.use()"),
    "a module in another one": ("way_given.m = way_given.f\nway_keeps.impl = way_given", "way_keeps.use()"),
    "a function in a library": ("json.JSONEncoder.default = way_given.f", "json.dumps({'a': object})"),
    "many functions that another module keeps": (
        "for n in range(1100): way_keeps.add(len)\nway_keeps.add(way_given.f)",
        "way_keeps.last()",
    ),
}


@pytest.mark.parametrize(("given", "value"), GIVEN.values(), ids=GIVEN.keys())
@pytest.mark.parametrize("mark", ["%%step 1\n", ""], ids=["by a step", "by a cell"])
def test_a_step_runs_since_a_module_that_was_given_to_another_one_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch, given: str, value: str, mark: str
) -> None:
    monkeypatch.setattr(json.JSONEncoder, "default", json.JSONEncoder.default)
    before = json.JSONEncoder.default
    text = "factor = 1\ndef f(*a): return factor\nclass C:\n    def m(self): return f()\n"
    (project / "way_given.py").write_text(text)
    (project / "way_keeps.py").write_text(
        "kept = []\nadd = kept.append\nimpl = None\nclass Base: hook = None\n"
        "def run(): return [f() for f in kept]\ndef last(): return kept[-1]()\ndef use(): return impl.m()\n"
    )

    def anew() -> None:
        json.JSONEncoder.default = before  # type: ignore[method-assign]

    above = "import json, way_given, way_keeps"
    cells = [(None, above), (None, "way_given.factor = 2"), (1 if mark else None, given), (2, f"y = {value}")]
    projects.play(project, cells, "none")
    anew()
    assert projects.play(project, cells, "auto").steps == set()
    edited = [*cells]
    edited[1] = None, "way_given.factor = 3"
    for start in ("end", "auto"):
        anew()
        copied = projects.copy(project, project.with_name(start))
        found = projects.play(project, edited, start)
        assert 2 in found.steps
        anew()
        assert found.names["y"] == projects.truth(project, edited)["y"]
        shutil.rmtree(project / ".ckpt")
        shutil.copytree(copied / ".ckpt", project / ".ckpt")
    (project / "way_given.py").write_text(text.replace("return factor", "return factor + 1"))
    anew()
    assert 2 in projects.foresee(project, cells)
    found = projects.play(project, cells, "auto")
    assert 2 in found.steps
    anew()
    assert found.names["y"] == projects.truth(project, cells)["y"]
    anew()
