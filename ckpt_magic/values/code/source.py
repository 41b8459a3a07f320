"""What the code of a cell binds, reads, deletes and imports.

Handed the *transformed* tree of a cell, in which magics are `get_ipython().run_line_magic(...)` and the like.
"""

from __future__ import annotations

import ast
import functools
import io
import tokenize
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ckpt_magic.values.code import hashes, syntax, transformed
from ckpt_magic.values.code.finding import (
    EVALUATORS,
    QUERIED,
    REACHES_ALL,
    REACHES_ALL_ATTRIBUTES,
    Finder,
    bound_by,
    found_in,
    terms,
)
from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.code.vocabulary import words_in

_NO_CODE: Final = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the notebook that a piece of code mentions, found without running it."""

    binds: frozenset[str] = frozenset()
    """Stored at module scope, or by a function that declares them `global` (then only perhaps)."""
    reads: frozenset[str] = frozenset()
    """Every global name that is referenced, builtins included, also from nested scopes, `del x` and `x += 1`."""
    deletes: frozenset[str] = frozenset()
    """Deleted, also by the end of `except E as name`."""
    imports: frozenset[str] = frozenset()
    """Modules imported, dotted; also by imports inside functions."""
    dynamic: bool = False
    """The code may bind or read names that are not written in it."""
    renews: frozenset[str] = frozenset()
    """Surely bound before anything can have read them: what they held before does not matter."""
    asleep: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Per function that the code defines, what its body reads; part of `reads`, although only a call reads it."""
    awake: frozenset[str] = frozenset()
    """What the code reads without those bodies."""
    words: frozenset[str] = frozenset()
    """Words in its texts: some libraries evaluate them in the caller's variables."""
    fetches: frozenset[str] = frozenset()
    """Of `awake`: what the code may still find as it was before it ran; not the `x` of a loop that first binds it."""
    measures: frozenset[str] = frozenset()
    """Likewise, but the code asks for no more than the number that it is: `x.item()`, `float(x)`, `f"{x:.3f}"`."""

    ordered: frozenset[str] = frozenset()
    """By whose order the code goes, if they are sets, the bodies of functions aside."""
    ordered_asleep: frozenset[str] = frozenset()
    """By whose order the functions go that it defines."""

    def woken_by(self, used: Iterable[str]) -> set[str]:
        """Add to `used` names what the bodies of the functions among them read."""
        found: set[str] = set()
        todo = set(used)
        while todo:
            found |= todo
            todo = set().union(*(self.asleep.get(name, ()) for name in todo)) - found
        return found


def names(tree: ast.Module) -> Names:
    """Find the names that a transformed cell binds, reads, deletes and imports.

    Code in the string arguments of `%time`, `%timeit`, `%prun`, `%%time`, `%%timeit`, `%%prun` and
    `%%capture` is looked into; where that text is no plain Python, the result is `dynamic`.
    """
    found = functools.cache(found_in)
    finders = [found(statement) for statement in tree.body]
    imports = frozenset().union(*(one.imports for one in finders))
    asleep, awake, fetches, measures = _asleep_and_awake(tree, found)
    outside, functions = list[ast.AST]([tree]), list[ast.AST]()
    for node in outside:  # it grows meanwhile
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            functions.append(node)
        else:
            outside += syntax.children(node)
    inside = [node for function in functions for node in syntax.nodes(function)]
    return Names(
        frozenset().union(*(one.binds for one in finders)),
        frozenset().union(*(one.reads for one in finders)),
        frozenset().union(*(one.deletes for one in finders)),
        imports,
        "__main__" in imports or any(one.dynamic for one in finders),
        frozenset(_renewed(tree, found)),
        asleep,
        awake,
        words_in(node.value for node in (*outside, *inside) if isinstance(node, ast.Constant)),
        fetches,
        measures,
        hashes.gone_through(outside),
        hashes.gone_through(inside),
    )


