"""Payloads: the large buffers inside a pickle, where they lie in the file and how they get back.

Owns aligned writing, the *skeleton* (the pickle without its payloads), and the private map of a file.
Knows opcodes, not values: it is given what the C pickler writes and never unpickles anything.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import platform
import struct
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pickle import PickleBuffer
from typing import Any, BinaryIO

from ckpt_magic.errors import DamagedError

PAGE = 4096
SLICE = 1 << 20
"""Bytes hashed and written at a time: small enough to stay in the processor's own memory between the two."""
Progress = Callable[[int], None]
"""Called after every slice with the bytes written or read so far; it must be cheap."""
_HELD = 1 << 17
_READ = 16 << 20  # bytes read between two calls of progress

_BINBYTES, _BINBYTES8, _BYTEARRAY8 = b"B", b"\x8e", b"\x96"
_SHORT_BINBYTES, _NONE, _POP = b"C", b"N", b"0"
_NEXT_BUFFER, _READONLY_BUFFER = b"\x97", b"\x98"


@dataclass(frozen=True, slots=True)
class Row:
    """Where one payload lies: offset and length in bytes, its header just before it, and its digest."""

    offset: int
    length: int
    header: int
    read_only: bool
    digest: str

    def as_list(self) -> list[Any]:
        """The row as META keeps it."""
        return [self.offset, self.length, self.header, self.read_only, self.digest]

    def header_bytes(self) -> bytes:
        """What the file must hold right before the payload."""
        if self.header == 5:
            return _BINBYTES + struct.pack("<I", self.length)
        return (_BINBYTES8 if self.read_only else _BYTEARRAY8) + struct.pack("<Q", self.length)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What `PayloadWriter.finish` knows: end of the pickle in the file, digest of the skeleton, the rows."""

    end: int
    digest: str
    rows: tuple[Row, ...]


def rows_from(items: object, end: int) -> tuple[Row, ...]:
    """Turn the ``buffers`` of META into rows, in file order and inside the pickle of `end` bytes.

    Raises
    ------
    DamagedError
        The rows are not rows, overlap or lie outside the pickle.
    """
    if not isinstance(items, list):
        raise DamagedError("the list of payloads is not a list")
    rows, position = [], 0
    for item in items:
        match item:
            case [int(offset), int(length), int(header), bool(read_only), str(digest)] if header in (5, 9):
                row = Row(offset, length, header, read_only, digest)
            case _:
                raise DamagedError("a row of the list of payloads cannot be read")
        fits = row.length > 0 and position <= row.offset - row.header and row.offset + row.length <= end
        if not fits or (row.header == 5 and not (row.read_only and row.length < 1 << 32)) or row.length >= 1 << 63:
            raise DamagedError("a row of the list of payloads does not fit the pickle")
        rows.append(row)
        position = row.offset + row.length
    return tuple(rows)


class PayloadWriter:
    """A binary file for the C pickler that aligns payloads and collects the skeleton's digest.

    The C pickler hands every in-band buffer of 64 KiB or more to `write` as a `pickle.PickleBuffer`, right after a
    chunk that ends with that buffer's header. Only those are payloads. Bytes, bytearray and str of any size are
    ordinary bytes and stay in the skeleton, because a pickle nested in them must not escape its digest.

    Parameters
    ----------
    file
        Binary file at the position where the pickle begins; alignment is that of the file, not of the pickle.
    new_hash
        Makes the hash of one payload, e.g. ``xxhash.xxh3_128``.
    progress
        Told how many bytes of the file are written.
    """

    def __init__(self, file: BinaryIO, new_hash: Callable[[], Any], progress: Progress | None = None) -> None:
        self._file = file
        self._new_hash = new_hash
        self._progress = progress or _say_nothing
        self._position = file.tell()
        self._held = bytearray()  # not written yet: the end of it may turn out to be a payload's header
        self._hash = _skeleton_hash()
        self._rows: list[Row] = []

    def write(self, data: Any) -> int:
        """Write a chunk of opcodes or a payload; return its length in bytes."""
        if type(data) is PickleBuffer:
            with data.raw() as raw:
                return self._write_buffer(raw)
        with memoryview(data) as chunk:
            return self._write_chunk(chunk.cast("B") if chunk.format != "B" or chunk.ndim != 1 else chunk)

    def finish(self) -> Skeleton:
        """Write what is still held; the pickle ends here."""
        self._release()
        return Skeleton(self._position, self._hash.hexdigest(), tuple(self._rows))

    def _write_chunk(self, chunk: memoryview) -> int:
        if len(self._held) + len(chunk) <= _HELD:
            self._held += chunk
            return len(chunk)
        self._release()
        if len(chunk) > _HELD:
            head = len(chunk) - 9  # the longest header
            for part in _slices(chunk[:head]):
                self._hash.update(part)
                self._put(part)
            self._held += chunk[head:]
        else:
            self._held += chunk
        return len(chunk)

    def _write_buffer(self, raw: memoryview) -> int:
        header = self._held_header(raw)
        if not header:
            return self._write_chunk(raw)
        del self._held[-len(header) :]
        self._held += _no_operation(-(self._position + len(self._held) + len(header)) % PAGE)
        self._release()
        self._hash.update(_reference(raw.readonly))
        self._put(header)
        offset, digest = self._position, self._new_hash()
        for part in _slices(raw):
            digest.update(part)
            self._put(part)
        self._rows.append(Row(offset, len(raw), len(header), raw.readonly, digest.hexdigest()))
        return len(raw)

    def _held_header(self, raw: memoryview) -> bytes:
        """The header that announces `raw`, or nothing: then `raw` is not a payload."""
        for size in (9, 5):
            if size == 5 and (not raw.readonly or len(raw) >= 1 << 32):
                continue
            header = Row(0, len(raw), size, raw.readonly, "").header_bytes()
            if self._held.endswith(header):
                return header
        return b""

    def _release(self) -> None:
        self._hash.update(self._held)
        self._put(self._held)
        self._held = bytearray()

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        write_all(self._file, data)
        self._position += len(data)
        self._progress(self._position)


def write_all(file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data`: an unbuffered file may take less than it is given."""
    with memoryview(data) as rest:
        done = 0
        while done < len(rest):
            done += file.write(rest[done:])


