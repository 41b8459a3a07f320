"""What ran in a kernel, in order: the statements of unmarked cells, and the steps with what they left."""

from __future__ import annotations

import ast
import functools
import hashlib
import operator
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from ckpt_magic.steps.course import Course
from ckpt_magic.steps.lent import Lender
from ckpt_magic.steps.modules import Modules
from ckpt_magic.values import origins
from ckpt_magic.values.code import modulecode, varying
from ckpt_magic.values.code.effects import OWN
from ckpt_magic.values.code.kinds import Kinds
from ckpt_magic.values.code.statements import Statement, Step
from ckpt_magic.values.origins import Origin, Past
from ckpt_magic.values.pickles import holding

_TELLING: Final = ("digest", "size", "absent", "names", "count")  # of a file's row
_MANY: Final = 2000  # events that are kept: beyond them nobody knows where a name came from


@dataclass(frozen=True, slots=True)
class Read:
    """What an unmarked cell read: files, as rows of META, and variables; `is_clear` if that was all."""

    files: Mapping[str, Mapping[str, Any]]
    environ: Mapping[str, str | None]
    is_clear: bool = True

    def __or__(self, other: Read) -> Read:
        """Both; not clear if they found different things."""
        files, environ = {**self.files, **other.files}, {**self.environ, **other.environ}
        same = files == {**other.files, **self.files} and environ == {**other.environ, **self.environ}
        return Read(files, environ, self.is_clear and other.is_clear and same)


