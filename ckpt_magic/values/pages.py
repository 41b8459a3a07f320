"""Which large buffers are as they were, told by the kernel instead of by reading them again.

A `Content` is what a buffer held at one time. Where it is known that its memory was not written to since, the same
`Content` is given again, so a gigabyte that nobody touches costs microseconds. There are two proofs, both on Linux:
memory mapped from a checkpoint file still comes from that file, and write-protected pages (userfaultfd, asynchronous)
were not written to. Everything else is hashed. A proof is always positive, a page at a time: what was freed, moved,
mapped anew or cannot be told counts as written. Knows no value and no file; the only user of xxhash.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any, Final

import xxhash

from ckpt_magic.values.memory import identity, place_of
from ckpt_magic.values.proofs import Proofs

new_hash: Final[Callable[..., Any]] = xxhash.xxh3_128
hash_at_once: Final[Callable[[Any], str]] = xxhash.xxh3_128_hexdigest
LARGE: Final = 1 << 20
"""Bytes; a smaller buffer is simply hashed at each look."""

_MOST: Final = 4096  # buffers tracked at a time: each may split an area of memory, of which Linux allows 65,530
_PAGE: Final = mmap.PAGESIZE
_PATIENCE: Final = 2  # times that a tracked buffer may turn out to be written before it is rather hashed
_MOSTLY: Final = 0.75  # a buffer is rather tracked if at least this part of it was not written to
_PIECES: Final = 1 << 16  # a buffer that was written to here and there more often than this is stored anew


class Content:
    """What one buffer held at one time; its digest is found when it is first asked for.

    Two contents can be compared as long as one of them was read, or both are the same object.

    Attributes
    ----------
    place
        Address and length.
    stored
        Where a file holds these bytes, or most of them; None if nobody knows.
    """

    __slots__ = ("__weakref__", "_buffer", "_digest", "place", "stored")

    def __init__(
        self,
        place: tuple[int, int],
        buffer: Any = None,
        digest: bytes | None = None,
        stored: Stored | None = None,
    ) -> None:
        self.place = place
        self.stored = stored
        self._buffer = buffer
        self._digest = digest

    @property
    def buffer(self) -> Any:
        """The memory, until `forget`."""
        return self._buffer

    @property
    def is_read(self) -> bool:
        """Whether the digest is known."""
        return self._digest is not None

    def digest(self) -> bytes:
        """Digest of the bytes; of a content that was let go of before anybody read it, one that equals no other."""
        if self._digest is None:
            if self._buffer is None:
                return os.urandom(16)
            self._digest = _hash(self._buffer)
        return self._digest

    def was_read(self, digest: bytes) -> None:
        """Note the digest that somebody else found who read the bytes."""
        self._digest = digest

    def equals(self, later: Content) -> bool:
        """Whether the bytes of `later` are the same; it is read only if that can tell."""
        return self is later or (self.is_read and later.digest() == self._digest)

    def exporter(self) -> Any:
        """What the buffer was had from, which it holds until `forget`."""
        if self._buffer is None:
            return None
        with self._buffer.raw() if hasattr(self._buffer, "raw") else memoryview(self._buffer) as view:
            return view.obj

    def hold(self, buffer: Any) -> None:
        """Keep the buffer, which is known to hold this content, until `forget`."""
        self._buffer = buffer

    def forget(self) -> None:
        """Let go of the memory."""
        self._buffer = None


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a file holds the bytes of a buffer.

    Attributes
    ----------
    where
        What the one who noted it knows the place by.
    stale
        Parts of the buffer, from and to, ascending, that are other ones by now.
    """

    where: object
    stale: tuple[tuple[int, int], ...] = ()


