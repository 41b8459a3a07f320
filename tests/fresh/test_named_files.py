"""Files that a library opens behind Python's back count where the code names them, whatever library it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_magic.steps import inputs, unseen
from ckpt_magic.values import owned
from tests.fresh import project as projects

READER = """\
import ctypes
libc = ctypes.CDLL(None)
def load(path):
    file, bytes_ = libc.open(str(path).encode(), 0), ctypes.create_string_buffer(100)
    count = libc.read(file, bytes_, 100)
    libc.close(file)
    return bytes_.raw[:count].decode()
def load_all(folder):
    with open(f"{folder}/config") as file:
        return load(f"{folder}/{file.read()}.txt")
def save(path, text):
    libc.close(libc.creat(str(path).encode(), 0o600))
    file = libc.open(str(path).encode(), 1)
    libc.write(file, text.encode(), len(text))
    libc.close(file)
"""

LOAD = "ckpt_reader.load"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (project := tmp_path / "project").mkdir()
    for folder in (tmp_path / "site-packages", project):
        folder.mkdir(exist_ok=True)
        monkeypatch.syspath_prepend(str(folder))
    (tmp_path / "site-packages" / "ckpt_reader.py").write_text(READER)
    (project / "ckpt_own.py").write_text(
        "import ckpt_reader\ndef load(path):\n    return ckpt_reader.load(path)\n"
        "def load_it():\n    return load('data.txt')\n"
    )
    (project / "parts").mkdir()
    for file in ("data.txt", "parts/data.txt"):
        (project / file).write_text("one")
    (project / "parts" / "config").write_text("data")
    monkeypatch.chdir(project)
    yield project
    projects.forget_modules(project)


@pytest.mark.parametrize(
    "cells",
    [
        [(2, "import ckpt_reader\nx = ckpt_reader.load('data.txt')")],
        [(1, "path = 'data.txt'"), (2, "import ckpt_reader\nx = ckpt_reader.load(path)")],
        [(None, "folder = 'parts'"), (2, "from ckpt_reader import load\nx = load(f'{folder}/data.txt')")],
        [(2, "from ckpt_reader import load\nname = 'data'\nx = load(f'parts/{name}.txt')")],
        [
            (None, "import ckpt_reader"),
            (2, "import os\nx = ckpt_reader.load('data.txt') if os.path.exists('data.txt') else ''"),
        ],
        [(1, "import ckpt_own"), (2, "x = ckpt_own.load('data.txt')")],
        [(None, "import ckpt_reader, ckpt_own"), (2, "x = ckpt_own.load_it()")],
        [
            (None, "import ckpt_reader, types\nall = {'a': types.SimpleNamespace(b=['data.txt'])}"),
            (2, f"x = {LOAD}(all['a'].b[0])"),
        ],
        [(None, f"import ckpt_reader\ndef load(path='data.txt'):\n    return {LOAD}(path)"), (2, "x = load()")],
        [(None, "import ckpt_reader\nclass All:\n    path = 'data.txt'"), (2, f"x = {LOAD}(All.path)")],
        [
            (None, f"import ckpt_reader\ndef load():\n    return [{LOAD}(one) for one in ('data.txt', 'none')][0]"),
            (2, "x = load()"),
        ],
        [
            (
                None,
                f"import ckpt_reader\ndef loader(path):\n    return lambda: {LOAD}(path)\nload = loader('data.txt')",
            ),
            (2, "x = load()"),
        ],
        [(2, "import ckpt_reader\nx = ckpt_reader.load_all('parts')")],
    ],
    ids=[
        "plain",
        "by a variable",
        "in a folder",
        "all of a folder",
        "looked for",
        "by a module",
        "in a module",
        "deep",
        "by default",
        "of a class",
        "one of several",
        "in a closure",
        "beside another",
    ],
)
def test_a_file_that_the_code_names_makes_the_step_stale(project: Path, cells: projects.Cells) -> None:
    assert projects.play(project, cells, "none").names["x"] == "one"
    assert projects.play(project, cells, "auto").steps == set()

    for file in project.rglob("data.txt"):
        file.write_text("another")

    found = projects.play(project, cells, "auto")
    assert found.steps == {2} and found.names["x"] == "another"


def test_a_file_that_such_a_library_writes_is_not_one_that_it_read(project: Path) -> None:
    cells = [(1, "import ckpt_reader\nckpt_reader.save('new.txt', 'text')"), (2, "x = ckpt_reader.load('new.txt')")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()

    (project / "new.txt").unlink()

    assert projects.play(project, cells, "auto").steps >= {1}


def test_files_that_a_pattern_stands_for_count(project: Path) -> None:
    cells = [(1, "import glob, ckpt_own\nfrom ckpt_reader import load\nx = [*map(load, glob.glob('parts/*.txt'))]")]
    projects.play(project, cells, "none")
    (project / "parts" / "data.txt").write_text("another")
    assert projects.play(project, cells, "auto").names["x"] == ["another"]


def test_a_matrix_that_scipy_reads_counts(project: Path) -> None:
    cells = [(1, "from scipy.io import mmread\nx = mmread('m.mtx').sum()")]
    text = "%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 {}\n"
    (project / "m.mtx").write_text(text.format(2))
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()

    (project / "m.mtx").write_text(text.format(3))

    assert projects.play(project, cells, "auto").names["x"] == 3


def test_files_of_others_do_not_count_where_a_step_writes_itself_or_says_a_star(project: Path) -> None:
    writes = "\nwith open('out/plots/mine.txt', 'w') as file:\n    file.write('x')"
    others = ["out/plots/more.txt", "more.txt", ".more"]
    cells = [
        (1, "import os, ckpt_reader\nos.makedirs('out/plots', exist_ok=True)"),
        (2, f"import ckpt_reader\nplace = 'out/plots'{writes}"),
        (3, "import ckpt_reader\nline = '*' * 10\npattern = '.*'"),
        *(
            (None, f"import time\nwith open('{name}', 'w') as file:\n    file.write(str(time.time_ns()))")
            for name in others
        ),
    ]
    for _ in range(2):  # the second time the folder is there
        projects.play(project, cells, "none")

    assert projects.play(project, cells, "auto").steps == set()
    assert projects.play(project, cells, "auto").steps == set()


@pytest.mark.parametrize(
    ("above", "held"),
    [
        ("import logging\nlog = logging.getLogger('named_t')\nlog.addHandler(logging.FileHandler('run.log'))", "log"),
        ("import sys", "sys.path"),
        ("import os\nos.environ['PWD_T'] = os.getcwd() + '/'", "os.environ"),
    ],
    ids=["where a logger writes", "where modules are", "the environment"],
)
def test_files_do_not_count_that_only_python_itself_holds_the_names_of(project: Path, above: str, held: str) -> None:
    logs = "import time\nwith open('run.log', 'a') as file:\n    file.write(str(time.time_ns()))"
    cells: projects.Cells = [
        (None, f"{above}\nbox = {{'held': [{held}]}}\n{logs}"),
        (1, "import ckpt_reader\nx = len(box)"),
    ]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (
            "folder = str(__import__('pathlib').Path.cwd())",
            "[folder + '/' + 'parts' + '/' + name + '.csv' for name in N]",
        ),
        ("folder = '.'", "[f'{folder}/parts/{name}.csv' for name in N]"),
        ("folder = 'parts/'", "[folder + name + '.csv' for name in N]"),
        ("import os\nfolder = 'parts'", "[os.path.join(folder, name + '.csv') for name in N]"),
    ],
)
def test_a_path_that_is_put_together_from_pieces_leads_to_its_file(project: Path, text: str, paths: str) -> None:
    """A piece `/` is the folder of all files of the machine, none of which is meant."""
    pytest.importorskip("polars")
    (project / "parts" / "a.csv").write_text("x\n1\n")
    reading = f"import polars as pl\nx = [pl.read_csv(path)['x'].sum() for path in {paths}]"
    cells = [(None, f"{text}\nN = ['a']"), (1, reading)]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()

    (project / "parts" / "a.csv").write_text("x\n2\n")

    assert projects.play(project, cells, "auto").names["x"] == [2]


@pytest.mark.parametrize("name", ["f'{1}.csv'", "f'{1}_part.csv'"])
def test_a_name_whose_beginning_no_text_has_cannot_be_told(project: Path, name: str) -> None:
    """That another one is there which ends likewise means nothing."""
    pytest.importorskip("polars")
    for file in ("1.csv", "1_part.csv", "b.csv"):
        (project / file).write_text("x\n1\n")
    cells = [(1, f"import polars as pl\nx = [pl.read_csv(one)['x'].sum() for one in ('b.csv', {name})]")]
    projects.play(project, cells, "none")
    assert "which files `read_csv` reads cannot be told" in projects.play(project, cells, "auto").why(1)


def test_of_a_folder_with_very_many_files_it_cannot_be_told_which_one_is_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("polars")
    monkeypatch.setattr(inputs, "_MOST", 5)
    for number in range(9):
        (project / "parts" / f"{number}.csv").write_text("x\n1\n")
    cells = [(1, "import polars as pl\nx = pl.read_csv('parts/' + str(2 + 1) + '.csv')['x'].sum()")]
    projects.play(project, cells, "none")
    assert "which files `read_csv` reads cannot be told" in projects.play(project, cells, "auto").why(1)
    cells = [(1, "import ckpt_reader\nx = ckpt_reader.load('parts/' + str(2 + 1) + '.csv')")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()


def test_a_lone_slash_means_no_folder(project: Path) -> None:
    assert inputs.Files(project).mentioned(["/", "//", "tmp", "**"], ["/"]).paths != []
    assert all(
        path.startswith(str(project)) for path in inputs.Files(project).mentioned(["/", "//", "tmp"], ["/"]).paths
    )


@pytest.mark.parametrize(
    ("code", "is_told"),
    [
        ("import pandas as pd, polars as pl\nx = pd.read_csv(str(1) + '.csv')['x'].sum()", True),
        ("from pandas import read_csv\nimport polars as pl\nx = read_csv(f'{1}.csv')['x'].sum()", True),
        ("import polars as pl\nx = pd.read_csv(f'{1}.csv')['x'].sum()", True),
        ("import polars as pl\nx = pl.read_csv(f'{1}.csv')['x'].sum() + len(pd.read_csv('b.csv')) - 1", False),
        ("import polars as pd\nx = pd.read_csv(f'{1}.csv')['x'].sum()", False),
        ("import polars as pl\npd = pl\nx = pd.read_csv(f'{1}.csv')['x'].sum()", False),
        ("import polars as pl\nx = pd.read_csv('b.csv').size * getattr(pl, 'read_csv')(f'{1}.csv')['x'].sum()", False),
        ("import polars as pl\nx = pd.read_csv('b.csv').size * load(pl, f'{1}.csv')['x'].sum()", False),
        ("from polars import *\nx = pd.read_csv('b.csv').size * read_csv(f'{1}.csv')['x'].sum()", False),
    ],
)
def test_what_pandas_reads_is_told_beside_a_library_that_reads_unseen(project: Path, code: str, is_told: bool) -> None:
    """A cell that imported both, and read its data with pandas, ran each time."""
    pytest.importorskip("polars")
    for file in ("1.csv", "b.csv"):
        (project / file).write_text("x\n1\n")
    cells: projects.Cells = [(None, "import pandas as pd\ndef load(by, path): return by.read_csv(path)"), (1, code)]
    projects.play(project, cells, "none")
    again = projects.play(project, cells, "auto")
    assert again.steps == (set() if is_told else {1})

    (project / "1.csv").write_text("x\n2\n")

    assert projects.play(project, cells, "auto").names["x"] == 2


def test_a_library_whose_functions_in_c_were_never_asked_for_a_file_read_none(project: Path) -> None:
    """`lgb.Dataset(X, y)` reads none: the step that trained the model ran each time."""
    package = project.parent / "site-packages" / "lightgbm"
    package.mkdir()
    (package / "__init__.py").write_text("from lightgbm.basic import Dataset\n")
    (package / "basic.py").write_text(
        "import ctypes\n"
        "_LIB = ctypes.CDLL(None)\n"
        "class Dataset:\n"
        "    def __init__(self, data):\n"
        "        if isinstance(data, str):  # as ctypes does at the first call\n"
        "            _LIB.LGBM_DatasetCreateFromFile = len\n"
        "        self.label = 1\n"
    )
    cells = [(1, "import lightgbm as lgb"), (2, "x = lgb.Dataset([1]).label")]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == set()
    cells[1] = (2, "x = lgb.Dataset(str(1) + '.txt').label")
    projects.play(project, cells, "none")
    assert "which files `Dataset` reads cannot be told" in projects.play(project, cells, "auto").why(2)
    for name in ("lightgbm", "lightgbm.basic"):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("code", "is_told"),
    [
        ("from catboost import Pool", True),
        ("from catboost import Pool\nx = Pool(table)", True),
        ("import catboost\nx = catboost.Pool(data=table)", True),
        ("from catboost import Pool\nx = Pool(path)", False),
        ("from catboost import Pool as P\nx = P(path)", False),
        ("from catboost import Pool\ntable = path\nx = Pool(table)", False),
        ("from catboost import Pool\nx = Pool(table), Pool(path)", False),
        ("from catboost import Pool\nmake = Pool\nx = make(path)", False),
        ("from catboost import Pool\nx = Pool(paths)", False),
    ],
)
def test_what_is_only_imported_or_given_a_table_reads_no_file(project: Path, code: str, is_told: bool) -> None:
    (project.parent / "site-packages" / "catboost.py").write_text("class Pool:\n  def __init__(self, data): pass\n")
    cells: projects.Cells = [
        (None, "import pandas as pd\ntable, path = pd.DataFrame({'x': [1]}), str(1)\npaths = pd.Series(path)"),
        (1, code),
    ]
    projects.play(project, cells, "none")
    assert projects.play(project, cells, "auto").steps == (set() if is_told else {1})
    del sys.modules["catboost"]


def test_what_pandas_reads_through_a_connection_is_not_told() -> None:
    """Whatever library the connection is of opens the files."""
    assert unseen.likely({"read_sql", "read_csv", "read_parquet", "sum"}, ["duckdb", "pandas.io"]) == {"read_csv"}
    assert unseen.likely({"read_csv"}, ["pandas"]) == set()


@pytest.mark.parametrize("text", ["*", "**", "./", "*.ipynb"])
def test_the_notebook_is_meant_only_by_its_name(project: Path, text: str) -> None:
    """Else each edit of it would make the step stale: a grid is drawn with `*`, and a function looks for a file."""
    for name in ("own.ipynb", "other.ipynb"):
        (project / name).touch()
    files = inputs.Files(project, project / "own.ipynb")
    found = {Path(path).name for path in files.mentioned([text]).paths}
    assert "other.ipynb" in found and "own.ipynb" not in found
    assert files.mentioned(["own.ipynb"]).paths == [str(project / "own.ipynb")]


def test_files_beside_checkpoints_count_as_all_others_do(project: Path) -> None:
    (project / "a.txt").write_text("")
    ours = ("p-v1-step1.pkl", "p-v1-step1.pkl.confirmed", ".used", ".p.lock", ".ckpt-01234567-1-01234567.tmp")
    for folder in (project / "data", project / "empty"):
        folder.mkdir()
        for name in (*ours, ".gitignore"):
            (folder / name).touch()
    (project / "data" / "b.txt").write_text("")
    hidden = [str(project), str(project / "data"), str(project / "empty")]
    paths = ["", "a.txt", "data", "data/b.txt", *(f"data/{one}" for one in ours), "empty", "empty/.used", *ours]
    files = inputs.Files(project)
    found = files.counting([str(project / one) for one in paths], hidden=hidden)
    assert found == [str(project / one) for one in ("", "a.txt", "data", "data/b.txt")]
    assert files.rows([str(project / "data")], hidden=hidden)[0]["names"] == ["b.txt"]
    assert [row["path"] for row in files.depends(["data"], hidden=hidden)] == ["data", "data/b.txt"]


def test_a_virtual_environment_may_have_been_made_in_the_folder_of_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyvenv.cfg").touch()
    for one in (owned.installed, owned.is_own_file):
        monkeypatch.setattr(owned, one.__name__, one.__wrapped__)
    monkeypatch.setattr(sys, "prefix", str(project))
    monkeypatch.setattr(sys, "exec_prefix", str(project))
    paths = [str(project / one) for one in ("own.py", "bin/own.py", "lib/python3.11/site-packages/own.py")]
    assert [*filter(owned.is_own_file, paths)] == paths[:1]
    assert inputs.Files(project).counting(paths) == paths[:1]


def test_files_of_the_system_are_no_evidence_and_those_of_a_drive_are(project: Path) -> None:
    paths = ["/run/media/me/stick/a.csv", "/library/a.csv", "/run/a", "/lib/a", "/usr/share/a", "/etc/a", "/proc"]
    assert inputs.Files(project).counting(paths) == paths[:2]


def test_texts_that_name_more_files_than_are_kept_are_too_many(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_MOST", 2)
    for name in "abcde":
        (project / f"{name}.txt").touch()
    found = inputs.Files(project).mentioned([*(f"{name}.txt" for name in "abcde"), "parts/"])
    assert [Path(path).name for path in found.vast] == ["parts"]


def test_texts_that_compare_in_a_way_of_their_own_are_taken_as_texts(project: Path) -> None:
    """Those of astropy parse what they are compared with, and no step that held one was saved."""
    kind = "class Format(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): raise ValueError(other)\n"
    cells = [(1, f"import ckpt_reader\n{kind}formats = [Format('I')]"), (2, f"x = {LOAD}('data.txt'), str(formats[0])")]
    assert projects.play(project, cells, "none").facts[2]["action"] == "saved"
    assert not projects.play(project, cells, "auto").steps
    (project / "data.txt").write_text("two")
    assert projects.play(project, cells, "auto").steps == {2}


def test_packages_without_code_that_a_library_made_for_a_while_need_not_be_found(project: Path) -> None:
    """So pytensor loads what it has compiled, each time by another name."""
    (project.parent / "site-packages" / "ckpt_compiler.py").write_text(
        "import importlib, os, sys\n"
        "def work(folder, text):\n"
        "    os.makedirs(f'{folder}/ckpt_compiled', exist_ok=True)\n"
        "    with open(f'{folder}/ckpt_compiled/__init__.py', 'w') as file: file.write(text)\n"
        "    sys.path.insert(0, folder)\n"
        "    import ckpt_compiled\n"
        "    sys.path.remove(folder)\n"
    )
    for text, runs in (("", set()), ("x = 1", {1})):
        cells = [(1, f"import ckpt_compiler\nckpt_compiler.work({str(project.parent / 'cache')!r}, {text!r})")]
        assert projects.play(project, cells, "none").steps == {1}
        assert projects.play(project, cells, "auto").steps == runs
        assert projects.foresee(project, cells) == runs
