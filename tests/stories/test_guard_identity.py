"""Who a guard is and who may believe it: records, names, several guards, and what happens when the machine is out of
something.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.errors import ToolError, ToolStartError
from dxforge.orchestrator.guard import system
from dxforge.orchestrator.process import Launcher, peek
from dxforge.orchestrator.record import guard_lives, is_running
from tests.support.processes import SLEEPER, Output, exists, marked, owner, run, session, sh, until, until_async


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


# ------------------------------------------------------------------------------------------------- records and identity
def test_a_record_is_believed_only_with_its_guard(tmp_path: Path, mark: str) -> None:
    with owner() as one:
        one.start(tmp_path, SLEEPER, mark=mark, ready=False, keep=True)
        record = json.loads((tmp_path / "run.json").read_text())
        one.kill()
    # Its guard writes the record once more when the owner goes.
    until(lambda: not json.loads((tmp_path / "run.json").read_text())["owner_pids"])
    try:
        found = peek(tmp_path)
        assert found is not None and found.alive and found.guarded
        assert 0.0 <= found.uptime_s() < 3600.0

        def forge(**changed: object) -> bool:
            (tmp_path / "run.json").write_text(json.dumps({**record, **changed}))
            return peek(tmp_path) is not None

        assert forge()
        assert forge(create_time=record["create_time"] - 86_400.0, started=0.0), "the clock was set"
        assert forge(new_key=1)
        assert not forge(pid=os.getpid()), "another process has the number"
        assert not forge(start_ticks=record["start_ticks"] + 1)
        assert not forge(pid=2**22 + 1)
        assert not forge(boot_id="before")
        assert not forge(guard_pid=os.getpid())
        (tmp_path / "run.json").write_text("{")
        assert peek(tmp_path) is None
        (tmp_path / "run.json").write_text("[]")
        assert peek(tmp_path) is None
        assert forge()
    finally:
        os.kill(record["pid"], 9)
    until(lambda: not guard_lives(tmp_path))
    assert not (tmp_path / "run.json").exists()


def test_what_a_killed_guard_has_left_on_disk_is_not_believed(tmp_path: Path, mark: str) -> None:
    with owner() as one:
        said = one.start(tmp_path, SLEEPER, mark=mark, ready=False, keep=True)
        one.kill()
        os.kill(said["guard_pid"], 9)
    until(lambda: not exists(said["pid"]), "the kernel does not end the tool with its guard")
    assert (tmp_path / "run.json").exists() and (tmp_path / "control").is_socket()
    assert peek(tmp_path) is None

    async def next_session() -> None:
        async with session() as launcher:
            assert await launcher.attach(tmp_path, owner=True, on_output=Output()) is None
            process, _ = await run(launcher, tmp_path, SLEEPER, mark=mark)
            assert peek(tmp_path) == process.record
            joined = await launcher.attach(tmp_path, owner=True, on_output=Output())
            assert joined is not None and joined.pid == process.pid
            await process.stop()

    asyncio.run(next_session())


def test_a_zombie_does_not_run(tmp_path: Path) -> None:
    child = subprocess.Popen(["/bin/sleep", "300"])
    ticks, born = system.start_ticks(child.pid), system.create_time(child.pid)
    assert is_running(child.pid, ticks, born, system.boot_id())
    child.kill()
    until(lambda: system.is_zombie(child.pid))
    assert not is_running(child.pid, ticks, born, system.boot_id())
    child.wait()


def test_one_guard_per_folder(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher, session() as other:
            process, _ = await run(launcher, tmp_path, SLEEPER, mark=mark)
            with pytest.raises(ToolStartError, match="runs already"):
                await run(other, tmp_path, SLEEPER, mark=mark)
            assert marked(mark) == {process.pid}
            assert peek(tmp_path) == process.record
            await process.stop()

    asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    [
        "a" * 100,
        "x.y_z-1",
        "…/ünï/日本",
        "with space/'quote\"$(x)\n",
        os.fsdecode(b"caf\xe9/x"),
        "d" * 200 + "/" + "e" * 200,
    ],
)
def test_projects_and_tools_of_any_name(tmp_path: Path, mark: str, name: str) -> None:
    folder = tmp_path / name / "tool"

    async def story() -> None:
        async with session() as launcher, session() as other:
            process, output = await run(
                launcher, folder, sh("pwd; exec sleep 300"), mark=mark, cwd=str(tmp_path / name)
            )
            await output.until(os.fsencode(name))
            joined = await other.attach(folder, owner=False, on_output=Output())
            assert joined is not None and joined.record == peek(folder) == process.record
            assert joined.record.log_path == str(folder / "log")
            await joined.stop()

    (tmp_path / name).mkdir(parents=True)
    asyncio.run(story())


def test_a_guard_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr("dxforge.orchestrator.process._ATTACH_S", 0.3)

    async def story() -> None:
        with (tmp_path / "alive").open("w") as alive, socket.socket(socket.AF_UNIX) as mute:
            fcntl.flock(alive, fcntl.LOCK_EX)
            async with session() as launcher:
                with pytest.raises(ToolError, match="has not answered"):
                    await launcher.attach(tmp_path, owner=True, on_output=Output())
                mute.bind(str(tmp_path / "control"))
                mute.listen()
                with pytest.raises(ToolError, match="has not answered"):
                    await launcher.attach(tmp_path, owner=True, on_output=Output())
                assert not launcher._connections

    asyncio.run(story())


# ----------------------------------------------------------------------------------------------------- scarce resources
def test_no_descriptor_is_free(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path / "first", SLEEPER, mark=mark)
            with few_descriptors(free=0):
                with pytest.raises(ToolStartError, match="too many open files") as caught:
                    await run(launcher, tmp_path / "second", SLEEPER, mark=mark)
                assert "ulimit" in caught.value.hint
            outcomes = set()
            for free in range(8):  # whichever step it fails at
                with few_descriptors(free=free):
                    try:
                        second, _ = await run(launcher, tmp_path / "second", SLEEPER, mark=mark)
                        outcomes.add("started")
                        joined = await launcher.attach(tmp_path / "first", owner=False, on_output=Output())
                        outcomes.add("joined")
                        assert joined is not None
                        joined._peer.close()
                    except ToolError as error:
                        outcomes.add(error.kind)
                if "started" in outcomes:
                    await second.stop()
                assert marked(mark) == {process.pid}
            assert outcomes == {"ToolStartError", "started", "ToolError", "joined"}
            await process.stop()

    asyncio.run(story())


def test_two_hundred_starts_leave_nothing_behind(tmp_path: Path) -> None:
    before = _children(os.getpid())

    def descriptors(pid: int | str) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    async def story() -> None:
        async with session() as launcher:
            await _start_and_wait(launcher, tmp_path / "0")
            pid = launcher._forks.pid
            assert pid is not None
            mine, its = descriptors("self"), descriptors(pid)
            for number in range(1, 200):
                await _start_and_wait(launcher, tmp_path / str(number % 7))
            until(lambda: not _children(pid), "the launcher does not reap")
            await until_async(lambda: descriptors("self") <= mine, "descriptors are left open")
            assert descriptors(pid) == its
            assert not launcher._connections

    asyncio.run(story())
    assert _children(os.getpid()) == before  # a server that other tests share


def test_the_launcher_itself_finds_no_descriptor(tmp_path: Path, mark: str) -> None:
    before = _children(os.getpid())

    async def story() -> None:
        for free in range(8):
            async with session() as launcher:
                try:
                    with few_descriptors(free=free):
                        process, _ = await run(launcher, tmp_path / str(free), SLEEPER, mark=mark)
                except ToolStartError:
                    assert not marked(mark)
                    continue
                await process.stop()

    asyncio.run(story())
    assert not marked(mark)
    assert _children(os.getpid()) == before  # a server that other tests share


def test_no_process_can_be_had(tmp_path: Path, mark: str) -> None:
    room = Path("/sys/fs/cgroup/pids") / f"dx-few-{os.getpid()}"
    try:
        room.mkdir()
        (room / "pids.max").write_text("max")
    except OSError:
        pytest.skip("no cgroup to limit the number of processes with")

    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path / "first", SLEEPER, mark=mark)
            (room / "cgroup.procs").write_text(str(launcher._forks.pid))
            for most in ("1", "2"):  # no guard; a guard, but no tool
                (room / "pids.max").write_text(most)
                with pytest.raises(ToolStartError, match="no process could be made for it") as caught:
                    await run(launcher, tmp_path / "second", SLEEPER, mark=mark)
                assert "ulimit -u" in caught.value.hint
                assert marked(mark) == {process.pid}
                assert not guard_lives(tmp_path / "second")
                await until_async(lambda: len((room / "cgroup.procs").read_text().split()) == 1)
            (room / "pids.max").write_text("max")
            second, _ = await run(launcher, tmp_path / "second", SLEEPER, mark=mark)
            await asyncio.gather(process.stop(), second.stop())

    try:
        asyncio.run(story())
    finally:
        until(lambda: not (room / "cgroup.procs").read_text())
        room.rmdir()


@contextlib.contextmanager
def few_descriptors(*, free: int) -> Iterator[None]:
    """In this process only ``free`` descriptors can still be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 10, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/", os.O_RDONLY))
        for _ in range(free):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in held:
            os.close(descriptor)


async def _start_and_wait(launcher: Launcher, folder: Path) -> None:
    process, _ = await run(launcher, folder, ("/bin/true",))
    assert (await process.wait()).exit_code == 0
    assert peek(folder) is None


def _children(pid: int) -> list[str]:
    return [child for task in os.listdir(f"/proc/{pid}/task") for child in
            Path(f"/proc/{pid}/task/{task}/children").read_text().split()]  # fmt: skip
