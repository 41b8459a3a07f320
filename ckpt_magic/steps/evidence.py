"""How a checkpoint came about, for META, and the same facts as they are now: what `freshness` judges by.

Knows the namespace and the files of one kernel; decides nothing.
"""

from __future__ import annotations

import functools
import glob
import logging
import os
import platform
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence, Set
from contextlib import contextmanager, suppress
from itertools import chain, islice
from os import getcwd
from pathlib import Path
from time import time_ns  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any, Final

from ckpt_magic.errors import UsageError
from ckpt_magic.files.trust import Keyring
from ckpt_magic.steps import numbers, record, unseen, variables
from ckpt_magic.steps.definitions import Codes, Definitions
from ckpt_magic.steps.freshness import CWD, Fact, file_text, with_values
from ckpt_magic.steps.history import Read
from ckpt_magic.steps.inputs import Files, Mentioned, lone_endings
from ckpt_magic.steps.loads import Asked, Loads
from ckpt_magic.steps.modules import FAR, Modules
from ckpt_magic.steps.opened import Trail, has_native, put_native, text_of, watcher
from ckpt_magic.steps.plan import Code, Look, Running
from ckpt_magic.steps.registry import HASH, NUMBERS, StepCall
from ckpt_magic.steps.results import Counts, Results
from ckpt_magic.steps.variables import Variables
from ckpt_magic.values import ambient, bindings, fingerprint, owned, sets
from ckpt_magic.values.code import effects, essence, hashes, meanings, modulecode, reaching, syntax, varying, vocabulary
from ckpt_magic.values.code.nested import with_nested
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import references
from ckpt_magic.values.pickles.makers import Makers

Reach = tuple[Set[str] | None, vocabulary.Words, reaching.Reached | None]
Written = Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]

_OF_MODULES: Final = frozenset(
    {"__builtins__", "__cached__", "__doc__", "__loader__", "__name__", "__package__", "__spec__"}
)
MUCH_TEXT: Final = 64_000  # characters of functions that META keeps, to show later how they differ

_LOOKERS: Final = frozenset(
    {"exists", "lexists", "isfile", "is_file", "isdir", "is_dir", "stat", "lstat", "getsize", "getmtime", "getctime"}
    | {"access", "samefile", "glob", "iglob", "rglob", "resolve", "realpath", "islink", "is_symlink", "readlink"}
    | {"which", "walk", "getatime", "owner"}
)
_OF_FILES: Final = re.compile(r"\.\w|\w/|/\w")  # patterns such as `*.nc` and `data/*`, but no regular expressions
_OF_DESCRIPTORS: Final = frozenset({"fdopen", "read", "pread", "readv", "preadv", "dir_fd", "sendfile", "lseek", "dup"})
_TELL_OF_CODE: Final = frozenset({"getsource", "getsourcelines", "findsource", "getcomments", "__subclasses__"})
_FINDERS: Final = frozenset({"get_objects", "get_referrers", "py_object", "PyObj_FromPtr"})  # of what no name leads to
_SHARED: Final = frozenset({"SharedMemory", "ShareableList"})  # which others find by its name
_BY_NAME: Final = frozenset({"import_module", "__import__", "modules", "find_spec"})  # how no code names them
_OF_NOTHING: Final = modulecode.digest("")  # a module without any code
_LONG: Final = 500  # letters of the name of a file
_FEW: Final = 1000  # items of a container that may be names of files, and containers in a value
_OF_ATTRIBUTES: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)
_WRITERS: Final = (logging.Filterer, logging.Manager)  # loggers and handlers: nobody reads by them what they write
_HOLDERS_OF_CODE: Final = (type, types.ModuleType, types.FunctionType, types.CodeType)


