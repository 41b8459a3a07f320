"""One checkpoint file: ``PICKLE | OUTPUTS | META | FOOTER``, written once and read in a safe order.

Order of opening: lengths bounded, MAC over FOOTER and META, META parsed; the digests of the skeleton and of OUTPUTS
are compared when each is used. Knows neither folders nor values, and never unpickles anything.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import operator
import os
import shlex
import stat
import struct
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from ckpt_magic.errors import (
    CheckpointError,
    DamagedError,
    ForeignError,
    FormatError,
    NewerFormatError,
    OtherKeyError,
    OtherWriterError,
    StepNotFoundError,
    StoreError,
    TamperedError,
    UntrustedError,
)
from ckpt_magic.files.disk import Explained
from ckpt_magic.files.extents import Known
from ckpt_magic.files.maps import Map, open_map
from ckpt_magic.files.payloads import PayloadWriter, Row, payload_digest, read_skeleton, rows_from, skeleton_digest
from ckpt_magic.files.streams import SLICE, Progress, read_exactly, read_into, write_all
from ckpt_magic.files.trust import MAC_BYTES, Keyring, callables, walk

FORMAT = 1
MAGIC = b"\x89ckpt_magic\n"
FOOTER = struct.Struct(f"<QQQ8s{MAC_BYTES}sI{len(MAGIC)}s")
"""Lengths of PICKLE, OUTPUTS and META, key id, MAC, format version, magic. The last two never change place."""

MAX_META = 256 << 20
MAX_UNVERIFIED_META = 4 << 20
MAX_OUTPUTS = 1 << 30
_COMPARED = 4 << 20  # bytes read at a time in the background
_TAIL = 16 << 10  # read at once from the end: FOOTER and, nearly always, all of META

Trust = Literal["trusted", "other key", "tampered", "foreign", "damaged", "newer"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What `pickle.loads` needs: the verified skeleton, a view per payload, and the map they are views of."""

    skeleton: bytes
    buffers: list[memoryview]
    map: Map


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A checkpoint file of which FOOTER and META were read and authenticated.

    Attributes
    ----------
    path
        The file.
    size, mtime
        Bytes, and modification time in seconds since the epoch.
    meta
        META; empty unless `trust` is ``"trusted"``.
    trust
        What the file is for this user.
    problem
        The error that `parts`, `outputs` and `check` raise; ``None`` for a trusted file.
    meta_unverified
        What META of a file that is not trusted says, for display only: anybody may have written it. Escape it.
    """

    path: Path
    size: int
    mtime: float
    meta: dict[str, Any]
    trust: Trust
    problem: CheckpointError | None
    meta_unverified: dict[str, Any] = field(default_factory=dict)
    footer: _Footer | None = None

    def parts(self, progress: Progress | None = None) -> Parts:
        """Read the skeleton, compare its digest, and map the payloads.

        Parameters
        ----------
        progress
            Told how many bytes are read: first of the skeleton, then, where mapping is unsafe, of the file.

        Raises
        ------
        UntrustedError, FormatError
            The file may not be unpickled, or its bytes are not what META says.
        StoreError
            The file was replaced since it was opened.
        """
        with self._opened() as file, _Blamed(self.path):
            footer, rows = self._footer(), self._rows()
            skeleton, digest = read_skeleton(file, footer.pickle, rows, progress)
            if digest != self._digests().get("skeleton"):
                raise DamagedError("the pickle does not match its digest")
            mapped = open_map(file.fileno(), progress) if rows else Map(bytearray(), descriptor=None)
            self._refuse_changed(file)
        return Parts(skeleton, mapped.views(rows), mapped)

    def outputs(self) -> list[dict[str, Any]]:
        """The stored displays as nbformat v4 outputs. Raises as `parts` does."""
        with self._opened() as file, _Blamed(self.path):
            footer = self._footer()
            data = read_exactly(file, footer.pickle, footer.outputs)
            if _digest(data) != self._digests().get("outputs"):
                raise DamagedError("the displays do not match their digest")
            outputs = _parse(_inflate(data, self.meta.get("outputs_length")))
            if not (isinstance(outputs, list) and all(map(_is_display, outputs))):
                raise DamagedError("the displays are not a list of displays")
        return outputs

    def check(self, new_hash: Callable[[], Any]) -> list[str]:
        """Compare the pickle, the displays and every payload with their digests, reading at the speed of the disk.

        Memory stays small, whatever the size of the file.

        Parameters
        ----------
        new_hash
            Makes the hash of a payload, as `write` got it.

        Returns
        -------
        list of str
            Names of the variables whose bytes changed; empty if all is well. Raises as `parts` does.
        """
        with self._opened() as file, _Blamed(self.path):
            footer, rows, digests = self._footer(), self._rows(), self._digests()
            if skeleton_digest(file, footer.pickle, rows) != digests.get("skeleton"):
                raise DamagedError("the pickle does not match its digest")
            if _digest_of(file, footer.pickle, footer.outputs) != digests.get("outputs"):
                raise DamagedError("the displays do not match their digest")
            bad = [index for index, row in enumerate(rows) if payload_digest(file, row, new_hash) != row.digest]
            skeleton = read_skeleton(file, footer.pickle, rows)[0] if bad else b""
            self._refuse_changed(file)
        return payload_names(skeleton, rows, bad, self.meta) if bad else []

    def copy_to(self, target: BinaryIO) -> None:
        """Copy the whole file as it is, with its signature; of someone else's checkpoint too.

        Raises
        ------
        StoreError
            The file was replaced or changed since it was opened.
        """
        with _open(self.path) as source:
            with _Blamed(self.path):
                self._refuse_changed(source)
            for offset in range(0, self.size, SLICE):
                with _Blamed(self.path):
                    part = read_exactly(source, offset, min(SLICE, self.size - offset))
                write_all(target, part)
            with _Blamed(self.path):
                self._refuse_changed(source)

    def spoiled(self, reason: str) -> StoredStep:
        """The same file as a damaged one, for who finds that its META makes no sense."""
        problem = damaged(self.path, reason)
        return replace(self, meta={}, trust="damaged", problem=problem, meta_unverified=self.meta)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads; `DamagedError` if META does not tell them."""
        with _Blamed(self.path):
            return sum(row.length for row in self._rows())

    def comparing(
        self, new_hash: Callable[[], Any], descriptor: Callable[[], int | None]
    ) -> Generator[int, None, list[str]]:
        """Do the part of `check` that is about payloads, a slice at a time.

        Parameters
        ----------
        descriptor
            Gives a descriptor of the file, closed at the end, if its path may lead to another one by now; else None.

        Yields
        ------
        int
            Bytes of payloads read so far.

        Returns
        -------
        list of str
            As `check`.
        """
        number = descriptor()
        with self._opened() if number is None else _Reading(number, "rb") as file, _Blamed(self.path):
            rows, bad, done = self._rows(), [], 0
            part = memoryview(bytearray(max((min(_COMPARED, row.length) for row in rows), default=0)))
            for index, row in enumerate(rows):
                digest = new_hash()
                for start in range(0, row.length, _COMPARED):
                    piece = part[: min(_COMPARED, row.length - start)]
                    read_into(file, row.offset + start, piece)
                    digest.update(piece)
                    done += len(piece)
                    yield done
                if digest.hexdigest() != row.digest:
                    bad.append(index)
            skeleton = read_skeleton(file, self._footer().pickle, rows)[0] if bad else b""
        return payload_names(skeleton, rows, bad, self.meta) if bad else []

    def _opened(self) -> BinaryIO:
        """The file again, still the one that was authenticated."""
        if self.problem is not None:
            raise self.problem.with_traceback(None)
        file = _open(self.path)
        try:
            with _Blamed(self.path):
                self._refuse_changed(file)
        except BaseException:  # the caller never sees this file
            file.close()
            raise
        return file

    def _refuse_changed(self, file: BinaryIO) -> None:
        """What was authenticated must be what is used."""
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime) != (self.size, self.mtime) or _Footer.of(file) != self.footer:
            raise StoreError(f"{self.path} was replaced or changed while it was being read; try again")

    def _footer(self) -> _Footer:
        assert self.footer is not None  # a file without one has a problem
        return self.footer

    def _rows(self) -> tuple[Row, ...]:
        return rows_from(self.meta.get("buffers"), self._footer().pickle)

    def _digests(self) -> dict[str, Any]:
        digests = self.meta.get("digests")
        return digests if isinstance(digests, dict) else {}


