"""What a notebook set in IPython itself: how results are shown, extensions, aliases; and the inline figures.

IPython is looked at as any other library, through `get_ipython`, and only where it runs. Code that a cell registered
(a magic, a callback, a formatter) is saved as variables are, and registered again; so is code that a library made for
the cell (`sympy.init_printing`). What a library has at its top level it registers by itself; a magic that it registers
only when it is called (`ipytest.autoconfig`) is not there after a restore: such a step runs again.
"""

from __future__ import annotations

import functools
import importlib
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

INLINE: Final = "matplotlib_inline.backend_inline"

_TRAITS: Final = ("ast_node_interactivity", "autocall", "automagic")
_PLAIN_TEXT: Final = ("pprint", "float_precision", "max_seq_length", "max_width")
_PLAIN: Final = (bool, int, float, str, list, tuple, dict)
_WITHOUT_WINDOWS: Final = frozenset({"agg", "cairo", "nbagg", "notebook", "pdf", "pgf", "ps", "svg", "template"})
_HOSTS: Final = ("IPython.", "ckpt_magic.")
_IPYTHONS: Final = frozenset({"In", "Out", "exit", "get_ipython", "open", "quit"})
_FIGURES: Final = ("image/png", "image/jpeg", "image/svg+xml", "application/pdf")


def running() -> Any:
    """The shell of this process; None where no IPython runs."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find() if find is not None else None


def without_history(space: dict[str, Any]) -> dict[str, Any]:
    """A copy of the notebook's globals without the history that IPython goes on writing into it; else the same dict."""
    history = getattr(running(), "history_manager", None)
    written = [getattr(history, name, None) for name in ("input_hist_parsed", "output_hist", "dir_hist")]
    if history is None or all(one is not space.get("In") for one in written):
        return space
    return {name: value for name, value in space.items() if all(value is not one for one in written)}


def look() -> dict[str, Any] | None:
    """Read the settings of the shell; None where no IPython runs."""
    shell = running()
    if shell is None:
        return None
    plain_text = shell.display_formatter.formatters["text/plain"]
    return {
        **{name: getattr(shell, name) for name in _TRAITS},
        **{name: getattr(plain_text, name) for name in _PLAIN_TEXT if hasattr(plain_text, name)},
        "xmode": shell.InteractiveTB.mode,
        "colors": shell.colors,
        "use_jedi": getattr(shell.Completer, "use_jedi", None),
        **dict(_configured(shell)),
        "pdb": shell.call_pdb,
        **{f"alias {name}": command for name, command in shell.alias_manager.aliases},
        **dict(_magic_aliases(shell)),
        **{f"extension {name}": True for name in shell.extension_manager.loaded if name != "ckpt_magic"},
        "autoreload": _autoreload(shell),
        **_visited(shell),
        **_hidden(shell),
        "drawing": drawing(),
        **dict(_code(shell)),
    }


def write(changes: dict[str, Any]) -> None:
    """Set what `look` told; extensions are loaded."""
    shell = running()
    if shell is None:
        return
    for key, value in changes.items():
        kind, _, name = key.partition(" ")
        if key in _TRAITS:
            setattr(shell, key, value)
        elif key in _PLAIN_TEXT:
            setattr(shell.display_formatter.formatters["text/plain"], key, value)
        elif key == "colors":
            shell.run_line_magic("colors", value)
        elif key == "use_jedi":
            shell.Completer.use_jedi = value
        elif kind == "config" and value is not None:
            shell.run_line_magic("config", f"{name} = {value!r}")
        elif key == "xmode":
            shell.InteractiveTB.set_mode(mode=value)
        elif key == "pdb":
            shell.call_pdb = value
        elif kind == "alias" and value is None:
            shell.alias_manager.undefine_alias(name)
        elif kind == "alias":
            shell.alias_manager.define_alias(name, value)
        elif kind == "%alias":
            of, alias = name.split(" ")
            if value is None:
                shell.magics_manager.magics[of].pop(alias, None)
            else:
                shell.magics_manager.register_alias(alias, *value)
        elif kind == "extension" and value:
            shell.extension_manager.load_extension(name)
        elif is_registered(key) and not isinstance(value, str):  # else a library's, which is only told
            _register(shell, key, value)
    if "visited" in changes:  # where the kernel began is its own
        shell.user_ns["_dh"][1:] = map(Path, changes["visited"] or ())
    if "left" in changes:
        shell.dir_stack[:] = changes["left"] or ()
    if "drawing" in changes:
        _draw(shell, changes["drawing"])
    if changes.get("autoreload"):  # after the extension
        shell.run_line_magic("autoreload", changes["autoreload"])


