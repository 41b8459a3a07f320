"""One checkpoint file: ``PICKLE | OUTPUTS | META | FOOTER``, written once and read in a safe order.

Order of opening: lengths bounded, MAC over FOOTER and META, META parsed; the digests of the skeleton and of OUTPUTS
are compared when each is used. Knows neither folders nor values, and never unpickles anything.
"""

from __future__ import annotations

import functools
import io
import operator
import os
import stat
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from ckpt_magic.errors import (
    CheckpointError,
    DamagedError,
    FormatError,
    StepNotFoundError,
    StoreError,
    UntrustedError,
)
from ckpt_magic.files import problems, sections
from ckpt_magic.files.disk import Explained
from ckpt_magic.files.extents import Known
from ckpt_magic.files.maps import Map, open_map
from ckpt_magic.files.payloads import PayloadWriter, Row, payload_digest, read_skeleton, rows_from, skeleton_digest
from ckpt_magic.files.problems import Blamed, Trust
from ckpt_magic.files.sections import Footer
from ckpt_magic.files.streams import SLICE, Progress, read_exactly, read_into, write_all
from ckpt_magic.files.trust import Keyring, walk

_COMPARED = 4 << 20  # bytes read at a time in the background


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
    footer: Footer | None = None

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
        with self.opened() as file, Blamed(self.path):
            footer, rows = self._footer(), self._rows()
            skeleton, digest = read_skeleton(file, footer.pickle, rows, progress)
            if digest != self._digests().get("skeleton"):
                raise DamagedError("the pickle does not match its digest")
            mapped = open_map(file.fileno(), progress) if rows else Map(bytearray(), descriptor=None)
            self._refuse_changed(file)
        return Parts(skeleton, mapped.views(rows), mapped)

    def outputs(self) -> list[dict[str, Any]]:
        """The stored displays as nbformat v4 outputs. Raises as `parts` does."""
        with self.opened() as file, Blamed(self.path):
            footer = self._footer()
            data = read_exactly(file, footer.pickle, footer.outputs)
            if sections.digest_of(data) != self._digests().get("outputs"):
                raise DamagedError("the displays do not match their digest")
            outputs = sections.parse(sections.inflate(data, self.meta.get("outputs_length")))
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
        with self.opened() as file, Blamed(self.path):
            footer, rows, digests = self._footer(), self._rows(), self._digests()
            if skeleton_digest(file, footer.pickle, rows) != digests.get("skeleton"):
                raise DamagedError("the pickle does not match its digest")
            if sections.digest_in(file, footer.pickle, footer.outputs) != digests.get("outputs"):
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
        with open_regular(self.path) as source:
            with Blamed(self.path):
                self._refuse_changed(source)
            for offset in range(0, self.size, SLICE):
                with Blamed(self.path):
                    part = read_exactly(source, offset, min(SLICE, self.size - offset))
                write_all(target, part)
            with Blamed(self.path):
                self._refuse_changed(source)

    def spoiled(self, reason: str) -> StoredStep:
        """The same file as a damaged one, for who finds that its META makes no sense."""
        problem = problems.damaged(self.path, reason)
        return replace(self, meta={}, trust="damaged", problem=problem, meta_unverified=self.meta)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads; `DamagedError` if META does not tell them."""
        with Blamed(self.path):
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
        with self.opened() if number is None else Reading(number, "rb") as file, Blamed(self.path):
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

    def opened(self) -> BinaryIO:
        """The file again, still the one that was authenticated."""
        if self.problem is not None:
            raise self.problem.with_traceback(None)
        file = open_regular(self.path)
        try:
            with Blamed(self.path):
                self._refuse_changed(file)
        except BaseException:  # the caller never sees this file
            file.close()
            raise
        return file

    def _refuse_changed(self, file: BinaryIO) -> None:
        """What was authenticated must be what is used."""
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime) != (self.size, self.mtime) or Footer.of(file) != self.footer:
            raise StoreError(f"{self.path} was replaced or changed while it was being read; try again")

    def _footer(self) -> Footer:
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
    shown = sections.encode(list(outputs))
    packed = zlib.compress(shown, 1)
    if len(shown) > sections.MAX_OUTPUTS:
        raise FormatError(f"the displays take {len(shown)} bytes; a checkpoint holds at most {sections.MAX_OUTPUTS}")
    write_all(file, packed)
    content = {
        **(meta(result) if callable(meta) else meta),
        "format": sections.FORMAT,
        "digests": {"skeleton": skeleton.digest, "outputs": sections.digest_of(packed)},
        "outputs_length": len(shown),
        "buffers": [row.as_list() for row in skeleton.rows],
    }
    sections.write_end(file, skeleton.end, len(packed), content, keyring)
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
    with open_regular(path) as file:
        try:
            with Blamed(path):
                status = os.fstat(file.fileno())
                size = status.st_size
                tail = sections.end_of(file, size)
                footer = Footer.at_end_of(tail)
                meta = _authenticate(file, path, size, footer, tail, keyring)
        except (FormatError, UntrustedError) as problem:
            unverified = sections.unverified(file, size, footer)
            return StoredStep(
                path, size, status.st_mtime, {}, problems.WORDS[type(problem)], problem, unverified, footer
            )
    return StoredStep(path, size, status.st_mtime, meta, "trusted", None, {}, footer)


def claimed(path: str | os.PathLike[str]) -> dict[str, Any]:
    """META of a file as it is, not authenticated; empty if there is none. Only to tell file names apart."""
    with open_regular(Path(path)) as file, Blamed(Path(path)):
        return sections.unverified(file, os.fstat(file.fileno()).st_size, Footer.of(file))


def is_complete(file: BinaryIO) -> bool:
    """Whether an open file ends as a checkpoint does, of this or a newer format, and has the length that it says."""
    footer = Footer.of(file)
    return footer is not None and (footer.version > sections.FORMAT or footer.fits(file.seek(0, os.SEEK_END)))


def belongs(meta: Mapping[str, Any], name: str, version: str, step: int) -> bool:
    """Whether META speaks of that step of that pipeline, whatever the file is called."""
    return (meta.get("name"), meta.get("version"), meta.get("step")) == (name, str(version), step)


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

    The top form is ``operator.getitem((definitions, ambient, extras, value), 3)``; what is put into the value
    afterwards may follow it. The value of a cell is the dict of its variables, that of a method, named `returned`, is
    one value; its attributes lie under `names` in the extras.
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
            elif opcode == "TUPLE" and len(stack) in (6, 7) and returned is not None:  # the parts are complete
                end = stack[6].buffers if len(stack) == 7 else buffers
                owners.update(dict.fromkeys(range(stack[5].buffers, end), returned))
        buffers += opcode == "NEXT_BUFFER"
    return owners


_DICTS_OF_NAMES = (5, 8)
"""Where on the stack: `value` alone, or in `call(operator.ior, shell, value)`, which makes it known to functions."""


def _last_mark(stack: Sequence[Any]) -> int:
    return max((index for index, item in enumerate(stack) if item.mark), default=-1)


def _authenticate(
    file: BinaryIO, path: Path, size: int, footer: Footer | None, tail: bytes, keyring: Keyring
) -> dict[str, Any]:
    """META, once MAC and lengths are right; else the error that says what is wrong."""
    if footer is None:
        head = bytes(read_exactly(file, 0, min(size, 64)))
        if _begins_like_ours(head):
            raise DamagedError("its end is missing" if size else "it is empty")
        raise problems.foreign(path)
    if footer.version > sections.FORMAT:
        raise problems.newer(path, footer.version, sections.FORMAT)
    if footer.version < 1 or not footer.fits(size):
        raise DamagedError("its lengths do not add up")
    key = keyring.find(footer.key_id)
    if key is None:
        raise problems.other_key(path, footer.key_id)
    raw = sections.raw_meta(file, size, footer, tail)
    if not key.verify(footer.mac, footer.signed(), raw):
        raise problems.tampered(path)
    return sections.parse_meta(raw)


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


_TOP_FORM = b"\x80\x05\x8c\x09_operator\x94\x8c\x07getitem\x94\x93"
_OTHER_TOP_FORM = b"\x80\x05\x8c\x08operator\x94\x8c\x07getitem\x94\x93"


def _begins_like_ours(head: bytes) -> bool:
    """Whether a file begins with the top form, or is cut off within it. The frame's length varies."""
    if head[2:3] == b"\x95":
        head = head[:2] + head[11:]
    return any(head.startswith(form) or form.startswith(head) for form in (_TOP_FORM, _OTHER_TOP_FORM))


def open_regular(path: Path) -> BinaryIO:
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
        return cast(BinaryIO, Reading(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        with Blamed(path):
            raise


_READING = functools.reduce(
    operator.or_, (getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
)


class Reading(io.FileIO):
    """A file that is read: what closing it reports is of no consequence."""

    def close(self) -> None:
        try:  # a `with suppress` takes longer than the closing, which counts in a folder of ten thousand files
            super().close()
        except OSError:
            pass