def is_quiet(text: str) -> bool:
    """Whether a cell ends with `;`, which keeps its last value off the page; the tree does not tell."""
    last = ""
    if ";" not in text:
        return False
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _NO_CODE:
                last = token.string
    except (tokenize.TokenError, SyntaxError):  # a cell with magics: what could be read counts
        return text.rstrip().endswith(";")
    return last == ";"


def reaches_all(names: Iterable[str]) -> bool:
    """Whether code that uses these names may reach any variable (`exec`, `globals`, …)."""
    return not REACHES_ALL.isdisjoint(names)


def leads_to_all(code: types.CodeType) -> bool:
    """Whether a code object, or one nested in it, names an attribute by which any variable is reached."""
    return not all(REACHES_ALL_ATTRIBUTES.isdisjoint(one.co_names) for one in with_nested([code]))


def queried(code: types.CodeType) -> Iterator[str]:
    """Variables that texts in a code object speak of to those who evaluate texts: `frame.query("a > @limit")`."""
    for one in with_nested([code]):
        texts = [text for text in one.co_consts if type(text) is str]
        for text in texts:
            yield from terms(text)
            if not (EVALUATORS | {"query"}).isdisjoint(one.co_names):
                yield from QUERIED.findall(text)


def makes_functions(tree: ast.Module) -> bool:
    """Whether code makes what can run later without being named: functions, classes, generators."""
    return any(
        isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef, ast.GeneratorExp)) for node in syntax.nodes(tree)
    )


def _renewed(tree: ast.Module, found: _Found) -> set[str]:
    """Find the names that code which comes to its end has bound before it, or what it calls, can have read them.

    Only statements that surely run count: not those below `if`, `for`, `try` and the like, nor the body of a `with`.
    """
    renewed: set[str] = set()
    read: set[str] = set()
    for statement in _in_order(tree.body):
        function = isinstance(statement, _FUNCTIONS) and not statement.decorator_list
        if function:  # its body runs when the name is bound
            renewed |= _surely_bound(statement) - read
        for part, bound in _evaluated(statement):
            finder = found(*part)
            read |= finder.reads | finder.deletes
            if finder.dynamic:
                return renewed
            renewed |= bound - read
    return renewed


def _evaluated(statement: ast.stmt) -> Iterator[tuple[list[ast.AST], set[str]]]:
    """Take a statement apart into what is evaluated one after the other, each with the names that it surely binds."""
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        for item in statement.items:
            target = [item.optional_vars] if item.optional_vars is not None else []
            yield [item.context_expr, *target], _stored(target)
        yield [*statement.body], set()
    else:
        yield [statement], _surely_bound(statement)


def _asleep_and_awake(
    tree: ast.Module, found: _Found
) -> tuple[dict[str, frozenset[str]], frozenset[str], frozenset[str], frozenset[str]]:
    """Tell apart what the bodies of the functions read that the code only defines, and all else that it reads.

    Of that also what it fetches, and what it measures; see `Names`.
    """
    asleep: dict[str, frozenset[str]] = {}
    awake: set[str] = set()
    flow, bound = _Flow(found), frozenset[str]()
    for statement in _in_order(tree.body):
        if isinstance(statement, _FUNCTIONS) and not statement.decorator_list:
            asleep[statement.name] = asleep.get(statement.name, frozenset()) | found(statement).reads
            awake |= found(statement.args, statement.returns).reads  # defaults and annotations
            flow.note(bound, statement.args, statement.returns)  # its name is never bound: who reads it wakes the body
        else:
            awake |= found(statement).reads
            bound = flow.run([statement], bound)
    return asleep, frozenset(awake), frozenset(flow.fetches), frozenset(flow.measures - flow.fetches)


