"""Two definitions of equal code are two objects, in every kernel that makes or restores them."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.steps.push import push
from ckpt_magic.steps.registry import PipelineKey, StepCall
from ckpt_magic.values.pickles.makers import Makers
from ckpt_magic.values.pickles.tokens import definition_token, is_plain_definition, telling_parts
from tests.kernels import Kernel

CLASS = "class C:\n    v = 1\n"


def key_of(kernel: Kernel) -> PipelineKey:
    return kernel.session.settings.resolve(StepCall(1))


def start_at(kernel: Kernel, step: int) -> None:
    kernel.session.settings.set_start(step)


def meta(kernel: Kernel, step: int) -> Any:
    stored = kernel.session.open(key_of(kernel), step)
    assert stored is not None
    return stored.meta


def evaluate(kernel: Kernel, text: str) -> Any:
    return eval(text, kernel.names)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_KEY", "tests")


def test_a_step_run_again_makes_the_live_class_of_later_restored_steps(tmp_path: Path) -> None:
    first = Kernel(tmp_path)
    first.step(1, CLASS)
    first.step(2, "c = C()")
    kernel = Kernel(tmp_path, 3)
    facts = [kernel.step(1, CLASS, force=True), kernel.step(2, "c = C()")]
    assert [one["action"] for one in facts] == ["saved", "restored"]
    assert type(kernel.names["c"]) is kernel.names["C"]


def test_a_step_edited_and_run_again_makes_the_live_class_if_the_class_is_the_same(tmp_path: Path) -> None:
    first = Kernel(tmp_path)
    first.step(1, CLASS)
    first.step(2, "c = C()")
    kernel = Kernel(tmp_path, "none")
    kernel.step(1, "note = 1\n" + CLASS)
    start_at(kernel, 3)
    assert kernel.step(2, "c = C()")["action"] == "restored"
    assert type(kernel.names["c"]) is kernel.names["C"]


def test_instances_of_an_earlier_run_keep_their_class_and_mark_the_step(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.step(1, CLASS)
    kernel.step(2, "c = C()")
    kernel.step(1, CLASS)
    facts = kernel.step(3, "c.x = 1; d = C(); same = type(c) is type(d)")
    assert kernel.names["same"] is False
    assert "with `C` of an earlier run" in facts["notes"]
    start_at(kernel, 4)
    again = kernel.step(3, "c.x = 1; d = C(); same = type(c) is type(d)")
    assert again["action"] == "restored"  # this kernel is the one that has both classes
    assert type(kernel.names["d"]) is kernel.names["C"] is not type(kernel.names["c"])

    other = Kernel(tmp_path, 4)
    other.step(1, CLASS)
    other.step(2, "c = C()")
    facts = other.step(3, "c.x = 1; d = C(); same = type(c) is type(d)")
    assert facts["action"] == "saved" and "of an earlier run" in facts["reason"]
    assert other.names["same"] is True


def test_a_class_changed_since_is_not_taken_for_the_one_in_the_file(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.step(1, CLASS)
    kernel.step(2, "C.v = 2")
    start_at(kernel, 2)
    assert kernel.step(1, CLASS)["action"] == "restored"
    assert kernel.names["C"].v == 1


def test_pushed_steps_have_one_class(tmp_path: Path) -> None:
    first = Kernel(tmp_path)
    first.step(1, CLASS)
    first.step(2, "c = C()")
    kernel = Kernel(tmp_path)
    push(kernel.session, key_of(kernel), [1, 2])
    assert type(kernel.names["c"]) is kernel.names["C"]


def test_two_pipelines_may_define_the_same(tmp_path: Path) -> None:
    cells = [("p", 1, CLASS + "a = C()"), ("q", 1, CLASS + "b = C()"), ("p", 2, "a.x = 1"), ("q", 2, "b.x = 1")]
    kernel = Kernel(tmp_path)
    for name, step, text in cells:
        kernel.step(step, text, name=name)
    assert type(kernel.names["a"]) is not type(kernel.names["b"]) is kernel.names["C"]
    kernel = Kernel(tmp_path, "end")
    for name, step, text in cells:
        assert kernel.step(step, text, name=name)["action"] == "restored"
    assert type(kernel.names["a"]) is not type(kernel.names["b"]) is kernel.names["C"]


def test_what_an_unmarked_cell_defines_again_is_the_class_of_what_comes_after(tmp_path: Path) -> None:
    for start in (0, 3, 3):
        kernel = Kernel(tmp_path, start)
        kernel.cell(CLASS)
        kernel.step(1, "a = C()")
        kernel.cell(CLASS)
        kernel.step(2, "a.x = 1; b = C()")
        assert type(kernel.names["a"]) is not type(kernel.names["b"]) is kernel.names["C"]


def test_digests_of_equal_kernels_are_equal(tmp_path: Path) -> None:
    """However often a cell ran: rule 1 compares them."""
    cells = [
        (1, CLASS + "a = C()"),
        (2, "def f(x=C): return x\nheld = [f]"),
        (3, CLASS + "b = C(); held = held[:1] + [C, f]"),
    ]
    records = []
    for folder, times in (("one", 1), ("two", 3)):
        kernel = Kernel(tmp_path / folder)
        for step, text in cells:
            for _ in range(times):
                kernel.step(step, text)
        records.append([meta(kernel, step)["groups"] for step, _ in cells])
    assert records[0] == records[1]
    for start in (2, 3):
        kernel = Kernel(tmp_path / "one", start)
        for step, text in cells:
            kernel.step(step, text)
        assert [meta(kernel, step)["groups"] for step, _ in cells] == records[0]


def test_definitions_are_not_kept_alive(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.cell("import weakref, gc")
    kernel.step(1, CLASS + "ref = None")
    ref = evaluate(kernel, "weakref.ref(C)")
    kernel.step(2, "del C")
    evaluate(kernel, "gc.collect()")
    assert ref() is None


SIMPLE = """
def f(a: int, b: "list[int]" = 1, *, c=2) -> str:
    "Adds."
    return lambda: a + b + c

