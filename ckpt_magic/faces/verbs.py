"""What the magics and the command line share: their arguments, and what load, status and diff do.

Every face reads the same rows and calls the same functions. Knows no shell, prints nothing.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ckpt_magic.errors import StepNotFoundError, UsageError
from ckpt_magic.faces import status
from ckpt_magic.faces.marking import split_step
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import advice
from ckpt_magic.steps.advice import Advice
from ckpt_magic.steps.record import completed, size
from ckpt_magic.steps.registry import POLICIES, Pipeline, PipelineKey, StepCall, steps_text
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.stored import Outputs, nothing_stored, pipelines_text, printable, shown_folder

if TYPE_CHECKING:
    from ckpt_magic.faces import versions

# -- arguments ------------------------------------------------------------------------------------------------------

Span = tuple[int, int]


class LineError(UsageError):
    """What a line says does not go together, or lacks something: who shows it tells where to read more."""


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
        raise UsageError(self.told(message))

    def told(self, message: str) -> str:
        """What is wrong with a line, for people."""
        return f"{self.prog}: {message}; `{self.prog}?` shows what it takes"


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
    parser.add_argument(
        "steps", nargs="*", default=[], type=span, metavar="STEP", help="a step such as 2, or a range such as 1-3"
    )


@functools.cache
def step_arguments() -> Arguments:
    """The arguments of `%%step`; made once, for that takes longer than to read a line with them."""
    parser = Arguments("%%step")
    parser.add_argument("step", type=step_number, metavar="N")
    add_pipeline(parser)
    parser.add_argument("--title")
    for option in ("--save", "--drop", "--require"):
        parser.add_argument(option, nargs="+", action="extend", default=[], type=_variable, metavar="NAME")
    parser.add_argument("--depends", nargs="+", action="extend", default=[], metavar="PATH")
    parser.add_argument("--key", action="append", default=[], type=_expression, metavar="EXPR")
    parser.add_argument("--stale", choices=POLICIES)
    for option in ("--always", "--force"):
        parser.add_argument(option, action="store_true")
    return parser


def parse_step(line: str) -> StepCall:
    """Turn the text after `%%step` into a call.

    Raises
    ------
    UsageError
        An argument is wrong.
    """
    given: dict[str, Any] = vars(step_arguments().parse_line(line))
    given.update({option: tuple(given[option]) for option in ("save", "drop", "require", "depends", "key")})
    return StepCall(**given)


def span(text: str) -> Span:
    """Read `2`, `step_2` or `1-3`."""
    first, dash, last = text.removeprefix("step_").replace("–", "-").partition("-")  # as we print it
    low, high = _whole(first), _whole(last if dash else first)
    if low is None or high is None or low > high:
        raise argparse.ArgumentTypeError(f"{text!r} is no step: use a number such as 2 or a range such as 1-3")
    return low, high


def step_number(text: str) -> int:
    """Read the number of a cell's step."""
    if not (number := _whole(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no step number: use a whole number from 1")
    return number


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None  # of thousands of digits Python makes no number


def _expression(text: str) -> str:
    try:
        compile(text, "--key", "eval")
    except (SyntaxError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no expression; put quotes around one with spaces") from error
    return text


def _variable(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a variable")
    return text


def code_cells(path: Path) -> list[str]:
    """Texts of the code cells of a notebook's file; `UsageError` if it cannot be read or is none."""
    try:
        cells = json.loads(notebook_text(path))["cells"]
        return ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{path} is not a notebook of format 4") from None


def places(sources: Iterable[str]) -> Iterator[tuple[str | None, dict[str, str]]]:
    """The line of each cell, None for an unmarked one, with the name, version and folder that hold for it."""
    above: dict[str, str] = {}
    for text in sources:
        line, body = split_step(text)
        if line is not None:
            yield line, above | _place_in(line)
        else:
            for configured in _CONFIGURED.findall(body):
                above |= _place_in(configured)
            yield None, above


def _place_in(line: str) -> dict[str, str]:
    return {option: value.strip("\"'") for option, value in _OPTION.findall(line)}


_CONFIGURED: Final = re.compile(r"^[ \t]*%ckpt_config[ \t]+(.*)$", re.MULTILINE)
_OPTION: Final = re.compile(r"--(name|version|folder)[ =]+(\"[^\"]*\"|'[^']*'|\S+)")


def notebook_text(path: Path) -> str:
    """What stands in the file of a notebook; `UsageError` if it is no file or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for, a device read without end
            raise UsageError(f"{path}: there is no such notebook")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a notebook: {error}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


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


def pipeline(settings: Settings, given: argparse.Namespace, how: str) -> PipelineKey:
    """The pipeline that is meant by `name`, `version` and `folder` of a line.

    Raises
    ------
    LineError
        It has no name; `how` says how to give one.
    """
    call = StepCall(0, name=given.name, version=given.version, folder=given.folder)
    if settings.notebook is None and settings.is_default_name(call):
        there = pipelines_text(Store(settings.folder(given.folder)))
        raise LineError(f"which pipeline? {how}{f'; stored: {there}' if there else ''}")
    return settings.resolve(call)


# -- start ----------------------------------------------------------------------------------------------------------


def advise(key: PipelineKey, names: Sequence[str], keyring: Keyring) -> list[Advice]:
    """From which step on a notebook must run again after names got other values."""
    metas = {}
    for entry in Store(key.folder).entries(key.name, key.version):
        stored = completed(files.open_checkpoint(entry.path, keyring))
        if stored.trust == "trusted":
            metas[entry.step] = stored.meta
    return advice.advise(names, metas)


def advice_text(one: Advice) -> str:
    """One line of advice."""
    if one.start is None:
        return f"`{one.name}` is read by no stored step"
    saves = f" (saves {status.duration(one.saves)})" if one.saves else ""
    return f"`{one.name}` is read by {steps_text(list(one.steps))}: start from {one.start}{saves}"


def safe_start(found: Sequence[Advice]) -> dict[str, str]:
    """One line of advice after a cell, to be displayed: what steps read of what it changed, and where to start."""
    parts = []
    for (start, saves), group in itertools.groupby(found, lambda one: (one.start, one.saves)):
        read = ", ".join(f"`{one.name}` is read by {steps_text(one.steps)}" for one in group)
        parts.append(f"{read}: start from {start} (saves {status.duration(saves)})")
    line = printable("; ".join(parts))
    return {"text/plain": line, "text/html": status.line_html(line)}


# -- accept ---------------------------------------------------------------------------------------------------------


def accepted_lines(step: int, causes: Sequence[str]) -> list[str]:
    """What was accepted, for people."""
    return [f"step {step} · accepted", *(printable(f"  {cause}") for cause in causes)]


# -- load -----------------------------------------------------------------------------------------------------------


def load(key: PipelineKey, spans: Sequence[Span], keyring: Keyring, **options: Any) -> Outputs:
    """The stored outputs of a pipeline, or of some of its steps; `options` are those of `Outputs`."""
    return Outputs(key.folder, key.name, key.version, steps=chosen_steps(key, spans), keyring=keyring, **options)


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
    held: Mapping[Path, int] | None = None,
    named: Collection[str] = (),
    **asked: Any,
) -> status.Rows:
    """Rows about the steps that are meant.

    With a name (given or configured) those of that pipeline; else those of the pipelines seen in this kernel and of the
    notebook's, among them those `named` by its cells; else, where no notebook is known, all of the folder. What the
    folder has besides is said in the note. `asked` are `outlook` and `judging` of `status.rows`.
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
    found, notes = status.Rows(), []
    for one in dict.fromkeys(folders):
        part = status.rows(Store(one), keyring, name=name, version=version, pipelines=seen, held=held, **asked)
        notes.append(part.note)
        found += part
    mine = {key.name for key in seen} | {str(shown["name"][0]), *named}
    if name is None and (settings.notebook is not None or any(row["name"] in mine for row in found)):
        found = status.Rows(row for row in found if row["name"] in mine)
    found.note = "\n".join(filter(None, [*notes, _besides(Store(folders[0]), found)]))
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
