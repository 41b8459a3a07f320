"""How `%%step` cells run in a real kernel: replies, interrupts, subshells, breakpoints, widgets."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from tests.conftest import RunCells
from tests.test_recording import setup

pytestmark = pytest.mark.kernel


@dataclass
class Reply:
    content: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.content["status"])

    @property
    def text(self) -> str:
        return "".join(m["content"]["text"] for m in self.messages if m["msg_type"] == "stream")

    @property
    def results(self) -> list[str]:
        return [m["content"]["data"]["text/plain"] for m in self.messages if m["msg_type"] == "execute_result"]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.messages if m["msg_type"] in kinds]

    @property
    def banner(self) -> str | None:
        for content in self.of("display_data"):
            if "ckpt_magic" in content["metadata"]:
                return str(content["metadata"]["ckpt_magic"]["action"])
        return None


def printed(cell: Any) -> str:
    """All that a cell printed, which may come in several parts."""
    return "".join(one.text for one in cell.outputs if one.output_type == "stream")


class Kernel:
    """One kernel and a client that matches replies by message id."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        # below pytest ipykernel would not watch the file descriptors
        env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.manager.start_kernel(env=env)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def send(
        self, code: str, *, subshell: str | None = None, metadata: dict[str, Any] | None = None, **options: Any
    ) -> str:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", {**content, **options}, metadata=metadata)
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def collect(self, *msg_ids: str, timeout: float = 30) -> list[Reply]:
        """Wait for the replies and the idle states of several requests."""
        replies: dict[str, Reply] = {}
        messages: dict[str, list[dict[str, Any]]] = {msg_id: [] for msg_id in msg_ids}
        idle: set[str] = set()
        deadline = time.monotonic() + timeout
        while not (replies.keys() >= set(msg_ids) <= idle):
            assert time.monotonic() < deadline, f"replies {list(replies)}, idle {idle} of {msg_ids}"
            try:
                message = self.client.get_iopub_msg(timeout=0.02)
                parent = message["parent_header"].get("msg_id")
                if parent in messages:
                    if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                        idle.add(parent)
                    messages[parent].append(message)
            except queue.Empty:
                pass
            try:
                message = self.client.get_shell_msg(timeout=0.001)
                parent = message["parent_header"].get("msg_id")
                if parent in messages:
                    replies[parent] = Reply(message["content"], messages[parent])
            except queue.Empty:
                pass
        return [replies[msg_id] for msg_id in msg_ids]

    def run(self, code: str, *, timeout: float = 30, **options: Any) -> Reply:
        deadline = time.monotonic() + timeout
        while True:
            (reply,) = self.collect(self.send(code, **options), timeout=timeout)
            # a kernel that has just failed a request aborts what reaches it before it has drained its queue
            if reply.status != "aborted" or time.monotonic() > deadline:
                return reply

    def value(self, expression: str) -> str:
        """Evaluate without running a cell that the session would see as more than silent."""
        reply = self.run("", silent=True, user_expressions={"x": expression})
        found = reply.content["user_expressions"]["x"]
        return str(found.get("data", {}).get("text/plain", found))

    def control(self, msg_type: str, content: dict[str, Any], timeout: float = 20) -> dict[str, Any]:
        message = self.client.session.msg(msg_type, content)
        self.client.control_channel.send(message)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                reply = self.client.get_control_msg(timeout=0.5)
            except queue.Empty:
                continue
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])
        raise TimeoutError(msg_type)


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared: Kernel, tmp_path: Path) -> Iterator[Kernel]:
    """The shared kernel, with an empty namespace and hooks of its own."""
    assert shared.run("%reset -f").status == "ok"
    assert shared.run(setup(tmp_path / "steps")).status == "ok"
    yield shared
    shared.run("get_ipython().ckpt_hooks.uninstall()")


def restart_hooks(kernel: Kernel, tmp_path: Path, start: int = 9) -> None:
    """As a new kernel would: an empty namespace and a session that knows nothing."""
    kernel.run("get_ipython().ckpt_hooks.uninstall()")
    kernel.run("%reset -f")
    kernel.run(setup(tmp_path / "steps", start))


