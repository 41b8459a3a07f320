"""What libraries own: found once, met by its name, compared by what it holds."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sqlite3
import subprocess
import sys
import types
from decimal import Decimal
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from ckpt_magic.values import bindings, delta, looking, owned, owners
from ckpt_magic.values.fingerprint import LookInside
from ckpt_magic.values.memory import identity
from ckpt_magic.values.owned import is_own
from tests.kernels import Kernel


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the user that was just imported."""
    module = types.ModuleType("a_library")
    code = "class Base:\n registry = {}\nclass Thing: pass\nthing = Thing(); thing.parts = [1]; _hidden = []"
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "a_library", module)
    for name in ("_walked", "_paths"):  # other tests may have put other things into modules that were walked before
        monkeypatch.setattr(owned, name, {})
    owned.known()
    return module


def paths_of(value: Any) -> set[str]:
    """What a look at a value meets by its name."""
    return set(map(owned.text, looking.look(value, {}).owned))


def test_attributes_of_modules_classes_and_instances_are_found(library: Any) -> None:
    known = owned.known()
    for obj, path in (
        (library.Base.registry, "a_library.Base.registry"),
        (library.thing, "a_library.thing"),
        (library.thing.parts, "a_library.thing.parts"),
        (vars(library), "a_library.__dict__"),
        (logging.root.handlers, "logging.root.handlers"),
        (logging.Logger.manager.loggerDict, "logging.Logger.manager.loggerDict"),
        (sys.path, "sys.path"),
    ):
        assert owned.text(known[identity(obj)]) == path
        assert owned.at(known[identity(obj)]) is obj


def test_what_the_user_puts_there_is_the_users(library: Any) -> None:
    mine: list[int] = []
    library.mine = mine
    library.Base.registry = other = {"a": 1}
    assert paths_of([mine, other]) == set()


def test_an_object_is_met_by_name_wherever_it_is(library: Any) -> None:
    holder = types.SimpleNamespace(deep={"x": (library.thing.parts,)})
    assert paths_of([holder, library.Base.registry]) == {"a_library.thing.parts", "a_library.Base.registry"}
    assert paths_of(library._hidden) == {"a_library._hidden"}
    assert paths_of([library._hidden]) == set()  # a library's own objects hold such ones: they are copied with them


def test_it_ties_no_names_and_its_content_counts(library: Any) -> None:
    names = {"a": [library.Base.registry], "b": library.Base.registry, "c": [1]}
    before = delta.look(names, {})
    assert before.links.objects == {}
    library.Base.registry["x"] = [1]
    after = delta.look(names, {})
    found = delta.compare(before, after, names)
    assert found.changed == {"a", "b"}
    assert (
        len(found.refused) == 1
        and "`a_library.Base.registry`, which a library owns and the step changed" in found.refused[0]
    )
    assert found.owned.keys() == {("a_library", "Base", "registry")}


def test_which_of_them_a_value_holds_and_where_counts(library: Any) -> None:
    looks = [
        looking.look(value, {}).digest
        for value in (
            [library.Base.registry, library.thing.parts],
            [library.thing.parts, library.Base.registry],
            [library.Base.registry, [1]],
            [{}, library.thing.parts],
        )
    ]
    assert len(set(looks)) == len(looks)


def test_what_only_another_of_them_holds_is_not_met(library: Any) -> None:
    value = [library.thing]  # which holds its parts
    before = looking.look(value, {})
    assert before.owned.keys() == {("a_library", "thing")}
    assert before.met.keys() == {identity(value)}


def test_a_restore_asks_whether_it_holds_the_same(library: Any) -> None:
    names = {"a": library.thing}
    state = delta.look(names, {})
    held = delta.compare(delta.look({}, {}), state, names).owned.items()
    assert delta.differs_here(held, {}) == ""
    library.thing.parts.append(2)
    assert delta.differs_here(held, {}) == "a_library.thing"
    del library.thing
    assert delta.differs_here(held, {}) == "a_library.thing"


def test_what_is_found_of_objects_that_hold_one_another_is_the_same_whichever_was_asked_for_first(library: Any) -> None:
    """As a distribution of scipy and what it has vectorized of its own methods do."""
    library.thing.parts.append(library.Base.registry)
    library.Base.registry.update(one=library.thing, other=[library.thing.parts])
    held = [library.thing, library.Base.registry, library.thing.parts]

    for values in (held, held[::-1], held[1:]):
        names = dict(zip("abc", values, strict=False))
        rows = delta.compare(delta.look({}, {}), delta.look(names, {}), names).owned
        assert len(rows) == len(values) and delta.differs_here(rows.items(), {}) == ""
    library.thing.parts[0] = 2
    assert delta.differs_here(rows.items(), {}) != ""


