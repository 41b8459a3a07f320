from __future__ import annotations

import json
from pathlib import Path

import pytest

from ckpt_magic import StepNotFoundError
from ckpt_magic.faces.cli import main
from ckpt_magic.faces.verify import verify
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.registry import PipelineKey
from tests.test_runner import read, save, texts

FIRST = "%load_ext ckpt_magic\n%ckpt_config --name m\nimport random, time"
STEPS = [
    "%%step 1\nx = list(range(5))\nprint('one')",
    "%%step 2\nz = {'sum': sum(x), 'noise': random.random(), 'at': time.time_ns()}",
    "%%step 3\nrandom.seed(1)\ny = [v * random.random() for v in x]\nx.append(99)",
    "%%step 4\nassert len(x) == 6 and not Path('switch').exists()",
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook whose four steps are stored."""
    folder = tmp_path_factory.mktemp("verified")
    path = save(folder / "nb.ipynb", FIRST, "from pathlib import Path", *STEPS)
    assert main(["run", str(path)]) == 0
    return path


def key(notebook: Path) -> PipelineKey:
    return PipelineKey(notebook.parent / ".ckpt", "m", "1")


def contents(notebook: Path) -> dict[str, bytes]:
    """What is in the folder of the checkpoints, the times of last use aside."""
    return {path.name: path.read_bytes() for path in (notebook.parent / ".ckpt").iterdir() if path.name != ".used"}


def test_a_step_that_gives_the_same_again_reproduces_and_nothing_stays(notebook: Path) -> None:
    before = contents(notebook)

    report = verify(notebook, key(notebook), 3, load_keyring())

    assert report.verdict == "reproduces" and report.text().startswith("step 3 reproduces · ran ")
    assert report.reasons == []  # it seeds what it draws
    assert contents(notebook) == before


def test_a_step_that_reads_the_clock_differs_and_says_why(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(notebook), "--step", "2", "--json"]) == 10

    row = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in row["differences"]] == ['z["at"]']  # the generator was restored, the clock was not
    assert row["reasons"] == [
        "draws random numbers that nothing seeded (random)",
        "reads the clock, or what is new each time (`time_ns()`)",
    ]


def test_a_step_that_fails_when_it_is_run_again_shows_its_traceback(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (notebook.parent / "switch").touch()

    assert main(["verify", str(notebook), "--step", "4"]) == 1

    shown = capsys.readouterr().out
    assert shown.startswith("step 4 failed when it was run again") and "AssertionError" in shown


@pytest.mark.kernel
def test_a_notebook_verifies_its_own_steps(notebook: Path) -> None:
    other = save(notebook.parent / "other.ipynb", FIRST, *STEPS[:1], "%ckpt_verify 1", "%ckpt_verify 7")

    assert main(["run", str(other), "--name", "other", "-o", str(other)]) == 1

    assert texts(read(other))[2].startswith("step 1 reproduces")
    assert "step 7 of `other` version 1 is not stored" in str(read(other).cells[3].outputs)


def test_what_is_not_there_cannot_be_verified(tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", FIRST)

    with pytest.raises(StepNotFoundError, match="step 2 of `m` version 1 is not stored"):
        verify(path, key(path), 2, load_keyring())
