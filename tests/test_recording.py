"""What a step showed comes back as it was: recorder and replay, in real kernels and in bare shells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ckpt_magic.steps.outputs import fold

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[1]
SETUP = """
import os, sys
sys.path.insert(0, {root!r})
from tests.fake_session import install
hooks = install(get_ipython(), {folder!r}, start={start}{options})
session = hooks.session
"""

EVERY_KIND = {
    "print": "print('a'); print('b', end='')",
    "stderr": "import sys; print('oops', file=sys.stderr)",
    "both streams": "print('1', flush=True)\nprint('2', file=sys.stderr, flush=True)\nprint('3', flush=True)",
    "result": "6 * 7",
    "html result": "from IPython.display import HTML, Markdown, Latex, JSON, SVG, Image, display\nHTML('<b>x</b>')",
    "several displays": "display(Markdown('*m*'), Latex('$x$'), JSON({'a': [1, None]}))\ndisplay(HTML('<i>h</i>'))",
    "metadata": "display(HTML('x'), metadata={'text/html': {'isolated': True}})",
    "image bytes": "import zlib, struct\n"
    "def chunk(k, d): return struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d))\n"
    "png = (b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0))\n"
    "       + chunk(b'IDAT', zlib.compress(b'\\0\\x7f')) + chunk(b'IEND', b''))\n"
    "Image(png, width=5)",
    "svg": "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"><rect/></svg>')",
    "figures": "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.figure(); plt.plot([2]);",
    "figure shown": "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show(); print('after')",
    "dataframe": "import pandas as pd\npd.DataFrame({'a': [1, 2]})",
    "update": "h = display('old', display_id='h1')\nprint('between')\nh.update('new')",
    "update of another cell": "from IPython.display import update_display\nupdate_display('newest', display_id='h1')",
    "clear": "from IPython.display import clear_output\nprint('gone'); clear_output(); print('stays')",
    "clear and wait": "for i in range(3):\n    clear_output(wait=True); print(i)",
    "progress": "import sys\nfor i in range(4): print(f'\\r{i}', end='', flush=True)\nprint(' done')",
    "shell": "!echo from shell",
    "bash": "%%bash\necho bash out\necho bash err 1>&2",
    "subprocess": "import subprocess, time\n_ = subprocess.run(['echo', 'fd 1'])\ntime.sleep(0.3)",
    "forked child": "import os\npid = os.fork()\nif pid == 0:\n    print('child', flush=True); os._exit(0)\n"
    "os.waitpid(pid, 0); import time; time.sleep(0.2)",
    "thread": "import threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()",
    "logging": "import logging\nlogging.basicConfig(stream=sys.stderr, force=True); logging.warning('careful')",
    "await": "import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')\n'value'",
    "task": "async def later(): print('task')\nawait asyncio.create_task(later())",
    "time": "%%time\n1 + 1",
    "line time": "%time sum([1, 2])",
    "semicolon": "3;",
    "unicode": "print('äöü 日本 🙂')",
    "nested error": "get_ipython().run_cell('print(1)')\n'outer'",
    "json metadata": "display({'text/plain': 'p', 'application/vnd.mine.v1+json': {'k': 1}}, raw=True)",
    "nothing": "quiet = 1",
}


def run_notebook(cells: list[str], *, timeout: int = 120) -> list[nbformat.NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # below pytest ipykernel would not watch the file descriptors
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3").execute(env=env)
    nbformat.validate(notebook)
    return list(notebook.cells)


def coalesced(cell: nbformat.NotebookNode) -> list[Any]:
    """The outputs as a runner saves them: neighbouring streams merged, banners out."""
    outputs: list[Any] = []
    for output in cell.outputs:
        if "ckpt_magic" in output.get("metadata", {}):
            continue
        if outputs and output.output_type == "stream" == outputs[-1].output_type and output.name == outputs[-1].name:
            outputs[-1] = {**outputs[-1], "text": fold(outputs[-1]["text"] + output.text)}
            outputs[-1] = nbformat.from_dict(outputs[-1])
        elif output.output_type == "stream":
            outputs.append(nbformat.from_dict({**output, "text": fold(output.text)}))
        else:
            outputs.append(output)
    return outputs


def setup(folder: Path, start: int = 0, options: str = "") -> str:
    return SETUP.format(root=str(ROOT), folder=str(folder), start=start, options=options)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    folder = tmp_path_factory.mktemp("steps")
    imports = "from IPython.display import *\nimport asyncio, sys"
    steps = [f"%%step {i}\n{code}" for i, code in enumerate(EVERY_KIND.values(), 1)]
    return (
        run_notebook([setup(folder), imports, *steps])[2:],
        run_notebook([setup(folder, 999), imports, *steps])[2:],
    )


@pytest.mark.parametrize("kind", range(len(EVERY_KIND)), ids=list(EVERY_KIND))
def test_replay_gives_the_notebook_the_same_outputs_as_the_run(twice: Any, kind: int) -> None:
    """Compared as nbformat documents, images byte for byte, execution counts included."""
    ran, restored = (run[kind] for run in twice)
    assert coalesced(restored) == coalesced(ran)
    assert restored.execution_count == ran.execution_count
    banner = ran.outputs[-1], restored.outputs[-1]
    assert [b.metadata["ckpt_magic"]["action"] for b in banner] == ["ran", "restored"]
    # ipykernel 6 gives a thread's print to the cell in which an earlier thread of that id ran
    if list(EVERY_KIND)[kind] not in ("nothing", "semicolon", "update of another cell", "thread"):
        assert len(ran.outputs) > 1


def test_the_banner_is_the_last_output_even_below_figures(twice: Any) -> None:
    kinds = [output.output_type for output in twice[0][list(EVERY_KIND).index("figures")].outputs]
    assert len(kinds) == 3
    assert "ckpt_magic" in twice[0][list(EVERY_KIND).index("figures")].outputs[-1].metadata
