"""One small pipeline in every host that runs notebooks, cold and restored, and what else happens to a shell there.

The extension and its session are the real ones. What the hooks alone promise is in `test_hooks`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.trust import load_keyring
from tests.conftest import RunCells, RunInFork

pytestmark = pytest.mark.kernel

SETUP = "%load_ext ckpt_magic\n%ckpt_config --name hosts"
PARAMETERS = "rows = 4"
STEPS = [
    """%%step 1 --title load
import os
import pandas as pd
table = pd.DataFrame({"x": range(rows), "y": [x * x for x in range(rows)]})
made_by = os.getpid()
print("loaded", len(table), "rows")
table""",
    """%%step 2
import asyncio
await asyncio.sleep(0)
total = int(table["y"].sum())
print("awaited")
total""",
    """%%step 3
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(2, 1))
line, = axes.plot(table["x"], table["y"])
print("drawn")
plt.show()""",
]
CELLS = [PARAMETERS, *STEPS]
RESTORE = {"CKPT_START_FROM": "end"}
IMPORT_FROM_HERE = "import sys; sys.path.insert(0, '')"  # kernels do that, a bare shell does not
# No host but the kernels shows figures by itself.
INLINE = "module://matplotlib_inline.backend_inline"


# --- looking at what a host left ---


def recorded(folder: Path, step: int) -> list[dict[str, Any]]:
    """The displays in a checkpoint."""
    return open_checkpoint(folder / ".ckpt" / f"hosts-v1-step{step}.pkl", load_keyring()).outputs()


def stored(folder: Path, step: int) -> dict[str, Any]:
    """The variables in a checkpoint, as a plain reader gets them."""
    with (folder / ".ckpt" / f"hosts-v1-step{step}.pkl").open("rb") as file:
        values: dict[str, Any] = pickle.load(file)
    return values


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    return [str(output["output_type"]) for output in outputs]


def actions(cells: list[Any]) -> list[str]:
    """What the banners of a notebook say, from top to bottom."""
    return [text.split(" · ")[1] for text in banners(cells)]


def banners(cells: list[Any]) -> list[str]:
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return [str(output.data["text/plain"]) for output in outputs if "ckpt_magic" in output.get("metadata", {})]


def page(cells: list[Any]) -> list[Any]:
    """What the step cells show, banners aside, neighbouring streams joined: how text is cut is a matter of time."""
    shown: list[Any] = []
    for cell in cells:
        if not cell.source.startswith("%%step"):
            continue
        for output in cell.get("outputs", ()):
            last = shown[-1] if shown else {}
            if output.output_type == "stream" and last.get("name") == output.name:
                last["text"] += output.text
            elif "ckpt_magic" not in output.get("metadata", {}):
                shown.append(dict(output))
        shown.append({"count": cell.get("execution_count")})
    return shown


def write_notebook(folder: Path) -> Path:
    """The pipeline as a notebook, its parameters tagged for papermill."""
    sources = [SETUP, *CELLS, 'made_by == os.getpid(), total, list(table["y"])']
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    notebook.cells[1].metadata.tags = ["parameters"]
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "pipeline.ipynb")
    return folder / "pipeline.ipynb"


def read_cells(path: Path) -> list[Any]:
    return list(nbformat.read(path, as_version=4).cells)


def start(command: list[str], folder: Path, **environ: str) -> str:
    """Run a command of the Python that runs the tests; return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return plain(done.stdout)


