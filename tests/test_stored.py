from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

import ckpt_magic
from ckpt_magic import (
    Checkpoint,
    CheckpointUnreadableError,
    DamagedError,
    OtherKeyError,
    OtherWriterError,
    Outputs,
    StepNotFoundError,
    UsageError,
)
from ckpt_magic.files import format as checkpoint_format
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring, load_keyring
from ckpt_magic.steps import record, shapes
from ckpt_magic.values import pages
from ckpt_magic.values.pickles import pickling, unpickling
from tests import making
from tests.work import calls

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, *cells: str) -> Any:
    """Run cells; return the value of the last one."""
    for cell in cells:
        result = shell.run_cell(cell)
        result.raise_error()
    return result.result


def save(path: Path, value: dict[str, Any], keyring: Keyring, **meta: Any) -> Path:
    """Publish a checkpoint as the session writes it."""
    facts = {"name": "m", "version": "1", "step": 1, "kind": "cell", "variables": [], **meta}

    def write(file: BinaryIO) -> None:
        checkpoint_format.write(
            file,
            lambda target: pickling.write(pickling.Contents("cell", value, None, {}), target, namespace={}),
            outputs=[],
            meta=facts,
            keyring=keyring,
            new_hash=pages.new_hash,
        )

    Store(path.parent).publish(path, write)
    return path


@pytest.fixture
def pipeline(shell: InteractiveShell, tmp_path: Path) -> Path:
    """Three steps of `m`, the last one with number 10."""
    run(
        shell,
        "%ckpt_config --name m",
        "%%step 1\nimport numpy as np\nrows = [1, 2]\ndef total():\n    return sum(rows) + offset",
        "%%step 2\noffset = 10\nrows.append(3)\nbig = np.arange(100_000)",
        "%%step 10\nlabel = 'done'\ndef later():\n    return total(), len(rows)",
    )
    return tmp_path / ".ckpt"


def test_steps_are_found_by_name_by_number_and_as_attributes(pipeline: Path) -> None:
    outputs = ckpt_magic.load("m", folder=pipeline)

    assert list(outputs) == ["step_1", "step_2", "step_10"]
    assert outputs["step_10"]["label"] == outputs[10]["label"] == outputs.step_10["label"] == "done"
    assert outputs["step_1"] is outputs[1]
    assert len(outputs) == 3


def test_each_value_is_as_its_step_left_it(pipeline: Path) -> None:
    outputs = ckpt_magic.load("m", folder=pipeline)

    assert outputs[1]["rows"] == [1, 2]
    assert outputs[2]["rows"] == [1, 2, 3]


def test_functions_see_the_names_as_their_step_left_them(pipeline: Path) -> None:
    """`later` is of step 10: `total` and `rows` come from the steps below, and not from this process."""
    outputs = ckpt_magic.load("m", folder=pipeline)

    assert outputs[10]["later"]()[1] == 3
    with pytest.raises(NameError, match="offset"):
        outputs[1]["total"]()  # step 1 had no `offset` yet
    assert len(outputs[2]["big"]) == 100_000


def test_arrays_are_mapped_and_writable(pipeline: Path) -> None:
    big = ckpt_magic.load("m", folder=pipeline)[2]["big"]

    big[0] = 7

    assert ckpt_magic.load("m", folder=pipeline)[2]["big"][0] == 0


def test_nothing_is_unpickled_before_a_step_is_looked_at(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = unpickling.read

    def read(*args: Any, **kwargs: Any) -> pickling.Contents:
        reads.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(unpickling, "read", read)

    outputs = ckpt_magic.load("m", folder=pipeline)
    assert "step_2" in outputs and "rows list 2" in repr(outputs) and outputs._repr_html_()
    assert not reads
    assert outputs[2] and outputs[2]
    assert len(reads) == 1


def test_a_missing_step_says_what_there_is(pipeline: Path) -> None:
    outputs = ckpt_magic.load("m", folder=pipeline)

    with pytest.raises(StepNotFoundError, match="no step_3 in `m` version 1.*step_1, step_2, step_10"):
        outputs[3]
    with pytest.raises(StepNotFoundError, match="no rows in"):
        outputs["rows"]
    with pytest.raises(AttributeError, match="no step_3"):
        _ = outputs.step_3
    assert outputs.get("step_3") is None
    assert not any(key in outputs for key in (3, 2.0, "x"))


@pytest.mark.usefixtures("pipeline")
def test_a_missing_pipeline_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StepNotFoundError, match=r"nothing is stored of `n` version 1 .*m \(version 1\)"):
        ckpt_magic.load("n")
    with pytest.raises(StepNotFoundError, match="no checkpoints at all"):
        ckpt_magic.load("m", folder=tmp_path / "other")
    with pytest.raises(UsageError, match="name 'a/b'"):
        ckpt_magic.load("a/b")


