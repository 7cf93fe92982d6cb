"""What can be done in the background, and how a task stands. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from dxforge.errors import UsageError
from dxforge.events import Event

MAX_NAME_CHARS = 500


class TaskState(StrEnum):
    """Waiting → Running → Done, Failed or Cancelled; Running → Waiting for a retry or a hand-over."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


class BackgroundTask:
    """A task, as a frozen value: ``BackgroundTask.PrefetchPackage("humanize")``. Equal tasks are the same work."""

    __slots__ = ()

    CacheCurrentState: ClassVar[type[CacheCurrentState]]
    SyncToCloudflareR2: ClassVar[type[SyncToCloudflareR2]]
    PrefetchPackage: ClassVar[type[PrefetchPackage]]
    AnalyzeCodebasePatterns: ClassVar[type[AnalyzeCodebasePatterns]]

    @property
    def kind(self) -> str:
        """The name of the task's class: ``PrefetchPackage``."""
        return type(self).__name__

    @property
    def argument(self) -> str:
        """What the work is about: the package's name; empty where the kind says it all."""
        return ""

    @property
    def key(self) -> str:
        """The same for equal tasks only."""
        return f"{self.kind}:{self.argument}"

    def __str__(self) -> str:
        return f"{self.kind} {self.argument}".rstrip()


@dataclass(frozen=True, slots=True)
class CacheCurrentState(BackgroundTask):
    """Take a snapshot of the project."""


@dataclass(frozen=True, slots=True)
class SyncToCloudflareR2(BackgroundTask):
    """Upload build artifacts, snapshots and the action cache to ``[remote]``."""


@dataclass(frozen=True, slots=True)
class PrefetchPackage(BackgroundTask):
    """Fetch the newest version of a package into the user's cache. ``name`` is as in ``dx.toml``, or on PyPI.

    Raises:
        UsageError: a name that cannot be one.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise UsageError("a package's name is a text", where="PrefetchPackage", hint='Write for example "humanize"')
        if not self.name.strip() or len(self.name) > MAX_NAME_CHARS or not self.name.isprintable():
            raise UsageError(
                f"{self.name[:40]!r} cannot be a package's name", where="PrefetchPackage", hint="Check the spelling"
            )

    @property
    def argument(self) -> str:
        """The package's name."""
        return self.name


@dataclass(frozen=True, slots=True)
class AnalyzeCodebasePatterns(BackgroundTask):
    """Find out what the project imports, edits and no longer needs."""


BackgroundTask.CacheCurrentState = CacheCurrentState
BackgroundTask.SyncToCloudflareR2 = SyncToCloudflareR2
BackgroundTask.PrefetchPackage = PrefetchPackage
BackgroundTask.AnalyzeCodebasePatterns = AnalyzeCodebasePatterns

TASKS: tuple[type[BackgroundTask], ...] = (
    CacheCurrentState, SyncToCloudflareR2, PrefetchPackage, AnalyzeCodebasePatterns,
)  # fmt: skip
_TITLES = {
    "CacheCurrentState": "Snapshot",
    "SyncToCloudflareR2": "Sync",
    "PrefetchPackage": "Prefetch",
    "AnalyzeCodebasePatterns": "Analysis",
}
KINDS: tuple[str, ...] = tuple(task.__name__ for task in TASKS)


def task_of(kind: str, argument: str) -> BackgroundTask | None:
    """The task that ``kind`` and ``argument`` name; None where this version of dxforge knows no such thing."""
    try:
        match kind:
            case "CacheCurrentState":
                return CacheCurrentState()
            case "SyncToCloudflareR2":
                return SyncToCloudflareR2()
            case "PrefetchPackage":
                return PrefetchPackage(argument)
            case "AnalyzeCodebasePatterns":
                return AnalyzeCodebasePatterns()
            case _:
                return None
    except UsageError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """How far a task is: ``done`` of ``total`` steps (None: unknown); ``item`` names the step."""

    done: int = 0
    total: int | None = None
    item: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """One task as the journal has it. Times are ISO 8601 in UTC, empty where that has not happened yet."""

    id: int | None
    """Its number; None where it is not in the journal yet."""
    kind: str
    argument: str
    state: TaskState
    attempts: int = 0
    """Runs so far, the present one included."""
    reason: str = ""
    """Why it failed, or why it is tried again."""
    progress: TaskProgress = field(default_factory=TaskProgress)
    retry_in_s: float = 0.0
    """A waiting task is not tried again before."""
    pid: int | None = None
    """The process that runs it; None also where that has ended, and nobody has taken the task over yet."""
    created: str = ""
    started: str = ""
    ended: str = ""
    result: Any = None
    """What it came to, where that can be said in JSON."""

    @property
    def title(self) -> str:
        """What people call it: ``Sync``, ``Prefetch humanize``."""
        return f"{_TITLES.get(self.kind, self.kind)} {self.argument}".rstrip()

    @property
    def task(self) -> BackgroundTask | None:
        """The task's value; None where this version of dxforge does not know its kind."""
        return task_of(self.kind, self.argument)

    def to_json(self) -> dict[str, Any]:
        """The entry of ``status --json``."""
        return {
            "id": self.id,
            "kind": self.kind,
            "argument": self.argument,
            "state": self.state.value,
            "attempts": self.attempts,
            "reason": self.reason,
            "done": self.progress.done,
            "total": self.progress.total,
            "item": self.progress.item,
            "retry_in_s": round(self.retry_in_s, 1),
            "pid": self.pid,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            "result": self.result,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged(Event):
    """A task is in another state now; ``reason`` says why where it failed or is tried again."""

    id: int
    task: BackgroundTask
    state: TaskState
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgressed(Event):
    """A running task got on. At most ten a second per task, and the last one (``done == total``) always."""

    id: int
    task: BackgroundTask
    progress: TaskProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFull(Event):
    """More than ``capacity`` tasks are waiting; those beyond wait in the journal, and none is dropped."""

    capacity: int
