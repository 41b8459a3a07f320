"""What unmarked cells and steps set besides variables, and which steps run when it is another value now."""

from __future__ import annotations

import decimal
import json.encoder
import logging
import os
import signal
import string
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from ckpt_magic.steps.around import Around
from ckpt_magic.steps.registry import StepCall
from tests.kernels import Kernel
from tests.test_rule import Cells, actions, play


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path) -> Iterator[None]:
    environ, path, here = dict(os.environ), list(sys.path), os.getcwd()
    os.chdir(tmp_path)
    with warnings.catch_warnings(), decimal.localcontext(), np.printoptions(), np.errstate():
        anew()
        yield
    anew()
    os.chdir(here)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path


LIMIT = sys.getrecursionlimit()


def anew() -> None:
    """Bring the process into the state of a new kernel, as far as these tests change it."""
    import math

    pd.reset_option("display.max_rows")
    pd.reset_option("display.precision")
    sys.setrecursionlimit(LIMIT)
    matplotlib.rcdefaults()
    matplotlib.colors.colorConverter.colors["b"] = (0, 0, 1)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    logging.getLogger("q").handlers.clear()
    vars(string).pop("note", None)
    pd.reset_option("mode.sim_interactive")
    np.set_printoptions(precision=8)
    np.seterr(all="warn", under="ignore")
    decimal.getcontext().prec = 28
    json.encoder.ESCAPE_DCT.pop("x", None)
    math.tau = 2 * math.pi  # type: ignore[misc]
    for name in ("MODE", "OTHER", "TOKEN"):
        os.environ.pop(name, None)
    warnings.resetwarnings()
    sys.path[:] = [entry for entry in sys.path if not entry.endswith(("extra", "more"))]
    for name in ("total",):
        if name in vars(pd.DataFrame):
            delattr(pd.DataFrame, name)


def run(folder: Path, cells: Cells, start: int | str = "none") -> tuple[list[Any], dict[str, Any]]:
    """Run a notebook in a new kernel; the facts of its steps, and its variables."""
    here = os.getcwd()
    kernel = Kernel(folder, start)
    facts = play(kernel, cells)
    os.chdir(here)
    anew()
    return facts, kernel.names


GET = "import os; a = os.environ['MODE']"
FOLDER = "import os; os.makedirs('{0}', exist_ok=True); os.chdir('{0}')"
WARN = (
    "import warnings\ntry: warnings.warn_explicit('w', UserWarning, 'x', 1, registry={}); a = 0\n"
    "except UserWarning: a = 1"
)
EDITS = [
    ("import os; os.environ['MODE'] = '{}'", GET),
    ("import os; os.environ['MODE'] = '{}'", "def mode(): import os; return os.getenv('MODE')\na = mode()"),
    ("import os\nfor name in ['MODE']: os.environ[name] = '{}'", "import os; a = dict(os.environ)['MODE']"),
    ("import os; os.environ.update(MODE='{}')", "import subprocess; a = subprocess.getoutput('echo $MODE')"),
    ("mode = '{}'\ndef set_env():\n    import os; os.environ['MODE'] = mode\nset_env()", GET),
    ("import os; os.environ['TOKEN'] = 'secret{}'", "import os; a = os.environ['TOKEN']"),
    (f"{FOLDER}\nwith open('x', 'w') as f: f.write('{{0}}')", "with open('x') as f: a = f.read()"),
    ("import pandas as pd; pd.set_option('display.max_rows', {})", "a = pd.get_option('display.max_rows')"),
    ("import pandas as pd; pd.set_option('display.max_rows', {})", "a = str(pd.DataFrame({'x': range(50)}))"),
    ("import pandas as pd; pd.options.display.max_rows = {}", "a = f'{pd.DataFrame({0: range(50)})!r}' + str(1)"),
    ("import numpy as np; np.set_printoptions(precision={})", "a = repr(np.array([1 / 3]))"),
    ("import decimal; decimal.getcontext().prec = {}", "import decimal; a = decimal.Decimal(1) / 3"),
    ("import sys; sys.path.append('{}/extra')", "import sys; a = sys.path[-1]"),
    ("import math; math.tau = {}", "import math; a = math.tau"),
    ("import math; setattr(math, 'tau', {})", "def tau(): import math; return math.tau\na = tau()"),
    ("import pandas as pd; pd.DataFrame.total = lambda self: {}", "a = pd.DataFrame().total()"),
    ("import pandas as pd\ndef total(self): return {}\npd.DataFrame.total = total", "a = pd.DataFrame().total()"),
    ("import warnings; warnings.simplefilter('ignore' if {} == 3 else 'error')", WARN),
    ("from warnings import simplefilter as f; f('ignore' if {} == 3 else 'error')", WARN),
    (
        "import logging, sys\nhandler = logging.StreamHandler(sys.stderr)\n"
        "handler.setFormatter(logging.Formatter('%(message)s {}'))\nlogging.getLogger('q').addHandler(handler)",
        "import logging; a = [one.formatter._fmt for one in logging.getLogger('q').handlers]",
    ),
]


