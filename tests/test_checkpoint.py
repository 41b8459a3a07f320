from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic import Checkpoint
from ckpt_magic.errors import CheckpointWarning, NotPicklableError, OtherWriterError, StepNotFoundError, UsageError
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
            return (number for number in [1])

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


def test_no_log_handler_is_installed() -> None:
    assert logging.getLogger("ckpt_magic").handlers == []


def test_a_failed_save_warns_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "publish", full)
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
