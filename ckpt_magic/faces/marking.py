"""The `%%step` line in the text and in the tree of a cell: taken apart, and turned into a marker on the same line.

Pure: knows neither the shell nor the session.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import re
import sys
import tokenize
from contextlib import suppress
from typing import NoReturn

from IPython.core.error import UsageError as ShellUsageError
from IPython.core.inputtransformer2 import cell_magic

_HEAD = re.compile(r"%%step(?:[ \t]+(.*))?$")
_MARKER = "__import__({!r}, fromlist=['marker']).marker({!r})"
_LOST = (
    "%%step was not seen by ckpt_magic, so the cell below it has not run and nothing is saved. Put %%step on the first"
    " line of a cell; below %%timeit or %%prun, or after `%unload_ext ckpt_magic`, it cannot work"
)


def marker(line: str) -> NoReturn:
    """What the `%%step` line becomes. It is taken out before the cell runs; running it means that we lost the cell."""
    raise ShellUsageError(f"`%%step {line}`: {_LOST}")


def rewrite(lines: list[str]) -> list[str]:
    """Put the marker where the `%%step` line stands, if the lines of a cell begin with one."""
    first = (k for k, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#"))
    k = next(first, None)
    if k is None:
        return lines
    head = _HEAD.match(lines[k].rstrip())
    if head is None:
        return lines
    args, body = head[1] or "", lines[k + 1 :]
    if args.endswith("\\"):  # refused when the step is decided; the body must parse until then
        body = ["\n"] * len(body)
    marked = _MARKER.format(__name__, args)
    blank = next((i for i, line in enumerate(body) if line.strip()), len(body))
    above, under = body[:blank], list(cell_magic(body[blank:]))
    end = _end_of_future(under)
    if end is None:
        return [*lines[:k], marked + "\n", *above, *under]
    row, column = end
    under[row] = f"{under[row][:column]}; {marked}{under[row][column:]}"
    return [*lines[:k], "\n", *above, *under]


def _end_of_future(lines: list[str]) -> tuple[int, int] | None:
    """Find where the `from __future__` lines at the top end: (row, column), or None if there are none.

    The marker must not stand above them: IPython compiles the cell as a whole to see whether it awaits, and would
    take the syntax error for a no.
    """
    end: tuple[int, int] | None = None
    last = (0, 0)
    words: list[str] = []
    with suppress(tokenize.TokenError, SyntaxError, IndexError):
        for token in tokenize.generate_tokens(iter([*lines, ""]).__next__):
            if token.type in (tokenize.COMMENT, tokenize.NL):
                continue
            if token.type == tokenize.NEWLINE or token.string == ";":
                if words[:2] != ["from", "__future__"]:
                    break
                end, words = last, []
            elif token.type not in (tokenize.INDENT, tokenize.DEDENT):
                words.append(token.string)
                last = token.end[0] - 1, token.end[1]
                if len(words) == 2 and words != ["from", "__future__"]:
                    break
    return end


def find(tree: ast.Module) -> tuple[int, str | None]:
    """Find our marker among the first statements; only `from __future__` may stand before it."""
    for index, node in enumerate(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        match node:
            case ast.Expr(
                ast.Call(
                    func=ast.Attribute(
                        value=ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(module)]), attr="marker"
                    ),
                    args=[ast.Constant(str() as line)],
                )
            ) if module == __name__:
                return index, line
        break
    return 0, None


def features(tree: ast.Module) -> int:
    """Flags of the compiler that a cell sets by `from __future__ import`; none for what every program has by now."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                feature = getattr(__future__, alias.name)
                if feature.mandatory is None or feature.mandatory > sys.version_info:
                    flags |= feature.compiler_flag
    return flags


def show_as_typed(filename: str, lineno: int, line: str) -> None:
    """Let tracebacks show the `%%step` line rather than the marker; as a comment, for their source must parse."""
    lines = linecache.cache[filename][2] if filename in linecache.cache else []  # type: ignore[misc]
    code = _MARKER.format(__name__, line)
    if 0 < lineno <= len(lines) and code in lines[lineno - 1]:
        typed = f"# %%step {line}".rstrip()
        text = lines[lineno - 1].rstrip("\n")
        lines[lineno - 1] = (typed if text == code else text.replace(f"; {code}", "")) + "\n"


def split_step(raw: str) -> tuple[str | None, str]:
    """Take a cell apart: the text after `%%step` (None if it is no step) and the code below that line."""
    for line in raw.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            head = _HEAD.match(line.strip())
            return (None, raw) if head is None else (head[1] or "", below(raw))
    return None, raw


def below(raw: str) -> str:
    """Return the text below the `%%step` line, as typed."""
    lines = raw.splitlines(keepends=True)
    for k, line in enumerate(lines):
        if _HEAD.match(line.strip()) or line.lstrip().startswith(f"__import__({__name__!r}"):
            return "".join(lines[k + 1 :])
    return raw