def read_exactly(file: BinaryIO, offset: int, length: int) -> bytearray:
    """Read `length` bytes at `offset`; `DamagedError` if the file ends before."""
    data = bytearray(length)
    with memoryview(data) as view:
        _read_into(file, offset, view)
    return data


def read_skeleton(file: BinaryIO, end: int, rows: Sequence[Row], progress: Progress | None = None) -> tuple[bytes, str]:
    """Read the pickle of the first `end` bytes without its payloads.

    It is read, not mapped: what is verified must be a private copy that nobody can change any more, and a file
    that is cut short meanwhile is then an error instead of a signal.

    Returns
    -------
    tuple
        The skeleton and its digest.

    Raises
    ------
    DamagedError
        The file is too short, or a payload's header is not where its row says.
    """
    size = end - sum(row.length + row.header - len(_reference(row.read_only)) for row in rows)
    skeleton = BytesIO(bytes(size))  # gives bytes in the end, without the second copy that a bytearray would need
    with skeleton.getbuffer() as view:
        done = position = 0
        for row in rows:
            gap = row.offset - row.header - position
            _read_into(file, position, view[done : done + gap], progress, done)
            if read_exactly(file, row.offset - row.header, row.header) != row.header_bytes():
                raise DamagedError(f"the header of the payload at byte {row.offset} is not what it was")
            mark = _reference(row.read_only)
            view[done + gap : done + gap + len(mark)] = mark
            done += gap + len(mark)
            position = row.offset + row.length
        _read_into(file, position, view[done:], progress, done)
        digest = _skeleton_hash()
        digest.update(view)
    return skeleton.getvalue(), digest.hexdigest()


def payload_digest(file: BinaryIO, row: Row, new_hash: Callable[[], Any]) -> str:
    """Digest of a payload as it lies in the file now, read in slices."""
    digest, part = new_hash(), memoryview(bytearray(min(SLICE, row.length)))
    for offset in range(0, row.length, SLICE):
        piece = part[: min(SLICE, row.length - offset)]
        _read_into(file, row.offset + offset, piece)
        digest.update(piece)
    return str(digest.hexdigest())


class Map:
    """The bytes of one file, private and writable: a copy-on-write map, or read into memory where mapping is unsafe.

    Views keep the memory alive; the map object itself only watches the file.
    """

    def __init__(self, memory: mmap.mmap | bytearray, *, descriptor: int | None) -> None:
        self._memory = memory
        self._rows: Sequence[Row] = ()
        self._descriptor = descriptor
        if descriptor is not None:  # kept open: a replaced path is fine, what counts is the file that was mapped
            self._size, self._mtime_ns = _identity(descriptor)
            self._closing = weakref.finalize(self, os.close, descriptor)

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

    def contents(self) -> Iterator[tuple[memoryview, str]]:
        """The payloads that views were asked for, and the digest of each in the file; until `release`."""
        return ((self.view(row.offset, row.length, row.read_only), row.digest) for row in self._rows)

    def release(self) -> None:
        """Let go of the memory, which then lives as long as its views, and only go on watching the file."""
        self._memory = bytearray()

    def changed(self) -> bool:
        """Whether the mapped file was written to since: its size or modification time differs."""
        return self._descriptor is not None and _identity(self._descriptor) != (self._size, self._mtime_ns)


