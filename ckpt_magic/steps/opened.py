"""Which files code opens or looks for, which folders it lists, what it asks of the environment and of `__main__`.

One audit hook per process does nothing but while a `Trail` is being laid, as a step runs. Only then there is another
dict below `os.environ`, something in the place of `os.stat` and its like, of which the hook is not told, and another
class of the module `__main__`. All record, and judge nothing: see `evidence`.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Set
from contextlib import contextmanager, suppress
from importlib.util import source_from_cache
from typing import Any, Final

from ckpt_magic.values import ambient, owned

_READS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)  # what `open` asks for to read
_ENDS: Final = frozenset("yc")  # of .py and .pyc
_MOST: Final = 1000  # arguments of a program that are kept in mind
_FULL: Final = 100_000  # opened files that are kept in mind before they are looked at
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_COMMANDS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}
)
# Who opens the text of modules, or lists folders for them.
_FROZEN: Final = ("<frozen importlib", "<frozen zipimport")
_OF_PACKAGES: Final = frozenset({"importlib.metadata", "importlib_metadata", "pkg_resources"})
# Who reads the text of code, and who does it only to show where something happened.
_SHOWERS: Final = frozenset({"linecache", "tokenize", "inspect"})
_OPENS: Final = "_modified_open"  # what the cells of a notebook find as `open`, a function of IPython
_TELLERS: Final = frozenset({"traceback", "warnings", "logging", "IPython", "stack_data", "executing", "pdb", "bdb"})
_USERS: Final = frozenset({"__main__"})
_ASKERS: Final = frozenset({"expandvars", "main", "which", "getuser", "_candidate_tempdir_list"})  # of Python, for them
# Who runs the text of a script, or of a statement, for them.
_RUNNERS: Final = _USERS | {"runpy", "code", "codeop", "timeit", "profile", "cProfile", "doctest"}
_COMPILERS: Final = _RUNNERS | {"IPython.core.interactiveshell", "IPython.utils.py3compat"}  # these not for cells
_STARTERS: Final = _USERS | {"IPython", "pexpect", "ptyprocess"}  # who starts programs for them
_LOOKS: Final = ("stat", "lstat", "access", "readlink")
# What asks a file for nothing but whether it is there, and how large; and what asks where links lead.
_EXISTENCE: Final = frozenset({"exists", "lexists", "isfile", "isdir", "is_file", "is_dir", "getsize"})
_LINKS: Final = frozenset({"islink", "is_symlink", "realpath", "_joinrealpath"})


class Trail:
    """What was opened since it began, in order.

    Attributes
    ----------
    read
        Files opened for reading, and before anything was written to them: path to what `digest` said of it when it
        was about to be written to; None where it was not.
    looked
        Those among them that were not opened, only asked for, as far as that is known.
    made
        Folders that were made, or would have been if they had not been there.
    asked
        Files of which more was asked than whether they are there: "all", or just the "link".
    written
        Files opened for writing, renamed to or removed, in order.
    kept
        Those among them that were there before, and of which that counts though nobody read it: they were added to,
        removed or given another name.
    added
        What those that were added to were before: who reads one afterwards reads that, too.
    listed
        Folders whose names were listed.
    folders
        Those that were asked for and there.
    environ
        Environment variables that were asked for, with the value at the first time (None: it was not set). Those that
        the code itself had set before are not among them, but for those that it put back.
    loaded_under
        Those that the code itself had set before, and for which a module asked while it was loaded.
    put
        Those that the code set past `os.environ`.
    all_of_environ
        Whether all variables were gone through.
    commands
        Whether other programs were started: what they open is not seen.
    programs
        Whether that was done by the user's code, and not by a library.
    arguments
        The command lines of those, in parts.
    imported
        Texts of modules that were opened to import them.
    named
        Names that were asked of the module `__main__`: bytes that are unpickled name what code does not.
    modules
        Modules that such bytes name.
    connected
        Whether anything was connected to.
    is_blind
        Whether nobody sees what is only asked for.
    sees_looks
        Whether what is only asked for is noted, but by modules that are being loaded.
    loading
        What modules of the user's own opened while they were loaded, by their names; of what was written to afterwards
        they say what it was.
    compiles
        Is told of the texts that are about to run as code, scripts among them, and of code that was compiled before.
    """

    def __init__(self, digest: Callable[[str], Any], *, is_blind: bool = False) -> None:
        self.is_blind = is_blind
        self.read: dict[str, Any] = {}
        self.asked: dict[str, str] = {}
        self.looked: set[str] = set()
        self.made: set[str] = set()
        self.written: dict[str, None] = {}
        self.kept: set[str] = set()
        self.added: dict[str, Any] = {}
        self.listed: dict[str, None] = {}
        self.folders: dict[str, None] = {}
        self.environ: dict[str, str | None] = {}
        self.environ_set: set[str] = set()
        self.environ_set_here: set[str] = set()
        self.environ_before: dict[str, str | None] = {}
        self.loaded_under: set[str] = set()
        self.put: set[str] = set()
        self.all_of_environ = False
        self.commands = False
        self.programs = False
        self.arguments: list[str] = []
        self.imported: dict[str, None] = {}
        self.named: set[str] = set()
        self.modules: set[str] = set()
        self.connected = False
        self.sees_looks = True
        self.loading: dict[str, Trail] = {}
        self.compiles: Callable[[str | types.CodeType], None] | None = None
        self.compiled: set[Any] = set()  # as what: a file, `<string>`
        self._digest = digest
        self._cwd = ambient.cwd() or os.sep

    def load(self, module: str) -> Trail:
        """What a module opens that is being loaded."""
        if module not in self.loading:
            self.loading[module] = Trail(self._digest, is_blind=self.is_blind)
        return self.loading[module]

    def reads(self, paths: Iterable[Any]) -> None:
        """Files were opened for reading."""
        for path in paths:
            absolute = self._absolute(path)
            if absolute is not None and (absolute not in self.written or absolute in self.added):
                self.read.setdefault(absolute, self.added.get(absolute))

    def changes_folder(self, path: Any) -> None:
        """The working directory is about to change."""
        absolute = self._absolute(path)
        self._cwd = absolute if absolute is not None else self._cwd

    def writes(self, path: Any, *, reads: bool = False, keeps: bool = False) -> None:
        """A file is about to be changed, perhaps read or added to before; what of it was read is kept in mind."""
        absolute = self._absolute(path)
        if absolute is None:
            return
        if keeps and absolute not in self.written and os.path.lexists(absolute):
            self.kept.add(absolute)
        if absolute not in self.written and (reads or absolute in self.read) and self.read.get(absolute) is None:
            self.read[absolute] = self._digest(absolute)
        self.written[absolute] = None

    def adds(self, path: Any) -> str | None:
        """A file is about to be added to; its path if it was read for that."""
        absolute = self._absolute(path)
        if absolute is None or absolute not in self.kept or absolute in self.read or absolute in self.added:
            return None
        self.added[absolute] = self._digest(absolute)
        return absolute

    def makes(self, path: Any) -> None:
        """A folder is about to be made, unless it is there."""
        absolute = self._absolute(path)
        if absolute is not None:
            self.made.add(absolute)
            if not os.path.lexists(absolute):
                self.written[absolute] = None
                self.asked.pop(absolute, None)  # whatever was asked, there was no folder to tell it

    def connects(self, path: Any) -> None:
        """A database is about to be opened: what will be done to it is not known."""
        if isinstance(path, str) and path.startswith("file:"):
            path = _path_of(path)
        absolute = self._absolute(path)
        if absolute is not None and absolute not in self.written and absolute not in self.read:
            self.read[absolute] = self._digest(absolute)

    def looks(self, path: Any, asked: str) -> None:
        """Code asked for a file; of a folder that is there it asks no more than that, unless it is a link."""
        absolute = self._absolute(path)
        if absolute is None:
            return
        if os.path.isdir(absolute) and not (asked and os.path.islink(absolute)):
            if absolute not in self.written:
                self.folders[absolute] = None
            return
        if asked and absolute not in self.written and self.asked.get(absolute) != "all":
            self.asked[absolute] = asked
        if absolute not in self.read:
            if absolute not in self.written:
                self.read[absolute] = None
            self.looked.add(absolute)

    def imports(self, path: Any) -> None:
        """The text of a module was opened."""
        absolute = self._absolute(path)
        if absolute is not None:
            self.imported[absolute] = None

    def lists(self, path: Any) -> None:
        """The names in a folder are about to be listed."""
        absolute = self._absolute("." if path is None else path)
        if absolute is not None:
            self.listed[absolute] = None

    def _absolute(self, path: Any) -> str | None:
        if type(path) is str and path.startswith("/") and os.sep == "/":  # tens of thousands may come
            return os.path.normpath(path)
        if isinstance(path, (bytes, bytearray)):
            path = os.fsdecode(bytes(path))
        if not isinstance(path, (str, os.PathLike)) or not (text := os.fspath(path)) or isinstance(text, bytes):
            return None  # a file descriptor
        return os.path.normpath(os.path.join(self._cwd, text))


class Watcher:
    """The hook and the dict of one process."""

    def __init__(self) -> None:
        self._trails: list[Trail] = []  # of all threads: whose thread opens a file does not tell whose file it is
        self._opened = deque[str]()  # to be read, as they were given, relative to the folder we are in
        self._loading = list[int]()  # threads that have begun to load modules of the user's, perhaps still do
        self._lock = threading.Lock()
        self._plain: dict[Any, Any] | None = None  # what lies below `os.environ` while nothing is noted
        self._asked = _asked(self)
        self._looks = [_Look(self, name) for name in _LOOKS]
        self._main: types.ModuleType | None = None  # the module `__main__`, while what is asked of it is noted
        self._asked_main = _asked_main(self)
        sys.addaudithook(self._hook())
        os.register_at_fork(after_in_child=self._stop)

    @contextmanager
    def laying(self, trail: Trail, *, looks: bool = True, main: bool = True) -> Iterator[None]:
        """Note on `trail` what is opened within; see `start`."""
        self.start(trail, looks=looks, main=main)
        try:
            yield
        finally:
            self.stop(trail)

    def start(self, trail: Trail, *, looks: bool = True, main: bool = True) -> None:
        """Note on `trail` what is opened from now on, what of files is `looked` at, what is asked of `__main__`."""
        with self._lock:
            self._settle()
            self._trails.append(trail)
            self._watch_environ()
            if main:
                self._watch_main()
            trail.sees_looks = looks
            if looks:
                self._begin_looks()

    def _begin_looks(self) -> None:
        owned.installed()  # it asks for files at the first time, and whoever asks is told by it
        for look in self._looks:
            look.begin()

    def stop(self, trail: Trail) -> None:
        """Note nothing more on `trail`."""
        with self._lock:
            self._settle()
            self._trails[:] = [one for one in self._trails if one is not trail]
            if not self._trails:
                self._leave()

    def _leave(self) -> None:
        self._loading.clear()
        self._leave_environ()
        self._leave_main()
        for look in self._looks:
            look.end()

    def _settle(self) -> None:
        """Give the trails what was opened, before anything happens by which a path may mean something else."""
        paths = list[str]()
        with suppress(IndexError):
            while True:  # one by one: other threads add to them, and settle, too
                paths.append(self._opened.popleft())
        for trail in self._trails:
            trail.reads(paths)

    def _stop(self) -> None:
        """Be inert in a forked child."""
        self._lock = threading.Lock()
        self._trails.clear()
        self._opened.clear()
        self._leave()

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        trails, opened, note, loading = self._trails, self._opened, self._opened.append, self._loading

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            # Each line here is paid for by each file that a step opens: what a path means is found out later.
            if trails and event == "open":
                path, _, flags = arguments
                if flags == _READS and type(path) is str and path[-1:] not in _ENDS:
                    note(path)
                    if loading:
                        self._reads_loading(path)
                    if len(opened) > _FULL:
                        self._settle()
                else:
                    self._opens(path, flags)
            elif trails and event in _OF_CODE:
                for trail in tuple(trails):
                    if trail.compiles is not None:
                        _OF_CODE[event](trail, trail.compiles, *arguments)
            elif trails and event in _EVENTS:
                self._settle()
                others = self._parts() if event in _CHANGES else self._loads(sys._getframe(1)) if loading else ()
                for trail in (*trails, *others):
                    _EVENTS[event](trail, arguments)

        return hook

    def _opens(self, path: Any, flags: int) -> None:
        if flags & _WRITES:
            self._settle()
            for trail in (*self._trails, *self._parts()):
                kept = not flags & (os.O_TRUNC | os.O_EXCL)
                trail.writes(path, reads=kept and bool(flags & os.O_RDWR), keeps=kept)
                if kept and flags & os.O_APPEND and (added := trail.adds(path)) is not None:
                    with suppress(ValueError):
                        self._opened.remove(added)  # the trail did that, to tell what it was
        elif isinstance(path, (str, bytes)):
            text = os.fsdecode(path)
            if not text.endswith((".py", ".pyc")) or _reads_text(frame := sys._getframe(2)):
                self._opened.append(text)
                self._reads_loading(text)
            elif frame.f_code.co_filename.startswith(_FROZEN):
                for trail in (*self._trails, *self._loads(frame)):
                    trail.imports(text)
                if owned.is_own_file(text_of(text)):
                    self._loading.append(threading.get_ident())
                    if not any(trail.is_blind for trail in self._trails):
                        self._begin_looks()
        elif isinstance(path, os.PathLike):
            self._opened.append(os.fsdecode(path))
            self._reads_loading(os.fsdecode(path))

    def _parts(self) -> Iterator[Trail]:
        for trail in self._trails:
            yield from tuple(trail.loading.values())

    def _reads_loading(self, path: str) -> None:
        for trail in self._loads(sys._getframe(2)):
            trail.reads([path])

    def _loads(self, frame: types.FrameType | None, *, itself: bool = False) -> list[Trail]:
        """The trails of the user's modules that are being loaded; with `itself` none if they load a library."""
        if not self._loading:
            return []
        names = [*_loaded_by(frame, itself=itself)]
        if not names and (ident := threading.get_ident()) not in self._loading:  # for one that waits for it
            frames = sys._current_frames()
            names = [name for one in {*self._loading} for name in _loaded_by(frames.get(one))]
        elif not names and not any(_loaded_by(frame)):
            self._loading[:] = [one for one in self._loading if one != ident]
        return [trail.load(name) for trail in tuple(self._trails) for name in names]

    def looks(self, look: str, path: Any) -> None:
        """Code asks for a file that it may not open."""
        if self._trails and isinstance(path, (str, bytes, os.PathLike)):
            text = os.fsdecode(path)
            frame = sys._getframe(2)
            if _is_by(frame, _USERS) and not _is_made(frame):
                for trail in (*(one for one in self._trails if one.sees_looks), *self._loads(frame)):
                    trail.looks(text, _asked_by(frame, look))

    def _watch_environ(self) -> None:
        """Put our dict below `os.environ` (and `os.environb`), which stay the objects that they are."""
        data = getattr(_ENVIRON, "_data", None)
        if type(data) is dict:
            self._plain = data
            _put_below_environ(data, self._asked(data))

    def _leave_environ(self) -> None:
        """Put the dict back that was there, with what the environment holds now."""
        data, plain = getattr(_ENVIRON, "_data", None), self._plain
        if type(data) is self._asked and plain is not None:
            plain.clear()
            plain.update(data)
            _put_below_environ(data, plain)
        self._plain = None

    def _watch_main(self) -> None:
        main = sys.modules.get("__main__")
        if self._main is None and type(main) is types.ModuleType:
            self._main = main
            main.__class__ = self._asked_main

    def _leave_main(self) -> None:
        if self._main is not None and type(self._main) is self._asked_main:
            self._main.__class__ = types.ModuleType
        self._main = None

    def asks_main(self, name: str) -> None:
        """Code asks for a name of the notebook as an attribute of its module."""
        if not name.startswith("__"):
            for trail in tuple(self._trails):
                trail.named.add(name)

    def gives_main(self) -> None:
        """Code is given the module `__main__` as it is, and nobody is told what it asks for from now on."""
        for name in tuple(vars(self._main)):
            self.asks_main(name)
        self._main.__class__ = types.ModuleType

    def asks_for_all(self) -> None:
        """Code goes through all environment variables."""
        if self._trails and _counts(frame := sys._getframe(2), loading=bool(self._loading)):
            noted = self._loads(frame, itself=True) if _is_loading(frame) else self._trails
            for trail in noted:
                trail.all_of_environ = True

    def sets(self, name: Any, value: Any = None) -> None:
        """Code sets an environment variable, or deletes it if there is no `value`."""
        if not self._trails:
            return
        text, before, frame = os.fsdecode(name), _text(dict.get(_ENVIRON._data, name)), sys._getframe(2)
        is_loading = _is_loading(frame)
        for trail in (*self._loads(frame), *self._trails):
            was = trail.environ_before.setdefault(text, before)
            if _text(value) == was != before:  # it is put back, as `mock.patch.dict` does with all
                trail.environ_set.discard(text)
                trail.environ_set_here.discard(text)
                continue
            trail.environ_set.add(text)
            if not is_loading:  # a module does so each time that it is loaded
                trail.environ_set_here.add(text)

    def asks(self, name: Any) -> None:
        """Code asks for an environment variable."""
        if not self._trails:
            return
        text = os.fsdecode(name)
        for trail in self._trails:
            if text in trail.environ_set_here and text not in trail.loaded_under and _is_loading(sys._getframe(2)):
                trail.loaded_under.add(text)
        frame = sys._getframe(2)
        is_loading = bool(self._loading) and _is_loading(frame)
        noted = self._loads(frame, itself=True) if is_loading else self._trails
        trails = [one for one in noted if text not in one.environ and text not in one.environ_set]
        if not trails or not _counts(frame, loading=is_loading):
            return
        value = _text(dict.get(_ENVIRON._data, name))
        for trail in trails:
            trail.environ[text] = value


