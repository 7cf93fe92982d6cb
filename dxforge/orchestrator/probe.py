"""Looking whether a tool is healthy. Each check ends by itself within the definition's ``timeout_s``."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from dxforge.config.model import HealthConfig
from dxforge.errors import ToolError
from dxforge.orchestrator.policy import exit_reason
from dxforge.orchestrator.ports import probed_address

_MAX_ANSWER_BYTES = 1 << 16
_MAX_LINE_CHARS = 200
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})\b")

Execute = Callable[[tuple[str, ...]], Awaitable[tuple[int, str]]]
"""Runs a program to its end; gives its exit status and its last line. Leaves no process when it is cancelled.
ToolError: it cannot be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a probe saw, in a few words: ``connection refused``, ``HTTP 503``."""

    ok: bool
    detail: str


def describe(health: HealthConfig | None) -> str:
    """What is probed: ``http http://127.0.0.1:8000/``; empty where nothing is."""
    if health is None:
        return ""
    if health.exec:
        return f"exec {' '.join(health.exec)}"
    kind = "http" if health.http else "tcp" if health.tcp else "log"
    return f"{kind} {health.http or health.tcp or health.log}"


async def check(health: HealthConfig, execute: Execute) -> Seen:
    """Probe once, by http, tcp or exec (``log`` is told by the output, not probed)."""
    try:
        async with asyncio.timeout(health.timeout_s) as limit:
            if health.exec:
                return await _exec(health.exec, execute)
            return await (_http(health.http) if health.http else _tcp(health))
    except TimeoutError as error:
        if not limit.expired():
            return Seen(ok=False, detail=_told(error))
        return Seen(ok=False, detail=f"no answer within {health.timeout_s:g} s")
    except OSError as error:
        return Seen(ok=False, detail=_told(error))
    except ToolError as error:
        return Seen(ok=False, detail=error.what)


async def _exec(program: tuple[str, ...], execute: Execute) -> Seen:
    exit_code, last_line = await execute(program)
    said = f": {last_line[:_MAX_LINE_CHARS]}" if last_line and exit_code else ""
    return Seen(ok=exit_code == 0, detail=f"{os.path.basename(program[0])} {exit_reason(exit_code)}{said}")


async def _tcp(health: HealthConfig) -> Seen:
    host, port = probed_address(health) or ("", 0)
    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()
    return Seen(ok=True, detail="connected")


async def _http(url: str) -> Seen:
    """One GET; a status below 400 is healthy, so a redirect is, and it is not followed.

    Written out, because no HTTP client of the standard library can be cancelled.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        host, parts.port or (443 if secure else 80), ssl=_tls(host) if secure else None, limit=_MAX_ANSWER_BYTES
    )
    try:
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else ""
        )
        name = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii").decode()
        request = f"GET {target} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: dxforge\r\nAccept: */*\r\n"
        writer.write(f"{request}Connection: close\r\n\r\n".encode())
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            line = b""
        status = _STATUS_LINE.match(line)
        if status is None:
            return Seen(ok=False, detail="the answer is not HTTP" if line else "the connection was closed unanswered")
        # Servers complain in their log about one who hangs up at once.
        await reader.read(_MAX_ANSWER_BYTES)
        return Seen(ok=int(status[1]) < 400, detail=f"HTTP {status[1].decode()}")
    finally:
        writer.transport.abort()


def _tls(host: str) -> ssl.SSLContext:
    """Certificates are verified, but for this machine: a development server signs its own."""
    context = ssl.create_default_context()
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host.lower() == "localhost"
    if local:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _told(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    # asyncio hides the reason in a text about the address, and gives several where a name has several addresses.
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "connection refused"
    if isinstance(error, socket.gaierror) or not error.errno:
        return (error.strerror or str(error) or type(error).__name__).lower()
    return os.strerror(error.errno).lower()