def log(kernel: Kernel) -> str:
    return kernel.value("[entry for entry in session.log if not isinstance(entry, str)]")


def test_a_step_runs_and_comes_back_with_its_result_and_count(kernel: Kernel, tmp_path: Path) -> None:
    code = "%%step 1\nx = 20\nprint('p')\nx + 1"
    ran = kernel.run(code)
    restart_hooks(kernel, tmp_path)
    restored = kernel.run(code, user_expressions={"y": "x + 2"})
    assert (ran.status, restored.status) == ("ok", "ok")
    assert (ran.results, ran.text, ran.banner) == (["21"], "p\n", "ran")
    assert (restored.results, restored.text, restored.banner) == (["21"], "p\n", "restored")
    assert restored.content["user_expressions"]["y"]["data"]["text/plain"] == "22"
    count = restored.content["execution_count"]
    assert restored.of("execute_result")[0]["execution_count"] == count
    assert kernel.run(f"(_, Out[{count}], _{count})").results == ["(21, 21, 21)"]


def test_an_error_in_a_step_is_a_native_error_and_stops_what_is_queued(kernel: Kernel) -> None:
    """Trap 22: what is queued behind an error is answered without running."""
    slow = "%%step 1\nimport time; time.sleep(0.5)\n1/0"  # by then the others are in the queue
    first, second, third = kernel.collect(*map(kernel.send, (slow, "x = 1", "y = 1")))
    assert (first.status, first.content["ename"]) == ("error", "ZeroDivisionError")
    assert len(first.of("error")) == 1
    assert first.of("error")[0]["traceback"] == first.content["traceback"]
    assert (second.status, third.status) == ("aborted", "aborted")
    assert "finish', 1, False" in log(kernel)
    assert first.banner is None


def test_a_usage_error_is_one_line_and_an_error_reply(kernel: Kernel) -> None:
    reply = kernel.run("%%step nonsense\nx = 1")
    assert (reply.status, reply.content["ename"]) == ("error", "UsageError")
    assert reply.text.startswith("UsageError: %%step needs a number first")
    assert len(reply.text.splitlines()) == 1


def test_trap_1_a_silent_request_with_a_step_is_refused(kernel: Kernel) -> None:
    reply = kernel.run("%%step 1\nsz = 3", silent=True)
    assert reply.status == "error"
    assert kernel.run("later = 1\n'sz' in globals()").results == ["False"]
    assert log(kernel) == "[]"


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "ValueError"])
def test_trap_4_the_request_ends_whatever_a_save_raises(kernel: Kernel, error: str) -> None:
    """A `SystemExit` out of a callback leaves the request without an idle state."""
    kernel.run(f"def fail():\n    raise {error}('boom')\nsession.before_finish = fail")
    reply = kernel.run("%%step 1\nx = 1")
    assert reply.status == "ok"
    assert "no checkpoint was saved" in reply.text
    kernel.run("session.before_finish = None")
    assert kernel.run("%%step 2\ny = x").banner == "ran"


def test_trap_3_a_checkpoint_error_after_the_cell_is_an_error_reply(kernel: Kernel) -> None:
    kernel.run(
        "from ckpt_magic.errors import NotPicklableError\ndef fail():\n    raise NotPicklableError('`db` cannot')\n"
        "session.before_finish = fail"
    )
    reply = kernel.run("%%step 1\nx = 1")
    assert (reply.status, reply.content["ename"]) == ("error", "NotPicklableError")


# In small pieces, here and below: an interrupt that comes right before a sleep, or while a loop sleeps in `select`,
# is noticed by Python after it, in a plain cell, too.
SLEEP = "for _ in range(300): time.sleep(0.1)"
AWAIT = "for _ in range(300): await asyncio.sleep(0.1)"


@pytest.mark.parametrize("body", [f"import time\n{SLEEP}", f"import asyncio\n{AWAIT}"])
def test_an_interrupt_is_a_failed_step_and_the_next_one_works(kernel: Kernel, body: str) -> None:
    msg_id = kernel.send(f"%%step 1\nprint('go', flush=True)\n{body}")
    while True:
        message = kernel.client.get_iopub_msg(timeout=20)
        if message["msg_type"] == "stream":
            break
    kernel.manager.interrupt_kernel()
    (reply,) = kernel.collect(msg_id)
    assert reply.status == "error"
    assert log(kernel) == "[('begin', 1), ('finish', 1, False)]"
    assert kernel.run("%%step 2\nx = 1").banner == "ran"


