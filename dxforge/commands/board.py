"""What is under way: tools that start and stop, steps and tasks that run. Fed with events, drawn by the faces."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from dxforge.background.tasks import TaskChanged, TaskProgress, TaskProgressed, TaskState
from dxforge.build.events import StepFinished, StepStarted
from dxforge.build.model import StepState
from dxforge.commands.view import (
    Block,
    Line,
    Span,
    Table,
    Text,
    duration,
    line,
    shortened,
    state_span,
    step_span,
    task_span,
)
from dxforge.events import Event, Progress
from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus

_SHOWN_STEPS = 8
_SETTLED = frozenset({ToolState.RUNNING, ToolState.HEALTHY, ToolState.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    name: str
    why: str
    since: float


class Board:
    """Collects events, from any thread; ``blocks`` is how things stand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tools: dict[str, ToolStatus] = {}
        self._steps: dict[int, _Running] = {}
        self._tasks: dict[int, tuple[str, TaskProgress]] = {}
        self._failed: list[Line] = []
        self._done = 0
        self._total: int | None = None

    def __call__(self, event: Event) -> None:
        """Take one event; those that are about neither tools, steps nor tasks are left aside."""
        with self._lock:
            match event:
                case ToolChanged():
                    self._tools[event.name] = event.status
                case StepStarted():
                    name = shortened(" ".join((event.tool, *event.args)))
                    self._steps[event.index] = _Running(name=name, why=event.why, since=time.monotonic())
                case StepFinished():
                    self._steps.pop(event.result.step.index, None)
                    if event.result.state is StepState.FAILED:
                        self._failed.append(line(step_span(StepState.FAILED), "  ", shortened(event.result.step.name)))
                case TaskChanged(state=TaskState.RUNNING):
                    self._tasks[event.id] = (str(event.task), TaskProgress())
                case TaskChanged():
                    self._tasks.pop(event.id, None)
                case TaskProgressed():
                    self._tasks[event.id] = (str(event.task), event.progress)
                case Progress(phase="build"):
                    self._done, self._total = event.done, event.total
                case _:
                    pass

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        with self._lock:
            return not (self._tools or self._steps or self._tasks or self._failed or self._total)

    def blocks(self) -> list[Block]:
        """How things stand now."""
        now = time.monotonic()
        with self._lock:
            tools = sorted(self._tools.items(), key=lambda item: item[1].state in _SETTLED)
            steps = list(self._steps.values())
            tasks = list(self._tasks.values())
            blocks: list[Block] = [Text(failed) for failed in self._failed]
            done, total = self._done, self._total
        rows = [
            (line(state_span(status.state)), line(name), line(Span(status.detail, "dim"))) for name, status in tools
        ]
        rows += [
            (line(Span("◐ Running", "yellow")), line(step.name), line(Span(duration(now - step.since), "dim")))
            for step in steps[:_SHOWN_STEPS]
        ]
        rows += [
            (line(Span("◐ Running", "yellow")), line(name), line(Span(progress_text(progress), "dim")))
            for name, progress in tasks[:_SHOWN_STEPS]
        ]
        if rows:
            blocks.append(Table(tuple(rows)))
        if len(steps) > _SHOWN_STEPS:
            blocks.append(Text(line(Span(f"… and {len(steps) - _SHOWN_STEPS} more", "dim"))))
        if total:
            blocks.append(Text(line(Span(f"{done} of {total} steps done", "dim"))))
        return blocks


def progress_text(progress: TaskProgress) -> str:
    """``upload: 40%``, ``read: 64 of 1000``."""
    if not progress.total:
        return progress.item
    large = progress.total >= 1 << 20
    done = f"{100 * progress.done // progress.total}%" if large else f"{progress.done} of {progress.total}"
    return f"{progress.item}: {done}" if progress.item else done


def line_of(event: Event) -> Line | None:
    """What a pipe or a log is told of an event; None where it is not worth a line."""
    match event:
        case ToolChanged() if event.status.state is not event.previous.state:
            pid = f"  pid {event.status.pid}" if event.status.pid is not None else ""
            detail = f"  {event.status.detail}" if event.status.detail else ""
            return line(state_span(event.status.state), "  ", event.name, Span(f"{pid}{detail}", "dim"))
        case StepStarted():
            name = shortened(" ".join((event.tool, *event.args)))
            return line(Span("◐ Running", "yellow"), f"  {name}", Span(f"  {event.why}", "dim"))
        case StepFinished() if event.result.state is not StepState.UP_TO_DATE:
            spent = f"  {duration(event.result.duration_s)}" if event.result.duration_s else ""
            return line(step_span(event.result.state), f"  {shortened(event.result.step.name)}", Span(spent, "dim"))
        case TaskChanged() if event.state is not TaskState.WAITING or event.reason:
            return line(task_span(event.state), f"  {event.task}", Span(f"  {event.reason}", "dim"))
        case _:
            return None
