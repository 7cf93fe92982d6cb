"""Folders become archives: a plain tar that is the same wherever and whenever the same files are packed.

Sorted by bytes, no times, no owners, git's modes; GNU format, because Python has written it the same way for ever.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from dxforge.errors import PackageNotFoundError, SourceError, UnsafeArchiveError
from dxforge.store.archives import Incoming
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, travels

# A file system's clock may be coarser than a write is short: younger files may change again under the same times.
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """One file to pack: its path with ``/``, git's mode, and its content (a symlink's: the target)."""

    path: str
    mode: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in a folder now.

    ``files`` are (path with ``/``, git's mode), sorted. ``mark`` changes whenever a file's size, times, inode or mode
    do; ``settled`` says whether all are old enough to trust that.
    """

    files: tuple[tuple[str, int], ...]
    mark: str
    settled: bool


def pack(members: Iterable[Member], incoming: Incoming) -> None:
    """Write ``members`` (sorted by their path's bytes) as a tar."""
    import tarfile

    with tarfile.open(
        fileobj=cast("BinaryIO", _Sink(incoming)),
        mode="w|",
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        for member in members:
            info = tarfile.TarInfo(member.path)
            if member.mode == SYMLINK:
                info.type = tarfile.SYMTYPE
                info.mode = 0o777
                info.linkname = os.fsdecode(member.content)
                archive.addfile(info)
            else:
                info.mode = 0o755 if member.mode == EXECUTABLE else 0o644
                info.size = len(member.content)
                archive.addfile(info, io.BytesIO(member.content))


def look(folder: Path, *, where: str) -> Folder:
    """List the files of ``folder`` that travel, symlinks as such.

    Args:
        where: names the package in errors.

    Raises:
        UnsafeArchiveError: a device, pipe or socket; nothing was read of it.
        SourceError: the folder cannot be read, or holds nothing that travels.
    """
    started_ns = time.time_ns()
    mark = hashlib.sha256()
    files: list[tuple[bytes, str, int, os.stat_result]] = []
    try:
        for path, status in _walk(folder, ""):
            if stat.S_ISLNK(status.st_mode):
                mode: int = SYMLINK
            elif stat.S_ISREG(status.st_mode):
                mode = EXECUTABLE if status.st_mode & stat.S_IXUSR else FILE
            else:
                raise UnsafeArchiveError(
                    f'"{path}" is a device, a pipe or a socket',
                    where=where,
                    hint="Take it out of the folder",
                    entry=path,
                )
            files.append((os.fsencode(path), path, mode, status))
    except FileNotFoundError as error:
        if not folder.exists():
            raise PackageNotFoundError("there is no such folder", where=where) from error
        raise SourceError(f"it changed while it was being read: {error}", where=where, hint="Try again") from error
    except OSError as error:
        raise _unreadable(error, where) from error
    if not files:
        raise SourceError("there is no file in the folder", where=where, hint="Name another one in dx.toml")
    files.sort(key=lambda file: file[0])
    newest_ns = 0
    for name, _, mode, status in files:
        newest_ns = max(newest_ns, status.st_mtime_ns, status.st_ctime_ns)
        stats = (mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        mark.update(name + b"\0" + repr(stats).encode() + b"\0")
    return Folder(
        files=tuple((path, mode) for _, path, mode, _ in files),
        mark=mark.hexdigest(),
        settled=newest_ns + _RACY_NS < started_ns,
    )


def read_members(folder: Path, found: Folder, *, where: str) -> Iterator[Member]:
    """The contents of ``found``.

    Raises:
        SourceError: a file cannot be read, or is gone.
    """
    for path, mode in found.files:
        file = folder / path
        try:
            content = os.fsencode(os.readlink(file)) if mode == SYMLINK else file.read_bytes()
        except OSError as error:
            raise _unreadable(error, where) from error
        yield Member(path, mode, content)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder / prefix if prefix else folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            # A project's own state is no part of it, wherever the project is used as a package.
            if not travels(path) or path == ".dx":
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder, path + "/")
            else:
                yield path, entry.stat(follow_symlinks=False)


def _unreadable(error: OSError, where: str) -> SourceError:
    reason = (error.strerror or str(error)).lower()
    return SourceError(f"{error.filename or 'a file'} cannot be read: {reason}", where=where, hint="Check permissions")


class _Sink:
    """What tarfile writes to."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def write(self, block: bytes) -> int:
        """Append ``block``."""
        return self._incoming.write(bytes(block))
