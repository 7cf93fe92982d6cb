"""What one plan or build works with."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, replace
from pathlib import Path

from dxforge.build.digests import Digests
from dxforge.build.events import StepOutput
from dxforge.build.graph import Graph
from dxforge.build.model import BuildReport, StepResult, StepState
from dxforge.build.planner import Planner, Records, Verdict
from dxforge.build.work import Work
from dxforge.events import EventBus


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one plan or build works with."""

    root: str
    folder: Path
    graph: Graph
    needs: tuple[str, ...]
    records: Records
    digests: Digests
    planner: Planner
    work: Work
    stop: Stop


class StoppedError(Exception):
    """The build was cancelled while inputs were read."""


class Stop:
    """Lets a thread that reads inputs give up."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise StoppedError once that was asked for."""
        if self.asked:
            raise StoppedError


class Clock:
    """When the build started, and how long ago that is."""

    def __init__(self) -> None:
        self.started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._start = time.monotonic()

    def passed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start


def settle(
    verdict: Verdict, session: Session, events: EventBus, clock: Clock, *, state: StepState = StepState.UP_TO_DATE
) -> StepResult:
    """The result of a step whose outputs are what they should be; what it printed back then is printed again."""
    record = verdict.record
    if record is None:
        raise ValueError("there is no result to use")
    step = verdict.step
    log = record.log if record.raw_log != b"[]" else []
    for stream, text in log:
        events.emit(StepOutput(index=step.index, tool=step.tool, stream=stream, text=text, replayed=True))
    return StepResult(
        step=step,
        state=state,
        why=verdict.plan.why,
        exit_code=0,
        changes=verdict.plan.changes,
        key=verdict.plan.key,
        started_s=clock.passed_s(),
        saved_s=record.duration_s,
        stdout="".join(text for stream, text in log if stream == "stdout"),
        stderr="".join(text for stream, text in log if stream == "stderr"),
        notes=(*verdict.plan.notes, *session.work.remember(verdict)),
    )


def finish(session: Session, report: BuildReport) -> BuildReport:
    """Keep what the next build needs; returns the report with what there is to say about that."""
    steps = session.graph.steps
    last = [session.records.get(step.id) for step in steps]
    used = {result.key for result in report.steps} | {record.key for record in last if record is not None}
    complete = all(result.ok for result in report.steps)
    notes = session.work.finish(report, used, complete=complete)
    return replace(report, notes=(*report.notes, *notes))
