"""Looking at generators, working directory, environment and options, and putting them back."""

from __future__ import annotations

import decimal
import faulthandler
import importlib.util
import io
import locale
import os
import pickle
import pickletools
import random
import re
import subprocess
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cycler
import matplotlib
import numpy as np
import pandas as pd
import pytest
from IPython.core.magic import MagicAlias

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.values import ambient, generators, options, shell
from ckpt_magic.values.ambient import Change
from tests.conftest import RunInFork
from tests.kernels import Kernel


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put the whole process back after each test, by means other than those tested."""
    cwd, environ, path, filters = os.getcwd(), dict(os.environ), sys.path[:], warnings.filters[:]
    limit, place = sys.getrecursionlimit(), locale.setlocale(locale.LC_ALL)
    errors, call = np.geterr(), np.geterrcall()
    with np.printoptions(), decimal.localcontext(), pd.option_context("display.max_rows", 60), matplotlib.rc_context():
        yield
    np.seterrcall(call)
    np.seterr(**errors)
    locale.setlocale(locale.LC_ALL, place)
    sys.setrecursionlimit(limit)
    pd.reset_option("display")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path
    warnings.resetwarnings()
    warnings.filters[:] = filters  # type: ignore[index]


def changing(step: Callable[[], object]) -> Change:
    """Look, run and look again, as around a step; the state goes through a pickle."""
    before = ambient.look()
    step()
    change = ambient.compare(before, ambient.look())
    settings = {part: value for part, value in change.state.items() if part != "generators"}
    operations = [operation.name for operation, _, _ in pickletools.genops(pickle.dumps(settings))]
    assert not {"GLOBAL", "STACK_GLOBAL"} & set(operations), "a state holds builtins only"
    state = pickle.loads(pickle.dumps(change.state))
    return Change(state, change.names, change.moved, change.refused, change.out_of_reach, change.values)


def run(step: Callable[[], object], undo: Callable[[], object]) -> Change:
    """Record a step, undo it by hand, put it back."""
    change = changing(step)
    undo()
    ambient.put_back(change.state, generators_too=True)
    return change


def test_nothing_changed_is_nothing_said() -> None:
    change = changing(lambda: None)
    assert change.names == ()
    assert change.refused == ()
    assert not change.moved
    assert change.state["settings"] == change.state["lists"] == change.state["options"] == {}


# --- generators ---


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.random, lambda: np.random.standard_normal(3), lambda: random.gauss(0, 1)],
)
def test_the_next_random_number_is_the_one_the_full_run_would_draw(draw: Callable[[], Any]) -> None:
    random.seed(1)
    np.random.seed(1)
    change = changing(draw)
    assert change.moved
    assert change.names == ()
    expected = [draw(), draw()]
    random.seed(2)
    np.random.seed(2)
    ambient.put_back(change.state, generators_too=True)
    assert np.array_equal(expected, [draw(), draw()])


@pytest.mark.parametrize("ready", [0, 1], ids=["none is ready", "one is ready"])
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize(
    "draw", [np.random.standard_normal, np.random.random, random.random, lambda: random.gauss(0, 1)]
)
def test_what_is_drawn_while_a_value_is_pickled_is_drawn_again(draw: Callable[[], Any], count: int, ready: int) -> None:
    random.seed(1)
    np.random.seed(1)
    for _ in range(ready):
        random.gauss(0, 1)
        np.random.standard_normal()
    before = generators.look()
    for _ in range(2):
        with generators.kept():
            for _ in range(count):
                draw()
        assert generators.equal(before, generators.look())


@pytest.mark.skipif(not hasattr(np.random, "set_bit_generator"), reason="numpy has it since 1.24")
def test_a_generator_of_another_kind_goes_on_where_it_was() -> None:
    legacy: Any = np.random  # its stubs do not know of these
    first = legacy.get_bit_generator()
    try:
        legacy.set_bit_generator(np.random.PCG64(1))
        before = generators.look()
        with generators.kept():
            np.random.random()
        assert generators.equal(before, generators.look())
    finally:
        legacy.set_bit_generator(first)


def test_a_step_that_moves_no_generator_is_known() -> None:
    assert not changing(lambda: np.random.default_rng(1).random()).moved
    assert changing(lambda: np.random.seed(3)).moved
    assert not changing(lambda: np.random.set_state(np.random.get_state())).moved


@pytest.mark.parametrize("name", ["random", "numpy.random"])
def test_drawing_is_told_from_seeding(name: str) -> None:
    seed = random.seed if name == "random" else np.random.seed
    draw = random.random if name == "random" else np.random.random_sample
    for count in (1, 311, 312, 5000):
        before = generators.look()
        for _ in range(count):
            draw()
        assert not generators.seeded(before, generators.look(), name)
    seed(1)
    assert generators.seeded(before, generators.look(), name)
    before = generators.look()
    draw()
    assert not generators.seeded(before, generators.look(), name)


def test_generators_stay_where_they_are_unless_asked_for() -> None:
    change = changing(random.random)
    state = random.getstate()
    random.random()
    moved = random.getstate()
    ambient.put_back(change.state, generators_too=False)
    assert random.getstate() == moved != state


def test_a_numpy_that_is_loaded_when_it_is_first_used_stays_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """wandb puts such modules among the others; asked for an attribute, they are loaded."""
    spec = importlib.util.find_spec("numpy")
    assert spec is not None and spec.loader is not None
    lazy = importlib.util.module_from_spec(spec)
    importlib.util.LazyLoader(spec.loader).exec_module(lazy)
    monkeypatch.setitem(sys.modules, "numpy", lazy)
    monkeypatch.delitem(sys.modules, "numpy.random")
    assert "numpy" not in generators.look()
    assert type(lazy) is not types.ModuleType


def test_another_bit_generator_of_numpy_comes_back() -> None:
    numpy_random: Any = np.random  # numpy does not declare these two
    original = numpy_random.get_bit_generator()
    try:
        change = changing(lambda: numpy_random.set_bit_generator(np.random.PCG64(5)))
        assert change.moved
        expected = np.random.random(3)
        numpy_random.set_bit_generator(original)
        ambient.put_back(change.state, generators_too=True)
        assert np.array_equal(np.random.random(3), expected)
    finally:
        numpy_random.set_bit_generator(original)


def test_what_keras_draws_from_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state, keras = types.ModuleType("keras.src.backend.common.global_state"), types.ModuleType("keras")
    code = """
