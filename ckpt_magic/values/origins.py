"""Where the values of names come from, by code alone: the statements, and the steps, that lead to a name.

A history is what ran, or will run, above a place: statements of unmarked cells, and steps with what they left. The
*origin* of a name is a digest of the part of a history that can have made its value. It is the same for two
histories only if they have the same code on the way to the name, in the same order.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import heapq
import operator
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, cast

from ckpt_magic.values import changing, essence, source
from ckpt_magic.values.standins import StandIns

CHANCE: Final = "<random>"
"""Stands for the random generators."""

SURROUNDINGS: Final = "<surroundings>"
"""Stands for the environment, the working directory and options of libraries; `<surroundings cwd>` for a part."""

ANY_VARIABLE: Final = "<surroundings environ ?>"
"""Stands for variables of the environment whose names are not written down."""

FILES: Final = "<files>"
"""Stands for files that cells write; `<files data.csv>` for those of a name, `<files ?>` for those whose name is not
written down, `<files *>` for all of them."""

ABOVE: Final = "<read above>"
"""Stands for what cells do to the files and variables that cells read."""

OWN: Final = "<own modules>"
"""Stands for what cells do to what modules of the user's own hold."""

FAR: Final = ("codecs", "copyreg")
"""Modules that hold what works on code which never names them."""

_UNKNOWN: Final = object()
_IMPORTS: Final = (ast.Import, ast.ImportFrom)
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_OF_CHANCE: Final = frozenset(
    {"random", "seed", "default_rng", "RandomState", "setstate", "set_state", "manual_seed", "set_rng_state", "shuffle"}
    | {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "multinomial"}
    | {"rvs", "DataLoader", "Dropout", "dropout", "Linear", "Bilinear", "Embedding", "EmbeddingBag", "RNN", "LSTM"}
    | {"GRU", "Conv1d", "Conv2d", "Conv3d", "MultiheadAttention", "Transformer", "TransformerEncoderLayer"}
    | {"sample", "bootstrap", "permutation_test", "monte_carlo_test", "differential_evolution", "dual_annealing"}
    | {"basinhopping", "kmeans", "kmeans2", "spring_layout"}
)  # layers draw what they begin with
_SEPARATE: Final = frozenset({"default_rng", "RandomState"})  # what they make leaves the generators of libraries alone
_OF_SURROUNDINGS: Final = {
    **dict.fromkeys(("environ", "putenv", "unsetenv", "load_dotenv", "set_env", "env"), "environ"),
    **dict.fromkeys(("chdir", "cd"), "cwd"),
    **dict.fromkeys(("path", "addsitedir"), "path"),
    **dict.fromkeys(("simplefilter", "filterwarnings"), "warnings"),
    **dict.fromkeys(("basicConfig", "setLevel"), "logging"),
    **dict.fromkeys(("getcontext", "setcontext"), "decimal"),
    **dict.fromkeys(("set_option", "reset_option", "options", "set_config", "Config"), "libraries"),
    **dict.fromkeys(("set_default_dtype", "set_grad_enabled", "use_deterministic_algorithms"), "libraries"),
    **dict.fromkeys(("nest_asyncio", "nest_asyncio2"), "loops"),
    **dict.fromkeys(("rcParams", "rc", "rcdefaults", "xkcd"), "drawing"),
    **dict.fromkeys(("set_theme", "set_style", "set_palette", "set_context"), "drawing"),
    "argv": "argv",
    **dict.fromkeys(("set_printoptions", "precision", "alias"), "text"),
    **dict.fromkeys(("setlocale", "tzset", "umask", "seterr", "seterrcall", "setrecursionlimit"), "rest"),
    **dict.fromkeys(("set_int_max_str_digits", "setswitchinterval", "set_threshold", "setdefaulttimeout"), "rest"),
}
_OF_COMPLETION: Final = re.compile(r"(IP)?Completer\.")
_SETTING_ENVIRON: Final = {word for word, topic in _OF_SURROUNDINGS.items() if topic == "environ"} - {"environ"}
_OTHER_OPTIONS: Final = frozenset({"mode", "compute", "future", "io", "plotting", "styler"})
_EASING: Final = _OF_CHANCE | _OF_SURROUNDINGS.keys()
FIGURES: Final = "<surroundings figures>"
"""Stands for the figures that are open after a cell: none, where the front end shows and closes them."""

TOPICS: Final = frozenset(_OF_SURROUNDINGS.values()) - {"environ"} | {"figures"}
"""Parts of the surroundings; those of the environment are `environ NAME`, for all that begin so `environ PANDAS_`,
and `environ ?` where the name is not written down, `environ *` for all of them."""

