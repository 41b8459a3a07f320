"""The identifiers in code, names, attributes and texts that are one, whatever they stand for there."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.values.code import syntax, transformed

DERIVING: Final = "__init_subclass__"  # stands for what a class and its metaclass do where another derives from it
ENVIRON: Final = frozenset({"environ", "environb", "getenv"})
_SETTERS: Final = frozenset({"setattr", "delattr", "vars", "__dict__", "__setattr__", "patch"})
_WORD: Final = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Words:
    """The identifiers in code, names, attributes and texts that are one, whatever they stand for there."""

    read: frozenset[str] = frozenset()
    """All of them."""
    stored: frozenset[str] = frozenset()
    """Attributes that are set or deleted, globals that a function sets."""
    touched: frozenset[str] = frozenset()
    """Attributes whose value may be changed in place: something is set in it, called of it, or is given it."""
    keys: frozenset[str] | None = frozenset()
    """Variables of the environment that the code asks for; None if any may be among them."""
    calls: frozenset[tuple[str, ...]] = frozenset()
    """What is called by a dotted name, decorators too; of functions of the notebook all dotted names."""

    @property
    def by_name(self) -> bool:
        """Whether attributes may be set whose names are not written in the code."""
        return not _SETTERS.isdisjoint(self.read)

    def adds_to(self, other: Words) -> bool:
        """Whether the code may set or change anything outside the namespace that the other code does not name."""
        return not (self.stored <= other.stored and self.touched <= other.touched and self.calls <= other.calls)

    def __or__(self, other: Words) -> Words:
        keys = None if self.keys is None or other.keys is None else self.keys | other.keys
        return Words(
            self.read | other.read,
            self.stored | other.stored,
            self.touched | other.touched,
            keys,
            self.calls | other.calls,
        )


@functools.lru_cache(maxsize=4)  # several ask for those of the cell that runs
def words(tree: ast.Module) -> Words:
    """Find the identifiers in a transformed cell."""
    read: set[str] = set()
    stored: set[str] = set()
    touched: list[ast.AST | None] = []
    calls: set[tuple[str, ...]] = set()
    aliases: dict[str, tuple[str, ...]] = {}
    todo: list[tuple[ast.AST, bool]] = [(tree, False)]
    while todo:
        node, is_asked = todo.pop()
        children = syntax.children(node)
        asked = _asked(node)
        is_asked &= not isinstance(node, ast.Call)
        todo += [(child, is_asked or child in asked) for child in children]
        if isinstance(node, ast.keyword) and node.arg:
            read.add(node.arg)
        if isinstance(node, ast.Name):
            read.add(node.id)
        elif isinstance(node, ast.Attribute):
            read.add(node.attr)
            if not isinstance(node.ctx, ast.Load):
                stored.add(node.attr)
                touched.append(node.value)
        elif isinstance(node, ast.Subscript):
            if not isinstance(node.ctx, ast.Load):
                touched.append(node.value)
                stored.update(_set_in_dict(node))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                read.update(identifiers(node.value))
        elif isinstance(node, ast.Import):
            aliases.update({alias.asname: (alias.name,) for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            read.update(alias.name for alias in node.names)
            aliases.update({alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names})
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            read.add("BaseException")
        elif not isinstance(node, (ast.Compare, ast.BinOp, ast.UnaryOp, ast.FormattedValue)):
            called = [node.func] if isinstance(node, ast.Call) else getattr(node, "decorator_list", [])
            calls.update(tuple(_dotted(one)) for one in called)
            stored.update(_set_by_text(node))
            if isinstance(node, ast.ClassDef):
                bases = [*node.bases, *(one.value for one in node.keywords if one.arg == "metaclass")]
                calls.update((*chain, DERIVING) for one in bases if (chain := _dotted(one)))
            if not is_asked:
                others = (child for child in children if child not in asked)
                touched += [getattr(child, "value", child) if child in called else child for child in others]
            run = transformed.run_by(node) if isinstance(node, ast.Call) else None
            todo += [] if run is None else [(run.code, False)]
    attributes = {part for one in touched for part in _in_chain(one, aliases)}
    keys = frozenset[str]() if ENVIRON.isdisjoint(read) else _keys(tree)
    full = {(*aliases.get(chain[0], chain[:1]), *chain[1:]) for chain in calls if chain}
    return Words(frozenset(read), frozenset(stored), frozenset(attributes), keys, frozenset(full))


def _set_in_dict(node: ast.Subscript) -> Iterator[str]:
    """The attribute that is set by way of the dict that holds it: `vars(module)['x'] = 1`."""
    match node:
        case ast.Subscript(ast.Call(ast.Name("vars")) | ast.Attribute(attr="__dict__"), ast.Constant(str() as name)):
            yield name


def _set_by_text(node: ast.AST) -> Iterator[str]:
    """The attribute that is set by a text: `setattr(module, 'x', 1)`."""
    match node:
        case ast.Call(ast.Name("setattr" | "delattr"), [_, ast.Constant(str() as name), *_]):
            yield name


def _keys(tree: ast.Module) -> frozenset[str] | None:
    """Variables of the environment that a cell asks for by texts; None if it does so in another way."""
    keys: set[str] = set()
    asks = 0
    for node in syntax.nodes(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name, asname=str()) if name in ENVIRON:
                asks -= 1
        match node:
            case (
                ast.Subscript(value=owner, slice=key)
                | ast.Call(func=ast.Attribute(value=owner, attr="get" | "pop" | "setdefault"), args=[key, *_])
                | ast.Call(func=owner, args=[key, *_])
                | ast.Compare(left=key, comparators=[owner])
            ) if syntax.last_word(owner) in ENVIRON:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    keys.add(key.value)
                    asks += 1
    return frozenset(keys) if asks == 0 else None


def _asked(node: ast.AST) -> Sequence[ast.AST | None]:
    """Which parts of a node only say what something is: nothing is changed in them, unless by a call within."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass")):
            return node.args
        case ast.arg(annotation=said) | ast.AnnAssign(annotation=said):
            return [said]
        case ast.FunctionDef(returns=said) | ast.AsyncFunctionDef(returns=said):
            return [said]
    return ()


def _in_chain(node: ast.AST | None, aliases: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The attributes of an expression, `b` and `c` of `a.b[0].c`, and what it begins with if a module is asked for it.

    Names alone are not told: what they are, a look at the namespace tells.
    """
    while isinstance(node, (ast.Subscript, ast.Starred, ast.Attribute)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        node = node.value
    if isinstance(node, ast.Name) and node.id in aliases:
        yield aliases[node.id][-1]


def _dotted(node: ast.AST) -> list[str]:
    """The parts of an expression that is a dotted name, else none."""
    if isinstance(node, ast.Name):
        return [node.id]
    above = _dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*above, node.attr] if above else []  # type: ignore[attr-defined]


def identifiers(text: str) -> list[str]:
    """The parts of a dotted name, as `unittest.mock.patch` takes it."""
    parts = text.split(".") if len(text) < 100 else []
    return [*parts, text] if parts and all(map(str.isidentifier, parts)) else []


def words_in(constants: Iterable[Any]) -> frozenset[str]:
    """The words in texts."""
    return frozenset(word for text in constants if type(text) is str for word in _WORD.findall(text))
