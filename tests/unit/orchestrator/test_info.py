"""What is shown of tools: figures, logs, changes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dxforge.errors import (
    ConfigError,
)
from dxforge.events import Event, EventBus
from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus
from tests.support.processes import FAMILY, SLEEPER, python, sh, until
from tests.support.tools import Yard

STOPPED = ToolStatus(ToolState.STOPPED)


def test_infos(yard: Yard) -> None:
    tools = yard.orchestrator(
        yard.define("a", FAMILY, health={"log": "ready"}), yard.define("b", SLEEPER, "a"), yard.define("c")
    )
    asyncio.run(tools.ensure_running("b"))
    a, b, c = tools.infos()
    assert [info.name for info in (a, b, c)] == ["a", "b", "c"]
    assert a.status == tools.status("a") and a.health == "log ready" and a.processes == 5
    assert a.memory_bytes is not None and a.memory_bytes > 100_000
    assert a.cpu_percent is not None and a.uptime_s is not None and 0 <= a.uptime_s < 60
    assert a.owner_pids == (os.getpid(),) and Path(a.log_path).read_text() == "ready\n"
    assert b.dependencies == ("a",) and b.processes == 1 and b.restarts == 0
    assert (c.status, c.processes, c.uptime_s, c.owner_pids, c.log_path) == (STOPPED, None, None, (), "")
    assert tools.info("a").processes == 5
    asyncio.run(tools.close())


def test_a_changed_definition_takes_effect_at_the_next_start(yard: Yard) -> None:
    yard.declare("a", sh("echo old; exec sleep 300"))
    tools = yard.orchestrator()
    asyncio.run(tools.ensure_running("a"))
    assert tools.info("a").status.detail == ""
    yard.declare("a", sh("echo new; exec sleep 300"))
    before = tools.status("a")
    assert asyncio.run(tools.ensure_running("a")) == before
    assert tools.info("a").status.detail == "dx.toml changed; restart applies it"
    asyncio.run(tools.restart("a"))
    until(lambda: tools.logs("a") == ["old", "new"])
    assert tools.info("a").status.detail == ""
    # Gone from the file, it stays in sight while it runs.
    del yard.tables["a"]
    yard.write()
    assert tools.tools() == [] and tools.statuses()["a"].up and len(tools.infos()) == 1
    asyncio.run(tools.stop("a"))
    assert tools.statuses() == {}
    asyncio.run(tools.close())


def test_a_broken_dx_toml_disturbs_nothing_that_runs(yard: Yard) -> None:
    yard.declare("a")
    yard.declare("b")
    tools = yard.orchestrator()
    running = asyncio.run(tools.ensure_running("a"))
    (yard.root / "dx.toml").write_text("[tools")
    assert tools.status("a") == running == asyncio.run(tools.ensure_running("a"))
    assert set(tools.statuses()) == {"a", "b"}
    with pytest.raises(ConfigError):
        asyncio.run(tools.ensure_running("b"))
    asyncio.run(tools.stop("a"))
    asyncio.run(tools.close())


def test_changes_are_told_to_subscribers_and_on_the_bus(yard: Yard) -> None:
    events = EventBus()
    on_bus: list[Event] = []
    events.subscribe(on_bus.append)

    def fail(event: Event) -> None:
        raise ValueError(event)

    events.subscribe(fail)
    tools = yard.orchestrator(yard.define("a"), events=events)
    subscription = tools.subscribe()

    async def follow() -> list[tuple[ToolState, ToolState]]:
        return [(change.previous.state, change.status.state) async for change in subscription]

    asyncio.run(tools.ensure_running("a"))
    asyncio.run(tools.close())
    states = asyncio.run(follow())
    assert states[0] == (ToolState.STOPPED, ToolState.STARTING)
    assert states[-1][1] is ToolState.STOPPED
    assert [after for _, after in states[:-1]] == [before for before, _ in states[1:]]
    assert [(event.previous.state, event.status.state) for event in on_bus if isinstance(event, ToolChanged)] == states


def test_logs_of_any_bytes(yard: Yard) -> None:
    script = python("os.write(1, b'x' * 200_000 + b'\\n\\xff\\x00end\\n'); time.sleep(300)")
    tools = yard.orchestrator(yard.define("a", script, health={"log": "end"}))
    asyncio.run(tools.ensure_running("a"))
    assert tools.logs("a", 1) == ["\ufffd\0end"]
    assert "".join(tools.logs("a")[:-1]) == "x" * 200_000
    asyncio.run(tools.close())
    assert tools.logs("a", 1) == ["\ufffd\0end"]
