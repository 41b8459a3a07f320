"""What code may read or set of its surroundings: the environment, options of libraries, attributes of modules.

A part of the surroundings is called by its source and name: `environ|MODE`, `pandas|display.max_rows`,
`setting|cwd`, `place|math:tau`. Sources are those of `ambient.changes`, and `place`. Most code never names what it
reads of them: `read_csv("x.csv")` rests on the working directory. Where it cannot be told, the code may read it.
"""

from __future__ import annotations

import ast
import re
import signal
import sys
import types
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from ckpt_magic.values import ambient, owned, owners, shell, spots
from ckpt_magic.values.code import effects, reaching, source, vocabulary
from ckpt_magic.values.code.source import Names
from ckpt_magic.values.code.vocabulary import Words
from ckpt_magic.values.pickles import references

PLACE: Final = "place"


def part_of(source: str, name: str) -> str:
    """Call a part of the surroundings."""
    return f"{source}|{name}"


def split(part: str) -> tuple[str, str]:
    """Source and name of a part."""
    source, _, name = part.partition("|")
    return source, name


@dataclass(frozen=True, slots=True)
class Use:
    """What a piece of code uses.

    Attributes
    ----------
    words
        Its identifiers, those of the notebook's functions that it reaches included.
    libraries
        Top-level packages of what it reads and imports.
    imports
        Whether it imports anything.
    holds
        Whether it reads containers, or objects of the notebook's own classes: who knows of what.
    is_open
        It may do what is not written in it (`exec`, a magic).
    shown
        What it displayed: `text`, `errors`, `image`.
    """

    words: Words
    libraries: frozenset[str] = frozenset()
    imports: bool = False
    holds: bool = False
    is_open: bool = False
    shown: frozenset[str] = frozenset()

    def __or__(self, other: Use) -> Use:
        return Use(
            self.words | other.words,
            self.libraries | other.libraries,
            self.imports or other.imports,
            self.holds or other.holds,
            self.is_open or other.is_open,
            self.shown | other.shown,
        )

    def having_shown(self, outputs: Iterable[Mapping[str, Any]]) -> Use:
        """The same, with what it displayed as nbformat outputs."""
        return replace(self, shown=frozenset(_kinds(outputs)))

    def names(self, part: str) -> bool:
        """Whether the code names a part: what it holds matters then, wherever that came from."""
        source, name = split(part)
        words = self.words.read
        if source == "environ":
            keys = self.words.keys
            return keys is None or name in keys or name in words
        if part == part_of(ambient.SETTING, "cwd"):
            return not words.isdisjoint(_CWD)
        if part == part_of(ambient.LIST, "sys.path"):
            return words >= {"sys", "path"}
        if part == part_of(ambient.LIST, "warning filters"):
            return any("filter" in word or "warn" in word for word in words)
        if source in _DRAWING:
            return (
                source == "matplotlib" and name in words
            )  # parts of the names are words of other things: `lines`, `b`
        if source == PLACE:
            return _last_word(name) in words
        if source == ambient.SETTING and not words.isdisjoint(_GETTERS.get(name, ())):
            return True
        return not words.isdisjoint({name, *(word for word in re.split(r"\W+", name) if len(word) > 2)} - _COMMON)

    def may_read(self, part: str, *, is_added: bool = False) -> bool:
        """Whether the result of the code may rest on a part; `is_added`: an attribute that its owner had not before."""
        source, name = split(part)
        if self.is_open or self.names(part):
            return True
        if source == PLACE:
            return self._may_read_place(name, is_added)
        if source == "shell" and (
            name in _OF_MAGICS or name.startswith(("alias ", "%alias ", "extension ", "config "))
        ):
            return False  # only a magic asks for it, and code with magics is open
        if source in _TEXT or name.startswith(("display.", "print option ")):
            shows = "text" in self.shown or self._has(_SHOWING)
            return shows and (source == "shell" or self.holds or bool(self.libraries - sys.stdlib_module_names))
        if source in _DRAWING:
            return self._draws
        if source == "asyncio":
            return source in self.libraries
        if source in _LIBRARIES:
            return source in self.libraries or bool(self._strange)
        if source == "logging":
            return bool(self.shown) or any("log" in word for word in self.words.read)
        if source == "environ" and self._is_of_library(name):
            return True
        if source == "environ" or part == part_of(ambient.SETTING, "cwd"):
            return self._reaches_out
        if source == ambient.LIST:
            return (self.imports or bool(self._strange)) if name == "sys.path" else self._warns
        if source in _DECIMAL:
            return self.holds or bool(self._strange) or any("decimal" in word.lower() for word in self.words.read)
        if source == "numpy errors":
            return self.holds or bool(self.libraries - sys.stdlib_module_names)
        if name == "recursion limit" and self._has(_CATCHING):
            return True
        return name not in _OF_THE_INTERPRETER or any(name.replace(" ", "") in word for word in self.words.read)

    def rests_on(self) -> list[str]:
        """What stands for the parts of the surroundings that the code may read; see `effects.SURROUNDINGS`."""
        of_topics = {
            "cwd": [part_of(ambient.SETTING, "cwd")],
            "path": [part_of(ambient.LIST, "sys.path")],
            "warnings": [part_of(ambient.LIST, "warning filters")],
            "logging": ["logging|"],
            "decimal": [part_of(one, "") for one in _DECIMAL],
            "libraries": [part_of(library, "") for library in _LIBRARIES],
            "drawing": [part_of(library, "") for library in _DRAWING],
            "argv": [part_of(PLACE, "sys:argv")],
            "loops": ["asyncio|"],
            "text": [*(part_of(one, "") for one in _TEXT), part_of("pandas", "display.")],
            "figures": [part_of(PLACE, "@open figures")] if shell.drawing() is not None else [],
        }
        found = {topic for topic in effects.TOPICS if any(map(self.may_read, of_topics.get(topic, ["|"])))}
        found |= {f"of {library}" for library in self.libraries - sys.stdlib_module_names}
        keys = self.words.keys
        if self.is_open or keys is None or self._reaches_out:
            found.add("environ *")
        else:
            names = {*keys, *filter(str.isupper, self.words.read), *(f"{one.upper()}_" for one in self.libraries)}
            found |= {f"environ {name}" for name in (*names, "?")} if names else set()
        return sorted(f"<surroundings {one}>" for one in found)

    def may_set(self, part: str) -> bool:
        """Whether the code itself may have set a part, and not only an import of it."""
        source, name = split(part)
        if source == "environ" and name.startswith("CKPT_"):
            return False  # ours
        if self.is_open or any(owned.is_own(library) for library in self.libraries):
            return True
        if source == "environ":
            return self._is_of_library(name) or any("env" in word.lower() for word in self.words.read)
        if source == ambient.LIST:
            return self._has(_PATH) if name == "sys.path" else self.names(part)
        return source != "logging" or any("log" in word.lower() for word in self.words.read)

    def _may_read_place(self, place: str, is_added: bool) -> bool:
        if place.startswith(("@handlers", "@filters")):
            return bool(self.shown) or any("log" in word for word in self.words.read)
        if place == "@open figures":
            return self._draws
        if place == "@started patches":  # what they set is seen where it is
            return any("patch" in word or word == "stopall" for word in self.words.read)
        if place.startswith(spots.TREE):  # who uses the class has it among the evidence
            return False
        if place.startswith("@what "):
            return bool(self._strange)
        if place.startswith("@signal"):  # of an interrupt the kernel itself has one while a cell runs
            return place != f"@signal {signal.SIGINT:d}" and self._has(_SIGNALLING)
        if place[0] == "@":
            return not place.startswith(("@trace", "@profile", "@functions at exit"))
        library = place.partition(":")[0].partition(".")[0]
        if library in self.libraries:
            return owned.is_own(place) or not is_added
        if place == "sys:argv":
            return bool(self._strange | self.libraries & _PARSERS)
        return bool(self._strange) and (owned.is_own(place) or self.is_behind_modules(place))

    def is_behind_modules(self, place: str) -> bool:
        """Whether a place lies in a library that modules of the user's own use, of which the code uses any."""
        library = place.partition(":")[0].partition(".")[0]
        return any(map(owned.is_own, self.libraries)) and _is_used_by_own_modules(library)

    def _is_of_library(self, name: str) -> bool:
        """Whether a variable is a setting of a library, as POLARS_FMT_MAX_ROWS: nobody sees that it asks for it."""
        return name.startswith(tuple(f"{library.upper()}_" for library in self.libraries))

    def _has(self, words: Set[str]) -> bool:
        return not self.words.read.isdisjoint(words)

    @property
    def _strange(self) -> frozenset[str]:
        """Libraries of which nobody knows what they read."""
        return self.libraries - sys.stdlib_module_names - _CALM

    @property
    def _draws(self) -> bool:
        if "image" in self.shown or "matplotlib" in self.libraries or self._strange:
            return True
        return any(part in word for word in self.words.read for part in ("plot", "hist", "fig"))

    @property
    def _warns(self) -> bool:
        return "errors" in self.shown or any("warn" in word for word in self.words.read)

    @property
    def _reaches_out(self) -> bool:
        """Whether the code opens files, starts programs, or uses a library that may."""
        if self._strange or self._has(_FILES):
            return True
        return any(word.startswith(_READING) for word in self.words.read)


