"""META of a checkpoint: the record of how its values came about, as plain JSON."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
import types
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final, TypeVar

from ckpt_magic.errors import UsageError
from ckpt_magic.files.format import StoredStep
from ckpt_magic.steps import freshness, shapes
from ckpt_magic.steps.freshness import Verdict
from ckpt_magic.steps.history import Read
from ckpt_magic.steps.plan import Outcome, Plan
from ckpt_magic.steps.registry import Decision, saved_codes
from ckpt_magic.steps.uses import PLACE, split
from ckpt_magic.values import ambient, delta, outlines, owned
from ckpt_magic.values.code import effects
from ckpt_magic.values.code.kinds import Kinds
from ckpt_magic.values.code.statements import Step
from ckpt_magic.values.pickles import holding, references
from ckpt_magic.values.pickles.tokens import is_of_atoms

Judged = TypeVar("Judged", Decision, Verdict)

UNKNOWN = "unknown:"  # how the digest of a value begins that cannot be compared
ABSENT = ""  # in `seen`: a name that the step read, if only perhaps, and that was not there

# what a META without these keys (a foreign pickle that was trusted) says of them
EMPTY: Mapping[str, Any] = {
    "method": None,
    "title": None,
    "notebook": None,
    "kernel": "",
    "writer": None,
    "created": None,
    "seconds": 0.0,
    "source": "",
    "code": "",
    "codes": (),
    "imports": (),
    "variables": (),
    "flat": (),
    "outlines": {},
    "deleted": (),
    "remade": (),
    "lost": (),
    "unsaved": (),
    "result": None,
    "order": (),
    "reads": {},
    "joint": (),
    "measured": (),
    "results": (),
    "touches": False,
    "groups": {},
    "owned": (),
    "seen": {},
    "same": None,
    "inputs": {},
    "unmade": (),
    "unmarked": {},
    "before": {},
    "near": None,
    "definitions": {},
    "marks": (),
    "ambient": (),
    "sets": {},
    "around": {},
    "shown": (),
    "moved": (),
    "drawn": {},
    "seeded": (),
    "refused": (),
    "out_of_reach": (),
    "paths": ((), ()),
    "outputs_cut": None,
    "python": "",
    "packages": {},
    "needs": (),
    "evidence": None,
    "accepted": None,
    "confirmed": None,
}


def meta_of(
    plan: Plan,
    outcome: Outcome,
    found: delta.Delta,
    surroundings: ambient.Change,
    *,
    kind: str,
    kernel: str,
    notebook: str | None,
    saved: Mapping[str, Any],
    unsaved: Sequence[str],
    order: Sequence[str],
    lost: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any] | None,
    used: Set[str],
    renewed: Set[str],
    unmarked: Mapping[str, tuple[int, str]],
    tell: outlines.Tell,
    marks: Sequence[str],
    chance: Mapping[str, Any],
    around: Mapping[str, Any],
    evidence: Mapping[str, Any],
    loaded: Set[str],
    near: Callable[[Iterable[str]], Mapping[str, str] | None],
) -> dict[str, Any]:
    """Write META of a step that ran.

    What is known only when the pickle is written is not in it: what the file itself adds (digests, versions), and in
    `groups` the digests of what is saved.

    Parameters
    ----------
    plan, outcome, found, surroundings
        What was asked for, how the step ended, what it changed among the names and around them.
    kind
        `cell` or `method`.
    kernel, notebook
        Who writes: identity of the kernel, path of the notebook relative to the folder.
    saved, unsaved, order, lost
        What the pickle holds, what a restore binds to placeholders, both in the order of the namespace, and rows about
        what could not be saved.
    result
        If the value of the last expression could not be saved: the variable that holds it (or None), type and reason.
    used
        Names that the step read or holds jointly.
    renewed
        Names that it has bound anew, whatever they held before.
    unmarked
        Names without a saved value that unmarked cells of this kernel have read, with their producers.
    tell
        Gives short values as people write them, see `outlines`.
    marks
        Why the checkpoint holds for this kernel only.
    chance
        What it did to the random generators.
    around
        What code of this kernel had set around it, and what it set itself.
    evidence
        How it came about, see `evidence`.
    loaded
        Modules that are imported where it is restored, if they are still there.
    """
    before = plan.before
    assert before is not None
    own = f"step_{plan.call.step}"
    if kind != "cell":
        renewed = {own}
    # a value that cannot be compared never equals another one: every run of it is another content
    unknown = {name: f"{UNKNOWN}{uuid.uuid4().hex}" for name in (*unsaved, *found.lost)}
    reads = {name: list(before.producers[name]) for name in sorted(used & before.producers.keys())}
    joint = sorted(reads.keys() - before.reads)
    replaced = sorted((saved.keys() & before.state.looks.keys()) - renewed)
    known = recorded({"reads": reads, "joint": joint, "seen": before.seen})
    return {
        "name": plan.key.name,
        "version": plan.key.version,
        "step": plan.call.step,
        "kind": kind,
        "method": plan.code.method,
        "title": plan.call.title,
        "notebook": notebook,
        "kernel": kernel,
        "writer": process(),
        "created": now(),
        "seconds": round(outcome.seconds, 6),
        "python": platform.python_version(),
        "source": plan.code.source,
        "code": plan.code.digest,
        "codes": saved_codes(plan.history, plan.code.digest),
        "imports": [name for name in sys.modules if name in loaded and sys.modules[name] is not None],
        "variables": variables(saved if kind == "cell" else {own: saved[own], **saved}),
        "flat": [name for name, value in saved.items() if is_flat(value)] if kind == "cell" else [],
        "outlines": outlines.outlines(saved, tell),
        "deleted": list(found.deleted),
        "remade": list(found.remade),
        "lost": list(lost),
        "unsaved": list(unsaved),
        "result": result,
        "order": list(order) if unsaved else [],
        "reads": reads,
        "joint": joint,
        "measured": sorted(before.measured),
        "touches": before.touches,
        "results": sorted(name for name, one in before.results.items() if saved.get(name) is one),
        "groups": unknown,
        "owned": [[list(path), digest] for path, digest in found.owned.items()],
        "seen": before.seen,
        "same": told_apart(before.same, known, before.seen),
        "inputs": {name: one for name, one in before.inputs.items() if name in before.seen or name in used},
        "unmade": sorted(before.unmade),
        "unmarked": {name: list(producer) for name, producer in sorted(unmarked.items())},
        "before": {name: before.state.looks[name].digest for name in replaced},
        "near": near([*replaced, *found.deleted, *_modules_of(around["sets"])]) if kind == "cell" else {},
        "marks": list(marks),
        "ambient": list(surroundings.names),
        **around,
        **chance,
        "refused": list(surroundings.refused),
        "out_of_reach": list(surroundings.out_of_reach),
        "paths": _paths(surroundings),
        "outputs_cut": outcome.outputs_cut,
        "evidence": evidence,
    }


def _paths(surroundings: ambient.Change) -> list[list[str]]:
    """Folders that a step put in front of `sys.path` and behind: what it imported from there is found there again."""
    change = surroundings.state["lists"].get("sys.path", {})
    front, back = ([*change.get(end, ())] for end in ("front", "back"))
    if "cwd" in surroundings.state["settings"]:  # another folder is the current one while the checkpoint is read
        front += [""] if "" in sys.path and "" not in (*front, *back) else []
        front, back = [*map(os.path.abspath, front)], [*map(os.path.abspath, back)]
    return [front, back]


def replaced(meta: Mapping[str, Any]) -> set[str]:
    """Names that were there and that a step gave other values, and what stands in `holding` for modules it changed."""
    return {*meta["before"], *meta["deleted"], *_modules_of(meta["sets"])}


def held_by(meta: Mapping[str, Any]) -> dict[str, str]:
    """Per name of a step what it set that may hold the value, and that no restore brings back.

    A library may have put a class into a table of its own, which nobody can look into.
    """
    return dict.fromkeys(meta["groups"], meta["out_of_reach"][0]) if meta["out_of_reach"] else {}


def held(meta: Mapping[str, Any], by: Mapping[str, str]) -> str:
    """Say which value that a checkpoint replaces is held so, which would stay the old one; empty if none is."""
    name = min(replaced(meta) & by.keys(), default="")
    return f"what holds `{name}` may be out of reach: {by[name]}" if name else ""


def _modules_of(parts: Iterable[str]) -> set[str]:
    return {holding.of_module(name.partition(":")[0]) for origin, name in map(split, parts) if origin == PLACE}


def completed(stored: StoredStep) -> StoredStep:
    """A file of which META has all its keys, each of the form it should have; else it counts as damaged."""
    if stored.trust != "trusted":
        return stored
    stored.meta.update({**EMPTY, **stored.meta})
    wrong = shapes.misfits(stored.meta)
    return stored.spoiled(f"its record makes no sense ({', '.join(wrong)})") if wrong else stored


def told_apart(groups: Iterable[Sequence[str]], names: Set[str], seen: Mapping[str, str]) -> list[list[str]]:
    """What of such groups no other digest tells: those with a name that no step made."""
    found = ([name for name in group if name in names] for group in groups)
    return [group for group in found if len(group) > 1 and not seen.keys().isdisjoint(group)]


def led_to(name: str, groups: Iterable[Sequence[str]]) -> set[str]:
    """Of functions or classes of one name, that name at the top level and the variables that lead to them."""
    return {name.partition(".")[0], *(one for names in groups for one in names)}


def recorded(meta: Mapping[str, Any]) -> set[str]:
    """The names that the step could read, and of which META tells what it found in them."""
    seen = {name for name, digest in meta["seen"].items() if digest != ABSENT}
    return seen.union(meta["reads"]).difference(meta["joint"])


def as_accepted(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """META with what the user accepted in place of what the step came from; None if nothing was accepted."""
    accepted = meta["accepted"]
    if accepted is None:
        return None
    return {**meta, "codes": (), **{key: accepted["meta"][key] for key in shapes.ACCEPTED}}


def paths(rows: Iterable[Mapping[str, Any]], modules: Iterable[str]) -> list[str]:
    """Paths of files of META, and what files of modules are called."""
    named = (os.path.join(row["path"], "*") if "count" in row else row["path"] for row in rows)
    return [*named, *(f"{name.rpartition('.')[2]}.py" for name in modules)]


def variables_set(evidence: Mapping[str, Any], around: Iterable[str]) -> dict[str, str]:
    """What stands for setting those variables that a step asks for and code above it had set, and which they are."""
    names = (name for origin, name in map(split, around) if origin == "environ")
    found = {f"<surroundings environ {name}>": name for name in names if name in evidence["environ"]}
    rests = evidence.get("rests", ())
    return {one: name for one, name in found.items() if one in rests or "<surroundings environ *>" in rests}


def changers(read: Read) -> list[str]:
    """What stands for all that may change what cells read."""
    return effects.of_read(paths(read.files.values(), ()), read.environ)


def by_either(meta: Mapping[str, Any], judge: Callable[[Mapping[str, Any]], Judged], good: Judged) -> Judged:
    """Judge a checkpoint; what the user accepted, or a kernel confirmed, counts as if it had always been so.

    It is judged by each, each as a whole: half of what was accepted is neither.
    """
    found = judge(meta)
    if found == good:
        return found
    if (confirmed := meta["confirmed"]) is not None and judge(confirmed) == good:
        return good
    accepted = as_accepted(meta)
    if accepted is None or judge(accepted) != good:
        return found
    return replace(good, note=accepted_text(meta))


def accepted_text(meta: Mapping[str, Any]) -> str:
    """What the user accepted, in one line."""
    accepted = meta["accepted"]
    return f"accepted {accepted['date'][:10]}" + (f": {accepted['reason']}" if accepted["reason"] else "")


def variables(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per saved variable: name, type, shape (or length) and bytes of its data where it tells them."""
    return [
        {"name": name, "type": type_name(value), "shape": _shape(value), "bytes": _bytes(value)}
        for name, value in values.items()
    ]


