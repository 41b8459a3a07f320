"""What functions, classes and values lead to: the globals that their code names, and the code itself.

Nothing here runs code of the notebook: functions, classes and instances are looked at by their type and by
`gc.get_referents`, never by attribute access that could call a hook.
"""

from __future__ import annotations

import ast
import contextvars
import dis
import gc
import itertools
import opcode
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from ckpt_magic.values.code import source, vocabulary
from ckpt_magic.values.code.finding import terms
from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.memory import identity

_DEEPEST: Final = 5  # objects between what a library holds and what of it is the notebook's
_HOSTS: Final = frozenset({"IPython", "ipykernel", "zmq", "tornado", "threading", "asyncio", "_io"})
_SHELLS: Final = frozenset({"IPython", "ipykernel", "zmq"})
_WALK_LIMIT: Final = 10_000
"""Objects that `reachable` looks at, in some milliseconds, before it goes on with a few of each type only."""
_SOME: Final = 1000  # of many objects, besides one of each type
_MOST_ASKED: Final = 1_000_000  # items of large containers that are asked for their type
_MOST_ELEMENTS: Final = 100_000  # of an array of objects, likewise
_FEW: Final = 10  # items of each of the large containers after these


def reachable(names: Iterable[str], namespace: Mapping[str, Any]) -> frozenset[str]:
    """Add to `names` the globals that the code behind these names may read, write or delete.

    Followed are the functions and classes of the notebook, instances, partials, bound methods, wrapped
    functions, generators and what containers and objects hold, transitively. Large data is walked only in part: an
    object of each type that a container holds, and some from all over it.

    Parameters
    ----------
    names
        Where to start; names that are not bound are kept and not followed.
    namespace
        The globals of the notebook. Functions belong to it if their `__globals__` is this very mapping,
        classes if their `__module__` is its `__name__`.

    Returns
    -------
    frozenset of str
        `names` and what was found, builtins included.
    """
    return reach(names, namespace).names


@dataclass(frozen=True, slots=True)
class Reached:
    """What code comes to from some names, see `reachable`."""

    names: frozenset[str]
    codes: list[types.CodeType]
    """The code of the notebook's functions on the way."""
    definitions: list[Any]
    """Those functions, and the notebook's classes."""
    modules: frozenset[str]
    """Modules on the way, those of the functions and types that are not the notebook's, and what functions import."""
    is_all: bool
    """Whether all data was walked."""
    made: list[type]
    """Classes that libraries made, and that have no name there: `dataclasses.make_dataclass(…)`."""


def reach(
    names: Iterable[str], namespace: Mapping[str, Any], closed: Set[str] = frozenset(), also: Iterable[Any] = ()
) -> Reached:
    """Do `reachable`, and return all that was met on the way, from the values `also` too.

    The values of `closed` names are not entered.
    """
    walk = _Reach(namespace, closed)
    walk.run(names)
    walk.walked = 0
    walk.add(also)
    names = walk.run(())
    is_all = not walk.data and walk.is_all
    return Reached(names, walk.codes, walk.definitions, frozenset(walk.modules), is_all, walk.made)


