"""Projects with real tools, and other kernels that work on them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from dxforge.config.load import load_config
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.orchestrator import Orchestrator
from dxforge.orchestrator.policy import Pace
from tests.support.processes import DEADLINE_S, SLEEPER, marked

REPOSITORY = Path(__file__).parents[2]
PACE = Pace(settle_s=0.05, startup_s=DEADLINE_S, backoff_s=0.02, backoff_max_s=0.1, stable_s=60.0)
"""Quick, so that a test sees many restarts, and patient where a slow machine needs it."""


class Yard:
    """A project in ``root`` whose tools carry ``mark``, so that each of their processes is found again."""

    def __init__(self, root: Path, mark: str) -> None:
        self.root = root
        self.mark = mark
        self.tables: dict[str, Any] = {}

    def define(self, name: str, argv: tuple[str, ...] = SLEEPER, *needs: str, **more: Any) -> DxToolDefinition:
        """A definition, to be registered."""
        return DxToolDefinition(name, **self._fields(argv, needs, more))

    def declare(self, name: str, argv: tuple[str, ...] = SLEEPER, *needs: str, **more: Any) -> None:
        """Write a tool into ``dx.toml``, or write it anew."""
        self.tables[name] = self._fields(argv, needs, more)
        self.write()

    def write(self) -> None:
        """Write ``dx.toml``; it never looks unchanged."""
        file = self.root / "dx.toml"
        before = file.stat().st_mtime_ns if file.exists() else 0
        file.write_text(tomli_w.dumps({"project": {"name": "yard"}, "tools": self.tables}))
        os.utime(file, ns=(before + 1_000_000_000, before + 1_000_000_000))

    def orchestrator(self, *tools: DxToolDefinition, pace: Pace = PACE, **more: Any) -> Orchestrator:
        """A session on the project, with the tools of ``dx.toml`` and ``tools``."""
        made = Orchestrator(self.root, declared=lambda: declared(self.root), pace=pace, **more)
        for tool in tools:
            made.register_tool(tool)
        return made

    def processes(self) -> set[int]:
        """All processes of all its tools."""
        return marked(self.mark)

    def _fields(self, argv: tuple[str, ...], needs: tuple[str, ...], more: dict[str, Any]) -> dict[str, Any]:
        return {
            "binary_path": argv[0],
            "args": list(argv[1:]),
            "dependencies": list(needs),
            "stop": {"grace_s": 0.3},
            **more,
            "env": {"DX_TEST_MARK": self.mark, **more.get("env", {})},
        }


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def declared(root: Path) -> list[DxToolDefinition]:
    """The tools of ``dx.toml``."""
    return [DxToolDefinition.from_config(tool) for tool in load_config(root).tools]


class Kernel:
    """A session in a process of its own: told to do things, one after the other, and killed if need be."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    def tell(self, do: str, *args: Any) -> None:
        """Have a method of its orchestrator called; `hear` gives what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([do, *args]) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """What came of the first thing told that was not heard of yet."""
        assert self.process.stdout is not None
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def ask(self, do: str, *args: Any) -> Any:
        """Both."""
        self.tell(do, *args)
        return self.hear()

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def kernels(root: Path, count: int = 1) -> Iterator[list[Kernel]]:
    """``count`` kernels on the project, killed at the end."""
    made = [Kernel(root) for _ in range(count)]
    try:
        yield made
    finally:
        for kernel in made:
            kernel.kill()


async def _serve(root: Path) -> None:
    orchestrator = Orchestrator(root, declared=lambda: declared(root), pace=PACE)

    async def do(what: str, args: list[Any]) -> Any:
        found = getattr(orchestrator, what)(*args)
        if asyncio.iscoroutine(found):
            found = await found
        return {"state": found.state, "pid": found.pid, "detail": found.detail} if hasattr(found, "pid") else found

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what, *args = json.loads(line)
        try:
            answer = {"value": await do(what, args)}
        except Exception as error:  # noqa: BLE001 - told to the test
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(_serve(Path(sys.argv[1])))
