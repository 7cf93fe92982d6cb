"""Processes that share a queue of background tasks, and die at random moments.

Run as a module it is one such process: it enqueues tasks, writes down which of them reached the disk, and runs whatever
it finds. A task holds a lock of its own while it runs, which the kernel frees when the process dies: whoever finds it
taken has caught a task that runs twice at the same time.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from dxforge.background import policy
from dxforge.background.tasks import PrefetchPackage, TaskInfo, TaskState
from dxforge.background.worker import BackgroundWorker, TaskContext, TaskHandle
from dxforge.errors import DownloadError


def note(root: Path, line: str) -> None:
    """Add a line to the log that all processes write."""
    handle = os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def notes(root: Path) -> list[list[str]]:
    """The log, in words."""
    return [line.split() for line in (root / "log").read_text().splitlines()] if (root / "log").exists() else []


def runner(root: Path, seed: int) -> dict[str, object]:
    """Runs a task for some milliseconds; some fail, some fail at first."""
    chance = random.Random(seed)

    def run(context: TaskContext) -> str:
        name = context.task.argument
        (root / "locks").mkdir(exist_ok=True)
        handle = os.open(root / "locks" / name, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                note(root, f"twice {name}")
            note(root, f"began {name}")
            for step in range(chance.randrange(6)):
                context.check()
                context.progress(step, 6)
                time.sleep(0.01)
            if "fail" in name:
                raise ValueError("made to fail")
            if chance.random() < 0.1:
                raise DownloadError("made to fail for now")
            return name
        finally:
            os.close(handle)

    return {"PrefetchPackage": run}


def is_saved(handle: TaskHandle) -> bool:
    """Whether the task reached the disk."""
    return handle.saved


async def _live(root: Path, number: int) -> None:
    policy.FIRST_S = 0.02
    async with BackgroundWorker(root, runners=runner(root, number)) as worker:  # type: ignore[arg-type]
        names = [f"own{number}.{step}" for step in range(4)] + [f"shared{number % 3}", f"fail{number}"]
        handles = [worker.enqueue(PrefetchPackage(name)) for name in names]
        while handles:
            for handle in [handle for handle in handles if is_saved(handle)]:
                note(root, f"saved {handle.task.argument}")
                handles.remove(handle)
            await asyncio.sleep(0.001)
        await asyncio.sleep(60)


def start(root: Path, number: int) -> subprocess.Popen[bytes]:
    """One more process on the queue of ``root``."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.queue_process", str(root), str(number)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2])


def kill_at_random(root: Path, *, kills: int, seed: int) -> Counter[str]:
    """Keep two processes on one queue, kill one of them again and again, let a last worker do the rest, and judge.

    Returns:
        How many lines of each sort are in the log, and how many tasks ended in each state.

    Raises:
        AssertionError: a task was lost, ran twice at the same time, or ended without a reason.
    """
    chance = random.Random(seed)
    living: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(kills):
            while len(living) < 2:
                living.append(start(root, number * 2 + len(living)))
            time.sleep(chance.uniform(0.0, 0.9))
            victim = living.pop(chance.randrange(2))
            assert victim.poll() is None, "it was to live until it was killed"
            victim.kill()
            victim.wait()
    finally:
        for process in living:
            process.send_signal(signal.SIGKILL)
            process.wait()
    infos = asyncio.run(_finish(root))
    return _judge(root, infos)


async def _finish(root: Path) -> list[TaskInfo]:
    async with BackgroundWorker(root, runners=runner(root, -1)) as worker:  # type: ignore[arg-type]
        until_s = time.monotonic() + 120
        while True:
            assert await worker.join(max(0.1, until_s - time.monotonic())), "the queue never became empty"
            infos = worker.tasks(recent=100_000)
            if all(info.state.ended for info in infos):
                return infos
            await asyncio.sleep(0.1)  # the leases of the dead


def _judge(root: Path, infos: list[TaskInfo]) -> Counter[str]:
    lines = notes(root)
    assert not [line for line in lines if line[0] == "twice"]
    saved = {line[1] for line in lines if line[0] == "saved"}
    began = {line[1] for line in lines if line[0] == "began"}
    last = {info.argument: info for info in infos}
    assert saved <= last.keys(), f"lost: {saved - last.keys()}"
    assert saved <= began, f"never run: {saved - began}"
    for info in last.values():
        assert info.state in (TaskState.DONE, TaskState.FAILED)
        assert info.state is TaskState.DONE or info.reason
        assert "fail" not in info.argument or info.state is TaskState.FAILED
    return Counter(line[0] for line in lines) + Counter(info.state.value for info in last.values())


if __name__ == "__main__":
    asyncio.run(_live(Path(sys.argv[1]), int(sys.argv[2])))
