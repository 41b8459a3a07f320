"""Digests of values: what a value *is*, in a form that two looks at it can compare.

A `Look` is one pass of the C pickler over one value. It writes nothing: the stream is hashed, and on the way
every object and every array that the value reaches is noted, for `sharing`. `looking` makes several; `canonical` makes
the other kind of digest, for small values only.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import enum
import functools
import io
import itertools
import operator
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from time import perf_counter  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values import owned, reducing, trees
from ckpt_magic.values.entering import reachable
from ckpt_magic.values.marks import mark_of_times, marks_of_scalars, of_pandas, sorter
from ckpt_magic.values.memory import bounds, identity, is_writeable, layout, place_of
from ckpt_magic.values.pages import LARGE, Content, Contents, hash_at_once, new_hash
from ckpt_magic.values.pickles import (
    arrays,
    figures,
    instances,
    makers,
    memmaps,
    reducers,
    references,
    tensors,
    tokens,
    tracebacks,
)
from ckpt_magic.values.pickles.annotations import (
    annotate_of,
    annotated,
    annotation_texts,
    annotations_of,
    cells_of,
)
from ckpt_magic.values.pickles.arrays import ARRAY_PARTS, Arrays, View, array_of, copies_on_write, lent_by
from ckpt_magic.values.pickles.forms import PROTOCOL, Token
from ckpt_magic.values.pickles.gathered import Gathered, arrow_array, contiguous, has_buffer, is_scattered, pieces
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.parts import (
    DERIVED_BY_PYDANTIC,
    beside_digest,
    globals_of,
    is_taken_from,
    told_by,
)
from ckpt_magic.values.pickles.pickler import ValuePickler
from ckpt_magic.values.pickles.postponing import Postponed, may_meet_empty
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.proofs import Proofs
from ckpt_magic.values.seen import ARROW, POLARS, Objects, Seen, Span

MANY = 10_000  # references, and
LONG = 0.005  # seconds; also where it takes so long for other reasons, as a frame of many columns of text does
MUCH = 1 << 25  # bytes outside of buffers; a value with more takes longer to look at than to find out who holds it


class Look(ValuePickler):
    """Hashing passes over values; see `looking.look`.

    Parameters
    ----------
    namespace
        The notebook's.
    known
        Gives the contents of large buffers.
    makers
        Tells who made the definitions.
    """

    def __init__(self, namespace: dict[str, Any], known: Contents | None = None, makers: Makers | None = None) -> None:
        self._ident = identity(namespace)
        self._known = known
        self._contents: list[Content] = []
        self._held: list[Any] = []
        self._texts: list[str] = []
        self._flat = pickle.Pickler(self, PROTOCOL)  # writes texts one after another, equal ones as often as they come
        self._flat.fast = True
        # The pickler asks for the persistent id of each object, also inside containers; None means "no id".
        self._scalars: dict[int, int] = {}
        marks = {
            **marks_of_scalars(),
            **dict.fromkeys(of_pandas("pandas.core.dtypes.base", "ExtensionDtype"), self._mark_of_dtype),
        }
        marks |= dict.fromkeys(of_pandas("pandas.core.arrays.base", "ExtensionArray"), self._mark_of_extension)
        numpy: Any = sys.modules.get("numpy")
        self._kind_of_arrays = getattr(numpy, "ndarray", None)
        if hasattr(numpy, "dtype"):
            marks |= {numpy.ndarray: self._mark_of_array}
            marks |= dict.fromkeys(map(type, map(numpy.dtype, ("M8[s]", "m8[s]"))), mark_of_times)
        marks |= dict.fromkeys(tensors.plain_kinds(), self._mark_of_tensor)
        if not sys.modules.keys().isdisjoint(_OVER_BYTES):
            marks[bytearray] = self._note_bytes
        self._tensors: dict[int, int] = {}
        self._numbers: dict[int, int] = {}  # by `id`, the arrays of numbers that are told by their bytes
        self._is_alone = True  # nothing was met before this value, and nobody asks what was met of it
        self.persistent_id = sorter(self._held, self._texts, self._scalars, marks)  # type: ignore[method-assign,arg-type]
        self._paths: Mapping[int, owned.Path] = {}  # by `id`, what is met by its name and not entered
        self._other: Look | None = None  # that looks beside such paths
        self._beside: dict[owned.Path, str | None] = {}
        self._hash = new_hash()
        self._written = 0
        self._spans: list[Span] = []
        self._functions: list[Any] = []
        self._forms: dict[int, tuple[Any, Any, int]] = {}
        self._makers = makers
        self._made: list[int] = []
        self._nameless: Any = None
        self._hiding: list[tuple[Any, tuple[Any, ...]]] = []  # objects that are written without what they hold; as what
        self._guards: dict[int, int] = {}
        self._refs: dict[int, int] = {}
        self._guarding = copies_on_write()
        self._inner: _LookAtPart | None = None
        self._parts: dict[tuple[Any, ...], tuple[Seen, Any]] = {}
        self._again: list[Any] = []
        proofs = None if known is None else known.proofs
        super().__init__(self, namespace=namespace, buffer_callback=self._buffer, proofs=proofs)

    _is_of_part = False

    def close(self) -> None:
        """Let go of all that was met, also in parts of values."""
        for one in (self._inner, self._other):
            if one is not None:
                one.close()
        super().close()

    def look(self, value: Any, memo: pickle.Pickler | None = None, *, follows: bool = False) -> Seen:
        """Look at one value; gives `memo` the memory of what was written.

        The value follows another one where that memory was lent to this look.
        """
        if type(value) in trees.KINDS and not self._paths:
            if (seen := self._look_at_small(value)) is not None:
                return seen
            tree = trees.look(value, self._is_plain)
            if tree is not None:
                seen = _of_tree(value, tree, self.look([*tree.classes]) if tree.classes else None)
                if self._ident not in seen.met:
                    return seen
        elif type(value) is self._kind_of_arrays and (small := self._look_at_small_array(value)) is not None:
            return small
        held, self._written, self._nameless = self._held, 0, None
        self._is_alone = memo is None and not follows and not self._paths and not self._is_of_part
        began = perf_counter()
        digest = self._hash = new_hash()
        try:
            self.dump(value)
            self._write_texts()
        except (KeyboardInterrupt, SystemExit):  # of who wants to end this
            raise
        except BaseException as error:  # noqa: BLE001  # __reduce__ and __getstate__ are users' code: they raise anything
            seen = Seen(value, None, reason(error))
            seen.is_deep = isinstance(error, RecursionError) and self.postponed is None and not self._paths
            if seen.is_deep:  # who asked looks at it object by object
                return seen
            self._note_beside(set(map(identity, held)) if self._paths else frozenset[int]())
            held.extend(reachable(value, self.namespace))
            self._note_graphs(held)
        else:
            seen = Seen(value, digest.hexdigest(), contents=tuple(self._contents))
            if self._nameless is not None:
                self._refuse_nameless(seen)
        met = [one for one in held if type(one) not in ATOMS]
        seen.met = dict(zip(map(identity, met), met, strict=True))
        for ident in self._owned.keys() & seen.met.keys():  # what belongs to the process ties nothing
            del seen.met[ident]
        if self._paths and seen.is_comparable:
            self._note_beside(seen.met.keys())
        if self._ident in seen.met and value is not self.namespace:
            seen.refuse("it holds globals(), the whole namespace")
            self._spans, self._functions, self._made = [], [], []  # they are other names' as well
            met = [one for one in [value, *reachable(value, self.namespace)] if type(one) not in ATOMS]
            seen.met = dict(zip(map(identity, met), met, strict=True))
        many = len(held) + len(self._texts) > MANY or perf_counter() - began > LONG
        if many or self._written > MUCH or seen.contents or self._is_of_part:
            seen.held = met if not self._beside else [one for one in met if identity(one) not in self._paths]
        is_plain = len(met) < _FEW and not many and PLAIN.issuperset(map(type, held))
        self._texts.clear()
        if memo is not None:
            memo.memo = self.memo
        if self._hiding:
            self._note_hidden(seen)
        self._scalars.clear()
        self._tensors.clear()
        self._numbers.clear()
        held.clear()  # what the pickler still knows would live as long as it does, until a collection finds it
        self.clear_memo()
        noted = self._spans or self._functions or self._contents or self._guards or self._arrays.inner
        if noted or self._paths:
            self._hand_over(seen)
        else:
            seen.is_small = is_plain and seen.is_comparable and not seen.held and _are_unshared(met)
        if self._parts:
            seen.take_in([part for part, _ in self._parts.values()], self._again)
            self._parts.clear()
            self._again.clear()
        if len(seen.spans) > 1:
            seen.extend_by_memory()
        return seen

    def _note_hidden(self, seen: Seen) -> None:
        """Note what the objects hold that are written without it; and whether they would come back as they are."""
        for one, written in self._hiding:
            inside = reachable(one, self.namespace)
            if seen.is_comparable and (why := reducing.left_to_chance([one, *inside])):
                seen.refuse(why)
            shown = set(map(identity, (one, *written)))
            seen.hidden |= {identity(part): part for part in inside if identity(part) not in shown}
        self._hiding.clear()

    def _look_at_small(self, value: Any) -> Seen | None:
        """Look at what is told by its content alone (`trees.small`), without any memory of what was met."""
        digest = self._hash = new_hash(b"small")
        self._written = 0
        try:
            parts = trees.small(value)
            if parts is None:
                return None
            self._flat.dump(value)
        except Exception:  # noqa: BLE001  # a thread changes it meanwhile, in whatever way
            return None
        containers, items = parts
        met = dict(zip(map(identity, containers), containers, strict=True))
        if self._ident in met:
            return None
        seen = Seen(value, digest.hexdigest())
        seen.met = met
        if len(items) > MANY or self._written > MUCH:
            seen.held = containers
        elif PLAIN.issuperset(map(type, items)):
            items.clear()  # they hold the containers as well
            seen.is_small = _are_unshared(containers)
        return seen

    def _look_at_small_array(self, array: Any) -> Seen | None:
        """Look at numbers that have their memory for themselves: there is nothing else to be met."""
        if not (_are_small_numbers(array) and array.flags.owndata and array.flags.c_contiguous):
            return None
        if self._paths or self._is_of_part:
            return None
        digest = new_hash(repr((array.dtype.str, array.shape, is_writeable(array))).encode())
        digest.update(array)
        seen = Seen(array, digest.hexdigest())
        seen.met = {identity(array): array}
        self._note_array(array)
        seen.spans, self._spans = self._spans, []
        return seen

    def _is_plain(self, kind: type) -> bool:
        """Whether instances are nothing but their attributes, and their class is told by itself."""
        if not instances.has_attributes_alone(kind) or self._reducer_for(kind) is not None:
            return False
        return references.by_reference(kind) or self._token(kind) is not None

    def _refuse_nameless(self, seen: Seen) -> None:
        try:
            reducers.ufunc(self._nameless)
        except NotPicklableError as error:
            seen.refuse(reason(error))

    def _hand_over(self, seen: Seen) -> None:
        """Give what was noted on the way to the look, and forget it: ids mean nothing once a value is let go of."""
        seen.guarded = frozenset(self._guards)
        seen.spans, seen.functions, seen.made = self._spans, self._functions, tuple(self._made)
        seen.owned = self._beside
        if self._paths and not self._paths.keys().isdisjoint(
            seen.met
        ):  # a value that cannot be pickled may reach it as well
            seen.met = {ident: one for ident, one in seen.met.items() if ident not in self._paths}
        self._spans, self._functions, self._contents, self._made, self._beside = [], [], [], [], {}
        self._refs.clear()
        self._guards.clear()
        self._arrays.clear()

    def look_beside(self, paths: Mapping[int, owned.Path], value: Any, memo: pickle.Pickler | None = None) -> Seen:
        """Look at one value, but do not enter what is at `paths`, by `id`."""
        if self._other is None:
            self._other = type(self)(self.namespace, self._known, self._makers)
        other = self._other
        other._paths = paths
        # the pickler believes that it wrote them before, and says only which of them it met
        objects = map(owned.at, sorted(paths.values()))
        other.memo = {id(obj): (_FIRST_PLACE + at, obj) for at, obj in enumerate(objects)}
        seen = other.look(value, memo)
        if not seen.is_comparable:  # where it stopped, nobody knows
            other.close()
            self._other = None
        return seen

    def _note_beside(self, met: Set[int]) -> None:
        """Note what was met by its name; the order in which that happened is in the stream."""
        self._beside = dict.fromkeys(sorted(map(self._paths.__getitem__, self._paths.keys() & met)), "")

    def write(self, data: Any) -> int:
        """Be the file of the pickler."""
        self._hash.update(data)
        self._written += len(data)
        return len(data)

    def _write_texts(self) -> None:
        """Write all texts that were met, in order; which of equal ones are one object differs between kernels."""
        texts: list[Any] = self._texts
        if not texts:
            return
        if sum(map(len, texts)) > trees.most_text(len(texts)):  # one that is met many times is written once
            places = {text: at for at, text in enumerate(dict.fromkeys(texts))}
            texts = [*places, *map(places.__getitem__, texts)]
        self._flat.dump(texts)

    def _known_reducers(self) -> dict[type, Callable[[Any], Any] | None]:
        """Reduce as for a file, but say of definitions and code only what is equal in every kernel."""
        special: dict[type, Callable[[Any], Any] | None] = {
            types.FunctionType: self._function,
            types.CodeType: self._code,
            _Code: self._code_of_function,
            types.TracebackType: _traceback,
            types.CellType: self._cell,
            dataclasses.Field: None,
        }
        usual = super()._known_reducers()
        special[functools.partial] = reducing.partial
        special[types.MethodType] = _method
        for kind in (io.BytesIO, io.StringIO):
            # their `__dict__` is made when first asked for, by pickle too, as at each later look
            special[kind] = self._noting(vars, usual.get(kind))
        return usual | special

    def _reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        usual = super()._reducer_for(kind)
        if issubclass(kind, type):
            return self._class
        if usual is reducers.ufunc:
            return self._ufunc
        if usual is arrays.dtype:
            return _dtype
        if kind.__name__ == "UntypedStorage" and kind.__module__ == "torch.storage":
            return self._storage
        for module, name, note in _MEMORY:
            library = sys.modules.get(module)
            if library is not None and issubclass(kind, getattr(library, name, ())):
                noting = self._noting(getattr(self, note), usual)
                if name == "ndarray" and kind is library.ndarray:
                    return functools.partial(self._array, noting)
                return functools.partial(self._index, noting) if usual == self._arrays.index else noting
        if usual is None and references.library_of(kind) == "pandas" and not reducing.keeps_selection(kind):
            return reducing.without_caches
        if issubclass(kind, getattr(sys.modules.get("numba.core.serialize"), "ReduceMixin", ())):
            return _compiled_by_numba
        if (of_figure := figures.reducer(kind, usual, self._held.append)) is not None:
            return of_figure
        if usual is arrow_array:
            return reducing.without_full_validity
        if instances.may_hide(kind):
            return functools.partial(self._without_parts, usual)
        return functools.partial(reducing.with_left_out, usual) if instances.may_leave_out(kind) else usual

    def _without_parts(self, usual: Callable[[Any], Any] | None, obj: Any) -> Any:
        """Note objects that are written as bytes: what they have in common with others is lost."""
        reduced = reducing.reduction(usual, obj)
        if not vars(obj) or not reducing.is_of_bytes(reduced):
            return reduced
        self._hiding.append((obj, reduced[1]))
        return reducing.without_times(reduced)

    def _reducer_for_instances(self, kind: type) -> Callable[[Any], Any] | None:
        """Look at attributes as they are: who else holds their dict is seen by the dict."""
        return reducing.with_all_attributes if instances.is_written_by_attributes(kind) else None

    def _noting(self, note: Callable[[Any], object], usual: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        def reduce(obj: Any) -> Any:
            note(obj)
            return NotImplemented if usual is None else usual(obj)

        return reduce

    def _owned_object(self, obj: Any) -> Any:
        """As for a file, but with a dict of its own: values that hold one object would all have that in common."""
        reduced = super()._owned_object(obj)
        if identity(obj) not in self._owned:
            return reduced
        return reduced[0], tuple(dict(part) if type(part) is dict else part for part in reduced[1])

    def _builtin(self, function: Any) -> Any:
        """Tell a compiled function by its name, also where something else is now; the file says whether it is found."""
        if issubclass(type(function.__self__), types.ModuleType) and not references.importable(function):
            return _Form, ("builtin", function.__self__.__name__, function.__qualname__)
        return super()._builtin(function)

    def _ufunc(self, function: Any) -> Any:
        """Tell a function of numpy by its name.

        One that no module has is refused at the end: what has it may turn out to be a library's.
        """
        if references.is_made_of_python(function):
            return reducers.ufunc(function)
        home = references.home_of(function)
        if not home:
            self._nameless = function
        return _Form, ("ufunc", home, function.__name__, *function.types)

    # definitions

    def _class(self, cls: type) -> Any:
        """Write a class as its token, or with all its attributes where it holds mutable state."""
        if references.by_reference(cls):
            return self.definitions.klass(cls)
        if not references.library_of(cls):
            return references.without_module(cls)
        self._functions.append(cls)
        form = self._plain_form("class", cls)
        if form is not None:
            return form
        kept = not isinstance(cls, enum.EnumType)  # the order; a restored one has first what `enum` gives it
        attributes = {
            key: told_by(cls) if key == "__doc__" else value
            for key, value in sorted(vars(cls).items(), key=_restored_place if kept else operator.itemgetter(0))
            if key not in _NOT_OF_THE_BODY
            and not isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
        }
        for name, value in attributes.items():
            if is_taken_from(cls, value):
                raise NotPicklableError(f"the class {cls.__qualname__}, of which `{name}` is read by asking it")
        if isinstance(cls, abc.ABCMeta):
            attributes[""] = reducing.registered(cls)
        if isinstance(cls, enum.EnumType):  # members are met by their names
            attributes["members"] = [
                [(name, vars(member)[name]) for name in sorted(vars(member)) if name != "__objclass__"]
                for member in cls._member_map_.values()
            ]
        made_by = () if references.by_reference(type(cls)) else (type(cls),)  # a metaclass of the notebook may change
        # the attributes are state, written after the class is memoized: they may refer back to it
        return _Form, ("class", repr(tokens.names_of(cls)), cls.__bases__, *made_by), (None, attributes)

    def _plain_form(self, kind: str, obj: Any) -> Any:
        """The token of a definition that holds nothing mutable; found once per look at a namespace."""
        key = identity(obj)
        if key not in self._forms:
            form, serial = None, 0
            token = self._token(obj)
            if token is not None:
                registered = reducing.registered(obj) if isinstance(obj, abc.ABCMeta) else ()
                serial = 0 if self._makers is None else self._makers.serial(obj)
                form = _Form, (kind, token, registered, *_beside(obj))
            self._forms[key] = obj, form, serial  # held: its id is the key
        _, form, serial = self._forms[key]
        if form is not None:
            self._made.append(serial)
        return form

    def _token(self, obj: Any) -> Token | None:
        if self._makers is not None:
            return self._makers.token_in_look(obj)
        plain = tokens.is_plain_definition(obj, self.namespace)
        return tokens.definition_token(obj, self.namespace) if plain else None

    def _function(self, function: types.FunctionType) -> Any:
        if references.by_reference(function):
            return self.definitions.function(function)
        self._functions.append(function)
        form = self._plain_form("function", function)
        if form is not None:
            return form
        cls = makers.method_of(function, self.namespace, self._makers)
        if cls is not None:
            return _Form, ("method", cls, repr(function.__qualname__))
        references.refuse_builtins(function)
        self._made.append(function.__code__.co_firstlineno)  # an equal one that another cell made stands elsewhere
        names = function.__name__, function.__module__, function.__doc__
        defaults = function.__defaults__  # one tuple of the code, for all that were made of it here
        state = {
            "code": _Code(function.__code__),
            "defaults": (*defaults,) if defaults and _is_of_atoms(defaults) else defaults,
            "kwdefaults": function.__kwdefaults__,
            "closure": cells_of(function),
            "attributes": vars(function),
            "names": repr(names) if _is_of_atoms(names) else names,
            "annotations": repr(annotation_texts(told := annotations_of(function))),
            "annotated": tuple(annotated(told)),
        }
        if (annotate := annotate_of(function)) is not None:
            state["annotating"] = _Code(annotate.__code__), cells_of(annotate)
        if not self._is_known_globals(function.__globals__):
            state["globals"] = self._space(function)
        return _Form, ("function", repr(function.__qualname__)), (None, state)

    def _is_known_globals(self, space: dict[str, Any]) -> bool:
        """Whether `space` belongs to the notebook or to a module, and so is not part of the function."""
        if space is self.namespace:
            return True
        module = sys.modules.get(space.get("__name__", ""))
        return module is not None and vars(module) is space

    def _space(self, function: types.FunctionType) -> dict[str, Any]:
        """Globals that are part of functions: the same dict for all functions that have it."""
        space = function.__globals__
        if identity(space) not in self._forms:
            self._forms[identity(space)] = space, globals_of(function), 0
        copy: dict[str, Any] = self._forms[identity(space)][1]
        return copy

    def _code(self, code: types.CodeType) -> Any:
        """Look at code by its digest: which of its texts are one object differs where it was compiled and restored."""
        key = identity(code)
        if key not in self._forms:
            self._forms[key] = code, (_Form, ("code", tokens.code_digest(code))), 0
        return self._forms[key][1]

    def _code_of_function(self, one: _Code) -> Any:
        """Functions that different steps made of one code have a code each where these are restored."""
        form, (kind, digest) = self._code(one.code)
        return form, (kind, bytes(bytearray(digest)))

    def _cell(self, cell: types.CellType) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:
            return _Form, ("empty cell",)
        return _Form, ("cell",), (None, {"content": content})

    # memory

    def _made_arrays(self, views: Iterable[View], gathered: Gathered | None, proofs: Proofs | None) -> Arrays:
        return _ArraysAsTheyAre(self.definitions, views, proofs=proofs)

    def _note_array(self, array: Any) -> None:
        if array.size and identity(array) not in self._arrays.inner:
            low, high = bounds(array)
            refs = self._refs.get(identity(array), 0) if is_writeable(array) else 0
            self._spans.append(Span(low, high, array, self._guards.get(identity(array), 0), refs=refs))

    def _array(self, usual: Callable[[Any], Any], array: Any) -> Any:
        """Say of an array what lies in its fields: numpy leaves out what is between them when it copies.

        A restore leaves it out as well. Not of a large one, whose bytes are not copied, nor of one over memory that
        somebody else has, which is written with it.
        """
        dtype = array.dtype
        if not arrays.has_gaps(dtype) or dtype.hasobject or array.nbytes >= LARGE:
            return usual(array)
        if arrays.lies_elsewhere(array) or memmaps.root(array) is not None:
            return usual(array)
        self._note_array(array)
        flags = array.flags
        told = array.shape, flags.c_contiguous, flags.f_contiguous, flags.writeable, array.base is None
        return _Form, ("fields", dtype, told, arrays.bytes_of_fields(array))

    def _note_part(self, part: Any) -> None:
        array = array_of(part)
        if array is not None:
            self._note_array(array)

    def _note_blocks(self, manager: Any) -> None:
        """Remember the arrays that pandas guards by copy-on-write: they come to the pickler next."""
        if self._guarding:
            for block in manager.blocks:
                self._note_companion(block)
                self._guard(block.values, identity(manager), identity(block.refs))

    def _note_frame(self, frame: Any) -> None:
        self._guards[identity(frame._metadata)] = identity(frame)  # a list that all frames have in common

    def _note_companion(self, one: Any) -> None:
        if self._makers is not None and (serial := self._makers.companions.serial(one)) is not None:
            self._made.append(serial)

    def _note_index(self, index: Any) -> None:
        if self._guarding:
            self._note_companion(index)
        if not hasattr(index, "_range"):  # a range of millions would make an array of them, and keep it
            self._guard(getattr(index, "_data", None), identity(index))
        for codes in getattr(index, "codes", ()) if hasattr(index, "levels") else ():
            self._guard(codes, identity(index))

    def _index(self, usual: Callable[[Any], Any], index: Any) -> Any:
        """Look at an index by itself: those of frames that were made from one another have parts in common.

        Nobody can change these, and after a restore they are not the same: what else holds them is none of the value's.
        """
        if self._paths or hasattr(index, "_range"):
            return usual(index)
        parts = [(name, one) for name, one in vars(index).items() if name not in _NOTED_BY_INDEX]
        key = (type(index), *((name, identity(one)) for name, one in parts))  # views of one index have the same
        rest = self._apart(key, index, parts)
        return usual(index) if rest is None else (_Form, ("index", rest))

    def _apart(self, key: tuple[Any, ...], value: Any, parts: Sequence[tuple[str, Any]] = ()) -> str | None:
        """Look at a part of the value as if nothing else held what it consists of; what is equal by `key` once."""
        if key not in self._parts:
            if self._inner is None:
                self._inner = _LookAtPart(self.namespace, self._known, self._makers)
            if identity(value) in self._guards:
                self._inner._guard(value, self._guards[identity(value)], self._refs.get(identity(value), 0))
            seen = self._inner.look(value)
            if not seen.is_comparable:
                return None
            self._parts[key] = seen, (value, parts)  # held: their ids are the key
        else:
            self._again += [one for _, one in parts if type(one) not in ATOMS]
        return self._parts[key][0].rest

    def _mark_of_extension(self, array: Any) -> bytes | None:
        """Tell an array of an extension type that pandas holds for itself; see `_mark_of_array`."""
        if identity(array) not in self._guards or self._paths:
            return None
        rest = self._apart((identity(array),), array)
        return None if rest is None else f"array {rest}".encode()

    def _mark_of_dtype(self, dtype: Any) -> bytes | None:
        """Tell what a column holds by what that is: columns that were made from one another have it in common."""
        if not hasattr(dtype, "categories"):
            zone = type(getattr(dtype, "tz", None))
            return f"{type(dtype).__name__} {dtype!r} {getattr(dtype, 'storage', '')} {zone}".encode()
        form = None if dtype.categories is None else self._index(lambda _: None, dtype.categories)
        return None if form is None else repr((dtype.ordered, form[1])).encode()

    def _mark_of_array(self, array: Any) -> bytes | None:
        """Tell an array that pandas holds for itself by what is in it.

        Columns that were made from one another may have one such object; after a restore they only have one memory.
        """
        dtype, flags = array.dtype, array.flags
        if identity(array) not in self._guards:
            return self._mark_of_numbers(array) if self._is_alone else None
        if dtype.kind not in "biufcmM" or not flags.forc:
            return None
        if dtype.kind not in "mM":
            self._buffer(pickle.PickleBuffer(array))
        elif array.nbytes < LARGE:
            self._hash.update(new_hash(array.tobytes("A")).digest())
        else:
            return None
        self._note_array(array)
        return repr((dtype.str, array.shape, flags.c_contiguous, flags.f_contiguous, flags.writeable)).encode()

    def _mark_of_numbers(self, array: Any) -> bytes | None:
        """Tell an array of numbers by them and by where it was met, as the elements of a model have thousands."""
        known = self._numbers.get(identity(array))
        if known is not None:
            return b"array %d" % known
        if not (_are_small_numbers(array) and array.flags.forc) or arrays.lies_elsewhere(array):
            return None
        self._numbers[identity(array)] = len(self._numbers)
        self._note_array(array)
        digest = hash_at_once(pickle.PickleBuffer(array).raw())
        return f"{array.dtype.char} {array.shape} {layout(array)} {digest}".encode()

    def _guard(self, values: Any, guard: int, refs: int = 0) -> None:
        self._guards[identity(values)], self._refs[identity(values)] = guard, refs
        for owner, parts in ((values, ARRAY_PARTS), (getattr(values, "dtype", None), ("categories",))):
            for part in parts:
                inner = getattr(owner, part, None)
                if inner is not None:
                    self._guards[identity(inner)], self._refs[identity(inner)] = guard, refs

    def _note_arrow(self, buffer: Any) -> None:
        """Arrow data lies over the memory of the arrays that it was made from, and sees what is written there."""
        if buffer.size and buffer.is_cpu:
            array = sys.modules["numpy"].frombuffer(buffer, dtype="u1")
            self._spans.append(Span(buffer.address, buffer.address + buffer.size, array, ARROW))

    def _note_bytes(self, buffer: Any) -> None:
        """Libraries that do not say what their data lie over may have made them over this."""
        numpy = sys.modules.get("numpy")  # which polars, for one, can do without
        if len(buffer) and numpy is not None and not sys.modules.keys().isdisjoint(_OVER_BYTES):
            array = numpy.frombuffer(buffer, dtype="u1")
            low, high = bounds(array)
            self._spans.append(Span(low, high, array, 0))

    def _note_polars(self, data: Any) -> None:
        """As data of Arrow, see `_note_arrow`."""
        for column in data.get_columns() if hasattr(data, "get_columns") else [data]:
            for piece in lent_by(column):
                low, high = bounds(piece)
                self._spans.append(Span(low, high, piece, POLARS))

    def _mark_of_tensor(self, tensor: Any) -> bytes | None:
        """Tell a tensor by what it is, and by where it and its memory were met: asking torch for it takes long."""
        known = self._tensors.get(identity(tensor))
        if known is not None:
            return b"tensor %d" % known
        told = tensors.plainly(tensor)
        if told is None:
            return None
        self._tensors[identity(tensor)] = len(self._tensors)
        storage, *rest = told
        self._held.append(storage)
        home, memory = self._met_memory(storage)
        if memory is not None:
            self._buffer(pickle.PickleBuffer(memory))
        gradient = None
        if tensor.grad is not None:
            self._held.append(tensor.grad)
            gradient = self._mark_of_tensor(tensor.grad)
        return repr((home, *rest, gradient)).encode()

    def _met_memory(self, storage: Any) -> tuple[int, Any]:
        """The number of the memory of tensors, and when it is met first an array over it, if there is any."""
        known = self._tensors.get(storage._cdata)
        if known is not None:
            return known, None
        self._tensors[storage._cdata] = number = len(self._tensors)
        memory = tensors.memory_of(storage)
        if memory is not None:
            low = storage.data_ptr()
            self._spans.append(Span(low, low + len(memory), memory, 0, storage))
        return number, memory

    def _storage(self, storage: Any) -> Any:
        """Look at the memory of tensors."""
        number, memory = self._met_memory(storage)
        return _Form, ("storage", number, storage.is_shared(), None if memory is None else pickle.PickleBuffer(memory))

    def _note_graphs(self, held: list[Any]) -> None:
        """Note what tensors share that cannot be saved because they know how they were computed."""
        kind = getattr(sys.modules.get("torch"), "Tensor", ())
        for tensor in [one for one in held if issubclass(type(one), kind) and one.grad_fn is not None]:
            storages, objects = tensors.behind(tensor)
            for storage in storages:
                with contextlib.suppress(NotPicklableError):
                    self._met_memory(storage)
            held += objects
            for kept in [one for one in objects if type(one) is dict]:
                held += reachable(kept, self.namespace)

    def _buffer(self, buffer: Any) -> bool:
        """Hash a buffer aside from the stream; a large one is read only when its digest is needed."""
        with buffer.raw() as view:
            if view.nbytes < LARGE:
                self._hash.update(new_hash(view).digest())
                return False
        if self._known is None:
            content = Content(place_of(buffer), buffer)
            content.digest()
        else:
            content = self._known.content(buffer)
        self._contents.append(content)
        return False


class LookLaidOut(Look):
    """Looks at values whose objects lead from one to the next further than pickle goes."""

    ahead: Sequence[Any] = ()
    """Definitions that the value reaches, as a look has found that met them on the way."""

    def dump(self, obj: Any) -> None:
        self.postponed = Postponed()
        for one in self.ahead:
            super().dump(one)
        for state in self.postponed.states(functools.partial(super().dump, obj)):
            pickle.Pickler.dump(self, state)
        kinds = set(map(type, self._held))
        if not may_meet_empty(kinds):
            raise RecursionError("its objects lead from one to the next too far")


class _LookAtPart(Look):
    """Looks at an index or an array of pandas with all that it consists of."""

    _is_of_part = True

    def _index(self, usual: Callable[[Any], Any], index: Any) -> Any:
        return usual(index)

    def _mark_of_extension(self, array: Any) -> bytes | None:
        return None


class LookInside(Look):
    """Looks at what libraries own, which is not written."""

    def _reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        """Leave caches of libraries aside: a restored step did not fill them, and what is not there is made anew."""
        usual = super()._reducer_for(kind)
        if issubclass(kind, type) or not references.is_of_library(kind):
            return usual
        return _cache if kind.__name__.endswith("Cache") else functools.partial(reducing.with_no_caches, usual)

    def _refuse_nameless(self, seen: Seen) -> None:
        """Nothing needs a name that is not written."""


def _cache(cache: Any) -> Any:
    return _Form, ("cache", type(cache).__module__, type(cache).__qualname__)


def _of_tree(value: Any, tree: trees.Tree, classes: Seen | None) -> Seen:
    seen = Seen(value, tree.digest)
    seen.tree = len(tree.containers)
    if classes is None:
        seen.met = Objects(tree.containers, tree.ordered)
    else:
        more = list(classes.met.values())
        seen.met = Objects([*tree.containers, *more], sorted(itertools.chain(tree.ordered, map(identity, more))))
        seen.functions, seen.made = classes.functions, classes.made
        seen.extend(classes.digest)
    if tree.references > MANY or tree.size > MUCH:
        seen.held = list(tree.containers)
    return seen


class _ArraysAsTheyAre(Arrays):
    """Looks at the arrays themselves: what would be written in their place is none of the value's."""

    def whole_array(self, array: Any) -> Any:
        is_fixed = not is_writeable(array)
        is_told = not is_fixed or not array.size or (array.flags.forc and has_buffer(array))  # else numpy leaves it out
        if not is_scattered(array) and is_told:
            return contiguous(array) if array.nbytes >= LARGE else NotImplemented
        digest = new_hash()
        for piece in pieces(array):
            digest.update(piece)
        return _Form, ("scattered", array.shape, array.dtype, digest.digest(), *(("read-only",) if is_fixed else ()))

    def elements(self, array: Any) -> Any:
        return NotImplemented

    def block(self, block: Any) -> Any:
        made, (values, place, *args), *rest = super().block(block)
        if type(place) is slice:  # blocks that were made from one another may have it in common
            place = slice(place.start, place.stop, place.step)
        return made, (values, place, *args), *rest

    def joining(self, one: Any, way: str, *state: Any) -> tuple[Any, ...]:
        return ()


