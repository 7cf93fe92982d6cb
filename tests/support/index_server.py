"""A package index and npm registry on loopback, serving packages that a test makes on the fly.

    with IndexServer() as index:
        index.wheel("demo", "1.0", {"demo/__init__.py": b"A = 1\n"}, requires=["other>=2"])
        index.sdist("demo", "0.9", {"demo/__init__.py": "A = 0\n"})
        index.npm("left", "1.2.3", {"index.js": "module.exports = 1\n"})
        index.fail("demo-1.0", times=2, status=503)        # the next two requests with that text in their path
        ... index.pypi_url, index.npm_url, index.count("demo-1.0") ...

The fixtures ``index`` and ``cache_dir`` (``fixtures.py``) start one per test and point the environment at it.
It is a real HTTP/1.1 server in a thread: PEP 503 HTML and PEP 691 JSON (by ``Accept``), hashes, requires-python,
yanking (PEP 592), metadata files (PEP 658), npm packuments and tarballs, and plain files.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

from tests.support.archives import Files, npm_bytes, sdist_bytes, wheel_bytes

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One file that the index offers."""

    filename: str
    url: str
    content: bytes
    requires_python: str = ""
    yanked: bool | str = False
    metadata: bytes | None = None
    hashes: bool = True

    @property
    def sha256(self) -> str:
        """Of the whole file, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the server does wrong for requests whose path contains ``fragment``, ``times`` times."""

    fragment: str
    times: int
    status: int = 0
    retry_after: str = ""
    cut_after: int = -1
    corrupt: bool = False


