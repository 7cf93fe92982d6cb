"""Items out of the remote: in few requests, and none that is not what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.remote.fetch import Fetched, fetch
from dxforge.remote.folder import FolderObjects
from dxforge.remote.location import Location
from dxforge.remote.model import Entry, RemoteOptions
from dxforge.remote.packs import decode_index, make_pack
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session
from tests.support.remotes import sha256

OPTIONS = RemoteOptions(largest_pack_bytes=2_000_000, part_bytes=300_000)


class Shelf:
    """A folder with packs, and what reading from it costs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.objects = FolderObjects(base / "remote", make_parents=True)
        self.requests = 0

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
        for fetched in fetch(
            entries, session=session, options=OPTIONS, spool_dir=self.base / "spool", check=lambda: None
        ):
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
