"""``DxForge``: builds the parts of a project's forge, opens and closes them."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from dxforge import pipelines
from dxforge.errors import DxForgeError, UsageError
from dxforge.events import EventBus

if TYPE_CHECKING:
    from dxforge.orchestrator.orchestrator import Orchestrator
    from dxforge.orchestrator.registry import Registry
    from dxforge.runners import BackgroundWorker
    from dxforge.traffic.manager import TrafficManager


CLOSE_S = 3.0
"""So long, closing waits for background tasks; what is not done then is done by the next session."""


class DxForge:
    """A project's forge, to be used as ``async with DxForge(root) as forge:``.

    Args:
        root: the project's folder.
        events: where to tell what happens; a bus of its own where None.
        run_tasks: False: background tasks are only written down, for another process of the project to run.

    Attributes:
        events: what happens, for progress bars and panels to listen to.
    """

    def __init__(self, root: Path | str, *, events: EventBus | None = None, run_tasks: bool = True) -> None:
        self.root = Path(root).absolute()
        self.events = events or EventBus()
        self._run_tasks = run_tasks
        self._background_worker: BackgroundWorker | None = None
        self._traffic_manager: TrafficManager | None = None
        self._tool_registry: Registry | None = None
        self._orchestrator: Orchestrator | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<DxForge: {self.root.name}>"

    @classmethod
    async def new(cls, root: Path | str, *, events: EventBus | None = None, run_tasks: bool = True) -> Self:
        """Make and open a forge by hand; :meth:`close` it in the end."""
        forge = cls(root, events=events, run_tasks=run_tasks)
        await forge.open()
        return forge

    async def open(self) -> None:
        """Take back what a killed process may have left half-done; a project that someone works on is left alone.

        Background tasks that earlier sessions left waiting go on.
        """
        with self._lock:
            if self._closed:
                self._orchestrator, self._background_worker, self._closed = None, None, False
        await self.traffic_manager.recover()
        if self._run_tasks and (self.root / ".dx" / "state.db").exists() and pipelines.background_is_on():
            await self.background_worker.start()

    # Parts are made when they are first used, so that nobody pays for what the others import.

    @property
    def traffic_manager(self) -> TrafficManager:
        """Packages, the traffic light and review."""
        from dxforge.traffic.manager import TrafficManager

        with self._lock:
            if self._traffic_manager is None:
                self._traffic_manager = TrafficManager(self.root, events=self.events)
            return self._traffic_manager

    @property
    def tool_registry(self) -> Registry:
        """What tools there are: all that it takes to look one up, without what it takes to run it."""
        from dxforge.orchestrator.registry import Registry

        with self._lock:
            if self._tool_registry is None:
                self._tool_registry = Registry(self.root)
            return self._tool_registry

    @property
    def orchestrator(self) -> Orchestrator:
        """The project's tools, those of ``dx.toml`` and those registered."""
        from dxforge.orchestrator.orchestrator import Orchestrator

        registry = self.tool_registry
        with self._lock:
            if self._orchestrator is None:
                self._orchestrator = Orchestrator(self.root, events=self.events, registry=registry)
            return self._orchestrator

    @property
    def background_worker(self) -> BackgroundWorker:
        """Snapshots, sync, prefetching and analysis, beside everything else."""
        from dxforge.runners import BackgroundWorker, runners_for

        with self._lock:
            if self._background_worker is None:
                runners = runners_for(self.root) if self._run_tasks else {}
                self._background_worker = BackgroundWorker(self.root, runners=runners, events=self.events)
            return self._background_worker

    async def close(self) -> None:
        """Let go of everything; may be called more than once.

        Background tasks get three seconds to be done; the next session goes on with what is left.

        Tools that this forge started are stopped, unless another session uses them too, or they are to be kept. That
        takes, for each tool of a chain of dependents, at most its grace time and 10 s. Cancelling ends the wait only.

        Raises:
            ToolStopError: a process of a tool is still there after it was killed.
        """
        import asyncio

        with self._lock:
            self._closed = True
        closing: list[Coroutine[object, object, None]] = []
        if self._background_worker is not None:
            closing.append(self._background_worker.close(CLOSE_S if self._run_tasks else 0.0))
        if self._orchestrator is not None:
            closing.append(self._orchestrator.close(final=True))
        # At the same time; what one of them cannot do does not keep the other from it.
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if outcome is not None:
                raise outcome

    def left_tasks(self) -> bool:
        """Whether background tasks that could run now were left to others, when this forge was closed."""
        worker = self._background_worker
        return worker is not None and any(
            info.state.value == "waiting" and not info.retry_in_s for info in worker.tasks(recent=0)
        )

    def __enter__(self) -> NoReturn:
        raise UsageError(
            "a DxForge is opened with `async with`",
            where="with DxForge(...)",
            hint="In a notebook, await works at the top level of a cell; without await, use dxforge.ForgeThread",
        )

    def __exit__(self, *_: object) -> None:
        """Only there so that `__enter__` is asked."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except DxForgeError as second:
            if error is None:
                raise
            error.add_note(f"And then, closing: {second}")

    async def run_pipeline(self, command: str) -> pipelines.Report:
        """Run ``"install"`` or ``"build"``.

        An unknown command changes nothing, logs a warning that names the known ones and the nearest match, and returns
        a report whose ``ok`` is False.

        Raises:
            DxForgeError: what the pipeline raises. A step that fails is no error but in the report, with ``ok`` False.
            UsageError: ``command`` is no text.
        """
        if not isinstance(command, str):
            raise UsageError(
                f"the command is a text, not {type(command).__name__}",
                where="run_pipeline",
                hint='Write run_pipeline("install") or run_pipeline("build")',
            )
        return await pipelines.run(self, command)
