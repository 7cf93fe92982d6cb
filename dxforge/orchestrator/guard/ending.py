"""How a tool is ended, with all that it has started: its signal, and after the grace time KILL until nothing is left.

It needs the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from dxforge.orchestrator.guard.system import Member, descendants, kill_all, process_table

STUCK_S = 5.0
"""What is still there so long after the first KILL is reported as stuck."""
PAUSES_S = (0.001, 0.25)
"""Between two sweeps: the first pause, doubled up to the last."""


class Ending:
    """The end of one tool. ``tool`` is its pid, which is also its process group; ``number`` its stop signal."""

    def __init__(self, tool: int, number: int, grace_s: float) -> None:
        self.tool = tool
        self.number = number
        self.grace_s = grace_s
        self.exit_code: int | None = None
        self.deadline: float | None = None
        """When to sweep (``time.monotonic``); None: nothing is to be ended."""
        self.survivors: set[int] = set()
        """Descendants that outlived the tool's own process and had to be signalled."""
        self.stuck: set[int] = set()
        """What withstands KILL."""
        self.signalled = False
        self.killing_since: float | None = None
        self.pause_s = PAUSES_S[0]
        self.known: set[int] = set()

    def collect(self) -> bool:
        """Reap what has ended; True: nothing of the tool is left.

        As its subreaper we have a child as long as it has a descendant.
        """
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.tool:
                    self.exit_code = os.waitstatus_to_exitcode(found[1])
        except ChildProcessError:
            return sys.platform == "linux" or not self.family()
        return False

    def ask(self, grace_s: float | None) -> None:
        """The signal to the tool's group; KILL follows after ``grace_s``. When asked twice, the shorter time counts."""
        self.hurry(self.grace_s if grace_s is None else grace_s)
        if not self.signalled:
            self.signalled = True
            if sys.platform != "linux":
                self.family()  # without a subreaper: remember who there is, before the tree falls apart
            with contextlib.suppress(OSError):
                os.killpg(self.tool, self.number)
                os.killpg(self.tool, signal.SIGCONT)  # one that is stopped would not see the signal

    def leader_gone(self) -> None:
        """The tool's own process has ended and left others behind: the signal to each that has not had it."""
        for pid, entry in self.family().items():
            if entry.state != "Z" and not (self.signalled and entry.group == self.tool):
                self.survivors.add(pid)
                with contextlib.suppress(OSError):
                    os.kill(pid, self.number)
                    os.kill(pid, signal.SIGCONT)
        self.signalled = True
        self.hurry(self.grace_s)

    def hurry(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        self.deadline = deadline if self.deadline is None else min(deadline, self.deadline)

    def sweep(self) -> None:
        """KILL to all that is left. What could be missed is found by the next sweep, which follows soon."""
        live = {pid for pid, entry in kill_all(self.rest).items() if entry.state != "Z"}
        if self.exit_code is not None:
            self.survivors |= live
        now = time.monotonic()
        if self.killing_since is None:
            self.killing_since = now
        self.stuck = live if now >= self.killing_since + STUCK_S else set()
        self.deadline = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, PAUSES_S[1])

    def rest(self) -> dict[int, Member]:
        """The family, without those that could be reaped: the dead would only slow down the search."""
        self.collect()
        return self.family()

    def family(self) -> dict[int, Member]:
        """Everything that the tool has started and that is still there, itself included."""
        table = process_table()
        found = descendants(os.getpid(), table)
        if sys.platform != "linux":
            # Orphans are launchd's there: keep to those that were seen before, and to the group.
            for pid, entry in table.items():
                if pid in self.known or entry.group == self.tool:
                    found[pid] = entry
            self.known.update(found)
        return found
