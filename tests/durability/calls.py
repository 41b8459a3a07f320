"""Every system call of a save fails in turn, by strace: the earlier checkpoint loads, the kernel's values are alive.

`python -m tests.durability.calls [--errors ENOSPC,EIO,EACCES,EINTR]` tries each call with each error.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_magic.errors import CheckpointError
from tests.kernels import Kernel

ERRORS = ("ENOSPC", "EIO", "EACCES", "EINTR")
BODY = "n = {}\ndata = [n] * 50_000\nimport numpy\narray = numpy.full(50_000, n)"
MARK = "/the save is over"
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")
# what deals with memory, time, signals and threads is no business of a save
OTHERS = {"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "getpid", "gettid", "getppid", "kill"}
OTHERS |= {"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "clock_gettime", "getrandom", "sched_yield", "access"}
OTHERS |= {"sigaltstack", "gettimeofday", "restart_syscall", "getuid", "geteuid", "exit_group", "process_vm_readv"}


@dataclass(frozen=True)
class Fault:
    """The `nth` call of a kind fails with an error."""

    call: str
    nth: int
    error: str

    def option(self) -> str:
        return f"inject={self.call}:error={self.error}:when={self.nth}"


def available() -> str:
    """Why it cannot be done here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()}"


def save_under(folder: Path, number: int, log: Path, options: list[str]) -> dict[str, Any]:
    """Save in a forked process that strace is attached to; what its kernel saw."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer: dict[str, Any] = {}
        try:
            kernel = Kernel(folder, "none")
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                os.kill(os.getpid(), signal.SIGSTOP)
                try:
                    facts = kernel.step(1, BODY.format(number))
                    answer = {"action": facts["action"], "notes": facts["notes"]}
                except CheckpointError as error:
                    answer = {"refused": str(error)}
                except Exception:
                    answer = {"escaped": traceback.format_exc()}
                os.access(MARK, os.F_OK)
            names = kernel.names
            alive = "refused" in answer or (
                names["n"] == number and len(names["data"]) == len(names["array"]) == 50_000
            )
            answer |= {"alive": alive, "warned": [str(one.message) for one in warned]}
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, os.WUNTRACED)
    tracer = subprocess.Popen(["strace", "-o", str(log), *options, "-p", str(child)], stderr=subprocess.DEVNULL)
    try:
        while not re.search(r"TracerPid:\t[1-9]", Path(f"/proc/{child}/status").read_text()):
            assert tracer.poll() is None, "strace could not attach"
            time.sleep(0.002)
    finally:
        os.kill(child, signal.SIGCONT)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    tracer.wait()
    found: dict[str, Any] = json.loads(text or "{}")
    return found


def calls_of_a_save(top: Path) -> Counter[str]:
    """How often a save makes each kind of call."""
    folder = top / "counted"
    Kernel(folder).step(1, BODY.format(0))
    save_under(folder, 1, top / "log", [])
    found = Counter[str]()
    for line in (top / "log").read_text(errors="replace").splitlines():
        if MARK in line:
            return found
        if (match := CALL.match(line)) and match[1] not in OTHERS:
            found[match[1]] += 1
    raise AssertionError("the end of the save is not in the log")


def try_one(top: Path, fault: Fault) -> str:
    """Let one call of a save fail; say what is wrong, or nothing."""
    folder = top / "tried"
    shutil.rmtree(folder, ignore_errors=True)
    Kernel(folder).step(1, BODY.format(0))
    saw = save_under(folder, 1, top / "log", ["-e", f"trace={fault.call}", "-e", fault.option()])
    if "refused" in saw:
        return "" if _is_told(saw["refused"], fault) else f"refused, without file or cause: {saw['refused']}"
    if "action" not in saw:
        return f"an error left the step: {saw.get('escaped', saw)}"
    if not saw["alive"]:
        return "the values of the kernel are not what the step left"
    new = saw["action"] == "saved"
    text = " ".join(saw["warned"])
    if not new and not _is_told(text, fault):
        return f"not saved, and the message names no file or cause: {saw['warned']}"
    kernel = Kernel(folder, "end")
    kernel.step(1, BODY.format(7))
    wanted = (1,) if new else (0, 1)
    if kernel.names["n"] not in wanted or kernel.names["array"][-1] != kernel.names["n"]:
        return f"{saw['action']}, and then restored {kernel.names['n']} instead of {wanted}"
    Kernel(folder).step(1, BODY.format(2))
    left = [path.name for path in folder.iterdir() if path.name.startswith(".ckpt-")]
    return f"left {left}" if left else ""


def _is_told(text: str, fault: Fault) -> bool:
    """Whether a message names the file, or the folder, and the cause."""
    told = {"ENOSPC": "the disk is full", "EIO": "the disk reports an error", "EACCES": "permission denied"}
    causes = (os.strerror(getattr(errno, fault.error)), told.get(fault.error, fault.error))
    return "/" in text and any(cause in text for cause in causes)


def faults(counted: Counter[str], errors: tuple[str, ...] = ERRORS) -> Iterator[Fault]:
    for call, times in sorted(counted.items()):
        for nth in range(1, times + 1):
            yield from (Fault(call, nth, error) for error in errors)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.calls", description=__doc__)
    parser.add_argument("--errors", default=",".join(ERRORS))
    asked = parser.parse_args()
    if why := available():
        sys.exit(f"not run: {why}")
    os.environ.setdefault("CKPT_KEY", "the key of the tests")
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        counted = calls_of_a_save(top)
        print(", ".join(f"{times} {call}" for call, times in counted.most_common()))
        tried = wrong = 0
        for fault in faults(counted, tuple(asked.errors.split(","))):
            tried += 1
            if problem := try_one(top, fault):
                wrong += 1
                print(f"{fault.call} {fault.nth} {fault.error}: {problem}", flush=True)
        print(f"{tried} faults, {wrong} wrong")


if __name__ == "__main__":
    main()
