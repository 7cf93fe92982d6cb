"""Snapshots and rollback around real installs: edits, decisions and bases come back with the files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.config.model import SnapshotLimits
from dxforge.errors import SnapshotDamagedError, WriteError
from dxforge.events import Event, EventBus, Notice
from dxforge.store.snapshots import SnapshotStore
from dxforge.traffic.model import Action
from tests.support.project import Project, lines
from tests.support.wild_trees import fsck, git, photograph

OLD = {"m.py": lines(), "gone.py": "gone = 1\n", "data.bin": b"\0old"}
NEW = {"m.py": lines(_15="theirs = 1"), "added.py": "added = 1\n", "data.bin": b"\0new"}


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.start(OLD, {"m.py": lines(_3="mine = 1"), "data.bin": b"\0mine"})
    return made


def back(project: Project, store: SnapshotStore, identity: str, *paths: str) -> object:
    return asyncio.run(project.manager.rollback(store, identity, paths))


def test_back_to_before_an_upgrade_and_forward_again(project: Project) -> None:
    store = SnapshotStore(project.root)
    first = store.take("before the upgrade")
    assert first is not None
    before = photograph(project.root)
    project.publish(NEW)
    report = project.install()
    assert [change.action for change in report.pending] == [Action.SET_ASIDE, Action.PROPOSE]
    upgraded = photograph(project.root)

    done = asyncio.run(project.manager.rollback(store, first.id))
    assert photograph(project.root) == before
    assert done.pending == project.manager.pending() == []
    assert project.manager.packages()[0].edited == 2
    assert [entry.command for entry in project.manager.log()] == ["rollback", "install", "install"]

    # The pending decisions are a part of dx.lock, so they come back with it.
    undone = project.manager.undo()
    assert photograph(project.root) == upgraded
    assert [change.action for change in undone.pending] == [Action.SET_ASIDE, Action.PROPOSE]
    project.manager.accept("src/dx_packages/pkg/m.py")
    assert project.read("m.py") == lines(_3="mine = 1", _15="theirs = 1").encode()

    # And from the older state an upgrade merges as it did the first time.
    back(project, store, first.id)
    again = project.install()
    assert [change.action for change in again.pending] == [Action.SET_ASIDE, Action.PROPOSE]
    assert photograph(project.root) == upgraded


def test_the_base_of_a_kept_snapshot_survives(project: Project) -> None:
    """A path package's old archive cannot be had again: as long as a snapshot names it, it is kept."""
    store = SnapshotStore(project.root)
    first = store.take()
    assert first is not None
    old = {path.name for path in (project.root / ".dx" / "archives").glob("??/*")}
    assert len(old) == 1
    for number in range(3):
        project.publish({**NEW, "n.py": str(number)})
        project.install()
        project.manager.accept([change.path for change in project.manager.pending()])
    for folder in (project.root / ".dx" / "operations").iterdir():  # long ago
        (folder / "record.json").unlink()
    project.publish(NEW)
    project.install()
    assert old <= {path.name for path in (project.root / ".dx" / "archives").glob("??/*")}
    back(project, store, first.id)
    assert {status.name: status.edited for status in project.manager.packages()} == {"pkg": 2}
    project.publish({**OLD, "m.py": lines(_9="newest = 1")})
    project.install()
    project.manager.accept("src/dx_packages/pkg/m.py")
    assert project.read("m.py") == lines(_3="mine = 1", _9="newest = 1").encode()


def test_the_users_git_is_left_alone(project: Project) -> None:
    git("init", "--quiet", cwd=project.root)
    (project.root / ".gitignore").write_text("*.log\n")
    git("add", "--all", cwd=project.root)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", cwd=project.root)
    store = SnapshotStore(project.root)
    before = photograph(project.root / ".git", without=())
    first = store.take()
    assert first is not None
    project.write("m.py", "edited\n")
    project.write("x.log", "kept\n")
    store.diff(first)
    back(project, store, first.id)
    project.manager.undo()
    store.prune(whole=True)
    assert photograph(project.root / ".git", without=()) == before
    assert project.read("x.log") == b"kept\n"
    assert not (project.root / ".dx" / "snapshots.git" / "index").exists()