class Evidence:
    """The evidence of one kernel.

    Parameters
    ----------
    base
        Folder of the project.
    namespace, main
        Where the notebook's variables live; globals of the functions that the user wrote.
    makers
        Tells which definitions steps made.
    keyring
        Gives the keys by which environment variables are concealed.
    secrets
        Gives the patterns of names whose values are never shown.
    notebook
        The notebook itself, if it is known.
    is_kernel
        Whether modules are imported as the step would; else they are looked for in `base` first.
    """

    def __init__(
        self,
        base: Path,
        namespace: MutableMapping[str, Any],
        main: dict[str, Any],
        makers: Makers,
        keyring: Callable[[], Keyring],
        secrets: Callable[[], Sequence[str]] = lambda: ambient.SECRET_NAMES,
        *,
        notebook: Path | None = None,
        is_kernel: bool = True,
    ) -> None:
        self.files = Files(base, notebook)
        self.modules = Modules() if is_kernel else Modules([os.fspath(base)])
        self._namespace = namespace
        self._main = main
        self.definitions = Definitions(namespace, main, makers)
        self.variables = Variables(keyring, secrets)
        self.results = Results(self.files, self.modules.words)
        self.loads = Loads(self.files, self.modules)
        self._before_cell: Counts = {}
        self._versions: dict[str, str | None] = {}

    def plan(self, texts: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """Take files, by their paths, to have these texts, and variables to be set so, as cells will have done."""
        self.files.planned = self.modules.planned = texts
        self.variables.planned = environ

    def opens(self, modules: Iterable[str], words: Set[str]) -> str:
        """A word of what code with these words calls in these modules, and that may give another value each time."""
        texts = [text for name in modules if (text := self.modules.text(name))]
        return next(filter(varying.may_vary, sorted(modulecode.all_words_called(texts, words))), "")

    # -- before a step --------------------------------------------------------------------------------------

    def look(self, call: StepCall, code: Code, reach: Reach, made: Set[str]) -> Look:
        """Look at what a step's code comes to, before the step runs or is restored; `made` are names of steps."""
        self.modules.notice()
        names, words, way = reach
        found = way.definitions if way is not None else []
        apart = reaching.apart(way, self._namespace) if way is not None else {}
        if way is not None and not made.isdisjoint(way.names):
            # what steps made is told by the digests of what they left
            found = reaching.reach(way.names, self._namespace, made).definitions
        functions, covered, unclear = self.definitions.used(found)
        if code.home is not None:
            read = {*(way.names if way is not None else ())} - _OF_MODULES
            globals_ = {name: code.home[name] for name in read if name in code.home}
            plain, unknown = self._plain({**globals_, **code.members})
            functions |= plain
            unclear += unknown
        values = {name: self._namespace[name] for name in (names or ()) if name in self._namespace}
        texts = [*(syntax.texts(code.tree) if code.tree is not None else ())]
        texts += _constants(way.codes) if way is not None else ()
        held = [*values.values(), *(_kept_by(way.definitions) if way is not None else ())]
        modules = code.names.imports | (way.modules if way is not None else frozenset())
        deep = not words.read.isdisjoint(_LOOKERS) or unseen.may_name_files(words.read, modules)
        named = (value for value in _with_items(held, deep=deep) if issubclass(type(value), (str, Path)))
        texts += (
            str.__str__(os.fspath(value)) for value in named
        )  # texts of astropy parse what they are compared with
        bound, unknown = _bound(values)
        if words.read & _OF_DESCRIPTORS:
            opened = ((name, path) for name, value in values.items() if (path := bindings.descriptor_of(value)))
            unknown += [_unknown_files(name, "an open file") for name, path in opened if self.files.counting([path])]
        unclear += [] if call.depends else unknown
        unclear += [f"what `{word}` tells of code cannot be compared" for word in sorted(words.read & _TELL_OF_CODE)]
        unclear += [f"what memory of a `{word}` holds cannot be told" for word in sorted(words.read & _SHARED)]
        if any("mode=memory" in text for text in texts):
            unclear.append("what a database in memory holds cannot be told")
        keys = {text: self._key(call, text) for text in call.key}
        settings = {CWD: self.files.name(getcwd())}
        asks = self._asks_for_hashes(code, words, way)
        ordered = hashes.gone_through_by(way.codes, self._sets(way.names)) if way is not None else frozenset[str]()
        told: Set[str] = frozenset()
        readers = unseen.likely(words.read, modules)
        if readers and way is not None and code.tree is not None and code.home is None:
            others = reaching.words_of(way.codes).read
            told = meanings.meant(readers, code.tree, others, self._namespace, unseen.SEEN)
        return Look(
            functions, covered, modules, words.read, texts, keys, settings, bound, unclear, apart, asks, ordered, told
        )

    def begins(self, call: StepCall, look: Look, *, hidden: Sequence[str]) -> Running:
        """A step is about to run: note what it opens."""
        trail = Trail(self.files.row)
        depends = self.files.depends(call.depends, hidden=hidden)
        environ = {name: os.environ.get(name) for name in unseen.READ_BY_C}
        running = Running(trail, look, time_ns(), {*sys.modules}, depends, environ, self.results.count())
        watcher().start(trail)
        trail.reads(look.bound)
        return running

    def ends(self, running: Running | None) -> None:
        """The step is over, whatever became of it."""
        if running is not None:
            watcher().stop(running.trail)
            put_native(self._namespace)
            self.results.passed(running.results, running.trail)
        self.modules.notice()
        if running is not None:
            self.loads.note(running.trail)

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """A checkpoint is read: note what modules open that are imported for it."""
        trail = Trail(self.files.row, is_blind=has_native(self._namespace))
        with watcher().laying(trail, looks=False, main=False):
            yield
        self.modules.notice()
        self.loads.note(trail)

    def cell_begins(self, words: Set[str] | None) -> Trail:
        """An unmarked cell is about to run: note what it opens; None for words that are not known.

        One that compares a function of `os` with one that it has already is to find them the same.
        """
        asks = words is None or not words.isdisjoint(_LOOKERS)
        trail = Trail(self.files.row, is_blind=has_native(self._namespace))
        self._before_cell = self.results.count()
        watcher().start(trail, looks=asks and not trail.is_blind, main=False)
        return trail

    def cell_ends(self, trail: Trail) -> None:
        """The cell is over."""
        watcher().stop(trail)
        put_native(self._namespace)
        self.results.passed(self._before_cell, trail)
        self.modules.notice()
        self.loads.note(trail)

    def read_by_cell(
        self, trail: Trail, began: int, words: Set[str] | None, texts: Iterable[str], *, hidden: Sequence[str]
    ) -> Read:
        """What a cell with these words and texts read that began then."""
        counting = functools.partial(self.files.counting, hidden=hidden)
        trail.reads(dict.fromkeys(map(text_of, trail.imported)).keys() - self.modules.files())
        is_native, mentioned = words is not None and unseen.may_open(words), Mentioned([], [])
        if trail.programs or is_native:
            texts = [*trail.arguments, *texts]
            mentioned = self.files.mentioned([*texts, *unseen.arguments(texts)])
            trail.reads(filter(os.path.isfile, mentioned.paths))
        listed = counting(path for path in trail.listed if path not in trail.read)
        rows = self.files.rows([*counting(trail.read), *listed], hidden=hidden, asked=trail.asked)
        rows += [row for row in self.files.there(counting(trail.folders)) if row not in rows]
        changed = any(row.get("ctime", 0) >= began for row in rows) or any(trail.read.values())
        touched = {*trail.written, *map(os.path.dirname, trail.written)}
        changed |= not touched.isdisjoint((*trail.read, *trail.listed, *trail.folders))
        asks_entries = words is None or ("scandir" in words and any(word.startswith("st") for word in words))
        is_blind = trail.is_blind and (words is None or not words.isdisjoint(_LOOKERS))
        is_blind |= (words is None or is_native) and not rows
        is_blind |= bool(mentioned.vast)
        is_clear = not (changed or is_blind or trail.commands or trail.connected or (listed and asks_entries))
        return Read({row["path"]: row for row in rows}, self.variables.asked(trail), is_clear)

    def written_by_cell(self, trail: Trail, *, hidden: Sequence[str]) -> set[str]:
        """The files that a cell wrote anew, or removed."""
        paths = self.files.counting(trail.written, hidden=hidden)
        return {self.files.name(path) for path in paths if path not in trail.kept or not os.path.lexists(path)}

    # -- for META -------------------------------------------------------------------------------------------

    def of_step(
        self,
        code: Code,
        running: Running,
        *,
        hidden: Sequence[str],
        seen: Mapping[str, str],
        unmade: Iterable[str],
        always: bool,
        rests: Sequence[str],
        imported: Iterable[str],
        called: Mapping[str, Set[str]],
        between: Sequence[str],
    ) -> dict[str, Any]:
        """What META records of a step that has just run, what stands above it aside (see `of_above`).

        `rests` is what of the surroundings it rests on, `imported` are modules that unmarked cells import, `called`
        those that keep what they were called for, with the texts in the code that did; `between` are the files that
        unmarked cells read between the step before it and this one.
        """
        look, trail = running.look, running.trail
        unclear = [*look.unclear, *self._changed(code, look)]
        loaded, behind = self._behind(code, running, imported)
        files, written, temporary = self._opened(running, hidden, unclear, behind)
        known = {row["path"] for row in (*files, *written)}
        asked = self._asked_at_import(behind, called, hidden)
        files += [row for row in asked.files if row["path"] not in known]
        by_name = () if look.words.isdisjoint(_BY_NAME) else [*filter(str.isidentifier, look.texts)]
        libraries = {*self.modules.libraries(behind), *(name for name in by_name if name in sys.modules)}
        sought = self.modules.sought([*code.names.imports, *imported, *by_name], behind)
        files += [row for row in self.files.rows(sought) if row.get("absent")]
        unclear += [] if running.depends else asked.unclear
        called_words = self._words_called(look.words, behind)
        unclear += [f"which objects `{word}` finds cannot be told" for word in sorted(called_words & _FINDERS)]
        keys = asked.keys | (unseen.variables_in(look.texts) if trail.programs else set())
        by_c = sorted(unseen.variables(look.words, behind, self.modules))
        unclear += [f"module `{name}` has no file" for name in sorted(code.names.imports) if _is_made_up(name)]
        named = [name for name in unmade if name not in seen and name in self._namespace]
        unclear += [f"`{name}` cannot be compared" for name in sorted(named)]
        unclear += [
            f"what module `{name}` reads of the notebook cannot be told"
            for name in sorted(filter(self.modules.reaches_the_notebook, behind))
        ]
        if always:
            unclear.append("--always")
        asks = look.hashes or (
            not called_words.isdisjoint(hashes.ASKING)
            and any(map(modulecode.asks_for_hashes, map(self.modules.text, behind)))
        )
        ordered = sorted(look.ordered | self._sets(code.names.ordered | code.names.ordered_asleep))
        environ = {name: self.variables.concealed(running.environ[name]) for name in by_c}
        environ |= self.variables.here(sorted(keys)) | self.variables.asked(trail)
        return {
            "code": essence_of(code),
            "functions": _short_of_text(look.functions),
            "covered": dict(look.covered),
            "apart": dict(look.apart),
            "rests": sorted({*rests, *(effects.of_read((), environ) if environ and not trail.all_of_environ else ())}),
            "shown": self._shown(seen),
            "key": dict(look.keys),
            "settings": {
                **(look.settings if files or written else {}),
                **({HASH: hashes.of_this_process()} if asks else {}),
            },
            "files": files,
            "written": written,
            "temporary": temporary,
            "kept": sorted(map(self.files.name, self.files.counting(running.trail.kept, hidden=hidden))),
            "between": between,
            "modules": {name: self.modules.loaded(name) for name in sorted(behind)},
            "environ": environ,
            "python": platform.python_version(),
            "packages": self._packages(loaded | libraries),
            "unclear": unclear,
            "orders": dict.fromkeys(ordered, hashes.of_this_process()),
        }

    def modules_behind(self, code: Code, running: Running, imported: Iterable[str]) -> Set[str]:
        """The user's own modules that a step which has just run goes through."""
        return self._behind(code, running, imported)[1].keys()

    def _behind(self, code: Code, running: Running, imported: Iterable[str]) -> tuple[Set[str], Mapping[str, str]]:
        """The modules that a step uses or loaded, and the files of the user's own that it goes through."""
        look, trail = running.look, running.trail
        loaded = {*look.modules, *code.names.imports}
        loaded |= {name for name in sys.modules.keys() - running.loaded if name in self.modules.names()}
        loaded |= trail.modules.intersection(self.modules.names())
        behind = self.modules.behind(loaded, imported)
        if not self._words_called(look.words, behind).isdisjoint(_BY_NAME):
            loaded |= {*self.modules.names()}
            behind = self.modules.behind(loaded, imported)
        return loaded, behind

    @staticmethod
    def with_numbers(evidence: Mapping[str, Any], left: Set[str]) -> dict[str, Any]:
        """The evidence of a step that left hashes (`HASH`) of this process, or `ADDRESSES`."""
        now = {name: here for name, here in numbers.of_this_process().items() if name in left}
        return {**evidence, "settings": {**evidence["settings"], **now}}

    def of_above(
        self,
        modules: Iterable[str],
        imported: Iterable[str],
        *,
        hidden: Sequence[str],
        called: Mapping[str, Set[str]],
        kept: Iterable[str],
        told: Sequence[str],
        read: Read,
    ) -> dict[str, Any]:
        """What META records of the modules and the files by which cells made what a step read.

        Parameters
        ----------
        modules, imported
            Those behind the step itself, and those that cells import for what it read.
        called, kept
            Modules that keep what they were called for, with the texts in the code that did, and those of them of
            which what they keep is compared.
        told, read
            Names of unmarked cells, and what these read for them.
        """
        behind = frozenset(modules)
        of_cells = {name: file for name, file in self.modules.behind(imported).items() if name not in behind}
        keeping = behind.intersection(kept)
        of_kept = {name: file for name, file in self.modules.behind(keeping).items() if name in keeping}
        found = self._asked_at_import({**of_cells, **of_kept}, called, hidden)
        asked = {
            "files": [*found.files, *read.files.values()],
            "environ": self.variables.here(sorted(found.keys)) | dict(read.environ),
            "unclear": found.unclear,
            "told": list(told),
            "rests": record.changers(read),
        }
        return {"above": {name: self.modules.loaded(name) for name in sorted(of_cells)}, "asked": asked}

    def accepted(
        self,
        meta: Mapping[str, Any],
        code: Code,
        look: Look,
        call: StepCall,
        facts: Mapping[str, Mapping[str, Fact]],
        *,
        keys: Set[str],
        shown: Iterable[str],
        origins: Mapping[str, str] | None,
        hidden: Sequence[str],
    ) -> dict[str, Any]:
        """The evidence of a checkpoint as it would be if the step came about by what is here now.

        What code of now would open, and has never opened, is not known; files that it names count.

        Parameters
        ----------
        facts
            As `now` gives them.
        keys
            Environment variables that the code asks for.
        shown, origins
            Names whose values may be shown; where names come from.
        """
        evidence = meta["evidence"]
        pairs = self.definitions.now(evidence, look)
        functions = _short_of_text({**{name: now for name, (_, now) in pairs.items()}, **look.functions})
        same_code = essence_of(code) == evidence["code"] and all(then == now for then, now in pairs.values())
        files, written = (
            [self._row_now(row, facts, hidden) for row in evidence[kind]] for kind in ("files", "written")
        )
        known = {row["path"] for row in (*files, *written)}
        mentioned = [] if same_code else self.files.counting(self.files.mentioned(look.texts).paths, hidden=hidden)
        more = [*self.files.depends(call.depends, hidden=hidden), *self.files.rows(mentioned, hidden=hidden)]
        files += {row["path"]: row for row in more if row["path"] not in known}.values()
        loaded = {*look.modules, *code.names.imports}
        behind = self.modules.behind(loaded)
        asked = dict.fromkeys((*evidence["environ"], *sorted(keys)))
        return {
            **evidence,
            "code": essence_of(code),
            "functions": functions,
            "covered": {name: fact.token for name, fact in facts["name"].items()} | dict(look.covered),
            "apart": dict(look.apart),
            "origins": origins,
            "shown": {**evidence["shown"], **self._shown(shown)},
            "key": dict(look.keys),
            "settings": (dict(look.settings) if files or written else {})
            | {name: one for name, one in evidence["settings"].items() if name in NUMBERS},
            "files": files,
            "written": written,
            "modules": {name: self.modules.loaded(name) for name in behind}
            | {name: fact.token for name, fact in facts["module"].items()},
            "above": {name: self.modules.loaded(name) for name in evidence.get("above", {})},
            "environ": self.variables.here(asked),
            "python": platform.python_version(),
            "packages": {name: fact.shown for name, fact in facts["package"].items()}
            | self._packages(loaded | self.modules.libraries(behind)),
        }

    def _row_now(
        self, row: Mapping[str, Any], facts: Mapping[str, Mapping[str, Fact]], hidden: Sequence[str]
    ) -> dict[str, Any]:
        """A row of META, or what takes its place if that path is not what it was."""
        return dict(row) if facts["file"][row["path"]].token == row["path"] else self._row_again(row, hidden)

    def _row_again(self, row: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
        """What META would say now of a path."""
        if "pattern" in row:
            return {**row, "names": self.files.matches(row["pattern"])}
        return self.files.rows([self.files.path(row["path"])], hidden=hidden)[0]

    # -- the same, now --------------------------------------------------------------------------------------

    def now(
        self,
        meta: Mapping[str, Any],
        *,
        code: Code | None = None,
        look: Look | None = None,
        call: StepCall | None = None,
        hidden: Sequence[str] = (),
        written: Written = dict,
        metas: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        documentation: Callable[[], str] = str,
    ) -> dict[str, dict[str, Fact]]:
        """The facts of a checkpoint as they are now, those of them that can be told.

        Parameters
        ----------
        code, look, call
            Of the step, where its cell is known.
        written
            Gives, per path, the rows of what the steps of the pipeline left there, with the number of each.
        metas
            Gives META of the steps of the pipeline: lower ones may have told where modules are.
        documentation
            Says who reads documentation or annotations; empty if nobody does.
        """
        evidence = meta["evidence"]
        of = Codes(documentation)
        facts = {
            "file": self._files_now(meta, call, hidden, written),
            "module": {
                name: of.fact(f"module {name}", evidence["modules"][name], now)
                for name, now in self._modules_now(meta, metas).items()
            },
            "environment": {name: self.variables.now(name, then) for name, then in evidence["environ"].items()},
            "python": {"": Fact(platform.python_version(), platform.python_version())},
            "package": {
                name: Fact(now := record.version_as_then(name, then, version), now)
                for name, then in evidence["packages"].items()
                if (version := self._version(name)) is not None
            },
        }
        if code is not None:
            facts["code"] = {"": of.fact("the code", evidence["code"], Fact(essence_of(code), code.source))}
        facts["function"] = {
            name: with_values(of.fact(f"`{name}`", then["digest"], Fact(now["digest"], now["text"])), now["values"])
            for name, (then, now) in self.definitions.now(evidence, look).items()
        }
        if look is not None:
            facts["name"] = {
                name: Fact(value.__qualname__)
                for name in evidence["covered"]
                if (value := self.definitions.named(name)) is not None
            }
            facts["setting"] = {
                name: Fact(one, one) for name, one in look.settings.items() if name in evidence["settings"]
            }
            facts["setting"] |= {
                name: Fact(here, text=NUMBERS[name])
                for name, here in numbers.of_this_process().items()
                if name in evidence["settings"]
            }
            facts["key"] = {text: Fact(digest, text) for text, digest in look.keys.items()}
        return facts

    def secretive(self, meta: Mapping[str, Any] | None, look: Look | None) -> dict[str, list[str]]:
        """Modules that a step uses and that hold what nobody sees, each with those by which cells may change that."""
        evidence = (meta or {}).get("evidence") or {"modules": {}}
        names = {*FAR, *evidence["modules"], *(look.modules if look is not None else ())}
        return self.modules.importers(sorted(filter(self.modules.is_secretive, names)))

    def reader_among(self, metas: Iterable[Mapping[str, Any]]) -> str:
        """Which stored step, or module that one used, may read documentation or annotations; empty if none does."""
        for meta in metas:
            if essence.reads_documentation(meta["source"]):
                return f"step {meta['step']}"
            for name in meta["evidence"]["modules"] if meta["evidence"] is not None else ():
                if essence.reads_documentation(self.modules.text(name)):
                    return f"module {name}"
        return ""

    def shown(self, name: str) -> str:
        """The value of a name as people write it if it is short; empty for any other, and for what may be a secret."""
        return self.variables.told(name, self._namespace[name]) or "" if name in self._namespace else ""

    def _plain(self, values: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Values that the methods of a script read, which no step made, as `_functions` tells of functions."""
        found, unclear = {}, []
        for name, value in sorted(values.items()):
            if issubclass(type(value), (type, types.FunctionType, types.ModuleType, types.BuiltinFunctionType)):
                continue
            token = self.definitions.token(value)
            if token is None or token.startswith(record.UNKNOWN):
                unclear.append(f"`{name}` cannot be compared")
            else:
                text = self.variables.told(name, value)
                found[name] = {"digest": f"{token}:{token}", "values": "", "text": f"{name} = {text}" if text else ""}
        return found, unclear

    def _changed(self, code: Code, look: Look) -> list[str]:
        """What a method changed of the script that is neither an attribute nor an output: no restore brings it back."""
        if code.home is None:
            return []
        values = {**code.home, **code.members}
        for name in code.members:
            owner, _, attribute = name.rpartition(".")
            held = vars(cls) if isinstance(cls := references.at(owner, code.home), type) else {}
            values[name] = held.get(attribute, values[name])
        now, unknown = self._plain({name: values[name] for name in look.functions.keys() & values.keys()})
        changed = [name for name, one in now.items() if one["digest"] != look.functions[name]["digest"]]
        return [f"it changes `{name}`, which is no attribute of the instance" for name in changed] + unknown

    def _key(self, call: StepCall, text: str) -> str:
        """Digest of the value of a `--key` expression."""
        try:
            value = eval(text, self._main, self._namespace)  # noqa: S307  # the user's own expression, in the own namespace
        except Exception as error:
            reason = fingerprint.reason(error)
            raise UsageError(f"step {call.step}: --key {text} cannot be evaluated: {reason}; correct it") from error
        token = self.definitions.token(value)
        return token if token is not None else f"{record.UNKNOWN}{uuid.uuid4().hex}"

    # -- files ----------------------------------------------------------------------------------------------

    def _opened(
        self, running: Running, hidden: Sequence[str], unclear: list[str], behind: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the files that a step read, and of those that it wrote, temporary ones apart."""
        trail, look = running.trail, running.look
        counting = functools.partial(self.files.counting, hidden=hidden)
        read: dict[str, Any] = {path: trail.read[path] for path in counting(trail.read)}
        texts = dict.fromkeys(map(text_of, trail.imported))
        read |= dict.fromkeys(counting(texts.keys() - self.modules.files() - read.keys()))
        written = dict.fromkeys(counting(trail.written))
        native = unseen.readers(look, behind, self.modules)
        new, named = self._spoken_of(running, native, behind, {*read, *written}, counting, unclear)
        read |= dict.fromkeys(new)
        listed = counting(path for path in trail.listed if read.get(path) is None)
        asked = dict(trail.asked)
        if "scandir" in look.words and any(word.startswith("st") for word in look.words):  # asked of their entries
            entries = (os.path.join(folder, name) for folder in listed[:_FEW] for name in sorted(os.listdir(folder)))
            asked |= dict.fromkeys(counting(islice(entries, _FEW)), "all")
            read |= {path: None for path in asked if path not in written and path not in read}
        before = {path: row for path, row in read.items() if row is not None}
        unlooked = [path for path, row in read.items() if row is None]
        found_now = self.files.rows([*unlooked, *listed], hidden=hidden, asked=asked)
        after = {row["path"]: row for row in found_now}
        for path, row in zip(unlooked, found_now, strict=False):
            if row.get("ctime", 0) >= running.began and "count" not in row:
                after.pop(row["path"], None)
                if trail.commands or native or path in named:
                    written[path] = None  # by a program or library that it called
                else:
                    unclear.append(f"`{row['path']}` changed while the step ran")
        # what was not there before the step wrote it is its own, or what a program left that the step took away
        own = {path for path, row in before.items() if row.get("absent")}
        if trail.commands or native:
            own |= {path for path, row in before.items() if row.get("ctime", 0) >= running.began and "count" not in row}
        own |= {path for path in trail.kept if "count" in before.get(path, ())}  # a folder was emptied first
        # a database is written to by what Python does not see
        changed = [path for path, row in before.items() if self.files.is_same(row, hidden=hidden) is False]
        written |= dict.fromkeys(changed)
        rows = [row for path, row in before.items() if not (path in own and path in written)]
        passing = dict.fromkeys(filter(self.files.is_temporary, written))
        left = self.files.rows([path for path in written if path not in passing], hidden=hidden)
        temporary = self.files.there(islice(filter(os.path.isfile, passing), _FEW), end="")
        there = self.files.there(counting(path for path in trail.folders if path not in trail.written))
        known = {row["path"]: row for row in (*there, *rows, *after.values(), *running.depends)}
        gone = {self.files.name(path) for path in trail.kept}
        gone |= {row["path"] for row in before.values() if not row.get("absent")}
        left = [row for row in left if "count" not in row and (not row.get("absent") or row["path"] in gone)]
        return list(known.values()), left, temporary

    def _spoken_of(
        self,
        running: Running,
        native: Sequence[str],
        behind: Mapping[str, str],
        known: Set[str],
        counting: Callable[[Iterable[str]], list[str]],
        unclear: list[str],
    ) -> tuple[list[str], set[str]]:
        """Files that the code speaks of and that it, a program or a library may have read unseen.

        Beside them those that a library which nobody knows may have written. `native` are words for libraries that open
        files themselves, `known` files that were seen to be opened; what cannot be told is added to `unclear`.
        """
        trail, look = running.trail, running.look
        is_likely = native or trail.programs or not look.words.isdisjoint(_LOOKERS)
        strange = bool(unseen.strangers(look, behind, self.modules))
        if not (is_likely or strange):
            return [], set()
        folders = [text for text in look.texts if os.path.isdir(text)][:20]
        spoken = [*look.texts]
        if not is_likely:  # a lone `*` is rarely meant as a pattern
            spoken = [text for text in spoken if not glob.has_magic(text) or _OF_FILES.search(text)]
        if strange:  # it reads more of a folder of which it has Python open a file: `from_pretrained("model")`
            opened = {*map(os.path.dirname, trail.read), *trail.listed}
            spoken += [f"{folder}{os.sep}" for folder in folders if os.path.abspath(folder) in opened]
        if native or trail.programs:
            spoken += unseen.arguments((*look.texts, *trail.arguments))
        paths, vast = self.files.mentioned(spoken, folders)
        mentioned = counting(paths)
        new, named = [path for path in mentioned if path not in known], set[str]()
        if strange:  # of what such a library does nothing is known, but what the code names counts
            written = counting(trail.written)
            named = self._named(new, look.texts, {*trail.written, *trail.made, *map(os.path.dirname, written)})
        if native or trail.programs or strange:
            by_modules = [
                path for path in counting(self._named_by(behind, look.words)) if path not in {*known, *mentioned}
            ]
            new, named = [*new, *by_modules], {*named, *by_modules}
        if (native or trail.programs) and not running.depends:
            by_python = native and not trail.programs and set(native) <= unseen.PANDAS_READERS
            others = set(mentioned) - (trail.read.keys() - trail.looked)  # Python itself has opened the rest
            here = [*filter(os.path.exists, (*others, *(trail.read if by_python else ())))]
            is_vague = bool(vast or not here or (native and lone_endings(look.texts, here)))
            if is_vague or (trail.programs and unseen.starts_interpreter(trail.arguments or look.texts)):
                reader = f"files `{native[0]}` reads" if native else "files the programs read that it starts"
                unclear.append(f"which {reader} cannot be told; name them with --depends")
        return new if is_likely else sorted(named), named

    def _named_by(self, modules: Iterable[str], words: Set[str]) -> Iterator[str]:
        """The files that the code of modules names which code with these words calls."""
        words = self._words_called(words, modules)
        texts = (modulecode.texts_called(self.modules.text(name), words) for name in modules)
        for text in chain.from_iterable(texts):
            if "." in text and len(text) < _LONG and text.isprintable() and os.path.isfile(os.path.expanduser(text)):
                yield os.path.abspath(os.path.expanduser(text))

    def _named(self, paths: Iterable[str], texts: Iterable[str], written: Set[str]) -> set[str]:
        """The files among these paths; of those that only their folder stands for none where the step writes."""
        files = {path for path in paths if os.path.isfile(path)}
        direct = {os.path.abspath(text) for text in texts}
        return {path for path in files if path in direct or written.isdisjoint(map(os.fspath, Path(path).parents))}

    def _files_now(
        self,
        meta: Mapping[str, Any],
        call: StepCall | None,
        hidden: Sequence[str],
        written: Written,
    ) -> dict[str, Fact]:
        facts: dict[str, Fact] = {}
        left = functools.cache(written)  # of all steps, whose META is read for it
        for row in (*meta["evidence"]["files"], *meta["evidence"]["written"]):
            path = row["path"]
            if facts.get(path, Fact(path)).token != path:
                continue
            same = self.files.is_same(row, hidden=hidden)
            if same is False:
                same = self._is_of_other_steps(meta["step"], row, left(), hidden)
            shown = "" if same else file_text(self._row_again(row, hidden))
            facts[path] = Fact(path if same else None if same is None else "", shown)
        if call is not None:
            for row in self.files.depends(call.depends, hidden=hidden):
                facts.setdefault(row["path"], Fact("", file_text(row)))
        return facts

    def _is_of_other_steps(
        self,
        step: int,
        row: Mapping[str, Any],
        written: Mapping[str, Sequence[Mapping[str, Any]]],
        hidden: Sequence[str],
    ) -> bool:
        """Whether a path is what another step of the pipeline left there, after this one had left or found it so."""
        if "count" in row:
            since = (path for path, rows in written.items() if any(one["step"] >= step for one in rows))
            return bool(self.files.is_same(row, hidden=hidden, also=_names_below(row["path"], since)))
        rows = written.get(row["path"], ())
        return any(_is_equal(one, row) for one in rows) and any(self.files.is_same(one) for one in rows)

    # -- modules, packages, environment ---------------------------------------------------------------------

    def _asks_for_hashes(self, code: Code, words: vocabulary.Words, way: reaching.Reached | None) -> bool:
        """Whether a step's own code, and that of the notebook's functions, takes hashes for numbers."""
        if words.read.isdisjoint(hashes.ASKING) or "hash" in code.names.binds or "hash" in self._namespace:
            return False
        return (code.tree is not None and hashes.asked_in(code.tree)) or (
            way is not None and hashes.asked_by(way.codes)
        )

    def _sets(self, names: Iterable[str]) -> set[str]:
        """Those of these variables that are sets which another process goes through in another order."""
        return {name for name in names if sets.is_ordered_by_hashes(self._namespace.get(name))}

    def _words_called(self, words: Set[str], behind: Iterable[str]) -> Set[str]:
        """The words of code, and of what it calls in the modules behind it."""
        return words | modulecode.all_words_called(map(self.modules.text, behind), words)

    def _asked_at_import(
        self, behind: Mapping[str, str], called: Mapping[str, Set[str]], hidden: Sequence[str]
    ) -> Asked:
        """What modules have asked for when they were imported; as their texts tell, too: some reading is not seen."""
        seen = self.loads.of(behind, hidden=hidden)
        all_seen = [name for name in behind if self.loads.tells(name)]
        keys, paths, unclear = self.modules.asked_at_import(behind, called, seen=all_seen)
        known = {row["path"] for row in seen.files}
        more = [path for path in dict.fromkeys(paths) if self.files.name(path) not in known]
        rows = [*seen.files, *self.files.rows(self.files.counting(more, hidden=hidden), hidden=hidden)]
        if seen.all_of_environ:
            keys |= variables.all_of(seen.keys)
        else:
            keys |= seen.keys
        return Asked(list({row["path"]: row for row in rows}.values()), keys, unclear=[*seen.unclear, *unclear])

    def _modules_now(
        self, meta: Mapping[str, Any], metas: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> dict[str, Fact]:
        def found_by(steps: Iterable[Mapping[str, Any]]) -> dict[str, Fact]:
            """Look also where the steps have put folders into `sys.path`."""
            front, back = ambient.folders(one["paths"] for one in steps)
            with ambient.finding([*map(self.files.path, front)], [*map(self.files.path, back)]):
                return {name: self._module_now(name, then) for name, then in meta["evidence"]["modules"].items()}

        facts = found_by([meta])
        if all(fact.token is not None for fact in facts.values()):
            return facts
        return found_by(one for one in metas() if one["step"] <= meta["step"])

    def _module_now(self, name: str, then: str | None) -> Fact:
        path = self.modules.found(name)
        in_file = self.modules.of_file(path) if path is not None else None
        loaded = self.modules.loaded(name)
        if loaded is not None and loaded != then and in_file == then:
            return Fact(loaded, text=f"module {name} was edited after it was loaded here")
        if path is None and name not in sys.modules:
            if then == _OF_NOTHING:  # pytensor makes packages of the folders into which it compiles, for a while
                return Fact(then)
            return Fact(None, text=f"module {name} is not found")
        return Fact(in_file if loaded in (None, then) else loaded)

    def _packages(self, modules: Iterable[str]) -> dict[str, str]:
        tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"__main__", "ckpt_magic", ""}
        versions = {top: self._version(top) for top in sorted(tops)}
        return {top: version for top, version in versions.items() if version is not None}

    def _version(self, top: str) -> str | None:
        if top not in self._versions or top in sys.modules:
            self._versions[top] = record.packages([top]).get(top)
        return self._versions[top]

    def _shown(self, names: Iterable[str]) -> dict[str, str]:
        return {name: text for name in sorted(names) if (text := self.shown(name))}


def _with_items(values: Iterable[Any], *, deep: bool = True) -> Iterator[Any]:
    """Values, and what containers and objects among them hold, if not `deep` only these themselves.

    But for what holds much; and where modules are found is compared with the modules.
    """
    for value in values:
        todo, met = [value], set[int]()
        while todo and len(met) < _FEW:
            one = todo.pop()
            yield one
            kind = type(one)
            if kind in references.ATOMS or identity(one) in met or one is sys.path or (met and not deep):
                continue
            met.add(identity(one))
            if kind in (list, tuple, dict):  # most are
                if len(one) <= _FEW:
                    todo += one
                    todo += one.values() if kind is dict else ()
            elif not issubclass(kind, _HOLDERS_OF_CODE + _WRITERS):
                todo += _items(one, kind)


def _items(value: Any, kind: type) -> list[Any]:
    """What one container or object holds; nothing for a long one."""
    found = list[Any]()
    for base in (list, tuple, set, frozenset, dict):
        if issubclass(kind, base) and base.__len__(value) <= _FEW:
            found += base.__iter__(value)
            found += dict.values(value) if base is dict else ()
    if issubclass(kind, functools.partial):  # who asks it for its attributes gives it a dict of them, which is seen
        return [value.func, value.args, value.keywords]
    if references.library_of(kind) in owned.HOSTS:  # `sys.stdout` leads to all that the kernel has
        return found
    ways = (vars(cls)["__dict__"] for cls in kind.__mro__ if "__dict__" in vars(cls))
    way: Any = next(ways, None)
    attributes = way.__get__(value) if type(way) in _OF_ATTRIBUTES else None
    return found + [*attributes.values()] if type(attributes) is dict and len(attributes) <= _FEW else found


def _kept_by(definitions: Iterable[Any]) -> Iterator[Any]:
    """What functions have as defaults and in closures, and classes as attributes."""
    for one in definitions:
        if issubclass(type(one), type):
            yield from vars(one).values()
        elif type(one) is types.FunctionType:
            yield from (one.__defaults__, one.__kwdefaults__)
            for cell in one.__closure__ or ():
                with suppress(ValueError):  # it is empty
                    yield cell.cell_contents


def _bound(values: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Files that values go on reading, and what cannot be told of them."""
    found, unclear = list[str](), list[str]()
    for name, value in values.items():
        paths, unknown = bindings.files_behind(value)
        found += paths
        unclear += [_unknown_files(name, f"a {kind}") for kind in unknown]
    return found, unclear


def _unknown_files(name: str, what: str) -> str:
    return f"which files `{name}` reads ({what}) cannot be told; name them with --depends"


def _is_made_up(name: str) -> bool:
    """Whether a module was put together by code, or by what code put among the finders: there is no text of it."""
    module = sys.modules.get(name)
    if type(module) is not types.ModuleType or hasattr(module, "__file__") or name == "__main__":
        return False
    spec = module.__spec__
    return spec is None or (spec.origin not in ("built-in", "frozen") and spec.submodule_search_locations is None)


def essence_of(code: Code) -> str:
    """Digest of what the code of a step does."""
    if code.tree is None:
        return code.digest
    digest = essence.digest(code.tree, code.source, code.digest.removesuffix(";"))
    return digest.replace(":", ";:") + ";" if code.digest.endswith(";") else digest


def _constants(codes: Iterable[types.CodeType]) -> Iterator[str]:
    for code in with_nested(codes):
        yield from (const for const in _with_items(code.co_consts) if type(const) is str)


def _short_of_text(functions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    room, kept = MUCH_TEXT, {}
    for name, one in functions.items():
        room -= len(one["text"])
        kept[name] = {**one, "text": one["text"] if room >= 0 else ""}
    return kept


def _names_below(folder: str, written: Iterable[str]) -> set[str]:
    """The names in a folder that files among `written` bring about."""
    top = "" if folder == "." else f"{folder}{os.sep}"
    return {path.removeprefix(top).partition(os.sep)[0] for path in written if path.startswith(top)}


def _is_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return "digest" in one and one.get("digest") == other.get("digest")
