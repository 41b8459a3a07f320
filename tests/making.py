"""Checkpoint files for the tests of the lower rooms, made without the rooms above."""

from __future__ import annotations

import hashlib
import operator
import pickle
from pathlib import Path
from typing import Any, BinaryIO

from ckpt_magic.files import format as checkpoint_format
from ckpt_magic.files.format import StoredStep
from ckpt_magic.files.sections import FOOTER, MAGIC
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import Keyring, load_keyring


class TopForm:
    """Pickles to ``operator.getitem((definitions, ambient, extras, value), 3)``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, (((), None, {}, self.value), 3)


def new_hash() -> Any:
    return hashlib.blake2b(digest_size=16)


def pickle_to(file: BinaryIO, value: Any) -> None:
    pickle.Pickler(file, 5).dump(TopForm(value))


def some_keyring(tmp_path: Path, who: str = "me") -> Keyring:
    return load_keyring({}, tmp_path / "keys of" / who)


def write(file: BinaryIO, value: Any, keyring: Keyring, outputs: list[dict[str, Any]], **meta: Any) -> None:
    """Write a whole checkpoint to `file`."""
    facts = {"name": "m", "version": "1", "step": 1, "kind": "cell", **meta}
    checkpoint_format.write(
        file, lambda target: pickle_to(target, value), outputs=outputs, meta=facts, keyring=keyring, new_hash=new_hash
    )


def save(path: Path, value: Any, keyring: Keyring, outputs: list[dict[str, Any]] | None = None, **meta: Any) -> Path:
    """Publish a checkpoint at `path`."""
    Store(path.parent).publish(path, lambda file: write(file, value, keyring, outputs or [], **meta))
    return path


def load(stored: StoredStep) -> Any:
    """The value of a checkpoint, by way of the map."""
    parts = stored.parts()
    return pickle.loads(parts.skeleton, buffers=parts.buffers)


def overwrite(path: Path, data: bytes) -> None:
    """Change a published file in place, as no part of the package ever does."""
    path.chmod(0o600)
    path.write_bytes(data)


def sections(path: Path) -> tuple[bytes, bytes, bytes, bytes]:
    """Pickle, OUTPUTS, META and footer."""
    data = path.read_bytes()
    pickle_length, outputs, meta, *_ = FOOTER.unpack(data[-FOOTER.size :])
    ends = (pickle_length, pickle_length + outputs, pickle_length + outputs + meta)
    return data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] : ends[2]], data[ends[2] :]


def sign_by_hand(path: Path, ring: Keyring, meta: bytes, *, pickle_length: int | None = None) -> None:
    """Put other META into a file and sign it rightly, as only the key's owner could."""
    begin, outputs, _, _ = sections(path)
    lengths = (len(begin) if pickle_length is None else pickle_length, len(outputs), len(meta), ring.signing.id)
    mac = ring.signing.sign(FOOTER.pack(*lengths, b"", 1, MAGIC), meta)
    overwrite(path, begin + outputs + meta + FOOTER.pack(*lengths, mac, 1, MAGIC))