def apart(way: Reached, namespace: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """Functions and classes on the way of which there are several of one name: the variables that lead to each.

    A cell that runs again defines its classes anew: an instance that was made before is none of the new one. Those to
    which the same variables lead count once: a dataclass with slots holds the class that it was made from.
    """
    found: dict[str, dict[int, Any]] = {}
    for one in (*way.definitions, *way.made):
        if "<" not in one.__qualname__ and (issubclass(type(one), type) or one.__qualname__.isidentifier()):
            found.setdefault(one.__qualname__, {})[identity(one)] = one
    found = {name: several for name, several in found.items() if len(several) > 1}
    if not found:
        return {}
    led_from = {name: reach([name], namespace) for name in way.names & namespace.keys()}
    ways = {name: {*map(identity, (*one.definitions, *one.made))} for name, one in led_from.items()}
    led = {
        name: sorted({tuple(sorted(one for one, ends in ways.items() if ident in ends)) for ident in several})
        for name, several in found.items()
    }
    return {name: list(map(list, groups)) for name, groups in led.items() if len(groups) > 1}


def ours(value: Any, namespace: Mapping[str, Any], deepest: int = _DEEPEST) -> Iterator[Any]:
    """Functions and classes of the notebook, and instances of these, that an object of a library holds.

    Entered are containers and plain objects, not what leads to all of a kernel, such as its streams.
    """
    return all_ours([value], namespace, deepest)


def all_ours(
    values: Sequence[Any], namespace: Mapping[str, Any], deepest: int = _DEEPEST, modules: set[str] | None = None
) -> Iterator[Any]:
    """The same for several objects, each of what they hold met once: registries of a library lead to each other.

    The names of the modules that the others of these are, or come from, are added to `modules`.
    """
    met: dict[int, Any] = {}
    for _ in range(deepest):
        inner: list[Any] = []
        for value in values:
            if modules is not None:
                modules.add(_module_of(value))
            if type(value) in _ATOMS or identity(value) in met:
                continue
            met[identity(value)] = value
            if _is_ours(value, namespace):
                yield value
            else:
                inner += _inside(value)
        values = inner


def _module_of(value: Any) -> str:
    """The module that an object is, or that it or its class comes from."""
    kind = type(value)
    if kind is types.FunctionType:
        found = value.__globals__.get("__name__")
    elif kind is types.ModuleType:
        found = vars(value).get("__name__")
    else:
        found = _class_dict(value if issubclass(kind, type) else kind).get("__module__")
    return found if type(found) is str else ""


def _is_ours(value: Any, namespace: Mapping[str, Any]) -> bool:
    kind = type(value)
    if kind is types.FunctionType:
        return value.__globals__ is namespace
    cls = value if issubclass(kind, type) else kind
    return bool(_class_dict(cls).get("__module__") == namespace.get("__name__"))


def _inside(value: Any) -> Iterable[Any]:
    """What an object of a library holds, as far as it is entered."""
    kind = type(value)
    if kind in _CONTAINERS:
        return some_of(list(value.values()) if kind is dict else gc.get_referents(value))
    if kind is types.FunctionType:
        return value.__closure__, value.__dict__
    if issubclass(kind, type) or str(kind.__module__).partition(".")[0] in _HOSTS:
        return ()
    return gc.get_referents(value)


def defined_in(namespace: Mapping[str, Any]) -> set[str]:
    """Names of the functions and classes that a notebook defines: files and bytes that are unpickled may name them."""
    module, found = namespace.get("__name__"), set[str]()
    for name, value in list(namespace.items()):
        kind = type(value)
        if kind is types.FunctionType:
            is_own = value.__globals__ is namespace
        else:
            is_own = issubclass(kind, type) and _class_dict(value).get("__module__") == module
        if is_own:
            found.add(name)
    return found


def names_of(values: Iterable[Any], namespace: Mapping[str, Any]) -> set[str]:
    """Names by which a notebook has functions, classes and the classes of instances."""
    kinds = (types.FunctionType, type)
    found = (one if issubclass(type(one), kinds) else type(one) for one in values)
    return {one.__qualname__.partition(".")[0] for one in found} & namespace.keys()


def uses(code: types.CodeType) -> set[str]:
    """Globals that a code object, and those nested in it, name, and modules that they import."""
    return set(named(code, {**_GLOBAL_OPS, **IMPORTING}))


def words_of(codes: Iterable[types.CodeType]) -> vocabulary.Words:
    """Find the identifiers in functions, those nested in them included."""
    found = [_words_in(code) for code in codes]
    read = frozenset[str]().union(*(words.read for words in found))
    stored = frozenset[str]().union(*(words.stored for words in found))
    keys = [words.keys for words in found if words.keys is not None]
    all_keys = frozenset[str]().union(*keys) if len(keys) == len(found) else None
    return vocabulary.Words(read, stored, read, all_keys, frozenset().union(*(words.calls for words in found)))


def _words_in(code: types.CodeType) -> vocabulary.Words:
    """What `words_of` tells of one function: code never changes, and each step asks for that of all it reaches."""
    known = _WORDS.get(identity(code))
    if known is not None:
        return known[1]
    read: set[str] = set()
    keys: set[str] | None = set()
    calls = set[tuple[str, ...]]()
    for one in with_nested([code]):
        calls |= {chain for chain, _ in chains(one)}
        read.update(one.co_names)
        if not vocabulary.ENVIRON.isdisjoint(one.co_names):  # which texts are keys cannot be seen: those that look so
            found = {const for const in one.co_consts if type(const) is str and const.isupper()}
            keys = None if keys is None or not found else keys | found
        for const in one.co_consts:
            for text in const if type(const) is tuple else (const,):  # a tuple: names of arguments
                if type(text) is str:
                    read.update(vocabulary.identifiers(text))
    all_keys = None if keys is None else frozenset(keys)
    stored = frozenset(named(code, SETTING_OPS))
    words = vocabulary.Words(frozenset(read), stored, frozenset(read), all_keys, frozenset(calls))
    if len(_WORDS) >= _MOST_WORDS:
        _WORDS.clear()
    _WORDS[identity(code)] = code, words
    return words


_WORDS: Final[dict[int, tuple[types.CodeType, vocabulary.Words]]] = {}  # by `id`: constants may have no hash
_MOST_WORDS: Final = 10_000


def told_by(code: ast.Module | types.CodeType) -> tuple[source.Names, vocabulary.Words]:
    """The names and words of a text that is run as code, or of what was compiled."""
    if isinstance(code, ast.Module):
        return source.names(code), vocabulary.words(code)
    return source.Names(reads=frozenset(named(code)), imports=frozenset(_imports(code))), words_of([code])


def takes_addresses(code: ast.Module | types.CodeType) -> bool:
    """Whether code may get at memory by its address, without any reference to what has it."""
    words = words_of([code]) if isinstance(code, types.CodeType) else vocabulary.words(code)
    return not _ADDRESSES.isdisjoint(words.read)


def mentioned(code: types.CodeType) -> set[str]:
    """Names that a code object, and those nested in it, may use: globals, and words in its texts."""
    found = set(named(code))
    for one in with_nested([code]):
        found |= vocabulary.words_in(one.co_consts)
    return found


def seeds(code: ast.Module | str, reads: Iterable[str], namespace: Mapping[str, Any]) -> bool:
    """Tell whether code, or a function of the notebook that it reaches, seems to set the state of a generator."""
    if says_seed(code if isinstance(code, str) else ast.unparse(code)):
        return True
    functions = [namespace.get(name) for name in reachable(reads, namespace)]
    codes = [one.__code__ for one in functions if type(one) is types.FunctionType]
    return any(says_seed(name) for code in codes for name in code.co_names)


def says_seed(text: str) -> bool:
    """Whether code has a word for setting the state of a generator."""
    text = text.lower()
    return any(word in text for word in _SEEDING)


_SEEDING: Final = ("seed", "set_state", "setstate", "set_rng_state")


_ATOMS: Final = frozenset(
    {bool, int, float, complex, str, bytes, bytearray, range, slice, type(None), type(...), types.ModuleType}
    | {types.CodeType, types.BuiltinFunctionType, types.FrameType, types.TracebackType}
)
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset, deque})
_GENERATORS: Final = {
    types.GeneratorType: ("gi_code", "gi_frame"),
    types.CoroutineType: ("cr_code", "cr_frame"),
    types.AsyncGeneratorType: ("ag_code", "ag_frame"),
}
_SPECIAL: Final = frozenset({*_GENERATORS, contextvars.ContextVar, threading.local})
_OF_MODULES: Final = frozenset({types.ModuleType, types.BuiltinFunctionType})
# type.__dict__ as a descriptor: a metaclass may hide or compute the `__dict__` and `__mro__` of its classes.
_class_dict = type.__dict__["__dict__"].__get__
_class_name = type.__dict__["__qualname__"].__get__
_class_mro = type.__dict__["__mro__"].__get__


