"""The status panel's side in the kernel, over a real forge with real tools."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dxforge.background.tasks import TaskInfo, TaskProgress, TaskState
from dxforge.errors import DxForgeError, UnknownTaskError, UnknownToolError, UsageError
from dxforge.forge import DxForge
from dxforge_nb.panels import status
from dxforge_nb.panels.channel import Message
from dxforge_nb.panels.glance import Glance, Part, _steady, _task, same
from dxforge_nb.panels.status import StatusTopic
from tests.support.processes import sh, until_async
from tests.support.tools import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A project without tools yet; none of its processes is left."""
    made = Yard(tmp_path, uuid.uuid4().hex)
    made.write()
    yield made
    assert not made.processes()


@contextlib.asynccontextmanager
async def watched(yard: Yard) -> AsyncIterator[tuple[StatusTopic, list[Message], DxForge]]:
    """A topic that somebody looks at, and what it pushes."""
    async with DxForge(yard.root) as forge:
        topic = StatusTopic(forge)
        pushed: list[Message] = []
        watching = asyncio.create_task(topic.watch(lambda body: pushed.append(body["state"])))
        try:
            yield topic, pushed, forge
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await topic.close()


def tool(state: Message, name: str) -> Message:
    return next(each for each in state["tools"] if each["name"] == name)


def test_the_state_of_an_empty_project(yard: Yard) -> None:
    async def story() -> None:
        async with watched(yard) as (topic, pushed, _):
            state = (await topic.handle("hello", {}))["state"]
            assert state == {
                "project": "yard",
                "tools": [],
                "tasks": [],
                "packages": [],
                "pending": {"yellow": 0, "red": 0},
                "snapshot": None,
                "sync": None,
            }
            assert (await topic.handle("refresh", {}))["state"] == state
            assert not pushed

    asyncio.run(story())


def test_a_tool_starts_says_something_and_stops(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-value")
    yard.declare("one", sh("echo it is s3cr3t-value; printf '\\033[31mred\\033[0m\\n'; exec sleep 300"))

    async def story() -> None:
        async with watched(yard) as (topic, pushed, _):
            await topic.handle("hello", {})
            assert await topic.handle("tool", {"name": "one", "do": "start"}) == {}
            await until_async(lambda: pushed and tool(pushed[-1], "one")["last_lines"] == ["it is ***", "red"])
            await until_async(lambda: tool(pushed[-1], "one")["state"] == "running")
            one = tool(pushed[-1], "one")
            assert (one["state"], one["owner"], one["restarts"], one["detail"]) == ("running", "here", 0, "")
            assert {one["pid"]} == yard.processes()
            assert abs(one["started"] - time.time()) < 60
            assert one["memory_bytes"] > 0
            assert await topic.handle("logs", {"name": "one"}) == {"text": "it is ***\nred"}
            assert await topic.handle("logs", {"name": "one", "lines": 1}) == {"text": "red"}
            await topic.handle("tool", {"name": "one", "do": "restart"})
            await until_async(lambda: tool(pushed[-1], "one")["pid"] not in (None, one["pid"]))
            await topic.handle("tool", {"name": "one", "do": "stop"})
            await until_async(lambda: tool(pushed[-1], "one")["state"] == "stopped")
            stopped = tool(pushed[-1], "one")
            assert (stopped["pid"], stopped["started"], stopped["memory_bytes"], stopped["owner"]) == (
                None,
                None,
                None,
                "",
            )

    asyncio.run(story())


def test_a_tool_of_another_session_is_seen(yard: Yard) -> None:
    yard.declare("one")

    async def story() -> None:
        async with watched(yard) as (topic, pushed, _), DxForge(yard.root) as other:
            await topic.handle("hello", {})
            await other.orchestrator.ensure_running("one")
            await until_async(lambda: pushed and tool(pushed[-1], "one")["state"] == "running")
            await other.orchestrator.stop("one")
            await until_async(lambda: tool(pushed[-1], "one")["state"] == "stopped")

    asyncio.run(story())


def test_what_cannot_be_started_says_so_in_its_state(yard: Yard) -> None:
    yard.declare("bad", sh("echo broken; exit 3"), restart={"policy": "never"})

    async def story() -> None:
        async with watched(yard) as (topic, pushed, _):
            await topic.handle("hello", {})
            assert await topic.handle("tool", {"name": "bad", "do": "start"}) == {}
            await until_async(lambda: pushed and tool(pushed[-1], "bad")["state"] == "degraded")
            await until_async(lambda: "exit status 3" in tool(pushed[-1], "bad")["detail"], str(pushed))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("op", "args", "error"),
    [
        ("tool", {"name": "one", "do": "explode"}, UsageError),
        ("tool", {"name": "on", "do": "start"}, UnknownToolError),
        ("tool", {"name": "on", "do": "stop"}, UnknownToolError),
        ("tool", {"name": "gone", "do": "start"}, DxForgeError),
        ("tool", {"name": 1, "do": "start"}, UsageError),
        ("tool", {}, UsageError),
        ("logs", {"name": "on"}, UnknownToolError),
        ("logs", {"name": "one", "lines": 0}, UsageError),
        ("logs", {"name": "one", "lines": "many"}, UsageError),
        ("logs", {"name": "one", "lines": 10**9}, UsageError),
        ("task", {"id": 1, "do": "retry"}, UnknownTaskError),
        ("task", {"id": "1", "do": "retry"}, UsageError),
        ("task", {"id": 1, "do": "run"}, UsageError),
        ("open", {"path": "a"}, UsageError),
    ],
)
def test_what_makes_no_sense_is_refused(yard: Yard, op: str, args: dict[str, Any], error: type[DxForgeError]) -> None:
    yard.declare("one")
    yard.declare("gone", ("./nothing-here",))

    async def story() -> None:
        async with DxForge(yard.root) as forge:
            topic = StatusTopic(forge)
            with pytest.raises(error):
                await topic.handle(op, args)
            await topic.close()

    asyncio.run(story())


