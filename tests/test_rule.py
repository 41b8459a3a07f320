"""When a step is restored: each notebook must end as the full run in a fresh kernel would."""

from __future__ import annotations

import ast
import itertools
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic import Checkpoint
from ckpt_magic.errors import (
    CheckpointUnreadableError,
    CheckpointWarning,
    ForeignError,
    LostValueError,
    TamperedError,
    UsageError,
)
from ckpt_magic.files.store import Store
from ckpt_magic.steps.plan import Body
from ckpt_magic.steps.push import push
from ckpt_magic.steps.registry import StepCall
from tests.kernels import Kernel

Cells = list[Any]  # texts of unmarked cells; (number, text) or (number, text, options) of steps


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ckpt"


def play(kernel: Kernel, cells: Cells) -> list[Any]:
    """Run cells in order; returns the facts of the steps."""
    facts = []
    for cell in cells:
        if isinstance(cell, str):
            kernel.cell(cell)
        else:
            step, text, *options = cell
            facts.append(kernel.step(step, text, **(options[0] if options else {})))
    return facts


def actions(facts: list[Any]) -> list[str]:
    return [one["action"] for one in facts]


def test_a_name_that_an_unmarked_cell_rebinds_runs_the_step_that_only_reads_it(folder: Path) -> None:
    play(Kernel(folder), [(1, "x = 1"), (2, "y = x + 1")])
    kernel = Kernel(folder, 3)
    play(kernel, [(1, "x = 1"), "x = 99", (2, "y = x + 1")])
    assert kernel.names["y"] == 100


def test_a_large_value_that_an_unmarked_cell_changes_in_place_runs_the_step_that_reads_it(folder: Path) -> None:
    s1 = "import numpy as np\nx = np.zeros(3_000_000)"
    play(Kernel(folder), [(1, s1), (2, "y = float(x.sum())")])
    kernel = Kernel(folder, 3)
    play(kernel, [(1, s1), "x[0] = 5", (2, "y = float(x.sum())")])
    assert kernel.names["y"] == 5


def test_a_step_run_on_what_an_unmarked_cell_changed_does_not_fit_a_kernel_without_that_cell(folder: Path) -> None:
    s1 = "import numpy as np\nx = np.zeros(3_000_000)"
    play(Kernel(folder), [(1, s1)])
    kernel = Kernel(folder, 2)
    play(kernel, [(1, s1), "x[0] = 5", (2, "y = float(x.sum())")])
    assert kernel.names["y"] == 5
    kernel = Kernel(folder, 3)
    play(kernel, [(1, s1), (2, "y = float(x.sum())")])
    assert kernel.names["y"] == 0


def test_a_step_of_another_pipeline_that_writes_a_name_takes_it_from_this_one(folder: Path) -> None:
    base = [(1, "x = 1"), (1, "x = 5", {"name": "q"}), (2, "y = x + 1")]
    play(Kernel(folder), base)
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = 1"), (1, "x = 7", {"name": "q", "force": True}), (2, "y = x + 1")])
    assert kernel.names["y"] == 8


def test_a_name_made_before_the_session_began_counts_as_made_by_no_step(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.names["rows"] = [1]
    play(kernel, [(1, "rows.append(2)")])
    kernel = Kernel(folder, 2)
    kernel.names["rows"] = [7]
    play(kernel, [(1, "rows.append(2)")])
    assert kernel.names["rows"] == [7, 2]


def test_a_step_runs_when_a_lower_step_now_deletes_what_it_read(folder: Path) -> None:
    play(Kernel(folder), [(1, "a = 1; b = 2"), (2, "c = b"), (3, "d = a + 1")])
    kernel = Kernel(folder, 9)
    with pytest.raises(NameError):
        play(kernel, [(1, "a = 1; b = 2"), (2, "c = b\ndel a", {"force": True}), (3, "d = a + 1")])


def test_a_step_runs_when_a_lower_step_no_longer_makes_what_it_read(folder: Path) -> None:
    play(Kernel(folder), [(1, "a = 1; b = 2"), (3, "d = a + 1")])
    kernel = Kernel(folder, 9)
    with pytest.raises(NameError):
        play(kernel, [(1, "b = 2", {"force": True}), (3, "d = a + 1")])


@pytest.mark.parametrize("other", [(1, "x = 1"), "x = 1"])
def test_a_name_that_a_step_binds_and_deletes_is_gone_whoever_made_it(folder: Path, other: Any) -> None:
    cells: Cells = [(2, "x = 5; del x"), (3, "y = 1")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, "auto")
    facts = play(kernel, [other, *cells])
    assert actions(facts)[-2:] == ["restored", "restored"]
    assert "x" not in kernel.names


def test_a_step_that_found_a_name_missing_runs_when_a_lower_step_now_leaves_it(folder: Path) -> None:
    s3 = "try:\n    b = a\nexcept NameError:\n    b = 0"
    play(Kernel(folder), [(1, "a = 1"), (2, "del a"), (3, s3)])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "a = 1"), (2, "c = 1", {"force": True}), (3, s3)])
    assert kernel.names["b"] == 1


