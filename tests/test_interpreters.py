"""The tests of the hooks and their hosts pass on each Python that we support and that is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import venvs


def interpreter(version: str) -> str | None:
    """Find a Python of this minor version on the path or below pyenv."""
    candidates = [shutil.which(f"python{version}")]  # may be a shim of pyenv that only knows the chosen versions
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate is not None:
            asked = subprocess.run(
                [candidate, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
            )
            if asked.returncode == 0 and asked.stdout.strip() == version:
                return candidate
    return None


PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


@pytest.mark.venv
@pytest.mark.parametrize("version", PYTHONS)
def test_the_kernel_tests_pass_on_this_python(version: str, tmp_path: Path) -> None:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip(f"these tests run on Python {version} anyway")
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} on the path or below pyenv")
    # The oldest Python runs them all with the oldest dependencies; of another one the hooks are what may differ, and
    # the hosts are tried with the newest one.
    newest = not any(map(interpreter, PYTHONS[PYTHONS.index(version) + 1 :]))
    venvs.run_kernel_tests(venvs.make(tmp_path, found), "test_h*.py" if newest else "test_hooks*.py")
