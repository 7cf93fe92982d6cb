"""The thread and event loop that supervision lives on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from dxforge.errors import UsageError

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]


class Runtime:
    """An event loop on a daemon thread of its own, which anyone may have work done on.

    So neither a caller's busy loop, nor its end, nor an interrupt in its thread disturbs what runs here; and an
    orchestrator that nobody closed does not keep the interpreter from ending.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closing = False
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._serve, name="dxforge-tools", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Job[T]:
        """Have ``work()`` done here, from any thread.

        Raises:
            UsageError: it is closing, or closed.
        """
        job = Job(work, self.loop)
        with self._lock:
            if self._closing:
                raise _closed()
            self.loop.call_soon_threadsafe(job.begin)
        return job

    async def call(self, work: Work[T], *, patient: bool = True) -> T:
        """Have ``work()`` done here and wait for it, on any loop.

        Cancelling this cancels the work; then it waits until the work has cleaned up, where it is ``patient``.

        Raises:
            UsageError: closed, before or meanwhile.
        """
        job = self.submit(work)
        waiting = asyncio.wrap_future(job.future)
        # Nobody may be left to hear of a failure.
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            job.cancel()
            try:
                if patient:
                    await asyncio.wait([waiting])
            finally:
                waiting.cancel()
            raise

    async def close(self, last: Work[None]) -> None:
        """Take no more work, do ``last()``, cancel what is left, and end the thread. Cancelling only ends the wait."""
        job = Job(lambda: self._finish(last), self.loop)
        with self._lock:
            first, self._closing = not self._closing, True
            if first:
                self.loop.call_soon_threadsafe(job.begin)
        await asyncio.shield(asyncio.wrap_future(self._ended))
        self._thread.join()  # it has nothing more to do
        if first:
            job.future.result()

    async def _finish(self, last: Work[None]) -> None:
        try:
            await last()
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
            self.loop.stop()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
            self._ended.set_result(None)


class Job(Generic[T]):
    """Work on a runtime's loop; ``future`` is its result, for any thread."""

    def __init__(self, work: Work[T], loop: asyncio.AbstractEventLoop) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        # Running from the start: who waits for it cannot cancel it behind our back.
        self.future.set_running_or_notify_cancel()
        self._work = work
        self._loop = loop
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        """Start it; on the loop."""
        self._task = self._loop.create_task(self._work())
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel it, from any thread. ``future`` is done when it has cleaned up."""
        if not self.future.done():
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            # By close(): whoever waits was not cancelled, and must not look so.
            self.future.set_exception(_closed())
        elif (error := task.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


def _closed() -> UsageError:
    return UsageError("the orchestrator was closed meanwhile", hint="Open the project again")
