"""The store: what is in a snapshot, what is not, and that the store stays whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.config.model import SnapshotLimits
from dxforge.errors import ProjectBusyError, ProjectError, SnapshotDamagedError, SnapshotNotFoundError
from dxforge.events import Event, EventBus, Notice, Progress, WaitingForProject
from dxforge.files import prepare_state_dir, project_lock
from dxforge.store.model import Snapshot, encode_message
from dxforge.store.objects import encode_commit, object_oid
from dxforge.store.pack import packs
from dxforge.store.snapshots import SnapshotStore
from tests.support.wild_trees import fsck, git, photograph

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


class Scene:
    """A project with a store whose clock is ours, and what it said."""

    def __init__(self, root: Path, limits: SnapshotLimits | None = None) -> None:
        self.root = root
        self.time = START
        self.heard: list[Event] = []
        events = EventBus()
        events.subscribe(self.heard.append)
        self.store = SnapshotStore(root, events=events, limits=limits, wait_s=5, now=lambda: self.time)

    def put(self, path: str, content: str | bytes = "x\n", mode: int = 0o644) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)
        return target

    def take(self, label: str = "", **later: float) -> Snapshot:
        self.time += dt.timedelta(**later) if later else dt.timedelta(minutes=1)
        taken = self.store.take(label)
        assert taken is not None
        return taken

    def files(self, snapshot: Snapshot) -> dict[str, bytes]:
        return {path: self.store.content(oid) for path, (_, oid) in self.store.picture(snapshot).files.items()}

    def notices(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, Notice)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_is_in_a_snapshot(scene: Scene) -> None:
    scene.put("a.py", "a\n")
    scene.put("run.sh", "#!/bin/sh\n", 0o755)
    scene.put("deep/er/b.bin", b"\0\xff")
    scene.put("deep/__pycache__/b.pyc", b"\0")
    scene.put("lib/.git/HEAD", "ref: refs/heads/main\n")
    scene.put("lib/code.py")
    (scene.root / "link").symlink_to("nowhere")
    (scene.root / "to_folder").symlink_to("deep")
    (scene.root / "empty" / "er").mkdir(parents=True)
    scene.put(".gitignore", "*.log\n/build/\n")
    scene.put("x.log")
    scene.put("build/out")
    snapshot = scene.take("first")
    assert scene.files(snapshot) == {
        "a.py": b"a\n",
        "run.sh": b"#!/bin/sh\n",
        "deep/er/b.bin": b"\0\xff",
        "lib/code.py": b"x\n",
        "link": b"nowhere",
        "to_folder": b"deep",
        ".gitignore": b"*.log\n/build/\n",
    }
    modes = {path: mode for path, (mode, _) in scene.store.picture(snapshot).files.items()}
    assert (modes["run.sh"], modes["a.py"], modes["link"]) == (0o100755, 0o100644, 0o120000)
    assert (snapshot.files, snapshot.empty_folders, snapshot.left_out) == (7, ("empty/er",), ())
    assert snapshot.label == "first"
    assert snapshot.time == "2026-11-01T00:01:00.000000+00:00"
    assert snapshot.size_bytes == sum(map(len, scene.files(snapshot).values()))
    assert scene.store.list() == [snapshot] == [scene.store.latest()]
    assert {"id", "time", "label"} <= snapshot.to_json().keys()
    assert fsck(scene.store.folder) == ""
    assert git("show", "--no-patch", "--format=%s %ct", cwd=scene.store.folder) == b"first 1793491260\n"
    progress = [event for event in scene.heard if isinstance(event, Progress)]
    assert (progress[-1].phase, progress[-1].done, progress[-1].total) == ("snapshot", 7, 7)


def test_nothing_changed_is_no_snapshot(scene: Scene) -> None:
    file = scene.put("a.py")
    first = scene.take()
    before = photograph(scene.store.folder)
    assert scene.store.take() is None
    os.utime(file)  # touched, and still the same
    assert scene.store.take() is None
    assert SnapshotStore(scene.root).take() is None
    assert photograph(scene.store.folder) == before
    file.chmod(0o755)
    second = scene.take()
    assert (first.files, second.files) == (1, 1)
    assert second.oid != first.oid


def test_an_empty_project_has_a_snapshot(scene: Scene) -> None:
    snapshot = scene.take()
    assert (snapshot.files, scene.files(snapshot)) == (0, {})
    assert scene.store.take() is None
    assert fsck(scene.store.folder) == ""


def test_empty_folders_count(scene: Scene) -> None:
    scene.put("a.py")
    scene.take()
    (scene.root / "new").mkdir()
    assert scene.take().empty_folders == ("new",)
    scene.put(".gitignore", "*.log\n")
    scene.put("new/x.log")
    snapshot = scene.take()
    assert (snapshot.empty_folders, snapshot.hidden_folders) == ((), ("new",))


def test_what_is_too_large_is_left_out_and_listed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SnapshotLimits(max_file_mb=1, max_total_mb=2))
    scene.put("large.bin", b"\0" * 1_000_001)
    scene.put("b.bin", b"b" * 900_000)
    scene.put("a.bin", b"a" * 900_000)
    scene.put("c.bin", b"c" * 999_999)
    scene.put("small.txt")
    snapshot = scene.take()
    assert scene.files(snapshot).keys() == {"a.bin", "b.bin", "small.txt"}
    assert [(item.path, item.size_bytes, item.reason) for item in snapshot.left_out] == [
        ("c.bin", 999_999, "the project is larger than max_total_mb"),
        ("large.bin", 1_000_001, "it is larger than max_file_mb"),
    ]
    assert scene.store.take() is None
    (known,) = scene.store.list()
    assert known.left_out == snapshot.left_out


def test_special_things_are_listed_and_never_opened(scene: Scene) -> None:
    scene.put("a.py")
    os.mkfifo(scene.root / "pipe")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(scene.root)  # a socket's path must be short
    try:
        server.bind("socket")
    finally:
        os.chdir(here)
        server.close()
    scene.put(".GIT/config")
    snapshot = scene.take()
    assert scene.files(snapshot).keys() == {"a.py"}
    assert [(item.path, item.reason) for item in snapshot.left_out] == [
        (".GIT/", "its name is git's own or dxforge's"),
        ("pipe", "it is a FIFO"),
        ("socket", "it is a socket"),
    ]


def test_contents_that_git_would_judge_are_the_users_own(scene: Scene) -> None:
    scene.put(".gitmodules", '[submodule "../../x"]\n\tpath = ../../x\n\turl = --upload-pack=evil\n')
    scene.put(".gitattributes", "a " * 2000 + "\n")
    (scene.root / "sub").mkdir()
    (scene.root / "sub" / ".gitmodules").symlink_to("/etc/passwd")
    scene.put("git~1", "named like git's own on Windows\n")
    snapshot = scene.take()
    assert snapshot.files == 4
    assert fsck(scene.store.folder) == ""


WITHOUT_POWER = """
import ctypes, os, struct
from dxforge.store.snapshots import SnapshotStore
if os.geteuid() == 0:  # root may read everything; without its capabilities it is a user like any other
    assert ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0
