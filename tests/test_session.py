from __future__ import annotations

import contextlib
import gc
import os
import pickle
import random
import sqlite3
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import (
    CheckpointUnreadableError,
    CheckpointWarning,
    LostValueError,
    NotPicklableError,
    OtherKeyError,
    OtherWriterError,
    TamperedError,
    UsageError,
)
from ckpt_magic.files.store import Store
from ckpt_magic.steps import record
from ckpt_magic.steps.looks import Looks
from ckpt_magic.steps.push import push
from tests.kernels import Kernel


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ckpt"


# pickled by the look, it raises when it is saved
ONCE = """
class Once:
    n = 0
    def __reduce__(self):
        Once.n += 1
        if Once.n > 1:
            raise OSError("no")
        return Once, ()
x = Once()
"""


def stored(folder: Path, step: int, name: str = "p") -> Any:
    with Store(folder).path(name, "1", step).open("rb") as file:
        return pickle.load(file)


def file(folder: Path, step: int) -> Path:
    return Store(folder).path("p", "1", step)


def rewrite(path: Path, change: Any) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o600)
    path.write_bytes(data)


# --- what is saved and comes back -----------------------------------------------------------------------------------


def test_a_step_saves_what_it_made_and_a_new_kernel_gets_it_back(folder: Path) -> None:
    facts = Kernel(folder).step(1, "x = [1, 2]\ny = x")
    assert facts["action"] == "saved"
    assert stored(folder, 1) == {"x": [1, 2], "y": [1, 2]}
    kernel = Kernel(folder, 2)
    facts = kernel.step(1, "x = [1, 2]\ny = x")
    assert facts["action"] == "restored"
    assert kernel.names["x"] is kernel.names["y"]
    assert facts["run_seconds"] == 1.5


def test_a_step_does_not_save_what_it_did_not_touch(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "big = list(range(1000))")
    kernel.step(2, "small = len(big)")
    assert stored(folder, 2) == {"small": 1000}


def test_it_is_said_when_a_step_carries_much_that_it_did_not_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckpt_magic.steps.saving.MUCH_CARRIED", 1_500_000)
    kernel = Kernel(folder)
    facts = kernel.step(1, "import numpy\nbig = numpy.zeros(1 << 18)\nd = {'big': big, 'k': 1}")
    assert facts["notes"] == []
    facts = kernel.step(2, "d['k'] = 2")
    assert facts["notes"] == ["carries 2.1 MB that it did not change (`big`, shared with `d`)"]
    assert kernel.step(3, "big += 1")["notes"] == []
    assert kernel.step(4, "x = float(big[0])")["notes"] == []


def test_a_step_run_again_saves_what_it_made_the_first_time(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "d = {}")
    for _ in range(2):
        kernel.step(2, "d['k'] = 1; y = 5")
    assert stored(folder, 2) == {"d": {"k": 1}, "y": 5}


def test_a_deleted_name_is_deleted_by_the_restore(folder: Path) -> None:
    cells = [(1, "a = 1; b = 2"), (2, "del a")]
    first = Kernel(folder)
    second = Kernel(folder, "end")
    for kernel in (first, second):
        facts = [kernel.step(step, source) for step, source in cells]
    assert [f["action"] for f in facts] == ["restored", "restored"]
    assert "a" not in second.names
    assert second.names["b"] == 2


def test_random_numbers_go_on_as_if_the_step_had_run(folder: Path) -> None:
    cells = ["import random; random.seed(3); a = random.random()", "b = random.random()"]
    first = Kernel(folder)
    first.step(1, cells[0])
    first.step(2, cells[1])
    random.seed(99)
    second = Kernel(folder, 2)
    second.step(1, cells[0])
    second.step(2, cells[1])
    assert (second.names["a"], second.names["b"]) == (first.names["a"], first.names["b"])


def test_an_edited_seed_in_an_unmarked_cell_wins_over_a_step_that_did_not_draw(folder: Path) -> None:
    first = Kernel(folder)
    first.cell("import random; random.seed(1)")
    first.step(1, "x = 1")
    second = Kernel(folder, 2)
    second.cell("import random; random.seed(2)")
    second.step(1, "x = 1")
    second.cell("y = random.random()")
    assert second.names["y"] == random.Random(2).random()


def test_the_last_value_comes_back_and_shares_with_the_variables(folder: Path) -> None:
    from ckpt_magic.steps.plan import Outcome

    kernel = Kernel(folder)
    kernel.step(1, "x = [1]")
    kernel.plan = kernel.session.begin(kernel.plan.call, _body("x = [1]"))  # type: ignore[union-attr]
    exec("x = [1]", kernel.names)
    kernel.session.finish(kernel.plan, Outcome(True, has_result=True, result=kernel.names["x"], seconds=0.1))
    again = Kernel(folder, 2)
    plan = again.session.begin(kernel.plan.call, _body("x = [1]"))
    restored = again.session.restore(plan)
    assert restored.has_result
    assert restored.result is again.names["x"]


def _body(source: str) -> Any:
    import ast

    from ckpt_magic.steps.plan import Body

    return Body(source, ast.parse(source), "", source)


def test_save_and_drop_leave_placeholders_never_an_older_value(folder: Path) -> None:
    cells = [(1, "a = 1; b = 1", {}), (2, "a = 2; b = 2", {"drop": ("b",)})]
    run_all(Kernel(folder), cells)
    kernel = run_all(Kernel(folder, "end"), cells)
    assert kernel.names["a"] == 2
    with pytest.raises(LostValueError, match="step 2: `b`"):
        bool(kernel.names["b"])


