"""The thread between the callers and the journal: only it touches the disk, so nobody else ever waits for it.

Callers put commands into ``inbox``, a `queue.SimpleQueue`, whose ``put`` may be called from everywhere, signal handlers
and finalizers included. A command stays in ``_todo`` until the journal has taken it, however long that takes.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dxforge.background import trouble
from dxforge.background.book import Book
from dxforge.background.handle import Promise, TaskHandle
from dxforge.background.identity import Owner, this_process
from dxforge.background.journal import Claim, Journal
from dxforge.background.leases import Leases
from dxforge.background.policy import CHANNEL, MAX_ATTEMPTS, delay_s, reason_of, worth_retrying
from dxforge.background.pool import Pool
from dxforge.background.run import Run, Runner, TaskContext
from dxforge.background.tasks import BackgroundTask, ChannelFull, TaskState
from dxforge.events import EventBus

if TYPE_CHECKING:
    import sqlite3

GRACE_S = 1.0
"""After close's time is up, runners get this long to notice that they are to stop."""
_AGAIN_S = 0.05
_FOLLOW_S = 0.25
_POLL_S = 1.0
_IDLE_S = 2.0
_BATCH = 500

_log = logging.getLogger("dxforge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel the task of ``handle``, or the one with this number."""

    handle: TaskHandle | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Write a run of ours into a journal that was begun anew."""

    run: Run


Command = TaskHandle | Run | Cancel | Adopt
"""A task to write down, a run that came back, a task to cancel, a run to write down."""


class Keeper:
    """All of a worker but its public face.

    Args:
        root: the project's folder, absolute.
        runners: by kind of task.
        events: what happens.
        workers: how many tasks run at a time.
        claims: whether tasks are run here, not only written down.
    """

    def __init__(
        self, root: Path, runners: Mapping[str, Runner], events: EventBus, workers: int, *, claims: bool = True
    ) -> None:
        self.inbox: SimpleQueue[Command | None] = SimpleQueue()
        self.book = Book(events)
        self.unstarted = threading.Lock()
        """Taken by whoever starts the thread."""
        self.claims = claims
        self.in_use = threading.Lock()
        """Held while the journal's file is open."""
        self.forks: list[None] = []
        """An entry for each thread that is about to fork."""
        self.joiners: deque[Promise] = deque()
        self.close_at_s: float | None = None
        """When to hand over, by the monotonic clock; None while nobody closes."""
        self.closed = Promise()
        """Nobody has to wait any longer."""
        self.ended = Promise()
        """The thread has nothing more to do, or was never started."""
        self.journal: Journal | None = None
        self.running: dict[int, Run] = {}
        self._root = root
        self._runners = dict(runners)
        self._kinds = tuple(sorted(self._runners))
        self._events = events
        self._workers = workers
        self._todo: deque[Command] = deque()
        self._thread: threading.Thread | None = None
        self._pool = Pool(self.inbox.put)
        self._leases = Leases(self.book, self.running)
        self._used_s = 0.0
        self._ready_in_s: float | None = None
        self._mark: object = None
        self._full = False
        self._patience = trouble.Patience()
        self._cancel_of_handles = self.cancel  # one object for all handles

    # -- for callers, in any thread ---------------------------------------------------------------------------------

    def enqueue(self, task: BackgroundTask) -> TaskHandle:
        """Take a task; returns at once."""
        handle, news = self.book.join(task, self._cancel_of_handles)
        if news:
            self.inbox.put(handle)
        return handle

    def cancel(self, handle: TaskHandle) -> None:
        """Cancel the task of ``handle``; an equal one that comes later is another task."""
        self.book.part(handle)
        self.inbox.put(Cancel(handle=handle))

    def close(self, timeout_s: float) -> None:
        """Go on for ``timeout_s`` seconds at most, then hand over and end. A second call can only shorten that."""
        at_s = time.monotonic() + timeout_s
        self.close_at_s = at_s if self.close_at_s is None else min(at_s, self.close_at_s)
        self.inbox.put(None)

    # -- the thread -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, from one that may wait."""
        self._thread = threading.Thread(target=self.run, name="dxforge-journal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # there may be no more threads now, or the interpreter ends
            self._thread = None
            self.unstarted.release()

    def wait_for_thread(self) -> None:
        """Where it has ended but for its last few steps: until it is gone."""
        thread = self._thread
        if self.ended.settled and thread is not None and thread is not threading.current_thread():
            thread.join(GRACE_S)
            self._pool.wait(GRACE_S)

    def run(self) -> None:
        """The life of the thread."""
        try:
            owner = this_process()
            self._leases.live(owner)
            self.journal = Journal(self._root / ".dx" / trouble.FILE_NAME, owner, self.in_use)
            while self._turn(owner):
                pass
        except Exception:  # noqa: BLE001 - those who wait must hear of it
            _log.exception("the background worker ended by an error")
        finally:
            self._leases.die()
            self._pool.end()
            self.end()

    def end(self) -> None:
        """Let go of everyone who waits. Who enqueues after this sees ``ended``; who did before is told here."""
        self.ended.settle()
        self.closed.settle()
        self.book.hand_over()

    def _turn(self, owner: Owner) -> bool:
        """One round; False once everything is done or handed over."""
        import sqlite3

        journal = self.journal
        assert journal is not None  # noqa: S101 - made before the first turn
        joiners = list(self.joiners)
        self._receive(self._nap_s(journal))
        while self.forks:
            self._rest(journal)
            time.sleep(_AGAIN_S)
        try:
            if journal.gone():
                self._begin_anew(journal.file, owner)
            elif self._something_to_do(journal) and self._prepared(journal, owner):
                self._write_down(journal)
                self._leases.look(journal, owner)
                self._hand_out(journal)
                self._rest_a_while(journal)
                self._answer(joiners)
            self._patience.over()
        except sqlite3.Error as error:
            self._cope(journal, error, owner)
        return not self._closing(journal)

    def _receive(self, nap_s: float) -> None:
        """Take all that callers put in; wait for the first at most ``nap_s`` seconds."""
        try:
            command = self.inbox.get(timeout=nap_s) if nap_s > 0 else self.inbox.get_nowait()
            while True:
                if isinstance(command, TaskHandle):
                    command.taken = True  # before the journal has it (`Book.join`)
                if command is not None:
                    self._todo.append(command)
                command = self.inbox.get_nowait()
        except Empty:
            return

    def _nap_s(self, journal: Journal) -> float:
        if self._todo:
            return _AGAIN_S
        nap_s = _IDLE_S if journal.resting and not self._leases.watching else _POLL_S
        if len(self.book.open) > len(self.running):
            nap_s = _FOLLOW_S
        if self._ready_in_s is not None:
            nap_s = min(nap_s, max(_AGAIN_S, self._ready_in_s))
        return nap_s if self.close_at_s is None else min(nap_s, _AGAIN_S)

    def _something_to_do(self, journal: Journal) -> bool:
        """Whether the file need be opened: nobody here waits for anything, and nothing on disk has changed."""
        if self._todo or self.joiners or self.book.open or self.running or self._leases.watching or not journal.resting:
            return True
        mark, before = trouble.mark_of(journal.file), self._mark
        self._mark = mark
        return mark != before and journal.file is not None and journal.file.exists()

    def _prepared(self, journal: Journal, owner: Owner) -> bool:
        """Whether the file can be opened, as far as can be seen; where it cannot, go on in memory."""
        if journal.file is None or not journal.resting or trouble.state_file(self._root, self.book.tell):
            return True
        self._begin_anew(None, owner)
        return False

    def _rest_a_while(self, journal: Journal) -> None:
        if self._todo or self.book.open or self.running or self._ready_in_s is not None:
            self._used_s = time.monotonic()
        elif time.monotonic() - self._used_s >= _IDLE_S:
            self._rest(journal)

    def _rest(self, journal: Journal) -> None:
        journal.rest()
        self._mark = trouble.mark_of(journal.file)
        self._leases.look_again()  # the journal's version counts anew with every connection

    def _answer(self, joiners: list[Promise]) -> None:
        """Let those go on who wait until all is done, and asked before the inbox was last empty."""
        if not joiners or self.running or self._ready_in_s is not None:
            return
        for handles in self.book.open.values():
            if any(handle.task.kind in self._runners or handle.state is TaskState.RUNNING for handle in handles):
                return
        for joiner in joiners:
            self.joiners.remove(joiner)
            joiner.settle(value=True)

    def _closing(self, journal: Journal) -> bool:
        """See to it that closing takes no longer than it may; whether the thread can end."""
        if self.close_at_s is None:
            return False
        late_s = time.monotonic() - self.close_at_s
        if late_s >= 0:
            for run in self.running.values():
                if not run.stop.is_set():
                    run.ask_to_stop()
        if late_s >= GRACE_S and not self.closed.settled:
            self.book.hand_over()
            self.closed.settle()  # what does not stop, or cannot be written down, goes on without anyone waiting
        if self._todo or self.running or not self.inbox.empty():
            return False
        if late_s < 0 and self._ready_in_s == 0:
            return False
        self._rest(journal)
        return True

    # -- what callers asked for -------------------------------------------------------------------------------------

    def _write_down(self, journal: Journal) -> None:
        while self._todo:
            batch: list[TaskHandle] = []
            for command in self._todo:
                if not isinstance(command, TaskHandle) or len(batch) == _BATCH:
                    break
                batch.append(command)
            if not batch:
                self._obey(self._todo[0], journal)
                self._todo.popleft()
                continue
            numbers = journal.add([handle.task for handle in batch])
            for handle, number in zip(batch, numbers, strict=True):
                self._todo.popleft()
                self.book.entered(handle, number, saved=journal.file is not None)
            self._warn_when_full(journal)

    def _warn_when_full(self, journal: Journal) -> None:
        many = journal.waiting(CHANNEL + 1)
        if many > CHANNEL and not self._full:
            self._full = True
            _log.warning("more than %d background tasks are waiting; those beyond wait in the journal", CHANNEL)
            self.book.tell(ChannelFull(capacity=CHANNEL))
        elif many <= CHANNEL // 2:
            self._full = False

    def _obey(self, command: Command, journal: Journal) -> None:
        match command:
            case Run():
                self._came_back(command, journal)
            case Cancel(handle=None, id=int(number)):
                self._cancel(number, journal)
            case Cancel(handle=TaskHandle(id=int(number), settled=False)):
                self._cancel(number, journal)
            case Adopt(run=run):
                self._adopt(run, journal)

    def _cancel(self, number: int, journal: Journal) -> None:
        state = journal.cancel(number)
        run = self.running.get(number)
        if run is not None:
            run.cancelled = True
            run.ask_to_stop()
        elif state is TaskState.CANCELLED:
            self.book.over(number, None, state)

    # -- running ----------------------------------------------------------------------------------------------------

    def _hand_out(self, journal: Journal) -> None:
        self._ready_in_s = None
        while self.claims and self._kinds and len(self.running) < self._workers:
            if self.close_at_s is not None and time.monotonic() >= self.close_at_s:
                return
            if not self._pool.grow(len(self.running) + 1):
                return
            claim = journal.claim(self._kinds, time.time(), time.monotonic())
            if claim is None:
                self._ready_in_s = journal.next_ready_s(self._kinds, time.time())
                return
            self._start(claim)

    def _start(self, claim: Claim) -> None:
        handles = self.book.begins(claim.id, claim.task)
        runner = self._runners[claim.task.kind]
        run = Run(id=claim.id, task=claim.task, attempt=claim.attempt, runner=runner, handles=handles)
        self.running[claim.id] = run
        self._pool.give(run, TaskContext(run, self._events, self.enqueue, self.book.tell))

    def _came_back(self, run: Run, journal: Journal) -> None:
        """Write down what a run came to, then tell."""
        error, number, ours = run.error, run.id, not run.lost
        state, reason = TaskState.DONE, ""
        if run.lost:
            pass  # whoever has the lease now says how it ends
        elif error is None:
            ours = journal.finish(number, state, result=run.result)
        elif run.stop.is_set():
            state = TaskState.CANCELLED if run.cancelled else TaskState.WAITING
            ours = journal.finish(number, state) if run.cancelled else journal.release(number, again=True)
        elif run.attempt < MAX_ATTEMPTS and worth_retrying(error):
            state, reason = TaskState.WAITING, reason_of(error)
            ready_at_s = time.time() + delay_s(run.attempt, random.random())  # noqa: S311 - no secret
            ours = journal.release(number, reason=reason, ready_at_s=ready_at_s)
        else:
            state, reason = TaskState.FAILED, reason_of(error)
            ours = journal.finish(number, state, reason=reason)
        self.running.pop(number, None)
        if not ours or state is TaskState.WAITING:
            self._leases.look_again()  # it may have become another task, or be another's to end
        if ours and state is TaskState.WAITING:
            self.book.show(number, run.task, state, reason)
        elif ours:
            self.book.over(number, run.task, state, reason=reason, result=run.result, cause=error, attempts=run.attempt)

    # -- trouble with the file --------------------------------------------------------------------------------------

    def _cope(self, journal: Journal, error: sqlite3.Error, owner: Owner) -> None:
        fault = trouble.fault_of(error)
        if fault is trouble.Fault.PASSING:
            self._patience.lost(error, time.monotonic(), self.book.tell)
            return
        file = journal.file
        self._rest(journal)
        try:
            if file is None or fault is trouble.Fault.UNWRITABLE:
                raise error
            trouble.put_aside(file, self.book.tell)
        except Exception as reason:  # noqa: BLE001 - whatever it is, the journal cannot be had
            trouble.only_in_memory(self.book.tell, reason)
            file = None
        self._begin_anew(file, owner)

    def _begin_anew(self, file: Path | None, owner: Owner) -> None:
        """Go on with another journal, which has to hear of everything that is still to be done."""
        if self.journal is not None:
            self.journal.rest()
        self.journal = Journal(file, owner, self.in_use)
        self._leases.begin_anew()
        self._mark = None
        handles = [handle for number, some in self.book.open.items() if number not in self.running for handle in some]
        for handle in handles:
            handle.id, handle.saved = None, False
        self._todo.extendleft(reversed(handles))
        self._todo.extendleft(Adopt(run=run) for run in self.running.values())
        self.book.open.clear()
        self.running.clear()

    def _adopt(self, run: Run, journal: Journal) -> None:
        number = journal.adopt(run.task, run.attempt, time.monotonic())
        handles = list(run.handles)
        if number is None:  # somebody else was faster; it has to be done again for those who wait
            number = -id(run)
            run.lost = True
            run.ask_to_stop()
            for handle in handles:
                handle.id = None
            self._todo.extend(handles)
            run.handles.clear()
        else:
            self.book.open[number] = run.handles
        run.id = number
        self.running[number] = run
        for handle in run.handles:
            handle.id, handle.saved = number, journal.file is not None
