"""State of the process that code depends on without naming it: random generators, working directory, options.

Look, compare, put back. Libraries are looked at only where they are imported already. A library that a step
is the first to import has no "before": its options are compared with its own defaults.
What can be put back is described in plain builtins, so that a checkpoint opens where a library is missing.
"""

from __future__ import annotations

import contextlib
import decimal
import difflib
import fnmatch
import importlib
import locale
import os
import random
import re
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ckpt_magic.errors import CheckpointUnreadableError

SECRET_NAMES: Final = ("*KEY*", "*TOKEN*", "*SECRET*", "*PASS*", "*CREDENTIAL*")
"""Environment names whose values are never stored; compared without case."""

_CURE: Final = "run the step instead: %%step … --force"


@dataclass(frozen=True, slots=True)
class Ambient:
    """What one look saw. Compare two of them with `compare`; the fields are of no use elsewhere."""

    generators: dict[str, Any]
    settings: dict[str, Any]
    lists: dict[str, tuple[Any, ...]]
    options: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the ambient state between two looks."""

    state: dict[str, Any]
    """For `put_back`: the states of all generators, and of the rest what changed. Builtins and arrays only."""
    names: tuple[str, ...]
    """What changed, for people: `cwd`, `environ:LANG`, `pandas option display.max_rows`."""
    moved: bool
    """A random generator was seeded or drawn from."""
    refused: tuple[str, ...]
    """Changes that are not in `state`, with the reason. A step that made one must be run, not restored."""


def look() -> Ambient:
    """Read the ambient state; takes a fifth of a millisecond with numpy, pandas and matplotlib loaded."""
    return Ambient(
        generators={name: state for name, read in _GENERATORS.items() if (state := read()) is not None},
        settings={"cwd": _cwd(), "recursion limit": sys.getrecursionlimit(), "locale": locale.setlocale(locale.LC_ALL)},
        lists={"sys.path": tuple(sys.path), "warning filters": tuple(warnings.filters)},
        options={name: read for name, source in _OPTIONS.items() if (read := source.look()) is not None},
    )


def compare(before: Ambient, after: Ambient, *, secrets: Sequence[str] = SECRET_NAMES) -> Change:
    """Describe what changed.

    Parameters
    ----------
    before, after
        Two looks, around a step.
    secrets
        Patterns of environment names whose new value must not be stored.
    """
    state: dict[str, Any] = {"generators": after.generators, "settings": {}, "lists": {}, "options": {}}
    changed: list[str] = []
    refused: list[str] = []
    for name, value in after.settings.items():
        if value != before.settings.get(name) and value is not None:
            state["settings"][name] = value
            changed.append(name)
    for name, items in after.lists.items():
        if items != before.lists.get(name):
            state["lists"][name] = _list_change(name, before.lists.get(name, ()), items)
            changed.append(name)
    for name, options in after.options.items():
        for key, value in _option_changes(name, before.options.get(name), options).items():
            label = _OPTIONS[name].label.format(key)
            if _is_worth_saying(name, key, value):
                changed.append(label)
            if name == "environ" and value is not None and _is_secret(key, secrets):
                refused.append(f"{label} (looks like a secret)")
                continue
            try:
                state["options"].setdefault(name, {})[key] = _plain(value)
            except TypeError:
                refused.append(f"{label} (a {type(value).__name__})")
    return Change(state, tuple(changed), not generators_equal(before, after), tuple(refused))


def generators_equal(a: Ambient, b: Ambient) -> bool:
    """Tell whether no random generator was seeded or drawn from between look `a` and the later look `b`."""
    for name, state in b.generators.items():
        if name not in a.generators:
            if name != "numpy.random" or not _fresh_from_import(state):
                return False
        elif not _same(a.generators[name], state):
            return False
    return True


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Undo draws inside: pickling runs a ``__getstate__`` of the user, and how often that happens must not matter."""
    before = {name: read() for name, read in _GENERATORS.items()}
    try:
        yield
    finally:
        for name, state in before.items():
            if state is not None and not _same(state, _GENERATORS[name]()):
                _SETTERS[name](state)


