"""Retries, progress and errors of downloads, over a real server that misbehaves on request."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from dxforge.config.model import Limits
from dxforge.errors import DownloadError, IntegrityError, PackageNotFoundError
from dxforge.events import Event, EventBus, Progress
from dxforge.sources.download import (
    ATTEMPTS,
    Downloader,
    fetch_archive,
    file_of,
    filename_of,
    origin_of,
    shown_url,
    strip_userinfo,
)
from dxforge.store.archives import ArchiveStore
from tests.support.index_server import IndexServer

CONTENT = b"0123456789abcdef" * 20_000


class Net:
    """A downloader that does not really wait, and what it did."""

    def __init__(self, cache: Path, *, ca_file: str = "") -> None:
        self.heard: list[Event] = []
        self.waited_s: list[float] = []
        events = EventBus()
        events.subscribe(self.heard.append)
        self.downloader = Downloader(events, sleep=self.waited_s.append, jitter=lambda: 0.5, ca_file=ca_file)
        self.store = ArchiveStore(cache)

    def fetch(self, url: str, sha256: str = "") -> bytes:
        """The archive at ``url``, through the cache."""
        path = fetch_archive(self.downloader, self.store, url, item="x.bin", sha256=sha256)
        return path.read_bytes()


@pytest.fixture
def net(cache_dir: Path) -> Net:
    """See there."""
    return Net(cache_dir)


def test_a_download_arrives_whole_and_tells_how_far_it_is(index: IndexServer, net: Net) -> None:
    assert net.fetch(index.file("x.bin", CONTENT)) == CONTENT
    last = net.heard[-1]
    assert last == Progress(phase="download", item="x.bin", done=len(CONTENT), total=len(CONTENT))
    assert net.waited_s == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again_with_growing_waits(index: IndexServer, net: Net, status: int) -> None:
    url = index.file("x.bin", CONTENT)
    index.fail("x.bin", times=ATTEMPTS - 1, status=status)
    assert net.fetch(url) == CONTENT
    assert net.waited_s == pytest.approx([0.4, 0.8, 1.6])
    assert index.count("x.bin") == ATTEMPTS


def test_after_the_last_attempt_it_is_an_error(index: IndexServer, net: Net, cache_dir: Path) -> None:
    url = index.file("x.bin", CONTENT)
    index.fail("x.bin", times=99, status=503)
    with pytest.raises(DownloadError, match="the server answered 503") as caught:
        net.fetch(url)
    assert caught.value.where == url
    assert "--offline" in caught.value.hint
    assert index.count("x.bin") == ATTEMPTS
    assert [path for path in cache_dir.rglob("*") if path.is_file()] == []


def test_retry_after_is_obeyed_within_reason(index: IndexServer, net: Net) -> None:
    url = index.file("x.bin", CONTENT)
    index.fail("x.bin", status=429, retry_after="7")
    index.fail("x.bin", status=503, retry_after=formatdate(time.time() + 30, usegmt=True))
    index.fail("x.bin", status=503, retry_after="soon")
    assert net.fetch(url) == CONTENT
    assert net.waited_s[0] == 7
    assert 20 < net.waited_s[1] <= 30
    assert net.waited_s[2] == pytest.approx(1.6)
    index.fail("x.bin", status=429, retry_after="3600")
    with pytest.raises(DownloadError, match="asks to wait 3600 s"):
        net.fetch(url)


def test_a_connection_cut_in_the_middle_begins_anew(index: IndexServer, net: Net) -> None:
    url = index.file("x.bin", CONTENT)
    index.cut("x.bin", times=2, after=70_000)
    assert net.fetch(url) == CONTENT
    assert len(net.waited_s) == 2


def test_a_connection_that_is_always_cut_is_an_error(index: IndexServer, net: Net) -> None:
    url = index.file("x.bin", CONTENT)
    index.cut("x.bin", times=99, after=70_000)
    with pytest.raises(DownloadError, match="the connection was cut"):
        net.fetch(url)


def test_a_page_that_is_cut_begins_anew_too(index: IndexServer, net: Net) -> None:
    index.wheel("demo", "1.0", {})
    index.cut("/simple/demo", after=10)
    assert b"demo-1.0" in net.downloader.get(index.pypi_url + "demo/", what="the page").content
    assert len(net.waited_s) == 1


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (401, 1), (403, 1), (418, 1)])
def test_final_answers_are_not_asked_for_again(index: IndexServer, net: Net, status: int, attempts: int) -> None:
    url = index.file("x.bin", CONTENT)
    index.fail("x.bin", times=99, status=status)
    with pytest.raises(DownloadError, match=str(status)):
        net.fetch(url)
    assert index.count("x.bin") == attempts


def test_a_file_that_is_not_there_is_not_found(index: IndexServer, net: Net) -> None:
    with pytest.raises(PackageNotFoundError, match=r"no x\.bin"):
        net.fetch(index.url + "/missing")
    assert net.waited_s == []


def test_nobody_listening_is_tried_and_then_said(index: IndexServer, net: Net) -> None:
    url = index.file("x.bin", CONTENT)
    index.stop()
    with pytest.raises(DownloadError, match="the connection was refused"):
        net.fetch(url)
    assert len(net.waited_s) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://no-such-host.invalid/x", "cannot be resolved"),
        ("http:///x", "the address is none|failed"),
        ("gopher://127.0.0.1/x", "failed"),
    ],
)
def test_hopeless_addresses_are_said(net: Net, url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match=reason):
        net.fetch(url)


def test_wrong_bytes_are_refused_and_nothing_is_kept(index: IndexServer, net: Net, cache_dir: Path) -> None:
    url = index.file("x.bin", CONTENT)
    with pytest.raises(IntegrityError, match="0" * 64):
        net.fetch(url, "0" * 64)
    with pytest.raises(IntegrityError, match="sha512"):
        fetch_archive(net.downloader, net.store, url, item="x.bin", digests=(("sha512", "00"),))
    assert [path for path in cache_dir.rglob("*") if path.is_file()] == []


def test_more_than_the_limit_is_refused_while_it_comes(index: IndexServer, cache_dir: Path) -> None:
    net = Net(cache_dir)
    net.store = ArchiveStore(cache_dir, Limits(total_bytes=100_000))
    with pytest.raises(DownloadError, match="more than the 100000 bytes"):
        net.fetch(index.file("x.bin", CONTENT))


def test_credentials_go_to_their_own_host_only(index: IndexServer, cache_dir: Path) -> None:
    with IndexServer() as other:
        other.credentials = "me:s3cr3t"
        net = Net(cache_dir)
        net.downloader = Downloader(EventBus(), credentials=(index.url.replace("//", "//me:s3cr3t@"),))
        index.credentials = "me:s3cr3t"
        assert net.fetch(index.file("x.bin", CONTENT)) == CONTENT
        with pytest.raises(DownloadError, match="401"):
            net.fetch(other.file("y.bin", CONTENT))


def test_files_are_fetched_like_addresses(tmp_path: Path, net: Net) -> None:
    path = tmp_path / "with space.bin"
    path.write_bytes(CONTENT)
    assert net.fetch(path.as_uri()) == CONTENT
    with pytest.raises(PackageNotFoundError):
        net.fetch((tmp_path / "missing").as_uri())


def test_a_certificate_file_that_is_none_is_said(cache_dir: Path, tmp_path: Path) -> None:
    net = Net(cache_dir, ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(DownloadError, match="certificates to trust is not there") as caught:
        net.fetch("https://127.0.0.1:9/x")
    assert "PIP_CERT" in caught.value.hint
    assert net.waited_s == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificates_to_trust_come_from_the_environment(cache_dir: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with IndexServer(tls=context) as index:
        url = index.file("x.bin", CONTENT)
        assert url.startswith("https:")
        assert Net(cache_dir, ca_file=str(certificate)).fetch(url) == CONTENT
        strange = Net(cache_dir)
        with pytest.raises(DownloadError, match="certificate cannot be trusted"):
            strange.fetch(url)
        assert strange.waited_s == []


def test_addresses_are_shown_without_secrets() -> None:
    url = "https://me:pw@host.example:8443/a%20b/x-1.0.tar.gz?token=abc#sha256=1"
    assert strip_userinfo(url) == "https://host.example:8443/a%20b/x-1.0.tar.gz?token=abc#sha256=1"
    assert shown_url(url) == "https://host.example:8443/a%20b/x-1.0.tar.gz"
    assert filename_of(url) == "x-1.0.tar.gz"
    assert filename_of("https://host.example/") == "archive"
    assert origin_of(url) == "https://host.example:8443"
    assert file_of("file:///tmp/a%20b") == Path("/tmp/a b")
