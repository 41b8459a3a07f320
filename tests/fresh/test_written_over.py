"""A file that several steps write: who reads it in between finds what was there then, or its writer runs again."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.fresh import project as projects

CELLS: projects.Cells = [
    (1, "with open('kept.txt', 'w') as file: size = file.write('one')"),
    (2, "with open('kept.txt') as file: first = file.read(), 1"),
    (3, "with open('kept.txt', 'w') as file: size = file.write('three')"),
    (4, "with open('kept.txt') as file: second = file.read(), 1"),
]


def edited(cells: projects.Cells, step: int) -> projects.Cells:
    return [(number, text.replace(", 1", ", 2") if number == step else text) for number, text, *_ in cells]


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there when the extension is loaded."""
    (tmp_path / "nb.ipynb").touch()
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "nb.ipynb"))


class Played:
    """Runs the notebook of a folder from `auto` on, and sees to it that only what the plan said ran."""

    def __init__(self, shell: InteractiveShell, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._shell, self._folder, self._capsys = shell, folder, capsys
        self.said = ""

    def steps(self, cells: projects.Cells, start: str = "auto", *, known: bool = True) -> set[int]:
        sources = [text if step is None else f"%%step {step}\n{text}" for step, text, *_ in cells]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])
        if known:
            nbformat.write(notebook, self._folder / "nb.ipynb")
        planned = projects.foresee(self._folder, cells)
        for cell in ("%reset -f", "%ckpt_config --name p --folder .ckpt", f"%ckpt_start {start}", *sources):
            assert self._shell.run_cell(cell, store_history=True).success
        self.said = self._capsys.readouterr().out
        ran = {int(step) for step in re.findall(r"step (\d) · saved", self.said)}
        assert ran <= planned or not known or start != "auto"
        return ran


def test_the_writer_of_a_file_that_is_written_over_runs_if_a_reader_in_between_does(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = Played(shell, tmp_path, capsys)
    assert played.steps(CELLS) == {1, 2, 3, 4}
    assert played.steps(CELLS) == set()
    cells = edited(CELLS, 2)
    assert played.steps(cells) == {1, 2, 3}  # the last one, since the file is now as step 1 left it
    assert (shell.user_ns["first"], shell.user_ns["second"]) == (("one", 2), ("three", 1))
    assert (tmp_path / "kept.txt").read_text() == "three"
    assert played.steps(cells) == set()
    assert played.steps(edited(cells, 4)) == {4}
    assert (shell.user_ns["first"], shell.user_ns["second"]) == (("one", 2), ("three", 2))


def test_the_writer_of_a_temporary_file_that_is_gone_runs_if_a_reader_does(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    makes = "import os, tempfile\nname = os.path.join(tempfile.mkdtemp(), 'a.txt')\n"
    cells: projects.Cells = [
        (1, f"{makes}with open(name, 'w') as file: size = file.write('told')"),
        (2, "with open(name) as file: text = file.read()"),
        (3, "again = text * 2"),
    ]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells) == {1, 2, 3}
    assert played.steps(cells) == set()
    Path(shell.user_ns["name"]).unlink()
    assert played.steps(cells) == {1, 2}
    assert shell.user_ns["again"] == "toldtold"
    assert played.steps(cells) == set()

    Path(shell.user_ns["name"]).unlink()
    for cell in ("%reset -f", "%ckpt_start 2", *(f"%%step {step}\n{text}" for step, text, *_ in cells)):
        assert shell.run_cell(cell, store_history=True).success
    assert "is gone, and step 2 reads it" in capsys.readouterr().out
    Path(shell.user_ns["name"]).unlink()  # as nobody reads it:
    for cell in ("%reset -f", "%ckpt_start end", *(f"%%step {step}\n{text}" for step, text, *_ in cells)):
        assert shell.run_cell(cell, store_history=True).success
    assert capsys.readouterr().out.count(" · restored · ") == 3


TAKEN_OVER: dict[str, projects.Cells] = {
    "read in between by a cell": [
        (1, "import json\nwith open('d.json', 'w') as file: json.dump(1, file)"),
        (None, "with open('d.json') as file: m = json.load(file)"),
        (2, "with open('d.json', 'w') as file: json.dump(2, file)"),
        (3, "z = m * 10"),
    ],
    "read by a cell at the end": [
        (1, "with open('x.txt', 'w') as file: size = file.write('1')"),
        (
            2,
            "with open('x.txt') as file: n = int(file.read())\nwith open('x.txt', 'w') as file: file.write(str(n * 2))",
        ),
        (None, "with open('x.txt') as file: z = file.read()"),
    ],
    "given another name": [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (2, "import os\nos.rename('a.txt', 'b.txt')"),
        (3, "with open('b.txt') as file: z = file.read(), os.path.exists('a.txt')"),
    ],
    "added to": [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (2, "with open('a.txt', 'a') as file: more = file.write('two')"),
        (3, "with open('a.txt') as file: z = file.read()"),
    ],
    "added to, and read by who added": [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (2, "with open('a.txt', 'a') as file: file.write('two')\nwith open('a.txt') as file: z = file.read()"),
        (3, "more = 1"),
    ],
    "read, written anew and given another name": [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (
            2,
            "import os\nwith open('a.txt') as file: text = file.read()\n"
            "with open('a.txt', 'w') as file: file.write(text + 'two')\nos.rename('a.txt', 'b.txt')",
        ),
        (3, "with open('b.txt') as file: z = file.read(), os.path.exists('a.txt')"),
    ],
    "removed": [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (2, "with open('a.txt') as file: z = file.read()"),
        (3, "import os\nos.remove('a.txt')"),
    ],
}


@pytest.mark.parametrize("known", [True, False], ids=["the cells are known", "they are not"])
@pytest.mark.parametrize("cells", TAKEN_OVER.values(), ids=TAKEN_OVER)
def test_a_file_that_steps_take_over_from_each_other_is_there_as_each_left_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, cells: projects.Cells, *, known: bool
) -> None:
    played = Played(shell, tmp_path, capsys)
    truth = None
    for start in ("none", "auto", "2", "3", "auto", "end", "auto"):
        steps = played.steps(cells, start, known=known)
        left = {one.name: one.read_text() for one in tmp_path.iterdir() if one.suffix in (".txt", ".json")}
        truth = truth or (shell.user_ns["z"], left)
        assert (shell.user_ns["z"], left) == truth
        if known and start == "auto":
            assert steps == ({1, 2} if cells[1][0] is None else set())


