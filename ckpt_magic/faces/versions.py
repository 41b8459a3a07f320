"""Two versions of a pipeline side by side: the code of each step, and the values that it left."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from ckpt_magic.errors import CheckpointError, StepNotFoundError
from ckpt_magic.faces import codediff
from ckpt_magic.faces.status import duration, grid
from ckpt_magic.files import format as files
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.stored import PLAIN, Outputs, html_table, html_text, nothing_stored, printable
from ckpt_magic.values.differences import compare


class VersionRows(list[dict[str, Any]]):
    """How two versions differ, a row per step: a list of dicts that shows itself as text and as HTML.

    Each row has the keys `step`; `code` (`same`, `changed`, or `only in V`); `source`, the changed lines as of a
    unified diff; `seconds`, what the run of each took; `values`, a list of dicts with `name`, `state` (`same`,
    `changed`, `added`, `removed`, `unknown`) and `differences` (`path`, `kind`, `old`, `new`, `amount`, `text`); and
    `problem`, why a file could not be read, or None.

    Parameters
    ----------
    found
        The rows.
    title
        What is compared.
    """

    def __init__(self, found: list[dict[str, Any]], title: str) -> None:
        super().__init__(found)
        self._title = title

    def __repr__(self) -> str:
        blocks = [self._title, *("\n".join(_text(row)) for row in self)]
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        return f'<div style="{PLAIN}"><b>{html_text(self._title)}</b>{"".join(map(_html, self))}</div>'

    def __reduce__(self) -> tuple[Any, ...]:
        # saved with a step they come back as what they are without this package
        return list, (list(self),)


def differ(old: PipelineKey, new: PipelineKey, keyring: Keyring, steps: Collection[int] = ()) -> VersionRows:
    """Compare what two versions of a pipeline have stored.

    Parameters
    ----------
    old, new
        The versions.
    keyring
        The keys of this user: only what they signed is read.
    steps
        Only these; by default all that either of them has.

    Raises
    ------
    StepNotFoundError
        A version, or a step that was asked for, is not stored.
    """
    there = [{entry.step: entry.path for entry in Store(k.folder).entries(k.name, k.version)} for k in (old, new)]
    for key, paths in zip((old, new), there, strict=True):
        if not paths:
            raise nothing_stored(Store(key.folder), key.name, key.version)
    every = sorted(there[0].keys() | there[1].keys())
    if absent := set(steps) - set(every):
        raise StepNotFoundError(
            f"step {min(absent)} is stored in neither version; stored: {', '.join(map(str, every))}"
        )
    outputs = [Outputs(key.folder, key.name, key.version, keyring=keyring) for key in (old, new)]
    title = f"`{old.name}`: version {old.version} → version {new.version}"
    rows = []
    for step in every:
        if not steps or step in steps:
            metas = [_meta(paths.get(step), keyring) for paths in there]
            rows.append(_row(step, (old.version, new.version), metas, outputs))
    return VersionRows(rows, title)


def _meta(path: Any, keyring: Keyring) -> Mapping[str, Any] | CheckpointError | None:
    if path is None:
        return None
    try:
        stored = files.open_checkpoint(path, keyring)
    except CheckpointError as error:
        return error
    return stored.problem or stored.meta


def _row(step: int, versions: tuple[str, str], metas: list[Any], outputs: list[Outputs]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": step,
        "code": "",
        "source": [],
        "seconds": [None, None],
        "values": [],
        "problem": None,
    }
    if None in metas:
        row["code"] = f"only in {versions[metas[0] is None]}"
        return row
    for version, meta in zip(versions, metas, strict=True):
        if isinstance(meta, CheckpointError):
            row["problem"] = f"version {version}: {str(meta).splitlines()[0]}"
            return row
    row["seconds"] = [meta.get("seconds") for meta in metas]
    row["code"] = "same" if metas[0].get("code") == metas[1].get("code") else "changed"
    row["source"] = codediff.lines(*(str(meta.get("source", "")) for meta in metas))
    try:
        old, new = (_values(one[step], step, meta) for one, meta in zip(outputs, metas, strict=True))
    except CheckpointError as error:
        row["problem"] = str(error).splitlines()[0]
        return row
    row["values"] = [_value(name, old, new) for name in dict.fromkeys([*old, *new])]
    return row


def _values(value: Any, step: int, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Names and values of a step; a method has one value."""
    return value if meta.get("kind") == "cell" else {f"step_{step}": value}


def _value(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if name not in old or name not in new:
        return {"name": name, "state": "added" if name in new else "removed", "differences": []}
    found = compare(name, old[name], new[name])
    only_unknown = found and all(one.kind == "unknown" for one in found)
    state = "unknown" if only_unknown else "changed" if found else "same"
    return {"name": name, "state": state, "differences": [one.as_row() for one in found]}


# -- showing --------------------------------------------------------------------------------------------------------


def _head(row: Mapping[str, Any]) -> str:
    if row["problem"]:
        return f"step {row['step']} · cannot be compared: {row['problem']}"
    parts = [f"step {row['step']}", row["code"] if row["code"].startswith("only") else f"code {row['code']}"]
    if row["seconds"][0] is not None and row["seconds"][1] is not None:
        parts.append(f"ran {duration(row['seconds'][0])} → {duration(row['seconds'][1])}")
    same = [value["name"] for value in row["values"] if value["state"] == "same"]
    if same:
        parts.append(f"same: {', '.join(same)}")
    return " · ".join(parts)


def _lines(row: Mapping[str, Any]) -> list[list[str]]:
    """Value, and how it differs."""
    found = []
    for value in row["values"]:
        if value["state"] in ("added", "removed"):
            found.append([value["name"], value["state"]])
        for index, one in enumerate(value["differences"]):
            text = one["text"].removeprefix(value["name"]).removeprefix(":").strip()
            found.append(["" if index else value["name"], text])
    return found


def _text(row: Mapping[str, Any]) -> list[str]:
    parts = [printable(_head(row))]
    if row["source"]:
        parts.append(_indented(codediff.as_text(row["source"], colours=sys.stdout.isatty())))
    if lines := _lines(row):
        parts.append(_indented(grid(["value", "difference"], lines)))
    return parts


def _html(row: Mapping[str, Any]) -> str:
    parts = [f"<div>{html_text(_head(row))}</div>"]
    parts += [codediff.as_html(row["source"])] if row["source"] else []
    if lines := _lines(row):
        parts.append(html_table(["value", "difference"], lines))
    return f'<div style="margin-top:8px">{"".join(parts)}</div>'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
