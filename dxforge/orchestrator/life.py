"""A tool from the wish that it runs until it is over: started or joined, probed, started again, given up.

What is wanted of a tool is the actor's (``actor.py``), which cancels a life that is wanted no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dxforge.config.model import RestartConfig
from dxforge.errors import DxForgeError, ToolError, ToolStartError, UnknownToolError
from dxforge.orchestrator import lastword, lookup, policy, ports, probe
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.logs import Ring, replay
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.process import Ended, Launch, Launcher, Process, start_lock
from dxforge.orchestrator.said import Search, was_said
from dxforge.orchestrator.status import ToolState, ToolStatus

TAIL_LINES = 20
_READY = frozenset({ToolState.RUNNING.value, ToolState.HEALTHY.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What the lives of all tools of a session share. ``folder`` is ``.dx/tools``."""

    root: Path
    folder: Path
    launcher: Launcher
    pace: Pace
    definition: Callable[[str], DxToolDefinition]
    chance: Callable[[], float]


class Tell(Protocol):
    """Hears each status of a life; with an ``error``, whoever waits for the tool to become ready waits in vain."""

    def __call__(self, status: ToolStatus, error: DxForgeError | None = None) -> None: ...


class Life:
    """One life. ``run`` it in a task; cancelled at any time, ``process`` is what is left of it, for the actor to end.

    Args:
        name: the tool's.
        common: what all lives share.
        keep: whether the tool goes on without an owner; None: as its definition says.
        tell: hears each status.
    """

    def __init__(self, name: str, common: Common, *, keep: bool | None, tell: Tell) -> None:
        self.process: Process | None = None
        self.definition: DxToolDefinition | None = None
        """Of what runs, as far as this session knows."""
        self.keep = keep
        self.restarts = 0
        self.ring = Ring()
        self._name = name
        self._common = common
        self._folder = common.folder / name
        self._tell = tell
        self._mark = read_mark(self._folder)
        self._restart = RestartConfig()
        self._joined = False
        self._was_ready = False
        self._status = ToolStatus(ToolState.STOPPED)
        self._seen = ""
        self._late: asyncio.TimerHandle | None = None
        self._said = asyncio.Event()
        self._search = Search("")
        self._log_from = (0, 0)

    async def run(self) -> None:
        """Keep the tool running as its definition says; returns when it is over, after the last ``tell``."""
        again: policy.Again | None = None
        while True:
            failure: ToolError | None = None
            ended: Ended | None = None
            self._was_ready = False
            began_s = time.monotonic()
            try:
                definition, process = await self._begin(first=again is None)
                began_s = time.monotonic()
            except _StoppedElsewhereError:
                self._stopped_elsewhere()
                return
            except DxForgeError as error:
                if again is None or not isinstance(error, ToolError) or isinstance(error, UnknownToolError):
                    self._over(ToolState.DEGRADED, error.what, error)
                    return
                failure = error
            else:
                ended = await self._watch(definition, process)
                self.process = None
                if ended.asked:
                    if not self._comes_back():
                        self._stopped_elsewhere()
                        return
                    again = policy.Again(delay_s=0.0, in_a_row=0)
                    continue
            again = self._after(ended, failure, time.monotonic() - began_s, again.in_a_row if again else 0)
            if again is None:
                return
            await asyncio.sleep(again.delay_s)
            self.restarts += 1

    def be_patient(self) -> None:
        """Somebody waits for it: give it the time of a start (again) to become healthy."""
        if self._late is None and self.definition is not None and self.definition.health is not None:
            patience_s = policy.startup_s(self.definition.health, self._common.pace)
            self._late = asyncio.get_running_loop().call_later(patience_s, self._too_late, patience_s)

    @property
    def stopping(self) -> bool:
        """Whether its process is on its way out, whoever asked for that."""
        return self.process is not None and self.process.stopping

    @property
    def _starting(self) -> bool:
        return self._status.state is ToolState.STARTING

    # ----------------------------------------------------------------------------------------------------- start
    async def _begin(self, *, first: bool) -> tuple[DxToolDefinition, Process]:
        """Start the tool, or join it where another session has."""
        definition = self._common.definition(self._name)
        self._show(ToolState.STARTING, None, "" if first else "starting again")
        async with start_lock(self._folder):
            if not first and self._new_mark() == "stop":
                raise _StoppedElsewhereError
            self.definition, self._restart = definition, definition.restart
            self.ring = Ring()
            self._said.clear()
            self._search = Search(definition.health.log if definition.health else "")
            process = await self._common.launcher.attach(self._folder, owner=True, on_output=self._take)
            self._joined = process is not None
            lastword.forget(self._folder)
            if process is None:
                launch = self._launch(definition)
                await ports.refuse_taken(self._name, definition.health)
                self._log_from = _end_of_log(self._folder)
                process = await self._common.launcher.start(launch, on_output=self._take)
            self.process = process
        if self._joined:
            replay(self._folder, self.ring, mark=process.log_mark, lines=TAIL_LINES)
            inode, size_bytes = process.board.get("log_from", (0, 0))
            self._log_from = inode, size_bytes
            if self.keep is not None and self.keep != process.keeps:
                process.keep(keep=self.keep)
        return definition, process

    def _launch(self, definition: DxToolDefinition) -> Launch:
        root, keep = self._common.root, self.keep
        return Launch(
            argv=(str(lookup.find_binary(definition, root, os.environ)), *definition.args),
            cwd=str(root / definition.cwd),
            env=lookup.make_environment(definition, root, os.environ),
            stop_signal=signal_number(definition.stop.signal),
            grace_s=definition.stop.grace_s,
            keep=definition.on_owner_exit == "keep" if keep is None else keep,
            folder=self._folder,
            shared=True,
            digest=definition.digest(),
            name=self._name,
        )

    # ----------------------------------------------------------------------------------------------------- watch
    async def _watch(self, definition: DxToolDefinition, process: Process) -> Ended:
        """While the process is there: probe it, and say how it stands."""
        self._seen = ""
        self._show(ToolState.STARTING, process.pid, "")
        if process.stopping:
            return await process.wait()  # we came too late to join it: the next one is ours
        self.be_patient()
        process.on_board = self._board_changed
        try:
            async with asyncio.TaskGroup() as group:
                probing = group.create_task(self._probe(definition, process))
                ended = await process.wait()
                probing.cancel()
        finally:
            self._end_patience()
        return ended

    async def _probe(self, definition: DxToolDefinition, process: Process) -> None:
        health, pace = definition.health, self._common.pace
        ready = ToolState.RUNNING if health is None else ToolState.HEALTHY
        healthy = self._joined and process.board.get("state") in _READY
        if health is not None and not health.log and not {*process.owner_pids} - {os.getpid()}:
            healthy = False  # nobody has looked since its last owner went
        if healthy:
            self.restarts = max(self.restarts, int(process.board.get("restarts", 0)))
            self._show(ready, process.pid, "")
        if health is None or health.log:
            # Nothing more to see later on: its end is told by the process.
            if not healthy:
                await (asyncio.sleep(pace.settle_s) if health is None else self._until_said(health.log))
                self._show(ready, process.pid, "")
            return
        tries = failed_in_a_row = 0
        while True:
            began_s = time.monotonic()
            seen = await probe.check(health, lambda program: self._execute(program, definition))
            failed_in_a_row = 0 if seen.ok else failed_in_a_row + 1
            healthy = policy.is_healthy(was=healthy, answered=seen.ok, failed_in_a_row=failed_in_a_row, health=health)
            self._seen = seen.detail
            if healthy:
                self._show(ToolState.HEALTHY, process.pid, "")
            else:
                state = ToolState.STARTING if self._starting else ToolState.DEGRADED
                self._show(state, process.pid, f"{probe.describe(health)}: {seen.detail}")
            pause_s = policy.probe_delay_s(tries, health, pace) if self._starting else health.interval_s
            tries += 1
            await asyncio.sleep(max(0.0, began_s + pause_s - time.monotonic()))

    async def _until_said(self, text: str) -> None:
        # It may have been said while no session was there, as after an interrupt of the one that had started it.
        if not (self._joined and await asyncio.to_thread(was_said, self._folder, self._log_from, text)):
            await self._said.wait()

    async def _execute(self, program: tuple[str, ...], definition: DxToolDefinition) -> tuple[int, str]:
        """Run the program of an exec probe: in the tool's environment and folder, and killed when it takes too long."""
        root = self._common.root
        try:
            found = lookup.find_program(program[0], root, os.environ)
        except LookupError as error:
            raise ToolError(str(error.args[0])) from None
        output = Ring()

        def take(_stream: str, piece: bytes) -> None:
            output.feed(piece)

        launch = Launch(
            argv=(str(found), *program[1:]),
            cwd=str(root / definition.cwd),
            env=lookup.make_environment(definition, root, os.environ),
            grace_s=0.0,
            folder=None,
            shared=False,
            name=self._name,
        )
        process = await self._common.launcher.start(launch, on_output=take)
        try:
            ended = await process.wait()
        finally:
            with contextlib.suppress(ToolError):
                await asyncio.shield(process.stop(grace_s=0.0))
        return ended.exit_code, " ".join(output.tail(1))

    def _too_late(self, patience_s: float) -> None:
        self._late = None
        process, definition = self.process, self.definition
        if process is None or definition is None:
            return
        saw = self._seen or ("no such line" if definition.health and definition.health.log else "no answer yet")
        what = f"not healthy after {patience_s:g} s: {probe.describe(definition.health)}: {saw}"
        self._show(ToolState.DEGRADED, process.pid, what, error=self._start_error(what, None))

    def _end_patience(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _board_changed(self, board: Mapping[str, Any]) -> None:
        # A line of output may have come before this session joined.
        if board.get("state") in _READY:
            self._said.set()
        if self.stopping:
            self._show(self._status.state, self._status.pid, "stopping")

    def _take(self, _stream: str, piece: bytes) -> None:
        self.ring.feed(piece)
        if not self._said.is_set() and self._search.feed(piece):
            self._said.set()

    # ------------------------------------------------------------------------------------------------------- end
    def _after(
        self, ended: Ended | None, failure: ToolError | None, lived_s: float, in_a_row: int
    ) -> policy.Again | None:
        """What follows an end that nobody asked for; None: it is over."""
        exit_code = ended.exit_code if ended is not None else None
        decision = policy.after_exit(
            self._restart,
            exit_code=exit_code,
            ready=self._was_ready,
            lived_s=lived_s,
            in_a_row=in_a_row,
            chance=self._common.chance(),
            pace=self._common.pace,
        )
        why = _details(ended, failure)
        if isinstance(decision, policy.Over):
            reason = f"{decision.reason}{why}"
            error = self._start_error(reason, exit_code)
            self._over(ToolState.DEGRADED if decision.failed else ToolState.STOPPED, reason, error)
            return None
        self._show(
            ToolState.STARTING,
            None,
            f"{policy.exit_reason(exit_code)}{why}; starts again in {decision.delay_s:.1f} s"
            f" (restart {decision.in_a_row} of {self._restart.max})",
        )
        return decision

    def _comes_back(self) -> bool:
        """After a stop that was asked for elsewhere: whether this session runs it again.

        It does when the other session restarts it, and when this one has joined a tool that was on its way out.
        """
        mark = self._new_mark()
        return mark == "restart" or (not mark and self._joined and not self._was_ready)

    def _new_mark(self) -> str:
        """What another session has asked for since we looked last: "stop", "restart" or nothing."""
        before, self._mark = self._mark, read_mark(self._folder)
        return self._mark.partition(" ")[0] if self._mark != before else ""

    # ------------------------------------------------------------------------------------------------------ tell
    def _show(self, state: ToolState, pid: int | None, detail: str, *, error: DxForgeError | None = None) -> None:
        status = ToolStatus(state, pid, "stopping" if self.stopping and pid is not None else detail)
        if status == self._status and error is None:
            return
        self._status = status
        if status.up:
            self._was_ready = True
            self._end_patience()
        self._tell(status, error)
        if self.process is not None and pid is not None and not self.stopping:
            board = {
                "state": state.value,
                "detail": detail,
                "restarts": self.restarts,
                "log_from": [*self._log_from],
            }
            if self.process.board != board and not (self._joined and state is ToolState.STARTING):
                self.process.post(board)

    def _over(self, state: ToolState, reason: str, error: DxForgeError | None) -> None:
        status = ToolStatus(state, None, reason)
        lastword.write(self._folder, status)
        self._tell(status, error or self._start_error(reason, None))

    def _stopped_elsewhere(self) -> None:
        reason = "stopped by another session"
        self._tell(ToolStatus(ToolState.STOPPED, None, reason), self._start_error(reason, None))

    def _start_error(self, what: str, exit_code: int | None) -> ToolStartError:
        return ToolStartError(
            what,
            tool=self._name,
            log_tail=tuple(self.ring.tail(TAIL_LINES)),
            exit_code=exit_code,
            hint=f"Look at its output with `dxforge logs {self._name}`",
        )


class _StoppedElsewhereError(Exception):
    """Another session has stopped the tool while it was between two lives."""


def _end_of_log(folder: Path) -> tuple[int, int]:
    """How far a tool's log goes: inode number and size in bytes; (0, 0) where there is none."""
    try:
        status = (folder / "log").stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size


def _details(ended: Ended | None, failure: ToolError | None) -> str:
    if failure is not None:
        return f": {failure.what}"
    if ended is None:
        return ""
    left = f", leaving {ended.survivors} process{'es' if ended.survivors > 1 else ''} behind" if ended.survivors else ""
    return f"{left}{f' ({ended.fault})' if ended.fault else ''}"


def signal_number(name: str) -> int:
    """The number of a signal; TERM's where this system does not have it."""
    return int(getattr(signal, name, signal.SIGTERM))


def read_mark(folder: Path) -> str:
    """What was last asked for by hand, in whatever session: "stop …" or "restart …", another text each time."""
    try:
        return (folder / "asked").read_text("ascii")
    except (OSError, ValueError):
        return ""


def write_mark(folder: Path, kind: Literal["stop", "restart"]) -> None:
    """Tell other sessions what is asked for here; for those that are between two lives of the tool, the only way."""
    if not folder.is_dir():
        return  # never started, by nobody
    temporary = folder / f"asked.{uuid.uuid4().hex}"
    # Where the disk is full, the stop itself still tells all sessions whose tool runs.
    with contextlib.suppress(OSError):
        try:
            temporary.write_text(f"{kind} {uuid.uuid4().hex}", "ascii")
            temporary.replace(folder / "asked")
        finally:
            temporary.unlink(missing_ok=True)
