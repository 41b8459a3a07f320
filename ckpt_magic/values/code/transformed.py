"""What IPython makes of magics in a cell, `get_ipython().run_line_magic(…)` and the like, and what such lines do."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ckpt_magic.values.code import syntax

# Magics that run Python code given as text, with the options that come before the code.
_CODE_MAGICS: Final = {
    "config": re.compile(r"\s*"),
    "time": re.compile(r"\s*(?:--no-raise-error\s+)?"),
    "timeit": re.compile(r"\s*(?:(?:-[nrp]\s*\d+|-[tcqov]+)(?:\s+|$))*"),
    "prun": re.compile(r"\s*(?:(?:-[DlsT]\s*\S+|-[rq]+)(?:\s+|$))*"),
}
_SCRIPT: Final = re.compile(r"(?:-i\s+)?[\"']?([\w./~][\w./~-]*)[\"']?((?:\s+[\w./~=:,+%@-]+)*)")
_SHELL_CALLS: Final = frozenset({"system", "getoutput"})
_ASKING_US: Final = frozenset(f"ckpt_{word}" for word in ("start", "status", "accept", "verify", "diff", "clear"))


class Run(NamedTuple):
    """A magic that runs Python code given as text."""

    method: str
    magic: str
    options: str
    code: ast.Module


def run_by(node: ast.AST) -> Run | None:
    """What a call, or a statement that is one, runs as a magic; None if it is none, or that is no plain Python."""
    method, arguments = shell_call(node) or ("", [])
    if not method.startswith("run_"):
        return None
    magic, line, *cell = arguments
    options, code = magic_code(magic, line, cell) or ("", None)
    tree = syntax.parsed(code) if code is not None else None
    return None if tree is None else Run(method, magic, options, tree)


def magic_code(magic: str, line: str, cell: Sequence[str]) -> tuple[str, str] | None:
    """The options of a magic and the Python code that it runs, or None if it is none of those known to run code."""
    if magic == "capture" and cell:
        return line.strip(), cell[0]
    match = _CODE_MAGICS[magic].match(line) if magic in _CODE_MAGICS else None
    return None if match is None else (match[0].strip(), "\n".join([line[match.end() :], *cell]))


def shell_call(node: ast.AST) -> tuple[str, list[str]] | None:
    """Return method and arguments of `get_ipython().method("...", ...)` as IPython writes it, else None."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"), args=[], keywords=[]), attr=method),
            args=args,
            keywords=[],
        ):
            texts = [a.value for a in args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            wanted = {"run_line_magic": 2, "run_cell_magic": 3}.get(method, 1 if method in _SHELL_CALLS else 0)
            return (method, texts) if wanted == len(texts) == len(args) and wanted else None
        case ast.Expr(value=ast.Call() as call):
            return shell_call(call)
    return None


@dataclass(frozen=True, slots=True)
class Script:
    """A file whose text runs as if it stood where the code says so.

    Attributes
    ----------
    path
        As written.
    arguments
        Those that `sys.argv` has meanwhile; None where it is left alone.
    """

    path: str
    arguments: str | None = None


def script_run_by(node: ast.AST) -> Script | None:
    """The script that `%run`, or `exec(open(…).read())`, runs; None for others, and where options say otherwise."""
    match shell_call(node):
        case "run_line_magic", ["run", line] if (found := _SCRIPT.fullmatch(line.strip())) is not None:
            path = found[1] if found[1].endswith((".py", ".ipynb")) else f"{found[1]}.py"
            return Script(path, " ".join(found[2].split()))
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="exec"), args=[code], keywords=[])):
            path = _text_read(code)
            return Script(path) if path is not None else None
    return None


def _text_read(node: ast.expr) -> str | None:
    """The path of the file whose text an expression is, compiled or not: `open("a.py").read()`."""
    match node:
        case ast.Call(func=ast.Name(id="compile"), args=[code, _, ast.Constant(value="exec")], keywords=[]):
            return _text_read(code)
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=opens, args=[ast.Constant(value=str(path)), *_]), attr=how)
        ):
            is_text = syntax.last_word(opens) == "Path" if how == "read_text" else syntax.dotted(opens) == "open"
            return path if is_text and how in ("read", "read_text") else None
    return None


