"""Where the values of names come from, by code alone: the statements, and the steps, that lead to a name.

A history is what ran, or will run, above a place: statements of unmarked cells, and steps with what they left. The
*origin* of a name is a digest of the part of a history that can have made its value. It is the same for two
histories only if they have the same code on the way to the name, in the same order.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from ckpt_magic.values import essence, source

CHANCE: Final = "<random>"
"""Stands for the random generators."""

SURROUNDINGS: Final = "<surroundings>"
"""Stands for the environment, the working directory and options of libraries."""

FAR: Final = ("codecs", "copyreg")
"""Modules that hold what works on code which never names them."""

_UNKNOWN: Final = object()
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Calls that change none of their arguments.
_HARMLESS: Final = frozenset(
    {"print", "display", "len", "str", "repr", "int", "float", "bool", "sum", "min", "max", "abs", "round", "sorted"}
    | {"range", "isinstance", "type", "id", "hash", "tuple", "frozenset", "any", "all", "format", "ord", "chr"}
)
_OF_CHANCE: Final = frozenset(
    {"random", "seed", "default_rng", "RandomState", "setstate", "set_state", "manual_seed", "set_rng_state", "shuffle"}
)
_OF_SURROUNDINGS: Final = frozenset(
    {"environ", "putenv", "unsetenv", "load_dotenv", "set_env", "env", "chdir", "cd", "setlocale", "tzset", "umask"}
    | {"getcontext", "setcontext", "set_option", "reset_option", "options", "seterr", "seterrcall", "set_printoptions"}
    | {"rcParams", "rc", "set_config", "simplefilter", "filterwarnings", "path", "basicConfig", "setLevel", "Config"}
    | {"precision", "alias", "set_int_max_str_digits", "setswitchinterval", "set_threshold", "setdefaulttimeout"}
    | {"set_default_dtype", "set_grad_enabled", "use_deterministic_algorithms", "setrecursionlimit"}
)
# Words of code whose outcome may be another one each time, whatever its text.
_OPEN: Final = frozenset(
    {"open", "read_text", "read_bytes", "environ", "getenv", "now", "today", "utcnow", "time", "time_ns", "uuid1"}
    | {"uuid4", "urandom", "token_hex", "urlopen", "urlretrieve", "requests", "httpx", "connect", "input", "getpass"}
    | {"listdir", "scandir", "glob", "rglob", "iterdir", "walk", "perf_counter", "monotonic", "getcwd", "system", "run"}
    | {"Popen", "check_output", "getoutput", "fromfile", "loadtxt", "genfromtxt", "memmap", "load", "loads_from"}
)
_OPEN_STARTS: Final = ("read_", "scan_", "load_", "fetch_", "open_")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of an unmarked cell."""

    digest: str
    binds: Set[str]
    sure: Set[str]
    """Bound whatever they held before."""
    reads: Set[str]
    touches: Set[str]
    """Names whose values it may change in place."""
    asleep: Mapping[str, Set[str]]
    """What functions read that it defines."""
    changes: Mapping[str, Set[str]]
    """What the functions and classes that it defines may change in place when they are called."""
    imports: Set[str]
    anything: bool
    """It may bind and change names that are not written in it."""
    opens: str
    """A word that makes its outcome depend on more than its code; empty if there is none."""
    value: Any = _UNKNOWN
    """What it binds, if that is written down in it."""

    @property
    def is_literal(self) -> bool:
        """Whether the value that it binds is written down in it."""
        return self.value is not _UNKNOWN


@dataclass(frozen=True, slots=True)
class Step:
    """A step: per name the digest of what it left; None for a step that will run, and leaves nobody knows what."""

    number: int
    left: Mapping[str, str | None]
    deleted: Set[str] = frozenset()