_FIRST_PLACE = 1 << 31  # in the memory of a pickler: none that writes to this is used for so many objects
_FEW = 100  # objects of a small value
PLAIN = frozenset({int, float, complex, str, bool, type(None), type(...), list, tuple, dict})
_NOT_OF_THE_BODY = DERIVED_BY_PYDANTIC | frozenset(  # a schema of pydantic has the address of its class in it
    {"__dict__", "__weakref__", "__module__", "_abc_impl", "__slotnames__", "__pydantic_setattr_handlers__"}
)
_NOTED_BY_INDEX = frozenset({"_cache", "_id"})
_MEMORY = (
    ("numpy", "ndarray", "_note_array"),
    ("numpy", "void", "_note_part"),
    ("polars", "Series", "_note_polars"),
    ("polars", "DataFrame", "_note_polars"),
    ("pandas.core.internals.managers", "BlockManager", "_note_blocks"),
    ("pandas.core.internals.managers", "SingleBlockManager", "_note_blocks"),
    ("pandas", "DataFrame", "_note_frame"),
    ("pandas", "Series", "_note_frame"),
    ("pandas", "Index", "_note_index"),
    ("pyarrow", "Buffer", "_note_arrow"),
    ("array", "array", "_note_bytes"),
)
_OVER_BYTES = frozenset({"pyarrow", "polars", "torch"})


