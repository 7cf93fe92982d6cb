"""The action cache: results by key, contents by sha256. It may always be emptied, and never fails a build."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from dxforge.build.record import Record, decode, encode

DEFAULT_LIMIT_BYTES = 5 * 1024**3
"""So much is kept, the least recently used going first; never less than what the last build used."""
_PIECE = 1 << 20
_FRESH_S = 3600.0
"""A use is only written down when the last one was so long ago."""
_DOWN_TO = 0.9
"""Pruning goes below the limit, so that it is not due again at once."""


class DamagedError(Exception):
    """A content is missing or not what its name says; it was removed, so that it can be stored again."""


class Cache(Protocol):
    """Results by key, contents by sha256. Only ever asked under the build's lock, from several threads.

    Every method may raise OSError: the cache is then as good as empty, and the build goes on.
    """

    def get(self, key: str) -> Record | None:
        """The result of ``key``, if it and all its contents are there. Changes nothing.

        Raises:
            DamagedError: there is one, and it is of no use.
        """

    def put(self, record: Record) -> None:
        """Keep a result. Its contents have been stored before."""

    def has(self, digest: str, size: int) -> bool:
        """Whether a content is there, by its name and size."""

    def store(self, digest: str, source: str) -> bool:
        """Keep the content of the file ``source``; False: it is not (or no longer) the content of that digest."""

    def fetch(self, digest: str, target: str) -> None:
        """Write a content to the new file ``target``.

        Raises:
            DamagedError: it is not there, or not what its name says; ``target`` may hold anything.
        """

    def prune(self, used: Collection[str]) -> int:
        """Note that the results of the keys ``used`` were, and keep to the limit, but for those.

        Returns how many bytes were freed.
        """


class LocalCache:
    """A cache in a folder: ``actions/<key>.json`` and ``blobs/<aa>/<sha256>``."""

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._actions = folder / "actions"
        self._blobs = folder / "blobs"
        self._size_file = folder / "size"
        self._limit = limit_bytes
        self._stored = 0

    def _action(self, key: str) -> Path:
        return self._actions / f"{key}.json"

    def _blob(self, digest: str) -> str:
        return f"{self._blobs}/{digest[:2]}/{digest}"

    def get(self, key: str) -> Record | None:
        """See `Cache.get`."""
        path = self._action(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            record = decode(data)
            if record.key != key:
                raise ValueError("the record is another key's")
        except ValueError as error:
            raise DamagedError(str(error)) from error
        for digest, size in record.blobs.items():
            if not self.has(digest, size):
                raise DamagedError(f"the content {digest} is missing or cut off")
        return record

    def put(self, record: Record) -> None:
        """See `Cache.put`."""
        self._actions.mkdir(parents=True, exist_ok=True)
        self._stored += write_record(self._action(record.key), record)

    def has(self, digest: str, size: int) -> bool:
        """See `Cache.has`."""
        try:
            return os.stat(self._blob(digest)).st_size == size
        except FileNotFoundError:
            return False

    def store(self, digest: str, source: str) -> bool:
        """See `Cache.store`."""
        blob = self._blob(digest)
        os.makedirs(os.path.dirname(blob), exist_ok=True)
        temporary = f"{blob}.{threading.get_ident()}.new"  # the build's lock keeps other processes out
        try:
            size, found = _copy(source, temporary)
            if found == digest:
                # No sync: after a power cut it may be damaged, which is seen when it is fetched.
                os.replace(temporary, blob)
                self._stored += size
                return True
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        os.unlink(temporary)
        return False

    def fetch(self, digest: str, target: str) -> None:
        """See `Cache.fetch`."""
        try:
            _, found = _copy(self._blob(digest), target)
        except FileNotFoundError as error:
            raise DamagedError(f"the content {digest} is missing") from error
        if found != digest:
            with contextlib.suppress(OSError):
                os.unlink(self._blob(digest))
            raise DamagedError(f"the content {digest} is damaged")

    def prune(self, used: Collection[str]) -> int:
        """See `Cache.prune`."""
        self._touch(used)
        if not self._stored:
            return 0
        known = self._size_before()
        size = known + self._stored if known is not None else self._measure()
        self._stored = 0
        freed = 0
        if size > self._limit:
            before, size = self._prune(used)
            freed = before - size
        self._size_file.write_text(json.dumps(size))
        return freed

    def _touch(self, keys: Collection[str]) -> None:
        limit = time.time() - _FRESH_S
        for key in keys:
            path = f"{self._actions}/{key}.json"
            with contextlib.suppress(OSError):
                if os.stat(path).st_mtime < limit:
                    os.utime(path)

    def _size_before(self) -> int | None:
        """What was there after the last build, where that is known."""
        try:
            return int(json.loads(self._size_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _measure(self) -> int:
        return sum(self._sizes().values()) + sum(entry.stat().st_size for entry in _files(self._actions))

    def _sizes(self) -> dict[str, int]:
        """All contents (and leftovers of killed builds) by path below the folder of blobs."""
        return {
            f"{folder.name}/{entry.name}": entry.stat().st_size
            for folder in _folders(self._blobs)
            for entry in _files(folder.path)
        }

    def _prune(self, used: Collection[str]) -> tuple[int, int]:
        """Drop results, oldest use first, and what none of the others consists of; returns size before and after."""
        sizes = self._sizes()
        results: list[tuple[float, Path, int, set[str]]] = []
        for entry in _files(self._actions):
            path, status = Path(entry.path), entry.stat()
            try:
                record = decode(path.read_bytes())
            except ValueError:
                path.unlink(missing_ok=True)
                continue
            last = float("inf") if record.key in used else status.st_mtime
            results.append((last, path, status.st_size, {f"{blob[:2]}/{blob}" for blob in record.blobs}))
        results.sort(key=lambda result: result[:2])
        before = sum(sizes.values()) + sum(result[2] for result in results)
        users: dict[str, int] = {}
        for result in results:
            for blob in result[3]:
                users[blob] = users.get(blob, 0) + 1
        orphans = [path for path in sizes if path not in users]
        size = before - self._unlink(orphans, sizes)
        for last, path, own, blobs in results:
            if size <= self._limit * _DOWN_TO or last == float("inf"):
                break
            path.unlink(missing_ok=True)
            gone = []
            for blob in blobs:
                users[blob] -= 1
                if not users[blob]:
                    gone.append(blob)
            size -= own + self._unlink(gone, sizes)
        return before, size

    def _unlink(self, paths: Collection[str], sizes: dict[str, int]) -> int:
        for path in paths:
            (self._blobs / path).unlink(missing_ok=True)
        return sum(sizes.get(path, 0) for path in paths)


def write_record(path: Path, record: Record) -> int:
    """Replace the file ``path`` by a record; returns its size.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    data = encode(record)
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.write_bytes(data)
        # No sync: after a power cut it may be damaged, which its digest tells.
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return len(data)


def _copy(source: str, target: str) -> tuple[int, str]:
    """Copy a file to a new one; returns size and sha256 of what was copied."""
    flags = getattr(os, "O_BINARY", 0)
    digest, size = hashlib.sha256(), 0
    reading = os.open(source, os.O_RDONLY | flags)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o600)
        try:
            while piece := os.read(reading, _PIECE):
                digest.update(piece)
                size += len(piece)
                done = os.write(writing, piece)
                while done < len(piece):
                    done += os.write(writing, memoryview(piece)[done:])
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return size, digest.hexdigest()


def _folders(path: Path | str) -> list[os.DirEntry[str]]:
    return [entry for entry in _entries(path) if entry.is_dir(follow_symlinks=False)]


def _files(path: Path | str) -> list[os.DirEntry[str]]:
    return [entry for entry in _entries(path) if entry.is_file(follow_symlinks=False)]


def _entries(path: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
