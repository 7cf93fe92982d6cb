"""The launcher: forks a guard for every socket that its session hands it. Ends with the session, or when asked to."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import time

from dxforge.orchestrator.guard.client import peer_of
from dxforge.orchestrator.guard.guard import guard
from dxforge.orchestrator.guard.system import (
    IGNORED,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NAME,
    Member,
    descendants,
    kill_all,
    prctl,
    process_table,
    waker,
)
from dxforge.orchestrator.guard.wire import note

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from typing import NoReturn

SWEEP_PAUSE_S = 0.005


class Launcher:
    """One per session. ``lifeline`` is the session's socket: one byte and a descriptor for each guard."""

    def __init__(self, lifeline: socket.socket) -> None:
        self.lifeline = lifeline
        self.guards: set[int] = set()
        self.wake = waker()
        self.selector = selectors.DefaultSelector()
        self.selector.register(lifeline, selectors.EVENT_READ, self.fork)
        self.selector.register(self.wake, selectors.EVENT_READ, self.reap)
        self.pidfd = peer_of(lifeline)[1]
        if self.pidfd >= 0:
            self.selector.register(self.pidfd, selectors.EVENT_READ, leave)

    def run(self) -> None:
        """Serve until the session is gone; sleeps in between."""
        gc.freeze()  # what is here now stays shared with the guards
        while True:
            for key, _ in self.selector.select():
                key.data()

    def fork(self) -> None:
        """A socket has arrived: fork a guard that takes its order from it."""
        data, descriptors, _, _ = socket.recv_fds(self.lifeline, 1, 1)
        if not data:
            leave()
        if not descriptors:
            return  # no descriptor was free; the session sees its end closed
        os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - no keyword there
        with socket.socket(fileno=descriptors[0]) as connection:
            try:
                pid = os.fork()
            except OSError as error:
                connection.send(note(what="failed", stage="fork", errno=error.errno))
                return
            if pid:
                self.guards.add(pid)
                return
            self.close()
            guard(connection)

    def close(self) -> None:
        """In a new guard: let go of what is the launcher's."""
        self.selector.close()
        self.lifeline.close()
        os.close(self.wake)
        if self.pidfd >= 0:
            os.close(self.pidfd)

    def reap(self) -> None:
        """Guards have ended. One that was killed leaves us its tool's processes: they are killed too."""
        os.read(self.wake, 512)
        while (found := wait_one()) is not None:
            pid, status = found
            if pid in self.guards:
                self.guards.remove(pid)
                if status:
                    self.sweep()

    def sweep(self) -> None:
        while any(entry.state != "Z" for entry in kill_all(self.strays).values()):
            time.sleep(SWEEP_PAUSE_S)

    def strays(self) -> dict[int, Member]:
        """What is below us and below no guard; our caller reaps what is dead of it."""
        return descendants(os.getpid(), process_table(), frozenset(self.guards))


def wait_one() -> tuple[int, int] | None:
    """A child that has ended, with its status; None where none has."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def leave() -> NoReturn:
    """The session is gone: its guards see that for themselves."""
    os._exit(0)


def main(descriptor: int) -> None:
    """Serve the session at the other end of the socket ``descriptor``. Never returns."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in IGNORED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NAME, b"dx-launcher")
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - no keyword there
    try:
        launcher = Launcher(socket.socket(fileno=descriptor))
    except ProcessLookupError:
        leave()
    launcher.run()
