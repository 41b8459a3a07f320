"""The private map of a file: its bytes in memory without reading them.

Knows file systems, not what is in a file.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import platform
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ckpt_magic.errors import DamagedError
from ckpt_magic.files.extents import Extent
from ckpt_magic.files.payloads import Row
from ckpt_magic.files.streams import Progress, read_into
from ckpt_magic.filesystems import linux_type

resource: Any = None
with suppress(ImportError):  # not on Windows
    resource = importlib.import_module("resource")


class _Memory(mmap.mmap):
    """The memory of a map: arrays over it are told by its class from those over a map of the user's."""


class Map:
    """The bytes of one file, private and writable: a copy-on-write map, or read into memory where mapping is unsafe.

    Views keep the memory alive; the map object itself only watches the file.
    """

    resident = False

    def __init__(self, memory: mmap.mmap | bytearray, *, descriptor: int | None) -> None:
        self._memory = memory
        self._rows: Sequence[Row] = ()
        self._descriptor = descriptor
        if descriptor is not None:  # kept open: a replaced path is fine, what counts is the file that was mapped
            self._size, self._mtime_ns = _identity(os.fstat(descriptor))
            # as long as the views: an open file keeps its bytes on the disk, as they do
            self._closing = weakref.finalize(memory, _close, descriptor)

    @property
    def mapped(self) -> bool:
        """Whether pages still come from the file (else all was read)."""
        return self._descriptor is not None

    def __len__(self) -> int:
        return len(self._memory)

    def view(self, offset: int, length: int, read_only: bool) -> memoryview:
        """The bytes from `offset` on; writing to them never reaches the file."""
        view = memoryview(self._memory)[offset : offset + length]
        return view.toreadonly() if read_only else view

    def views(self, rows: Sequence[Row]) -> list[memoryview]:
        """One view per payload, in the order in which the skeleton asks for them."""
        self._rows = rows
        return [self.view(row.offset, row.length, row.read_only) for row in rows]

    @property
    def memory(self) -> mmap.mmap | bytearray:
        """What the views lie over, until `release`."""
        return self._memory

    def contents(self) -> Iterator[tuple[memoryview, str, Extent]]:
        """The payloads that views were asked for, and the digest and the place of each in the file; until `release`."""
        for row in self._rows:
            yield self.view(row.offset, row.length, row.read_only), row.digest, Extent(self, row.offset)

    def release(self) -> None:
        """Let go of the memory, which then lives as long as its views, and only go on watching the file."""
        self._memory = bytearray()

    @property
    def identity(self) -> tuple[int, ...]:
        """What tells the mapped file from others and from what it may become; empty if the file was read."""
        if self._descriptor is None:
            return ()
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def reopened(self) -> int | None:
        """A descriptor of its own for the mapped file, which may have lost its path; see `extents.Source`."""
        with self._kept() as descriptor:
            unchanged = descriptor is not None and not self._differs(os.fstat(descriptor))
            return os.dup(descriptor) if unchanged and descriptor is not None else None

    def cut_short(self) -> bool:
        """Whether the mapped file ends earlier than it did: who touches what is missing gets a signal (SIGBUS)."""
        with self._kept() as descriptor:
            return descriptor is not None and os.fstat(descriptor).st_size < self._size

    def changed(self) -> bool:
        """Whether views are left and the mapped file was written to since: its size or modification time differs."""
        with self._kept() as descriptor:
            return descriptor is not None and self._differs(os.fstat(descriptor))

    @property
    def is_used(self) -> bool:
        """Whether views are left whose pages come from the file."""
        return self._descriptor is not None and self._closing.alive

    def held(self) -> int:
        """Bytes that stay on the disk for the views though the file was deleted or replaced."""
        with self._kept() as descriptor:
            status = os.fstat(descriptor) if descriptor is not None else None
        return status.st_size if status is not None and status.st_nlink == 0 else 0

    @contextmanager
    def _kept(self) -> Iterator[int | None]:
        """The descriptor, which stays open meanwhile; None if nothing is mapped any more."""
        memory = self._closing.peek() if self._descriptor is not None else None
        yield None if memory is None else self._descriptor

    def _differs(self, status: os.stat_result) -> bool:
        return _identity(status) != (self._size, self._mtime_ns)


