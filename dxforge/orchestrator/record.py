"""What is on disk about a tool that runs: who it is, and whether that is still true."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dxforge.files import try_lock, write_error
from dxforge.orchestrator.guard import system

_POLL_S = 0.02
_CLOCK_SLACK_S = 2.0
_SWEEP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One life of a tool, as its guard wrote it down.

    ``start_ticks`` (since boot, Linux) and ``boot_id`` make a pid unmistakable, whatever happens to the clock.
    ``create_time`` and ``started`` are seconds since the epoch by the clock of that moment.
    """

    pid: int
    start_ticks: int
    create_time: float
    boot_id: str
    guard_pid: int
    guard_start_ticks: int
    guard_create_time: float
    started: float
    digest: str = ""
    log_path: str = ""
    keep: bool = False
    stopping: bool = False
    """Whether it is on its way out."""
    board: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What owners put on the guard's board last."""
    owner_pids: tuple[int, ...] = ()
    """The processes that keep it alive."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRecord:
        """Decode; unknown keys are left out.

        Raises:
            ValueError, TypeError: that is no record.
        """
        known = {key: data[key] for key in cls.__slots__ if key in data}
        known["owner_pids"] = tuple(known.get("owner_pids", ()))
        return cls(**known)

    @property
    def alive(self) -> bool:
        """Whether the tool's own process is still that one, and runs (a zombie does not)."""
        return is_running(self.pid, self.start_ticks, self.create_time, self.boot_id)

    @property
    def guarded(self) -> bool:
        """Whether its guard is still that process."""
        return is_running(self.guard_pid, self.guard_start_ticks, self.guard_create_time, self.boot_id)

    def uptime_s(self) -> float:
        """Seconds since the tool was started, by a clock that nobody sets."""
        if sys.platform == "linux":
            return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / os.sysconf("SC_CLK_TCK"))
        else:  # noqa: RET505 - so mypy knows that this is for elsewhere
            return max(0.0, time.time() - self.create_time)


def is_running(pid: int, start_ticks: int, create_time: float, boot_id: str) -> bool:
    """Whether the process that was ``pid`` then is there and no zombie."""
    if sys.platform == "linux":
        return boot_id == system.boot_id() and system.start_ticks(pid) == start_ticks and not system.is_zombie(pid)
    else:  # noqa: RET505 - so mypy knows that this is for elsewhere
        import psutil

        try:
            process = psutil.Process(pid)
            same = abs(process.create_time() - create_time) <= _CLOCK_SLACK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def peek(folder: Path) -> RunRecord | None:
    """The record of what is alive in a tool's folder (``.dx/tools/<name>``), else None.

    Believed only while a guard holds ``alive`` there and both processes are the recorded ones. Cheap, from any thread.
    """
    if not guard_lives(folder):
        return None
    with contextlib.suppress(OSError, ValueError, TypeError):
        record = RunRecord.from_json(json.loads((folder / "run.json").read_bytes()))
        if record.guarded and record.alive:
            return record
    return None


def guard_lives(folder: Path) -> bool:
    """Whether a guard holds ``alive`` in ``folder``: the kernel frees it with its holder."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        descriptor = os.open(folder / "alive", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.asynccontextmanager
async def start_lock(folder: Path) -> AsyncIterator[None]:
    """Hold ``lock`` in a tool's folder (made where it is missing): one start at a time, among processes and tasks.

    Polls every 20 ms; may be cancelled at any time. Freed by the kernel when its holder dies.

    Raises:
        WriteError: the folder or the file cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, and at once
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_error(error, folder, "cannot be made") from error
    try:
        while not _locked(descriptor, folder):  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, folder: Path) -> bool:
    try:
        return try_lock(descriptor)
    except OSError as error:
        raise write_error(error, folder / "lock", "cannot be locked") from error


def _unlock(descriptor: int) -> None:
    # Explicitly: a child that was forked meanwhile shares the descriptor, and would keep the lock past our close().
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)


async def sweep_session(record: RunRecord) -> int:
    """Kill what is left in the session of a guard that was killed; returns how many processes that were.

    A guard that is still there is left alone with its tool.
    """
    killed: set[int] = set()
    loop = asyncio.get_running_loop()
    until = loop.time() + _SWEEP_S
    while loop.time() < until:
        guarded = record.guarded  # asked first: a guard that dies between the two questions leaves its tool to be seen
        left = _session_members(record)
        if not left and not guarded:
            break
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        await asyncio.sleep(_POLL_S)  # also while a guard is dying: its socket is closed before it is gone
    return len(killed)


def _session_members(record: RunRecord) -> set[int]:
    if sys.platform == "win32":
        return set()
    table = system.process_table()
    leader = table.get(record.guard_pid)
    if leader is not None and leader.state != "Z":
        return set()  # the guard, or somebody else who has its number by now, and then also the session's
    found = set()
    for pid, entry in table.items():
        with contextlib.suppress(OSError):
            if entry.state != "Z" and os.getsid(pid) == record.guard_pid:
                found.add(pid)
    return found
