"""What ``enqueue`` returns: to be awaited on any event loop, or waited for from none."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from dxforge.background.tasks import TaskProgress, TaskState
from dxforge.errors import TaskTimeoutError

if TYPE_CHECKING:
    from dxforge.background.tasks import BackgroundTask

_POLL_S = 0.5


class Promise:
    """A value or an error that comes once. Takes no lock, so a signal handler or finalizer may use it as well.

    Whoever settles it and whoever waits both take waiters off the same list, and `list.pop` hands each out once; of
    what it is settled with, the first entry of a list counts.
    """

    __slots__ = ("__weakref__", "_settled", "_waiters")

    def __init__(self) -> None:
        self._settled: list[tuple[Any, BaseException | None]] = []
        self._waiters: list[Callable[[], object]] = []

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Give it its value, or error; only the first counts."""
        self._settled.append((value, error))
        self._call()

    @property
    def settled(self) -> bool:
        """Whether the value or error is there."""
        return bool(self._settled)

    def when_settled(self, waiter: Callable[[], object]) -> None:
        """Call ``waiter`` once, now or in the thread that settles it; it must not block nor raise."""
        self._waiters.append(waiter)
        if self._settled:
            self._call()

    def _call(self) -> None:
        while self._waiters:
            try:
                waiter = self._waiters.pop()
            except IndexError:
                return
            waiter()

    def wait(self, timeout_s: float | None) -> bool:
        """Block this thread until it is settled, at most ``timeout_s`` seconds; whether it is."""
        if not self._settled:
            bell = threading.Event()
            self.when_settled(bell.set)
            left_s = timeout_s
            # In pieces, so that an interrupt is noticed on every platform.
            while not bell.is_set() and (left_s is None or left_s > 0):
                piece_s = _POLL_S if left_s is None else min(_POLL_S, left_s)
                bell.wait(piece_s)
                left_s = None if left_s is None else left_s - piece_s
        return bool(self._settled)

    async def wait_async(self, timeout_s: float | None) -> bool:
        """:meth:`wait` without blocking the running loop."""
        if not self._settled:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self.when_settled(functools.partial(_ring, loop, future))
            await asyncio.wait((future,), timeout=timeout_s)
        return bool(self._settled)

    def value(self) -> Any:
        """The value; raises the error. Only when it is settled."""
        value, error = self._settled[0]
        if error is not None:
            # The same error may be raised by several who wait: none shall see the frames of another.
            raise error.with_traceback(None)
        return value


def _ring(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_finish, future)
    except RuntimeError:
        pass  # that loop is closed, so nobody waits on it any more


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class TaskHandle(Promise):
    """A task that was enqueued. Equal tasks that wait are one task, and have one handle.

    ``await handle`` gives what the task came to, on any event loop; :meth:`result` the same without one. To stop
    waiting (a cancelled coroutine, a timeout) does not stop the task; :meth:`cancel` does.

    Attributes:
        task: what was enqueued.
        id: its number in the journal; None until it is there.
        saved: whether it is in the journal on disk, where it survives this process.
        state: how it stands, as far as this process knows.
        progress: how far it is.
        reason: why it failed, or why it is tried again.
    """

    __slots__ = ("_cancel", "id", "progress", "reason", "saved", "state", "taken", "task")

    def __init__(self, task: BackgroundTask, cancel: Callable[[TaskHandle], None]) -> None:
        super().__init__()
        self.task = task
        self.id: int | None = None
        self.state = TaskState.WAITING
        self.progress = _NOT_BEGUN
        self.reason = ""
        self.saved = False
        self.taken = False
        """Whether the keeper has seen it (`Book.join`)."""
        self._cancel = cancel

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self.settled

    def cancel(self) -> bool:
        """Ask the task to stop; False where it is done already.

        Waiting, it is cancelled at once; running, when it next looks. Whoever waits gets ``TaskCancelledError``.
        """
        if self.settled:
            return False
        self._cancel(self)
        return True

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait in this thread and return what the task came to (its JSON where another process ran it).

        Args:
            timeout_s: how long to wait at most, in seconds (None: as long as it takes).

        Raises:
            TaskFailedError: it failed, retries included; the cause is the original error.
            TaskCancelledError: it was cancelled.
            TaskHandedOverError: the worker was closed first; the task waits in the journal.
            TaskTimeoutError: not in time; the task goes on.
        """
        if not self.wait(timeout_s):
            raise TaskTimeoutError(
                f"it is not done after {timeout_s:g} s", task=str(self.task), hint="It goes on; wait again"
            )
        return self.value()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self.wait_async(None).__await__()
        return self.value()

    def __repr__(self) -> str:
        return f"<TaskHandle {self.task}: {self.state.value}>"


_NOT_BEGUN = TaskProgress()