def put_back(state: Mapping[str, Any], *, generators: bool) -> None:
    """Bring the process into the state that a step left.

    All is checked before anything is touched. A library that the state names and that is not loaded is imported.

    Parameters
    ----------
    state
        `Change.state`.
    generators
        Put back the states of the random generators, too.

    Raises
    ------
    CheckpointUnreadableError
        A folder, library, option, locale or warning class is not there. Nothing was changed.
    """
    lists = {name: _decoded_list(name, change) for name, change in state["lists"].items()}
    options = {name: _wanted(name, changes) for name, changes in state["options"].items()}
    if generators:
        for name in state["generators"]:
            _library(name)
    _put_settings(state["settings"])
    with warnings.catch_warnings():  # old option names may be deprecated; that was said when the step ran
        warnings.simplefilter("ignore")
        for name, changes in options.items():
            if changes:
                _OPTIONS[name].write(changes)
    for name, change in lists.items():
        _put_list(name, change)
    if generators:  # last, since importing a library may draw
        for name, value in state["generators"].items():
            _SETTERS[name](value)


# --- random generators ---


def _numpy_state() -> dict[str, Any] | None:
    read = getattr(sys.modules.get("numpy.random"), "get_state", None)  # absent while numpy is being imported
    state: dict[str, Any] | None = read(legacy=False) if read is not None else None
    return state


def _torch_state() -> bytes | None:
    read = getattr(sys.modules.get("torch"), "get_rng_state", None)
    return read().numpy().tobytes() if read is not None else None


def _fresh_from_import(state: Mapping[str, Any]) -> bool:
    """Tell whether numpy's legacy generator is as `import numpy` left it.

    Its seed comes from the system then, so it cannot be compared with anything. But numpy marks it: position 623 and
    this first word mean "never seeded, never drawn from"; seeding leaves 624, drawing moves on.
    """
    if state["bit_generator"] != "MT19937":
        return False
    inner = state["state"]
    return bool(inner["pos"] == 623 and inner["key"][0] == 0x80000000 and not state["has_gauss"])


