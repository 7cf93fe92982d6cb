"""Whatever happens to sessions, guards and tools: what nobody wants is gone, and what somebody wants goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import ToolStopError
from dxforge.orchestrator import record
from dxforge.orchestrator.guard.system import boot_id, create_time, start_ticks
from dxforge.orchestrator.process import peek
from dxforge.orchestrator.record import guard_lives
from tests.support.processes import (
    BOMB,
    CHAIN,
    DAEMONS,
    FAMILY,
    SLEEPER,
    STUBBORN,
    Output,
    exists,
    marked,
    owner,
    python,
    run,
    session,
    sh,
    until,
    until_async,
)


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


# ------------------------------------------------------------------------------------------------- kill -9 of the owner
@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(FAMILY, id="grandchildren"),
        pytest.param(STUBBORN, id="TERM ignored"),
        pytest.param(DAEMONS, id="daemons"),
        pytest.param(BOMB, id="fifty children"),
        pytest.param(CHAIN, id="never stops forking"),
    ],
)
def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path, mark: str, argv: tuple[str, ...]) -> None:
    with owner() as one:
        said = one.start(tmp_path / "tool", argv, mark=mark)
        assert said["pid"] in marked(mark) or argv is CHAIN
        one.kill()
        until(lambda: not exists(said["guard_pid"]), "the guard does not end")
    assert not marked(mark)
    assert peek(tmp_path / "tool") is None
    assert not guard_lives(tmp_path / "tool")
    assert sorted(path.name for path in (tmp_path / "tool").iterdir()) == ["alive", "log"]


def test_an_owner_that_has_forked_is_dead_all_the_same(tmp_path: Path, mark: str) -> None:
    # A child by multiprocessing's fork holds copies of all sockets: no end of file is to be seen.
    with owner() as one:
        said = one.start(tmp_path / "tool", FAMILY, mark=mark)
        launcher, child = one.ask("launcher"), one.ask("fork")
        try:
            one.kill()
            until(lambda: not exists(said["guard_pid"]), "the guard does not end")
            until(lambda: not exists(launcher), "the launcher does not end")
            assert exists(child)
            assert not marked(mark)
        finally:
            os.kill(child, signal.SIGKILL)


# --------------------------------------------------------------------------------------- kill -9 of launcher and guard
def test_tools_do_not_notice_that_their_launcher_is_killed(tmp_path: Path, mark: str) -> None:
    with owner() as one:
        first = one.start(tmp_path / "first", SLEEPER, mark=mark, ready=False)
        launcher = one.ask("launcher")
        os.kill(launcher, signal.SIGKILL)
        until(lambda: not exists(launcher))
        second = one.start(tmp_path / "second", SLEEPER, mark=mark, ready=False)
        assert one.ask("launcher") != launcher
        assert marked(mark) == {first["pid"], second["pid"]}
        assert one.ask("attach", folder=str(tmp_path / "first"), owner=False)["pid"] == first["pid"]
        one.kill()
        until(lambda: not marked(mark), "tools are left")


def test_a_launcher_that_hangs_does_not_hang_what_is_cancelled(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            first, _ = await run(launcher, tmp_path / "first", SLEEPER, mark=mark)
            assert launcher._forks.pid is not None
            os.kill(launcher._forks.pid, signal.SIGSTOP)
            start = asyncio.create_task(run(launcher, tmp_path / "second", SLEEPER, mark=mark))
            await asyncio.sleep(0.2)
            start.cancel()
            os.kill(launcher._forks.pid, signal.SIGCONT)
            with pytest.raises(asyncio.CancelledError):
                await start
            assert marked(mark) == {first.pid}
            await first.stop()

    asyncio.run(story())


@pytest.mark.parametrize("with_launcher", [False, True])
def test_the_owner_sweeps_what_a_killed_guard_leaves(tmp_path: Path, mark: str, with_launcher: bool) -> None:
    async def story() -> None:
        async with session() as launcher:
            # Without their launcher, what has left the guard's session cannot be found any more.
            process, output = await run(launcher, tmp_path, FAMILY if with_launcher else DAEMONS, mark=mark)
            await output.until(b"ready")
            if with_launcher:
                assert launcher._forks.pid is not None
                os.kill(launcher._forks.pid, signal.SIGKILL)
            os.kill(process.record.guard_pid, signal.SIGKILL)
            ended = await process.wait()
            assert ended.fault == "its guard was killed"
            assert ended.exit_code == -signal.SIGKILL
            assert not ended.asked
            await until_async(lambda: not marked(mark), "something is left")
            assert peek(tmp_path) is None
            again, _ = await run(launcher, tmp_path, SLEEPER, mark=mark)
            assert peek(tmp_path) == again.record
            await again.stop()

    asyncio.run(story())


def record_of(guard_pid: int) -> record.RunRecord:
    ticks, created = start_ticks(guard_pid), create_time(guard_pid)
    return record.RunRecord(
        pid=guard_pid, start_ticks=ticks, create_time=created, boot_id=boot_id(), guard_pid=guard_pid,
        guard_start_ticks=ticks, guard_create_time=created, started=created,
    )  # fmt: skip


def test_a_guard_that_dies_while_its_owner_looks(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look = record._session_members

    def die_meanwhile(of: record.RunRecord) -> set[int]:
        seen = look(of)  # with the guard there, nobody else counts
        with contextlib.suppress(ProcessLookupError):
            os.kill(of.guard_pid, signal.SIGKILL)
        until(lambda: not of.guarded, "the guard did not die")
        return seen

    env = {**os.environ, "DX_TEST_MARK": mark}
    with subprocess.Popen(FAMILY, env=env, start_new_session=True, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None and guard.stdout.readline() == b"ready\n"
        monkeypatch.setattr(record, "_session_members", die_meanwhile)
        killed = asyncio.run(record.sweep_session(record_of(guard.pid)))
    assert killed >= 4
    assert not marked(mark)


# ------------------------------------------------------------------------------------------------------------ stopping
def test_term_is_ignored(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, STUBBORN, mark=mark)
            await output.until(b"ready")
            ended = await process.stop()
            assert (ended.exit_code, ended.asked) == (-signal.SIGKILL, True)
            assert not marked(mark)

    asyncio.run(story())


def test_a_tool_may_take_its_time_to_stop(tmp_path: Path, mark: str) -> None:
    argv = sh("trap 'echo bye; sleep 0.3; exit 7' TERM; echo ready; while :; do sleep 0.05; done")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark, grace_s=20.0)
            await output.until(b"ready")
            ended = await process.stop()
            assert (ended.exit_code, ended.survivors) == (7, 0)
            assert output.stdout.endswith(b"bye\n")

    asyncio.run(story())


def test_a_second_stop_may_be_more_impatient(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, STUBBORN, mark=mark, grace_s=3600.0)
            await output.until(b"ready")
            patient = asyncio.create_task(process.stop())
            await asyncio.sleep(0.1)
            assert exists(process.pid)
            ended = await process.stop(grace_s=0.0)
            assert await patient == ended
            assert not marked(mark)

    asyncio.run(story())


def test_a_tool_that_is_stopped_by_a_signal_still_gets_its_chance(tmp_path: Path, mark: str) -> None:
    argv = sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark, grace_s=20.0)
            await output.until(b"ready")
            os.kill(process.pid, signal.SIGSTOP)
            assert (await process.stop()).exit_code == 5

    asyncio.run(story())


@pytest.mark.parametrize("argv", [DAEMONS, BOMB, CHAIN], ids=["daemons", "fifty children", "never stops forking"])
def test_everything_is_gone_when_stop_returns(tmp_path: Path, mark: str, argv: tuple[str, ...]) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark)
            await output.until(b"ready")
            ended = await process.stop()
            assert not marked(mark)
            assert ended.asked

    asyncio.run(story())


def test_the_leader_exits_and_leaves_children(tmp_path: Path, mark: str) -> None:
    # They hold its stdout too: neither the end of the pipe nor the children may be waited for in vain.
    argv = python("""
