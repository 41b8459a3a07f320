"""State of the process that code depends on without naming it: generators, counters, working directory, options.

Look, compare, put back. What can be put back is described in plain builtins, so that a checkpoint opens where a
library is missing.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import gc
import importlib
import locale
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from os import getcwd  # as it is now: the notebook may put another function in its place
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.values import counters, generators, options, shell, warned
from ckpt_magic.values.libraries import CURE, needed

SETTING: Final = "setting"
LIST: Final = "list"
"""Sources, as `changes` calls them, that are no options of a library."""

SECRET_NAMES: Final = (
    *("KEY", "KEYS", "*APIKEY", "*ACCESSKEY", "*SECRETKEY", "*PRIVATEKEY", "*TOKEN", "TOKENS", "*SECRET", "*SECRETS"),
    *("PASS", "SSHPASS", "*PASSWD", "*PASSWORD", "*PASSWORDS", "PGPASSFILE", "*PASSPHRASE", "*PASSCODE", "?*_PWD"),
    *("CREDENTIAL*", "CREDS", "COOKIE", "DSN", "JWT"),
)
"""Patterns of environment names whose values are never stored.

Each is compared, without case, with the whole name and with its parts: `GITHUB_TOKEN` and `HF_API_KEY` look like
secrets, `TOKENIZERS_PARALLELISM`, `KEYBOARD` and `MONKEY` do not.
"""


@dataclass(frozen=True, slots=True)
class Ambient:
    """What one look saw. Compare two of them with `compare`; the fields are of no use elsewhere."""

    generators: dict[str, Any]
    settings: dict[str, Any]
    lists: dict[str, tuple[Any, ...]]
    options: options.Options
    counters: counters.Numbers


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
    out_of_reach: tuple[str, ...] = ()
    """Those of `refused` that may hold values: places of libraries, what compiled functions set."""
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Options that are no plain data, by source and name: `state` has them not, they are saved as variables are."""


def look(sources: Set[str] | None = None) -> Ambient:
    """Read the ambient state; takes a fifth of a millisecond with numpy, pandas and matplotlib loaded.

    With `sources` no options but theirs, no generators, counters and warnings.
    """
    return Ambient(
        generators=generators.look() if sources is None else {},
        settings={name: read() for name, (read, _) in _SETTINGS.items()},
        lists={"sys.path": tuple(sys.path), "warning filters": tuple(warnings.filters)},
        options=options.look(sources),
        counters=counters.look() if sources is None else {},
    )


def changes(before: Ambient, after: Ambient) -> dict[tuple[str, str], Any]:
    """What is another one than before, random generators aside: by source and name; None for an option that is gone."""
    found: dict[tuple[str, str], Any] = {}
    for name, value in after.settings.items():
        if value != before.settings.get(name) and (value is not None or name == "socket timeout"):
            found[SETTING, name] = value
    for name, items in after.lists.items():
        if items != before.lists.get(name):
            found[LIST, name] = items
    for source, read in after.options.items():
        for name, value in options.changes(source, before.options.get(source), read).items():
            found[source, name] = value
    return found


def value(look: Ambient, source: str, name: str) -> Any:
    """One of the values of a look, by its key in `changes`; None if it is not there."""
    if source in (SETTING, LIST):
        return (look.settings if source == SETTING else look.lists).get(name)
    return look.options.get(source, {}).get(name)


def with_values(look: Ambient, values: Mapping[tuple[str, str], Any]) -> Ambient:
    """The same look, with other values of some parts; None for one that was not there."""
    found = {
        SETTING: dict(look.settings),
        LIST: dict(look.lists),
        **{name: dict(o) for name, o in look.options.items()},
    }
    for (source, name), value in values.items():
        read = found.setdefault(source, {})
        if value is None and source not in (SETTING, LIST):
            read.pop(name, None)
        else:
            read[name] = value
    return replace(look, settings=found.pop(SETTING), lists=found.pop(LIST), options=found)


def as_imported(look: Ambient) -> Ambient:
    """The same look, with options of libraries as a fresh import has them, where that is known."""
    return replace(look, options={name: read for name, read in look.options.items() if not options.has_defaults(name)})


