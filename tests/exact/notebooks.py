"""Notebooks that nobody here wrote, with every code cell made a step: `python -m tests.exact.notebooks NOTEBOOK…`.

Each is run plainly twice (what differs then is noise of its own), in full with ckpt_magic, and restored at some start
points, always in new kernels. Outputs are compared cell by cell, the final namespace by the `Witness` of the harness,
which knows nothing of pickles. A cell that fails in the plain run is left out, unless the author stored that error.
Files that a run writes stay for the restored runs, as they would for a user.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from rich.console import Console
from rich.table import Table

from ckpt_magic.faces.runner import KernelManager

ROOT = Path(__file__).parents[2]
NAME = "nb"
SETTING = re.compile(r"%(matplotlib|load_ext|reload_ext|config|pylab)\b|get_ipython\(\)\.(run_line_)?magic\(u?['\"]")
MAGIC = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%%(?!time\b)")
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b|(?<=IPython\.core\.display\.)\w+")
TIME = re.compile(
    r"(CPU times:|Wall time:|Compiler time)[^\n]*"
    r"|[\d.,]+ (?:[mµμun]?s|min)\b( \d+ s)?"
    r"|(?<=mean ± std\. dev\. of )[^)]*|±\s*"
    r"|The slowest run took[^\n]*\n?|\d+ loops, best of[^\n]*"
    r"|(/tmp/ipykernel_\d+/)?\b\d+\.py"
)
FAILED = {"action": "failed", "reason": "it fails"}  # such a step has no banner
WITNESS = r"""
import contextlib as _contextlib, json as _json, os as _os, re as _re, sys as _sys, threading as _threading
def _witness():
    drawn = "numpy.random" in _sys.modules
    import numpy, pandas
    from tests.exact.harness import Witness, around
    surroundings = around()
    if not drawn:
        del surroundings["numpy.random"]
    plots = _sys.modules.get("matplotlib.pyplot")
    surroundings["environ"] = repr(sorted(name for name in _os.environ if not name.startswith("CKPT_")))
    surroundings["loggers"] = _re.sub(r"\('[^']*', '0 True False \[\] \[\] \[\] 0'\),? ?", "", surroundings["loggers"])
    if plots is not None:
        surroundings["rcParams"] = repr(sorted((name, value) for name, value in dict.items(plots.rcParams) if name != "backend"))
        surroundings["figures"] = repr(plots.get_fignums())
    shell = get_ipython()
    hidden = shell.user_ns_hidden
    names = {
        name: value for name, value in list(shell.user_ns.items())
        if not name.startswith("_") and name not in ("In", "Out", "exit", "quit", "get_ipython")
        and not (name in hidden and hidden[name] is value)
    }
    _sys.setrecursionlimit(200_000)
    with open(FILE, "w") as file:
        _json.dump({"names": Witness(shell.user_ns).describe(names), "around": surroundings}, file)
_threading.stack_size(1 << 30)
_thread = _threading.Thread(target=_witness)
_program = _contextlib.nullcontext()
if "ckpt_magic" in _sys.modules:
    from ckpt_magic.files.publishing import publisher as _publisher
    _program = _publisher().unguarded()  # SIGTERM is minded as long as something is published
with _program:
    _thread.start()
    _thread.join()
