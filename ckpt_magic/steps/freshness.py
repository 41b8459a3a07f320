"""Whether a checkpoint still is what its step would give: fresh, or stale and why. Pure: all comes in as records.

META says how a checkpoint came about; what is known now comes as the same kinds of facts, from whoever can tell: a
kernel that decides a step, the cells of a notebook before anything runs, the stored files alone. What nobody can tell
is a cause, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from ckpt_magic.values import outlines
from ckpt_magic.values.outlines import Outline

State = Literal["fresh", "stale", "missing", "failed", "foreign", "could not tell"]

# The kinds of evidence, in the order in which causes are told.
KINDS = (
    *(
        "mark",
        "code",
        "function",
        "name",
        "value",
        "input",
        "key",
        "file",
        "module",
        "environment",
        "setting",
        "random",
    ),
    *("python", "package", "unclear", "evidence"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a checkpoint is stale.

    Attributes
    ----------
    kind
        One of `KINDS`.
    thing
        What changed: a name, a path, a package; empty for the code of the step itself.
    old, new
        What it was and what it is, as far as that can be shown: text of code, a value, size and time of a file,
        a version. Values of environment variables are never shown.
    details
        In what a value differs, a line for each thing: shape, columns, the first column that differs.
    line
        All of it in one line for people.
    """

    kind: str
    thing: str
    line: str
    old: str = ""
    new: str = ""
    details: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """The cause as JSON."""
        row = {"kind": self.kind, "thing": self.thing, "line": self.line, "old": self.old, "new": self.new}
        return {**row, "details": list(self.details)}

    def having(self, old: Outline | None, new: Outline | None) -> Cause:
        """The cause with what the outlines of a value tell, where there are two."""
        if old is None or new is None:
            return self
        shown = {"old": self.old or outlines.title(old), "new": self.new or outlines.title(new)}
        return replace(self, **shown, details=tuple(outlines.differences(old, new)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of the checkpoint of one step; `note` says what the user accepted if it is fresh by that."""

    state: State
    causes: tuple[Cause, ...] = ()
    note: str = ""

    @property
    def line(self) -> str:
        """The causes in one line; empty if there are none."""
        return in_one_line(self.causes)

    def as_row(self) -> dict[str, Any]:
        """The verdict as JSON."""
        return {"state": self.state, "reasons": [cause.as_row() for cause in self.causes], "note": self.note}


@dataclass(frozen=True, slots=True)
class Fact:
    """What one thing is. Two facts are the same if their tokens are; a token of None says that nobody can tell.

    `shown` is what people see of it; `text` says, in its stead, in full why it cannot be told.
    """

    token: str | None
    shown: str = ""
    text: str = ""


CWD = "working directory"
Facts = Mapping[str, Mapping[str, Fact]]


@dataclass(frozen=True, slots=True)
class Now:
    """What is known now.

    Attributes
    ----------
    facts
        Per kind and thing what it is; a kind that is not among them is one that nobody looked at.
    causes
        Causes that were found in another way.
    unknown
        Per kind that cannot be looked at here the reason, in words.
    """

    facts: Facts
    causes: Sequence[Cause] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)


def verdict(meta: Mapping[str, Any], now: Now) -> Verdict:
    """Judge a checkpoint by its META and what is known now."""
    return judged(meta, causes(meta, now))


def judged(meta: Mapping[str, Any], found: Sequence[Cause]) -> Verdict:
    """What causes come to."""
    if meta["kind"] == "foreign":
        return Verdict("foreign", tuple(found))
    return Verdict("stale" if found else "fresh", tuple(found))


def causes(meta: Mapping[str, Any], now: Now) -> list[Cause]:
    """All that speaks against a checkpoint, in the order of `KINDS`."""
    found = [Cause("mark", mark, f"it was made {mark}") for mark in meta["marks"]]
    found += now.causes
    evidence = meta["evidence"]
    if evidence is None:
        found.append(Cause("evidence", "", "no evidence recorded"))
        return _in_order(found)
    then = recorded(meta)
    for kind, things in then.items():
        if kind in now.unknown:
            found += [Cause(kind, "", now.unknown[kind])] if things else []
        elif kind in now.facts:
            found += _differences(kind, things, now.facts[kind])
    for line in evidence["unclear"]:
        found.append(Cause("unclear", "", line))
    return _in_order(found)


def recorded(meta: Mapping[str, Any]) -> dict[str, dict[str, Fact]]:
    """The facts in META, by kind and thing."""
    evidence = meta["evidence"]
    return {
        "code": {"": Fact(evidence["code"], meta["source"])},
        "function": {
            name: with_values(Fact(one["digest"], one["text"]), one["values"])
            for name, one in evidence["functions"].items()
        },
        "name": {name: Fact(meant) for name, meant in evidence["covered"].items()},
        "key": {text: Fact(digest) for text, digest in evidence["key"].items()},
        "file": {row["path"]: Fact(row["path"], file_text(row)) for row in (*evidence["files"], *evidence["written"])},
        "module": {name: Fact(digest) for name, digest in evidence["modules"].items()},
        "environment": {name: Fact("not set" if d is None else d) for name, d in evidence["environ"].items()},
        "setting": {name: Fact(one, one) for name, one in evidence["settings"].items()},
        "python": {"": Fact(evidence["python"], evidence["python"])},
        "package": {name: Fact(version, version) for name, version in evidence["packages"].items()},
    }


def with_values(code: Fact, values: str | None) -> Fact:
    """A function or class is its code and what it holds; nobody can tell if either cannot be compared."""
    return replace(code, token=None if values is None or code.token is None else f"{code.token} {values}")


def file_text(row: Mapping[str, Any]) -> str:
    """A file of META as people read it."""
    if row.get("absent"):
        return "not there"
    if "names" in row:
        count = row.get("count", len(row["names"]))
        return f"{count} name{'s' * (count != 1)}"
    when = datetime.fromtimestamp(row["mtime"] // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return ", ".join([f"{row['size']} bytes", when, *([f"digest {row['digest'][:12]}"] if row.get("digest") else [])])


def _size(text: str) -> str:
    """What of a file's text goes into one line."""
    return text.partition(",")[0]


def other_version(name: str, old: str, new: str) -> str:
    """What is said of a package that is there in another version."""
    return f"{name} was {old}, is {new}"


def in_one_line(found: Iterable[Cause], most: int = 3) -> str:
    """Causes in one line, the first of them by name."""
    lines = list(dict.fromkeys(cause.line for cause in found))
    more = f"; {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def _in_order(found: list[Cause]) -> list[Cause]:
    return sorted(dict.fromkeys(found), key=lambda cause: KINDS.index(cause.kind))


def _differences(kind: str, then: Mapping[str, Fact], now: Mapping[str, Fact]) -> Iterator[Cause]:
    for thing, old in then.items():
        new = now.get(thing)
        if new is None:
            yield Cause(kind, thing, _GONE[kind].format(thing), old.shown)
        elif new.token is None or old.token is None:
            yield Cause(kind, thing, new.text or _CANNOT_TELL.format(_label(kind, thing)), old.shown, new.shown)
        elif new.token != old.token:
            yield Cause(kind, thing, new.text or _changed(kind, thing, old, new), old.shown, new.shown)
    for thing, new in now.items():
        if thing not in then:
            yield Cause(kind, thing, new.text or _CAME[kind].format(thing), "", new.shown)


def _changed(kind: str, thing: str, old: Fact, new: Fact) -> str:
    if kind in ("python", "package"):
        return other_version("Python" if kind == "python" else thing, old.shown, new.shown)
    if kind == "file" and (was := _size(old.shown)) != (now := _size(new.shown)):
        return f"`{thing}` changed (was {was}, is {now})"
    if kind == "setting":
        return f"the {thing} was `{old.shown}`, is `{new.shown}`"
    return _CHANGED[kind].format(thing)


def _label(kind: str, thing: str) -> str:
    return f"`{thing}`" if thing else {"code": "the code", "python": "Python"}.get(kind, kind)


_CANNOT_TELL = "cannot tell whether {} is what it was"
_CHANGED = {
    "code": "code differs from the checkpoint",
    "function": "`{}` is defined otherwise",
    "name": "`{}` is another function or class",
    "key": "the key `{}` has another value",
    "file": "`{}` changed",
    "module": "module `{}` changed",
    "environment": "environment variable `{}` has another value",
}
_GONE = {
    "code": "the step has no code",
    "function": "`{}` is not used any more",
    "name": "`{}` is no function or class any more",
    "key": "the key `{}` is not asked for any more",
    "file": "`{}` is not among --depends any more",
    "module": "module `{}` is not there",
    "environment": "environment variable `{}` is not known",
    "setting": "{} is not known",
    "python": "Python is not known",
    "package": "package {} is not installed",
}
_CAME = {
    "code": "the step has code",
    "function": "`{}` was not used",
    "name": "`{}` was no function or class",
    "key": "the key `{}` was not asked for",
    "file": "`{}` was not among --depends",
    "module": "module `{}` was not used",
    "environment": "environment variable `{}` was not asked for",
    "setting": "{} was not known",
    "python": "Python was not known",
    "package": "package {} was not used",
}