def test_trap_15_an_interrupt_during_the_save_leaves_the_values_alive(kernel: Kernel) -> None:
    kernel.run(f"import time\ndef slow():\n    print('saving', flush=True)\n    {SLEEP}\nsession.before_finish = slow")
    msg_id = kernel.send("%%step 1\nx = 1")
    while True:
        message = kernel.client.get_iopub_msg(timeout=20)
        if message["msg_type"] == "stream" and "saving" in message["content"]["text"]:
            break
    kernel.manager.interrupt_kernel()
    (reply,) = kernel.collect(msg_id)
    assert reply.status == "ok"
    assert "no checkpoint was saved" in reply.text
    assert kernel.value("x, session.file(1).exists()") == "(1, False)"


def test_metadata_of_the_front_end_changes_nothing(kernel: Kernel) -> None:
    reply = kernel.run("%%step 1\nx = 1", metadata={"cellId": "vscode-notebook-cell:/a#X0", "trusted": True})
    assert reply.banner == "ran"


def test_store_history_false_works(kernel: Kernel) -> None:
    assert kernel.run("%%step 1\nx = 1\nx", store_history=False).banner == "ran"


def test_trap_9_writes_to_the_streams_are_not_patched_in_a_kernel(kernel: Kernel) -> None:
    reply = kernel.run("%%step 1\nimport sys\n(type(sys.stdout).__name__, 'ckpt' in repr(sys.stdout.write))")
    assert reply.results == ["('OutStream', False)"]
    reply = kernel.run("'send_multipart' in vars(get_ipython().display_pub.pub_socket.io_thread)")
    assert reply.results == ["False"]


def test_trap_16_tasks_of_an_earlier_cell_are_not_recorded_into_a_later_step(kernel: Kernel) -> None:
    kernel.run(
        "import asyncio\nasync def talk():\n    for i in range(10):\n        print('task'); await asyncio.sleep(0.03)\n"
        "task = asyncio.ensure_future(talk())"
    )
    kernel.run("%%step 1\nawait asyncio.sleep(0.15)\nprint('mine')")
    assert kernel.value("session.outcomes[-1].outputs[0]['text']") == "'mine\\n'"


def test_trap_17_what_is_shown_after_the_cell_is_not_recorded(kernel: Kernel) -> None:
    kernel.run(
        "%%step 1\nimport threading, time\n"
        "t = threading.Thread(target=lambda: (time.sleep(0.3), print('late')))\nt.start()\nprint('in time')"
    )
    kernel.run("t.join()")
    assert kernel.value("[o['text'] for o in session.outcomes[-1].outputs]") == "['in time\\n']"


def test_traps_18_to_20_a_subshell_shares_the_step_and_does_not_disturb_it(kernel: Kernel) -> None:
    kernel.client.kernel_info()
    info = kernel.client.get_shell_msg(timeout=10)
    while info["msg_type"] != "kernel_info_reply":
        info = kernel.client.get_shell_msg(timeout=10)
    if "kernel subshells" not in info["content"].get("supported_features", []):
        pytest.skip("this ipykernel has no subshells")
    subshell = kernel.control("create_subshell_request", {})["subshell_id"]
    try:
        step = kernel.send("%%step 1\nimport time\nprint('a'); time.sleep(1.5); print('b')\n'main'")
        time.sleep(0.4)
        probe = kernel.send("print('from subshell')\n'sub'", subshell=subshell)
        other = kernel.send("%%step 2\ns = 5\n'other'", subshell=subshell)
        first, second, third = kernel.collect(step, probe, other)
        assert [first.status, second.status, third.status] == ["ok", "ok", "ok"]
        assert (first.banner, second.banner, third.banner) == ("ran", None, None)
        assert "step 2: met while step 1 runs" in third.text
        assert log(kernel) == "[('begin', 1), ('finish', 1, True)]"
        assert kernel.value("[o.get('text') for o in session.outcomes[-1].outputs]") == "['a\\nb\\n', None]"
        assert kernel.value("session.outcomes[-1].result") == "'main'"
        (again,) = kernel.collect(kernel.send("%%step 3\nu = 1", subshell=subshell))
        assert again.banner == "ran"
    finally:
        kernel.control("delete_subshell_request", {"subshell_id": subshell})


