"""Child processes of a step, however they are made, save nothing of the step and do not hang; in real kernels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCells

pytestmark = pytest.mark.kernel

WORK = """
import os

def work(n):
    return n * n, os.getpid()

def run_steps(n):
    # what a child inherits of IPython's shell, if it does at all
    from IPython import get_ipython
    shell = get_ipython()
    if shell is not None:
        shell.run_cell(f"%%step 7 --name child\\nmade = {n}")
    return n
"""
HEAD = "import sys; sys.path.insert(0, '.')\n%ckpt_config --name p --folder ck"

POOL = """
import multiprocessing, os, child
with multiprocessing.get_context('{method}').Pool(2) as pool:
    squares = [n for n, pid in pool.map(child.work, range(4))]
    apart = os.getpid() not in [pid for n, pid in pool.map(child.work, range(4))]
    ran = pool.map(child.run_steps, [1, 2])
del pool
squares, apart, ran
"""
EXECUTOR = """
import concurrent.futures, multiprocessing, child
with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('{method}')) as executor:
    squares = [n for n, pid in executor.map(child.work, range(4))]
del executor
squares
"""
JOBLIB = """
import joblib, child
squares = [n for n, pid in joblib.Parallel(n_jobs=2)(joblib.delayed(child.work)(n) for n in range(4))]
squares
"""
FORKED = """
import os
pid = os.fork()
if pid == 0:
    inside = 1
    os._exit(0)  # the child ends in the middle of the step
_, status = os.waitpid(pid, 0)
status
"""
SHELLS = """
import sys
text = !{sys.executable} -m IPython --no-banner --colors=NoColor -c "%load_ext ckpt_magic" -c "print(6 * 7)"
text = [line for line in text if line.strip()]
text[-1]
"""
CHILD_SAVES = """
import subprocess, sys
code = '''
import os
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext ckpt_magic")
shell.run_cell("%%step 1 --name other --folder ck\\\\nx = 1")
'''
done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).returncode
done
"""

BODIES = {
    "fork": POOL.format(method="fork"),
    "forkserver": POOL.format(method="forkserver"),
    "spawn": POOL.format(method="spawn"),
    "executor, fork": EXECUTOR.format(method="fork"),
    "executor, spawn": EXECUTOR.format(method="spawn"),
    "joblib": JOBLIB,
    "a bare fork": FORKED,
    "ipython": SHELLS,
    "a child with steps of its own": CHILD_SAVES,
}


def shown(notebook: Any) -> list[str]:
    """The results of the cells: what children write arrives when it likes."""
    return [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.outputs
        if output["output_type"] == "execute_result"
    ]


def actions(notebook: Any) -> list[tuple[int, str, str]]:
    facts = [
        output["metadata"]["ckpt_magic"]
        for c in notebook.cells
        for output in c.outputs
        if "metadata" in output and "ckpt_magic" in output["metadata"]
    ]
    return [(one["step"], one["action"], one["reason"]) for one in facts]


def test_children_save_nothing_of_the_step_and_all_is_restored(run_cells: RunCells, tmp_path: Path) -> None:
    """One notebook with every way to make a child, run once and restored once."""
    (tmp_path / "child.py").write_text(WORK)
    steps = [f"%%step {number}\n{body.strip()}" for number, body in enumerate(BODIES.values(), start=1)]
    last = f"%%step {len(steps) + 1}\ntotal = sum(squares)\ntotal"
    ran = run_cells([HEAD, *steps, last])
    assert [action for _, action, _ in actions(ran)] == ["saved"] * (len(steps) + 1)
    assert shown(ran)[:3] == ["([0, 1, 4, 9], True, [1, 2])"] * 3
    files = sorted(path.name for path in (tmp_path / "ck").glob("*.pkl"))
    assert files == sorted(["other-v1-step1.pkl", *(f"p-v1-step{number}.pkl" for number in range(1, len(steps) + 2))])
    restored = run_cells([HEAD, *steps, last], env={"CKPT_START_FROM": str(len(steps) + 1)})
    assert [action for _, action, _ in actions(restored)] == ["restored"] * len(steps) + ["saved"], actions(restored)
    assert shown(restored) == shown(ran)
    left = [
        path.name
        for path in (tmp_path / "ck").iterdir()
        if not re.fullmatch(r".*\.pkl|\.gitignore|\.used|.*\.lock", path.name)
    ]
    assert left == []
