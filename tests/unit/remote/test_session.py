"""Requests: counted, tried again, given up, stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import RemoteDeniedError, RemoteUnreachableError
from dxforge.remote.failures import StoreError, Trouble
from dxforge.remote.folder import FolderObjects
from dxforge.remote.location import Location
from dxforge.remote.model import Requests
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session, StoppedError, listing_pages, parts


class Moody(FolderObjects):
    """A folder that fails as often as it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, make_parents=True)
        self.troubles: list[Trouble] = []

    def head(self, key: str) -> Any:
        if self.troubles:
            raise StoreError(self.troubles.pop(0), "as told")
        return super().head(key)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def objects(tmp_path: Path) -> Moody:
    return Moody(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def session_of(
    objects: Moody, clock: Callable[[], float], *, attempts: int = 3, circuit: Circuit | None = None
) -> Session:
    return Session(
        objects,
        Location(kind="file"),
        retry=RetryPolicy(attempts=attempts, base_s=0.001, longest_s=0.002, throttled_s=0.001),
        circuit=circuit or Circuit(Breaker(limit=2, cool_down_s=30), clock),
        chance=lambda: 0.5,
    )


@pytest.mark.parametrize("trouble", [Trouble.BUSY, Trouble.UNREACHABLE, Trouble.CUT])
def test_what_may_pass_is_tried_again(objects: Moody, clock: Clock, trouble: Trouble) -> None:
    objects.troubles = [trouble, trouble]
    session = session_of(objects, clock)
    assert session.head("a") is None
    assert session.requests == Requests(class_b=3)


def test_what_may_not_pass_is_not(objects: Moody, clock: Clock) -> None:
    objects.troubles = [Trouble.DENIED]
    session = session_of(objects, clock)
    with pytest.raises(RemoteDeniedError) as caught:
        session.head("a")
    assert isinstance(caught.value.__cause__, StoreError)
    assert session.requests.total == 1


def test_after_the_last_try_it_is_over(objects: Moody, clock: Clock) -> None:
    objects.troubles = [Trouble.UNREACHABLE] * 9
    session = session_of(objects, clock)
    with pytest.raises(RemoteUnreachableError, match="as told"):
        session.head("a")
    assert session.requests.total == 3


def test_a_remote_that_does_not_answer_is_left_in_peace(objects: Moody, clock: Clock) -> None:
    circuit = Circuit(Breaker(limit=2, cool_down_s=30), clock)
    objects.troubles = [Trouble.UNREACHABLE] * 2
    for _ in range(2):
        with pytest.raises(RemoteUnreachableError, match="as told"):
            session_of(objects, clock, attempts=1, circuit=circuit).head("a")
    session = session_of(objects, clock, circuit=circuit)
    with pytest.raises(RemoteUnreachableError, match="not asked again for 30 s"):
        session.head("a")
    assert session.requests.total == 0
    clock.now_s = 30
    assert session.head("a") is None


def test_a_refusal_is_an_answer(objects: Moody, clock: Clock) -> None:
    circuit = Circuit(Breaker(limit=1), clock)
    objects.troubles = [Trouble.DENIED]
    session = session_of(objects, clock, circuit=circuit)
    with pytest.raises(RemoteDeniedError):
        session.head("a")
    assert session.head("a") is None


def test_requests_are_counted_by_class(objects: Moody, clock: Clock) -> None:
    session = session_of(objects, clock)
    session.put("packs/a", b"x")
    session.put_parts("packs/b", 25, lambda: [b"x"], 10)
    assert session.create("manifest/1", b"x") is not None
    assert session.create("manifest/1", b"x") is None
    session.get("packs/a")
    session.get_range("packs/a", 0, 1)
    session.head("packs/a")
    session.list_all("")
    session.delete(["packs/a"])
    session.delete([])
    assert session.requests == Requests(class_a=1 + (3 + 2) + 2 + 1, class_b=3, free=1)
    assert session.requests.total == 13


def test_stopping_ends_those_who_wait(objects: Moody, clock: Clock) -> None:
    objects.troubles = [Trouble.UNREACHABLE] * 9
    session = session_of(objects, clock)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(StoppedError):
            session.pause(60)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    session.stop()
    thread.join(10)
    assert ended.is_set()
    with pytest.raises(StoppedError):
        session.head("a")


def test_pages_and_parts() -> None:
    assert [listing_pages(count) for count in (0, 1, 1000, 1001, 2001)] == [1, 1, 1, 2, 3]
    assert [parts(size, 10) for size in (0, 1, 10, 11, 100)] == [1, 1, 1, 2, 10]
