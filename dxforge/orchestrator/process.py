"""Processes of tools, as a session sees them: started under a guard, joined, watched, stopped.

All of it is used on one event loop. ``Launcher`` starts and joins, ``Process`` is one life of a tool; who a process is
and whether it still is stands in ``record.py``, what runs in the guard in ``guard/``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dxforge.errors import ToolError, ToolStopError
from dxforge.orchestrator.connection import Connection
from dxforge.orchestrator.launcher import GuardForks, encode_order, lost_guard, refusal
from dxforge.orchestrator.record import RunRecord, guard_lives, peek, start_lock, sweep_session

_START_TRIES = 3
_ABANDON_S = 10.0
_ATTACH_S = 10.0
_POLL_S = 0.02

OnOutput = Callable[[str, bytes], None]
"""Called with "stdout" or "stderr" and a piece of any size. Must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is started, and how it is ended."""

    argv: tuple[str, ...]
    """``argv[0]`` is the program's path. Any bytes, as ``os.fsdecode`` gives them, but NUL."""
    cwd: str
    env: Mapping[str, str] = field(hash=False)
    """The whole environment; nothing is added."""
    stop_signal: int = signal.SIGTERM
    grace_s: float = 5.0
    keep: bool = False
    """Whether it goes on when the last owner is gone."""
    folder: Path | None
    """``.dx/tools/<name>``, or for an execution ``.dx/tools/<name>/runs/<id>`` (``logs.new_run``); made where it is
    missing. None (executions only): nothing is written to disk."""
    shared: bool
    """Long-running: one log, rotated, that other sessions can join. Else an execution: stdout and stderr apart."""
    digest: str = ""
    """Of the definition, for ``RunRecord``."""
    name: str = ""
    """The tool's, for messages."""
    log_bytes: int = 2 << 20
    log_files: int = 4
    cap_bytes: int = 64 << 20
    """Of each stream of an execution; of more, the beginning and the last half MiB are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended. Nothing that it started is left."""

    exit_code: int
    """-N: signal N."""
    asked: bool
    """Some session asked for the stop, or the last owner went."""
    survivors: int
    """Descendants that outlived the leader and had to be stopped."""
    cpu_s: float
    """User and system time of the tool and its descendants."""
    max_memory_bytes: int
    """Peak resident memory of the largest process; on Linux never less than the guard's own (about 10 MiB)."""
    lost_bytes: int
    """Output that is not on disk: the disk refused it, or it was in the middle of a stream beyond its cap."""
    fault: str = ""
    """Why the guard itself ended before its tool, else empty."""


class Peer(Protocol):
    """The other end: a guard, or what stands in for it."""

    def send(self, **fields: object) -> None:
        """Say something to it; when it is gone, nothing."""

    def close(self) -> None:
        """Say no more; an owner that closes is an owner that went."""


