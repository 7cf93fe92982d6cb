"""A session's connection to a guard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from dxforge.orchestrator.guard.wire import NOTE, STDOUT, Frames, note

SLICE_BYTES, SLICE_S = 1 << 20, 0.05
"""So much is read in that time at most: a tool that prints without end must not take this process' time. The guard
leaves out, and counts, what does not fit."""


class Listener(Protocol):
    """Who hears what a guard says: a ``Process``."""

    def hear(self, said: dict[str, Any]) -> None:
        """It said something."""

    def hang_up(self, *, lost: bool) -> None:
        """It is heard no more; ``lost``: and we have not closed the connection."""


class Connection(asyncio.Protocol):
    """Sends notes to a guard, and hands on what it says. Made by ``over`` and ``to_folder``."""

    def __init__(self, on_output: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.hello = False
        """Whether a guard has taken the socket."""
        self.greeting: asyncio.Future[dict[str, Any] | None] = loop.create_future()
        """Its first answer; None: it closed without one."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._on_output = on_output
        self._listener: Listener | None = None
        self._unheard: list[dict[str, Any]] = []
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._slice_bytes = 0
        self._slice_start = 0.0

    @classmethod
    async def over(cls, ours: socket.socket, on_output: Callable[[str, bytes], None]) -> Connection:
        """A connection over a connected socket, which belongs to it from now on, also when this fails."""
        connection = cls(on_output)
        try:
            ours.settimeout(0.0)
            await connection._loop.create_unix_connection(lambda: connection, sock=ours)
        except BaseException:
            ours.close()
            raise
        return connection

    @classmethod
    async def to_folder(cls, folder: Path, on_output: Callable[[str, bytes], None]) -> Connection | None:
        """A connection to the guard that listens in ``folder``; None: none does at this moment.

        Raises:
            OSError: it may not be reached, or no descriptor is free.
        """
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(0.0)
        try:
            with _short_path(folder) as path:
                ours.connect(path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError, BlockingIOError):
            ours.close()
            return None
        except BaseException:
            ours.close()
            raise
        return await cls.over(ours, on_output)

    def send(self, **fields: object) -> None:
        """Say something; nobody hears it once the connection is closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(note(**fields))

    def listen(self, listener: Listener) -> None:
        """From now on ``listener`` hears what the guard says, and what it has said since its first answer."""
        self._listener = listener
        for said in self._unheard:
            listener.hear(said)
        self._unheard.clear()
        if self.closed.done():
            listener.hang_up(lost=not self._closing)

    def close(self) -> None:
        """Say no more. What was said before is still sent."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the socket is ours."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """asyncio's: bytes are there."""
        for kind, payload in self._frames.feed(data):
            if kind == NOTE:
                self._take(json.loads(payload))
            else:
                self._show("stdout" if kind == STDOUT else "stderr", payload)
        self._slow_down(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: closed, by either side."""
        del exc
        for future in (self.greeting, self.closed):
            if not future.done():
                future.set_result(None)
        if self._listener is not None:
            self._listener.hang_up(lost=not self._closing)

    def _take(self, said: dict[str, Any]) -> None:
        if said["what"] == "hello":
            self.hello = True
        elif not self.greeting.done():
            self.greeting.set_result(said)
        elif self._listener is None:
            self._unheard.append(said)
        else:
            self._listener.hear(said)

    def _show(self, stream: str, piece: bytes) -> None:
        try:
            self._on_output(stream, piece)
        except Exception as error:  # noqa: BLE001 - a fault of who listens must not cost the connection
            message = "what listens to a tool's output has failed"
            self._loop.call_exception_handler({"message": message, "exception": error, "protocol": self})

    def _slow_down(self, size_bytes: int) -> None:
        now = self._loop.time()
        if now >= self._slice_start + SLICE_S:
            self._slice_start, self._slice_bytes = now, 0
        self._slice_bytes += size_bytes
        if self._slice_bytes > SLICE_BYTES and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_at(self._slice_start + SLICE_S, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    # The address of a socket has room for 108 bytes (104 on macOS), a project's path may have more.
    if sys.platform == "linux":
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}/control"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(prefix="dx") as short:
            os.symlink(folder.absolute(), f"{short}/t")
            yield f"{short}/t/control"