def as_step(meta: Mapping[str, Any]) -> Step:
    """What a step left when it was saved, for `values.origins`."""
    return Step(meta["step"], meta["groups"], frozenset(meta["deleted"]), kinds_of(meta))


def kinds_of(meta: Mapping[str, Any]) -> Kinds:
    """Of which kinds the values are that a step left."""
    tables, atoms = (
        frozenset(row["name"] for row in meta["variables"] if row["type"] in kinds) for kinds in (_TABLES, _ATOMS)
    )
    flat = frozenset(meta["flat"])
    return Kinds(tables, flat, flat & atoms)  # a class of the notebook may be called `int`


def is_flat(value: Any) -> bool:
    """Whether a value is a number or a text, or a list, a set or a dict of these, or of tuples of these.

    What is large counts as none, for the sake of time.
    """
    kind = type(value)
    if kind not in _FLAT or len(value) > _LARGE:
        return kind in references.ATOMS
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    kinds = set(map(type, inside))
    return kinds <= references.ATOMS or (tuple in kinds and all(map(is_of_atoms, inside)))


_TABLES: Final = frozenset({"pandas.DataFrame", "pandas.Series", "polars.DataFrame", "polars.Series", "numpy.ndarray"})
_ATOMS: Final = frozenset({"bool", "bytes", "complex", "float", "int", "str"})
_FLAT: Final = frozenset({list, tuple, set, frozenset, dict, deque, Counter, OrderedDict})
_LARGE: Final = 10_000  # elements


