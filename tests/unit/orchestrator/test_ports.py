"""Who holds a port."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dxforge.config.model import HealthConfig
from dxforge.errors import PortTakenError
from dxforge.orchestrator.ports import Holder, find_holder, is_taken, probed_address, refuse_taken

LISTEN = """
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder() -> Iterator[tuple[int, int]]:
    """A process that listens on a loopback port: its pid and the port."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process.pid, int(process.stdout.readline())
        process.stdin.close()


def refuse(health: HealthConfig | None) -> None:
    asyncio.run(refuse_taken("web", health))


def test_addresses() -> None:
    assert probed_address(None) is None
    assert probed_address(HealthConfig(log="ready")) is None
    assert probed_address(HealthConfig(exec=("true",))) is None
    assert probed_address(HealthConfig(tcp="localhost:80")) == ("localhost", 80)
    assert probed_address(HealthConfig(tcp="[::1]:80")) == ("::1", 80)
    assert probed_address(HealthConfig(http="http://127.0.0.1:8000/x")) == ("127.0.0.1", 8000)
    assert probed_address(HealthConfig(http="http://[::1]/x")) == ("::1", 80)
    assert probed_address(HealthConfig(http="https://localhost")) == ("localhost", 443)


def test_the_holder_is_named_with_pid_and_command(holder: tuple[int, int]) -> None:
    pid, port = holder
    for health in (
        HealthConfig(tcp=f"127.0.0.1:{port}"),
        HealthConfig(http=f"http://localhost:{port}/"),
        HealthConfig(tcp=f"0.0.0.0:{port}"),
    ):
        with pytest.raises(PortTakenError) as caught:
            refuse(health)
        assert caught.value.pid == pid
        assert f"port {port} is taken by process {pid} (" in caught.value.what
        assert os.path.basename(sys.executable) in caught.value.what
        assert f"kill {pid}" in caught.value.hint
        assert caught.value.tool == "web"


def test_a_free_port_passes(holder: tuple[int, int]) -> None:
    _, port = holder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    refuse(HealthConfig(tcp=f"127.0.0.1:{number}"))
    refuse(None)
    # Not of this machine: nothing to say.
    refuse(HealthConfig(tcp=f"192.0.2.1:{port}"))
    refuse(HealthConfig(tcp=f"some-name.invalid:{port}"))


def test_what_is_left_of_a_closed_connection_is_not_in_the_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_taken("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps TIME_WAIT
    assert not is_taken("127.0.0.1", port)


def test_looking_takes_nothing(holder: tuple[int, int]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    assert not is_taken("127.0.0.1", number)
    with socket.create_server(("127.0.0.1", number)):
        assert is_taken("127.0.0.1", number)


def test_holders_in_words(holder: tuple[int, int]) -> None:
    pid, port = holder
    found = find_holder(port)
    assert found.pid == pid and "-c" in found.command and len(found.command) <= 101
    assert str(Holder(pid=None, command="")).startswith("a process that cannot be seen")
    assert str(Holder(pid=5, command="")) == "process 5"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert find_holder(free.getsockname()[1]).pid in {None, os.getpid()}