def run_all(kernel: Kernel, cells: list[tuple[int, str, dict[str, Any]]]) -> Kernel:
    for step, source, options in cells:
        kernel.step(step, source, **options)
    return kernel


def test_a_step_that_used_a_placeholder_is_not_saved_even_if_it_caught_the_error(folder: Path) -> None:
    cells: list[tuple[int, str, dict[str, Any]]] = [(1, "a = 1; b = 1", {"drop": ("b",)})]
    run_all(Kernel(folder), cells)
    kernel = run_all(Kernel(folder, 2), cells)
    with pytest.warns(CheckpointWarning, match="`b`, which was lost"):
        facts = kernel.step(2, "try:\n    c = b + 1\nexcept Exception:\n    c = 0")
    assert facts["action"] == "not saved"
    assert not file(folder, 2).exists()


def test_an_unknown_name_in_save_is_an_error_before_the_cell_runs(folder: Path) -> None:
    kernel = Kernel(folder)
    with pytest.raises(UsageError, match="`nope`"):
        kernel.step(1, "x = 1", save=("nope",))
    assert "x" not in kernel.names


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({"save": ("x", "nope")}, {"x": 1}),
        ({"save": ("nope",)}, {"x": 1, "y": 2}),
        ({"drop": ("nope", "y")}, {"x": 1}),
    ],
)
def test_an_unknown_name_that_only_the_run_can_show_is_an_error_with_nothing_lost(
    folder: Path, options: dict[str, Any], saved: dict[str, Any]
) -> None:
    kernel = Kernel(folder)
    with pytest.raises(UsageError, match="`nope`, not there after the cell"):
        kernel.step(1, "exec('x = 1; y = 2')", **options)
    assert (kernel.names["x"], kernel.names["y"]) == (1, 2)
    assert stored(folder, 1) == saved
    assert Kernel(folder, 2).step(1, "exec('x = 1; y = 2')", **options)["action"] == "restored"
    assert kernel.step(2, "z = x")["notes"] == []


def test_a_name_to_leave_out_may_come_and_go_in_its_cell(folder: Path) -> None:
    assert Kernel(folder).step(1, "x = 1\nt = 2\ndel t", drop=("t",))["action"] == "saved"
    assert stored(folder, 1) == {"x": 1}


def test_a_lost_value_is_named_and_the_step_runs_again_for_a_later_step_that_reads_it(folder: Path) -> None:
    source = "import sqlite3; conn = sqlite3.connect(':memory:'); n = 3"
    first = Kernel(folder)
    facts = first.step(1, source)
    first.step(2, "one = conn.execute('select 1').fetchone()")
    assert any("`conn` (sqlite3.Connection) cannot be saved" in note for note in facts["notes"])
    assert stored(folder, 1)["n"] == 3
    kernel = Kernel(folder, 2)
    facts = kernel.step(1, source)
    assert facts["action"] == "saved"
    assert facts["reason"] == "`conn` could not be saved, and step 2 reads it"
    assert type(kernel.names["conn"]) is sqlite3.Connection


def test_a_lost_value_changed_outside_any_cell_before_a_step_read_it_is_needed_all_the_same(folder: Path) -> None:
    sources = {1: "box = {'n': 1, 'rows': iter_rows()}; next(box['rows'])", 2: "m = box['n']"}
    first = Kernel(folder)
    first.cell("def iter_rows():\n    yield 1")
    first.step(1, sources[1])
    first.names["box"]["n"] = 2
    first.session.outside_ran()  # from here on the name comes from no step
    first.step(2, sources[2])
    kernel = Kernel(folder, 3)
    kernel.cell("def iter_rows():\n    yield 1")
    facts = kernel.step(1, sources[1])
    assert (facts["action"], facts["reason"]) == ("saved", "`box` could not be saved, and step 2 reads it")
    assert kernel.step(2, sources[2])["action"] == "saved"
    assert kernel.names["m"] == 1


def test_a_lost_value_that_nobody_reads_is_bound_to_a_placeholder(folder: Path) -> None:
    source = "import sqlite3; conn = sqlite3.connect(':memory:'); n = 3"
    Kernel(folder).step(1, source)
    for drop in ((), ("conn",)):
        kernel = Kernel(folder, 2)
        facts = kernel.step(1, source, drop=drop)
        assert (facts["action"], kernel.names["n"]) == ("restored", 3)
        assert "`conn` could not be saved" in facts["notes"]
        with pytest.raises(LostValueError, match=r"step 1: `conn` \(sqlite3.Connection\).*%%step 1 --force"):
            kernel.names["conn"].execute("select 1")


REFUSES_LATER = "import sys; x = [1]; late = [type(sys.flags)]; both = [late, x]"  # a type that no import finds


def test_what_can_be_looked_at_and_not_written_is_lost_and_all_else_is_saved(folder: Path) -> None:
    first = Kernel(folder)
    facts = first.step(1, REFUSES_LATER)
    assert sorted(facts["notes"]) == ["`both` (list) cannot be saved", "`late` (list) cannot be saved"]
    assert first.step(2, "x.append(2)")["action"] == "saved"
    assert first.step(3, "y = x[1]")["notes"] == []
    kernel = Kernel(folder, 4)
    assert kernel.step(1, REFUSES_LATER)["action"] == "restored"
    assert kernel.step(2, "x.append(2)")["action"] == "restored"
    assert kernel.step(3, "y = x[1]")["action"] == "restored"
    assert (kernel.names["x"], kernel.names["y"]) == ([1, 2], 2)
    with pytest.raises(LostValueError, match="step 1: `both`"):
        kernel.names["both"].append(3)


