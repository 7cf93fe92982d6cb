"""What becomes of a tool that fails, is ill, or ends by itself."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from dxforge.errors import (
    PortTakenError,
    ToolDefinitionError,
    ToolStartError,
    UnknownToolError,
)
from dxforge.events import EventBus
from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus
from tests.support.processes import SLEEPER, python, sh, until_async
from tests.support.tools import PACE, Yard, free_port

SERVER = python(
    "import http.server\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(503 if os.path.exists('sick') else 200); self.end_headers()\n"
    "    def log_message(self, *args): pass\n"
    "time.sleep(0.2)\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
)


def test_a_tool_that_cannot_stay_up(yard: Yard) -> None:
    script = "echo one; echo two >&2; exit 4"

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", sh(script), restart={"max": 2})) as tools:
            with pytest.raises(ToolStartError) as caught:
                await tools.ensure_running("a")
            error = caught.value
            assert error.what == "ended with exit status 4 and 2 restarts did not help"
            assert (error.tool, error.exit_code, error.log_tail) == ("a", 4, ("one", "two"))
            assert "    two" in str(error) and "dxforge logs a" in error.hint
            assert tools.status("a") == ToolStatus(ToolState.DEGRADED, None, error.what)
            assert tools.logs("a") == ["one", "two"] * 3
            # Asked again, it is tried again.
            with pytest.raises(ToolStartError):
                await tools.ensure_running("a")
            assert len(tools.logs("a")) == 12

    asyncio.run(go())


def test_no_restart_where_the_program_cannot_be_run(yard: Yard) -> None:
    script = yard.root / "script"
    script.write_text("no first line, no program")
    script.chmod(0o755)

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", (str(script),))) as tools:
            with pytest.raises(ToolStartError, match="is no program that this system can run"):
                await tools.ensure_running("a")
            assert tools.status("a").state is ToolState.DEGRADED
            script.write_text("#!/bin/sh\nexec sleep 300\n")
            assert (await tools.ensure_running("a")).up

    asyncio.run(go())


def test_declared_tools_are_checked_when_used(yard: Yard) -> None:
    yard.declare("a", ("no-such-program",))
    yard.declare("b", SLEEPER, "nobody")

    async def go() -> None:
        async with yard.orchestrator() as tools:
            assert [tool.name for tool in tools.tools()] == ["a", "b"]
            with pytest.raises(ToolDefinitionError, match="there is no program"):
                await tools.ensure_running("a")
            with pytest.raises(ToolDefinitionError, match='depends on "nobody"'):
                await tools.ensure_running("b")
            with pytest.raises(UnknownToolError):
                await tools.ensure_running("c")
            for call in (tools.status, tools.info, tools.logs, tools.get_tool):
                with pytest.raises(UnknownToolError):
                    call("c")
            for method in (tools.stop, tools.restart, tools.execute_tool):
                for name in ("c", "../c"):
                    with pytest.raises(UnknownToolError):
                        await method(name)

    asyncio.run(go())


def test_a_port_that_is_taken_names_its_holder_before_the_start(yard: Yard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tool = yard.define("web", sh("touch started; exec sleep 300"), health={"tcp": f"127.0.0.1:{port}"})

        async def go() -> None:
            async with yard.orchestrator(tool) as tools:
                with pytest.raises(PortTakenError) as caught:
                    await tools.ensure_running("web")
                assert caught.value.pid == os.getpid()
                assert tools.status("web").state is ToolState.DEGRADED
                assert f"port {port} is taken by process {os.getpid()}" in tools.status("web").detail

        asyncio.run(go())
    assert not (yard.root / "started").exists()


def test_healthy_degraded_healthy(yard: Yard) -> None:
    port, sick = free_port(), yard.root / "sick"
    health = {"http": f"http://127.0.0.1:{port}/", "interval_s": 0.05, "failures": 2}
    tool = yard.define("web", SERVER, env={"PORT": str(port)}, health=health)

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            healthy = await tools.ensure_running("web")
            assert healthy.state is ToolState.HEALTHY
            sick.touch()
            await until_async(lambda: tools.status("web").state is ToolState.DEGRADED)
            assert tools.status("web").pid == healthy.pid
            assert "HTTP 503" in tools.status("web").detail
            recovering = asyncio.create_task(tools.ensure_running("web"))
            await asyncio.sleep(0.1)
            sick.unlink()
            assert await recovering == healthy

    asyncio.run(go())


def test_a_probe_that_never_succeeds(yard: Yard) -> None:
    port = free_port()
    health = {"tcp": f"127.0.0.1:{port}", "interval_s": 0.01, "timeout_s": 0.01, "failures": 1}
    pace = type(PACE)(startup_s=0.5)

    async def go() -> None:
        async with yard.orchestrator(
            yard.define("a", sh("echo hm; exec sleep 300"), health=health), pace=pace
        ) as tools:
            with pytest.raises(ToolStartError) as caught:
                await tools.ensure_running("a")
            assert "not healthy after 0.5 s: tcp 127.0.0.1:" in caught.value.what
            assert "connection refused" in caught.value.what
            assert caught.value.log_tail == ("hm",) and caught.value.exit_code is None
            # It goes on, and is healthy as soon as its probe succeeds.
            status = tools.status("a")
            assert status.state is ToolState.DEGRADED and status.pid in yard.processes()
            with pytest.raises(ToolStartError):
                await tools.ensure_running("a")
            with socket.create_server(("127.0.0.1", port)):
                assert (await tools.ensure_running("a")).pid == status.pid

    asyncio.run(go())


def test_a_program_as_probe(yard: Yard) -> None:
    check = yard.root / "check"
    check.write_text("#!/bin/sh\necho not yet\ntest -e $FLAG\n")
    check.chmod(0o755)
    health = {"exec": ["./check"], "interval_s": 0.05}
    tool = yard.define("a", sh("echo; sleep 0.2; touch flag; exec sleep 300"), env={"FLAG": "flag"}, health=health)
    seen: list[str] = []
    events = EventBus()
    events.subscribe(lambda event: seen.append(event.status.detail) if isinstance(event, ToolChanged) else None)

    async def go() -> None:
        async with yard.orchestrator(tool, events=events) as tools:
            assert (await tools.ensure_running("a")).state is ToolState.HEALTHY

    asyncio.run(go())
    assert "exec ./check: check ended with exit status 1: not yet" in seen


def test_a_probe_that_hangs_is_killed_and_none_overlaps(yard: Yard) -> None:
    hang = yard.root / "hang"
    hang.write_text('#!/bin/sh\nmkdir busy || touch overlap\ntrap "" TERM\nsleep 60 & wait\n')
    hang.chmod(0o755)
    (yard.root / "clear").write_text("")
    health = {"exec": ["./hang"], "interval_s": 0.01, "timeout_s": 0.2, "failures": 1}

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", SLEEPER, health=health)) as tools:
            waiting = asyncio.create_task(tools.ensure_running("a"))
            for _ in range(3):
                await until_async((yard.root / "busy").exists)
                assert not (yard.root / "overlap").exists()
                (yard.root / "busy").rmdir()
            assert "no answer within 0.2 s" in tools.status("a").detail
            await tools.stop("a")
            with pytest.raises(ToolStartError, match="stopped before it was ready"):
                await waiting
            assert not yard.processes()

    asyncio.run(go())


def test_an_end_by_itself_is_followed_by_a_restart(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", restart={"policy": "always"})) as tools:
            first = await tools.ensure_running("a")
            assert first.pid is not None
            os.kill(first.pid, 9)
            await until_async(lambda: tools.status("a").up and tools.status("a").pid != first.pid)
            assert tools.info("a").restarts == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    ("policy", "script", "state"),
    [
        ("on-failure", "sleep 0.3; exit 0", ToolState.STOPPED),
        ("never", "sleep 0.3; exit 0", ToolState.STOPPED),
        ("never", "sleep 0.3; exit 1", ToolState.DEGRADED),
    ],
)
def test_ends_that_are_not_followed_by_a_restart(yard: Yard, policy: str, script: str, state: ToolState) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", sh(script), restart={"policy": policy})) as tools:
            running = await tools.ensure_running("a")
            await until_async(lambda: tools.status("a").pid is None)
            assert running.up
            assert tools.status("a").state is state
            assert "ended with exit status" in tools.status("a").detail
            assert tools.info("a").restarts == 0

    asyncio.run(go())
