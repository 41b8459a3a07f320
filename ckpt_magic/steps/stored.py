"""The stored outputs of a pipeline as a mapping that reads a step when it is looked at.

Each file is loaded alone, so every value is as its step left it. Nothing is put into the user's namespace, and
definitions are never mapped by name onto live ones.
"""

from __future__ import annotations

import builtins
import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ckpt_magic.errors import (
    CheckpointError,
    CheckpointUnreadableError,
    DamagedError,
    NotPicklableError,
    StepNotFoundError,
    StoreError,
)
from ckpt_magic.files import format as files
from ckpt_magic.files import problems, usage
from ckpt_magic.files.maps import Map
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store, check_name, folder_path, natural
from ckpt_magic.files.trust import Keyring, load_keyring
from ckpt_magic.steps import record
from ckpt_magic.steps.record import size
from ckpt_magic.values import ambient
from ckpt_magic.values.pickles import unpickling

_KEY = re.compile(r"step_(\d+)(_\w+)?")
_SHOWN_VARIABLES = 6
_FONT = "font-family:var(--jp-ui-font-family,sans-serif)"
QUIET = f"color:var(--jp-ui-font-color2,inherit);{_FONT}"  # the banner
PLAIN = f"color:var(--jp-ui-font-color1,inherit);{_FONT}"  # tables are there to be read
_TABLE = "color:inherit;font-size:inherit;margin:0;border-collapse:collapse"


