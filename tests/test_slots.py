import copyreg
from pathlib import Path
from typing import Any

from ckpt_magic.values.slots import Unnoted, slot_names
from tests.kernels import Kernel

CLASSES = """
class Meta(type):
    def __setattr__(cls, name, value):
        said.append(name)
        super().__setattr__(name, value)
said = []
class Plain: pass
class Slotted(metaclass=Meta):
    __slots__ = ("a", "__b")
class Both(Slotted):
    def __init__(self): self.a = [1]; self.c = [1]
plain, both = Plain(), Both()
"""


def test_looking_at_instances_notes_nothing_in_their_classes(tmp_path: Path) -> None:
    for start in (1, 3):
        kernel = Kernel(tmp_path, start)
        kernel.step(1, CLASSES)
        kernel.step(2, "both.a.append(2)\nboth.c.append(3)\nlist_of = [Plain(), Both()]")
        kernel.step(3, "shown = [dir(Plain), list(vars(Slotted)), list(vars(Both))]")
        names = kernel.names
        assert "__slotnames__" not in str(names["shown"])
        assert not any("__slotnames__" in vars(names[name]) for name in ("Plain", "Slotted", "Both"))
        assert names["said"] == [] and (names["both"].a, names["both"].c) == ([1, 2], [1, 3])


def test_slots_are_found_as_copyreg_finds_them() -> None:
    noting = copyreg._slotnames  # type: ignore[attr-defined]
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(CLASSES, space)
    for name in ("Plain", "Slotted", "Both"):
        assert slot_names(space[name]) == [[], ["a", "_Slotted__b"]][name != "Plain"]
        with Unnoted(), Unnoted():
            object.__new__(space[name]).__reduce_ex__(4)
        assert "__slotnames__" not in vars(space[name])
    assert copyreg._slotnames is noting  # type: ignore[attr-defined]


def test_who_was_kept_from_leaving_keeps_nothing_patched() -> None:
    noting = copyreg._slotnames  # type: ignore[attr-defined]
    Unnoted().__enter__()  # an interrupt comes here
    with Unnoted():
        pass
    assert copyreg._slotnames is noting  # type: ignore[attr-defined]
