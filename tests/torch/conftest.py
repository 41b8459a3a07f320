"""One parent process, with torch, for all pipelines of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exact.harness import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    made = Server("torch", "torch._dynamo")
    yield made
    made.close()