import threading, types
import numpy as np
GLOBAL_STATE_TRACKER = threading.local()
def set_global_attribute(name, value): setattr(GLOBAL_STATE_TRACKER, name, value)
class Words(list):
    def numpy(self): return np.array(self)
    def assign(self, value): self[:] = value
class SeedGenerator:
    def __init__(self, seed, name=None): self.state = Words([seed, 0])
random = types.SimpleNamespace(SeedGenerator=SeedGenerator)
"""
    exec(code, vars(state))
    keras.random = state.random  # type: ignore[attr-defined]
    for module in (keras, state):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def draw(seed: int) -> None:
        state.set_global_attribute("global_seed_generator", state.SeedGenerator(seed))

    assert not changing(lambda: None).moved
    change = changing(lambda: draw(7))
    assert change.moved
    anew = changing(lambda: state.set_global_attribute("global_seed_generator", None)).state
    draw(3)
    ambient.put_back(change.state, generators_too=True)
    assert generators.look()["keras"] == [7, 0]
    ambient.put_back(anew, generators_too=True)
    assert generators.look()["keras"] == []


def test_what_tensorflow_draws_from_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow, inner = types.ModuleType("tensorflow"), types.ModuleType("tensorflow.python.eager.context")
    code = """
import random
class Context:
    _seed = None
