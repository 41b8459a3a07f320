"""Trees of code: parsing, and going through their nodes."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Final

SKIPPED_FIELDS: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_LEAVES: Final = frozenset(
    {"identifier", "int", "string", "constant", "expr_context", "type_ignore"}
    | {"boolop", "operator", "unaryop", "cmpop"}
)
_FIELD: Final = re.compile(r"(\w+)[?*]? (\w+)[,)]")
_TRIES: Final = 5


def parse(code: str) -> ast.Module:
    """Parse code as `ast.parse` does; again where another thread parses, too.

    Before 3.13 such two disturb each other (a `SystemError`), see python/cpython#106905.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(SystemError):
            return ast.parse(code)
    return ast.parse(code)


def parsed(code: str) -> ast.Module | None:
    """The tree of some code; None if it is no plain Python."""
    try:
        return parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # MemoryError: what the parser says to deep nesting
        return None


def nodes(tree: ast.AST) -> list[ast.AST]:
    """The nodes of a tree as `ast.walk` gives them, but for contexts and operators; at four times its speed."""
    found = [tree]
    for node in found:  # grows meanwhile
        found += children(node)
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, but for contexts and operators."""
    found: list[ast.AST] = []
    for name in _branches(type(node)):  # type: ignore[arg-type]  # a type has a hash
        part = getattr(node, name, None)
        if type(part) is list:
            found += part if None not in part else [one for one in part if one is not None]
        elif part is not None:
            found.append(part)
    return found


@functools.cache
def _branches(kind: type[ast.AST]) -> list[str]:
    """Fields that hold nodes below this kind of node, by what the class says of itself: its line of the grammar."""
    return [name for what, name in _FIELD.findall(inspect.getdoc(kind) or "") if what not in _LEAVES]


def texts(tree: ast.Module) -> list[str]:
    """The texts in a transformed cell."""
    return [one.value for one in nodes(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def links(node: ast.AST) -> Iterator[ast.AST]:
    """An expression, what that is of, and so on: of `x.a[0].b()` the call, `x.a[0].b`, `x.a[0]`, `x.a` and `x`."""
    yield node
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Starred, ast.Await)):
        node = node.func if isinstance(node, ast.Call) else node.value
        yield node


def first_word(node: ast.AST) -> str:
    """The name with which an expression begins: `x` of `x.a[0].b()`; empty if it begins otherwise."""
    *_, first = links(node)
    return first.id if isinstance(first, ast.Name) else ""


def last_word(node: ast.AST) -> str:
    """The name of a variable or an attribute, whatever that is of: `b` of `x.a[0].b`; empty for others."""
    word: str = getattr(node, "attr", getattr(node, "id", ""))
    return word


def dotted(node: ast.AST) -> str:
    """A name, or attributes of one, as written: `x.a.b`; empty for others."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return node.id if isinstance(node, ast.Name) else ""
