"""What is under way: tools that start and stop, steps and tasks that run. Fed with events, drawn by the faces."""

from __future__ import annotations

import threading
import time

from dxforge.background.tasks import TaskChanged, TaskProgress, TaskProgressed, TaskState
from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.model import StepState
from dxforge.commands.phases import Phases
from dxforge.commands.steps import RUNNING, Steps
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

_SHOWN = 8
_SETTLED = frozenset({ToolState.RUNNING, ToolState.HEALTHY, ToolState.STOPPED})


class Board:
    """Collects events, from any thread; ``blocks`` is how things stand in a few lines, ``panel`` the whole of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tools: dict[str, ToolStatus] = {}
        self._tasks: dict[int, tuple[str, TaskProgress]] = {}
        self._steps = Steps()
        self._phases = Phases()
        self._done = 0
        self._total: int | None = None
        self._news = 0

    def __call__(self, event: Event) -> None:
        """Take one event; those that are about neither tools, steps, tasks nor progress are left aside."""
        with self._lock:
            match event:
                case ToolChanged():
                    self._tools[event.name] = event.status
                case BuildStarted():
                    self._done, self._total = 0, None
                    self._steps.take(event, time.monotonic())
                case StepStarted() | StepFinished() | StepOutput():
                    if not self._steps.take(event, time.monotonic()):
                        return
                case TaskChanged(state=TaskState.RUNNING):
                    self._tasks[event.id] = (str(event.task), TaskProgress())
                case TaskChanged():
                    self._tasks.pop(event.id, None)
                case TaskProgressed():
                    self._tasks[event.id] = (str(event.task), event.progress)
                case Progress(phase="build"):
                    self._done, self._total = event.done, event.total
                case Progress():
                    self._phases.take(event)
                case _:
                    return
            self._news += 1

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        with self._lock:
            return not (self._tools or self._tasks or self._steps or self._phases or self._total)

    @property
    def stopped_in_the_middle(self) -> bool:
        """Whether steps of a build were begun that have not ended, or never will begin."""
        with self._lock:
            return self._steps.begun

    def stamp(self) -> tuple[int, int]:
        """Another one whenever there is something new to show; while steps run, once a second."""
        with self._lock:
            return self._news, int(time.monotonic()) if self._steps and not self._steps.over else 0

    def blocks(self) -> list[Block]:
        """How things stand now, in the lines that a terminal has room for."""
        now_s = time.monotonic()
        with self._lock:
            blocks: list[Block] = [Text(failed) for failed in self._steps.failed()]
            steps = self._steps.running_rows(now_s)
            rows = [*self._tool_rows(), *steps[:_SHOWN], *self._task_rows()]
            bars = self._phases.bars()
            done, total = self._done, self._total
        if rows:
            blocks.append(Table(tuple(rows)))
        blocks += bars
        if len(steps) > _SHOWN:
            blocks.append(Text(line(Span(f"… and {len(steps) - _SHOWN} more", "dim"))))
        if total:
            blocks.append(Text(line(Span(f"{done} of {total} steps done", "dim"))))
        return blocks

    def panel(self, *, stopped: bool = False) -> list[Block]:
        """How things stand now, for a page; parts keep their places. ``stopped``: only the build, which has ended."""
        now_s = time.monotonic()
        with self._lock:
            blocks: list[Block] = []
            if not stopped and (rows := [*self._tool_rows(), *self._task_rows()]):
                blocks.append(Table(tuple(rows)))
            if self._steps:
                blocks += self._steps.panel(now_s, stopped=stopped)
            return blocks if stopped else [*blocks, *self._phases.bars()]

    def _tool_rows(self) -> list[tuple[Line, ...]]:
        tools = sorted(self._tools.items(), key=lambda item: item[1].state in _SETTLED)
        return [
            (line(state_span(status.state)), line(name), line(Span(status.detail, "dim"))) for name, status in tools
        ]

    def _task_rows(self) -> list[tuple[Line, ...]]:
        tasks = list(self._tasks.values())[:_SHOWN]
        return [(line(RUNNING), line(name), line(Span(progress_text(progress), "dim"))) for name, progress in tasks]


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
            return line(RUNNING, f"  {name}", Span(f"  {event.why}", "dim"))
        case StepFinished() if event.result.state is not StepState.UP_TO_DATE:
            spent = f"  {duration(event.result.duration_s)}" if event.result.duration_s else ""
            return line(step_span(event.result.state), f"  {shortened(event.result.step.name)}", Span(spent, "dim"))
        case TaskChanged() if event.state is not TaskState.WAITING or event.reason:
            return line(task_span(event.state), f"  {event.task}", Span(f"  {event.reason}", "dim"))
        case _:
            return None