_context = Context()
def context(): return _context
def set_seed(seed): _context._seed, _context._rng = seed, random.Random(seed)
"""
    exec(code, vars(inner))
    tensorflow.random = types.SimpleNamespace(set_seed=inner.set_seed)  # type: ignore[attr-defined]
    for module in (tensorflow, inner):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    assert not changing(lambda: None).moved
    seeded = changing(lambda: (inner.set_seed(7), inner._context._rng.random()))
    assert seeded.moved
    before = generators.look()
    following = inner._context._rng.random()
    after = generators.look()
    assert generators.moved(before, after) == {"tensorflow"}
    assert not generators.seeded(before, after, "tensorflow")
    inner.set_seed(3)
    assert generators.seeded(before, generators.look(), "tensorflow")
    ambient.put_back(seeded.state, generators_too=True)
    assert inner._context._seed == 7
    assert inner._context._rng.random() == following


def test_torch_comes_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is no dependency of the tests; run where it is installed")
    torch.manual_seed(1)
    before = generators.look()
    change = changing(lambda: torch.rand(2))
    assert change.moved
    assert not generators.seeded(before, generators.look(), "torch")
    assert generators.seeded({"torch": b"\0" * len(before["torch"])}, before, "torch")
    expected = torch.rand(3)
    torch.manual_seed(2)
    ambient.put_back(change.state, generators_too=True)
    assert torch.equal(torch.rand(3), expected)


def test_generators_are_equal_until_one_is_moved() -> None:
    first = generators.look()
    assert generators.equal(first, generators.look())
    random.random()
    assert not generators.equal(first, generators.look())


# --- single settings and lists ---


def test_the_working_directory_comes_back(tmp_path: Path) -> None:
    here = Path.cwd()
    change = run(lambda: os.chdir(tmp_path), lambda: os.chdir(here))
    assert change.names == ("cwd",)
    assert Path.cwd() == tmp_path


def test_a_folder_that_is_gone_is_an_error_and_nothing_changes(tmp_path: Path) -> None:
    here = Path.cwd()
    (tmp_path / "gone").mkdir()

    def step() -> None:
        os.chdir(tmp_path / "gone")
        os.environ["CKPT_TEST_NAME"] = "1"

    change = changing(step)
    os.chdir(here)
    (tmp_path / "gone").rmdir()
    del os.environ["CKPT_TEST_NAME"]
    with pytest.raises(CheckpointUnreadableError, match="gone: No such file or directory; make it, or run the step"):
        ambient.put_back(change.state, generators_too=True)
    assert Path.cwd() == here
    assert "CKPT_TEST_NAME" not in os.environ


def test_a_deleted_working_directory_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.chdir(tmp_path / "x")
    change = changing((tmp_path / "x").rmdir)
    assert change.names == ()


def test_recursion_limit_and_locale_come_back() -> None:
    limit = sys.getrecursionlimit()
    old = locale.setlocale(locale.LC_ALL)

    def step() -> None:
        sys.setrecursionlimit(limit + 7)
        locale.setlocale(locale.LC_NUMERIC, "C.UTF-8" if "LC_NUMERIC=C;" in old or old == "C" else "C")

    def undo() -> None:
        sys.setrecursionlimit(limit)
        locale.setlocale(locale.LC_ALL, old)

    change = run(step, undo)
    assert change.names == ("recursion limit", "locale")
    assert sys.getrecursionlimit() == limit + 7
    assert locale.setlocale(locale.LC_ALL) == change.state["settings"]["locale"] != old


def test_a_locale_that_is_not_installed_is_an_error() -> None:
    state = changing(lambda: None).state
    state["settings"]["locale"] = "xx_XX.NOWHERE"
    with pytest.raises(CheckpointUnreadableError, match="xx_XX.NOWHERE, which is not installed here; install it"):
        ambient.put_back(state, generators_too=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.insert(0, "/new"),
        lambda path: path.insert(1, "/new"),
        lambda path: path.append("src"),
        lambda path: path.remove(path[2]),
        lambda path: path.__setitem__(slice(None), ["/a", *path[1:], "/b"]),
    ],
)
def test_the_module_path_comes_back(change: Callable[[list[str]], None]) -> None:
    old = sys.path[:]
    assert run(lambda: change(sys.path), lambda: sys.path.__setitem__(slice(None), old)).names == ("sys.path",)
    expected = old[:]
    change(expected)
    assert sys.path == expected


@pytest.mark.parametrize("at", [0, 1, 2, 9])
def test_a_module_path_with_folders_that_are_in_it_twice_comes_back(at: int) -> None:
    before, old = sys.path[:], ["/a", "/b", "/a", "/c", "/a"]
    sys.path[:] = old
    try:
        run(lambda: sys.path.insert(at, "/new"), lambda: sys.path.__setitem__(slice(None), old))
        found = sys.path[:]
    finally:
        sys.path[:] = before
    expected = old[:]
    expected.insert(at, "/new")
    assert found == expected


def test_the_module_path_keeps_what_this_kernel_has() -> None:
    old = sys.path[:]
    state = changing(lambda: sys.path.insert(0, "/new")).state
    assert "site-packages" not in repr(state["lists"])
    sys.path[:] = [*old, "/here"]
    for _ in range(2):
        ambient.put_back(state, generators_too=True)
        assert sys.path == ["/new", *old, "/here"]


class NotebookWarning(UserWarning):
    """A category that only this module knows."""


def test_warning_filters_come_back() -> None:
    def start() -> None:
        warnings.resetwarnings()
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", ImportWarning)

    def step() -> None:
        warnings.filterwarnings("ignore", message="a .* b", module="m", category=NotebookWarning)
        warnings.simplefilter("error", append=True)
        warnings.simplefilter("ignore", RuntimeWarning)

    start()
    assert run(step, start).names == ("warning filters",)
    restored = list(warnings.filters)
    start()
    step()
    assert restored == warnings.filters
    assert len(restored) == 5


def test_a_warning_that_was_ignored_is_shown_once_its_filter_is_back() -> None:
    """Python remembers per module what it has filtered until it is told that the filters changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = changing(lambda: warnings.simplefilter("ignore")).state
    warnings.simplefilter("error")
    ambient.put_back(state, generators_too=True)
    warnings.warn("x", UserWarning, stacklevel=1)


def test_a_warning_class_that_is_not_there_is_an_error() -> None:
    state = changing(lambda: warnings.simplefilter("ignore", NotebookWarning)).state
    state["lists"]["warning filters"]["front"][0] = ("ignore", None, "__main__:Gone", None, 0)
    with pytest.raises(CheckpointUnreadableError, match="__main__:Gone"):
        ambient.put_back(state, generators_too=True)


# --- options ---


