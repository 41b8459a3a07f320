"""What the code of a cell binds, reads, deletes and imports, and its digest without comments and formatting.

Handed the *transformed* tree of a cell, in which magics are `get_ipython().run_line_magic(...)` and the like.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import io
import re
import string
import tokenize
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

# Whoever mentions one of these can reach any name of the notebook without writing it down.
_REACHES_ALL: Final = frozenset(
    {"exec", "eval", "globals", "vars", "locals", "__import__", "get_ipython", "get_type_hints", "cProfile", "doctest"}
)
_NO_CODE: Final = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_REACHES_ALL_ATTRIBUTES: Final = frozenset(
    {"__globals__", "f_globals", "f_locals", "user_ns", "user_global_ns", "get_type_hints"}
)
# Methods that evaluate a text in the caller's variables: DataFrame.eval, numexpr.evaluate, duckdb.sql and polars.sql.
_EVALUATORS: Final = frozenset({"eval", "evaluate", "sql"})

# Magics that run Python code given as text, with the options that come before the code.
_CODE_MAGICS: Final = {
    "config": re.compile(r"\s*"),
    "time": re.compile(r"\s*(?:--no-raise-error\s+)?"),
    "timeit": re.compile(r"\s*(?:(?:-[nrp]\s*\d+|-[tcqov]+)(?:\s+|$))*"),
    "prun": re.compile(r"\s*(?:(?:-[DlsT]\s*\S+|-[rq]+)(?:\s+|$))*"),
}
# Magics that touch no variable but those in `{...}` and `$name`. Any other magic may do anything.
_QUIET_LINE_MAGICS: Final = frozenset(
    ("autoawait", "autoreload", "autosave", "cat", "cd", "colors", "conda", "env", "load_ext", "ls", "lsmagic", "mamba")
    + ("ckpt_accept", "ckpt_clear", "ckpt_config", "ckpt_diff", "ckpt_start", "ckpt_status", "ckpt_trust")
    + ("ckpt_verify", "matplotlib", "micromamba", "mkdir")
    + ("pip", "precision", "pwd", "reload_ext", "set_env", "sx", "system", "unload_ext", "uv", "xmode")
    + ("alias", "automagic", "config", "dhist", "dirs", "hist", "history", "psearch", "who", "who_ls", "whos")
)
_QUIET_CELL_MAGICS: Final = frozenset(
    ("!", "HTML", "SVG", "bash", "cmd", "file", "html", "javascript", "js", "latex", "markdown", "perl", "ruby")
    + ("script", "sh", "svg", "sx", "system", "writefile")
)
_WORD: Final = re.compile(r"[^\W\d]\w*")
_QUERIED: Final = re.compile(r"@\s*([^\W\d]\w*)")
_SHELL_CALLS: Final = frozenset({"system", "getoutput"})
_INSPECTORS: Final = frozenset({"pinfo", "pinfo2", "pdoc", "pdef", "psource", "pfile"})

_SKIPPED_FIELDS: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


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
    found = functools.cache(_found_in)
    finders = [found(statement) for statement in tree.body]
    imports = frozenset().union(*(one.imports for one in finders))
    asleep, awake, fetches, measures = _asleep_and_awake(tree, found)
    return Names(
        frozenset().union(*(one.binds for one in finders)),
        frozenset().union(*(one.reads for one in finders)),
        frozenset().union(*(one.deletes for one in finders)),
        imports,
        "__main__" in imports or any(one.dynamic for one in finders),
        frozenset(_renewed(tree, found)),
        asleep,
        awake,
        words_in(node.value for node in nodes(tree) if isinstance(node, ast.Constant)),
        fetches,
        measures,
    )


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

    def __or__(self, other: Words) -> Words:
        keys = None if self.keys is None or other.keys is None else self.keys | other.keys
        return Words(
            self.read | other.read,
            self.stored | other.stored,
            self.touched | other.touched,
            keys,
            self.calls | other.calls,
        )


_SETTERS: Final = frozenset({"setattr", "delattr", "vars", "__dict__", "__setattr__", "patch"})


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
        children = _children(node)
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
            if isinstance(node, ast.ClassDef):
                bases = [*node.bases, *(one.value for one in node.keywords if one.arg == "metaclass")]
                calls.update((*chain, DERIVING) for one in bases if (chain := _dotted(one)))
            if not is_asked:
                others = (child for child in children if child not in asked)
                touched += [getattr(child, "value", child) if child in called else child for child in others]
            code = _code_in(node) if isinstance(node, ast.Call) else None
            todo += [] if code is None else [(code, False)]
    attributes = {part for one in touched for part in _in_chain(one, aliases)}
    keys = frozenset[str]() if ENVIRON.isdisjoint(read) else _keys(tree)
    full = {(*aliases.get(chain[0], chain[:1]), *chain[1:]) for chain in calls if chain}
    return Words(frozenset(read), frozenset(stored), frozenset(attributes), keys, frozenset(full))


DERIVING: Final = "__init_subclass__"  # stands for what a class and its metaclass do where another derives from it
ENVIRON: Final = frozenset({"environ", "environb", "getenv"})


def _keys(tree: ast.Module) -> frozenset[str] | None:
    """Variables of the environment that a cell asks for by texts; None if it does so in another way."""
    keys: set[str] = set()
    asks = 0
    for node in nodes(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name, asname=str()) if name in ENVIRON:
                asks -= 1
        match node:
            case (
                ast.Subscript(value=owner, slice=key)
                | ast.Call(func=ast.Attribute(value=owner, attr="get" | "pop" | "setdefault"), args=[key, *_])
                | ast.Call(func=owner, args=[key, *_])
                | ast.Compare(left=key, comparators=[owner])
            ) if last_word(owner) in ENVIRON:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    keys.add(key.value)
                    asks += 1
    return frozenset(keys) if asks == 0 else None


def texts(tree: ast.Module) -> list[str]:
    """The texts in a transformed cell."""
    return [one.value for one in nodes(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def _code_in(call: ast.Call) -> ast.Module | None:
    """The code that a magic runs."""
    found = _shell_call(call)
    if found is None or not found[0].startswith("run_"):
        return None
    magic, line, *cell = found[1]
    code = _magic_code(magic, line, cell)
    return None if code is None else parsed(code)


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


def digest(tree: ast.Module) -> str:
    """Return a digest of the code: equal for the same code, whatever its comments, formatting and Python version.

    Equal on Python 3.11 to 3.13 for code that is valid on all of them, hence not `ast.dump`.
    """
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update("".join(_encode(tree)).encode("utf-8", "surrogatepass"))
    return hasher.hexdigest()


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
    return not _REACHES_ALL.isdisjoint(names)


def leads_to_all(code: types.CodeType) -> bool:
    """Whether a code object, or one nested in it, names an attribute by which any variable is reached."""
    inner = (const for const in code.co_consts if type(const) is types.CodeType)
    return not _REACHES_ALL_ATTRIBUTES.isdisjoint(code.co_names) or any(map(leads_to_all, inner))


def queried(code: types.CodeType) -> Iterator[str]:
    """Variables that texts in a code object speak of to those who evaluate texts: `frame.query("a > @limit")`."""
    if not (_EVALUATORS | {"query"}).isdisjoint(code.co_names):
        for text in code.co_consts:
            yield from _QUERIED.findall(text) if type(text) is str else ()
    for const in code.co_consts:
        if type(const) is types.CodeType:
            yield from queried(const)


def makes_functions(tree: ast.Module) -> bool:
    """Whether code makes what can run later without being named: functions, classes, generators."""
    return any(isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef, ast.GeneratorExp)) for node in nodes(tree))


def words_in(constants: Iterable[Any]) -> frozenset[str]:
    """The words in texts."""
    return frozenset(word for text in constants if type(text) is str for word in _WORD.findall(text))


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
        call = _shell_call(statement.value) if isinstance(statement, ast.Expr) else None  # type: ignore[arg-type]
        magic, line, *cell = call[1] if call is not None and call[0].startswith("run_") else ("", "")
        code = _magic_code(magic, line, cell) if magic in ("time", "capture") and "no-raise" not in line else None
        tree = parsed(code) if code is not None else None
        if tree is None:
            yield statement
        else:
            yield from tree.body


def _surely_bound(statement: ast.stmt) -> set[str]:
    """Names that a statement has bound when it is over."""
    match statement:
        case ast.Assign(targets=targets):
            return _stored(targets)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return {name}
        case ast.Import() | ast.ImportFrom():
            return set(_bound_by(statement)) - {"*"}
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
    return set()


def _stored(targets: Iterable[ast.expr]) -> set[str]:
    parts = (node for target in targets for node in nodes(target))
    return {node.id for node in parts if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


# --- names: an explicit stack of (node, scope), since expressions may nest deeper than Python recurses ---


@dataclass(slots=True, eq=False)
class _Scope:
    """One block of code while its names are resolved; `kind` is module, function, comprehension or class."""

    kind: str
    parent: _Scope | None = None
    local: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    """Names declared `global` here."""
    sure: frozenset[str] = frozenset()
    """In a class body: names surely bound by the statements above, so that reading them reads no global."""
    owner: str = ""
    """The innermost class, whose name mangles `__private` ones."""


class _Finder:
    """Collects the global names of a tree."""

    def __init__(self) -> None:
        self.binds: set[str] = set()
        self.whole: set[str] = set()
        self.measures: set[str] = set()
        self.deletes: set[str] = set()
        self.imports: set[str] = set()
        self.dynamic = False
        self.todo: list[tuple[ast.AST, _Scope]] = []

    @property
    def reads(self) -> set[str]:
        return self.whole | self.measures

    def run(self, *trees: ast.AST | None) -> None:
        self.push(trees, _Scope("module"))
        while self.todo:
            node, scope = self.todo.pop()
            visit = getattr(self, f"visit_{type(node).__name__}", self.push_children)
            visit(node, scope)

    def push_children(self, node: ast.AST, scope: _Scope) -> None:
        self.todo.extend((child, scope) for child in _children(node))

    def push(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        self.todo.extend((node, scope) for node in nodes if node is not None)

    # names

    def visit_Name(self, node: ast.Name, scope: _Scope) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, scope)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id, scope)
        else:
            self.read(node.id, scope)
            self.delete(node.id, scope)

    def read(self, name: str, scope: _Scope, *, number: bool = False) -> None:
        name = _mangled(name, scope)
        if _is_global(name, scope):
            (self.measures if number else self.whole).add(name)
            self.dynamic |= name in _REACHES_ALL

    def bind(self, name: str, scope: _Scope) -> None:
        name = _mangled(name, scope)
        if scope.kind == "module" or name in scope.declared:
            self.binds.add(name)

    def delete(self, name: str, scope: _Scope) -> None:
        name = _mangled(name, scope)
        if scope.kind == "module" or name in scope.declared:
            self.deletes.add(name)

    def visit_NamedExpr(self, node: ast.NamedExpr, scope: _Scope) -> None:
        outer = scope
        while outer.kind == "comprehension" and outer.parent is not None:
            outer = outer.parent
        self.bind(node.target.id, outer)
        self.push([node.value], scope)

    def visit_AugAssign(self, node: ast.AugAssign, scope: _Scope) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, scope)
        self.push([node.target, node.value], scope)

    def visit_AnnAssign(self, node: ast.AnnAssign, scope: _Scope) -> None:
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.push([node.target, node.value], scope)
        if scope.kind == "module":
            self.read("__annotations__", scope)  # and written to
        if scope.kind != "function":  # annotations of local variables are never evaluated
            self.push([node.annotation], scope)

    def visit_ExceptHandler(self, node: ast.ExceptHandler, scope: _Scope) -> None:
        if node.name:
            self.bind(node.name, scope)
            self.delete(node.name, scope)
        self.push([node.type, *node.body], scope)

    def visit_MatchAs(self, node: ast.MatchAs, scope: _Scope) -> None:
        if node.name:
            self.bind(node.name, scope)
        self.push([node.pattern], scope)

    def visit_MatchStar(self, node: ast.MatchStar, scope: _Scope) -> None:
        if node.name:
            self.bind(node.name, scope)

    def visit_MatchMapping(self, node: ast.MatchMapping, scope: _Scope) -> None:
        if node.rest:
            self.bind(node.rest, scope)
        self.push_children(node, scope)

    def visit_Import(self, node: ast.Import, scope: _Scope) -> None:
        for alias in node.names:
            self.imports.add(alias.name)
            self.bind(alias.asname or alias.name.partition(".")[0], scope)

    def visit_ImportFrom(self, node: ast.ImportFrom, scope: _Scope) -> None:
        if node.module and not node.level:
            self.imports.add(node.module)
        for alias in node.names:
            if alias.name == "*":
                self.dynamic = True
            else:
                self.bind(alias.asname or alias.name, scope)

    # scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        self.bind(node.name, scope)
        self.push(node.decorator_list, scope)
        outer = self.type_parameters(node, scope)
        self.push([node.returns], outer)
        self.function(node.args, node.body, outer)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda, scope: _Scope) -> None:
        self.function(node.args, [node.body], scope)

    def function(self, args: ast.arguments, body: list[Any], scope: _Scope) -> None:
        parameters = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        parameters += [a for a in (args.vararg, args.kwarg) if a is not None]
        self.push([*args.defaults, *args.kw_defaults, *(a.annotation for a in parameters)], scope)
        inner = _Scope("function", scope, owner=scope.owner)
        inner.local = {_mangled(a.arg, inner) for a in parameters}
        _collect_locals(body, inner)
        self.push(body, inner)

    def visit_ClassDef(self, node: ast.ClassDef, scope: _Scope) -> None:
        self.bind(node.name, scope)
        self.push(node.decorator_list, scope)
        outer = self.type_parameters(node, scope)
        self.push([*node.bases, *node.keywords], outer)
        cell = _Scope("function", outer, {"__class__"}, owner=outer.owner)  # methods see `__class__` and nothing else
        inner = _Scope("class", cell, owner=node.name)
        _collect_locals(node.body, inner)
        sure = {"__module__", "__qualname__"}
        for statement in node.body:
            self.push([statement], replace(inner, sure=frozenset(sure)))
            if isinstance(statement, (ast.Assign, ast.Import, ast.ImportFrom, ast.ClassDef, *_FUNCTIONS)) or (
                isinstance(statement, ast.AnnAssign) and statement.value is not None
            ):
                below = _Scope("class", cell, owner=node.name)
                _collect_locals([statement], below)
                sure |= below.local

    def type_parameters(self, node: Any, scope: _Scope) -> _Scope:
        """Return the scope for what follows `[T]` (Python 3.12), which is `scope` where there is none."""
        parameters = getattr(node, "type_params", [])
        if not parameters:
            return scope
        inner = _Scope("function", scope, {p.name for p in parameters}, owner=scope.owner)
        for parameter in parameters:
            self.push([getattr(parameter, "bound", None), getattr(parameter, "default_value", None)], inner)
        return inner

    def visit_TypeAlias(self, node: Any, scope: _Scope) -> None:
        self.push([node.name], scope)
        self.push([node.value], self.type_parameters(node, scope))

    def comprehension(self, node: Any, scope: _Scope) -> None:
        inner = _Scope("comprehension", scope, owner=scope.owner)
        for generator in node.generators:
            targets = (n for n in nodes(generator.target) if isinstance(n, ast.Name))
            inner.local |= {_mangled(n.id, scope) for n in targets if isinstance(n.ctx, ast.Store)}
        first, *others = node.generators
        self.push([first.iter], scope)
        self.push([first.target, *first.ifs, *others], inner)
        self.push((getattr(node, part, None) for part in ("elt", "key", "value")), inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    # what reaches names without naming them

    def visit_Attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        self.dynamic |= node.attr in _REACHES_ALL_ATTRIBUTES
        self.dynamic |= node.attr == "modules" and isinstance(node.value, ast.Name) and node.value.id == "sys"
        self.push([node.value], scope)

    def visit_Constant(self, node: ast.Constant, scope: _Scope) -> None:
        self.dynamic |= node.value == "__main__"

    def visit_Compare(self, node: ast.Compare, scope: _Scope) -> None:
        """`if __name__ == "__main__"` reaches nothing."""
        self.push((n for n in _children(node) if not isinstance(n, ast.Constant)), scope)

    def visit_Call(self, node: ast.Call, scope: _Scope) -> None:
        call = _shell_call(node)
        if call is not None:
            self.shell_call(*call, scope)
            return
        if isinstance(node.func, ast.Attribute) and node.func.attr == "query" and node.args:
            self.query(node.args[0])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _EVALUATORS:
            self.dynamic |= bool(node.args or node.keywords)  # without a text it is the `eval()` of a model of torch
        elif isinstance(node.func, ast.Name) and node.func.id == "dir" and not node.args:
            self.read("locals", scope)  # tells of the same
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="item" | "tolist"), args=[], keywords=[]):
                self.number(value, scope)
            case ast.Call(func=ast.Name(id="float" | "bool") as func, args=[value], keywords=[]):
                self.push([func], scope)
                self.number(value, scope)
            case _:
                self.push_children(node, scope)

    def visit_FormattedValue(self, node: ast.FormattedValue, scope: _Scope) -> None:
        if node.conversion == -1:
            self.number(node.value, scope)
            self.push([node.format_spec], scope)
        else:
            self.push_children(node, scope)

    def number(self, value: ast.expr, scope: _Scope) -> None:
        """What is asked for the number that it is, perhaps after `detach()` and the like, by which it stays that."""
        inner: ast.expr | None = value
        while inner is not None and not isinstance(inner, ast.Name):
            match inner:
                case ast.Call(func=ast.Attribute(value=inner, attr="detach" | "cpu"), args=[], keywords=[]):
                    pass
                case ast.Attribute(value=inner, attr="data"):
                    pass
                case _:
                    inner = None
        if inner is None:
            self.push([value], scope)
        else:
            self.read(inner.id, scope, number=True)

    def query(self, text: ast.expr) -> None:
        """`frame.query("a > @limit")` reads `limit` from the frame of its caller."""
        if isinstance(text, ast.Constant):
            self.whole.update(_QUERIED.findall(text.value) if isinstance(text.value, str) else ())
        else:
            self.dynamic = True

    def shell_call(self, method: str, arguments: list[str], scope: _Scope) -> None:
        magic, line, *cell = arguments if method.startswith("run_") else ("", arguments[0])
        code = _magic_code(magic, line, cell)
        if code is not None:
            self.magic_code(magic, line, code, scope)
        elif magic in _INSPECTORS:
            self.whole.update(re.findall(r"^[^\w]*([^\W\d]\w*)", line))
        else:
            self.expansions(line, scope)
            quiet = _QUIET_CELL_MAGICS if cell else _QUIET_LINE_MAGICS
            into_a_name = bool(cell) and re.search(r"--(out|err|proc)\b", line) is not None
            self.dynamic |= into_a_name or (magic != "" and magic not in quiet)

    def magic_code(self, magic: str, line: str, code: str, scope: _Scope) -> None:
        if magic == "capture":
            for word in line.split():
                if word.isidentifier():
                    self.bind(word, scope)
        tree = parsed(code)
        if tree is None:
            self.dynamic = True
        elif magic == "timeit":  # runs in a function of its own, so what it binds is gone at the end
            inner = _Scope("function", scope)
            _collect_locals(tree.body, inner)
            self.push(tree.body, inner)
        else:
            self.push(tree.body, scope)

    def expansions(self, line: str, scope: _Scope) -> None:
        """IPython puts the values of `{expression}` and `$name` into the lines of magics and commands."""
        self.whole.update(re.findall(r"(?<!\$)\$([^\W\d]\w*)", line))
        try:
            fields = [f for _, f, _, _ in string.Formatter().parse(line) if f]
        except ValueError:  # a lone brace, of awk or a JSON text; IPython leaves such a line as it is
            return
        for text in fields:
            tree = parsed(text.strip())
            if tree is not None:
                self.push(tree.body, scope)


_Found = Callable[..., _Finder]
"""What `_found_in` gives, found once."""


def _found_in(*trees: ast.AST | None) -> _Finder:
    """The names of a part of a cell."""
    finder = _Finder()
    finder.run(*trees)
    return finder


def _is_global(name: str, scope: _Scope) -> bool:
    """Tell whether code in `scope` that reads `name` may reach the global of that name."""
    if scope.kind == "class" and name in scope.local:
        return name not in scope.sure
    here: _Scope | None = scope
    while here is not None and here.kind != "module":
        if name in here.declared:
            return True
        if here.kind != "class" and name in here.local:
            return False
        here = here.parent
    return True


def _mangled(name: str, scope: _Scope) -> str:
    """Return what Python makes of `__name` inside a class."""
    if scope.owner and name.startswith("__") and not name.endswith("__"):
        return f"_{scope.owner.lstrip('_')}{name}"
    return name


def _collect_locals(body: Iterable[ast.AST], scope: _Scope) -> None:
    """Enter into `scope` what its statements bind and declare, without looking into nested scopes."""
    free: set[str] = set()
    todo = [(node, False) for node in body]  # (node, inside a comprehension, where only := binds for us)
    while todo:
        node, inner = todo.pop()
        if isinstance(node, (ast.ClassDef, *_FUNCTIONS)):
            scope.local.add(_mangled(node.name, scope))
            todo += [(d, inner) for d in node.decorator_list]
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Global):
            scope.declared |= {_mangled(n, scope) for n in node.names}
        elif isinstance(node, ast.Nonlocal):
            free |= {_mangled(n, scope) for n in node.names}
        elif isinstance(node, ast.NamedExpr):
            scope.local.add(_mangled(node.target.id, scope))
        elif not inner:
            scope.local |= {_mangled(n, scope) for n in _bound_by(node)}
        nested = inner or isinstance(node, _COMPREHENSIONS)
        todo += [(child, nested) for child in _children(node)]
    scope.local -= scope.declared | free


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that this one node binds or makes local, its children aside."""
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.Import):
        yield from (a.asname or a.name.partition(".")[0] for a in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (a.asname or a.name for a in node.names)
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


# --- magics ---


def _shell_call(node: ast.Call) -> tuple[str, list[str]] | None:
    """Return method and arguments of `get_ipython().method("...", ...)` as IPython writes it, else None."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"), args=[], keywords=[]), attr=method),
            args=args,
            keywords=[],
        ):
            texts = [a.value for a in args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            wanted = {"run_line_magic": 2, "run_cell_magic": 3}.get(method, 1 if method in _SHELL_CALLS else 0)
            return (method, texts) if wanted == len(texts) == len(args) and wanted else None
    return None


def file_written(node: ast.AST) -> tuple[str, str, bool] | None:
    """What `%%writefile` writes: a path, a text, and whether that is added to what is there; None if it is not that."""
    call = node.value if isinstance(node, ast.Expr) else None
    match _shell_call(call) if isinstance(call, ast.Call) else None:
        case "run_cell_magic", ["writefile" | "file", line, text] if not {*"$"} & {*line}:  # a variable of the notebook
            words = line.replace("--append", "-a").split(maxsplit=1)
            added = words[:1] == ["-a"]
            path = (words[-1] if added else line).strip().strip("\"'")
            return (path, text, added) if path and "{" not in path else None
    return None


def code_run_by(node: ast.stmt) -> tuple[list[ast.stmt], bool] | None:
    """The statements that `%time`, `exec("…")` and the like run, and whether that is all they do; None for others.

    Variables that are set by their names are assignments: `globals()["x"] = 1`.
    """
    if (written := _written_out(node)) is not None:
        return written, True
    call = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    found = _shell_call(call) if isinstance(call, ast.Call) else None
    if found is None or not found[0].startswith("run_") or found[1][0] not in ("time", "prun", "capture"):
        return None
    magic, line, *cell = found[1]
    tree = parsed(_magic_code(magic, line, cell) or "")
    if tree is None:
        return None
    match node, tree.body:
        case ast.Expr(), body:
            return body, magic != "capture"
        case ast.Assign(targets=targets), [ast.Expr(value=value)]:
            return [ast.Assign(targets, value)], True
    return None


def only_asks_us(node: ast.AST) -> bool:
    """Whether a statement is a line such as `%ckpt_start 3`, which does nothing to anything of the notebook."""
    call = node.value if isinstance(node, ast.Expr) else None
    found = _shell_call(call) if isinstance(call, ast.Call) else None
    return found is not None and found[0] == "run_line_magic" and found[1][0] in _ASKING_US


def _written_out(node: ast.stmt) -> list[ast.stmt] | None:
    """The statements that `exec` runs, or that do the same as one that sets variables by their names."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="exec"), args=[ast.Constant(value=str(text))], keywords=[])):
            tree = parsed(text)
            return tree.body if tree is not None else None
        case ast.Assign(targets=[ast.Subscript(value=space, slice=ast.Constant(value=str(name)))], value=value):
            return _bindings({name: value}) if _is_namespace(space) and name.isidentifier() else None
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=space, attr="update"), args=args, keywords=keywords)):
            found = _items(args, keywords) if _is_namespace(space) else None
            return _bindings(found) if found is not None else None
    return None


