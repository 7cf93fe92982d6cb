"""Following the changes of tools from any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import Self

from dxforge.orchestrator.status import ToolChanged

_CAPACITY = 1000


class Subscription:
    """Changes of tools, one after the other: ``async for change in subscription``.

    At most 1000 wait to be taken; beyond, the oldest are dropped and counted. To be taken from one loop at a time,
    which need not be the one that it was made on. ``close()``, the end of a ``with`` block, or the orchestrator's own
    close end the iteration, after what was there.

    Attributes:
        dropped: how many changes were lost.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._changes: deque[ToolChanged] = deque()
        self._closed = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def push(self, change: ToolChanged) -> None:
        """Add a change; from any thread, never blocks."""
        with self._lock:
            if self._closed:
                return
            if len(self._changes) >= _CAPACITY:
                self._changes.popleft()
                self.dropped += 1
            self._changes.append(change)
            self._wake()

    def close(self) -> None:
        """Take no more changes; from any thread, may be called more than once."""
        with self._lock:
            self._closed = True
            self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ToolChanged:
        while True:
            with self._lock:
                if self._changes:
                    return self._changes.popleft()
                if self._closed:
                    raise StopAsyncIteration
                event = asyncio.Event()
                self._waiting = asyncio.get_running_loop(), event
            await event.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        if self._waiting is not None:
            loop, event = self._waiting
            self._waiting = None
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                # That loop is closed, and whoever waited there gone with it.
                pass
