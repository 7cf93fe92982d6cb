"""Who holds a port that a tool is to listen on."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from dxforge.config.model import HealthConfig
from dxforge.errors import PortTakenError

_MAX_COMMAND_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that listens; ``pid`` is None where the system does not tell, as of another user's process."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        if self.pid is None:
            return "a process that cannot be seen from here (another user's, or another container's)"
        return f"process {self.pid} ({self.command})" if self.command else f"process {self.pid}"


def probed_address(health: HealthConfig | None) -> tuple[str, int] | None:
    """Host and port of a probe; None where it has none. The address is taken to be the tool's own."""
    if health is None or not (health.http or health.tcp):
        return None
    if health.tcp:
        host, _, port = health.tcp.rpartition(":")
        return host.strip("[]"), int(port)
    parts = urlsplit(health.http)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def refuse_taken(tool: str, health: HealthConfig | None) -> None:
    """Before a tool is started: nobody else may listen where it will be probed.

    Raises:
        PortTakenError: somebody does, with pid and command.
    """
    address = probed_address(health)
    if address is None or not any(is_taken(host, address[1]) for host in local_addresses(address[0])):
        return
    port = address[1]
    holder = await asyncio.to_thread(find_holder, port)
    kill = f"Stop it (kill {holder.pid})" if holder.pid is not None else "Stop it"
    raise PortTakenError(
        f"port {port} is taken by {holder}", tool=tool, pid=holder.pid, hint=f"{kill}, or give the tool another port"
    )


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens on ``host`` (an IP address of this machine) and ``port``. Disturbs nobody."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform == "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                # So that only a listener is in the way, not what is left of a connection that was closed.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        # Not allowed, or not an address of this machine: then nothing can be said.
        return error.errno == errno.EADDRINUSE
    return False


def find_holder(port: int) -> Holder:
    """The process that listens on ``port``. Takes some milliseconds."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        connections = []
    here = [entry for entry in connections if entry.laddr and entry.laddr.port == port]
    here.sort(key=lambda entry: (entry.status != psutil.CONN_LISTEN, entry.pid is None))
    pid = here[0].pid if here else None
    if pid is None:
        return Holder(pid=None, command="")
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        command = ""
    shown = command if len(command) <= _MAX_COMMAND_CHARS else f"{command[:_MAX_COMMAND_CHARS]}…"
    return Holder(pid=pid, command=shown)


def local_addresses(host: str) -> tuple[str, ...]:
    """The IP addresses that ``host`` means, where that can be said without asking a server."""
    # Names other than this are not resolved: that may take seconds, and they rarely mean this machine.
    if host.lower() == "localhost":
        return ("127.0.0.1", "::1")
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return ()