class _Flow:
    """Follows code through its branches and loops: which names may it read before it has surely bound them?"""

    def __init__(self, found: _Found) -> None:
        self._found = found
        self.fetches: set[str] = set()
        self.measures: set[str] = set()

    def note(self, bound: frozenset[str], *parts: ast.AST | None) -> None:
        """Note what these parts read of all that is not bound yet."""
        finder = self._found(*parts)
        self.fetches |= finder.whole - bound
        self.measures |= finder.measures - bound

    def run(self, body: Iterable[ast.stmt], bound: frozenset[str]) -> frozenset[str]:
        """Go through some statements; returns what is bound after them."""
        for statement in body:
            match statement:
                case ast.If():
                    bound = self._branches(statement, bound)
                case ast.While():
                    self.note(bound, statement.test)
                    self.run(statement.body, bound)
                    self.run(statement.orelse, bound)
                case ast.For() | ast.AsyncFor():
                    self.note(bound, statement.iter, statement.target)
                    self.run(statement.body, bound | _stored([statement.target]))
                    self.run(statement.orelse, bound)
                case ast.With() | ast.AsyncWith():
                    for item in statement.items:
                        self.note(bound, item.context_expr, item.optional_vars)
                        bound |= _stored([] if item.optional_vars is None else [item.optional_vars])
                    self.run(statement.body, bound)  # which may stop halfway, and code go on below
                case ast.Try() | ast.TryStar():
                    self.run(statement.orelse, self.run(statement.body, bound))
                    for handler in statement.handlers:
                        self.note(bound, handler.type)
                        self.run(handler.body, bound | {handler.name or ""})
                    self.run(statement.finalbody, bound)
                case _:
                    self.note(bound, statement)
                    bound |= _surely_bound(statement)
        return bound

    def _branches(self, statement: ast.If, bound: frozenset[str]) -> frozenset[str]:
        """As `run`; in a loop, since there may be thousands of `elif`."""
        after: frozenset[str] | None = None
        while True:
            self.note(bound, statement.test)
            here = self.run(statement.body, bound)
            after = here if after is None else after & here
            match statement.orelse:
                case [ast.If() as statement]:
                    continue
            return after & self.run(statement.orelse, bound)


def _in_order(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run one after the other, those in the text of `%%time` and `%%capture` too."""
    for statement in body:
        run = transformed.run_by(statement) if isinstance(statement, ast.Expr) else None
        if run is None or run.magic not in ("time", "capture") or "no-raise" in run.options:
            yield statement
        else:
            yield from run.code.body


def _surely_bound(statement: ast.stmt) -> set[str]:
    """Names that a statement has bound when it is over."""
    match statement:
        case ast.Assign(targets=targets):
            return _stored(targets)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return {name}
        case ast.Import() | ast.ImportFrom():
            return set(bound_by(statement)) - {"*"}
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
    return set()


def _stored(targets: Iterable[ast.expr]) -> set[str]:
    parts = (node for target in targets for node in syntax.nodes(target))
    return {node.id for node in parts if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


_Found = Callable[..., Finder]
"""What `found_in` gives, found once."""


def only_sets(inside: Iterable[ast.AST]) -> bool:
    """Whether code with these nodes reaches variables that it does not name only to set them: `globals()[k] = v`."""
    spaces, named = set[int](), list[ast.Name]()
    for node in inside:
        match node:
            case ast.Name(id=name) if name in REACHES_ALL:
                named.append(node)
            case ast.Subscript(value=ast.Call(func=space) as call, ctx=ast.Store()) if transformed.is_namespace(call):
                spaces.add(id(space))
            case ast.Call(func=ast.Attribute(value=ast.Call(func=space) as call, attr="update")) if (
                transformed.is_namespace(call)
            ):
                spaces.add(id(space))
            case ast.Attribute(attr=word) if word in REACHES_ALL_ATTRIBUTES | EVALUATORS | {"modules", "query"}:
                return False
            case ast.Constant(value="__main__") | ast.alias(name="*" | "__main__") | ast.Name(id="dir"):
                return False
    return bool(named) and all(id(node) in spaces for node in named)


# --- nodes ---


# --- digest ---