def write(
    file: BinaryIO,
    dump: Callable[[BinaryIO], Any],
    *,
    outputs: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]],
    keyring: Keyring,
    new_hash: Callable[[], Any],
    progress: Progress | None = None,
    known: Callable[[Any], Known | None] | None = None,
) -> Any:
    """Write one checkpoint into an empty file.

    Parameters
    ----------
    file
        Binary file at position 0, best unbuffered; `store.Store.publish` hands one out.
    dump
        Called once with the file to pickle to.
    outputs
        The displays as nbformat v4 outputs.
    meta
        META, or a function that makes it from what `dump` returned. ``format``, ``digests``, ``buffers`` and
        ``outputs_length`` are added here.
    keyring
        Its signing key signs.
    new_hash
        Makes the hash of a payload; `StoredStep.check` must get the same.
    progress
        Told how many bytes of the pickle are written.
    known
        Tells what is known of a buffer that becomes a payload; see `PayloadWriter`.

    Returns
    -------
    Any
        What `dump` returned.
    """
    writer = PayloadWriter(file, new_hash, progress, known)
    result = dump(writer)  # type: ignore[arg-type]  # a pickler only calls write
    skeleton = writer.finish()
    shown = _encode(list(outputs))
    packed = zlib.compress(shown, 1)
    if len(shown) > MAX_OUTPUTS:
        raise FormatError(f"the displays take {len(shown)} bytes; a checkpoint holds at most {MAX_OUTPUTS}")
    write_all(file, packed)
    content = {
        **(meta(result) if callable(meta) else meta),
        "format": FORMAT,
        "digests": {"skeleton": skeleton.digest, "outputs": _digest(packed)},
        "outputs_length": len(shown),
        "buffers": [row.as_list() for row in skeleton.rows],
    }
    _write_end(file, skeleton.end, len(packed), content, keyring)
    return result


