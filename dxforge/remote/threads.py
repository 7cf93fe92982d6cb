"""Threads for requests, which cannot be interrupted: those who wait for them can, and the process's exit too."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

POLL_S = 0.1
_EXIT_S = 2.0
_running: set[Future[Any]] = set()
_lock = threading.Lock()


def begin(work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a thread of its own.

    A daemon, because a pool's threads would keep the process from exiting until the last request has timed out.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the waiter's
            future.set_exception(error)
        finally:
            with _lock:
                _running.discard(future)

    with _lock:
        _running.add(future)
    threading.Thread(target=run, name="dxforge-remote", daemon=True).start()
    return future


def finish(future: Future[T], check: Callable[[], None]) -> T:
    """The result, or what was raised; ``check`` is called several times a second meanwhile, and raises to give up."""
    while not wait([future], timeout=POLL_S).done:
        check()
    return future.result()


@atexit.register
def _part() -> None:
    """Give what is under way a moment to end, rather than end in the middle of it."""
    with _lock:
        left = list(_running)
    wait(left, timeout=_EXIT_S)