def file_written(node: ast.AST) -> tuple[str, str, bool] | None:
    """What `%%writefile` writes: a path, a text, and whether that is added to what is there; None if it is not that."""
    match shell_call(node):
        case "run_cell_magic", ["writefile" | "file", line, text] if not {*"$"} & {*line}:  # a variable of the notebook
            words = line.replace("--append", "-a").split(maxsplit=1)
            added = words[:1] == ["-a"]
            path = (words[-1] if added else line).strip().strip("\"'")
            return (path, text, added) if path and "{" not in path else None
    return None


def code_run_by(node: ast.stmt) -> tuple[list[ast.stmt], bool] | None:
    """The statements that `%time`, `exec("…")` and the like run, and whether that is all they do; None for others.

    Variables that are set by their names are assignments: `globals()["x"] = 1`.
    """
    if (written := _written_out(node)) is not None:
        return written, True
    run = run_by(node.value if isinstance(node, ast.Assign) else node)
    if run is None or run.magic not in ("time", "prun", "capture"):
        return None
    match node, run.code.body:
        case ast.Expr(), body:
            return body, run.magic != "capture"
        case ast.Assign(targets=targets), [ast.Expr(value=value)]:
            return [ast.Assign(targets, value)], True
    return None


def _written_out(node: ast.stmt) -> list[ast.stmt] | None:
    """The statements that `exec` runs, or that do the same as one that sets variables by their names."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="exec"), args=[ast.Constant(value=str(text))], keywords=[])):
            tree = syntax.parsed(text)
            return tree.body if tree is not None else None
        case ast.Assign(targets=[ast.Subscript(value=space, slice=ast.Constant(value=str(name)))], value=value):
            return _bindings({name: value}) if is_namespace(space) and name.isidentifier() else None
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=space, attr="update"), args=args, keywords=keywords)):
            found = _items(args, keywords) if is_namespace(space) else None
            return _bindings(found) if found is not None else None
    return None


def is_namespace(node: ast.expr) -> bool:
    """Whether an expression is the variables by name: `globals()`."""
    match node:
        case ast.Call(func=ast.Name(id="globals" | "locals" | "vars"), args=[], keywords=[]):
            return True
    return False


def _items(args: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> dict[str, ast.expr] | None:
    """What `update` is given, if all keys are written down and may be names."""
    found: dict[str | None, ast.expr] = {}
    for one in args:
        if not isinstance(one, ast.Dict) or not all(isinstance(key, ast.Constant) for key in one.keys):
            return None
        found |= {getattr(key, "value", None): value for key, value in zip(one.keys, one.values, strict=True)}
    found |= {one.arg: one.value for one in keywords}
    names = {name: value for name, value in found.items() if isinstance(name, str) and name.isidentifier()}
    return names if len(names) == len(found) else None


def _bindings(values: Mapping[str, ast.expr]) -> list[ast.stmt]:
    return [ast.Assign([ast.Name(name, ast.Store())], value) for name, value in values.items()]


def only_asks_us(node: ast.AST) -> bool:
    """Whether a statement is a line such as `%ckpt_start 3`, which does nothing to anything of the notebook."""
    found = shell_call(node)
    return found is not None and found[0] == "run_line_magic" and found[1][0] in _ASKING_US


def extension_loaded(node: ast.AST) -> str | None:
    """The module that `%load_ext` or `%reload_ext` loads, which may do anything then; None for others, and for us."""
    match shell_call(node):
        case "run_line_magic", ["load_ext" | "reload_ext", name] if name.strip() != "ckpt_magic":
            return name.strip()
    return None


def variable_set(node: ast.AST) -> tuple[str, str] | None:
    """The environment variable that a statement sets to what is written in it; None if it does not."""
    match node:
        case ast.Assign(
            targets=[
                ast.Subscript(
                    value=ast.Attribute(attr="environ") | ast.Name(id="environ"), slice=ast.Constant(value=str(name))
                )
            ],
            value=ast.Constant(value=str(value)),
        ):
            return name, value
    match shell_call(node):
        case "run_line_magic", ["env" | "set_env", line] if not {*"${"} & {*line} and "=" in line:
            name, _, value = line.partition("=")
            return name.strip(), value.strip()
    return None


def folder_added(node: ast.AST) -> tuple[str, bool] | None:
    """The folder that a statement puts into `sys.path`, if it is written in it, and whether in front."""
    match node:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="path"), attr="append" | "insert" as how),
                args=[*_, ast.Constant(value=str(folder))],
            )
        ):
            return folder, how == "insert"
    return None
