"""Files and folders as evidence: what one was, as a row of META, and whether it still is that.

A path inside the project is told relative to it, so that moving the project changes nothing.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from ckpt_magic.files.store import is_of_store
from ckpt_magic.files.trust import key_folder
from ckpt_magic.values import owned
from ckpt_magic.values.pages import new_hash

Row = Mapping[str, Any]


class Mentioned(NamedTuple):
    """What texts seem to mean: `paths`, and `vast` folders or patterns, of which nothing is among the paths."""

    paths: list[str]
    vast: list[str]


LARGE: Final = 64 << 20  # bytes; of a larger file size and times count
_SMALL: Final = 1 << 20  # bytes; a smaller one is read each time, whatever its times say
_MUCH: Final = 256 << 20  # bytes that are read for one step
_MANY: Final = 1000  # names of a folder that are kept, and files whose contents are looked at for one step
_MOST: Final = 5000  # files that texts mean without naming each
_LONG: Final = 100  # letters of the beginning of a file's name
_FEW: Final = 10  # ends of such names
_NO_FILES: Final = frozenset({"__pycache__", ".ipynb_checkpoints", ".git", ".pytest_cache", ".mypy_cache"})
_OF_THE_SYSTEM: Final = (
    "/proc/",
    "/sys/",
    "/etc/",
    "/usr/",
    "/lib/",
    "/lib64/",
    "/bin/",
    "/run/",
    "/var/lib/",
    "/dev/null",
)
_OF_DRIVES: Final = re.compile("/run/(?:media|user/[^/]+/gvfs)/").match  # which a desktop mounts there
_DEVICES: Final = ("/dev/random", "/dev/urandom", "/dev/zero", "/dev/tty", "/dev/pts/", "/dev/fd/", "/dev/std")
_OF_THE_USER: Final = (".ipython", ".jupyter", ".matplotlib", ".cache/matplotlib", ".config/matplotlib")
_OF_PACKAGES: Final = re.compile("|".join(map(re.escape, owned.OF_PACKAGES))).search
_FILE_NAME: Final = re.compile(r"[^\s:*?\"<>|]*\.[A-Za-z]\w{0,8}")


class Files:
    """The files of one project.

    Parameters
    ----------
    base
        The folder of the project.
    notebook
        The notebook itself, if it is known.

    Attributes
    ----------
    planned
        Per path the text that a file will have, whatever it has now.
    """

    def __init__(self, base: Path, notebook: Path | None = None) -> None:
        self.base = os.fspath(base)
        self._notebook = None if notebook is None else os.path.normpath(notebook)
        self.planned: Mapping[str, str] = {}
        self._below_base = self.base if self.base.endswith(os.sep) else self.base + os.sep
        self._elsewhere = owned.installed()
        home = f"{os.path.expanduser('~')}{os.sep}"
        self._not_the_users = (*_OF_THE_SYSTEM, *_DEVICES, *(f"{home}{name}" for name in _OF_THE_USER))

    def counting(self, paths: Iterable[str], *, hidden: Sequence[str] = ()) -> list[str]:
        """Those of the paths that are the user's: not of Python, a package or the system, nor ours.

        Ours are the files in the `hidden` folders that the store has there, and those folders if nothing else is there.
        """
        if not (paths := list(paths)):  # as of most cells
            return []
        below, base, others = self._below_base, self.base, self._not_the_users
        elsewhere = (*self._elsewhere, f"{key_folder()}{os.sep}")
        ours = (*hidden, *(f"{folder}{os.sep}" for folder in hidden))
        return [
            path
            for path in paths
            if not (path.startswith(elsewhere) or path.endswith(".pyc") or _OF_PACKAGES(path))
            and (path.startswith(below) or path == base or not f"{path}{os.sep}".startswith(others) or _OF_DRIVES(path))
            and not (path.startswith(ours) and _is_ours(path, hidden))
        ]

    def is_temporary(self, path: str) -> bool:
        """Whether a file lies where temporary ones do, outside of the project."""
        return _is_inside(path, tempfile.gettempdir()) and not _is_inside(path, self.base)

    def name(self, path: str) -> str:
        """A path as META has it."""
        if path == self.base:
            return os.curdir
        return os.path.normpath(path[len(self._below_base) :]) if path.startswith(self._below_base) else path

    def path(self, name: str) -> str:
        """The path that a name in META means here."""
        return os.path.normpath(os.path.join(self.base, name))

    def rows(
        self, paths: Iterable[str], *, hidden: Sequence[str] = (), asked: Mapping[str, str] = {}
    ) -> list[dict[str, Any]]:
        """What these paths are now, as rows of META.

        `hidden` are folders of the store, see `counting`; of `asked` paths all counts, or the link.
        """
        room, found = _MUCH, []
        for number, path in enumerate(paths):
            row = self._row(path, hidden, deep=number < _MANY and room > 0)
            room -= row["size"] if "digest" in row else 0
            row |= {"asked": _asked(path, asked[path])} if path in asked else {}
            found.append(row)
        return found

    def row(self, path: str) -> dict[str, Any]:
        """What one path is now."""
        return self._row(path, (), deep=True)

    def is_same(self, row: Row, *, hidden: Sequence[str] = (), also: Iterable[str] = ()) -> bool | None:
        """Whether a path is what its row says; None if that cannot be told.

        `also` are names that a folder may have got or lost since.
        """
        path = self.path(row["path"])
        if path in self.planned:
            digest = new_hash(self.planned[path].encode("utf-8", "surrogatepass")).hexdigest()
            return row.get("digest") == digest and not row.get("asked")
        if "pattern" in row:
            return bool(self.matches(row["pattern"]) == list(row["names"]))
        if "asked" in row and row["asked"] != _asked(path, "link" if row["asked"].startswith("->") else "all"):
            return False
        now = self._row(path, hidden, deep=False)
        if row.get("absent") or now.get("absent") or ("count" in row) != ("count" in now):
            return bool(row.get("absent")) and bool(now.get("absent"))
        if "count" in row:
            new = {os.path.basename(one) for one in self.planned if os.path.dirname(one) == path}
            if new and not isinstance(now["names"], str):
                now = {**now, "names": sorted({*now["names"], *new})}
            if row["names"] == now["names"]:
                return True
            if isinstance(row["names"], str) or isinstance(now["names"], str):
                return False
            return {*row["names"]} ^ {*now["names"]} <= set(also)
        if row["size"] != now["size"]:
            return False
        same_times = (row["mtime"], row["ctime"]) == (now["mtime"], now["ctime"])
        if "digest" in row and (row["size"] <= _SMALL or not same_times):
            return bool(_digest(path) == row["digest"])
        return True if same_times else None if row["mtime"] == now["mtime"] else False

    def depends(self, given: Iterable[str], *, hidden: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows of what `--depends` names: files, folders with all below them, patterns with all that match."""
        rows: dict[str, dict[str, Any]] = {}
        for text in given:
            if glob.has_magic(text):
                names = self.matches(text)
                rows[text] = {"path": text, "pattern": text, "names": names}
            else:
                names = [self.path(os.path.expanduser(text))]
            every = [one for name in names for one in sorted(_below(self.path(name), ())) if not _is_ours(one, hidden)]
            rows.update({row["path"]: row for row in self.rows(every, hidden=hidden)})
        return list(rows.values())

    def there(self, paths: Iterable[str], *, end: str = os.sep) -> list[dict[str, Any]]:
        """Rows of folders of which no more counts than that they are there; without an `end` also of files."""
        names = [f"{self.name(path)}{end}" for path in paths]
        return [{"path": name, "pattern": glob.escape(name), "names": [name]} for name in names]

    def matches(self, pattern: str) -> list[str]:
        """Names of the files that a pattern matches."""
        return sorted(glob.glob(os.path.expanduser(pattern), root_dir=self.base, recursive=True))

    def mentioned(self, texts: Iterable[str], folders: Iterable[str] = ()) -> Mentioned:
        """Paths that texts seem to mean: those that exist, alone or below one of `folders`, and those like files.

        The notebook, which each edit writes anew, is meant only by its name.
        """
        texts = [text for text in dict.fromkeys(texts) if 0 < len(text) < 500 and text.isprintable()]
        here = os.getcwd()
        tops = [here, here, *map(os.path.abspath, folders)]  # twice, for names that begin with `/`: see below
        endings = [text for text in texts if _is_ending(text)][:_FEW]
        found, vast, met = dict[str, None](), list[str](), set[tuple[str, bool]]()
        for text in texts:
            if "://" in text or text in (".", ".."):
                continue
            for number, top in enumerate(tops):
                # what a text begins with `/` may have come after the name of a folder: `f"{folder}/data.nc"`
                below = text.lstrip(os.sep) if number else os.path.expanduser(text)
                path, is_deep = os.path.normpath(os.path.join(top, below)), os.sep in text or top != tops[0]
                if os.path.isfile(path):
                    found[path] = None
                    continue
                # a lone `/` joins names: that all files of the machine are meant is not likely
                if (path, is_deep) in met or top == os.sep or not path.strip(os.sep):
                    continue
                met.add((path, is_deep))
                some: Iterable[str] = ()
                if glob.has_magic(text):
                    some = glob.iglob(path, recursive=True)
                elif os.path.isdir(path):
                    some = _below(path, self._elsewhere, packages=False) if is_deep else ()
                elif not number and _FILE_NAME.fullmatch(text):
                    some = (text in endings and _joined(tops, texts, text)) or [path]
                others = (one for one in some if one != self._notebook)
                paths = sorted(islice(others, max(0, _MOST + 1 - len(found))))
                if len(found) + len(paths) > _MOST:
                    vast.append(path)
                    continue
                found |= dict.fromkeys(paths)
                if glob.has_magic(text):
                    found |= dict.fromkeys(map(os.path.dirname, paths))  # what will match there
        return Mentioned([*found], vast)

    def _row(self, path: str, hidden: Sequence[str], *, deep: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"path": self.name(path)}
        try:
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                names = sorted(_names(path, hidden))
                return {**row, "count": len(names), "names": names if len(names) <= _MANY else _hash(names)}
        except (OSError, ValueError):
            return {**row, "absent": True}
        row |= {"size": status.st_size, "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns}
        if deep and stat.S_ISREG(status.st_mode) and status.st_size <= LARGE and (digest := _digest(path)) is not None:
            row["digest"] = digest
        return row


def lone_endings(texts: Collection[str], paths: Collection[str]) -> list[str]:
    """Ends of files' names among these texts with which no path ends, but for paths that a whole name stands for."""
    ends = [text for text in texts if _is_ending(text)]
    names = tuple(text for text in texts if ends and text not in ends and text.endswith(tuple(ends)))
    others = [path for path in paths if not path.endswith(names)]
    return [end for end in ends if not any(path.endswith(end) for path in others)]


def _is_ending(text: str) -> bool:
    """Whether a text looks like the end of a file's name, the rest of which comes from elsewhere: `name + ".csv"`."""
    return text[:1] in ("_", "-", ".") and _FILE_NAME.fullmatch(text) is not None


def _joined(tops: Iterable[str], texts: Iterable[str], ending: str) -> list[str]:
    """Files whose names are a text and this ending."""
    starts = [text for text in texts if len(text) < _LONG and not text.isspace()][:_MANY]
    paths = (os.path.normpath(os.path.join(top, f"{start}{ending}")) for top in dict.fromkeys(tops) for start in starts)
    return [path for path in paths if os.path.isfile(path)]


def _below(path: str, hidden: tuple[str, ...], *, packages: bool = True) -> Iterator[str]:
    """A path and all below it, but for folders whose paths, with a `/` behind, begin with one of `hidden`."""
    yield path
    todo = [path] if os.path.isdir(path) else []
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                is_folder = os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()
                inside = f"{entry.path}{os.sep}"
                is_left_out = entry.name in _NO_FILES or inside.startswith(hidden)
                if is_folder and (is_left_out or not (packages or _OF_PACKAGES(inside) is None)):
                    continue
                yield entry.path
                if is_folder and not entry.is_symlink():
                    todo.append(entry.path)


def _asked(path: str, what: str) -> str:
    """Where a link leads, and if `what` is "all" time and rights, too."""
    try:
        link = f"->{os.readlink(path) if os.path.islink(path) else ''}"
        status = os.stat(path) if what == "all" else None
    except OSError:
        return "->"
    return link if status is None else f"{status.st_mtime_ns} {status.st_mode} {link}"


def _names(path: str, hidden: Sequence[str]) -> Iterator[str]:
    is_store = path in hidden
    for name in os.listdir(path):
        if name not in _NO_FILES and os.path.join(path, name) not in hidden and not (is_store and is_of_store(name)):
            yield name


def _is_ours(path: str, hidden: Iterable[str]) -> bool:
    """Whether a path is one of these folders of the store, if nothing else is in it, or lies there and is ours.

    The user may keep checkpoints beside data, in the folder of the project even.
    """
    for folder in hidden:
        if path == folder:
            with suppress(OSError):
                return all(map(is_of_store, os.listdir(folder)))
            return True
        if path.startswith(f"{folder}{os.sep}") and is_of_store(path[len(folder) + 1 :].partition(os.sep)[0]):
            return True
    return False


def _digest(path: str) -> str | None:
    """Digest of what is in a file; of a database of SQLite without the numbers that count how often it was changed."""
    digest = new_hash()
    try:
        with open(path, "rb", buffering=0) as file:
            begin = bytearray(file.read(_HEADER))
            if begin.startswith(_SQLITE):
                for at in _COUNTERS:
                    begin[at : at + 4] = bytes(4)
            digest.update(begin)
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return str(digest.hexdigest())


# Of a change, of one of the schema, and of the change that the version was noted at: https://sqlite.org/fileformat.html
_COUNTERS: Final = (24, 40, 92)
_SQLITE: Final = b"SQLite format 3\0"
_HEADER: Final = 100  # bytes


def _hash(names: Iterable[str]) -> str:
    return str(new_hash("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest())


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)