def test_the_environment_comes_back_by_name() -> None:
    os.environ["CKPT_TEST_GONE"] = "old"
    os.environ["CKPT_TEST_OTHER"] = "untouched"

    def step() -> None:
        os.environ["CKPT_TEST_NEW"] = "new"
        del os.environ["CKPT_TEST_GONE"]

    def undo() -> None:
        del os.environ["CKPT_TEST_NEW"]
        os.environ["CKPT_TEST_GONE"] = "old"

    change = run(step, undo)
    assert set(change.names) == {"environ:CKPT_TEST_NEW", "environ:CKPT_TEST_GONE"}
    assert os.environ["CKPT_TEST_NEW"] == "new"
    assert "CKPT_TEST_GONE" not in os.environ
    assert "untouched" not in repr(change.state)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS", "my_api_key", "GITHUB_TOKEN", "DB_PASSWORD", "X_CREDENTIALS"])
def test_secrets_are_refused_and_never_stored(name: str) -> None:
    def step() -> None:
        os.environ[name] = "hunter2"

    change = changing(step)
    assert change.names == (f"environ:{name}",)
    assert change.refused == (f"environ:{name} (looks like a secret)",)
    assert "hunter2" not in repr(change)


def test_a_deleted_secret_is_no_secret() -> None:
    os.environ["GITHUB_TOKEN"] = "hunter2"
    change = changing(lambda: os.environ.pop("GITHUB_TOKEN"))
    assert change.refused == ()
    os.environ["GITHUB_TOKEN"] = "other"
    ambient.put_back(change.state, generators_too=True)
    assert "GITHUB_TOKEN" not in os.environ


def test_the_patterns_of_secrets_can_be_chosen() -> None:
    before = ambient.look()
    os.environ["MY_TOKEN"] = "1"
    after = ambient.look()
    assert ambient.compare(before, after, secrets=("*PIN*",)).refused == ()
    assert ambient.compare(before, after, secrets=("my_*",)).refused != ()


def test_the_decimal_context_comes_back_in_place() -> None:
    context = decimal.getcontext()

    def step() -> None:
        context.prec = 50
        context.rounding = decimal.ROUND_UP
        context.traps[decimal.Inexact] = True

    def undo() -> None:
        context.prec = 28
        context.rounding = decimal.ROUND_HALF_EVEN
        context.traps[decimal.Inexact] = False

    change = run(step, undo)
    assert change.names == ("decimal prec", "decimal rounding", "decimal traps")
    assert decimal.getcontext() is context
    assert (context.prec, context.rounding, context.traps[decimal.Inexact]) == (50, decimal.ROUND_UP, True)


def test_flags_of_decimal_arithmetic_come_back_silently() -> None:
    decimal.getcontext().clear_flags()
    change = run(lambda: decimal.Decimal(1) / 3, decimal.getcontext().clear_flags)
    assert change.names == ()
    assert decimal.getcontext().flags[decimal.Inexact]


def test_numpy_options_come_back() -> None:
    def step() -> None:
        np.set_printoptions(precision=3, suppress=True)
        np.seterr(divide="raise")

    def undo() -> None:
        np.set_printoptions(precision=8, suppress=False)
        np.seterr(divide="warn")

    change = run(step, undo)
    assert set(change.names) == {
        "numpy print option precision",
        "numpy print option suppress",
        "numpy error state divide",
    }
    assert str(np.array([1.23456789])) == "[1.235]"
    with pytest.raises(FloatingPointError):
        np.array([1.0]) / 0


def test_pandas_options_come_back() -> None:
    def step() -> None:
        pd.set_option("display.max_rows", 7)
        pd.options.display.float_format = "{:.1f}".format

    def undo() -> None:
        pd.set_option("display.max_rows", 60)
        pd.reset_option("display.float_format")

    change = run(step, undo)
    assert set(change.names) == {"pandas option display.max_rows", "pandas option display.float_format"}
    assert change.refused == ()
    assert pd.get_option("display.max_rows") == 7
    assert "1.2" in repr(pd.Series([1.234]))
    assert "1.23" not in repr(pd.Series([1.234]))


def test_option_values_without_a_plain_form_are_left_to_the_pickle() -> None:
    def step() -> None:
        pd.options.display.float_format = lambda x: str(x)
        np.set_printoptions(formatter={"float": str})
        np.seterrcall(print)

    change = changing(step)
    assert change.refused == ()
    assert change.values.keys() == {
        ("pandas", "display.float_format"),
        ("numpy printing", "formatter"),
        ("numpy errors", "call"),
    }
    assert set(change.names) == {
        "pandas option display.float_format",
        "numpy print option formatter",
        "numpy error state call",
    }


