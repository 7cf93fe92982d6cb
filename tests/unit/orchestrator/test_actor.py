"""What is wanted of a tool last is what happens, whatever was wanted before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dxforge.errors import (
    ToolStartError,
)
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import STUBBORN, sh, until_async
from tests.support.tools import PACE, Yard

STOPPED = ToolStatus(ToolState.STOPPED)


def test_stop_while_starting(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", STUBBORN, health={"log": "never said"})) as tools:
            waiting = asyncio.create_task(tools.ensure_running("a"))
            await until_async(lambda: tools.status("a").pid)
            assert await tools.stop("a") == STOPPED
            with pytest.raises(ToolStartError, match="stopped before it was ready"):
                await waiting
            assert not yard.processes()

    asyncio.run(go())


def test_a_stop_wins_over_a_pending_restart(yard: Yard) -> None:
    pace = type(PACE)(backoff_s=20.0, settle_s=0.05)

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", sh("sleep 0.2; exit 1")), pace=pace) as tools:
            await tools.ensure_running("a")
            await until_async(lambda: "starts again in" in tools.status("a").detail)
            assert tools.status("a").state is ToolState.STARTING
            assert await tools.stop("a") == tools.status("a") == STOPPED
            # And a restart by hand does not wait for the backoff.
            await tools.ensure_running("a")
            await until_async(lambda: "starts again in" in tools.status("a").detail)
            async with asyncio.timeout(15):
                assert (await tools.restart("a")).up

    asyncio.run(go())


def test_requests_of_all_kinds_at_once_never_wedge(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a")) as tools:
            kinds: list[Any] = [tools.restart, tools.stop, tools.ensure_running]
            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(*(call("a") for call in kinds * 20), return_exceptions=True)
            assert all(isinstance(outcome, ToolStatus | ToolStartError) for outcome in outcomes)
            assert tools.status("a").up  # the last wish
            assert len(yard.processes()) == 1

    asyncio.run(go())


def test_a_storm_of_restarts_is_one(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a")) as tools:
            await tools.ensure_running("a")
            found = await asyncio.gather(*(tools.restart("a") for _ in range(100)))
            assert len({status.pid for status in found}) <= 2
            assert len(yard.processes()) == 1

    asyncio.run(go())


def test_cancelling_ends_only_the_wait(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(
            yard.define("a", sh("sleep 0.3; echo up; exec sleep 300"), health={"log": "up"})
        ) as tools:
            impatient = asyncio.create_task(tools.ensure_running("a"))
            patient = asyncio.create_task(tools.ensure_running("a"))
            await until_async(lambda: tools.status("a").pid)
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            assert (await patient).state is ToolState.HEALTHY
            # With nobody left to wait, it goes on as well.
            alone = asyncio.create_task(tools.restart("a"))
            await until_async(lambda: not tools.status("a").up)
            alone.cancel()
            await until_async(lambda: tools.status("a").up and tools.status("a").pid != patient.result().pid)

    asyncio.run(go())


def test_stop_all_goes_backward(yard: Yard) -> None:
    order = yard.root / "order"

    def tool(name: str, *needs: str) -> DxToolDefinition:
        script = f"trap 'echo {name} >> {order}; exit 0' TERM; echo up; while :; do sleep 0.02; done"
        return yard.define(name, sh(script), *needs, health={"log": "up"}, stop={"grace_s": 20})

    async def go() -> None:
        async with yard.orchestrator(tool("db"), tool("app", "db"), tool("web", "app")) as tools:
            await tools.ensure_running("web")
            await tools.stop_all()
            assert order.read_text().split() == ["web", "app", "db"]
            assert set(tools.statuses().values()) == {STOPPED}
            await tools.ensure_running("web")
        assert order.read_text().split() == ["web", "app", "db"] * 2

    asyncio.run(go())
