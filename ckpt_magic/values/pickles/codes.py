"""Code objects as calls that rebuild them, on this Python and on others."""

from __future__ import annotations
import __future__

import importlib
import importlib.util
import linecache
import marshal
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from ckpt_magic.values.pickles.forms import Form
from ckpt_magic.values.pickles.parts import plain_qualname

# --- the expressions that a reader evaluates; builtins only, and text, since any Python version must compile them ---
_ONLY_AST: Final = 0x400  # ast.PyCF_ONLY_AST
_SAME: Final = "__import__('importlib.util').util.MAGIC_NUMBER == magic"

# In 3.12 list, set and dict comprehensions lost their own scope: names inside them are compared without it.
_PLAIN: Final = "__import__('re').sub(r'<(?:list|set|dict)comp>[.]', '', {})"

# Every code object of a cell, outermost first; nothing on the Python that wrote the file, which has them marshalled.
_COMPILED: Final = f"""lambda magic, source, filename, flags: (
    lambda walk: [] if {_SAME} else walk(walk, compile(source, filename, 'exec', flags, True)))(
    lambda walk, code: [code] + [
        inner for const in code.co_consts if hasattr(const, 'co_consts') for inner in walk(walk, const)])"""

# The same for a cell that IPython ran, one statement after another: what a cell imports is then called in another way.
_COMPILED_IN_PARTS: Final = f"""lambda magic, source, filename, flags: (
    lambda walk: [] if {_SAME} else [code
        for one in compile(source, filename, 'exec', flags | {_ONLY_AST}, True).body
        for code in walk(walk, compile(__import__('ast').Module([one], []), filename, 'exec', flags, True))])(
    lambda walk, code: [code] + [
        inner for const in code.co_consts if hasattr(const, 'co_consts') for inner in walk(walk, const)])"""

# The same for an importable module, for functions that its functions made: the code of the module that is there.
_INSTALLED: Final = f"""lambda magic, name: (
    lambda walk: [] if {_SAME} else walk(
        walk, __import__('importlib.util').util.find_spec(name).loader.get_code(name)))(
    lambda walk, code: [code] + [
        inner for const in code.co_consts if hasattr(const, 'co_consts') for inner in walk(walk, const)])"""

# One code object: the marshalled one on the Python that wrote it (on another it would crash the interpreter), else
# the one at its place in the compiled source, else one that says why it is not there.
_LOADED: Final = f"""lambda magic, data, codes, qualname, line, index, free, written_by: (
    __import__('marshal').loads(data) if {_SAME} else ([
        code for code in codes if {_PLAIN.format("code.co_qualname")} == qualname
        and line in (0, code.co_firstlineno) and len(code.co_freevars) == free][index:index + 1] or [
        code for code in compile('def made(' + ', '.join('v%d' % i for i in range(free)) + '):' + chr(10)
            + ' def stub(*args, **kwargs):' + chr(10)
            + '  (' + ''.join('v%d, ' % i for i in range(free)) + ')' + chr(10)
            + '  raise RuntimeError(' + repr('`' + qualname + '` was written by Python ' + written_by
            + ' without its source and cannot run on another version; run the step again') + ')',
            '<ckpt_magic>', 'exec').co_consts[0].co_consts if hasattr(code, 'co_consts')])[0])"""

# The writer checks its own work with the reader's expressions.
_compiled: Final = [(text, eval(text)) for text in (_COMPILED, _COMPILED_IN_PARTS)]  # noqa: S307

_installed: Final = eval(_INSTALLED)  # noqa: S307
_Way = tuple[Any, list[types.CodeType]]  # a form for code objects, and these
_TOP_LEVEL_AWAIT: Final = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, which IPython's cells are compiled with
_MAGIC: Final = importlib.util.MAGIC_NUMBER
_PYTHON: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"


