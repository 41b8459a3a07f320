"""The step methods of a class: their numbers, their code, and which attributes of the instance they can read.

Nothing here runs code of the class.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ckpt_magic.errors import UsageError
from ckpt_magic.steps.plan import Code
from ckpt_magic.values.code import encoding, source, syntax
from ckpt_magic.values.pickles import tokens

_METHOD = re.compile(r"step_(\d+)(?:_\w+)?\Z")
_HOOKS = ("__getattribute__", "__getattr__", "__setattr__", "__delattr__")


def numbered(cls: type) -> dict[int, str]:
    """Names of the step methods by number, in numeric order.

    Raises
    ------
    UsageError
        Two have one number, or a method `step_…` has none.
    """
    found: dict[int, str] = {}
    for name in dir(cls):
        if not name.startswith("step_") or not callable(getattr(cls, name)):
            continue
        match = _METHOD.match(name)
        if match is None:
            raise UsageError(f"{cls.__name__}.{name}: a step method is called step_N or step_N_anything, N a number")
        step = int(match[1])
        if step in found:
            raise UsageError(f"{cls.__name__}: {found[step]} and {name} both have number {step}; renumber one")
        found[step] = name
    return dict(sorted(found.items()))


def code(cls: type, name: str) -> Code:
    """The code of a step method: its source, or at least a digest of what can be seen of it."""
    method = getattr(cls, name)
    text, tree = _source(method)
    if tree is not None:
        imports = source.names(tree).imports  # all else that it names is looked for in its class and module
        return Code(text, encoding.digest(tree), source.Names(imports=imports), method=name, tree=tree)
    function = inspect.unwrap(method)  # typed at a prompt, or built by a function
    if isinstance(function, types.FunctionType):
        return Code("", tokens.definition_token(function, function.__globals__)[2], method=name)
    return Code(_source(type(function))[0], f"object:{type(function).__qualname__}", method=name)


def with_members(cls: type, name: str) -> Code:
    """The code of a step method, and what it may use of its class and of the module that this is in."""
    found, module = code(cls, name), sys.modules.get(cls.__module__)
    if found.tree is None or module is None:
        return found
    return replace(found, members=_members(cls, name), home=vars(module))


def reads(cls: type, name: str) -> set[str] | None:
    """Names of the attributes that a method, and what it calls of the class, can read from the instance.

    Returns
    -------
    set of str or None
        None if that cannot be told: the instance is handed to other code, or a source is not known.
    """
    found = _followed(cls, name)
    return None if found is None else found[1]


def _followed(cls: type, name: str) -> tuple[set[str], set[str]] | None:
    """The attributes that a method, and what it calls of the class, mentions, and those that it reads."""
    if any(hook in vars(one) for one in cls.__mro__[:-1] for hook in _HOOKS):
        return None
    found: set[str] = set()
    known: set[str] = set()
    todo = [name]
    while todo:
        for function in _functions(cls, todo.pop()):
            uses = _uses(function) if isinstance(function, types.FunctionType) else None
            if uses is None:
                return None
            mentioned, read = uses
            todo += mentioned - known
            known |= mentioned
            found |= read
    return known, found


def _members(cls: type, method: str) -> dict[str, Any]:
    """Functions and values of the class, and of those it inherits from, that a method may use; not other steps."""
    followed = _followed(cls, method)  # all that it may mention if that is None
    mentioned = None if followed is None else followed[0]
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        if str(one.__module__).partition(".")[0] in ("builtins", "ckpt_magic"):
            continue
        for name, value in vars(one).items():
            wanted = name in mentioned if mentioned is not None else not name.startswith(("__", "step_"))
            if not wanted or name == method or isinstance(value, types.MemberDescriptorType):
                continue
            inner = getattr(value, "__func__", None)  # of static and class methods
            own = [part for part in _functions(one, name) if isinstance(part, types.FunctionType)]
            parts = own if inner is None else [inner]
            if parts:
                found |= {f"{one.__qualname__}.{name} {number}": part for number, part in enumerate(parts)}
            else:
                found[f"{one.__qualname__}.{name}"] = value
    return found


def _functions(cls: type, name: str) -> Iterator[Any]:
    """What runs, in any of the classes, when `self.name` is read, set or called; static and class methods aside."""
    for one in cls.__mro__:
        value = vars(one).get(name)
        if isinstance(value, property):
            yield from (function for function in (value.fget, value.fset, value.fdel) if function is not None)
        elif isinstance(value, (functools.cached_property, functools.partialmethod)):
            yield value.func
        elif hasattr(type(value), "__get__") and not isinstance(value, (staticmethod, classmethod)):
            yield value


def _uses(function: types.FunctionType) -> tuple[set[str], set[str]] | None:
    """Attributes of its first argument that one function mentions, and those that it does more with than to set them.

    None if it does something else with the argument.
    """
    _, tree = _source(function)
    if tree is None or hasattr(function, "__wrapped__"):
        return None
    match tree.body:
        case [ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args)] if args.posonlyargs or args.args:
            own = [*args.posonlyargs, *args.args][0].arg
        case _:
            return None
    uses, mentions = [], 0
    read: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AugAssign(target=ast.Attribute(attr=attribute)):
                read.add(attribute)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=how) if name == own:
                uses.append(attribute)
                if not isinstance(how, ast.Store):
                    read.add(attribute)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr=attribute):
                uses.append(attribute)
                read.add(attribute)
                mentions += 1
            case ast.Name(id=name) if name == own:
                mentions += 1
    # each use is one mention; any further one gives the instance away
    return None if len(uses) != mentions or "__dict__" in uses else (set(uses), read & set(uses))


def _source(thing: Any) -> tuple[str, ast.Module | None]:
    try:
        text = textwrap.dedent(inspect.getsource(thing))
        return text, syntax.parse(text)
    except (OSError, TypeError, SyntaxError):
        return "", None
