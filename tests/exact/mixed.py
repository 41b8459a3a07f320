"""Mix the scenarios of this folder by chance: ``python -m tests.exact.mixed --examples 500 [--seed N]``.

Half of the notebooks are two scenarios woven into one: what one of them does must not change how the other comes back.
The other half are one scenario with a third of its steps made unmarked cells, which run on what was restored. Each is
restored at every start point, and all that differs is printed with the notebook. What the harness cannot tell apart
(addresses, numbers of processes and threads in texts) is printed, too: a person has to look.
"""

from __future__ import annotations

import argparse
import importlib
import random
import re
import sys
from collections.abc import Set
from pathlib import Path

from tests.exact.harness import Pipeline, Scenarios, Server

Cell = tuple[int | None, str]


def scenarios() -> dict[str, Pipeline]:
    """All pipelines of this folder that are restored exactly, by module and sentence."""
    found: dict[str, Pipeline] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.exact.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, Scenarios):
                found |= {f"{path.stem}: {name}": pipeline for name, pipeline in value.exact().items()}
    return found


def words(cells: list[Cell]) -> set[str]:
    """All that may be a name in some cells."""
    return {word for _, code in cells for word in re.findall(r"[^\W\d]\w*", code)}


def bound(cells: list[Cell]) -> set[str]:
    """What cells seem to bind: by assignment, import, definition, loop or `as`."""
    code = "\n".join(code for _, code in cells)
    found = re.findall(r"^\s*([^\W\d][\w, ]*?)\s*(?::[^=\n]+)?=[^=]", code, re.MULTILINE)
    found += re.findall(r"\b(?:def|class|as|for|global)\s+([^\W\d][\w, ]*)", code)
    return {name.strip() for names in found for name in names.split(",")}


def woven(first: list[Cell], second: list[Cell], chance: random.Random) -> list[Cell]:
    """Cells of both, each in its order."""
    left, cells = [list(first), list(second)], []
    while any(left):
        cells.append(chance.choice([one for one in left if one]).pop(0))
    return cells


def text_of(cells: list[Cell], unmarked: Set[int] = frozenset()) -> str:
    """The text of a pipeline; steps are numbered anew, and those at positions in `unmarked` are steps no longer."""
    parts, number = [], 0
    for at, (step, code) in enumerate(cells):
        is_step = step is not None and at not in unmarked
        number += is_step
        parts.append(f"%%step {number}\n{code}" if is_step else f"%%\n{code}")
    return "\n".join(parts)


def drawn(pipelines: dict[str, Pipeline], chance: random.Random) -> tuple[str, str]:
    """What the next notebook is made of, and its text; an empty one if the two do not go together."""
    first = chance.choice(list(pipelines))
    cells = pipelines[first].cells()
    if chance.random() < 0.5:
        steps = [at for at, (step, _) in enumerate(cells) if step is not None]
        chosen = {at for at in steps if chance.random() < 1 / 3}
        return first, text_of(cells, chosen) if chosen and len(chosen) < len(steps) else ""
    second = chance.choice(list(pipelines))
    others = pipelines[second].cells()
    if bound(cells) & words(others) or bound(others) & words(cells):
        return "", ""
    return f"{first} + {second}", text_of(woven(cells, others, chance))


def main(arguments: list[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.exact.mixed")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    chance, pipelines, server = random.Random(asked.seed), scenarios(), Server()
    ran = failed = differed = 0
    while ran < asked.examples:
        title, text = drawn(pipelines, chance)
        if not text:
            continue
        ran += 1
        report = server.report(text)
        if report["failed"]:
            failed += 1
        elif report["problems"]:
            differed += 1
            print(
                f"\n#### {title}\n{text}\n" + "".join(f"# {problem}\n" for problem in report["problems"][:3]),
                flush=True,
            )
    server.close()
    print(f"{ran} notebooks, {failed} that do not run as they are, {differed} that differ")
    return bool(differed)


if __name__ == "__main__":
    sys.exit(main())
