from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ckpt_magic
from ckpt_magic.faces import status
from ckpt_magic.files.format import StoredStep
from ckpt_magic.files.store import Store
from ckpt_magic.steps.record import size
from ckpt_magic.steps.registry import Decision, Pipeline, PipelineKey, StepRecord
from tests import making
from tests.work import calls

KEYS = (
    "step name version title state verdict reasons note next next_seconds reason "
    "run_seconds restore_seconds bytes saved_at variables lost path"
)
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
META: dict[str, Any] = {
    "title": "Load",
    "created": "2026-01-02T09:00:00Z",
    "seconds": 252.0,
    "source": "x = 1\n",
    "variables": [{"name": "x", "type": "numpy.ndarray", "shape": [3, 4], "bytes": 96}],
    "lost": [{"name": "db", "type": "sqlite3.Connection", "reason": "cannot be pickled"}],
    "reads": {"a": [1, "0123456789abcdef0123"]},
    "groups": {"x": "fedcba9876543210fedc"},
    "seen": {"seed": "00"},
    "marks": ["out of order"],
}


def facts(**more: Any) -> dict[str, Any]:
    return {"step": 1, "action": "saved", "variables": 2, "bytes": 1_200_000_000, "run_seconds": 252.0, **more}


# --- the banner ---


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "step 1 · saved · 2 variables, 1.2 GB · ran 4 min 12 s"),
        ({"action": "restored"}, "step 1 · restored · 2 variables, 1.2 GB · instead of 4 min 12 s"),
        ({"variables": 1, "bytes": 7}, "step 1 · saved · 1 variable, 7 bytes · ran 4 min 12 s"),
        ({"title": "Load"}, "step 1 (Load) · saved · 2 variables, 1.2 GB · ran 4 min 12 s"),
        (
            {"reason": "the cell was edited", "notes": ["a", "b"]},
            "step 1 · saved · 2 variables, 1.2 GB · ran 4 min 12 s · the cell was edited · a · b",
        ),
        ({"action": "not saved", "notes": ["disk full"]}, "step 1 · not saved · disk full · ran 4 min 12 s"),
    ],
)
def test_the_banner_is_one_line(more: dict[str, Any], line: str) -> None:
    assert status.banner_text(facts(**more)) == line


def test_the_banner_says_nothing_to_a_terminal_or_page_but_text() -> None:
    hostile = facts(title="<script>\x1b]0;\x07\u202e\n", notes=["<b>"])

    assert status.banner_text(hostile).isprintable()
    page = status.banner_html(hostile)
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;" in page
    assert "var(--jp-ui-font-color2,inherit)" in page


# --- numbers ---


def test_sizes_have_two_digits() -> None:
    counts = [0, 1, 999, 1000, 1234, 99_999, 999_999, 1.2e9, 5e13]
    words = ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "1.2 kB", "100 kB", "1.0 MB", "1.2 GB", "50 TB"]
    assert [size(count) for count in counts] == words


def test_durations_have_two_units_at_most() -> None:
    seconds = [0, 1e-5, 0.0123, 0.9999, 4.23, 9.97, 59.7, 252, 3600, 7500, 90000]
    words = ["0 ms", "<1 ms", "12 ms", "1.0 s", "4.2 s", "10 s", "1 min", "4 min 12 s", "1 h", "2 h 5 min", "1 d 1 h"]
    assert [status.duration(one) for one in seconds] == words


def test_ages_have_one_unit() -> None:
    saved = ["2026-01-02T11:59:30Z", "2026-01-02T11:55:00Z", "2026-01-02T09:00:00Z", "2025-12-30T09:00:00Z", "junk"]
    assert [status.age(one, NOW) for one in saved] == ["just now", "5 min ago", "3 h ago", "3 d ago", "junk"]


# --- rows ---


def look(folder: Path, tmp_path: Path, **more: Any) -> status.Rows:
    return status.rows(Store(folder), making.some_keyring(tmp_path), **more)


def test_a_row_has_exactly_the_promised_keys(tmp_path: Path) -> None:
    path = making.save(Store(tmp_path).path("m", 1, 1), {"x": 1}, making.some_keyring(tmp_path), **META)

    (row,) = look(tmp_path, tmp_path)

    assert " ".join(row) == KEYS
    assert row["state"] == "stored" and row["next"] is None and row["restore_seconds"] is None
    assert row["bytes"] == path.stat().st_size and row["saved_at"] == "2026-01-02T09:00:00Z"
    assert row["variables"] == META["variables"] and row["lost"] == META["lost"]
    assert row["path"] == str(path)


