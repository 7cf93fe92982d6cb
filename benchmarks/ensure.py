"""Runs in a process of its own: what ``ensure_running`` takes on a tool that runs; prints seconds per call, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dxforge import DxForge, DxToolDefinition

CALLS = 1000


async def main(root: str, rounds: int) -> list[float]:
    """The mean of ``CALLS`` calls, for each round."""
    costs = []
    async with DxForge(root) as forge:
        tools = forge.orchestrator
        tools.register_tool(DxToolDefinition("sleeper", "sleep", args=["1000"]))
        pid = (await tools.ensure_running("sleeper")).pid
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(CALLS):
                status = await tools.ensure_running("sleeper")
            costs.append((time.perf_counter() - began) / CALLS)
            if status.pid != pid:
                raise RuntimeError(f"not the same tool: {status}")
    return costs


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