@dataclass(slots=True, kw_only=True)
class NpmProject:
    """A packument in the making."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class IndexServer:
    """A loopback index; a context manager, started on entry; with ``tls`` over https. Thread-safe enough for tests.

    Attributes:
        paths: the path of every request so far, in order.
        html_only: serve PEP 503 HTML although the client would take JSON.
        credentials: "user:password" that every request must bring, or empty.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.paths: list[str] = []
        self._tls = tls
        self.html_only = False
        self.credentials = ""
        self._projects: dict[str, list[Release]] = {}
        self._npm: dict[str, NpmProject] = {}
        self._files: dict[str, bytes] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen on a free loopback port."""
        owner: IndexServer = self

        class Handler(_Handler):
            index = owner

        self._server = _Server(("127.0.0.1", self._port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening; packages stay, and a later ``start`` uses the same port."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- addresses and counts -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The server's root, without a trailing slash."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def pypi_url(self) -> str:
        """What ``PIP_INDEX_URL`` takes."""
        return f"{self.url}/simple/"

    @property
    def npm_url(self) -> str:
        """What ``NPM_CONFIG_REGISTRY`` takes."""
        return f"{self.url}/npm/"

    def count(self, fragment: str = "") -> int:
        """How many requests so far had ``fragment`` in their path."""
        with self._lock:
            return sum(fragment in path for path in self.paths)

    def forget_requests(self) -> None:
        """Start counting anew."""
        with self._lock:
            self.paths.clear()

    # -- packages -----------------------------------------------------------------------------------------------

    def wheel(
        self,
        name: str,
        version: str,
        files: Files,
        *,
        requires: Sequence[str] = (),
        requires_python: str = "",
        tag: str = "py3-none-any",
        build: str = "",
        yanked: bool | str = False,
        metadata: bool = True,
        extras: Sequence[str] = (),
        hashes: bool = True,
    ) -> Release:
        """Offer a wheel with ``files`` plus its ``.dist-info`` (METADATA, WHEEL, RECORD).

        ``metadata`` says whether the metadata is also offered apart (PEP 658); ``hashes`` whether the index tells
        the file's sha256.
        """
        filename, content, meta = wheel_bytes(
            name,
            version,
            files,
            requires=requires,
            requires_python=requires_python,
            tag=tag,
            build=build,
            extras=extras,
        )
        return self.offer(
            name,
            filename,
            content,
            requires_python=requires_python,
            yanked=yanked,
            metadata=meta if metadata else None,
            hashes=hashes,
        )

    def sdist(
        self,
        name: str,
        version: str,
        files: Files,
        *,
        requires: Sequence[str] = (),
        requires_python: str = "",
        format: str = "tar.gz",
        yanked: bool | str = False,
        hashes: bool = True,
    ) -> Release:
        """Offer an sdist (``format`` "tar.gz" or "zip"): one top folder with ``files`` and PKG-INFO."""
        filename, content = sdist_bytes(
            name, version, files, requires=requires, requires_python=requires_python, format=format
        )
        return self.offer(name, filename, content, requires_python=requires_python, yanked=yanked, hashes=hashes)

    def offer(
        self,
        name: str,
        filename: str,
        content: bytes,
        *,
        requires_python: str = "",
        yanked: bool | str = False,
        metadata: bytes | None = None,
        hashes: bool = True,
    ) -> Release:
        """Offer any bytes as a file of project ``name``; replaces an equal filename."""
        project = _normalised(name)
        path = f"/files/{project}/{filename}"
        release = Release(
            filename=filename,
            url=self.url + quote(path),
            content=content,
            requires_python=requires_python,
            yanked=yanked,
            metadata=metadata,
            hashes=hashes,
        )
        with self._lock:
            kept = [known for known in self._projects.get(project, []) if known.filename != filename]
            self._projects[project] = [*kept, release]
            self._files[path] = content
            if metadata is not None:
                self._files[path + ".metadata"] = metadata
        return release

    def withdraw(self, name: str, filename: str = "") -> None:
        """Take one file, or the whole project, off the index (and off the server)."""
        project = _normalised(name)
        with self._lock:
            gone = [known for known in self._projects.get(project, []) if filename in ("", known.filename)]
            kept = [known for known in self._projects.get(project, []) if known not in gone]
            for release in gone:
                self._files.pop(f"/files/{project}/{release.filename}", None)
            if kept:
                self._projects[project] = kept
            else:
                self._projects.pop(project, None)

    def npm(
        self,
        name: str,
        version: str,
        files: Files,
        *,
        deprecated: str = "",
        tag: str | None = "latest",
        integrity: bool = True,
        top: str = "package",
    ) -> Release:
        """Offer an npm package (``name`` may be scoped) with ``files`` and a package.json, moving ``tag`` to it.

        ``integrity`` False offers only the old ``shasum``.
        """
        content = npm_bytes(name, version, files, top=top)
        filename = f"{name.rpartition('/')[2]}-{version}.tgz"
        path = f"/npm/{name}/-/{filename}"
        dist: dict[str, Any] = {"tarball": self.url + path, "shasum": hashlib.sha1(content).hexdigest()}
        if integrity:
            dist["integrity"] = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        data: dict[str, Any] = {"name": name, "version": version, "dist": dist}
        if deprecated:
            data["deprecated"] = deprecated
        with self._lock:
            project = self._npm.setdefault(name, NpmProject())
            project.versions[version] = data
            if tag is not None:
                project.tags[tag] = version
            self._files[path] = content
        return Release(filename=filename, url=dist["tarball"], content=content)

    def npm_tag(self, name: str, tag: str, version: str) -> None:
        """Move a dist-tag."""
        with self._lock:
            self._npm[name].tags[tag] = version

    def file(self, path: str, content: bytes) -> str:
        """Serve ``content`` at ``/<path>``; returns its address."""
        with self._lock:
            self._files["/" + path.lstrip("/")] = content
        return self.url + quote("/" + path.lstrip("/"))

    # -- faults -------------------------------------------------------------------------------------------------

    def fail(self, fragment: str, *, times: int = 1, status: int = 503, retry_after: str = "") -> None:
        """Answer the next ``times`` requests with ``fragment`` in their path with ``status``."""
        self._add(Fault(fragment=fragment, times=times, status=status, retry_after=retry_after))

    def cut(self, fragment: str, *, times: int = 1, after: int = 20) -> None:
        """Close the connection after ``after`` bytes of the body."""
        self._add(Fault(fragment=fragment, times=times, cut_after=after))

    def corrupt(self, fragment: str, *, times: int = 1) -> None:
        """Send a body of the right length with one byte changed."""
        self._add(Fault(fragment=fragment, times=times, corrupt=True))

    def clear_faults(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    # -- answering ----------------------------------------------------------------------------------------------

    def _note(self, path: str) -> Fault | None:
        with self._lock:
            self.paths.append(path)
            for fault in self._faults:
                if fault.times > 0 and fault.fragment in path:
                    fault.times -= 1
                    return fault
        return None

    def _answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        with self._lock:
            if path in self._files:
                return 200, "application/octet-stream", self._files[path]
            if path.startswith("/simple/"):
                releases = self._projects.get(path.removeprefix("/simple/").strip("/"))
                if releases is None:
                    return 404, "text/plain", b"no such project"
                if JSON_TYPE in accept and not self.html_only:
                    return 200, JSON_TYPE, _project_json(path, releases)
                return 200, HTML_TYPE, _project_html(releases)
            if path.startswith("/npm/"):
                project = self._npm.get(path.removeprefix("/npm/"))
                if project is None:
                    return 404, "application/json", b'{"error":"Not found"}'
                body = {"name": path.removeprefix("/npm/"), "dist-tags": project.tags, "versions": project.versions}
                return 200, "application/json", json.dumps(body).encode()
        return 404, "text/plain", b"no such file"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: IndexServer

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        fault = self.index._note(path)
        if self.index.credentials and not self._authorised():
            self._send(401, "text/plain", b"who are you?", {"WWW-Authenticate": 'Basic realm="index"'})
            return
        if fault is not None and fault.status:
            extra = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._send(fault.status, "text/plain", b"told to fail", extra)
            return
        status, kind, body = self.index._answer(path, self.headers.get("Accept", ""))
        if fault is not None and fault.corrupt and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        if fault is not None and fault.cut_after >= 0:
            self._send(status, kind, body, {}, only=fault.cut_after)
            self.close_connection = True
            return
        self._send(status, kind, body, {})

    do_HEAD = do_GET

    def _authorised(self) -> bool:
        wanted = "Basic " + base64.b64encode(self.index.credentials.encode()).decode()
        return self.headers.get("Authorization", "") == wanted

    def _send(self, status: int, kind: str, body: bytes, extra: Mapping[str, str], only: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if only is None else body[:only])

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: ``IndexServer.paths`` is the log."""


