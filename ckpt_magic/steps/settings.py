"""Where name, version, folder and start point come from: several places, one order.

`ckpt-magic run` options > `%%step` options > `%ckpt_start`, `%ckpt_config` > environment > IPython config > default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ckpt_magic.errors import UsageError
from ckpt_magic.files.store import check_name, folder_path
from ckpt_magic.steps.registry import PipelineKey, Policy, StartPoint, StepCall, parse_policy, parse_start

_VARIABLES = {
    "name": "CKPT_NAME",
    "version": "CKPT_VERSION",
    "folder": "CKPT_FOLDER",
    "start_from": "CKPT_START_FROM",
}
_TYPED = ("ckpt-magic run", "%%step", "%ckpt_config")  # where an empty text is a mistake
_DEFAULTS = {"version": "1", "folder": ".ckpt", "start_from": "none", "stale": "restore"}


class Settings:
    """The settings of one kernel.

    Parameters
    ----------
    base
        Folder that relative folders are meant against: the notebook's, else the working directory at the start.
    environ
        Environment variables (`CKPT_NAME`, `CKPT_VERSION`, `CKPT_FOLDER`, `CKPT_START_FROM`).
    traits
        Values of the IPython config, by option name; empty ones count as not set, as in the environment.
    handed
        Options of `ckpt-magic run`; they win over everything.
    notebook
        Path of the notebook, if it is known.
    """

    def __init__(
        self,
        base: Path,
        *,
        environ: Mapping[str, str],
        traits: Mapping[str, Any] | None = None,
        handed: Mapping[str, Any] | None = None,
        notebook: Path | None = None,
    ) -> None:
        self.base = base.absolute()
        self.notebook = notebook.absolute() if notebook else None
        self._environ = environ
        self._traits = dict(traits or {})
        self._handed = dict(handed or {})
        self._configured: dict[str, str] = {}
        self._starts: dict[str | None, StartPoint] = {}

    def configure(
        self,
        *,
        name: str | None = None,
        version: str | None = None,
        folder: str | None = None,
        stale: str | None = None,
    ) -> None:
        """Set defaults for the steps that follow (`%ckpt_config`)."""
        given = {"name": name, "version": version, "folder": folder, "stale": stale}
        checks: Mapping[str, Callable[[str], str]] = {"folder": str, "stale": parse_policy}
        for option, value in given.items():
            if value is not None:
                self._configured[option] = checks[option](value) if option in checks else check_name(value, option)

    def set_start(self, start: StartPoint, name: str | None = None) -> None:
        """Set the start point of the pipeline `name`, or of all that have none of their own (`%ckpt_start`)."""
        self._starts[name] = start
        if name is None and not isinstance(start, int) and start == "none":
            self._starts = {None: start}

    def resolve(self, call: StepCall) -> PipelineKey:
        """Tell which pipeline a step belongs to.

        Raises
        ------
        UsageError
            There is no name, or one has characters that a file name may not have.
        """
        name = self.name(call)
        version = check_name(str(self._find("version", call.version)[0]), "version")
        return PipelineKey(self.folder(call.folder), check_name(name, "name"), version)

    def name(self, call: StepCall) -> str:
        """Name of the pipeline, by default that of the notebook."""
        name, _ = self._find("name", call.name)
        if name is None and self.notebook is not None:
            name = default_name(self.notebook)
        if name is None:
            raise UsageError(
                f"step {call.step}: the pipeline has no name, and the notebook's file is not known here; "
                "write `%%step N --name NAME`, or `%ckpt_config --name NAME` above"
            )
        return str(name)

    def is_default_name(self, call: StepCall) -> bool:
        """Whether the name is only the notebook's."""
        return self._find("name", call.name)[0] is None

    def folder(self, given: str | None = None) -> Path:
        """Folder of the checkpoints, absolute."""
        text = str(self._find("folder", given)[0])
        folder = folder_path(text, self.base)
        return folder.resolve() if ".." in folder.parts else folder  # one folder is one pipeline, however written

    def start(self, name: str) -> StartPoint:
        """The start point that holds for the pipeline `name`."""
        handed = self._handed.get("start_from")
        if handed not in (None, ""):
            return parse_start(handed)
        for scope in (name, None):
            if scope in self._starts:
                return self._starts[scope]
        return parse_start(self._find("start_from", None)[0])

    def stale(self) -> Policy:
        """What is done with a stale step that a number or `end` lets be restored."""
        return parse_policy(str(self._find("stale", None)[0]))

    def shown(self) -> dict[str, tuple[Any, str]]:
        """Each setting that holds now, and where it comes from."""
        shown: dict[str, tuple[Any, str]] = {}
        for option in ("name", "version", "folder", "start_from", "stale"):
            value, source = self._find(option, None)
            if option == "name" and value is None and self.notebook is not None:
                value, source = default_name(self.notebook), "notebook"
            if option == "folder":
                value = self.folder()
            if option == "start_from" and None in self._starts and source != "ckpt-magic run":
                value, source = self._starts[None], "%ckpt_start"
            shown[option] = (value, source)
        return shown

    def _find(self, option: str, given: str | None) -> tuple[Any, str]:
        places = (
            (self._handed.get(option), "ckpt-magic run"),
            (given, "%%step"),
            (self._configured.get(option), "%ckpt_config"),
            (self._environ.get(_VARIABLES.get(option, "")), _VARIABLES.get(option, "")),
            (self._traits.get(option), "config"),
        )
        for value, source in places:
            if value is not None and (value != "" or source in _TYPED):
                return value, source
        return _DEFAULTS.get(option), "default"


def default_name(notebook: Path) -> str:
    """Turn a notebook's file name into the name of a pipeline: other characters become `-`."""
    stem = notebook.name.removesuffix(".ipynb")
    text = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in stem)
    return text.strip("-.") or "notebook"
