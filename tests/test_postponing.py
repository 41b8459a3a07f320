"""Graphs of objects that are deeper than pickle goes."""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import pytest

from ckpt_magic.values.looking import look
from ckpt_magic.values.pickles.pickling import Contents, write

LINKED = """
class Node:
    def __init__(self, value, after): self.value, self.after = value, after
head = None
for k in range(5000): head = Node(k, head)
"""


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A list of linked nodes, of a class that a plain reader finds in `__main__`."""
    space = {"__name__": "__main__"}
    exec(LINKED, space)
    monkeypatch.setattr(sys.modules["__main__"], "Node", space["Node"], raising=False)
    return space


def test_plain_pickle_reads_it(linked: dict[str, Any]) -> None:
    seen = look(linked["head"], linked)
    assert seen.is_deep
    assert seen.is_comparable
    file = io.BytesIO()
    deep = [(linked["head"], (*seen.functions,))]
    write(Contents("cell", {"name": 1, "head": linked["head"]}), file, namespace=linked, deep=deep)
    names = pickle.loads(file.getvalue())
    assert list(names) == ["name", "head"]
    node, values = names["head"], []
    while node is not None:
        values.append(node.value)
        node = node.after
    assert values == list(range(5000))[::-1]


def test_a_change_of_any_of_them_is_seen(linked: dict[str, Any]) -> None:
    before = look(linked["head"], linked).digest
    assert look(linked["head"], linked).digest == before
    node = linked["head"]
    for _ in range(4000):
        node = node.after
    node.value = "another"
    assert look(linked["head"], linked).digest != before


def test_what_cannot_be_saved_in_one_of_them_is_told(linked: dict[str, Any]) -> None:
    linked["head"].after.after.value = begun = (number for number in (1, 2))
    next(begun)
    seen = look(linked["head"], linked)
    assert not seen.is_comparable
    assert "generator" in seen.why


@pytest.mark.parametrize(
    "way", ["__hash__ = lambda self: hash(self.value)", "__setstate__ = lambda self, state: 1 / 0"]
)
def test_objects_that_are_asked_while_they_are_read_have_to_be_full(linked: dict[str, Any], way: str) -> None:
    exec(f"class Asking(Node):\n    {way}\nhead.after.after.value = Asking(1, None)", linked)
    seen = look(linked["head"], linked)
    assert not seen.is_comparable
    assert "RecursionError" in seen.why


def test_nodes_that_are_asked_while_they_are_read_are_told_to_be_too_many(linked: dict[str, Any]) -> None:
    exec("Node.__getattr__ = lambda node, name: node.names[name]", linked)  # endless before `names` is there
    seen = look(linked["head"], linked)
    assert not seen.is_comparable
    assert "RecursionError" in seen.why


def test_nodes_that_know_the_one_before_weakly(linked: dict[str, Any]) -> None:
    text = "import weakref\nnode = head\nwhile node.after: node.after.before, node = weakref.ref(node), node.after"
    exec(text, linked)
    seen = look(linked["head"], linked)
    file, deep = io.BytesIO(), [(linked["head"], tuple(seen.functions))]
    write(Contents("cell", {"head": linked["head"]}), file, namespace=linked, deep=deep)
    head = pickle.loads(file.getvalue())["head"]
    assert head.after.after.before() is head.after