def _same(a: Any, b: Any) -> bool:
    """Compare two generator states; they hold numbers, tuples, dicts and arrays."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if hasattr(a, "tobytes"):
        return bool(a.tobytes() == b.tobytes())
    return bool(a == b)


def _put_numpy(state: dict[str, Any]) -> None:
    numpy_random = _library("numpy.random")
    if numpy_random.get_state(legacy=False)["bit_generator"] != state["bit_generator"]:
        numpy_random.set_bit_generator(getattr(numpy_random, state["bit_generator"])())
    numpy_random.set_state(state)


def _put_torch(state: bytes) -> None:
    torch = _library("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


_GENERATORS: Final = {"random": random.getstate, "numpy.random": _numpy_state, "torch": _torch_state}
_SETTERS: Final[dict[str, Any]] = {"random": random.setstate, "numpy.random": _put_numpy, "torch": _put_torch}


# --- single settings ---


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # the folder was deleted
        return None


def _put_settings(settings: Mapping[str, Any]) -> None:
    """Set working directory, locale and recursion limit; what can fail comes first."""
    old = locale.setlocale(locale.LC_ALL)
    if "locale" in settings:
        try:
            locale.setlocale(locale.LC_ALL, settings["locale"])
        except locale.Error as error:
            raise CheckpointUnreadableError(
                f"the step set the locale {settings['locale']}, which is not installed here; install it, or {_CURE}"
            ) from error
    if "cwd" in settings:
        try:
            os.chdir(settings["cwd"])
        except OSError as error:
            locale.setlocale(locale.LC_ALL, old)
            raise CheckpointUnreadableError(
                f"the step changed to the folder {settings['cwd']}: {error.strerror or error}; make it, or {_CURE}"
            ) from error
    if "recursion limit" in settings:
        sys.setrecursionlimit(settings["recursion limit"])


# --- lists: sys.path and warning filters, of which only the changed ends are kept ---


def _list_change(name: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> dict[str, Any]:
    """Describe a new list by what was put around the longest run of the old one that is still there."""
    old, new = ([_encoded(name, item) for item in items] for items in (before, after))
    block = difflib.SequenceMatcher(None, old, new, autojunk=False).find_longest_match()
    kept = new[block.b : block.b + block.size]
    return {
        "front": new[: block.b],
        "back": new[block.b + block.size :],
        "removed": [item for item in old if item not in kept],
    }


def _encoded(name: str, item: Any) -> Any:
    """Return an entry in builtins: the import system ignores what is no text; regexes and classes become texts."""
    if name == "sys.path":
        return item if type(item) is str else str(item)
    action, message, category, module, line = item
    texts = [("re", t.pattern, t.flags) if isinstance(t, re.Pattern) else t for t in (message, module)]
    return (action, texts[0], f"{category.__module__}:{category.__qualname__}", texts[1], line)


def _decoded_list(name: str, change: Mapping[str, Any]) -> dict[str, list[tuple[Any, Any]]]:
    """Return `front`, `back` and `removed` as pairs (encoded, entry to put in)."""
    decode = _warning_filter if name == "warning filters" else _unchanged
    pairs = {end: [(item, decode(item)) for item in change[end]] for end in ("front", "back")}
    return {**pairs, "removed": [(item, None) for item in change["removed"]]}


def _unchanged(item: Any) -> Any:
    return item


def _warning_filter(item: tuple[Any, ...]) -> tuple[Any, ...]:
    action, message, category, module, line = item
    message, module = (re.compile(*t[1:]) if isinstance(t, tuple) else t for t in (message, module))
    library, _, path = category.partition(":")
    found: Any = _library(library)
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise CheckpointUnreadableError(
            f"the step filters warnings of class {category}, which is not here; define it first, or {_CURE}"
        )
    return (action, message, found, module, line)


def _put_list(name: str, change: Mapping[str, list[tuple[Any, Any]]]) -> None:
    live: list[Any] = sys.path if name == "sys.path" else warnings.filters  # type: ignore[assignment]
    gone = [encoded for pairs in change.values() for encoded, _ in pairs]
    middle = [item for item in live if _encoded(name, item) not in gone]
    if name == "warning filters":
        warnings.resetwarnings()  # the public way to tell the module that its filters are other ones
    live[:] = [item for _, item in change["front"]] + middle + [item for _, item in change["back"]]


# --- options: mappings from names to values ---


class _Options(Protocol):
    """A set of options of one library."""

    label: str
    module: str

    def look(self) -> dict[str, Any] | None:
        """Return all options, None while the library is not loaded."""

    def defaults(self) -> Mapping[str, Any]:
        """Return what a fresh import has."""

    def write(self, changes: dict[str, Any]) -> None:
        """Set some."""


class _Environ:
    label, module = "environ:{}", "os"

    def look(self) -> dict[str, Any]:
        return dict(os.environ)

    def defaults(self) -> Mapping[str, Any]:
        return {}

    def write(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Decimal:
    label, module = "decimal {}", "decimal"

    def look(self, context: decimal.Context | None = None) -> dict[str, Any]:
        context = context or decimal.getcontext()
        found = {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
        for signals in ("traps", "flags"):
            found[signals] = [signal.__name__ for signal, on in getattr(context, signals).items() if on]
        return found

    def defaults(self) -> Mapping[str, Any]:
        return self.look(decimal.DefaultContext)

    def write(self, changes: dict[str, Any]) -> None:
        context = decimal.getcontext()  # changed in place: variables of the notebook may hold it
        for name, value in changes.items():
            if name not in ("traps", "flags"):
                setattr(context, name, value)
                continue
            signals = getattr(context, name)
            for signal in signals:
                signals[signal] = signal.__name__ in value


class _NumpyPrinting:
    label, module = "numpy print option {}", "numpy"

    def look(self) -> dict[str, Any] | None:
        read = getattr(sys.modules.get("numpy"), "get_printoptions", None)
        return dict(read()) if read is not None else None

    def defaults(self) -> Mapping[str, Any]:
        texts = {"nanstr": "nan", "infstr": "inf", "sign": "-", "floatmode": "maxprec", "formatter": None}
        numbers = {"edgeitems": 3, "threshold": 1000, "precision": 8, "linewidth": 75, "suppress": False}
        return {**texts, **numbers, "legacy": False, "override_repr": None}

    def write(self, changes: dict[str, Any]) -> None:
        _library("numpy").set_printoptions(**changes)


class _NumpyErrors:
    label, module = "numpy error state {}", "numpy"

    def look(self) -> dict[str, Any] | None:
        numpy = sys.modules.get("numpy")
        read = getattr(numpy, "geterr", None)
        return {**read(), "call": numpy.geterrcall()} if numpy is not None and read is not None else None

    def defaults(self) -> Mapping[str, Any]:
        return {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn", "call": None}

    def write(self, changes: dict[str, Any]) -> None:
        numpy = _library("numpy")
        if "call" in changes:
            numpy.seterrcall(changes["call"])
        numpy.seterr(**{name: value for name, value in changes.items() if name != "call"})


class _Pandas:
    label, module = "pandas option {}", "pandas"

    def look(self) -> dict[str, Any] | None:
        # private, as there is no public way to read all options at once; pandas keeps it since 0.14
        tree = getattr(sys.modules.get("pandas._config.config"), "_global_config", None)
        if tree is None:
            return None
        found: dict[str, Any] = {}
        todo = [("", tree)]
        while todo:
            prefix, branch = todo.pop()
            for name, value in branch.items():
                if type(value) is dict:
                    todo.append((f"{prefix}{name}.", value))
                else:
                    found[prefix + name] = value
        return found

    def defaults(self) -> Mapping[str, Any]:
        registered = getattr(sys.modules.get("pandas._config.config"), "_registered_options", {})
        return {name: option.defval for name, option in registered.items()}

    def write(self, changes: dict[str, Any]) -> None:
        pandas = _library("pandas")
        for name, value in changes.items():
            pandas.set_option(name, value)


class _Matplotlib:
    label, module = "rcParams {}", "matplotlib"
    # The backend belongs to the front end, and is chosen by the kernel when the first figure is drawn.
    skipped = frozenset({"backend", "backend_fallback"})

    def look(self) -> dict[str, Any] | None:
        return self.copied(getattr(sys.modules.get("matplotlib"), "rcParams", None))

    def copied(self, values: Any) -> dict[str, Any] | None:
        if values is None:
            return None
        # dict.items, as reading single items warns about deprecated ones and may load a backend
        found = {name: list(value) if type(value) is list else value for name, value in dict.items(values)}
        for name in self.skipped:
            found.pop(name, None)
        return found

    def defaults(self) -> Mapping[str, Any]:
        return self.copied(getattr(sys.modules.get("matplotlib"), "rcParamsOrig", None)) or {}

    def write(self, changes: dict[str, Any]) -> None:
        _library("matplotlib").rcParams.update(changes)


_OPTIONS: Final[dict[str, _Options]] = {
    "environ": _Environ(),
    "decimal": _Decimal(),
    "numpy printing": _NumpyPrinting(),
    "numpy errors": _NumpyErrors(),
    "pandas": _Pandas(),
    "matplotlib": _Matplotlib(),
}


def _option_changes(name: str, before: Mapping[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are new or have another value; None for deleted names of the environment."""
    if before is None or before.keys() != after.keys():  # loaded by the step, or loaded more of itself
        before = {**_OPTIONS[name].defaults(), **(before or {})}
    changes = {key: value for key, value in after.items() if key not in before or not _equal(before[key], value)}
    if name == "environ":
        changes |= dict.fromkeys(before.keys() - after.keys())
    return changes


