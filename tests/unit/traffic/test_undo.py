"""Undo: later edits stay where they can, and stop it where they cannot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.errors import UndoError
from dxforge.events import EventBus
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic.journal import Journal
from dxforge.traffic.model import Action
from dxforge.traffic.record import Job, Record, TreeWrite, Write
from dxforge.traffic.undo import operations, undo_job, undone_changes
from tests.support.project import snapshot

P = "src/dx_packages"
OLD = b"".join(b"line %d\n" % number for number in range(20))
NEW = OLD.replace(b"line 5\n", b"upstream\n")


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


class Ground:
    """A project after an install that updated, created and deleted a file, and added and removed a package."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dx").mkdir()
        self.journal = Journal(root, root / ".dx", EventBus(), P)
        for path, content in ((f"{P}/a/m.py", OLD), (f"{P}/a/gone.py", b"gone\n"), (f"{P}/old/o.py", b"o\n")):
            self.path(path).parent.mkdir(parents=True, exist_ok=True)
            self.path(path).write_bytes(content)
        self.path("dx.lock").write_bytes(b"1\n")
        self.before = snapshot(root)
        job = Job(
            command="install",
            summary="a 2",
            writes=(
                Write(path=f"{P}/a/m.py", before=entry(OLD), after=entry(NEW)),
                Write(path=f"{P}/a/gone.py", before=entry(b"gone\n"), after=None),
                Write(path=f"{P}/a/made.py", before=None, after=entry(b"made\n"), content=b"made\n"),
            ),
            trees=(
                TreeWrite(path=f"{P}/old", files={"o.py": entry(b"o\n")}, created=False),
                TreeWrite(path=f"{P}/new", files={"n.py": entry(b"n\n"), "x": entry(b"x\n", EXECUTABLE)}, created=True),
            ),
            lock_before="1\n",
            lock_after="2\n",
            contents=lambda: [(f"{P}/a/m.py", NEW), (f"{P}/new/n.py", b"n\n"), (f"{P}/new/x", b"x\n")],
        )
        self.record = self.journal.run(job, now="2026-11-23T00:00:00+00:00")
        self.after = snapshot(root)

    def path(self, path: str) -> Path:
        return self.root / path

    def undo_job(self) -> Job:
        archives = {entry(NEW).oid: NEW}
        return undo_job(self.last(), self.root, lambda wanted: archives.get(wanted.oid))

    def undo(self) -> Record:
        return self.journal.run(self.undo_job(), now="2026-11-23T01:00:00+00:00")

    def last(self) -> Record:
        record = self.journal.last()
        assert record is not None
        return record


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_back_and_forth(ground: Ground) -> None:
    for expected in (ground.before, ground.after, ground.before):
        ground.undo()
        assert snapshot(ground.root) == expected


def test_a_later_edit_elsewhere_in_the_file_stays(ground: Ground) -> None:
    ground.path(f"{P}/a/m.py").write_bytes(NEW.replace(b"line 15\n", b"mine\n"))
    ground.undo()
    assert ground.path(f"{P}/a/m.py").read_bytes() == OLD.replace(b"line 15\n", b"mine\n")
    assert not ground.path(f"{P}/a/made.py").exists()
    ground.undo()
    assert ground.path(f"{P}/a/m.py").read_bytes() == NEW.replace(b"line 15\n", b"mine\n")


def test_a_later_change_of_mode_stays(ground: Ground) -> None:
    ground.path(f"{P}/a/m.py").chmod(0o755)
    ground.undo()
    assert snapshot(ground.root).files[f"{P}/a/m.py"] == (EXECUTABLE, OLD)


def test_what_the_user_has_put_back_already_is_left(ground: Ground) -> None:
    ground.path(f"{P}/a/m.py").write_bytes(OLD)
    ground.path(f"{P}/a/gone.py").write_bytes(b"gone\n")
    ground.path(f"{P}/a/made.py").unlink()
    job = ground.undo_job()
    assert job.writes == ()
    ground.undo()
    assert snapshot(ground.root) == ground.before


def test_the_users_own_files_stay(ground: Ground) -> None:
    for path in (f"{P}/a/mine.py", f"{P}/new/mine.py"):
        ground.path(path).write_bytes(b"mine\n")
    ground.undo()
    tree = snapshot(ground.root).files
    assert tree.pop(f"{P}/a/mine.py") == tree.pop(f"{P}/new/mine.py") == (FILE, b"mine\n")
    assert tree == ground.before.files


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (f"{P}/a/m.py", lambda target: target.write_bytes(NEW.replace(b"upstream\n", b"mine\n"))),
        (f"{P}/a/m.py", lambda target: target.unlink()),
        (f"{P}/a/m.py", lambda target: (target.unlink(), target.symlink_to("x"))),
        (f"{P}/a/m.py", lambda target: (target.unlink(), target.mkdir())),
        (f"{P}/a/gone.py", lambda target: target.write_bytes(b"another file\n")),
        (f"{P}/a/gone.py", lambda target: target.mkdir()),
        (f"{P}/a/gone.py", os.mkfifo),
        (f"{P}/a/made.py", lambda target: target.write_bytes(b"made\nmine\n")),
        (f"{P}/old", lambda target: target.mkdir()),
        (f"{P}/old", lambda target: target.write_bytes(b"")),
        (f"{P}/new/n.py", lambda target: target.write_bytes(b"mine\n")),
    ],
)
def test_an_edit_in_the_way_stops_it(ground: Ground, path: str, change: Callable[[Path], object]) -> None:
    change(ground.path(path))
    now = snapshot(ground.root)
    with pytest.raises(UndoError) as caught:
        ground.undo()
    assert path in caught.value.where
    assert caught.value.hint
    assert snapshot(ground.root) == now
    assert len(ground.journal.records()) == 1


