"""What code does to the random generators, the surroundings and files when it runs, by its words alone.

Each of these is told by a name in brackets, which stands for it beside the names of variables.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from typing import Final

from ckpt_magic.values.code import changing, source, syntax, transformed, vocabulary
from ckpt_magic.values.code.standins import StandIns

CHANCE: Final = "<random numbers>"
"""Stands for the random generators; no module can be called so."""

SURROUNDINGS: Final = "<surroundings>"
"""Stands for the environment, the working directory and options of libraries; `<surroundings cwd>` for a part."""

ANY_VARIABLE: Final = "<surroundings environ ?>"
"""Stands for variables of the environment whose names are not written down."""

FILES: Final = "<files>"
"""Stands for files that cells write; `<files data.csv>` for those of a name, `<files ?>` for those whose name is not
written down, `<files *>` for all of them."""

ABOVE: Final = "<read above>"
"""Stands for what cells do to the files and variables that cells read."""

OWN: Final = "<own modules>"
"""Stands for what cells do to what modules of the user's own hold."""

FIGURES: Final = "<surroundings figures>"
"""Stands for the figures that are open after a cell: none, where the front end shows and closes them."""

_OF_CHANCE: Final = frozenset(
    {"random", "seed", "default_rng", "RandomState", "setstate", "set_state", "manual_seed", "set_rng_state", "shuffle"}
    | {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "multinomial"}
    | {"rvs", "DataLoader", "Dropout", "dropout", "Linear", "Bilinear", "Embedding", "EmbeddingBag", "RNN", "LSTM"}
    | {"GRU", "Conv1d", "Conv2d", "Conv3d", "MultiheadAttention", "Transformer", "TransformerEncoderLayer"}
    | {"sample", "bootstrap", "permutation_test", "monte_carlo_test", "differential_evolution", "dual_annealing"}
    | {"basinhopping", "kmeans", "kmeans2", "spring_layout"}
)  # layers draw what they begin with
_OF_FIGURES: Final = frozenset(
    (
        "hist ax axs axes gca gcf scatter bar barh pie imshow matshow errorbar contour contourf pcolormesh quiver "
        "hlines vlines axhline axvline axhspan axvspan fill_between annotate legend colorbar grid twinx twiny "
        "set_title set_xlabel set_ylabel set_xlim set_ylim set_xticks set_yticks set_xscale set_yscale suptitle "
        "tight_layout tick_params add_patch add_artist set_axis_off"
    ).split()
)
SEPARATE: Final = frozenset({"default_rng", "RandomState", "Random"})
"""Words of chance that leave the generators of libraries alone: what they make has its own."""

OF_SURROUNDINGS: Final = {
    **dict.fromkeys(("environ", "putenv", "unsetenv", "load_dotenv", "set_env", "env"), "environ"),
    **dict.fromkeys(("chdir", "cd"), "cwd"),
    **dict.fromkeys(("path", "addsitedir"), "path"),
    **dict.fromkeys(("simplefilter", "filterwarnings"), "warnings"),
    **dict.fromkeys(("basicConfig", "setLevel", "addLevelName", "setLogRecordFactory", "raiseExceptions"), "logging"),
    **dict.fromkeys(("handlers", "addHandler", "removeHandler", "setFormatter"), "logging"),
    **dict.fromkeys(("addFilter", "removeFilter"), "logging"),
    **dict.fromkeys(("getcontext", "setcontext"), "decimal"),
    **dict.fromkeys(("set_option", "reset_option", "options", "set_config", "Config"), "libraries"),
    **dict.fromkeys(("set_default_dtype", "set_grad_enabled", "use_deterministic_algorithms"), "libraries"),
    **dict.fromkeys(("nest_asyncio", "nest_asyncio2"), "loops"),
    **dict.fromkeys(("rcParams", "rc", "rcdefaults", "xkcd"), "drawing"),
    **dict.fromkeys(("set_theme", "set_style", "set_palette", "set_context"), "drawing"),
    "argv": "argv",
    **dict.fromkeys(("set_printoptions", "precision", "alias"), "text"),
    **dict.fromkeys(("setlocale", "tzset", "umask", "seterr", "seterrcall", "setrecursionlimit"), "rest"),
    **dict.fromkeys(("set_int_max_str_digits", "setswitchinterval", "set_threshold", "setdefaulttimeout"), "rest"),
    **dict.fromkeys(("register_dialect", "unregister_dialect", "field_size_limit"), "rest"),
}
TOPICS: Final = frozenset(OF_SURROUNDINGS.values()) - {"environ"} | {"figures"}
"""Parts of the surroundings; `of NAME` is what a library holds. Those of the environment are `environ NAME`, for all
that begin so `environ PANDAS_`, and `environ ?` where the name is not written down, `environ *` for all of them."""