# What writes files; the second only of code that has one of the third.
_WRITING: Final = frozenset(
    (
        "write writelines write_text write_bytes dump save savez savez_compressed savetxt tofile savefig copyfile "
        "copytree unlink rmtree makedirs urlretrieve extractall symlink_to to_csv to_parquet to_pickle to_json "
        "to_feather to_excel to_hdf to_sql to_orc to_file to_html to_zarr to_netcdf system getoutput Popen "
        "check_call check_output writestr writerow writerows writeheader HDFStore shelve"
    ).split()
)
_MOVING: Final = frozenset({"copy", "copy2", "move", "rename", "replace", "remove", "touch", "mkdir", "run", "call"})
_STARTING: Final = frozenset({"system", "getoutput", "Popen", "subprocess", "run_cell_magic", "run_line_magic"})
_MOVERS: Final = frozenset({"shutil", "os", "Path", "pathlib", "subprocess"})
_WRITING_STARTS: Final = ("write_", "save_", "dump_", "sink_", "download")
_MODES: Final = frozenset(
    {"w", "a", "x", "wb", "ab", "xb", "wt", "at", "w+", "r+", "a+", "wb+", "w+b", "r+b", "rb+", "w:gz", "w:bz2", "w:xz"}
)
_OPENING: Final = ("open", "File", "memmap")  # how words end of what opens files in such a mode
_SHELLS: Final = frozenset({"bash", "sh", "script", "perl", "ruby", "system", "sx", "cmd", "writefile", "file"})
_LOOKING: Final = re.compile(r"(pip|conda|uv|ls|pwd|which|cat|head|tail|wc|du|df|free|nvidia-smi)\b[^>|;&]*")
_FILE_NAME: Final = re.compile(r"[^\s*?]*?([^\s/*?]*\w\.\w+)")
# Words of code whose outcome may be another one each time, whatever its text.
_OPEN: Final = (
    frozenset(
        (
            "open read readline readlines dataset read_text read_bytes environ getenv now today utcnow time time_ns "
            "uuid1 uuid4 urandom token_hex urlopen urlretrieve requests httpx connect input getpass listdir scandir "
            "glob rglob iterdir walk perf_counter monotonic getcwd system run Popen check_output getoutput fromfile "
            "loadtxt genfromtxt memmap load loads_from exists lexists isfile is_file isdir is_dir getsize getmtime "
            "stat expandvars expanduser find_spec argv"
        ).split()
    )
    | essence.TEXT_READERS  # comments count
)
# Those of them by which objects of libraries are asked, which are no modules: files, paths.
_OF_FILES: Final = frozenset(
    "open read readline readlines read_text read_bytes exists is_file is_dir iterdir glob rglob walk stat".split()
)
_DATA: Final = frozenset({"environ", "argv"})
# By these a text in the code may become a word of it.
_BY_TEXT: Final = frozenset(
    "getattr attrgetter methodcaller __getattribute__ __dict__ vars globals locals __import__ import_module".split()
) | {"getmembers", "eval", "exec", "run_line_magic", "run_cell_magic"}
# What modules are found and made by, whoever imports them.
_IMPORTING: Final = frozenset({"meta_path", "path_hooks", "__import__"})
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*(?==|$)")
# Those of kernels too, which plans have not.
_BUILTINS: Final = frozenset(dir(builtins)) | {"display", "get_ipython", "execfile", "runfile", "__IPYTHON__"}
_STANDARD: Final = sys.stdlib_module_names
# Libraries of which all that is set by a word of the surroundings is known as such.
_KNOWN: Final = sys.stdlib_module_names | {"numpy", "pandas", "matplotlib", "sklearn", "polars", "torch", "scipy"}
# Modules that calls change in nothing that is not told as surroundings, chance or files, unless their names say so.
_CALM: Final = frozenset(
    "numpy pandas sklearn scipy polars torch matplotlib seaborn math os json re itertools functools collections "
    "pathlib time datetime random statistics string glob shutil operator copy pickle io hashlib base64 typing "
    "fractions textwrap zipfile gzip uuid dataclasses enum calendar bisect heapq".split()
)
# Those of them that ask for nothing but files and folders, as is seen, and for variables of the environment.
_SEEN: Final = frozenset(
    "open read readline readlines read_text read_bytes load fromfile loadtxt genfromtxt environ getenv read_csv "
    "read_table read_fwf read_json read_pickle read_excel listdir scandir glob rglob iterdir walk exists lexists "
    "isfile is_file isdir is_dir getsize getmtime stat expandvars expanduser".split()
)
_SEEN_IN: Final = frozenset(
    "pandas numpy yaml joblib toml tomli dotenv scipy sklearn matplotlib seaborn PIL tqdm torch openpyxl".split()
)
OF_ENVIRON: Final = source.ENVIRON | {"expandvars", "expanduser"}
"""Those that ask for variables of the environment."""
_OPEN_STARTS: Final = ("read_", "scan_", "load_", "fetch_", "open_")
_GIVEN: Final = frozenset({"load_state_dict", "load_ext"})  # what these load is given to them, or told by its text


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of an unmarked cell."""

    digest: str
    binds: Set[str] = frozenset()
    sure: Set[str] = frozenset()
    """Bound whatever they held before."""
    reads: Set[str] = frozenset()
    holds: Set[str] = frozenset()
    """Those of the names it reads of which it may give something to the names that it binds."""
    touches: Set[str] = frozenset()
    """Names whose values it may change in place."""
    eased: Set[str] = frozenset()
    """Those of them that it does not change if they are of libraries: it makes objects of a class, or sets what is
    told as surroundings or as chance."""
    called: Set[str] = frozenset()
    """Those of them that it does no more to than to call what they are or have, by no word that says of a change."""
    asleep: Mapping[str, Set[str]] = field(default_factory=dict)
    """What functions read that it defines."""
    later: Mapping[str, Set[str]] = field(default_factory=dict)
    """Names that those lead to which it binds, or puts something into, when they are used."""
    changes: Mapping[str, Set[str]] = field(default_factory=dict)
    """What the functions and classes that it defines may change in place when they are called."""
    stores: Set[str] = frozenset()
    """Names whose values it changes by its very words, or lets those do so that it defines: `x[0] = 1`."""
    risks: Set[str] = frozenset()
    """Names of what it gives to code of the user's own that changes what it is given, if it comes to that."""
    keepers: Set[str] = frozenset()
    """The user's own modules that may keep what it gives to what is in them."""
    borrowed: Set[str] = frozenset()
    """Functions whose outcome it may change in place."""
    kept: Set[str] = frozenset()
    """Functions and objects that it gives to what may call them later, and what lambdas change that it gives so."""
    lends: bool = False
    """It defines a function that may give something of what other names hold."""
    taken: Mapping[str, str] = field(default_factory=dict)
    """The user's own modules of which it takes values that they hold, each with a digest of its text."""
    imports: Set[str] = frozenset()
    anything: bool = False
    """It may bind and change names that are not written in it."""
    opens: str = ""
    """A word that makes its outcome, or that of what it defines, depend on more than its code; empty if none does."""
    varying: Set[str] = frozenset()
    """All of these words."""
    spelled: Set[str] = frozenset()
    """Texts in it that are such words if something makes words of texts: `getattr(time, "time")`."""
    at_once: Set[str] = frozenset()
    """Those of what a definition calls when it is made: in defaults, decorators and the bodies of classes."""
    words: Set[str] = frozenset()
    texts: Set[str] = frozenset()
    modules: Set[str] = frozenset()
    """Names that it binds to modules."""
    deletes: Set[str] = frozenset()
    libraries: Set[str] = frozenset()
    """Names that it binds to something of libraries of which all surroundings are known."""
    calm: Set[str] = frozenset()
    """Names that it binds to what is not changed by being called: functions, and what such libraries have."""
    value: Any = _UNKNOWN
    """What it binds, if that is written down in it."""
    foreign: Set[str] = frozenset()
    """Names that it binds to what is not the user's own, nor of Python: `signal.signal` gives what was set before."""
    gives: bool = False
    """It is there for the value that it binds."""

    @property
    def is_literal(self) -> bool:
        """Whether the value that it binds is written down in it."""
        return self.value is not _UNKNOWN