class Outputs(Mapping[str, Any]):
    """What the steps of a pipeline left: `outputs["step_1"]`, `outputs[1]`, `outputs.step_1`.

    Opening reads no values: a step is read and mapped when it is looked at, and then kept. For a cell the value is the
    dict of its variables, for a method its return value. A step whose file may not be read is listed too, and raises
    its error when it is looked at. Iterates as `step_1`, `step_2`, … in numeric order.

    Parameters
    ----------
    folder
        Folder of the checkpoints.
    name, version
        The pipeline.
    full_names
        Full name of the method per step, `{1: "step_1_load"}`; these names are keys too, and steps of them that are
        not stored are shown as missing.
    steps
        Only these steps; None for all.
    keyring
        The keys of this user; read when first needed if not given.
    need
        Told of each file that values are maps of.

    Raises
    ------
    UsageError
        A name cannot be part of a file name.
    StoreError
        The folder cannot be listed.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        version: str | int,
        *,
        full_names: Mapping[int, str] | None = None,
        steps: Iterable[int] | None = None,
        keyring: Keyring | None = None,
        need: Callable[[Path, Map], None] = lambda path, mapped: None,
    ) -> None:
        self._folder = folder_path(folder)
        self._name = check_name(name, "name")
        self._version = check_name(str(version), "version")
        self._methods = dict(full_names or {})
        self._keyring = keyring
        self._need = need
        self._values: dict[int, Any] = {}
        chosen = None if steps is None else set(steps)
        publisher().wait(self._folder)
        entries = Store(self._folder).entries(self._name, self._version)
        self._entries = {entry.step: entry for entry in entries if chosen is None or entry.step in chosen}
        self._looks: dict[int, files.StoredStep | CheckpointError] = {}

    def __getitem__(self, key: str | int) -> Any:
        step = self._step(key)
        if step not in self._entries:
            raise self._missing(key)
        if step not in self._values:
            self._values[step] = self._read(step)
        return self._values[step]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str | int) and self._step(key) in self._entries

    def get(self, key: str | int, default: Any = None) -> Any:
        """The value of a step, or `default` if it is not stored; a step that cannot be read raises."""
        if key not in self:
            return default
        return self[key]

    def __iter__(self) -> Iterator[str]:
        return (f"step_{step}" for step in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getattr__(self, name: str) -> Any:
        # asked for names that are no attributes: nothing here may read a file unless it is a step
        if not name.startswith("step_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name not in self:
            raise AttributeError(str(self._missing(name)))
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._keys()]

    def _ipython_key_completions_(self) -> list[str]:
        return self._keys()

    def __reduce__(self) -> tuple[Any, ...]:
        # They look at files, which change: saved with a step, they would come back as something else.
        raise NotPicklableError("outputs are a view of files; keep the values that you need, or `dict(outputs)`")

    def __repr__(self) -> str:
        head, headings, lines = self._table()
        if not lines:
            return head
        widths = [max(len(line[column]) for line in (headings, *lines)) for column in range(len(headings))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in (headings, *lines)
        ]
        return "\n".join([head, *(f"  {line}".rstrip() for line in text)])

    def _repr_html_(self) -> str:
        head, headings, lines = self._table()
        return f'<div style="{PLAIN}">' + f"{html_text(head)}{html_table(headings, lines) if lines else ''}</div>"

    # -- reading ------------------------------------------------------------------------------------------------

    def _step(self, key: str | int) -> int | None:
        """The number that a key means; None if it means no step."""
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        full_name = self._full_name(int(match[1])) if match and match[2] else None
        with suppress(StepNotFoundError):
            return _number(step_key(key, {_number(full_name): full_name} if full_name else {}))
        return None

    def _full_name(self, step: int) -> str | None:
        """Full name of the method that wrote a step; files are asked only where nobody told."""
        if self._methods:
            return self._methods.get(step)
        look = self._look(step) if step in self._entries else None
        name = look.meta.get("method") if isinstance(look, files.StoredStep) else None
        return name if isinstance(name, str) else None

    def _look(self, step: int) -> files.StoredStep | CheckpointError:
        """FOOTER and META of a step, or why there are none."""
        if step not in self._looks:
            if self._keyring is None:
                self._keyring = load_keyring()
            entry = self._entries[step]
            publisher().wait(entry.path)
            try:
                stored = record.completed(files.open_checkpoint(entry.path, self._keyring))
            except (StepNotFoundError, StoreError) as error:
                self._looks[step] = error
                return error
            if stored.problem is None and not self._belongs(stored, step):
                self._looks[step] = problems.other_writer(entry.path, stored.meta)
            else:
                self._looks[step] = stored.problem or stored
        return self._looks[step]

    def _belongs(self, stored: files.StoredStep, step: int) -> bool:
        return files.belongs(stored.meta, self._name, self._version, step)

    def _read(self, step: int) -> Any:
        look = self._look(step)
        if isinstance(look, CheckpointError):
            self._looks.pop(step)  # it may be mended before the next try
            raise look.with_traceback(None)
        if look.meta.get("kind") != "cell":
            return self._unpickle(look, new_globals())
        names = _Globals(self, step)
        value = self._unpickle(look, names)
        names.update(value)
        return value

    def _unpickle(self, look: files.StoredStep, names: dict[str, Any]) -> Any:
        usage.note(look.path)
        return unpickle(look, names, self._need, lambda: self._paths(look.meta["step"]))

    def _paths(self, step: int) -> tuple[list[str], list[str]]:
        """Folders in which the steps up to `step` found modules, those that come first and those that come last."""
        looks = (self._look(number) for number in sorted(self._entries) if number <= step)
        return ambient.folders(look.meta["paths"] for look in looks if isinstance(look, files.StoredStep))

    def _holders(self, step: int) -> dict[str, int]:
        """Per name the step, up to `step`, that gave it the value it had then."""
        holders: dict[str, int] = {}
        for one in sorted(number for number in self._entries if number <= step):
            look = self._look(one)
            if isinstance(look, files.StoredStep) and look.meta.get("kind") == "cell":
                for name in (*look.meta.get("deleted", ()), *look.meta.get("unsaved", ())):
                    holders.pop(name, None)
                holders.update(dict.fromkeys((row["name"] for row in look.meta["variables"]), one))
        return holders

    def _missing(self, key: str | int) -> StepNotFoundError:
        return missing(key, list(self), where=f"`{self._name}` version {self._version} in {self._folder}")

    def _keys(self) -> list[str]:
        full = (self._full_name(step) for step in self._entries)
        return list(dict.fromkeys([*self, *(name for name in full if name)]))

    # -- showing ------------------------------------------------------------------------------------------------

    def _table(self) -> tuple[str, list[str], list[list[str]]]:
        lines = [self._line(step) for step in sorted(self._entries.keys() | self._methods.keys())]
        head = f"outputs of `{self._name}`, version {self._version}, in {printable(shown_folder(self._folder))}"
        return head + ("" if lines else ": nothing is stored"), ["step", "size", "holds", ""], lines

    def _line(self, step: int) -> list[str]:
        if step not in self._entries:
            return [f"step_{step}", "", "", "missing"]
        look = self._look(step)
        label = printable(self._full_name(step) or f"step_{step}")
        if isinstance(look, CheckpointError):
            return [label, "", "", f"cannot be read: {printable(str(look).split(chr(10), 1)[0])}"]
        rows = look.meta.get("variables", ())
        if look.meta.get("kind") != "cell":
            rows = [{**row, "name": ""} for row in rows if row["name"] == f"step_{step}"] or rows
        state = "read" if step in self._values else ""
        unsaved = look.meta.get("unsaved", ())
        state += f"without {', '.join(map(printable, unsaved))}" if unsaved else ""
        return [label, size(look.size), variables_text(rows), state]


class _Globals(dict[str, Any]):
    """Globals of the functions of one step: its own names, then those that lower steps had left it, read when used.

    The lower steps are loaded once more for that, since their functions must see the names of this step.
    """

    def __init__(self, outputs: Outputs, step: int) -> None:
        super().__init__(new_globals())
        self._outputs = outputs
        self._number = step
        self._holders: dict[str, int] | None = None

    def __missing__(self, name: str) -> Any:
        # Python asks here for builtins too, hence the table
        if self._holders is None:
            self._holders = self._outputs._holders(self._number)
        holder = self._holders.get(name)
        look = self._outputs._look(holder) if holder is not None else None
        if not isinstance(look, files.StoredStep):
            raise KeyError(name)
        value = self._outputs._unpickle(look, self)
        self.update({one: value[one] for one in value if self._holders.get(one) == holder})
        return self[name]


def new_globals() -> dict[str, Any]:
    """Globals for functions that are loaded; C code that imports, such as numpy's, looks for the builtins there."""
    return {"__name__": "__main__", "__builtins__": builtins}


