"""Which files code opens, which folders it lists, which environment variables it asks for, while a step runs.

One audit hook per process, and one dict in place of the one below `os.environ`; both do nothing but while a `Trail`
is being laid. They record, and judge nothing: see `evidence`.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_READS: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)  # what `open` asks for to read
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_COMMANDS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}
)
# Who opens the text of modules, or lists folders for them; who asks for the environment on nobody's behalf.
_FROZEN: Final = ("<frozen importlib", "<frozen zipimport")
_SHOWERS: Final = ("linecache.py", "tokenize.py")


class Trail:
    """What was opened since it began, in order.

    Attributes
    ----------
    read
        Files opened for reading, and before anything was written to them: path to what `digest` said of it when it
        was about to be written to; None where it was not.
    written
        Files opened for writing, renamed to or removed, in order.
    listed
        Folders whose names were listed.
    environ
        Environment variables that were asked for, with the value at the first time (None: it was not set). Those that
        the code itself had set before are not among them.
    all_of_environ
        Whether all variables were gone through.
    commands
        Whether other programs were started: what they open is not seen.
    """

    def __init__(self, digest: Callable[[str], Any]) -> None:
        self.read: dict[str, Any] = {}
        self.written: dict[str, None] = {}
        self.listed: dict[str, None] = {}
        self.environ: dict[str, str | None] = {}
        self.environ_set: set[str] = set()
        self.all_of_environ = False
        self.commands = False
        self._digest = digest
        self._cwd = _folder()

    def reads(self, paths: Iterable[Any]) -> None:
        """Files were opened for reading."""
        for path in paths:
            absolute = self._absolute(path)
            if absolute is not None and absolute not in self.written:
                self.read.setdefault(absolute, None)

    def changes_folder(self, path: Any) -> None:
        """The working directory is about to change."""
        absolute = self._absolute(path)
        self._cwd = absolute if absolute is not None else self._cwd

    def writes(self, path: Any, *, reads: bool = False) -> None:
        """A file is about to be changed (and read?); what of it was read is kept in mind."""
        absolute = self._absolute(path)
        if absolute is None:
            return
        if absolute not in self.written and (reads or absolute in self.read) and self.read.get(absolute) is None:
            self.read[absolute] = self._digest(absolute)
        self.written[absolute] = None

    def connects(self, path: Any) -> None:
        """A database is about to be opened: what will be done to it is not known."""
        absolute = self._absolute(path)
        if absolute is not None and absolute not in self.written and absolute not in self.read:
            self.read[absolute] = self._digest(absolute)

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
        self._opened: dict[str, None] = {}  # to be read, as they were given, relative to the folder we are in
        self._lock = threading.Lock()
        self._plain: dict[Any, Any] | None = None  # what lies below `os.environ` while nothing is noted
        self._asked = _asked(self)
        sys.addaudithook(self._hook())
        os.register_at_fork(after_in_child=self._stop)

    @contextmanager
    def laying(self, trail: Trail) -> Iterator[None]:
        """Note on `trail` what is opened within."""
        self.start(trail)
        try:
            yield
        finally:
            self.stop(trail)

    def start(self, trail: Trail) -> None:
        """Note on `trail` what is opened from now on."""
        with self._lock:
            self._settle()
            self._trails.append(trail)
            self._watch_environ()

    def stop(self, trail: Trail) -> None:
        """Note nothing more on `trail`."""
        with self._lock:
            self._settle()
            self._trails[:] = [one for one in self._trails if one is not trail]
            if not self._trails:
                self._leave_environ()

    def _settle(self) -> None:
        """Give the trails what was opened, before anything happens by which a path may mean something else."""
        paths = list(self._opened)
        for path in paths:
            self._opened.pop(path, None)
        for trail in self._trails:
            trail.reads(paths)

    def _stop(self) -> None:
        """Be inert in a forked child."""
        self._lock = threading.Lock()
        self._trails.clear()
        self._opened.clear()
        self._leave_environ()

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        trails, opened = self._trails, self._opened

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            # Each line here is paid for by each file that a step opens.
            if trails:
                if event == "open":
                    path, _, flags = arguments
                    if flags == _READS and path.__class__ is str and path[-1:] not in "yc":  # .py, .pyc
                        opened[path] = None
                    else:
                        self._opens(path, flags)
                elif event in _EVENTS:
                    self._settle()
                    for trail in tuple(trails):
                        _EVENTS[event](trail, arguments)

        return hook

    def _opens(self, path: Any, flags: int) -> None:
        if flags & _WRITES:
            self._settle()
            for trail in tuple(self._trails):
                trail.writes(path, reads=flags & (os.O_RDWR | os.O_TRUNC | os.O_EXCL) == os.O_RDWR)
        elif isinstance(path, (str, bytes)):
            if not _is_import(path):
                self._opened[os.fsdecode(path)] = None
        elif isinstance(path, os.PathLike):
            self._opened[os.fsdecode(path)] = None

    def _watch_environ(self) -> None:
        """Put our dict below `os.environ` (and `os.environb`), which stay the objects that they are."""
        data = os.environ._data  # type: ignore[attr-defined]
        if type(data) is dict:
            self._plain = data
            _put_below_environ(data, self._asked(data))

    def _leave_environ(self) -> None:
        """Put the dict back that was there, with what the environment holds now."""
        data, plain = os.environ._data, self._plain  # type: ignore[attr-defined]
        if type(data) is self._asked and plain is not None:
            plain.clear()
            plain.update(data)
            _put_below_environ(data, plain)
        self._plain = None

    def asks_for_all(self) -> None:
        """Code goes through all environment variables."""
        if self._trails and _counts(sys._getframe(2)):
            for trail in self._trails:
                trail.all_of_environ = True

    def sets(self, name: Any) -> None:
        """Code sets or deletes an environment variable."""
        for trail in self._trails:
            trail.environ_set.add(os.fsdecode(name))

    def asks(self, name: Any) -> None:
        """Code asks for an environment variable."""
        if not self._trails:
            return
        text = os.fsdecode(name)
        trails = tuple(one for one in self._trails if text not in one.environ and text not in one.environ_set)
        if not trails or not _counts(sys._getframe(2)):
            return
        value = dict.get(os.environ._data, name)  # type: ignore[attr-defined]
        for trail in trails:
            trail.environ[text] = None if value is None else os.fsdecode(value)


@functools.cache
def watcher() -> Watcher:
    """The watcher of this process: an audit hook cannot be taken away again, so there is one."""
    return Watcher()


def _put_below_environ(old: dict[Any, Any], new: dict[Any, Any]) -> None:
    mappings: list[Any] = [os.environ, getattr(os, "environb", os.environ)]
    for mapping in mappings:
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
            watcher.sets(key)
            dict.__setitem__(self, key, value)

        def __delitem__(self, key: Any) -> None:
            watcher.sets(key)
            dict.__delitem__(self, key)

        def __reduce__(self) -> tuple[Any, ...]:
            return dict, (dict(self),)

    return Data


def _counts(frame: types.FrameType | None) -> bool:
    """Whether it is the user's code that asks, or a library on its behalf: not the standard library, nor an import."""
    while frame is not None and frame.f_globals.get("__name__") in ("os", "_collections_abc", "collections.abc"):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] == "ckpt_magic":
        return False
    asks = str(frame.f_globals.get("__name__"))
    if asks.partition(".")[0] in sys.stdlib_module_names and frame.f_code.co_name not in ("expandvars", "main"):
        return asks == "__main__"
    while frame is not None:
        if frame.f_code.co_filename.startswith(_FROZEN):
            return False
        frame = frame.f_back
    return True


