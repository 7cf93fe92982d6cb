"""How long enqueue takes, beside persist-queue: ``python -m benchmarks.enqueue [--count 100000]``.

Three situations: distinct tasks one after the other; the same while a worker runs them; the same while another process
holds the file for two seconds, as a stalled disk would. Each contender runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.material import Material
from benchmarks.measure import RSS_UNIT

STALL_S = 2.0
SITUATIONS = ("alone", "running", "stalled")
CONTENDERS = ("dxforge", "persist-queue")


def measured(put: Callable[[int], object], count: int) -> list[int]:
    """Nanoseconds of each call, sorted."""
    clock = time.perf_counter_ns
    taken = []
    for number in range(count):
        began = clock()
        put(number)
        taken.append(clock() - began)
    return sorted(taken)


def stall(file: Path) -> threading.Thread:
    """Hold the database for `STALL_S` seconds in another process; returns when it is held."""
    code = (
        "import sqlite3, sys, time; d = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60); "
        f"d.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep({STALL_S}); d.execute('ROLLBACK')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    waiter = threading.Thread(target=process.communicate)
    waiter.start()
    return waiter


def dxforge(root: Path, situation: str, count: int) -> tuple[list[int], float]:
    """Enqueue ``count`` distinct tasks; nanoseconds of each, and seconds until all are on disk."""
    from dxforge.background.tasks import CacheCurrentState, PrefetchPackage
    from dxforge.background.worker import BackgroundWorker

    runners = {PrefetchPackage: lambda _: None} if situation == "running" else {}
    worker = BackgroundWorker(root, runners=runners)
    worker.enqueue(CacheCurrentState())
    worker.flush(30)
    waiter = stall(root / ".dx/state.db") if situation == "stalled" else None
    began = time.perf_counter()
    taken = measured(lambda number: worker.enqueue(PrefetchPackage(f"package-{number}")), count)
    if situation == "running":
        asyncio.run(worker.join())
    elif not worker.flush(600):
        raise RuntimeError("not everything was written")
    seconds = time.perf_counter() - began
    if waiter is not None:
        waiter.join()
    asyncio.run(worker.close(60))
    with sqlite3.connect(root / ".dx/state.db") as database:
        (found,) = database.execute("SELECT count(*) FROM task").fetchone()
    database.close()
    if situation != "running" and found != count + 1:
        raise RuntimeError(f"{found} tasks on disk, not {count + 1}")
    return taken, seconds


def persist_queue(root: Path, situation: str, count: int) -> tuple[list[int], float]:
    """The same with persist-queue's queue of unique entries, which a thread reads where tasks run."""
    import persistqueue

    queue = persistqueue.UniqueQ(str(root), multithreading=True, timeout=60)
    queue.put("first")
    waiter = stall(root / "data.db") if situation == "stalled" else None
    reader = threading.Thread(target=lambda: [queue.get() for _ in range(count)], daemon=True)
    if situation == "running":
        reader.start()
    began = time.perf_counter()
    taken = measured(lambda number: queue.put(f"package-{number}"), count)
    if situation == "running":
        reader.join()
    seconds = time.perf_counter() - began
    if waiter is not None:
        waiter.join()
    return taken, seconds


def one(contender: str, situation: str, count: int) -> dict[str, float]:
    """Run one contender in this process."""
    # Not in /tmp, which may be memory.
    with tempfile.TemporaryDirectory(dir=Material(Path()).cache) as folder:
        run = dxforge if contender == "dxforge" else persist_queue
        taken, seconds = run(Path(folder), situation, count)

    def at(share: float) -> float:
        return taken[min(len(taken) - 1, int(len(taken) * share))] / 1000

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 2**20
    return {
        "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": taken[-1] / 1000, "seconds": seconds, "peak": peak,
    }  # fmt: skip


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enqueue", description="enqueue beside persist-queue.")
    parser.add_argument("--count", type=int, default=100_000, help="tasks (default: 100000)")
    parser.add_argument("--peer-count", type=int, default=10_000, help="for persist-queue, which takes its time")
    parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "SITUATION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one, options.count)))
        return 0
    env = {**os.environ, "PYTHONPATH": str(Material(Path()).peer_modules)}
    print("| enqueue | tasks | p50, µs | p99, µs | p99.9, µs | max, µs | all on disk or run, s | peak memory, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for situation in SITUATIONS:
        for contender in CONTENDERS:
            count = options.count if contender == "dxforge" else options.peer_count
            command = [sys.executable, "-m", "benchmarks.enqueue", "--one", contender, situation, "--count", str(count)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
            found = json.loads(done.stdout)
            figures = " | ".join(f"{found[name]:,.0f}" for name in ("p50", "p99", "p99.9", "max"))
            tail = f"{found['seconds']:.1f} | {found['peak']:.0f}"
            print(f"| {contender}, {situation} | {count:,} | {figures} | {tail} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