@pytest.mark.parametrize(("cell", "use"), EDITS)
def test_an_edited_cell_that_sets_what_a_step_reads_runs_it(tmp_path: Path, cell: str, use: str) -> None:
    folder = tmp_path / "ckpt"
    old: Cells = [cell.format(3), (1, "n = 1"), (2, use), (3, "b = [a]")]
    new: Cells = [cell.format(4), *old[1:]]
    _, before = run(folder, old)
    facts, unchanged = run(folder, old, 4)
    assert actions(facts) == ["restored"] * 3, [one["reason"] for one in facts]
    facts, edited = run(folder, new, 4)
    _, full = run(tmp_path / "other", new)
    assert (edited["a"], edited["b"]) == (full["a"], full["b"])
    assert before["a"] == unchanged["a"] != edited["a"]
    assert actions(facts) == ["restored", "saved", "saved"]
    assert "otherwise" in facts[1]["reason"]


NEEDED = ("total", "open(", "(os.environ)")  # uses that fail without the cell


@pytest.mark.parametrize(("cell", "use"), [one for one in EDITS if not any(word in str(one) for word in NEEDED)])
def test_a_setting_that_is_taken_out_or_put_in_runs_the_step_that_reads_it(tmp_path: Path, cell: str, use: str) -> None:
    use = use.replace("os.environ['MODE']", "os.environ.get('MODE')").replace("['TOKEN']", ".get('TOKEN')")
    setup = "import os, sys, math, decimal, warnings\nimport numpy as np, pandas as pd"
    cells: Cells = [setup, cell.format(3), (1, use)]
    for first, second in ((cells, [setup, (1, use)]), ([setup, (1, use)], cells)):
        folder = tmp_path / str(len(first))
        run(folder, first)
        facts, edited = run(folder, second, 2)
        _, full = run(tmp_path / f"other{len(first)}", second)
        assert (actions(facts), edited["a"]) == (["saved"], full["a"])


