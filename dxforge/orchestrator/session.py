"""What an orchestrator has running: the thread, the launcher, and an actor for each tool."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from dxforge.errors import DxForgeError, ToolStartError, ToolStopError
from dxforge.orchestrator import graph
from dxforge.orchestrator.actor import Actor
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.life import Common
from dxforge.orchestrator.runtime import Runtime
from dxforge.orchestrator.status import ToolStatus

T = TypeVar("T")
Definitions = Mapping[str, DxToolDefinition]

_SLACK_S = 10.0
"""What a stop may take beyond the grace time: the guard needs at most 5 s to tell that something withstands KILL."""


class Session:
    """Made at first need, gone with `close`. Its coroutines run on the runtime's loop, everything else anywhere.

    Args:
        common: what all tools share.
        changed: hears each change of a tool's status, on the runtime's thread.
    """

    def __init__(self, common: Common, changed: Callable[[str, ToolStatus, ToolStatus], None]) -> None:
        self.common = common
        self.runtime = Runtime()
        self.actors: dict[str, Actor] = {}
        self._changed = changed
        self._turns = itertools.count(1)
        self._work: set[asyncio.Task[Any]] = set()

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]], *, patient: bool = True) -> T:
        """`Runtime.call`; what is still at work when the session is closed is cancelled first."""

        async def tracked() -> T:
            task = asyncio.current_task()
            if task is not None:
                self._work.add(task)
                task.add_done_callback(self._work.discard)
            return await work()

        return await self.runtime.call(tracked, patient=patient)

    def turn(self, changing: Iterable[str] = ()) -> int:
        """A request's place in the order in which requests were made, from any thread.

        What runs of the tools ``changing`` is not handed out any more to whoever asks after this.
        """
        for name in changing:
            if name in self.actors:
                self.actors[name].ready = None
        return next(self._turns)

    def actor(self, name: str) -> Actor:
        """The tool's actor."""
        if name not in self.actors:
            self.actors[name] = Actor(name, self.common, self._changed)
        return self.actors[name]

    async def bring_up(
        self, names: Iterable[str], needed: Definitions, *, keep: bool | None, turn: int
    ) -> dict[str, ToolStatus]:
        """Have ``names`` running and ready, and before them what they need: all that can start at once does.

        Args:
            names: what is asked for.
            needed: the definitions of those and of all that they need.
            keep: as ``Orchestrator.ensure_running`` says.
            turn: the request's.

        Raises:
            DxForgeError: of the first of ``names`` that cannot be had; notes name the others.
        """
        asked = list(dict.fromkeys(names))
        failed: dict[str, DxForgeError] = {}
        found: dict[str, ToolStatus] = {}

        async def start(name: str) -> None:
            broken = next((other for other in needed[name].dependencies if other in failed), None)
            if broken is not None:
                failed[name] = _dependency_failed(name, broken, failed[broken])
                return
            try:
                # What is kept needs what it depends on to be kept as well.
                found[name] = await self.actor(name).ensure(turn, keep=keep if keep or name in asked else None)
            except DxForgeError as error:
                failed[name] = error

        waiting = graph.sorter(needed)
        running: dict[asyncio.Task[None], str] = {}
        try:
            while waiting.is_active():
                groups = list(graph.by_priority(waiting.get_ready(), needed))
                for group in groups:
                    started = {asyncio.create_task(start(name)): name for name in group}
                    running.update(started)
                    if group is not groups[-1]:
                        await asyncio.gather(*(self._begun(task, name) for task, name in started.items()))
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                    waiting.done(running.pop(task))
        finally:
            await _end(running)
        for name in asked:
            if name in failed:
                for other in asked:
                    if other in failed and other != name:
                        failed[name].add_note(f"And: {failed[other]}")
                raise failed[name]
        return {name: found[name] for name in asked}

    async def stop(self, names: Iterable[str], definitions: Definitions, *, turn: int) -> dict[str, ToolStatus]:
        """Stop ``names``, dependents first, whoever started them.

        Raises:
            ToolStopError: something of one of them withstands KILL; the others are stopped all the same.
        """
        found: dict[str, ToolStatus] = {}
        failed: list[DxForgeError] = []
        for wave in self._backward(names, definitions):
            for name, outcome in zip(wave, await _all(self.actor(name).stop(turn) for name in wave), strict=True):
                if isinstance(outcome, DxForgeError):
                    failed.append(outcome)
                else:
                    found[name] = outcome
        if failed:
            raise failed[0]
        return found

    async def close(self, definitions: Definitions) -> None:
        """Cancel what is at work, leave every tool, dependents first, and end the thread. May be called more than once.

        Raises:
            ToolStopError: something of a tool that was to be stopped withstands KILL.
        """
        failed: list[DxForgeError] = []

        async def last() -> None:
            try:
                await _end(self._work)
                for wave in self._backward(self.actors, definitions):
                    failed.extend(await self._leave(wave))
            finally:
                await self.common.launcher.close()

        await self.runtime.close(last)
        if failed:
            raise failed[0]

    async def _leave(self, wave: list[str]) -> list[DxForgeError]:
        lives = [self.actors[name].life for name in wave]
        graces_s = [life.definition.stop.grace_s for life in lives if life is not None and life.definition is not None]
        try:
            async with asyncio.timeout(max(graces_s, default=0.0) + _SLACK_S):
                outcomes = await _all(self.actors[name].leave() for name in wave)
        except TimeoutError:
            # When the launcher lets go of them, their guards go on trying.
            left = ", ".join(name for name in wave if self.actors[name].life is not None)
            return [
                ToolStopError(
                    "it could not be stopped in time", tool=left, hint="Its guard goes on trying; look at it with ps"
                )
            ]
        return [outcome for outcome in outcomes if isinstance(outcome, DxForgeError)]

    def _backward(self, names: Iterable[str], definitions: Definitions) -> list[list[str]]:
        """``names`` in waves, dependents first; before all, those that have no definition any more."""
        names = set(names)
        try:
            waves = graph.waves({name: definitions[name] for name in names if name in definitions})
        except DxForgeError:
            waves = [[name for name in sorted(names) if name in definitions]]  # dx.toml has got a circle meanwhile
        unknown = sorted(name for name in names if name not in definitions)
        return [wave for wave in (unknown, *reversed(waves)) if wave]

    async def _begun(self, task: asyncio.Task[None], name: str) -> None:
        """Until the tool's process is there, or will not be."""
        begun = asyncio.create_task(self.actor(name).begun())
        try:
            await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end({begun})


async def _all(work: Iterable[Coroutine[Any, Any, ToolStatus]]) -> list[ToolStatus | DxForgeError]:
    """Do it all at once; gives results and errors in order."""
    outcomes: list[ToolStatus | DxForgeError] = []
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, DxForgeError):
            raise outcome
        outcomes.append(outcome)
    return outcomes


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait until they have cleaned up."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


def _dependency_failed(name: str, dependency: str, cause: DxForgeError) -> ToolStartError:
    error = ToolStartError(
        f"its dependency {dependency} is not ready: {cause.what}",
        tool=name,
        hint=cause.hint,
        log_tail=cause.log_tail if isinstance(cause, ToolStartError) else (),
        exit_code=cause.exit_code if isinstance(cause, ToolStartError) else None,
    )
    error.__cause__ = cause
    return error