def _is_import(path: Any) -> bool:
    """Whether the text of a module is opened to import or to show it."""
    if type(path) is not str or not path.endswith((".py", ".pyc")):
        return False
    asks = sys._getframe(3).f_code.co_filename
    return asks.startswith(_FROZEN) or asks.endswith(_SHOWERS)


def _listing(trail: Trail, arguments: tuple[Any, ...]) -> None:
    if not sys._getframe(2).f_code.co_filename.startswith(_FROZEN):
        trail.lists(arguments[0])


def _renaming(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.writes(arguments[0])
    trail.writes(arguments[1])


def _commanding(trail: Trail, arguments: tuple[Any, ...]) -> None:
    trail.commands = True


_EVENTS: Final[dict[str, Callable[[Trail, tuple[Any, ...]], None]]] = {
    "os.listdir": _listing,
    "os.scandir": _listing,
    "os.chdir": lambda trail, arguments: trail.changes_folder(arguments[0]),
    "os.rename": _renaming,
    "os.link": lambda trail, arguments: trail.writes(arguments[1]),
    "os.symlink": lambda trail, arguments: trail.writes(arguments[1]),
    "os.remove": lambda trail, arguments: trail.writes(arguments[0]),
    "os.truncate": lambda trail, arguments: trail.writes(arguments[0]),
    "sqlite3.connect": lambda trail, arguments: trail.connects(arguments[0]),
    **dict.fromkeys(_COMMANDS, _commanding),
}


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return os.sep