@pytest.mark.parametrize("start", ["3", "end", "auto"])
def test_a_file_to_which_a_cell_adds_between_two_steps_that_write_it_is_as_they_leave_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, start: str
) -> None:
    cells: projects.Cells = [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (None, "with open('a.txt', 'a') as file: more = file.write('two')"),
        (2, "with open('a.txt') as file: z = file.read()\nwith open('a.txt', 'w') as file: file.write(z + 'three')"),
        (3, "much = 1"),
    ]
    played = Played(shell, tmp_path, capsys)
    for one in ("none", start, start):
        played.steps(cells, one)
        assert (shell.user_ns["z"], Path("a.txt").read_text()) == ("onetwo", "onetwothree")


@pytest.mark.parametrize("start", ["2", "end", "auto"])
@pytest.mark.parametrize(
    "changes",
    [
        "with open('a.txt', 'w') as file: more = file.write(text + 'two')",
        "with open('a.txt', 'a') as file: more = file.write('two')",
        "from pathlib import Path\nmore = Path('a.txt').write_text('two')",
        "import os\nos.rename('a.txt', 'b.txt')",
        "import os\nos.remove('a.txt')",
    ],
)
def test_a_file_that_a_cell_below_changes_is_first_what_its_step_made_of_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: str, start: str
) -> None:
    cells: projects.Cells = [
        (1, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (None, f"with open('a.txt') as file: text = file.read()\n{changes}"),
        (2, "z = text * 2"),
    ]
    played = Played(shell, tmp_path, capsys)
    for one in ("none", start, start):
        assert played.steps(cells, one) == {"none": {1, 2}, "2": {1, 2}}.get(one, {1})
        assert shell.user_ns["z"] == "oneone"


def test_lines_that_steps_add_to_a_log_which_nobody_reads_make_none_run_again(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    adds = "with open('log.txt', 'a') as file: size = file.write('{}')"
    cells: list[tuple[int, str]] = [
        (1, adds.replace("'a'", "'w'").format("a")),
        *((n, adds.format(n)) for n in (2, 3, 4)),
    ]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells, "none") == {1, 2, 3, 4}
    for _ in range(2):
        assert played.steps(cells, "4") == {4}
        assert played.steps(cells) == set()
    cells[3] = 4, f"{adds}; more = 1"
    assert played.steps(cells) == {4}
    cells[0] = 1, f"{cells[0][1]}; less = 1"
    assert played.steps(cells) == {1}


def test_a_folder_that_a_step_lists_is_as_it_was_though_a_later_step_writes_into_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cells: projects.Cells = [
        (1, "import os\nos.mkdir('parts')\nwith open('parts/1.txt', 'w') as file: n = file.write('1')"),
        (2, "names = os.listdir('parts')"),
        (3, "with open('parts/2.txt', 'w') as file: n = file.write('2')"),
    ]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells) == {1, 2, 3}
    assert played.steps(cells) == set() == played.steps(cells, known=False)
    (tmp_path / "parts" / "3.txt").touch()
    assert played.steps(cells) == {2}
    cells = [(1, f"{cells[0][1]}\nwith open('parts/4.txt', 'w') as file: n = file.write('4')"), *cells[1:]]
    assert played.steps([(1, cells[0][1].replace("mkdir", "listdir")), *cells[1:]]) == {1, 2}
    assert sorted(shell.user_ns["names"]) == ["1.txt", "2.txt", "3.txt", "4.txt"]