def plain(source: str, name: str, value: Any) -> Any:
    """Such a value in builtins; TypeError if it has no such form."""
    if source == LIST:
        return [_encoded(name, item) for item in value or ()]
    return value if source == SETTING else options.plain(value)


def label(source: str, name: str) -> str:
    """Call a part of the ambient state by what people know it as."""
    return name if source in (SETTING, LIST) else options.label(source, name)


def puts_the_same(name: str, *changes: tuple[tuple[Any, ...], tuple[Any, ...]]) -> bool:
    """Whether changes of a list, each from what it was to what it became, put the same in and take the same out."""
    first, *others = ({**_list_change(name, *change), "twice": ()} for change in changes)
    return all(other == first for other in others)


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
    values: dict[tuple[str, str], Any] = {}
    for (source, name), value in changes(before, after).items():
        text = label(source, name)
        if source == SETTING:
            state["settings"][name] = value
            changed.append(text)
        elif source == LIST:
            state["lists"][name] = _list_change(name, before.lists.get(name, ()), value)
            changed.append(text)
        else:
            if options.is_worth_saying(source, name, value):
                changed.append(text)
            if source == "environ" and value is not None and is_secret(name, secrets):
                refused.append(f"{text} (looks like a secret)")
                continue
            if options.is_lost(source, name, value):
                refused.append(f"{text} (taken away)")
                continue
            try:
                state["options"].setdefault(source, {})[name] = options.plain(value)
            except TypeError:
                if options.takes_objects(source, name):
                    values[source, name] = value
                else:
                    refused.append(f"{text} (a {type(value).__name__})")
    if counted := counters.changes(before.counters, after.counters):
        state["counters"] = counted
    if shown := warned.look():  # all: a restore changes filters on its way, after which notes of before are out of date
        state["warned"] = shown
    moved = not generators.equal(before.generators, after.generators)
    return Change(state, tuple(changed), moved, tuple(refused), values=values)


def folders(paths: Iterable[Sequence[Sequence[str]]]) -> tuple[list[str], list[str]]:
    """What steps, the first one first, have put in front of `sys.path` and behind."""
    front, back = list[str](), list[str]()
    for first, last in paths:
        front, back = [*first, *front], [*back, *last]
    return front, back


@contextlib.contextmanager
def finding(front: Sequence[str], back: Sequence[str]) -> Iterator[None]:
    """Let modules be found in these folders, too: a step may have put them into `sys.path` before it imported one."""
    before = sys.path[:]
    if front or back:
        sys.path[:] = [*front, *(folder for folder in before if folder not in (*front, *back)), *back]
    try:
        yield
    finally:
        if front or back:
            sys.path[:] = before


def is_secret(name: str, patterns: Sequence[str] = SECRET_NAMES) -> bool:
    """Tell whether an environment name looks like that of a secret."""
    return _is_secret(name, tuple(patterns))


@functools.lru_cache(maxsize=4096)  # each step asks for the names of the whole environment
def _is_secret(name: str, patterns: tuple[str, ...]) -> bool:
    is_one, name = _secret(patterns), name.upper()
    return is_one(name) is not None or any(map(is_one, re.split(r"[\W_\d]+", name)))


@functools.cache
def _secret(patterns: tuple[str, ...]) -> Callable[[str], Any]:
    return re.compile("|".join(fnmatch.translate(pattern.upper()) for pattern in patterns) or r"(?!)").match


def check(state: Mapping[str, Any], *, generators_too: bool = True, names: Mapping[str, Any] | None = None) -> None:
    """Find out whether `put_back` can do its work; a library that the state names and that is not loaded is imported.

    Parameters
    ----------
    state, generators_too, names
        As of `put_back`.

    Raises
    ------
    CheckpointUnreadableError
        A folder, library, option, locale or warning class is not there. Nothing was changed.
    """
    _checked(state, generators_too=generators_too, names=names)