ARGUMENTS: Final = "<surroundings argv>"
"""Stands for `sys.argv`."""

_OF_COMPLETION: Final = re.compile(r"(IP)?Completer\.")
_SETTING_ENVIRON: Final = {word for word, topic in OF_SURROUNDINGS.items() if topic == "environ"} - {"environ"}
_OTHER_OPTIONS: Final = frozenset({"mode", "compute", "future", "io", "plotting", "styler"})
EASING: Final = _OF_CHANCE | OF_SURROUNDINGS.keys()
"""Words that say of a change of libraries which is told here."""

# What writes files; the second only of code that has one of the third.
_WRITING: Final = frozenset(
    (
        "write writelines write_text write_bytes dump save savez savez_compressed savetxt tofile savefig copyfile "
        "copytree unlink rmtree makedirs urlretrieve extractall symlink_to to_csv to_parquet to_pickle to_json "
        "to_feather to_excel to_hdf to_sql to_orc to_file to_html to_zarr to_netcdf system getoutput Popen "
        "check_call check_output writestr writerow writerows writeheader HDFStore shelve"
    ).split()
)
_MOVING: Final = frozenset({"copy", "copy2", "move", "rename", "replace", "remove", "touch", "mkdir", "run", "call"})
_STARTING: Final = frozenset({"system", "getoutput", "Popen", "subprocess", "run_cell_magic", "run_line_magic"})
_MOVERS: Final = frozenset({"shutil", "os", "Path", "pathlib", "subprocess"})
_WRITING_STARTS: Final = ("write_", "save_", "dump_", "sink_", "download")
_MODES: Final = frozenset(
    {"w", "a", "x", "wb", "ab", "xb", "wt", "at", "w+", "r+", "a+", "wb+", "w+b", "r+b", "rb+", "w:gz", "w:bz2", "w:xz"}
)
_OPENING: Final = ("open", "File", "memmap")  # how words end of what opens files in such a mode
_SHELLS: Final = frozenset({"bash", "sh", "script", "perl", "ruby", "system", "sx", "cmd", "writefile", "file"})
_LOOKING: Final = re.compile(r"(pip|conda|uv|ls|pwd|which|cat|head|tail|wc|du|df|free|nvidia-smi)\b[^>|;&]*")
_FILE_NAME: Final = re.compile(r"[^\s*?]*?([^\s/*?]*\w\.\w+)")
_SETTING_ONLY: Final = re.compile(
    r"(set|setup|register|install|enable|disable|use|configure|config|activate|patch|init)(_|[A-Z]|$)"
)
"""How functions are called that set something, whatever they give."""
_SETTING: Final = re.compile("|".join(changing.CHANGING))
"""How those may be called that give nothing."""
_PATCHED: Final = frozenset("pandas polars numpy matplotlib sklearn torch scipy seaborn requests".split())
"""Libraries that others change, and call by their names where they do."""
_PATCHING: Final = frozenset({"patch", "object", "setattr", "delattr"})
"""Those that set what they are given, or what a text names."""
_LOADING: Final = frozenset({"import_module", "__import__", "modules"})
_PATCHED_BY_ANY: Final = ("pandas", "polars")
"""Those that others give methods to, and do not say so: `pandarallel.initialize()`."""
_TOLD_ELSEWHERE: Final = sys.stdlib_module_names | frozenset(
    "numpy pandas matplotlib sklearn polars torch scipy seaborn IPython ckpt_magic".split()
)
"""Of these all that is set by a word is told in another way."""
BY_TEXT: Final = frozenset(
    "getattr attrgetter methodcaller __getattribute__ __dict__ vars globals locals __import__ import_module".split()
) | {"getmembers", "eval", "exec", "run_line_magic", "run_cell_magic"}
"""By these a text in the code may become a word of it."""

