"""What the magics and the command line share: their arguments, and what load, status, clear and trust do.

Every face reads the same rows and calls the same functions. Knows no shell, prints nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ckpt_magic.errors import CheckpointError, StepNotFoundError, UntrustedError, UsageError
from ckpt_magic.faces import status
from ckpt_magic.files import format as files
from ckpt_magic.files.disk import explained
from ckpt_magic.files.store import Store, date_text, trust
from ckpt_magic.files.trust import Keyring, import_key, key_folder, read_key
from ckpt_magic.steps.record import size
from ckpt_magic.steps.registry import Pipeline, PipelineKey, StepCall, steps_text
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.stored import Outputs, nothing_stored, pipelines_text, printable, shown_folder

if TYPE_CHECKING:
    from ckpt_magic.faces import versions

# -- arguments ------------------------------------------------------------------------------------------------------

Span = tuple[int, int]


class Arguments(argparse.ArgumentParser):
    """Parses the line of a magic; what is wrong with it is a `UsageError`.

    Parameters
    ----------
    magic
        Name of the magic, with its percent signs.
    """

    def __init__(self, magic: str) -> None:
        super().__init__(prog=magic, add_help=False, allow_abbrev=False)

    def parse_line(self, line: str) -> argparse.Namespace:
        """Parse the text after the magic's name; quotes are as in a shell."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.error(f"{error} in {line!r}".lower())
        return self.parse_args(words)

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        raise UsageError(f"{self.prog}: {message}; `{self.prog}?` shows what it takes")


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """Add `--name`, `--version` and `--folder`."""
    add_name_and_folder(parser)
    parser.add_argument("--version", help="its version")


def add_name_and_folder(parser: argparse.ArgumentParser) -> None:
    """Add `--name` and `--folder`."""
    parser.add_argument("--name", help="name of the pipeline")
    parser.add_argument("--folder", help="folder of the checkpoints")


def add_steps(parser: argparse.ArgumentParser) -> None:
    """Add numbers and ranges of steps."""
    parser.add_argument("steps", nargs="*", type=span, metavar="STEP", help="a step such as 2, or a range such as 1-3")


def step_arguments() -> Arguments:
    """The arguments of `%%step`."""
    parser = Arguments("%%step")
    parser.add_argument("step", type=_step_number, metavar="N")
    add_pipeline(parser)
    parser.add_argument("--title")
    for option in ("--save", "--drop", "--require"):
        parser.add_argument(option, nargs="+", action="extend", default=[], type=_variable, metavar="NAME")
    parser.add_argument("--force", action="store_true")
    return parser


def parse_step(line: str) -> StepCall:
    """Turn the text after `%%step` into a call.

    Raises
    ------
    UsageError
        An argument is wrong.
    """
    given: dict[str, Any] = vars(step_arguments().parse_line(line))
    given.update({option: tuple(given[option]) for option in ("save", "drop", "require")})
    return StepCall(**given)


def span(text: str) -> Span:
    """Read `2`, `step_2` or `1-3`."""
    first, dash, last = text.removeprefix("step_").replace("–", "-").partition("-")  # as we print it
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise argparse.ArgumentTypeError(f"{text!r} is no step: use a number such as 2 or a range such as 1-3")
    return int(first), int(last or first)


def _step_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no step number: use a whole number from 1")
    return int(text)


