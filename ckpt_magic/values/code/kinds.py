"""What code does to values of some kinds, as far as more can be told of these than of others.

A *table* is a frame, a series or an array: it can be shown, and most of its methods give copies. What is *flat* is a
list, a set or a dict of numbers and texts: nobody gets anything out of it that can change.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from ckpt_magic.values.code import syntax
from ckpt_magic.values.code.changing import INTO, OPERATORS, Known, base, changed_by, is_no_copy, names_in, values_of


@dataclass(frozen=True, slots=True)
class Kinds:
    """Names whose values are of such kinds.

    Attributes
    ----------
    tables
        Those of tables.
    flat
        Those of what is flat.
    atoms
        Those of numbers and texts.
    """

    tables: Set[str] = frozenset()
    flat: Set[str] = frozenset()
    atoms: Set[str] = frozenset()


NONE: Final = Kinds()


# --- tables ---


def shown(inside: Sequence[ast.AST], known: Known) -> set[str]:
    """Names of which code does no more than to show their values if those are tables: `frame.plot()`."""
    if not any(isinstance(one, ast.Attribute) and one.attr in _SHOWING for one in inside):
        return set()  # as most code does
    return _changed_only(inside, known, _is_showing)


def _is_showing(node: ast.AST) -> bool:
    words = {one.attr for one in syntax.links(node) if isinstance(one, ast.Attribute)}
    return isinstance(node, ast.Call) and not words.isdisjoint(_SHOWING)


def copied(node: ast.stmt) -> set[str]:
    """Names of which an assignment gives copies if their values are tables: `frame[frame.a > 1].copy()`."""
    found, kept = set[str](), set[str]()
    for value in values_of(node) if isinstance(node, ast.Assign | ast.AnnAssign) else ():
        copy = next((one for one in syntax.links(value) if _is_copy(one)), None)
        inside = {id(one) for one in syntax.nodes(copy)} if copy is not None else set[int]()
        found |= names_in([copy]) if copy is not None else set()
        kept |= names_in(one for one in syntax.nodes(value) if isinstance(one, ast.Name) and id(one) not in inside)
    return found - kept


def _is_copy(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=word), keywords=keywords):
            return word in _COPYING and not any(one.arg in INTO or is_no_copy(one) for one in keywords)
        case ast.Subscript(slice=ast.Compare() | ast.UnaryOp(op=ast.Invert())):
            return True
        case ast.Subscript(slice=ast.BinOp(left=ast.Compare(), op=ast.BitAnd() | ast.BitOr())):
            return True
    return False


def makes_table(node: ast.stmt, known: Known) -> bool:
    """Whether an assignment makes a table: `pd.read_csv("a.csv")`."""
    match node:
        case ast.Assign(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=word))):
            return name in known.libraries and (word in _MAKING_TABLES or word.startswith("read_"))
    return False


# --- what is flat ---


def parted(inside: Sequence[ast.AST], known: Known) -> set[str]:
    """Names of which code takes no more than what is in their values, and copies: `for word in words`, `set(words)`."""
    # a generator goes on to read after the code has run: `(one.upper() for one in words)`
    lazy = {id(loop) for part in inside if isinstance(part, ast.GeneratorExp) for loop in part.generators}
    apart = {id(one) for part in inside if id(part) not in lazy for one in _taken_apart(part, known)}
    named = [one for one in inside if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)] if apart else []
    return {one.id for one in named} - {one.id for one in named if id(one) not in apart}


def spared(inside: Sequence[ast.AST], known: Known) -> set[str]:
    """Names of which code changes no more than copies, if their values are flat: `words.copy().reverse()`."""
    return _changed_only(inside, known, _begins_with_copy)


def _changed_only(inside: Sequence[ast.AST], known: Known, harmless: Callable[[ast.AST], bool]) -> set[str]:
    """Names that are changed by nothing but by such parts of code, as far as these begin with them."""
    found, others = set[str](), set[str]()
    for part in inside:
        if names := changed_by(part, known):
            of = base(part) if isinstance(part, ast.expr) and harmless(part) else set[str]()
            found |= names & of
            others |= names - of
    return found - others


def _begins_with_copy(node: ast.AST) -> bool:
    """Whether an expression takes something out of a name first, or nothing else: `words[0]`, `words.copy()`."""
    match [*syntax.links(node)]:
        case [*_, ast.Subscript(ctx=ast.Load()), ast.Name()]:
            return True
        case [ast.Call(), ast.Attribute(attr=word), ast.Name()]:
            return word in _GIVING - _REMOVING
        case [*_, ast.Call(), ast.Attribute(attr=word), ast.Name()]:
            return word in _GIVING
    return False


def _taken_apart(part: ast.AST, known: Known) -> Iterator[ast.AST]:
    """The names, as they stand there, of which a part of code gets nothing but what is in them, and copies."""
    match part:
        case ast.Subscript(value=one, ctx=ast.Load()) | ast.Starred(value=one, ctx=ast.Load()):
            yield one
        case ast.FormattedValue(value=one) | ast.keyword(arg=None, value=one):
            yield one
        case ast.Assign(targets=[ast.Tuple() | ast.List()], value=one):
            yield one
        case ast.If(test=one) | ast.While(test=one) | ast.IfExp(test=one) | ast.Assert(test=one):
            yield one
        case ast.For(iter=one) | ast.comprehension(iter=one):
            yield from _gone_through(one, known)
        case ast.Call(func=ast.Name(id=name), args=args) if name in _TAKING - known.callables:
            for one in args:
                yield from _gone_through(one, known)
        case ast.Call(func=ast.Attribute(value=one, attr=word), args=args):
            yield from [one] if word in _GIVING - known.spoken else []
            yield from args if word in _TAKING_ELEMENTS - known.spoken else []
        case ast.Dict(keys=keys, values=values):
            yield from (value for key, value in zip(keys, values, strict=True) if key is None)
        case ast.Compare(left=left, comparators=others) if not known.spoken & OPERATORS:
            yield from (left, *others)
        case ast.BinOp(left=left, right=right) if not known.spoken & OPERATORS:
            yield from (left, right)
        case ast.UnaryOp(operand=one):
            yield one


def _gone_through(node: ast.expr, known: Known) -> Iterator[ast.AST]:
    """What all elements are taken of, by a loop or a call, and nothing else: `enumerate(words)`, `counts.items()`."""
    match node:
        case ast.Call(func=ast.Name(id="enumerate" | "zip" | "reversed" as name), args=args):
            yield from args if name not in known.callables else []
        case ast.Call(func=ast.Attribute(value=one, attr="items" | "values" | "keys" as word), args=[]):
            yield from [one] if word not in known.spoken else []
    yield node


# Methods of frames, series and arrays that show them, and those that give another one.
_SHOWING: Final = frozenset({"plot", "hist", "boxplot", "style"})
_COPYING: Final = frozenset(
    (
        "copy merge join assign sample sort_values sort_index reset_index set_index rename drop dropna fillna astype "
        "query nlargest nsmallest pivot pivot_table melt drop_duplicates explode agg aggregate round clip concat "
        "filter select with_columns"
    ).split()
)
_MAKING_TABLES: Final = frozenset({"DataFrame", "Series", "concat", "array", "zeros", "ones", "arange", "linspace"})
# Calls that keep nothing of what they are given but what is in it.
_TAKING: Final = frozenset(
    (
        "list tuple set frozenset dict sorted max min sum len any all str repr format print bool type isinstance hash "
        "Counter OrderedDict deque"
    ).split()
)
_TAKING_ELEMENTS: Final = frozenset(
    {"join", "union", "intersection", "difference", "symmetric_difference", "choice", "choices", "sample"}
)
# Methods that give what is in a list, a set or a dict, or a copy of it.
_REMOVING: Final = frozenset({"pop", "popitem", "popleft"})
_GIVING: Final = (
    _TAKING_ELEMENTS
    | _REMOVING
    | {"copy", "get", "index", "count", "most_common", "total", "issubset", "issuperset", "isdisjoint"}
)
