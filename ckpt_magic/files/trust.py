"""Keys, signatures, and what a pickle would call: the question "may this be unpickled?".

Knows key files and opcodes; does not know how a checkpoint file is laid out and never unpickles anything.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import os
import pickletools
import re
import secrets
import shlex
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from ckpt_magic.errors import FormatError, StoreError, UntrustedError, UsageError
from ckpt_magic.files.disk import cause, is_alive, settle_folder

KEY_BYTES = 32
MAC_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A secret of 32 bytes that signs checkpoints."""

    secret: bytes
    id: bytes = field(init=False, compare=False)
    """Eight bytes that tell keys apart and do not give the secret away."""

    def __post_init__(self) -> None:
        found = hashlib.blake2b(key=self.secret, digest_size=8, person=b"ckpt_magic id").digest()
        object.__setattr__(self, "id", found)

    def sign(self, *parts: bytes) -> bytes:
        """MAC over `parts`, whose lengths must be fixed or be among them."""
        mac = hashlib.blake2b(key=self.secret, digest_size=MAC_BYTES, person=b"ckpt_magic mac")
        for part in parts:
            mac.update(part)
        return mac.digest()

    def conceal(self, text: str) -> str:
        """Digest of a text that may be a secret: only who has the key can compare it. It is no signature."""
        data = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, key=self.secret, digest_size=16, person=b"ckpt_magic text").hexdigest()

    def verify(self, mac: bytes, *parts: bytes) -> bool:
        """Whether `mac` is this key's over `parts`; takes the same time whatever the answer."""
        return hmac.compare_digest(mac, self.sign(*parts))

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key that signs what is saved, and all keys (that one first) whose checkpoints are accepted."""

    signing: Key
    accepted: tuple[Key, ...]

    def find(self, key_id: bytes) -> Key | None:
        """The accepted key of that id."""
        for key in self.accepted:  # asked for each file of a folder
            if key.id == key_id:
                return key
        return None


def key_folder() -> Path:
    """Where the user's keys lie; nothing is made."""
    return _data_folder(*map(os.environ.get, ("XDG_DATA_HOME", "HOME", "LOCALAPPDATA", "USERPROFILE")))


@functools.lru_cache(maxsize=1)  # each cell asks, and to put it together takes a tenth of the look at a small one
def _data_folder(*_: str | None) -> Path:
    import platformdirs  # here: with a key in the environment it is not needed

    return platformdirs.user_data_path("ckpt_magic", appauthor=False)


