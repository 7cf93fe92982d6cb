"""Tools and builds in real kernels, which may be interrupted, restarted and killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel
from tests.support.processes import exists, until
from tests.support.strict_html import read
from tests.support.tool_project import CONCATENATE, ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")


@pytest.fixture
def tools(project: Path) -> Iterator[ToolProject]:
    """A server, a program, and a build of two steps; all processes are gone in the end."""
    made = ToolProject(project)
    made.server("web")
    made.script("join", CONCATENATE)
    made.script("words", "import sys, time\nfor word in sys.argv[1:]: print(word, flush=True)\n")
    (project / "a.txt").write_text("a\n")
    made.toml(
        '[build]\nneeds = ["web"]\n'
        '[[build.steps]]\ntool = "join"\nargs = ["a.txt", "out/b.txt"]\ninputs = ["a.txt"]\noutputs = ["out/b.txt"]\n'
        '[[build.steps]]\ntool = "join"\nargs = ["out/b.txt", "dist/c.txt"]\n'
        'inputs = ["out/b.txt"]\noutputs = ["dist"]\n'
    )
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def dx(tools: ToolProject, kernel: Kernel) -> Kernel:
    """A kernel with the extension loaded, in that project."""
    cell = kernel.run("%load_ext dxforge_nb")
    assert cell.error is None, cell.error
    return kernel


def pid_of(dx: Kernel, name: str) -> int:
    """The tool's pid, as a cell says it."""
    dx.run("status = get_ipython().run_line_magic('dx', 'status')")
    return int(dx.value(f"[tool.status.pid for tool in status.tools if tool.name == '{name}'][0]"))


def test_a_tool_lives_from_cell_to_cell(dx: Kernel, tools: ToolProject) -> None:
    cell = dx.run("%dx start web")
    assert cell.error is None
    assert re.search(r"● Healthy +web +pid \d+", cell.text)
    assert "%dx stop web" in cell.text
    assert "Runs on" not in cell.text
    assert "● Healthy" in read(cell.html)
    pid = pid_of(dx, "web")
    assert exists(pid)
    assert "was running already" in dx.run("%dx start web").text
    assert pid_of(dx, "web") == pid
    assert re.search(rf"web +● Healthy +{pid}", dx.run("%dx status").text)
    assert tools.states()["web"] == "healthy"  # another process sees it too
    assert "GET /" in dx.run("%dx logs web").text
    dx.run("import threading")
    names = "sorted(t.name for t in threading.enumerate() if t.name.startswith('dxforge'))"
    before = dx.value(names)
    dx.run("%dx restart web")
    assert dx.value(names) == before
    assert not exists(pid)
    assert "○ Stopped" in dx.run("%dx stop --all").text
    assert not tools.processes()


def test_interrupting_a_cell_does_not_touch_tools(dx: Kernel, tools: ToolProject) -> None:
    dx.run("%dx start web -q")
    pid = pid_of(dx, "web")
    message = dx.send("print('busy', flush=True); import time; time.sleep(60)")
    dx.wait_for(message, "busy")
    dx.manager.interrupt_kernel()
    cell = dx.finish(message)
    assert cell.error is not None
    assert cell.error["ename"] == "KeyboardInterrupt"
    message = dx.send("%dx logs web -f")
    dx.wait_for(message, "GET /")
    dx.manager.interrupt_kernel()
    cell = dx.finish(message)
    assert cell.error is None
    assert "Stopped following web" in cell.text
    assert pid_of(dx, "web") == pid
    assert exists(pid)


def test_interrupting_a_run_ends_the_run_alone(dx: Kernel, tools: ToolProject) -> None:
    dx.run("%dx start web -q")
    tools.script(
        "slow",
        "import subprocess, time\nsubprocess.Popen(['sleep', '300'])\nprint('ready', flush=True)\ntime.sleep(300)\n",
    )
    message = dx.send("%dx run slow")
    dx.wait_for(message, "ready")
    assert len(tools.processes()) == 3
    dx.manager.interrupt_kernel()
    cell = dx.finish(message)
    assert cell.error is not None
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert cell.error["traceback"] == ["Interrupted."]
    assert tools.processes() == {pid_of(dx, "web")}


