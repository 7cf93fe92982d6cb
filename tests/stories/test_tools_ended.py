"""What later sessions hear of a tool that ended, or could not be started, and that nobody has stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.errors import ToolError
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import SLEEPER, sh, until, until_async
from tests.support.tool_project import ToolProject
from tests.support.tools import Yard, kernels

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX programs and signals")

STOPPED = ToolStatus(ToolState.STOPPED)
KILLED = ToolStatus(ToolState.DEGRADED, None, "killed by SIGKILL; no session was there to start it again")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Iterator[ToolProject]:
    made = ToolProject(tmp_path)
    try:
        yield made
    finally:
        made.end()


def end_alone(yard: Yard, number: int = signal.SIGKILL) -> ToolStatus:
    """Start "a" in a session that leaves it, end it, and ask another one."""
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "a")["pid"]
    os.kill(pid, number)
    until(lambda: not yard.processes())
    later = yard.orchestrator()
    until(lambda: later.status("a").state is not ToolState.RUNNING)
    until(lambda: later.status("a") != STOPPED)
    assert later.info("a").status == later.status("a")
    return later.status("a")


def test_one_that_died_with_no_session_there(yard: Yard) -> None:
    yard.declare("a", SLEEPER, on_owner_exit="keep")
    assert end_alone(yard) == KILLED

    async def go() -> None:
        async with yard.orchestrator() as tools:
            assert tools.status("a") == KILLED
            assert (await tools.ensure_running("a")).up
            # What owners say is written down a moment later.
            await until_async(lambda: yard.orchestrator().status("a").up)
            await tools.stop("a")
            assert yard.orchestrator().status("a") == STOPPED

    asyncio.run(go())


@pytest.mark.parametrize("every", [False, True])
def test_a_stop_ends_the_matter(yard: Yard, *, every: bool) -> None:
    yard.declare("a", SLEEPER, on_owner_exit="keep")
    assert end_alone(yard) == KILLED

    async def go() -> None:
        async with yard.orchestrator() as tools:
            await (tools.stop_all() if every else tools.stop("a"))
            assert tools.status("a") == STOPPED
        assert yard.orchestrator().status("a") == STOPPED

    asyncio.run(go())


def test_its_policy_says_what_an_end_means(yard: Yard) -> None:
    script = sh("trap 'exit 0' USR1; while :; do sleep 0.05; done")
    yard.declare("a", script, on_owner_exit="keep")
    assert end_alone(yard, signal.SIGUSR1) == ToolStatus(ToolState.STOPPED, None, "ended with exit status 0")
    yard.declare("a", script, on_owner_exit="keep", restart={"policy": "always"})
    again = yard.orchestrator().status("a")
    assert again.detail == "ended with exit status 0; no session was there to start it again"
    yard.declare("a", script, on_owner_exit="keep", restart={"policy": "never"})
    assert end_alone(yard) == ToolStatus(ToolState.DEGRADED, None, "killed by SIGKILL")


def test_a_session_that_gives_it_up_leaves_its_reason(yard: Yard) -> None:
    yard.declare("a", sh("exit 3"), restart={"max": 1})
    yard.declare("b", ("./nothing",))

    async def go() -> None:
        async with yard.orchestrator() as tools:
            for name in "ab":
                with pytest.raises(ToolError, match=r"exit status 3|no program"):
                    await tools.ensure_running(name)
        later = yard.orchestrator()
        assert later.status("a") == ToolStatus(
            ToolState.DEGRADED, None, "ended with exit status 3 and 1 restart did not help"
        )
        assert later.status("b").state is ToolState.DEGRADED
        assert "nothing" in later.status("b").detail

    asyncio.run(go())


def test_what_is_no_word_is_none(yard: Yard) -> None:
    yard.declare("a")
    folder = yard.root / ".dx" / "tools" / "a"
    folder.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"state": "odd", "detail": ""}', '{"exit_code": null}', "\xff"):
        (folder / "ended.json").write_text(text, "latin-1")
        assert yard.orchestrator().status("a") == STOPPED


def test_on_the_command_line(project: ToolProject) -> None:
    project.tool("die", "/bin/sh", "-c", "exit 3", restart={"max": 0})
    project.dx("start", "die", status=1)
    done = project.dx("status")
    assert "Degraded" in done.stdout and "exit status 3" in done.stdout
    project.dx("stop", "die")
    assert project.states() == {"die": "stopped"}