taken = SnapshotStore(".").take()
print(taken.files, *(f"{item.path}: {item.reason}" for item in taken.left_out), sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities of Linux")
def test_what_cannot_be_read_is_listed(scene: Scene) -> None:
    scene.put("a.py")
    scene.put("secret.txt").chmod(0)
    scene.put("closed/b.py")
    (scene.root / "closed").chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_POWER],
            cwd=scene.root,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        (scene.root / "closed").chmod(0o755)
    assert done.stdout.splitlines() == [
        "1",
        "closed/: it cannot be read: permission denied",
        "secret.txt: it cannot be read: permission denied",
    ]


def test_a_change_within_the_clocks_tick_is_seen(scene: Scene) -> None:
    file = scene.put("a.py", "aaaa")
    for number in range(12):
        text = f"{number:04}"
        file.write_text(text)
        snapshot = scene.store.take()
        assert snapshot is not None
        assert scene.files(snapshot) == {"a.py": text.encode()}


def test_a_change_that_hides_its_time_is_seen(scene: Scene) -> None:
    file = scene.put("a.py", "aaaa")
    old = time.time_ns() - 10**12
    os.utime(file, ns=(old, old))
    time.sleep(0.1)
    scene.take()
    assert scene.store.take() is None  # ... and trusted from now on
    file.write_text("bbbb")
    os.utime(file, ns=(old, old))
    assert scene.files(scene.take()) == {"a.py": b"bbbb"}


