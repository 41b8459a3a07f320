"""Whose values code may change in place, by its words alone.

A call may change what it is given and what its function is of. Known to change neither are some functions of Python
and of libraries, methods that ask, and functions of the notebook that pass what they are given to nothing else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from ckpt_magic.values import source

CHANGING: Final = (
    *("register", "add", "set", "install", "patch", "insert", "append", "extend", "update", "enable", "disable", "use"),
    *("push", "pop", "remove", "unregister", "replace", "define", "init", "configure", "activate", "hook", "clear"),
)
"""How words begin that say of a change."""

# Calls that change none of their arguments.
_HARMLESS: Final = frozenset(
    {"print", "display", "len", "str", "repr", "int", "float", "bool", "sum", "min", "max", "abs", "round", "sorted"}
    | {"range", "isinstance", "type", "id", "hash", "tuple", "frozenset", "any", "all", "format", "ord", "chr", "open"}
)
# Methods that change what they are of, and functions that change what they are given.
_CHANGERS: Final = frozenset(
    (
        "append extend insert pop popitem popleft appendleft extendleft rotate remove discard clear sort reverse "
        "update difference_update intersection_update symmetric_difference_update subtract setdefault move_to_end "
        "add push put fill resize itemset partial_fit write writelines send seek readline "
        "__setitem__ __delitem__ __setattr__ __iadd__"
    ).split()
)
_CHANGERS_OF_ARGUMENTS: Final = frozenset(
    "setattr delattr next heappush heappop heapify heapreplace heappushpop insort insort_left insort_right shuffle "
    "copyto putmask place put put_along_axis fill_diagonal".split()
)
_INTO: Final = frozenset({"inplace", "out"})  # keywords of calls that change what they are of, or given
# Methods that ask: of frames, arrays, texts, containers. A class of the notebook may have another one of that name.
_ASKING: Final = frozenset(
    (
        "head tail describe info memory_usage value_counts nunique unique isna isnull notna notnull any all sum mean "
        "median mode std var min max count quantile corr cov skew kurt cumsum cumprod cummax cummin abs round clip "
        "diff pct_change idxmin idxmax argmin argmax argsort nlargest nsmallest groupby agg aggregate size query "
        "select_dtypes sort_values sort_index reset_index set_index rename drop dropna fillna astype copy to_frame "
        "to_list tolist to_numpy to_dict to_string to_html to_markdown merge join pivot pivot_table melt stack unstack "
        "explode assign isin between duplicated drop_duplicates rolling resample shift rank items keys values index "
        "equals dot transpose nonzero reindex combine_first crosstab startswith endswith split rsplit strip lstrip "
        "rstrip lower upper title encode decode find isdigit splitlines zfill with_columns to_pandas union "
        "intersection difference issubset issuperset isdisjoint most_common isoformat strftime"
    ).split()
)
# Libraries whose functions change nothing that they are given, those of `_CHANGERS_OF_ARGUMENTS` aside.
_GENTLE: Final = frozenset(
    "numpy pandas polars math statistics matplotlib seaborn json pprint textwrap IPython".split()
)
_ITERATORS: Final = frozenset({"iter", "map", "filter", "zip", "enumerate", "reversed", "open"})


@dataclass(slots=True)
class Known:
    """What the statements of a notebook so far tell of names.

    Attributes
    ----------
    libraries
        Names of libraries whose functions change nothing that they are given, and of such functions.
    gentle
        Functions of the notebook that change nothing that they are given, and keep none of it.
    generators
        Those that give an iterator when they are called.
    methods
        Methods of the notebook's classes.
    iterators
        Names of what is used up by reading it.
    callables
        Names that stand for functions and classes of the notebook, or for what holds some.
    """

    libraries: set[str] = field(default_factory=set)
    gentle: set[str] = field(default_factory=set)
    generators: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    iterators: set[str] = field(default_factory=set)
    callables: set[str] = field(default_factory=set)

    def note(self, node: ast.stmt, names: source.Names) -> None:
        """Go on by a statement with these names."""
        for known in (self.libraries, self.gentle, self.generators, self.iterators, self.callables):
            known -= names.binds
        if isinstance(node, ast.Import | ast.ImportFrom):
            tops = {name.partition(".")[0] for name in names.imports}
            self.libraries |= names.binds if tops <= _GENTLE else set()
        elif isinstance(node, ast.FunctionDef):
            self.callables.add(node.name)
            inside = source.nodes(node)
            if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in inside):
                self.generators.add(node.name)
            elif not node.decorator_list and not _keeps(node, inside, self):
                self.gentle.add(node.name)
        elif isinstance(node, ast.ClassDef | ast.AsyncFunctionDef):
            self.callables.add(node.name)
            self.methods |= {one.name for one in source.nodes(node) if isinstance(one, ast.FunctionDef)}
        elif any(self._is_iterator(one) for one in _values(node)):
            self.iterators |= names.binds

    def _is_iterator(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id in _ITERATORS | self.generators
        return isinstance(node, ast.GeneratorExp)


def touched(inside: Sequence[ast.AST], known: Known, easing: Set[str]) -> tuple[set[str], set[str], set[str]]:
    """Names whose values these nodes may change in place.

    Returns
    -------
    set of str, set of str, set of str
        The names; those of them of which no word of `easing` tells what is changed; those to which no more is done
        than to call what they are or have, by no word that says of a change.
    """
    found, for_sure, by_more = set[str](), set[str](), set[str]()
    for part in inside:
        if names := _changed_by(part, known):
            found |= names
            if not _is_eased(part, easing):
                for_sure |= names
                by_more |= names - (_called(part) if isinstance(part, ast.Call) else set())
    return found, for_sure - _makers(inside), found - by_more


def stored(inside: Iterable[ast.AST]) -> set[str]:
    """Names whose values these nodes change by their very words."""
    found = set[str]()
    for part in inside:
        if isinstance(part, ast.Call):
            into = {one.arg for one in part.keywords} & _INTO
            if isinstance(part.func, ast.Attribute) and (part.func.attr in _CHANGERS or into):
                found |= base(part.func)
            if into or not _CHANGERS_OF_ARGUMENTS.isdisjoint(_last_words(part)):
                found |= given_to(part)
        elif isinstance(part, ast.Attribute | ast.Subscript | ast.AugAssign):
            found |= _changed_by(part, _NOTHING)
    return found


def given_to(call: ast.Call) -> set[str]:
    """Names that are given to a call."""
    return _names_in((*call.args, *call.keywords))


def base(node: ast.expr) -> set[str]:
    """The name that an expression begins with: `x` of `x.a[0].b()`."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _changed_by(part: ast.AST, known: Known) -> set[str]:
    if isinstance(part, (ast.Attribute, ast.Subscript)):
        if isinstance(part.ctx, ast.Load):
            return set()
        found = base(part)
        return {*found, part.attr} if isinstance(part, ast.Attribute) and "builtins" in found else found
    if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):  # `@show.register`
        return set().union(*map(base, (*part.decorator_list, *getattr(part, "bases", ()))))
    if isinstance(part, ast.AugAssign):
        return base(part.target)
    if isinstance(part, ast.Name):
        return {part.id} & known.iterators if isinstance(part.ctx, ast.Load) else set()
    if not isinstance(part, ast.Call) or (isinstance(part.func, ast.Name) and part.func.id in _HARMLESS):
        return set()
    given = given_to(part)
    if any(one.arg in _INTO for one in part.keywords):
        return base(part.func) | given
    if isinstance(part.func, ast.Attribute) and part.func.attr in _ASKING - known.methods:
        return (base(part.func) | given) & known.callables
    if isinstance(part.func, ast.Name) and part.func.id in known.gentle:
        return {part.func.id} | given & known.callables
    if base(part.func) & known.libraries and _CHANGERS_OF_ARGUMENTS.isdisjoint(_last_words(part)):
        return base(part.func) | given & known.callables
    return base(part.func) | given


