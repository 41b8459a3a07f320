"""Options of libraries: mappings from names to values, read and set through what each library offers.

A library is looked at only where it is imported already. One that a step is the first to import has no "before": its
options are compared with its own defaults. Values are described in plain builtins, so that a checkpoint opens where
a library is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import functools
import json
import logging
import operator
import os
import sys
import types
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from ckpt_magic.errors import CheckpointUnreadableError
from ckpt_magic.values import shell
from ckpt_magic.values.libraries import CURE, needed

_library: Final = functools.partial(needed, "the step set options of")

Options = dict[str, dict[str, Any]]


def look(sources: Container[str] | None = None) -> Options:
    """Read the options of these sources, or of all, by their names."""
    wanted = ((name, one) for name, one in _SOURCES.items() if sources is None or name in sources)
    return {name: read for name, one in wanted if (read := one.look()) is not None}


def changes(name: str, before: Mapping[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return the options of one source that are new or have another value; None for those that are gone."""
    source = _SOURCES[name]
    if before is None or before.keys() != after.keys():  # loaded by the step, or loaded more of itself
        before = {**source.defaults(), **(before or {})}
    found = {key: value for key, value in after.items() if key not in before or not equal(before[key], value)}
    if source.is_open:
        found |= dict.fromkeys(before.keys() - after.keys())
    return found


def has_defaults(name: str) -> bool:
    """Tell whether it is known what a fresh import of the library has, whatever the host made of it."""
    return name in _IMPORTED_AS


def label(name: str, key: str) -> str:
    """Call an option by what people know it as."""
    return _SOURCES[name].label.format(key)


def takes_objects(name: str, key: str) -> bool:
    """Tell whether an option of a source may be set to what a pickle gives."""
    return _SOURCES[name].takes_objects or (name == "shell" and shell.is_registered(key))


def is_lost(name: str, key: str, value: Any) -> bool:
    """Tell whether nobody can make a change again, plain as its value is."""
    return name == "shell" and shell.is_taken_away(key, value)


def read(name: str, key: str) -> Any:
    """One option as it is now; None if there is none."""
    return (_SOURCES[name].look() or {}).get(key)


def is_worth_saying(name: str, key: str, value: Any) -> bool:
    """Tell changes that somebody made from those that come with computing and drawing; all are put back."""
    if name == "logging" and key.startswith("level of ") and value is not None:
        library = key.removeprefix("level of ").partition(".")[0]
        # libraries set those of their own loggers
        return library in ("root", "__main__") or library not in sys.modules
    return (name, key) not in {("decimal", "flags"), ("inline", "drawing"), ("shell", "hidden")} and not (
        key == "interactive" and value is True
    )


