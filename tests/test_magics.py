from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ckpt_magic
from ckpt_magic import LostValueError, StepNotFoundError, UntrustedError
from ckpt_magic.faces import verbs
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Key, export_key, load_keyring
from ckpt_magic.steps.registry import StepCall
from tests import making
from tests.conftest import RunInFork
from tests.test_status import KEYS

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAGICS = [f"ckpt_{verb}" for verb in "config start load status verify diff clear trust".split()]


@pytest.fixture
def run(shell: InteractiveShell) -> Any:
    """Run cells; return the value of the last one, or raise its error."""

    def run_cells(*cells: str) -> Any:
        result = None
        for cell in cells:
            result = shell.run_cell(cell)
            result.raise_error()
        return result.result if result is not None else None

    return run_cells


def usage(run: Any, capsys: pytest.CaptureFixture[str], cell: str) -> str:
    """Run a cell that is wrong; return the one line that it shows."""
    from IPython.core.error import UsageError

    capsys.readouterr()
    with pytest.raises(UsageError):
        run(cell)
    shown = capsys.readouterr()
    (line,) = (shown.out + shown.err).splitlines()
    return line


# --- %%step ---


def test_all_options_of_a_step_are_read() -> None:
    line = "3 --name m --version 2 --folder 'a b' --title \"Load it\" --save a b --drop c --save d --require e --force"

    assert verbs.parse_step(line) == StepCall(3, "m", "2", "a b", "Load it", ("a", "b", "d"), ("c",), ("e",), True)
    assert verbs.parse_step("7") == StepCall(7)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "N"),
        ("x", "'x' is no step number: use a whole number from 1"),
        ("0", "'0' is no step number"),
        ("-1", "'-1' is no step number"),
        ("1.5", "'1.5' is no step number"),
        ("9" * 5000, "is no step number"),
        ("1 2", "unrecognized arguments: 2"),
        ("1 --nam m", "unrecognized arguments: --nam m"),
        ("1 --title", "expected one argument"),
        ("1 --save a-b", "'a-b' is not the name of a variable"),
        ("1 --title 'open", "no closing quotation"),
    ],
)
def test_a_wrong_step_line_is_one_line_before_anything_runs(
    run: Any, capsys: pytest.CaptureFixture[str], shell: InteractiveShell, line: str, words: str
) -> None:
    shown = usage(run, capsys, f"%%step {line}\nran = True")

    assert shown.startswith("UsageError: %%step: ") and words in shown and "`%%step?`" in shown
    assert "ran" not in shell.user_ns


