"""A stop, from wherever and whenever it comes: it wins, it is told as such, and what is asked for after it counts."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time

import pytest

from dxforge.errors import ToolError, ToolStartError
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import FAMILY, SLEEPER, exists, python, sh, until, until_async, zombies
from tests.support.tools import Yard, free_port, kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

STOPPED = ToolStatus(ToolState.STOPPED)
LINGERING = sh("trap 'while ! test -e go; do sleep 0.02; done; exit 0' TERM; echo ready; while :; do sleep 0.02; done")
"""Ends after TERM once there is a file ``go``."""
HANGING = python(
    "import http.server\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self): self.send_response(200); self.end_headers()\n"
    "    def log_message(self, *args): pass\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
)


def test_a_stop_from_another_kernel_while_it_starts(yard: Yard) -> None:
    yard.declare("a", FAMILY, health={"log": "never said"}, restart={"policy": "always"})

    async def go() -> None:
        async with yard.orchestrator() as tools:
            waiting = asyncio.create_task(tools.ensure_running("a"))
            await until_async(lambda: len(yard.processes()) == 5)
            assert await asyncio.to_thread(kernel.ask, "stop", "a") == {"state": "stopped", "pid": None, "detail": ""}
            with pytest.raises(ToolStartError, match="stopped by another session"):
                await waiting
            assert tools.status("a") == ToolStatus(ToolState.STOPPED, None, "stopped by another session")
            assert not yard.processes()

    with kernels(yard.root) as (kernel,):
        asyncio.run(go())


def test_while_another_kernel_stops_it_nobody_gets_it(yard: Yard) -> None:
    yard.declare("a", LINGERING, health={"log": "ready"}, stop={"grace_s": 60})
    outside = yard.orchestrator()

    async def go() -> None:
        async with yard.orchestrator() as owner, yard.orchestrator() as comer:
            first = await owner.ensure_running("a")
            kernel.tell("stop", "a")
            stopping = ToolStatus(ToolState.HEALTHY, first.pid, "stopping")
            await until_async(lambda: owner.status("a") == outside.status("a") == stopping)
            # Asked for after the stop: a new one, as soon as this one is gone; from who owned it and from who comes.
            calls = [asyncio.create_task(tools.ensure_running("a")) for tools in (owner, comer, owner, comer)]
            await asyncio.sleep(0.3)
            assert not any(call.done() for call in calls)
            assert first.pid is not None and exists(first.pid)
            (yard.root / "go").touch()
            found = await asyncio.gather(*calls)
            assert len({status.pid for status in found}) == 1
            assert found[0].pid != first.pid and not exists(first.pid)
            await asyncio.to_thread(kernel.hear)
            assert owner.status("a") == comer.status("a") == found[0]

    with kernels(yard.root) as (kernel,):
        asyncio.run(go())


def test_a_tool_that_is_halted(yard: Yard) -> None:
    # SIGSTOP, as by a debugger or Ctrl-Z: ill, well again, and no hindrance to a stop.
    port = free_port()
    health = {"http": f"http://127.0.0.1:{port}/", "interval_s": 0.05, "timeout_s": 0.2, "failures": 2}
    tool = yard.define("a", HANGING, env={"PORT": str(port)}, health=health, stop={"grace_s": 30})

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            healthy = await tools.ensure_running("a")
            assert healthy.pid is not None
            os.kill(healthy.pid, signal.SIGSTOP)
            await until_async(lambda: tools.status("a").state is ToolState.DEGRADED)
            assert tools.status("a").pid == healthy.pid and "no answer within 0.2 s" in tools.status("a").detail
            os.kill(healthy.pid, signal.SIGCONT)
            assert await tools.ensure_running("a") == healthy
            os.kill(healthy.pid, signal.SIGSTOP)
            async with asyncio.timeout(20):  # less than its grace time: TERM reaches it
                assert await tools.stop("a") == STOPPED

    asyncio.run(go())


def test_restarts_while_others_are_pending(yard: Yard) -> None:
    # process-compose#530: a restart during a start wedged for ever.
    gate = yard.root / "gate"
    yard.declare("base", sh("while ! test -e gate; do sleep 0.02; done; echo up; exec sleep 300"), health={"log": "up"})
    yard.declare("app", SLEEPER, "base")

    async def go() -> None:
        async with yard.orchestrator() as tools:
            calls = [asyncio.create_task(tools.ensure_running("app"))]
            await until_async(lambda: tools.status("base").pid)
            calls += [asyncio.create_task(tools.restart(name)) for name in ("app", "base", "app", "base") * 3]
            await asyncio.sleep(0.1)
            gate.touch()
            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(outcome, ToolStatus) and outcome.up for outcome in outcomes), outcomes
            assert len(yard.processes()) == 2

    asyncio.run(go())


def test_a_stop_wins_over_backoff_again_and_again(yard: Yard) -> None:
    # circus#965: the restart that was pending came after the stop.
    yard.declare("a", sh("echo up; exit 1"), health={"log": "up"}, restart={"policy": "always", "max": 1000})

    async def go() -> None:
        pace = Pace(backoff_s=0.005, backoff_max_s=0.02)
        async with yard.orchestrator(pace=pace) as tools:
            lines = 0
            for turn in range(10):
                starting = asyncio.create_task(tools.ensure_running("a"))
                await until_async(lambda lines=lines: len(tools.logs("a", 10_000)) > lines + 1)
                await asyncio.sleep(0.003 * turn)
                await (tools.stop("a") if turn % 2 else asyncio.to_thread(kernel.ask, "stop", "a"))
                await asyncio.gather(starting, return_exceptions=True)
                await until_async(lambda: tools.status("a").state is ToolState.STOPPED)
                lines = len(tools.logs("a", 10_000))
                await asyncio.sleep(0.1)
                assert tools.status("a").state is ToolState.STOPPED and not yard.processes()
                assert len(tools.logs("a", 10_000)) == lines

    with kernels(yard.root) as (kernel,):
        asyncio.run(go())


def test_tasks_threads_and_kernels_at_once_get_one_process(yard: Yard) -> None:
    yard.declare("db", sh("echo x >> starts; exec sleep 300"))
    yard.declare("a", sh("echo x >> starts; sleep 0.2; echo up; exec sleep 300"), "db", health={"log": "up"})
    tools = yard.orchestrator()
    found: list[int | None] = []

    def thread() -> None:
        async def many() -> list[ToolStatus]:
            return await asyncio.gather(*(tools.ensure_running("a") for _ in range(10)))

        found.extend(status.pid for status in asyncio.run(many()))

    with kernels(yard.root, 2) as some:
        for kernel in some:
            kernel.ask("status", "a")
        threads = [threading.Thread(target=thread) for _ in range(5)]
        for kernel in some:
            kernel.tell("ensure_running", "a")
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        found.extend(kernel.hear()["pid"] for kernel in some)
        assert len(found) == 52 and len(set(found)) == 1
        assert len(yard.processes()) == 2 and (yard.root / "starts").read_text() == "x\n" * 2
        asyncio.run(tools.stop_all())
    asyncio.run(tools.close())


def test_a_kernel_is_killed_at_any_moment(yard: Yard) -> None:
    yard.declare("db", FAMILY, health={"log": "ready"})
    yard.declare("a", FAMILY, "db", health={"log": "ready"})
    for turn in range(6):
        with kernels(yard.root) as (kernel,):
            kernel.ask("status", "a")
            kernel.tell("ensure_running", "a")
            time.sleep(0.03 * turn)
            kernel.kill()
        until(lambda: not yard.processes(), "a process was left behind")
    # And whoever comes next is not disturbed by what is left on disk.
    asyncio.run(_up_and_down(yard))


async def _up_and_down(yard: Yard) -> None:
    async with yard.orchestrator() as tools:
        assert (await tools.ensure_running("a")).up


def test_many_lives_leak_nothing(yard: Yard) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def go() -> None:
        async with yard.orchestrator(yard.define("a"), yard.define("b", ("sh",), health={"exec": ["true"]})) as tools:

            async def round_() -> None:
                await tools.ensure_running("a")
                await tools.restart("a")
                assert (await tools.execute_tool("b", ["-c", "echo hello"])).stdout == "hello\n"
                running = asyncio.create_task(tools.execute_tool("b", ["-c", "sleep 300"]))
                await asyncio.sleep(0.02)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await tools.stop("a")

            for _ in range(3):
                await round_()
            gc.collect()
            before, threads = descriptors(), threading.active_count()
            for _ in range(10):
                await round_()
            gc.collect()
            await until_async(lambda: descriptors() <= before)
            assert threading.active_count() <= threads + 8  # of the executor, which are few
            assert not zombies() and not yard.processes()

    asyncio.run(go())


def test_close_in_the_midst_of_everything(yard: Yard) -> None:
    yard.declare("db", sh("sleep 0.2; echo up; exec sleep 300"), health={"log": "up"})
    yard.declare("flap", sh("exit 1"), restart={"policy": "always", "max": 1000})
    yard.declare("a", SLEEPER, "db")

    async def go() -> None:
        for turn in range(8):
            tools = yard.orchestrator()
            calls = [
                asyncio.create_task(call)
                for call in (
                    tools.ensure_running("a"),
                    tools.ensure_running("flap"),
                    tools.restart("db"),
                    tools.execute_tool("a", ["-c", "sleep 300"]),
                    tools.stop("a"),
                )
            ]
            await asyncio.sleep(0.05 * turn)
            async with asyncio.timeout(30):
                await asyncio.gather(tools.close(), tools.close())
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
            for outcome in outcomes:
                assert isinstance(outcome, ToolStatus | ToolError) or "closed" in str(outcome), outcome
            # A call that had not begun yet begins a session of its own, as after every close().
            await tools.close()
            assert not yard.processes()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("asked", "up"),
    [
        (("stop", "ensure_running"), True),
        (("stop", "restart"), True),
        (("restart", "stop"), False),
        (("ensure_running", "stop"), False),
        (("stop", "ensure_running", "stop", "ensure_running"), True),
        (("restart", "stop", "restart", "stop"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_of_requests_made_at_once_the_last_holds(yard: Yard, asked: tuple[str, ...], up: bool) -> None:
    yard.declare("needed", SLEEPER)
    yard.declare("a", SLEEPER, dependencies=["needed"])

    async def go() -> None:
        async with yard.orchestrator() as tools:
            before = await tools.ensure_running("a")
            await asyncio.gather(*(getattr(tools, what)("a") for what in asked), return_exceptions=True)
            after = tools.status("a")
            assert after.up is up
            assert after.pid != before.pid

    asyncio.run(go())
