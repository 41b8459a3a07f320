"""The names of the notebook that a part of a cell mentions: scopes, and what reaches names without naming them."""

from __future__ import annotations

import ast
import re
import string
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ckpt_magic.values.code import syntax, transformed

# Whoever mentions one of these can reach any name of the notebook without writing it down.
REACHES_ALL: Final = frozenset(
    {"exec", "eval", "globals", "vars", "locals", "__import__", "get_ipython", "get_type_hints", "cProfile", "doctest"}
)
REACHES_ALL_ATTRIBUTES: Final = frozenset(
    {"__globals__", "f_globals", "f_locals", "user_ns", "user_global_ns", "get_type_hints"}
)
# Methods that evaluate a text in the caller's variables: DataFrame.eval, numexpr.evaluate, duckdb.sql and polars.sql.
EVALUATORS: Final = frozenset({"eval", "evaluate", "sql"})
QUERIED: Final = re.compile(r"@\s*([^\W\d]\w*)")
# A formula of patsy or formulaic: no two words beside each other, as in a sentence, and no path in the home folder.
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_FORMULA: Final = re.compile(r"(?s)(?!~/)(?!.*\w\s+\w)[^~@#$?;\\]*~[^~@#$?;\\]*")
_WORD: Final = re.compile(r"[^\W\d]\w*")
_LONGEST: Final = 10_000  # characters of a formula
_TERM: Final = re.compile(r"(?<![\w.])[^\W\d]\w*(?!\w|\s*=[^=])")
# Magics that touch no variable but those in `{...}` and `$name`. Any other magic may do anything.
_QUIET_LINE_MAGICS: Final = frozenset(
    ("autoawait", "autoreload", "autosave", "cat", "cd", "colors", "conda", "env", "load_ext", "ls", "lsmagic", "mamba")
    + ("ckpt_accept", "ckpt_clear", "ckpt_config", "ckpt_diff", "ckpt_start", "ckpt_status", "ckpt_trust")
    + ("ckpt_verify", "matplotlib", "micromamba", "mkdir")
    + ("pip", "precision", "pwd", "reload_ext", "set_env", "sx", "system", "unload_ext", "uv", "xmode")
    + ("alias", "automagic", "config", "dhist", "dirs", "hist", "history")
)
_LISTING: Final = frozenset({"psearch", "who", "who_ls", "whos"})
_QUIET_CELL_MAGICS: Final = frozenset(
    ("!", "HTML", "SVG", "bash", "cmd", "file", "html", "javascript", "js", "latex", "markdown", "perl", "ruby")
    + ("script", "sh", "svg", "sx", "system", "writefile")
)
_INSPECTORS: Final = frozenset({"pinfo", "pinfo2", "pdoc", "pdef", "psource", "pfile"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What Python 3.14 binds anew where a cell annotates a name.
_ANNOTATING: Final = ("__annotate__", "__conditional_annotations__") if sys.version_info >= (3, 14) else ()
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def terms(text: str) -> list[str]:
    """The names in a formula, `smf.ols("y ~ f(x) + w", df)`: it is read in the frame of its caller, columns first.

    Which are columns a text does not say: all count.
    """
    plain = _QUOTED.sub("0", text) if "~" in text and len(text) <= _LONGEST else ""
    return _TERM.findall(plain) if _FORMULA.fullmatch(plain) else []


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


class Finder:
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
        self.todo.extend((child, scope) for child in syntax.children(node))

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
            self.dynamic |= name in REACHES_ALL

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
            for name in _ANNOTATING:
                self.bind(name, scope)
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
            targets = (n for n in syntax.nodes(generator.target) if isinstance(n, ast.Name))
            inner.local |= {_mangled(n.id, scope) for n in targets if isinstance(n.ctx, ast.Store)}
        first, *others = node.generators
        self.push([first.iter], scope)
        self.push([first.target, *first.ifs, *others], inner)
        self.push((getattr(node, part, None) for part in ("elt", "key", "value")), inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    # what reaches names without naming them

    def visit_Attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        self.dynamic |= node.attr in REACHES_ALL_ATTRIBUTES
        self.dynamic |= node.attr == "modules" and isinstance(node.value, ast.Name) and node.value.id == "sys"
        self.push([node.value], scope)

    def visit_Constant(self, node: ast.Constant, scope: _Scope) -> None:
        self.dynamic |= node.value == "__main__"
        if type(node.value) is str:
            self.formula(node.value, scope)

    def visit_JoinedStr(self, node: ast.JoinedStr, scope: _Scope) -> None:
        self.formula("".join(str(one.value) if isinstance(one, ast.Constant) else "0" for one in node.values), scope)
        self.push_children(node, scope)

    def formula(self, text: str, scope: _Scope) -> None:
        for name in terms(text):
            self.read(name, scope)

    def visit_Compare(self, node: ast.Compare, scope: _Scope) -> None:
        """`if __name__ == "__main__"` reaches nothing."""
        self.push((n for n in syntax.children(node) if not isinstance(n, ast.Constant)), scope)

    def visit_Call(self, node: ast.Call, scope: _Scope) -> None:
        call = transformed.shell_call(node)
        if call is not None:
            self.shell_call(*call, scope)
            return
        if isinstance(node.func, ast.Attribute) and node.func.attr == "query" and node.args:
            self.query(node.args[0])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in EVALUATORS:
            self.evaluated(node, scope)
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
            self.whole.update(QUERIED.findall(text.value) if isinstance(text.value, str) else ())
        else:
            self.dynamic = True

    def evaluated(self, call: ast.Call, scope: _Scope) -> None:
        """A text that is evaluated in the caller's variables reads those that it names.

        Without a text it is `eval()` of a model of torch, and `evaluate(x, y)` is of one of keras.
        """
        match call.args:
            case [ast.Constant(value=str(text)), *_]:
                for name in _WORD.findall(text):
                    self.read(name, scope)
            case [_, _, *_] if syntax.last_word(call.func) == "evaluate":
                pass
            case _:
                self.dynamic |= bool(call.args or call.keywords)

    def shell_call(self, method: str, arguments: list[str], scope: _Scope) -> None:
        magic, line, *cell = arguments if method.startswith("run_") else ("", arguments[0])
        code = transformed.magic_code(magic, line, cell)
        if code is not None:
            self.magic_code(magic, *code, scope)
        elif magic in _INSPECTORS:
            self.whole.update(re.findall(r"^[^\w]*([^\W\d]\w*)", line))
        elif magic in _LISTING:
            self.read("locals", scope)  # they tell of the same
        else:
            self.expansions(line, scope)
            quiet = _QUIET_CELL_MAGICS if cell else _QUIET_LINE_MAGICS
            into_a_name = bool(cell) and re.search(r"--(out|err|proc)\b", line) is not None
            self.dynamic |= into_a_name or (magic != "" and magic not in quiet)

    def magic_code(self, magic: str, options: str, code: str, scope: _Scope) -> None:
        if magic == "capture":
            for word in options.split():
                if word.isidentifier():
                    self.bind(word, scope)
        tree = syntax.parsed(code)
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
            tree = syntax.parsed(text.strip())
            if tree is not None:
                self.push(tree.body, scope)


def found_in(*trees: ast.AST | None) -> Finder:
    """The names of a part of a cell."""
    finder = Finder()
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
            scope.local |= {_mangled(n, scope) for n in bound_by(node)}
        nested = inner or isinstance(node, _COMPREHENSIONS)
        todo += [(child, nested) for child in syntax.children(node)]
    scope.local -= scope.declared | free


def bound_by(node: ast.AST) -> Iterator[str]:
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
