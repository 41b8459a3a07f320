"""Statements of cells, and steps, as far as code tells of them: what they bind, read, change, and do besides."""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, cast

from ckpt_magic.values.code import (
    changing,
    effects,
    essence,
    kinds,
    modulecode,
    source,
    syntax,
    transformed,
    vocabulary,
)
from ckpt_magic.values.code.kinds import Kinds
from ckpt_magic.values.code.standins import StandIns
from ckpt_magic.values.code.varying import called_at_once, drawn, may_vary, seeds, varying_words

_UNKNOWN: Final = object()
_ATOMS: Final = (int, float, complex, str, bytes, type(None))
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# What modules are found and made by, whoever imports them.
_IMPORTING: Final = frozenset({"meta_path", "path_hooks", "__import__"})
# What runs scripts in namespaces of their own.
_RUNNING: Final = frozenset({"exec", "run_path", "run_module", "exec_module"})
# Modules of which all that is set by a word of the surroundings is known as such.
_KNOWN: Final = changing.LIBRARIES | sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of an unmarked cell."""

    digest: str
    binds: Set[str] = frozenset()
    sure: Set[str] = frozenset()
    """Bound whatever they held before."""
    reads: Set[str] = frozenset()
    holds: Set[str] = frozenset()
    """Those of the names it reads of which it may give something to the names that it binds."""
    touches: Set[str] = frozenset()
    """Names whose values it may change in place."""
    eased: Set[str] = frozenset()
    """Those of them that it does not change if they are of libraries: it makes objects of a class, or sets what is
    told as surroundings or as chance."""
    called: Set[str] = frozenset()
    """Those of them that it does no more to than to call what they are or have, by no word that says of a change."""
    asleep: Mapping[str, Set[str]] = field(default_factory=dict)
    """What functions read that it defines."""
    later: Mapping[str, Set[str]] = field(default_factory=dict)
    """Names that those lead to which it binds, or puts something into, when they are used."""
    changes: Mapping[str, Set[str]] = field(default_factory=dict)
    """What the functions and classes that it defines may change in place when they are called."""
    stores: Set[str] = frozenset()
    """Names whose values it changes by its very words, or lets those do so that it defines: `x[0] = 1`."""
    risks: Set[str] = frozenset()
    """Names of what it gives to code of the user's own that changes what it is given, if it comes to that."""
    keepers: Set[str] = frozenset()
    """The user's own modules that may keep what it gives to what is in them."""
    shown: Set[str] = frozenset()
    """Those of what it touches that it only shows, if these are tables: frames, series, arrays."""
    copied: Set[str] = frozenset()
    """Those of what it holds of which it takes copies, if these are tables."""
    is_table: bool = False
    """It binds a name to a table that it makes."""
    parted: Set[str] = frozenset()
    """Those of what it reads of which it takes no more than what is in it, and copies."""
    spared: Set[str] = frozenset()
    """Those of what it touches of which it changes no more than copies, if these are flat."""
    fleeting: Set[str] = frozenset()
    """Those of what it binds that mean nothing after it: `except ValueError as error`."""
    borrowed: Set[str] = frozenset()
    """Functions whose outcome it may change in place."""
    kept: Set[str] = frozenset()
    """Functions and objects that it gives to what may call them later, and what lambdas change that it gives so."""
    lends: bool = False
    """It defines a function that may give something of what other names hold."""
    taken: Mapping[str, str] = field(default_factory=dict)
    """The user's own modules of which it takes values that they hold, each with a digest of its text."""
    imports: Set[str] = frozenset()
    anything: bool = False
    """It may bind and change names that are not written in it."""
    opens: str = ""
    """A word that makes its outcome, or that of what it defines, depend on more than its code; empty if none does."""
    varying: Set[str] = frozenset()
    """All of these words."""
    drawn: str = ""
    """A word by which it, or what it defines, draws from a generator that is there for all; empty if none does."""
    seeds: bool = False
    """It may seed such a generator."""
    spelled: Set[str] = frozenset()
    """Texts in it that are such words if something makes words of texts: `getattr(time, "time")`."""
    at_once: Set[str] = frozenset()
    """Those of what a definition calls when it is made: in defaults, decorators and the bodies of classes."""
    words: Set[str] = frozenset()
    texts: Set[str] = frozenset()
    modules: Set[str] = frozenset()
    """Names that it binds to modules."""
    deletes: Set[str] = frozenset()
    libraries: Set[str] = frozenset()
    """Names that it binds to something of libraries of which all surroundings are known."""
    calm: Set[str] = frozenset()
    """Names that it binds to what is not changed by being called: functions, and what such libraries have."""
    plain: Set[str] = frozenset()
    """Names that it binds to classes that are not, as long as no code, theirs included, `meddles`."""
    meddles: bool = False
    """It may change a class by one of its objects."""
    value: Any = _UNKNOWN
    """What it binds, if that is written down in it."""
    foreign: Set[str] = frozenset()
    """Names that it binds to what is not the user's own, nor of Python: `signal.signal` gives what was set before."""
    gives: bool = False
    """It is there for the value that it binds."""

    @property
    def is_literal(self) -> bool:
        """Whether the value that it binds is written down in it."""
        return self.value is not _UNKNOWN

    @property
    def is_atom(self) -> bool:
        """Whether that is a number or a text."""
        return isinstance(self.value, _ATOMS)

    @property
    def is_flat(self) -> bool:
        """Whether it is a list, a set or a dict of numbers and texts."""
        inside = [*self.value, *self.value.values()] if isinstance(self.value, dict) else self.value
        return isinstance(inside, list | tuple | set) and all(isinstance(one, _ATOMS) for one in inside)