def _close(descriptor: int) -> None:
    with suppress(OSError):  # it was only read
        os.close(descriptor)


def open_map(path_or_fd: str | os.PathLike[str] | int, progress: Progress | None = None) -> Map:
    """Map a file privately (copy-on-write), or read it where a map would be unsafe.

    Pages come in when touched and are never written back. On network file systems (NFS, SMB, FUSE, 9p) and Windows
    the file is read: there the bytes can change or vanish under a map. So it is where maps, each of which keeps its
    file open, would leave the notebook no files to open. Only reading has progress.
    """
    if isinstance(path_or_fd, int):
        return _map(os.dup(path_or_fd), progress)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return _map(os.open(path_or_fd, flags), progress)


def _map(descriptor: int, progress: Progress | None) -> Map:
    """Map or read `descriptor`, which belongs to the map from here on."""
    try:
        size = os.fstat(descriptor).st_size
        if size and _may_be_mapped(descriptor) and descriptor < _descriptors() // 2:
            return Map(_private_map(descriptor, size), descriptor=descriptor)
        memory = _Memory(-1, size) if size else bytearray()  # anonymous, so that payloads are page-aligned here too
        with open(os.dup(descriptor), "rb", buffering=0) as file, memoryview(memory) as view:
            read_into(file, 0, view, progress)
    except BaseException:  # whatever happened, nobody else knows this descriptor
        os.close(descriptor)
        raise
    os.close(descriptor)
    return Map(memory, descriptor=None)


def _descriptors() -> int:
    """How many files this process may have open; numbers are given from the lowest on."""
    if resource is None:
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else int(soft)


def _private_map(descriptor: int, size: int) -> mmap.mmap:
    """Map without reserving memory, since otherwise the kernel refuses private maps larger than it has."""
    flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", _no_reserve())
    options: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    try:
        return _Memory(descriptor, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE, **options)
    except ValueError as error:  # it asks for the size itself
        raise DamagedError("it was cut short while it was being mapped") from error


def _no_reserve() -> int:
    """MAP_NORESERVE of Linux, which Python does not always name."""
    if platform.system() != "Linux":
        return 0
    usual = ("x86_64", "i686", "aarch64", "armv7l", "riscv64", "s390x", "loongarch64")
    return {**dict.fromkeys(usual, 0x4000), "ppc64le": 0x40}.get(platform.machine(), 0)


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Size and modification time; not ctime, which changes when the path is replaced."""
    return status.st_size, status.st_mtime_ns


def _may_be_mapped(descriptor: int) -> bool:
    system = platform.system()
    if system == "Linux":
        return linux_type(descriptor) not in _UNSAFE_TYPES
    return system == "Darwin" and _darwin_type(descriptor) in (b"apfs", b"hfs")


_UNSAFE_TYPES = frozenset({
    0x6969,  # NFS
    0x517B, 0xFF534D42, 0xFE534D42,  # SMB, CIFS, SMB 2 and 3
    0x65735546,  # FUSE
    0x01021997,  # 9p
    0x00C36400, 0x5346414F, 0x6B414653, 0x73757245,  # Ceph, AFS (OpenAFS and the kernel's), Coda
    0x786F4256,  # folders shared by VirtualBox
    0,  # unknown
})  # fmt: skip


def _darwin_type(descriptor: int) -> bytes:
    """``f_fstypename`` of fstatfs, at byte 72 of the structure with 64-bit inodes."""
    result = ctypes.create_string_buffer(4096)
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fstatfs$INODE64", None) or libc.fstatfs
    return b"" if call(descriptor, result) else result.raw[72:88].split(b"\0")[0]
