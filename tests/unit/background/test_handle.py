"""A handle can be waited for from everywhere."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from dxforge.background.handle import Promise, TaskHandle
from dxforge.background.tasks import CacheCurrentState
from dxforge.errors import TaskFailedError, TaskTimeoutError


def handle_and_cancels() -> tuple[TaskHandle, list[TaskHandle]]:
    cancels: list[TaskHandle] = []
    return TaskHandle(CacheCurrentState(), cancels.append), cancels


def settle_later(promise: Promise, value: object = None, error: BaseException | None = None) -> threading.Thread:
    thread = threading.Thread(target=lambda: (time.sleep(0.05), promise.settle(value, error)))
    thread.start()
    return thread


def test_only_the_first_value_counts() -> None:
    promise = Promise()
    promise.settle(1)
    promise.settle(2)
    assert promise.value() == 1


def test_a_waiter_is_called_once_whenever_it_comes() -> None:
    calls: list[str] = []
    promise = Promise()
    promise.when_settled(lambda: calls.append("early"))
    promise.settle()
    promise.settle()
    promise.when_settled(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_waiters_in_many_threads_and_loops_all_hear_of_it() -> None:
    handle, _ = handle_and_cancels()
    results: list[object] = []

    def in_a_loop() -> None:
        async def main() -> None:
            results.append(await handle)
            results.append(await handle)

        asyncio.run(main())

    threads = [threading.Thread(target=in_a_loop) for _ in range(4)]
    threads += [threading.Thread(target=lambda: results.append(handle.result(30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    settle_later(handle, "done").join()
    for thread in threads:
        thread.join(30)
    assert results == ["done"] * 12


def test_an_error_is_raised_for_everyone_who_waits() -> None:
    handle, _ = handle_and_cancels()
    handle.settle(error=TaskFailedError("no", task="x"))
    for _ in range(2):
        with pytest.raises(TaskFailedError, match="no") as caught:
            handle.result()
    assert len(caught.traceback) < 5, "the frames of one who waits do not show up at another"


def test_waiting_has_an_end_and_does_not_stop_the_task() -> None:
    handle, cancels = handle_and_cancels()
    with pytest.raises(TaskTimeoutError, match="not done after"):
        handle.result(0.01)
    assert not cancels and not handle.done()


def test_a_cancelled_waiter_leaves_the_task_alone() -> None:
    handle, cancels = handle_and_cancels()

    async def main() -> object:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(handle), 0.01)
        settle_later(handle, 5)
        return await handle

    assert asyncio.run(main()) == 5 and not cancels


async def _await(handle: TaskHandle) -> object:
    return await handle


def test_a_loop_that_was_closed_meanwhile_does_not_matter() -> None:
    handle, _ = handle_and_cancels()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(handle), 0.01)

    asyncio.run(give_up())
    handle.settle(1)
    assert handle.result() == 1


def test_cancel_is_handed_on_unless_it_is_over() -> None:
    handle, cancels = handle_and_cancels()
    assert handle.cancel() and cancels == [handle]
    handle.settle()
    assert not handle.cancel() and cancels == [handle]


def test_a_handle_says_what_it_is() -> None:
    handle, _ = handle_and_cancels()
    assert repr(handle) == "<TaskHandle CacheCurrentState: waiting>"