def load(name: str, version: str | int = 1, folder: str | Path = ".ckpt") -> Outputs:
    """Open the stored outputs of a pipeline; no value is read before it is looked at.

    Parameters
    ----------
    name
        Name of the pipeline.
    version
        Its version.
    folder
        Folder of the checkpoints.

    Returns
    -------
    Outputs
        `outputs["step_1"]` is the dict of the variables of step 1, or the return value of a method.

    Raises
    ------
    StepNotFoundError
        Nothing is stored under that name and version; the message lists what is.

    Examples
    --------
    >>> outputs = load("model-training")  # doctest: +SKIP
    >>> outputs["step_1"]["dataset"]  # doctest: +SKIP
    """
    outputs = Outputs(folder, name, version)
    if not outputs:
        raise nothing_stored(Store(folder_path(folder)), name, version)
    return outputs


def unpickle(
    stored: files.StoredStep,
    names: dict[str, Any],
    need: Callable[[Path, Map], None] = lambda path, mapped: None,
    paths: Callable[[], tuple[Sequence[str], Sequence[str]]] = lambda: ((), ()),
) -> Any:
    """Read the value in a file; its functions get `names` as their globals, and `need` is told of the map.

    Where a module is missing, it is looked for in `paths`, too.
    """
    meta = stored.meta

    def read(front: Sequence[str], back: Sequence[str]) -> tuple[Any, Map]:
        parts = stored.parts()
        with ambient.finding(front, back):
            for module in meta["imports"]:
                with suppress(Exception):  # what the values need themselves is imported by the pickle, or missed there
                    importlib.import_module(module)
            value = unpickling.read(parts.skeleton, parts.buffers, kind=meta["kind"], globals=names).value
        return value, parts.map

    try:
        try:
            value, mapped = read(*meta["paths"])
        except CheckpointUnreadableError:
            if not any(more := paths()):
                raise
            value, mapped = read(*more)
    except DamagedError as error:
        raise problems.damaged(stored.path, str(error)) from error
    except CheckpointUnreadableError as error:
        raise CheckpointUnreadableError(
            f"{stored.path} cannot be read here: {error}; install what is missing, or run the step again here",
            name=error.name,
        ) from error
    mapped.release()
    need(stored.path, mapped)
    return value


