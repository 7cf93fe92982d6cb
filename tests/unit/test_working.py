from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dxforge.working import in_thread, one_at_a_time
from tests.support.processes import until


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
    release = threading.Event()
    waits = tmp_path / ".dx" / "x.next.json"  # written by whoever is the next

    def second() -> None:
        with one_at_a_time(tmp_path, "x") as mine:
            order.append(f"second {mine}")

    def first() -> None:
        with one_at_a_time(tmp_path, "x") as mine:
            waits.unlink()
            order.append(f"first {mine}")
            other.start()
            release.wait(60)

    other = threading.Thread(target=second)
    one = threading.Thread(target=first)
    one.start()
    try:
        until(lambda: order == ["first True"] and waits.exists(), "nobody waits")
        with one_at_a_time(tmp_path, "x") as mine:
            order.append(f"third {mine}")
    finally:
        release.set()
        one.join(60)
        other.join(60)
    assert order == ["first True", "third False", "second True"]