ADDED: projects.Cells = [
    (1, "import json\nwith open('n.json', 'w') as file: json.dump(1, file)"),
    (2, "with open('n.json') as file: n = json.load(file) + 1\nwith open('n.json', 'w') as file: json.dump(n, file)"),
    (3, "with open('n.json') as file: last = json.load(file)"),
]


def test_where_nobody_knows_the_cells_an_edited_step_says_that_it_found_what_a_later_one_had_left(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played, cells = Played(shell, tmp_path, capsys), list(ADDED)
    played.steps(cells, known=False)
    assert played.steps(cells, known=False) == set()
    cells[1] = 2, ADDED[1][1].replace("+ 1", "+ 5")
    assert played.steps(cells, known=False) == {2, 3}
    assert "on `n.json` as step 2 had left it, not step 1" in played.said and "`%ckpt_start 1`" in played.said
    assert played.steps(cells, known=False) == {1, 2, 3}
    assert (shell.user_ns["n"], shell.user_ns["last"]) == (6, 6)
    assert played.steps(cells, known=False) == set()


@pytest.mark.parametrize("start", ["auto", "1", "2", "end"])
@pytest.mark.parametrize("known", [True, False], ids=["the cells are known", "they are not"])
def test_a_file_that_a_cell_removes_is_made_anew_by_the_steps_that_add_to_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, start: str, *, known: bool
) -> None:
    cells: projects.Cells = [
        (None, "import os\nif os.path.exists('a.log'): os.remove('a.log')"),
        *((step, f"with open('a.log', 'a') as file: size = file.write('{step}')") for step in (1, 2)),
        (None, "with open('a.log') as file: z = file.read()"),
    ]
    played = Played(shell, tmp_path, capsys)
    for one in ("none", start, start):
        played.steps(cells, one, known=known)
        assert shell.user_ns["z"] == "12"


@pytest.mark.parametrize("start", ["1", "2", "3", "end", "auto"])
def test_who_adds_to_a_file_finds_what_was_there_whatever_the_start_point(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, start: str
) -> None:
    """Also where nobody knows the cells below."""
    for first in ("none", start, start):
        for cell in ("%reset -f", f"%ckpt_start {first}", *(f"%%step {step}\n{text}" for step, text, *_ in ADDED)):
            assert shell.run_cell(cell, store_history=True).success
        assert (shell.user_ns["n"], shell.user_ns["last"]) == (2, 2)
    said = capsys.readouterr().out
    assert ("`n.json` is not as it left it, and step 2 reads it" in said) == (start == "2")


