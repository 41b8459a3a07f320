"""Several checkpoint files as one zip file: written as a stream, and read as what it is, hostile input.

The zip only stores; what is in a checkpoint is compressed or random already. Signatures travel as they are: whoever
unpacks the files has to trust them. Reading believes nothing: names are those of checkpoints and nothing else, no
member is a link, compressed, encrypted, twice there or larger than what the zip holds, and all is checked before
anything is written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ckpt_magic.errors import CheckpointError, FormatError, StoreError
from ckpt_magic.files.format import StoredStep, is_complete
from ckpt_magic.files.store import Entry, Store, hold, read_name, temporary_name
from ckpt_magic.files.streams import SLICE, write_all


@dataclass(frozen=True, slots=True)
class Member:
    """One checkpoint in a zip file.

    Attributes
    ----------
    entry
        Name, version and step by its file name; the path that it gets in the folder of the receiver.
    size
        Bytes.
    """

    entry: Entry
    size: int
    info: zipfile.ZipInfo


def pack(steps: Sequence[StoredStep], target: Path, *, replace: bool = False) -> int:
    """Write checkpoint files into a new zip file, which is whole or not there.

    Parameters
    ----------
    replace
        Replace the file at `target` if there is one.

    Returns
    -------
    int
        Bytes of the zip file.

    Raises
    ------
    StoreError
        There is a file already, it cannot be written, or a checkpoint was replaced meanwhile.
    """
    if os.path.lexists(target) and not replace:
        raise StoreError(f"{target} exists already; give another name, or --force to replace it")
    folder = Store(target.parent)
    folder.refuse_without_room(sum(step.size for step in steps))
    with contextlib.suppress(StoreError):  # a folder that may be written to and not listed
        folder.sweep()
    temporary = temporary_name(target.parent)
    try:
        with _writing(target):
            with open(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                hold(file.fileno())
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
                    for step in steps:
                        _add(packed, step)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            _place(temporary, target, replace)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return size


@contextlib.contextmanager
def opened(path: Path, store: Store) -> Iterator[tuple[zipfile.ZipFile, list[Member]]]:
    """Open a zip file and find out what of it may be unpacked into a folder; nothing is written.

    Raises
    ------
    FormatError
        It is no zip file, or has a member that `pack` never writes.
    StoreError
        It cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for, a device read without end
        raise StoreError(f"{path} cannot be read: it is not a regular file")
    with _reading(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as packed:
            yield packed, _members(packed, size, store)


def unpack(packed: zipfile.ZipFile, members: Iterable[Member], store: Store) -> None:
    """Put the members of an opened zip file into the folder, each whole; a file in its place is kept aside.

    Raises
    ------
    FormatError
        The bytes of a member are not what the zip file says.
    StoreError
        The folder is read-only or full. What was unpacked before is there.
    """
    for member in members:

        def write(file: BinaryIO, info: zipfile.ZipInfo = member.info) -> None:
            with packed.open(info) as source:
                while part := source.read(SLICE):
                    write_all(file, part)
            if not is_complete(file):
                raise ValueError(f"its member {info.filename} is no checkpoint")

        store.publish(member.entry.path, write, keep=True)


_FIRST, _LAST = 315_619_200.0, 4_354_819_198.0  # 1980 and 2107: other times a zip file does not know


def _add(packed: zipfile.ZipFile, step: StoredStep) -> None:
    info = zipfile.ZipInfo(step.path.name, time.gmtime(min(max(step.mtime, _FIRST), _LAST))[:6])
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    with packed.open(info, "w", force_zip64=True) as member:
        step.copy_to(cast(BinaryIO, member))


def _members(packed: zipfile.ZipFile, size: int, store: Store) -> list[Member]:
    members: dict[str, Member] = {}
    for info in packed.infolist():
        named = read_name(PurePosixPath(info.filename)) if info.filename == info.orig_filename else None
        if named is None or "/" in info.filename or info.filename in members:
            raise ValueError(f"its member {info.filename!a} has no name of a checkpoint, or is there twice")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError(f"its member {info.filename} is no file")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise ValueError(f"its member {info.filename} is compressed or encrypted, which `export` never does")
        entry = Entry(*named, store.folder / info.filename)
        members[info.filename] = Member(entry, info.file_size, info)
    if not members:
        raise ValueError("it is empty")
    if sum(member.size for member in members.values()) > size:
        raise ValueError("its members are larger than the file itself: they overlap")
    return sorted(members.values(), key=lambda member: (member.entry.name, member.entry.version, member.entry.step))


def _place(temporary: Path, target: Path, replace: bool) -> None:
    if replace:
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)  # unlike a renaming, it never replaces what somebody put there meanwhile
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        with open(target, "xb") as file, open(temporary, "rb") as source:
            shutil.copyfileobj(source, file, SLICE)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:  # of a checkpoint that is read
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the zip file in what `zipfile` and we find wrong with it."""
    try:
        yield
    except CheckpointError:  # of the folder that is written to
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except _NO_ZIP as error:
        raise FormatError(f"{path} is no file that `ckpt-magic export` wrote, or it is damaged: {error}") from error


# what `zipfile` raises on bytes that are none of its
_NO_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    *(ValueError, EOFError, OverflowError),
)
