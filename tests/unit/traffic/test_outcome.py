"""What a decision leaves of the lock, and what a resolution may be made of."""

from __future__ import annotations

import pytest

from dxforge.errors import ApplyError
from dxforge.sources.model import Layout, Pin
from dxforge.traffic.lock import Lock, LockedPackage, PendingFile
from dxforge.traffic.outcome import Choice, Outcome, check_text, settled

PIN = Pin(name="one", kind="path", ref="../one", version="1", filename="x.tar", sha256="a" * 64, layout=Layout.AS_IS)
A, B, C = (PendingFile(path=path, base=None, incoming=None) for path in "abc")
LOCK = Lock({"one": LockedPackage(pin=PIN, pending=(A, B, C)), "two": LockedPackage(pin=PIN, pending=(A,))})


def test_what_is_decided_or_needs_no_decision_leaves_the_lock() -> None:
    left = PendingFile(path="b", base=None, incoming=None, taken=True)
    lock = settled(LOCK, {("one", "a"): Outcome(), ("one", "b"): Outcome(left=left)}, {("one", "c")})
    assert lock.packages["one"].pending == (left,)
    assert lock.packages["two"] is LOCK.packages["two"]
    assert settled(LOCK, {}, set()) == LOCK


def test_a_package_that_is_leaving_goes_with_its_last_file() -> None:
    lock = LOCK.with_package("two", LockedPackage(pin=PIN, pending=(A,), leaving=True))
    assert settled(lock, {("two", "a"): Outcome()}, set()).packages.keys() == {"one"}
    assert settled(lock, {("two", "a"): Outcome(left=A)}, set()).packages.keys() == {"one", "two"}


@pytest.mark.parametrize(
    ("choice", "of_one"),
    [
        (Choice(command="accept"), False),
        (Choice(command="reject", hunks=()), True),
        (Choice(command="accept", hunks=("1",)), True),
        (Choice(command="resolve", content=b""), True),
    ],
)
def test_what_can_only_be_about_one_file(choice: Choice, of_one: bool) -> None:
    assert choice.of_one == of_one


def test_the_text_of_a_resolution() -> None:
    assert check_text(b"\xff") == b"\xff"
    assert check_text("é\udcff") == "é".encode() + b"\xff"
    with pytest.raises(ApplyError):
        check_text("\ud800")