@dataclass(frozen=True, slots=True)
class Step:
    """A step.

    Attributes
    ----------
    number
        Its number.
    left
        Per name the digest of what it left; None for a step that will run, and leaves nobody knows what.
    deleted
        Names that it deleted.
    code
        The statements of its code, as far as somebody has read it.
    """

    number: int
    left: Mapping[str, str | None]
    deleted: Set[str] = frozenset()
    code: Sequence[Statement] = ()

    @property
    def defining(self) -> Iterator[Statement]:
        """The statements that import something, or define functions or classes."""
        return (one for one in self.code if one.imports or one.changes or one.asleep)


Event = Statement | Step


@dataclass(frozen=True, slots=True)
class Lent:
    """What the user's own modules do for a statement: the words of that code, and a digest of it."""

    words: frozenset[str] = frozenset()
    digest: str = ""


class Lender(Protocol):
    """Gives what is lent to a statement that has these words and imports these modules."""

    stand_ins: StandIns
    """What names stand for, above it."""

    def __call__(self, words: Set[str], imports: Set[str], /) -> Lent: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a name comes from."""

    digest: str
    opens: tuple[str, ...] = ()
    """Words on the way that make it depend on more than code."""
    varies: frozenset[str] = frozenset()
    """All of these words."""
    places: tuple[int, ...] = ()
    """Places of the statements on the way."""
    imports: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    runs: tuple[int, ...] = ()
    """Steps on the way that will run."""
    last: Statement | None = field(default=None, compare=False)
    """The statement that bound it, if that is all there is."""


def may_vary(word: str) -> bool:
    """Whether a word stands for what may give another value each time."""
    return word in _OPEN or (word.startswith(_OPEN_STARTS) and word not in _GIVEN)


def reads_files(words: Set[str]) -> bool:
    """Whether code with these words is known to be what reads files."""
    return any(may_vary(word) for word in words - source.ENVIRON)


def reads_only(varies: Set[str], imports: Set[str], texts: Iterable[str]) -> bool:
    """Whether what makes a value vary is what Python is seen to ask for, alone: files, folders, the environment."""
    tops = {name.partition(".")[0] for name in imports} - sys.stdlib_module_names
    return varies <= _SEEN and tops <= _SEEN_IN and not any("://" in text for text in texts)


def statements(tree: ast.Module, lender: Lender) -> Iterator[Statement]:
    """Take an unmarked cell apart; what an import binds has nothing to do with what else it binds.

    Lines that only ask us for something are none of it: with another start point a cell is the same.
    """
    for node in tree.body:
        if source.only_asks_us(node):
            continue
        if (run := source.code_run_by(node)) is not None:
            yield from statements(ast.Module(run[0], []), lender)
            if run[1]:
                continue
        if isinstance(node, ast.Import):
            yield from (_statement(ast.Import([one]), lender) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_statement(ast.ImportFrom(node.module, [one], node.level), lender) for one in node.names)
        else:
            yield _statement(node, lender)


class Past:
    """What ran, in order, and where the values that names have after it come from.

    Steps ask for each name that they read, and most of what ran has nothing to do with it: names lead to the events.

    Parameters
    ----------
    events
        Statements and steps, oldest first.

    Attributes
    ----------
    events
        The same.
    imports
        The modules that statements among them import.
    modules
        Names bound by imports.
    haunted
        Names of what functions change that any code may call: a library was given them (`sys.excepthook = note`).
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = []
        self._asleep, self._later, self._changes = _Leading(), _Leading(), _Leading()
        self._called: dict[str, Set[str]] = {}  # what a function changes, if it does, by calling it
        self.modules: Set[str] = set[str]()  # functions change what is in them
        self._libraries: Set[str] = set[str]()
        self._calm: Set[str] = set[str]()
        self._foreign: Set[str] = set[str]()
        self._values = set[str]()  # bound by what imports nothing
        self.imports = set[str]()
        self._importing: list[Statement] = []
        self._lending: Set[str] = set[str]()  # functions that may give something of what other names hold
        self._alters: dict[str, Set[str]] = {}  # what a function changes by its very words
        self._giving: dict[str, tuple[Set[str], Set[str]]] = {}  # what functions give away, and what they change
        self._givers: Set[str] = frozenset[str]()  # those that give away something
        self.haunted: Set[str] = frozenset[str]()
        self._shared: dict[str, str] = {}  # by the names that steps left, what stands for all that they share
        self._acts: Past | None = None  # the statements that do more than import
        self._files: dict[str, Set[str]] = {}  # and figures, by the names of what writes into them
        # places in the events
        self._anything: list[int] = []
        self._binding: _Places = {}
        self._making: _Places = {}  # that bind it to what it holds
        self._using: _Places = {}  # that read it to bind others
        self._touching: _Places = {}
        self._mentioned = set[str]()  # all names of statements
        self._joining: _Places = {}  # that may put what one holds into what others hold
        self._joined: dict[int, Set[str]] = {}  # by place
        self._touched: dict[int, tuple[Set[str], Set[str]]] = {}  # by place; and the names on the way to these
        self._origins: dict[frozenset[str], tuple[Origin, Set[str]]] = {}  # and all names that had to do with each
        self.add(events)

    @property
    def statements(self) -> Iterator[Statement]:
        """The events that are no steps."""
        return (event for event in self.events if isinstance(event, Statement))

    def add(self, events: Iterable[Event]) -> None:
        """Go on."""
        for event in events:
            at = len(self.events)
            self.events.append(event)
            if isinstance(event, Step):
                names = {*event.left, *event.deleted}
                _note(self._binding, names, at)
                self._shared.update({name: f"{at} {made}" for name, made in event.left.items() if made is not None})
                self._forget(names)
                if event.code:
                    self.learn(at, event.code)
                continue
            changed = self._take_in(event)
            if event.imports:
                self.imports |= event.imports
            if event.anything:
                self._anything.append(at)
            for name in event.binds:
                self._shared.pop(name, None)
            lent = self.lent_by(event.holds)
            files = self._files_of(event.holds) | {one for one in event.touches if one.startswith(("<files", FIGURES))}
            if not event.changes and (files or not event.binds.isdisjoint(self._files)):
                self._files |= dict.fromkeys(event.binds, files)
            self._mentioned |= event.binds | event.reads | lent
            _note(self._binding, event.binds, at)
            if not event.asleep:
                _note(self._making, event.binds, at)
            if event.binds and not event.is_literal:
                meant = set[str]().union(*event.later.values()) if not event.changes else set()
                calm = self._calm - meant  # what these make holds nothing of them
                _note(self._using, (event.holds - calm) | lent, at)
            touched = self._note_touched(at, event)
            self._haunt(event)
            if stored := self.stored_by([event]) - self.modules:
                self._joined[at] = stored | (event.reads & self._values) - self._asleep.names
                _note(self._joining, self._joined[at], at)
                changed |= self._joined[at]
            if event.imports or event.anything:
                self._origins.clear()
            self._forget(changed | event.binds | event.reads | event.touches | touched)
            if self._acts is not None:
                self._acts.act(event)

    def act(self, event: Statement) -> None:
        """Go on; of a plain import no more counts than what it binds."""
        if event.reads or not event.imports:
            self.add([event])
        else:
            self.define([event])

    def learn(self, at: int, code: Sequence[Statement]) -> None:
        """Take in the code of the step in this place: statements that come after it use what it defines and imports."""
        step = cast("Step", self.events[at])
        self.events[at] = replace(step, code=code)
        self.define(code)
        for one in code:
            self._haunt(one)
        self._values |= step.left.keys() - set[str]().union(*(one.binds for one in code if one.imports))
        self._forget({*step.left})
        if self._acts is not None:
            self._acts.add([Step(step.number, {}, code=code)])

    def define(self, code: Iterable[Statement]) -> None:
        """Take in what code defines and imports, and nothing else of it."""
        for one in code:
            self._forget(self._take_in(one) | one.binds)
            if one.imports:
                self._origins.clear()

    def _take_in(self, event: Statement) -> set[str]:
        """Note what names lead to from here on; returns those that lead elsewhere, or that others touch now."""
        if event.imports:
            self._importing.append(event)
        self._alters.update(dict.fromkeys(event.changes, event.stores))
        known = self._libraries, self._calm, self._foreign, self.modules, self._lending
        self._libraries = self._libraries - event.binds | event.libraries
        self._lending = self._lending - event.binds | (event.changes.keys() if event.lends else set())
        self._calm = self._calm - event.binds | event.calm
        self._foreign = self._foreign - event.binds | event.foreign
        if event.imports:
            self.modules = self.modules | (event.binds if not event.reads else set())
        else:
            self._values |= event.binds
        now = self._libraries, self._calm, self._foreign, self.modules, self._lending
        changed = set[str]().union(*map(operator.xor, known, now))
        changed |= self._later.update(event.later) | self._asleep.update(event.asleep)
        changed |= self._changes.update(event.changes)
        called = dict.fromkeys(event.changes, event.called)
        changed |= {name for name in called if self._called.get(name) != called[name]}
        self._called.update(called)
        found = set(changed)
        for at, (touched, way) in list(self._touched.items()) if changed else ():
            if not way.isdisjoint(changed):
                for name in touched:
                    self._touching[name].remove(at)
                found |= touched | self._note_touched(at, self.events[at])
        return found

    def _note_touched(self, at: int, event: Event) -> Set[str]:
        assert isinstance(event, Statement)
        touched = self._touched_by(event)
        if self.haunted and not (event.imports or event.changes or event.is_literal):
            touched = touched | self.haunted
        way = self._later.ends(event.touches | event.borrowed)
        self._touched[at] = touched, way | self._changes.ends(way) | self._asleep.ends(way)
        _note(self._touching, touched, at)
        self._mentioned |= touched
        return touched

    def _haunt(self, event: Statement) -> None:
        """Note what any code may change from here on, by what a statement gives away."""
        if event.changes:
            self._giving.update(dict.fromkeys(event.changes, (event.kept, event.stores | event.risks)))
            self._givers |= event.changes.keys() if event.kept else set()
            return
        givers = self._givers & self._asleep.ends(event.reads) if self._givers else ()
        if given := set(event.kept).union(*(self._giving[name][0] for name in givers)):
            called = self._changes.ends(self._later.ends(given)) & self._giving.keys()
            changed = (given - self._giving.keys()).union(*(self._giving[name][1] for name in called))
            self.haunted |= changed - self._giving.keys() - self.modules

    def _forget(self, names: Set[str]) -> None:
        """Forget the origins that have to do with these names."""
        self._origins = {asked: known for asked, known in self._origins.items() if known[1].isdisjoint(names)}

    def of_modules(self, modules: Iterable[str]) -> Origin:
        """Where what modules hold comes from, the modules as they are imported aside."""
        names = self._ways_to(modules, above=False)
        if not names:
            return NOTHING
        if self._acts is None:
            self._acts = Past()
            for event in self.statements:
                self._acts.act(event)
        return self._acts.origin(*names)

    def _ways_to(self, modules: Iterable[str], *, above: bool = True) -> set[str]:
        """Names of modules, of what lies below them and, if asked for, of the packages `above`."""
        names = set[str]()
        for event in self._importing:
            for module in modules:
                if any(
                    f"{one}.".startswith(f"{module}.") or (above and module.startswith(f"{one}."))
                    for one in event.imports
                ):
                    names |= event.binds & {module} or event.binds
        return names

    def origin(self, *names: str) -> Origin:
        """Where the value of a name comes from, or the values of several names."""
        asked = frozenset(names)
        if asked not in self._origins:
            self._origins[asked] = self._origin(asked)
        return self._origins[asked][0]

    def _origin(self, names: Set[str]) -> tuple[Origin, Set[str]]:
        """Find it, and all names that have to do with it."""
        needed = self._later.ends(names)
        others, concerned = self._aliases(needed)
        on_the_way: list[Event] = []
        placeless: list[str] = []
        digest = hashlib.blake2b(digest_size=12)
        opens: dict[str, None] = {}
        varies: set[str] = set()
        spelled: set[str] = set()
        places: list[int] = []
        imports: set[str] = set()
        words: set[str] = set()
        texts: set[str] = set()
        called: set[str] = set()
        runs: dict[int, None] = {}
        way = _Way(backwards=True)
        way.go_to(self._anything)
        way.follow(needed, self._binding)
        way.follow(needed | others, self._touching)
        for at in way:
            event = self.events[at]
            if isinstance(event, Step):
                left = needed & (event.left.keys() | event.deleted)
                for one in sorted(left):
                    made = event.left.get(one, "deleted")
                    digest.update(f"step {event.number} {one} {made};".encode())
                    if made is None:
                        runs[event.number] = None
                for defining in event.defining:
                    if not left.isdisjoint(defining.binds):
                        imports |= defining.imports
                        words |= defining.words
                        texts |= defining.texts
                        spelled |= defining.spelled
                        if defining.opens:
                            opens[defining.opens] = None
                            varies |= {defining.opens, *defining.varying}
                needed -= left
                if left:
                    on_the_way.append(event)
                continue
            if not event.anything and needed.isdisjoint(event.binds):
                touches, _ = self._touched[at]
                if needed.isdisjoint(touches) and others.isdisjoint(touches):
                    continue
            on_the_way.append(event)
            if self._is_placeless(event):
                placeless.append(event.digest)
                concerned |= event.binds
            else:
                digest.update(f"{event.digest};".encode())
            woken = self._later.ends(event.reads)
            concerned |= woken
            if not event.changes:
                called |= woken
            if event.opens and (not event.changes or event.binds & called):
                opens[event.opens] = None
                varies |= {event.opens, *event.varying}
            for word in sorted(event.at_once):
                opens[word] = None
                varies.add(word)
            spelled |= event.spelled
            places.append(at)
            imports |= event.imports
            words |= event.words
            texts |= event.texts
            if event.imports:  # what was done to the module before is done
                others |= needed & event.sure | self._ways_to(event.imports)
                concerned |= others
                way.follow(others, self._touching)
            needed = (needed - event.sure) | woken
            others |= self._sharing(woken)
            concerned |= others
            way.follow(woken, self._binding)
            way.follow(woken | others, self._touching)
        if spelled and not words.isdisjoint(_BY_TEXT):
            opens |= dict.fromkeys(sorted(spelled))
            varies |= spelled
        digest.update(";".join(sorted(placeless)).encode())
        single = on_the_way[0] if len(on_the_way) == 1 else None
        origin = Origin(
            digest.hexdigest(),
            tuple(opens),
            frozenset(varies),
            tuple(places),
            frozenset(imports),
            frozenset(words),
            frozenset(texts),
            tuple(sorted(runs)),
            single if isinstance(single, Statement) and single.is_literal else None,
        )
        return origin, concerned

    def _is_placeless(self, event: Statement) -> bool:
        """Whether a statement does the same wherever it stands: it gives names their only value.

        That is a function, an import or what is written down; code that is above it does not ask for it.
        """
        is_known = event.is_literal or (event.imports and not event.touches) or (event.changes and event.asleep)
        return (
            bool(is_known)
            and not self._anything
            and not event.anything
            and all(map(self._is_steady, event.reads))
            and all(len(self._binding[name]) == 1 and name not in _BUILTINS for name in event.binds)
        )

    def _is_steady(self, name: str) -> bool:
        """Whether a name means the same wherever it stands: a module in which nothing is set, or what Python means."""
        is_once = name in self.modules and len(self._binding.get(name, ())) == 1
        return self._is_builtin(name) or (is_once and not self._touching.get(name))

    def touched_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code may change in place that runs now, if it does what its words say."""
        run = (replace(one, touches=one.touches & one.reads) if one.changes else one for one in code if not one.imports)
        return set[str]().union(*map(self._touched_by, run))

    def stored_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code changes in place by its very words, or by those of the functions that it calls."""
        run = [one for one in code if not one.changes]
        called = self._changes.ends(self._later.ends(set[str]().union(*(one.touches for one in run))))
        return set[str]().union(
            *(one.stores for one in run), *(self._alters[name] for name in called & self._alters.keys())
        )

    def risked_by(self, code: Sequence[Statement]) -> Set[str]:
        """What code may change in place by what it gives to the user's own: in one run, and not in another."""
        return set[str]().union(*(one.risks for one in code if not one.changes))

    def aliases(self, names: Set[str]) -> Set[str]:
        """These names, and others that may hold some of the same objects."""
        return names | self._aliases(names)[0]

    def led_to(self, names: Set[str]) -> Set[str]:
        """Names that lead to these functions and classes: of a class its objects, and the classes below it."""
        defined = names & self._changes.names
        return {one for one in self.bound if not defined.isdisjoint(self._later.ends([one]))} if defined else set()

    def bindings(self, names: Set[str]) -> str:
        """Digest of all that bound these names, in order, whatever became of it."""
        digest = hashlib.blake2b(digest_size=12)
        for at in sorted({at for name in names for at in self._binding.get(name, ())}):
            event = self.events[at]
            told = sorted(names & event.left.keys()) if isinstance(event, Step) else event.digest
            digest.update(f"{told};".encode())
        return digest.hexdigest()

    @property
    def bound(self) -> Set[str]:
        """All names that were ever bound."""
        return self._binding.keys()

    def lent_by(self, names: Set[str]) -> Set[str]:
        """What functions among these names may give of what other names hold."""
        return self._asleep.ends(names & self._lending)

    def read_by(self, names: Set[str]) -> Set[str]:
        """What functions read that these names lead to."""
        return self._asleep.ends(names)

    def touched_at(self, place: int) -> Set[str]:
        """What the statement in a place may change in place."""
        return self._touched[place][0]

    def touched(self, names: Iterable[str]) -> set[str]:
        """Those names whose values statements may have changed in place since they were bound."""
        mentioned = {self._shared[name] for name in self._mentioned & self._shared.keys()}
        return {
            name
            for name in names
            if (
                name in self._mentioned
                or self._shared.get(name) in mentioned
                or self._later.next(name)
                or self._anything
            )
            and any(at > self._binding.get(name, [-1])[-1] for at in self.origin(name).places)
        }

    def _files_of(self, names: Set[str]) -> Set[str]:
        """What stands for the files into which values of these names write, and for figures."""
        return frozenset[str]().union(*map(self._files.__getitem__, names & self._files.keys()))

    def _touched_by(self, event: Statement) -> Set[str]:
        """Names whose values a statement may change in place, through functions and modules, too."""
        touched = event.touches - (event.eased & self._libraries)
        touched = touched | self.lent_by(event.borrowed)
        touched = touched | self._files_of(touched)
        behind = self._later.ends(touched) - touched  # what they stand for: that is called, and does what it does
        classes = behind & (self._changes.names - self._asleep.names)  # `type(x).a = 1`
        ends = self._changes.ends(touched | classes) | (self._changes.ends(behind) - behind)
        ways = (self._changes.next(name) - self._called.get(name, frozenset()) for name in ends)
        more = set(touched - event.called).union(
            *ways
        )  # by more than calls: a calm function is none the worse for those
        modules = (self._asleep.ends(touched) & self.modules) - self._calm
        found = {name for name in ends if name in more or not self._is_calm(name)} | modules
        if event.gives:  # functions of libraries that are called for what they give change nothing else
            found -= event.called & self._foreign
        if "builtins" in touched:
            return found
        return {name for name in found if name in event.stores or not self._is_builtin(name)}

    def _is_calm(self, name: str) -> bool:
        """Whether a name means what is not changed by being called: `ValueError`, too, if it is Python's."""
        return name in self._calm or self._is_builtin(name)

    def _is_builtin(self, name: str) -> bool:
        return name not in self._binding and name in _BUILTINS

    def _aliases(self, names: Set[str]) -> tuple[set[str], set[str]]:
        """Names that may hold the same objects: what code binds that reads one of them, and reads that binds one.

        Also all names that have to do with it.
        """
        found, values = self._sharing(names) | names, self._values - self._asleep.names
        met = self._spread(found, self._making, lambda _, event: self._made_of(event, values), backwards=True)
        for _ in range(2):
            met |= self._spread(found, self._using, lambda _, event: event.binds)
            met |= self._spread(found, self._joining, lambda at, _: self._joined[at])
        found |= self._sharing(found)
        return found - names, found | met

    def _made_of(self, event: Statement, values: Set[str]) -> Set[str]:
        """What may hold some of what a statement binds: what it holds, and what a function gave together with it."""
        held = (event.holds | self.lent_by(event.holds)) & values
        return held if event.holds.isdisjoint(self._asleep.names) else held | event.binds

    def _sharing(self, names: Set[str]) -> set[str]:
        """The other names of what steps left that hold some of the same objects."""
        shared = {self._shared[name] for name in names & self._shared.keys()}
        return {name for name, one in self._shared.items() if one in shared} - names if shared else set()

    def _spread(
        self, found: set[str], leading: _Places, leads: Callable[[int, Statement], Set[str]], *, backwards: bool = False
    ) -> set[str]:
        """Add to the names those to which the statements lead that these lead to; returns all names of those."""
        met = set[str]()
        way = _Way(backwards=backwards)
        way.follow(found, leading)
        for at in way:
            event = self.events[at]
            if isinstance(event, Statement):
                met |= event.reads | event.binds
                more = leads(at, event) - found
                found |= more
                way.follow(more, leading)
        return met