class History:
    """The history of one kernel, for the origins of names (see `values.origins`).

    Parameters
    ----------
    modules
        The user's own modules.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._course = Course(Lender(modules))
        self._known = True
        self._last = 0
        self._reads: dict[int, Read] = {}  # by the places of statements
        self._unsaid: dict[int, Read] = {}  # what they may have read, and do not say so
        self._ran = hashlib.blake2b(digest_size=16)
        self.written = set[str]()

    @property
    def course(self) -> str:
        """Digest of all that ran, and of what cells read: two histories that share it tell the same of everything."""
        return self._ran.hexdigest()

    @property
    def _past(self) -> Past:
        return self._course.past

    def cell(self, tree: ast.Module | None) -> None:
        """Note an unmarked cell; None if its code is not known."""
        if tree is None or len(self._past.events) > _MANY:
            self.lost_track()
        else:
            self._last = len(self._past.events)
            self._course.cell(tree)
            self._ran.update(" ".join(["cell", *(one.digest for one in self._statements())]).encode())

    def _statements(self) -> Iterator[Statement]:
        """Those of the last cell."""
        return (one for one in self._past.events[self._last :] if isinstance(one, Statement))

    def cell_failed(self) -> None:
        """Note that the last cell did not come to its end: what it bound has no origin that could come again."""
        events = self._past.events
        self._course.past = Past(
            replace(event, digest=uuid.uuid4().hex) if at >= self._last and isinstance(event, Statement) else event
            for at, event in enumerate(events)
        )
        self._ran.update(uuid.uuid4().bytes)

    def cell_read(self, read: Read) -> None:
        """Note what the last cell read; where no word of it tells which statement does, each may be the one."""
        places = range(self._last, len(self._past.events))
        if read.files or read.environ or not read.is_clear:
            self._ran.update(repr((sorted(read.files.items()), sorted(read.environ.items()), read.is_clear)).encode())
        statements = {at: one for at in places if isinstance(one := self._past.events[at], Statement)}
        self._reads.update(dict.fromkeys(places, read))
        imports = any(one.imports for one in statements.values())  # what libraries read of their own is none of ours
        said = {text for one in statements.values() if one.varying for text in one.texts}
        unsaid = Read(
            {
                path: row
                for path, row in read.files.items()
                if not (imports and os.path.isabs(path))
                and said.isdisjoint((path, os.path.basename(path)))
                and os.path.abspath(path) not in self._course.lender.scripts
            },
            {name: value for name, value in read.environ.items() if name not in said},
        )
        quiet = {
            at for at, one in statements.items() if one.imports or one.is_literal or (one.changes and not one.at_once)
        }
        others = statements.keys() - quiet
        self._unsaid.update(dict.fromkeys(others, unsaid) if unsaid.files or unsaid.environ else {})

    def read_for(self, names: Iterable[str]) -> tuple[list[str], Read]:
        """Names whose values vary by nothing but what was read for them, and that."""
        told, all_read = list[str](), Read({}, {})
        for name in sorted(names):
            origin = self._past.origin(name)
            for at in self._unsaid.keys() & set(origin.places):
                all_read |= self._unsaid[at]
            varies = self._varies(origin)
            if not varies:
                continue
            read = functools.reduce(operator.or_, filter(None, map(self._reads.get, origin.places)), Read({}, {}))
            read = Read(
                read.files if varies - varying.OF_ENVIRON else {},
                read.environ if varies & varying.OF_ENVIRON else {},
                read.is_clear,
            )
            both = all_read | read
            # who opened nothing opens nothing again, if it was seen
            if both.is_clear and (read.files or read.environ or all(at in self._reads for at in origin.places)):
                all_read = both
                told.append(name)
        return told, all_read

    def read_between(self) -> list[str]:
        """The files that unmarked cells read since the last step."""
        events = self._past.events
        ends = (at for at in range(len(events) - 1, -1, -1) if isinstance(events[at], Step))
        reads = (self._reads[at] for at in range(next(ends, -1) + 1, len(events)) if at in self._reads)
        return sorted(set[str]().union(*(read.files for read in reads)))

    def digest_read_for(self, names: Iterable[str], *, but_variables: bool = False) -> str:
        """Digest of the files and variables that were read for the values of names; empty if there were none."""
        _, read = self.read_for(names)
        read = replace(read, environ={}) if but_variables else read
        files = [(path, *(row.get(one) for one in _TELLING)) for path, row in sorted(read.files.items())]
        told = repr((files, sorted(read.environ.items()))) if files or read.environ else ""
        return f" {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}" if told else ""

    def _varies(self, origin: Origin) -> Set[str]:
        """The words that make a value vary, those of own modules too; none if that is more than what is seen."""
        own = self._modules.own(origin.imports)
        texts = own.values()
        called = filter(varying.may_vary, modulecode.all_words_called(texts, origin.words))
        named = set[str]().union(*map(modulecode.defined_in, texts))  # what they do is told by what they call
        varies = origin.varies.union(called) - {word for word in named if not any(f".{word}" in text for text in texts)}
        every = origin.imports.union(*map(modulecode.imports, texts))
        imports = {name for name in every if name and name[0] != "." and name.partition(".")[0] not in own}
        return varies if varying.reads_only(varies, imports, (*origin.texts, *texts)) else frozenset()

    def step(
        self, number: int, left: Mapping[str, str | None], deleted: Iterable[str], code: str, kinds: Kinds
    ) -> None:
        """Note a step that ran or was restored, with its code, the digests of what it left, and the kinds of that."""
        deleted = frozenset(deleted)
        self._course.step(Step(number, dict(left), deleted, kinds), code)
        self._ran.update(repr((number, sorted(left.items()), sorted(deleted), code)).encode())

    def lost_track(self) -> None:
        """Note that code ran that nobody saw, or that did not come to its end."""
        self._known = False

    def onward(self) -> Course | None:
        """What ran, to go on from here by what may come; None if that is not known."""
        return self._course.onward() if self._known else None

    def bound(self) -> Set[str]:
        """Names that unmarked cells or steps have given a value, whether they are still there or not."""
        return {name for name in self._past.bound if not name.startswith("<")}

    def bindings(self, names: Set[str]) -> str:
        """Digest of all that bound these names, in order."""
        return self._past.bindings(names)

    def touched(self, names: Set[str]) -> Set[str]:
        """Those names whose values unmarked cells may have changed in place, as far as their code tells."""
        return self._past.touched(names)

    def near(self, names: Iterable[str]) -> dict[str, str] | None:
        """What may hold some of what these names hold (`holding.near`); None if that is not known."""
        return holding.near(self._past, {*names}) if self._known else None

    def on_the_way(self, names: Iterable[str]) -> Set[str]:
        """Modules that unmarked cells import for what these names hold."""
        return self._past.origin(*names).imports

    def texts(self, modules: Mapping[str, Sequence[str]]) -> dict[str, Set[str]]:
        """The modules to which unmarked cells did something, with the texts in that code; see `origins`."""
        found = {name: self._past.of_modules(ways) for name, ways in modules.items()}
        return {name: one.texts for name, one in found.items() if one.digest != origins.NOTHING.digest}

    def imported(self) -> Set[str]:
        """Modules that unmarked cells import."""
        return self._past.imports

    def acting(self, own: Set[str], libraries: Set[str]) -> list[str]:
        """The user's modules that set something in these of them, or in these libraries, in order; see `Lender`."""
        return self._course.lender.acting(own, libraries | {"builtins"})

    def origins(
        self,
        names: Iterable[str],
        modules: Mapping[str, Sequence[str]] | None = None,
        *,
        above: int | None = None,
        groups: Mapping[str, Iterable[str]] | None = None,
        own: Iterable[str] = (),
    ) -> dict[str, str] | None:
        """Digests of the origins of names, of those that have any; None if they are not known.

        With `above` those that they had before the step of that number, if it has run or was restored. Those of
        `modules` are digests of what was done by way of those beside them, under the name of the module in brackets;
        those of `groups` are of several names as one; what was done to the user's modules `own` is `OWN`.
        """
        if not self._known:
            return None
        events = self._past.events
        steps = [at for at, event in enumerate(events) if isinstance(event, Step) and event.number == above]
        past = Past(events[: steps[-1]]) if steps else self._past
        found = {name: past.origin(name).digest for name in sorted(names)}
        found |= {f"<{name}>": past.of_modules(ways).digest for name, ways in (modules or {}).items()}
        found[OWN] = past.of_modules(self._course.lender.ways(own)).digest
        found |= {label: past.origin(*group).digest for label, group in (groups or {}).items()}
        return {name: digest for name, digest in found.items() if digest != origins.NOTHING.digest}