UNREAD = [
    ("import os; os.environ['OTHER'] = '{}'", "import os; a = os.environ.get('MODE')"),
    ("import os; os.environ['OTHER'] = '{}'", "a = [1]; a.append(2)"),
    ("import pandas as pd; pd.set_option('display.max_rows', {})", "df = pd.DataFrame({'x': [1]}); a = df.x.sum()"),
    ("import pandas as pd; pd.set_option('display.max_rows', {})", "a = sum(range(5))"),
    (FOLDER, "a = [1, 2]"),
    ("import pandas as pd; pd.DataFrame.total = lambda self: {}", "a = pd.DataFrame({'x': [1]}).x.sum()"),
    ("import pandas as pd; pd.set_option('display.max_rows', {})", "a = str(1)"),
    ("import sys; sys.setrecursionlimit(5000 + {})", "a = [1]"),
    ("import warnings; warnings.filterwarnings('ignore', message='{}')", "a = [1]"),
    ("import numpy as np; np.seterr(all='ignore' if {} == 3 else 'raise')", "a = sum(range(5))"),
    ("import os; os.environ['CKPT_NOTHING'] = '{}'", "import os; a = dict(os.environ).get('MODE')"),
    ("import matplotlib.colors as c; c.colorConverter.colors['b'] = (0, 0, 1 / {})", "a = [1]"),
    ("import matplotlib; matplotlib.rcParams['lines.linewidth'] = {}", "lines = [1]; a = lines"),
    # the same as before, although the cell is another one
    ("import math\ndef tau(x): return x\nmath.tau = tau; z = {}", "import math; a = math.tau(1)"),
    ("import pandas as pd; pd.DataFrame.total = property(lambda d: 1); z = {}", "a = pd.DataFrame().total"),
    (
        "import logging, sys; logging.getLogger('q').addHandler(logging.StreamHandler(sys.stderr)); z = {}",
        "import logging; a = len(logging.getLogger('q').handlers)",
    ),
]


@pytest.mark.parametrize(("cell", "use"), UNREAD)
def test_an_edited_setting_that_a_step_cannot_read_leaves_it(tmp_path: Path, cell: str, use: str) -> None:
    cells: Cells = [(1, use), (2, "b = a")]
    run(tmp_path / "ckpt", [cell.format(3), *cells])
    facts, _ = run(tmp_path / "ckpt", [cell.format(4), *cells], 3)
    assert actions(facts) == ["restored", "restored"], [one["reason"] for one in facts]


def test_values_that_differ_by_themselves_count_only_where_they_are_named(tmp_path: Path) -> None:
    cells: Cells = [
        "import os, uuid, tempfile; os.environ['OTHER'] = uuid.uuid4().hex; os.chdir(tempfile.mkdtemp())",
        (1, "import os; a = os.environ.get('MODE'); n = os.path.exists('x')"),
        (2, "b = os.environ['OTHER']"),
        (3, "c = os.getcwd()"),
        (4, "d = os.listdir()"),
    ]
    run(tmp_path / "ckpt", cells)
    facts, _ = run(tmp_path / "ckpt", cells, 5)
    assert actions(facts) == ["restored", "saved", "saved", "restored"]
    other = "import os; os.environ['OTHER'] = 'x'; os.makedirs('sub'); os.chdir('sub')"
    facts, _ = run(tmp_path / "ckpt", [other, *cells[1:]], 5)
    assert actions(facts) == ["saved"] * 4


def test_a_project_that_was_moved_is_restored(tmp_path: Path) -> None:
    cells: Cells = [
        "import os, sys; os.makedirs('data', exist_ok=True); os.chdir('data'); sys.path.append('extra')",
        (1, "import os, sys; a = os.getcwd() and sys.path[-1]; b = os.path.exists('x')"),
    ]
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    os.chdir(tmp_path / "one")
    run(tmp_path / "ckpt", cells)
    os.chdir(tmp_path / "two")
    facts, _ = run(tmp_path / "ckpt", cells, 2)
    assert actions(facts) == ["restored"]


def test_a_step_that_is_edited_and_sets_something_else_runs_the_step_that_reads_it(tmp_path: Path) -> None:
    def cells(mode: str) -> Cells:
        return [
            (1, f"import os; os.environ['MODE'] = '{mode}'"),
            (2, "import os; a = os.environ['MODE']"),
            (3, "b = 1"),
        ]

    kernel = Kernel(tmp_path / "ckpt")
    play(kernel, cells("x"))
    facts, names = run(tmp_path / "ckpt", cells("y"), 4)  # a number vouches for new code in a new kernel
    assert (actions(facts), names["a"]) == (["restored"] * 3, "x")
    kernel = Kernel(tmp_path / "ckpt", 4)
    facts = [*play(kernel, cells("x")), *play(kernel, cells("y"))]
    assert actions(facts) == ["restored"] * 3 + ["saved", "saved", "restored"]
    assert kernel.names["a"] == "y"


