"""What the text of a module says of it."""

from __future__ import annotations

import ast

import pytest

from ckpt_magic.values.code import modulecode

TEXT = '''
"""Of many things."""
import os, numpy as np
from . import near
from .far import helper as other

KEY = os.environ["KEY"]

def reader(value: int) -> str:
    """Read."""
    return other(value)

class Thing:
    def act(self):
        np.random.seed(1)
        near.made = 2

other.registered = reader
'''


def test_a_module_is_parsed_once_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, texts = ast.parse, []

    def parsed(text: str) -> ast.Module:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr(ast, "parse", parsed)
    text = f"{TEXT}# {id(texts)}"  # which nobody asked about
    assert modulecode.imports(text) >= {"os", "numpy", ".", ".near", ".far", ".far.helper"}
    at_import, ever, _ = modulecode.acts_on(text)
    assert at_import == {".far.helper"}
    assert ever == {".far.helper", ".near"}
    assert "seed" in modulecode.words(text).read
    assert not modulecode.reaches_the_notebook(text)
    assert "registered" not in modulecode.words_called(text, {"reader"})
    assert "seed" in modulecode.words_reached(text, {"Thing"})
    assert modulecode.digest(text) == modulecode.digest(TEXT)
    assert texts.count(text) == 1


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('"""Read."""', '"""Write."""', 1),
        ("value: int", "value: float", 1),
        ("other(value)", "other(value + 1)", 2),
        ('"""Of many things."""', '"""Of few."""', 2),  # a module that reads it was not looked for
        ("near.made = 2", "near.made = 3", 2),
        ("(value)", "( value )", 0),
    ],
)
def test_both_digests_of_a_module_tell_what_they_should(old: str, new: str, parts: int) -> None:
    before, after = (modulecode.digest(text).split(":") for text in (TEXT, TEXT.replace(old, new)))
    assert sum(one != other for one, other in zip(before, after, strict=True)) == parts


def test_where_documentation_or_text_is_read_it_counts() -> None:
    documented = f"{TEXT}\nprint(reader.__doc__)"
    assert modulecode.digest(documented) != modulecode.digest(documented.replace("Read.", "Write."))
    lean, full = modulecode.digest(documented).split(":")
    assert lean == full
    textual = f"{TEXT}\nimport inspect\nprint(inspect.getsource(reader))"
    assert modulecode.digest(textual) != modulecode.digest(textual.replace("(value)", "( value )"))


@pytest.mark.parametrize("text", ["", "# nothing", "1 +", "\0"])
def test_a_module_that_says_nothing_or_is_none_has_a_digest(text: str) -> None:
    assert len(modulecode.digest(text).split(":")) == 2
    assert modulecode.imports(text) == frozenset()


def test_what_runs_in_a_module_is_told_by_its_code_even_if_that_reads_its_own_text() -> None:
    text = "def shown():\n    return inspect.getsource(shown) * 2\ndef other():\n    return 1\n"
    words, digest = modulecode.run_by(text, {"shown"}, imported=False)
    assert {"getsource", "shown"} <= words
    assert digest != modulecode.run_by(text.replace("2", "3"), {"shown"}, imported=False)[1]
    assert digest == modulecode.run_by(text.replace("1", "3"), {"shown"}, imported=False)[1]
    assert modulecode.run_by(text, {"neither"}, imported=False) == (frozenset(), "")
