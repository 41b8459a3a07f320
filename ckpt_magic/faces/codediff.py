"""How two texts of code differ: unified lines, as text, in colours of a terminal, and as HTML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ckpt_magic.steps.stored import html_text, printable

_CONTEXT = 2  # lines around a change
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_ADDED = "background:rgba(46,160,67,.18)"  # seen on light and on dark pages
_REMOVED = "background:rgba(248,81,73,.18)"


def lines(old: str, new: str) -> list[str]:
    """The changed lines with those around them, `-` before what went and `+` before what came; empty if none did."""
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=_CONTEXT)
    return [line for line in found if not line.startswith(("---", "+++"))]


def as_text(changed: Iterable[str], *, colours: bool = False) -> str:
    """The lines as text; control characters in them are written out."""
    return "\n".join(_coloured(printable(line.expandtabs()), colours) for line in changed)


def as_html(changed: Iterable[str]) -> str:
    """The lines as a block of HTML."""
    shown = "".join(f'<div style="{_style(line)}">{html_text(line.expandtabs()) or " "}</div>' for line in changed)
    return f'<pre style="color:inherit;background:none;margin:0;line-height:1.3">{shown}</pre>'


def _coloured(line: str, colours: bool) -> str:
    colour = {"+": _GREEN, "-": _RED}.get(line[:1]) if colours else None
    return f"{colour}{line}{_PLAIN}" if colour else line


def _style(line: str) -> str:
    return {"+": _ADDED, "-": _REMOVED, "@": "opacity:.6"}.get(line[:1], "")