def test_files_that_change_meanwhile_are_whole_and_listed(scene: Scene) -> None:
    """A writer replaces a file's 300 kB all the time; what is kept of it is what the file was at one moment."""
    scene.put("still.txt")
    scene.put("busy.bin", b"0" * 300_000)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with (scene.root / "busy.bin").open("r+b") as stream:
                stream.write(b"%d" % (number % 10) * 300_000)

    writer = threading.Thread(target=write)
    writer.start()
    said = 0
    try:
        for _ in range(15):
            snapshot = scene.store.take()
            if snapshot is None:
                continue
            files = scene.files(snapshot)
            assert files["still.txt"] == b"x\n"
            missing = [item.path for item in snapshot.left_out]
            if "busy.bin" in files:
                assert len(files["busy.bin"]) == 300_000
                # One write may have been under way, so that the file really was half the one, half the other.
                assert len(list(itertools.groupby(files["busy.bin"]))) <= 2
            else:
                assert missing == ["busy.bin"]
                assert snapshot.left_out[0].reason == "it kept changing while it was being read"
            said += bool(snapshot.changed_meanwhile)
            assert set(snapshot.changed_meanwhile) <= {"busy.bin"}
    finally:
        stop.set()
        writer.join()
    assert said


def test_files_that_come_and_go_meanwhile(scene: Scene) -> None:
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            file = scene.put(f"d{number % 7}/f{number % 5}", f"{number}")
            if number % 3 == 0:
                file.unlink()
            elif number % 3 == 1:
                file.unlink()
                file.mkdir()
                file.rmdir()
            else:
                file.unlink()
                file.symlink_to("somewhere")
                file.unlink()

    churner = threading.Thread(target=churn)
    churner.start()
    try:
        for _ in range(40):
            scene.store.take()
    finally:
        stop.set()
        churner.join()
    assert fsck(scene.store.folder) == ""


def test_a_snapshot_waits_for_an_install_that_is_writing(scene: Scene) -> None:
    """While an operation has begun to write and holds the project's lock, what is seen is looked at again."""
    scene.put("a.py", "half\n")
    state = prepare_state_dir(scene.root)
    folder = state / "journal" / "000001"
    holding = threading.Event()

    def install() -> None:
        with project_lock(state, wait_s=5, events=EventBus()):
            folder.mkdir(parents=True)
            (folder / "record.json").write_text("{}")
            holding.set()
            time.sleep(0.3)
            scene.put("a.py", "done\n")
            (state / "operations").mkdir()
            folder.rename(state / "operations" / "000001")

    installer = threading.Thread(target=install)
    installer.start()
    holding.wait()
    snapshot = scene.take()
    installer.join()
    assert scene.files(snapshot) == {"a.py": b"done\n"}


def test_an_operation_that_was_killed_does_not_hold_up_snapshots(scene: Scene) -> None:
    scene.put("a.py")
    left = scene.root / ".dx" / "journal" / "000001"
    left.mkdir(parents=True)
    (left / "record.json").write_text("{}")
    assert scene.files(scene.take()) == {"a.py": b"x\n"}


def test_finding(scene: Scene) -> None:
    assert scene.store.list() == []
    assert scene.store.latest() is None
    with pytest.raises(SnapshotNotFoundError, match="dxforge snapshots"):
        scene.store.find("12345678")
    taken = []
    for number in range(17):  # two of them begin with the same digit
        scene.put("a.py", str(number))
        taken.append(scene.take(str(number)))
    assert [item.label for item in scene.store.list()] == [str(number) for number in range(16, -1, -1)]
    assert scene.store.find(taken[3].id).oid == taken[3].oid == scene.store.find(taken[3].oid.upper()).oid
    assert scene.store.find("latest").oid == taken[-1].oid
    wrong = taken[3].id[:-1] + ("0" if taken[3].id[-1] != "0" else "1")
    with pytest.raises(SnapshotNotFoundError, match=f"Did you mean {taken[3].id}"):
        scene.store.find(wrong)
    beginnings = [item.oid[0] for item in taken]
    twice = next(digit for digit in beginnings if beginnings.count(digit) > 1)
    with pytest.raises(SnapshotNotFoundError, match="Give more of its id"):
        scene.store.find(twice)
    for nothing in ("", " ", "xyz"):
        with pytest.raises(SnapshotNotFoundError):
            scene.store.find(nothing)