def test_a_step_runs_when_a_step_now_makes_what_an_unmarked_cell_had_made(folder: Path) -> None:
    play(Kernel(folder), ["x = list(range(200000))", (2, "y = sum(x)")])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = list(range(10))"), (2, "y = sum(x)")])
    assert kernel.names["y"] == 45


def test_a_name_that_the_cell_binds_only_perhaps_counts_with_its_earlier_value(folder: Path) -> None:
    s = "if flag:\n    x = 5\nz = 1"
    play(Kernel(folder), ["flag = False; x = 1", (1, s)])
    kernel = Kernel(folder, 9)
    play(kernel, ["flag = False; x = 2", (1, s)])
    assert kernel.names["x"] == 2


def test_editing_a_step_after_later_ones_ran_does_not_mark_it_where_it_binds_its_names_anew(folder: Path) -> None:
    kernel = Kernel(folder)
    play(
        kernel,
        [
            (1, "raw = [1]"),
            (2, "df = list(raw)"),
            (3, "df.append(9)"),
            (2, "df = list(raw) + [2]\nprint(len(df))"),
            (3, "df.append(9)"),
        ],
    )
    kernel = Kernel(folder, 9)
    facts = play(kernel, [(1, "raw = [1]"), (2, "df = list(raw) + [2]\nprint(len(df))"), (3, "df.append(9)")])
    assert [x["action"] for x in facts] == ["restored"] * 3
    assert kernel.names["df"] == [1, 2, 9]


def test_mending_a_failed_step_that_binds_its_names_anew_does_not_mark_it(folder: Path) -> None:
    kernel = Kernel(folder)
    play(kernel, [(1, "raw = [1]")])
    with pytest.raises(ZeroDivisionError):
        play(kernel, [(2, "df = list(raw)\n1/0")])
    play(kernel, [(2, "df = list(raw)\ndf.append(1)")])
    kernel = Kernel(folder, 9)
    facts = play(kernel, [(1, "raw = [1]"), (2, "df = list(raw)\ndf.append(1)")])
    assert [x["action"] for x in facts] == ["restored"] * 2, facts


def test_what_an_earlier_text_of_the_cell_made_is_not_saved_with_the_new_text(folder: Path) -> None:
    kernel = Kernel(folder)
    play(kernel, [(1, "x = 1; y = 2"), (1, "x = 1")])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = 1")])
    assert "y" not in kernel.names


def test_a_name_that_is_no_longer_dropped_runs_the_step(folder: Path) -> None:
    play(Kernel(folder), [(1, "a = 1; b = 2", {"drop": ("b",)})])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "a = 1; b = 2")])
    assert kernel.names["b"] == 2


def test_a_required_name_that_the_checkpoint_leaves_out_runs_the_step(folder: Path) -> None:
    play(Kernel(folder), [(1, "a = 1; b = 2", {"drop": ("b",)})])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "a = 1; b = 2", {"require": ("b",)})])
    assert kernel.names["b"] == 2


def test_what_a_failed_run_left_and_the_checkpoint_does_not_hold_runs_the_step(folder: Path) -> None:
    s = "tmp = 1\nif fail:\n    1/0\ndel tmp\nr = 1"
    play(Kernel(folder), ["fail = False", (1, s)])
    kernel = Kernel(folder, 9)
    play(kernel, ["fail = True"])
    with pytest.raises(ZeroDivisionError):
        play(kernel, [(1, s)])
    facts = play(kernel, ["fail = False", (1, s)])
    assert "tmp" not in kernel.names, facts


def test_a_placeholder_put_into_a_container_does_not_replace_a_good_checkpoint(folder: Path) -> None:
    cells = [(1, "a = 1; b = [1]", {"drop": ("b",)}), (2, "lst = [a, 1]"), (2, "lst = [b, a]")]
    play(Kernel(folder), cells[:2])
    kernel = Kernel(folder, 2)
    with pytest.warns(CheckpointWarning, match="`lst` holds a value that was lost"):
        play(kernel, [cells[0], cells[2]])  # nobody could know that its cell was edited to read `b`
    kernel = Kernel(folder, 3)
    play(kernel, cells[:2])
    assert kernel.names["lst"] == [1, 1]


def test_what_was_dropped_is_made_again_for_a_later_step_that_is_known_to_read_it(folder: Path) -> None:
    cells = [(1, "a = 1; b = [1]", {"drop": ("b",)}), (2, "lst = [b, a]")]
    play(Kernel(folder), cells)
    for start, expected in ((2, ["saved", "saved"]), (3, ["restored", "restored"])):
        kernel = Kernel(folder, start)
        assert actions(play(kernel, cells)) == expected
        assert kernel.names["lst"] == [[1], 1]


