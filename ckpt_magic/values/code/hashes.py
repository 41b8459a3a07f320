"""Whether code takes the hash of something for a number, as a hash table of its own does: `hash(key) % len(buckets)`.

The hash of a text, and of what is told by its address, is another number in each process. Dicts and sets are filled
anew where they are read: of a hash that only they ask for nothing is left, but for the order of a set, by which code
may number what is in it: `{word: number for number, word in enumerate(words)}`.
"""

from __future__ import annotations

import ast
import dis
import functools
import types
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ckpt_magic.values.code import syntax, vocabulary
from ckpt_magic.values.code.nested import with_nested

ASKING: Final = frozenset({"hash", "__hash__"})

_ANSWERING: Final = frozenset({"__hash__", "__eq__", "__ne__"})  # what they ask for is compared, and forgotten
_SETTING: Final = frozenset({"setattr", "__setattr__", "__dict__", "vars", "setdefault", "update"})
_STORING: Final = frozenset({dis.opmap["STORE_ATTR"], dis.opmap["STORE_SUBSCR"], dis.opmap["STORE_GLOBAL"]})
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_OF_NAMES: Final = frozenset({"LOAD_NAME", "LOAD_GLOBAL"})
_LOOPS: Final = frozenset({ast.For, ast.AsyncFor, ast.comprehension})
_TAKING: Final = frozenset({ast.Starred, ast.keyword, ast.YieldFrom})
_GOING: Final = ("GET_ITER", "UNPACK_", "LIST_EXTEND", "GET_YIELD_FROM_ITER")
_CALLING: Final = ("PRECALL", "CALL")
_IN_ANY_ORDER: Final = frozenset(
    {"len", "sorted", "set", "frozenset", "min", "max", "sum", "any", "all", "isinstance", "type", "bool"}
    | {"display", "repr", "str", "union", "update", "intersection", "difference", "symmetric_difference", "issubset"}
    | {"issuperset", "isdisjoint", "intersection_update", "difference_update", "deepcopy", "copy", "isin"}
    | {"id", "print"}
)  # functions and methods that are given a set


