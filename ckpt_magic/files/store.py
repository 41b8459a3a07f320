"""A folder of checkpoints: names, atomic publishing, listing, setting aside, deleting.

Knows file names and the file system. What is inside a file is the business of `format`, which is asked only where two
pipelines look the same as file names, and to sign a file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import io
import os
import platform
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from time import monotonic, sleep, time  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar, cast

from ckpt_magic.errors import CheckpointError, StoreError, UsageError
from ckpt_magic.files import format, signing
from ckpt_magic.files.disk import Explained, is_alive, remedy, settle_folder
from ckpt_magic.files.trust import Keyring

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows: no locks there, publishing is atomic all the same
    fcntl = importlib.import_module("fcntl")

T = TypeVar("T")

LONGEST_NAME = 100
ASIDE = ".verify-"  # how a folder inside another begins in which steps run aside
_ASKED_ONE_BY_ONE = 300  # numbers of steps; a folder with ten thousand files takes longer to list
_LOCK_SECONDS = 30.0
_YOUNG = 60.0  # a temporary file younger than this is left alone while a process of its number lives
_OLD = 86400.0  # and one of another machine this long
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_URL = re.compile(r"://|^[A-Za-z][A-Za-z0-9+.-]+:/")
_FILE = re.compile(r"(?P<stem>.+)-step(?P<step>0|[1-9][0-9]{0,8})\.pkl")
_ASIDE = re.compile(r".+\.pkl\.(?:bad|kept)-[0-9]{8}T[0-9]{6}Z(?:-[0-9]+)?")
_FAILED = ".failed"
_CONFIRMED = ".confirmed"
_OURS = re.compile(
    rf"\.gitignore|\.used|\..+\.lock|\.ckpt-.+\.tmp|{re.escape(ASIDE)}.+|.+-v.+-step[0-9]+\.pkl(?:\..+)?"
)
_TEMPORARY = re.compile(r"\.ckpt-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}\.tmp")


def is_of_store(name: str) -> bool:
    """Whether a file in a folder of checkpoints is called as those are that lie there for our sake."""
    return _OURS.fullmatch(name) is not None


class Entry(NamedTuple):
    """One checkpoint of a folder, by its file name."""

    name: str
    version: str
    step: int
    path: Path


class Store:
    """The checkpoints of one folder. Nothing is made before the first save.

    Parameters
    ----------
    folder
        A local folder.

    Raises
    ------
    UsageError
        `folder` is a URL.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if "://" in str(folder):
            raise UsageError(f"folder {str(folder)!r} is a URL; checkpoints lie in a local folder")
        self.folder = Path(folder)

    def path(self, name: object, version: object, step: object) -> Path:
        """The file of one step; `UsageError` if a name cannot be part of a file name."""
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 10**9:
            raise UsageError(f"step {step!r}: a step is a whole number from 0 to 999999999")
        return self.folder / f"{check_name(name, 'name')}-v{check_name(version, 'version')}-step{step}.pkl"

    def create(self) -> None:
        """Make the folder and its parents, for this user only; folders that exist are left as they are."""
        with Explained(self.folder, "the folder cannot be made"):
            missing = []
            folder = self.folder.absolute()
            while not folder.exists():
                missing.append(folder)
                folder = folder.parent
            for folder in reversed(missing):
                with contextlib.suppress(FileExistsError):  # another process just made it
                    os.mkdir(folder, 0o700)
            if not self.folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if missing:
                with contextlib.suppress(FileExistsError), (self.folder / ".gitignore").open("x") as file:
                    file.write("*\n")

    def publish(self, path: Path, write: Callable[[BinaryIO], T], *, keep: bool = False) -> T:
        """Put what `write` produces at `path`, in place of any earlier file.

        At every moment `path` is the earlier file or the new one, whole. The earlier file is replaced, never written
        to, so arrays mapped from it stay valid.

        Parameters
        ----------
        path
            A path from `path`.
        write
            Called once with the open temporary file, unbuffered, for reading and writing.
        keep
            Keep the earlier file under a name of its own, ``.kept-{UTC}``.

        Returns
        -------
        T
            What `write` returned.

        Raises
        ------
        StoreError
            The folder is read-only, full or gone. The earlier file is whole, and no temporary file is left.
        """
        draft, result = self.write(path, write, keep=keep)
        draft.publish()
        return result

    def write(self, path: Path, write: Callable[[BinaryIO], T], *, keep: bool = False) -> tuple[Draft, T]:
        """Do the first half of `publish`: write a temporary file, a draft, whose `publish` does the other half.

        Parameters and errors are those of `publish`.
        """
        self.create()
        self._refuse(path)
        self.sweep()
        temporary = temporary_name(self.folder)
        file = None
        try:
            with Explained(path, "the checkpoint cannot be written"):
                file = _Temporary(os.open(temporary, _new_flags(), 0o600), path)
            result = write(cast(BinaryIO, file))
            with Explained(path, "the checkpoint cannot be written"):
                return Draft(self, path, temporary, file, keep), result
        except BaseException:  # an interrupt must not leave the temporary file either
            _drop(temporary, file)
            raise

    def refuse_without_room(self, needed: int) -> None:
        """Say that the disk has too little room for `needed` bytes before the work of writing them starts.

        Raises
        ------
        StoreError
            There is too little. Nothing was written.
        """
        if not hasattr(os, "statvfs"):  # Windows: a full disk is said when it is full
            return
        folder = self.folder.absolute()
        while not os.path.exists(folder):
            folder = folder.parent
        try:
            found = os.statvfs(folder)
        except OSError:  # nobody knows; the writing will tell
            return
        free = found.f_bavail * found.f_frsize
        if found.f_blocks and needed > free:  # file systems without a size (some FUSE) report no blocks
            short = StoreError(
                f"{self.folder}: {needed:,} bytes have to be written at least, and {free:,} are free on its "
                f"disk; {remedy(errno.ENOSPC)}, or leave out what need not be kept (--drop)"
            )
            short.errno = errno.ENOSPC
            raise short

    def entries(self, name: str | None = None, version: str | int | None = None) -> list[Entry]:
        """The checkpoints of the folder, or of one pipeline or version, in the order of their steps.

        A file name such as ``m-v1-v2-step3.pkl`` can be read in two ways; then META (not authenticated) decides, and
        without META the last ``-v`` does.
        """

        def is_wanted(split: tuple[str, str]) -> bool:
            return name in (None, split[0]) and (version is None or str(version) == split[1])

        known: dict[str, list[tuple[str, str]]] = {}  # file names have few beginnings, as a rule
        found: dict[tuple[str, str], list[tuple[int, Path]]] = {}
        prefix = "" if name is None else f"{name}-v"
        for entry in self._scan():
            match = _FILE.fullmatch(entry.name) if entry.name.startswith(prefix) else None
            if match and entry.is_file(follow_symlinks=False):
                stem, step = match.groups()
                splits = known[stem] if stem in known else known.setdefault(stem, list(_splits(stem)))
                if not any(map(is_wanted, splits)):
                    continue
                path = self.folder / entry.name
                read_as = _told_by_meta(path, splits) if len(splits) > 1 else splits[0]
                if is_wanted(read_as):
                    found.setdefault(read_as, []).append((int(step), path))
        ordered = sorted(found, key=in_order)
        return [Entry(*one, *file) for one in ordered for file in sorted(found[one])]

    def steps_below(self, name: str, version: str, step: int) -> list[int]:
        """Numbers of the stored steps of a version before `step`; other files of the folder are not looked at."""
        if step > _ASKED_ONE_BY_ONE or len(list(_splits(f"{name}-v{version}"))) > 1:
            return [entry.step for entry in self.entries(name, version) if entry.step < step]
        return [number for number in range(step) if _is_regular(self.path(name, version, number))]

    def pickles(self) -> list[Path]:
        """All files of the folder that end in ``.pkl``, whoever wrote them; what `trust` of a folder is about."""
        found = (e for e in self._scan() if e.name.endswith(".pkl") and not e.name.startswith("."))
        return sorted(self.folder / e.name for e in found if e.is_file(follow_symlinks=False))

    def kept(self, name: str | None = None, version: str | None = None) -> list[Path]:
        """The files that were set aside, of all or of one pipeline or version, oldest first for each checkpoint."""
        found = []
        for entry in self._scan():
            if _ASIDE.fullmatch(entry.name):
                match = _FILE.fullmatch(entry.name.rpartition(".pkl.")[0] + ".pkl")
                splits = _splits(match["stem"]) if match else ()
                if name is None or any(name == n and version in (None, v) for n, v in splits):
                    found.append(self.folder / entry.name)
        return sorted(found)

    def failed(self, name: str, version: str) -> dict[int, Path]:
        """Per step of a pipeline the file about its failed run."""
        prefix = f"{name}-v{version}-step"
        names = [e.name for e in self._scan() if e.name.startswith(prefix) and e.name.endswith(_FAILED)]
        found = ((_FILE.fullmatch(one.removesuffix(_FAILED)), one) for one in names)
        return {int(match["step"]): self.folder / one for match, one in found if match}

    @staticmethod
    def failed_path(path: Path) -> Path:
        """Where what a failed run of a step had made is kept, given the path of its checkpoint."""
        return path.with_name(path.name + _FAILED)

    @staticmethod
    def confirmed_path(path: Path) -> Path:
        """Where it is noted what else a checkpoint fits, given its path."""
        return path.with_name(path.name + _CONFIRMED)

    def set_aside(self, path: Path, suffix: Literal["bad", "kept"]) -> Path:
        """Rename a checkpoint so that it no longer counts and is not replaced; return its new path."""
        self._refuse(path)
        with Explained(path, "the file cannot be set aside"), self._locked(path):
            aside = _link_aside(path, suffix)
            if aside is not None:
                os.unlink(path)
                return aside
            return _rename_aside(path, suffix)

    def delete(self, paths: Iterable[Path]) -> None:
        """Delete checkpoints or files set aside; one that is gone already is no error. Maps of them stay valid."""
        for path in paths:
            self._inside(path)
            with Explained(path, "the file cannot be deleted"), contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(OSError):  # it is of no use without the checkpoint, and does no harm
                os.unlink(self.confirmed_path(path))
        gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)  # then there was nothing to delete
        with Explained(self.folder, "the deletion may not survive a power failure"), gone:
            settle_folder(self.folder)

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold the lock of the pipeline of `path`; it dies with this process, and with the thread's descriptor.

        Where the file system has no locks, go on without: replacing is atomic by itself, the lock only keeps two
        processes from setting the same file aside.
        """
        name = (read_name(path) or (path.name,))[0]
        descriptor = _lock(self.folder / f".{name}.lock")
        try:
            yield
        finally:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough if a child was forked meanwhile
                os.close(descriptor)

    def sweep(self) -> None:
        """Delete temporary files of processes that died while they wrote them."""
        for entry in self._scan():
            if entry.name.startswith(".ckpt-") and (match := _TEMPORARY.fullmatch(entry.name)):
                with contextlib.suppress(OSError):  # gone, or another user's
                    # a file from the future is of a clock that was set back since: as strange as one that old
                    age = abs(time() - entry.stat(follow_symlinks=False).st_mtime)
                    if _is_stale(self.folder / entry.name, match["host"], int(match["pid"]), age):
                        os.unlink(self.folder / entry.name)

    def _scan(self) -> Iterator[os.DirEntry[str]]:
        with Explained(self.folder, "the folder cannot be listed", reading=True):
            try:
                with os.scandir(self.folder) as entries:
                    yield from entries
            except FileNotFoundError:
                return

    def _inside(self, path: Path) -> None:
        if path.parent != self.folder:
            raise UsageError(f"{path} is not in the folder {self.folder}")

    def _refuse(self, path: Path) -> None:
        """A path outside, or a link that leads outside, is never written to or renamed."""
        self._inside(path)
        if os.path.islink(path):
            raise StoreError(f"{path} is a symbolic link; checkpoints are never written through links: remove it")


class Draft:
    """A checkpoint that is written to a temporary file and waits for `publish`; made by `Store.write`.

    Attributes
    ----------
    path
        Where it will be.
    size
        Bytes.
    is_locked
        Whether files of the folder can be locked.
    """

    def __init__(self, store: Store, path: Path, temporary: Path, file: _Temporary, keep: bool) -> None:
        self.path = path
        self.is_locked = file.is_locked
        self.size = os.fstat(file.fileno()).st_size
        self._store = store
        self._temporary = temporary
        self._file = file
        self._keep = keep
        self._placing = threading.RLock()
        self._is_placed = False
        self._aside: Path | None = None  # the second name of the earlier file

    def opened(self, keyring: Keyring) -> format.StoredStep:
        """The checkpoint before it is published; `StepNotFoundError` if it is by now."""
        return replace(format.open_checkpoint(self._temporary, keyring), path=self.path)

    def publish(self) -> None:
        """Bring the bytes to the disk, then put the file in place. Afterwards no temporary file is left.

        Raises
        ------
        StoreError
            The earlier file is whole, unless the message says that the new one is in place.
        """
        try:
            with Explained(self.path, "the checkpoint cannot be written"):
                try:
                    _settle(self._file.fileno())
                except BaseException:
                    self._take_back()
                    raise
                with self._store._locked(self.path):
                    self._place(keep=self._keep)
            with Explained(self.path, "the checkpoint is in place, but may not survive a power failure"):
                settle_folder(self.path.parent)
            if self._aside is not None and not self._keep:
                with contextlib.suppress(OSError):
                    os.unlink(self._aside)
        finally:
            self.discard()

    def hurry(self) -> None:
        """Put the file in place before it is on the disk: this process is about to be killed.

        A power failure could now cost it. So the earlier file keeps a second name, ``.kept-{UTC}``, until `publish`
        has come to its end.
        """
        with Explained(self.path, "the checkpoint cannot be written"):
            self._place(keep=True)

    def put(self) -> None:
        """Do `publish` for what may be lost in a power failure."""
        try:
            with Explained(self.path, "the file cannot be written"):
                self._place(keep=False)
        finally:
            self.discard()

    def discard(self) -> None:
        """Let go of the file, and delete it if it was not published."""
        _drop(self._temporary, self._file)

    def let_go(self) -> None:
        """Close the file in a forked child, where it would hold the lock of the parent."""
        self._file.close()

    def _place(self, *, keep: bool) -> None:
        """Replace the old file, which gets its second name first, so that a crash in between loses nothing."""
        with self._placing:
            if self._is_placed:
                return
            if keep and self.path.exists():
                # Without hard links there is no file at `path` for a moment, but none is lost.
                self._aside = _link_aside(self.path, "kept") or _rename_aside(self.path, "kept")
            try:
                os.replace(self._temporary, self.path)
            except BaseException:  # not replaced: only the old name counts again
                if self._aside is not None:
                    os.rename(self._aside, self.path) if not self.path.exists() else os.unlink(self._aside)
                raise
            self._is_placed = True

    def _take_back(self) -> None:
        """Give the earlier file its place again, if this one was put there in a hurry and is not on the disk."""
        with self._placing, contextlib.suppress(OSError):
            if self._is_placed and self._aside is not None:
                os.replace(self._aside, self.path)
            elif self._is_placed:
                os.unlink(self.path)


def folder_path(text: str | os.PathLike[str], base: Path | None = None) -> Path:
    """The folder that somebody means, absolute; `base` is what a relative one is meant against, if not where we are.

    Raises
    ------
    UsageError
        It is a URL (also one that `Path` took for a path), it is empty, or there is no such home.
    """
    written = os.fspath(text)
    if _URL.search(written):
        raise UsageError(f"folder {written}: only local folders can hold checkpoints")
    if not written.strip() or "\0" in written:
        raise UsageError(f"folder {written!r}: that is no name of a folder")
    try:
        return (base or Path.cwd()) / Path(written).expanduser()
    except RuntimeError as error:  # `~` without a home, `~name` of nobody
        raise UsageError(f"folder {written}: {error} Write the path in full.") from None


def check_name(text: object, what: str) -> str:
    """Return `text` (a number too) if it can be part of a file name.

    Raises
    ------
    UsageError
        It holds anything but letters, digits, ``.``, ``_`` and ``-``, begins with ``.`` or ``-``, or is too long.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str) and _is_name(text):
        return text
    raise UsageError(
        f"{what} {text!r}: use the letters A to Z, digits, `.`, `_` and `-`, at most {LONGEST_NAME} of them, and begin "
        "with a letter, a digit or `_`"
    )


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def temporary_name(folder: Path) -> Path:
    """A name for a new file that is swept when the process that writes it has died."""
    return folder / f".ckpt-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def hold(descriptor: int) -> bool:
    """Show other processes that the writer of a temporary file lives, whatever its number is there.

    False where the file system has no locks.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def trust(path: str | os.PathLike[str], keyring: Keyring, digest_shown: str) -> None:
    """Sign a file that `signing.show` showed: replace it by the same pickle, signed with this user's key.

    Raises
    ------
    UntrustedError
        The file changed since it was shown.
    FormatError
        It is damaged, newer, or no pickle.
    StoreError
        It cannot be replaced; it is then as it was.
    """
    path = Path(path).absolute()
    name, version, step = read_name(path) or (path.stem, "", None)
    with Explained(path, "the file cannot be read", reading=True):
        created = date_text(os.stat(path).st_mtime)
    foreign: dict[str, Any] = {
        "kind": "foreign",
        "name": name,
        "version": version,
        "step": step,
        "created": created,
        "variables": [],
    }
    Store(path.parent).publish(path, lambda file: signing.resign(path, file, keyring, digest_shown, foreign))


def sign_again(path: Path, keyring: Keyring, changes: Mapping[str, Any] | None = None) -> None:
    """Sign a trusted checkpoint with the signing key; it is replaced, so arrays mapped from it stay valid.

    `changes` are keys of META that get other values; the pickle and the displays stay as they are.

    Raises
    ------
    UntrustedError, FormatError
        It is not trusted, damaged or newer.
    StoreError
        It cannot be replaced; it is then as it was.
    """
    stored = format.open_checkpoint(path, keyring)
    Store(path.parent).publish(path, lambda file: signing.sign_again(stored, file, keyring, changes))


def date_text(seconds: float) -> str:
    """A file's time as META has times, UTC; of a time that no calendar has the nearest one."""
    seconds = min(max(seconds, -62_135_596_800), 253_402_300_799)  # the years 1 to 9999
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``10`` after ``9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def in_order(pipeline: tuple[str, str]) -> tuple[str, list[tuple[int, str]], str]:
    """Sort key of a name and a version."""
    name, version = pipeline
    return name, natural(version), version