class _Reach:
    """One breadth-first walk over objects; holds what it has met, so that no id is used twice."""

    def __init__(self, namespace: Mapping[str, Any], closed: Set[str]) -> None:
        self.namespace = namespace
        self.closed = closed
        self.module = namespace.get("__name__")
        self.found: set[str] = set()
        self.met: dict[int, Any] = {identity(namespace): namespace}
        self.asked: dict[int, Any] = {}  # what only weak references lead to
        self.code: deque[Any] = deque()  # functions and classes: always walked to the end
        self.data: deque[Any] = deque()  # everything else: until _WALK_LIMIT
        self.walked = 0
        self.asked_for_type = 0
        self.is_all = True
        self.codes: list[types.CodeType] = []
        self.definitions: list[Any] = []
        self.made: list[type] = []
        self.modules: set[str] = set()

    def run(self, names: Iterable[str]) -> frozenset[str]:
        self.add_names(names)
        while self.code or (self.data and self.walked < _WALK_LIMIT):
            if self.code:
                self.walk_definition(self.code.popleft())
            else:
                self.walk_data(self.next_data())
        for _ in range(_DEEPEST):
            if not self.data:
                break
            self.is_all = False
            left, self.data = list(self.data), deque()
            self.walk_data(some_of(left))
            while self.code:
                self.walk_definition(self.code.popleft())
        self.data.clear()
        return frozenset(self.found)

    def add_names(self, names: Iterable[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self.found]
        self.found.update(new)
        self.add([self.namespace[name] for name in new if name in self.namespace and name not in self.closed])

    def add(self, values: Iterable[Any]) -> None:
        """Come to some objects."""
        met, code, data, formulas = self.met, self.code, self.data, list[str]()
        for value in values:
            kind = type(value)
            if kind in _ATOMS:
                if kind is str:
                    if "~" in value:
                        formulas.append(value)
                elif kind in _OF_MODULES:
                    self.add_module(vars(value).get("__name__") if kind is types.ModuleType else value.__module__)
            elif (ident := identity(value)) not in met:
                met[ident] = value
                (code if kind is types.FunctionType or issubclass(kind, type) else data).append(value)
        for text in formulas:
            self.add_names(terms(text))

    def walk_definition(self, value: Any) -> None:
        if type(value) is types.FunctionType:
            if value.__globals__ is self.namespace:
                self.definitions.append(value)
                self.add_code(value.__code__)
            else:
                self.add_module(value.__globals__.get("__name__"))
            self.add(filter(None, (value.__defaults__, value.__kwdefaults__, value.__closure__, value.__dict__)))
            return
        module = _class_dict(value).get("__module__")
        if self.module is None or module != self.module:
            self.add_module(module)
            if type(module) is str and not self.is_in_module(value, module):
                self.made.append(value)
        else:
            self.definitions.append(value)
            self.add((type(value), *_class_mro(value), *_class_dict(value).values()))

    @staticmethod
    def is_in_module(kind: type, module: str) -> bool:
        """Whether a module has a class by its name, or had an object that has it."""
        home, name = sys.modules.get(module), _class_name(kind)
        return type(home) is not types.ModuleType or "." in name or vars(home).get(name) is kind

    def add_module(self, name: Any) -> None:
        if type(name) is str:
            self.modules.add(name)

    def next_data(self) -> list[Any]:
        """As many of the objects that were met as may be walked."""
        values: list[Any] = []
        size = self.walked
        while self.data and size < _WALK_LIMIT:
            value = self.data.popleft()
            size += 1 + (len(value) if type(value) in _CONTAINERS else 0)
            values.append(value)
        return values

    def walk_data(self, values: Sequence[Any]) -> None:
        """Walk objects, together: one by one would take much longer."""
        large = [value for value in values if type(value) in _CONTAINERS and len(value) > _WALK_LIMIT]
        if large:
            values = [value for value in values if type(value) not in _CONTAINERS or len(value) <= _WALK_LIMIT]
        for value in large:
            self.add([type(value), *self.some_of_large(value)])
        kinds = dict.fromkeys(map(type, values))
        hosts = {kind for kind in kinds if str(type.__getattribute__(kind, "__module__")).partition(".")[0] in _SHELLS}
        if hosts:  # they lead to all of a kernel, more than is walked, and not the same in each
            self.is_all = False
            values = [value for value in values if type(value) not in hosts]
        parts = gc.get_referents(*values)  # calls no code, whatever the objects are
        special = set(filter(self.is_special, kinds))
        weakly: list[Any] = []
        for value in values if special else ():
            parts += self.hidden(value, weakly) if type(value) in special else ()
        parts += all_ours(weakly, self.namespace)
        for value in itertools.compress(values, map(weakref.getweakrefcount, values)):
            parts += self.called_at_its_end(value)
        self.walked += len(values) + len(parts)
        self.add(kinds)
        self.add(parts if self.walked <= _WALK_LIMIT else self.some_of_many(parts))

    def some_of_large(self, value: Any) -> Sequence[Any]:
        """Some of what a container holds."""
        self.asked_for_type += len(value)
        if self.asked_for_type <= _MOST_ASKED or self.asked_for_type == len(value):
            return self.some_of_many(gc.get_referents(value))
        self.is_all = False
        return list(itertools.islice(value.values() if type(value) is dict else value, _FEW))

    def some_of_many(self, items: Sequence[Any]) -> Sequence[Any]:
        """Some of many objects; of texts and numbers there is nothing more to walk."""
        some = some_of(items)
        if len(some) < len(items) and not _ATOMS.issuperset(map(type, some)):
            self.is_all = False
        return some

    @staticmethod
    def is_special(kind: type) -> bool:
        """Whether objects of a kind lead to more than the collector sees."""
        numpy: Any = sys.modules.get("numpy")
        return kind in _SPECIAL or issubclass(kind, weakref.ref) or kind is getattr(numpy, "ndarray", None)

    def hidden(self, value: Any, weakly: list[Any]) -> Sequence[Any]:
        """What an object of a special kind leads to, and the collector does not see; weak references fill `weakly`."""
        kind = type(value)
        if kind in _GENERATORS:
            code, frame = (getattr(value, name) for name in _GENERATORS[kind])
            if frame is not None and frame.f_globals is self.namespace:
                self.add_code(code)
        elif issubclass(kind, weakref.ref):
            target = weakref.ref.__call__(value)
            if identity(target) not in self.asked:  # frames that share are led to by many of these
                self.asked[identity(target)] = target
                weakly.append(target)
        elif kind is contextvars.ContextVar:
            return [value.get(None)]
        elif kind is threading.local:
            return [value.__dict__]
        elif value.dtype.kind == "T":  # an array of texts, of which `flat` of numpy 2.4 cannot take some
            return [getattr(value.dtype, "na_object", None)]
        elif value.dtype.hasobject:
            return self.some_of_many(value.flat[:: -(-value.size // _MOST_ELEMENTS) or 1].tolist())
        return []

    def called_at_its_end(self, value: Any) -> Iterator[Any]:
        """What of the notebook is called when an object goes: its callbacks."""
        for one in weakref.getweakrefs(value):
            callback: Any = None
            if issubclass(type(one), weakref.ref):
                callback = one.__callback__
            elif held := gc.get_referents(one):  # a proxy, of which an attribute is that of what it stands for
                callback = held[0]
            if callback is not None:
                yield from ours(callback.peek() if type(callback) is weakref.finalize else callback, self.namespace)

    def add_code(self, code: types.CodeType) -> None:
        self.codes.append(code)
        by_another_way = ["globals"] if source.leads_to_all(code) else []
        self.add_names((*named(code), *source.queried(code), *by_another_way))
        self.modules.update(_imports(code))


def some_of(objects: Sequence[Any]) -> Sequence[Any]:
    """Of many objects one of each type, all functions and classes, and some from all over them."""
    if len(objects) <= _SOME:
        return objects
    kinds = {*map(type, objects)}  # which is all there is to do, as a rule
    each = dict(zip(map(type, objects), objects, strict=True)).values() if len(kinds) > 1 else ()
    ours = {kind for kind in kinds if issubclass(kind, (types.FunctionType, type))}
    definitions = itertools.compress(objects, map(ours.__contains__, map(type, objects))) if ours else ()
    return [*each, *definitions, *objects[:: len(objects) // _SOME]]


_UNKNOWN: Final = (3, 16)  # of this Python and later ones nobody has compared the instructions with what `dis` tells

# Instructions that name a global, and by how many bits their argument is shifted.
_GLOBAL_OPS: Final = {
    opcode.opmap[name]: shift
    for name, shift in [("LOAD_GLOBAL", 1), ("STORE_GLOBAL", 0), ("DELETE_GLOBAL", 0)]
    + [("LOAD_NAME", 0), ("LOAD_FROM_DICT_OR_GLOBALS", 0)]
    if name in opcode.opmap
}
SETTING_OPS: Final = {opcode.opmap[name]: 0 for name in ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL")}
_ADDRESSES: Final = frozenset(
    ("ctypes", "cffi", "__array_interface__", "__array_struct__", "data_ptr", "addressof", "from_address")
)
_EXTENDED_ARG: Final = opcode.opmap["EXTENDED_ARG"]
_IMPORT: Final = opcode.opmap["IMPORT_NAME"]
IMPORTING: Final = {_IMPORT: 2 if sys.version_info >= (3, 15) else 0}  # the last bits tell whether it is lazy


def named(code: types.CodeType, instructions_of: Mapping[int, int] = _GLOBAL_OPS) -> Iterator[str]:
    """Yield the globals that a code object and those nested in it name, or what else some instructions name.

    Not simply `co_names`, which holds attributes as well: `row.data` would make a function depend on a
    variable `data`. The standard `dis` finds the same and takes ten times as long.
    """
    todo = [code]
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if type(c) is types.CodeType]
        if sys.version_info >= _UNKNOWN:  # rather too many names than too few
            yield from code.co_names
            continue
        extension, instructions = 0, code.co_code
        for position in range(0, len(instructions), 2):
            operation, argument = instructions[position], instructions[position + 1] | extension
            extension = argument << 8 if operation == _EXTENDED_ARG else 0
            if operation in instructions_of:
                yield code.co_names[argument >> instructions_of[operation]]


def rebound(codes: Iterable[types.CodeType]) -> frozenset[str]:
    """The variables of functions around it that code binds anew (`nonlocal`)."""
    inner = [one for one in with_nested(codes) if one.co_freevars and _STORE_DEREF in one.co_code[::2]]
    return frozenset(
        step.argval
        for one in inner
        for step in dis.get_instructions(one)
        if step.opname == "STORE_DEREF" and step.argval in one.co_freevars
    )


def _imports(code: types.CodeType) -> Iterator[str]:
    """The modules that a code object, and those nested in it, import."""
    todo = [code]
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if type(c) is types.CodeType]
        if _IMPORT in code.co_code[::2]:  # few functions do
            yield from named(code.replace(co_consts=()), IMPORTING)


def imported(code: types.CodeType) -> dict[str, tuple[str, str, int]]:
    """What imports in a function bind to its variables: the module, what is taken out of it, and how many dots."""
    found: dict[str, tuple[str, str, int]] = {}
    steps = [step for step in dis.get_instructions(code) if step.opcode not in _BETWEEN]
    module, taken, level, is_whole = "", "", 0, True
    for at, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            module, taken, level, is_whole = step.argval, "", steps[at - 2].argval, steps[at - 1].argval is None
        elif step.opname == "IMPORT_FROM":
            taken = "" if is_whole else step.argval  # `import a.b as c` goes through the parts
        elif step.opname.startswith("STORE_FAST") and (before := steps[at - 1].opname).startswith("IMPORT_"):
            name = step.argval if isinstance(step.argval, str) else step.argval[0]  # with what is loaded next
            top = is_whole and before == "IMPORT_NAME"
            found[name] = module.partition(".")[0] if top else module, taken, level
    return found


def looked_up(codes: Iterable[types.CodeType]) -> set[str]:
    """Globals that code uses as `name[key]`, or in `key in name`, and in no other way; none where that is not known."""
    found, otherwise = set[str](), set[str]()
    for code in codes:
        steps = _instructions(code)
        for at, (operation, argument) in enumerate(steps):
            if operation in _GLOBAL_OPS:
                (after, _), then = [*steps[at + 1 : at + 3], (0, 0), (0, 0)][:2]
                is_looked_up = after == _CONTAINS or (after in _KEYS and _gives_item(*then))
                (found if is_looked_up else otherwise).add(code.co_names[argument >> _GLOBAL_OPS[operation]])
    return found - otherwise


def keeps_argument(code: types.CodeType) -> bool:
    """Whether code puts an argument, as it is, into a global, or into an attribute of what a global means."""
    count, steps = code.co_argcount + code.co_kwonlyargcount, _instructions(code)
    for at, (operation, _) in enumerate(steps):
        before = at - 1
        if operation == _STORE_ATTR:  # `pendulum._WEEK_STARTS_AT = day`: the value, and then where it goes
            while steps[before][0] in _PART_OPS:
                before -= 1
            before -= 1 if steps[before][0] in _GLOBAL_OPS else at
        elif operation != _STORE_GLOBAL:
            continue
        loading, number = steps[before] if before >= 0 else (0, 0)
        if (loading in LOADING and number < count) or (loading in LOADING_TWO and (number & 15) < count):
            return True
    return False


def _instructions(code: types.CodeType) -> list[tuple[int, int]]:
    """The operations of a code object, each with its argument."""
    steps, extension = [], 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        steps.append((operation, argument | extension))
        extension = (argument | extension) << 8 if operation == _EXTENDED_ARG else 0
    return [step for step in steps if step[0] not in _BETWEEN]


def _gives_item(operation: int, argument: int) -> bool:
    return operation == _ITEM if _ITEM is not None else operation == _BINARY and argument == _OF_ITEM


def chains(code: types.CodeType) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The dotted names in a code object, from a variable on; each with whether its last attribute is set or deleted."""
    chain: list[str] = []
    extension, instructions = 0, code.co_code
    for position in range(0, len(instructions), 2):
        operation, argument = instructions[position], instructions[position + 1] | extension
        extension = argument << 8 if operation == _EXTENDED_ARG else 0
        if operation in _BETWEEN:
            continue
        if chain and operation in _PART_OPS:
            chain.append(code.co_names[argument >> _PART_OPS[operation]])
            continue
        if chain and operation in STORING_OPS:
            chain.append(code.co_names[argument])
        if chain:
            yield tuple(chain), operation in STORING_OPS
        chain = []
        if operation in _ROOT_OPS:
            names = code.co_names if operation in _NAMING_OPS else code.co_varnames
            number = argument & 15 if operation in LOADING_TWO else argument >> _ROOT_OPS[operation]
            chain = [names[number]] if number < len(names) else []


def _known(*names: str) -> frozenset[int]:
    """The instructions of these names that this Python has."""
    return frozenset(opcode.opmap[name] for name in names if name in opcode.opmap)


def _items(code: types.CodeType) -> Iterator[int]:
    """The arguments of operations with two operands: from Python 3.14 on `x[y]` is one."""
    return (one.arg for one in dis.get_instructions(code) if one.opname == "BINARY_OP" and one.arg is not None)


STORING_OPS: Final = {opcode.opmap[name]: 0 for name in ("STORE_ATTR", "DELETE_ATTR")}
_NAMING_OPS: Final = {**_GLOBAL_OPS, _IMPORT: 0}
LOADING: Final = _known("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW")
LOADING_TWO: Final = _known(  # the later one is told by the last four bits
    "LOAD_FAST_LOAD_FAST", "STORE_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"
)
_ROOT_OPS: Final = {**_NAMING_OPS, **dict.fromkeys(LOADING | LOADING_TWO, 0)}
_PART_OPS: Final = {
    opcode.opmap[name]: shift
    for name, shift in [("LOAD_METHOD", 0), ("LOAD_ATTR", 1 if sys.version_info >= (3, 12) else 0), ("IMPORT_FROM", 0)]
    if name in opcode.opmap and opcode.opmap[name] < 256
}
_STORE_GLOBAL: Final = opcode.opmap["STORE_GLOBAL"]
_STORE_DEREF: Final = opcode.opmap["STORE_DEREF"]
_STORE_ATTR: Final = opcode.opmap["STORE_ATTR"]
_CONTAINS: Final = opcode.opmap["CONTAINS_OP"]
_ITEM: Final = opcode.opmap.get("BINARY_SUBSCR")  # up to Python 3.13
_BINARY: Final = opcode.opmap["BINARY_OP"]
_OF_ITEM: Final = next(iter(_items(compile("x[y]", "", "eval"))), None)
_KEYS: Final = LOADING | _known("LOAD_CONST", "LOAD_DEREF", "LOAD_SMALL_INT")
_BETWEEN: Final = _known("CACHE", "EXTENDED_ARG", "NOP")
