"""Weak references come back weak, and nothing that this package does keeps an object alive."""

from __future__ import annotations

import builtins
import gc
import io
import pickle
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values import ends
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import weak
from ckpt_magic.values.pickles.pickling import Contents, write
from tests.kernels import Kernel


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CKPT_KEY", "tests")
    gc.disable()  # what only a collection frees is not free
    yield
    gc.enable()


def read_plainly(values: dict[str, Any]) -> Any:
    file = io.BytesIO()
    write(Contents("cell", values), file, namespace={})
    return pickle.loads(file.getvalue())


@pytest.mark.parametrize("start", ["none", 2])
def test_what_a_later_cell_deletes_is_gone_at_once(tmp_path: Path, start: str | int) -> None:
    Kernel(tmp_path).step(1, "class T: pass\na = T()")
    kernel = Kernel(tmp_path, start)
    kernel.step(1, "class T: pass\na = T()")
    ref = weakref.ref(kernel.names["a"])
    kernel.step(2, "b = a")
    kernel.step(3, "b = 1")
    kernel.plan = None
    del kernel.names["a"]
    assert ref() is None


def test_a_plain_reader_gets_weak_references() -> None:
    class_ = type("Thing", (), {})
    held, loose = class_(), class_()
    values = {"held": held, "ref": weakref.ref(held), "dead": weakref.ref(class_()), "loose": weakref.ref(loose)}
    values |= {"set": weakref.WeakSet([held, loose]), "proxy": weakref.proxy(held)}
    back = read_plainly(values)
    assert back["ref"]() is back["held"] and back["dead"]() is None and back["loose"]() is None
    assert list(back["set"]) == [back["held"]]
    assert type(back["proxy"]) is weakref.ProxyType
    back["held"].mark = 1
    assert back["proxy"].mark == 1


def test_a_finalizer_is_refused() -> None:
    held = io.BytesIO()
    final = weakref.finalize(held, print)
    try:
        with pytest.raises(NotPicklableError, match="finalize"):
            read_plainly({"final": final})
    finally:
        final.detach()


def test_whether_an_end_is_awaited_is_not_asked_of_proxies() -> None:
    class Asked:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    asked = Asked()
    proxy = weakref.proxy(asked)
    assert not weak.has_end(asked)
    weakref.finalize(asked, print)
    assert weak.has_end(asked)
    del proxy


class Listed:
    """An object whose class knows all that there are."""

    known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __init__(self, *, at: int = 0) -> None:
        self.at = at
        self.known.add(self)


def test_an_object_is_among_those_that_its_class_knows_again() -> None:
    one, left_out = Listed(at=1), Listed(at=2)
    Listed.known.discard(left_out)
    read = read_plainly({"one": one, "left_out": left_out})
    assert (read["one"].at, read["left_out"].at) == (1, 2)
    assert read["one"] in Listed.known
    assert read["left_out"] not in Listed.known


def test_ends_that_libraries_wait_for_are_theirs() -> None:
    notebook: dict[str, Any] = {"__name__": "a_notebook", "__builtins__": builtins}
    mine, theirs, named = type("Mine", (), {"__module__": "a_notebook"})(), Listed(), Listed()
    exec("def note(): pass", notebook)
    notebook["named"] = named
    given: list[Any] = [weakref.finalize(mine, shutil.rmtree, "x"), weakref.finalize(theirs, notebook["note"])]
    given += [weakref.finalize(named, print)]
    left: list[Any] = [weakref.finalize(theirs, print), weakref.finalize(named, shutil.rmtree, "x")]
    try:
        assert ends.awaited(notebook) == dict(zip(given, map(identity, (mine, theirs, named)), strict=True))
    finally:
        for one in (*given, *left):
            one.detach()
