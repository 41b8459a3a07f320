"""How `%%step` cells run: one test per trap of facts/execution.md, in real shells, with a fake session."""

from __future__ import annotations

import ast
import builtins
import copy
import gc
import io
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError as ShellUsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ckpt_magic import errors
from ckpt_magic.faces import marking
from ckpt_magic.faces.hooks import Hooks
from ckpt_magic.faces.recording import Tee
from tests import shells
from tests.fake_session import FakeSession, install


class Notebook:
    """A bare shell with hooks, driven cell by cell."""

    def __init__(self, folder: Path, start: int = 0, **options: Any) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self.shell: Any = InteractiveShell.instance(config=config)
        self.shell.ast_node_interactivity = "last_expr"
        self.hooks: Hooks = install(self.shell, folder, start, **options)
        self.session: FakeSession = self.hooks.session  # type: ignore[assignment]
        self.shell.magics_manager.register_function(self.hooks.run_step_cell, "cell", "step")

    def run(self, code: str, **options: Any) -> Any:
        return self.shell.run_cell(code, **{"store_history": True, **options})

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    @property
    def log(self) -> list[Any]:
        """What the session was told since the last look."""
        seen = self.session.log[:]
        self.session.log.clear()
        return seen

    @property
    def outputs(self) -> list[Any]:
        return self.session.outcomes[-1].outputs  # type: ignore[no-any-return]


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


Open = Callable[..., Notebook]


@pytest.fixture
def open_notebook(tmp_path: Path) -> Iterator[Open]:
    saved = sys.modules["__main__"], sys.displayhook, sys.excepthook, sys.stdout, sys.stderr
    opened: list[Notebook] = []

    def close() -> None:
        while opened:
            notebook = opened.pop()
            notebook.hooks.uninstall()
            shells.end(notebook.shell)

    def open_one(start: int = 0, **options: Any) -> Notebook:
        close()
        opened.append(Notebook(tmp_path / "steps", start, **options))
        return opened[-1]

    yield open_one
    close()
    sys.modules["__main__"], sys.displayhook, sys.excepthook = saved[:3]
    assert [sys.stdout, sys.stderr] == list(saved[3:])
    assert not [name for name in vars(builtins) if "ckpt_magic" in name]


@pytest.fixture
def nb(open_notebook: Open) -> Notebook:
    return open_notebook()


# -- the plain way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [True, False])
def test_the_cell_that_loads_the_extension_is_told_at_its_end(nb: Notebook, history: bool) -> None:
    nb.hooks.uninstall()
    hooks, nb.shell.user_ns["hooks"] = nb.hooks, Hooks(nb.shell, nb.hooks.session, nb.hooks._parse, banner_text=str)
    loading = "hooks.install()\nget_ipython().run_cell('x = 1')\n%precision 3"
    nb.run(loading, store_history=history)
    nb.hooks = nb.shell.user_ns.pop("hooks")
    nb.run("", store_history=history)
    nb.run("y = 1", store_history=history)
    assert nb.session.loaders == [nb.shell.transform_cell(loading)]
    assert not hooks._installed


def test_a_step_runs_is_finished_and_comes_back_with_its_result(open_notebook: Open, capsys: Any) -> None:
    nb = open_notebook()
    result = nb.run("%%step 1\ny = 20\nprint('hi')\ny + 1")
    assert (result.success, result.result, nb["y"]) == (True, 21, 20)
    assert nb.log == [("begin", 1), ("finish", 1, True)]
    ran = capsys.readouterr().out
    assert ran == "hi\nOut[1]: 21\nstep 1 · ran\n"

    nb = open_notebook(start=9)
    result = nb.run("%%step 1\ny = 20\nprint('hi')\ny + 1")
    assert (result.success, result.result, nb["y"], nb["_"], nb["Out"]) == (True, 21, 20, 21, {1: 21})
    assert nb.log == [("begin", 1), ("restore", 1), ("finish", 1, True)]
    assert capsys.readouterr().out == ran.replace("ran", "restored")


def test_a_cell_without_step_begins_and_ends(nb: Notebook) -> None:
    nb.run("x = 1")
    nb.run("get_ipython().run_cell('y = 2')")
    assert nb.log == ["cell begins", "cell ends"] * 2


def test_the_session_gets_the_body_as_typed_and_its_tree_without_the_marker(nb: Notebook) -> None:
    cell = "# above\n\n%%step 1\n\n!true\nq = 2  # two\n"
    nb.run(cell)
    body = nb.session.plans[0].body
    assert body.source == "\n!true\nq = 2  # two\n"
    assert body.cell == cell
    assert "marker" not in ast.dump(body.tree)
    assert [node.lineno for node in body.tree.body] == [5, 6]
    assert "ipython-input" in body.filename