def test_completion_knows_the_steps(pipeline: Path) -> None:
    outputs = ckpt_magic.load("m", folder=pipeline)

    assert outputs._ipython_key_completions_() == ["step_1", "step_2", "step_10"]
    assert {"step_1", "step_10", "keys"} <= set(dir(outputs))


def test_files_that_may_not_be_read_are_listed_and_raise_their_error(tmp_path: Path) -> None:
    mine, other = making.some_keyring(tmp_path), making.some_keyring(tmp_path, "other")
    store = Store(tmp_path / "ck")
    save(store.path("m", 1, 1), {"a": 1}, mine)
    save(store.path("m", 1, 2), {"a": 1}, other)
    making.overwrite(save(store.path("m", 1, 3), {"a": 1}, mine, step=3), b"\x80\x05")
    save(store.path("m", 1, 4), {"a": 1}, mine, name="n", step=4)

    outputs = Outputs(tmp_path / "ck", "m", 1, keyring=mine)

    assert list(outputs) == ["step_1", "step_2", "step_3", "step_4"]
    assert outputs[1] == {"a": 1}
    with pytest.raises(OtherKeyError):
        outputs[2]
    with pytest.raises(DamagedError):
        outputs[3]
    with pytest.raises(OtherWriterError):
        outputs[4]
    assert repr(outputs).count("cannot be read") == 3


def test_a_changed_payload_is_told_by_every_variable_that_holds_it(shell: InteractiveShell, tmp_path: Path) -> None:
    run(
        shell,
        "%%step 1 --name m\nimport numpy as np\na = np.zeros(10_000)\nview = a[5:]\nheld = {'names': {'b': a}}\n"
        "other = np.ones(10_000)",
    )
    Script("s", tmp_path / ".ckpt").run()
    for name, changed in (("m", [{"a", "view", "held"}, {"other"}]), ("s", [{"self.weights"}, {"step_1"}])):
        path = tmp_path / ".ckpt" / f"{name}-v1-step1.pkl"
        whole = path.read_bytes()
        for row, names in zip(
            checkpoint_format.open_checkpoint(path, load_keyring()).meta["buffers"], changed, strict=True
        ):
            data = bytearray(whole)
            data[row[0]] ^= 1
            making.overwrite(path, bytes(data))
            assert set(checkpoint_format.open_checkpoint(path, load_keyring()).check(pages.new_hash)) == names


class Script(Checkpoint):
    def step_1(self, outputs: Any) -> Any:
        import numpy

        self.weights = numpy.zeros(10_000)
        return [numpy.ones(10_000)]


def test_loaded_functions_may_call_c_code_that_imports(shell: InteractiveShell, tmp_path: Path) -> None:
    """Such code looks for the builtins among the globals of the function that calls it."""
    run(shell, "%%step 1 --name m\nimport numpy as np\ndef total():\n    return np.arange(4).sum()")

    assert ckpt_magic.load("m", folder=tmp_path / ".ckpt")[1]["total"]() == 6


@pytest.mark.parametrize(
    ("meta", "wrong"),
    [
        ({"variables": [{"name": 1}]}, "variables"),
        ({"reads": {"a": [1]}, "deleted": "ab"}, "reads, deleted"),
        ({"seconds": 10**400}, "seconds"),
        ({"kind": ["cell"]}, "kind"),
        ({"step": None}, "step"),
    ],
)
def test_a_signed_record_that_makes_no_sense_is_damage(tmp_path: Path, meta: dict[str, Any], wrong: str) -> None:
    keyring = making.some_keyring(tmp_path)
    save(Store(tmp_path / "ck").path("m", 1, 1), {"a": 1}, keyring, **meta)

    outputs = Outputs(tmp_path / "ck", "m", 1, keyring=keyring)

    assert "its record makes no sense" in repr(outputs)
    with pytest.raises(DamagedError, match=wrong):
        outputs[1]


