"""The lower bounds in pyproject.toml are true: the kernel tests pass with exactly these versions."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests import venvs

TESTED = {
    "ipython",
    "ipykernel",
    "jupyter_client",
    "nbclient",
    "nbformat",
    "packaging",
    "numpy",
    "pandas",
    "matplotlib",
    "ipywidgets",
    "platformdirs",
    "rich",
    "xxhash",
}


def oldest() -> dict[str, str]:
    """Return name and lowest allowed version of what is installed here."""
    table = venvs.project()
    lines = [*table["dependencies"], *table["optional-dependencies"]["demo"]]
    bounds = [line.split(">=") for line in lines if re.fullmatch(r"[\w-]+>=[\d.]+", line)]
    return {name: version for name, version in bounds if name in TESTED}


def test_every_dependency_has_a_lower_bound() -> None:
    assert oldest().keys() == TESTED
    assert {re.split(r"[<>=]", line)[0] for line in venvs.project()["dependencies"]} <= TESTED


@pytest.mark.venv
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest versions have no wheels for this Python")
def test_the_kernel_tests_pass_with_the_oldest_versions(tmp_path: Path) -> None:
    venvs.run_kernel_tests(venvs.make(tmp_path, sys.executable, [f"{n}=={v}" for n, v in oldest().items()]))