_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*(?==|$)")


def of_file(path: str) -> str:
    """What stands for this very file, in code that writes it by its name."""
    return f"<files {os.path.basename(path)}>"


def of_files(paths: Iterable[str]) -> list[str]:
    """What stands for these files, in code that writes files."""
    names = [os.path.basename(path) for path in paths]
    found = {"<files *>" if "*" in name else of_file(name) for name in names}
    return sorted({*found, "<files ?>"} if found else ())


def of_read(paths: Iterable[str], variables: Iterable[str]) -> list[str]:
    """What stands for all that may change what these files and variables are to a cell."""
    files, names = of_files(paths), [*variables]
    folder = ["<surroundings cwd>"] if files else []
    return [*files, *folder, *(f"<surroundings environ {name}>" for name in (*names, "?") if names)]


def of_words(words: Set[str]) -> set[str]:
    """What stands for what code with these words does to the random generators, the surroundings and files."""
    parts = _parts(words) - ({"path"} if "sys" not in words else set())
    if "environ" in parts:
        parts = parts - {"environ"} | {"environ *", "environ ?"}
    return _labels(words, parts, {"*", "?"} if _writes(words, words) else set())


def of_statement(node: ast.stmt, inside: Sequence[ast.AST], texts: Set[str], words: Set[str]) -> set[str]:
    """The same for a statement, of which more is known than words."""
    parts = _parts(words)
    if "environ" in parts:
        parts.discard("environ")
        if not words.isdisjoint(_SETTING_ENVIRON) or uses_of_environ(inside) - {"asked"}:
            parts |= _variables(inside, texts)
    if "path" in parts and "sys" not in words and not any(getattr(one, "id", "") == "path" for one in inside):
        parts.discard("path")  # `os.path.join`
    if "libraries" in parts and "display" in words and words.isdisjoint(_OTHER_OPTIONS):
        parts = parts - {"libraries"} | {"text"}
    if "run_line_magic" in words and "config" in texts:
        if any(text.startswith("InlineBackend.") for text in texts):
            parts.add("drawing")
        elif not any(map(_OF_COMPLETION.match, texts)):
            parts.add("text")
    if any(text.startswith("jax_") for text in texts):
        parts.add("libraries")
    is_writing = _writes(words, texts) and transformed.file_written(node) is None
    return _labels(words, parts, _files(inside, texts, words) if is_writing else set())


def of_setters(node: ast.stmt, inside: Sequence[ast.AST], texts: Set[str], stand_ins: StandIns) -> set[str]:
    """What stands for what libraries hold, where code sets something there: `pd.DataFrame.total = total`.

    Functions of theirs may set something, by their names (`tqdm.pandas()`), also in the libraries by which they or
    their own library are called.
    """
    is_asked = isinstance(node, ast.Assign | ast.AnnAssign) and not _is_for_nobody(node)
    loops = [one for one in inside if isinstance(one, ast.For)]
    found = set[str]()
    for one in inside:
        if isinstance(one, ast.Attribute) and not isinstance(one.ctx, ast.Load):
            found |= _libraries_of([one], loops, stand_ins) if one.attr not in EASING else set()
        elif isinstance(one, ast.Call):
            name, _, word = syntax.dotted(one.func).rpartition(".")
            name = name.partition(".")[0] or word
            library, meant = stand_ins.packages.get(name, ("", ""))
            word = meant if word == name and meant else word
            if word in _PATCHING or name in ("mock", "monkeypatch"):
                found |= _libraries_of(one.args, loops, stand_ins)
                tops = {text.partition(".")[0] for text in texts}
                found |= {top for top, _ in stand_ins.packages.values() if top in tops}
            if not library or library in _TOLD_ELSEWHERE or name not in stand_ins.foreign or word in EASING:
                continue
            if (_SETTING_ONLY if is_asked else _SETTING).match(word) or word in _PATCHED:
                found |= {library, *_PATCHED_BY_ANY, *_PATCHED.intersection((*word.split("_"), *library.split("_")))}
    found -= sys.stdlib_module_names
    return {f"<surroundings of {library}>" for library in found} | ({SURROUNDINGS} if found else set())


