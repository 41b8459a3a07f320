"""Values that cannot change are written under the names that mean them."""

from __future__ import annotations

import collections
import datetime
import io
import pickle
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.values.pickles import inside, unchanging
from ckpt_magic.values.pickles.pickling import Contents, write

NEVER = datetime.date(9999, 1, 1)
SCRIPT = """
import datetime, sys
from ckpt_magic import Checkpoint
NEVER = datetime.date(9999, 1, 1); nan = float("nan")
class Due(Checkpoint):
    def step_1(self, outputs):
        self.last = NEVER
        return {"due": NEVER, "values": [nan, 1.0]}
    def step_2(self, outputs):
        return [outputs["step_1"]["due"], datetime.date(9999, 1, 1)]
    def step_3(self, outputs):
        first, second = outputs["step_1"], outputs["step_2"]
        print(first["due"] is NEVER, nan in first["values"], [one is NEVER for one in second], self.last is NEVER)
Due(name="due", checkpoint_folder=sys.argv[1], version=1).run(start_from=int(sys.argv[2]))
"""


class Met:
    """What a look at a saved value tells of it."""

    functions: Sequence[Any] = ()

    def __init__(self, *objects: Any) -> None:
        self._idents = {object.__hash__(one) for one in objects}

    def among(self, idents: Any) -> Any:
        return self._idents & set(idents)


def test_a_plain_reader_gets_equal_values() -> None:
    nan = struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\7")[0]
    namespace = {"__name__": "__main__", "NEVER": NEVER, "nan": nan, "PAIR": (1, NEVER)}
    value = {"due": [NEVER, nan], "pair": namespace["PAIR"], "number": nan}
    numbers, named = unchanging.held(namespace, value, [Met(NEVER, namespace["PAIR"])])
    assert [(one.name, one.value) for one in named] == [("NEVER", NEVER), ("PAIR", (1, NEVER))]
    assert [one.name for one in numbers] == ["nan"]
    file = io.BytesIO()
    write(Contents("cell", value), file, namespace=namespace, numbers=numbers, named=named)
    read = pickle.loads(file.getvalue())
    assert read["due"][0] == NEVER
    assert read["pair"] == (1, NEVER)
    assert struct.pack(">d", read["number"]) == struct.pack(">d", nan)


@pytest.mark.parametrize(
    "here", [datetime.date(2024, 1, 1), datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC), None, "text", [NEVER]]
)
def test_a_name_is_taken_if_it_means_an_equal_value(here: Any) -> None:
    (one,) = unchanging.held({"NEVER": NEVER}, (), [Met(NEVER)])[1]
    ((token, _),) = one.form.reduced[1][1].items()
    equal = datetime.date(9999, 1, 1)
    assert unchanging.find(token, {"NEVER": equal}) is equal
    assert unchanging.find(token, {"NEVER": here}) is None
    assert unchanging.find(token, {}) is None


def test_names_of_the_user_come_before_those_of_the_shell() -> None:
    (one,) = unchanging.held({"_": NEVER, "due": NEVER, "_12": NEVER}, (), [Met(NEVER)])[1]
    assert one.name == "due"


def test_what_is_saved_itself_or_not_held_has_no_name() -> None:
    assert unchanging.held({"NEVER": NEVER, "other": (1, 2)}, {"NEVER"}, [Met(NEVER)])[1] == []
    mixed = (1, [2])
    assert unchanging.held({"mixed": mixed}, (), [Met(mixed)])[1] == []  # which can change


def test_modules_that_are_gone_mean_nothing() -> None:
    token = "same", "no_such_module_:NEVER", "", "[]"
    assert unchanging.find(token, {}) is None


class Task:
    """Has attributes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_ways_lead_through_containers_and_attributes() -> None:
    one, two, three, four = (1, "one"), (2, "two"), (3, "three"), (4, "four")
    made: list[str] = []
    missing = collections.defaultdict[str, Any](lambda: made.append("called"), a=deque([one]))
    value = [{"x": [two], three: 1}, Task(parts=missing, other=[{(0, 0): four}])]
    found = dict(inside.ways(value, {*map(id_of, (one, two, three, four))}))
    assert {*found} == {one, two, three, four}
    assert all(inside.at(value, way) is part for part, way in found.items())
    for way in found.values():
        assert inside.at([], way) is None
        assert inside.at(None, way) is None
    assert inside.at(value, (("item", 1), ("attribute", "parts"), ("item", "b"))) is None
    assert made == []
    assert [*inside.ways([[value]], set())] == []


def test_ways_through_what_holds_itself_end() -> None:
    value: list[Any] = [1]
    value.append([value, {"again": value}])
    assert [*inside.ways(value, {id_of((1, 2))})] == []


def id_of(one: Any) -> int:
    return object.__hash__(one)


def test_a_script_finds_its_own_values_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for start in ("1", "3", "2", "3"):
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "ckpt"), start], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "True True [True, False] True", done.stderr