def test_labels_and_names_of_any_kind(scene: Scene) -> None:
    name = os.fsdecode(b"\xff\n{}\n\n")
    (scene.root / name).mkdir()
    label = 'two\nlines\0 "and" \udcff é\n\n{"version": 1}'
    snapshot = scene.take(label)
    (known,) = SnapshotStore(scene.root).list()
    assert known == snapshot
    assert (known.label, known.empty_folders) == (label, (name,))
    assert fsck(scene.store.folder) == ""


def test_a_clock_that_is_set_back_keeps_the_order(scene: Scene) -> None:
    scene.put("a.py", "1")
    scene.take("first", days=3)
    scene.put("a.py", "2")
    scene.take("second", days=-30)
    assert [item.label for item in scene.store.list()] == ["second", "first"]
    assert scene.store.take() is None


def test_retention(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SnapshotLimits(keep=3, keep_days=10))
    big = os.urandom(1_000_000)
    scene.put("once.bin", big)
    for number in range(6):
        scene.put("a.py", str(number))
        scene.take(str(number), hours=1)
        if number == 0:
            (scene.root / "once.bin").unlink()
    report = scene.store.prune(whole=True)
    assert [item.label for item in report.removed] == ["2", "1", "0"]
    assert report.freed_bytes > 900_000
    assert [item.label for item in scene.store.list()] == ["5", "4", "3"]
    assert hashlib.sha1(b"blob 1000000\0" + big).hexdigest() not in scene.store
    assert fsck(scene.store.folder) == ""
    assert git("count-objects", "-v", cwd=scene.store.folder).decode().splitlines()[0] == "count: 0"
    scene.time += dt.timedelta(days=20)
    report = scene.store.prune(whole=True)
    assert [item.label for item in report.removed] == ["4", "3"]
    (left,) = scene.store.list()
    assert scene.files(left) == {"a.py": b"5"}
    assert scene.store.take() is None
    assert scene.store.prune(whole=True).removed == ()


def test_pruning_keeps_what_any_reference_needs(scene: Scene) -> None:
    """A branch that the user made in the store with git counts too, and so do packs that git wrote."""
    scene.store.limits = SnapshotLimits(keep=1)
    contents = {}
    for number in range(4):
        contents[number] = scene.put("a.py", f"{number}\n" * 2000).read_bytes()
        snapshot = scene.take(str(number))
        if number == 1:
            git("branch", "mine", snapshot.oid, cwd=scene.store.folder)
    git("gc", "--quiet", "--prune=now", cwd=scene.store.folder)
    scene.store.prune(whole=True)
    assert [item.label for item in scene.store.list()] == ["3"]
    assert git("show", "mine:a.py", cwd=scene.store.folder) == contents[1]
    assert git("show", "latest:a.py", cwd=scene.store.folder) == contents[3]
    assert fsck(scene.store.folder) == ""
    scene.put("a.py", "after\n")
    assert scene.files(scene.take()) == {"a.py": b"after\n"}


def test_many_small_packs_become_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxforge.store.upkeep._MANY_PACKS", 5)
    for number in range(8):
        scene.put(f"{number}.py", str(number))
        scene.take()
    folder = scene.store.folder / "objects" / "pack"
    assert len(packs(folder)) == 8
    scene.store.prune()
    assert len(packs(folder)) == 1
    assert [len(scene.files(item)) for item in scene.store.list()] == list(range(8, 0, -1))
    assert scene.store.take() is None


def test_the_users_repository_is_neither_read_nor_written(scene: Scene) -> None:
    scene.put("a.py")
    git("init", "--quiet", cwd=scene.root)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-qm", "x", cwd=scene.root)
    (scene.root / ".git" / "info" / "exclude").write_text("a.py\n")
    before = photograph(scene.root / ".git")
    stamps = {path: (scene.root / ".git" / path).lstat().st_mtime_ns for path in before}
    snapshot = scene.take()
    scene.store.diff(snapshot)
    scene.store.prune()
    assert scene.files(snapshot) == {"a.py": b"x\n"}
    assert photograph(scene.root / ".git") == before
    assert {path: (scene.root / ".git" / path).lstat().st_mtime_ns for path in before} == stamps