def type_name(value: Any) -> str:
    """Name of the type as people write it: `int`, `pandas.DataFrame`, `sqlite3.Connection`."""
    kind = type(value)
    if issubclass(kind, type):
        return "class"
    top = references.library_of(kind)
    return kind.__qualname__ if top in ("", "builtins", "__main__") else f"{top}.{kind.__qualname__}"


def packages(modules: Iterable[str]) -> dict[str, str]:
    """Versions of the installed packages among the top-level modules that a pickle imports from."""
    versions = {}
    for module in sorted(set(modules) - sys.stdlib_module_names):
        loaded = sys.modules.get(module)
        version = vars(loaded).get("__version__") if isinstance(loaded, types.ModuleType) else None
        if not isinstance(version, str):
            version = _installed_version(module)
            if version is None:
                continue
        versions[module] = version
    return versions


@functools.cache
def _installed_version(module: str) -> str | None:
    """Version of the package that a module that is not loaded, or does not tell, belongs to; None if none is known."""
    import importlib.metadata  # here, since it takes longer than all of ours, and most say their version

    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        if owned.is_own(module) or (module not in sys.modules and not _can_be_found(module)):
            return None
        distributions = _distributions().get(module, ())  # `attr` is of `attrs`, `sklearn` of `scikit-learn`
        return importlib.metadata.version(distributions[0]) if distributions else _written_version(module)


