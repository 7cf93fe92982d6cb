"""Real kernels for every test that asks for one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support.kernel_page import KernelPage, front_end, kernel_page, load
from tests.support.tool_project import ToolProject

Begin = Callable[..., KernelPage]
_TIMEOUT_S = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """What a cell showed."""

    error: dict[str, Any] | None
    displays: list[dict[str, Any]]
    streams: str

    @property
    def text(self) -> str:
        """The text of all displays."""
        return "\n".join(data.get("text/plain", "") for data in self.displays)

    @property
    def html(self) -> str:
        """The HTML of all displays."""
        return "\n".join(data.get("text/html", "") for data in self.displays)


class Kernel:
    """A running kernel; ``run`` is one cell."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self._unheard = ""

    def send(self, code: str) -> str:
        """Start a cell; returns its message id."""
        self._unheard = ""
        return self.client.execute(code)

    def finish(self, message: str) -> Cell:
        """Wait for a cell that was started."""
        displays: list[dict[str, Any]] = []
        streams = ""
        error = None
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            got = self.client.get_iopub_msg(timeout=_TIMEOUT_S)
            if got["parent_header"].get("msg_id") != message:
                continue
            content = got["content"]
            match got["msg_type"]:
                case "execute_result" | "display_data":
                    displays.append(content["data"])
                case "stream":
                    streams += content["text"]
                case "error":
                    error = content
                case "status" if content["execution_state"] == "idle":
                    return Cell(error=error, displays=displays, streams=streams)
        raise TimeoutError(message)

    def wait_for(self, message: str, text: str) -> None:
        """Wait until a cell that was started writes ``text``, after what was waited for before."""
        deadline = time.monotonic() + _TIMEOUT_S
        while text not in self._unheard:
            assert time.monotonic() < deadline, f"{text!r} was not written"
            got = self.client.get_iopub_msg(timeout=_TIMEOUT_S)
            if got["parent_header"].get("msg_id") == message:
                self._unheard += got["content"].get("text", "")
        # Several pieces of output may come in one message.
        self._unheard = self._unheard.partition(text)[2]

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.send(code))

    def value(self, expression: str) -> str:
        """The text of an expression's value."""
        cell = self.run(expression)
        assert cell.error is None, cell.error
        return cell.text

    def complete(self, code: str, cursor: int | None = None) -> list[str]:
        """``code`` with each completion in its place."""
        reply = self.client.complete(code, cursor if cursor is not None else len(code), reply=True, timeout=_TIMEOUT_S)
        content = reply["content"]
        start, end = content["cursor_start"], content["cursor_end"]
        return [code[:start] + match + code[end:] for match in content["matches"]]

    def inspect(self, code: str) -> str:
        """What ``?`` shows."""
        reply = self.client.inspect(code, len(code), reply=True, timeout=_TIMEOUT_S)
        return str(reply["content"]["data"].get("text/plain", ""))


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own: no profile, history or kernel of the machine has a say."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        path = folder if name == "HOME" else folder / name.lower()
        path.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(path))
    for name in ("FORCE_COLOR", "DXFORGE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Path:
    """An empty folder to work in; the cache is its own."""
    return tmp_path


@pytest.fixture
def kernel(home: Path, project: Path) -> Iterator[Kernel]:
    """A kernel that stands in ``project``."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(project))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_TIMEOUT_S)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy()


@pytest.fixture
def dx(kernel: Kernel) -> Kernel:
    """A kernel with the extension loaded."""
    cell = kernel.run("%load_ext dxforge_nb")
    assert cell.error is None, cell.error
    return kernel


@pytest.fixture
def begin(home: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts a kernel in the project with the extension loaded, of a version of ipykernel ("": the installed one)."""
    static = front_end(tmp_path_factory.mktemp("front") / "static")
    with ExitStack() as kernels:

        def start(version: str = "", **env: str) -> KernelPage:
            page = kernels.enter_context(kernel_page(project, version=version, **env))
            load(page, static)
            return page

        yield start


@pytest.fixture
def panel_tools(project: Path) -> Iterator[ToolProject]:
    """A project with a server, one that talks, and one that does nothing."""
    made = ToolProject(project)
    made.server("web", stop={"grace_s": 0.5})
    made.tool("talker", "/bin/sh", "-c", "while :; do echo word; sleep 0.01; done", stop={"grace_s": 0.2})
    made.tool("idler", "/bin/sh", "-c", "echo canary; exec sleep 300", stop={"grace_s": 0.2})
    try:
        yield made
    finally:
        made.end()