"""


@dataclass
class Ran:
    """One run of a notebook in one kernel."""

    pages: list[list[Any]]
    seconds: list[float]
    banners: dict[int, dict[str, Any]]
    names: dict[str, str] = field(default_factory=dict)
    around: dict[str, str] = field(default_factory=dict)

    @property
    def has_restored(self) -> bool:
        """Whether any step was restored: what is drawn by chance is then as it was."""
        return any(banner["action"] == "restored" for banner in self.banners.values())


@dataclass
class Report:
    """What came out for one notebook; seconds are those of its cells, without the start of the kernel."""

    notebook: str
    cells: int = 0
    steps: int = 0
    dropped: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    plain: float = 0.0
    cold: float = 0.0
    slowest: list[tuple[int, float, float]] = field(default_factory=list)
    stored: int = 0
    lost: dict[int, list[str]] = field(default_factory=dict)
    restored: dict[str, float] = field(default_factory=dict)
    differs: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)
    again: dict[str, dict[int, str]] = field(default_factory=dict)


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks; return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.exact.notebooks", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--starts", default="first,middle,last", help="or numbers, `end`, `auto`, `all`")
    parser.add_argument("--edit", action="store_true", help="then change one number, and restore with `auto`")
    parser.add_argument("--beside", type=int, default=0, help="copy this many folders above the notebook's too")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take in the plain run")
    parser.add_argument("--keep", type=Path, help="keep the folders of the runs below this one")
    parser.add_argument("--json", type=Path, help="write the reports to this file too")
    options = parser.parse_args(arguments)
    reports = []
    for notebook in options.notebooks:
        with tempfile.TemporaryDirectory(prefix="notebooks-") as top:
            if options.keep:
                top = str(options.keep / "-".join(notebook.resolve().with_suffix("").parts[-3:]).replace(" ", "_"))
                shutil.rmtree(top, ignore_errors=True)
                Path(top).mkdir(parents=True)
            try:
                trial = Trial(notebook, Path(top), options.beside, options.timeout)
                reports.append(trial.run(options.starts.split(",")))
                if options.edit:
                    trial.run_edited()
            except Exception as error:
                reports.append(
                    Report(str(notebook), differs=[f"the tool failed: {type(error).__name__}: {error}"[:2000]])
                )
        if options.json:
            options.json.write_text(json.dumps([asdict(report) for report in reports], indent=1), encoding="utf-8")
        tell(reports[-1])
    show(reports)
    return int(any(report.differs for report in reports))


class Trial:
    """One notebook, its copy, and the runs of it."""

    def __init__(self, notebook: Path, top: Path, beside: int, timeout: int) -> None:
        self.document: NotebookNode = nbformat.read(notebook, as_version=4)
        self.origin = notebook.resolve().parents[beside]
        self.inside = notebook.resolve().parent.relative_to(self.origin)
        self.place = top / "at" / self.origin.name
        self.after = top / "after"
        self.seen = top / "seen.json"
        self.timeout = timeout
        self.cells = [cell for cell in self.document.cells if cell.cell_type == "code" and cell.source.strip()]
        self.report = Report(str(notebook), cells=len(self.cells))

    def run(self, starts: Sequence[str]) -> Report:
        """Do all runs and compare them."""
        report = self.report
        plain = self.drop_failing()
        second = self.plain()
        numbers, report.steps = numbered(self.cells), 0
        report.steps = sum(number is not None for number in numbers)
        noise = {at for at, (one, other) in enumerate(zip(plain.pages, second.pages, strict=True)) if one != other}
        noisy = {key for key, text in plain.names.items() if second.names.get(key) != text}
        noisy |= {key for key, text in plain.around.items() if second.around.get(key) != text}
        noisy |= {"numpy.random"} - plain.around.keys()  # nobody drew a number, so any seed will do
        report.noise = [f"cell {at + 1}" for at in sorted(noise)] + sorted(noisy)
        cold = self.marked(numbers, "none", self.origin)
        report.plain, report.cold = min(sum(plain.seconds), sum(second.seconds)), sum(cold.seconds)
        both = [(at + 1, *pair) for at, pair in enumerate(zip(second.seconds, cold.seconds[1:], strict=True))]
        report.slowest = sorted(both, key=lambda row: row[1] - row[2])[:3]
        shutil.rmtree(self.after, ignore_errors=True)
        shutil.move(self.place, self.after)
        folder = self.after / self.inside / ".ckpt"
        report.stored = sum(file.stat().st_size for file in folder.glob("*.pkl"))
        for number, banner in cold.banners.items():
            if banner["action"] != "saved" or banner["notes"]:
                report.lost[number] = [banner["action"], *banner["notes"]]
        self.compare("cold", plain, cold, noise, noisy)
        for word in starts:
            for start in points(word, report.steps):
                restored = self.marked(numbers, start, self.after)
                report.restored[start] = sum(restored.seconds)
                report.again[start] = {
                    number: restored.banners.get(number, FAILED)["reason"]
                    for number in filter(None, numbers)
                    if restored.banners.get(number, FAILED)["action"] != "restored"
                    and (not start.isdigit() or number < int(start))
                }
                drawn = {"random", "numpy.random"} & plain.around.keys() if restored.has_restored else set()
                self.compare(f"start {start}", cold, restored, noise, noisy - drawn)
        return report

    def run_edited(self) -> None:
        """Change a number, and compare what `auto` makes of that with the plain run of the edited notebook."""
        report, numbers = self.report, numbered(self.cells)
        edits = [(at, edited(cell.source)) for at, cell in enumerate(self.cells) if numbers[at] is not None]
        edits = [(at, source) for at, source in edits if source is not None]
        if not edits:
            return
        at, source = edits[len(edits) // 2]
        self.cells[at] = new_code_cell(source)
        plain, second = self.plain(), self.plain()
        noise = {at for at, (one, other) in enumerate(zip(plain.pages, second.pages, strict=True)) if one != other}
        noisy = {key for key, text in plain.names.items() if second.names.get(key) != text}
        noisy |= {key for key, text in plain.around.items() if second.around.get(key) != text}
        noisy |= {"numpy.random"} - plain.around.keys()
        restored = self.marked(numbers, "auto", self.after)
        word = f"edited {numbers[at]}"
        report.restored[word] = sum(restored.seconds)
        report.again[word] = {
            number: restored.banners.get(number, FAILED)["reason"]
            for number in filter(None, numbers)
            if restored.banners.get(number, FAILED)["action"] != "restored"
        }
        self.compare(word, plain, restored, noise, noisy, is_edited=True)

    def drop_failing(self) -> Ran:
        """Run plainly until no cell fails that should not; cells that do are left out."""
        while True:
            ran = self.plain()
            failing = [at for at, page in enumerate(ran.pages) if any(part[0] == "error" for part in page)]
            expected = [at for at in failing if _error(ran.pages[at]) == self._stored_error(self.cells[at])]
            if failing == expected:
                return ran
            for at in sorted(set(failing) - set(expected), reverse=True):
                self.report.dropped.append(f"{_error(ran.pages[at])}: {self.cells[at].source.strip()[:60]!r}")
                del self.cells[at]

    def _stored_error(self, cell: NotebookNode) -> str:
        return next((out.ename for out in cell.get("outputs", []) if out.output_type == "error"), "")

    def plain(self) -> Ran:
        """Run without ckpt_magic; a comment stands for the mark, so that all lines have the same numbers."""
        numbers = numbered(self.cells)
        sources = [
            cell.source
            if number is None or cell.source.lstrip().startswith("%%")
            else f"# {mark(number)}\n{cell.source}"
            for number, cell in zip(numbers, self.cells, strict=True)
        ]
        return self._execute(sources, "none", self.origin)

    def marked(self, numbers: Sequence[int | None], start: str, origin: Path) -> Ran:
        """Run with every numbered cell a step."""
        sources = ["%load_ext ckpt_magic"]
        for number, cell in zip(numbers, self.cells, strict=True):
            sources.append(cell.source if number is None else f"{mark(number)}\n{cell.source}")
        ran = self._execute(sources, start, origin)
        del ran.pages[0]
        return ran

    def _execute(self, sources: Sequence[str], start: str, origin: Path) -> Ran:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(origin, self.place, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        folder = self.place / self.inside
        last = new_code_cell(WITNESS.replace("FILE", repr(str(self.seen))))
        document = self.document.copy()
        document.cells = [new_code_cell(source) for source in sources] + [last]
        document.metadata = nbformat.from_dict({"kernelspec": {"name": "python3", "display_name": "", "language": ""}})
        client = NotebookClient(
            document,
            kernel_name="python3",
            kernel_manager_class=KernelManager,
            resources={"metadata": {"path": str(folder)}},
            allow_errors=True,
            timeout=self.timeout,
            iopub_timeout=60,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CKPT_")}
        environ |= {"CKPT_START_FROM": start, "CKPT_KEY": "the key of the tests", "PYTHONPATH": str(ROOT)}
        client.execute(env=environ)
        failed = [output.evalue for output in last.outputs if output.output_type == "error"]
        failed += [output.text for output in last.outputs if output.get("name") == "stderr"]
        cells = document.cells[:-1]
        banners = {banner["step"]: banner for cell in cells for banner in _banners(cell)}
        ran = Ran([page(cell) for cell in cells], [_seconds(cell) for cell in cells], banners)
        if failed:
            ran.around["witness"] = "\n".join(failed)[-1500:]
        else:
            seen = json.loads(self.seen.read_text())
            ran.names, ran.around = seen["names"], _normal(seen["around"])
        return ran

    def compare(
        self, where: str, one: Ran, other: Ran, noise: set[int], noisy: set[str], *, is_edited: bool = False
    ) -> None:
        """Note what differs, apart from that what differed between two plain runs.

        A step that is restored has no noise, unless it is compared with the plain run of an edited notebook.
        """
        numbers = numbered(self.cells)
        for at, (left, right) in enumerate(zip(one.pages, other.pages, strict=True)):
            if left != right:
                is_restored = other.banners.get(numbers[at] or 0, {}).get("action") == "restored"
                is_noise = at in noise and (is_edited or not is_restored)
                where_noted = self.report.noisy if is_noise else self.report.differs
                where_noted.append(f"{where}: cell {at + 1} (step {numbers[at]}): {difference(left, right)}")
        for part in ("names", "around"):
            mine, theirs = getattr(one, part), getattr(other, part)
            for name in {**mine, **theirs}:
                if mine.get(name) != theirs.get(name):
                    where_noted = self.report.noisy if name in noisy else self.report.differs
                    where_noted.append(f"{where}: {part} {name}: {difference(mine.get(name), theirs.get(name))}")


def numbered(cells: Sequence[NotebookNode]) -> list[int | None]:
    """The step number of each cell; None for one that sets up the notebook or begins with a cell magic."""
    numbers: list[int | None] = []
    step = 0
    for cell in cells:
        lines = [line.strip() for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]
        unmarked = MAGIC.match(cell.source) is not None or all(map(SETTING.match, lines))
        step += not unmarked
        numbers.append(None if unmarked else step)
    return numbers


def edited(source: str) -> str | None:
    """The code with the first number that is bound to a name made another one, or None."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return None
    for statement in statements:
        match statement:
            case ast.Assign(value=ast.Constant(value=int() | float() as number) as constant) if not isinstance(
                number, bool
            ):
                lines = source.splitlines(keepends=True)
                line = lines[constant.lineno - 1].encode()
                changed = line[: constant.col_offset] + repr(number + 1).encode() + line[constant.end_col_offset :]
                lines[constant.lineno - 1] = changed.decode()
                return "".join(lines)
    return None