def test_a_place_that_cannot_be_is_no_default(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for line, words in {
        "--name ''": "name ''",
        "--name m --version ''": "version ''",
        "--name m --folder ''": "folder ''",
        "--name m --folder ~nobody-here/x": "Write the path in full",
    }.items():
        assert words in usage(run, capsys, f"%%step 1 {line}\nran = True")


def test_a_step_without_any_name_says_how_to_give_one(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--name NAME" in usage(run, capsys, "%%step 1\n1")
    assert "name 'a/b'" in usage(run, capsys, "%%step 1 --name a/b\n1")


# --- %ckpt_config, %ckpt_start ---


def test_defaults_are_set_and_shown_with_their_source(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT_VERSION", "7")
    run("%ckpt_config --name m --folder sub/ck")
    assert capsys.readouterr().out == ""  # a stored notebook should not hold where it ran
    run("%ckpt_config")
    out = capsys.readouterr().out

    assert "m  (%ckpt_config)" in out and "7  (CKPT_VERSION)" in out and f"{tmp_path / 'sub/ck'}" in out
    run("%%step 1\nx = 1")
    assert (tmp_path / "sub/ck/m-v7-step1.pkl").exists()


def test_a_wrong_default_changes_nothing(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("%ckpt_config --name m")
    assert "name 'a b'" in usage(run, capsys, "%ckpt_config --version 2 --name 'a b'")
    assert "only local" in usage(run, capsys, "%ckpt_config --version 2 --folder s3://bucket")
    run("%ckpt_config")
    assert "version     1" in capsys.readouterr().out


def test_a_start_point_is_set_shown_and_explained(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("%ckpt_start")
    assert capsys.readouterr().out == "start point: none (nothing is restored)\n"
    run("%ckpt_start 4")
    assert capsys.readouterr().out == "start point: 4 (steps 1–3 are restored where possible)\n"
    run("%ckpt_start auto --name m")
    assert "start point of `m`: auto" in capsys.readouterr().out
    run("%ckpt_start --name other")
    assert "start point of `other`: 4" in capsys.readouterr().out
    assert "start point 'x'" in usage(run, capsys, "%ckpt_start x")
    run("%ckpt_start 1000000000")  # a range of which no list is made
    assert "steps 1–999999999 are" in capsys.readouterr().out
    for many in ("9" * 10, "9" * 5000):
        assert f"start point '{many}'" in usage(run, capsys, f"%ckpt_start {many}")


def test_an_unknown_name_that_only_the_run_can_show_fails_the_cell_after_it(
    run: Any, shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("%ckpt_config --name m")
    line = usage(run, capsys, "%%step 1 --save x nope\nexec('x = 1')")
    assert line.startswith("UsageError: step 1: --save or --drop names `nope`")
    assert shell.user_ns["x"] == 1
    assert (tmp_path / ".ckpt/m-v1-step1.pkl").exists()
    assert run("%%step 2\ny = x\ny") == 1


LOST = "%%step 1\nx = 1\n(lambda numbers: (next(numbers), numbers)[1])(n for n in [0, 1, 2])"


LATE = "%%step 1\nimport sys\nx = 1\n(type(sys.flags),)"  # which can be looked at and not written


@pytest.mark.parametrize(
    ("step", "kind", "shows"), [(LOST, "generator", "<generator object"), (LATE, "tuple", "sys.flags")]
)
def test_a_result_that_cannot_be_saved_is_named_and_only_missed_where_it_is_read(
    run: Any, capsys: pytest.CaptureFixture[str], step: str, kind: str, shows: str
) -> None:
    run("%ckpt_config --name m", "7", step, "%%step 2\ny = x")
    assert f"the result ({kind}) cannot be saved" in capsys.readouterr().out
    run("%reset -f", "%ckpt_start 3", "7", step, "%%step 2\ny = x")
    shown = capsys.readouterr().out
    assert "step 1 · restored" in shown and "the result could not be saved" in shown
    assert shows in shown, "what it showed is shown again"
    assert run("y") == 1
    assert f"`_` ({kind}) was not saved" in str(run("%ckpt_status"))


@pytest.mark.parametrize("time", ["", "%%time\n"])
@pytest.mark.parametrize(
    "body", [LOST, "%%step 1 --drop x\nx = [1]\nx", "%%step 1\nx = (n for n in [0, 1, 2])\nnext(x)\nx"]
)
def test_a_lost_result_is_never_taken_for_an_earlier_one(run: Any, time: str, body: str) -> None:
    run("%ckpt_config --name m", time + body)
    run("%reset -f", "%ckpt_start 3", "7", time + body)
    with pytest.raises(LostValueError, match="step 1: `_`"):
        run("y = next(_)")


def test_a_step_whose_lost_result_a_later_step_reads_runs_again(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [LOST, "%%step 2\ny = next(_)", "%%step 3\nz = y"]
    run("%ckpt_config --name m", *cells)
    run("%reset -f", "%ckpt_start 2", *cells)
    assert "the result could not be saved, and step 2 reads it" in capsys.readouterr().out
    run("%reset -f", "%ckpt_start 3")
    capsys.readouterr()
    run(*cells)
    assert "step 1 · restored" in capsys.readouterr().out, "step 2 is sure to be restored"


def test_tasks_that_wait_for_the_next_cell_are_named(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside a kernel no loop runs between cells; IPython keeps the one that its next `await` goes on with."""
    run("%ckpt_config --name m", "import asyncio")
    capsys.readouterr()
    run("%%step 1\nt = asyncio.ensure_future(asyncio.sleep(30)); t.set_name('late')\nawait asyncio.sleep(0)")
    assert "running task `late` cannot be restored" in capsys.readouterr().out
    run("t.cancel()\nawait asyncio.sleep(0)")
    run("%%step 2\nx = 1")
    assert "late" not in capsys.readouterr().out


_OF_CONTEXTS = [
    "%%step 1\nimport asyncio, contextvars\nv = contextvars.ContextVar('v'); v.set([0])\n"
    "held = [contextvars.ContextVar('w')]",
    "%%step 2\nv.get().append(1); held[0].set(2); v.set([3])\nawait asyncio.sleep(0)\n"
    "inside = v.get()[0], held[0].get()",
    "%%step 3\nx = contextvars.ContextVar('x', default=4); x.set(5)\nawait asyncio.sleep(0)\nv.get().append(x.get())",
    "%%step 4\ny = v.get(), held[0].get('unset'), x.get(), inside",
]


@pytest.mark.parametrize("start", [1, 2, 3, 4, 5])
def test_what_a_cell_that_awaits_sets_in_context_variables_ends_with_it_and_nothing_else(run: Any, start: int) -> None:
    """IPython runs such a cell as a task, in a context of its own: also where it is restored."""
    run("%ckpt_config --name m", *_OF_CONTEXTS, "%reset -f", f"%ckpt_start {start}", *_OF_CONTEXTS)
    assert run("y") == ([0, 1, 5], "unset", 4, (3, 2))
    assert run("v.get(), v.get() is y[0]") == ([0, 1, 5], True)
    below = [row for row in run("%ckpt_status --json") if row["step"] < start]
    assert all(row["restore_seconds"] is not None for row in below)


def test_steps_before_the_start_point_are_restored(run: Any, shell: InteractiveShell) -> None:
    run("%ckpt_config --name m", "%%step 1\nx = [1]\nprint('hi')", "%reset -f", "%ckpt_start 2", "%%step 1\nx = [1]")
    assert run("x") == [1]
    assert run("%ckpt_status --json")[0]["restore_seconds"] is not None


# --- %ckpt_load ---


@pytest.fixture
def three(run: Any) -> None:
    run(
        "%ckpt_config --name m",
        "%%step 1\nx = [1]\nf = lambda: x",
        "%%step 2\ny = 2",
        "%%step 3\ndel y\nz = 3",
        "%reset -f",
    )


@pytest.mark.usefixtures("three")
def test_loading_returns_a_mapping_and_binds_nothing(run: Any, shell: InteractiveShell) -> None:
    outputs = run("outputs = %ckpt_load", "outputs")

    assert list(outputs) == ["step_1", "step_2", "step_3"]
    assert outputs[1]["f"]() == [1]
    assert not {"x", "y", "z"} & shell.user_ns.keys()
    assert list(run("%ckpt_load 2-9")) == ["step_2", "step_3"]
    assert list(run("%ckpt_load 3 step_1")) == ["step_1", "step_3"]


@pytest.mark.usefixtures("three")
def test_pushing_puts_the_values_in_place_one_line_each(
    run: Any, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    run("%ckpt_load --push")

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[:3] for line in lines] == [
        ["step 1", "pushed", "x, f"],
        ["step 2", "pushed", "y"],
        ["step 3", "pushed", "z"],
    ]
    assert shell.user_ns["z"] == 3 and "y" not in shell.user_ns
    assert run("f() is x")


@pytest.mark.usefixtures("three")
def test_pushing_over_other_values_needs_force(
    run: Any, capsys: pytest.CaptureFixture[str], shell: InteractiveShell
) -> None:
    run("x = 'mine'")
    assert "`x`" in usage(run, capsys, "%ckpt_load --push")
    assert "y" not in shell.user_ns and "z" not in shell.user_ns
    receipts = run("%ckpt_load 1 --push --force --json")
    assert [row["step"] for row in receipts] == [1] and run("x") == [1]


@pytest.mark.usefixtures("three")
def test_what_is_missing_is_an_error_that_lists_what_there_is(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepNotFoundError, match="step 7 is not stored; stored: steps 1–3"):
        run("%ckpt_load 1 7")
    with pytest.raises(StepNotFoundError, match=r"`n` version 1 .*m \(version 1\)"):
        run("%ckpt_load --name n")
    assert usage(run, capsys, "%ckpt_status 7") == "StepNotFoundError: status: step 7 is not stored; stored: steps 1–3"
    assert "step 7 is not stored" in usage(run, capsys, "%ckpt_accept 7")
    for wrong in ("x", "3-1", "1-", "9" * 5000):
        assert f"'{wrong}' is no step" in usage(run, capsys, f"%ckpt_load {wrong}")
    for line, told in {"%ckpt_load --force": "--force goes", "%ckpt_start 1 --changed x": "--changed gives"}.items():
        shown, magic = usage(run, capsys, line), line.split()[0]
        assert f"{magic}: {told}" in shown and f"`{magic}?` shows what it takes" in shown


@pytest.mark.usefixtures("three")
def test_loading_without_a_name_asks_for_one(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%unload_ext ckpt_magic")
    del shell._ckpt_magic  # type: ignore[attr-defined]  # as in a new kernel
    shell.run_cell("%load_ext ckpt_magic")
    capsys.readouterr()
    shell.run_cell("%ckpt_load")
    shown = "".join(capsys.readouterr())
    assert "%ckpt_load: which pipeline? --name NAME; stored: m (version 1); `%ckpt_load?` shows" in shown


# --- %ckpt_status ---


@pytest.mark.usefixtures("three")
def test_status_has_a_row_per_step(run: Any) -> None:
    run("%%step 9 --title Last\nw = 1", "%ckpt_clear 9 --yes", "%ckpt_start 2")

    rows = run("%ckpt_status --json")

    assert type(rows) is list and all(" ".join(row) == KEYS for row in rows)
    assert [(row["step"], row["state"], row["next"]) for row in rows] == [
        (1, "stored", "restore"),
        (2, "stored", "run"),
        (3, "stored", "run"),
        (9, "missing", "run"),
    ]
    assert json.loads(json.dumps(rows)) == rows
    assert "not before the start point" in repr(run("%ckpt_status"))


@pytest.mark.usefixtures("three")
def test_status_of_one_step_tells_everything(run: Any) -> None:
    shown = run("%ckpt_status 1")
    assert "x = [1]" in repr(shown) and "x = [1]" in shown._repr_html_()
    assert run("%ckpt_status 1 --json")[0]["record"]["kind"] == "cell"
    with pytest.raises(StepNotFoundError, match="step 8"):
        run("%ckpt_status 8")


def test_a_failed_cell_has_a_failed_row(run: Any, shell: InteractiveShell) -> None:
    run("%ckpt_config --name m", "%%step 1\nx = 1")
    shell.run_cell("%%step 1\n1 / 0")

    (row,) = run("%ckpt_status --json")
    assert row["state"] == "failed" and row["reason"] == "the cell failed" and row["bytes"] is not None


def test_without_a_name_the_pipelines_of_this_kernel_are_shown_and_others_named(run: Any, tmp_path: Path) -> None:
    making.save(Store(tmp_path / ".ckpt").path("old", 3, 1), {}, load_keyring(), name="old", version="3")
    assert [row["name"] for row in run("%ckpt_status")] == ["old"]

    run("%%step 1 --name a\nx = 1", "%%step 1 --name b --folder elsewhere\nx = 1")

    found = run("%ckpt_status")
    assert [row["name"] for row in found] == ["a", "b"]
    assert "old (version 3)" in found.note and found.note in repr(found)
    assert [row["name"] for row in run("%ckpt_status --name old")] == ["old"]


def test_status_in_a_fresh_kernel_imports_no_data_libraries(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "s = InteractiveShell.instance()\n"
        "for cell in ['%load_ext ckpt_magic', '%%step 1 --name m\\nx = [1]', '%ckpt_status', '%ckpt_load --name m']:\n"
        "    s.run_cell(cell).raise_error()\n"
        "heavy = {'numpy', 'pandas', 'matplotlib', 'torch', 'nbclient', 'nbformat', 'sklearn'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.PIPE)


def test_importing_the_package_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, ckpt_magic\n"
        "from ckpt_magic import Checkpoint\n"
        "assert not {'IPython', 'rich', 'numpy', 'nbformat'} & sys.modules.keys()\n"
        "assert {'Checkpoint', 'load', 'status'} <= set(dir(ckpt_magic))\n"
        "assert ckpt_magic.status() == []\n"
        "try: ckpt_magic.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "from ckpt_magic import *\n"
        "assert load is ckpt_magic.load"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


# --- %ckpt_clear ---


@pytest.mark.usefixtures("three")
def test_clearing_says_what_it_would_do_and_does_it_with_yes(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = Store(tmp_path / ".ckpt")
    run("%ckpt_clear 1-2")
    out = capsys.readouterr().out
    assert "would delete 2 files" in out and "m-v1-step2.pkl" in out and "--yes" in out
    assert len(store.entries()) == 3

    run("%ckpt_clear 1-2 --yes")
    assert [entry.step for entry in store.entries()] == [3]
    run("%ckpt_clear --all --yes")
    assert not store.entries()
    capsys.readouterr()
    run("%ckpt_clear --all")
    assert capsys.readouterr().out == "there is nothing to delete\n"


@pytest.mark.usefixtures("three")
def test_kept_files_are_cleared_only_when_asked(run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / ".ckpt")
    kept = store.set_aside(store.path("m", 1, 1), "kept")
    making.save(store.path("n", 1, 1), {}, load_keyring(), name="n")
    other = store.set_aside(store.path("n", 1, 1), "bad")

    run("%ckpt_clear --all --yes")
    assert kept.exists()
    run("%ckpt_clear --kept --yes")
    assert not kept.exists() and other.exists()


@pytest.mark.usefixtures("three")
def test_clearing_nothing_in_particular_is_refused(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "say what to delete" in usage(run, capsys, "%ckpt_clear")
    assert "not both" in usage(run, capsys, "%ckpt_clear 1 --all")


@pytest.mark.usefixtures("three")
def test_clearing_takes_ages_versions_and_a_quota(run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = Store(tmp_path / ".ckpt")
    capsys.readouterr()
    run("%ckpt_clear --older 14d --yes", "%ckpt_clear --keep 1 --yes", "%ckpt_clear --quota 1GB --dry-run")
    assert capsys.readouterr().out == "there is nothing to delete\n" * 3
    rows = run("%ckpt_clear --quota 0 --json")
    assert [(row["step"], row["deleted"]) for row in rows] == [(1, False), (2, False), (3, False)]
    assert len(store.entries()) == 3
    assert "'soon' is no age: use a number with m" in usage(run, capsys, "%ckpt_clear --older soon")
    assert "give --yes or --dry-run, not both" in usage(run, capsys, "%ckpt_clear 1 --yes --dry-run")
    assert "leave out --version" in usage(run, capsys, "%ckpt_clear --keep 1 --version 2")


# --- %ckpt_trust ---


def test_a_file_is_shown_then_signed(run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = making.save(Store(tmp_path / ".ckpt").path("m", 1, 1), {"x": len}, making.some_keyring(tmp_path))
    run("%ckpt_config --name m")
    with pytest.raises(UntrustedError, match="someone else's"):
        run("%ckpt_load", "_[1]")
    capsys.readouterr()

    run("%ckpt_trust .ckpt/m-v1-step1.pkl")
    out = capsys.readouterr().out
    assert "someone else's checkpoint" in out and "builtins.len" in out and "not signed" in out
    assert run("%ckpt_status --json")[0]["state"] == "other key"

    run("%ckpt_trust .ckpt --yes")
    assert "signed: it is trusted now" in capsys.readouterr().out
    assert run("%ckpt_status --json")[0]["state"] == "stored"
    run(f"%ckpt_trust '{path}'", "%ckpt_trust .ckpt")
    assert "is trusted already" in capsys.readouterr().out


def test_a_file_that_changed_since_it_was_shown_is_not_signed(run: Any, tmp_path: Path) -> None:
    path = making.save(Store(tmp_path / ".ckpt").path("m", 1, 1), {"x": len}, making.some_keyring(tmp_path))
    run("%ckpt_trust .ckpt")
    making.save(path, {"x": exec}, making.some_keyring(tmp_path))

    with pytest.raises(UntrustedError, match="changed since it was shown"):
        run("%ckpt_trust .ckpt --yes")


def test_a_key_is_accepted(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    keyring = making.some_keyring(tmp_path)
    making.save(Store(tmp_path / ".ckpt").path("m", 1, 1), {"x": 1}, keyring)
    export_key(Key(keyring.signing.secret), tmp_path / "theirs.key")

    run("%ckpt_trust --key theirs.key")
    assert keyring.signing.id.hex() in capsys.readouterr().out
    assert run("%ckpt_status --json")[0]["state"] == "other key"
    run("%ckpt_trust --key theirs.key --yes")
    assert run("%ckpt_status --json")[0]["state"] == "stored"


def test_trust_needs_one_thing(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give a file or a folder" in usage(run, capsys, "%ckpt_trust")
    assert "give a file or a folder" in usage(run, capsys, "%ckpt_trust a --key b")


# --- help, completion, config, life ---


@pytest.mark.parametrize("name", ["%step", *MAGICS])
def test_every_magic_has_help_with_examples(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell, name: str
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.core.page.page", lambda data, *args, **kwargs: shown.append(data))
    run(f"%{name}?")
    text = str(shown) + capsys.readouterr().out
    assert "Usage:" in text and "Examples" in text


def complete(shell: InteractiveShell, line: str, below: str = "") -> list[str]:
    """The completions at the end of the line, as a kernel finds them."""
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        found = list(shell.Completer.completions(line + below, len(line)))
    return sorted({line[one.start : len(line)].rpartition(" ")[0] + one.text for one in found})


@pytest.mark.usefixtures("three")
def test_completion_knows_options_names_versions_and_variables(run: Any, shell: InteractiveShell) -> None:
    run("%%step 1 --name other --version 2\nx = 1", "dataset = 1")

    assert complete(shell, "%ckpt_load --na") == ["--name"]
    assert complete(shell, "%ckpt_load --name ") == ["m", "other"]
    assert complete(shell, "%ckpt_status --name other --version ") == ["2"]
    assert complete(shell, "%%step 3 --save data") == ["dataset"]
    assert complete(shell, "%%step 3 --save x dat", "\nx = 1") == ["dataset"]
    assert complete(shell, "%%step 3 --fo", "\nx = 1") == ["--folder", "--force"]
    assert complete(shell, "%ckpt_start a") == ["auto"]


def test_config_options_hold(run: Any, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run("%ckpt_config --name m")
    capsys.readouterr()
    run("%config CkptMagics.banner = False", "%%step 1\nx = 1")
    assert capsys.readouterr().out == ""
    run("%config CkptMagics.banner = True", "%%step 1\nx = 1")
    assert "step 1 · saved" in capsys.readouterr().out


def test_config_of_the_profile_is_read(tmp_path: Path) -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nfrom traitlets.config import Config\n"
        "c = Config(); c.CkptMagics.name = 'p'; c.CkptMagics.version = '4'; c.CkptMagics.start_from = '2'\n"
        "s = InteractiveShell.instance(config=c)\n"
        "for cell in ['%load_ext ckpt_magic', '%%step 1\\nx = 1', '%ckpt_config']: s.run_cell(cell).raise_error()\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "p  (config)" in out and "start point 2  (config)" in out
    assert (tmp_path / ".ckpt/p-v4-step1.pkl").exists()


def test_the_banner_is_turned_off_by_the_environment(
    run: Any, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CKPT_BANNER", "0")
    run("%reload_ext ckpt_magic", "%ckpt_config --name m")
    capsys.readouterr()
    run("%%step 1\nx = 1")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("three")
def test_reloading_keeps_what_the_kernel_knows(run: Any) -> None:
    run("%%step 5\nv = 1", "%reload_ext ckpt_magic")

    assert run("%ckpt_status --json")[-1]["run_seconds"] is not None
    run("%%step 6\nv = 2")
    assert [row["step"] for row in run("%ckpt_status")] == [1, 2, 3, 5, 6]


def test_unloading_takes_everything_out(run: Any, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt_magic.load_ipython_extension(shell)  # a second time does no harm
    run("%unload_ext ckpt_magic")

    table = shell.magics_manager.magics
    assert not [name for kind in table.values() for name in kind if "ckpt" in name or name.endswith("step")]
    assert "CkptMagics" not in [type(one).__name__ for one in shell.configurables]
    assert complete(shell, "%ckpt_load --na") == []
    assert "not found" in usage(run, capsys, "%%step 1\nx = 1")
    ckpt_magic.unload_ipython_extension(shell)
    run("%load_ext ckpt_magic", "%%step 1 --name m\nx = 1")


def test_the_notebooks_name_is_the_default(shell: InteractiveShell, run: Any, tmp_path: Path) -> None:
    notebook = tmp_path / "nb" / "my training.ipynb"
    notebook.parent.mkdir()
    notebook.write_text("{}")
    run("%unload_ext ckpt_magic")
    del shell._ckpt_magic  # type: ignore[attr-defined]
    shell.user_ns["__session__"] = str(notebook)

    run("%load_ext ckpt_magic", "%%step 1\nx = 1")

    assert (tmp_path / "nb/.ckpt/my-training-v1-step1.pkl").exists()
    assert run("%ckpt_status 1 --json")[0]["record"]["notebook"] == "../my training.ipynb"


def test_options_that_were_handed_over_win(shell: InteractiveShell, tmp_path: Path) -> None:
    handed = tmp_path / "handed.json"
    handed.write_text(json.dumps({"name": "h", "start_from": "2", "sources": []}))
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nfrom traitlets.config import Config\n"
        f"c = Config(); c.CkptMagics.handed_over = {str(handed)!r}\n"
        "s = InteractiveShell.instance(config=c)\n"
        "for cell in ['%load_ext ckpt_magic', '%ckpt_config --name m', '%ckpt_config',"
        " '%%step 1 --name k\\nx = 1', '%ckpt_start 9']:\n"
        "    s.run_cell(cell).raise_error()\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "h  (ckpt-magic run)" in out and "wins over %ckpt_start" in out
    assert (tmp_path / ".ckpt/h-v1-step1.pkl").exists()


def test_a_stream_that_a_step_replaced_for_a_while_is_the_one_of_the_process_again(tmp_path: Path) -> None:
    """IPython gives it another `write` around each cell, which must not come back with the step."""
    step = (
        "%%step 1\nimport sys\nclass Both:\n    def __init__(self, to): self.to = to\n"
        "    def write(self, text): return self.to.write(text)\n    def flush(self): self.to.flush()\n"
        "both = Both(sys.stdout); sys.stdout = both\nprint('said')\nsys.stdout = both.to"
    )
    code = (
        "import io, sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "s = InteractiveShell.instance(); told, sys.stdout = sys.stdout, io.StringIO()\n"
        "for cell in ['%load_ext ckpt_magic', '%ckpt_config --name m --sync', '%ckpt_start ' + sys.argv[1],"
        f" {step!r}, 'both.write(\\'more\\')']:\n"
        "    s.run_cell(cell).raise_error()\n"
        "told.write(sys.stdout.getvalue())\n"
    )
    shown = [
        subprocess.run(
            [sys.executable, "-c", code, start], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        for start in ("none", "end")
    ]
    assert all("said\nstep 1 · " in one and "more" in one for one in shown)
    assert "restored" in shown[1]


def test_options_that_went_missing_are_an_error(tmp_path: Path) -> None:
    """Going on without them could run, and save, what should be restored."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nfrom traitlets.config import Config\n"
        f"c = Config(); c.CkptMagics.handed_over = {str(tmp_path / 'gone.json')!r}\n"
        "s = InteractiveShell.instance(config=c)\n"
        "s.run_cell('%load_ext ckpt_magic').raise_error()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "the options of `ckpt-magic run`" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child_the_inherited_hooks_do_nothing(run: Any, tmp_path: Path) -> None:
    run(
        "%ckpt_config --name m",
        "import os\npid = os.fork()\nif pid == 0:\n"
        "    get_ipython().run_cell('%%step 1\\nx = 1')\n    os._exit(0)\nos.waitpid(pid, 0);",
    )
    assert not list((tmp_path / ".ckpt").glob("*.pkl"))


# --- names of the user that look like IPython's ---


@pytest.mark.parametrize("start", ["2", "3", "4", "end"])
def test_dunder_names_of_the_notebook_are_restored_like_others(run_in_fork: RunInFork, start: str) -> None:
    told = "dict(__annotations__)" if sys.version_info < (3, 14) else "{}"  # which modules have no more
    cells = [
        "%%step 1\nx: int = 3\n__version__ = '1'; __all__ = ['x']",
        "y: str",
        "%%step 2\n__all__.append('y'); z: list = [x]\ndel __version__",
        f"%%step 3\nseen = {told}, __all__, '__version__' in globals()\nprint(seen)",
    ]
    full = run_in_fork(["%ckpt_config --name m", *cells])
    if sys.version_info < (3, 14):
        assert "{'x': <class 'int'>, 'y': <class 'str'>, 'z': <class 'list'>}, ['x', 'y'], False" in full.text
    assert "outside" not in full.text
    other = run_in_fork(["%ckpt_config --name m", f"%ckpt_start {start}", *cells, "%ckpt_status"])
    assert other.names == full.names
    assert other.text.count("restored") >= 1


def test_names_that_a_magic_brings_and_hides_are_restored(run_in_fork: RunInFork) -> None:
    """As `%pylab` does: code goes on using `plot`."""
    pylab = (
        "%%step 1\nimport math\nfrom matplotlib.backends.registry import backend_registry\n"
        "new = {'tau': math.tau, 'registry': backend_registry}\n"
        "backend_registry.resolve_backend('module://matplotlib_inline.backend_inline')\n"
        "get_ipython().user_ns.update(new); get_ipython().user_ns_hidden.update(new); del new"
    )
    cells = [pylab, "print(tau, registry.list_builtin()[:1], get_ipython().run_line_magic('who_ls', ''))"]
    cold = run_in_fork(["%ckpt_config --name hidden", *cells])
    again = run_in_fork(["%ckpt_config --name hidden", "%ckpt_start end", *cells])
    assert "step 1 · restored" in again.text
    assert "6.28" in again.cells[-1]["text"]
    assert "tau" not in again.cells[-1]["text"]
    assert again.cells[-1] == cold.cells[-1]


def test_what_ipython_itself_sets_for_the_time_of_a_cell_is_no_change(run_in_fork: RunInFork) -> None:
    """Attributes set by name could be any: `sys.displayhook`, `exit`, `quit` and `get_ipython` are IPython's."""
    steps = [
        "%%step 1\nmade = [1]",
        "%%step 2\nimport sys\nsetattr(sys.modules['__main__'], 'other', made)\nsetattr(sys, 'mark', 3)",
        "import builtins\nprint(sys.mark, other is made, type(sys.displayhook).__name__, builtins.get_ipython, exit)",
    ]
    cold = run_in_fork(["%ckpt_config --name traps", *steps])
    again = run_in_fork(["%ckpt_config --name traps", "%ckpt_start end", *steps])
    assert "step 2 · restored" in again.text
    told = cold.cells[-1]["text"].split()
    assert told[:3] == ["3", "True", "DisplayHook"]
    assert [word for word in again.cells[-1]["text"].split() if "0x" not in word] == [w for w in told if "0x" not in w]


def test_a_result_that_a_later_step_changes_is_changed_in_the_history_too(run_in_fork: RunInFork) -> None:
    cells = [
        "%ckpt_config --name m",
        "%%step 1\na = [1]; b = {2}; a",
        "%%step 2\na.append(3); b",
        "%%step 3\na += [4]; b = b | {5}",
        "%%step 4\nr = _, __, __ is a, _ is b, list(Out.values())[0] is a; b.add(6)",
        "print(r, _, b)",
    ]
    full = run_in_fork(cells)
    for start in ("3", "4", "end"):
        again = run_in_fork([cells[0], f"%ckpt_start {start}", *cells[1:]])
        assert again.cells[-1] == full.cells[-1] and "[1, 3, 4], True, False, True" in again.text


def test_a_step_that_changes_a_result_without_a_name_runs_where_the_history_is_read(run_in_fork: RunInFork) -> None:
    cells = [
        "%ckpt_config --name m",
        "%%step 1\n[1]",
        "%%step 2\n_.append(2); b = _",
        "%%step 3\nd = {'x': [7]}; n = len(_), b[0]; d['x']",
        "%%step 4\nd['x'].append(8); n = sum(_)",
        "%%step 5\nr = _, __, __ is b, d['x'] is _",
        "print(r)",
    ]
    full = run_in_fork(cells)
    again = run_in_fork([cells[0], "%ckpt_start 5", *cells[1:]])
    assert again.cells[-1] == full.cells[-1] and "([7, 8], [1, 2], True, True)" in again.text
    assert again.text.count("reads such a result") == again.text.count("restored ·") == 2
    again = run_in_fork([cells[0], "%ckpt_start end", *cells[1:]])
    assert again.text.count("restored ·") == 5


@pytest.mark.parametrize("start", ["end", "3"])
def test_what_a_step_leaves_in_a_name_of_ipython_is_read_as_its_own(run_in_fork: RunInFork, start: str) -> None:
    cells = [
        "%ckpt_config --name host",
        "'shown'",
        "%%step 1\nfor _ in range(3): pass",
        "4",
        "%%step 2\nglobals()['seen'] = [_, len(Out)]",
        "%%step 3\n_ = seen\n_",
        "print(_, seen)",
    ]
    full = run_in_fork(cells)
    again = run_in_fork([cells[0], f"%ckpt_start {start}", *cells[1:]])
    assert again.names == full.names
    assert again.cells[-1] == full.cells[-1]
    assert again.text.count("restored ·") == (3 if start == "end" else 2)