def _is_namespace(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="globals" | "locals" | "vars"), args=[], keywords=[]):
            return True
    return False


def only_sets(inside: Iterable[ast.AST]) -> bool:
    """Whether code with these nodes reaches variables that it does not name only to set them: `globals()[k] = v`."""
    spaces, named = set[int](), list[ast.Name]()
    for node in inside:
        match node:
            case ast.Name(id=name) if name in _REACHES_ALL:
                named.append(node)
            case ast.Subscript(value=ast.Call(func=space) as call, ctx=ast.Store()) if _is_namespace(call):
                spaces.add(id(space))
            case ast.Call(func=ast.Attribute(value=ast.Call(func=space) as call, attr="update")) if _is_namespace(call):
                spaces.add(id(space))
            case ast.Attribute(attr=word) if word in _REACHES_ALL_ATTRIBUTES | _EVALUATORS | {"modules", "query"}:
                return False
            case ast.Constant(value="__main__") | ast.alias(name="*" | "__main__") | ast.Name(id="dir"):
                return False
    return bool(named) and all(id(node) in spaces for node in named)


def _items(args: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> dict[str, ast.expr] | None:
    """What `update` is given, if all keys are written down and may be names."""
    found: dict[str | None, ast.expr] = {}
    for one in args:
        if not isinstance(one, ast.Dict) or not all(isinstance(key, ast.Constant) for key in one.keys):
            return None
        found |= {getattr(key, "value", None): value for key, value in zip(one.keys, one.values, strict=True)}
    found |= {one.arg: one.value for one in keywords}
    names = {name: value for name, value in found.items() if isinstance(name, str) and name.isidentifier()}
    return names if len(names) == len(found) else None


def _bindings(values: Mapping[str, ast.expr]) -> list[ast.stmt]:
    return [ast.Assign([ast.Name(name, ast.Store())], value) for name, value in values.items()]


def extension_loaded(node: ast.AST) -> str | None:
    """The module that `%load_ext` or `%reload_ext` loads, which may do anything then; None for others, and for us."""
    call = node.value if isinstance(node, ast.Expr) else None
    match _shell_call(call) if isinstance(call, ast.Call) else None:
        case "run_line_magic", ["load_ext" | "reload_ext", name] if name.strip() != "ckpt_magic":
            return name.strip()
    return None


_ASKING_US: Final = frozenset(f"ckpt_{word}" for word in ("start", "status", "accept", "verify", "diff", "clear"))


def variable_set(node: ast.AST) -> tuple[str, str] | None:
    """The environment variable that a statement sets to what is written in it; None if it does not."""
    match node:
        case ast.Assign(
            targets=[
                ast.Subscript(
                    value=ast.Attribute(attr="environ") | ast.Name(id="environ"), slice=ast.Constant(value=str(name))
                )
            ],
            value=ast.Constant(value=str(value)),
        ):
            return name, value
        case ast.Expr(value=ast.Call() as call):
            match _shell_call(call):
                case "run_line_magic", ["env" | "set_env", line] if not {*"${"} & {*line} and "=" in line:
                    name, _, value = line.partition("=")
                    return name.strip(), value.strip()
    return None


def folder_added(node: ast.AST) -> tuple[str, bool] | None:
    """The folder that a statement puts into `sys.path`, if it is written in it, and whether in front."""
    match node:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="path"), attr="append" | "insert" as how),
                args=[*_, ast.Constant(value=str(folder))],
            )
        ):
            return folder, how == "insert"
    return None


