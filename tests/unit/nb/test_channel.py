"""Numbering, acknowledgement and memory of messages; nothing here waits."""

from __future__ import annotations

from typing import Any

import pytest

from dxforge.errors import UsageError
from dxforge_nb.panels.channel import ANSWERS_KEPT, CLIENTS_KEPT, Channel, IdleClock, Leases, Request, StaleError


def ask(number: int, op: str = "hello", client: str = "page", **args: Any) -> dict[str, Any]:
    """A page's message."""
    return {"dx": 1, "client": client, "n": number, "op": op, **args}


def taken(channel: Channel, number: int, op: str = "decide", client: str = "page") -> Request:
    """A request that is to be done."""
    request = channel.receive(ask(number, op, client)).request
    assert request is not None
    return request


@pytest.fixture
def channel() -> Channel:
    """One that knows a page."""
    made = Channel()
    made.answer(taken(made, 1, "hello"), {}, keep=False)
    return made


def got(number: int) -> dict[str, Any]:
    """The acknowledgement."""
    return {"dx": 1, "to": "page", "re": number, "got": True}


def test_a_request_is_acknowledged_and_handed_out(channel: Channel) -> None:
    received = channel.receive(ask(2, "open", path="a.py", dx=1))
    assert received.replies == (got(2),)
    assert received.request == Request(client="page", number=2, op="open", args={"path": "a.py"})


def test_it_is_handed_out_once_and_answered_as_often_as_asked_for(channel: Channel) -> None:
    request = taken(channel, 2)
    for _ in range(3):
        again = channel.receive(ask(2, "decide"))
        assert (again.replies, again.request) == ((got(2),), None)
    answer = channel.answer(request, {"operation": "0001"})
    assert answer == {"dx": 1, "to": "page", "re": 2, "ok": True, "operation": "0001"}
    for _ in range(3):
        again = channel.receive(ask(2, "decide"))
        assert (again.replies, again.request) == ((got(2), answer), None)


def test_what_only_reads_is_done_again(channel: Channel) -> None:
    channel.answer(taken(channel, 2, "open"), {"large": 1}, keep=False)
    assert taken(channel, 2, "open").op == "open"


def test_failures_are_told_and_kept_like_answers(channel: Channel) -> None:
    error = StaleError("it changed", where="a.py", hint="Look again", stale=[{"path": "a.py", "what": "edited"}])
    message = channel.failure(taken(channel, 2), error)
    assert message == {
        "dx": 1,
        "to": "page",
        "re": 2,
        "ok": False,
        "error": {"kind": "StaleError", "what": "it changed", "where": "a.py", "hint": "Look again"},
        "stale": [{"path": "a.py", "what": "edited"}],
    }
    assert channel.receive(ask(2, "decide")).replies == (got(2), message)
    assert "stale" not in channel.failure(taken(channel, 3), UsageError("no"))


def test_an_answer_cannot_pose_as_something_else(channel: Channel) -> None:
    answer = channel.answer(taken(channel, 2), {"to": "other", "re": 9, "ok": False, "dx": 7})
    assert (answer["to"], answer["re"], answer["ok"], answer["dx"]) == ("page", 2, True, 1)


def test_the_last_answers_are_kept_and_older_requests_refused(channel: Channel) -> None:
    for number in range(2, ANSWERS_KEPT + 4):
        channel.answer(taken(channel, number), {"at": number})
    kept = channel.receive(ask(ANSWERS_KEPT + 3, "decide"))
    assert kept.replies[1]["at"] == ANSWERS_KEPT + 3
    forgotten = channel.receive(ask(2, "decide"))
    assert forgotten.request is None
    assert forgotten.replies[1]["error"]["kind"] == "ForgottenError"


def test_a_page_that_is_not_known_says_hello_first() -> None:
    channel = Channel()
    refused = channel.receive(ask(4, "decide"))
    assert refused.request is None
    assert refused.replies == (got(4), refused.replies[1])
    assert refused.replies[1]["error"]["kind"] == "UnknownClientError"
    taken(channel, 5, "hello")
    taken(channel, 6, "decide")
    # Nobody knows whether that was done by a kernel before.
    assert channel.receive(ask(4, "decide")).request is None


def test_only_so_many_pages_are_remembered_and_none_that_waits(channel: Channel) -> None:
    waiting = taken(channel, 2)
    for number in range(2 * CLIENTS_KEPT):
        channel.answer(taken(channel, 1, "hello", client=f"page {number}"), {}, keep=False)
    answer = channel.answer(waiting, {})
    assert channel.receive(ask(2, "decide")).replies == (got(2), answer)
    assert channel.receive(ask(2, "decide", client="page 0")).request is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        "text",
        [],
        {},
        {"dx": 1},
        ask(0),
        ask(-1),
        {**ask(1), "n": True},
        {**ask(1), "n": 1.5},
        {**ask(1), "n": "1"},
        {**ask(1), "dx": 2},
        {**ask(1), "client": ""},
        {**ask(1), "client": 7},
        {**ask(1), "client": "x" * 201},
        {**ask(1), "op": None},
        {**ask(1), "op": "x" * 201},
    ],
)
def test_what_cannot_be_read_is_left_alone(content: object) -> None:
    received = Channel().receive(content)
    assert (received.replies, received.request) == ((), None)


def test_pushes_are_numbered_and_a_gap_can_be_made() -> None:
    channel = Channel()
    assert channel.push("status", {"state": 1}) == {"dx": 1, "push": "status", "seq": 1, "state": 1}
    channel.skip()
    assert channel.push("status", {"seq": 7})["seq"] == 3
    assert channel.seq == 3


def test_leases_end_unless_they_are_renewed() -> None:
    leases = Leases(120)
    assert leases.left_s(5) == 0
    leases.take("a", 0)
    leases.take("b", 30)
    assert leases.left_s(100) == 50
    leases.end("b")
    assert leases.left_s(100) == 20
    leases.take("a", 110)
    assert leases.left_s(120) == 110
    assert leases.left_s(230) == 0


def test_the_time_in_which_a_cell_runs_does_not_count() -> None:
    now_s = 100.0
    clock = IdleClock(lambda: now_s)
    assert clock() == 100
    clock.stop()
    now_s = 160.0
    assert clock() == 100
    clock.stop()
    now_s = 200.0
    clock.go_on()
    assert clock() == 100
    clock.go_on()
    now_s = 201.0
    assert clock() == 101
