"""`trust` and keys: showing what a file would import, signing the bytes that were shown, accepting keys."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ckpt_magic.errors import CheckpointError, StepNotFoundError, UntrustedError, UsageError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems, signing
from ckpt_magic.files.store import Store, date_text, sign_again, trust
from ckpt_magic.files.trust import Keyring, import_key, key_folder, read_key
from ckpt_magic.steps.record import size
from ckpt_magic.steps.stored import printable


class Shown(list[dict[str, Any]]):
    """Rows about files that were shown, and perhaps signed; shows itself as text.

    Each row has the keys `path`, `state` (what the file was before: `trusted`, `other key`, `tampered`, `foreign`, or
    `damaged`, `newer`, `unreadable`, which cannot be signed), `reason` (of those), `owner`, `bytes`, `saved_at` (UTC),
    `claims` (what the file says of itself, which anybody can write), `imports` (all that its pickle would import) and
    `signed`.

    Attributes
    ----------
    head
        A line above the files.
    tail
        A line below.
    """

    head = ""
    tail = ""

    def __repr__(self) -> str:
        lines = [line for row in self for line in _lines(row)]
        return "\n".join([*filter(None, [self.head]), *lines, *filter(None, [self.tail])])

    def __reduce__(self) -> tuple[Any, ...]:
        # a variable that holds them is saved as what it is without this package: a list
        return list, (list(self),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `trust` takes."""
    parser.add_argument("path", nargs="?", metavar="FILE|FOLDER", help="a checkpoint file, or a folder of them")
    parser.add_argument("--key", metavar="FILE", help="accept the key in this file")
    parser.add_argument(
        "--resign", action="store_true", help="sign all that is trusted in FOLDER with the signing key of now"
    )
    parser.add_argument("--yes", action="store_true", help="sign; without it only show what would be signed")


def refuse_nonsense(given: argparse.Namespace) -> None:
    """`UsageError` if parsed arguments name nothing, or two things at once."""
    if given.resign and (given.key is not None or given.yes):
        raise UsageError("trust: --resign takes a folder and nothing else; it signs only what is trusted already")
    if not given.resign and (given.path is None) == (given.key is None):
        raise UsageError("trust: give a file or a folder, or --key FILE, or --resign")


def trust_path(path: Path, keyring: Keyring, before: MutableMapping[Path, str], *, yes: bool) -> Shown:
    """Show, and with `yes` sign, a file or what is not trusted in a folder.

    Parameters
    ----------
    before
        Digests of what was shown earlier; filled here. A file that changed since is not signed.

    Raises
    ------
    UntrustedError
        A file changed since it was shown.
    CheckpointError
        The one file cannot be signed.
    """
    if not os.path.isdir(path):
        return trust_files([path], keyring, before, yes=yes, tolerant=False)
    shown = trust_files(Store(path).pickles(), keyring, before, yes=yes)
    found = Shown(row for row in shown if row["state"] != "trusted")
    if not found:
        said = "all checkpoints in {} are trusted already" if shown else "there are no checkpoints in {}"
        found.tail = said.format(printable(str(path)))
    return found


def trust_files(
    paths: Iterable[Path], keyring: Keyring, before: MutableMapping[Path, str], *, yes: bool, tolerant: bool = True
) -> Shown:
    """Show files and, with `yes`, sign the very bytes that were shown.

    Parameters
    ----------
    before
        As for `trust_path`.
    tolerant
        A file that cannot be signed is a row of its own, not an error.
    """
    found = Shown()
    for path in paths:
        try:
            one = signing.show(path, keyring)
        except CheckpointError as problem:
            if not tolerant:
                raise
            found.append(_refused(path, problem))
            continue
        found.append(_row(one))
        if one.trust != "trusted":
            _sign(one, keyring, before, found, yes=yes)
    return found


