"""What the text of a module says: what it imports, which words lead to what in it, and what runs at its import.

Each text is gone through once.
"""

from __future__ import annotations

import ast
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from ckpt_magic.values.code import encoding, essence, hashes, syntax, vocabulary

_MODULES: Final = 1024  # whose texts are gone through once
_WAYS_TO_MAIN: Final = frozenset({"__main__", "f_globals", "f_locals", "user_ns", "user_global_ns"})
_OPENERS = frozenset(
    {"open", "load", "loadtxt", "genfromtxt", "fromfile", "imread", "safe_load", "full_load", "fileConfig"}
)
_LISTERS = frozenset(
    {"listdir", "scandir", "walk", "glob", "iglob", "rglob", "iterdir", "iter_modules", "walk_packages"}
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS: Final = (*_FUNCTIONS, ast.ClassDef)


def digest(text: str) -> str:
    """Return a digest of the text of a module; where it cannot be parsed, all of it counts."""
    return _module(text).digest


def imports(text: str) -> frozenset[str]:
    """Names of the modules that the text of a module imports; relative ones begin with dots."""
    return _module(text).imports


def imports_in_order(text: str) -> list[str]:
    """The same in the order in which they stand there."""
    tree = syntax.parsed(text)
    found = list[str]()
    for node in syntax.nodes(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found += [base, *(f"{base}{'' if base.endswith('.') else '.'}{one.name}" for one in node.names)]
    return [*dict.fromkeys(found)]


def acts_on(text: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Modules, named as by `imports`, of which a module sets attributes at its import, or ever, and all it may change.

    What is imported from a module has that one's name before its own: it may be a module, too.
    Who is asked to register something by a decorator belongs to the first; to the last, too, where items are set, and
    what is called when the module is imported.
    """
    return _module(text).acts_on


def words(text: str) -> vocabulary.Words:
    """The identifiers in the text of a module."""
    return _module(text).words


def reaches_the_notebook(text: str) -> bool:
    """Whether the code of a module may read variables of the notebook by their names."""
    return _module(text).reaches_the_notebook


def asks_for_hashes(text: str) -> bool:
    """Whether a module takes hashes for numbers; see `hashes`."""
    return _module(text).asks_for_hashes


def defined_in(text: str) -> Set[str]:
    """Names of the functions and classes of a module."""
    return _module(text).defined.keys()


def words_reached(text: str, words: Set[str]) -> frozenset[str]:
    """The words in a module of what is defined under one of `words`, of all that this mentions, and of the rest."""
    defined = _module(text).defined
    found, met = set(_module(text).rest), set[str]()
    todo = (found | words) & defined.keys()
    while todo:
        met |= todo
        more = set[str]().union(*map(defined.__getitem__, todo))
        found |= more
        todo = more & defined.keys() - met
    return frozenset(found)


def words_called(text: str, words: Set[str]) -> frozenset[str]:
    """The words of the functions and classes in a module that go by one of `words`, and of all that they mention."""
    defined = _module(text).defined
    return frozenset[str]().union(*map(defined.__getitem__, _led_to(defined, words)))


def texts_called(text: str, words: Set[str]) -> Iterator[str]:
    """The texts in what a module has by one of these words: in functions and classes, and in what it assigns."""
    for names, texts in _texts(text):
        if not names.isdisjoint(words):
            yield from texts


@functools.lru_cache(maxsize=_MODULES)
def _texts(text: str) -> list[tuple[Set[str], list[str]]]:
    """Per statement at the top of a module the names that it binds, and the texts in it."""
    found = list[tuple[Set[str], list[str]]]()
    for node in getattr(syntax.parsed(text), "body", ()):
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        names = {node.name} if isinstance(node, _DEFINITIONS) else names
        if names and (texts := syntax.texts(ast.Module([node], []))):
            found.append((names, texts))
    return found


def all_words_called(texts: Iterable[str], words: Set[str]) -> frozenset[str]:
    """The same for several modules, which call each other."""
    texts, found, met = [*texts], frozenset[str](), frozenset[str]()
    while not words <= met:
        met |= words
        found = frozenset[str]().union(*(words_called(text, met) for text in texts))
        words = found
    return found


def run_by(text: str, words: Set[str], *, imported: bool) -> tuple[frozenset[str], str]:
    """The words of what runs in a module that is called by `words`, or imported, and a digest of that code.

    What the module sets outside its functions belongs to the digest, if anything runs.
    """
    module = _module(text)
    rest, defined = module.rest, module.defined
    met = _led_to(defined, words | rest if imported else words)
    if not met and not imported:
        return frozenset(), ""
    found = frozenset[str]().union(rest if imported else (), *map(defined.__getitem__, met))
    return found, " ".join(one.lean for one in module.statements if one.name in met or not one.name)


def _led_to(defined: Mapping[str, Set[str]], words: Set[str]) -> set[str]:
    """What is defined under one of these words, and all that this mentions."""
    met, todo = set[str](), words & defined.keys()
    while todo:
        met |= todo
        todo = defined.keys() & set[str]().union(*map(defined.__getitem__, todo)) - met
    return met


@dataclass(frozen=True, slots=True)
class _Statement:
    """One at the top of a module: the function or class that it defines, its words, and its two digests."""

    name: str
    words: frozenset[str]
    lean: str
    full: str


@dataclass(frozen=True, slots=True)
class _Module:
    """What the text of a module says, all found in one go: to parse it takes as long as to go through it.

    Attributes
    ----------
    rest, defined
        The words outside functions and classes, and in each of them.
    """

    digest: str
    statements: tuple[_Statement, ...] = ()
    rest: frozenset[str] = frozenset()
    defined: Mapping[str, frozenset[str]] = field(default_factory=dict)
    imports: frozenset[str] = frozenset()
    acts_on: tuple[frozenset[str], frozenset[str], frozenset[str]] = (frozenset(), frozenset(), frozenset())
    reaches_the_notebook: bool = True
    words: vocabulary.Words = field(default_factory=vocabulary.Words)
    asks_for_hashes: bool = False


@functools.lru_cache(maxsize=_MODULES)
def _module(text: str) -> _Module:
    tree, whole = syntax.parsed(text), essence.text_digest(text)
    if tree is None:
        return _Module(f"{whole}:{whole}")
    nodes = [syntax.nodes(node) for node in tree.body]
    statements = tuple(map(_statement, tree.body, nodes))
    by_name = {"": frozenset[str]()}
    for one in statements:
        by_name[one.name] = by_name.get(one.name, frozenset()) | one.words
    words = frozenset[str]().union(*by_name.values())
    rest = by_name.pop("")
    lean = essence.text_digest(" ".join(one.lean for one in statements))
    full = essence.text_digest(" ".join(one.full for one in statements))
    if not words.isdisjoint(essence.TEXT_READERS):
        lean = full = whole
    elif not words.isdisjoint(essence.READERS):
        lean = full
    every = list(itertools.chain.from_iterable(nodes))
    return _Module(
        f"{lean}:{full}",
        statements,
        rest,
        by_name,
        _imports(every),
        _acts_on(tree, every),
        not _WAYS_TO_MAIN.isdisjoint(words),
        vocabulary.words(tree),
        not words.isdisjoint(hashes.ASKING) and "hash" not in by_name and hashes.asked_anywhere_in(tree),
    )


def _statement(node: ast.stmt, nodes: list[ast.AST]) -> _Statement:
    alone, words = ast.Module([node], []), frozenset(essence.words_of(nodes))
    name, full = node.name if isinstance(node, _DEFINITIONS) else "", encoding.digest(alone)
    return _Statement(name, words, essence.lean_digest_of(alone, nodes, words) or full, full)


def _imports(nodes: Iterable[ast.AST]) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found.add(base)
            found.update(f"{base}{'' if base.endswith('.') else '.'}{alias.name}" for alias in node.names)
    return frozenset(found)


def _acts_on(tree: ast.Module, nodes: Iterable[ast.AST]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    bound: dict[str, set[str]] = {}
    owners = [owner for node in _run_at_import(tree) if (owner := _owner_of_set(node)) is not None]
    ever, others = list[ast.expr](), list[ast.expr]()
    for node in nodes:
        match node:
            case ast.Import():
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    bound.setdefault(alias.asname or top, set()).update(
                        {alias.name, top} if not alias.asname else {alias.name}
                    )
            case ast.ImportFrom():
                base = "." * node.level + (node.module or "")
                for alias in node.names:
                    joined = f"{base}{'' if base.endswith('.') else '.'}{alias.name}"
                    bound.setdefault(alias.asname or alias.name, set()).add(joined)
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                others.append(node.value)
            case _ if (owner := _owner_of_set(node)) is not None:
                ever.append(owner)
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Call() as call):
                others.append(call)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                others += node.decorator_list
                owners += [one for one in node.decorator_list if "register" in ast.unparse(one)]
    first, second, third = (
        frozenset[str]().union(*(bound.get(syntax.first_word(one), ()) for one in some))
        for some in (owners, ever, others)
    )
    return first, first | second, first | second | third


def _owner_of_set(node: ast.AST) -> ast.expr | None:
    """Of what a node sets an attribute."""
    match node:
        case ast.Attribute(value=owner, ctx=ast.Store() | ast.Del()):
            return owner
        case ast.Call(func=ast.Name(id="setattr"), args=[owner, *_]):
            return owner
    return None


@dataclass(frozen=True, slots=True)
class AtImport:
    """What the text of a module asks for when it is imported.

    Attributes
    ----------
    keys
        Environment variables.
    opens
        A word that stands for reading a file; empty if there is none.
    lists
        A word that stands for listing a folder; empty if there is none.
    near
        It mentions where the module itself lies.
    texts
        The texts in what runs then.
    """

    keys: frozenset[str] = frozenset()
    opens: str = ""
    texts: frozenset[str] = frozenset()
    lists: str = ""
    near: bool = False


def at_import(text: str, *, called: bool = False) -> AtImport:
    """Tell what runs when a module is imported: its statements, and the functions of its own that they mention.

    With `called` all else that the module defines, too.
    """
    tree = syntax.parsed(text)
    if tree is None:
        return AtImport()
    keys, texts, opens, lists, near = set[str](), set[str](), set[str](), set[str](), False
    joints = set[int]()  # the dots of `f"{package}.{name}"`: no folder
    for node in _run_at_import(tree, called=called):
        match node:
            case ast.Name(id="__file__" | "__path__"):
                near = True
            case ast.JoinedStr(values=values):
                joints |= {id(one) for one in values if isinstance(one, ast.Constant) and one.value == os.curdir}
            case ast.Constant(value=str(constant)) if id(node) not in joints:
                texts.add(constant)
            case ast.Call(func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"), args=[ast.Constant(str(key)), *_]):
                keys.add(key)
            case (
                ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[ast.Constant(str(key)), *_])
                | ast.Subscript(value=owner, slice=ast.Constant(str(key)), ctx=ast.Load())
            ) if syntax.last_word(owner) == "environ":
                keys.add(key)
            case ast.Compare(left=ast.Constant(str(key)), comparators=[owner]) if syntax.last_word(owner) == "environ":
                keys.add(key)
            case ast.Call(func=ast.Attribute(attr=word) | ast.Name(id=word)) if word in _OPENERS or word.startswith(
                "read_"
            ):
                opens.add(word)
            case ast.Call(func=ast.Attribute(attr=word) | ast.Name(id=word)) if word in _LISTERS:
                lists.add(word)
    return AtImport(frozenset(keys), min(opens, default=""), frozenset(texts), min(lists, default=""), near)


def _run_at_import(tree: ast.Module, *, called: bool = False) -> Iterator[ast.AST]:
    """What runs when a module is imported; see `at_import`."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    todo, done = list[ast.AST](tree.body), set[str]()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call) and (name := syntax.first_word(node.func)) in classes and name not in done:
            done.add(name)
            todo += [part for one in classes[name].body if isinstance(one, _FUNCTIONS) for part in one.body]
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not called:
                todo += [*node.decorator_list, *node.args.defaults, *(one for one in node.args.kw_defaults if one)]
                continue
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                todo += node.orelse
                continue
            case ast.Name(id=name) if name in functions and name not in done:
                done.add(name)
                todo += functions[name].body
        yield node
        todo += ast.iter_child_nodes(node)
