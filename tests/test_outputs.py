from __future__ import annotations

import random
import re
from typing import Any

import nbformat
import pytest

from ckpt_magic.steps.outputs import OutputList, fold, is_banner, json_clean, shown, split
from tests.work import calls


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def display(text: str, display_id: str | None = None) -> tuple[str, dict[str, Any]]:
    transient = {} if display_id is None else {"display_id": display_id}
    return "display_data", {"data": {"text/plain": text}, "metadata": {}, "transient": transient}


def update(text: str, display_id: str) -> tuple[str, dict[str, Any]]:
    return "update_display_data", display(text, display_id)[1]


def clear(wait: bool = False) -> tuple[str, dict[str, Any]]:
    return "clear_output", {"wait": wait}


def outputs(*messages: tuple[str, dict[str, Any]], cap: int = 1 << 26) -> OutputList:
    found = OutputList(cap)
    for message in messages:
        found.add(*message)
    return found


def texts(found: OutputList) -> list[str]:
    return [
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in found.result()
    ]


def reference_fold(text: str) -> str:
    """What nbclient does, quadratic."""
    while True:
        new = re.sub(r".*\r(?=[^\n])", "", text)
        if new == text:
            return text
        text = new


def test_neighbouring_streams_of_one_name_are_merged() -> None:
    found = outputs(stream("a"), stream("b"), stream("e", "stderr"), stream("c"), stream("d"))
    assert [(o["name"], o["text"]) for o in found.result()] == [("stdout", "ab"), ("stderr", "e"), ("stdout", "cd")]


def test_a_display_between_streams_keeps_them_apart() -> None:
    assert texts(outputs(stream("a"), display("D"), stream("b"))) == ["a", "D", "b"]


def test_text_before_a_carriage_return_is_dropped_and_line_ends_stay() -> None:
    assert fold("10%\r20%\rdone\r\nnext\r") == "done\r\nnext\r"
    assert texts(outputs(stream("10%"), stream("\r20%"), stream("\r\n"), stream("x"))) == ["20%\r\nx"]


def test_folding_gives_what_nbclient_gives() -> None:
    random.seed(3)
    for _ in range(3000):
        text = "".join(random.choices("ab\r\n", k=random.randrange(12)))
        assert fold(text) == reference_fold(text)
        cut = random.randrange(len(text) + 1)
        assert fold(fold(text[:cut]) + text[cut:]) == fold(text)


def test_one_long_line_without_a_carriage_return_is_folded_in_linear_time() -> None:
    text = "x" * 30_000_000
    assert fold(text + "\r\n") == text + "\r\n"
    assert calls(lambda: fold(text + "\r\n")) < 100


def test_a_progress_bar_of_a_million_updates_stays_small_and_is_linear() -> None:
    found = OutputList()

    def show(count: int) -> None:
        for i in range(count):
            found.add("stream", {"name": "stderr", "text": f"\r{i:>40}"})

    assert calls(lambda: show(30_000)) < 11 * calls(lambda: show(3_000))
    show(300_000)
    assert found._held < 1_000_000
    assert texts(found) == [f"{299_999:>40}"]


def test_clear_output_drops_all_and_with_wait_only_when_something_follows() -> None:
    assert texts(outputs(stream("a"), display("b"), clear(), stream("c"))) == ["c"]
    assert texts(outputs(stream("a"), clear(wait=True))) == ["a"]
    assert texts(outputs(stream("a"), clear(wait=True), stream("b"))) == ["b"]


def test_an_update_changes_every_display_of_that_id_in_place() -> None:
    found = outputs(display("a", "x"), display("b"), display("c", "x"), update("new", "x"))
    assert texts(found) == ["new", "b", "new"]


def test_a_second_display_with_an_id_leaves_the_first_as_it_was() -> None:
    assert texts(outputs(display("a", "x"), display("b", "x"))) == ["a", "b"]


def test_an_update_of_another_cells_display_is_kept_once_in_its_last_state() -> None:
    found = outputs(update("1", "other"), stream("a"), update("2", "other"))
    *_, last = found.result()
    clean, display_id, is_update = split(last)
    assert (clean["data"]["text/plain"], display_id, is_update) == ("2", "other", True)
    assert [o["output_type"] for o in shown(found.result())] == ["stream"]


def test_clearing_keeps_updates_of_other_cells() -> None:
    found = outputs(update("1", "other"), stream("a"), clear())
    assert [split(o)[1:] for o in found.result()] == [("other", True)]


def test_the_display_id_travels_in_metadata_and_comes_out_clean() -> None:
    (output,) = outputs(display("a", "x")).result()
    assert split(output) == ({"output_type": "display_data", "data": {"text/plain": "a"}, "metadata": {}}, "x", False)


def test_the_cap_keeps_a_prefix_and_says_where_it_was_cut() -> None:
    found = outputs(stream("0123456789" * 3), stream("never", "stderr"), display("never"), cap=25)
    assert found.cut == 25
    kept, note = found.result()
    assert kept["text"] == "0123456789012345678901234"
    assert "recorded up to here (25 bytes)" in note["text"]
    assert note["text"].startswith("\n")


def test_the_cap_never_splits_a_character() -> None:
    found = outputs(stream("é" * 10), cap=5)
    assert found.result()[0]["text"] == "éé"


def test_after_a_clear_recording_goes_on_though_it_was_cut() -> None:
    found = outputs(stream("0" * 30), clear(), stream("ok"), cap=25)
    assert found.cut is None
    assert texts(found) == ["ok"]


def test_an_animation_that_clears_its_frames_is_never_cut() -> None:
    found = OutputList(1000)
    for i in range(500):
        found.add(*clear(wait=True))
        found.add(*display(f"{i}" + "x" * 800))
    assert found.cut is None
    assert texts(found) == ["499" + "x" * 800]


def test_a_display_updated_often_is_held_once() -> None:
    found = outputs(display("0", "bar"), cap=1000)
    for i in range(500):
        found.add(*update(f"{i}" + "x" * 400, "bar"))
    assert found.cut is None
    assert texts(found) == ["499" + "x" * 400]


def test_our_banner_is_never_recorded_but_a_users_metadata_of_that_name_is() -> None:
    facts = {"data": {"text/plain": "b"}, "metadata": {"ckpt_magic": {"step": 1, "action": "ran"}}}
    found = outputs(("display_data", facts), ("display_data", {"data": {"text/plain": "u"}, "metadata": {"a": 1}}))
    assert texts(found) == ["u"]
    assert is_banner(facts["metadata"])
    assert not is_banner(None)


def test_messages_that_are_no_output_are_ignored() -> None:
    assert outputs(("status", {}), ("comm_open", {}), ("execute_input", {"code": "x"})).result() == []


def test_every_kind_of_output_is_valid_nbformat() -> None:
    found = outputs(
        stream("a"),
        stream("b", "stderr"),
        display("d", "x"),
        update("u", "elsewhere"),
        ("execute_result", {"data": {"text/plain": "1", "application/json": {"a": [1]}}, "metadata": {}}),
        ("error", {"ename": "E", "evalue": "v", "traceback": ["t"]}),
        stream("z" * 100),
        cap=60,
    )
    for result in (found.result(), shown(found.result())):
        cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.from_dict(o) for o in result])
        nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))


@pytest.mark.parametrize(
    ("value", "clean"),
    [(b"\x00\xff", "AP8="), ({"a": (1, b"a")}, {"a": [1, "YQ=="]}), (1.5, 1.5), (None, None), (True, True)],
)
def test_mime_bundles_become_json(value: Any, clean: Any) -> None:
    assert json_clean(value) == clean