def resign(folder: Path, keyring: Keyring) -> Shown:
    """Sign all that is trusted in a folder with the signing key; what is not trusted is left as it is.

    Each file is replaced, whole at every moment; arrays mapped from it stay valid.
    """
    if not os.path.exists(folder):
        raise StepNotFoundError(f"there is no folder {folder}")
    found = Shown()
    for path in Store(folder).pickles():
        try:
            stored = files.open_checkpoint(path, keyring)
            current = stored.footer is not None and stored.footer.key_id == keyring.signing.id
            if stored.trust == "trusted" and not current:
                sign_again(path, keyring)
        except CheckpointError as problem:
            found.append(_refused(path, problem))
            continue
        signed = stored.trust == "trusted"
        if not (signed and current):
            reason = str(stored.problem or "")
            found.append(_unshown(path, stored.trust, reason) | {"bytes": stored.size, "signed": signed})
    signed_now = sum(row["signed"] for row in found)
    found.tail = f"signed with {keyring.signing.id.hex()}: {signed_now} file{'' if signed_now == 1 else 's'}"
    if left := len(found) - signed_now:
        found.tail += f"; left as {'it is' if left == 1 else 'they are'}: {left} not trusted"
    return found


def trust_key(path: Path, *, yes: bool) -> list[str]:
    """Accept the key of a file, or say which it is."""
    key = import_key(path) if yes else read_key(path)
    done = f"accepted from now on (kept in {key_folder() / 'accepted'})" if yes else "not accepted yet; --yes accepts"
    return [f"key {key.id.hex()}: {done}. Whoever has it can run code here through checkpoints."]


def _sign(one: signing.Shown, keyring: Keyring, before: MutableMapping[Path, str], found: Shown, *, yes: bool) -> None:
    path = one.path.absolute()
    if yes and before.get(path, one.digest) != one.digest:
        before[path] = one.digest
        raise UntrustedError(f"{found!r}\n{printable(str(path))} changed since it was shown first; nothing was signed")
    before[path] = one.digest
    if yes:
        trust(path, keyring, one.digest)
        found[-1]["signed"] = True


def _row(one: signing.Shown) -> dict[str, Any]:
    return {
        "path": str(one.path),
        "state": one.trust,
        "reason": "",
        "owner": one.owner,
        "bytes": one.size,
        "saved_at": date_text(one.mtime),
        "claims": {key: one.meta.get(key) for key in ("step", "name", "version")} if one.meta else {},
        "imports": list(one.callables),
        "signed": False,
    }


def _unshown(path: Path, state: str, reason: str) -> dict[str, Any]:
    row = {"path": str(path), "state": state, "reason": reason, "owner": None, "bytes": None}
    return row | {"saved_at": None, "claims": {}, "imports": [], "signed": False}


def _refused(path: Path, problem: CheckpointError) -> dict[str, Any]:
    return _unshown(path, problems.state_of(problem), str(problem))


def _lines(row: Mapping[str, Any]) -> list[str]:
    path = printable(row["path"])
    if row["state"] == "trusted":
        return [f"{path}: signed again" if row["signed"] else f"{path} is trusted already"]
    if row["saved_at"] is None:  # nothing of it was shown
        reason = printable(row["reason"].split("\n", 1)[0])
        return [reason if reason.startswith(path) else f"{path}: {reason}"]
    claims = row["claims"]
    said = f"step {claims['step']} of `{claims['name']}` version {claims['version']}" if claims else "nothing"
    saved = row["saved_at"].replace("T", " ")[:16]
    kind = _KINDS.get(row["state"], row["state"])
    return [
        path,
        printable(f"  {kind} · owner {row['owner']} · {size(row['bytes'])} · {saved} UTC"),
        printable(f"  says of itself (anybody can write that): {said}"),
        printable(f"  its pickle would import: {', '.join(row['imports']) or 'nothing'}"),
        "  signed: it is trusted now" if row["signed"] else "  not signed; --yes signs these bytes",
    ]


_KINDS: Mapping[str, str] = {
    "other key": "someone else's checkpoint",
    "tampered": "TAMPERED: signed with a key of yours, changed afterwards",
    "foreign": "a pickle that ckpt_magic did not write",
}
