"""Probing once, against real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dxforge.config.model import HealthConfig
from dxforge.errors import ToolError
from dxforge.orchestrator.probe import Seen, check, describe

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def nothing(program: tuple[str, ...]) -> tuple[int, str]:
    raise AssertionError(program)


@contextlib.asynccontextmanager
async def answering(answer: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that sends ``answer`` to each request and hangs up; its port, and what it was sent."""
    requests: list[bytes] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], requests
        await asyncio.gather(*filter(None, serving))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def http(answer: bytes, path: str = "/") -> tuple[Seen, list[bytes]]:
    async def go() -> tuple[Seen, list[bytes]]:
        async with answering(answer) as (port, requests):
            seen = await check(HealthConfig(http=f"http://127.0.0.1:{port}{path}"), nothing)
            return seen, requests

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, Seen(ok=True, detail="HTTP 200")),
        (b"HTTP/1.0 204 No Content\r\n\r\n", Seen(ok=True, detail="HTTP 204")),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", Seen(ok=True, detail="HTTP 302")),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Seen(ok=False, detail="HTTP 404")),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Seen(ok=False, detail="HTTP 503")),
        (b"SSH-2.0-OpenSSH\r\n", Seen(ok=False, detail="the answer is not HTTP")),
        (b"x" * 300_000, Seen(ok=False, detail="the connection was closed unanswered")),
        (b"", Seen(ok=False, detail="the connection was closed unanswered")),
        (OK + b"x" * 1_000_000, Seen(ok=True, detail="HTTP 200")),
    ],
)
def test_http(answer: bytes, expected: Seen) -> None:
    assert http(answer)[0] == expected


def test_the_request() -> None:
    _, [request] = http(OK, "/héalth check?a=b c".replace(" ", "%20"))
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /h%C3%A9alth%20check?a=b%20c HTTP/1.1"
    assert any(line.startswith("Host: 127.0.0.1:") for line in lines)


def test_nobody_listens() -> None:
    port = free_port()
    for health in (
        HealthConfig(http=f"http://127.0.0.1:{port}/"),
        HealthConfig(http=f"http://localhost:{port}/"),
        HealthConfig(tcp=f"127.0.0.1:{port}"),
        HealthConfig(tcp=f"localhost:{port}"),
    ):
        assert asyncio.run(check(health, nothing)) == Seen(ok=False, detail="connection refused")


def test_a_name_that_is_none() -> None:
    seen = asyncio.run(check(HealthConfig(tcp="no-such-name.invalid:80", timeout_s=20.0), nothing))
    assert not seen.ok and seen.detail


def test_no_answer_is_told_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        health = HealthConfig(http=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.05)
        assert asyncio.run(check(health, nothing)) == Seen(ok=False, detail="no answer within 0.05 s")


def test_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        health = HealthConfig(tcp=f"127.0.0.1:{server.getsockname()[1]}")
        assert asyncio.run(check(health, nothing)) == Seen(ok=True, detail="connected")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_tcp_over_ipv6() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback")
    with server:
        health = HealthConfig(tcp=f"[::1]:{server.getsockname()[1]}")
        assert asyncio.run(check(health, nothing)).ok


def test_tls_of_this_machine_needs_no_known_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=me -days 1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def go() -> tuple[Seen, Seen]:
        async with answering(OK, tls=context) as (port, _):
            good = await check(HealthConfig(http=f"https://localhost:{port}/"), nothing)
        async with answering(OK) as (port, _):
            plain = await check(HealthConfig(http=f"https://127.0.0.1:{port}/", timeout_s=0.3), nothing)
        return good, plain

    good, plain = asyncio.run(go())
    assert good == Seen(ok=True, detail="HTTP 200")
    assert not plain.ok and plain.detail


def test_exec() -> None:
    ends = {"good": (0, "fine"), "bad": (2, "no server"), "killed": (-9, "")}

    async def run(program: tuple[str, ...]) -> tuple[int, str]:
        return ends[program[1]]

    for word, expected in (
        ("good", Seen(ok=True, detail="check ended with exit status 0")),
        ("bad", Seen(ok=False, detail="check ended with exit status 2: no server")),
        ("killed", Seen(ok=False, detail="check killed by SIGKILL")),
    ):
        assert asyncio.run(check(HealthConfig(exec=("/usr/bin/check", word)), run)) == expected


def test_exec_that_takes_too_long_is_cancelled_and_cleaned_up() -> None:
    cleaned = []

    async def run(program: tuple[str, ...]) -> tuple[int, str]:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(program)
        return 0, ""

    health = HealthConfig(exec=("slow",), timeout_s=0.05)
    assert asyncio.run(check(health, run)) == Seen(ok=False, detail="no answer within 0.05 s")
    assert cleaned == [("slow",)]


def test_exec_of_no_program() -> None:
    async def run(program: tuple[str, ...]) -> tuple[int, str]:
        raise ToolError("there is no program nix")

    assert asyncio.run(check(HealthConfig(exec=("nix",)), run)) == Seen(ok=False, detail="there is no program nix")


def test_probes_in_words() -> None:
    assert describe(None) == ""
    assert describe(HealthConfig(http="http://a/")) == "http http://a/"
    assert describe(HealthConfig(tcp="a:1")) == "tcp a:1"
    assert describe(HealthConfig(exec=("pg_isready", "-q"))) == "exec pg_isready -q"
    assert describe(HealthConfig(log="ready")) == "log ready"
