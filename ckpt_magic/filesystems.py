"""What kind of file system a file lies on. Below all: maps of files and proofs about them ask for it."""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from typing import Any


def linux_type(descriptor: int) -> int:
    """``f_type`` of fstatfs, the first word of the structure; 0 if it cannot be had, as on other systems than Linux.

    /proc/self/mountinfo would do without ctypes, but files on Btrfs and overlayfs have device numbers not listed there.
    """
    if platform.system() != "Linux":
        return 0
    fstatfs, result = _fstatfs(), ctypes.create_string_buffer(512)
    failed = fstatfs is None or fstatfs(descriptor, result)
    kind = ctypes.c_uint32 if sys.byteorder == "big" and platform.machine() == "s390x" else ctypes.c_ulong
    return 0 if failed else kind.from_buffer(result).value & 0xFFFFFFFF


@functools.cache  # it takes a tenth of a millisecond
def _fstatfs() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).fstatfs
    except (OSError, AttributeError):  # a libc without dlopen, or without this call
        return None