class C:
    "Counts."
    __slots__ = ("s",)
    limit, names = 3, ("a", "b")
    other: int
    def method(self, n=1): return super().__repr__() * n
    @staticmethod
    def static(x=1): return x
    @classmethod
    def made(cls): return cls()
    @property
    def size(self): return 4

class D(C):
    def more(self): return self.method(2)
"""


@pytest.mark.parametrize(
    "edit",
    [
        "f.__code__ = (lambda a, b, *, c: a).__code__",
        "f.__defaults__ = (2,)",
        "f.__kwdefaults__['c'] = 3",
        "f.__annotations__['a'] = float",
        "f.__annotations__['z'] = C",
        "f.__doc__ = 'Subtracts.'",
        "f.__name__ = 'g'",
        "f.__qualname__ = 'g'",
        "f.__module__ = 'elsewhere'",
        "f.attribute = 1",
        "f.attribute = [1]",
        "f.__defaults__ = ([2],)",
        "C.limit = 4",
        "C.names = ('a', 'c')",
        "C.added = 1",
        "C.added = []",
        "del C.limit",
        "C.method = C.made",
        "C.method = f",
        "C.method.__code__ = C.method.__code__.replace(co_consts=(None, 5))",
        "C.method.__defaults__ = (2,)",
        "C.static.__defaults__ = (2,)",
        "C.static = classmethod(C.static)",
        "C.made.__func__.__doc__ = 'New.'",
        "C.size = property(C.size.fget, C.size.fget)",
        "C.size.fget.tag = 1",
        "C.__doc__ = 'Counts more.'",
        "C.__annotations__['other'] = str",
        "C.__qualname__ = 'D'",
        "class C(Exception): limit = 3",
        "def f(): return 1",
    ],
)
def test_what_a_look_says_of_a_simple_definition_is_as_new(tmp_path: Path, edit: str) -> None:
    names = Kernel(tmp_path).names
    exec(SIMPLE, names)
    kept = Makers(names)
    assert all(telling_parts(names[name], names, lambda _: "") for name in "fCD")
    before = [kept.token_in_look(names[name]) for name in "fCD"]
    assert before == [definition_token(names[name], names) for name in "fCD"]
    exec(edit, names)
    plain = [is_plain_definition(names[name], names) for name in "fCD"]
    after = [definition_token(names[name], names) if is_so else None for name, is_so in zip("fCD", plain, strict=True)]
    assert [kept.token_in_look(names[name]) for name in "fCD"] == after != before


def test_what_was_seen_of_a_class_keeps_none_of_it_alive(tmp_path: Path) -> None:
    names = Kernel(tmp_path).names
    exec(SIMPLE, names)
    kept = Makers(names)
    kept.token_in_look(names["C"])
    kept.token_in_look(names["D"])
    refs = [weakref.ref(one) for one in (names["C"].method, names["C"].static, names["C"].size.fget)]
    del names["C"].method, names["C"].static, names["C"].size
    assert [ref() for ref in refs] == [None] * 3
    del names["D"]
    whole = weakref.ref(names.pop("C"))
    gc.collect()
    assert whole() is None


def test_a_default_whose_attributes_are_its_items_is_digested(tmp_path: Path) -> None:
    names = Kernel(tmp_path).names
    exec("class Config(dict):\n    __getattr__ = dict.__getitem__\ndef f(config=Config(n=1)): return config.n", names)
    assert Makers(names).digest(names["f"])
