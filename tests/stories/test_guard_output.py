"""A tool's output and its folder: any bytes, any amount, any path, and a disk that refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.errors import ToolStartError
from dxforge.orchestrator.logs import Ring, replay, tail
from dxforge.orchestrator.process import peek
from dxforge.orchestrator.record import guard_lives
from tests.support.processes import (
    SLEEPER,
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


def memory_bytes(pid: int) -> int:
    """Private memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)


def log_sizes(folder: Path) -> list[int]:
    """Of a log and those before it, in bytes."""
    return [path.stat().st_size for path in folder.glob("log*")]


def switches(pid: int) -> list[str]:
    """How often a process was woken up or put aside."""
    return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line]


# -------------------------------------------------------------------------------------------------------------- output
def test_any_bytes_and_lines_of_any_length(tmp_path: Path) -> None:
    argv = python("""
out = sys.stdout.buffer
out.write(b"x" * 200_000 + b"\\n" + bytes(range(256)) * 40 + b"\\r\\nend")
""")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, argv)
            ended = await process.wait()
            expected = b"x" * 200_000 + b"\n" + bytes(range(256)) * 40 + b"\r\nend"
            assert output.stdout == expected
            assert (tmp_path / "log").read_bytes() == expected
            assert ended.lost_bytes == process.missed_bytes == 0
            assert tail(tmp_path, 1) == ["end"]

    asyncio.run(story())


def test_an_executions_streams_are_kept_apart_and_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, tmp_path, sh("echo out; echo err >&2; exit 4"), shared=False)
            ended = await process.wait()
            assert (ended.exit_code, ended.asked, ended.survivors) == (4, False, 0)
            assert (output.stdout, output.stderr) == (b"out\n", b"err\n")
            assert (tmp_path / "stdout").read_bytes() == b"out\n"
            assert (tmp_path / "stderr").read_bytes() == b"err\n"
            assert not (tmp_path / "run.json").exists() and not (tmp_path / "control").exists()

    asyncio.run(story())


def test_an_execution_beyond_its_cap_keeps_beginning_and_end(tmp_path: Path) -> None:
    argv = python("sys.stdout.write('first\\n' + 'x' * 3_000_000 + '\\nlast\\n')")

    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, argv, shared=False, cap_bytes=1 << 20)
            ended = await process.wait()
            written = (tmp_path / "stdout").read_bytes()
            assert written.startswith(b"first\nxxx") and written.endswith(b"xxx\nlast\n")
            assert len(written) < (1 << 20) + 100
            assert ended.lost_bytes == 3_000_012 - (1 << 20)
            assert f"\n[{ended.lost_bytes} bytes are left out here]\n".encode() in written

    asyncio.run(story())


def test_a_tool_that_prints_without_end_is_neither_slowed_nor_gathered(tmp_path: Path, mark: str) -> None:
    async def story() -> None:
        async with session() as launcher, session() as other:
            seen = 0

            def count(_stream: str, piece: bytes) -> None:
                nonlocal seen
                seen += len(piece)

            process = await launcher.start(launch(tmp_path, ("/usr/bin/yes",), mark=mark), on_output=count)
            guard = process.record.guard_pid
            # This one joins and is then never served: its loop has other things to do, as far as the guard can see.
            mute = await other.attach(tmp_path, owner=True, on_output=lambda _stream, _piece: None)
            assert mute is not None
            mute._peer._transport.pause_reading()
            await until_async(lambda: process.missed_bytes > 100 << 20, "the guard waits for somebody")
            assert memory_bytes(guard) < 16 << 20
            mute._peer._transport.resume_reading()
            ended = await process.stop()
            assert max(log_sizes(tmp_path)) <= 2 << 20
            assert len(log_sizes(tmp_path)) == 4
            assert set(tail(tmp_path, 1000)[1:-1]) == {"y"}
            assert ended.exit_code == -15
            assert seen > 0 and ended.lost_bytes == 0

    asyncio.run(story())


def test_a_tool_may_close_its_output_and_live_on(tmp_path: Path, mark: str) -> None:
    argv = python("os.close(1); os.close(2); time.sleep(300)")

    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, argv, mark=mark)
            await until_async(lambda: not os.path.exists(f"/proc/{process.pid}/fd/1"))
            await asyncio.sleep(0.2)
            before = switches(process.record.guard_pid)
            await asyncio.sleep(0.5)
            assert switches(process.record.guard_pid) == before, "the guard wakes up for nothing"
            assert process.ended is None
            assert (await process.stop()).exit_code == -15

    asyncio.run(story())


def test_somebody_else_holds_its_output(tmp_path: Path, mark: str) -> None:
    # A process that is no descendant got hold of its stdout: its end is not waited for.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        argv = python(f"""
