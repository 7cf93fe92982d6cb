"""Sync when things go wrong: wrong keys, missing buckets, servers that die, lie, stall and hang up."""

from __future__ import annotations

import logging
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dxforge.config.secrets import Secret
from dxforge.errors import (
    RemoteContentError,
    RemoteCredentialsError,
    RemoteDeniedError,
    RemoteError,
    RemoteMissingError,
    RemoteUnreachableError,
)
from dxforge.events import EventBus
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import Location
from dxforge.remote.model import RemoteOptions
from dxforge.remote.objects import S3Objects
from dxforge.remote.policy import RetryPolicy
from dxforge.remote.sync import Remote
from tests.support.object_server import ObjectServer, new_prefix
from tests.support.proxy import Proxy
from tests.support.remotes import ONCE, QUICK, Machine, audit, blob, blobs, content_of
from tests.support.scripted_s3 import ScriptedS3

PATIENT = RetryPolicy(attempts=40, base_s=0.05, longest_s=0.3, throttled_s=0.05)
OPTIONS = RemoteOptions(retry=QUICK, read_retry=ONCE)


def remote_at(base: Path, location: Location, credentials: Credentials, options: RemoteOptions = OPTIONS) -> Remote:
    return Remote(location, credentials, events=EventBus(), state_dir=base / "state", options=options)


@pytest.fixture
def scripted() -> Iterator[ScriptedS3]:
    with ScriptedS3() as server:
        yield server


@pytest.fixture
def scripted_remote(tmp_path: Path, scripted: ScriptedS3) -> Remote:
    return remote_at(tmp_path, scripted.location(), scripted.credentials())


# ---- what the user did wrong


CASES: list[tuple[str, type[RemoteError], str]] = [
    ("wrong key", RemoteCredentialsError, "not accepted"),
    ("wrong secret", RemoteCredentialsError, "not accepted"),
    ("missing bucket", RemoteMissingError, "there is no bucket nowhere"),
    ("no network", RemoteUnreachableError, "refused"),
    ("unknown host", RemoteUnreachableError, "name cannot be resolved"),
    ("https for http", RemoteError, "TLS"),
]


def wrong(case: str, server: ObjectServer) -> tuple[Location, Credentials]:
    location, credentials = server.location(new_prefix()), server.credentials()
    match case:
        case "wrong key":
            credentials = replace(credentials, id=Secret("NOSUCHKEYCANARY0"))
        case "wrong secret":
            credentials = replace(credentials, secret=Secret("wrong-secret-canary"))
        case "missing bucket":
            location = replace(location, bucket="nowhere")
        case "no network":
            location = replace(location, endpoint="http://127.0.0.1:1")
        case "unknown host":
            location = replace(location, endpoint="http://no-such-host.invalid")
        case "https for http":
            location = replace(location, endpoint=location.endpoint.replace("http:", "https:"))
    return location, credentials


@pytest.mark.parametrize(("case", "kind", "text"), CASES, ids=[case for case, _, _ in CASES])
def test_each_mistake_has_an_error_of_its_own(
    tmp_path: Path, object_server: ObjectServer, case: str, kind: type[RemoteError], text: str
) -> None:
    remote = remote_at(tmp_path, *wrong(case, object_server))
    for act in (lambda: remote.push(blobs(2, 10)), remote.refs, lambda: remote.plan([])):
        with pytest.raises(kind, match=text) as caught:
            act()
        assert caught.value.hint
        assert caught.value.where
        if kind is RemoteUnreachableError:
            break  # the circuit is open from here on
    assert remote.get_blob("0" * 64) is None
    assert not list((tmp_path / "state").rglob("uploads/*"))


