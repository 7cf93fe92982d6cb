"""Low priority, so that work nobody waits for takes only what is left over."""

from __future__ import annotations

import os
import sys
import threading

# Not the lowest: a thread that holds the interpreter's lock while the machine has no time for it stops all others.
THREAD_NICE = 5
PROCESS_NICE = 10


def lower_this_thread() -> None:
    """Lower the calling thread's priority, where the system has one per thread (Linux; elsewhere nothing).

    Disk priority follows from it (ioprio_get(2): "derived from the CPU nice value").
    """
    if sys.platform == "linux":
        _lower(threading.get_native_id(), THREAD_NICE)


def lower_this_process() -> None:
    """Lower the whole process's priority, and that of what it starts."""
    if sys.platform == "win32":
        import psutil

        try:
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        except psutil.Error:
            pass  # it works as well at normal priority
    else:
        _lower(0, PROCESS_NICE)


def _lower(which: int, by: int) -> None:
    if sys.platform != "win32":
        try:
            now = os.getpriority(os.PRIO_PROCESS, which)
            os.setpriority(os.PRIO_PROCESS, which, min(19, max(now, 0) + by))
        except OSError:
            pass  # it works as well at normal priority
