"""Tools that are executed, to their end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import (
    ToolTimeoutError,
    UsageError,
)
from dxforge.events import Event, EventBus
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.execution import HALF_BYTES, Kept, Relay
from dxforge.orchestrator.status import ToolOutput, ToolState, ToolStatus
from tests.support.processes import FAMILY, SLEEPER, STUBBORN, python, until_async
from tests.support.tools import Yard

STOPPED = ToolStatus(ToolState.STOPPED)


def echo(yard: Yard, *needs: str, **more: Any) -> DxToolDefinition:
    """A tool that prints its arguments, environment and folder; its own arguments are for its long-running form."""
    script = yard.root / "echo.py"
    script.write_text(
        "#!/usr/bin/env python3\nimport os, sys\n"
        "print(sys.argv[1:], os.environ.get('MODE'), os.environ.get('EXTRA'), os.getcwd())\n"
        "print('to stderr', file=sys.stderr)\nsys.exit(int(sys.argv[1]))\n"
    )
    script.chmod(0o755)
    return yard.define("echo", ("./echo.py", "serve"), *needs, env={"MODE": "fast"}, **more)


def written(path: str) -> str:
    return Path(path).read_text()


def test_execute(yard: Yard) -> None:
    (yard.root / "sub").mkdir()
    shown: list[tuple[str, str]] = []
    threads = set()
    events = EventBus()
    told: list[Event] = []
    events.subscribe(told.append)

    def on_output(stream: str, text: str) -> None:
        threads.add(threading.get_ident())
        shown.append((stream, text))

    async def go() -> None:
        async with yard.orchestrator(yard.define("db"), echo(yard, "db", cwd="sub"), events=events) as tools:
            run = await tools.execute_tool("echo", ["3", "x y"], env={"EXTRA": "1"}, on_output=on_output)
            assert (run.name, run.args, run.exit_code, run.ok) == ("echo", ("3", "x y"), 3, False)
            # In the project's root, whatever the definition's folder.
            assert run.stdout == f"['3', 'x y'] fast 1 {yard.root}\n" and run.stderr == "to stderr\n"
            assert written(run.stdout_path) == run.stdout and written(run.stderr_path) == run.stderr
            assert run.duration_s > 0 and run.cpu_s > 0 and run.max_memory_bytes > 1_000_000 and not run.truncated
            assert tools.status("db").up and tools.status("echo") == STOPPED
            assert (await tools.execute_tool("echo", ["0"])).ok

    asyncio.run(go())
    assert threads == {threading.get_ident()}
    assert "".join(text for stream, text in shown if stream == "stderr") == "to stderr\n"
    assert "".join(event.text for event in told if isinstance(event, ToolOutput) and event.stream == "stderr") == (
        "to stderr\n" * 2
    )


def test_execute_is_stopped_when_it_takes_too_long(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", STUBBORN)) as tools:
            with pytest.raises(ToolTimeoutError, match=r"did not end within 0\.5 s") as caught:
                await tools.execute_tool("a", STUBBORN[1:], timeout_s=0.5)
            assert caught.value.tool == "a" and caught.value.log_tail == ("ready",)
            assert not yard.processes()

    asyncio.run(go())


def test_cancelling_an_execution_leaves_nothing(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", FAMILY)) as tools:
            for settle_s in (0.0, 0.01, 0.3):
                running = asyncio.create_task(tools.execute_tool("a", FAMILY[1:]))
                await asyncio.sleep(settle_s)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                assert not yard.processes()

    asyncio.run(go())


def test_close_ends_executions_and_their_callers_are_told(yard: Yard) -> None:
    async def go() -> None:
        tools = yard.orchestrator(yard.define("a", STUBBORN), yard.define("b", SLEEPER, health={"log": "never"}))
        running = asyncio.create_task(tools.execute_tool("a", STUBBORN[1:]))
        waiting = asyncio.create_task(tools.ensure_running("b"))
        await until_async(lambda: len(yard.processes()) >= 2)
        await tools.close()
        for task in (running, waiting):
            with pytest.raises(UsageError, match="closed"):
                await task
        assert not yard.processes()

    asyncio.run(go())


def test_much_output_is_kept_at_both_ends(yard: Yard) -> None:
    script = "sys.stdout.write('first ' + 'x' * 30_000_000 + ' last'); sys.stdout.flush()"
    argv = python(script)

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", argv)) as tools:
            run = await tools.execute_tool("a", argv[1:], on_output=lambda *_: None)
            assert run.stdout.startswith("first x") and run.stdout.endswith("x last")
            assert run.truncated and 1 << 20 <= len(run.stdout) < 1_100_000 and "bytes are left out here" in run.stdout
            assert len(written(run.stdout_path)) == 30_000_011

    asyncio.run(go())


def test_one_text_is_no_list_of_arguments(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a")) as tools:
            with pytest.raises(UsageError, match="args must be several texts"):
                await tools.execute_tool("a", "build")

    asyncio.run(go())


def test_what_the_build_asks(yard: Yard) -> None:
    tool = yard.define("a", ("python3",), env={"MODE": "x"})
    tools = yard.orchestrator(tool)
    assert tools.get_tool("a") == tool and tools.get_tool("a") is tool
    assert tools.resolve_binary(tool).name == "python3"
    environment = tools.environment(tool)
    assert environment["MODE"] == "x" and "PATH" in environment and "HOME" in environment


def test_kept_is_all_of_little_and_both_ends_of_much(tmp_path: Path) -> None:
    for size in (0, 10, HALF_BYTES, HALF_BYTES + 1, 2 * HALF_BYTES, 2 * HALF_BYTES + 1, 5 * HALF_BYTES):
        content = bytes(number % 251 for number in range(size))
        kept, file = Kept(), tmp_path / "log"
        for start in range(0, size, 100_003):
            kept.add(content[start : start + 100_003])
        file.write_bytes(content)
        for one in (kept, Kept.of_file(file)):
            assert one.left_out_bytes == max(0, size - 2 * HALF_BYTES)
            if one.left_out_bytes:
                assert one.text().startswith(content[:HALF_BYTES].decode(errors="replace"))
                assert one.text().endswith(content[-HALF_BYTES:].decode(errors="replace"))
                assert f"[{one.left_out_bytes} bytes are left out here" in one.text()
            else:
                assert one.text() == content.decode(errors="replace")


def test_the_relay_keeps_order_and_never_waits() -> None:
    shown: list[tuple[str, str]] = []
    faults: list[object] = []

    def show(stream: str, text: str) -> None:
        if text == "bad":
            raise ValueError(text)
        shown.append((stream, text))

    async def go() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context["exception"]))
        relay = Relay(loop, show)
        for text in ("1", "bad", "2"):
            relay.push("stdout", text)
        await asyncio.sleep(0.01)
        # This loop is busy, and a tool prints without end.
        for _ in range(10):
            relay.push("stdout", "x" * 1_000_000)
        relay.push("stderr", "lost")
        relay.drain()

    asyncio.run(go())
    assert shown[:2] == [("stdout", "1"), ("stdout", "2")] and len(faults) == 1
    assert sum(len(text) for stream, text in shown if stream == "stdout") == 5_000_002
    assert shown[-1] == ("stderr", "\n[5000004 characters came too fast to be shown]\n")


def test_a_relay_to_a_loop_that_is_gone() -> None:
    async def make() -> Relay:
        return Relay(asyncio.get_running_loop(), lambda *_: None)

    relay = asyncio.run(make())
    relay.push("stdout", "x")