class _Leading:
    """What names lead to, and those to others."""

    def __init__(self) -> None:
        self._next: dict[str, Set[str]] = {}
        self._ends: dict[str, Set[str]] = {}

    @property
    def names(self) -> Set[str]:
        """Those that lead somewhere."""
        return self._next.keys()

    def next(self, name: str) -> Set[str]:
        """What a name leads to at once."""
        return self._next.get(name, frozenset())

    def update(self, more: Mapping[str, Set[str]]) -> set[str]:
        """Let names lead elsewhere; returns those that did not before."""
        changed = {name for name, to in more.items() if self._next.get(name) != to}
        self._next.update(more)
        if changed:
            self._ends = {name: ends for name, ends in self._ends.items() if ends.isdisjoint(changed)}
        return changed

    def ends(self, names: Iterable[str]) -> set[str]:
        """The names, and all that they lead to."""
        return set[str]().union(*map(self._ends_of, names))

    def _ends_of(self, name: str) -> Set[str]:
        if name not in self._ends:
            found, todo = set[str](), [name]
            while todo:
                one = todo.pop()
                if one in self._ends:
                    found |= self._ends[one]
                elif one not in found:
                    found.add(one)
                    todo += self._next.get(one, ())
            self._ends[name] = found
        return self._ends[name]


