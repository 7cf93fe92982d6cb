"""The queue on disk, used by several owners as several processes would."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.background.identity import Owner, started, this_process
from dxforge.background.journal import Journal
from dxforge.background.policy import LONGEST_S
from dxforge.background.tables import read_all
from dxforge.background.tasks import KINDS, CacheCurrentState, PrefetchPackage, TaskProgress, TaskState

NOW = 1_000_000.0


class Opener:
    """Opens journals on one file, each as another worker."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.opened: list[Journal] = []

    def __call__(self, owner: Owner | None = None) -> Journal:
        self.opened.append(Journal(self.file, owner or this_process(), threading.Lock()))
        return self.opened[-1]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(tmp_path / "state.db")
    yield opener
    for journal in opener.opened:
        journal.rest()


def states(journal: Journal) -> dict[int, str]:
    return {info.id: info.state.value for info in read_all(journal.file or Path(), NOW, recent=50) if info.id}


def test_equal_tasks_that_wait_are_one(journals: Opener) -> None:
    one, two = journals(), journals()
    first = one.add([PrefetchPackage("a"), PrefetchPackage("b"), PrefetchPackage("a")])
    assert first[0] == first[2] != first[1]
    assert two.add([PrefetchPackage("a")]) == [first[0]]
    assert two.waiting(10) == 2 and two.waiting(1) == 1


def test_tasks_run_in_order_and_only_one_worker_gets_each(journals: Opener) -> None:
    one, two = journals(), journals()
    one.add([PrefetchPackage(name) for name in "abc"])
    claims = [journal.claim(KINDS, NOW, 0.0) for journal in (one, two, one, two)]
    assert [claim.task.argument for claim in claims if claim] == ["a", "b", "c"] and claims[3] is None
    assert len(two.held()) == 2 and len(one.held()) == 1


def test_an_equal_task_waits_for_its_turn_while_one_runs(journals: Opener) -> None:
    one, two = journals(), journals()
    one.add([CacheCurrentState()])
    running = one.claim(KINDS, NOW, 0.0)
    (again,) = two.add([CacheCurrentState()])
    assert running is not None and again != running.id
    assert two.claim(KINDS, NOW, 0.0) is None
    assert one.finish(running.id, TaskState.DONE)
    claim = two.claim(KINDS, NOW, 0.0)
    assert claim is not None and claim.id == again


