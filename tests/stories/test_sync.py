"""Sync against a real object server, counted by a proxy in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from dxforge.remote.location import Location
from dxforge.remote.model import ACTION, BLOB, Item, Key, RemoteOptions, Requests
from dxforge.remote.objects import S3Objects
from tests.support.object_server import ObjectServer, new_prefix
from tests.support.proxy import Proxy
from tests.support.remotes import (
    ONCE,
    QUICK,
    Audit,
    Machine,
    action,
    audit,
    blob,
    blobs,
    content_of,
    folder_location,
    git_object,
    sha256,
)

OPTIONS = RemoteOptions(retry=QUICK, read_retry=ONCE)


class Scene:
    """A prefix on the server, machines that go there through a proxy, and an audit that does not."""

    def __init__(self, base: Path, server: ObjectServer, proxy: Proxy) -> None:
        self.base = base
        self.server = server
        self.proxy = proxy
        self.prefix = new_prefix()
        self.objects = S3Objects(
            server.location(self.prefix), server.credentials(), largest_put_bytes=1 << 20, part_bytes=1 << 20
        )

    @property
    def location(self) -> Location:
        return self.server.location(self.prefix, endpoint=self.proxy.endpoint)

    def machine(self, name: str = "me", options: RemoteOptions = OPTIONS, *, read_only: bool = False) -> Machine:
        return Machine(self.base / name, self.location, self.server, options=options, read_only=read_only)

    def audit(self) -> Audit:
        return audit(self.objects)

    def pack(self) -> str:
        """The key of the first pack."""
        return min(stored.key for stored in self.objects.list_all("packs"))

    def counted(self) -> Requests:
        """What the proxy saw since the last time."""
        counts = self.proxy.counts
        found = Requests(class_a=counts["a"], class_b=counts["b"], free=counts["free"])
        self.proxy.forget()
        return found


@pytest.fixture
def scene(tmp_path: Path, object_server: ObjectServer) -> Iterator[Scene]:
    with Proxy(object_server.port) as proxy:
        yield Scene(tmp_path, object_server, proxy)


def keys(*items: Item) -> set[Key]:
    return {Key(item.kind, item.name, sha256(content_of(item))) for item in items}


def test_a_projects_things_go_up_and_come_down_elsewhere(scene: Scene) -> None:
    a, b = blobs(2, 3000)
    everything = [a, b, blob(b""), git_object("1" * 40, b"tree"), action("k", a, b)]
    mine = scene.machine()
    assert mine.remote.push(everything, {"head": {"commit": "abc"}}, whole=True).ok
    report, contents = scene.machine("you").pulled()
    assert report.ok
    assert contents.keys() == keys(*everything)
    assert report.refs[0].values == {"head": {"commit": "abc"}}
    assert scene.audit().everything == contents


def test_the_same_everywhere(scene: Scene, tmp_path: Path) -> None:
    """A folder and an object server hold the same manifest after the same pushes."""
    machines = [scene.machine(), Machine(tmp_path / "me", folder_location(tmp_path / "remote"), options=OPTIONS)]
    manifests = []
    for machine in machines:
        for number in range(12):
            machine.remote.push([*blobs(3, 200, seed=number), git_object(f"{number:040}", b"x")], {"n": number})
        machine.remote.push(blobs(3, 200, seed=1), whole=True)
        found = machine.remote.entries()
        manifests.append(sorted((entry.kind, entry.name, entry.size_bytes) for entry in found))
    assert manifests[0] == manifests[1]


def test_two_thousand_small_items_are_two_writes(scene: Scene) -> None:
    items = blobs(2000, 4096)
    mine = scene.machine()
    mine.remote.push(blobs(1, 1))
    scene.counted()
    plan = mine.remote.plan(items)
    assert scene.counted() == Requests(class_b=2)
    assert (plan.uploads, plan.size_bytes) == (2000, 2000 * 4096)
    report = mine.remote.push(items)
    assert scene.counted() == report.requests == plan.requests == Requests(class_a=2, class_b=2)
    # 8 MB in one read (and what finding it takes).
    yours = scene.machine("you")
    pulled = yours.pulled()[0]
    assert pulled.items == 2001
    assert pulled.requests == scene.counted() == Requests(class_a=1, class_b=1 + 1 + 2)


def test_nothing_changed_is_two_cheap_requests(scene: Scene) -> None:
    items, refs = blobs(300, 50), {"head": "x"}
    scene.machine().remote.push(items, refs, whole=True)
    scene.counted()
    for machine in (scene.machine(), scene.machine()):
        for _ in range(2):
            assert not machine.remote.push(items, refs, whole=True).published
            assert scene.counted() == Requests(class_b=2)


def test_a_dry_run_counts_what_a_run_makes(scene: Scene) -> None:
    """Over first push, no news, merges of packs, large items and collected garbage."""
    options = replace(
        OPTIONS, pack_bytes=4000, single_put_bytes=11 << 20, part_bytes=5 << 20, merge_at=3, collect_every=4
    )
    mine = scene.machine(options=options)
    rounds: list[list[Item]] = [
        blobs(5, 1000),
        blobs(5, 1000),
        *([*blobs(1, 100, seed=number)] for number in range(1, 9)),
        [blob(os.urandom(12 << 20))],
        [],
    ]
    scene.counted()
    for number, items in enumerate(rounds):
        plan = mine.remote.plan(items, {"n": number // 2})
        scene.counted()
        report = mine.remote.push(items, {"n": number // 2})
        seen = list(scene.proxy.requests)
        assert scene.counted() == report.requests == plan.requests, (number, seen)
        assert report.uploads == plan.uploads
        assert report.size_bytes == plan.size_bytes
        assert report.published == plan.publishes


def test_a_large_item_goes_in_equal_parts(scene: Scene) -> None:
    options = replace(OPTIONS, single_put_bytes=11 << 20, part_bytes=5 << 20, largest_pack_bytes=8 << 20)
    content = os.urandom(17_000_000)
    file = scene.base / "large"
    file.write_bytes(content)
    item = Item(kind=BLOB, name="large", sha256=sha256(content), size_bytes=len(content), read=file)
    mine = scene.machine(options=options)
    assert mine.remote.push([item, *blobs(3, 10)]).ok
    numbers = [target for method, target in scene.proxy.requests if method == "PUT" and "partNumber=" in target]
    assert len(numbers) == 4
    report, contents = scene.machine("you", options=options).pulled()
    assert report.ok
    assert contents[Key(BLOB, "large", item.sha256)] == content


def test_one_put_below_the_limit(scene: Scene) -> None:
    scene.machine().remote.push([blob(os.urandom(30 << 20))])
    assert not [target for _, target in scene.proxy.requests if "upload" in target]


def test_thirty_two_writers_at_once(scene: Scene) -> None:
    """Everyone's own, everyone's common things and everyone's refs are there in the end."""
    count = 32
    common = blobs(20, 200, seed=1000)
    options = replace(OPTIONS, collect_every=8, merge_at=4, publish_s=120)
    machines = [scene.machine(f"m{number}", options=options) for number in range(count)]
    start = threading.Barrier(count)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            start.wait()
            own = blobs(5, 200, seed=number)
            blobs_of_action = own[:2]
            result = action(f"action {number}", *blobs_of_action)
            machines[number].remote.push([*common, *own, result], {"head": number})
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    found = scene.audit()
    assert found.manifest.generation == count
    for number, machine in enumerate(machines):
        own = blobs(5, 200, seed=number)
        held = found.contents[machine.remote.owner]
        assert held.keys() == keys(*common, *own, action(f"action {number}", *own[:2]))
        assert found.refs[machine.remote.owner] == {"head": number}
    report, contents = scene.machine("reader").pulled()
    assert report.ok
    assert len(contents) == 20 + count * 6
    # And then nobody has anything more to say.
    scene.counted()
    assert not machines[3].remote.push([*common, *blobs(5, 200, seed=3)]).published