def test_a_step_that_would_be_refused_is_an_error_of_the_next_run(tmp_path: Path) -> None:
    making.save(Store(tmp_path).path("m", 1, 1), {}, making.some_keyring(tmp_path), **META)

    (row,) = look(tmp_path, tmp_path, outlook=lambda *_: Decision("refuse", "code differs"))

    assert (row["next"], row["reason"]) == ("error", "code differs")


def test_rows_are_ordered_by_number(tmp_path: Path) -> None:
    for step in (10, 9, 1):
        making.save(Store(tmp_path).path("m", 1, step), {}, making.some_keyring(tmp_path), step=step)

    assert [row["step"] for row in look(tmp_path, tmp_path)] == [1, 9, 10]


def test_steps_of_this_kernel_and_of_the_folder_are_both_there(tmp_path: Path) -> None:
    making.save(Store(tmp_path).path("m", 1, 1), {}, making.some_keyring(tmp_path), **META)
    making.save(Store(tmp_path).path("m", 1, 2), {}, making.some_keyring(tmp_path), step=2)
    seen = {
        1: StepRecord(1, "restored", restore_seconds=0.5),
        3: StepRecord(3, "failed", "the cell failed", title="Train"),
        4: StepRecord(4, "ran", run_seconds=2.0),
    }
    key = PipelineKey(tmp_path, "m", "1")

    def outlook(key: PipelineKey, step: int, stored: StoredStep | None) -> Decision:
        if step == 2:
            raise ckpt_magic.ForeignError("may not be read\nmore")
        return Decision("restore") if step == 1 else Decision("run", "no checkpoint yet")

    found = look(tmp_path, tmp_path, pipelines={key: Pipeline(seen)}, outlook=outlook)

    brief = [(row["step"], row["state"], row["next"], row["reason"]) for row in found]
    assert brief == [
        (1, "stored", "restore", ""),
        (2, "stored", "error", "may not be read\nmore"),
        (3, "failed", "run", "the cell failed"),
        (4, "missing", "run", "no checkpoint yet"),
    ]
    assert found[0]["restore_seconds"] == 0.5 and found[3]["run_seconds"] == 2.0 and found[2]["title"] == "Train"
    assert "500 ms, saved 4 min 12 s" in status.rows_text(found, now=NOW)


@pytest.mark.parametrize("kind", ["other key", "tampered", "foreign", "damaged", "newer", "other pipeline"])
def test_files_that_are_not_trusted_are_marked(tmp_path: Path, kind: str) -> None:
    store, keyring = Store(tmp_path), making.some_keyring(tmp_path)
    hostile: dict[str, Any] = {
        "title": "<img src=x>\x1b[2J",
        "variables": [{"name": "\x07", "type": ["?"], "shape": "?"}, 7],
    }
    signing = making.some_keyring(tmp_path, "other") if kind == "other key" else keyring
    path = making.save(store.path("m", 1, 1), {}, signing, **hostile, name="n" if kind == "other pipeline" else "m")
    data = path.read_bytes()
    if kind == "tampered":
        making.overwrite(path, data.replace(b"img src", b"IMG SRC"))
    elif kind == "damaged":
        making.overwrite(path, data[:-1])
    elif kind == "foreign":
        making.overwrite(path, pickle.dumps([1]))
    elif kind == "newer":
        version = data.rindex(b"\x89ckpt") - 4
        making.overwrite(path, data[:version] + b"\x63" + data[version + 1 :])

    found = look(tmp_path, tmp_path)

    assert found[0]["state"] == kind and found[0]["reason"]
    text, page = repr(found), found._repr_html_()
    assert "(?)" in text and "not authenticated" in text
    assert "<img" not in page.lower() and "\x1b" not in page + text and "\x07" not in page + text
    about = status.details(found[0], keyring)
    assert "(?)" in repr(about) and "\x1b" not in repr(about) + about._repr_html_()


def test_a_file_that_cannot_be_opened_has_a_row(tmp_path: Path) -> None:
    path = Store(tmp_path).path("m", 1, 1)
    making.save(path, {}, making.some_keyring(tmp_path))
    entries = Store(tmp_path).entries()
    path.unlink()
    path.mkdir()  # since the listing

    class Stale(Store):
        def entries(self, name: str | None = None, version: str | int | None = None) -> Any:
            return entries

    (row,) = status.rows(Stale(tmp_path), making.some_keyring(tmp_path))
    assert row["state"] == "unreadable"


