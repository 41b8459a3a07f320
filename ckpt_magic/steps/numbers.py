"""What tells processes apart in which `hash` and `id` give other numbers; see `registry.NUMBERS`."""

from __future__ import annotations

from ckpt_magic.steps.registry import ADDRESSES, HASH
from ckpt_magic.values import addresses
from ckpt_magic.values.code import hashes


def of_this_process() -> dict[str, str]:
    """By the names of the settings in which META records them."""
    return {HASH: hashes.of_this_process(), ADDRESSES: addresses.of_this_process()}