def test_read_only_credentials_may_pull_and_not_push(tmp_path: Path, object_server: ObjectServer) -> None:
    location = object_server.location(new_prefix())
    items = blobs(3, 100)
    remote_at(tmp_path / "w", location, object_server.credentials()).push(items)
    reader = remote_at(tmp_path / "r", location, object_server.credentials(read_only=True))
    assert reader.get_blob(items[0].sha256) == content_of(items[0])
    assert not reader.push([]).published
    with pytest.raises(RemoteDeniedError, match=r"may not write.*write = false"):
        reader.push(blobs(1, 10, seed=1))
    with pytest.raises(RemoteDeniedError, match="may not write"):
        reader.push([], {"head": 1})
    assert (
        audit(S3Objects(location, object_server.credentials(), largest_put_bytes=1, part_bytes=1)).manifest.generation
        == 1
    )


def test_who_may_only_read_still_pulls_what_is_whole(tmp_path: Path, object_server: ObjectServer) -> None:
    location = object_server.location(new_prefix())
    items = blobs(3, 100)
    remote_at(tmp_path / "w", location, object_server.credentials()).push(items)
    objects = S3Objects(location, object_server.credentials(), largest_put_bytes=1, part_bytes=1)
    key = objects.list_all("packs")[0].key
    found = objects.get(key)
    assert found is not None
    objects.put(key, b"x" + bytes(found[0])[1:])
    machine = Machine(tmp_path / "r", location, object_server, read_only=True)
    report, contents = machine.pulled()
    assert len(contents) == 2
    assert not report.ok


def test_a_login_page_is_not_taken_for_a_remote(scripted: ScriptedS3, scripted_remote: Remote) -> None:
    scripted.lie()
    with pytest.raises(RemoteContentError, match=r"endpoint|address"):
        scripted_remote.push(blobs(3, 10))
    scripted.heal()
    scripted_remote.push(blobs(3, 10))
    scripted.lie()
    for act in (lambda: scripted_remote.push(blobs(4, 10)), scripted_remote.refs, scripted_remote.verify):
        with pytest.raises(RemoteContentError):
            act()
    scripted.heal()
    assert not scripted_remote.push(blobs(3, 10)).published
    assert scripted_remote.verify().ok


# ---- what the server does wrong


@pytest.mark.parametrize(("status", "code"), [(429, ""), (503, "SlowDown"), (500, "InternalError"), (502, "")])
@pytest.mark.parametrize("where", ["packs/", "manifest/"])
def test_a_busy_server_is_asked_again(
    scripted: ScriptedS3, scripted_remote: Remote, status: int, code: str, where: str
) -> None:
    scripted.fail("PUT", where, status=status, code=code, times=2, headers={"Retry-After": "1"})
    scripted.fail("GET", where, status=status, code=code, times=2, headers={"Retry-After": "1"})
    report = scripted_remote.push(blobs(3, 10), {"head": 1})
    assert report.ok
    assert scripted_remote.verify().ok


def test_a_server_that_stays_busy_is_left_alone(scripted: ScriptedS3, scripted_remote: Remote) -> None:
    scripted.fail("PUT", "packs/", status=503, code="SlowDown")
    with pytest.raises(RemoteUnreachableError, match="too busy") as caught:
        scripted_remote.push(blobs(3, 10))
    assert caught.value.temporary
    assert scripted.count("PUT") == QUICK.attempts
    assert scripted.count("PUT", "manifest/") == 0
    scripted.heal()
    assert scripted_remote.push(blobs(3, 10)).ok


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "", RemoteCredentialsError),
        (403, "AccessDenied", RemoteDeniedError),
        (403, "RequestTimeTooSkewed", RemoteCredentialsError),
        (404, "NoSuchBucket", RemoteMissingError),
        (400, "InvalidRequest", RemoteError),
    ],
)
def test_a_refusal_is_not_argued_with(
    scripted: ScriptedS3, scripted_remote: Remote, status: int, code: str, kind: type[RemoteError]
) -> None:
    scripted.fail("PUT", "packs/", status=status, code=code)
    with pytest.raises(kind):
        scripted_remote.push(blobs(3, 10))
    assert scripted.count("PUT") == 1


