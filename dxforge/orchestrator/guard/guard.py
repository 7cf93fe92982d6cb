"""The guard of one tool: see ``__init__.py`` for who is who. It needs the standard library only.

It never blocks, but on writes to disk, and sleeps while nothing happens. How a tool begins is in ``beginning.py``, how
it ends in ``ending.py``; here is what comes between, and what leads from one to the other.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time

from dxforge.orchestrator.guard.beginning import holds, listen, spawn, take_lock
from dxforge.orchestrator.guard.client import PIECE_BYTES, Client
from dxforge.orchestrator.guard.disk import CappedLog, LogFile, RotatedLog
from dxforge.orchestrator.guard.ending import Ending
from dxforge.orchestrator.guard.system import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NAME,
    boot_id,
    create_time,
    kill_all,
    prctl,
    start_ticks,
    waker,
    watch_folder,
)
from dxforge.orchestrator.guard.wire import STDERR, STDOUT, note

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from typing import Any, NoReturn

LINGER_S = 5.0
"""So long a guard that is done waits for slow sessions to take its last words."""
COLLAPSE_PAUSE_S = 0.005
DRAIN_PIECES = 32
"""At the end so many pieces are still read from each pipe: more than a pipe holds."""


class Guard:
    """Keeps one tool. ``first`` is the socket of the session that orders it.

    Raises:
        ProcessLookupError: that session is dead already.
    """

    def __init__(self, first: socket.socket) -> None:
        self.order: dict[str, Any] = {}
        self.identity: dict[str, Any] = {}
        self.record: dict[str, Any] = {}  # the identity, once the program runs
        self.board: dict[str, Any] = {}
        self.keep = False
        self.ending: Ending | None = None  # None while there is no tool
        self.asked = False
        self.lost = False  # its folder is gone: nobody can join any more
        self.leader_gone = False
        self.failure = b""
        self.finished_at: float | None = None
        self.logs: list[LogFile] = []
        self.outputs: dict[int, tuple[bytes, LogFile]] = {}
        self.alive = self.oops = -1
        self.listener: socket.socket | None = None
        self.selector = selectors.DefaultSelector()
        self.wake = waker()
        self.selector.register(self.wake, selectors.EVENT_READ, self.woken)
        self.clients = [Client(self, first)]
        self.clients[0].send(note(what="hello", pid=os.getpid()))

    def run(self) -> None:
        """Until the tool and all its descendants are gone, and everybody has been told."""
        while not self.over():
            for key, events in self.selector.select(self.patience_s()):
                key.data(events)
            self.sweep_in_time()

    def over(self) -> bool:
        if self.finished_at is None:
            return False
        slow = any(client.waiting for client in self.clients)
        return not slow or time.monotonic() >= self.finished_at + LINGER_S

    def patience_s(self) -> float | None:
        """How long to sleep at most; None: until something happens."""
        if self.finished_at is not None:
            until: float | None = self.finished_at + LINGER_S
        else:
            until = self.ending.deadline if self.ending else None
        return None if until is None else max(0.0, until - time.monotonic())

    # ------------------------------------------------------------------------------------------------------ sessions
    def obey(self, client: Client, said: dict[str, Any]) -> None:
        """Do what a session says. It may be of another version: nothing but its order is taken for granted."""
        do = said.get("do")
        if do == "start" and not self.order:
            client.join(said, owner=True)
            self.start(said)
        elif do == "join":
            client.join(said, owner=said.get("owner", False))
            if self.record:
                client.send(self.welcome())
            self.publish()
        elif not client.joined:
            client.drop()
        elif do == "stop":
            self.asked = True
            self.stop(said.get("grace_s"))
            self.publish()
        elif do == "leave":
            client.owner = False
            client.send(note(what="left", goes_on=self.wanted()))
            self.owners_changed()
        elif do == "keep":
            self.keep = bool(said.get("keep"))
            self.owners_changed()
        elif do == "board":
            client.posts += 1
            self.board = said.get("board", {}) if client.owner else self.board
            self.publish()

    def accept(self, _events: int) -> None:
        """Another session connects."""
        if self.listener is None:
            return
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # No descriptor is free. Until a session leaves, nobody else can join; looking again at once would spin.
            self.selector.unregister(self.listener)
            return
        with contextlib.suppress(ProcessLookupError):
            self.clients.append(Client(self, connection))

    def left(self, client: Client) -> None:
        """A session's connection is closed, for whatever reason."""
        self.clients.remove(client)
        if self.listener is not None and self.listener not in self.selector.get_map():
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        if not self.order:
            self.finished_at = 0.0
        elif client.owner:
            self.owners_changed()

    def owners_changed(self) -> None:
        if not self.wanted():
            self.asked = True
            self.stop(None)
        self.publish()

    def wanted(self) -> bool:
        return (self.keep and not self.lost) or self.owned()

    def owned(self) -> bool:
        return any(client.owner for client in self.clients)

    def welcome(self) -> bytes:
        return note(what="welcome", record=self.record, **self.standing())

    def standing(self) -> dict[str, object]:
        """How things stand between tool and sessions."""
        pids = sorted({client.pid for client in self.clients if client.owner})
        return {
            "board": self.board,
            "keep": self.keep,
            "stopping": self.asked,
            "owner_pids": pids,
            "log": self.log_mark(),
        }

    def log_mark(self) -> list[int]:
        """How far the log goes by now: the file's inode number, and a size in bytes."""
        log = self.logs[0] if self.logs else None
        return [os.fstat(log.descriptor).st_ino, log.size_bytes] if log and log.descriptor >= 0 else [0, 0]

    def publish(self) -> None:
        """Tell all sessions how things stand, and keep ``run.json`` true."""
        for client in tuple(self.clients):
            client.tell_state()
        if self.record and self.finished_at is None:
            with contextlib.suppress(OSError):
                self.write_record()

    def write_record(self) -> None:
        if self.order["shared"] and not self.lost:
            content = json.dumps({**self.record, **self.standing()}).encode()
            descriptor = os.open("run.json.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
            os.replace("run.json.new", "run.json")

    # --------------------------------------------------------------------------------------------------------- start
    def start(self, order: dict[str, Any]) -> None:
        """Start the tool: everything that can fail is told as it is, by stage and errno."""
        self.order = order
        self.keep = bool(order["keep"])
        stage = "folder"
        try:
            if order["folder"]:
                os.chdir(order["folder"].encode("latin-1"))
                stage = "alive"
                self.alive = take_lock("alive")
                watch_folder()
            self.open_logs()
            stage = "fork"
            self.spawn()
        except OSError as error:
            self.failure = note(what="failed", stage=stage, errno=error.errno)
            self.finish()

    def open_logs(self) -> None:
        order = self.order
        if not order["folder"]:
            self.logs = [LogFile(""), LogFile("")]
            return
        if order["shared"]:
            self.logs = [RotatedLog("log", order["log_bytes"], order["log_files"])]
            # Not every file system has sockets. Without, no other session can join; nothing else is amiss.
            with contextlib.suppress(OSError):
                self.listener = listen("control")
                self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        else:
            self.logs = [CappedLog("stdout", order["cap_bytes"]), CappedLog("stderr", order["cap_bytes"])]
        for log in self.logs:
            with contextlib.suppress(OSError):
                log.open()

    def spawn(self) -> None:
        pipes = [os.pipe() for _ in self.logs]
        tool, self.oops = spawn(self.order, pipes[0][1], pipes[-1][1])
        self.ending = Ending(tool, self.order["signal"], self.order["grace_s"])
        self.identity = self.identify(tool)
        self.selector.register(self.oops, selectors.EVENT_READ, self.executed)
        for (read, write), kind, log in zip(pipes, (STDOUT, STDERR), self.logs, strict=False):
            os.close(write)
            os.set_blocking(read, False)
            self.outputs[read] = kind, log
            self.selector.register(read, selectors.EVENT_READ, lambda _events, read=read: self.take_output(read))

    def identify(self, tool: int) -> dict[str, Any]:
        """Who tool and guard are: now, while the tool can be nothing less than a zombie, since we have not reaped."""
        guard = os.getpid()
        return {
            "pid": tool,
            "start_ticks": start_ticks(tool),
            "create_time": create_time(tool),
            "boot_id": boot_id(),
            "guard_pid": guard,
            "guard_start_ticks": start_ticks(guard),
            "guard_create_time": 0.0 if sys.platform == "linux" else create_time(guard),  # the ticks say it
            "started": time.time(),
            "digest": self.order["digest"],
            "log_path": self.order["log_path"],
        }

    def executed(self, _events: int = 0) -> None:
        """The program runs, or the reason why it does not is here; or it has ended before we saw either."""
        if self.oops < 0:
            return
        said = os.read(self.oops, 64).decode().split()
        self.selector.unregister(self.oops)
        os.close(self.oops)
        self.oops = -1
        if said:
            self.failure = note(what="failed", stage=said[0], errno=int(said[1]))
            return  # reap() sees its end
        self.record = self.identity
        try:
            self.write_record()
        except OSError as error:
            self.failure = note(what="failed", stage="record", errno=error.errno)
            self.stop(0.0)
            return
        for client in tuple(self.clients):
            if client.joined:
                client.send(self.welcome())

    # -------------------------------------------------------------------------------------------------------- output
    def take_output(self, pipe: int) -> bool:
        """Write down and pass on what is in ``pipe``; False: nothing is, now or for good."""
        if pipe not in self.outputs:
            return False
        kind, log = self.outputs[pipe]
        try:
            piece = os.read(pipe, PIECE_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self.close_output(pipe)
            return False
        log.write(piece)
        for client in tuple(self.clients):
            if client.joined:
                client.show(kind, piece)
        return True

    def close_output(self, pipe: int) -> None:
        del self.outputs[pipe]
        self.selector.unregister(pipe)
        os.close(pipe)

    # ----------------------------------------------------------------------------------------------------------- end
    def stop(self, grace_s: float | None) -> None:
        if self.ending is not None and self.finished_at is None:
            self.ending.ask(grace_s)

    def sweep_in_time(self) -> None:
        """When the grace time is over: KILL, and again until nothing is left."""
        ending = self.ending
        if ending is None or ending.deadline is None or self.finished_at is not None:
            return
        if time.monotonic() >= ending.deadline:
            before = ending.stuck
            ending.sweep()
            if ending.stuck != before:
                for client in tuple(self.clients):
                    client.send(note(what="stuck", pids=sorted(ending.stuck)))
            self.reap()

    def woken(self, _events: int) -> None:
        """A signal has come: children have ended, or something in our folder was deleted."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 512)
        self.reap()
        if self.alive >= 0 and not self.lost and not holds("alive", self.alive):
            self.lost = True
            self.owners_changed()

    def reap(self) -> None:
        """Children have ended: the tool itself, or descendants that were left to us."""
        ending = self.ending
        if ending is None or self.finished_at is not None:
            return
        nothing_left = ending.collect()
        if ending.exit_code is None:
            return
        self.executed()
        if nothing_left:
            self.finish()
        elif not self.leader_gone:
            self.leader_gone = True
            ending.leader_gone()

    def finish(self) -> None:
        """Nothing is left: take what is still in the pipes, tidy up, and tell everybody."""
        for pipe in tuple(self.outputs):
            for _ in range(DRAIN_PIECES):
                if not self.take_output(pipe):
                    break
            if pipe in self.outputs:  # somebody who is no descendant holds the other end
                self.close_output(pipe)
        for log in self.logs:
            log.close()
        self.leave_word()
        self.let_go()
        self.finished_at = time.monotonic()
        last_words = self.failure or self.ended()
        for client in tuple(self.clients):
            client.catch_up()  # after the last words nobody listens any more
            client.send(last_words)

    def leave_word(self) -> None:
        """Of an end that nobody has asked for and no session sees: for those to come (see ``lastword.py``)."""
        if not self.order["shared"] or not self.record or self.asked or self.owned() or not self.ending:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open("ended.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
            try:
                os.write(descriptor, json.dumps({"exit_code": self.ending.exit_code}).encode())
            finally:
                os.close(descriptor)

    def ended(self, fault: str = "") -> bytes:
        exit_code = self.ending.exit_code if self.ending else None
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return note(
            what="ended",
            exit_code=-signal.SIGKILL if exit_code is None else exit_code,
            asked=self.asked,
            survivors=len(self.ending.survivors) if self.ending else 0,
            cpu_s=used.ru_utime + used.ru_stime,
            max_memory_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            lost_bytes=sum(log.lost_bytes for log in self.logs),
            fault=fault,
        )

    def let_go(self) -> None:
        """Before anybody hears that it is over, the place is free for the next."""
        if self.listener is not None:
            with contextlib.suppress(KeyError):
                self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
        if self.alive >= 0:
            # In a folder that only lost its files, what is there now may be another guard's.
            for name in () if self.lost else ("control", "run.json", "run.json.new"):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            os.close(self.alive)
            self.alive = -1

    def collapse(self, fault: str) -> None:
        """A fault in the guard itself: the tool must not outlive it, and the sessions hear why."""
        until = time.monotonic() + LINGER_S
        while self.ending and kill_all(self.ending.rest) and time.monotonic() < until:
            time.sleep(COLLAPSE_PAUSE_S)
        self.let_go()
        for client in self.clients:
            client.connection.settimeout(1.0)
            with contextlib.suppress(OSError):
                client.connection.sendall(bytes(client.waiting) + self.ended(fault))


def guard(connection: socket.socket) -> NoReturn:
    """In a process that was just forked: guard the tool that the session at ``connection`` orders. Never returns."""
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NAME, b"dx-guard")
    try:
        one = Guard(connection)
    except ProcessLookupError:
        os._exit(0)
    try:
        one.run()
    except BaseException:  # noqa: BLE001 - whatever it is, the tool must not outlive its guard
        import traceback

        one.collapse(traceback.format_exc())
        os._exit(1)
    os._exit(0)
