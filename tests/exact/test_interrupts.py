"""Ctrl-C in the middle of what ckpt_magic does leaves the namespace whole, the registry right and no hook behind."""

from __future__ import annotations

import signal
import threading

import pytest

from ckpt_magic.steps import interrupts
from tests.exact.interrupts import sweep


@pytest.mark.parametrize("start", ["none", "9"], ids=["while a step runs", "while it is restored"])
def test_an_interrupt_at_any_line_leaves_all_right(start: str) -> None:
    """Points spread over the look before, the save, the restore; every line by the command."""
    found = list(sweep(start, points=16))
    assert [text for text in found if not text.startswith("#")] == []
    assert found[-1].startswith("# ")


def test_an_interrupt_waits_until_what_belongs_together_is_done() -> None:
    done = []

    def work() -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_waits_ends_the_work_that_it_may_end() -> None:
    done = []
    with interrupts.held() as released:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), released():
            done.append("never")
        done.append("after")
    assert done == ["after"]


def test_a_handler_set_inside_stays() -> None:
    came = []
    old = signal.getsignal(signal.SIGINT)
    try:
        with interrupts.held() as released, released():
            signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
        signal.raise_signal(signal.SIGINT)
        assert came == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, old)


def test_other_threads_hold_nothing() -> None:
    seen = []

    def work() -> None:
        with interrupts.held() as released, released():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_nested_holds_let_through_what_the_innermost_releases() -> None:
    done = []
    with interrupts.held():
        with interrupts.held() as released:
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt), released():
                done.append("never")
        done.append("after")
    assert done == ["after"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