Event = Statement | Step


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a name comes from."""

    digest: str
    opens: tuple[str, ...] = ()
    """Words on the way that make it depend on more than code."""
    imports: frozenset[str] = frozenset()
    runs: tuple[int, ...] = ()
    """Steps on the way that will run."""
    last: Statement | None = field(default=None, compare=False)
    """The statement that bound it, if that is all there is."""


def statements(tree: ast.Module) -> Iterator[Statement]:
    """Take an unmarked cell apart."""
    for node in tree.body:
        yield _statement(node)


def of_modules(history: Sequence[Event], modules: Iterable[str]) -> Origin:
    """Where what modules hold comes from, the modules as they are imported aside."""
    names: set[str] = set()
    for event in history:
        if isinstance(event, Statement):
            for module in modules:
                if any(f"{one}.".startswith(f"{module}.") for one in event.imports):
                    names |= event.binds & {module} or event.binds
    acts = [event for event in history if isinstance(event, Statement) and not (event.imports and not event.reads)]
    return origin(acts, *names) if names else NOTHING


def origin(history: Sequence[Event], *names: str) -> Origin:
    """Where the value comes from that a name has after a history, or the values of several names."""
    asleep: dict[str, Set[str]] = {}
    changes: dict[str, Set[str]] = {}
    modules = set[str]()  # functions change what is in them
    for event in history:
        if isinstance(event, Statement):
            asleep.update(event.asleep)
            changes.update(event.changes)
            modules |= event.binds if event.imports and not event.reads else set()
    needed = _woken(names, asleep)
    on_the_way: list[Event] = []
    digest = hashlib.blake2b(digest_size=12)
    others = _aliases(history, needed)
    opens: dict[str, None] = {}
    imports: set[str] = set()
    runs: dict[int, None] = {}
    for event in reversed(history):
        if isinstance(event, Step):
            left = needed & (event.left.keys() | event.deleted)
            for one in sorted(left):
                made = event.left.get(one, "deleted")
                digest.update(f"step {event.number} {one} {made};".encode())
                if made is None:
                    runs[event.number] = None
            needed -= left
            if left:
                on_the_way.append(event)
            continue
        touches = _woken(event.touches, changes) | (_woken(event.touches, asleep) & modules)
        if not event.anything and not needed & event.binds and not (needed | others) & touches:
            continue
        on_the_way.append(event)
        digest.update(f"{event.digest};".encode())
        opens.update(dict.fromkeys([event.opens] if event.opens else ()))
        imports |= event.imports
        needed = (needed - event.sure) | _woken(event.reads, asleep)
    single = on_the_way[0] if len(on_the_way) == 1 else None
    last = single if isinstance(single, Statement) and single.is_literal else None
    return Origin(digest.hexdigest(), tuple(opens), frozenset(imports), tuple(sorted(runs)), last)


def _statement(node: ast.stmt) -> Statement:
    module = ast.Module([node], [])
    names = source.names(module)
    words = source.words(module).read | {part for name in names.imports for part in name.split(".")}
    touches = set(_touched(node))
    if not isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom)):
        if words & _OF_CHANCE:
            touches.add(CHANCE)
        if words & _OF_SURROUNDINGS:
            touches.add(SURROUNDINGS)
        opens = next((word for word in sorted(words) if word in _OPEN or word.startswith(_OPEN_STARTS)), "")
    else:
        opens = ""
    return Statement(
        essence.digest(module).partition(":")[0],
        names.binds | names.deletes,
        names.renews,
        names.awake,
        touches,
        names.asleep,
        {node.name: frozenset(_touched(node))} if isinstance(node, _DEFINITIONS) else {},
        names.imports,
        names.dynamic,
        "code that may change any name" if names.dynamic else opens,
        _literal(node),
    )


def _touched(node: ast.stmt) -> Iterator[str]:
    """Names whose values a statement may change in place."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
            yield from _base(part)
            if isinstance(part, ast.Attribute) and "builtins" in _base(part):
                yield part.attr
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):  # `@show.register`
            for decorator in (*part.decorator_list, *getattr(part, "bases", ())):
                yield from _base(decorator)
        elif isinstance(part, ast.AugAssign):
            yield from _base(part.target)
        elif isinstance(part, ast.Call) and not (isinstance(part.func, ast.Name) and part.func.id in _HARMLESS):
            yield from _base(part.func)
            for argument in (*part.args, *(keyword.value for keyword in part.keywords)):
                yield from (one.id for one in ast.walk(argument) if isinstance(one, ast.Name))


def _base(node: ast.expr) -> Iterator[str]:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Name):
        yield node.id


def _literal(node: ast.stmt) -> Any:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        try:
            return ast.literal_eval(node.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return _UNKNOWN
    return _UNKNOWN


def _woken(names: Iterable[str], asleep: Mapping[str, Set[str]]) -> set[str]:
    found: set[str] = set()
    todo = set(names)
    while todo:
        found |= todo
        todo = set().union(*(asleep.get(name, ()) for name in todo)) - found
    return found


def _aliases(history: Sequence[Event], names: Set[str]) -> set[str]:
    """Names that may hold the same objects: bound by code that reads one of them, or read by code that binds one."""
    found, statements = set(names), [event for event in history if isinstance(event, Statement)]
    values = (
        set()
        .union(*(event.binds for event in statements if not event.imports))
        .difference(*(event.asleep for event in statements))
    )
    for event in reversed(statements):
        if event.binds & found and not event.asleep:
            found |= event.reads & values
    for event in (*statements, *statements):
        if event.binds and not event.is_literal and event.reads & found:
            found |= event.binds - event.asleep.keys()
    return found - names


NOTHING: Final = origin([], "")
"""The origin of a name that nothing leads to."""