def _is_used_by_own_modules(library: str) -> bool:
    """Whether a module of the user's own has the library, or something of it, among its globals."""
    spaces = (vars(sys.modules[name]).values() for name in owned.own_modules() if name in sys.modules)
    return any(owners.module_of(one).partition(".")[0] == library for space in spaces for one in list(space))


@dataclass(frozen=True, slots=True)
class Text:
    """What the text of a cell tells of what it does to its surroundings.

    Attributes
    ----------
    loads
        Attributes and keys whose values it uses, and what it calls for a value.
    words
        Its identifiers, and the texts in it.
    stores
        Names, attributes and keys that it sets.
    constants
        Values that it spells out.
    """

    loads: frozenset[str]
    words: frozenset[str]
    stores: frozenset[str]
    constants: tuple[Any, ...]

    def asks(self, part: str) -> bool:
        """Whether the code uses the value of a part; what it asks of the environment is among its evidence."""
        source, name = split(part)
        if source in ("environ", ambient.LIST):
            return False
        getters = _GETTERS.get(name if source == ambient.SETTING else source)
        return not self.loads.isdisjoint({name, _last_word(name)} if getters is None else getters)

    def says(self, part: str, value: Any) -> bool:
        """Whether the code itself gives a part this value, so that it does not matter which one it had."""
        source, name = split(part)
        if source == ambient.LIST:
            return False  # it puts something in
        if part == part_of(ambient.SETTING, "cwd"):
            return value in self.constants  # else it may be seen from where the process was
        if source == PLACE:
            return _last_word(name) in self.stores  # else it is changed in place
        if source == ambient.SETTING:
            return any(name.replace(" ", "") in word for word in self.words)
        return source == "logging" or not self.words.isdisjoint({name, _last_word(name)})

    def may_set(self, part: str) -> bool:
        """Whether the code that names a part may be code that sets it."""
        return part != part_of(ambient.LIST, "sys.path") or not _ADDING.isdisjoint(self.words) or "path" in self.stores


