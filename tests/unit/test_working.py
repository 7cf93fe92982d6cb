from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dxforge.working import in_thread, one_at_a_time


def test_work_in_a_thread_gives_its_result_or_error() -> None:
    assert asyncio.run(in_thread(lambda _: threading.current_thread() is threading.main_thread())) is False
    with pytest.raises(KeyError):
        asyncio.run(in_thread(lambda _: {}["x"]))


def test_cancelled_work_stops_at_its_next_check() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(check: object) -> None:
        begun.set()
        try:
            while True:
                check()  # type: ignore[operator]
                ended.wait(0.01)
        finally:
            ended.set()

    async def main() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_one_works_one_waits_and_the_others_go(tmp_path: Path) -> None:
    order: list[str] = []
    waiting, release = threading.Event(), threading.Event()

    def second() -> None:
        waiting.set()
        with one_at_a_time(tmp_path, "x") as mine:
            order.append(f"second {mine}")

    def first() -> None:
        with one_at_a_time(tmp_path, "x") as mine:
            order.append(f"first {mine}")
            other.start()
            waiting.wait(30)
            release.wait(30)

    other = threading.Thread(target=second)
    one = threading.Thread(target=first)
    one.start()
    waiting.wait(30)
    while True:  # until the second waits, this one is the second itself, and waits: so ask for the first of its locks
        from dxforge.errors import ProjectBusyError
        from dxforge.events import EventBus
        from dxforge.files import project_lock

        try:
            with project_lock(tmp_path / ".dx", wait_s=0, events=EventBus(), name="x.next"):
                pass
        except ProjectBusyError:
            break
    with one_at_a_time(tmp_path, "x") as mine:
        order.append(f"third {mine}")
    release.set()
    one.join(30)
    other.join(30)
    assert order == ["first True", "third False", "second True"]
