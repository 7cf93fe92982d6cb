"""Many transfers at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dxforge.remote.folder import FolderObjects
from dxforge.remote.location import Location
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session, StoppedError
from dxforge.remote.transfer import in_parallel


@pytest.fixture
def session(tmp_path: Path) -> Session:
    objects = FolderObjects(tmp_path, make_parents=True)
    return Session(objects, Location(kind="file"), retry=RetryPolicy(), circuit=Circuit(Breaker()), chance=lambda: 0.5)


def nothing() -> None:
    pass


def run(session: Session, jobs: list[int], work: object, **options: object) -> list[tuple[int, object]]:
    settings = {"workers": 4, "size_bytes": lambda job: job, "memory_bytes": 1000, "check": nothing, **options}
    return list(in_parallel(jobs, work, session=session, **settings))  # type: ignore[arg-type]


def test_every_job_is_done_once(session: Session) -> None:
    assert sorted(run(session, list(range(50)), lambda job: job * 2)) == [(job, job * 2) for job in range(50)]
    assert run(session, [], lambda job: job) == []


def test_no_more_than_so_many_at_once_nor_heavier(session: Session) -> None:
    lock = threading.Lock()
    running: list[int] = []
    most: list[tuple[int, int]] = []

    def work(job: int) -> None:
        with lock:
            running.append(job)
            most.append((len(running), sum(running)))
        time.sleep(0.005)
        with lock:
            running.remove(job)

    run(session, [30] * 20, work, workers=3)
    assert max(count for count, _ in most) <= 3
    most.clear()
    run(session, [400] * 6 + [5000] + [400] * 3, work, workers=8)
    assert max(weight for _, weight in most if weight != 5000) <= 1000
    assert 5000 in [weight for _, weight in most]  # alone


def test_a_failure_is_raised_and_stops_the_others(session: Session) -> None:
    def work(job: int) -> None:
        if job == 3:
            raise KeyError(job)
        session.pause(60)

    with pytest.raises(KeyError):
        run(session, [1, 2, 3, 4, 5, 6, 7, 8], work)
    with pytest.raises(StoppedError):
        session.pause(0)


def test_check_may_give_up(session: Session) -> None:
    class EnoughError(Exception):
        pass

    began = threading.Event()

    def check() -> None:
        if began.is_set():
            raise EnoughError

    def work(job: int) -> None:
        began.set()
        session.pause(60)

    with pytest.raises(EnoughError):
        run(session, [1, 2, 3], work, check=check)


def test_who_stops_iterating_stops_the_rest(session: Session) -> None:
    def work(job: int) -> int:
        if job:
            session.pause(60)
        return job

    transfers = in_parallel(
        [0, 1, 2], work, session=session, workers=4, size_bytes=lambda _: 1, memory_bytes=10, check=nothing
    )
    assert next(transfers) == (0, 0)
    transfers.close()  # type: ignore[attr-defined]
    with pytest.raises(StoppedError):
        session.pause(0)
