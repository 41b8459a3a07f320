"""Generators and options of torch: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from ckpt_magic.values import options
from ckpt_magic.values.setters import called
from tests.exact.harness import Scenarios, Server

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "the generator of torch, its default type, printing, threads, gradients, deterministic algorithms",
    """
%%step 1
import torch
torch.manual_seed(5); a = torch.rand(2).tolist(); torch.set_default_dtype(torch.float64)
torch.set_printoptions(precision=2)
%%step 2
b = torch.randn(3).tolist(); torch.use_deterministic_algorithms(True, warn_only=True); torch.set_grad_enabled(False)
%%step 3
c = 'no draw'; w = (torch.ones(2, requires_grad=True) * 2).requires_grad; torch.set_num_threads(1)
%%step 4
d = torch.rand(2).tolist(), str(torch.tensor(1 / 3)), str(torch.get_default_dtype()); torch.set_grad_enabled(True)
""",
)
scenario(
    "what a property of a module looks after",
    """
%%step 1
import torch
part = torch.backends.mkldnn
a = part.enabled; part.enabled = False
%%step 2
b = part.enabled
%%step 3
part.enabled = True
%%step 4
r = a, b, torch.backends.mkldnn.enabled
""",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)


def test_threads_set_by_the_step_that_imports_torch_are_told_from_those_it_takes_by_itself() -> None:
    def changes() -> dict[str, object]:
        return options.changes("torch", None, options.look({"torch"})["torch"])

    usual = torch.get_num_threads()
    assert "threads" not in changes()
    torch.set_num_threads(usual + 1)
    try:
        assert changes()["threads"] == usual + 1
    finally:
        torch.set_num_threads(usual)


def test_a_compiled_setter_is_found_by_its_dotted_name() -> None:
    found = called([("torch", "backends", "cuda", "enable_flash_sdp")], {})
    assert "torch._C._set_sdp_use_flash" in found.compiled
