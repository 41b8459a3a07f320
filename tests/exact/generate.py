"""Run thousands of random pipelines: ``python -m tests.exact.generate --examples 5000 [--seed N] [--json FILE]``.

With ``--seconds`` it draws programs for so long. However it ends, it prints how many ran, how often each kind of operation was in them, how many steps ran again although the start point
let them be restored and why, and each failure made as small as it gets, as the text of a scenario.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import math
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.exact.harness import Server
from tests.exact.programs import Program, programs

TRIES = 300  # pipelines that are run to make one failure small


def smallest(text: str, fails: Callable[[str], bool]) -> str:
    """Leave out cells, then lines, as long as a pipeline still fails."""
    for parts in (re.split(r"^(?=%%)", text, flags=re.MULTILINE)[1:], None, None):
        left = text.splitlines(keepends=True) if parts is None else parts
        size = max(len(left) // 2, 1)
        while size:
            at = 0
            while at < len(left):
                fewer = "".join(left[:at] + left[at + size :])
                if fewer.startswith("%%") and fails(fewer):
                    del left[at : at + size]
                else:
                    at += size
            size //= 2
        text = "".join(left)
    return text


class TimeUp(BaseException):
    """No further program is drawn; hypothesis lets nothing else through."""


class Campaign:
    """Counts what many programs did."""

    def __init__(self, server: Server, *, most: int = 25, failed_to: Path | None = None) -> None:
        self.server = server
        self.most = most
        self.failed_to = failed_to
        self.programs = self.invalid = self.starts = self.restored = 0
        self.used: collections.Counter[str] = collections.Counter()
        self.templates: collections.Counter[str] = collections.Counter()
        self.reruns: collections.Counter[str] = collections.Counter()
        self.failures: list[tuple[str, str]] = []
        self.invalids: list[str] = []
        self.tries = 0
        self.until = math.inf

    def run(self, program: Program) -> None:
        """Check one program, if there is time left."""
        if time.monotonic() > self.until:
            raise TimeUp
        report = self.server.report(program.text)
        self.programs += 1
        if report["failed"]:
            self.invalid += 1
            self.invalids.append(report["problems"][0].strip().splitlines()[-1])
            return
        self.starts += report["starts"]
        self.restored += report["restored"]
        self.used.update(group for group, _ in program.used)
        self.templates.update(template for _, template in program.used)
        self.reruns.update(re.sub(r"`\w+`|step \d+", "…", reason) for reason in report["reruns"])
        if report["problems"] and len(self.failures) < self.most:
            self.failures.append((program.text, "\n".join(report["problems"][:2])))
            self.tell(f"failure {len(self.failures)}: {report['problems'][0][:300]}")
            if self.failed_to is not None:
                self.failed_to.write_text(json.dumps(self.failures))
        elif self.programs % 100 == 0:
            self.tell(f"{self.starts} start points")

    def tell(self, text: str) -> None:
        print(f"after {self.programs} programs: {text}", file=sys.stderr, flush=True)

    def shrunk(self) -> Iterator[tuple[str, str]]:
        """Each failure as a small pipeline, with what differs; those that come down to the same text once."""
        done = set()
        for text, problems in self.failures:
            small = self.smallest(text, problems)
            if small not in done:
                done.add(small)
                yield small, "\n".join(self.server.report(small)["problems"][:3])

    def smallest(self, text: str, problems: str) -> str:
        """Look only at the first start point that failed, which is the same step under another number in the end."""
        found = re.match(r"start (\w+)", problems)
        assert found, problems
        cells = [cell for cell in re.split(r"^(?=%%)", text, flags=re.MULTILINE) if cell]
        kept = [one for one in cells[1:] if one.startswith("%%step")]
        start = int(found[1]) if found[1].isdigit() else len(kept) + 2

        def fails(smaller: str) -> bool:
            self.tries += 1
            if self.tries > TRIES:
                return False
            report = self.server.report(smaller, [start, "auto"] if found[1] == "auto" else [start])
            return bool(report["problems"]) and not report["failed"]

        self.tries = 0
        return smallest(text, fails)

    def facts(self) -> dict[str, Any]:
        """Figures for a file."""
        return {
            "programs": self.programs,
            "invalid": self.invalid,
            "start points": self.starts,
            "restored": self.restored,
            "reruns": dict(self.reruns.most_common()),
            "operations": dict(self.used.most_common()),
            "templates": dict(self.templates.most_common()),
            "failures": len(self.failures),
        }


def main(arguments: list[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.exact.generate")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf, help="time for drawing programs")
    parser.add_argument("--most", type=int, default=25, help="failures that are kept")
    asked = parser.parse_args(arguments)
    server = Server()
    campaign = Campaign(server, most=asked.most, failed_to=asked.json)

    @seed(asked.seed)
    @settings(
        max_examples=asked.examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def all_of_them(program: Program) -> None:
        campaign.run(program)

    campaign.until = time.monotonic() + asked.seconds
    signal.signal(signal.SIGTERM, lambda *_: setattr(campaign, "until", 0))  # ended after the program at hand
    with contextlib.suppress(TimeUp):
        all_of_them()
    facts = campaign.facts()
    templates = facts.pop("templates")
    print(json.dumps(facts, indent=1))
    print("invalid because of:", collections.Counter(campaign.invalids).most_common(12))
    print("templates:", len(templates), "least used:", list(templates.items())[-8:])
    failures = []
    for text, problems in campaign.shrunk():
        failures.append((text, problems))
        print(
            f'\nscenario(\n    "generated {len(failures)}",\n    """\n{text.strip()}\n""",\n)\n# {problems}', flush=True
        )
    if asked.json:
        asked.json.write_text(json.dumps({**facts, "templates": templates, "failed": failures}, indent=1))
    server.close()
    return bool(campaign.failures)


if __name__ == "__main__":
    sys.exit(main())
