"""Checkpoint files as a bad disk, a bad program or an attacker would leave them.

Every kind is a function of the `World`, a genuine file and a source of chance; it returns bytes. What is signed with
the right key here has a signature that only the key's owner can make, over a record that makes no sense.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.files.trust import Key

FOOTER = struct.Struct("<QQQ8s32sI12s")  # written out here: the tests are a witness of their own
MAGIC = b"\x89ckpt_magic\n"


@dataclass(frozen=True)
class Parts:
    """The sections of a file, and the other fields of its footer."""

    pickle: bytes
    outputs: bytes
    meta: bytes
    footer: bytes

    @classmethod
    def of(cls, data: bytes) -> Parts:
        pickled, outputs, meta, *_ = FOOTER.unpack(data[-FOOTER.size :])
        ends = pickled, pickled + outputs, pickled + outputs + meta
        return cls(data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] : ends[2]], data[ends[2] :])

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.meta)
        return record


@dataclass(frozen=True)
class Genuine:
    """A file as the package wrote it, and what it holds."""

    path: Path
    data: bytes
    parts: Parts
    held: Mapping[str, str]

    @property
    def skeleton(self) -> str:
        """Digest of the pickle without its payloads."""
        return str(self.parts.record()["digests"]["skeleton"])


@dataclass(frozen=True)
class World:
    """What the files are made from: genuine ones of this user, one of somebody else, both keys, a canary."""

    files: tuple[Genuine, ...]
    other: Genuine
    mine: Key
    theirs: Key
    canary: Path


def sign(key: Key, pickled: bytes, outputs: bytes, meta: bytes, *, claimed: Key | None = None) -> bytes:
    """A file out of sections, signed with `key`; it names the key `claimed`."""
    named = (claimed or key).id
    mac = key.sign(FOOTER.pack(len(pickled), len(outputs), len(meta), named, b"", 1, MAGIC), meta)
    return pickled + outputs + meta + FOOTER.pack(len(pickled), len(outputs), len(meta), named, mac, 1, MAGIC)


def signed_by(key: Key, data: bytes) -> bool:
    """Whether the signature at the end of some bytes is of `key`; by the description of the format."""
    if len(data) < FOOTER.size:
        return False
    *lengths, key_id, mac, version, magic = FOOTER.unpack(data[-FOOTER.size :])
    if magic != MAGIC or version != 1 or key_id != key.id or sum(lengths) + FOOTER.size != len(data):
        return False
    meta = data[-FOOTER.size - lengths[2] : -FOOTER.size]
    return bool(mac == key.sign(FOOTER.pack(*lengths, key_id, b"", version, magic), meta))


class Call:
    """Pickles to a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


# -- a bad disk -----------------------------------------------------------------------------------------------------


