"""The modules of the user's own that code runs through: what they were when they were loaded, what they are now."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
import types
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from ckpt_magic.values import owned, owners
from ckpt_magic.values.code import modulecode, vocabulary

FAR: Final = ("codecs", "copyreg")
"""Modules that hold what works on code which never names them."""

_SECRETIVE: Final = frozenset({*FAR, "csv", "gc", "signal"})
_DRAWING: Final = frozenset({"rich.style"})
"""Modules of libraries that draw a random number when they are loaded: scikit-learn loads it by the way."""
_SECRETS: Final = frozenset({"nonlocal", "lru_cache", "cache", "cached_property", "ctypes"})


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A module as it was when it was met: `spec` is another one after a reload. Parsed only when it is asked after."""

    spec: Any
    text: str | None


class Modules:
    """The user's own modules of one kernel.

    A module that was edited after it was loaded is not what its file says, and only who saw it being loaded can tell.
    So they are noticed as soon as they are there.

    Parameters
    ----------
    folders
        Where modules are looked for before `sys.path`: where no kernel runs, the folder that one would run in.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        self._folders = [*folders]
        self._last_folders: list[str] = []
        self.planned: Mapping[str, str] = {}  # per path the text that it will have, whatever it has now
        self._loaded: dict[str, _Loaded] = {}
        self._texts: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._by_step: dict[Hashable, set[str]] = {}

    def look_in(self, folder: str, *, first: bool) -> None:
        """Take a folder to be in `sys.path`, as cells will have put it there."""
        if first:
            self._folders.insert(0, folder)
        else:
            self._last_folders.append(folder)

    def notice(self) -> None:
        """Meet the modules that were loaded, or loaded again, since."""
        for name in owned.own_modules():
            self._loaded.setdefault(name, _Loaded(None, None))
        for name, known in self._loaded.items():
            module = sys.modules.get(name)
            spec = getattr(module, "__spec__", None)
            if module is not None and (known.spec is None or spec is not known.spec):
                self._loaded[name] = _Loaded(spec, self._text(module.__file__))

    def names(self) -> list[str]:
        """Those that were met."""
        return [name for name in self._loaded if name in sys.modules]

    def loaded_by(self, step: Hashable, before: Set[str]) -> set[str]:
        """Those that a step loaded, beside the ones that were there `before` it, as far as an import finds them again.

        A module is loaded once: those that an earlier run of the step loaded, or its restore, are among them. So are
        those of libraries that draw: where the step is restored, no later step is to draw by loading one.
        """
        found = self._by_step.setdefault(step, set())
        found |= {name for name in self.names() if name not in before and owned.is_found(name)}
        found |= {name for name in _DRAWING if name in sys.modules and name not in before}
        return found

    def restored(self, step: Hashable, imports: Iterable[str]) -> None:
        """Note what was imported where a step was restored."""
        self._by_step.setdefault(step, set()).update(name for name in imports if owned.is_own(name) or name in _DRAWING)

    def loaded(self, name: str) -> str | None:
        """Digest of a module as it was loaded here; None if it is not."""
        known = self._loaded.get(name)
        if known is None or known.text is None or name not in sys.modules:
            return None
        return modulecode.digest(known.text)

    def of_file(self, path: str | os.PathLike[str]) -> str | None:
        """Digest of the text of a module as its file is now; None if it cannot be read."""
        text = self._text(path)
        return None if text is None else modulecode.digest(text)

    def found(self, name: str) -> str | None:
        """Path of the file that an import of this module would load now; None if there is none."""
        if sys.modules.get(name) is not None:
            return owned.file_of(name)
        parts, spec = name.split("."), None
        places: Sequence[str] | None = [*self._folders, *sys.path, *self._last_folders]
        for number in range(len(parts)):  # not by `importlib.util.find_spec`, which imports the packages above
            spec = PathFinder.find_spec(".".join(parts[: number + 1]), places) if places is not None else None
            if spec is None:
                return None
            places = spec.submodule_search_locations
        return spec.origin if spec is not None else None

    def behind(self, names: Iterable[str], imported: Iterable[str] = ()) -> dict[str, str]:
        """The files of the user's own modules among `names`, of all that they import, and of what acts on those.

        Cells have called what is in the modules `imported` by them.
        """
        found: dict[str, str] = {}
        met: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in met:
                met.add(name)
                todo += self._leads_to(name)
                if self._is_here(name):
                    found[name] = str(sys.modules[name].__file__)
            if not todo and found:
                todo = [one for one in self.names() if one not in met and self.acts_on(one, found, frozenset())]
        tops = {"builtins", *(one.partition(".")[0] for one in met)}
        called = self.own(imported)
        for name in [
            one for one in self.names() if one not in met and self.acts_on(one, (), tops, is_called=one in called)
        ]:
            # by itself and what it imports: of the packages above it not all matters that they hold
            for one in (name, *_absolute(self._package(name), self.imports(name))):
                if self._is_here(one):
                    found[one] = str(sys.modules[one].__file__)
        return found

    def own(self, names: Iterable[str]) -> dict[str, str]:
        """The texts of the user's own modules among `names` and of all that they import, loaded or not."""
        found: dict[str, str] = {}
        met: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in met or not name or name.partition(".")[0] in sys.stdlib_module_names:
                continue
            met.add(name)
            path = self.found(name)
            text = self._text(path) if path is not None and owned.is_own_file(path) else None
            if path is not None and text is not None:
                found[name] = text
                todo += [name.rpartition(".")[0], *_absolute(self._package(name), modulecode.imports(text))]
        return found

    def in_order(self, name: str, own: Container[str]) -> list[str]:
        """The modules among `own` that an import of one of them runs, in their order."""
        found: dict[str, bool] = {}  # whether it ran to its end

        def enter(name: str) -> None:
            if name in found or name not in own:
                return
            found[name] = False
            for one in _absolute(self._package(name), modulecode.imports_in_order(self.text(name))):
                enter(one)
            del found[name]
            found[name] = True

        parts = name.split(".")
        for number in range(len(parts)):
            enter(".".join(parts[: number + 1]))
        return [*found]

    def acts_on(self, name: str, own: Container[str], libraries: Set[str], *, is_called: bool = False) -> bool:
        """Whether a module changes something in one of these; of libraries count attributes set by its import.

        If it `is_called` those count that its functions set, too.

        What libraries keep otherwise, options, items or generators, is told by its values.
        """
        text = (self._loaded[name].text or "") if name in self._loaded else self.text(name)
        at_import, ever, more = modulecode.acts_on(text)
        if not more:
            return False
        package, sets = self._package(name), ever if is_called else at_import
        return any(self._module_of(one) in own for one in _absolute(package, more)) or any(
            one.partition(".")[0] in libraries for one in _absolute(package, sets)
        )

    def _module_of(self, name: str) -> str:
        """The module of that name, or the one out of which something of that name is imported."""
        above = name.rpartition(".")[0]
        is_there = name in sys.modules if not above or above in sys.modules else self.found(name) is not None
        return name if is_there else above or name

    def _package(self, name: str) -> str:
        """The package that a module is in; one that is not loaded is found by its file."""
        if name in sys.modules:
            return getattr(sys.modules[name], "__package__", None) or ""
        return name if os.path.basename(self.found(name) or "") == "__init__.py" else name.rpartition(".")[0]

    def _is_here(self, name: str) -> bool:
        return name in self._loaded and sys.modules.get(name) is not None

    def _leads_to(self, name: str) -> list[str]:
        """The modules that a module imports or holds, and the package that it is in."""
        parent = name.rpartition(".")[0]
        found = [parent] if parent else []  # of `from package import name` the name may be that of no module
        if self._is_here(name):
            found += _absolute(self._package(name), self.imports(name))
        return found + _inside(sys.modules.get(name))

    def asked_at_import(
        self, behind: Mapping[str, str], called: Mapping[str, Set[str]], *, seen: Container[str] = ()
    ) -> tuple[set[str], list[str], list[str]]:
        """What modules ask for when they are imported: environment variables, files; and what cannot be told.

        Those of `called` keep what cells have called them for, with these texts in their code. Of those of which all
        was `seen` that they read when they were imported, nothing needs to be told.
        """
        keys, paths, unclear = set[str](), list[str](), list[str]()
        for name, file in behind.items():
            text, when = self._text(file), "is called above" if name in called else "is imported"
            asked = modulecode.AtImport() if text is None else _asked(text, called=name in called)
            keys |= asked.keys
            texts = asked.texts | called.get(name, frozenset())
            is_seen = name in seen and name not in called
            if asked.opens:
                found = list(_mentioned(texts, [os.getcwd(), os.path.dirname(file)]))
                paths += found
                if not (found or is_seen):
                    unclear.append(f"which files module `{name}` reads when it {when} cannot be told")
            if asked.lists:
                folders = [os.path.dirname(file)] if asked.near else []
                folders += _folders(texts, [os.getcwd(), os.path.dirname(file)])
                paths += folders
                if not (folders or is_seen):
                    unclear.append(f"which folders module `{name}` lists when it {when} cannot be told")
        return keys, paths, unclear

    def sought(self, names: Iterable[str], behind: Iterable[str]) -> list[str]:
        """Where modules would lie that are imported and not there, by these `names` or in the modules `behind`."""
        todo, met, paths = list(names), set[str](), list[str]()
        for name in behind:
            todo += _absolute(self._package(name), self.imports(name))
        while todo:
            name = todo.pop()
            if name in sys.modules or name in met or name.partition(".")[0] in sys.stdlib_module_names:
                continue
            met.add(name)
            parent, _, last = name.rpartition(".")
            package = sys.modules.get(parent)
            if parent and (package is None or hasattr(package, last)):
                todo.append(parent)
                continue
            places = [*getattr(package, "__path__", ())] if parent else [*sys.path]
            folders = filter(os.path.isdir, map(os.path.abspath, places))
            here = [os.path.join(folder, name) for folder in folders for name in (f"{last}.py", last)]
            paths += here if not any(map(os.path.exists, here)) else []
        return paths

    def reaches_the_notebook(self, name: str) -> bool:
        """Whether a module may read variables of the notebook by their names."""
        return modulecode.reaches_the_notebook(self.text(name))

    def importers(self, names: Iterable[str]) -> dict[str, list[str]]:
        """For each of these modules it and, if it is the user's own, all of them that lead to it."""
        found = {name: [name] for name in names}
        if not any(map(self._is_here, found)):
            return found
        ways: dict[str, list[str]] = {}
        met, todo = set[str](), self.names()
        while todo:
            name = todo.pop()
            if name not in met:
                met.add(name)
                more = self._leads_to(name)
                todo += more
                for one in more:
                    ways.setdefault(one, []).append(name)
        for name in filter(self._is_here, found):
            back, todo = {name}, [name]
            while todo:
                new = set(ways.get(todo.pop(), ())) - back
                back |= new
                todo += new
            found[name] += sorted(filter(self._is_here, back - {name}))
        return found

    def is_secretive(self, name: str) -> bool:
        """Whether a module may keep what nobody sees: in a closure, a cache, an iterator, in C code."""
        if name in _SECRETIVE:
            return True
        return self._is_here(name) and (
            not self.words(name).isdisjoint(_SECRETS)
            or any(hasattr(type(one), "__next__") for one in vars(sys.modules[name]).values())
        )

    def imports(self, name: str) -> frozenset[str]:
        """What the text of a module imports; relative names begin with dots."""
        return modulecode.imports(self.text(name))

    def libraries(self, names: Iterable[str]) -> set[str]:
        """What these modules import that is there and not of the user's own."""
        found = {one for name in names for one in _absolute(self._package(name), self.imports(name))}
        return {one for one in found if one.partition(".")[0] in sys.modules and not owned.is_own(one)}

    def words(self, name: str) -> frozenset[str]:
        """The words in the text of a module."""
        return _words(self.text(name))

    def text(self, name: str) -> str:
        """The text of a module, as an import would load it now."""
        return self._text(self.found(name)) or ""

    def script(self, path: str) -> tuple[str, str] | None:
        """Where a script lies, and its text; None if there is none."""
        for folder in (*self._folders[:1], os.getcwd()):
            found = os.path.abspath(os.path.join(folder, os.path.expanduser(path)))
            if (text := self._text(found)) is not None:
                return found, text
        return None

    def files(self) -> set[str]:
        """The files of those that are loaded."""
        return {*self.files_by_name().values()}

    def files_by_name(self) -> dict[str, str]:
        """The same by the names of the modules."""
        return {name: str(getattr(sys.modules[name], "__file__", "")) for name in self.names()}

    def _text(self, path: Any) -> str | None:
        if path in self.planned:
            return self.planned[path]
        try:
            status = os.stat(path)
            stamp = status.st_mtime_ns, status.st_size, status.st_ctime_ns
            known = self._texts.get(str(path))
            if known is None or known[0] != stamp:
                known = self._texts[str(path)] = stamp, Path(path).read_text("utf-8", "surrogateescape")
        except (OSError, TypeError):
            return None
        return known[1]


