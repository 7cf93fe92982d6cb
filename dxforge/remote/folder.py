"""A folder as an object store: what stands under its final name is whole and on the disk, whatever happens.

By hand, because obstore's own LocalStore syncs nothing: a power failure could leave a manifest without its packs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from dxforge.files import move_new, sync_folder
from dxforge.remote.failures import StoreError, Trouble
from dxforge.remote.garbage import Stored

_TEMPORARY = "tmp"
_STALE_S = 24 * 3600
_BLOCK = 1 << 18
_TROUBLES = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EACCES: Trouble.DENIED,
    errno.EPERM: Trouble.DENIED,
    errno.EROFS: Trouble.DENIED,
    errno.EIO: Trouble.UNREACHABLE,
    errno.ESTALE: Trouble.UNREACHABLE,
    errno.ETIMEDOUT: Trouble.UNREACHABLE,
}


T = TypeVar("T")


class FolderObjects:
    """The files below ``folder``, by the methods of :class:`~dxforge.remote.objects.S3Objects`. Thread-safe.

    Args:
        folder: absolute; made with the first object.
        make_parents: make the folders above it too; where not, a missing one is an error (a disk is not mounted).
    """

    def __init__(self, folder: Path, *, make_parents: bool) -> None:
        self._folder = folder
        self._make_parents = make_parents

    def get(self, key: str) -> tuple[memoryview, str] | None:
        """A file's content and its tag; None where there is none."""
        with _understood():
            try:
                with (self._folder / key).open("rb") as stream:
                    return memoryview(stream.read()), _stored(key, os.fstat(stream.fileno())).tag
            except FileNotFoundError:
                return None

    def get_range(self, key: str, start: int, length: int) -> memoryview | None:
        """``length`` bytes from ``start``, fewer where it ends before; None where there is no such file."""
        with _understood():
            try:
                with (self._folder / key).open("rb") as stream:
                    stream.seek(start)
                    return memoryview(stream.read(length))
            except FileNotFoundError:
                return None

    def stream(self, key: str, start: int, length: int, consume: Callable[[Iterable[bytes]], T]) -> T | None:
        """``consume`` gets ``length`` bytes from ``start`` block by block; None where there is no such file."""
        with _understood():
            try:
                stream = (self._folder / key).open("rb")
            except FileNotFoundError:
                return None
        with stream:
            return consume(_blocks(stream, start, length))

    def head(self, key: str) -> Stored | None:
        """Size and times of one file; None where there is none."""
        with _understood():
            try:
                return _stored(key, (self._folder / key).stat())
            except FileNotFoundError:
                return None

    def list_all(self, folder: str) -> list[Stored]:
        """Everything below ``folder`` ("" = all), in no order."""
        with _understood():
            if not self._folder.is_dir():
                self._check_parent()
                return []
            return list(self._walk(folder))

    def put(self, key: str, content: bytes | bytearray) -> None:
        """Store a file, whatever was there."""
        self.put_parts(key, [content], 0)

    def put_parts(self, key: str, blocks: Iterable[bytes | bytearray], part_bytes: int) -> None:  # noqa: ARG002 - as for S3
        """Store a file block by block, whatever was there."""
        with _understood(), self._written(blocks) as temporary:
            target = self._target(key)
            temporary.replace(target)
            sync_folder(target.parent)

    def create(self, key: str, content: bytes) -> str | None:
        """Store a file that must not exist yet, and return its tag; None: it does, and nothing was changed."""
        with _understood(), self._written([content]) as temporary:
            target = self._target(key)
            tag = _stored(key, temporary.stat()).tag
            try:
                move_new(temporary, target)
            except FileExistsError:
                return None
            sync_folder(target.parent)
            return tag

    def delete(self, keys: list[str]) -> None:
        """Delete files, in this order; those that are not there are fine."""
        with _understood():
            for key in keys:
                (self._folder / key).unlink(missing_ok=True)
            self._sweep()

    def _walk(self, folder: str) -> Iterator[Stored]:
        for path in sorted((self._folder / folder).rglob("*")):
            key = path.relative_to(self._folder).as_posix()
            if key.startswith(f"{_TEMPORARY}/"):
                continue
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.is_file():
                    yield _stored(key, status)

    def _check_parent(self) -> None:
        if not self._make_parents and not self._folder.parent.is_dir():
            raise StoreError(Trouble.MISSING, f"{self._folder.parent} is not there")

    def _target(self, key: str) -> Path:
        target = self._folder / key
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        return target

    @contextlib.contextmanager
    def _written(self, blocks: Iterable[bytes | bytearray]) -> Iterator[Path]:
        """``blocks`` in a temporary file, synced; what is left of it in the end is deleted."""
        self._check_parent()
        folder = self._folder / _TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as stream:
                for block in blocks:
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Delete what killed processes left behind."""
        with contextlib.suppress(FileNotFoundError):
            for path in (self._folder / _TEMPORARY).iterdir():
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)


def _blocks(stream: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    with _understood():
        stream.seek(start)
        while length and (block := stream.read(min(length, _BLOCK))):
            length -= len(block)
            yield block


def _stored(key: str, status: os.stat_result) -> Stored:
    return Stored(
        key=key,
        size_bytes=status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
        tag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
    )


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        trouble = _TROUBLES.get(error.errno or 0, Trouble.OTHER)
        raise StoreError(trouble, (error.strerror or str(error)).lower()) from error