@dataclass(frozen=True, slots=True)
class Step:
    """A step.

    Attributes
    ----------
    number
        Its number.
    left
        Per name the digest of what it left; None for a step that will run, and leaves nobody knows what.
    deleted
        Names that it deleted.
    kinds
        What is known of the kinds of values among them.
    code
        The statements of its code, as far as somebody has read it.
    """

    number: int
    left: Mapping[str, str | None]
    deleted: Set[str] = frozenset()
    kinds: Kinds = kinds.NONE
    code: Sequence[Statement] = ()

    @property
    def defining(self) -> Iterator[Statement]:
        """The statements that import something, or define functions or classes."""
        return (one for one in self.code if one.imports or one.changes or one.asleep)


Event = Statement | Step


@dataclass(frozen=True, slots=True)
class Lent:
    """What the user's own modules do for a statement: the words of that code, and a digest of it."""

    words: frozenset[str] = frozenset()
    digest: str = ""


class Lender(Protocol):
    """Gives what is lent to a statement that has these words and imports these modules."""

    stand_ins: StandIns
    """What names stand for, above it."""

    def __call__(self, words: Set[str], imports: Set[str], /) -> Lent: ...

    def script(self, path: str, /) -> str | None:
        """The text of a script; None if there is none."""


def statements(tree: ast.Module, lender: Lender) -> Iterator[Statement]:
    """Take an unmarked cell apart; what an import binds has nothing to do with what else it binds.

    Lines that only ask us for something are none of it: with another start point a cell is the same.
    """
    for node in tree.body:
        if transformed.only_asks_us(node):
            continue
        if (run := transformed.code_run_by(node)) is not None:
            yield from statements(ast.Module(run[0], []), lender)
            if run[1]:
                continue
        run_file = transformed.script_run_by(node)
        text = lender.script(run_file.path) if run_file is not None else None
        if run_file is not None and text is not None and (code := syntax.parsed(text)) is not None:
            # functions of a script have variables of their own, those of a notebook or of `exec` have ours
            is_apart = run_file.arguments is not None and not run_file.path.endswith(".ipynb")
            told = f" {modulecode.digest(text)}" if is_apart else ""
            for one in statements(code, lender):
                mine = replace(one, digest=f"{one.digest}{told}")
                yield mine if run_file.arguments is None else _having_arguments(mine, run_file.arguments)
        elif isinstance(node, ast.Import):
            yield from (_statement(ast.Import([one]), lender) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_statement(ast.ImportFrom(node.module, [one], node.level), lender) for one in node.names)
        else:
            yield _statement(node, lender)


def _having_arguments(statement: Statement, arguments: str) -> Statement:
    """A statement of a script for which `sys.argv` has these arguments, and only for it."""
    varying, touches = statement.varying - {"argv"}, statement.touches - {effects.ARGUMENTS}
    if not any(one.startswith(effects.SURROUNDINGS[:-1]) for one in touches - {effects.SURROUNDINGS}):
        touches -= {effects.SURROUNDINGS}
    return replace(
        statement,
        digest=f"{statement.digest} {arguments}" if arguments else statement.digest,
        varying=varying,
        opens=min(varying, default="") if statement.opens == "argv" else statement.opens,
        touches=touches,
    )


def touching(names: Set[str], what: str, *, anything: bool) -> Statement:
    """Stand for code that changes in place what these names hold, or `anything`; `what` is its digest."""
    return Statement(what, touches=names, stores=names, anything=anything)