@pytest.mark.parametrize("start", ["auto", 2, "end"])
def test_a_step_runs_again_whose_temporary_folder_goes_with_its_kernel(folder: Path, start: int | str) -> None:
    makes = "import pathlib, tempfile; tmp = tempfile.TemporaryDirectory(); p = pathlib.Path(tmp.name, 'a.txt')"
    steps = [f"{makes}; written = p.write_text('told')", "text = p.read_text()", "size = len(text)"]
    first, later = Kernel(folder), Kernel(folder, start)
    for number, source in enumerate(steps, 1):
        first.step(number, source)
    first.names["tmp"].cleanup()
    assert (
        later.step(1, steps[0])["reason"]
        == "what a `weakref.finalize` calls at the end of an object cannot be restored"
    )
    assert later.step(2, steps[1])["action"] == "saved"
    assert (later.step(3, steps[2])["action"] == "restored") == (start != 2)
    assert (later.names["text"], later.names["size"]) == ("told", 4)
    later.names["tmp"].cleanup()


def test_what_is_required_and_cannot_be_written_fails_the_step(folder: Path) -> None:
    with pytest.raises(NotPicklableError, match="--require late: the type flags"):
        Kernel(folder).step(1, REFUSES_LATER, require=("late",))
    assert not folder.exists() or not list(folder.glob("*.pkl"))


def test_require_fails_the_step_and_keeps_the_earlier_checkpoint(folder: Path) -> None:
    Kernel(folder).step(1, "conn = 5", require=("conn",))
    with pytest.raises(NotPicklableError, match="--require conn"):
        Kernel(folder).step(1, "import sqlite3; conn = sqlite3.connect(':memory:')", require=("conn",))
    assert stored(folder, 1) == {"conn": 5}


# --- what does not fit ----------------------------------------------------------------------------------------------


def test_a_new_result_upstream_runs_the_step_and_the_same_result_costs_nothing(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, "x = [1]")
    first.step(2, "y = x + [2]")
    same = Kernel(folder, 3)
    same.step(1, "x = [1]  # again", force=True)
    assert same.step(2, "y = x + [2]")["action"] == "restored"
    other = Kernel(folder, 3)
    other.step(1, "x = [5]", force=True)
    facts = other.step(2, "y = x + [2]")
    assert (facts["action"], other.names["y"]) == ("saved", [5, 2])
    assert "`x` of step 1" in facts["reason"]


def test_a_parameter_with_another_value_runs_the_step(folder: Path) -> None:
    first = Kernel(folder)
    first.cell("lr = 0.1")
    first.step(1, "y = lr * 2")
    other = Kernel(folder, 2)
    other.cell("lr = 0.2")
    facts = other.step(1, "y = lr * 2")
    assert facts["action"] == "saved"
    assert "`lr` has another value" in facts["reason"]


def test_a_parameter_read_through_a_function_counts_too(folder: Path) -> None:
    first = Kernel(folder)
    first.cell("lr = 0.1\ndef f(x):\n    return x * lr\ntable = {'f': f}")
    first.step(1, "y = table['f'](2)")
    other = Kernel(folder, 2)
    other.cell("lr = 0.2\ndef f(x):\n    return x * lr\ntable = {'f': f}")
    assert other.step(1, "y = table['f'](2)")["action"] == "saved"
    assert other.names["y"] == 0.4


def test_instances_of_a_class_from_an_unmarked_cell_are_instances_of_the_live_class(folder: Path) -> None:
    definition = "class C:\n    def __init__(self, x):\n        self.x = x\ndef f():\n    return 1"
    for start in ("none", 2):
        kernel = Kernel(folder, start)
        kernel.cell(definition)
        facts = kernel.step(1, "c = C(3); table = {'f': f}")
    assert facts["action"] == "restored"
    assert type(kernel.names["c"]) is kernel.names["C"]
    assert kernel.names["table"]["f"] is kernel.names["f"]
    edited = Kernel(folder, 2)
    edited.cell(definition.replace("self.x = x", "self.x = 2 * x"))
    facts = edited.step(1, "c = C(3); table = {'f': f}")
    assert (facts["action"], edited.names["c"].x) == ("saved", 6)
    assert "`C` is defined otherwise" in facts["reason"]


def test_a_class_counts_that_only_unpickled_bytes_name(folder: Path) -> None:
    definitions = (
        "import pickle\nclass Tool:\n    def go(self): return 1\ndef spare(): return 0\ndata = pickle.dumps(Tool())"
    )

    def facts(definitions: str, start: int | str, code: str) -> Any:
        kernel = Kernel(folder, start)
        kernel.cell(definitions)
        return kernel.step(1, code)

    loads, dumps = "y = pickle.loads(data).go()", "y = len(pickle.dumps(1))"
    other = definitions.replace("return 1", "return 2")
    facts(definitions, "none", loads)
    assert facts(definitions, 2, loads)["action"] == "restored"
    assert "`Tool` is defined otherwise" in facts(other, 2, loads)["reason"]
    facts(definitions, "none", dumps)
    assert facts(other, 2, dumps)["action"] == "restored"