def test_what_holds_one_another_is_looked_at_once_each(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all models of a document of bokeh do: one look for each pair of them took seconds."""
    holders = [library.thing, library.Base.registry, library.thing.parts]
    library.thing.parts += holders
    library.Base.registry.update(enumerate(holders))
    begun, look = list[Any](), LookInside.look

    def counted(inside: LookInside, value: Any, *memo: Any) -> Any:
        begun.extend(one for one in holders if one is value and not inside._paths)
        return look(inside, value, *memo)

    monkeypatch.setattr(LookInside, "look", counted)
    assert len(looking.look(holders, {}).owned) == len(holders) == len(begun)


def test_what_a_cache_holds_is_none_of_the_content(library: Any) -> None:
    """A library fills it when it is used, as jinja2 does with the templates by which bokeh shows a figure."""
    exec("class LRUCache:\n  def __init__(self): self.kept = {}", vars(library))
    library.thing.cache = cache = library.LRUCache()
    path = ("a_library", "thing")
    before = looking.library_digest(path, {})
    cache.kept["a"] = 1
    assert looking.library_digest(path, {}) == before
    library.thing.other = 1
    assert looking.library_digest(path, {}) != before


def test_a_switch_by_which_a_library_caches_is_a_setting(library: Any) -> None:
    library.thing.use_cache = True
    before = looking.library_digest(("a_library", "thing"), {})
    library.thing.use_cache = False
    assert looking.library_digest(("a_library", "thing"), {}) != before


def test_a_colormap_is_the_same_before_it_is_used_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    colors = importlib.import_module("matplotlib.colors")
    colormaps = importlib.import_module("matplotlib.cm")
    monkeypatch.setattr(colormaps, "prism", colors.ListedColormap(["red", "blue"]))  # not used yet
    path = ("matplotlib.cm", "prism")
    before = looking.library_digest(path, {})
    colormaps.prism(0.5)
    assert before is not None and looking.library_digest(path, {}) == before


@pytest.mark.parametrize("kind", [int, Decimal])
def test_the_order_of_a_set_is_none_of_its_content(library: Any, kind: type) -> None:
    """It is another one in each kernel, as the hashes of texts and of classes are."""
    path, digests = ("a_library", "marks"), []
    for numbers in [(0, 8), (8, 0), (0, 16)]:
        library.marks = set(map(kind, numbers))
        digests.append(looking.library_digest(path, {}))
    assert digests[0] == digests[1] != digests[2]


def test_what_cannot_be_compared_is_refused(library: Any) -> None:
    library.Base.registry["g"] = numbers = (x for x in [1])
    next(numbers)
    names = {"a": library.Base.registry}
    found = delta.compare(delta.look({}, {}), delta.look(names, {}), names)
    assert len(found.refused) == 1 and "which a library owns and nobody can compare" in found.refused[0]


def test_modules_are_walked_once(library: Any, tmp_path: Path) -> None:
    first = dict(owned.known())
    library.later = {"a": 1}
    assert owned.known() == first


def test_packages_of_another_environment_are_not_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.pth` file, `pip install --target` and the dist-packages of Debian lead to such folders."""
    for folder, own in (("site-packages", False), ("dist-packages", False), ("project", True)):
        module = types.ModuleType("some_module")
        module.__file__ = str(tmp_path / folder / "some_module.py")
        monkeypatch.setitem(sys.modules, "some_module", module)
        assert is_own("some_module") is own


def test_a_module_with_a_file_that_is_made_up_is_not_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_library.ops")
    module.__file__ = "_ops.py"  # as `torch.ops` says
    monkeypatch.setitem(sys.modules, "a_library.ops", module)
    assert not is_own("a_library.ops")


def test_a_module_that_fails_when_it_is_asked_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "failing_t", Failing("failing_t"))
    monkeypatch.setitem(sys.modules, "thing_t", object())
    assert not is_own("failing_t") and not is_own("thing_t")
    assert "failing_t" not in owned.own_modules()


def test_methods_of_what_belongs_to_the_process_are_met_by_name() -> None:
    """A star import of mpmath brings hundreds of one large object, none of which is looked through for each."""
    seen = looking.look([matplotlib.rcParams.copy, matplotlib.rcParams.find_all], {})
    assert len(seen.met) < 20
    assert seen.digest != looking.look([matplotlib.rcParams.copy, matplotlib.rcParams.copy], {}).digest
    assert len(looking.look([matplotlib.RcParams(matplotlib.rcParams).copy], {}).met) > len(seen.met)


def test_no_object_of_a_module_is_asked_for_what_it_holds(library: Any) -> None:
    made = "class Asked:\n  @property\n  def __dict__(self): raise RuntimeError\nasked = Asked()\ndef work(): pass"
    exec(made, vars(library))
    assert library.work.__code__ in owners.codes(library)