_Places = dict[str, list[int]]
"""Names, and the places of the events that have to do with each."""


def _note(places: _Places, names: Iterable[str], at: int) -> None:
    for name in names:
        places.setdefault(name, []).append(at)


class _Way:
    """Places that names lead to, one after the other in one direction; more names may come on the way."""

    def __init__(self, *, backwards: bool) -> None:
        self._sign = -1 if backwards else 1
        self._heap: list[int] = []
        self._followed: dict[int, set[str]] = {}

    def go_to(self, places: Iterable[int]) -> None:
        """Come by these places, those aside that lie behind."""
        for place in places:
            heapq.heappush(self._heap, self._sign * place)

    def follow(self, names: Set[str], leading: _Places) -> None:
        """Come by the places to which names lead."""
        followed = self._followed.setdefault(id(leading), set())
        for name in names - followed:
            self.go_to(leading.get(name, ()))
        followed |= names

    def __iter__(self) -> Iterator[int]:
        last: int | None = None
        while self._heap:
            place = heapq.heappop(self._heap)
            if last is None or place > last:
                last = place
                yield self._sign * place


def _statement(node: ast.stmt, lender: Lender) -> Statement:
    module = ast.Module([node], [])
    told = lender.stand_ins.told
    names = source.names(module)
    words = source.words(module).read | {part for name in names.imports for part in name.split(".")}
    inside = source.nodes(node)
    texts = frozenset(one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str))
    touches, for_sure, called = changing.touched(inside, told, _EASING)
    local = changing.local(inside) - names.reads - names.binds
    touches -= local
    held = changing.held_by(node, told)
    acts, opens, spoken = set[str](), "", frozenset[str]()
    varying, at_once = frozenset[str](), frozenset[str]()
    is_import = isinstance(node, (ast.Import, ast.ImportFrom))
    if not is_import:
        spoken = words | (lender.stand_ins.behind(names.reads) - _SEPARATE)
        acts = set(_acts(node, inside, texts, spoken - _data(node, inside, names, lender.stand_ins)))
        varying = frozenset(_varying(inside, names, lender.stand_ins))
        opens = min(varying, default="")
        at_once = varying & _called_at_once(node)
    elif isinstance(node, ast.ImportFrom):
        # code that calls it by another name does not have the word, nor does what was read when its name meant a value
        others = (one.name for one in node.names if one.asname or one.name in lender.stand_ins.values)
        opens = next(filter(may_vary, others), "")
    tops = {name.partition(".")[0] for name in names.imports or ("?",)}
    extension = source.extension_loaded(node)
    loaded = {"load_ipython_extension"} if extension is not None else set[str]()
    lent = lender(spoken | loaded, names.imports | ({extension} if extension is not None else set()))
    is_own = told.module_of(extension or "") is not None  # it may do anything
    lender.stand_ins.note(node, names, words | lent.words)
    by_others = {*_lent_acts(lent.words)} - acts
    is_known = isinstance(node, ast.ImportFrom) or (names.dynamic and source.only_sets(inside))
    bound = names.binds | names.deletes
    rebound = bound - {node.name} if isinstance(node, _DEFINITIONS) else frozenset[str]()  # `global x`
    return Statement(
        essence.lean_digest(module) + (lent.digest if by_others or is_own else ""),
        bound,
        names.renews,
        names.awake,
        names.awake if held is None else names.awake & held,
        touches if isinstance(node, _DEFINITIONS) else touches | acts | by_others,
        touches - for_sure,
        called,
        names.asleep,
        {name: lender.stand_ins.led_to(name) for name in names.binds | touches},
        {node.name: frozenset(touches | acts | by_others | rebound)} if isinstance(node, _DEFINITIONS) else {},
        (frozenset(changing.stored(inside)) & names.reads) | rebound,
        frozenset(changing.risked(inside, told)) & names.reads,
        frozenset(changing.keepers(inside, told)),
        frozenset(changing.borrowed(inside, told)),
        frozenset(changing.kept(inside, told)) - local,
        isinstance(node, _DEFINITIONS) and node.name in told.lending,
        {one: essence.of_module(told.texts[one]) for one in changing.taken(node, inside, told)},
        names.imports,
        names.dynamic or not spoken.isdisjoint(_IMPORTING) or is_own,
        "code that may change any name" if names.dynamic and not is_known else opens,
        varying,
        frozenset(word for text in texts for word in source.identifiers(text) if may_vary(word)),
        at_once,
        words,
        texts,
        names.binds if isinstance(node, ast.Import) else frozenset(),
        names.deletes,
        names.binds if tops <= _KNOWN else frozenset(),
        names.binds if (tops <= _CALM and is_import) or _is_calm(node) else frozenset(),
        _literal(node),
        names.binds - told.own.keys() - told.borne.keys() if is_import and not tops & _STANDARD else frozenset(),
        isinstance(node, ast.Assign | ast.AnnAssign),
    )