def is_registered(key: str) -> bool:
    """Whether a key of `look` is about code that `write` registers as it is."""
    return key.startswith(_REGISTERED) and not key.startswith("display of all as ")


def is_taken_away(key: str, value: Any) -> bool:
    """Whether a change took away how something is displayed: nobody can tell what is used instead."""
    return value is None and key.startswith("display ")


def not_there(changes: Mapping[str, Any]) -> str | None:
    """Which magic that a step got from a library does not come with the library, nor with an extension of the step."""
    shell = running()
    if shell is None:
        return None
    brought = {key.removeprefix("extension ").partition(".")[0] for key in changes if key.startswith("extension ")}
    for key, where in changes.items():
        kind, _, name = key.partition(" magic ")
        is_told = name and isinstance(where, str) and where.partition(".")[0] not in brought
        if is_told and name not in shell.magics_manager.magics[kind]:
            return key
    return None


def _configured(shell: Any) -> Iterator[tuple[str, Any]]:
    """Options that `%config` sets and keeps here, also for what comes later, as inline figures do."""
    for section in shell.config.keys() - {"CkptMagics"}:
        for name, value in shell.config[section].items():
            if type(value) in (set, frozenset):
                yield f"config {section}.{name}", sorted(value, key=repr)
            elif type(value) in _PLAIN:
                yield f"config {section}.{name}", value


def _visited(shell: Any) -> dict[str, list[str]]:
    """Where `%cd -` goes back to, and `%popd`."""
    folders = shell.user_ns.get("_dh")
    visited = list(map(str, folders[1:])) if type(folders) is list else []
    found = {"visited": visited, "left": list(map(str, shell.dir_stack))}
    return {key: folders for key, folders in found.items() if folders}


def _hidden(shell: Any) -> dict[str, list[str]]:
    """Names that `%who` leaves out, as all that `%pylab` brings, beside IPython's own."""
    names = [name for name in shell.user_ns_hidden if name not in _IPYTHONS and not name.startswith("_")]
    return {"hidden": names} if names else {}


def hide(names: Sequence[str]) -> None:
    """Let `%who` leave out names that are bound again by now."""
    shell = running()
    if shell is not None:
        new = [name for name in names if name in shell.user_ns and name not in shell.user_ns_hidden]
        shell.user_ns_hidden.update({name: shell.user_ns[name] for name in new})  # others may have been bound anew


def drawing() -> str | frozenset[str] | None:
    """What draws figures instead of the inline backend; one with windows and their loop in a form that is refused."""
    backend = _backend()
    if not isinstance(backend, str) or backend in ("inline", f"module://{INLINE}"):
        return None
    return backend if backend.lower() in _WITHOUT_WINDOWS else frozenset([backend])


def _backend() -> Any:
    parameters = getattr(sys.modules.get("matplotlib"), "rcParams", None)
    return dict.get(parameters, "backend") if parameters is not None else None  # reading it else may choose one


def _draw(shell: Any, backend: str | None) -> None:
    if backend is None:
        shell.enable_matplotlib("inline")
    else:
        importlib.import_module("matplotlib").use(backend)


def _autoreload(shell: Any) -> str | None:
    """The mode of `%autoreload`; None where the extension is not loaded, which is as good as `off`."""
    reloader = getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
    if reloader is None or not reloader.enabled:
        return None if reloader is None else "off"
    return "complete" if getattr(reloader, "autoload_obj", False) else "all" if reloader.check_all else "explicit"


def _of_others(shell: Any) -> Sequence[tuple[str, str, Any]]:
    """The magics that are not IPython's own, and aliases, by kind and name; few are, and the tables seldom change."""
    tables = shell.magics_manager.magics
    known = _magics[0]
    if tables.keys() != known.keys() or not all(map(_are_same, tables.values(), known.values())):
        rows = [(kind, name, magic) for kind, magics in tables.items() for name, magic in magics.items()]
        found = [row for row in rows if type(row[2]).__name__ == "MagicAlias" or not _module(row[2]).startswith(_HOSTS)]
        _magics[:] = {kind: dict(magics) for kind, magics in tables.items()}, found
    return _magics[1]  # type: ignore[no-any-return]


# what the tables were, and the magics that are not IPython's
_magics: Final[list[Any]] = [{}, []]


