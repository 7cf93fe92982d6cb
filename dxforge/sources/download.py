"""The one way to the network: a pooled session, retries with backoff and jitter, and archives that arrive whole.

Addresses are shown without user, password, query and fragment: any of these may be a secret.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from dxforge.errors import DownloadError, IntegrityError, PackageNotFoundError
from dxforge.events import EventBus, Progress
from dxforge.store.archives import ArchiveStore, Incoming

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")
ATTEMPTS = 4
_BACKOFF_S = 0.4
_LONGEST_WAIT_S = 60.0
_TIMEOUT_S = (10.0, 60.0)
_BLOCK = 1 << 18
_PROGRESS_S = 0.1
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Downloader:
    """HTTP for the sources; the session is made when first needed. Thread-safe.

    Args:
        events: hears Progress of downloads.
        ca_file: certificates to trust; "" for the library's own.
        credentials: addresses from the environment that may carry user and password; these are sent to that host only.
        sleep: waits between attempts, in seconds.
        jitter: a number in [0, 1) that spreads the attempts of many clients.
    """

    def __init__(
        self,
        events: EventBus,
        *,
        ca_file: str = "",
        credentials: tuple[str, ...] = (),
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._events = events
        self._ca_file = ca_file
        self._credentials = {origin: pair for url in credentials for origin, pair in [_credentials(url)] if pair}
        self._sleep = sleep
        self._jitter = jitter
        self._made: requests.Session | None = None

    def close(self) -> None:
        """Drop idle connections; the next request makes new ones."""
        session, self._made = self._made, None
        if session is not None:
            session.close()

    def get(self, url: str, *, accept: str = "*/*", what: str) -> requests.Response:
        """A whole answer, whose status is 200.

        Args:
            url: with or without credentials.
            what: names what is asked for in errors.

        Raises:
            PackageNotFoundError: 404 or 410.
            DownloadError: any other failure, after retries.
        """

        def attempt() -> requests.Response:
            with self._request(url, {"Accept": accept}, what) as answer:
                # Reads all of it; a connection that is cut is an error here and not later.
                answer.content  # noqa: B018
                return answer

        return self._retrying(attempt, url, what)

    def download(self, url: str, incoming: Incoming, *, item: str, limit_bytes: int, size_bytes: int | None) -> None:
        """Stream the file at ``url`` into ``incoming``, with Progress events for ``item``.

        Args:
            limit_bytes: more than this is refused.
            size_bytes: how many bytes to expect, where known.

        Raises:
            PackageNotFoundError, DownloadError: as :meth:`get`.
        """

        def attempt() -> None:
            incoming.restart()
            with self._request(url, {"Accept-Encoding": "identity"}, item) as answer:
                told = answer.headers.get("Content-Length", "")
                total = int(told) if told.isdigit() else size_bytes
                shown_s = time.monotonic()
                for block in _blocks(answer):
                    incoming.write(block)
                    if incoming.size > limit_bytes:
                        raise DownloadError(
                            f"{item} has more than the {limit_bytes} bytes that are allowed",
                            where=shown_url(url),
                            hint="Where you trust it, raise total_bytes in dx.toml's [limits]",
                        )
                    now_s = time.monotonic()
                    if now_s - shown_s >= _PROGRESS_S:
                        shown_s = now_s
                        self._events.emit(Progress(phase="download", item=item, done=incoming.size, total=total))
            size = incoming.size
            self._events.emit(Progress(phase="download", item=item, done=size, total=size))

        self._retrying(attempt, url, item)

    # -- one request ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _request(self, url: str, headers: Mapping[str, str], what: str) -> Iterator[requests.Response]:
        plain = strip_userinfo(url)
        # Per request: a session's own setting would yield to REQUESTS_CA_BUNDLE.
        verify = self._ca_file or None
        with self._session().get(
            plain, headers=dict(headers), timeout=_TIMEOUT_S, stream=True, verify=verify
        ) as answer:
            status = answer.status_code
            if status in _TRANSIENT:
                raise _TransientError(f"the server answered {status}", _retry_after_s(answer))
            if status in (404, 410):
                raise PackageNotFoundError(f"there is no {what}", where=shown_url(url))
            if status in (401, 403):
                raise DownloadError(
                    f"the server refused {what} ({status})",
                    where=shown_url(url),
                    hint="Put user and password into ~/.netrc, or into the index address in the environment",
                )
            if status != 200:
                raise DownloadError(f"the server answered {status} for {what}", where=shown_url(url))
            yield answer

    def _session(self) -> requests.Session:
        session = self._made
        if session is None:
            import requests
            from requests.adapters import HTTPAdapter

            from dxforge.sources.transport import FileAdapter, HostAuth

            session = requests.Session()
            # Retries are ours: urllib3's do not cover a body that is cut.
            adapter = HTTPAdapter(pool_connections=16, pool_maxsize=16, max_retries=0)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            session.mount("file://", FileAdapter())
            session.headers["User-Agent"] = "dxforge"
            session.auth = HostAuth(self._credentials)
            self._made = session
        return session

    def _retrying(self, attempt: Callable[[], _T], url: str, what: str) -> _T:
        import requests
        import urllib3

        transient = (_TransientError, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
        for number in range(1, ATTEMPTS + 1):
            try:
                return attempt()
            except transient as error:
                wait_s = self._wait_s(error, number)
                if wait_s is None:
                    raise DownloadError(
                        f"{what} cannot be had: {_reason(error)}",
                        where=shown_url(url),
                        hint=_hint(error),
                    ) from error
                self._sleep(wait_s)
        raise AssertionError  # the last attempt raises

    def _wait_s(self, error: BaseException, number: int) -> float | None:
        """How long to wait before the next attempt; None where there is to be none."""
        if number >= ATTEMPTS or not _may_pass(error):
            return None
        asked_s = error.retry_after_s if isinstance(error, _TransientError) else None
        if asked_s is not None:
            return asked_s if asked_s <= _LONGEST_WAIT_S else None
        return float(_BACKOFF_S * 2 ** (number - 1) * (0.5 + self._jitter()))


class _TransientError(Exception):
    """An answer that says "later"."""

    def __init__(self, reason: str, retry_after_s: float | None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


def _may_pass(error: BaseException) -> bool:
    """Whether trying again could help: not with an address that is none, nor with a certificate."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, OSError) and not isinstance(error, (requests.RequestException, ConnectionError)):
        return False  # a file: address that cannot be read
    hopeless = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.TooManyRedirects,
        requests.exceptions.InvalidHeader,
    )
    return not isinstance(error, hopeless)