def open_checkpoint(path: str | os.PathLike[str], keyring: Keyring) -> StoredStep:
    """Read and authenticate FOOTER and META of a file; nothing else is read.

    What the file is stands in the result's `trust` and `problem`; only a file that cannot be read at all raises.

    Raises
    ------
    StepNotFoundError
        There is no such file.
    StoreError
        It cannot be read, or is a symbolic link or no file.
    """
    path = path if isinstance(path, Path) else Path(path)  # to take one apart again costs as much as to read the file
    footer = None
    with _open(path) as file:
        try:
            with _Blamed(path):
                status = os.fstat(file.fileno())
                size = status.st_size
                tail = _end_of(file, size)
                footer = _Footer.at_end_of(tail)
                meta = _authenticate(file, path, size, footer, tail, keyring)
        except (FormatError, UntrustedError) as problem:
            unverified = _unverified(file, size, footer)
            return StoredStep(path, size, status.st_mtime, {}, _TRUST[type(problem)], problem, unverified, footer)
    return StoredStep(path, size, status.st_mtime, meta, "trusted", None, {}, footer)


def claimed(path: str | os.PathLike[str]) -> dict[str, Any]:
    """META of a file as it is, not authenticated; empty if there is none. Only to tell file names apart."""
    with _open(Path(path)) as file, _Blamed(Path(path)):
        return _unverified(file, os.fstat(file.fileno()).st_size, _Footer.of(file))


def is_complete(file: BinaryIO) -> bool:
    """Whether an open file ends as a checkpoint does, of this or a newer format, and has the length that it says."""
    footer = _Footer.of(file)
    return footer is not None and (footer.version > FORMAT or footer.fits(file.seek(0, os.SEEK_END)))


