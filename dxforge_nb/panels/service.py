"""One panel's side in the kernel: has the topic do what pages ask for, and tells them what changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dxforge.errors import DxForgeError, UsageError
from dxforge_nb.panels.channel import Channel, Leases, Message, Request, Topic

_log = logging.getLogger("dxforge")
_SHORTEST_S = 0.1
"""Between two looks at whether anybody still looks."""


class PanelClosedError(DxForgeError):
    """The panel does not live any more: the extension was unloaded, or the kernel ends."""


class InternalError(DxForgeError):
    """A fault of dxforge itself; the log has the whole story."""


class Service:
    """Between the channel and the topic. All of it lives on the loop of the project's forge.

    Args:
        topic: what the panel is about.
        send: sends one message to all pages; any thread, never blocks.
        clock: seconds; stands still while the kernel cannot hear its pages.
        about: what "hello" is told beside the topic's state; called in a thread.
        asset: the content of a named part of the front end; called in a thread.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        send: Callable[[Message], None],
        clock: Callable[[], float],
        about: Callable[[], Mapping[str, Any]] = dict,
        asset: Callable[[str], Message] | None = None,
    ) -> None:
        self._topic = topic
        self._send = send
        self._clock = clock
        self._about = about
        self._asset = asset
        self._channel = Channel()
        self._leases = Leases()
        self._turn = asyncio.Lock()
        self._poke = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._attending: asyncio.Task[None] | None = None
        self._sending = threading.Lock()
        self._watched = False
        self._held: list[Mapping[str, Any]] | None = None
        """Pushes that wait until a hello is answered."""
        self._closed = False

    def receive(self, content: object) -> None:
        """Take what a page sent, and see to it. On the loop."""
        received = self._channel.receive(content)
        for reply in received.replies:
            self._send(reply)
        if received.request is not None:
            task = asyncio.get_running_loop().create_task(self._do(received.request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def refuse(self, content: object) -> None:
        """Take what a page sent after the loop has ended. Any thread."""
        received = self._channel.receive(content)
        for reply in received.replies:
            self._send(reply)
        if received.request is not None:
            self._send(self._channel.failure(received.request, _closed_error()))
        self.abandon()

    def abandon(self) -> None:
        """Tell the pages that the loop has ended before the panel was closed. Any thread; again is harmless."""
        if not self._closed:
            self._closed = True
            self._tell_end()

    async def close(self) -> None:
        """End the topic, once it has done what it is at, and tell the pages. On the forge's loop."""
        self._closed = True
        attending, self._attending = self._attending, None
        if attending is not None:
            attending.cancel()
            await asyncio.gather(attending, return_exceptions=True)
        async with self._turn:
            await self._topic.close()
        self._tell_end()

    def _tell_end(self) -> None:
        # Whatever a page makes of "closed", it notices the gap, asks, and is told.
        self._channel.skip()
        with self._sending:
            self._send(self._channel.push(self._topic.name, {"closed": True}))

    # -- on the loop ------------------------------------------------------------------------------------------------

    async def _do(self, request: Request) -> None:
        try:
            match request.op:
                case "watch":
                    self._look(request.client)
                    answer = self._channel.answer(request, {"seq": self._channel.seq}, keep=False)
                case "unwatch":
                    self._leases.end(request.client)
                    self._poke.set()
                    answer = self._channel.answer(request, {}, keep=False)
                case "asset":
                    answer = self._channel.answer(request, await self._read_asset(request.args), keep=False)
                case "hello":
                    await self._greet(request)
                    return
                case _:
                    async with self._turn:
                        self._check_open()
                        body = await self._topic.handle(request.op, request.args)
                    answer = self._channel.answer(request, body, keep=request.op not in self._topic.reads)
        except Exception as error:  # noqa: BLE001 - told, and logged
            answer = self._failure(request, error)
        self._send(answer)

    def _failure(self, request: Request, error: Exception) -> Message:
        known = error if isinstance(error, DxForgeError) else _internal(error, request.op)
        return self._channel.failure(request, known)

    async def _greet(self, request: Request) -> None:
        """Answer a hello. What is pushed meanwhile may be newer than the state that is told, so it comes after it."""
        async with self._turn:
            try:
                self._check_open()
                self._look(request.client)
                with self._sending:
                    self._held = []
                about = await asyncio.to_thread(self._about)
                state = await self._topic.handle(request.op, request.args)
                answer = self._channel.answer(request, {**about, **state, "seq": self._channel.seq}, keep=False)
            except Exception as error:  # noqa: BLE001 - told, and logged
                answer = self._failure(request, error)
            # A cancelled one leaves pushes held back: the loop ends.
            with self._sending:
                self._send(answer)
                held, self._held = self._held or [], None
                for body in held:
                    self._tell(body)

    async def _read_asset(self, args: Mapping[str, Any]) -> Message:
        name = args.get("name")
        if self._asset is None or not isinstance(name, str):
            raise UsageError("there is no such part of the front end", where="asset", hint='Ask for "editor"')
        return await asyncio.to_thread(self._asset, name)

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_error()

    def _look(self, client: str) -> None:
        self._leases.take(client, self._clock())
        self._poke.set()
        if self._attending is None and not self._closed:
            self._attending = asyncio.get_running_loop().create_task(self._attend())

    async def _attend(self) -> None:
        """Have the topic watch while somebody looks."""
        while True:
            await self._poke.wait()
            self._poke.clear()
            if not self._leases.left_s(self._clock()):
                continue
            self._watched = True
            looking = asyncio.create_task(self._topic.watch(self._push))
            looking.add_done_callback(lambda _: self._poke.set())
            try:
                while (left_s := self._leases.left_s(self._clock())) and not looking.done():
                    with contextlib.suppress(TimeoutError):
                        # Not `wait_for`: until Python 3.12 it swallows a cancellation that comes at the same moment.
                        # While the clock stands still, so does what is left, however little that is.
                        async with asyncio.timeout(max(left_s, _SHORTEST_S)):
                            await self._poke.wait()
                    self._poke.clear()
            finally:
                self._watched = False
                looking.cancel()
                (outcome,) = await asyncio.gather(looking, return_exceptions=True)
                # From here on, pages may miss something.
                self._channel.skip()
            if isinstance(outcome, Exception):
                # Tried again when a page next says that it looks.
                _log.error("the %s panel is not kept up to date", self._topic.name, exc_info=outcome)

    def _push(self, body: Mapping[str, Any]) -> None:
        # Under the lock, so that they go out in the order of their numbers.
        with self._sending:
            if self._held is not None:
                self._held.append(body)
            else:
                self._tell(body)

    def _tell(self, body: Mapping[str, Any]) -> None:
        if self._watched:
            self._send(self._channel.push(self._topic.name, body))


def _closed_error() -> PanelClosedError:
    return PanelClosedError(
        "this panel is closed, and nothing was done", where="dxforge", hint="Run the cell again to have a new one"
    )


def _internal(error: Exception, op: str) -> InternalError:
    _log.error("a panel's %r has failed", op, exc_info=error)
    # Without the error's own words: they may hold anything.
    return InternalError(
        f"dxforge itself has failed: {type(error).__name__}", where=op, hint="Use the command instead; the log has more"
    )
