"""One run of a task in this process, and what its runner sees of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dxforge.background.tasks import BackgroundTask, TaskProgress, TaskProgressed
from dxforge.errors import TaskCancelledError

if TYPE_CHECKING:
    from dxforge.background.handle import TaskHandle
    from dxforge.events import EventBus

Runner = Callable[["TaskContext"], object]

_SHOWN_S = 0.1


class TaskContext:
    """What a runner is given.

    Attributes:
        task: what to do.
        attempt: 1 for the first run.
        events: where other events than progress go.
    """

    def __init__(
        self,
        run: Run,
        events: EventBus,
        enqueue: Callable[[BackgroundTask], TaskHandle],
        tell: Callable[[TaskProgressed], None],
    ) -> None:
        self.task = run.task
        self.attempt = run.attempt
        self.events = events
        self._run = run
        self._enqueue = enqueue
        self._tell = tell
        self._told_s = float("-inf")

    def check(self) -> None:
        """Raise where the task is to stop: cancelled, the worker closes, or the lease was lost.

        Raises:
            TaskCancelledError: to be let through; what the runner leaves behind must be fit for another run.
        """
        if self._run.stop.is_set():
            raise TaskCancelledError("it was asked to stop", task=str(self.task))

    def when_stopped(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the task is to stop, in another thread; it must not block nor raise."""
        self._run.stopped.append(callback)
        if self._run.stop.is_set():
            callback()

    def progress(self, done: int, total: int | None = None, item: str = "") -> None:
        """Tell how far the work is: ``done`` of ``total`` steps; ``item`` names the present one."""
        progress = TaskProgress(done=done, total=total, item=item)
        self._run.progress = progress
        for handle in self._run.handles:
            handle.progress = progress
        now_s = time.monotonic()
        if now_s - self._told_s >= _SHOWN_S or done == total:
            self._told_s = now_s
            self._tell(TaskProgressed(id=self._run.id, task=self.task, progress=progress))

    def enqueue(self, task: BackgroundTask) -> TaskHandle:
        """Enqueue another task; never wait for it here, where it may need this thread."""
        return self._enqueue(task)


class Run:
    """A task that this process has the lease of. Made by the keeper, carried out by a thread of its pool.

    ``result`` and ``error`` are there when it comes back to the keeper.
    """

    def __init__(
        self, *, id: int, task: BackgroundTask, attempt: int, runner: Runner, handles: list[TaskHandle]
    ) -> None:
        self.id = id
        self.task = task
        self.attempt = attempt
        self.handles = handles
        self.progress = TaskProgress()
        self.stop = threading.Event()
        self.stopped: list[Callable[[], object]] = []
        self.cancelled = False
        """Whether to stop means the task itself, not only this run."""
        self.lost = False
        """Whether the lease is gone: what it comes to is no longer for us to write down."""
        self.result: Any = None
        self.error: BaseException | None = None
        self._runner = runner

    def ask_to_stop(self) -> None:
        """Let the runner's next ``check()`` raise."""
        self.stop.set()
        for callback in tuple(self.stopped):
            callback()

    def carry_out(self, context: TaskContext) -> None:
        """Call the runner; whatever it raises is this run's error."""
        try:
            context.check()
            self.result = self._runner(context)
        except BaseException as error:  # noqa: BLE001 - a runner that calls exit() must not end the thread
            self.error = error