def test_a_notebook_run_twice_in_one_kernel_is_restored_whatever_its_steps_set(tmp_path: Path) -> None:
    cells: Cells = [
        "import os; os.environ['MODE'] = 'a'",
        (1, "import os, pandas as pd; a = os.environ['MODE']; pd.set_option('display.max_rows', 7)"),
        (2, "os.environ['MODE'] = 'b'; n = str(pd.Series([1]))"),
        (3, "c = os.environ['MODE']"),
    ]
    kernel = Kernel(tmp_path / "ckpt")
    play(kernel, cells)
    kernel.session.settings.set_start(4)
    assert actions(play(kernel, cells)) == ["restored"] * 3
    facts, names = run(tmp_path / "ckpt", cells, 4)
    assert (actions(facts), names["a"], names["c"]) == (["restored"] * 3, "a", "b")


SETS = (
    "import os, math, decimal, sys, warnings, pandas as pd, numpy as np\n"
    "os.environ['MODE'] = 'a'; math.tau = 3; decimal.getcontext().prec = 5; sys.path.append('extra')\n"
    "pd.set_option('display.max_rows', 7); np.set_printoptions(precision=3); pd.DataFrame.total = lambda self: 1\n"
    "import json.encoder; json.encoder.ESCAPE_DCT['x'] = 'y'\n"
    "warnings.simplefilter('error'); os.makedirs('data', exist_ok=True); os.chdir(top + '/data')"
)
SEES = (
    "found = (os.environ['MODE'], math.tau, decimal.getcontext().prec, sys.path[-1], pd.get_option('display.max_rows'),"
    " np.get_printoptions()['precision'], pd.DataFrame().total(), warnings.filters[0][0], os.path.relpath('.', top),"
    " json.dumps('x'), json.encoder.ESCAPE_DCT.get('x'))"
)


@pytest.mark.parametrize("how", ["twice", "edited", "restored and forced", "after a failed run", "after another step"])
def test_a_step_that_runs_again_in_one_kernel_saves_all_that_it_sets(tmp_path: Path, how: str) -> None:
    top = f"top = {str(tmp_path)!r}"
    if how == "restored and forced":
        run(tmp_path / "ckpt", [top, (1, SETS)])
    kernel = Kernel(tmp_path / "ckpt", 2 if how == "restored and forced" else "none")
    kernel.cell(top)
    if how == "after a failed run":
        with pytest.raises(ZeroDivisionError):
            kernel.step(1, SETS + "; 1 / 0")
    else:
        kernel.step(1, SETS)
    if how == "after another step":
        kernel.step(2, "os.environ['MODE'] = 'b'; pd.set_option('display.max_rows', 9)")
    last = SETS + "; n = 1" if how == "edited" else SETS
    kernel.step(1, last, force=True)
    os.chdir(tmp_path)
    anew()
    facts, names = run(tmp_path / "ckpt", [top, (1, last), (3, SEES)], 2)
    assert actions(facts)[0] == "restored", facts[0]["reason"]
    assert names["found"] == ("a", 3, 5, "extra", 7, 3, 1, "error", "data", '"x"', "y")


def test_what_only_an_earlier_text_of_a_step_set_is_not_saved_with_it(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path / "ckpt")
    kernel.step(1, "import os, pandas as pd; os.environ['MODE'] = 'a'; pd.set_option('display.max_rows', 7)")
    facts = kernel.step(1, "import os, pandas as pd; pd.set_option('display.max_rows', 7)")
    assert "on what an earlier text of it set (`environ:MODE`)" in facts["notes"]
    anew()
    facts, _ = run(tmp_path / "ckpt", [(1, "import os, pandas as pd; pd.set_option('display.max_rows', 7)")], 2)
    assert actions(facts) == ["saved"]