def text_of(tree: ast.Module | None) -> Text:
    """Read a cell; of the functions that it calls nothing is read."""
    loads, words, stores, constants = set[str](), set[str](), set[str](), list[Any]()
    passed = set[int]()  # nodes whose value goes nowhere, or is only changed
    for node in ast.walk(tree or ast.Module([], [])):  # outer ones first
        inside = [one.value for one in ast.iter_child_nodes(node) if isinstance(one, ast.Constant)]
        texts = {one for one in inside if isinstance(one, str)}
        is_used = id(node) not in passed
        if isinstance(node, ast.Expr):
            passed.add(id(node.value))
        elif isinstance(node, ast.Call):
            if not is_used:
                passed |= {id(node.func), id(getattr(node.func, "value", None))}
            if getattr(node.func, "id", "") == "setattr":
                stores |= texts
            elif is_used:
                loads |= texts
        elif isinstance(node, ast.AugAssign):
            loads |= _told(node.target)
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Name):
            if not isinstance(node.ctx, ast.Load):
                passed.add(id(getattr(node, "value", None)))
                stores |= _told(node)
            elif is_used:
                loads |= _told(node)
            words |= _told(node)
        elif isinstance(node, ast.keyword) and node.arg:
            words.add(node.arg)
        words |= texts
        constants += inside
    return Text(frozenset(loads), frozenset(words), frozenset(stores), tuple(constants))


def _told(node: ast.AST) -> set[str]:
    """The name, attribute or key that a node is."""
    if isinstance(node, ast.Subscript):
        key = getattr(node.slice, "value", None)
        return {key} if isinstance(key, str) else set()
    found = getattr(node, "attr", None) or getattr(node, "id", None)
    return {found} if found else set()


def _last_word(name: str) -> str:
    return re.split(r"[.: ]", name)[-1]


def use_of(
    names: Names, words: Words, reached: Set[str], namespace: Mapping[str, Any], *, is_open: bool = False
) -> Use:
    """What code uses that has these names and words and reaches these names."""
    libraries = {name.partition(".")[0] for name in names.imports}
    holds, called = False, set[str]()  # by whatever name
    for name in reached - names.renews:
        if name in namespace:
            value = namespace[name]
            module = owners.module_of(value)
            libraries.add(module.partition(".")[0])
            if type(value) in _CALLED:
                called.add(value.__name__)
            holds = holds or (module in ("builtins", "__main__") and type(value) not in references.ATOMS)
    is_open = is_open or names.dynamic or source.reaches_all(reached)
    words = replace(words, read=words.read | called)
    return Use(words, frozenset(libraries - _NOBODYS), bool(names.imports), holds, is_open)


