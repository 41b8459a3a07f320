"""What is noted of files while a step runs."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from unittest import mock

import pytest
from IPython.core import interactiveshell
from IPython.utils import openpy

from ckpt_magic.steps.opened import Trail, watcher


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.txt", "b.npy", "opened_here.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def new_trail() -> Trail:
    return Trail(lambda path: f"was {os.path.basename(path)}")


def test_a_path_means_what_it_meant_when_it_was_opened(folder: Path) -> None:
    trail = new_trail()
    with watcher().laying(trail):
        for path in ("a.txt", Path("b.npy"), b"a.txt", str(folder / "below" / ".." / "b.npy")):
            with open(path):
                pass
        os.chdir("below")
        with open("a.txt"):
            pass
        os.close(os.open("../a.txt", os.O_RDONLY))
    assert list(trail.read) == [str(folder / name) for name in ("a.txt", "b.npy", "below/a.txt")]


def test_each_trail_has_what_was_opened_while_it_was_laid(folder: Path) -> None:
    outer, inner = new_trail(), new_trail()
    with watcher().laying(outer):
        (folder / "a.txt").read_text()
        with watcher().laying(inner):
            (folder / "b.npy").read_text()
        (folder / "below" / "a.txt").read_text()
    (folder / "opened_here.py").read_text()
    assert list(inner.read) == [str(folder / "b.npy")]
    assert list(outer.read) == [str(folder / name) for name in ("a.txt", "b.npy", "below/a.txt")]


def test_the_text_of_a_module_counts_where_code_reads_it_and_not_where_it_is_imported(folder: Path) -> None:
    imported, read = new_trail(), new_trail()
    with watcher().laying(imported):
        import opened_here  # type: ignore[import-not-found]  # noqa: F401
    with watcher().laying(read):
        (folder / "opened_here.py").read_text()
    del sys.modules["opened_here"]
    assert not imported.read
    assert list(read.read) == [str(folder / "opened_here.py")]


def test_the_text_of_a_module_counts_where_a_cell_opens_it(folder: Path) -> None:
    """What is `open` in a notebook is a function of IPython, which itself reads code to show it."""
    cell, shown = new_trail(), new_trail()
    names = {"__name__": "__main__", "open": interactiveshell._modified_open}
    with watcher().laying(cell):
        exec("with open('opened_here.py'): pass", names)
    with watcher().laying(shown):
        openpy.read_py_file("opened_here.py")
    assert list(cell.read) == [str(folder / "opened_here.py")]
    assert not shown.read


def test_folders_in_which_packages_are_looked_for_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    monkeypatch.syspath_prepend("")  # as `train_test_split` does, in a notebook's kernel
    trail = new_trail()
    with watcher().laying(trail):
        metadata.version("numpy")
        assert not list(metadata.Distribution.discover(name="no_such_package"))
        os.listdir("below")
    assert list(trail.listed) == [str(folder / "below")]


def test_what_was_read_before_it_was_written_is_kept_in_mind(folder: Path) -> None:
    trail = new_trail()
    with watcher().laying(trail):
        (folder / "a.txt").read_text()
        (folder / "a.txt").write_text("new")
        (folder / "b.npy").write_text("new")
        (folder / "b.npy").read_text()
    assert trail.read == {str(folder / "a.txt"): "was a.txt"}
    assert list(trail.written) == [str(folder / "a.txt"), str(folder / "b.npy")]


def test_a_look_asks_nothing_that_audit_hooks_are_told(tmp_path: Path) -> None:
    code = f"""
        import collections, sys
        from pathlib import Path
        from tests.kernels import Kernel

        kernel, told = Kernel(Path({str(tmp_path)!r})), collections.Counter()
        kernel.cell("class Point: pass\\npoints, names = [], {{}}\\nfor n in range(300): globals()[f'x{{n}}'] = [n]")
        kernel.step(1, "y = 1")
        sys.addaudithook(lambda event, arguments: told.update([event]))
        kernel.step(2, "for n in range(500): points.append(Point()); points[-1].x = [n]; names[n] = [n]")
        print(max(told.values()))
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert int(done.stdout) < 300  # our own hook is told each: `id`, asked of 300 names, would take as long as all else


def test_picklers_that_know_modules_by_their_class_find_main_to_be_one() -> None:
    main, trail, file = sys.modules["__main__"], new_trail(), io.BytesIO()
    pickler = pickle.Pickler(file)
    pickler.dispatch_table = {types.ModuleType: lambda module: (importlib.import_module, (module.__name__,))}
    with watcher().laying(trail):
        pickler.dump([main, main])  # as cloudpickle does
        with pytest.raises(TypeError, match="'module'"):
            pickle.dumps(main)
    assert pickle.loads(file.getvalue()) == [main, main]
    assert {name for name in vars(main) if not name.startswith("__")} <= trail.named, "nobody was told any more"


def test_main_is_a_plain_module_after_a_step_whatever_happens_in_it() -> None:
    main = sys.modules["__main__"]
    kinds = list[type]()

    def step() -> None:
        with watcher().laying(new_trail()), watcher().laying(new_trail()):
            kinds.append(type(main))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step()
    assert kinds != [types.ModuleType], "what is asked of it is noted"
    assert type(main) is types.ModuleType


def test_what_code_sets_in_the_environment_is_its_own_until_it_is_put_back() -> None:
    trail = new_trail()
    with mock.patch.dict(os.environ, {"KEPT_T": "0"}), watcher().laying(trail):
        os.environ.pop("NONE_T", None)
        with mock.patch.dict(os.environ, {"KEPT_T": "1", "NONE_T": "1"}):
            os.environ.get("KEPT_T"), os.environ.get("NONE_T")
        os.environ["SAME_T"] = os.environ["SAME_T"] = "1"
        del os.environ["SAME_T"]
        os.environ["LEFT_T"] = "1"
        for name in ("KEPT_T", "NONE_T", "SAME_T", "LEFT_T"):
            os.environ.get(name)
    assert trail.environ == {"KEPT_T": "0", "NONE_T": None, "SAME_T": None}
    assert trail.environ_set == {"LEFT_T"}


def test_a_dict_in_the_place_of_the_environment_is_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.environ
    trail = new_trail()
    with watcher().laying(trail):
        real.get("BEFORE_T")
        monkeypatch.setattr(os, "environ", {"AFTER_T": "1"})
        os.environ.get("AFTER_T")
    with watcher().laying(new_trail()):
        pass
    assert trail.environ == {"BEFORE_T": None}
    assert type(real._data) is dict  # type: ignore[attr-defined]