def _statement(node: ast.stmt, lender: Lender) -> Statement:
    stand_ins, told = lender.stand_ins, lender.stand_ins.told
    module, inside = ast.Module([node], []), syntax.nodes(node)
    names = source.names(module)
    words = vocabulary.words(module).read | {part for name in names.imports for part in name.split(".")}
    texts = frozenset(one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str))
    touches, for_sure, called = changing.touched(inside, told, effects.EASING)
    local = changing.local(inside) - names.reads - names.binds
    touches -= local
    held = changing.held_by(node, told)
    acts, opens, spoken = set[str](), "", frozenset[str]()
    varying, at_once = frozenset[str](), frozenset[str]()
    is_import = isinstance(node, ast.Import | ast.ImportFrom)
    is_definition = isinstance(node, _DEFINITIONS)
    if not is_import:
        spoken = words | (stand_ins.behind(names.reads) - effects.SEPARATE)
        said = spoken - effects.data(inside, names, stand_ins) - effects.separate(inside)
        acts = effects.of_statement(node, inside, texts, said) | effects.of_setters(node, inside, texts, stand_ins)
        touches |= effects.patched(inside, texts, stand_ins)
        varying = frozenset(varying_words(inside, names, stand_ins))
        opens = min(varying, default="")
        at_once = varying & called_at_once(node)
    elif isinstance(node, ast.ImportFrom):
        # code that calls it by another name does not have the word, nor does what was read when its name meant a value
        others = (one.name for one in node.names if one.asname or one.name in stand_ins.values)
        opens = next(filter(may_vary, others), "")
    extension = transformed.extension_loaded(node)
    loaded = {"load_ipython_extension"} if extension is not None else set[str]()
    lent = lender(spoken | loaded, names.imports | ({extension} if extension is not None else set()))
    is_own = told.module_of(extension or "") is not None  # it may do anything
    stand_ins.note(node, names, words | lent.words)
    by_others = effects.of_words(lent.words) - acts
    runs = not is_definition and not spoken.isdisjoint(_RUNNING)
    if runs or (names.dynamic and not isinstance(node, ast.ImportFrom) and not source.only_sets(inside)):
        opens = "code that may change any name"
    tops = {name.partition(".")[0] for name in names.imports or ("?",)}
    bound = names.binds | names.deletes
    rebound = bound - {node.name} if isinstance(node, _DEFINITIONS) else frozenset[str]()  # `global x`
    return Statement(
        digest=essence.lean_digest(module) + (lent.digest if by_others or is_own else ""),
        binds=bound,
        sure=names.renews,
        reads=names.awake,
        holds=names.awake if held is None else names.awake & held,
        touches=touches if is_definition else touches | acts | by_others,
        eased=touches - for_sure,
        called=called,
        asleep=names.asleep,
        later={name: stand_ins.led_to(name) for name in names.binds | touches},
        changes={node.name: frozenset(touches | acts | by_others | rebound)} if isinstance(node, _DEFINITIONS) else {},
        stores=(frozenset(changing.stored(inside)) & names.reads) | rebound,
        risks=frozenset(changing.risked(inside, told)) & names.reads,
        keepers=frozenset(changing.keepers(inside, told)),
        shown=frozenset(kinds.shown(inside, told)),
        copied=frozenset(kinds.copied(node)),
        is_table=kinds.makes_table(node, told),
        parted=frozenset(kinds.parted(inside, told)) if not is_definition else frozenset(),
        spared=frozenset(kinds.spared(inside, told)) if not is_definition else frozenset(),
        fleeting=_caught(inside),
        borrowed=frozenset(changing.borrowed(inside, told)),
        kept=frozenset(changing.kept(inside, told)) - local,
        lends=is_definition and not told.lending.isdisjoint(names.binds),
        taken={one: modulecode.digest(told.texts[one]) for one in changing.taken(node, inside, told)},
        imports=names.imports,
        anything=names.dynamic or runs or not spoken.isdisjoint(_IMPORTING) or is_own,
        opens=opens,
        varying=varying,
        drawn=drawn(inside, stand_ins),
        seeds=seeds(words | lent.words),
        spelled=frozenset(word for text in texts for word in vocabulary.identifiers(text) if may_vary(word)),
        at_once=at_once,
        words=words,
        texts=texts,
        modules=names.binds if isinstance(node, ast.Import) else frozenset(),
        deletes=names.deletes,
        libraries=names.binds if tops <= _KNOWN else frozenset(),
        calm=(names.binds if is_import and tops <= changing.CALM else frozenset()) | _calm_function(node),
        plain=frozenset({node.name} if isinstance(node, ast.ClassDef) and _is_plain_class(node) else ()),
        meddles=_reaches_classes(inside) or not lent.words.isdisjoint(_OF_CLASSES),
        value=_literal(node),
        foreign=names.binds & stand_ins.foreign if tops.isdisjoint(sys.stdlib_module_names) else frozenset(),
        gives=isinstance(node, ast.Assign | ast.AnnAssign),
    )


