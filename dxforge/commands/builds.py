"""The result of a build, or of its plan."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dxforge.build.model import BuildPlan, BuildReport, Changes, StepPlan, StepResult, StepState, how_changed
from dxforge.commands.changes import awaiting
from dxforge.commands.result import DONE, FAILED, UNDECIDED, Result, error_json, plural
from dxforge.commands.shown import lines_of
from dxforge.commands.view import (
    Block,
    Commands,
    Gap,
    Line,
    Output,
    Picture,
    Section,
    Span,
    Table,
    Text,
    duration,
    light_span,
    line,
    shortened,
    step_span,
)
from dxforge.traffic.model import TrafficLight

if TYPE_CHECKING:
    from dxforge.errors import DxForgeError

_TAIL_LINES = 20
_FOLDED_LINES = 200
_FOLDED_CHARS_OF_ONE, _FOLDED_CHARS = 20_000, 100_000
"""So much is kept of what one step wrote, and of all: a notebook is saved with it."""
_OUTPUTS_APART = 4
"""More are folded into one."""
_LISTED_AT_MOST = 50
_WORTH_SAYING_S = 0.1
_DRAWN_AT_MOST = 200
_UNFOLDED_AT_MOST = 30
_SIGNS = {"added": "+ added", "changed": "~ changed", "removed": "- removed"}
_COME_OR_GONE = re.compile(r"(?:env \S+|\S+ of \S+) (added|removed)\b")
"""Lines of `Changes.other` about what is new or no longer there."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BuildResult(Result):
    """What a build did, or would do.

    ``explain``: every difference is listed. ``allow_pending``: pending files were no reason to stop. ``detailed``: with
    pictures and output, folded. ``stopped``: tools that ended with the build. ``graph``: where the picture was written.
    """

    report: BuildReport | BuildPlan
    explain: bool = False
    allow_pending: bool = False
    strict: bool = False
    detailed: bool = False
    stopped: tuple[str, ...] = ()
    graph: str = ""
    folder: str = ""
    """Where the user stands: paths are shown from there."""

    @property
    def _blocked(self) -> bool:
        return bool(self.report.pending) and not self.allow_pending

    @property
    def _steps(self) -> Sequence[StepPlan | StepResult]:
        return self.report.steps

    @property
    def _failed(self) -> list[StepResult]:
        steps = self.report.steps if isinstance(self.report, BuildReport) else ()
        return [step for step in steps if step.state is StepState.FAILED]

    @property
    def exit_code(self) -> int:
        if self._blocked:
            return FAILED if self.strict else UNDECIDED
        return DONE if self.report.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        data = {**self.report.to_json(), "stopped": list(self.stopped)}
        if error := self.failure():
            data["ok"] = False
            data["error"] = error_json(error)
        return data

    def failure(self) -> DxForgeError | None:
        from dxforge.errors import BuildFailedError, BuildPendingError

        if self._blocked:
            if not self.strict:
                return None
            paths = tuple(file.path for file in self.report.pending)
            hint = f"Decide with `{self.program} review`, or build with --allow-pending"
            return BuildPendingError(
                f"nothing was built: {awaiting(len(paths))}", where=paths[0], hint=hint, paths=paths
            )
        if self.report.ok:
            return None
        failed = self._failed
        if not failed:
            return BuildFailedError("the build failed")
        others = f", and {plural(len(failed) - 1, 'other step')}" if len(failed) > 1 else ""
        hint = f"All that it wrote is in {self._logs(failed[0])}" if failed[0].stderr_path else ""
        return BuildFailedError(
            f"failed: {failed[0].error}{others}", where=f"step {shortened(failed[0].step.name)}", hint=hint
        )

    def summary(self) -> str:
        return f"build: {self._counts() or 'no steps'}; {len(self.report.pending)} pending"

    def view(self) -> Sequence[Block]:
        return [*self._overview(), *self._failures(), *self._remarks()]

    def folding_view(self) -> Sequence[Block]:
        if not self.detailed:
            return self.view()
        return [*self._overview(), *self._failures(), *self._pictures(), *self._outputs(), *self._remarks()]

    def _overview(self) -> Iterator[Block]:
        rest = [step for step in self._steps if step.state is StepState.UP_TO_DATE]
        # Many steps are mostly many that nothing happened to.
        listed = [step for step in self._steps if self.verbose or len(rest) <= 1 or step not in rest]
        if listed:
            planned = isinstance(self.report, BuildPlan)
            header = ("Step", "Plan", "Why") if planned else ("Step", "Result", "Time", "Why")
            yield Table(tuple(_row(step) for step in listed), header, cut_first=True)
        if len(listed) < len(self._steps):
            yield Text(line(f"{plural(len(rest), 'step')} up to date."))
        if not self._steps and not self._blocked:
            yield Text(line("There are no steps in [build]."))
        if self.explain:
            for step in self._steps:
                if step.changes:
                    yield Gap()
                    yield Text(line(Span(shortened(step.step.name), "strong"), " is different from its last run:"))
                    yield Table(tuple(_changes(step.changes)), indent=1)
        for step in self._steps:
            for note in step.notes:
                yield Text(line(Span(f"{shortened(step.step.name)}: ", "strong"), note))
        if self._blocked:
            yield from self._pending()

    def _pending(self) -> Iterator[Block]:
        pending = self.report.pending
        yield Text(line(Span(f"{awaiting(len(pending))}, so nothing was built", "strong")))
        yield Gap()
        rows = tuple(
            (line(light_span(TrafficLight(file.light))), line(file.path), line(file.reason))
            for file in pending[:_LISTED_AT_MOST]
        )
        yield Table(rows, indent=1)
        if len(pending) > _LISTED_AT_MOST:
            yield Text(line(f"… and {len(pending) - _LISTED_AT_MOST} more"), indent=1)
        yield Gap()
        yield Commands(
            (
                (f"{self.program} review", "see and decide"),
                (f"{self.program} build --allow-pending", "build with the files as they are now"),
            )
        )

    def _failures(self) -> Iterator[Block]:
        for step in self._failed:
            printed = lines_of(step.stderr) or lines_of(step.stdout)
            yield Gap()
            title = line(Span("■ ", "red"), Span(shortened(step.step.name), "strong"), f": {step.error}")
            if not printed:
                yield Text(title)
                continue
            yield Text((*title, Span("; the last that it wrote:")))
            yield Output(tuple(printed[-_TAIL_LINES:]), indent=1)
            if step.stderr_path:
                yield Text(line(Span(f"All of it is in {self._logs(step)}", "dim")), indent=1)

    def _pictures(self) -> Iterator[Block]:
        from dxforge.build.picture import graph_svg, timeline_svg

        count = len(self._steps)
        if count > _DRAWN_AT_MOST:
            yield Commands(((f"{self.program} build --graph FILE.svg", f"the graph of all {count} steps"),))
        elif count > 1:
            yield Section(line("Graph"), (Picture(graph_svg(self.report)),), opened=count <= _UNFOLDED_AT_MOST)
        if isinstance(self.report, BuildReport) and sum(step.duration_s > 0 for step in self.report.steps) > 1:
            yield Section(line("Timeline"), (Picture(timeline_svg(self.report)),))

    def _outputs(self) -> Iterator[Block]:
        steps = self.report.steps if isinstance(self.report, BuildReport) else ()
        room = _FOLDED_CHARS
        sections = []
        for step in steps:
            printed = [*lines_of(step.stdout), *lines_of(step.stderr)]
            if printed:
                kept = _last(printed, min(room, _FOLDED_CHARS_OF_ONE))
                room -= sum(map(len, kept))
                sections.append(self._output(step, len(printed), kept))
        if len(sections) <= _OUTPUTS_APART:
            yield from sections
        else:
            yield Section(line(f"Output of {len(sections)} steps"), tuple(sections))

    def _output(self, step: StepResult, count: int, kept: Sequence[str]) -> Section:
        size = plural(count, "line")
        if len(kept) < count:
            size = f"the last {len(kept)} of {size}" if kept else f"{size}, not kept here"
        shown: list[Block] = [Output(tuple(kept))] if kept else []
        if step.stdout_path:
            shown.append(Text(line(Span(f"All of it is in {self._logs(step)}", "dim"))))
        return Section(
            line("Output of ", Span(shortened(step.step.name), "strong"), Span(f"  {size}", "dim")), tuple(shown)
        )

    def _remarks(self) -> Iterator[Block]:
        report = self.report
        yield Gap()
        if isinstance(report, BuildPlan):
            yield Text(line(Span("Nothing was run (--dry-run).", "dim")))
        elif not self._blocked:
            yield self.headline()
        for note in report.notes:
            yield Text(line(Span("note: ", "strong"), note))
        if self.stopped:
            names = ", ".join(self.stopped)
            yield Text(
                line(
                    Span(f"Stopped again: {names}. ", "dim"),
                    Span(f"`{self.program} start {self.stopped[0]}` keeps it running between builds.", "dim"),
                )
            )
        if self.graph:
            yield Text(line(Span(f"The graph is in {self.graph}", "dim")))

    def headline(self) -> Text:
        """How it went, in a line."""
        steps = self.report.steps if isinstance(self.report, BuildReport) else ()
        saved_s = sum(step.saved_s for step in steps if step.cached)
        spared = f"; the cache spared {duration(saved_s)}" if saved_s >= _WORTH_SAYING_S else ""
        idle = all(step.state is StepState.UP_TO_DATE for step in steps)
        verb = "Failed after" if not self.report.ok else "Checked in" if idle else "Built in"
        time = Span(f"{verb} {duration(self.report.duration_s)}", "strong")
        return Text(line(time, f": {self._counts() or 'no steps'}{spared}."))

    def _logs(self, step: StepResult) -> str:
        folder = os.path.dirname(step.stderr_path)
        return os.path.relpath(folder, self.folder) if self.folder else folder

    def _counts(self) -> str:
        states = [step.state for step in self._steps]
        return ", ".join(f"{states.count(state)} {state.word}" for state in StepState if state in states)