@dataclass(frozen=True, slots=True)
class Kept:
    """By what attributes the objects of a class keep their hash.

    Attributes
    ----------
    noted
        Those that ``__hash__`` sets when it is first asked, with what tells it that it was not: None, or `ABSENT`.
    made
        Others that it gives.
    """

    noted: Mapping[str, Any]
    made: frozenset[str]

    def forgotten(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of an object that was not asked for its hash yet."""
        found = {name: self.noted.get(name, one) if type(one) is int else one for name, one in attributes.items()}
        return {name: one for name, one in found.items() if one is not ABSENT}


ABSENT: Final = object()


def kept_by(kind: Any) -> Kept | None:
    """By what attributes the objects of a class keep their hash, as its code and their names tell; None if by none."""
    hashing: Any = next((vars(cls)["__hash__"] for cls in type.mro(kind) if "__hash__" in vars(cls)), None)
    kept = _kept(hashing.__code__) if type(hashing) is types.FunctionType else None
    if kept is None or _takes_hash(hashing.__code__):
        return kept
    methods = (one for cls in type.mro(kind) for one in vars(cls).values() if type(one) is types.FunctionType)
    return kept if any(_takes_hash(one.__code__) for one in methods) else None  # any number, as a name of its own is


@functools.lru_cache(maxsize=1024)  # a pickler asks for each class that it meets
def _kept(code: types.CodeType) -> Kept | None:
    if not any("hash" in name.lower() for name in code.co_names):
        return None
    made = [(one.opname, one.argval) for one in dis.get_instructions(code)]
    attributes = {name for operation, name in made if operation.endswith(("_ATTR", "LOAD_METHOD"))}  # `hash` is none
    names = {name for name in attributes if "hash" in str(name).lower()} - {"__hash__"}
    stored = {name for operation, name in made if operation == "STORE_ATTR" and name in names}
    unset = {name: None for (_, name), (then, _) in pairwise(made) if name in stored and "_NONE" in then}
    tries = {"AttributeError", "hasattr"}.intersection(code.co_names)
    noted = {name: unset.get(name, ABSENT) for name in stored if name in unset or tries}
    return Kept(noted, frozenset(names - noted.keys())) if names else None


@functools.lru_cache(maxsize=8192)
def _takes_hash(code: types.CodeType) -> bool:
    return any(not ASKING.isdisjoint(one.co_names) and _asks(one) for one in with_nested([code]))


def of_this_process() -> str:
    """What tells processes apart that give other hashes; equal wherever `PYTHONHASHSEED` is the same number."""
    return f"{hash(__name__):x}"


def asked_in(tree: ast.Module) -> bool:
    """Whether code keeps the hash of something, or decides by it; a `__hash__` only gives it to who asks.

    Definitions that nothing in the code mentions only define.
    """
    todo = [node for one in tree.body for node in _run_at_once(one)]
    defined = [one for one in tree.body if isinstance(one, _DEFINITIONS)]
    words = {word for node in todo for one in syntax.nodes(node) for word in _words(one)}
    while mentioned := [one for one in defined if one.name in words]:
        defined = [one for one in defined if one.name not in words]
        todo += mentioned
        words = {word for node in mentioned for one in syntax.nodes(node) for word in _words(one)}
    return _asked_among(todo) and _is_that_of_python(tree)


def asked_anywhere_in(tree: ast.Module) -> bool:
    """The same, whoever calls what it defines."""
    return _asked_among(tree.body) and _is_that_of_python(tree)


def _asked_among(nodes: Iterable[ast.AST]) -> bool:
    todo = list(nodes)
    for node in todo:  # it grows meanwhile
        match node:
            case ast.FunctionDef(name=name) if name in _ANSWERING and not _is_kept_in(node):
                continue
            case ast.Assign(targets=[ast.Name(id="__hash__")]):  # of another class
                continue
            case ast.Name(id="hash", ctx=ast.Load()) | ast.Attribute(attr="__hash__", ctx=ast.Load()):
                return True
        todo += syntax.children(node)
    return False


def asked_by(codes: Iterable[types.CodeType]) -> bool:
    """The same of compiled code."""
    todo = list(codes)
    for code in todo:  # it grows meanwhile
        if code.co_name in _ANSWERING and not _is_kept_by(code):
            continue
        if not ASKING.isdisjoint(code.co_names) and _asks(code):
            return True
        todo += [const for const in code.co_consts if type(const) is types.CodeType]
    return False


def _is_that_of_python(tree: ast.Module) -> bool:
    """Whether some `hash` of the code is no variable of a function: `def bits(key): hash = digest(key)`."""
    try:
        code = compile(tree, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return True
    return _takes_hash(code)


def _run_at_once(statement: ast.AST) -> list[ast.AST]:
    """What of a statement runs where it stands: of a function all but its body, of a class all but its functions."""
    if not isinstance(statement, _DEFINITIONS):
        return [statement]
    parts = [one for one in syntax.children(statement) if one not in statement.body]
    body = statement.body if isinstance(statement, ast.ClassDef) else []
    return [*parts, *(part for one in body for part in _run_at_once(one))]


def _words(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return vocabulary.words_in([node.value])  # which may be run
    return (syntax.last_word(node),)


def gone_through(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """The names through which code goes in their order, if they are sets, as its words tell."""
    found = list[Any]()
    one: Any
    for one in nodes:  # those of each cell
        kind = type(one)
        if kind is ast.Call:
            found += one.args if syntax.last_word(one.func) not in _IN_ANY_ORDER else ()
        elif kind in _LOOPS:
            found.append(one.iter)
        elif (
            kind in _TAKING
            or (kind is ast.Attribute and one.attr == "pop")
            or kind is ast.Assign
            and type(one.targets[0]) in (ast.Tuple, ast.List)
        ):
            found.append(one.value)
    return frozenset(name.id for name in found if type(name) is ast.Name)


def gone_through_by(codes: Iterable[types.CodeType], names: Set[str]) -> set[str]:
    """The same of compiled code."""
    found = set[str]()
    for code in with_nested(codes) if names else ():
        if names.isdisjoint(code.co_names):
            continue
        made = [(one.opname, one.argval) for one in dis.get_instructions(code)]
        for (_, function), (operation, name), (then, what) in zip([("", ""), *made], made, made[1:], strict=False):
            if operation in _OF_NAMES and name in names:
                is_asked = then.startswith(_CALLING) and function not in _IN_ANY_ORDER
                if then.startswith(_GOING) or is_asked or (what == "pop" and then.startswith("LOAD_")):
                    found.add(name)
    return found


def _is_kept_in(function: ast.FunctionDef) -> bool:
    """Whether a `__hash__` notes what it gives, to give it again."""
    return any(
        isinstance(node, ast.Global)
        or (isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load))
        or syntax.last_word(node) in _SETTING
        for node in syntax.nodes(function)
    )


def _is_kept_by(code: types.CodeType) -> bool:
    return any(
        not (_STORING.isdisjoint(one.co_code[::2]) and _SETTING.isdisjoint(one.co_names)) for one in with_nested([code])
    )


def _asks(code: types.CodeType) -> bool:
    made = [(one.opname, one.argval) for one in dis.get_instructions(code)]
    return any(
        (name == "hash" and operation in _OF_NAMES)
        or (name == "__hash__" and operation.startswith("LOAD_") and then != "STORE_NAME")
        for (operation, name), (then, _) in pairwise([*made, ("", "")])
    )
