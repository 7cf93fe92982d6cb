"""The tasks that somebody in this process waits for: which handle belongs to which line of the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from dxforge.background.handle import TaskHandle
from dxforge.background.tasks import BackgroundTask, TaskChanged, TaskProgress, TaskState
from dxforge.errors import TaskCancelledError, TaskError, TaskFailedError, TaskHandedOverError
from dxforge.events import Event, EventBus

_log = logging.getLogger("dxforge")


class Book:
    """Handles by key while their task waits, and by number until it is over.

    ``waiting`` is what callers in any thread look at; everything else is the keeper's.
    """

    def __init__(self, events: EventBus) -> None:
        self.waiting: dict[str, TaskHandle] = {}
        """What an equal task joins. An entry goes when its task is about to run, or to be cancelled."""
        self.open: dict[int, list[TaskHandle]] = {}
        self._events = events

    # -- callers' threads -------------------------------------------------------------------------------------------

    def join(self, task: BackgroundTask, cancel: Callable[[TaskHandle], None]) -> tuple[TaskHandle, bool]:
        """The handle of ``task``, and whether the keeper must hear of it.

        It must even of a task that is known to wait, once that is in the journal: another process may run it already.
        """
        handle = TaskHandle(task, cancel)
        known = self.waiting.setdefault(task.key, handle)
        return known, known is handle or known.taken

    def part(self, handle: TaskHandle) -> None:
        """Equal tasks join ``handle`` no more."""
        if self.waiting.get(handle.task.key) is handle:
            self.waiting.pop(handle.task.key, None)

    def everyone(self) -> list[TaskHandle]:
        """Every handle whose task is not over."""
        found = {id(handle): handle for handle in list(self.waiting.values())}
        for handles in list(self.open.values()):
            found.update((id(handle), handle) for handle in handles)
        return [handle for handle in found.values() if not handle.settled]

    # -- the keeper's thread ----------------------------------------------------------------------------------------

    def entered(self, handle: TaskHandle, number: int, *, saved: bool) -> None:
        """The journal has the task of ``handle`` as ``number``."""
        if handle.settled or handle.id == number:
            return
        if handle.id is not None and handle in self.open.get(handle.id, ()):
            # It was enqueued again when its first run had already begun elsewhere: what counts is the later run.
            self.open[handle.id].remove(handle)
        handle.id, handle.saved = number, saved
        self.open.setdefault(number, []).append(handle)
        self.show(number, handle.task, TaskState.WAITING)

    def begins(self, number: int, task: BackgroundTask) -> list[TaskHandle]:
        """The task is about to run: who enqueues an equal one from here on means what this run may not see."""
        self.waiting.pop(task.key, None)
        handles = self.open.setdefault(number, [])
        self.show(number, task, TaskState.RUNNING)
        return handles

    def follow(self, number: int, state: TaskState, reason: str, progress: TaskProgress) -> None:
        """Another process has the task."""
        for handle in self.open.get(number, ()):
            if state is TaskState.RUNNING:
                self.part(handle)
            handle.progress = progress
            if handle.state is not state:
                self.show(number, handle.task, state, reason)

    def moved(self, number: int, to: int) -> None:
        """The task has become another one."""
        handles = self.open.pop(number, [])
        for handle in handles:
            handle.id = to
        self.open.setdefault(to, []).extend(handles)

    def show(self, number: int, task: BackgroundTask, state: TaskState, reason: str = "") -> None:
        """The task is in another state."""
        for handle in self.open.get(number, ()):
            handle.state, handle.reason = state, reason
        self.tell(TaskChanged(id=number, task=task, state=state, reason=reason))

    def over(
        self,
        number: int,
        task: BackgroundTask | None,
        state: TaskState,
        *,
        reason: str = "",
        result: object = None,
        cause: BaseException | None = None,
        attempts: int = 1,
    ) -> None:
        """The task has ended: everyone who waits hears of it."""
        handles = self.open.pop(number, [])
        for handle in handles:
            self.part(handle)
            handle.state, handle.reason = state, reason
        task = task or (handles[0].task if handles else None)
        if task is None:
            return
        self.tell(TaskChanged(id=number, task=task, state=state, reason=reason))
        error: TaskError | None = None
        if state is TaskState.CANCELLED:
            error = TaskCancelledError("it was cancelled", task=str(task))
        elif state is TaskState.FAILED:
            hint = "See to that, then run it again"
            error = TaskFailedError(reason.removesuffix("."), task=str(task), hint=hint, attempts=attempts)
            error.__cause__ = cause
        self.settle(handles, result, error)

    def settle(self, handles: Iterable[TaskHandle], result: object = None, error: BaseException | None = None) -> None:
        """Let whoever waits go on."""
        for handle in handles:
            handle.settle(result, error)

    def hand_over(self) -> int:
        """Nobody here sees to the tasks any more; how many of them are not in the journal either."""
        handles = self.everyone()
        for handle in handles:
            what = "the worker was closed before it was done" + (
                "" if handle.saved else ", and it was not written down"
            )
            hint = (
                "It waits in the journal; the next worker of this project does it" if handle.saved else "Run it again"
            )
            handle.settle(error=TaskHandedOverError(what, task=str(handle.task), hint=hint))
        self.waiting.clear()
        self.open.clear()
        return sum(not handle.saved for handle in handles)

    def tell(self, event: Event) -> None:
        """Emit ``event``; a listener's error must not stop the queue."""
        try:
            self._events.emit(event)
        except Exception:  # noqa: BLE001 - whatever it is
            _log.exception("a listener failed on %r", event)
