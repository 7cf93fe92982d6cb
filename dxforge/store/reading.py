"""Reading files that others may be writing: each content was the whole file at one moment, or is not taken."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from dxforge.store.survey import Stamp, Survey, stamp_of

T = TypeVar("T")
_Item = tuple[bytes, bytes, Stamp]
"""Folder, name, and the stamp as the survey has it."""
_TRIES = 5
_SETTLED_NS = 25_000_000
"""A file's times change when a write begins; so long after that, it is taken to have ended."""
_PATIENCE_S = 0.5
"""How long one snapshot waits, in all, for files to settle."""
_READERS = 2
"""More would only wait for each other: what is not the kernel's or zlib's work is under one lock."""
_BATCH_FILES = 64
_BATCH_BYTES = 4 * 1024 * 1024
_AHEAD_BYTES = 64 * 1024 * 1024
"""What may be in memory at once, beside a single file that is larger."""
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[T]):
    """One file that was read: what was made of its content, its stamp then, and whether it was being written.

    Where it could not be had, ``made`` is None and ``reason`` says why ("" where it is gone).
    """

    folder: bytes
    name: bytes
    made: T | None
    stamp: Stamp
    changed: bool = False
    reason: str = ""


def read_all(survey: Survey, make: Callable[[bytes], T], check: Callable[[], None]) -> Iterator[list[Read[T]]]:
    """Read the survey's unread files, in several threads and in its order, some at a time.

    Args:
        survey: says what is unread.
        make: what to make of each content, in the reading thread.
        check: called between batches; raises to stop.
    """

    reader = _Reader(survey.root, make)

    def work(batch: Sequence[_Item]) -> list[Read[T]]:
        return [reader.read(*item) for item in batch]

    waiting: deque[tuple[Future[list[Read[T]]], int]] = deque()
    ahead = 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="dxforge-read") as pool:
        try:
            for batch, size in _batches(survey):
                while waiting and (ahead + size > _AHEAD_BYTES or len(waiting) > 2 * _READERS):
                    done, done_size = waiting.popleft()
                    ahead -= done_size
                    yield done.result()
                    check()
                waiting.append((pool.submit(work, batch), size))
                ahead += size
            while waiting:
                yield waiting.popleft()[0].result()
                check()
        finally:
            for future, _ in waiting:
                future.cancel()


def _batches(survey: Survey) -> Iterator[tuple[list[_Item], int]]:
    batch: list[_Item] = []
    size = 0
    for folder, name in survey.unread:
        stamp = survey.folders[folder].files[name][0]
        if batch and (len(batch) == _BATCH_FILES or size + stamp[3] > _BATCH_BYTES):
            yield batch, size
            batch, size = [], 0
        batch.append((folder, name, stamp))
        size += stamp[3]
    if batch:
        yield batch, size


class _Reader(Generic[T]):
    """Reads files of one survey, in any thread; ``make`` is called with each content."""

    def __init__(self, root: bytes, make: Callable[[bytes], T]) -> None:
        self._root = root
        self._make = make
        self._lock = threading.Lock()
        self._patience_s = _PATIENCE_S

    def read(self, folder: bytes, name: bytes, expected: Stamp) -> Read[T]:
        """Read one file until it has not changed meanwhile."""
        path = os.path.join(self._root, folder, name)
        reason = "it kept changing while it was being read"
        stamp = expected
        unsettled: tuple[bytes, Stamp] | None = None
        now: Stamp | None
        for _ in range(_TRIES):
            begun_ns = time.time_ns()
            try:
                content, now = read_once(path, link=stat.S_ISLNK(stamp[4]))
            except (FileNotFoundError, NotADirectoryError):
                content, now = None, None
            except OSError as error:
                content, now = None, _now(path)
                if now == stamp:
                    reason = f"it cannot be read: {(error.strerror or str(error)).lower()}"
                    break
            if content is not None and now == stamp and len(content) == stamp[3]:
                if stamp[1] < begun_ns - _SETTLED_NS:
                    return self._made(folder, name, content, stamp, changed=stamp != expected)
                unsettled = content, stamp
                if not self._wait():
                    break
            elif now is None or not (stat.S_ISREG(now[4]) or stat.S_ISLNK(now[4])):
                unsettled, reason = None, ""
                break
            else:
                stamp = now
        if unsettled is not None:
            return self._made(folder, name, *unsettled, changed=True)
        return Read(folder=folder, name=name, made=None, stamp=stamp, changed=True, reason=reason)

    def _made(self, folder: bytes, name: bytes, content: bytes, stamp: Stamp, *, changed: bool) -> Read[T]:
        return Read(folder=folder, name=name, made=self._make(content), stamp=stamp, changed=changed)

    def _wait(self) -> bool:
        """Give a file that was written just now time to settle; False where too much time went into that already."""
        with self._lock:
            if self._patience_s <= 0:
                return False
            self._patience_s -= _SETTLED_NS / 1e9
        time.sleep(_SETTLED_NS / 1e9)
        return True


def read_once(path: bytes, *, link: bool) -> tuple[bytes | None, Stamp]:
    """A file's or symlink's content, and its stamp afterwards: the same as one from before proves that it is whole."""
    if link:
        return os.fsencode(os.readlink(path)), stamp_of(os.lstat(path))
    descriptor = os.open(path, _OPEN)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, stamp_of(status)
        chunks = [os.read(descriptor, status.st_size + 1)]
        # One read brings a file whole, but for very large ones; the end is where nothing more comes.
        while chunks[-1] and sum(map(len, chunks)) < status.st_size:
            chunks.append(os.read(descriptor, status.st_size))
        return b"".join(chunks), stamp_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _now(path: bytes) -> Stamp | None:
    try:
        return stamp_of(os.lstat(path))
    except OSError:
        return None