def test_private_files_are_noted(scene: Scene) -> None:
    scene.root.chmod(0o755)
    scene.put("key.pem", mode=0o600)
    scene.put("tool", mode=0o750)
    scene.put("read.txt", mode=0o444)
    snapshot = scene.take()
    assert dict(snapshot.permissions) == {"key.pem": 0o600, "tool": 0o750}
    (scene.root / "key.pem").chmod(0o640)
    assert dict(scene.take().permissions) == {"key.pem": 0o640, "tool": 0o750}
    scene.root.chmod(0o700)  # nobody else comes in here anyway
    assert dict(scene.take().permissions) == {}
    scene.root.chmod(0o755)


def test_diff(scene: Scene) -> None:
    scene.put("same.py")
    scene.put("text.py", "a\nb\nc\n")
    scene.put("gone.py", "gone\n")
    scene.put("mode.sh")
    scene.put("data.bin", b"\0a")
    scene.put("swap")
    (scene.root / "empty").mkdir()
    old = scene.take()
    scene.put("text.py", "a\nB\nc\n")
    (scene.root / "gone.py").unlink()
    (scene.root / "mode.sh").chmod(0o755)
    scene.put("data.bin", b"\0b")
    (scene.root / "swap").unlink()
    (scene.root / "swap").symlink_to("same.py")
    (scene.root / "empty").rmdir()
    (scene.root / "fresh").mkdir()
    scene.put("new.py", "new")
    with_disk = scene.store.diff(old)
    new = scene.take()
    between = scene.store.diff(old, new)
    for diff in (with_disk, between):
        assert [change.path for change in diff.added] == ["new.py"]
        assert [change.path for change in diff.removed] == ["gone.py"]
        assert [change.path for change in diff.changed] == ["data.bin", "mode.sh", "swap", "text.py"]
        assert (diff.added_folders, diff.removed_folders) == (("fresh",), ("empty",))
        assert diff
        assert diff.text("same.py") == ""
        assert diff.text("text.py") == (
            "diff --git a/text.py b/text.py\n--- a/text.py\n+++ b/text.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        )
        assert diff.text("new.py").splitlines()[1:4] == ["new file mode 100644", "--- /dev/null", "+++ b/new.py"]
        assert diff.text("gone.py").splitlines()[1] == "deleted file mode 100644"
        assert diff.text("mode.sh") == "diff --git a/mode.sh b/mode.sh\nold mode 100644\nnew mode 100755\n"
        assert diff.text("data.bin").endswith("Binary files a/data.bin and b/data.bin differ\n")
        assert diff.text("swap").splitlines()[1:3] == ["old mode 100644", "new mode 120000"]
        data = diff.to_json()
        assert data["changed"][1] == {"path": "mode.sh", "mode_before": "100644", "mode_after": "100755"}
    assert not scene.store.diff(new)
    assert not scene.store.diff(new, new)
    back = scene.store.diff(new, old)
    assert [change.path for change in back.added] == ["gone.py"]


def test_two_writers_wait_for_each_other(scene: Scene) -> None:
    scene.put("a.py")
    with SnapshotStore(scene.root).lock():
        impatient = SnapshotStore(scene.root, wait_s=0.2)
        with pytest.raises(ProjectBusyError):
            impatient.take()
    scene.take()
    with scene.store.lock():
        scene.put("a.py", "again")
        scene.take()  # the same thread may
    assert not [event for event in scene.heard if isinstance(event, WaitingForProject)]


def test_concurrent_takes_of_two_processes(scene: Scene) -> None:
    for number in range(200):
        scene.put(f"d{number % 9}/{number}.py", f"{number}\n" * 50)
    code = (
        "import sys, pathlib\n"
        "from dxforge.store.snapshots import SnapshotStore\n"
        "from dxforge.config.model import SnapshotLimits\n"
        "store = SnapshotStore('.', limits=SnapshotLimits(keep=4))\n"
        "for number in range(12):\n"
        "    pathlib.Path(f'{sys.argv[1]}.txt').write_text(str(number))\n"
        "    store.take(f'{sys.argv[1]} {number}')\n"
        "    number % 4 == 3 and store.prune(whole=True)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, name], cwd=scene.root) for name in "xy"]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert scene.store.take() is None
    newest = scene.store.latest()
    assert newest is not None
    files = scene.files(newest)
    assert (files["x.txt"], files["y.txt"], len(files)) == (b"11", b"11", 202)
    assert fsck(scene.store.folder) == ""


def test_stopping(scene: Scene) -> None:
    for number in range(300):
        scene.put(f"{number}.py", str(number))
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.store.take(check=stop)
    assert scene.store.list() == []
    assert list((scene.store.folder / "objects" / "pack").iterdir()) == []
    assert scene.take().files == 300


def test_no_project_no_snapshot(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "none")
    assert store.list() == []
    assert store.prune().removed == ()
    (tmp_path / ".dx").write_text("")
    with pytest.raises(ProjectError):
        SnapshotStore(tmp_path).take()


# ---- to and from elsewhere


def test_objects_make_the_same_snapshots_elsewhere(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene.put("a.py", "1")
    scene.put("b/c.py", "c")
    (scene.root / "empty").mkdir()
    first = scene.take("first")
    every = list(scene.store.objects())
    assert [item.kind for item in every if item.oid == first.oid] == ["commit"]
    assert every[-1].oid == first.oid
    scene.put("a.py", "2")
    second = scene.take("second")
    news = list(scene.store.objects(known={item.oid for item in every}))
    assert sorted(item.kind for item in news) == ["blob", "commit", "tree"]
    assert all(len(item.read()) == item.size for item in news)

    there = Scene(tmp_path_factory.mktemp("there"))
    parts = [(item.oid, item.kind, item.read()) for item in every]
    assert [item.oid for item in there.store.import_objects(parts, [first.oid])] == [first.oid]
    with pytest.raises(SnapshotDamagedError, match="did not come along"):
        there.store.import_objects([], [second.oid])
    parts = [(item.oid, item.kind, item.read()) for item in news]
    with pytest.raises(SnapshotDamagedError, match="did not come along"):
        there.store.import_objects([part for part in parts if part[1] != "blob"], [second.oid])
    assert [item.oid for item in there.store.import_objects(reversed(parts), [first.oid, second.oid])] == [second.oid]
    assert there.store.list() == scene.store.list()
    assert there.files(second) == scene.files(second)
    assert fsck(there.store.folder) == ""
    assert there.store.import_objects(parts, [second.oid]) == []


def test_nothing_false_is_taken_over(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene.put("a.py", "1")
    first = scene.take()
    parts = {item.kind: (item.oid, item.kind, item.read()) for item in scene.store.objects()}
    there = Scene(tmp_path_factory.mktemp("there"))

    def refused(*changed: tuple[str, str, bytes]) -> str:
        with pytest.raises(SnapshotDamagedError) as caught:
            there.store.import_objects([*changed, *parts.values()], [first.oid])
        assert there.store.list() == []
        assert list((there.store.folder / "objects" / "pack").iterdir()) == []
        return str(caught.value)

    oid = parts["blob"][0]
    assert "another id" in refused((oid, "blob", b"2"))
    assert "another id" in refused((oid, "tree", b"1"))
    assert "another id" in refused(("../../x", "blob", b"1"))
    for name in (b"..", b".git", b".GIT", b"a/b", b"", b".dx"):
        tree = b"100644 " + name + b"\0" + bytes(20)
        digest = hashlib.sha1(b"tree %d\0" % len(tree) + tree).hexdigest()
        assert "an entry named" in refused((digest, "tree", tree))
    twice = 2 * (b"100644 a\0" + bytes(20))
    assert "two entries" in refused((object_oid("tree", twice), "tree", twice))
    with pytest.raises(SnapshotDamagedError, match="no snapshot"):
        there.store.import_objects(parts.values(), [parts["blob"][0]])
    tree = b"40000 a\0" + bytes.fromhex(oid)
    tree_oid = object_oid("tree", tree)
    commit = encode_commit(tree_oid, seconds=0, message=encode_message(first))
    commit_oid = object_oid("commit", commit)
    swapped = [(tree_oid, "tree", tree), (commit_oid, "commit", commit), parts["blob"]]
    with pytest.raises(SnapshotDamagedError, match="should be a tree"):
        there.store.import_objects(swapped, [commit_oid])
    assert there.store.list() == []


# ---- damage


def only_pack(scene: Scene) -> Path:
    (pack,) = packs(scene.store.folder / "objects" / "pack")
    return pack


def damage_blobs(scene: Scene, *contents: bytes) -> None:
    """Turn around one byte in the middle of each content's place in the only pack."""
    pack = only_pack(scene)
    oids = [hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() for content in contents]
    data = bytearray(pack.read_bytes())
    for line in git("verify-pack", "-v", str(pack.with_suffix(".idx")), cwd=scene.root).decode().splitlines():
        if line.split()[0] in oids:
            size, offset = map(int, line.split()[3:5])
            data[offset + size // 2] ^= 0xFF
            oids.remove(line.split()[0])
    assert oids == []
    pack.write_bytes(data)


def test_bit_rot_is_a_clear_error_and_the_next_snapshot_mends_it(scene: Scene) -> None:
    lost, there = os.urandom(5000), os.urandom(5000)
    scene.put("lost.bin", lost)
    scene.put("there.bin", there)
    scene.put("fine.txt", "fine\n")
    first = scene.take("first")
    (scene.root / "lost.bin").unlink()
    damage_blobs(scene, lost, there)
    assert scene.store.take("second") is not None  # what is not read is not missed
    with pytest.raises(SnapshotDamagedError, match=r"is damaged.*Take a new snapshot"):
        scene.files(first)
    assert scene.store.take("third") is None
    assert any("has been mended; 1 snapshots lack" in text for text in scene.notices())
    second, mended = scene.store.list()
    assert (second.label, mended.label, mended.time) == ("second", "first", first.time)
    assert mended.oid != first.oid
    assert scene.files(mended) == {"there.bin": there, "fine.txt": b"fine\n"}
    assert [(item.path, item.reason) for item in mended.left_out] == [
        ("lost.bin", "its content was damaged in the store")
    ]
    assert scene.files(second) == {"there.bin": there, "fine.txt": b"fine\n"}
    assert fsck(scene.store.folder) == ""
    assert list((scene.root / ".dx" / "snapshots.damaged").glob("*.pack"))
    assert scene.store.take() is None
    scene.store.prune(whole=True)
    assert fsck(scene.store.folder) == ""


def lose_pack(scene: Scene) -> None:
    only_pack(scene).unlink()


def lose_packs_and_memory(scene: Scene) -> None:
    for path in (scene.store.folder / "objects" / "pack").iterdir():
        path.unlink()
    (scene.root / ".dx" / "snapshots.json").unlink()


def cut_pack(scene: Scene) -> None:
    pack = only_pack(scene)
    with pack.open("r+b") as stream:
        stream.truncate(pack.stat().st_size // 2)


def spoil_index(scene: Scene) -> None:
    index = only_pack(scene).with_suffix(".idx")
    index.write_bytes(index.read_bytes()[:-30] + bytes(30))
    (scene.store.folder / "dxforge.damaged").touch()


def empty_reference(scene: Scene) -> None:
    for path in (scene.store.folder / "refs").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def lose_layout(scene: Scene) -> None:
    (scene.store.folder / "HEAD").unlink()
    (scene.store.folder / "config").unlink()


@pytest.mark.parametrize(
    "damage", [lose_pack, lose_packs_and_memory, cut_pack, spoil_index, empty_reference, lose_layout]
)
def test_a_damaged_store_is_mended_by_the_next_snapshot(scene: Scene, damage: Callable[[Scene], None]) -> None:
    for number in range(20):
        scene.put(f"d/{number}.bin", os.urandom(2000))
    scene.take("first")
    damage(scene)
    scene.put("new.txt")
    scene.store = SnapshotStore(scene.root, now=lambda: scene.time)
    taken = scene.store.take("second")
    assert taken is not None
    assert len(scene.files(taken)) == 21
    assert fsck(scene.store.folder) == ""
    assert scene.store.list()[0] == taken
    for snapshot in scene.store.list():
        scene.files(snapshot)
    assert scene.store.take() is None


def test_a_store_that_is_no_folder(scene: Scene) -> None:
    from dxforge.errors import WriteError

    prepare_state_dir(scene.root)
    scene.store.folder.write_text("not a repository")
    with pytest.raises(WriteError, match=r"snapshots\.git"):
        scene.store.take()


def test_threads_of_one_process(scene: Scene) -> None:
    """One store in several threads: each take is whole, and nothing is taken twice."""
    for number in range(50):
        scene.put(f"{number}.py", str(number))
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(3):
                scene.put(f"{name}.txt", str(number))
                scene.store.take(name)
                scene.store.list()
                scene.store.prune()
        except BaseException as error:  # noqa: BLE001 - the test shall see it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert scene.store.take() is None
    trees = [snapshot.tree for snapshot in scene.store.list()]
    assert all(one != next_one for one, next_one in itertools.pairwise(trees))
    newest = scene.store.latest()
    assert newest is not None
    assert newest.files == 54
    assert fsck(scene.store.folder) == ""
