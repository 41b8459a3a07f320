"""Payloads: the large buffers inside a pickle, and where they lie in the file.

Owns aligned writing and the *skeleton* (the pickle without its payloads).
Knows opcodes, not values: it is given what the C pickler writes and never unpickles anything.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pickle import PickleBuffer
from typing import Any, BinaryIO

from ckpt_magic.errors import DamagedError
from ckpt_magic.files.extents import BLOCK, Extent, Known, Sharing, parts
from ckpt_magic.files.streams import SLICE, Progress, read_exactly, read_into, say_nothing, write_all

PAGE = 4096
_HELD = 1 << 17

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
    known
        Tells what is known of a buffer: its digest, so that it is not hashed again, and perhaps where its bytes lie
        already, so that they are shared instead of written.
    """

    def __init__(
        self,
        file: BinaryIO,
        new_hash: Callable[[], Any],
        progress: Progress | None = None,
        known: Callable[[PickleBuffer], Known | None] | None = None,
    ) -> None:
        self._file = file
        self._new_hash = new_hash
        self._known = known or (lambda buffer: None)
        self._progress = progress or say_nothing
        self._position = file.tell()
        self._held = bytearray()  # not written yet: the end of it may turn out to be a payload's header
        self._hash = _skeleton_hash()
        self._rows: list[Row] = []

    def write(self, data: Any) -> int:
        """Write a chunk of opcodes or a payload; return its length in bytes."""
        if type(data) is PickleBuffer:
            with data.raw() as raw:
                return self._write_buffer(raw, data)
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

    def _write_buffer(self, raw: memoryview, buffer: PickleBuffer) -> int:
        header = self._held_header(raw)
        if not header:
            return self._write_chunk(raw)
        del self._held[-len(header) :]
        self._held += _no_operation(-(self._position + len(self._held) + len(header)) % PAGE)
        self._release()
        self._hash.update(_reference(raw.readonly))
        self._put(header)
        offset, known = self._position, self._known(buffer)
        if known is None or known.digest is None:
            scattered = known.pieces if known is not None else None
            digest = self._put_hashed(_slices(raw) if scattered is None else scattered)
            if known is not None and known.still():
                known.digest, known.written_at = digest, offset
        else:
            digest = self._put_known(raw, known, known.digest)
        self._rows.append(Row(offset, len(raw), len(header), raw.readonly, digest))
        return len(raw)

    def _put_hashed(self, parts: Iterable[memoryview]) -> str:
        digest = self._new_hash()
        for part in parts:
            digest.update(part)
            self._put(part)
        return str(digest.hexdigest())

    def _put_known(self, raw: memoryview, known: Known, digest: str) -> str:
        """Write what is known already, or let the file share it; return the digest of what the file has then."""
        start = self._position
        if known.extent is None:
            for part in _slices(raw):
                self._put(part)
        else:
            self._share(raw, known.extent, known.stale)
        if known.still():
            known.written_at = start
            return digest
        row = Row(start, len(raw), 0, raw.readonly, "")  # a thread wrote to it meanwhile
        digest = payload_digest(self._file, row, self._new_hash)
        self._file.seek(self._position)
        return digest

    def _share(self, raw: memoryview, extent: Extent, stale: Sequence[tuple[int, int]]) -> None:
        start = self._position
        with Sharing(extent.source, self._file) as sharing:

            def is_same(at: int) -> bool:
                return sharing.holds(extent.offset + at, raw[at : at + BLOCK])

            for low, high, same in parts(len(raw), stale, is_same):
                if same and (done := sharing.share(extent.offset + low, start + low, high - low)):
                    low += done
                    self._position += done
                    self._file.seek(self._position)
                    self._progress(self._position)
                for part in _slices(raw[low:high]):
                    self._put(part)

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
            read_into(file, position, view[done : done + gap], progress, done)
            _refuse_other_header(file, row)
            mark = _reference(row.read_only)
            view[done + gap : done + gap + len(mark)] = mark
            done += gap + len(mark)
            position = row.offset + row.length
        read_into(file, position, view[done:], progress, done)
        digest = _skeleton_hash()
        digest.update(view)
    return skeleton.getvalue(), digest.hexdigest()


def skeleton_digest(file: BinaryIO, end: int, rows: Sequence[Row]) -> str:
    """The digest that `read_skeleton` gives, without holding the skeleton in memory. Raises as it does."""
    digest, position = _skeleton_hash(), 0
    for row in rows:
        gap = row.offset - row.header - position
        _digest_into(digest, file, position, gap)
        _refuse_other_header(file, row)
        digest.update(_reference(row.read_only))
        position = row.offset + row.length
    _digest_into(digest, file, position, end - position)
    return str(digest.hexdigest())


def payload_digest(file: BinaryIO, row: Row, new_hash: Callable[[], Any]) -> str:
    """Digest of a payload as it lies in the file now, read in slices."""
    digest = new_hash()
    _digest_into(digest, file, row.offset, row.length)
    return str(digest.hexdigest())


def _digest_into(digest: Any, file: BinaryIO, start: int, length: int) -> None:
    """Let a hash take a part of a file, read in slices."""
    part = memoryview(bytearray(min(SLICE, max(length, 0))))
    for offset in range(0, length, SLICE):
        piece = part[: min(SLICE, length - offset)]
        read_into(file, start + offset, piece)
        digest.update(piece)


def _refuse_other_header(file: BinaryIO, row: Row) -> None:
    if read_exactly(file, row.offset - row.header, row.header) != row.header_bytes():
        raise DamagedError(f"the header of the payload at byte {row.offset} is not what it was")


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
