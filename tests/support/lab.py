"""A real JupyterLab server on loopback, which serves Notebook 7 too, with nothing of the machine's own Jupyter.

Its home, settings, kernels and history lie in one folder, and everything that it starts carries a mark, by which what
is left behind is found and killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import nbformat

from tests.support.processes import marked
from tests.support.tool_project import free_port

_START_S = 60.0
_STOP_S = 20.0
_OPTIONS = (
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.open_browser=False",
    "--ServerApp.allow_root=True",
    "--ServerApp.terminals_enabled=False",
    "--ServerApp.disable_check_xsrf=True",
    "--IdentityProvider.token=",
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
)


class Lab:
    """A running server.

    Args:
        base: a folder for everything of its own; what it serves is ``base/files``.
        env: more for its environment, which its kernels inherit.

    Attributes:
        url: where it answers, without a slash at the end.
        files: what it serves.
    """

    def __init__(self, base: Path, env: dict[str, str] | None = None) -> None:
        self.base = base
        self.files = base / "files"
        self.files.mkdir(parents=True)
        self.log = base / "server.log"
        self.mark = uuid.uuid4().hex
        self.url = ""
        self._env = env or {}
        self._process: subprocess.Popen[bytes] | None = None
        # Asks whether to fetch news, in a corner of the page where it covers what is below.
        self.configure("@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False)

    def __enter__(self) -> Self:
        try:
            # Somebody else may take the port between the look for a free one and the server's own.
            for last in (False, False, True):
                if self._start(free_port()):
                    return self
                assert not last, f"the server did not start:\n{self.log.read_text()}"
        except BaseException:
            self._kill()
            raise
        raise AssertionError("unreachable")

    def __exit__(self, *exc: object) -> None:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        deadline = time.monotonic() + _STOP_S
        while marked(self.mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = marked(self.mark)
        self._kill()
        assert not left, f"the server left processes behind: {sorted(left)}"

    def write(self, path: str, sources: Sequence[str]) -> str:
        """Write a notebook with these cells of code below the served folder; returns ``path``."""
        cells = []
        for number, source in enumerate(sources):
            cell = nbformat.v4.new_code_cell(source)
            cell["id"] = f"cell-{number}"
            cells.append(cell)
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook["metadata"]["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        file = self.files / path
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, file)
        return path

    def configure(self, plugin: str, **settings: object) -> None:
        """Set a person's settings of a plugin of Lab's, for pages that are opened from now on; none removes them."""
        folder = self.base / "jupyter_config_dir" / "lab" / "user-settings"
        file = folder / f"{plugin.replace(':', '/')}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    def _start(self, port: int) -> bool:
        self.url = f"http://127.0.0.1:{port}"
        words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.port={port}", *_OPTIONS]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, f"--ServerApp.root_dir={self.files}"],
                cwd=self.files,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.05)
        self._kill()
        return False

    def _answers(self) -> bool:
        ask: Any = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError), ask.open(f"{self.url}/api/status", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def _environment(self) -> dict[str, str]:
        own = {}
        for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            folder = self.base / name.lower()
            folder.mkdir(exist_ok=True)
            own[name] = str(folder)
        own["DXFORGE_CACHE_DIR"] = str(self.base / "cache")
        own["DX_TEST_MARK"] = self.mark
        left_out = ("FORCE_COLOR", "NO_COLOR", "DXFORGE_DEBUG", "DXFORGE_PANELS", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**kept, "DXFORGE_BACKGROUND": "0", **own, **self._env}

    def _kill(self) -> None:
        """Kill the server and whatever it started."""
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_STOP_S)
