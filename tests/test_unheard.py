import io
import sys
import threading
from pathlib import Path

import pytest

from ckpt_magic.steps.unheard import HeldBack
from tests.kernels import Kernel


def test_a_module_that_prints_when_it_is_imported_is_not_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "greeter_of_unheard.py").write_text("import sys\nprint('hello')\nout = sys.stdout\n")
    monkeypatch.syspath_prepend(tmp_path)
    cell = "import greeter_of_unheard as g"
    Kernel(tmp_path / "ckpt").step(1, cell)
    assert capsys.readouterr().out == "hello\n"
    monkeypatch.delitem(sys.modules, "greeter_of_unheard")
    kernel = Kernel(tmp_path / "ckpt", 2)
    assert kernel.step(1, cell)["action"] == "restored"
    assert capsys.readouterr().out == ""
    assert kernel.names["g"].out is sys.stdout
    print("still heard", file=kernel.names["g"].out)
    assert capsys.readouterr().out == "still heard\n"


def test_what_was_printed_is_said_when_the_checkpoint_cannot_be_read_and_the_step_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_of_unheard.py").write_text("print('hello')\nclass A: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    cell = "import broken_of_unheard\na = getattr(broken_of_unheard, 'A', dict)()"
    Kernel(tmp_path / "ckpt").step(1, cell)
    capsys.readouterr()
    monkeypatch.delitem(sys.modules, "broken_of_unheard")
    (tmp_path / "broken_of_unheard.py").write_text("print('hello')\n")
    assert Kernel(tmp_path / "ckpt", "auto").step(1, cell)["action"] == "saved"
    assert capsys.readouterr().out == "hello\n"


def test_other_threads_and_who_kept_the_function_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = type("Stream", (io.StringIO,), {})()
    monkeypatch.setattr(sys, "stdout", stream)
    with HeldBack():
        kept = stream.write
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        print("held")
    kept("kept\n")
    print("after")
    assert stream.getvalue() == "from a thread\nkept\nafter\n"
    assert "write" not in vars(stream)
