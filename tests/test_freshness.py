"""The verdict, from records alone."""

from __future__ import annotations

from typing import Any

import pytest

from ckpt_magic.steps import freshness
from ckpt_magic.steps.freshness import Cause, Fact, Now

EVIDENCE: dict[str, Any] = {
    "code": "c",
    "functions": {"f": {"digest": "d", "values": "v", "text": "def f(): ..."}},
    "covered": {"f": "f"},
    "shown": {},
    "key": {"day": "k"},
    "settings": {"working directory": "."},
    "files": [{"path": "data.csv", "size": 3, "mtime": 1, "ctime": 1, "digest": "x"}],
    "written": [],
    "modules": {"helpers": "m"},
    "environ": {"MODE": None},
    "python": "3.11.7",
    "packages": {"numpy": "2.0"},
    "unclear": [],
}


def meta(**other: Any) -> dict[str, Any]:
    evidence = {**EVIDENCE, **other.pop("evidence", {})}
    return {"kind": "cell", "marks": [], "source": "x = 1", "evidence": evidence, **other}


def same() -> dict[str, dict[str, Fact]]:
    return {kind: dict(things) for kind, things in freshness.recorded(meta()).items()}


def test_a_checkpoint_is_fresh_if_all_is_what_it_was() -> None:
    assert freshness.verdict(meta(), Now(same())) == freshness.Verdict("fresh")


def test_a_checkpoint_without_evidence_is_stale() -> None:
    found = freshness.verdict({**meta(), "evidence": None}, Now(same()))
    assert (found.state, found.line) == ("stale", "no evidence recorded")


def test_a_foreign_pickle_is_foreign() -> None:
    assert freshness.verdict({**meta(), "kind": "foreign", "evidence": None}, Now({})).state == "foreign"


def test_a_mark_is_never_fresh() -> None:
    found = freshness.verdict(meta(marks=["out of order"]), Now(same()))
    assert (found.state, found.line) == ("stale", "it was made out of order")


@pytest.mark.parametrize(
    ("kind", "thing", "line"),
    [
        ("code", "", "code differs from the checkpoint"),
        ("function", "f", "`f` is defined otherwise"),
        ("name", "f", "`f` is another function or class"),
        ("key", "day", "the key `day` has another value"),
        ("file", "data.csv", "`data.csv` changed (was 3 bytes, is 4 bytes)"),
        ("module", "helpers", "module `helpers` changed"),
        ("setting", "working directory", "the working directory was `.`, is `4 bytes`"),
        ("environment", "MODE", "environment variable `MODE` has another value"),
        ("python", "", "Python was 3.11.7, is 4 bytes"),
        ("package", "numpy", "numpy was 2.0, is 4 bytes"),
    ],
)
def test_each_kind_of_evidence_makes_stale_and_names_the_thing(kind: str, thing: str, line: str) -> None:
    facts = same()
    facts[kind][thing] = Fact("other", "4 bytes")
    found = freshness.verdict(meta(), Now(facts))
    assert found.state == "stale"
    assert [(cause.kind, cause.thing, cause.line) for cause in found.causes] == [(kind, thing, line)]
    assert found.as_row()["reasons"][0]["new"] == "4 bytes"


@pytest.mark.parametrize("kind", ["function", "key", "file", "module", "environment", "package", "python", "name"])
def test_what_is_gone_makes_stale(kind: str) -> None:
    facts = same()
    facts[kind].clear()
    assert [cause.kind for cause in freshness.verdict(meta(), Now(facts)).causes] == [kind]


@pytest.mark.parametrize("kind", ["function", "key", "file", "module", "environment", "package", "python", "name"])
def test_what_nobody_can_tell_makes_stale(kind: str) -> None:
    facts = same()
    facts[kind] = {thing: Fact(None) for thing in facts[kind]}
    found = freshness.verdict(meta(), Now(facts))
    assert found.state == "stale"
    assert "cannot tell" in found.line


def test_what_could_not_be_told_when_it_was_saved_makes_stale() -> None:
    unclear = meta(evidence={"unclear": ["`conn` cannot be compared"]})
    assert freshness.verdict(unclear, Now(same())).line == "`conn` cannot be compared"
    held = meta(evidence={"functions": {"f": {"digest": "d", "values": None, "text": ""}}})
    assert freshness.verdict(held, Now(same())).state == "stale"


def test_a_kind_that_cannot_be_looked_at_is_told_once() -> None:
    facts = same()
    del facts["code"]
    found = freshness.verdict(meta(), Now(facts, unknown={"code": "the code of the step is not known here"}))
    assert found.line == "the code of the step is not known here"


def test_causes_come_in_order_and_many_are_counted() -> None:
    facts = {**same(), "code": {"": Fact("z")}, "python": {"": Fact("z", "3.12")}, "module": {}, "package": {}}
    found = freshness.verdict(meta(), Now(facts, causes=[Cause("value", "lr", "`lr` has another value")]))
    assert [cause.kind for cause in found.causes] == ["code", "value", "module", "python", "package"]
    assert found.line.endswith("module `helpers` is not there; 2 more")
