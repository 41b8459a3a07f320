"""Bytes that an earlier file holds already: shared with it where the file system can, rather than written.

Knows files and parts of files, not what they mean; whoever says that a buffer holds what a file holds has a proof.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from ckpt_magic.files.streams import SLICE

BLOCK = 4096
_LEAST = 4 * BLOCK  # a shorter part is written: each shared one is an extent of its own
_CLONE_RANGE = 0x4020940D  # FICLONERANGE of Linux
_COPIED = 64 * SLICE  # bytes copied by one call, between which an interrupt is heard


class Source(Protocol):
    """A file that was published or mapped."""

    @property
    def resident(self) -> bool:
        """Whether a buffer with its bytes is in memory anyway; else it is better not touched."""
        ...

    def reopened(self) -> int | None:
        """A descriptor of its own for the file, or None if that is not what it was any more."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A file that this process wrote and published."""

    path: Path
    identity: tuple[int, ...]
    resident: bool

    @classmethod
    def at(cls, path: Path, file: BinaryIO, *, resident: bool) -> Published:
        """The file that is open for writing, has all its bytes, and will be at `path`."""
        return cls(path, _identity(file.fileno()), resident)

    def reopened(self) -> int | None:
        """See `Source`."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        if _identity(descriptor) == self.identity:
            return descriptor
        os.close(descriptor)
        return None


def _identity(descriptor: int) -> tuple[int, ...]:
    """What tells a file from another and from its own later self; not ctime, which publishing changes."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Extent:
    """Where in a file the bytes of a buffer lie."""

    source: Source
    offset: int


@dataclass(slots=True)
class Known:
    """What is known of a buffer before it is written.

    Attributes
    ----------
    digest
        Of its bytes, in hexadecimal digits; None if it has to be found: it is set then when they are written.
    still
        Tells whether the buffer was not written to since; asked after the bytes are in the file.
    extent
        Where the same bytes lie, all but the `stale` ones; None if nobody knows.
    stale
        Parts of the buffer, from and to, ascending, that are other ones now.
    pieces
        The bytes, if they lie scattered and the buffer only stands for them.
    written_at
        Set to the offset of the payload once it is written and is known to be what `digest` says.
    """

    digest: str | None
    still: Callable[[], bool] = lambda: False
    extent: Extent | None = None
    stale: Sequence[tuple[int, int]] = ()
    pieces: Iterable[memoryview] | None = None
    written_at: int | None = field(default=None, init=False)


def parts(
    length: int, stale: Sequence[tuple[int, int]], is_same: Callable[[int], bool] = lambda at: False
) -> Iterator[tuple[int, int, bool]]:
    """Cut a buffer of `length` bytes into parts, from and to, that can be shared or have to be written.

    Sharing goes by whole blocks, so that the last one, if it is no whole one, is always written.

    Parameters
    ----------
    length
        Bytes of the buffer.
    stale
        Parts that may be other ones.
    is_same
        Tells whether the block at an offset, of which only a part is stale, is as it was: memory is written to by
        pages of its own, which lie across the blocks.
    """
    done = position = 0  # up to where parts were told, and up to where bytes are known to be stale
    for low, high in (*stale, (length // BLOCK * BLOCK, length)):
        first, last = low // BLOCK * BLOCK, -(-high // BLOCK) * BLOCK
        if first < low and first + BLOCK <= length and is_same(first):
            first += BLOCK
        if high < last <= length and first < last and is_same(last - BLOCK):
            last -= BLOCK
        if first - position >= _LEAST:
            if position > done:
                yield done, position, False
            yield position, first, True
            done = first
        position = max(position, min(length, last))
    if done < length:
        yield done, length, False


class Sharing:
    """Shares parts of one source with a file that is being written, as a context.

    Parameters
    ----------
    source
        Where the bytes are. If it is not what it was, or on another file system, nothing is shared.
    file
        The file being written, unbuffered. What is shared lies at the position given, whatever its own one is.
    """

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self._source, self._file = source, file
        self._from = self._to = -1
        self._clones = True

    def __enter__(self) -> Sharing:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # io.UnsupportedOperation too: a file in memory
                self._to = self._file.fileno()
                found = self._source.reopened()
                self._from = -1 if found is None else found
        return self

    def __exit__(self, *error: object) -> None:
        if self._from >= 0:
            os.close(self._from)

    def holds(self, offset: int, block: memoryview) -> bool:
        """Whether the source has these bytes at `offset`."""
        try:
            return self._from >= 0 and os.pread(self._from, len(block), offset) == block
        except OSError:
            return False

    def share(self, offset: int, position: int, length: int) -> int:
        """Let the file have `length` bytes of the source's `offset` at its own `position`.

        Returns
        -------
        int
            How many bytes it has now; the rest has to be written.
        """
        if self._from < 0:
            return 0
        if self._clones:
            import fcntl  # not on Windows

            try:
                request = struct.pack("qQQQ", self._from, offset, length, position)
                fcntl.ioctl(self._to, _CLONE_RANGE, request)
                return length
            except OSError:  # another file system, or one that cannot; a full one says so when it is written to
                self._clones = False
        if self._source.resident:
            return 0
        done = 0
        with contextlib.suppress(OSError):  # as above
            while done < length and (
                copied := os.copy_file_range(
                    self._from, self._to, min(_COPIED, length - done), offset + done, position + done
                )
            ):
                done += copied
        return done
