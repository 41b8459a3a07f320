"""What of code matters to what it does: its digest without documentation and without annotations that nobody reads.

`encoding.digest` leaves out comments and formatting. This one also leaves out docstrings, annotations of local
variables, and those of plain functions. Where code may read them (a decorator, a base class, `__doc__`, a library
that makes a command line or a schema of them), they count.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
import linecache
import re
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from ckpt_magic.values.code import encoding, source, syntax

# Whoever mentions one of these may read the documentation, the annotations or the text of code.
READERS: Final = frozenset(
    {"__doc__", "__annotations__", "__annotate__", "help", "getdoc", "getcomments", "signature", "getfullargspec"}
    | {"get_annotations", "get_type_hints", "getsource", "getsourcelines", "findsource", "inspect", "doctest", "pydoc"}
    | {"argparse", "click", "typer", "fire", "docopt", "cyclopts", "pydantic", "pydantic_ai", "langchain", "openai"}
    | {"langchain_core", "anthropic", "dspy", "smolagents", "llama_index", "autogen", "crewai", "fastapi", "mcp"}
    | {"fastmcp", "attrs", "attr", "beartype", "typeguard", "pandera", "singledispatch", "overload"}
)
TEXT_READERS: Final = frozenset({"getsource", "getsourcelines", "findsource", "getcomments"})

_Node = TypeVar("_Node", bound=ast.AST)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
# Decorators and bases that read neither; of a class `dataclass` reads the annotations of its variables, which are kept.
_PLAIN_DECORATORS: Final = frozenset(
    {"staticmethod", "classmethod", "property", "cache", "lru_cache", "cached_property", "contextmanager", "wraps"}
    | {"njit", "jit", "vectorize", "setter", "getter", "deleter", "abstractmethod", "total_ordering"}
)
_PLAIN_BASES: Final = frozenset({"object", "ABC", "Exception", "ValueError", "TypeError", "RuntimeError", "KeyError"})


@dataclass(frozen=True, slots=True)
class Definition:
    """The code of a function or class: its digest and its text."""

    digest: str
    text: str
    plain: bool
    """No decorator, base class or metaclass can have made something else of it."""
    is_named: bool = False
    """It was found by its name."""
    annotated: Set[str] = frozenset()
    """Arguments of a function that have annotations, and `return`."""


def digest(tree: ast.Module, text: str = "", full: str = "") -> str:
    """Return two digests of what a cell does, with a colon between: without documentation, and with it.

    Parameters
    ----------
    tree
        The transformed cell.
    text
        The cell as typed: it counts where code reads its own text.
    full
        The digest of all of the code, where it is known.
    """
    nodes = syntax.nodes(tree)
    words, full = words_of(nodes), full or encoding.digest(tree)
    lean = lean_digest_of(tree, nodes, words) or full
    if not words.isdisjoint(TEXT_READERS):
        full = text_digest(text)
        lean = full
    return f"{lean}:{full}"


def digest_of_text(text: str) -> str:
    """The two digests of the text of a function or class; empty if it cannot be parsed."""
    tree = syntax.parsed(textwrap.dedent(text))
    return digest(tree, text) if tree is not None else ""


def lean_digest(tree: ast.Module) -> str:
    """Return the first of the two digests of code that does not read its own text."""
    nodes = syntax.nodes(tree)
    return lean_digest_of(tree, nodes, words_of(nodes)) or encoding.digest(tree)


def lean_digest_of(tree: ast.Module, nodes: Iterable[ast.AST], words: Set[str]) -> str:
    """The digest without documentation; empty where all of the code counts."""
    has_more = any(isinstance(node, (*_DEFINITIONS, ast.AnnAssign)) for node in nodes)
    return encoding.digest(_lean(tree)) if has_more and words.isdisjoint(READERS) else ""


def differ_in_documentation(one: str, other: str) -> bool:
    """Whether two digests are of code that differs, and only in documentation or annotations."""
    pairs = one.split(), other.split()
    lean = [[digest.partition(":")[0] for digest in digests] for digests in pairs]
    return one != other and lean[0] == lean[1]


def reads_documentation(code: str | Iterable[str]) -> bool:
    """Whether code, its text or its words (names, attributes, modules), may read documentation or annotations."""
    return not READERS.isdisjoint(re.findall(r"\w+", code) if isinstance(code, str) else code)


def definitions(tree: ast.Module, text: str = "") -> dict[str, Definition]:
    """The functions and classes that a cell binds at its top level, the last of each name."""
    lines = text.splitlines(keepends=True)
    return {node.name: _definition(node, lines) for node in _statements(tree.body) if isinstance(node, _DEFINITIONS)}


class Texts:
    """Finds the code of live functions and classes in the cells that they come from."""

    def __init__(self) -> None:
        self._cells: dict[str, tuple[list[str], dict[tuple[str, int], ast.stmt]]] = {}
        self._known: dict[ast.stmt, Definition] = {}
        self._classes: dict[str, ast.ClassDef] = {}

    def met(self, tree: ast.Module | None) -> None:
        """Note the classes that a cell defines: one without functions does not say where it comes from."""
        names = source.names(tree) if tree is not None else None
        if tree is None or names is None or names.dynamic:
            self._classes.clear()
            return
        for name in names.binds:
            self._classes.pop(name, None)
        others = source.names(ast.Module([node for node in tree.body if not isinstance(node, ast.ClassDef)], [])).binds
        found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name not in others]
        self._classes |= {node.name: node for node in found}

    def of(self, obj: Any) -> Definition | None:
        """The code of a function or class of the notebook; None if its text is not known."""
        if isinstance(obj, types.FunctionType):
            return self._at(obj.__code__.co_filename, obj.__code__.co_name, obj.__code__.co_firstlineno)
        for part in vars(obj).values():
            function = part.__func__ if isinstance(part, (staticmethod, classmethod)) else part
            if isinstance(function, types.FunctionType) and function.__qualname__.startswith(f"{obj.__qualname__}."):
                found = self._class_at(function.__code__.co_filename, obj.__name__, function.__code__.co_firstlineno)
                if found is not None:
                    return found
        node = self._classes.get(obj.__qualname__)
        if node is None or any(isinstance(one, _DEFINITIONS) for one in node.body):
            return None
        return replace(self._defined(node, []), is_named=True)

    def _at(self, filename: str, name: str, line: int) -> Definition | None:
        lines, nodes = self._cell(filename)
        node = nodes.get((name, line))
        return None if node is None else self._defined(node, lines)

    def _class_at(self, filename: str, name: str, line: int) -> Definition | None:
        lines, nodes = self._cell(filename)
        for (other, _), node in nodes.items():
            if other == name and isinstance(node, ast.ClassDef) and _first_line(node) <= line <= (node.end_lineno or 0):
                return self._defined(node, lines)
        return None

    def _defined(self, node: ast.stmt, lines: list[str]) -> Definition:
        if node not in self._known:
            self._known[node] = _definition(node, lines)
        return self._known[node]

    def _cell(self, filename: str) -> tuple[list[str], dict[tuple[str, int], ast.stmt]]:
        if filename not in self._cells:
            lines = linecache.getlines(filename)
            nodes = _defined_in("".join(lines))
            if nodes is None:  # magics, as they were typed
                return lines, {}
            self._cells[filename] = lines, nodes
        return self._cells[filename]


@functools.lru_cache(maxsize=8)  # each run of a pipeline of methods asks for those of its script
def _defined_in(text: str) -> dict[tuple[str, int], ast.stmt] | None:
    """The functions and classes in a text, by name and first line; None if it cannot be parsed."""
    tree = syntax.parsed(text)
    if tree is None:
        return None
    nodes = [node for node in syntax.nodes(tree) if isinstance(node, _DEFINITIONS)]
    return {(node.name, _first_line(node)): node for node in nodes}


def text_digest(text: str) -> str:
    """Digest of a text, whatever it says."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _definition(node: ast.stmt, lines: list[str]) -> Definition:
    text = "".join(lines[_first_line(node) - 1 : node.end_lineno]) if lines else ast.unparse(node)
    plain = _is_plain_class(node) if isinstance(node, ast.ClassDef) else _is_plain_function(node)
    return Definition(digest(ast.Module([node], []), text), text, plain, annotated=frozenset(_annotated(node)))