def _marshalled(code: types.CodeType) -> bytes:
    """The same bytes however often code ran."""
    try:
        return marshal.dumps(code, 2)  # this version has no references, of which there are more once code ran
    except ValueError:  # `x[1:]` holds a slice from Python 3.14 on, which only the newest version knows
        return marshal.dumps(marshal.loads(marshal.dumps(code)))  # of a copy, which nothing refers to


class Codes:
    """The code objects of one pickle: marshalled for this Python, and where another one compiles the same.

    Attributes
    ----------
    sources
        A form for the texts that readers are given, by file name.
    """

    def __init__(self, *, with_sources: bool) -> None:
        self.sources = Form(dict)
        self._with_sources = with_sources
        self._forms: dict[Any, Any] = {}
        self._codes: dict[tuple[str, int], tuple[list[_Way], Iterator[_Way]]] = {}
        self._installed: dict[str, str] = {}  # file to module
        self._loaded = Form(eval, _LOADED, {})

    def note_installed(self, module: types.ModuleType) -> None:
        """Remember that code of this module's file is compiled by importing it."""
        if isinstance(file := getattr(module, "__file__", None), str):
            self._installed[file] = module.__name__

    def reduced(self, code: types.CodeType) -> Any:
        """Reduce a code object: marshalled for this Python, with its place in the source for others."""
        codes, line, index = self._place(code)
        free = len(code.co_freevars)
        return self._loaded, (_MAGIC, _marshalled(code), codes, plain_qualname(code), line, index, free, _PYTHON)

    def _place(self, code: types.CodeType) -> tuple[Any, int, int]:
        """Where a reader compiles the same code: a form for a file's code objects, the line, the index among equals."""
        flags = code.co_flags & __future__.annotations.compiler_flag | _TOP_LEVEL_AWAIT
        key = code.co_filename, flags
        if not self._with_sources:
            return (), 0, 0
        # In a module of another version the function stands on another line; there its name has to do.
        line = 0 if code.co_filename in self._installed else code.co_firstlineno
        place = plain_qualname(code), len(code.co_freevars)
        for form, codes in self._compiled(*key):
            named = (c for c in codes if (plain_qualname(c), len(c.co_freevars)) == place)
            for index, candidate in enumerate(c for c in named if line in (0, c.co_firstlineno)):
                if candidate == code:
                    return form, line, index
        return (), 0, 0

    def _compiled(self, filename: str, flags: int) -> Iterator[_Way]:
        """The code objects of a file, and forms for them; compiled in another way only if they are asked for."""
        key = filename, flags
        if key not in self._codes:
            installed = self._installed.get(filename)
            ways = self._compiled_source(*key) if installed is None else iter([self._installed_code(installed)])
            self._codes[key] = [], ways
        found, ways = self._codes[key]
        yield from found
        for way in ways:
            found.append(way)
            yield way

    def _installed_code(self, module: str) -> tuple[Any, list[types.CodeType]]:
        try:
            codes = _installed(b"", module)
        except (AttributeError, ImportError, ValueError, TypeError):  # a module without a loader, or without code
            return (), []
        return Form(self._forms.setdefault("installed", Form(eval, _INSTALLED, {})), _MAGIC, module), codes

    def source(self, filename: str) -> Form | None:
        """The text of a file, for readers that do not have it; none if it is not known."""
        if ("source", filename) not in self._forms:
            text = "".join(linecache.getlines(filename))
            self._forms["source", filename] = Form(dict.setdefault, self.sources, filename, text) if text else None
        return typing.cast("Form | None", self._forms["source", filename])

    def _compiled_source(self, filename: str, flags: int) -> Iterator[_Way]:
        source = "".join(linecache.getlines(filename))
        for text, compiled in _compiled if source else ():
            try:
                codes = compiled(b"", source, filename, flags)
            except (SyntaxError, ValueError):  # not Python, or a file that was changed since
                return
            made = self._forms.setdefault(text, Form(eval, text, {}))
            yield Form(made, _MAGIC, self.source(filename), filename, flags), codes
