"""Small values that are looked at many at a time: each change that one pass over all could miss."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.files.store import Store
from ckpt_magic.values import batches, delta, looking
from tests.kernels import Kernel

MADE = "\n".join(f"v{k} = [{k}, 'x', [1]]" for k in range(12))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Twelve lists in batches of four that were taken as a whole in the last step."""
    monkeypatch.setenv("CKPT_KEY", "tests")
    monkeypatch.setattr(batches, "_MOST", 4)
    made = Kernel(tmp_path)
    made.cell(f"{MADE}\nclass Box: pass\nbox = Box()\nbox.inside = [1]")
    made.step(1, "x = 1")
    made.step(2, "x = 2")
    made.step(3, "x = 2")
    assert together(made) >= {f"v{k}" for k in range(12)}
    return made


def together(kernel: Kernel) -> set[str]:
    """Names whose own look is older than the last step's."""
    assert kernel.plan is not None
    assert kernel.plan.before is not None
    before = kernel.plan.before.state.looks
    return {name for name, seen in kernel.session.watch.last.looks.items() if before.get(name) is seen}


def saved(kernel: Kernel) -> dict[str, Any]:
    assert kernel.plan is not None
    with Store(kernel.plan.key.folder).path("p", "1", kernel.plan.call.step).open("rb") as file:
        found: dict[str, Any] = pickle.load(file)
    return found


CHANGES = {
    "in place": ("v5.append(1)", {"v5"}),
    "deep inside": ("v5[2][0] = 2", {"v5"}),
    "an equal number of another type": ("v5[0] = 5.0", {"v5"}),
    "a zero with a sign": ("v0[0] = -0.0", {"v0"}),
    "two that come to share with each other": ("v4[2] = v5[2]", {"v4", "v5"}),
    "two that come to share, far apart": ("v1[2] = v11[2]", {"v1", "v11"}),
    "one that comes to share with what is no small value": ("v7[2] = box.inside", {"v7", "box"}),
    "one that becomes the other": ("v7 = v2", {"v2", "v7"}),
    "what is held by another": ("v3[2] = v3", {"v3"}),
    "a function": ("v6.append(lambda: 1)", {"v6"}),
    "an array": ("import numpy\nv6.append(numpy.arange(3))", {"v6"}),
    "what cannot be saved": ("numbers = (i for i in v8)\nnext(numbers)\nv6.append(numbers)", {"v8"}),
    "all of them": ("for v in (v0, v1, v2, v3, v4, v5): v.append(7)", {"v0", "v1", "v2", "v3", "v4", "v5"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_among_many_small_values_is_found(kernel: Kernel, change: str) -> None:
    code, expected = CHANGES[change]
    kernel.step(4, f"def act():\n    global v7\n{''.join(f'    {line}' + chr(10) for line in code.splitlines())}act()")
    found = saved(kernel)
    assert {name for name in found if name[0] in "vb"} == expected
    looks = kernel.session.watch.last.looks
    for name in looks.keys() & expected:
        alone = looking.look(kernel.names[name], kernel.names, kernel.session.makers)
        assert looks[name].digest == alone.digest
    if len(expected) == 2:
        assert any(expected == set(names) for names in kernel.session.watch.last.links.objects), "what they share"


@pytest.mark.parametrize(
    ("begins", "ends", "is_taken"),
    [("v4[2] = v5[2]", "v4[2] = list(v4[2])", False), ("v4 = v5 = [4]", "globals()['v4'] = list(v4)", True)],
)
def test_sharing_that_ends_is_a_change(kernel: Kernel, begins: str, ends: str, is_taken: bool) -> None:
    kernel.step(4, begins)
    kernel.step(5, "x = 3")
    kernel.step(6, "x = 3")
    assert (together(kernel) >= {"v4", "v5"}) is is_taken
    kernel.step(7, ends)
    assert saved(kernel).keys() == {"v4", "v5"}


def test_what_only_its_value_holds_is_told_from_what_something_else_holds(kernel: Kernel) -> None:
    """Were `v5` taken for a small value, nobody would see that its part has come to be that of `v6`."""
    kernel.cell("import builtins\nbuiltins.kept = v5[2]")
    kernel.step(4, "x = 3")
    kernel.step(5, "x = 3")
    assert "v5" not in together(kernel)
    kernel.step(6, "v6[2] = builtins.kept\nv6[:2] = [6, 'x']")
    assert saved(kernel).keys() == {"v5", "v6"}
    kernel.cell("del builtins.kept")


@pytest.mark.parametrize(
    ("before", "after"),
    [("b'x'", "bytearray(b'x')"), ("{3, 11}", "{11, 3}"), ("range(3)", "[0, 1, 2]"), ("(1, [2])", "[1, [2]]")],
)
def test_what_marshal_does_not_tell_apart_is_looked_at_alone(kernel: Kernel, before: str, after: str) -> None:
    kernel.step(4, f"v4[2] = {before}")
    kernel.step(5, "x = 3")
    kernel.step(6, "x = 3")
    kernel.step(7, f"globals()['v4'][2] = {after}")
    assert saved(kernel).keys() == {"v4"}


def test_the_rest_of_a_group_is_looked_at_when_one_name_is_gone(kernel: Kernel) -> None:
    kernel.step(4, "del v5\nv9.append(3)")
    assert saved(kernel).keys() == {"v9"}
    assert "v5" not in kernel.session.watch.last.looks
    kernel.step(5, "v5 = [5, 'x', [1]]\nv6.pop()")
    assert saved(kernel).keys() == {"v5", "v6"}
    kernel.step(6, "v4[0] = 0")
    assert saved(kernel).keys() == {"v4"}


def test_a_change_outside_of_all_cells_is_found(kernel: Kernel) -> None:
    kernel.names["v8"].append(4)
    kernel.step(4, "y = v8[0]")
    assert saved(kernel).keys() == {"v8", "y"}
    assert kernel.plan is not None
    meta = kernel.session.open(kernel.plan.key, 4)
    assert meta is not None
    assert any("outside" in mark for mark in meta.meta["marks"])


def test_what_a_thread_changes_between_the_pass_and_the_look_makes_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"a": [1], "b": [2]}
    first = delta.look(values, values)
    make = batches.made

    def made(*args: Any) -> list[batches.Batch]:
        found = list(make(*args))
        values["a"].append(2)
        return found

    monkeypatch.setattr(batches, "made", made)
    second = delta.look(values, values, last=first)
    assert second.made
    second.forget()
    monkeypatch.undo()
    values["a"].pop()
    third = delta.look(values, values, last=second)
    assert first.looks["a"].digest == third.looks["a"].digest != second.looks["a"].digest