@pytest.mark.parametrize(
    ("first", "edited", "see"),
    [
        ("import sys; sys.path.append('extra')", "import sys; sys.path.append('more')", "sys.path[-2:]"),
        ("import sys; sys.path.append('extra')", "import sys; n = len(sys.path)", "sys.path[-1]"),
        ("import sys; sys.setrecursionlimit(sys.getrecursionlimit() + 7)", "", "sys.getrecursionlimit()"),
        ("import string; string.note = getattr(string, 'note', 0) + 1", "", "string.note"),
        ("import decimal; decimal.getcontext().prec += 5", "", "decimal.getcontext().prec"),
        ("import decimal; n = decimal.getcontext().prec; decimal.getcontext().prec = 5", "", "n"),
        ("import pandas as pd; pd.options.display.precision += 1", "", "pd.options.display.precision"),
        ("import json.encoder as e; e.ESCAPE_DCT['x'] = e.ESCAPE_DCT.get('x', '') + 'y'", "", "e.ESCAPE_DCT['x']"),
        ("import logging as l; l.getLogger('q').addHandler(l.NullHandler())", "", "len(l.getLogger('q').handlers)"),
        ("import signal as s; n = s.signal(s.SIGUSR1, lambda *_: 1)", "", "n == s.SIG_DFL"),
        ("import numpy as np; n = np.seterr(all='ignore')", "", "n['over']"),
    ],
)
def test_a_step_that_goes_on_from_what_it_set_itself_is_restored_in_no_other_kernel(
    tmp_path: Path, first: str, edited: str, see: str
) -> None:
    cells: Cells = [(1, edited or first), (2, f"seen = {see}")]
    _, full = run(tmp_path / "full", cells)
    anew()
    kernel = Kernel(tmp_path / "ckpt")
    kernel.step(1, first)
    play(kernel, cells)
    anew()
    facts, names = run(tmp_path / "ckpt", cells, 3)
    assert names["seen"] == full["seen"]
    assert facts[0]["reason"].startswith("its checkpoint was made on what an earlier")
    anew()
    facts, names = run(tmp_path / "ckpt", cells, 3)
    assert (actions(facts)[0], names["seen"]) == ("restored", full["seen"])


@pytest.mark.parametrize("first", ["", "import pandas as pd"])
def test_what_the_cell_that_loads_the_extension_sets_counts_too(tmp_path: Path, first: str) -> None:
    def begin(mode: str, rows: int, start: int | str) -> Kernel:
        kernel = Kernel(tmp_path / "ckpt", start)
        exec(before := f"import pandas as pd; pd.set_option('display.max_rows', {rows})", kernel.names)
        loading = f"import os; os.environ['MODE'] = '{mode}'"
        kernel.names["In"] = ["", before, loading]
        kernel.session.around = Around(kernel.names)
        exec(loading, kernel.names)  # the lines below `%load_ext`
        return kernel

    cells: Cells = [*([first] if first else []), (1, "a = os.environ['MODE']"), (2, "b = str(pd.Series(range(9)))")]
    facts: list[list[str]] = []
    for mode, rows in (("x", 5), ("x", 5), ("y", 5), ("y", 6)):
        facts.append(actions(play(begin(mode, rows, 9 if facts else "none"), cells)))
        anew()
    assert facts == [["saved", "saved"], ["restored", "restored"], ["saved", "restored"], ["restored", "saved"]]


