"""What people see of steps: rows as text, HTML and JSON, everything about one step, and the banner.

Reads FOOTER and META only and never unpickles. META of a file that is not trusted may say anything: such rows are
marked, and all text is escaped, control characters included. Knows no shell.

The states of a row:

`stored`
    There is a checkpoint that this user accepts.
`missing`
    The step was seen in this kernel and has no checkpoint.
`held`
    So, too; but arrays that were restored from it keep its bytes on the disk until this kernel lets go of them.
`saving`
    It ran in this kernel, and its checkpoint is on its way to the disk. Size and age are of the older file.
`failed`
    It ran in this kernel and left no checkpoint: the cell failed, or saving did. Size and age are of the older file.
`other key`, `tampered`, `foreign`, `damaged`, `newer`
    There is a file, and it is not restored; the reason says what to do.
`other pipeline`
    The file's own record names another pipeline, version or step than its file name.
`unreadable`
    The file cannot be opened.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ckpt_magic.errors import CheckpointError, StepNotFoundError, StoreError
from ckpt_magic.faces import causes
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Entry, Store, date_text, in_order
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.freshness import Cause, Verdict
from ckpt_magic.steps.record import size
from ckpt_magic.steps.registry import Decision, Pipeline, PipelineKey, StepRecord
from ckpt_magic.steps.stored import PLAIN, QUIET, html_table, html_text, printable, shape_text, variables_text
from ckpt_magic.values import collector

Outlook = Callable[[PipelineKey, int, files.StoredStep | None], Decision | None]
Judging = Callable[[PipelineKey, int, files.StoredStep | None], Verdict | None]
TEXT_WIDTH = 120
_MAP_SECONDS = 0.003  # what a restore takes besides reading the skeleton
_READ_RATE = 200e6  # bytes of a skeleton per second, unpickled
_UNTRUSTED = frozenset({"other key", "tampered", "foreign", "damaged", "newer", "other pipeline", "unreadable"})
_PLAIN = frozenset({"stored", "missing", "failed"})  # where the verdict says as much
_NONE = "no steps: nothing is stored"


class Rows(list[dict[str, Any]]):
    """Rows about steps: a list of dicts that shows itself as a table.

    Each row has the keys `step`, `name`, `version`, `title`, `state`, `verdict` (`fresh`, `stale`, `missing`, `failed`,
    `foreign`, `could not tell`), `reasons` (dicts with `kind`, `thing`, `line`, `old`, `new`), `note` (what the user
    accepted), `next` (`run`, `restore`, `error`), `next_seconds` (what that takes, as far as is known), `reason`,
    `run_seconds`, `restore_seconds`, `bytes`, `saved_at` (UTC), `variables` (name, type, shape, bytes), `lost`, `path`.
    From `verdict` to `next_seconds` they are None or empty where neither a kernel nor a notebook is looked at.

    Attributes
    ----------
    note
        Lines that are shown below the table.
    """

    note = ""

    def __repr__(self) -> str:
        return rows_text(self, width=_width())

    def _repr_html_(self) -> str:
        return rows_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # a variable that holds them is saved as what it is without this package: a list
        return list, (list(self),)


def rows(
    store: Store,
    keyring: Keyring,
    *,
    name: str | None = None,
    version: str | None = None,
    pipelines: Mapping[PipelineKey, Pipeline] | None = None,
    outlook: Outlook | None = None,
    judging: Judging | None = None,
    held: Mapping[Path, int] | None = None,
) -> Rows:
    """Look at the steps of a folder: those stored in it, and those that this kernel has seen.

    Parameters
    ----------
    store
        The folder.
    keyring
        The keys of this user.
    name, version
        Only these; None for all.
    pipelines
        What happened in this kernel.
    outlook
        Tells what the next run of a step will do, given its file as far as it could be opened.
    judging
        Gives the verdict about a step in the same way; None where it is asked for none.
    held
        Bytes that arrays of this kernel keep on the disk, by the path of the file that was deleted or replaced.

    Raises
    ------
    StoreError
        The folder cannot be listed.
    """
    here = {
        (key.name, key.version): pipeline for key, pipeline in (pipelines or {}).items() if key.folder == store.folder
    }
    found: dict[tuple[str, str], dict[int, Entry | None]] = {}
    for one, pipeline in here.items():
        if name in (None, one[0]) and version in (None, one[1]):
            found[one] = dict.fromkeys(pipeline.steps)
    saving = {one.path for one in publisher().pending(store.folder)}
    held = {path: size for path, size in (held or {}).items() if path.parent == store.folder}
    made = Rows()
    with collector.off():  # rows hold no cycles, and thousands of dicts are made
        for entry in store.entries(name, version):
            found.setdefault(entry[:2], {})[entry.step] = entry
        for one in sorted(found, key=in_order):
            key = PipelineKey(store.folder, *one)
            seen = here[one].steps if one in here else {}
            for step in sorted(found[one]):
                is_saving = bool(saving) and store.path(*one, step) in saving
                row = _row(key, step, found[one][step], keyring, seen.get(step), outlook, judging, is_saving=is_saving)
                if held and row["state"] == "missing" and (kept := held.get(store.path(*one, step))):
                    row |= {"state": "held", "bytes": kept}
                made.append(row)
        collector.spare_the_young()
    if held:
        made.note = (
            f"held: {size(sum(held.values()))} of files that were deleted or replaced stay on the disk until this "
            f"kernel lets go of the arrays over them ({', '.join(sorted(path.name for path in held))})"
        )
    return made


def _row(
    key: PipelineKey,
    step: int,
    entry: Entry | None,
    keyring: Keyring,
    seen: StepRecord | None,
    outlook: Outlook | None,
    judging: Judging | None,
    *,
    is_saving: bool,
) -> dict[str, Any]:
    found = _look(entry, keyring)
    meta = found.meta
    state, reason = found.state, found.reason
    if seen is not None and seen.state in ("failed", "not saved"):
        state, reason = "failed", seen.reason
    if is_saving:
        state, reason, outlook, judging = "saving", "", None, None  # what the next run does depends on it
    verdict = _verdict(key, step, found, judging) if state != "failed" or judging is None else Verdict("failed")
    action, why = _next(key, step, found, outlook)
    run_seconds = _number(meta, "seconds") if seen is None or seen.run_seconds is None else seen.run_seconds
    restore_seconds = seen.restore_seconds if seen is not None else None
    takes = {"run": run_seconds, "restore": restore_seconds}.get(action or "")
    if action == "restore" and takes is None and found.state == "stored":
        takes = restore_estimate(meta, found.bytes or 0)
    return {
        "step": step,
        "name": key.name,
        "version": key.version,
        "title": _text(meta.get("title")) or (seen.title if seen is not None else None),
        "state": state,
        "verdict": verdict.state if verdict is not None else None,
        "reasons": [cause.as_row() for cause in verdict.causes] if verdict is not None else [],
        "note": (verdict.note if verdict is not None else "") or None,
        "next": action,
        "next_seconds": takes,
        "reason": reason or why,
        "run_seconds": run_seconds,
        "restore_seconds": restore_seconds,
        "bytes": found.bytes,
        "saved_at": _text(meta.get("created")) or found.modified,
        "variables": variables_of(meta),
        "lost": [_lost(row) for row in (*_dicts(meta.get("lost")), *_result(meta))],
        "path": str(entry.path) if entry is not None else None,
    }


class _Found(NamedTuple):
    """One file, as far as META tells; `meta` may be a lie unless `state` is `stored`."""

    state: str
    reason: str = ""
    meta: Mapping[str, Any] = MappingProxyType({})
    bytes: int | None = None
    stored: files.StoredStep | None = None

    @property
    def modified(self) -> str | None:
        """When the file was written."""
        return date_text(self.stored.mtime) if self.stored is not None else None


def _look(entry: Entry | None, keyring: Keyring) -> _Found:
    if entry is None:
        return _Found("missing")
    try:
        stored = files.open_checkpoint(entry.path, keyring)
    except StepNotFoundError:  # deleted since the folder was listed
        return _Found("missing")
    except StoreError as problem:
        return _Found("unreadable", str(problem))
    if stored.problem is not None:
        return _Found(stored.trust, str(stored.problem), stored.meta_unverified, stored.size, stored)
    if not files.belongs(stored.meta, entry.name, entry.version, entry.step) and stored.meta.get("kind") != "foreign":
        other = problems.other_writer(entry.path, stored.meta)
        return _Found("other pipeline", str(other), stored.meta, stored.size, stored)
    return _Found("stored", "", stored.meta, stored.size, stored)


def _next(key: PipelineKey, step: int, found: _Found, outlook: Outlook | None) -> tuple[str | None, str]:
    if outlook is None:
        return None, ""
    if found.state == "unreadable":
        return "error", found.reason
    try:
        decision = outlook(key, step, found.stored)
    except CheckpointError as error:
        return "error", str(error)
    if decision is None:
        return None, ""
    action = "error" if decision.action == "refuse" else decision.action
    return action, decision.reason or decision.note or _ALONE.get(decision.action, "")


def _verdict(key: PipelineKey, step: int, found: _Found, judging: Judging | None) -> Verdict | None:
    if judging is None:
        return None
    if found.state in ("unreadable", "other pipeline"):
        return Verdict("could not tell")
    try:
        return judging(key, step, found.stored)
    except CheckpointError as error:
        return Verdict("could not tell", (Cause("evidence", "", str(error)),))


_ALONE = {"run": "not before the start point"}


def restore_estimate(meta: Mapping[str, Any], size: int) -> float:
    """Seconds that a restore will take, about: payloads are mapped, only the rest is read."""
    mapped: int = sum(row[1] for row in meta.get("buffers", ()))
    return round(_MAP_SECONDS + max(size - mapped, 0) / _READ_RATE, 4)


def variables_of(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows about variables of a META that may be a lie."""
    return [_variable(row) for row in _dicts(meta.get("variables"))]