for _ in range(3):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(300)
if os.fork() == 0:
    os.setsid()
    time.sleep(300)
print("done", flush=True)
sys.exit(3)
""")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark)
            ended = await process.wait()
            assert (ended.exit_code, ended.asked, ended.survivors) == (3, False, 4)
            assert output.stdout == b"done\n"
            assert not marked(mark)

    asyncio.run(story())


def test_a_descendant_may_end_in_its_own_way_after_the_leader(tmp_path: Path, mark: str) -> None:
    argv = sh("(trap 'echo closed; exit 0' TERM; while :; do sleep 0.05; done) & sleep 0.2; exit 0")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark, grace_s=20.0)
            ended = await process.wait()
            assert ended.exit_code == 0 and ended.survivors >= 1
            assert output.stdout.endswith(b"closed\n")

    asyncio.run(story())


def test_a_bomb_that_grows_as_fast_as_it_can(tmp_path: Path, mark: str) -> None:
    # Bounded by a cgroup, which it enters itself before it begins: it must never take the machine along.
    room = Path("/sys/fs/cgroup/pids") / f"dx-test-{os.getpid()}"
    try:
        room.mkdir()
        (room / "pids.max").write_text("60")
    except OSError:
        pytest.skip("no cgroup to bound it")
    argv = python(f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with open({str(room / "cgroup.procs")!r}, "w") as procs:
    procs.write(str(os.getpid()))
print("ready", flush=True)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        time.sleep(0.001)
""")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv, mark=mark)
            await output.until(b"ready")
            await until_async(lambda: len((room / "cgroup.procs").read_text().split()) == 60)
            await process.stop()
            assert not marked(mark)

    try:
        asyncio.run(story())
    finally:
        until(lambda: not (room / "cgroup.procs").read_text())
        room.rmdir()


