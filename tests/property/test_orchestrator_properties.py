"""Properties of tools, over real processes: whatever is asked in whatever order, there is one, and it is told truly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dxforge.config.model import RestartConfig, StopConfig
from dxforge.errors import ToolDefinitionError, ToolError
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.orchestrator import Orchestrator
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import DEADLINE_S, exists, marked, sh, until
from tests.support.tools import Yard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

REAL = settings(
    max_examples=10,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
QUICK = Pace(settle_s=0.01, startup_s=DEADLINE_S, backoff_s=0.01, backoff_max_s=0.05, stable_s=60.0)


@contextlib.contextmanager
def new_yard() -> Iterator[Yard]:
    """A project of its own for each example; nothing may be left of it."""
    root = Path(tempfile.mkdtemp(prefix="dx"))
    yard = Yard(root, uuid.uuid4().hex)
    try:
        yield yard
        until(lambda: not yard.processes(), "a process was left behind")
    finally:
        for pid in marked(yard.mark):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(root)


def check(status: ToolStatus) -> None:
    """What is true of every status at every moment."""
    assert isinstance(status, ToolStatus)
    assert status.state in set(ToolState)
    if status.up:
        assert status.pid is not None
    if status.state is ToolState.STOPPED:
        assert status.pid is None


def pids(tools: Orchestrator) -> list[int | None]:
    return [status.pid for status in tools.statuses().values()]


@contextlib.contextmanager
def watched(tools: Orchestrator) -> Iterator[None]:
    """Meanwhile another thread looks at all statuses, as often as it can."""
    faults: list[BaseException] = []
    done = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        try:
            while not done.is_set():
                for status in tools.statuses().values():
                    check(status)
                looks += 1
                time.sleep(0.0005)
        except BaseException as error:  # noqa: BLE001 - raised below
            faults.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if faults:
        raise faults[0]
    assert looks


# ---------------------------------------------------------------------------------------------- 1: registration
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
DEFINITIONS = st.builds(
    DxToolDefinition,
    name=NAMES,
    binary_path=st.sampled_from(["sh", "/bin/sh", sys.executable]),
    priority=st.integers(-1000, 1000),
    args=st.lists(TEXTS, max_size=4),
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,8}X", fullmatch=True), TEXTS, max_size=3),
    cwd=st.sampled_from(["", "sub", "a/b"]),
    health=st.sampled_from([
        None,
        {"tcp": "127.0.0.1:80"},
        {"http": "http://localhost:8000/x", "failures": 7},
        {"exec": ["true"], "interval_s": 0.5},
        {"log": "ready"},
    ]),
    restart=st.builds(RestartConfig, policy=st.sampled_from(["never", "on-failure", "always"]), max=st.integers(0, 99)),
    stop=st.builds(StopConfig, signal=st.sampled_from(["SIGTERM", "SIGINT"]), grace_s=st.floats(0, 100)),
    on_owner_exit=st.sampled_from(["stop", "keep"]),
)  # fmt: skip


@given(st.lists(DEFINITIONS, max_size=6))
@settings(deadline=None)
def test_what_is_registered_is_given_back(definitions: list[DxToolDefinition]) -> None:
    with tempfile.TemporaryDirectory() as root:
        tools = Orchestrator(root)
        known: dict[str, DxToolDefinition] = {}
        for definition in definitions:
            if definition.name in known:
                with pytest.raises(ToolDefinitionError):
                    tools.register_tool(definition)
            else:
                tools.register_tool(definition)
                known[definition.name] = definition
            assert tools.get_tool(definition.name) == known[definition.name]
        assert tools.tools() == list(known.values())
        assert tools.statuses() == dict.fromkeys(known, ToolStatus(ToolState.STOPPED))


# ------------------------------------------------------------------------------------- 2, 3, 4: a machine of two tools
class Tools(RuleBasedStateMachine):
    """Two sessions on one project, and what anybody may do to its tools: ask, in bursts too, and kill."""

    @initialize()
    def begin(self) -> None:
        self.stack = contextlib.ExitStack()
        self.yard = self.stack.enter_context(new_yard())
        self.yard.declare("db", restart={"policy": "always", "max": 1000})
        self.yard.declare("app", sh("echo up; exec sleep 300"), "db", restart={"max": 1000}, health={"log": "up"})
        self.sessions = [self.yard.orchestrator(pace=QUICK) for _ in range(2)]
        for session in self.sessions:
            self.stack.callback(lambda session=session: asyncio.run(session.close()))
        for session in self.sessions:
            self.stack.enter_context(watched(session))

    @rule(which=st.integers(0, 1), name=st.sampled_from(["db", "app"]), calls=st.integers(1, 8))
    def ensure(self, which: int, name: str, calls: int) -> None:
        """Property 2 and 3: up afterwards, with one pid for all who asked."""

        async def go() -> list[ToolStatus]:
            session = self.sessions[which]
            return await asyncio.gather(*(session.ensure_running(name) for _ in range(calls)))

        found = asyncio.run(go())
        assert len({status.pid for status in found}) == 1
        assert all(status.up for status in found)
        assert asyncio.run(self.sessions[which].ensure_running(name)) == found[0]

    @rule(name=st.sampled_from(["db", "app"]))
    def ensure_from_both(self, name: str) -> None:
        found: list[ToolStatus] = []
        threads = [
            threading.Thread(target=lambda session=session: found.append(asyncio.run(session.ensure_running(name))))
            for session in self.sessions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 2
        assert found[0].pid == found[1].pid

    @rule(which=st.integers(0, 1), name=st.sampled_from(["db", "app"]))
    def stop(self, which: int, name: str) -> None:
        """From any state to stopped; nobody starts it again."""
        assert asyncio.run(self.sessions[which].stop(name)) == ToolStatus(ToolState.STOPPED)
        for session in self.sessions:
            until(lambda session=session: session.status(name).state is ToolState.STOPPED)

    @rule(which=st.integers(0, 1), name=st.sampled_from(["db", "app"]))
    def restart(self, which: int, name: str) -> None:
        before = self.sessions[which].status(name).pid
        after = asyncio.run(self.sessions[which].restart(name))
        assert after.up
        assert after.pid != before
        self.noticed()

    @rule(name=st.sampled_from(["db", "app"]))
    def kill(self, name: str) -> None:
        pid = self.sessions[0].status(name).pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.noticed()

    @rule(which=st.integers(0, 1), kinds=st.lists(st.sampled_from(["ensure_running", "stop", "restart"]), max_size=12))
    def burst(self, which: int, kinds: list[str]) -> None:
        """Anything at once: each call comes back."""

        async def go() -> None:
            calls = [getattr(self.sessions[which], kind)("app") for kind in kinds]
            async with asyncio.timeout(DEADLINE_S):
                for outcome in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(outcome, ToolStatus | ToolError), outcome

        asyncio.run(go())
        self.noticed()

    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        asyncio.run(self.sessions[which].close())

    def noticed(self) -> None:
        """Until no session takes a process for running that is gone: a word of its guard is on the way."""
        for session in self.sessions:
            until(lambda session=session: all(not pid or exists(pid) for pid in pids(session)), "an end went unseen")

    @invariant()
    def at_most_one_process_of_each(self) -> None:
        if hasattr(self, "yard"):
            assert len(self.yard.processes()) <= 2

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()


TestTools = Tools.TestCase
TestTools.settings = REAL


# ----------------------------------------------------------------------------------------------------- any graph
@st.composite
def graphs(draw: st.DrawFn, *, count: int) -> list[tuple[int, list[int]]]:
    """For each tool its priority, and which of those before it it needs."""
    made: list[tuple[int, list[int]]] = []
    for number in range(count):
        needs = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        made.append((draw(st.integers(-1, 1)), needs))
    return made


def start_graph(graph: list[tuple[int, list[int]]]) -> None:
    """All of them started at once: each one once, and after all that it needs."""
    with new_yard() as yard:
        order = yard.root / "order"
        argv = sh(f"echo $NAME >> {order}; exec sleep 300")
        definitions = [
            yard.define(
                f"t{number}", argv, *(f"t{other}" for other in needs), priority=priority, env={"NAME": str(number)}
            )
            for number, (priority, needs) in enumerate(graph)
        ]
        needed = {f"t{other}" for _, needs in graph for other in needs}
        roots = [definition.name for definition in definitions if definition.name not in needed]

        async def go() -> None:
            async with yard.orchestrator(*definitions, pace=QUICK) as tools:
                with watched(tools):
                    found = await tools.ensure_all(roots)
                    assert set(found) == set(roots)
                    statuses = tools.statuses()
                    assert all(status.up for status in statuses.values())
                    assert {status.pid for status in statuses.values()} == yard.processes()
                    assert await tools.ensure_all(list(statuses)) == statuses

        asyncio.run(go())
        started = [int(line) for line in order.read_text().split()]
        assert sorted(started) == list(range(len(graph)))
        place = {number: index for index, number in enumerate(started)}
        for number, (_, needs) in enumerate(graph):
            assert all(place[other] < place[number] for other in needs)


@given(st.integers(1, 25).flatmap(lambda count: graphs(count=count)))
@settings(REAL, max_examples=6)
def test_any_graph_is_started_in_order(graph: list[tuple[int, list[int]]]) -> None:
    start_graph(graph)


@pytest.mark.slow
@given(graphs(count=200))
@settings(REAL, max_examples=1)
def test_two_hundred_tools(graph: list[tuple[int, list[int]]]) -> None:
    start_graph(graph)


@given(
    graphs(count=12),
    st.sets(st.integers(0, 11), min_size=1, max_size=3),
)
@settings(REAL, max_examples=6)
def test_what_fails_fails_all_that_needs_it_and_nothing_else(
    graph: list[tuple[int, list[int]]], broken: set[int]
) -> None:
    with new_yard() as yard:
        good = sh("echo up; exec sleep 300")
        definitions = [
            yard.define(
                f"t{number}",
                sh(f"echo broken {number} >&2; exit 1") if number in broken else good,
                *(f"t{other}" for other in needs),
                priority=priority,
                restart={"policy": "never"},
                health={"log": "up"},
            )
            for number, (priority, needs) in enumerate(graph)
        ]
        doomed: set[int] = set()
        for number, (_, needs) in enumerate(graph):
            if number in broken or any(other in doomed for other in needs):
                doomed.add(number)

        async def go() -> None:
            async with yard.orchestrator(*definitions, pace=QUICK) as tools:
                with pytest.raises(ToolError):
                    await tools.ensure_all([definition.name for definition in definitions])
                for number, definition in enumerate(definitions):
                    assert tools.status(definition.name).up == (number not in doomed)
                    if number in doomed:
                        with pytest.raises(ToolError) as caught:
                            await tools.ensure_running(definition.name)
                        assert caught.value.tool == definition.name
                        assert "broken" in str(caught.value)

        asyncio.run(go())
