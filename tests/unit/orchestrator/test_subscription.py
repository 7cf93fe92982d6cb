"""Following changes from any loop."""

from __future__ import annotations

import asyncio
import threading

from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus
from dxforge.orchestrator.subscription import Subscription


def change(number: int) -> ToolChanged:
    return ToolChanged(
        name=str(number), status=ToolStatus(ToolState.RUNNING, number), previous=ToolStatus(ToolState.STOPPED)
    )


async def names(subscription: Subscription) -> list[str]:
    return [entry.name async for entry in subscription]


def test_in_order_and_after_close_what_was_there() -> None:
    with Subscription() as subscription:
        for number in range(3):
            subscription.push(change(number))
    subscription.push(change(9))
    assert asyncio.run(names(subscription)) == ["0", "1", "2"]
    assert asyncio.run(names(subscription)) == []


def test_the_oldest_are_dropped_and_counted() -> None:
    subscription = Subscription()
    for number in range(1010):
        subscription.push(change(number))
    subscription.close()
    assert subscription.dropped == 10
    assert asyncio.run(names(subscription)) == [str(number) for number in range(10, 1010)]


def test_pushed_from_another_thread_while_someone_waits() -> None:
    subscription = Subscription()

    async def follow() -> list[str]:
        found = []
        async for entry in subscription:
            found.append(entry.name)
            if entry.name == "0":
                threading.Thread(target=rest).start()
        return found

    def rest() -> None:
        for number in range(1, 100):
            subscription.push(change(number))
        subscription.close()

    threading.Timer(0.05, subscription.push, [change(0)]).start()
    assert asyncio.run(follow()) == [str(number) for number in range(100)]


def test_several_loops_one_after_the_other() -> None:
    subscription = Subscription()

    async def give_up() -> None:
        try:
            async with asyncio.timeout(0.02):
                await anext(subscription)
        except TimeoutError:
            pass

    async def take() -> str:
        return (await anext(subscription)).name

    asyncio.run(give_up())
    subscription.push(change(7))
    assert asyncio.run(take()) == "7"
    asyncio.run(give_up())
    subscription.close()
