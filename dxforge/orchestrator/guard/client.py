"""A session, as its guard sees it. It needs the standard library only."""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys

from dxforge.orchestrator.guard.wire import Frames, frame, note

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from typing import Any

    from dxforge.orchestrator.guard.guard import Guard

PIECE_BYTES = 1 << 16
"""So much is read at once."""
BACKLOG_BYTES = 1 << 18
"""So much waits for a slow session; output that comes after is not shown to it, only counted."""


class Client:
    """A session's end: it may be an owner, which keeps the tool alive, or only look on.

    Raises:
        ProcessLookupError: the session is dead already.
    """

    def __init__(self, guard: Guard, connection: socket.socket) -> None:
        self.guard = guard
        self.connection = connection
        self.frames = Frames()
        self.waiting = bytearray()
        self.missed_bytes = 0
        self.joined = False
        self.owner = False
        self.posts = 0
        self.stale = False
        self.there = True
        self.pid, self.pidfd = peer_of(connection)
        connection.settimeout(0.0)
        guard.selector.register(connection, selectors.EVENT_READ, self.ready)
        if self.pidfd >= 0:
            # End of file does not tell that a session is dead: a child that it forked may hold the socket open.
            guard.selector.register(self.pidfd, selectors.EVENT_READ, lambda _events: self.drop())

    def join(self, said: dict[str, Any], *, owner: bool) -> None:
        """It has said what it wants to be."""
        self.joined, self.owner = True, owner
        self.pid = self.pid or said.get("pid", 0)  # where the system does not say, it has to

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        if events & selectors.EVENT_WRITE:
            self.flush()
        if not (events & selectors.EVENT_READ and self.there):
            return
        try:
            data = self.connection.recv(PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.drop()
            return
        try:
            notes = [dict(json.loads(payload)) for _, payload in self.frames.feed(data)]
        except (ValueError, TypeError):
            self.drop()
            return
        for said in notes:
            self.guard.obey(self, said)

    def show(self, kind: bytes, piece: bytes) -> None:
        """Pass on output. Never blocks: what a slow session cannot take is left out and counted."""
        if len(self.waiting) > BACKLOG_BYTES:
            self.missed_bytes += len(piece)
        else:
            self.send(frame(kind, piece))

    def tell_state(self) -> None:
        """Pass on how things stand; to a slow session the latest, once it has caught up."""
        if len(self.waiting) > BACKLOG_BYTES:
            self.stale = True
        elif self.joined:
            self.send(self.state())

    def state(self) -> bytes:
        # With the number of its own posts that are in it, so that it can tell what is older than its last.
        return note(what="state", posts=self.posts, **self.guard.standing())

    def send(self, data: bytes) -> None:
        """Send ``data``, now or when the session takes it."""
        if self.there:
            self.waiting += data
            self.flush()

    def flush(self) -> None:
        while self.waiting and self.there:
            try:
                sent = self.connection.send(self.waiting)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.drop()
                return
            del self.waiting[:sent]
            if not self.waiting:
                self.catch_up()
        if self.there:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.waiting else 0)
            if self.guard.selector.get_key(self.connection).events != wanted:
                self.guard.selector.modify(self.connection, wanted, self.ready)

    def catch_up(self) -> None:
        if self.missed_bytes:
            self.waiting += note(what="missed", bytes=self.missed_bytes)
            self.missed_bytes = 0
        if self.stale:
            self.waiting += self.state()
            self.stale = False

    def drop(self) -> None:
        """The session is gone, or talks nonsense."""
        if not self.there:
            return
        self.there = False
        self.guard.selector.unregister(self.connection)
        self.connection.close()
        if self.pidfd >= 0:
            self.guard.selector.unregister(self.pidfd)
            os.close(self.pidfd)
        self.guard.left(self)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The process that made the other end: its pid (0: unknown) and a descriptor that is readable once it is dead (-1).

    Raises:
        ProcessLookupError: it is dead already.
    """
    if sys.platform != "linux":
        return 0, -1
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    try:
        return pid, os.pidfd_open(pid) if pid else -1  # 0: in another container
    except ProcessLookupError:
        raise
    except OSError:
        return pid, -1
