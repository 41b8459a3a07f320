"""Small values looked at many at a time.

A look at a small value costs more to set up than to walk over it. Names of plain lists, dicts, tuples and atoms are
therefore put together, and told by what `marshal` writes for all of them, in a tenth of the time. If it writes the same
as before, nothing of them changed.

That holds for what they share as well. `marshal` marks every object that anything else refers to, since it could be met
again. The values of a batch (`Seen.is_small`) consist of what nobody else holds; as long as they are written the same,
that is so. Only the values themselves, which their names hold, may have come to be held elsewhere: that is asked for
(`tied_outside`). Where nothing is marked (`_marks_holders`) there are no batches.
"""

from __future__ import annotations

import functools
import itertools
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_magic.values import sharing
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pages import new_hash
from ckpt_magic.values.seen import Seen

_MOST = 64  # names of one batch, all of which are looked at again when one of them changes
_VERSION = 4  # of what marshal writes: every Python since 3.4 knows it


@dataclass(eq=False, frozen=True, slots=True)
class Batch:
    """Names of small values that share with no name outside.

    Attributes
    ----------
    names
        The names; those that mean one value are in one batch.
    digest
        Of what marshal writes for all their values.
    """

    names: tuple[str, ...]
    digest: str

    def among(self, values: Mapping[str, Any]) -> list[Any]:
        """What its names mean."""
        return list(map(values.__getitem__, self.names))


def unchanged(batches: Iterable[Batch], values: Mapping[str, Any]) -> list[Batch]:
    """Those of the batches whose values are as they were.

    Parameters
    ----------
    batches
        What an earlier look left.
    values
        The names and values that have to be looked at.
    """
    here = (batch for batch in batches if all(map(values.__contains__, batch.names)))
    return [batch for batch in here if batch.digest == _digest(batch.names, values)]


def made(looks: Mapping[str, Seen], tied: sharing.Links, values: Mapping[str, Any]) -> Iterator[Batch]:
    """Put together names that an earlier look found small.

    They are looked at one by one as well. The batches are of use only if all their values are small then too, and they
    are `unchanged` once that look holds none of their parts any more.

    Parameters
    ----------
    looks, tied
        The earlier look.
    values
        As of `unchanged`.
    """
    small = {name for name in values.keys() & looks.keys() if looks[name].is_small}
    if not small or not _marks_holders():
        return
    reached = sharing.closure(tied, small)
    groups = [group for group in sharing.groups(tied.among(reached), reached) if small.issuperset(group)]
    batches: list[list[str]] = [[]]
    for group in groups:
        if batches[-1] and len(batches[-1]) + len(group) > _MOST:
            batches.append([])
        batches[-1] += group
    for names in map(tuple, batches):
        digest = _digest(names, values) if names else None
        if digest is not None:
            yield Batch(names, digest)


def tied_outside(
    batches: Sequence[Batch], values: Mapping[str, Any], looks: Iterable[Seen], ties: sharing.Ties
) -> list[Batch]:
    """Those of the batches whose values another name, or another batch, holds and can change."""
    names = itertools.chain.from_iterable(batch.names for batch in batches)
    each = list(map(identity, map(values.__getitem__, names)))
    idents = set(each)
    shared = _in_several(batches, values) if len(idents) < len(each) else set()
    shared = shared.union(*(seen.among(idents) for seen in looks if seen.met))
    return [
        batch
        for batch in (batches if shared else ())
        if any(identity(value) in shared and ties(value) for value in batch.among(values))
    ]


def _in_several(batches: Iterable[Batch], values: Mapping[str, Any]) -> set[int]:
    """The `id` of values that more than one batch has."""
    times = Counter(itertools.chain.from_iterable(set(map(identity, batch.among(values))) for batch in batches))
    return {ident for ident, count in times.items() if count > 1}


def _digest(names: Iterable[str], values: Mapping[str, Any]) -> str | None:
    """Digest of what is written for the values; None if they are not, or no longer, of plain kinds."""
    try:
        return str(new_hash(marshal.dumps(list(map(values.__getitem__, names)), _VERSION)).hexdigest())
    except ValueError:  # also for what is too deep
        return None


@functools.cache
def _marks_holders() -> bool:
    """Whether this Python's marshal marks objects that something else refers to."""
    value: list[Any] = [[], {}, ([],)]
    before = marshal.dumps(value, _VERSION)
    return all(_is_marked(value, at, before) for at in range(len(value)))


def _is_marked(value: list[Any], at: int, before: bytes) -> bool:
    held = value[at]
    marked = marshal.dumps(value, _VERSION) != before
    del held
    return marked and marshal.dumps(value, _VERSION) == before