class Pages:
    """What is known of the large buffers of one process.

    Parameters
    ----------
    tracking
        Whether to try to track writes; without it only maps of files are proofs.
    guard
        Called before memory is looked at; raises if that must not be.

    Attributes
    ----------
    proofs
        What is known of files that others can see being written.
    """

    def __init__(self, *, tracking: bool = True, guard: Callable[[], None] = lambda: None) -> None:
        self._tracking = tracking
        self.guard = guard
        self.proofs = Proofs(self.is_of_file)
        self._forget_all()

    def _forget_all(self) -> None:
        self._pid = os.getpid()
        self._known: dict[tuple[int, int], _Armed | _Mapped] = {}
        self._spoiled: Counter[tuple[int, int]] = Counter()
        self._maps: list[weakref.ref[Any]] = []
        self._found: _Kernel | None = None
        self._sought = False

    def content(self, buffer: Any) -> Content:
        """The content of a buffer: the one known, if nothing was written there since, else a new one.

        Parameters
        ----------
        buffer
            A `pickle.PickleBuffer` or anything else with contiguous memory.
        """
        known = self.known(buffer)
        if known is None:
            return Content(place_of(buffer), buffer)
        known.hold(buffer)
        return known

    def known(self, buffer: Any) -> Content | None:
        """The content that a buffer had at a look, if nothing was written there since; it is not held."""
        self._forget_the_parents()
        place = place_of(buffer)
        known = self._known.get(place)
        if known is None:
            return None
        if known.holds():
            return known.content
        self._spoil(place, known)
        return None

    def track(self, contents: Iterable[Content]) -> None:
        """Track what is not read yet, before it is: a write between the two would go unseen."""
        self._arm(one for one in contents if not (one.is_read or self._is_known(one) or self._spoiled[one.place]))

    def keep(self, contents: Iterable[Content], *, lasting: Set[tuple[int, int]] = frozenset()) -> None:
        """Make sure that what was looked at can be compared later: track the memory, and read it once.

        Tracking is no substitute for that: a buffer may have been made for the look alone, and the next look meets
        the same bytes at another place.

        Parameters
        ----------
        contents
            What was looked at.
        lasting
            Places of buffers that were not made for the look: those need not be read as long as they are tracked.
        """
        unread = [one for one in contents if not one.is_read]
        self._arm(one for one in unread if not self._is_known(one) and self._spoiled[one.place] < _PATIENCE)
        for one in unread:
            if one.place not in lasting or not self._is_known(one):
                one.digest()

    def mapped(self, owner: Any, parts: Iterable[tuple[Any, str, object]]) -> None:
        """Note what buffers of a private map of a file hold as long as their pages come from that file.

        Parameters
        ----------
        owner
            The map; when it is gone nothing is known any more.
        parts
            The buffers, and for each the digest of its bytes in the file, in hexadecimal digits, and where they lie
            there (`Stored.where`).
        """
        kernel = self._kernel()
        if kernel is None:
            return
        self._maps = [*self._live_owners(), weakref.ref(owner)]
        for buffer, digest, where in parts:
            place = place_of(buffer)
            if place[1] >= LARGE:
                content = Content(place, digest=bytes.fromhex(digest), stored=Stored(where))
                self._known[place] = _Mapped(content, weakref.ref(owner), kernel)

    def maps(self) -> set[int]:
        """The living private maps of files, by `id`."""
        return {identity(one) for owner in self._maps if (one := owner()) is not None}

    def is_of_file(self, place: tuple[int, int]) -> bool:
        """Whether memory of a private map of a file surely comes from that file; see `place_of`."""
        self._forget_the_parents()
        kernel = self._kernel()
        return kernel is not None and kernel.is_of_file(*_page_bounds(place))

    def prune(self, places: set[tuple[int, int]]) -> None:
        """Forget what is known of buffers that are no longer there."""
        for place in self._known.keys() - places:
            known = self._known[place]
            if isinstance(known, _Armed) or known.owner() is None:
                del self._known[place]
        for place in self._spoiled.keys() - places:
            del self._spoiled[place]

    # -- private --------------------------------------------------------------------------------------------

    def _forget_the_parents(self) -> None:
        """Forget everything in a forked child: what the kernel tells is told to the parent."""
        if self._pid != os.getpid():
            self._forget_all()

    def _is_known(self, content: Content) -> bool:
        known = self._known.get(content.place)
        return known is not None and known.content is content

    def _spoil(self, place: tuple[int, int], known: _Armed | _Mapped) -> None:
        """Note that a buffer was written to. What is known of a stored one stays: it tells where it was not."""
        if known.spoiled:
            return
        # found now: what is tracked for another buffer later on may look as if it had not been written to
        unwritten = known.unwritten()
        if isinstance(known, _Armed) and _total(unwritten) < place[1] * _MOSTLY:
            self._spoiled[place] += 1
        if known.content.stored is None or self._spoiled[place] >= _PATIENCE:
            del self._known[place]
            return
        known.spoiled = True
        known.written += _without([_page_bounds(place)], unwritten)

    def _kernel(self) -> _Kernel | None:
        if not self._sought:
            self._sought = True
            self._found = _Kernel.found()
        return self._found

    def _arm(self, contents: Iterable[Content]) -> None:
        """Track the memory of contents from here on, where that can be done."""
        todo = list(contents)
        kernel = self._kernel() if todo and self._tracking else None
        if kernel is None or not kernel.tracks or _has_devices():
            return
        areas = _private_areas() + self._live_maps()
        for content in todo:
            low, high = _whole_pages(content.place)
            if len(self._known) >= _MOST or not _is_within(low, high, areas):
                continue
            earlier = self._known.get(content.place)
            unwritten = earlier.unwritten() if earlier is not None and earlier.content.stored is not None else []
            done, written = kernel.protect(low, high)
            self._note_written(written)
            if not done:
                continue
            if earlier is not None and unwritten:
                content.stored = _still_stored(earlier.content, earlier.still(unwritten))
            self._known[content.place] = _Armed(content, low, high, _edges(content.place), kernel)

    def _live_maps(self) -> list[tuple[int, int]]:
        """Where the maps of files lie, as whole pages: written pages of theirs belong to this process alone."""
        return [_page_bounds(place_of(owner())) for owner in self._live_owners()]

    def _live_owners(self) -> list[weakref.ref[Any]]:
        return [owner for owner in self._maps if owner() is not None]

    def _note_written(self, ranges: list[tuple[int, int]]) -> None:
        """Note memory that was written to with the buffers that lie there: arming it has wiped out the trace."""
        for known in self._known.values() if ranges else ():
            if isinstance(known, _Armed):
                known.written += [(low, high) for low, high in ranges if low < known.high and known.low < high]


