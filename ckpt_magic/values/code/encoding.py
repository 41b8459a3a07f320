"""The digest of code: equal for the same code, whatever its comments, its formatting and the version of Python."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from ckpt_magic.values.code import syntax, transformed


def digest(tree: ast.Module) -> str:
    """Return a digest of the code: equal for the same code, whatever its comments, formatting and Python version.

    Equal on Python 3.11 to 3.13 for code that is valid on all of them, hence not `ast.dump`.
    """
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update("".join(_encode(tree)).encode("utf-8", "surrogatepass"))
    return hasher.hexdigest()


def _encode(tree: ast.AST) -> Iterator[str]:
    """Yield texts that together name the tree; a text of the code always comes after its length."""
    todo: list[Any] = [tree]
    while todo:
        value = todo.pop()
        if isinstance(value, _Mark):
            yield value
        elif isinstance(value, ast.Constant):
            yield _encode_constant(value.value)
        elif isinstance(value, ast.AST):
            todo.append(_CLOSE)
            todo += reversed(_parts(value))
        elif isinstance(value, list):
            todo.append(_CLOSE)
            todo += reversed(value)
            yield "["
        elif value is None:  # an absent part inside a list, as in {**a}; the constant None is a node
            yield "-"
        else:
            yield _encode_constant(value)


class _Mark(str):
    """A piece of structure on the stack, told apart from texts of the code."""

    __slots__ = ()


_CLOSE: Final = _Mark(")")


def _parts(node: ast.AST) -> list[Any]:
    """Return what is encoded for a node: its type, then names and values of its fields."""
    if isinstance(node, ast.Call) and (run := transformed.run_by(node)) is not None:
        return [_Mark("(magic"), *run]
    if isinstance(node, ast.JoinedStr):
        return [_Mark("(JoinedStr"), *_joined(node)]
    begin, fields = _fields(type(node))  # type: ignore[arg-type]  # a type has a hash
    parts = [begin]
    for name, mark in fields:
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        if name == "format_spec" and not _joined(value):  # f"{x:}" is f"{x}"; Python 3.11 and 3.12 differ here
            continue
        parts += [mark, value]
    return parts


@functools.cache
def _fields(kind: type[ast.AST]) -> tuple[Any, list[tuple[str, Any]]]:
    """The mark that begins a node of this kind, and those of its fields, in the order of their names."""
    names = [name for name in sorted(kind._fields) if name not in syntax.SKIPPED_FIELDS]
    return _Mark(f"({kind.__name__}"), [(name, _Mark(f" {name}=")) for name in names]


def _joined(node: ast.expr) -> list[ast.expr]:
    """Return the parts of an f-string without empty ones, its texts merged: Python versions cut them differently."""
    parts: list[ast.expr] = []
    for part in node.values if isinstance(node, ast.JoinedStr) else [node]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if not part.value:
                continue
            if parts and isinstance(last := parts[-1], ast.Constant) and isinstance(last.value, str):
                parts[-1] = ast.Constant(last.value + part.value)
                continue
        parts.append(part)
    return parts


def _encode_constant(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and not isinstance(value, bool):
        text = hex(value)  # repr refuses more than 4300 digits
    else:
        text = repr(value)
    return f"{type(value).__name__}{len(text)}:{text};"
