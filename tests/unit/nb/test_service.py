"""A panel's side in the kernel, with a topic that counts and waits when it is told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from dxforge.errors import UsageError
from dxforge_nb.panels.channel import LEASE_S, Message, Push
from dxforge_nb.panels.service import Service
from tests.support.processes import until_async


class Counter:
    """A topic: "add" counts, "wait" waits for a gate, "bad" has a fault; watching tells what it is given."""

    name = "count"
    reads = frozenset({"look"})

    def __init__(self) -> None:
        self.count = 0
        self.gate = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.watching = 0
        self.watched = 0
        self.closed = 0
        self.push: Push | None = None
        self.fault: Exception | None = None

    async def handle(self, op: str, args: Mapping[str, Any]) -> Message:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            match op:
                case "hello" | "look":
                    if args.get("wait"):
                        await self.gate.wait()
                    return {"count": self.count}
                case "add":
                    before = self.count
                    await asyncio.sleep(0)
                    self.count = before + 1
                    return {"count": self.count}
                case "wait":
                    await self.gate.wait()
                    return {}
                case "bad":
                    raise ValueError("a secret")
                case _:
                    raise UsageError("unknown", where=op)
        finally:
            self.at_once -= 1

    async def watch(self, push: Push) -> None:
        self.push = push
        self.watching += 1
        self.watched += 1
        try:
            if self.fault is not None:
                raise self.fault
            await asyncio.Event().wait()
        finally:
            self.watching -= 1

    async def close(self) -> None:
        self.closed += 1


class Page:
    """What is sent to a page, and what it asks."""

    def __init__(self, name: str = "page") -> None:
        self.topic = Counter()
        self.sent: list[Message] = []
        self.now_s = 0.0
        self.service = Service(
            self.topic,
            send=self.sent.append,
            clock=lambda: self.now_s,
            about=lambda: {"kernel": "k"},
            asset=lambda name: {"name": name, "code": "…"},
        )
        self._name = name

    def ask(self, number: int, op: str, client: str = "page", **args: Any) -> None:
        self.service.receive({"dx": 1, "client": client, "n": number, "op": op, **args})

    def answers(self, number: int, client: str = "page") -> list[Message]:
        return [each for each in self.sent if each.get("to") == client and each.get("re") == number and "ok" in each]

    async def answer(self, number: int, client: str = "page") -> Message:
        await until_async(lambda: self.answers(number, client))
        return self.answers(number, client)[0]

    def pushes(self) -> list[Message]:
        return [each for each in self.sent if "push" in each]


def run(story: Callable[[Page], Coroutine[Any, Any, None]]) -> None:
    """Run a story on a loop, and see to it that nothing is left on it."""

    async def whole() -> None:
        page = Page()
        try:
            await story(page)
        finally:
            page.topic.gate.set()
            await page.service.close()
        await until_async(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(whole())


def test_hello_tells_the_state_and_where_the_pushes_are() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello", view="x")
        assert page.sent == [{"dx": 1, "to": "page", "re": 1, "got": True}]
        assert await page.answer(1) == {
            "dx": 1, "to": "page", "re": 1, "ok": True, "kernel": "k", "count": 0, "seq": 0,
        }  # fmt: skip

    run(story)


def test_the_same_message_three_times_is_done_once() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        for _ in range(3):
            page.ask(2, "add")
        first = await page.answer(2)
        page.ask(2, "add")
        await until_async(lambda: len(page.answers(2)) == 2)
        assert page.answers(2) == [first, first]
        assert page.topic.count == 1

    run(story)


def test_requests_are_done_one_at_a_time_in_their_order() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        page.ask(1, "hello", client="other")
        for number in range(2, 12):
            page.ask(number, "add")
            page.ask(number, "add", client="other")
        await page.answer(11, "other")
        assert page.topic.count == 20
        assert page.topic.most_at_once == 1
        assert [page.answers(number)[0]["count"] for number in range(2, 12)] == list(range(1, 20, 2))

    run(story)


def test_errors_are_answers_and_faults_say_nothing_of_what_they_hold(caplog: pytest.LogCaptureFixture) -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        page.ask(2, "what?")
        page.ask(3, "bad")
        page.ask(4, "asset", name=7)
        page.ask(5, "asset", name="editor")
        assert (await page.answer(2))["error"]["kind"] == "UsageError"
        fault = await page.answer(3)
        assert fault["error"]["kind"] == "InternalError"
        assert "a secret" not in str(fault)
        assert (await page.answer(4))["ok"] is False
        assert (await page.answer(5))["code"] == "…"

    with caplog.at_level(logging.ERROR, logger="dxforge"):
        run(story)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]


def test_it_watches_while_somebody_looks() -> None:
    async def story(page: Page) -> None:
        assert page.topic.watching == 0
        page.ask(1, "hello")
        await until_async(lambda: page.topic.watching)
        page.ask(1, "watch", client="other")
        assert (await page.answer(1, "other"))["seq"] == 0
        page.ask(2, "unwatch")
        await page.answer(2)
        assert page.topic.watching == 1
        page.ask(2, "unwatch", client="other")
        await until_async(lambda: not page.topic.watching)
        # What is pushed now reaches nobody, and who comes back notices that something may be missing.
        assert page.topic.push is not None
        page.topic.push({"lost": True})
        page.ask(3, "watch")
        assert (await page.answer(3))["seq"] == 1
        await until_async(lambda: page.topic.watching)
        page.topic.push({"heard": True})
        assert page.pushes() == [{"dx": 1, "push": "count", "seq": 2, "heard": True}]
        assert page.topic.watched == 2

    run(story)


def test_a_page_that_says_nothing_more_looks_no_more() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        await until_async(lambda: page.topic.watching)
        page.now_s = LEASE_S + 1
        page.ask(1, "unwatch", client="other")  # whoever speaks makes it look at the clock
        page.ask(2, "look")
        page.ask(2, "hello", client="third")
        await page.answer(2, "third")
        assert page.topic.watching == 1
        page.ask(3, "unwatch", client="third")
        await until_async(lambda: not page.topic.watching)

    run(story)


def test_what_is_pushed_while_hello_is_answered_comes_after_the_answer() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello", wait=True)
        await until_async(lambda: page.topic.watching and page.topic.at_once)
        assert page.topic.push is not None
        page.topic.push({"count": 1})
        assert not page.pushes()
        page.topic.gate.set()
        await page.answer(1)
        kinds = ["push" if "push" in each else "answer" for each in page.sent if "got" not in each]
        assert kinds == ["answer", "push"]
        assert page.answers(1)[0]["seq"] == 0
        assert page.pushes()[0]["seq"] == 1

    run(story)


def test_a_watch_that_fails_is_begun_again_when_a_page_says_that_it_looks(caplog: pytest.LogCaptureFixture) -> None:
    async def story(page: Page) -> None:
        page.topic.fault = ValueError("broken")
        page.ask(1, "hello")
        await until_async(lambda: page.topic.watched == 1 and caplog.records)
        page.topic.fault = None
        page.ask(2, "watch")
        await until_async(lambda: page.topic.watching)
        assert page.topic.watched == 2

    with caplog.at_level(logging.ERROR, logger="dxforge"):
        run(story)
    assert "not kept up to date" in caplog.text


def test_closing_waits_for_what_is_done_and_refuses_the_rest() -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        await page.answer(1)
        page.ask(2, "wait")
        page.ask(3, "add")
        await until_async(lambda: page.topic.at_once)
        closing = asyncio.create_task(page.service.close())
        await asyncio.sleep(0)
        assert not page.topic.closed
        page.topic.gate.set()
        await closing
        assert page.answers(2)[0]["ok"]
        assert page.answers(3)[0]["error"]["kind"] == "PanelClosedError"
        assert (page.topic.count, page.topic.closed, page.topic.watching) == (0, 1, 0)
        last = page.pushes()[-1]
        assert last["closed"]
        assert last["seq"] > page.answers(1)[0]["seq"] + 1
        page.ask(4, "hello")
        assert (await page.answer(4))["error"]["kind"] == "PanelClosedError"
        page.service.refuse({"dx": 1, "client": "page", "n": 5, "op": "add"})
        assert page.answers(5)[0]["error"]["kind"] == "PanelClosedError"
        page.topic.closed = 0

    run(story)


@pytest.mark.parametrize("steps", range(6))
def test_closing_is_not_missed_in_the_moment_in_which_something_happens(steps: int) -> None:
    async def story(page: Page) -> None:
        page.ask(1, "hello")
        await page.answer(1)
        await until_async(lambda: page.topic.watching)
        page.ask(2, "watch")
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await page.service.close()
        assert not page.topic.watching

    run(story)


def test_pages_of_a_loop_that_has_ended_are_told_once() -> None:
    page = Page()

    async def story() -> None:
        page.ask(1, "hello")
        await page.answer(1)

    asyncio.run(story())
    page.service.refuse({"dx": 1, "client": "page", "n": 2, "op": "add"})
    page.service.refuse({"dx": 1, "client": "page", "n": 3, "op": "add"})
    page.service.abandon()
    assert [page.answers(number)[0]["error"]["kind"] for number in (2, 3)] == ["PanelClosedError"] * 2
    (told,) = page.pushes()
    assert told["closed"]
    assert told["seq"] > page.answers(1)[0]["seq"] + 1
    assert page.topic.count == 0


def test_while_the_clock_stands_still_little_is_left_for_long_without_work() -> None:
    looks = 0

    def counted() -> float:
        nonlocal looks
        looks += 1
        return page.now_s

    page = Page()
    page.service._clock = counted

    async def story() -> None:
        page.ask(1, "watch")
        await until_async(lambda: page.topic.watching)
        page.now_s = LEASE_S - 1e-6
        page.ask(2, "unwatch", client="other")  # has it look at the clock
        before = looks
        await asyncio.sleep(1)
        assert page.topic.watching
        assert looks - before < 30
        await page.service.close()

    asyncio.run(story())