@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_that_gets_lost_is_not_a_lost_race(scripted: ScriptedS3, scripted_remote: Remote, times: int) -> None:
    scripted_remote.push(blobs(1, 10))
    scripted.lose("PUT", "manifest/", times=times)
    report = scripted_remote.push(blobs(3, 10, seed=1), {"head": 1})
    assert report.published
    assert report.generation == 2
    assert scripted_remote.push(blobs(3, 10, seed=1), {"head": 1}).generation == 2


@pytest.mark.parametrize("status", [409, 412])
def test_a_lost_race_is_run_again(scripted: ScriptedS3, tmp_path: Path, status: int) -> None:
    mine = remote_at(tmp_path / "a", scripted.location(), scripted.credentials())
    yours = remote_at(tmp_path / "b", scripted.location(), scripted.credentials())
    mine.push(blobs(1, 10), {"head": "a"})
    scripted.fail("PUT", "manifest/000000000003", status=status, code="ConditionalRequestConflict", times=0)
    publishing = threading.Event()

    def overtaken(step: str) -> None:
        if step == "publishing" and not publishing.is_set():
            publishing.set()
            yours.push(blobs(1, 10, seed=1), {"head": "b"})

    mine.checkpoint = overtaken
    report = mine.push(blobs(1, 10, seed=2), {"head": "c"})
    assert (report.published, report.generation) == (True, 3)
    assert {refs.values["head"] for refs in mine.refs()} == {"b", "c"}
    assert len(mine.entries()) == 3


def test_bodies_that_are_cut_are_read_again(scripted: ScriptedS3, scripted_remote: Remote, tmp_path: Path) -> None:
    items = blobs(5, 10_000)
    scripted_remote.push(items)
    scripted.cut("GET", "packs/", after_bytes=100, times=2)
    scripted.cut("GET", "manifest/", after_bytes=10, times=1)
    reader = remote_at(tmp_path / "r", scripted.location(), scripted.credentials())
    assert reader.verify().items == 5
    scripted.cut("GET", "packs/", after_bytes=100)
    with pytest.raises(RemoteUnreachableError, match="cut"):
        reader.verify()
    assert scripted.count("PUT", "manifest/") == 1  # nobody was told of damage


def test_damage_on_the_way_is_not_damage_there(scripted: ScriptedS3, scripted_remote: Remote, tmp_path: Path) -> None:
    """A first answer with other bytes of the right length; the second look finds the right ones."""
    items = blobs(3, 1000)
    scripted_remote.push(items)
    (key,) = [key for key in scripted.objects if "packs/" in key]
    right = scripted.objects[key].content
    reader = remote_at(tmp_path / "r", scripted.location(), scripted.credentials())
    reader.entries()
    scripted.objects[key].content = b"\0" * len(right)
    done = threading.Event()

    def heal_after_the_first_look() -> None:
        while not done.is_set():
            if scripted.count("GET", "packs/") >= 2:
                scripted.objects[key].content = right
                return
            time.sleep(0.0005)

    watcher = threading.Thread(target=heal_after_the_first_look)
    watcher.start()
    report = reader.verify()
    done.set()
    watcher.join()
    assert scripted.count("PUT", "manifest/") == (1 if report.ok else 2)
    # Either way nothing is lost for who has it.
    scripted.objects[key].content = right
    assert scripted_remote.push(items).ok
    assert scripted_remote.verify().ok


