"""Random pipelines: whatever small cells do, a restore cannot be told from a run, at any start point.

Thousands of them are run by ``python -m tests.exact.generate``; what those found stands as scenarios in the other files.
"""

from __future__ import annotations

import collections
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.exact.generate import smallest
from tests.exact.harness import Server
from tests.exact.programs import FIRST, LINES, RESULTS, Maker, Program, programs

EXAMPLES = 40

pytestmark = pytest.mark.long

counts: collections.Counter[str] = collections.Counter()


@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(programs())
def check(server: Server, program: Program) -> None:
    report = server.report(program.text)
    counts.update(programs=1, invalid=report["failed"], restored=report["restored"], again=len(report["reruns"]))
    assume(not report["failed"])
    assert not report["problems"], "\n".join([program.text, *report["problems"]])


@pytest.mark.timeout(1200)
def test_random_programs_are_restored_exactly_and_seldom_run_again(server: Server) -> None:
    counts.clear()
    check(server)
    assert counts["programs"] >= EXAMPLES
    assert counts["invalid"] <= counts["programs"] // 20
    assert counts["again"] <= counts["restored"] // 10


def test_every_template_is_drawn_and_makes_valid_code() -> None:
    """Else a template with a slip of the pen is never met, and nobody sees that it is not."""
    chance = random.Random(2)
    drawn: collections.Counter[str] = collections.Counter()
    for _ in range(1500):
        program = Maker(chance.choice).program()
        for cell in program.text.split("%%")[1:]:
            compile(cell.partition("\n")[2], "cell", "exec")
        drawn.update(template for _, template in program.used)
    assert {line for lines in LINES.values() for line in lines} | set(RESULTS) == drawn.keys()
    compile(FIRST, "first", "exec")


def test_a_failure_is_made_small() -> None:
    text = "%%step 1\na = 1\nb = 2\n%%step 2\nc = 3\n%%\nd = 4\nb += 1\n%%step 3\npass\n"
    assert smallest(text, lambda one: "b = 2" in one and "b += 1" in one) == "%%step 1\nb = 2\nb += 1\n"
