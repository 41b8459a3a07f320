"""What names of a notebook stand for, by code alone: `s0` for `seed` after `from random import seed as s0`.

Code that uses such a name does what the words say that it stands for. Followed are imports by name, values that are
functions, methods or objects of modules, what a lambda does, and instances of classes; not what functions return,
unless they define functions themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from ckpt_magic.values.code import source, syntax, vocabulary
from ckpt_magic.values.code.changing import CHANGING, Known

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_INNER = (*_DEFINITIONS, ast.Lambda, ast.GeneratorExp, ast.Yield, ast.YieldFrom)


@dataclass(frozen=True, slots=True)
class _StandIn:
    """What a name stands for: words, and other names.

    Attributes
    ----------
    words, names
        These.
    is_imported, is_defined
        It is imported; it is a function or class of the notebook.
    makes
        What it gives when it is called does again what it does.
    """

    words: Set[str] = frozenset()
    names: Set[str] = frozenset()
    is_imported: bool = False
    is_defined: bool = False
    makes: bool = False

    def __or__(self, other: _StandIn) -> _StandIn:
        return replace(self, words=self.words | other.words, names=self.names | other.names)


class StandIns:
    """Goes along with the statements of one notebook, in order.

    Parameters
    ----------
    texts
        The texts of the user's own modules that these import.

    Attributes
    ----------
    told
        What these tell of names, for `changing`.
    values
        Names that were surely bound by what imports nothing: what they do is told by what bound them.
    packages
        Per name that was imported the top-level package that it is of, and what it is called there.
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self._known: dict[str, _StandIn] = {}
        self.told = Known(texts if texts is not None else {})
        self.values = set[str]()
        self.packages: dict[str, tuple[str, str]] = {}

    @property
    def foreign(self) -> Set[str]:
        """Names that were imported, and not from the user's own modules."""
        return (
            {name for name, one in self._known.items() if one.is_imported}
            - self.told.own.keys()
            - self.told.borne.keys()
        )

    def behind(self, names: Iterable[str]) -> frozenset[str]:
        """The words for which these names stand; what functions do that go by their own names is told by others."""
        met, words = set[str](), set[str]()
        todo = [name for name in names if name in self._known and not self._known[name].is_defined]
        while todo:
            name = todo.pop()
            if name not in met and name in self._known:
                met.add(name)
                words |= self._known[name].words
                todo += self._known[name].names
        return frozenset(words)

    def led_to(self, name: str) -> frozenset[str]:
        """The names of the notebook for which a name stands."""
        return frozenset(self._known.get(name, _StandIn()).names)

    def note(self, node: ast.stmt, names: source.Names, words: Set[str]) -> None:
        """Go on: a statement with these names and words has run."""
        self.told.note(node)
        self.values -= names.binds | names.deletes
        if not names.imports:
            self.values |= names.renews
        for name in names.binds | names.deletes:
            self.packages.pop(name, None)
        if isinstance(node, ast.Import):
            self.packages |= {_top(one.asname or one.name): (_top(one.name), "") for one in node.names}
            parts = frozenset(part for one in node.names if one.asname for part in one.name.split("."))
            self._known.update(dict.fromkeys(names.binds, _StandIn(parts, is_imported=True)))
        elif isinstance(node, ast.ImportFrom):
            self.packages |= {one.asname or one.name: (_top(node.module or ""), one.name) for one in node.names}
            for one in node.names:
                words, makes = frozenset({one.name, (node.module or "").rpartition(".")[2]}), _gives_more(one.name)
                self._known[one.asname or one.name] = _StandIn(words, is_imported=True, makes=makes)
        elif isinstance(node, _DEFINITIONS):
            makes = isinstance(node, ast.ClassDef) or any(isinstance(one, _INNER) for one in syntax.nodes(node)[1:])
            self._known[node.name] = _StandIn(words, names.reads, is_defined=True, makes=makes)
            for decorator in node.decorator_list:
                self._put_into(decorator, _StandIn(names=frozenset({node.name})))
        else:
            given = self._given(node)
            for name in given.names & names.binds:  # `tools = [*tools, seed]`
                given |= self._known.get(name, given)
            for name in names.binds:
                self._known.pop(name, None)
            if given.names & self.told.callables or any(isinstance(one, ast.Lambda) for one in syntax.nodes(node)):
                self.told.callables |= names.binds
            if given.names & (self.told.restless | self.told.unsettled):
                self.told.unsettled |= names.binds
            if given.words or given.names:
                self._known.update(dict.fromkeys(names.binds, given))
                self._put_into(_filled(node), given)

    def _given(self, node: ast.AST) -> _StandIn:
        """What an expression, or all in a statement, stands for."""
        words, names, later = set[str](), set[str](), set[str]()
        todo: list[ast.AST] = [node]
        while todo:
            node = todo.pop()
            match node:
                case ast.Name(id=name):
                    names.add(name)
                case ast.Attribute(attr=word):
                    if (base := _base(node)) in self._known:
                        words.add(word)
                        names.add(base)
                case ast.Subscript(value=owner, slice=key):
                    todo += [key] if isinstance(owner, ast.Attribute) else [owner, key]
                case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(word)), *_]):
                    words.add(word)
                    todo.append(owner)
                case ast.Call(func=func, args=args, keywords=keywords):
                    base = _base(func)
                    if isinstance(func, ast.Name) and base in self._known and self._known[base].makes:
                        names.add(base)
                    elif isinstance(func, ast.Attribute) and base in self._known and _gives_more(func.attr):
                        words.add(func.attr)
                    todo += [*args, *keywords]
                case ast.Lambda() | ast.GeneratorExp():
                    module = ast.Module([ast.Expr(node)], [])
                    words |= vocabulary.words(module).read
                    later |= source.names(module).reads
                case _:
                    todo += ast.iter_child_nodes(node)
        return _StandIn(frozenset(words), frozenset(names & self._known.keys() | later))

    def _put_into(self, target: ast.expr | None, given: _StandIn) -> None:
        """Something is put into what an expression has, or that is called with it; into a module only by a word."""
        target = target.func if isinstance(target, ast.Call) else target
        if not isinstance(target, ast.Attribute | ast.Subscript) or not (owner := _base(target)):
            return
        before = self._known.get(owner, _StandIn())
        if not before.is_imported or (isinstance(target, ast.Attribute) and target.attr.startswith(CHANGING)):
            self._known[owner] = before | given


def _top(module: str) -> str:
    return module.partition(".")[0]


def _filled(node: ast.stmt) -> ast.expr | None:
    """Into what a statement may put something."""
    match node:
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute() as target]) | ast.Expr(value=ast.Call() as target):
            return target
    return None


def _gives_more(name: str) -> bool:
    """Whether what gives an object that does more is called so: a class, or `getcontext`."""
    return name[:1].isupper() or name.startswith("get")


def _base(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
