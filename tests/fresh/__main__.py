"""Precision and recall of the verdicts on a real notebook: `python -m tests.fresh [EDIT…]`; see `notebook`."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fresh import notebook
from tests.fresh.notebook import EDITS, STEPS, Verdict, judge, make_project


@dataclass
class Count:
    """How often a verdict was right, over steps."""

    right: int = 0
    needless: int = 0
    missed: int = 0

    def add(self, should: set[int], said: set[int]) -> None:
        """Count the steps of one edit."""
        self.right += len(should & said)
        self.needless += len(said - should)
        self.missed += len(should - said)

    def __str__(self) -> str:
        precision = self.right / max(self.right + self.needless, 1)
        recall = self.right / max(self.right + self.missed, 1)
        return (
            f"precision {precision:.3f}, recall {recall:.3f} ({self.right} rightly, {self.needless} needlessly, "
            f"{self.missed} missed)"
        )


def all_verdicts(names: Sequence[str]) -> Iterator[tuple[str, Verdict]]:
    """Judge edits, by name."""
    with tempfile.TemporaryDirectory(prefix="ckpt-fresh-") as folder:
        was = make_project(Path(folder) / "project")
        for number, name in enumerate(names):
            yield name, judge(Path(folder) / "project", was, Path(folder) / f"edit{number}", EDITS[name])


def main() -> int:
    """Print the table, or JSON; the exit status is 1 if a step was restored that should have run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fresh", description=notebook.__doc__)
    parser.add_argument("edits", nargs="*", metavar="EDIT", help="names of edits, or words of them (default: all)")
    parser.add_argument("--json", action="store_true", help="a list of objects, one per edit")
    given = parser.parse_args()
    names = [name for name in EDITS if not given.edits or any(word in name for word in given.edits)]
    found = dict(all_verdicts(names))
    decided, told = Count(), Count()
    for one in found.values():
        decided.add(one.should, one.ran)
        told.add(one.should, one.told)
    if given.json:
        print(json.dumps([{"edit": name, **one.as_row()} for name, one in found.items()], indent=1))
    else:
        _show(found)
        print(f"{len(names)} edits of {len(STEPS)} steps")
        print(f"auto: {decided}")
        print(f"plan: {told}")
    return 1 if decided.missed or told.missed or not all(one.is_right for one in found.values()) else 0


def _show(found: Mapping[str, Verdict]) -> None:
    table = Table("edit", "should run", "ran", "told in advance", "right")
    for name, one in found.items():
        shown = [", ".join(map(str, sorted(steps))) for steps in (one.should, one.ran, one.told)]
        table.add_row(name, *shown, "yes" if one.is_right else "NO")
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