def not_there(state: Mapping[str, Any] | None) -> str | None:
    """What of the state a library registers only when it is called; None if all of it can be had."""
    return None if state is None else options.not_there(state["options"])


def put_back(state: Mapping[str, Any], *, generators_too: bool, names: Mapping[str, Any] | None = None) -> None:
    """Bring the process into the state that a step left.

    Parameters
    ----------
    state
        `Change.state`.
    generators_too
        Put back the states of the random generators, too.
    names
        What will be in the notebook's namespace: the class of a warning may be among it.

    Raises
    ------
    CheckpointUnreadableError
        As of `check`, which is asked first: nothing was changed.
    """
    lists, wanted = _checked(state, generators_too=generators_too, names=names)
    logged = wanted.pop("logging", {})  # not below: the end of the context would undo `captureWarnings`
    with warnings.catch_warnings():  # old option names may be deprecated; that was said when the step ran
        warnings.simplefilter("ignore")
        for name, changes in wanted.items():
            options.write(name, changes)
        counters.put_back(state.get("counters", {}))  # which may import a part of a library
    options.write("logging", logged)
    for name, value in state["settings"].items():  # after the environment, which tells the time zone
        _SETTINGS[name][1](value)
    for name, change in lists.items():
        _put_list(name, change)
    if generators_too:  # last, since importing a library may draw
        generators.put_back(state["generators"])
    warned.put_back(state.get("warned", {}))  # the filters change no more


def put_beside(state: Mapping[str, Any]) -> None:
    """Bring back what is said of names of the notebook, once these are bound."""
    shell.hide(state["options"].get("shell", {}).get("hidden") or ())


