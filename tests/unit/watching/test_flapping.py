"""When re-running has become a loop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dxforge.watching.flapping import Flapping


def run(flapping: Flapping, *, at_s: float, took_s: float = 1.0) -> float:
    flapping.began()
    flapping.ended(at_s + took_s)
    return at_s + took_s


def test_a_run_that_changes_its_own_input_is_suspended_after_five() -> None:
    flapping = Flapping(limit=5, settle_s=2, quiet_s=2)
    now = 0.0
    flapping.changed(now)
    for _ in range(6):  # the one that somebody asked for, and five that followed by themselves
        assert flapping.wait_s(now) == 0
        now = run(flapping, at_s=now)
        flapping.changed(now + 0.1)
    assert flapping.runs == 5
    assert flapping.wait_s(now + 0.1) == 2
    flapping.changed(now + 1.5)  # not quiet yet
    assert flapping.wait_s(now + 1.5) == 2
    assert flapping.wait_s(now + 3.5) == 0


def test_each_time_it_flaps_again_it_waits_twice_as_long_until_a_run_leaves_things_in_peace() -> None:
    flapping = Flapping(limit=1, quiet_s=2, longest_s=7)
    now, waits = 0.0, []
    flapping.changed(now)
    for _ in range(5):
        now += flapping.wait_s(now)
        now = run(flapping, at_s=now)
        flapping.changed(now)
        waits.append(flapping.wait_s(now))
    assert waits == [0, 2, 4, 7, 7]
    now = run(flapping, at_s=now + 7)
    flapping.changed(now + 100)
    assert flapping.wait_s(now + 100) == 0
    run(flapping, at_s=now + 100)
    assert flapping.runs == 0


def test_saving_often_is_no_loop() -> None:
    flapping = Flapping(settle_s=2)
    now = 0.0
    for _ in range(100):
        flapping.changed(now)
        assert flapping.wait_s(now) == 0
        now = run(flapping, at_s=now, took_s=0.2) + 2.5


def test_a_change_that_is_found_while_running_counts() -> None:
    flapping = Flapping(limit=1)
    for _ in range(2):
        flapping.changed(0)
        flapping.began()
        flapping.changed(50)
        flapping.ended(100)
    assert flapping.wait_s(200) == 0
    assert flapping.wait_s(50) == 2


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), max_size=60))
def test_every_change_is_followed_by_a_run_within_the_longest_wait(rounds: list[tuple[float, float]]) -> None:
    flapping = Flapping(longest_s=300)
    now = 0.0
    for pause_s, took_s in rounds:
        now += pause_s
        flapping.changed(now)
        wait_s = flapping.wait_s(now)
        assert 0 <= wait_s <= 300
        now += wait_s
        assert flapping.wait_s(now) <= 1e-6, "it is due when it said it would be"
        now = run(flapping, at_s=now, took_s=took_s)
