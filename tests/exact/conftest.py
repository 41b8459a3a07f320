"""One parent process for all pipelines of a test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exact.harness import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()