def plain(text: str) -> str:
    """Without what colours a terminal and moves its cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", text).replace("\r", "")


# --- hosts ---


def test_a_bare_shell_runs_and_restores_the_pipeline(run_in_fork: RunInFork, tmp_path: Path) -> None:
    cells = ["%ckpt_config --name hosts", *CELLS]
    ran = run_in_fork(cells)
    restored = run_in_fork(cells, env=RESTORE)
    assert ran.text.count("· saved ·") == 3
    assert restored.text.count("· restored ·") == 3
    assert "loaded 4 rows\n" in ran.text and "awaited\n" in ran.text and "Out[5]: 14\n" in ran.text
    banner = re.compile("^(step .* ·|start point) .*$", re.MULTILINE)
    assert banner.sub("", ran.text) == banner.sub("", restored.text)
    drawn = {"figure", "axes", "line"}  # matplotlib makes some of their parts when they are first drawn
    assert {n: v for n, v in ran.names.items() if n not in drawn | {"made_by"}} == {
        n: v for n, v in restored.names.items() if n not in drawn | {"made_by"}
    }
    assert kinds(recorded(tmp_path, 1)) == ["stream", "execute_result"]
    assert "<table" in str(recorded(tmp_path, 1)[1]["data"]["text/html"])


def test_terminal_ipython_runs_and_restores_the_pipeline(tmp_path: Path) -> None:
    """A real `ipython` in a pseudo terminal; cells are pasted, as people do."""
    ran = terminal(tmp_path, [SETUP, *CELLS])
    assert "loaded 4 rows" in ran and "awaited" in ran and "Out[4]: 14" in ran
    assert ran.count("· saved ·") == 3
    assert [kinds(recorded(tmp_path, step)) for step in (1, 2, 3)] == [
        ["stream", "execute_result"],
        ["stream", "execute_result"],
        ["stream", "display_data"],
    ]
    # What IPython makes of values in a terminal is text alone.
    assert recorded(tmp_path, 2)[1]["data"] == {"text/plain": "14"}
    assert "Figure" in recorded(tmp_path, 3)[1]["data"]["text/plain"]
    before = [(tmp_path / ".ckpt" / f"hosts-v1-step{step}.pkl").stat().st_ino for step in (1, 2, 3)]

    # One cell more above, so that the numbers of the results must be new ones.
    restored = terminal(tmp_path, ["7", SETUP, *CELLS, "Out[5] + _, made_by == os.getpid()"], **RESTORE)
    assert "loaded 4 rows" in restored and "awaited" in restored and "Out[5]: 14" in restored
    assert restored.count("· restored ·") == 3
    assert "Out[7]: (28, False)" in restored
    assert [(tmp_path / ".ckpt" / f"hosts-v1-step{step}.pkl").stat().st_ino for step in (1, 2, 3)] == before


def terminal(folder: Path, cells: list[str], **environ: str) -> str:
    """Type cells into a terminal; return what stands on it."""
    pexpect = pytest.importorskip("pexpect")
    environ = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "MPLBACKEND": INLINE, **environ}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--no-banner", "--colors=NoColor", "--HistoryManager.enabled=False", "--no-confirm-exit"],
        cwd=str(folder),
        env={**os.environ, **environ},
        encoding="utf-8",
        timeout=60,
        dimensions=(50, 160),
    )
    screen = ""
    try:
        for count, cell in enumerate(cells, start=1):
            child.expect_exact(f"In [{count}]:")
            screen += child.before
            child.send(f"\x1b[200~{cell}\x1b[201~\x1b\r")  # a paste, then Alt-Enter
        child.expect_exact(f"In [{len(cells) + 1}]:")
        screen += child.before
        child.sendeof()  # a terminal that is closed is killed before what is on its way to the disk has arrived there
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    return plain(screen)


def test_nbclient_runs_and_restores_the_pipeline(run_cells: RunCells, tmp_path: Path) -> None:
    cells = [SETUP, *CELLS, "made_by == os.getpid(), total"]
    ran = run_cells(cells, load=False).cells
    restored = run_cells(cells, load=False, env=RESTORE).cells
    assert actions(ran) == ["saved"] * 3
    assert actions(restored) == ["restored"] * 3
    assert page(ran) == page(restored)
    assert [ran[-1].outputs[0].data["text/plain"], restored[-1].outputs[0].data["text/plain"]] == [
        "(True, 14)",
        "(False, 14)",
    ]
    assert kinds(recorded(tmp_path, 3)) == ["stream", "display_data"]


def test_nbconvert_execute_runs_and_restores_the_pipeline(tmp_path: Path) -> None:
    pytest.importorskip("nbconvert")
    notebook = write_notebook(tmp_path / "project")
    command = ["nbconvert", "--to", "notebook", "--execute", str(notebook), "--output"]
    start([*command, "ran"], tmp_path)
    start([*command, "restored"], tmp_path, **RESTORE)
    ran, restored = (read_cells(notebook.with_name(f"{name}.ipynb")) for name in ("ran", "restored"))
    assert (actions(ran), actions(restored)) == (["saved"] * 3, ["restored"] * 3)
    assert page(ran) == page(restored)
    assert [cell.source for cell in restored] == [cell.source for cell in read_cells(notebook)]


def test_papermill_finds_the_checkpoints_and_a_changed_parameter_makes_its_readers_run(tmp_path: Path) -> None:
    """The same folder when started in the notebook's folder or with `--cwd`, else by CKPT_FOLDER."""
    pytest.importorskip("papermill")
    notebook = write_notebook(tmp_path / "project")
    project = notebook.parent
    start(["papermill", "pipeline.ipynb", "ran.ipynb"], project)
    start(["papermill", str(notebook), "restored.ipynb", "--cwd", str(project)], tmp_path, **RESTORE)
    ran, restored = read_cells(project / "ran.ipynb"), read_cells(tmp_path / "restored.ipynb")
    assert (actions(ran), actions(restored)) == (["saved"] * 3, ["restored"] * 3)
    assert page(ran) == page(restored)
    assert restored[-1].outputs[0].data["text/plain"] == "(False, 14, [0, 1, 4, 9])"

    folder = {"CKPT_FOLDER": str(project / ".ckpt")}
    # The injected cell gives the name the value it had; what is new is only that a cell says so.
    start(["papermill", str(notebook), "same.ipynb", "-p", "rows", "4"], tmp_path, **RESTORE, **folder)
    assert actions(read_cells(tmp_path / "same.ipynb")) == ["restored"] * 3
    start(["papermill", str(notebook), "other.ipynb", "-p", "rows", "3"], tmp_path, **RESTORE, **folder)
    other = read_cells(tmp_path / "other.ipynb")
    assert actions(other) == ["saved"] * 3
    assert other[-1].outputs[0].data["text/plain"] == "(True, 5, [0, 1, 4])"
    assert "`rows`" in banners(other)[0]
    assert not (tmp_path / ".ckpt").exists()