def _annotated(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        every = node.args
        more = [one for one in (every.vararg, every.kwarg) if one is not None]
        arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs, *more]
        yield from (one.arg for one in arguments if one.annotation is not None)
        yield from ["return"] if node.returns is not None else []


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", None)
    return decorators[0].lineno if decorators else node.lineno


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of the blocks in it, those of functions and classes aside."""
    for statement in body:
        yield statement
        if not isinstance(statement, _DEFINITIONS):
            for _, block in _blocks(statement):
                yield from _statements(block)


def words_of(nodes: Iterable[ast.AST]) -> set[str]:
    """The words in code that may say that it reads documentation: names, attributes, modules."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.update((node.name.partition(".")[0], node.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in READERS:
            found.add(node.value)  # getattr(f, "__doc__")
    return found


# --- leaving out; only statements are rebuilt, and only those that change ---


def _lean(tree: ast.Module) -> ast.Module:
    return ast.Module(_lean_body(tree.body, inside=False), [])


def _lean_body(body: list[ast.stmt], *, inside: bool) -> list[ast.stmt]:
    """Leave out of a block what does not matter; `inside` a function annotations of variables do not."""
    return [_lean_statement(statement, inside=inside) for statement in body]


def _lean_statement(node: ast.stmt, *, inside: bool) -> ast.stmt:
    if isinstance(node, _FUNCTIONS):
        return _lean_function(node)
    if isinstance(node, ast.ClassDef):
        return _lean_class(node)
    if isinstance(node, ast.AnnAssign):
        return _lean_variable(node) if inside else node
    changed: Mapping[str, Any] = {name: _lean_body(block, inside=inside) for name, block in _lists(node)}
    inner: dict[str, Any] = {}
    for name in ("handlers", "cases"):
        if parts := getattr(node, name, None):
            inner[name] = [_with(part, {"body": _lean_body(part.body, inside=inside)}) for part in parts]
    return _with(node, {**changed, **inner}) if changed or inner else node


