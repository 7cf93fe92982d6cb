"""When the journal's file is damaged, in the way, busy or not to be written: what then."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.errors import DxForgeError, ProjectBusyError
from dxforge.events import EventBus, Notice
from dxforge.files import prepare_state_dir, project_lock

if TYPE_CHECKING:
    import sqlite3

FILE_NAME = "state.db"
_COMPANIONS = ("", "-wal", "-shm")
Tell = Callable[[Notice], None]


class Fault(Enum):
    """What an error of the database means."""

    PASSING = "passing"
    """Another process holds it, the disk is full or slow: try again."""
    DAMAGED = "damaged"
    UNWRITABLE = "unwritable"


def fault_of(error: sqlite3.Error) -> Fault:
    """Which of them ``error`` is, by SQLite's result code (sqlite.org/rescode.html)."""
    import sqlite3

    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Fault.DAMAGED
    passing = (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT,
    )  # fmt: skip
    if code & 0xFF in passing or code == sqlite3.SQLITE_READONLY_DBMOVED:
        return Fault.PASSING
    return Fault.UNWRITABLE


def state_file(root: Path, tell: Tell) -> Path | None:
    """Where the journal of ``root`` lies; None, with a notice, where the project cannot be written."""
    try:
        file = prepare_state_dir(root) / FILE_NAME
        if os.path.lexists(file) and not file.is_file():
            put_aside(file, tell)
    except (DxForgeError, OSError) as error:
        only_in_memory(tell, error)
        return None
    return file


def only_in_memory(tell: Tell, error: BaseException) -> None:
    """Say that tasks end with this process."""
    reason = error.what if isinstance(error, DxForgeError) else str(error)
    tell(Notice(text=f"Background tasks are kept in memory only, and end with this process: {reason}"))


def put_aside(file: Path, tell: Tell) -> bool:
    """Move a damaged database to ``.dx/damaged``, unless another process has done so already; whether it was moved.

    Raises:
        DxForgeError, OSError: it cannot be moved.
    """
    folder = file.parent / "damaged"
    folder.mkdir(exist_ok=True)
    try:
        # Its own lock, not the project's: an install may hold that one for minutes.
        with project_lock(folder, wait_s=1.0, events=EventBus()):
            if not os.path.lexists(file) or not _is_damaged(file):
                return False
            stem = f"{file.name}.{time.time_ns()}"
            for companion in _COMPANIONS:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{file}{companion}", folder / f"{stem}{companion}")
    except ProjectBusyError:
        return False
    tell(
        Notice(
            text=f".dx/{file.name} was damaged; it was put aside as .dx/damaged/{stem}, and a new one was begun. "
            "Tasks that only the old one knew are lost"
        )
    )
    return True


def _is_damaged(file: Path) -> bool:
    import sqlite3

    if not file.is_file():
        return True
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=1.0)) as database:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.Error as error:
        return fault_of(error) is Fault.DAMAGED


def mark_of(file: Path | None) -> object:
    """Another value once anything was written to the database; costs no more than a look at two files' times."""
    found: list[tuple[int, int, int] | None] = []
    for companion in _COMPANIONS[:2]:
        try:
            status = os.stat(f"{file}{companion}")
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return found


class Patience:
    """Tells the user once when the journal has not been to be had for some seconds."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._told = False

    def over(self) -> None:
        """It works again."""
        self._since_s = None
        self._told = False

    def lost(self, error: BaseException, now_s: float, tell: Tell) -> None:
        """It does not work at ``now_s`` of the monotonic clock."""
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s >= _PATIENCE_S and not self._told:
            self._told = True
            tell(
                Notice(text=f"Background tasks wait in memory, because .dx/{FILE_NAME} cannot be written now: {error}")
            )


_PATIENCE_S = 5.0