def test_a_script_made_of_the_notebook_runs_and_restores_in_ipython(tmp_path: Path) -> None:
    """`jupyter nbconvert --to python`, then `ipython script.py`: no cells, only the magic."""
    pytest.importorskip("nbconvert")
    notebook = write_notebook(tmp_path / "project")
    start(["nbconvert", "--to", "python", str(notebook)], tmp_path)
    script = notebook.with_suffix(".py")
    assert "run_cell_magic('step', '1 --title load'" in script.read_text()
    script.write_text(script.read_text() + "\nprint(made_by == os.getpid(), total)\n")
    command = ["IPython", "--colors=NoColor", "--HistoryManager.enabled=False", script.name]
    ran = start(command, notebook.parent, MPLBACKEND=INLINE)
    restored = start(command, notebook.parent, MPLBACKEND=INLINE, **RESTORE)
    assert ran.count("· saved ·") == 3 and restored.count("· restored ·") == 3
    assert ran.endswith("True 14\n") and restored.endswith("False 14\n")
    assert "loaded 4 rows" in restored and "awaited" in restored
    assert stored(notebook.parent, 2)["total"] == 14


# --- what happens to a shell ---


def test_unloading_takes_every_magic_away_and_leaves_the_values(run_in_fork: RunInFork) -> None:
    ran = run_in_fork(
        ["%%step 1 --name hosts\na = 1", "%unload_ext ckpt_magic", "%%step 2 --name hosts\nb = 2", "%ckpt_status"]
        + ["c = a + 1", "%load_ext ckpt_magic", "%%step 2 --name hosts\nb = c"],
        allow_errors=True,
    )
    assert [cell["success"] for cell in ran.cells] == [True, True, False, False, True, True, True]
    assert (ran.names["b"], ran.names["c"]) == ("2", "2")


