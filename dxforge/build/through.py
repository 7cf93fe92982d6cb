"""A cache that asks somewhere else, a remote, for what it does not have. Whatever happens there is a miss."""

from __future__ import annotations

import hashlib
import os
import posixpath
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from dxforge.build.cache import DEFAULT_LIMIT_BYTES, DamagedError, LocalCache
from dxforge.build.record import Record, decode

_AT_ONCE_BYTES = 64 << 20


class Far(Protocol):
    """Where else results may be. Raises nothing, and does not let anyone wait for long."""

    def record(self, key: str) -> bytes | None:
        """The result of a key, as `record.encode` wrote it; None where it is not to be had."""

    def contents(self, digests: Mapping[str, int]) -> Mapping[str, bytes]:
        """Those of the contents (sha256 -> size) that are to be had."""


class ReadThrough(LocalCache):
    """A `LocalCache` that takes over what ``far`` has: the result when a key is asked for, contents when they are used.

    A content that ``far`` turns out not to have makes the result useless (`DamagedError`), and the step runs.
    """

    def __init__(self, folder: Path, far: Far, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        super().__init__(folder, limit_bytes=limit_bytes)
        self._far = far
        self._lock = threading.Lock()
        self._asked: dict[str, Record | None] = {}
        self._owed: dict[str, Record] = {}
        """By content: a result from afar that consists of it, until its contents are here."""

    def get(self, key: str) -> Record | None:
        """See `Cache.get`."""
        try:
            found = super().get(key)
        except DamagedError:
            found = self._from_afar(key)
            if found is None:
                raise
        return found if found is not None else self._from_afar(key)

    def fetch(self, digest: str, target: str) -> None:
        """See `Cache.fetch`."""
        with self._lock:
            record = self._owed.get(digest)
            if record is not None:
                self._bring(record)
        super().fetch(digest, target)

    def _from_afar(self, key: str) -> Record | None:
        with self._lock:
            if key not in self._asked:
                self._asked[key] = record = self._checked(key)
                if record is not None:
                    self._owed.update(dict.fromkeys(record.blobs, record))
            return self._asked[key]

    def _checked(self, key: str) -> Record | None:
        """What came from elsewhere is looked at as strictly as an archive is."""
        data = self._far.record(key)
        if data is None:
            return None
        try:
            record = decode(data)
        except ValueError:
            return None
        sound = record.key == key and record.outcome == "ok" and all(map(_is_inside, record.rows))
        return record if sound and all(map(is_digest, record.blobs)) else None

    def _bring(self, record: Record) -> None:
        missing = {digest: size for digest, size in record.blobs.items() if not self.has(digest, size)}
        for some in _portions(missing):
            for digest, content in self._far.contents(some).items():
                self.take(digest, content)
        for digest in record.blobs:
            self._owed.pop(digest, None)
        if all(self.has(digest, size) for digest, size in record.blobs.items()):
            self.put(record)

    def take(self, digest: str, content: bytes | memoryview) -> bool:
        """Keep a content that came from elsewhere; False: it is not the content of that digest."""
        if hashlib.sha256(content).hexdigest() != digest:
            return False
        blob = self._blob(digest)
        os.makedirs(os.path.dirname(blob), exist_ok=True)
        temporary = f"{blob}.{threading.get_ident()}.new"
        with open(temporary, "wb") as stream:
            stream.write(content)
        os.replace(temporary, blob)
        self._stored += len(content)
        return True


def is_digest(text: str) -> bool:
    """Whether it is a sha256 in hexadecimal, which is a safe name for a file."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _is_inside(path: str) -> bool:
    return posixpath.normpath(path) == path and not path.startswith(("/", "../")) and path != ".."


def _portions(sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """In pieces that fit into memory."""
    portion: dict[str, int] = {}
    for digest, size in sizes.items():
        if portion and sum(portion.values()) + size > _AT_ONCE_BYTES:
            yield portion
            portion = {}
        portion[digest] = size
    if portion:
        yield portion
