from __future__ import annotations

from typing import Any

import pytest

from ckpt_magic.errors import UsageError
from ckpt_magic.steps import record, registry
from ckpt_magic.steps.registry import Known, Pipeline, StepCall, StepRecord, decide


def meta(**given: Any) -> dict[str, Any]:
    return {**record.EMPTY, "step": 2, "code": "A", "codes": ["A"], "kernel": "other", **given}


def known(**given: Any) -> Known:
    settings: dict[str, Any] = {"start": 3, "meta": meta(), "code": "A", "kernel": "here", "kind": "cell"}
    return Known(**{**settings, "pipeline": Pipeline(), **given})


def action(**given: Any) -> str:
    return decide(StepCall(2), known(**given)).action


@pytest.mark.parametrize(
    ("start", "restored"),
    [(0, False), (1, False), (2, False), (3, True), ("auto", True), ("end", True), ("none", False)],
)
def test_the_start_point_lets_lower_steps_be_restored(start: Any, restored: bool) -> None:
    assert (action(start=start) == "restore") is restored


@pytest.mark.parametrize(("text", "start"), [("3", 3), (0, 0), ("auto", "auto"), ("end", "end"), (" none ", "none")])
def test_a_start_point_is_read(text: Any, start: Any) -> None:
    assert registry.parse_start(text) == start


@pytest.mark.parametrize("text", ["-1", "x", "", "1.5", None, True, "²"])
def test_a_wrong_start_point_is_a_usage_error(text: Any) -> None:
    with pytest.raises(UsageError, match="use a step number"):
        registry.parse_start(text)


def test_a_missing_checkpoint_runs() -> None:
    assert action(meta=None) == "run"


def test_force_runs_and_never_restores() -> None:
    assert decide(StepCall(2, force=True), known()).action == "run"


def test_a_stale_step_is_restored_by_a_number_and_said() -> None:
    decision = decide(StepCall(2), known(stale="code differs"))
    assert decision.action == "restore"
    assert decision.note == "stale: code differs"


def test_auto_runs_a_stale_step_and_restores_a_fresh_one() -> None:
    assert action(start="auto", stale="code differs") == "run"
    assert action(start="auto") == "restore"


@pytest.mark.parametrize(("policy", "expected"), [("restore", "restore"), ("run", "run"), ("error", "refuse")])
def test_what_becomes_of_a_stale_step_can_be_chosen(policy: Any, expected: str) -> None:
    assert action(stale="code differs", policy=policy) == expected
    assert decide(StepCall(2, stale=policy), known(stale="code differs")).action == expected


def test_stale_restore_on_the_step_vouches_for_changed_values_and_for_nothing_else() -> None:
    vouched = StepCall(2, stale="restore")
    assert decide(vouched, known(meta=meta(seen={"lr": "f1"}), values={"lr": "f2"})).action == "restore"
    upstream = known(meta=meta(reads={"x": [1, "d1"]}), pipeline=Pipeline(producers={"x": (1, "d2")}))
    assert decide(vouched, upstream).action == "run"
    assert action(meta=meta(seen={"lr": "f1"}), values={"lr": "f2"}, policy="restore") == "run"


def test_always_never_restores() -> None:
    assert decide(StepCall(2, always=True), known()).action == "run"


def test_other_content_upstream_runs() -> None:
    reads = meta(reads={"x": [1, "d1"]})
    assert action(meta=reads, pipeline=Pipeline(producers={"x": (1, "d1")})) == "restore"
    assert action(meta=reads, pipeline=Pipeline(producers={"x": (1, "d2")})) == "run"
    assert action(meta=reads, pipeline=Pipeline(producers={"x": (3, "d1")})) == "run"
    assert action(meta=reads, pipeline=Pipeline()) == "restore"


def test_another_value_from_an_unmarked_cell_runs() -> None:
    seen = meta(seen={"lr": "f1"})
    assert action(meta=seen, values={"lr": "f1"}) == "restore"
    assert action(meta=seen, values={"lr": "f2"}) == "run"
    assert action(meta=seen, values={"lr": None}) == "restore"


