"""One tool of a session: what is wanted of it, and who waits for that."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from dxforge.errors import DxForgeError, ToolStartError
from dxforge.orchestrator import lastword
from dxforge.orchestrator.life import Common, Life, write_mark
from dxforge.orchestrator.process import Process, start_lock
from dxforge.orchestrator.status import ToolState, ToolStatus

T = TypeVar("T")

_log = logging.getLogger("dxforge")


class Wish(Enum):
    """What is wanted of a tool."""

    UP = auto()
    DOWN = auto()
    LEFT = auto()
    """This session needs it no longer; whether it goes on is for others to say."""


class Actor:
    """Makes what is wanted of one tool so, one thing at a time. Lives on the runtime's loop.

    Requests only say what is wanted and wait; ``_direct``, the one task that acts, ends the life that is not wanted
    before it begins another. So any number of requests at any moment end in the last one's wish, and each caller hears
    how its own went. Cancelling a request ends the wait and nothing else.

    Args:
        name: the tool's.
        common: what all tools share.
        changed: hears each change of ``status``: before, after.

    Attributes:
        status: how it stands, for any thread to read.
        ready: the same while others may use it, else None.
        life: what makes it run, None while nothing does.
    """

    def __init__(self, name: str, common: Common, changed: Callable[[str, ToolStatus, ToolStatus], None]) -> None:
        self.name = name
        self.status = ToolStatus(ToolState.STOPPED)
        self.ready: ToolStatus | None = None
        self.life: Life | None = None
        self._common = common
        self._changed = changed
        self._wish = Wish.DOWN
        self._keep: bool | None = None
        self._others = False
        self._stuck = False
        self._runs_on = False
        self._started_at = self._stopped_at = 0
        self._living: asyncio.Task[None] | None = None
        self._fresh = False
        self._poke = asyncio.Event()
        self._up: Promise[ToolStatus] = Promise()
        self._down: Promise[ToolStatus] = Promise()
        self._begun: Promise[None] = Promise()
        self._task = asyncio.get_running_loop().create_task(self._direct())

    @property
    def engaged(self) -> bool:
        """Whether this session has a say about it: it runs, or is to run."""
        return self._wish is Wish.UP or self.life is not None

    # -------------------------------------------------------------------------------------------------- requests
    # Requests come with the turn in which they were made. On their way here one may overtake another, for instance
    # while it waits for what the tool depends on: the one that was made last holds.

    async def ensure(self, turn: int, *, keep: bool | None = None) -> ToolStatus:
        """Have it run, and wait until it is ready.

        Raises:
            ToolStartError: it cannot be started, did not become ready, or was stopped by a later request.
        """
        self._start_at(turn)
        if keep is not None:
            self._keep = keep
            if self.life is not None:
                self.life.keep = keep
                if self.life.process is not None:
                    self.life.process.keep(keep=keep)
        if self.ready is not None:
            return self.ready
        if self._wish is not Wish.UP:
            self._want(Wish.UP, keep=keep)
        elif self.life is not None and self.life.stopping:
            if self._fresh:  # another session stops it, and this is asked for after that
                self._want(Wish.UP, keep=keep)
        elif self.life is not None and self.status.state is ToolState.DEGRADED:
            self.life.be_patient()
        return await self._up.wait()

    async def begun(self) -> None:
        """Until its process is there, ready or not; or it is clear that there will be none."""
        if self.status.pid is None:
            await self._begun.wait()

    async def restart(self, turn: int) -> ToolStatus:
        """Stop what runs, whoever started it, and have it run anew; waits until it is ready.

        Raises:
            ToolStartError: as `ensure`.
            ToolStopError: something of it withstands KILL.
        """
        self._start_at(turn)
        write_mark(self._common.folder / self.name, "restart")
        self._others = True
        self._want(Wish.UP)
        return await self._up.wait()

    async def stop(self, turn: int) -> ToolStatus:
        """Stop what runs, whoever started it; wins over every restart. Done when no process of it is left.

        Raises:
            ToolStopError: something of it withstands KILL.
        """
        if turn < self._started_at:
            return self.status  # it was started again since
        self._stopped_at = turn
        write_mark(self._common.folder / self.name, "stop")
        self._others = True
        self._want(Wish.DOWN)
        return await self._down.wait()

    async def leave(self) -> ToolStatus:
        """Need it no longer, and end the actor.

        Raises:
            ToolStopError: it was to be stopped, and something of it withstands KILL.
        """
        self._want(Wish.LEFT)
        return await self._down.wait()

    def _start_at(self, turn: int) -> None:
        if turn < self._stopped_at:
            raise self._stopped_first()
        self._started_at = max(turn, self._started_at)

    def _stopped_first(self) -> ToolStartError:
        hint = "Start it again, if that was not meant"
        return ToolStartError("it was stopped before it was ready", tool=self.name, hint=hint)

    def _want(self, wish: Wish, *, keep: bool | None = None) -> None:
        self._wish = wish
        self._keep = keep
        self._fresh = self._stuck = False
        self.ready = None
        if wish is not Wish.UP:
            self._up.settle(self._stopped_first())
        if self.life is not None:
            state = ToolState.STARTING if wish is Wish.UP else self.status.state
            self._set(ToolStatus(state, self.status.pid, "restarting" if wish is Wish.UP else "stopping"))
        self._poke.set()

    # ---------------------------------------------------------------------------------------------------- acting
    async def _direct(self) -> None:
        """Bring about what is wanted, again and again, until the session leaves the tool."""
        while True:
            await self._poke.wait()
            self._poke.clear()
            try:
                if self.life is not None and not self._fresh:
                    await self._end_life(self.life)
                if self._others:
                    self._others = False
                    await self._stop_others()
            except DxForgeError as error:
                self._cannot_stop(error)
            except Exception as error:  # noqa: BLE001 - logged, told to who waits
                # A fault of ours must not leave a tool that obeys nobody any more.
                _log.exception("stopping the tool %s failed", self.name)
                self._cannot_stop(_broken(self.name, error))
            # Without an await from here on: what is wanted now is what is done.
            if self.life is None:
                if self._wish is Wish.DOWN and not self._stuck:
                    lastword.forget(self._common.folder / self.name)
                self._down.settle(ToolStatus(ToolState.STOPPED))
                if self._wish is Wish.UP:
                    self._begin_life()
                elif not self._stuck and not self._runs_on:
                    self._set(ToolStatus(ToolState.STOPPED))
            if self._wish is Wish.LEFT:
                return

    def _begin_life(self) -> None:
        self.life = life = Life(self.name, self._common, keep=self._keep, tell=self._hear)
        self._fresh = True
        self._living = asyncio.get_running_loop().create_task(self._live(life))

    async def _live(self, life: Life) -> None:
        try:
            await life.run()
        except Exception as error:  # noqa: BLE001 - logged, told to who waits
            # A fault of ours must not leave a tool that nobody watches.
            _log.exception("supervising the tool %s failed", self.name)
            self._hear(
                ToolStatus(ToolState.DEGRADED, None, f"supervising it failed: {error!r}"), _broken(self.name, error)
            )
            if life.process is not None:
                with contextlib.suppress(DxForgeError):
                    await life.process.stop()
        self.life = None
        if self._fresh:
            self._wish = Wish.DOWN

    async def _end_life(self, life: Life) -> None:
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait([self._living])
        process = life.process
        if process is not None and self._wish is Wish.LEFT:
            # What goes on without us has not stopped, so nothing is told.
            self._runs_on = await process.leave()
        elif process is not None:
            self._keep_on(process)
            await process.stop()
            # There was only that one, and what another session makes of a restart meanwhile is not to be stopped.
            self._others = False
        self.life = None

    async def _stop_others(self) -> None:
        folder = self._common.folder / self.name
        if not folder.is_dir():
            return  # never started
        # Under the lock, for one that is just being started again comes first and is seen, or sees our mark.
        async with start_lock(folder):
            process = await self._common.launcher.attach(folder, owner=False, on_output=lambda *_: None)
        if process is not None:
            self._keep_on(process)
            await process.stop()

    def _keep_on(self, process: Process) -> None:
        # What is restarted is kept as it was.
        if self._wish is Wish.UP and self._keep is None:
            self._keep = process.keeps

    def _cannot_stop(self, error: DxForgeError) -> None:
        """Something of it withstands KILL: nothing new may be started beside it."""
        self.life = None
        self._stuck = True
        if self._wish is Wish.UP:
            self._wish = Wish.DOWN
        self._set(ToolStatus(ToolState.DEGRADED, self.status.pid, error.what))
        self._up.settle(error)
        self._down.settle(error)

    def _hear(self, status: ToolStatus, error: DxForgeError | None = None) -> None:
        if not self._fresh:
            return  # of a life that is not wanted any more
        ready = status.up and not (self.life is not None and self.life.stopping)
        self.ready = status if ready else None
        self._set(status)
        if ready:
            self._up.settle(status)
        elif error is not None:
            self._up.settle(error)

    def _set(self, status: ToolStatus) -> None:
        if status != self.status:
            before, self.status = self.status, status
            if status.pid is not None or status.state is not ToolState.STARTING:
                self._begun.settle(None)
            self._changed(self.name, before, status)


class Promise(Generic[T]):
    """Something that any number of callers wait for; each hears the next outcome after it came."""

    def __init__(self) -> None:
        self._future: asyncio.Future[T | DxForgeError] | None = None

    async def wait(self) -> T:
        """The next outcome; cancelled, the others wait on.

        Raises:
            DxForgeError: when that is the outcome.
        """
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        outcome = await asyncio.shield(self._future)
        if isinstance(outcome, DxForgeError):
            # A copy for each, or their tracebacks would pile up on one another.
            raise copy.copy(outcome) from outcome.__cause__
        return outcome

    def settle(self, outcome: T | DxForgeError) -> None:
        """Tell all who wait."""
        future, self._future = self._future, None
        if future is not None:
            future.set_result(outcome)


def _broken(name: str, error: Exception) -> ToolStartError:
    return ToolStartError(
        f"supervising it failed: {error!r}", tool=name, hint="This is a fault of dxforge; the log of dxforge has more"
    )