class Contents:
    """The contents met in one look: one for each place, however many values lead there."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.proofs = pages.proofs
        self._met: dict[tuple[int, int], Content] = {}

    def content(self, buffer: Any) -> Content:
        """Do `Pages.content` where this look did not before."""
        place = place_of(buffer)
        if place not in self._met:
            self._met[place] = self._pages.content(buffer)
        return self._met[place]


@dataclass(eq=False, slots=True)
class _Armed:
    """A buffer whose whole pages are write-protected; the bytes before and after them are hashed.

    Attributes
    ----------
    written
        Memory that was written to since, as far as the kernel does not tell it any more.
    spoiled
        Whether it is known that it is no longer as it was.
    """

    content: Content
    low: int
    high: int
    edges: bytes
    kernel: _Kernel
    written: list[tuple[int, int]] = field(default_factory=list)
    spoiled: bool = False

    def holds(self) -> bool:
        if self.spoiled or self.written or not self.kernel.is_untouched(self.low, self.high):
            return False
        return _edges(self.content.place) == self.edges

    def unwritten(self) -> list[tuple[int, int]]:
        """Pages that are as they were."""
        return _without(self.kernel.untouched(self.low, self.high), self.written)

    def still(self, unwritten: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the pages that are as they were after they were protected anew."""
        return _without(self.unwritten(), _without([(self.low, self.high)], unwritten))