@pytest.mark.parametrize(
    "made",
    [
        cycler.cycler(linestyle=["-", "--"], color=["r", "b"], marker=["x", "o"]),
        cycler.cycler(linestyle=["-", "--"]) * (cycler.cycler(color=["r", "b"]) + cycler.cycler(linewidth=[1, 2])),
    ],
)
def test_a_cycle_of_properties_comes_back_as_it_was_put_together(made: Any) -> None:
    old = matplotlib.rcParams["axes.prop_cycle"]
    run(
        lambda: dict.__setitem__(matplotlib.rcParams, "axes.prop_cycle", made),
        lambda: dict.__setitem__(matplotlib.rcParams, "axes.prop_cycle", old),
    )
    found = matplotlib.rcParams["axes.prop_cycle"]
    dict.__setitem__(matplotlib.rcParams, "axes.prop_cycle", old)
    assert repr(found) == repr(made)
    assert [[*one.items()] for one in found] == [[*one.items()] for one in made]


def test_a_cycle_of_properties_in_an_older_file_comes_back() -> None:
    older = {"axes.prop_cycle": {"ckpt_magic": "cycler", "value": {"color": ["r", "g"]}}}
    assert list(options.wanted("matplotlib", older)["axes.prop_cycle"]) == [{"color": "r"}, {"color": "g"}]


def test_matplotlib_parameters_come_back() -> None:
    old = dict.copy(matplotlib.rcParams)

    def step() -> None:
        matplotlib.rcParams["figure.dpi"] = 50
        matplotlib.rcParams["axes.prop_cycle"] = cycler.cycler(color=["r", "g"], linestyle=["-", ":"])
        matplotlib.rcParams["lines.dash_capstyle"] = "round"
        matplotlib.rcParams["figure.figsize"][0] = 9.0

    def undo() -> None:
        old["figure.figsize"][0] = 6.4
        dict.update(matplotlib.rcParams, old)

    change = run(step, undo)
    assert change.refused == ()
    assert set(change.names) == {
        "rcParams axes.prop_cycle",
        "rcParams figure.dpi",
        "rcParams figure.figsize",
        "rcParams lines.dash_capstyle",
    }
    assert matplotlib.rcParams["figure.dpi"] == 50
    assert list(matplotlib.rcParams["axes.prop_cycle"])[1] == {"color": "g", "linestyle": ":"}
    assert matplotlib.rcParams["lines.dash_capstyle"] == "round"
    assert matplotlib.rcParams["figure.figsize"] == [9.0, 4.8]


def test_the_backend_is_never_touched() -> None:
    other = "svg" if matplotlib.rcParams["backend"] != "svg" else "pdf"
    assert changing(lambda: matplotlib.use(other)).names == ()


def test_turning_interactive_drawing_off_is_said_and_on_is_not() -> None:
    """The kernel turns it on when the first figure is drawn."""
    matplotlib.interactive(False)
    on = run(lambda: matplotlib.interactive(True), lambda: matplotlib.interactive(False))
    assert on.names == ()
    assert matplotlib.is_interactive()
    off = run(lambda: matplotlib.interactive(False), lambda: matplotlib.interactive(True))
    assert off.names == ("rcParams interactive",)
    assert not matplotlib.is_interactive()


def test_an_option_that_this_version_does_not_have_is_an_error() -> None:
    state = changing(lambda: pd.set_option("display.max_rows", 7)).state
    state["options"]["pandas"]["display.unheard_of"] = 1
    pd.set_option("display.max_rows", 60)
    with pytest.raises(CheckpointUnreadableError, match=r"display\.unheard_of, which the installed pandas does not"):
        ambient.put_back(state, generators_too=True)
    assert pd.get_option("display.max_rows") == 60


def test_a_library_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    state = changing(lambda: pd.set_option("display.max_rows", 7)).state
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CheckpointUnreadableError, match="pandas cannot be imported here"):
        ambient.put_back(state, generators_too=True)


# --- libraries that the step is the first to import ---


