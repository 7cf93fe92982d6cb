"""CPU and memory of tools, each over its process and all descendants."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_SHORTEST_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """``cpu_percent`` is of one core, ``memory_bytes`` resident."""

    cpu_percent: float
    memory_bytes: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Where a tool's processes are: below ``guard_pid`` (escapees are its children too) and from ``pid`` on."""

    pid: int
    guard_pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at_s: float
    cpu_s: Mapping[tuple[int, float], float]
    """By pid and creation time, which together are a process."""
    usage: Usage


class Meter:
    """Measures tools; CPU between this and the previous measurement. Thread-safe.

    The first measurement of a tool is over its whole life, and one within 0.1 s of the previous repeats its figure.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, _Sample] = {}

    def measure(self, tools: Mapping[str, Tree]) -> dict[str, Usage]:
        """The usage of each of ``tools``; those of which no process is left are missing."""
        if not tools:
            return {}
        with self._lock:
            children = _children()
            found = {}
            for name, tree in tools.items():
                sample = _sample(_members(tree, children), self._samples.get(name))
                if sample is not None:
                    self._samples[name] = sample
                    found[name] = sample.usage
            return found


def _children() -> dict[int, list[int]]:
    """Every process's children, in one pass over all processes."""
    import psutil

    children: dict[int, list[int]] = {}
    for pid in psutil.pids():
        try:
            children.setdefault(psutil.Process(pid).ppid(), []).append(pid)
        except psutil.Error:
            continue
    return children


def _members(tree: Tree, children: Mapping[int, Iterable[int]]) -> list[int]:
    found = {tree.pid: None}
    waiting = [tree.pid, *(children.get(tree.guard_pid, ()) if tree.guard_pid is not None else ())]
    while waiting:
        pid = waiting.pop()
        found[pid] = None
        waiting.extend(child for child in children.get(pid, ()) if child not in found)
    return list(found)


def _sample(pids: Iterable[int], before: _Sample | None) -> _Sample | None:
    import psutil

    now_s = time.monotonic()
    cpu_s: dict[tuple[int, float], float] = {}
    memory_bytes, oldest = 0, time.time()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                created = process.create_time()
                cpu_s[pid, created] = _cpu_s(process)
                memory_bytes += process.memory_info().rss
        except (psutil.Error, OSError):
            continue
        oldest = min(oldest, created)
    if not cpu_s:
        return None
    if before is not None and now_s - before.at_s < _SHORTEST_S:
        kept = Usage(cpu_percent=before.usage.cpu_percent, memory_bytes=memory_bytes, processes=len(cpu_s))
        return _Sample(at_s=before.at_s, cpu_s=before.cpu_s, usage=kept)
    # Of a process that was not there before, all it used lies in between.
    used_s = sum(used - (before.cpu_s.get(key, 0.0) if before else 0.0) for key, used in cpu_s.items())
    passed_s = now_s - before.at_s if before else max(time.time() - oldest, _SHORTEST_S)
    percent = round(max(0.0, used_s) / passed_s * 100, 1)
    return _Sample(
        at_s=now_s, cpu_s=cpu_s, usage=Usage(cpu_percent=percent, memory_bytes=memory_bytes, processes=len(cpu_s))
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
