"""Items out of the remote: in few requests, and none that is not what it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dxforge.errors import WriteError
from dxforge.remote.fetch import Fetched, Fetcher, Into
from dxforge.remote.folder import FolderObjects
from dxforge.remote.location import Location
from dxforge.remote.model import Entry, RemoteOptions
from dxforge.remote.packs import decode_index, make_pack
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session
from tests.support.remotes import sha256

OPTIONS = RemoteOptions(largest_pack_bytes=2_000_000, part_bytes=300_000, stream_bytes=1000)


class Shelf:
    """A folder with packs, and what reading from it costs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.objects = FolderObjects(base / "remote", make_parents=True)
        self.requests = 0
        self.into: Into | None = None

    def pack(self, *contents: bytes) -> tuple[Entry, ...]:
        pack, index = make_pack([("blob", "", sha256(content), len(content)) for content in contents], (1, 0))
        self.objects.put(f"packs/{pack.id}", b"".join(contents) + index)
        return decode_index(pack, index)

    def path(self, entry: Entry) -> Path:
        return self.base / "remote/packs" / entry.pack

    def fetch(self, *entries: Entry) -> dict[Entry, bytes | str]:
        session = Session(
            self.objects, Location(kind="file"), retry=RetryPolicy(), circuit=Circuit(Breaker()), chance=lambda: 0.5
        )
        found: dict[Entry, bytes | str] = {}
        fetcher = Fetcher(
            session=session, options=OPTIONS, spool_dir=self.base / "spool", check=lambda: None, into=self.into
        )
        for fetched in fetcher.fetch(entries):
            assert isinstance(fetched, Fetched)
            found[fetched.entry] = fetched.reason if fetched.content is None else bytes(fetched.content)
        self.requests = session.requests.class_b
        return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_neighbours_are_read_at_once(shelf: Shelf) -> None:
    contents = [bytes([number]) * 1000 for number in range(50)]
    entries = shelf.pack(*contents)
    assert shelf.fetch(*entries) == dict(zip(entries, contents, strict=True))
    assert shelf.requests == 1
    assert shelf.fetch(entries[3], entries[30]) == {entries[3]: contents[3], entries[30]: contents[30]}
    assert shelf.requests == 1


def test_what_lies_far_apart_is_read_apart(shelf: Shelf) -> None:
    first, _, last = shelf.pack(b"a" * 10, b"b" * 1_000_000, b"c" * 10)
    assert shelf.fetch(first, last) == {first: b"a" * 10, last: b"c" * 10}
    assert shelf.requests == 2


def test_nothing_is_read_for_nothing(shelf: Shelf) -> None:
    (empty,) = shelf.pack(b"")
    assert shelf.fetch(empty) == {empty: b""}
    assert shelf.fetch() == {}
    assert shelf.requests == 0


def test_large_items_are_read_in_pieces(shelf: Shelf, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (entry,) = shelf.pack(content)
    assert shelf.fetch(entry) == {entry: content}
    assert shelf.requests == 9
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("size", [1000, 2_560_000])
def test_what_is_not_what_it_should_be_is_never_handed_over(shelf: Shelf, size: int) -> None:
    content = b"x" * size
    (entry,) = shelf.pack(content)
    file = shelf.path(entry)
    whole = file.read_bytes()
    file.write_bytes(b"y" + whole[1:])
    assert shelf.fetch(entry) == {entry: "it is not what was uploaded"}
    file.write_bytes(whole[: size - 1])
    assert shelf.fetch(entry) == {entry: "it is not what was uploaded"}
    file.unlink()
    assert shelf.fetch(entry) == {entry: "it is gone"}
    file.write_bytes(whole)
    assert shelf.fetch(entry) == {entry: content}
    wrong = entry._replace(sha256="0" * 64)
    assert shelf.fetch(wrong) == {wrong: "it is not what was uploaded"}


def test_one_that_is_damaged_does_not_spoil_its_neighbours(shelf: Shelf) -> None:
    entries = shelf.pack(b"a" * 100, b"b" * 100, b"c" * 100)
    file = shelf.path(entries[0])
    content = bytearray(file.read_bytes())
    content[150] ^= 1
    file.write_bytes(content)
    assert shelf.fetch(*entries) == {
        entries[0]: b"a" * 100,
        entries[1]: "it is not what was uploaded",
        entries[2]: b"c" * 100,
    }


@pytest.mark.parametrize("size", [1000, 100_000, 2_560_000])
def test_straight_to_a_file(shelf: Shelf, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    entry, small = shelf.pack(content, b"small")
    target = tmp_path / "a" / "b" / "target"
    asked: list[Entry] = []

    def into(entry: Entry) -> Path:
        asked.append(entry)
        return target

    shelf.into = into
    assert shelf.fetch(entry, small) == {entry: "", small: b"small"}
    assert asked == [entry]
    assert target.read_bytes() == content
    target.write_bytes(b"as before")
    file = shelf.path(entry)
    whole = file.read_bytes()
    for damaged in (b"y" + whole[1:], whole[: size // 2], None):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        assert shelf.fetch(entry) == {entry: "it is gone" if damaged is None else "it is not what was uploaded"}
    assert target.read_bytes() == b"as before"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_file_that_cannot_be_written_is_no_failure_of_the_remote(shelf: Shelf, tmp_path: Path) -> None:
    (entry,) = shelf.pack(bytes(5000))
    (tmp_path / "file").write_bytes(b"")
    shelf.into = lambda _: tmp_path / "file" / "target"
    with pytest.raises(WriteError):
        shelf.fetch(entry)


def test_some_to_files_and_some_not(shelf: Shelf, tmp_path: Path) -> None:
    contents = [bytes([number]) * 2000 for number in range(4)]
    entries = shelf.pack(*contents)
    shelf.into = lambda entry: tmp_path / "kept" if entry.position == 2 else None
    found = shelf.fetch(*entries)
    assert found == {entries[0]: contents[0], entries[1]: contents[1], entries[2]: "", entries[3]: contents[3]}
    assert (tmp_path / "kept").read_bytes() == contents[2]