def fresh(code: str) -> str:
    """Run code in a new interpreter in which nothing is imported."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=False,  # so that the message shows what it printed
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_step_that_only_imports_changes_no_option_and_moves_no_generator() -> None:
    out = fresh(
        """
        from ckpt_magic.values import ambient
        before = ambient.look()
        import numpy.random, pandas, matplotlib.pyplot
        change = ambient.compare(before, ambient.look())
        print([n for n in change.names if not n.startswith("warning")], change.moved, change.refused)
        """
    )
    assert out == "[] False ()"


def test_options_set_by_the_step_that_imports_come_back_elsewhere(tmp_path: Path) -> None:
    fresh(
        f"""
        from ckpt_magic.values import ambient
        import pickle
        before = ambient.look()
        import numpy as np, pandas as pd, matplotlib, decimal
        np.random.seed(4)
        np.set_printoptions(precision=2)
        pd.set_option("display.max_rows", 9)
        matplotlib.rcParams["figure.dpi"] = 33
        decimal.getcontext().prec = 5
        change = ambient.compare(before, ambient.look())
        assert change.moved and not change.refused, change
        pickle.dump(change.state, open({str(tmp_path / "state")!r}, "wb"))
        """
    )
    out = fresh(
        f"""
        from ckpt_magic.values import ambient
        import pickle, sys
        ambient.put_back(pickle.load(open({str(tmp_path / "state")!r}, "rb")), generators_too=True)
        import numpy as np, pandas as pd, matplotlib, decimal
        print(np.random.randint(1000), np.get_printoptions()["precision"], pd.get_option("display.max_rows"),
              matplotlib.rcParams["figure.dpi"], decimal.getcontext().prec)
        """
    )
    assert out == f"{np.random.RandomState(4).randint(1000)} 2 9 33.0 5"


def test_a_quiet_step_makes_nobody_import_matplotlib() -> None:
    out = fresh(
        """
        from ckpt_magic.values import ambient
        import sys
        state = {"generators": {}, "settings": {}, "lists": {}, "options": {"matplotlib": {"interactive": True}}}
        ambient.put_back(state, generators_too=True)
        print("matplotlib" in sys.modules)
        """
    )
    assert out == "False"


# --- secrets ---


@pytest.mark.parametrize(
    "name",
    "HF_TOKEN GITHUBTOKEN API_KEY OPENAI_API_KEY apikey AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID DB_PASSWORD PGPASSWORD "
    "MY_SECRET CLIENT_SECRETS GOOGLE_APPLICATION_CREDENTIALS SSHPASS DB_PASS key DB_PWD SSH_PASSPHRASE TOKEN2".split(),
)
def test_names_that_look_like_secrets(name: str) -> None:
    assert ambient.is_secret(name)


@pytest.mark.parametrize(
    "name",
    "TOKENIZERS_PARALLELISM KEYBOARD KEYBOARD_LAYOUT PASSAGES MONKEY MONKEY_PATCH PWD OLDPWD PATH BYPASS COMPASS_HOME "
    "CUDA_VISIBLE_DEVICES OMP_NUM_THREADS KEYCLOAK_URL PASSTHROUGH PYTHONHASHSEED".split(),
)
def test_names_that_do_not_look_like_secrets(name: str) -> None:
    assert not ambient.is_secret(name)


def test_patterns_of_the_user_are_compared_with_the_whole_name_and_its_parts() -> None:
    assert ambient.is_secret("MY_PLACE", ["place"])
    assert ambient.is_secret("MYPLACEIS", ["*PLACE*"])
    assert not ambient.is_secret("MY_TOKEN", ["place"])


def test_other_names_of_magics_are_told_and_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    nowhere: Any = None
    magics: dict[str, dict[str, Any]] = {"line": {"quick": MagicAlias(nowhere, "pinfo", "line", "-x")}, "cell": {}}
    manager = types.SimpleNamespace(magics=magics, register_alias=lambda *args: given.append(args))
    fake = types.SimpleNamespace(magics_manager=manager)
    found = dict(shell._magic_aliases(fake))
    assert found == {"%alias line quick": ("pinfo", "line", "-x")}
    monkeypatch.setattr(shell, "running", lambda: fake)
    shell.write(found)
    assert given == [("quick", "pinfo", "line", "-x")]
    shell.write({"%alias line quick": None})
    assert magics["line"] == {}
    told = {"line magic quick": "theirs.quick"}
    assert shell.not_there(told) == "line magic quick"
    assert shell.not_there({"extension theirs.magics": True, **told}) is None, "which is loaded then"


def test_code_that_a_cell_registered_is_told_and_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of what had its name, beside what is not the notebook's."""

    def made(name: str) -> Any:
        function = types.FunctionType((lambda *_: None).__code__, {"__name__": "__main__"}, name)
        function.__qualname__, function.__module__ = name, "__main__"
        return function

    theirs, old, other = len, made("a"), made("b")
    printer = types.SimpleNamespace(type_printers={int: old, str: theirs}, deferred_printers={})
    fake: Any = types.SimpleNamespace(
        events=types.SimpleNamespace(callbacks={"pre_run_cell": [old, theirs]}),
        display_formatter=types.SimpleNamespace(formatters={"text/html": printer}),
        magics_manager=types.SimpleNamespace(magics={"line": {"m": old}}, registry={"Ours": old, "Theirs": theirs}),
        register_magic_function=lambda code, kind, name: fake.magics_manager.magics[kind].update({name: code}),
        ast_transformers=[theirs, old],
        input_transformers_cleanup=[],
        input_transformers_post=[theirs],
        custom_exceptions=(),
    )
    transformers = fake.ast_transformers
    found = dict(shell._code(fake))
    assert found.pop("line magic m") is old
    assert found.pop("display of all as text/html") is printer
    assert not shell.is_registered("display of all as text/html")
    assert found == {
        "callback of pre_run_cell: __main__.a": [(old,)],
        "display of builtins.int as text/html": [("text/html", int, old)],
        "transformer __main__.a": [("ast_transformers", old)],
        "magics Ours": old,
    }
    assert all(map(shell.is_registered, found))
    assert shell.is_taken_away("display of builtins.int as text/html", None)
    monkeypatch.setattr(shell, "running", lambda: fake)
    new = made("a")
    shell.write({"line magic m": new, "line magic theirs": "told", "callback of pre_run_cell: __main__.a": [(new,)]})
    shell.write(
        {"callback of pre_run_cell: __main__.b": [(other,)], "transformer __main__.a": [("ast_transformers", new)]}
    )
    shell.write({"display of builtins.int as text/html": [("text/html", ("numpy", "ndarray"), new)]})
    shell.write({"magics Ours": None, "magics New": new})
    assert fake.magics_manager.magics == {"line": {"m": new}}
    assert fake.magics_manager.registry == {"Theirs": theirs, "New": new}
    assert fake.events.callbacks == {"pre_run_cell": [new, theirs, other]}
    assert (fake.ast_transformers, transformers) == ([theirs, new], [theirs, old]), "which the shell goes over"
    assert (printer.type_printers, printer.deferred_printers) == ({str: theirs}, {("numpy", "ndarray"): new})
    shell.write({"callback of pre_run_cell: __main__.a": None, "line magic m": None, "transformer __main__.a": None})
    assert fake.events.callbacks == {"pre_run_cell": [theirs, other]}
    assert (fake.magics_manager.magics, fake.ast_transformers) == ({"line": {}}, [theirs])


