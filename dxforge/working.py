"""How blocking work is done beside an event loop, and how two processes keep out of each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dxforge.errors import ProjectBusyError
from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock

T = TypeVar("T")
Check = Callable[[], None]
_WAKE_S = 0.1
_LONGEST_S = 24 * 3600.0


class StoppedError(BaseException):
    """The caller was cancelled; never seen outside."""


async def in_thread(work: Callable[[Check], T]) -> T:
    """Run ``work`` in a thread; cancelling lets its next ``check()`` raise, and waits until it has stopped."""
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise StoppedError

    def run() -> T | StoppedError:
        try:
            return work(check)
        except StoppedError as stopped:
            return stopped

    future = asyncio.get_running_loop().run_in_executor(None, run)
    try:
        # In pieces: a signal that lands just before the loop goes to sleep is only seen when it wakes again.
        while not future.done():
            await asyncio.wait([future], timeout=_WAKE_S)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()  # taken note of, or the loop complains about it when it is closed
        raise
    result = future.result()
    if isinstance(result, StoppedError):
        raise asyncio.CancelledError
    return result


@contextlib.contextmanager
def one_at_a_time(root: Path, name: str) -> Iterator[bool]:
    """Let one process at a time go on, and one more wait for it; False for any further: who waits will do its work.

    Args:
        root: the project's folder.
        name: of what is done.
    """
    state = prepare_state_dir(root)
    silent = EventBus()
    with contextlib.ExitStack() as running:
        try:
            with project_lock(state, wait_s=0.0, events=silent, name=f"{name}.next"):
                running.enter_context(project_lock(state, wait_s=_LONGEST_S, events=silent, name=f"{name}.lock"))
        except ProjectBusyError:
            yield False
            return
        yield True