def test_a_killed_kernel_leaves_nothing(dx: Kernel, tools: ToolProject) -> None:
    dx.run("%dx start web -q")
    dx.run("import os")
    kernel_pid = int(dx.value("os.getpid()"))
    assert tools.processes()
    os.kill(kernel_pid, signal.SIGKILL)
    tools.gone()


def test_a_kernel_that_is_shut_down_leaves_nothing_but_what_is_kept(dx: Kernel, tools: ToolProject) -> None:
    tools.tool("kept", "/bin/sh", "-c", "exec sleep 300", on_owner_exit="keep")
    dx.run("%dx start web kept -q")
    kept = pid_of(dx, "kept")
    dx.manager.shutdown_kernel(now=False)
    until(lambda: tools.processes() == {kept})
    assert tools.states() == {"web": "stopped", "join": "stopped", "words": "stopped", "kept": "running"}


def test_unloading_lets_go_of_the_tools_and_loading_begins_anew(dx: Kernel, tools: ToolProject) -> None:
    dx.run("%dx start web -q")
    assert dx.run("%unload_ext dxforge_nb").error is None
    assert not tools.processes()
    assert dx.value("[t.name for t in __import__('threading').enumerate() if t.name.startswith('dxforge')]") == "[]"
    dx.run("%load_ext dxforge_nb")
    assert dx.run("%dx start web").error is None
    assert tools.processes()


def test_a_forked_child_takes_nothing_along(dx: Kernel, tools: ToolProject) -> None:
    dx.run("%dx start web -q")
    pid = pid_of(dx, "web")
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    from dxforge_nb.kernel import FORGES
    FORGES.close()
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    assert dx.run(code).streams.strip() == "0"
    assert exists(pid)
    assert pid_of(dx, "web") == pid


def test_tools_that_are_registered_in_a_cell(dx: Kernel, tools: ToolProject) -> None:
    code = f"""
import dxforge, dxforge_nb
forge = dxforge_nb.forge()
forge.orchestrator.register_tool(dxforge.DxToolDefinition(
    "mine", "/bin/sh", args=["-c", "sleep 300"], env={{"DX_TEST_MARK": "{tools.mark}"}}))
"""
    assert dx.run(code).error is None
    assert "◉ Running" in dx.run("%dx start mine").text
    assert "mine" in dx.run("%dx status").text
    assert dx.value("forge.orchestrator.status('mine').state.value") == "'running'"
    assert "○ Stopped" in dx.run("%dx stop mine").text


def test_a_run_is_shown_as_it_comes_and_kept(dx: Kernel, tools: ToolProject) -> None:
    cell = dx.run("r = %dx run words one --json two")
    assert cell.streams == "one\n--json\ntwo\n"
    assert cell.displays == []
    assert dx.value("r.run.stdout, r.run.exit_code, r.exit_code") == "('one\\n--json\\ntwo\\n', 0, 0)"
    assert "● Done  words  exit status 0" in dx.run("%dx run words x").text
    assert dx.run("%dx run -q words quiet").streams == ""
    cell = dx.run("%dx run words loud;")
    assert (cell.streams, cell.displays) == ("", [])
    tools.script("bad", "import sys\nprint('partial')\nsys.exit('broken')\n")
    cell = dx.run("%dx run bad")
    assert cell.error is not None
    assert cell.error["ename"] == "ToolError"
    assert "ended with exit status 1" in cell.error["traceback"][0]
    assert cell.streams.startswith("partial\n") or "partial\n" in cell.streams
    assert "broken" in cell.streams


def test_output_arrives_while_the_cell_runs(dx: Kernel, tools: ToolProject) -> None:
    tools.script(
        "wait",
        "import os, time\nprint('first', flush=True)\n"
        "while not os.path.exists('go'): time.sleep(0.02)\nprint('second')\n",
    )
    message = dx.send("%dx run wait")
    dx.wait_for(message, "first")
    (tools.root / "go").touch()
    assert "second" in dx.finish(message).streams


