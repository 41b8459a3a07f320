"""The command line: the verbs of the magics, and `run`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ckpt_magic
from ckpt_magic.errors import CheckpointError, UsageError
from ckpt_magic.faces import bundles, checking, clearing, schema, status, trusting, verbs
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import export_key, import_key, key_folder, load_keyring, new_key
from ckpt_magic.steps.failures import load_failed
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.steps.settings import Settings
from ckpt_magic.steps.stored import printable

_SHOWN_LINES = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        What follows the program's name; by default what the shell gave.

    Returns
    -------
    int
        0; 1 if something failed, or `check` found something; 2 if an argument is wrong; 130 if it was interrupted.
    """
    _mend_streams()
    parser = _parser()
    given = parser.parse_args(arguments)
    verb: Callable[[argparse.Namespace], int] = given.verb
    try:
        status = verb(given)
        sys.stdout.flush()
        return status
    except UsageError as error:
        _complain(error)
        return 2
    except CheckpointError as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        print("ckpt-magic: interrupted", file=sys.stderr)
        return 130
    except OSError as error:  # of what we write to; errors about files have names
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again at its end
        if isinstance(error, BrokenPipeError):  # `ckpt-magic status | head`
            return 0
        print(f"ckpt-magic: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1


def _mend_streams() -> None:
    """See to it that there are standard streams, and that they take every text."""
    for number in range(3):  # else a file that is opened later gets that number, and what a kernel prints
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ckpt-magic",
        description="Notebooks of numbered steps that are restored instead of executed.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ckpt-magic {ckpt_magic.__version__}")
    add_parser = parser.add_subparsers(title="verbs", required=True, metavar="VERB").add_parser
    as_typed = argparse.RawDescriptionHelpFormatter

    def add(verb: str, *, help: str) -> argparse.ArgumentParser:
        about = schema.help_text(verb)
        return add_parser(verb, allow_abbrev=False, formatter_class=as_typed, epilog=about, help=help)

    run = add("run", help="execute a notebook, restoring the steps before the start point")
    run.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    where = run.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", type=Path, metavar="OUT", help="by default NAME.out.ipynb beside the notebook")
    where.add_argument("--inplace", action="store_true", help="write the outputs into the notebook itself")
    run.add_argument("--start-from", metavar="N|auto|end|none", help="the first step that must execute")
    verbs.add_pipeline(run)
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a variable below the cell that is tagged `parameters`",
    )
    run.set_defaults(verb=_run)

    plan = add("plan", help="what the next run would do with each step; status 0: restore all, 10: run some")
    plan.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    plan.add_argument("--start-from", metavar="N|auto|end|none", help="by default what the notebook says, else auto")
    verbs.add_pipeline(plan)
    plan.add_argument("--json", action="store_true", help="a list of objects about the steps")
    plan.set_defaults(verb=_plan)

    look = add("status", help="show the steps: state, times, sizes, variables")
    _add_place(look)
    look.add_argument("--json", action="store_true", help="a list of objects about the steps")
    look.set_defaults(verb=_status)

    load = add("load", help="show what is stored; with steps, read and print their values")
    _add_place(load)
    load.add_argument("--json", action="store_true", help="a list of objects about the steps")
    load.add_argument("--failed", action="store_true", help="what the last failed run of a step had made")
    load.set_defaults(verb=_load)

    diff = add("diff", help="compare two versions of a pipeline: code and values, step by step")
    diff.add_argument("old", metavar="V1")
    diff.add_argument("new", metavar="V2")
    _add_what(diff)
    verbs.add_name_and_folder(diff)
    diff.add_argument("--json", action="store_true", help="a list of objects about the steps")
    diff.set_defaults(verb=_diff)

    verify = add(
        "verify", help="run a step again in a process of its own and compare: 0 reproduces, 10 differs, 1 failed"
    )
    verify.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    verify.add_argument("--step", type=verbs.step_number, required=True, metavar="N")
    verbs.add_pipeline(verify)
    verify.add_argument("--json", action="store_true", help="an object")
    verify.set_defaults(verb=_verify)

    accept = add("accept", help="vouch for a stale checkpoint: it is fresh until something else changes")
    accept.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    accept.add_argument("--step", type=verbs.step_number, required=True, metavar="N")
    accept.add_argument("--reason", default="", metavar="TEXT")
    verbs.add_pipeline(accept)
    accept.add_argument("--json", action="store_true", help="an object")
    accept.set_defaults(verb=_accept)

    clear = add("clear", help="delete checkpoints; without --yes only say which")
    _add_place(clear)
    clearing.add_arguments(clear)
    clear.set_defaults(verb=_clear)

    check = add("check", help="compare files with their signatures and digests; status 1 if something is not well")
    check.add_argument("what", nargs="*", metavar="NOTEBOOK", help="the notebook that wrote them")
    verbs.add_pipeline(check)
    check.add_argument("--json", action="store_true", help="a list of objects about the files")
    check.set_defaults(verb=_check)

    export = add(
        "export", help="write all steps of a version into one zip file; without -o only show what it would hold"
    )
    export.add_argument(
        "pipeline", nargs="?", metavar="NAME|NOTEBOOK", help="the pipeline, or the notebook that wrote it"
    )
    verbs.add_pipeline(export)
    export.add_argument("-o", "--output", type=Path, metavar="FILE.zip")
    export.add_argument("--force", action="store_true", help="replace FILE.zip if it is there")
    export.add_argument("--json", action="store_true", help="a list of objects about the steps")
    export.set_defaults(verb=_export)

    import_ = add("import", help="put the checkpoints of a zip file into a folder; who wrote them has to be trusted")
    import_.add_argument("file", type=Path, metavar="FILE.zip")
    import_.add_argument("--folder", help="folder of the checkpoints")
    import_.add_argument("--yes", action="store_true", help="sign them after showing what they would import")
    import_.add_argument("--force", action="store_true", help="where checkpoints are in the way: keep those aside")
    import_.add_argument("--json", action="store_true", help="a list of objects about the files")
    import_.set_defaults(verb=_import)

    trust = add("trust", help="accept checkpoint files of others, or their key")
    trusting.add_arguments(trust)
    trust.set_defaults(verb=_trust)

    key = add("key", help="show, export, import or change the keys that sign checkpoints")
    key.add_argument("action", choices=("show", "export", "import", "new"))
    key.add_argument("file", nargs="?", type=Path, metavar="FILE")
    key.set_defaults(verb=_key)
    return parser


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Add the notebook's path and steps, in any order, and the pipeline."""
    _add_what(parser)
    verbs.add_pipeline(parser)


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="*", default=[], metavar="NOTEBOOK|STEP", help="a notebook, and steps such as 2 or 1-3"
    )


