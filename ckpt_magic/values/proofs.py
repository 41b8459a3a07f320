"""What files hold that are written through maps: read again only where they may have been written to since.

Linux changes the times of a file when a page that is on the disk as it is in memory is first written to, by whatever
map in whatever process, and not again before the page went to the disk. So all goes to the disk first, and the times
that the file had just before tell of each write from then on. That is tried out where the files lie: in memory
(`tmpfs`) nothing ever goes to a disk, and what other machines write to is told too late or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import weakref
from collections.abc import Callable
from time import sleep, time_ns  # not asked for in its module: a notebook may put a clock of its own there
from typing import Any, Final

from ckpt_magic.filesystems import linux_type

TICK: Final = 0.03
"""Seconds; the times of files may go on in steps, the longest of which is a third of this."""

_WORTH: Final = 1 << 20  # bytes; a smaller part of a file is rather read once more than waited for
_MOST: Final = 1000  # parts of files that are kept in mind
_BLOCK: Final = 1 << 20  # bytes read at a time
_Times = tuple[int, int, int, int, int]


class Proofs:
    """Digests of parts of files, of which it is known when they no longer hold.

    Parameters
    ----------
    is_of_file
        Whether memory of a private map, given by address and length, surely comes from the file as that is.
    """

    def __init__(self, is_of_file: Callable[[tuple[int, int]], bool] = lambda place: False) -> None:
        self.is_of_file = is_of_file
        self._known: dict[tuple[str, int, int], tuple[_Times, str]] = {}
        self._tells: dict[int, bool] = {}  # by the number of a device
        self._mapped = weakref.WeakKeyDictionary[mmap.mmap, tuple[int, int]]()  # device and file

    def content(self, name: str, offset: int, size: int) -> str:
        """Digest of a part of a file, in hexadecimal digits: BLAKE2b, as plain readers find it.

        Parameters
        ----------
        name
            Path of the file.
        offset, size
            Bytes.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        part = name, offset, size
        with open(name, "rb", buffering=0) as file:  # opened, not just asked for: that is when networks look again
            descriptor = file.fileno()
            known = self._known.get(part)
            if known is not None and known[0] == _times(descriptor):
                return known[1]
            self._known.pop(part, None)
            times = _settled(descriptor, wait=size >= _WORTH) if self._tells_of_writes(descriptor, name) else None
            if times is not None:
                os.fsync(descriptor)
            digest = read(file, offset, size)
        if times is not None:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[part] = times, digest
        return digest

    def is_mapped(self, memory: mmap.mmap, address: int, name: str) -> bool:
        """Whether a map is of the file that has this path now, and not of one that was moved away or replaced.

        Parameters
        ----------
        memory
            The map.
        address
            Somewhere in it.
        name
            The path.

        Raises
        ------
        OSError
            There is no such file.
        """
        status = os.stat(name)
        file = status.st_dev, status.st_ino
        if self._mapped.get(memory) != file:
            if not _is_of(address, name, status.st_ino):
                return False
            self._mapped[memory] = file
        return True

    def _tells_of_writes(self, descriptor: int, name: str) -> bool:
        """Whether the times of a file tell of writes through maps."""
        device = os.fstat(descriptor).st_dev
        if device not in self._tells:
            if linux_type(descriptor) not in _LOCAL:
                self._tells[device] = False
            else:
                with contextlib.suppress(OSError):  # nothing can be made in this folder; in another it may be
                    self._tells[device] = _tried_out(os.path.dirname(os.path.abspath(name)))
        return self._tells.get(device, False)


def read(file: Any, offset: int, size: int) -> str:
    """Read a part of an open file, for `Proofs.content`."""
    digest, block = hashlib.blake2b(), memoryview(bytearray(min(size, _BLOCK)))
    file.seek(offset)
    while size and (count := file.readinto(block[: min(size, len(block))])):
        digest.update(block[:count])
        size -= count
    return digest.hexdigest()


def _is_of(address: int, name: str, number: int) -> bool:
    """Whether the memory at an address is of a file, told by its number or, where layers have others, by its path."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                bounds, _, _, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
                low, high = (int(bound, 16) for bound in bounds.split("-"))
                if low <= address < high:
                    return int(inode) == number or path == [os.path.realpath(name)]
    except OSError:  # another system
        return True
    return False


def _times(descriptor: int) -> _Times:
    """What tells whether a file is another one, or was written to; nobody but the system sets the third time."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _settled(descriptor: int, *, wait: bool) -> _Times | None:
    """The times of a file, if each write from now on changes them: the last one was a step of the clock ago."""
    for _ in range(2):
        now = time_ns()
        with contextlib.suppress(OSError):  # waits for who is within a long `write`: the times change as it begins
            os.removexattr(descriptor, "user.ckpt_magic.none")
        times = _times(descriptor)
        age = (now - times[-1]) / 1e9
        if age >= TICK:
            return times
        if not wait or age < 0:
            return None
        sleep(TICK - age)
    return None


# --- file systems ---

_LOCAL: Final = frozenset({
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0xF2F52010,  # F2FS
    0x794C7630,  # overlayfs, over any of these or over memory
})  # fmt: skip


def _tried_out(folder: str) -> bool:
    """Try with a file without a name whether its times tell of writes through each of two maps."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(descriptor, mmap.PAGESIZE)
        with mmap.mmap(descriptor, mmap.PAGESIZE) as one, mmap.mmap(descriptor, mmap.PAGESIZE) as other:
            one[0] = other[1] = 1
            return all(_is_told(descriptor, memory, at) for at, memory in enumerate((one, other)))
    finally:
        os.close(descriptor)


def _is_told(descriptor: int, memory: mmap.mmap, at: int) -> bool:
    times = _settled(descriptor, wait=True)
    os.fsync(descriptor)
    memory[at] = 7
    return times is not None and _times(descriptor) != times
