from __future__ import annotations

import contextlib
import functools
import linecache
import logging
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import pytest

import ckpt_magic
from ckpt_magic import Checkpoint
from ckpt_magic.errors import (
    CheckpointWarning,
    ForeignError,
    NotPicklableError,
    OtherWriterError,
    StepNotFoundError,
    UsageError,
)
from ckpt_magic.files.store import Store
from tests.kernels import Kernel


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


class Training(Checkpoint):
    """Records which steps ran."""

    ran: list[int]

    def step_1(self, outputs: Any) -> Any:
        _RAN.append(1)
        self.scale = 3
        return [1, 2]

    def step_2_train(self, outputs: Any) -> Any:
        _RAN.append(2)
        outputs["step_1"].append(self.scale)
        return outputs["step_1"]

    def step_10(self, outputs: Any) -> Any:
        _RAN.append(10)
        return sum(outputs["step_2"])


_RAN: list[int] = []


def run(folder: Path, start_from: Any = None, cls: type[Checkpoint] = Training, **given: Any) -> Any:
    _RAN.clear()
    return cls(name="m", checkpoint_folder=folder, **given).run(start_from=start_from)


def test_all_steps_run_in_numeric_order_by_default(tmp_path: Path) -> None:
    outputs = run(tmp_path)
    assert _RAN == [1, 2, 10]
    assert list(outputs) == ["step_1", "step_2", "step_10"]
    assert outputs["step_10"] == outputs[10] == 6


@pytest.mark.parametrize(("start_from", "ran"), [(0, [1, 2, 10]), (2, [2, 10]), (3, [10]), (11, []), ("end", [])])
def test_steps_before_the_start_point_are_restored(tmp_path: Path, start_from: Any, ran: list[int]) -> None:
    run(tmp_path)
    outputs = run(tmp_path, start_from)
    assert ran == _RAN
    assert dict(outputs) == {"step_1": [1, 2, 3], "step_2": [1, 2, 3], "step_10": 6}
    assert outputs["step_1"] is outputs["step_2_train"]


def test_attributes_of_the_instance_come_back(tmp_path: Path) -> None:
    run(tmp_path)
    training = Training(name="m", checkpoint_folder=tmp_path)
    training.run(start_from=2)
    assert training.scale == 3


def test_the_file_holds_the_return_value_for_plain_readers(tmp_path: Path) -> None:
    run(tmp_path)
    with (tmp_path / "m-v1-step2.pkl").open("rb") as file:
        assert pickle.load(file) == [1, 2, 3]


def test_nested_folders_are_made(tmp_path: Path) -> None:
    run(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "m-v1-step1.pkl").exists()


def test_versions_are_kept_apart(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, 11, version="two")
    assert _RAN == [1, 2, 10]


def test_load_outputs_gives_each_value_as_its_step_left_it(tmp_path: Path) -> None:
    run(tmp_path)
    outputs = Training(name="m", checkpoint_folder=tmp_path).load_outputs()
    assert outputs["step_1"] == [1, 2]
    assert outputs[2] == outputs.step_2 == outputs["step_2_train"] == [1, 2, 3]
    with pytest.raises(StepNotFoundError, match="step_1"):
        outputs["step_7"]


def test_load_outputs_says_what_is_missing(tmp_path: Path) -> None:
    run(tmp_path)
    Store(tmp_path).path("m", "1", 2).unlink()
    assert "missing" in repr(Training(name="m", checkpoint_folder=tmp_path).load_outputs())


@pytest.mark.parametrize(("name", "version"), [("a/b", 1), ("", 1), ("m", "1 2"), ("..", 1)])
def test_a_name_that_is_no_file_name_is_a_value_error(tmp_path: Path, name: str, version: Any) -> None:
    with pytest.raises(ValueError, match="name|version"):
        Training(name=name, checkpoint_folder=tmp_path, version=version)


def test_two_methods_with_one_number_are_an_error_when_the_object_is_made(tmp_path: Path) -> None:
    class Twice(Checkpoint):
        def step_1(self, outputs: Any) -> None: ...

        def step_1_again(self, outputs: Any) -> None: ...

    with pytest.raises(UsageError, match="both have number 1"):
        Twice("m", tmp_path)