# -- verbs ----------------------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> int:
    from ckpt_magic.faces import runner  # nbclient takes long to import, and only this verb needs it

    notebook: Path = given.notebook
    output = notebook if given.inplace else given.output or notebook.parent / f"{notebook.stem}.out.ipynb"
    options = runner.Options(given.start_from, given.name, given.version, given.folder, dict(given.parameter))
    return runner.run(notebook, output, options)


def _plan(given: argparse.Namespace) -> int:
    from ckpt_magic.faces.plan import plan  # only this verb needs it

    settings = _settings(given.notebook)
    pipeline = {option: getattr(given, option) for option in ("name", "version", "folder")}
    found = plan(given.notebook, settings, load_keyring(), pipeline=pipeline, start=given.start_from)
    print(status.rows_json(found) if given.json else found)
    return 10 if any(row["next"] == "run" for row in found) else 0


def _status(given: argparse.Namespace) -> int:
    settings, spans = _place(given)
    keyring = load_keyring()
    place = {option: getattr(given, option) for option in ("name", "version", "folder")}
    found = verbs.look(settings, keyring, **place, **_judged(settings, place))
    if not spans:
        print(status.rows_json(found) if given.json else repr(found))
        return 0
    about = [one for wanted in spans for one in verbs.details(found, wanted, keyring, {})]
    print(status.rows_json([one.as_json() for one in about]) if given.json else "\n\n".join(map(repr, about)))
    return 0


