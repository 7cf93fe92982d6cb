from __future__ import annotations

import threading

import pytest

from dxforge.commands import live
from dxforge.commands.live import Live, Outlet


def drained(outlet: Outlet) -> list[tuple[str, str]]:
    written: list[tuple[str, str]] = []
    outlet.drain(lambda stream, text: written.append((stream, text)))
    return written


def test_pieces_come_out_in_their_order_and_neighbours_as_one() -> None:
    outlet = Outlet()
    for stream, text in [("stdout", "a"), ("stdout", "b\n"), ("stderr", "!"), ("stdout", "c")]:
        outlet.put(stream, text)
    assert drained(outlet) == [("stdout", "ab\n"), ("stderr", "!"), ("stdout", "c")]
    assert drained(outlet) == []


def test_what_comes_while_the_writer_writes_is_written_too() -> None:
    outlet = Outlet()
    outlet.put("stdout", "first")
    written: list[str] = []

    def write(stream: str, text: str) -> None:
        written.append(text)
        if len(written) < 3:
            outlet.put("stdout", "more")

    outlet.drain(write)
    assert written == ["first", "more", "more"]


def test_a_writer_that_stands_still_costs_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_WAITING_AT_MOST", 10)
    outlet = Outlet()
    for _ in range(5):
        outlet.put("stdout", "12345")
    written = drained(outlet)
    assert written[0] == ("stdout", "1234512345")
    assert "15 characters" in written[1][1]
    outlet.put("stdout", "again")
    assert drained(outlet) == [("stdout", "again")]


def test_several_threads_lose_nothing() -> None:
    outlet = Outlet()
    threads = [threading.Thread(target=lambda: [outlet.put("stdout", "x") for _ in range(2000)]) for _ in range(4)]
    written: list[tuple[str, str]] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        written += drained(outlet)
    written += drained(outlet)
    assert sum(len(text) for _, text in written) == 8000


def test_the_plain_one_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Live()
    quiet.output("stdout", "x")
    quiet.draw()
    assert capsys.readouterr() == ("", "")