def test_comments_and_blank_lines_may_stand_above(nb: Notebook) -> None:
    assert nb.run("\n# note\n\n   # more\n%%step 1\na = 1\na").result == 1
    assert ("finish", 1, True) in nb.log


@pytest.mark.parametrize("below", ["%%time\n", "\n%%time\n", "%%time\n\n"])
def test_cell_magics_on_the_following_lines_run(nb: Notebook, below: str, capsys: Any) -> None:
    assert nb.run(f"%%step 1\n{below}a = 1\na + 1").result == 2
    assert "Wall time" in capsys.readouterr().out
    assert nb.log == [("begin", 1), ("finish", 1, True)]


def test_bash_capture_and_line_magics_run_below(nb: Notebook, capfd: Any) -> None:
    assert nb.run("%%step 1\n%%capture cap\nprint('caught'); a = 3").success
    assert (nb["cap"].stdout, nb["a"]) == ("caught\n", 3)
    assert nb.run("%%step 2\n%%bash\necho from bash").success
    assert nb.run("%%step 3\n%time b = 1\nc = !echo shell\nc").result == ["shell"]
    assert "from bash" in capfd.readouterr().out


def test_await_at_the_top_level_runs_and_is_restored(open_notebook: Open) -> None:
    cell = "%%step 1\nimport asyncio\nr = await asyncio.sleep(0.001, 'v')\nr"
    assert open_notebook().run(cell).result == "v"
    nb = open_notebook(start=9)
    assert nb.run(cell).result == "v"
    assert ("restore", 1) in nb.log


@pytest.mark.parametrize(
    "head",
    [
        "from __future__ import annotations\n",
        "\n# c\nfrom __future__ import (annotations,\n  division)  # why\nfrom __future__ import generators; k = 1\n",
    ],
)
def test_future_imports_come_first_even_with_await(nb: Notebook, head: str) -> None:
    result = nb.run(f"%%step 1\n{head}import asyncio\nawait asyncio.sleep(0)\ndef f(x: U): pass\nf.__annotations__")
    assert result.result == {"x": "U"}
    assert nb.log == [("begin", 1), ("finish", 1, True)]
    nb.run("from IPython.core.compilerop import CachingCompiler; get_ipython().compile.reset_compiler_flags()")


def test_future_imports_of_a_restored_step_hold_for_the_cells_below(open_notebook: Open) -> None:
    cell = "%%step 1\nfrom __future__ import annotations\ny = 20"
    assert open_notebook().run(cell).success
    nb = open_notebook(start=9)
    nb.shell.compile.reset_compiler_flags()
    nb.run(cell)
    assert nb.run("def f(x: U): pass\nf.__annotations__").result == {"x": "U"}
    assert ("restore", 1) in nb.log
    nb.shell.compile.reset_compiler_flags()


def test_what_every_program_has_by_now_is_no_flag_after_a_restore_either(open_notebook: Open) -> None:
    cell = "%%step 1\nfrom __future__ import print_function, division"
    flags = "def f(): pass\nf.__code__.co_flags"
    nb = open_notebook()
    nb.run(cell)
    ran = nb.run(flags).result
    nb = open_notebook(start=9)
    nb.run(cell)
    assert ("restore", 1) in nb.log and nb.run(flags).result == ran


def test_arguments_expand_names_of_the_notebook_and_not_ours(nb: Notebook) -> None:
    nb.run("v = 7")
    nb.run("%%step {v} --title $v\nx = 1")
    nb.run("%%step 8 --title {line}\nx = 1")
    assert [(p.call.step, p.call.title) for p in nb.session.plans] == [(7, "7"), (8, "{line}")]


def test_a_multi_line_string_that_holds_a_step_line_is_only_a_string(nb: Notebook) -> None:
    assert nb.run("s = '''\n%%step 3\n'''\ns").result == "\n%%step 3\n"
    assert nb.log == ["cell begins", "cell ends"]


def test_line_numbers_are_those_of_the_cell_as_typed(nb: Notebook) -> None:
    result = nb.run("# c\n%%step 1\n\n%time a = 1\n1/0")
    traceback = result.error_in_exec.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_lineno == 5
    result = nb.run("%%step 1\nx = 1\nx = = 2")
    assert result.error_before_exec.lineno == 3


