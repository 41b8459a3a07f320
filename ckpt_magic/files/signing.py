"""Signing what a user trusts: a file is shown first, and what was shown is signed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from ckpt_magic.errors import DamagedError, FormatError, UntrustedError
from ckpt_magic.files import problems, sections
from ckpt_magic.files.format import StoredStep, open_checkpoint, open_regular
from ckpt_magic.files.payloads import Row, read_skeleton, rows_from
from ckpt_magic.files.problems import Blamed, Trust
from ckpt_magic.files.sections import Footer
from ckpt_magic.files.streams import SLICE, read_exactly, write_all
from ckpt_magic.files.trust import Keyring, callables, walk


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
    with open_regular(stored.path) as file, Blamed(stored.path):
        meta, called = _look_inside(file, stored.size)
        owner = _owner(os.fstat(file.fileno()))
        digest = _shown_digest(sections.digest_in(file, 0, stored.size), called)
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
    with open_regular(path) as source, Blamed(path):
        size = os.fstat(source.fileno()).st_size
        digest = sections.digest_in(source, 0, size, copy_to=file)
        # From here on only the copy is looked at, which nobody else can change. The digest covers the callables too:
        # a file that was changed for a moment, while it was shown, is noticed.
        content, called = _look_inside(file, size)
        if _shown_digest(digest, called) != digest_shown:
            raise UntrustedError(f"{path} changed since it was shown; nothing was signed, look again")
        footer = Footer.of(file)
        if footer is None:
            packed = zlib.compress(b"[]")
            digests = {"skeleton": digest, "outputs": sections.digest_of(packed)}
            content = {**foreign, "format": sections.FORMAT, "digests": digests, "outputs_length": 2, "buffers": []}
            file.seek(size)
            write_all(file, packed)
            sections.write_end(file, size, len(packed), content, keyring)
        else:
            end = footer.pickle + footer.outputs
            file.truncate(end)
            file.seek(end)
            sections.write_end(file, footer.pickle, footer.outputs, content, keyring)


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
    with stored.opened() as source, Blamed(stored.path):
        footer = stored.footer
        assert footer is not None  # a file without one has a problem
        raw = sections.raw_meta(source, stored.size, footer)
        key = keyring.find(footer.key_id)
        if key is None or not key.verify(footer.mac, footer.signed(), raw):  # only now these bytes are private
            raise problems.tampered(stored.path)
        end = footer.pickle + footer.outputs
        for offset in range(0, end, SLICE):
            write_all(file, read_exactly(source, offset, min(SLICE, end - offset)))
        if changes is None:
            sections.write_signed(file, footer.pickle, footer.outputs, raw, keyring)
        else:
            sections.write_end(file, footer.pickle, footer.outputs, {**sections.parse_meta(raw), **changes}, keyring)


def _look_inside(file: BinaryIO, size: int) -> tuple[dict[str, Any], list[str]]:
    """META and callables of a file that is not authenticated."""
    footer = Footer.of(file)
    if footer is None:
        file.seek(0)
        buffered = BufferedReader(cast(RawIOBase, file))
        try:
            return {}, callables(cast(BinaryIO, buffered))
        finally:
            buffered.detach()
    if footer.version != sections.FORMAT or not footer.fits(size):
        raise DamagedError("its lengths do not add up")
    meta = sections.parse_meta(sections.raw_meta(file, size, footer))
    rows = rows_from(meta.get("buffers"), footer.pickle)
    skeleton, digest = read_skeleton(file, footer.pickle, rows)
    digests = meta.get("digests")
    outputs = sections.digest_in(file, footer.pickle, footer.outputs)
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


def _shown_digest(digest: str, called: Sequence[str]) -> str:
    return sections.digest_of(sections.encode([digest, *called]))


def _owner(status: os.stat_result) -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(status.st_uid).pw_name
    except (ImportError, KeyError):
        return str(status.st_uid)
