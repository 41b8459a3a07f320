"""Run `%%step` cells natively: transformers, events and their life in a shell.

An input transformer turns the `%%step` line into a marker (`marking`); an AST transformer sees the marker, asks
the session once what to do, and leaves the body, or puts one statement in its place that restores or raises; the
event after the cell tells the session how it went. What a step holds and whether it runs is the session's business.
With `recording` the only user of IPython and ipykernel internals.

No exception leaves a transformer (IPython would unregister it and run the cell) nor a callback (it would be printed
while the cell counts as done), `SystemExit` included.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter  # not asked for in its module: a notebook may put a clock of its own there
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core import async_helpers
from IPython.core.error import UsageError as ShellUsageError
from IPython.utils.text import DollarFormatter

from ckpt_magic.errors import CheckpointError, CheckpointWarning, UsageError
from ckpt_magic.faces import marking, recording
from ckpt_magic.faces.contexts import Contexts
from ckpt_magic.faces.progress import Display
from ckpt_magic.steps import interrupts
from ckpt_magic.steps.outputs import DEFAULT_CAP
from ckpt_magic.steps.plan import Body, Outcome
from ckpt_magic.values.pickles.placeholder import Placeholder

if TYPE_CHECKING:
    import asyncio

    from ckpt_magic.steps.advice import Advice
    from ckpt_magic.steps.plan import Plan
    from ckpt_magic.steps.registry import StepCall
    from ckpt_magic.steps.session import Session


class Hooks:
    """What is installed in one shell so that its `%%step` cells work.

    Parameters
    ----------
    shell
        The IPython shell.
    session
        Decides, restores and saves; one per shell.
    parse
        Turns the text after `%%step` into a call; raises `UsageError`.
    banner_text, banner_html
        Render the facts that `session.finish` returns.
    advice_data
        Renders the advice that `session.cell_ends` returns: data to display, by MIME type.
    banner
        Whether to publish the banner at all; may be changed later, as an attribute.
    cap
        Bytes of displays recorded per step; may be changed later, as an attribute.
    """

    def __init__(
        self,
        shell: Any,
        session: Session,
        parse: Callable[[str], StepCall],
        *,
        banner_text: Callable[[dict[str, Any]], str],
        banner_html: Callable[[dict[str, Any]], str] | None = None,
        advice_data: Callable[[Sequence[Advice]], dict[str, str]] | None = None,
        banner: bool = True,
        cap: int = DEFAULT_CAP,
    ) -> None:
        self.shell = shell
        self.session = session
        self.banner = banner
        self.cap = cap
        self._parse = parse
        self._banner_text = banner_text
        self._banner_html = banner_html
        self._advice_data = advice_data
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._threads = threading.local()
        self._active: _Step | None = None
        self._unmarked: _Cell | None = None
        self._installed = False
        self._loaded = False  # whether the cell that loads us has ended
        # Bound methods are made anew at each access; events and lists compare by identity of these.
        self._transform = _Transform(self)
        self._decide = _Decide(self)
        self._contexts = Contexts()
        self._events: dict[str, Callable[..., None]] = {
            "pre_execute": self._pre_execute,
            "pre_run_cell": self._pre_run_cell,
            "post_execute": self._post_execute,
            "post_run_cell": self._post_run_cell,
        }
        self._patches = recording.Patches()
        progress = getattr(session, "progress", None)
        self._progress = progress if isinstance(progress, Display) else Display(shell)

    def install(self) -> None:
        """Register everything; harmless when repeated."""
        if self._installed:
            return
        self._installed = True
        self.shell.input_transformers_cleanup.append(self._transform)
        self.shell.ast_transformers.append(self._decide)
        for event, function in self._events.items():
            self.shell.events.register(event, function)
        # `%%step` below code arrives as a line magic of this name
        self.shell.magics_manager.magics["line"]["%step"] = _misplaced
        self._patches.set(self.shell, "reset", self._wrap_reset)
        self._patches.set(self.shell, "user_expressions", self._wrap_outside)
        handlers = getattr(getattr(self.shell, "kernel", None), "shell_handlers", {})
        for message in ("comm_open", "comm_msg", "comm_close"):  # callbacks of widgets
            self._patches.set_entry(handlers, message, self._wrap_outside)
        self._patches.set(self.session, "loop", lambda _: self._loop)

    def uninstall(self) -> None:
        """Take everything out; a step that is running leaves no checkpoint."""
        if not self._installed:
            return
        self._installed = False
        _remove(self.shell.input_transformers_cleanup, self._transform)
        _remove(self.shell.ast_transformers, self._decide)
        for event, function in self._events.items():
            _remove(self.shell.events.callbacks[event], function)
        if self.shell.magics_manager.magics["line"].get("%step") is _misplaced:
            del self.shell.magics_manager.magics["line"]["%step"]
        self._patches.undo()
        if self._mine():
            self._drop_step("ckpt_magic was unloaded while the step ran")
            self._end_unmarked()

    def run_step_cell(self, line: str, cell: str) -> None:
        """Run a step for hosts that bypass the transformer (`run_cell_magic`, scripts written by nbconvert).

        Re-enters `run_cell`, so that all is as in a notebook cell except top-level `await` inside a running event loop.

        Raises
        ------
        BaseException
            What the body raised; shown once, by the caller's cell.
        """
        source = f"%%step {line}\n{cell}"
        if not self._mine():  # inherited by a forked child: the code runs, nothing is saved
            _say("this is a forked process: the step runs as plain code and leaves no checkpoint")
            source = cell
        patches = recording.Patches()
        depth = len(self._cells())

        def quiet(original: Callable[..., Any]) -> Callable[..., Any]:
            def show(*args: Any, **kwargs: Any) -> Any:
                if len(self._cells()) > depth + 1:  # the error of a cell nested in the step: its own business
                    return original(*args, **kwargs)
                return None

            return show

        for name in ("showtraceback", "showsyntaxerror", "showindentationerror"):
            patches.set(self.shell, name, quiet)
        try:
            result = self.shell.run_cell(source, store_history=False)
        finally:
            patches.undo()
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error

    # -- the input transformer ------------------------------------------------------------------------------------

    def rewrite(self, lines: list[str]) -> list[str]:
        """Turn the `%%step` line into the marker; pure, called several times per cell, never raises."""
        if not self._mine():
            return lines
        try:
            if self._cell() is None:
                self._contexts.cell_comes()
            return marking.rewrite(lines)
        except Exception:  # noqa: BLE001  (the real magic then takes the cell)
            return lines

    # -- the AST transformer --------------------------------------------------------------------------------------

    def visit(self, tree: ast.Module) -> ast.Module:
        """Decide about one executed cell; never raises."""
        if not self._mine():
            return tree
        try:
            with interrupts.held() as released:
                self._visit(tree, released)
        except KeyboardInterrupt as error:  # it came while we were busy, and is the cell's
            with interrupts.held():
                tree.body = [_raising(self._name(_for_user(error)), tree.body[0] if tree.body else None)]
        except BaseException as error:  # noqa: BLE001  (our own mistake; the marker, if there was one, is out: the cell may not run)
            with suppress(BaseException):  # the last words of a failure
                _say(f"the cell was not run: {error!r}")
            tree.body = []
        return tree

    def _visit(self, tree: ast.Module, released: interrupts.Released) -> None:
        cell = self._cell()
        inner = cell is not None and cell.visited
        if cell is not None:
            cell.visited = True
            if (interrupt := cell.interrupt) is not None:
                cell.interrupt = None
                raise interrupt
        index, line = marking.find(tree)
        if line is None:
            if cell is not None and not inner:
                cell.tree = tree
                with released():
                    self._begin_unmarked(cell)
            return
        head = tree.body[index]
        del tree.body[index]
        try:
            if cell is not None and not inner:
                cell.filename = self._filename(cell)
                marking.show_as_typed(cell.filename, head.lineno, line)
            self._step(tree, head, line, cell, inner, released)
        except BaseException as error:  # noqa: BLE001  (visit must not raise: the cell becomes one `raise`)
            tree.body = [_raising(self._name(_for_user(error)), head)]

    def _step(
        self,
        tree: ast.Module,
        head: ast.stmt,
        line: str,
        cell: _Cell | None,
        inner: bool,
        released: interrupts.Released,
    ) -> None:
        if line.rstrip().endswith("\\"):
            raise UsageError("%%step: the options must stand on one line; a line continuation is not read")
        call = self._parse(_expand(self.shell, line))
        label = f"step {call.step}"
        if not tree.body:
            raise UsageError(f"{label}: there is no code below the %%step line, so nothing to run or to save")
        with self._lock:
            if self._active is not None:
                _say(
                    f"{label}: met while step {self._active.call.step} runs, so it runs as plain code of that step"
                    " and leaves no checkpoint of its own"
                )
                return
            if cell is None or cell.info is None:
                raise UsageError(
                    f"{label}: this cell runs silently (`%run other.ipynb` does that), where no checkpoint can be"
                    " saved, so it was not run; run the cell itself, or `%%step` around the `%run` line"
                )
            if inner and _asking_magic() != "time":
                raise UsageError(
                    f"{label}: the magic above it runs the body in its own way, which leaves no checkpoint, so it was"
                    " not run; put the magic on the line below `%%step`"
                )
            self._end_unmarked()
            step = _Step(call, cell, inner)
            self._active = step
        try:
            body = self._body(tree, cell)
            self._progress.is_on = self.banner
            self._progress.may_clear = not inner
            with released(), self._contexts.kept():
                step.plan = self.session.begin(call, body)
        except BaseException:
            self._active = self.session.active = None
            raise
        finally:
            self._progress.may_clear = False
            self._progress.take()  # the banner stands below all that the step shows, so not there
        if step.plan.action == "restore":
            features = marking.features(tree)
            statement = ast.Expr(ast.Call(func=self._name(lambda: self._restore(step, features)), args=[], keywords=[]))
            tree.body = [ast.fix_missing_locations(ast.copy_location(statement, head))]
        else:
            if inner:
                self._watch_end(tree, step)
            step.recorder = recording.record(self.shell, self.cap)
            step.patches.set(self.shell, "_showtraceback", lambda original: self._note_error(step, original))
        step.started = perf_counter()

    def _note_error(self, step: _Step, original: Callable[..., Any]) -> Callable[..., Any]:
        """Note an error that is shown while the cell goes on: IPython 8's `%%time` swallows that of its body.

        The error of a nested `run_cell` is that cell's own; the step survived it.
        """

        def show(*args: Any, **kwargs: Any) -> Any:
            if self._cell() is step.cell:
                step.errors += 1
            return original(*args, **kwargs)

        return show

    def _watch_end(self, tree: ast.Module, step: _Step) -> None:
        """Let the last statement say that the body came to its end.

        The body of a `%%time` above `%%step`: what that magic prints afterwards is not part of the step, and old
        versions of IPython swallow the error of such a body.
        """
        step.ended = False

        def end(*values: Any) -> Any:
            step.ended = True
            if step.recorder is not None:
                step.recorder.stop()
            if values:
                step.value = values[:1]
                return values[0]
            return None

        last = tree.body[-1]
        call = ast.Call(func=self._name(end), args=[], keywords=[])
        if isinstance(last, ast.Expr):
            call.args.append(last.value)
            last.value = ast.copy_location(call, last.value)
            ast.fix_missing_locations(last)
        else:
            tree.body.append(ast.fix_missing_locations(ast.copy_location(ast.Expr(call), last)))

    def _restore(self, step: _Step, features: int) -> Any:
        """Stand for the body: put the values in place and show what the step showed."""
        with interrupts.held(), self._contexts.kept():
            restored = self.session.restore(step.plan)  # type: ignore[arg-type]
            step.restored = True
        recording.replace_results(self.shell, restored.replaced)
        self.shell.compile.flags |= features  # what the body imports from `__future__` holds for the cells below
        if not step.inner or type(restored.result) is Placeholder:  # which nobody may show
            recording.replay(self.shell, restored.outputs, has_result=restored.has_result, result=restored.result)
            return None
        # The value goes to the magic above, which gives it to the displayhook as if the body had run.
        recording.replay(self.shell, restored.outputs)
        return restored.result if restored.has_result else None

    def _name(self, value: Any) -> ast.Name:
        """Give generated code access to `value` by a name that nobody can type, gone with the cell.

        It is put among the builtins: the user's namespace is not touched and cannot hide it.
        """
        name = f"<ckpt_magic {id(value):x}>"
        builtins.__dict__[name] = value
        cell = self._cell()
        (cell.names if cell is not None else self._stray).append(name)
        return ast.Name(id=name, ctx=ast.Load())

    @property
    def _stray(self) -> list[str]:
        names: list[str] = self._threads.__dict__.setdefault("names", [])
        return names

    def _body(self, tree: ast.Module, cell: _Cell) -> Body:
        raw = str(cell.info.raw_cell)
        return Body(source=marking.below(raw), tree=ast.Module(list(tree.body), []), filename=cell.filename, cell=raw)

    def _filename(self, cell: _Cell) -> str:
        """Return the file name under which IPython compiles this cell."""
        if cell.info is None:
            return cell.filename
        raw = cell.info.raw_cell
        code = getattr(cell.info, "transformed_cell", None) or self.shell.transform_cell(raw)
        count = self.shell.execution_count
        for number in (count, count - 1):  # IPython 9 counts before it compiles, 8 after
            name = str(self.shell.compile.get_code_name(raw, code, number))
            if name in linecache.cache:
                return name
        return cell.filename

    # -- events ---------------------------------------------------------------------------------------------------

    def _pre_execute(self) -> None:
        if self._mine():
            cell = _Cell()
            try:
                with interrupts.held():
                    self._close_missed()
                    self._cells().append(cell)
            except KeyboardInterrupt as error:  # IPython would print it and run the cell, whose it is
                cell.interrupt = error

    def _pre_run_cell(self, info: Any) -> None:
        cell = self._cell()
        if self._mine() and cell is not None:
            cell.info = info  # without this event the cell is a silent one

    def _post_execute(self) -> None:
        cell = self._cell()
        if self._mine() and cell is not None:
            cell.over = True
            if cell.info is None:
                self._close(cell)

    def _post_run_cell(self, result: Any) -> None:
        if not self._mine():
            return
        try:
            # IPython has put away what `exit`, `get_ipython` and `sys.displayhook` are while a cell runs: who looks
            # now must see them as they were when the cell began
            with interrupts.held(), self.shell.builtin_trap, self.shell.display_trap:
                cell = self._ended(result)
                if cell is None:
                    self._unseen(result)
                    return
                cell.failed = not getattr(result, "success", False)
                step = self._active
                if step is not None and step.cell is cell:
                    self._finish(step, result)
                self._close(cell)
                if self._cells() and self._active is None:  # back in the cell around it, e.g. %%capture
                    self._begin_unmarked(self._cells()[0])
        except BaseException as error:  # noqa: BLE001  (nothing may leave a callback)
            _warn(f"after the cell: {error!r}")

    def _unseen(self, result: Any) -> None:
        """Tell the session of the cell that loaded us, which ends without having begun; empty cells do, too."""
        raw = getattr(getattr(result, "info", None), "raw_cell", "")
        if raw.strip() and not self._loaded:
            self._loaded = True
            self.session.loaded_by(self.shell.transform_cell(raw))

    def _ended(self, result: Any) -> _Cell | None:
        """Find the cell that this event is about; empty cells end without having begun."""
        cells = self._cells()
        info = getattr(result, "info", None)
        for cell in reversed(cells):
            if cell.info is info and info is not None:
                return cell
        if not cells:
            return None
        top = cells[-1]
        # When the event loop was interrupted IPython makes up a second `info` for the same cell, or has none at all.
        failed = result is None or getattr(result, "error_in_exec", None) is not None
        if failed and (info is None or info.raw_cell == getattr(top.info, "raw_cell", None)):
            return top
        return None

    def _finish(self, step: _Step, result: Any) -> None:
        seconds = perf_counter() - step.started
        step.patches.undo()
        try:
            outcome = self._outcome(step, result, seconds)
            facts = self._contexts.outside(self.session.finish, step.plan, outcome)
            self._active = None
            if facts is not None and self.banner:
                self._publish(facts)
        except CheckpointError as error:  # meant for the user: `--require` of what cannot be saved
            self._fail(result, error)
        except BaseException as error:  # noqa: BLE001  (a `__reduce__` may do anything, and the cell has run)
            _warn(f"step {step.call.step}: no checkpoint was saved, its results are alive: {error!r}")
        finally:
            self._active = None
            self._progress.take()
            if step.plan is not None and self.session.active is step.plan:
                self.session.abandon(step.plan, "its end was not told")

    def _fail(self, result: Any, error: CheckpointError) -> None:
        """Let the cell end with this error, after it has run; callbacks have no other way to say so."""
        shown = _for_user(error)
        self.shell.showtraceback((type(shown), shown, None))
        if result is not None:
            result.error_in_exec = shown

    def _outcome(self, step: _Step, result: Any, seconds: float) -> Outcome:
        success = bool(result is not None and result.success) and step.ended
        if step.recorder is None:
            return Outcome(success and step.restored, seconds=seconds)
        recorder, outputs = step.recorder, step.recorder.outputs
        recorder.stop()
        if success and step.errors:
            success = False
            _say(f"step {step.call.step}: an error was shown while it ran, so it counts as failed and is not saved")
        has_result, value = recorder.has_result, recorder.result
        if step.value:
            has_result, value = step.value[0] is not None, step.value[0]
        if not success:
            error = None if result is None else result.error_in_exec
            return Outcome(False, seconds=seconds, error=error)
        return Outcome(True, outputs.result(), outputs.cut, has_result, value, seconds)

    def _publish(self, facts: dict[str, Any]) -> None:
        data = {"text/plain": self._banner_text(facts)}
        if self._banner_html is not None:
            data["text/html"] = self._banner_html(facts)
        options = {}
        if (shown := self._progress.take()) is not None:  # nothing is left of it
            options = {"transient": {"display_id": shown}, "update": True}
        self.shell.display_pub.publish(data, {"ckpt_magic": facts}, **options)

    # -- cells of this thread, outermost first --------------------------------------------------------------------

    def _cells(self) -> list[_Cell]:
        cells: list[_Cell] = self._threads.__dict__.setdefault("cells", [])
        return cells

    def _cell(self) -> _Cell | None:
        cells = self._cells()
        return cells[-1] if cells else None

    def _close(self, cell: _Cell) -> None:
        cells = self._cells()
        while cells:
            top = cells.pop()
            for name in top.names:
                builtins.__dict__.pop(name, None)
            if self._unmarked is top:
                self._end_unmarked()
            if self._active is not None and self._active.cell is top and top is not cell:
                self._drop_step("IPython never told the end of its cell")
            if top is cell:
                return

    def _close_missed(self) -> None:
        """Close what an interrupt at the very start of our callbacks left open."""
        cells = self._cells()
        while cells and cells[-1].over:
            if self._active is not None and self._active.cell is cells[-1]:
                self._drop_step("the end of its cell was interrupted")
            self._close(cells[-1])
        while not cells and self._stray:
            builtins.__dict__.pop(self._stray.pop(), None)

    def _begin_unmarked(self, cell: _Cell) -> None:
        with self._lock:
            if (
                self._active is not None or self._unmarked is not None
            ):  # part of the step that runs, or of an outer cell
                self.session.cell_inside(cell.tree)
                return
            self._unmarked = cell
            if cell.info is None:  # a silent one, which is no cell of the notebook
                return
            try:
                self.session.cell_begins(cell.tree)
            except Exception as error:  # noqa: BLE001
                _warn(f"before the cell: {error!r}")
                self.session.outside_ran()  # what it does is seen by nobody

    def _end_unmarked(self) -> None:
        with self._lock:
            cell, self._unmarked = self._unmarked, None
            if cell is None:
                return
            try:
                if cell.info is None:
                    self.session.outside_ran()
                else:
                    found = self._contexts.outside(self.session.cell_ends, failed=cell.failed, text=cell.info.raw_cell)
                    if found and self.banner and self._advice_data is not None:
                        rows = [one.as_row() for one in found]
                        self.shell.display_pub.publish(self._advice_data(found), {"ckpt_magic": {"advice": rows}})
            except Exception as error:  # noqa: BLE001
                _warn(f"after the cell: {error!r}")

    def _drop_step(self, reason: str) -> None:
        step, self._active = self._active, None
        if step is None:
            return
        step.patches.undo()
        if step.recorder is not None:
            step.recorder.stop()
        if step.plan is not None:
            self.session.abandon(step.plan, reason)

    def _wrap_reset(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`%reset` has no event; IPython's method does it."""

        def reset(*args: Any, **kwargs: Any) -> Any:
            outcome = original(*args, **kwargs)
            if self._mine():
                self._drop_step("the namespace was reset while the step ran")
                self.session.reset()
            return outcome

        return reset

    def _wrap_outside(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Code that runs apart from all cells: callbacks of widgets, expressions that a front end evaluates."""

        def outside(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            finally:
                if self._mine() and any((*args, *kwargs.values())):  # front ends send empty expressions all the time
                    with self._lock:
                        self.session.outside_ran()

        return outside

    def _loop(self) -> asyncio.AbstractEventLoop | None:
        """Where tasks of the notebook wait while no cell runs: IPython's own loop, outside a kernel."""
        return None if hasattr(self.shell, "kernel") else getattr(async_helpers, "_asyncio_event_loop", None)

    def _mine(self) -> bool:
        """Whether this is the process we were installed in; in a forked child the hooks do nothing."""
        return os.getpid() == self._pid


class _Transform:
    """The input transformer, as IPython wants it."""

    # check_complete() then skips it, and `%%step` stays "incomplete" while it is typed, as any cell magic
    has_side_effects = True

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def __call__(self, lines: list[str]) -> list[str]:
        return self._hooks.rewrite(lines)


class _Decide(ast.NodeTransformer):
    """The AST transformer, as IPython wants it."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def visit(self, node: ast.AST) -> ast.AST:
        return self._hooks.visit(node) if isinstance(node, ast.Module) else node


@dataclass(eq=False)
class _Cell:
    """A cell that this thread is running; without `info` it is a silent one."""

    info: Any = None
    over: bool = False
    visited: bool = False
    tree: ast.Module | None = None
    filename: str = "<ckpt_magic step>"
    names: list[str] = field(default_factory=list)
    failed: bool = False
    interrupt: KeyboardInterrupt | None = None  # it came as the cell began


@dataclass(eq=False)
class _Step:
    call: StepCall
    cell: _Cell
    inner: bool  # below a magic such as %%time, which compiles the body itself
    plan: Plan | None = None
    recorder: recording.Recorder | None = None
    started: float = 0.0
    restored: bool = False
    ended: bool = True
    value: tuple[Any, ...] = ()
    errors: int = 0
    patches: recording.Patches = field(default_factory=recording.Patches)


def _raising(error: ast.expr, at: ast.stmt | None) -> ast.stmt:
    """Return a statement that raises, at the place of another one."""
    statement = ast.Raise(exc=error, cause=None, lineno=1, col_offset=0)
    return ast.fix_missing_locations(statement if at is None else ast.copy_location(statement, at))


def _expand(shell: Any, line: str) -> str:
    """`{v}` and `$v`, as in any magic; not `shell.var_expand`, which would see the names of our frames."""
    try:
        return str(DollarFormatter().vformat(line, args=[], kwargs=dict(shell.user_ns)))
    except Exception:  # noqa: BLE001  (as IPython: what cannot be expanded stays as it is)
        return line


def _for_user(error: BaseException) -> BaseException:
    """Return what the cell raises: usage errors as IPython's, which are shown in one line."""
    if isinstance(error, UsageError):
        return ShellUsageError(str(error))
    if isinstance(error, CheckpointError | KeyboardInterrupt):
        error.__suppress_context__ = True
        if isinstance(error.__cause__, OSError):  # its words are in the message
            error.__cause__ = None
        return error.with_traceback(None)  # how we found out is of no use to the user
    return error


def _asking_magic() -> str:
    """Return the name of the function that had a body of its own transformed: `time`, `timeit`, …."""
    frame = sys._getframe()
    while frame.f_back is not None:
        if frame.f_code.co_name == "transform_ast":
            return frame.f_back.f_code.co_name
        frame = frame.f_back
    return ""


def _misplaced(line: str) -> NoReturn:
    """`%%step` below other code."""
    raise ShellUsageError(
        f"`%%step {line}` must be the first line of its cell; only comments and blank lines may stand above it."
        " What stands above it here has run as plain code"
    )


def _remove(items: list[Any], item: Any) -> None:
    if item in items:
        items.remove(item)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _warn(text: str) -> None:
    with suppress(BaseException):  # the last words of a failure
        try:
            warnings.warn(text, CheckpointWarning, stacklevel=1)
        except Warning:  # the user made warnings errors; the cell stays what it is
            _say(f"CheckpointWarning: {text}")
