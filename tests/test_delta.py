"""What changed between two looks: each rule with a case that a laxer rule would get wrong."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Iterable
from typing import Any

import pytest

from ckpt_magic.values import delta
from ckpt_magic.values.delta import Delta


class Lab:
    """A namespace in which code runs between two looks."""

    def __init__(self) -> None:
        self.main = types.ModuleType("__main__")
        self.space = vars(self.main)
        self._hidden = {*self.space, "__builtins__"}

    def names(self) -> dict[str, Any]:
        return {name: value for name, value in self.space.items() if name not in self._hidden}

    def run(self, code: str) -> None:
        exec(compile(code, "<cell>", "exec", dont_inherit=True), self.space)

    def step(self, code: str, *, adds: Iterable[str] = (), reached: Iterable[str] | None = None) -> Delta:
        """Run code as a step that binds `adds`."""
        before = delta.look(self.names(), self.space)
        before.forget()
        self.run(code)
        after = delta.look(self.names(), self.space)
        return delta.compare(before, after, self.names(), adds=adds, reached=reached)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()
    monkeypatch.setitem(sys.modules, "__main__", made.main)
    return made


def test_new_changed_and_deleted_names(lab: Lab) -> None:
    lab.run("a = [1]; b = [2]; c = [3]; gone = 1")
    found = lab.step("a.append(2); new = 5; del gone")
    assert found.values == {"a": [1, 2], "new": 5}
    assert found.changed == {"a", "new"}
    assert found.deleted == ["gone"]
    assert found.lost == {}


def test_values_are_in_namespace_order(lab: Lab) -> None:
    lab.run("z = [1]; a = [2]; m = [3]")
    assert list(lab.step("m.append(1); a.append(1); z.append(1)").values) == ["z", "a", "m"]


def test_a_step_that_only_reads_saves_nothing(lab: Lab) -> None:
    lab.run("import pandas as pd; df = pd.DataFrame({'a': [1, 2]}); d = {'x': [1]}\nclass C: pass\nc = C()")
    assert lab.step("df.describe(); df.a.sum(); list(d.items()); repr(c); hash(c); df.groupby('a').sum()").values == {}


def test_what_the_code_binds_is_saved_although_it_is_equal(lab: Lab) -> None:
    """A run again that finds its own work done would save nothing."""
    lab.run("d = {'k': 1}; y = 5")
    assert lab.step("d['k'] = 1; y = 5", adds=["y"]).values == {"y": 5}


def test_the_code_adds_no_name_that_is_not_there(lab: Lab) -> None:
    assert lab.step("pass", adds=["never"]).values == {}


def test_a_change_only_in_sharing_is_a_change_of_all_sides(lab: Lab) -> None:
    lab.run("x = [1]; y = [1]; box = [x]")
    assert lab.step("box[0] = y").changed == {"x", "y", "box"}


def test_deleting_an_alias_does_not_save_the_other_name(lab: Lab) -> None:
    lab.run("big = [0] * 1000; alias = big; third = [big]")
    found = lab.step("del alias")
    assert found.values == {}
    assert found.deleted == ["alias"]


def test_a_changed_name_brings_along_all_it_shares_with(lab: Lab) -> None:
    lab.run("a = [1]; b = {'a': a}; c = [b]; other = [1]")
    found = lab.step("a.append(2)")
    assert set(found.values) == {"a", "b", "c"}
    assert found.groups["a"] == found.groups["b"] == found.groups["c"]


def test_instances_of_one_class_are_not_tied(lab: Lab) -> None:
    """Else touching one object would write all objects of its class."""
    lab.run("class C: pass\na, b = C(), C()")
    assert set(lab.step("a.x = 1").values) == {"a"}


def test_a_class_that_a_step_changed_brings_its_instances_along(lab: Lab) -> None:
    """An instance left in another checkpoint would stay an instance of the old class."""
    lab.run("class C: pass\na, b = C(), C(); other = [1]")
    assert set(lab.step("C.x = 1").values) == {"C", "a", "b"}


def test_a_redefined_class_leaves_its_old_instances_alone(lab: Lab) -> None:
    lab.run("class C: pass\na = C()")
    assert set(lab.step("class C: x = 1", adds=["C"]).values) == {"C"}


def test_a_class_with_mutable_state_is_tied_to_its_instances(lab: Lab) -> None:
    lab.run("class C: items = []\na = C()")
    assert set(lab.step("C.items.append(1)").values) == {"C", "a"}


def test_virtual_subclasses_count(lab: Lab) -> None:
    lab.run("import abc\nclass A(abc.ABC): pass\nclass B: pass")
    assert "A" in lab.step("A.register(B)").changed


def test_what_cannot_be_pickled_is_lost_where_the_step_can_reach_it(lab: Lab) -> None:
    lab.run("g = (i for i in range(3)); next(g); a = [1]")
    assert lab.step("a.append(1)", reached=["a"]).lost == {}
    found = lab.step("next(g)", reached=["g"])
    assert set(found.lost) == {"g"}
    assert "generator" in found.lost["g"]
    assert lab.step("pass").lost.keys() == {"g"}  # code of which nobody knows what it reaches


def test_what_cannot_be_pickled_is_lost_when_it_is_another_object(lab: Lab) -> None:
    lab.run("g = (i for i in range(3)); next(g)")
    assert set(lab.step("g = (i for i in range(3)); next(g)", reached=[]).lost) == {"g"}


def test_a_lost_value_is_tied_to_what_it_holds(lab: Lab) -> None:
    """The generator goes on walking the list: a copy from a checkpoint would no longer be that list."""
    lab.run("a = [1, 2]; g = (i for i in a); next(g); other = [1]")
    found = lab.step("a.append(3)", reached=["a"])
    assert set(found.values) == {"a"}
    assert set(found.lost) == {"g"}


def test_arrays_over_one_memory_go_together(lab: Lab) -> None:
    lab.run("import numpy as np; x = np.zeros(10); y = x[2:]; z = np.zeros(10)")
    found = lab.step("y[0] = 1")
    assert set(found.values) == {"x", "y"}
    assert len(found.views) == 1


def test_memory_that_cannot_be_shared_is_lost_by_name(lab: Lab) -> None:
    lab.run("import numpy as np\nclass Own(np.ndarray):\n    def __reduce__(self): return list, ()")
    found = lab.step("d = np.arange(10); m = d.view(Own)", adds=["m", "d"])
    assert set(found.lost) == {"d", "m"}
    assert "Own" in found.lost["d"]


def test_a_placeholder_in_the_namespace_does_not_disturb(lab: Lab) -> None:
    from ckpt_magic.values.pickles.placeholder import make_placeholder

    used: list[str] = []
    lab.space["conn"] = make_placeholder("conn", 1, "a connection", used.append)
    lab.space["box"] = [lab.space["conn"]]
    lab.space["a"] = [1]
    found = lab.step("a.append(2)", reached=["a"])
    assert set(found.values) == {"a"}
    assert used == []


def test_equal_content_has_equal_group_digests_and_other_content_has_not(lab: Lab) -> None:
    first = lab.step("a = [1]; b = {'a': a}; c = 5", adds=["a", "b", "c"]).groups
    again = lab.step("a = [1]; b = {'a': a}; c = 5", adds=["a", "b", "c"]).groups
    unshared = lab.step("a = [1]; b = {'a': [1]}; c = 5", adds=["a", "b", "c"]).groups
    assert first == again
    assert first["c"] == unshared["c"]
    assert first["a"] != unshared["a"]


def test_looking_draws_no_random_numbers(lab: Lab) -> None:
    lab.run(
        "import random, numpy as np\n"
        "class G:\n  def __getstate__(self): random.random(); np.random.rand(); return {}\n"
        "g = G()"
    )
    numpy_random = lab.space["np"].random
    before = random.getstate(), numpy_random.get_state()[1].tobytes()
    lab.step("pass")
    assert (random.getstate(), numpy_random.get_state()[1].tobytes()) == before


def test_functions_of_random_are_names_of_its_generator(lab: Lab) -> None:
    lab.run("from random import choice; from numpy.random import rand")
    assert lab.step("choice([1, 2]); rand()").changed == set()


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("x = 1", {"x"}),
        ("half = fractions.gcd", {"half"}),
        ("fractions.half = abs", {"half"}),  # it is found under its name no more
        ("del fractions.half", {"half"}),
        ("del fractions.Half", {"Half"}),
        ("again = half", {"again"}),
    ],
)
def test_what_is_written_as_a_name_is_not_looked_at_again_while_it_is_found_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, code: str, changed: set[str]
) -> None:
    library = types.ModuleType("fractions_of_the_test")
    monkeypatch.setitem(sys.modules, library.__name__, library)
    library.__spec__ = types.SimpleNamespace(name=library.__name__)  # type: ignore[assignment]
    exec("def half(x): return x / 2\ndef gcd(x): return 1\nclass Half: pass\n", vars(library))
    lab.space["fractions"] = library
    lab.run("from fractions_of_the_test import half, Half")
    before = delta.look(lab.names(), lab.space)
    before.forget()
    lab.run(code)
    after = delta.look(lab.names(), lab.space, last=before)
    assert delta.compare(before, after, lab.names()).changed == changed
    assert {name for name, seen in after.looks.items() if before.looks.get(name) is seen} == (
        {"fractions", "half", "Half"} - changed
    )