def test_a_foreign_pickle_is_an_error_that_tells_how_to_trust_it(folder: Path) -> None:
    folder.mkdir()
    (folder / "p-v1-step1.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(ForeignError, match="trust"):
        Kernel(folder, 3).step(1, "x = 1")


def test_an_import_repeated_in_an_unmarked_cell_does_not_run_the_step(folder: Path) -> None:
    cells = [(1, "import math\nx = 1"), (2, "y = math.floor(2.5) + x")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = play(kernel, [cells[0], "import math", cells[1]])
    assert facts[-1]["action"] == "restored", facts


def test_a_step_run_on_its_own_earlier_work_is_restored_in_no_other_kernel(folder: Path) -> None:
    kernel = Kernel(folder)
    play(kernel, [(1, "rows = []")] + [(2, "rows.append(1)")] * 3)
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "rows = []"), (2, "rows.append(1)")])
    assert kernel.names["rows"] == [1]


def test_a_pushed_method_binds_its_value_and_no_attributes(folder: Path) -> None:
    class T(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            self.scale = 3
            return [1]

    T("p", folder).run()
    kernel = Kernel(folder)
    key = kernel.session.settings.resolve(StepCall(1))
    push(kernel.session, key, [1])
    assert kernel.names["step_1"] == [1]
    assert all(n.isidentifier() for n in kernel.session.names())


def test_step_numbers_may_have_gaps_and_more_than_one_digit(folder: Path) -> None:
    cells = [
        (n, f"v{n} = {n}" if n == 1 else f"v{n} = v{p} + 1")
        for p, n in itertools.pairwise([0, 1, 2, 5, 9, 10, 11, 20, 100])
    ]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, "end")
    facts = play(kernel, cells)
    assert all(x["action"] == "restored" for x in facts)
    assert all(not x["notes"] for x in facts), facts


def test_a_missing_file_in_the_middle_runs_that_step_alone_if_its_result_is_the_same(folder: Path) -> None:
    cells = [(1, "a = 1"), (2, "b = a"), (3, "c = b")]
    play(Kernel(folder), cells)
    (folder / "p-v1-step2.pkl").unlink()
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert [x["action"] for x in facts] == ["restored", "saved", "restored"]


