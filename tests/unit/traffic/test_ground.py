"""The ground under the manager: paths as the user gives them, the two texts, and being stopped."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dxforge.errors import LockfileError, ProjectError, UsageError
from dxforge.events import EventBus, Notice
from dxforge.traffic.ground import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, EventBus())


def test_paths_from_the_root(ground: Ground) -> None:
    assert ground.relative("a/b.py") == "a/b.py"
    assert ground.relative("./a/b.py") == "a/b.py"
    assert ground.relative(str(ground.root / "a" / "b.py")) == "a/b.py"
    with pytest.raises(UsageError, match="outside"):
        ground.relative("/elsewhere/b.py")


def test_the_text_of_the_lock(ground: Ground) -> None:
    lock = ground.root / "dx.lock"
    assert ground.lock_text() is None
    lock.write_bytes(b"version = 1\r\n")
    assert ground.lock_text() == "version = 1\n"
    lock.write_bytes(b"\xff")
    with pytest.raises(LockfileError, match="UTF-8"):
        ground.lock_text()
    lock.unlink()
    lock.symlink_to("elsewhere")
    with pytest.raises(LockfileError, match="symlink"):
        ground.lock_text()


def test_work_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        Ground(tmp_path / "none", EventBus()).with_lock(lambda: None)
    assert not (tmp_path / "none").exists()


def test_what_fails_after_the_commit_is_told_not_raised(ground: Ground) -> None:
    heard: list[str] = []
    ground.events.subscribe(lambda event: heard.append(event.text) if isinstance(event, Notice) else None)
    for error in (OSError(28, "No space left on device"), ProjectError("no")):
        with ground.after_commit():
            raise error
    assert len(heard) == 2
    with pytest.raises(RuntimeError), ground.after_commit():
        raise RuntimeError


def test_a_cancelled_caller_stops_the_work_at_its_next_check_and_waits_for_it(ground: Ground) -> None:
    started, steps = threading.Event(), []

    def work(check: object) -> None:
        assert callable(check)
        started.set()
        for number in range(1000):
            steps.append(number)
            check()
            threading.Event().wait(0.005)

    async def main() -> None:
        task = asyncio.create_task(ground.in_thread(work))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(steps)
        await asyncio.sleep(0.05)
        assert len(steps) == count

    asyncio.run(main())
    assert len(steps) < 1000


def test_recovering_where_there_is_nothing_writes_nothing(ground: Ground) -> None:
    ground.recover()
    assert list(ground.root.iterdir()) == []
