"""Runs cells in the harness; no part of its module, which is `__main__`: what a cell executes does that in its name."""

from __future__ import annotations

import ast
import contextlib
import io
from typing import Any


def execute(tree: ast.Module, filename: str, namespace: dict[str, Any]) -> tuple[bool, Any]:
    """Run a cell; a last expression is its result, as in IPython."""
    body = list(tree.body)
    last = body[-1] if body and isinstance(body[-1], ast.Expr) else None
    body = body if last is None else body[:-1]
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(ast.Module(body, []), filename, "exec", dont_inherit=True), namespace)
        if last is None:
            return False, None
        value = eval(compile(ast.Expression(last.value), filename, "eval", dont_inherit=True), namespace)
        return value is not None, value