def belongs(meta: Mapping[str, Any], name: str, version: str, step: int) -> bool:
    """Whether META speaks of that step of that pipeline, whatever the file is called."""
    return (meta.get("name"), meta.get("version"), meta.get("step")) == (name, str(version), step)


def other_writer(path: Path, meta: Mapping[str, Any]) -> OtherWriterError:
    """The error for a file whose META names another pipeline, version or step than its file name."""
    return OtherWriterError(
        f"{path} holds step {meta.get('step')} of pipeline {meta.get('name')!r}, version {meta.get('version')!r}, not "
        "what its file name says: it was copied or renamed, or two names look the same as files.\n"
        "  Choose another --name or --version, or move the file away."
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """What a user must see before signing a file: whose it is, and what it would call.

    Attributes
    ----------
    owner
        Name of the file's owner.
    callables
        Everything the pickle would import, as ``module.name``.
    digest
        Of all bytes of the file and of `callables`; `resign` signs what fits it and nothing else.
    meta
        META, not authenticated: escape it.
    """

    path: Path
    owner: str
    size: int
    mtime: float
    trust: Trust
    callables: list[str]
    digest: str
    meta: dict[str, Any]


def show(path: str | os.PathLike[str], keyring: Keyring) -> Shown:
    """Look into a file that is to be trusted, without unpickling it.

    Raises
    ------
    FormatError
        The file is damaged, newer, or no pickle: there is nothing to sign.
    StepNotFoundError, StoreError
        As `open_checkpoint`.
    """
    stored = open_checkpoint(path, keyring)
    if isinstance(stored.problem, FormatError):
        raise stored.problem
    with _open(stored.path) as file, _Blamed(stored.path):
        meta, called = _look_inside(file, stored.size)
        owner = _owner(os.fstat(file.fileno()))
        digest = _shown_digest(_digest_of(file, 0, stored.size), called)
    return Shown(stored.path, owner, stored.size, stored.mtime, stored.trust, called, digest, meta)


def resign(
    path: str | os.PathLike[str], file: BinaryIO, keyring: Keyring, digest_shown: str, foreign: Mapping[str, Any]
) -> None:
    """Copy a file that `show` showed and sign the copy; the pickle's bytes stay as they are.

    Parameters
    ----------
    path
        The file that is to be trusted.
    file
        Where the signed file goes: empty, open for reading and writing.
    keyring
        Its signing key signs.
    digest_shown
        `Shown.digest`. If the file holds other bytes by now, nothing is signed.
    foreign
        META for a pickle that has none. META of a checkpoint is kept.

    Raises
    ------
    UntrustedError
        The file changed since it was shown.
    FormatError
        As `show`.
    """
    path = Path(path)
    with _open(path) as source, _Blamed(path):
        size = os.fstat(source.fileno()).st_size
        digest = _digest_of(source, 0, size, copy_to=file)
        # From here on only the copy is looked at, which nobody else can change. The digest covers the callables too:
        # a file that was changed for a moment, while it was shown, is noticed.
        content, called = _look_inside(file, size)
        if _shown_digest(digest, called) != digest_shown:
            raise UntrustedError(f"{path} changed since it was shown; nothing was signed, look again")
        footer = _Footer.of(file)
        if footer is None:
            packed = zlib.compress(b"[]")
            digests = {"skeleton": digest, "outputs": _digest(packed)}
            content = {**foreign, "format": FORMAT, "digests": digests, "outputs_length": 2, "buffers": []}
            file.seek(size)
            write_all(file, packed)
            _write_end(file, size, len(packed), content, keyring)
        else:
            end = footer.pickle + footer.outputs
            file.truncate(end)
            file.seek(end)
            _write_end(file, footer.pickle, footer.outputs, content, keyring)


def sign_again(stored: StoredStep, file: BinaryIO, keyring: Keyring, changes: Mapping[str, Any] | None = None) -> None:
    """Copy a trusted checkpoint and sign the copy with the signing key; all but key id and MAC stays as it is.

    Parameters
    ----------
    stored
        The checkpoint, as `open_checkpoint` gave it.
    file
        Where the copy goes: empty, open for writing.
    changes
        Keys of META that get other values.

    Raises
    ------
    UntrustedError, FormatError, StoreError
        As `StoredStep.parts`; also if the file changed since it was opened.
    """
    with stored._opened() as source, _Blamed(stored.path):
        footer = stored._footer()
        raw = _raw_meta(source, stored.size, footer)
        key = keyring.find(footer.key_id)
        if key is None or not key.verify(footer.mac, footer.signed(), raw):  # only now these bytes are private
            raise _tampered(stored.path)
        end = footer.pickle + footer.outputs
        for offset in range(0, end, SLICE):
            write_all(file, read_exactly(source, offset, min(SLICE, end - offset)))
        if changes is None:
            _write_signed(file, footer.pickle, footer.outputs, raw, keyring)
        else:
            _write_end(file, footer.pickle, footer.outputs, {**_parse_meta(raw), **changes}, keyring)


def payload_names(skeleton: bytes, rows: Sequence[Row], wanted: Sequence[int], meta: Mapping[str, Any]) -> list[str]:
    """Names of the variables that the payloads of the rows with the indices `wanted` belong to.

    A payload is written once, with the first variable that holds it; the others of its sharing group, of which META
    tells, are named as well. What belongs to no variable is told by its position in the file.
    """
    owners = _owners(skeleton, f"step_{meta.get('step')}" if meta.get("kind") == "method" else None)
    names = [owners.get(index, f"the payload at byte {rows[index].offset}") for index in wanted]
    groups = meta.get("groups") or {}
    tied = {groups[name] for name in names if name in groups}
    return list(dict.fromkeys([*names, *(name for name, group in groups.items() if group in tied)]))


def _owners(skeleton: bytes, returned: str | None) -> dict[int, str]:
    """Which variable each payload is written with, read out of the opcodes.

    The top form is ``operator.getitem((definitions, ambient, extras, value), 3)``. The value of a cell is the dict of
    its variables, that of a method, named `returned`, is one value; its attributes lie under `names` in the extras.
    """
    owners: dict[int, str] = {}
    buffers = 0
    for opcode, _, _, stack in walk(skeleton):
        if len(stack) > 5 and stack[1].mark:
            if opcode in ("SETITEM", "SETITEMS"):
                at = len(stack) - 3 if opcode == "SETITEM" else _last_mark(stack) - 1
                if at in _DICTS_OF_NAMES or stack[at - 1].text == "names":
                    pairs = stack[at + (1 if opcode == "SETITEM" else 2) :]
                    ends = [item.buffers for item in pairs[2::2]] + [buffers]
                    for key, end in zip(pairs[::2], ends, strict=True):
                        owners.update((index, key.text) for index in range(key.buffers, end) if key.text is not None)
            elif opcode == "TUPLE" and len(stack) == 6 and returned is not None:  # the four parts are complete
                owners.update(dict.fromkeys(range(stack[5].buffers, buffers), returned))
        buffers += opcode == "NEXT_BUFFER"
    return owners


_DICTS_OF_NAMES = (5, 8)
"""Where on the stack: `value` alone, or in `call(operator.ior, shell, value)`, which makes it known to functions."""


def _last_mark(stack: Sequence[Any]) -> int:
    return max((index for index, item in enumerate(stack) if item.mark), default=-1)


class _Footer(NamedTuple):
    """The last bytes of a file."""

    pickle: int
    outputs: int
    meta: int
    key_id: bytes
    mac: bytes
    version: int

    @classmethod
    def at_end_of(cls, tail: bytes) -> _Footer | None:
        """The footer at the end of `tail`, if there is one."""
        if len(tail) < FOOTER.size or not tail.endswith(MAGIC):
            return None
        *fields, _ = FOOTER.unpack_from(tail, len(tail) - FOOTER.size)
        return cls(*fields)

    @classmethod
    def of(cls, file: BinaryIO) -> _Footer | None:
        """The footer of an open file, if it has one."""
        size = file.seek(0, os.SEEK_END)
        return (
            cls.at_end_of(bytes(read_exactly(file, size - FOOTER.size, FOOTER.size))) if size >= FOOTER.size else None
        )

    def packed(self) -> bytes:
        return FOOTER.pack(self.pickle, self.outputs, self.meta, self.key_id, self.mac, self.version, MAGIC)

    def signed(self) -> bytes:
        """What the MAC covers besides META: all fields but itself."""
        return FOOTER.pack(self.pickle, self.outputs, self.meta, self.key_id, b"", self.version, MAGIC)

    def fits(self, size: int) -> bool:
        """Whether the lengths add up to a file of `size` bytes."""
        return self.meta <= MAX_META and self.pickle + self.outputs + self.meta + FOOTER.size == size


def _authenticate(
    file: BinaryIO, path: Path, size: int, footer: _Footer | None, tail: bytes, keyring: Keyring
) -> dict[str, Any]:
    """META, once MAC and lengths are right; else the error that says what is wrong."""
    if footer is None:
        head = bytes(read_exactly(file, 0, min(size, 64)))
        if _begins_like_ours(head):
            raise DamagedError("its end is missing" if size else "it is empty")
        raise _foreign(path)
    if footer.version > FORMAT:
        raise _newer(path, footer.version)
    if footer.version < 1 or not footer.fits(size):
        raise DamagedError("its lengths do not add up")
    key = keyring.find(footer.key_id)
    if key is None:
        raise _other_key(path, footer.key_id)
    raw = _raw_meta(file, size, footer, tail)
    if not key.verify(footer.mac, footer.signed(), raw):
        raise _tampered(path)
    return _parse_meta(raw)


def _end_of(file: BinaryIO, size: int) -> bytes:
    """The last bytes of a file of `size` bytes, in one call as a rule."""
    wanted = min(size, _TAIL)
    file.seek(size - wanted)
    tail = file.read(wanted)
    return tail if len(tail) == wanted else bytes(read_exactly(file, size - wanted, wanted))


def _raw_meta(file: BinaryIO, size: int, footer: _Footer, tail: bytes = b"") -> bytes:
    """The bytes of META, out of `tail` (the end of the file) if they are in there."""
    stop = len(tail) - FOOTER.size
    if footer.meta <= stop:
        return tail[stop - footer.meta : stop]
    return bytes(read_exactly(file, size - FOOTER.size - footer.meta, footer.meta))


def _unverified(file: BinaryIO, size: int, footer: _Footer | None) -> dict[str, Any]:
    """META of a file that is not trusted, or nothing if it cannot be read."""
    if footer is None or footer.version != FORMAT or not footer.fits(size) or footer.meta > MAX_UNVERIFIED_META:
        return {}
    try:
        return _parse_meta(_raw_meta(file, size, footer))
    except (DamagedError, OSError):
        return {}


def _look_inside(file: BinaryIO, size: int) -> tuple[dict[str, Any], list[str]]:
    """META and callables of a file that is not authenticated."""
    footer = _Footer.of(file)
    if footer is None:
        file.seek(0)
        buffered = BufferedReader(cast(RawIOBase, file))
        try:
            return {}, callables(cast(BinaryIO, buffered))
        finally:
            buffered.detach()
    if footer.version != FORMAT or not footer.fits(size):
        raise DamagedError("its lengths do not add up")
    meta = _parse_meta(_raw_meta(file, size, footer))
    rows = rows_from(meta.get("buffers"), footer.pickle)
    skeleton, digest = read_skeleton(file, footer.pickle, rows)
    digests = meta.get("digests")
    outputs = _digest_of(file, footer.pickle, footer.outputs)
    if digests != {"skeleton": digest, "outputs": outputs}:
        raise DamagedError("its bytes do not match their digests")
    if _cuts(rows) != [position for name, _, position, _ in walk(skeleton) if name == "NEXT_BUFFER"]:
        # A row inside a constant would make of it another program than the pickle is.
        raise DamagedError("its list of payloads does not fit the pickle")
    return meta, callables(skeleton)


def _cuts(rows: Sequence[Row]) -> list[int]:
    """Where in the skeleton each payload was taken out."""
    cuts, saved = [], 0
    for row in rows:
        cuts.append(row.offset - row.header - saved)
        saved += row.header + row.length - (2 if row.read_only else 1)
    return cuts


def _write_end(file: BinaryIO, pickle: int, outputs: int, content: Mapping[str, Any], keyring: Keyring) -> None:
    """Write META and FOOTER."""
    raw = _encode(content)
    if len(raw) > MAX_META:
        raise FormatError(f"the record of the step takes {len(raw)} bytes; a checkpoint holds at most {MAX_META}")
    _write_signed(file, pickle, outputs, raw, keyring)


def _write_signed(file: BinaryIO, pickle: int, outputs: int, raw: bytes, keyring: Keyring) -> None:
    unsigned = _Footer(pickle, outputs, len(raw), keyring.signing.id, b"", FORMAT)
    mac = keyring.signing.sign(unsigned.signed(), raw)
    write_all(file, raw)
    write_all(file, _Footer(pickle, outputs, len(raw), keyring.signing.id, mac, FORMAT).packed())


def _digest_of(file: BinaryIO, start: int, length: int, copy_to: BinaryIO | None = None) -> str:
    """Digest of a part of a file, which is copied on the way if there is somewhere to copy it to."""
    digest = hashlib.blake2b(digest_size=32)
    for offset in range(start, start + length, SLICE):
        part = read_exactly(file, offset, min(SLICE, start + length - offset))
        digest.update(part)
        if copy_to is not None:
            write_all(copy_to, part)
    return digest.hexdigest()


def _shown_digest(digest: str, called: Sequence[str]) -> str:
    return _digest(_encode([digest, *called]))


# made here, not called as `json.dumps`, which a notebook may have replaced
_WRITER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_ESCAPING_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_READER = json.JSONDecoder()


def _encode(content: Any) -> bytes:
    try:
        return _WRITER.encode(content).encode()
    except UnicodeEncodeError:  # lone surrogates: written as escapes, so that the file stays UTF-8
        return _ESCAPING_WRITER.encode(content).encode()


def _parse(raw: bytes) -> Any:
    try:
        return _READER.decode(raw.decode())
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than the interpreter can go
        raise DamagedError(f"its record is not JSON: {type(error).__name__}") from error


def _parse_meta(raw: bytes) -> dict[str, Any]:
    meta = _parse(raw)
    if not isinstance(meta, dict):
        raise DamagedError("its record is not a JSON object")
    return meta


def _is_display(output: Any) -> bool:
    """Whether a JSON value is an nbformat v4 output with all that showing it takes."""
    fields = _DISPLAYS.get(str(output.get("output_type"))) if isinstance(output, dict) else None
    return fields is not None and all(isinstance(output.get(name), kind) for name, kind in fields.items())


_SHOWN_DATA: Mapping[str, type] = {"data": dict, "metadata": dict}
_DISPLAYS: Mapping[str, Mapping[str, type]] = {
    "stream": {"name": str, "text": str},
    "display_data": _SHOWN_DATA,
    "execute_result": _SHOWN_DATA,
    "error": {"ename": str, "evalue": str, "traceback": list},
}


def _inflate(data: bytes | bytearray, length: object) -> bytes:
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


def _digest(data: bytes | bytearray) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


_TOP_FORM = b"\x80\x05\x8c\x09_operator\x94\x8c\x07getitem\x94\x93"
_OTHER_TOP_FORM = b"\x80\x05\x8c\x08operator\x94\x8c\x07getitem\x94\x93"


def _begins_like_ours(head: bytes) -> bool:
    """Whether a file begins with the top form, or is cut off within it. The frame's length varies."""
    if head[2:3] == b"\x95":
        head = head[:2] + head[11:]
    return any(head.startswith(form) or form.startswith(head) for form in (_TOP_FORM, _OTHER_TOP_FORM))


def _open(path: Path) -> BinaryIO:
    """Open a checkpoint unbuffered; a symbolic link is not followed, and a pipe not waited for."""
    try:  # statements that cost nothing where nothing fails: a folder may hold ten thousand files
        descriptor = os.open(path, _READING)
    except FileNotFoundError as error:
        raise StepNotFoundError(f"there is no file {path}") from error
    except OSError as error:
        if os.path.islink(path):
            raise StoreError(f"{path} is a symbolic link; checkpoints are never read through links") from error
        with Explained(path, "the file cannot be opened", reading=True):
            raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path} is not a regular file")
        return cast(BinaryIO, _Reading(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        with _Blamed(path):
            raise


_READING = functools.reduce(
    operator.or_, (getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
)


class _Reading(io.FileIO):
    """A file that is read: what closing it reports is of no consequence."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _owner(status: os.stat_result) -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(status.st_uid).pw_name
    except (ImportError, KeyError):
        return str(status.st_uid)


class _Blamed(Explained):
    """Names the file, and what to do, in errors of the code below, which does not know it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the file cannot be read", reading=True)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, DamagedError):
            raise damaged(self.path, str(error)) from error
        if type(error) is FormatError:  # from `walk`, on a pickle that is not ours
            raise FormatError(f"{self.path} is {error}; there is nothing to trust in it") from error
        if isinstance(error, MemoryError):
            raise StoreError(f"{self.path}: {self._what}: there is not enough memory for it; free some") from error
        super().__exit__(kind, error, traceback)


def damaged(path: Path, reason: str) -> DamagedError:
    """The error for a file whose bytes are not what they should be."""
    return DamagedError(
        f"{path} is damaged: {reason}. Its step has to run again (`--force` on the step, or %ckpt_start none); the "
        "damaged file is then kept beside it."
    )


def _foreign(path: Path) -> ForeignError:
    return ForeignError(
        f"{path} was not written by ckpt_magic: reading it could run any code.\n{_trust_lines(path)}\n{_RUN_LINE}"
    )


def _other_key(path: Path, key_id: bytes) -> OtherKeyError:
    return OtherKeyError(
        f"{path} is someone else's checkpoint: it is signed with the key {key_id.hex()}, which is not accepted here.\n"
        f"{_trust_lines(path)}\n"
        "  or accept that key:  %ckpt_trust --key FILE (shell: ckpt-magic key import FILE), or set CKPT_KEY_FILE\n"
        f"{_RUN_LINE}"
    )


def _tampered(path: Path) -> TamperedError:
    return TamperedError(
        f"{path} was tampered with: it names a key that is accepted here, but the signature does not fit its bytes.\n"
        "  Find out who changed it. Then\n"
        f"{_RUN_LINE}\n"
        f"{_trust_lines(path, 'or, if you know the change:')}"
    )


def _newer(path: Path, version: int) -> NewerFormatError:
    return NewerFormatError(
        f"{path} was written by a newer ckpt_magic: format {version}, this one reads up to {FORMAT}.\n"
        "  upgrade it:          pip install --upgrade ckpt-magic\n"
        f"{_RUN_LINE}"
    )


_RUN_LINE = (
    "  or run the step:     %ckpt_start none, or --force on the step (this file is then kept beside the new one)"
)


def _trust_lines(path: Path, first: str = "if you trust it:") -> str:
    quoted = shlex.quote(str(path))
    return f"  {first:<20} %ckpt_trust {quoted}\n  {'':<20} ckpt-magic trust {quoted}  (in a shell)"


_TRUST: dict[type[CheckpointError], Trust] = {
    OtherKeyError: "other key",
    TamperedError: "tampered",
    ForeignError: "foreign",
    DamagedError: "damaged",
    NewerFormatError: "newer",
}


def state_of(problem: CheckpointError) -> str:
    """The word for a file that raised `problem`; one that is no checkpoint of ours may be just not readable."""
    return _TRUST.get(type(problem), "unreadable")