def load_keyring(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Keyring:
    """Read the keys of this user; the signing key is made if there is none.

    The signing key is that of the file ``CKPT_KEY_FILE``, else the text ``CKPT_KEY``, else ``signing.key`` in `folder`.
    Accepted are that one, ``signing.key`` if it exists, and the keys in ``accepted/`` beside it.

    Parameters
    ----------
    environ
        The environment; by default the one of this process.
    folder
        Folder of the keys; by default `key_folder`.

    Raises
    ------
    StoreError
        No key is given and none can be made.
    UntrustedError
        Somebody else can read a key, or it is not one.
    """
    environ = os.environ if environ is None else environ
    folder = key_folder() if folder is None else folder
    own = folder / "signing.key"
    if environ.get("CKPT_KEY_FILE"):
        signing = read_key(Path(environ["CKPT_KEY_FILE"]))
    elif environ.get("CKPT_KEY"):
        signing = Key(hashlib.blake2b(environ["CKPT_KEY"].encode(), digest_size=KEY_BYTES).digest())
    else:
        _make_key(own)
        signing = read_key(own)
    try:
        others = [own] if own.exists() else []
        others += sorted((folder / "accepted").glob("*.key"))
    except OSError as error:
        raise StoreError(f"the keys in {folder} cannot be listed: {cause(error)}; {_ANOTHER}") from error
    return Keyring(signing, tuple(dict.fromkeys([signing, *map(read_key, others)])))


def read_key(path: Path) -> Key:
    """Read a key file of 64 hexadecimal digits.

    Raises
    ------
    UntrustedError
        Others can read or own the file.
    UsageError
        It is not a key.
    StoreError
        It cannot be read.
    """
    for _ in range(100):
        try:
            with open(path, "rb") as file:
                _refuse_shared(path, os.fstat(file.fileno()))
                text = file.read(4 * KEY_BYTES).strip()
        except UntrustedError:
            raise
        except OSError as error:
            raise StoreError(f"the key {path} cannot be read: {cause(error)}; {_ANOTHER}") from error
        if re.fullmatch(rb"[0-9a-f]{%d}" % (2 * KEY_BYTES), text):
            return Key(bytes.fromhex(text.decode()))
        if text:
            break
        time.sleep(0.01)  # another process is just writing it, on a file system without hard links
    raise UsageError(
        f"{path} is not a key: a key file holds {2 * KEY_BYTES} hexadecimal digits; put the key back or take this away"
    )


def export_key(key: Key, path: Path) -> None:
    """Write `key` to a new file that only this user can read; `StoreError` if there is one already."""
    try:
        _write_key(path, key)
    except OSError as error:
        raise StoreError(f"the key cannot be written to {path}: {cause(error)}; choose another file") from error


def import_key(path: Path, folder: Path | None = None) -> Key:
    """Accept the key of the file `path` from now on; it is copied to ``accepted/``."""
    key = read_key(path)
    accepted = (key_folder() if folder is None else folder) / "accepted"
    target = accepted / f"{key.id.hex()}.key"
    try:
        accepted.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # accepted already
            _write_key(target, key)
    except OSError as error:
        raise StoreError(f"the key cannot be copied to {target}: {cause(error)}; see to it and try again") from error
    return key


def new_key(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[Key, Key]:
    """Make another signing key; the one so far stays accepted, in ``accepted/``.

    Returns
    -------
    tuple of Key
        The key so far and the new one.

    Raises
    ------
    UsageError
        The signing key comes from the environment: it is changed there.
    StoreError
        The key cannot be written; the one so far still signs.
    """
    environ = os.environ if environ is None else environ
    folder = key_folder() if folder is None else folder
    for name in ("CKPT_KEY_FILE", "CKPT_KEY"):
        if environ.get(name):
            raise UsageError(
                f"the signing key comes from {name}: change it there. To go on accepting the one so far, "
                "`ckpt-magic key export FILE` before and `ckpt-magic key import FILE` afterwards"
            )
    old, new = load_keyring({}, folder).signing, Key(secrets.token_bytes(KEY_BYTES))
    own = folder / "signing.key"
    import_key(own, folder)  # first: at no moment are files of the old key someone else's
    temporary = own.with_name(f".{own.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _write_new(temporary, _text(new))
        os.replace(temporary, own)
        settle_folder(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"the key cannot be written to {own}: {error.strerror}") from error
    return old, new


def callables(pickle_bytes: bytes | BinaryIO) -> list[str]:
    """Names of everything a pickle would import, such as ``builtins.eval``; nothing is loaded.

    Parameters
    ----------
    pickle_bytes
        The pickle, or a binary file at its beginning. What follows STOP is not looked at.

    Returns
    -------
    list of str
        ``module.name`` in order of appearance, each once. A name put together while loading is listed as such.

    Raises
    ------
    FormatError
        These bytes are not a complete pickle.
    """
    found: dict[str, None] = {}
    for name, argument, _, stack in walk(pickle_bytes):
        if name in ("GLOBAL", "INST"):
            found[_printable(str(argument).replace(" ", ".", 1))] = None
        elif name == "STACK_GLOBAL":
            texts = [item.text for item in stack[-2:]]
            known = [text for text in texts if text is not None]
            found[_printable(".".join(known)) if len(known) == 2 else "(a name computed while loading)"] = None
        elif name in ("EXT1", "EXT2", "EXT4"):
            found[f"(number {argument} of the copyreg extensions)"] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Item:
    """A place of the pickle machine's stack: its text if that is constant, and how many buffers were used before it."""

    text: str | None
    buffers: int
    mark: bool = False


def walk(pickle_bytes: bytes | BinaryIO) -> Iterator[tuple[str, Any, int, list[Item]]]:
    """Go through the opcodes as the pickle machine would, without making anything.

    Yields
    ------
    tuple
        Name of the opcode, its argument, its position, and the stack before it (the same list each time).

    Raises
    ------
    FormatError
        These bytes are not a complete pickle.
    """
    machine = _Machine()
    file = BytesIO(pickle_bytes) if isinstance(pickle_bytes, bytes) else pickle_bytes
    try:
        for opcode, argument, position in pickletools.genops(cast(BinaryIO, _Bounded(file))):
            yield opcode.name, argument, position or 0, machine.stack
            machine.step(opcode, argument)
    except (ValueError, IndexError, KeyError) as error:  # what genops and a stack that runs empty raise
        raise FormatError(f"not a complete pickle: {error}") from error


class _Machine:
    """The pickle machine, without its values.

    It takes little for each thing on the stack or in the memo: a hostile pickle has millions of them.
    """

    def __init__(self) -> None:
        self.stack: list[Item] = []
        self._mark, self._blank = Item(None, 0, mark=True), Item(None, 0)
        self._known = 0  # so many numbers of the memo are in use, from 0 on
        self._known_beyond: set[int] = set()
        self._texts: dict[int, str] = {}

    def step(self, opcode: Any, argument: Any) -> None:
        """Do to the stack what the opcode does."""
        name, stack = opcode.name, self.stack
        if name == "MARK":
            stack.append(self._mark)
        elif name == "MEMOIZE":
            self._put(self._known + len(self._known_beyond), stack[-1])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._put(int(argument), stack[-1])
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._with_text(self._get(int(argument))))
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in _TEXTS:
            stack.append(self._with_text(argument if isinstance(argument, str) else None))
        else:
            first = self._blank
            takes = list(opcode.stack_before)
            if any(taken is pickletools.markobject for taken in takes):
                while not stack[-1].mark:
                    first = stack.pop()
                first = stack.pop()
                takes = takes[: takes.index(pickletools.markobject)]
            for _ in takes:
                first = stack.pop()
            made = self._blank if first.buffers == self._blank.buffers else Item(None, first.buffers)
            stack.extend(made for _ in opcode.stack_after)
            if name == "NEXT_BUFFER":
                used = self._blank.buffers + 1
                self._mark, self._blank = Item(None, used, mark=True), Item(None, used)

    def _with_text(self, text: str | None) -> Item:
        return self._blank if text is None else Item(text, self._blank.buffers)

    def _put(self, number: int, item: Item) -> None:
        if number == self._known:
            self._known += 1
            while self._known in self._known_beyond:
                self._known_beyond.remove(self._known)
                self._known += 1
        elif number > self._known:
            self._known_beyond.add(number)
        if item.text is not None:
            self._texts[number] = item.text
        else:
            self._texts.pop(number, None)

    def _get(self, number: int) -> str | None:
        if not 0 <= number < self._known and number not in self._known_beyond:
            raise KeyError(number)
        return self._texts.get(number)


_TEXTS = frozenset(
    ["STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"]
)


class _Bounded:
    """Reads no more than there is: a length field of a hostile pickle must not make Python reserve that much."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        here = file.tell()
        self._left = file.seek(0, os.SEEK_END) - here
        file.seek(here)
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


def _printable(text: str) -> str:
    """Control characters written out, since names in a hostile file end up in a terminal."""
    return text if text.isprintable() else ascii(text)


_ANOTHER = "mend that, or set CKPT_KEY or CKPT_KEY_FILE to use another key"


def _make_key(path: Path) -> None:
    """Make a key unless there is one; of two processes that do so at once, one makes it."""
    _sweep(path)
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # the other process was first: its key counts
                _write_key(path, Key(secrets.token_bytes(KEY_BYTES)))
    except OSError as error:
        raise StoreError(f"no signing key can be made at {path}: {cause(error)}; {_ANOTHER}") from error


def _sweep(path: Path) -> None:
    """Delete what processes left that died while they made that key."""
    with contextlib.suppress(OSError):
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            pid = left.name.split(".")[-2].partition("-")[0]
            if not (pid.isdecimal() and is_alive(int(pid))):
                left.unlink(missing_ok=True)


def _write_key(path: Path, key: Key) -> None:
    """Write a new key file, whole or not at all where hard links exist; `FileExistsError` if there is one."""
    text = _text(key)
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    _write_new(temporary, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here; readers wait until the text is there
        _write_new(path, text)
    finally:
        with contextlib.suppress(OSError):  # `_sweep` deletes it later
            os.unlink(temporary)
    settle_folder(path.parent)  # a key that a power failure takes would make all checkpoints somebody else's


def _text(key: Key) -> bytes:
    return key.secret.hex().encode() + b"\n"


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet; after an error it does not."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    """A key that others can read or write signs nothing."""
    if os.name == "nt":  # modes mean nothing there
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UntrustedError(f"others can read the key {path}; mend it with\n  chmod 600 {shlex.quote(str(path))}")
    if status.st_uid not in (os.geteuid(), 0):
        raise UntrustedError(f"the key {path} belongs to another user; make your own or copy it")