def test_a_broken_dx_toml_leaves_what_was_known(yard: Yard) -> None:
    async def story() -> None:
        async with watched(yard) as (topic, pushed, _):
            await topic.handle("hello", {})
            (yard.root / "dx.toml").write_text("[project")
            assert (await topic.handle("refresh", {}))["state"]["project"] == "yard"
            (yard.root / "dx.toml").write_text('[project]\nname = "other"\n[packages]\npath = { path = "lib" }\n')
            await until_async(lambda: pushed and pushed[-1]["project"] == "other")
            (package,) = pushed[-1]["packages"]
            assert (package["name"], package["version"]) == ("path", None)

    asyncio.run(story())


def test_what_one_page_was_told_in_between_is_taken_back_for_all(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "SHORTEST_S", 3.0)

    async def story() -> None:
        config = (yard.root / "dx.toml").read_text()
        async with watched(yard) as (topic, pushed, _):
            await topic.handle("hello", {})
            await asyncio.sleep(1)  # it has looked, and pauses
            (yard.root / "dx.toml").write_text('[project]\nname = "other"\n')
            assert (await topic.handle("hello", {}))["state"]["project"] == "other"
            (yard.root / "dx.toml").write_text(config)
            assert pushed == []
            await until_async(lambda: pushed)
            assert [state["project"] for state in pushed] == ["yard"]

    asyncio.run(story())


@pytest.mark.parametrize("steps", range(5))
def test_the_end_of_watching_is_not_missed_in_the_moment_in_which_something_happens(yard: Yard, steps: int) -> None:
    async def story() -> None:
        async with DxForge(yard.root) as forge:
            topic = StatusTopic(forge)
            await topic.handle("hello", {})
            watching = asyncio.create_task(topic.watch(lambda body: None))
            await asyncio.sleep(0.5)  # until it waits
            topic._wake.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            watching.cancel()
            async with asyncio.timeout(30):
                await asyncio.gather(watching, return_exceptions=True)
            await topic.close()

    asyncio.run(story())


def test_parts_are_looked_at_again_only_when_they_may_have_changed(yard: Yard) -> None:
    yard.declare("one")

    async def story() -> None:
        async with DxForge(yard.root) as forge:
            glance = Glance(forge)
            first = glance.look(time.time())
            again = glance.look(time.time())
            assert again["tools"] is first["tools"]
            assert again["packages"] is first["packages"]
            glance.forget(Part.TOOLS)
            third = glance.look(time.time())
            assert third["tools"] is not first["tools"]
            assert third["packages"] is first["packages"]
            assert third == first

    asyncio.run(story())


@pytest.mark.parametrize(
    ("value", "before", "shown"),
    [
        (None, 3, None),
        (4.4, None, 4),
        (4.4, 3, 3),
        (5.1, 3, 5),
        (0.0, 1, 0),
        (1.4, 0, 0),
        (104, 100, 100),
        (120, 100, 120),
    ],
)
def test_figures_stay_while_they_say_nothing_new(value: float | None, before: int | None, shown: int | None) -> None:
    assert _steady(value, before, 2, 0.1) == shown


def test_tasks_as_the_page_reads_them() -> None:
    def told(**fields: Any) -> Message:
        fields = {"id": 7, "kind": "PrefetchPackage", "argument": "humanize", **fields}
        return _task(TaskInfo(**fields))

    running = told(state=TaskState.RUNNING, progress=TaskProgress(done=3, total=9, item="wheel"))
    assert running == {
        "id": 7, "kind": "PrefetchPackage", "label": "Prefetch humanize", "state": "running", "done": 3,
        "total": 9, "detail": "wheel", "error": "", "retry_in_s": None, "can_retry": False, "can_cancel": True,
    }  # fmt: skip
    failed = told(state=TaskState.FAILED, reason="no network\x1b")
    assert (failed["error"], failed["can_retry"], failed["can_cancel"]) == ("no network\\x1b", True, False)
    waiting = told(state=TaskState.WAITING, reason="busy", retry_in_s=4.26)
    assert (waiting["detail"], waiting["retry_in_s"], waiting["can_cancel"]) == ("busy", 4.3, True)
    closer = {**waiting, "retry_in_s": 2.0}
    assert same({"tasks": [waiting]}, {"tasks": [closer]})
    assert not same({"tasks": [waiting]}, {"tasks": [{**waiting, "retry_in_s": None}]})
    unknown = told(state=TaskState.FAILED, kind="Newer")
    assert not unknown["can_retry"]