class _Temporary(io.FileIO):
    """The file being written. Only its own errors become `StoreError`; what a value's reducer raises passes."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "r+b")
        self._path = path
        self.is_locked = hold(descriptor)

    def write(self, data: Any) -> int:
        with Explained(self._path, "the checkpoint cannot be written"):
            return super().write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with Explained(self._path, "the checkpoint cannot be written"):
            return super().seek(offset, whence)

    def tell(self) -> int:
        with Explained(self._path, "the checkpoint cannot be written"):
            return super().tell()

    def truncate(self, size: int | None = None, /) -> int:
        with Explained(self._path, "the checkpoint cannot be written"):
            return super().truncate(size)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # all was synced before; and if it was not, that error is on its way
            super().close()


def _drop(temporary: Path, file: _Temporary | None) -> None:
    """Delete a temporary file, where it still has that name, and close it."""
    with contextlib.suppress(OSError):
        os.unlink(temporary)
    if file is not None:
        file.close()


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:  # as a rule it is not there
        return False


def read_name(path: PurePath) -> tuple[str, str, int] | None:
    """Name, version and step out of a file name, by its last ``-v``."""
    match = _FILE.fullmatch(path.name)
    splits = list(_splits(match["stem"])) if match else []
    return (*splits[-1], int(match["step"])) if match and splits else None


def _splits(stem: str) -> Iterator[tuple[str, str]]:
    """All ways to read ``{name}-v{version}``."""
    for found in re.finditer("-v", stem):
        name, version = stem[: found.start()], stem[found.end() :]
        if _is_name(name) and _is_name(version):
            yield name, version


def _told_by_meta(path: Path, splits: list[tuple[str, str]]) -> tuple[str, str]:
    """Which of the ways to read a file name its META confirms; else the last."""
    try:
        meta = format.claimed(path)
    except CheckpointError:  # gone or unreadable: whoever opens it says so
        meta = {}
    said = (meta.get("name"), meta.get("version"))
    return next((split for split in splits if split == said), splits[-1])


def _new_flags() -> int:
    """A new file or an error: never one that exists, never through a link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return flags


