"""When a task is tried again, and when a lease is nobody's any more."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from dxforge.background.identity import Owner
from dxforge.background.policy import (
    FIRST_S,
    LEASE_S,
    LONGEST_S,
    Lease,
    Sighting,
    abandoned,
    delay_s,
    reason_of,
    waits_s,
    worth_retrying,
)
from dxforge.errors import ConfigError, DownloadError, DxForgeError, PackageNotFoundError, ProjectBusyError

ME = Owner(pid=10, started="100", boot="b1", space="pid:[1]", machine="m", token="me")
OTHER = dataclasses.replace(ME, pid=11, started="200", token="other")
NOBODY = frozenset({"me"})


def judged(
    owner: Owner | None,
    *,
    silent_s: float,
    runs: str | None = None,
    beat_s: float = 1000.0,
    alive: frozenset[str] = NOBODY,
) -> bool:
    lease = Lease(owner=owner, beat_s=beat_s)
    seen = Sighting(lease=lease, since_s=1000.0)
    return abandoned(lease, seen, ME, 1000.0 + silent_s, started=lambda _: runs, alive=alive)


def test_a_living_process_keeps_its_lease_for_ever() -> None:
    assert not judged(OTHER, silent_s=1e9, runs="200", beat_s=0.0)


def test_a_dead_process_loses_it_after_a_moment() -> None:
    assert not judged(OTHER, silent_s=0.0)
    assert judged(OTHER, silent_s=1.0)


def test_a_pid_that_was_given_again_is_another_process() -> None:
    assert judged(OTHER, silent_s=1.0, runs="999")


def test_a_boot_ends_every_process() -> None:
    assert judged(dataclasses.replace(OTHER, boot="b0"), silent_s=1.0, runs="200")


def test_workers_of_one_process_are_told_apart() -> None:
    twin = dataclasses.replace(ME, token="twin")
    assert not judged(twin, silent_s=1e9, alive=frozenset({"me", "twin"}))
    assert judged(twin, silent_s=0.0)


@pytest.mark.parametrize(
    "owner",
    [None, dataclasses.replace(OTHER, machine="far", boot="far"), dataclasses.replace(OTHER, machine="far", boot="")],
    ids=["unreadable", "another machine", "... that knows no boot"],
)
def test_of_a_process_that_cannot_be_seen_silence_counts(owner: Owner | None) -> None:
    assert not judged(owner, silent_s=LEASE_S - 1)
    assert judged(owner, silent_s=LEASE_S)


def test_a_container_of_the_same_kernel_shares_its_clock() -> None:
    container = dataclasses.replace(OTHER, space="pid:[2]", machine="container")
    assert judged(container, silent_s=0.0, beat_s=1000.0 - LEASE_S)
    assert not judged(container, silent_s=0.0, beat_s=1000.0 - 1)


@pytest.mark.parametrize(
    "error",
    [
        DownloadError("x"), ProjectBusyError("x"), ConnectionResetError(), TimeoutError(),
        OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "too many"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)  # fmt: skip
def test_what_passes_is_worth_another_try(error: BaseException) -> None:
    assert worth_retrying(error)
    wrapped = DxForgeError("outer")
    wrapped.__cause__ = error
    assert worth_retrying(wrapped)


@pytest.mark.parametrize(
    "error",
    [ConfigError("x"), PackageNotFoundError("x"), ValueError(), PermissionError(errno.EACCES, "no"), SystemExit(1)],
)
def test_what_stays_wrong_is_not(error: BaseException) -> None:
    assert not worth_retrying(error)


def test_an_error_class_may_say_so_itself() -> None:
    class OddError(DxForgeError):
        transient = False

    odd = OddError("x")
    odd.__cause__ = ConnectionResetError()
    assert not worth_retrying(odd)


def test_a_circle_of_causes_ends() -> None:
    error = ValueError()
    error.__cause__ = KeyError()
    error.__cause__.__cause__ = error
    assert not worth_retrying(error)


def test_the_pause_grows_is_spread_and_has_an_end() -> None:
    longest = [delay_s(attempts, 1.0) for attempts in range(1, 12)]
    assert longest[0] == FIRST_S and longest == sorted(longest) and longest[-1] == LONGEST_S
    assert all(delay_s(attempts, 0.0) == delay_s(attempts, 1.0) / 2 for attempts in range(1, 12))


def test_a_clock_that_was_set_delays_nothing_beyond_the_longest_pause() -> None:
    assert waits_s(110.0, 100.0) == 10.0
    assert waits_s(90.0, 100.0) == 0.0
    assert waits_s(100.0 + LONGEST_S + 1, 100.0) == 0.0


def test_a_reason_is_one_line() -> None:
    assert reason_of(ValueError("a\n  b")) == "ValueError: a b"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(DxForgeError("it broke", where="dx.toml", hint="Mend it")) == "dx.toml: it broke. Mend it."
    assert len(reason_of(ValueError("x" * 10_000))) == 2000
