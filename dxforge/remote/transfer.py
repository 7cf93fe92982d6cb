"""Many transfers at once: in threads, with so many bytes on their way and no more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TypeVar

from dxforge.remote.session import Session
from dxforge.remote.threads import POLL_S, begin

T = TypeVar("T")
R = TypeVar("R")

_PARTING_S = 1.0


def in_parallel(
    jobs: Iterable[T],
    work: Callable[[T], R],
    *,
    session: Session,
    workers: int,
    size_bytes: Callable[[T], int],
    memory_bytes: int,
    check: Callable[[], None],
) -> Iterator[tuple[T, R]]:
    """Run ``work`` on each job, and yield it with its result as soon as it is done, in no order.

    The first failure is raised. Then, and when the caller stops iterating or is interrupted, the session is stopped:
    requests that have begun are given a moment to end, and end by themselves after that.

    Args:
        workers: so many at once...
        size_bytes: what a job weighs...
        memory_bytes: ... as long as they weigh no more than this together (one at least is always run); a result
            weighs until the next one is asked for.
        check: called several times a second; raises to give up.
    """
    waiting = iter(jobs)
    running: dict[Future[R], T] = {}
    weight = 0
    following = next(waiting, None)
    try:
        while running or following is not None:
            while (
                following is not None
                and len(running) < workers
                and (not running or weight + size_bytes(following) <= memory_bytes)
            ):
                weight += size_bytes(following)
                running[begin(partial(work, following))] = following
                following = next(waiting, None)
            check()
            done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                yield job, future.result()
                weight -= size_bytes(job)
    except BaseException:
        session.stop()
        with contextlib.suppress(KeyboardInterrupt):
            wait(running, timeout=_PARTING_S)
        raise