def test_another_lock_stops_it(ground: Ground) -> None:
    for text in (b"another branch\n", b"\xff"):
        ground.path("dx.lock").write_bytes(text)
        with pytest.raises(UndoError, match=r"dx\.lock"):
            ground.undo()
    ground.path("dx.lock").unlink()
    with pytest.raises(UndoError, match=r"dx\.lock"):
        ground.undo()


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_copy_stops_it(ground: Ground, number: int) -> None:
    ground.record.slot(number).write_bytes(b"damaged")
    now = snapshot(ground.root)
    with pytest.raises(UndoError, match="gone or damaged"):
        ground.undo()
    ground.record.slot(number).unlink()
    with pytest.raises(UndoError, match="gone or damaged"):
        ground.undo()
    assert snapshot(ground.root) == now


def test_an_edit_stops_it_where_what_was_written_is_lost(ground: Ground) -> None:
    ground.path(f"{P}/a/m.py").write_bytes(NEW.replace(b"line 15\n", b"mine\n"))
    with pytest.raises(UndoError):
        undo_job(ground.last(), ground.root, lambda _: None)


def test_a_damaged_copy_of_what_was_written_is_not_merged_from(tmp_path: Path) -> None:
    (tmp_path / ".dx").mkdir()
    (tmp_path / "m.py").write_bytes(OLD)
    journal = Journal(tmp_path, tmp_path / ".dx", EventBus(), P)
    write = Write(path="m.py", before=entry(OLD), after=entry(NEW), content=NEW)
    record = journal.run(Job(command="accept", summary="", writes=(write,)), now="")
    (tmp_path / "m.py").write_bytes(NEW.replace(b"line 15\n", b"mine\n"))
    assert undo_job(record, tmp_path, lambda _: None).writes[0].content == OLD.replace(b"line 15\n", b"mine\n")
    record.own_file.write_bytes(OLD)
    with pytest.raises(UndoError):
        undo_job(record, tmp_path, lambda _: None)


def test_a_removed_folder_that_lost_a_file_in_the_copy_stops_it(ground: Ground) -> None:
    (ground.record.tree_slot(0) / "o.py").write_bytes(b"damaged")
    now = snapshot(ground.root)
    with pytest.raises(Exception, match="content"):
        ground.undo()
    assert snapshot(ground.root) == now


def test_what_was_undone_is_told(ground: Ground) -> None:
    changes = {change.path: change.action for change in undone_changes(ground.undo_job())}
    assert changes == {
        f"{P}/a/m.py": Action.UPDATE,
        f"{P}/a/gone.py": Action.CREATE,
        f"{P}/a/made.py": Action.DELETE,
        f"{P}/old/o.py": Action.CREATE,
        f"{P}/new/n.py": Action.DELETE,
        f"{P}/new/x": Action.DELETE,
    }


def test_the_log_is_newest_first_and_says_what_was_undone(ground: Ground) -> None:
    assert [(line.command, line.undone, line.files) for line in operations(ground.journal.records())] == [
        ("install", False, 6)
    ]
    ground.undo()
    assert [(line.command, line.undone) for line in operations(ground.journal.records())] == [
        ("undo", False),
        ("install", True),
    ]
    ground.undo()
    assert [(line.command, line.undone) for line in operations(ground.journal.records())] == [
        ("undo", False),
        ("undo", True),
        ("install", False),
    ]
    ground.undo()
    assert [line.undone for line in operations(ground.journal.records())] == [False, True, False, True]


def swap_job(root: Path, before: str, after: str) -> Job:
    """An update in which a file becomes a folder, a symlink, or the other way round."""
    contents = {"file": (FILE, b"f\n"), "symlink": (SYMLINK, b"elsewhere")}
    writes = []
    for kind, old in ((before, True), (after, False)):
        path = f"{P}/s/in.py" if kind == "folder" else f"{P}/s"
        mode, content = contents.get(kind, (FILE, b"in\n"))
        item = entry(content, mode)
        writes.append(
            Write(path=path, before=item, after=None)
            if old
            else Write(path=path, before=None, after=item, content=content)
        )
        if old:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to("elsewhere") if mode == SYMLINK else (root / path).write_bytes(content)
    if writes[0].path == writes[1].path:
        writes = [Write(path=writes[0].path, before=writes[0].before, after=writes[1].after, content=writes[1].content)]
    return Job(command="install", summary="", writes=tuple(writes), lock_before=None, lock_after="1\n")


@pytest.mark.parametrize("before", ["file", "folder", "symlink"])
@pytest.mark.parametrize("after", ["file", "folder", "symlink"])
def test_swaps_go_back_and_forth(tmp_path: Path, before: str, after: str) -> None:
    if before == after:
        return
    (tmp_path / ".dx").mkdir()
    job = swap_job(tmp_path, before, after)
    journal = Journal(tmp_path, tmp_path / ".dx", EventBus(), P)
    trees = [snapshot(tmp_path)]
    journal.run(job, now="")
    trees.append(snapshot(tmp_path))
    for expected in (trees[0], trees[1], trees[0]):
        record = journal.last()
        assert record is not None
        journal.run(undo_job(record, tmp_path, lambda _: None), now="")
        assert snapshot(tmp_path) == expected
