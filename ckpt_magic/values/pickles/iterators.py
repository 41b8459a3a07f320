"""Iterators at their position, over the very container that they went over.

Python's own way to pickle them copies what is left of a dict, and clamps the position to a list that is not filled yet.
"""

from __future__ import annotations

import array
import contextlib
import gc
import inspect
import io
import itertools
import operator
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.pickles.definitions import Definitions

Reducer = Callable[[Any], Any]
_Reducer = Callable[[Any, Definitions], Any]

# The list may hold the iterator and then is empty as yet, or have become shorter than the position.
_PLACE: Final = """lambda iterator, state: (lambda items, at: (lambda missing: (
    list.extend(items, missing), iterator.__setstate__(at),
    missing and list.__delitem__(items, slice(-len(missing), None))))([None] * max(0, at + 1 - len(items))))(*state)"""
_ADVANCED: Final = """lambda view, way, at, size: (lambda iterator: ([next(iterator) for _ in range(at)], iterator)[1])(
    way(view)) if len(view) == size else {}['an iterator over a dict that holds it']"""
# An iterator over groups has no value at hand, only the key of the group that it gave last.
_BETWEEN: Final = """lambda kind, last, it, key, target: (lambda made: (
    made.__setstate__((target, None, target)), next(last(made, target)), made)[-1])(kind(it, key))"""
_LEFT: Final = """lambda group, kind: (lambda groups: (group(groups, None), group(groups, None))[0])(kind(()))"""
_CALLED: Final = "lambda: (lambda iterator: (next(iterator, 0), iterator)[1])(iter(int, 0))"
_ENDED: Final = "lambda items: (lambda iterator: (list(iterator), iterator)[1])(iter(items))"  # it lets go of them
_OVER_NOTHING: Final = """lambda: (lambda iterator: (list(iterator), iterator)[1])(
    iter(type('Nothing', (), {'__getitem__': lambda self, at: ()[at]})()))"""
_FINISHED: Final = """lambda name, qualname: (lambda made: (
    setattr(made, '__name__', name), setattr(made, '__qualname__', qualname), made.close(), made)[-1])(
    (lambda: (yield))())"""


_BEGINNING: Final = """lambda function, name, qualname, args, options: (lambda made: (
    setattr(made, '__name__', name), setattr(made, '__qualname__', qualname), made)[-1])(
    function(*args, **options))"""


def reducers(known: Definitions) -> dict[type, Reducer]:
    """Reducers by type of iterator."""
    return {kind: _knowing(known, reduce) for kind, reduce in _BY_TYPE.items()}


def _knowing(known: Definitions, reduce: _Reducer) -> Reducer:
    return lambda iterator: reduce(iterator, known)


def _over_list(iterator: Any, known: Definitions) -> Any:
    made, args, *state = iterator.__reduce__()
    if not state:  # at its end, where one that goes backwards says that it goes forwards
        return (reversed if type(iterator) is type(reversed([])) else made), args
    return made, args, (args[0], state[0]), None, None, known.evaluated(_PLACE)


class _Sequence:
    """What is gone over by asking for one item after another, as an array of numpy."""

    def __getitem__(self, at: int) -> Any:
        return ()[at]


def _or_at_its_end(text: str, *args: Any) -> _Reducer:
    """Reduce as Python does; but at its end, where an iterator says that it goes over a tuple or text, to this call."""

    def reduce(iterator: Any, known: Definitions) -> Any:
        usual = iterator.__reduce__()
        return (known.evaluated(text), args) if len(usual) == 2 and usual[1] in (((),), ("",)) else usual

    return reduce


def _over_set(iterator: Any, known: Definitions) -> Any:
    owners = gc.get_referents(iterator)
    left = operator.length_hint(iterator)
    if not owners:
        return iter, (set(),)
    if left != len(owners[0]):  # the order of a set that is built again may be another one
        raise NotPicklableError("an iterator in the middle of a set")
    return iter, (owners[0],)


def _over_dict(empty: Any, way: Any) -> _Reducer:
    name = type(empty).__name__.removeprefix("dict_")

    def reduce(iterator: Any, known: Definitions) -> Any:
        owner = next((one for one in gc.get_referents(iterator) if isinstance(one, dict)), None)
        if owner is None:
            return way, (getattr({}, name)(),)
        return _advanced(iterator, owner, getattr(dict, name)(owner), way, known)

    return reduce


def _over_ordered_dict(iterator: Any, known: Definitions) -> Any:
    owner = next((one for one in gc.get_referents(iterator) if isinstance(one, OrderedDict)), None)
    if owner is None:
        return iter, (OrderedDict().keys(),)
    found: list[Any] = []
    for view in (owner.keys(), owner.values(), owner.items()):
        for way in (iter, reversed):
            with contextlib.suppress(NotPicklableError):
                found.append(_advanced(iterator, owner, view, way, known))
                break
    if len(found) > 1 and iterator.__reduce__()[1][0]:
        raise NotPicklableError("an iterator over an OrderedDict whose keys are its values")
    if found:
        return found[0]
    raise NotPicklableError("an iterator over an OrderedDict that was changed")


def _advanced(iterator: Any, owner: Any, view: Any, way: Any, known: Definitions) -> Any:
    left = iterator.__reduce__()[1][0]
    items = list(way(view))
    at = len(items) - len(left)
    if at < 0 or not all(map(_is_same, items[at:], left)):
        raise NotPicklableError("an iterator over a dict that was changed meanwhile")
    return known.evaluated(_ADVANCED), (view, way, at, len(owner))


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is tuple and type(b) is tuple and len(a) == len(b) and all(map(operator.is_, a, b)))