class Process:
    """One life of a tool, from the start to ``Ended``. Made by ``Launcher.start`` and ``Launcher.attach``."""

    def __init__(self, record: RunRecord, peer: Peer, standing: Mapping[str, Any]) -> None:
        self.record = record
        self.board: Mapping[str, Any] = {}
        """What owners say about it; the same for all sessions."""
        self.on_board: Callable[[Mapping[str, Any]], None] | None = None
        """Called when another session has changed the board, and when the tool has come to be ``stopping``."""
        self.keeps = False
        """Whether it goes on without an owner."""
        self.stopping = False
        """Whether it is on its way out, since a session asked for that or the last owner went."""
        self.owner_pids: tuple[int, ...] = ()
        """The processes that keep it alive."""
        self.log_mark = (0, 0)
        """How far its log went when this session joined: inode number and size in bytes (see ``logs.replay``)."""
        self.missed_bytes = 0
        """Output that came too fast to be shown here; it is on disk."""
        self._peer = peer
        self._posts = 0
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ended] = loop.create_future()
        self._left: asyncio.Future[bool] = loop.create_future()
        self._stuck: asyncio.Future[tuple[int, ...]] = loop.create_future()
        self._sweeping: asyncio.Task[None] | None = None
        self._stand(standing)
        inode, size_bytes = standing["log"]
        self.log_mark = (inode, size_bytes)

    @property
    def pid(self) -> int:
        """The tool's own process, which leads its process group."""
        return self.record.pid

    @property
    def create_time(self) -> float:
        """Seconds since the epoch, as psutil says it."""
        return self.record.create_time

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it runs, or after this session left it."""
        return self._ended.result() if self._ended.done() and self._ended.exception() is None else None

    async def wait(self) -> Ended:
        """Until nothing of it is left. May be awaited by many and cancelled freely.

        Raises:
            ToolError: this session has left it.
        """
        return await asyncio.shield(self._ended)

    async def stop(self, *, grace_s: float | None = None) -> Ended:
        """Its stop signal, after the grace time (``None``: the definition's) KILL to all descendants.

        Done when nothing is left. Asking again with less time shortens it; cancelling the call stops it all the same.

        Raises:
            ToolStopError: a process withstands KILL (another user's, or stuck in the kernel). The guard keeps trying.
            ToolError: this session has left it.
        """
        if not self._ended.done():
            self._peer.send(do="stop", grace_s=grace_s)
            either: set[asyncio.Future[Any]] = {self._ended, self._stuck}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._ended.done():
            pids = self._stuck.result()
            raise ToolStopError(
                f"process {', '.join(map(str, pids))} is still there after it was killed",
                hint="It may belong to another user, or hang in the kernel: look at it with ps",
                pids=pids,
            )
        return self._ended.result()

    async def leave(self) -> bool:
        """This session needs it no longer. True: it goes on, for other owners or because it is kept.

        False: this was the last owner, and it has been stopped. When cancelled, it is left all the same.
        """
        if self._ended.done():
            return False
        self._peer.send(do="leave")
        goes_on = await asyncio.shield(self._left)
        if goes_on:
            self._peer.close()
        else:
            await self.wait()
        return goes_on

    def post(self, board: Mapping[str, Any]) -> None:
        """Put ``board`` (what JSON can hold) up for all sessions, also those to come. Owners only."""
        self.board = board
        self._posts += 1
        self._peer.send(do="board", board=board)

    def keep(self, *, keep: bool = True) -> None:
        """From now on, let it go on without an owner, or not."""
        self.keeps = keep
        self._peer.send(do="keep", keep=keep)

    def hear(self, said: Mapping[str, Any]) -> None:
        """What the guard says; called by the connection."""
        what = said["what"]
        if what == "state":
            board = said["board"] if said["posts"] == self._posts else self.board
            before = self.board, self.stopping
            self._stand({**said, "board": board})
            if before != (self.board, self.stopping) and self.on_board is not None:
                asyncio.get_running_loop().call_soon(self.on_board, board)
        elif what == "missed":
            self.missed_bytes += said["bytes"]
        elif what == "left":
            _settle(self._left, said["goes_on"])
        elif what == "stuck":
            _settle(self._stuck, tuple(said["pids"]))
        elif what == "ended":
            fields = {key: said[key] for key in Ended.__slots__}
            self._end(Ended(**fields))

    def hang_up(self, *, lost: bool) -> None:
        """The connection is closed; called by the connection."""
        if self._ended.done():
            return
        if lost:
            # The guard did not say goodbye: it was killed. The kernel kills the tool then; the rest is ours to find.
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        else:
            gone = ToolError("this session has left it", hint="Join it again, or start it")
            self._ended.set_exception(gone)
            self._ended.exception()  # nobody may be waiting, and that is no fault

    async def _sweep(self) -> None:
        survivors = await sweep_session(self.record)
        self._end(
            Ended(
                exit_code=-signal.SIGKILL,
                asked=False,
                survivors=survivors,
                cpu_s=0.0,
                max_memory_bytes=0,
                lost_bytes=0,
                fault="its guard has hung up" if self.record.guarded else "its guard was killed",
            )
        )

    def _end(self, ended: Ended) -> None:
        self._peer.close()
        _settle(self._ended, ended)
        _settle(self._left, False)  # noqa: FBT003 - the answer to "does it go on"

    def _stand(self, standing: Mapping[str, Any]) -> None:
        self.board = standing["board"]
        self.keeps = standing["keep"]
        self.stopping = standing.get("stopping", False)  # a guard of an earlier version does not say it
        self.owner_pids = tuple(standing["owner_pids"])


_Result = TypeVar("_Result")


def _settle(future: asyncio.Future[_Result], result: _Result) -> None:
    if not future.done():
        future.set_result(result)


class Launcher:
    """One per session: starts tools, each under a guard of its own, and joins those that run already."""

    def __init__(self) -> None:
        self._forks = GuardForks()
        self._connections: set[Connection] = set()
        self._abandoned: set[asyncio.Task[None]] = set()

    async def start(self, launch: Launch, *, on_output: OnOutput) -> Process:
        """Start it; done when the program itself runs (after exec). Output may arrive before this returns.

        Hold ``start_lock`` of a shared one's folder, and try ``attach`` first: a second start there fails. Cancellation
        leaves no process: it waits (10 s at most) until what was started is gone.

        Raises:
            ToolStartError: no such program, not executable, no such folder, no descriptor or process to be had, …
        """
        if sys.platform == "win32":
            from dxforge.orchestrator import windows

            return await windows.start(launch, on_output=on_output)
        order = encode_order(launch)
        for _ in range(_START_TRIES):
            try:
                connection = await self._hand_over(order, on_output)
            except OSError as error:
                raise refusal(launch, "launcher", error.errno or 0) from error
            try:
                said = await connection.greeting
            except BaseException:
                await self._abandon(connection)
                raise
            if said is not None and said["what"] == "welcome":
                return _process(connection, said)
            connection.close()
            if said is not None and said["what"] == "failed":
                raise refusal(launch, said["stage"], said["errno"])
            if connection.hello:
                raise lost_guard(launch, said["fault"] if said is not None else "")
            self._forks.drop()  # it died with our order in its hands: no guard has seen it
        raise lost_guard(launch, "")

    async def attach(self, folder: Path, *, owner: bool, on_output: OnOutput) -> Process | None:
        """Join what runs in a tool's folder, as one of its owners or only to look on; None: nothing does.

        When cancelled, it is not joined.

        Raises:
            ToolError: its guard does not answer, or is another user's.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _ATTACH_S
        while guard_lives(folder):
            if loop.time() >= deadline:
                raise ToolError(
                    f"it runs, but its guard has not answered for {_ATTACH_S:g} s",
                    where=str(folder),
                    hint="Find the guard with fuser on the file 'alive' there, end it, then start the tool again",
                )
            process = await self._join(folder, owner, on_output, deadline)
            if process is not None:
                return process
            await asyncio.sleep(_POLL_S)  # it is just starting, or just ending
        return None

    async def close(self) -> None:
        """End the launcher process, and leave what was not left before: without waiting, like a session that dies."""
        for connection in tuple(self._connections):
            connection.close()
        if self._abandoned:
            await asyncio.wait(self._abandoned)
        await self._forks.close()

    async def _hand_over(self, order: dict[str, Any], on_output: OnOutput) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            connection = self._held(await Connection.over(ours, on_output))
            try:
                connection.send(**order)
                await self._forks.hand_over(theirs)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _join(self, folder: Path, owner: bool, on_output: OnOutput, deadline: float) -> Process | None:  # noqa: FBT001
        try:
            connection = await Connection.to_folder(folder, on_output)
        except OSError as error:
            raise ToolError(
                f"its guard cannot be reached: {(error.strerror or str(error)).lower()}",
                where=str(folder),
                hint="Stop it from the account and the machine that started it",
            ) from error
        if connection is None:
            return None
        self._held(connection)
        process = None
        try:
            connection.send(do="join", owner=owner, pid=os.getpid())
            async with asyncio.timeout_at(deadline):
                said = await connection.greeting
            if said is not None and said["what"] == "welcome":
                process = _process(connection, said)
        except TimeoutError:
            pass  # said by our caller
        finally:
            if process is None:
                connection.close()
        return process

    def _held(self, connection: Connection) -> Connection:
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _closed: self._connections.discard(connection))
        return connection

    async def _abandon(self, connection: Connection) -> None:
        async def until_gone() -> None:
            connection.send(do="stop", grace_s=0.0)
            await asyncio.wait({connection.closed}, timeout=_ABANDON_S)
            connection.close()

        task = asyncio.create_task(until_gone())
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        await asyncio.shield(task)


def _process(connection: Connection, welcome: Mapping[str, Any]) -> Process:
    process = Process(RunRecord.from_json({**welcome["record"], **welcome}), connection, welcome)
    connection.listen(process)
    return process


__all__ = ["Ended", "Launch", "Launcher", "OnOutput", "Process", "RunRecord", "peek", "start_lock"]
