"""Real git repositories for tests, made by git itself, and a real smart HTTP server for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.archives import Exec, Link

_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.invalid", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


class Repository:
    """A repository with a working copy in ``folder`` (made), on branch ``main``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str) -> str:
        """Run git here; its output."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.folder,
            env={**os.environ, **_ENVIRONMENT},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, bytes | str | Exec | Link | None], *, tag: str = "") -> str:
        """Write ``files`` (None: delete), commit everything, perhaps tag it (annotated); the commit's id."""
        for path, member in files.items():
            target = self.folder / path
            if target.is_symlink() or target.exists():
                target.unlink()
            if member is None:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(member, Link):
                target.symlink_to(member.target)
                continue
            content = member.content if isinstance(member, Exec) else member
            target.write_bytes(content.encode() if isinstance(content, str) else content)
            target.chmod(0o755 if isinstance(member, Exec) else 0o644)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a commit")
        if tag:
            self.git("tag", "--annotate", "--message", tag, tag)
        return self.git("rev-parse", "HEAD")


class GitServer:
    """Serves every repository below ``folder`` by git's smart HTTP protocol, through ``git http-backend``.

    Attributes:
        requests: the path of every request so far.
        failing: how many of the next requests are answered with 503.
        credentials: "user:password" that every request must bring, or empty.
    """

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.failing = 0
        self.credentials = ""
        owner: GitServer = self

        class Handler(_Handler):
            server_of = owner

        self.folder = folder
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The server's root, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of: GitServer

    def do_GET(self) -> None:
        owner = self.server_of
        owner.requests.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if owner.failing > 0:
            owner.failing -= 1
            self.send_error(503)
            return
        if owner.credentials:
            import base64

            wanted = "Basic " + base64.b64encode(owner.credentials.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        path, _, query = self.path.partition("?")
        backend = shutil.which("git")
        assert backend is not None
        environment = {
            **os.environ, **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(owner.folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run([backend, "http-backend"], env=environment, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: ``GitServer.requests`` is the log."""
