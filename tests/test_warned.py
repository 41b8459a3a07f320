"""Warnings that were shown are not shown again after a restore, and others are."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ckpt_magic.values import ambient, warned


@pytest.fixture
def warn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Let a library warn, each place once: what is shown."""
    module = types.ModuleType("a_library_that_warns")
    exec("import warnings\ndef warn(text): warnings.warn(text, FutureWarning)", vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")

        def warning(text: str) -> list[str]:
            shown.clear()
            module.warn(text)
            return [str(one.message) for one in shown]

        yield warning


def again() -> Any:
    """What another kernel does: nothing was shown yet."""
    warnings.simplefilter("default")


def test_what_was_shown_is_not_shown_again(warn: Callable[[str], list[str]]) -> None:
    before = ambient.look()
    assert warn("a") == ["a"] and warn("a") == []
    state = ambient.compare(before, ambient.look()).state
    again()
    ambient.put_back(state, generators_too=False)
    assert warn("a") == [] and warn("b") == ["b"]
    ambient.put_back(state, generators_too=False)
    assert warn("a") == []


def test_after_a_change_of_the_filters_all_is_shown_again(warn: Callable[[str], list[str]]) -> None:
    warn("a")
    again()
    state = warned.look()
    assert "a_library_that_warns" not in state
    warned.put_back(state)
    assert warn("a") == ["a"]


def test_a_library_that_is_not_here_is_passed_over(
    warn: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    warn("a")
    state = warned.look()
    monkeypatch.delitem(sys.modules, "a_library_that_warns")
    warned.put_back(state)


def test_a_look_changes_no_filter() -> None:
    before, shown = warnings.filters[:], warned.look()
    assert warned.look() == shown and warnings.filters[:] == before