_cached: Final = functools.lru_cache(maxsize=1024)  # scripts run many pipelines over the same modules
_asked: Final = _cached(modulecode.at_import)


@_cached
def _words(text: str) -> frozenset[str]:
    return vocabulary.words_in([text])


def _mentioned(texts: Iterable[str], folders: Sequence[str]) -> Iterator[str]:
    """Files that texts mean, alone or below a folder that another one means."""
    texts = _like_paths(texts)
    inner = [os.path.join(folder, text) for folder in folders for text in texts]
    for folder in [*folders, *filter(os.path.isdir, inner)]:
        for text in texts:
            path = os.path.normpath(os.path.join(folder, os.path.expanduser(text)))
            if os.path.isfile(path):
                yield path


def _folders(texts: Iterable[str], tops: Sequence[str]) -> list[str]:
    """Folders that texts mean; of a pattern the one in which it begins."""
    named = [re.split(r"[^/]*[*?[]", text)[0] for text in _like_paths(texts)]
    paths = (os.path.normpath(os.path.join(top, os.path.expanduser(text))) for top in tops for text in named)
    return [*dict.fromkeys(filter(os.path.isdir, paths))]


def _like_paths(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if 0 < len(text) < 500 and text.isprintable()]


def _inside(module: Any) -> list[str]:
    """Names of the modules that a module of the user's own, or a package that has no file, holds."""
    if type(module) is not types.ModuleType or (name := owners.module_of(module)) == "__main__":
        return []
    is_open = getattr(module, "__file__", None) is None or owned.is_own(name)
    held = vars(module).values() if is_open else ()
    return [owners.module_of(one) for one in held if type(one) is types.ModuleType]


def _absolute(package: str, names: Iterable[str]) -> Iterator[str]:
    """Imported names, those relative to a package made absolute."""
    for name in names:
        if not name.startswith("."):
            yield name
            continue
        try:
            yield importlib.util.resolve_name(name, package)
        except ImportError:
            continue