def _variable(row: Mapping[str, Any]) -> dict[str, Any]:
    shape = row.get("shape")
    whole = isinstance(shape, list) and all(_count(length) is not None for length in shape)
    return {
        "name": str(row.get("name")),
        "type": str(row.get("type")),
        "shape": shape if whole else None,
        "bytes": _count(row.get("bytes")),
    }


def _lost(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(row.get(key, "")) for key in ("name", "type", "reason")}


def _result(meta: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The value of the last expression if it was lost and has no other name; IPython calls it `_`."""
    for row in _dicts([meta.get("result")]):
        if row.get("variable") is None:
            yield {"name": "_", **row}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, (list, tuple)) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def _number(meta: Mapping[str, Any], key: str) -> float | None:
    value = meta.get(key)
    return value if type(value) is float and math.isfinite(value) else _count(value)


# -- the table ----------------------------------------------------------------------------------------------------


def rows_json(found: Sequence[Mapping[str, Any]]) -> str:
    """The rows as JSON text."""
    return json.dumps(list(found), indent=2)


def rows_text(found: Sequence[Mapping[str, Any]], *, now: datetime | None = None, width: int = TEXT_WIDTH) -> str:
    """The rows as an aligned table."""
    headings = _headings(found)
    table = grid(headings, _lines(found, headings, now), width=width)
    return "\n".join([table if found else _NONE, *map(printable, _remarks(found))])


def rows_html(found: Sequence[Mapping[str, Any]], *, now: datetime | None = None) -> str:
    """The rows as a quiet table that fits light and dark themes."""
    headings = _headings(found)
    table = html_table(headings, _lines(found, headings, now))
    remarks = "".join(f"<div>{html_text(line)}</div>" for line in _remarks(found))
    return f'<div style="{PLAIN}">{table if found else _NONE}{remarks}</div>'


def _headings(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that say something."""
    several = len({(row["name"], row["version"]) for row in found}) > 1
    wanted = {
        "pipeline": several,
        "step": True,
        "title": any(row["title"] for row in found),
        "state": not all(row["verdict"] and row["state"] in _PLAIN for row in found),
        "verdict": any(row["verdict"] for row in found),
        "next run": any(row["next"] for row in found),
        "ran": True,
        "restored": any(row["restore_seconds"] is not None for row in found),
        "size": True,
        "saved": True,
        "variables": True,
    }
    return [heading for heading, said in wanted.items() if said]


def _lines(found: Sequence[Mapping[str, Any]], headings: Sequence[str], now: datetime | None) -> list[list[str]]:
    """What stands below the headings, row by row."""
    return [[cells[heading] for heading in headings] for cells in (_cells(row, now) for row in found)]


def _cells(row: Mapping[str, Any], now: datetime | None) -> dict[str, str]:
    state = f"{row['state']} (?)" if row["state"] in _UNTRUSTED else row["state"]
    action = row["next"] or ""
    if action == "restore" and row["next_seconds"] is not None:
        action += f", {duration(row['next_seconds'])}"  # what a run takes stands beside it
    brief = _first_line(row["reason"])
    return {
        "pipeline": f"{row['name']} {row['version']}",
        "step": str(row["step"]),
        "title": row["title"] or "",
        "state": state,
        "verdict": _verdict_text(row),
        "next run": f"{action}: {brief}" if action and brief and row["state"] not in _UNTRUSTED else action,
        "ran": duration(row["run_seconds"]),
        "restored": _restored(row),
        "size": size(row["bytes"]),
        "saved": age(row["saved_at"], now),
        "variables": variables_text(row["variables"]),
    }


def _verdict_text(row: Mapping[str, Any]) -> str:
    """The verdict with what is to be said first."""
    if row["verdict"] == "stale":
        return f"stale: {_first_line(row['reasons'][0]['line'])}"
    return ", ".join(part for part in (row["verdict"], row["note"]) if part)


def _restored(row: Mapping[str, Any]) -> str:
    if row["restore_seconds"] is None:
        return ""
    saved = (row["run_seconds"] or 0) - row["restore_seconds"]
    return duration(row["restore_seconds"]) + (f", saved {duration(saved)}" if saved > 0 else "")


def _remarks(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What does not fit in a cell: problems of the files, values that are lost, the note."""
    remarks = []
    for row in found:
        label = f"step {row['step']}"
        remarks += [f"{label}: `{one['name']}` ({one['type']}) was not saved: {one['reason']}" for one in row["lost"]]
        if row["state"] in _UNTRUSTED:
            remarks.append(f"{label} (?): what is shown of it is not authenticated: {_first_line(row['reason'])}")
    note = getattr(found, "note", "")
    return [*remarks, *note.splitlines()]


def _first_line(text: str | None) -> str:
    return (text or "").split("\n", 1)[0]


# -- everything about one step ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Details:
    """Everything about one step; shows itself as text and HTML.

    Attributes
    ----------
    row
        As in `Rows`.
    meta
        The record in the file; of a file that is not trusted, what it claims.
    here
        What this kernel knows of the step.
    """

    row: dict[str, Any]
    meta: dict[str, Any]
    here: StepRecord | None = None

    def __repr__(self) -> str:
        return details_text(self)

    def _repr_html_(self) -> str:
        return details_html(self)

    def as_json(self) -> dict[str, Any]:
        """The row, with the record of the file under `record`."""
        return {**self.row, "record": self.meta}


def details(row: dict[str, Any], keyring: Keyring, here: StepRecord | None = None) -> Details:
    """Look at all that is known of one step; `row` is one of `rows`."""
    meta: dict[str, Any] = {}
    if row["path"] is not None:
        with suppress(StepNotFoundError, StoreError):
            stored = files.open_checkpoint(row["path"], keyring)
            meta = _pruned(stored.meta or stored.meta_unverified)
    return Details(row, meta, here)


def _pruned(value: Any, depth: int = 20) -> Any:
    """The value without what is nested deeper than any record is."""
    if isinstance(value, Mapping):
        return {key: _pruned(one, depth - 1) for key, one in value.items()} if depth else {}
    if isinstance(value, list):
        return [_pruned(one, depth - 1) for one in value] if depth else []
    return value


def details_text(found: Details, *, now: datetime | None = None) -> str:
    """Everything about a step as text."""
    facts = _facts(found, now)
    wide = max(len(label) for label, _ in facts)
    lines = [f"{label:<{wide}}  {printable(text)}" for label, text in facts]
    if found.row["reasons"]:
        lines += ["", found.row["verdict"], causes.as_text(found.row["reasons"], colours=sys.stdout.isatty())]
    for title, headings, table in _tables(found):
        lines += ["", title, grid(headings, table)]
    source = _text(found.meta.get("source"))
    if source:
        lines += ["", "source", *(f"    {printable(line.expandtabs())}" for line in source.splitlines())]
    return "\n".join(lines)


def details_html(found: Details, *, now: datetime | None = None) -> str:
    """Everything about a step as HTML."""
    parts = [html_table([], [[label, text] for label, text in _facts(found, now)])]
    if found.row["reasons"]:
        parts.append(f"<div><b>{html_text(found.row['verdict'])}</b></div>{causes.as_html(found.row['reasons'])}")
    for title, headings, table in _tables(found):
        parts.append(f"<div><b>{html_text(title)}</b></div>{html_table(headings, table)}")
    source = _text(found.meta.get("source"))
    if source:
        lines = "\n".join(html_text(line.expandtabs()) for line in source.splitlines())
        parts.append(f'<div><b>source</b></div><pre style="color:inherit;background:none">{lines}</pre>')
    return f'<div style="{PLAIN}">{"".join(parts)}</div>'


def _facts(found: Details, now: datetime | None) -> list[tuple[str, str]]:
    row, meta, here = found.row, found.meta, found.here
    state = row["state"]
    if state in _UNTRUSTED:
        state += " (?): nothing below is authenticated"
    packages = meta.get("packages")
    facts = [
        ("step", f"{row['step']} {row['title'] or ''}".strip()),
        ("pipeline", f"{row['name']}, version {row['version']}"),
        ("state", state),
        ("verdict", " · ".join(part for part in (row["verdict"], row["note"]) if part)),
        ("next run", " · ".join(part for part in (row["next"], duration(row["next_seconds"])) if part)),
        ("reason", (row["reason"] or "").replace("\n", " ")),
        ("in this kernel", f"{here.state}{f': {here.reason}' if here.reason else ''}" if here is not None else ""),
        ("ran", duration(row["run_seconds"])),
        ("restored", _restored(row)),
        ("file", row["path"] or ""),
        ("size", f"{size(row['bytes'])} ({row['bytes']:,} bytes)" if row["bytes"] is not None else ""),
        ("saved", f"{row['saved_at']}, {age(row['saved_at'], now)}" if row["saved_at"] else ""),
        ("written by", _written_by(meta)),
        ("deletes", _words(meta.get("deleted"))),
        ("left out", _words(meta.get("unsaved"))),
        ("marks", _words(meta.get("marks"))),
        ("accepted", _accepted(meta)),
        ("changed besides variables", _words(meta.get("ambient"))),
        ("random generators", "moved by the step" if meta.get("moved") else ""),
        ("cannot be put back", _words(meta.get("refused"))),
        ("imports", _words(meta.get("imports"))),
        ("packages", _words(f"{k} {v}" for k, v in packages.items()) if isinstance(packages, Mapping) else ""),
        ("reading needs", _words(meta.get("needs"))),
        ("displays", "cut at the cap" if meta.get("outputs_cut") is not None else ""),
        ("code", _short(meta.get("code"))),
    ]
    return [(label, text) for label, text in facts if text]


def _written_by(meta: Mapping[str, Any]) -> str:
    kinds = {"cell": "a notebook cell", "method": "a method of a script", "foreign": "another program"}
    kind = kinds.get(str(meta.get("kind")), _text(meta.get("kind")) or "")
    python = _text(meta.get("python"))
    parts = [kind, _text(meta.get("notebook")), f"Python {python}" if python else None]
    return ", ".join(part for part in parts if part)


def _accepted(meta: Mapping[str, Any]) -> str:
    """What the user vouched for: when, why, and what had changed."""
    accepted = meta.get("accepted")
    if not isinstance(accepted, Mapping):
        return ""
    lines = [_text(cause.get("line")) for cause in _dicts(accepted.get("causes"))]
    parts = [_text(accepted.get("date")), _text(accepted.get("reason")), "; ".join(filter(None, lines))]
    return " · ".join(part for part in parts if part)


def _tables(found: Details) -> list[tuple[str, list[str], list[list[str]]]]:
    row, meta = found.row, found.meta
    groups = meta.get("groups")
    groups = groups if isinstance(groups, Mapping) else {}
    variables = [
        [one["name"], one["type"], shape_text(one["shape"]), size(one["bytes"]), _short(groups.get(one["name"]))]
        for one in row["variables"]
    ]
    reads = meta.get("reads")
    produced = [
        [str(name), f"step {one[0]}", _short(one[1])]
        for name, one in (reads.items() if isinstance(reads, Mapping) else ())
        if isinstance(one, list | tuple) and len(one) == 2
    ]
    seen = meta.get("seen")
    outside = [[str(name), _short(digest)] for name, digest in (seen.items() if isinstance(seen, Mapping) else ())]
    lost = [[one["name"], one["type"], one["reason"]] for one in row["lost"]]
    tables = [
        ("variables", ["name", "type", "shape", "bytes", "content"], variables),
        ("lost", ["name", "type", "reason"], lost),
        ("read from other steps", ["name", "from", "content"], produced),
        ("read, made by no step", ["name", "value"], outside),
    ]
    return [table for table in tables if table[2]]


def _words(value: Any) -> str:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return ""
    return ", ".join(str(one) for one in value)


def _short(digest: Any) -> str:
    text = str(digest or "")
    return text if len(text) <= 16 else f"{text[:12]}…"


# -- the banner ---------------------------------------------------------------------------------------------------


def banner_text(facts: Mapping[str, Any]) -> str:
    """Render the facts of a step that just ended as one line.

    Examples
    --------
    >>> banner_text({"step": 1, "action": "restored", "variables": 2, "bytes": 1.2e9, "run_seconds": 252.0})
    'step 1 · restored · 2 variables, 1.2 GB · instead of 4 min 12 s'
    """
    return " · ".join(printable(part) for part in _banner_parts(facts))


def banner_html(facts: Mapping[str, Any]) -> str:
    """Render the same line for notebooks."""
    first, second, *rest = (html_text(part) for part in _banner_parts(facts))
    return _quiet(" · ".join([first, f"<b>{second}</b>", *rest]))


def line_html(text: str) -> str:
    """Render any other line in the same way."""
    return _quiet(html_text(text))


def _quiet(line: str) -> str:
    return f'<div style="{QUIET};font-size:var(--jp-ui-font-size1,13px)">{line}</div>'


def _banner_parts(facts: Mapping[str, Any]) -> list[str]:
    action, notes = facts["action"], [str(note) for note in facts.get("notes") or ()]
    title = f" ({facts['title']})" if facts.get("title") else ""
    parts = [f"step {facts['step']}{title}", "saved" if action == "ran" else action]
    reason, took = facts.get("reason"), duration(facts.get("run_seconds"))
    if action == "not saved":
        return [*parts, *notes, *([f"ran {took}"] if took else [])]
    count = facts.get("variables") or 0
    parts.append(f"{count} variable{'' if count == 1 else 's'}, {size(facts.get('bytes') or 0)}")
    if took:
        parts.append(f"instead of {took}" if action == "restored" else f"ran {took}")
    return list(dict.fromkeys([*parts, *([reason] if reason else []), *notes]))  # the reason may be a note again


# -- words and numbers for people ---------------------------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """A time span in two units at most: `12 ms`, `4.2 s`, `4 min 12 s`, `2 h 5 min`."""
    if seconds is None:
        return ""
    if seconds < 0.0005:
        return "0 ms" if seconds <= 0 else "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, lower, step in ((86400, 3600, "d h"), (3600, 60, "h min"), (60, 1, "min s")):
        if whole >= unit:
            first, second = step.split()
            rest = whole % unit // lower
            return f"{whole // unit} {first}" + (f" {rest} {second}" if rest else "")
    return f"{whole} s"


def age(saved_at: str | None, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    if not saved_at:
        return ""
    try:
        then = datetime.fromisoformat(saved_at)
        seconds = ((now or datetime.now(UTC)) - then.astimezone(UTC)).total_seconds()
    except (ValueError, OverflowError):  # from a file that is not trusted
        return saved_at
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} ago"
    return "just now"


def grid(headings: Sequence[str], lines: Iterable[Sequence[str]], *, width: int = TEXT_WIDTH) -> str:
    """An aligned table as plain text; the last column is wrapped, and others that may hold long texts."""
    cells = [[printable(cell) for cell in line] for line in lines]
    table = [list(headings), *cells] if headings else cells
    if not table:
        return ""
    wide = [max(map(_columns, column)) for column in zip(*table, strict=True)]
    last = len(wide) - 1
    flexible = [at for at in range(last + 1) if at == last or (headings and headings[at] in _WRAPPED)]
    excess = sum(wide) + len(_GAP) * last - width
    while excess > 0 and (widest := max(flexible, key=wide.__getitem__)) and wide[widest] > _NARROW:
        wide[widest] -= 1
        excess -= 1
    return "\n".join(line for row in table for line in _grid_lines(row, wide))


def _grid_lines(row: Sequence[str], wide: Sequence[int]) -> Iterator[str]:
    """The lines that one row takes."""
    wrapped = [_wrapped(cell, width) for cell, width in zip(row, wide, strict=True)]
    for parts in itertools.zip_longest(*wrapped, fillvalue=""):
        padded = (part + " " * (width - _columns(part)) for part, width in zip(parts, wide, strict=True))
        yield _GAP.join(padded).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text between words, and words that are too long."""
    if _columns(text) <= width:
        return [text]
    lines = [""]
    for word in re.findall(r"\S+\s*|\s+", text):
        if _columns(lines[-1] + word.rstrip()) > width and lines[-1]:
            lines.append("")
        for char in word:
            if _columns(lines[-1] + char) > width and char != " ":
                lines.append("")
            lines[-1] += char
    return [line.rstrip() for line in lines]


def _columns(text: str) -> int:
    """How many columns a terminal takes for a text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _width() -> int:
    return shutil.get_terminal_size((TEXT_WIDTH, 24)).columns if sys.stdout.isatty() else TEXT_WIDTH


_GAP = "  "
_NARROW = 9  # columns of a terminal that a column of the table keeps
_WRAPPED = frozenset({"title", "verdict", "next run", "reason", "value", "content"})