@functools.cache
def watcher() -> Watcher:
    """The watcher of this process: an audit hook cannot be taken away again, so there is one."""
    return Watcher()


# Code may put a dict of its own in its place, which is no more of the environment than any other.
_ENVIRON: Final[Any] = os.environ


def _put_below_environ(old: dict[Any, Any], new: dict[Any, Any]) -> None:
    for mapping in (_ENVIRON, getattr(os, "environb", _ENVIRON)):
        if mapping._data is old:
            mapping._data = new


def _asked(watcher: Watcher) -> type[dict[Any, Any]]:
    class Data(dict[Any, Any]):
        """The environment as `os` holds it."""

        def __getitem__(self, key: Any) -> Any:
            watcher.asks(key)
            return dict.__getitem__(self, key)

        def __contains__(self, key: Any) -> bool:
            watcher.asks(key)
            return dict.__contains__(self, key)

        def __iter__(self) -> Iterator[Any]:
            watcher.asks_for_all()
            return dict.__iter__(self)

        def __setitem__(self, key: Any, value: Any) -> None:
            watcher.sets(key, value)
            dict.__setitem__(self, key, value)

        def __delitem__(self, key: Any) -> None:
            watcher.sets(key)
            dict.__delitem__(self, key)

        def __reduce__(self) -> tuple[Any, ...]:
            return dict, (dict(self),)

    return Data


