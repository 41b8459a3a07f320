from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
import zmq
from jupyter_client.channels import AsyncZMQSocketChannel
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ckpt_magic import StoreError, UsageError
from ckpt_magic.faces import runner
from ckpt_magic.faces.cli import main

kernel = pytest.mark.kernel


def save(path: Path, *cells: str | NotebookNode, **metadata: Any) -> Path:
    made = [cell if isinstance(cell, NotebookNode) else new_code_cell(cell) for cell in cells]
    nbformat.write(new_notebook(cells=made, metadata=metadata), path)
    return path


def read(path: Path) -> NotebookNode:
    document: NotebookNode = nbformat.read(path, as_version=4)
    return document


def texts(document: NotebookNode) -> list[str]:
    """What each cell printed."""
    return [
        "".join(output.text for output in cell.get("outputs", []) if output.output_type == "stream")
        for cell in document.cells
    ]


def lines(stream: io.StringIO) -> list[str]:
    """The lines about the cells, without the times."""
    return [re.sub(r" · [<\d][^·]*s$", "", line) for line in stream.getvalue().splitlines()]


# --- without a kernel ---


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return NotebookNode(new_output("stream", name=name, text=text))


def test_neighbouring_streams_are_merged() -> None:
    shown = new_output("display_data", {"text/plain": "x"})
    outputs = [stream("a"), stream("b\r"), stream("c\n"), stream("e", "stderr"), stream("d"), shown, stream("f\r\n")]

    merged = runner.merge_streams(outputs)

    assert [one.get("text") for one in merged] == ["c\n", "e", "d", None, "f\r\n"]
    assert outputs[0]["text"] == "a"  # nbclient still needs them


def test_merging_is_linear() -> None:
    """Else this would take minutes."""
    (merged,) = runner.merge_streams([stream("x" * 1000) for _ in range(30_000)])
    assert len(merged["text"]) == 30_000_000


def test_parameters_come_below_the_tagged_cell() -> None:
    document = new_notebook(
        cells=[
            new_markdown_cell("# title"),
            new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
            new_code_cell("n = 5", metadata={"tags": ["injected-parameters"]}),
            new_code_cell("n"),
        ]
    )
    runner.inject(document, {"n": "3", "name": "a'b", "rows": "[1, 2.5]", "big": "1e999", "no": "true"})

    sources = [cell.source for cell in document.cells]
    injected = "# Parameters\nn = 3\nname = \"a'b\"\nrows = [1, 2.5]\nbig = 1e999\nno = 'true'"
    assert sources == ["# title", "n = 1", injected, "n"]
    nbformat.validate(document)


def test_parameters_come_first_without_a_tagged_cell() -> None:
    document = new_notebook(cells=[new_code_cell("n")])
    runner.inject(document, {"n": "3"})
    assert [cell.source for cell in document.cells] == ["# Parameters\nn = 3", "n"]
    with pytest.raises(UsageError, match="-p a-b"):
        runner.inject(document, {"a-b": "3"})


