"""One run of a `Checkpoint`: its methods on the same path as step cells.

A method's names are `step_1`, `step_2`, … for the outputs and `self.x` for attributes of the instance; with
them a method is looked at, saved and restored exactly like a cell with its variables.
"""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any

from ckpt_magic.files.store import check_name, folder_path
from ckpt_magic.steps import methods, registry, stored
from ckpt_magic.steps.lines import terminal
from ckpt_magic.steps.methods import numbered
from ckpt_magic.steps.needs import Cell
from ckpt_magic.steps.plan import Outcome, Plan
from ckpt_magic.steps.registry import Pipeline, StepCall
from ckpt_magic.steps.session import Session
from ckpt_magic.steps.settings import Settings
from ckpt_magic.values.code import source
from ckpt_magic.values.pickles import forms, references, unchanging

_log = logging.getLogger("ckpt_magic")
_OWN = frozenset({"name", "checkpoint_folder", "version", "_earlier"})


def check_place(name: object, folder: str | Path, version: object) -> tuple[str, Path, str]:
    """Give the name of a pipeline, its folder, and its version as text, or raise what is wrong with them."""
    version = str(version) if isinstance(version, float) else version
    return check_name(name, "name"), folder_path(folder), check_name(version, "version")


def stored_outputs(owner: Any) -> stored.Outputs:
    """What is stored of a pipeline, by the names of its methods."""
    return stored.Outputs(owner.checkpoint_folder, owner.name, owner.version, full_names=numbered(type(owner)))


class Run:
    """One run of a pipeline.

    Parameters
    ----------
    owner
        The `Checkpoint`; its methods are called, and its attributes are names of the steps.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def run(self, start_from: int | str | None) -> RunOutputs:
        """Run or restore the steps in numeric order; see `Checkpoint.run`."""
        owner = self._owner
        names_of = numbered(type(owner))
        settings = Settings(Path.cwd(), environ={})
        settings.configure(name=owner.name, version=owner.version, folder=str(owner.checkpoint_folder))
        settings.set_start("none" if start_from is None else registry.parse_start(start_from))
        names: dict[str, Any] = {}
        main = vars(sys.modules["__main__"])
        session = Session(
            names,
            settings,
            kind="method",
            main=main,
            owner=owner,
            lives=lambda token: _live(token, main),
            sync=False,
            progress=terminal,
            cells_after=lambda key, step, cell: [self._cell(s, m) for s, m in names_of.items() if s > step],
        )
        pipeline = session.registry.pipeline(settings.resolve(StepCall(0)))
        pipeline.producers.update(owner._earlier.producers)
        pipeline.written.update(owner._earlier.written)
        try:
            for step, method in names_of.items():
                self._step(session, names, names_of, step, method)
        finally:
            try:
                session.wait()
                session.tell()
            finally:
                owner._earlier = Pipeline(
                    producers={name: made for name, made in pipeline.producers.items() if name.startswith("self.")},
                    written={name: steps for name, steps in pipeline.written.items() if name.startswith("self.")},
                )
        return RunOutputs(names, names_of)

    def _step(
        self, session: Session, names: dict[str, Any], names_of: Mapping[int, str], step: int, method: str
    ) -> None:
        self._show_attributes(names)
        plan = session.begin_code(StepCall(step), methods.with_members(type(self._owner), method))
        if plan.action == "restore":
            session.restore(plan)
            self._take_attributes(names)
            facts = session.finish(plan, Outcome(True))
        else:
            facts = self._call(session, names, names_of, plan, method)
        if facts is not None:
            _log.info(_told(facts))

    def _call(
        self, session: Session, names: dict[str, Any], names_of: Mapping[int, str], plan: Plan, method: str
    ) -> dict[str, Any] | None:
        outputs = RunOutputs(names, names_of)
        began = perf_counter()
        success = False
        try:
            value = getattr(self._owner, method)(outputs)
            success = True
        finally:
            seconds = perf_counter() - began
            if success:
                names[f"step_{plan.call.step}"] = value
            self._show_attributes(names)
            session.narrow_reads(plan, outputs.read | self._readable(method))
            if not success:
                session.finish(plan, Outcome(False, seconds=seconds, error=sys.exception()))
        return session.finish(plan, Outcome(True, seconds=seconds))

    def _cell(self, step: int, method: str) -> Cell:
        """What a method can read of attributes; which outputs it reads only a run can tell."""
        found = methods.reads(type(self._owner), method)
        reads = frozenset(f"self.{name}" for name in found or ())
        names = source.Names(reads=reads, dynamic=found is None, fetches=reads)
        return Cell(names, step, methods.code(type(self._owner), method).digest)

    def _readable(self, method: str) -> set[str]:
        """Names of the attributes that a method can read."""
        found = methods.reads(type(self._owner), method)
        return {f"self.{name}" for name in (found if found is not None else {*self._attributes(), "*"})}

    def _attributes(self) -> dict[str, Any]:
        """The attributes that belong to the pipeline, those in slots too."""
        held = dict(vars(self._owner))
        for name in self._slots():
            with suppress(AttributeError):
                held[name] = getattr(self._owner, name)
        return {name: value for name, value in held.items() if name not in _OWN}

    def _slots(self) -> Iterator[str]:
        for cls in type(self._owner).__mro__:
            yield from (name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType))

    def _show_attributes(self, names: dict[str, Any]) -> None:
        """Put the attributes of the instance among the names."""
        attributes = {f"self.{name}": value for name, value in self._attributes().items()}
        for name in [name for name in names if name.startswith("self.") and name not in attributes]:
            del names[name]
        names.update(attributes)

    def _take_attributes(self, names: Mapping[str, Any]) -> None:
        """Set the attributes of the instance to what a restore put among the names."""
        slots = set(self._slots())
        for name in self._attributes():
            if f"self.{name}" not in names:
                object.__delattr__(self._owner, name)
        for name, value in names.items():
            if name.startswith("self."):
                attribute = name.removeprefix("self.")
                if attribute in slots:
                    object.__setattr__(self._owner, attribute, value)
                else:  # never by a setter or a property of the class
                    vars(self._owner)[attribute] = value


class RunOutputs(Mapping[str, Any]):
    """The outputs of the steps of a run, by `step_1`, by the method's full name and by number."""

    def __init__(self, names: Mapping[str, Any], methods: Mapping[int, str]) -> None:
        self._names = names
        self._methods = methods
        self.read: set[str] = set()

    def __getitem__(self, key: str | int) -> Any:
        name = stored.step_key(key, self._methods)
        if name not in self._names:
            raise stored.missing(key, list(self))
        self.read.add(name)
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return (f"step_{step}" for step in self._methods if f"step_{step}" in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {self._names[name]!r}' for name in self)}}}"


def _live(token: forms.Token, main: Mapping[str, Any]) -> Any | None:
    """A script defines its classes and functions before it runs the steps: those are the live ones."""
    if token[0] == forms.SAME:
        return unchanging.find(token, main)
    found = references.at(token[1], main)
    return found if isinstance(found, (type, types.FunctionType)) else None


def _told(facts: Mapping[str, Any]) -> str:
    """What the log says of a step, as the banner of a cell does."""
    restored, seconds = facts["action"] == "restored", facts["run_seconds"]
    parts = [f"restored · instead of {seconds:.1f} s"] if restored else [f"ran {seconds:.1f} s", facts["reason"]]
    return " · ".join([f"step {facts['step']}", *filter(None, parts), *facts["notes"]])
