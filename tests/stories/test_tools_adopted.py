"""Tools that outlive the session that started them, and what the next one makes of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys

import pytest

from dxforge.errors import ToolStartError, UnknownToolError
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import FAMILY, SLEEPER, exists, python, sh, until, until_async
from tests.support.tools import Yard, free_port, kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

STOPPED = ToolStatus(ToolState.STOPPED)
SERVER = python(
    "import http.server\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(503 if os.path.exists('sick') else 200); self.end_headers()\n"
    "    def log_message(self, *args): pass\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
)


def test_its_restart_policy_applies_again(yard: Yard) -> None:
    yard.declare("a", FAMILY, health={"log": "ready"}, on_owner_exit="keep", restart={"policy": "always"})
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "a")["pid"]
        kernel.kill()

    async def go() -> None:
        async with yard.orchestrator() as tools:
            assert (await tools.ensure_running("a")).pid == pid
            os.kill(pid, signal.SIGKILL)
            await until_async(lambda: tools.status("a").up and tools.status("a").pid != pid)
            assert tools.info("a").restarts == 1
            await until_async(lambda: len(yard.processes()) == 5)
        # What replaced it is kept as well.
        assert tools.status("a").state is ToolState.HEALTHY
        await tools.stop("a")
        await tools.close()

    asyncio.run(go())


def test_it_is_looked_at_before_it_is_believed_to_be_healthy(yard: Yard) -> None:
    port, sick = free_port(), yard.root / "sick"
    health = {"http": f"http://127.0.0.1:{port}/", "interval_s": 0.05, "timeout_s": 1.0}
    yard.declare("a", SERVER, env={"PORT": str(port)}, health=health, on_owner_exit="keep")
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "a")["pid"]
        kernel.kill()
    sick.touch()

    async def go() -> None:
        pace = Pace(startup_s=1.0)
        async with yard.orchestrator(pace=pace) as tools:
            await until_async(
                lambda: tools.status("a") == ToolStatus(ToolState.HEALTHY, pid, "as last seen; no session watches it")
            )
            with pytest.raises(ToolStartError, match="HTTP 503"):
                await tools.ensure_running("a")
            assert tools.status("a").state is ToolState.DEGRADED and tools.status("a").pid == pid
            sick.unlink()
            assert await tools.ensure_running("a") == ToolStatus(ToolState.HEALTHY, pid)
            # Another session, while this one watches, believes it.
            sick.touch()
            other = yard.orchestrator(pace=pace)
            until(lambda: other.status("a").state is ToolState.DEGRADED)
            sick.unlink()
            await tools.stop("a")

    asyncio.run(go())


def test_what_it_said_while_nobody_listened_counts(yard: Yard) -> None:
    # As after an interrupt of `dxforge start` while the tool is still starting.
    script = (
        "test -e second || { touch second; echo up; exec sleep 300; }; "
        "echo waits; while ! test -e go; do sleep 0.02; done; echo up; exec sleep 300"
    )
    quick = {"interval_s": 0.1, "timeout_s": 0.1}  # which for a log only says how long a start may take
    yard.declare("a", sh(script), health={"log": "up", **quick}, on_owner_exit="keep")
    outside = yard.orchestrator()
    with kernels(yard.root) as (kernel,):
        kernel.ask("ensure_running", "a")
        kernel.ask("stop", "a")
        kernel.tell("ensure_running", "a")
        pid = until(lambda: outside.status("a").pid)
        until(lambda: outside.logs("a") == ["up", "waits"])
        kernel.kill()
    until(lambda: "no session watches it" in outside.status("a").detail)
    assert outside.status("a").state is ToolState.STARTING

    async def go() -> None:
        async with yard.orchestrator(pace=Pace(startup_s=0.5)) as impatient:
            # The line of the life before does not count ...
            with pytest.raises(ToolStartError, match="no such line"):
                await impatient.ensure_running("a")
        (yard.root / "go").touch()
        await until_async(lambda: outside.logs("a") == ["up", "waits", "up"])
        async with yard.orchestrator() as late:
            # ... and that of this one does.
            assert await late.ensure_running("a") == ToolStatus(ToolState.HEALTHY, pid)
            await late.stop("a")

    asyncio.run(go())


def test_nothing_that_runs_is_out_of_sight(yard: Yard) -> None:
    yard.declare("kept", on_owner_exit="keep")
    yard.declare("other", on_owner_exit="keep")
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "kept")["pid"]
        kernel.ask("ensure_running", "other")
        kernel.kill()
    yard.tables.clear()
    yard.write()

    async def go() -> None:
        async with yard.orchestrator(yard.define("here")) as first, yard.orchestrator() as second:
            here = await first.ensure_running("here")
            await until_async(lambda: second.statuses().get("here") == here)
            assert list(second.statuses()) == ["here", "kept", "other"]
            assert second.status("kept") == ToolStatus(ToolState.RUNNING, pid)
            assert second.info("kept").status.detail == "neither in dx.toml nor registered here"
            assert second.logs("kept") == []
            # It can be stopped; to start it, one has to know how.
            assert await second.stop("kept") == STOPPED
            for method in (second.ensure_running, second.restart, second.stop):
                with pytest.raises(UnknownToolError):
                    await method("kept")
            with pytest.raises(UnknownToolError):
                second.status("kept")
            await second.stop_all()
            assert second.statuses() == {} and not yard.processes()
            await until_async(lambda: first.status("here").state is ToolState.STOPPED)

    asyncio.run(go())


def test_a_changed_definition_takes_effect_when_it_is_started_again(yard: Yard) -> None:
    yard.declare("a", sh("echo old; exec sleep 300"), restart={"policy": "always"}, on_owner_exit="keep")
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "a")["pid"]
        kernel.kill()
    yard.declare("a", sh("echo new; exec sleep 300"), restart={"policy": "never"}, on_owner_exit="keep")

    async def go() -> None:
        async with yard.orchestrator() as tools:
            assert (await tools.ensure_running("a")).pid == pid
            assert tools.info("a").status.detail == "dx.toml changed; restart applies it"
            new = await tools.restart("a")
            assert new.pid is not None and tools.info("a").status.detail == ""
            await until_async(lambda: tools.logs("a") == ["old", "new"])
            os.kill(new.pid, signal.SIGKILL)
            await until_async(lambda: tools.status("a") == ToolStatus(ToolState.DEGRADED, None, "killed by SIGKILL"))

    asyncio.run(go())


def test_its_files_are_gone(yard: Yard) -> None:
    # Somebody has removed .dx while it ran: its owner still has it, and nobody else can start a second one unseen.
    yard.declare("a", SLEEPER)

    async def go() -> None:
        async with yard.orchestrator() as tools:
            first = await tools.ensure_running("a")
            folder = yard.root / ".dx" / "tools" / "a"
            await until_async(lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists())
            assert await tools.ensure_running("a") == first
            again = await tools.restart("a")
            assert again.up and yard.processes() == {again.pid}
            assert first.pid is not None and not exists(first.pid)

    asyncio.run(go())


def test_what_goes_on_without_us_is_not_told_to_have_stopped(yard: Yard) -> None:
    yard.declare("a", SLEEPER)
    yard.declare("b", SLEEPER)

    async def go() -> list[tuple[str, ToolState]]:
        tools = yard.orchestrator()
        await tools.ensure_running("a", keep=True)
        await tools.ensure_running("b")
        with tools.subscribe() as changes:
            await tools.close()
            told = [(change.name, change.status.state) async for change in changes if not change.status.up]
        await tools.stop("a")
        await tools.close()
        return told

    assert asyncio.run(go()) == [("b", ToolState.STOPPED)]
