"""The words by which code may come out otherwise each time, whatever its text: it asks for files, or for the time."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final

from ckpt_magic.values.code import essence, source, syntax, vocabulary
from ckpt_magic.values.code.effects import OF_SURROUNDINGS, uses_of_environ
from ckpt_magic.values.code.standins import StandIns

_IMPORTS: Final = (ast.Import, ast.ImportFrom)
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
OF_ENVIRON: Final = vocabulary.ENVIRON | {"expandvars", "expanduser"}
"""Those that ask for variables of the environment."""

# Those by which objects of libraries are asked, which are no modules: files, paths.
_OF_FILES: Final = frozenset(
    "open read readline readlines read_text read_bytes exists is_file is_dir iterdir glob rglob walk stat".split()
)
# Those that ask for nothing but files and folders, as is seen, and for variables of the environment; in such libraries.
_SEEN: Final = (
    _OF_FILES
    | OF_ENVIRON
    | frozenset(
        (
            "load fromfile loadtxt genfromtxt read_csv read_table read_fwf read_json read_pickle read_excel "
            "listdir scandir lexists isfile isdir getsize getmtime"
        ).split()
    )
)
_SEEN_IN: Final = frozenset(
    "pandas numpy yaml joblib toml tomli dotenv scipy sklearn matplotlib seaborn PIL tqdm torch openpyxl".split()
)
# All whose outcome may be another one each time.
_OPEN: Final = (
    _SEEN
    | essence.TEXT_READERS  # comments count
    | frozenset(
        (
            "dataset now today utcnow time time_ns uuid1 uuid4 urandom token_hex urlopen urlretrieve requests httpx "
            "connect input getpass perf_counter monotonic getcwd system run Popen check_output getoutput memmap "
            "loads_from find_spec argv"
        ).split()
    )
)
_OPEN_STARTS: Final = ("read_", "scan_", "load_", "fetch_", "open_")
_GIVEN: Final = frozenset({"load_state_dict", "load_ext"})  # what these load is given to them, or told by its text


def may_vary(word: str) -> bool:
    """Whether a word stands for what may give another value each time."""
    return word in _OPEN or (word.startswith(_OPEN_STARTS) and word not in _GIVEN)


def reads_only(varies: Set[str], imports: Set[str], texts: Iterable[str]) -> bool:
    """Whether what makes a value vary is what Python is seen to ask for, alone: files, folders, the environment."""
    tops = {name.partition(".")[0] for name in imports} - sys.stdlib_module_names
    return varies <= _SEEN and tops <= _SEEN_IN and not any("://" in text for text in texts)


def varying_words(inside: Sequence[ast.AST], names: source.Names, stand_ins: StandIns) -> Iterator[str]:
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
    yield from _generators_without_seed(inside, stand_ins)
    for node in inside:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and may_vary(word := node.attr):
            base = syntax.first_word(node)
            if (word == "run" and base == "asyncio") or (word in given and base in stand_ins.foreign):
                continue
            if word == "environ" and uses_of_environ(inside) == {"set"}:
                continue
            of_value = base not in imported and (base in values or base not in names.reads)
            if (
                not of_value
                or word in _OF_FILES
                or word in ("environ", "argv")
                or id(node) in called
                and word not in stand_ins.told.spoken
            ):
                yield word


def _generators_without_seed(inside: Sequence[ast.AST], stand_ins: StandIns) -> Iterator[str]:
    """Words by which libraries make a generator of random numbers that begins anywhere: `default_rng()`."""
    for node in inside:
        if isinstance(node, ast.Call) and (word := syntax.last_word(node.func)) in _GENERATORS:
            seeds = [*node.args, *(one.value for one in node.keywords)]
            is_seeded = any(not isinstance(one, ast.Constant) or one.value is not None for one in seeds)
            if not is_seeded and syntax.first_word(node.func) in stand_ins.foreign:
                yield word


_GENERATORS: Final = frozenset(
    "default_rng RandomState Random SeedSequence PCG64 PCG64DXSM MT19937 Philox SFC64".split()
)


def drawn(inside: Sequence[ast.AST], stand_ins: StandIns) -> str:
    """A word by which code draws from a generator that `random` or numpy has for all: `np.random.rand(3)`; or none."""
    for node in inside:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            first, *words = syntax.dotted(node.func).split(".")
            module, part = stand_ins.packages.get(first, ("", ""))
            match [module, *([part] if part else []), *words]:
                case ["random", word] | ["numpy", "random", word] if word.islower() and word not in _OF_STATES:
                    return word
    return ""


_OF_STATES: Final = frozenset({"seed", "getstate", "setstate", "get_state", "set_state", "default_rng"})


def seeds(words: Set[str]) -> bool:
    """Whether code with these words may seed generators, or put them where they were."""
    return any("seed" in word.lower() for word in words) or not words.isdisjoint(_OF_STATES | {"set_rng_state"})


def _given_with_libraries(inside: Sequence[ast.AST], stand_ins: StandIns) -> set[str]:
    """Words by which code asks libraries for data that comes with them, and never for a file: `load_iris()`."""
    plain, others = set[str](), set[str]()
    for node in inside:
        if isinstance(node, ast.Call):
            word = syntax.last_word(node.func)
            values = [*node.args, *(one.value for one in node.keywords)]
            is_plain = word.startswith("load_") and word not in OF_SURROUNDINGS
            is_plain = is_plain and all(isinstance(one, ast.Constant) and type(one.value) is not str for one in values)
            (plain if is_plain and syntax.first_word(node.func) in stand_ins.foreign else others).add(word)
    return plain - others


def called_at_once(node: ast.stmt) -> Set[str]:
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
    calls = (inner for part in parts for inner in syntax.nodes(part) if isinstance(inner, ast.Call))
    return frozenset[str]().union(*(vocabulary.words(ast.Module([ast.Expr(call)], [])).read for call in calls))
