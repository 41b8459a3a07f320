"""What `--json` gives, by verb: the keys of its objects, their types and meaning. Shown by `ckpt-magic VERB --help`.

A type is `int`, `number`, `text`, `flag`, `any`, the name of an object below, `[T]` for a list of T, `{T}` for an
object whose keys are names, or `T|null`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

Keys = Mapping[str, tuple[str, str]]  # per key its type and what it means

_PIPELINE: Final = {
    "step": ("int", "number of the step"),
    "name": ("text", "the pipeline"),
    "version": ("text", "its version"),
}
_TITLE: Final = {"title": ("text|null", "what `--title` says")}
_STATUS: Final = {
    **_PIPELINE,
    **_TITLE,
    "state": ("text", "stored, missing, held, saving, failed; or why the file is not restored"),
    "verdict": ("text|null", "fresh, stale, missing, failed, foreign, could not tell; null where nobody judges"),
    "reasons": ("[cause]", "why it is not fresh"),
    "note": ("text|null", "what was accepted"),
    "next": ("text|null", "run, restore or error; null where neither a kernel nor a notebook is looked at"),
    "next_seconds": ("number|null", "what that takes, as far as is known"),
    "reason": ("text", "why, in words"),
    "run_seconds": ("number|null", "what the run took that was saved, or the one here"),
    "restore_seconds": ("number|null", "what the restore here took"),
    "bytes": ("int|null", "size of the file"),
    "saved_at": ("text|null", "when, UTC"),
    "variables": ("[variable]", "what the file holds"),
    "lost": ("[lost]", "what could not be saved"),
    "path": ("text|null", "the file"),
}

OBJECTS: Final[Mapping[str, Keys]] = {
    "variable": {
        "name": ("text", "of the variable"),
        "type": ("text", "as people write it"),
        "shape": ("[int]|null", "or length"),
        "bytes": ("int|null", "of its data"),
    },
    "lost": {
        "name": ("text", "of the variable"),
        "type": ("text", "as people write it"),
        "reason": ("text", "why it could not be saved"),
    },
    "cause": {
        "kind": ("text", "code, function, value, input, file, module, environment, package, …"),
        "thing": ("text", "what changed: a name, a path, a package"),
        "line": ("text", "all of it in one line"),
        "old": ("text", "what it was, as far as that can be shown"),
        "new": ("text", "what it is"),
        "details": ("[text]", "in what a value differs: shape, columns, the first that differs"),
    },
    "value": {
        "name": ("text", "of the variable"),
        "state": ("text", "same, changed, added, removed, unknown"),
        "differences": ("[difference]", "where it differs"),
    },
    "difference": {
        "path": ("text", "where, as an expression"),
        "kind": ("text", "in what; unknown where it could not be told"),
        "old": ("text", "what it was"),
        "new": ("text", "what it is"),
        "amount": ("text", "how much"),
        "text": ("text", "all of it in one line"),
    },
}

VERBS: Final[Mapping[str, Keys]] = {
    "plan": {
        **_PIPELINE,
        **_TITLE,
        "next": ("text", "run or restore"),
        "state": ("text", "fresh, stale, missing, foreign"),
        "reasons": ("[cause]", "why it is not fresh"),
        "note": ("text", "what was accepted, if it is fresh by that"),
        "reason": ("text", "why it would run, in one line; empty if the start point alone says so"),
        "run_seconds": ("number|null", "what the run took that was saved"),
        "restore_seconds": ("number|null", "an estimate"),
        "bytes": ("int|null", "size of the file"),
    },
    "status": _STATUS,
    "status STEP": {**_STATUS, "record": ("any", "META of the file, all of it")},
    "load": _STATUS,
    "load --failed": {
        "step": ("int", "number of the step"),
        "error": ("text", "type and message"),
        "traceback": ("text", "from the step's code on"),
        "at": ("text", "when, UTC"),
        "variables": ("{text}", "per name its type"),
        "left_out": ("{text}", "per name why it was not kept"),
    },
    "diff": {
        "step": ("int", "number of the step"),
        "code": ("text", "same, changed, or only in V"),
        "source": ("[text]", "changed lines, as of a unified diff"),
        "seconds": ("[number|null]", "what the run of each version took"),
        "values": ("[value]", "the variables of the step"),
        "problem": ("text|null", "why a file could not be read"),
    },
    "verify": {
        **_PIPELINE,
        "verdict": ("text", "reproduces, differs or failed"),
        "differences": ("[difference]", "where the values differ"),
        "reasons": ("[text]", "what makes a difference likely: random numbers, the clock"),
        "seconds": ("[number|null]", "what the run took when it was saved, and now"),
        "problem": ("text", "why it failed, with its traceback"),
    },
    "accept": {
        "step": ("int", "number of the step"),
        "date": ("text", "when, UTC"),
        "reason": ("text", "what `--reason` says"),
        "causes": ("[cause]", "what was accepted"),
    },
    "clear": {
        "name": ("text", "the pipeline"),
        "version": ("text", "its version"),
        "step": ("int|null", "number of the step; null for files that were set aside"),
        "bytes": ("int", "size of the file"),
        "saved_at": ("text", "when, UTC"),
        "path": ("text", "the file"),
        "deleted": ("flag", "false without `--yes`"),
        "held": ("int", "bytes that arrays of this kernel keep on the disk"),
    },
    "check": {
        **_PIPELINE,
        "state": ("text", "whole; or damaged, tampered, other key, foreign, newer, other pipeline, unreadable"),
        "reason": ("text", "what is wrong"),
        "changed": ("[text]", "variables whose bytes are not what was saved"),
        "bytes": ("int|null", "size of the file"),
        "path": ("text", "the file"),
    },
    "export": {
        **_PIPELINE,
        **_TITLE,
        "variables": ("[variable]", "what the file holds"),
        "bytes": ("int", "size of the file"),
        "path": ("text", "the file"),
    },
    "import": {
        "path": ("text", "the file"),
        "state": ("text", "what it was before: trusted, other key, tampered, foreign, damaged, newer, unreadable"),
        "reason": ("text", "why it cannot be signed"),
        "owner": ("text|null", "who owns the file"),
        "bytes": ("int|null", "its size"),
        "saved_at": ("text|null", "when it was written, UTC"),
        "claims": ("any", "step, name and version as the file says, which anybody can write"),
        "imports": ("[text]", "all that its pickle would import"),
        "signed": ("flag", "true with `--yes`"),
    },
}

ALONE: Final = frozenset({"load --failed", "verify", "accept"})
"""Give one object; the others a list of them."""


def help_text(verb: str) -> str:
    """The tables of a verb, for `--help`."""
    lines: list[str] = []
    for form in (one for one in VERBS if one.partition(" ")[0] == verb):
        lines += [f"{form} --json gives {'an object' if form in ALONE else 'a list of objects'}:", *_table(VERBS[form])]
        lines.append("")
    keys = [keys for form, keys in VERBS.items() if form.partition(" ")[0] == verb]
    for name in _named(keys):
        lines += [f"{name}:", *_table(OBJECTS[name]), ""]
    return "\n".join(lines).rstrip()


def _table(keys: Keys) -> Iterator[str]:
    for key, (kind, meaning) in keys.items():
        yield f"  {key:<16} {kind:<14} {meaning}"


def _named(tables: list[Keys]) -> list[str]:
    """The objects that tables come to, in the order met."""
    found: list[str] = []
    for keys in tables:
        for kind, _ in keys.values():
            name = kind.removesuffix("|null").strip("[]{}")
            if name in OBJECTS and name not in found:
                found += [name, *(inner for inner in _named([OBJECTS[name]]) if inner not in found)]
    return found