def open_map(path_or_fd: str | os.PathLike[str] | int, progress: Progress | None = None) -> Map:
    """Map a file privately (copy-on-write), or read it where a map would be unsafe.

    Pages come in when touched and are never written back. On network file systems (NFS, SMB, FUSE, 9p) and Windows
    the file is read: there the bytes can change or vanish under a map. Only reading has progress.
    """
    if isinstance(path_or_fd, int):
        return _map(os.dup(path_or_fd), progress)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return _map(os.open(path_or_fd, flags), progress)


def _map(descriptor: int, progress: Progress | None) -> Map:
    """Map or read `descriptor`, which belongs to the map from here on."""
    try:
        size = os.fstat(descriptor).st_size
        if size and _may_be_mapped(descriptor):
            return Map(_private_map(descriptor, size), descriptor=descriptor)
        memory = mmap.mmap(-1, size) if size else bytearray()  # anonymous, so that payloads are page-aligned here too
        with open(os.dup(descriptor), "rb", buffering=0) as file, memoryview(memory) as view:
            _read_into(file, 0, view, progress)
    except BaseException:  # whatever happened, nobody else knows this descriptor
        os.close(descriptor)
        raise
    os.close(descriptor)
    return Map(memory, descriptor=None)


def _private_map(descriptor: int, size: int) -> mmap.mmap:
    """Map without reserving memory, since otherwise the kernel refuses private maps larger than it has."""
    flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", _no_reserve())
    options: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    return mmap.mmap(descriptor, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE, **options)


def _no_reserve() -> int:
    """MAP_NORESERVE of Linux, which Python does not always name."""
    if platform.system() != "Linux":
        return 0
    usual = ("x86_64", "i686", "aarch64", "armv7l", "riscv64", "s390x", "loongarch64")
    return {**dict.fromkeys(usual, 0x4000), "ppc64le": 0x40}.get(platform.machine(), 0)


def _identity(descriptor: int) -> tuple[int, int]:
    """Size and modification time; not ctime, which changes when the path is replaced."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _may_be_mapped(descriptor: int) -> bool:
    system = platform.system()
    if system == "Linux":
        return _linux_type(descriptor) not in _UNSAFE_TYPES
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


def _linux_type(descriptor: int) -> int:
    """``f_type`` of fstatfs, the first word of the structure; 0 if it cannot be had.

    /proc/self/mountinfo would do without ctypes, but files on Btrfs and overlayfs have device numbers not listed there.
    """
    result = ctypes.create_string_buffer(512)
    try:
        failed = ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, result)
    except (OSError, AttributeError):  # a libc without dlopen, or without this call
        return 0
    kind = ctypes.c_uint32 if sys.byteorder == "big" and platform.machine() == "s390x" else ctypes.c_ulong
    return 0 if failed else kind.from_buffer(result).value & 0xFFFFFFFF


def _darwin_type(descriptor: int) -> bytes:
    """``f_fstypename`` of fstatfs, at byte 72 of the structure with 64-bit inodes."""
    result = ctypes.create_string_buffer(4096)
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fstatfs$INODE64", None) or libc.fstatfs
    return b"" if call(descriptor, result) else result.raw[72:88].split(b"\0")[0]


def _read_into(
    file: BinaryIO, offset: int, view: memoryview, progress: Progress | None = None, before: int = 0
) -> None:
    """Fill `view` from `offset` on; with `progress` in slices, `before` bytes having been read earlier."""
    file.seek(offset)
    done, most = 0, _READ if progress is not None else len(view)
    while done < len(view):
        part = view[done : done + most]
        got = file.readinto(part)  # type: ignore[attr-defined]  # every binary file has it; BinaryIO omits it
        if not got:
            raise DamagedError(f"the file ends at byte {offset + done}, earlier than its record says")
        done += got
        if progress is not None:
            progress(before + done)


def _say_nothing(done: int) -> None:
    """Progress that nobody asked for."""


def _slices(data: memoryview) -> Iterator[memoryview]:
    return (data[start : start + SLICE] for start in range(0, len(data), SLICE))


def _skeleton_hash() -> Any:
    return hashlib.blake2b(digest_size=32)


def _reference(read_only: bool) -> bytes:
    """What stands in the skeleton for a payload and its header."""
    return _NEXT_BUFFER + _READONLY_BUFFER if read_only else _NEXT_BUFFER


def _no_operation(size: int) -> bytes:
    """Opcodes of `size` bytes that do nothing: a constant and a POP. One byte cannot, so it is a page and one."""
    if size == 0:
        return b""
    if size == 2:
        return _NONE + _POP
    if 3 <= size <= 258:
        return _SHORT_BINBYTES + bytes([size - 3]) + bytes(size - 3) + _POP
    size += PAGE if size == 1 else 0
    return _BINBYTES + struct.pack("<I", size - 6) + bytes(size - 6) + _POP