def test_a_step_below_that_lost_a_value_does_not_run_the_steps_that_did_not_read_it(folder: Path) -> None:
    s1 = "import threading\nlock = threading.Lock(); n = 1"
    cells = [(1, s1), (2, "m = n + 1")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert facts[1]["action"] == "restored"


def test_an_alias_made_by_an_unmarked_cell_leads_to_the_name_of_the_step(folder: Path) -> None:
    cells = [(1, "x = [1]"), "z = x", (2, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = [1]"), "z = x", "z.append(2)", (2, "y = len(x)")])
    assert kernel.names["y"] == 2


def test_a_change_through_a_container_of_the_same_step_is_seen(folder: Path) -> None:
    cells = [(1, "x = [1]; d = {'x': x}"), (2, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [cells[0], "d['x'].append(2)", cells[1]])
    assert kernel.names["y"] == 2


def test_a_change_through_an_object_that_an_unmarked_cell_filled_is_seen(folder: Path) -> None:
    cells = ["reg = {}", (1, "x = [1]"), "reg['x'] = x", (2, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, cells[:3] + ["reg['x'].append(2)", cells[3]])
    assert kernel.names["y"] == 2


def test_a_change_through_a_function_of_an_unmarked_cell_is_seen(folder: Path) -> None:
    cells = [(1, "x = [1]"), "def f():\n    x.append(1)", (2, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, cells[:2] + ["f()", cells[2]])
    assert kernel.names["y"] == 2


def test_a_change_through_a_method_of_an_object_of_an_unmarked_cell_is_seen(folder: Path) -> None:
    cells = [
        (1, "x = [1]"),
        "class H:\n    def __init__(self, v): self.v = v\n    def go(self): self.v.append(3)\nh = H(x)",
        (2, "y = len(x)"),
    ]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, cells[:2] + ["h.go()", cells[2]])
    assert kernel.names["y"] == 2


def test_unmarked_cells_that_only_look_run_no_step(folder: Path) -> None:
    pytest.importorskip("pandas")
    s1 = "import pandas as pd\ndf = pd.DataFrame({'a':[1,2,3],'b':list('xyz')})\n"
    s1 += "df = df[df.a>1].copy()\ndf['z'] = df.a*2\ns={'q','r'}"
    cells = [
        (1, s1),
        "df.head(); print(df.shape, s)",
        "small = df.describe()",
        "small",
        (2, "y = int(df.z.sum()) + len(s)"),
        "print(y)",
        (3, "w = y + len(df)"),
    ]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert actions(facts) == ["restored"] * 3, facts


def test_an_unmarked_cell_that_may_do_anything_runs_a_step_only_if_it_did(folder: Path) -> None:
    cells = [(1, "x = [1]"), (2, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = play(kernel, [cells[0], "exec('q = 1')", cells[1]])
    assert actions(facts) == ["restored", "restored"]
    kernel = Kernel(folder, 9)
    facts = play(kernel, [cells[0], "exec('x.append(3)')", cells[1]])
    assert kernel.names["y"] == 2


def test_a_quiet_magic_in_a_step_reads_nothing(folder: Path) -> None:
    m = "get_ipython().run_line_magic('matplotlib', 'inline')\nz = 1"
    kernel = Kernel(folder)
    kernel.names["get_ipython"] = lambda: type("S", (), {"run_line_magic": lambda *a: None})()
    play(kernel, [(1, "x = 1"), (2, m)])
    kernel = Kernel(folder, 9)
    kernel.names["get_ipython"] = lambda: 1
    facts = play(kernel, [(1, "x = 2", {"force": True}), (2, m)])
    assert actions(facts) == ["saved", "restored"], facts


def test_a_cell_of_functions_run_twice_is_restored(folder: Path) -> None:
    cells = [(1, "def f(n): return g(n)\ndef g(n): return f(n-1) if n else 0\nx = f(3)"), (2, "y = f(x)")]
    kernel = Kernel(folder)
    play(kernel, [cells[0], cells[0], cells[1], cells[1]])
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert actions(facts) == ["restored"] * 2, facts


def test_a_notebook_run_twice_in_one_kernel_is_restored(folder: Path) -> None:
    cells = [
        (1, "import math\nraw = [3, 1]"),
        (2, "total = 0\nfor i in raw:\n    total += i\nout = sorted(raw)"),
        (3, "res = [math.floor(i) for i in out]\nprint(total)"),
    ]
    kernel = Kernel(folder)
    play(kernel, cells + cells + [cells[1], cells[2]])
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert actions(facts) == ["restored"] * 3, facts


def test_a_counter_run_twice_is_not_restored_in_a_new_kernel(folder: Path) -> None:
    s = "try:\n    n += 1\nexcept NameError:\n    n = 1"
    play(Kernel(folder), [(1, s), (1, s)])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, s)])
    assert kernel.names["n"] == 1


def test_a_counter_of_an_unmarked_cell_run_twice_is_not_restored_in_a_new_kernel(folder: Path) -> None:
    kernel = Kernel(folder)
    play(kernel, ["n = 0", (1, "n += 1"), (1, "n += 1")])
    kernel = Kernel(folder, 9)
    play(kernel, ["n = 0", (1, "n += 1")])
    assert kernel.names["n"] == 1


def test_a_large_value_of_another_pipeline_counts_by_its_digest(folder: Path) -> None:
    big = "x = list(range({}))"

    def cells(length: int) -> Cells:
        return [(1, big.format(length), {"name": "q", "force": True}), (1, "y = len(x)")]

    play(Kernel(folder), cells(100000))
    kernel = Kernel(folder, 9)
    play(kernel, cells(200000))
    assert kernel.names["y"] == 200000
    kernel = Kernel(folder, 9)
    facts = play(kernel, [(1, big.format(200000), {"name": "q"}), (1, "y = len(x)")])
    assert actions(facts) == ["restored"] * 2, facts


def test_a_restore_of_another_pipeline_that_writes_a_name_counts_too(folder: Path) -> None:
    play(Kernel(folder), [(1, "x = 1"), (2, "y = x")])
    play(Kernel(folder), [(1, "x = 7", {"name": "q"})])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = 1"), (1, "x = 7", {"name": "q"}), (2, "y = x")])
    assert kernel.names["y"] == 7


def test_versions_that_begin_alike_are_apart(folder: Path) -> None:
    play(Kernel(folder), [(1, "x = 1", {"version": "2-beta"}), (2, "y = x", {"version": "2-beta"})])
    play(Kernel(folder), [(1, "x = 5", {"version": "2"}), (2, "y = x", {"version": "2"})])
    kernel = Kernel(folder, 9)
    facts = play(kernel, [(1, "x = 1", {"version": "2-beta"}), (2, "y = x", {"version": "2-beta"})])
    assert actions(facts) == ["restored"] * 2 and kernel.names["y"] == 1


def test_two_versions_in_one_kernel_are_two_pipelines(folder: Path) -> None:
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = 1"), (2, "y = x")])
    play(kernel, [(1, "x = 5", {"version": "2"}), (2, "y = x", {"version": "2"})])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = 1"), (1, "x = 5", {"version": "2"}), (2, "y = x")])
    assert kernel.names["y"] == 5


def test_a_pushed_step_whose_cell_has_other_code_runs(folder: Path) -> None:
    play(Kernel(folder), [(1, "x = 1"), (2, "y = x")])
    kernel = Kernel(folder, 9)
    with kernel._as_main():
        push(kernel.session, kernel.session.settings.resolve(StepCall(1)), [1])
    facts = play(kernel, [(1, "x = 2"), (2, "y = x")])
    assert actions(facts) == ["saved", "saved"] and kernel.names["y"] == 2


def test_push_refuses_to_overwrite_what_an_unmarked_cell_changed_in_place(folder: Path) -> None:
    play(Kernel(folder), [(1, "x = [1]"), (2, "y = x")])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "x = [1]"), "x.append(5)"])
    with pytest.raises(UsageError, match="`x`"), kernel._as_main():
        push(kernel.session, kernel.session.settings.resolve(StepCall(1)), [1, 2])


def test_a_lost_value_runs_only_the_steps_that_read_it(folder: Path) -> None:
    cells = [
        (1, "import threading\nlock = threading.Condition(); n = 1"),
        (2, "m = n + 1"),
        (3, "with lock:\n    o = m"),
    ]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = play(kernel, cells)
    assert facts[1]["action"] == "restored"


def test_nothing_fits_what_an_abandoned_step_may_have_changed(folder: Path) -> None:
    cells = [(1, "x = [1]"), (2, "x.append(2)"), (3, "y = len(x)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder)
    play(kernel, [cells[0]])
    with kernel._as_main():
        plan = kernel.session.begin(StepCall(2), Body(cells[1][1], ast.parse(cells[1][1]), "", ""))
        exec("x.append(2); x.append(3)", kernel.names)
        kernel.session.abandon(plan, "gone")
    kernel.session.settings.set_start(9)
    facts = play(kernel, [cells[2]])
    assert kernel.names["y"] == 3, facts


def test_a_step_does_not_fit_the_half_work_of_a_failed_lower_step(folder: Path) -> None:
    cells = [(1, "x = [1]"), (2, "x.append(2)\nif boom: 1/0\nx.append(3)"), (3, "y = len(x)")]
    play(Kernel(folder), ["boom = 0", *cells])
    kernel = Kernel(folder, 2)
    with pytest.raises(ZeroDivisionError):
        play(kernel, ["boom = 1", *cells[:2]])
    kernel.session.settings.set_start(9)
    play(kernel, [cells[2]])
    assert kernel.names["y"] == 2


def test_a_folder_that_is_gone_is_an_error_and_touches_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(tmp_path)
    cells = [(1, "import os\nos.chdir('work')\nx = 1")]
    play(Kernel(folder), cells)
    monkeypatch.chdir(tmp_path)
    work.rmdir()
    kernel = Kernel(folder, 2)
    with pytest.raises(CheckpointUnreadableError):
        play(kernel, cells)
    assert "x" not in kernel.names
    work.mkdir()
    assert actions(play(kernel, cells)) == ["restored"]
    assert Path.cwd() == work


def test_an_environment_variable_comes_back_for_the_steps_that_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ["import os", (1, "os.environ['PLACE'] = 'b'\nx = 1"), (2, "y = os.environ['PLACE']")]
    for start in ("none", 2):
        monkeypatch.setenv("PLACE", "a")
        kernel = Kernel(folder, start)
        play(kernel, cells)
        assert kernel.names["y"] == "b"


@pytest.mark.parametrize("start", [2, 3, 4, 5, "end", "auto"])
def test_random_numbers_are_those_of_the_full_run_at_every_start_point(folder: Path, start: int | str) -> None:
    cells: Cells = [(1, "import random\nrandom.seed(1)\na = random.random()"), "b = random.random()"]
    cells += [(2, "c = random.random()"), "d = random.random()", (3, "e = 1"), (4, "f = random.random()")]
    full = Kernel(folder)
    play(full, cells)
    random.seed(77)
    kernel = Kernel(folder, start)
    play(kernel, cells)
    assert [kernel.names[name] for name in "abcdf"] == [full.names[name] for name in "abcdf"]


def test_a_tampered_file_in_the_middle_stops_a_number_and_runs_with_auto(folder: Path) -> None:
    cells = [(1, "a = 1"), (2, "b = a"), (3, "c = b")]
    play(Kernel(folder), cells)
    path = Store(folder).path("p", "1", 2)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"b = a"', b'"b = z"'))
    kernel = Kernel(folder, 9)
    with pytest.raises(TamperedError):
        play(kernel, cells)
    kernel.session.settings.set_start("auto")
    assert actions(play(kernel, cells)) == ["restored", "saved", "restored"]


def test_after_an_error_the_next_step_works(folder: Path) -> None:
    kernel = Kernel(folder, 9)
    for wrong in ({"save": ("nope",)}, {"name": "a/b"}, {"folder": "s3://b"}):
        with pytest.raises(UsageError):
            kernel.step(1, "x = 1", **wrong)
    assert kernel.session.active is None
    assert kernel.step(1, "x = 1")["action"] == "saved"


def test_steps_that_did_not_read_what_was_left_out_are_restored(folder: Path) -> None:
    cells = [(1, "a = [1]; tmp = [2]", {"save": ("a",)}), (2, "b = a + [3]")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    assert actions(play(kernel, cells)) == ["restored", "restored"]
    with pytest.raises(LostValueError):
        len(kernel.names["tmp"])
    assert actions(play(Kernel(folder, 2), cells)) == ["restored", "saved"]


def test_a_name_left_out_of_a_sharing_group_never_gives_a_wrong_value_below(folder: Path) -> None:
    cells = [(1, "a = [1]; d = {'a': a}", {"drop": ("d",)}), (2, "d['a'].append(2)"), (3, "n = len(a)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, cells)
    assert (kernel.names["a"], kernel.names["n"]) == ([1, 2], 2)


def test_a_dropped_name_that_an_unmarked_cell_makes_anew_runs_the_step_that_reads_it(folder: Path) -> None:
    cells = [(1, "a = 1; b = 2", {"drop": ("b",)}), (2, "c = b")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [cells[0], "b = 50", cells[1]])
    assert kernel.names["c"] == 50


def test_a_forced_step_with_the_same_result_costs_the_later_ones_nothing(folder: Path) -> None:
    cells = [(1, "n = 1"), (2, "m = n + 1"), (3, "o = m + 1")]
    play(Kernel(folder), cells)
    facts = play(Kernel(folder, 9), [cells[0], (2, "m = n + 1", {"force": True}), cells[2]])
    assert actions(facts) == ["restored", "saved", "restored"]


def test_a_flag_with_another_value_runs_the_step_that_branches_on_it(folder: Path) -> None:
    step = (1, "if flag:\n    x = 1\nelse:\n    z = 2")
    play(Kernel(folder), ["flag = True", step])
    kernel = Kernel(folder, 9)
    play(kernel, ["flag = False", step])
    assert "x" not in kernel.names
    assert kernel.names["z"] == 2


def test_steps_met_in_reverse_order_are_as_if_they_had_run(folder: Path) -> None:
    cells = [(1, "a = [1]"), (2, "a.append(2)"), (3, "b = len(a)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [cells[2], cells[1], cells[0], cells[2]])
    assert kernel.names["b"] == 1


def test_nothing_in_the_banner_changes_when_a_restore_is_repeated(folder: Path) -> None:
    cells = [(1, "a = [1]"), (2, "a.append(2)"), (3, "b = len(a)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    facts = kernel.step(*cells[2])
    assert any("%ckpt_load --push" in note for note in facts["notes"])
    assert kernel.step(*cells[2]) == facts


def test_a_renamed_notebook_is_told_the_name_of_its_checkpoints(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.ipynb"
    old.touch()
    Kernel(folder, notebook=old, name=None).step(1, "x = 1")
    new = old.rename(tmp_path / "new.ipynb")
    facts = Kernel(folder, 9, notebook=new, name=None).step(1, "x = 1")
    assert "renamed? --name old" in facts["notes"]


def test_auto_runs_the_edited_step_of_many_and_restores_those_that_read_nothing_of_it(folder: Path) -> None:
    cells = [(number, f"v{number} = {number}") for number in range(1, 13)]
    play(Kernel(folder, "auto"), cells)
    assert actions(play(Kernel(folder, "auto"), cells)) == ["restored"] * 12
    cells[4] = (5, "v5 = 55")
    assert actions(play(Kernel(folder, "auto"), cells)) == ["restored"] * 4 + ["saved"] + ["restored"] * 7


def test_auto_runs_what_lies_below_an_edit_in_the_same_kernel(folder: Path) -> None:
    kernel = Kernel(folder, "auto")
    play(kernel, [(1, "a = 1"), (2, "b = a"), (3, "c = b")])
    play(kernel, [(2, "b = a + 1"), (3, "c = b")])
    assert kernel.names["c"] == 2


def test_a_step_run_again_does_not_save_what_a_later_step_keeps_of_its_old_value(folder: Path) -> None:
    cells = [(1, "x = [1]"), (2, "y = {'x': x}")]
    play(Kernel(folder), [*cells, *cells])
    assert [row["name"] for row in meta(folder, 1)["variables"]] == ["x"]
    assert actions(play(Kernel(folder, 9), cells)) == ["restored", "restored"]


def meta(folder: Path, step: int) -> Any:
    kernel = Kernel(folder)
    stored = kernel.session.open(kernel.session.settings.resolve(StepCall(step)), step)
    return stored.meta if stored is not None else None


def test_a_step_run_again_after_a_failed_save_is_as_good_as_any(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    cells = [(1, "x = [1]"), (2, "y = x")]
    kernel = Kernel(folder, 9)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", full)
        with pytest.warns(CheckpointWarning):
            play(kernel, cells[:1])
    assert actions(play(kernel, cells)) == ["saved", "saved"]
    assert actions(play(Kernel(folder, 9), cells)) == ["restored", "restored"]


def test_a_change_that_nobody_saw_happen_belongs_to_no_step(folder: Path) -> None:
    """As a thread or the callback of a widget makes it."""
    cells = [(1, "x = [1]"), (2, "y = len(x)")]
    kernel = Kernel(folder)
    play(kernel, cells[:1])
    kernel.names["x"].append(5)
    play(kernel, cells[1:])
    kernel = Kernel(folder, 9)
    play(kernel, cells)
    assert kernel.names["y"] == 1


def test_an_edited_class_of_a_lower_step_runs_the_step_that_uses_its_instance(folder: Path) -> None:
    definition = "class A:\n    def f(self): return {}\na = A()"
    play(Kernel(folder), [(1, definition.format(1)), (2, "r = a.f()")])
    kernel = Kernel(folder, 9)
    play(kernel, [(1, definition.format(2), {"force": True}), (2, "r = a.f()")])
    assert kernel.names["r"] == 2


def test_a_value_read_through_a_function_of_a_step_counts(folder: Path) -> None:
    cells = [(1, "K = 1"), (2, "def f(): return K"), (3, "r = f()")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "K = 2", {"force": True}), *cells[1:]])
    assert kernel.names["r"] == 2


def test_a_function_that_reads_what_a_later_step_makes_is_restored_after_two_runs(folder: Path) -> None:
    cells = [(1, "def f(): return LATER\nx = 1"), (2, "LATER = 3\ny = f()")]
    play(Kernel(folder), [*cells, *cells])
    kernel = Kernel(folder, 9)
    assert actions(play(kernel, [*cells, *cells])) == ["restored"] * 4
    assert kernel.names["y"] == 3


def test_a_function_that_the_cell_defines_and_another_one_calls_is_awake(folder: Path) -> None:
    cells = [(1, "K = 1"), (2, "def call(): return f()"), (3, "def f(): return K\nr = call()")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, [(1, "K = 2", {"force": True}), *cells[1:]])
    assert kernel.names["r"] == 2


SEED = "import random\nrandom.seed({})"


@pytest.mark.parametrize("start", [2, 3, 4, "end", "auto"])
@pytest.mark.parametrize(
    "old",
    [
        [SEED, (1, "a = 1"), (2, "b = random.random()"), (3, "c = random.random()")],
        [(1, "import random\na = random.random()"), SEED, (2, "b = random.random()"), (3, "c = 1")],
        ["import random\ndef prepare(n): random.seed(n)", "prepare({})", (1, "a = random.random()"), (2, "b = a")],
    ],
)
def test_an_edited_seed_runs_the_steps_that_drew_from_it(folder: Path, old: Cells, start: int | str) -> None:
    def edited(seed: int) -> Cells:
        return [one.format(seed) if isinstance(one, str) else one for one in old]

    random.seed(7)
    play(Kernel(folder), edited(1))
    random.seed(7)
    full = Kernel(folder / "other")
    play(full, edited(2))
    random.seed(7)
    kernel = Kernel(folder, start)
    play(kernel, edited(2))
    assert {n: kernel.names.get(n) for n in "abc"} == {n: full.names.get(n) for n in "abc"}
    random.seed(7)
    assert set(actions(play(Kernel(folder, "end"), edited(2)))) == {"restored"}


def test_a_step_that_draws_nothing_leaves_what_was_drawn_above_it_since_it_was_made(folder: Path) -> None:
    """The seed was edited, and the step that draws from it ran again; the one below it was restored, now and then."""
    old, new = ([SEED.format(seed), (1, "a = random.random()"), (2, "b = 1"), "c = random.random()"] for seed in (1, 2))
    play(Kernel(folder), old)
    full = Kernel(folder / "other")
    play(full, new)
    for expected in (["saved", "restored"], ["restored", "restored"]):
        kernel = Kernel(folder, "auto")
        assert actions(play(kernel, new)) == expected
        assert kernel.names["c"] == full.names["c"]


def test_numbers_that_nobody_seeded_are_as_good_as_any(folder: Path) -> None:
    cells = ["import random\nx = random.random()", (1, "a = random.random()"), (2, "b = random.random()")]
    random.seed(1)
    play(Kernel(folder), cells)
    random.seed(2)
    kernel = Kernel(folder, 9)
    assert actions(play(kernel, cells)) == ["restored", "restored"]


EDITS = [
    ("def make(n):\n    return lambda x: x * n\nf = make({})", "f(2)"),
    ("class C:\n    def __init__(self, n): self.n = n\nv = C({})", "v.n"),
    ("class C:\n    def go(self): return {}\nv = C()", "v.go()"),
    ("class C:\n    n = {}", "C.n"),
    ("import numpy as np\nv = np.full(200000, {})", "int(v.sum())"),
    ("f = lambda: {}", "f()"),
    ("import functools\nf = functools.partial(pow, {})", "f(3)"),
    ("def f(x, k={}): return x * k", "f(3)"),
    ("def f(): return f.k\nf.k = {}", "f()"),
    ("def g():\n    while True: yield {}\nv = g()", "next(v)"),
    ("v = list(range({} * 100000))", "len(v)"),
]


@pytest.mark.parametrize(("cell", "use"), EDITS)
def test_whatever_an_unmarked_cell_makes_counts_when_it_is_edited(folder: Path, cell: str, use: str) -> None:
    steps = [(1, f"a = {use}"), (2, f"b = a + {use}")]
    play(Kernel(folder), [cell.format(3), *steps])
    for start in (2, 3, "auto"):
        kernel, full = Kernel(folder, start), Kernel(folder / "other")
        play(kernel, [cell.format(4), *steps])
        play(full, [cell.format(4), *steps])
        assert (kernel.names["a"], kernel.names["b"]) == (full.names["a"], full.names["b"])


def test_a_name_that_was_absent_and_is_there_now_runs_the_step(folder: Path) -> None:
    cells = [(1, "try:\n    k = OPTION\nexcept NameError:\n    k = 0"), (2, "n = sum([1, 2])")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, 9)
    play(kernel, ["OPTION = 5\ndef sum(them): return 99", *cells])
    assert (kernel.names["k"], kernel.names["n"]) == (5, 99)


def test_a_change_outside_any_cell_is_named_carried_and_holds_for_this_kernel_only(folder: Path) -> None:
    kernel = Kernel(folder)
    play(kernel, [(1, "x = [1]; z = [0]"), "y = 1"])
    kernel.names["x"].append(5)  # as the callback of a widget does
    kernel.names["z"].append(5)
    facts = kernel.step(2, "n = len(x)")
    assert any("after a change outside any cell (`x`)" in note for note in facts["notes"])
    assert any("`z` was changed outside any cell" in note for note in facts["notes"])
    row = meta(folder, 2)
    assert [one["name"] for one in row["variables"]] == ["x", "n"]
    kernel = Kernel(folder, 9)
    facts = play(kernel, [(1, "x = [1]; z = [0]"), "y = 1", (2, "n = len(x)")])
    assert actions(facts) == ["restored", "saved"]
    assert kernel.names["n"] == 1
    assert meta(folder, 2)["marks"] == []


def test_a_change_outside_any_cell_is_seen_before_a_restore(folder: Path) -> None:
    cells = [(1, "x = [1]"), (2, "n = len(x)")]
    play(Kernel(folder), cells)
    for start in ("none", 9):
        kernel = Kernel(folder, start)
        play(kernel, cells[:1])
        kernel.names["x"].append(5)
        kernel.session.settings.set_start(9)
        play(kernel, cells[1:])
        assert kernel.names["n"] == 2
        Kernel(folder).step(*cells[0])
        play(Kernel(folder), cells)


def test_what_cells_do_is_not_taken_for_a_change_outside(folder: Path) -> None:
    cells = [
        (1, "x = [1]; d = {'x': x}\ndef f(): x.append(3)"),
        "x.append(2)",
        "f(); new = 1",
        "exec('other = 1')",
        (2, "n = len(x)"),
        "d['x'].append(3); del new",
        (3, "m = len(x), n"),
    ]
    for start in ("none", 2, 3, 9):
        for facts in play(Kernel(folder, start), cells):
            assert not any("outside" in note for note in facts["notes"]), facts


def test_a_thread_that_an_unmarked_cell_started_is_named_and_its_changes_are_seen(folder: Path) -> None:
    cells: Cells = [
        (1, "x = [1]"),
        "import threading\ngo, done = threading.Event(), threading.Event()\n"
        "def work():\n    go.wait(5); x.append(7); done.set()\n"
        "t = threading.Thread(target=work, daemon=True); t.start()",
    ]
    play(Kernel(folder), [cells[0], (2, "n = len(x)")])
    kernel = Kernel(folder, 9)
    play(kernel, cells)
    kernel.names["go"].set()
    kernel.names["done"].wait(5)
    kernel.names["t"].join()
    assert actions(play(kernel, [(2, "n = len(x)")])) == ["saved"]
    assert kernel.names["n"] == 2


FRAME = "f = pd.DataFrame({'a': range(100), 'b': 1.5}); x = f[f.a > 3].reset_index(drop=True); x['c'] = x['a'] > 5"


@pytest.mark.parametrize(
    ("makes", "uses"),
    [
        ("x = np.arange(20).reshape(4, 5)", "y = [x]"),
        ("x = np.arange(20).reshape(4, 5)", "x[0] = 3; y = x[1:]"),
        (FRAME, "y = [x]"),
        (FRAME, "x['d'] = 3; y = x['d'].sum()"),
    ],
)
def test_what_runs_on_small_restored_arrays_gives_what_it_gave(folder: Path, makes: str, uses: str) -> None:
    """And the same result makes nothing stale that comes after it."""
    cells: Cells = ["import numpy as np, pandas as pd", (1, makes), (2, uses), (3, "z = str(y)")]
    play(Kernel(folder), cells)
    kernel = Kernel(folder, "auto")
    assert actions(play(kernel, [*cells[:2], (2, f"{uses}; None"), cells[3]])) == ["restored", "saved", "restored"]
    names = Kernel(folder)
    play(names, cells)
    assert kernel.names["z"] == names.names["z"]


@pytest.mark.parametrize("number", [None, 1], ids=["an unmarked cell", "a step"])
def test_a_value_of_arrays_over_each_other_is_another_one_than_the_same_numbers_apart(
    folder: Path, number: int | None
) -> None:
    def cells(second: str) -> Cells:
        made = f"import numpy as np; a = np.zeros(3); pair = [a, {second}]; del a"
        return [made if number is None else (number, made), (2, "pair[0][0] = 5; r = float(pair[1][0])")]

    play(Kernel(folder), cells("a[:]"))
    assert set(actions(play(Kernel(folder, "auto"), cells("a[:]")))) == {"restored"}
    kernel = Kernel(folder, "auto")
    assert actions(play(kernel, cells("a.copy()")))[-1] == "saved"
    assert kernel.names["r"] == 0