def _equal(a: Any, b: Any) -> bool:
    """Compare two option values, among which True and 1 differ."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except (TypeError, ValueError):  # an array, or what else a user made an option of
        return False


def _is_worth_saying(name: str, key: str, value: Any) -> bool:
    """Tell changes that somebody made from those that come with computing and drawing; all are put back."""
    return (name, key) != ("decimal", "flags") and not (key == "interactive" and value is True)


def _is_secret(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)


def _plain(value: Any) -> Any:
    """Return an option value in builtins; TypeError if it has no such form."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, str):  # matplotlib's CapStyle
        return str.__str__(value)
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _plain(value.item())
    if type(value).__name__ == "Cycler":
        return {_FORM: "cycler", "value": _plain(value.by_key())}
    if type(value) is types.BuiltinMethodType and value.__name__ == "format" and type(value.__self__) is str:
        return {_FORM: "format", "value": value.__self__}  # display.float_format = "{:.2f}".format
    raise TypeError(f"a {type(value).__name__} has no plain form")


_FORM: Final = "ckpt_magic"
"""Key that tells a rebuilt value from a dict."""


def _rebuilt(value: Any) -> Any:
    if type(value) is dict and _FORM in value:
        inner = value["value"]
        return inner.format if value[_FORM] == "format" else _library("cycler").cycler(**inner)
    return value


def _wanted(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Import the library, check that it has these options, and return their values."""
    source = _OPTIONS[name]
    if changes.keys() == {"interactive"} and source.module not in sys.modules:
        return {}  # set by the kernel when the first figure is drawn: no reason to import matplotlib
    _library(source.module)
    unknown = [] if name == "environ" else sorted(changes.keys() - (source.look() or {}).keys())
    if unknown:
        raise CheckpointUnreadableError(
            f"the step set {source.label.format(unknown[0])}, which the installed {source.module} does not have;"
            f" install the version the step ran with, or {_CURE}"
        )
    return {key: _rebuilt(value) for key, value in changes.items()}


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CheckpointUnreadableError(
            f"the step set options of {name}, and {name} cannot be imported here ({error}); install it, or {_CURE}"
        ) from error
