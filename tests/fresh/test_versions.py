"""Values that were saved with another version of a package than the one that is here: the banner names it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_magic.steps import record
from tests.fresh import project as projects

CELLS = [(None, "import ckpt_maker"), (1, "one = ckpt_maker.make()"), (2, "pair = [one, one]")]
PACKAGES = {
    "ckpt_things": "__version__ = '1.0'\nclass Thing:\n    pass\n",
    "ckpt_maker": "__version__ = '1.0'\nfrom ckpt_things import Thing\ndef make():\n    return Thing()\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (path := tmp_path / "project").mkdir()
    for name, text in PACKAGES.items():
        package = tmp_path / "site-packages" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(text)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(path)
    monkeypatch.syspath_prepend(str(package.parent))
    assert projects.play(path, CELLS, "none").steps == {1, 2}
    yield path
    projects.forget_modules(path)


def upgrade(project: Path) -> str:
    module = project.parent / "site-packages" / "ckpt_things" / "__init__.py"
    module.write_text(PACKAGES["ckpt_things"].replace("1.0", "2.0.1"))
    return "ckpt_things was 1.0, is 2.0.1"


def test_auto_names_the_versions_of_the_values_that_it_restores(project: Path) -> None:
    assert projects.play(project, CELLS, "auto").facts[1]["notes"] == []
    line = upgrade(project)

    found = projects.play(project, CELLS, "auto")

    assert found.steps == {2}  # which used the value, so that it is stale
    assert found.facts[1]["notes"] == [line] and found.facts[2]["reason"] == line


def test_a_number_names_the_versions_once(project: Path) -> None:
    line = upgrade(project)

    found = projects.play(project, CELLS, 3)

    assert found.steps == set()
    assert [found.facts[step]["notes"] for step in (1, 2)] == [[line], [f"stale: {line}"]]


@pytest.mark.parametrize(
    ("then", "here", "same"),
    [
        ("2.5.1+cu124", "2.5.1", True),
        ("4.10.0", "4.10.0.84", True),
        ("v1.9.0", "1.9.0", True),
        ("2.0.0-beta.1", "2.0.0b1", True),
        ("2.0.0-beta.1", "2.0.0b2", False),
        ("2.0.alpha", "2.0a0", True),
        ("2.0.dev3", "2.0.dev3", True),
        ("2.0.dev3", "2.0", False),
        ("2.0rc1", "2.0", False),
        ("1.2.0", "1.2", True),
        ("1.20", "1.2", False),
        ("2.0.0.dev3", "2.0.dev3", True),
        ("1.0.0.1", "1.1", False),
        ("1.0.5", "1.5", False),
        ("1.0", "1.01", False),
        ("2026.09.1", "2026.9.1", True),
        ("2026.90.1", "2026.9.1", False),
        ("1.0.10", "1.0.1", False),
        ("2.5.1", "2.5.0", False),
        ("2.5.1+cu124", "2.5.1+cpu", False),
    ],
)
def test_what_is_not_loaded_says_its_version_in_other_words(then: str, here: str, same: bool) -> None:
    assert record.version_as_then("no_such_module", then, here) == (then if same else here)
    assert record.version_as_then("pytest", then, here) == here


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for folder in (tmp_path / "site-packages", tmp_path / "project"):
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path / "project")
    forget(tmp_path / "project")
    yield tmp_path / "site-packages"
    forget(tmp_path / "project")


def forget(project: Path) -> None:
    """Be a new kernel."""
    projects.forget_modules(project)
    record._installed_version.cache_clear()


@pytest.mark.parametrize(
    "texts",
    [
        {"__init__.py": "__version__ = '1.0'\n"},
        {
            "__init__.py": "from ckpt_copied._version import version as __version__\n",
            "_version.py": "version: str = '1.0'  # made by a tool\n",
        },
    ],
)
@pytest.mark.parametrize(
    "cells",
    [
        [(1, "def use():\n    import ckpt_copied\n    return ckpt_copied.__version__"), (2, "one = use()")],
        [(None, "def use():\n    from ckpt_copied import __version__\n    return __version__"), (2, "one = use()")],
        [(1, "import ckpt_user"), (2, "one = ckpt_user.use()")],
        [(1, "from ckpt_user import *"), (2, "one = use_later()")],
    ],
    ids=["function", "unmarked", "module", "in a module"],
)
def test_what_functions_and_modules_of_the_user_import_counts_though_it_was_copied_and_is_not_loaded(
    packages: Path, cells: projects.Cells, texts: dict[str, str]
) -> None:
    project = packages.parent / "project"
    (project / "ckpt_user.py").write_text(
        "import ckpt_copied\ndef use():\n    return ckpt_copied.__version__\n"
        "def use_later():\n    from ckpt_copied import __version__\n    return __version__\n"
    )
    (packages / "ckpt_copied").mkdir()
    for name, text in texts.items():
        (packages / "ckpt_copied" / name).write_text(text)
    projects.play(project, cells, "none")

    forget(project)
    assert projects.play(project, cells, "auto").steps == set()

    forget(project)
    for name, text in texts.items():
        (packages / "ckpt_copied" / name).write_text(text.replace("1.0", "2.0"))
    found = projects.play(project, cells, "auto")
    assert found.facts[2]["reason"] == "ckpt_copied was 1.0, is 2.0"
    assert found.names["one"] == "2.0"


def test_what_code_imports_by_name_counts(packages: Path) -> None:
    (packages / "ckpt_copied.py").write_text("__version__ = '1.0'\n")
    cells = [(1, "import importlib\none = importlib.import_module('ckpt_copied').__version__")]

    projects.play(packages.parent / "project", cells, "none")

    (file,) = (packages.parent / "project" / ".ckpt").glob("*.pkl")
    assert b'"ckpt_copied":"1.0"' in file.read_bytes()


def test_what_a_method_of_a_script_imports_in_its_body_counts(packages: Path) -> None:
    project, copied = packages.parent / "project", packages / "ckpt_copied.py"
    (project / "ckpt_script.py").write_text(
        "from ckpt_magic import Checkpoint\nclass Steps(Checkpoint):\n"
        "    def step_1(self, outputs):\n        import ckpt_copied\n        return ckpt_copied.__version__\n"
    )

    def ran(version: str) -> str:
        forget(project)
        copied.write_text(f"__version__ = '{version}'\n")
        found: str = importlib.import_module("ckpt_script").Steps("m", project / "ck").run("auto")[1]
        return found

    assert [ran("1.0"), ran("1.0"), ran("2.0")] == ["1.0", "1.0", "2.0"]


def test_a_package_that_only_brings_another_one_is_not_the_module_of_its_name(packages: Path) -> None:
    """`pip install bs4` installs beautifulsoup4, whose module bs4 is: steps with it ran in each new kernel."""
    (packages / "ckpt_soup").mkdir()
    (packages / "ckpt_soup" / "__init__.py").write_text("__version__ = '4.15.0'\nvalue = 1\n")
    for name, version, files in (("ckpt_soup", "0.0.2", ""), ("ckpt_beautiful", "4.15.0", "ckpt_soup/__init__.py,,\n")):
        (info := packages / f"{name}-{version}.dist-info").mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"{files}{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    record._distributions.cache_clear()
    cells: projects.Cells = [(1, "import ckpt_soup"), (2, "x = ckpt_soup.value")]
    projects.play(packages.parent / "project", cells, "none")
    del sys.modules["ckpt_soup"]
    forget(packages.parent / "project")
    assert projects.play(packages.parent / "project", cells, "auto").steps == set()
    del sys.modules["ckpt_soup"]
    record._distributions.cache_clear()