def test_trap_21_what_a_skipped_body_sets_outside_the_namespace_is_not_the_hooks_business(
    kernel: Kernel, tmp_path: Path
) -> None:
    """Ambient state is the session's: the hooks run nothing of a restored body."""
    code = "%%step 1\nimport os\nos.environ['CKPT_TEST_TRAP'] = '1'\nx = 1"
    kernel.run(code)
    kernel.run("del os.environ['CKPT_TEST_TRAP']")
    restart_hooks(kernel, tmp_path)
    kernel.run(code)
    assert kernel.run("import os; os.environ.get('CKPT_TEST_TRAP')").results == []


def test_reset_and_unload_and_load_again(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("%reset -f")
    kernel.run("session = get_ipython().ckpt_hooks.session")
    assert "reset" in kernel.value("session.log")
    kernel.run("hooks = get_ipython().ckpt_hooks; hooks.uninstall()")
    reply = kernel.run("%%step 1\nx = 1")
    assert reply.status == "error"
    kernel.run("hooks.install()")
    assert kernel.run("%%step 1\nx = 1").banner == "ran"


def test_a_process_pool_made_in_a_step_saves_nothing_of_its_own(kernel: Kernel) -> None:
    reply = kernel.run(
        "%%step 1\nimport multiprocessing\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n    r = pool.map(abs, [-1, -2])\nr"
    )
    assert (reply.results, reply.banner) == (["[1, 2]"], "ran")
    assert log(kernel) == "[('begin', 1), ('finish', 1, True)]"


def test_output_widgets_keep_what_they_captured(kernel: Kernel) -> None:
    pytest.importorskip("ipywidgets")
    kernel.run(
        "%%step 1\nimport ipywidgets\nout = ipywidgets.Output()\nprint('before')\n"
        "with out:\n    print('inside')\nprint('after')"
    )
    assert kernel.value("[o['text'] for o in session.outcomes[-1].outputs]") == "['before\\nafter\\n']"


def test_widgets_are_shown_again_as_far_as_their_view_goes(kernel: Kernel, tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    code = "%%step 1\nimport ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.IntSlider())"
    ran = kernel.run(code)
    restart_hooks(kernel, tmp_path)
    restored = kernel.run(code)
    assert restored.of("display_data")[0] == ran.of("display_data")[0]
    assert ran.of("comm_open") and not restored.of("comm_open")


def test_numbers_of_numpy_are_shown_with_the_precision_of_the_page(run_cells: RunCells) -> None:
    """IPython finds its printers when it is first asked for them: a look before numpy is loaded must not ask."""
    done = run_cells(
        ["%%step 1 --name p\nimport numpy as np\n%precision 3", "%%step 2 --name p\nnp.float64(1.23456)"],
        env={"CKPT_KEY": "tests"},
    )
    assert done.cells[-1].outputs[0].data["text/plain"] == "1.235"


def test_displays_of_a_restored_step_can_be_updated_by_a_later_cell(kernel: Kernel, tmp_path: Path) -> None:
    code = "%%step 1\nfrom IPython.display import display\nh = display('old', display_id='the-id')\nh = None"
    kernel.run(code)
    restart_hooks(kernel, tmp_path)
    restored = kernel.run(code)
    shown = restored.of("display_data")[0]
    assert (shown["transient"], shown["metadata"]) == ({"display_id": "the-id"}, {})


def test_a_large_print_is_recorded_whole(kernel: Kernel) -> None:
    reply = kernel.run("%%step 1\nprint('x' * 30_000_000)", timeout=60)
    assert reply.banner == "ran"
    assert kernel.value("len(session.outcomes[-1].outputs[0]['text'])") == "30000001"


def test_the_cap_cuts_what_is_recorded_and_not_what_is_shown(kernel: Kernel) -> None:
    kernel.run("hooks.cap = 1000")
    reply = kernel.run("%%step 1\nfor i in range(3000): print(i, flush=i % 100 == 0)")
    assert reply.text.endswith("2999\n")
    assert kernel.value("session.outcomes[-1].outputs_cut") == "1000"
    assert "recorded up to here (1,000 bytes)" in kernel.value("session.outcomes[-1].outputs[-1]['text']")


def test_breakpoints_hit_on_the_line_of_the_cell(tmp_path: Path) -> None:
    pytest.importorskip("debugpy")
    kernel = Kernel()  # of its own: the debugger does not let go of it
    kernel.run(setup(tmp_path / "steps"))
    code = "# note\n%%step 1\na = 1\nb = 2\nc = a + b"
    seq = iter(range(1, 100))

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        content = {"type": "request", "seq": next(seq), "command": command, "arguments": arguments}
        return kernel.control("debug_request", content)

    ask("initialize", clientID="t", adapterID="", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
    ask("attach")
    try:
        path = ask("dumpCell", code=code)["body"]["sourcePath"]
        set_ = ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 4}], sourceModified=False)
        assert set_["body"]["breakpoints"][0]["verified"]
        ask("configurationDone")
        msg_id = kernel.send(code)
        deadline = time.monotonic() + 20
        stopped = None
        while stopped is None and time.monotonic() < deadline:
            try:
                message = kernel.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
                stopped = message["content"]["body"]
        assert stopped is not None
        frame = ask("stackTrace", threadId=stopped["threadId"])["body"]["stackFrames"][0]
        assert (frame["line"], frame["source"]["path"]) == (4, path)
        ask("continue", threadId=stopped["threadId"])
        (reply,) = kernel.collect(msg_id)
        assert (reply.status, reply.banner) == ("ok", "ran")
    finally:
        kernel.close()


