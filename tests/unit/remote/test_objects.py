"""S3 through obstore: what it sends, and what becomes of what comes back."""

from __future__ import annotations

import pickle
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dxforge.errors import RemoteError
from dxforge.remote.failures import StoreError, Trouble
from dxforge.remote.objects import S3Objects
from tests.support.scripted_s3 import ScriptedS3


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with ScriptedS3() as running:
        yield running


@pytest.fixture
def store(server: ScriptedS3) -> S3Objects:
    return S3Objects(server.location(), server.credentials(), largest_put_bytes=1000, part_bytes=1000)


def test_what_is_stored_is_there(store: S3Objects, server: ScriptedS3) -> None:
    store.put("packs/a", b"hello")
    assert server.objects["p/packs/a"].content == b"hello"
    found = store.get("packs/a")
    assert found is not None
    assert bytes(found[0]) == b"hello"
    head = store.head("packs/a")
    assert head is not None
    assert (head.key, head.size_bytes, head.tag) == ("packs/a", 5, found[1])
    assert bytes(store.get_range("packs/a", 1, 3) or b"") == b"ell"
    (listed,) = store.list_all("packs")
    assert (listed.key, listed.size_bytes) == ("packs/a", 5)
    assert abs((listed.modified - head.modified).total_seconds()) < 1
    assert [stored.key for stored in store.list_all("")] == ["packs/a"]
    store.delete(["packs/a", "packs/b"])
    assert server.objects == {}


def test_what_is_not_there(store: S3Objects) -> None:
    assert store.get("packs/a") is None
    assert store.get_range("packs/a", 0, 1) is None
    assert store.head("packs/a") is None
    assert store.list_all("packs") == []


def test_a_range_beyond_the_end_is_not_there(store: S3Objects) -> None:
    store.put("packs/a", b"hello")
    assert store.get_range("packs/a", 10, 5) is None
    assert bytes(store.get_range("packs/a", 3, 50) or b"") == b"lo"


def test_only_one_creates(store: S3Objects, server: ScriptedS3) -> None:
    tag = store.create("manifest/1", b"first")
    head = store.head("manifest/1")
    assert head is not None and tag == head.tag
    assert store.create("manifest/1", b"second") is None
    assert server.objects["p/manifest/1"].content == b"first"


def test_a_conflict_is_a_lost_race_too(store: S3Objects, server: ScriptedS3) -> None:
    server.fail("PUT", "manifest/1", status=409, code="ConditionalRequestConflict")
    assert store.create("manifest/1", b"x") is None


def test_parts_are_equal_but_for_the_last(store: S3Objects, server: ScriptedS3) -> None:
    part = 5 << 20
    blocks = [b"a" * part, b"b" * part, b"c" * 1000, b"index"]
    store.put_parts("packs/a", iter(blocks), part)
    assert server.objects["p/packs/a"].content == b"".join(blocks)
    assert server.objects["p/packs/a"].parts == (part, part, 1005)
    assert server.count("POST") + server.count("PUT") == 5


def test_what_the_blocks_raise_is_raised_and_nothing_stored(store: S3Objects, server: ScriptedS3) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"a" * (5 << 20)
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        store.put_parts("packs/a", blocks(), 5 << 20)
    assert server.objects == {}
    assert server.uploads == {}


@pytest.mark.parametrize(
    ("status", "code", "trouble"),
    [
        (401, "", Trouble.CREDENTIALS),
        (403, "SignatureDoesNotMatch", Trouble.CREDENTIALS),
        (403, "AccessDenied", Trouble.DENIED),
        (404, "NoSuchBucket", Trouble.MISSING),
        (429, "", Trouble.BUSY),
        (503, "SlowDown", Trouble.BUSY),
        (400, "InvalidRequest", Trouble.OTHER),
    ],
)
def test_what_the_server_refuses(
    store: S3Objects, server: ScriptedS3, status: int, code: str, trouble: Trouble
) -> None:
    for method in ("GET", "PUT", "POST"):
        server.fail(method, status=status, code=code, headers={"Retry-After": "1"})
    acts: list[Callable[[], object]] = [
        lambda: store.get("packs/a"),
        lambda: store.get_range("packs/a", 0, 1),
        lambda: store.list_all("packs"),
        lambda: store.put("packs/a", b"x"),
        lambda: store.create("packs/a", b"x"),
        lambda: store.put_parts("packs/a", [b"x"], 5 << 20),
        lambda: store.delete(["packs/a"]),
    ]
    for act in acts:
        before = len(server.log)
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.trouble is trouble
        assert caught.value.__context__ is None
        # Trying again is for the session; parts are tried again one by one.
        assert len(server.log) == before + 1 or status >= 429