def nothing_stored(store: Store, name: str | None = None, version: str | int | None = None) -> StepNotFoundError:
    """The error for a pipeline (or a folder) without checkpoints: it lists the pipelines of the folder."""
    there = pipelines_text(store)
    what = "" if name is None else f" of `{name}`" + ("" if version is None else f" version {version}")
    return StepNotFoundError(
        f"nothing is stored{what} in {store.folder}; "
        + (f"stored there: {there}" if there else "there are no checkpoints at all in that folder")
    )


def pipelines_text(store: Store) -> str:
    """Names and versions of a folder: `a (versions 1, 2), b (version 1)`."""
    versions: dict[str, set[str]] = {}
    for entry in store.entries():
        versions.setdefault(entry.name, set()).add(entry.version)
    return ", ".join(
        f"{name} (version{'s' if len(found) > 1 else ''} {', '.join(sorted(found, key=natural))})"
        for name, found in sorted(versions.items())
    )


def step_key(key: object, full_names: Mapping[int, str]) -> str:
    """Turn what a user may write for a step, `step_1`, `step_1_load` or `1`, into `step_1`.

    Parameters
    ----------
    full_names
        Full names of the methods by number. A key with more than the number must be among them.

    Raises
    ------
    StepNotFoundError
        It means no step.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return f"step_{key}"
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None or (match[2] and full_names.get(int(match[1])) != key):
        raise missing(key, [f"step_{step}" for step in full_names])
    return f"step_{int(match[1])}"


def _number(key: str) -> int:
    return int(key.split("_")[1])


def shown_folder(folder: Path) -> str:
    """A folder as people see it from here: a stored page should not carry a machine's paths."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def missing(key: object, there: Sequence[str], *, where: str = "these outputs") -> StepNotFoundError:
    """The error for a step that is not there; it lists what is."""
    label = f"step_{key}" if isinstance(key, int) else str(key)
    return StepNotFoundError(f"there is no {label} in {where}; there is {', '.join(there) or 'nothing yet'}")


# -- words and tables, for the faces too ----------------------------------------------------------------------------


def variables_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Variables of META as one line: `flights pandas.DataFrame 336776 × 19, n int`."""
    shown = [
        " ".join(printable(str(part)) for part in (row["name"], row["type"], shape_text(row["shape"])) if part)
        for row in rows[:_SHOWN_VARIABLES]
    ]
    more = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def shape_text(shape: Sequence[int] | None) -> str:
    """Shape or length: `336776 × 19`, `3`."""
    return "" if shape is None else " × ".join(str(length) for length in shape) or "()"


def printable(text: str) -> str:
    """Write out control characters and others that could change what a terminal or a page shows."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else repr(char)[1:-1] for char in text
    )


def html_text(text: str) -> str:
    """The same, escaped for HTML."""
    import html  # here, since a script shows no tables

    return html.escape(printable(text))


def html_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table as HTML; alignment is said here since notebooks align tables to the right."""
    head = "".join(_html_cell("th", heading) for heading in headings)
    body = "".join(f"<tr>{''.join(_html_cell('td', cell) for cell in line)}</tr>" for line in lines)
    return (
        f'<table style="{_TABLE}">'
        + f"{f'<thead><tr>{head}</tr></thead>' if headings else ''}<tbody>{body}</tbody></table>"
    )


def _html_cell(tag: str, text: str) -> str:
    """A cell; short ones such as `829 ms` stay on one line, whatever the width."""
    whole = ";white-space:nowrap" if len(text) <= 20 else ""
    return f'<{tag} style="text-align:left;vertical-align:top;padding:2px 14px 2px 0{whole}">{html_text(text)}</{tag}>'
