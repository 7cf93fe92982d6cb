"""Starting, joining, waiting, stopping: each over real processes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import time
import uuid
from pathlib import Path

import psutil
import pytest

from dxforge.errors import ToolError, ToolStartError, ToolStopError, WriteError
from dxforge.orchestrator.launcher import refusal
from dxforge.orchestrator.process import Ended, peek, start_lock
from tests.support.processes import (
    SLEEPER,
    STUBBORN,
    Output,
    exists,
    launch,
    marked,
    python,
    run,
    session,
    sh,
    until_async,
)


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


# --------------------------------------------------------------------------------------------------------------- start
def test_it_runs_in_its_own_group_without_input_and_with_nothing_but_its_environment(tmp_path: Path) -> None:
    argv = python("""
import json
print(json.dumps({
    "pid": os.getpid(), "group": os.getpgrp(), "session": os.getsid(0), "parent": os.getppid(), "cwd": os.getcwd(),
    "stdin": sys.stdin.read(), "open": len(os.listdir("/proc/self/fd")), "env": dict(os.environ),
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "ignored": [int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
}))
""")

    async def story() -> None:
        async with session() as launcher:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # the session's own affair
            try:
                process, output = await run(launcher, tmp_path / "tool", argv, cwd=str(tmp_path), env={"A": "1 2"})
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            assert (await process.wait()).exit_code == 0
            said = json.loads(output.stdout)
            assert said["pid"] == said["group"] == process.pid
            assert said["session"] == said["parent"] == process.record.guard_pid
            assert said["cwd"] == str(tmp_path)
            assert said["stdin"] == ""
            assert said["open"] == 4  # 0, 1, 2 and the listing itself
            assert said["env"] in ({"A": "1 2"}, {"A": "1 2", "LC_CTYPE": "C.UTF-8"})
            assert said["blocked"] == []
            assert set(said["ignored"]) <= {signal.SIGPIPE, signal.SIGXFSZ}  # Python's own

    asyncio.run(story())


def test_arguments_and_variables_of_any_bytes(tmp_path: Path) -> None:
    odd = os.fsdecode(bytes(set(range(1, 256)) - {ord("=")}))
    argv = (
        *python("sys.stdout.buffer.write(b'|'.join([*map(os.fsencode, sys.argv[1:]), *os.environb.values()]))"),
        odd,
        "",
    )

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, env={odd: "value", "ONE": odd})
            assert (await process.wait()).exit_code == 0
            values = bytes(output.stdout).split(b"|value|")
            assert os.fsencode(odd) in values[-1]
            assert output.stdout.startswith(os.fsencode(odd) + b"||")
            assert b"value" in output.stdout

    asyncio.run(story())


@pytest.mark.parametrize(
    "changed", [{"argv": ()}, {"argv": ("/bin/true", "a\0b")}, {"env": {"A=B": ""}}, {"env": {"": ""}}, {"cwd": "\0"}]
)
def test_what_no_process_can_be_given(tmp_path: Path, changed: dict[str, object]) -> None:
    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match="no process can be given"):
                await launcher.start(launch(tmp_path, **{"argv": ("/bin/true",), **changed}), on_output=Output())
            assert launcher._forks.pid is None

    asyncio.run(story())


def _file(path: Path, content: str, mode: int = 0o755) -> str:
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: str(folder / "none"), r"there is no program .*none\. Install it"),
        (lambda folder: _file(folder / "f", "") + "/none", "there is no program"),
        (lambda folder: _file(folder / "f", "#!/bin/sh\n", 0o644), r"may not be executed. Make it executable \(chmod"),
        (str, "may not be executed"),
        (lambda folder: _file(folder / "f", "#!/no/such -x\n"), "run by /no/such -x, which is not there"),
        (lambda folder: _file(folder / "f", "echo hi\n"), "no program that this system can run"),
        (lambda folder: _file(folder / "f", ""), "no program that this system can run"),
    ],
)
def test_programs_that_cannot_be_executed(tmp_path: Path, mark: str, make: object, message: str) -> None:
    program = make(tmp_path)  # type: ignore[operator]

    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match=message) as caught:
                await run(launcher, tmp_path / "tool", (program,), mark=mark)
            assert caught.value.tool == "tool"
            assert peek(tmp_path / "tool") is None
            assert not marked(mark)
            await until_async(lambda: not launcher._connections)
            process, _ = await run(launcher, tmp_path / "tool", ("/bin/true",))  # the place is free at once
            assert (await process.wait()).exit_code == 0

    asyncio.run(story())


@pytest.mark.parametrize("cwd", ["none", "file"])
def test_a_folder_that_it_cannot_run_in(tmp_path: Path, cwd: str) -> None:
    (tmp_path / "file").write_text("")

    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match=r"cannot be run in .*\. Correct its cwd"):
                await run(launcher, tmp_path / "tool", ("/bin/true",), cwd=str(tmp_path / cwd))

    asyncio.run(story())


def test_too_long_a_command_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match="too long together"):
                await run(launcher, tmp_path, ("/bin/true", "x" * 3_000_000))

    asyncio.run(story())


def test_the_tools_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match="cannot be written: not a directory"):
                await run(launcher, tmp_path / "file" / "tool", ("/bin/true",))
            process, output = await run(launcher, tmp_path / "file" / "1", sh("echo hi"), shared=False)
            assert ((await process.wait()).lost_bytes, output.stdout) == (3, b"hi\n")

    asyncio.run(story())


def test_an_execution_that_leaves_nothing_on_disk(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            output = Output()
            order = launch(tmp_path, sh("echo hi"), shared=False)
            process = await launcher.start(
                type(order)(**{**{name: getattr(order, name) for name in order.__slots__}, "folder": None}),
                on_output=output,
            )
            assert (await process.wait()).exit_code == 0
            assert output.stdout == b"hi\n"

    asyncio.run(story())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["launcher", "fork", "folder", "alive", "record", "cwd", "exec"])
def test_every_refusal_says_what_and_what_to_do(tmp_path: Path, stage: str) -> None:
    for number in errno.errorcode:
        error = refusal(launch(tmp_path, ("/bin/true",)), stage, number)
        assert error.what and error.hint and not error.what.endswith(".") and not error.hint.endswith(".")


def test_cancelled_at_any_moment_no_start_leaves_a_process(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            cancelled = 0
            for step in range(40):
                folder = tmp_path / str(step % 3)
                start = asyncio.ensure_future(run(launcher, folder, SLEEPER, mark=mark, keep=step % 2 == 0))
                if step < 12:
                    for _ in range(step):  # so many turns of the loop
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(0.0003 * (step - 12))
                start.cancel()
                try:
                    process, _ = await start
                except asyncio.CancelledError:
                    cancelled += 1
                else:
                    await process.stop()
                assert not marked(mark)
                assert peek(folder) is None
            assert cancelled > 12

    asyncio.run(story())


def test_many_at_once(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            started = await asyncio.gather(*(run(launcher, tmp_path / str(n), SLEEPER, mark=mark) for n in range(30)))
            assert marked(mark) == {process.pid for process, _ in started}
            ended = await asyncio.gather(*(process.stop() for process, _ in started))
            assert {one.exit_code for one in ended} == {-signal.SIGTERM}
            assert not marked(mark)

    asyncio.run(story())


# ------------------------------------------------------------------------------------------------- wait, stop and leave
def test_how_it_ended(tmp_path: Path) -> None:
    argv = python("x = bytearray(40 << 20)\nn = 0\nwhile time.process_time() < 0.2: n += 1\nos.kill(os.getpid(), 6)")

    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, argv)
            waiters = [asyncio.ensure_future(process.wait()) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
            ended = await waiters[1]
            assert ended == await waiters[2] == await process.wait() == process.ended
            assert (ended.exit_code, ended.asked, ended.survivors, ended.lost_bytes) == (-6, False, 0, 0)
            assert 0.2 <= ended.cpu_s < 5.0
            assert 40 << 20 <= ended.max_memory_bytes < 100 << 20
            assert await process.stop() == ended  # too late is no fault
            assert await process.leave() is False

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_the_stop_signal_is_the_definitions(tmp_path: Path, number: int) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER, stop_signal=number)
            ended = await process.stop()
            assert (ended.exit_code, ended.asked) == (-number, True)

    asyncio.run(story())


def test_a_stop_that_is_cancelled_stops_all_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, STUBBORN, grace_s=0.5)
            await output.until(b"ready")
            stop = asyncio.ensure_future(process.stop())
            await asyncio.sleep(0.05)
            stop.cancel()
            assert (await process.wait()).exit_code == -signal.SIGKILL

    asyncio.run(story())


def test_the_last_owner_leaves(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER)
            assert await process.leave() is False
            assert process.ended is not None and process.ended.asked
            assert not exists(process.pid)

    asyncio.run(story())


def test_who_has_left_is_told_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher, session() as other:
            process, _ = await run(launcher, tmp_path, SLEEPER)
            joined = await other.attach(tmp_path, owner=True, on_output=Output())
            assert joined is not None
            waiting = asyncio.ensure_future(process.wait())
            assert await process.leave() is True
            for call in (waiting, process.wait(), process.stop()):
                with pytest.raises(ToolError, match="has left it"):
                    await call
            assert process.ended is None
            assert (await joined.stop()).exit_code == -signal.SIGTERM

    asyncio.run(story())


def test_a_closed_launcher_leaves_everything(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            await run(launcher, tmp_path / "one", SLEEPER, mark=mark)
            await run(launcher, tmp_path / "kept", SLEEPER, mark=mark, keep=True)
            pid = launcher._forks.pid
            await launcher.close()
            assert pid is not None and not psutil.pid_exists(pid)
        await until_async(lambda: peek(tmp_path / "one") is None)
        async with session() as launcher:
            process = await launcher.attach(tmp_path / "kept", owner=True, on_output=Output())
            assert process is not None
            assert marked(mark) == {process.pid}
            assert process.keeps
            await process.stop()

    asyncio.run(story())


def test_what_withstands_kill_is_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, STUBBORN, grace_s=60.0)
            await output.until(b"ready")
            # A process that cannot be killed cannot be had in a test: these are the guard's words for it.
            process.hear({"what": "stuck", "pids": [process.pid]})
            with pytest.raises(ToolStopError, match="still there after it was killed") as caught:
                await process.stop(grace_s=60.0)
            assert caught.value.pids == (process.pid,)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()

    asyncio.run(story())


# ------------------------------------------------------------------------------------------------------ attach and peek
def test_nothing_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            for folder in (tmp_path, tmp_path / "none"):
                assert peek(folder) is None
                assert await launcher.attach(folder, owner=True, on_output=Output()) is None
            assert launcher._forks.pid is None, "looking costs no process"

    asyncio.run(story())


def test_the_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER, digest="d1")
            record = peek(tmp_path)
            assert record == process.record
            assert record is not None and record.pid == process.pid
            assert (
                record.create_time
                == process.create_time
                == pytest.approx(psutil.Process(process.pid).create_time(), abs=2)
            )
            assert (record.digest, record.keep, record.owner_pids) == ("d1", False, (os.getpid(),))
            assert record.log_path == str(tmp_path / "log")
            assert stat.S_IMODE((tmp_path / "control").stat().st_mode) == 0o600
            await process.stop()
            assert not record.alive

    asyncio.run(story())


def test_a_tool_that_ends_at_once_has_been_started_all_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            for number in range(20):
                process, output = await run(launcher, tmp_path, sh(f"echo {number}; exit {number}"))
                assert process.record.start_ticks > 0
                assert (await process.wait()).exit_code == number
                assert output.stdout == f"{number}\n".encode()
                assert peek(tmp_path) is None

    asyncio.run(story())


def test_whoever_joins_while_it_ends_hears_the_end_or_finds_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher, session() as other:
            found: list[Ended | None] = []
            for delay in range(20):
                process, _ = await run(launcher, tmp_path, sh("exec sleep 0.02"))
                await asyncio.sleep(0.002 * delay)
                joined = await other.attach(tmp_path, owner=True, on_output=Output())
                ended = await process.wait()
                found.append(await joined.wait() if joined is not None else None)
                assert found[-1] in (None, ended)
            assert any(found) and not all(found)

    asyncio.run(story())


def test_many_peeks_do_not_hinder_a_start(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            busy = True

            def look() -> int:
                looks = 0
                while busy:
                    peek(tmp_path)
                    looks += 1
                return looks

            looking = [asyncio.ensure_future(asyncio.to_thread(look)) for _ in range(2)]
            try:
                for _ in range(5):
                    process, _ = await run(launcher, tmp_path, SLEEPER)
                    await process.stop()
            finally:
                busy = False
            assert min(await asyncio.gather(*looking)) > 10

    asyncio.run(story())


# ----------------------------------------------------------------------------------------------------------- start_lock
def test_one_start_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with start_lock(tmp_path / "new" / "tool"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async def story() -> None:
        await asyncio.gather(*(enter() for _ in range(5)))
        async with start_lock(tmp_path / "new" / "tool"):
            waiting = asyncio.ensure_future(enter())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await enter()

    asyncio.run(story())
    assert most == 1


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    async def story() -> None:
        async with start_lock(tmp_path):
            child = os.fork()
            if child == 0:
                signal.pause()
        try:
            async with asyncio.timeout(10.0), start_lock(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    asyncio.run(story())


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def story() -> None:
        with pytest.raises(WriteError, match="cannot be made"):
            async with start_lock(tmp_path / "file"):
                pass

    asyncio.run(story())


# -------------------------------------------------------------------------------------------------------- slow sessions
def test_what_a_slow_session_misses_is_counted_to_the_end(tmp_path: Path) -> None:
    script = "left = 20_000_000\nwhile left: left -= os.write(1, b'x' * min(left, 1 << 16))"

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, python(script), shared=False)
            time.sleep(1.0)  # noqa: ASYNC251 - this loop is busy until the tool has ended
            await process.wait()
            assert process.missed_bytes > 0
            assert len(output.stdout) + process.missed_bytes == 20_000_000

    asyncio.run(story())


def test_it_is_said_that_a_tool_is_on_its_way_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher, session() as other:
            process, output = await run(launcher, tmp_path, STUBBORN)
            await output.until(b"ready")
            heard = asyncio.Event()
            process.on_board = lambda _board: heard.set()
            looker = await other.attach(tmp_path, owner=False, on_output=Output())
            assert looker is not None and not looker.stopping and not process.stopping
            stopping = asyncio.create_task(looker.stop(grace_s=0.5))
            await heard.wait()
            assert process.stopping
            late = await other.attach(tmp_path, owner=True, on_output=Output())
            assert late is None or late.stopping
            assert (await stopping).asked and (await process.wait()).asked

    asyncio.run(story())
