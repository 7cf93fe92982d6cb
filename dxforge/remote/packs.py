"""Packs: how many small items become one object, and where in it each lies. Pure.

A pack is its items' contents in a row and then the index: zlib over JSON ``{"made": [time_ns, chance], "entries":
[[kind, name or "", sha256, size_bytes], ...]}``. Offsets follow from the sizes. ``made`` makes every pack's id another,
even for equal contents: a pack that is made again is never the one that somebody is about to delete.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from dxforge.errors import RemoteContentError
from dxforge.remote.model import Entry, Item, Pack, RemoteOptions

_KIND = re.compile(r"[a-z]{1,16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST_INDEX_BYTES = 64 << 20
_LARGEST_NAME_CHARS = 4096
_SHORT_INDEX_BYTES = 400
T = TypeVar("T")

Content = tuple[str, str, str, int]
"""Kind, name, sha256, size in bytes."""


def check_item(item: Item) -> None:
    """Refuse an item that could not be told apart later.

    Raises:
        ValueError: a kind, name or sha256 that is none; both name and sha256 empty; a negative size.
    """
    known = bool(item.name or item.sha256)
    form = _KIND.fullmatch(item.kind) and (not item.sha256 or _SHA256.fullmatch(item.sha256))
    if not known or not form or not _is_name(item.name) or item.size_bytes < 0:
        message = f"an item that cannot be: {item.kind!r} {item.name!r} {item.sha256!r} {item.size_bytes}"
        raise ValueError(message)


def is_sha256(text: str) -> bool:
    """Whether ``text`` is 64 hex digits in lower case."""
    return _SHA256.fullmatch(text) is not None


def arrange(things: Iterable[T], size_bytes: Callable[[T], int], options: RemoteOptions) -> list[tuple[T, ...]]:
    """Put things into packs, in their order; one that would fill a pack has a pack of its own."""
    packs: list[tuple[T, ...]] = []
    current: list[T] = []
    total = 0

    def seal() -> None:
        nonlocal total
        if current:
            packs.append(tuple(current))
            current.clear()
            total = 0

    for thing in things:
        size = size_bytes(thing)
        if size >= options.pack_bytes:
            packs.append((thing,))
            continue
        if total + size > options.largest_pack_bytes:
            seal()
        current.append(thing)
        total += size
        if total >= options.pack_bytes or len(current) >= options.pack_entries:
            seal()
    seal()
    return packs


def encode_index(contents: Iterable[Content], made: tuple[int, float]) -> tuple[str, bytes]:
    """The index of a pack with ``contents`` in this order, and the pack's id.

    Args:
        made: time in nanoseconds and a random number; together never twice the same.
    """
    rows = [[kind, "" if name == sha256 else name, sha256, size] for kind, name, sha256, size in contents]
    text = json.dumps({"made": made, "entries": rows}, separators=(",", ":"))
    index = zlib.compress(text.encode(), 6)
    return hashlib.sha256(index).hexdigest(), index


def make_pack(contents: Sequence[Content], made: tuple[int, float]) -> tuple[Pack, bytes]:
    """A pack that holds ``contents``, and its index."""
    pack_id, index = encode_index(contents, made)
    size = sum(content[3] for content in contents) + len(index)
    return described(pack_id, size, len(contents), index), index


def described(pack_id: str, size_bytes: int, entries: int, index: bytes) -> Pack:
    """A pack as a manifest has it; a short index with it (a large item's: reading it would be one more request)."""
    return Pack(
        id=pack_id,
        size_bytes=size_bytes,
        index_bytes=len(index),
        entries=entries,
        index=index if len(index) <= _SHORT_INDEX_BYTES else b"",
    )


def decode_index(pack: Pack, index: bytes) -> tuple[Entry, ...]:
    """The entries of ``pack``.

    Raises:
        RemoteContentError: these bytes are not its index.
    """
    if hashlib.sha256(index).hexdigest() != pack.id:
        raise _wrong(pack, "its index is damaged")
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(index, _LARGEST_INDEX_BYTES)
        if not unpacker.eof:
            raise _wrong(pack, "its index is not whole, or too large to be one")
        rows = json.loads(text)["entries"]
        contents = [(kind, name or sha256, sha256, size) for kind, name, sha256, size in rows]
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _wrong(pack, "its index cannot be read") from error
    if not all(_is_content(content) for content in contents):
        raise _wrong(pack, "its index says what cannot be")
    offsets = list(accumulate((content[3] for content in contents), initial=0))
    if len(contents) != pack.entries or offsets[-1] + pack.index_bytes != pack.size_bytes:
        raise _wrong(pack, "its index does not fit it")
    return tuple(
        Entry(*content, pack.id, position, offset)
        for position, (content, offset) in enumerate(zip(contents, offsets, strict=False))
    )


def spans(entries: Iterable[Entry], *, gap_bytes: int, largest_bytes: int) -> Iterator[tuple[Entry, ...]]:
    """Entries of one pack in the order they lie there, cut into runs that are worth one request each.

    Args:
        gap_bytes: so much that nobody asked for is read along rather than asking twice.
        largest_bytes: a run is no longer, unless it is a single entry.
    """
    run: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if run:
            end = run[-1].offset + run[-1].size_bytes
            if entry.offset - end > gap_bytes or entry.offset + entry.size_bytes - run[0].offset > largest_bytes:
                yield tuple(run)
                run = []
        run.append(entry)
    if run:
        yield tuple(run)


def bits(positions: Iterable[int], count: int) -> int:
    """A number with a bit for each of ``positions``, all below ``count``."""
    # One by one, each `|` would copy all of it.
    mask = bytearray((count + 7) // 8)
    for position in positions:
        mask[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(mask, "little")


def chosen(mask: int, entries: Sequence[Entry]) -> list[Entry]:
    """Those of ``entries`` whose bit is set in ``mask``."""
    raw = mask.to_bytes((len(entries) + 7) // 8, "little")
    return [entry for entry in entries if raw[entry.position >> 3] >> (entry.position & 7) & 1]


def _is_content(content: tuple[object, object, object, object]) -> bool:
    kind, name, sha256, size = content
    return (
        isinstance(kind, str)
        and isinstance(name, str)
        and isinstance(sha256, str)
        and isinstance(size, int)
        and not isinstance(size, bool)
        and size >= 0
        and _KIND.fullmatch(kind) is not None
        and _SHA256.fullmatch(sha256) is not None
        and _is_name(name)
    )


def _is_name(name: str) -> bool:
    return len(name) <= _LARGEST_NAME_CHARS and name.isprintable()


def _wrong(pack: Pack, what: str) -> RemoteContentError:
    return RemoteContentError(what, where=f"packs/{pack.id}", hint="The next sync from a machine that has it heals it")
