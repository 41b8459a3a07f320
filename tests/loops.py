"""File systems in loop files, for what the machine's own one cannot do."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARING = {"xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"]}
"""Commands that make file systems which share extents between files."""


class NotHereError(Exception):
    """Loop files cannot be had here; the text says why."""


@contextmanager
def mounted(kind: str, place: Path, size: int) -> Iterator[Path]:
    """Mount a new file system of `size` bytes whose image lies in the folder `place`; gives its root."""
    if shutil.which(SHARING[kind][0]) is None:
        raise NotHereError(f"there is no {SHARING[kind][0]}")
    image, root = place / f"{kind}.image", place / kind
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    try:
        subprocess.run([*SHARING[kind], image], check=True, capture_output=True)
        made = subprocess.run(["mount", "-o", "loop", image, root], check=False, capture_output=True, text=True)
        if made.returncode:
            raise NotHereError(f"loop files cannot be mounted here: {made.stderr.strip()}")
        try:
            yield root
        finally:
            gc.collect()  # what is still mapped keeps it busy
            subprocess.run(["umount", "--lazy", root], check=True)
    finally:
        image.unlink()


def used(folder: Path) -> int:
    """Bytes in use on the file system of a folder, all that was written being there."""
    subprocess.run(["sync", "-f", folder], check=True)
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize
