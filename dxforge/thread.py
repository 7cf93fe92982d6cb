"""``ForgeThread``: a forge on an event loop and thread of its own, for sync callers and notebooks."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dxforge.errors import UsageError

if TYPE_CHECKING:
    from dxforge.events import EventBus
    from dxforge.forge import DxForge
    from dxforge.pipelines import Report

T = TypeVar("T")

_POLL_S = 0.1


class ForgeThread:
    """A forge for callers without a loop, or with one that must not be touched.

    ``with ForgeThread(root) as forge: forge.run_pipeline("install")``, or :meth:`start` and :meth:`close` by hand. The
    caller's event loop, if it has one, is neither used nor patched.

    Args:
        root: the project's folder.
        events: the forge's events; a bus of its own where None.
        run_tasks: False: background tasks are only written down, for another process of the project to run.
    """

    def __init__(self, root: Path | str, *, events: EventBus | None = None, run_tasks: bool = True) -> None:
        self.root = Path(root).absolute()
        self._events = events
        self._run_tasks = run_tasks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._forge: DxForge | None = None

    def __repr__(self) -> str:
        return f"<ForgeThread: {self.root.name}, {'running' if self.running else 'not running'}>"

    @property
    def running(self) -> bool:
        """Started, and not closed."""
        return self._forge is not None

    @property
    def forge(self) -> DxForge:
        """The forge itself; its async methods go through :meth:`run`.

        Raises:
            UsageError: not started, or closed.
        """
        if self._forge is None:
            raise UsageError("this ForgeThread is not running", hint="Use it as a `with` block, or call start() first")
        return self._forge

    def start(self) -> Self:
        """Start the thread and open the forge; does nothing when it is running."""
        if self._forge is not None:
            return self
        from dxforge.forge import DxForge

        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=_serve, args=(loop,), name="dxforge", daemon=True)
        self._thread.start()
        try:
            self._forge = self._wait(DxForge.new(self.root, events=self._events, run_tasks=self._run_tasks))
        except BaseException:
            self._stop_loop()
            raise
        return self

    @property
    def traffic_manager(self) -> Any:
        """The traffic manager for sync callers: its async methods are waited for, everything else is as it is."""
        return _Waiting(self, self.forge.traffic_manager)

    @property
    def orchestrator(self) -> Any:
        """The orchestrator for sync callers, likewise."""
        return _Waiting(self, self.forge.orchestrator)

    @property
    def background_worker(self) -> Any:
        """The background worker for sync callers, likewise; ``enqueue(task).result()`` waits for one task."""
        return _Waiting(self, self.forge.background_worker)

    def run(self, work: Coroutine[Any, Any, T], *, meanwhile: Callable[[], None] | None = None) -> T:
        """Run a coroutine on the forge's loop and wait for it.

        An interrupt (Ctrl-C, a notebook's stop button) cancels it, waits until it has stopped cleanly, and is raised;
        a second one stops waiting.

        Args:
            work: the coroutine.
            meanwhile: called in the waiting thread, about ten times a second. What it raises ends the work as an
                interrupt does.
        """
        try:
            self.forge  # noqa: B018 - raises when there is no loop to run on
        except UsageError:
            work.close()
            raise
        return self._wait(work, meanwhile)

    def post(self, call: Callable[[], object]) -> None:
        """Have ``call`` called on the forge's loop, soon. Any thread; never waits.

        Raises:
            UsageError: not started, or closed.
        """
        loop = self._loop
        try:
            if loop is None or self._forge is None:
                raise RuntimeError
            loop.call_soon_threadsafe(call)
        except RuntimeError as error:  # closed in this very moment
            raise UsageError("this ForgeThread is not running", hint="Call start() first") from error

    def run_pipeline(self, command: str) -> Report:
        """:meth:`DxForge.run_pipeline`, waited for."""
        return self.run(self.forge.run_pipeline(command))

    def close(self) -> None:
        """Close the forge and end the thread; may be called more than once."""
        if self._forge is not None:
            forge, self._forge = self._forge, None
            try:
                self._wait(forge.close())
            finally:
                self._stop_loop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] | None = None) -> T:
        loop, thread = self._loop, self._thread
        if loop is None or thread is threading.current_thread():
            work.close()
            raise UsageError("a ForgeThread cannot be waited for from its own loop", hint="Use `await` there")
        task: asyncio.Task[T] | None = None
        ended = threading.Event()

        def begin() -> None:
            nonlocal task
            task = loop.create_task(work)
            task.add_done_callback(finish)

        def finish(done: asyncio.Task[T]) -> None:
            if not done.cancelled():
                done.exception()  # seen: an interrupted caller does not ask for it
            ended.set()

        def cancel() -> None:
            if task is None:
                work.close()
                ended.set()
            else:
                task.cancel()

        try:
            loop.call_soon_threadsafe(begin)
            # In short pieces, so that an interrupt is noticed on every platform.
            while not ended.wait(_POLL_S):
                if meanwhile is not None:
                    meanwhile()
        except BaseException:
            loop.call_soon_threadsafe(cancel)
            # The work may be past its last safe stop; what it leaves must be whole before anyone goes on.
            while not ended.wait(_POLL_S):
                pass
            raise
        assert task is not None  # noqa: S101 - it has ended
        return task.result()

    def _stop_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


class _Waiting:
    """Another object whose async methods are run on a ForgeThread and waited for."""

    def __init__(self, thread: ForgeThread, target: object) -> None:
        self._thread = thread
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        def wait(*args: Any, **options: Any) -> Any:
            return self._thread.run(found(*args, **options))

        return wait

    def __dir__(self) -> list[str]:
        return dir(self._target)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # Closed while other threads still wait for work of theirs: it ends, so that they do not wait for ever.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