def test_every_key_of_a_record_has_a_form_that_is_looked_at() -> None:
    assert record.EMPTY.keys() <= shapes.FORMS.keys()


def test_what_cannot_be_read_here_is_named_with_its_file(tmp_path: Path) -> None:
    keyring, store = making.some_keyring(tmp_path), Store(tmp_path / "ck")
    whole = making.save(store.path("m", 1, 1), {"a": 1}, keyring, variables=[])
    save(store.path("m", 1, 2), {"a": Unreadable()}, keyring, step=2)

    outputs = Outputs(tmp_path / "ck", "m", 1, keyring=keyring)

    with pytest.raises(DamagedError, match=f"{whole} is damaged: the pickle does not hold what a checkpoint holds"):
        outputs[1]
    with pytest.raises(CheckpointUnreadableError, match="step2.pkl cannot be read here: KeyError.*run the step again"):
        outputs[2]


class Unreadable:
    def __reduce__(self) -> Any:
        return {}.__getitem__, ("nothing",)


def test_hostile_text_is_written_out(tmp_path: Path) -> None:
    keyring = making.some_keyring(tmp_path)
    row = {"name": "a\x1b[31m<b>", "type": "int\n", "shape": None, "bytes": None}
    save(Store(tmp_path).path("m", 1, 1), {}, keyring, variables=[row], method="step_1\x1b[31m")

    outputs = Outputs(tmp_path, "m", 1, keyring=keyring)

    assert r"a\x1b[31m<b> int\n" in repr(outputs)
    assert "\x1b" not in repr(outputs)
    assert r"a\x1b[31m&lt;b&gt; int\n" in outputs._repr_html_()


def test_outputs_do_not_hide_in_a_checkpoint(shell: InteractiveShell, pipeline: Path) -> None:
    """They look at files, which change; the step says that they were not saved."""
    run(shell, "%%step 11\nheld = get_ipython().run_line_magic('ckpt_load', '')")

    (row,) = [row for row in ckpt_magic.status("m", folder=pipeline) if row["step"] == 11]
    assert [lost["name"] for lost in row["lost"]] == ["held"]


SCRIPT = """
from ckpt_magic import Checkpoint

class Item:
    def __init__(self, value): self.value = value
    def doubled(self): return twice(self.value)

def twice(value): return 2 * value

class Training(Checkpoint):
    def step_1_load(self, outputs):
        return Item(21)
    def step_2(self, outputs):
        return outputs["step_1_load"].doubled(), twice
    def step_3(self, outputs):
        return 3

if __name__ == "__main__":
    training = Training(name="t", checkpoint_folder="ck")
    training.run()
    (training.checkpoint_folder / "t-v1-step3.pkl").unlink()
    outputs = training.load_outputs()
    assert outputs[1].doubled() == outputs["step_1_load"].doubled() == outputs.step_1.value * 2 == 42
    assert outputs[2][0] == 42
    assert "step_3" not in outputs
    print(outputs)
"""


def test_outputs_of_a_script_answer_to_full_names_and_say_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))

    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "step_1_load" in done.stdout
    assert "missing" in next(line for line in done.stdout.splitlines() if "step_3" in line)

    outputs = ckpt_magic.load("t", folder=tmp_path / "ck")
    assert outputs[1].doubled() == 42  # in a process that never saw the script
    assert outputs[2][1](4) == 8


def test_of_many_files_one_is_read(tmp_path: Path) -> None:
    keyring = load_keyring()
    store = Store(tmp_path)
    for step in range(1, 201):
        save(store.path("m", 1, step), {"x": step}, keyring, step=step)

    def load() -> None:
        assert ckpt_magic.load("m", folder=tmp_path)[150] == {"x": 150}

    load()
    few = calls(load)
    for step in range(201, 2001):
        store.path("m", 1, step).write_bytes(b"")
    assert calls(load) < few + 1800 * 100  # a name each, not a file