def of_files(paths: Iterable[str]) -> list[str]:
    """What stands for these files, in code that writes files."""
    names = [os.path.basename(path) for path in paths]
    found = {"<files *>" if "*" in name else f"<files {name}>" for name in names}
    return sorted({*found, "<files ?>"} if found else ())


def of_read(paths: Iterable[str], variables: Iterable[str]) -> list[str]:
    """What stands for all that may change what these files and variables are to a cell."""
    files, names = of_files(paths), [*variables]
    folder = ["<surroundings cwd>"] if files else []
    return [*files, *folder, *(f"<surroundings environ {name}>" for name in (*names, "?") if names)]


def of_variable(name: str) -> Iterator[str]:
    """What stands for an environment variable, in code that sets some."""
    yield f"environ {name}"
    yield from (f"environ {name[: at.end()]}" for at in re.finditer("_", name))


def _acts(node: ast.stmt, inside: Sequence[ast.AST], texts: Set[str], words: Set[str]) -> Iterator[str]:
    """What stands for what the code does to the random generators, the surroundings and files when it runs."""
    if _draws(words):
        yield CHANCE
    topics = _topics(words)
    if "environ" in topics and words.isdisjoint(_SETTING_ENVIRON) and not _uses_of_environ(inside) - {"asked"}:
        topics.discard("environ")
    if "path" in topics and "sys" not in words and not any(getattr(one, "id", "") == "path" for one in inside):
        topics.discard("path")  # `os.path.join`
    if "libraries" in topics and "display" in words and words.isdisjoint(_OTHER_OPTIONS):
        topics = topics - {"libraries"} | {"text"}
    if "run_line_magic" in words and "config" in texts:
        if any(text.startswith("InlineBackend.") for text in texts):
            topics.add("drawing")
        elif not any(map(_OF_COMPLETION.match, texts)):
            topics.add("text")
    if any(text.startswith("jax_") for text in texts):
        topics.add("libraries")
    if topics:
        yield SURROUNDINGS
        yield from (f"<surroundings {topic}>" for topic in topics - {"environ"})
    if _draws_figures(words):
        yield FIGURES
    if "environ" in topics:
        keywords = (one.arg for one in inside if isinstance(one, ast.keyword) and one.arg)
        names = {*keywords, *(match[0] for text in texts if (match := _VARIABLE.match(text)))} - {"env", "set_env"}
        if "TZ" in names:  # for `tzset`
            yield "<surroundings rest>"
        parts = {part for name in names for part in of_variable(name)} or {"environ ?"}
        yield from (f"<surroundings {part}>" for part in {"environ *", *parts})
    if _writes(words, texts) and source.file_written(node) is None:
        found = {match[1] for text in texts if (match := _FILE_NAME.fullmatch(text))}
        is_known = found and not words & _STARTING
        is_known = is_known and not any(isinstance(one, ast.JoinedStr | ast.BinOp) for one in inside)
        yield from (f"<files {name}>" for name in (found if is_known else {*found, "?"}) | {"*"})


