"""Why a checkpoint is stale, in full: each cause as text and as HTML; code as its changed lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ckpt_magic.faces import codediff
from ckpt_magic.steps.stored import html_text, printable

Cause = Mapping[str, Any]

_CODE = frozenset({"code", "function"})


def as_text(found: Sequence[Cause], *, colours: bool = False) -> str:
    """The causes, one below the other."""
    lines = []
    for cause in found:
        lines.append(f"  {printable(_head(cause))}")
        changed = codediff.as_text(_changed(cause), colours=colours)
        lines += [f"    {printable(line)}" for line in _details(cause)]
        lines += [f"    {line}" for line in changed.splitlines()]
    return "\n".join(lines)


def as_html(found: Sequence[Cause]) -> str:
    """The same as HTML."""
    return "".join(f"<div>{html_text(_head(cause))}</div>{_more(cause)}{_block(_changed(cause))}" for cause in found)


def _more(cause: Cause) -> str:
    return "".join(f'<div style="margin-left:14px">{html_text(line)}</div>' for line in _details(cause))


def _details(cause: Cause) -> list[str]:
    """In what a value differs; a cause that was accepted long ago has none."""
    return [str(line) for line in cause.get("details", ())]


def _block(changed: Sequence[str]) -> str:
    return f'<div style="margin:2px 0 6px 14px">{codediff.as_html(changed)}</div>' if changed else ""


def _changed(cause: Cause) -> list[str]:
    return codediff.lines(cause["old"], cause["new"]) if cause["kind"] in _CODE else []


def _head(cause: Cause) -> str:
    """What has changed, with what it was and is, where that is not code."""
    old, new = str(cause["old"]), str(cause["new"])
    if cause["kind"] == "value" and old and new and old != new:
        return f"`{cause['thing']}` was {old}, is {new}"
    if cause["kind"] == "file" and old and new:
        return f"`{cause['thing']}` was {old}; is {new}"
    return str(cause["line"])
