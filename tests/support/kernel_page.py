"""A page without a browser: it shows what cells display, and speaks with panels by the real kernel protocol."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

DEADLINE_S = 60.0
WIDGET = "application/vnd.jupyter.widget-view+json"
_KERNELS = Path(__file__).parents[2] / ".cache" / "kernels"


def ipykernel(version: str) -> Path:
    """A folder with that version of ipykernel alone, installed when it is first asked for."""
    folder = _KERNELS / version
    if not folder.is_dir():
        _KERNELS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_KERNELS) as made:
            words = ["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target", made]
            subprocess.run([sys.executable, "-m", "pip", *words, f"ipykernel=={version}"], check=True)
            with contextlib.suppress(OSError):  # another test process was first
                Path(made).rename(folder)
            Path(made).mkdir(exist_ok=True)
    return folder


@dataclass(slots=True)
class Ran:
    """What came of a cell."""

    displays: list[dict[str, Any]] = field(default_factory=list)
    streams: str = ""
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def model(self) -> str:
        """The id of the panel that it showed last; empty where it showed none."""
        return next((data[WIDGET]["model_id"] for data in reversed(self.displays) if WIDGET in data), "")


class KernelPage:
    """A kernel, and all that a page hears of it. Panels are told apart by their model's id."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.opened: dict[str, dict[str, Any]] = {}
        """By model: its state as the kernel first told it."""
        self.heard: dict[str, list[dict[str, Any]]] = {}
        """By model: the custom messages, each with the time at which it was sent as "date"."""
        self.states: dict[str, list[dict[str, Any]]] = {}
        """By model: what was told of its state."""
        self._cells: dict[str, Ran] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    # -- cells ------------------------------------------------------------------------------------------------------

    def send(self, code: str) -> str:
        """Start a cell."""
        message: str = self.client.execute(code)
        self._cells[message] = Ran()
        return message

    def finish(self, message: str) -> Ran:
        """Wait for a cell."""
        self.until(lambda: self._cells[message].done, "the cell does not end")
        # What is sent while ipykernel 7.0 to 7.3 sends this reply may never be read (ipykernel#1554).
        while self.client.get_shell_msg(timeout=DEADLINE_S)["parent_header"].get("msg_id") != message:
            pass
        return self._cells[message]

    def run(self, code: str) -> Ran:
        """Run a cell to its end; it must not fail."""
        ran = self.finish(self.send(code))
        assert ran.error is None, ran.error
        return ran

    def value(self, expression: str) -> str:
        """What an expression is."""
        return str(self.run(expression).displays[-1]["text/plain"])

    def printed(self, message: str, text: str) -> None:
        """Wait until a running cell has written something."""
        self.until(lambda: text in self._cells[message].streams, f"{text!r} was not written")

    # -- panels -----------------------------------------------------------------------------------------------------

    def ask(self, model: str, op: str, *, client: str = "page", number: int | None = None, **args: Any) -> int:
        """Send a message to a panel; returns its number."""
        if number is None:
            number = self._numbers[model, client] = self._numbers.get((model, client), 0) + 1
        content = {"dx": 1, "client": client, "n": number, "op": op, **args}
        self.post(model, {"method": "custom", "content": content})
        return number

    def post(self, model: str, data: dict[str, Any], subshell: str | None = None) -> None:
        """Send anything to a model."""
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    def got(self, model: str, number: int, client: str = "page") -> list[dict[str, Any]]:
        """The acknowledgements that have come."""
        return [each for each in self._about(model, number, client) if "got" in each]

    def answers(self, model: str, number: int, client: str = "page") -> list[dict[str, Any]]:
        """The answers that have come."""
        return [each for each in self._about(model, number, client) if "ok" in each]

    def answer(self, model: str, number: int, client: str = "page") -> dict[str, Any]:
        """Wait for an answer."""
        self.until(lambda: self.answers(model, number, client), f"no answer to {number}")
        return self.answers(model, number, client)[0]

    def reply(self, model: str, op: str, **args: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        return self.answer(model, self.ask(model, op, **args), args.get("client", "page"))

    def pushes(self, model: str) -> list[dict[str, Any]]:
        """Those that have come."""
        return [each for each in self.heard.get(model, []) if "push" in each]

    def tool(self, model: str, name: str) -> dict[str, Any]:
        """How a tool stands, by what a status panel was told last."""
        told = [each for each in self.heard[model] if "state" in each]
        return next(each for each in told[-1]["state"]["tools"] if each["name"] == name)

    def subshell(self) -> str:
        """Make a subshell, as JupyterLab does for its panels."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        reply = self.client.control_channel.get_msg(timeout=DEADLINE_S)
        while reply["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            reply = self.client.control_channel.get_msg(timeout=DEADLINE_S)
        return str(reply["content"]["subshell_id"])

    # -- hearing ----------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], what: str = "it did not happen") -> None:
        """Hear what comes until ``condition()``."""
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end_s, what
            self._hear(0.1)

    def listen(self, seconds: float) -> None:
        """Hear what comes for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._hear(left_s)

    def _hear(self, timeout_s: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=timeout_s)
        except queue.Empty:
            return
        content = message["content"]
        cell = self._cells.get(message["parent_header"].get("msg_id"), Ran())
        match message["msg_type"]:
            case "comm_open":
                self.opened[content["comm_id"]] = content["data"]["state"]
            case "comm_msg":
                self._comm(content["comm_id"], content["data"], message["header"]["date"])
            case "execute_result" | "display_data":
                cell.displays.append(content["data"])
            case "stream":
                cell.streams += content["text"]
            case "error":
                cell.error = content
            case "status" if content["execution_state"] == "idle":
                cell.done = True

    def _comm(self, model: str, data: dict[str, Any], date: dt.datetime) -> None:
        if data["method"] == "custom":
            self.heard.setdefault(model, []).append({**data["content"], "date": date})
        else:
            self.states.setdefault(model, []).append(data.get("state", {}))

    def _about(self, model: str, number: int, client: str) -> list[dict[str, Any]]:
        return [each for each in self.heard.get(model, []) if (each.get("to"), each.get("re")) == (client, number)]


@contextlib.contextmanager
def kernel_page(folder: Path, *, version: str = "", **env: str) -> Iterator[KernelPage]:
    """A kernel that stands in ``folder``, of a version of ipykernel ("": the one that is installed), and its page."""
    environment = {**os.environ, **env}
    if version:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(ipykernel(version)), os.environ.get("PYTHONPATH")])
        )
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE_S)
        page = KernelPage(manager, client)
        if version:
            assert page.value("__import__('ipykernel').__version__") == repr(version)
        yield page
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy()


def front_end(folder: Path) -> Path:
    """A front end that does nothing, in place of the built one."""
    folder.mkdir(parents=True)
    (folder / "panel.js").write_text("export default { render() {} };\n")
    (folder / "panel.css").write_text(".dxforge-panel {}\n")
    (folder / "editor.js").write_text("export const editor = 'è';\n", encoding="utf-8")
    return folder


def load(page: KernelPage, static: Path) -> None:
    """Load the extension with the front end in ``static``."""
    page.run(
        f"%load_ext dxforge_nb\nimport pathlib, dxforge_nb.panels.assets as a; a.STATIC = pathlib.Path({str(static)!r})"
    )