def _libraries_of(owners: Iterable[ast.expr], loops: Sequence[ast.For], stand_ins: StandIns) -> set[str]:
    """The libraries in which expressions lie, as written, by names that stand for something there, or in loops."""
    todo = {syntax.dotted(one).partition(".")[0] for one in owners}
    names = set[str]()
    while todo:
        names |= todo
        turned = (loop.iter for loop in loops if getattr(loop.target, "id", "") in todo)
        todo = {one.id for turn in turned for one in syntax.nodes(turn) if isinstance(one, ast.Name)}.union(
            *map(stand_ins.led_to, names)
        ) - names
    return {stand_ins.packages[name][0] for name in names & stand_ins.foreign}


def patched(inside: Sequence[ast.AST], texts: Set[str], stand_ins: StandIns) -> set[str]:
    """Names of modules in which code sets what a text names: `mock.patch("tools.load")`."""
    if not any(syntax.last_word(one) in _PATCHING | _LOADING for one in inside):
        return set()
    tops = {text.partition(".")[0] for text in texts}
    return {name for name, (top, _) in stand_ins.packages.items() if top in tops}


def _is_for_nobody(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a statement binds what nobody is to read: `_ = lib.configure()`."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(one, ast.Name) and not one.id.strip("_") for one in targets)


def _labels(words: Set[str], parts: Set[str], files: Set[str]) -> set[str]:
    """What stands for these parts of the surroundings, these files, and what words alone tell."""
    found = {f"<surroundings {part}>" for part in parts} | {f"<files {name}>" for name in files}
    found |= {SURROUNDINGS} if parts else set()
    found |= {CHANCE} if _draws(words) else set()
    return found | ({FIGURES} if _draws_figures(words) else set())


def _variables(inside: Sequence[ast.AST], texts: Set[str]) -> set[str]:
    """The parts of the surroundings that code sets by variables of the environment."""
    keywords = (one.arg for one in inside if isinstance(one, ast.keyword) and one.arg)
    names = {*keywords, *(match[0] for text in texts if (match := _VARIABLE.match(text)))} - {"env", "set_env"}
    found = {part for name in names for part in _of_variable(name)} or {"environ ?"}
    return found | {"environ *"} | ({"rest"} if "TZ" in names else set())  # for `tzset`


def _of_variable(name: str) -> Iterator[str]:
    yield f"environ {name}"
    yield from (f"environ {name[: at.end()]}" for at in re.finditer("_", name))


def _files(inside: Sequence[ast.AST], texts: Set[str], words: Set[str]) -> set[str]:
    """The names of the files that code writes; `?` where they may be others."""
    found = {match[1] for text in texts if (match := _FILE_NAME.fullmatch(text))}
    is_known = found and not words & _STARTING
    is_known = is_known and not any(isinstance(one, ast.JoinedStr | ast.BinOp) for one in inside)
    return {*found, "*"} if is_known else {*found, "*", "?"}


def uses_of_environ(inside: Sequence[ast.AST]) -> set[str]:
    """What code does with `os.environ`: it is `asked`, `set`, or used in `other` ways."""
    uses = {id(one): "other" for one in inside if syntax.last_word(one) == "environ"}
    for node in inside if uses else ():
        match node:
            case ast.Subscript(value=value, ctx=ctx) if id(value) in uses:
                uses[id(value)] = "asked" if isinstance(ctx, ast.Load) else "set"
            case ast.Attribute(value=value, attr="get" | "copy" | "keys" | "values" | "items") if id(value) in uses:
                uses[id(value)] = "asked"
            case ast.Compare(comparators=others):
                uses |= {id(value): "asked" for value in others if id(value) in uses}
    return set(uses.values())


def _parts(words: Set[str]) -> set[str]:
    """The parts of the surroundings that code with these words may set."""
    found = {OF_SURROUNDINGS[word] for word in words & OF_SURROUNDINGS.keys()}
    return found | ({"drawing"} if words >= {"style", "use"} or words >= {"seaborn", "set"} else set())


def _draws(words: Set[str]) -> bool:
    """Whether code with these words may draw from the generators of libraries, or seed them."""
    return bool(words & _OF_CHANCE) or ("random_state" not in words and any("random" in word for word in words))


def _draws_figures(words: Set[str]) -> bool:
    """Whether code with these words may draw on a figure that is open, or open one."""
    return any("plot" in word or "pylab" in word or word.startswith("fig") or word in _OF_FIGURES for word in words)


def writes(tree: ast.Module) -> bool:
    """Whether code seems to write files, by its words."""
    nodes = syntax.nodes(tree)
    return _writes(set(map(_word, nodes)), syntax.texts(tree))


def sets(tree: ast.Module) -> bool:
    """Whether code seems to draw random numbers, or to set surroundings or attributes, by its words."""
    nodes = syntax.nodes(tree)
    is_stored = any(isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) for one in nodes)
    return is_stored or any(not label.startswith("<files ") for label in of_words(set(map(_word, nodes))))


