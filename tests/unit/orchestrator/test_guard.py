"""The guard's parts, one by one; what it does as a whole is in ``tests/stories/test_guard.py``."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dxforge.errors import ToolStartError
from dxforge.orchestrator import guard
from dxforge.orchestrator.guard import system
from dxforge.orchestrator.guard.beginning import listen, take_lock
from dxforge.orchestrator.guard.client import peer_of
from dxforge.orchestrator.guard.wire import FRAME_BYTES, NOTE, STDOUT, Frames, frame, note
from dxforge.orchestrator.process import peek
from tests.support.processes import SLEEPER, Output, exists, python, run, session

FOLDER = Path(guard.__file__).parent


# ----------------------------------------------------------------------------------------------------- what it imports
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.py")))
def test_the_guard_imports_the_standard_library_and_itself_only(file: str) -> None:
    tree = ast.parse((FOLDER / file).read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("dxforge.orchestrator.guard.")


def test_a_guard_loads_neither_dxforge_nor_site_packages() -> None:
    script = f"""
import runpy, sys
main = runpy.run_path({str(FOLDER / "__main__.py")!r})
main["name_packages"]()
import dxforge.orchestrator.guard.launcher
print(sorted(name for name in sys.modules if name.startswith("dxforge")))
print([name for name in ("typing", "asyncio", "subprocess", "dataclasses", "site") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    modules, heavy = map(ast.literal_eval, done.stdout.splitlines())
    assert [name for name in modules if not name.startswith("dxforge.orchestrator.guard")] == [
        "dxforge",
        "dxforge.orchestrator",
    ]
    assert set(heavy) <= {"typing"}, "runpy itself may need it"


# ------------------------------------------------------------------------------------------------------------ the wire
def test_frames_arrive_in_any_pieces() -> None:
    sent = [(STDOUT, b""), (STDOUT, b"x" * 1000), (NOTE, b'{"what":"x"}')]
    data = b"".join(frame(*one) for one in sent)
    for size in (1, 2, 3, 7, 100, len(data)):
        frames = Frames()
        found = [one for start in range(0, len(data), size) for one in frames.feed(data[start : start + size])]
        assert found == sent


def test_a_frame_that_is_too_long_is_refused_before_it_is_gathered() -> None:
    with pytest.raises(ValueError, match=str(FRAME_BYTES + 1)):
        Frames().feed(b"n" + (FRAME_BYTES + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "nonsense", [b"\xff" * 10, frame(NOTE, b"{"), frame(NOTE, b"\xff"), frame(NOTE, b"[]"), note(do="stop")]
)
def test_whoever_talks_nonsense_is_hung_up_on(tmp_path: Path, nonsense: bytes) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER)
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
            writer.write(nonsense)
            if nonsense[0] == 255:
                writer.write_eof()
            await reader.read()
            writer.close()
            assert process.ended is None and exists(process.pid)
            await process.stop()

    asyncio.run(story())


def test_a_guard_that_fails_takes_its_tool_along_and_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            argv = python("os.fork(); print('ready', flush=True); time.sleep(300)")
            process, output = await run(launcher, tmp_path, argv, grace_s="a moment")
            await output.until(b"ready")
            ended = await process.stop()
            assert "TypeError" in ended.fault
            assert not exists(process.pid)
            assert peek(tmp_path) is None
            assert sorted(os.listdir(tmp_path)) == ["alive", "log"]
            with pytest.raises(ToolStartError, match="guard has failed: TypeError"):
                await run(launcher, tmp_path, SLEEPER, cap_bytes="much", shared=False)

    asyncio.run(story())


# ---------------------------------------------------------------------------------------------------------- the kernel
def test_a_process_is_known_as_psutil_knows_it() -> None:
    me = psutil.Process()
    assert system.create_time(me.pid) == me.create_time()
    table = system.process_table()
    assert table[me.pid].parent == me.ppid()
    assert table[me.pid].group == os.getpgrp()
    assert system.start_ticks(me.pid) > 0
    assert system.start_ticks(2**22 + 1) == 0
    assert not system.is_zombie(me.pid) and not system.is_zombie(2**22 + 1)
    assert len(system.boot_id()) == 36


def test_descendants_are_found_by_parents() -> None:
    table = {pid: system.Member(parent, 0, "S") for pid, parent in ((2, 1), (3, 2), (4, 2), (5, 4), (6, 1), (7, 7))}
    assert sorted(system.descendants(2, table)) == [3, 4, 5]
    assert sorted(system.descendants(1, table)) == [2, 3, 4, 5, 6]
    assert sorted(system.descendants(1, table, frozenset({2}))) == [6]
    assert sorted(system.descendants(7, table)) == [7], "no endless walk, whatever the table says"


def test_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        pid, pidfd = peer_of(one)
        os.close(pidfd)
        assert pid == os.getpid()


def test_a_dead_peer_is_known_as_such() -> None:
    parent_end, child_end = socket.socketpair()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # A pair that this child has made: it is the peer, dead or alive.
        _mine, yours = socket.socketpair()
        socket.send_fds(child_end, [b"x"], [yours.fileno()])
        os.read(reader, 1)
        os._exit(0)
    with parent_end, child_end:
        _, descriptors, _, _ = socket.recv_fds(parent_end, 1, 1)
        with socket.socket(fileno=descriptors[0]) as connection:
            pid, pidfd = peer_of(connection)
            assert pid == child
            os.close(pidfd)
            os.write(writer, b"x")
            os.waitpid(child, 0)
            with pytest.raises(ProcessLookupError):
                peer_of(connection)
    os.close(reader)
    os.close(writer)


# ----------------------------------------------------------------------------------------------------------- beginning
def test_one_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxforge.orchestrator.guard.beginning.LOCK_TRIES", 2)
    first = take_lock(str(tmp_path / "alive"))
    with pytest.raises(BlockingIOError):
        take_lock(str(tmp_path / "alive"))
    os.close(first)
    os.close(take_lock(str(tmp_path / "alive")))


def test_a_stale_socket_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listen("control").close()
    with listen("control"), socket.socket(socket.AF_UNIX) as client:
        client.connect("control")


# -------------------------------------------------------------------------------------------------------------- asleep
def test_an_idle_guard_and_launcher_sleep(tmp_path: Path) -> None:
    def woken(pid: int) -> list[str]:
        return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line]

    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER)
            joined = await launcher.attach(tmp_path, owner=False, on_output=Output())
            assert joined is not None and launcher._forks.pid is not None
            await asyncio.sleep(0.2)
            pids = (process.record.guard_pid, launcher._forks.pid)
            before = [woken(pid) for pid in pids]
            await asyncio.sleep(1.0)
            assert [woken(pid) for pid in pids] == before
            await process.stop()

    asyncio.run(story())


def test_signals_from_outside_do_not_end_a_guard(tmp_path: Path) -> None:
    async def story() -> None:
        async with session() as launcher:
            process, _ = await run(launcher, tmp_path, SLEEPER)
            assert launcher._forks.pid is not None
            for pid in (process.record.guard_pid, launcher._forks.pid):
                for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "TSTP"):
                    os.kill(pid, signal.Signals[f"SIG{name}"])
            await asyncio.sleep(0.1)
            assert exists(process.pid) and exists(process.record.guard_pid) and launcher._forks.pid is not None
            assert (await process.stop()).exit_code == -signal.SIGTERM

    asyncio.run(story())