def _written_version(module: str) -> str | None:
    """What the text of a package says for which nothing is on record: one that was copied or linked, or of conda."""
    origin = getattr(_spec(module), "origin", None)  # libraries put specifications of their own there
    files = [] if origin is None else [Path(origin)]
    files += [file.with_name(name) for file in files for name in _SAY_THE_VERSION]
    for file in files:
        with suppress(OSError, UnicodeDecodeError):
            if file.suffix == ".py" and (found := _VERSION.search(file.read_text(encoding="utf-8"))):
                return found[1]
    return None


_SAY_THE_VERSION = ("_version.py", "version.py", "__version__.py", "__about__.py")
_VERSION = re.compile(r"""^(?:__version__|version)(?:\s*:\s*\w+)?\s*=.*?["']([^"'\s]+)["']\s*(?:#.*)?$""", re.MULTILINE)


def _can_be_found(module: str) -> bool:
    """Whether there is such a module: functions may name one that nobody has, as those of a `namedtuple` do."""
    return _spec(module) is not None


def _spec(module: str) -> ModuleSpec | None:
    import importlib.util

    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):  # one that was put among the modules by hand has none
        return None


@functools.cache
def _distributions() -> Mapping[str, Sequence[str]]:
    import importlib.metadata

    return importlib.metadata.packages_distributions()


def version_as_then(module: str, then: str, version: str) -> str:
    """The version of a package here, in the words of the one that is on record if both may be the same.

    What is not loaded tells only what it was installed as: torch 2.5.1 for `torch.__version__`, 2.5.1+cu124,
    opencv-python 4.10.0.84 for `cv2.__version__`, 4.10.0, rdkit 2026.9.1 for 2026.09.1, verde 1.9.0 for v1.9.0,
    and 2.0b1 for 2.0.0-beta.1.
    """
    if version == then or module in sys.modules:
        return version
    told = then if "+" in version else then.partition("+")[0]

    def is_same(version: str) -> bool:
        return version == then or version.startswith(f"{then}.") or _is_same_version(version, told)

    return then if is_same(version) or is_same(_version_of_files(module)) else version


@functools.cache
def _version_of_files(module: str) -> str:
    """Version of the package that has the files of a module, if that of its name has none: `bs4` brings another one."""
    import importlib.metadata

    with suppress(importlib.metadata.PackageNotFoundError):
        files = importlib.metadata.distribution(module).read_text("RECORD")
        if files and not re.search(rf"(?m)^{re.escape(module)}[./]|\.pth,", files):
            return importlib.metadata.version(_distributions().get(module, [module])[0])
    return ""


