"""The large buffers that a save writes: what the look and earlier files know of them already."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

from ckpt_magic.files.extents import Extent, Known, Published
from ckpt_magic.values.pages import Content, Pages, Stored
from ckpt_magic.values.pickles.gathered import Gathered


class Buffers:
    """What is known of the buffers of one save.

    Parameters
    ----------
    pages
        What is known of the large buffers of this process.

    Attributes
    ----------
    gathered
        Where scattered arrays are noted when they are pickled.
    """

    def __init__(self, pages: Pages) -> None:
        self.gathered = Gathered()
        self._pages = pages
        self._met: list[tuple[Known, Content]] = []

    def known(self, buffer: Any) -> Known | None:
        """What is known of a buffer: none if it may have been written to since the look."""
        if (pieces := self.gathered.pieces(buffer)) is not None:
            return Known(None, pieces=pieces)
        content = self._pages.known(buffer)
        if content is None:
            return None
        known = Known(None, lambda: self._pages.known(buffer) is content)
        if content.stored is not None:  # parts of it are shared, and not read when it is written
            content.hold(buffer)
            known.extent, known.stale = cast(Extent, content.stored.where), content.stored.stale
        if content.stored is not None or content.is_read:
            known.digest = content.digest().hex()
            content.forget()
        self._met.append((known, content))
        return known

    def read(self) -> None:
        """Note the digests of what was read when it was written."""
        for known, content in self._met:
            if known.digest is not None and not content.is_read:
                content.was_read(bytes.fromhex(known.digest))

    def written(self, path: Path, file: BinaryIO) -> None:
        """Note where the buffers lie in a file that is written and will be published at `path`."""
        for known, content in self._met:
            resident = known.extent is None or known.extent.source.resident
            if known.written_at is None or not (resident or known.stale):  # a map holds its file, come what may
                continue
            content.stored = Stored(Extent(Published.at(path, file, resident=resident), known.written_at))