def _uses_of_environ(inside: Sequence[ast.AST]) -> set[str]:
    """What code does with `os.environ`: it is `asked`, `set`, or used in `other` ways."""
    found, told = set[str](), set[int]()
    for node in inside:
        match node:
            case ast.Subscript(value=ast.expr() as value, ctx=ctx) if _is_environ(value):
                found.add("asked" if isinstance(ctx, ast.Load) else "set")
                told.add(id(value))
            case ast.Attribute(value=ast.expr() as value, attr=word) if _is_environ(value):
                found.add("asked" if word in ("get", "copy", "keys", "values", "items") else "other")
                told.add(id(value))
            case ast.Compare(comparators=others):
                told |= {id(value) for value in others if _is_environ(value)}
                found |= {"asked" for value in others if _is_environ(value)}
    found |= {"other" for node in inside if isinstance(node, ast.expr) and _is_environ(node) and id(node) not in told}
    return found


def _is_environ(node: ast.expr) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "environ"


def _lent_acts(words: Set[str]) -> Iterator[str]:
    """The same for code of modules, of which only the words are known."""
    if _draws(words):
        yield CHANCE
    topics = _topics(words)
    topics -= {"path"} if "sys" not in words else set()
    if topics:
        yield SURROUNDINGS
        yield from (f"<surroundings {topic}>" for topic in topics - {"environ"})
    if _draws_figures(words):
        yield FIGURES
    if "environ" in topics:
        yield from ("<surroundings environ *>", "<surroundings environ ?>")
    if _writes(words, words):
        yield from ("<files ?>", "<files *>")


def _topics(words: Set[str]) -> set[str]:
    """The parts of the surroundings that code with these words may set."""
    found = {_OF_SURROUNDINGS[word] for word in words & _OF_SURROUNDINGS.keys()}
    return found | ({"drawing"} if words >= {"style", "use"} or words >= {"seaborn", "set"} else set())


def _draws(words: Set[str]) -> bool:
    """Whether code with these words may draw from the generators of libraries, or seed them."""
    return bool(words & _OF_CHANCE) or ("random_state" not in words and any("random" in word for word in words))


def _draws_figures(words: Set[str]) -> bool:
    """Whether code with these words may draw on a figure that is open, or open one."""
    return any("plot" in word or "pylab" in word or word.startswith("fig") or word == "hist" for word in words)


