"""The contract's table, row by row, and every other combination of three sides."""

from __future__ import annotations

import itertools

import pytest

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic import light as table
from dxforge.traffic.light import Obstacle, decide, merged_mode, one_sided
from dxforge.traffic.model import Action, TrafficLight

GREEN, YELLOW, RED = TrafficLight.GREEN, TrafficLight.YELLOW, TrafficLight.RED


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


A, B, C = entry(b"a"), entry(b"b"), entry(b"c")
A_X, B_X = entry(b"a", EXECUTABLE), entry(b"b", EXECUTABLE)
LINK, LINK_2, LINK_3 = entry(b"a", SYMLINK), entry(b"b", SYMLINK), entry(b"c", SYMLINK)
FOLDER = Obstacle("a folder is there")

ROWS = [
    # base, local, incoming -> light, action, reason, merge
    (None, None, A, GREEN, Action.CREATE, table.NEW, False),
    (A, B, B, GREEN, Action.KEEP, table.SAME, False),
    (None, A, A, GREEN, Action.KEEP, table.SAME, False),
    (A, A, B, GREEN, Action.UPDATE, table.UPDATED, False),
    (A, A, A_X, GREEN, Action.UPDATE, table.UPDATED, False),
    (A, A, LINK, GREEN, Action.UPDATE, table.UPDATED, False),
    (A, A, None, GREEN, Action.DELETE, table.REMOVED, False),
    (A, B, A, GREEN, Action.KEEP, table.YOUR_EDIT, False),
    (A, A_X, A, GREEN, Action.KEEP, table.YOUR_EDIT, False),
    (A, LINK, A, GREEN, Action.KEEP, table.YOUR_EDIT, False),
    (A, None, A, GREEN, Action.KEEP, table.YOUR_DELETION, False),
    (A, None, None, GREEN, Action.KEEP, table.SAME, False),
    (A, B, C, YELLOW, Action.PROPOSE, table.MERGED, True),
    (A, None, B, YELLOW, Action.PROPOSE, table.DELETED_AND_CHANGED, False),
    (A, None, A_X, YELLOW, Action.PROPOSE, table.DELETED_AND_CHANGED, False),
    (A, None, LINK, YELLOW, Action.PROPOSE, table.DELETED_AND_CHANGED, False),
    (None, A, B, YELLOW, Action.PROPOSE, table.IN_THE_WAY, False),
    (None, A, A_X, YELLOW, Action.PROPOSE, table.IN_THE_WAY, False),
    (None, LINK, LINK_2, YELLOW, Action.PROPOSE, table.IN_THE_WAY, False),
    (A, B, None, RED, Action.SET_ASIDE, table.REMOVED_BUT_EDITED, False),
    (A, A_X, None, RED, Action.SET_ASIDE, table.REMOVED_BUT_EDITED, False),
    (None, A, LINK, RED, Action.SET_ASIDE, table.SWAPPED, False),
    (None, LINK, A, RED, Action.SET_ASIDE, table.SWAPPED, False),
    (A, B, LINK, RED, Action.SET_ASIDE, table.SWAPPED, False),
    (A, LINK, B, RED, Action.SET_ASIDE, table.SWAPPED, False),
    (LINK, A, LINK_2, RED, Action.SET_ASIDE, table.SWAPPED, False),
    (LINK, LINK_2, LINK_3, RED, Action.SET_ASIDE, table.OVERLAP, False),
    # A mode counts: one side's mode and the other's content meet without a text merge.
    (A, A_X, B, YELLOW, Action.PROPOSE, table.MERGED, False),
    (A, B, A_X, YELLOW, Action.PROPOSE, table.MERGED, False),
    (A, B, B_X, YELLOW, Action.PROPOSE, table.MERGED, False),
]


@pytest.mark.parametrize(("base", "local", "incoming", "light", "action", "reason", "merge"), ROWS)
def test_the_table(base, local, incoming, light, action, reason, merge) -> None:
    decision = decide(base, local, incoming)
    assert (decision.light, decision.action, decision.reason, decision.merge) == (light, action, reason, merge)


@pytest.mark.parametrize("incoming", [B, A_X, LINK])
def test_review_always_turns_an_update_into_a_proposal(incoming: Entry) -> None:
    decision = decide(A, A, incoming, review="always")
    assert (decision.light, decision.action, decision.reason) == (YELLOW, Action.PROPOSE, table.ALWAYS)


def test_review_always_asks_about_nothing_but_updates() -> None:
    for base, local, incoming, *_ in ROWS:
        if not (base is not None and local == base and incoming is not None and incoming != base):
            assert decide(base, local, incoming, review="always") == decide(base, local, incoming)


@pytest.mark.parametrize("obstacle", [FOLDER, Obstacle("a FIFO is there"), Obstacle("a symlink is at pkg")])
def test_an_obstacle_is_the_users_own_until_upstream_wants_the_place(obstacle: Obstacle) -> None:
    assert decide(A, obstacle, A).light is GREEN
    assert decide(A, obstacle, A).action is Action.KEEP
    assert decide(A, obstacle, None).light is GREEN
    assert decide(None, obstacle, None).light is GREEN
    for base in (None, A):
        decision = decide(base, obstacle, B)
        assert (decision.light, decision.action) == (RED, Action.SET_ASIDE)
        assert obstacle.what in decision.reason


def test_every_combination_has_one_light_and_green_never_takes_an_edit() -> None:
    sides = [None, A, B, C, A_X, B_X, LINK, LINK_2]
    for base, local, incoming in itertools.product(sides, repeat=3):
        for review in ("modified", "always"):
            decision = decide(base, local, incoming, review=review)
            edited = local is not None and local not in (base, incoming)
            if edited or (local is None and base is not None):
                assert decision.action not in (Action.UPDATE, Action.DELETE, Action.CREATE), (base, local, incoming)
            if decision.light is GREEN:
                assert not decision.merge
                assert decision.action not in (Action.PROPOSE, Action.SET_ASIDE)
            else:
                assert decision.action is (Action.PROPOSE if decision.light is YELLOW else Action.SET_ASIDE)
            if incoming == local:
                assert decision.light is GREEN
            if base == incoming:
                assert decision.light is GREEN


@pytest.mark.parametrize(
    ("base", "local", "incoming", "merged"),
    [
        (FILE, FILE, FILE, FILE),
        (FILE, EXECUTABLE, FILE, EXECUTABLE),
        (FILE, FILE, EXECUTABLE, EXECUTABLE),
        (FILE, EXECUTABLE, EXECUTABLE, EXECUTABLE),
        (EXECUTABLE, FILE, EXECUTABLE, FILE),
        (EXECUTABLE, EXECUTABLE, FILE, FILE),
    ],
)
def test_modes_merge_three_way(base: int, local: int, incoming: int, merged: int) -> None:
    assert merged_mode(base, local, incoming) == merged


def test_one_sided_contents_need_no_merge() -> None:
    assert one_sided(A, A_X, B) == B.oid
    assert one_sided(A, B, A_X) == B.oid
    assert one_sided(A, B, B_X) == B.oid
    assert one_sided(A, B, C) is None