def test_writers_of_the_same_things_leave_one_copy(scene: Scene) -> None:
    items = blobs(10, 300)
    machines = [scene.machine(f"m{number}") for number in range(8)]
    threads = [threading.Thread(target=machine.remote.push, args=(items, {"r": 1})) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = scene.audit()
    assert len(found.manifest.packs) == 1
    assert len(found.contents) == 8
    assert all(held.keys() == keys(*items) for held in found.contents.values())


def test_rot_on_the_server_is_found_and_healed(scene: Scene) -> None:
    items = blobs(10, 1000)
    mine, yours = scene.machine("me"), scene.machine("you")
    mine.remote.push(items, {"head": 1})
    key = scene.pack()
    found = scene.objects.get(key)
    assert found is not None
    rotten = bytearray(found[0])
    rotten[2500] ^= 1
    scene.objects.put(key, bytes(rotten))
    report, contents = yours.pulled()
    assert [entry.name for damage in report.damage for entry in damage.entries] == [items[2].name]
    assert contents.keys() == keys(*items[:2], *items[3:])
    assert mine.remote.push(items, {"head": 1}).uploads == 1
    report, contents = yours.pulled()
    assert report.ok
    assert contents.keys() == keys(*items)
    scene.objects.delete([scene.pack()])
    assert not yours.pulled()[0].ok
    mine.remote.push(items, {"head": 1})
    assert scene.machine("third").pulled()[1].keys() == keys(*items)
    scene.audit()


def test_garbage_is_collected(scene: Scene) -> None:
    options = replace(OPTIONS, grace_s=1, keep_manifests=2, collect_every=1 << 30)
    mine = scene.machine(options=options)
    scene.objects.put(f"packs/{'0' * 64}", b"left by a killed push")
    for number in range(5):
        mine.remote.push(blobs(2, 100, seed=number), whole=True)
    assert mine.remote.collect() == 0
    deadline = threading.Event()
    deadline.wait(2.5)
    mine.remote.push(blobs(2, 100, seed=9), whole=True)
    assert mine.remote.collect() > 5
    found = scene.audit()
    assert found.everything.keys() == keys(*blobs(2, 100, seed=9))
    assert found.packs <= 2
    mine.remote.push(blobs(2, 100, seed=10), whole=True)
    assert len(scene.audit().manifest.retired) <= 2


def test_the_cache_reads_through(scene: Scene) -> None:
    a, b = blobs(2, 5000)
    scene.machine().remote.push([a, b, action("k", a, b)])
    yours = scene.machine("you", read_only=True).remote
    scene.counted()
    assert yours.get(ACTION, "k") == content_of(action("k", a, b))
    wanted = [(BLOB, item.sha256, item.sha256) for item in (a, b)]
    assert yours.get_many(wanted) == {key: content_of(item) for key, item in zip(wanted, (a, b), strict=True)}
    assert yours.get_blob("0" * 64) is None
    assert scene.counted() == Requests(class_a=1, class_b=1 + 2)


def test_the_exit_of_a_process_that_synced_is_clean(scene: Scene) -> None:
    """obstore's async API aborted the interpreter; ours must not, not even with an upload under way."""
    import subprocess
    import sys

    script = f"""
import sys, threading, time
from pathlib import Path
from tests.support.object_server import ObjectServer
from tests.support.remotes import Machine, blobs
server = ObjectServer(Path("unused"))
server.port = {scene.proxy.port}
machine = Machine(Path({str(scene.base / "exit")!r}), server.location({scene.prefix!r}), server)
machine.remote.push(blobs(3, 1000))
threading.Thread(target=machine.remote.push, args=(blobs(40, 100_000, seed=2),), daemon=True).start()
time.sleep(float(sys.argv[1]))
"""
    root = Path(__file__).parents[2]
    for delay_s in ("0", "0.02", "0.05", "0.1"):
        scene.proxy.bytes_per_s = 20_000_000
        done = subprocess.run(
            [sys.executable, "-c", script, delay_s], cwd=root, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_obstore_is_what_it_was() -> None:
    """Its error texts are read; a new version must be looked at."""
    assert tuple(map(int, obstore.__version__.split(".")[:2])) <= (0, 12)
