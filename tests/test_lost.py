"""Values that could not be saved: who is told what, and what is saved after one was used all the same."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from ckpt_magic import Checkpoint
from ckpt_magic.errors import CheckpointWarning, LostValueError
from ckpt_magic.faces.notebook import Notebook
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.trust import load_keyring
from tests.kernels import Kernel
from tests.making import sections, sign_by_hand
from tests.test_rule import Cells, actions, meta, play


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ckpt"


CONNECTS = (1, "import sqlite3\nconn = sqlite3.connect(':memory:'); n = 1")
CATCHES = "try: rows = conn.execute('select 5').fetchall()\nexcept Exception: rows = []"


def restored(folder: Path) -> Kernel:
    """A kernel in which a lost value is bound to a placeholder."""
    play(Kernel(folder), [CONNECTS])
    kernel = Kernel(folder, 2)
    assert actions(play(kernel, [CONNECTS])) == ["restored"]
    return kernel


def test_what_is_saved_after_an_unmarked_cell_caught_the_use_of_a_lost_value_holds_for_this_kernel(
    folder: Path,
) -> None:
    kernel = restored(folder)
    kernel.cell(CATCHES)
    facts = kernel.step(2, "m = len(rows)")
    assert "after an unmarked cell used `conn`, which was lost" in facts["notes"]
    kernel = Kernel(folder, 3)
    facts = play(kernel, [CONNECTS, CATCHES, (2, "m = len(rows)")])
    assert (actions(facts), kernel.names["m"]) == (["saved", "saved"], 1)  # now it is known that the cell reads it
    assert meta(folder, 2)["marks"] == []


def test_an_order_that_names_what_is_not_there_restores_what_is(folder: Path) -> None:
    play(Kernel(folder), [CONNECTS])
    (path,) = folder.glob("*.pkl")
    facts = json.loads(sections(path)[2])
    assert set(facts["order"]) == {"conn", "n", "sqlite3"}
    sign_by_hand(path, load_keyring(), json.dumps(facts | {"order": ["absent", "n", "conn"]}).encode())
    kernel = Kernel(folder, 2)
    assert actions(play(kernel, [CONNECTS])) == ["restored"]
    assert (kernel.names["n"], list(kernel.names)[-3:]) == (1, ["n", "conn", "sqlite3"])


def test_a_cell_that_failed_on_a_lost_value_marks_nothing(folder: Path) -> None:
    kernel = restored(folder)
    with pytest.raises(
        LostValueError, match=r"step 1: `conn` \(sqlite3.Connection\) was not saved; run the step again"
    ):
        kernel.cell("rows = conn.execute('select 5').fetchall()")
    kernel.step(*CONNECTS, force=True)
    kernel.cell("rows = conn.execute('select 5').fetchall()")
    kernel.step(2, "m = len(rows)")
    assert meta(folder, 2)["marks"] == []


def test_who_looks_at_variables_from_outside_marks_nothing(folder: Path) -> None:
    kernel = restored(folder)
    with pytest.raises(LostValueError):  # as a list of variables beside the notebook does
        repr(kernel.names["conn"])
    kernel.step(2, "m = n")
    assert meta(folder, 2)["marks"] == []


def test_a_cell_of_one_line_that_binds_a_lost_name_anew_uses_nothing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """IPython asks of each cell of one line, of those in the file too, whether its first word is a macro."""
    cells = ["%%step 1\nlost = (i for i in [5]); next(lost)", "lost = 7", "%%step 2\nm = lost"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "n.ipynb")
    file = f"__vsc_ipynb_file__ = {str(tmp_path / 'n.ipynb')!r}"
    for start in (1, 3):
        for cell in ("%reset -f", file, "%ckpt_config --name p", f"%ckpt_start {start}", *cells, "%ckpt_status"):
            assert shell.run_cell(cell, store_history=True).success
    shown = capsys.readouterr().out
    assert (shell.user_ns["m"], shown.count("· restored"), "was not saved; run" in shown) == (7, 2, False)


def test_a_lost_value_that_gets_another_name_is_told_as_what_it_was(folder: Path) -> None:
    with pytest.warns(CheckpointWarning, match="its checkpoint was not saved"):
        facts = restored(folder).step(2, "other = conn; n += 1")
    assert facts["action"] == "not saved"
    assert facts["notes"] == ["`other` holds the sqlite3.Connection of step 1, which was lost"]


def test_a_lost_value_that_is_passed_on_is_told_as_what_it_was(folder: Path) -> None:
    text = "import sqlite3\nif new: conn = sqlite3.connect(':memory:')\nm = n"
    play(Kernel(folder), [CONNECTS, "new = True", (2, text)])
    kernel = restored(folder)
    kernel.cell("new = False")
    facts = kernel.step(2, text)
    assert facts["notes"] == ["`conn` (sqlite3.Connection of step 1) was lost"]
    kernel = Kernel(folder, 3)
    play(kernel, [CONNECTS, "new = False", (2, text)])
    with pytest.raises(LostValueError, match=r"sqlite3.Connection\) was not saved; run the step again: `%%step 1"):
        str(kernel.names["conn"])


def test_the_reason_of_a_run_tells_who_changed_what_a_step_reads(folder: Path) -> None:
    cells: Cells = [(1, "x = [1]; y = 1"), (2, "a = len(x)"), (3, "b = y")]
    play(Kernel(folder), cells)
    facts = play(Kernel(folder, 9), [cells[0], "x.append(2); y = 2", *cells[1:]])
    assert facts[1]["reason"] == "`x` is not what step 1 left"
    assert facts[2]["reason"] == "`y` comes from an unmarked cell, was from step 1"


def notebook(path: Path, cells: Cells) -> Path:
    texts = [one if isinstance(one, str) else f"%%step {one[0]}\n{one[1]}" for one in cells]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": text} for text in texts]}))
    return path


def kernel_of(path: Path, folder: Path, start: int | str = "none") -> Kernel:
    """A kernel that knows the file of its notebook."""
    kernel = Kernel(folder, start, notebook=path)
    settings = kernel.session.settings
    kernel.session._fitting._cells_after = Notebook(lambda text: text, settings.resolve, path=path).after
    return kernel


def test_a_step_that_was_taken_out_of_the_notebook_is_missed_by_nobody(folder: Path, tmp_path: Path) -> None:
    cells: Cells = [(1, "x = 1"), (2, "y = 2"), (3, "z = 3")]
    path = notebook(tmp_path / "a.ipynb", cells)
    play(kernel_of(path, folder), cells)
    del cells[1]
    kernel = kernel_of(path, folder)
    facts = play(kernel, cells)  # the file still has it
    assert meta(folder, 3)["marks"] == ["without step 2"]
    assert any("step 2 is not in this kernel" in note for note in facts[1]["notes"])
    notebook(path, cells)
    facts = play(kernel_of(path, folder, 4), cells)
    assert actions(facts) == ["restored", "saved"]
    assert (meta(folder, 3)["marks"], facts[1]["notes"]) == ([], [])
    assert actions(play(kernel_of(path, folder, 4), cells)) == ["restored", "restored"]


def test_a_step_runs_again_if_the_step_that_it_read_from_was_taken_out_of_the_notebook(
    folder: Path, tmp_path: Path
) -> None:
    cells: Cells = [(1, "x = 1"), (2, "try: y = x\nexcept NameError: y = 0"), (3, "z = 3")]
    path = notebook(tmp_path / "a.ipynb", cells)
    play(kernel_of(path, folder), cells)
    facts = play(kernel_of(path, folder, "auto"), cells[1:])  # it is there, and will give the same
    assert actions(facts) == ["restored", "restored"]
    notebook(path, cells[1:])
    kernel = kernel_of(path, folder, "auto")
    facts = play(kernel, cells[1:])
    assert (actions(facts), facts[0]["reason"]) == (["saved", "restored"], "`x` of step 1 is not here")
    assert kernel.names["y"] == 0


@pytest.mark.parametrize("start", [3, "auto", "end"])
@pytest.mark.parametrize(
    ("sets", "reads", "between"),
    [
        ("import random\nrandom.seed({})", "import random\nr = random.random()", ""),
        ("import decimal\ndecimal.getcontext().prec = {}", "import decimal\nr = +decimal.Decimal('1.23456789')", ""),
        ("import random\nrandom.seed({})", "import random\nr = random.random()", "import random\nrandom.seed(9)"),
        ("import random\nrandom.seed({})", "r = 0", ""),
    ],
)
def test_who_will_run_since_a_cell_above_seeds_or_sets_otherwise_finds_what_was_lost(
    folder: Path, tmp_path: Path, start: int | str, sets: str, reads: str, between: str
) -> None:
    makes = (1, "def count():\n    yield from range(5)\ng = count(); first = next(g)")
    below = [between] if between else []
    cells = [[sets.format(number), makes, *below, (2, f"{reads}; rest = list(g); del g")] for number in (3, 3, 5)]
    done = []
    for one, at in zip(cells, ("none", start, start), strict=True):
        kernel = kernel_of(notebook(tmp_path / "a.ipynb", one), folder, at)
        done.append(actions(play(kernel, one)))
        assert kernel.names["rest"] == [1, 2, 3, 4]
    stays = bool(between) or reads == "r = 0"
    assert done[1:] == [["restored"] * 2, ["restored"] * 2 if stays else ["saved"] * 2]


@pytest.mark.parametrize(
    ("cells", "between", "expected"),
    [
        (["r = first"], "seen.append(5)", ["saved", "saved"]),
        (["r = first"], "note = seen.append\nnote(5)", ["saved", "saved"]),
        (["import math\nr = math.pi"], "import math\nseen.append(math.pi)", ["saved", "saved"]),
        (["r = first"], "print(seen, len(seen))", ["restored", "restored"]),
        (["config = {'n': 1}", "r = config['n']"], "config['n'] = 2", ["saved", "saved"]),
    ],
)
@pytest.mark.parametrize("start", [3, "auto", "end"])
def test_who_will_run_since_a_cell_that_is_to_come_changes_what_it_reads_finds_what_was_lost(
    folder: Path, tmp_path: Path, start: int | str, cells: list[str], between: str, expected: list[str]
) -> None:
    *above, reads = cells
    makes = (1, "def count():\n    yield from range(5)\ng = count(); first = next(g); seen = [0]")
    uses = (2, f"{reads}; rest = list(g); del g; seen.append(len(rest))")
    play(kernel_of(notebook(tmp_path / "a.ipynb", [*above, makes, uses]), folder), [*above, makes, uses])
    edited = [*above, makes, between, uses]
    kernel = kernel_of(notebook(tmp_path / "a.ipynb", edited), folder, start)
    assert actions(play(kernel, edited)) == expected
    assert kernel.names["rest"] == [1, 2, 3, 4]


@pytest.mark.parametrize("between", ["own_lost.add(5)", "add(5)", "own_lost.SEEN.append(5)"])
def test_who_will_run_since_a_cell_that_is_to_come_changes_what_is_in_a_module_finds_what_was_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_lost.py").write_text("SEEN = []\ndef add(one):\n    SEEN.append(one)\n    return len(SEEN)\n")
    imports = "import own_lost\nfrom own_lost import add"
    makes = (1, "def count():\n    yield from range(5)\ng = count(); first = next(g)")
    uses = (2, "r = add(1); rest = list(g); del g")
    plain, edited = [imports, makes, uses], [imports, makes, between, uses]
    for cells, start in ((plain, "none"), (edited, "auto")):
        monkeypatch.delitem(sys.modules, "own_lost", raising=False)
        kernel = kernel_of(notebook(tmp_path / "a.ipynb", cells), folder, start)
        play(kernel, cells)
        assert (kernel.names["rest"], kernel.names["r"]) == ([1, 2, 3, 4], len(cells) - 2)


def test_a_step_of_another_notebook_with_the_same_pipeline_is_missed(folder: Path, tmp_path: Path) -> None:
    play(kernel_of(notebook(tmp_path / "a.ipynb", [(1, "x = 1")]), folder), [(1, "x = 1")])
    play(kernel_of(notebook(tmp_path / "b.ipynb", [(2, "y = 2")]), folder), [(2, "y = 2")])
    assert meta(folder, 2)["marks"] == ["without step 1"]


def test_a_step_without_its_cell_that_makes_what_a_later_one_reads_never_gives_a_wrong_value(
    folder: Path, tmp_path: Path
) -> None:
    cells: Cells = ["x = 1", (1, "x = 10"), (2, "y = x")]
    path = notebook(tmp_path / "a.ipynb", cells)
    play(kernel_of(path, folder), cells)
    without = [cells[0], cells[2]]
    notebook(path, without)
    play(kernel_of(path, folder), without)
    assert meta(folder, 2)["marks"] == []
    notebook(path, cells)  # and now it is back
    kernel = kernel_of(path, folder, 3)
    play(kernel, cells)
    assert kernel.names["y"] == 10


RAN: list[int] = []


class Lossy(Checkpoint):
    """Keeps on itself what cannot be saved."""

    def step_1(self, outputs: Any) -> int:
        RAN.append(1)
        self.lock = threading.Lock()
        self.lock.acquire()
        self.socket = socket.socket()
        self.socket.close()
        self.numbers = (i for i in range(-1, 5))
        next(self.numbers)
        self.scale = 3
        return 1

    def step_2(self, outputs: Any) -> int:
        RAN.append(2)
        return int(outputs[1] * self.scale)

    def step_3(self, outputs: Any) -> int:
        RAN.append(3)
        return int(outputs[2] + 1)


class Reads(Lossy):
    def step_3(self, outputs: Any) -> int:
        RAN.append(3)
        return int(next(self.numbers) + outputs[2])


class Catches(Lossy):
    def step_2(self, outputs: Any) -> int:
        RAN.append(2)
        try:
            return int(getattr(self, "lock").locked()) + 10  # noqa: B009  # found by no reading of the code
        except LostValueError:
            return 0


class Calls(Lossy):
    def step_2(self, outputs: Any) -> int:
        RAN.append(2)
        return self.draw() * 10

    def draw(self) -> int:
        return int(next(self.numbers)) + 1


def run(cls: type[Checkpoint], folder: Path, start: int | str | None = None) -> list[Any]:
    RAN.clear()
    outputs = cls(name="c", checkpoint_folder=folder, version=1).run(start_from=start)
    return [outputs[step] for step in (1, 2, 3)]


def test_lost_attributes_of_the_instance_are_needed_by_nobody(tmp_path: Path) -> None:
    full = run(Lossy, tmp_path)
    stored = open_checkpoint(tmp_path / "c-v1-step1.pkl", load_keyring())
    assert {row["name"] for row in stored.meta["lost"]} == {"self.lock", "self.numbers"}
    for start, ran in ((2, [2, 3]), (3, [3]), (9, [])):
        assert (run(Lossy, tmp_path, start), RAN) == (full, ran)


@pytest.mark.parametrize(("cls", "start", "ran"), [(Reads, 3, [1, 3]), (Calls, 2, [1, 2, 3]), (Reads, 9, [])])
def test_a_method_that_reads_a_lost_attribute_runs_the_step_that_makes_it(
    tmp_path: Path, cls: type[Checkpoint], start: int, ran: list[int]
) -> None:
    full = run(cls, tmp_path)
    assert (run(cls, tmp_path, start), RAN) == (full, ran)


def test_a_method_that_hides_which_attribute_it_reads_runs_the_steps_that_lost_any(tmp_path: Path) -> None:
    full = run(Catches, tmp_path)
    assert (run(Catches, tmp_path, 2), RAN) == (full, [1, 2, 3])


def test_a_method_that_used_a_lost_attribute_leaves_no_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(Lossy, tmp_path)
    stored = (tmp_path / "c-v1-step2.pkl").read_bytes()
    caplog.set_level(logging.INFO)
    pipeline = Catches(name="c", checkpoint_folder=tmp_path, version=1)
    pipeline.run(start_from=9)  # nobody runs: all is restored, with placeholders
    with pytest.raises(LostValueError, match=r"step 1: `self.lock` \(_thread.lock\) was not saved"):
        pipeline.lock.locked()
    assert (tmp_path / "c-v1-step2.pkl").read_bytes() == stored


def test_a_step_marked_always_changes_what_a_lost_value_leads_to_and_does_not_hold(folder: Path) -> None:
    """Nothing shows which context flags are those of: the step is not known to change anything of them."""
    for start in ("none", 4):
        kernel = Kernel(folder, start)
        kernel.step(1, "import decimal\ncontext = decimal.Context(prec=5)")
        kernel.step(2, "flags = context.flags")
        kernel.step(3, "third = context.divide(1, 3)", always=True)
        kernel.step(4, "r = flags[decimal.Inexact]")
        assert kernel.names["r"] is True
