"""The remembering reader and writer of ``dx.lock`` says what the plain one says, byte for byte."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxforge.errors import LockfileError
from dxforge.sources.model import Layout, Pin
from dxforge.store.tree import EXECUTABLE, FILE, Entry
from dxforge.traffic.lock import Lock, LockedPackage, PendingFile, dumps, loads
from dxforge.traffic.lock_text import LockTexts

SHAS = [digit * 64 for digit in "abc"]
OIDS = [digit * 40 for digit in "def"]

ENTRIES = st.builds(Entry, st.sampled_from([FILE, EXECUTABLE]), st.sampled_from(OIDS), st.integers(0, 10**6))
NAMES = st.one_of(
    st.sampled_from(["a", "b.py", "d/c.py", "é.py", "d/" + "long" * 40, 'q"uote', "tab\t", "caf\udce9"]),
    st.text("abc", min_size=1, max_size=4),
)
ITEMS = st.builds(
    PendingFile,
    path=NAMES,
    base=st.none() | ENTRIES,
    incoming=st.none() | ENTRIES,
    former=st.sampled_from(["", *SHAS]),
    new_path=st.none() | NAMES,
    set_aside=st.none() | NAMES,
    rejected=st.lists(st.sampled_from("zyx"), unique=True, max_size=3).map(tuple),
    candidates=st.lists(NAMES, unique=True, max_size=2).map(tuple),
    taken=st.booleans(),
)


def pin(name: str, sha256: str = SHAS[0]) -> Pin:
    return Pin(
        name=name, kind="path", ref=f"../{name}", version="1", filename="x.tar", sha256=sha256, layout=Layout.AS_IS
    )


@st.composite
def packages(draw: st.DrawFn, name: str) -> LockedPackage:
    files = st.dictionaries(NAMES, ENTRIES, max_size=3)
    return LockedPackage(
        pin=pin(name, draw(st.sampled_from(SHAS))),
        pending=tuple(draw(st.lists(ITEMS, unique_by=lambda item: item.path, max_size=4))),
        former=tuple(pin(name, sha256) for sha256 in draw(st.lists(st.sampled_from(SHAS), unique=True))),
        files=draw(st.none() | files),
        leaving=draw(st.booleans()),
    )


LOCKS = st.fixed_dictionaries({}, optional={name: packages(name) for name in ("one", "two", "three")}).map(Lock)


@settings(max_examples=40, deadline=None)
@given(LOCKS, LOCKS)
def test_it_writes_the_same_bytes_whatever_it_wrote_before(first: Lock, second: Lock) -> None:
    texts = LockTexts()
    for lock in (first, second, first):
        assert texts.dumps(lock) == dumps(lock)


@settings(max_examples=40, deadline=None)
@given(LOCKS)
def test_what_it_wrote_it_knows_as_reading_would(lock: Lock) -> None:
    texts = LockTexts()
    text = texts.dumps(lock)
    assert texts.loads(text) == loads(text)
    assert list(texts.loads(text).packages) == list(loads(text).packages)


@settings(max_examples=40, deadline=None)
@given(LOCKS, st.data())
def test_deciding_on_one_file_at_a_time(lock: Lock, data: st.DataObject) -> None:
    texts = LockTexts()
    while waiting := [(name, item) for name, package in lock.packages.items() for item in package.pending]:
        name, item = data.draw(st.sampled_from(waiting))
        package = lock.packages[name]
        left = tuple(known for known in package.pending if known is not item)
        lock = lock.with_package(name, dataclasses.replace(package, pending=left))
        text = texts.dumps(lock)
        assert text == dumps(lock)
        lock = texts.loads(text)


def test_the_same_text_is_read_once() -> None:
    texts = LockTexts()
    text = dumps(Lock({"one": LockedPackage(pin=pin("one"))})) or ""
    known = texts.loads(text)
    assert texts.loads("".join(list(text))) is known
    assert texts.loads(None) == Lock()
    assert texts.loads(text + "\n") == known


def test_garbage_is_refused_every_time() -> None:
    texts = LockTexts()
    for _ in range(2):
        with pytest.raises(LockfileError):
            texts.loads("version = 2")
