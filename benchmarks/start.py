"""Runs in a process of its own: starts every tool of a project, says so, and stops them at SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from dxforge import DxForge


async def main(root: str) -> None:
    """As a user would have it."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with DxForge(root) as forge:
        names = [tool.name for tool in forge.orchestrator.tools()]
        statuses = await forge.orchestrator.ensure_all(names)
        if all(status.up for status in statuses.values()):
            print("all up", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