_CALLED: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def use_of_tree(
    tree: ast.Module | None, namespace: Mapping[str, Any], shown: Iterable[str] = (), also: Iterable[str] = ()
) -> Use:
    """What the code of a step uses that displayed these kinds and reads names `also`; all, if it is not known."""
    if tree is None:
        return Use(Words(), is_open=True)
    names = source.names(tree)
    found = reaching.reach(names.reads.union(also), namespace)
    use = use_of(names, vocabulary.words(tree) | reaching.words_of(found.codes), found.names, namespace)
    return replace(use, shown=frozenset(shown))


def _kinds(outputs: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for output in outputs:
        if output.get("output_type") == "stream":
            yield "errors" if output.get("name") == "stderr" else "text"
        else:
            yield "image" if any(kind.startswith("image/") for kind in output.get("data", ())) else "text"


_GETTERS: Final[Mapping[str, Set[str]]] = {
    "cwd": {"getcwd", "cwd"},
    "recursion limit": {"getrecursionlimit"},
    "locale": {"getlocale", "setlocale", "localeconv"},
    "time zone": {"tzname", "timezone"},
    "switch interval": {"getswitchinterval"},
    "digits of an int": {"get_int_max_str_digits"},
    "garbage collection": {"isenabled"},
    "garbage collection thresholds": {"get_threshold"},
    "socket timeout": {"getdefaulttimeout"},
    "numpy errors": {"geterr", "seterr", "geterrcall", "seterrcall"},
    "numpy printing": {"get_printoptions"},
    "logging": {"level", "getEffectiveLevel", "isEnabledFor", "hasHandlers"},
}
"""What is asked for the value of a setting, or of one of those of a library, if not its name."""
_NOBODYS: Final = owned.MAIN | {"", "builtins", "ckpt_magic"}
_CALM: Final = frozenset(
    {"numpy", "pandas", "scipy", "pyarrow", "polars", "matplotlib", "sklearn", "dateutil", "pytz", "IPython"}
)
"""Libraries that read files and the environment only when they are asked to."""
_LIBRARIES: Final = frozenset({"pandas", "sklearn", "polars", "torch", "jax"})
_TEXT: Final = frozenset({"numpy printing", "shell"})
_DECIMAL: Final = frozenset({"decimal", "decimal defaults"})
_DRAWING: Final = frozenset({"matplotlib", "matplotlib colors", "inline"})
_OF_MAGICS: Final = frozenset({"autoreload", "pdb", "xmode", "colors", "hidden", "use_jedi"})
_PARSERS: Final = frozenset({"argparse", "getopt", "optparse", "fileinput", "unittest"})
_CWD: Final = frozenset({"getcwd", "cwd", "abspath", "realpath", "resolve", "absolute", "chdir", "curdir"})
_PATH: Final = frozenset({"path", "addsitedir", "site"})
_ADDING: Final = frozenset({"append", "insert", "extend", "addsitedir"})
_FILES: Final = frozenset(
    {"open", "Path", "PurePath", "glob", "rglob", "iglob", "listdir", "scandir", "walk", "expandvars", "expanduser"}
    | {"subprocess", "Popen", "system", "popen", "getoutput", "check_output", "connect", "urlopen", "memmap", "exists"}
    | {"shutil", "tempfile", "fromfile", "genfromtxt", "tofile", "savefig", "imread", "imsave"}
)
_READING: Final = ("read_", "to_", "scan_", "write_", "load", "save", "fetch")
_SHOWING: Final = frozenset(
    {"str", "repr", "format", "print", "display", "to_string", "to_html", "to_latex", "to_markdown", "info"}
    | {"array2string", "array_str", "array_repr", "get_option", "option_context", "options", "get_printoptions"}
)
_OF_THE_INTERPRETER: Final = frozenset(
    {"recursion limit", "switch interval", "garbage collection", "garbage collection thresholds"}
)
_SIGNALLING: Final = frozenset({"raise_signal", "kill", "killpg", "alarm", "setitimer", "pause", "getsignal"})
_CATCHING: Final = frozenset({"RecursionError", "RuntimeError", "Exception", "BaseException", "suppress"})
_COMMON: Final = frozenset({"option", "options", "set", "get", "display", "figure", "default", "name", "size", "path"})
