"""OUTPUTS, META and FOOTER of a checkpoint as bytes: bounded, digested and signed. Knows no paths."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from ckpt_magic.errors import DamagedError, FormatError
from ckpt_magic.files.streams import SLICE, read_exactly, write_all
from ckpt_magic.files.trust import MAC_BYTES, Keyring

FORMAT = 1
MAGIC = b"\x89ckpt_magic\n"
FOOTER = struct.Struct(f"<QQQ8s{MAC_BYTES}sI{len(MAGIC)}s")
"""Lengths of PICKLE, OUTPUTS and META, key id, MAC, format version, magic. The last two never change place."""

MAX_META = 256 << 20
MAX_UNVERIFIED_META = 4 << 20
MAX_OUTPUTS = 1 << 30
_TAIL = 16 << 10  # read at once from the end: FOOTER and, nearly always, all of META


class Footer(NamedTuple):
    """The last bytes of a file."""

    pickle: int
    outputs: int
    meta: int
    key_id: bytes
    mac: bytes
    version: int

    @classmethod
    def at_end_of(cls, tail: bytes) -> Footer | None:
        """The footer at the end of `tail`, if there is one."""
        if len(tail) < FOOTER.size or not tail.endswith(MAGIC):
            return None
        *fields, _ = FOOTER.unpack_from(tail, len(tail) - FOOTER.size)
        return cls(*fields)

    @classmethod
    def of(cls, file: BinaryIO) -> Footer | None:
        """The footer of an open file, if it has one."""
        size = file.seek(0, os.SEEK_END)
        return (
            cls.at_end_of(bytes(read_exactly(file, size - FOOTER.size, FOOTER.size))) if size >= FOOTER.size else None
        )

    def packed(self) -> bytes:
        """Its bytes."""
        return FOOTER.pack(self.pickle, self.outputs, self.meta, self.key_id, self.mac, self.version, MAGIC)

    def signed(self) -> bytes:
        """What the MAC covers besides META: all fields but itself."""
        return FOOTER.pack(self.pickle, self.outputs, self.meta, self.key_id, b"", self.version, MAGIC)

    def fits(self, size: int) -> bool:
        """Whether the lengths add up to a file of `size` bytes."""
        return self.meta <= MAX_META and self.pickle + self.outputs + self.meta + FOOTER.size == size


# --- reading ---


def end_of(file: BinaryIO, size: int) -> bytes:
    """The last bytes of a file of `size` bytes, in one call as a rule."""
    wanted = min(size, _TAIL)
    file.seek(size - wanted)
    tail = file.read(wanted)
    return tail if len(tail) == wanted else bytes(read_exactly(file, size - wanted, wanted))


def raw_meta(file: BinaryIO, size: int, footer: Footer, tail: bytes = b"") -> bytes:
    """The bytes of META, out of `tail` (the end of the file) if they are in there."""
    stop = len(tail) - FOOTER.size
    if footer.meta <= stop:
        return tail[stop - footer.meta : stop]
    return bytes(read_exactly(file, size - FOOTER.size - footer.meta, footer.meta))


def unverified(file: BinaryIO, size: int, footer: Footer | None) -> dict[str, Any]:
    """META of a file that is not trusted, or nothing if it cannot be read."""
    if footer is None or footer.version != FORMAT or not footer.fits(size) or footer.meta > MAX_UNVERIFIED_META:
        return {}
    try:
        return parse_meta(raw_meta(file, size, footer))
    except (DamagedError, OSError):
        return {}


def inflate(data: bytes | bytearray, length: object) -> bytes:
    """Decompress to exactly `length` bytes and never more."""
    if not isinstance(length, int) or not 0 <= length <= MAX_OUTPUTS:
        raise DamagedError("the length of the displays is not a length")
    machine = zlib.decompressobj()
    try:
        result = machine.decompress(data, length + 1)
    except zlib.error as error:
        raise DamagedError(f"the displays cannot be decompressed: {error}") from error
    if len(result) != length or not machine.eof:
        raise DamagedError("the displays have another length than recorded")
    return result


# --- writing ---


def write_end(file: BinaryIO, pickle: int, outputs: int, content: Mapping[str, Any], keyring: Keyring) -> None:
    """Write META and FOOTER."""
    raw = encode(content)
    if len(raw) > MAX_META:
        raise FormatError(f"the record of the step takes {len(raw)} bytes; a checkpoint holds at most {MAX_META}")
    write_signed(file, pickle, outputs, raw, keyring)


def write_signed(file: BinaryIO, pickle: int, outputs: int, raw: bytes, keyring: Keyring) -> None:
    """Write META, as it is in bytes, and FOOTER."""
    unsigned = Footer(pickle, outputs, len(raw), keyring.signing.id, b"", FORMAT)
    mac = keyring.signing.sign(unsigned.signed(), raw)
    write_all(file, raw)
    write_all(file, Footer(pickle, outputs, len(raw), keyring.signing.id, mac, FORMAT).packed())


# --- JSON and digests ---


# made here, not called as `json.dumps`, which a notebook may have replaced
_WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_ESCAPING_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_READER = json.JSONDecoder()


def encode(content: Any) -> bytes:
    """Compact JSON, the same for equal content."""
    try:
        return _WRITER.encode(content).encode()
    except UnicodeEncodeError:  # lone surrogates: written as escapes, so that the file stays UTF-8
        return _ESCAPING_WRITER.encode(content).encode()


def parse(raw: bytes) -> Any:
    """What JSON says; `DamagedError` if it is none."""
    try:
        return _READER.decode(raw.decode())
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than the interpreter can go
        raise DamagedError(f"its record is not JSON: {type(error).__name__}") from error


def parse_meta(raw: bytes) -> dict[str, Any]:
    """The JSON object of META."""
    meta = parse(raw)
    if not isinstance(meta, dict):
        raise DamagedError("its record is not a JSON object")
    return meta


def digest_of(data: bytes | bytearray) -> str:
    """Digest of bytes."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def digest_in(file: BinaryIO, start: int, length: int, copy_to: BinaryIO | None = None) -> str:
    """Digest of a part of a file, which is copied on the way if there is somewhere to copy it to."""
    digest = hashlib.blake2b(digest_size=32)
    for offset in range(start, start + length, SLICE):
        part = read_exactly(file, offset, min(SLICE, start + length - offset))
        digest.update(part)
        if copy_to is not None:
            write_all(copy_to, part)
    return digest.hexdigest()