def test_a_body_that_is_cut_is_no_answer(store: S3Objects, server: ScriptedS3) -> None:
    store.put("packs/a", b"x" * 10_000)
    server.cut("GET", "packs/a", after_bytes=10)
    with pytest.raises(StoreError) as caught:
        store.get("packs/a")
    assert caught.value.trouble is Trouble.CUT


def test_a_server_that_is_not_there(server: ScriptedS3) -> None:
    nobody = replace(server.location(), endpoint="http://127.0.0.1:1")
    store = S3Objects(nobody, server.credentials(), largest_put_bytes=1, part_bytes=1)
    with pytest.raises(StoreError, match="refused") as caught:
        store.get("a")
    assert caught.value.trouble is Trouble.UNREACHABLE


def test_the_environment_does_not_meddle(server: ScriptedS3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "ENVIRONMENT",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "ENVTOKEN",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "mars-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = S3Objects(server.location(), server.credentials(), largest_put_bytes=1, part_bytes=1)
    store.put("a", b"x")
    assert "SCRIPTEDKEYID/" in server.signed[-1]
    assert "/us-east-1/s3/" in server.signed[-1]
    assert "token" not in server.signed[-1]


def test_what_the_client_shows_and_pickles(server: ScriptedS3, store: S3Objects) -> None:
    for client in (store._reading, store._writing, store._parts):
        assert "canary" not in repr(client)
        assert "SCRIPTEDKEYID" not in f"{client!r} {client.config} {client.client_options} {client.retry_config}"
        with pytest.raises(TypeError):
            pickle.dumps(client)


def test_certificates_that_cannot_be_read(server: ScriptedS3, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="certificates"):
        S3Objects(
            server.location(),
            server.credentials(),
            largest_put_bytes=1,
            part_bytes=1,
            ca_file=str(tmp_path / "none.pem"),
        )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificates_to_trust(tmp_path: Path) -> None:
    # An authority and a server of its: rustls takes no server that is its own authority.
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    (tmp_path / "san").write_text("subjectAltName=IP:127.0.0.1")
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=ca", "-out", "ca.pem", "-keyout", "ca.key"],
        [*new, "-subj", "/CN=127.0.0.1", "-out", "server.csr", "-keyout", "server.key"],
        ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
         "-days", "2", "-extfile", "san", "-out", "server.pem"],
    ):  # fmt: skip
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with ScriptedS3(tls=context) as server:
        strange = S3Objects(server.location(), server.credentials(), largest_put_bytes=1, part_bytes=1)
        with pytest.raises(StoreError, match="certificate cannot be trusted") as caught:
            strange.put("a", b"x")
        assert caught.value.trouble is Trouble.INSECURE
        trusting = S3Objects(
            server.location(), server.credentials(), largest_put_bytes=1, part_bytes=1, ca_file=str(tmp_path / "ca.pem")
        )
        trusting.put("a", b"x")
        assert trusting.head("a") is not None


def test_without_obstore_the_error_says_what_to_install(server: ScriptedS3) -> None:
    script = """
import sys
sys.modules["obstore"] = None
from pathlib import Path
from dxforge.config.secrets import Secret
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import parse_location
from dxforge.remote.objects import S3Objects
try:
    S3Objects(parse_location("s3://bucket", root=Path("/")), Credentials(id=Secret("a"), secret=Secret("b")),
              largest_put_bytes=1, part_bytes=1)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("RemoteError ")
    assert "pip install 'dxforge[remote]'" in done.stdout
