"""What a face shows while a command works."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_WAITING_AT_MOST = 32 * 1024 * 1024


class Live:
    """What a face shows while a command works; this one shows nothing."""

    def output(self, stream: str, text: str) -> None:
        """Take a piece of a tool's output; ``stream`` is "stdout" or "stderr". From any thread; never blocks."""

    def draw(self) -> None:
        """Show what came since the last time. Called in the thread that typed the line, several times a second."""


class Outlet:
    """Pieces of output on their way from the thread that reads them to the one that may write.

    The reader is never held up: when the writer is (a pager that waits for a key), pieces wait here, and beyond
    32 Mi characters they are counted and dropped, since tools keep their output on disk anyhow.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[str, str]] = deque()
        self._waiting = 0
        self._lost = 0
        self._lock = threading.Lock()

    def put(self, stream: str, text: str) -> None:
        """Take a piece."""
        with self._lock:
            if self._waiting + len(text) > _WAITING_AT_MOST:
                self._lost += len(text)
            else:
                self._pieces.append((stream, text))
                self._waiting += len(text)

    def drain(self, write: Callable[[str, str], None]) -> None:
        """Hand everything that waits to ``write``, a stream and a text at a time."""
        while True:
            with self._lock:
                pieces, self._pieces = self._pieces, deque()
                lost, self._lost = self._lost, 0
                self._waiting = 0
            for stream, text in _joined(pieces):
                write(stream, text)
            if lost:
                write("stderr", f"\n({lost} characters came too fast to be shown; they are in the log)\n")
            if not pieces:
                return


def _joined(pieces: deque[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of the same stream made one."""
    joined: list[tuple[str, list[str]]] = []
    for stream, text in pieces:
        if joined and joined[-1][0] == stream:
            joined[-1][1].append(text)
        else:
            joined.append((stream, [text]))
    return [(stream, "".join(texts)) for stream, texts in joined]
