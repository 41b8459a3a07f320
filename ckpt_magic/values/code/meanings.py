"""Words of a cell that stand for what some libraries own, wherever it has them."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from ckpt_magic.values.code import syntax, transformed, vocabulary
from ckpt_magic.values.memory import identity

_OF_TABLES: Final = frozenset({"numpy", "pandas", "polars", "pyarrow", "scipy"})


def meant(
    words: Set[str], tree: ast.Module, others: Set[str], namespace: Mapping[str, Any], libraries: Set[str]
) -> Set[str]:
    """Those of these words that a cell has as names of functions and classes of certain libraries, and as nothing else.

    Without this `pd.read_csv` would count for a reader of any library that is imported beside pandas. To import a name
    is no use of it, and what is given a table opens no file, as `Pool(X, y)`.

    Parameters
    ----------
    words
        Which.
    tree
        The cell.
    others
        Words of the code that it calls: nobody looks what they stand for there.
    namespace
        The names that it finds.
    libraries
        Names of the libraries.
    """
    nodes = syntax.nodes(tree)
    for node in nodes:  # it grows
        if isinstance(node, ast.Call) and (run := transformed.run_by(node)) is not None:
            nodes += syntax.nodes(run.code)
    imported, bound = dict[str, str](), set[str]()
    for node in nodes:
        for name, what in _imports(node):
            if imported.setdefault(name, what) != what:
                bound.add(name)
        bound.update(_bound(node))
    if "*" in imported:
        return frozenset()

    def is_meant(node: ast.AST) -> bool:
        name = syntax.dotted(node).partition(".")[0]
        return name not in bound and (imported.get(name) or _home(namespace.get(name))).partition(".")[0] in libraries

    def is_given_a_table(call: ast.Call) -> bool:
        given = next(iter(call.args), next((one.value for one in call.keywords if one.arg == "data"), None))
        value = namespace.get(given.id) if isinstance(given, ast.Name) and given.id not in {*bound, *imported} else None
        is_class = syntax.last_word(call.func)[:1].isupper()
        may_name_files = getattr(getattr(value, "dtype", None), "kind", "") in ("O", "S", "U", "T")
        is_table = type(value).__module__.partition(".")[0] in _OF_TABLES and not issubclass(type(value), (str, bytes))
        return is_class and is_table and not may_name_files

    of_data = {identity(one.func) for one in nodes if isinstance(one, ast.Call) and is_given_a_table(one)}
    found, unclear = set[str](), {*others}
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)):
            if (word := syntax.last_word(node)) in words:
                (found if identity(node) in of_data or is_meant(node) else unclear).add(word)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            unclear.update(vocabulary.identifiers(node.value))
        elif isinstance(node, ast.keyword):
            unclear.add(node.arg or "")
        for name, what in _imports(node):
            library, _, word = what.rpartition(".")
            (found if name == word or library.partition(".")[0] in libraries else unclear).add(word)
    return found & words - unclear


def _home(value: Any) -> str:
    """The module that a value is, or in which a function was made; empty for others."""
    if type(value) is types.ModuleType:
        return value.__name__
    return str(value.__module__) if type(value) is types.FunctionType else ""


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and to what."""
    if isinstance(node, ast.Import):
        for one in node.names:
            yield one.asname or one.name.partition(".")[0], one.name if one.asname else one.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        for one in node.names:
            yield one.asname or one.name, f"{'.' * node.level}{node.module or ''}.{one.name}"


def _bound(node: ast.AST) -> Iterator[str]:
    """The name that a node binds otherwise."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif not isinstance(node, ast.alias) and (name := getattr(node, "name", None)):
        yield str(name)
