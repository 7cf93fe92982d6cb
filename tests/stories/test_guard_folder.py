"""What a guard makes of it when its folder is deleted, or moved, while its tool runs."""

from __future__ import annotations

import shutil
import sys
import uuid
from pathlib import Path

import pytest

from dxforge.orchestrator.guard import system
from dxforge.orchestrator.process import peek
from tests.support.processes import FAMILY, STUBBORN, exists, marked, owner, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="told by dnotify")


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


def test_deleted_with_nobody_there_the_tool_is_stopped(tmp_path: Path, mark: str) -> None:
    with owner() as one:
        guard = one.start(tmp_path / "p" / "a", FAMILY, mark=mark, keep=True)["guard_pid"]
    assert len(marked(mark)) == 5
    shutil.rmtree(tmp_path / "p")
    until(lambda: not marked(mark) and not exists(guard))
    assert not (tmp_path / "p").exists()


def test_deleted_under_an_owner_it_goes_on_until_that_leaves(tmp_path: Path, mark: str) -> None:
    with owner() as one, owner() as other:
        folder = tmp_path / "a"
        pid = one.start(folder, STUBBORN, mark=mark, keep=True)["pid"]
        assert other.ask("attach", folder=str(folder), owner=True)["pid"] == pid
        shutil.rmtree(folder)
        one.ask("post", folder=str(folder), board={"state": "running"})
        assert one.ask("leave", folder=str(folder)) is True, "the other one is there"
        assert exists(pid)
        assert other.ask("leave", folder=str(folder)) is False
    until(lambda: not marked(mark))


def test_another_guard_in_the_same_folder_is_left_alone(tmp_path: Path, mark: str) -> None:
    with owner() as one, owner() as other:
        first = one.start(tmp_path, STUBBORN, mark=mark, keep=True)["pid"]
        for file in tmp_path.iterdir():
            file.unlink()
        second = other.start(tmp_path, STUBBORN, mark=mark, keep=True)["pid"]
        one.kill()
        until(lambda: not exists(first))
        record = peek(tmp_path)
        assert record is not None and record.pid == second
        assert (tmp_path / "control").exists()
        other.ask("leave", folder=str(tmp_path))
        assert exists(second), "it is kept, and can be reached"
        shutil.rmtree(tmp_path)
        until(lambda: not marked(mark))


def test_in_a_moved_project_it_goes_on(tmp_path: Path, mark: str) -> None:
    with owner() as one:
        pid = one.start(tmp_path / "p" / ".dx" / "a", FAMILY, mark=mark, keep=True)["pid"]
    moved = tmp_path / "q" / ".dx" / "a"
    (tmp_path / "p").rename(tmp_path / "q")
    (moved / "other").touch()
    (moved / "other").unlink()  # something is deleted, but not what it lives by
    record = peek(moved)
    assert record is not None and record.pid == pid and system.start_ticks(pid) == record.start_ticks
    with owner() as next_one:
        assert next_one.ask("attach", folder=str(moved), owner=True)["pid"] == pid
        assert len(marked(mark)) == 5
        # The guard may be writing there just now, as any program may.
        until(lambda: shutil.rmtree(tmp_path / "q", ignore_errors=True) or not (tmp_path / "q").exists())
    until(lambda: not marked(mark))