def test_what_the_cell_that_loads_the_extension_sets_counts_where_no_history_is_kept(tmp_path: Path) -> None:
    # as under nbval: `In` stays empty, and a magic below `%load_ext` may have looked back already
    cells: Cells = [(1, "a = os.environ['MODE']")]
    facts: list[list[str]] = []
    for mode, has_history in (("x", False), ("x", True), ("x", False), ("y", True), ("y", False)):
        kernel = Kernel(tmp_path / "ckpt", 9 if facts else "none")
        loading = f"import os\nos.environ['MODE'] = '{mode}'"
        kernel.names["In"] = ["", loading] if has_history else [""]
        kernel.session.around = Around(kernel.names)
        key = kernel.session.settings.resolve(StepCall(1))
        kernel.session.appraise(key, 1, kernel.session.open(key, 1))
        exec(loading, kernel.names)
        kernel.session.loaded_by(loading + "\n")
        facts.append(actions(play(kernel, cells)))
        anew()
    assert facts == [["saved"], ["restored"], ["restored"], ["saved"], ["restored"]]


def test_an_import_more_in_an_unmarked_cell_runs_nothing(tmp_path: Path) -> None:
    # what it sets of the environment and the filters of warnings is not what the cell says
    (tmp_path / "extra").mkdir()
    module = "import os, warnings; os.environ['OTHER'] = '1'; warnings.simplefilter('ignore', ResourceWarning)"
    (tmp_path / "extra" / "sets_much.py").write_text(module)
    site = tmp_path / "site-packages"
    (tmp_path / "extra").rename(site)
    sys.path.append(str(site))
    cells: Cells = ["import pandas as pd", (1, "import os; a = pd.Series(os.listdir('.')).size; print('x')")]
    text = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    cells[1] += ({"outputs": text},)
    run(tmp_path / "ckpt", cells)
    facts, _ = run(tmp_path / "ckpt", ["import pandas as pd\nimport sets_much", cells[1]], 2)
    assert actions(facts) == ["restored"], facts
    sys.modules.pop("sets_much")


def test_a_part_that_a_library_imports_is_not_set_by_code_that_says_its_name(tmp_path: Path) -> None:
    # `matplotlib.colors` has `matplotlib.scale` under that name
    text = "import copy, matplotlib.colors as colors\nclass Axis:\n    def __init__(self, scale): self.scale = scale\n"
    (tmp_path / "axes_of_the_test.py").write_text(f"{text}    def twice(self): return copy.copy(self.scale) * 2\n")
    sys.path.append(str(tmp_path))
    cells: Cells = [(1, "from axes_of_the_test import *"), (2, "a = Axis(3)"), (3, "b = Axis(5).twice()")]
    run(tmp_path / "ckpt", cells)
    cells.insert(2, "c = copy.deepcopy(a)")
    sys.modules.pop("axes_of_the_test")
    facts, _ = run(tmp_path / "ckpt", cells, 4)
    assert actions(facts) == ["restored"] * 3, [one["reason"] for one in facts]
    sys.modules.pop("axes_of_the_test")


def test_no_value_is_written_down(tmp_path: Path) -> None:
    run(
        tmp_path / "ckpt",
        ["import os; os.environ['TOKEN'] = 'hunter2'", (1, "import os; a = len(os.environ['TOKEN'])")],
    )
    [file] = (tmp_path / "ckpt").glob("*.pkl")
    data = file.read_bytes()
    assert b"environ|TOKEN" in data
    assert b"hunter2" not in data


def test_what_was_displayed_counts_for_options_of_display(tmp_path: Path) -> None:
    option = "import pandas as pd; pd.set_option('display.max_rows', {})"
    text = [{"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}]
    cells: Cells = [(1, "df = pd.DataFrame({'x': [1]})\ndf", {"outputs": text}), (2, "n = df.size")]
    run(tmp_path / "ckpt", [option.format(3), *cells])
    facts, _ = run(tmp_path / "ckpt", [option.format(4), *cells], 3)
    assert actions(facts) == ["saved", "restored"]


def test_cells_up_to_the_one_that_loads_us_count_for_plans_as_far_as_they_ran(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path / "ckpt")
    for cell in ("x = 1", "1 +", "import math\n"):
        kernel.session.loaded_by(cell)
    found = kernel.session.history.origins(["x", "math", "y"])
    assert found is not None and found.keys() == {"x", "math"}