TERMINAL = """
import sys
sys.path.insert(0, {root!r})
from tests.fake_session import install
_h = install(get_ipython(), {folder!r}, start={start})
"""


def test_a_real_terminal_records_results_as_results(tmp_path: Path) -> None:
    """IPython in a pseudo terminal: the number of a restored result is the new one."""
    pexpect = pytest.importorskip("pexpect")
    root = str(Path(__file__).parents[1])
    for start, action in ((0, "ran"), (9, "restored")):
        script = tmp_path / f"setup{start}.py"
        script.write_text(TERMINAL.format(root=root, folder=str(tmp_path / "steps"), start=start))
        env = {**os.environ, "TERM": "dumb", "IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}
        options = [
            "-m",
            "IPython",
            "--simple-prompt",
            "--no-banner",
            "--HistoryManager.enabled=False",
        ]
        child = pexpect.spawn(sys.executable, [*options, "-i", str(script)], env=env, encoding="utf-8", timeout=40)
        child.setecho(False)
        try:
            child.expect_exact("In [1]: ")
            for _ in range(start and 1):
                child.sendline("0")
                child.expect_exact("Out[1]: 0")
                child.expect_exact("In [2]: ")
            count = 2 if start else 1
            child.sendline("%%step 1")
            child.sendline("x = 41; print('printed')")
            child.sendline("x + 1")
            child.sendline("")
            child.sendline("")
            child.expect_exact("printed")
            child.expect_exact(f"Out[{count}]: 42")
            child.expect_exact(f"step 1 · {action}")
            child.expect_exact(f"In [{count + 1}]: ")
            child.sendline("(_, x)")
            child.expect_exact("(42, 41)")
        finally:
            child.close(force=True)


def test_the_connection_of_a_thread_that_prints_all_the_time_is_not_blocked(kernel: Kernel) -> None:
    kernel.run(
        "import threading, time\nstop = threading.Event()\n"
        "def chat():\n    while not stop.is_set():\n        print('.', end='', flush=True); time.sleep(0.001)\n"
        "t = threading.Thread(target=chat); t.start()"
    )
    reply = kernel.run("%%step 1\nx = 1\nstop.set(); t.join()")
    assert reply.banner == "ran"


# --- code that runs outside any cell, with the real session ---


@pytest.fixture
def real(shared: Kernel, tmp_path: Path) -> Iterator[Kernel]:
    """The shared kernel with the extension as users load it, and no variables."""
    assert shared.run("%reset -f\n%load_ext ckpt_magic").status == "ok"
    assert shared.run(f"%ckpt_config --name p --folder {tmp_path / 'ckpt'}").status == "ok"
    yield shared
    shared.run("%unload_ext ckpt_magic")
    shared.run("del get_ipython()._ckpt_magic")


def notes(reply: Reply) -> list[str]:
    """What the banner says besides how the step went."""
    (facts,) = [c["metadata"]["ckpt_magic"] for c in reply.of("display_data") if "ckpt_magic" in c["metadata"]]
    return list(facts["notes"])


TARGET = """
def opened(comm, message):
    comm.on_msg(lambda message: x.append(message["content"]["data"]))
    x.append("opened")

get_ipython().kernel.comm_manager.register_target("talk", opened)
"""


def comm(kernel: Kernel, kind: str, **content: Any) -> None:
    """Send what a widget in a front end sends."""
    kernel.client.shell_channel.send(kernel.client.session.msg(kind, {"comm_id": "c", "data": {}, **content}))


@pytest.mark.parametrize("moment", ["comm_open", "comm_msg"])
def test_what_the_callback_of_a_widget_changes_is_found_and_named(real: Kernel, moment: str) -> None:
    real.run(TARGET)
    if moment == "comm_msg":
        real.run("x = []")
        comm(real, "comm_open", target_name="talk")
    real.run("%%step 1\nx = [1]")
    real.run("y = 0")  # settles what is known of the names of steps
    comm(real, moment, target_name="talk", data="moved")
    reply = real.run("%%step 2\nz = list(x)\nz")
    assert reply.results == ["[1, 'opened']" if moment == "comm_open" else "[1, 'moved']"]
    assert "after a change outside any cell (`x`)" in notes(reply)


def test_what_a_widget_changes_makes_a_step_that_read_it_run_again(real: Kernel) -> None:
    real.run(TARGET)
    real.run("%%step 1\nx = [1]")
    real.run("%%step 2\nz = list(x)")
    real.run("%ckpt_start 3")
    assert real.run("%%step 2\nz = list(x)").banner == "restored"
    comm(real, "comm_open", target_name="talk")
    reply = real.run("%%step 2\nz = list(x)")
    assert (reply.banner, real.value("z")) == ("saved", "[1, 'opened']")


@pytest.mark.parametrize(
    "silent", [{"code": "x.append(2)", "silent": True}, {"user_expressions": {"e": "x.append(2)"}}]
)
def test_what_a_silent_execution_changes_is_found_and_named(real: Kernel, silent: dict[str, Any]) -> None:
    real.run("%ckpt_start 3")
    real.run("%%step 1\nx = [1]")
    real.run("%%step 2\nz = list(x)")
    real.run(**{"code": "", **silent})
    reply = real.run("%%step 2\nz = list(x)\nz")
    assert (reply.banner, reply.results) == ("saved", ["[1, 2]"])
    assert "after a change outside any cell (`x`)" in notes(reply)


def test_what_the_kernel_logs_to_is_none_of_the_notebooks_business(real: Kernel) -> None:
    """It is an open file where ipykernel watches the file descriptors: no step could be restored."""
    real.run("%ckpt_start 2")
    assert notes(real.run("%%step 1\nx = [1]")) == []
    assert real.run("%%step 1\nx = [1]").banner == "restored"


def test_a_silent_execution_that_changes_nothing_changes_nothing(real: Kernel) -> None:
    real.run("%%step 1\nx = [1]")
    real.run("x", silent=True)
    real.run("", user_expressions={"e": "len(x)"})
    assert notes(real.run("%%step 2\nz = list(x)")) == []
    real.run("%ckpt_start 3")
    real.run("x", silent=True)
    assert real.run("%%step 2\nz = list(x)").banner == "restored"


def test_a_task_that_outlives_its_cell_is_named(real: Kernel) -> None:
    task = "import asyncio\nasync def go():\n    await asyncio.sleep(30)\nt = asyncio.ensure_future(go())"
    reply = real.run(f"%%step 1\n{task}\nt.set_name('late'); t = None")
    assert "running task `late` cannot be restored" in notes(reply)
    real.run("import asyncio\nfor t in asyncio.all_tasks():\n    if t.get_name() == 'late': t.cancel()")
    assert notes(real.run("%%step 2\ny = 1")) == []


def test_nothing_stays_in_the_kernel_after_unloading(real: Kernel) -> None:
    handlers = (
        "[type(get_ipython().kernel.shell_handlers[k]).__name__ for k in ('comm_open', 'comm_msg', 'comm_close')]"
    )
    assert real.run(handlers).results == ["['function', 'function', 'function']"]
    real.run("%unload_ext ckpt_magic")
    assert real.run(handlers).results == ["['method', 'method', 'method']"]


def test_who_draws_from_the_same_bits_does_so_after_a_restore(run_cells: RunCells) -> None:
    pytest.importorskip("numpy")
    cells = [
        "%ckpt_config --name p",
        "%%step 1\nimport numpy as np\ng = np.random.default_rng(5)\nbits = g.bit_generator",
        "%%step 2\nr = np.random.RandomState(bits)",
        "print(g.random(), r.rand(), bits.random_raw(), bits._seed_seq.spawn(1)[0].generate_state(1))",
    ]
    full, restored = run_cells(cells), run_cells(["%ckpt_start 3", *cells])
    assert "restored" in restored.cells[2].outputs[-1].data["text/plain"]
    assert printed(restored.cells[4]) == printed(full.cells[3]) != ""


def test_what_a_library_gives_to_pandas_in_the_step_that_imports_both_comes_back(run_cells: RunCells) -> None:
    pytest.importorskip("tqdm")
    cells = [
        "%ckpt_config --name p",
        "%%step 1\nimport pandas as pd\nfrom tqdm import tqdm\ntqdm.pandas(disable=True)",
        "%%step 2\ns = pd.Series([1, 2])",
        "print(s.progress_apply(lambda v: v + 1).tolist())",
    ]
    run_cells(cells)
    notebook = run_cells(["%ckpt_start 3", *cells])
    banners = [output.data["text/plain"] for cell in notebook.cells[2:4] for output in cell.outputs]
    assert [banner.split(" · ")[1] for banner in banners] == ["restored", "restored"]
    assert printed(notebook.cells[-1]) == "[2, 3]\n"


def test_a_function_over_a_copy_of_the_globals_is_no_other_one_after_each_cell(run_cells: RunCells) -> None:
    """As attrs makes methods: the copy holds `In` and `Out`, which IPython goes on filling."""
    cells = [
        "%ckpt_config --name p",
        "%%step 1\nspace = dict(globals())\nexec('def f(): return 1', space)\nf = space['f']\ndel space",
        "%%step 2\nr = f()",
        "%%step 3\ns = f()",
    ]
    notebook = run_cells(cells)
    banners = [output.data["text/plain"] for cell in notebook.cells for output in cell.outputs if "data" in output]
    assert [banner.split(" · ")[2].split(",")[0] for banner in banners[-2:]] == ["1 variable", "1 variable"]


def test_a_name_for_where_print_writes_does_not_lead_to_all_that_the_kernel_has(
    run_cells: RunCells, tmp_path: Path
) -> None:
    cells = [
        "%ckpt_config --name p --folder .ckpt",
        "%%step 1\nimport sys\nout = sys.stdout",
        "%%step 2\nwritten = out.write('told\\n')",
        "%ckpt_status",  # waits until the file is in place
        "import json, re\nfound = open('.ckpt/p-v1-step2.pkl', 'rb').read().rpartition(b'\"evidence\":')[2]",
        "evidence, _ = json.JSONDecoder().raw_decode(found.decode(errors='replace'))\nprint(evidence['files'])",
    ]
    notebook = run_cells(cells)
    assert "saved" in notebook.cells[2].outputs[-1].data["text/plain"]
    assert printed(notebook.cells[-1]) == "[]\n"
