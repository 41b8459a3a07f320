"""Arrays whose bytes numpy or pandas copies to pickle them: exact, payloads of their own, and never a second copy."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.files.store import Store
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values.pickles import pickling
from ckpt_magic.values.pickles.gathered import Gathered
from tests.kernels import Kernel

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
MADE = {
    "every third": "np.arange(900_000.0)[::3]",
    "backwards": "np.arange(300_000)[::-1]",
    "columns": "np.arange(600_000).reshape(600, 1000)[:, 100:500]",
    "axes swapped": "np.arange(400_000.0).reshape(40, 100, 100).transpose(1, 0, 2)",
    "fields": "np.zeros(300_000, [('t', 'M8[s]'), ('x', 'f8'), ('k', 'i2')])[1::3]",
    "dates": "np.arange(200_000).astype('M8[s]')",
    "dates in columns": "np.asfortranarray(np.arange(200_000).astype('m8[us]').reshape(200, 1000))",
    "dates, read-only": "read_only(np.arange(200_000).astype('M8[s]'))",
    "every third, read-only": "read_only(np.arange(900_000.0)[::3])",
    "texts": "np.arange(300_000).astype('U6')[::3]",
    "unaligned": "np.frombuffer(bytes(12_000_001), 'u1')[1:].view('f8')[::3]",
}
GIVEN = """
import numpy as np, pandas as pd
def read_only(array):
    array.flags.writeable = False
    return array
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


def restored(folder: Path, code: str) -> tuple[Any, Any, Any]:
    """A value as the step made it, as a new kernel has it, and as plain pickle has it."""
    kernel = Kernel(folder)
    kernel.cell(GIVEN)
    kernel.step(1, f"x = {code}")
    again = Kernel(folder, 2)
    again.cell(GIVEN)
    assert again.step(1, "...")["action"] == "restored"
    with Store(folder).path("p", "1", 1).open("rb") as file:
        return kernel.names["x"], again.names["x"], pickle.load(file)["x"]


@pytest.mark.parametrize("made", MADE)
def test_arrays_that_numpy_would_copy_come_back_and_are_payloads(tmp_path: Path, made: str) -> None:
    value, *found = restored(tmp_path, MADE[made])
    assert Store(tmp_path).path("p", "1", 1).stat().st_size < value.nbytes + 50_000
    for one in found:
        assert one.dtype == value.dtype
        assert one.shape == value.shape
        assert one.flags.writeable or not value.flags.writeable
        assert one.tobytes() == value.tobytes()
    if value.flags.f_contiguous:
        assert found[0].flags.f_contiguous
    stored = Kernel(tmp_path).session.open(PipelineKey(tmp_path, "p", "1"), 1)
    assert stored is not None
    assert sum(row[1] for row in stored.meta["buffers"]) == value.nbytes


@pytest.mark.parametrize(
    "made",
    [
        "pd.DataFrame(np.arange(600_000.0).reshape(-1, 6)).iloc[::2]",
        "pd.DataFrame({'a': pd.date_range('2000', periods=200_000), 'b': np.arange(200_000)})",
        "pd.DataFrame({'s': pd.Series(['ab', 'c', None, 'é'] * 60_000, dtype='str')})",
        "pd.DataFrame({'s': pd.Series(['ab', 'c', None, 'é'] * 60_000, dtype='str')}).iloc[1000:70_000]",
        "pd.concat([pd.DataFrame({'s': pd.Series(['ab', None] * 60_000, dtype='str')})] * 2)",
    ],
)
def test_frames_come_back(tmp_path: Path, made: str) -> None:
    value, *found = restored(tmp_path, made)
    for one in found:
        pd.testing.assert_frame_equal(one, value)


def test_an_index_and_a_view_of_it_share_their_memory_as_before(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.step(1, "import numpy, pandas\ni = pandas.Index(numpy.arange(200_000.0))\nj = i.view()\nassert j is not i")
    again = Kernel(tmp_path, 2)
    again.step(1, "...")
    i, j = again.names["i"], again.names["j"]
    assert i.equals(j)
    assert np.shares_memory(i.values, j.values)
    assert i._references is j._references


def test_looking_at_a_range_index_makes_no_array_of_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.step(1, "import pandas\ns = pandas.Series(range(200_000))")
    assert "_data" not in kernel.names["s"].index._cache


def test_what_stands_for_the_bytes_of_an_array_is_never_written_itself() -> None:
    """A file that knows nothing of it would get zeros."""
    array = np.arange(900_000.0)[::3]
    contents = pickling.Contents("cell", {"x": array}, {}, {})
    with pytest.raises(NotPicklableError, match="did not ask"):
        pickling.write(contents, io.BytesIO(), namespace={}, gathered=Gathered())
    file = io.BytesIO()
    pickling.write(contents, file, namespace={})
    assert (pickle.loads(file.getvalue())["x"] == array).all()


LARGE = {
    "in columns": "np.asfortranarray(np.ones((1024, 16 << 10)))",
    "every third": "np.ones(48 << 20)[::3]",
    "read-only": "read_only(np.ones(16 << 20))",
    "dates": "pd.Series(np.ones(16 << 20).astype('M8[s]'))",
    "rows of a frame": "pd.DataFrame(np.ones((6 << 20, 8))).iloc[::3]",
    "texts": "pd.DataFrame({'x': pd.Series(['abcdefgh'] * (8 << 20), dtype='str')})",
    "a small index": "(lambda i: [pd.Series(1.0, index=i), pd.Series(1, index=i.view())])(pd.Index(np.ones(8 << 20)))",
    "bytes": "bytes(128 << 20)",
    "Arrow": "__import__('pyarrow').array(np.ones(16 << 20))",
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="not run: the peak is told by Linux")
def test_a_step_needs_no_room_for_a_second_copy_of_what_it_saves(tmp_path: Path) -> None:
    """The look included; 128 MiB each."""
    pytest.importorskip("pyarrow")
    program = f"""
import os, sys
from pathlib import Path
from ckpt_magic.steps.session import Session
from tests.kernels import Kernel

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) >> 10

finish = Session.finish
def measured(*args):
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    facts = finish(*args)
    print(name, memory("VmHWM") - before, facts["action"], facts["bytes"] >> 20, sep=":")
    return facts

Session.finish = measured
os.fsync = lambda descriptor: None
for name, code in {LARGE!r}.items():
    folder = Path({str(tmp_path)!r}) / str(len(name))
    kernel = Kernel(folder)
    kernel.cell({GIVEN!r})
    kernel.step(1, "x = " + code)
    for path in folder.glob("*.pkl"):
        path.unlink()
    kernel.names.clear()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peaks = {name: int(peak) for name, peak, action, size in (line.split(":") for line in done.stdout.split("\n")[:-1])}
    assert peaks.keys() == LARGE.keys()
    assert {name: peak for name, peak in peaks.items() if peak > 48} == {}