def _row(step: StepPlan | StepResult) -> tuple[Line, ...]:
    name, state = line(Span(shortened(step.step.name), "strong")), line(step_span(step.state))
    why = line("" if step.state is StepState.UP_TO_DATE else getattr(step, "error", "") or step.why)
    if isinstance(step, StepPlan):
        return name, state, why
    return name, state, line(Span(duration(step.duration_s), "dim") if step.duration_s else Span("-", "dim")), why


def _changes(changes: Changes) -> Iterator[tuple[Line, ...]]:
    for other in changes.other:
        found = _COME_OR_GONE.match(other)
        yield line(_SIGNS[found[1] if found else "changed"]), line(other)
    for word, paths in (("added", changes.added), ("changed", changes.changed), ("removed", changes.removed)):
        for number, path in enumerate(sorted(paths)):
            if number == _FOLDED_LINES:
                yield line(_SIGNS[word]), line(f"… and {len(paths) - number} more (--json has all)")
                break
            how = how_changed(*changes.changed[path]) if word == "changed" else ""
            yield line(_SIGNS[word]), line(path, Span(f"  {how}" if how else ""))


def _last(lines: Sequence[str], chars: int) -> list[str]:
    """The last of ``lines``: so many as are worth folding, in so many characters; of an endless one, its end."""
    kept: list[str] = []
    for text in reversed(lines[-_FOLDED_LINES:]):
        if chars <= 0 or (kept and len(text) > chars):
            break
        kept.append(text if len(text) <= chars else f"…{text[-chars:]}")
        chars -= len(text) + 1
    return kept[::-1]
