"""Contents to opcodes: the top form of a checkpoint.

What is written is an ordinary pickle, ``operator.getitem((definitions, ambient, extras, value), 3)``, which any
Python reads without this package. `unpickling.read` sees all four parts. Knows no file.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import operator
import sys
import types
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final, Literal

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values import collector, generators
from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import Path, at, key_of
from ckpt_magic.values.pickles import constants
from ckpt_magic.values.pickles.arrays import View
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import CALL, LENT, Form, Later, Owned, Reduced, Token
from ckpt_magic.values.pickles.gathered import Gathered
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.pickler import ValuePickler
from ckpt_magic.values.pickles.placeholder import Placeholder
from ckpt_magic.values.pickles.postponing import Postponed
from ckpt_magic.values.pickles.references import by_reference
from ckpt_magic.values.pickles.tokens import is_of_atoms
from ckpt_magic.values.pickles.unchanging import Named
from ckpt_magic.values.proofs import Proofs
from ckpt_magic.values.sets import WAY, Way

_SMALL_GLOBAL: Final = 1 << 20  # bytes; a larger value that functions read is not kept for plain readers of a method


@dataclass(slots=True)
class Contents:
    """What a checkpoint holds.

    Attributes
    ----------
    kind
        A cell's value is a dict of names, a method's its return value.
    value
        The outputs.
    ambient
        State around the values: generators and the like.
    extras
        What plain readers do not see: the last expression's value, attributes of the instance, …
    joined
        When read: blocks and indexes of pandas, what counts them, and their places (`companions`).
    """

    kind: Literal["cell", "method"]
    value: Any
    ambient: Any = None
    extras: dict[str, Any] = field(default_factory=dict)
    joined: list[tuple[Any, Any, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """What `write` found out.

    Attributes
    ----------
    tokens
        The notebook definitions that were written under a token.
    modules
        Top-level packages, standard library aside, that the pickle imports from.
    needs
        Packages that any reader needs although they are not the values' own, e.g. ``cloudpickle``.
    hashes
        Whether objects in it keep their own hash, which a library took for them.
    """

    tokens: dict[Token, Any]
    modules: frozenset[str]
    needs: tuple[str, ...]
    hashes: bool = False


def write(
    contents: Contents,
    file: BinaryIO,
    *,
    namespace: dict[str, Any],
    makers: Makers | None = None,
    views: Iterable[View] = (),
    trees: Iterable[tuple[Any, tuple[Any, ...]]] = (),
    deep: Sequence[tuple[Any, tuple[Any, ...]]] = (),
    owned: Iterable[Path] = (),
    settings: Iterable[tuple[str, list[Any]]] = (),
    ways: Iterable[tuple[Any, Way]] = (),
    texts: Iterable[str] = (),
    held: Sequence[constants.Held] = (),
    numbers: Iterable[Named] = (),
    named: Iterable[Named] = (),
    originals: Iterable[Owned] = (),
    gathered: Gathered | None = None,
    proofs: Proofs | None = None,
    kept: Container[str] = (),
) -> Written:
    """Write `contents` as one pickle; buffers go in band, large ones as a `pickle.PickleBuffer` of their own.

    Parameters
    ----------
    contents
        What to write. Nothing in it is changed.
    file
        Open for writing bytes.
    namespace
        The namespace of the notebook or script. It is never written: functions get a dict of their own instead.
    makers
        Tells who made the definitions.
    views
        Plan for arrays that share memory.
    trees
        Values that are trees of which nothing else in `contents` holds a part, and what comes again in each
        (`trees.repeated`).
    deep
        Values whose objects lead from one to the next further than pickle goes, and the definitions that each reaches.
    owned
        Where libraries hold what is theirs: it is written as a way to get at it, wherever `contents` hold it.
    settings
        Lists of settings of matplotlib, with their keys: they are written as what the reader's settings hold, if that
        is equal.
    ways
        Sets that are written in their order, and how.
    texts
        Those that are interned, wherever `contents` hold them.
    held
        Where `contents` hold a nan or infinity of a library, or one of `numbers`.
    numbers
        Those that names mean.
    named
        Other values that cannot change and that names mean which are not written.
    originals
        Definitions of libraries in whose places something else is now: they are met by their places.
    gathered
        Where `file` asks for the bytes of scattered arrays; without it they are copied.
    proofs
        What is known of files that are written through maps.
    kept
        Names of it that mean what they meant before the step, and are there because others came to share with them.

    Raises
    ------
    NotPicklableError
        Something in `contents` cannot be saved; the file is then of no use.
    """
    with contextlib.closing(
        ValuePickler(file, namespace=namespace, makers=makers, views=tuple(views), gathered=gathered, proofs=proofs)
    ) as pickler:
        pickler.set_aside(originals)
        pickler.postponed = Postponed() if deep else None
        known = pickler.definitions
        known.by_name = contents.kind == "method"
        known.add_constants(numbers)
        is_cell = contents.kind == "cell"
        pickler.renewed = {name for name in contents.value if name not in kept} if is_cell else ()
        if makers is not None:
            makers.companions.saving(contents.value if is_cell else (), all_of_it=is_cell)
        try:
            with collector.off(), generators.kept():
                pickler.dump(_top_form(contents, pickler, owned, settings, ways, texts, held, named, trees, deep))
        except (NotPicklableError, MemoryError, OSError):
            raise
        except Exception as error:  # reducers of users and libraries raise anything
            raise NotPicklableError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if pickler.met_builtins and id(namespace) in pickler.memo.copy():  # only namespaces hold `builtins`, as a rule
            raise NotPicklableError("a container holds globals(), the whole namespace")
        if gathered is not None and not gathered.complete:
            raise NotPicklableError("the file did not ask for the bytes of an array")
        modules = frozenset(known.modules - sys.stdlib_module_names - {"__main__", "builtins"})
        return Written(dict(known.tokens), modules, tuple(sorted(known.needs)), pickler.met_hashes)


def _top_form(
    contents: Contents,
    pickler: ValuePickler,
    owned: Iterable[Path],
    settings: Iterable[tuple[str, list[Any]]],
    ways: Iterable[tuple[Any, Way]],
    texts: Iterable[str],
    held: Sequence[constants.Held],
    meant: Iterable[Named],
    trees: Iterable[tuple[Any, tuple[Any, ...]]],
    deep: Iterable[tuple[Any, tuple[Any, ...]]],
) -> Form:
    known, namespace, shell = pickler.definitions, pickler.namespace, pickler.definitions.shell
    items: Any = contents.value
    is_cell = contents.kind == "cell"
    if is_cell:
        value: Any = Form(CALL, operator.ior, shell, _outer(items, known))
    else:
        rest = Later(lambda _: _globals(known))
        value = Form(operator.getitem, (shell if items is namespace else items, rest), 0)
    extras = _outer(contents.extras, known)
    named = itertools.chain(
        _of_libraries(owned),
        _of_settings(pickler, settings),
        _of_sets(pickler, ways),
        _of_fixed(known, held),
        ((one.form, one.value) for one in meant),
    )
    lent = _lent(contents, shell) if is_cell else ()
    met = *_met_by_name(pickler, _of_texts(texts)), *_met_by_name(pickler, named)
    laid_out = ((definitions, Later(partial(_laid_out, pickler, value))) for value, definitions in deep)
    first = (shell, known.codes.sources, *met, *lent, *_of_trees(pickler, trees), *laid_out)
    parts = (first, contents.ambient, extras, value)
    after = tuple(Later(partial(_with_constants, pickler, one)) for one in held)
    return Form(operator.getitem, (*parts, after) if after else parts, 3)


def _lent(contents: Contents, shell: Form) -> Iterator[Form]:
    """What puts definitions, modules and constants where code looks them up, if there is some that is asked soon.

    A class of the notebook may have code that runs when its objects are read, before the names are bound: the hash of a
    key, for one. And an object of a library may look up names of the notebook when it is told its state, as a model of
    statsmodels does. It is lent nothing that it could change. The other names are there for their order, which a plain
    reader sees.
    """
    named = {name: value if _is_looked_up(value) else None for name, value in contents.value.items()}
    if any(map(_is_asked_soon, contents.value.values())):
        yield Form(CALL, LENT, shell, named)


def _is_asked_soon(value: Any) -> bool:
    kind = type(value)
    if issubclass(kind, type):
        return not by_reference(value)
    return type(getattr(kind, "__setstate__", None)) is types.FunctionType


def _is_looked_up(value: Any) -> bool:
    kind = type(value)  # never isinstance: it asks a placeholder for its class
    return issubclass(kind, type) or kind in (types.ModuleType, types.FunctionType) or is_of_atoms(value)


def _met_by_name(pickler: ValuePickler, named: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    """Forms that get objects, and one that lets the pickler believe it wrote the objects themselves.

    It asks no reducer about an exact dict or list, but all that it finds in its memo is written as "the same again".
    """
    forms = dict[int, tuple[Any, Any]]()
    for form, obj in named:
        forms[id(form)] = form, obj
        yield form
    if forms:
        yield Later(partial(_exchanged, pickler, forms))


def _of_texts(texts: Iterable[str]) -> Iterator[tuple[Form, Any]]:
    """What gets interned texts, with these."""
    return ((Form(sys.intern, text), text) for text in texts)


def _of_libraries(paths: Iterable[Path]) -> Iterator[tuple[Any, Any]]:
    """What gets objects that libraries own, with these."""
    for path in paths:
        form: Any = sys.modules[path[0]]
        for name in path[1:]:
            key = key_of(name)
            form = Form(getattr, form, name) if key is None else Form(operator.getitem, form, key)
        yield form, at(path)


def _of_settings(pickler: ValuePickler, settings: Iterable[tuple[str, list[Any]]]) -> Iterator[tuple[Form, Any]]:
    """The same for lists of settings, where those of the reader are equal."""
    for key, held in settings:
        yield Form(pickler.definitions.evaluated(_SETTING), key, [*held]), held


_SETTING: Final = """lambda key, held: (lambda now: now if repr(now) == repr(held) else held)(
    __import__('matplotlib').rcParams.get(key))"""


def _of_sets(pickler: ValuePickler, ways: Iterable[tuple[Any, Way]]) -> Iterator[tuple[Form, Any]]:
    """The same for sets, which are made by their ways: their elements are atoms, so nothing else is written there."""
    for one, way in ways:
        yield Form(pickler.definitions.evaluated(WAY), *way.parts), one


def _of_fixed(known: Definitions, held: Iterable[constants.Held]) -> Iterator[tuple[Any, Any]]:
    """The same for tuples and sets that hold such a number: they cannot be given it once they are there."""
    for row in held:
        for one in row.fixed:
            items = list(map(known.constant, one))
            yield tuple(items) if type(one) is tuple else Form(type(one), items), one  # a set would lose its order


def _with_constants(pickler: ValuePickler, held: constants.Held, _: Later) -> Reduced:
    """Put a number of a library where it was, in all of that which has been written."""
    written = {identity(one) for _, one in pickler.memo.copy().values()}
    known = pickler.definitions
    return known.evaluated(constants.PUT_BACK), (known.constant(held.constant), *held.among(written))


def _of_trees(pickler: ValuePickler, trees: Iterable[tuple[Any, tuple[Any, ...]]]) -> Iterator[Any]:
    """The trees, ahead of all that could hold them, each after what comes again in it.

    What the pickler remembers it writes as "the same again"; in its fast mode it remembers nothing new.
    """
    for value, repeated in trees:
        if type(value) not in (list, dict) or not all(map(pickler.writes_attributes, repeated)):
            continue
        yield repeated
        form = Later(partial(_filled, pickler, value))
        yield form
        yield Later(partial(_exchanged, pickler, {id(form): (form, value)}))


def _laid_out(pickler: ValuePickler, value: Any, _: Later) -> Reduced:
    """The value and what fills its objects, ahead of all that could hold them: from there on they are remembered."""
    return list, (), None, () if pickler.postponed is None else pickler.postponed.items(value)


def _filled(pickler: ValuePickler, value: Any, _: Later) -> Reduced:
    """Make an empty container and put in what the value holds, in the fast mode."""

    def start() -> Iterator[Any]:
        pickler.fast = True  # asked for the first item: the container itself is remembered
        yield from ()

    if type(value) is dict:
        return dict, (), None, None, itertools.chain(start(), value.items())
    return list, (), None, itertools.chain(start(), value)


def _exchanged(pickler: ValuePickler, forms: Mapping[int, tuple[Any, Any]], _: Later) -> Reduced:
    """Put objects in the place of their forms in the memory of the pickler, which has just written those."""
    pickler.fast = False
    memo = pickler.memo.copy()
    for ident, (_form, obj) in forms.items():
        place, _ = memo.pop(ident)
        if id(obj) in memo:  # a text, written for its own form; the pickler numbers by how much it remembers
            earlier = object()
            memo[id(earlier)] = memo[id(obj)][0], earlier
        memo[id(obj)] = place, obj
    pickler.memo = memo
    return bool, ()


def _outer(values: Mapping[str, Any], known: Definitions) -> dict[str, Any]:
    """The values with the shell for the namespace, and a way to the attributes of an object.

    The pickler asks no reducer about an exact dict or list, so these are met at the top level only.
    """
    has_dicts = any(type(value) is dict for value in values.values())
    attributes = {
        identity(object.__getattribute__(one, "__dict__")): one
        for one in (values.values() if has_dicts else ())
        if _has_attributes(one)
    }
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is known.namespace:
            value = known.shell
        elif type(value) is dict and identity(value) in attributes:  # `config = vars(args)`
            value = Form(getattr, attributes[identity(value)], "__dict__")
        elif type(value) is float:
            value = known.constant(value)
        result[name] = value
    return result


def _has_attributes(obj: Any) -> bool:
    """Whether `obj` is an instance whose attributes are an ordinary dict."""
    kind = type(obj)
    if kind is Placeholder or issubclass(kind, (type, types.ModuleType, types.FunctionType)):
        return False
    if issubclass(kind, partial) and partial.__reduce__(obj)[2][3] is None:
        return False  # one that is asked for attributes has some from then on, and is no plain one to `partial`
    found = (vars(cls)["__dict__"] for cls in kind.__mro__ if "__dict__" in vars(cls))
    return isinstance(next(found, None), types.GetSetDescriptorType | types.MemberDescriptorType)


def _globals(known: Definitions) -> Reduced:
    """The globals that the written functions read, for plain readers of a method's value; built after the value."""
    namespace, found = known.namespace, dict[str, Any]()
    todo: list[Any] = [f for f in known.functions if f.__globals__ is namespace]
    while todo:
        for name in _names_read(todo.pop()):
            if name in found or name not in namespace or not _is_small(namespace[name], namespace):
                continue
            found[name] = value = namespace[name]
            functions = vars(value).values() if isinstance(value, type) and not by_reference(value) else (value,)
            todo += [f for f in functions if type(f) is types.FunctionType and f.__globals__ is namespace]
    return CALL, (operator.ior, known.shell, _outer(found, known))


def _names_read(function: types.FunctionType) -> Iterator[str]:
    for code in with_nested([function.__code__]):
        yield from code.co_names


def _is_small(value: Any, namespace: dict[str, Any]) -> bool:
    """Whether a global can be written and is not large; what is not, a plain reader has to do without."""
    if value is namespace or by_reference(value):
        return True
    try:
        with contextlib.closing(ValuePickler(_Limit(_SMALL_GLOBAL), namespace=namespace)) as pickler:
            pickler.dump(value)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (too large, or whatever a reducer raises: it only is not written)
        return False
    return True


class _Limit(io.RawIOBase):
    """A file that takes up to a number of bytes, and keeps none."""

    def __init__(self, size: int) -> None:
        self.left = size

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self.left -= size
        if self.left < 0:
            raise OverflowError
        return size