def test_json_is_a_list_of_plain_objects(tmp_path: Path) -> None:
    making.save(Store(tmp_path).path("m", 1, 1), {}, making.some_keyring(tmp_path), **META)
    found = look(tmp_path, tmp_path)

    assert json.loads(status.rows_json(found)) == found


def test_rows_are_saved_as_a_list_that_needs_no_package(tmp_path: Path) -> None:
    making.save(Store(tmp_path).path("m", 1, 1), {}, making.some_keyring(tmp_path))

    data = pickle.dumps(look(tmp_path, tmp_path))

    assert b"ckpt_magic" not in data.replace(str(tmp_path).encode(), b"")
    assert type(pickle.loads(data)) is list


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("was unpickled",)

    making.save(Store(tmp_path).path("m", 1, 1), {"x": Bomb()}, making.some_keyring(tmp_path), **META)

    found = look(tmp_path, tmp_path)
    assert repr(found) and repr(status.details(found[0], making.some_keyring(tmp_path)))


def test_the_text_is_aligned_and_says_what_is_lost(tmp_path: Path) -> None:
    for step in (9, 10):
        making.save(
            Store(tmp_path).path("m", 1, step), {}, making.some_keyring(tmp_path), **{**META, "step": step, "lost": []}
        )
    making.save(Store(tmp_path).path("m", 2, 1), {}, making.some_keyring(tmp_path), version="2", **META)

    lines = status.rows_text(look(tmp_path, tmp_path), now=NOW).splitlines()

    assert lines[0].split() == ["pipeline", "step", "title", "state", "ran", "size", "saved", "variables"]
    assert {line.index("Load") for line in lines[1:4]} == {lines[0].index("title")}
    assert "x numpy.ndarray 3 × 4" in lines[1] and "3 h ago" in lines[1]
    assert lines[4:] == ["step 1: `db` (sqlite3.Connection) was not saved: cannot be pickled"]


def test_no_steps_are_said_in_words(tmp_path: Path) -> None:
    assert "no steps" in repr(look(tmp_path / "none", tmp_path))
    assert "no steps" in look(tmp_path / "none", tmp_path)._repr_html_()


def test_a_record_of_absurd_numbers_and_depths_is_shown(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    row = {"name": "x", "type": "y", "shape": [10**400], "bytes": 10**400}
    ring = making.some_keyring(tmp_path)
    meta = {"seconds": float("inf"), "variables": [row], "marks": [deep], "other": deep}
    making.save(Store(tmp_path).path("m", 1, 1), {}, ring, **meta)

    (found,) = look(tmp_path, tmp_path)
    assert (found["run_seconds"], found["variables"][0]["bytes"]) == (None, None)
    assert repr(status.Rows([found])) and status.rows_html([found])
    about = status.details(found, ring)
    assert "x" in repr(about)
    assert json.loads(status.rows_json([about.as_json()]))


def test_details_tell_everything(tmp_path: Path) -> None:
    making.save(Store(tmp_path).path("m", 1, 1), {}, making.some_keyring(tmp_path), **META)
    (row,) = look(tmp_path, tmp_path)

    about = status.details(row, making.some_keyring(tmp_path), StepRecord(1, "restored", "because"))

    for text in (repr(about), about._repr_html_()):
        for part in ("Load", "out of order", "restored: because", "x = 1", "step 1", "sqlite3.Connection", "seed"):
            assert part in text
        assert "0123456789ab" in text and "fedcba987654" in text
    assert about.as_json()["record"]["reads"] == META["reads"]


def test_python_gives_the_same_rows(tmp_path: Path) -> None:
    from ckpt_magic.files.trust import load_keyring

    making.save(Store(tmp_path).path("m", 1, 1), {}, load_keyring(), **META)

    assert ckpt_magic.status("m", 1, tmp_path) == status.rows(Store(tmp_path), load_keyring())
    assert ckpt_magic.status("m", 2, tmp_path) == []


def test_looking_at_many_files_is_linear(tmp_path: Path) -> None:
    store, keyring = Store(tmp_path), making.some_keyring(tmp_path)
    first = making.save(store.path("m", 1, 1), {}, keyring, **META).read_bytes()

    def work(count: int) -> int:
        for step in range(2, count + 1):
            store.path("m", 1, step).write_bytes(first)
        assert len(status.rows(store, keyring)) == count
        return calls(lambda: status.rows(store, keyring))

    few, many = work(100), work(1000)
    assert many < 11 * few