def flipped(world: World, file: Genuine, chance: random.Random) -> bytes:
    data = bytearray(file.data)
    low, high = _section(file, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        data[chance.randrange(low, high)] ^= 1 << chance.randrange(8)
    return bytes(data)


def flipped_payload(world: World, file: Genuine, chance: random.Random) -> bytes:
    data, rows = bytearray(file.data), file.parts.record()["buffers"]
    if not rows:
        return flipped(world, file, chance)
    for offset, length, *_ in chance.sample(rows, chance.randrange(1, len(rows) + 1)):
        data[offset + chance.randrange(length)] ^= 1 << chance.randrange(8)
    return bytes(data)


def truncated(world: World, file: Genuine, chance: random.Random) -> bytes:
    low, high = _section(file, chance)
    return file.data[: chance.choice((0, 1, low, high - 1, chance.randrange(low, high)))]


def grown(world: World, file: Genuine, chance: random.Random) -> bytes:
    low, high = _section(file, chance)
    at = chance.choice((len(file.data), chance.randrange(low, high)))
    return file.data[:at] + chance.randbytes(chance.choice((1, 20, 4096, 100_000))) + file.data[at:]


def shrunk(world: World, file: Genuine, chance: random.Random) -> bytes:
    low, high = _section(file, chance)
    at = chance.randrange(low, high)
    return file.data[:at] + file.data[at + chance.choice((1, 8, 512, 4096)) :]


def zeroed(world: World, file: Genuine, chance: random.Random) -> bytes:
    low, high = _section(file, chance)
    at = chance.randrange(low, high) // 512 * 512
    gap = file.data[at : at + chance.choice((512, 4096, 65536))]
    return file.data[:at] + bytes(len(gap)) + file.data[at + len(gap) :]


def noise(world: World, file: Genuine, chance: random.Random) -> bytes:
    data = chance.randbytes(chance.choice((0, 1, 79, 80, 200, 20_000)))
    return data + chance.choice((b"", FOOTER.pack(len(data), 0, 0, world.mine.id, bytes(32), 1, MAGIC)))


# -- sections that do not belong together ------------------------------------------------------------------------------


def shuffled(world: World, file: Genuine, chance: random.Random) -> bytes:
    parts = file.parts
    return b"".join(chance.sample((parts.pickle, parts.outputs, parts.meta, parts.footer), 4))


def mixed(world: World, file: Genuine, chance: random.Random) -> bytes:
    """Sections of several files, of one key or of two."""
    one, two, three, four = (chance.choice((*world.files, world.other)).parts for _ in range(4))
    return one.pickle + two.outputs + three.meta + four.footer


def renamed(world: World, file: Genuine, chance: random.Random) -> bytes:
    """A whole file of this user, or of somebody else, over the name of another step."""
    return chance.choice((*world.files, world.other)).data


def lengthened(world: World, file: Genuine, chance: random.Random) -> bytes:
    """Lengths that are huge, add up to the right sum past 64 bits, or move bytes between sections."""
    fields = list(FOOTER.unpack(file.parts.footer))
    some = (0, 1, 1 << 32, 1 << 63, (1 << 64) - 1, len(file.data), chance.randrange(1 << 64), fields[0] + 1)
    for _ in range(chance.randrange(1, 4)):
        fields[chance.randrange(3)] = chance.choice(some)
    if chance.random() < 0.3:
        fields[2] = (len(file.data) - FOOTER.size - fields[0] - fields[1]) % (1 << 64)
    fields[5] = chance.choice((1, 1, 1, 0, 2, (1 << 32) - 1))
    footer = FOOTER.pack(*fields)
    body = file.data[: -FOOTER.size]
    mac = chance.choice((world.mine, world.theirs)).sign(FOOTER.pack(*fields[:4], b"", *fields[5:]), file.parts.meta)
    return body + chance.choice((footer, FOOTER.pack(*fields[:4], mac, *fields[5:])))


# -- an attacker without the key ------------------------------------------------------------------------------------


def foreign(world: World, file: Genuine, chance: random.Random) -> bytes:
    """A plain pickle: harmless, or one that runs code."""
    evil = Call(os.mkdir, str(world.canary))
    value: Any = chance.choice((evil, {"step_1": [1, 2.0, "é"], "model": evil}, {"a": [1, 2, 3]}, [{}] * 100, "text"))
    return pickle.dumps(value, chance.randrange(pickle.HIGHEST_PROTOCOL + 1))


def foreign_with_our_end(world: World, file: Genuine, chance: random.Random) -> bytes:
    """A pickle that runs code, before the genuine end of a file, as it is or with fitting lengths."""
    evil = pickle.dumps(Call(os.mkdir, str(world.canary)), 5)
    fields = list(FOOTER.unpack(file.parts.footer))
    if chance.random() < 0.5:
        fields[0] = len(evil)
    return evil + file.parts.outputs + file.parts.meta + FOOTER.pack(*fields)


def forged(world: World, file: Genuine, chance: random.Random) -> bytes:
    """A pickle that runs code with a record that fits it; the signature is somebody else's, or of no key."""
    evil = pickle.dumps(Call(os.mkdir, str(world.canary)), 5)
    digests = {"skeleton": _digest(evil), "outputs": _digest(file.parts.outputs)}
    meta = _json({**file.parts.record(), "digests": digests, "buffers": []})
    return sign(world.theirs, evil, file.parts.outputs, meta, claimed=chance.choice((world.mine, world.theirs)))


def opcodes(world: World, file: Genuine, chance: random.Random) -> bytes:
    """Programs for the pickle machine: nested, endless, with huge arguments, of random opcodes."""
    many = chance.choice((10, 10, 100, 100, 1000, 20_000))
    made = chance.choice(
        (
            b"(" * many,
            b"]" * many + b"a" * (many - 1),
            b"\x80\x05" + b"(" * many + b"t" * many,
            b"}" * many,
            b"\x80\x04" + b"\x8c\x02os\x94" + b"h\x00" * many,
            b"\x80\x05\x8e" + struct.pack("<Q", chance.choice((1 << 62, 1 << 31, 100))),
            b"\x80\x05\x96" + struct.pack("<Q", (1 << 63) - 1),
            b"\x80\x02\x8b" + struct.pack("<i", chance.choice((-1, (1 << 31) - 1, 1000))),
            b"X" + struct.pack("<I", (1 << 32) - 1),
            b"I" + b"9" * many + b"\n",
            b"L" + b"1" * many + b"L\n",
            b"F" + b"1" * many + b"\n",
            b"S'" + b"\\" * many + b"'\n",
            b"V" + b"\\u" * many + b"\n",
            b"p" + b"9" * 4000 + b"\n",
            b"(cposix\nmkdir\nV" + str(world.canary).encode() + b"\ntR",
            b"\x80\x05\x97" * many,
            b"\x80\x05(" + b"\x8c\x01a\x94K\x01" * many + b"d",
            b"\x80\x05)\x94" + b"h\x00\x86\x94" * 10 + b"h\x00\x86" * many,
        )
    )
    soup = chance.randbytes(chance.choice((0, 0, 30, 3000)))
    return made + soup + chance.choice((b".", b""))


def unsigned_record(world: World, file: Genuine, chance: random.Random) -> bytes:
    """A record that makes no sense, without the key: of somebody else, or said to be signed with ours."""
    return _with_record(file, absurd_record(file, chance), world.theirs, chance.choice((world.mine, world.theirs)))


# -- the right key over nonsense ------------------------------------------------------------------------------------


def signed_record(world: World, file: Genuine, chance: random.Random) -> bytes:
    return _with_record(file, absurd_record(file, chance), world.mine, world.mine)


def signed_lengths(world: World, file: Genuine, chance: random.Random) -> bytes:
    """The sections of a file, cut at other places, with a right signature."""
    body = file.parts.pickle + file.parts.outputs
    cut = chance.choice((0, 1, len(body), chance.randrange(len(body))))
    return sign(world.mine, body[:cut], body[cut:], file.parts.meta)


def signed_outputs(world: World, file: Genuine, chance: random.Random) -> bytes:
    """Displays that are no displays, nested deep, or far larger than they say."""
    deep = chance.choice((10, 900, 5000, 100_000))
    shown = chance.choice(
        (
            b"[" * deep + b"]" * deep,
            b'[{"output_type":' * deep + b"1" + b"}]" * deep,
            _json([absurd(chance) for _ in range(3)]),
            _json([{"output_type": chance.choice(OUTPUT_TYPES), **absurd_fields(chance)} for _ in range(3)]),
            b"not JSON",
            b"[NaN, Infinity, 1e999]",
            b'"' + b"x" * 1000,
            b"\xff\xfe[]",
            b" " * chance.choice((1000, 1 << 20)) + b"[]",
            b"[]",
        )
    )
    packed = zlib.compress(shown, 1)
    packed = chance.choice((packed, packed, packed, packed[:-3], packed + b"more", shown[:100_000]))
    length = chance.choice((len(shown), len(shown), len(shown), 0, 100, 1 << 30, (1 << 30) + 1, -1, 1 << 70))
    if length > len(shown) + 100:
        packed = packed[:100_000]
    record = file.parts.record()
    record |= {"outputs_length": length, "digests": {**record["digests"], "outputs": _digest(packed)}}
    return sign(chance.choice((world.mine, world.mine, world.theirs)), file.parts.pickle, packed, _json(record))


def zipped(file: Genuine, data: bytes, chance: random.Random) -> bytes:
    """A zip file as `export` writes them, with names, kinds and sizes that it never writes, or broken."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are twice there
        for _ in range(chance.choice((1, 1, 2))):
            info = zipfile.ZipInfo(chance.choice((file.path.name,) * 4 + ZIP_NAMES))
            info.external_attr = chance.choice((0, 0o100600, 0o100600, 0o120777, 0o010600)) << 16
            info.compress_type = chance.choice((zipfile.ZIP_STORED,) * 3 + (zipfile.ZIP_DEFLATED,))
            archive.writestr(info, chance.choice((data, file.data, bytes(1 << 20), b"")))
    made = bytearray(packed.getvalue())
    for _ in range(chance.choice((0, 0, 1, 4))):
        made[chance.choice((chance.randrange(len(made)), -chance.randrange(1, 100)))] ^= 1 << chance.randrange(8)
    return bytes(made[: chance.choice((len(made), len(made), len(made), chance.randrange(len(made))))])


ZIP_NAMES = (
    "../p-v1-step1.pkl",
    "/tmp/p-v1-step1.pkl",
    "x/p-v1-step1.pkl",
    "p-v1-step1.pkl\0x",
    "x",
    "p-v1-step99.pkl",
)
OUTPUT_TYPES = ("stream", "display_data", "execute_result", "error", "update_display_data", "")


def absurd_record(file: Genuine, chance: random.Random) -> bytes:
    """META in which something is not what it should be, or something that is no META."""
    if chance.random() < 0.1:
        deep = chance.choice((50, 300, 900, 5000, 100_000))
        key = chance.choice([*file.parts.record(), "other"])
        nested = chance.choice(
            (b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep, b"9" * deep, b"[" * deep)
        )
        if chance.random() < 0.5:
            return nested
        rest = _json({name: value for name, value in file.parts.record().items() if name != key})
        return rest[:-1] + b',"' + key.encode() + b'":' + nested + b"}"
    record = file.parts.record()
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        _spoil(record, chance)
    return _json(record)


def _spoil(held: Any, chance: random.Random) -> None:
    """Replace, drop or add one thing somewhere in a JSON value."""
    while True:
        keys: list[Any] = list(held) if isinstance(held, dict) else list(range(len(held)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = held[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.6:
            held = inner
            continue
        match chance.randrange(8):
            case 0:
                del held[key]
            case 1 if isinstance(held, dict):
                held[absurd_text(chance)] = absurd(chance)
            case 2 if isinstance(inner, str):
                held[key] = inner + absurd_text(chance)
            case 3 if isinstance(inner, int):
                held[key] = inner + chance.choice((-1, 1, 4096, -(1 << 40), 1 << 40, 1 << 63, 1 << 64))
            case _:
                held[key] = absurd(chance)
        return


def absurd(chance: random.Random) -> Any:
    """Some JSON value."""
    some: tuple[Any, ...] = (
        None, True, False, 0, 1, -1, 7, 1 << 31, 1 << 63, -(1 << 63), 1 << 70, 10**400, 0.5, -0.0, 1e308,
        float("inf"), float("nan"), [], {}, [[]], [{}], [None], [1], ["a", 1], {"a": None}, {"": {}}, [["a"], "b"],
        [[1, 2, 3]], {"a": [1]}, {"a": [1, "b"]}, {"a": {"b": {"c": []}}}, {"name": 1}, [{"name": {}, "type": []}],
        [{"name": "x", "type": "y", "shape": [10**400], "bytes": 10**400}], [{"name": "x", "shape": [-1.5]}], [0] * 999,
    )  # fmt: skip
    return absurd_text(chance) if chance.random() < 0.3 else chance.choice(some)


def absurd_text(chance: random.Random) -> str:
    """Some text, such as would harm a terminal, a page, or who believes it to be a name."""
    return chance.choice(
        (
            "", "x", "\x1b[31m\x1b]0;title\x07", "<script>alert(1)</script>", "\n\r\x00", "\u202e\u2066", "\ud800",
            "../../etc/passwd", "/", "a" * 5000, "step_1", "cell", "method", "foreign", "numpy", "os", ".", "..os",
            "9" * 400, "2026-01-01T00:00:00Z", "9999999-99-99", "unknown:", "\u00e9" * 100, "{}", "%s%n",
        )
    )  # fmt: skip


def absurd_fields(chance: random.Random) -> dict[str, Any]:
    """Some of the fields of a display."""
    names = ("name", "text", "data", "metadata", "ename", "evalue", "traceback", "execution_count")
    return {name: absurd(chance) for name in names if chance.random() < 0.5}


def _with_record(file: Genuine, record: bytes, key: Key, claimed: Key) -> bytes:
    return sign(key, file.parts.pickle, file.parts.outputs, record, claimed=claimed)


def _section(file: Genuine, chance: random.Random) -> tuple[int, int]:
    """A section first: else nearly all would hit payloads."""
    sizes = [len(part) for part in (file.parts.pickle, file.parts.outputs, file.parts.meta, file.parts.footer)]
    which = chance.randrange(5)
    if which == 4:  # where the first opcodes and definitions are
        return 0, min(2000, sizes[0])
    return sum(sizes[:which]), sum(sizes[: which + 1])


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


KINDS: tuple[Callable[[World, Genuine, random.Random], bytes], ...] = (
    flipped, flipped, flipped_payload, truncated, grown, shrunk, zeroed, noise, shuffled, mixed, renamed, lengthened,
    foreign, foreign_with_our_end, forged, opcodes, unsigned_record, unsigned_record, signed_record, signed_record,
    signed_record, signed_lengths, signed_outputs,
)  # fmt: skip