def test_a_step_method_without_a_number_is_an_error(tmp_path: Path) -> None:
    class Letters(Checkpoint):
        def step_x(self, outputs: Any) -> None: ...

    with pytest.raises(UsageError, match="step_N"):
        Letters("m", tmp_path)


def test_an_error_in_a_step_is_the_users_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    run(tmp_path)

    class Failing(Training):
        def step_2_train(self, outputs: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, cls=Failing)
    assert Training("m", tmp_path).load_outputs()[2] == [1, 2, 3]


def test_a_lost_return_value_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    run(tmp_path)

    class Lost(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            numbers = (number for number in [1])
            next(numbers)
            return numbers

    with pytest.raises(NotPicklableError, match="generator"):
        run(tmp_path, cls=Lost)
    assert Training("m", tmp_path).load_outputs()[1] == [1, 2]


def test_a_new_result_upstream_is_not_mixed_with_an_old_one_downstream(tmp_path: Path) -> None:
    run(tmp_path)
    Store(tmp_path).path("m", "1", 1).unlink()

    class Other(Training):
        def step_1(self, outputs: Any) -> Any:
            self.scale = 30
            return [10]

    assert run(tmp_path, 11, cls=Other)[10] == 40


def test_only_outputs_that_a_step_read_count_for_it(tmp_path: Path) -> None:
    class Apart(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            return object.__hash__(self) % 1000003, id(outputs)

        def step_2(self, outputs: Any) -> Any:
            _RAN.append(2)
            return 5

    run(tmp_path, cls=Apart)
    Store(tmp_path).path("m", "1", 1).unlink()
    assert run(tmp_path, 11, cls=Apart)[2] == 5
    assert _RAN == []


def test_a_file_that_a_notebook_wrote_is_not_replaced_but_can_be_read(tmp_path: Path) -> None:
    Kernel(tmp_path, name="m").step(1, "x = 1")
    with pytest.raises(OtherWriterError, match="notebook cell"):
        run(tmp_path)
    assert Training("m", tmp_path).load_outputs()[1] == {"x": 1}


def test_code_that_differs_is_logged_and_restored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path)

    class Other(Training):
        def step_10(self, outputs: Any) -> Any:
            return 0

    with caplog.at_level(logging.INFO, logger="ckpt_magic"):
        assert run(tmp_path, 11, cls=Other)[10] == 6
    assert "code differs from the checkpoint" in caplog.text


def test_what_a_banner_would_say_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Lossy(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            self.waits = (one for one in [1])
            next(self.waits)
            return 1

    caplog.set_level(logging.INFO, logger="ckpt_magic")
    for start in (1, 2):
        Lossy(name="lossy", checkpoint_folder=tmp_path).run(start_from=start)
    assert re.fullmatch(r"step 1 · ran \d\.\d s · `self.waits` \(generator\) cannot be saved", caplog.messages[0])
    assert re.match(r"step 1 · restored · instead of \d\.\d s · .*`self.waits` could not be saved", caplog.messages[1])


def test_no_log_handler_is_installed() -> None:
    assert logging.getLogger("ckpt_magic").handlers == []


def test_a_failed_save_warns_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", full)
    with pytest.warns(CheckpointWarning, match="No space left"):
        assert run(tmp_path)[10] == 6


SCRIPT = """
    import sys
    from ckpt_magic import Checkpoint

    class Point:
        made = []                     # mutable: this class is not plain
        def __init__(self, x):
            self.x = x

    def double(x):
        return x * FACTOR

    FACTOR = 2

    class Script(Checkpoint):
        def step_1(self, outputs):
            return [Point(1), double]

        def step_2(self, outputs):
            point, function = outputs[1]
            return function(point.x), type(point) is Point, function is double

    print(Script("s", sys.argv[1]).run(start_from=int(sys.argv[2]))[2])
"""


def test_a_script_that_only_has_the_class_imports_nothing_that_runs_it() -> None:
    code = (
        "import sys; from ckpt_magic import Checkpoint; print([n for n in sys.modules if n.startswith('ckpt_magic.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ckpt_magic.errors', 'ckpt_magic.steps', 'ckpt_magic.steps.checkpoint']"


def test_classes_and_functions_of_a_script_are_the_live_ones_after_a_restore(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    for start in ("0", "2", "3"):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "ckpt"), start], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "(2, True, True)", done.stderr


def test_a_plain_python_reads_what_a_script_wrote(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    subprocess.run([sys.executable, str(script), str(tmp_path / "ckpt"), "0"], check=True, capture_output=True)
    reader = "import pickle, sys; p, f = pickle.load(open(sys.argv[1], 'rb')); print(p.x, f(4))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", reader, str(tmp_path / "ckpt" / "s-v1-step1.pkl")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "1 8", done.stderr


# --- attributes, and what a method can reach -------------------------------------------------------------------------


class Slots(Checkpoint):
    __slots__ = ("scale",)

    def step_1(self, outputs: Any) -> Any:
        self.scale = 3

    def step_2(self, outputs: Any) -> Any:
        return self.scale


def test_attributes_in_slots_come_back(tmp_path: Path) -> None:
    run(tmp_path, cls=Slots)
    assert run(tmp_path, 2, cls=Slots)[2] == 3


class Database:
    """A connection, that is: what it does lies outside of Python."""

    rows: list[int]

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a connection")


class Connected(Checkpoint):
    def __init__(self, name: str, checkpoint_folder: Any) -> None:
        super().__init__(name, checkpoint_folder)
        self.db = Database()

    def step_1(self, outputs: Any) -> Any:
        _RAN.append(1)
        self.data = [1]
        return [1]

    def step_2(self, outputs: Any) -> Any:
        _RAN.append(2)
        return outputs[1] + self.data + self.more()

    def more(self) -> list[int]:
        return []


class Asking(Connected):
    def step_1(self, outputs: Any) -> Any:
        _RAN.append(1)
        self.db.rows = [5]

    def more(self) -> list[int]:
        return self.db.rows

    def step_2(self, outputs: Any) -> Any:
        return self.more()


def test_a_connection_of_the_instance_runs_only_the_steps_that_use_it(tmp_path: Path) -> None:
    run(tmp_path / "a", cls=Connected)
    assert run(tmp_path / "a", 9, cls=Connected)[2] == [1, 1]
    assert _RAN == []
    run(tmp_path / "b", cls=Asking)
    assert run(tmp_path / "b", 2, cls=Asking)[2] == [5]
    assert _RAN == [1]


class Holding(Checkpoint):
    def step_1(self, outputs: Any) -> Any:
        self.scale = 1
        return self.times

    def times(self, x: int) -> int:
        return x * self.scale


class Remembering(Checkpoint):
    def step_1(self, outputs: Any) -> Any:
        self.callback, self.scale = self.get, 1

    def step_2(self, outputs: Any) -> Any:
        self.scale = 7
        return self.callback()

    def get(self) -> int:
        return self.scale


def test_an_output_that_holds_the_instance_is_an_error_and_an_attribute_is_lost(tmp_path: Path) -> None:
    with pytest.raises(NotPicklableError, match="`self`"):
        run(tmp_path, cls=Holding)
    assert run(tmp_path, cls=Remembering)[2] == 7
    assert run(tmp_path, 2, cls=Remembering)[2] == 7


class Counting(Checkpoint):
    n = 0

    def step_1(self, outputs: Any) -> Any:
        self.n += 1
        self.scale = 3
        return self.n

    def step_2(self, outputs: Any) -> Any:
        return self.scale


def test_two_runs_of_one_object_leave_checkpoints_as_good_as_those_of_one(tmp_path: Path) -> None:
    twice = Counting("m", tmp_path)
    assert (twice.run()[1], twice.run()[1]) == (1, 2)
    assert run(tmp_path, 2, cls=Counting)[1] == 1
    again = Training("t", tmp_path)
    again.run()
    again.run()
    assert dict(Training("t", tmp_path).run(3)) == dict(again.run("end"))
    _RAN.clear()
    Training("t", tmp_path).run("end")
    assert _RAN == []


class Perhaps(Checkpoint):
    makes = False

    def step_1(self, outputs: Any) -> Any:
        if Perhaps.makes:
            self.extra = 5

    def step_2(self, outputs: Any) -> Any:
        return getattr(self, "extra", 0)


def test_an_attribute_that_a_lower_step_now_makes_runs_the_step_that_found_it_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, cls=Perhaps)[2] == 0
    Store(tmp_path).path("m", "1", 1).unlink()
    monkeypatch.setattr(Perhaps, "makes", True)
    assert run(tmp_path, "end", cls=Perhaps)[2] == 5


class Deleting(Checkpoint):
    def __init__(self, name: str, checkpoint_folder: Any) -> None:
        super().__init__(name, checkpoint_folder)
        self.scratch = [1]

    def step_1(self, outputs: Any) -> Any:
        del self.scratch

    def step_2(self, outputs: Any) -> Any:
        return hasattr(self, "scratch")


def test_a_deleted_attribute_is_deleted_by_the_restore(tmp_path: Path) -> None:
    assert run(tmp_path, cls=Deleting)[2] is run(tmp_path, 2, cls=Deleting)[2] is False


class Setting(Checkpoint):
    @property
    def x(self) -> int:
        return self._x

    @x.setter
    def x(self, value: int) -> None:
        self._x = value
        _RAN.append(0)

    def step_1(self, outputs: Any) -> Any:
        self.x = 4

    def step_2(self, outputs: Any) -> Any:
        return self.x


def test_a_restore_runs_no_setter(tmp_path: Path) -> None:
    run(tmp_path, cls=Setting)
    assert run(tmp_path, 2, cls=Setting)[2] == 4
    assert _RAN == []


class Parametrised(Checkpoint):
    def __init__(self, folder: Path, lr: int) -> None:
        super().__init__("m", folder)
        self.lr = lr

    def step_1(self, outputs: Any) -> Any:
        _RAN.append(1)
        return self.lr * 2

    def step_2(self, outputs: Any) -> Any:
        _RAN.append(2)
        return outputs[1] + 1


def test_a_parameter_of_the_constructor_runs_the_steps_that_read_it(tmp_path: Path) -> None:
    Parametrised(tmp_path, 1).run()
    _RAN.clear()
    assert Parametrised(tmp_path, 1).run("end")[2] == 3
    assert _RAN == []
    assert Parametrised(tmp_path, 5).run("end")[2] == 11


class Base(Checkpoint):
    def step_1(self, outputs: Any) -> Any:
        return [1]


class Mixin:
    def step_2_mixed(self, outputs: Any) -> Any:
        outputs["step_1"].append(2)
        return outputs[1]


class Derived(Mixin, Base):
    def step_1(self, outputs: Any) -> Any:
        _RAN.append(1)
        return [*super().step_1(outputs), 0]

    @functools.cached_property
    def heavy(self) -> list[int]:
        return [9]

    def step_3(self, outputs: Any) -> Any:
        _RAN.append(3)
        return len(self.heavy) + len(outputs["step_2_mixed"])

    @staticmethod
    def step_4(outputs: Any) -> Any:
        return outputs[3]

    @classmethod
    def step_5(cls, outputs: Any) -> Any:
        return cls.__name__


@pytest.mark.parametrize("start", [2, 3, 4, 5, "end"])
def test_steps_may_be_inherited_mixed_in_static_or_of_the_class(tmp_path: Path, start: Any) -> None:
    run(tmp_path, cls=Derived)
    outputs = run(tmp_path, start, cls=Derived)
    assert list(outputs.values()) == [[1, 0, 2], [1, 0, 2], 4, 4, "Derived"]
    assert outputs[1] is outputs[2]
    assert _RAN == ([3] if start in (2, 3) else [])


class Adder:
    def __call__(self, outputs: Any) -> int:
        return 4


class Objects(Checkpoint):
    def _work(self, outputs: Any, n: int) -> int:
        return n

    step_1 = Adder()
    step_2 = functools.partialmethod(_work, n=3)
    step_3 = lambda self, outputs: 5


def test_a_step_may_be_any_object_that_can_be_called(tmp_path: Path) -> None:
    for start in (None, "end"):
        assert list(run(tmp_path, start, cls=Objects).values()) == [4, 3, 5]


# --- who runs at the same time ---------------------------------------------------------------------------------------


def together(work: Any) -> list[BaseException]:
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


class Keeps(Checkpoint):
    """Sets attributes in each of the ways; reads some of them."""

    total = 0

    def step_1(self, outputs: Any) -> Any:
        self.scale = 3
        self.low, self.high = 1, 2
        return 1

    def step_2(self, outputs: Any) -> Any:
        self.total = self.total + 1
        return self.total

    def step_3(self, outputs: Any) -> Any:
        self.total += self.scale
        self.asked = hasattr(self, "never")  # with that it may read anything
        return self.total


def test_steps_that_set_attributes_are_fresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a method only sets it does not read; what it reads and finds missing is known to have been missing."""

    def ran(made: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "ckpt_magic"):
            assert made.run("auto")[1] == 1
        return re.findall(r"step (\d+) · ran", caplog.text)

    assert ran(Keeps("m", tmp_path)) == ["1", "2", "3"]
    assert ran(Keeps("m", tmp_path)) == []
    made: Any = Keeps("m", tmp_path)
    made.scale = 10  # which step 1 sets, whatever it was
    assert ran(made) == []
    made = Keeps("m", tmp_path)
    made.total = 5
    assert ran(made) == ["2", "3"]


class Global(Checkpoint):
    """Changes what a restore does not bring back."""

    counts: list[int] = []
    last: Any = 0

    def step_1(self, outputs: Any) -> Any:
        self.counts.append(1)
        Global.last = self.last or None
        return len(_RAN)

    def step_2(self, outputs: Any) -> Any:
        _RAN.append(2)
        return 2

    def step_3(self, outputs: Any) -> Any:
        return 3


def test_a_step_that_changes_the_script_itself_runs_again_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its globals and the attributes of its classes are not restored: a lower step would find them as they were."""
    first = "it changes `Global.counts`, which is no attribute of the instance; it changes `Global.last`"
    for start, said in (("none", ""), ("auto", f"step 1 · ran 0.0 s · {first}"), ("end", f"stale: {first}")):
        monkeypatch.setattr(Global, "counts", [])
        monkeypatch.setattr(Global, "last", 0)
        caplog.clear()
        with caplog.at_level(logging.INFO, "ckpt_magic"):
            run(tmp_path, start, cls=Global)
        assert said in caplog.text
    assert "it changes `_RAN`, which is no attribute of the instance" in caplog.text
    assert "step 3 · restored · instead of 0.0 s\n" in caplog.text


USING = """
from ckpt_magic import Checkpoint
LIMIT = 1
def helper():
    return LIMIT
class Base(Checkpoint):
    rounds = 1
    def base_help(self):
        return 1
class Steps(Base):
    def step_1(self, outputs):
        return LIMIT
    def step_2(self, outputs):
        return helper()
    def step_3(self, outputs):
        return self.rounds
    def step_4(self, outputs):
        return self.inner() + self.prop
    def step_5(self, outputs):
        return self.fixed()
    def step_6(self, outputs):
        return str(vars(self)) and getattr(self, "rounds")
    def inner(self):
        return self.base_help()
    @property
    def prop(self):
        return 1
    @staticmethod
    def fixed():
        return 1
"""
EDITS = {
    "LIMIT = 1": ("LIMIT = 2", {1, 2, 6}),
    "    return LIMIT\nclass": ("    return LIMIT + 1\nclass", {2, 6}),
    "rounds = 1": ("rounds = 2", {3, 6}),
    "base_help(self):\n        return 1": ("base_help(self):\n        return 2", {4, 6}),
    "prop(self):\n        return 1": ("prop(self):\n        return 2", {4, 6}),
    "fixed():\n        return 1": ("fixed():\n        return 2", {5, 6}),
}


def test_what_a_method_uses_of_its_class_and_script_counts_with_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Globals, helpers, constants and properties of the classes; and no step runs for the sake of another one."""

    def ran(text: str) -> set[int]:
        """Which steps run, with that text of the script."""
        module = types.ModuleType("pipeline_of_a_script")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        path = tmp_path / "script.py"
        path.write_text(text)
        linecache.checkcache()
        exec(compile(text, str(path), "exec"), module.__dict__)
        caplog.clear()
        with caplog.at_level(logging.INFO, "ckpt_magic"):
            module.Steps("m", tmp_path / "ck").run("auto")
        return {int(step) for step in re.findall(r"step (\d+) · ran", caplog.text)}

    assert ran(USING) == {1, 2, 3, 4, 5, 6}
    assert ran(USING) == set()
    for old, (new, steps) in EDITS.items():
        assert USING.count(old) == 1
        edited = USING.replace(old, new)
        assert ran(edited) == steps, old
        assert ran(edited) == set()
        ran(USING)


@pytest.mark.parametrize(
    "given",
    [
        {"checkpoint_folder": "s3://bucket/x"},
        {"checkpoint_folder": Path("s3://bucket/x")},
        {"checkpoint_folder": ""},
        {"checkpoint_folder": "~nobody-here/x"},
        {"version": None},
        {"version": True},
    ],
    ids=str,
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        Training(**{"name": "m", "checkpoint_folder": "ck", **given})
    if folder := given.get("checkpoint_folder"):
        with pytest.raises(UsageError):
            ckpt_magic.load("m", folder=folder)
    assert list(tmp_path.iterdir()) == []


def test_pipelines_run_in_threads(tmp_path: Path) -> None:
    def work(number: int) -> None:
        for start in (None, 2, "end"):
            assert Derived(f"t{number}", tmp_path).run(start)[3] == 4

    assert together(work) == []


def test_one_pipeline_run_by_several_at_a_time_is_no_error(tmp_path: Path) -> None:
    assert together(lambda number: [Base("t", tmp_path).run(start) for start in (None, 2, None, 2)]) == []


def test_a_pipeline_run_inside_a_step_is_its_own(tmp_path: Path) -> None:
    class Outer(Checkpoint):
        def step_1(self, outputs: Any) -> Any:
            return Base("inner", tmp_path).run()[1]

        def step_2(self, outputs: Any) -> Any:
            return Base("inner", tmp_path).run("end")[1] + outputs[1]

    run(tmp_path, cls=Outer)
    assert run(tmp_path, 2, cls=Outer)[2] == [1, 1]


def test_a_run_in_a_forked_child_saves(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            Base("m", tmp_path).run()
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert Base("m", tmp_path).load_outputs()[1] == [1]


def test_an_interrupted_step_keeps_the_old_checkpoints(tmp_path: Path) -> None:
    run(tmp_path)

    class Interrupted(Training):
        def step_2_train(self, outputs: Any) -> Any:
            outputs[1].append("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 2, cls=Interrupted)
    assert run(tmp_path, "end")[2] == [1, 2, 3]
    assert _RAN == []


@pytest.mark.parametrize("start", ["AUTO", "2.0", -1, 2.5, True, "", object(), [2]])
def test_a_start_point_of_another_kind_is_a_value_error(tmp_path: Path, start: Any) -> None:
    with pytest.raises(ValueError, match="start point"):
        run(tmp_path, start)
    assert _RAN == []


# --- files of dslib ---------------------------------------------------------------------------------------------------


def test_a_plain_pickle_is_restored_once_it_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "m-v1-step1.pkl"
    path.write_bytes(pickle.dumps([1, 0]))
    with pytest.raises(ForeignError, match=r"ckpt-magic trust"):
        run(tmp_path, 2, cls=Derived)
    assert _RAN == []
    with pytest.raises(ForeignError):
        Derived("m", tmp_path).load_outputs()[1]
    subprocess.run([sys.executable, "-m", "ckpt_magic", "trust", str(path), "--yes"], check=True, capture_output=True)
    assert run(tmp_path, 2, cls=Derived)[3] == 4
    assert _RAN == [3]
    assert Derived("m", tmp_path).load_outputs()[1] == [1, 0]


def test_a_plain_pickle_that_a_run_replaces_is_kept(tmp_path: Path) -> None:
    (tmp_path / "m-v1-step1.pkl").write_bytes(pickle.dumps("old"))
    run(tmp_path)
    (kept,) = [path for path in tmp_path.iterdir() if ".kept-" in path.name]
    assert pickle.loads(kept.read_bytes()) == "old"
