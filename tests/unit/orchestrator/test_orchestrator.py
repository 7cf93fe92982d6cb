"""The orchestrator's own methods, over real processes. More sessions are in ``stories/test_tools.py``."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dxforge.errors import (
    ToolStartError,
)
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import FAMILY, SLEEPER, sh
from tests.support.tools import Yard

STOPPED = ToolStatus(ToolState.STOPPED)


def test_stopped_running_stopped(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", FAMILY)) as tools:
            assert tools.status("a") == STOPPED
            running = await tools.ensure_running("a")
            assert running.state is ToolState.RUNNING and running.pid in yard.processes()
            assert tools.status("a") == running == await tools.ensure_running("a")
            assert await tools.stop("a") == tools.status("a") == STOPPED
            assert not yard.processes()
            again = await tools.ensure_running("a")
            assert again.state is ToolState.RUNNING and again.pid != running.pid

    asyncio.run(go())


def test_several_event_loops_one_after_the_other(yard: Yard) -> None:
    tools = yard.orchestrator(yard.define("a"))
    pids = {asyncio.run(tools.ensure_running("a")).pid for _ in range(3)}
    assert len(pids) == 1
    asyncio.run(tools.close())
    asyncio.run(tools.close())
    assert not yard.processes()
    # Used again, it begins a new session.
    assert asyncio.run(tools.ensure_running("a")).up
    asyncio.run(tools.close())
    assert not [thread for thread in threading.enumerate() if thread.name == "dxforge-tools"]


def test_a_thread_without_a_loop(yard: Yard) -> None:
    tools = yard.orchestrator(yard.define("a"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(tools.ensure_running("a")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({status.pid for status in found}) == 1 and len(found) == 8
    assert len(yard.processes()) == 1
    asyncio.run(tools.close())


def test_many_at_once_get_one_process(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a")) as tools:
            found = await asyncio.gather(*(tools.ensure_running("a") for _ in range(100)))
            assert len({status.pid for status in found}) == 1
            assert len(yard.processes()) == 1

    asyncio.run(go())


def test_dependencies_are_ready_before(yard: Yard) -> None:
    order = yard.root / "order"
    slow = sh(f"sleep 0.3; echo base >> {order}; echo up; exec sleep 300")
    quick = sh(f"echo app >> {order}; exec sleep 300")

    async def go() -> None:
        base = yard.define("base", slow, health={"log": "up"})
        async with yard.orchestrator(base, yard.define("app", quick, "base")) as tools:
            await tools.ensure_running("app")
            assert order.read_text().split() == ["base", "app"]
            assert tools.status("base").state is ToolState.HEALTHY
            # Another one that needs it leaves it as it is.
            before = tools.status("base").pid
            tools.register_tool(yard.define("other", SLEEPER, "base"))
            await tools.ensure_all(["other", "app"])
            assert tools.status("base").pid == before

    asyncio.run(go())


def test_priority_decides_within_a_wave(yard: Yard) -> None:
    order = yard.root / "order"

    def tool(name: str, priority: int) -> DxToolDefinition:
        return yard.define(name, sh(f"echo {name} >> {order}; exec sleep 300"), priority=priority)

    async def go() -> None:
        async with yard.orchestrator(tool("last", 9), tool("first", -3), tool("middle", 0)) as tools:
            await tools.ensure_all(["last", "middle", "first"])

    asyncio.run(go())
    assert order.read_text().split() == ["first", "middle", "last"]


def test_a_failing_dependency_fails_its_dependents_by_name(yard: Yard) -> None:
    broken = yard.define("base", sh("echo no database >&2; exit 3"), restart={"policy": "never"})
    definitions = [broken, yard.define("mid", SLEEPER, "base"), yard.define("top", SLEEPER, "mid"), yard.define("free")]

    async def go() -> None:
        async with yard.orchestrator(*definitions) as tools:
            with pytest.raises(ToolStartError) as caught:
                await tools.ensure_all(["top", "free"])
            error = caught.value
            assert error.tool == "top"
            assert "dependency mid is not ready: its dependency base is not ready" in error.what
            assert error.exit_code == 3 and error.log_tail == ("no database",)
            assert tools.status("base").state is ToolState.DEGRADED
            assert tools.status("mid") == tools.status("top") == STOPPED
            assert tools.status("free").up

    asyncio.run(go())