def mark(number: int) -> str:
    """The line that makes a cell a step; in a plain run a comment, so that tracebacks show the same."""
    return f"%%step {number} --name {NAME}"


def points(word: str, steps: int) -> list[str]:
    """The start points that a word of `--starts` means: the first one that restores anything is 2."""
    if word == "all":
        return [str(number) for number in range(2, steps + 1)] + ["end"]
    known = {"first": 2, "middle": steps // 2 + 1, "last": steps}
    return [str(known.get(word, word))]


def page(cell: NotebookNode) -> list[Any]:
    """What a cell shows, banner apart, with streams joined and without addresses, times and counts."""
    shown: list[list[Any]] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if shown and shown[-1][0] == output.name:
                shown[-1][1] += output.text
            else:
                shown.append([output.name, output.text])
        elif output.output_type == "error":
            shown.append(["error", output.ename, output.evalue])
        elif "ckpt_magic" not in output.metadata:
            shown.append([output.output_type, dict(sorted(output.data.items()))])
    comparable: list[Any] = json.loads(json.dumps([_normal(part) for part in shown]))
    return comparable


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, str) and len(value) < 1_000_000:
        return TIME.sub("<time>", ADDRESS.sub("<address>", value))
    return value


def difference(one: Any, other: Any) -> str:
    """The place where two descriptions part."""
    left, right = (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in (one, other))
    at = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    begin = max(0, at - 80)
    return f"at {at}:\n     {left[begin : at + 120]!r}\n     {right[begin : at + 120]!r}"


