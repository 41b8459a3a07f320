"""The magics: each parses its line and calls one function. Keeps one session per shell."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError as ShellUsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from traitlets import Bool, Integer, List, TraitError, Unicode, validate

from ckpt_magic.errors import CheckpointError, StoreError, UsageError
from ckpt_magic.faces import clearing, status, trusting, verbs
from ckpt_magic.faces.hooks import Hooks
from ckpt_magic.faces.notebook import Notebook
from ckpt_magic.faces.progress import Display
from ckpt_magic.files.format import StoredStep
from ckpt_magic.files.store import Store, check_name
from ckpt_magic.steps.failures import load_failed
from ckpt_magic.steps.freshness import Verdict
from ckpt_magic.steps.kernel import FAILED_CAP
from ckpt_magic.steps.lines import terminal
from ckpt_magic.steps.outputs import DEFAULT_CAP
from ckpt_magic.steps.push import push, push_failed
from ckpt_magic.steps.record import parse_size
from ckpt_magic.steps.registry import POLICIES, Decision, PipelineKey, StartPoint, StepCall, parse_start, steps_text
from ckpt_magic.steps.saves import not_saved
from ckpt_magic.steps.session import Session
from ckpt_magic.steps.settings import Settings
from ckpt_magic.values.ambient import SECRET_NAMES

T = TypeVar("T")

_ATTRIBUTE = "_ckpt_magic"
_NOTEBOOK = "_ckpt_magic_notebook"
_PATIENCE = 10.0  # seconds that %ckpt_status waits for what is being published, before it says `saving`
# names that IPython, its hosts and the interpreter make and remake; other dunder names are the user's
_HISTORY = r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h"
_IPYTHONS = re.compile(
    rf"{_HISTORY}|_sh|_exit_code|__(?:builtins?|cached|doc|file|loader|name|package|session|spec)__"
    r"|__warningregistry__|__(?i:vsc|vscode|dw|pydev|pydevd|jupyter|colab)_?\w*__"
)
_REMADE = re.compile(rf"{_HISTORY}|In|Out")  # with each cell


@magics_class
class CkptMagics(Magics):
    """Steps that leave checkpoints. Options are set in the IPython config or by `%config CkptMagics.…`."""

    start_from = Unicode("", help="Start point: a step number, auto, end or none.").tag(config=True)
    name = Unicode("", help="Name of the pipeline.").tag(config=True)
    version = Unicode("", help="Version of the pipeline.").tag(config=True)
    folder = Unicode("", help="Folder of the checkpoints.").tag(config=True)
    stale = Unicode("", help="What a number does with a stale step: restore, run or error.").tag(config=True)
    banner = Bool(True, help="Whether each step ends with a line that says what happened.").tag(config=True)
    restore_random = Bool(True, help="Whether a restored step puts the random generators back.").tag(config=True)
    secrets = List(
        Unicode(), help="Patterns of environment names never stored, e.g. *KEY*; empty for the default ones."
    ).tag(config=True)
    quota = Unicode("", help="Bytes that the checkpoints of a folder may take, e.g. 20 GB; empty for no limit.").tag(
        config=True
    )
    output_cap = Integer(DEFAULT_CAP, min=0, help="Bytes of displays recorded per step.").tag(config=True)
    sync = Bool(False, help="Whether a step ends only when its checkpoint is on the disk.").tag(config=True)
    check_payloads = Bool(True, help="Whether restored files are compared with their digests, in the background.").tag(
        config=True
    )
    advice = Bool(True, help="Whether it is said where to start after a cell changed what steps read.").tag(config=True)
    failed_cap = Integer(
        FAILED_CAP, min=0, help="Bytes kept of what a failed step had made, for %ckpt_load --failed; 0 keeps nothing."
    ).tag(config=True)
    handed_over = Unicode("", help="File with the options of `ckpt-magic run`; set by it.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell
        self._ipythons = frozenset(shell.user_ns_hidden)
        self.session: Session = getattr(shell, _ATTRIBUTE, None) or self._new_session()
        setattr(shell, _ATTRIBUTE, self.session)
        self.session.failed_cap = self.failed_cap
        self.hooks = Hooks(
            shell,
            self.session,
            verbs.parse_step,
            banner_text=status.banner_text,
            banner_html=status.banner_html,
            advice_data=verbs.safe_start,
            banner=self.banner and os.environ.get("CKPT_BANNER") != "0",
            cap=self.output_cap,
        )
        self._shown: dict[Path, str] = {}
        options = [
            "advice",
            "banner",
            "check_payloads",
            "failed_cap",
            "output_cap",
            "quota",
            "restore_random",
            "secrets",
        ]
        self.observe(self._apply_options, [*options, "sync"])

    def _new_session(self) -> Session:
        handed = _read_handed_over(self.handed_over)
        notebook = _notebook_path(self._shell.user_ns, handed)
        settings = Settings(
            notebook.parent if notebook else Path.cwd(),
            environ=os.environ,
            traits={option: getattr(self, option) for option in ("name", "version", "folder", "start_from", "stale")},
            handed=handed,
            notebook=notebook,
        )
        cells = Notebook(
            self._shell.transform_cell,
            settings.resolve,
            sources=handed.get("sources"),
            path=settings.notebook,
        )
        setattr(self._shell, _NOTEBOOK, cells)
        return Session(
            self._shell.user_ns,
            settings,
            hidden=self._hidden,
            remade=lambda name: _REMADE.fullmatch(name) is not None,
            restore_random=self.restore_random,
            secrets=self.secrets or SECRET_NAMES,
            quota=self._quota(),
            sync=self.sync,
            check_payloads=self.check_payloads,
            advice=self.advice,
            progress=Display(self._shell) if hasattr(self._shell, "kernel") else terminal,
            cells_after=cells.after,
            cell_of=cells.step,
        )

    def _hidden(self, names: Mapping[str, Any]) -> Set[str]:
        """Those names of the namespace that are IPython's, not the user's.

        What `%pylab` brings later IPython hides as well, but code goes on using it.
        """
        hidden = self._shell.user_ns_hidden
        found = {name for name in names if name[:1] == "_" and _IPYTHONS.fullmatch(name) is not None}
        own = self._ipythons & hidden.keys() & names.keys()
        return found | {name for name in own if hidden[name] is names[name]}

    def _apply_options(self, change: Any) -> None:
        """`%config CkptMagics.… = …` holds from the next step on."""
        self.hooks.banner = self.banner and os.environ.get("CKPT_BANNER") != "0"
        self.hooks.cap = self.output_cap
        self.session.restore_random = self.restore_random
        self.session.failed_cap = self.failed_cap
        self.session.secrets = self.secrets or SECRET_NAMES
        self.session.quota = self._quota()
        self.session.sync = self.sync
        self.session.check_payloads = self.check_payloads
        self.session.advice = self.advice

    @validate("quota")
    def _refuse_other_quotas(self, proposal: Any) -> Any:
        try:
            parse_size(proposal["value"] or "0")
        except UsageError as error:
            raise TraitError(f"CkptMagics.quota: {error}") from None
        return proposal["value"]

    def _quota(self) -> int | None:
        return parse_size(self.quota) if self.quota else None

    # -- the magics -----------------------------------------------------------------------------------------------

    @cell_magic
    def step(self, line: str, cell: str) -> None:
        """Run the cell as step N of a pipeline and keep a checkpoint, or restore it.

        Usage: %%step N [--name NAME] [--version V] [--folder F] [--title T]
                        [--save a b] [--drop a b] [--require a] [--depends PATH …] [--key EXPR]
                        [--always] [--stale restore|run|error] [--force]

        A step before the start point (see %ckpt_start) is restored if its checkpoint fits what this kernel holds:
        variables, random numbers and displays are as if it had run. Else it runs, and leaves a checkpoint.

          --name, --version, --folder   which pipeline, and where; see %ckpt_config for defaults
          --title T      shown in banner and status
          --save a b     save only these of the variables that the step made or changed
          --drop a b     leave these out
          --require a    the cell fails if this one cannot be saved
          --depends P …  files, folders or patterns that it depends on, beside those that it is seen to open
          --key EXPR     evaluated before the step; another value makes the step run
          --always       never restored: what it reads (a database, the network) may always be new
          --stale S      what a number does if code, files or packages changed: restore (and say so), run, or error;
                         `restore` typed here also vouches for changed variables
          --force        run whatever the start point, and save even over a file that is not ours (it is kept)

        Examples
        --------
        ::

            %%step 1 --name model-training --version 1
            dataset = clean_data(read_data_from_csv())

            %%step 3 --title "Train" --drop scratch
            model = fit(dataset)
        """
        self.hooks.run_step_cell(line, cell)

    @line_magic
    def ckpt_config(self, line: str) -> None:
        """Set or show the defaults of this kernel: name, version, folder, and what becomes of stale steps.

        Usage: %ckpt_config [--name NAME] [--version V] [--folder F] [--stale restore|run|error] [--sync | --no-sync]

        `%%step` options win over them; they win over CKPT_NAME, CKPT_VERSION, CKPT_FOLDER and the IPython config.
        A relative folder is meant against the notebook's folder.

          --sync   a step ends only when its checkpoint is on the disk; by default that goes on in the background

        Examples
        --------
        ::

            %ckpt_config --name model-training --version 2 --folder .ckpt
            %ckpt_config
        """
        parser = verbs.Arguments("%ckpt_config")
        verbs.add_pipeline(parser)
        parser.add_argument("--stale", choices=POLICIES)
        parser.add_argument("--sync", action=argparse.BooleanOptionalAction)
        _usage(self._configure, parser, line)

    def _configure(self, given: argparse.Namespace) -> None:
        if given.folder is not None:
            self.session.settings.folder(given.folder)  # refuses what cannot be one before anything is set
        for option in ("name", "version"):
            if getattr(given, option) is not None:
                check_name(getattr(given, option), option)
        self.session.settings.configure(name=given.name, version=given.version, folder=given.folder, stale=given.stale)
        if given.sync is not None:
            self.sync = given.sync
        if any(value is not None for value in vars(given).values()):
            return  # a stored notebook should not hold where it ran
        for option, (value, source) in self.session.settings.shown().items():
            _say(f"{option.replace('_from', ' point'):<12}{value if value is not None else '(none)'}  ({source})")
        _say(f"{'publishing':<12}{'before a step ends' if self.sync else 'in the background'}")

    @line_magic
    def ckpt_start(self, line: str) -> None:
        """Set or show the start point: the first step that must execute.

        Usage: %ckpt_start [N | auto | end | none] [--name NAME]
               %ckpt_start --changed VARIABLE … [--name NAME]

          N      steps below N are restored where they can be
          auto   every step that is fresh: nothing that it came from has changed
          end    every step that can be
          none   nothing is restored (the default)

        With --changed: say which stored steps read these variables, and from which step to start.
        Without --name it holds for every pipeline of this kernel that has no start point of its own.

        Examples
        --------
        ::

            %ckpt_start 3
            %ckpt_start auto --name model-training
            %ckpt_start --changed lr
        """
        parser = verbs.Arguments("%ckpt_start")
        parser.add_argument("start", nargs="?", metavar="N|auto|end|none")
        parser.add_argument("--name")
        parser.add_argument("--changed", nargs="+", default=[], metavar="VARIABLE")
        _usage(self._start, parser, line)

    def _start(self, given: argparse.Namespace) -> None:
        settings = self.session.settings
        if given.name is not None:
            check_name(given.name, "name")
        if given.changed:
            if given.start is not None:
                raise verbs.LineError("--changed gives advice; set the start point in a line of its own")
            key = self._key(argparse.Namespace(name=given.name, version=None, folder=None))
            advice = verbs.advise(key, given.changed, self.session.keyring)
            _say("\n".join(verbs.advice_text(one) for one in advice))
            return
        if given.start is not None:
            settings.set_start(parse_start(given.start), given.name)
        holds = settings.start(given.name or "")
        _say(_start_text(holds, given.name))
        if given.start is not None and holds != parse_start(given.start):
            _say("`ckpt-magic run` was given this start point, which wins over %ckpt_start")

    @line_magic
    def ckpt_load(self, line: str) -> Any:
        """Return the stored outputs, or put them into this kernel.

        Usage: %ckpt_load [STEP …] [--name NAME] [--version V] [--folder F] [--push [--force]] [--json]
               %ckpt_load --failed [STEP] [--push [--force]] [--json]

        Returns a mapping that reads a step when it is looked at: `outputs["step_1"]`, `outputs[1]` and
        `outputs.step_1` are the dict of that step's variables (for a method of a script: its return value).

          STEP      only these: 2, 1-3
          --push    put them into this kernel's variables, one line per step; nothing is displayed again
          --force   push although names exist here with other values
          --failed  what the last failed run of a step had made up to its error, with the traceback: a dict
          --json    a list of objects about the steps instead of their values; with --push receipts with the keys
                    `step, variables, bytes, seconds, lost`. `ckpt-magic load --help` has the keys of the others

        Examples
        --------
        ::

            outputs = %ckpt_load --name model-training
            outputs["step_1"]["dataset"]

            %ckpt_load 1-2 --name model-training --push
        """
        parser = verbs.Arguments("%ckpt_load")
        verbs.add_steps(parser)
        verbs.add_pipeline(parser)
        for option in ("--push", "--force", "--failed", "--json"):
            parser.add_argument(option, action="store_true")
        return _usage(self._load, parser, line)

    def _load(self, given: argparse.Namespace) -> Any:
        if given.force and not given.push:
            raise verbs.LineError("--force goes with --push")
        key = self._key(given)
        if given.failed:
            return self._load_failed(key, given)
        if not given.push:
            outputs = verbs.load(key, given.steps, self.session.keyring, need=self.session.mapped.need)
            return self._rows(key, set(outputs)) if given.json else outputs
        receipts = push(self.session, key, verbs.chosen_steps(key, given.steps), force=given.force)
        if given.json:
            return receipts
        for row in receipts:
            _say(verbs.receipt(row))
        return None

    def _load_failed(self, key: PipelineKey, given: Any) -> Any:
        step = verbs.one_step(given.steps)
        found = (
            push_failed(self.session, key, step, force=given.force)
            if given.push
            else load_failed(key, step, self.session.keyring)
        )
        return found.as_row() if given.json else found

    def _rows(self, key: PipelineKey, wanted: set[str]) -> list[dict[str, Any]]:
        found = self._look(name=key.name, version=key.version, folder=str(key.folder))
        return [row for row in found if f"step_{row['step']}" in wanted]

    @line_magic
    def ckpt_status(self, line: str) -> Any:
        """Show the steps: state, what the next run will do and why, times, sizes, variables.

        Usage: %ckpt_status [N] [--name NAME] [--version V] [--folder F] [--json]

        With a number: everything about that step. `--json` returns a list of objects with the keys `step, name,
        version, title, state, verdict, reasons, note, next, next_seconds, reason, run_seconds, restore_seconds, bytes,
        saved_at, variables, lost, path`. The verdict is `fresh`, `stale` and why, `missing`, `failed`, `foreign` or
        `could not tell`; steps that this kernel has not come to are judged by the notebook's file, if it is known.
        Nothing is loaded. What stands in files that are not trusted is marked `(?)`.

        Examples
        --------
        ::

            %ckpt_status
            %ckpt_status 3
            rows = %ckpt_status --name model-training --json
        """
        parser = verbs.Arguments("%ckpt_status")
        parser.add_argument("step", nargs="?", type=verbs.span, metavar="N")
        verbs.add_pipeline(parser)
        parser.add_argument("--json", action="store_true")
        return _usage(self._status, parser, line)

    def _status(self, given: argparse.Namespace) -> Any:
        self.session.wait(timeout=_PATIENCE)
        self.session.tell()
        found = self._look(name=given.name, version=given.version, folder=given.folder)
        if given.step is None:
            return list(found) if given.json else found
        about = verbs.details(found, given.step, self.session.keyring, self.session.registry.pipelines())
        if given.json:
            return [one.as_json() for one in about]
        return about[0] if len(about) == 1 else about

    def _look(self, **scope: str | None) -> status.Rows:
        session, planned = self.session, self._planned()

        own = {key for key, pipeline in session.registry.pipelines().items() if pipeline.steps}
        with suppress(UsageError):  # no name is known
            own.add(session.settings.resolve(StepCall(0)))

        def judging(key: PipelineKey, step: int, stored: StoredStep | None) -> Verdict | None:
            found = planned.get((key, step))
            if found is not None:
                return found[0]
            return session.appraise(key, step, stored) if key in own else None  # of others nothing is known here

        def outlook(key: PipelineKey, step: int, stored: StoredStep | None) -> Decision:
            found = planned.get((key, step))
            return session.outlook(key, step, stored) if found is None else found[1]

        return verbs.look(
            session.settings,
            session.keyring,
            pipelines=dict(session.registry.pipelines()),
            outlook=outlook,
            judging=judging,
            held=session.mapped.deleted(),
            named={key.name for key, _ in planned},
            **scope,
        )

    def _planned(self) -> dict[tuple[PipelineKey, int], tuple[Verdict, Decision]]:
        """What the notebook's file tells of the steps that this kernel has not come to."""
        from ckpt_magic.faces.plan import asked  # only this verb needs it

        session = self.session
        notebook, sources = session.settings.notebook, getattr(self._shell, _NOTEBOOK).texts()
        if notebook is None or sources is None:
            return {}
        try:
            start = str(session.settings.start(""))
            found = asked(
                sources, notebook, session.settings, session.keyring, pipeline={}, start=start, met=session.is_met
            )
        except CheckpointError:  # a line in it is wrong, which its cell will say
            return {}
        return {(key, step): told for (key, step), told in found.items() if not session.is_met(key, step)}

    @line_magic
    def ckpt_diff(self, line: str) -> Any:
        """Compare two versions of a pipeline: the code of each step, and the values that it left.

        Usage: %ckpt_diff V1 V2 [STEP…] [--name NAME] [--folder F] [--json]

        Values are read into a place of their own and compared by structure: numbers, frames (shape, columns, dtypes,
        changed cells), arrays (shape, greatest difference), dicts, objects by what they hold. `--json` returns a list
        of objects with the keys `step, code, source, seconds, values, problem`.

        Examples
        --------
        ::

            %ckpt_diff 1 2
            %ckpt_diff baseline tuned 3 --name model-training
        """
        parser = verbs.Arguments("%ckpt_diff")
        parser.add_argument("old", metavar="V1")
        parser.add_argument("new", metavar="V2")
        verbs.add_steps(parser)
        verbs.add_name_and_folder(parser)
        parser.add_argument("--json", action="store_true")
        return _usage(self._diff, parser, line)

    def _diff(self, given: argparse.Namespace) -> Any:
        keys = [self._key(argparse.Namespace(**vars(given), version=one)) for one in (given.old, given.new)]
        found = verbs.diff(keys[0], keys[1], given.steps, self.session.keyring)
        return list(found) if given.json else found

    @line_magic
    def ckpt_accept(self, line: str) -> None:
        """Vouch for a stale checkpoint: from now on it is fresh, until something else changes.

        Usage: %ckpt_accept N [--reason TEXT] [--name NAME] [--version V] [--folder F]

        What is accepted is what makes it stale now: the code, functions, values, files and versions as they are here.
        Date, causes and reason are recorded in the checkpoint, its values stay as they are; %ckpt_status shows them.
        Run the cells above the step first. What does not fit this kernel, and what cannot be compared, cannot be
        accepted. Which files new code would open is not known before it runs: those that it names count, and
        `--depends`.

        Examples
        --------
        ::

            %ckpt_accept 3 --reason "only the log line changed"
        """
        parser = verbs.Arguments("%ckpt_accept")
        parser.add_argument("step", type=verbs.step_number, metavar="N")
        parser.add_argument("--reason", default="", metavar="TEXT")
        verbs.add_pipeline(parser)
        _usage(self._accept, parser, line)

    def _accept(self, given: argparse.Namespace) -> None:
        key = self._key(given)
        verbs.chosen_steps(key, [(given.step, given.step)])
        _say("\n".join(verbs.accepted_lines(given.step, self.session.accept(key, given.step, given.reason))))

    @line_magic
    def ckpt_verify(self, line: str) -> None:
        """Run a step again, in a second process on the restored state before it, and compare what it leaves.

        Usage: %ckpt_verify N [--name NAME] [--version V] [--folder F]

        The notebook's file is what runs, up to that step; unmarked cells in it run, too. Nothing changes in this
        kernel and none of its checkpoints does. A step that draws random numbers which nothing seeded, or reads the
        clock, is told as such.

        Examples
        --------
        ::

            %ckpt_verify 2
        """
        parser = verbs.Arguments("%ckpt_verify")
        parser.add_argument("step", type=verbs.step_number, metavar="N")
        verbs.add_pipeline(parser)
        _usage(self._verify, parser, line)

    def _verify(self, given: argparse.Namespace) -> None:
        import subprocess  # here, since few verify a step

        key, notebook = self._key(given), self.session.settings.notebook
        if notebook is None:
            raise UsageError(
                "%ckpt_verify: the notebook's file is not known in this kernel; in a shell: "
                f"ckpt-magic verify NOTEBOOK --step {given.step}"
            )
        place = ["--name", key.name, "--version", key.version, "--folder", str(key.folder)]
        command = [sys.executable, "-m", "ckpt_magic", "verify", str(notebook), "--step", str(given.step), *place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stderr and not done.stdout:
            raise UsageError(done.stderr.strip().removeprefix("ckpt-magic: "))
        _say(done.stdout.rstrip())

    @line_magic
    def ckpt_clear(self, line: str) -> Any:
        """Delete checkpoints; without --yes only say which.

        Usage: %ckpt_clear [STEP … | --all] [--kept] [--older AGE] [--keep N] [--name NAME] [--version V] [--folder F]
                           [--dry-run | --yes] [--json]
               %ckpt_clear --quota SIZE [--folder F] [--dry-run | --yes] [--json]

          --all          all steps of the pipeline
          --kept         its files that were set aside (.bad-…, .kept-…)
          --older AGE    only what was saved longer ago than 30m, 6h, 14d, 2w; alone: of all steps
          --keep N       of all versions of the pipeline but the newest N; alone: all steps
          --quota SIZE   what was least recently saved or restored in the folder, of all pipelines, until the rest
                         takes no more than SIZE, such as 20GB; never a file that this kernel restored from

        Values that were restored from a deleted file stay valid: `held` are the bytes that stay on the disk for them.

        Examples
        --------
        ::

            %ckpt_clear 3
            %ckpt_clear --all --name model-training --version 1 --yes
            %ckpt_clear --keep 2 --older 14d --name model-training
        """
        parser = verbs.Arguments("%ckpt_clear")
        verbs.add_steps(parser)
        verbs.add_pipeline(parser)
        clearing.add_arguments(parser)
        return _usage(self._clear, parser, line)

    def _clear(self, given: argparse.Namespace) -> Any:
        self.session.wait()
        cleared = clearing.clear_given(
            given,
            given.steps,
            folder=self.session.settings.folder(given.folder),
            key=lambda: self._key(given),
            keyring=self.session.keyring,
            held=self.session.mapped.deleted,
            spared=self.session.mapped.needed,
        )
        if given.json:
            return list(cleared)
        _say(repr(cleared))
        return None

    @line_magic
    def ckpt_trust(self, line: str) -> None:
        """Accept checkpoint files of others, or their key.

        Usage: %ckpt_trust FILE|FOLDER [--yes]
               %ckpt_trust --key FILE [--yes]
               %ckpt_trust --resign [FOLDER]

        Reading a checkpoint can run code that its writer chose. This shows owner, date, size and all that the file
        would import, without loading it; `--yes` then signs the bytes that were shown. `--resign` signs what is trusted
        in a folder with the signing key of now (after `ckpt-magic key new`); what is not trusted stays as it is.

        Examples
        --------
        ::

            %ckpt_trust .ckpt
            %ckpt_trust .ckpt/model-training-v1-step1.pkl --yes
            %ckpt_trust --key colleague.key --yes
        """
        parser = verbs.Arguments("%ckpt_trust")
        trusting.add_arguments(parser)
        _usage(self._trust, parser, line)

    def _trust(self, given: argparse.Namespace) -> None:
        trusting.refuse_nonsense(given)
        settings = self.session.settings
        if given.key is not None:
            _say("\n".join(trusting.trust_key(settings.base / Path(given.key).expanduser(), yes=given.yes)))
            self.session.forget_keys()
        elif given.resign:
            self.session.wait()
            _say(repr(trusting.resign(settings.folder(given.path), self.session.keyring)))
        else:
            path = settings.base / Path(given.path).expanduser()
            self.session.wait()
            _say(repr(trusting.trust_path(path, self.session.keyring, self._shown, yes=given.yes)))

    def _key(self, given: argparse.Namespace) -> PipelineKey:
        """The pipeline that a magic is about."""
        key = verbs.pipeline(self.session.settings, given, "--name NAME")
        self.session.wait(key.folder)
        return key

    # -- completion -----------------------------------------------------------------------------------------------

    @context_matcher(identifier="ckpt_magic", priority=1000)  # type: ignore[untyped-decorator]
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete options, names, versions, variables and start points, and nothing else on our lines."""
        line = context.text_until_cursor
        match = _LINE.match(line)
        if match is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        words = line.split()
        last = words[-1] if line[-1].isspace() else words[-2]
        listing = next((word for word in reversed(words) if word.startswith("--")), "")
        found: Iterable[str] = ()
        if context.token.startswith("-"):
            found = _OPTIONS[match[1]]
        elif last in ("--name", "--version"):
            found = self._stored(last, words)
        elif match[1] == "step" and listing in ("--save", "--drop", "--require"):
            found = self.session.names()
        elif last == "%ckpt_start":
            found = ("auto", "end", "none")
        elif last == "--stale":
            found = POLICIES
        fitting = sorted(one for one in set(found) if one.startswith(context.token))
        completions = [SimpleCompletion(text=one, type="magic") for one in fitting]
        return SimpleMatcherResult(completions=completions, suppress=bool(completions))

    def _stored(self, option: str, words: list[str]) -> set[str]:
        given = {word: value for word, value in pairwise(words) if word.startswith("--")}
        try:
            folder = self.session.settings.folder(given.get("--folder"))
            entries = Store(folder).entries(given.get("--name") if option == "--version" else None)
        except (UsageError, StoreError):  # while typing is no time to complain
            return set()
        return {entry.name if option == "--name" else entry.version for entry in entries}


_PIPELINE = ("--name", "--version", "--folder")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "step": (
        *(*_PIPELINE, "--title", "--save", "--drop", "--require", "--depends", "--key", "--always", "--stale"),
        "--force",
    ),
    "ckpt_config": (*_PIPELINE, "--stale", "--sync", "--no-sync"),
    "ckpt_start": ("--name", "--changed"),
    "ckpt_load": (*_PIPELINE, "--push", "--force", "--failed", "--json"),
    "ckpt_status": (*_PIPELINE, "--json"),
    "ckpt_accept": ("--reason", *_PIPELINE),
    "ckpt_verify": _PIPELINE,
    "ckpt_diff": ("--name", "--folder", "--json"),
    "ckpt_clear": (
        *_PIPELINE,
        *("--all", "--kept", "--older", "--keep", "--quota", "--dry-run", "--yes", "--json"),
    ),
    "ckpt_trust": ("--key", "--resign", "--yes"),
}


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a magic prints


_LINE = re.compile(rf"\s*%%?({'|'.join(_OPTIONS)})\s")


def _start_text(start: StartPoint, name: str | None) -> str:
    whose = f" of `{name}`" if name else ""
    if isinstance(start, int):
        below = steps_text(range(1, start)) if start > 1 else ""
        meaning = f"{below} {'is' if start == 2 else 'are'} restored where possible" if below else "nothing is restored"
    else:
        meaning = {
            "auto": "every fresh step is restored",
            "end": "every step that can be is restored",
            "none": "nothing is restored",
        }[start]
    return f"start point{whose}: {start} ({meaning})"


def _usage(function: Callable[[argparse.Namespace], T], parser: verbs.Arguments, line: str) -> T:
    """Call with what a line gives; our own errors are as IPython shows wrong usage: one message, no traceback of ours.

    They stay what they are (`except StepNotFoundError` works), and so IPython has to be told how to show them.
    """
    try:
        return function(parser.parse_line(line))
    except verbs.LineError as error:
        raise ShellUsageError(parser.told(str(error))) from None
    except UsageError as error:
        raise ShellUsageError(str(error)) from None
    except CheckpointError as error:
        body = {"__module__": type(error).__module__, "_render_traceback_": _in_one_line}
        raise type(type(error).__name__, (ShellUsageError, type(error)), body)(str(error)) from None


def _in_one_line(error: CheckpointError) -> list[str]:
    return [f"{type(error).__name__}: {error}"]


def _read_handed_over(path: str) -> dict[str, Any]:
    """The options of `ckpt-magic run`."""
    if not path:
        return {}
    try:
        handed: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # going on without them could run, and save, what should be restored
        raise StoreError(f"the options of `ckpt-magic run` in {path} cannot be read ({error}); run it again") from error
    return handed


def _notebook_path(namespace: dict[str, Any], handed: dict[str, Any]) -> Path | None:
    """The notebook's file, where the host tells it and it is there."""
    told = (
        handed.get("notebook"),
        namespace.get("__vsc_ipynb_file__"),
        namespace.get("__session__"),
        os.environ.get("JPY_SESSION_NAME"),
    )
    for path in told:
        if isinstance(path, str) and path.endswith(".ipynb") and os.path.isfile(path):
            return Path(path).absolute()
    return None


# -- the extension --------------------------------------------------------------------------------------------------


def load(shell: Any) -> None:
    """Install magics and hooks; what this kernel knows of its steps survives a reload."""
    if _installed(shell) is not None:
        return
    magics = CkptMagics(shell)
    shell.register_magics(magics)
    magics.hooks.install()
    shell.Completer.custom_matchers.append(magics.complete)


def unload(shell: Any) -> None:
    """Take out all that `load` put in, except the memory of the steps."""
    magics = _installed(shell)
    if magics is None:
        return
    magics.hooks.uninstall()
    if magics.complete in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.complete)
    for name in _OPTIONS:
        shell.magics_manager.magics["cell" if name == "step" else "line"].pop(name, None)
    shell.magics_manager.registry.pop(CkptMagics.__name__, None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)


def unsaved(shell: Any) -> list[str]:
    """What `ckpt-magic run` asks at the end: the steps of this kernel without a checkpoint, when all is published."""
    magics = _installed(shell)
    if magics is None:
        return []
    magics.session.wait()
    magics.session.tell()
    found = magics.session.registry.pipelines().items()
    return [
        not_saved(key, record.step, record.reason)
        for key, pipeline in found
        for record in pipeline.steps.values()
        if record.state == "not saved"
    ]


def _installed(shell: Any) -> CkptMagics | None:
    found = shell.magics_manager.registry.get(CkptMagics.__name__)
    return found if isinstance(found, CkptMagics) else None