def test_folders_that_cd_came_from_are_told_and_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """`%cd -` goes back to the one before; where a kernel began is its own."""
    fake = types.SimpleNamespace(user_ns={"_dh": [Path("/began"), Path("/one"), Path("/two")]}, dir_stack=["/left"])
    found = shell._visited(fake)
    assert found == {"visited": [str(Path("/one")), str(Path("/two"))], "left": ["/left"]}
    other = types.SimpleNamespace(user_ns={"_dh": [Path("/here")]}, dir_stack=[])
    assert shell._visited(other) == {}
    monkeypatch.setattr(shell, "running", lambda: other)
    shell.write(found)
    assert other.user_ns["_dh"] == [Path("/here"), Path("/one"), Path("/two")]
    assert other.dir_stack == ["/left"]
    shell.write({"visited": None, "left": None})
    assert (other.user_ns["_dh"], other.dir_stack) == ([Path("/here")], [])


def test_a_step_runs_whose_magic_a_library_registers_only_when_it_is_called(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that the library registers when it is imported is there again; an extension prints nothing more."""
    register = "import IPython\ndef show(line): return line.upper()\nshell = IPython.get_ipython()\n"
    once = register + "shell.register_magic_function(show, 'line', '{}')\n"
    called = register + "def start(): shell.register_magic_function(show, 'line', '{}')\n"
    tells = "def load_ipython_extension(_): print('loaded')"
    for name, text in {"at_once_t": once, "when_called_t": called, "tells_t": tells}.items():
        (tmp_path / f"{name}.py").write_text(text.format(name))
    monkeypatch.syspath_prepend(tmp_path)
    cells = "import at_once_t", "import when_called_t\nwhen_called_t.start()", "%load_ext tells_t"

    def actions(start: str) -> list[str]:
        shell.run_line_magic("reset", "-f")
        shell.extension_manager.loaded.discard("tells_t")
        for name in ("at_once_t", "when_called_t"):
            shell.magics_manager.magics["line"].pop(name, None)
            monkeypatch.delitem(sys.modules, name, raising=False)
        shell.run_line_magic("ckpt_start", start)
        for number, cell in enumerate(cells, 1):
            assert shell.run_cell(f"%%step {number} --name m\n{cell}").success
        (pipeline,) = shell._ckpt_magic.registry.pipelines().values()
        assert shell.run_line_magic("when_called_t", "x") == "X"
        return [one.state for one in pipeline.steps.values()]

    assert actions("none") == ["ran", "ran", "ran"]
    assert actions("end") == ["restored", "ran", "restored"]
    assert capsys.readouterr().out.count("loaded") == 2, "that of the step, shown again"


def test_options_of_the_shell_come_back_and_a_formatter_of_a_library_makes_its_step_run(shell: Any) -> None:
    """rich puts a formatter of its own in the place of the one that has the options of plain text."""
    without = "nocolor" if shell.colors.islower() else "NoColor"  # as IPython of this version writes it
    cells = (
        f"%config Completer.greedy = True\n%config IPCompleter.use_jedi = False\n%colors {without}",
        "import rich.pretty\nrich.pretty.install()",
        "x = 1",
    )
    formatters = shell.display_formatter.formatters
    plain_text, colors = formatters["text/plain"], shell.colors

    def actions(start: str) -> list[str]:
        shell.run_line_magic("config", "Completer.greedy = False")
        shell.run_line_magic("config", "IPCompleter.use_jedi = True")
        shell.run_line_magic("colors", colors)
        formatters["text/plain"] = plain_text
        shell.run_line_magic("ckpt_start", start)
        for number, cell in enumerate(cells, 1):
            assert shell.run_cell(f"%%step {number} --name m\n{cell}").success
        (pipeline,) = shell._ckpt_magic.registry.pipelines().values()
        assert (shell.Completer.greedy, shell.Completer.use_jedi, shell.colors.lower()) == (True, False, "nocolor")
        assert type(formatters["text/plain"]).__name__ == "RichFormatter"
        return [one.state for one in pipeline.steps.values()]

    try:
        assert actions("none") == ["ran", "ran", "ran"]
        assert actions("end") == ["restored", "ran", "restored"]
    finally:
        formatters["text/plain"] = plain_text
        shell.run_line_magic("colors", colors)


def test_options_of_inline_figures_wait_for_the_first_figure(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = "%config InlineBackend.figure_formats = {'svg', 'png'}\n%config InlineBackend.close_figures = False"
    monkeypatch.delitem(sys.modules, "matplotlib_inline.backend_inline", raising=False)
    try:
        for start, state in (("none", "ran"), ("end", "restored")):
            shell.config.pop("InlineBackend", None)
            shell.run_line_magic("ckpt_start", start)
            assert shell.run_cell(f"%%step 1 --name m\n{cell}").success
            (pipeline,) = shell._ckpt_magic.registry.pipelines().values()
            assert pipeline.steps[1].state == state
            options = shell.config.InlineBackend
            assert ({*options.figure_formats}, options.close_figures) == ({"svg", "png"}, False)
    finally:
        shell.config.pop("InlineBackend", None)


def test_options_of_jax_are_read_and_given(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"jax_enable_x64": False, "jax_platforms": "cpu", "jax_numpy_rank_promotion": "allow"}
    fake: Any = types.ModuleType("jax")
    fake.config = types.SimpleNamespace(values=values, update=values.__setitem__)
    monkeypatch.setitem(sys.modules, "jax", fake)

    before = options.look({"jax"})["jax"]
    fake.config.update("jax_enable_x64", True)
    after = options.look({"jax"})["jax"]

    assert "jax_platforms" not in after
    for first in (before, None):  # imported before, or by the step
        assert options.changes("jax", first, after) == {"jax_enable_x64": True}
    values["jax_enable_x64"] = False
    options.write("jax", options.wanted("jax", {"jax_enable_x64": True}))
    assert values["jax_enable_x64"] is True


def test_a_step_that_connects_sql_runs_and_those_that_ask_are_restored(run_in_fork: RunInFork, tmp_path: Path) -> None:
    """The library of the magic keeps the connection for all cells that follow, and nobody sees it in a variable."""
    package = tmp_path / "site" / "sql"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from sql import connection\n"
        "def load_ipython_extension(shell): shell.register_magic_function(connection.sql, 'line')\n"
    )
    (package / "connection.py").write_text(
        textwrap.dedent(
            """
            class Connection:
                connections = {}
                current = None
                def __init__(self, url):
                    self.ask = lambda: url
                    Connection.connections[url] = Connection.current = self
            def sql(line):
                if "://" not in line:
                    return Connection.current.ask()
                Connection(line)
            """
        )
    )
    installed = f"import sys\nfrom ckpt_magic.values import owned\nsys.path.insert(0, {str(package.parent)!r})\n"
    installed += f"owned.installed = lambda: ({str(package.parent)!r}, sys.prefix, sys.base_prefix)"
    steps = "%load_ext sql\n%sql one://", "asked = %sql SELECT", "%sql two://", "again = %sql SELECT"
    cells = [installed, "%ckpt_config --name m", *(f"%%step {at}\n{text}" for at, text in enumerate(steps, 1))]

    def actions(start: str) -> list[str]:
        ran = run_in_fork(cells, env={"CKPT_START_FROM": start})
        assert "two://" in ran.names["again"]
        return re.findall(r"step \d · (\w+)", ran.text)

    assert actions("none") == ["saved"] * 4
    assert actions("end") == ["saved", "restored", "saved", "restored"]


def test_faults_are_told_of_where_the_stream_of_errors_has_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_on = faulthandler.is_enabled()
    with monkeypatch.context() as process, open(os.devnull, "w") as file:
        process.setattr(sys, "stderr", io.StringIO())
        for start in (0, 2):
            faulthandler.disable()
            kernel = Kernel(tmp_path / "c", start)
            kernel.names["file"] = file
            kernel.step(1, "import faulthandler\nfaulthandler.enable(file)")
            assert faulthandler.is_enabled()
    (faulthandler.enable if was_on else faulthandler.disable)()
