"""The benchmarks: what goes wrong in one of them is told, and costs no other one its figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cloudpickle")
pytest.importorskip("joblib")

from tests.bench import cells, peers
from tests.bench.__main__ import Results, main
from tests.bench.measure import Row


def test_a_benchmark_that_fails_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "forget", lambda: None)  # the shell here is not the benchmark's

    def failing() -> Iterator[Row]:
        yield Row("found before", [1.0, 3.0], "other", [2.0, 2.0])
        raise OSError("no room")

    results = Results(rounds=5, quick=True)
    results.take("first", failing)
    results.take("second", lambda: [{"speed": 2.0}])
    told = json.loads(json.dumps(results.as_dict()))
    assert [row["what"] for row in told["rows"]] == ["found before"]
    assert told["failed"] == {"first": "OSError: no room"}
    assert told["figures"] == {"first": "failed: OSError: no room", "speed": 2.0}


def test_a_text_that_is_in_no_name_is_told_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--quick", "--only", "empty", "emptie"])
    told = " ".join(capsys.readouterr().err.split())
    assert "--only emptie: no benchmark" in told and "empty step, small variables" in told


def test_a_peer_that_is_not_there_is_told_as_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (quick,) = peers.rows("marimo", None, tmp_path, 5, quick=True)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (absent,) = peers.rows("marimo", tmp_path / "venvs", tmp_path, 5, quick=False)
    assert isinstance(quick, dict)
    assert isinstance(absent, dict)
    assert all(str(found["marimo"]).startswith("not run: ") for found in (quick, absent))