def _writes(words: Set[str], texts: Collection[str]) -> bool:
    if words & {"system", "getoutput"} and any(map(_LOOKING.fullmatch, texts)):
        return False
    return bool(
        words & _WRITING
        or any(word.startswith(_WRITING_STARTS) for word in words)
        or (words & _MOVING and words & _MOVERS)
        or (not _MODES.isdisjoint(texts) and any(word.endswith(_OPENING) for word in words))
        or ("connect" in words and any(map(_FILE_NAME.fullmatch, texts)))
        or (words & {"run_cell_magic", "run_line_magic"} and not _SHELLS.isdisjoint(texts))
    )


def _varying(inside: Sequence[ast.AST], names: source.Names, stand_ins: StandIns) -> Iterator[str]:
    """The words by which code does what may come out otherwise each time.

    A name that the notebook bound to something does what that does. Of what it has, only what is called counts, and not
    if it is a method of the user's own, unless files are asked so: `time * 2`, `df.time`, `model.run()`.
    """
    values = names.renews | stand_ins.values
    given = _given_with_libraries(inside, stand_ins)
    yield from filter(may_vary, names.reads - (names.awake - names.fetches) - stand_ins.values - given)
    imported = {one.asname or one.name for node in inside if isinstance(node, _IMPORTS) for one in node.names}
    yield from filter(may_vary, (one.name for node in inside if isinstance(node, ast.ImportFrom) for one in node.names))
    called = {id(node.func) for node in inside if isinstance(node, ast.Call)}
    is_only_set = _uses_of_environ(inside) == {"set"}
    for node in inside:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and may_vary(word := node.attr):
            if (word == "environ" and is_only_set) or (word == "run" and _base(node) == "asyncio"):
                continue
            base = _base(node)
            if word in given and base in stand_ins.foreign:
                continue
            of_value = base not in imported and (base in values or base not in names.reads)
            if (
                not of_value
                or word in _OF_FILES
                or word in _DATA
                or id(node) in called
                and word not in stand_ins.told.spoken
            ):
                yield word


def _data(node: ast.stmt, inside: Sequence[ast.AST], names: source.Names, stand_ins: StandIns) -> Set[str]:
    """Words that are names of the notebook's, of which others tell what they do, or keys: `Config()`, `d["seed"]`."""
    own = changing.local(inside) | names.binds | stand_ins.values | stand_ins.told.defined
    texts, others = set[str](), set[str]()
    for one in inside:
        if isinstance(one, ast.Attribute | ast.keyword):
            others.add(getattr(one, "attr", getattr(one, "arg", "")))
        elif isinstance(one, ast.Name) and one.id not in own:
            others.add(one.id)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            texts.update(source.identifiers(one.value))
        elif isinstance(one, ast.Call):
            parts = *one.args, *one.keywords, *([one.func] if isinstance(one.func, ast.Subscript) else ())
            given = (value for part in parts for value in source.nodes(part))
            named = (value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str))
            others = others.union(*map(source.identifiers, named))
    if others & _BY_TEXT:
        others |= texts
    return (own | texts) - others - stand_ins.behind(names.reads)


def _given_with_libraries(inside: Sequence[ast.AST], stand_ins: StandIns) -> set[str]:
    """Words by which code asks libraries for data that comes with them, and never for a file: `load_iris()`."""
    plain, others = set[str](), set[str]()
    for node in inside:
        if isinstance(node, ast.Call):
            word = getattr(node.func, "id", getattr(node.func, "attr", ""))
            values = [*node.args, *(one.value for one in node.keywords)]
            is_plain = word.startswith("load_") and word not in _OF_SURROUNDINGS
            is_plain = is_plain and all(isinstance(one, ast.Constant) and type(one.value) is not str for one in values)
            (plain if is_plain and _base(node.func) in stand_ins.foreign else others).add(word)
    return plain - others


def _base(node: ast.AST) -> str:
    """The name with which an expression begins."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _called_at_once(node: ast.stmt) -> Set[str]:
    """The words of what a definition calls when it is made; see `Statement.at_once`."""
    if not isinstance(node, _DEFINITIONS):
        return frozenset()
    parts, todo = list[ast.AST](), list[ast.AST]([node])
    while todo:
        one = todo.pop()
        if isinstance(one, ast.ClassDef):
            todo += [*one.decorator_list, *one.body]
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*one.decorator_list, *one.args.defaults, *filter(None, one.args.kw_defaults)]
        else:
            parts.append(one)
    calls = (inner for part in parts for inner in source.nodes(part) if isinstance(inner, ast.Call))
    return frozenset[str]().union(*(source.words(ast.Module([ast.Expr(call)], [])).read for call in calls))


def _is_calm(node: ast.stmt) -> bool:
    """Whether it is a function that keeps nothing from call to call."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
        return False
    defaults = [*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)]
    own = any(isinstance(one, ast.Name) and one.id == node.name for one in source.nodes(node))
    return not own and all(isinstance(one, ast.Constant) for one in defaults)


def _literal(node: ast.stmt) -> Any:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        try:
            return _folded(node.value)
        except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
            return _UNKNOWN
    return _UNKNOWN


def _folded(node: ast.expr | None) -> Any:
    """Evaluate a literal, in which there may be sums and products of numbers (`60 * 60`)."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return _COLLECTIONS[type(node)](map(_folded, node.elts))
    if isinstance(node, ast.Dict):
        return {_folded(key): _folded(value) for key, value in zip(node.keys, node.values, strict=True)}
    if not isinstance(node, ast.BinOp):
        return ast.literal_eval(cast("ast.expr", node))  # None is the key of what `**` unpacks: no literal
    left, right = _folded(node.left), _folded(node.right)
    act = _ARITHMETIC.get(type(node.op))
    if act is None or not {type(left), type(right)} <= {int, float}:
        raise ValueError
    if act is operator.pow and not (abs(left) <= _LARGE and abs(right) <= _LARGE):
        raise ValueError
    return act(left, right)


_LARGE: Final = 64
_COLLECTIONS: Final[Mapping[type, Callable[[Iterable[Any]], Any]]] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}
_ARITHMETIC: Final[Mapping[type, Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def touching(names: Set[str], what: str, *, anything: bool) -> Statement:
    """Stand for code that changes in place what these names hold, or `anything`; `what` is its digest."""
    return Statement(what, touches=names, stores=names, anything=anything)


NOTHING: Final = Past().origin("")
"""The origin of a name that nothing leads to."""