@pytest.mark.slow
def test_what_withstands_kill_is_reported_and_killed_in_the_end(tmp_path: Path) -> None:
    freezer = Path("/sys/fs/cgroup/freezer") / f"dx-test-{os.getpid()}"
    try:
        freezer.mkdir()
        (freezer / "freezer.state").write_text("THAWED")
    except OSError:
        pytest.skip("no cgroup freezer to be had")
    try:
        asyncio.run(_freeze(tmp_path, freezer))
    finally:
        (freezer / "freezer.state").write_text("THAWED")
        until(lambda: not (freezer / "cgroup.procs").read_text())
        freezer.rmdir()


async def _freeze(folder: Path, freezer: Path) -> None:
    async with session() as launcher:
        process, _ = await run(launcher, folder, SLEEPER, grace_s=0.1)
        (freezer / "cgroup.procs").write_text(str(process.pid))
        (freezer / "freezer.state").write_text("FROZEN")
        with pytest.raises(ToolStopError) as caught:
            await process.stop()
        assert caught.value.pids == (process.pid,)
        assert process.ended is None
        (freezer / "freezer.state").write_text("THAWED")
        await until_async(lambda: process.ended)
        assert (await process.wait()).asked


# ---------------------------------------------------------------------------------------------------- several sessions
def test_two_owners(tmp_path: Path, mark: str) -> None:
    folder = tmp_path / "tool"
    with owner() as one, owner() as two:
        said = one.start(folder, FAMILY, mark=mark)
        assert two.ask("attach", folder=str(folder), owner=True)["pid"] == said["pid"]
        until(lambda: set(found.owner_pids) == {one.pid, two.pid} if (found := peek(folder)) else None)
        one.kill()
        until(lambda: found.owner_pids == (two.pid,) if (found := peek(folder)) else None)
        assert exists(said["pid"])
        two.kill()
        until(lambda: not exists(said["guard_pid"]), "the guard does not end")
    assert not marked(mark)


def test_an_owner_leaves_and_another_goes_on(tmp_path: Path, mark: str) -> None:
    folder = str(tmp_path)
    with owner() as one, owner() as two:
        one.start(tmp_path, FAMILY, mark=mark)
        two.ask("attach", folder=folder, owner=True)
        assert one.ask("leave", folder=folder) is True
        assert marked(mark)
        assert two.ask("leave", folder=folder) is False
        assert not marked(mark)


def test_whoever_looks_on_keeps_nothing_alive(tmp_path: Path, mark: str) -> None:
    with owner() as one, owner() as two:
        one.start(tmp_path, FAMILY, mark=mark)
        two.ask("attach", folder=str(tmp_path), owner=False)
        one.kill()
        until(lambda: not marked(mark), "tools are left")


def test_a_kept_tool_is_adopted_by_the_next_session(tmp_path: Path, mark: str) -> None:
    folder = tmp_path / "tool"
    with owner() as one:
        said = one.start(folder, FAMILY, mark=mark, keep=True, digest="abc")
        one.ask("post", folder=str(folder), board={"state": "healthy"})
        until(lambda: found.board == {"state": "healthy"} if (found := peek(folder)) else None)
        one.kill()
    until(lambda: found.owner_pids == () if (found := peek(folder)) else None)

    async def next_session() -> None:
        async with session() as launcher:
            output = Output()
            process = await launcher.attach(folder, owner=True, on_output=output)
            assert process is not None
            assert (process.pid, process.record.digest) == (said["pid"], "abc")
            assert process.board == {"state": "healthy"}
            assert await process.leave() is True
            assert exists(said["pid"])

    async def last_session() -> None:
        async with session() as launcher:
            process = await launcher.attach(folder, owner=True, on_output=Output())
            assert process is not None
            process.keep(keep=False)
            assert await process.leave() is False

    asyncio.run(next_session())
    asyncio.run(last_session())
    assert not marked(mark)
    assert peek(folder) is None


def test_the_board_is_shared(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as mine, session() as other:
            process, _ = await run(mine, tmp_path, SLEEPER, mark=mark)
            joined = await other.attach(tmp_path, owner=False, on_output=Output())
            assert joined is not None
            heard: list[Any] = []
            joined.on_board = heard.append
            process.on_board = lambda _board: pytest.fail("one's own words come back")
            process.post({"state": "healthy", "detail": "ü"})
            await until_async(lambda: heard == [{"state": "healthy", "detail": "ü"}])
            joined.post({"state": "spoilt"})  # whoever only looks on has no say
            late = await other.attach(tmp_path, owner=True, on_output=Output())
            assert late is not None
            assert late.board == {"state": "healthy", "detail": "ü"}
            ended = await late.stop()
            assert await process.wait() == await joined.wait() == ended

    asyncio.run(story())
