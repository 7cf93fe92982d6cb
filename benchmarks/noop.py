"""Runs in a process of its own: installs with nothing to do, by turns with ``git status``; prints JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time

from dxforge import TrafficManager


async def main(root: str, rounds: int) -> dict[str, tuple[list[float], int]]:
    """Seconds and peak memory (as ``getrusage`` counts); the first install of the process is not counted."""
    manager = TrafficManager(root)
    await manager.install_all_dependencies()
    subprocess.run(["git", "status", "--porcelain"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    times: dict[str, list[float]] = {"install": [], "git status": []}
    for _ in range(rounds):
        began = time.perf_counter()
        report = await manager.install_all_dependencies()
        times["install"].append(time.perf_counter() - began)
        if report.changes:
            raise RuntimeError(f"not a no-op: {report.changes[:3]}")
        began = time.perf_counter()
        subprocess.run(["git", "status", "--porcelain"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        times["git status"].append(time.perf_counter() - began)
    # Git's own peak is hidden behind ours, its parent's: 0 = not known.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"install": (times["install"], peak), "git status": (times["git status"], 0)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