def _is_same_version(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version  # here: most packages say what they are installed as

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _packages_here(meta: Mapping[str, Any]) -> dict[str, str]:
    then = meta["packages"]
    return {name: version_as_then(name, then[name], version) for name, version in packages(then).items()}


def other_versions(meta: Mapping[str, Any]) -> list[str]:
    """The packages that the values of a checkpoint need and that have another version here, a line for each."""
    here = _packages_here(meta)
    return [
        freshness.other_version(name, version, here[name])
        for name, version in meta["packages"].items()
        if name in here and here[name] != version
    ]


def is_same_file(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows of META tell of one path with one content, as far as they tell."""
    told = ("digest",) if "digest" in one and "digest" in other else ("size", "mtime", "absent")
    return one["path"] == other["path"] and all(one.get(name) == other.get(name) for name in told)


def is_same_environment(meta: Mapping[str, Any]) -> bool:
    """Whether this Python and the packages that a checkpoint needs are those that wrote it."""
    here = platform.python_version(), _packages_here(meta)
    return here == (meta["python"], meta["packages"])


def is_same_python(meta: Mapping[str, Any]) -> bool:
    """Whether the minor version of Python that wrote a checkpoint is the one here: digests of code depend on it."""
    return bool(meta["python"].split(".")[:2] == platform.python_version().split(".")[:2])


def size(count: float | None) -> str:
    """Bytes in the unit people use: `850 bytes`, `1.2 GB`."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count:.0f} byte{'' if count == 1 else 's'}"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def process() -> dict[str, Any]:
    """What tells this process from all others."""
    return dict(_process(os.getpid()))


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> dict[str, Any]:
    return {"host": platform.node(), "pid": pid, "started": started(pid)}


def started(pid: int) -> int | None:
    """When a process of this machine started, in ticks since the machine did; None if it is gone, or nobody tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def parse_size(text: str) -> int:
    """Read bytes as people write them: `20 GB`, `500MB`, `1.5 TiB`; the inverse of `size`.

    Raises
    ------
    UsageError
        It is no size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(|bytes?|[kKMGT]i?B?|B)\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is no size: use a number with kB, MB, GB or TB, such as 20GB")
    unit = match[2]
    power = "kMGT".find(unit[:1].replace("K", "k")) + 1 if unit[:1] not in ("", "b", "B") else 0
    return int(float(match[1]) * (1024 if "i" in unit else 1000) ** power)


def parse_age(text: str) -> float:
    """Read an age such as `14d`, `6 h`, `2w` or `30m` (minutes); in seconds.

    Raises
    ------
    UsageError
        It is no age.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([mhdw])\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is no age: use a number with m (minutes), h, d or w, such as 14d")
    return float(match[1]) * {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}[match[2]]


def now() -> str:
    """The time now, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def notebook_path(notebook: Path | None, folder: Path) -> str | None:
    """Path of a notebook relative to the checkpoint folder, so that moving the project changes nothing."""
    if notebook is None:
        return None
    try:
        return Path(os.path.relpath(notebook, folder)).as_posix()
    except ValueError:  # another drive, on Windows
        return notebook.as_posix()


def _shape(value: Any) -> list[int] | None:
    kind = type(value)
    if kind in (str, bytes, bytearray, list, tuple, dict, set, frozenset):
        return [len(value)]
    if references.library_of(kind) in ("builtins", "__main__"):
        return None
    shape = getattr(value, "shape", None) if hasattr(kind, "shape") else None
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return [int(length) for length in shape]
    return None


def _bytes(value: Any) -> int | None:
    """Bytes of the data, where the value knows them without walking through Python objects."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return len(value)
    top = references.library_of(kind)
    if top == "pandas" and kind.__name__ in ("DataFrame", "Series"):
        # not `frame.memory_usage`, which takes out each column, with a deep copy of the frame's `attrs`
        blocks = getattr(getattr(value, "_mgr", None), "blocks", ())
        return int(value.index.memory_usage()) + sum(int(block.values.nbytes) for block in blocks)
    if top == "torch" and getattr(value, "is_sparse", True):  # `nbytes` of these raises
        return None
    if top in ("numpy", "pyarrow", "torch"):
        size = getattr(value, "nbytes", None)
        return int(size) if isinstance(size, int) else None
    if top == "polars" and kind.__name__ == "DataFrame":
        return int(value.estimated_size())
    return None