def test_with_a_number_a_file_that_the_user_edited_is_read_and_so_is_one_that_was_vouched_for(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    for edit, option in (("7", ""), (None, " --stale restore")):
        cells = [f"%%step {step}{option}\n{text}" for step, text, *_ in ADDED]
        for start in ("none", "2"):
            for cell in ("%reset -f", f"%ckpt_start {start}", *cells):
                assert shell.run_cell(cell, store_history=True).success
            if start == "none" and edit is not None:
                (tmp_path / "n.json").write_text(edit)
        assert shell.user_ns["n"] == (8 if edit is not None else 3)


def test_what_is_moved_and_removed_makes_nothing_run_and_the_plan_says_so(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Also where a step reads a module that another one imported, which it will find when that one is restored."""
    cells: projects.Cells = [
        (1, "from pathlib import Path\nsize = Path('a.txt').write_text('one')"),
        (2, "moved = Path('a.txt').rename('b.txt')"),
        (3, "there = Path('a.txt').exists(), Path('b.txt').read_text(), 1"),
        (4, "gone = Path('b.txt').unlink()"),
    ]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells) == {1, 2, 3, 4}
    assert projects.foresee(tmp_path, cells) == set()
    assert played.steps(cells) == set()
    cells = edited(cells, 3)
    assert played.steps(cells) == {1, 2, 3, 4}  # each needs what the one before it leaves
    assert shell.user_ns["there"] == (False, "one", 2)
    assert played.steps(cells) == set()


def test_a_folder_that_is_removed_with_all_in_it_makes_nothing_run(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = Played(shell, tmp_path, capsys)
    cells: projects.Cells = [
        (1, "import os, shutil\nos.makedirs('out')\nwith open('out/a.txt', 'w') as file: size = file.write('one')"),
        (2, "with open('out/a.txt') as file: text = file.read(), 1"),
        (3, "shutil.rmtree('out')"),
    ]
    assert played.steps(cells) == {1, 2, 3}
    assert played.steps(cells) == set()
    cells = edited(cells, 2)
    assert played.steps(cells) == {1, 2, 3}
    assert shell.user_ns["text"] == ("one", 2)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_emptied_first_is_the_steps_own(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = Played(shell, tmp_path, capsys)
    cells: projects.Cells = [
        (1, "import os, shutil\nshutil.rmtree('out', ignore_errors=True)\nos.makedirs('out')"),
        (2, "with open('out/a.txt', 'w') as file: size = file.write('one')"),
        (3, "with open('out/a.txt') as file: text = file.read(), 1"),
    ]
    assert played.steps(cells) == {1, 2, 3}
    assert played.steps(cells) == set()
    assert played.steps(edited(cells, 3)) == {3}
    assert shell.user_ns["text"] == ("one", 2)


def test_a_database_that_a_step_makes_is_its_own(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = Played(shell, tmp_path, capsys)
    opens = "import sqlite3\nbase = sqlite3.connect('d.db')\n"
    fills = "base.execute('create table if not exists t (x)')\nbase.execute('insert into t values (1)')\n"
    cells: projects.Cells = [
        (1, f"{opens}{fills}base.commit()\nbase.close()\ndel base"),
        (2, f"{opens}rows = base.execute('select * from t').fetchall()\nbase.close()\ndel base"),
    ]
    assert played.steps(cells) == {1, 2}
    assert played.steps(cells) == set()
    (tmp_path / "d.db").unlink()
    assert played.steps(cells) == {1}


ADDING = "rows = [1]", "with open('a.txt', 'a') as file: size = file.write(str(rows))"


@pytest.mark.parametrize("option", ["", " --stale restore"])
@pytest.mark.parametrize("known", [True, False], ids=["the cells are known", "they are not"])
def test_with_a_number_a_step_runs_that_reads_what_a_step_above_it_has_just_written(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, *, known: bool
) -> None:
    cells: projects.Cells = [(None, ADDING[0]), (1, ADDING[1]), (2, "with open('a.txt') as file: z = file.read()")]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells, "none", known=known) == {1, 2}
    assert played.steps(cells, "end", known=known) == set()
    (tmp_path / "a.txt").write_text("mine")
    assert played.steps(cells, "end", known=known) == set(), "what the user did to a file is for the user to judge"
    cells = [(None, "rows = [2]"), (1, ADDING[1]), (f"2{option}", cells[2][1])]
    assert option or projects.foresee(tmp_path, cells, "end") == {1, 2}
    assert played.steps(cells, "end", known=known) == ({1} if option else {1, 2})
    assert shell.user_ns["z"] == ("[1]" if option else "mine[2]")
    assert played.steps(cells, "end", known=known) == set()


def test_with_a_number_a_step_runs_that_reads_what_an_edited_cell_writes(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cells: projects.Cells = [
        (None, "with open('a.txt', 'w') as file: size = file.write('one')"),
        (1, "with open('a.txt') as file: z = file.read()"),
    ]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells, "none") == {1}
    assert played.steps(cells, "end") == set()
    cells = [(None, cells[0][1].replace("one", "two")), cells[1]]
    assert projects.foresee(tmp_path, cells, "end") == {1}
    assert played.steps(cells, "end") == {1}
    assert shell.user_ns["z"] == "two"


def test_a_database_that_a_step_fills_anew_is_as_it_was(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    connect = "import contextlib, sqlite3\nwith contextlib.closing(sqlite3.connect('d.db')) as c:\n    "
    fills = "c.executescript(f'drop table if exists t; create table t (a); insert into t values ({k})')"
    reads = "z = c.execute('select a from t').fetchall()"
    cells: projects.Cells = [(None, "k = 1"), (1, f"{connect}{fills}\ndel c"), (2, f"{connect}{reads}\ndel c")]
    played = Played(shell, tmp_path, capsys)
    assert played.steps(cells, "none") == {1, 2}
    assert played.steps(cells) == set()
    for _ in range(3):  # each changes the numbers in the file that count its changes
        played.steps(cells, "none")
    assert played.steps(cells) == set()
    cells = [(None, "k = 2"), *cells[1:]]
    assert played.steps(cells) == {1, 2}
    assert shell.user_ns["z"] == [(2,)]
