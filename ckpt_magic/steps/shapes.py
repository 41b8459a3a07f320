"""The forms of META: what each of its keys must be before anything is done with it.

A signature says who wrote META, not that it makes sense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

ACCEPTED = ("source", "code", "seen", "reads", "unmade", "around", "evidence")
"""Of these keys the user can accept other values, see `accepting`."""


def misfits(meta: Mapping[str, Any]) -> list[str]:
    """The keys whose values have another form than they should have."""
    return [key for key, fits in FORMS.items() if not fits(meta.get(key))]


_Form = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (type(value) is float and math.isfinite(value))


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_hex(value: Any) -> bool:
    """Whether that is a number as `float.hex` writes it, or none."""
    try:
        return value is None or float.fromhex(value) is not None
    except (TypeError, ValueError, OverflowError):
        return False


def _maybe(fits: _Form) -> _Form:
    return lambda value: value is None or fits(value)


def _several(fits: _Form) -> _Form:
    return lambda value: isinstance(value, list | tuple) and all(map(fits, value))


def _fixed(*forms: _Form) -> _Form:
    return lambda value: (
        isinstance(value, list | tuple)
        and len(value) == len(forms)
        and all(fits(one) for fits, one in zip(forms, value, strict=True))
    )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict | Mapping)  # of an abstract class alone it takes four times as long to ask


def _table(fits: _Form) -> _Form:
    return lambda value: _is_mapping(value) and all(map(fits, value.values()))


def _row(**forms: _Form) -> _Form:
    def fits(row: Any) -> bool:
        if not _is_mapping(row):
            return False
        for key, has_form in forms.items():  # noqa: SIM110  # a generator for each row takes twice as long
            if key not in row or not has_form(row[key]):
                return False
        return True

    return fits


def _is_file(row: Any) -> bool:
    """Whether that is a row about a file, a folder, a pattern, or what was not there."""
    if not (_is_mapping(row) and isinstance(row.get("path"), str)):
        return False
    if not (isinstance(row.get("pattern", ""), _TEXT_OR_NONE) and isinstance(row.get("digest", ""), _TEXT_OR_NONE)):
        return False
    if not isinstance(row.get("asked", ""), str):
        return False
    if "pattern" in row:
        return _is_texts(row.get("names"))
    if "count" in row:
        return _is_text(row.get("names")) or _is_texts(row.get("names"))
    if row.get("absent") is True:
        return True
    return type(row.get("size")) is type(row.get("mtime")) is type(row.get("ctime")) is int


_TEXT_OR_NONE = (str, type(None))
_is_texts = _several(_is_text)
_is_cause = _row(**dict.fromkeys(("kind", "thing", "line", "old", "new"), _is_text))
_is_outline = _row(
    shape=_several(_is_whole),
    parts=_several(_fixed(_is_text, _is_text, _is_text)),
    **dict.fromkeys(("type", "dtype", "of"), _is_text),
)
_is_made = _fixed(_is_whole, _is_text)  # by which step, and the digest
_are_digests = _table(_maybe(_is_text))
_is_evidence = _row(
    functions=_table(_row(digest=_is_text, values=_maybe(_is_text), text=_is_text)),
    origins=_maybe(_table(_is_text)),
    files=_several(_is_file),
    written=_several(_is_file),
    unclear=_is_texts,
    **dict.fromkeys(("modules", "environ"), _are_digests),
    **dict.fromkeys(("code", "python"), _is_text),
    **dict.fromkeys(("covered", "shown", "key", "settings", "packages"), _table(_is_text)),
)
_is_asked = _row(files=_several(_is_file), environ=_are_digests, unclear=_is_texts)


def _is_told_above(evidence: Mapping[str, Any]) -> bool:
    """What came later, and is not in every file."""
    asked = evidence.get("asked")
    return (
        _are_digests(evidence.get("above", {}))
        and _several(_is_file)(evidence.get("temporary", []))
        and _is_text(evidence.get("course", ""))
        and _table(_is_whole)(evidence.get("set_by", {}))
        and _table(_several(_is_texts))(evidence.get("apart", {}))
        and all(_table(_is_text)(evidence.get(one, {})) for one in ("apart_by", "orders"))
        and all(_is_texts(evidence.get(one) or []) for one in ("rests", "acting", "kept", "between"))
        and (asked is None or (_is_asked(asked) and all(_is_texts(asked.get(one, [])) for one in ("told", "rests"))))
    )


FORMS: Mapping[str, _Form] = {
    "name": _is_text,
    "version": _is_text,
    "step": _is_whole,
    "kind": lambda value: value in ("cell", "method", "foreign", "failed"),
    "writer": _maybe(_row(host=_is_text, pid=_is_whole, started=_maybe(_is_whole))),
    "seconds": _is_number,
    "result": _maybe(_row(variable=_maybe(_is_text), type=_is_text, reason=_is_text)),
    "variables": _several(
        _row(name=_is_text, type=_is_text, shape=_maybe(_several(_is_whole)), bytes=_maybe(_is_whole))
    ),
    "lost": _several(
        lambda row: (
            _row(name=_is_text, type=_is_text, reason=_is_text, via=_is_texts)(row) and _is_hex(row.get("number"))
        )
    ),
    "reads": _table(_is_made),
    "unmarked": _table(_is_made),
    "around": _table(_maybe(lambda value: _is_texts(value) and len(value) >= 2)),
    "sets": _table(_is_flag),
    "evidence": _maybe(lambda value: _is_evidence(value) and _is_told_above(value)),
    "accepted": _maybe(
        lambda value: (
            _row(date=_is_text, reason=_is_text, causes=_several(_is_cause), meta=_is_mapping)(value)
            and all(key in value["meta"] and FORMS[key](value["meta"][key]) for key in ACCEPTED)
            and value["meta"]["evidence"] is not None
        )
    ),
    "confirmed": lambda value: value is None,  # lies beside the checkpoint
    "same": _maybe(_several(_is_texts)),
    "owned": _several(_fixed(_is_texts, _maybe(_is_text))),
    "before": _table(_maybe(_is_text)),
    "near": _maybe(_table(_is_text)),
    "moved": lambda value: _is_flag(value) or _is_texts(value),
    "drawn": _table(_fixed(_is_text, _is_flag)),
    "outputs_cut": _maybe(_is_whole),
    "paths": _fixed(_is_texts, _is_texts),
    "touches": _is_flag,
    **dict.fromkeys(("method", "title", "notebook", "created"), _maybe(_is_text)),
    **dict.fromkeys(("kernel", "source", "code", "python"), _is_text),
    **dict.fromkeys(
        ("codes", "imports", "flat", "deleted", "remade", "unsaved", "order", "joint", "measured", "unmade", "results"),
        _is_texts,
    ),
    **dict.fromkeys(("marks", "ambient", "seeded", "refused", "out_of_reach", "needs", "shown", "results"), _is_texts),
    **dict.fromkeys(("outlines", "inputs"), _table(_is_outline)),
    **dict.fromkeys(("groups", "seen", "definitions", "packages"), _table(_is_text)),
}