def _reason(error: BaseException) -> str:
    """The innermost cause, in few words; never the library's text, which repeats addresses."""
    import requests

    if isinstance(error, _TransientError):
        later = f" and asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return f"{error}{later}"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate cannot be trusted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    text = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    for sign, reason in (
        ("NameResolutionError", "the host's name cannot be resolved"),
        ("Connection refused", "the connection was refused"),
        ("IncompleteRead", "the connection was cut"),
        ("ChunkedEncodingError", "the connection was cut"),
        ("RemoteDisconnected", "the connection was closed without an answer"),
        ("InvalidURL", "the address is none"),
        ("TLS CA certificate", "the file of certificates to trust is not there"),
        ("TooManyRedirects", "it is redirected without end"),
    ):
        if sign in text:
            return reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"the connection failed ({type(error).__name__})"


def _hint(error: BaseException) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError) or "TLS CA certificate" in str(error):
        return "Name the certificates to trust in PIP_CERT, REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
    return "Check the network and try again, or use what is in the cache with --offline"


def _retry_after_s(answer: requests.Response) -> float | None:
    """``Retry-After`` (RFC 9110, 10.2.3) in seconds: a number, or a date."""
    from email.utils import parsedate_to_datetime

    text = answer.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _blocks(answer: requests.Response) -> Iterator[bytes]:
    """The body as it is on the wire: a server that marks a .tar.gz as Content-Encoding gzip must not unpack it."""
    raw = answer.raw
    if hasattr(raw, "stream"):
        yield from raw.stream(_BLOCK, decode_content=False)
    else:
        yield from iter(lambda: raw.read(_BLOCK), b"")


def fetch_archive(
    downloader: Downloader,
    store: ArchiveStore,
    url: str,
    *,
    item: str,
    sha256: str = "",
    digests: tuple[tuple[str, str], ...] = (),
    size_bytes: int | None = None,
) -> Path:
    """Download an archive into the cache; it is there only if its content is the one that was promised.

    Args:
        item: the file's name, for progress and errors.
        sha256: what it must have; "" where nobody has told yet.
        digests: other hashes it must have, as (algorithm, hex digits).
        size_bytes: how large it is, where known.

    Returns:
        Its path in the cache; the name is its sha256.

    Raises:
        PackageNotFoundError, DownloadError, IntegrityError, WriteError: nothing was kept.
    """
    import hashlib

    with store.incoming() as incoming:
        downloader.download(url, incoming, item=item, limit_bytes=store.limits.total_bytes, size_bytes=size_bytes)
        for algorithm, promised in digests:
            incoming.flush()
            with incoming.path.open("rb") as stream:
                found = hashlib.file_digest(stream, algorithm).hexdigest()
            if found != promised:
                raise IntegrityError(
                    f"its {algorithm} is {found}, and {promised} was promised",
                    where=item,
                    hint="Try again; where it stays so, the file was replaced at its source and must not be trusted",
                )
        return store.keep(incoming, sha256, what=item)


def strip_userinfo(url: str) -> str:
    """``url`` without user and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def shown_url(url: str) -> str:
    """``url`` as it may be shown and kept: scheme, host and path only."""
    parts = urlsplit(strip_userinfo(url))
    return urlunsplit(parts._replace(query="", fragment=""))


def filename_of(url: str, default: str = "archive") -> str:
    """The last part of the address's path."""
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2] or default


def file_of(url: str) -> Path:
    """The path that a ``file:`` address means."""
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return Path(url2pathname(f"//{parts.netloc}{parts.path}" if parts.netloc not in ("", "localhost") else parts.path))


def origin_of(url: str) -> str:
    """Scheme, host and port: what credentials belong to."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    parts = urlsplit(url)
    if not parts.username and not parts.password:
        return origin_of(url), None
    return origin_of(url), (unquote(parts.username or ""), unquote(parts.password or ""))
