"""Processes, as the kernel knows them. Both sides use this file; it needs the standard library only."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def prctl(option: int, value: int | bytes) -> None:
    """Linux' prctl(2) for this process; elsewhere nothing."""
    if sys.platform == "linux":
        import ctypes

        _library().prctl(option, value if isinstance(value, bytes) else ctypes.c_ulong(value), 0, 0, 0)


@functools.cache
def _library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36


FREEZE_S = 5.0
"""So long new processes are looked for and stopped, before what was found is killed."""

IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGXFSZ,
) if sys.platform != "win32" else ()  # fmt: skip
"""What would end or stop a guard and is not meant for it."""


def waker() -> int:
    """A descriptor that becomes readable when a child of this process ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)
    return read


def watch_folder() -> None:
    """From now on `waker` wakes us as well when something is deleted in the folder that we are in. Linux only.

    By dnotify: a guard each would soon use up the inotify instances that a user may have (128 by default). Where the
    kernel has it not, nothing is noticed.
    """
    if sys.platform == "linux":
        import fcntl

        signal.signal(signal.SIGIO, lambda _number, _frame: None)
        with contextlib.suppress(OSError):
            # Held open until we end: closing it would end the watch.
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
            fcntl.fcntl(descriptor, fcntl.F_NOTIFY, fcntl.DN_DELETE | fcntl.DN_MULTISHOT)


@functools.cache
def boot_id() -> str:
    """Names the time since the machine was started; empty where the system does not say."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def start_ticks(pid: int) -> int:
    """When ``pid`` was started, in clock ticks since boot, whatever happens to the clock; 0 where there is none."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) >= 20 else 0


def is_zombie(pid: int) -> bool:
    """Whether ``pid`` has ended and only waits for its parent to notice."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])


def create_time(pid: int) -> float:
    """When ``pid`` was started, in seconds since the epoch, as psutil says it; 0.0 where the system does not say."""
    if sys.platform == "linux":
        boot = _read("/proc/stat").partition(b"\nbtime ")[2].split()
        return start_ticks(pid) / os.sysconf("SC_CLK_TCK") + float(boot[0]) if boot else 0.0
    else:  # noqa: RET505 - so mypy knows that this is for elsewhere
        line = _ps("lstart=", "-p", str(pid)).strip()
        return time.mktime(time.strptime(line, "%a %b %d %H:%M:%S %Y")) if line else 0.0


class Member:
    """A process as the process table shows it; ``state`` is ``Z`` for a zombie."""

    __slots__ = ("group", "parent", "state")

    def __init__(self, parent: int, group: int, state: str) -> None:
        self.parent, self.group, self.state = parent, group, state


def process_table() -> dict[int, Member]:
    """Every process there is."""
    table = {}
    if sys.platform == "linux":
        for name in os.listdir("/proc"):
            if name.isdigit():
                fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
                if fields:
                    state = fields[0].decode().replace("X", "Z")  # X: as dead, and just being removed
                    table[int(name)] = Member(int(fields[1]), int(fields[2]), state)
    else:
        for line in _ps("pid=,ppid=,pgid=,stat=", "-ax").splitlines():
            pid, parent, group, state = line.split()[:4]
            table[int(pid)] = Member(int(parent), int(group), state[0])
    return table


def descendants(root: int, table: dict[int, Member], leave_out: frozenset[int] = frozenset()) -> dict[int, Member]:
    """All processes below ``root``, zombies too; those below ``leave_out`` are left out with all of theirs."""
    children: dict[int, list[int]] = {}
    for pid, entry in table.items():
        children.setdefault(entry.parent, []).append(pid)
    found: dict[int, Member] = {}
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found and pid not in leave_out:
                found[pid] = table[pid]
                todo.append(pid)
    return found


def kill_all(find: Callable[[], dict[int, Member]]) -> dict[int, Member]:
    """KILL to all that ``find`` finds; returns what it found last.

    All are stopped before the first is killed. Of processes that fork faster than we look, those that are killed make
    room for new ones; those that are stopped do not, so at some point there are none that we have not seen.
    """
    until = time.monotonic() + FREEZE_S
    seen: set[int] = set()
    while True:
        family = find()
        if family.keys() <= seen or time.monotonic() >= until:
            break
        _signal(family, signal.SIGSTOP)
        seen |= family.keys()
    _signal(family, signal.SIGKILL)
    return family


def _signal(family: dict[int, Member], number: int) -> None:
    # By group first: that is one stroke of the kernel, which no member escapes by forking.
    for group in {entry.group for entry in family.values()} - {0, os.getpgrp()}:
        with contextlib.suppress(OSError):
            os.killpg(group, number)
    for pid in family:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    content = b""
    try:
        while piece := os.read(descriptor, 1 << 16):
            content += piece
    except OSError:
        pass  # the process is gone
    finally:
        os.close(descriptor)
    return content


def _ps(columns: str, *options: str) -> str:
    import subprocess

    done = subprocess.run(["/bin/ps", *options, "-o", columns], capture_output=True, text=True, check=False)
    return done.stdout