# Step 1 in its first form leaves a checkpoint; then another form of it meets that checkpoint.
EDITED = ["%ckpt_config --name hosts", "%ckpt_start end", "%%step 1\na = 1"], "%%step 1\na = 1 + 0"


def test_reloading_keeps_what_the_kernel_knows_of_its_steps(run_in_fork: RunInFork, tmp_path: Path) -> None:
    cells, edited = EDITED
    ran = run_in_fork([*cells, "%reload_ext ckpt_magic", edited, "%ckpt_start"])
    assert "· saved ·" in ran.cells[-2]["text"]
    assert "start point: end" in ran.cells[-1]["text"]
    again = run_in_fork([*cells[:2], "%reload_ext ckpt_magic", "%reload_ext ckpt_magic", edited])
    assert again.text.count("· restored ·") == 1  # and one banner, not one per load


def test_reset_empties_what_the_kernel_knows_of_its_steps(run_in_fork: RunInFork) -> None:
    """As in a new kernel, the start point then vouches for the new code."""
    cells, edited = EDITED
    ran = run_in_fork([*cells, "%reset -f", edited, "%ckpt_status"])
    assert "· restored ·" in ran.cells[-2]["text"]
    assert "code differs from the checkpoint" in ran.cells[-2]["text"]
    assert ran.names["a"] == "1"


def test_autoreload_changes_code_between_steps_as_it_does_without_us(run_in_fork: RunInFork, tmp_path: Path) -> None:
    module = tmp_path / "scaling.py"
    module.write_text("class Scale:\n    def by(self, x):\n        return x * 2\n")
    edit = (
        "import os, pathlib\n_path = pathlib.Path('scaling.py')\n"
        "_text = _path.read_text().replace('x * 2', 'x * 1000')\n"
        "_path.write_text(_text); os.utime(_path, (4e9, 4e9))"
    )
    cells = [IMPORT_FROM_HERE, "%ckpt_config --name hosts", "%load_ext autoreload", "%autoreload 2"]
    cells += ["%%step 1\nimport scaling\nscale = scaling.Scale()\na = scale.by(1)"]
    cells += [edit, "%%step 2\nb = scale.by(1)", "%%step 3\nc = scaling.Scale().by(2)"]
    ran = run_in_fork(cells)
    assert [ran.names[name] for name in "abc"] == ["2", "1000", "2000"]
    assert ran.text.count("· saved ·") == 3

    module.write_text("class Scale:\n    def by(self, x):\n        return x * 2\n")
    os.utime(module, (3e9, 3e9))
    restored = run_in_fork(cells, env={"CKPT_START_FROM": "2"})
    assert [restored.names[name] for name in "abc"] == ["2", "1000", "2000"]
    assert restored.text.count("· restored ·") == 1


SCRIPT = """
from ckpt_magic import Checkpoint
class Child(Checkpoint):
    def step_1(self, outputs):
        return "made in a child"
"""