def test_a_build_shows_its_steps_graph_and_output(dx: Kernel, tools: ToolProject) -> None:
    cell = dx.run("%dx build -o report")
    assert cell.error is None
    assert "2 built" in cell.text
    assert "Stopped again" not in cell.text  # the kernel keeps what it needs
    html = cell.html
    words = read(html)
    assert "<svg" in html
    assert "Timeline" in words
    assert "Output of join a.txt out/b.txt" in words
    assert "joining 1 files" in words
    assert dx.value("report.exit_code, [s.cached for s in report.report.steps]") == "(0, [False, False])"
    assert tools.states()["web"] == "healthy"
    assert "2 steps up to date" in dx.run("%dx build").text
    assert (
        dx.value("[s['cached'] for s in get_ipython().run_line_magic('dx', 'build --json')['steps']]") == "[True, True]"
    )


def test_what_is_under_way_is_shown_and_taken_away(dx: Kernel, tools: ToolProject) -> None:
    waiting = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
    tools.script("slow", f"{waiting}open('done.txt', 'w').close()\n")
    tools.toml('[[build.steps]]\ntool = "slow"\ninputs = ["a.txt"]\noutputs = ["done.txt"]\n')
    message = dx.send("r = %dx build")
    shown: list[str] = []
    ended = False
    while not ended:
        got = dx.client.get_iopub_msg(timeout=60)
        if got["parent_header"].get("msg_id") != message:
            continue
        if got["msg_type"] in {"display_data", "update_display_data"}:
            shown.append(got["content"]["data"]["text/plain"])
            if "◐ Running  slow" in shown[-1]:
                (tools.root / "go").touch()
        ended = got["msg_type"] == "status" and got["content"]["execution_state"] == "idle"
    assert any("◐ Running  slow" in text for text in shown)
    assert shown[-1] == ""
    assert dx.value("r.exit_code") == "0"


def test_a_build_that_fails_is_shown_and_raises(dx: Kernel, tools: ToolProject) -> None:
    (tools.root / "a.txt").write_text("fail\n")
    cell = dx.run("%dx build")
    assert cell.error is not None
    assert cell.error["ename"] == "BuildFailedError"
    assert len(cell.error["traceback"]) <= 2
    assert "cannot join: it says fail" in cell.text
    assert "cannot join: it says fail" in read(cell.html)
    assert os.fspath(tools.root) not in cell.text + cell.html + "".join(cell.error["traceback"])


def test_a_tool_that_does_not_start_is_an_error_with_its_last_words(dx: Kernel, tools: ToolProject) -> None:
    tools.tool("bad", "/bin/sh", "-c", "echo almost; exit 4", restart={"policy": "never"})
    cell = dx.run("%dx start bad")
    assert cell.error is not None
    assert cell.error["ename"] == "ToolStartError"
    assert "    almost" in cell.error["traceback"]
    assert "■ Degraded" in cell.text
    cell = dx.run("%dx start wbe")
    assert cell.error is not None
    assert "web" in cell.error["traceback"][1]


def test_completion_of_tools(dx: Kernel, tools: ToolProject) -> None:
    assert dx.complete("%dx start w") == ["%dx start web", "%dx start words"]
    assert dx.complete("%dx run j") == ["%dx run join"]


def test_watching_goes_on_until_the_cell_is_interrupted(dx: Kernel, tools: ToolProject) -> None:
    message = dx.send("%dx watch")
    dx.wait_for(message, "Built in")
    time.sleep(0.5)
    (tools.root / "a.txt").write_text("changed\n")
    dx.wait_for(message, "a.txt changed: build")
    dx.wait_for(message, "Built in")
    dx.manager.interrupt_kernel()
    cell = dx.finish(message)
    assert cell.error is None
    assert "Stopped watching after 1 change" in cell.text
    assert (tools.root / "dist/c.txt").read_text() == "changed\n"
    assert tools.states()["web"] == "healthy"
