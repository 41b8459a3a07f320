"""Read checkpoints into a scratch place, and put what was read into the namespace."""

from __future__ import annotations

import gc
import importlib
import itertools
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Any, Final

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.files import format as files
from ckpt_magic.files.comparing import comparer
from ckpt_magic.steps import around, record
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.plan import Loaded, values_of
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.saves import SMALL
from ckpt_magic.steps.unheard import HeldBack
from ckpt_magic.steps.uses import split
from ckpt_magic.values import ambient
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.pickles import companions, unpickling
from ckpt_magic.values.pickles.forms import Token
from ckpt_magic.values.pickles.pickling import Contents
from ckpt_magic.values.pickles.references import by_reference

LEFT_OUT = "left out by --save or --drop"


class Loader:
    """Reads and restores the checkpoints of one kernel.

    Parameters
    ----------
    kernel
        The kernel.
    lives
        Finds the live definition for a token of a file.
    """

    def __init__(self, kernel: Kernel, lives: Callable[[Token], Any | None]) -> None:
        self._kernel = kernel
        self._lives = lives
        self._resizing: dict[PipelineKey, bool] = {}  # whether code that is known resizes arrays
        self._kept: list[Any] = []  # to the end of the kernel

    def published(self, key: PipelineKey) -> None:
        """Note that a checkpoint of a pipeline is another one now."""
        self._resizing.pop(key, None)

    def load(
        self, stored: files.StoredStep, earlier: Mapping[Token, Any] | None = None, *, here: bool = False
    ) -> Loaded:
        """Read a checkpoint into a scratch place; with `here` also find out whether its surroundings can be had.

        `earlier` are definitions of other checkpoints that are read with it.
        """
        kernel = self._kernel
        with kernel.progress(f"reading step {stored.meta['step']}", stored.size - stored.payload_bytes) as advance:
            parts = stored.parts(advance)
        found: dict[Token, Any] = {}
        kernel.makers.notice()
        lives = self._living
        if earlier:
            lives = lambda token: earlier[token] if token in earlier else self._living(token)
        with ambient.finding(*(stored.meta["paths"] if here else self._paths(stored))):
            with HeldBack() if here else nullcontext(HeldBack()) as unheard:
                contents = self._read(stored, parts, lives, found, here)
            values = values_of(contents, stored.meta["step"])
            if contents.ambient is not None and here:
                ambient.check(contents.ambient, generators_too=kernel.restore_random, names=values)
                kernel.places.check(contents.ambient.get("places", ()))
        return Loaded(stored.meta, values, contents, stored.outputs(), found, parts.map, stored.size, stored, unheard)

    def _read(
        self,
        stored: files.StoredStep,
        parts: files.Parts,
        lives: Callable[[Token], Any | None],
        found: dict[Token, Any],
        here: bool,
    ) -> Contents:
        kernel = self._kernel
        for module in stored.meta["imports"]:  # in the order in which they were loaded: one may change another
            try:
                importlib.import_module(module)
            except ImportError as error:
                text = f"module {module} cannot be imported here ({error})"
                raise CheckpointUnreadableError(text, name=module) from error
        if here:
            kernel.evidence.modules.restored((_key_of(stored), stored.meta["step"]), stored.meta["imports"])
        with kernel.makers.restored(f"{stored.meta['name']}:{stored.meta['step']}"):
            return unpickling.read(
                parts.skeleton,
                parts.buffers,
                kind=stored.meta["kind"],
                globals=kernel.main,
                live=lives,
                found=found,
                original=kernel.places.original,
                resizable=lambda: here and self._resizes(stored),
            )

    def _living(self, token: Token) -> Any | None:
        """What a token of a file stands for here: a definition of the notebook, or of a library that was set aside."""
        return self._kernel.places.original(token[1]) if token[0] == "original" else self._lives(token)

    def _paths(self, stored: files.StoredStep) -> tuple[list[str], list[str]]:
        """Where the steps up to this one found modules; where it is restored, the others were restored before."""
        metas = self._metas(_key_of(stored))
        return ambient.folders(meta["paths"] for meta in metas if meta["step"] <= stored.meta["step"])

    def _metas(self, key: PipelineKey) -> list[Mapping[str, Any]]:
        self._kernel.wait(key.folder)  # else what is on its way there for the first time is missed
        return self._kernel.metas(key)

    def _resizes(self, stored: files.StoredStep) -> bool:
        """Whether code that is known resizes arrays in place: an array over the map of a file cannot be."""
        kernel, key = self._kernel, _key_of(stored)
        if key not in self._resizing:
            texts = [meta.get("source", "") for meta in self._metas(key)]
            with suppress(OSError, UnicodeError):
                texts += [] if kernel.settings.notebook is None else [kernel.settings.notebook.read_text("utf-8")]
            self._resizing[key] = any(".resize(" in text for text in texts)
        return self._resizing[key]

    def put(self, key: PipelineKey, loaded: Loaded, *, ambient_too: bool) -> list[tuple[Any, Any]]:
        """Put the values of a loaded checkpoint into the namespace, and with `ambient_too` what surrounds them.

        Returns
        -------
        list
            Values that were results of cells and that the step changed, each with what took its place.
        """
        kernel = self._kernel
        meta = loaded.meta
        if ambient_too and loaded.contents.ambient is not None:
            before = ambient.look({split(part)[0] for part in meta["sets"]}) if meta["sets"] else None
            parts = around.parts_before(meta["sets"])
            self._put_back(meta, loaded.contents.ambient, loaded.values)  # first: if it fails, nothing was touched
            if before is not None:
                kernel.around.step_ran(key, meta["step"], meta["code"], meta["sets"], before, parts)
        results = {name: kernel.namespace[name] for name in meta["results"] if name in kernel.namespace}
        values = loaded.values | {name: self._placeholder(name, key, meta) for name in meta["unsaved"]}
        replaces_classes = any(self._is_class(name) and values[name] is not kernel.namespace[name] for name in values)
        mortals = self._mortals((*values, *meta["deleted"]))
        older = (
            [kernel.namespace[name] for name in values if name in kernel.namespace] if loaded.contents.joined else []
        )
        blocks = companions.held_by(older)
        older.clear()
        for name in (*meta["deleted"], *meta["remade"]):  # what was made again comes last
            kernel.namespace.pop(name, None)
        kernel.namespace.update({name: values[name] for name in meta["order"] if name in values} | values)
        if ambient_too and loaded.contents.ambient is not None:
            ambient.put_beside(loaded.contents.ambient)
        self._keep(mortals)
        same_python = record.is_same_python(meta)
        for token, found in loaded.found.items():
            kernel.makers.adopt(token, found, same_python=same_python)
        if any(block() is not None for block in blocks):
            gc.collect()  # pandas would go on to count what no name leads to any more
        kernel.makers.companions.join(loaded.found, loaded.contents.joined)
        if replaces_classes or any(map(self._is_second, loaded.found.values())):
            gc.collect()  # else `__subclasses__` goes on to tell of those that were here: classes hold themselves
        is_cheap = loaded.size <= SMALL and loaded.size - loaded.stored.payload_bytes <= _CHEAP
        kernel.watch.restored((*meta["groups"], *meta["deleted"]), small=is_cheap)
        kernel.note_written(
            key,
            meta["step"],
            meta["groups"],
            meta["deleted"],
            code=meta["source"],
            kinds=record.kinds_of(meta),
            outlines=meta["outlines"],
            size=loaded.size,
        )
        rows = (meta["evidence"] or {}).get("written", ())
        kernel.registry.pipeline(key).files.update({row["path"]: (meta["step"], row) for row in rows})
        kernel.compared.made_anew((*values, *meta["deleted"]))
        if kernel.check_payloads and loaded.stored.payload_bytes:
            comparison = comparer().submit(loaded.stored, loaded.map, new_hash)
            kernel.compared.add(key, meta["step"], comparison, loaded.values)
        if loaded.map.mapped:
            kernel.pages.mapped(loaded.map.memory, loaded.map.contents())
            kernel.mapped.add(key, meta["step"], loaded.map, loaded.values)
            loaded.map.release()
        return [(one, kernel.namespace[name]) for name, one in results.items() if name in values]

    def _is_class(self, name: str) -> bool:
        value = self._kernel.namespace.get(name)
        return issubclass(type(value), type) and not by_reference(value)

    def _is_second(self, one: Any) -> bool:
        """Whether this is a class of a name that another one has, too."""
        return issubclass(type(one), type) and len([*self._kernel.makers.classes(one.__qualname__)]) > 1

    def _mortals(self, names: Iterable[str]) -> list[Any]:
        """What is about to go, if something of the notebook hears of that: what it did then is in the checkpoint, too.

        That is a class with a ``__del__``, or a callback of a weak reference: seen by the names that make one.
        """
        here = self._kernel.namespace
        found = [here[name] for name in names if name in here]
        return found if found and any(map(_hears, list(here.values()))) else []

    def _keep(self, mortals: list[Any]) -> None:
        """Keep those that only this list holds now, or that hold themselves; what is not heard of may go.

        Not more than that: pandas counts what is kept as well, and copies before it writes.
        """
        while mortals:
            one = mortals.pop()
            if (sys.getrefcount(one) == _HELD_HERE or _leads_to_itself(one)) and _is_heard_of(one):
                self._kept.append(one)
                refs = (ref for ref in weakref.getweakrefs(one) if type(ref) is weakref.ref)  # proxies tell nothing
                for finalizer in (ref.__callback__ for ref in refs):
                    if type(finalizer) is weakref.finalize:
                        finalizer.detach()  # it has been called, as far as the notebook can tell

    def _put_back(self, meta: Mapping[str, Any], state: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        kernel = self._kernel
        back = kernel.chance.to_put_back(meta, state["generators"]) if kernel.restore_random else set()
        states = {name: one for name, one in state["generators"].items() if name in back}
        ambient.put_back({**state, "generators": states}, generators_too=True, names=names)
        if places_too := state.get("places", ()):
            with kernel.watch.changing_places():
                kernel.places.put_back(places_too, state.get("sources", {}))
        kernel.places.follow(tuple(path) for path, _ in meta["owned"])
        kernel.chance.was_put_back(meta, back)

    def _placeholder(self, name: str, key: PipelineKey, meta: Mapping[str, Any]) -> Any:
        rows = {row["name"]: row for row in meta["lost"]}
        row = rows.get(name, {"type": LEFT_OUT})
        number = row.get("number")
        return self._kernel.placeholder(
            name,
            key,
            row.get("step", meta["step"]),
            row["type"],
            number=None if number is None else float.fromhex(number),
        )


def _hears(value: Any) -> bool:
    """Whether code that holds this may be told when an object goes."""
    if identity(value) in _REFERENCES or type(value) is weakref.ref:
        return True
    return issubclass(type(value), type) and hasattr(value, "__del__") and not by_reference(value)


def _leads_to_itself(one: Any) -> bool:
    """Whether data leads from an object back to it; by way of functions and classes all names lead to all."""
    met: dict[int, Any] = {}
    todo = [one]
    while todo and len(met) < _FAR:
        for part in gc.get_referents(todo.pop()):
            if part is one:
                return True
            is_data = gc.is_tracked(part) and not issubclass(type(part), _DEFINITIONS)
            if is_data and identity(part) not in met:
                met[identity(part)] = part
                todo.append(part)
    return False


def _is_heard_of(one: Any) -> bool:
    """Whether code may be told when an object goes, or something that goes with it."""
    met: dict[int, Any] = {identity(one): one}
    todo = [one]
    while todo:
        part = todo.pop()
        kind = type(part)
        if any("__del__" in vars(cls) for cls in kind.__mro__) and not by_reference(kind):
            return True
        if any(type(ref) is not weakref.ref or ref.__callback__ is not None for ref in weakref.getweakrefs(part)):
            return True  # a proxy does not tell, and asks its object
        inside = gc.get_referents(part)
        if issubclass(kind, getattr(sys.modules.get("numpy"), "ndarray", ())) and part.dtype.hasobject:
            inside += itertools.islice(part.flat, _FAR)  # numpy does not say what is in it
        if len(met) + len(inside) > _FAR:
            return True
        for inner in inside:
            if issubclass(type(inner), types.FunctionType) and not by_reference(inner):
                return True  # it may hold anything
            if not issubclass(type(inner), _DEFINITIONS) and identity(inner) not in met:
                met[identity(inner)] = inner
                todo.append(inner)
    return False


_REFERENCES: Final = frozenset(
    map(identity, (weakref, weakref.ref, weakref.proxy, weakref.WeakMethod, weakref.finalize))
)


def _key_of(stored: files.StoredStep) -> PipelineKey:
    return PipelineKey(stored.path.parent, stored.meta["name"], stored.meta["version"])


_DEFINITIONS: Final = (type, types.FunctionType, types.ModuleType)


def _references_here() -> int:
    """How often something is held by a local variable alone, as the function that counts says it in this Python."""
    one = object()
    return sys.getrefcount(one)


_HELD_HERE: Final = _references_here()
_FAR: Final = 1000  # objects
_CHEAP: Final = 1 << 17  # bytes, payloads aside: the values of a longer pickle are looked at when something needs it