def test_a_connection_that_tells_what_it_is_asked_is_not_asked_for_its_file(tmp_path: Path) -> None:
    told: list[str] = []
    path = str(tmp_path / "data.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        assert bindings.files_behind(connection) == ([path], [])
        assert not owners.goes_on(connection)
        connection.set_trace_callback(told.append)
        assert bindings.files_behind(connection) == ([], ["Connection"])
        assert owners.goes_on(connection)
    assert not told


def test_a_lock_of_a_library_says_nothing_about_what_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of xarray and dask have a random name in each process: steps with a dataset of a file ran each time."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "of_locks.py").write_text(
        "import threading, uuid\n"
        "class Named:\n"
        "    def __init__(self): self.name, self.lock = uuid.uuid4().hex, threading.Lock()\n"
        "    def acquire(self): return self.lock.acquire()\n"
        "    def release(self): return self.lock.release()\n"
        "    def locked(self): return self.lock.locked()\n"
        "    def __getstate__(self): return self.name\n"
        "    def __setstate__(self, state): self.__init__(); self.name = state\n"
        "LOCK = Named()\n"
    )
    monkeypatch.syspath_prepend(folder)
    steps = ["import of_locks, types", "file = types.SimpleNamespace(lock=of_locks.LOCK)"]
    for start in (0, 3):
        kernel = Kernel(tmp_path / "ckpt", start)
        facts = [kernel.step(number, source) for number, source in enumerate(steps, 1)]
        if start == 0:
            del sys.modules["of_locks"]
    assert [one["action"] for one in facts] == ["restored", "restored"]
    assert kernel.names["file"].lock is kernel.names["of_locks"].LOCK
    del sys.modules["of_locks"]


def test_what_a_list_or_dict_of_a_library_holds_is_the_same_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser of nltk holds a list of rules that its library has, and lists of some of them: they were copies."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "of_rules.py").write_text(
        "class Rule:\n"
        "    def __init__(self, name): self.name = name\n"
        "RULES = [Rule('a'), Rule('b')]\n"
        "BY_NAME = {'a': RULES[0], 'c': Rule('c')}\n"
        "class Parser:\n"
        "    def __init__(self, rules=RULES): self.rules, self.some = rules, [rules[1]]\n"
    )
    monkeypatch.syspath_prepend(folder)
    steps = [
        "import of_rules",
        "p = of_rules.Parser()",
        "box = {'all': of_rules.BY_NAME, 'one': of_rules.BY_NAME['c']}",
    ]
    for start in (0, 4):
        kernel = Kernel(tmp_path / "ckpt", start)
        facts = [kernel.step(number, source) for number, source in enumerate(steps, 1)]
        library, p, box = map(kernel.names.__getitem__, ("of_rules", "p", "box"))
        assert p.rules is library.RULES and p.some[0] is library.RULES[1]
        assert box["all"] is library.BY_NAME and box["one"] is library.BY_NAME["c"]
        del sys.modules["of_rules"]
    assert [one["action"] for one in facts] == ["restored"] * 3


def test_modules_are_gone_through_once_where_one_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "way_gone", types.ModuleType("way_gone"))
    walked: dict[str, Any] = {}
    assert [name for name, _ in owned.new_modules(walked)] == list(walked) == list(sys.modules)
    there = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", there)  # it stands where the other one stood, as with `%run`
    monkeypatch.delitem(sys.modules, "way_gone")
    assert dict(owned.new_modules(walked)) == {"__main__": there}
    assert list(walked) == list(sys.modules)  # who sees that the last one is the same need not look at the others


def test_where_an_object_is_found_is_not_where_one_was_that_is_gone_and_had_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def put(name: str, **space: object) -> None:
        monkeypatch.setitem(sys.modules, name, module := types.ModuleType(name))
        vars(module).update(space)
        owned.known()

    value: list[int] = []
    put("way_gone", there=value)
    assert owned.known()[identity(value)] == ("way_gone", "there")
    monkeypatch.delitem(sys.modules, "way_gone")
    put("way_later", here=value)  # as an object that was made where the other one had been
    assert owned.known()[identity(value)] == ("way_later", "here")
    put("way_last", too=value)
    assert owned.known()[identity(value)] == ("way_later", "here")


def test_what_a_package_has_of_a_module_that_nobody_has_loaded_yet_can_be_imported() -> None:
    code = "import sys, numpy as np; from ckpt_magic.values.pickles.references import importable as ask\n"
    code += "assert 'numpy.rec' not in sys.modules and ask(np.recarray) and np.rec.recarray is np.recarray"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