def _error(page: list[Any]) -> str:
    return next((part[1] for part in page if part[0] == "error"), "")


def _banners(cell: NotebookNode) -> Iterator[dict[str, Any]]:
    for output in cell.outputs:
        if "ckpt_magic" in output.get("metadata", {}):
            yield output.metadata["ckpt_magic"]


def _seconds(cell: NotebookNode) -> float:
    times = cell.metadata.get("execution", {})
    began, ended = times.get("iopub.status.busy"), times.get("iopub.status.idle")
    if not began or not ended:
        return 0.0
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def tell(report: Report) -> None:
    """Everything about one notebook."""
    print(f"\n== {report.notebook}: {report.cells} cells, {report.steps} steps")
    print(f"   plain {report.plain:.1f} s, cold {report.cold:.1f} s, stored {report.stored / 1e6:.1f} MB")
    print(f"   slower most: {'; '.join(f'cell {at} {old:.2f} -> {new:.2f} s' for at, old, new in report.slowest)}")
    for title, lines in (("dropped", report.dropped), ("noise", report.noise)):
        if lines:
            print(f"   {title}: {', '.join(lines)}")
    for step, notes in report.lost.items():
        print(f"   step {step}: {'; '.join(notes)}")
    for start, seconds in report.restored.items():
        print(f"   start {start}: {seconds:.1f} s")
        for step, reason in report.again[start].items():
            print(f"      step {step} ran: {reason}")
    for text in report.noisy:
        print(f"   noisy in itself: {text}")
    for text in report.differs:
        print(f"   DIFFERS {text}")
    sys.stdout.flush()


def show(reports: Sequence[Report]) -> None:
    """One table."""
    table = Table(title="every code cell a step")
    for column in ("notebook", "cells", "steps", "plain s", "cold s", "MB", "restored s", "ran again", "differs"):
        table.add_column(column, justify="left" if column == "notebook" else "right")
    for report in reports:
        table.add_row(
            "/".join(Path(report.notebook).parts[-3:]),
            str(report.cells),
            str(report.steps),
            f"{report.plain:.1f}",
            f"{report.cold:.1f}",
            f"{report.stored / 1e6:.1f}",
            ", ".join(f"{start}: {seconds:.1f}" for start, seconds in report.restored.items()),
            ", ".join(str(len(steps)) for steps in report.again.values()),
            str(len(report.differs)),
        )
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
