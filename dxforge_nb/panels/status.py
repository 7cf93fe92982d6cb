"""What the status panel shows, and what its buttons do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dxforge.background.tasks import TaskChanged, TaskProgressed
from dxforge.errors import DxForgeError, UsageError
from dxforge.events import Event, Progress
from dxforge.orchestrator.status import ToolChanged
from dxforge_nb.panels.channel import Message, Push, text_of
from dxforge_nb.panels.glance import Glance, Part, same

if TYPE_CHECKING:
    from dxforge.forge import DxForge

SHORTEST_S = 0.25
"""Between two pushes."""
SAMPLE_S = 1.0
"""Between two looks at tools that run: their CPU and memory announce no change."""
SHARE = 20
"""Looking takes at most one part in so many of the time, however many processes there are; where much happens, half."""
LOOK_S = 2.0
"""Between two looks at whether another process has changed something; a few calls of `stat`."""
_LOG_LINES = 200
_MOST_LINES = 5000
_LINE_CHARS = 2000


class StatusTopic:
    """Tools, tasks and packages of one project (`Topic`).

    Args:
        forge: the project's, open.
    """

    name = "status"
    reads = frozenset({"refresh", "logs"})

    def __init__(self, forge: DxForge) -> None:
        self._forge = forge
        self._glance = Glance(forge)
        self._looking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._told: Message | None = None
        """What all pages know; None where that is not the same."""
        self._greeted = asyncio.Event()
        self._acts: dict[str, asyncio.Task[None]] = {}

    # -- what pages ask ---------------------------------------------------------------------------------------------

    async def handle(self, op: str, args: Mapping[str, Any]) -> Message:
        """See `Topic`. "hello" and "refresh": everything, looked at now."""
        match op:
            case "hello" | "refresh":
                self._glance.forget(*Part)
                state = await self._look()
                if not self._greeted.is_set():
                    self._told = state
                elif self._told is not None and not same(state, self._told):
                    self._told = None  # pages differ in what they know: the next look is told to all
                self._greeted.set()
                self._wake.set()
                return {"state": state}
            case "tool":
                return await self._tool(text_of(args, "name"), text_of(args, "do"))
            case "logs":
                lines = args.get("lines", _LOG_LINES)
                if not isinstance(lines, int) or not 0 < lines <= _MOST_LINES:
                    raise UsageError(f"not between 1 and {_MOST_LINES} lines", where="lines", hint="Ask for 200")
                return {"text": await asyncio.to_thread(self._logs, text_of(args, "name"), lines)}
            case "task":
                await asyncio.to_thread(self._task, args.get("id"), text_of(args, "do"))
                return {}
            case _:
                raise UsageError("this panel knows nothing of the kind", where=op, hint="Reload the page")

    async def _tool(self, name: str, do: str) -> Message:
        tools = self._forge.orchestrator
        await asyncio.to_thread(tools.status, name)  # whether there is such a tool
        if do not in ("start", "stop", "restart"):
            raise UsageError("a tool can be started, stopped and restarted", where=do)
        if do != "stop":
            definition = tools.get_tool(name)
            await asyncio.to_thread(tools.resolve_binary, definition)
        before = self._acts.pop(name, None)
        act: Coroutine[Any, Any, object]
        match do:
            case "start":
                act = tools.ensure_running(name)
            case "stop":
                act = tools.stop(name)
            case _:
                act = tools.restart(name)
        self._acts[name] = asyncio.create_task(self._see_through(name, do, act, before))
        return {}

    async def _see_through(
        self, name: str, do: str, act: Coroutine[Any, Any, object], before: asyncio.Task[None] | None
    ) -> None:
        """Wait for what was begun; its progress shows in the tool's state, and what does not is kept beside it."""
        self._glance.troubles.pop(name, None)
        if before is not None and not before.done():
            # The orchestrator takes them in the order in which they are asked for; only the wait for one ends here.
            before.cancel()
        try:
            await act
        except DxForgeError as error:
            self._glance.troubles[name] = f"{do}: {error.what}"
        finally:
            self._glance.forget(Part.TOOLS)
            self._wake.set()

    def _logs(self, name: str, lines: int) -> str:
        found = self._forge.orchestrator.logs(name, tail=lines)
        return "\n".join(self._glance.shown(line, _LINE_CHARS) for line in found)

    def _task(self, id: object, do: str) -> None:
        worker = self._forge.background_worker
        if not isinstance(id, int) or do not in ("retry", "cancel"):
            raise UsageError("a task can be retried or cancelled, by its number", where=f"{do} {id!r:.20}")
        if do == "retry":
            worker.retry(id)
        else:
            worker.cancel(id)
        self._glance.forget(Part.TASKS)

    # -- what changes -----------------------------------------------------------------------------------------------

    async def watch(self, push: Push) -> None:
        """See `Topic`."""
        loop = asyncio.get_running_loop()
        pid = os.getpid()

        def heard(event: Event) -> None:
            parts = _concerns(event)
            if parts and os.getpid() == pid:  # a forked child has our listeners, and not our loop
                self._glance.forget(*parts)
                with contextlib.suppress(RuntimeError):  # the loop has just ended
                    loop.call_soon_threadsafe(self._wake.set)

        unsubscribe = self._forge.events.subscribe(heard)
        self._glance.forget(Part.TOOLS, Part.TASKS)
        try:
            await self._greeted.wait()  # before, no page knows anything that could change
            while True:
                self._wake.clear()
                begun_s = loop.time()
                state = await self._look()
                took_s = loop.time() - begun_s
                if self._told is None or not same(state, self._told):
                    self._told = state
                    push({"state": state})
                pause_s = max(SHORTEST_S, took_s)
                await asyncio.sleep(pause_s)
                wait_s = max(SAMPLE_S if self._glance.tools_run else LOOK_S, SHARE * took_s)
                with contextlib.suppress(TimeoutError):
                    # Not `wait_for`: until Python 3.12 it swallows a cancellation that comes at the same moment.
                    async with asyncio.timeout(wait_s - pause_s):
                        await self._wake.wait()
                if self._glance.tools_run:
                    self._glance.forget(Part.TOOLS)
        finally:
            unsubscribe()

    async def _look(self) -> Message:
        async with self._looking:
            return await asyncio.to_thread(self._glance.look, time.time())

    async def close(self) -> None:
        """See `Topic`. What was begun goes on with the orchestrator; only the waiting for it ends."""
        acts, self._acts = list(self._acts.values()), {}
        for act in acts:
            act.cancel()
        await asyncio.gather(*acts, return_exceptions=True)


def _concerns(event: Event) -> Iterable[Part]:
    """Which parts an event says something about."""
    from dxforge_nb.panels.registry import CellRan

    match event:
        case ToolChanged():
            return (Part.TOOLS,)
        case TaskChanged():
            return (Part.TASKS, Part.SNAPSHOT)
        case TaskProgressed():
            return (Part.TASKS,)
        case CellRan():
            return (Part.PACKAGES,)
        case Progress(phase="apply") if event.done == event.total:
            return (Part.PACKAGES,)
        case _:
            return ()