def test_an_unmarked_cell_that_gives_a_held_name_another_value_runs_the_step(folder: Path) -> None:
    first = Kernel(folder)
    first.cell("rows = [1]")
    first.step(1, "rows.append(2)")
    same = Kernel(folder, 2)
    same.cell("rows = [1]")
    assert same.step(1, "rows.append(2)")["action"] == "restored"
    other = Kernel(folder, 2)
    other.cell("rows = [7]")
    assert other.step(1, "rows.append(2)")["action"] == "saved"
    assert other.names["rows"] == [7, 2]


def test_what_unmarked_cells_do_after_the_step_does_not_count(folder: Path) -> None:
    for start in ("none", 3):
        kernel = Kernel(folder, start)
        kernel.step(1, "rows = [1]")
        kernel.step(2, "rows.append(2)")
        kernel.cell("rows.append(3)")
        assert kernel.names["rows"] == [1, 2, 3]


def test_an_unmarked_cell_that_only_looks_does_not_run_the_step(folder: Path) -> None:
    for start in ("none", 3):
        kernel = Kernel(folder, start)
        kernel.step(1, "rows = [1]")
        kernel.cell("n = len(rows)")
        facts = kernel.step(2, "rows.append(2)")
    assert facts["action"] == "restored"
    assert kernel.names["rows"] == [1, 2]


def test_a_name_changed_only_by_unmarked_cells_stays_out_of_a_step(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "a = [1]")
    kernel.cell("a.append(2); other = 5")
    kernel.step(2, "b = 1")
    assert stored(folder, 2) == {"b": 1}


def test_editing_a_cell_and_running_it_again_runs_it(folder: Path) -> None:
    kernel = Kernel(folder, 2)
    kernel.step(1, "x = 1")
    assert kernel.step(1, "x = 1  # the same code")["action"] == "restored"
    assert kernel.step(1, "x = 2")["action"] == "saved"
    assert kernel.names["x"] == 2