def test_in_a_forked_child_the_steps_are_inert_and_a_checkpoint_of_its_own_works(
    run_in_fork: RunInFork, tmp_path: Path
) -> None:
    (tmp_path / "child.py").write_text(SCRIPT)
    child = (
        "import os, child\npid = os.fork()\nif pid == 0:\n"
        "    try:\n"
        "        get_ipython().run_cell('%%step 2\\nb = 2')\n"
        "        done = get_ipython().user_ns.get('b') == 2\n"
        "        outputs = child.Child(name='own', checkpoint_folder='own').run()\n"
        "        os._exit(0 if done and outputs[1] == 'made in a child' else 3)\n"
        "    finally:\n"
        "        os._exit(4)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    )
    ran = run_in_fork([IMPORT_FROM_HERE, "%ckpt_config --name hosts", "%%step 1\na = 1", child, "%%step 2\nb = a + 1"])
    assert (ran.names["status"], ran.names["b"]) == ("0", "2")
    assert sorted(path.name for path in tmp_path.glob("*/*.pkl")) == [
        "hosts-v1-step1.pkl",
        "hosts-v1-step2.pkl",
        "own-v1-step1.pkl",
    ]
    assert stored(tmp_path, 2) == {"b": 2}


def test_workers_forked_in_a_step_keep_checkpoints_and_save_nothing_of_the_step(
    run_in_fork: RunInFork, tmp_path: Path
) -> None:
    (tmp_path / "child.py").write_text(
        SCRIPT + "def work(n):\n    return Child(name=f'own{n}', checkpoint_folder='own').run()[1], n\n"
    )
    step = (
        "%%step 1\nimport multiprocessing, child\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    results = pool.map(child.work, range(3))\n"
        "del pool"
    )
    cells = [IMPORT_FROM_HERE, "%ckpt_config --name hosts", step, "%%step 2\nb = len(results)"]
    ran, restored = run_in_fork(cells), run_in_fork(cells, env=RESTORE)
    assert ran.names["b"] == "3"
    assert sorted(path.name for path in (tmp_path / "own").glob("*.pkl")) == [f"own{n}-v1-step1.pkl" for n in range(3)]
    assert restored.text.count("· restored ·") == 2
    assert ran.names == restored.names


def test_what_a_script_defines_that_a_step_runs_comes_back(run_in_fork: RunInFork, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import math\n\ndef area(r):\n    return math.floor(r * r * 3)\n\nradius = 2\n")
    cells = [
        "%ckpt_config --name hosts",
        "%%step 1\n%run script.py\na = area(radius)",
        "%%step 2\nb = area(radius + 1)",
    ]
    ran = run_in_fork(cells)
    restored = run_in_fork(cells, env={"CKPT_START_FROM": "2"})
    assert (ran.names["a"], ran.names["b"]) == ("12", "27")
    assert (restored.names["a"], restored.names["b"]) == ("12", "27")
    assert restored.text.count("· restored ·") == 1


def test_a_notebook_with_steps_that_is_run_refuses_them_and_saves_nothing(
    run_in_fork: RunInFork, tmp_path: Path
) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"%%step {n}\nv{n} = {n}") for n in (1, 2)])
    nbformat.write(notebook, tmp_path / "inner.ipynb")
    ran = run_in_fork(["%ckpt_config --name hosts", "%run inner.ipynb", "%%step 3\nafter = 1"], allow_errors=True)
    assert "so it was not run; run the cell itself" in ran.cells[1]["text"]
    assert "v1" not in ran.names
    assert [path.name for path in (tmp_path / ".ckpt").glob("*.pkl")] == ["hosts-v1-step3.pkl"]
    around = run_in_fork(["%ckpt_config --name hosts", "%%step 1\n%run inner.ipynb"])
    assert "· saved ·" in around.text
    assert stored(tmp_path, 1) == {"v1": 1, "v2": 2}