def _lean_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    body = node.body
    if not _is_plain_function(node):
        return _with(node, {"body": [_lean_statement(one, inside=True) for one in body]})
    changes: dict[str, Any] = {"body": _lean_body(_without_docstring(body), inside=True)}
    if _is_inert(node.returns):
        changes["returns"] = None
    parts = node.args
    given: dict[str, Any] = {
        name: [_lean_argument(one) for one in getattr(parts, name)] for name in ("posonlyargs", "args", "kwonlyargs")
    }
    given |= {name: _lean_argument(one) for name in ("vararg", "kwarg") if (one := getattr(parts, name)) is not None}
    changes["args"] = _with(parts, given)
    return _with(node, changes)


def _lean_argument(node: ast.arg) -> ast.arg:
    return _with(node, {"annotation": None}) if node.annotation is not None and _is_inert(node.annotation) else node


def _lean_class(node: ast.ClassDef) -> ast.stmt:
    if not _is_plain_class(node):
        return node
    return _with(node, {"body": _lean_body(_without_docstring(node.body), inside=False)})


def _lean_variable(node: ast.AnnAssign) -> ast.stmt:
    """Inside functions annotations are not even evaluated; without a value one still makes its name local."""
    if node.value is None:
        return _with(node, {"annotation": ast.Constant(None)})
    return ast.Assign([node.target], node.value, lineno=node.lineno)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest or [ast.Pass()]
    return body


def _is_plain_function(node: Any) -> bool:
    return all(_is_plain_decorator(one) for one in node.decorator_list)


def _is_plain_class(node: ast.ClassDef) -> bool:
    bases = all(isinstance(one, ast.Name) and one.id in _PLAIN_BASES for one in node.bases)
    return bases and not node.keywords and all(_name_of(one) == "dataclass" for one in node.decorator_list)


def _is_plain_decorator(node: ast.expr) -> bool:
    return _name_of(node) in _PLAIN_DECORATORS


def _name_of(decorator: ast.expr) -> str:
    node = decorator
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_inert(node: ast.expr | None) -> bool:
    """Whether evaluating an annotation does nothing: names, attributes, subscripts, constants."""
    allowed = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp, ast.BitOr)
    return node is None or all(isinstance(one, (*allowed, ast.expr_context)) for one in ast.walk(node))


def _lists(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield name, block


def _blocks(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    yield from _lists(node)
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield "body", part.body


def _with(node: _Node, changes: Mapping[str, Any]) -> _Node:
    made = copy.copy(node)
    for name, value in changes.items():
        setattr(made, name, value)
    return made
