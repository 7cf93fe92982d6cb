"""``BackgroundWorker``: does what nobody should have to wait for, and loses nothing of it."""

from __future__ import annotations

import _thread
import atexit
import dataclasses
import functools
import inspect
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from dxforge.background.handle import Promise, TaskHandle
from dxforge.background.keeper import GRACE_S, Cancel, Keeper
from dxforge.background.leases import forget_threads
from dxforge.background.run import Run, Runner, TaskContext
from dxforge.background.tables import read_all
from dxforge.background.tasks import KINDS, TASKS, BackgroundTask, TaskInfo, TaskState
from dxforge.background.trouble import FILE_NAME
from dxforge.errors import TaskHandedOverError, UnknownTaskError, UsageError, WorkerClosedError
from dxforge.events import EventBus, Notice

__all__ = ["BackgroundWorker", "TaskContext", "TaskHandle"]

_EXIT_S = 2.0
"""How long the end of the interpreter waits, for all workers together."""
_FORK_S = 1.0
_SLACK_S = 0.5


class BackgroundWorker:
    """Runs background tasks of one project, in threads of its own.

    Cheap to make: threads start, and the journal is opened, with the first task or :meth:`start`. Tasks are written to
    the journal in ``.dx/state.db``, which all processes of a project share: a task that a killed process left behind is
    done by the next one, and no task runs twice at the same time. Where the project cannot be written, tasks live in
    memory only, and a Notice says so.

    Events: TaskChanged, TaskProgressed, ChannelFull, Notice, all in the worker's threads.

    Args:
        root: the project's folder.
        runners: what does the work, by class of task or its name. A task of another kind waits in the journal for a
            worker that has a runner for it.
        events: where events go.
        workers: how many tasks run at a time.
    """

    def __init__(
        self,
        root: Path | str = ".",
        *,
        runners: Mapping[type[BackgroundTask] | str, Runner] | None = None,
        events: EventBus | None = None,
        workers: int = 2,
    ) -> None:
        self.root = Path(root).absolute()
        self.events = events or EventBus()
        self._workers = max(1, workers)
        self._runners = {_kind_of(kind): _ordinary(runner) for kind, runner in (runners or {}).items()}
        self._trouble = ""
        self.keeper = self._new_keeper(claims=True)
        _workers.add(self)

    # -- tasks ------------------------------------------------------------------------------------------------------

    def enqueue(self, task: BackgroundTask) -> TaskHandle:
        """Take a task, and return at once whatever the disk does.

        From any thread, with or without an event loop, also from a signal handler or a finalizer. An equal task that
        waits already is this one, and its handle is returned. Beyond 100 waiting tasks a ChannelFull event and a logged
        warning say so, once; none is dropped. In a process forked from the worker's, tasks are only written down, for
        the others to run, until :meth:`start` is called there.

        Raises:
            UsageError: ``task`` is none.
            WorkerClosedError: the worker was closed.
        """
        if type(task) not in TASKS:
            raise UsageError(
                f"{task!r:.80} is no background task",
                where="enqueue",
                hint="Pass for example BackgroundTask.CacheCurrentState()",
            )
        keeper = self._usable(str(task))
        handle = keeper.enqueue(task)
        if not keeper.unstarted.locked():
            self._begin(keeper)
        if keeper.ended.settled:  # it was closed in this very moment
            raise WorkerClosedError(_CLOSED, task=str(task), hint=_NEW)
        return handle

    def tasks(self, *, recent: int = 50) -> list[TaskInfo]:
        """What waits, runs and failed in the project, whoever runs it, and the ``recent`` last that ended otherwise.

        Reads the disk; starts nothing.
        """
        keeper = self.keeper
        journal = keeper.journal
        if journal is not None and journal.file is None:
            infos = journal.all(time.time(), recent=recent)
        else:
            infos = self._read(recent)
        running = dict(keeper.running)
        infos = [_with_progress(info, running) for info in infos]
        unwritten = [handle.task for handle in keeper.book.everyone() if handle.id is None]
        infos += [TaskInfo(id=None, kind=t.kind, argument=t.argument, state=TaskState.WAITING) for t in unwritten]
        return infos

    def _read(self, recent: int) -> list[TaskInfo]:
        """What the journal on disk says; nothing, and a notice, where it cannot be read."""
        import sqlite3

        try:
            infos, trouble = read_all(self.root / ".dx" / FILE_NAME, time.time(), recent=recent), ""
        except sqlite3.Error as error:
            infos, trouble = [], f".dx/{FILE_NAME} cannot be read, so background tasks are not shown: {error}"
        if trouble and trouble != self._trouble:
            self.keeper.book.tell(Notice(text=trouble))
        self._trouble = trouble
        return infos

    def retry(self, id: int) -> TaskHandle:
        """Enqueue a task that failed or was cancelled once more, with as many attempts as a new one.

        Raises:
            UnknownTaskError: there is no such task, or it is in another state.
        """
        info = self._info(id)
        task = info.task
        if task is None or info.state not in (TaskState.FAILED, TaskState.CANCELLED):
            raise UnknownTaskError(
                f"task {id} is {info.state.value}", task=f"{info.kind} {info.argument}".rstrip(), hint=_HOW_TO_SEE
            )
        return self.enqueue(task)

    def cancel(self, id: int) -> None:
        """Cancel a task by its number, whichever process runs it: at once where it waits, else when it next looks.

        Raises:
            UnknownTaskError: there is no such task, or it has ended.
        """
        info = self._info(id)
        if info.state.ended:
            raise UnknownTaskError(
                f"task {id} is {info.state.value}", task=f"{info.kind} {info.argument}".rstrip(), hint=_HOW_TO_SEE
            )
        keeper = self.keeper
        for handle in keeper.book.everyone():
            if handle.id == id:
                keeper.book.part(handle)
        keeper.inbox.put(Cancel(id=id))
        self._begin(keeper)

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the threads, and with them what earlier processes left behind. Calling it again is free.

        In a forked child this makes the worker run tasks there, too.

        Raises:
            WorkerClosedError: the worker was closed.
        """
        keeper = self._usable()
        keeper.claims = True
        self._begin(keeper)

    async def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no task is left that this worker can run, retries included, and none of its handles is open.

        Args:
            timeout_s: how long to wait at most, in seconds (None: as long as it takes).

        Returns:
            Whether all is done; False when the time was up.
        """
        keeper = self.keeper
        if not keeper.unstarted.locked():
            return True
        joiner = Promise()
        keeper.joiners.append(joiner)
        keeper.closed.when_settled(functools.partial(joiner.settle, value=False))
        keeper.inbox.put(None)
        return await joiner.wait_async(timeout_s) and bool(joiner.value())

    def flush(self, timeout_s: float) -> bool:
        """Wait in this thread until every task that was enqueued is in the journal on disk; whether it is.

        Args:
            timeout_s: how long to wait at most, in seconds.
        """
        keeper = self.keeper
        until_s = time.monotonic() + timeout_s
        while unsaved := [handle for handle in keeper.book.everyone() if not handle.saved]:
            if time.monotonic() >= until_s or keeper.closed.settled:
                return not unsaved
            time.sleep(0.005)
        return True

    async def close(self, timeout_s: float = 5.0) -> None:
        """Finish what can be finished in ``timeout_s`` seconds, and hand the rest over to the journal.

        Running tasks that are not done then are asked to stop; a second later this returns in any case. Whoever waits
        for a task that was handed over gets ``TaskHandedOverError``. May be called more than once.

        Args:
            timeout_s: in seconds; 0 hands over at once.
        """
        keeper = self.keeper
        keeper.close(timeout_s)
        if keeper.unstarted.acquire(blocking=False):
            keeper.end()
        if await keeper.closed.wait_async(timeout_s + GRACE_S + _SLACK_S):
            keeper.wait_for_thread()
            return
        unsaved = keeper.book.hand_over()
        if unsaved:
            text = f"{unsaved} background tasks could not be written down in time; they are lost if this process ends"
            keeper.book.tell(Notice(text=text))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _usable(self, task: str = "") -> Keeper:
        keeper = self.keeper
        if self.root in _unclean:
            what = "this process was forked from one that was just writing its journal"
            raise WorkerClosedError(what, task=task, hint="Start processes by `spawn`, or enqueue in the parent")
        if keeper.close_at_s is not None or keeper.ended.settled:
            raise WorkerClosedError(_CLOSED, task=task, hint=_NEW)
        return keeper

    def _new_keeper(self, *, claims: bool) -> Keeper:
        keeper = Keeper(self.root, self._runners, self.events, self._workers, claims=claims)
        _keepers.add(keeper)
        # Whoever forgets to close it: what is left waits for the next worker.
        weakref.finalize(self, keeper.close, 0.0).atexit = False
        return keeper

    def _begin(self, keeper: Keeper) -> None:
        if keeper.unstarted.acquire(blocking=False):
            try:
                # Not threading.Thread: its start() takes a lock that the code under a signal handler may hold. In a
                # thread of its own it may wait for that lock.
                _thread.start_new_thread(keeper.start, ())
            except RuntimeError:
                keeper.unstarted.release()  # there may be no more threads now; the next task tries again

    def _info(self, id: int) -> TaskInfo:
        for info in self.tasks(recent=1000):
            if info.id == id:
                return info
        raise UnknownTaskError(f"there is no task {id}", hint=_HOW_TO_SEE)

    def begin_anew_in_child(self, *, clean: bool) -> None:
        """Right after a fork, in the child: forget the parent's tasks, and touch nothing of its.

        Args:
            clean: whether the parent had let go of the journal.
        """
        for handle in self.keeper.book.everyone():
            what = "it belongs to the process that this one was forked from"
            handle.settle(error=TaskHandedOverError(what, task=str(handle.task), hint="Wait for it there"))
        if not clean:
            _unclean.add(self.root)
        self.keeper = self._new_keeper(claims=False)


