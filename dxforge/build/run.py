"""Running a build: what is up to date is done at once, the rest as its turn comes, several steps at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from dxforge.build.cache import DamagedError
from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.model import BuildReport, Step, StepResult, StepState
from dxforge.build.planner import FROM_CACHE, Verdict
from dxforge.build.record import Transcript
from dxforge.build.replace import StagingError
from dxforge.build.session import Clock, Session, Stop, finish, settle
from dxforge.build.toolbox import Toolbox
from dxforge.errors import DxForgeError
from dxforge.events import EventBus, Notice, Progress
from dxforge.files import write_error

T = TypeVar("T")


class Run:
    """One build, under its lock.

    Args:
        session: what it works with.
        toolbox: runs the programs.
        events: is told what happens.
        jobs: so many steps at once.
        clock: runs since the build's start.
    """

    def __init__(self, session: Session, toolbox: Toolbox, events: EventBus, *, jobs: int, clock: Clock) -> None:
        self._session = session
        self._toolbox = toolbox
        self._events = events
        self._jobs = jobs
        self._clock = clock
        self._results: dict[int, StepResult] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._ran: dict[str, StepResult] = {}
        """By key: what ran once need not run twice."""

    async def all(self) -> tuple[list[StepResult], list[str]]:
        """Build; results and notes.

        Raises:
            ToolError: a needed tool does not become ready; no step was run.
            BuildError: an input cannot be read; no step was run.
        """
        session = self._session
        self._events.emit(BuildStarted(steps=session.graph.steps, needs=session.needs))
        notes = await in_thread(session.work.repair)
        if session.needs:
            await self._toolbox.ensure_all(session.needs)
        verdicts, more = await in_thread(session.planner.all, session.stop)
        order = [verdicts[step.index] for step in session.graph.order]
        for verdict in order:
            before = [self._results.get(index) for index in verdict.step.after]
            if verdict.state is StepState.UP_TO_DATE and all(
                result is not None and result.state is StepState.UP_TO_DATE for result in before
            ):
                self._done(settle(verdict, session, self._events, self._clock))
        await self._rest([verdict.step for verdict in order if verdict.step.index not in self._results])
        return list(self._results.values()), [*notes, *more]

    async def finish(self, report: BuildReport) -> BuildReport:
        """Keep what the next build needs."""
        return await in_thread(lambda: finish(self._session, report))

    async def _rest(self, steps: list[Step]) -> None:
        """Run steps as their turn comes, until one fails; the others are then skipped."""
        tasks: dict[asyncio.Task[StepResult], Step] = {}
        failed = ""
        try:
            while steps or tasks:
                ready = [step for step in steps if all(index in self._results for index in step.after)]
                for step in ready[: self._jobs - len(tasks)] if not failed else []:
                    steps.remove(step)
                    tasks[asyncio.create_task(self._step(step))] = step
                if not tasks:
                    break
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: tasks[task].index):
                    step = tasks.pop(task)
                    result = task.result()
                    self._done(result)
                    if not result.ok:
                        failed = failed or step.name
        finally:
            for task in tasks:
                task.cancel()
            # The steps themselves see to it that this ends: programs are killed, what is half-done is finished.
            await _end_of(tasks)
        for step in steps:
            result = StepResult(
                step=step,
                state=StepState.SKIPPED,
                why=f"{failed} failed",
                started_s=self._clock.passed_s(),
            )
            self._done(result)

    def _done(self, result: StepResult) -> None:
        self._results[result.step.index] = result
        self._events.emit(StepFinished(result=result))
        total = len(self._session.graph.steps)
        self._events.emit(Progress(phase="build", item=result.step.name, done=len(self._results), total=total))

    async def _step(self, step: Step) -> StepResult:
        started_s = self._clock.passed_s()
        why = "it cannot be told whether it is up to date"
        try:
            verdict = await in_thread(lambda: self._session.planner.one(step), self._session.stop)
            why = verdict.plan.why
            result = await self._carry_out(verdict)
        except (DxForgeError, OSError) as error:
            if isinstance(error, OSError):
                error = write_error(error, error.filename or step.name, "an output cannot be replaced")
            result = StepResult(step=step, state=StepState.FAILED, why=why, error=str(error))
        return replace(result, started_s=started_s, duration_s=self._clock.passed_s() - started_s)

    async def _carry_out(self, verdict: Verdict) -> StepResult:
        session = self._session
        if verdict.state is StepState.UP_TO_DATE:
            return settle(verdict, session, self._events, self._clock)
        notes: list[str] = []
        if verdict.state is StepState.RESTORE:
            try:
                notes = await in_thread(lambda: session.work.restore(verdict))
            except (DamagedError, StagingError) as error:
                why = verdict.plan.why.removesuffix(FROM_CACHE)
                plan = replace(verdict.plan, state=StepState.RUN, why=f"{why}, and cannot be restored: {error}")
                verdict = replace(verdict, plan=plan, record=None)
            else:
                result = settle(verdict, session, self._events, self._clock, state=StepState.RESTORED)
                return replace(result, notes=(*result.notes, *notes))
        return await self._once(verdict)

    async def _once(self, verdict: Verdict) -> StepResult:
        """Run a step, unless one with the same key does or did: only steps without outputs can share one."""
        key = verdict.plan.key
        if not key or verdict.step.outputs:
            return await self._run(verdict)
        async with self._locks.setdefault(key, asyncio.Lock()):
            first = self._ran.get(key)
            if first is None:
                self._ran[key] = await self._run(verdict)
                return self._ran[key]
            await in_thread(lambda: self._session.work.share(first.step, verdict.step))
            state = StepState.UP_TO_DATE if first.ok else first.state
            why = f"the same as build.steps[{first.step.index}]"
            return replace(first, step=verdict.step, state=state, why=why, saved_s=first.duration_s)

    async def _run(self, verdict: Verdict) -> StepResult:
        """Run a step's program."""
        step, work = verdict.step, self._session.work
        transcript = Transcript()
        aside, notes = await in_thread(lambda: work.clear(verdict))
        self._events.emit(StepStarted(index=step.index, tool=step.tool, args=step.args, why=verdict.plan.why))

        def on_output(stream: str, text: str) -> None:
            transcript.add(stream, text)
            self._events.emit(StepOutput(index=step.index, tool=step.tool, stream=stream, text=text))

        try:
            execution = await self._toolbox.execute(step.tool, step.args, on_output=on_output)
        except DxForgeError as error:
            reason = str(error)
            left = await in_thread(lambda: work.left(verdict, transcript, aside, reason=reason))
            return _result(verdict, StepState.FAILED, error=reason, notes=(*notes, *left))
        except BaseException:
            # There will be no report to say this in.
            for note in await in_thread(lambda: work.left(verdict, transcript, aside)):
                self._events.emit(Notice(text=note))
            raise
        after = await in_thread(lambda: work.after(verdict, execution, transcript, aside))
        result = _result(verdict, after.state, error=after.error, notes=(*notes, *after.notes))
        return replace(
            result,
            exit_code=execution.exit_code,
            stdout=execution.stdout,
            stderr=execution.stderr,
            stdout_path=execution.stdout_path,
            stderr_path=execution.stderr_path,
        )


def _result(verdict: Verdict, state: StepState, *, error: str, notes: Sequence[str]) -> StepResult:
    plan = verdict.plan
    return StepResult(
        step=plan.step,
        state=state,
        why=plan.why,
        error=error,
        changes=plan.changes,
        key=plan.key,
        notes=(*plan.notes, *notes),
    )


async def in_thread(work: Callable[[], T], stop: Stop | None = None) -> T:
    """Do blocking work in a thread. A cancellation waits for its end: what it leaves is whole.

    Args:
        work: what to do.
        stop: lets it give up, where it can.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop.asked = True
        await _end_of([future])
        raise


async def _end_of(futures: Collection[asyncio.Future[Any]]) -> None:
    """Wait until all are done, however often that is cancelled; what came of them is dropped."""
    while not all(future.done() for future in futures):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(futures)
    for future in futures:
        if not future.cancelled():
            future.exception()
