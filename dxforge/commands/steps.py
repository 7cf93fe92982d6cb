"""The steps of a build while it goes on: how each one stands, in rows that keep their places, and as a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.model import Step, StepResult, StepState
from dxforge.build.picture import LiveGraph, Now
from dxforge.commands.shown import output_line
from dxforge.commands.view import (
    Bar,
    Block,
    Line,
    Picture,
    Span,
    Table,
    Text,
    duration,
    line,
    shortened,
    step_span,
    whole_seconds,
)

RUNNING = Span("◐ Running", "yellow")
WAITING = Span("○ Waiting", "dim")
DRAWN_AT_LEAST, DRAWN_AT_MOST = 2, 30
"""A graph of fewer or more steps is not drawn while they run."""
_ROWS = 12
"""Of a build with more than 30 steps, so many are listed: those that run, that failed, that were done last."""
_PARTIAL_CHARS = 4096
_Events = BuildStarted | StepStarted | StepOutput | StepFinished


@dataclass(slots=True, kw_only=True)
class _Running:
    """A step whose program runs; ``last`` is the last line that it wrote, ``partial`` what has no end yet."""

    why: str
    since_s: float
    last: str = ""
    partial: str = ""

    def hear(self, text: str) -> None:
        """Take a piece of output."""
        *lines, self.partial = (self.partial + text[-_PARTIAL_CHARS:]).rsplit("\n", 1)
        self.partial = self.partial[-_PARTIAL_CHARS:]
        for heard in lines:
            self.last = next((said for said in reversed(heard.split("\n")) if output_line(said).strip()), self.last)

    @property
    def said(self) -> str:
        """The last line with something in it."""
        partial = output_line(self.partial)
        return partial if partial.strip() else output_line(self.last)


class Steps:
    """Takes what a build tells; says how its steps stand. Not thread-safe; ``now_s`` are seconds of one clock."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}
        self._running: dict[int, _Running] = {}
        self._results: dict[int, StepResult] = {}
        self._graph: LiveGraph | None = None
        self._needs: tuple[str, ...] = ()
        self._since_s = 0.0
        self._ended_s: float | None = None

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def over(self) -> bool:
        """Whether all of them have ended: nothing changes before the next build."""
        return self._ended_s is not None

    @property
    def begun(self) -> bool:
        """Whether anything was done yet."""
        return bool(self._running or self._results)

    @property
    def needs(self) -> tuple[str, ...]:
        """The tools that the build keeps running."""
        return self._needs

    def take(self, event: _Events, now_s: float) -> bool:
        """Note an event; returns whether there is something new to show."""
        match event:
            case BuildStarted():
                self._steps = {step.index: step for step in event.steps}
                self._running, self._results, self._graph = {}, {}, None
                self._needs, self._since_s, self._ended_s = event.needs, now_s, None
            case StepStarted():
                # Whoever began to listen late knows the step only by this.
                known = Step(index=event.index, id=str(event.index), tool=event.tool, args=event.args)
                self._steps.setdefault(event.index, known)
                self._ended_s = None
                self._running[event.index] = _Running(why=event.why, since_s=now_s)
            case StepOutput():
                running = self._running.get(event.index)
                if running is None or event.replayed:
                    return False
                before = running.said
                running.hear(event.text)
                return running.said != before
            case StepFinished():
                index = event.result.step.index
                self._steps.setdefault(index, event.result.step)
                self._running.pop(index, None)
                self._results[index] = event.result
                self._ended_s = now_s if len(self._results) == len(self._steps) else None
        return True

    # -- as text

    def failed(self) -> list[Line]:
        """A line for each step that failed."""
        return [
            line(step_span(StepState.FAILED), "  ", shortened(result.step.name))
            for result in self._results.values()
            if result.state is StepState.FAILED
        ]

    def running_rows(self, now_s: float) -> list[tuple[Line, ...]]:
        """A row for each step that runs: how it stands, its name, since when."""
        return [
            (line(RUNNING), line(self._name(index)), line(Span(duration(now_s - running.since_s), "dim")))
            for index, running in self._running.items()
        ]

    # -- as a panel

    def panel(self, now_s: float, *, stopped: bool = False) -> list[Block]:
        """Headline, bar, table and graph. ``stopped``: that is how it ended before its end."""
        rows = [self._row(index, now_s, stopped=stopped) for index in self._listed()]
        blocks: list[Block] = [
            Text(self._headline(now_s, stopped=stopped)),
            self._bar(),
            Table(tuple(rows), ("Step", "State", "Time", "Now"), steady=True),
        ]
        if left := len(self._steps) - len(rows):
            blocks.append(Text(line(Span(f"… and {left} more", "dim"))))
        if DRAWN_AT_LEAST <= len(self._steps) <= DRAWN_AT_MOST:
            blocks.append(Picture(self._drawn(now_s, stopped=stopped)))
        return blocks

    def _headline(self, now_s: float, *, stopped: bool) -> Line:
        states = [result.state for result in self._results.values()]
        counts = [f"{states.count(state)} {state.word}" for state in StepState if state in states]
        if self._running and not stopped:
            counts.append(f"{len(self._running)} running")
        until_s = now_s if self._ended_s is None else self._ended_s
        over = "Failed after" if StepState.FAILED in states else "Built in"
        verb = "Stopped after" if stopped else over if self.over else "Building for"
        time = Span(f"{verb} {whole_seconds(until_s - self._since_s)}", "strong")
        return line(time, f": {', '.join(counts)}" if counts else "")

    def _bar(self) -> Bar:
        done, total = len(self._results), len(self._steps)
        return Bar(label=line("Steps"), done=done, total=total, amount=line(f"{done} of {total} steps done"))

    def _listed(self) -> Sequence[int]:
        if len(self._steps) <= DRAWN_AT_MOST:
            return sorted(self._steps)
        failed = [index for index, result in self._results.items() if result.state is StepState.FAILED]
        idle = [index for index in self._results if index not in failed]
        waiting = [index for index in sorted(self._steps) if index not in self._results and index not in self._running]
        chosen = [*list(self._running)[:_ROWS], *failed[-_ROWS:], *reversed(idle), *waiting][:_ROWS]
        return sorted(chosen)

    def _row(self, index: int, now_s: float, *, stopped: bool) -> tuple[Line, ...]:
        name = line(Span(self._name(index), "strong"))
        if (running := self._running.get(index)) is not None:
            if stopped:
                return name, line(Span("○ Stopped", "dim")), line(), line(Span("before its end", "dim"))
            said = line(running.said) if running.said else line(Span(running.why, "dim"))
            return name, line(RUNNING), line(whole_seconds(now_s - running.since_s)), said
        if (result := self._results.get(index)) is not None:
            spent = duration(result.duration_s) if result.duration_s else ""
            return name, line(step_span(result.state)), line(Span(spent, "dim")), line(Span(_outcome(result), "dim"))
        return name, line(WAITING), line(), line(Span(self._waits_for(index), "dim"))

    def _waits_for(self, index: int) -> str:
        before = [self._name(other) for other in self._steps[index].after if other not in self._results]
        more = f" and {len(before) - 1} more" if len(before) > 1 else ""
        return f"for {before[0]}{more}" if before else ""

    def _drawn(self, now_s: float, *, stopped: bool) -> str:
        if self._graph is None:
            self._graph = LiveGraph([self._steps[index] for index in sorted(self._steps)], self._needs)
        return self._graph.svg(self._states(now_s, stopped=stopped))

    def _states(self, now_s: float, *, stopped: bool) -> Mapping[int, Now]:
        states = {}
        for index, running in self._running.items():
            words = "stopped" if stopped else f"running · {whole_seconds(now_s - running.since_s)}"
            states[index] = Now(state="waiting" if stopped else "running", line=words, why=running.why)
        for index, result in self._results.items():
            states[index] = Now.of(result)
        return states

    def _name(self, index: int) -> str:
        return shortened(self._steps[index].name)


def _outcome(result: StepResult) -> str:
    if result.state is StepState.FAILED:
        return result.error
    if result.state is StepState.UP_TO_DATE:
        return ""
    saved = f"; spared {duration(result.saved_s)}" if result.cached and result.saved_s else ""
    return f"{result.why}{saved}"