def test_what_a_subprocess_writes_is_shown_again(run_cells: RunCells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # below pytest ipykernel would not watch the file descriptors
    step = (
        "%%step 1\nimport subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import sys; print(\"out\"); sys.stderr.write(\"err\")'])\n"
        "import time; time.sleep(0.5)  # ipykernel reads the pipe in a thread of its own\n"
        "subprocess.check_output([sys.executable, '-c', 'print(41 + 1)'], text=True)"
    )
    cells = [SETUP, step]
    ran, restored = run_cells(cells, load=False).cells, run_cells(cells, load=False, env=RESTORE).cells
    assert actions(restored) == ["restored"]
    assert streams(ran[1]) == streams(restored[1]) == {"stdout": "out\n", "stderr": "err"}
    assert restored[1].outputs[-2].data["text/plain"] == "'42\\n'"


def streams(cell: Any) -> dict[str, str]:
    """Text by stream: in which order two streams arrive is a matter of time."""
    texts: dict[str, str] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            texts[output.name] = texts.get(output.name, "") + output.text
    return texts


def test_the_banner_is_turned_off_by_config_magic_environment_and_profile(
    run_in_fork: RunInFork, tmp_path: Path
) -> None:
    off = "%config CkptMagics.banner = False"
    cells = ["%ckpt_config --name hosts", "%%step 1\na = 1", off, "%%step 1\na = 1"]
    cells += ["%config CkptMagics.banner = True", "%%step 1\na = 1", "%reload_ext ckpt_magic", "%%step 1\na = 1"]
    ran = run_in_fork(cells)
    assert ["step 1" in cell["text"] for cell in ran.cells] == [False, True, False, False, False, True, False, True]
    assert "step 1" not in run_in_fork(cells[:2], env={"CKPT_BANNER": "0", **RESTORE}).text
    profile = {"CkptMagics": {"banner": False}}
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "ipython_config.json").write_text(json.dumps(profile))
    written = start(
        ["IPython", f"--profile-dir={tmp_path / 'profile'}", "--colors=NoColor", "--HistoryManager.enabled=False", "-c"]
        + ["%load_ext ckpt_magic\nget_ipython().run_cell_magic('step', '1 --name hosts', 'print(6 * 7)')"],
        tmp_path,
    )
    assert "42" in written and "step 1" not in written


LEFT = """
import gc, json, sys, types
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
for cell in json.load(sys.stdin):
    gc.collect()
    gc.disable()
    shell.run_cell(cell, store_history=True)
    frames = [one for one in gc.get_objects() if type(one) is types.FrameType]
    print("left:", cell.splitlines()[0], [str(one) for one in frames if "ckpt_magic" in one.f_code.co_filename])
    del frames
"""


def test_nothing_that_ran_for_a_cell_outlives_it_and_keeps_values_alive(tmp_path: Path) -> None:
    """A frame that waits for the garbage collector holds what a step deletes; weak references then tell."""
    cells = [
        *SETUP.splitlines(),
        "%%step 1\nimport weakref\nclass Node: pass\nnode = Node(); alive = weakref.WeakSet([node])",
        "other = 1",
        "%%step 2\ndel node\ncount = len(alive)",
        "%%step 3\nwaits = (one for one in [1]); next(waits)",
        "%%step 4\n1 / 0",
        "%ckpt_status",
        "print('count', count)",
    ]
    for start in ("none", "end", "auto"):
        ran = subprocess.run(
            [sys.executable, "-c", LEFT],
            input=json.dumps(cells),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "CKPT_START_FROM": start},
        )
        assert ran.returncode == 0, ran.stderr
        lines = [line for line in ran.stdout.splitlines() if line.startswith("left:")]
        assert len(lines) == len(cells)
        assert [line for line in lines if not line.endswith("[]")] == []
        assert "count 0" in ran.stdout
        assert ("step 2 · restored" in ran.stdout) == (start != "none")


def test_what_a_step_takes_from_os_is_what_os_has(run_in_fork: RunInFork) -> None:
    cells = [
        *SETUP.splitlines()[1:],
        "%%step 1\nimport os\nfrom os import stat\nname, there = os.stat.__name__, os.path.exists('nothing')",
        "print(stat is os.stat, type(stat).__name__, name, os.access in os.supports_effective_ids)",
    ]
    text = run_in_fork(cells).cells[-1]["text"]
    assert text == "True builtin_function_or_method stat True\n"
    assert run_in_fork([cells[0], "%ckpt_start end", *cells[1:]]).cells[-1]["text"] == text