def test_a_rollback_and_snapshots_of_another_process(project: Project) -> None:
    store = SnapshotStore(project.root)
    first = store.take()
    assert first is not None
    code = (
        "from dxforge.store.snapshots import SnapshotStore\n"
        "from dxforge.config.model import SnapshotLimits\n"
        "store = SnapshotStore('.', limits=SnapshotLimits(keep=3))\n"
        "import sys\n"
        "for line in sys.stdin:\n"
        "    store.take()\n"
        "    print('taken', flush=True)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None and other.stdout is not None
    try:
        for number in range(8):
            project.write("m.py", f"{number}\n")
            other.stdin.write("\n")
            other.stdin.flush()
            back(project, store, first.id)
            assert project.read("m.py") == lines(_3="mine = 1").encode()
            assert other.stdout.readline() == "taken\n"
    finally:
        other.stdin.close()
        assert other.wait(timeout=30) == 0
        other.stdout.close()
    assert fsck(store.folder) == ""
    assert not store.diff(first)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("needs leave to mount")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk(small_disk: Path) -> None:
    root = small_disk / "project"
    (root / "d").mkdir(parents=True)
    for number in range(10):
        (root / "d" / f"{number}.bin").write_bytes(os.urandom(100_000))
    store = SnapshotStore(root)
    first = store.take("fits")
    assert first is not None
    (root / "more.bin").write_bytes(os.urandom(1_200_000))
    before = photograph(root)
    with pytest.raises(WriteError, match=r"no space left on device.*Free some space"):
        store.take("does not")
    assert photograph(root) == before
    assert store.list() == [first]
    assert [path.name for path in (store.folder / "objects" / "pack").glob("tmp_*")] == []
    assert fsck(store.folder) == ""
    (root / "more.bin").unlink()
    (root / "d" / "0.bin").write_bytes(b"x")
    second = store.take("fits again")
    assert second is not None
    for number in range(10):
        (root / "d" / f"{number}.bin").write_bytes(b"y" * 100_000)
    store.take()
    project = Project(small_disk, root=root)
    before = photograph(root)
    filler = small_disk / "filler"
    for left in (0, 300_000):  # not even the snapshot before it fits; that does, and what is to be written does not
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(4096))
        os.truncate(filler, filler.stat().st_size - left)
        with pytest.raises(WriteError, match="no space left"):
            back(project, store, first.id)
        assert photograph(root) == before
        assert list((root / ".dx" / "journal").glob("*")) == []
    filler.unlink()
    back(project, store, second.id)
    assert (root / "d" / "0.bin").read_bytes() == b"x"
    assert fsck(store.folder) == ""


def test_a_damaged_store_stops_a_rollback_before_it_writes(project: Project) -> None:
    heard: list[Event] = []
    events = EventBus()
    events.subscribe(heard.append)
    store = SnapshotStore(project.root, events=events)
    first = store.take()
    assert first is not None
    project.write("m.py", "edited\n")
    project.write("data.bin", b"\0edited")
    for pack in (store.folder / "objects" / "pack").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 3 : len(data) // 3 + 60] = bytes(60)
        pack.write_bytes(data)
    before = photograph(project.root)
    with pytest.raises(SnapshotDamagedError, match="Take a new snapshot"):
        back(project, store, first.id)
    assert photograph(project.root) == before
    assert project.manager.log()[0].command == "install"
    store.take()
    assert any("has been mended" in event.text for event in heard if isinstance(event, Notice))
    assert fsck(store.folder) == ""
    for snapshot in store.list():
        report = asyncio.run(project.manager.rollback(store, snapshot.id))
        if report.operation is not None:
            project.manager.undo()
        assert photograph(project.root) == before


def test_pruning_while_a_rollback_reads(project: Project) -> None:
    """Whoever prunes waits until the rollback has read what it needs."""
    store = SnapshotStore(project.root)
    first = store.take()
    assert first is not None
    for number in range(3):
        project.write("m.py", f"{number}\n")
        store.take()
    other = SnapshotStore(project.root, limits=SnapshotLimits(keep=1))
    pruner = threading.Thread(target=lambda: other.prune(whole=True))
    plain = store.content

    def content(oid: str) -> bytes:
        if not pruner.is_alive() and not pruner.ident:
            pruner.start()
            pruner.join(0.3)
        return plain(oid)

    store.content = content  # type: ignore[method-assign]
    back(project, store, first.id)
    pruner.join()
    assert project.read("m.py") == lines(_3="mine = 1").encode()
    assert len(store.list()) == 1
    assert fsck(store.folder) == ""