def _are_same(table: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    return table.keys() == known.keys() and all(map(operator.is_, table.values(), known.values()))


def _magic_aliases(shell: Any) -> Iterator[tuple[str, Any]]:
    """Magics that are other names for magics (`%alias_magic`), by kind and name."""
    for kind, name, magic in _of_others(shell):
        if type(magic).__name__ == "MagicAlias":
            yield f"%alias {kind} {name}", (magic.magic_name, magic.magic_kind, magic.magic_params)


def _code(shell: Any) -> Iterator[tuple[str, Any]]:
    """Code that a notebook registered with the shell, each under a name that tells it from another."""
    for kind, name, magic in _of_others(shell):
        if _is_made_here(magic):
            yield f"{kind} magic {name}", magic
        elif not _module(magic).startswith(_HOSTS):
            yield f"{kind} magic {name}", _name(magic)  # only told, see `not_there`
    for name, magics in shell.magics_manager.registry.items():
        if _is_made_here(magics):
            yield f"magics {name}", magics
    for mime, formatter in shell.display_formatter.formatters.items():
        if not _module(formatter).startswith(_HOSTS):
            yield f"display of all as {mime}", formatter
    found: dict[str, list[Any]] = {}
    for key, *row in (*_callbacks(shell), *_printers(shell), *_transformers(shell)):
        found.setdefault(key, []).append(tuple(row))
    yield from found.items()
    if shell.custom_exceptions:
        yield "handler of exceptions", shell.CustomTB
    yield from _connections()


def _callbacks(shell: Any) -> Iterator[tuple[str, Any]]:
    for event, callbacks in shell.events.callbacks.items():
        for callback in filter(_is_made_here, callbacks):
            yield f"callback of {event}: {_name(callback)}", callback


def _printers(shell: Any) -> Iterator[tuple[str, str, Any, Any]]:
    for mime, formatter in shell.display_formatter.formatters.items():
        printers = {**_table(formatter, "type_printers"), **_table(formatter, "deferred_printers")}
        for shown, printer in printers.items():
            if _is_made_here(printer):
                by = _module(printer)
                key = f"display of {_shown(shown)} as {mime}" if by == "__main__" else f"display by {by}"
                yield key, mime, shown, printer


def _table(formatter: Any, name: str) -> Mapping[Any, Any]:
    """Printers of a formatter, if it was asked for them: what is among them depends on whether numpy is loaded then."""
    made = getattr(formatter, "_trait_values", None)
    return (getattr(formatter, name, {}) if made is None else made.get(name)) or {}


def _transformers(shell: Any) -> Iterator[tuple[str, str, Any]]:
    for where in ("ast_transformers", "input_transformers_cleanup", "input_transformers_post"):
        for transformer in filter(_is_made_here, getattr(shell, where)):
            yield f"transformer {_name(transformer)}", where, transformer


_REGISTERED: Final = (
    "callback of ",
    "line magic ",
    "cell magic ",
    "magics ",
    "display of ",
    "display by ",
    "transformer ",
)


def _register(shell: Any, key: str, value: Any) -> None:
    """Let the shell have this code under a key of `look`, and no other; None for none."""
    kind, _, magic = key.partition(" magic ")
    if magic and value is None:
        shell.magics_manager.magics[kind].pop(magic, None)
    elif magic:
        shell.register_magic_function(value, kind, magic)
    elif key.startswith("magics "):  # the object that has them, once they are there
        shell.magics_manager.registry.pop(name := key.removeprefix("magics "), None)
        shell.magics_manager.registry.update({} if value is None else {name: value})
    elif key.startswith("display"):
        for _, mime, shown, _ in [row for row in _printers(shell) if row[0] == key]:
            formatter = shell.display_formatter.formatters[mime]
            (formatter.type_printers if isinstance(shown, type) else formatter.deferred_printers).pop(shown)
        for mime, shown, printer in value or ():
            formatter = shell.display_formatter.formatters[mime]
            (formatter.type_printers if isinstance(shown, type) else formatter.deferred_printers)[shown] = printer
    elif key.startswith("callback"):
        callbacks = shell.events.callbacks[key.removeprefix("callback of ").partition(":")[0]]
        old = [callback for one, callback in _callbacks(shell) if one == key]
        callbacks[:] = _exchanged(callbacks, old, [callback for (callback,) in value or ()])
    else:
        old = [row for row in _transformers(shell) if row[0] == key]
        for where in {row[-2] for row in (*old, *(value or ()))}:
            gone, new = ([one for *_, at, one in rows if at == where] for rows in (old, value or ()))
            found = _exchanged(getattr(shell, where), gone, new)
            if where == "ast_transformers":  # not in place: the shell is going over them
                setattr(shell, where, found)
            else:
                getattr(shell, where)[:] = found


def _exchanged(items: list[Any], old: list[Any], new: list[Any]) -> list[Any]:
    """A list with other items where those were, or at its end."""
    places = [at for at, item in enumerate(items) if any(item is one for one in old)]
    at = places[0] if places else len(items)
    return [*items[:at], *new, *(item for n, item in enumerate(items[at:], at) if n not in places)]


def _connections() -> Iterator[tuple[str, Any]]:
    """What `%sql` is connected to (jupysql, ipython-sql): its library keeps that for the cells that follow."""
    module = sys.modules.get("sql.connection")
    for manager in (getattr(module, name, None) for name in ("ConnectionManager", "Connection")):
        found = getattr(manager, "connections", None)
        if isinstance(found, dict) and found:
            yield from ((f"connection {number} of %sql", one) for number, one in enumerate(found.values(), 1))
            yield "current connection of %sql", getattr(manager, "current", None)


def _is_made_here(code: Any) -> bool:
    """Tell code of the notebook, and functions that a library made for it, from what a library has at its top level."""
    if str(getattr(code, "__module__", None)).startswith(_HOSTS):  # as nearly all are
        return False
    module = _module(code)
    return module == "__main__" or "<locals>" in getattr(_inner(code), "__qualname__", "")


def _shown(kind: type | tuple[str, str]) -> str:
    """The name of a class, or of one that is not imported yet."""
    name = ".".join(kind) if isinstance(kind, tuple) else f"{kind.__module__}.{kind.__qualname__}"
    return name.removeprefix("__main__.")


def _inner(code: Any) -> Any:
    while isinstance(code, functools.partial):
        code = code.func
    return code


def _module(code: Any) -> str:
    code = _inner(code)
    return getattr(code, "__module__", None) or type(code).__module__


def _name(code: Any) -> str:
    return f"{getattr(code, '__module__', '')}.{getattr(code, '__qualname__', type(code).__qualname__)}"


# --- figures shown below the cell ---


def look_inline() -> dict[str, Any] | None:
    """How the inline backend shows figures; None until the kernel draws the first one."""
    shell = running()
    config = getattr(sys.modules.get("matplotlib_inline.config"), "InlineBackend", None)
    if INLINE not in sys.modules or shell is None or config is None:
        return None
    formats, arguments = _formats(shell)
    closes = config.instance().close_figures if config.initialized() else config.close_figures.default_value
    name = "inline" if _backend() == "inline" else True  # so called by `%matplotlib inline`, a module until then
    return {"drawing": name, "figure formats": formats, "figure arguments": arguments, "close figures": closes}


def inline_defaults() -> dict[str, Any]:
    """What the backend has when it is loaded; that it is loaded at all is news."""
    return {"figure formats": ["png"], "figure arguments": {"bbox_inches": "tight"}, "close figures": True}


def write_inline(changes: dict[str, Any]) -> None:
    """Set how figures are shown; the backend is loaded, which makes it the one that shows them."""
    importlib.import_module(INLINE)
    shell, now = running(), look_inline()
    if shell is None or now is None:
        return
    now |= changes
    if changes.get("drawing") == "inline" and _backend() == f"module://{INLINE}":
        matplotlib = importlib.import_module("matplotlib")
        for parameters in (matplotlib.rcParams, matplotlib.rcParamsDefault):
            dict.__setitem__(parameters, "backend", "inline")  # what draws is the same: nothing is to be switched
    if "close figures" in changes:
        importlib.import_module("matplotlib_inline.config").InlineBackend.instance(
            parent=shell
        ).close_figures = changes["close figures"]
    if changes.keys() & {"figure formats", "figure arguments"}:
        select = importlib.import_module("IPython.core.pylabtools").select_figure_formats
        select(shell, set(now["figure formats"]), **now["figure arguments"])


def _formats(shell: Any) -> tuple[list[str], dict[str, Any]]:
    """Formats and arguments of figures, read from the printers: the settings of the backend do not tell all."""
    formats, arguments = [], {}
    for mime in _FIGURES:
        for shown, printer in _table(shell.display_formatter.formatters[mime], "type_printers").items():
            if shown.__module__ == "matplotlib.figure" and isinstance(printer, functools.partial):
                arguments = {name: value for name, value in printer.keywords.items() if name not in ("fmt", "base64")}
                formats.append(
                    "retina" if printer.func.__name__ == "retina_figure" else printer.keywords.get("fmt", "png")
                )
    return formats, arguments