def _variable(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a variable")
    return text


def choose(spans: Sequence[Span], there: Sequence[int], where: str) -> list[int]:
    """The steps that are meant, in numeric order; none given means all.

    Raises
    ------
    StepNotFoundError
        A step, or a whole range, is not there.
    """
    chosen: set[int] = set()
    for first, last in spans:
        found = [step for step in there if first <= step <= last]
        if not found:
            meant = steps_text(list(dict.fromkeys([first, last])))
            stored = steps_text(sorted(there)) if there else "nothing"
            raise StepNotFoundError(f"{where}: {meant} is not stored; stored: {stored}")
        chosen.update(found)
    return sorted(chosen if spans else there)


def one_step(spans: Sequence[Span]) -> int | None:
    """The one step that `--failed` is about; None for the one that failed last.

    Raises
    ------
    UsageError
        More than one is given.
    """
    steps = {step for span in spans for step in span}
    if len(steps) > 1:
        raise UsageError("--failed takes one step, or none for the one that failed last")
    return next(iter(steps), None)


# -- load -----------------------------------------------------------------------------------------------------------


def load(key: PipelineKey, spans: Sequence[Span], keyring: Keyring) -> Outputs:
    """The stored outputs of a pipeline, or of some of its steps."""
    return Outputs(key.folder, key.name, key.version, steps=chosen_steps(key, spans), keyring=keyring)


def chosen_steps(key: PipelineKey, spans: Sequence[Span]) -> list[int]:
    """The stored steps that are meant.

    Raises
    ------
    StepNotFoundError
        They are not stored; the message lists what is.
    """
    store = Store(key.folder)
    there = [entry.step for entry in store.entries(key.name, key.version)]
    if not there:
        raise nothing_stored(store, key.name, key.version)
    return choose(spans, there, pipeline_text(key))


def pipeline_text(key: PipelineKey) -> str:
    """Name, version and folder in words."""
    return f"`{key.name}` version {key.version} in {key.folder}"


def receipt(row: Mapping[str, Any]) -> str:
    """One line about a step that was pushed."""
    names = list(row["variables"])
    text = f"step {row['step']} · pushed · {', '.join(names) or 'no variables'} · {size(row['bytes'])}"
    text += f" · {status.duration(row['seconds'])}"
    lost = row.get("lost") or ()
    return printable(text + (f" · without {', '.join(lost)}" if lost else ""))


# -- status ---------------------------------------------------------------------------------------------------------


def look(
    settings: Settings,
    keyring: Keyring,
    *,
    name: str | None = None,
    version: str | None = None,
    folder: str | None = None,
    pipelines: Mapping[PipelineKey, Pipeline] | None = None,
    outlook: Any = None,
) -> status.Rows:
    """Rows about the steps that are meant.

    With a name (given or configured) those of that pipeline; else those of the pipelines seen in this kernel and of the
    notebook's; else all of the folder. What the folder has besides is said in the note.
    """
    shown = settings.shown()
    if name is None and shown["name"][1] not in ("notebook", "default"):
        name = str(shown["name"][0])
    if version is None and shown["version"][1] != "default":
        version = str(shown["version"][0])
    seen = {key: pipeline for key, pipeline in (pipelines or {}).items() if pipeline.steps}
    folders = [settings.folder(folder)]
    if folder is None:
        folders += [key.folder for key in seen]
    found = status.Rows()
    for one in dict.fromkeys(folders):
        found += status.rows(Store(one), keyring, name=name, version=version, pipelines=seen, outlook=outlook)
    mine = {key.name for key in seen} | {str(shown["name"][0])}
    if name is None and any(row["name"] in mine for row in found):
        found = status.Rows(row for row in found if row["name"] in mine)
    found.note = _besides(Store(folders[0]), found)
    return found


def details(
    found: Sequence[dict[str, Any]], wanted: Span, keyring: Keyring, pipelines: Mapping[PipelineKey, Pipeline]
) -> list[status.Details]:
    """Everything about the steps in a range, out of the rows that `look` found.

    Raises
    ------
    StepNotFoundError
        There is no such step.
    """
    about = []
    choose([wanted], sorted({row["step"] for row in found}), "status")
    for row in found:
        if wanted[0] <= row["step"] <= wanted[1]:
            here = None
            for key, pipeline in pipelines.items():
                same_folder = row["path"] is None or Path(row["path"]).parent == key.folder
                if (key.name, key.version) == (row["name"], row["version"]) and same_folder:
                    here = pipeline.steps.get(row["step"], here)
            about.append(status.details(row, keyring, here))
    return about


def _besides(store: Store, found: Sequence[Mapping[str, Any]]) -> str:
    there = {(entry.name, entry.version) for entry in store.entries()}
    if there <= {(row["name"], row["version"]) for row in found}:
        return ""
    return f"stored in {shown_folder(store.folder)}: {pipelines_text(store)}; --name and --version choose"


# -- diff -----------------------------------------------------------------------------------------------------------


def diff(old: PipelineKey, new: PipelineKey, spans: Sequence[Span], keyring: Keyring) -> versions.VersionRows:
    """How two versions differ, in all steps or in some.

    Raises
    ------
    StepNotFoundError
        A version, or a step that was asked for, is not stored.
    """
    from ckpt_magic.faces import versions  # only this verb needs it, and not at the start of every kernel

    there = {entry.step for key in (old, new) for entry in Store(key.folder).entries(key.name, key.version)}
    return versions.differ(old, new, keyring, choose(spans, sorted(there), f"`{old.name}` in {old.folder}"))


# -- clear ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cleared:
    """Files that were deleted, or would be."""

    paths: list[Path]
    bytes: int
    deleted: bool

    def text(self) -> str:
        """What happened, in words."""
        if not self.paths:
            return "there is nothing to delete"
        lines = [f"  {printable(str(path))}" for path in self.paths]
        count = f"{len(self.paths)} file{'' if len(self.paths) == 1 else 's'}, {size(self.bytes)}"
        if self.deleted:
            return "\n".join([f"deleted {count}:", *lines])
        return "\n".join([f"would delete {count}:", *lines, "nothing was deleted; --yes deletes"])


def add_clear(parser: argparse.ArgumentParser) -> None:
    """Add what `clear` takes."""
    add_steps(parser)
    parser.add_argument("--all", action="store_true", help="all steps of the pipeline")
    parser.add_argument("--kept", action="store_true", help="files that were set aside (.bad-, .kept-)")
    add_pipeline(parser)
    parser.add_argument("--yes", action="store_true", help="delete; without it only say what would be deleted")


def clear(key: PipelineKey, spans: Sequence[Span], *, all_steps: bool, kept: bool, yes: bool) -> Cleared:
    """Delete checkpoints of a pipeline, or say which.

    Parameters
    ----------
    spans
        These steps.
    all_steps
        All of them.
    kept
        The files of this pipeline that were set aside.
    yes
        Really.

    Raises
    ------
    UsageError
        It is not said what to delete.
    StepNotFoundError
        A step is not stored.
    """
    if not spans and not all_steps and not kept:
        raise UsageError("say what to delete: steps such as 2 or 1-3, --all, or --kept for files that were set aside")
    if spans and all_steps:
        raise UsageError("give steps or --all, not both")
    store = Store(key.folder)
    paths = []
    if spans or all_steps:
        there = {entry.step: entry.path for entry in store.entries(key.name, key.version)}
        paths = [there[step] for step in choose(spans, list(there), pipeline_text(key))]
    if kept:
        prefix = f"{key.name}-v{key.version}-step"
        paths += [path for path in store.kept() if path.name.startswith(prefix)]
    with explained(key.folder, "the files cannot be looked at", reading=True):
        total = sum(path.lstat().st_size for path in paths)
    if yes:
        store.delete(paths)
    return Cleared(paths, total, yes)


# -- trust ----------------------------------------------------------------------------------------------------------


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add what `trust` takes."""
    parser.add_argument("path", nargs="?", metavar="FILE|FOLDER", help="a checkpoint file, or a folder of them")
    parser.add_argument("--key", metavar="FILE", help="accept the key in this file")
    parser.add_argument("--yes", action="store_true", help="sign; without it only show what would be signed")


def look_at_untrusted(path: Path, keyring: Keyring) -> tuple[list[files.Shown], list[str]]:
    """What is not trusted in a file or folder, and lines about what cannot be signed.

    Raises
    ------
    CheckpointError
        The one file cannot be signed.
    """
    if not os.path.isdir(path):
        return [files.show(path, keyring)], []
    shown, refused = [], []
    for one in Store(path).pickles():
        try:
            shown.append(files.show(one, keyring))
        except CheckpointError as error:
            refused.append(printable(f"{one.name}: {str(error).splitlines()[0]}"))
    return [one for one in shown if one.trust != "trusted"], refused


def trust_shown(
    shown: Iterable[files.Shown], keyring: Keyring, before: MutableMapping[Path, str], *, yes: bool
) -> list[str]:
    """Show files and, with `yes`, sign the very bytes that were shown.

    Parameters
    ----------
    before
        Digests of what was shown earlier; filled here. A file that changed since is not signed.
    """
    lines: list[str] = []
    for one in shown:
        if one.trust == "trusted":
            lines.append(f"{printable(str(one.path))} is trusted already")
            continue
        lines += _shown_lines(one)
        path = one.path.absolute()
        if yes and before.get(path, one.digest) != one.digest:
            before[path] = one.digest
            raise UntrustedError("\n".join([*lines, f"{path} changed since it was shown first; nothing was signed"]))
        before[path] = one.digest
        if yes:
            trust(path, keyring, one.digest)
        lines.append("  signed: it is trusted now" if yes else "  not signed; --yes signs these bytes")
    return lines


def trust_path(path: Path, keyring: Keyring, before: MutableMapping[Path, str], *, yes: bool) -> list[str]:
    """Show, and with `yes` sign, a file or what is not trusted in a folder; see `trust_shown`."""
    shown, refused = look_at_untrusted(path, keyring)
    lines = [*trust_shown(shown, keyring, before, yes=yes), *refused]
    return lines or [f"all checkpoints in {printable(str(path))} are trusted already"]


def _shown_lines(shown: files.Shown) -> list[str]:
    meta, kind = shown.meta, _KINDS.get(shown.trust, shown.trust)
    claims = f"step {meta.get('step')} of `{meta.get('name')}` version {meta.get('version')}" if meta else "nothing"
    called = ", ".join(shown.callables) or "nothing"
    return [
        printable(str(shown.path)),
        printable(f"  {kind} · owner {shown.owner} · {size(shown.size)} · {date_text(shown.mtime)}"),
        printable(f"  says of itself (anybody can write that): {claims}"),
        printable(f"  its pickle would import: {called}"),
    ]


_KINDS: Mapping[str, str] = {
    "other key": "someone else's checkpoint",
    "tampered": "TAMPERED: signed with a key of yours, changed afterwards",
    "foreign": "a pickle that ckpt_magic did not write",
}


def trust_key(path: Path, *, yes: bool) -> list[str]:
    """Accept the key of a file, or say which it is."""
    key = import_key(path) if yes else read_key(path)
    done = f"accepted from now on (kept in {key_folder() / 'accepted'})" if yes else "not accepted yet; --yes accepts"
    return [f"key {key.id.hex()}: {done}. Whoever has it can run code here through checkpoints."]