def _caught(inside: Sequence[ast.AST]) -> Set[str]:
    """The names of errors that a statement catches, if it binds them in no other way."""
    found = {one.name for one in inside if isinstance(one, ast.ExceptHandler) and one.name is not None}
    return found - {one.id for one in inside if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}


def _calm_function(node: ast.stmt) -> Set[str]:
    """The name of a function that keeps nothing from call to call, if it is one."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
        return frozenset({node.name} if _keeps_nothing(node, node.name) else ())
    return frozenset()


def _keeps_nothing(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """Whether a function has no place of its own for what it may keep: no default, and not itself, by its name."""
    defaults = [*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)]
    own = any(isinstance(one, ast.Name) and one.id == name for one in syntax.nodes(node))
    return not own and all(isinstance(one, ast.Constant) for one in defaults)


def _is_plain_class(node: ast.ClassDef) -> bool:
    """Whether a class has no place for what its objects may keep: it is as plain as data with methods."""
    by = {syntax.last_word(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list}
    kinds = {syntax.last_word(one) for one in node.bases}
    if node.keywords or not by <= _OF_DATA or not kinds <= {"object"}:
        return False
    return all(_is_plain_part(one, node.name) for one in node.body)


def _is_plain_part(node: ast.stmt, name: str) -> bool:
    match node:
        case ast.FunctionDef(name=method) | ast.AsyncFunctionDef(name=method):
            by = {syntax.last_word(one) for one in node.decorator_list}
            return method not in _OF_CLASS and by <= _OF_METHODS and _keeps_nothing(node, name)
        case ast.AnnAssign(value=ast.Call(func=func, args=[], keywords=keywords)):
            return syntax.last_word(func) == "field" and all(
                one.arg != "default" or isinstance(one.value, ast.Constant) for one in keywords
            )
        case ast.Pass() | ast.AnnAssign(value=None | ast.Constant()) | ast.Expr(ast.Constant()):
            return True
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


def _reaches_classes(nodes: Sequence[ast.AST]) -> bool:
    """Whether code may change a class by one of its objects: `type(x).count += 1`; to show or compare it does not."""
    shown = set[int]()
    for one in nodes:
        asked: Sequence[ast.AST] = ()
        match one:
            case ast.Attribute(value=value, attr="__name__" | "__qualname__" | "__module__"):
                asked = [value]
            case ast.Compare(left=left, comparators=others):
                asked = [left, *others]
            case ast.Call(func=ast.Name(id="print" | "repr" | "str" | "display"), args=args):
                asked = args
            case ast.Expr(value=value) | ast.FormattedValue(value=value):
                asked = [value]
        shown.update(id(call.func) for call in asked if isinstance(call, ast.Call))
    words = {syntax.last_word(one) for one in nodes if id(one) not in shown}
    return not words.isdisjoint(_OF_CLASSES)


def _literal(node: ast.stmt) -> Any:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        try:
            return _folded(node.value)
        except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
            return _UNKNOWN
    return _UNKNOWN


def _folded(node: ast.expr | None) -> Any:
    """Evaluate a literal, in which there may be sums and products of numbers (`60 * 60`)."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return _COLLECTIONS[type(node)](map(_folded, node.elts))
    if isinstance(node, ast.Dict):
        return {_folded(key): _folded(value) for key, value in zip(node.keys, node.values, strict=True)}
    if not isinstance(node, ast.BinOp):
        return ast.literal_eval(cast("ast.expr", node))  # None is the key of what `**` unpacks: no literal
    left, right = _folded(node.left), _folded(node.right)
    act = _ARITHMETIC.get(type(node.op))
    if act is None or not {type(left), type(right)} <= {int, float}:
        raise ValueError
    if act is operator.pow and not (abs(left) <= _LARGE and abs(right) <= _LARGE):
        raise ValueError
    return act(left, right)


_OF_CLASSES: Final = frozenset({"type", "__class__", "__func__"})
_OF_DATA: Final = frozenset({"dataclass", "total_ordering", "final"})
_OF_METHODS: Final = frozenset({"property", "staticmethod", "setter", "abstractmethod", "override"})
_OF_CLASS: Final = frozenset({"__new__", "__init_subclass__", "__class_getitem__", "__set_name__", "__del__"})
_LARGE: Final = 64
_COLLECTIONS: Final[Mapping[type, Callable[[Iterable[Any]], Any]]] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}
_ARITHMETIC: Final[Mapping[type, Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