def test_tracebacks_show_the_step_line_and_not_the_marker(nb: Notebook, capsys: Any) -> None:
    nb.run("%%step 1 --title t\n1/0")
    shown = capsys.readouterr().out
    assert "%%step" in shown
    assert "__import__" not in shown
    assert "marker" not in shown


def test_sources_of_functions_of_a_step_are_found(nb: Notebook) -> None:
    nb.run("%%step 1\ndef f():\n    return 1")
    assert nb.run("import inspect; inspect.getsource(f)").result == "def f():\n    return 1\n"


def test_history_shows_the_cell_as_typed(nb: Notebook) -> None:
    nb.run("%%step 1\nx = 1")
    assert nb.shell.history_manager.input_hist_raw[-1] == "%%step 1\nx = 1"


def test_completeness_is_that_of_any_cell_magic(nb: Notebook) -> None:
    check = nb.shell.input_transformer_manager.check_complete
    for tail in ("", "\n", "\nx = 1", "\nx = 1\n", "\nx = 1\n\n"):
        assert check("%%step 1" + tail) == check("%%time" + tail)


# -- the traps, by number -----------------------------------------------------------------------------------------


def test_trap_1_a_silent_step_is_refused_and_the_next_cell_is_not_taken_for_it(nb: Notebook, capsys: Any) -> None:
    result = nb.run("%%step 1\nsz = 3", silent=True)
    assert isinstance(result.error_in_exec, ShellUsageError)
    assert "silently" in str(result.error_in_exec)
    assert "sz" not in nb.shell.user_ns
    nb.run("later = 1")
    assert nb.log == ["cell begins", "cell ends"]


def test_trap_1_silent_cells_without_step_run_outside_of_all_cells(nb: Notebook) -> None:
    nb.run("x = 1", silent=True)
    nb.run("1/0", silent=True)
    assert nb.log == ["outside", "outside"]


