"""``Builder``: plans and builds the steps of ``[build]``."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from dxforge.build.cache import Cache, LocalCache
from dxforge.build.digests import Digests
from dxforge.build.events import StepFinished, WaitingForBuild
from dxforge.build.graph import DEFAULT, make_graph
from dxforge.build.model import SHOWN, BuildPlan, BuildReport, PendingFile, StepResult, StepState
from dxforge.build.planner import Planner, Records, read_by_steps
from dxforge.build.replace import check_places
from dxforge.build.session import Clock, Session, Stop, finish, settle
from dxforge.build.toolbox import Toolbox, ToolFacts
from dxforge.build.work import Work
from dxforge.config.model import BuildConfig
from dxforge.errors import BuildPlanError, ProjectBusyError, UnknownToolError, WriteError
from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock

_POLL_S = 0.05


class Builder:
    """Plans and builds a project's steps.

    Args:
        root: the project's folder.
        config: ``[build]``; where it says nothing, the contract's default pipeline is built.
        toolbox: the project's tools.
        events: where `dxforge.build.events` go, in whatever thread they happen.
        jobs: so many programs run at once (default: one per core).
        cache: where results are kept (default: in ``.dx/build``, up to 5 GiB).
        packages_dir: where the injected packages lie, which no step may write.
    """

    def __init__(
        self,
        root: Path | str,
        config: BuildConfig,
        toolbox: Toolbox,
        events: EventBus | None = None,
        *,
        jobs: int | None = None,
        cache: Cache | None = None,
        packages_dir: str = "",
    ) -> None:
        self._root = os.path.abspath(root)
        self._folder = Path(self._root) / ".dx" / "build"
        self._config = config if config.steps or config.needs else DEFAULT
        self._toolbox = toolbox
        self._events = events or EventBus()
        self._jobs = jobs or _cores()
        self._cache = cache or LocalCache(self._folder)
        self._packages_dir = packages_dir

    async def plan(self, *, force: bool = False, pending: Sequence[PendingFile] = ()) -> BuildPlan:
        """What a build would do now, and why. Writes nothing, starts nothing.

        Args:
            force: as if nothing had been built before.
            pending: files that await a decision; those that would keep the build from starting are in the plan.

        Raises:
            BuildPlanError: the steps cannot be a graph.
            ToolError: a tool's program cannot be found.
            BuildError: an input cannot be read.
        """
        from dxforge.build.run import in_thread

        started = time.monotonic()
        session = self._session(force=force)
        verdicts, notes = await in_thread(session.planner.all, session.stop)
        return BuildPlan(
            steps=tuple(verdict.plan for verdict in verdicts),
            needs=self._config.needs,
            pending=read_by_steps(session.graph, pending),
            notes=tuple(notes),
            duration_s=time.monotonic() - started,
        )

    async def build(
        self, *, force: bool = False, allow_pending: bool = False, pending: Sequence[PendingFile] = ()
    ) -> BuildReport:
        """Start the needed tools, then build what is not up to date. Waits for another build of the same project.

        A cancellation kills the steps that run, and leaves outputs and cache whole.

        Args:
            force: run all steps.
            allow_pending: build although files that steps read await a decision.
            pending: all such files. Unless allowed, nothing is run when a step reads one of them: the report is then
                not ok, and lists them.

        Returns:
            The report; not ok when a step failed.

        Raises:
            BuildPlanError: the steps cannot be a graph.
            ToolError: a tool's program cannot be found, or a needed tool does not become ready.
            BuildError: an input cannot be read.
        """
        from dxforge.build.run import Run

        clock = Clock()
        session = self._session(force=force)
        blocking = read_by_steps(session.graph, pending)
        if blocking and not allow_pending:
            return self._report(clock, session, [], [], pending=blocking, ok=False)
        notes = _due(blocking)
        async with contextlib.AsyncExitStack() as stack:
            notes += await self._lock(stack)
            run = Run(session, self._toolbox, self._events, jobs=self._jobs, clock=clock)
            results, more = await run.all()
            report = self._report(clock, session, results, [*notes, *more], pending=blocking)
            return await run.finish(report)

    def up_to_date(self, *, allow_pending: bool = False, pending: Sequence[PendingFile] = ()) -> BuildReport | None:
        """The report of a build in which nothing is to be done, or None: then `build` has something to do.

        Needs no event loop, which spares a command line program half of its time. Blocks while it reads.

        Args:
            allow_pending: as for `build`.
            pending: as for `build`.

        Raises:
            BuildPlanError, ToolError, BuildError: as `build`.
        """
        clock = Clock()
        session = self._session()
        blocking = read_by_steps(session.graph, pending)
        if self._config.needs or (blocking and not allow_pending) or any_in(self._folder / "staging"):
            return None
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._try_lock())
            except (OSError, ProjectBusyError, WriteError):
                return None
            verdicts, notes = session.planner.all()
            if any(verdict.state is not StepState.UP_TO_DATE for verdict in verdicts):
                return None
            results = [settle(verdict, session, self._events, clock) for verdict in verdicts]
            for result in results:
                self._events.emit(StepFinished(result=result))
            return finish(session, self._report(clock, session, results, [*_due(blocking), *notes], pending=blocking))

    def _session(self, *, force: bool = False) -> Session:
        facts = self._facts()
        graph = make_graph(self._config, facts, packages_dir=self._packages_dir)
        check_places(
            self._root,
            {path: f"dx.toml: build.steps[{step.index}].outputs" for step in graph.steps for path in step.outputs},
        )
        stop = Stop()
        digests = Digests(self._root, self._folder / "stat", stop=stop.check)
        records = Records(self._folder)
        cache = self._cache
        planner = Planner(self._root, graph, facts, cache=cache, records=records, digests=digests, force=force)
        return Session(
            root=self._root,
            folder=self._folder,
            graph=graph,
            needs=self._config.needs,
            records=records,
            digests=digests,
            planner=planner,
            work=Work(self._root, self._folder, planner=planner, cache=cache, records=records, digests=digests),
            stop=stop,
        )

    def _facts(self) -> dict[str, ToolFacts]:
        for index, name in enumerate(self._config.needs):
            self._known(name, f"build.needs[{index}]")
        facts: dict[str, ToolFacts] = {}
        for index, step in enumerate(self._config.steps):
            if step.tool not in facts:
                facts[step.tool] = self._known(step.tool, f"build.steps[{index}].tool")
        return facts

    def _known(self, name: str, key: str) -> ToolFacts:
        try:
            return self._toolbox.definition(name)
        except UnknownToolError as error:
            if self._config is DEFAULT:
                hint = f"Declare [tools.{name}], or say what to build in [[build.steps]]"
                raise BuildPlanError(error.what, where="dx.toml: the build without steps", hint=hint) from error
            raise BuildPlanError(error.what, where=f"dx.toml: {key}", hint=error.hint) from error

    def _try_lock(self) -> contextlib.AbstractContextManager[None]:
        prepare_state_dir(Path(self._root))
        self._folder.mkdir(exist_ok=True)
        return project_lock(self._folder, wait_s=0, events=self._events)

    async def _lock(self, stack: contextlib.AsyncExitStack) -> list[str]:
        """Hold the build's lock until ``stack`` is left; returns notes."""
        import asyncio

        told = False
        while True:
            try:
                stack.enter_context(self._try_lock())
            except ProjectBusyError as error:
                if not told:
                    who = f"process {error.pid}" if error.pid else "another process"
                    text = f"{who} is building this project: waiting for its end"
                    self._events.emit(WaitingForBuild(text=text, pid=error.pid))
                    told = True
                await asyncio.sleep(_POLL_S)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                return [
                    f"nothing of this build can be kept: {self._folder}: {reason}; move it away, and it is made anew"
                ]
            except WriteError as error:
                return [f"nothing of this build can be kept: {error}"]
            else:
                return []

    def _report(
        self,
        clock: Clock,
        session: Session,
        results: Sequence[StepResult],
        notes: Sequence[str],
        *,
        pending: tuple[PendingFile, ...] = (),
        ok: bool = True,
    ) -> BuildReport:
        return BuildReport(
            ok=ok and all(result.ok for result in results),
            steps=tuple(sorted(results, key=lambda result: result.step.index)),
            pending=pending,
            needs=session.needs,
            notes=tuple(notes),
            duration_s=clock.passed_s(),
            started=clock.started,
        )


def _due(files: Sequence[PendingFile]) -> list[str]:
    return [f"built although a decision is due: {_paths(files)}"] if files else []


def _paths(files: Sequence[PendingFile]) -> str:
    return ", ".join(file.path for file in files[:SHOWN]) + (", …" if len(files) > SHOWN else "")


def any_in(folder: Path) -> bool:
    """Whether there is anything in ``folder``."""
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