def _are_unshared(met: Sequence[Any]) -> bool:
    """Whether of the plain objects that a look met, and notes by `id`, only the first one is held elsewhere as well."""
    inner = [one for one in itertools.islice(met, 1, None) if one != ()]  # of which there is one only
    return set(map(sys.getrefcount, inner)) <= {_HELD_ONCE}


def _is_of_atoms(items: tuple[Any, ...]) -> bool:
    return ATOMS.issuperset(map(type, items))


def _references_of_unshared() -> int:
    parent: list[Any] = [[]]
    met = [parent, parent[0]]
    noted = dict(zip(map(identity, met), met, strict=True))
    inner = list(itertools.islice(met, 1, None))
    (count,) = map(sys.getrefcount, inner)
    return count if noted else 0


_HELD_ONCE: Final = _references_of_unshared()


def _beside(obj: Any) -> tuple[str, ...]:
    """What the token of a class leaves out: which methods a dataclass was given, slots, the order to match in."""
    if not issubclass(type(obj), type):
        return ()
    told = [pair for cls in obj.__mro__ if not references.by_reference(cls) for pair in beside_digest(cls)]
    return (repr(told),) if told else ()


def _traceback(traceback: types.TracebackType) -> Any:
    """Say of a traceback what is equal in every kernel."""
    frames = [(one.tb_frame.f_code.co_qualname, one.tb_lasti, one.tb_lineno) for one in tracebacks.frames(traceback)]
    return _Form, ("traceback", frames)


