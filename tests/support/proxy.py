"""A proxy between a client and an object server: counts requests by R2's classes, slows, cuts and hangs.

with Proxy(server.port) as proxy:
    ... proxy.endpoint ...
    proxy.class_a, proxy.class_b, proxy.requests
    proxy.bytes_per_s = 1 << 20; proxy.delay_s = 0.04
    proxy.cut_after(100_000)        # bytes on their way to the server, then all connections end
    proxy.hang = True               # accepts, and says nothing
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

_BLOCK = 1 << 16


class Proxy:
    """A context manager; listens on a free loopback port, forwards to ``port``."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.delay_s = 0.0
        """Added to each request, as a far server would."""
        self.bytes_per_s = 0
        """In each direction of each connection; 0 = as fast as can be."""
        self.hang = False
        self.counts: Counter[str] = Counter()
        """By class: "a", "b", "free"."""
        self.requests: list[tuple[str, str]] = []
        """Method and target of each request, in order."""
        self._left: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def endpoint(self) -> str:
        """What takes the server's place in an address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def class_a(self) -> int:
        """Writes, lists and parts so far."""
        return self.counts["a"]

    @property
    def class_b(self) -> int:
        """Reads so far."""
        return self.counts["b"]

    def forget(self) -> None:
        """Start counting anew."""
        self.counts.clear()
        self.requests.clear()

    def cut_after(self, size_bytes: int | None) -> None:
        """After so many more bytes to the server, every connection is cut, again and again; None: no longer."""
        self._left = size_bytes

    def cut(self) -> None:
        """End all connections now, without a word."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BLOCK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self.hang:
                await asyncio.sleep(3600)
            back, there = await asyncio.open_connection("127.0.0.1", self.target, limit=_BLOCK)
            self._writers.add(there)
            up = asyncio.ensure_future(self._pump(reader, there, _Parser(self)))
            down = asyncio.ensure_future(self._pump(back, writer, None))
            _, pending = await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # cancelled only when the proxy closes; asyncio would log it
        finally:
            for end in (writer, there):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, parser: _Parser | None) -> None:
        while block := await source.read(_BLOCK):
            if parser is not None:
                if parser.feed(block) and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self._left is not None:
                    self._left -= len(block)
                    if self._left < 0:
                        self._left = 0
                        self._cut()
                        return
            if self.hang:
                await asyncio.sleep(3600)
            target.write(block)
            await target.drain()
            if self.bytes_per_s:
                await asyncio.sleep(len(block) / self.bytes_per_s)


class _Parser:
    """Finds the requests in what a client sends over one connection."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._skip = 0
        self._chunked = False

    def feed(self, block: bytes) -> bool:
        """Whether a request began in ``block``."""
        began = False
        while block:
            if self._skip:
                taken = min(self._skip, len(block))
                self._skip -= taken
                block = block[taken:]
                continue
            if self._chunked:
                self._head += block
                block = self._chunks()
                continue
            self._head += block
            head, separator, rest = self._head.partition(b"\r\n\r\n")
            if not separator:
                return began
            self._head = b""
            block = rest
            began = True
            self._request(head.decode("latin-1"))
        return began

    def _chunks(self) -> bytes:
        """Take whole chunks off; what follows the last one, or nothing where that has not come yet."""
        while True:
            line, separator, rest = self._head.partition(b"\r\n")
            size = int(line.split(b";")[0], 16) if separator else 0
            if not separator or (size and len(rest) < size + 2):
                return b""
            if size:
                self._head = rest[size + 2 :]
                continue
            _, ended, following = self._head.partition(b"\r\n\r\n")
            if ended:
                self._head, self._chunked = b"", False
            return following

    def _request(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._skip = 0 if self._chunked else int(headers.get("content-length") or 0)
        self._proxy.requests.append((method, target))
        self._proxy.counts[price(method, target)] += 1


def price(method: str, target: str) -> str:
    """What R2 charges a request as: "a", "b" or "free" (its pricing page)."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    in_bucket = "/" in parts.path.strip("/")
    if method == "DELETE" or (method == "POST" and "delete" in query):
        return "free"
    if method in {"PUT", "POST"}:
        return "a"
    if method == "GET" and (not in_bucket or {"uploads", "uploadId", "list-type"} & query.keys()):
        return "a"
    return "b"
