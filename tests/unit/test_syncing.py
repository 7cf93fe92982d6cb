"""What goes to a remote and comes back, and the remote as a build sees it."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge import syncing
from dxforge.build.cache import LocalCache
from dxforge.build.exchange import BuildStore
from dxforge.build.record import Record, Row
from dxforge.config.load import load_config
from dxforge.events import Event, EventBus, Notice
from dxforge.store.snapshots import SnapshotStore
from dxforge.syncing import Pulled, RemoteResults, Syncing
from tests.support.processes import until

CONTENT = b"what a step wrote\n"
KEY = "ab" * 32


def nothing() -> None:
    """No reason to stop."""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path


def project(base: Path, name: str, *, called: str = "p", url: str = "") -> Path:
    root = base / name
    root.mkdir()
    url = url or f"file://{base}/shared"
    (root / "dx.toml").write_text(f'[project]\nname = "{called}"\n[remote]\nurl = "{url}"\n')
    (root / "a.txt").write_text(name)
    return root


def a_result(root: Path) -> str:
    """Keep a result in a project's cache; returns the content's digest."""
    import hashlib

    digest = hashlib.sha256(CONTENT).hexdigest()
    (root / "made").write_bytes(CONTENT)
    cache = LocalCache(root / ".dx" / "build")
    assert cache.store(digest, str(root / "made"))
    cache.put(Record(key=KEY, outcome="ok", rows={"made": Row("file", 0o644, digest, len(CONTENT))}))
    return digest


def syncing_of(root: Path, events: EventBus | None = None) -> Syncing:
    return Syncing(load_config(root), events=events or EventBus())


def pulled(root: Path) -> Pulled:
    return syncing_of(root).pull(check=nothing)


def test_snapshots_and_results_come_to_another_machine(base: Path) -> None:
    one, two = project(base, "one"), project(base, "two")
    taken = SnapshotStore(one).take("first")
    assert taken is not None
    digest = a_result(one)
    plan = syncing_of(one).plan(check=nothing)
    report = syncing_of(one).push(check=nothing)
    assert report.ok
    assert report.uploads == plan.uploads > 0
    assert syncing_of(one).push(check=nothing).requests.total <= 2

    found = pulled(two)
    assert found.ok
    assert [item.oid for item in found.snapshots] == [taken.oid]
    assert found.results == 1
    assert BuildStore(two).has_blob(digest, len(CONTENT))
    assert LocalCache(two / ".dx" / "build").get(KEY) is not None
    again = pulled(two)
    assert (again.snapshots, again.results, again.report.items) == ((), 0, 0)


def test_snapshots_of_another_project_stay_there(base: Path) -> None:
    one, two = project(base, "one", called="other"), project(base, "two")
    SnapshotStore(one).take()
    syncing_of(one).push(check=nothing)
    found = pulled(two)
    assert (found.snapshots, found.others) == ((), ("other",))
    assert SnapshotStore(two).list() == []


def test_what_is_damaged_in_our_cache_holds_nothing_up(base: Path) -> None:
    one, two = project(base, "one"), project(base, "two")
    SnapshotStore(one).take("kept")
    digest = a_result(one)
    blob = BuildStore(one).blob(digest)
    blob.write_bytes(CONTENT[::-1])  # the same size
    report = syncing_of(one).push(check=nothing)
    assert report.ok
    assert not blob.exists()
    found = pulled(two)
    assert [item.label for item in found.snapshots] == ["kept"]
    assert found.results == 0


def test_damage_there_costs_only_the_snapshot_that_has_it(base: Path) -> None:
    one, two = project(base, "one"), project(base, "two")
    store = SnapshotStore(one)
    (one / "big.bin").write_bytes(b"\7" * 50_000)
    first = store.take("first")
    syncing_of(one).push(check=nothing)
    (one / "big.bin").unlink()
    second = store.take("second")
    syncing_of(one).push(check=nothing)
    assert first is not None and second is not None
    for pack in (base / "shared").rglob("packs/*"):
        data = bytearray(pack.read_bytes())
        at = data.find(b"\7" * 1000)
        if at >= 0:
            data[at : at + 3] = b"rot"
            pack.chmod(0o644)
            pack.write_bytes(bytes(data))
    found = pulled(two)
    assert not found.ok
    assert found.lost == (first.oid,)
    assert [item.oid for item in found.snapshots] == [second.oid]
    shutil.rmtree(two / ".dx")
    assert syncing_of(one).push(check=nothing).ok  # from a machine that has it, it heals
    assert pulled(two).ok


def test_verifying_tells_of_damage_until_it_is_healed(base: Path) -> None:
    one, two = project(base, "one"), project(base, "two", called="other")
    (one / "sub" / "deep").mkdir(parents=True)
    (one / "sub" / "deep" / "big.bin").write_bytes(b"\7" * 50_000)
    taken = SnapshotStore(one).take("first")
    SnapshotStore(two).take("sound")
    for root in (one, two):
        syncing_of(root).push(check=nothing)
        assert syncing_of(root).verify(check=nothing).ok
    assert taken is not None
    for pack in (base / "shared").rglob("packs/*"):
        data = bytearray(pack.read_bytes())
        at = data.find(b"\7" * 1000)
        if at >= 0:
            data[at] = 0
            pack.chmod(0o644)
            pack.write_bytes(bytes(data))
    for root in (one, two, two):  # the first look takes note of it there, and the others must not think all is well
        found = syncing_of(root).verify(check=nothing)
        assert not found.ok
        assert found.lost == (taken.oid,)
    assert syncing_of(one).push(check=nothing).uploads == 1
    assert syncing_of(two).verify(check=nothing).ok


def test_a_plan_writes_nothing(base: Path) -> None:
    root = project(base, "one")
    SnapshotStore(root).take("first")
    before = sorted((root / ".dx").rglob("*"))
    plan = syncing_of(root).plan(check=nothing)
    assert plan.uploads == 4
    assert sorted((root / ".dx").rglob("*")) == before
    assert syncing_of(root).push(check=nothing).uploads == plan.uploads
    assert syncing_of(root).plan(check=nothing).uploads == 0


def heard() -> tuple[EventBus, list[str]]:
    events, texts = EventBus(), list[str]()

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            texts.append(event.text)

    events.subscribe(hear)
    return events, texts


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
    until(lambda: not any(thread.name == "dxforge-remote" for thread in threading.enumerate()), "a request goes on")


def test_a_remote_that_does_not_answer_is_left_and_said_once(
    base: Path, silent_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "_PATIENCE_S", 0.3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-canary")
    root = project(base, "one", url=f"s3://bucket/x?endpoint=http://127.0.0.1:{silent_server}")
    (root / ".dx").mkdir()
    events, texts = heard()
    results = RemoteResults(load_config(root), events, _left_s=0.3)
    assert results.record(KEY) is None
    assert results.record(KEY) is None
    assert results.contents({"a": 1}) == {}
    (text,) = texts
    assert text.startswith("the build goes on without the remote")
    assert "canary" not in text


def test_a_remote_without_credentials_is_a_miss(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(base / "none"))
    events, texts = heard()
    root = project(base, "one", url="r2://account/bucket")
    results = RemoteResults(load_config(root), events)
    assert results.record(KEY) is None
    assert texts == []  # a plan of a project that never had anything
    (root / ".dx").mkdir()
    assert results.record(KEY) is None
    assert len(texts) == 1


def test_the_default_remote_is_not_even_looked_for_before_the_first_sync(base: Path) -> None:
    root = project(base, "one", url="file://.dx/remote")
    events, texts = heard()
    assert RemoteResults(load_config(root), events).record(KEY) is None
    assert texts == []
    assert not (root / ".dx").exists()
