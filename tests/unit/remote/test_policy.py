"""When to try again, and when to stop asking."""

from __future__ import annotations

import pytest

from dxforge.remote.policy import Breaker, RetryPolicy


def test_waits_double_up_to_the_longest_and_then_end() -> None:
    policy = RetryPolicy(attempts=6, base_s=1, longest_s=5)
    assert [policy.wait_s(attempt, chance=0) for attempt in range(1, 8)] == [0.5, 1, 2, 2.5, 2.5, None, None]
    assert policy.wait_s(2, chance=0.999) == pytest.approx(2, abs=0.01)


def test_a_busy_server_is_given_a_second_at_least() -> None:
    policy = RetryPolicy(base_s=0.01, throttled_s=1)
    assert policy.wait_s(1, chance=0, throttled=True) == 1
    assert policy.wait_s(3, chance=0, throttled=True) == 2
    assert policy.wait_s(policy.attempts, chance=0, throttled=True) is None


def test_the_circuit_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(limit=2, cool_down_s=30)
    once = breaker.failed(100)
    assert once.allows(100)
    twice = once.failed(100)
    assert not twice.allows(129)
    assert twice.allows(130)
    assert once.succeeded().failed(100).allows(100)


def test_one_more_failure_doubles_the_pause_and_one_success_ends_it() -> None:
    broken = Breaker(limit=1, cool_down_s=30, longest_s=100).failed(0)
    again = broken.failed(30)
    assert not again.allows(89)
    assert again.allows(90)
    third = again.failed(90)
    assert not third.allows(189)
    assert third.allows(190)  # the longest
    assert third.succeeded() == Breaker(limit=1, cool_down_s=30, longest_s=100)


def test_failures_while_the_circuit_is_open_are_of_requests_from_before() -> None:
    broken = Breaker(limit=1, cool_down_s=30).failed(0)
    assert broken.failed(1) == broken


def test_years_of_failures_overflow_nothing() -> None:
    breaker = Breaker(limit=1)
    for number in range(5000):
        breaker = breaker.failed(number * 1000.0)
    assert not breaker.allows(4999 * 1000.0 + 599)
