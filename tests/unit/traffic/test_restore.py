"""Rollback: what is planned, what is not touched, what stands in the way."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from dxforge.config.model import SnapshotLimits
from dxforge.errors import (
    ChangedMeanwhileError,
    LockfileError,
    RollbackBlockedError,
    SnapshotError,
    SnapshotNotFoundError,
    UsageError,
    WriteError,
)
from dxforge.store.model import Snapshot
from dxforge.store.snapshots import SnapshotStore
from dxforge.traffic.manager import TrafficManager
from dxforge.traffic.restore_plan import RollbackPlan, RollbackReport
from tests.support.archives import Exec, Files, Link
from tests.support.project import lay
from tests.support.wild_trees import photograph


class Scene:
    """A project with a store and a manager."""

    def __init__(self, root: Path, limits: SnapshotLimits | None = None) -> None:
        self.root = root
        self.store = SnapshotStore(root, limits=limits)
        self.manager = TrafficManager(root)

    def lay(self, files: Files) -> None:
        lay(self.root, files)

    def remove(self, *paths: str) -> None:
        for path in paths:
            (self.root / path).unlink()

    def take(self, files: Files | None = None) -> Snapshot:
        self.lay(files or {})
        taken = self.store.take()
        assert taken is not None
        return taken

    def plan(self, snapshot: Snapshot, *paths: str) -> RollbackPlan:
        before = photograph(self.root)
        plan = asyncio.run(self.manager.plan_rollback(self.store, snapshot.id, paths))
        assert photograph(self.root) == before
        return plan

    def back(self, snapshot: Snapshot | RollbackPlan, *paths: str) -> RollbackReport:
        wanted = snapshot if isinstance(snapshot, RollbackPlan) else snapshot.id
        return asyncio.run(self.manager.rollback(self.store, wanted, paths))

    def text(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture
def scene(tmp_path: Path, cache_dir: Path) -> Scene:
    return Scene(tmp_path)


def said(plan: RollbackPlan | RollbackReport) -> dict[str, tuple[str, str]]:
    return {change.path: (change.action.value, change.reason) for change in plan.changes}


def test_the_plan_and_the_report(scene: Scene) -> None:
    first = scene.take({"same": "1", "edited": "1", "gone": "1", "tool": Exec("1"), "mode": "1", "link": Link("same")})
    scene.remove("gone", "link", "tool")
    scene.lay({"edited": "2", "new": "2", "link": "no link", "mode": Exec("1")})
    plan = scene.plan(first)
    here = f"as in snapshot {first.id}"
    assert said(plan) == {
        "edited": ("update", here),
        "gone": ("create", here),
        "link": ("update", f"{here}, mode 100644 to 120000"),
        "mode": ("update", f"{here}, mode 100755 to 100644"),
        "new": ("delete", f"not in snapshot {first.id}"),
        "tool": ("create", f"{here}, mode 100755"),
    }
    assert plan.report().dry_run
    assert plan.report().to_json()["snapshot"]["id"] == first.id
    report = scene.back(plan)
    assert said(report) == said(plan)
    assert (report.operation, report.ok, report.dry_run) == ("000001", True, False)
    assert report.saved is not None
    assert report.to_json()["saved"]["label"] == f"before the rollback to {first.id}" == report.saved.label
    assert not scene.store.diff(first)
    (entry,) = scene.manager.log()
    assert (entry.command, entry.summary, entry.files) == ("rollback", f"to {first.id}", 6)


def test_nothing_to_do(scene: Scene) -> None:
    first = scene.take({"a": "1"})
    report = scene.back(first)
    assert (report.changes, report.operation) == ([], None)
    assert report.saved == first
    assert len(scene.store.list()) == 1
    assert scene.manager.log() == []


def test_what_was_there_before_comes_back_both_ways(scene: Scene) -> None:
    first = scene.take({"a": "1", "d/b": "1"})
    scene.lay({"a": "2", "c": "2"})
    report = scene.back(first)
    assert report.saved is not None
    scene.back(report.saved)
    assert (scene.text("a"), scene.text("c")) == ("2", "2")
    assert [item.command for item in scene.manager.log()] == ["rollback", "rollback"]
    scene.manager.undo()
    scene.manager.undo("1")
    assert (scene.text("a"), scene.text("c")) == ("2", "2")


def test_undo_keeps_later_edits(scene: Scene) -> None:
    lines = [f"{number}\n" for number in range(20)]
    first = scene.take({"a": "".join(lines), "b": "old\n"})
    lines[2] = "before the rollback\n"
    scene.lay({"a": "".join(lines)})
    scene.back(first)
    lines[2] = "2\n"
    lines[15] = "after the rollback\n"
    scene.lay({"a": "".join(lines)})
    scene.manager.undo()
    lines[2] = "before the rollback\n"
    assert scene.text("a") == "".join(lines)


def test_some_paths(scene: Scene) -> None:
    first = scene.take({"a.py": "1", "b.py": "1", "d/c.py": "1", "d/e/f.txt": "1", "x[1].py": "1"})
    scene.lay({"a.py": "2", "b.py": "2", "d/c.py": "2", "d/new": "2", "d/e/f.txt": "2", "x[1].py": "2", "x1.py": "2"})
    assert said(scene.plan(first, "a.py")).keys() == {"a.py"}
    assert said(scene.plan(first, "./d/")).keys() == {"d/c.py", "d/new", "d/e/f.txt"}
    assert said(scene.plan(first, str(scene.root / "d" / "e"))).keys() == {"d/e/f.txt"}
    assert said(scene.plan(first, "*.py")).keys() == {"a.py", "b.py", "d/c.py", "x[1].py", "x1.py"}
    assert said(scene.plan(first, "x[1].py")).keys() == {"x[1].py"}
    assert said(scene.plan(first, "d/new", "a.py")).keys() == {"a.py", "d/new"}
    assert said(scene.plan(first, ".")).keys() == said(scene.plan(first)).keys()
    with pytest.raises(UsageError, match=r"Did you mean a\.py"):
        scene.plan(first, "aa.py")
    with pytest.raises(UsageError, match="outside"):
        scene.plan(first, "../x")
    with pytest.raises(SnapshotNotFoundError):
        asyncio.run(scene.manager.rollback(scene.store, "0000"))
    report = scene.back(first, "d")
    assert (scene.text("a.py"), scene.text("d/c.py")) == ("2", "1")
    assert not (scene.root / "d/new").exists()
    assert scene.manager.log()[0].summary == f"to {first.id}: d"
    assert report.operation is not None


def test_what_is_ignored_is_not_touched(scene: Scene) -> None:
    """Neither what the snapshot's rules ignore nor what today's do; but what is in the snapshot comes back."""
    first = scene.take({".gitignore": "*.old\n", "a": "1", "kept.new": "1", "x.old": "1", "d/x.old": "1"})
    scene.lay({".gitignore": "*.new\n", "a": "2", "kept.new": "2", "fresh.new": "2", "y.old": "2", "z": "2"})
    scene.back(first)
    assert (scene.text("a"), scene.text(".gitignore")) == ("1", "*.old\n")
    assert scene.text("kept.new") == "1"  # ignored by now, but in the snapshot
    assert scene.text("fresh.new") == "2"  # no snapshot holds it
    assert (scene.text("x.old"), scene.text("y.old"), scene.text("d/x.old")) == ("1", "2", "1")
    assert not (scene.root / "z").exists()
    scene.manager.undo()
    assert (scene.text("kept.new"), scene.text("z")) == ("2", "2")


def test_what_was_left_out_is_not_touched(tmp_path: Path, cache_dir: Path) -> None:
    scene = Scene(tmp_path, SnapshotLimits(max_file_mb=1))
    first = scene.take({"big": b"1" * 1_100_000, "small": "1", "grows": "1"})
    scene.lay({"big": "small now", "grows": b"2" * 1_100_000, "bigger": b"3" * 1_100_000})
    plan = scene.plan(first)
    assert said(plan).keys() == {"grows"}
    assert [item.path for item in plan.left_out] == ["big"]
    report = scene.back(plan)
    assert report.notes == ["left alone, for it is not in the snapshot: big (it is larger than max_file_mb)"]
    assert (scene.text("big"), scene.text("grows")) == ("small now", "1")
    assert (scene.root / "bigger").stat().st_size == 1_100_000
    scene.manager.undo()
    assert (scene.root / "grows").read_bytes() == b"2" * 1_100_000
    assert scene.plan(first, "small").left_out == ()


@pytest.mark.parametrize("case", ["file in folder", "special file", "ignored parent", "folder of ignored", "folder"])
def test_what_no_snapshot_holds_stands_in_the_way(scene: Scene, case: str) -> None:
    ignored = {".gitignore": "*.own\nown\n"}
    first = scene.take({**ignored, "a": "1", "d/b": "1", "p/q/c": "1"})
    if case == "file in folder":
        scene.remove("a")
        scene.lay({"a/mine.own": "2", "a/other": "2"})
        expected = {"a/mine.own"}
    elif case == "special file":
        scene.remove("a")
        os.mkfifo(scene.root / "a")
        expected = {"a"}
    elif case == "ignored parent":
        first = scene.take({"own.txt": "2"})
        scene.remove("d/b")
        (scene.root / "d").rmdir()
        scene.lay({".gitignore": "/d\n", "d": "ignored now"})
        expected = {"d"}
    elif case == "folder of ignored":
        scene.remove("a")
        (scene.root / "a").mkdir()
        (scene.root / "a" / "own").mkdir()
        (scene.root / "a" / "own" / "x").write_text("")
        expected = {"a", "a/own", "a/own/x"}
    else:
        scene.remove("d/b")
        (scene.root / "d").rmdir()
        (scene.root / "elsewhere").mkdir()
        (scene.root / "d").symlink_to("elsewhere")
        assert said(scene.plan(first)).keys() == {"d", "d/b"}
        plan = scene.plan(first, "d/b")  # the symlink in the way was not chosen
        assert [(item.path, item.reason) for item in plan.blocked] == [("d", "a file is where a folder must be")]
        expected = {"d"}
    paths = ("d/b",) if case == "folder" else ()
    before = photograph(scene.root)
    assert {item.path for item in scene.plan(first, *paths).blocked} == expected
    assert any(note.startswith("in the way") for note in scene.plan(first, *paths).report().notes)
    with pytest.raises(RollbackBlockedError) as caught:
        scene.back(first, *paths)
    assert set(caught.value.paths) == expected
    assert photograph(scene.root) == before
    assert scene.manager.log() == []


def test_empty_folders_are_told_of(scene: Scene) -> None:
    (scene.root / "e" / "f").mkdir(parents=True)
    first = scene.take({"a": "1", "full/b": "1"})
    (scene.root / "e" / "f").rmdir()
    (scene.root / "e").rmdir()
    (scene.root / "new" / "one").mkdir(parents=True)
    for report in (scene.plan(first).report(), scene.back(first)):
        assert (report.added_folders, report.removed_folders) == (("e/f",), ("new/one",))
        assert report.changes == []
        assert report.to_json()["added_folders"] == ["e/f"]
    assert (scene.root / "e" / "f").is_dir()
    assert not (scene.root / "new").exists()
    scene.remove("full/b")  # a folder that comes back with its files is no news, nor is one that goes with them
    (scene.root / "full").rmdir()
    scene.lay({"other/c": "1"})
    report = scene.back(first)
    assert (report.added_folders, report.removed_folders) == ((), ())
    assert said(report).keys() == {"full/b", "other/c"}


def test_a_dry_run_says_that_it_cannot_be_done(scene: Scene) -> None:
    first = scene.take({"a": "1", "b": "1"})
    scene.remove("a", "b")
    os.mkfifo(scene.root / "a")
    os.mkfifo(scene.root / "b")
    assert not scene.plan(first).report().ok
    with pytest.raises(RollbackBlockedError, match=r"\(and 1 more\)") as caught:
        scene.back(first)
    assert "--dry-run" in caught.value.hint


def test_a_path_that_snapshots_leave_out(scene: Scene) -> None:
    first = scene.take({"a": "1", ".gitignore": "*.log"})
    scene.lay({"x.log": "1"})
    for path in ("x.log", ".dx"):
        with pytest.raises(UsageError, match="snapshots leave it out"):
            scene.plan(first, path)
    with pytest.raises(UsageError, match="neither the snapshot nor the project"):
        scene.plan(first, "nothing")


def test_a_folder_with_only_compiled_leftovers_gives_way(scene: Scene) -> None:
    first = scene.take({"a": "1"})
    scene.remove("a")
    scene.lay({"a/m.py": "2", "a/__pycache__/m.cpython-311.pyc": b"\0"})
    scene.back(first)
    assert scene.text("a") == "1"


def test_nothing_goes_through_a_symlink(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "b").write_text("theirs")
    first = scene.take({"d/b": "1", "d/c": "1"})
    scene.remove("d/b", "d/c")
    (scene.root / "d").rmdir()
    (scene.root / "d").symlink_to(elsewhere)
    plan = scene.plan(first)
    assert said(plan)["d/b"][0] == "create"
    scene.back(plan)
    assert (scene.text("d/b"), (elsewhere / "b").read_text()) == ("1", "theirs")
    assert list(elsewhere.iterdir()) == [elsewhere / "b"]
    scene.manager.undo()
    assert (scene.root / "d").is_symlink()


def test_empty_folders(scene: Scene) -> None:
    (scene.root / "old" / "er").mkdir(parents=True)
    first = scene.take({"a": "1", ".gitignore": "*.own\n", "hidden/x.own": ""})
    (scene.root / "old" / "er").rmdir()
    (scene.root / "old").rmdir()
    (scene.root / "new" / "er").mkdir(parents=True)
    (scene.root / "mine").mkdir()
    (scene.root / "mine" / "x.own").write_text("mine")
    scene.remove("hidden/x.own")  # empty now; then it only held what is ignored
    plan = scene.plan(first)
    assert plan.make == {"old", "old/er"}
    assert plan.drop == {"new", "new/er"}
    scene.back(plan)
    assert sorted(path.name for path in scene.root.iterdir()) == [".dx", ".gitignore", "a", "hidden", "mine", "old"]
    assert (scene.root / "old" / "er").is_dir()
    scene.manager.undo()
    assert (scene.root / "new" / "er").is_dir()
    assert not (scene.root / "old").exists()


def test_a_file_that_comes_into_a_dropped_folder_stays(scene: Scene) -> None:
    first = scene.take({"a": "1"})
    (scene.root / "new").mkdir()
    plan = scene.plan(first)
    (scene.root / "new" / "own.txt").write_text("late")
    with pytest.raises(ChangedMeanwhileError):
        scene.back(plan)
    assert scene.text("new/own.txt") == "late"


def test_a_plan_that_is_out_of_date_is_refused(scene: Scene) -> None:
    first = scene.take({"a": "1", "b": "1"})
    scene.lay({"a": "2"})
    plan = scene.plan(first)
    scene.lay({"b": "2"})
    with pytest.raises(ChangedMeanwhileError, match="after the plan was made"):
        scene.back(plan)
    assert (scene.text("a"), scene.text("b")) == ("2", "2")
    scene.lay({"b": "1"})
    scene.back(plan)
    assert scene.text("a") == "1"


def test_an_edit_while_it_writes_is_not_lost(scene: Scene) -> None:
    """Somebody edits a file between the plan and its turn: everything goes back, the edit stays."""
    files: Files = {f"{number:02}": "1" for number in range(20)}
    first = scene.take(files)
    scene.lay(dict.fromkeys(files, "2"))
    plain = scene.manager._ground.journal

    def journal() -> object:
        made = plain()

        def checkpoint(at: str) -> None:
            if at == "wrote 5":
                (scene.root / "15").write_text("edited at the last moment")

        made.checkpoint = checkpoint
        return made

    scene.manager._ground.journal = journal  # type: ignore[method-assign,assignment]
    with pytest.raises(ChangedMeanwhileError):
        scene.back(first)
    assert scene.text("15") == "edited at the last moment"
    assert {scene.text(name) for name in files if name != "15"} == {"2"}
    assert scene.manager.log() == []


def test_private_files_stay_private(scene: Scene) -> None:
    scene.root.chmod(0o755)
    first = scene.take({"key": "1", "open": "1", "tool": Exec("1")})
    (scene.root / "key").chmod(0o600)
    (scene.root / "tool").chmod(0o700)
    second = scene.take()
    assert second.oid != first.oid
    scene.lay({"key": "2", "tool": Exec("2"), "open": "2"})
    (scene.root / "key").chmod(0o640)

    def mode(name: str) -> int:
        return stat.S_IMODE((scene.root / name).stat().st_mode)

    scene.back(second)
    assert (mode("key"), mode("tool"), scene.text("key")) == (0o600, 0o700, "1")
    scene.manager.undo()
    assert (mode("key"), mode("open"), scene.text("key")) == (0o640, 0o644, "2")


def test_the_lock_is_the_commit_point(scene: Scene) -> None:
    lock = scene.root / "dx.lock"
    first = scene.take({"a": "1", "dx.lock": "version = 1\n"})
    scene.lay({"a": "2", "dx.lock": "version = 1\n# two\n"})
    second = scene.take()
    scene.remove("dx.lock")
    third = scene.take()
    assert said(scene.back(first)).keys() == {"a", "dx.lock"}
    assert lock.read_text() == "version = 1\n"
    scene.back(third)
    assert not lock.exists()
    scene.back(second, "dx.lock")
    assert (lock.read_text(), scene.text("a")) == ("version = 1\n# two\n", "2")
    scene.back(first, "a")
    assert (lock.read_text(), scene.text("a")) == ("version = 1\n# two\n", "1")
    scene.manager.undo("1")
    assert not lock.exists()
    assert scene.text("a") == "2"


def test_line_ends_of_the_lock(scene: Scene) -> None:
    first = scene.take({"dx.lock": b"version = 1\r\n"})
    scene.lay({"dx.lock": b"version = 1\n"})
    assert scene.back(first).operation is None  # the same to dxforge, whichever they are
    scene.lay({"dx.lock": b"version = 1\n# more\n"})
    scene.back(first)
    assert (scene.root / "dx.lock").read_bytes() == b"version = 1\r\n"
    assert TrafficManager(scene.root).log()[0].command == "rollback"


def test_locks_that_are_none(scene: Scene) -> None:
    first = scene.take({"a": "1", "dx.lock": b"\xff"})
    scene.lay({"a": "2", "dx.lock": "version = 1\n"})
    with pytest.raises(SnapshotError, match="not a text file"):
        scene.back(first)
    scene.back(first, "a")
    assert scene.text("a") == "1"
    second = scene.store.take() or scene.store.latest()
    assert second is not None
    scene.lay({"dx.lock": b"\xff"})
    with pytest.raises(LockfileError, match="UTF-8"):
        scene.back(second)


def test_a_read_only_file_is_refused(scene: Scene) -> None:
    first = scene.take({"a": "1", "b": "1"})
    scene.lay({"a": "2", "b": "2"})
    (scene.root / "b").chmod(0o444)
    with pytest.raises(WriteError, match="read-only"):
        scene.back(first)
    assert (scene.text("a"), scene.text("b")) == ("2", "2")


def test_a_rollback_waits_for_a_snapshot_that_is_being_taken(scene: Scene) -> None:
    first = scene.take({"a": "1"})
    scene.lay({"a": "2"})
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with SnapshotStore(scene.root).lock():
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    threading.Timer(0.3, leave.set).start()
    scene.back(first)
    holder.join()
    assert scene.text("a") == "1"