def _settle(descriptor: int) -> None:
    """Bring the bytes to the disk and make the file read-only."""
    os.fsync(descriptor)
    if os.name != "nt":  # a read-only file cannot be replaced there
        with contextlib.suppress(OSError):  # file systems without modes; the checkpoint is as good
            os.fchmod(descriptor, stat.S_IRUSR)


def _lock(path: Path) -> int | None:
    """Descriptor of the locked file, or ``None`` where there are no locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    except OSError:  # a read-only folder, or another user's file
        return None
    deadline = monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError as error:
                if monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "locked") from error
                sleep(0.002)
            except OSError:  # a file system without locks
                os.close(descriptor)
                return None
    except BaseException:  # the time is up, or an interrupt
        os.close(descriptor)
        raise


def _aside_names(path: Path, suffix: str) -> Iterator[Path]:
    name = f"{path.name}.{suffix}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"
    yield path.with_name(name)
    yield from (path.with_name(f"{name}-{number}") for number in range(2, 10_000))


def _link_aside(path: Path, suffix: str) -> Path | None:
    """Give the file a second, new name; ``None`` where hard links cannot be made."""
    for aside in _aside_names(path, suffix):
        try:
            os.link(path, aside, follow_symlinks=False)
            return aside
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL):
                return None
            raise
    raise FileExistsError(errno.EEXIST, "too many files were set aside in this second")


def _rename_aside(path: Path, suffix: str) -> Path:
    """Rename the file to a new name. Renaming would replace a file, so the lock has to be held."""
    aside = next(name for name in _aside_names(path, suffix) if not name.exists())
    os.rename(path, aside)
    return aside


def _is_stale(path: Path, host: str, pid: int, age: float) -> bool:
    """Whether the writer of a temporary file is dead.

    Its number alone does not tell: in a restarted container the new process has the old one's, and seen from another
    container a living one has none. Its lock does, where there are locks.
    """
    here = host == _host()
    if age < (_YOUNG if here else _OLD) and not (here and not is_alive(pid)):
        return False
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, AttributeError):  # no locks here, or on Windows
        return age >= _OLD or (here and not is_alive(pid))
    finally:
        os.close(descriptor)
    return True


def _host() -> str:
    """Eight characters that tell machines apart in the names of temporary files."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