def _asked_main(watcher: Watcher) -> type[types.ModuleType]:
    class Main(types.ModuleType):
        """The module `__main__`."""

        def __getattribute__(self, name: str) -> Any:
            watcher.asks_main(name)
            return super().__getattribute__(name)

        def __reduce_ex__(self, protocol: Any) -> Any:
            """Be an ordinary module again for picklers that know one by its class, as cloudpickle does."""
            watcher.gives_main()
            return operator.getitem, ((self,), 0)

    return Main


def _text(value: Any) -> str | None:
    return None if value is None else os.fsdecode(value)


def _counts(frame: types.FrameType | None, *, loading: bool = False) -> bool:
    """Whether it is the user's code that asks, or a library on its behalf: not the standard library, nor an import.

    With `loading` it may be an import.
    """
    while frame is not None and frame.f_globals.get("__name__") in ("os", "_collections_abc", "collections.abc"):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] == "ckpt_magic":
        return False
    if frame.f_code.co_name == "expanduser":
        return _is_by(frame, _USERS)
    asks = str(frame.f_globals.get("__name__"))
    if asks.partition(".")[0] in sys.stdlib_module_names and frame.f_code.co_name not in _ASKERS:
        return asks == "__main__"
    return loading or not _is_loading(frame)


def _is_loading(frame: types.FrameType | None) -> bool:
    """Whether code runs because a module is imported."""
    while frame is not None and not frame.f_code.co_filename.startswith(_FROZEN):
        frame = frame.f_back
    return frame is not None


