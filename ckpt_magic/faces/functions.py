"""The verbs as Python functions, for scripts and notebooks without the magics; the package names them.

They read the same rows as the magics and the command line, with the keys of this user.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_magic.errors import UsageError
from ckpt_magic.faces.bundles import Contents
from ckpt_magic.faces.bundles import export as export_files
from ckpt_magic.faces.bundles import import_ as import_files
from ckpt_magic.faces.checking import Checked
from ckpt_magic.faces.checking import check as check_files
from ckpt_magic.faces.clearing import Cleared, Wanted, keep_to_quota
from ckpt_magic.faces.clearing import clear as clear_files
from ckpt_magic.faces.status import Rows, rows
from ckpt_magic.faces.trusting import Shown, trust_path
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store, check_name, folder_path
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.record import parse_age, parse_size
from ckpt_magic.steps.registry import PipelineKey

if TYPE_CHECKING:
    from ckpt_magic.faces.versions import VersionRows


def status(name: str | None = None, version: str | int | None = None, folder: str | Path = ".ckpt") -> Rows:
    """Look at the stored steps of a folder without loading any.

    Parameters
    ----------
    name, version
        Only these; None for all.
    folder
        Folder of the checkpoints.

    Returns
    -------
    Rows
        A list of dicts, one per step, as `%ckpt_status --json` gives; shows itself as a table. `next` is None: what
        the next run will do is known in a kernel only.
    """
    return rows(_store(folder), load_keyring(), name=name, version=_text(version))


def diff(
    name: str, old: str | int, new: str | int, steps: Iterable[int] = (), folder: str | Path = ".ckpt"
) -> VersionRows:
    """Compare two versions of a pipeline: the code of each step, and the values that it left.

    Parameters
    ----------
    name
        The pipeline.
    old, new
        The versions.
    steps
        Only these; by default all.
    folder
        Folder of the checkpoints.

    Returns
    -------
    VersionRows
        A list of dicts, one per step, as `%ckpt_diff --json` gives; shows itself as text and as HTML.

    Raises
    ------
    StepNotFoundError
        A version, or a step that was asked for, is not stored.
    """
    from ckpt_magic.faces.versions import differ  # which the other verbs need not pay for

    place = _store(folder).folder, check_name(name, "name")
    keys = [PipelineKey(*place, check_name(str(one), "version")) for one in (old, new)]
    return differ(keys[0], keys[1], load_keyring(), list(steps))


def check(name: str | None = None, version: str | int | None = None, folder: str | Path = ".ckpt") -> Checked:
    """Compare files with their signatures and digests, at the speed of the disk; nothing is unpickled.

    Parameters
    ----------
    name, version
        Only these; None for all.
    folder
        Folder of the checkpoints.

    Returns
    -------
    Checked
        A list of dicts, one per file, as `ckpt-magic check --json` gives; `well` tells whether all are whole.

    Raises
    ------
    StepNotFoundError
        Nothing is stored there.
    """
    return check_files(_store(folder), load_keyring(), name, _text(version))


def clear(
    name: str | None = None,
    version: str | int | None = None,
    folder: str | Path = ".ckpt",
    *,
    steps: Iterable[int] = (),
    all: bool = False,
    kept: bool = False,
    older: str | None = None,
    keep: int | None = None,
    quota: str | int | None = None,
    yes: bool = False,
) -> Cleared:
    """Delete checkpoints; without `yes` only tell which.

    Parameters
    ----------
    name, version
        The pipeline; by default version 1.
    folder
        Folder of the checkpoints.
    steps, all
        These steps of it, or all.
    kept
        Its files that were set aside.
    older
        Only what was saved longer ago than `30m`, `6h`, `14d`, `2w`.
    keep
        All versions but the newest so many; goes without `version`.
    quota
        Of the whole folder, what was least recently saved or restored, until the rest takes so many bytes at most
        (`20 GB`). Goes with `folder` and `yes` only.
    yes
        Really.

    Returns
    -------
    Cleared
        A list of dicts, one per file, as `%ckpt_clear --json` gives.

    Raises
    ------
    UsageError
        It is not said what to delete, or in two ways.
    StepNotFoundError
        A step is not stored.
    """
    spans = tuple((step, step) for step in steps)
    wanted = Wanted(spans, all, kept, None if older is None else parse_age(older), keep)
    store, keyring = _store(folder), load_keyring()
    if quota is not None:
        if wanted != Wanted() or name is not None or version is not None:
            raise UsageError("a quota is about a whole folder: only `folder` and `yes` go with it")
        most = parse_size(quota) if isinstance(quota, str) else quota
        return keep_to_quota(store, most, keyring, yes=yes)
    if name is None:
        raise UsageError("which pipeline? give its name")
    if keep is not None and version is not None:
        raise UsageError("`keep` is about all versions of a pipeline: leave out `version`")
    key = PipelineKey(store.folder, check_name(name, "name"), check_name(_text(version) or "1", "version"))
    return clear_files(key, wanted, keyring, yes=yes)


def export(
    name: str,
    output: str | Path,
    version: str | int = 1,
    folder: str | Path = ".ckpt",
    *,
    force: bool = False,
) -> Contents:
    """Write all steps of a version into one zip file.

    Parameters
    ----------
    name, version
        The pipeline.
    output
        The zip file.
    folder
        Folder of the checkpoints.
    force
        Replace the zip file if it is there.

    Returns
    -------
    Contents
        A list of dicts, one per step, as `ckpt-magic export --json` gives.

    Raises
    ------
    StepNotFoundError
        Nothing is stored under that name and version.
    StoreError
        The zip file is there already, or cannot be written.
    """
    key = PipelineKey(_store(folder).folder, check_name(name, "name"), check_name(str(version), "version"))
    return export_files(key, Path(output).expanduser().absolute(), load_keyring(), force=force)


def import_(file: str | Path, folder: str | Path = ".ckpt", *, yes: bool = False, force: bool = False) -> Shown:
    """Put the checkpoints of a zip file that `export` wrote into a folder.

    Parameters
    ----------
    file
        The zip file.
    folder
        Folder of the checkpoints.
    yes
        Sign them with the key of this user; look at what they would import first (the rows of a call without).
    force
        Also where checkpoints of these names are; those are kept aside.

    Returns
    -------
    Shown
        A list of dicts, one per file, as `ckpt-magic import --json` gives.

    Raises
    ------
    FormatError
        It is not a file that `export` wrote.
    StoreError
        Checkpoints are in the way, or the folder is read-only or full.
    """
    return import_files(Path(file).expanduser(), _store(folder), load_keyring(), yes=yes, force=force)


def trust(path: str | Path, *, yes: bool = False) -> Shown:
    """Show what is not trusted in a file or folder, and with `yes` sign it with the key of this user.

    Parameters
    ----------
    path
        A checkpoint file, or a folder of them.
    yes
        Sign.

    Returns
    -------
    Shown
        A list of dicts, one per file: whose it is, and all that its pickle would import. Nothing is loaded.

    Raises
    ------
    FormatError
        The one file cannot be signed.
    """
    return trust_path(Path(path).expanduser(), load_keyring(), {}, yes=yes)


def _store(folder: str | Path) -> Store:
    """The folder, once what is on its way there is in its place."""
    store = Store(folder_path(folder))
    publisher().wait(store.folder)
    return store


def _text(version: str | int | None) -> str | None:
    return None if version is None else str(version)
