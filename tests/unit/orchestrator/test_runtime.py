"""The thread and loop that supervision lives on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dxforge.errors import UsageError
from dxforge.orchestrator.runtime import Runtime


async def nothing() -> None:
    pass


def close(runtime: Runtime) -> None:
    asyncio.run(runtime.close(nothing))


def test_work_is_done_elsewhere_for_any_loop() -> None:
    async def where() -> int:
        return threading.get_ident()

    runtime = Runtime()
    places = {asyncio.run(runtime.call(where)) for _ in range(3)} | {runtime.submit(where).future.result()}
    assert len(places) == 1 and threading.get_ident() not in places
    close(runtime)


def test_errors_arrive() -> None:
    async def fail() -> None:
        raise ValueError("x")

    runtime = Runtime()
    with pytest.raises(ValueError, match="x"):
        asyncio.run(runtime.call(fail))
    close(runtime)


@pytest.mark.parametrize("patient", [True, False])
def test_cancelling_cancels_the_work_and_waits_for_its_end(patient: bool) -> None:
    cleaned = threading.Event()
    began = threading.Event()
    may_end = asyncio.Event()

    async def work() -> None:
        try:
            began.set()
            await asyncio.sleep(60)
        finally:
            if patient:
                await asyncio.sleep(0.2)
            else:
                await may_end.wait()
            cleaned.set()

    async def go(runtime: Runtime) -> None:
        task = asyncio.create_task(runtime.call(work, patient=patient))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned.is_set() == patient

    runtime = Runtime()
    asyncio.run(go(runtime))
    runtime.loop.call_soon_threadsafe(may_end.set)
    close(runtime)
    assert cleaned.is_set()


def test_close_does_the_last_and_cancels_the_rest_without_cancelling_who_waits() -> None:
    order = []

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            order.append("cancelled")

    async def last() -> None:
        order.append("last")

    async def go(runtime: Runtime) -> None:
        waiting = asyncio.create_task(runtime.call(forever))
        await asyncio.sleep(0.05)
        await asyncio.gather(runtime.close(last), runtime.close(last))
        with pytest.raises(UsageError, match="closed"):
            await waiting

    runtime = Runtime()
    asyncio.run(go(runtime))
    assert order == ["last", "cancelled"]
    with pytest.raises(UsageError, match="closed"):
        asyncio.run(runtime.call(nothing))
    assert not [thread for thread in threading.enumerate() if thread.name == "dxforge-tools"]


def test_a_caller_that_is_gone_disturbs_nobody() -> None:
    release = asyncio.Event()

    async def work() -> None:
        await release.wait()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await runtime.call(lambda: asyncio.shield(work()), patient=False)

    runtime = Runtime()
    asyncio.run(give_up())
    runtime.loop.call_soon_threadsafe(release.set)
    assert runtime.submit(nothing).future.result() is None
    close(runtime)