@dataclass(eq=False, slots=True)
class _Mapped:
    """A buffer of a private map of a file."""

    content: Content
    owner: Callable[[], Any]
    kernel: _Kernel
    written: list[tuple[int, int]] = field(default_factory=list)
    spoiled: bool = False

    def holds(self) -> bool:
        return not self.spoiled and self.owner() is not None and self.kernel.is_of_file(*self._bounds())

    def unwritten(self) -> list[tuple[int, int]]:
        """Pages that come from the file."""
        written = None if self.owner() is None else self.kernel.written_of_file(*self._bounds())
        return [] if written is None else _without([self._bounds()], written + self.written)

    def still(self, unwritten: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the pages that come from the file after they were protected: what was absent looks swapped now."""
        written = self.kernel.written_of_file(*self._bounds(), _PRESENT)
        return [] if written is None else _without(unwritten, written)

    def _bounds(self) -> tuple[int, int]:
        return _page_bounds(self.content.place)


def _still_stored(content: Content, unwritten: list[tuple[int, int]]) -> Stored | None:
    """Where the bytes of a content are stored, after all but the memory `unwritten` may have been written to."""
    start, length = content.place
    stored = content.stored
    parts = [(low - start, high - start) for low, high in unwritten]
    kept = _without([(max(0, low), min(length, high)) for low, high in parts], stored.stale if stored else ())
    if stored is None or not kept or len(kept) > _PIECES:
        return None
    return Stored(stored.where, tuple(_without([(0, length)], kept)))


def _without(ranges: Iterable[tuple[int, int]], holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of `ranges`, ascending and apart, without `holes`, in any order."""
    left: list[tuple[int, int]] = []
    rest = iter(sorted(holes))
    hole = next(rest, None)
    for low, high in ranges:
        while hole is not None and hole[0] < high:
            if low < hole[0]:
                left.append((low, hole[0]))
            low = max(low, hole[1])
            if hole[1] > high:
                break
            hole = next(rest, None)
        if low < high:
            left.append((low, high))
    return left


def _total(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(high - low for low, high in ranges)


# --- places ---


def _whole_pages(place: tuple[int, int]) -> tuple[int, int]:
    return -(-place[0] // _PAGE) * _PAGE, (place[0] + place[1]) // _PAGE * _PAGE


def _page_bounds(place: tuple[int, int]) -> tuple[int, int]:
    return place[0] // _PAGE * _PAGE, -(-(place[0] + place[1]) // _PAGE) * _PAGE


def _edges(place: tuple[int, int]) -> bytes:
    """The bytes of a living buffer that lie outside its whole pages, which may hold other data as well."""
    low, high = _whole_pages(place)
    end = place[0] + place[1]
    return ctypes.string_at(place[0], low - place[0]) + ctypes.string_at(high, end - high)


def _hash(buffer: Any) -> bytes:
    with buffer.raw() if hasattr(buffer, "raw") else memoryview(buffer) as view:
        return bytes(new_hash(view).digest())


def _private_areas() -> list[tuple[int, int]]:
    """Writable memory that belongs to this process alone and to no file, in whole stretches."""
    found: list[tuple[int, int]] = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            bounds, permissions, _, _, inode, *name = line.split()
            label = name[0] if name else ""
            if permissions != "rw-p" or inode != "0" or not (label in ("", "[heap]") or label.startswith("[anon:")):
                continue
            low, high = (int(bound, 16) for bound in bounds.split("-"))
            if found and found[-1][1] == low:
                found[-1] = found[-1][0], high
            else:
                found.append((low, high))
    return found


def _is_within(low: int, high: int, areas: list[tuple[int, int]]) -> bool:
    return low < high and any(first <= low and high <= last for first, last in areas)


def _has_devices() -> bool:
    """Whether a device may write to memory that is pinned for it, which the page tables do not show."""
    torch = sys.modules.get("torch")
    in_use = getattr(getattr(torch, "cuda", None), "is_initialized", lambda: False)()
    return bool(in_use) or not sys.modules.keys().isdisjoint(("cupy", "pycuda", "numba.cuda.cudadrv.driver"))


# --- the kernel ---

_SYSTEM_CALL: Final = {"x86_64": 323, "aarch64": 282, "riscv64": 282, "loongarch64": 282}
_API, _REGISTER, _SCAN = 0xC018AA3F, 0xC020AA00, 0xC0606610
_WRITE_PROTECT, _ASYNC, _UNPOPULATED = 1 << 1, 1 << 15, 1 << 13
_ALLOWED, _WRITTEN, _FILE, _PRESENT, _SWAPPED = 1, 2, 4, 8, 16  # categories of pages
_PROTECT, _CHECK = 1, 2  # what a scan does besides: protect what it finds, fail where nothing is tracked
_REGIONS: Final = 64


class _Kernel:
    """The calls of Linux that this needs: `PAGEMAP_SCAN` (since 6.7) and userfaultfd."""

    def __init__(self, pagemap: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._pagemap = pagemap
        self._faults = -1
        self.tracks = False
        self._regions = (ctypes.c_uint64 * (3 * _REGIONS))()
        self._walked = 0
        weakref.finalize(self, os.close, pagemap)

    @classmethod
    def found(cls) -> _Kernel | None:
        """What this machine offers, tried out; None if it offers nothing."""
        if platform.system() != "Linux" or sys.maxsize < 1 << 32:
            return None
        try:
            kernel = cls(os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        if not _tells_files_apart(kernel):
            return None
        kernel.tracks = kernel._begin_tracking() and _tracks_writes(kernel)
        return kernel

    def is_untouched(self, low: int, high: int) -> bool:
        """Whether every page is there, and was not written to since it was protected."""
        regions = self._scan(low, high, _CHECK, _WRITTEN, _WRITTEN, _PRESENT | _SWAPPED, _ALLOWED)
        return regions == [(low, high)]

    def untouched(self, low: int, high: int) -> list[tuple[int, int]]:
        """The pages of which `is_untouched` is true."""
        return self._all(low, high, _CHECK, _WRITTEN, _WRITTEN, _PRESENT | _SWAPPED, _ALLOWED) or []

    def is_of_file(self, low: int, high: int) -> bool:
        """Whether no page of a private map of a file was written to."""
        return self._scan(low, high, 0, _FILE, _FILE, _PRESENT | _SWAPPED, 0) == []

    def written_of_file(self, low: int, high: int, any_of: int = _PRESENT | _SWAPPED) -> list[tuple[int, int]] | None:
        """The pages of a private map of a file that were written to; None if the kernel refuses."""
        return self._all(low, high, 0, _FILE, _FILE, any_of, 0)

    def protect(self, low: int, high: int) -> tuple[bool, list[tuple[int, int]]]:
        """Write-protect pages; tell whether that could be done, and which were not protected before."""
        request = bytearray(struct.pack("4Q", low, high - low, _WRITE_PROTECT, 0))
        if self._control(self._faults, _REGISTER, request) is None:
            return False, []
        written = self._all(low, high, _PROTECT | _CHECK, 0, _WRITTEN, 0, _WRITTEN)
        return (False, [(low, high)]) if written is None else (True, written)  # some may be protected by now

    def _all(self, low: int, high: int, *what: int) -> list[tuple[int, int]] | None:
        """What `_scan` finds, however many stretches it is."""
        stretches: list[tuple[int, int]] = []
        while low < high:
            found = self._scan(low, high, *what)
            if found is None:
                return None
            stretches += found
            low = self._walked
        return stretches

    def _scan(
        self, low: int, high: int, flags: int, inverted: int, mask: int, any_of: int, shown: int
    ) -> list[tuple[int, int]] | None:
        """Stretches of pages that are of the categories asked for; None if the kernel refuses."""
        numbers = (96, flags, low, high, 0, ctypes.addressof(self._regions), _REGIONS, 0, inverted, mask, any_of, shown)
        request = bytearray(struct.pack("12Q", *numbers))
        count = self._control(self._pagemap, _SCAN, request)
        if count is None:
            return None
        self._walked = int.from_bytes(request[32:40], sys.byteorder)
        return [(self._regions[3 * at], self._regions[3 * at + 1]) for at in range(count)]

    def _control(self, descriptor: int, request: int, argument: bytearray) -> int | None:
        pointer = ctypes.byref(ctypes.c_char.from_buffer(argument))
        answer = int(self._libc.ioctl(descriptor, ctypes.c_ulong(request), pointer))
        return None if answer < 0 else answer

    def _begin_tracking(self) -> bool:
        number = _SYSTEM_CALL.get(platform.machine())
        if number is None:
            return False
        user_mode_only = 1
        faults = int(self._libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | user_mode_only))
        if faults < 0:
            return False
        self._faults = faults
        weakref.finalize(self, os.close, faults)
        return self._control(faults, _API, bytearray(struct.pack("3Q", 0xAA, _ASYNC | _UNPOPULATED, 0))) is not None


def _tells_files_apart(kernel: _Kernel) -> bool:
    """Try whether pages that were written to are told from those of a file."""
    try:
        file = os.memfd_create("ckpt_magic")
    except OSError:
        return False
    try:
        os.truncate(file, 4 * _PAGE)
        with mmap.mmap(file, 4 * _PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            low, _ = place_of(memory)
            read = memory[_PAGE]
            before = kernel.is_of_file(low, low + 4 * _PAGE)
            memory[2 * _PAGE] = read + 1
            pages = [kernel.is_of_file(low + at * _PAGE, low + (at + 1) * _PAGE) for at in range(4)]
    finally:
        os.close(file)
    return before and pages == [True, True, False, True]


def _tracks_writes(kernel: _Kernel) -> bool:
    """Try whether writes are seen, those of the kernel and pages taken away too, and reads are not taken for writes."""
    with mmap.mmap(-1, 8 * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        low, length = place_of(memory)
        high = low + length
        memory[:4] = b"data"

        def is_protected() -> bool:
            return kernel.protect(low, high)[0] and kernel.is_untouched(low, high)

        def by_python() -> None:
            memory[3 * _PAGE] = 1

        def by_kernel() -> None:
            with open("/dev/zero", "rb", buffering=0) as file, memoryview(memory) as view:
                file.readinto(view[4 * _PAGE : 4 * _PAGE + 8])

        def taken_away() -> None:
            memory.madvise(mmap.MADV_DONTNEED, 0, _PAGE)

        for write in (by_python, by_kernel, taken_away):
            if not is_protected() or memory[:2] == b"no" or not kernel.is_untouched(low, high):
                return False
            write()
            if kernel.is_untouched(low, high):
                return False
    return not kernel.is_untouched(low, high)  # given back by now
