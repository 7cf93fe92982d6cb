"""Items into packs, and packs into the remote."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dxforge.remote.garbage import pack_key
from dxforge.remote.model import Entry, Item, LeftOut, Pack, RemoteOptions
from dxforge.remote.packs import Content, decode_index, make_pack
from dxforge.remote.plan import Packed
from dxforge.remote.session import Session
from dxforge.remote.state import SyncState
from dxforge.remote.transfer import in_parallel

_MOST_PARTS = 9_000
"""S3 and R2 take 10,000."""
_BLOCK = 1 << 20


class _ChangedError(Exception):
    """An item is not what it was said to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What became of one pack's items: a pack (None where nothing of them was left), and those left out."""

    packed: Packed | None
    left_out: tuple[tuple[Item, LeftOut], ...] = ()
    size_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Uploader:
    """Uploads packs, and remembers each so that an interrupted push goes on where it was.

    Args:
        now_s: seconds since 1970.
        chance: numbers in [0, 1).
        checkpoint: called between the steps of each pack; for tests that interrupt there.
    """

    session: Session
    state: SyncState
    options: RemoteOptions
    now_s: Callable[[], float]
    chance: Callable[[], float]
    checkpoint: Callable[[str], None] = lambda _: None
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def upload(self, groups: Sequence[tuple[Item, ...]], check: Callable[[], None]) -> Iterator[Uploaded]:
        """Upload each group of items as a pack; in no order.

        Raises:
            RemoteError: a request failed for good; packs that are done are remembered.
        """
        for _, uploaded in in_parallel(
            groups,
            self._group,
            session=self.session,
            workers=self.options.workers,
            size_bytes=self._weight,
            memory_bytes=self.options.memory_bytes,
            check=check,
        ):
            yield uploaded

    def _weight(self, items: Sequence[Item]) -> int:
        """What a group has in memory at once."""
        whole = sum(item.size_bytes for item in items)
        in_parts = whole >= self.options.single_put_bytes and isinstance(items[0].read, Path)
        return part_size(whole, self.options) * 5 if in_parts else whole

    def _group(self, items: tuple[Item, ...]) -> Uploaded:
        if len(items) == 1 and items[0].size_bytes >= self.options.single_put_bytes:
            return self._large(items[0])
        contents: list[Content] = []
        left_out: list[tuple[Item, LeftOut]] = []
        # Read into place: putting the pieces together would take all of it twice.
        body = bytearray(sum(item.size_bytes for item in items))
        end = 0
        with memoryview(body) as view:
            for item in items:
                try:
                    with view[end : end + item.size_bytes] as place:
                        self._read_into(item, place)
                        contents.append(_content(item, hashlib.sha256(place).hexdigest()))
                except Exception as error:  # noqa: BLE001 - whatever a reader raises is about that item only
                    left_out.append((item, _left_out(item, error)))
                else:
                    end += item.size_bytes
        if not contents:
            return Uploaded(packed=None, left_out=tuple(left_out))
        pack, index = make_pack(contents, self._made())
        body[end:] = index
        self.session.put(pack_key(pack.id), body)
        return self._done(pack, index, tuple(left_out))

    def _large(self, item: Item) -> Uploaded:
        try:
            sha256 = item.sha256 or _digest(self._blocks(item, _BLOCK))
        except Exception as error:  # noqa: BLE001 - as above
            return Uploaded(packed=None, left_out=((item, _left_out(item, error)),))
        pack, index = make_pack([_content(item, sha256)], self._made())
        part_bytes = part_size(pack.size_bytes, self.options)
        faults: list[Exception] = []

        def blocks() -> Iterator[bytes]:
            digest = hashlib.sha256()
            try:
                for block in self._blocks(item, part_bytes):
                    digest.update(block)
                    yield block
            except Exception as error:
                faults.append(error)
                raise _ChangedError from error
            if digest.hexdigest() != sha256:
                raise _ChangedError
            yield index

        try:
            self.session.put_parts(pack_key(pack.id), pack.size_bytes, blocks, part_bytes)
        except _ChangedError as error:
            return Uploaded(packed=None, left_out=((item, _left_out(item, faults[0] if faults else error)),))
        return self._done(pack, index, ())

    def _done(self, pack: Pack, index: bytes, left_out: tuple[tuple[Item, LeftOut], ...]) -> Uploaded:
        self.checkpoint("uploaded")
        self.state.save_index(pack, index)
        self.state.save_upload(pack, index, self.now_s())
        self.checkpoint("noted")
        entries: tuple[Entry, ...] = decode_index(pack, index)
        return Uploaded(
            packed=Packed(pack=pack, entries=entries),
            left_out=left_out,
            size_bytes=pack.size_bytes - pack.index_bytes,
        )

    def _made(self) -> tuple[int, float]:
        return int(self.now_s() * 1e9), self.chance()

    def _read_into(self, item: Item, place: memoryview) -> None:
        """Fill ``place`` with the content, which must be exactly as long."""
        if isinstance(item.read, Path):
            with item.read.open("rb", buffering=0) as stream:
                done = 0
                while count := stream.readinto(place[done:]):
                    done += count
                if done < len(place) or stream.read(1):
                    raise _ChangedError
            return
        content = self._called(item.read)
        if len(content) != len(place):
            raise _ChangedError
        place[:] = content

    def _called(self, read: Callable[[], bytes]) -> bytes:
        with self._reading:
            return read()

    def _blocks(self, item: Item, block_bytes: int) -> Iterator[bytes]:
        """The content of exactly the size that was promised, in blocks of which all but the last are as long."""
        if not isinstance(item.read, Path):
            content = self._called(item.read)
            if len(content) != item.size_bytes:
                raise _ChangedError
            for start in range(0, len(content), block_bytes):
                yield content[start : start + block_bytes]
            return
        left = item.size_bytes
        with item.read.open("rb") as stream:
            while left:
                block = stream.read(min(left, block_bytes))
                if not block:
                    raise _ChangedError
                left -= len(block)
                yield block
            if stream.read(1):
                raise _ChangedError


def part_size(size_bytes: int, options: RemoteOptions) -> int:
    """How long the parts are that an object of that size is uploaded in: equal, and not too many."""
    needed = -(-size_bytes // _MOST_PARTS)
    return max(options.part_bytes, -(-needed // _BLOCK) * _BLOCK)


def _content(item: Item, sha256: str) -> Content:
    if item.sha256 and sha256 != item.sha256:
        raise _ChangedError
    return item.kind, item.name or sha256, sha256, item.size_bytes


def _left_out(item: Item, error: Exception) -> LeftOut:
    if isinstance(error, _ChangedError):
        reason = "it changed while it was read"
    elif isinstance(error, FileNotFoundError):
        reason = "it is no longer there"
    elif isinstance(error, OSError) and error.strerror:
        reason = f"it cannot be read: {error.strerror.lower()}"
    else:
        reason = f"it cannot be read: {str(error) or type(error).__name__}"
    return LeftOut(kind=item.kind, name=item.name or item.sha256, reason=reason)


def _digest(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