@pytest.mark.parametrize("steps", [1, 2])
def test_trap_2_steps_in_a_notebook_that_is_run_refuse(nb: Notebook, tmp_path: Path, steps: int) -> None:
    import nbformat

    cells = [f"%%step {i}\na{i} = 1" for i in range(1, steps + 1)] + ["later = 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = tmp_path / "other.ipynb"
    nbformat.write(notebook, path)
    result = nb.run(f"%run {path}")
    assert not result.success or "later" not in nb.shell.user_ns
    assert "a1" not in nb.shell.user_ns
    assert not [entry for entry in nb.log if entry[0] in ("begin", "finish")]
    assert nb.run("%%step 5\nok = 1").success
    assert nb.log[-1] == ("finish", 5, True)


def test_trap_2_run_of_a_notebook_inside_a_step_is_part_of_that_step(nb: Notebook, tmp_path: Path) -> None:
    import nbformat

    path = tmp_path / "other.ipynb"
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("%%step 1\na1 = 1", "later = 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    nb.run(f"%%step 4\n%run {path}")
    assert (nb["a1"], nb["later"]) == (1, 1)
    assert nb.log == [("begin", 4), ("finish", 4, True)]
    assert "met while step 4 runs" in nb.outputs[0]["text"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, RecursionError])
def test_traps_3_4_and_15_whatever_leaves_a_save_is_a_warning(nb: Notebook, error: type[BaseException]) -> None:
    """A `__reduce__` may do anything. The cell has run and stays ok, the next step works."""

    def fail() -> None:
        raise error("boom")

    nb.session.before_finish = fail
    with pytest.warns(errors.CheckpointWarning, match="boom"):
        result = nb.run("%%step 1\nx = 1")
    assert result.success
    assert nb["x"] == 1
    nb.session.before_finish = None
    assert nb.run("%%step 2\nx = 1").success
    assert nb.log[-1] == ("finish", 2, True)


def test_trap_3_warnings_as_errors_do_not_leave_the_callback(nb: Notebook, capsys: Any) -> None:
    nb.session.before_finish = lambda: 1 / 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nb.run("%%step 1\nx = 1").success
    captured = capsys.readouterr()
    assert "CheckpointWarning: step 1: no checkpoint was saved" in captured.err
    assert "Error in callback" not in captured.out


def test_trap_3_a_checkpoint_error_after_the_cell_is_the_cells_error(nb: Notebook, capsys: Any) -> None:
    """`--require` of a value that cannot be saved."""

    def fail() -> None:
        raise errors.NotPicklableError("`db` cannot be saved")

    nb.session.before_finish = fail
    result = nb.run("%%step 1\nx = 1")
    assert isinstance(result.error_in_exec, errors.NotPicklableError)
    assert "`db` cannot be saved" in capsys.readouterr().out


def test_trap_5_the_line_magic_is_not_the_marker(nb: Notebook) -> None:
    result = nb.run("%step 1")
    assert not result.success
    assert not [entry for entry in nb.log if entry[0] == "begin"]


def test_traps_6_and_7_get_ipython_and_builtins_of_the_user_are_not_used(open_notebook: Open) -> None:
    shadow = "get_ipython = 3; __import__ = None; print_ = print; print = None; builtins = None"
    nb = open_notebook()
    nb.run(shadow)
    assert nb.run("%%step 1\nx = 1\nx").result == 1
    nb = open_notebook(start=9)
    nb.run(shadow)
    assert nb.run("%%step 1\nx = 1\nx").result == 1
    assert ("restore", 1) in nb.log
    assert isinstance(nb.run("%%step\nx = 1").error_in_exec, ShellUsageError)


def test_trap_7_nothing_is_left_in_the_namespace_nor_among_the_builtins(open_notebook: Open) -> None:
    open_notebook().run("%%step 1\nx = 1\nx")
    nb = open_notebook(start=9)
    before = set(nb.shell.user_ns)
    during: list[str] = []
    nb.session.before_finish = lambda: during.extend(set(nb.shell.user_ns) - before)
    nb.run("%%step 1\nx = 1\nx")
    nb.run("%%step\nfails = 1")
    assert set(during) == {"x", "_1", "_i", "_ii", "_iii", "_i1"} - before
    assert not [name for name in vars(builtins) if "ckpt" in name]


def test_trap_8_a_lost_transformer_fails_loudly_and_the_body_does_not_run(nb: Notebook) -> None:
    nb.shell.ast_transformers.clear()
    result = nb.run("%%step 1\nx = 1")
    assert isinstance(result.error_in_exec, ShellUsageError)
    assert "has not run" in str(result.error_in_exec)
    assert "x" not in nb.shell.user_ns
    assert "finish" not in str(nb.log)


def test_trap_8_another_transformer_that_raises_costs_one_loud_cell(nb: Notebook) -> None:
    """IPython removes it from the list it walks over, which makes it skip the next: ours."""

    class Bad(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            raise ValueError("bad")

    nb.shell.ast_transformers.insert(0, Bad())
    with pytest.warns(UserWarning, match="unregistered"):
        result = nb.run("%%step 1\nx = 1")
    assert not result.success
    assert nb.run("%%step 1\nx = 1").success
    assert nb.log == [("begin", 1), ("finish", 1, True)]


def test_trap_8_our_transformer_survives_whatever_the_session_raises(nb: Notebook) -> None:
    for error in (ValueError("v"), errors.DamagedError("d"), KeyboardInterrupt(), SystemExit()):

        def begin(call: Any, body: Any, error: BaseException = error) -> Any:
            raise error

        nb.session.begin = begin  # type: ignore[method-assign]
        result = nb.run("%%step 1\nx = 1")
        assert result.error_in_exec is error
        assert "x" not in nb.shell.user_ns
    del nb.session.begin
    assert nb.run("%%step 1\nx = 1").success
    assert nb.hooks._decide in nb.shell.ast_transformers


def test_a_checkpoint_error_is_shown_without_our_own_frames(nb: Notebook, capsys: Any) -> None:
    def begin(call: Any, body: Any) -> Any:
        raise errors.DamagedError("step 1: file is damaged")

    nb.session.begin = begin  # type: ignore[method-assign]
    nb.run("%%step 1\nx = 1")
    shown = capsys.readouterr().out
    assert "DamagedError" in shown and "file is damaged" in shown
    assert "hooks.py" not in shown and "fake_session" not in shown


def test_trap_9_no_patch_outlives_the_cell(nb: Notebook) -> None:
    def patched() -> list[Any]:
        hook, pub = nb.shell.displayhook, nb.shell.display_pub
        own = {"publish", "clear_output", "write_format_data", "write_output_prompt", "update_user_ns"}
        return [own & set(vars(hook)), own & set(vars(pub)), type(sys.stdout).__name__ == "Tee"]

    nb.run("x = 0")
    clean = patched()
    for code in ("%%step 1\nx = 1\nx", "%%step 1\n1/0", "%%step 1\nx =", "%%step\nx", "%%time\n%%step 3\nx = 1"):
        nb.run(code)
        assert patched() == clean == [set(), set(), False]


def test_trap_9_write_patches_of_ipython_9_are_taken_back(nb: Notebook) -> None:
    nb.run("%%step 1\nget_ipython().run_cell('print(1)')\nprint(2)")
    assert [output["text"] for output in nb.outputs] == ["1\n2\n"]
    stream = sys.stdout
    nb.run("print(3)")
    assert sys.stdout is stream
    assert "Tee" not in repr(stream.write)


def test_what_stands_for_a_stream_is_saved_as_the_stream() -> None:
    """A handler that a library made while a step ran keeps it."""
    assert copy.copy(Tee(io.StringIO(), "stderr", lambda *_: None)) is sys.stderr


def test_trap_10_a_nested_cell_is_part_of_the_step(nb: Notebook) -> None:
    nb.run("%%step 1\nget_ipython().run_cell('n = 1; print(n)')\nget_ipython().run_cell('')\nprint('end')\n5")
    assert nb.log == [("begin", 1), ("finish", 1, True)]
    assert nb.outputs[0]["text"] == "1\nend\n"
    assert nb.session.outcomes[-1].result == 5


def test_trap_11_a_step_inside_a_step_runs_as_plain_code_and_says_so(nb: Notebook, capsys: Any) -> None:
    nb.run(
        "%%step 1\nget_ipython().run_cell('%%step 2\\nv = 3\\nv')\nget_ipython().run_cell_magic('step', '3', 'w = 4')"
    )
    assert (nb["v"], nb["w"]) == (3, 4)
    assert nb.log == [("begin", 1), ("finish", 1, True)]
    said = capsys.readouterr().err
    assert "step 2: met while step 1 runs" in said and "step 3: met while step 1 runs" in said


def test_trap_12_a_step_line_below_code_says_where_it_belongs(nb: Notebook) -> None:
    result = nb.run("x = 1\n%%step 3\ny = 1")
    assert isinstance(result.error_in_exec, ShellUsageError)
    assert "first line" in str(result.error_in_exec)
    assert "y" not in nb.shell.user_ns


def test_trap_13_a_line_continuation_is_told_and_not_an_indentation_error(nb: Notebook) -> None:
    result = nb.run("%%step 71 \\\n   --name m\nx = 1")
    assert "one line" in str(result.error_in_exec)
    assert "x" not in nb.shell.user_ns


@pytest.mark.parametrize("body", ["", "\n", "\n\n  \n", "\n# only a comment\n"])
def test_trap_14_an_empty_body_is_an_error(nb: Notebook, body: str) -> None:
    result = nb.run("%%step 1" + body)
    assert isinstance(result.error_in_exec, ShellUsageError)
    assert "no code below" in str(result.error_in_exec)
    assert nb.log == []


def test_traps_16_and_17_what_threads_print_in_time_is_recorded_and_nothing_later(nb: Notebook) -> None:
    nb.run(
        "%%step 1\nimport threading, time\nt = threading.Thread(target=lambda: (print('in time'), time.sleep(0.3),"
        " print('late')))\nt.start(); time.sleep(0.1)"
    )
    nb["t"].join()
    assert [output["text"] for output in nb.outputs] == ["in time\n"]


@pytest.mark.parametrize("kind", ["step", "plain"])
def test_trap_19_a_cell_in_another_thread_neither_ends_nor_disturbs_the_step(nb: Notebook, kind: str) -> None:
    inner = "%%step 2\nw = 1" if kind == "step" else "w = 1"
    nb.shell.user_ns["inner"] = lambda: nb.shell.run_cell(inner)
    nb.run("%%step 1\nimport threading\nt = threading.Thread(target=inner); t.start(); t.join()\nlast = 1")
    assert (nb["w"], nb["last"]) == (1, 1)
    assert nb.log == [("begin", 1), ("finish", 1, True)]


def test_trap_23_the_input_transformer_never_raises(nb: Notebook) -> None:
    for lines in ([], ["\n"], ["%%step"], ["%%step 1\n", "\x00"], [None], ["%%step 1\n", None], ["# c\n"]):
        nb.hooks.rewrite(lines)  # type: ignore[arg-type]
    for cell in ("%%stepper 1\nx", "%%step?", "%%step-x"):
        assert "marker" not in "".join(nb.hooks.rewrite(cell.splitlines(keepends=True)))


def test_the_input_transformer_is_pure_and_may_be_called_often(nb: Notebook) -> None:
    cell = "%%step 1\nx = 1\n"
    assert nb.shell.transform_cell(cell) == nb.shell.transform_cell(cell)
    lines = cell.splitlines(keepends=True)
    nb.hooks.rewrite(lines)
    assert lines == cell.splitlines(keepends=True)
    assert nb.log == []


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["1/0", "raise KeyboardInterrupt", "raise SystemExit", "x = 1\nreturn 5", "assert 0"])
def test_a_step_that_fails_is_finished_as_failed(nb: Notebook, body: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nb.run(f"%%step 1\n{body}")
    assert not result.success
    assert nb.log == [("begin", 1), ("finish", 1, False)]
    assert not nb.session.file(1).exists()


def test_a_syntax_error_in_a_step_begins_nothing(nb: Notebook) -> None:
    assert not nb.run("%%step 1\nx = (").success
    assert nb.log == []
    assert nb.run("%%step 1\nx = 1").success


@pytest.mark.parametrize("cell", ["%%step 1\nx = 1", "x = 1"])
def test_an_interrupt_as_a_cell_begins_is_the_cells(nb: Notebook, monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    nb.run("x = 0")
    with monkeypatch.context() as patch:
        patch.setattr(nb.hooks, "_close_missed", lambda: signal.raise_signal(signal.SIGINT))
        result = nb.run(cell)
    assert type(result.error_in_exec) is KeyboardInterrupt
    assert nb.shell.user_ns["x"] == 0
    assert nb.run(cell).success
    assert nb.shell.user_ns["x"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt that Python drops
def test_an_interrupt_while_awaiting_is_a_failed_step(nb: Notebook) -> None:
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.5):  # again if it is lost: what a callback of the garbage collector raises, Python drops
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        result = nb.run("%%step 1\nimport asyncio\nawait asyncio.sleep(30)\ndone = 1")
        success = result.success
    except KeyboardInterrupt:
        success = False
    finally:
        over.set()
        thread.join()
    assert not success
    assert nb.log == [("begin", 1), ("finish", 1, False)]
    nb.run("after = 1")
    assert nb.log == ["cell begins", "cell ends"]


def test_a_usage_error_is_one_line(nb: Notebook, capsys: Any) -> None:
    nb.run("%%step --nonsense\nx = 1")
    captured = capsys.readouterr()
    assert captured.err.startswith("UsageError: %%step needs a number first")
    assert captured.out == ""


def test_a_restore_that_raises_is_the_cells_error_and_nothing_is_saved(open_notebook: Open) -> None:
    open_notebook().run("%%step 1\nx = 1")
    nb = open_notebook(start=9)

    def restore(plan: Any) -> Any:
        raise errors.DamagedError("gone")

    nb.session.restore = restore  # type: ignore[method-assign]
    assert not nb.run("%%step 1\nx = 1").success
    assert nb.log == [("begin", 1), ("finish", 1, False)]


def test_an_error_that_a_magic_swallows_is_a_failed_step(nb: Notebook) -> None:
    """`%%time` of IPython 8."""
    nb.run("%%time\n%%step 1\nx = 1\n1/0\ny = 2")
    assert nb.log[-1] == ("finish", 1, False)
    nb.run("%%step 1\n%%time\nx = 1\n1/0\ny = 2")
    assert nb.log[-1] == ("finish", 1, False)


# -- magics above ---------------------------------------------------------------------------------------------------


def test_time_above_the_step_times_what_really_happens(open_notebook: Open, capsys: Any) -> None:
    """Its own print is no part of the step: it comes once, run or restored."""
    for start, action in ((0, "ran"), (9, "restored")):
        nb = open_notebook(start)
        assert nb.run("%%time\n%%step 1\na = 1\nprint('in')\na + 1").result == 2
        shown = capsys.readouterr().out
        assert shown.count("Wall time") == shown.count("in\n") == 1
        assert "Out[1]: 2" in shown
        assert shown.endswith(f"step 1 · {action}\n")
        assert nb.log[:3] == ["cell begins", "cell ends", ("begin", 1)]
        assert nb.log == []
        assert nb["a"] == 1


def test_time_above_a_step_without_a_value_shows_none(open_notebook: Open, capsys: Any) -> None:
    for start in (0, 9):
        nb = open_notebook(start)
        assert nb.run("%%time\n%%step 1\na = 1\nif a:\n    b = 2").result is None
        assert nb["b"] == 2
        assert "Out" not in capsys.readouterr().out


def test_capture_above_the_step_captures_the_same_when_restored(open_notebook: Open) -> None:
    seen = []
    for start in (0, 9):
        nb = open_notebook(start)
        nb.run("%%capture cap\n%%step 1\nfrom IPython.display import display\nprint('in')\ndisplay(1)\na = 2\na + 1")
        cap = nb["cap"]
        seen.append(
            (cap.stdout, [output.data["text/plain"] for output in cap.outputs if "text/html" not in output.data])
        )
        assert nb.log[-2:] == ["cell begins", "cell ends"]
    assert seen[0] == seen[1] == ("in\n", ["1", "3"])


@pytest.mark.parametrize("above", ["%%timeit -n1 -r1", "%%prun"])
def test_magics_that_hide_the_body_from_us_fail_loudly(nb: Notebook, above: str) -> None:
    result = nb.run(f"{above}\n%%step 1\nzz = 1")
    assert "zz" not in nb.shell.user_ns
    assert isinstance(result.error_in_exec, ShellUsageError)
    assert "finish" not in str(nb.log)


# -- hosts that bypass the transformer --------------------------------------------------------------------------------


def test_the_magic_alone_runs_a_step(nb: Notebook) -> None:
    nb.run("get_ipython().run_cell_magic('step', '1', 'k = 1\\nk')")
    assert nb["k"] == 1
    assert nb.log == ["cell begins", "cell ends", ("begin", 1), ("finish", 1, True), "cell begins", "cell ends"]


@pytest.mark.parametrize(("body", "shown"), [("1/0", "ZeroDivisionError"), ("x = = 1", "SyntaxError")])
def test_an_error_in_the_magic_is_shown_once_and_fails_the_cell(
    nb: Notebook, body: str, shown: str, capsys: Any
) -> None:
    result = nb.run(f"get_ipython().run_cell_magic('step', '1', {body!r})\nafter = 1")
    assert not result.success
    assert "after" not in nb.shell.user_ns
    captured = capsys.readouterr()
    assert plain(captured.out + captured.err).count(f"{shown}:") == 1


def test_the_error_of_a_cell_nested_in_the_magic_is_still_shown(nb: Notebook, capsys: Any) -> None:
    nb.run("get_ipython().run_cell_magic('step', '1', 'get_ipython().run_cell(\"1/0\")\\nb = 1')")
    assert nb["b"] == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_script_written_by_nbconvert_runs_its_steps(nb: Notebook, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("x = 1\nget_ipython().run_cell_magic('step', '1', 's = 1\\n')\n")
    nb.run(f"%run -i {script}")
    assert ("finish", 1, True) in nb.log


# -- life -----------------------------------------------------------------------------------------------------------


def test_uninstalling_takes_everything_out_and_installing_again_works(nb: Notebook) -> None:
    nb.hooks.uninstall()
    nb.hooks.uninstall()
    shell = nb.shell
    assert not [c for event in shell.events.callbacks.values() for c in event if "Hooks" in repr(c)]
    assert not [t for t in shell.ast_transformers + shell.input_transformers_cleanup if "ckpt" in repr(t)]
    assert "reset" not in vars(shell)
    assert "%step" not in shell.magics_manager.magics["line"]
    nb.hooks.install()
    nb.hooks.install()
    assert nb.run("%%step 1\nx = 1").success
    assert nb.log == [("begin", 1), ("finish", 1, True)]


def test_unloading_while_a_step_runs_abandons_it(nb: Notebook) -> None:
    nb.shell.user_ns["stop"] = nb.hooks.uninstall
    assert nb.run("%%step 1\nstop()").success
    assert [entry[0] for entry in nb.log] == ["begin", "abandon"]
    assert type(sys.stdout).__name__ != "Tee"


def test_loading_in_the_middle_of_a_cell_ends_nothing_that_did_not_begin(nb: Notebook) -> None:
    nb.hooks.uninstall()
    nb.shell.user_ns["start"] = nb.hooks.install
    assert nb.run("start()").success
    assert (nb.log, nb.session.loaders) == ([], ["start()\n"])
    nb.run("x = 1")
    assert nb.log == ["cell begins", "cell ends"]


def test_reset_of_the_namespace_reaches_the_session(nb: Notebook) -> None:
    nb.run("x = 1")
    nb.run("%reset -f")
    assert nb.log == ["cell begins", "cell ends", "cell begins", "reset", "cell ends"]
    assert nb.run("%%step 1\nx = 1").success


def test_reset_inside_a_step_gives_the_step_up(nb: Notebook) -> None:
    nb.run("%%step 1\n%reset -f\nx = 1")
    assert [entry[0] for entry in nb.log if isinstance(entry, tuple)] == ["begin", "abandon"]


def test_in_a_forked_child_the_hooks_do_nothing(nb: Notebook) -> None:
    nb.run("x = 0")
    _ = nb.log
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            nb.run("y = 1")
            nb.run("%%step 1\nz = 1")
            code = 0 if nb.log == [] and nb["z"] == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_forked_inside_a_step_that_goes_on_to_the_end_saves_nothing(nb: Notebook, tmp_path: Path) -> None:
    pids: list[int] = []
    nb.shell.user_ns["pids"] = pids
    nb.run("%%step 1\nimport os\npids.append(os.fork())\nx = 1")
    if pids[0] == 0:
        os._exit(0 if nb.log == [("begin", 1)] else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0
    assert nb.log == [("begin", 1), ("finish", 1, True)]


def test_the_banner_can_be_turned_off(nb: Notebook, capsys: Any) -> None:
    nb.hooks.banner = False
    nb.run("%%step 1\nx = 1")
    assert capsys.readouterr().out == ""


def test_the_cap_is_told_to_the_session(open_notebook: Open) -> None:
    nb = open_notebook(cap=10)
    nb.run("%%step 1\nprint('0123456789abc')")
    assert nb.session.outcomes[-1].outputs_cut == 10
    assert nb.outputs[0]["text"] == "0123456789"


# -- the bare shell's recorder ----------------------------------------------------------------------------------------


def test_results_and_rich_outputs_are_recorded_as_such_and_not_as_text(nb: Notebook) -> None:
    nb.run(
        "%%step 1\nfrom IPython.display import HTML, display\nprint('t')\ndisplay(HTML('<b>x</b>'))\nHTML('<i>r</i>')"
    )
    stream, shown, result = nb.outputs
    assert stream == {"output_type": "stream", "name": "stdout", "text": "t\n"}
    assert shown["data"]["text/html"] == "<b>x</b>"
    assert (result["output_type"], result["data"]["text/html"]) == ("execute_result", "<i>r</i>")


def test_what_a_repr_prints_is_text_of_the_cell(nb: Notebook) -> None:
    nb.run("class R:\n    def __repr__(self):\n        print('from repr'); return 'R'")
    nb.run("%%step 1\nR()")
    assert [output["output_type"] for output in nb.outputs] == ["stream", "execute_result"]
    assert nb.outputs[0]["text"] == "from repr\n"


def test_a_name_underscore_of_the_user_wins(open_notebook: Open) -> None:
    for start in (0, 9):
        nb = open_notebook(start)
        nb.run("_ = 'mine'")
        nb.run("%%step 1\nx = 42\nx")
        assert nb["_"] == "mine"
        assert nb["Out"][2] == 42


def test_several_results_are_all_shown_again(open_notebook: Open, capsys: Any) -> None:
    shown = []
    for start in (0, 9):
        nb = open_notebook(start)
        nb.shell.ast_node_interactivity = "all"
        nb.run("%%step 1\n1\n'two'\n[3]")
        shown.append(capsys.readouterr().out.replace("restored", "ran"))
        assert nb["_"] == [3]
    assert shown[0] == shown[1]
    assert shown[0].count("Out[1]") == 3


def test_last_expression_or_assignment_is_shown_again(open_notebook: Open, capsys: Any) -> None:
    shown = []
    for start in (0, 9):
        nb = open_notebook(start)
        nb.shell.ast_node_interactivity = "last_expr_or_assign"
        nb.run("%%step 1\nv = 5")
        shown.append(capsys.readouterr().out.replace("restored", "ran"))
    assert shown[0] == shown[1] == "Out[1]: 5\nstep 1 · ran\n"


def test_a_handler_made_in_the_step_goes_on_working_after_it(nb: Notebook, capsys: Any) -> None:
    nb.run("%%step 1\nimport sys\nout = sys.stdout\nout.write('one ')")
    gc.collect()
    nb.run("out.write('two'); out.flush(); fd = out.isatty(), out.encoding, out.writable()")
    assert "one" in capsys.readouterr().out
    assert nb["fd"][2] is True


def test_a_nested_result_is_the_last_one_as_for_ipython(nb: Notebook) -> None:
    nb.run("%%step 1\nget_ipython().run_cell('7')\n8")
    assert (nb.session.outcomes[-1].has_result, nb.session.outcomes[-1].result) == (True, 8)


def test_a_macro_of_a_step_is_a_step(nb: Notebook) -> None:
    """Macros are made of transformed code, so they hold the marker."""
    nb.run("%%step 1\nm = 1")
    _ = nb.log
    nb.shell.run_cell(nb.shell.transform_cell("%%step 1\nm = 2\n"))
    assert nb.log == [("begin", 1), ("finish", 1, True)]
    assert nb.session.plans[-1].body.source == "m = 2\n"


def test_the_marker_alone_fails_in_plain_python() -> None:
    with pytest.raises(ShellUsageError, match="has not run"):
        exec(marking._MARKER.format(marking.__name__, "1"), {})