import socket
s = socket.socket(socket.AF_UNIX)
s.connect({str(tmp_path / "s")!r})
socket.send_fds(s, [b"x"], [1])
print("last words", flush=True)
""")

        async def story() -> None:
            async with session() as launcher:
                process, output = await run(launcher, tmp_path / "tool", argv, mark=mark)
                with listener.accept()[0] as connection:
                    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
                    ended = await process.wait()
                    assert (ended.exit_code, ended.survivors) == (0, 0)
                    assert output.stdout == b"last words\n"
                    os.close(descriptors[0])

        asyncio.run(story())


def test_whoever_joins_late_sees_all_of_the_log_once(tmp_path: Path) -> None:
    argv = python("n = 0\nwhile True:\n    print(n, flush=True)\n    n += 1\n    time.sleep(0.0005)")

    async def story() -> None:
        async with session() as mine, session() as other:
            process, _ = await run(mine, tmp_path, argv, log_bytes=4096, log_files=3)
            await until_async((tmp_path / "log.2").exists)
            for _ in range(5):
                ring = Ring(100_000)
                pieces: list[bytes] = []
                joined = await other.attach(
                    tmp_path, owner=False, on_output=lambda _s, p, pieces=pieces: pieces.append(p)
                )
                assert joined is not None
                await asyncio.sleep(0.05)
                replay(tmp_path, ring, mark=joined.log_mark)
                for piece in pieces:
                    ring.feed(piece)
                numbers = [int(line) for line in ring.lines()[1:-1]]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                assert len(numbers) > 100
                joined._peer.close()
            await process.stop()

    asyncio.run(story())


def test_a_fault_of_who_listens_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["exception"]))

        def listen(_stream: str, _piece: bytes) -> None:
            raise RuntimeError("mine")

        async with session() as launcher:
            process = await launcher.start(launch(tmp_path, sh("echo a")), on_output=listen)
            assert (await process.wait()).exit_code == 0
        assert [str(fault) for fault in faults] == ["mine"]

    asyncio.run(story())


# -------------------------------------------------------------------------------------------------- a disk that refuses
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill_up(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "fill").open("wb", buffering=0) as fill:
        while True:
            fill.write(b"x" * 4096)


def test_a_full_disk_costs_output_only(small_disk: Path) -> None:
    argv = python("sys.stdout.write('x' * 1_000_000); sys.stdout.flush(); print('end'); sys.exit(6)")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, small_disk / "tool", argv)
            ended = await process.wait()
            kept = (small_disk / "tool" / "log").stat().st_size
            assert ended.exit_code == 6
            assert 0 < kept <= 256 << 10
            assert kept + ended.lost_bytes == 1_000_004
            assert len(output.stdout) + process.missed_bytes == 1_000_004

            fill_up(small_disk)
            process, output = await run(launcher, small_disk / "run", sh("echo hi; exit 5"), shared=False)
            ended = await process.wait()
            assert (ended.exit_code, ended.lost_bytes, output.stdout) == (5, 3, b"hi\n")
            with pytest.raises(ToolStartError, match="cannot be written: no space left"):
                await run(launcher, small_disk / "other", SLEEPER)
            assert not guard_lives(small_disk / "other")

    asyncio.run(story())


def test_a_disk_that_becomes_read_only_costs_output_only(small_disk: Path, mark: str) -> None:
    argv = sh("echo before; read line <'%s'; echo after; exec sleep 300")

    async def story() -> None:
        pipe = small_disk.parent / "pipe"
        os.mkfifo(pipe)
        async with session() as launcher:
            process, output = await run(
                launcher, small_disk / "t", tuple(w.replace("%s", str(pipe)) for w in argv), mark=mark
            )
            await output.until(b"before")
            # Files that are open for writing forbid it, but for a forced one: what a broken disk does.
            subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=False, capture_output=True)
            pipe.write_text("go\n")
            await output.until(b"after")
            assert (await process.stop()).exit_code == -15
            assert not marked(mark)

    asyncio.run(story())


def test_a_read_only_folder(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    async def story() -> None:
        async with session() as launcher:
            with pytest.raises(ToolStartError, match="read-only file system"):
                await run(launcher, small_disk / "tool", SLEEPER)
            process, output = await run(launcher, small_disk / "run", sh("echo hi"), shared=False)
            assert (await process.wait()).lost_bytes == 3
            assert output.stdout == b"hi\n"

    asyncio.run(story())


def test_a_limit_on_the_size_of_files_costs_output_only(tmp_path: Path) -> None:
    async def story() -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        async with session() as launcher:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
            try:
                process, _ = await run(launcher, tmp_path, python("sys.stdout.write('x' * 300_000)"))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            ended = await process.wait()
            assert (ended.exit_code, ended.lost_bytes, ended.fault) == (0, 200_000, "")

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_something_else_stands_where_the_log_should_be(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "tool"
    folder.mkdir()
    if kind == "folder":
        (folder / "log").mkdir()
    elif kind == "pipe":
        os.mkfifo(folder / "log")
    else:
        (tmp_path / "precious").write_text("mine")
        (folder / "log").symlink_to(tmp_path / "precious")

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, folder, sh("echo hi"))
            ended = await process.wait()
            assert (ended.exit_code, ended.lost_bytes, output.stdout) == (0, 3, b"hi\n")

    asyncio.run(story())
    assert kind != "link" or (tmp_path / "precious").read_text() == "mine"


def test_the_folder_is_removed_while_the_tool_runs(tmp_path: Path, mark: str) -> None:
    folder = tmp_path / "tool"

    async def story() -> None:
        async with session() as launcher:
            process, output = await run(launcher, folder, sh("sleep 0.5; echo hi; exec sleep 300"), mark=mark)
            subprocess.run(["rm", "-rf", str(folder)], check=True)
            assert peek(folder) is None
            await output.until(b"hi")
            process.post({"state": "healthy"})
            assert (await process.stop()).exit_code == -15
            assert not marked(mark)

    asyncio.run(story())