def test_a_held_name_that_an_unmarked_cell_wrote_runs() -> None:
    held = meta(before={"x": "d1"})
    assert action(meta=held, before={}) == "restore"
    assert action(meta=held, before={"x": "d1"}) == "restore"
    assert action(meta=held, before={"x": "d2"}) == "run"
    assert action(meta=held, before={"x": None}) == "run"


def test_a_cell_edited_in_this_kernel_runs() -> None:
    assert action(code="B", pipeline=Pipeline(steps={2: StepRecord(2, "ran", code="A")})) == "run"
    assert action(code="A", pipeline=Pipeline(steps={2: StepRecord(2, "ran", code="A")})) == "restore"


def test_code_that_other_code_was_saved_over_runs() -> None:
    assert action(code="B", meta=meta(code="A", codes=["B", "A"])) == "run"
    assert action(code="C", meta=meta(code="A", codes=["B", "A"])) == "restore"


def test_a_mark_counts_in_other_kernels_only() -> None:
    marked = meta(marks=["out of order"])
    assert action(meta=marked) == "run"
    assert action(meta=marked, kernel="other") == "restore"


def test_lost_values_run_only_where_they_are_needed() -> None:
    lost = meta(lost=[{"name": "conn", "type": "sqlite3.Connection", "reason": "…"}], unsaved=["conn"])
    assert action(meta=lost) == "restore"
    assert action(meta=lost, needed="`conn` could not be saved, and step 3 reads it") == "run"


def test_what_was_dropped_runs_where_the_cell_drops_it_no_longer() -> None:
    dropped = meta(unsaved=["tmp"])
    assert action(meta=dropped) == "run"
    assert decide(StepCall(2, drop=("tmp",)), known(meta=dropped)).action == "restore"


def test_what_cannot_be_put_back_runs() -> None:
    assert action(meta=meta(refused=["environ:API_KEY"])) == "run"


def test_what_something_out_of_reach_may_hold_is_not_replaced() -> None:
    refused = ["environ:API_KEY (looks like a secret)", "what readline.set_completer sets"]
    by = record.held_by(meta(step=1, refused=refused, out_of_reach=refused[1:], groups={"h": "1", "x": "2"}))
    assert by == dict.fromkeys(("h", "x"), refused[1])
    assert not record.held_by(meta(step=1, refused=refused[:1], groups={"h": "1"}))  # which holds nothing but text

    changes, binds = meta(groups={"h": "3"}, before={"h": "1"}), meta(groups={"y": "3"})
    assert not record.held(binds, by)
    reason = decide(StepCall(2), known(meta=changes, held=record.held(changes, by))).reason
    assert reason == "what holds `h` may be out of reach: what readline.set_completer sets"


def test_saved_codes_start_anew_at_an_identical_body() -> None:
    assert registry.saved_codes([], "A") == ["A"]
    assert registry.saved_codes(["A"], "A") == ["A"]
    assert registry.saved_codes(["A"], "B") == ["A", "B"]
    assert registry.saved_codes(["A", "B"], "A") == ["B", "A"]


def test_marks_say_what_was_out_of_the_ordinary() -> None:
    pipeline = Pipeline(producers={"x": (3, "d")}, failed={"y": 1}, steps={1: StepRecord(1, "ran")})
    assert registry.marks(StepCall(2), ["x"], pipeline, []) == ["out of order"]
    assert registry.marks(StepCall(4), ["x"], pipeline, []) == []
    assert registry.marks(StepCall(4), ["y"], pipeline, []) == ["after a failed run"]
    assert registry.marks(StepCall(4), [], pipeline, [2, 3]) == ["without steps 2, 3"]


@pytest.mark.parametrize(("steps", "text"), [([3], "step 3"), ([1, 3], "steps 1, 3"), ([1, 2, 3], "steps 1–3")])
def test_steps_are_written_as_people_write_them(steps: list[int], text: str) -> None:
    assert registry.steps_text(steps) == text