_HOW_TO_SEE = "`dxforge status` lists the tasks with their numbers"
_CLOSED = "the worker is closed"
_NEW = "Make a new BackgroundWorker"
_workers: weakref.WeakSet[BackgroundWorker] = weakref.WeakSet()
_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()
_forking: dict[int, dict[int, bool]] = {}
"""By thread that forks: which keepers (by `id`) had let go of their file."""
_unclean: set[Path] = set()
"""Projects whose journal the parent had open when this process was forked from it."""


def _before_fork() -> None:
    """Have every journal closed: SQLite in the child would believe in the parent's locks."""
    keepers = [keeper for keeper in _keepers if not keeper.ended.settled]
    for keeper in keepers:
        keeper.forks.append(None)
        keeper.inbox.put(None)
    until_s = time.monotonic() + _FORK_S
    _forking[threading.get_ident()] = {
        id(keeper): keeper.in_use.acquire(timeout=max(0.0, until_s - time.monotonic())) for keeper in keepers
    }


def _after_fork_in_parent() -> None:
    mine = _forking.pop(threading.get_ident(), {})
    for keeper in _keepers:
        if id(keeper) in mine:
            if mine[id(keeper)]:
                keeper.in_use.release()
            keeper.forks.pop()


def _after_fork_in_child() -> None:
    mine = _forking.pop(threading.get_ident(), {})
    _forking.clear()
    forget_threads()
    for worker in list(_workers):
        worker.begin_anew_in_child(clean=mine.get(id(worker.keeper), True))


def _at_exit() -> None:
    """Write down what is only in memory, and stop what runs: in bounded time."""
    keepers = [keeper for keeper in _keepers if keeper.unstarted.locked() and not keeper.ended.settled]
    for keeper in keepers:
        keeper.close(0.0)
    until_s = time.monotonic() + _EXIT_S
    for keeper in keepers:
        keeper.ended.wait(max(0.0, until_s - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)


def _with_progress(info: TaskInfo, running: Mapping[int, Run]) -> TaskInfo:
    run = running.get(info.id) if info.id is not None else None
    return info if run is None else dataclasses.replace(info, progress=run.progress)


def _ordinary(runner: Runner) -> Runner:
    if inspect.iscoroutinefunction(runner):
        what = "an async function cannot be a runner: each runs in a thread of its own"
        raise UsageError(what, where="runners", hint="Pass an ordinary function, which may use asyncio.run")
    return runner


def _kind_of(kind: type[BackgroundTask] | str) -> str:
    name = kind if isinstance(kind, str) else kind.__name__
    if name not in KINDS:
        raise UsageError(f"there is no kind of task {name!r}", where="runners", hint=f"Known are {', '.join(KINDS)}")
    return name
