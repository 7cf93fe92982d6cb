"""The guard of one tool. Read ``__init__.py`` first.

It never blocks, but on writes to disk, and sleeps while nothing happens. Everything that ends a tool comes to the same
two steps: the tool's signal, and after the grace time KILL to all descendants, again and again, until none is left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time

from dxforge.orchestrator.guard.client import PIECE_BYTES, Client
from dxforge.orchestrator.guard.disk import CappedLog, LogFile, RotatedLog
from dxforge.orchestrator.guard.system import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NAME,
    PR_SET_PDEATHSIG,
    Member,
    boot_id,
    create_time,
    descendants,
    kill_family,
    prctl,
    process_table,
    start_ticks,
    waker,
)
from dxforge.orchestrator.guard.wire import STDERR, STDOUT, note

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from typing import Any, NoReturn

LINGER_S = 5.0
"""So long a guard that is done waits for slow sessions to take its last words."""
STUCK_S = 5.0
"""What is still there so long after the first KILL is reported."""
PAUSES_S = (0.001, 0.25)
"""Between two sweeps: the first pause, doubled up to the last."""
LOCK_TRIES, LOCK_PAUSE_S = 100, 0.01
DRAIN_PIECES = 32
"""At the end so many pieces are still read from each pipe: more than a pipe holds."""


class Guard:
    """Keeps one tool. ``first`` is the socket of the session that orders it."""

    def __init__(self, first: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.order: dict[str, Any] = {}
        self.identity: dict[str, Any] = {}
        self.record: dict[str, Any] = {}  # the same, once the tool runs
        self.board: dict[str, Any] = {}
        self.keep = False
        self.tool = 0  # its pid, and its process group; 0 while there is none
        self.exit_code: int | None = None
        self.asked = False
        self.signalled = False
        self.deadline: float | None = None  # when to KILL (again)
        self.killing_since: float | None = None
        self.pause_s = PAUSES_S[0]
        self.told_stuck = False
        self.known: set[int] = set()  # without a subreaper: descendants seen so far
        self.survivors: set[int] = set()
        self.failure = b""
        self.finished_at: float | None = None
        self.outputs: dict[int, tuple[bytes, LogFile]] = {}
        self.logs: list[LogFile] = []
        self.oops = -1
        self.alive = -1
        self.listener: socket.socket | None = None
        self.wake = waker()
        self.selector.register(self.wake, selectors.EVENT_READ, self.reap)
        self.clients = [Client(self, first)]
        self.clients[0].send(note(what="hello", pid=os.getpid()))

    def run(self) -> None:
        """Until the tool and all its descendants are gone, and everybody has been told."""
        while not self.over():
            for key, events in self.selector.select(self.patience_s()):
                key.data(events)
            if self.deadline is not None and time.monotonic() >= self.deadline and self.finished_at is None:
                self.sweep()

    def over(self) -> bool:
        if self.finished_at is None:
            return False
        slow = any(client.waiting for client in self.clients)
        return not slow or time.monotonic() >= self.finished_at + LINGER_S

    def patience_s(self) -> float | None:
        """How long to sleep at most; None: until something happens."""
        until = self.deadline if self.finished_at is None else self.finished_at + LINGER_S
        return None if until is None else max(0.0, until - time.monotonic())

    # -------------------------------------------------------------------------------------------------- sessions
    def obey(self, client: Client, said: dict[str, Any]) -> None:
        """Do what a session says."""
        do = said["do"]
        if do == "start" and not self.order:
            client.joined = client.owner = True
            self.start(said)
        elif do == "join":
            client.joined, client.owner = True, bool(said["owner"])
            client.send(note(what="welcome", record=self.record, **self.standing()))
            self.publish()
        elif not client.joined:
            client.drop()
        elif do == "stop":
            self.asked = True
            self.stop(said["grace_s"])
        elif do == "leave":
            client.owner = False
            client.send(note(what="left", goes_on=self.wanted()))
            self.owners_changed()
        elif do == "keep":
            self.keep = bool(said["keep"])
            self.owners_changed()
        elif do == "board":
            client.posts += 1
            self.board = said["board"] if client.owner else self.board
            self.publish()

    def accept(self, _events: int) -> None:
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
        with contextlib.suppress(ValueError):
            self.clients.remove(client)
        if self.listener is not None and self.listener not in self.selector.get_map():
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        if not self.order:
            self.finished_at = 0.0
        elif client.owner:
            self.owners_changed()

    def owners_changed(self) -> None:
        self.publish()
        if not self.wanted():
            self.asked = True
            self.stop(None)

    def wanted(self) -> bool:
        return self.keep or any(client.owner for client in self.clients)

    def standing(self) -> dict[str, object]:
        """How things stand between tool and sessions."""
        pids = sorted({client.pid for client in self.clients if client.owner})
        return {"board": self.board, "keep": self.keep, "owner_pids": pids, "log": self.log_mark()}

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
        if self.order["shared"]:
            with open("run.json.new", "w", encoding="ascii") as stream:
                json.dump({**self.record, **self.standing()}, stream)
            os.replace("run.json.new", "run.json")

    # ----------------------------------------------------------------------------------------------------- start
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
            self.open_logs()
            stage = "fork"
            self.fork()
        except OSError as error:
            self.failure = note(what="failed", stage=stage, errno=error.errno)
            self.finish()

    def open_logs(self) -> None:
        order = self.order
        if order["shared"]:
            self.logs = [RotatedLog("log", order["log_bytes"], order["log_files"])]
            # Not every file system has sockets. Without, no other session can join; nothing else is amiss.
            with contextlib.suppress(OSError):
                self.listener = listen("control")
                self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        elif order["folder"]:
            self.logs = [CappedLog("stdout", order["cap_bytes"]), CappedLog("stderr", order["cap_bytes"])]
        else:
            self.logs = [LogFile(""), LogFile("")]
            return
        for log in self.logs:
            with contextlib.suppress(OSError):
                log.open()

    def fork(self) -> None:
        pipes = [os.pipe() for _ in self.logs]
        self.oops, oops = os.pipe()  # closed by a successful exec; what is read from it is why there was none
        guard = os.getpid()
        self.tool = os.fork()
        if not self.tool:
            become(self.order, guard, pipes[0][1], pipes[-1][1], oops)
        os.close(oops)
        self.identity = self.identify(guard)
        self.selector.register(self.oops, selectors.EVENT_READ, self.executed)
        for (read, write), kind, log in zip(pipes, (STDOUT, STDERR), self.logs, strict=False):
            os.close(write)
            os.set_blocking(read, False)
            self.outputs[read] = kind, log
            self.selector.register(read, selectors.EVENT_READ, lambda _events, read=read: self.take_output(read))

    def identify(self, guard: int) -> dict[str, Any]:
        # Now, while the tool can be nothing less than a zombie: we have not reaped yet.
        return {
            "pid": self.tool,
            "start_ticks": start_ticks(self.tool),
            "create_time": create_time(self.tool),
            "boot_id": boot_id(),
            "guard_pid": guard,
            "guard_start_ticks": start_ticks(guard),
            "guard_create_time": create_time(guard),
            "started": time.time(),
            "digest": self.order["digest"],
            "log_path": self.order["log_path"],
        }

    def executed(self, _events: int = 0) -> None:
        """The new program runs, or the reason why it does not is here."""
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
                client.send(note(what="welcome", record=self.record, **self.standing()))

    # ---------------------------------------------------------------------------------------------------- output
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

    # ------------------------------------------------------------------------------------------------------- end
    def stop(self, grace_s: float | None) -> None:
        """The tool's signal to its process group; KILL when the grace time is over. Twice: the shorter time counts."""
        if not self.tool or self.finished_at is not None:
            return
        deadline = time.monotonic() + (self.order["grace_s"] if grace_s is None else grace_s)
        self.deadline = deadline if self.deadline is None else min(deadline, self.deadline)
        if not self.signalled:
            self.signalled = True
            self.signal_group()

    def signal_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.tool, self.order["signal"])
            os.killpg(self.tool, signal.SIGCONT)  # one that is stopped would not see the signal

    def reap(self, _events: int = 0) -> None:
        """Children have ended: the tool itself, or descendants that were left to us."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 512)
        childless = False
        had_tool = self.exit_code is None
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.tool:
                    self.exit_code = os.waitstatus_to_exitcode(found[1])
                    self.executed()
        except ChildProcessError:
            childless = sys.platform == "linux" or not self.family()
        if self.exit_code is None or self.finished_at is not None:
            return
        if childless:
            self.finish()
        elif had_tool:
            self.tool_ended()

    def tool_ended(self) -> None:
        """The leader is gone and left others behind: they are stopped like the tool itself."""
        left = self.family()
        for pid, entry in left.items():
            if entry.state != "Z" and not (self.signalled and entry.group == self.tool):
                self.survivors.add(pid)
                with contextlib.suppress(OSError):
                    os.kill(pid, self.order["signal"])
                    os.kill(pid, signal.SIGCONT)
        self.signalled = True
        deadline = time.monotonic() + self.order["grace_s"]
        self.deadline = deadline if self.deadline is None else min(deadline, self.deadline)

    def family(self) -> dict[int, Member]:
        """Everything that the tool has started and that is still there."""
        table = process_table()
        found = descendants(os.getpid(), table)
        if sys.platform != "linux":
            # Orphans are launchd's there: keep to those that were seen before, and to the group.
            for pid, entry in table.items():
                if pid in self.known or (self.tool and entry.group == self.tool):
                    found[pid] = entry
            self.known.update(found)
        return found

    def sweep(self) -> None:
        """KILL to all that is left. What forks while we look is found by the next sweep."""
        now = time.monotonic()
        family = self.family()
        live = {pid for pid, entry in family.items() if entry.state != "Z"}
        if self.exit_code is not None:
            self.survivors |= live
        kill_family(family)
        if self.killing_since is None:
            self.killing_since = now
        elif now >= self.killing_since + STUCK_S and live and not self.told_stuck:
            self.told_stuck = True
            for client in tuple(self.clients):
                client.send(note(what="stuck", pids=sorted(live)))
        self.deadline = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, PAUSES_S[1])
        self.reap()

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
        self.let_go()
        self.finished_at = time.monotonic()
        last_words = self.failure or self.ended()
        for client in tuple(self.clients):
            client.send(last_words)

    def ended(self, fault: str = "") -> bytes:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return note(
            what="ended",
            exit_code=-signal.SIGKILL if self.exit_code is None else self.exit_code,
            asked=self.asked,
            survivors=len(self.survivors),
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
            for name in ("control", "run.json", "run.json.new"):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            os.close(self.alive)
            self.alive = -1

    def collapse(self, fault: str) -> None:
        """A fault in the guard itself: the tool must not outlive it, and the sessions hear why."""
        until = time.monotonic() + LINGER_S
        while (family := self.family()) and time.monotonic() < until:
            kill_family(family)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
        self.let_go()
        for client in self.clients:
            client.connection.settimeout(1.0)
            with contextlib.suppress(OSError):
                client.connection.sendall(bytes(client.waiting) + self.ended(fault))


def become(order: dict[str, Any], guard: int, stdout: int, stderr: int, oops: int) -> NoReturn:
    """In the child: become the tool. Never returns; why it failed goes into ``oops`` as "stage errno"."""
    stage = "fork"
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)  # it died before we could ask to be told
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        stage = "cwd"
        os.chdir(order["cwd"].encode("latin-1"))
        stage = "exec"
        argv = [word.encode("latin-1") for word in order["argv"]]
        env = {name.encode("latin-1"): value.encode("latin-1") for name, value in order["env"]}
        os.execve(argv[0], argv, env)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(oops, f"{stage} {error.errno}".encode())
    except BaseException:  # noqa: BLE001 - nothing of the guard may run on in the child
        os.write(oops, f"{stage} {errno.EINVAL}".encode())
    finally:
        os._exit(127)


def take_lock(path: str) -> int:
    """Hold ``path`` until we end; whoever asks whether we live (``peek``) holds it for an instant, so try again.

    Raises:
        OSError: ``EWOULDBLOCK``, another guard holds it; or the file system refuses.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return descriptor
    os.close(descriptor)
    raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path)


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, which is relative: an address has room for 108 bytes only."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.settimeout(0.0)
    return listener


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