def test_a_server_that_stalls_is_given_up(
    scripted: ScriptedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxforge.remote.objects._READ_S", 1)
    options = replace(OPTIONS, retry=ONCE, single_put_bytes=1000, largest_pack_bytes=900)
    remote = remote_at(tmp_path, scripted.location(), scripted.credentials(), options)
    remote.push(blobs(1, 10))
    scripted.stall("GET", seconds=5, times=1)
    with pytest.raises(RemoteUnreachableError, match="in time"):
        remote.push(blobs(2, 10))
    scripted.heal()
    assert remote.push(blobs(2, 10)).ok


def test_the_circuit_opens_and_builds_go_on(tmp_path: Path, own_server: ObjectServer) -> None:
    machine = Machine(tmp_path / "m", own_server.location("p"), own_server)
    items = blobs(3, 10)
    machine.remote.push(items)
    assert machine.remote.get_blob(items[0].sha256) is not None
    own_server.kill()
    for item in items * 20:
        assert machine.remote.get_blob(item.sha256) is None
    with pytest.raises(RemoteUnreachableError, match="not asked again"):
        machine.remote.push(items)
    assert len([text for text in machine.notices if "not used" in text]) == 1


# ---- servers that die, and lines that are cut


def test_the_server_is_killed_in_the_middle_and_comes_back(tmp_path: Path, own_server: ObjectServer) -> None:
    items = blobs(60, 200_000)
    options = RemoteOptions(retry=PATIENT, pack_bytes=400_000, workers=4)
    with Proxy(own_server.port) as proxy:
        proxy.bytes_per_s = 4_000_000
        location = own_server.location("p", endpoint=proxy.endpoint)
        machine = Machine(tmp_path / "m", location, own_server, options=options)
        reports: list[object] = []
        pusher = threading.Thread(target=lambda: reports.append(machine.remote.push(items, {"head": 1})))
        pusher.start()
        _until(lambda: sum(method == "PUT" for method, _ in list(proxy.requests)) >= 6)
        own_server.kill()
        own_server.start()
        pusher.join(60)
        assert reports, "the push did not end"
    objects = S3Objects(own_server.location("p"), own_server.credentials(), largest_put_bytes=1, part_bytes=1)
    found = audit(objects)
    assert len(found.everything) == 60
    assert list(found.refs.values()) == [{"head": 1}]


def test_the_server_dies_for_longer_and_the_next_push_goes_on(tmp_path: Path, own_server: ObjectServer) -> None:
    items = blobs(30, 100_000)
    options = RemoteOptions(retry=QUICK, pack_bytes=200_000, workers=2)
    with Proxy(own_server.port) as proxy:
        proxy.bytes_per_s = 4_000_000
        location = own_server.location("p", endpoint=proxy.endpoint)
        machine = Machine(tmp_path / "m", location, own_server, options=options)
        failures: list[RemoteError] = []

        def push() -> None:
            try:
                machine.remote.push(items, {"head": 1})
            except RemoteError as error:
                failures.append(error)

        pusher = threading.Thread(target=push)
        pusher.start()
        _until(lambda: sum(method == "PUT" for method, _ in list(proxy.requests)) >= 6)
        own_server.kill()
        pusher.join(60)
        (failure,) = failures
        assert isinstance(failure, RemoteUnreachableError)
        own_server.start()
        objects = S3Objects(own_server.location("p"), own_server.credentials(), largest_put_bytes=1, part_bytes=1)
        assert audit(objects).everything == {}
        again = Machine(tmp_path / "m", location, own_server, options=options)
        report = again.remote.push(items, {"head": 1})
        assert report.resumed >= 2
        assert report.uploads < 30
    assert len(audit(objects).everything) == 30


def test_a_line_that_is_cut_again_and_again(tmp_path: Path, object_server: ObjectServer) -> None:
    items = blobs(40, 50_000)
    location = object_server.location(new_prefix())
    options = RemoteOptions(retry=PATIENT, pack_bytes=100_000)
    with Proxy(object_server.port) as proxy:
        machine = Machine(tmp_path / "m", replace(location, endpoint=proxy.endpoint), object_server, options=options)
        ended = threading.Event()

        def cut() -> None:
            while not ended.wait(0.03):
                proxy.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            proxy.bytes_per_s = 20_000_000
            machine.remote.push(items, {"head": 1})
            report, contents = machine.pulled()
        finally:
            ended.set()
            cutter.join()
    assert report.ok
    assert len(contents) == 40
    found = audit(S3Objects(location, object_server.credentials(), largest_put_bytes=1, part_bytes=1))
    assert len(found.everything) == 40


def test_a_slow_line_is_only_slow(tmp_path: Path, object_server: ObjectServer) -> None:
    items = blobs(20, 50_000)
    location = object_server.location(new_prefix())
    with Proxy(object_server.port) as proxy:
        proxy.bytes_per_s = 3_000_000
        proxy.delay_s = 0.02
        machine = Machine(tmp_path / "m", replace(location, endpoint=proxy.endpoint), object_server)
        machine.remote.push(items)
        assert len(machine.pulled()[1]) == 20


def test_an_interrupt_does_not_wait_for_the_line(tmp_path: Path, object_server: ObjectServer) -> None:
    class EnoughError(Exception):
        pass

    location = object_server.location(new_prefix())
    with Proxy(object_server.port) as proxy:
        machine = Machine(tmp_path / "m", replace(location, endpoint=proxy.endpoint), object_server)
        machine.remote.push(blobs(1, 10))
        proxy.hang = True
        began = threading.Event()

        def check() -> None:
            if began.is_set():
                raise EnoughError

        timer = threading.Timer(0.5, began.set)
        timer.start()
        with pytest.raises(EnoughError):
            machine.remote.push(blobs(4, 1_000_000, seed=1), check=check)
        proxy.hang = False


# ---- canaries


def shown(error: BaseException) -> str:
    """All that any traceback would show, variables included, with every error behind it; but for the test's own."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    told = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    texts = list(told.format())
    seen: BaseException | None = error
    while seen is not None:
        texts += [repr(seen), str(seen), repr(seen.args), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    return "".join(texts)


def test_the_key_is_nowhere(
    tmp_path: Path, scripted: ScriptedS3, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that repeats everything it was sent, as SignatureDoesNotMatch of AWS does, and worse."""
    caplog.set_level(logging.DEBUG)
    key, secret, token = "AKIACANARYCANARY", "canary/secret+0123456789", "canary-token-0123456789"
    echo = f"you sent {key} {secret} {token} AWS4-HMAC-SHA256 Credential={key}/20260101"
    credentials = Credentials(id=Secret(key), secret=Secret(secret), session_token=Secret(token), source="test")
    machine = Machine(tmp_path / "m", scripted.location())
    texts: list[str] = []
    machine.remote = Remote(
        scripted.location(),
        credentials,
        events=(bus := EventBus()),
        state_dir=tmp_path / "m",
        options=OPTIONS,
    )
    bus.subscribe(lambda event: texts.append(repr(event)))
    items = blobs(3, 100)
    texts.append(repr(machine.remote.push(items, {"head": 1})))
    acts: list[Callable[[], object]] = [
        lambda: machine.remote.push(blobs(2, 10, seed=7)),
        lambda: machine.remote.plan(blobs(2, 10, seed=7)),
        machine.remote.refs,
        machine.remote.verify,
        machine.remote.collect,
    ]
    faults = [(403, "SignatureDoesNotMatch"), (401, ""), (403, "AccessDenied"), (400, "Odd"), (503, "SlowDown")]
    raised = 0
    for status, code in faults:
        for method in ("GET", "PUT", "HEAD"):
            scripted.fail(method, status=status, code=code, message=echo)
        for act in acts:
            try:
                texts.append(repr(act()))
            except RemoteError as error:
                raised += 1
                texts += [shown(error), repr(pickle.dumps(error))]
        texts.append(repr(machine.remote.get_blob("0" * 64)))
        scripted.heal()
    assert raised >= len(faults) * 4
    texts += [
        repr(machine.remote),
        repr(vars(machine.remote)),
        repr(machine.remote._objects),
        caplog.text,
        *capfd.readouterr(),
    ]
    texts += [stored.content.decode("latin-1") for stored in scripted.objects.values()]
    texts += [file.read_bytes().decode("latin-1") for file in (tmp_path / "m").rglob("*") if file.is_file()]
    for text in texts:
        for canary in (key, secret, token):
            assert canary not in text
    # They were really used.
    assert any(key in signed for signed in scripted.signed)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def test_a_blob_of_nothing(tmp_path: Path, object_server: ObjectServer) -> None:
    machine = Machine(tmp_path / "m", object_server.location(new_prefix()), object_server)
    machine.remote.push([blob(b"")])
    assert machine.remote.get_blob(blob(b"").sha256) == b""
    assert machine.pulled()[0].ok
