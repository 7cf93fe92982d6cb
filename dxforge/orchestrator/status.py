"""How a tool stands, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dxforge.events import Event


class ToolState(StrEnum):
    """Stopped → Starting → Running → Healthy ⇄ Degraded → Stopped."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    """The process runs, and nothing says how to tell that it is healthy."""
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It runs but its probe fails, or it could not be kept running; the detail says why."""


@dataclass(frozen=True, slots=True)
class ToolStatus:
    """One moment of a tool. ``pid`` is the tool's own process (None when none runs), ``detail`` one line on why."""

    state: ToolState
    pid: int | None = None
    detail: str = ""

    @property
    def up(self) -> bool:
        """Whether others may use it: running without a probe, or healthy."""
        return self.state in (ToolState.RUNNING, ToolState.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """Everything that is shown of a tool. Figures are None where no process runs or they cannot be had.

    ``cpu_percent`` is of one core (200.0: two cores busy) and ``memory_bytes`` resident, both over the tool and all its
    descendants, the guard left out. ``owner_pids`` are the processes that keep it alive; none with
    ``on_owner_exit = "keep"`` and no session open.
    """

    name: str
    status: ToolStatus
    health: str = ""
    """What is probed, in words: ``http http://127.0.0.1:8000/``; empty where nothing is."""
    uptime_s: float | None = None
    restarts: int = 0
    """Restarts by the restart policy since it was last started by hand."""
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    owner_pids: tuple[int, ...] = ()
    log_path: str = ""
    dependencies: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """``status --json``'s entry: name, state, pid (contract), and the rest."""
        return {
            "name": self.name,
            "state": self.status.state.value,
            "pid": self.status.pid,
            "detail": self.status.detail,
            "health": self.health,
            "uptime_s": self.uptime_s,
            "restarts": self.restarts,
            "cpu_percent": self.cpu_percent,
            "memory_bytes": self.memory_bytes,
            "processes": self.processes,
            "log_path": self.log_path,
            "dependencies": list(self.dependencies),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """One run of a tool to its end.

    ``stdout`` and ``stderr`` are text, undecodable bytes replaced, and hold at most the first and the last half MiB
    each (``truncated`` says so); the logs at ``stdout_path`` and ``stderr_path`` keep the bytes.
    """

    name: str
    args: tuple[str, ...]
    exit_code: int
    """The program's exit status; -N when signal N ended it."""
    stdout: str
    stderr: str
    duration_s: float
    truncated: bool = False
    stdout_path: str = ""
    stderr_path: str = ""
    cpu_s: float = 0.0
    """User and system time of the tool and its descendants."""
    max_memory_bytes: int = 0
    """Peak resident memory of the largest process (getrusage's ru_maxrss)."""

    @property
    def ok(self) -> bool:
        """Exit status 0."""
        return self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChanged(Event):
    """A tool's status is another one now."""

    name: str
    status: ToolStatus
    previous: ToolStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput(Event):
    """Output of a tool that was executed (not of the long-running ones: see ``Orchestrator.logs``).

    ``stream`` is "stdout" or "stderr"; ``text`` is decoded piece by piece and need not end at a line.
    """

    name: str
    stream: str
    text: str
