"""Packs and their indexes."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from hashlib import sha256 as digest

import pytest

from dxforge.errors import RemoteContentError
from dxforge.remote.model import BLOB, Entry, Item, Pack, RemoteOptions
from dxforge.remote.packs import (
    Content,
    arrange,
    bits,
    check_item,
    chosen,
    decode_index,
    is_sha256,
    make_pack,
    spans,
)
from tests.support.remotes import sha256

OPTIONS = RemoteOptions(pack_bytes=100, largest_pack_bytes=250, pack_entries=4)
CONTENTS: list[Content] = [
    ("blob", sha256(b"a"), sha256(b"a"), 1),
    ("object", "0" * 40, sha256(b"bcd"), 3),
    ("action", "k é", sha256(b""), 0),
    ("blob", sha256(b"efgh"), sha256(b"efgh"), 4),
]


def arranged(*sizes: int) -> list[tuple[int, ...]]:
    return arrange(sizes, lambda size: size, OPTIONS)


def test_things_go_into_packs_in_their_order() -> None:
    assert arranged() == []
    assert arranged(10, 20, 30) == [(10, 20, 30)]
    assert arranged(60, 50, 1) == [(60, 50), (1,)]  # sealed when full
    assert arranged(99, 100, 1) == [(100,), (99, 1)]  # what fills a pack has one of its own
    assert arranged(1, 1, 1, 1, 1) == [(1, 1, 1, 1), (1,)]  # not too many
    assert arranged(0, 0) == [(0, 0)]
    assert arranged(9999) == [(9999,)]


def test_no_pack_is_larger_than_the_largest() -> None:
    options = RemoteOptions(pack_bytes=200, largest_pack_bytes=250)
    assert arrange([190, 190, 30], lambda size: size, options) == [(190,), (190, 30)]


def test_an_index_says_where_everything_lies() -> None:
    pack, index = make_pack(CONTENTS, (1, 0.5))
    assert pack.id == digest(index).hexdigest()
    assert pack.size_bytes == 8 + len(index)
    entries = decode_index(pack, index)
    assert [(entry.kind, entry.name, entry.sha256, entry.size_bytes) for entry in entries] == CONTENTS
    assert [entry.offset for entry in entries] == [0, 1, 4, 4]
    assert [entry.position for entry in entries] == [0, 1, 2, 3]
    assert {entry.pack for entry in entries} == {pack.id}


def test_a_pack_that_is_made_again_has_another_id() -> None:
    assert make_pack(CONTENTS, (1, 0.5)) == make_pack(CONTENTS, (1, 0.5))
    assert make_pack(CONTENTS, (1, 0.5))[0].id != make_pack(CONTENTS, (2, 0.5))[0].id
    assert make_pack(CONTENTS, (1, 0.5))[0].id != make_pack(CONTENTS, (1, 0.6))[0].id


def test_an_index_that_is_another() -> None:
    pack, index = make_pack(CONTENTS, (1, 0.5))
    for wrong in (index[:-1], index + b"x", b"", bytes([index[0] ^ 1]) + index[1:]):
        with pytest.raises(RemoteContentError, match="damaged"):
            decode_index(pack, wrong)


def made(text: str | bytes, *, size_bytes: int = 0, entries: int = 1) -> tuple[Pack, bytes]:
    """A pack whose index is rightly named, and wrong."""
    index = zlib.compress(text.encode()) if isinstance(text, str) else text
    pack_id = digest(index).hexdigest()
    return Pack(id=pack_id, size_bytes=size_bytes + len(index), index_bytes=len(index), entries=entries), index


@pytest.mark.parametrize(
    "text",
    [
        b"no zlib",
        "no json",
        "[]",
        "{}",
        '{"entries": 1}',
        '{"entries": [[1, 2]]}',
        json.dumps({"entries": [["blob", "", "0" * 63, 0]]}),
        json.dumps({"entries": [["BLOB", "", "0" * 64, 0]]}),
        json.dumps({"entries": [["blob", "a\nb", "0" * 64, 0]]}),
        json.dumps({"entries": [["blob", "", "0" * 64, -1]]}),
        json.dumps({"entries": [["blob", "", "0" * 64, True]]}),
        json.dumps({"entries": [["blob", "", "0" * 64, 1]]}),  # more than the pack has
        json.dumps({"entries": []}),
        "[" * 100_000,
    ],
)
def test_an_index_that_says_what_cannot_be(text: str | bytes) -> None:
    with pytest.raises(RemoteContentError) as caught:
        decode_index(*made(text))
    assert caught.value.where.startswith("packs/")


def test_an_index_that_swells_is_not_unpacked() -> None:
    pack, index = made(zlib.compress(b"0" * (70 << 20), 9))
    with pytest.raises(RemoteContentError, match="too large"):
        decode_index(pack, index)


def entry(offset: int, size_bytes: int) -> Entry:
    return Entry("blob", "n", "s", size_bytes, "p", 0, offset)


def test_what_lies_near_is_read_at_once() -> None:
    entries = [entry(100, 10), entry(0, 10), entry(15, 5), entry(500, 10)]
    runs = list(spans(entries, gap_bytes=5, largest_bytes=1000))
    assert [[found.offset for found in run] for run in runs] == [[0, 15], [100], [500]]
    runs = list(spans(entries, gap_bytes=1000, largest_bytes=110))
    assert [[found.offset for found in run] for run in runs] == [[0, 15, 100], [500]]
    assert list(spans([], gap_bytes=1, largest_bytes=1)) == []


def test_bits() -> None:
    entries = decode_index(*make_pack(CONTENTS, (1, 0.5)))
    assert bits([], 4) == 0
    assert bits([0, 3, 3], 4) == 0b1001
    assert bits(range(20_000), 20_000) == (1 << 20_000) - 1
    assert chosen(0b1010, entries) == [entries[1], entries[3]]
    assert chosen(0, entries) == []


def test_items_that_cannot_be() -> None:
    good = Item(kind=BLOB, name="n", sha256="0" * 64, size_bytes=0, read=lambda: b"")
    check_item(good)
    check_item(replace(good, sha256=""))
    check_item(replace(good, name=""))
    for wrong in (
        replace(good, kind="a b"),
        replace(good, kind=""),
        replace(good, sha256="0" * 63),
        replace(good, name="", sha256=""),
        replace(good, name="a\nb"),
        replace(good, name="n" * 5000),
        replace(good, size_bytes=-1),
    ):
        with pytest.raises(ValueError, match="cannot be"):
            check_item(wrong)


def test_sha256_by_its_form() -> None:
    assert is_sha256("0af" + "1" * 61)
    assert not is_sha256("0AF" + "1" * 61)
    assert not is_sha256("0" * 63)