def wanted(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Import the library, check that it has these options, and return their values.

    Raises
    ------
    CheckpointUnreadableError
        The library or an option of it is not here. Nothing was changed.
    """
    source = _SOURCES[name]
    if changes.keys() == {"interactive"} and source.module not in sys.modules:
        return {}  # set by the kernel when the first figure is drawn: no reason to import matplotlib
    source.load()
    unknown = [] if source.is_open else sorted(changes.keys() - (source.look() or {}).keys())
    if unknown:
        raise CheckpointUnreadableError(
            f"the step set {source.label.format(unknown[0])}, which the installed {source.module} does not have;"
            f" install the version the step ran with, or {CURE}",
            name=source.module,
        )
    return {key: _rebuilt(value) for key, value in changes.items()}


def write(name: str, values: dict[str, Any]) -> None:
    """Set options of one source, as `wanted` returned them."""
    if values:
        _SOURCES[name].write(values)


def not_there(changes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Which of the options, given by source, is something that a library registers only when it is called."""
    found = shell.not_there(changes.get("shell", {}))
    return None if found is None else label("shell", found)


def plain(value: Any) -> Any:
    """Return an option value in builtins; TypeError if it has no such form."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, str):  # matplotlib's CapStyle
        return str.__str__(value)
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return plain(value.item())
    if type(value).__name__ == "Cycler":
        return {_FORM: "cyclers", "value": plain(_parts_of_cycler(value))}
    if type(value) is types.BuiltinMethodType and value.__name__ == "format" and type(value.__self__) is str:
        return {_FORM: "format", "value": value.__self__}  # display.float_format = "{:.2f}".format
    raise TypeError(f"a {type(value).__name__} has no plain form")


_FORM: Final = "ckpt_magic"
"""Key that tells a rebuilt value from a dict."""


def _parts_of_cycler(cycler: Any) -> Any:
    """A cycler of one property as that and its values, others as how two are put together, and these."""
    if cycler._op is None:
        if len(cycler.keys) != 1:
            raise TypeError("a cycler of nothing has no plain form")
        return next(iter(cycler.by_key().items()))
    return cycler._op is zip, _parts_of_cycler(cycler._left), _parts_of_cycler(cycler._right)


def _cycler(parts: Any) -> Any:
    if len(parts) == 2:
        return _library("cycler").cycler(*parts)
    is_sum, *sides = parts
    return (operator.add if is_sum else operator.mul)(*map(_cycler, sides))


def _rebuilt(value: Any) -> Any:
    if type(value) is dict and _FORM in value:
        form, inner = value[_FORM], value["value"]
        if form == "cycler":  # as files of older versions have it
            return _library("cycler").cycler(**inner)
        return inner.format if form == "format" else _cycler(inner)
    return value


def equal(a: Any, b: Any) -> bool:
    """Compare two option values, among which True and 1 differ."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except (TypeError, ValueError):  # an array, or what else a user made an option of
        return False


class _Source:
    """A set of options of one library."""

    label: ClassVar[str]
    module: ClassVar[str]
    is_open: ClassVar[bool] = False
    """Any name may be an option, and one that is gone has no value."""
    takes_objects: ClassVar[bool] = True
    """What is no plain data may be set as it is."""

    def look(self) -> dict[str, Any] | None:
        """Return all options, None while the library is not loaded."""
        raise NotImplementedError

    def defaults(self) -> Mapping[str, Any]:
        """Return what a fresh import has."""
        return {}

    def load(self) -> None:
        """Import the library."""
        _library(self.module)

    def write(self, changes: dict[str, Any]) -> None:
        """Set some."""
        raise NotImplementedError


def environ() -> dict[str, str]:
    """The variables of the environment, not to be changed; decoded again only when one of them changed."""
    data = getattr(os.environ, "_data", None)
    if not isinstance(data, dict):
        return dict(os.environ)
    if not dict.__eq__(_decoded[0], data):
        _decoded[:] = dict(data), dict(os.environ)
    return _decoded[1]


_decoded: Final[list[dict[Any, Any]]] = [{}, {}]


class _Environ(_Source):
    is_open = True
    label, module = "environ:{}", "os"

    def look(self) -> dict[str, Any]:
        return environ()

    def write(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Decimal(_Source):
    label, module = "decimal {}", "decimal"
    takes_objects = False  # a context of the user's own class

    def look(self, context: decimal.Context | None = None) -> dict[str, Any]:
        context = context or decimal.getcontext()
        found = {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
        for signals in ("traps", "flags"):
            found[signals] = [signal.__name__ for signal, on in getattr(context, signals).items() if on]
        return found if type(context) is decimal.Context else {**found, "context": context}

    def defaults(self) -> Mapping[str, Any]:
        return self.look(decimal.DefaultContext)

    def write(self, changes: dict[str, Any]) -> None:
        self.put(decimal.getcontext(), changes)

    def put(self, context: decimal.Context, changes: Mapping[str, Any]) -> None:
        """Change a context in place: variables of the notebook may hold it."""
        for name, value in changes.items():
            if name not in ("traps", "flags"):
                setattr(context, name, value)
                continue
            signals = getattr(context, name)
            for signal in signals:
                signals[signal] = signal.__name__ in value


class _DecimalDefaults(_Decimal):
    """What new contexts begin with."""

    label = "decimal.DefaultContext {}"

    def look(self, context: decimal.Context | None = None) -> dict[str, Any]:
        return super().look(context or decimal.DefaultContext)

    def defaults(self) -> Mapping[str, Any]:
        return {}

    def write(self, changes: dict[str, Any]) -> None:
        self.put(decimal.DefaultContext, changes)


class _NumpyPrinting(_Source):
    label, module = "numpy print option {}", "numpy"

    def look(self) -> dict[str, Any] | None:
        read = getattr(sys.modules.get("numpy"), "get_printoptions", None)
        return dict(read()) if read is not None else None

    def defaults(self) -> Mapping[str, Any]:
        texts = {"nanstr": "nan", "infstr": "inf", "sign": "-", "floatmode": "maxprec", "formatter": None}
        numbers = {"edgeitems": 3, "threshold": 1000, "precision": 8, "linewidth": 75, "suppress": False}
        return {**texts, **numbers, "legacy": False, "override_repr": None}

    def write(self, changes: dict[str, Any]) -> None:
        _library("numpy").set_printoptions(**changes)


class _NumpyErrors(_Source):
    label, module = "numpy error state {}", "numpy"

    def look(self) -> dict[str, Any] | None:
        numpy = sys.modules.get("numpy")
        read = getattr(numpy, "geterr", None)
        if numpy is None or read is None:
            return None
        return {**read(), "call": numpy.geterrcall(), "size of buffers": numpy.getbufsize()}

    def defaults(self) -> Mapping[str, Any]:
        return {
            "divide": "warn",
            "over": "warn",
            "under": "ignore",
            "invalid": "warn",
            "call": None,
            "size of buffers": 8192,
        }

    def write(self, changes: dict[str, Any]) -> None:
        numpy = _library("numpy")
        if "call" in changes:
            numpy.seterrcall(changes["call"])
        if "size of buffers" in changes:
            numpy.setbufsize(changes["size of buffers"])
        numpy.seterr(**{name: value for name, value in changes.items() if name not in ("call", "size of buffers")})


class _Pandas(_Source):
    label, module = "pandas option {}", "pandas"

    def look(self) -> dict[str, Any] | None:
        # private, as there is no public way to read all options at once; pandas keeps it since 0.14
        tree = getattr(sys.modules.get("pandas._config.config"), "_global_config", None)
        if tree is None:
            return None
        found: dict[str, Any] = {}
        todo = [("", tree)]
        while todo:
            prefix, branch = todo.pop()
            for name, value in branch.items():
                if type(value) is dict:
                    todo.append((f"{prefix}{name}.", value))
                else:
                    found[prefix + name] = value
        return found

    def defaults(self) -> Mapping[str, Any]:
        registered = getattr(sys.modules.get("pandas._config.config"), "_registered_options", {})
        return {name: option.defval for name, option in registered.items()}

    def write(self, changes: dict[str, Any]) -> None:
        pandas = _library("pandas")
        for name, value in changes.items():
            pandas.set_option(name, value)


class _Matplotlib(_Source):
    label, module = "rcParams {}", "matplotlib"
    # The backend belongs to the front end, and is chosen by the kernel when the first figure is drawn.
    skipped = frozenset({"backend", "backend_fallback"})

    def look(self) -> dict[str, Any] | None:
        return self.copied(getattr(sys.modules.get("matplotlib"), "rcParams", None))

    def copied(self, values: Any) -> dict[str, Any] | None:
        if values is None:
            return None
        # dict.items, as reading single items warns about deprecated ones and may load a backend
        found = {name: list(value) if type(value) is list else value for name, value in dict.items(values)}
        for name in self.skipped:
            found.pop(name, None)
        return found

    def defaults(self) -> Mapping[str, Any]:
        return self.copied(getattr(sys.modules.get("matplotlib"), "rcParamsOrig", None)) or {}

    def write(self, changes: dict[str, Any]) -> None:
        _library("matplotlib").rcParams.update(changes)


class _Colors(_Source):
    """What names of colors stand for, where matplotlib says another one: `seaborn.set_theme` gives letters others."""

    is_open = True
    label, module = "matplotlib color {!r}", "matplotlib.colors"

    def look(self) -> dict[str, Any] | None:
        colors = sys.modules.get(self.module)
        if colors is None or not hasattr(colors, "BASE_COLORS"):
            return None
        named, usual = colors.get_named_colors_mapping(), _usual_colors()
        if dict.__eq__(named, usual):
            return {}
        others = {name: color for name, color in named.items() if usual.get(name) is not color}
        return {name: color for name, color in others.items() if not equal(usual.get(name), color)}

    def write(self, changes: dict[str, Any]) -> None:
        named = _library(self.module).get_named_colors_mapping()
        for name, color in changes.items():
            color = _usual_colors().get(name) if color is None else color
            if color is not None:
                named[name] = color  # `update` would leave its cache as it is
            elif name in named:
                del named[name]


@functools.cache
def _usual_colors() -> dict[str, Any]:
    """What matplotlib calls which color when it is loaded: its tables, a later one before an earlier one."""
    colors, found = _library(_Colors.module), dict[str, Any]()
    for table in (colors.XKCD_COLORS, colors.CSS4_COLORS, colors.TABLEAU_COLORS, colors.BASE_COLORS):
        spelled = [(name.replace(*way), color) for way in _GREYS for name, color in table.items()]
        found |= {**dict(spelled), **table}
    return {name: color for name, color in found.items() if name in colors.get_named_colors_mapping()}


_GREYS: Final = (("grey", "gray"), ("gray", "grey"))


class _Sklearn(_Source):
    label, module = "sklearn option {}", "sklearn"

    def look(self) -> dict[str, Any] | None:
        read = getattr(sys.modules.get("sklearn"), "get_config", None)
        return dict(read()) if read is not None else None

    def defaults(self) -> Mapping[str, Any]:
        return dict(getattr(sys.modules.get("sklearn._config"), "_global_config", {}))  # set_config leaves it alone

    def write(self, changes: dict[str, Any]) -> None:
        _library("sklearn").set_config(**changes)


class _Polars(_Source):
    """The options of polars that are no environment variables."""

    label, module = "polars option {}", "polars"

    def look(self) -> dict[str, Any] | None:
        readers = getattr(sys.modules.get("polars.config"), "_POLARS_CFG_DIRECT_VARS", None)
        return {name: read() for name, read in readers.items()} if readers is not None else None

    def defaults(self) -> Mapping[str, Any]:
        numbers = {"set_fmt_float": "mixed", "set_float_precision": None, "set_trim_decimal_zeros": False}
        return {**numbers, "set_thousands_separator": "", "set_decimal_separator": "."}

    def write(self, changes: dict[str, Any]) -> None:
        _library("polars").Config.load(json.dumps({"environment": {}, "direct": changes}))


class _Torch(_Source):
    label, module = "torch {}", "torch"

    def look(self) -> dict[str, Any] | None:
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "get_float32_matmul_precision"):  # absent, or being imported
            return None
        device = torch.get_default_device() if hasattr(torch, "get_default_device") else "cpu"
        printing = getattr(sys.modules.get("torch._tensor_str"), "PRINT_OPTS", None)
        return {
            "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            "default device": str(device),
            "threads": torch.get_num_threads(),
            "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
            "deterministic algorithms only warn": torch.is_deterministic_algorithms_warn_only_enabled(),
            "gradients": torch.is_grad_enabled(),
            "float32 matmul precision": torch.get_float32_matmul_precision(),
            "cudnn benchmark": torch.backends.cudnn.benchmark,
            "cudnn deterministic": torch.backends.cudnn.deterministic,
            **(
                {f"print option {name}": value for name, value in dataclasses.asdict(printing).items()}
                if dataclasses.is_dataclass(printing) and not isinstance(printing, type)
                else {}
            ),
        }

    def defaults(self) -> Mapping[str, Any]:
        printing = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
        return {
            "default dtype": "float32",
            "default device": "cpu",
            "threads": count if (count := _library("torch").get_num_threads()) in _usual_threads() else None,
            "deterministic algorithms": False,
            "deterministic algorithms only warn": False,
            "gradients": True,
            "float32 matmul precision": "highest",
            "cudnn benchmark": False,
            "cudnn deterministic": False,
            **{f"print option {name}": value for name, value in printing.items()},
        }

    def write(self, changes: dict[str, Any]) -> None:
        torch = _library("torch")
        now = self.look() or {}
        for name, value in changes.items():
            if name.startswith("print option "):
                setattr(torch._tensor_str.PRINT_OPTS, name.removeprefix("print option "), value)
            elif name.startswith("cudnn "):
                setattr(torch.backends.cudnn, name.removeprefix("cudnn "), value)
            elif name == "default dtype":
                torch.set_default_dtype(getattr(torch, value))
            elif name == "default device":
                torch.set_default_device(None if value == "cpu" else value)
            elif name == "threads":
                torch.set_num_threads(value)
            elif name == "gradients":
                torch.set_grad_enabled(value)
            elif name == "float32 matmul precision":
                torch.set_float32_matmul_precision(value)
        if any(name.startswith("deterministic") for name in changes):
            now |= changes
            only = now["deterministic algorithms only warn"]
            torch.use_deterministic_algorithms(now["deterministic algorithms"], warn_only=only)


def _usual_threads() -> set[int]:
    """How many threads a library may take by itself: as the process may use processors or cores, or is told to."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set[str]()
    for number in usable:
        with contextlib.suppress(OSError):  # not told here
            cores.add(Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text())
    told = [os.environ.get(name, "").partition(",")[0] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
    return {len(usable), len(cores), *(int(text) for text in told if text.isdecimal())}


class _Jax(_Source):
    """The options of jax that change results; others are about the machine."""

    label, module = "jax option {}", "jax"

    def look(self) -> dict[str, Any] | None:
        config = getattr(sys.modules.get("jax"), "config", None)  # absent while jax is being imported
        values: dict[str, Any] = getattr(config, "values", {})
        return {name: values[name] for name in self.defaults() if name in values} or None

    def defaults(self) -> Mapping[str, Any]:
        switches = ("enable_x64", "disable_jit", "debug_nans", "debug_infs", "check_tracer_leaks", "enable_checks")
        promotion = {"numpy_dtype_promotion": "standard", "numpy_rank_promotion": "allow"}
        drawing = {"default_prng_impl": "threefry2x32", "threefry_partitionable": True, "random_seed_offset": 0}
        values = {**dict.fromkeys(switches, False), **promotion, **drawing, "default_matmul_precision": None}
        return {f"jax_{name}": value for name, value in values.items()}

    def write(self, changes: dict[str, Any]) -> None:
        jax = _library("jax")
        for name, value in changes.items():
            jax.config.update(name, value)


class _Mpmath(_Source):
    """How exactly mpmath computes, for real numbers and for intervals."""

    label, module = "mpmath.{}", "mpmath"

    def look(self) -> dict[str, Any] | None:
        mpmath = sys.modules.get("mpmath")
        mp, iv = getattr(mpmath, "mp", None), getattr(mpmath, "iv", None)
        if mp is None or iv is None:  # it is being imported
            return None
        exact = {"mp.dps": (mp.dps, mp.prec), "iv.dps": (iv.dps, iv.prec)}
        return {**exact, "mp.pretty": mp.pretty, "mp.trap_complex": mp.trap_complex}

    def defaults(self) -> Mapping[str, Any]:
        return {"mp.dps": (15, 53), "iv.dps": (15, 53), "mp.pretty": False, "mp.trap_complex": False}

    def write(self, changes: dict[str, Any]) -> None:
        mpmath = _library("mpmath")
        for key, value in changes.items():
            name, _, option = key.partition(".")
            context = getattr(mpmath, name)
            if option == "dps":  # setting one of both computes the other, not always as it was
                context.dps, precision = value
                if context.prec != precision:
                    context.prec = precision
            else:
                setattr(context, option, value)


class _Asyncio(_Source):
    """Whether loops run inside running ones: `nest_asyncio.apply()` gives asyncio other functions for that."""

    is_open = True
    label, module = "asyncio: {}", "asyncio"

    def look(self) -> dict[str, Any]:
        run = getattr(sys.modules.get("asyncio"), "run", None)
        library = getattr(run, "__module__", None)
        return {"nested loops": library} if library in ("nest_asyncio", "nest_asyncio2") else {}

    def write(self, changes: dict[str, Any]) -> None:
        for library in filter(None, changes.values()):  # it cannot be taken back
            _library(library).apply()


class _Logging(_Source):
    """Levels, propagation and the like of loggers; only what is not as a new logger has it."""

    is_open = True
    label, module = "logging: {}", "logging"

    def look(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        manager = logging.Logger.manager
        for name, logger in [("root", logging.root), *manager.loggerDict.items()]:
            if isinstance(logger, logging.Logger):  # not the place of one that nobody asked for
                state = logger.level, logger.propagate, logger.disabled
                if state != _NEW_LOGGER:
                    found[f"level of {name}"] = state
        last = logging.lastResort
        if last is not None and last.level != logging.WARNING:
            found["last resort"] = last.level
        if manager.disable:
            found["disable"] = manager.disable
        if getattr(logging, "_warnings_showwarning", None) is not None:
            found["captureWarnings"] = True
        found["levels"] = {level: name for level, name in logging._levelToName.items() if name != _LEVELS.get(level)}
        return found

    def write(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if name == "disable":
                logging.disable(value or 0)
            elif name == "captureWarnings":
                logging.captureWarnings(bool(value))
            elif name == "last resort" and logging.lastResort is not None:
                logging.lastResort.setLevel(logging.WARNING if value is None else value)
            elif name == "levels":
                for level, text in {**_LEVELS, **(value or {})}.items():
                    logging.addLevelName(level, text)
            else:
                logger = logging.getLogger(name.removeprefix("level of "))
                level, logger.propagate, logger.disabled = value or _NEW_LOGGER
                logger.setLevel(level)


class _Shell(_Source):
    is_open, takes_objects = True, False
    label, module = "IPython {}", "IPython"

    def look(self) -> dict[str, Any] | None:
        return shell.look()

    def write(self, changes: dict[str, Any]) -> None:
        shell.write(changes)


class _Inline(_Source):
    is_open, takes_objects = True, False
    label, module = "inline {}", shell.INLINE

    def look(self) -> dict[str, Any] | None:
        return shell.look_inline()

    def defaults(self) -> Mapping[str, Any]:
        return shell.inline_defaults()

    def load(self) -> None:
        # To load the backend makes figures interactive. So it did in the step, which may have undone it since:
        # by `with plt.style.context(…)` around the first figure, for one.
        matplotlib = _library("matplotlib")
        is_interactive = matplotlib.is_interactive()
        super().load()
        matplotlib.interactive(is_interactive)

    def write(self, changes: dict[str, Any]) -> None:
        shell.write_inline(changes)


_NEW_LOGGER: Final = (logging.NOTSET, True, False)
_LEVELS: Final = {0: "NOTSET", 10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}

_IMPORTED_AS: Final = frozenset(
    {"pandas", "numpy printing", "numpy errors", "matplotlib", "matplotlib colors", "sklearn", "decimal"}
)

_SOURCES: Final[dict[str, _Source]] = {
    "environ": _Environ(),
    "decimal": _Decimal(),
    "decimal defaults": _DecimalDefaults(),
    "numpy printing": _NumpyPrinting(),
    "numpy errors": _NumpyErrors(),
    "pandas": _Pandas(),
    "matplotlib": _Matplotlib(),
    "matplotlib colors": _Colors(),
    "sklearn": _Sklearn(),
    "polars": _Polars(),
    "torch": _Torch(),
    "jax": _Jax(),
    "mpmath": _Mpmath(),
    "asyncio": _Asyncio(),
    "logging": _Logging(),
    "shell": _Shell(),
    "inline": _Inline(),
}
