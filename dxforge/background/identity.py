"""Who holds a lease, and whether that process still lives: pid, time of its creation, and boot. No clock is asked."""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One worker of one process. ``boot`` and ``space`` say in which world ``pid`` means something."""

    pid: int
    started: str
    """When the process began, as its system counts; a pid that was given again has another."""
    boot: str
    """The same from one boot of the machine to the next; empty where the system cannot tell."""
    space: str
    """The pid namespace (containers have their own)."""
    machine: str
    token: str
    """Tells the workers of one process apart."""

    def dumps(self) -> str:
        """As text, for the journal."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Owner | None:
        """What :meth:`dumps` wrote; None for anything else."""
        try:
            data = json.loads(text)
            return cls(**data) if isinstance(data["pid"], int) else None
        except (ValueError, TypeError, KeyError):
            return None


def this_process() -> Owner:
    """An owner for one more worker of this process."""
    pid = os.getpid()
    return Owner(
        pid=pid,
        started=started(pid) or "",
        boot=boot_id(),
        space=pid_space(),
        machine=platform.node(),
        token=uuid.uuid4().hex,
    )


def started(pid: int) -> str | None:
    """When process ``pid`` began, in the system's own count; None where no such process runs (a zombie does not)."""
    # Not psutil's create_time on Linux: it is counted from the wall clock, which may be set.
    return _started_linux(pid) if sys.platform == "linux" else _started_elsewhere(pid)


def ended(owner: Owner) -> bool:
    """Whether the process of ``owner`` is known to run no more; False where it cannot be seen from here."""
    if (owner.boot, owner.space, owner.machine) != (boot_id(), pid_space(), platform.node()):
        return False
    return started(owner.pid) != owner.started


def _started_linux(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): field 3 is the state, 22 the start time in clock ticks after boot; field 2 may hold anything.
    fields = text.rpartition(b")")[2].split()
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


@functools.cache
def boot_id() -> str:
    """Another one after every boot; empty where the system cannot tell."""
    if sys.platform == "linux":
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""
    else:
        import psutil

        # In minutes: the system counts back from a clock that may be corrected by seconds.
        return f"boot {int(psutil.boot_time() // 60)}"


def pid_space() -> str:
    """The namespace in which this process's pid means something; empty where systems have only one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
