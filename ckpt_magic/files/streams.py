"""Whole reads and writes of binary files, in slices, with progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from ckpt_magic.errors import DamagedError

SLICE = 1 << 20
"""Bytes hashed and written at a time: small enough to stay in the processor's own memory between the two."""
Progress = Callable[[int], None]
"""Called after every slice with the bytes written or read so far; it must be cheap."""
_READ = 16 << 20  # bytes read between two calls of progress


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
        read_into(file, offset, view)
    return data


def read_into(file: BinaryIO, offset: int, view: memoryview, progress: Progress | None = None, before: int = 0) -> None:
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


def say_nothing(done: int) -> None:
    """Progress that nobody asked for."""
