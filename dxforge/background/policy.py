"""When a task is tried again, and when a lease is nobody's any more. Pure: time and chance are arguments."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from dxforge.background.identity import Owner
from dxforge.errors import ChangedMeanwhileError, DownloadError, DxForgeError, ProjectBusyError

CHANNEL = 100
"""So many tasks wait without a word; more are told of once."""
MAX_ATTEMPTS = 6
MAX_LOSSES = 10
"""So many processes may die over a task before it is to blame."""
LEASE_S = 30.0
BEAT_S = 5.0
DEAD_S = 1.0
"""A dead process's own children get this long to notice."""
FIRST_S = 1.0
LONGEST_S = 300.0
FACTOR = 4.0

# What may be otherwise in a minute. Not: permission denied, no such file.
_PASSING = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EIO, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE,
    errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL,
})  # fmt: skip


def worth_retrying(error: BaseException) -> bool:
    """Whether the same task may succeed later though nobody changes anything.

    An error class may say so itself by an attribute ``transient``, or ``temporary`` as remotes' do. Otherwise: the
    network, a busy project, files that changed meanwhile, and what the system calls passing.
    The cause of an error counts as the error.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        said = getattr(found, "transient", getattr(found, "temporary", None))
        if isinstance(said, bool):
            return said
        if isinstance(found, DownloadError | ProjectBusyError | ChangedMeanwhileError | ConnectionError | TimeoutError):
            return True
        if isinstance(found, OSError) and found.errno in _PASSING:
            return True
        found = found.__cause__
    return False


def delay_s(attempts: int, chance: float) -> float:
    """How long to wait after ``attempts`` failed runs.

    Grows from a second to five minutes; ``chance`` (0 to 1) spreads it over the upper half, so that many who failed
    together do not come back together.
    """
    longest = min(LONGEST_S, FIRST_S * FACTOR ** max(0, attempts - 1))
    return longest * (0.5 + 0.5 * chance)


def waits_s(ready_at_s: float, now_s: float) -> float:
    """How long a task still waits for its retry, by the wall clock, which may have been set: never beyond the longest.

    Args:
        ready_at_s: when it may run, as seconds since the epoch.
        now_s: the present, the same.
    """
    left_s = ready_at_s - now_s
    return left_s if 0 < left_s <= LONGEST_S else 0.0


def reason_of(error: BaseException) -> str:
    """``error`` as one line for the user."""
    text = str(error) if isinstance(error, DxForgeError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return " ".join(text.split())[:2000]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who runs a task. ``beat_s`` is the owner's monotonic clock at its last sign of life."""

    owner: Owner | None
    beat_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A lease as it was first seen in this state, at ``since_s`` of the watcher's own monotonic clock."""

    lease: Lease
    since_s: float


def abandoned(
    lease: Lease,
    seen: Sighting,
    me: Owner,
    now_s: float,
    *,
    started: Callable[[int], str | None],
    alive: frozenset[str],
) -> bool:
    """Whether a task that ``lease`` says is running may be taken over.

    A process that can be looked at decides by itself: alive, its lease holds for ever; dead, it is free after a moment.
    Only for a process that cannot be seen from here (another container or machine) does silence count, by the
    monotonic clocks of the machine or of the watcher: a clock that is set moves nothing.

    Args:
        seen: since when the watcher knows the lease exactly like this.
        me: the watcher.
        now_s: its monotonic clock.
        started: when a process of this machine began (None: it does not run).
        alive: tokens of the workers in the watcher's own process that live.
    """
    owner = lease.owner
    silent_s = now_s - seen.since_s
    if owner is None:
        return silent_s >= LEASE_S
    if owner.boot == me.boot and owner.space == me.space and owner.machine == me.machine:
        if owner.pid == me.pid and owner.started == me.started:
            return owner.token not in alive
        runs = started(owner.pid)
        return (runs is None or runs != owner.started) and silent_s >= DEAD_S
    if owner.machine == me.machine and owner.boot != me.boot:
        return silent_s >= DEAD_S  # the machine was started anew
    if owner.boot == me.boot and owner.boot and now_s - lease.beat_s >= LEASE_S:
        return True  # one kernel has one monotonic clock
    return silent_s >= LEASE_S
