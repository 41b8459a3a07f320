"""Virtual environments of their own, in which the kernel tests run with other packages or another Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TOOLS = ["numpy", "pandas", "matplotlib", "ipywidgets", "tqdm", "pytest", "pytest-timeout"]


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return table


def make(folder: Path, python: str, constraints: Sequence[str] = ()) -> Path:
    """Install what this package and the kernel tests need; return the interpreter.

    The package is not installed: the tests import it from here, and to build it takes an environment more.
    """
    (folder / "constraints.txt").write_text("\n".join(constraints))
    interpreter = folder / "venv" / "bin" / "python"
    _run([python, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(folder / "constraints.txt")]
    _run([*install, *project()["dependencies"], *TOOLS], folder)
    return interpreter


def run_kernel_tests(interpreter: Path, names: str = "test_*.py") -> None:
    """Run what is marked `kernel` in files of these names; its failures become the failure of the calling test."""
    # Only these files are collected: others import libraries that are not installed there.
    files = [file for file in sorted(REPOSITORY.glob(f"tests/{names}")) if "mark.kernel" in file.read_text()]
    if not files:
        pytest.skip("there are no kernel tests yet")
    # Warnings of old libraries on each other are not ours to mend.
    options = ["-q", "-m", "kernel", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    # Of what is installed few modules are imported, by many kernels; the folders of the repository stay as they are.
    environ = {"PYTHONPYCACHEPREFIX": str(interpreter.parents[2] / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    _run([str(interpreter), "-m", "pytest", *options, *map(str, files)], REPOSITORY, **environ)


def _run(command: list[str], folder: Path, **more: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=folder, env=environ | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}", pytrace=False)