def test_a_notebook_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ipynb", "1")
    path.chmod(0o640)
    runner.write(read(path), path)
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(StoreError, match="cannot be written"):
        runner.write(read(path), tmp_path / "none" / "a.ipynb")
    assert [one.name for one in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (None, [], "there is no such notebook"),
        ("not json", [], "is not a notebook"),
        ("[]", [], "is not a notebook"),
        ("[" * 100_000, [], "is not a notebook"),
        ("ok", ["-o", "."], ". is a folder; name the file to write"),
        ("ok", ["-p", "class", "1"], "-p class: not the name of a variable"),
        ("ok", ["--start-from", "x"], "start point 'x'"),
        ("ok", ["--name", "a/b"], "name 'a/b'"),
        ("ruby", [], "the kernel 'ruby' (ruby) is not installed here"),
    ],
)
def test_wrong_use_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, arguments: list[str], words: str
) -> None:
    path = tmp_path / "a.ipynb"
    if text == "ok":
        save(path, "1")
    elif text == "ruby":
        save(path, "1", kernelspec={"name": "ruby", "language": "ruby", "display_name": "Ruby"})
    elif text is not None:
        path.write_text(text)

    assert main(["run", str(path), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.out.ipynb").exists()


def test_what_is_no_file_is_no_notebook_and_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for what in (".", str(tmp_path / "pipe"), "/dev/zero"):
        assert main(["run", what]) == main(["plan", what]) == 2
        assert capsys.readouterr().err == f"ckpt-magic: {what}: there is no such notebook\n" * 2


# --- with kernels ---


STEPS = (
    "%load_ext ckpt_magic",
    "%%step 1 --name m\nimport os, sys\nprint('one'); print('err', file=sys.stderr); print('more')\nx = [1]",
    "# comment\n\n%%step 2 --name m\nx.append(2)\nx",
    "print(os.path.basename(os.getcwd()), x, 'CKPT' in str(os.environ.get('CKPT_START_FROM')))",
)


@kernel
def test_steps_run_then_are_restored_with_the_same_notebook(tmp_path: Path) -> None:
    folder = tmp_path / "nb"
    folder.mkdir()
    path = save(folder / "a.ipynb", new_markdown_cell("# title"), *STEPS)
    before = path.read_bytes()
    cold, warm = io.StringIO(), io.StringIO()

    assert runner.run(path, folder / "cold.ipynb", runner.Options(), stream=cold) == 0
    assert runner.run(path, folder / "warm.ipynb", runner.Options(start_from="end"), stream=warm) == 0

    assert lines(cold)[1:6] == [
        "cell 2 of 4 · step 1 · running",
        "cell 2 of 4 · step 1 · ran, saved",
        "cell 3 of 4 · step 2 · running",
        "cell 3 of 4 · step 2 · ran, saved",
        "cell 4 of 4 · ran",
    ]
    assert [line for line in lines(warm) if "restored" in line] == [
        "cell 2 of 4 · step 1 · restored",
        "cell 3 of 4 · step 2 · restored",
    ]
    first, second = read(folder / "cold.ipynb"), read(folder / "warm.ipynb")
    nbformat.validate(first)
    assert texts(first)[4] == "nb [1, 2] False\n"
    for one, two in zip(first.cells, second.cells, strict=True):
        for shown in (one, two):
            shown["outputs"] = [o for o in shown.get("outputs", []) if "ckpt_magic" not in o.get("metadata", {})]
        assert one == two
    assert path.read_bytes() == before
    assert json.loads(subprocess.check_output([sys.executable, "-m", "ckpt_magic", "status", str(path), "--json"]))


@kernel
def test_a_failing_step_ends_the_run_with_its_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.ipynb", "%load_ext ckpt_magic", "%%step 3\n\n1 / 0", "print('never')")

    assert main(["run", str(path)]) == 1

    err = capfd.readouterr().err
    assert "cell 2 of 3 · step 3 · failed after" in err and "ZeroDivisionError: division by zero" in err
    assert "----> 3 1 / 0" in err and "\x1b" not in err
    written = read(tmp_path / "a.out.ipynb")
    assert written.cells[1].outputs[-1].output_type == "error"
    assert written.cells[2].outputs == [] and written.cells[2].execution_count is None


@kernel
def test_options_reach_the_kernel_and_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    path = save(
        tmp_path / "a.ipynb",
        new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        "%load_ext ckpt_magic",
        "%ckpt_config --name other\n%ckpt_config\n%ckpt_start none",
        "%%step 1 --version 9\nx = n",
        "print(x)",
        kernelspec={"name": "conda-of-a-colleague", "language": "python", "display_name": "theirs"},
    )
    options = runner.Options("2", "m", "5", "ck", {"n": "7"})
    told = io.StringIO()

    assert runner.run(path, path, options, stream=told) == 0

    assert "conda-of-a-colleague" in lines(told)[0]
    document = read(path)
    assert texts(document)[-1] == "7\n"
    assert "m  (ckpt-magic run)" in texts(document)[3]
    assert (tmp_path / "ck/m-v5-step1.pkl").exists()
    assert not list((tmp_path / "temporary").iterdir())


@kernel
def test_a_wrong_step_line_fails_without_a_traceback(tmp_path: Path) -> None:
    told = io.StringIO()
    path = save(tmp_path / "a.ipynb", "%load_ext ckpt_magic", "%%step x\n1")

    assert runner.run(path, tmp_path / "b.ipynb", runner.Options(), stream=told) == 1
    assert "UsageError" in told.getvalue() and "Traceback" not in told.getvalue()


@kernel
def test_a_kernel_that_dies_fails_the_run(tmp_path: Path) -> None:
    told = io.StringIO()
    path = save(tmp_path / "a.ipynb", "print('first')", "import os; os._exit(3)")

    assert runner.run(path, tmp_path / "b.ipynb", runner.Options(), stream=told) == 1
    assert "cell 2 of 2 · failed" in told.getvalue() and "Kernel died" in told.getvalue()
    assert texts(read(tmp_path / "b.ipynb"))[0] == "first\n"


@kernel
@pytest.mark.parametrize("cells", [("print(1)",), ("import time\ntime.sleep(2.5)\nprint(2)", "print(3)")])
def test_a_reply_of_which_nobody_was_told_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: tuple[str, ...]
) -> None:
    """pyzmq does not always wake who waits on a socket while something is sent on it; here it never does."""

    async def sleeping(self: AsyncZMQSocketChannel, timeout: float | None = None) -> dict[str, Any]:
        if self.socket.type != zmq.DEALER or timeout == 0:
            return await get(self, timeout)
        await asyncio.sleep(3600 if timeout is None else timeout)
        return await get(self, 0)

    get = AsyncZMQSocketChannel.get_msg
    monkeypatch.setattr(AsyncZMQSocketChannel, "get_msg", sleeping)
    stream = io.StringIO()

    assert runner.run(save(tmp_path / "a.ipynb", *cells), tmp_path / "b.ipynb", runner.Options(), stream=stream) == 0
    assert [line for line in lines(stream) if "ran" in line] == [
        f"cell {at} of {len(cells)} · ran" for at in range(1, len(cells) + 1)
    ]


@kernel
def test_the_end_of_a_run_interrupts_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A shutdown begins with an interrupt, and the kernel may not be done yet with the message that came before."""
    slow = """
import time
send = get_ipython().kernel.session.send
def slow(*args, **options):
    sent = send(*args, **options)
    if "execute_reply" in args:
        time.sleep(0.3)
    return sent
get_ipython().kernel.session.send = slow
"""
    assert main(["run", str(save(tmp_path / "a.ipynb", slow))]) == 0
    assert "KeyboardInterrupt" not in capfd.readouterr().err


@kernel
def test_displays_updated_by_later_cells_are_right(tmp_path: Path) -> None:
    """nbclient finds a display by its position among the outputs, so what it holds must not be merged."""
    path = save(
        tmp_path / "a.ipynb",
        "import time\nprint('a', flush=True); time.sleep(0.3); print('b', flush=True); time.sleep(0.3)\n"
        "h = display('old', display_id=True); display('other')",
        "h.update('new')",
    )
    assert runner.run(path, tmp_path / "b.ipynb", runner.Options(), stream=io.StringIO()) == 0

    first = read(tmp_path / "b.ipynb").cells[0].outputs
    assert [one.get("text") or one.data["text/plain"] for one in first] == ["a\nb\n", "'new'", "'other'"]


@kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_what_it_had(tmp_path: Path, number: signal.Signals) -> None:
    # a signal that comes right before a sleep is noticed by Python after it
    waits = "import time; open('here', 'w')\nfor _ in range(600): time.sleep(0.1)"
    path = save(tmp_path / "a.ipynb", "import os; print(os.getpid())", waits)
    process = subprocess.Popen(
        [sys.executable, "-m", "ckpt_magic", "run", str(path)], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    for _ in range(600):
        if (tmp_path / "here").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert "Traceback" not in err
    (pid,) = map(int, [texts(read(tmp_path / "a.out.ipynb"))[0]])
    for _ in range(100):  # the kernel goes too
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the kernel is still there")


@kernel
def test_modules_in_folders_that_a_step_puts_on_the_path_are_found_when_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"__init__": "", "base": "class Base: K = 2\n", "envs": "from .base import Base\n"}.items():
        (tmp_path / "lib").mkdir(exist_ok=True)
        (tmp_path / "lib" / f"{name}.py").write_text(text)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    first = "%%step 1\nimport sys\nif '../' not in sys.path:\n    sys.path.append('../')\nfrom lib.envs import Base"
    notebook = save(
        folder / "nb.ipynb",
        "%load_ext ckpt_magic\n%ckpt_config --name m",
        first,
        "%%step 2\nb = Base()",
        "%%step 3\nk = b.K",
    )
    assert main(["run", str(notebook)]) == 0
    assert main(["plan", str(notebook), "--start-from", "auto"]) == 0
    for start in ("3", "auto", "end"):
        capsys.readouterr()
        assert main(["run", str(notebook), "--start-from", start]) == 0
        told = capsys.readouterr()
        assert (told.out + told.err).count("restored") == (2 if start == "3" else 3)
    assert main(["verify", str(notebook), "--step", "2"]) == 0
    assert "reproduces" in capsys.readouterr().out
    code = "import ckpt_magic; print(type(ckpt_magic.load('m')['step_2']['b']).__module__)"
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert read.stdout == "lib.base\n"
