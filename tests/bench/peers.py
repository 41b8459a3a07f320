"""Kishu and marimo, each in a virtual environment of its own: their own way of saving and restoring, against `pickle`.

What is measured is in `peer_script`, which runs in that environment. What does not install there is told as not run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench import peer_script
from tests.bench.measure import Row

_DATA: Final = ("numpy", "pandas", "scikit-learn")
_LONGEST: Final = 300.0  # seconds for one of them
PEERS: Final = {"marimo": ("marimo", *_DATA), "kishu": ("kishu", *_DATA)}


def rows(
    peer: str, venvs: Path | None, folder: Path, rounds: int, *, quick: bool
) -> Iterator[Row | dict[str, float | str]]:
    """Measure all workloads by one of them; what goes wrong with one workload is told in its place.

    Those of very many objects are measured with a part of them, as all that goes through them in Python.
    """
    problem = "--quick installs nothing; give --peers" if venvs is None else _install(peer, venvs / peer)
    if venvs is None or problem:
        yield {peer: f"not run: {problem}"}
        return
    place = folder / peer
    place.mkdir()
    command = [str(_python(venvs / peer)), peer_script.__file__, peer, str(place), str(rounds), str(int(quick))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environ()) as run:
        assert run.stdout is not None
        try:
            for line in run.stdout:
                if line.startswith(peer_script.MARK):
                    yield from _told(peer, json.loads(line.removeprefix(peer_script.MARK)))
        finally:
            run.kill()


def _told(peer: str, found: dict[str, object]) -> Iterator[Row | dict[str, float | str]]:
    what = str(found["what"])
    if "failed" in found:
        yield {f"{what}: {peer}": f"not run: {found['failed']}"}
        return
    seconds: dict[str, list[float]] = found["seconds"]  # type: ignore[assignment]
    for deed in ("save", "restore"):
        yield Row(f"{what}, {deed}: {peer}", seconds[deed], "pickle, protocol 5", seconds[f"pickle {deed}"])


def _install(peer: str, venv: Path) -> str:
    """Make the environment if it is not there yet; return why that cannot be done, else nothing."""
    if _python(venv).exists():
        return ""
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(_python(venv)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer]],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=_environ(), timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            return "installing it takes too long"
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            return f"it does not install: {(errors or ['pip failed'])[-1].strip()[:200]}"
    return ""


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


def _environ() -> dict[str, str]:
    """Without what would let the environment see this one."""
    return {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
