"""Following a tool's log on disk, whoever runs the tool: from another terminal, too, and across its restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from dxforge.orchestrator.logs import Ring, replay

_LOG = "log"


class Follower:
    """The log of a tool as it grows, also where it is rotated meanwhile.

    Args:
        folder: the tool's, ``.dx/tools/<name>``; it need not exist yet.
        lines: so many of those that are there already come first.
    """

    def __init__(self, folder: Path, *, lines: int) -> None:
        self._folder = folder
        self._ring = Ring()
        self._file: BinaryIO | None = self._open(_LOG)
        self._first: list[str] = []
        if self._file is not None:
            status = os.fstat(self._file.fileno())
            past = Ring(max_lines=lines + 1)
            replay(folder, past, mark=(status.st_ino, status.st_size), lines=lines)
            # A line that is not complete yet comes whole, later.
            whole = past.lines()[:-1] if past.partial else past.lines()
            self._first = whole[max(0, len(whole) - lines) :]
            self._ring.feed(past.partial.encode())
            self._file.seek(status.st_size)

    def more(self) -> list[str]:
        """The lines that were completed since the last time."""
        first, self._first = self._first, []
        if self._file is None:
            self._file = self._open(_LOG)
        if self._file is None:
            return first
        found = [*first, *self._ring.feed(self._file.read())]
        for newer in self._newer(os.fstat(self._file.fileno()).st_ino):
            # What was written to the former between the last read and the rotation.
            found += self._ring.feed(self._file.read())
            self._file.close()
            self._file = newer
            found += self._ring.feed(newer.read())
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _newer(self, inode: int) -> list[BinaryIO]:
        """The files of the log that came after the one with ``inode``, oldest first."""
        newer: list[BinaryIO] = []
        number = 0
        while (stream := self._open(f"{_LOG}.{number}" if number else _LOG)) is not None:
            if os.fstat(stream.fileno()).st_ino == inode:
                stream.close()
                break
            newer.insert(0, stream)
            number += 1
        return newer

    def _open(self, name: str) -> BinaryIO | None:
        try:
            return (self._folder / name).open("rb")
        except OSError:
            return None
