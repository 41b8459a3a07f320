"""Every system call of what writes to the disk fails in turn, by strace: the earlier file is whole, all values alive.

`python -m tests.durability.calls [--errors EIO] [--deeds cell,clear]` tries each call of each deed with each error.
"""

from __future__ import annotations

import argparse
import errno
import io
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ckpt_magic import Checkpoint
from ckpt_magic.errors import CheckpointError
from ckpt_magic.faces import clearing, trusting
from ckpt_magic.files.format import open_checkpoint
from ckpt_magic.files.publishing import publisher
from ckpt_magic.files.store import Store
from ckpt_magic.files.trust import load_keyring
from ckpt_magic.steps.registry import PipelineKey
from ckpt_magic.values.pages import new_hash
from tests.kernels import Kernel

ERRORS = ("ENOSPC", "EIO", "EACCES", "EINTR")
BODY = "n = {}\ndata = [n] * 50_000\nimport numpy\narray = numpy.full(50_000, n)"
MARK = "/the deed is done"
CALL = re.compile(r"^(?:(\d+) +)?(\w+)\(")
# what deals with memory, time, signals, threads and terminals is no business of a save
OTHERS = {"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "getpid", "gettid", "getppid", "kill"}
OTHERS |= {"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "clock_gettime", "getrandom", "sched_yield", "access"}
OTHERS |= {"sigaltstack", "gettimeofday", "restart_syscall", "getuid", "geteuid", "exit_group", "process_vm_readv"}
OTHERS |= {"clone", "clone3", "set_robust_list", "rseq", "prctl", "exit", "clock_nanosleep", "poll", "tgkill", "getcwd"}

Answer = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """The `nth` call of a kind fails with an error."""

    call: str
    nth: int
    error: str

    def option(self) -> str:
        return f"inject={self.call}:error={self.error}:when={self.nth}"


@dataclass(frozen=True)
class Deed:
    """Something that writes to the disk.

    Attributes
    ----------
    prepare
        Puts into the folder what was there earlier.
    ready
        Called in the process that is traced later; returns what is then done and traced. That returns whether it
        came to its end; what went wrong is raised or warned of.
    look
        Says what is wrong afterwards, or nothing; it is given whether it came to its end.
    """

    prepare: Callable[[Path], object]
    ready: Callable[[Path], Callable[[], bool]]
    look: Callable[[Path, bool], str]


# -- the deeds ------------------------------------------------------------------------------------------------------


def step_in_kernel(folder: Path) -> Callable[[], bool]:
    kernel = Kernel(folder, "none")
    kernel.session.sync = False

    def act() -> bool:
        facts = kernel.step(1, BODY.format(1))
        _must_be_alive(kernel.names)
        return _is_published(facts["action"] == "saved")

    return act


def step_in_shell(folder: Path) -> Callable[[], bool]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_cell("%load_ext ckpt_magic")
    shell.run_cell(f"%ckpt_config --name p --folder {folder}")
    sys.stdout = io.StringIO()  # the banners
    shell.run_cell(f"%%step 1 --folder {folder}-other\nimport numpy")  # what the first step imports is not its save
    publisher().wait()

    def act() -> bool:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = shell.run_cell("%%step 1\n" + BODY.format(1), store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise error
        _must_be_alive(shell.user_ns)
        for one in warned:
            warnings.warn(one.message, stacklevel=1)
        return _is_published(not warned)

    return act


class Saver(Checkpoint):
    number = 0

    def step_1(self, outputs: Any) -> Any:
        import numpy

        return {"n": self.number, "data": [self.number] * 50_000, "array": numpy.full(50_000, self.number)}


def save_script(folder: Path, number: int) -> bool:
    saver = Saver(name="p", checkpoint_folder=folder)
    saver.number = number
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        _must_be_alive(saver.run()["step_1"], number)
    for one in warned:
        warnings.warn(one.message, stacklevel=1)
    return not warned


def publish_draft(folder: Path) -> Callable[[], bool]:
    store = Store(folder)
    newer = Path(f"{folder}-newer")
    Kernel(newer).step(1, BODY.format(1))
    publisher().wait()
    data = (newer / "p-v1-step1.pkl").read_bytes()
    draft, _ = store.write(store.path("p", 1, 1), lambda file: file.write(data))

    def act() -> bool:
        going = publisher().submit(draft)
        publisher().wait()
        going.is_told = True
        if going.error is not None:
            raise going.error
        return True

    return act


def look_at_step(folder: Path, done: bool) -> str:
    """What is stored is the earlier checkpoint or the new one, whole, and a later save leaves no temporary file."""
    kernel = Kernel(folder, "end")
    kernel.step(1, BODY.format(7))
    number, wanted = kernel.names["n"], (1,) if done else (0, 1)
    if number not in wanted or kernel.names["array"][-1] != number or kernel.names["data"][-1] != number:
        return f"restored {number} instead of {wanted}"
    Kernel(folder).step(1, BODY.format(2))
    return _left(folder)


def look_at_script(folder: Path, done: bool) -> str:
    value, wanted = Saver(name="p", checkpoint_folder=folder).load_outputs()["step_1"], (1,) if done else (0, 1)
    if value["n"] not in wanted or value["array"][-1] != value["n"]:
        return f"loaded {value['n']} instead of {wanted}"
    save_script(folder, 2)
    return _left(folder)


def clear(folder: Path) -> Callable[[], bool]:
    key, ring = PipelineKey(folder, "p", "1"), load_keyring()
    return lambda: clearing.clear(key, clearing.Wanted(((1, 1),)), ring, yes=True)[0]["deleted"]


def look_at_cleared(folder: Path, done: bool) -> str:
    path = folder / "p-v1-step1.pkl"
    if path.exists():
        return "it is still there" if done else look_at_step(folder, False)
    Kernel(folder).step(1, BODY.format(2))
    return _left(folder)


def of_somebody(folder: Path) -> None:
    mine, os.environ["CKPT_KEY"] = os.environ["CKPT_KEY"], "somebody else"
    try:
        # who signs a pickle goes through all that it does first: there is less of it
        Kernel(folder).step(1, BODY.format(0).replace("[n] * 50_000", "[n] * 500"))
        publisher().wait()
    finally:
        os.environ["CKPT_KEY"] = mine


def trust(folder: Path) -> Callable[[], bool]:
    ring = load_keyring()
    return lambda: trusting.trust_path(folder / "p-v1-step1.pkl", ring, {}, yes=True)[0]["signed"]


def look_at_trusted(folder: Path, done: bool) -> str:
    stored = open_checkpoint(folder / "p-v1-step1.pkl", load_keyring())
    if stored.trust not in (("trusted",) if done else ("trusted", "other key")):
        return f"the file is {stored.trust}"
    if stored.trust == "trusted":
        return look_at_step(folder, False) if stored.check(new_hash) == [] else "its payloads are damaged"
    trusting.trust_path(stored.path, load_keyring(), {}, yes=True)
    return look_at_step(folder, False)


def make_key(folder: Path) -> Callable[[], bool]:
    import platformdirs  # noqa: F401  # a file of Python's own that cannot be read is no business of ours

    os.environ.pop("CKPT_KEY", None)
    os.environ["XDG_DATA_HOME"] = str(folder)
    return lambda: bool(load_keyring())


def look_at_key(folder: Path, done: bool) -> str:
    there = folder / "ckpt_magic" / "signing.key"
    before = there.read_bytes() if there.exists() else b""
    if done and not before:
        return "there is no key"
    key = load_keyring({}, folder / "ckpt_magic").signing
    if before and before != key.secret.hex().encode() + b"\n":
        return "it is another key than before"
    left = [path.name for path in there.parent.iterdir() if path.name not in ("signing.key", "accepted")]
    return f"left {left}" if left else "" if there.stat().st_mode & 0o777 == 0o600 else "others can read it"


def _step_0(folder: Path) -> None:
    Kernel(folder).step(1, BODY.format(0))
    publisher().wait()


DEEDS = {
    "session": Deed(_step_0, step_in_kernel, look_at_step),
    "cell": Deed(_step_0, step_in_shell, look_at_step),
    "script": Deed(partial(save_script, number=0), lambda folder: partial(save_script, folder, 1), look_at_script),
    "publish": Deed(_step_0, publish_draft, look_at_step),
    "clear": Deed(_step_0, clear, look_at_cleared),
    "trust": Deed(of_somebody, trust, look_at_trusted),
    "key": Deed(lambda folder: folder.mkdir(), make_key, look_at_key),
}


def _must_be_alive(names: Any, number: int = 1) -> None:
    assert names["n"] == number and len(names["data"]) == len(names["array"]) == 50_000, "values of the step are lost"


def _is_published(saved: bool) -> bool:
    """Wait for what is published in the background; what failed there is raised."""
    publisher().wait()
    for one in publisher()._failed:
        one.is_told = True
        assert one.error is not None
        raise one.error
    return saved


def _left(folder: Path) -> str:
    publisher().wait()
    left = [path.name for path in folder.iterdir() if path.name.startswith(".ckpt-")]
    return f"left {left}" if left else ""


# -- under strace ---------------------------------------------------------------------------------------------------


def available() -> str:
    """Why it cannot be done here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()}"


def traced(deed: Deed, folder: Path, log: Path, options: list[str]) -> Answer:
    """Do it in a forked process that strace is attached to; what that process saw."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer: Answer = {"done": False}
        try:
            act = deed.ready(folder)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                os.kill(os.getpid(), signal.SIGSTOP)
                try:
                    answer["done"] = act()
                except CheckpointError as error:
                    answer["told"] = str(error)
                except BaseException:
                    answer["escaped"] = traceback.format_exc()
                os.access(MARK, os.F_OK)
            answer.setdefault("told", " ".join(str(one.message) for one in warned))
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, os.WUNTRACED)
    tracer = subprocess.Popen(["strace", "-f", "-o", str(log), *options, "-p", str(child)], stderr=subprocess.DEVNULL)
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
    found: Answer = json.loads(text or "{}")
    return found


def calls_of(deed: Deed, top: Path) -> Counter[str]:
    """How often it makes each kind of call, in the thread that does so most often."""
    folder = top / "counted"
    deed.prepare(folder)
    answer = traced(deed, folder, top / "log", [])
    assert answer.get("done"), answer
    by_thread = Counter[tuple[str, str]]()
    for line in (top / "log").read_text(errors="replace").splitlines():
        if MARK in line:
            break
        if (match := CALL.match(line)) and match[2] not in OTHERS:
            by_thread[match[1], match[2]] += 1
    else:
        raise AssertionError("the end of the deed is not in the log")
    found = Counter[str]()
    for (_, call), times in by_thread.items():
        found[call] = max(found[call], times)
    return found


def try_one(deed: Deed, top: Path, fault: Fault) -> str:
    """Let one call fail; say what is wrong, or nothing."""
    for path in top.glob("tried*"):
        shutil.rmtree(path)
    folder = top / "tried"
    deed.prepare(folder)
    answer = traced(deed, folder, top / "log", ["-e", f"trace={fault.call}", "-e", fault.option()])
    if "told" not in answer or "escaped" in answer:
        return f"an error left it: {answer.get('escaped', answer)}"
    if not answer["done"] and not _is_told(answer["told"], fault):
        return f"not done, and the message names no file, cause or remedy: {answer['told']}"
    return deed.look(folder, answer["done"])


def _is_told(text: str, fault: Fault) -> bool:
    """Whether a message names the file, or the folder, the cause, and something to do."""
    told = {"ENOSPC": "the disk is full", "EIO": "the disk reports an error", "EACCES": "permission denied"}
    causes = (os.strerror(getattr(errno, fault.error)), told.get(fault.error, fault.error))
    return "/" in text and any(f"{cause}; " in text for cause in causes)


def faults(counted: Counter[str], errors: Sequence[str] = ERRORS) -> Iterator[Fault]:
    for call, times in sorted(counted.items()):
        for nth in range(1, times + 1):
            yield from (Fault(call, nth, error) for error in errors)


def try_some(name: str, top: Path, errors: Sequence[str], every: int) -> dict[Fault, str]:
    """Let every so many-th of all calls fail; what is wrong after each, or nothing."""
    deed = DEEDS[name]
    return {fault: try_one(deed, top, fault) for fault in list(faults(calls_of(deed, top), errors))[::every]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.calls", description=__doc__)
    parser.add_argument("--errors", default=",".join(ERRORS))
    parser.add_argument("--deeds", default=",".join(DEEDS))
    asked = parser.parse_args()
    if why := available():
        sys.exit(f"not run: {why}")
    os.environ.setdefault("CKPT_KEY", "the key of the tests")
    failed = 0
    for name in asked.deeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            top, began = Path(folder), time.perf_counter()
            counted = calls_of(DEEDS[name], top)
            print(f"{name}: {', '.join(f'{times} {call}' for call, times in counted.most_common())}", flush=True)
            tried = wrong = 0
            for fault in faults(counted, asked.errors.split(",")):
                tried += 1
                if problem := try_one(DEEDS[name], top, fault):
                    wrong += 1
                    print(f"{name}, {fault.call} {fault.nth} {fault.error}: {problem}", flush=True)
            print(f"{name}: {tried} faults, {wrong} wrong, {time.perf_counter() - began:.0f} s", flush=True)
            failed += wrong
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
