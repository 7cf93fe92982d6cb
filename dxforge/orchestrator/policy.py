"""What follows when a tool ends or its probe answers. Pure: time and randomness are arguments."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from dxforge.config.model import HealthConfig, RestartConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The times that ``dx.toml`` does not set.

    ``backoff_jitter`` is the part of a delay that chance decides: 0.5 leaves from a half to all of it, so that tools
    that fell together do not come back together.
    """

    settle_s: float = 0.2
    """A tool without a probe is running once it has lived so long."""
    startup_s: float = 30.0
    """A probe that has not succeeded by then makes the start a failure (see `startup_s`)."""
    first_probe_s: float = 0.02
    """Between the first two probes of a start; doubled until it is the definition's ``interval_s``."""
    backoff_s: float = 0.1
    """Before the first restart in a row; doubled with each further one."""
    backoff_max_s: float = 30.0
    backoff_jitter: float = 0.5
    stable_s: float = 10.0
    """A tool that lived so long begins a new row of restarts when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Start it again after ``delay_s``; it is the restart number ``in_a_row``."""

    delay_s: float
    in_a_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Leave it. ``failed``: it could not be kept running (Degraded), else it is simply stopped."""

    failed: bool
    reason: str


def after_exit(
    config: RestartConfig,
    *,
    exit_code: int | None,
    ready: bool,
    lived_s: float,
    in_a_row: int,
    chance: float,
    pace: Pace,
) -> Again | Over:
    """What follows when a tool ended and nobody had asked for it.

    Args:
        config: the tool's restart policy.
        exit_code: -N: signal N; None: it could not even be started again.
        ready: whether it had become ready in this life.
        lived_s: how long it lived, by a monotonic clock.
        in_a_row: restarts since it was last stable.
        chance: from 0 up to 1.
        pace: the times.
    """
    reason = exit_reason(exit_code)
    again = config.policy == "always" or (config.policy == "on-failure" and exit_code != 0)
    if not again:
        # An orderly end is a failure all the same for those who wait for it to become ready.
        failed = exit_code != 0 or not ready
        return Over(failed=failed, reason=reason if ready else f"{reason} before it was ready")
    if lived_s >= pace.stable_s:
        in_a_row = 0
    if in_a_row >= config.max:
        tries = f"and {config.max} restart{'s' if config.max != 1 else ''} did not help" if config.max else ""
        return Over(failed=True, reason=f"{reason} {tries}".rstrip())
    return Again(delay_s=backoff_s(in_a_row, chance=chance, pace=pace), in_a_row=in_a_row + 1)


def backoff_s(in_a_row: int, *, chance: float, pace: Pace) -> float:
    """Seconds before the next restart, after ``in_a_row`` of them; ``chance`` is from 0 up to 1."""
    # The exponent is bounded: max may be a million, and a float is not.
    delay_s = min(pace.backoff_s * 2.0 ** min(in_a_row, 60), pace.backoff_max_s)
    return delay_s * (1.0 - pace.backoff_jitter * chance)


def startup_s(health: HealthConfig, pace: Pace) -> float:
    """How long a tool has to become healthy: as long as it may be unhealthy later, and at least ``pace.startup_s``.

    A tool that takes longer to come up is given more ``failures``.
    """
    return max(pace.startup_s, health.failures * (health.interval_s + health.timeout_s))


def probe_delay_s(tries: int, health: HealthConfig, pace: Pace) -> float:
    """Seconds from one probe of a start to the next, after ``tries`` of them."""
    return min(pace.first_probe_s * 2.0 ** min(tries, 60), health.interval_s)


def is_healthy(*, was: bool, answered: bool, failed_in_a_row: int, health: HealthConfig) -> bool:
    """Whether a tool counts as healthy after a probe.

    One success is enough to be healthy (again); ``failures`` probes in a row must fail for a healthy one to be no more.
    """
    return answered or (was and failed_in_a_row < health.failures)


def exit_reason(exit_code: int | None) -> str:
    """An end in words: ``exit status 1``, ``killed by SIGSEGV``."""
    if exit_code is None:
        return "could not be started again"
    if exit_code >= 0:
        return f"ended with exit status {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