def _keeps(node: ast.FunctionDef, inside: Sequence[ast.AST], known: Known) -> bool:
    """Whether a function may change or keep what it is given."""
    arguments = node.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    given, count = {one.arg for one in every if one is not None}, -1
    body = [one for statement in node.body for one in source.nodes(statement)]
    while len(given) != count:  # and what is made of it
        count = len(given)
        for one in body:
            if not given.isdisjoint(_names_in(_values(one))):
                given |= _names_in(_targets(one))
    if any(isinstance(one, ast.Global | ast.Nonlocal) for one in inside):
        return True
    changed = set().union(*(_changed_by(one, known) for one in body))
    puts = (one for one in body if isinstance(one, ast.Assign | ast.AnnAssign | ast.AugAssign))
    kept = any(
        not given.isdisjoint(_names_in(_values(one)))
        and any(isinstance(target, ast.Attribute | ast.Subscript) for target in _targets(one))
        for one in puts
    )
    return kept or not given.isdisjoint(changed)


def _values(node: ast.AST) -> list[ast.expr]:
    """What a statement binds names to, or a part of it."""
    match node:
        case ast.Assign(value=ast.Tuple(elts=elts) | ast.List(elts=elts)):
            return list(elts)
        case ast.Assign(value=value) | ast.AugAssign(value=value) | ast.NamedExpr(value=value):
            return [value]
        case ast.AnnAssign(value=ast.expr() as value):
            return [value]
        case ast.For(iter=value) | ast.AsyncFor(iter=value) | ast.comprehension(iter=value):
            return [value]
        case ast.withitem(context_expr=value):
            return [value]
        case ast.Match(subject=value):
            return [value]
    return []