def _loaded_by(frame: types.FrameType | None, *, itself: bool = False) -> Iterator[str]:
    """The user's modules that are being loaded; with `itself` only if their own code runs, and loads no other one."""
    while frame is not None:
        code = frame.f_code
        if itself and code.co_filename.startswith(_FROZEN):
            return
        name = frame.f_globals.get("__name__") if code.co_name == "<module>" else None
        if isinstance(name, str) and name != "__main__" and owned.is_own(name):
            yield name
            itself = False
        frame = frame.f_back


def _path_of(uri: str) -> str:
    """The path that a database is opened by, given as `file:data.db?mode=ro`."""
    from urllib.parse import unquote  # here, since few databases are opened so

    path = unquote(uri.removeprefix("file:").partition("?")[0].partition("#")[0])
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


class _Look:
    """Stands in the place of a function of `os` that tells of files, and equals it: sets of `os` hold those."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        self._watcher, self._name, self.native = watcher, name, getattr(os, name)
        functools.update_wrapper(self, self.native)

    def __call__(self, path: Any, *args: Any, **options: Any) -> Any:
        self._watcher.looks(self._name, path)
        return self.native(path, *args, **options)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.native

    def __hash__(self) -> int:
        return hash(self.native)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (os, self._name)

    def begin(self) -> None:
        """Take the place, unless somebody else has."""
        if getattr(os, self._name) is self.native:
            setattr(os, self._name, self)

    def end(self) -> None:
        """Leave it."""
        if getattr(os, self._name) is self:
            setattr(os, self._name, self.native)


def has_native(namespace: Mapping[str, Any]) -> bool:
    """Whether a name means a function of `os` in whose place something else stands while it is watched."""
    natives = set(map(id, (getattr(os, name) for name in _LOOKS)))
    return not natives.isdisjoint(map(id, list(namespace.values())))


def put_native(namespace: MutableMapping[str, Any]) -> None:
    """Give the names that a step bound to what stood in the place of a function of `os` that function itself."""
    for name, value in list(namespace.items()):
        if type(value) is _Look:
            namespace[name] = value.native


def _reads_text(frame: types.FrameType | None) -> bool:
    """Whether code is read as a text: not to import it, nor to show where something happened."""
    if frame is not None and frame.f_code.co_filename.startswith(_FROZEN):
        return False
    while frame is not None and (frame.f_globals.get("__name__") in _SHOWERS or frame.f_code.co_name == _OPENS):
        frame = frame.f_back
    return frame is None or _top(frame) not in _TELLERS


def _is_by(frame: types.FrameType | None, tops: Set[str]) -> bool:
    """Whether it is the user's code that does something, or one of these on its behalf."""
    while frame is not None:
        top = _top(frame)
        if top in tops or owned.is_own(str(frame.f_globals.get("__name__"))):
            return True
        if top not in sys.stdlib_module_names or frame.f_code.co_filename.startswith(_FROZEN):
            return False
        frame = frame.f_back
    return True  # in a thread that runs nothing else