def _in_groups(groups: Any, known: Definitions) -> Any:
    """Groups in the middle of one, of which Python forgets the key once its last value was taken."""
    reduced = groups.__reduce__()
    parts = gc.get_referents(groups)
    if parts[:1] == [type(groups)]:  # from 3.12 on an object tells of its kind, too
        del parts[0]
    if len(reduced) > 2 or len(parts) < 3:
        return reduced
    last: Any = vars(itertools)["_grouper"]
    return known.evaluated(_BETWEEN), (type(groups), last, *parts)


def _in_pairs(pairs: Any, known: Definitions) -> Any:
    """Pairs of neighbours, the first of the next one being taken already."""
    held = [part for part in gc.get_referents(pairs) if part is not type(pairs)]
    rest, *last = held[: len(held) - _GIVEN] or [()]
    return itertools.pairwise, (itertools.chain(last[:1], rest) if last else rest,)


_GIVEN: Final = [type(part) for part in gc.get_referents(itertools.pairwise(""))].count(tuple)
"""How many pairs it holds that it gave, to give them anew: from Python 3.13 on one."""


def _counting(count: Any, known: Definitions) -> Any:
    """It holds what it gives next and its step, but for small numbers in steps of one, which are in its text.

    A number of another kind may have the text of one: that of sympy does. From 3.12 on Python warns where an iterator
    is asked how to make it again, and from 3.14 on it does not tell.
    """
    numbers = tuple(part for part in gc.get_referents(count) if part is not type(count))
    return itertools.count, numbers if len(numbers) > 1 else (int(repr(count)[len("count(") : -1]),)


def _over_what_is_open(iterator: Any, known: Definitions) -> Any:
    """An iterator that asks what it goes over for items as soon as it is made, which a closed file refuses."""
    reduced = iterator.__reduce__()
    if any(issubclass(type(part), io.IOBase) and part.closed for part in reduced[1]):
        raise NotPicklableError("an iterator over a closed file")
    return reduced


_ASKING: Final = (
    *(enumerate, filter, map, zip),
    *(itertools.accumulate, itertools.dropwhile, itertools.filterfalse, itertools.islice, itertools.starmap),
    itertools.takewhile,
)


def _choosing(choices: Any, known: Definitions) -> Any:
    """Choices of some items: at its end Python makes them of nothing, of which there is one of none."""
    made, args, *state = choices.__reduce__()
    if not state and args == ((), 0) and [type(part) for part in gc.get_referents(choices)].count(tuple) > 1:
        args = (), 1
    return made, args, *state


def _calling(iterator: Any, known: Definitions) -> Any:
    made, args, *_ = iterator.__reduce__()
    return (made, args) if len(args) == 2 else (known.evaluated(_CALLED), ())


def _generator(generator: types.GeneratorType[Any, Any, Any], known: Definitions) -> Any:
    """A generator that came to its end has nothing to go on with; one that has not begun is called for once more."""
    names, code = (generator.__name__, generator.__qualname__), generator.gi_code
    if generator.gi_frame is None:
        return known.evaluated(_FINISHED), names
    # Not asked for its variables by name: it would hold from then on what it was called with.
    parts = gc.get_referents(generator)
    of_code = (at for at, part in enumerate(parts) if type(part) is types.FunctionType and part.__code__ is code)
    at = next(of_code, None)
    if generator.gi_running or generator.gi_suspended or at is None or parts[at + 1] is not code:
        raise NotPicklableError("a generator that has begun and not come to its end")
    return known.evaluated(_BEGINNING), (parts[at], *names, *_arguments(code, parts[at + 2 :]))


def _arguments(code: types.CodeType, variables: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a function was called with, read from its variables before its first line ran: these are the first."""
    found = dict(zip(code.co_varnames, variables, strict=False))
    found |= {name: found[name].cell_contents for name in code.co_cellvars if name in found}
    named, options = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    args = [found[name] for name in code.co_varnames[:named]]
    more = {name: found[name] for name in code.co_varnames[named:options]}
    rest = iter(code.co_varnames[options:])
    if code.co_flags & inspect.CO_VARARGS:
        args += found[next(rest)]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        more |= found[next(rest)]
    return tuple(args), more


def _by_type() -> dict[type, _Reducer]:
    empty: dict[Any, Any] = {}
    ordered: Any = OrderedDict()
    group = vars(itertools)["_grouper"]
    return {
        type(iter([])): _over_list,
        type(reversed([])): _over_list,
        type(iter(set())): _over_set,
        type(iter(int, 0)): _calling,
        types.GeneratorType: _generator,
        itertools.groupby: _in_groups,
        itertools.pairwise: _in_pairs,
        itertools.count: _counting,
        **dict.fromkeys(_ASKING, _over_what_is_open),
        **dict.fromkeys((itertools.combinations, itertools.combinations_with_replacement), _choosing),
        itertools.permutations: _choosing,
        **{type(iter(one)): _or_at_its_end(_ENDED, one) for one in (b"", bytearray(), array.array("b"), "é")},
        type(iter(_Sequence())): _or_at_its_end(_OVER_NOTHING),
        group: _or_at_its_end(_LEFT, group, itertools.groupby),
        **{
            type(way(view)): _over_dict(view, way)
            for view in (empty.keys(), empty.values(), empty.items())
            for way in (iter, reversed)
        },
        type(iter(ordered)): _over_ordered_dict,
    }


_BY_TYPE: Final = _by_type()
