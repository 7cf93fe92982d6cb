"""What an error of the database means, and putting a damaged one aside."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from dxforge.background.trouble import Fault, Patience, fault_of, mark_of, put_aside, state_file
from dxforge.events import Notice


def error_of(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (sqlite3.SQLITE_BUSY, Fault.PASSING),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Fault.PASSING),
        (sqlite3.SQLITE_FULL, Fault.PASSING),
        (sqlite3.SQLITE_IOERR_WRITE, Fault.PASSING),
        (sqlite3.SQLITE_READONLY_DBMOVED, Fault.PASSING),
        (sqlite3.SQLITE_CORRUPT, Fault.DAMAGED),
        (sqlite3.SQLITE_NOTADB, Fault.DAMAGED),
        (sqlite3.SQLITE_READONLY, Fault.UNWRITABLE),
        (sqlite3.SQLITE_CANTOPEN, Fault.UNWRITABLE),
    ],
)
def test_faults_by_result_code(code: int, fault: Fault) -> None:
    assert fault_of(error_of(code)) is fault


def test_a_sound_file_is_never_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE t (x)")
    told: list[Notice] = []
    assert not put_aside(file, told.append)
    assert file.exists() and not told


def test_of_many_who_find_the_damage_one_puts_it_aside(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(b"rubbish" * 1000)
    told: list[Notice] = []
    threads = [threading.Thread(target=put_aside, args=(file, told.append)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told) == 1 and "was damaged" in told[0].text
    assert [aside.read_bytes() for aside in tmp_path.glob("damaged/state.db.*")] == [b"rubbish" * 1000]


def test_the_state_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    assert state_file(tmp_path, pytest.fail) == tmp_path / ".dx/state.db"
    assert (tmp_path / ".dx/.gitignore").exists()


def test_a_mark_tells_that_something_was_written(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    marks = [mark_of(None), mark_of(file)]
    assert marks[0] == marks[1]
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (x)")
        before = mark_of(file)
        assert before != marks[1]
        database.execute("INSERT INTO t VALUES (1)")
        assert mark_of(file) != before


def test_patience_ends_with_one_word_and_begins_anew() -> None:
    told: list[Notice] = []
    patience = Patience()
    for now_s in (0.0, 1.0, 4.9):
        patience.lost(OSError("locked"), now_s, told.append)
    assert not told
    for now_s in (5.0, 6.0, 100.0):
        patience.lost(OSError("locked"), now_s, told.append)
    assert len(told) == 1 and "locked" in told[0].text
    patience.over()
    patience.lost(OSError("locked"), 200.0, told.append)
    assert len(told) == 1
