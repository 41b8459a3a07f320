"""Small values looked at many at a time.

A look at a small value costs more to set up than to walk over it. Names of small values are therefore put together: one
pass over all of them says of each what a pass over it alone would say, and of the sharing between them as well. If it
says the same as before, nothing of them changed. If not, or if they hold what other names hold, they are looked at one
by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_magic.values import sharing
from ckpt_magic.values.fingerprint import Seen

_MOST = 64  # names of one batch, all of which are looked at again when one of them changes


@dataclass(eq=False, slots=True)
class Batch:
    """Names of small values that share with no name outside.

    Attributes
    ----------
    names
        The names; those that share with each other are in one batch.
    seen
        One look at all their values.
    """

    names: tuple[str, ...]
    seen: Seen


Looking = Callable[[Mapping[tuple[str, ...], Any]], Mapping[tuple[str, ...], Seen]]


def unchanged(batches: Iterable[Batch], values: Mapping[str, Any], looking: Looking) -> list[Batch]:
    """Those of the batches whose values are as they were.

    Parameters
    ----------
    batches
        What an earlier look left.
    values
        The names and values that have to be looked at.
    looking
        Looks at lists of values.
    """
    earlier = {batch.names: batch for batch in batches if all(map(values.__contains__, batch.names))}
    return [batch for batch in _looked_at(earlier, values, looking) if earlier[batch.names].seen.equals(batch.seen)]


def made(
    looks: Mapping[str, Seen], tied: sharing.Links, values: Mapping[str, Any], looking: Looking
) -> Iterator[Batch]:
    """Put together names that an earlier look found small.

    They are looked at one by one as well, and the batches are of use only if they are `unchanged` after that.

    Parameters
    ----------
    looks, tied
        The earlier look.
    values, looking
        As of `unchanged`.
    """
    small = {name for name in values.keys() & looks.keys() if looks[name].is_small}
    reached = sharing.closure(tied, small)
    groups = [group for group in sharing.groups(tied.among(reached), reached) if small.issuperset(group)]
    batches: list[list[str]] = [[]]
    for group in groups:
        if batches[-1] and len(batches[-1]) + len(group) > _MOST:
            batches.append([])
        batches[-1] += group
    return _looked_at([tuple(batch) for batch in batches if len(batch) > 1], values, looking)


def tied_outside(batches: Sequence[Batch], looks: Iterable[Seen], ties: sharing.Ties) -> list[Batch]:
    """Those of the batches that hold what another name, or another batch, holds and can change."""
    met: dict[int, Any] = {}
    shared: set[int] = set()
    for batch in batches:
        shared |= met.keys() & batch.seen.met.keys()
        met.update(batch.seen.met)
    for seen in looks:
        shared |= seen.among(met.keys())
    shared = {ident for ident in shared if ties(met[ident])}
    return [batch for batch in batches if not shared.isdisjoint(batch.seen.met.keys())] if shared else []


def _looked_at(groups: Iterable[tuple[str, ...]], values: Mapping[str, Any], looking: Looking) -> Iterator[Batch]:
    found = looking({names: [values[name] for name in names] for names in groups})
    for names, seen in found.items():
        if seen.is_comparable and not (seen.spans or seen.functions or seen.contents or seen.guarded or seen.owned):
            yield Batch(names, seen)