def _checked(
    state: Mapping[str, Any], *, generators_too: bool, names: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The lists and options to put back, all being there."""
    lists = {name: _decoded_list(name, change, names or {}) for name, change in state["lists"].items()}
    wanted = {name: options.wanted(name, changes) for name, changes in state["options"].items()}
    if generators_too:
        generators.check(state["generators"])
    for name, value in state["settings"].items():
        if name in _CHECKS:
            _CHECKS[name](value)
    return lists, wanted


# --- single settings ---


def cwd() -> str | None:
    """The working directory; None where it was deleted."""
    try:
        return getcwd()
    except OSError:
        return None


def _check_folder(folder: str) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise CheckpointUnreadableError(
            f"the step changed to the folder {folder}: {error.strerror or error}; make it, or {CURE}",
            name=folder,
        ) from error


def _check_locale(name: str) -> None:
    old = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error as error:
        raise CheckpointUnreadableError(
            f"the step set the locale {name}, which is not installed here; install it, or {CURE}", name=name
        ) from error
    finally:
        locale.setlocale(locale.LC_ALL, old)


def _collect(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


def _socket_timeout() -> float | None:
    read = getattr(sys.modules.get("socket"), "getdefaulttimeout", lambda: None)  # before it is loaded there is none
    seconds: float | None = read()
    return seconds


def _set_socket_timeout(seconds: float | None) -> None:
    import socket

    socket.setdefaulttimeout(seconds)


def _traced_frames() -> int:
    module = sys.modules.get("tracemalloc")
    return int(module.get_traceback_limit()) if module is not None and module.is_tracing() else 0


def _trace_memory(frames: int) -> None:
    module = importlib.import_module("tracemalloc")
    module.stop()
    if frames:
        module.start(frames)


def _handles_faults() -> bool:
    return bool(getattr(sys.modules.get("faulthandler"), "is_enabled", bool)())


def _handle_faults(on: bool) -> None:
    module = importlib.import_module("faulthandler")
    try:
        (module.enable if on else module.disable)()
    except (OSError, RuntimeError):  # the stream of errors has no file: the step gave it another one
        module.enable(sys.__stderr__)


def _csv_field() -> int:
    module = sys.modules.get("csv")
    return 131_072 if module is None else int(module.field_size_limit())


_SETTINGS: Final[dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]] = {
    "cwd": (cwd, os.chdir),
    "recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "locale": (lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)),
    "time zone": (lambda: (time.tzname, time.timezone), lambda _: time.tzset()),
    "switch interval": (sys.getswitchinterval, sys.setswitchinterval),
    "digits of an int": (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "garbage collection": (gc.isenabled, _collect),
    "garbage collection thresholds": (gc.get_threshold, lambda thresholds: gc.set_threshold(*thresholds)),
    "garbage collection flags": (gc.get_debug, gc.set_debug),
    "socket timeout": (_socket_timeout, _set_socket_timeout),
    "tracing of memory": (_traced_frames, _trace_memory),
    "fault handler": (_handles_faults, _handle_faults),
    "size of a field of csv": (_csv_field, lambda size: importlib.import_module("csv").field_size_limit(size)),
}
_CHECKS: Final[dict[str, Callable[[Any], None]]] = {"cwd": _check_folder, "locale": _check_locale}


# --- lists: sys.path and warning filters, of which only the changed ends are kept ---


def _list_change(name: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> dict[str, Any]:
    """Describe a new list by what was put around the longest run of the old one that is still there."""
    old, new = ([_encoded(name, item) for item in items] for items in (before, after))
    import difflib  # here, since lists change seldom

    block = difflib.SequenceMatcher(None, old, new, autojunk=False).find_longest_match()
    kept = new[block.b : block.b + block.size]
    front, back = new[: block.b], new[block.b + block.size :]
    gone = [*front, *back, *(item for item in old if old.count(item) > kept.count(item))]
    return {
        "front": front,
        "back": back,
        "removed": [item for item in old if item in gone and item not in front + back],
        # entries that are in the list more than once, each with how many like it come before
        "twice": [(item, old[: block.a + at].count(item)) for at, item in enumerate(kept) if item in gone],
    }


def _encoded(name: str, item: Any) -> Any:
    """Return an entry in builtins: the import system ignores what is no text; regexes and classes become texts."""
    if name == "sys.path":
        return item if type(item) is str else str(item)
    action, message, category, module, line = item
    texts = [("re", t.pattern, t.flags) if isinstance(t, re.Pattern) else t for t in (message, module)]
    return (action, texts[0], f"{category.__module__}:{category.__qualname__}", texts[1], line)


def _decoded_list(name: str, change: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, list[tuple[Any, Any]]]:
    """Return the parts as pairs (encoded, entry to put in)."""
    is_filter = name == "warning filters"
    pairs = {
        end: [(item, _warning_filter(item, names) if is_filter else item) for item in change[end]]
        for end in ("front", "back")
    }
    return {**pairs, **{part: [(item, None) for item in change.get(part, ())] for part in ("removed", "twice")}}


def _warning_filter(item: tuple[Any, ...], names: Mapping[str, Any]) -> tuple[Any, ...]:
    action, message, category, module, line = item
    message, module = (re.compile(*t[1:]) if isinstance(t, tuple) else t for t in (message, module))
    library, _, path = category.partition(":")
    first, *rest = path.split(".")
    here = library == "__main__" and first in names
    found: Any = names[first] if here else getattr(needed("the step filters warnings of", library), first, None)
    for part in rest:
        found = getattr(found, part, None)
    if found is None:
        raise CheckpointUnreadableError(
            f"the step filters warnings of class {category}, which is not here; define it first, or {CURE}"
        )
    return (action, message, found, module, line)


def _put_list(name: str, change: Mapping[str, list[tuple[Any, Any]]]) -> None:
    live: list[Any] = sys.path if name == "sys.path" else warnings.filters  # type: ignore[assignment]
    gone = [entry for part in ("front", "back", "removed") for entry, _ in change[part]]
    gone += [entry for (entry, _), _ in change["twice"]]
    old = [_encoded(name, item) for item in live]
    kept = [entry for entry, _ in change["twice"]]
    middle = [
        item
        for at, (item, entry) in enumerate(zip(live, old, strict=True))
        if entry not in gone or (entry, old[:at].count(entry)) in kept
    ]
    if name == "warning filters":
        warnings.resetwarnings()  # the public way to tell the module that its filters are other ones
    live[:] = [item for _, item in change["front"]] + middle + [item for _, item in change["back"]]