def _project_json(path: str, releases: Sequence[Release]) -> bytes:
    files: list[dict[str, Any]] = []
    for release in releases:
        data: dict[str, Any] = {
            "filename": release.filename,
            "url": release.url,
            "hashes": {"sha256": release.sha256} if release.hashes else {},
            "size": len(release.content),
            "yanked": release.yanked,
        }
        if release.requires_python:
            data["requires-python"] = release.requires_python
        if release.metadata is not None:
            data["core-metadata"] = {"sha256": hashlib.sha256(release.metadata).hexdigest()}
        files.append(data)
    name = path.removeprefix("/simple/").strip("/")
    return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": files}).encode()


def _project_html(releases: Sequence[Release]) -> bytes:
    lines = ["<!DOCTYPE html>", "<html><body>"]
    for release in releases:
        url = f"{release.url}#sha256={release.sha256}" if release.hashes else release.url
        attributes = [f'href="{html.escape(url)}"']
        if release.requires_python:
            attributes.append(f'data-requires-python="{html.escape(release.requires_python)}"')
        if release.yanked is not False:
            reason = release.yanked if isinstance(release.yanked, str) else ""
            attributes.append(f'data-yanked="{html.escape(reason)}"')
        if release.metadata is not None:
            attributes.append(f'data-core-metadata="sha256={hashlib.sha256(release.metadata).hexdigest()}"')
        lines.append(f"<a {' '.join(attributes)}>{html.escape(release.filename)}</a><br>")
    lines.append("</body></html>")
    return "\n".join(lines).encode()


def _normalised(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def serve_folder(index: IndexServer, folder: Path) -> list[Release]:
    """Offer every wheel and sdist lying in ``folder``; returns them (a benchmark's real packages, without a net)."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    releases = []
    for path in sorted(folder.iterdir()):
        name = parse_wheel_filename(path.name)[0] if path.suffix == ".whl" else parse_sdist_filename(path.name)[0]
        releases.append(index.offer(name, path.name, path.read_bytes()))
    return releases
