"""What follows when a tool ends or its probe answers."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.config.model import HealthConfig, RestartConfig, RestartPolicy
from dxforge.orchestrator.policy import (
    Again,
    Over,
    Pace,
    after_exit,
    backoff_s,
    exit_reason,
    is_healthy,
    probe_delay_s,
    startup_s,
)

PACE = Pace()


def ended(
    policy: RestartPolicy,
    exit_code: int | None,
    *,
    ready: bool = True,
    lived_s: float = 1.0,
    in_a_row: int = 0,
    max: int = 5,
) -> Again | Over:
    return after_exit(
        RestartConfig(policy=policy, max=max),
        exit_code=exit_code,
        ready=ready,
        lived_s=lived_s,
        in_a_row=in_a_row,
        chance=0.0,
        pace=PACE,
    )


@pytest.mark.parametrize(
    ("policy", "exit_code", "ready", "expected"),
    [
        ("never", 0, True, Over(failed=False, reason="ended with exit status 0")),
        ("never", 0, False, Over(failed=True, reason="ended with exit status 0 before it was ready")),
        ("never", 3, True, Over(failed=True, reason="ended with exit status 3")),
        ("never", -11, False, Over(failed=True, reason="killed by SIGSEGV before it was ready")),
        ("on-failure", 0, True, Over(failed=False, reason="ended with exit status 0")),
        ("on-failure", 0, False, Over(failed=True, reason="ended with exit status 0 before it was ready")),
        ("on-failure", 1, True, Again(delay_s=0.1, in_a_row=1)),
        ("on-failure", -9, False, Again(delay_s=0.1, in_a_row=1)),
        ("on-failure", None, False, Again(delay_s=0.1, in_a_row=1)),
        ("always", 0, True, Again(delay_s=0.1, in_a_row=1)),
        ("always", 1, False, Again(delay_s=0.1, in_a_row=1)),
    ],
)
def test_policies(policy: RestartPolicy, exit_code: int | None, *, ready: bool, expected: Again | Over) -> None:
    assert ended(policy, exit_code, ready=ready) == expected


def test_the_last_of_a_row_is_degraded_with_the_reason() -> None:
    assert ended("always", 7, in_a_row=5) == Over(
        failed=True, reason="ended with exit status 7 and 5 restarts did not help"
    )
    assert ended("always", 7, in_a_row=1, max=1) == Over(
        failed=True, reason="ended with exit status 7 and 1 restart did not help"
    )
    assert ended("on-failure", 7, max=0) == Over(failed=True, reason="ended with exit status 7")
    assert ended("always", None, in_a_row=5) == Over(
        failed=True, reason="could not be started again and 5 restarts did not help"
    )


def test_a_stable_life_begins_a_new_row() -> None:
    assert ended("always", 1, in_a_row=5, lived_s=PACE.stable_s) == Again(delay_s=0.1, in_a_row=1)
    assert isinstance(ended("always", 1, in_a_row=5, lived_s=PACE.stable_s - 0.01), Over)


@given(st.sampled_from(get_args(RestartPolicy)), st.integers(-40, 255), st.booleans(), st.integers(0, 20))
def test_any_tool_that_never_is_stable_is_left_in_the_end(
    policy: RestartPolicy, exit_code: int, ready: bool, most: int
) -> None:
    in_a_row = 0
    for _ in range(most + 1):
        decision = ended(policy, exit_code, ready=ready, in_a_row=in_a_row, max=most)
        if isinstance(decision, Over):
            break
        assert decision.in_a_row == in_a_row + 1
        in_a_row = decision.in_a_row
    assert isinstance(decision, Over)
    assert decision.reason


@given(st.integers(0, 1_000_000), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_a_bound_and_jitter_takes_at_most_its_part(in_a_row: int, chance: float) -> None:
    delay_s = backoff_s(in_a_row, chance=chance, pace=PACE)
    full_s = backoff_s(in_a_row, chance=0.0, pace=PACE)
    assert full_s * (1 - PACE.backoff_jitter) <= delay_s <= full_s <= PACE.backoff_max_s
    assert full_s <= backoff_s(in_a_row + 1, chance=0.0, pace=PACE)


def test_backoff_doubles() -> None:
    assert [backoff_s(number, chance=0.0, pace=PACE) for number in range(4)] == [0.1, 0.2, 0.4, 0.8]


def test_startup_is_as_patient_as_the_probe() -> None:
    assert startup_s(HealthConfig(tcp="a:1"), PACE) == PACE.startup_s
    assert startup_s(HealthConfig(tcp="a:1", failures=60, interval_s=2, timeout_s=3), PACE) == 300


def test_probes_of_a_start_come_quickly_at_first() -> None:
    health = HealthConfig(tcp="a:1", interval_s=0.1)
    assert [probe_delay_s(tries, health, PACE) for tries in range(5)] == [0.02, 0.04, 0.08, 0.1, 0.1]
    assert probe_delay_s(10_000, health, PACE) == 0.1


def test_failures_in_a_row_degrade_and_one_success_heals() -> None:
    health = HealthConfig(tcp="a:1", failures=3)
    assert is_healthy(was=True, answered=False, failed_in_a_row=2, health=health)
    assert not is_healthy(was=True, answered=False, failed_in_a_row=3, health=health)
    assert not is_healthy(was=False, answered=False, failed_in_a_row=1, health=health)
    assert is_healthy(was=False, answered=True, failed_in_a_row=0, health=health)


def test_ends_in_words() -> None:
    assert exit_reason(2) == "ended with exit status 2"
    assert exit_reason(-15) == "killed by SIGTERM"
    assert exit_reason(-63) == "killed by signal 63"