def _targets(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Assign(targets=targets):
            return list(targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.NamedExpr(target=target):
            return [target]
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            return [target]
        case ast.withitem(optional_vars=ast.expr() as target):
            return [target]
        case ast.Match(cases=cases):
            return [case.pattern for case in cases]
    return []


def _names_in(nodes: Iterable[ast.AST]) -> set[str]:
    found = set[str]()
    for part in nodes:
        for one in source.nodes(part):
            if isinstance(one, ast.Name):
                found.add(one.id)
            elif isinstance(one, ast.MatchAs | ast.MatchStar) and one.name:
                found.add(one.name)
    return found


def _last_words(call: ast.Call) -> set[str]:
    return {getattr(call.func, "id", ""), getattr(call.func, "attr", "")}


def _called(call: ast.Call) -> set[str]:
    """The name of what is called, or has it, if no word on the way says of a change."""
    node, words = call.func, set[str]()
    while isinstance(node, ast.Attribute):
        words.add(node.attr)
        node = node.value
    is_known = isinstance(node, ast.Name) and not any(word.startswith(CHANGING) for word in (*words, node.id))
    return base(node) - given_to(call) if is_known else set()


def _makers(inside: Sequence[ast.AST]) -> set[str]:
    """Classes, by the spelling of their names, of which code only makes objects, as in `Path("data").glob("*")`."""
    called = {id(one.func) for one in inside if isinstance(one, ast.Call)}
    named = [one for one in inside if isinstance(one, ast.Name) and one.id[0].isupper()] if called else []
    return {one.id for one in named} - {one.id for one in named if id(one) not in called}


def _is_eased(node: ast.AST, easing: Set[str]) -> bool:
    """Whether something is changed that is called by a word of chance or surroundings, as `np.random.seed(1)`."""
    if not isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        return False
    words = set[str]()
    one: ast.AST = node
    while isinstance(one, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(one, ast.Attribute):
            words.add(one.attr)
        one = one.func if isinstance(one, ast.Call) else one.value
    return not words.isdisjoint(easing)


_NOTHING: Final = Known()
