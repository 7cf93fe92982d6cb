"""The table ``task`` of ``.dx/state.db``: what its lines are, and how they are read. Other tables there are others'."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.background.identity import Owner, ended
from dxforge.background.policy import waits_s
from dxforge.background.tasks import TaskInfo, TaskProgress, TaskState

if TYPE_CHECKING:
    import sqlite3

_BUSY_S = 0.25
"""How long one attempt waits for another process; the keeper must notice in between that it is to end."""
_KEPT = 500
_KEPT_S = 600.0
_MAX_RESULT_CHARS = 256 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS task (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL, kind TEXT NOT NULL, argument TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, losses INTEGER NOT NULL DEFAULT 0,
    ready_at_s REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', result TEXT,
    owner TEXT, beat_s REAL, stop INTEGER NOT NULL DEFAULT 0, became INTEGER,
    done INTEGER NOT NULL DEFAULT 0, total INTEGER, item TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL, started TEXT NOT NULL DEFAULT '', ended TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS task_waiting ON task (key) WHERE state = 'waiting';
CREATE UNIQUE INDEX IF NOT EXISTS task_running ON task (key) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS task_state ON task (state, id);
CREATE INDEX IF NOT EXISTS task_key ON task (key, state);
"""
_NAMES = (
    "id", "kind", "argument", "state", "attempts", "reason", "result", "owner", "done", "total", "item", "ready_at_s",
    "created", "started", "ended",
)  # fmt: skip
COLUMNS = ", ".join(_NAMES)
# A retry far in the future means that the clock was set back (`policy.waits_s`).
_READY = (
    "FROM task AS own WHERE state = 'waiting' AND kind IN ({kinds}) AND NOT (ready_at_s > ? AND ready_at_s <= ?) "
    "AND NOT EXISTS (SELECT 1 FROM task WHERE key = own.key AND state = 'running')"
)


def connect(file: Path | None) -> sqlite3.Connection:
    """Open the database and see to its tables.

    Raises:
        sqlite3.Error: it cannot be opened or written, or is none.
    """
    import sqlite3

    connection = sqlite3.connect(
        ":memory:" if file is None else file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        if file is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may cost the last tasks, never the file: what matters is done again by the next command.
            connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'task_key'").fetchone() is None:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.strip().split(";"):
                connection.execute(statement)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def read_all(file: Path, now_s: float, *, recent: int) -> list[TaskInfo]:
    """What waits, runs and failed in the journal ``file``, and the ``recent`` last that were done or cancelled.

    Args:
        now_s: the wall clock.

    Returns:
        In the order of their numbers; nothing where there is no journal.

    Raises:
        sqlite3.Error: it is damaged, or cannot be read now.
    """
    import sqlite3

    if not file.exists():
        return []
    try:
        return _read(str(file), now_s, recent=recent)
    except sqlite3.OperationalError:
        if os.access(file.parent, os.W_OK):
            raise
        # In a project that cannot be written, SQLite can only read it as a file that nobody writes.
        return _read(f"{file.absolute().as_uri()}?immutable=1", now_s, recent=recent)


def _read(name: str, now_s: float, *, recent: int) -> list[TaskInfo]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(name, timeout=2, uri=name.startswith("file:"))) as database:
        known = "SELECT 1 FROM sqlite_master WHERE name = 'task'"  # others keep tables in this file, too
        return rows(database, now_s, recent=recent) if database.execute(known).fetchone() else []


def rows(database: sqlite3.Connection, now_s: float, *, recent: int) -> list[TaskInfo]:
    """:func:`read_all` of an open journal."""
    query = (
        f"SELECT {COLUMNS} FROM task WHERE became IS NULL AND (state IN ('waiting', 'running', 'failed') "  # noqa: S608
        "OR id IN (SELECT id FROM task WHERE state IN ('done', 'cancelled') AND became IS NULL "
        "ORDER BY ended DESC, id DESC LIMIT ?)) ORDER BY id"
    )
    return [info_of(row, now_s) for row in database.execute(query, (recent,))]


def info_of(row: Sequence[Any], now_s: float) -> TaskInfo:
    """A line's ``COLUMNS`` as data."""
    line = dict(zip(_NAMES, row, strict=True))
    holder = Owner.loads(line["owner"]) if line["owner"] else None
    return TaskInfo(
        id=line["id"],
        kind=line["kind"],
        argument=line["argument"],
        state=TaskState(line["state"]),
        attempts=line["attempts"],
        reason=line["reason"],
        progress=TaskProgress(done=line["done"], total=line["total"], item=line["item"]),
        retry_in_s=waits_s(line["ready_at_s"], now_s) if line["state"] == TaskState.WAITING else 0.0,
        pid=holder.pid if holder is not None and not ended(holder) else None,
        created=line["created"],
        started=line["started"],
        ended=line["ended"],
        result=None if line["result"] is None else json.loads(line["result"]),
    )


def ready(kinds: Sequence[str]) -> str:
    """The part of a query that finds what may run. Its values: ``kinds``, the wall clock, and that plus LONGEST_S."""
    return _READY.format(kinds=", ".join("?" * len(kinds)))


def end(connection: sqlite3.Connection, number: int, state: TaskState, reason: str) -> None:
    """Write down that a task has ended otherwise than by being done."""
    connection.execute(
        "UPDATE task SET state = ?, reason = ?, owner = NULL, beat_s = NULL, ended = ? WHERE id = ?",
        (state.value, reason, now(), number),
    )


def back(connection: sqlite3.Connection, number: int) -> None:
    """Let a running task wait again, or become the equal one that already waits, or end where it was to stop."""
    key, stop = connection.execute("SELECT key, stop FROM task WHERE id = ?", (number,)).fetchone()
    other = connection.execute("SELECT id FROM task WHERE key = ? AND state = 'waiting'", (key,)).fetchone()
    if stop:
        end(connection, number, TaskState.CANCELLED, "")
    elif other is not None:
        end(connection, number, TaskState.CANCELLED, "")
        connection.execute("UPDATE task SET became = ? WHERE id = ?", (other[0], number))
    else:
        connection.execute("UPDATE task SET state = 'waiting', owner = NULL, beat_s = NULL WHERE id = ?", (number,))


def prune(connection: sqlite3.Connection) -> None:
    """Forget what ended long ago, but for what failed: the others have been looked at by whoever waited for them."""
    before = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=_KEPT_S)).isoformat(timespec="seconds")
    for states in ("'done', 'cancelled'", "'failed'"):
        connection.execute(
            f"DELETE FROM task WHERE state IN ({states}) AND ended < ? AND id NOT IN "  # noqa: S608
            f"(SELECT id FROM task WHERE state IN ({states}) ORDER BY id DESC LIMIT {_KEPT})",
            (before,),
        )


def result_text(result: object) -> str | None:
    """What a task came to, as JSON; None where it is nothing, cannot be said in JSON, or is too long."""
    to_json = getattr(result, "to_json", None)
    try:
        text = json.dumps(to_json() if callable(to_json) else result)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if text != "null" and len(text) <= _MAX_RESULT_CHARS else None


def inode(file: Path) -> tuple[int, int] | None:
    """Tells this file apart from another one that is at its path later; None where there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def now() -> str:
    """The time, as the journal writes it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