def _judged(settings: Settings, place: dict[str, str | None]) -> dict[str, Any]:
    """What a notebook that was named tells of its steps, for `verbs.look`."""
    if settings.notebook is None:
        return {}
    from ckpt_magic.faces.plan import asked  # with IPython, for which nobody else waits

    try:
        sources = verbs.code_cells(settings.notebook)
        found = asked(sources, settings.notebook, settings, load_keyring(), pipeline=place)
    except CheckpointError:  # it is not the notebook that status is about
        return {}
    return {
        "named": {key.name for key, _ in found},
        "judging": lambda key, step, stored: found.get((key, step), (None, None))[0],
        "outlook": lambda key, step, stored: found.get((key, step), (None, None))[1],
    }


def _load(given: argparse.Namespace) -> int:
    settings, spans = _place(given)
    key, keyring = _pipeline(settings, given), load_keyring()
    if given.failed:
        failed = load_failed(key, verbs.one_step(spans), keyring)
        print(json.dumps(failed.as_row(), indent=2) if given.json else repr(failed))
        return 0
    outputs = verbs.load(key, spans, keyring)
    if given.json:
        rows = status.rows(Store(key.folder), keyring, name=key.name, version=key.version)
        print(status.rows_json([row for row in rows if f"step_{row['step']}" in outputs]))
        return 0
    if not spans:
        print(outputs)
        return 0
    for label, value in outputs.items():
        print(label)
        for name, one in value.items() if isinstance(value, dict) else [("", value)]:
            print(f"  {name} = {_brief(one)}" if name else f"  {_brief(one)}")
    return 0


def _diff(given: argparse.Namespace) -> int:
    settings, spans = _place(given)
    keys = [_pipeline(settings, argparse.Namespace(**vars(given), version=one)) for one in (given.old, given.new)]
    found = verbs.diff(keys[0], keys[1], spans, load_keyring())
    print(status.rows_json(found) if given.json else found)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from ckpt_magic.faces.verify import verify  # nbclient again

    settings = _settings(given.notebook)
    report = verify(given.notebook, _pipeline(settings, given), given.step, load_keyring())
    print(json.dumps(report.as_row(), indent=2) if given.json else report.text())
    return {"reproduces": 0, "differs": 10}.get(report.verdict, 1)


def _accept(given: argparse.Namespace) -> int:
    from ckpt_magic.faces.accept import accept  # nbclient again

    settings = _settings(given.notebook)
    row = accept(given.notebook, _pipeline(settings, given), given.step, given.reason, load_keyring())
    lines = verbs.accepted_lines(given.step, [cause["line"] for cause in row["causes"]])
    print(json.dumps({"step": given.step, **row}, indent=2) if given.json else "\n".join(lines))
    return 0


def _clear(given: argparse.Namespace) -> int:
    settings, spans = _place(given)
    cleared = clearing.clear_given(
        given,
        spans,
        folder=settings.folder(given.folder),
        key=lambda: _pipeline(settings, given),
        keyring=load_keyring(),
    )
    print(status.rows_json(cleared) if given.json else cleared)
    return 0


def _check(given: argparse.Namespace) -> int:
    settings, spans = _place(given)
    if spans:
        raise UsageError("check: name a notebook, or a pipeline with --name and --version")
    shown = settings.shown()
    name, version = (shown[one][0] if shown[one][1] != "default" else None for one in ("name", "version"))
    store = Store(settings.folder(given.folder))
    found = checking.check(store, load_keyring(), given.name or name, given.version or version)
    print(status.rows_json(found) if given.json else found)
    return 0 if found.well else 1


def _export(given: argparse.Namespace) -> int:
    is_notebook = given.pipeline is not None and given.pipeline.endswith(".ipynb")
    if given.pipeline is not None and not is_notebook:
        if given.name is not None:
            raise UsageError("export: give the name once")
        given.name = given.pipeline
    settings = _settings(Path(given.pipeline) if is_notebook else None)
    key, keyring = _pipeline(settings, given), load_keyring()
    found, _ = bundles.contents(key, keyring)
    if not given.json:
        print(found)
    if given.output is not None:
        written = bundles.export(key, given.output, keyring, force=given.force)
        if not given.json:
            print(written.receipt())
    if given.json:
        print(status.rows_json(found))
    return 0


