"""Real tools for tests, sessions in processes of their own that can be killed, and a search for what is left behind.

Every tool is given a mark in its environment, which all that it starts inherits: that is how a process is found again
wherever it has gone, by other means than those of the guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from dxforge.orchestrator.process import Launch, Launcher, Process

DEADLINE_S = 30.0
"""For what must happen at all; these machines are slow at times."""
PYTHON = (sys.executable, "-I", "-S", "-c")
_MARK = "DX_TEST_MARK"


def sh(script: str) -> tuple[str, ...]:
    """A shell that runs ``script``."""
    return ("/bin/sh", "-c", script)


def python(script: str) -> tuple[str, ...]:
    """A Python that runs ``script``, with os, signal, sys and time at hand."""
    return (*PYTHON, f"import os, signal, sys, time\n{script}")


SLEEPER = sh("exec sleep 300")
STUBBORN = sh("trap '' TERM INT HUP; echo ready; while :; do sleep 0.1; done")
"""Ignores TERM."""
FAMILY = sh("sleep 300 & sh -c 'sleep 300 & sleep 300 & echo ready; wait' & wait")
"""Has children and grandchildren; five in all, once it says that it is ready."""
DAEMONS = python("""
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(300)
        os._exit(0)
    os.wait()
daemon()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)
print("ready", flush=True)
time.sleep(300)
""")
"""Has a daemon by double fork, and a child in a session of its own that ignores TERM."""
BOMB = python("""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(50):
    if os.fork() == 0:
        time.sleep(300)
        os._exit(0)
print("ready", flush=True)
time.sleep(300)
""")
"""Fifty children, all ignoring TERM."""
CHAIN = python("""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(8):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.002)
print("ready", flush=True)
time.sleep(300)
""")
"""Eight chains that never stop forking: each link forks the next, which leads a new session, and exits."""


def launch(folder: Path, argv: tuple[str, ...], *, mark: str = "", **changed: Any) -> Launch:
    """A shared tool (``shared=False``: an execution) in ``folder``, marked."""
    fields: dict[str, Any] = {
        "argv": argv,
        "cwd": "/",
        "env": {"PATH": os.environ["PATH"], _MARK: mark or uuid.uuid4().hex},
        "folder": folder,
        "shared": True,
        "grace_s": 0.3,
        "name": folder.name,
        **changed,
    }
    return Launch(**fields)


def marked(mark: str) -> set[int]:
    """The pids of all processes with ``mark`` that are no zombies."""
    found = set()
    entry = f"{_MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if entry in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.add(int(name))
    return found


def exists(pid: int) -> bool:
    """Whether ``pid`` is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def zombies() -> set[int]:
    """Children of this process that ended and were not reaped."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state == b"Z" and int(parent) == os.getpid():
                    found.add(int(name))
    return found


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until ``condition()`` is true and return it; fails after 30 s."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what or "it did not happen in 30 s"
        time.sleep(0.01)
    return found


async def until_async(condition: Callable[[], Any], what: str = "") -> Any:
    """The same on a loop."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what or "it did not happen in 30 s"
        await asyncio.sleep(0.01)
    return found


class Output:
    """Collects what a tool prints."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()

    def __call__(self, stream: str, piece: bytes) -> None:
        getattr(self, stream).extend(piece)

    async def until(self, text: bytes) -> None:
        """Wait until ``text`` was printed."""
        await until_async(
            lambda: text in self.stdout + self.stderr, f"it never printed {text!r}: {self.stdout[-500:]!r}"
        )


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[Launcher]:
    """A launcher that is closed at the end."""
    launcher = Launcher()
    try:
        yield launcher
    finally:
        await launcher.close()


async def run(launcher: Launcher, folder: Path, argv: tuple[str, ...], **changed: Any) -> tuple[Process, Output]:
    """Start a tool and collect its output."""
    output = Output()
    return await launcher.start(launch(folder, argv, **changed), on_output=output), output


class Owner:
    """A session in a process of its own, which does what it is told, line by line, and can be killed."""

    def __init__(self, *, inherit: tuple[int, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=inherit,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, do: str, **fields: Any) -> Any:
        """Have it do something; returns what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def start(self, folder: Path, argv: tuple[str, ...], **changed: Any) -> Any:
        """Start a tool there and wait until it has printed "ready", if it says so; returns its record."""
        return self.ask("start", folder=str(folder), argv=argv, **changed)

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.process.kill()
        self.end()

    def end(self) -> None:
        """Close its input: it ends without leaving its tools properly, like a script that is done."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def owner() -> Iterator[Owner]:
    """An ``Owner`` that is killed at the end."""
    one = Owner()
    try:
        yield one
    finally:
        one.kill()


async def _obey() -> None:
    launcher = Launcher()
    processes: dict[str, Process] = {}
    children: list[multiprocessing.Process] = []

    async def do(said: dict[str, Any]) -> Any:
        what, folder = said.pop("do"), said.pop("folder", "")
        if what == "start":
            ready = said.pop("ready", True)
            process, output = await run(launcher, Path(folder), tuple(said.pop("argv")), **said)
            processes[folder] = process
            if ready:
                await output.until(b"ready")
            return {"pid": process.pid, "guard_pid": process.record.guard_pid}
        if what == "attach":
            found = await launcher.attach(Path(folder), owner=said["owner"], on_output=Output())
            if found is not None:
                processes[folder] = found
            return found and {"pid": found.pid, "board": dict(found.board)}
        if what == "leave":
            return await processes[folder].leave()
        if what == "post":
            return processes[folder].post(said["board"])
        if what == "fork":  # children that hold a copy of every descriptor of ours
            context = multiprocessing.get_context("fork")
            children.append(context.Process(target=time.sleep, args=(300,)))
            children[-1].start()
            return children[-1].pid
        if what == "launcher":
            return launcher._forks.pid
        raise ValueError(what)

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer = {"value": await do(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - told to the test
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_obey())