def _magic_code(magic: str, line: str, cell: list[str]) -> str | None:
    """Return the Python code that a magic runs, or None if it is none of those known to run code."""
    if magic == "capture" and cell:
        return cell[0]
    options = _CODE_MAGICS.get(magic)
    if options is None:
        return None
    match = options.match(line)
    return "\n".join([line[match.end() :] if match else line, *cell])


# --- nodes ---


def nodes(tree: ast.AST) -> list[ast.AST]:
    """The nodes of a tree as `ast.walk` gives them, but for contexts and operators; at twice its speed."""
    found = [tree]
    for node in found:  # grows meanwhile
        found += _children(node)
    return found


def _children(node: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    for name in _branches(type(node)):  # type: ignore[arg-type]  # a type has a hash
        part = getattr(node, name, None)
        if isinstance(part, ast.AST):
            found.append(part)
        elif type(part) is list:
            found += [one for one in part if isinstance(one, ast.AST)]
    return found


@functools.cache
def _branches(kind: type[ast.AST]) -> list[str]:
    """Fields that may hold nodes below this kind of node."""
    return [name for name in kind._fields if name not in _LEAVES]


_LEAVES: Final = _SKIPPED_FIELDS | {"op", "ops", "id", "attr", "arg", "asname", "module", "level"}


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


def parse(code: str) -> ast.Module:
    """Parse code as `ast.parse` does; again where another thread parses, too.

    Before 3.13 such two disturb each other (a `SystemError`), see python/cpython#106905.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(SystemError):
            return ast.parse(code)
    return ast.parse(code)


_TRIES: Final = 5


def parsed(code: str) -> ast.Module | None:
    """The tree of some code; None if it is no plain Python."""
    try:
        return parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # MemoryError: what the parser says to deep nesting
        return None


# --- digest ---


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
    if isinstance(node, ast.Call) and (call := _shell_call(node)) is not None:
        parts = _magic_parts(*call)
        if parts is not None:
            return parts
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
    names = [name for name in sorted(kind._fields) if name not in _SKIPPED_FIELDS]
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


def _magic_parts(method: str, arguments: list[str]) -> list[Any] | None:
    """Return what is encoded for a magic that runs Python code, or None: then it is a call like any other."""
    if not method.startswith("run_"):
        return None
    magic, line, *cell = arguments
    code = _magic_code(magic, line, cell)
    tree = parsed(code) if code is not None else None
    if code is None or tree is None:
        return None
    options = line.strip() if magic == "capture" else line[: len(line) - len(code.split("\n", 1)[0])].strip()
    return [_Mark("(magic"), method, magic, options, tree]


def _encode_constant(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and not isinstance(value, bool):
        text = hex(value)  # repr refuses more than 4300 digits
    else:
        text = repr(value)
    return f"{type(value).__name__}{len(text)}:{text};"
