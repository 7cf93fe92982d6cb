"""A small S3 in memory that answers as it is told to: what a real server does only on its worst days.

    with ScriptedS3() as server:
        server.fail("PUT", "packs/", status=503, times=3)
        server.fail("GET", "manifest/", status=429, headers={"Retry-After": "1"})
        server.cut("GET", "packs/", after_bytes=100)           # promises all, sends so much, hangs up
        server.stall("GET", "packs/", seconds=60)              # sends the head, and then nothing
        server.lose("PUT", "manifest/")                        # does it, and hangs up before it answers
        server.lie()                                           # a login page for everything

It checks no signatures; SeaweedFS (``object_server.py``) does.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from dxforge.config.secrets import Secret
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import Location

BUCKET = "scripted"
_DATE = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do wrong, ``times`` times, for a method and a fragment of the key."""

    method: str
    fragment: str
    times: int
    act: Callable[[_Handler], bool]
    """Answers, and says whether that was all; else the request goes on as if nothing were."""


@dataclass(slots=True, kw_only=True)
class Stored:
    """An object."""

    content: bytes
    modified_s: float = field(default_factory=time.time)
    parts: tuple[int, ...] = ()

    @property
    def tag(self) -> str:
        """Its entity tag."""
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


class ScriptedS3:
    """A context manager, with ``tls`` over https; thread-safe enough for tests.

    Attributes:
        objects: what is stored, by key.
        log: method, key and query of each request.
        signed: the Authorization headers that came.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.log: list[tuple[str, str, str]] = []
        self.signed: list[str] = []
        self.lock = threading.Lock()
        self._faults: list[Fault] = []
        owner = self

        class Handler(_Handler):
            server_state = owner

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def location(self, prefix: str = "p") -> Location:
        """A place in it."""
        return Location(kind="s3", bucket=BUCKET, prefix=prefix, endpoint=self.endpoint, region="us-east-1")

    def credentials(self) -> Credentials:
        """Some key."""
        return Credentials(id=Secret("SCRIPTEDKEYID"), secret=Secret("scripted-secret-canary"))

    def count(self, method: str, fragment: str = "") -> int:
        """How many requests there were."""
        with self.lock:
            return sum(entry[0] == method and fragment in entry[1] for entry in self.log)

    # -- what to do wrong -------------------------------------------------------------------------------------------

    def fail(
        self,
        method: str,
        fragment: str = "",
        *,
        status: int,
        code: str = "",
        message: str = "",
        times: int = 1 << 30,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with ``status``, and an S3 error where ``code`` is given."""
        body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode() if code else b""

        def act(handler: _Handler) -> bool:
            handler.answer(status, body, headers)
            return True

        self._add(method, fragment, times, act)

    def cut(self, method: str, fragment: str = "", *, after_bytes: int, times: int = 1 << 30) -> None:
        """Promise the whole body, send ``after_bytes`` of it, and hang up."""

        def act(handler: _Handler) -> bool:
            handler.limit = after_bytes
            return False

        self._add(method, fragment, times, act)

    def stall(self, method: str, fragment: str = "", *, seconds: float, times: int = 1 << 30) -> None:
        """Wait before answering."""

        def act(_: _Handler) -> bool:
            time.sleep(seconds)
            return False

        self._add(method, fragment, times, act)

    def lose(self, method: str, fragment: str = "", *, times: int = 1) -> None:
        """Do what is asked, and hang up without an answer."""

        def act(handler: _Handler) -> bool:
            handler.mute = True
            return False

        self._add(method, fragment, times, act)

    def lie(self) -> None:
        """Answer everything with a login page."""

        def act(handler: _Handler) -> bool:
            handler.answer(200, b"<html>please log in</html>", {"ETag": '"login"', "Last-Modified": _now()})
            return True

        for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
            self._add(method, "", 1 << 30, act)

    def heal(self) -> None:
        """No more faults."""
        with self.lock:
            self._faults.clear()

    def _add(self, method: str, fragment: str, times: int, act: Callable[[_Handler], bool]) -> None:
        with self.lock:
            self._faults.append(Fault(method=method, fragment=fragment, times=times, act=act))

    def fault(self, method: str, target: str) -> Fault | None:
        """The fault for a request, used up once."""
        with self.lock:
            for fault in self._faults:
                if fault.method == method and fault.fragment in target and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: ScriptedS3
    limit: int | None
    mute: bool

    def go(self) -> None:
        """Any request."""
        self.limit, self.mute = None, False
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server_state
        with state.lock:
            state.log.append((self.command, key, parts.query))
            state.signed.append(self.headers.get("Authorization", ""))
        fault = state.fault(self.command, self.path)
        if fault is not None and fault.act(self):
            return
        if bucket != BUCKET:
            self.error(404, "NoSuchBucket")
            return
        with state.lock:
            self.serve(key, query, body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = go

    def serve(self, key: str, query: dict[str, list[str]], body: bytes) -> None:
        """A request that nothing is wrong with."""
        state = self.server_state
        match self.command:
            case "GET" if not key:
                self.answer(200, self.listing(query.get("prefix", [""])[0]))
            case "GET" | "HEAD":
                self.give(key)
            case "PUT" if "partNumber" in query:
                state.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
                self.answer(200, b"", {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})
            case "PUT" if self.headers.get("If-None-Match") == "*" and key in state.objects:
                self.error(412, "PreconditionFailed")
            case "PUT":
                state.objects[key] = Stored(content=body)
                self.answer(200, b"", {"ETag": f'"{state.objects[key].tag}"'})
            case "POST" if "uploads" in query:
                number = f"u{len(state.uploads)}"
                state.uploads[number] = {}
                self.answer(200, _xml("InitiateMultipartUploadResult", f"<UploadId>{number}</UploadId>"))
            case "POST" if "uploadId" in query:
                pieces = [piece for _, piece in sorted(state.uploads.pop(query["uploadId"][0]).items())]
                state.objects[key] = Stored(content=b"".join(pieces), parts=tuple(map(len, pieces)))
                self.answer(200, _xml("CompleteMultipartUploadResult", f'<ETag>"{state.objects[key].tag}"</ETag>'))
            case "POST" if "delete" in query:
                keys = [unquote(found) for found in re.findall(r"<Key>(.*?)</Key>", body.decode())]
                for doomed in keys:
                    state.objects.pop(doomed, None)
                deleted = "".join(f"<Deleted><Key>{escape(doomed)}</Key></Deleted>" for doomed in keys)
                self.answer(200, _xml("DeleteResult", deleted))
            case "DELETE":
                state.uploads.pop(query.get("uploadId", [""])[0], None)
                state.objects.pop(key, None)
                self.answer(204, b"")
            case _:
                self.error(400, "InvalidRequest")

    def give(self, key: str) -> None:
        """An object, or a range of it."""
        stored = self.server_state.objects.get(key)
        if stored is None:
            self.error(404, "NoSuchKey")
            return
        headers = {"ETag": f'"{stored.tag}"', "Last-Modified": _now(stored.modified_s)}
        content = stored.content
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            self.answer(200, content, headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        if start >= len(content):
            self.error(416, "InvalidRange")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self.answer(206, content[start:end], headers)

    def listing(self, prefix: str) -> bytes:
        """ListObjectsV2, all in one page."""
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_iso(stored.modified_s)}</LastModified>"
            f'<ETag>"{stored.tag}"</ETag><Size>{len(stored.content)}</Size></Contents>'
            for key, stored in self.server_state.objects.items()
            if key.startswith(prefix)
        )
        return _xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{rows}")

    def error(self, status: int, code: str) -> None:
        """An S3 error."""
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send it, as far as the script allows."""
        if self.mute:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if self.limit is None else body[: self.limit])
        if self.limit is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: ``ScriptedS3.log`` is the log."""


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inner}</{name}>'.encode()


def _now(at_s: float | None = None) -> str:
    return time.strftime(_DATE, time.gmtime(at_s))


def _iso(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at_s))
