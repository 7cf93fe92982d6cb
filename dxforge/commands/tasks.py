"""Results about background tasks, and their rows in the status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dxforge.background.tasks import TaskInfo, TaskState
from dxforge.commands.board import progress_text
from dxforge.commands.result import DONE, FAILED, Result, plural, shorter_time
from dxforge.commands.view import Block, Commands, Gap, Line, Span, Table, Text, duration, line, task_span

_ORDER = (TaskState.RUNNING, TaskState.WAITING, TaskState.FAILED, TaskState.CANCELLED, TaskState.DONE)

_LISTED_AT_MOST = 20


def task_blocks(tasks: Sequence[TaskInfo], program: str, *, verbose: bool) -> list[Block]:
    """A row per task: what runs first, then what waits, failed, and is done; and what to type next about them.

    Of each state, so many unless ``verbose``: those that are next, or the latest.
    """
    ordered = sorted(tasks, key=lambda info: (_ORDER.index(info.state), -(info.id or 0)))
    shown: list[TaskInfo] = []
    more: list[Block] = []
    for state, group in groupby(ordered, key=lambda info: info.state):
        found = list(group)
        kept = found if verbose else found[-_LISTED_AT_MOST:] if state is TaskState.WAITING else found[:_LISTED_AT_MOST]
        shown += kept
        if len(kept) < len(found):
            more.append(Text(line(f"… and {len(found) - len(kept)} more {state.value} (-v lists them)")))
    return [
        Table(tuple(map(_row, shown)), ("Id", "Task", "State", "When (UTC)", "")),
        *more,
        *_commands(tasks, program),
    ]


def _row(info: TaskInfo) -> tuple[Line, ...]:
    when = info.ended or info.started or info.created
    return (
        line(str(info.id) if info.id is not None else Span("-", "dim")),
        line(Span(info.title, "strong")),
        line(task_span(info.state)),
        line(Span(shorter_time(when), "dim")),
        line(Span(_remark(info), "" if info.state is TaskState.FAILED else "dim")),
    )


def _remark(info: TaskInfo) -> str:
    if info.state is TaskState.RUNNING:
        if info.pid is None:
            return "its process has ended; `tasks run`, or the next session, begins it again"
        again = f"attempt {info.attempts}: {info.reason}" if info.attempts > 1 and info.reason else ""
        return progress_text(info.progress) or again or f"process {info.pid}"
    if info.retry_in_s:
        return f"again in {duration(info.retry_in_s)}: {info.reason}"
    return info.reason


def shown_in_status(tasks: Sequence[TaskInfo]) -> list[TaskInfo]:
    """Those worth a look: what is done is not."""
    return [info for info in tasks if info.state in (TaskState.RUNNING, TaskState.WAITING, TaskState.FAILED)]


def _commands(tasks: Sequence[TaskInfo], program: str) -> list[Block]:
    rows = []
    failed = max((info.id for info in tasks if info.state is TaskState.FAILED and info.id is not None), default=None)
    if failed is not None:
        rows.append((f"{program} tasks retry {failed}", "once more"))
    if any(info.state is TaskState.WAITING for info in tasks):
        rows.append((f"{program} tasks run", "do now what waits"))
    return [Gap(), Commands(tuple(rows))] if rows else []


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TasksResult(Result):
    """The tasks, after ``command`` ("list", "run", "retry", "cancel"). ``waited``: those that the command was about."""

    command: str
    tasks: tuple[TaskInfo, ...]
    about: int | None = None

    @property
    def exit_code(self) -> int:
        failed = self.command == "run" and any(info.state is TaskState.FAILED for info in self.tasks)
        return FAILED if failed else DONE

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.exit_code == DONE, "tasks": [info.to_json() for info in self.tasks]}

    def summary(self) -> str:
        states = [info.state for info in self.tasks]
        counts = ", ".join(f"{states.count(state)} {state.value}" for state in _ORDER if state in states)
        return f"tasks: {counts or 'none'}"

    def view(self) -> Sequence[Block]:
        if not self.tasks:
            text = "Nothing was waiting." if self.command == "run" else "There were no background tasks yet."
            return [Text(line(text))]
        blocks: list[Block] = []
        if self.command in ("retry", "cancel"):
            verb = "will be done again" if self.command == "retry" else "is cancelled"
            blocks += [Text(line(f"Task {self.about} {verb}.")), Gap()]
        elif self.command == "run":
            done = sum(info.state is TaskState.DONE for info in self.tasks)
            blocks += [Text(line(f"{plural(done, 'task')} done.")), Gap()]
        return [*blocks, *task_blocks(self.tasks, self.program, verbose=self.verbose)]