def _is_made(frame: types.FrameType | None) -> bool:
    """Whether a folder is asked for since it is about to be made, if it is not there."""
    while frame is not None and _top(frame) in sys.stdlib_module_names:
        if frame.f_code.co_name in ("makedirs", "mkdir"):
            return True
        frame = frame.f_back
    return False


def _asked_by(frame: types.FrameType, look: str) -> str:
    """What of a file is asked for: all, where a link leads, or (empty) no more than whether it is there."""
    if _top(frame) == "pathlib" and frame.f_code.co_name in _LOOKS and frame.f_back is not None:
        frame = frame.f_back  # `Path.exists` calls `Path.stat`
    name = frame.f_code.co_name if _top(frame) in sys.stdlib_module_names else ""
    return "link" if look == "readlink" or name in _LINKS else "" if name in _EXISTENCE else "all"


def text_of(path: str) -> str:
    """The text that the compiled text of a module is of."""
    try:
        return source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path


def _top(frame: types.FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _listing(trail: Trail, arguments: tuple[Any, ...]) -> None:
    frame = sys._getframe(2)
    if frame.f_code.co_filename.startswith(_FROZEN) or frame.f_globals.get("__name__") in _OF_PACKAGES:
        return  # looking for modules and packages
    if _top(frame) != __name__.partition(".")[0]:
        trail.lists(arguments[0])


def _renaming(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.writes(_below(arguments[0], arguments[2]), keeps=True)
    trail.writes(_below(arguments[1], arguments[3]))


def _below(path: Any, folder: int) -> Any:
    """A path that was given relative to an open folder, as `shutil.rmtree` does; None if nobody knows which it is."""
    if folder < 0 or not isinstance(path, (str, bytes, os.PathLike)):
        return path
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
    except OSError:
        return None


def _commanding(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.commands = True
    if _is_by(sys._getframe(2), _STARTERS):
        trail.programs = True
        trail.arguments += _texts(arguments[:2])  # not its environment


def _texts(arguments: Iterable[Any]) -> Iterator[str]:
    for one in arguments:
        if isinstance(one, (str, bytes, os.PathLike)):
            yield os.fsdecode(one)
        elif isinstance(one, (list, tuple)):
            yield from _texts(one[:_MOST])


_Tell = Callable[[str | types.CodeType], None]


def _compiling(trail: Trail, tell: _Tell, text: Any, file: Any) -> None:
    by = str(sys._getframe(2).f_globals.get("__name__"))
    if isinstance(text, (str, bytes)) and (by in _COMPILERS or owned.is_own(by)):
        trail.compiled.add(file)
        tell(text if isinstance(text, str) else text.decode(errors="replace"))


def _executing(trail: Trail, tell: _Tell, code: types.CodeType) -> None:
    """Code that was compiled before, and modules that run without an import of them: by `runpy`, or by a loader."""
    frame, file = sys._getframe(2), code.co_filename
    caller = frame.f_back.f_back if frame.f_back is not None else None
    is_frozen = frame.f_code.co_filename.startswith(_FROZEN)
    is_loader = is_frozen and caller is not None and not caller.f_code.co_filename.startswith(_FROZEN)
    is_runner = is_loader or frame.f_globals.get("__name__") in _RUNNERS
    is_file = os.path.isabs(file)
    if is_runner and file not in trail.compiled and (owned.is_own_file(file) or not is_file):
        trail.reads([file] if is_file else ())
        tell(code)


def _putting(trail: Trail, arguments: tuple[Any, ...]) -> None:
    frame = sys._getframe(2)
    if frame.f_globals.get("__name__") != "os" and _is_by(frame, _USERS):  # not `os.environ`, which does so, too
        trail.put.add(os.fsdecode(arguments[0]))


def _forking(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.commands = True


def _connecting(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.connected = True


_EVENTS: Final[dict[str, Callable[[Trail, tuple[Any, ...]], None]]] = {
    "os.listdir": _listing,
    "os.scandir": _listing,
    "os.chdir": lambda trail, arguments: trail.changes_folder(arguments[0]),
    "os.rename": _renaming,
    "os.link": lambda trail, arguments: trail.writes(_below(arguments[1], arguments[3])),
    "os.symlink": lambda trail, arguments: trail.writes(_below(*arguments[1:3])),
    "os.mkdir": lambda trail, arguments: trail.makes(_below(arguments[0], arguments[2])),
    **dict.fromkeys(("os.rmdir", "os.remove"), lambda trail, arguments: trail.writes(_below(*arguments), keeps=True)),
    "os.truncate": lambda trail, arguments: trail.writes(arguments[0], keeps=True),
    **dict.fromkeys(("os.putenv", "os.unsetenv"), _putting),
    "sqlite3.connect": lambda trail, arguments: trail.connects(arguments[0]),
    **dict.fromkeys(("socket.connect", "socket.getaddrinfo"), _connecting),
    "pickle.find_class": lambda trail, arguments: trail.modules.add(arguments[0]),
    **dict.fromkeys(_COMMANDS, _commanding),
    "os.fork": _forking,
}

_OF_CODE: Final[dict[str, Callable[..., None]]] = {
    "compile": _compiling,
    "exec": _executing,
}

# What makes another file of one, or a path mean another one.
_CHANGES: Final = frozenset(
    {"os.chdir", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.remove", "os.truncate"}
)