def test_new_code_is_restored_by_a_number_in_a_fresh_kernel_and_said(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    kernel = Kernel(folder, 2)
    facts = kernel.step(1, "x = 2")
    assert (facts["action"], kernel.names["x"]) == ("restored", 1)
    assert "stale: code differs from the checkpoint" in facts["notes"]


def test_two_cells_with_one_number_do_not_get_each_others_values(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, "x = 1")
    first.step(1, "y = 2")
    second = Kernel(folder, 2)
    second.step(1, "x = 1")
    second.step(1, "y = 2")
    assert (second.names["x"], second.names["y"]) == (1, 2)


def test_auto_restores_up_to_the_first_step_with_other_code(folder: Path) -> None:
    for source in ("b = a + 1", "b = a + 2"):
        kernel = Kernel(folder, "auto")
        actions = [kernel.step(1, "a = 1"), kernel.step(2, source), kernel.step(3, "c = b")]
    assert [facts["action"] for facts in actions] == ["restored", "saved", "saved"]
    assert kernel.names["c"] == 3


def test_a_step_run_out_of_order_is_restored_in_no_other_kernel(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, "a = [1]")
    first.step(2, "b = a[0]")
    first.step(3, "a[0] = 9")
    facts = first.step(2, "b = a[0]")
    assert "out of order" in facts["notes"]
    second = Kernel(folder, 3)
    second.step(1, "a = [1]")
    assert second.step(2, "b = a[0]")["action"] == "saved"
    assert second.names["b"] == 1


def test_the_half_work_of_a_failed_run_belongs_to_the_step_and_marks_it(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "rows = []")
    with pytest.raises(ZeroDivisionError):
        kernel.step(2, "rows.append(1); 1/0")
    assert not file(folder, 2).exists()
    facts = kernel.step(2, "rows.append(2)")
    assert "after a failed run" in facts["notes"]
    assert stored(folder, 2) == {"rows": [1, 2]}
    again = Kernel(folder, 3)
    again.step(1, "rows = []")
    assert again.step(2, "rows.append(2)")["action"] == "saved"
    assert again.names["rows"] == [2]


def test_a_step_without_its_stored_lower_steps_says_so_and_marks_its_checkpoint(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, "a = 1")
    first.step(2, "b = 1")
    second = Kernel(folder)
    facts = second.step(2, "b = 2")
    assert any("step 1 is not in this kernel · %ckpt_load --push" in note for note in facts["notes"])
    assert Kernel(folder, 3).step(2, "b = 2")["action"] == "saved"


# --- files that are not as they should be ----------------------------------------------------------------------------


def test_a_damaged_file_is_kept_aside_and_the_step_runs(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    rewrite(file(folder, 1), lambda data: data.__delitem__(slice(-20, None)))
    kernel = Kernel(folder, 2)
    with pytest.warns(CheckpointWarning, match="kept as"):
        assert kernel.step(1, "x = 1")["action"] == "saved"
    assert [path.name for path in folder.iterdir() if ".bad-" in path.name]


def test_a_changed_skeleton_is_damaged_or_tampered_and_never_unpickled(folder: Path) -> None:
    Kernel(folder).step(1, "x = 'hello'")
    rewrite(file(folder, 1), lambda data: data.__setitem__(data.index(b"hello"), ord("j")))
    kernel = Kernel(folder, 2)
    with pytest.warns(CheckpointWarning):
        kernel.step(1, "x = 'hello'")
    assert kernel.names["x"] == "hello"


def test_changed_meta_is_tampered(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    rewrite(file(folder, 1), lambda data: data.__setitem__(data.rindex(b'"x = 1"') + 1, ord("y")))
    with pytest.raises(TamperedError):
        Kernel(folder, 2).step(1, "x = 1")
    assert Kernel(folder, "auto").step(1, "x = 1")["action"] == "saved"
    assert [path for path in folder.iterdir() if ".kept-" in path.name]


def test_someone_elses_file_is_an_error_with_a_number_and_kept_when_saved_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Kernel(folder).step(1, "x = 1")
    monkeypatch.setenv("CKPT_KEY", "another user")
    with pytest.raises(OtherKeyError, match="trust"):
        Kernel(folder, 2).step(1, "x = 2")
    assert Kernel(folder).step(1, "x = 2")["action"] == "saved"
    kept = [path for path in folder.iterdir() if ".kept-" in path.name]
    assert pickle.loads(kept[0].read_bytes()) == {"x": 1}


def test_a_file_that_cannot_be_read_here_is_an_error_with_a_number_and_kept_with_auto(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    module = tmp_path / "gone_module.py"
    module.write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    Kernel(folder).step(1, "import gone_module\nx = gone_module.Thing()")
    module.unlink()
    sys.modules.pop("gone_module")
    with pytest.raises(CheckpointUnreadableError, match=r"gone_module.*--force"):
        Kernel(folder, 2).step(1, "x = 1")
    source = "import gone_module\nx = gone_module.Thing()"
    with pytest.raises(ModuleNotFoundError):
        Kernel(folder, "auto").step(1, source)
    assert file(folder, 1).exists()


def test_a_failing_save_warns_and_keeps_the_result_and_the_old_file(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    kernel = Kernel(folder)
    with pytest.warns(CheckpointWarning, match="was not saved"):
        facts = kernel.step(1, ONCE)
    assert facts["action"] == "not saved"
    assert type(kernel.names["x"]).__name__ == "Once"
    assert stored(folder, 1) == {"x": 1}
    assert sorted(path.suffix for path in folder.iterdir() if path.name.startswith("p-")) == [".pkl"]


# --- other writers --------------------------------------------------------------------------------------------------


def test_two_notebooks_under_one_name_are_told_apart_while_both_exist(folder: Path, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.ipynb", tmp_path / "other.ipynb"
    mine.touch()
    other.touch()
    Kernel(folder, notebook=other).step(1, "x = 1")
    with pytest.raises(OtherWriterError, match=r"other\.ipynb"):
        Kernel(folder, notebook=mine).step(1, "x = 2")
    with pytest.raises(OtherWriterError):
        Kernel(folder, 2, notebook=mine).step(1, "x = 2")
    facts = Kernel(folder, 2, notebook=mine).step(1, "x = 1")
    assert "was written by other.ipynb" in facts["notes"]
    other.unlink()
    facts = Kernel(folder, notebook=mine).step(1, "x = 2")
    assert facts["action"] == "saved"
    assert "was written by other.ipynb" in facts["notes"]


def test_force_saves_over_another_notebooks_file_and_keeps_it(folder: Path, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.ipynb", tmp_path / "other.ipynb"
    other.touch()
    Kernel(folder, notebook=other).step(1, "x = 1")
    assert Kernel(folder, notebook=mine).step(1, "x = 2", force=True)["action"] == "saved"
    assert [path for path in folder.iterdir() if ".kept-" in path.name]


def test_moving_the_whole_project_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "n.ipynb").touch()
    Kernel(old / ".ckpt", notebook=old / "n.ipynb").step(1, "x = 1")
    new = old.rename(tmp_path / "new")
    facts = Kernel(new / ".ckpt", 2, notebook=new / "n.ipynb").step(1, "x = 1")
    assert (facts["action"], facts["notes"]) == ("restored", [])


def test_a_file_copied_over_another_steps_name_is_an_error(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    file(folder, 2).write_bytes(file(folder, 1).read_bytes())
    with pytest.raises(OtherWriterError):
        Kernel(folder, 3).step(2, "x = 2")


# --- loading without running ----------------------------------------------------------------------------------------


def test_push_puts_all_steps_in_and_refuses_to_overwrite(folder: Path) -> None:
    first = Kernel(folder)
    first.step(1, "a = [1]\ndef f():\n    return a")
    first.step(2, "b = a\na.append(2)")
    kernel = Kernel(folder)
    key = kernel.session.settings.resolve(first.plan.call)  # type: ignore[union-attr]
    with kernel._as_main():
        receipts = push(kernel.session, key, [1, 2])
    assert [receipt["step"] for receipt in receipts] == [1, 2]
    assert kernel.names["b"] is kernel.names["a"]
    assert kernel.names["f"]() == [1, 2]
    other = Kernel(folder)
    other.cell("a = 'mine'")
    with pytest.raises(UsageError, match="`a`"):
        push(other.session, key, [1, 2])
    assert "b" not in other.names
    push(other.session, key, [1, 2], force=True)
    assert other.names["a"] == [1, 2]


def test_arrays_come_back_writeable_mapped_and_shared(folder: Path) -> None:
    np = pytest.importorskip("numpy")
    cells: list[tuple[int, str, dict[str, Any]]] = [
        (1, "import numpy as np\nx = np.arange(100_000.0)\ny = x[10:]", {}),
        (2, "y[0] = -1", {}),
    ]
    run_all(Kernel(folder), cells)
    kernel = run_all(Kernel(folder, "end"), cells)
    x, y = kernel.names["x"], kernel.names["y"]
    assert x[10] == -1
    assert np.shares_memory(x, y)
    x[11] = 5
    assert y[1] == 5
    del kernel, x, y
    gc.collect()


def test_the_folder_is_private_and_ignored_by_git(folder: Path) -> None:
    Kernel(folder).step(1, "x = 1")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text().strip() == "*"
    assert file(folder, 1).stat().st_mode & 0o777 == 0o400


def test_warnings_as_errors_do_not_break_a_cell_whose_save_failed(folder: Path) -> None:
    kernel = Kernel(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.warns(CheckpointWarning):
            facts = kernel.step(1, ONCE)
    assert facts["action"] == "not saved"


def test_values_that_cannot_be_saved_do_not_follow_into_later_steps(folder: Path) -> None:
    cells = [
        (1, "import sqlite3; conn = sqlite3.connect(':memory:'); cur = conn.cursor()"),
        (2, "b = 1"),
        (3, "one = (i for i in [0, 1]); two = (i for i in [0, 2]); next(one), next(two)"),
        (4, "c = b + 1"),
        (5, "d = next(one), cur.execute('select 1').fetchone()"),
    ]
    for start in ("none", 5):
        kernel = Kernel(folder, start)
        facts = [kernel.step(step, source) for step, source in cells]
    assert [one["action"] for one in facts] == ["saved", "restored", "saved", "restored", "saved"]
    assert not any("conn" in note for note in facts[2]["notes"])


def test_a_value_that_does_not_survive_pickling_makes_the_step_run(folder: Path) -> None:
    source = (
        "class Key:\n    def __init__(self):\n        self.x = [1]; self.at = {self: 1}\n"
        "    def __hash__(self):\n        return self.x[0]\nk = Key()"
    )
    Kernel(folder).step(1, source)
    kernel = Kernel(folder, 2)
    facts = kernel.step(1, source)
    assert facts["action"] == "saved"
    assert "cannot be read here" in facts["reason"]
    assert kernel.names["k"].at[kernel.names["k"]] == 1


def test_the_closed_file_of_a_with_statement_comes_back_closed_and_nothing_is_opened(
    folder: Path, tmp_path: Path
) -> None:
    text, data = tmp_path / "text.txt", tmp_path / "data.bin"
    source = (
        f"with open({str(text)!r}, 'w', encoding='latin-1') as file:\n    file.write('x')\n"
        f"with open({str(data)!r}, 'wb') as binary:\n    binary.write(b'x')\n"
        f"raw = open({str(data)!r}, 'rb', buffering=0); raw.close(); same = file"
    )
    first = Kernel(folder)
    first.step(1, source)
    text.unlink()
    data.write_bytes(b"kept")
    kernel = Kernel(folder, 2)
    assert kernel.step(1, source)["action"] == "restored"
    for name in ("file", "binary", "raw"):
        mine, theirs = first.names[name], kernel.names[name]
        assert (theirs.closed, type(theirs), theirs.name, theirs.mode) == (True, type(mine), mine.name, mine.mode)
    assert kernel.names["file"].encoding == "latin-1"
    assert kernel.names["same"] is kernel.names["file"]
    assert not text.exists()
    assert data.read_bytes() == b"kept"
    assert stored(folder, 1)["file"].closed


def test_nothing_is_saved_after_a_mapped_file_was_written_to(folder: Path) -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\nx = np.ones(100_000)"
    Kernel(folder).step(1, source)
    kernel = Kernel(folder, 2)
    kernel.step(1, source)
    file(folder, 1).chmod(0o600)
    with file(folder, 1).open("r+b") as out:
        out.seek(5000)
        out.write(b"1234")
    with pytest.warns(CheckpointWarning, match=r"restored, and `x` may have changed.*--force"):
        assert kernel.step(2, "y = x.sum()")["action"] == "not saved"
    assert kernel.step(1, source, force=True)["action"] == "saved"
    assert kernel.step(2, "y = x.sum()")["action"] == "saved"


@pytest.mark.parametrize(
    "between",
    ["a[0] = 5", "c = a[:5]\ndel a", "c = [a]\na = 1", "raise ValueError"],
    ids=["changed", "a view is left", "held by another", "the step failed"],
)
def test_what_still_lies_in_a_file_that_was_written_to_is_not_saved(folder: Path, between: str) -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\na = np.ones(100_000)"
    Kernel(folder).step(1, source)
    kernel = Kernel(folder, 2)
    kernel.step(1, source)
    with contextlib.suppress(ValueError):
        kernel.step(2, between)
    file(folder, 1).chmod(0o600)
    with file(folder, 1).open("r+b") as out:
        out.seek(5000)
        out.write(b"1234")
    with pytest.warns(CheckpointWarning, match=r"restored, and `a` may have changed.*--force"):
        assert kernel.step(3, "d = 1")["action"] == "not saved"
    kernel.names.update(a=0, c=0)
    kernel.plan = None
    assert kernel.step(4, "e = 1")["action"] == "saved"


def test_what_was_cut_short_under_its_map_is_not_read_by_a_step(folder: Path) -> None:
    """Reading it would end the process with a signal; that can only be helped before."""
    pytest.importorskip("numpy")
    source = "import numpy as np\nx = np.ones(100_000)"
    Kernel(folder).step(1, source)
    kernel = Kernel(folder, 2)
    kernel.step(1, source)
    file(folder, 1).chmod(0o600)
    os.truncate(file(folder, 1), 4096)
    with pytest.warns(CheckpointWarning, match=r"cut short after it was restored, and to touch `x` .*restart"):
        assert kernel.step(2, "y = 1")["action"] == "not saved"
    assert kernel.names["y"] == 1


def test_a_replaced_file_leaves_mapped_arrays_valid(folder: Path) -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\nx = np.ones(100_000)"
    Kernel(folder).step(1, source)
    kernel = Kernel(folder, 2)
    kernel.step(1, source)
    Kernel(folder).step(1, source.replace("ones", "zeros"))
    assert kernel.step(2, "y = x.sum()")["action"] == "saved"
    assert kernel.names["y"] == 100_000


def test_a_folder_that_is_gone_is_an_error_with_a_number_and_makes_the_step_run_with_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    source = "import os\ntry: os.chdir('work')\nexcept OSError: pass\nx = 1"
    Kernel(tmp_path / "c").step(1, source)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").rmdir()
    with pytest.raises(CheckpointUnreadableError, match="changed to the folder .*work: No such file.*--force"):
        Kernel(tmp_path / "c", 2).step(1, source)
    facts = Kernel(tmp_path / "c", "auto").step(1, source)
    assert facts["action"] == "saved"
    assert "No such file" in facts["reason"]
    assert len(list((tmp_path / "c").glob("*.kept-*"))) == 1


def test_a_class_without_a_module_is_named_and_disturbs_nothing(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert kernel.step(1, "F = type('F', (), {'__module__': None}); x = 1")["notes"] == ["`F` (class) cannot be saved"]
    assert kernel.step(2, "made = F(); y = [x]")["notes"][1:] == ["`made` (F) cannot be saved"]
    assert kernel.step(3, "z = y + [type(made) is F]")["action"] == "saved"
    kernel = Kernel(tmp_path, 3)
    facts = kernel.step(1, "F = type('F', (), {'__module__': None}); x = 1")
    assert facts["reason"] == "`F` could not be saved, and step 2 reads it"
    kernel.step(2, "made = F(); y = [x]")
    kernel.step(3, "z = y + [type(made) is F]")
    assert kernel.names["z"] == [1, True]


def test_functions_that_sympy_makes_by_name_are_had_again(tmp_path: Path) -> None:
    pytest.importorskip("sympy")
    cells = [
        (1, "import sympy\nt = sympy.Symbol('t'); f, g = sympy.Function('f'), sympy.Function('g', real=True)"),
        (2, "e = f(t).diff(t) + g(t)"),
        (3, "same = e.has(f), sympy.Function('f') is f, f(t).func is f, e.has(g), g(t).is_real"),
        (4, "h = sympy.Function('of_the_test'); h.mine = 1"),
    ]
    for start in ("none", 3):
        kernel = Kernel(tmp_path, start)
        facts = [kernel.step(*cell) for cell in cells]
        assert [one["notes"] for one in facts[:3]] == [[], [], []]
        assert facts[3]["notes"] == ["`h` (class) cannot be saved"]
        assert kernel.names["same"] == (True, True, True, True, True)
    assert [one["action"] for one in facts[:2]] == ["restored", "restored"]


def test_a_cell_runs_whose_namespace_cannot_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(tmp_path)

    def fails(*_: object) -> None:
        raise ZeroDivisionError("no look")

    with monkeypatch.context() as patch:
        patch.setattr(Looks, "before", fails)
        with pytest.warns(CheckpointWarning, match="ZeroDivisionError: no look"):
            assert kernel.step(1, "x = 1")["action"] == "not saved"
    assert kernel.names["x"] == 1
    assert kernel.step(2, "y = x")["action"] == "saved"


def test_a_change_outside_any_cell_is_named_although_the_decision_found_it_first(folder: Path) -> None:
    kernel = Kernel(folder, 3)
    kernel.step(1, "x = [1]")
    kernel.step(2, "y = list(x)")
    kernel.names["x"].append(2)
    kernel.session.outside_ran()
    facts = kernel.step(2, "y = list(x)")
    assert (facts["action"], facts["notes"]) == ("saved", ["after a change outside any cell (`x`)"])
    kernel.cell("x = [1]")  # what comes after it is a cell's again
    assert kernel.step(3, "z = list(x)")["notes"] == []


def test_where_ipython_does_not_own_the_name_out_it_is_a_variable(folder: Path) -> None:
    Kernel(folder).step(1, "Out = {1: 'mine'}; x = 1")
    assert stored(folder, 1) == {"Out": {1: "mine"}, "x": 1}


def test_modules_whose_name_was_taken_away_are_no_obstacle(tmp_path: Path) -> None:
    cell = "import types\nm = types.ModuleType('m')\ndel m.__name__\nn = types.ModuleType('n')\nn.__name__ = 3"
    for start, action in (("none", "saved"), ("end", "restored")):
        kernel = Kernel(tmp_path, start)
        kernel.cell(cell)
        assert [kernel.step(1, "x = [1]")["action"], kernel.step(2, "y = m.__doc__")["action"]] == [action, action]


def test_names_that_cannot_be_saved_are_one_note_if_they_are_many(folder: Path) -> None:
    facts = Kernel(folder).step(1, "a = b = c = (n for n in [1])\nnext(a); d = [a]")
    assert facts["notes"] == ["`a`, `b`, `c`, `d` cannot be saved"]
    facts = Kernel(folder).step(1, "a = b = c = (n for n in [1])\nnext(a)")
    assert facts["notes"] == [f"`{name}` (generator) cannot be saved" for name in "abc"]


def test_the_module_that_a_namedtuple_names_is_no_package_to_be_searched_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going through the files of all packages takes half a second."""
    monkeypatch.setattr(record, "_distributions", lambda: pytest.fail("all packages are gone through"))
    kernel = Kernel(folder)
    kernel.step(1, "from collections import namedtuple\nNobodysCard = namedtuple('NobodysCard', 'rank suit')")
    assert kernel.step(2, "card = NobodysCard(7, 'x')")["action"] == "saved"


def test_modules_of_the_users_own_are_no_packages_to_be_searched_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_distributions", lambda: pytest.fail("all packages are gone through"))
    folder.mkdir(exist_ok=True)
    (folder / "own_of_the_test.py").write_text("class A: pass")
    monkeypatch.syspath_prepend(folder)
    kernel = Kernel(folder)
    assert kernel.step(1, "from own_of_the_test import A\na = A()")["action"] == "saved"
    monkeypatch.delitem(sys.modules, "own_of_the_test")


def test_a_module_that_a_library_built_for_a_while_is_not_found_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sympy.utilities.autowrap` compiles one in a folder that it takes away."""
    built: Any = types.ModuleType("built_of_the_test")
    built.__file__ = str(folder / "built_of_the_test.cpython.so")
    code = "class Function:\n    def __get__(self, *_): return self\n    def __call__(self): return 3\n"
    exec(f"{code}    def __reduce__(self): return 'f'\nf = Function()", vars(built))
    built.f.__module__, built.f.__name__, built.f.__qualname__ = built.__name__, "f", "f"
    monkeypatch.setitem(sys.modules, "built_of_the_test", built)
    cells = "from built_of_the_test import f", "x = f()"
    facts = Kernel(folder).step(1, cells[0])
    assert facts["notes"] == ["with built_of_the_test, which no import finds"]
    kernel = Kernel(folder, "end")
    assert kernel.step(1, cells[0])["reason"] == "its checkpoint was made with built_of_the_test, which no import finds"
    assert kernel.step(2, cells[1])["notes"] == []


def test_a_function_of_numba_reads_the_globals_of_the_notebook(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled at its first call; one of a library is met by its name."""
    pytest.importorskip("numba")
    folder.mkdir(exist_ok=True)
    (folder / "jitted_of_the_test.py").write_text("import numba\n@numba.njit\ndef double(x): return 2 * x")
    monkeypatch.syspath_prepend(folder)
    cells = (
        "import numba, jitted_of_the_test as library\nfrom jitted_of_the_test import double\nmore = 1",
        "@numba.njit\ndef f(x): return helper(x) + more\n"
        "@numba.vectorize\ndef g(x): return x + more\n"
        "@numba.guvectorize('(n)->(n)')\ndef h(x, y): y[:] = x + more",
        "more = 5\ndef helper(x): return 10 * x",
        "r = f.py_func(1), double is library.double, [type(one).__name__ for one in (f, g, h)]\n"
        "functions = f.py_func, g._dispatcher.py_func, h.gufunc_builder.py_func\n"
        "same = [one.__globals__ is globals() for one in functions]",
    )
    for start in ("none", 4, 3):
        kernel = Kernel(folder, start)
        for number, cell in enumerate(cells, 1):
            kernel.step(number, cell)
        assert kernel.names["r"] == (15, True, ["CPUDispatcher", "DUFunc", "GUFunc"])
        assert all(kernel.names["same"])
        type(kernel.names["f"])._memo.clear()  # by which numba knows a function again that is still here
    monkeypatch.delitem(sys.modules, "jitted_of_the_test")


def test_what_cannot_be_looked_at_keeps_no_step_from_running(folder: Path) -> None:
    kernel = Kernel(folder)
    kernel.step(1, "a = 1")
    kernel.step(2, "class M(type):\n    def __eq__(c, o): return c is o\na += 1")  # its classes have no hash
    made = "class A(metaclass=M): pass\nx = A()"
    exec(made, kernel.names)
    with pytest.warns(CheckpointWarning, match="not saved: TypeError: .*unhashable type: 'M'"):
        facts = kernel.step(3, "y = x; a += 1")
    assert facts["action"] == "not saved" and kernel.names["y"] is kernel.names["x"] and kernel.names["a"] == 3
    restored = Kernel(folder, "end")
    assert [restored.step(1, "a = 1")["action"], restored.step(2, "a += 1")["action"]] == ["restored", "restored"]


def test_a_partial_that_was_saved_is_taken_apart_by_the_next_one_as_before(tmp_path: Path) -> None:
    """One that was asked for its attributes has a dict of them from then on, and is not."""
    kernel = Kernel(tmp_path / "ckpt")
    kernel.step(1, "import functools\ndef f(*args): return args\ng = functools.partial(f, 1); box = {'g': g}")
    kernel.step(2, "box['h'] = functools.partial(g, 2)")
    assert kernel.names["box"]["h"].func is kernel.names["f"]
