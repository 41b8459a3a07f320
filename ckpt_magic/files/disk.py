"""What the operating system says about files, in words with a remedy; and what brings their names to the disk.

Lowest of its floor: knows no checkpoint, no key.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ckpt_magic.errors import CheckpointError, StoreError


class Explained:
    """Turns an error of the operating system into one that says where, what, why, and what to do; for `with`.

    A class, since a generator would stay alive with the error that passed through it, and with all that called it,
    until garbage is collected: the values of the notebook, too.

    Parameters
    ----------
    path
        The file or folder.
    what
        What cannot be, in words.
    reading
        Whether it was to be read; the remedies are then other ones.
    """

    def __init__(self, path: Path, what: str, *, reading: bool = False) -> None:
        self.path = path
        self._what = what
        self._reading = reading

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, CheckpointError):
            return
        remedy = _REMEDIES.get(error.errno or 0, _AGAIN)[self._reading]
        explanation = StoreError(f"{self.path}: {self._what}: {cause(error)}; {remedy}")
        explanation.errno = error.errno
        try:
            raise explanation from error
        finally:
            del explanation  # its traceback holds this frame


def cause(error: OSError) -> str:
    """Why a call failed, in words."""
    return _CAUSES.get(error.errno or 0, error.strerror or str(error))


def remedy(number: int) -> str:
    """What to do when writing fails with that error number."""
    return _REMEDIES.get(number, _AGAIN)[0]


_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EFBIG: "the file would be larger than this process or file system allows",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOENT: "the folder or the file is gone",
    errno.ENOTDIR: "there is a file where the folder should be",
    errno.EIO: "the disk reports an error",
    errno.ENAMETOOLONG: "the file name is too long here",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "this machine has too many files open",
    errno.ENOMEM: "there is too little memory",
    errno.ETIMEDOUT: "another process holds the lock of this pipeline",
}
_ELSEWHERE = "choose another --folder"
_ROOM = f"free some space (%ckpt_clear) or {_ELSEWHERE}"
_AGAIN = ("see to it and save again", "see to it and try again")
_WRITABLE = (f"make the folder writable or {_ELSEWHERE}", "make the folder and the file readable")
_REMEDIES = {  # when writing, when reading
    errno.ENOSPC: (_ROOM, _AGAIN[1]),
    errno.EDQUOT: (_ROOM, _AGAIN[1]),
    errno.EFBIG: ("see `ulimit -f`", _AGAIN[1]),
    errno.EROFS: (_ELSEWHERE, _AGAIN[1]),
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.ENOENT: ("save again to make it anew", "look where it went"),
    errno.ENOTDIR: (f"remove it or {_ELSEWHERE}", f"remove it or {_ELSEWHERE}"),
    errno.EIO: (f"check it, or {_ELSEWHERE}", "check it, and keep a copy of the folder"),
    errno.ENAMETOOLONG: ("choose a shorter --name or --version", "choose a shorter --name or --version"),
    errno.EMFILE: ("close some, or see `ulimit -n`", "close some, or see `ulimit -n`"),
    errno.ENOMEM: ("free some and save again", "free some and try again"),
    errno.ETIMEDOUT: ("find it, or save again later", "find it, or try again later"),
}


def settle_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # file systems that cannot
            raise
    finally:
        with contextlib.suppress(OSError):  # it was only read
            os.close(descriptor)


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
