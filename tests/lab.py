"""JupyterLab as a person has it: a real server, and a page of it in a headless Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
_PANEL = "const panel = window.jupyterapp.shell.currentWidget;"


def chromium() -> str:
    """The browser, if the machine has one."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@contextlib.contextmanager
def serve(root: Path, **environ: str) -> Iterator[str]:
    """Run a JupyterLab server on a folder; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--ServerApp.port_retries=0", "--no-browser", f"--ServerApp.root_dir={root}"]
    options += ["--IdentityProvider.token=", "--ServerApp.allow_root=True", "--LabApp.expose_app_in_browser=True"]
    options += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    settings = root / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')  # asks and fetches nothing
    # below pytest ipykernel would not watch the file descriptors
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=root,
            env={**inherited, "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"), **environ},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status", server, root / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()  # takes its kernels with it
            server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}", pytrace=False)
            time.sleep(0.2)


@dataclass
class Page:
    """One notebook that is open in JupyterLab."""

    page: Any
    path: Path

    def cells(self) -> list[Any]:
        """The code cells as they are on disk."""
        return [cell for cell in nbformat.read(self.path, as_version=4).cells if cell.cell_type == "code"]

    def run_all(self) -> bool:
        """Run > Run All Cells; whether all succeeded."""
        return bool(self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')"))

    def restart(self) -> None:
        """Give the notebook a new kernel process."""
        self.page.evaluate(f"async () => {{ {_PANEL} await panel.sessionContext.restartKernel(); }}")
        self._settled()

    def save(self) -> None:
        """File > Save Notebook."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_function(f"() => {{ {_PANEL} return !panel.model.dirty; }}")

    def type_into(self, index: int, text: str) -> None:
        """Replace a cell's text with the keyboard."""
        editor = self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def close(self) -> None:
        """Close the tab and shut the kernel down, so that the next page gets another one."""
        self.page.evaluate(f"async () => {{ {_PANEL} await panel.sessionContext.shutdown(); }}")
        self.page.close()

    def _settled(self) -> None:
        self.page.wait_for_function(
            f"() => {{ if (!window.jupyterapp) return false; {_PANEL}"
            " const session = panel?.sessionContext?.session;"
            " return panel?.context?.isReady && session?.kernel?.status === 'idle'; }",
            timeout=60_000,
        )


def open_notebook(context: Any, address: str, root: Path, path: Path) -> Page:
    """Open a notebook below the root of the server and wait for its kernel."""
    page = context.new_page()
    relative = urllib.parse.quote(path.relative_to(root).as_posix())
    # A workspace per notebook: a tab that another test left open would come to the front.
    page.goto(f"{address}/lab/workspaces/{path.stem.replace(' ', '-')}/tree/{relative}", timeout=60_000)
    opened = Page(page, path)
    opened._settled()
    return opened