def _import(given: argparse.Namespace) -> int:
    store = Store(Settings(Path.cwd(), environ=os.environ).folder(given.folder))
    shown = bundles.import_(given.file, store, load_keyring(), yes=given.yes, force=given.force)
    print(status.rows_json(shown) if given.json else shown)
    return 0


def _trust(given: argparse.Namespace) -> int:
    trusting.refuse_nonsense(given)
    if given.key is not None:
        print("\n".join(trusting.trust_key(Path(given.key), yes=given.yes)))
    elif given.resign:
        folder = Settings(Path.cwd(), environ=os.environ).folder(given.path)
        print(trusting.resign(folder, load_keyring()))
    else:
        print(trusting.trust_path(Path(given.path), load_keyring(), {}, yes=given.yes))
    return 0


def _key(given: argparse.Namespace) -> int:
    alone = given.action in ("show", "new")
    if alone != (given.file is None):
        raise UsageError(f"key {given.action}: " + ("takes no file" if alone else "name a FILE"))
    if given.action == "import":
        print(f"accepted from now on: {import_key(given.file).id.hex()}")
        return 0
    if given.action == "new":
        old, new = new_key()
        print(f"signs from now on: {new.id.hex()}; {old.id.hex()} stays accepted (in {key_folder() / 'accepted'})")
        print("`ckpt-magic trust --resign FOLDER` signs with it what is trusted in a folder; running kernels sign with")
        print("the key so far until they are restarted")
        return 0
    keyring = load_keyring()
    if given.action == "export":
        export_key(keyring.signing, given.file)
        print(f"wrote the key {keyring.signing.id.hex()} to {given.file}; whoever has it can sign as you")
        return 0
    print(f"signs with   {keyring.signing.id.hex()}")
    for key in keyring.accepted:
        if key != keyring.signing:
            print(f"accepts      {key.id.hex()}")
    print(f"keys lie in  {key_folder()}")
    return 0


# -- which pipeline -------------------------------------------------------------------------------------------------


def _place(given: argparse.Namespace) -> tuple[Settings, list[verbs.Span]]:
    """The settings as they hold in the notebook that was named, and the steps."""
    notebooks = [Path(word) for word in given.what if word.endswith(".ipynb")]
    if len(notebooks) > 1:
        raise UsageError("name one notebook")
    try:
        spans = [verbs.span(word) for word in given.what if not word.endswith(".ipynb")]
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from None
    return _settings(notebooks[0] if notebooks else None), spans


def _settings(notebook: Path | None) -> Settings:
    """The settings as they hold in a notebook."""
    if notebook is not None and not notebook.is_file():
        raise UsageError(f"{notebook}: there is no such notebook")
    base = notebook.absolute().parent if notebook else Path.cwd()
    settings = Settings(base, environ=os.environ, notebook=notebook)
    if notebook is not None:
        settings.configure(**_said_in(notebook))
    return settings


def _said_in(notebook: Path) -> dict[str, str]:
    """Name, version and folder of the steps of a notebook, where all of them have the same."""
    cells = list(verbs.places(verbs.code_cells(notebook)))
    said = [place for line, place in cells if line is not None] or [place for _, place in cells[-1:]]
    return dict(frozenset.intersection(*(frozenset(place.items()) for place in said))) if said else {}


def _pipeline(settings: Settings, given: argparse.Namespace) -> PipelineKey:
    return verbs.pipeline(settings, given, "--name NAME, or a notebook's path")


def _complain(error: CheckpointError) -> None:
    """Show an error; it may hold names out of files that anybody wrote."""
    print("ckpt-magic: " + "\n".join(map(printable, str(error).split("\n"))), file=sys.stderr)


def _brief(value: object) -> str:
    """The first lines of a repr."""
    lines = repr(value).splitlines()
    shown = lines[:_SHOWN_LINES]
    more = [f"… {len(lines) - len(shown)} more lines"] if len(lines) > len(shown) else []
    return "\n    ".join(printable(line) for line in [*shown, *more])
