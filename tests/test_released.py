"""Files of every released format stay readable: by plain pickle, by a kernel, by a script."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ckpt_magic
from ckpt_magic.errors import OtherKeyError
from ckpt_magic.files import format as files
from ckpt_magic.files import sections
from ckpt_magic.files.store import Store
from tests.kernels import Kernel
from tests.released import CELLS, KEY, OUTPUTS, Script, keyring

DATA = Path(__file__).parent / "data"
FORMATS = [f"format-{number}" for number in range(1, sections.FORMAT + 1)]

PLAIN = """
import pickle, sys
from pathlib import Path
assert "ckpt_magic" not in sys.modules
read = lambda name: pickle.load(open(Path(sys.argv[1]) / name, "rb"))
one = read("cells-v1-step1.pkl")
assert [(point.x, point.y) for point in one["points"]] == [(3.0, 4.0), (1.0, 0.0)]
assert one["first"] is one["points"][0] and one["first"].length() == 5.0
assert one["double"](one["first"]) == one["Point"](6.0, 8.0)
two = read("cells-v1-step2.pkl")
assert two["array"].tolist() == list(range(8192)) and two["even"].base is not None
assert (two["far"].x, two["far"].y) == (6.0, 8.0)
assert read("script-v1-step1.pkl") == {"rows": [1, 2, 3]} and read("script-v1-step2.pkl") == 18
assert read("dslib-v1-step1.pkl") == {"numbers": [1, 2, 3]} and read("other-v1-step1.pkl") == {"n": 1}
print("all read")
"""


@pytest.fixture(params=FORMATS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files of one format, with their key."""
    monkeypatch.setenv("CKPT_KEY", KEY)
    return Path(shutil.copytree(DATA / request.param, tmp_path / "ck"))


def test_there_are_files_of_every_format_and_each_says_which_it_is() -> None:
    assert sorted(path.name for path in DATA.iterdir()) == sorted(FORMATS)
    for name in FORMATS:
        paths = sorted((DATA / name).iterdir())
        assert len(paths) >= 6 and all(path.stat().st_size < 100_000 for path in paths)
        found = {path.name: files.open_checkpoint(path, keyring()) for path in paths}
        assert {stored.footer.version for stored in found.values() if stored.footer} == {int(name.split("-")[1])}
        assert {path for path, stored in found.items() if stored.trust != "trusted"} == {"other-v1-step1.pkl"}


def test_a_python_without_the_package_reads_them(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-E", "-c", PLAIN, folder], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.stdout == "all read\n", done.stderr


def test_a_kernel_restores_them(folder: Path) -> None:
    kernel = Kernel(folder, "end", name="cells")
    assert [kernel.step(step, cell)["action"] for step, cell in enumerate(CELLS, 1)] == ["restored", "restored"]
    names = kernel.names
    assert names["first"] is names["points"][0] and names["far"] == names["Point"](6.0, 8.0)
    names["array"][0] = 7
    assert names["even"][0] == 7
    assert files.open_checkpoint(folder / "cells-v1-step1.pkl", keyring()).outputs() == OUTPUTS


def test_a_script_restores_them(folder: Path) -> None:
    script = Script("script", folder)
    outputs = script.run(start_from="end")
    assert outputs["step_2_sum"] == 18 and script.scale == 3
    assert ckpt_magic.load("dslib", 1, folder)["step_1"] == {"numbers": [1, 2, 3]}


def test_they_are_whole_and_someone_elses_stays_someone_elses(folder: Path) -> None:
    found = ckpt_magic.check(folder=folder)
    assert {Path(row["path"]).name for row in found if row["state"] != "whole"} == {"other-v1-step1.pkl"}
    with pytest.raises(OtherKeyError):
        ckpt_magic.load("other", 1, folder)["step_1"]
    assert {entry.name for entry in Store(folder).entries()} == {"cells", "dslib", "other", "script"}
