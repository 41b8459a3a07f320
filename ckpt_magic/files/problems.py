"""What is wrong with a file, in words: which file, what about it, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ckpt_magic.errors import (
    CheckpointError,
    DamagedError,
    ForeignError,
    FormatError,
    NewerFormatError,
    OtherKeyError,
    OtherWriterError,
    StoreError,
    TamperedError,
)
from ckpt_magic.files.disk import Explained

Trust = Literal["trusted", "other key", "tampered", "foreign", "damaged", "newer"]


WORDS: dict[type[CheckpointError], Trust] = {
    OtherKeyError: "other key",
    TamperedError: "tampered",
    ForeignError: "foreign",
    DamagedError: "damaged",
    NewerFormatError: "newer",
}


def state_of(problem: CheckpointError) -> str:
    """The word for a file that raised `problem`; one that is no checkpoint of ours may be just not readable."""
    return WORDS.get(type(problem), "unreadable")


class Blamed(Explained):
    """Names the file, and what to do, in errors of the code below, which does not know it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the file cannot be read", reading=True)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
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


def foreign(path: Path) -> ForeignError:
    """The error for a file that is no checkpoint of ours."""
    return ForeignError(
        f"{path} was not written by ckpt_magic: reading it could run any code.\n{_trust_lines(path)}\n{_RUN_LINE}"
    )


def other_key(path: Path, key_id: bytes) -> OtherKeyError:
    """The error for a checkpoint that is signed with a key which is not accepted."""
    return OtherKeyError(
        f"{path} is someone else's checkpoint: it is signed with the key {key_id.hex()}, which is not accepted here.\n"
        f"{_trust_lines(path)}\n"
        "  or accept that key:  %ckpt_trust --key FILE (shell: ckpt-magic key import FILE), or set CKPT_KEY_FILE\n"
        f"{_RUN_LINE}"
    )


def tampered(path: Path) -> TamperedError:
    """The error for a checkpoint whose signature does not fit."""
    return TamperedError(
        f"{path} was tampered with: it names a key that is accepted here, but the signature does not fit its bytes.\n"
        "  Find out who changed it. Then\n"
        f"{_RUN_LINE}\n"
        f"{_trust_lines(path, 'or, if you know the change:')}"
    )


def newer(path: Path, version: int, known: int) -> NewerFormatError:
    """The error for a checkpoint of a format above the `known` ones."""
    return NewerFormatError(
        f"{path} was written by a newer ckpt_magic: format {version}, this one reads up to {known}.\n"
        "  upgrade it:          pip install --upgrade ckpt-magic\n"
        f"{_RUN_LINE}"
    )


def other_writer(path: Path, meta: Mapping[str, Any]) -> OtherWriterError:
    """The error for a file whose META names another pipeline, version or step than its file name."""
    return OtherWriterError(
        f"{path} holds step {meta.get('step')} of pipeline {meta.get('name')!r}, version {meta.get('version')!r}, not "
        "what its file name says: it was copied or renamed, or two names look the same as files.\n"
        "  Choose another --name or --version, or move the file away."
    )


_RUN_LINE = (
    "  or run the step:     %ckpt_start none, or --force on the step (this file is then kept beside the new one)"
)


def _trust_lines(path: Path, first: str = "if you trust it:") -> str:
    quoted = shlex.quote(str(path))
    return f"  {first:<20} %ckpt_trust {quoted}\n  {'':<20} ckpt-magic trust {quoted}  (in a shell)"
