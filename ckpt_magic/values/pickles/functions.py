"""Functions, closures and cells as calls that the standard library can make."""

from __future__ import annotations

import functools
import gc
import itertools
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ckpt_magic.values.memory import holds, identity
from ckpt_magic.values.pickles import constants
from ckpt_magic.values.pickles.annotations import (
    annotate_of,
    annotations_of,
    contents_of,
    dicts_of,
)
from ckpt_magic.values.pickles.codes import Codes
from ckpt_magic.values.pickles.forms import CALL, FROM_KEYS, Form, Later, Token
from ckpt_magic.values.pickles.makers import Makers, method_of
from ckpt_magic.values.pickles.parts import globals_of
from ckpt_magic.values.pickles.references import at, importable, module_of, refuse_builtins
from ckpt_magic.values.pickles.tokens import definition_token, is_plain_definition, kind_of
from ckpt_magic.values.pickles.unchanging import Named


class Functions:
    """The functions of one pickle: builds their reductions and knows what is written already.

    Parameters
    ----------
    namespace
        The notebook's namespace. It is never written; functions whose globals it is get the shell.
    makers
        Tells who made plain definitions; without it their tokens say only what they are.
    sources
        Whether code is written with the source of its cell, for other versions of Python.
    """

    def __init__(self, namespace: dict[str, Any], *, makers: Makers | None = None, sources: bool = True) -> None:
        self.namespace = namespace
        self.shell = Form(operator.call, dict)  # the first call of the pickle: see ValuePickler._form
        self.codes = Codes(with_sources=sources)
        self.tokens: dict[Token, Any] = {}
        self.modules: set[str] = set()
        self.needs: set[str] = set()
        self.functions: list[types.FunctionType] = []
        self._makers = makers
        # A script defines its classes and functions anew each time, before it restores: the name tells which it is.
        self.by_name = False
        self._cells: set[int] = set()
        self._class_dicts: dict[int, type] = {}  # by `id`
        self._globals: dict[int, Any] = {}
        self._pending: set[int] = set()  # by id: a metaclass may make its classes unhashable
        self.set_aside: set[int] = set()  # by id: classes of libraries that others stand in the place of
        self._written: set[int] = set()
        self._generated: dict[int, tuple[Form, str]] = {}
        self._methods: dict[int, Later] = {}  # of the classes that are being written
        self._interned: dict[Any, Any] = {}
        self._forms: dict[Any, Any] = {}
        self._constants = constants.known()
        self._numbers = constants.numbers()

    def constant(self, value: Any) -> Any:
        """A value, or what gets it if it is a number that a library has under a name."""
        return self._constants.get(identity(value), value)

    def add_constants(self, named: Iterable[Named]) -> None:
        """Know numbers of the notebook's own as those of libraries are known."""
        for one in named:
            self._constants[identity(one.value)] = one.form
            self._numbers.append(one.value)

    def with_constants(self, values: list[Any]) -> list[Any]:
        """The same of very many values."""
        return list(map(self.constant, values)) if holds(values, self._numbers) else values

    def intern(self, value: Any) -> Any:
        """The same object for equal values, so that the pickle holds it once."""
        return self._interned.setdefault(value, value)

    def note(self, module: str | None) -> None:
        """Remember that the pickle imports from this module."""
        if module:
            self.modules.add(module.partition(".")[0])

    def attribute(self, module: str, name: str) -> Form:
        """``getattr(module, name)``, for what pickle does not find by itself."""
        key = ("attribute", module, name)
        if key not in self._forms:
            self._forms[key] = Form(getattr, sys.modules[module], name)
        return typing.cast(Form, self._forms[key])

    def evaluated(self, text: str) -> Form:
        if text not in self._forms:
            self._forms[text] = Form(eval, text, Form(dict, (("__name__", "dataclasses"),)))
        return typing.cast(Form, self._forms[text])

    def told(self, text: str) -> Form:
        """The same, for what our own loader is told of: `eval` alone may be one that the user holds."""
        if text not in self._forms:
            self._forms[text] = Form(CALL, eval, text, Form(dict))
        return typing.cast(Form, self._forms[text])

    def count(self, one: Any, refs: Any, fixed: Callable[[int], bool]) -> tuple[Form, Any]:
        """What pandas counts those by that look at one memory, and where in it a block or an index lies."""
        made = Form(type(refs))
        if self._makers is None:
            return self._forms.setdefault(("count", identity(refs)), (made, refs))[0], ()
        token, place = self._makers.companions.written(one, fixed)
        named = Form(CALL, operator.getitem, {token: made}, token)
        form, _ = self._forms.setdefault(("count", identity(refs)), (named, refs))
        return form, place

    def token(self, obj: Any) -> Token | None:
        """The token of a plain definition; none if it has none, or if another object in this pickle has it."""
        if self.by_name and at(obj.__qualname__, self.namespace) is obj:
            token = kind_of(obj), obj.__qualname__, "by name", ""
            self.tokens[token] = obj
            return token
        if not is_plain_definition(obj, self.namespace):
            return None
        token = definition_token(obj, self.namespace) if self._makers is None else self._makers.token(obj)
        return token if self.tokens.setdefault(token, obj) is obj else None

    def function(self, function: types.FunctionType) -> Any:
        """Reduce a function: by name if it can be imported, else by value."""
        if identity(function) in self._methods:
            return operator.getitem, ((self._methods[identity(function)],), 0)
        if identity(function) in self._generated:
            return operator.getitem, self._generated[identity(function)]
        if importable(function):
            self.note(function.__module__)
            return NotImplemented
        cls = method_of(function, self.namespace, self._makers)
        if cls is None:
            return self._by_value(function, function)
        name = function.__qualname__.rpartition(".")[2]
        found = Form(vars, cls), name
        if vars(cls)[name] is function:
            return operator.getitem, found
        return getattr, (Form(operator.getitem, *found), "__func__")

    def _by_dataclass(self, function: types.FunctionType, written: Any) -> Any:
        """Reduce a method that `dataclasses` makes again for the reader."""
        made = operator.getitem, self._generated[identity(function)]
        return *made, self._function_blocks(function, (), written), None, None, operator.is_

    def _by_value(self, function: types.FunctionType, written: Any) -> Any:
        """Reduce a function to what it consists of; `written` is what stands for it in the pickle."""
        refuse_builtins(function)
        globals_ = self.space(function.__globals__)
        if globals_ is None:  # a dict of its own, which may hold this function: written first
            space = self._globals[identity(function.__globals__)] = globals_of(function)
            return operator.getitem, ((space, function), 1)
        self.functions.append(function)
        # A cell may hold the function itself, so it is filled when the function exists already.
        cells = tuple(cell for cell in function.__closure__ or () if identity(cell) not in self._cells)
        self._cells.update(map(identity, cells))
        args = (function.__code__, globals_, function.__name__, None, function.__closure__)
        blocks = self._function_blocks(function, cells, written)
        token = self.token(function)
        if token is None:
            return types.FunctionType, args, blocks, None, None, operator.is_
        made = Form(types.FunctionType, *args)
        return CALL, (operator.getitem, {token: made}, token), blocks, None, None, operator.is_

    def space(self, globals_: dict[str, Any]) -> Any:
        """Globals as a form; the dict itself if it is written by value already, none if it is not yet."""
        if globals_ is self.namespace:
            return self.shell
        if identity(globals_) not in self._globals:
            module = module_of(globals_)
            if module is None:
                return None
            self._globals[identity(globals_)] = Form(getattr, module, "__dict__")
            self.codes.note_installed(module)
        return self._globals[identity(globals_)]

    def _function_blocks(
        self, function: types.FunctionType, cells: tuple[types.CellType, ...], written: Any
    ) -> tuple[Form, ...]:
        state: dict[str, Any] = {
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        generated = identity(function) in self._generated
        optional = () if generated else ("__defaults__", "__kwdefaults__", "__dict__")
        for name in (*optional, "__type_params__"):
            value = getattr(function, name, None)
            if value or (value is not None and name.endswith("defaults__")):
                state[name] = value
        if (annotate := annotate_of(function)) is not None:
            state["__annotate__"] = annotate
        else:
            annotations = self._annotations(function)
            if annotations or type(annotations) is Form:
                state["__annotations__"] = annotations
            if type(annotations) is Form and vars(function).get("__annotations__") is function.__annotations__:
                state["__dict__"] = {
                    **vars(function),
                    "__annotations__": annotations,
                }  # as wraps copies it from a cache
        blocks = [self.block(setattr, written, state)]
        full = [(cell, self._content(value)) for cell in cells for value in contents_of(cell)]
        if full:
            name_ = self._repeat("cell_contents")
            setting = Form(map, setattr, tuple(c for c, _ in full), name_, tuple(v for _, v in full))
            blocks.append(Form(CALL, FROM_KEYS, setting, written))
        return tuple(blocks)

    def _annotations(self, function: types.FunctionType) -> Any:
        """Annotations; `functools.wraps` lets them be one dict with those of a function that may be a live one."""
        wrapped = vars(function).get("__wrapped__")
        while type(wrapped) is functools._lru_cache_wrapper:
            wrapped = vars(wrapped).get("__wrapped__")
        annotations = annotations_of(function)
        shared = type(wrapped) is types.FunctionType and annotations_of(wrapped) is annotations
        if shared and (importable(wrapped) or is_plain_definition(wrapped, self.namespace)):
            return Form(getattr, wrapped, "__annotations__")  # any other may lead back to `function`
        return annotations

    def note_dicts(self, cls: type) -> None:
        """Know the dict of a class that is written: annotations of its methods look names up in it."""
        self._class_dicts.update((identity(one), cls) for one in dicts_of(cls))

    def _content(self, value: Any) -> Any:
        """What is written for what a cell holds: for the dict of a class, which nobody can make, the way to it."""
        cls = self._class_dicts.get(identity(value)) if type(value) is dict else None
        if cls is None:
            return self.constant(value)
        return Form(operator.getitem, Form(gc.get_referents, Form(vars, cls)), 0)

    def block(self, setter: Any, obj: Any, attributes: Mapping[str, Any], owner: Any = None) -> Form:
        """Set `attributes` on `obj` at once; our loader leaves it out if `owner` is a live object."""
        names, values = self.intern(tuple(attributes)), tuple(map(self.constant, attributes.values()))
        setting = Form(map, setter, Form(itertools.repeat, obj), names, values)
        return Form(CALL, FROM_KEYS, setting, obj if owner is None else owner)

    def _repeat(self, value: str) -> Form:
        if ("repeat", value) not in self._forms:
            self._forms["repeat", value] = Form(itertools.repeat, value)
        return typing.cast(Form, self._forms["repeat", value])

    def cell(self, cell: types.CellType) -> Any:
        """Reduce a closure cell. One that a function brings along is filled by the function's blocks."""
        if identity(cell) in self._cells:
            return types.CellType, ()
        self._cells.add(identity(cell))
        contents = [self._content(value) for value in contents_of(cell)]
        return (types.CellType, (), (None, {"cell_contents": contents[0]})) if contents else (types.CellType, ())
