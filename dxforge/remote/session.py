"""The requests of one push, pull or look-up: counted, tried again, and stopped when it is time to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol, TypeVar

from dxforge.errors import RemoteUnreachableError
from dxforge.remote.failures import StoreError, Trouble, remote_error
from dxforge.remote.garbage import Stored
from dxforge.remote.location import Location
from dxforge.remote.model import Requests
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.threads import POLL_S, begin, finish

T = TypeVar("T")
_LISTED_AT_ONCE = 1000


class Objects(Protocol):
    """What an object store can do; described at :class:`~dxforge.remote.objects.S3Objects`. Raises `StoreError`."""

    def get(self, key: str) -> tuple[memoryview, str] | None: ...
    def get_range(self, key: str, start: int, length: int) -> memoryview | None: ...
    def stream(self, key: str, start: int, length: int, consume: Callable[[Iterable[bytes]], T]) -> T | None: ...
    def head(self, key: str) -> Stored | None: ...
    def list_all(self, folder: str) -> list[Stored]: ...
    def put(self, key: str, content: bytes | bytearray) -> None: ...
    def put_parts(self, key: str, blocks: Iterable[bytes], part_bytes: int) -> None: ...
    def create(self, key: str, content: bytes) -> str | None: ...
    def delete(self, keys: list[str]) -> None: ...


class StoppedError(Exception):
    """The session was stopped while this thread waited. Never leaves the package."""


class Circuit:
    """A `Breaker` that threads share."""

    def __init__(self, breaker: Breaker, clock: Callable[[], float] = time.monotonic) -> None:
        self._breaker = breaker
        self._clock = clock
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """For how long nothing is asked; 0 = go ahead."""
        with self._lock:
            now_s = self._clock()
            return 0.0 if self._breaker.allows(now_s) else self._breaker.open_until_s - now_s

    def note(self, *, success: bool) -> None:
        """How an operation ended."""
        with self._lock:
            self._breaker = self._breaker.succeeded() if success else self._breaker.failed(self._clock())


class Session:
    """Thread-safe. Every method raises a `RemoteError` when it fails for good, and `StoppedError` after `stop`.

    Args:
        objects: where to.
        location: for errors.
        retry: how often, and with which pauses.
        circuit: shared by all sessions of a remote.
        chance: numbers in [0, 1).
        check: called several times a second while the thread that made the session waits; raises to give up.
    """

    def __init__(
        self,
        objects: Objects,
        location: Location,
        *,
        retry: RetryPolicy,
        circuit: Circuit,
        chance: Callable[[], float],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.objects = objects
        self._location = location
        self._retry = retry
        self._circuit = circuit
        self._chance = chance
        self._check = check
        self._maker = threading.get_ident()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._counts = {"a": 0, "b": 0, "free": 0}

    @property
    def requests(self) -> Requests:
        """What was asked so far, tries that failed included."""
        with self._lock:
            return Requests(class_a=self._counts["a"], class_b=self._counts["b"], free=self._counts["free"])

    def stop(self) -> None:
        """Let no further request begin, and wake those who wait."""
        self._stopped.set()

    def pause(self, seconds: float) -> None:
        """Sleep, unless stopped."""
        deadline_s = time.monotonic() + seconds
        ours = threading.get_ident() == self._maker
        if self._stopped.is_set():
            raise StoppedError
        while (left_s := deadline_s - time.monotonic()) > 0:
            if ours:
                self._check()
            if self._stopped.wait(min(left_s, POLL_S) if ours else left_s):
                raise StoppedError

    def get(self, key: str) -> tuple[memoryview, str] | None:
        """An object and its tag; None where there is none."""
        return self._ask("b", lambda: self.objects.get(key))

    def get_range(self, key: str, start: int, length: int) -> memoryview | None:
        """A piece of an object; None where there is none."""
        return self._ask("b", lambda: self.objects.get_range(key, start, length))

    def stream(self, key: str, start: int, length: int, consume: Callable[[Iterable[bytes]], T]) -> T | None:
        """A piece of an object, block by block; ``consume`` begins anew with each try."""
        return self._ask("b", lambda: self.objects.stream(key, start, length, consume))

    def head(self, key: str) -> Stored | None:
        """Size and tag of an object; None where there is none."""
        return self._ask("b", lambda: self.objects.head(key))

    def list_all(self, folder: str) -> list[Stored]:
        """Everything below ``folder``."""
        found = self._ask("a", lambda: self.objects.list_all(folder))
        self._count("a", listing_pages(len(found)) - 1)
        return found

    def put(self, key: str, content: bytes | bytearray) -> None:
        """Store an object in one request."""
        self._ask("a", lambda: self.objects.put(key, content), writing=True)

    def put_parts(self, key: str, size_bytes: int, blocks: Callable[[], Iterable[bytes]], part_bytes: int) -> None:
        """Store an object in parts; ``blocks`` is called for each try."""
        cost = parts(size_bytes, part_bytes) + 2
        self._ask("a", lambda: self.objects.put_parts(key, blocks(), part_bytes), writing=True, cost=cost)

    def create(self, key: str, content: bytes) -> str | None:
        """Store an object that must not exist; its tag, or None where it does.

        After an answer that got lost, None may also mean that this very request had succeeded.
        """
        return self._ask("a", lambda: self.objects.create(key, content), writing=True)

    def delete(self, keys: list[str]) -> None:
        """Delete objects."""
        for start in range(0, len(keys), _LISTED_AT_ONCE):
            some = keys[start : start + _LISTED_AT_ONCE]
            self._ask("free", lambda some=some: self.objects.delete(some), writing=True)  # type: ignore[misc]

    def _count(self, kind: str, number: int = 1) -> None:
        with self._lock:
            self._counts[kind] += number

    def _ask(self, kind: str, request: Callable[[], T], *, writing: bool = False, cost: int = 1) -> T:
        attempt = 0
        while True:
            if self._stopped.is_set():
                raise StoppedError
            self._refuse_while_open()
            attempt += 1
            self._count(kind, cost)
            try:
                # In the others, who began them checks.
                answer = finish(begin(request), self._check) if threading.get_ident() == self._maker else request()
            except StoreError as error:
                failure = error
            else:
                self._circuit.note(success=True)
                return answer
            if not failure.temporary:
                self._circuit.note(success=True)
                self._give_up(failure, writing=writing)
            throttled = failure.trouble is Trouble.BUSY
            wait_s = self._retry.wait_s(attempt, chance=self._chance(), throttled=throttled)
            if wait_s is None:
                self._circuit.note(success=False)
                self._give_up(failure, writing=writing)
            self.pause(wait_s)

    def _give_up(self, failure: StoreError, *, writing: bool) -> NoReturn:
        raise remote_error(failure, self._location, writing=writing) from failure

    def _refuse_while_open(self) -> None:
        wait_s = self._circuit.wait_s()
        if wait_s:
            raise RemoteUnreachableError(
                f"it did not answer a moment ago, and is not asked again for {wait_s:.0f} s",
                where=self._location.shown,
                hint="Check the network, or wait; nothing that was done is lost",
            )


def parts(size_bytes: int, part_bytes: int) -> int:
    """How many parts an object is uploaded in."""
    return max(1, -(-size_bytes // part_bytes))


def listing_pages(objects: int) -> int:
    """How many requests it takes to list so many objects (S3: 1,000 each)."""
    return max(1, -(-objects // _LISTED_AT_ONCE))
