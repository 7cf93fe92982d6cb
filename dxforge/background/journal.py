"""The queue on disk: the table ``task`` in ``.dx/state.db`` (SQLite, WAL), shared by all processes of a project.

At most one task of a key waits, and at most one of a key runs: the database itself sees to it (two unique indexes).
A task that is enqueued while an equal one waits becomes that one; while an equal one runs, it waits for its turn.

One thread uses a journal. It connects when it is first used, and lets go of the file by :meth:`Journal.rest`: a process
must not fork while SQLite has a file open, because the child would believe in locks that it does not have.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.background.identity import Owner
from dxforge.background.policy import LONGEST_S, Lease, waits_s
from dxforge.background.tables import COLUMNS, back, connect, end, info_of, inode, now, prune, ready, result_text, rows
from dxforge.background.tasks import BackgroundTask, TaskInfo, TaskProgress, TaskState, task_of

if TYPE_CHECKING:
    import sqlite3

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that is ours to run now; ``attempt`` is 1 for its first run."""

    id: int
    task: BackgroundTask
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A task that another worker has the lease of."""

    id: int
    lease: Lease
    owner_text: str


class Journal:
    """One worker's view of the queue.

    Args:
        file: the database, whose folder exists; None for one in memory, which ends with this object.
        owner: the worker, in leases.
        in_use: held while the file is open; whoever forks takes it first.

    Every method raises ``sqlite3.Error`` where the file will not have it; nothing was changed then.
    """

    def __init__(self, file: Path | None, owner: Owner, in_use: threading.Lock) -> None:
        self.file = file
        self._in_use = in_use
        self._me = owner.dumps()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._ended = 0

    # -- the file ---------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Let go of the file until it is next needed. What is only in memory stays."""
        if self._connection is not None and self.file is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(Exception):  # a damaged file may not even be closed without complaint
                connection.close()
            self._in_use.release()

    @property
    def resting(self) -> bool:
        """Whether the file is not open."""
        return self._connection is None

    def gone(self) -> bool:
        """Whether the file that is open is no longer the one at its path: it was deleted, or put aside."""
        return self._connection is not None and self.file is not None and inode(self.file) != self._inode

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._in_use.acquire()
            try:
                self._connection = connect(self.file)
            except BaseException:
                self._in_use.release()
                raise
            if self.file is None:
                self._in_use.release()
            else:
                self._inode = inode(self.file)
        return self._connection

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with contextlib.suppress(Exception):
                    connection.execute("ROLLBACK")
            raise

    # -- the queue --------------------------------------------------------------------------------------------------

    def add(self, tasks: Sequence[BackgroundTask]) -> list[int]:
        """Write tasks down; their numbers. One that waits already keeps its number, one that failed waits again."""
        time = now()
        ids = []
        with self._write() as connection:
            for task in tasks:
                found = connection.execute(
                    "SELECT id, state FROM task WHERE key = ? AND state IN ('waiting', 'failed', 'cancelled') "
                    "AND became IS NULL ORDER BY state = 'waiting' DESC, id DESC LIMIT 1",
                    (task.key,),
                ).fetchone()
                if found is None:
                    cursor = connection.execute(
                        "INSERT INTO task (key, kind, argument, state, created) VALUES (?, ?, ?, 'waiting', ?)",
                        (task.key, task.kind, task.argument, time),
                    )
                    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT was made
                    ids.append(cursor.lastrowid)
                    continue
                if found[1] != "waiting":
                    connection.execute(
                        "UPDATE task SET state = 'waiting', attempts = 0, losses = 0, ready_at_s = 0, reason = '', "
                        "result = NULL, stop = 0, done = 0, total = NULL, item = '', started = '', ended = '', "
                        "created = ? WHERE id = ?",
                        (time, found[0]),
                    )
                ids.append(found[0])
        return ids

    def claim(self, kinds: Sequence[str], now_s: float, mono_s: float) -> Claim | None:
        """Take the lease of the next task of one of ``kinds`` that may run; None where there is none.

        Args:
            now_s: the wall clock, for retries.
            mono_s: this worker's monotonic clock, for the lease.
        """
        query = f"SELECT id, kind, argument, attempts {ready(kinds)} ORDER BY id LIMIT 1"
        values = (*kinds, now_s, now_s + LONGEST_S)
        while self._connect().execute(query, values).fetchone() is not None:
            with self._write() as connection:
                found = connection.execute(query, values).fetchone()
                if found is None:
                    return None
                number, kind, argument, attempts = found
                task = task_of(kind, argument)
                if task is None:
                    end(connection, number, TaskState.FAILED, "this version of dxforge does not understand it")
                    continue
                connection.execute(
                    "UPDATE task SET state = 'running', attempts = ?, owner = ?, beat_s = ?, stop = 0, started = ?, "
                    "done = 0, total = NULL, item = '' WHERE id = ?",
                    (attempts + 1, self._me, mono_s, now(), number),
                )
                return Claim(id=number, task=task, attempt=attempts + 1)
        return None

    def adopt(self, task: BackgroundTask, attempt: int, mono_s: float) -> int | None:
        """Write down a task that this worker already runs, in a new journal; None where another one runs it too."""
        with self._write() as connection:
            query = "SELECT 1 FROM task WHERE key = ? AND state = 'running'"
            if connection.execute(query, (task.key,)).fetchone() is not None:
                return None
            return connection.execute(
                "INSERT INTO task (key, kind, argument, state, attempts, owner, beat_s, created, started) "
                "VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?)",
                (task.key, task.kind, task.argument, attempt, self._me, mono_s, now(), now()),
            ).lastrowid

    def finish(self, number: int, state: TaskState, *, reason: str = "", result: object = None) -> bool:
        """Write down how a task that we run ended; False where its lease is no longer ours."""
        with self._write() as connection:
            changed = connection.execute(
                "UPDATE task SET state = ?, reason = ?, result = ?, owner = NULL, beat_s = NULL, ended = ? "
                "WHERE id = ? AND state = 'running' AND owner = ?",
                (state.value, reason, result_text(result), now(), number, self._me),
            ).rowcount
            if not changed:
                return False
            if state is TaskState.DONE:
                connection.execute(
                    "UPDATE task SET state = 'done', reason = 'done by a later run' "
                    "WHERE key = (SELECT key FROM task WHERE id = ?) AND state = 'failed'",
                    (number,),
                )
            self._ended += 1
            if self._ended % 50 == 0:
                prune(connection)
        return True

    def release(self, number: int, *, reason: str = "", ready_at_s: float = 0.0, again: bool = False) -> bool:
        """Let a task that we run wait again; False where its lease is no longer ours.

        Args:
            reason: why it is tried again.
            ready_at_s: when it may run, as seconds since the epoch.
            again: whether the run does not count as an attempt.
        """
        with self._write() as connection:
            found = connection.execute(
                "SELECT stop FROM task WHERE id = ? AND state = 'running' AND owner = ?", (number, self._me)
            ).fetchone()
            if found is not None:
                connection.execute(
                    "UPDATE task SET attempts = max(0, attempts - ?), ready_at_s = ?, reason = ? WHERE id = ?",
                    (int(again), ready_at_s, reason, number),
                )
                back(connection, number)
        return found is not None

    def held(self) -> list[Held]:
        """The tasks that other workers run."""
        found = self._connect().execute(
            "SELECT id, owner, beat_s FROM task WHERE state = 'running' AND owner IS NOT ?", (self._me,)
        )
        return [
            Held(id=number, lease=Lease(owner=Owner.loads(owner or ""), beat_s=beat_s or 0.0), owner_text=owner or "")
            for number, owner, beat_s in found
        ]

    def take_over(self, held: Held, *, max_losses: int) -> bool:
        """Let an abandoned task wait again, or fail where it cost too many processes.

        Returns:
            False where its owner gave a sign of life since ``held`` was read: nothing was changed.
        """
        with self._write() as connection:
            found = connection.execute(
                "SELECT losses FROM task WHERE id = ? AND state = 'running' AND ifnull(owner, '') = ? "
                "AND ifnull(beat_s, 0.0) = ?",
                (held.id, held.owner_text, held.lease.beat_s),
            ).fetchone()
            if found is None:
                return False
            losses = found[0] + 1
            # A run that was cut off is not the task's fault, unless it happens again and again.
            connection.execute(
                "UPDATE task SET losses = ?, attempts = max(0, attempts - 1) WHERE id = ?", (losses, held.id)
            )
            if losses >= max_losses:
                reason = f"the process that ran it ended before it was done, {losses} times"
                end(connection, held.id, TaskState.FAILED, reason)
            else:
                back(connection, held.id)
        return True

    def beat(self, progress: dict[int, TaskProgress], mono_s: float) -> tuple[set[int], set[int]]:
        """A sign of life for the tasks that we run.

        Args:
            progress: how far each is, by number.
            mono_s: this worker's monotonic clock.

        Returns:
            Those whose lease is lost, and those that somebody asked to stop.
        """
        lost, stopped = set(), set()
        with self._write() as connection:
            for number, at in progress.items():
                row = connection.execute(
                    "UPDATE task SET beat_s = ?, done = ?, total = ?, item = ? "
                    "WHERE id = ? AND state = 'running' AND owner = ? RETURNING stop",
                    (mono_s, at.done, at.total, at.item, number, self._me),
                ).fetchone()
                if row is None:
                    lost.add(number)
                elif row[0]:
                    stopped.add(number)
        return lost, stopped

    def cancel(self, number: int) -> TaskState | None:
        """Cancel a task that waits, or ask its runner to stop; the state it is in then, None where there is none."""
        with self._write() as connection:
            connection.execute(
                "UPDATE task SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'waiting'", (now(), number)
            )
            connection.execute("UPDATE task SET stop = 1 WHERE id = ? AND state = 'running'", (number,))
            found = connection.execute("SELECT state FROM task WHERE id = ?", (number,)).fetchone()
        return TaskState(found[0]) if found else None

    def stops(self) -> set[int]:
        """Which of the tasks that we run somebody asked to stop."""
        query = "SELECT id FROM task WHERE state = 'running' AND owner = ? AND stop"
        return {number for (number,) in self._connect().execute(query, (self._me,))}

    # -- looking ----------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """Another number once another connection has written."""
        return int(self._connect().execute("PRAGMA data_version").fetchone()[0])

    def waiting(self, limit: int) -> int:
        """How many tasks wait; ``limit`` where there are as many or more."""
        query = "SELECT count(*) FROM (SELECT 1 FROM task WHERE state = 'waiting' LIMIT ?)"
        return int(self._connect().execute(query, (limit,)).fetchone()[0])

    def next_ready_s(self, kinds: Sequence[str], now_s: float) -> float | None:
        """In how many seconds the next task of ``kinds`` may run (0: now); None where none waits for its time."""
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT min(ready_at_s) FROM task WHERE state = 'waiting' AND kind IN ({marks})"  # noqa: S608
        found = self._connect().execute(query, tuple(kinds)).fetchone()[0]
        return None if found is None else waits_s(found, now_s)

    def infos(self, ids: Sequence[int]) -> dict[int, tuple[TaskInfo, int | None]]:
        """How the tasks of these numbers stand, and what each has become; missing is what is not there any more."""
        found: dict[int, tuple[TaskInfo, int | None]] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = list(ids[start : start + _CHUNK])
            marks = ", ".join("?" * len(chunk))
            query = f"SELECT became, {COLUMNS} FROM task WHERE id IN ({marks})"  # noqa: S608
            found.update((row[1], (info_of(row[1:], 0.0), row[0])) for row in self._connect().execute(query, chunk))
        return found

    def all(self, now_s: float, *, recent: int) -> list[TaskInfo]:
        """What `read_all` gives, for a journal in memory; from any thread."""
        return [] if self._connection is None else rows(self._connection, now_s, recent=recent)