def _writes(words: Set[str], texts: Collection[str]) -> bool:
    if words & {"system", "getoutput"} and any(map(_LOOKING.fullmatch, texts)):
        return False
    return bool(
        words & _WRITING
        or any(word.startswith(_WRITING_STARTS) for word in words)
        or (words & _MOVING and words & _MOVERS)
        or (not _MODES.isdisjoint(texts) and any(word.endswith(_OPENING) for word in words))
        or ("connect" in words and any(map(_FILE_NAME.fullmatch, texts)))
        or (words & {"run_cell_magic", "run_line_magic"} and not _SHELLS.isdisjoint(texts))
    )


def separate(inside: Sequence[ast.AST]) -> set[str]:
    """The words by which code makes generators of its own from seeds, and that stand for nothing else there.

    Neither draws from the generators of libraries, nor seeds them: `np.random.default_rng(1)`.
    """
    seeded = (one for one in inside if isinstance(one, ast.Call) and (one.args or one.keywords))
    calls = [one for one in seeded if syntax.last_word(one.func) in SEPARATE and syntax.dotted(one.func)]
    parts = [part for call in calls for part in (*syntax.nodes(call.func), *call.keywords)]
    known = set(map(id, parts))
    return set(map(_word, parts)) - {_word(one) for one in inside if id(one) not in known}


def _word(node: ast.AST) -> str:
    return (node.arg or "") if isinstance(node, ast.keyword) else syntax.last_word(node)


def data(inside: Sequence[ast.AST], names: source.Names, stand_ins: StandIns) -> Set[str]:
    """Words that are names of the notebook's, of which others tell what they do, or keys: `Config()`, `d["seed"]`."""
    own = changing.local(inside) | names.binds | stand_ins.values | stand_ins.told.defined
    texts, others = set[str](), set[str]()
    for one in inside:
        if isinstance(one, ast.Attribute | ast.keyword):
            others.add(getattr(one, "attr", getattr(one, "arg", "")))
        elif isinstance(one, ast.Name) and one.id not in own:
            others.add(one.id)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            texts.update(vocabulary.identifiers(one.value))
        elif isinstance(one, ast.Call):
            parts = *one.args, *one.keywords, *([one.func] if isinstance(one.func, ast.Subscript) else ())
            given = (value for part in parts for value in syntax.nodes(part))
            named = (value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str))
            others = others.union(*map(vocabulary.identifiers, named))
    if others & BY_TEXT:
        others |= texts
    return (own | texts) - others - stand_ins.behind(names.reads)
