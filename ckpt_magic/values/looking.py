"""Looks at values, several at once: what they have in common, and what libraries own, is looked at once."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ckpt_magic.values import owned
from ckpt_magic.values.canonical import SMALL, atom_bytes, fingerprint
from ckpt_magic.values.fingerprint import PLAIN, Look, LookInside, LookLaidOut
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import Contents, Pages, hash_at_once, new_hash
from ckpt_magic.values.pickles import figures
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.references import ATOMS
from ckpt_magic.values.seen import Seen

Key = TypeVar("Key")
_DEEPEST = 5000  # levels of nesting that the C stack of a main thread holds for sure


def look(value: Any, namespace: dict[str, Any], makers: Makers | None = None) -> Seen:
    """Look once at `value`; nothing is written and nothing is changed.

    Parameters
    ----------
    value
        Any object. What it reaches is read in full, large buffers at the speed of memory.
    namespace
        The globals of the notebook's functions: they are referred to, never entered.
    makers
        Tells who made the notebook's definitions; without it only their code counts.
    """
    return look_at_all({"": value}, namespace, makers=makers)[""]


def look_at_all(
    values: Mapping[Key, Any],
    namespace: dict[str, Any],
    pages: Pages | None = None,
    makers: Makers | None = None,
) -> dict[Key, Seen]:
    """Look once at each value, as `look` does; what they have in common is prepared once.

    Parameters
    ----------
    values
        By name.
    namespace
        As for `look`.
    pages
        What is known of large buffers. With it they are not read yet: `Pages.keep` or a digest asked for does that,
        before `forget`.
    makers
        As for `look`.
    """
    with looking(namespace, pages, makers) as looks:
        return looks(values)


@contextlib.contextmanager
def looking(
    namespace: dict[str, Any], pages: Pages | None = None, makers: Makers | None = None
) -> Iterator[Callable[[Mapping[Key, Any]], dict[Key, Seen]]]:
    """Prepare `look_at_all` for several calls: gives a function of the values alone."""
    passes = _Passes(namespace, pages, makers)
    limit = sys.getrecursionlimit()
    if limit > _DEEPEST:  # a user who raised it must not have the C stack overflow in the pickler
        sys.setrecursionlimit(_DEEPEST)
    try:
        yield passes.look
    finally:
        passes.close()
        sys.setrecursionlimit(limit)


class _Passes:
    """The pickler of several looks."""

    def __init__(self, namespace: dict[str, Any], pages: Pages | None, makers: Makers | None) -> None:
        self._namespace, self._makers = namespace, makers
        self._contents = None if pages is None else Contents(pages)
        self._pickler: Look | None = None
        self._libraries = _Libraries()
        self._figures: dict[int, tuple[Seen, pickle.Pickler]] = {}

    def look(self, values: Mapping[Key, Any]) -> dict[Key, Seen]:
        """Look once at each value."""
        found = {}
        for name, value in values.items():
            kind = type(value)
            if kind in ATOMS:
                found[name] = seen = Seen(value, _atom_digest(value))
                seen.is_small = kind in PLAIN and (kind is not str or len(value) < SMALL)
            elif (figure := figures.behind(value)) is not None:
                found[name] = self._look_before(figure, value)
            else:
                found[name] = self._look(value)
        return found

    def _look(self, value: Any, after: pickle.Pickler | None = None, memo: pickle.Pickler | None = None) -> Seen:
        pickler = self._pickler
        if pickler is None:
            pickler = self._pickler = Look(self._namespace, self._contents, self._makers)
        if after is not None:
            pickler.memo = after.memo
        found = self._look_with(pickler, value, after, memo)
        if not found.is_comparable:
            self._let_go()  # where it stopped, nobody knows
        if found.is_deep and after is None:
            found = self._look_at_deep(value)
        return found

    def _look_at_deep(self, value: Any) -> Seen:
        found = self._look_laid_out(value)
        if found.is_comparable and found.functions:  # now it is known what has to be met first
            found = self._look_laid_out(value, found.functions)
        found.is_deep = found.is_comparable
        return found

    def _look_laid_out(self, value: Any, definitions: Sequence[Any] = ()) -> Seen:
        with contextlib.closing(LookLaidOut(self._namespace, self._contents, self._makers)) as pickler:
            pickler.ahead = definitions
            return self._look_with(pickler, value)

    def _look_with(
        self, pickler: Look, value: Any, after: pickle.Pickler | None = None, memo: pickle.Pickler | None = None
    ) -> Seen:
        seen = pickler.look(value, memo, follows=after is not None)
        if after is None and seen.among(self._libraries.paths.keys()):
            return _look_beside(value, pickler, seen, self._libraries, memo)
        return seen

    def _look_before(self, figure: Any, value: Any) -> Seen:
        """Look at a value that leads into all of a figure, as every part of it does: at the figure itself once.

        The pickler believes that it wrote the figure before, and says only which parts of it it met.
        """
        if identity(figure) not in self._figures:
            memo = pickle.Pickler(io.BytesIO())
            self._figures[identity(figure)] = self._look(figure, memo=memo), memo
            self._figures[identity(figure)][0].is_figure = True
        whole, memo = self._figures[identity(figure)]
        if value is figure:
            return copy.copy(whole)  # which is that of one name
        if whole.is_comparable:
            seen = self._look(value, memo)
            if seen.is_comparable and seen.among(self._libraries.paths.keys()) <= whole.met.keys():
                seen.is_figure = not seen.among(figures.settings().keys())
                seen.add(whole)
                return seen
        return self._look(value)

    def _let_go(self) -> None:
        if self._pickler is not None:
            self._pickler.close()
            self._pickler = None

    def close(self) -> None:
        """Let go of all that was met."""
        self._let_go()
        self._libraries.close()
        self._figures.clear()


def _look_beside(value: Any, look: Look, seen: Seen, libraries: _Libraries, memo: pickle.Pickler | None = None) -> Seen:
    """Look again at a value that reaches what libraries own, which stays beside it: it is met by its name.

    What the library holds there counts as content all the same.
    """
    found = _beside(value, look, seen, libraries.paths, memo)
    if found.owned:
        _count(found, libraries, look.namespace)
    return found


def _beside(
    value: Any,
    look: Look,
    seen: Seen,
    known: Mapping[int, owned.Path],
    memo: pickle.Pickler | None = None,
    *,
    inside: bool = False,
) -> Seen:
    """Look again at a value, all but what libraries own.

    `inside` means that `value` is owned itself, and that its own content is asked for.
    """
    paths = {}
    for ident in seen.among(known.keys()):
        path, obj = known[ident], seen.met[ident]
        if (obj is value) if inside else (obj is not value and owned.is_private(path)):
            continue
        if owned.at(path) is obj and vars(sys.modules[path[0]]) is not look.namespace:  # a script may be a module
            paths[ident] = path
    while paths:
        found = look.look_beside(paths, value, memo)
        if len(found.owned) == len(paths) or not found.is_comparable:
            return found
        # the others are met only inside of these: what the value is must not depend on them
        paths = {ident: path for ident, path in paths.items() if path in found.owned}
    return seen


def _count(found: Seen, libraries: _Libraries, namespace: dict[str, Any]) -> None:
    """Count as content what libraries hold in what they own of a value."""
    found.owned = {path: libraries.digest(path, namespace) for path in found.owned}
    found.extend(found.owned)


class _Libraries:
    """What libraries own, and digests of it, found when asked for.

    Objects may hold one another, in circles. What is found of one does not depend on what was asked for before: each is
    looked at as if it were the first of its circle, and what was found of the others meanwhile is forgotten.
    """

    def __init__(self) -> None:
        self.paths = owned.known()
        self._alone: dict[owned.Path, Seen] = {}  # what was found of each, all others beside it
        self._digests: dict[owned.Path, str | None] = {}
        self._circles: dict[owned.Path, set[owned.Path]] = {}
        self._meanwhile: dict[owned.Path, str | None] = {}
        self._open: dict[owned.Path, int] = {}  # that are looked at now, each for the one before, and their places
        self._first: dict[owned.Path, int] = {}  # for those of `meanwhile` the first place of what they lead to
        self._inside: LookInside | None = None

    def digest(self, path: owned.Path, namespace: dict[str, Any]) -> str | None:
        if path in self._digests and self._circles.get(path, set()).isdisjoint(self._open):
            return self._digests[path]
        if path not in self._meanwhile:
            self._find(path, namespace)
        if path not in self._first:
            return self._digests[path]
        if self._open:
            *_, holder = self._open
            self._first[holder] = min(self._first[holder], self._first[path])
        return self._meanwhile[path]

    def _find(self, path: owned.Path, namespace: dict[str, Any]) -> None:
        place = self._open[path] = self._first[path] = len(self._open)
        self._meanwhile[path] = ""  # it may hold itself
        if not owned.is_of_the_process(path):
            obj = owned.at(path)
            known = None if type(obj) is set else fingerprint(obj)  # which tells the order of numbers
            self._meanwhile[path] = known or self._look(path, obj, namespace)
        del self._open[path]
        if self._first[path] == place:
            self._digests[path] = self._meanwhile[path]
            self._circles[path] = {one for one, first in self._first.items() if first >= place}
            for one in self._circles[path]:
                del self._first[one], self._meanwhile[one]

    def _look(self, path: owned.Path, obj: Any, namespace: dict[str, Any]) -> str | None:
        if type(obj) is set:
            digests = [self._look_inside(one, namespace).digest for one in obj]  # in another order in each kernel
            return None if None in digests else hash_at_once(repr(sorted(map(str, digests))).encode())
        if path not in self._alone:
            alone = self._alone[path] = self._look_inside(obj, namespace, beside=True)
            if alone.digest is not None:
                alone.forget()  # the digest is known now
        found = copy.copy(self._alone[path])
        if found.owned:
            _count(found, self, namespace)
        return found.digest

    def _look_inside(self, obj: Any, namespace: dict[str, Any], *, beside: bool = False) -> Seen:
        """Look at an object of a library; with `beside` at all but what libraries own besides."""
        look = self._inside = self._inside or LookInside(namespace)
        seen = look.look(obj)
        found = _beside(obj, look, seen, self.paths, inside=True) if beside else seen
        if not seen.is_comparable:  # where it stopped, nobody knows
            self.close()
        return found

    def close(self) -> None:
        """Let go of all that was met."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None


def library_digest(path: owned.Path, namespace: dict[str, Any]) -> str | None:
    """Digest of what an object holds that a library owns; None if it cannot be pickled."""
    with contextlib.closing(_Libraries()) as libraries:
        return libraries.digest(path, namespace)


def _atom_digest(value: Any) -> str:
    name = type(value).__name__.encode()
    if len(data := atom_bytes(value)) < SMALL:
        return hash_at_once(name + data)
    digest = new_hash(name)
    digest.update(data)
    return str(digest.hexdigest())
