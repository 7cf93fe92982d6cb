"""The status panel: real tools started and stopped by its buttons, and background tasks."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window
from tests.browser.pages import Notebook, Status
from tests.support.processes import until
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.browser


@pytest.fixture
def tools(window: Window) -> Iterator[ToolProject]:
    """A web server and a tool that writes lines; none of their processes may be left when their kernel has ended."""
    root = window.folder / "project"
    root.mkdir()
    project = ToolProject(root)
    project.server("web", restart={"policy": "on-failure", "max": 5}, stop={"grace_s": 0.3})
    project.tool("lines", "/bin/sh", "-c", "echo one; echo two; exec sleep 300", stop={"grace_s": 0.3})
    yield project
    window.end_kernels()
    project.gone()


def shown(window: Window, *more: str) -> tuple[Notebook, Status]:
    """A notebook with the status panel in its second cell, live."""
    notebook = window.open("%load_ext dxforge_nb", "%dx status", *more, under="project")
    notebook.run(0)
    notebook.run(1)
    panel = notebook.status(1)
    panel.in_state("live")
    return notebook, panel


def pid_in(panel: Status, name: str) -> int:
    """The process that the panel names for a healthy tool."""
    row = panel.tool(name)
    expect(row).to_contain_text(re.compile(r"healthy|running", re.IGNORECASE))
    return int(panel.cell("Tools", name, "PID").inner_text())


def test_tools_start_and_stop_by_their_buttons(window: Window, tools: ToolProject) -> None:
    notebook, panel = shown(window)
    for name in ("web", "lines"):
        expect(panel.tool(name)).to_contain_text(re.compile("stopped", re.IGNORECASE))
    assert not tools.processes()

    panel.press("Start web")
    expect(panel.tool("web")).to_contain_text(re.compile("healthy", re.IGNORECASE))
    first = pid_in(panel, "web")
    assert first in tools.processes()

    # It is killed, and comes back as another process; the panel counts that.
    os.kill(first, signal.SIGKILL)
    expect(panel.cell("Tools", "web", "Restarts")).to_have_text("1")
    expect(panel.tool("web")).to_contain_text(re.compile("healthy", re.IGNORECASE))
    second = pid_in(panel, "web")
    assert second != first and second in tools.processes()

    panel.press("Restart web")
    expect(panel.cell("Tools", "web", "PID")).not_to_have_text(str(second))
    expect(panel.tool("web")).to_contain_text(re.compile("healthy", re.IGNORECASE))
    third = pid_in(panel, "web")
    assert third in tools.processes() and second not in tools.processes()

    # A command in a cell shows in the panel, too.
    notebook.do("%dx start lines")
    pid_in(panel, "lines")
    panel.press("Logs of lines")
    expect(panel.root.get_by_text(re.compile(r"one\s+two")).first).to_be_visible()

    panel.press("Stop web")
    expect(panel.tool("web")).to_contain_text(re.compile("stopped", re.IGNORECASE))
    until(lambda: third not in tools.processes(), "the stopped tool lives on")
    panel.press("Stop lines")
    expect(panel.tool("lines")).to_contain_text(re.compile("stopped", re.IGNORECASE))
    tools.gone()


def test_a_tool_ends_with_its_kernel(window: Window, tools: ToolProject) -> None:
    notebook, panel = shown(window)
    panel.press("Start lines")
    pid_in(panel, "lines")
    notebook.restart()
    panel.in_state("disconnected", "run %dx status again")
    tools.gone()
    notebook.run(0)
    notebook.run(1)
    panel = notebook.status(1)
    panel.in_state("live")
    expect(panel.tool("lines")).to_contain_text(re.compile("stopped", re.IGNORECASE))


def test_a_failed_task_is_tried_again(window: Window, tools: ToolProject) -> None:
    (tools.root / "blocker").write_text("no folder can be here")
    config = (tools.root / "dx.toml").read_text()
    (tools.root / "dx.toml").write_text(f'{config}\n[remote]\nurl = "file://blocker/remote"\n')
    notebook, panel = shown(window)
    notebook.do(
        "import dxforge, dxforge_nb\n"
        "_ = dxforge_nb.forge().forge.background_worker.enqueue(dxforge.BackgroundTask.SyncToCloudflareR2())"
    )
    row = panel.row("Background tasks", "Sync")
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("not a directory")
    (tools.root / "dx.toml").write_text(config)
    panel.press("Retry Sync")
    expect(row).to_contain_text("Done")
    assert (tools.root / ".dx" / "remote").is_dir()
    expect(panel.root).to_contain_text(".dx/remote")