def test_racing_workers_never_get_the_same_task(journals: Opener) -> None:
    count = 60
    journals().add([PrefetchPackage(f"p{number}") for number in range(count)])
    taken: list[int] = []

    def work(journal: Journal) -> None:
        while True:
            try:
                claim = journal.claim(KINDS, NOW, 0.0)
            except sqlite3.OperationalError:
                continue  # busy
            if claim is None:
                return
            taken.append(claim.id)

    threads = [threading.Thread(target=work, args=(journals(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == len(set(taken)) == count


def test_kinds_without_a_runner_are_left_alone(journals: Opener) -> None:
    one = journals()
    one.add([CacheCurrentState(), PrefetchPackage("a")])
    claim = one.claim(["PrefetchPackage"], NOW, 0.0)
    assert claim is not None and claim.task == PrefetchPackage("a")
    assert one.claim(["PrefetchPackage"], NOW, 0.0) is None


def test_a_retry_waits_for_its_time_but_not_for_a_clock_that_was_set_back(journals: Opener) -> None:
    one = journals()
    (number,) = one.add([CacheCurrentState()])
    assert one.claim(KINDS, NOW, 0.0) is not None
    assert one.release(number, reason="no network", ready_at_s=NOW + 60)
    assert one.claim(KINDS, NOW + 59, 0.0) is None
    assert one.next_ready_s(KINDS, NOW + 59) == pytest.approx(1.0)
    back_again = one.claim(KINDS, NOW + 60 - LONGEST_S - 1, 0.0)
    assert back_again is not None and back_again.attempt == 2


def test_what_failed_is_kept_with_its_reason_and_waits_again_when_asked_for(journals: Opener) -> None:
    one = journals()
    (number,) = one.add([CacheCurrentState()])
    assert one.claim(KINDS, NOW, 0.0) is not None
    assert one.finish(number, TaskState.FAILED, reason="disk on fire")
    (info,) = read_all(journals.file, NOW, recent=0)
    assert (info.state, info.reason, info.attempts) == (TaskState.FAILED, "disk on fire", 1)
    assert one.add([CacheCurrentState()]) == [number]
    claim = one.claim(KINDS, NOW, 0.0)
    assert claim is not None and (claim.id, claim.attempt) == (number, 1)


def test_results_are_kept_as_json(journals: Opener) -> None:
    @dataclasses.dataclass
    class Report:
        count: int

        def to_json(self) -> dict[str, int]:
            return {"count": self.count}

    one = journals()
    for result in (Report(3), {1, 2}, "x" * 10**6):
        (number,) = one.add([CacheCurrentState()])
        assert one.claim(KINDS, NOW, 0.0) is not None
        assert one.finish(number, TaskState.DONE, result=result)
    assert [info.result for info in read_all(journals.file, NOW, recent=9)] == [{"count": 3}, None, None]


def test_an_abandoned_task_waits_again_and_does_not_lose_an_attempt(journals: Opener) -> None:
    dead, heir = journals(), journals()
    (number,) = dead.add([CacheCurrentState()])
    assert dead.claim(KINDS, NOW, 0.0) is not None
    (held,) = heir.held()
    assert heir.take_over(held, max_losses=3)
    claim = heir.claim(KINDS, NOW, 0.0)
    assert claim is not None and claim.attempt == 1
    assert not dead.finish(number, TaskState.DONE), "whoever lost the lease writes nothing any more"
    assert not dead.release(number)
    assert dead.beat({number: TaskProgress()}, 1.0) == ({number}, set())
    assert states(heir) == {number: "running"}


def test_a_sign_of_life_keeps_the_lease(journals: Opener) -> None:
    alive, heir = journals(), journals()
    (number,) = alive.add([CacheCurrentState()])
    assert alive.claim(KINDS, NOW, 0.0) is not None
    (held,) = heir.held()
    assert alive.beat({number: TaskProgress(done=1, total=2, item="x")}, 5.0) == (set(), set())
    assert not heir.take_over(held, max_losses=3)
    (info,) = read_all(journals.file, NOW, recent=0)
    assert info.progress == TaskProgress(done=1, total=2, item="x")


def test_a_task_that_costs_process_after_process_fails_in_the_end(journals: Opener) -> None:
    (number,) = journals().add([CacheCurrentState()])
    for _ in range(3):
        assert journals().claim(KINDS, NOW, 0.0) is not None
        watcher = journals()
        assert watcher.take_over(watcher.held()[0], max_losses=3)
    (info,) = read_all(journals.file, NOW, recent=0)
    assert info.id == number and info.state is TaskState.FAILED and "3 times" in info.reason


def test_a_task_that_waits_again_becomes_the_equal_one_that_waits_already(journals: Opener) -> None:
    one = journals()
    (first,) = one.add([CacheCurrentState()])
    assert one.claim(KINDS, NOW, 0.0) is not None
    (second,) = one.add([CacheCurrentState()])
    assert one.release(first)
    (_, became) = one.infos([first])[first]
    assert became == second
    assert states(one) == {second: "waiting"}


def test_cancel_ends_what_waits_and_asks_what_runs(journals: Opener) -> None:
    one, two = journals(), journals()
    (waits, runs) = two.add([PrefetchPackage("b"), PrefetchPackage("a")])
    claim = one.claim(KINDS, NOW, 0.0)
    assert claim is not None
    waits, runs = (runs, waits) if claim.id == waits else (waits, runs)
    assert two.cancel(waits) is TaskState.CANCELLED
    assert two.cancel(runs) is TaskState.RUNNING
    assert one.stops() == {runs}
    assert two.cancel(10**6) is None
    assert one.release(runs) and states(one)[runs] == "cancelled", "it was to stop, so it does not wait again"


def test_what_this_version_does_not_understand_fails_visibly(journals: Opener) -> None:
    one = journals()
    (number,) = one.add([PrefetchPackage("a")])
    one.rest()
    with sqlite3.connect(journals.file) as database:
        database.execute("UPDATE task SET argument = ''")
    database.close()
    assert one.claim(KINDS, NOW, 0.0) is None
    (info,) = read_all(journals.file, NOW, recent=0)
    assert info.id == number and "does not understand" in info.reason


def test_other_tables_of_the_file_stay(journals: Opener) -> None:
    with sqlite3.connect(journals.file) as database:
        database.execute("CREATE TABLE hunk (path TEXT)")
        database.execute("INSERT INTO hunk VALUES ('a.py')")
    database.close()
    journals().add([CacheCurrentState()])
    with sqlite3.connect(journals.file) as database:
        assert database.execute("SELECT * FROM hunk").fetchall() == [("a.py",)]
    database.close()


def test_two_that_begin_at_once_make_one_journal(journals: Opener) -> None:
    def add(journal: Journal, name: str) -> None:
        until_s = time.monotonic() + 30
        while True:
            try:
                journal.add([PrefetchPackage(name)])
                return
            except sqlite3.OperationalError:
                assert time.monotonic() < until_s

    threads = [threading.Thread(target=add, args=(journals(), f"p{number}")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert journals().waiting(100) == 6


def test_a_file_that_was_replaced_is_noticed(journals: Opener) -> None:
    one = journals()
    one.add([CacheCurrentState()])
    assert not one.gone()
    journals.file.unlink()
    assert one.gone()


def test_without_a_file_it_works_in_memory() -> None:
    journal = Journal(None, this_process(), threading.Lock())
    (number,) = journal.add([CacheCurrentState()])
    assert [info.id for info in journal.all(NOW, recent=5)] == [number]
    claim: Callable[[], object] = lambda: journal.claim(KINDS, NOW, 0.0)  # noqa: E731
    assert claim() is not None and claim() is None


def test_what_ended_long_ago_is_forgotten_but_not_what_failed(journals: Opener) -> None:
    one = journals()
    (failed,) = one.add([PrefetchPackage("failed")])
    assert one.claim(KINDS, NOW, 0.0) is not None
    one.finish(failed, TaskState.FAILED, reason="x")
    one.rest()
    with sqlite3.connect(journals.file) as database:
        database.executemany(
            "INSERT INTO task (key, kind, argument, state, created, ended) "
            "VALUES (?, 'PrefetchPackage', ?, 'done', '2001-01-01', '2001-01-01')",
            [(f"old {number}", f"old{number}") for number in range(700)],
        )
    database.close()
    for number in range(50):
        one.add([PrefetchPackage(f"p{number}")])
        claim = one.claim(KINDS, NOW, 0.0)
        assert claim is not None
        one.finish(claim.id, TaskState.DONE)
    one.rest()
    with sqlite3.connect(journals.file) as database:
        counts = dict(database.execute("SELECT state, count(*) FROM task GROUP BY state"))
    database.close()
    assert counts["failed"] == 1 and counts["done"] < 700


def test_a_damaged_journal_is_not_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    assert read_all(file, NOW, recent=5) == []
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE other (x)")
    assert read_all(file, NOW, recent=5) == []  # nobody has left a task there yet
    file.write_bytes(b"garbage" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        read_all(file, NOW, recent=5)


def test_the_process_of_a_task_is_named_while_it_runs(journals: Opener) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        owner = dataclasses.replace(this_process(), pid=process.pid, started=started(process.pid) or "")
        theirs = journals(owner)
        theirs.add([PrefetchPackage("a")])
        assert theirs.claim(KINDS, NOW, 0.0) is not None
        (info,) = read_all(journals.file, NOW, recent=0)
        assert info.pid == process.pid
    finally:
        process.kill()
        process.communicate()
    (info,) = read_all(journals.file, NOW, recent=0)
    assert (info.state, info.pid) == (TaskState.RUNNING, None)
