"""The tests tested: without any one of the rules, some scenario fails."""

from __future__ import annotations

import importlib

import pytest

from tests.exact import rules
from tests.exact.harness import Server


@pytest.mark.parametrize("rule", rules.RULES)
def test_without_the_rule_a_scenario_fails(server: Server, rule: str) -> None:
    for module, name in rules.RULES[rule].scenarios:
        pipeline = importlib.import_module(f"tests.exact.{module}").scenarios.pipeline(name)
        problems = server.problems(pipeline, without=rule)
        assert not any("the full run failed" in text for text in problems), problems[0]  # the rule has moved
        if problems:
            return
    pytest.fail("no scenario needs this rule")