def _method(method: types.MethodType) -> Any:
    """Say of a method whose object belongs to the process only which it is: mpmath has hundreds of a large one."""
    path = owned.known().get(identity(method.__self__))
    if path is None or owned.at(path) is not method.__self__ or not owned.is_of_the_process(path):
        return reducers.method(method)
    return _Form, ("method", owned.text(path), method.__name__)


def _dtype(dtype: Any) -> Any:
    """Say of a type with fields that a library holds what it is made of: nobody changes it, whoever shares it."""
    form = arrays.form_of_fields(dtype)
    return arrays.dtype(dtype) if form is None else (_Form, ("dtype", repr(form)))


def _are_small_numbers(array: Any) -> bool:
    """Whether an array is of numbers in the order of this machine, and read at once."""
    dtype = array.dtype
    return dtype.isbuiltin == 1 and dtype.kind in "biufc" and 0 < array.nbytes < LARGE


def _restored_place(attribute: tuple[str, Any]) -> str:
    """What to sort by, for the order that a restore keeps: the names that Python looks at come after the others."""
    name = attribute[0]
    return name if name[:2] == "__" == name[-2:] else ""


@dataclass(frozen=True, slots=True)
class _Code:
    """The code of one function: the pickler has not met it before."""

    code: types.CodeType


class _Form:
    """Stands in the hashed stream where a file has a definition; never rebuilt."""


def _compiled_by_numba(function: Any) -> tuple[Any, ...]:
    """Reduce a function of numba without the number by which it is known in a kernel: it is another one in each."""
    states = {name: part for name, part in function._reduce_states().items() if name != "uuid"}
    return _Form, ("numba", type(function).__qualname__), (None, states)


def reason(error: BaseException) -> str:
    """One line about why a value cannot be pickled."""
    text = " ".join(str(error).split())
    return text if isinstance(error, NotPicklableError) else f"{type(error).__name__}: {text}"
